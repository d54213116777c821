"""Reading the topics out again from any position: for `GET /api/v1/events`, and to find where a webhook begins.

An area lies in one partition, so a position is one offset. What is given out is opaque, `topic:partition:offset` in base64url, and stays good for as
long as the topic keeps its records; after that, and where Kafka has lost them, reading goes on at the oldest that is left, and says so.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiokafka import TopicPartition

from schemas import topics
from schemas.codec import decode, structured
from schemas.errors import InvalidEvent
from schemas.lanes import partition_of
from services.broker import Broker, Consumer, Where
from services.gateway.door.answers import Refused

OUT: Final = (topics.MATCHES, topics.CONFIRMATIONS)
_CONSUMERS_MAX: Final = 32
_FETCH_SECONDS: Final = 2.0
_SCANNED_MAX: Final = 5_000


def written(topic: str, area: str, offset: int) -> str:
    """A position as it is given out."""
    return base64.urlsafe_b64encode(f"{topic}:{partition_of(area)}:{offset}".encode()).decode().rstrip("=")


def offset_of(text: str, topic: str, area: str) -> int:
    """The offset of a position that was given out for this topic and area.

    Raises:
        Refused: it is none of ours, or of another topic or area.
    """
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split(":")
        known, partition, offset = found[0], int(found[1]), int(found[2])
    except (binascii.Error, ValueError, IndexError):
        raise Refused("bad_cursor", "after") from None
    if len(found) != 3 or (known, partition) != (topic, partition_of(area)) or not 0 <= offset < 2**63:
        raise Refused("bad_cursor", "after")
    return offset


@dataclass(frozen=True, slots=True)
class Page:
    """What was read: structured events, the next offset, whether more lies there, and whether records before had been dropped by age or lost."""

    events: list[bytes]
    next_offset: int
    more: bool
    gap: bool

    def body(self, topic: str, area: str) -> bytes:
        """As JSON."""
        rest = orjson.dumps({"next": written(topic, area, self.next_offset), "more": self.more, "gap": self.gap})
        return b'{"events":[' + b",".join(self.events) + b"]," + rest[1:]


def event_of(record: Any, area: str) -> tuple[str, str, bytes] | None:
    """(type, id, structured JSON) of a record of this area; nothing where it is of another area, or no event."""
    try:
        event = decode(record.topic, record.value, record.headers)
    except InvalidEvent:
        return None
    return (event.type, event.id, structured(event)) if event.area == area else None


class Positions:
    """A few consumers without a group, lent out one request at a time."""

    def __init__(self, kafka: Where) -> None:
        self._broker = Broker.of(kafka)
        self._idle: list[Consumer] = []
        self._room = asyncio.Semaphore(_CONSUMERS_MAX)

    async def stop(self) -> None:
        """Close those that nobody has."""
        while self._idle:
            await self._idle.pop().stop()

    @asynccontextmanager
    async def consumer(self) -> AsyncIterator[Consumer]:
        """One to assign and seek at will.

        Raises:
            Refused: all are lent out.
        """
        if self._room.locked():
            raise Refused("overloaded")
        async with self._room:
            consumer = self._idle.pop() if self._idle else await self.made()
            try:
                yield consumer
            except BaseException:
                await consumer.stop()
                raise
            self._idle.append(consumer)

    async def made(self) -> Consumer:
        """A new one, for whoever keeps it."""
        consumer = Consumer(**self._broker.client(), client_id="lastmetre-gateway-door", enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def at(self, topic: str, area: str, since_ms: int | None) -> int:
        """The offset of the first record at or after a time (milliseconds since 1970; of the record's own timestamp), or the end of the topic."""
        place = TopicPartition(topic, partition_of(area))
        async with self.consumer() as consumer:
            if since_ms is not None:
                found = (await consumer.offsets_for_times({place: since_ms}))[place]
                if found is not None:
                    return int(found.offset)
            return int((await consumer.end_offsets([place]))[place])

    async def read(self, topic: str, area: str, offset: int, limit: int, wait_seconds: float) -> Page:
        """At most `limit` events of an area from an offset on; where there is none yet, wait so long for the first."""
        place = TopicPartition(topic, partition_of(area))
        until = time.monotonic() + wait_seconds
        events: list[bytes] = []
        scanned = 0
        async with self.consumer() as consumer:
            begin = int((await consumer.beginning_offsets([place]))[place])
            end = int((await consumer.end_offsets([place]))[place])
            gap = not begin <= offset <= end
            at = begin if gap else offset  # behind the end: Kafka has lost what was read, and there is other now
            consumer.assign([place])
            consumer.seek(place, at)
            while True:
                left = until - time.monotonic()
                if at >= end and (events or left <= 0):
                    break
                patience = _FETCH_SECONDS if at < end else left
                for record in (await consumer.getmany(place, timeout_ms=round(patience * 1000), max_records=limit - len(events))).get(place, ()):
                    scanned += 1
                    found = event_of(record, area)
                    if found is not None:
                        events.append(found[2])
                at = await consumer.position(place)  # behind a record there may be the mark of its transaction
                end = max(end, at)
                if len(events) >= limit or scanned >= _SCANNED_MAX or (at < end and time.monotonic() > until + _FETCH_SECONDS):
                    break
            more = at < max(end, int((await consumer.end_offsets([place]))[place]))
            consumer.unsubscribe()
        return Page(events, at, more, gap)
