"""From Kafka's records to the batch that one transaction decides: decode, judge the key, put in order.

Nothing here touches the database or an area. Records of a lane come from several topics; they are taken in by event time,
each topic in its own order, so that what was said first is decided first where both are at hand. Where event time is the clock, what is stored
together is in order whatever order a topic holds it in (:func:`by_time`).
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias

import orjson

from schemas import codec, dead_letters
from schemas.codec import Event
from schemas.errors import DECISION_FAILED, InvalidEvent
from schemas.lanes import is_misplaced, partition_of
from schemas.registry import MODEL_OF
from schemas.topics import CONFIRMATIONS, EVENT_MAX_BYTES, OFFERS, RESPONSES, WISHES, dead_letter_topic
from services.matcher.outbox import Message
from services.turns import by_turns

MENDED_FROM: Final = "mended-from"
# Who can help before who needs help: else the wish would first be told that nobody can.
_FIRST_AT_ONE_TIME: Final = (OFFERS, WISHES, RESPONSES, CONFIRMATIONS)


@dataclass(slots=True)
class Item:
    """One record taken in: either an event, or the reason why it is none, with the dead letter that it becomes.

    `behind`: how many offsets behind it hold no record that is to be read: marks of transactions, and what was taken back.
    """

    record: Any
    event: Event | None
    fault: InvalidEvent | None
    misplaced: bool = False
    order: int = 0
    letter: Message | None = None
    behind: int = 0

    @property
    def next_offset(self) -> int:
        """Where its topic is to be read on."""
        return int(self.record.offset) + 1 + self.behind


# The items of one topic, each with what its area has to say yet.
_Queue: TypeAlias = deque[tuple[Item, list[deque[int]]]]


def read(record: Any) -> Item:
    """One record as an item."""
    try:
        event = codec.decode(record.topic, record.value, record.headers)
    except InvalidEvent as fault:
        item = Item(record, None, fault)
        item.letter = dead_letter(item)
        return item
    return Item(record, event, None, is_misplaced(event.data.area, event.partitionkey, record.partition, record.key))


def _name(record: Any) -> tuple[str, str] | None:
    try:
        event = codec.decode(record.topic, record.value, record.headers)
    except InvalidEvent:
        return None
    return None if is_misplaced(event.data.area, event.partitionkey, record.partition, record.key) else (event.source, event.id)


async def names_by_turns(records: Sequence[Any]) -> list[tuple[str, str] | None]:
    """(source, id) of each that is an event in its place; no dead letter is made of the others, which takes longer than all else."""
    return await by_turns(_name, records)


async def read_by_turns(records: Sequence[Any], seconds: float = math.inf) -> list[Item]:
    """Records of one partition, in order of offsets, as items; of many that take longer, the first. The loop goes on meanwhile."""
    return await by_turns(read, records, seconds)


def by_topic(runs: Sequence[Sequence[Item]]) -> list[list[Item]]:
    """One lane's runs, one a topic, each offset once; what is waited for before what waits for it, where both say the same time.

    After a rebalance the consumer reads again from where the group is, while what it had brought before still waits here: the cursor does not tell the
    one from the other until the batch is stored. What a jump ahead leaves out is read as a gap.
    """
    joined: dict[str, list[Item]] = {}
    for run in runs:
        before = joined.setdefault(run[0].record.topic, [])
        last = before[-1].record.offset if before else -1
        before.extend(run if run[0].record.offset > last else [item for item in run if item.record.offset > last])
    return [joined[topic] for topic in _FIRST_AT_ONE_TIME if topic in joined]


def in_order(runs: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of one lane, one run a topic, in the order in which they are decided."""
    if len(runs) == 1:
        return list(runs[0])
    items: list[Item] = []
    jumbled = False
    for run in runs:
        latest = 0
        for item in run:
            if item.event is not None:
                if item.event.time >= latest:
                    latest = item.event.time
                else:
                    jumbled = True
            item.order = latest
            items.append(item)
    if jumbled:
        return _area_by_area(runs)
    items.sort(key=lambda item: item.order)  # stable: a topic keeps its own order
    return items


def by_time(runs: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of one lane, one run a topic, in the order in which they were said: only for who stores them all or none, as offsets go up and down.

    What was said at one time goes topic by topic, offers and wishes by their ids, as waiting wishes of one age do; all else as its topic holds it. An event
    that comes again stays behind its first arrival, whatever it says the second time.
    """
    items: list[Item] = []
    for run in runs:
        places: dict[tuple[str, str], tuple[int, str]] = {}
        of_run: list[tuple[tuple[int, str], Item]] = []
        latest = 0
        for item in run:
            place = (latest, "")
            if item.event is not None:
                place = places.setdefault((item.event.source, item.event.id), (item.event.time, _subject_of(item)))
            item.order = latest = place[0]
            of_run.append((place, item))
        items += [item for _, item in sorted(of_run, key=itemgetter(0))]
    items.sort(key=lambda item: item.order)  # stable: at one time the topics have their order
    return items


def _subject_of(item: Item) -> str:
    if item.event is None or item.record.topic not in {OFFERS, WISHES}:
        return ""
    data = item.event.data
    subject: str = data.offer_id if item.record.topic == OFFERS else data.wish_id
    return subject


def as_topics_go(items: Sequence[Item]) -> list[Item]:
    """Items of one lane that lie in any order, in the order of :func:`in_order`."""
    runs: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.record.offset):
        runs.setdefault(item.record.topic, []).append(item)
    return in_order(by_topic(list(runs.values())))


def _area_by_area(runs: Sequence[Sequence[Item]]) -> list[Item]:
    """The same where a topic does not hold its events by time: nothing goes before what its own area said earlier in another topic.

    Areas share a lane, and one must not be decided in another order because of what another one says later. Where both cannot be had, for a topic keeps its
    own order always, what was said at one time goes in any order, and then the earliest is taken.
    """
    topics = len(runs)
    # What each area has to say yet, topic by topic. At one time the topics have their order, so it is part of the number.
    ahead: dict[str, list[deque[int]]] = {}
    queues: list[_Queue] = [deque() for _ in runs]
    for number, run in enumerate(runs):
        for item in run:
            of_area: list[deque[int]] = []
            if item.event is not None and not item.misplaced:
                of_area = ahead.setdefault(item.event.area, [deque() for _ in runs])
                said = of_area[number]
                item.order = max(item.event.time * topics + number, said[-1] if said else 0)
                said.append(item.order)
            queues[number].append((item, of_area))
    items: list[Item] = []
    while any(queues):
        before = len(items)
        for number, queue in enumerate(queues):
            while queue and (not queue[0][1] or queue[0][0].order == _first_said(queue)):
                items.append(_take(number, queue))
        if len(items) == before:
            held_up = [(queue[0][0].order // topics > _first_said(queue) // topics, queue[0][0].order, number) for number, queue in enumerate(queues) if queue]
            number = min(held_up)[2]
            items.append(_take(number, queues[number]))
    return items


def _first_said(queue: _Queue) -> int:
    """What the area of the item that is next in its topic has to say first."""
    return min([said[0] for said in queue[0][1] if said])


def _take(number: int, queue: _Queue) -> Item:
    item, of_area = queue.popleft()
    if of_area:
        of_area[number].popleft()
    return item


def type_told(record: Any) -> str:
    """The type that a record which is no valid event says it is of, where that is one of the contract's; else nothing, as anybody may write anything there."""
    told: Any = dict(record.headers).get("ce_type")
    if told is None and record.value is not None and len(record.value) <= EVENT_MAX_BYTES:
        try:
            document = orjson.loads(record.value)
        except orjson.JSONDecodeError:
            return ""
        told = document.get("type") if isinstance(document, dict) else None
    if isinstance(told, bytes):
        told = told.decode(errors="replace")
    return told if isinstance(told, str) and told in MODEL_OF else ""


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
    key, value, headers = dead_letters.dead_letter(record, item.fault or InvalidEvent(DECISION_FAILED))
    return Message(dead_letter_topic(record.topic), record.partition, key, value, headers)
