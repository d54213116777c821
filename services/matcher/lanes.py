"""Lanes: which areas this worker decides, up to where it has read, and whether it still may.

A lane is partition p of all topics that the matcher reads. Taking a lane over raises its epoch in the database; every
transaction locks the lane's row and compares. A worker that was replaced meanwhile (a zombie) finds another epoch, changes
nothing, and forgets the lane.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from schemas.instants import DAY_US
from schemas.topics import LANE_TOPICS, PARTITIONS
from services.matcher import intake
from services.matcher.core.state import Area
from services.matcher.policies import Policies
from services.matcher.store import AREAS_OF_LANE, CREATE_LANE, GO_BACK, JOURNALLED, TAKE_LANE, Loader
from services.rewound import Judge

LANES: Final = range(PARTITIONS)
_AGAIN_US: Final = DAY_US


@dataclass(slots=True)
class Lane:
    """A lane that this worker owns. `cursors` holds the next offset of each topic; `seq` numbers what is written.

    `aside`: up to which number rows may lie in the outbox, to be dropped when they have served; 0: none do.
    """

    number: int
    epoch: int
    cursors: dict[str, int]
    seq: int
    published: int
    ticked: int
    areas: dict[str, Area] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    aside: int = 0

    def forget(self, names: set[str]) -> None:
        """These areas may be half-changed: throw them away. They are loaded again before anything else is decided."""
        for name in names:
            if self.areas.pop(name, None) is not None:
                self.absent.add(name)

    def leave_out(self, areas: Iterable[Area]) -> None:
        """Of these, just stored, the areas in which nothing is open: they are loaded again when something is said in them."""
        for area in areas:
            if not (area.wishes or area.offers or area.volunteers or area.round_at is not None):
                self.areas.pop(area.name, None)

    def next_deadline(self) -> int | None:
        """The earliest instant at which time alone may change something in one of its areas."""
        if self.absent:
            return 0
        return min((at for area in self.areas.values() if (at := area.next_deadline()) is not None), default=None)


async def take(connection: asyncpg.Connection, number: int, owner: str, policies: Policies) -> Lane:
    """Own a lane from now on, with everything in it that can still change."""
    async with connection.transaction():
        await connection.execute(CREATE_LANE, number)
        row = await connection.fetchrow(TAKE_LANE, number, owner)
    assert row is not None
    lane = Lane(
        number=number,
        epoch=row["epoch"],
        cursors={topic: row[f"{topic}_next"] for topic in LANE_TOPICS},
        seq=row["seq"],
        published=row["published"],
        ticked=row["ticked"],
        aside=row["seq"],  # what lies there still, a former owner left
    )
    for found in await connection.fetch(AREAS_OF_LANE, number):
        await area_of(connection, lane, found["area"], policies)
    return lane


async def go_back(connection: asyncpg.Connection, lane: Lane, cursors: Mapping[str, int]) -> None:
    """Go on at these cursors, as Kafka has lost what was read beyond them.

    What it lost of our own nobody can tell who had not read it, so the decisions of the last day are published again; whoever knows them drops them by id.
    """
    since = time.time_ns() // 1000 - _AGAIN_US
    published = await connection.fetchval(GO_BACK, lane.number, lane.epoch, since, *(cursors[topic] for topic in LANE_TOPICS))
    if published is not None:  # else another worker has it by now
        lane.cursors, lane.published = dict(cursors), published


async def reload(connection: asyncpg.Connection, lane: Lane, policies: Policies) -> None:
    """Load again what was thrown away."""
    for name in sorted(lane.absent):
        await area_of(connection, lane, name, policies)
    lane.absent.clear()


async def area_of(connection: asyncpg.Connection, lane: Lane, name: str, policies: Policies) -> Area:
    """An area of the lane, from memory or else from the database."""
    area = lane.areas.get(name)
    if area is None:
        area = lane.areas[name] = await Loader.on(connection).load(Area(name, policies.of(name)))
    return area


def judge_of(connection: asyncpg.Connection, number: int) -> Judge:
    """Whether records of a lane were taken in where they lie: the journal holds each event with its offset.

    Of dead letters and of what was mended it holds nothing. An event that was taken in at another place tells nothing: it has no second effect in any case.
    """

    async def judge(records: Sequence[Any]) -> list[bool | None]:
        names = await intake.names_by_turns(records)
        asked = [name for name in names if name is not None]
        rows = await connection.fetch(JOURNALLED, [source for source, _ in asked], [event_id for _, event_id in asked])
        places = {(row["source"], row["event_id"]): (row["lane"], row["topic"], row["offset"]) for row in rows}
        return [_verdict(places.get(name), (number, record.topic, record.offset)) if name else None for name, record in zip(names, records, strict=True)]

    return judge


def _verdict(taken_at: tuple[int, str, int] | None, here: tuple[int, str, int]) -> bool | None:
    if taken_at is None:
        return False
    return True if taken_at == here else None
