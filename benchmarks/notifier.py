"""The notifier beside the matcher: does it confirm as fast as matches are proposed, and how long does a proposal take until both sides are told?

The matcher alone works off a backlog of wishes, then the notifier alone works off the proposals that the matcher has just written: the same events, the same
servers, one after the other, with as many processes of each as `python3 -m deploy up` starts; and once more with a single notifier. The broker's own
stamps count (`LogAppendTime`). For the latency proposals come at a fixed pace, and the clock runs from when each was due until `match.confirmed` is on
Kafka, which is after both notices were recorded and committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from benchmarks import ours, throughput
from benchmarks.measures import Spread, Timing, Verdict, timing
from benchmarks.rig import Rig, Seen, Watch
from benchmarks.throughput import Say
from deploy.cli import NOTIFIERS
from deploy.process import Process
from deploy.whatif.counting import percentile
from schemas.topics import CONFIRMATIONS, PARTITIONS

# Makes ready in a new database what the notifiers need, and gives their settings.
Prepared = Callable[[], Awaitable[Mapping[str, str]]]
_PROPOSED: Final = "lastmetre.match.proposed.v1"
_CONFIRMED: Final = "lastmetre.match.confirmed.v1"
_OWNED: Final = "SELECT count(*)::int FROM notifying.partitions"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: a backlog of `wishes`, and proposals at `rate` a second for `seconds` after `warm_seconds`; `notifiers`: processes."""

    offers: int = 10_000
    wishes: int = 20_000
    areas: int = 6
    rounds: int = 3
    rate: int = 500
    seconds: int = 20
    warm_seconds: int = 5
    notifiers: int = NOTIFIERS


SHORT: Final = Sizes(offers=600, wishes=300, rounds=1, rate=50, seconds=2, warm_seconds=1)


@dataclass(frozen=True, slots=True)
class Told:
    """Milliseconds from when a proposal was due until both sides were told; `late_ms`: how late the generator was at worst."""

    matches: int
    p50: float
    p99: float
    max: float
    late_ms: float


@dataclass(frozen=True, slots=True)
class Pass:
    """A backlog proposed by the matcher, then confirmed by so many notifiers."""

    round: int
    notifiers: int
    proposed: Timing
    confirmed: Timing

    @property
    def ratio(self) -> float:
        """Confirmations a second over proposals a second."""
        return self.confirmed.per_second / self.proposed.per_second if self.proposed.per_second else 0.0


@dataclass(slots=True)
class Result:
    """Each round has a pass with all notifiers, one with a single one, and the latency."""

    sizes: Sizes
    passes: list[Pass] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    def ratio(self, notifiers: int) -> Spread:
        """Confirmations a second over proposals a second, in each round."""
        return Spread.of([one.ratio for one in self.passes if one.notifiers == notifiers])

    def verdicts(self) -> Iterator[Verdict]:
        """Against what was promised; the median of the rounds."""
        yield Verdict("confirmations per second ÷ proposals per second", self.ratio(self.sizes.notifiers).median, at_least=1)
        if self.sizes.notifiers > 1:
            yield Verdict("confirmations per second ÷ proposals per second, a single notifier", self.ratio(1).median, at_least=1)
        p99 = Spread.of([one.p99 for one in self.told]).median
        yield Verdict(f"event to both notices at {self.sizes.rate} matches a second, p99, ms", p99, at_most=100)


async def measure(rig: Rig, sizes: Sizes, seed: int, say: Say, env: Mapping[str, str]) -> Result:
    """All rounds. `env`: more settings of the notifier, such as those that open the vault for it."""
    result = Result(sizes)

    async def usual() -> Mapping[str, str]:
        return env

    stream = throughput.Stream.of(throughput.Sizes(offers=sizes.offers, wishes=sizes.wishes, areas=sizes.areas), seed)
    for number in range(1, sizes.rounds + 1):
        for notifiers in sorted({sizes.notifiers, 1}, reverse=True):
            one = await one_pass(rig, stream, number, notifiers, usual)
            result.passes.append(one)
            say(f"notifier, round {number}, processes: {notifiers}: {one.proposed.per_second:,.0f} proposed/s, {one.confirmed.per_second:,.0f} confirmed/s")
        told = await latency(rig, sizes, usual)
        result.told.append(told)
        say(f"notifier, round {number}: p50 {told.p50:.1f} ms, p99 {told.p99:.1f} ms")
    return result


async def one_pass(rig: Rig, stream: throughput.Stream, number: int, notifiers: int, prepared: Prepared) -> Pass:
    """One pass on a new database."""
    env = await _laid_out(rig, stream, prepared)
    cpu_us = await ours.work_off(rig, len(stream.wishes))
    proposed = timing([one.at for one in await _seen(rig, _PROPOSED)], cpu_us)
    cpu_us = await _confirm(rig, proposed.matches, notifiers, env)
    return Pass(number, notifiers, proposed, timing([one.at for one in await _seen(rig, _CONFIRMED, CONFIRMATIONS)], cpu_us))


async def _laid_out(rig: Rig, stream: throughput.Stream, prepared: Prepared) -> Mapping[str, str]:
    """A new database with the offers taken in, and the wishes waiting on their topic; the notifiers' settings."""
    await rig.fresh()
    env = await prepared()
    await ours.take_offers(rig, stream.offers)
    await rig.publish(stream.wishes)
    return env


async def beside(rig: Rig, stream: throughput.Stream, number: int, notifiers: int, prepared: Prepared) -> Pass:
    """The same with both at work on the backlog at once, each taking what the other leaves of the machine."""
    env = await _laid_out(rig, stream, prepared)
    await rig.settle()
    workers = [rig.matcher(), *(rig.notifier(env) for _ in range(notifiers))]
    try:
        for worker in workers:
            worker.start()
        await rig.await_matches(len(stream.wishes), workers, CONFIRMATIONS)
    finally:
        await _end(rig, workers)
    proposed, confirmed = await _seen(rig, _PROPOSED), await _seen(rig, _CONFIRMED, CONFIRMATIONS)
    return Pass(number, notifiers, timing([one.at for one in proposed]), timing([one.at for one in confirmed]))


async def _seen(rig: Rig, kind: str, topic: str = "matches") -> list[Seen]:
    return [one for one in await rig.matches(topic) if one.type == kind]


async def _confirm(rig: Rig, matches: int, notifiers: int, env: Mapping[str, str]) -> float:
    """Start notifiers on the proposals that wait, stop them when all are confirmed; their processor time a match, in microseconds."""
    await rig.settle()
    workers = [rig.notifier(env) for _ in range(notifiers)]
    try:
        for worker in workers:
            worker.start()
        # Kafka is asked: to count rows as often would take as much of the database as a tenth of what is measured.
        return await rig.await_matches(matches, workers, CONFIRMATIONS)
    finally:
        await _end(rig, workers)


async def _end(rig: Rig, workers: Sequence[Process]) -> None:
    await asyncio.gather(*(rig.end(worker) for worker in workers))


async def latency(rig: Rig, sizes: Sizes, prepared: Prepared) -> Told:
    """From when each proposal was due until its confirmation is on Kafka. `prepared` as in `one_pass`."""
    await rig.fresh()
    env = await prepared()
    number = sizes.rate * (sizes.seconds + sizes.warm_seconds)
    plan, out = rig.folder / "proposals.json", rig.folder / "proposed.json"
    out.unlink(missing_ok=True)
    plan.write_bytes(orjson.dumps({"number": number, "areas": sizes.areas, "rate": sizes.rate}))
    await rig.settle()
    workers = [rig.notifier(env) for _ in range(sizes.notifiers)]
    generator = rig.process("benchmarks.proposals", str(plan), str(out), env={"LASTMETRE_KAFKA": rig.bootstrap})
    try:
        for worker in workers:
            worker.start()
        connection = await rig.connect()
        try:
            await Watch(workers, PARTITIONS).until(lambda: connection.fetchval(_OWNED))
        finally:
            await connection.close()
        generator.start()
        await rig.await_matches(number, workers, CONFIRMATIONS)
        await generator.wait()
    finally:
        await rig.end(generator)
        await _end(rig, workers)
    sent = orjson.loads(out.read_bytes())
    found = []
    for one in await _seen(rig, _CONFIRMED, CONFIRMATIONS):
        index = int(orjson.loads(one.value)["match_id"].rpartition("-")[2])
        if index >= sizes.rate * sizes.warm_seconds:
            found.append((one.at - sent["start"] - index / sizes.rate) * 1000)
    found.sort()
    return Told(len(found), percentile(found, 0.5), percentile(found, 0.99), found[-1], sent["latest_ms"])
