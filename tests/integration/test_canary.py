"""Every byte that PostgreSQL, logs and dumps leave on the disk, searched for people who were put into the vault; and the search itself on plain rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil

from deploy.postgres import Postgres
from deploy.stack import Stack
from tests.canary.scan import Scanner
from tests.canary.scene import Scene
from tests.canary.town import Town, plant

PHONE = "19900307123"
NAME = "测猗窈湉瑾珩翀"


async def test_nobody_who_was_put_in_is_anywhere_on_the_disk_and_who_was_erased_is_in_no_backup(tmp_path: Path) -> None:
    verdict = await Scene(tmp_path, seed=20261125, short=True).run()
    assert [] == verdict.hits
    assert verdict.files > 1000
    assert verdict.is_clean, verdict.opened


async def test_the_whole_town_leaves_nobody_in_plain_and_only_what_is_planted_on_its_kafka_is_found(tmp_path: Path) -> None:
    town = Town(tmp_path / "town", seed=20261125, short=True)
    phone, name, door = (town.people["kept"][kind] for kind in ("phone", "name", "door"))

    holders: set[str] = set()

    async def planted(stack: Stack) -> None:
        holders.update(one.name for one in stack.services if any("LASTMETRE_VAULT" in name for name in psutil.Process(one.pid).environ()))
        await plant(stack, phone, None)
        await plant(stack, name, "gzip")
        await plant(stack, door, "gzip", as_header=True)

    verdict = await town.run(planted)
    assert {"kept's phone", "kept's name", "kept's door"} == {hit.canary for hit in verdict.hits}
    assert {"wishes-dlq"} == {Path(hit.file.partition(" ")[0]).parent.name.rpartition("-")[0] for hit in verdict.hits}
    assert replace(verdict, hits=[]).is_clean, verdict
    assert {"notifier"} == holders


async def test_a_plain_row_would_be_found_in_the_data_folder(own_postgres: Postgres) -> None:
    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.owner_dsn("postgres"))
    await connection.execute("CREATE TABLE leak (name text, phone bytea)")
    await connection.execute("INSERT INTO leak VALUES ($1, $2)", NAME, PHONE.encode())
    await connection.execute("CHECKPOINT")
    await connection.execute("DELETE FROM leak")  # deleted is not gone
    table = own_postgres.folder / "data" / await connection.fetchval("SELECT pg_relation_filepath('leak')")
    await connection.close()
    hits, _, _ = Scanner({"name": NAME, "phone": PHONE}).tree([table, own_postgres.folder / "data" / "pg_wal"])
    places = {("WAL" if "pg_wal" in hit.file else "table", hit.canary) for hit in hits}
    assert {(place, canary) for place in ("WAL", "table") for canary in ("name", "phone")} == places


async def test_a_statement_with_a_name_in_it_would_be_found_in_the_log(own_postgres: Postgres) -> None:
    await own_postgres.start()
    connection = await asyncpg.connect(own_postgres.owner_dsn("postgres"))
    await connection.execute("SET log_statement = 'all'")
    await connection.execute(f"SELECT '{NAME}'")
    await connection.close()
    hits, _, _ = Scanner({"name": NAME}).tree([own_postgres.log])
    assert ["name"] == [hit.canary for hit in hits]
