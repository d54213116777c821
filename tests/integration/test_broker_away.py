"""What our own consumers do while the broker says nothing, on a real Kafka: nothing that it still has is passed over, and no loop ends unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaConnectionError

from deploy.kafka import Kafka
from schemas.topics import WISHES
from services import broker as broker_module
from services.broker import Broker, Consumer, others_in
from services.gateway.door.positions import Positions
from services.matcher import app, gaps
from services.notifier.consumers import consumer_of
from services.rewound import places_to_go_on
from tests.integration.notifier_rig import settings_of, until

PLACE = TopicPartition(WISHES, 0)


@pytest.fixture
async def three(fresh_topics: Kafka, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker with three records in one place, of which one comes at a time; what does not come is not waited for for long."""
    monkeypatch.setattr(broker_module, "_RECORDS_SECONDS", 0.5)
    async with AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap) as producer:
        for text in (b"one", b"two", b"three"):
            await producer.send_and_wait(PLACE.topic, text, partition=PLACE.partition)
    return Broker.of(fresh_topics.bootstrap)


async def gap(broker: Broker) -> list[bytes]:
    return [record.value for record in (await app._read_gap(broker, PLACE.topic, PLACE.partition, 0, 3)).records]


async def test_a_gap_is_read_as_far_as_kafka_still_has_it(three: Broker) -> None:
    assert [b"one", b"two", b"three"] == await gap(three)
    admin = AIOKafkaAdminClient(bootstrap_servers=three.addresses)
    await admin.start()
    try:
        for before, left in ((2, [b"three"]), (3, [])):
            await admin.delete_records({PLACE: RecordsToDelete(before_offset=before)})
            assert left == await gap(three)
    finally:
        await admin.close()


async def test_of_a_gap_no_more_is_read_at_once_than_memory_is_to_hold(three: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "_RECORDS_AT_ONCE", 1)
    monkeypatch.setattr(gaps, "STRETCH_BYTES_MAX", 4)
    read = [await app._read_gap(three, PLACE.topic, PLACE.partition, start, end) for start, end in ((0, 3), (2, None))]
    assert [([b"one", b"two"], False), ([b"three"], True)] == [([record.value for record in one.records], one.whole) for one in read]


async def test_a_gap_of_which_a_part_has_come_is_not_taken_for_read(three: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    class Falters(Consumer):
        """One record comes, and then nothing."""

        faltered = False

        async def getmany(self, *places: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Any:
            if self.faltered:
                return {}
            self.faltered = True
            return await super().getmany(*places, timeout_ms=timeout_ms, max_records=1)

    monkeypatch.setattr(app, "Consumer", Falters)
    with pytest.raises(OSError):
        await gap(three)


@pytest.mark.parametrize(
    ("read", "place", "goes_on_at"),
    [
        pytest.param(b"one two three", 3, 3, id="the log that was read"),
        pytest.param(b"one two three four five", 5, 3, id="a log that ends earlier"),
        pytest.param(b"one two four", 3, 2, id="a log that ended earlier and has grown since"),
        pytest.param(b"four five six", 3, 0, id="another log"),
        pytest.param(b"four five six seven", 4, 0, id="another log that is shorter"),
        pytest.param(b"one ? ?", 3, 3, id="a log of which the last cannot be told"),
        pytest.param(b"? ? ?", 3, 3, id="a log of which nothing can be told"),
        pytest.param(b"? five", 2, 0, id="another log of which the first cannot be told"),
        pytest.param(b"", 0, 0, id="nothing was read yet"),
    ],
)
async def test_reading_goes_on_behind_the_last_record_that_was_surely_read(three: Broker, read: bytes, place: int, goes_on_at: int) -> None:
    there = (b"one", b"two", b"three")
    was_read = read.split()

    async def judge(records: Sequence[Any]) -> list[bool | None]:
        assert [there[record.offset] for record in records] == [record.value for record in records]
        return [None if was_read[record.offset] == b"?" else was_read[record.offset] == record.value for record in records]

    async with Consumer(**three.client(), auto_offset_reset="earliest") as consumer:
        consumer.assign([PLACE])
        assert {PLACE: goes_on_at} == await places_to_go_on(consumer, {PLACE: place}, judge)


async def test_a_gap_is_not_taken_for_read_where_the_broker_is_not_there(unused_tcp_port: int) -> None:
    with pytest.raises(OSError):
        await gap(Broker.of(f"127.0.0.1:{unused_tcp_port}"))


async def test_a_member_of_a_group_learns_whether_there_are_others(fresh_topics: Kafka, unused_tcp_port: int) -> None:
    broker = Broker.of(fresh_topics.bootstrap)

    def member() -> Consumer:
        return Consumer(WISHES, **broker.client(), group_id="integrations-of-one-or-two")

    assert not await others_in(broker, "integrations-of-one-or-two")
    async with member():
        assert not await others_in(broker, "integrations-of-one-or-two")
        async with member():
            assert await others_in(broker, "integrations-of-one-or-two")
    assert not await others_in(Broker.of(f"127.0.0.1:{unused_tcp_port}"), "integrations-of-one-or-two")


@pytest.mark.parametrize("whose", ["the notifier's", "a webhook's"])
async def test_a_consumer_is_stopped_while_the_broker_is_away_and_its_owner_goes_on(fresh_topics: Kafka, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    async def away(*_: object) -> None:
        raise KafkaConnectionError

    if whose == "a webhook's":
        consumer = await Positions(fresh_topics.bootstrap).made()
    else:
        consumer = consumer_of(settings_of(fresh_topics.bootstrap, "postgresql://nobody@127.0.0.1", "console"), client_id="test")
        await consumer.start()
    consumer._fetcher._retry_backoff = 60.0
    monkeypatch.setattr(consumer._client, "send", away)
    consumer.assign([PLACE])
    consumer.seek(PLACE, 0)
    await until(lambda: bool(consumer._fetcher._pending_tasks))
    await consumer.stop()
    assert not any(connection.connected() for connection in consumer._client._conns.values())
