"""What a measurement is, and the arithmetic: rates, percentiles, medians and spread. No I/O."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.verify import Judgement

_WARM_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """`per_second` from the first tenth on; `seconds` from the first match to the last; `cpu_us`: the worker's processor time a match, where it is known."""

    matches: int
    seconds: float
    per_second: float
    cpu_us: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One contender in one round; `retries`: transactions that lost a race and were begun anew, where there are such."""

    contender: str
    round: int
    timing: Timing
    judgement: Judgement
    retries: int | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Several values of one thing."""

    median: float
    lowest: float
    highest: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(median(values), min(values), max(values), tuple(values))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was aimed at, and what came out; printed, never asserted."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None

    @property
    def met(self) -> bool:
        """Whether the goal (not the aim) is reached."""
        return (self.at_least is None or self.value >= self.at_least) and (self.at_most is None or self.value <= self.at_most)


def timing(stamps: Sequence[float], cpu_us: float | None = None) -> Timing:
    """The rate at which matches came, by the instants (seconds, in order) at which they were there.

    The first tenth is left out, because contenders differ in how they begin: one lays down its first batch at once, another match by match. Matches of
    the instant at which counting begins are not counted, as they were made before it.
    """
    if len(stamps) < 2 or stamps[-1] <= stamps[0]:
        return Timing(len(stamps), 0.0, 0.0, cpu_us)
    begin = stamps[int(len(stamps) * _WARM_SHARE)]
    counted = len(stamps) - bisect_right(stamps, begin)
    span = stamps[-1] - begin
    return Timing(len(stamps), stamps[-1] - stamps[0], counted / span if span > 0 else 0.0, cpu_us)
