"""The benchmarks run and tell what they measured. How fast anything is, is never asserted."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from benchmarks import report
from benchmarks.load import Load, Record, areas
from benchmarks.measures import timing
from benchmarks.verify import Judge, Made, possible
from deploy.state import ROOT
from deploy.whatif.counting import percentile
from schemas import codec
from schemas.topics import PARTITIONS

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
RUN_SECONDS = 150


def a_load() -> Load:
    return Load(7, areas(6), NOW)


def a_match(wish: Record, offer: Record) -> Made:
    slot = offer.data["windows"][0]
    return Made(wish.id, offer.id, 4, datetime.fromisoformat(slot["start"]), datetime.fromisoformat(slot["end"]))


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
    assert [["last metre", "skip locked", "skip locked, in one function", "plain faust"]] == [[row[0] for row in result["tables"][0][2]] for result in results]
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
    verdict = Judge(offers).judge(wishes, [a_match(wish, stranger), a_match(wish, stranger)])
    assert {"skill_missing": 2, "matched_twice": 1} == verdict.faults


def test_the_judge_counts_visits_of_one_volunteer_at_the_same_time() -> None:
    load = a_load()
    offers, wishes = list(load.offers(50)), possible(load, 50, 10)
    verdict = Judge(offers).judge(wishes, [a_match(wishes[0], offers[0]), a_match(wishes[1], offers[0])])
    assert 1 == verdict.double_booked


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
