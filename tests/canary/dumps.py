"""All that PostgreSQL gives of a database: every table of our schemas as COPY writes it, and `pg_dump` as text and compressed."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
from pathlib import Path

import asyncpg

from deploy.postgres import Postgres, binaries

_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('vault', 'notifying', 'matching')"


async def dump(server: Postgres, folder: Path, name: str) -> None:
    """Bring everything to the disk, then write dumps into the folder, their names beginning with `name`."""
    owner = await asyncpg.connect(server.owner_dsn())
    await owner.execute("CHECKPOINT")
    for schema, table in await owner.fetch(_TABLES):
        out = io.BytesIO()
        await owner.copy_from_query(f"SELECT * FROM {schema}.{table}", output=out)
        (folder / f"{name}-{schema}-{table}.copy").write_bytes(out.getvalue())
    await owner.close()
    tool = binaries() / "pg_dump"
    if tool.exists():
        for form in ("plain", "custom"):
            argv = [str(tool), f"--format={form}", f"--file={folder / name}.{form}", "--compress=0" if form == "plain" else "--compress=gzip:6"]
            env = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
            await asyncio.to_thread(subprocess.run, [*argv, f"--dbname={server.owner_dsn()}"], check=True, env=env, capture_output=True)


async def talkative(server: Postgres, *roles: str) -> None:
    """Make PostgreSQL's log as loose as a role can make it: nothing may depend on its being quiet."""
    connection = await asyncpg.connect(server.owner_dsn())
    for role in roles:
        for setting in (
            "log_statement = 'all'",
            "log_min_error_statement = 'debug5'",
            "log_parameter_max_length_on_error = -1",
            "log_error_verbosity = 'verbose'",
        ):
            await connection.execute(f"ALTER ROLE {role} SET {setting}")
    await connection.close()
