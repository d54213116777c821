"""The one-shot jobs of docker-compose.yml, as processes, on the real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy import migrate
from deploy.kafka import Kafka
from deploy.migrate import TENANTS
from deploy.postgres import Postgres
from deploy.state import free_port
from schemas.topics import TOPICS

ROOT = Path(__file__).parents[2]
DATABASE = "prepared_by_the_job"
_CALLED_WITH_OWNERS_RIGHTS = """
    SELECT proname FROM pg_proc WHERE pronamespace = 'gateway'::regnamespace AND prosecdef AND prorettype <> 'trigger'::regtype
        AND has_function_privilege(oid, 'EXECUTE')
"""
_VIEWS = """
    SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind = 'v' AND has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE')
"""


def job(name: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LASTMETRE_")} | settings
    return subprocess.run([sys.executable, "-m", "deploy.prepare", name], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
async def unprepared(postgres: Postgres) -> AsyncIterator[Postgres]:
    yield postgres
    await migrate.drop(postgres, DATABASE)


def settings_for(server: Postgres) -> dict[str, str]:
    passwords = {f"LASTMETRE_{tenant.service.upper()}_PASSWORD": server.password(tenant.role) for tenant in TENANTS}
    return {"LASTMETRE_POSTGRES": server.owner_dsn(DATABASE), **passwords}


async def test_creates_every_topic(kafka: Kafka) -> None:
    done = job("topics", LASTMETRE_KAFKA=kafka.bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        present = set(await admin.list_topics())
    finally:
        await admin.close()
    assert (0, "") == (done.returncode, done.stderr)
    assert set() == {topic.name for topic in TOPICS} - present


async def test_makes_a_database_in_which_each_role_sees_its_own_schema(unprepared: Postgres) -> None:
    first = job("migrations", **settings_for(unprepared))
    # As somebody would write it whose PostgreSQL speaks TLS; this one does not, and may be spoken to without.
    second = job("migrations", **(settings_for(unprepared) | {"LASTMETRE_POSTGRES": f"{unprepared.owner_dsn(DATABASE)}?sslmode=prefer"}))
    assert [(0, ""), (0, "")] == [(done.returncode, done.stderr) for done in (first, second)]
    for tenant in TENANTS:
        connection = await asyncpg.connect(unprepared.dsn(tenant.role, DATABASE))
        try:
            visible = await connection.fetch(
                "SELECT nspname FROM pg_namespace WHERE nspname IN ('matching', 'notifying', 'vault', 'gateway') AND has_schema_privilege(oid, 'USAGE')"
            )
        finally:
            await connection.close()
        assert [tenant.schema] == [row["nspname"] for row in visible]
    connection = await asyncpg.connect(unprepared.dsn("lastmetre_board", DATABASE))
    try:
        called = {row["proname"] for row in await connection.fetch(_CALLED_WITH_OWNERS_RIGHTS)}
        windows = [row["relname"] for row in await connection.fetch(_VIEWS)]
    finally:
        await connection.close()
    assert [] == windows, "nor does it look through the windows of those who sign in"
    assert {"webhooks_entitled"} == called, "who writes the board answers for nobody, however often the database is prepared"


def test_says_which_setting_is_missing() -> None:
    done = job("migrations", LASTMETRE_POSTGRES="postgresql://owner:word@127.0.0.1/lastmetre")
    assert 2 == done.returncode
    assert "LASTMETRE_MATCHER_PASSWORD" in done.stderr
    assert "LASTMETRE_NOTIFIER_PASSWORD" in done.stderr
    assert "LASTMETRE_VAULT_PASSWORD" in done.stderr


def test_refuses_a_short_password_without_repeating_it() -> None:
    words = {"LASTMETRE_MATCHER_PASSWORD": "hunter2", "LASTMETRE_NOTIFIER_PASSWORD": "0123456789abcdef"}
    done = job("migrations", LASTMETRE_POSTGRES="postgresql://owner:word@127.0.0.1/lastmetre", **words)
    assert 2 == done.returncode
    assert "LASTMETRE_MATCHER_PASSWORD" in done.stderr
    assert "hunter2" not in done.stderr


def test_says_that_the_owner_is_not_let_in_without_repeating_the_password(unprepared: Postgres) -> None:
    given = settings_for(unprepared)
    wrong = given["LASTMETRE_POSTGRES"].replace(unprepared.password("lastmetre"), "hunter2-is-wrong")
    done = job("migrations", **given | {"LASTMETRE_POSTGRES": wrong})
    assert 1 == done.returncode
    assert "请核对 LASTMETRE_POSTGRES 中的用户和密码" in done.stderr
    assert "user and password in LASTMETRE_POSTGRES" in done.stderr
    assert [] == [word for word in ("hunter2", "Traceback") if word in done.stderr]


def test_says_that_kafka_does_not_answer(unused_port: int) -> None:
    done = job("topics", LASTMETRE_KAFKA=f"127.0.0.1:{unused_port}")
    assert 1 == done.returncode
    assert "Kafka" in done.stderr
    assert "Traceback" not in done.stderr


def test_says_how_it_is_used() -> None:
    done = job("everything")
    assert 2 == done.returncode
    assert "topics|migrations" in done.stderr


@pytest.fixture
def unused_port() -> int:
    return free_port()
