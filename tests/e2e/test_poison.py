"""Poison among good neighbours: each bad record ends in the dead letters with its reason, and whoever stood beside it is served.

All records go out at once, in the same lanes, so that they are in the same batches as their neighbours.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from deploy.kafka import Kafka
from deploy.stack import Stack
from schemas.codec import STRUCTURED_TYPE, headers_of
from schemas.topics import DEAD_LETTER_MAX_BYTES, MIB, PARTITIONS
from tests.conftest import Database
from tests.e2e.faulty import MARK, RAISES, UNSTORABLE
from tests.integration.notifier_rig import Matcher

COMMANDS = {name: (sys.executable, "-m", "tests.e2e.faulty", name) for name in ("matcher", "notifier")}
AREAS = ("guixi", "zhonghe")
SERVED_SECONDS = 60.0
PHONE = "13812345678"
STRUCTURED = [("content-type", STRUCTURED_TYPE.encode()), ("x-trace", b"t-1"), ("x-trace", b"t-2"), ("x-bytes", b"\xff\x00")]
Headers = list[tuple[str, bytes]]


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def event(kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"event-{kind}-{subject}",
        "source": "/integrations/poison",
        "type": f"lastmetre.{kind}.v1",
        "time": at(0),
        "subject": subject,
        "partitionkey": data["area"],
        "data": data,
    }


def wish(wish_id: str, area: str, skill: str, **changed: Any) -> dict[str, Any]:
    data = {
        "wish_id": wish_id,
        "area": area,
        "place": {"community": "c1"},
        "category": "household",
        "skills": [skill],
        "urgency": "red",
        "window": {"start": at(1), "end": at(5)},
        "beneficiary": {"age_band": "elder"},
        "title": "换灯泡",
        "resident_ref": f"resident-of-{wish_id}",
    }
    return event("wish.submitted", wish_id, data | changed)


def offer(offer_id: str, area: str, skill: str) -> dict[str, Any]:
    data = {
        "offer_id": offer_id,
        "volunteer_ref": f"volunteer-of-{offer_id}",
        "area": area,
        "home": {"community": "c1"},
        "reach": "area",
        "skills": [skill],
        "vetting": {"level": 2, "checked_at": at(-24)},
        "windows": [{"start": at(0), "end": at(8)}],
        "capacity": 1,
        "accepts": "auto",
    }
    return event("offer.posted", offer_id, data)


@dataclass(frozen=True, slots=True)
class Poison:
    """A bad record, and the reason that it is to have."""

    name: str
    reason: str
    value: bytes | None
    headers: Headers = field(default_factory=lambda: STRUCTURED)
    topic: str = "wishes"


def poisons(area: str) -> list[Poison]:
    """The twelve classes, the window both ways, and one more whose decision is sound but can't be stored."""

    def spoilt(name: str, reason: str, **changed: Any) -> Poison:
        return Poison(name, reason, orjson.dumps(wish(f"wish {name}".replace(" ", "-"), area, "poison", **changed)))

    unknown = wish("w-unknown", area, "poison") | {"type": "lastmetre.wish.granted.v1"}
    lacking = wish("w-lacking", area, "poison")
    del lacking["data"]["window"]
    inverted = offer("o-inverted", area, "poison")
    inverted["data"]["windows"] = [{"start": at(5), "end": at(1)}]
    twice = wish("w-twice", area, "poison")
    headers = headers_of(twice["type"], twice["id"], twice["source"], twice["time"], "w-twice", area)
    return [
        Poison("bad UTF-8", "bad_encoding", b'{"specversion": "1.0", "id": "\xff\xfe"}'),
        Poison("not JSON", "not_json", "这不是 JSON".encode()),
        spoilt("5 MiB", "too_large", ballast="x" * 5 * MIB),
        Poison("deep nesting", "too_deep", b"[" * 100_000 + b"]" * 100_000),
        Poison("unknown type", "unknown_type", orjson.dumps(unknown)),
        Poison("missing field", "missing_field", orjson.dumps(lacking)),
        spoilt("end before start", "window_too_short", window={"start": at(5), "end": at(1)}),
        Poison("offer's end before its start", "window_inverted", orjson.dumps(inverted), topic="offers"),
        Poison("null value", "null_value", None),
        Poison("duplicate header", "duplicate_header", orjson.dumps(twice["data"]), [*headers, ("ce_id", b"another")]),
        spoilt("far-off date", "far_off_date", window={"start": at(1), "end": at(24 * 400)}),
        spoilt("a phone number", "contains_personal_data", note=f"请打 {PHONE}"),
        Poison("the core raises", "decision_failed", orjson.dumps(wish(RAISES, area, "poison"))),
        Poison("PostgreSQL refuses", "decision_failed", orjson.dumps(wish(UNSTORABLE, area, "poison"))),
    ]


@asynccontextmanager
async def producing(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True, acks="all", max_request_size=8 * MIB, linger_ms=20)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def read_until(kafka: Kafka, topic: str, enough: Callable[[list[ConsumerRecord[Any, Any]]], object], what: str) -> list[ConsumerRecord[Any, Any]]:
    """The records of a topic from its beginning, once they are what we wait for."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
        fetch_max_bytes=2 * DEAD_LETTER_MAX_BYTES, max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        found: list[ConsumerRecord[Any, Any]] = []
        deadline = time.monotonic() + SERVED_SECONDS
        while not enough(found):
            assert time.monotonic() < deadline, f"not within {SERVED_SECONDS:.0f} s on {topic}: {what}; there are {len(found)} records"
            for run in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(run)
        return found
    finally:
        await consumer.stop()


@pytest.fixture
async def stack(fresh_topics: Kafka, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stack]:
    """Services with faults of our making, on the session's servers."""
    monkeypatch.setenv("LASTMETRE_KAFKA", fresh_topics.bootstrap)
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())
    async with Stack(tmp_path / "state", commands=COMMANDS) as running:
        yield running


def origin_of(record: ConsumerRecord[Any, Any]) -> tuple[str, int, int]:
    headers = dict(record.headers)
    return headers["dlq-topic"].decode(), int(headers["dlq-partition"]), int(headers["dlq-offset"])


async def test_poison_is_set_aside_with_its_reason_and_its_neighbours_are_served(stack: Stack, fresh_topics: Kafka) -> None:
    sent: list[tuple[Poison, asyncio.Future[Any]]] = []
    neighbours: set[str] = set()
    async with producing(fresh_topics) as producer:
        for area in AREAS:
            for number, poison in enumerate(poisons(area)):
                for side in ("before", "after"):
                    name = f"{area}-{number}-{side}"
                    await producer.send("offers", orjson.dumps(offer(f"offer-{name}", area, f"skill_{number}_{side}")), key=area.encode(), headers=STRUCTURED)
                    if side == "after":
                        sent.append((poison, await producer.send(poison.topic, poison.value, key=area.encode(), headers=poison.headers)))
                    await producer.send("wishes", orjson.dumps(wish(f"wish-{name}", area, f"skill_{number}_{side}")), key=area.encode(), headers=STRUCTURED)
                    neighbours.add(f"wish-{name}")
        await producer.flush()

    def all_confirmed(records: list[ConsumerRecord[Any, Any]]) -> bool:
        return neighbours <= {orjson.loads(record.value)["wish_id"] for record in records}

    confirmed = await read_until(fresh_topics, "confirmations", all_confirmed, f"a confirmation of each of the {len(neighbours)} neighbours")
    assert neighbours == {orjson.loads(record.value)["wish_id"] for record in confirmed}
    letters: dict[tuple[str, int, int], ConsumerRecord[Any, Any]] = {}
    for topic in ("wishes", "offers"):
        count = sum(1 for poison, _ in sent if poison.topic == topic)
        dead = await read_until(fresh_topics, f"{topic}-dlq", lambda found, count=count: len(found) >= count, f"{count} dead letters")  # type: ignore[misc]
        letters |= {origin_of(record): record for record in dead}
    assert len(sent) == len(letters)
    for poison, future in sent:
        metadata = await future
        assert_set_aside(poison, letters[poison.topic, metadata.partition, metadata.offset])
    assert 0 == stack.service("matcher").restarts


def assert_set_aside(poison: Poison, letter: ConsumerRecord[Any, Any]) -> None:
    headers = dict(letter.headers)
    assert (poison.name, poison.reason) == (poison.name, headers["dlq-reason"].decode())
    assert " | " in headers["dlq-message"].decode(), poison.name
    assert PHONE not in headers["dlq-message"].decode(), poison.name
    assert poison.headers == [(name, value) for name, value in letter.headers if not name.startswith("dlq-")], poison.name
    if poison.reason == "contains_personal_data":
        assert poison.value is not None
        assert letter.value is not None
        assert PHONE.encode() not in letter.value
        assert orjson.loads(poison.value.replace(PHONE.encode(), b"*" * len(PHONE))) == orjson.loads(letter.value)
    else:
        assert poison.value == letter.value, poison.name


async def test_the_notifier_sets_poison_aside_too(stack: Stack, fresh_topics: Kafka) -> None:
    async with producing(fresh_topics) as producer:
        matcher = Matcher(producer)
        await matcher.propose("before")
        await matcher.propose(RAISES)
        await matcher.raw(b"not JSON", headers_of("lastmetre.match.proposed.v1", "bad", "lastmetre/matcher", at(0), "s", matcher.area))
        await matcher.raw(None, [("x-trace", b"t-1")])
        await matcher.propose("after")
    wanted = {"before", "after"}
    confirmed = await read_until(
        fresh_topics, "confirmations", lambda found: wanted <= {orjson.loads(one.value)["match_id"] for one in found}, f"confirmations of {wanted}"
    )
    assert wanted == {orjson.loads(one.value)["match_id"] for one in confirmed}
    dead = await read_until(fresh_topics, "matches-dlq", lambda found: len({origin_of(one) for one in found}) >= 3, "three dead letters")
    reasons = {origin_of(one)[2]: dict(one.headers)["dlq-reason"].decode() for one in dead}
    assert {1: "decision_failed", 2: "not_json", 3: "null_value"} == reasons
    assert 0 == stack.service("notifier").restarts


async def test_a_matcher_that_has_gone_deaf_ends_itself_and_its_successor_reads_on(
    fresh_topics: Kafka, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTMETRE_KAFKA", fresh_topics.bootstrap)
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())
    mark = tmp_path / "crashed"
    commands = {"matcher": (sys.executable, "-m", "tests.e2e.faulty", "deaf")}
    async with Stack(tmp_path / "state", commands=commands, services=("matcher",), env={MARK: str(mark)}) as stack:
        async with producing(fresh_topics) as producer:
            await producer.send("offers", orjson.dumps(offer("o1", AREAS[0], "repair")), key=AREAS[0].encode(), headers=STRUCTURED)
            await producer.send("wishes", orjson.dumps(wish("w1", AREAS[0], "repair")), key=AREAS[0].encode(), headers=STRUCTURED)
        await read_until(fresh_topics, "matches", bool, "the match, once the deaf matcher has been replaced")
        assert mark.exists()
        assert 1 == stack.service("matcher").restarts
