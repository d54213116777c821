"""The servers that everyone is measured on, and what all measurements need of them.

One Kafka and one PostgreSQL, as `deploy` starts them, serve all contenders, one at a time; each measurement begins with empty topics and a new database.
Topics are stamped by the broker (`LogAppendTime`), so that when a match is on Kafka is said by neither contender nor by an observer that would
take processor time.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.load import Record
from deploy import migrate, topics
from deploy.process import Process
from deploy.stack import Stack
from deploy.state import ROOT, State, default_folder
from schemas.topics import CONFIRMATIONS, MATCHES, OFFERS, PARTITIONS, TOPICS, WISHES, dead_letter_topic

_AT_ONCE: Final = Path(__file__).with_name("at-once.toml")
_TEMPLATE: Final = "bench_template"
_REMADE: Final = (WISHES, OFFERS, MATCHES, CONFIRMATIONS, dead_letter_topic(WISHES), dead_letter_topic(OFFERS))
_BATCH_BYTES: Final = 512 * 1024
_POLL_SECONDS: Final = 0.05
_STALL_SECONDS: Final = 240.0  # loading very many offers takes a while on a busy machine
_STOP_SECONDS: Final = 20.0


class Stalled(Exception):
    """A contender makes no progress any more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One match on the topic: when the broker had it, in seconds since the epoch."""

    at: float
    value: bytes
    type: str = ""
    id: str = ""


class Rig:
    """Kafka and PostgreSQL in a folder of their own, for as long as the `async with` lasts."""

    def __init__(self, parent: Path | None = None) -> None:
        """Args: `parent` is where the folder is made; by default in the repository's state folder, as /tmp may lie in memory, where fsync costs nothing."""
        parent = parent or default_folder() / "benchmarks"
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self._stack = Stack(self.folder, services=())
        self._databases = count(1)
        self._names = count(1)
        self.database = ""
        self.repeats = 0
        """How many events `matches()` found on the topic a second time."""

    async def __aenter__(self) -> Self:
        await self._stack.start()
        await migrate.prepare(self._stack.postgres, _TEMPLATE)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.stop()
        if error is None:
            shutil.rmtree(self.folder)
        else:
            print(f"logs: {self._stack.state.logs}", file=sys.stderr)

    # --- servers

    @property
    def state(self) -> State:
        """The folder's state: keys, passwords, ports."""
        return self._stack.state

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self._stack.kafka.bootstrap

    @property
    def owner_dsn(self) -> str:
        """The owner's connection string for the measurement's database."""
        return self._stack.postgres.owner_dsn(self.database)

    def dsn(self, role: str) -> str:
        """A role's connection string for the measurement's database."""
        return self._stack.postgres.dsn(role, self.database)

    async def fresh(self) -> None:
        """Empty topics and a new database."""
        remade = [topic for topic in TOPICS if topic.name in _REMADE]
        await topics.remake(self.bootstrap, remade)
        if self.database:
            await migrate.drop(self._stack.postgres, self.database)
        self.database = f"bench_{next(self._databases)}"
        await migrate.prepare(self._stack.postgres, self.database, template=_TEMPLATE)

    async def connect(self) -> asyncpg.Connection:
        """A connection of the owner's to the measurement's database."""
        return await asyncpg.connect(self.owner_dsn)

    async def settle(self) -> None:
        """Have PostgreSQL write out what the preparation left behind, so that no checkpoint of one contender falls to the next."""
        connection = await self.connect()
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    # --- processes

    def process(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        """`python -m module arguments`, its output in a log of its own; not started yet."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_")}
        log = self._stack.state.logs / f"{next(self._names):03d}-{module.rpartition('.')[2]}.log"
        return Process([sys.executable, "-m", module, *arguments], log=log, env=ours | dict(env or {}), cwd=ROOT)

    def matcher(self, wrapper: Sequence[str] = (), *, ops_port: int = 0) -> Process:
        """One matcher worker as it ships, but that it tries each wish when it comes, as the peers do.

        `wrapper` is a module and its arguments that run it (the profiler). `ops_port`: where it answers.
        """
        dsn = self._stack.postgres.dsn("lastmetre_matcher", self.database)
        env = {"LASTMETRE_KAFKA": self.bootstrap, "LASTMETRE_DATABASE": dsn, "LASTMETRE_OPS_PORT": str(ops_port), "LASTMETRE_POLICY": str(_AT_ONCE)}
        module, *arguments = (*wrapper, "services.matcher")
        return self.process(module, *arguments, env=env)

    def notifier(self, more: Mapping[str, str]) -> Process:
        """One notifier as it ships, that tells people through the console; `more` settings on top."""
        dsn = self._stack.postgres.dsn("lastmetre_notifier", self.database)
        return self.process("services.notifier", env={"LASTMETRE_KAFKA": self.bootstrap, "LASTMETRE_DATABASE": dsn, **more})

    @staticmethod
    async def end(process: Process) -> None:
        """Ask it to end, and see that it does."""
        await process.stop(_STOP_SECONDS)

    # --- topics

    async def publish(self, records: Iterable[Record]) -> int:
        """Put these on their topics, in large batches; how many."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, enable_idempotence=True, acks="all", max_batch_size=_BATCH_BYTES)
        await producer.start()
        number = 0
        try:
            batches: dict[tuple[str, int], Any] = {}
            for record in records:
                number += 1
                place = (record.topic, record.partition)
                for _ in range(2):
                    batch = batches.get(place)
                    if batch is None:
                        batch = batches[place] = producer.create_batch()
                    if batch.append(key=record.area.encode(), value=record.value, timestamp=None, headers=record.headers) is not None:
                        break
                    batch.close()
                    await producer.send_batch(batch, record.topic, partition=record.partition)
                    del batches[place]
            for (topic, partition), batch in batches.items():
                batch.close()
                await producer.send_batch(batch, topic, partition=partition)
            await producer.flush()
        finally:
            await producer.stop()
        return number

    async def end_offsets(self, topic: str) -> int:
        """How many records a topic has taken."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            ends = await consumer.end_offsets([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
            return sum(ends.values())
        finally:
            await consumer.stop()

    async def await_matches(self, number: int, workers: Process | Sequence[Process], topic: str = MATCHES) -> float:
        """Until the topic holds that many records; the workers' processor time a record, in microseconds, from the first on.

        Raises:
            Stalled: a worker ended, or nothing came for minutes.
        """
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]

            async def there() -> int:
                return sum((await consumer.end_offsets(partitions)).values())

            return await Watch(workers, number).until(there)
        finally:
            await consumer.stop()

    async def matches(self, topic: str = MATCHES) -> list[Seen]:
        """All events of the topic, in the order in which the broker stamped them; repeats (by event id) are dropped, as every reader does, and counted."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", max_partition_fetch_bytes=8 * _BATCH_BYTES
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Seen] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for run in (await consumer.getmany(timeout_ms=1000)).values():
                    found.extend(Seen(one.timestamp / 1000, one.value, **_told(one.headers)) for one in run)
        finally:
            await consumer.stop()
        found.sort(key=lambda seen: seen.at)
        distinct: dict[str | int, Seen] = {}
        for number, seen in enumerate(found):
            distinct.setdefault(seen.id or number, seen)
        self.repeats = len(found) - len(distinct)
        return list(distinct.values())


def cpu_seconds(process: Process) -> float:
    """The processor time that a running process has taken so far."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


class Watch:
    """Waits with patience, but not forever."""

    def __init__(self, workers: Process | Sequence[Process], number: int) -> None:
        self._workers = (workers,) if isinstance(workers, Process) else tuple(workers)
        self._number = number
        self._seen, self._news_at = -1, time.monotonic()
        self._first: tuple[int, float] | None = None
        self.cpu_us = 0.0

    async def until(self, look: Callable[[], Awaitable[int]]) -> float:
        """Wait until `look` finds as many; the workers' processor time for each since the first were seen, in microseconds.

        Raises:
            Stalled: a worker ended, or nothing came for minutes.
        """
        while True:
            if not self._goes_on(await look()):
                return self.cpu_us
            await asyncio.sleep(_POLL_SECONDS)

    def _goes_on(self, seen: int) -> bool:
        """Whether there is more to wait for, when `seen` of it are there."""
        self._note_cpu(seen)
        if seen >= self._number:
            return False
        now = time.monotonic()
        if seen > self._seen:
            self._seen, self._news_at = seen, now
        for worker in self._workers:
            if not worker.alive:
                raise Stalled(f"{worker.argv} ended ({worker.returncode}) at {seen} of {self._number}: see {worker.log}")
        if now - self._news_at > _STALL_SECONDS:
            raise Stalled(f"{self._workers[0].argv} stands still at {seen} of {self._number}: see {self._workers[0].log}")
        return True

    def _note_cpu(self, seen: int) -> None:
        if seen <= 0 or seen == self._seen or not all(worker.alive for worker in self._workers):
            return
        spent = sum(map(cpu_seconds, self._workers))
        if self._first is None:
            self._first = seen, spent
        elif seen > self._first[0]:
            self.cpu_us = (spent - self._first[1]) / (seen - self._first[0]) * 1e6


def _told(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    return {name[3:]: value.decode() for name, value in headers if name in {"ce_type", "ce_id"}}
