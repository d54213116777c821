"""One worker and what it stores, as the matcher does it: `batch.py` decides, and the code of `store.py` writes and reads rows, over shelves.

The worker may die at any time; what is stored stays. Only the waiting for Kafka and PostgreSQL is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.codec import Event
from schemas.registry import TOPIC_OF
from schemas.topics import LANE_TOPICS
from services.matcher.batch import Batch, Draft, Work
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.intake import Item
from services.matcher.lanes import Lane
from services.matcher.replay import Entry
from services.matcher.store import Loader
from tests.shelf import Shelves, at_once

BEFORE: Final = "before the commit"
AFTER: Final = "after the commit"


@dataclass(slots=True)
class Record:
    """As much of a Kafka record as a batch looks at."""

    topic: str
    offset: int


@dataclass
class Stored:
    """What outlives every worker: one lane with the rows of its areas and the journal."""

    shelves: dict[str, Shelves] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    seq: int = 0
    ticked: int = 0
    epoch: int = 0
    offsets: int = 0


@dataclass
class Worker:
    """Decides and stores. `lane` is all that it has in memory; None while it has nothing."""

    policy: Policy
    stored: Stored = field(default_factory=Stored)
    lane: Lane | None = None

    def die(self) -> None:
        """Memory is gone; the next call loads what was stored, as another worker would."""
        self.lane = None

    def _loaded(self) -> Lane:
        if self.lane is None:
            self.stored.epoch += 1
            self.lane = Lane(0, self.stored.epoch, dict.fromkeys(LANE_TOPICS, self.stored.offsets), self.stored.seq, 0, self.stored.ticked)
            for name in self.stored.shelves:
                self._area(self.lane, name)
        return self.lane

    def _area(self, lane: Lane, name: str) -> Area:
        if name not in lane.areas:
            lane.areas[name] = at_once(self._loader(name).load(Area(name, self.policy)))
        return lane.areas[name]

    def _loader(self, name: str) -> Loader:
        shelves: Any = self.stored.shelves.setdefault(name, Shelves())
        return Loader(shelves)

    def take_in(self, events: Sequence[Event], wall: int | None, crash: str | None) -> list[Entry]:
        """A batch; the entries that the journal has more. `wall`: the clock on the wall, None where event time counts."""
        lane = self._loaded()
        wanted: dict[str, tuple[set[str], set[str], set[str]]] = {}
        for event in events:
            names = type(event.data).model_fields
            for ids, name in zip(wanted.setdefault(event.area, (set(), set(), set())), ("wish_id", "offer_id", "volunteer_ref"), strict=True):
                if name in names and (one := getattr(event.data, name)) is not None:
                    ids.add(one)
        for name, asked_for in wanted.items():
            area = self._area(lane, name)
            at_once(self._loader(name).bring(area, *asked_for))
        batch = Batch({(event.source, event.id) for event in events} & self.stored.seen, wall)
        items: list[Item] = []
        for event in events:
            self.stored.offsets += 1
            items.append(Item(Record(TOPIC_OF[event.type], self.stored.offsets), event, None))
        return self._settle(batch, Work(lane, items), crash)

    def tick(self, to: int, crash: str | None) -> list[Entry]:
        """Time passes in all areas, to that instant; never backwards."""
        return self._settle(Batch(set(), to), Work(self._loaded(), tick=to), crash)

    def next_deadline(self) -> int | None:
        """The earliest instant at which time alone may change something."""
        return self._loaded().next_deadline()

    def _settle(self, batch: Batch, work: Work, crash: str | None) -> list[Entry]:
        batch.decide(work)
        if crash == BEFORE:
            self.die()
            return []
        (draft,) = batch.drafts
        self._commit(batch, draft)
        if crash == AFTER:
            self.die()
        # lane, seq, area, at, kind, outcome, topic, offset, source, event id, event, decision: the columns of the journal.
        return [Entry(*row[:6], *row[10:]) for row in batch.changes.journal]

    def _commit(self, batch: Batch, draft: Draft) -> None:
        stored, lane = self.stored, draft.lane
        for area in draft.areas.values():
            shelves = stored.shelves[area.name]
            shelves.raw.wishes = {**batch.raw.wishes, **shelves.raw.wishes}  # the first of a wish stands
            shelves.raw.offers.update(batch.raw.offers)
            shelves.put(area)
            area.forget_touched()
        stored.seen.update((row[8], row[9]) for row in batch.changes.journal if row[8] is not None)
        lane.seq, lane.cursors, lane.ticked = draft.seq, draft.cursors, draft.ticked
        stored.seq, stored.ticked = draft.seq, draft.ticked
