"""From the instant at which a wish was due to the arrival of its match at a consumer of `matches`.

Generator, matcher and observer are processes of their own, as they would be; the clock is the machine's. What is counted is a service that has been at work
for half a minute: until then a broker compiles itself, on cores that the others want. That half minute is told beside it, and judged by nobody.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import ours
from benchmarks.load import Load, areas
from benchmarks.measures import Verdict
from benchmarks.rig import Rig, Watch, cpu_seconds
from benchmarks.throughput import Say
from benchmarks.verify import possible
from deploy.process import Process
from deploy.whatif.counting import percentile
from schemas.topics import MATCHES, PARTITIONS

_POLL_MS: Final = 1000
_WARM_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is sent: `rate` a second, for `seconds` that count."""

    rate: int = 1_000
    seconds: int = 30
    offers: int = 10_000
    areas: int = 6
    rounds: int = 3
    warm_seconds: int = _WARM_SECONDS

    @property
    def wishes(self) -> int:
        """Drawn in all."""
        return self.rate * (self.seconds + self.warm_seconds)


SHORT = Pace(rate=200, seconds=2, offers=1_500, rounds=1, warm_seconds=1)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the scheduled send to the arrival.

    `warming_p50` and `warming_p99`: of what came before `wishes` were counted; `late_ms`: how late the generator itself was at worst; `cpu_share`: how much
    of one core the matcher took.
    """

    round: int
    wishes: int
    matched: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    warming_p50: float
    warming_p99: float
    late_ms: float
    cpu_share: float


def verdicts(rounds: list[Latency]) -> Iterator[Verdict]:
    """Against what was promised; the median of the rounds."""
    yield Verdict("event to match, p50, ms", sorted(one.p50 for one in rounds)[len(rounds) // 2], at_most=20)
    yield Verdict("event to match, p99, ms", sorted(one.p99 for one in rounds)[len(rounds) // 2], at_most=50)


class Observer:
    """Notes when each wish's match arrived."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="latest", fetch_max_wait_ms=500)
        self.arrived: dict[str, float] = {}

    async def start(self) -> None:
        """Read from the topic's end on."""
        await self._consumer.start()
        partitions = [TopicPartition(MATCHES, partition) for partition in range(PARTITIONS)]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_end(*partitions)
        for partition in partitions:
            await self._consumer.position(partition)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                runs = await self._consumer.getmany(timeout_ms=_POLL_MS)
                now = time.time()
                for run in runs.values():
                    for record in run:
                        self.arrived.setdefault(orjson.loads(record.value)["wish_id"], now)
        finally:
            await self._consumer.stop()


async def measure(rig: Rig, pace: Pace, seed: int, say: Say) -> list[Latency]:
    """All rounds."""
    rounds = []
    for number in range(1, pace.rounds + 1):
        one = await _round(rig, pace, seed, number)
        say(f"latency, round {number}: p50 {one.p50:.1f} ms, p99 {one.p99:.1f} ms, max {one.max:.1f} ms, {one.matched:,} of {one.wishes:,} matched")
        rounds.append(one)
    return rounds


async def _round(rig: Rig, pace: Pace, seed: int, number: int) -> Latency:
    await rig.fresh()
    now = datetime.now(UTC)
    load = Load(seed, areas(pace.areas), now)
    await ours.take_offers(rig, load.offers(pace.offers))
    plan, out = rig.folder / "plan.json", rig.folder / "paced.json"
    out.unlink(missing_ok=True)
    plan.write_bytes(orjson.dumps({"seed": seed, "areas": pace.areas, "offers": pace.offers, "wishes": pace.wishes, "rate": pace.rate, "now": now.isoformat()}))
    await rig.settle()
    worker = rig.matcher()
    generator = rig.process("benchmarks.pace", str(plan), str(out), env={"LASTMETRE_KAFKA": rig.bootstrap})
    observer = Observer(rig.bootstrap)
    await observer.start()
    watching = asyncio.create_task(observer.run())
    worker.start()
    try:
        await ours.until_owned(rig, worker)
        began, spent = time.monotonic(), cpu_seconds(worker)
        generator.start()
        await generator.wait()
        told = orjson.loads(out.read_bytes())
        await _until_still(observer, worker, int(told["sent"]))
        cpu_share = (cpu_seconds(worker) - spent) / (time.monotonic() - began)
    finally:
        await rig.end(generator)
        await rig.end(worker)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return _counted(pace, number, seed, now, told | {"cpu_share": cpu_share}, observer)


async def _until_still(observer: Observer, worker: Process, sent: int) -> None:
    async def arrived() -> int:
        return len(observer.arrived)

    await Watch(worker, sent).until(arrived)


def _counted(pace: Pace, number: int, seed: int, now: datetime, told: dict[str, float], observer: Observer) -> Latency:
    wishes = possible(Load(seed, areas(pace.areas), now), pace.offers, pace.wishes)
    counting_from = told["start"] + pace.warm_seconds
    due = {wish.id: told["start"] + index / pace.rate for index, wish in enumerate(wishes)}
    counted = sum(at >= counting_from for at in due.values())
    found = sorted((observer.arrived[wish_id] - at) * 1000 for wish_id, at in due.items() if at >= counting_from and wish_id in observer.arrived)
    warming = sorted((observer.arrived[wish_id] - at) * 1000 for wish_id, at in due.items() if at < counting_from and wish_id in observer.arrived)
    p50, p90, p99, p999 = (percentile(found, share) for share in (0.5, 0.9, 0.99, 0.999))
    early = (percentile(warming, 0.5), percentile(warming, 0.99))
    return Latency(number, counted, len(found), p50, p90, p99, p999, found[-1], *early, told["latest_ms"], told["cpu_share"])
