"""Reads the folder that `play` leaves behind; whatever can't be read is itself a violation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.checker.report import Report
from tests.checker.wire import Json, JsonObject, data_of, parse_time, short_type

FILES = ("matches.jsonl", "confirmations.jsonl", "dead-letters.jsonl", "journal.jsonl", "summary.json")
RECORD_FIELDS = ("topic", "partition", "offset", "key", "headers")
OUTCOMES = ("decided", "no_effect", "duplicate")


@dataclass
class Entry:
    """One line of the journal: what was taken in, when by the area's clock, and what was decided."""

    lane: int
    seq: int
    area: str
    at: datetime
    kind: str
    outcome: str
    topic: str | None
    partition: int | None
    offset: int | None
    event: JsonObject | None
    decision: list[JsonObject]

    @property
    def type(self) -> str:
        """The short type of the event taken in, "" for the passing of time."""
        return short_type(self.event) if self.event else ""

    @property
    def data(self) -> JsonObject:
        """The data of the event taken in."""
        return data_of(self.event)

    @property
    def identity(self) -> tuple[str, str]:
        """(source, id) of the event taken in."""
        event = self.event or {}
        return str(event.get("source")), str(event.get("id"))

    @property
    def place(self) -> str:
        """Where in the journal this is, for messages."""
        return f"{self.lane}:{self.seq}"


@dataclass
class Folder:
    """All that `play` wrote, the journal sorted by lane and sequence."""

    path: Path
    records: dict[str, list[JsonObject]] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)
    summary: JsonObject = field(default_factory=dict)

    def everything(self) -> Iterator[tuple[str, Json]]:
        """Each JSON value in the folder with the file that it stands in."""
        for name, records in self.records.items():
            for record in records:
                yield name, record
        for entry in self.journal:
            yield "journal.jsonl", [entry.event, entry.decision]
        yield "summary.json", self.summary


def read(path: Path, report: Report) -> Folder:
    """Read the folder; say what is missing or unreadable."""
    folder = Folder(path)
    for name in FILES:
        if not (path / name).is_file():
            report.broken("folder/missing", "the file is not there", file=name)
    for name in FILES[:3]:
        folder.records[name] = [r for line, r in _lines(path / name, report) if _is_record(r, name, line, report)]
    seen: set[tuple[int, int]] = set()
    for line, value in _lines(path / "journal.jsonl", report):
        entry = _entry(value)
        if entry is None:
            report.broken("folder/journal", "not a journal entry of the agreed form", line=line)
        elif (entry.lane, entry.seq) in seen:
            report.broken("journal/sequence", "this sequence number stands twice in the lane", entry=entry.place)
        else:
            seen.add((entry.lane, entry.seq))
            folder.journal.append(entry)
    folder.journal.sort(key=lambda entry: (entry.lane, entry.seq))
    folder.summary = _summary(path / "summary.json", report)
    report.counts["journal entries"] = len(folder.journal)
    for name, records in folder.records.items():
        report.counts[f"records in {name}"] = len(records)
    return folder


def _lines(path: Path, report: Report) -> Iterator[tuple[int, JsonObject]]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError) as error:
                report.broken("folder/unreadable", f"not JSON: {error}", file=path.name, line=number)
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                report.broken("folder/unreadable", "not an object", file=path.name, line=number)


def _is_record(record: JsonObject, name: str, line: int, report: Report) -> bool:
    missing = [f for f in RECORD_FIELDS if f not in record]
    if "value" not in record and "value_base64" not in record:
        missing.append("value")
    headers = record.get("headers")
    texts = isinstance(headers, dict) and all(isinstance(v, str) for v in headers.values())
    numbers = all(isinstance(record.get(f), int) for f in ("partition", "offset"))
    if missing or not texts or not numbers:
        why = f"missing {missing}" if missing else "headers or numbers of the wrong type"
        report.broken("folder/record", why, file=name, line=line)
        return False
    return True


def _entry(value: JsonObject) -> Entry | None:
    at = parse_time(value.get("at"))
    lane, seq, area = value.get("lane"), value.get("seq"), value.get("area")
    decision, event = value.get("decision"), value.get("event")
    kind, outcome = value.get("kind"), value.get("outcome")
    if at is None or not isinstance(lane, int) or not isinstance(seq, int) or not isinstance(area, str):
        return None
    if kind not in ("event", "time") or outcome not in OUTCOMES:
        return None
    if not isinstance(decision, list) or not all(isinstance(one, dict) for one in decision):
        return None
    if (kind == "event") != isinstance(event, dict):
        return None
    position = (value.get("topic"), value.get("partition"), value.get("offset"))
    return Entry(lane, seq, area, at, kind, outcome, *position, event, decision)


def _summary(path: Path, report: Report) -> JsonObject:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        report.broken("folder/unreadable", f"not JSON: {error}", file=path.name)
        return {}
    return value if isinstance(value, dict) else {}
