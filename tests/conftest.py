"""What all tests share: one real Kafka and one real PostgreSQL for the whole session, started when first asked for.

Session-scoped: `kafka`, `postgres`. Per test: `database` (a fresh, migrated database), `fresh_topics` (all declared topics, empty).
A test that kills or restarts a server starts one of its own: `own_kafka`, `own_postgres`, or a whole stack with `start_stack(...)`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy import migrate, topics
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.stack import Stack
from tests import ahead
from tests.sharing import pytest_xdist_make_scheduler  # noqa: F401  # pytest looks for its hooks here

TEMPLATE = "lastmetre_template"
_SIMULATED = "tests/unit/test_ten_thousand_towns.py"
_numbers = itertools.count(1)
_TO_CLEAN_UP_SECONDS = 40


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process was started by another one of the same session (`-n 2`)."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    # Dozens of brokers and services start here and live for seconds: none of them is to compile for the hour, or what another one compiled already.
    os.environ.setdefault("LASTMETRE_JAVA", "-XX:TieredStopAtLevel=1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A shell without job control lets what it puts in the background ignore Ctrl-C, and so all that is started from there, which is to heed it here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not _is_worker(config):
        ahead.open_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing outlives the session."""
    if not _is_worker(config):
        ahead.close_session()


def pytest_itemcollected(item: pytest.Item) -> None:
    """What waits for good in a test fails by itself, with the line where it stood: at pytest's own limit the whole worker dies, and says no more."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _within(item.obj, int(item.config.getini("faulthandler_timeout")) - _TO_CLEAN_UP_SECONDS)


def _within(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(*args: Any, **kwargs: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*args, **kwargs)

    return limited


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests are made in each process, and none of them dies: to walk over them again and again took a third of the time, then and later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for a computation that began with the session comes last."""
    items.sort(key=lambda item: item.nodeid.startswith(_SIMULATED))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Ten thousand towns take minutes of processor time; most tests before theirs only wait for servers."""
    if any(item.nodeid.startswith(_SIMULATED) for item in session.items) and not session.config.option.collectonly:
        for command in (ahead.SIMULATOR, ahead.CHILDREN):
            ahead.begin(command)


@dataclass(frozen=True, slots=True)
class Database:
    """A fresh database of one test."""

    name: str
    server: Postgres

    def dsn(self, service: str | None = None) -> str:
        """Connection string of a service's role ("matcher", "notifier"), or of the owner."""
        if service is None:
            return self.server.owner_dsn(self.name)
        return self.server.dsn(f"lastmetre_{service}", self.name)


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    folder = tmp_path_factory.mktemp("kafka")
    broker = Kafka(folder)
    await broker.start()
    await topics.ensure(broker.bootstrap)
    yield broker
    await broker.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres(folder)
    await server.start()
    await migrate.prepare(server, TEMPLATE)
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def copy_template(postgres: Postgres) -> Callable[[str], Awaitable[None]]:
    """Copy the template. Six passwords cost the server as much as the copy itself: they are set anew only where something has changed a role since."""
    last: list[Any] = []

    async def roles() -> list[Any]:
        connection = await asyncpg.connect(postgres.owner_dsn(postgres.maintenance))
        try:  # a password that is set once more has another salt
            return await connection.fetch("SELECT * FROM pg_authid ORDER BY oid")
        finally:
            await connection.close()

    async def copy(name: str) -> None:
        named = last == (now := await roles())
        await migrate.prepare(postgres, name, template=TEMPLATE, named=named)
        last[:] = now if named else await roles()

    return copy


@pytest.fixture
async def new_database(postgres: Postgres, copy_template: Callable[[str], Awaitable[None]]) -> AsyncIterator[Callable[[], Awaitable[Database]]]:
    """Make fresh, migrated databases, dropped after the test."""
    async with AsyncExitStack() as cleanup:

        async def make() -> Database:
            name = f"test_{next(_numbers)}"
            await copy_template(name)
            cleanup.push_async_callback(migrate.drop, postgres, name)
            return Database(name, postgres)

        yield make


@pytest.fixture
async def database(new_database: Callable[[], Awaitable[Database]]) -> Database:
    """One fresh, migrated database."""
    return await new_database()


@pytest.fixture
async def fresh_topics(kafka: Kafka) -> Kafka:
    """The session's broker, with every declared topic empty. For tests that mind what earlier ones left."""
    await topics.remake(kafka.bootstrap)
    return kafka


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[Kafka]:
    """A broker of the test's own, not started: to stop, kill and restart at will."""
    broker = Kafka(tmp_path / "kafka")
    yield broker
    await broker.stop()
    shutil.rmtree(broker.folder)


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL of the test's own, not started: to stop, kill and restart at will."""
    server = Postgres(tmp_path / "postgres")
    yield server
    await server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture
async def start_stack(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Stack]]]:
    """Start stacks of the test's own, with what `Stack` takes beside its folder; each is stopped and removed after the test."""
    numbers = itertools.count(1)
    async with AsyncExitStack() as cleanup:

        async def start(**settings: Any) -> Stack:
            folder = tmp_path / f"stack-{next(numbers)}"
            stack = Stack(folder, **settings)
            cleanup.callback(shutil.rmtree, folder)
            await cleanup.enter_async_context(stack)
            return stack

        yield start
