"""Does a decision cost more when more offers are open? The same wishes, with a few and with very many offers, in turn.

Two rigs stand side by side, and only one of them works at a time. All offers come through topic `offers`. The small one is made anew each round, as its
offers fill up; the large one is loaded once, and each round's wishes change it little. The wishes come once the worker has
all open offers in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks import ours
from benchmarks.load import Load, areas
from benchmarks.measures import Spread, Timing, Verdict, timing
from benchmarks.rig import Rig
from benchmarks.throughput import Say
from benchmarks.verify import possible


@dataclass(frozen=True, slots=True)
class Scale:
    """How many offers are open, and how many wishes come."""

    few: int = 2_000
    many: int = 200_000
    wishes: int = 12_000
    areas: int = 6
    rounds: int = 5


SHORT = Scale(few=600, many=3_000, wishes=600, rounds=1)


@dataclass(slots=True)
class Scaling:
    """Timings by number of offers, in the order of the rounds."""

    scale: Scale
    timings: dict[int, list[Timing]] = field(default_factory=dict)

    def rates(self, offers: int) -> Spread:
        """Matches per second over the rounds."""
        return Spread.of([one.per_second for one in self.timings[offers]])

    def ratio(self) -> Spread:
        """Many over few, in each round."""
        pairs = zip(self.rates(self.scale.many).values, self.rates(self.scale.few).values, strict=True)
        return Spread.of([many / few if few else 0.0 for many, few in pairs])

    def verdicts(self) -> Iterator[Verdict]:
        """Against what was promised."""
        yield Verdict(f"matches per second with {self.scale.many:,} open offers ÷ with {self.scale.few:,}", self.ratio().median, at_least=0.8)


async def measure(few: Rig, many: Rig, scale: Scale, seed: int, say: Say) -> Scaling:
    """All rounds."""
    now = datetime.now(UTC)
    result = Scaling(scale)
    for number in range(1, scale.rounds + 1):
        for rig, offers in ((few, scale.few), (many, scale.many)):
            if offers == scale.few or number == 1:
                await rig.fresh()
                await ours.take_offers(rig, Load(seed, areas(scale.areas), now, run="offers").offers(offers))
            # The same wishes for both, namely those that the few can meet; another name for each round.
            wishes = possible(Load(seed, areas(scale.areas), now, run=f"round{number}"), scale.few, scale.wishes)
            before = len(await rig.matches())
            cpu_us = await ours.take_wishes(rig, wishes)
            found = timing([one.at for one in (await rig.matches())[before:]], cpu_us)
            result.timings.setdefault(offers, []).append(found)
            told = f"{found.matches:,} of {len(wishes):,} matched, {rig.repeats:,} published twice"
            say(f"scaling, round {number}, {offers:,} offers: {found.per_second:,.0f}/s, {told}")
    return result
