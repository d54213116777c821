"""A real gateway for tests: its own database, real Kafka, uvicorn on a free port in this process; and browsers and programs that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self
from unittest import mock

import asyncpg
import httpx
import pyotp
from argon2 import PasswordHasher
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from deploy import migrate
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.state import free_port
from services.gateway import app as service
from services.gateway.context import Gateway
from services.gateway.identity import second_factor
from services.gateway.identity.keys import Keys, make_key_file, read_key_file
from services.gateway.identity.model import new_api_key
from services.gateway.identity.service import Identity
from services.gateway.settings import Settings
from services.gateway.web import create_app
from services.runtime import Stop
from tests.conftest import TEMPLATE, Database

AREA: Final = "gaoxin"
PASSWORD: Final = "correct horse battery staple"
# One hash for all: hashing is what makes many accounts slow, and has tests of its own.
_CHEAP: Final = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
_HASH: Final = _CHEAP.hash(PASSWORD)
_FIELD: Final = re.compile(r'name="csrf" value="([^"]*)"')
_STEP_SECONDS: Final = 30
_TLS: Final = ssl.create_default_context()  # one for all clients: making one takes longer than a request


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_time(self, **parts: float) -> None:
        self.ahead += timedelta(**parts)


@dataclass(slots=True)
class Person:
    """An account, and what only its owner knows."""

    account_id: str
    login: str
    totp: str | None = None


@dataclass(slots=True)
class Browser:
    """Keeps cookies, fills in forms, follows no redirect."""

    client: httpx.AsyncClient
    rig: GatewayRig

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def token(self, page: str = "/sign-in") -> str:
        found = _FIELD.search((await self.client.get(page)).text)
        assert found is not None, page
        return found[1]

    async def post(self, path: str, page: str = "/sign-in", **form: str) -> httpx.Response:
        return await self.client.post(path, data={"csrf": await self.token(page), **form})

    async def sign_in(self, person: Person, password: str = PASSWORD, **more: str) -> httpx.Response:
        code = {} if person.totp is None else {"code": self.rig.code(person)}
        return await self.post("/sign-in", login=person.login, password=password, **(code | more))


@dataclass(slots=True)
class GatewayRig:
    """A gateway that runs."""

    address: str
    gateway: Gateway
    database: Database
    owner: asyncpg.Connection
    keys: Keys
    clock: Clock
    app: Any
    registry: CollectorRegistry
    _cleanup: AsyncExitStack = field(repr=False, default_factory=AsyncExitStack)
    _numbers: int = 0

    @property
    def identity(self) -> Identity:
        return self.gateway.identity

    async def browser(self, **headers: str) -> Browser:
        self._numbers += 1
        # Each browser has an address of its own, told by a proxy that is trusted.
        address = f"10.0.{self._numbers // 200}.{self._numbers % 200 + 1}"
        return Browser(await self.client(**({"accept": "text/html", "x-forwarded-for": address} | headers)), self)

    async def client(self, **headers: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=self.address, headers=headers, timeout=30, trust_env=False, verify=_TLS)
        self._cleanup.push_async_callback(client.aclose)
        return client

    async def signed_in(self, person: Person) -> Browser:
        browser = await self.browser()
        answer = await browser.sign_in(person)
        assert answer.status_code == 303, answer.text
        return browser

    async def person(
        self,
        *roles: str,
        scope: tuple[str, ...] = (AREA,),
        centre: tuple[str, ...] | None = None,
        volunteer_ref: str | None = None,
        resident_refs: tuple[str, ...] = (),
        oidc: tuple[str, str] | None = None,
        must_change: bool = False,
        expires_at: datetime | None = None,
        second: bool = True,
    ) -> Person:
        """Make an account as the owner of the database does."""
        self._numbers += 1
        account_id = f"account-{self._numbers:04d}"
        needs = bool({"worker", "admin", "auditor"}.intersection(roles)) and second
        totp = second_factor.new_secret() if needs else None
        await self.owner.execute(
            "INSERT INTO gateway.accounts (account_id, login, roles, scope, centre, volunteer_ref, resident_refs, password_hash, must_change,"
            " password_expires_at, totp, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now())",
            account_id,
            f"login-{self._numbers:04d}",
            list(roles),
            list(scope),
            None if centre is None else list(centre),
            volunteer_ref,
            list(resident_refs),
            _HASH,
            must_change,
            expires_at,
            None if totp is None else second_factor.seal(self.keys, totp, account_id),
        )
        if oidc is not None:
            await self.owner.execute("INSERT INTO gateway.identities VALUES ($1, $2, $3)", *oidc, account_id)
        return Person(account_id, f"login-{self._numbers:04d}", totp)

    async def key(self, person: Person, *scopes: str, expires_at: datetime | None = None) -> str:
        """Make an API key of an account."""
        made = new_api_key()
        await self.owner.execute(
            "INSERT INTO gateway.api_keys (key_id, account_id, digest, name, scopes, created_at, expires_at) VALUES ($1, $2, $3, 'test', $4, now(), $5)",
            made.key_id,
            person.account_id,
            made.digest,
            list(scopes),
            expires_at,
        )
        return made.key

    def code(self, person: Person, *, ahead: int = 0) -> str:
        """The one-time code of now; each call of a test that signs in again moves the clock on, as a code is good once."""
        assert person.totp is not None
        self.clock.pass_time(seconds=_STEP_SECONDS)
        return pyotp.TOTP(person.totp).generate_otp(int(self.clock().timestamp() // _STEP_SECONDS) + ahead)

    async def close(self) -> Self:
        await self._cleanup.aclose()
        return self


@asynccontextmanager
async def own_database(postgres: Postgres, name: str) -> AsyncIterator[Database]:
    """A migrated database for the tests of one module."""
    await migrate.prepare(postgres, name, template=TEMPLATE)
    owner = await asyncpg.connect(postgres.owner_dsn(name))
    try:
        # What is lost with a power cut is no matter here, and thousands of small commits are.
        await owner.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    finally:
        await owner.close()
    try:
        yield Database(name, postgres)
    finally:
        await migrate.drop(postgres, name)


@asynccontextmanager
async def running_gateway(folder: Path, database: Database, kafka: Kafka, **settings: Any) -> AsyncIterator[GatewayRig]:
    """Start a gateway on a free port; one process, so that its insides can be looked at."""
    make_key_file(folder / "gateway-keys")
    keys, clock = read_key_file(folder / "gateway-keys"), Clock()
    values: Mapping[str, Any] = {"password_memory_kib": 64, "rate_factor": 0, "web_port": free_port(), "trusted_proxies": "127.0.0.1"} | settings
    made = Settings(
        kafka=kafka.bootstrap,
        database=SecretStr(database.dsn("gateway")),
        board_database=SecretStr(database.dsn("board")),
        identity_keys=folder / "gateway-keys",
        **values,
    )
    stop = Stop()
    parts: list[tuple[Gateway, CollectorRegistry, FastAPI]] = []

    def listening(gateway: Gateway, registry: CollectorRegistry | None = None) -> FastAPI:
        """The application as the service makes it; the test holds on to its parts, and to its clock."""
        gateway.identity.clock = clock
        registry = registry or CollectorRegistry()
        parts.append((gateway, registry, create_app(gateway, registry)))
        return parts[0][2]

    async with AsyncExitStack() as cleanup:
        owner = await asyncpg.connect(database.dsn())
        cleanup.push_async_callback(owner.close)
        with mock.patch.object(service, "create_app", listening):
            serving = asyncio.create_task(service.main(made, stop))
            try:
                await _until_open(made.web_port, serving)
            except BaseException:
                stop.set()
                raise
        try:
            gateway, registry, app = parts[0]
            rig = GatewayRig(f"http://127.0.0.1:{made.web_port}", gateway, database, owner, keys, clock, app, registry)
            try:
                yield rig
            finally:
                await rig.close()
        finally:
            stop.set()
            await serving


async def _until_open(port: int, serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(60):
        while True:
            if serving.done():
                await serving
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)
