"""Whether a topic's log is still the one that was read: readers that keep their place in PostgreSQL ask when they take it up again.

PostgreSQL flushes what it commits; a broker leaves that to the system. After a machine went without power the log may end before the place up to which it was
read, and after the loss of a disk it begins anew. What is published then takes offsets that were read before, and would be passed over as repeats, without
a word. So who takes a place up again looks at the records before it: the last that can tell says whether this is that log, and where it is not, reading
goes on behind the last record that was surely read. What was read already is known by its id and has no second effect.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import MIB
from services.broker import records_between
from services.turns import is_large, size_of

Judge: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[bool | None]]]
"""Of records of one partition in order of offsets: True, it was read at this place; False, it never was; None, that cannot be told."""

_STEP: Final = 20
# Nobody looks farther back, however many records cannot tell. A lane is taken over only when this is known.
_LOOK_MAX: Final = 2_000
_LOOK_BYTES_MAX: Final = 32 * MIB


async def places_to_go_on(consumer: AIOKafkaConsumer, places: Mapping[TopicPartition, int], judge: Judge) -> dict[TopicPartition, int]:
    """Where reading is to go on that came to `places`, the next offsets: there, or before them where these are not the logs that were read.

    The partitions must be assigned to the consumer, whose position in each is anywhere afterwards.

    Raises:
        KafkaError: Kafka does not answer just now; IllegalStateError: a partition is not assigned to the consumer any more.
        TimeoutError: what is there does not come.
    """
    found = dict(places)
    begun = [tp for tp, place in places.items() if place > 0]
    begins, ends = (await consumer.beginning_offsets(begun), await consumer.end_offsets(begun)) if begun else ({}, {})
    for tp in begun:
        found[tp] = await _place(consumer, tp, places[tp], (begins[tp], ends[tp]), judge)
        if found[tp] != places[tp]:
            structlog.get_logger().warning("log_rewound", topic=tp.topic, partition=tp.partition, read_to=places[tp], goes_on_at=found[tp])
    return found


async def _place(consumer: AIOKafkaConsumer, tp: TopicPartition, place: int, log: tuple[int, int], judge: Judge) -> int:
    begin, end = log
    at = min(place, end)
    another = end < place
    lowest, looked = max(begin, at - _LOOK_MAX), 0
    while at > lowest and looked < _LOOK_BYTES_MAX:
        start = max(lowest, at - _STEP)
        found = await records_between(consumer, tp, start, at)
        looked += sum(map(size_of, found))
        # What is as large as no event of ours is rubbish nearly always, and to read it takes a second.
        records = [record for record in found if not is_large(record)]
        for record, known in reversed(list(zip(records, await judge(records), strict=True))):
            if known:
                return int(record.offset) + 1 if another else place
            another = another or known is False
        at = start
    return min(begin, place) if another else place
