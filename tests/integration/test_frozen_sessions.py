"""A process may be frozen at any moment; the server ends its transactions, so that whoever takes over has its locks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import pytest

from services import sessions
from services.gateway.board import reader
from services.gateway.board.store import Writer
from services.gateway.database import Database as Gateway
from services.matcher.app import MatcherSettings
from services.matcher.app import _connect as matcher
from services.notifier.faults import PASSING
from services.notifier.store import Store as Notifier
from services.sessions import end_frozen
from services.vault.store import Store as Vault
from tests.conftest import Database

Session: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

DEADLINE_SECONDS: Final = 30.0
_LOCK: Final = "SELECT pg_advisory_xact_lock(1)"


async def test_whoever_is_frozen_between_preparing_a_statement_and_asking_it_keeps_no_lock(database: Database) -> None:
    frozen, other = await asyncpg.connect(database.dsn()), await asyncpg.connect(database.dsn())
    await end_frozen(frozen, seconds=1)
    await frozen.execute("BEGIN")
    await frozen.execute(_LOCK)
    # No Sync follows until it is asked: for the server the session is not idle, and what limits idle ones does not run.
    await frozen.prepare("SELECT 2")
    async with asyncio.timeout(DEADLINE_SECONDS), other.transaction():
        await other.execute(_LOCK)
    with pytest.raises(PASSING):
        await frozen.fetchval("SELECT 3")
    await other.close()


async def test_a_writer_of_the_board_who_is_gone_without_a_word_does_not_keep_the_next_one_from_writing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SILENT_MAX", "500ms")
    gone, then = await reader.connected(database.dsn("board")), await asyncpg.connect(database.dsn("board"))
    assert await Writer.take(gone, 7) is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await Writer.take(then, 7) is None:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    with pytest.raises(PASSING):
        await gone.fetchval("SELECT 1")
    await then.close()


@asynccontextmanager
async def _notifier(database: Database) -> AsyncIterator[Session]:
    store = await Notifier.connect(database.dsn("notifier"))
    async with store.durable.acquire() as connection:
        yield connection
    await store.close()


@asynccontextmanager
async def _vault(database: Database) -> AsyncIterator[Session]:
    store = await Vault.connect(database.dsn("vault"))
    async with store._pool.acquire() as connection:
        yield connection
    await store.close()


@asynccontextmanager
async def _gateway(database: Database) -> AsyncIterator[Session]:
    opened = await Gateway.connect(database.dsn("gateway"), size=1)
    async with opened.pool.acquire() as connection:
        yield connection
    await opened.close()


@asynccontextmanager
async def _matcher(database: Database) -> AsyncIterator[Session]:
    connection = await matcher(MatcherSettings(kafka="127.0.0.1:9", database=database.dsn("matcher")))
    yield connection
    await connection.close()


@pytest.mark.parametrize("session", [_notifier, _vault, _gateway, _matcher])
async def test_no_service_keeps_a_transaction_for_ever(database: Database, session: Callable[[Database], AbstractAsyncContextManager[Session]]) -> None:
    async with session(database) as connection:
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") in {"5s", "30s"}
        assert await connection.fetchval("SHOW transaction_timeout") != "0"
