"""Kafka as deploy starts it: it keeps what it was given through a stop, a crash and a restart."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import MessageSizeTooLargeError

from deploy import topics
from deploy.jars import KAFKA_VERSION
from deploy.kafka import FIRST_RECORDS, Kafka, lay_out
from deploy.words import Trouble
from schemas.topics import MIB, TOPICS

TOPIC = TOPICS[0]


async def _publish(bootstrap: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=10 * 1024 * 1024)
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC.name, value, key=b"area")
    finally:
        await producer.stop()


async def _read(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(TOPIC.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=10 * 1024 * 1024)
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_keeps_its_messages_and_port_through_a_restart_and_a_crash(own_kafka: Kafka) -> None:
    await own_kafka.start()
    await topics.ensure(own_kafka.bootstrap)
    address = own_kafka.bootstrap
    await _publish(address, b"one")

    await own_kafka.restart()
    assert address == own_kafka.bootstrap
    assert [b"one"] == await _read(own_kafka.bootstrap, 1)

    await _publish(address, b"two")
    own_kafka.kill()
    assert own_kafka.pid is None
    await own_kafka.start()
    assert [b"one", b"two"] == await _read(own_kafka.bootstrap, 2)


async def test_keeps_everything_in_its_folder_whatever_that_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")  # as where nobody has set a language
    folder = tmp_path / "最后 一米"
    broker = Kafka(folder / "kafka")
    await broker.start()
    try:
        await topics.ensure(broker.bootstrap)
        await _publish(broker.bootstrap, b"one")
        await broker.restart()
        assert [b"one"] == await _read(broker.bootstrap, 1)
    finally:
        await broker.stop()
    assert [folder.name] == sorted(path.name for path in tmp_path.iterdir())
    assert broker.log.exists()
    assert (broker.folder / "data" / "meta.properties").exists()
    shutil.rmtree(folder)


async def test_what_formatting_writes_is_kept_for_other_nodes_each_with_ids_of_its_own(kafka: Kafka, tmp_path: Path) -> None:
    formatted, kept = kafka.folder / "data", kafka.state.cache / f"kafka-{KAFKA_VERSION}" / "formatted.checkpoint"
    nodes = [tmp_path / "one", tmp_path / "other"]
    for node in nodes:
        lay_out(node, kept)

    assert [(formatted / FIRST_RECORDS).read_bytes()] * 2 == [(node / FIRST_RECORDS).read_bytes() for node in nodes]
    said = [dict(line.split("=") for line in (node / "meta.properties").read_text("ascii").splitlines() if "=" in line) for node in (formatted, *nodes)]
    assert all({"version", "node.id", "cluster.id", "directory.id"} == one.keys() and ("1", "1") == (one["version"], one["node.id"]) for one in said)
    assert 6 == len({one[name] for one in said for name in ("cluster.id", "directory.id")})


async def test_takes_a_message_of_eight_mebibytes(fresh_topics: Kafka) -> None:
    value = b"x" * (8 * 1024 * 1024 - 1024)
    await _publish(fresh_topics.bootstrap, value)
    assert [value] == await _read(fresh_topics.bootstrap, 1)


async def test_makes_no_topic_that_nobody_declared(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(["not-declared"])
        assert [3] == [topic["error_code"] for topic in described]
        assert "not-declared" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_refuses_a_topic_with_another_number_of_partitions(kafka: Kafka) -> None:
    with pytest.raises(Trouble, match="partitions"):
        await topics.ensure(kafka.bootstrap, [dataclasses.replace(TOPIC, partitions=TOPIC.partitions + 1)])


async def test_mends_a_topic_whose_settings_differ(fresh_topics: Kafka) -> None:
    other = dataclasses.replace(TOPIC, retention_days=TOPIC.retention_days + 1)
    await topics.ensure(fresh_topics.bootstrap, [other])
    await topics.ensure(fresh_topics.bootstrap, [TOPIC])
    await topics.ensure(fresh_topics.bootstrap, [TOPIC])


async def test_what_a_clock_that_is_years_behind_sends_is_kept_from_when_it_came(fresh_topics: Kafka) -> None:
    await topics.ensure(fresh_topics.bootstrap, [TOPIC])
    before = time.time_ns() // 1_000_000
    async with AIOKafkaProducer(bootstrap_servers=fresh_topics.bootstrap) as producer:
        sent = await producer.send_and_wait(TOPIC.name, b"from the year it was made", partition=0, timestamp_ms=1)
    async with AIOKafkaConsumer(TOPIC.name, bootstrap_servers=fresh_topics.bootstrap, auto_offset_reset="earliest") as consumer:
        assert before <= (await consumer.getone()).timestamp == sent.timestamp


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_is_too_large_once_it_is_unpacked_is_refused_however_small_it_was_made(fresh_topics: Kafka, codec: str) -> None:
    await topics.ensure(fresh_topics.bootstrap, [TOPIC])
    async with AIOKafkaProducer(
        bootstrap_servers=fresh_topics.bootstrap, compression_type=codec, max_request_size=100 * MIB, max_batch_size=100 * MIB
    ) as producer:
        assert (await producer.send_and_wait(TOPIC.name, b" " * (TOPIC.max_message_bytes - MIB), partition=0)).offset == 0
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(TOPIC.name, b" " * (TOPIC.max_message_bytes + 1), partition=0)


async def test_emptied_topics_hold_nothing(fresh_topics: Kafka) -> None:
    await _publish(fresh_topics.bootstrap, b"old")
    await topics.remake(fresh_topics.bootstrap)
    await _publish(fresh_topics.bootstrap, b"new")
    assert [b"new"] == await _read(fresh_topics.bootstrap, 1)
