"""One batch being decided: what each lane's items come to, before any of it is stored. No I/O.

The areas are changed as it goes; everything else (journal, outbox, messages, cursors) is gathered here, so that a batch which
cannot be stored leaves nothing behind but areas to be loaded again.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog

from schemas import codec
from schemas.errors import DECISION_FAILED
from schemas.topics import MATCHES
from services.matcher import intake
from services.matcher.core.decide import DECIDED, decide, pass_time
from services.matcher.core.state import Area
from services.matcher.core.turn import Decision
from services.matcher.intake import Item
from services.matcher.lanes import Lane
from services.matcher.outbox import SOURCE, Message
from services.matcher.store import Changes, RawData
from services.matcher.written import NOTHING, written

DUPLICATE: Final = "duplicate"
DEAD: Final = "dead_letter"
MENDED: Final = "mended"


class Undecidable(Exception):
    """Deciding one item raised."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item


# What is to be journalled: its number, the area, the instant, the outcome, the item (None: time has passed), and the events that go out.
Decided: TypeAlias = tuple[int, str, int, str, Item | None, list[Decision]]


@dataclass(slots=True)
class Work:
    """What one transaction takes in for one lane; `tick`: until when time has passed."""

    lane: Lane
    items: list[Item] = field(default_factory=list)
    tick: int | None = None


@dataclass(slots=True)
class Draft:
    """One lane's part of a batch, not yet committed. `published`: what it marks as published; `aside`: the last of its rows in the outbox, 0 for none.

    `decided`: what is not yet written down.
    """

    lane: Lane
    seq: int
    cursors: dict[str, int]
    ticked: int
    published: int = 0
    aside: int = 0
    messages: list[Message] = field(default_factory=list)
    areas: dict[str, Area] = field(default_factory=dict)
    decided: list[Decided] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """All lanes' parts. `known`: the events (source, id) that were decided before. `wall`: now, or None where event time counts."""

    known: set[tuple[str, str]]
    wall: int | None
    drafts: list[Draft] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    raw: RawData = field(default_factory=RawData)
    lines: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def decide(self, work: Work) -> None:
        """Decide one lane's part. Undecidable where the core raised."""
        lane = work.lane
        draft = Draft(lane, lane.seq, dict(lane.cursors), lane.ticked)
        self.drafts.append(draft)
        if work.tick is not None:
            draft.ticked = max(draft.ticked, work.tick)
            for name in sorted(lane.areas):
                self._pass_time(draft, lane.areas[name], max(work.tick, lane.areas[name].clock))
        for item in work.items:
            self._take(draft, item)
        self._write(draft)

    def _take(self, draft: Draft, item: Item) -> None:
        record, event = item.record, item.event
        draft.cursors[record.topic] = max(item.next_offset, draft.cursors[record.topic])  # by event time offsets go up and down
        line = {"lane": draft.lane.number, "topic": record.topic, "offset": record.offset}
        self.lines.append(line)
        if event is None:
            self._send_aside(draft, item.letter or intake.dead_letter(item))
            if kind := intake.type_told(record):
                line["type"] = kind
            line["outcome"] = DEAD
            line["reason"] = item.fault.reason if item.fault is not None else DECISION_FAILED
            return
        line["type"], line["area"], line["source"], line["id"] = event.type, event.area, event.source, event.id
        if item.misplaced:
            self._send_aside(draft, intake.mended(item))
            line["outcome"] = MENDED
            return
        area = draft.lane.areas[event.area]
        identity = (event.source, event.id)
        if identity in self.known:
            self._journal(draft, area, area.clock, DUPLICATE, item, [])
            line["outcome"] = DUPLICATE
            return
        now = max(area.clock, event.time if self.wall is None else self.wall)
        self._pass_time(draft, area, now)
        try:
            line["outcome"], decisions = decide(area, event, now)
        except MemoryError:
            raise  # that is about us, and not about the event
        except Exception as error:
            structlog.get_logger().exception("undecidable", topic=record.topic, offset=record.offset)
            raise Undecidable(item) from error
        self.known.add(identity)
        draft.areas[area.name] = area
        if line["outcome"] == DECIDED:  # what had no effect must have none either once the area is loaded again
            self.raw.keep(event)
        self._journal(draft, area, now, line["outcome"], item, decisions)
        line["decisions"] = len(decisions)

    def _pass_time(self, draft: Draft, area: Area, now: int) -> None:
        """Decide what time has brought.

        By event time each deadline passes at its own instant, however far the clock has jumped: nobody is released, and no wish expires, later than it
        was due. By the wall's clock it is now, whatever was due.
        """
        while (due := area.next_deadline()) is not None and due <= now:
            at = max(area.clock, due) if self.wall is None else now
            changed, decisions = pass_time(area, at)
            draft.areas[area.name] = area
            if changed:
                self._journal(draft, area, at, "decided", None, decisions)
            if self.wall is not None:
                break

    @staticmethod
    def _journal(draft: Draft, area: Area, now: int, outcome: str, item: Item | None, decisions: list[Decision]) -> None:
        draft.seq += 1
        draft.decided.append((draft.seq, area.name, now, outcome, item, decisions))

    def _write(self, draft: Draft) -> None:
        """The rows and messages of what was decided: all together, since a step that is taken for many at once costs a third of what it does in between."""
        decided, draft.decided = draft.decided, []
        lane = draft.lane.number
        texts: list[bytes] = []
        for _, area, now, _, _, decisions in decided:
            if not decisions:
                texts.append(NOTHING)
                continue
            at, bodies, text = written(area, now, decisions)
            key = area.encode()
            texts.append(text)
            for one, data in zip(decisions, bodies, strict=True):
                draft.messages.append(Message(MATCHES, lane, key, data, codec.headers_of(one.type, one.id, SOURCE, at, one.subject, area)))
        rows = self.changes.journal
        for (seq, area, now, outcome, item, _), text in zip(decided, texts, strict=True):
            if item is None:
                rows.append((lane, seq, area, now, "time", outcome, None, None, None, None, None, text))
            else:
                event, record = item.event, item.record
                assert event is not None
                rows.append((lane, seq, area, now, "event", outcome, record.topic, record.offset, event.source, event.id, codec.structured(event), text))

    def _send_aside(self, draft: Draft, message: Message) -> None:
        self._write(draft)  # first: what goes out keeps its order
        draft.seq += 1
        draft.aside = draft.seq
        draft.messages.append(message)
        names = [name.encode() for name, _ in message.headers]
        values = [value for _, value in message.headers]
        row = (draft.lane.number, draft.seq, message.topic, message.partition, message.key, names, values, message.value)
        self.changes.outbox.append(row)
