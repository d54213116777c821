"""The sample day and the terminal tools on a real, running system; the tools as processes of their own."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from rich.console import Console

from deploy import day
from deploy.cli import SAMPLE_DAY_POLICY
from deploy.day import Outcome
from deploy.hightech import AREA
from deploy.stack import Stack
from deploy.state import ROOT
from deploy.tools import kafka
from deploy.tools.placeholders import fill
from deploy.tools.wording import LOCAL
from deploy.words import Trouble
from schemas.topics import LANE_TOPICS
from tests.forked import command

DAY_SECONDS = 4.0
COMMAND_SECONDS = 60.0
FIRST_WISH = ROOT / "examples" / "first-wish.jsonl"
# The three that nobody can help; see deploy/hightech.py.
WAITING = 3


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A running system with the policy that `up` gives it for the sample day, and its state folder."""
    async with Stack(tmp_path_factory.mktemp("tools"), env={"LASTMETRE_POLICY": str(SAMPLE_DAY_POLICY)}) as stack:
        watching = asyncio.create_task(stack.watch())
        yield stack
        watching.cancel()


@pytest.fixture(scope="module")
async def played(system: Stack) -> tuple[Outcome, str]:
    """A sample day, and what stood on the screen."""
    screen = io.StringIO()
    outcome = await day.play(system, Console(file=screen, width=160), seed=day.SEED, seconds=DAY_SECONDS, quiet_seconds=20)
    return outcome, screen.getvalue()


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_") and name not in {"COLUMNS", "FORCE_COLOR"}}
    return kept | {"LASTMETRE_STATE": str(folder), "LASTMETRE_VENV": "off"}


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy", *arguments, cwd=ROOT, env=environment(folder), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """A command's exit code and what it said."""
    done = await asyncio.to_thread(command, list(arguments), environment(folder), seconds=COMMAND_SECONDS)
    return done.code, done.out + done.err


async def ends(stack: Stack) -> int:
    """How many records lie in the topics that take events in."""
    return len(await kafka.read_all(stack.kafka.bootstrap, ("wishes", "offers", "responses")))


def wish(**changes: object) -> bytes:
    """A valid first wish, with changes to its data."""
    event = orjson.loads(fill(FIRST_WISH.read_bytes().strip(), datetime.now(LOCAL), uuid4))
    event["data"].update(changes)
    return orjson.dumps(event)


# ---- the day


def test_the_day_ends_with_every_match_confirmed(played: tuple[Outcome, str]) -> None:
    outcome, _ = played
    assert outcome.finished
    assert outcome.matched == outcome.confirmed
    assert outcome.confirmed >= outcome.wishes - outcome.withdrawn - 3 * WAITING
    assert outcome.confirmations > outcome.confirmed
    assert outcome.wishes == outcome.matched + outcome.withdrawn + len(outcome.waiting)
    assert {"window_too_short": 1} == dict(outcome.dead)
    assert {"skill_missing": 1, "language_missing": 1, "out_of_reach": 1, "vetting_too_low": 1, "needs_two": 1} == dict(outcome.refused)
    assert 1 == outcome.repeats
    assert outcome.released >= 3  # one who declines, and the helpers of two wishes that are taken back
    assert outcome.milliseconds


def test_the_day_shows_each_confirmation_in_chinese_and_english(played: tuple[Outcome, str]) -> None:
    outcome, screen = played
    assert outcome.confirmations == screen.count(" ✓ ")
    assert "关爱老人「帮独居奶奶取心脏药」 同" in screen
    assert "care for an elder: Fetch heart medicine" in screen
    assert "127,500" in screen
    assert "3,457" in screen
    assert "\x1b" not in screen


async def test_a_second_start_shows_a_day_of_its_own(played: tuple[Outcome, str], system: Stack) -> None:
    screen = io.StringIO()
    await day.play_day(system, Console(file=screen, width=80), seconds=2.0)
    assert "第 2 次演示" in screen.getvalue()
    assert re.search(r"已确认 · confirmed: [67]\d", screen.getvalue())
    lines = screen.getvalue().splitlines()
    waits = next(line for line in lines if line.startswith("  python3 -m deploy explain "))
    assert re.fullmatch(r"  python3 -m deploy explain wish-2-\d+", waits)
    whole = ["publish examples/first-wish.jsonl", "watch", "dlq list", "vault audit"]
    assert [] == [command for command in whole if f"  python3 -m deploy {command}" not in lines]


async def measured(stack: Stack) -> dict[str, float]:
    """What the matcher tells who asks for nothing but its metrics, by name and labels."""
    async with httpx.AsyncClient(timeout=10) as client:
        text = (await client.get(f"http://127.0.0.1:{stack.service('matcher').ops_port}/metrics")).text
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))}


async def test_gauges_move_though_nobody_asks_whether_the_matcher_is_ready(played: tuple[Outcome, str], system: Stack) -> None:
    found = await measured(system)
    assert len(played[0].waiting) <= found["lastmetre_matcher_open_wishes"]
    assert 6 == found["lastmetre_matcher_lanes"]
    assert dict.fromkeys(LANE_TOPICS, 0) == {topic: found[f'lastmetre_matcher_lag{{topic="{topic}"}}'] for topic in LANE_TOPICS}


async def test_a_dead_letter_is_counted_under_the_type_that_it_says_it_is_of(played: tuple[Outcome, str], system: Stack) -> None:
    found = await measured(system)
    assert 1 <= found['lastmetre_matcher_events_total{outcome="dead_letter",type="lastmetre.wish.submitted.v1"}']
    assert 0 == found['lastmetre_matcher_events_total{outcome="dead_letter",type=""}']


async def test_a_day_without_confirmations_ends_by_itself_with_clear_words(system: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day, "QUIET_SECONDS", 2.0)
    notifier = system.service("notifier")
    await notifier.stop()
    try:
        with pytest.raises(Trouble, match="confirmations that were due did not come"):
            await day.play_day(system, Console(file=io.StringIO()), once=True, seconds=0.5)
        screen = io.StringIO()
        await day.play_day(system, Console(file=screen), seconds=0.5)
        assert "没有等到应有的确认" in screen.getvalue()
    finally:
        await notifier.start()
        await notifier.ready()


# ---- publish


async def test_the_first_wish_finds_a_helper_at_once_and_again(played: tuple[Outcome, str], system: Stack) -> None:
    for _ in range(2):
        code, said = await run(system.state.folder, "publish", str(FIRST_WISH), "--wait", "--seconds", "20")
        assert (0, 1) == (code, said.count("已确认：")), said
        assert re.search(r"→ wishes:\d:\d+", said)
        assert re.search(r"← confirmations:\d:\d+", said)


async def test_an_event_that_is_not_valid_is_named_by_line_and_field_and_nothing_is_sent(system: Stack, tmp_path: Path) -> None:
    before = await ends(system)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join((wish(), wish(minutes=3), b"", b"{nope", b'{"time": "{{soon}}"}')))
    code, said = await run(system.state.folder, "publish", str(file))
    assert 1 == code
    assert f"{file}:2：字段 data.minutes 不合规：不能小于 15" in said
    assert f"{file}:2: field data.minutes is not valid: send 15 or more" in said
    assert f"{file}:4: value is not valid JSON" in said
    assert f"{file}:5: unknown placeholder {{{{soon}}}}" in said
    assert before == await ends(system)


async def test_a_file_that_is_missing_is_named(system: Stack) -> None:
    code, said = await run(system.state.folder, "publish", "nowhere.jsonl")
    assert 1 == code
    assert "nowhere.jsonl can't be read" in said


async def test_raw_lines_are_sent_as_they_stand_and_their_end_is_shown(system: Stack, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"{nope\n" + wish(minutes=3))
    code, said = await run(system.state.folder, "publish", "--raw", "--wait", "--seconds", "3", str(file))
    assert 0 == code
    assert "dead letter (from wishes:" in said
    assert 2 == said.count("← wishes-dlq:")


# ---- watch


async def test_watch_tells_events_in_words_one_a_line(played: tuple[Outcome, str], system: Stack) -> None:
    code, said = await run(system.state.folder, "watch", "confirmations", "--from-start", "-n", "5", "--lang", "en")
    assert 0 == code
    lines = said.splitlines()
    assert 5 == len(lines)
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d confirmations +wish wish-\S+ and offer \S+ are confirmed: .*told: .*", line) for line in lines), said


async def test_watch_shows_what_comes_until_ctrl_c(played: tuple[Outcome, str], system: Stack, tmp_path: Path) -> None:
    process = await start(system.state.folder, "watch", "wishes")
    file = tmp_path / "events.jsonl"
    file.write_bytes(wish(title="正在看的心愿"))
    assert process.stdout is not None
    async with asyncio.timeout(COMMAND_SECONDS):
        seen = asyncio.create_task(process.stdout.readline())
        while not seen.done():  # it may still be on its way to the end of the topic
            await run(system.state.folder, "publish", "--no-wait", str(file))
            await asyncio.wait({seen}, timeout=1.0)
        assert "正在看的心愿" in (await seen).decode()
        process.send_signal(signal.SIGINT)
        rest, _ = await process.communicate()
    assert 0 == process.returncode, rest.decode()
    assert b"Traceback" not in rest


async def test_an_unknown_topic_is_answered_with_those_there_are(system: Stack) -> None:
    code, said = await run(system.state.folder, "watch", "dreams")
    assert 1 == code
    assert "wishes, offers, responses, matches, confirmations" in said


# ---- explain


async def test_a_confirmed_wish_is_explained_from_its_submission_to_the_notices(played: tuple[Outcome, str], system: Stack) -> None:
    code, said = await run(system.state.folder, "explain", "wish-1-01", "--lang", "en")
    assert 0 == code
    told = [said.find(part) for part in ("care for an elder", "are paired", "because: distance", "confirmation delivered to the", "are confirmed")]
    assert -1 not in told
    assert sorted(told) == told


async def test_a_waiting_wish_is_explained_by_the_rules_that_exclude_the_offers(played: tuple[Outcome, str], system: Stack) -> None:
    code, said = await run(system.state.folder, "explain", played[0].waiting[-1])
    assert 0 == code
    assert "等待帮手 · waiting for a helper" in said
    offers = int(re.search(r"Open offers: (\d+)", said)[1])  # type: ignore[index]
    excluded = {name: int(count) for name, count in re.findall(r"\((\w+)\)\s+│\s+(\d+)", said)}
    assert offers == sum(excluded.values())
    assert excluded["vetting_too_low"] >= 1
    assert "the claim of offer" in said
    near = re.findall(r"^ +offer (\S+)  (\w+): ", said, re.MULTILINE)
    assert "The nearest offers that fail one rule alone" in said
    assert 1 <= len(near) <= 3
    # What `explain` says of an offer, `why-not` says too: that rule alone.
    offer_id, rule = near[0]
    code, said = await run(system.state.folder, "why-not", played[0].waiting[-1], offer_id)
    assert 0 == code
    assert [rule] == re.findall(r"✗ .*\n +(\w+): ", said)
    assert f"Not passed: {rule}." in said


async def test_a_release_is_explained_with_its_reason(played: tuple[Outcome, str], system: Stack) -> None:
    async with asyncio.timeout(30):
        records = await kafka.read_all(system.kafka.bootstrap, ["matches", "confirmations"])
    told = [(dict(record.headers)["ce_type"], orjson.loads(record.value)) for record in records]
    released = [data for kind, data in told if kind == b"lastmetre.match.released.v1"]
    confirmed = {data["match_id"] for kind, data in told if kind == b"lastmetre.match.confirmed.v1"}
    # Of all that the helper had, one whose resident had been told: a match that was only proposed is taken back in silence.
    unsafe = next(data["wish_id"] for data in released if data["reason"] == "unsafe" and data["match_id"] in confirmed)
    _, said = await run(system.state.folder, "explain", unsafe, "--lang", "zh")
    assert "已暂停（审核复查中）" in said
    assert "解除：为安全起见" in said
    assert "取消通知已送达居民" in said


async def test_an_unknown_wish_is_answered_in_clear_words(played: tuple[Outcome, str], system: Stack) -> None:
    code, said = await run(system.state.folder, "explain", "wish-\x1b[31mnone")
    assert 1 == code
    assert "没有心愿" in said
    assert "There is no wish" in said
    assert "dlq list" in said
    assert "\x1b" not in said


# ---- why not


async def matched(system: Stack) -> list[dict[str, Any]]:
    """What was proposed, as it was told."""
    async with asyncio.timeout(30):
        records = await kafka.read_all(system.kafka.bootstrap, ["matches"])
    return [orjson.loads(record.value) for record in records if dict(record.headers)["ce_type"] == b"lastmetre.match.proposed.v1"]


async def test_why_not_tells_each_rule_and_who_has_the_wish_and_names_nobody(played: tuple[Outcome, str], system: Stack) -> None:
    proposed = await matched(system)
    mine = next(data for data in proposed if data["wish_id"] == "wish-1-01")
    other = next(data["offer_id"] for data in proposed if data["offer_id"] != mine["offer_id"])
    code, said = await run(system.state.folder, "why-not", "wish-1-01", other)
    assert 0 == code
    rules = ["skills", "languages", "distance", "vetting", "time", "offer", "meeting", "capacity"]
    assert rules == re.findall(r"^  [✓✗] .*\n    (\w+): ", said, re.MULTILINE)
    assert f"Offer {mine['offer_id']} helps" in said
    assert f"帮手是服务 {mine['offer_id']}" in said
    assert not [data for data in proposed for person in ("resident_ref", "volunteer_ref") if data[person] in said]


async def test_why_not_says_where_the_offer_is_its_match(played: tuple[Outcome, str], system: Stack) -> None:
    mine = next(data for data in await matched(system) if data["wish_id"] == "wish-1-01")
    code, said = await run(system.state.folder, "why-not", "wish-1-01", mine["offer_id"], "--lang", "en")
    assert 0 == code
    assert "It is one of this wish's helpers (paired, " in said
    assert mine["match_id"] in said


async def test_why_not_answers_an_unknown_wish_or_offer_in_clear_words(played: tuple[Outcome, str], system: Stack) -> None:
    for arguments, missing in ((("wish-none", "offer-none"), "There is no wish wish-none"), (("wish-1-01", "offer-\x1b[31mnone"), "There is no offer offer-")):
        code, said = await run(system.state.folder, "why-not", *arguments)
        assert 1 == code
        assert missing in said
        assert "\x1b" not in said
        assert "Traceback" not in said


# ---- a correction, and the wish


async def visited(system: Stack, tmp_path: Path, outcome: str) -> tuple[str, str]:
    """A wish whose visit has ended like that: (wish, match)."""
    name = uuid4().hex[:8]
    wish_id, offer_id, skill = f"wish-{name}", f"offer-{name}", f"only_{name}"
    offer = {
        "offer_id": offer_id, "volunteer_ref": f"v-{name}", "area": AREA, "home": {"community": "c"}, "reach": "area", "skills": [skill],
        "vetting": {"level": 2, "checked_at": "2026-11-01T00:00:00Z"}, "windows": [{"start": "{{now}}", "end": "{{now+8h}}"}], "capacity": 1, "accepts": "auto",
    }  # fmt: skip
    about = {"area": AREA, "wish_id": wish_id, "offer_id": offer_id}
    said = [
        ("offer.posted", offer),
        ("wish.submitted", orjson.loads(wish(wish_id=wish_id, skills=[skill], urgency="red", minutes=15))["data"]),
        ("service.finished", about | {"minutes": 15}),
        ("service.acknowledged", about | {"by": "resident", "outcome": outcome}),
    ]
    envelope = {"specversion": "1.0", "source": "tests", "time": "{{now}}", "subject": wish_id, "partitionkey": AREA}
    for part in (said[:1], said[1:2], said[2:]):
        file = tmp_path / "events.jsonl"
        file.write_bytes(b"\n".join(orjson.dumps(envelope | {"id": uuid4().hex, "type": f"lastmetre.{kind}.v1", "data": data}) for kind, data in part))
        assert 0 == (await run(system.state.folder, "publish", "--no-wait", str(file)))[0]
        if part[0][0] != "offer.posted":
            await seen(system, wish_id, "match.confirmed" if part[0][0] == "wish.submitted" else "match.closed")
    return wish_id, next(data["match_id"] for data in await matched(system) if data["wish_id"] == wish_id)


async def seen(system: Stack, wish_id: str, kind: str) -> None:
    """Wait until that was told of the wish."""
    async with asyncio.timeout(30):
        while not [
            record
            for record in await kafka.read_all(system.kafka.bootstrap, ["confirmations"])
            if dict(record.headers)["ce_type"] == f"lastmetre.{kind}.v1".encode() and orjson.loads(record.value)["wish_id"] == wish_id
        ]:
            pass


async def test_a_correction_says_that_the_wish_was_opened_again_and_withdraws_it_where_it_was_met_after_all(
    played: tuple[Outcome, str], system: Stack, tmp_path: Path
) -> None:
    wish_id, match_id = await visited(system, tmp_path, "partly")
    code, said = await run(system.state.folder, "ledger", "correct", match_id, "--outcome", "done", "--reason", "回访")
    assert 0 == code, said
    assert f"心愿 {wish_id} 在更正前已重新开放" in said
    assert f"Wish {wish_id} was opened again before this correction" in said
    code, said = await run(system.state.folder, "ledger", "correct", match_id, "--outcome", "done", "--reason", "回访", "--withdraw")
    assert (0, True) == (code, f"Wish {wish_id} is withdrawn." in said), said
    assert "withdrawn" in (await run(system.state.folder, "explain", wish_id, "--lang", "en"))[1]


async def test_a_correction_of_what_was_done_says_that_nobody_else_is_looked_for(played: tuple[Outcome, str], system: Stack, tmp_path: Path) -> None:
    wish_id, match_id = await visited(system, tmp_path, "done")
    code, said = await run(system.state.folder, "ledger", "correct", match_id, "--outcome", "not_done", "--reason", "回访", "--withdraw")
    assert (1, True) == (code, "--withdraw goes with --outcome done alone" in said), said
    code, said = await run(system.state.folder, "ledger", "correct", match_id, "--outcome", "not_done", "--reason", "回访")
    assert 0 == code, said
    assert f"心愿 {wish_id} 不会因这次更正重新找帮手" in said
    assert "enter it as a new wish" in said


# ---- dead letters


async def lay(stack: Stack, value: bytes, reason: str = "invalid_field", key: bytes = AREA.encode()) -> str:
    """Put a dead letter there, as a version would have that did not take this event; its place."""
    headers = [*kafka.STRUCTURED_HEADERS, ("x-trace", b"\xff\x00"), ("dlq-reason", reason.encode()), ("dlq-message", "字段 | field".encode())]
    headers += [("dlq-topic", b"wishes"), ("dlq-partition", b"0"), ("dlq-offset", b"0")]
    async with kafka.producer(stack.kafka.bootstrap) as producer:
        place = await producer.send_and_wait("wishes-dlq", value, key=key, headers=headers)
    return f"{place.topic}:{place.partition}:{place.offset}"


async def test_dead_letters_are_listed_and_shown(played: tuple[Outcome, str], system: Stack) -> None:
    code, said = await run(system.state.folder, "dlq", "list", "--topic", "wishes", "--reason", "window_too_short")
    assert 0 == code
    assert "set a later end or fewer minutes" in re.sub(r"[\s│]+", " ", said)
    place = re.search(r"wishes-dlq:\d:\d+", said)
    assert place is not None
    code, said = await run(system.state.folder, "dlq", "show", place[0])
    assert 0 == code
    assert "时间填反了的心愿" in said
    assert f"dlq replay {place[0]}" in said


async def test_a_replayed_letter_goes_to_its_topic_as_it_first_came(played: tuple[Outcome, str], system: Stack) -> None:
    value = wish()
    wish_id = orjson.loads(value)["data"]["wish_id"]
    place = await lay(system, value)
    code, said = await run(system.state.folder, "dlq", "replay", place)
    assert 0 == code, said
    target = re.search(r"→ (\w+):(\d):(\d+)", said)
    assert target is not None
    record = await kafka.read_one(system.kafka.bootstrap, target[1], int(target[2]), int(target[3]))
    assert record is not None
    assert ("wishes", value, AREA.encode()) == (record.topic, record.value, record.key)
    assert ((*kafka.STRUCTURED_HEADERS[0],), ("x-trace", b"\xff\x00")) == record.headers
    async with asyncio.timeout(30):
        while "confirmed" not in (await run(system.state.folder, "explain", wish_id, "--lang", "en"))[1]:
            pass


async def test_replaying_all_sends_letters_of_one_content_once(system: Stack) -> None:
    value = wish()
    for _ in range(3):
        await lay(system, value, "far_off_date")
    code, said = await run(system.state.folder, "dlq", "replay", "--all", "--reason", "far_off_date")
    assert 0 == code, said
    assert "1 sent again, 0 not sent" in said
    sent = Counter(record.value for record in await kafka.read_all(system.kafka.bootstrap, ["wishes"]))
    assert 1 == sent[value]


@pytest.mark.parametrize(("reason", "title"), [("contains_personal_data", "心愿"), ("invalid_field", "请打 *********** 找我")])
async def test_a_masked_letter_is_not_sent_again(system: Stack, reason: str, title: str) -> None:
    before = await ends(system)
    place = await lay(system, wish(title=title), reason)
    code, said = await run(system.state.folder, "dlq", "replay", place)
    assert 1 == code
    assert "已遮盖" in said
    assert "remove that data at its source" in said
    assert before == await ends(system)


@pytest.mark.parametrize("place", ["wishes:0:0", "nonsense", "wishes-dlq:0:99999999", "dreams-dlq:0:0", "wishes-dlq:9:0"])
async def test_a_place_without_a_dead_letter_is_answered_in_clear_words(system: Stack, place: str) -> None:
    code, said = await run(system.state.folder, "dlq", "show", place)
    assert 1 == code
    assert "Traceback" not in said
    assert re.search(r"There is no|Give the place", said)


async def test_what_a_letter_holds_can_do_nothing_to_the_terminal(system: Stack) -> None:
    place = await lay(system, b"\x1b[2J\x1b]0;title\x07 [red]bold[/red]", "not_json")
    for arguments in (("dlq", "show", place), ("dlq", "list"), ("watch", "wishes-dlq", "--from-start", "-n", "1")):
        code, said = await run(system.state.folder, *arguments)
        assert 0 == code
        assert "\x1b" not in said
        assert "\x07" not in said
    _, said = await run(system.state.folder, "dlq", "show", place)
    assert "[red]bold[/red]" in said


# ---- nothing there


@pytest.mark.parametrize(
    "arguments",
    [("publish", str(FIRST_WISH)), ("watch",), ("explain", "wish-1-01"), ("why-not", "wish-1-01", "offer-1"), ("dlq", "list")],
    ids=lambda one: one[0],
)
async def test_where_nothing_runs_it_says_how_to_start(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, said = await run(tmp_path, *arguments)
    assert 1 == code
    assert "python3 -m deploy up" in said
    assert "Traceback" not in said
