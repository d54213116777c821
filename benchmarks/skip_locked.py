"""The peer that most would write: a queue in PostgreSQL, taken from with `SELECT ... FOR UPDATE SKIP LOCKED`.

Written as a competent engineer would: wishes wait under a partial index; offers are found through a search table with one row a skill and window, nearest
circle first, so that a search ends where the first helper is; statements are prepared with generic plans; the match, its outbox row and both updates are
one statement. Each connection works alone: take a wish, find and lock the best offer, write, commit. Nobody waits for anybody's lock.

It is spared what the matcher does beside: reading Kafka, validating events, slots of one volunteer that must not overlap, a journal, and publishing its outbox.
Two forms are measured: `loop`, five round trips a match from asyncio tasks; and `function`, the same statements inside the server in one round trip.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
import uvloop

from benchmarks.load import Record
from services.matcher.core.place import RUNG_OF, RUNGS

LOOP: Final = "loop"
FUNCTION: Final = "function"
MATCHES: Final = "SELECT wish_id, offer_id, rung, starts_at, ends_at FROM peer.matches"

_SCHEMA: Final = """
    CREATE SCHEMA peer;
    CREATE TABLE peer.wishes (
        id bigint PRIMARY KEY, wish_id text NOT NULL UNIQUE, area text NOT NULL, community text NOT NULL, compound text, building text, unit text,
        skills text[] NOT NULL, vetting smallint NOT NULL, opens timestamptz NOT NULL, closes timestamptz NOT NULL, visit interval NOT NULL,
        resident_ref text NOT NULL, status text NOT NULL DEFAULT 'waiting'
    );
    CREATE INDEX wishes_waiting ON peer.wishes (id) WHERE status = 'waiting';
    CREATE TABLE peer.offers (
        offer_id text PRIMARY KEY, volunteer_ref text NOT NULL, skills text[] NOT NULL, level smallint NOT NULL,
        capacity smallint NOT NULL, live smallint NOT NULL DEFAULT 0 CHECK (live <= capacity)
    ) WITH (fillfactor = 70);
    CREATE TABLE peer.search (
        area text NOT NULL, skill text NOT NULL, community text NOT NULL, compound text, building text, reach smallint NOT NULL, level smallint NOT NULL,
        opens timestamptz NOT NULL, closes timestamptz NOT NULL, offer_id text NOT NULL REFERENCES peer.offers
    );
    CREATE TABLE peer.matches (
        match_id uuid PRIMARY KEY, wish_id text NOT NULL UNIQUE, offer_id text NOT NULL, rung smallint NOT NULL,
        starts_at timestamptz NOT NULL, ends_at timestamptz NOT NULL
    );
    CREATE TABLE peer.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, key text NOT NULL, payload bytea NOT NULL);
"""
_INDEX: Final = "CREATE INDEX search_nearest ON peer.search (area, skill, community, compound, building)"
_TAKE: Final = """
    SELECT id, wish_id, area, community, compound, building, skills, vetting, opens, closes, visit, resident_ref
    FROM peer.wishes WHERE status = 'waiting' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# One branch a circle, nearest first. The next branch is run only where the one before gave nobody.
_BRANCH: Final = """
    SELECT * FROM (SELECT o.offer_id, o.volunteer_ref, {rung} AS rung, greatest(s.opens, {opens}) AS starts_at
    FROM peer.search s JOIN peer.offers o USING (offer_id)
    WHERE s.area = {area} AND s.skill = ({skills})[1] AND {circle} AND s.reach >= {rung} AND s.level >= {vetting}
        AND s.opens <= {closes} - {visit} AND s.closes >= {opens} + {visit} AND o.live < o.capacity AND o.skills @> {skills}
    ORDER BY o.live, o.offer_id LIMIT 1 FOR UPDATE OF o SKIP LOCKED) AS within_{rung}
"""
_CIRCLES: Final = (
    (1, "s.community = {community} AND s.compound = {compound} AND s.building = {building}"),
    (2, "s.community = {community} AND s.compound = {compound} AND s.building <> {building}"),
    (3, "s.community = {community} AND s.compound <> {compound}"),
    (4, "s.community <> {community}"),
)
_NAMES: Final = ("area", "community", "compound", "building", "skills", "vetting", "opens", "closes", "visit")
_TYPES: Final = ("text", "text", "text", "text", "text[]", "smallint", "timestamptz", "timestamptz", "interval")


def _find(values: dict[str, str]) -> str:
    branches = (_BRANCH.format(rung=rung, circle=circle.format(**values), **values) for rung, circle in _CIRCLES)
    return f"SELECT * FROM ({' UNION ALL '.join(branches)}) nearest LIMIT 1"  # noqa: S608 - of our own constants


_FIND: Final = _find({name: f"${number}::{kind}" for number, (name, kind) in enumerate(zip(_NAMES, _TYPES, strict=True), 1)})
_WRITE: Final = """
    WITH matched AS (INSERT INTO peer.matches VALUES ($1, $2, $3, $4, $5, $6)),
        taken AS (UPDATE peer.offers SET live = live + 1 WHERE offer_id = $3),
        done AS (UPDATE peer.wishes SET status = 'matched' WHERE id = $7)
    INSERT INTO peer.outbox (topic, key, payload) VALUES ('matches', $8, $9)
"""
_NOBODY: Final = "UPDATE peer.wishes SET status = 'unmet' WHERE id = $1"
_MATCH_ONE: Final = f"""
    CREATE FUNCTION peer.match_one() RETURNS boolean LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off AS $$
    DECLARE w record; chosen record; m uuid := gen_random_uuid();
    BEGIN
        {_TAKE} INTO w;
        IF NOT FOUND THEN RETURN NULL; END IF;
        {_find({name: f"w.{name}" for name in _NAMES})} INTO chosen;
        IF NOT FOUND THEN UPDATE peer.wishes SET status = 'unmet' WHERE id = w.id; RETURN false; END IF;
        INSERT INTO peer.matches VALUES (m, w.wish_id, chosen.offer_id, chosen.rung, chosen.starts_at, chosen.starts_at + w.visit);
        UPDATE peer.offers SET live = live + 1 WHERE offer_id = chosen.offer_id;
        UPDATE peer.wishes SET status = 'matched' WHERE id = w.id;
        INSERT INTO peer.outbox (topic, key, payload) VALUES ('matches', w.area, convert_to(json_build_object(
            'area', w.area, 'match_id', m, 'wish_id', w.wish_id, 'offer_id', chosen.offer_id,
            'resident_ref', w.resident_ref, 'volunteer_ref', chosen.volunteer_ref, 'rung', chosen.rung,
            'slot', json_build_object('start', chosen.starts_at, 'end', chosen.starts_at + w.visit))::text, 'UTF8'));
        RETURN true;
    END $$
"""  # noqa: S608 - of our own constants


async def prepare(connection: asyncpg.Connection, offers: Iterable[Record], wishes: Iterable[Record]) -> None:
    """The tables with everything in them, analysed; none of this is measured."""
    await connection.execute("DROP SCHEMA IF EXISTS peer CASCADE")
    await connection.execute(_SCHEMA)
    await connection.execute(_MATCH_ONE)
    posted = [one.data for one in offers]
    await connection.copy_records_to_table(
        "offers", schema_name="peer", columns=("offer_id", "volunteer_ref", "skills", "level", "capacity"),
        records=[(one["offer_id"], one["volunteer_ref"], one["skills"], one["vetting"]["level"], one["capacity"]) for one in posted],
    )  # fmt: skip
    await connection.copy_records_to_table("search", schema_name="peer", records=[row for one in posted for row in _search_rows(one)])
    await connection.execute(_INDEX)
    waiting = [(number, *_wish_row(one.data), "waiting") for number, one in enumerate(wishes, 1)]
    await connection.copy_records_to_table("wishes", schema_name="peer", records=waiting)
    for table in ("wishes", "offers", "search", "matches", "outbox"):
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


async def _loop(connection: asyncpg.Connection, commits: list[float], start: asyncio.Event) -> None:
    take, find, write, nobody = [await connection.prepare(text) for text in (_TAKE, _FIND, _WRITE, _NOBODY)]
    await start.wait()
    while True:
        async with connection.transaction():
            wish = await take.fetchrow()
            if wish is None:
                return
            offer = await find.fetchrow(*(wish[name] for name in _NAMES))
            if offer is None:
                await nobody.fetch(wish["id"])
                continue
            match_id, starts_at = uuid4(), offer["starts_at"]
            ends_at = starts_at + wish["visit"]
            payload = {
                "area": wish["area"], "match_id": match_id, "wish_id": wish["wish_id"], "offer_id": offer["offer_id"], "resident_ref": wish["resident_ref"],
                "volunteer_ref": offer["volunteer_ref"], "rung": RUNGS[offer["rung"]], "slot": {"start": starts_at, "end": ends_at},
            }  # fmt: skip
            await write.fetch(match_id, wish["wish_id"], offer["offer_id"], offer["rung"], starts_at, ends_at, wish["id"], wish["area"], orjson.dumps(payload))
        commits.append(time.time())


async def _calls(connection: asyncpg.Connection, commits: list[float], start: asyncio.Event) -> None:
    match_one = await connection.prepare("SELECT peer.match_one()")
    await start.wait()
    while (matched := await match_one.fetchval()) is not None:
        if matched:
            commits.append(time.time())


async def work(dsn: str, form: str, connections: int) -> list[float]:
    """Match until nobody waits; when each match was committed, in seconds since the epoch."""
    commits: list[float] = []
    start = asyncio.Event()
    settings = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "application_name": "bench-skip-locked"}
    opened = [await asyncpg.connect(dsn, server_settings=settings) for _ in range(connections)]
    one = _loop if form == LOOP else _calls
    tasks = [asyncio.create_task(one(connection, commits, start)) for connection in opened]
    await asyncio.sleep(0.2)  # statements are being prepared; whoever is late starts late
    start.set()
    await asyncio.gather(*tasks)
    for connection in opened:
        await connection.close()
    return sorted(commits)


def main() -> None:
    """`python -m benchmarks.skip_locked FORM CONNECTIONS OUT.json`, the connection string in LASTMETRE_DATABASE."""
    form, connections, out = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    out.write_bytes(orjson.dumps(uvloop.run(work(os.environ["LASTMETRE_DATABASE"], form, connections))))


if __name__ == "__main__":
    main()
