"""A commit that fails: memory was changed while deciding, and nothing of that may be seen afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from schemas import codec
from schemas.codec import Event
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from services.matcher import intake
from services.matcher.matcher import Matcher
from services.matcher.metrics import Metrics
from services.matcher.outbox import Publisher
from services.runtime import Stop
from tests import builders as build
from tests.conftest import Database

LANE = partition_of(build.AREA)
HEADERS = [("content-type", codec.STRUCTURED_TYPE.encode())]
# Deferred, so that it is the commit itself that fails; a sequence, because it alone is not rolled back.
FAIL_ONCE = """
    CREATE SEQUENCE matching.commits;
    CREATE FUNCTION matching.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('matching.commits') = 1 THEN RAISE EXCEPTION 'once' USING ERRCODE = '{code}'; END IF;
            RETURN NULL;
        END
    $$;
    CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON matching.journal DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION matching.fail_once();
"""


class Worker:
    """A matcher on its database; what it hands to the publisher stays there, as no broker is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offsets: dict[str, int] = {}
        self.publisher = Publisher("127.0.0.1:1", self._nothing)
        connect: Callable[[], Awaitable[asyncpg.Connection]] = lambda: asyncpg.connect(database.dsn("matcher"))  # noqa: E731
        self.matcher = Matcher(connect, self.publisher, Metrics(), Stop(), owner="test", event_time=True)

    async def _nothing(self, *_: object) -> None:
        """Nobody publishes, so nobody hears of it."""

    async def takes(self, *events: Event) -> None:
        runs: dict[str, list[Any]] = {}
        for event in events:
            topic = TOPIC_OF[event.type]
            offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
            value = codec.structured(event)
            runs.setdefault(topic, []).append(ConsumerRecord(topic, LANE, offset, 0, 0, event.area.encode(), value, None, len(event.area), len(value), HEADERS))
        await self.matcher.take_in([intake.read_run(run) for run in runs.values()])

    async def owner(self, statement: str) -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(self._database.dsn())
        try:
            if statement.lstrip().startswith("SELECT"):
                return await connection.fetch(statement)
            await connection.execute(statement)
            return []
        finally:
            await connection.close()

    async def journal(self) -> list[tuple[Any, ...]]:
        rows = await self.owner("SELECT event_id, at, outcome, decision FROM matching.journal ORDER BY seq")
        return [tuple(row) for row in rows]

    def handed_over(self) -> set[tuple[str, bytes | None]]:
        return {(str(dict(one.headers)["ce_id"]), one.value) for parcel in self.publisher._queue for one in parcel.messages}

    def in_memory(self) -> dict[str, tuple[str, list[str]]]:
        area = self.matcher.lanes[LANE].areas[build.AREA]
        return {wish.id: (wish.status, sorted(wish.matches)) for wish in area.wishes.values()}


def story() -> tuple[Event, list[Event]]:
    """One helper with room for one; then, in one batch, two who would like them and one who takes the wish back."""
    first = build.offer("o1", event_id="offer-1")
    batch = [
        build.wish("w1", at=1, event_id="wish-1", urgency="red"),
        build.wish("w2", at=2, event_id="wish-2", urgency="red"),
        build.wish_withdrawn("w1", at=3, event_id="withdrawn-1"),
    ]
    return first, batch


@pytest.mark.parametrize("code", ["40001", "P0001"], ids=["a fault that passes", "a fault that may be an event's own"])
async def test_a_commit_that_failed_leaves_nothing_in_memory(new_database: Callable[[], Awaitable[Database]], code: str) -> None:
    first, batch = story()
    calm, stormy = Worker(await new_database()), Worker(await new_database())
    for worker in (calm, stormy):
        await worker.takes(first)
    await stormy.owner(FAIL_ONCE.format(code=code))

    for worker in (calm, stormy):
        await worker.takes(*batch)

    failed = await stormy.owner("SELECT last_value FROM matching.commits")
    assert failed[0]["last_value"] > 1
    assert await calm.journal() == await stormy.journal()
    assert calm.handed_over() == stormy.handed_over()
    assert calm.in_memory() == stormy.in_memory()
    assert {"w2": ("held", ["o1"])} == stormy.in_memory()
    for worker in (calm, stormy):
        await worker.matcher.close()
