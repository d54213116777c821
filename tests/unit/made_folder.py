"""Builds, by hand, the folder of a small `play`, so that a test can spoil one thing in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.checker.wire import PREFIX, JsonObject, partition_of

AREA = "guixi"
LANE = partition_of(AREA, 6)
DAY = "2026-11-24T"
BY_NOTIFIER = ("match.confirmed", "confirmation.failed", "match.closed")


def instant(clock: str) -> str:
    """`09:30` as an instant of the day."""
    return f"{DAY}{clock}:00.000000Z"


def span(start: str, end: str) -> JsonObject:
    return {"start": instant(start), "end": instant(end)}


class MadeFolder:
    """A journal in the making, and all that follows from it. Entries, events and files are plain and can be spoilt."""

    def __init__(self) -> None:
        self.entries: list[JsonObject] = []
        self.extra_lines: list[bytes] = [b"hello"]
        self.files: dict[str, list[JsonObject]] = {}
        self.summary: JsonObject = {}
        self._ids = 0

    def event(self, kind: str, data: JsonObject, clock: str) -> JsonObject:
        self._ids += 1
        subject = data.get("match_id") or data.get("wish_id") or data.get("offer_id")
        return {
            "specversion": "1.0", "id": f"e{self._ids}", "source": "/made", "type": f"{PREFIX}{kind}.v1", "time": instant(clock),
            "subject": subject, "partitionkey": AREA, "data": {"area": AREA} | data,
        }  # fmt: skip

    def take(self, clock: str, kind: str, data: JsonObject, decision: list[JsonObject] | None = None, at: int | None = None) -> JsonObject:
        """An event taken in, with what was decided; `at` puts it before another entry."""
        entry = self._entry(clock, self.event(kind, data, clock), decision or [])
        topic = {"wish": "wishes", "consent": "wishes", "offer": "offers"}.get(kind.split(".", maxsplit=1)[0], "responses")
        if kind == "wish.claimed":
            topic = "responses"
        entry |= {"topic": "confirmations" if kind in BY_NOTIFIER else topic, "partition": LANE}
        self.entries.insert(len(self.entries) if at is None else at, entry)
        return entry

    def time(self, clock: str, decision: list[JsonObject]) -> JsonObject:
        entry = self._entry(clock, None, decision)
        self.entries.append(entry)
        return entry

    @staticmethod
    def _entry(clock: str, event: JsonObject | None, decision: list[JsonObject]) -> JsonObject:
        return {
            "lane": LANE, "area": AREA, "at": instant(clock), "kind": "event" if event else "time", "outcome": "decided",
            "topic": None, "partition": None, "event": event, "decision": decision,
        }  # fmt: skip

    def proposed(self, clock: str, match: str, wish: str, offer: str, slot: JsonObject, **more: Any) -> JsonObject:
        data = {
            "match_id": match, "wish_id": wish, "offer_id": offer, "resident_ref": f"res-{wish}", "volunteer_ref": f"vol-{offer}", "rung": "building",
            "slot": slot, "how": "paired", "reasons": ["nearest"], "needs_answer": False, "expires_at": None,
        }  # fmt: skip
        return self.event("match.proposed", data | more, clock)

    def about(self, kind: str, clock: str, match: str, wish: str, offer: str, **more: Any) -> JsonObject:
        return self.event(kind, {"match_id": match, "wish_id": wish, "offer_id": offer, **more}, clock)

    def confirmed(self, clock: str, proposal: JsonObject) -> JsonObject:
        data = proposal["data"]
        notices = [{"to": side, "channel": "console", "at": instant(clock)} for side in ("resident", "volunteer")]
        kept = {name: copy.deepcopy(data[name]) for name in ("match_id", "wish_id", "offer_id", "rung", "slot", "group_id") if name in data}
        return self.take(clock, "match.confirmed", kept | {"confirmed_at": instant(clock), "notices": notices})

    def of(self, name: str) -> JsonObject:
        """The data of the wish, offer or match, wherever it came about."""
        key = {"w": "wish_id", "o": "offer_id", "m": "match_id"}[name[0]]
        kinds = {"w": "wish.submitted", "o": "offer.posted", "m": "match.proposed"}
        for event in self.events():
            if event["type"] == f"{PREFIX}{kinds[name[0]]}.v1" and event["data"][key] == name:
                data: JsonObject = event["data"]
                return data
        raise LookupError(name)

    def events(self) -> Iterator[JsonObject]:
        for entry in self.entries:
            yield from ([entry["event"]] if entry["event"] else [])
            yield from entry["decision"]

    def entry(self, kind: str, name: str) -> JsonObject:
        """The entry that takes in an event of the kind about the wish, offer or match."""
        for entry in self.entries:
            event = entry["event"]
            if event and event["type"] == f"{PREFIX}{kind}.v1" and name in event["data"].values():
                return entry
        raise LookupError(kind, name)

    def without(self, *entries: JsonObject) -> None:
        self.entries = [entry for entry in self.entries if not any(entry is one for one in entries)]

    def build(self) -> None:
        """Number the entries, publish what was decided, count."""
        decided = [event for entry in self.entries for event in entry["decision"]]
        told = [entry["event"] for entry in self.entries if entry["topic"] == "confirmations"]
        for number, entry in enumerate(self.entries):
            entry["seq"] = number
            entry["offset"] = number if entry["event"] else None
        dead = {
            "topic": "wishes-dlq", "partition": 0, "offset": 0, "key": None, "value": "hello",
            "headers": {"dlq-reason": "not_json", "dlq-message": "no", "dlq-topic": "wishes", "dlq-partition": "0", "dlq-offset": "9"},
        }  # fmt: skip
        self.files = {
            "matches": [self._record("matches", n, event) for n, event in enumerate(decided)],
            "confirmations": [self._record("confirmations", n, event) for n, event in enumerate(told)],
            "dead-letters": [dead],
            "journal": self.entries,
        }
        confirmed = sum(1 for event in told if event["type"].endswith("confirmed.v1"))
        self.summary = {
            "published": len(self.lines()), "wishes": 5, "offers": 3, "filled": 3, "confirmed": confirmed, "expired": 1, "withdrawn": 1,
            "dead_letters": 1, "duplicates": 1, "seconds": 4.2, "wish_to_confirmed_ms": {"p50": 11.0, "p99": 30.5},
        }  # fmt: skip

    @staticmethod
    def _record(topic: str, offset: int, event: JsonObject) -> JsonObject:
        headers = {f"ce_{name}": value for name, value in event.items() if name != "data"}
        value = copy.deepcopy(event["data"])
        return {"topic": topic, "partition": LANE, "offset": offset, "key": AREA, "headers": headers, "value": value}

    def lines(self) -> list[bytes]:
        """The input file: what was taken in, and the bad line."""
        taken = [entry["event"] for entry in self.entries if entry["event"] and entry["topic"] != "confirmations"]
        return [json.dumps(event).encode() for event in taken] + self.extra_lines

    def write(self, path: Path) -> None:
        for name, rows in self.files.items():
            (path / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        (path / "summary.json").write_text(json.dumps(self.summary))


def wish(name: str, skill: str, window: JsonObject, **more: Any) -> JsonObject:
    place = {"community": "c1", "compound": "g1", "building": "b1", "unit": "u2"}
    return {
        "wish_id": name, "place": place, "category": "household", "skills": [skill], "urgency": "red", "window": window,
        "beneficiary": {"age_band": "adult"}, "title": "帮忙", "resident_ref": f"res-{name}", **more,
    }  # fmt: skip


def offer(name: str, skill: str, window: JsonObject, **more: Any) -> JsonObject:
    home = {"community": "c1", "compound": "g1", "building": "b1", "unit": "u1"}
    return {
        "offer_id": name, "volunteer_ref": f"vol-{name}", "home": home, "reach": "area", "skills": [skill], "capacity": 2, "accepts": "auto",
        "vetting": {"level": 4, "checked_at": "2026-10-24T08:00:00Z"}, "windows": [window], **more,
    }  # fmt: skip


def good_day() -> MadeFolder:
    """A short day in which all is well: a pair, a refusal, a children's group, an answer, a withdrawal, an expiry."""
    day = MadeFolder()
    day.take("08:00", "offer.posted", offer("o1", "cook", span("08:00", "20:00")))
    m1 = day.proposed("08:01", "m1", "w1", "o1", span("09:00", "10:00"))
    first = day.take("08:01", "wish.submitted", wish("w1", "cook", span("09:00", "12:00")), [m1])
    day.confirmed("08:01", m1)
    day.take("08:02", "wish.submitted", wish("w2", "paint", span("09:00", "11:00")))
    claim = {"claim_id": "c1", "wish_id": "w2", "offer_id": "o1"}
    day.take("08:03", "wish.claimed", claim, [day.event("claim.rejected", claim | {"reason": "skill_missing"}, "08:03")])
    day.take("08:04", "offer.posted", offer("o2", "cook", span("10:00", "20:00")))
    together = {"group_id": "g1", "group_size": 2}
    group = [day.proposed("08:05", f"m{n}", "w3", f"o{n - 1}", span("10:00", "11:00"), **together) for n in (2, 3)]
    day.take("08:05", "wish.submitted", wish("w3", "cook", span("09:00", "14:00"), beneficiary={"age_band": "under_14"}), group)
    for one in group:
        day.confirmed("08:05", one)
    day.take("08:06", "offer.posted", offer("o3", "sew", span("08:00", "20:00"), accepts="ask"))
    m4 = day.proposed("08:07", "m4", "w4", "o3", span("12:00", "13:00"), needs_answer=True, expires_at=instant("08:37"))
    day.take("08:07", "wish.submitted", wish("w4", "sew", span("12:00", "15:00")), [m4])
    day.take("08:08", "match.accepted", {"wish_id": "w4", "offer_id": "o3"}, [day.about("match.agreed", "08:08", "m4", "w4", "o3")])
    day.confirmed("08:08", m4)
    m5 = day.proposed("08:09", "m5", "w5", "o2", span("13:00", "14:00"))
    day.take("08:09", "wish.submitted", wish("w5", "cook", span("13:00", "14:00")), [m5])
    day.confirmed("08:09", m5)
    day.take("08:10", "wish.withdrawn", {"wish_id": "w5"}, [day.about("match.released", "08:10", "m5", "w5", "o2", reason="withdrawn")])
    day.entries.append(copy.deepcopy(first) | {"at": instant("08:10"), "outcome": "duplicate", "decision": []})
    day.time("11:00", [day.event("wish.expired", {"wish_id": "w2", "filled": 0}, "11:00")])
    return day
