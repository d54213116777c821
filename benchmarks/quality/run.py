"""One measurement: every contender on every stream, and the curve of what waiting gains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.quality import core, greedy, optimum
from benchmarks.quality.measures import Quality, judge
from benchmarks.quality.optimum import Optimum
from benchmarks.quality.played import Played
from benchmarks.quality.shapes import PATIENCE, patient
from deploy.whatif.generator import Shape, Stream, generate
from services.matcher.core.policy import Policy

Say = Callable[[str], None]
Contender = Callable[[Stream], Played]


@dataclass(frozen=True, slots=True)
class Best:
    """The optimum of one shape's streams, for the table."""

    shape: str
    streams: int
    places: int
    visits: int
    offers: int
    weight: int
    matched: int


@dataclass(frozen=True, slots=True)
class Point:
    """One policy on the curve: `patience` times what is shipped."""

    shape: str
    patience: float
    median_hours: float
    ratio: float


@dataclass(slots=True)
class Found:
    """All that was measured."""

    best: list[Best] = field(default_factory=list)
    qualities: list[Quality] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)


def measure(shapes: Sequence[Shape], policies: Mapping[str, Policy], seed: int, say: Say, *, curve: bool = True) -> Found:
    """Everyone on everything."""
    found = Found()
    for shape in shapes:
        streams = [generate(shape, seed + number) for number in range(shape.streams)]
        solved = [(stream, optimum.solve(stream)) for stream in streams]
        found.best.append(_best(shape, solved))
        say(f"{shape.name}: {found.best[-1].places:,} places and {found.best[-1].visits:,} visits offered; {found.best[-1].matched:,} matched in hindsight")
        for contender in (greedy.play, *(_core(name, policy) for name, policy in policies.items())):
            quality = judge([(stream, best, contender(stream)) for stream, best in solved])
            found.qualities.append(quality)
            say(f"{shape.name}, {quality.contender}: {quality.ratio:.3f} of the weight, {quality.matched_ratio:.3f} of the matches, {quality.seconds:.1f} s")
        if curve and not shape.helpers:  # of the first stream: it shows a shape, and rounds over large pools take their time
            found.curve += [_point(shape, solved[:1], factor, say) for factor in PATIENCE]
    return found


def _core(name: str, policy: Policy) -> Contender:
    return lambda stream: core.play(stream, name, policy)


def _best(shape: Shape, solved: Sequence[tuple[Stream, Optimum]]) -> Best:
    streams = [stream for stream, _ in solved]
    return Best(
        shape=shape.name,
        streams=len(solved),
        places=sum(wish.need for stream in streams for wish in stream.wishes.values()),
        visits=sum(offer.visits for stream in streams for offer in stream.offers.values()),
        offers=sum(len(stream.offers) for stream in streams),
        weight=sum(best.weight for _, best in solved),
        matched=sum(best.matched for _, best in solved),
    )


def _point(shape: Shape, solved: Sequence[tuple[Stream, Optimum]], factor: float, say: Say) -> Point:
    name = f"patience × {factor:g}"
    quality = judge([(stream, best, core.play(stream, name, patient(factor))) for stream, best in solved])
    say(f"{shape.name}, {name}: {quality.ratio:.3f} of the weight, median wait {quality.unhurried.median:.1f} h")
    return Point(shape.name, factor, quality.unhurried.median, quality.ratio)
