"""The peer that most would write: a queue in PostgreSQL, taken from with `SELECT ... FOR UPDATE SKIP LOCKED`.

Written as a competent engineer would: wishes wait under a partial index; offers are found through a search table with one row a skill and window, nearest
circle first, so that a search ends where the first helper with room is; statements are prepared with generic plans; the match, its outbox row and all
updates are one statement. Each connection works alone: take a wish, find the best offer, lock it and its volunteer, write, commit. Nobody waits for anybody's
lock, save where nobody else is left.

It keeps the rules of the matching itself, one volunteer's slots that must not overlap included. It is spared what the matcher does beside: reading Kafka,
validating events, a journal, and publishing its outbox. Two forms are measured: `loop`, five round trips a match from asyncio tasks; and `function`, the
same statements inside the server in one round trip. Both are also measured as they are easier to write: without keeping slots apart.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
import uvloop

from benchmarks import skip_locked_sql as sql
from benchmarks.load import Record
from services.matcher.core.place import RUNG_OF, RUNGS

SETTINGS: Final = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "application_name": "bench-skip-locked"}
"""Of each connection: planned once, and never by reading a whole table into a hash."""


class Form(StrEnum):
    """How it is written."""

    LOOP = "loop"
    FUNCTION = "function"
    LOOP_SPARED = "loop, slots not kept apart"
    FUNCTION_SPARED = "function, slots not kept apart"

    @property
    def apart(self) -> bool:
        """Whether a volunteer is never in two places at once."""
        return self in {Form.LOOP, Form.FUNCTION}

    @property
    def in_server(self) -> bool:
        """Whether all of it is one call."""
        return self in {Form.FUNCTION, Form.FUNCTION_SPARED}


async def prepare(connection: asyncpg.Connection, form: Form, offers: Iterable[Record], wishes: Iterable[Record]) -> None:
    """The tables with everything in them, analysed; none of this is measured."""
    await connection.execute("DROP SCHEMA IF EXISTS peer CASCADE")
    await connection.execute(sql.SCHEMA + sql.BUSY if form.apart else sql.SCHEMA)
    await connection.execute(sql.match_one(apart=form.apart))
    posted = [one.data for one in offers]
    await connection.copy_records_to_table(
        "offers", schema_name="peer", columns=("offer_id", "volunteer_ref", "skills", "level", "capacity"),
        records=[(one["offer_id"], one["volunteer_ref"], one["skills"], one["vetting"]["level"], one["capacity"]) for one in posted],
    )  # fmt: skip
    await connection.copy_records_to_table("search", schema_name="peer", records=[row for one in posted for row in _search_rows(one)])
    await connection.execute(sql.INDEX)
    waiting = [(number, *_wish_row(one.data), "waiting") for number, one in enumerate(wishes, 1)]
    await connection.copy_records_to_table("wishes", schema_name="peer", records=waiting)
    for table in sql.TABLES:
        await connection.execute(f"VACUUM ANALYZE peer.{table}")


def _search_rows(offer: dict[str, Any]) -> list[tuple[Any, ...]]:
    home, reach, level = offer["home"], RUNG_OF[offer["reach"]], offer["vetting"]["level"]
    place = (home["community"], home.get("compound"), home.get("building"))
    return [
        (offer["area"], skill, *place, reach, level, _instant(window["start"]), _instant(window["end"]), offer["offer_id"])
        for skill in offer["skills"]
        for window in offer["windows"]
    ]


def _wish_row(wish: dict[str, Any]) -> tuple[Any, ...]:
    place = wish["place"]
    vetting = max(wish.get("vetting_min", 0), 2 if wish["beneficiary"].get("lives_alone") else 0)
    return (
        wish["wish_id"], wish["area"], place["community"], place.get("compound"), place.get("building"), place.get("unit"), wish["skills"], vetting,
        _instant(wish["window"]["start"]), _instant(wish["window"]["end"]), timedelta(minutes=wish["minutes"]), wish["resident_ref"],
    )  # fmt: skip


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


# --- the workers, in a process of their own


class _Raced(Exception):
    """Somebody else was faster; the wish waits again."""


# What a transaction that lost a race ends with; it is begun anew. The last one: two that waited for each other, as nobody else was left.
_LOST = (_Raced, asyncpg.ExclusionViolationError, asyncpg.CheckViolationError, asyncpg.DeadlockDetectedError)


class Workers:
    """Everybody who works at once, and what came of it: `commits`, in seconds since the epoch, and how many transactions were begun anew."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._start = asyncio.Event()
        self.commits: list[float] = []
        self.retries = 0

    async def work(self, dsn: str, connections: int) -> None:
        """Match until nobody waits."""
        opened = [await asyncpg.connect(dsn, server_settings=SETTINGS) for _ in range(connections)]
        one = self._calls if self._form.in_server else self._loop
        tasks = [asyncio.create_task(one(connection)) for connection in opened]
        await asyncio.sleep(0.2)  # statements are being prepared; whoever is late starts late
        self._start.set()
        await asyncio.gather(*tasks)
        for connection in opened:
            await connection.close()

    async def _loop(self, connection: asyncpg.Connection) -> None:
        apart = self._form.apart
        texts = (sql.TAKE, sql.find(apart=apart), sql.find(apart=apart, wait=True), sql.write(apart=apart), sql.NOBODY)
        take, find, wait, write, nobody = [await connection.prepare(text) for text in texts]
        await self._start.wait()
        while True:
            try:
                async with connection.transaction():
                    wish = await take.fetchrow()
                    if wish is None:
                        return
                    asked = [wish[name] for name in sql.ASKED]
                    offer = await find.fetchrow(*asked)
                    if offer is None and apart:
                        offer = await wait.fetchrow(*asked)
                    if offer is None:
                        await nobody.fetch(wish["id"])
                        continue
                    row = _match(wish, offer)
                    if apart and await write.fetchval(*row, offer["volunteer_ref"]) is None:
                        raise _Raced
                    if not apart:
                        await write.fetch(*row)
            except _LOST:
                self.retries += 1
                continue
            self.commits.append(time.time())

    async def _calls(self, connection: asyncpg.Connection) -> None:
        match_one = await connection.prepare("SELECT peer.match_one()")
        await self._start.wait()
        while True:
            try:
                matched = await match_one.fetchval()
            except _LOST:
                self.retries += 1
                continue
            if matched is None:
                return
            if matched:
                self.commits.append(time.time())


def _match(wish: asyncpg.Record, offer: asyncpg.Record) -> tuple[Any, ...]:
    """What is written of a match, in the order of the statement's parameters."""
    match_id, starts_at = uuid4(), offer["starts_at"]
    ends_at = starts_at + wish["visit"]
    payload = {
        "area": wish["area"], "match_id": match_id, "wish_id": wish["wish_id"], "offer_id": offer["offer_id"], "resident_ref": wish["resident_ref"],
        "volunteer_ref": offer["volunteer_ref"], "rung": RUNGS[offer["rung"]], "slot": {"start": starts_at, "end": ends_at},
    }  # fmt: skip
    return match_id, wish["wish_id"], offer["offer_id"], offer["rung"], starts_at, ends_at, wish["id"], wish["area"], orjson.dumps(payload)


def main() -> None:
    """`python -m benchmarks.skip_locked FORM CONNECTIONS OUT.json`, the connection string in LASTMETRE_DATABASE."""
    form, connections, out = Form(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    workers = Workers(form)
    uvloop.run(workers.work(os.environ["LASTMETRE_DATABASE"], connections))
    out.write_bytes(orjson.dumps({"commits": sorted(workers.commits), "retries": workers.retries}))


if __name__ == "__main__":
    main()
