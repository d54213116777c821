"""`ledger` and `attention` on real books: what they read, what they find, and a correction that goes the way of every event."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from rich.console import Console

from deploy import cli
from deploy.kafka import Kafka
from deploy.tools import attention, ledger, ledger_correct
from deploy.tools.target import Target
from deploy.words import Trouble
from schemas.instants import MINUTE_US, micros, parse_rfc3339
from tests.conftest import Database
from tests.integration.notifier_rig import ask, matcher, running, settings_of
from tests.integration.test_visits import AREA, LANE, Town, read

NOW = parse_rfc3339("2026-11-24T12:00:00Z")


def visit(match_id: str, *, ends: int, state: str = "confirmed", number: int = 0, due: str = "1") -> str:
    outcome = "NULL, NULL, NULL, NULL" if number == 0 else "'done', 60, 'resident', 0"
    released = "'unsafe'" if state == "released" else "NULL"
    return f"""
    INSERT INTO notifying.confirmations (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, rung, slot_start, slot_end, state,
        released_for) VALUES ('{match_id}', 'w-{match_id}', 'o-{match_id}', '{AREA}', 0, 'r', 'v', 'unit', '', '', '{state}', {released});
    INSERT INTO notifying.visits VALUES ('{match_id}', 'w-{match_id}', 'o-{match_id}', '{AREA}', 0, 'v', NULL, {ends - 60 * MINUTE_US}, {ends}, {number},
        {outcome}, {due})
    """


def report(match_id: str, kind: str) -> str:
    return (
        f"INSERT INTO notifying.reports VALUES ('t', '{match_id}-{kind}', '{AREA}', 'w-{match_id}', 'o-{match_id}', NULL, '{kind}', 0, NULL, NULL, NULL, NULL)"
    )


async def execute(database: Database, *statements: str) -> None:
    connection = await asyncpg.connect(database.dsn())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def look(database: Database) -> list[tuple[str, str]]:
    found = await attention.look(Target(None, database.dsn()), 4.0, NOW)
    return [(one.kind, one.wish_id) for one in found]


async def test_a_visit_that_was_started_and_not_finished_wants_attention_half_an_hour_after_its_slot(database: Database) -> None:
    await execute(
        database,
        *(visit(name, ends=NOW - minutes * MINUTE_US) for name, minutes in (("late", 30), ("in-time", 29), ("finished", 90))),
        *(report(name, "started") for name in ("late", "in-time", "finished")),
        report("finished", "finished"),
    )
    assert [("not_finished", "w-late")] == await look(database)


async def test_a_visit_of_which_nothing_was_said_wants_attention_unless_it_was_released_or_has_its_end(database: Database) -> None:
    await execute(
        database,
        visit("silent", ends=NOW - 60 * MINUTE_US),
        visit("released", ends=NOW - 60 * MINUTE_US, state="released"),
        visit("let-go", ends=NOW - 60 * MINUTE_US, state="released", due="NULL"),
        visit("closed", ends=NOW - 60 * MINUTE_US, number=1, due="NULL"),
        visit("ahead", ends=NOW + 60 * MINUTE_US),
    )
    assert [("nothing_said", "w-silent")] == await look(database)


def notice(match_id: str, party: str, kind: str, state: str = "sent", fault: str = "") -> str:
    sent = "'2026-11-24T12:00:00Z'" if state == "sent" else "NULL"
    return f"""
    INSERT INTO notifying.notices (key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, due_at, sent_at, fault)
        VALUES (gen_random_uuid(), '{match_id}', 'w-{match_id}', 0, '{AREA}', '{party}', '{kind}', 'x', 'en', '', '{state}', now(), {sent},
            nullif('{fault}', ''))
    """


async def test_a_visit_at_which_nobody_has_reported_tells_whom_the_alarm_has_reached(database: Database) -> None:
    await execute(
        database,
        *(visit(name, ends=NOW + minutes * MINUTE_US) for name, minutes in (("late", 45), ("later", 40), ("in-time", 46), ("there", 30))),
        report("there", "started"),
        notice("late", "household", "not_started"),
        notice("later", "household", "not_started"),
        notice("later", "worker", "not_started"),
        notice("in-time", "worker", "not_started", "pending"),
    )
    found = await attention.look(Target(None, database.dsn()), 4.0, NOW)
    assert [("not_started", "w-later", "household,worker"), ("not_started", "w-late", "household")] == [(one.kind, one.wish_id, one.told) for one in found]


async def test_calling_off_late_no_shows_and_what_reached_nobody_want_attention(database: Database) -> None:
    hour = 60 * MINUTE_US
    await execute(
        database,
        *(visit(name, ends=NOW + 3 * hour, state="released", due="NULL") for name in ("late", "early", "unheard")),
        f"UPDATE notifying.confirmations SET called_off_at_us = {NOW}, called_off_late = match_id = 'late' WHERE match_id IN ('late', 'early')",
        notice("unheard", "volunteer", "released", "dead"),
        *(visit(name, ends=NOW - 3 * hour, number=1, due="NULL") for name in ("nobody-came", "came", "helped")),
        f"UPDATE notifying.visits SET closed_at_us = {NOW}, outcome = CASE match_id WHEN 'helped' THEN 'done' ELSE 'not_done' END WHERE number = 1",
        report("came", "started"),
    )
    assert [("called_off_late", "w-late"), ("unheard", "w-unheard"), ("no_show", "w-nobody-came")] == await look(database)
    await execute(database, "UPDATE notifying.visits SET outcome = 'done' WHERE match_id = 'nobody-came'")
    assert ("no_show", "w-nobody-came") not in await look(database), "a later word takes it back"


async def test_word_of_a_release_that_reached_nobody_wants_attention_also_before_the_visit_was_confirmed(database: Database) -> None:
    """The resident was told of a helper, the helper could not be told, and then the resident could not be told that nobody comes."""

    def told_before(match_id: str, start: str, end: str) -> str:
        return f"""
        INSERT INTO notifying.confirmations (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, rung, slot_start, slot_end, state,
            released_for) VALUES ('{match_id}', 'w-{match_id}', 'o-{match_id}', '{AREA}', 0, 'r', 'v', 'unit', '{start}', '{end}', 'released', 'undeliverable')
        """

    await execute(
        database,
        told_before("near", "2026-11-24T21:00:00+08:00", "2026-11-24T22:00:00+08:00"),
        told_before("reached", "2026-11-24T21:00:00+08:00", "2026-11-24T22:00:00+08:00"),
        told_before("long-over", "2026-11-22T21:00:00+08:00", "2026-11-22T22:00:00+08:00"),
        notice("near", "resident", "released", "dead"),
        notice("reached", "resident", "released"),
        notice("long-over", "resident", "released", "dead"),
    )
    assert [("unheard", "w-near")] == await look(database)


async def test_another_role_may_be_let_look_at_what_wants_attention_and_at_nothing_else(database: Database) -> None:
    await execute(
        database,
        "UPDATE notifying.clock SET runs_to = 0",
        visit("silent", ends=NOW - 60 * MINUTE_US),
        "GRANT USAGE ON SCHEMA notifying TO lastmetre_vault",
        "GRANT SELECT ON notifying.attention TO lastmetre_vault",
    )
    assert [("nothing_said", "w-silent")] == [row[:2] for row in await ask(database.dsn("vault"), "SELECT kind, wish_id FROM notifying.attention")]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(database.dsn("vault"), "SELECT * FROM notifying.visits")


def wish(wish_id: str, ends: int, status: str = "open") -> str:
    return f"""
    INSERT INTO matching.wishes (area, wish_id, status, submitted_at, ends_at, need, match_count, barred, data, invited)
        VALUES ('{AREA}', '{wish_id}', '{status}', 0, {ends}, 1, 0, '', '', '')
    """


def match(wish_id: str, starts: int, *, state: str = "proposed", expires: str = "NULL", person: int = 1) -> str:
    return f"""
    INSERT INTO matching.matches VALUES ('{AREA}', '{wish_id}', 0, 'm-{wish_id}', 0, 1, 'o', 'v', {person}, {starts}, {starts + 60 * MINUTE_US}, 0, 'paired',
        false, true, {expires}, NULL, NULL, '{state}', true, NULL)
    """


async def test_what_begins_soon_without_a_confirmed_helper_is_at_risk_and_a_late_answer_is_told(database: Database) -> None:
    soon, later = NOW + 3 * 60 * MINUTE_US, NOW + 30 * 60 * MINUTE_US
    await execute(
        database,
        wish("open-soon", soon),
        wish("open-later", later),
        wish("matched", soon, "matched"),
        wish("held", later, "held"),
        match("held", soon, person=1),
        wish("asked", later, "held"),
        match("asked", later - 90 * MINUTE_US, expires=str(NOW + 20 * MINUTE_US), person=2),
        wish("asked-just-now", later, "held"),
        match("asked-just-now", later - 90 * MINUTE_US, expires=str(NOW + 40 * MINUTE_US), person=3),
    )
    assert [("at_risk", "held"), ("at_risk", "open-soon"), ("unanswered", "asked")] == sorted(await look(database))


async def test_notices_that_do_not_get_through_are_told(database: Database) -> None:
    await execute(
        database,
        visit("stuck", ends=NOW + 600 * MINUTE_US, state="telling"),
        "UPDATE notifying.confirmations SET changed_at = '2026-11-24T11:44:00Z'",
        visit("fresh", ends=NOW + 600 * MINUTE_US, state="telling"),
    )
    assert [("stuck", "w-stuck")] == await look(database)


async def test_what_waits_for_a_person_is_not_stuck(database: Database) -> None:
    waits = {"night": "quiet_hours", "tomorrow": "over_budget", "reader": "unread", "gateway": "http_5xx"}
    await execute(
        database,
        *(visit(name, ends=NOW + 600 * MINUTE_US, state="telling") for name in (*waits, "both")),
        *(notice(name, "resident", "confirmed", "retryable", fault) for name, fault in waits.items()),
        *(notice(name, "volunteer", "confirmed") for name in waits),
        notice("both", "resident", "confirmed", "retryable", "quiet_hours"),
        notice("both", "volunteer", "confirmed", "retryable", "timeout"),
        *(visit(name, ends=NOW + 600 * MINUTE_US, state=state) for name, state in (("waits", "agreed"), ("asked", "proposed"), ("alone", "agreed"))),
        "UPDATE notifying.confirmations SET group_id = 'g-1', group_size = 2 WHERE match_id IN ('waits', 'asked')",
        "UPDATE notifying.confirmations SET changed_at = '2026-11-24T11:44:00Z'",
    )
    assert {("stuck", "w-gateway"), ("stuck", "w-both"), ("stuck", "w-alone")} == set(await look(database))


async def test_what_was_given_up_and_not_released_is_told_until_its_slot_is_over(database: Database) -> None:
    ends = {"held": "2026-11-24T18:00:00Z", "past": "2026-11-24T11:00:00Z"}
    await execute(
        database,
        *(visit(name, ends=NOW + 600 * MINUTE_US, state="failed") for name in ends),
        *(f"UPDATE notifying.confirmations SET slot_end = '{at}', changed_at = '2026-11-24T11:44:00Z' WHERE match_id = '{name}'" for name, at in ends.items()),
    )
    assert [("stuck", "w-held")] == await look(database)


def test_nothing_to_look_at_is_said() -> None:
    screen = io.StringIO()
    attention.show([], Console(file=screen), "both")
    assert "没有需要过问的事" in screen.getvalue()
    attention.show([attention.Matter(kind, "a", "w", None, NOW) for kind in attention.KINDS], Console(file=screen, width=120), "en")
    assert "at risk" in screen.getvalue()


# ---- the books


@pytest.fixture
async def served(fresh_topics: Kafka, database: Database) -> AsyncIterator[Target]:
    """Two visits of one volunteer, one of them for an organisation; the notifier goes on."""
    async with matcher(fresh_topics.bootstrap) as found, running(settings_of(fresh_topics.bootstrap, database.dsn("notifier"), "console")):
        town = Town(found.producer, LANE, AREA)
        for match_id, organisation in (("m-1", "第一党支部"), ("m-2", None)):
            await town.propose(match_id, volunteer_ref="v-1", **({} if organisation is None else {"organisation": organisation}))
            await town.finish(match_id)
            await town.acknowledge(match_id)
        await read(database, 8)
        yield Target(fresh_topics.bootstrap, database.dsn())


async def test_statements_branches_and_corrections(served: Target, database: Database) -> None:
    found = await ledger.statement(served, "v-1", None, None)
    assert (90, 150, 2, 0) == (found.minutes, found.points, len(found.visits), found.stars)
    half = ledger.half_of("2026H2", datetime.now(UTC))
    own = await ledger.branch(served, "第一党支部", half)
    assert [("v-1", True, 1, 45)] == [(one.volunteer_ref, one.reported_in, one.visits, one.minutes) for one in own.members]
    with pytest.raises(Trouble, match="第一党支部"):
        await ledger.branch(served, "没有的支部", half)
    with pytest.raises(Trouble, match="no visit of volunteer"):
        await ledger.statement(served, "nobody", None, None)

    called_off = "UPDATE notifying.confirmations SET called_off_late = true WHERE match_id = 'off'"
    await execute(database, visit("off", ends=NOW, state="released", due="NULL"), called_off)
    only_off = await ledger.statement(served, "v", None, None)
    assert ([], 1, AREA) == (only_off.visits, only_off.called_off_late, only_off.area)
    with pytest.raises(Trouble, match="no visit of volunteer"):
        await ledger.statement(served, "v", "elsewhere", None)

    assert (await ledger_correct.correct(served, "m-1", None, 30, "记错了时间")).is_booked
    assert (await ledger_correct.correct(served, "m-2", "not_done", None, "没有来")).is_booked
    again = await ledger.statement(served, "v-1", AREA, None)
    assert [(30, True), (0, True)] == [(one.minutes, one.corrected) for one in sorted(again.visits, key=lambda one: one.match_id)]
    assert (await ledger.audit(served)).ok
    with pytest.raises(Trouble, match="no confirmed match"):
        await ledger_correct.correct(served, "gone", "done", None, "x")
    with pytest.raises(Trouble, match="can't be corrected"):
        await ledger_correct.correct(served, "m-1", "done", None, "电话 13800138000")
    assert [(AREA,)] == await ask(database.dsn(), "SELECT DISTINCT area FROM notifying.reports")


async def test_a_correction_that_is_not_booked_yet_says_when_it_will_be(
    served: Target, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LASTMETRE_KAFKA", served.broker.addresses)
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())
    now = micros(datetime.now(UTC))
    await execute(database, visit("to-come", ends=now + 24 * 60 * MINUTE_US), visit("begun", ends=now + 10 * MINUTE_US))

    # A visit that is to come ends at its slot's start at the earliest, whatever is said.
    ahead = await ledger_correct.correct(served, "to-come", "done", 37, "x")
    assert (True, False) == (ahead.is_noted, ahead.is_booked)
    # The helper's own report is awaited for an hour, as after anybody's word.
    assert 3 == await asyncio.to_thread(cli.run, ["ledger", "correct", "begun", "--reason", "x", "--outcome", "done", "--lang", "en"])
    assert "Noted, but not booked yet" in capsys.readouterr().out
    assert [(0,), (0,)] == await ask(database.dsn(), "SELECT number FROM notifying.visits WHERE match_id IN ('to-come', 'begun')")
    assert 0 == await asyncio.to_thread(cli.run, ["ledger", "correct", "begun", "--reason", "x", "--minutes", "20"])
    assert [("begun", 20)] == await ask(database.dsn(), "SELECT match_id, minutes FROM notifying.visits WHERE match_id IN ('to-come', 'begun') AND number > 0")


async def test_minutes_alone_leave_the_word_that_was_said_and_make_nobody_come_who_did_not(served: Target, database: Database) -> None:
    now = micros(datetime.now(UTC))
    for match_id in ("begun", "nobody-came"):
        await execute(database, visit(match_id, ends=now + 10 * MINUTE_US))
    for at, outcome in ((now - 9 * MINUTE_US, "done"), (now - 8 * MINUTE_US, "partly")):
        said = f"'t', '{outcome}', '{AREA}', 'w-begun', 'o-begun', NULL, 'acknowledged', {at}, NULL, 'resident', '{outcome}', NULL"
        await execute(database, f"INSERT INTO notifying.reports VALUES ({said})")
    assert (await ledger_correct.correct(served, "begun", None, 20, "记错了时间")).is_booked
    assert [("partly", 20)] == await ask(database.dsn(), "SELECT outcome, minutes FROM notifying.visits WHERE match_id = 'begun'")
    await ledger_correct.correct(served, "nobody-came", "not_done", 0, "没有来")
    assert ["acknowledged"] == [row[0] for row in await ask(database.dsn(), "SELECT kind FROM notifying.reports WHERE match_id = 'nobody-came'")]


async def test_the_commands_end_as_they_say(
    served: Target, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LASTMETRE_KAFKA", served.broker.addresses)
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())
    sheet, paper = tmp_path / "a.csv", tmp_path / "a.html"

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(cli.run, list(arguments))

    assert 0 == await run("ledger", "check", "--lang", "en")
    assert 0 == await run("ledger", "statement", "--volunteer", "v-1", "--csv", str(sheet), "--page", str(paper))
    assert 0 == await run("ledger", "branch", "第一党支部", "--half", "2026H2")
    assert 1 == await run("ledger", "statement", "--volunteer", "nobody")
    assert 1 == await run("ledger", "statement", "--volunteer", os.fsdecode(b"v-\xff"))
    assert 1 == await run("ledger", "branch", os.fsdecode(b"v-\xff"))
    assert 1 == await run("ledger", "correct", "m-1", "--reason", "x")
    assert 0 == await run("ledger", "correct", "m-1", "--reason", "x", "--minutes", "15")
    assert 0 == await run("attention")
    said = capsys.readouterr()
    assert "The books add up: 2 transactions" in said.out
    assert 2 == said.err.count("no UTF-8")
    assert 3 == len(sheet.read_text(encoding="utf-8-sig").splitlines())
    assert "志愿服务记录" in paper.read_text(encoding="utf-8")
    await execute(
        database, "ALTER TABLE notifying.ledger_entries DISABLE TRIGGER ALL", "DELETE FROM notifying.ledger_entries WHERE unit = 'points' AND amount < 0"
    )
    assert 1 == await run("ledger", "check")
