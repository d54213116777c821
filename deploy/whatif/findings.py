"""What is counted of each policy on a month. No I/O.

Whatever does not depend on the policy (who wished, who offered, since when each wish could have been helped) is found once: :class:`Known`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.whatif.answers import Answers, Pair
from deploy.whatif.counting import gini, percentile
from deploy.whatif.course import Tally
from deploy.whatif.months import Month, wishes
from deploy.whatif.weight import WEIGHT_MAX
from schemas.instants import MINUTE_US
from services.matcher.core.policy import URGENCIES
from services.matcher.core.rules import refusal
from services.matcher.core.state import Offer, Volunteer, Wish

HOUR_US: Final = 60 * MINUTE_US
_NEVER: Final = 1 << 62
_POSTED: Final = "lastmetre.offer.posted.v1"
_OFFER_OVER: Final = frozenset({"lastmetre.offer.withdrawn.v1", "lastmetre.offer.suspended.v1"})
_WISH_OVER: Final = frozenset({"lastmetre.wish.withdrawn.v1", "lastmetre.consent.withdrawn.v1"})

# (area, wish id)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class WishFact:
    """One wish. Instants in microseconds; `over_at`: its deadline, or when it was taken back; `feasible_at`: since when somebody could have helped."""

    at: int
    over_at: int
    urgency: str
    category: str
    need: int
    feasible_at: int | None


@dataclass(slots=True)
class Known:
    """What holds whichever policy decides."""

    wishes: dict[Key, WishFact] = field(default_factory=dict)
    volunteers: set[tuple[str, str]] = field(default_factory=set)
    offers: int = 0

    @property
    def places(self) -> int:
        """How many helpers are wanted in all."""
        return sum(wish.need for wish in self.wishes.values())


@dataclass(frozen=True, slots=True)
class Share:
    """Helpers' places that were filled, of those that were wished."""

    filled: int
    places: int

    @property
    def part(self) -> float:
        """From 0 to 1; of nothing, 0."""
        return self.filled / self.places if self.places else 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Hours, over the wishes that came so far."""

    wishes: int
    median: float
    p90: float


@dataclass(frozen=True, slots=True)
class Row:
    """One policy.

    `first`: from a wish to the first proposal or invitation, by urgency; `sure`: to the first confirmed helper; `unhurried`: `first` of yellow and blue
    together. `quality`: weight of what stood ÷ the most that all wished places could weigh. `tasks`: visits by volunteer, in order. `oldest`: (hours,
    wish) of the longest that a wish waited from when somebody could have helped up to the first proposal or its end; None: there is none.
    """

    name: str
    fill: Share
    whole: int
    by_urgency: dict[str, Share]
    by_category: dict[str, Share]
    first: dict[str, Wait]
    sure: dict[str, Wait]
    unhurried: Wait
    weight: int
    quality: float
    tasks: tuple[int, ...]
    oldest: tuple[float, str] | None
    asked: int
    released: dict[str, int]
    refused_claims: int

    @property
    def gini(self) -> float:
        """How unevenly the visits are spread over all volunteers."""
        return gini(self.tasks)

    @property
    def idle(self) -> float:
        """The share of volunteers without a task."""
        return self.tasks.count(0) / len(self.tasks) if self.tasks else 0.0

    @property
    def mean_weight(self) -> float:
        """Of one match."""
        return self.weight / self.fill.filled if self.fill.filled else 0.0

    @property
    def asked_per_match(self) -> float | None:
        """How often a helper was asked for each match that stood; None: there is no match."""
        return self.asked / self.fill.filled if self.fill.filled else None


@dataclass(slots=True)
class _Posting:
    """An offer as it was posted at one instant, up to the next word about it."""

    offer: Offer
    at: int
    until: int = _NEVER


def known(month: Month) -> Known:
    """What holds on that month whichever policy decides."""
    found = Known()
    postings = {area: list[_Posting]() for area in month.arrivals}
    over: dict[Key, int] = {}
    for area, arrivals in month.arrivals.items():
        standing: dict[str, _Posting] = {}
        for arrival in arrivals:
            event, data = arrival.event, arrival.event.data
            if event.type == _POSTED:
                _end(standing, data.offer_id, arrival.at)
                offer = Offer(data.offer_id)
                offer.fill(data, Volunteer(data.volunteer_ref))
                standing[offer.id] = _Posting(offer, arrival.at)
                postings[area].append(standing[offer.id])
                found.volunteers.add((area, data.volunteer_ref))
            elif event.type in _OFFER_OVER:
                _end(standing, data.offer_id, arrival.at)
            elif event.type in _WISH_OVER:
                over.setdefault((area, data.wish_id), arrival.at)
        found.offers += len({posting.offer.id for posting in postings[area]})
    by_skill = {area: _by_skill(some) for area, some in postings.items()}
    for area, arrival in wishes(month):
        wish = Wish(arrival.event.data, arrival.at)
        over_at = min(max(wish.end, arrival.at), over.get((area, wish.id), _NEVER))
        since = _feasible(area, wish, by_skill[area], month.answers, over_at)
        found.wishes[area, wish.id] = WishFact(arrival.at, over_at, wish.urgency, wish.category, wish.need, since)
    return found


def _end(standing: dict[str, _Posting], offer_id: str, at: int) -> None:
    before = standing.pop(offer_id, None)
    if before is not None:
        before.until = at


def _by_skill(postings: Iterable[_Posting]) -> dict[str, list[_Posting]]:
    found: dict[str, list[_Posting]] = defaultdict(list)
    for posting in postings:
        for skill in posting.offer.skills:
            found[skill].append(posting)
    return found


def _feasible(area: str, wish: Wish, by_skill: Mapping[str, Sequence[_Posting]], answers: Answers, over_at: int) -> int | None:
    """The first instant at which enough helpers, whose time were all free, could be sent and would come; two for a wish for two together."""
    since: dict[str, int] = {}
    for posting in min((by_skill.get(skill, ()) for skill in wish.skills), key=len):
        offer, at = posting.offer, max(wish.submitted_at, posting.at)
        ref = offer.volunteer.ref
        if at >= min(posting.until, over_at, since.get(ref, _NEVER)) or refusal(wish, offer, at) is not None:
            continue
        if not offer.asks or answers.asked(Pair(area, wish.id, offer.id, ref, wish.urgency)).yes:
            since[ref] = at
    enough = 2 if wish.together else 1
    return sorted(since.values())[enough - 1] if len(since) >= enough else None


def row(name: str, of: Known, tallies: Mapping[str, Tally]) -> Row:
    """What one policy came to; `tallies` by area."""
    filled: Counter[Key] = Counter()
    tasks = dict.fromkeys(sorted(of.volunteers), 0)
    released: Counter[str] = Counter()
    weight = 0
    for area, tally in tallies.items():
        released.update(tally.released)
        for stood in tally.stood:
            filled[area, stood.wish] += 1
            tasks[area, stood.volunteer] = tasks.get((area, stood.volunteer), 0) + 1
            weight += stood.weight
    first = _hours(of, {area: tally.first for area, tally in tallies.items()})
    sure = _hours(of, {area: tally.sure for area, tally in tallies.items()})
    categories = sorted({wish.category for wish in of.wishes.values()})
    return Row(
        name=name,
        fill=_share(filled, of.wishes.items()),
        whole=sum(filled[key] >= wish.need for key, wish in of.wishes.items()),
        by_urgency={one: _share(filled, _only(of, "urgency", one)) for one in URGENCIES},
        by_category={one: _share(filled, _only(of, "category", one)) for one in categories},
        first={one: _wait(first[one]) for one in URGENCIES},
        sure={one: _wait(sure[one]) for one in URGENCIES},
        unhurried=_wait(first["yellow"] + first["blue"]),
        weight=weight,
        quality=weight / (of.places * WEIGHT_MAX) if of.places else 0.0,
        tasks=tuple(sorted(tasks.values())),
        oldest=_oldest(of, tallies),
        asked=sum(tally.asked for tally in tallies.values()),
        released={reason: released[reason] for reason in sorted(released)},
        refused_claims=sum(tally.refused_claims for tally in tallies.values()),
    )


def _only(of: Known, what: str, value: str) -> list[tuple[Key, WishFact]]:
    return [(key, wish) for key, wish in of.wishes.items() if getattr(wish, what) == value]


def _share(filled: Mapping[Key, int], some: Iterable[tuple[Key, WishFact]]) -> Share:
    pairs = list(some)
    return Share(sum(filled.get(key, 0) for key, _ in pairs), sum(wish.need for _, wish in pairs))


def _hours(of: Known, instants: Mapping[str, Mapping[str, int]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {one: [] for one in URGENCIES}
    for area, by_wish in instants.items():
        for wish_id, at in by_wish.items():
            wish = of.wishes[area, wish_id]
            found[wish.urgency].append((at - wish.at) / HOUR_US)
    return found


def _wait(hours: Sequence[float]) -> Wait:
    ordered = sorted(hours)
    return Wait(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.9)) if ordered else Wait(0, 0.0, 0.0)


def _oldest(of: Known, tallies: Mapping[str, Tally]) -> tuple[float, str] | None:
    waits: list[tuple[int, Any]] = []
    for (area, wish_id), wish in of.wishes.items():
        if wish.feasible_at is not None:
            until = tallies[area].first.get(wish_id, wish.over_at)
            waits.append((max(until - wish.feasible_at, 0), wish_id))
    longest = max((one for one in waits if one[0]), key=lambda one: one[0], default=None)
    return None if longest is None else (longest[0] / HOUR_US, longest[1])
