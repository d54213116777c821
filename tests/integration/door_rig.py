"""A running gateway over servers that are there already, as a process of its own; callers who say who they are; and what lies on the topics."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.postgres import Postgres
from deploy.process import Process
from deploy.state import ROOT, free_port
from deploy.supervisor import http_status
from schemas.codec import headers_of
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from schemas.topics import PARTITIONS
from services.gateway.door import examples
from services.gateway.identity.keys import make_key_file

INTEGRATOR = {"account": "app-gaoxin", "roles": ["integrator"], "scope": {"area": "gaoxin"}}
DEADLINE_SECONDS = 60.0


def said(principal: dict[str, Any]) -> dict[str, str]:
    """The header that names a principal where demo principals are allowed."""
    return {"x-demo-principal": json.dumps(principal)}


class Gateway:
    """One gateway process. `kill` and `start` again at will: ports stay."""

    def __init__(self, folder: Path, bootstrap: str, postgres: Postgres, database: str, **env: str) -> None:
        self.bootstrap = bootstrap
        self.port = free_port(frozenset())
        self.owner = postgres.owner_dsn(database)
        self.database = postgres.dsn("lastmetre_gateway", database)
        self._ops_port = free_port(frozenset({self.port}))
        keys = folder / "gateway-keys"
        if not keys.exists():
            make_key_file(keys)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_")}
        settings = {
            "LASTMETRE_KAFKA": bootstrap,
            "LASTMETRE_DATABASE": postgres.dsn("lastmetre_gateway", database),
            "LASTMETRE_BOARD_DATABASE": postgres.dsn("lastmetre_board", database),
            "LASTMETRE_WEB_PORT": str(self.port),
            "LASTMETRE_OPS_PORT": str(self._ops_port),
            "LASTMETRE_IDENTITY_KEYS": str(keys),
            "LASTMETRE_RATE_FACTOR": "0",
            "LASTMETRE_DEMO_PRINCIPALS": "1",
        }
        self.process = Process([sys.executable, "-m", "services.gateway"], log=folder / "gateway.log", env=ours | settings | env, cwd=ROOT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while await http_status(self._ops_port, "/readyz") != 200:
            assert self.process.alive, f"it ended: see {self.process.log}"
            assert time.monotonic() < deadline, f"not ready within {DEADLINE_SECONDS} s"
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        await self.process.stop(20)

    def caller(self, principal: dict[str, Any] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=said(principal or INTEGRATOR), timeout=30, trust_env=False)


@asynccontextmanager
async def running(folder: Path, bootstrap: str, postgres: Postgres, database: str, **env: str) -> AsyncIterator[Gateway]:
    """A gateway for as long as the `async with` lasts."""
    gateway = Gateway(folder, bootstrap, postgres, database, **env)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop()


async def lying_on(bootstrap: str, topics: Iterable[str]) -> list[Any]:
    """All records that lie on these topics now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[Any] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for run in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(run)
        return found
    finally:
        await consumer.stop()


async def account(gateway: Gateway, name: str, area: str) -> None:
    """An integrator's account, made as the owner of the database does."""
    owner = await asyncpg.connect(gateway.owner)
    try:
        await owner.execute(
            "INSERT INTO gateway.accounts (account_id, login, roles, scope, created_at) VALUES ($1, $1, $2, $3, now()) ON CONFLICT DO NOTHING",
            name,
            ["integrator"],
            [area],
        )
    finally:
        await owner.close()


def integrator(area: str, **steps: str) -> dict[str, Any]:
    return {**INTEGRATOR, "account": f"app-{area}", "scope": {"area": area, **steps}}


async def decided(door: Gateway, area: str, number: int, kind: str = "lastmetre.match.confirmed.v1", **more: Any) -> list[str]:
    """So many events of the services' about an area, on their topic; their ids. `more`: of their data."""
    short = kind.removeprefix("lastmetre.")
    data = examples.structured(short)["data"] | {"area": area} | more
    ids = [f"d-{uuid4()}" for _ in range(number)]
    async with AIOKafkaProducer(bootstrap_servers=door.bootstrap, enable_idempotence=True, acks="all") as producer:
        for event_id in ids:
            headers = headers_of(kind, event_id, "lastmetre/notifier", "2026-11-25T08:00:00Z", "m-1", area)
            await producer.send_and_wait(TOPIC_OF[kind], json.dumps(data).encode(), key=area.encode(), headers=headers, partition=partition_of(area))
    return ids


class Receiver:
    """A subscriber: keeps what it was sent, answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.always: int | None = None
        self.url = ""
        self._news = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        self._news.set()
        return web.Response(status=self.always or (self.answers.pop(0) if self.answers else 204))

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    async def until(self, true: Callable[[], bool], what: str) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not true():
                self._news.clear()
                await self._news.wait()
        assert true(), what


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As the specification of Standard Webhooks says it, written anew."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split() and abs(time.time() - int(headers["webhook-timestamp"])) < 300
