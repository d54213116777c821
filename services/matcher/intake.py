"""From Kafka's records to the batch that one transaction decides: decode, judge the key, put in order.

Nothing here touches the database or an area. Records of a lane come from several topics; they are taken in by event time,
each topic in its own order, so that what was said first is decided first where both are at hand.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import codec, personal
from schemas.codec import Event
from schemas.errors import DECISION_FAILED, InvalidEvent
from schemas.lanes import is_misplaced, partition_of
from schemas.topics import dead_letter_topic
from services.matcher.outbox import Message

MENDED_FROM: Final = "mended-from"
# A record as large as the contract allows may be searched for seconds, when all of it looks like numbers; the group must hear of us meanwhile.
_LARGE_BYTES: Final = 16 * 1024
_TURN_SECONDS: Final = 0.1


@dataclass(slots=True)
class Item:
    """One record taken in: either an event, or the reason why it is none, with the dead letter that it becomes."""

    record: Any
    event: Event | None
    fault: InvalidEvent | None
    misplaced: bool = False
    order: int = 0
    letter: Message | None = None


def read(record: Any) -> Item:
    """One record as an item."""
    try:
        event = codec.decode(record.topic, record.value, record.headers)
    except InvalidEvent as fault:
        item = Item(record, None, fault)
        item.letter = dead_letter(item)
        return item
    return Item(record, event, None, is_misplaced(event.data.area, event.partitionkey, record.partition, record.key))


def read_run(records: Sequence[Any]) -> list[Item]:
    """Records of one partition, in order of offsets, as items."""
    return [read(record) for record in records]


async def read_by_turns(records: Sequence[Any]) -> list[Item]:
    """The same for whoever has a loop to keep going: what is large is read in a thread, and the loop has its turn between many."""
    items: list[Item] = []
    turn = time.monotonic()
    for record in records:
        if record.value is not None and len(record.value) > _LARGE_BYTES:
            items.append(await asyncio.to_thread(read, record))
        else:
            items.append(read(record))
            if time.monotonic() - turn < _TURN_SECONDS:
                continue
            await asyncio.sleep(0)
        turn = time.monotonic()
    return items


def in_order(runs: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of one lane, one run a topic, in the order in which they are decided."""
    if len(runs) == 1:
        return list(runs[0])
    items: list[Item] = []
    for run in runs:
        latest = 0
        for item in run:
            if item.event is not None and item.event.time > latest:
                latest = item.event.time
            item.order = latest
            items.append(item)
    items.sort(key=lambda item: item.order)  # stable: a topic keeps its own order
    return items


def mended(item: Item) -> Message:
    """The event once more, under the key and on the partition of its area, with the same id."""
    assert item.event is not None
    record, event = item.record, item.event
    headers: list[tuple[str, bytes | None]] = [*codec.mended(event)]
    headers.append((MENDED_FROM, f"{record.topic}/{record.partition}/{record.offset}".encode()))
    return Message(record.topic, partition_of(event.area), event.area.encode(), event.raw, headers)


def dead_letter(item: Item) -> Message:
    """The record as it came, with the reason why it was not taken; only personal numbers in it are masked."""
    record = item.record
    fault = item.fault or InvalidEvent(DECISION_FAILED)
    value = record.value
    headers: list[tuple[str, bytes | None]] = [(name, content) for name, content in codec.masked_headers(record.headers) if not name.startswith("dlq-")]
    headers.extend(
        (
            ("dlq-reason", fault.reason.encode()),
            ("dlq-message", str(fault).encode()),
            ("dlq-topic", record.topic.encode()),
            ("dlq-partition", str(record.partition).encode()),
            ("dlq-offset", str(record.offset).encode()),
        )
    )
    key = record.key
    if key is not None and personal.is_bare_number(key.decode(errors="replace")):
        key = b"*" * len(key)
    return Message(dead_letter_topic(record.topic), record.partition, key, None if value is None else codec.masked_value(value), headers)
