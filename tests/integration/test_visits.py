"""Visits and the ledger on a real Kafka and a real PostgreSQL: what is said becomes closings and bookings, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import asyncpg
import orjson
import pytest

from deploy.kafka import Kafka
from schemas.codec import check_outgoing, decode, headers_of
from schemas.instants import DAY_US, MINUTE_US, parse_rfc3339, rfc3339
from schemas.lanes import partition_of
from services.notifier import visiting
from services.notifier.metrics import Metrics
from services.notifier.settings import Settings
from services.notifier.visiting import Visiting
from services.notifier.visits import Report, Visit, is_about, judged
from services.notifier.visits_store import VisitsStore, VisitsUnit
from services.notifier.watch import Watched, words
from services.runtime import Stop
from tests.conftest import Database
from tests.forked import forked
from tests.integration.notifier_rig import SLOT, TO_COME, Matcher, ask, header, matcher, records, running, settings_of, until

AREA = "hightech"
LANE = partition_of(AREA)
# Long enough ago that the limits have run out, by the clock on the wall; the helper's report and the resident's word need no waiting anyway.
AT = "2026-11-24T09:{:02}:00Z"
CLOSED = "SELECT match_id, number, outcome, minutes, closed_by FROM notifying.visits WHERE number > 0 ORDER BY match_id"
BOOKED = """
SELECT t.match_id, t.number, e.unit, e.amount FROM notifying.ledger_transactions t JOIN notifying.ledger_entries e ON e.transaction_id = t.id
WHERE e.account LIKE 'volunteer/%' ORDER BY t.match_id, t.number, e.unit
"""
NEW_CONFIRMATION = """INSERT INTO notifying.confirmations (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, category, rung,
    slot_start, slot_end, state, released_for)
    VALUES ($1, $2, $3, $4, $5, 'r', 'v', 'repair', 'unit', '', '', $6, CASE $6 WHEN 'released' THEN 'declined' END)"""
NEW_VISIT = """INSERT INTO notifying.visits (match_id, wish_id, offer_id, area, partition, volunteer_ref, starts_at_us, ends_at_us, number, told_at_us)
    VALUES ($1, $2, $3, $4, $5, 'v', $6, $7, 0, $8)"""
NEW_REPORT = (
    """INSERT INTO notifying.reports (source, event_id, area, wish_id, offer_id, match_id, kind, at_us) VALUES ('app', $1, $2, $3, $4, $5, 'finished', $6)"""
)
NEXT_TICK = "UPDATE notifying.clock SET runs_to = runs_to + 1 RETURNING runs_to"
PENDING = "SELECT count(*) FROM notifying.visit_outbox"


class Town(Matcher):
    """The matcher's topic, and beside it what volunteers, residents and the community say."""

    async def say(
        self, step: str, match_id: str, minute: int, *, event_id: str | None = None, names_match: bool = False, time_text: str | None = None, **more: Any
    ) -> None:
        self._ids += 1
        data = {"area": self.area, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", **more}
        if names_match:
            data["match_id"] = match_id
        headers = headers_of(f"lastmetre.service.{step}.v1", event_id or f"s-{self._ids}", "app", time_text or AT.format(minute), f"w-{match_id}", self.area)
        await self.producer.send_and_wait("responses", orjson.dumps(data), key=self.area.encode(), partition=LANE, headers=headers)

    async def finish(self, match_id: str, minute: int = 5, took: int = 45, **more: Any) -> None:
        await self.say("finished", match_id, minute, minutes=took, **more)

    async def acknowledge(self, match_id: str, minute: int = 9, outcome: str = "done", by: str = "resident", **more: Any) -> None:
        await self.say("acknowledged", match_id, minute, by=by, outcome=outcome, **more)


@pytest.fixture
async def town(fresh_topics: Kafka) -> AsyncIterator[Town]:
    async with matcher(fresh_topics.bootstrap) as found:
        yield Town(found.producer, LANE, AREA)


@pytest.fixture
def settings(fresh_topics: Kafka, database: Database) -> Settings:
    return settings_of(fresh_topics.bootstrap, database.dsn("notifier"), "console")


async def read(database: Database, offsets: int) -> None:
    """Wait until so many events of `responses` and `confirmations` are taken in and all that follows is published."""

    async def done() -> bool:
        taken = await ask(database.dsn(), "SELECT coalesce(sum(responses_next + confirmations_next), 0) FROM notifying.visit_lanes")
        return taken[0][0] >= offsets and [(0,)] == await ask(database.dsn(), PENDING)

    await until(done)


async def closings(settings: Settings) -> list[dict[str, Any]]:
    found = []
    for record in await records(settings.kafka, "confirmations"):
        if header(record, "ce_type") == "lastmetre.match.closed.v1":
            event = decode("confirmations", record.value, record.headers)
            check_outgoing(event.type, event.raw)
            found.append(orjson.loads(record.value))
    return found


async def test_a_visit_goes_its_way_to_the_ledger(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1", organisation="第一党支部")
    async with running(settings):
        await town.say("started", "m-1", 1)
        await town.say("started", "m-1", 1, time_text="2099-01-01T00:00:00Z")  # by a clock that is ahead: noted as heard
        await town.finish("m-1")
        await town.acknowledge("m-1", rating=5)
        await read(database, 6)
    assert [(True,)] == await ask(database.dsn(), f"SELECT max(at_us) <= {time.time_ns() // 1000} FROM notifying.reports")
    (closed,) = await closings(settings)
    assert ("m-1", "w-m-1", "o-m-1", "done", 45, "resident") == tuple(closed[name] for name in ("match_id", "wish_id", "offer_id", "outcome", "minutes", "by"))
    assert AT.format(9) == closed["closed_at"]
    assert [("m-1", 1, "minutes", 45), ("m-1", 1, "points", 75)] == await ask(database.dsn(), BOOKED)
    assert [("第一党支部",)] == await ask(database.dsn(), "SELECT organisation FROM notifying.ledger_transactions")
    assert [("acknowledged", 5)] == await ask(database.dsn(), "SELECT kind, rating FROM notifying.reports WHERE rating IS NOT NULL")


async def test_what_is_said_before_the_confirmation_counts_once_it_is_there(settings: Settings, town: Town, database: Database) -> None:
    await town.finish("m-1")
    await town.acknowledge("m-1")
    async with running(settings):
        await read(database, 2)
        assert [] == await ask(database.dsn(), CLOSED)
        await town.propose("m-1")
        await read(database, 4)
    assert [("m-1", 1, "done", 45, "resident")] == await ask(database.dsn(), CLOSED)


@pytest.mark.parametrize("clock", ["wall", "event"])
async def test_a_closing_says_when_it_was_decided_beside_when_the_word_was_said(settings: Settings, town: Town, database: Database, clock: str) -> None:
    began = time.time_ns() // 1000
    await town.finish("m-1")
    await town.acknowledge("m-1")
    await town.propose("m-1", time_text=AT.format(30))
    async with running(settings.model_copy(update={"clock": clock})):
        await read(database, 3)
        if clock == "event":
            await ask(database.dsn(), NEXT_TICK)
        await read(database, 4)
    told = await records(settings.kafka, "confirmations")
    assert ["lastmetre.match.confirmed.v1", "lastmetre.match.closed.v1"] == [header(one, "ce_type") for one in told]
    confirmed, closed = (parse_rfc3339(header(one, "ce_time")) for one in told)
    assert confirmed <= closed
    assert closed == parse_rfc3339(AT.format(30)) if clock == "event" else closed >= began
    assert AT.format(9) == orjson.loads(told[1].value)["closed_at"]


@pytest.mark.parametrize("first", ["community", "resident"])
async def test_by_event_time_what_is_said_in_one_minute_is_judged_together(settings: Settings, town: Town, database: Database, first: str) -> None:
    await town.propose("m-1", time_text=AT.format(1))
    words = {"resident": ("not_done", 8), "community": ("done", 9)}
    async with running(settings.model_copy(update={"clock": "event"})):
        await read(database, 1)
        await town.finish("m-1")
        for number, by in enumerate(sorted(words, key=lambda one: one != first)):
            outcome, minute = words[by]
            await town.acknowledge("m-1", minute, outcome=outcome, by=by)
            await read(database, 3 + number)  # whoever is read first, and however long before the other
        assert [] == await ask(database.dsn(), CLOSED)
        await ask(database.dsn(), NEXT_TICK)
        await read(database, 5)
    assert [("m-1", 1, "done", 45, "community")] == await ask(database.dsn(), CLOSED)


async def test_a_match_that_is_released_in_the_minute_of_the_last_word_is_not_closed(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1", time_text=AT.format(1))
    async with running(settings.model_copy(update={"clock": "event"})):
        await read(database, 1)
        await town.finish("m-1")
        await town.acknowledge("m-1")
        await read(database, 3)
        await town.release("m-1", "declined")
        await until(lambda: _is_released(database))
        await ask(database.dsn(), NEXT_TICK)
        await until(lambda: _is_judged(database))
    assert ["lastmetre.match.confirmed.v1"] == [header(one, "ce_type") for one in await records(settings.kafka, "confirmations")]
    assert [] == await ask(database.dsn(), BOOKED)


async def _is_released(database: Database) -> bool:
    return [("released",)] == await ask(database.dsn(), "SELECT state FROM notifying.confirmations")


async def _is_judged(database: Database) -> bool:
    return [(None,)] == await ask(database.dsn(), "SELECT due_at_us FROM notifying.visits")


async def test_a_word_about_a_match_that_was_released_says_nothing_about_the_next_one_of_the_pair(settings: Settings, town: Town, database: Database) -> None:
    pair = {"wish_id": "w-m-1", "offer_id": "o-m-1"}
    await town.propose("m-1")
    async with running(settings):
        await town.acknowledge("m-1", outcome="not_done")
        await read(database, 2)
        await town.release("m-1", "group_incomplete")
        await until(lambda: _released(database))
        await town.propose("m-2", slot={"start": AT.format(20), "end": AT.format(50)}, **pair)
        await read(database, 3)
        await town.finish("m-1", 45, took=25)
        await town.acknowledge("m-1", 55)
        await read(database, 6)
    assert [("m-2", 1, "done", 25, "resident")] == await ask(database.dsn(), CLOSED)


async def test_what_is_said_before_the_slot_ends_no_visit_which_may_still_be_called_off(settings: Settings, town: Town, database: Database) -> None:
    later = time.time_ns() // 1000 + 3 * DAY_US
    slot = {"start": rfc3339(later), "end": rfc3339(later + 45 * MINUTE_US)}
    await town.propose("m-1", slot=slot)
    async with running(settings):
        await town.finish("m-1")  # long before anybody was told of a match
        await town.acknowledge("m-1", outcome="not_done", names_match=True)
        await read(database, 3)
        assert [] == await ask(database.dsn(), CLOSED)
        await town.finish("m-1", names_match=True)
        await read(database, 4)
        assert [(later,)] == await ask(database.dsn(), "SELECT due_at_us FROM notifying.visits WHERE number = 0")
        await town.release("m-1", "declined")
        await until(lambda: _released(database))
        await town.acknowledge("m-1", names_match=True)
        await read(database, 5)
    assert ([], [(None,)]) == (await ask(database.dsn(), CLOSED), await ask(database.dsn(), "SELECT due_at_us FROM notifying.visits"))


async def test_a_word_from_before_both_were_told_is_about_no_later_match(settings: Settings, town: Town, database: Database) -> None:
    await town.acknowledge("m-1", outcome="not_done")
    async with running(settings.model_copy(update={"finish_minutes": 0})):
        now = time.time_ns() // 1000
        await town.propose("m-1", slot={"start": rfc3339(now), "end": rfc3339(now + 45 * MINUTE_US)})
        await read(database, 2)
    assert [] == await ask(database.dsn(), CLOSED)
    assert [(True,)] == await ask(database.dsn(), "SELECT told_at_us >= starts_at_us FROM notifying.visits")


async def test_what_is_watched_is_about_a_visit_where_its_end_is(database: Database) -> None:
    """Every kind of visit beside every kind of word, by the view and by the rule."""
    start, told = 1_800_000_000_000_000, 1_799_000_000_000_000 + 7_000_000
    states, tolds, names = ("confirmed", "released"), (None, told, start + MINUTE_US), (None, "this", "another")
    moments = sorted({at + by for at in (told - told % MINUTE_US, told, start, start + MINUTE_US) for by in (-1, 0, 1)})
    visits, rows = dict[str, Visit](), list[tuple[Any, ...]]()
    async with asyncpg.create_pool(database.dsn("notifier"), min_size=1, max_size=1) as pool:
        for number, (before, told_at) in enumerate(product(states, tolds)):
            pair = f"w-{number}", f"o-{number}"
            ids = f"m-{number}", f"earlier-{number}"
            visits[ids[0]] = Visit(ids[0], *pair, AREA, LANE, "v", None, start, start + 60 * MINUTE_US, again=before == "released", told_at=told_at)
            await pool.executemany(NEW_CONFIRMATION, [(match_id, *pair, AREA, LANE, state) for match_id, state in zip(ids, ("confirmed", before), strict=True)])
            await pool.execute(NEW_VISIT, ids[0], *pair, AREA, LANE, start, start + 60 * MINUTE_US, told_at)
            named = {None: None, "this": ids[0], "another": ids[1]}
            rows += [(f"{number}-{name}-{at}", AREA, *pair, named[name], at) for name, at in product(names, moments)]
        await pool.executemany(NEW_REPORT, rows)
        said = {tuple(row) for row in await pool.fetch("SELECT match_id, event_id FROM notifying.said")}
    reports = [(event_id, Report(at, "app", event_id, "finished", match_id), wish_id) for event_id, _, wish_id, _, match_id, at in rows]
    about = {(visit.match_id, event_id) for visit in visits.values() for event_id, report, wish in reports if wish == visit.wish_id and is_about(report, visit)}
    assert about == said
    assert 0 < len(about) < len(rows)


async def test_a_visit_of_which_nothing_was_said_stands_at_once_as_it_would_be_judged(settings: Settings, town: Town, database: Database) -> None:
    soon, later = time.time_ns() // 1000 + 60 * MINUTE_US, time.time_ns() // 1000 + 3 * DAY_US
    for match_id, start in (("m-1", soon), ("m-2", later)):
        await town.propose(match_id, slot={"start": rfc3339(start), "end": rfc3339(start + 45 * MINUTE_US)})
    async with running(settings):
        await read(database, 2)
        await until(lambda: _watched(database, 2))
    rows = await ask(database.dsn(), "SELECT match_id, starts_at_us, ends_at_us, due_at_us, watch_at_us, watched_us FROM notifying.visits ORDER BY match_id")
    for (match_id, starts_at, ends_at, due_at, watch_at, watched), start in zip(rows, (soon, later), strict=True):
        visit = Visit(match_id, f"w-{match_id}", f"o-{match_id}", AREA, LANE, f"v-{match_id}", None, start, start + 45 * MINUTE_US)
        assert (start, start + 45 * MINUTE_US) == (starts_at, ends_at)
        assert judged(visit, (), soon, settings.limits)[0].due_at == due_at
        # Whoever looked at it once for nothing said the same: the next step is the first one after now, or what comes before it.
        first = words(Watched(start, visit.ends_at, None, True, False, False, False, None, None), watched, settings.timing)[1]
        assert first is not None
        assert watched < watch_at <= first


async def _watched(database: Database, visits: int) -> bool:
    return [(visits,)] == await ask(database.dsn(), "SELECT count(*)::int FROM notifying.visits WHERE watched_us IS NOT NULL")


async def test_repeats_book_once(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1")
    async with running(settings):
        for _ in range(3):
            await town.finish("m-1", event_id="same-1")
            await town.acknowledge("m-1", event_id="same-2")
        await read(database, 8)
    assert [("m-1", 1, "minutes", 45), ("m-1", 1, "points", 75)] == await ask(database.dsn(), BOOKED)
    assert 1 == len(await closings(settings))


async def test_a_whole_log_read_again_books_nothing_more(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1")
    async with running(settings):
        await town.finish("m-1")
        await town.acknowledge("m-1", outcome="not_done")
        await read(database, 4)
    before = await ask(database.dsn(), "SELECT id, number FROM notifying.ledger_transactions ORDER BY id")
    await ask(database.dsn(), "UPDATE notifying.visit_lanes SET responses_next = 0, confirmations_next = 0")
    async with running(settings):
        await read(database, 4)
    assert before == await ask(database.dsn(), "SELECT id, number FROM notifying.ledger_transactions ORDER BY id")
    assert 1 == len(await closings(settings))


async def test_the_communitys_word_corrects_by_the_difference(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1")
    async with running(settings):
        await town.finish("m-1")
        await town.acknowledge("m-1")
        await read(database, 4)
        await town.acknowledge("m-1", 30, "not_done", "community")
        await read(database, 5)
    assert [("done", 45)] == [(one["outcome"], one["minutes"]) for one in await closings(settings)], "a match closes once"
    assert [("m-1", 2, "not_done", 0, "community")] == await ask(database.dsn(), CLOSED)
    assert [45, 75, -45, -75] == [row[3] for row in await ask(database.dsn(), BOOKED)]


async def test_a_correction_after_the_tariff_has_changed_takes_back_what_was_given(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1")
    async with running(settings):
        await town.finish("m-1")
        await town.acknowledge("m-1")
        await read(database, 4)
    async with running(settings.model_copy(update={"points_per_hour": 10.0})):
        await town.acknowledge("m-1", 30, "not_done", "community")
        await read(database, 5)
    assert [("minutes", 0), ("points", 0)] == await ask(
        database.dsn(), "SELECT unit, sum(amount)::int FROM notifying.ledger_entries WHERE account LIKE 'volunteer/%' GROUP BY unit ORDER BY unit"
    )


async def test_a_released_match_is_never_closed_and_holds_up_nothing(settings: Settings, town: Town, database: Database) -> None:
    short = settings.model_copy(update={"acknowledge_minutes": 0})
    await town.propose("m-1")
    await town.propose("m-2")
    async with running(settings):
        await read(database, 2)
        await town.release("m-1", "unsafe")
        await until(lambda: _released(database))
    async with running(short):
        for match_id in ("m-1", "m-2"):
            await town.finish(match_id)
        await read(database, 5)
        await until(lambda: _none_due(database))
    assert ["m-2"] == [one["match_id"] for one in await closings(settings)]
    assert ["m-2", "m-2"] == [row[0] for row in await ask(database.dsn(), BOOKED)]


async def _released(database: Database) -> bool:
    return [(1,)] == await ask(database.dsn(), "SELECT count(*)::int FROM notifying.confirmations WHERE state = 'released'")


async def _none_due(database: Database) -> bool:
    return [(0,)] == await ask(database.dsn(), "SELECT count(*)::int FROM notifying.visits WHERE due_at_us IS NOT NULL")


async def test_silence_closes_by_default(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1", slot={"start": "2026-11-20T08:00:00Z", "end": "2026-11-20T09:00:00Z"})
    async with running(settings.model_copy(update={"report_minutes": 0}), lambda: datetime(2026, 11, 20, 8, tzinfo=UTC)):
        await until(lambda: _none_due_and_closed(database))
    assert [("m-1", 1, "done", 0, "default")] == await ask(database.dsn(), CLOSED)
    assert [] == await ask(database.dsn(), BOOKED)
    assert [("m-1",)] == await ask(database.dsn(), "SELECT match_id FROM notifying.ledger_transactions")


async def _none_due_and_closed(database: Database) -> bool:
    return bool(await ask(database.dsn(), CLOSED)) and await _none_due(database) and [(0,)] == await ask(database.dsn(), PENDING)


async def test_killed_again_and_again_it_closes_and_books_each_visit_once(settings: Settings, town: Town, database: Database) -> None:
    matches = [f"m-{number}" for number in range(30)]
    for match_id in matches:
        await town.propose(match_id, slot={"start": SLOT["start"], "end": TO_COME["end"]})  # begun, and not over, by the wall's clock
    for _ in range(3):
        async with forked(settings) as child:
            for match_id in matches[:: 2 + _]:
                await town.finish(match_id)
                await town.acknowledge(match_id)
            await until(lambda: _some_closed(database))
            child.kill()
    for match_id in matches:
        await town.finish(match_id)
        await town.acknowledge(match_id)
    spoken = sum(2 * len(matches[:: 2 + turn]) for turn in range(3)) + 2 * len(matches)
    async with running(settings):
        await read(database, spoken + 2 * len(matches))
    assert [(30, 30)] == await ask(database.dsn(), "SELECT count(*)::int, count(DISTINCT match_id)::int FROM notifying.ledger_transactions")
    assert set(matches) == {one["match_id"] for one in await closings(settings)}
    assert [(45, 30)] == await ask(
        database.dsn(), "SELECT amount::int, count(*)::int FROM notifying.ledger_entries WHERE unit = 'minutes' AND amount > 0 GROUP BY 1"
    )


async def _some_closed(database: Database) -> bool:
    return bool(await ask(database.dsn(), CLOSED))


# ---- the fence


async def test_a_stale_epoch_writes_nothing_and_the_lane_is_taken_again(settings: Settings, town: Town, database: Database) -> None:
    await town.propose("m-1")
    async with running(settings) as notifier:
        await read(database, 1)
        held = notifier.visiting.lanes.owned[LANE]
        await ask(database.dsn(), f"UPDATE notifying.visit_lanes SET epoch = epoch + 1 WHERE partition = {LANE}")
        await town.finish("m-1")
        await town.acknowledge("m-1")
        await until(lambda: LANE not in notifier.visiting.lanes)
        assert [] == await ask(database.dsn(), "SELECT 1 FROM notifying.reports")
        await read(database, 4)
        assert notifier.visiting.lanes.owned[LANE] == held + 2
    assert [("m-1", 1, "done", 45, "resident")] == await ask(database.dsn(), CLOSED)


async def test_the_fence_tells_which_lanes_are_still_ours(database: Database) -> None:
    pool = await asyncpg.create_pool(database.dsn("notifier"), min_size=1, max_size=2)
    try:
        store = VisitsStore(pool)
        first = await store.take_over(LANE)
        second = await store.take_over(LANE)
        async with store.unit() as connection, connection.transaction():
            assert set() == await VisitsUnit(connection).fence({LANE: first.epoch})
            assert {LANE} == await VisitsUnit(connection).fence({LANE: second.epoch})
    finally:
        await pool.close()


# ---- the books


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
    finally:
        await connection.close()


TRANSACTION = """
INSERT INTO notifying.ledger_transactions VALUES ('00000000-0000-0000-0000-00000000000{0}', 'm-{0}', 1, 'a', 'v', NULL, 'done', 'resident', 0, 100, 120)
"""
ENTRY = "INSERT INTO notifying.ledger_entries VALUES ('00000000-0000-0000-0000-00000000000{0}', '{1}', '{2}', {3})"
REPORT = "INSERT INTO notifying.reports VALUES ('app', 'e-1', 'a', 'w', 'o', NULL, 'started', 0, NULL, NULL, NULL, NULL)"


@pytest.fixture(params=["notifier", None], ids=["the service", "the owner"])
async def books(request: pytest.FixtureRequest, database: Database) -> str:
    """A database with one transaction in its books and one report; whose connection string it is."""
    await execute(
        database.dsn("notifier"), TRANSACTION.format(1), ENTRY.format(1, "volunteer/a/v", "minutes", 60), ENTRY.format(1, "community/a", "minutes", -60), REPORT
    )
    return database.dsn(request.param)


@pytest.mark.parametrize("table", ["ledger_transactions", "ledger_entries", "reports"])
@pytest.mark.parametrize("statement", ["UPDATE notifying.{0} SET {1} = {1}", "DELETE FROM notifying.{0}", "TRUNCATE notifying.{0} CASCADE"])
async def test_what_is_in_the_books_stays(books: str, database: Database, table: str, statement: str) -> None:
    column = {"ledger_transactions": "outcome", "ledger_entries": "amount", "reports": "kind"}[table]
    refused = asyncpg.PostgresError if books == database.dsn() else (asyncpg.PostgresError, asyncpg.InsufficientPrivilegeError)
    with pytest.raises(refused) as caught:
        await execute(books, statement.format(table, column))
    assert caught.value.sqlstate == "LM002" or isinstance(caught.value, asyncpg.InsufficientPrivilegeError)
    assert [(1, 2, 1)] == await ask(
        database.dsn(),
        "SELECT (SELECT count(*)::int FROM notifying.ledger_transactions), (SELECT count(*)::int FROM notifying.ledger_entries),"
        " (SELECT count(*)::int FROM notifying.reports)",
    )


@pytest.mark.parametrize(
    "entries",
    [
        [("volunteer/a/v", "minutes", 60)],
        [("volunteer/a/v", "minutes", 60), ("community/a", "minutes", -59)],
        [("volunteer/a/v", "minutes", 60), ("community/a", "points", -60)],
    ],
)
async def test_a_transaction_that_does_not_add_up_is_refused_at_commit(database: Database, entries: list[tuple[str, str, int]]) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await execute(database.dsn("notifier"), TRANSACTION.format(2), *(ENTRY.format(2, *entry) for entry in entries))
    assert "LM003" == caught.value.sqlstate
    assert [] == await ask(database.dsn(), "SELECT 1 FROM notifying.ledger_transactions")


async def test_a_match_is_booked_under_each_number_once(database: Database) -> None:
    await execute(database.dsn("notifier"), TRANSACTION.format(1))
    with pytest.raises(asyncpg.UniqueViolationError):
        await execute(database.dsn("notifier"), TRANSACTION.format(1).replace("0001'", "0009'"))


async def test_two_processes_share_the_lanes_and_close_each_visit_once(settings: Settings, town: Town, database: Database) -> None:
    pool = await asyncpg.create_pool(settings.database.get_secret_value(), min_size=1, max_size=2)
    other, stop = Visiting(settings, VisitsStore(pool), Metrics()), Stop()
    try:
        async with running(settings) as notifier:
            await town.propose("m-1")
            await read(database, 1)
            tasks = [asyncio.create_task(other.run(stop)), asyncio.create_task(other.publisher.run(stop))]
            await until(lambda: bool(other.lanes.owned) and not set(other.lanes.owned) & set(notifier.visiting.lanes.owned))
            await town.finish("m-1")
            await town.acknowledge("m-1")
            await read(database, 4)
            stop.set()
            other.publisher.wake()
            await asyncio.gather(*tasks)
    finally:
        await pool.close()
    assert 1 == len(await closings(settings))
    assert [(1,)] == await ask(database.dsn(), "SELECT count(*)::int FROM notifying.ledger_transactions")


async def test_an_event_on_which_the_work_fails_is_set_aside_alone(settings: Settings, town: Town, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = visiting.report_of

    def failing(event: Any) -> Any:
        if getattr(event.data, "minutes", None) == 44:
            raise ZeroDivisionError
        return whole(event)

    monkeypatch.setattr(visiting, "report_of", failing)
    for match_id in ("m-1", "m-2", "m-3"):
        await town.propose(match_id)
    async with running(settings):
        await read(database, 3)
        await town.finish("m-1")
        await town.finish("m-2", took=44, event_id="poison")
        await town.finish("m-3")
        for match_id in ("m-1", "m-2", "m-3"):
            await town.acknowledge(match_id)
        await read(database, 9)
    (dead,) = await records(settings.kafka, "responses-dlq")
    assert ("decision_failed", "poison", "1") == (header(dead, "dlq-reason"), header(dead, "ce_id"), header(dead, "dlq-offset"))
    assert ["m-1", "m-3"] == [one["match_id"] for one in await closings(settings)]


async def test_a_visit_that_can_not_be_judged_holds_up_no_other(settings: Settings, town: Town, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judged

    def failing(visit: Any, *more: Any) -> Any:
        if visit.match_id == "m-2":
            raise ZeroDivisionError
        return whole(visit, *more)

    with monkeypatch.context() as patched:
        patched.setattr("services.notifier.visiting.judged", failing)
        for match_id in ("m-1", "m-2"):
            await town.propose(match_id)
        async with running(settings):
            for match_id in ("m-2", "m-1"):
                await town.finish(match_id)
                await town.acknowledge(match_id)
            await read(database, 6)
        assert ["m-1"] == [one["match_id"] for one in await closings(settings)]
        assert [] == await records(settings.kafka, "responses-dlq"), "what was said is kept"
    await ask(database.dsn(), "UPDATE notifying.visits SET due_at_us = 0 WHERE match_id = 'm-2'")
    async with running(settings):
        await until(lambda: _none_due(database))
    assert ["m-1", "m-2"] == [one["match_id"] for one in await closings(settings)]
