"""Chunks through Faust, on the real broker: every record once and in order, many a message, all of them acknowledged with the last."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faust.contrib.asgi import faust_app_running
from prometheus_client import generate_latest

from deploy import topics
from deploy.kafka import Kafka
from schemas.topics import LANE_TOPICS, MATCHER_GROUP, PARTITIONS, TOPICS, WISHES
from services.broker import Consumer, records_between
from services.matcher import agents, chunks, minutes
from services.matcher.agents import make_app
from services.matcher.app import _Health
from services.matcher.chunks import ChunkConsumer
from services.matcher.intake import Item
from services.matcher.metrics import Metrics
from services.matcher.minutes import Minutes
from tests.conftest import Database
from tests.topic_settings import changed

RECORDS = 3000
LIMIT_SECONDS = 60.0
LOOK_SECONDS = 0.02


class Taker:
    """Stands where the matcher stands: notes what comes, and how it came."""

    def __init__(self) -> None:
        self.runs = 0
        self.calls: list[list[str]] = []
        self.offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.reached: dict[tuple[str, int], int] = {}
        # How many records had come before the first of a lane.
        self.first: dict[int, int] = {}
        self.lanes: frozenset[int] = frozenset()
        self.dealt = 0

    @property
    def records(self) -> int:
        return sum(len(offsets) for offsets in self.offsets.values())

    async def take_in(self, runs: Sequence[Sequence[Item]]) -> frozenset[int]:
        self.calls.append([run[0].record.topic for run in runs])
        for run in runs:
            self.runs += 1
            self.first.setdefault(run[0].record.partition, self.records)
            for item in run:
                self.offsets[item.record.topic, item.record.partition].append(item.record.offset)
                self.reached[item.record.topic, item.record.partition] = item.next_offset
        return frozenset()

    def cursor(self, topic: str, lane: int) -> int:
        return max(self.offsets.get((topic, lane), [-1])) + 1

    def assign(self, lanes: frozenset[int]) -> None:
        self.dealt += 1
        self.lanes = lanes

    async def revoke(self, lanes: frozenset[int]) -> None:
        self.lanes -= lanes


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "the effect did not come in time"
        await asyncio.sleep(LOOK_SECONDS)


async def until_acknowledged(kafka: Kafka, ends: dict[tuple[str, int], int]) -> None:
    """Wait until the group has committed that all of it is read: Faust does so now and then."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            found = {tuple(tp): one.offset for tp, one in (await admin.list_consumer_group_offsets(MATCHER_GROUP)).items()}
            if ends == {place: found.get(place, -1) for place in ends}:
                return
            assert time.monotonic() < deadline, "not all was acknowledged in time"
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await admin.close()


async def publish(kafka: Kafka, compression: str | None = None) -> dict[tuple[str, int], list[int]]:
    """Records on every partition of every topic of the lanes; where they came to lie."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, compression_type=compression)
    await producer.start()
    try:
        topics = [(topic, partition) for topic in LANE_TOPICS for partition in range(PARTITIONS)]
        sent = [await producer.send(*_place(topics, number)) for number in range(RECORDS)]
        offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        for one in await asyncio.gather(*sent):
            offsets[one.topic, one.partition].append(one.offset)
        return offsets
    finally:
        await producer.stop()


def _place(topics: list[tuple[str, int]], number: int) -> tuple[str, bytes, None, int]:
    topic, partition = topics[number % len(topics)]
    return topic, b"record %d" % number, None, partition


@asynccontextmanager
async def reading(kafka: Kafka, clock: Database | None = None) -> AsyncIterator[Taker]:
    """`clock`: where it stands how far a minute is published, for a reader that lives by event time."""
    taker, crashes = Taker(), list[BaseException]()
    anything: Any = taker
    played = Minutes(lambda: asyncpg.connect(clock.dsn("matcher")), taker.cursor) if clock is not None else None
    async with faust_app_running(make_app(kafka.bootstrap, anything, crashes.append, gather_ms=5, minutes=played)):
        yield taker
    if played is not None:
        await played.close()
    assert [] == crashes


async def test_what_is_said_in_a_lane_is_not_read_behind_all_that_was_said_at_once_in_another(fresh_topics: Kafka) -> None:
    async with AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap) as producer:
        flood = [await producer.send(WISHES, b"one of many", partition=lane) for _ in range(5000) for lane in (0, PARTITIONS - 1)]
        await asyncio.gather(*flood, *[await producer.send(WISHES, b"one", partition=lane) for lane in range(1, PARTITIONS - 1)])
    async with reading(fresh_topics) as taker:
        await until(lambda: taker.records >= 10_000 + PARTITIONS - 2)
    assert all(taken < 5000 for lane, taken in taker.first.items() if lane in range(1, PARTITIONS - 1))


class Message:
    """So many records on their way."""

    acked = False

    def __init__(self, records: int, size: int = 1) -> None:
        self.value = [SimpleNamespace(items=[None] * records, size=size)]


async def test_no_more_is_read_while_much_is_under_way_but_for_a_moment_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    one, other = Message(3), Message(2)
    consumer.transport, consumer._waiting_for_ack, consumer._freed = SimpleNamespace(records_max=4, bytes_max=9), None, asyncio.Event()
    consumer._unacked_messages = {one, other}
    monkeypatch.setattr(chunks, "_ROOM_SECONDS", LIMIT_SECONDS)
    room = asyncio.create_task(consumer._room())
    await asyncio.wait({room}, timeout=0.01)
    assert not room.done()
    assert consumer.ack(other)
    await room
    consumer._unacked_messages.add(other)
    monkeypatch.setattr(chunks, "_ROOM_SECONDS", 0.01)
    await consumer._room()


async def test_no_more_is_read_while_what_is_under_way_is_large_however_few_it_is() -> None:
    consumer: Any = ChunkConsumer.__new__(ChunkConsumer)
    one, other = Message(1, size=5), Message(1, size=5)
    consumer.transport, consumer._waiting_for_ack, consumer._freed = SimpleNamespace(records_max=4, bytes_max=9), None, asyncio.Event()
    consumer._unacked_messages = {one, other}
    room = asyncio.create_task(consumer._room())
    await asyncio.wait({room}, timeout=0.01)
    assert not room.done()
    assert consumer.ack(one)
    await room


async def test_what_takes_long_to_read_holds_up_no_other_lane_and_still_comes_once_and_in_order(fresh_topics: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_READ_SECONDS", 0.0)  # as if each record took so long
    monkeypatch.setattr("services.turns._TURN_SECONDS", 0.0)
    async with AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap) as producer:
        await asyncio.gather(*[await producer.send(WISHES, b"long", partition=0) for _ in range(20)])
        await producer.send_and_wait(WISHES, b"behind it", partition=1)
    async with reading(fresh_topics) as taker:
        await until(lambda: taker.records >= 21)
        await until_acknowledged(fresh_topics, {(WISHES, 0): 20, (WISHES, 1): 1})
    assert {(WISHES, 0): list(range(20)), (WISHES, 1): [0]} == taker.offsets
    assert 2 >= taker.first[1]


async def test_every_record_comes_once_in_order_and_many_a_message_and_is_acknowledged(fresh_topics: Kafka) -> None:
    sent = await publish(fresh_topics)
    async with reading(fresh_topics) as first:
        await until(lambda: first.records >= RECORDS)
        lanes = first.lanes
        await until_acknowledged(fresh_topics, {place: offsets[-1] + 1 for place, offsets in sent.items()})
    later = await publish(fresh_topics)
    async with reading(fresh_topics) as second:
        await until(lambda: second.records >= RECORDS)
    assert frozenset(range(PARTITIONS)) == lanes
    assert sent == first.offsets
    assert later == second.offsets
    assert RECORDS / 10 > first.runs


async def test_acknowledges_what_comes_later_too(fresh_topics: Kafka) -> None:
    async with reading(fresh_topics) as taker:
        for _ in range(3):
            sent = await publish(fresh_topics)
            await until_acknowledged(fresh_topics, {place: offsets[-1] + 1 for place, offsets in sent.items()})
    assert 3 * RECORDS == taker.records


async def test_reads_what_was_sent_compressed_whichever_way(fresh_topics: Kafka) -> None:
    # As topics were, and are where nobody has prepared them anew: a record lies there as its producer sent it.
    await topics.ensure(fresh_topics.bootstrap, [changed(topic, compression_type="producer") for topic in TOPICS])
    sent: dict[tuple[str, int], list[int]] = defaultdict(list)
    codecs = ("gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        for place, offsets in (await publish(fresh_topics, codec)).items():
            sent[place] += offsets
    async with reading(fresh_topics) as taker:
        await until(lambda: taker.records >= RECORDS * len(codecs))
    assert sent == taker.offsets


async def test_what_a_producer_took_back_is_not_read_and_the_marks_of_its_transactions_are_nothing_that_was_skipped(fresh_topics: Kafka) -> None:
    place = TopicPartition("wishes", 0)
    anything: Any = Taker()
    app = make_app(fresh_topics.bootstrap, anything, lambda _: None, gather_ms=5)
    health = _Health(anything, anything, Metrics(), app)
    producer = AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap, transactional_id="an-integration")
    await producer.start()
    try:
        async with faust_app_running(app):
            await until(lambda: bool(anything.lanes))
            async with producer.transaction():
                await producer.send_and_wait(place.topic, b"said", partition=place.partition)
            await until(lambda: anything.reached.get(place) == 2)
            await producer.begin_transaction()
            await producer.send_and_wait(place.topic, b"taken back", partition=place.partition)
            await until(lambda: health.highwater(*place) == 2)  # what is not committed yet is nothing to wait for
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send_and_wait(place.topic, b"said again", partition=place.partition)
            await until(lambda: anything.reached[place] == 6 == health.highwater(*place))
        assert {place: [0, 4]} == anything.offsets
        await until_acknowledged(fresh_topics, {place: 6})
    finally:
        await producer.stop()
    async with Consumer(bootstrap_servers=fresh_topics.bootstrap) as consumer:
        consumer.assign([place])
        assert [b"said"] == [record.value for record in await records_between(consumer, place, 0, 4)]
        assert [] == await records_between(consumer, place, 5, 6)


async def test_the_end_of_a_partition_is_known_while_it_is_ours_and_asking_for_anothers_is_no_fault(fresh_topics: Kafka) -> None:
    anything: Any = Taker()
    app = make_app(fresh_topics.bootstrap, anything, lambda _: None, gather_ms=5)
    health = _Health(anything, anything, Metrics(), app)
    async with faust_app_running(app):
        await until(lambda: bool(anything.lanes))
        sent = await publish(fresh_topics)
        ends = {place: offsets[-1] + 1 for place, offsets in sent.items()}
        await until(lambda: ends == {place: health.highwater(*place) for place in sent})
        assert health.highwater("wishes", PARTITIONS + 1) is None


async def test_lanes_are_dealt_once_the_broker_knows_its_topics_where_it_did_not_yet(fresh_topics: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that has just been started may name none. Whoever deals lanes out then deals out nothing, and would not look again for five minutes."""
    monkeypatch.setattr(agents, "_METADATA_SECONDS", 1.0)
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_topics.bootstrap)
    await admin.start()
    await admin.delete_topics(list(LANE_TOPICS))
    await admin.close()
    async with reading(fresh_topics) as taker:
        await until(lambda: taker.dealt > 0)
        assert frozenset() == taker.lanes
        await topics.ensure(fresh_topics.bootstrap)
        await until(lambda: taker.lanes == frozenset(range(PARTITIONS)))


def test_one_look_at_the_metrics_asks_for_the_end_of_each_partition_once(monkeypatch: pytest.MonkeyPatch) -> None:
    anything: Any = Taker()
    anything.lanes = {number: SimpleNamespace(cursors=dict.fromkeys(LANE_TOPICS, 3), areas={}) for number in range(PARTITIONS)}
    metrics, asked = Metrics(), Counter[tuple[str, int]]()

    def highwater(_self: _Health, *place: Any) -> int:
        asked.update([place])
        return 5

    monkeypatch.setattr(_Health, "highwater", highwater)
    _Health(anything, SimpleNamespace(backlog=0), metrics, None)  # type: ignore[arg-type]
    told = generate_latest(metrics.registry).decode()
    assert dict.fromkeys(((topic, number) for topic in LANE_TOPICS for number in range(PARTITIONS)), 1) == asked
    assert all(f'lastmetre_matcher_lag{{topic="{topic}"}} {2.0 * PARTITIONS}' in told for topic in LANE_TOPICS)


async def test_faust_leaves_no_folder_behind_even_where_its_worker_is_killed(fresh_topics: Kafka) -> None:
    anything: Any = Taker()
    app = make_app(fresh_topics.bootstrap, anything, lambda _: None, gather_ms=5)
    assert app.conf.datadir.is_dir()
    async with faust_app_running(app):
        await until(lambda: not app.conf.datadir.exists())


async def test_by_event_time_the_lines_of_a_minute_are_taken_in_together_whatever_topic_they_lie_in(fresh_topics: Kafka, database: Database) -> None:
    owner = await asyncpg.connect(database.dsn())
    producer = AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap)
    await producer.start()
    try:
        await owner.execute("UPDATE matching.clock SET publishing = true")
        async with reading(fresh_topics, database) as taker:
            await until(lambda: bool(taker.lanes))
            for topic in ("responses", "offers", "wishes"):
                await producer.send_and_wait(topic, b"a line", partition=0)
                await asyncio.sleep(0.1)  # longer than the broker gathers: each comes by itself
            before = list(taker.calls)
            await owner.execute("UPDATE matching.clock SET publishing = false, ends = $1", '{"responses": {"0": 1}, "offers": {"0": 1}, "wishes": {"0": 2}}')
            await producer.send_and_wait("wishes", b"the last one", partition=0)
            await until(lambda: taker.records >= 4)
    finally:
        await producer.stop()
        await owner.close()
    assert [] == before
    assert [{"responses", "offers", "wishes"}] == [set(call) for call in taker.calls]


async def test_a_minute_that_never_becomes_whole_is_taken_in_all_the_same(fresh_topics: Kafka, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "_COMING_SECONDS", 0.2)
    owner = await asyncpg.connect(database.dsn())
    await owner.execute("UPDATE matching.clock SET ends = $1", '{"wishes": {"0": 7}}')
    await owner.close()
    async with reading(fresh_topics, database) as taker:
        await publish(fresh_topics)
        await until(lambda: taker.records >= RECORDS)
