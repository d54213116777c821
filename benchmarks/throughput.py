"""Matches per second: the matcher and its two peers, with slots kept apart and without, on the same events, one after another, round by round.

A B C A B C: whatever the machine does meanwhile falls on all of them, and a ratio is formed within a round, never across.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, NamedTuple

import orjson

from benchmarks import ours, skip_locked, skip_locked_sql
from benchmarks.load import Load, Record, areas
from benchmarks.measures import Run, Spread, Timing, Verdict, timing
from benchmarks.rig import Rig
from benchmarks.skip_locked import Form
from benchmarks.verify import Judge, Made, possible

# The contenders, as tables name them.
OURS: Final = "last metre"
SKIP_LOCKED: Final = "skip locked"
SKIP_FUNCTION: Final = "skip locked, in one function"
PLAIN_FAUST: Final = "plain faust"
# The peers as they are easier to write: one volunteer's slots may overlap.
SKIP_LOCKED_SPARED: Final = "skip locked, slots not kept apart"
SKIP_FUNCTION_SPARED: Final = "skip locked, in one function, slots not kept apart"
PLAIN_FAUST_SPARED: Final = "plain faust, slots not kept apart"
CONTENDERS: Final = (OURS, SKIP_LOCKED, SKIP_FUNCTION, PLAIN_FAUST, SKIP_LOCKED_SPARED, SKIP_FUNCTION_SPARED, PLAIN_FAUST_SPARED)
SPARED: Final = frozenset({SKIP_LOCKED_SPARED, SKIP_FUNCTION_SPARED, PLAIN_FAUST_SPARED})
_FORMS: Final = {
    SKIP_LOCKED: Form.LOOP,
    SKIP_FUNCTION: Form.FUNCTION,
    SKIP_LOCKED_SPARED: Form.LOOP_SPARED,
    SKIP_FUNCTION_SPARED: Form.FUNCTION_SPARED,
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: `trial_wishes` is for finding the peer's best number of connections."""

    offers: int = 10_000
    wishes: int = 40_000
    areas: int = 6
    rounds: int = 5
    connections: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    trial_wishes: int = 4_000
    contenders: tuple[str, ...] = CONTENDERS


SHORT = Sizes(offers=600, wishes=300, rounds=1, connections=(4,))


@dataclass(slots=True)
class Stream:
    """The events of a measurement, and the judge who knows them."""

    offers: list[Record]
    wishes: list[Record]
    judge: Judge

    @classmethod
    def of(cls, sizes: Sizes, seed: int) -> "Stream":
        """Wishes that no offer at all fits are left out: then everyone makes as many matches as there are wishes."""
        load = Load(seed, areas(sizes.areas), datetime.now(UTC))
        offers = list(load.offers(sizes.offers))
        return cls(offers, possible(load, sizes.offers, sizes.wishes), Judge(offers))


@dataclass(slots=True)
class Result:
    """What came out: runs in the order in which they were made, and trials of the peer by form and number of connections."""

    sizes: Sizes
    runs: list[Run] = field(default_factory=list)
    trials: list[tuple[Form, int, Timing]] = field(default_factory=list)

    def rates(self, contender: str) -> Spread:
        """Matches per second over the rounds."""
        return Spread.of([run.timing.per_second for run in self.runs if run.contender == contender])

    def ratio(self, to: str) -> Spread:
        """The matcher's rate over another's, in each round."""
        pairs = zip(self.rates(OURS).values, self.rates(to).values, strict=True)
        return Spread.of([ours_rate / theirs if theirs else 0.0 for ours_rate, theirs in pairs])

    def best(self, form: Form) -> int:
        """The number of connections with which the peer was fastest."""
        if len(self.sizes.connections) == 1:
            return self.sizes.connections[0]
        return max((one for one in self.trials if one[0] == form), key=lambda one: one[2].per_second)[1]

    def verdicts(self) -> Iterator[Verdict]:
        """Against what was promised: peers that keep the matching's rules first, then those that let a volunteer's slots overlap, by the same measure."""
        for peer, name, at_least, aim in (
            (SKIP_LOCKED, "SKIP LOCKED loop", 6, 10),
            (PLAIN_FAUST, "plain Faust agent", 3, 4),
            (SKIP_LOCKED_SPARED, "SKIP LOCKED loop, slots not kept apart", 6, 10),
            (PLAIN_FAUST_SPARED, "plain Faust agent, slots not kept apart", 3, 4),
        ):
            if any(run.contender == peer for run in self.runs):
                yield Verdict(f"matches per second ÷ {name}", self.ratio(peer).median, at_least=at_least, aim=aim)


class Measured(NamedTuple):
    """What came of one contender: `stamps` in seconds since the epoch, `cpu_us` a match, and how many transactions were begun anew, where there are such."""

    stamps: list[float]
    made: list[Made]
    cpu_us: float | None = None
    retries: int | None = None


class Throughput:
    """The measurement on one rig."""

    def __init__(self, rig: Rig, sizes: Sizes, seed: int, say: Say) -> None:
        self._rig, self._sizes, self._say = rig, sizes, say
        self._stream = Stream.of(sizes, seed)
        self._names = count(1)

    async def run(self) -> Result:
        """Find the peer's best number of connections (where there is a choice), then all rounds."""
        result = Result(self._sizes)
        numbers = self._sizes.connections
        for connections in numbers if len(numbers) > 1 else ():
            for form in Form:
                trial = await self._skip_locked(form, connections, self._stream.wishes[: self._sizes.trial_wishes])
                found = timing(trial.stamps)
                result.trials.append((form, connections, found))
                self._say(f"skip locked ({form}), {connections} connections: {found.per_second:,.0f}/s, {trial.retries:,} begun anew")
        wishes = self._stream.wishes
        for number in range(1, self._sizes.rounds + 1):
            for name in self._sizes.contenders:
                if name in _FORMS:
                    measured = await self._skip_locked(_FORMS[name], result.best(_FORMS[name]), wishes)
                elif name == OURS:
                    measured = await self._ours(wishes)
                else:
                    measured = await self._plain_faust(wishes, apart=name == PLAIN_FAUST)
                judgement = self._stream.judge.judge(wishes, measured.made, apart=name not in SPARED)
                run = Run(name, number, timing(measured.stamps, measured.cpu_us), judgement, measured.retries)
                result.runs.append(run)
                self._say(f"round {number}, {name}: {run.timing.per_second:,.0f}/s, {judgement.matches:,} matches, faults: {judgement.faults or 'none'}")
        return result

    async def _ours(self, wishes: Sequence[Record]) -> Measured:
        rig = self._rig
        await rig.fresh()
        await ours.take_offers(rig, self._stream.offers)
        await rig.publish(wishes)
        cpu_us = await ours.work_off(rig, len(wishes))
        seen = await rig.matches()
        stored = await ours.committed(rig)
        if stored != len(seen) or rig.repeats:
            self._say(f"on the topic {len(seen):,}, committed {stored:,}, published twice {rig.repeats:,}")
        return Measured([one.at for one in seen], list(ours.made(seen)), cpu_us)

    async def _skip_locked(self, form: Form, connections: int, wishes: Sequence[Record]) -> Measured:
        rig = self._rig
        if not rig.database:
            await rig.fresh()
        connection = await rig.connect()
        try:
            await skip_locked.prepare(connection, form, self._stream.offers, wishes)
            await rig.settle()
            out = rig.folder / "worked.json"
            out.unlink(missing_ok=True)
            worker = rig.process("benchmarks.skip_locked", form, str(connections), str(out), env={"LASTMETRE_DATABASE": rig.owner_dsn})
            worker.start()
            try:
                await worker.wait()
            finally:
                await rig.end(worker)
            worked: dict[str, Any] = orjson.loads(out.read_bytes())
            made = [Made(*row) for row in await connection.fetch(skip_locked_sql.MATCHES)]
            return Measured(worked["commits"], made, retries=worked["retries"])
        finally:
            await connection.close()

    async def _plain_faust(self, wishes: Sequence[Record], *, apart: bool) -> Measured:
        rig = self._rig
        await rig.fresh()
        await rig.publish(self._stream.offers)
        await rig.publish(wishes)
        await rig.settle()
        slots = "apart" if apart else "spared"
        worker = rig.process("benchmarks.plain_faust", rig.bootstrap, f"bench-plain-faust-{next(self._names)}", "uvloop", slots)
        worker.start()
        try:
            cpu_us = await rig.await_matches(len(wishes), worker)
        finally:
            await rig.end(worker)
        seen = await rig.matches()
        return Measured([one.at for one in seen], list(ours.made(seen)), cpu_us)
