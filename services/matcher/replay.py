"""Decides a journal again by the core alone, and tells where the result is not the same, byte for byte.

`python -m services.matcher.replay journal.jsonl [--policy FILE]` reads what `play` wrote; :func:`from_database` reads `matching.journal`. Entries
of one area are taken in their order; nothing but the journal is looked at.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from schemas import codec
from schemas.codec import Event
from schemas.errors import InvalidEvent
from schemas.instants import parse_rfc3339
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.state import Area
from services.matcher.policies import Policies
from services.matcher.written import NOTHING, decision_text

EVENT: Final = "event"
TIME: Final = "time"
DUPLICATE: Final = "duplicate"
JOURNAL: Final = "SELECT lane, seq, area, at, kind, outcome, event, decision FROM matching.journal ORDER BY lane, seq"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the journal. `at` is in microseconds; `event` and `decision` are JSON as they were written."""

    lane: int
    seq: int
    area: str
    at: int
    kind: str
    outcome: str
    event: bytes | None
    decision: bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """Where deciding again came to something else: `what` was compared, as it was written and as it is now."""

    lane: int
    seq: int
    area: str
    what: str
    written: str
    now: str

    def __str__(self) -> str:
        return f"lane {self.lane} seq {self.seq} area {self.area}: {self.what}\n  - {self.written}\n  + {self.now}"


@dataclass(slots=True)
class Replay:
    """Decides entry after entry; `decided` counts those that were decided again.

    `read` gives the event of an entry's structured text, or raises InvalidEvent. Of `seen` events there is a digest each, and of `repeats` the first
    whose event has not been seen (yet).
    """

    policies: Policies = field(default_factory=Policies)
    decided: int = 0
    areas: dict[str, Area] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    repeats: dict[bytes, Entry] = field(default_factory=dict)
    read: Callable[[bytes], Event] = codec.decode_structured

    def again(self, entry: Entry) -> list[Difference]:
        """What is different about this entry; none expected."""
        area = self.areas.get(entry.area)
        if area is None:
            area = self.areas[entry.area] = Area(entry.area, self.policies.of(entry.area))
        self.decided += 1
        found = list(self._time(area, entry) if entry.kind == TIME else self._event(area, entry))
        # What changed is of no use here, and would only grow.
        for touched in (area.touched_wishes, area.touched_offers, area.touched_matches, area.touched_early, area.touched_people, area.touched_met, area.idle):
            touched.clear()
        return found

    def _time(self, area: Area, entry: Entry) -> Iterator[Difference]:
        changed, decisions = pass_time(area, entry.at)
        yield from _compare(entry, "outcome", entry.outcome, "decided" if changed else "no_effect")
        yield from _compare(entry, "decision", entry.decision, decision_text(area.name, entry.at, decisions))

    def _event(self, area: Area, entry: Entry) -> Iterator[Difference]:
        try:
            event = self.read(entry.event or b"")
        except InvalidEvent as fault:
            yield _difference(entry, "event", "valid", str(fault))
            return
        identity = blake2b(f"{event.source}\n{event.id}".encode(), digest_size=16).digest()
        if entry.outcome == DUPLICATE or identity in self.seen:
            if identity not in self.seen:
                self.repeats.setdefault(identity, replace(entry, event=None))
            yield from _compare(entry, "outcome", entry.outcome, DUPLICATE)
            yield from _compare(entry, "decision", entry.decision, NOTHING)
            return
        self.seen.add(identity)
        self.repeats.pop(identity, None)
        changed, passed = pass_time(area, entry.at)
        if changed:
            # Time that changed something has an entry of its own, before this one.
            yield _difference(entry, "time", "[]", decision_text(area.name, entry.at, passed).decode())
        outcome, decisions = decide(area, event, entry.at)
        yield from _compare(entry, "outcome", entry.outcome, outcome)
        yield from _compare(entry, "decision", entry.decision, decision_text(area.name, entry.at, decisions))

    def unfounded(self) -> list[Difference]:
        """Once all is read: repeats of what was never decided; the first arrival may lie in another lane, read later."""
        return [_difference(entry, "outcome", DUPLICATE, "decided") for entry in self.repeats.values()]


def _difference(entry: Entry, what: str, written: str, now: str) -> Difference:
    return Difference(entry.lane, entry.seq, entry.area, what, written, now)


def _compare(entry: Entry, what: str, written: str | bytes, now: str | bytes) -> Iterator[Difference]:
    if written != now:
        texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in (written, now)]
        yield _difference(entry, what, *texts)


def entry_of_line(line: bytes) -> Entry:
    """One line of `journal.jsonl`. It holds JSON that was parsed, and dumping it again gives the bytes that were written."""
    row: dict[str, Any] = orjson.loads(line)
    event = row["event"]
    return Entry(
        lane=row["lane"],
        seq=row["seq"],
        area=row["area"],
        at=parse_rfc3339(row["at"]),
        kind=row["kind"],
        outcome=row["outcome"],
        event=None if event is None else orjson.dumps(event),
        decision=orjson.dumps(row["decision"]),
    )


async def from_database(connection: asyncpg.Connection) -> AsyncIterator[Entry]:
    """All of `matching.journal`, read through a cursor, as of one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(JOURNAL, prefetch=1000):
            yield Entry(*row)


def differences(entries: Iterable[Entry], replay: Replay | None = None) -> Iterator[Difference]:
    """All differences, in the order of the entries."""
    replay = replay or Replay()
    for entry in entries:
        yield from replay.again(entry)
    yield from replay.unfounded()


def main(arguments: list[str] | None = None) -> int:
    """Print how many entries were decided again, and each difference; 1 when there is one."""
    parser = argparse.ArgumentParser(prog="python -m services.matcher.replay", description=__doc__)
    parser.add_argument("journal", type=Path, help="journal.jsonl, as play wrote it")
    parser.add_argument("--policy", type=Path, help="the policy file that it was decided under; none: the usual policy")
    given = parser.parse_args(arguments)
    path: Path = given.journal
    replay, found = Replay(Policies.read(given.policy)), 0
    with path.open("rb") as lines:
        for difference in differences((entry_of_line(line) for line in lines if line.strip()), replay):
            found += 1
            print(difference)
    print(f"重新决定 {replay.decided} 条，不同 {found} 处 | {replay.decided} entries decided again, {found} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
