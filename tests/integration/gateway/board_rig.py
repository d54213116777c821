"""A running stack with a gateway, and what the tests of the board do with it: say events, watch streams, look into tables as somebody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaProducer

from deploy import topics
from deploy.stack import Stack
from schemas.codec import headers_of
from schemas.instants import MINUTE_US, rfc3339
from schemas.registry import TOPIC_OF
from schemas.topics import TOPICS
from tests.topic_settings import changed

AREA = "high-tech"
DEADLINE_SECONDS = 60.0


def now_us() -> int:
    return time.time_ns() // 1000


def after(minutes: float) -> str:
    return rfc3339(now_us() + round(minutes * MINUTE_US))


def somebody(role: str, *, area: str = AREA, **more: Any) -> dict[str, Any]:
    """A principal, as the demonstration header has it; `community` and the like narrow the scope."""
    scope = {step: more.pop(step) for step in ("community", "compound", "building", "unit") if step in more}
    return {"account": "-".join((role, *scope.values(), "1")), "roles": [role], "scope": {"area": area, **scope}, **more}


def header_of(principal: dict[str, Any]) -> dict[str, str]:
    return {"x-demo-principal": orjson.dumps(principal).decode()}


@dataclass(slots=True)
class Watch:
    """What one stream has said so far."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def until(self, found: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait for a line."""
        async with asyncio.timeout(seconds):
            while True:
                for line in self.lines:
                    if found(line):
                        return line
                await asyncio.sleep(0.02)

    def kinds(self, wish_id: str) -> list[str]:
        return [line["kind"] for line in self.lines if line["wish_id"] == wish_id]


@asynccontextmanager
async def _dated_by_the_sender(bootstrap: str, name: str) -> AsyncIterator[None]:
    topic = next(topic for topic in TOPICS if topic.name == name)
    await topics.ensure(bootstrap, [changed(topic, message_timestamp_type="CreateTime")])
    yield
    await topics.ensure(bootstrap, [topic])


@dataclass(slots=True)
class Rig:
    """The stack and its doors."""

    stack: Stack
    producer: AIOKafkaProducer

    @property
    def ports(self) -> dict[str, int]:
        """As the stack remembers them (to ask for one anew would give another while it is taken)."""
        ports: dict[str, int] = json.loads((self.stack.state.folder / "ports.json").read_text(encoding="utf-8"))
        return ports

    @property
    def port(self) -> int:
        """The gateway's."""
        return self.ports["gateway-web"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, principal: dict[str, Any] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={} if principal is None else header_of(principal), timeout=30)

    async def say(self, kind: str, subject: str, data: dict[str, Any], *, came_at: int | None = None) -> None:
        """An event, as an integration would publish it; `came_at`: when Kafka is to say that it came, in microseconds."""
        name = f"lastmetre.{kind}"
        event = {"area": AREA, **data}
        headers = headers_of(name, str(uuid4()), "tests/board", after(0), subject, event["area"])
        send = partial(self.producer.send_and_wait, TOPIC_OF[name], orjson.dumps(event), key=event["area"].encode(), headers=headers)
        if came_at is None:
            await send()
            return
        async with _dated_by_the_sender(self.stack.kafka.bootstrap, TOPIC_OF[name]):
            assert came_at // 1000 == (await send(timestamp_ms=came_at // 1000)).timestamp

    async def wish(self, wish_id: str, *, community: str = "c1", skill: str = "haircut", came_at: int | None = None, **more: Any) -> None:
        data = {
            "wish_id": wish_id,
            "place": {"community": community, "compound": "p1", "building": "b1", "unit": "u1"},
            "category": "household",
            "skills": [skill],
            "urgency": "red",
            "window": {"start": after(0), "end": after(24 * 60)},
            "beneficiary": {"age_band": "adult"},
            "title": "理发",
            "resident_ref": f"resident-{wish_id}",
            **more,
        }
        await self.say("wish.submitted.v1", wish_id, data, came_at=came_at)

    async def offer(self, offer_id: str, *, community: str = "c1", skill: str = "haircut", **more: Any) -> None:
        """An offer that the matcher has when this returns."""
        data = {
            "offer_id": offer_id,
            "volunteer_ref": f"volunteer-{offer_id}",
            "home": {"community": community, "compound": "p1", "building": "b1", "unit": "u1"},
            "reach": "area",
            "skills": [skill],
            "vetting": {"level": 4, "checked_at": after(-60)},
            "windows": [{"start": after(-60), "end": after(48 * 60)}],
            "capacity": 20,
            "accepts": "auto",
            **more,
        }
        await self.say("offer.posted.v1", offer_id, data)
        # Wishes come on another topic: one that is read first would be unmet for a moment, as it should.
        async with self.database("lastmetre_matcher") as connection:
            statement = "SELECT count(*) FROM matching.offers WHERE area = $1 AND offer_id = $2"
            await soon(lambda: connection.fetchval(statement, AREA, offer_id), 1)

    @asynccontextmanager
    async def watching(self, principal: dict[str, Any], *, last: int | None = None, lang: str = "zh") -> AsyncIterator[Watch]:
        """An open stream."""
        watch = Watch()
        opened = asyncio.Event()
        task = asyncio.create_task(self._follow(principal, last, lang, watch, opened))
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                waiting = asyncio.create_task(opened.wait())
                await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            if task.done():
                task.result()
            yield watch
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, principal: dict[str, Any], last: int | None, lang: str, watch: Watch, opened: asyncio.Event) -> None:
        resumed = {} if last is None else {"last-event-id": str(last)}
        async with self.client(principal) as client, client.stream("GET", "/live", params={"lang": lang}, headers=resumed, timeout=None) as answer:
            answer.raise_for_status()
            opened.set()
            async for text in answer.aiter_lines():
                name, _, value = text.partition(": ")
                if name == "id":
                    watch.ids.append(int(value))
                elif name == "event":
                    watch.events.append(value)
                elif name == "data" and watch.events[-1] == "line":
                    watch.lines.append(orjson.loads(value))

    @asynccontextmanager
    async def database(self, role: str = "lastmetre_board") -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.stack.postgres.dsn(role, self.stack.database))
        try:
            yield connection
        finally:
            await connection.close()

    async def seen_by(self, principal: dict[str, Any] | None, statement: str, *values: Any) -> list[Any]:
        """What the role of requests sees as this principal."""
        async with self.database("lastmetre_gateway") as connection, connection.transaction():
            if principal is not None:
                flat = {**principal, **principal["scope"]}
                await connection.execute("SELECT set_config('lastmetre.principal', $1, true)", orjson.dumps(flat).decode())
            return [dict(row) for row in await connection.fetch(statement, *values)]

    async def state_of(self, wish_id: str, state: str) -> None:
        """Wait until the board has a wish in this state."""
        statement = "SELECT state FROM gateway.wishes WHERE area = $1 AND wish_id = $2"
        async with self.database() as connection:
            await soon(lambda: connection.fetchval(statement, AREA, wish_id), state)


async def soon(look: Callable[[], Awaitable[Any]], expected: Any, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until what is looked at is as expected; when time is over, say what it is."""
    ends = asyncio.get_running_loop().time() + seconds
    while (found := await look()) != expected:
        assert asyncio.get_running_loop().time() < ends, found
        await asyncio.sleep(0.05)
