"""Lanes: which areas this worker decides, up to where it has read, and whether it still may.

A lane is partition p of all topics that the matcher reads. Taking a lane over raises its epoch in the database; every
transaction locks the lane's row and compares. A worker that was replaced meanwhile (a zombie) finds another epoch, changes
nothing, and forgets the lane.
"""

from dataclasses import dataclass, field
from typing import Final

import asyncpg

from schemas.topics import LANE_TOPICS, PARTITIONS
from services.matcher.core.state import Area
from services.matcher.policies import Policies
from services.matcher.store import AREAS_OF_LANE, CREATE_LANE, TAKE_LANE, Loader

LANES: Final = range(PARTITIONS)


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
