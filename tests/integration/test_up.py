"""`up` as a person starts it: on servers of their own nothing invented goes in, and what keeps it from starting is told in two languages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from deploy.kafka import Kafka
from deploy.state import ROOT
from deploy.tools import kafka as reading
from schemas.topics import LANE_TOPICS, dead_letter_topic
from tests.conftest import Database

DEADLINE_SECONDS = 120.0
INVENTED = """
    SELECT (SELECT count(*) FROM vault.people) + (SELECT count(*) FROM gateway.accounts) + (SELECT count(*) FROM matching.wishes)
"""


@asynccontextmanager
async def up(folder: Path, *options: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m deploy up`, ended at the end where it has not ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_") and name not in {"COLUMNS", "FORCE_COLOR"}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy", "up", *options),
        cwd=ROOT,
        env=kept | {"LASTMETRE_STATE": str(folder), "LASTMETRE_VENV": "off"} | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def said_until(process: asyncio.subprocess.Process, end: str) -> str:
    """What it says up to and with the line that holds `end`."""
    assert process.stdout is not None
    said = ""
    async for line in process.stdout:
        said += line.decode()
        if end in said:
            return said
    raise AssertionError(f"ended before it said {end!r}: {said}")


async def ended(process: asyncio.subprocess.Process, encoding: str = "utf-8") -> tuple[int | None, str]:
    """Its exit code and what it still said."""
    said, _ = await process.communicate()
    return process.returncode, said.decode(encoding)


@pytest.fixture
def own(fresh_topics: Kafka, database: Database) -> dict[str, str]:
    """Servers of somebody's own."""
    return {"LASTMETRE_KAFKA": fresh_topics.bootstrap, "LASTMETRE_POSTGRES": database.dsn()}


async def found(database: Database, statement: str) -> object:
    connection = await asyncpg.connect(database.dsn())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_on_servers_of_ones_own_nothing_invented_goes_in_and_minutes_are_minutes(
    own: dict[str, str], fresh_topics: Kafka, database: Database, tmp_path: Path
) -> None:
    async with up(tmp_path, **own) as process:
        said = await said_until(process, "Ctrl-C")
        status = json.loads((tmp_path / "stack.json").read_text())
        assert status["policy"] is None
        assert f"pages: {status['web']}" in said  # which `status` shows, too
        process.send_signal(signal.SIGTERM)
        assert 0 == (await ended(process))[0]
    assert "使用您自己的服务器：不演示" in said
    assert "servers of your own: no sample day" in said
    assert "http://127.0.0.1:" in said
    assert [] == [word for word in ("starting Kafka", "starting PostgreSQL", "demo-", "演示账号只") if word in said]
    topics = [name for topic in LANE_TOPICS for name in (topic, dead_letter_topic(topic))]
    assert [] == await reading.read_all(fresh_topics.bootstrap, topics)
    assert 0 == await found(database, INVENTED)


async def test_without_a_day_once_ends_when_all_is_ready_also_on_a_terminal_that_has_no_tick(own: dict[str, str], tmp_path: Path) -> None:
    async with up(tmp_path, "--once", **own, PYTHONIOENCODING="gbk") as process:
        code, said = await ended(process, "gbk")
    assert 0 == code
    assert "? gateway 就绪 · ready" in said
    assert "使用您自己的服务器：不演示" in said
    assert "Traceback" not in said


async def test_the_sample_day_is_played_on_servers_of_ones_own_where_it_is_asked_for(own: dict[str, str], database: Database, tmp_path: Path) -> None:
    async with up(tmp_path, "--sample-day", **own) as process:
        said = await said_until(process, "nobody in it is real")
        assert json.loads((tmp_path / "stack.json").read_text())["policy"].endswith("sample-day.toml")
    assert "demo-member" in said
    assert "servers of your own" not in said
    assert await found(database, INVENTED)


async def test_a_wrong_password_is_told_by_the_settings_name_and_never_repeated(own: dict[str, str], database: Database, tmp_path: Path) -> None:
    wrong = own["LASTMETRE_POSTGRES"].replace(database.server.password("lastmetre"), "hunter2-is-wrong")
    async with up(tmp_path, "--once", **own | {"LASTMETRE_POSTGRES": wrong}) as process:
        code, said = await ended(process)
    assert 1 == code
    assert "请核对 LASTMETRE_POSTGRES 中的用户和密码" in said
    assert "user and password in LASTMETRE_POSTGRES" in said
    assert [] == [word for word in ("hunter2", "Traceback", "ExceptionGroup") if word in said]


async def test_a_port_of_the_pages_that_is_taken_is_told_by_the_settings_name(own: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with up(tmp_path, "--once", **own, LASTMETRE_WEB_PORT=port) as process:
            code, said = await ended(process)
    assert 1 == code
    assert f"LASTMETRE_WEB_PORT 不合规：端口 {port} 已被占用" in said
    assert f"LASTMETRE_WEB_PORT is not valid: port {port} is taken" in said
    assert "Traceback" not in said
