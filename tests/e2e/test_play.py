"""The black box as others run it: the command `play`, a file of 2,000 lines, and what it leaves behind, judged by those who share no code with it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.state import ROOT
from schemas import codec
from tests import builders as build
from tests.checker import check, generate

SEED = 7
EVENTS = 2000
MINUTES = 20  # each is settled by itself, which is what takes the time
PLAY_SECONDS = 240.0
REPLAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Played:
    """The file, what is expected of its lines, and the folder of results."""

    file: Path
    out: Path
    expected: list[dict[str, Any]]
    summary: dict[str, Any]


async def command(*arguments: str, seconds: float) -> str:
    """Run a module of the repository and give what it said; it must end well, and in time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, cwd=ROOT, env=os.environ | {"LASTMETRE_VENV": "off"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except TimeoutError:
        process.terminate()  # in good order, so that nothing stays behind
        await process.wait()
        pytest.fail(f"{' '.join(arguments)} still ran after {seconds:.0f} s")
    text = said.decode(errors="replace")
    assert process.returncode == 0, f"{' '.join(arguments)} ended with {process.returncode}:\n{text[-4000:]}"
    return text


@pytest.fixture(scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("play")
    file, out = folder / "events.jsonl", folder / "out"
    expected = generate.write(file, SEED, EVENTS, minutes_max=MINUTES)
    began = time.monotonic()
    await command("deploy", "play", str(file), "--out", str(out), seconds=PLAY_SECONDS)
    print(f"seed {SEED}: {EVENTS} lines played in {time.monotonic() - began:.0f} s; results in {out}")
    return Played(file, out, expected, json.loads((out / "summary.json").read_bytes()))


def test_a_checker_that_knows_the_contract_alone_finds_nothing_wrong(played: Played) -> None:
    report = check(played.out)
    assert [] == list(map(str, report.violations)), f"seed {SEED}"
    assert report.counts["proposals judged"] > 100


def test_no_line_of_the_file_is_lost(played: Played) -> None:
    report = check(played.out, played.file)
    assert [] == list(map(str, report.violations)), f"seed {SEED}"
    assert EVENTS == report.counts["lines valid"] + report.counts["lines invalid"]


async def test_the_journal_decided_again_gives_the_same_decisions(played: Played) -> None:
    await command("services.matcher.replay", str(played.out / "journal.jsonl"), seconds=REPLAY_SECONDS)


def test_the_summary_counts_what_the_generator_made(played: Played) -> None:
    lines = Counter(one["expect"] for one in played.expected)
    summary = played.summary
    assert EVENTS == summary["published"]
    assert lines["invalid"] == summary["dead_letters"]
    assert lines["duplicate_of"] == summary["duplicates"]
    # A wish that was withdrawn after its helpers were found counts as withdrawn alone.
    assert summary["wishes"] == summary["filled"] + summary["expired"] + summary["withdrawn"]


def test_dead_letters_carry_the_reason_that_the_contract_names(played: Played) -> None:
    wanted = Counter(one["reason"] for one in played.expected if "reason" in one)
    records = [json.loads(line) for line in (played.out / "dead-letters.jsonl").read_bytes().splitlines()]
    found = Counter(record["headers"]["dlq-reason"] for record in records)
    assert wanted
    assert {} == {reason: count - found[reason] for reason, count in wanted.items() if count > found[reason]}


async def test_a_file_with_nothing_wrong_and_nobody_matched_leaves_empty_files(tmp_path: Path) -> None:
    file, out = tmp_path / "clean.jsonl", tmp_path / "out"
    file.write_bytes(codec.structured(build.wish("w1")) + b"\n")
    await command("deploy", "play", str(file), "--out", str(out), seconds=PLAY_SECONDS)
    summary = json.loads((out / "summary.json").read_bytes())
    assert (1, 1, 0, 0) == (summary["published"], summary["wishes"], summary["confirmed"], summary["dead_letters"])
    assert [b"", b""] == [(out / name).read_bytes() for name in ("dead-letters.jsonl", "confirmations.jsonl")]


@dataclass(frozen=True, slots=True)
class Told:
    """Of several stories that were played together, each in an area of its own: when each event about a match or a wish was told, and the books."""

    summary: dict[str, Any]
    events: dict[str, list[tuple[str, str]]]
    books: list[dict[str, Any]]


@pytest.fixture(scope="module")
async def stories(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("stories")
    file, out = folder / "events.jsonl", folder / "out"
    told_late = {"wish_id": "w1", "offer_id": "o1", "by": "community", "outcome": "not_done"}
    events = (
        # Nobody says the word that the wish asks for.
        build.offer("o1", area="asks"),
        build.wish("w1", urgency="red", wanted=(0, 10 * build.HOUR), approval="worker", area="asks"),
        # Of the first two one does not answer for ten minutes. Who comes in their place is confirmed, and calls off half an hour later.
        build.offer("o1", accepts="ask", home="c1/p1", area="between"),
        build.offer("o2", home="c1", area="between"),
        build.offer("o3", home="c1", windows=[(5, 15 * build.HOUR)], area="between"),
        build.wish("w1", urgency="red", where="c1/p1", wanted=(0, 10 * build.HOUR), accompanied=True, area="between"),
        build.event("match.declined.v1", "w1", {"wish_id": "w1", "offer_id": "o2"}, at=40, area="between"),
        # The community speaks of a visit when its limit has passed in silence.
        build.offer("o1", windows=[(0, 8 * build.DAY)], area="silent"),
        build.wish("w1", urgency="red", wanted=(0, 7 * build.DAY), area="silent"),
        build.event("service.acknowledged.v1", "w1", told_late, at=4 * build.DAY, area="silent"),
    )
    file.write_bytes(b"".join(codec.structured(event) + b"\n" for event in events))
    await command("deploy", "play", str(file), "--out", str(out), seconds=PLAY_SECONDS)
    lines = b"".join((out / name).read_bytes() for name in ("matches.jsonl", "confirmations.jsonl")).splitlines()
    told: dict[str, list[tuple[str, str]]] = {}
    for headers in sorted((json.loads(line)["headers"] for line in lines), key=lambda one: (one["ce_time"], one["ce_type"])):
        told.setdefault(headers["ce_partitionkey"], []).append((headers["ce_time"], headers["ce_type"].removeprefix("lastmetre.")))
    books = [json.loads(line) for line in (out / "ledger.jsonl").read_bytes().splitlines()]
    return Told(json.loads((out / "summary.json").read_bytes()), told, books)


async def test_a_play_goes_on_while_a_match_that_would_begin_at_once_awaits_a_workers_word(stories: Told) -> None:
    wanted = [(0, "match.proposed.v1"), (10, "match.released.v1"), (10 * build.HOUR, "wish.expired.v1")]
    assert [(build.text_of(minutes), kind) for minutes, kind in wanted] == stories.events["asks"]


async def test_who_is_found_between_two_lines_is_confirmed_then_and_not_with_the_next_line(stories: Told) -> None:
    assert [build.text_of(10)] * 2 == [time for time, kind in stories.events["between"] if kind == "match.confirmed.v1"]


async def test_a_visit_that_nobody_spoke_of_in_time_is_closed_before_the_word_that_comes_later(stories: Told) -> None:
    """As by the wall's clock, and whatever other areas have made the clock run to: the word corrects the books, and opens no wish."""
    assert [build.text_of(3 * build.DAY + build.HOUR)] == [time for time, kind in stories.events["silent"] if kind == "match.closed.v1"]
    assert [("done", "default"), ("not_done", "community")] == [(one["outcome"], one["by"]) for one in stories.books]


async def test_of_stories_that_are_played_together_each_wish_and_match_is_counted(stories: Told) -> None:
    assert (3, 1, 2, 3) == tuple(stories.summary[name] for name in ("wishes", "filled", "expired", "confirmed"))
