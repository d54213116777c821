"""The tools' way to Kafka: send with the broker's word for it, read from a place on, read all there is."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.words import Trouble
from schemas.codec import STRUCTURED_TYPE
from schemas.topics import DEAD_LETTER_MAX_BYTES, MIB, PARTITIONS
from services.broker import Broker, Consumer, Where, records_between

STRUCTURED_HEADERS: Final = [("content-type", STRUCTURED_TYPE.encode())]
_REQUEST_MS: Final = 15_000
_POLL_MS: Final = 300
_STOP_SECONDS: Final = 3.0


@asynccontextmanager
async def reachable(broker: Where) -> AsyncIterator[None]:
    """Kafka's faults in words.

    Raises:
        Trouble: Kafka does not answer.
    """
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as fault:
        if isinstance(fault, OSError) and fault.errno in {errno.ENOSPC, errno.EDQUOT}:  # of the file that we write to, which is told elsewhere
            raise
        look = ("请核对 LASTMETRE_KAFKA，并确认 Kafka 在运行。", "See that LASTMETRE_KAFKA is right, and that Kafka runs.")
        if not os.environ.get("LASTMETRE_KAFKA"):
            look = ("请确认系统在运行：python3 -m deploy status", "See whether the system runs: python3 -m deploy status")
        raise Trouble(f"Kafka（{broker}）没有应答。{look[0]}", f"Kafka at {broker} does not answer ({type(fault).__name__}). {look[1]}") from fault


@asynccontextmanager
async def producer(broker: Where) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that waits for all replicas and sends nothing twice."""
    made = AIOKafkaProducer(
        **Broker.of(broker).client(), client_id="lastmetre-deploy", enable_idempotence=True, acks="all", max_request_size=DEAD_LETTER_MAX_BYTES + MIB
    )
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def consumer(broker: Where, topics: Sequence[str], *, from_start: bool) -> AsyncIterator[Consumer]:
    """A consumer of all partitions of these topics; without `from_start`, of what comes from now on."""
    made = Consumer(
        **Broker.of(broker).client(),
        client_id="lastmetre-deploy",
        group_id=None,
        enable_auto_commit=False,
        request_timeout_ms=_REQUEST_MS,
        max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES + MIB,
    )
    try:
        await made.start()
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        made.assign(partitions)
        # Asked for and set one by one: `seek_to_end` alone would look up the end only when it first reads.
        places = await (made.beginning_offsets if from_start else made.end_offsets)(partitions)
        for partition, offset in places.items():
            made.seek(partition, offset)
        yield made
    finally:
        # It only reads: nobody who has pressed Ctrl-C waits for a broker's last answer.
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await made.stop()


def in_order(batches: dict[Any, list[Any]]) -> list[Any]:
    """The records of one poll by time; each partition keeps its own order."""
    return sorted((record for run in batches.values() for record in run), key=place_in_time)


async def each(broker: Where, topics: Iterable[str]) -> AsyncIterator[Any]:
    """All records that these topics hold now, as they come: each partition in its order, and none of them kept.

    Raises:
        Trouble: Kafka does not answer.
    """
    async with reachable(broker), consumer(broker, list(topics), from_start=True) as source:
        ends = await source.end_offsets(source.assignment())
        while any([await source.position(partition) < end for partition, end in ends.items()]):
            for record in in_order(await source.getmany(timeout_ms=_POLL_MS)):
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record


def place_in_time(record: Any) -> tuple[int, str, int, int]:
    """What records of several partitions are put in order by."""
    return (record.timestamp, record.topic, record.partition, record.offset)


async def read_all(broker: Where, topics: Iterable[str]) -> list[Any]:
    """All records that these topics hold now, by time.

    Raises:
        Trouble: Kafka does not answer.
    """
    return sorted([record async for record in each(broker, topics)], key=place_in_time)


async def read_one(broker: Where, topic: str, partition: int, offset: int) -> Any | None:
    """One record, or None where there is none (any more).

    Raises:
        Trouble: Kafka does not answer.
    """
    if partition >= PARTITIONS:  # the client would look for it until it tires
        return None
    place = TopicPartition(topic, partition)
    async with reachable(broker), consumer(broker, [topic], from_start=True) as source:
        first, end = (await source.beginning_offsets([place]))[place], (await source.end_offsets([place]))[place]
        if not first <= offset < end:
            return None
        source.assign([place])
        found = await records_between(source, place, offset, offset + 1)
        return found[0] if found else None
