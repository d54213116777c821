"""What another policy would have done: the same month, the same answers, and a page that says so."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from deploy.cli import run
from deploy.tools import simulate as work
from deploy.whatif import figures, months
from deploy.whatif.answers import Estimated, Pair, Recorded
from deploy.whatif.choice import choose, differences
from deploy.whatif.compare import compare
from deploy.whatif.course import Arrival
from deploy.whatif.course import run as course
from deploy.whatif.findings import Row, known
from deploy.whatif.measures import HIGH, LOW, Line
from deploy.whatif.months import Month
from deploy.whatif.page import Comparison, page
from deploy.words import Trouble
from schemas import codec
from schemas.codec import Event
from schemas.instants import MINUTE_US, rfc3339
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.replay import Entry, entry_of_line
from services.matcher.written import decision_text
from tests.builders import (
    AREA,
    HOUR,
    accepted,
    approved,
    claim,
    declined,
    instant,
    minors_wish,
    offer,
    offer_suspended,
    offer_withdrawn,
    service,
    wish,
    wish_withdrawn,
)

SEED = 7


def lines_of(events: Iterable[Event]) -> list[bytes]:
    return [codec.structured(event) for event in events]


def month_of(*events: Event, seed: int = SEED) -> Month:
    return months.read(lines_of(events), "events.jsonl", seed)


def compared(month: Month, *given: str) -> Comparison:
    choices = choose(given or ("shipped", "at-once"))
    found, rows = compare(month, choices)
    return Comparison(month, found, rows, differences(choices, month.arrivals), SEED)


def row_of(month: Month, policy: str = "at-once") -> Row:
    return next(row for row in compared(month, "at-once", "shipped").rows if row.name == policy)


def journal(*events: Event, policy: Policy | None = None) -> list[bytes]:
    """The lines of a `journal.jsonl`, as `play` writes them."""
    area, lines = Area(AREA, policy or Policy.at_once()), list[bytes]()

    def write(kind: str, outcome: str, event: Event | None, decision: bytes) -> None:
        row = {"lane": 0, "seq": len(lines), "area": AREA, "at": rfc3339(area.clock), "kind": kind, "outcome": outcome, "topic": None, "partition": None}
        document = None if event is None else orjson.loads(codec.structured(event))
        lines.append(orjson.dumps({**row, "offset": None, "event": document, "decision": orjson.loads(decision)}))

    for event in events:
        now = max(area.clock, event.time)
        while (due := area.next_deadline()) is not None and due <= now:
            changed, told = pass_time(area, max(due, area.clock))
            if changed:
                write("time", "decided", None, decision_text(AREA, area.clock, told))
        outcome, told = decide(area, event, now)
        write("event", outcome, event, decision_text(AREA, now, told))
    return lines


DAY = (
    offer("o1", at=0, accepts="ask", capacity=3, volunteer="v1"),
    offer("o2", at=1, home="c2", capacity=3, volunteer="v2"),
    offer("o3", at=2, skills=["repair"], volunteer="v3"),
    wish("w1", at=3, urgency="blue", wanted=(0, 48 * HOUR)),
    wish("w2", at=4, urgency="red", wanted=(0, 3 * HOUR)),
    wish("w3", at=5, skills=["repair"], category="repair"),
    wish("w4", at=6, skills=["nobody_has_this"], category="culture"),
)


# ---- the same gives the same


def test_the_same_seed_gives_the_same_page_byte_for_byte() -> None:
    assert page(compared(month_of(*DAY))) == page(compared(month_of(*DAY)))


def test_another_seed_draws_other_answers() -> None:
    asked = [offer(f"o{number}", accepts="ask", skills=[f"s{number}"]) for number in range(60)]
    wished = [wish(f"w{number}", at=1, skills=[f"s{number}"]) for number in range(60)]
    assert row_of(month_of(*asked, *wished, seed=1)).fill.filled != row_of(month_of(*asked, *wished, seed=2)).fill.filled


def test_equal_policies_give_equal_rows(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.toml", "other.toml")]
    for path in paths:
        path.write_text("round_minutes = 30\n", encoding="utf-8")
    first, second = compared(month_of(*DAY), *map(str, paths)).rows
    assert first == replace(second, name=first.name)


def test_whoever_is_listed_first_changes_no_row() -> None:
    month = month_of(*DAY)
    one, other = compared(month, "shipped", "at-once").rows, compared(month, "at-once", "shipped").rows
    assert list(one) == list(reversed(other))


def test_areas_and_policies_in_processes_of_their_own_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    month = month_of(*DAY, offer("o9", area="elsewhere"), wish("w9", at=1, area="elsewhere"))
    alone = compared(month)
    monkeypatch.setattr("deploy.whatif.compare._ALONE_EVENTS", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert alone.rows == compared(month).rows


def test_the_generated_month_is_the_published_one_and_repeats() -> None:
    first, second = (compared(work.of_shape("scarce", SEED, 20)) for _ in range(2))
    assert first.rows == second.rows
    assert 20 == len(first.known.wishes)


# ---- what is kept of a recorded month, and what is drawn


def test_a_journal_that_play_wrote_is_accepted() -> None:
    month = months.read(journal(*DAY, accepted("w1", "o1", at=10)), "journal.jsonl", SEED)
    assert (months.JOURNAL, len(DAY), 1) == (month.kind, month.events, month.skipped)
    assert compared(month).rows == compared(month).rows


async def test_the_running_systems_journal_is_the_same_as_its_file() -> None:
    lines = journal(*DAY)

    async def rows() -> AsyncIterator[Entry]:
        for line in lines:
            yield entry_of_line(line)

    running = await months.of_entries(rows(), "matching.journal", SEED)
    assert compared(months.read(lines, "journal.jsonl", SEED)).rows == compared(running).rows


def test_a_journal_and_its_events_come_to_the_same_where_nobody_is_asked() -> None:
    told = [event for event in DAY if event.subject != "o1"]
    recorded = months.read(journal(*told), "journal.jsonl", SEED)
    assert compared(month_of(*told)).rows == compared(recorded).rows


def test_recorded_answers_are_learnt_from_and_not_replayed() -> None:
    month = month_of(*DAY, declined("w1", "o1", at=10), service("finished", "w1", "o1", at=400))
    assert (1, 2) == (month.learnt, month.skipped)


def test_who_mostly_said_no_is_expected_to_say_no() -> None:
    recorded = Recorded()
    for _ in range(40):
        recorded.add(AREA, "always", yes=True)
        recorded.add(AREA, "never", yes=False)
    answers = Estimated.of(recorded, SEED)

    def accepts(volunteer: str) -> int:
        return sum(answers.asked(Pair(AREA, f"w{number}", "o", volunteer, "blue")).yes is True for number in range(400))

    assert accepts("never") < 40 < accepts("newcomer") < 320 < accepts("always")


def test_without_a_record_helpers_are_believed_to_say_yes_about_nine_times_in_ten() -> None:
    answers = Estimated.of(Recorded(), SEED)
    yes = sum(answers.asked(Pair(AREA, f"w{number}", "o", "v", "red")).yes is True for number in range(2000))
    assert 0.88 == pytest.approx(yes / 2000, abs=0.03)


def test_a_journal_tells_who_let_the_time_pass_and_how_long_the_others_took() -> None:
    events = [
        offer("o1", accepts="ask", volunteer="slow", skills=["a"], windows=[(0, 100 * HOUR)]),
        offer("o2", accepts="ask", volunteer="quick", skills=["b"], windows=[(0, 100 * HOUR)]),
        wish("w1", at=1, skills=["a"], wanted=(0, 9 * HOUR)),
        wish("w2", at=1, skills=["b"], wanted=(0, 9 * HOUR)),
        accepted("w2", "o2", at=6),
        wish("w3", at=20 * HOUR, skills=["c"], wanted=(20 * HOUR, 30 * HOUR)),
    ]
    reader = months._Reader()
    for number, line in enumerate(journal(*events)):
        reader.entry(number, entry_of_line(line))
    assert {(AREA, "slow"): 1} == dict(reader.recorded.silent)
    assert {"yellow": [5 * MINUTE_US]} == dict(reader.recorded.delays)


def test_who_called_off_after_a_yes_is_counted_as_that() -> None:
    lines = journal(offer("o1", volunteer="v1"), wish("w1", at=1), declined("w1", "o1", at=5))
    reader = months._Reader()
    for number, line in enumerate(lines):
        reader.entry(number, entry_of_line(line))
    assert (1, 1, 0) == (reader.recorded.told, reader.recorded.called_off, reader.recorded.answers)


def test_a_claim_is_kept_at_its_time() -> None:
    month = month_of(offer("o1", at=0), wish("w1", at=1), claim("w1", "o1", at=2))
    assert 1 == row_of(month).refused_claims


def test_withdrawals_and_suspensions_are_decided_again() -> None:
    month = month_of(offer("o1"), offer("o2"), wish("w1", at=1), offer_suspended("o1", at=2), wish_withdrawn("w1", at=3))
    assert {"unsafe": 1, "withdrawn": 1} == row_of(month).released


def test_a_wish_that_asks_for_a_community_workers_word_gets_one() -> None:
    month = month_of(offer("o1"), wish("w1", at=1, approval="worker"), approved("w9", "o9", at=2))
    row = row_of(month)
    assert (1, 1) == (row.fill.filled, row.sure["yellow"].wishes)


def test_two_together_are_confirmed_together() -> None:
    month = month_of(offer("o1"), offer("o2"), minors_wish("w1", at=1, wanted=(60, 240)))
    tally = course(AREA, Policy.at_once(), month.arrivals[AREA], month.answers)
    assert (2, instant(1)) == (len(tally.stood), tally.sure["w1"])


def test_a_repeat_is_one_event() -> None:
    month = month_of(wish("w1", event_id="twice"), wish("w1", event_id="twice"))
    assert (1, 1) == (month.events, month.repeats)


# ---- what is counted


def test_a_policy_under_which_nobody_is_found_in_time_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "nobody.toml"
    path.write_text("invite_max = 0\nword_minutes = 0.01\n[answer_minutes]\nred = 0.02\nyellow = 0.02\nblue = 0.02\n", encoding="utf-8")
    month = month_of(offer("o1", accepts="ask", capacity=5), *(wish(f"w{number}", at=1, urgency="red", wanted=(0, 3 * HOUR)) for number in range(3)))
    nobody, shipped = compared(month, str(path), "shipped").rows
    assert (0, 1.0, 0.0) == (nobody.fill.filled, nobody.idle, nobody.quality)
    assert nobody.asked_per_match is None
    assert {"unanswered": 3} == nobody.released
    assert shipped.fill.filled > 0


def test_waits_fills_and_tasks_are_counted() -> None:
    row = row_of(month_of(*(event for event in DAY if event.subject != "o1")))
    assert (3, 4) == (row.fill.filled, row.fill.places)
    assert 0.0 == row.by_category["culture"].part
    assert (1, 2) == row.tasks
    assert 0.0 == row.first["red"].median


def test_a_wish_that_nobody_could_help_is_not_the_oldest_feasible_one() -> None:
    found = known(month_of(*DAY))
    assert found.wishes[AREA, "w4"].feasible_at is None
    assert instant(5) == found.wishes[AREA, "w3"].feasible_at


def test_a_wish_for_two_together_is_feasible_when_the_second_can_come() -> None:
    found = known(month_of(minors_wish("w1", wanted=(60, 480)), offer("o1", at=5), offer("o2", at=9)))
    assert instant(9) == found.wishes[AREA, "w1"].feasible_at


def test_an_offer_that_was_taken_back_before_the_wish_helps_nobody() -> None:
    found = known(month_of(offer("o1"), offer_withdrawn("o1", at=1), wish("w1", at=2)))
    assert found.wishes[AREA, "w1"].feasible_at is None


def test_what_reads_the_same_is_as_good_and_what_is_equal_is_not_marked() -> None:
    name = ("", "")
    assert {0, 1} == Line(name, ("1.0", "1.0", "2.0"), (1.0, 1.01, 2.0), LOW).best()
    assert {2} == Line(name, ("1.0", "1.0", "2.0"), (1.0, 1.01, 2.0), HIGH).best()
    assert {1} == Line(name, ("–", "2.0", "1.0"), (None, 2.0, 1.0), HIGH).best()
    assert set() == Line(name, ("1 / 2", "1 / 3"), (1.0, 1.0), LOW).best()
    assert set() == Line(name, ("1.0", "2.0"), (1.0, 2.0)).best()


def test_what_differs_between_the_policies_is_told_in_the_files_own_units() -> None:
    found = {one.key: one.values for one in differences(choose(["shipped", "at-once"]), [AREA])}
    assert {"round_minutes": ("5", "0"), "invite_max": ("3", "0"), "tell_unmet": ("true", "false"), "night": ("22:00-07:00", '""')} == found


def test_a_key_that_differs_in_one_area_alone_is_told_of_that_area(tmp_path: Path) -> None:
    path = tmp_path / "areas.toml"
    path.write_text('[areas."east"]\ninvite_max = 9\n', encoding="utf-8")
    found = differences(choose(["shipped", str(path)]), ["east", "west"])
    assert [("east", "invite_max", ("3", "9"))] == [(one.area, one.key, one.values) for one in found]


# ---- the page


def texts(html: str) -> str:
    return " ".join(ET.fromstring(html.partition("\n")[2]).itertext())


def test_the_page_is_well_formed_and_in_both_languages() -> None:
    html = page(compared(month_of(*DAY)))
    assert html.startswith('<!DOCTYPE html>\n<html lang="zh-CN">')
    said = texts(html)
    for word in ("名额满足率", "places filled", "基尼系数", "Gini of tasks", "答复是模拟的", "Answers are simulated", "最久的可帮心愿", "oldest feasible wish"):
        assert word in said


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = page(compared(month_of(*DAY)))
    assert [] == re.findall(r"<script|<link|<img|@import|url\(|\bsrc=|\bhref=", html)
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"https?://[^\"' ]+", html))
    assert "default-src 'none'" in html


def test_the_page_has_every_picture() -> None:
    assert 7 == page(compared(month_of(*DAY))).count("<svg ")


def test_names_from_outside_cannot_become_markup(tmp_path: Path) -> None:
    path = tmp_path / "<b>&.toml"
    path.write_text("", encoding="utf-8")
    html = page(compared(month_of(*DAY), "shipped", str(path)))
    assert "<b>&" not in html
    assert "<b>&" in texts(html)


def test_lines_that_are_left_out_are_named_on_the_page() -> None:
    month = months.read([*lines_of(DAY), b"{", b""], "events.jsonl", SEED)
    assert "events.jsonl:8" in texts(page(compared(month)))


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (0.0, 37.7), (0.48, 0.52), (0.0, 0.0004), (0.9, 1.0), (0.0, 5000.0)])
def test_ticks_are_few_and_cover_what_is_drawn(lowest: float, highest: float) -> None:
    found = figures.ticks(lowest, highest)
    assert 2 <= len(found) <= 8
    assert found[0] <= lowest + 1e-9
    assert found[-1] >= highest - 1e-9


def test_no_policys_number_hides_another() -> None:
    svg = figures.scatter([figures.Dot(1.0, 0.5, f"p{number}") for number in range(6)], "label", ("", ""), ("", ""))
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert 6 == len(set(places))
    heights = sorted(float(y) for _, y in places)
    assert min(second - first for first, second in pairwise(heights)) >= 18


def test_a_month_in_which_nothing_is_filled_can_be_drawn() -> None:
    assert "–" in texts(page(compared(month_of(wish("w1", skills=["nobody_has_this"])))))


# ---- wrong input


def refused(given: Sequence[str]) -> str:
    with pytest.raises(Trouble) as told:
        choose(given)
    return str(told.value)


def test_one_policy_alone_is_refused() -> None:
    assert "at least twice" in refused(["shipped"])


def test_a_policy_that_is_named_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("", encoding="utf-8")
    assert "shipped is given twice" in refused(["shipped", "at-once", "shipped"])
    assert "./mine.toml 给了两次" in refused(["mine.toml", "./mine.toml"])


def test_more_policies_than_colours_are_refused() -> None:
    assert "At most 6" in refused([f"p{number}.toml" for number in range(7)])


def test_a_policy_that_is_not_there_is_named_with_what_would_do() -> None:
    assert "There is no policy file nowhere.toml. Give shipped, at-once" in refused(["shipped", "nowhere.toml"])


def test_a_policy_file_that_is_not_valid_says_which_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("invite_max = -1\n[patience_minutes]\ngreen = 4\n", encoding="utf-8")
    said = refused(["shipped", str(path)])
    assert f"{path}: invite_max in the policy file is not valid" in said
    assert "patience_minutes.green" in said
    assert f"{path}：规则文件中 invite_max 不合规" in said


def test_two_files_of_one_name_are_shown_by_their_paths(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "policy.toml" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("", encoding="utf-8")
    assert [str(path) for path in paths] == [one.name for one in choose([str(path) for path in paths])]


def test_a_line_that_is_not_valid_is_counted_and_left_out() -> None:
    document = orjson.loads(codec.structured(wish("w9")))
    document["data"]["urgency"] = "green"
    month = months.read([*lines_of(DAY), orjson.dumps(document)], "events.jsonl", SEED)
    assert (1, len(DAY)) == (month.faulty, month.events)
    assert 8 == month.faults[0].line
    assert "data.urgency" in month.faults[0].words[1]
    assert "data.urgency" in month.faults[0].words[0]


def test_a_row_that_is_none_of_a_journal_is_left_out() -> None:
    month = months.read([*journal(*DAY), b'{"lane": 1}'], "journal.jsonl", SEED)
    assert (1, len(DAY)) == (month.faulty, month.events)


def test_a_file_without_a_wish_says_what_is_wrong_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "matches.jsonl"
    path.write_bytes(b'{"topic": "matches", "value": {}}\n')
    with pytest.raises(Trouble, match=r"matches.jsonl:1: field specversion is missing[\s\S]*journal.jsonl that play wrote"):
        work.of_file(path, SEED)


def test_a_stream_that_is_not_published_is_refused_with_those_that_are() -> None:
    with pytest.raises(Trouble, match="It has: ample, balanced, scarce, month"):
        work.of_shape("year", SEED, None)


# ---- the command


def command(*arguments: str) -> int:
    return run(["simulate", *arguments])


def test_the_command_shows_a_table_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\n".join(journal(*DAY)) + b"\n")
    assert 0 == command("--policy", "shipped", "--policy", "at-once", str(path), "--out", str(tmp_path / "out"), "--seed", "3")
    said = capsys.readouterr().out
    assert "名额满足率 · places filled" in said
    assert "Answers are simulated" in said
    first = (tmp_path / "out" / "simulate.html").read_bytes()
    assert 0 == command("--policy", "shipped", "--policy", "at-once", str(path), "--out", str(tmp_path / "again"), "--seed", "3")
    assert first == (tmp_path / "again" / "simulate.html").read_bytes()


def test_the_page_goes_into_the_state_folder_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(tmp_path))
    assert 0 == command("--policy", "shipped", "--policy", "at-once", "--generated", "scarce", "--wishes", "5")
    assert (tmp_path / "simulate" / "simulate.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--generated", "month", "events.jsonl"], "Give one source"),
        ([], "Give one source"),
        (["--wishes", "5", "events.jsonl"], "--wishes goes with --generated only"),
        (["gone.jsonl"], "gone.jsonl cannot be read"),
    ],
)
def test_wrong_use_is_told_in_both_languages(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == command("--policy", "shipped", "--policy", "at-once", *arguments)
    errors = capsys.readouterr().err
    assert said in errors
    assert re.search("[一-龥]", errors)


def test_arrivals_are_in_the_order_in_which_play_would_send_them() -> None:
    month = month_of(wish("w2", at=1.5), wish("w1", at=1.1), offer("o1", at=0))
    assert ["o1", "w2", "w1"] == [arrival.event.subject for arrival in month.arrivals[AREA]]
    assert isinstance(month.arrivals[AREA][0], Arrival)
