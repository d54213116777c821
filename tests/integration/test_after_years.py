"""Plans over half a million wishes that are over: what is asked again and again goes by indexes of what is under way. No speeds; the tables here are empty."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from deploy.tools import attention, story
from services import sessions
from services.gateway.board import queries
from services.gateway.identity import audit
from services.gateway.identity.store import _FOUND
from services.gateway.people import store as people
from services.notifier import receipts_store, store
from tests.conftest import Database

AREA: Final = "hightech"
NOW: Final = datetime(2031, 11, 25, tzinfo=UTC)
STAFF: Final = {"account": "somebody", "roles": ["admin", "auditor", "worker"], "area": AREA, "resident_refs": []}
Asked = tuple[str, tuple[Any, ...], set[str]]
"""A statement with its values, and the indexes that it is to go by."""
PAGES: Final[tuple[Asked, ...]] = (
    (queries._NEAR, (AREA, "c1", ["x"], NOW, []), {"offers_open"}),
    (queries._FAIRNESS, (NOW,), {"offers_open"}),
    (people._DRAFTS, (AREA, "somebody"), {"drafts_of_account"}),
    (people._PLACES, (AREA, ["r-1"]), {"wishes_by_day", "wishes_of_resident"}),
    (audit._RECENT, (AREA, 100), {"audit_of_area"}),
    (_FOUND, ("", 200), set()),
)
TOOLS: Final[tuple[Asked, ...]] = (
    (story._JOURNAL, (1, AREA, [b"w"], 0), {"journal_by_time"}),
    (story._NOTICES, ("w", AREA), {"notices_of_wish", "notices_of_match"}),
    (attention._MATCHER, (0, 1, 1), {"wishes_open", "matches_live"}),
)


async def plan_of(connection: asyncpg.Connection, asked: Asked) -> str:
    """Its plan, which goes by these indexes."""
    statement, values, indexes = asked
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *values))
    assert indexes == {index for index in indexes if index in plan}, plan
    return plan


async def test_pages_find_what_is_under_way_and_ask_for_the_principal_once(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn("gateway"))
    try:
        await connection.execute("SET enable_seqscan = off")
        await connection.execute("SELECT set_config('lastmetre.principal', $1, false)", json.dumps(STAFF))
        for asked in PAGES:
            plan = await plan_of(connection, asked)
            assert [] == [line for line in plan.splitlines() if "Filter" in line and "'roles'" in line], f"each row is asked who asks:\n{plan}"
    finally:
        await connection.close()


async def test_the_tools_tell_of_one_wish_without_reading_of_all(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn())
    try:
        await connection.execute("SET enable_seqscan = off")
        await connection.execute("ALTER TABLE matching.journal DROP CONSTRAINT journal_pkey")  # where nothing is, it is as good as the time
        for asked in TOOLS:
            await plan_of(connection, asked)
    finally:
        await connection.close()


async def test_the_notifier_finds_what_is_due_without_reading_of_all_that_waits(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn("notifier"), server_settings=sessions.INDEXES_ONLY)
    try:
        for statement, values, due in (
            (store._LEASE_DUE, ([1], [1], 9, 30.0), "due_at <= statement_timestamp()"),
            (store._HAS_RECEIPTS, (), "look_at <= statement_timestamp()"),
            (receipts_store._READ_RECEIPTS, ([1], 9), "look_at <= statement_timestamp()"),
        ):
            plan = await plan_of(connection, (statement, values, set()))
            assert any("Index Cond" in line and due in line for line in plan.splitlines()), plan
    finally:
        await connection.close()
