"""What came of a `play`: the records of the topics that go out, the journal, and the summary, as files."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.instants import rfc3339
from schemas.topics import CONFIRMATIONS, DEAD_LETTER_MAX_BYTES, MATCHES, OFFERS, RESPONSES, TOPICS, WISHES
from services.broker import Broker

_MATCHES: Final = "matches.jsonl"
_CONFIRMATIONS: Final = "confirmations.jsonl"
_DEAD_LETTERS: Final = "dead-letters.jsonl"
_JOURNAL: Final = "journal.jsonl"
_LEDGER: Final = "ledger.jsonl"
_SUMMARY: Final = "summary.json"
_FILES: Final = (_MATCHES, _CONFIRMATIONS, _DEAD_LETTERS, _JOURNAL, _LEDGER, _SUMMARY)
_TOKENS: Final = "tokens"
_READ_SECONDS: Final = 30
_JOURNAL_ROWS: Final = """
    SELECT lane, seq, area, at, kind, outcome, topic, lane AS partition, "offset", event, decision FROM matching.journal ORDER BY lane, seq
"""
_TRANSACTIONS: Final = """
    SELECT t.*, (SELECT jsonb_agg(jsonb_build_object('account', e.account, 'unit', e.unit, 'amount', e.amount) ORDER BY e.account, e.unit)
        FROM notifying.ledger_entries e WHERE e.transaction_id = t.id)::text AS entries
    FROM notifying.ledger_transactions t ORDER BY t.booked_at_us, t.match_id, t.number
"""
_COUNTS: Final = """
    SELECT
        (SELECT count(*) FROM matching.wishes) AS wishes,
        (SELECT count(*) FROM matching.offers) AS offers,
        (SELECT count(*) FROM matching.wishes WHERE status IN ('held', 'matched', 'closed')) AS filled,
        (SELECT count(*) FROM matching.wishes WHERE status = 'expired') AS expired,
        (SELECT count(*) FROM matching.wishes WHERE status = 'withdrawn') AS withdrawn,
        (SELECT count(*) FROM matching.journal WHERE outcome = 'duplicate' AND topic = ANY($1)) AS duplicates
"""


@dataclass(slots=True)
class Results:
    """Everything that is written, still in memory."""

    records: dict[str, list[dict[str, Any]]]
    journal: list[bytes]
    ledger: list[bytes]
    summary: dict[str, Any]

    @classmethod
    async def read(cls, broker: Broker, database: asyncpg.Connection, *, published: int, sent_at: dict[str, int], seconds: float) -> Self:
        """Read it all; nothing is under way any more. `sent_at`: when each wish was sent, in milliseconds since 1970."""
        dead = [topic.name for topic in TOPICS if topic.name.endswith("-dlq")]
        records = {
            _MATCHES: await _records(broker, [MATCHES]),
            _CONFIRMATIONS: await _records(broker, [CONFIRMATIONS]),
            _DEAD_LETTERS: await _records(broker, dead),
        }
        journal = [_journal_line(row) for row in await database.fetch(_JOURNAL_ROWS)]
        ledger = [_ledger_line(row) for row in await database.fetch(_TRANSACTIONS)]
        counts = await database.fetchrow(_COUNTS, [WISHES, OFFERS, RESPONSES])
        assert counts is not None
        confirmed, waits = _confirmed(records[_CONFIRMATIONS], sent_at)
        summary = {
            "published": published,
            "wishes": counts["wishes"],
            "offers": counts["offers"],
            "filled": counts["filled"],
            "confirmed": confirmed,
            "closed": len({orjson.loads(line)["match_id"] for line in ledger}),
            "expired": counts["expired"],
            "withdrawn": counts["withdrawn"],
            "dead_letters": len({_origin(record) for record in records[_DEAD_LETTERS]}),
            "duplicates": counts["duplicates"],
            "seconds": round(seconds, 3),
            "wish_to_confirmed_ms": {"p50": percentile(waits, 0.50), "p99": percentile(waits, 0.99)},
        }
        return cls(records, journal, ledger, summary)

    def write(self, out: Path) -> dict[str, Any]:
        """Write the files into `out`, which is made if need be; returns the summary."""
        out.mkdir(parents=True, exist_ok=True)
        for name, records in self.records.items():
            _write_lines(out / name, map(_as_written, records))
        (out / _JOURNAL).write_bytes(b"".join(line + b"\n" for line in self.journal))
        (out / _LEDGER).write_bytes(b"".join(line + b"\n" for line in self.ledger))
        (out / _SUMMARY).write_bytes(orjson.dumps(self.summary, option=orjson.OPT_INDENT_2) + b"\n")
        return self.summary


def clear(out: Path) -> None:
    """Remove what an earlier play has left in `out`: should this one fail, nobody takes that for what came of it."""
    for name in _FILES:
        (out / name).unlink(missing_ok=True)


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(record) + b"\n")


def _as_written(record: dict[str, Any]) -> dict[str, Any]:
    """A record as its line says it: a value that is JSON with its own tokens, for reading makes 1e40 of forty nines."""
    row = {name: content for name, content in record.items() if name not in {"timestamp", _TOKENS}}
    return row | {"value": orjson.Fragment(record[_TOKENS])} if _TOKENS in record else row


async def _records(broker: Broker, topics: Sequence[str]) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        **broker.client(), auto_offset_reset="earliest", enable_auto_commit=False,
        fetch_max_bytes=4 * DEAD_LETTER_MAX_BYTES, max_partition_fetch_bytes=2 * DEAD_LETTER_MAX_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        tps = [TopicPartition(topic.name, partition) for topic in TOPICS if topic.name in topics for partition in range(topic.partitions)]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        found: list[dict[str, Any]] = []
        pending = {tp for tp in tps if ends[tp] > 0}
        if not pending:
            return found  # nothing to read, and the client would not be assigned nothing
        consumer.assign(pending)
        await consumer.seek_to_beginning()
        while pending:
            for run in (await consumer.getmany(timeout_ms=_READ_SECONDS * 1000)).values():
                found.extend(_record(record) for record in run)
            pending = {tp for tp in pending if await consumer.position(tp) < ends[tp]}
        found.sort(key=lambda record: (record["topic"], record["partition"], record["offset"]))
        return found
    finally:
        await consumer.stop()


def _record(record: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": {name: (value or b"").decode(errors="replace") for name, value in record.headers},
    }
    return row | value_fields(record.value)


def value_fields(value: bytes | None) -> dict[str, Any]:
    """`value` as JSON where it parses (beside it the bytes that say so in one line), else a string, else `value_base64`."""
    if value is None:
        return {"value": None}
    try:
        document = orjson.loads(value)
        orjson.dumps(document)
    except (orjson.JSONDecodeError, TypeError):
        pass
    else:
        return {"value": document, _TOKENS: value.translate(None, b"\r\n")}  # in JSON these stand between tokens alone
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _journal_line(row: asyncpg.Record) -> bytes:
    head = {
        "lane": row["lane"],
        "seq": row["seq"],
        "area": row["area"],
        "at": rfc3339(row["at"]),
        "kind": row["kind"],
        "outcome": row["outcome"],
        "topic": row["topic"],
        "partition": row["partition"] if row["topic"] is not None else None,
        "offset": row["offset"],
        "event": None if row["event"] is None else orjson.loads(row["event"]),
        "decision": orjson.loads(row["decision"]),
    }
    return orjson.dumps(head)


def _ledger_line(row: asyncpg.Record) -> bytes:
    return orjson.dumps(
        {
            "id": str(row["id"]),
            "match_id": row["match_id"],
            "number": row["number"],
            "area": row["area"],
            "volunteer_ref": row["volunteer_ref"],
            "organisation": row["organisation"],
            "outcome": row["outcome"],
            "by": row["closed_by"],
            "booked_at": rfc3339(row["booked_at_us"]),
            "entries": orjson.loads(row["entries"] or "[]"),
        }
    )


def _origin(record: dict[str, Any]) -> tuple[str, ...]:
    headers = record["headers"]
    return tuple(headers.get(name, "") for name in ("dlq-topic", "dlq-partition", "dlq-offset"))


def _confirmed(records: list[dict[str, Any]], sent_at: dict[str, int]) -> tuple[int, list[int]]:
    """How many matches were confirmed, and the milliseconds from each one's wish to its confirmation."""
    waits: dict[str, int] = {}
    seen: set[str] = set()
    for record in records:
        if record["headers"].get("ce_type") != "lastmetre.match.confirmed.v1":
            continue
        data = record["value"]
        if data["match_id"] in seen:
            continue
        seen.add(data["match_id"])
        if data["wish_id"] in sent_at:
            waits[data["match_id"]] = record["timestamp"] - sent_at[data["wish_id"]]
    return len(seen), list(waits.values())


def percentile(values: list[int], share: float) -> int | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
