"""Promise 3 with the input file at hand: every line is in the journal or in the dead letters, as it deserves."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.checker.folder import Entry, Folder
from tests.checker.report import Report
from tests.checker.validity import Verdict, judge
from tests.checker.wire import Json, JsonObject, data_of, parse_time


@dataclass
class Line:
    """One line of the input, its number counted from 0, and the verdict on it."""

    number: int
    raw: bytes
    verdict: Verdict

    @property
    def identity(self) -> tuple[str, str]:
        """(source, id) of a line that is an event."""
        event = self.verdict.event or {}
        return str(event.get("source")), str(event.get("id"))

    @property
    def ids(self) -> dict[str, object]:
        """What names the line in a report."""
        event = self.verdict.event or {}
        return {"line": self.number, "event": event.get("id") if isinstance(event.get("id"), str) else None}


def read_lines(path: Path) -> list[Line]:
    """The lines of the file, with verdicts. A line end is no part of what is published; empty lines are none."""
    raws = path.read_bytes().split(b"\n")
    kept = [raw.rstrip(b"\r") for raw in raws if raw.strip()]
    return [Line(number, raw, judge(raw)) for number, raw in enumerate(kept)]


def check(folder: Folder, lines: list[Line], dead_letters: list[JsonObject], report: Report) -> None:
    """Judge where each line went. A line in doubt may be in either place, but has to be in one."""
    entries: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in folder.journal:
        if entry.kind == "event" and entry.topic != "confirmations":
            entries[entry.identity].append(entry)
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    dead: list[Line] = []
    for line in lines:
        report.counts[f"lines {line.verdict.kind}"] += 1
        if line.verdict.kind == "invalid":
            dead.append(line)
        else:
            groups[line.identity].append(line)
    for identity, group in groups.items():
        dead += _in_journal(group, entries.pop(identity, []), report)
    for identity, strange in entries.items():
        report.broken("promise-3/invented", "in the journal, but no valid line of the input", event=identity[1],
                      entry=strange[0].place)  # fmt: skip
    _in_dead_letters(dead, dead_letters, report)


def _in_journal(group: list[Line], entries: list[Entry], report: Report) -> list[Line]:
    """Judge the lines of one (source, id); those that can only be in the dead letters are returned."""
    ids = group[0].ids
    sure = [line for line in group if line.verdict.kind == "valid"]
    if not entries and not sure:
        return group
    firsts = [entry for entry in entries if entry.outcome != "duplicate"]
    repeats = len(entries) - len(firsts)
    if len(firsts) != 1:
        report.broken("promise-3/lost", f"{len(firsts)} times in the journal as new, once is right", **ids)
    if repeats < len(sure) - 1:
        report.broken("promise-3/duplicates", f"{len(sure)} times published, {repeats} duplicates", **ids)
    elif repeats > len(group) - 1:
        # A restart may send a mended event again: harmless, yet worth knowing.
        report.doubtful("promise-3/duplicates", f"{len(group)} times published, {repeats} duplicates", **ids)
    areas = {data_of(line.verdict.event).get("area") for line in group}
    topics = {line.verdict.topic for line in group}
    for entry in entries:
        if entry.topic not in topics:
            report.broken("promise-3/topic", f"in the journal from {entry.topic}", entry=entry.place, **ids)
        if entry.area not in areas:
            report.broken("promise-3/area", f"journalled in {entry.area}", entry=entry.place, **ids)
    if firsts and not any(_same_content(line, firsts[0]) for line in _arrived_first(group)):
        report.broken("promise-3/content", "journalled with other content than published first", **ids)
    return []


def _arrived_first(group: list[Line]) -> list[Line]:
    """Of the lines of one (source, id) those that may have come first; just one, where none is in doubt: whichever stands first in the first minute."""
    if any(line.verdict.kind != "valid" for line in group):
        return group
    return [min(group, key=lambda line: _minute((line.verdict.event or {}).get("time")))]


def _minute(time: object) -> datetime:
    instant = parse_time(time)
    assert instant is not None  # of a valid event
    return instant.replace(second=0, microsecond=0)


def _same_content(line: Line, entry: Entry) -> bool:
    """What the journal holds agrees with what was published, in every field of the page that both have.

    Defaults may be filled in, unknown fields dropped, and times written in another way.
    """
    published = line.verdict.event or {}
    return _within(data_of(published), data_of(entry.event)) and (entry.event or {}).get("type") == published["type"]


def _within(published: Json, kept: Json) -> bool:
    if isinstance(published, dict) and isinstance(kept, dict):
        return all(_within(published[name], kept[name]) for name in published if name in kept)
    if isinstance(published, list) and isinstance(kept, list):
        return len(published) == len(kept) and all(map(_within, published, kept))
    if isinstance(published, str) and isinstance(kept, str):
        instant = parse_time(published)
        return published == kept or (instant is not None and instant == parse_time(kept))
    return bool(published == kept)


def _in_dead_letters(lines: list[Line], dead_letters: list[JsonObject], report: Report) -> None:
    """Pair each invalid line with a dead letter: by the very value first, then by what masking leaves."""
    by_value: dict[str, list[JsonObject]] = defaultdict(list)
    for record in dead_letters:
        by_value[_print(_value(record))].append(record)
    waiting: list[Line] = []
    for line in lines:
        found = by_value.get(_print(_published(line.raw))) or by_value.get(_print(line.raw.decode("utf-8", "replace")))
        if found:
            _reason(line, found.pop(), report)
        else:
            waiting.append(line)
    rest = [record for records in by_value.values() for record in records]
    for line in waiting:
        masked = next((r for r in rest if _is_masked(_published(line.raw), _value(r))), None)
        if masked is None:
            report.broken("promise-3/lost", "an invalid line that is not in the dead letters as published", **line.ids)
            continue
        rest.remove(masked)
        _reason(line, masked, report)
    for record in rest:
        where = f"{record['topic']}/{record['partition']}/{record['offset']}"
        event = record.get("value")
        name = event.get("id") if isinstance(event, dict) else None
        reason = record["headers"].get("dlq-reason")
        report.broken("promise-3/refused", f"no invalid line is this: {reason}", record=where, event=name)


def _reason(line: Line, record: JsonObject, report: Report) -> None:
    reason = record["headers"].get("dlq-reason")
    report.counts["dead letters judged"] += 1
    if line.verdict.codes and reason not in line.verdict.codes:
        expected = " or ".join(sorted(line.verdict.codes))
        report.broken("dead-letter/reason", f"{reason}, expected {expected}", **line.ids)
    if record["headers"].get("dlq-topic") != line.verdict.topic:
        text = f"from {record['headers'].get('dlq-topic')}, expected {line.verdict.topic}"
        report.broken("dead-letter/topic", text, **line.ids)


def _published(raw: bytes) -> Json:
    """The value as `play` would write it: JSON where it parses, else text, else bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _value(record: JsonObject) -> Json:
    if record.get("value_base64") is not None:
        raw = base64.b64decode(record["value_base64"])
        return _published(raw)
    return record.get("value")


def _print(value: Json) -> str:
    if isinstance(value, bytes):
        return "bytes " + value.hex()
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _is_masked(published: Json, kept: Json) -> bool:
    """The same value, some of whose texts were masked: those that changed held digits and have fewer now."""
    if isinstance(published, bytes):
        return isinstance(kept, str) and _is_masked(published.decode("utf-8", "replace"), kept)
    if isinstance(published, dict) and isinstance(kept, dict):
        return len(published) == len(kept) and all(name in kept and _is_masked(value, kept[name]) for name, value in published.items())
    if isinstance(published, list) and isinstance(kept, list):
        return len(published) == len(kept) and all(map(_is_masked, published, kept))
    if isinstance(published, str) and isinstance(kept, str):
        return published == kept or _digits(kept) < _digits(published)
    return bool(published == kept) and isinstance(kept, type(published))


def _digits(text: str) -> int:
    return sum(1 for sign in text if sign.isdigit())
