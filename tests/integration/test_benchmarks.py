"""The benchmarks run and tell what they measured. How fast anything is, is never asserted."""

from __future__ import annotations

import asyncio
import sys
from bisect import insort
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import plain_faust, report, rounds, skip_locked, skip_locked_sql, throughput
from benchmarks.load import Load, Record, areas
from benchmarks.measures import timing
from benchmarks.verify import Judge, Made, possible
from deploy.state import ROOT
from deploy.whatif.counting import percentile
from schemas import codec
from schemas.topics import PARTITIONS
from tests.conftest import Database

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
RUN_SECONDS = 240
MINUTES = 60


def a_load() -> Load:
    return Load(7, areas(6), NOW)


def a_match(wish: Record, offer: Record) -> Made:
    slot = offer.data["windows"][0]
    return Made(wish.id, offer.id, 4, datetime.fromisoformat(slot["start"]), datetime.fromisoformat(slot["end"]))


def moved(match: Made, minutes: int) -> Made:
    return replace(match, start=match.start + timedelta(minutes=minutes), end=match.start + timedelta(minutes=minutes + MINUTES))


async def test_the_throughput_command_runs_in_its_short_form_and_prints_its_table(tmp_path: Path) -> None:
    arguments = ("throughput", "--short", "--folder", str(tmp_path), "--out", str(tmp_path / "out"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert 0 == process.returncode, said.decode()
    results = [orjson.loads(path.read_bytes()) for path in (tmp_path / "out").iterdir()]
    rows = results[0]["tables"][0][2]
    assert list(throughput.CONTENDERS) == [row[0] for row in rows]
    assert ["0", "0", "0", "0"] == [row[8] for row in rows if row[0] not in throughput.SPARED]
    assert ["none"] * len(rows) == [row[7] for row in rows]
    assert 4 == len([row for row in results[0]["tables"][-1][2] if "÷" in row[0]])
    assert "Against the goals" in said.decode()


def test_every_event_of_the_load_is_valid_and_on_its_areas_partition() -> None:
    load = a_load()
    records = [*load.offers(60), *load.wishes(60)]
    events = [codec.decode(record.topic, record.value, record.headers) for record in records]
    assert [record.area for record in records] == [event.area for event in events]
    assert set(range(PARTITIONS)) == {record.partition for record in records}


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert [one.value for one in a_load().wishes(50)] == [one.value for one in a_load().wishes(50)]


def test_the_judge_sees_a_wish_that_was_matched_twice_and_a_helper_without_the_skill() -> None:
    load = a_load()
    offers, wishes = list(load.offers(50)), possible(load, 50, 10)
    wish = wishes[0]
    stranger = next(one for one in offers if not set(wish.data["skills"]) <= set(one.data["skills"]))
    verdict = Judge(offers).judge(wishes, [a_match(wish, stranger), a_match(wish, stranger)], apart=False)
    assert {"skill_missing": 2, "matched_twice": 1} == verdict.faults


def test_the_judge_counts_visits_of_one_volunteer_at_the_same_time() -> None:
    load = a_load()
    offers, wishes = list(load.offers(50)), possible(load, 50, 10)
    verdict = Judge(offers).judge(wishes, [a_match(wishes[0], offers[0]), a_match(wishes[1], offers[0])], apart=False)
    assert (1, False) == (verdict.double_booked, "two_places_at_once" in verdict.faults)


def test_the_judge_holds_double_visits_against_those_who_promise_that_there_are_none() -> None:
    load = a_load()
    offers, wishes = list(load.offers(50)), possible(load, 50, 10)
    offers[1] = replace(offers[1], data=offers[1].data | {"volunteer_ref": offers[0].data["volunteer_ref"], "windows": offers[0].data["windows"]})
    verdict = Judge(offers).judge(wishes, [a_match(wishes[0], offers[0]), a_match(wishes[1], offers[1])], apart=True)
    assert 1 == verdict.faults["two_places_at_once"]


def test_the_judge_sees_a_slot_that_could_have_been_earlier_but_not_one_that_had_to_wait() -> None:
    load = a_load()
    offers, wishes = list(load.offers(50)), possible(load, 50, 1)
    offer, (wish,) = offers[0], wishes
    wish = replace(wish, data=wish.data | {"minutes": MINUTES, "window": offer.data["windows"][0]})
    first = moved(a_match(wish, offer), 0)
    again = replace(wish, id="again")
    assert "not_the_earliest" not in Judge(offers).judge([wish, again], [first, replace(moved(first, MINUTES), wish_id="again")], apart=True).faults
    assert 1 == Judge(offers).judge([wish], [moved(first, MINUTES)], apart=True).faults["not_the_earliest"]


SLOTS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=8)


@given(taken=SLOTS, length=st.integers(1, 8), latest=st.integers(0, 40))
def test_plain_faust_takes_the_earliest_clear_start(taken: list[tuple[int, int]], length: int, latest: int) -> None:
    minute = timedelta(minutes=1)
    busy: list[tuple[datetime, datetime]] = []
    for begins, lasts in taken:
        if all(NOW + minute * (begins + lasts) <= start or end <= NOW + minute * begins for start, end in busy):
            insort(busy, (NOW + minute * begins, NOW + minute * (begins + lasts)))
    starts = (NOW + minute * start for start in range(latest + 1))
    expected = next((start for start in starts if all(start + minute * length <= begins or ends <= start for begins, ends in busy)), None)
    found = plain_faust._clear(NOW, minute * length, NOW + minute * latest, busy)
    assert expected == (found if found <= NOW + minute * latest else None)


@pytest.mark.parametrize("form", [skip_locked.Form.LOOP, skip_locked.Form.FUNCTION])
async def test_the_skip_locked_peer_keeps_every_rule_where_many_connections_fight_for_few_volunteers(form: skip_locked.Form, database: Database) -> None:
    load = Load(7, areas(1), NOW)
    offers, wishes = list(load.offers(12)), possible(load, 12, 50)
    # Every volunteer has two offers: what one of them is booked for, the other must be clear of.
    offers = [replace(one, data=one.data | {"volunteer_ref": f"volunteer-{number // 2}"}) for number, one in enumerate(offers)]
    connection = await asyncpg.connect(database.dsn())
    try:
        await skip_locked.prepare(connection, form, offers, wishes)
        workers = skip_locked.Workers(form)
        await workers.work(database.dsn(), 8)
        made = [Made(*row) for row in await connection.fetch(skip_locked_sql.MATCHES)]
    finally:
        await connection.close()
    verdict = Judge(offers).judge(wishes, made, apart=True)
    assert ({}, len(workers.commits)) == (verdict.faults, verdict.matches)
    assert verdict.matches > len(offers)


@pytest.mark.parametrize("form", skip_locked.Form)
async def test_the_skip_locked_peer_searches_by_index_alone(form: skip_locked.Form, database: Database) -> None:
    load = a_load()
    connection = await asyncpg.connect(database.dsn(), server_settings=skip_locked.SETTINGS)
    try:
        await skip_locked.prepare(connection, form, load.offers(2_000), load.wishes(1))
        await connection.execute(f"PREPARE find AS {skip_locked_sql.find(apart=form.apart)}")
        nulls = ", ".join(["NULL"] * len(skip_locked_sql.ASKED))
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE find({nulls})"))
    finally:
        await connection.close()
    assert "using offers_pkey on offers" in plan
    assert "AND pg_try_advisory_xact_lock" not in plan, "the person is locked for every candidate instead of the one that is tried"
    assert "Seq Scan" not in plan


def test_a_rate_leaves_out_what_came_at_once_at_the_beginning() -> None:
    stamps = [0.0] * 50 + [1.0] * 25 + [2.0] * 25
    assert 25.0 == timing(stamps).per_second


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert expected == percentile([float(number) for number in range(1, 101)], share)


def test_publishing_replaces_the_tables_between_the_marks_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PUBLISHED", tmp_path / "published.json")
    machine = {
        "at": "now", "processor": "p", "cores": 2, "memory_gib": 1, "system": "s", "load_average": [0], "flush_ms": {"median": 1, "max": 2},
        "python": "3", "kafka": "4", "postgres": {"server_version": "18", "fsync": "on"}, "libraries": {"a": "1"},
    }  # fmt: skip
    result = tmp_path / "result.json"
    result.write_bytes(orjson.dumps(report.Report(machine, 1, tables=[("T", ["a"], [["1"]])]).plain()))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.publish(result, page)
    text = page.read_text(encoding="utf-8")
    assert ["before", "after"] == [text.splitlines()[0], text.splitlines()[-1]]
    assert "| 1 |" in text
    assert "old" not in text


def test_rounds_are_timed_one_by_one_with_red_wishes_between_them() -> None:
    found = rounds.measure(80, 80, 20, 7)
    assert 20 == len(found.round_ms) == len(found.solver_ms) == len(found.wishes) == len(found.pairs) == len(found.proposed) <= len(found.red_us)
    assert 80 == max(found.wishes)
    assert sum(found.proposed) > 0
    assert all(solver <= whole for solver, whole in zip(found.solver_ms, found.round_ms, strict=True))
