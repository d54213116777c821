"""What was published against what the journal says: envelopes, keys, partitions, the same events on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.checker.folder import Entry, Folder
from tests.checker.report import Report
from tests.checker.wire import (
    Json,
    JsonObject,
    data_of,
    event_of,
    parse_time,
    partition_of,
    personal_data,
    same_event,
    short_type,
    texts,
)

PAIR = ("area", "wish_id", "offer_id")
MATCH = (*PAIR, "match_id")
FIELDS: dict[str, tuple[str, ...]] = {
    "match.proposed.v1": (
        *MATCH, "resident_ref", "volunteer_ref", "rung", "slot", "how", "reasons", "needs_answer", "expires_at",
    ),
    "helper.invited.v1": (*PAIR, "expires_at"),
    "match.agreed.v1": MATCH,
    "match.released.v1": (*MATCH, "reason"),
    "claim.rejected.v1": (*PAIR, "claim_id", "reason"),
    "wish.widened.v1": ("area", "wish_id"),
    "wish.unmet.v1": ("area", "wish_id"),
    "wish.expired.v1": ("area", "wish_id", "filled"),
    "match.confirmed.v1": (*MATCH, "rung", "slot", "confirmed_at", "notices"),
    "confirmation.failed.v1": (*MATCH, "reason"),
    "match.closed.v1": (*MATCH, "outcome", "minutes", "closed_at", "by"),
}  # fmt: skip
ON_CONFIRMATIONS = ("match.confirmed.v1", "confirmation.failed.v1", "match.closed.v1")
ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject", "partitionkey")
Events = dict[tuple[str, str], JsonObject]


def check(folder: Folder, partitions: int, report: Report) -> None:
    """Judge both output topics and their agreement with the journal."""
    matches = _published(folder, "matches.jsonl", partitions, report)
    confirmations = _published(folder, "confirmations.jsonl", partitions, report)
    decided = _decided(folder.journal, report)
    consumed = _consumed(folder.journal)
    for identity, event in decided.items():
        topic = confirmations if short_type(event) in ON_CONFIRMATIONS else matches
        _agree(identity, event, topic.get(identity), "decided, but never published", report)
    for identity, event in matches.items():
        if identity not in decided:
            report.broken("journal/undecided", "published, but no decision put it out", **_ids(event))
    for identity, event in confirmations.items():
        _agree(identity, event, consumed.get(identity), "published, but not in the journal", report)
    for identity, event in consumed.items():
        if identity not in confirmations:
            report.broken("journal/unpublished", "taken in from confirmations, but not there", **_ids(event))
    _order(folder, decided, report)


def _ids(event: JsonObject) -> dict[str, object]:
    return {"event": event.get("id"), "type": short_type(event) or event.get("type")}


def _agree(identity: tuple[str, str], one: JsonObject, other: JsonObject | None, gone: str, report: Report) -> None:
    if other is None:
        report.broken("journal/unpublished", gone, **_ids(one))
    elif not same_event(one, other):
        report.broken("journal/differs", f"published and journalled differ: {_difference(one, other)}", **_ids(one))


def _difference(one: JsonObject, other: JsonObject) -> str:
    names = sorted(n for n in {*one, *other} if one.get(n) != other.get(n) and n != "datacontenttype")
    first, second = data_of(one), data_of(other)
    names += sorted(f"data.{n}" for n in {*first, *second} if first.get(n) != second.get(n))
    return ", ".join(names)


def _published(folder: Folder, name: str, partitions: int, report: Report) -> Events:
    """The events of one output file by (source, id), repeats checked and dropped."""
    topic = name.removesuffix(".jsonl")
    found: Events = {}
    positions: set[tuple[int, int]] = set()
    for record in folder.records.get(name, []):
        where = f"{record['partition']}/{record['offset']}"
        event = event_of(record)
        if event is None or not isinstance(event.get("data"), dict):
            report.broken("out/envelope", "not a CloudEvent in binary mode", topic=topic, at=where)
            continue
        if (record["partition"], record["offset"]) in positions:
            report.broken("out/position", "two records of one offset", topic=topic, at=where)
        positions.add((record["partition"], record["offset"]))
        identity = (str(event.get("source")), str(event.get("id")))
        if identity in found:
            report.counts[f"repeated records in {name}"] += 1
            if not same_event(found[identity], event):
                text = f"repeated with other content: {_difference(found[identity], event)}"
                report.broken("out/repeat", text, **_ids(event))
            continue
        found[identity] = event
        _envelope(event, report)
        _keyed(record, topic, event, partitions, report)
    return found


def _envelope(event: JsonObject, report: Report) -> None:
    ids = _ids(event)
    missing = [name for name in ATTRIBUTES if not isinstance(event.get(name), str) or not event[name]]
    if missing:
        report.broken("out/envelope", f"attributes missing: {missing}", **ids)
    if event.get("specversion") != "1.0":
        report.broken("out/envelope", f"specversion {event.get('specversion')}", **ids)
    if parse_time(event.get("time")) is None:
        report.broken("out/envelope", f"time {event.get('time')} is not RFC 3339 with offset", **ids)
    data = data_of(event)
    named = [data.get(name) for name in ("wish_id", "offer_id", "match_id")]
    if event.get("subject") not in named:
        report.broken("out/envelope", f"subject {event.get('subject')} is none of its ids", **ids)
    fields = FIELDS.get(short_type(event))
    if fields is None:
        report.broken("out/type", "not a type that goes out", **ids)
        return
    lacking = [name for name in fields if name not in data]
    if lacking:
        report.broken("out/fields", f"data lacks {lacking}", **ids)


def _keyed(record: JsonObject, topic: str, event: JsonObject, partitions: int, report: Report) -> None:
    area = data_of(event).get("area")
    keys = (record.get("key"), event.get("partitionkey"))
    if any(key != area for key in keys):
        report.broken("out/key", f"key {keys[0]}, partitionkey {keys[1]}, area {area}", **_ids(event))
    expected = partition_of(str(area), partitions)
    if record["partition"] != expected:
        report.broken("out/partition", f"{record['partition']}, murmur2 says {expected}", **_ids(event))
    if record.get("topic") != topic or (short_type(event) in ON_CONFIRMATIONS) != (topic == "confirmations"):
        report.broken("out/topic", f"in {topic} as {record.get('topic')}", **_ids(event))


def _decided(journal: Iterable[Entry], report: Report) -> Events:
    found: Events = {}
    for entry in journal:
        for event in entry.decision:
            identity = (str(event.get("source")), str(event.get("id")))
            if identity in found:
                report.broken("journal/decided-twice", "in two decisions", entry=entry.place, **_ids(event))
            found[identity] = event
            if parse_time(event.get("time")) != entry.at:
                text = f"time {event.get('time')}, decided at {entry.at.isoformat()}"
                report.broken("out/time", text, entry=entry.place, **_ids(event))
            if data_of(event).get("area") != entry.area:
                report.broken("out/area", f"decided in area {entry.area}", entry=entry.place, **_ids(event))
    return found


def _consumed(journal: Iterable[Entry]) -> Events:
    return {
        entry.identity: entry.event
        for entry in journal
        if entry.topic == "confirmations" and entry.event is not None and entry.outcome != "duplicate"
    }  # fmt: skip


def _order(folder: Folder, decided: Events, report: Report) -> None:
    """First appearances on `matches` follow the journal within an area: a warning, the contract is silent."""
    rank = {identity: number for number, identity in enumerate(decided)}
    latest: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for record in sorted(folder.records.get("matches.jsonl", []), key=lambda r: (r["partition"], r["offset"])):
        event = event_of(record) or {}
        identity = (str(event.get("source")), str(event.get("id")))
        area = str(record.get("key"))
        if identity in seen or identity not in rank:
            continue
        seen.add(identity)
        if rank[identity] < latest.get(area, -1):
            report.doubtful("out/order", "published after a later decision of its area", **_ids(event))
        latest[area] = max(rank[identity], latest.get(area, -1))


def check_positions(journal: Iterable[Entry], partitions: int, report: Report) -> None:
    """Each record was taken in once, in its area's lane and partition."""
    seen: set[tuple[str | None, int | None, int | None]] = set()
    for entry in journal:
        if entry.kind != "event":
            continue
        position = (entry.topic, entry.partition, entry.offset)
        if position in seen:
            report.broken("journal/position", f"{position} was taken in twice", entry=entry.place)
        seen.add(position)
        expected = partition_of(entry.area, partitions)
        if not entry.lane == entry.partition == expected:
            text = f"lane {entry.lane}, partition {entry.partition}, murmur2 of {entry.area} says {expected}"
            report.broken("journal/partition", text, entry=entry.place)
        if entry.data.get("area") != entry.area:
            report.broken("journal/partition", f"data.area is {entry.data.get('area')}", entry=entry.place)


def check_dead_letters(folder: Folder, report: Report) -> list[JsonObject]:
    """Headers and topic of the dead letters; the distinct ones are returned."""
    distinct: dict[tuple[str, ...], JsonObject] = {}
    for record in folder.records.get("dead-letters.jsonl", []):
        headers: dict[str, str] = record["headers"]
        where = f"{record['topic']}/{record['partition']}/{record['offset']}"
        names = ("dlq-reason", "dlq-message", "dlq-topic", "dlq-partition", "dlq-offset")
        missing = [name for name in names if not headers.get(name)]
        if missing:
            report.broken("dead-letter/headers", f"missing {missing}", record=where)
            continue
        if record["topic"] != headers["dlq-topic"] + "-dlq":
            report.broken("dead-letter/topic", f"from {headers['dlq-topic']}", record=where)
        if not (headers["dlq-partition"].isdigit() and headers["dlq-offset"].isdigit()):
            report.broken("dead-letter/headers", "partition or offset is no number", record=where)
        origin = tuple(headers[name] for name in names[2:])
        earlier = distinct.setdefault(origin, record)
        if earlier is not record:
            report.counts["repeated records in dead-letters.jsonl"] += 1
            if (earlier.get("value"), earlier["headers"]) != (record.get("value"), headers):
                report.broken("dead-letter/repeat", "repeated with other content", record=where)
    return list(distinct.values())


def check_privacy(folder: Folder, report: Report) -> None:
    """No mobile number and no identity-card number anywhere in the folder."""
    for name, value in folder.everything():
        for text in _distinct(texts(value)):
            kind = personal_data(text)
            if kind is not None:
                # Never the number itself: this report may be read by anyone.
                report.broken("privacy", f"a text of {len(text)} characters holds a {kind}", file=name, **_where(value))


def _distinct(values: Iterator[str]) -> set[str]:
    return {value for value in values if len(value) >= 11}


def _where(value: Json) -> dict[str, object]:
    if isinstance(value, dict) and "offset" in value:
        return {"topic": value.get("topic"), "partition": value.get("partition"), "offset": value.get("offset")}
    event = value[0] if isinstance(value, list) else None
    return {"event": event.get("id")} if isinstance(event, dict) else {}
