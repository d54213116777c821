"""What lies between a lane's cursors and what is at hand, piece by piece: after a restore of yesterday's backup that is a whole day, more than memory holds.

A piece is decided and stored, cursors and all, before the next is read; so whoever is stopped in the middle goes on behind the last piece. Which records
belong into one piece is told by when they came, which the broker wrote on each (`message.timestamp.type`): nothing that was said because of something else
came before it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

from schemas.topics import MIB
from services.matcher import intake
from services.matcher.intake import Item

STRETCH_BYTES_MAX: Final = 4 * MIB
"""About so much is read of one topic at a time: 8,000 events of 500 bytes, of which each takes ten times as much once it is decoded."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was read of one topic, in order of offsets. `whole`: it is all that was asked for; else there is more behind it, and it is not empty."""

    records: Sequence[Any]
    whole: bool = True


FillGap: TypeAlias = Callable[[str, int, int, int | None], Awaitable[Stretch]]
"""The records of (topic, partition, start, end), or all from `start` on; as many as STRETCH_BYTES_MAX allows, fewer where Kafka no longer has them."""
Spans: TypeAlias = Mapping[str, tuple[int, int | None]]
"""Topic -> from which offset up to which; None: up to the end of what is there."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is decided next, one run a topic. `whole`: nothing is left of what was asked for; `empty`: of these topics there is nothing to read."""

    runs: list[list[Item]]
    whole: bool
    empty: frozenset[str] = frozenset()

    def in_order(self) -> list[Item]:
        """All of it in the order in which it is decided."""
        return intake.in_order(intake.by_topic(self.runs))


async def next_piece(fill_gap: FillGap, lane: int, spans: Spans, latest: int | None = None) -> Piece:
    """The first of what lies in these spans of a lane's topics; of what has no end, nothing that came after `latest` (milliseconds since 1970).

    Raises:
        OSError: Kafka does not answer just now.
    """
    stretches = {topic: await fill_gap(topic, lane, start, end) for topic, (start, end) in spans.items()}
    empty = frozenset(topic for topic, stretch in stretches.items() if stretch.whole and not stretch.records)
    if latest is not None:
        stretches = {topic: stretch if spans[topic][1] is not None else _no_later(stretch, latest) for topic, stretch in stretches.items()}
    runs = [_joined(await intake.read_by_turns(records)) for records in first_come(stretches) if records]
    return Piece(runs, all(stretch.whole for stretch in stretches.values()), empty)


def _no_later(stretch: Stretch, latest: int) -> Stretch:
    records = _until(stretch.records, latest)
    return stretch if len(records) == len(stretch.records) else Stretch(records)


def _joined(items: list[Item]) -> list[Item]:
    """What lies between them holds no record, and is not to look like another gap where they are stored in parts."""
    for item, following in pairwise(items):
        item.behind = following.record.offset - item.record.offset - 1
    return items


def first_come(stretches: Mapping[str, Stretch]) -> list[Sequence[Any]]:
    """Of each topic the records that came no later than the first of those that were not read: what lies behind a stretch that was cut is not known.

    The stretch that ends earliest is there whole, so there is always something.
    """
    cut = {topic: stretch.records[-1].timestamp for topic, stretch in stretches.items() if not stretch.whole}
    if not cut:
        return [stretch.records for stretch in stretches.values()]
    earliest = min(cut, key=lambda topic: cut[topic])
    return [stretch.records if topic == earliest else _until(stretch.records, cut[earliest]) for topic, stretch in stretches.items()]


def _until(records: Sequence[Any], timestamp: int) -> Sequence[Any]:
    later = next((number for number, record in enumerate(records) if record.timestamp > timestamp), len(records))
    return records[:later]
