"""What is counted of a contender on a stream, and what was aimed at. No I/O.

Ratios over several streams of one shape are of the sums, so that a large stream counts for more than a small one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.measures import Verdict
from benchmarks.quality.greedy import NAME as GREEDY
from benchmarks.quality.optimum import Optimum
from benchmarks.quality.played import Pair, Played
from deploy.whatif import weight
from deploy.whatif.counting import gini, percentile
from deploy.whatif.generator import HOUR_US, Stream
from schemas.instants import SECOND_US
from services.matcher.core.place import rung_between

URGENCIES: Final = ("red", "yellow", "blue")
# Weight ÷ optimum, and what part of the way from greedy to the optimum has to be made: a stream on which greedy does well must not make the goal easy.
GOALS: Final = {"ample": (0.995, 0.83), "balanced": (0.95, 0.58), "scarce": (0.85, 0.55)}
_MONTH: Final = "month"


@dataclass(frozen=True, slots=True)
class Wait:
    """From the wish to the first proposal or invitation, in hours."""

    wishes: int
    median: float
    p90: float


@dataclass(frozen=True, slots=True)
class Quality:
    """One contender on all streams of one shape.

    `ratio`, `matched_ratio`: weight and number of matches ÷ the optimum's. `zero_share`: helpers who never got a task. `gini`: of the tasks over helpers,
    0 where all have the same. `oldest_hours`: the longest that a wish waited from the moment on at which somebody could have helped, up to a proposal
    or, where none came, to its end. `red_share`: of the red wishes that ever had an eligible offer, those told of within a second; None: not watched.
    """

    shape: str
    contender: str
    weight: int
    matched: int
    ratio: float
    matched_ratio: float
    waits: dict[str, Wait]
    unhurried: Wait
    zero_share: float
    gini: float
    oldest_hours: float
    red_share: float | None
    seconds: float


def worth(stream: Stream, pair: Pair) -> int:
    """The weight of one match."""
    wish, offer = stream.wishes[pair.wish], stream.offers[pair.offer]
    return weight.worth(wish.urgency, rung_between(wish.place, offer.home), len(offer.skills) - len(wish.skills))


def tasks(stream: Stream, pairs: Iterable[Pair]) -> list[int]:
    """How many visits each helper of the stream makes."""
    found = dict.fromkeys((offer.volunteer for offer in stream.offers.values()), 0)
    for pair in pairs:
        found[stream.offers[pair.offer].volunteer] += 1
    return list(found.values())


def judge(runs: Sequence[tuple[Stream, Optimum, Played]]) -> Quality:
    """One contender on the streams of one shape."""
    played = [one for _, _, one in runs]
    gained = sum(worth(stream, pair) for stream, _, one in runs for pair in one.pairs)
    matched = sum(len(one.pairs) for one in played)
    hours = {urgency: sorted(_waits(runs, (urgency,))) for urgency in URGENCIES}
    everyone = [number for stream, _, one in runs for number in tasks(stream, one.pairs)]
    reds = [wait for one in played for wait in one.red_waits.values()]
    return Quality(
        shape=runs[0][0].shape.name,
        contender=played[0].contender,
        weight=gained,
        matched=matched,
        ratio=_part(gained, sum(optimum.weight for _, optimum, _ in runs)),
        matched_ratio=_part(matched, sum(optimum.matched for _, optimum, _ in runs)),
        waits={urgency: _wait(found) for urgency, found in hours.items()},
        unhurried=_wait(sorted(hours["yellow"] + hours["blue"])),
        zero_share=_part(everyone.count(0), len(everyone)),
        gini=gini(everyone),
        oldest_hours=max((_oldest(stream, optimum, one) for stream, optimum, one in runs), default=0.0),
        red_share=_part(sum(wait is not None and wait <= SECOND_US for wait in reds), len(reds)) if reds else None,
        seconds=sum(one.seconds for one in played),
    )


def verdicts(found: Sequence[Quality], contender: str) -> list[Verdict]:
    """What that contender comes to against the goals."""
    lines = []
    by_name = {(one.shape, one.contender): one for one in found}
    for shape, (goal, way) in GOALS.items():
        ours, peer = by_name.get((shape, contender)), by_name.get((shape, GREEDY))
        if ours is not None and peer is not None:
            lines += [
                Verdict(f"{shape}: weight ÷ optimum", ours.ratio, at_least=goal),
                Verdict(f"{shape}: the way from greedy's weight to the optimum's", _part(ours.ratio - peer.ratio, 1 - peer.ratio), at_least=way),
                Verdict(f"{shape}: matched ÷ optimum's", ours.matched_ratio, at_least=0.99),
            ]
    ours, peer = by_name.get((_MONTH, contender)), by_name.get((_MONTH, GREEDY))
    if ours is not None and peer is not None:
        lines += [
            Verdict("month: share of helpers with no task ÷ greedy's", _part(ours.zero_share, peer.zero_share), at_most=0.5),
            Verdict("month: weight ÷ greedy's", _part(ours.weight, peer.weight), at_least=0.99),
        ]
    reds = [one.red_share for one in found if one.contender == contender and one.red_share is not None]
    if reds:
        lines.append(Verdict("red wishes told of within a second of an eligible offer, the worst supply", min(reds), at_least=1.0))
    return lines


def _waits(runs: Sequence[tuple[Stream, Optimum, Played]], urgencies: tuple[str, ...]) -> list[float]:
    return [
        (at - stream.wishes[wish_id].at) / HOUR_US
        for stream, _, one in runs
        for wish_id, at in one.first.items()
        if stream.wishes[wish_id].urgency in urgencies
    ]


def _wait(ordered: Sequence[float]) -> Wait:
    return Wait(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.9)) if ordered else Wait(0, 0.0, 0.0)


def _oldest(stream: Stream, optimum: Optimum, played: Played) -> float:
    longest = max((played.first.get(wish_id, stream.wishes[wish_id].end) - since for wish_id, since in optimum.feasible.items()), default=0)
    return max(longest, 0) / HOUR_US


def _part(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
