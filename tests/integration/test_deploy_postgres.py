"""PostgreSQL as deploy starts it: it keeps its rows, asks for a password, and shows each service its own schema."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from deploy import migrate
from deploy.postgres import Postgres
from deploy.words import Trouble
from tests.conftest import Database


async def _run(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_keeps_its_rows_and_port_through_a_restart_and_a_crash(own_postgres: Postgres) -> None:
    await own_postgres.start()
    await migrate.prepare(own_postgres, "lastmetre")
    dsn = own_postgres.dsn()
    await _run(dsn, "CREATE TABLE kept (n int)")
    await _run(dsn, "INSERT INTO kept VALUES (1)")

    await own_postgres.restart()
    assert dsn == own_postgres.dsn()
    await _run(dsn, "INSERT INTO kept VALUES (2)")

    own_postgres.kill()
    assert own_postgres.pid is None
    await own_postgres.start()
    assert 3 == await _run(dsn, "SELECT sum(n) FROM kept")


async def test_what_is_committed_is_on_the_disk(postgres: Postgres) -> None:
    owner = postgres.owner_dsn("postgres")
    settings = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
    assert ["on"] * 4 == [await _run(owner, f"SHOW {name}") for name in settings]


async def test_refuses_a_wrong_password(database: Database) -> None:
    right = database.server.password("lastmetre_matcher")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.dsn("matcher").replace(right, "guessed"))


async def test_passwords_lie_where_only_their_owner_can_read_them(postgres: Postgres) -> None:
    assert 0o600 == (postgres.folder / "passwords.json").stat().st_mode & 0o777


async def test_a_service_reads_and_writes_what_the_owner_made_in_its_schema(database: Database) -> None:
    await _run(database.dsn(), "CREATE TABLE matching.things (id bigserial, n int)")
    await _run(database.dsn("matcher"), "INSERT INTO things (n) VALUES (7)")
    assert 7 == await _run(database.dsn("matcher"), "SELECT n FROM matching.things")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT n FROM matching.things",
        "INSERT INTO matching.things (n) VALUES (1)",
        "CREATE TABLE matching.mine (n int)",
        "CREATE TABLE notifying.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "SELECT version_num FROM public.alembic_version",
        "CREATE DATABASE mine",
        "COPY (SELECT 1) TO '/tmp/never'",
    ],
)
async def test_a_service_sees_no_other_schema_and_makes_nothing(database: Database, statement: str) -> None:
    await _run(database.dsn(), "CREATE TABLE matching.things (id bigserial, n int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _run(database.dsn("notifier"), statement)


async def test_preparing_a_second_time_changes_nothing(database: Database) -> None:
    await _run(database.dsn(), "CREATE TABLE matching.things (n int)")
    await _run(database.dsn(), "INSERT INTO matching.things VALUES (1)")
    await migrate.prepare(database.server, database.name)
    assert 1 == await _run(database.dsn("matcher"), "SELECT count(*) FROM things")


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(database: Database) -> None:
    await _run(database.dsn(), "CREATE TABLE gateway.later (n int)")
    await _run(database.dsn(), "REVOKE ALL ON gateway.later FROM lastmetre_gateway")
    await _run(database.dsn(), "UPDATE alembic_version SET version_num = '9999_later'")
    with pytest.raises(Trouble, match=r"9999_later.*restore a backup"):
        await migrate.prepare(database.server, database.name)
    assert not await _run(database.dsn(), "SELECT has_table_privilege('lastmetre_gateway', 'gateway.later', 'SELECT')"), "nothing is granted anew"


async def test_a_fresh_database_lets_its_roles_in_also_where_another_password_was_set(new_database: Callable[[], Awaitable[Database]]) -> None:
    await _run((await new_database()).dsn(), "ALTER ROLE lastmetre_matcher PASSWORD 'of-another-stack'")
    assert 1 == await _run((await new_database()).dsn("matcher"), "SELECT 1")
