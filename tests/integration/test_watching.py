"""Visits that somebody watches, on a real PostgreSQL and, where the way there counts, a real Kafka."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson
import pytest

from deploy.kafka import Kafka
from schemas.codec import headers_of
from schemas.instants import DAY_US, MINUTE_US, rfc3339
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from services.links.keys import LinkKeys
from services.links.store import Ready, Redeemed, Superseded, look, redeem
from services.notifier.metrics import Metrics
from services.notifier.neighbours import Neighbours
from services.notifier.settings import Settings
from services.notifier.watching import Watching
from tests.conftest import Database
from tests.integration.notifier_rig import Matcher, Sink, ask, matcher, receiver, running, settings_of, until

AREA = "hightech"
LANE = partition_of(AREA)
SECRET_KEY = base64.b64encode(bytes(range(7, 39))).decode()
KEYS = LinkKeys.parse(f"a:{SECRET_KEY}")
PUBLIC_URL = "https://lm.example.org"
CODE = re.compile(rf"{PUBLIC_URL}/a#([a-z2-7]{{26}})$")
# A fixed day: these tests look at the moments that they name.
START = 1_800_000_000_000_000
END = START + 60 * MINUTE_US
SAID = "SELECT party, kind, state FROM notifying.notices WHERE kind <> 'confirmed' ORDER BY party, kind"


class Desk:
    """Visits written as the services do, looked at when a test says so."""

    def __init__(self, dsn: str, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.settings = settings_of("127.0.0.1:1", dsn, "console")
        self.told = 0
        self.watching = Watching(self.settings, pool, Metrics(), self._tell)
        self.neighbours = Neighbours(self.settings, pool, Metrics())

    def _tell(self) -> None:
        self.told += 1

    async def confirmed(self, match_id: str, urgency: str = "yellow", state: str = "confirmed") -> None:
        await self.pool.execute(
            """INSERT INTO notifying.confirmations (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, category, rung, slot_start,
            slot_end, state, urgency, released_for) VALUES ($1, 'w-' || $1, 'o-' || $1, $2, $3, 'r-' || $1, 'v-' || $1, 'repair', 'building', $4, $5, $6, $7,
            CASE $6 WHEN 'released' THEN 'declined' END)""",
            match_id, AREA, LANE, rfc3339(START), rfc3339(END), state, urgency,
        )  # fmt: skip
        await self.pool.execute(
            """INSERT INTO notifying.visits (match_id, wish_id, offer_id, area, partition, volunteer_ref, starts_at_us, ends_at_us, number)
            SELECT match_id, wish_id, offer_id, area, partition, volunteer_ref, $2, $3, 0 FROM notifying.confirmations WHERE match_id = $1""",
            match_id, START, END,
        )  # fmt: skip

    async def report(self, match_id: str, kind: str, at: int = 1) -> None:
        await self.pool.execute(
            "INSERT INTO notifying.reports (source, event_id, area, wish_id, offer_id, kind, at_us) "
            "VALUES ('app', $1 || $2, $3, 'w-' || $1, 'o-' || $1, $2, $4)",
            match_id, kind, AREA, at,
        )  # fmt: skip

    async def at(self, minute: int) -> list[tuple[str, str]]:
        """Look so many minutes after the start; what was said by then, and by whom it is read."""
        while await self.watching.look(START + minute * MINUTE_US):
            pass
        return [(row["party"], row["kind"]) for row in await self.pool.fetch("SELECT party, kind FROM notifying.notices ORDER BY kind, party")]

    async def taken(self, kind: str, data: dict[str, Any], at: int = START) -> None:
        whole = f"lastmetre.{kind}.v1"
        record = SimpleNamespace(
            key=None,
            topic=TOPIC_OF[whole],
            value=orjson.dumps({"area": AREA, **data}),
            headers=headers_of(whole, f"{kind}-{at}", "test", rfc3339(at), "s", AREA),
        )
        await self.neighbours.take_in(await self.neighbours.read([record]))

    async def household(
        self, offer_id: str = "o-9", volunteer: str = "v-9", unit: str = "u1", organisation: str | None = "三栋一单元中心户", at: int = START
    ) -> None:
        data = {
            "offer_id": offer_id, "volunteer_ref": volunteer, "home": {"community": "c", "compound": "k", "building": "b", "unit": unit}, "reach": "unit",
            "skills": ["company"], "vetting": {"level": 3, "checked_at": rfc3339(START)}, "windows": [{"start": rfc3339(START), "end": rfc3339(END)}],
            "capacity": 1, "accepts": "auto",
        }  # fmt: skip
        await self.taken("offer.posted", data | ({"organisation": organisation} if organisation else {}), at)

    async def wish(self, match_id: str, unit: str | None = "u1") -> None:
        place = {"community": "c", "compound": "k", "building": "b"} | ({"unit": unit} if unit else {})
        data = {
            "wish_id": f"w-{match_id}", "place": place, "category": "repair", "skills": ["company"], "urgency": "yellow",
            "window": {"start": rfc3339(START), "end": rfc3339(END)}, "minutes": 60, "beneficiary": {"age_band": "adult"}, "title": "换灯泡",
            "resident_ref": f"r-{match_id}",
        }  # fmt: skip
        await self.taken("wish.submitted", data)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with asyncpg.create_pool(database.dsn("notifier"), min_size=1, max_size=4) as pool:
        yield Desk(database.dsn("notifier"), pool)


async def test_both_sides_are_reminded_once_however_often_somebody_looks(desk: Desk) -> None:
    await desk.confirmed("m-1")
    assert [] == await desk.at(-200)
    reminded = [("resident", "reminder"), ("volunteer", "reminder")]
    assert [reminded] * 4 == [await desk.at(minute) for minute in (-120, -119, -30, -1)]
    assert 2 >= desk.told


async def test_what_has_served_is_forgotten(desk: Desk) -> None:
    await desk.pool.execute("INSERT INTO notifying.told SELECT 'r-1', current_date - days, 1 FROM unnest(ARRAY[0, 1, 20, 40, 400]) days")
    await desk.watching._clean()
    assert [0, 1, 20] == [row[0] for row in await desk.pool.fetch("SELECT current_date - day FROM notifying.told ORDER BY day DESC")]


async def test_two_processes_that_look_at_once_say_everything_once(desk: Desk) -> None:
    for number in range(20):
        await desk.confirmed(f"m-{number}")
    await desk.at(-200)
    other = Watching(desk.settings, desk.pool, Metrics(), lambda: None)
    for minute in (-120, 16):
        await desk.watching.look(START + minute * MINUTE_US)
        await other.look(START + minute * MINUTE_US)
    found = await desk.pool.fetch("SELECT kind, party, count(*) AS count FROM notifying.notices GROUP BY 1, 2 ORDER BY 1, 2")
    assert [("not_started", "worker", 20), ("reminder", "resident", 20), ("reminder", "volunteer", 20)] == [tuple(row) for row in found]


async def test_silence_calls_the_centre_household_of_the_stairway_and_then_the_worker(desk: Desk) -> None:
    await desk.household()
    await desk.household("o-8", "v-8", unit="u2")
    await desk.household("o-7", "v-7", organisation="第一党支部")
    await desk.wish("m-1")
    await desk.confirmed("m-1")
    await desk.at(-10)
    assert [("household", "not_started")] == await desk.at(15)
    said = orjson.loads(await desk.pool.fetchval("SELECT about FROM notifying.notices"))
    assert ["repair", "unit", [rfc3339(START), rfc3339(END)]] == said, "of their own stairway, so that it can be said again in their language"
    assert [("household", "not_started"), ("worker", "not_started")] == await desk.at(30)
    refs = await desk.pool.fetch("SELECT ref FROM notifying.notices ORDER BY ref")
    assert ["desk-hightech", "v-9"] == [row["ref"] for row in refs]


@pytest.mark.parametrize("case", ["withdrawn", "posted again without", "no stairway", "the helper"])
async def test_without_a_centre_household_the_worker_is_called_at_once(desk: Desk, case: str) -> None:
    await desk.household(volunteer="v-m-1" if case == "the helper" else "v-9")
    if case == "withdrawn":
        await desk.taken("offer.withdrawn", {"offer_id": "o-9"}, START + 1)
        await desk.household(at=START - 1)  # an older word that comes late
    elif case == "posted again without":
        await desk.household(organisation=None, at=START + 1)
    await desk.wish("m-1", unit=None if case == "no stairway" else "u1")
    await desk.confirmed("m-1")
    await desk.at(-10)
    assert [("worker", "not_started")] == await desk.at(15)


async def test_a_visit_that_goes_well_alarms_nobody(desk: Desk) -> None:
    await desk.confirmed("m-1")
    await desk.at(-10)
    await desk.report("m-1", "started")
    assert [] == await desk.at(40)
    await desk.report("m-1", "finished")
    assert [("resident", "feedback")] == await desk.at(100)


@pytest.mark.parametrize(("said", "called"), [(-1, True), (0, False)])
async def test_who_said_something_before_both_were_told_and_does_not_come_is_looked_for(desk: Desk, said: int, called: bool) -> None:
    await desk.confirmed("m-1")
    told_at = START - 2 * DAY_US
    await desk.pool.execute("UPDATE notifying.visits SET told_at_us = $1, due_at_us = $2", told_at, END + DAY_US)
    await desk.report("m-1", "finished", told_at + said)
    await desk.at(-300)
    assert called is (("worker", "not_started") in await desk.at(40))
    found = await desk.pool.fetch("SELECT kind FROM notifying.attention_at($1)", START + 40 * MINUTE_US)
    assert ["not_started"] * called == [row["kind"] for row in found]


async def test_what_waits_to_be_said_of_a_closed_visit_is_not_said(desk: Desk) -> None:
    await desk.confirmed("m-1")
    await desk.at(-10)
    await desk.at(16)
    await desk.pool.execute("UPDATE notifying.visits SET number = 1, outcome = 'done', minutes = 0, closed_by = 'default', closed_at_us = 1")
    await desk.at(17)
    assert ["discarded"] == [row["state"] for row in await desk.pool.fetch("SELECT state FROM notifying.notices")]
    assert [None] == [row["watch_at_us"] for row in await desk.pool.fetch("SELECT watch_at_us FROM notifying.visits")]


async def test_nothing_is_said_of_a_match_that_was_released(desk: Desk) -> None:
    await desk.confirmed("m-1", state="released")
    assert [[]] * 3 == [await desk.at(minute) for minute in (-200, -10, 20)]


async def test_a_visit_that_can_not_be_looked_at_holds_up_no_other(desk: Desk) -> None:
    for match_id in ("m-1", "m-2", "m-3"):
        await desk.confirmed(match_id)
    await desk.at(-200)
    await desk.pool.execute("UPDATE notifying.confirmations SET slot_start = 'nonsense' WHERE match_id = 'm-2'")
    assert [("resident", "reminder")] * 2 + [("volunteer", "reminder")] * 2 == await desk.at(-120)
    later = await desk.pool.fetchval("SELECT watch_at_us FROM notifying.visits WHERE match_id = 'm-2'")
    assert START - 60 * MINUTE_US == later


# --- all the way to people


class Town(Matcher):
    """A matcher whose slots begin soon by the clock on the wall."""

    async def propose_in(self, match_id: str, minutes: float, **more: Any) -> None:
        start = time.time_ns() // 1000 + round(minutes * MINUTE_US)
        await self.propose(match_id, slot={"start": rfc3339(start), "end": rfc3339(start + 60 * MINUTE_US)}, **more)


@pytest.fixture
async def town(fresh_topics: Kafka) -> AsyncIterator[Town]:
    async with matcher(fresh_topics.bootstrap) as found:
        yield Town(found.producer, LANE, AREA)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with receiver() as found:
        yield found


def linked(fresh_topics: Kafka, database: Database, sink: Sink, **more: Any) -> Settings:
    keys = {"public_url": PUBLIC_URL, "link_keys": f"a:{SECRET_KEY}"}
    return settings_of(fresh_topics.bootstrap, database.dsn("notifier"), sink.url, **keys, **more)


def code_to(sink: Sink, party: str, kind: str) -> str:
    """The code in the notice that came to a side."""
    (text,) = {body["text"] for run in sink.bodies.values() for body in map(orjson.loads, run) if (body["to"], body["kind"]) == (party, kind)}
    found = CODE.search(text)
    assert found is not None, text
    return found[1]


async def test_asked_reminded_and_confirmed_people_get_links_that_work_and_nothing_at_rest_holds_one(
    fresh_topics: Kafka, town: Town, sink: Sink, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    sink.judge = lambda _body, nth: 500 if nth == 1 else 200
    now = time.time_ns() // 1000
    async with running(linked(fresh_topics, database, sink, not_started_minutes=0)):
        await town.propose_in("m-1", 45, needs_answer=True, expires_at=rfc3339(now + 30 * MINUTE_US))
        await town.propose_in("m-2", 35)
        await _time_passes(database, 10, "m-2")
        await until(lambda: {("volunteer", "asked", "m-1"), ("resident", "reminder", "m-2"), ("volunteer", "reminder", "m-2")} <= set(sink.told))
        codes = {
            place: code_to(sink, *place) for place in [("volunteer", "asked"), *((p, k) for p in ("resident", "volunteer") for k in ("confirmed", "reminder"))]
        }
        assert {1} == {len(run) for run in sink.bodies.values()}, "a retry says the same, byte for byte"
        async with asyncpg.create_pool(database.dsn("notifier"), min_size=1, max_size=2) as pool:
            seen = {place: await look(pool, KEYS, code, now) for place, code in codes.items()}
            purposes = {place: one.claims.purpose for place, one in seen.items() if isinstance(one, Ready)}
            async with pool.acquire() as connection:
                assert isinstance(await redeem(connection, KEYS, codes["volunteer", "asked"], "accept", now), Redeemed)
            await town.release("m-2", "unsafe")
            await until(lambda: ("volunteer", "released", "m-2") in sink.told)
            assert isinstance(await look(pool, KEYS, codes["volunteer", "reminder"], now), Superseded)
    assert {
        ("volunteer", "asked"): "answer",
        ("volunteer", "confirmed"): "cancel",
        ("resident", "confirmed"): "follow",
        ("volunteer", "reminder"): "start",
        ("resident", "reminder"): "follow",
    } == purposes
    rows = await ask(
        database.dsn(),
        "SELECT n::text FROM notifying.notices n UNION ALL SELECT l::text FROM links.links l UNION ALL SELECT o::text FROM notifying.outbox o",
    )
    written = "".join(row[0] for row in rows) + "".join(capfd.readouterr())
    assert [] == [code for code in codes.values() if code in written]


async def test_after_a_release_nobody_is_reminded_and_a_late_calling_off_is_noted(fresh_topics: Kafka, town: Town, sink: Sink, database: Database) -> None:
    now = time.time_ns() // 1000
    async with running(linked(fresh_topics, database, sink, remind_yellow_minutes=60, remind_red_minutes=0)):
        for match_id, minutes in (("m-1", 65.0), ("m-2", 65.0), ("m-3", 600.0)):
            await town.propose_in(match_id, minutes)
        await until(lambda: 6 == len([1 for one in sink.told if one[1] == "confirmed"]))
        await until(lambda: _counted(database, "SELECT count(*) FROM notifying.visits WHERE watched_us IS NOT NULL", 3))
        for match_id in ("m-2", "m-3"):
            data = {"match_id": match_id, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", "reason": "declined"}
            await town.send("match.released", data, time_text=rfc3339(now))
        await until(lambda: {("resident", "released", "m-2"), ("resident", "released", "m-3")} <= set(sink.told))
        await _time_passes(database, 10, "m-1", "m-2")
        await until(lambda: {("volunteer", "reminder", "m-1"), ("resident", "reminder", "m-1")} <= set(sink.told))
        assert {("volunteer", "m-1"), ("resident", "m-1")} >= {(one[0], one[2]) for one in sink.told if one[1] == "reminder"}
    assert [("m-1", None), ("m-2", True), ("m-3", False)] == await ask(
        database.dsn(), "SELECT match_id, called_off_late FROM notifying.confirmations ORDER BY match_id"
    )


async def test_who_reported_while_nobody_read_is_not_looked_for(fresh_topics: Kafka, town: Town, sink: Sink, database: Database) -> None:
    """An alarm sends a household and a worker to a door; what was said meanwhile lies on Kafka, and is read before anybody is looked for."""
    settings = linked(fresh_topics, database, sink)
    async with running(settings):
        for match_id in ("m-1", "m-2", "m-3"):
            await town.propose_in(match_id, 35)
        await until(lambda: _counted(database, "SELECT count(*) FROM notifying.visits WHERE watched_us IS NOT NULL", 3))
    for number, match_id in enumerate(("m-1", "m-2")):
        data = {"area": AREA, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}"}
        headers = headers_of("lastmetre.service.started.v1", f"s-{number}", "app", rfc3339(time.time_ns() // 1000), "s", AREA)
        await town.producer.send_and_wait("responses", orjson.dumps(data), key=AREA.encode(), partition=LANE, headers=headers)
    await _time_passes(database, 60, "m-1", "m-2", "m-3")
    async with running(settings):
        await until(lambda: ("worker", "not_started", "m-3") in sink.told)
        await until(lambda: _counted(database, "SELECT count(*) FROM notifying.visits WHERE watched_us > 0", 3))
    assert [("worker", "not_started", "m-3")] == [one for one in sink.told if one[1] == "not_started"]


async def _time_passes(database: Database, minutes: int, *match_ids: str) -> None:
    """Once these visits have been looked at: let them begin so much earlier than was thought, so that no test waits for a clock."""
    await until(lambda: _counted(database, "SELECT count(*) FROM notifying.visits WHERE watched_us IS NOT NULL", 3 if len(match_ids) > 1 else 1))
    connection = await asyncpg.connect(database.dsn())
    try:
        await connection.execute(
            "UPDATE notifying.visits SET watched_us = 0, watch_at_us = 0, starts_at_us = starts_at_us - $1 WHERE match_id = ANY($2::text[])",
            minutes * MINUTE_US, list(match_ids),
        )  # fmt: skip
    finally:
        await connection.close()


async def _counted(database: Database, statement: str, count: int) -> bool:
    return [(count,)] == await ask(database.dsn(), statement)


async def test_stairways_are_read_from_offers_and_wishes_past_what_is_not_valid(fresh_topics: Kafka, town: Town, sink: Sink, database: Database) -> None:
    home = {"community": "c", "compound": "k", "building": "b", "unit": "u1"}
    offer = {
        "area": AREA, "offer_id": "o-9", "volunteer_ref": "v-9", "home": home, "reach": "unit", "skills": ["company"], "organisation": "中心户三号",
        "vetting": {"level": 3, "checked_at": rfc3339(START)}, "windows": [{"start": rfc3339(START), "end": rfc3339(END)}], "capacity": 1, "accepts": "auto",
    }  # fmt: skip
    async with running(linked(fresh_topics, database, sink)):
        for number, value in enumerate((b"nonsense", orjson.dumps(offer))):
            headers = headers_of("lastmetre.offer.posted.v1", f"offer-{number}", "app", rfc3339(START), "o-9", AREA)
            await town.producer.send_and_wait("offers", value, key=AREA.encode(), partition=LANE, headers=headers)
        await until(lambda: _counted(database, "SELECT count(*) FROM notifying.households WHERE open AND place = 'c/k/b/u1'", 1))
