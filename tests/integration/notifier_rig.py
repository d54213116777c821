"""What the notifier's tests share: a receiver of webhooks that counts, events of the matcher, and what lies on a topic."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from pydantic import SecretStr

from schemas import sources
from schemas.codec import headers_of
from schemas.topics import PARTITIONS
from services.notifier.app import Notifier
from services.notifier.channels import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from services.notifier.exchange import exchange_of
from services.notifier.settings import Settings
from services.notifier.store import Store
from services.runtime import Stop
from tests.listening import listening

SECRET = "a-secret-of-fair-length"
LIMIT_SECONDS = 30.0
LOOK_SECONDS = 0.02
# When what the matcher says here is said.
SAID_AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
_BEGUN = datetime.now(UTC)
SLOT = {"start": "2026-11-24T08:00:00Z", "end": "2026-11-24T09:00:00Z"}
# For a notifier in a process of its own, whose clock is the wall's.
TO_COME = {"start": "2126-11-24T08:00:00Z", "end": "2126-11-24T09:00:00Z"}


async def until(holds: Callable[[], Awaitable[bool] | bool], seconds: float = LIMIT_SECONDS) -> None:
    """Wait for an effect, with a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "the effect did not come in time"
        await asyncio.sleep(LOOK_SECONDS)


@dataclass
class Sink:
    """A real receiver: `judge(body, nth)` answers with a status, or None to let the sender wait in vain."""

    url: str = ""
    judge: Callable[[dict[str, Any], int], int | None] = lambda _body, _nth: 200
    attempts: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    forged: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.Response:
        raw = await request.read()
        signed = hmac.new(SECRET.encode(), request.headers[TIMESTAMP_HEADER].encode() + b"." + raw, hashlib.sha256).hexdigest()
        self.forged += signed != request.headers[SIGNATURE_HEADER]
        body, key = orjson.loads(raw), request.headers[KEY_HEADER]
        self.attempts[key] += 1
        self.bodies.setdefault(key, set()).add(raw)
        status = self.judge(body, self.attempts[key])
        if status is None:
            await self.release.wait()
            status = 503
        if status == 200:
            self.accepted[key] += 1
            self.told.append((body["to"], body.get("kind", "text"), body.get("match_id")))
            return web.json_response({"code": "OK", "id": f"n-{key}"})
        return web.Response(status=status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Sink]:
    sink = Sink()
    async with listening("/notices", sink.receive) as base:
        sink.url = f"{base}/notices"
        try:
            yield sink
        finally:
            sink.release.set()


# Slots are on fixed days: nobody's silence closes a visit, however long ago that is by the clock on the wall.
_CENTURY_MINUTES = 100 * 365 * 24 * 60
PATIENT = dict.fromkeys(("report_minutes", "acknowledge_minutes", "finish_minutes"), _CENTURY_MINUTES)


def settings_of(bootstrap: str, dsn: str, channel: str, **more: Any) -> Settings:
    short: dict[str, Any] = {
        "webhook_timeout_seconds": 0.5,
        "webhook_backoff_seconds": 0.02,
        "webhook_backoff_max_seconds": 0.1,
        "webhook_attempts_max": 5,
        "poll_seconds": 0.05,
        **PATIENT,
    }
    return Settings(kafka=bootstrap, database=SecretStr(dsn), channel=SecretStr(channel), webhook_secret=SecretStr(SECRET), **(short | more))


def as_it_is_said() -> datetime:
    """The wall's clock as it would be on the day on which these events are said: slots are on fixed days, and a confirmation may come too late."""
    return SAID_AT + (datetime.now(UTC) - _BEGUN)


@asynccontextmanager
async def running(settings: Settings, now: Callable[[], datetime] | None = None) -> AsyncIterator[Notifier]:
    """A notifier in this process, stopped in good order at the end; `now`: the clock of quiet hours, numbers a day, and what comes too late."""
    stop = Stop()
    store = await Store.connect(settings.database.get_secret_value())
    exchange = exchange_of(settings, store, now or as_it_is_said)
    notifier = Notifier(settings, store, exchange)
    task = asyncio.create_task(notifier.run(stop))
    try:
        yield notifier
    finally:
        stop.set()
        async with asyncio.timeout(LIMIT_SECONDS):  # or the whole worker dies of it, and with it what went wrong before
            await task
        await exchange.close()
        await store.close()


@dataclass
class Matcher:
    """Writes to `matches` as the matcher does."""

    producer: AIOKafkaProducer
    partition: int = 2
    area: str = "hightech"
    source: str = sources.MATCHER
    slot: dict[str, str] = field(default_factory=lambda: SLOT)
    _ids: int = 0

    async def send(self, name: str, data: dict[str, Any], *, event_id: str | None = None, time_text: str = "2026-11-23T08:00:00Z") -> None:
        self._ids += 1
        value = orjson.dumps({"area": self.area, **data})
        headers = headers_of(f"lastmetre.{name}.v1", event_id or f"e-{self._ids}", self.source, time_text, "s", self.area)
        await self.raw(value, headers)

    async def raw(self, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
        await self.producer.send_and_wait("matches", value, key=self.area.encode(), partition=self.partition, headers=list(headers))

    async def propose(self, match_id: str, *, event_id: str | None = None, time_text: str = "2026-11-23T08:00:00Z", **more: Any) -> None:
        data = {
            "match_id": match_id,
            "wish_id": f"w-{match_id}",
            "offer_id": f"o-{match_id}",
            "resident_ref": f"r-{match_id}",
            "volunteer_ref": f"v-{match_id}",
            "rung": "building",
            "slot": self.slot,
            "how": "paired",
            "reasons": [],
            "needs_answer": False,
            "expires_at": None,
            "category": "repair",
        }
        await self.send("match.proposed", data | more, event_id=event_id, time_text=time_text)

    async def release(self, match_id: str, reason: str, **more: str) -> None:
        data = {"match_id": match_id, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", "reason": reason}
        await self.send("match.released", data | more)


@asynccontextmanager
async def matcher(bootstrap: str) -> AsyncIterator[Matcher]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        yield Matcher(producer)
    finally:
        await producer.stop()


async def records(bootstrap: str, topic: str) -> list[ConsumerRecord[Any, Any]]:
    """All that lies on a topic now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[ConsumerRecord[Any, Any]] = []
        while len(found) < sum(ends.values()):
            for run in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(run)
        return found
    finally:
        await consumer.stop()


def header(record: ConsumerRecord[Any, Any], name: str) -> str:
    return str(next(value.decode() for key, value in record.headers if key == name))


async def ask(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
