"""What is published after a broker has lost what was read takes offsets that were read before, and is taken in all the same: real Kafka, real services."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from deploy import topics
from deploy.kafka import Kafka
from deploy.stack import Stack
from schemas.topics import OFFERS, RESPONSES, WISHES
from tests.chaos.rig import until
from tests.conftest import Database

AREA = "hightech"
SECONDS = 60.0
PLACE = {"community": "jushang", "compound": "jushang-1"}
_numbers = itertools.count(1)


def at(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


def event(kind: str, subject: str, **data: Any) -> bytes:
    envelope = {"specversion": "1.0", "id": f"e{next(_numbers)}", "source": "tests", "type": f"lastmetre.{kind}.v1", "time": at(0), "subject": subject}
    return json.dumps({**envelope, "partitionkey": AREA, "data": {"area": AREA, **data}}).encode()


def offer(name: str) -> bytes:
    windows, vetting = [{"start": at(-60), "end": at(240)}], {"level": 1, "checked_at": at(-6000)}
    return event(
        "offer.posted", name, offer_id=name, volunteer_ref=f"v-{name}", home=PLACE, reach="community", skills=[name], vetting=vetting, windows=windows,
        capacity=1, accepts="auto",
    )  # fmt: skip


def wish(name: str) -> bytes:
    return event(
        "wish.submitted", name, wish_id=name, place=PLACE, category="repair", skills=[name], urgency="red", title="修水龙头",
        window={"start": at(-10), "end": at(120)}, beneficiary={"age_band": "adult"}, resident_ref=f"r-{name}",
    )  # fmt: skip


class Town:
    """A stack on the session's servers, and what is seen of it."""

    def __init__(self, stack: Stack, database: asyncpg.Connection) -> None:
        self.stack = stack
        self.database = database

    async def publish(self, topic: str, *events: bytes) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.stack.kafka.bootstrap) as producer:
            for one in events:
                await producer.send_and_wait(topic, one, key=AREA.encode(), headers=[("content-type", b"application/cloudevents+json")])

    async def are_confirmed(self, names: Sequence[str]) -> None:
        """On the matcher's word, the notifier's, and the board."""
        for name in names:
            await self._are_submitted(name)
        await self.in_state("confirmed", names)

    async def is_proposed_while_nobody_listens(self, name: str) -> None:
        """On Kafka, and read by nobody."""
        await self.stack.service("notifier").stop()
        await self.stack.service("board").stop()
        await self._are_submitted(name)
        await self.in_state("proposed", [name], tables=["matching.matches"])

    async def _are_submitted(self, name: str) -> None:
        await self.publish(OFFERS, offer(name))
        await self.publish(WISHES, wish(name))

    async def are_closed(self, names: Sequence[str]) -> None:
        """Both sides say how it was."""
        for name in names:
            pair = {"wish_id": name, "offer_id": name}
            await self.publish(RESPONSES, event("service.started", name, **pair), event("service.finished", name, **pair, minutes=60))
            await self.publish(RESPONSES, event("service.acknowledged", name, **pair, by="resident", outcome="done"))
        await self.in_state("closed", names)

    async def in_state(self, state: str, names: Sequence[str], tables: Sequence[str] = ("matching.matches", "gateway.matches")) -> None:
        for table in tables:

            async def are(table: str = table) -> object:
                rows = await self.database.fetch(f"SELECT wish_id, state FROM {table} WHERE wish_id = ANY($1)", names)
                found = {row["wish_id"]: row["state"] for row in rows}
                return True if found == dict.fromkeys(names, state) else (table, found)

            await until(are, f"{names} {state}", SECONDS)


Started = Callable[[], AbstractAsyncContextManager[Town]]


@pytest.fixture
async def town(fresh_topics: Kafka, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Started]:
    """Each time it is called the services start anew on the session's servers."""
    monkeypatch.setenv("LASTMETRE_KAFKA", fresh_topics.bootstrap)
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())
    connection = await asyncpg.connect(database.dsn())

    @asynccontextmanager
    async def started() -> AsyncIterator[Town]:
        async with Stack(tmp_path / "state", services=("matcher", "notifier", "gateway")) as stack:
            yield Town(stack, connection)

    yield started
    await connection.close()


async def test_what_comes_after_a_broker_has_lost_everything_is_taken_in_by_everybody(town: Started, fresh_topics: Kafka) -> None:
    before = [f"before_{number}" for number in range(8)]
    async with town() as running:
        await running.are_confirmed(before)
        await running.are_closed(before)
        await running.is_proposed_while_nobody_listens("untold")
    await topics.remake(fresh_topics.bootstrap)
    async with town() as running:
        await running.are_confirmed(["after"])
        await running.are_closed(["after"])
        await running.in_state("confirmed", ["untold"])
