"""Make a database ready for the services: the database itself, their roles, schemas and grants, then alembic's migrations.

Run by the owner before any service starts. A service's role sees its own schema and no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from deploy.words import Trouble

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A service in the database: its login role and the schema that it alone uses."""

    service: str
    role: str
    schema: str
    add_only: tuple[str, ...] = ()
    """Tables of the schema whose rows the role may neither change nor delete."""
    reads_only: bool = False
    """Whether it may read the schema's tables, and no more."""
    taken: tuple[tuple[str, str], ...] = ()
    """What it must not have, of all that a schema's roles are granted: (rights, object), such as ("ALL", "TABLE gateway.accounts")."""


_IDENTITY_TABLES: Final = ("accounts", "identities", "sessions", "pending_sign_ins", "api_keys", "audit", "audit_head")
_AUDIT_FUNCTIONS: Final = ("audit_last", "audit_add")
# What answers for whoever has signed in, or has opened a link; the board's writer is nobody.
_REQUEST_FUNCTIONS: Final = ("my_books", "linked", "mark_read", "was_near", "leave_receipt")
_REQUEST_VIEWS: Final = ("inbox", "corrected")

TENANTS: Final = (
    Tenant("matcher", "lastmetre_matcher", "matching"),
    Tenant("notifier", "lastmetre_notifier", "notifying"),
    # No service of its own: a library for whoever is given this role and the key file.
    Tenant("vault", "lastmetre_vault", "vault", add_only=("audit",)),
    # Two roles on one schema: requests see rows by row-level security, the board's writer writes them all (migration 0014 narrows both).
    Tenant(
        "gateway",
        "lastmetre_gateway",
        "gateway",
        taken=(
            ("INSERT, UPDATE, DELETE", "TABLE gateway.audit"),
            ("ALL", "TABLE gateway.audit_head"),
            ("INSERT, DELETE", "TABLE gateway.accounts"),
            ("INSERT, UPDATE, DELETE", "TABLE gateway.identities"),
            ("ALL", "FUNCTION gateway.webhooks_entitled"),
        ),
    ),
    Tenant(
        "board",
        "lastmetre_board",
        "gateway",
        taken=(
            *(("ALL", f"TABLE gateway.{table}") for table in (*_IDENTITY_TABLES, *_REQUEST_VIEWS)),
            *(("ALL", f"FUNCTION gateway.{function}") for function in (*_AUDIT_FUNCTIONS, *_REQUEST_FUNCTIONS)),
            ("ALL", "FUNCTION gateway.lie_outside"),
        ),
    ),
    # Tells why: reads what the matcher has decided, and can change nothing (docs/decisions/0027).
    Tenant("explainer", "lastmetre_explainer", "matching", reads_only=True),
)

# Schemas of libraries: no role of their own, used by the roles of these services.
SHARED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (("links", ("notifier", "gateway")),)


class Server(Protocol):
    """What is needed of a PostgreSQL: ours (`deploy.postgres.Postgres`) or someone's own."""

    def owner_dsn(self, database: str) -> str:
        """The owner's connection string for one of the server's databases."""

    def password(self, role: str) -> str:
        """The password that a service's role has, or is to have."""

    @property
    def maintenance(self) -> str:
        """A database that exists for sure, from which another can be created."""


async def _execute(connection: asyncpg.Connection, template: str, *values: str) -> None:
    """Run a statement that takes no parameters, with identifiers (%I) and literals (%L) quoted by the server."""
    statement = await connection.fetchval(f"SELECT format($1, {', '.join(f'${n}::text' for n in range(2, len(values) + 2))})", template, *values)
    await connection.execute(statement)


async def _make_database(server: Server, database: str, template: str | None) -> None:
    connection = await asyncpg.connect(server.owner_dsn(server.maintenance))
    try:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
            return
        if template is None:
            await _execute(connection, "CREATE DATABASE %I", database)
        else:
            await _execute(connection, "CREATE DATABASE %I TEMPLATE %I", database, template)
    finally:
        await connection.close()


async def _refuse_newer(server: Server, database: str) -> None:
    """See before anything is touched that no newer version was here: what its migrations made, and took from whom, is not known to this one.

    Raises:
        Trouble: one was.
    """
    connection = await asyncpg.connect(server.owner_dsn(database))
    try:
        prepared = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        noted = {row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")} if prepared else set()
    finally:
        await connection.close()
    unknown = ", ".join(sorted(noted - {path.stem for path in MIGRATIONS.joinpath("versions").glob("*.py")}))
    if unknown:
        raise Trouble(
            f"这个数据库已由更新的版本升级过（{unknown}），本版本不认识，因此没有作任何改动。请改用那个版本；要退回本版本，请恢复升级前的数据库备份。",
            f"A newer version has migrated this database ({unknown}), which this one does not know: nothing was changed. Start that version, or, "
            "to go back to this one, restore a backup of the database from before the upgrade.",
        )


async def _let_in(server: Server, database: str, *, named: bool) -> None:
    """The roles with their passwords, which are the server's, and what a copy of a database lacks: rights on itself, and where each role begins to look."""
    connection = await asyncpg.connect(server.owner_dsn(database))
    try:
        await _execute(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
        for tenant in TENANTS:
            if not named:
                known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", tenant.role)
                verb = "ALTER" if known else "CREATE"
                await _execute(connection, f"{verb} ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L", tenant.role, server.password(tenant.role))
            await _execute(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, tenant.role)
            await _execute(connection, "ALTER ROLE %I IN DATABASE %I SET search_path = %I", tenant.role, database, tenant.schema)
    finally:
        await connection.close()


async def _grant(server: Server, database: str) -> None:
    """The schemas, and what each role may do there; a copy has it with its tables."""
    connection = await asyncpg.connect(server.owner_dsn(database))
    try:
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for tenant in TENANTS:
            await _open(connection, tenant.schema, tenant.role, reads_only=tenant.reads_only)
        for schema, services in SHARED:
            for tenant in TENANTS:
                if tenant.service in services:
                    await _open(connection, schema, tenant.role)
    finally:
        await connection.close()


_USE: Final = (("SELECT, INSERT, UPDATE, DELETE", "TABLES"), ("USAGE, SELECT", "SEQUENCES"), ("EXECUTE", "FUNCTIONS"))
_READ: Final = (("SELECT", "TABLES"),)


async def _open(connection: asyncpg.Connection, schema: str, role: str, *, reads_only: bool = False) -> None:
    """Make a schema, and let a role use (or read) what is in it and what will be."""
    await _execute(connection, "CREATE SCHEMA IF NOT EXISTS %I", schema)
    await _execute(connection, "REVOKE ALL ON SCHEMA %I FROM PUBLIC", schema)
    await _execute(connection, "GRANT USAGE ON SCHEMA %I TO %I", schema, role)
    for rights, kind in _READ if reads_only else _USE:
        await _execute(connection, f"GRANT {rights} ON ALL {kind} IN SCHEMA %I TO %I", schema, role)
        await _execute(connection, f"ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT {rights} ON {kind} TO %I", schema, role)


async def _narrow(server: Server, database: str) -> None:
    """Take back what a role has on every table of its schema and must not have on some."""
    connection = await asyncpg.connect(server.owner_dsn(database))
    try:
        for tenant in TENANTS:
            for table in tenant.add_only:
                await _execute(connection, "REVOKE UPDATE, DELETE ON %I.%I FROM %I", tenant.schema, table, tenant.role)
            for rights, thing in tenant.taken:
                await _execute(connection, f"REVOKE {rights} ON {thing} FROM %I", tenant.role)
    finally:
        await connection.close()


# alembic and SQLAlchemy are imported where they are used: they took half of the start of every command, and most migrate nothing.
def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _migrate(server: Server, database: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # By asyncpg itself: SQLAlchemy would not understand what a connection string may say beside the place, such as sslmode.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(server.owner_dsn(database)), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def prepare(server: Server, database: str, *, template: str | None = None, named: bool = False) -> None:
    """Make `database` ready; a second time changes nothing. With `template`, a new database is a copy of that one, which was prepared before.

    `named`: the server's roles are known to have their passwords; to set them takes as long as all else that a copy needs.

    Raises:
        Trouble: a newer version has migrated it.
    """
    await _make_database(server, database, template)
    if template is None:
        await _refuse_newer(server, database)
    await _let_in(server, database, named=named)
    if template is None:
        await _grant(server, database)
        await _migrate(server, database)
        await _narrow(server, database)


async def drop(server: Server, database: str) -> None:
    """Drop a database, ending its sessions."""
    connection = await asyncpg.connect(server.owner_dsn(server.maintenance))
    try:
        await _execute(connection, "DROP DATABASE IF EXISTS %I WITH (FORCE)", database)
    finally:
        await connection.close()
