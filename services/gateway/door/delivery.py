"""Webhooks out: every event of the area and types that a subscriber asked for, at least once, in the order of its topic, under its own id.

A webhook is served only while its owner might subscribe to it anew (migration 0021); it waits meanwhile, and goes on where it was.

One gateway delivers, whichever holds the lock in PostgreSQL. A webhook is served topic by topic, one event at a time: the next goes when this one was
answered 2xx, so the order holds, and a subscriber who is away holds up nobody else. The cursor moves after the answer; a crash in between repeats it.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.codec import STRUCTURED_TYPE
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from services.gateway.door import addresses, signing, subscriptions
from services.gateway.door.answers import Refused
from services.gateway.door.positions import Positions, event_of
from services.gateway.door.subscriptions import Webhook
from services.runtime import AWAY, Stop
from services.sessions import SILENT_MAX

_LOCK: Final = 0x6C6D_7768  # "lmwh"
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 2.0
_ATTEMPT_SECONDS: Final = 10.0
_BACKOFF_MAX_SECONDS: Final = 300.0
_FETCH_MS: Final = 1_000
GONE: Final = 410
USER_AGENT: Final = "lastmetre-webhooks/1"


@dataclass(frozen=True, slots=True)
class Terms:
    """How deliveries are made. `own`: the secret from which the webhooks' are derived; `private`: inner networks and http are allowed, for tests.

    `demo`: accounts of a demonstration have webhooks, too.
    """

    own: bytes
    private: bool
    backoff_seconds: float
    give_up_seconds: float
    demo: bool


class Sender:
    """Makes single attempts. Follows no redirect, reads no body."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._session: aiohttp.ClientSession | None = None

    def secret(self, webhook: Webhook) -> str:
        """What the subscriber verifies with."""
        return signing.secret_of(self.terms.own, webhook.webhook_id, webhook.secret_version)

    async def attempt(self, webhook: Webhook, message_id: str, body: bytes) -> int | None:
        """The status that it was answered with, or nothing where there was no answer."""
        try:
            addresses.see_url(webhook.url, private=self.terms.private)
        except Refused:
            return None
        headers = {"content-type": STRUCTURED_TYPE, "user-agent": USER_AGENT}
        # For a while after a rotation the secret before signs, too.
        versions = range(webhook.secret_version, max(webhook.secret_version - 2, 0), -1)
        secrets = tuple(signing.secret_of(self.terms.own, webhook.webhook_id, version) for version in versions)
        headers |= signing.headers(secrets, message_id, int(time.time()), body)
        try:
            async with self._opened().post(webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None

    async def stop(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit_per_host=4, **addresses.connector_settings(private=self.terms.private))
            timeout = aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


class Deliveries:
    """Looks which webhooks there are, and serves each in a task of its own."""

    def __init__(self, dsn: str, positions: Positions, sender: Sender, stop: Stop, chance: random.Random) -> None:
        """Args: `dsn` is the board's writer, who sees every webhook; `chance` spreads the retries."""
        self._dsn = dsn
        self._positions = positions
        self._sender = sender
        self._stop = stop
        self._chance = chance
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Deliver until stopped; what PostgreSQL or Kafka does not allow now is tried again."""
        while not self._stop:
            try:
                async with self._pool() as pool, pool.acquire() as lock:
                    # Of a session that the server does not know to be dead the lock would keep all others from delivering.
                    await lock.execute(f"SET idle_session_timeout = '{SILENT_MAX}'")
                    if await lock.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                        await self._serve(pool, lock)
            except AWAY as fault:
                self._log.warning("webhooks_retry", error=type(fault).__name__)
            await self._stop.pause(_AGAIN_SECONDS)

    @asynccontextmanager
    async def _pool(self) -> AsyncIterator[asyncpg.Pool]:
        pool = await asyncpg.create_pool(self._dsn, min_size=1, max_size=4, command_timeout=15, server_settings={"application_name": "lastmetre-webhooks"})
        try:
            yield pool
        finally:
            pool.terminate()

    async def _serve(self, pool: asyncpg.Pool, lock: Any) -> None:
        tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        try:
            while not await self._stop.pause(_LOOK_SECONDS):
                await lock.execute("DELETE FROM gateway.key_usage WHERE starts_at < now() - interval '2 days'")
                entitled = await subscriptions.entitled(lock, demo=self._sender.terms.demo)
                seen = await subscriptions.all_seen(lock)
                active = {(one.webhook_id, one.revision): one for one in seen if one.state == "active" and one.webhook_id in entitled}
                for key in tasks.keys() - active.keys():
                    tasks.pop(key).cancel()
                for key, webhook in active.items():
                    if key not in tasks or tasks[key].done():
                        tasks[key] = asyncio.create_task(self._follow(pool, webhook), name=f"webhook {webhook.webhook_id}")
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _follow(self, pool: asyncpg.Pool, webhook: Webhook) -> None:
        """All topics of one webhook, until it is cancelled, disabled, or something is away (then it is begun again)."""
        topics = sorted({TOPIC_OF[kind] for kind in webhook.types})
        try:
            async with pool.acquire() as connection:
                cursors = await subscriptions.cursors(connection, webhook.webhook_id)
            async with asyncio.TaskGroup() as group:
                for topic in topics:
                    group.create_task(self._topic(pool, webhook, topic, cursors[topic]))
        except* AWAY as faults:
            self._log.warning("webhook_retry", webhook_id=webhook.webhook_id, error=type(faults.exceptions[0]).__name__)
            await self._stop.pause(_AGAIN_SECONDS)

    async def _topic(self, pool: asyncpg.Pool, webhook: Webhook, topic: str, offset: int) -> None:
        place = TopicPartition(topic, partition_of(webhook.area))
        consumer = await self._positions.made()
        try:
            consumer.assign([place])
            consumer.seek(place, offset)
            while not self._stop:
                offset = await self._some(pool, webhook, consumer, place, offset)
        except _Changed:
            await self._stop.wait()  # the next look starts it anew, or not
        finally:
            with contextlib.suppress(KafkaError, OSError):
                await consumer.stop()

    async def _some(self, pool: asyncpg.Pool, webhook: Webhook, consumer: AIOKafkaConsumer, place: TopicPartition, offset: int) -> int:
        """Serve what the next fetch brings; where to go on."""
        at = offset
        for record in (await consumer.getmany(place, timeout_ms=_FETCH_MS, max_records=200)).get(place, ()):
            found = event_of(record, webhook.area)
            if found is not None and found[0] in webhook.types:
                status = await self._deliver(pool, webhook, found[1], found[2])
                await self._note(pool, webhook, place.topic, offset, record.offset + 1, status)
                offset = record.offset + 1
            at = record.offset + 1
        if at != offset:  # before it, where Kafka has lost what was delivered and the client has begun anew
            await self._note(pool, webhook, place.topic, offset, at, None)
        return at

    async def _note(self, pool: asyncpg.Pool, webhook: Webhook, topic: str, offset: int, next_offset: int, status: int | None) -> None:
        async with pool.acquire() as connection, connection.transaction():
            if not await subscriptions.served(connection, webhook, topic, offset, next_offset, status, datetime.now(UTC)):
                raise _Changed

    async def _is_entitled(self, pool: asyncpg.Pool, webhook: Webhook) -> bool:
        async with pool.acquire() as connection:
            return await subscriptions.is_entitled(connection, webhook.webhook_id, demo=self._sender.terms.demo)

    async def _deliver(self, pool: asyncpg.Pool, webhook: Webhook, message_id: str, body: bytes) -> int:
        """Try until it is answered 2xx; the status.

        Raises:
            _Changed: it was disabled, or changed by its owner.
        """
        pause = self._sender.terms.backoff_seconds
        while True:
            # Asked before each attempt, so that it ends at once with its owner's right. Nothing is noted: it goes on from here if the right comes back.
            while not await self._is_entitled(pool, webhook):
                if await self._stop.pause(_LOOK_SECONDS):
                    raise _Changed
            status = await self._sender.attempt(webhook, message_id, body)
            if status is not None and 200 <= status < 300:
                return status
            now = datetime.now(UTC)
            async with pool.acquire() as connection:
                since = await subscriptions.failed(connection, webhook, status, now)
                if since is None:
                    raise _Changed
                if status == GONE or (now - since).total_seconds() > self._sender.terms.give_up_seconds:
                    reason = "gone" if status == GONE else "unanswered" if status is None else f"status_{status}"
                    await subscriptions.disable(connection, webhook, reason)
                    self._log.warning("webhook_disabled", webhook_id=webhook.webhook_id, reason=reason)
                    raise _Changed
            if await self._stop.pause(pause * self._chance.uniform(0.8, 1.2)):
                raise _Changed
            pause = min(pause * 2, _BACKOFF_MAX_SECONDS)


class _Changed(Exception):
    """The webhook is no longer what it was when this task began."""
