"""The checker passes a good folder, and each of its checks notices the one thing that was spoilt for it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tests.checker
from tests.checker import Report, check, wire
from tests.checker.__main__ import main
from tests.checker.generate import expectations, generate, line_of
from tests.checker.validity import judge
from tests.unit.made_folder import MadeFolder, good_day, instant, offer, span, wish

Spoil = Callable[[MadeFolder], object]
ROOT = Path(tests.checker.__file__).parent
PHONE = "13812345678"


def run(day: MadeFolder, folder: Path, *, with_input: bool = False, after: Spoil | None = None) -> Report:
    day.build()
    source = folder / "input.jsonl"
    source.write_bytes(b"\n".join(day.lines()) + b"\n")
    if after is not None:
        after(day)
    day.write(folder)
    return check(folder, source if with_input else None, eager=True)


def later(day: MadeFolder, *decision: dict[str, object]) -> object:
    """One more decision, after the withdrawal and before the expiry."""
    day.take("08:11", "wish.withdrawn", {"wish_id": "nobody"}, list(decision), at=len(day.entries) - 1)
    return None


def closed(day: MadeFolder, match_id: str, wish_id: str, offer_id: str) -> object:
    """One more closing, before the expiry."""
    data = {"match_id": match_id, "wish_id": wish_id, "offer_id": offer_id, "outcome": "done", "minutes": 60, "closed_at": instant("08:11"), "by": "resident"}
    return day.take("08:11", "match.closed", data, at=len(day.entries) - 1)


def again(day: MadeFolder, name: str, wish_id: str, offer_id: str, **more: object) -> object:
    return later(day, day.proposed("08:11", name, wish_id, offer_id, span("15:00", "16:00"), **more))


def too_soon(day: MadeFolder, rest: int) -> object:
    """Half an hour after another visit with `o2`, who wants so many minutes between them."""
    day.of("o2").update(rest_minutes=rest)
    slot = span("11:30", "12:30")
    return day.take("08:11", "wish.submitted", wish("w6", "cook", slot), [day.proposed("08:11", "m6", "w6", "o2", slot)], at=len(day.entries) - 1)


def one_too_many(day: MadeFolder) -> object:
    """Two visits a week are too many for `o2`, as is said by then, although the first is over."""
    day.take("08:10", "offer.posted", day.of("o2") | {"per_week_max": 1}, at=len(day.entries) - 1)
    slot = span("14:00", "15:00")
    return day.take("11:30", "wish.submitted", wish("w6", "cook", slot), [day.proposed("11:30", "m6", "w6", "o2", slot)])


def expired(day: MadeFolder, wish_id: str, clock: str, filled: int) -> object:
    return day.time(clock, [day.event("wish.expired", {"wish_id": wish_id, "filled": filled}, clock)])


def before_wish(day: MadeFolder, kind: str, data: dict[str, object]) -> object:
    return day.take("08:00", kind, data, at=1)


def invite(day: MadeFolder, offer_id: str, *, until: str = "08:40", times: int = 1) -> object:
    data = {"wish_id": "w1", "offer_id": offer_id, "expires_at": instant(until)}
    return day.time("08:12", [day.event("helper.invited", data, "08:12") for _ in range(times)])


def twins(day: MadeFolder, until: str) -> object:
    """Two offers of one volunteer, both invited to a wish for which nobody but them is there."""
    for name in ("o7", "o8"):
        asks = day.of("o2") | {"offer_id": name, "volunteer_ref": "v-twin", "accepts": "ask"}
        day.take("08:11", "offer.posted", asks, at=len(day.entries) - 1)
    invited = [day.event("helper.invited", {"wish_id": "w6", "offer_id": name, "expires_at": instant(until)}, "08:11") for name in ("o7", "o8")]
    return day.take("08:11", "wish.submitted", wish("w6", "cook", span("14:00", "15:00")), invited, at=len(day.entries) - 1)


def suspend(day: MadeFolder, offer_id: str, *released: tuple[str, str, str]) -> object:
    events = [day.about("match.released", "08:11", m, w, offer_id, reason=reason) for m, w, reason in released]
    return day.take("08:11", "offer.suspended", {"offer_id": offer_id}, events, at=len(day.entries) - 1)


def check_again(day: MadeFolder, level: int, *released: tuple[str, str, str, str]) -> object:
    """`o2`, who visits a child, is posted again with that level; whom that releases."""
    events = [day.about("match.released", "08:11", m, w, o, reason=reason) for m, w, o, reason in released]
    vetting = day.of("o2")["vetting"] | {"level": level}
    return day.take("08:11", "offer.posted", day.of("o2") | {"vetting": vetting}, events, at=len(day.entries) - 1)


def reconfirm(day: MadeFolder, name: str, clock: str) -> object:
    day.confirmed(clock, {"data": day.of(name)})
    day.entries[-2:] = reversed(day.entries[-2:])
    return None


def confirm_late(day: MadeFolder) -> object:
    day.without(day.entry("match.confirmed", "m5"))
    return reconfirm(day, "m5", "08:12")


def fail(day: MadeFolder, name: str) -> object:
    data = {"match_id": name, "wish_id": day.of(name)["wish_id"], "offer_id": day.of(name)["offer_id"], "reason": "gone"}
    return day.take("08:11", "confirmation.failed", data, at=len(day.entries) - 1)


def drop_match(day: MadeFolder, name: str) -> object:
    for entry in day.entries:
        entry["decision"] = [one for one in entry["decision"] if one["data"].get("match_id") != name]
    day.without(day.entry("match.confirmed", name))
    return None


def set_slot(day: MadeFolder, start: str, end: str, *names: str) -> object:
    for event in day.events():
        if event["data"].get("match_id") in names and "slot" in event["data"]:
            event["data"]["slot"] = span(start, end)
    return None


def ungroup(day: MadeFolder) -> object:
    for event in day.events():
        event["data"].pop("group_id", None)
        event["data"].pop("group_size", None)
    return None


def move_lane(day: MadeFolder) -> object:
    return day.entries[3].update(lane=(day.entries[3]["lane"] + 1) % 6)


def replace(day: MadeFolder, kind: str, name: str, **fields: object) -> object:
    return day.entry(kind, name).update(fields)


# By rule: what spoils the good day before it is written.
SPOILT: list[tuple[str, Spoil]] = [
    ("invitation/fields", lambda d: invite(d, "o99")),
    ("invitation/rule", lambda d: invite(d, "o1")),
    ("invitation/once", lambda d: invite(d, "o1", times=2)),
    ("invitation/end", lambda d: invite(d, "o1", until="08:11")),
    ("invitation/end", lambda d: twins(d, "14:05")),
    ("invitation/person", lambda d: twins(d, "08:20")),
    ("promise-1/need", lambda d: again(d, "m9", "w1", "o2")),
    ("promise-1/one-volunteer", lambda d: (d.of("w1").update(helpers_needed=2), again(d, "m9", "w1", "o1"))),
    ("promise-1/capacity", lambda d: d.of("o1").update(capacity=1)),
    ("promise-1/overlap", lambda d: (d.of("w5").update(window=span("10:00", "11:30")), set_slot(d, "10:30", "11:30", "m5"))),
    ("promise-2/same-area", lambda d: again(d, "m9", "nobody", "o2")),
    ("promise-2/wish-over", lambda d: again(d, "m9", "w5", "o1")),
    ("promise-2/offer-over", lambda d: before_wish(d, "offer.withdrawn", {"offer_id": "o1"})),
    ("promise-2/skills", lambda d: d.of("w1").update(skills=["cook", "dance"])),
    ("promise-2/languages", lambda d: d.of("w1").update(languages=["yi"])),
    ("promise-2/reach", lambda d: d.of("o1").update(reach="unit")),
    ("promise-2/rung", lambda d: d.of("m1").update(rung="unit")),
    ("promise-2/vetting", lambda d: (d.of("o1")["vetting"].update(level=1), d.of("w1")["beneficiary"].update(lives_alone=True))),
    ("promise-2/vetting-age", lambda d: d.of("o2")["vetting"].update(checked_at="2025-11-24T09:59:59Z")),
    ("promise-2/slot-length", lambda d: set_slot(d, "09:00", "09:30", "m1")),
    ("promise-2/wish-window", lambda d: d.of("w1").update(window=span("09:30", "12:00"))),
    ("promise-2/offer-window", lambda d: d.of("o1").update(windows=[span("08:00", "09:30"), span("09:30", "20:00")])),
    ("promise-2/not-before-now", lambda d: (set_slot(d, "08:00", "09:00", "m1"), d.of("w1").update(window=span("08:00", "10:00")))),
    ("promise-2/rest", lambda d: too_soon(d, 31)),
    ("promise-2/per-week", one_too_many),
    ("promise-2/earliest", lambda d: set_slot(d, "09:05", "10:05", "m1")),
    ("rule/never-again", lambda d: again(d, "m9", "w5", "o2")),
    ("rule/accepts", lambda d: d.of("m4").update(needs_answer=False, expires_at=None)),
    ("together/group", ungroup),
    ("together/group-size", lambda d: d.of("m2").update(group_size=3)),
    ("together/one-slot", lambda d: set_slot(d, "11:00", "12:00", "m3")),
    ("together/two-volunteers", lambda d: drop_match(d, "m3")),
    ("together/one-wish", lambda d: d.of("m3").update(wish_id="w2")),
    ("together/earliest", lambda d: set_slot(d, "10:30", "11:30", "m2", "m3")),
    ("together/one-decision", lambda d: again(d, "m9", "w3", "o2", group_id="g1", group_size=1)),
    ("together/only-together", lambda d: d.of("m1").update(group_id="g9", group_size=1)),
    ("together/released-together", lambda d: suspend(d, "o2", ("m3", "w3", "unsafe"))),
    ("together/confirmed-together", lambda d: d.without(d.entry("match.confirmed", "m3"))),
    ("claim/answered-once", lambda d: replace(d, "wish.claimed", "c1", decision=[])),
    ("claim/reason", lambda d: d.entry("wish.claimed", "c1")["decision"][0]["data"].update(reason="language_missing")),
    ("claim/grant", lambda d: d.of("w2").update(skills=["cook"])),
    ("claim/how", lambda d: d.of("m1").update(how="claimed")),
    ("claim/answer", lambda d: d.entry("wish.claimed", "c1")["decision"][0]["data"].update(claim_id="c2")),
    ("agreed/unknown", lambda d: later(d, d.about("match.agreed", "08:11", "m99", "w1", "o1"))),
    ("agreed/once", lambda d: later(d, d.about("match.agreed", "08:11", "m4", "w4", "o3"))),
    ("agreed/answer", lambda d: d.entry("match.accepted", "w4")["event"]["data"].update(offer_id="o1")),
    ("agreed/approval", lambda d: d.of("w4").update(approval="worker")),
    ("release/unknown", lambda d: later(d, d.about("match.released", "08:11", "m99", "w1", "o1", reason="declined"))),
    ("release/once", lambda d: later(d, d.about("match.released", "08:11", "m5", "w5", "o2", reason="declined"))),
    ("release/fields", lambda d: d.entry("wish.withdrawn", "w5")["decision"][0]["data"].update(offer_id="o1")),
    ("release/reason", lambda d: d.entry("wish.withdrawn", "w5")["decision"][0]["data"].update(reason="unsafe")),
    ("release/withdrawn", lambda d: replace(d, "wish.withdrawn", "w5", decision=[])),
    ("release/unsafe", lambda d: suspend(d, "o3")),
    ("release/check", lambda d: check_again(d, 3)),
    ("release/reason", lambda d: check_again(d, 4, ("m3", "w3", "o2", "unsafe"))),
    ("release/undeliverable", lambda d: fail(d, "m1")),
    ("closed/unknown", lambda d: closed(d, "m99", "w1", "o1")),
    ("closed/once", lambda d: closed(d, "m5", "w5", "o2")),
    ("confirmation/once", lambda d: reconfirm(d, "m1", "08:12")),
    ("confirmation/unknown", lambda d: d.entry("match.confirmed", "m1")["event"]["data"].update(match_id="m99")),
    ("confirmation/released", confirm_late),
    ("confirmation/answer", lambda d: replace(d, "match.accepted", "w4", decision=[])),
    ("confirmation/approval", lambda d: d.of("w1").update(approval="worker")),
    ("confirmation/fields", lambda d: d.entry("match.confirmed", "m1")["event"]["data"].update(rung="area")),
    ("confirmation/time", lambda d: d.entry("match.confirmed", "m1")["event"]["data"].update(confirmed_at=instant("08:00"))),
    ("confirmation/notices", lambda d: d.entry("match.confirmed", "m1")["event"]["data"]["notices"].pop()),
    ("confirmation/missing", lambda d: d.without(d.entry("match.confirmed", "m1"))),
    ("expiry/early", lambda d: d.of("w2").update(window=span("09:00", "11:30"))),
    ("expiry/missing", lambda d: d.entries.pop()),
    ("expiry/once", lambda d: expired(d, "w2", "11:00", 0)),
    ("expiry/unknown", lambda d: expired(d, "w99", "11:00", 0)),
    ("expiry/filled", lambda d: expired(d, "w1", "12:00", 1)),
    ("expiry/withdrawn", lambda d: expired(d, "w5", "14:00", 0)),
    ("expiry/count", lambda d: d.entries[-1]["decision"][0]["data"].update(filled=1)),
    ("maximal/tried-at-once", lambda d: drop_match(d, "m1")),
    ("promise-3/once", lambda d: d.entries[-2].update(outcome="no_effect")),
    ("promise-3/once", lambda d: d.entries[-2].update(outcome="no_effect", lane=5)),
    ("promise-3/once", lambda d: d.entries[-2]["event"].update(id="never-before")),
    ("promise-3/outcome", lambda d: replace(d, "wish.submitted", "w1", outcome="no_effect")),
    ("promise-3/no-effect", lambda d: replace(d, "wish.submitted", "w2", outcome="no_effect")),
    ("promise-3/invalid", lambda d: d.of("w2").pop("skills")),
    ("clock/backwards", lambda d: replace(d, "wish.submitted", "w2", at=instant("07:59"))),
    ("clock/behind", lambda d: d.entry("wish.submitted", "w2")["event"].update(time=instant("08:05"))),
    ("journal/decided-twice", lambda d: later(d, d.entry("wish.submitted", "w1")["decision"][0])),
    ("journal/lane", move_lane),
    ("journal/partition", move_lane),
    ("out/time", lambda d: d.entry("wish.submitted", "w1")["decision"][0].update(time=instant("08:02"))),
    ("out/area", lambda d: d.of("m1").update(area="zhonghe")),
    ("out/key", lambda d: d.entry("wish.submitted", "w1")["decision"][0].update(partitionkey="zhonghe")),
    ("out/fields", lambda d: d.of("m1").pop("reasons")),
    ("out/match-id", lambda d: again(d, "m1", "w1", "o2")),
    ("out/type", lambda d: later(d, d.event("match.dreamt", {"match_id": "m1"}, "08:11"))),
    ("out/envelope", lambda d: d.entry("wish.submitted", "w1")["decision"][0].update(subject="else")),
    ("privacy", lambda d: d.of("w2").update(note="电话１３８ 1234-5678")),
    ("privacy", lambda d: d.of("w2").update(note="证号 510107195003078811")),
]  # fmt: skip

# By rule: what spoils the files of a day that went well.
SPOILT_FILES: list[tuple[str, Spoil]] = [
    ("folder/record", lambda d: d.files["matches"][0].pop("key")),
    ("folder/journal", lambda d: d.files["journal"][0].update(outcome="odd")),
    ("journal/sequence", lambda d: d.files["journal"][1].update(seq=0)),
    ("journal/position", lambda d: d.files["journal"][3].update(topic="wishes", offset=1)),
    ("journal/undecided", lambda d: d.files["journal"][1].update(decision=[])),
    ("journal/unpublished", lambda d: d.files["matches"].pop(0)),
    ("journal/unpublished", lambda d: d.files["confirmations"].pop(0)),
    ("journal/differs", lambda d: d.files["matches"][0]["value"].update(rung="area")),
    ("out/position", lambda d: d.files["matches"][1].update(offset=0)),
    ("out/repeat", lambda d: d.files["matches"].append(copy.deepcopy(d.files["matches"][0]) | {"offset": 99, "value": {}})),
    ("out/partition", lambda d: d.files["matches"][0].update(partition=(d.files["matches"][0]["partition"] + 1) % 6)),
    ("out/topic", lambda d: d.files["matches"][0].update(topic="confirmations")),
    ("out/key", lambda d: d.files["matches"][0].update(key="zhonghe")),
    ("out/envelope", lambda d: d.files["matches"][0]["headers"].pop("ce_id")),
    ("dead-letter/headers", lambda d: d.files["dead-letters"][0]["headers"].pop("dlq-message")),
    ("dead-letter/topic", lambda d: d.files["dead-letters"][0].update(topic="offers-dlq")),
    ("dead-letter/repeat", lambda d: d.files["dead-letters"].append(d.files["dead-letters"][0] | {"offset": 1, "value": "other"})),
    ("privacy", lambda d: d.files["dead-letters"][0].update(value=f"hello {PHONE}")),
    ("summary/numbers", lambda d: d.summary.update(expired=2)),
    ("summary/numbers", lambda d: d.summary.update(duplicates=0)),
    ("summary/fields", lambda d: d.summary.pop("filled")),
]  # fmt: skip


def lose(day: MadeFolder) -> object:
    """The journal forgets an offer that nobody needed."""
    return day.files.update(journal=[entry for entry in day.files["journal"] if entry["outcome"] != "duplicate"])


# By rule, with the input file at hand.
SPOILT_INTAKE: list[tuple[str, Spoil]] = [
    ("promise-3/lost", lambda d: d.files["journal"].remove(d.entry("wish.submitted", "w2"))),
    ("promise-3/lost", lambda d: d.files["dead-letters"].clear()),
    ("promise-3/duplicates", lose),
    ("promise-3/refused", lambda d: d.files["dead-letters"][0].update(value="other")),
    ("promise-3/invented", lambda d: d.entry("wish.submitted", "w2")["event"].update(id="made-up")),
    ("promise-3/topic", lambda d: replace(d, "wish.submitted", "w2", topic="offers")),
    ("promise-3/area", lambda d: replace(d, "wish.submitted", "w2", area="zhonghe")),
    ("promise-3/content", lambda d: d.of("w2").update(title="another")),
    (
        "dead-letter/topic",
        lambda d: (d.files["dead-letters"][0]["headers"].update({"dlq-topic": "offers"}), d.files["dead-letters"][0].update(topic="offers-dlq")),
    ),
    ("summary/numbers", lambda d: d.summary.update(published=1)),
]  # fmt: skip


def ids(table: list[tuple[str, Spoil]]) -> list[str]:
    return [f"{number}-{rule}" for number, (rule, _) in enumerate(table)]


def test_passes_a_good_folder_without_a_word(tmp_path: Path) -> None:
    report = run(good_day(), tmp_path, with_input=True)
    assert [] == [str(violation) for violation in report.violations]
    assert [] == [str(warning) for warning in report.warnings]
    assert 5 == report.counts["proposals judged"]
    assert 5 == report.counts["confirmations judged"]
    assert 1 == report.counts["claims judged"]


@pytest.mark.parametrize(("rule", "spoil"), SPOILT, ids=ids(SPOILT))
def test_catches_what_was_decided_wrongly(rule: str, spoil: Spoil, tmp_path: Path) -> None:
    day = good_day()
    spoil(day)
    assert rule in run(day, tmp_path).rules()


@pytest.mark.parametrize(("rule", "spoil"), SPOILT_FILES, ids=ids(SPOILT_FILES))
def test_catches_files_that_disagree(rule: str, spoil: Spoil, tmp_path: Path) -> None:
    assert rule in run(good_day(), tmp_path, after=spoil).rules()


@pytest.mark.parametrize(("rule", "spoil"), SPOILT_INTAKE, ids=ids(SPOILT_INTAKE))
def test_catches_lines_that_went_astray(rule: str, spoil: Spoil, tmp_path: Path) -> None:
    assert rule in run(good_day(), tmp_path, with_input=True, after=spoil).rules()


def test_takes_it_that_a_visit_is_called_off_for_a_check_that_does_not_hold_any_more(tmp_path: Path) -> None:
    day = good_day()
    check_again(day, 3, ("m2", "w3", "o1", "group_incomplete"), ("m3", "w3", "o2", "unsafe"))
    assert not {"release/reason", "release/check", "together/released-together"} & run(day, tmp_path).rules()


def test_is_not_sure_of_who_is_invited_by_an_offer_that_was_withdrawn_before_it_came(tmp_path: Path) -> None:
    day = good_day()
    day.take("08:11", "offer.withdrawn", {"offer_id": "o7"}, at=len(day.entries) - 1)
    day.take("08:12", "offer.posted", day.of("o2") | {"offer_id": "o7", "volunteer_ref": "v-7", "accepts": "ask"}, at=len(day.entries) - 1)
    invited = day.event("helper.invited", {"wish_id": "w6", "offer_id": "o7", "expires_at": instant("08:23")}, "08:13")
    day.take("08:13", "wish.submitted", wish("w6", "cook", span("14:00", "15:00")), [invited], at=len(day.entries) - 1)

    report = run(day, tmp_path)

    assert ["invitation/rule"] == [one.rule for one in report.warnings if one.rule.startswith("invitation")]
    assert not any(one.rule.startswith("invitation") for one in report.violations)


def test_wants_the_reason_code_that_the_contract_names(tmp_path: Path) -> None:
    day = good_day()
    event = day.event("wish.submitted", wish("w9", "cook", span("09:00", "09:30")), "08:00")
    day.extra_lines = [json.dumps(event).encode()]
    assert "dead-letter/reason" in run(day, tmp_path, with_input=True, after=lambda d: d.files["dead-letters"][0].update(value=event)).rules()


def test_takes_a_masked_dead_letter_for_its_line(tmp_path: Path) -> None:
    day = good_day()
    event = day.event("wish.submitted", wish("w9", "cook", span("09:00", "11:00"), note=f"tel {PHONE}"), "08:00")
    day.extra_lines = [json.dumps(event).encode()]

    def mask(made: MadeFolder) -> None:
        masked = copy.deepcopy(event)
        masked["data"]["note"] = "tel ***"
        made.files["dead-letters"][0].update(value=masked)
        made.files["dead-letters"][0]["headers"]["dlq-reason"] = "contains_personal_data"

    assert set() == run(day, tmp_path, with_input=True, after=mask).rules()


@pytest.mark.parametrize("title", ["another", None])
def test_wants_the_first_arrival_of_an_event_to_count_and_no_later_one(title: str | None, tmp_path: Path) -> None:
    day = good_day()
    again = copy.deepcopy(day.entry("wish.submitted", "w2")["event"])
    again["data"]["title"] = "another"
    day.extra_lines = [json.dumps(again).encode()]
    found = run(day, tmp_path, with_input=True, after=lambda made: title and made.of("w2").update(title=title)).rules()
    assert ("promise-3/content" in found) == (title is not None)


def test_takes_a_repeat_in_another_area_for_one_whichever_lane_stands_first(tmp_path: Path) -> None:
    day = good_day()
    again = copy.deepcopy(day.entry("wish.submitted", "w2")) | {"area": "zhonghe", "lane": day.entries[0]["lane"] - 1, "outcome": "duplicate", "decision": []}
    day.entries.insert(0, again)
    assert "promise-3/once" not in run(day, tmp_path).rules()


@pytest.mark.parametrize("written", ["2026-11-23t08:00:00z", "2026-11-23 16:00:00+08:00", "2026-11-23T08:00:00.000-00:00"])
def test_reads_a_time_as_rfc_3339_may_write_it(written: str) -> None:
    assert wire.parse_time("2026-11-23T08:00:00Z") == wire.parse_time(written)


def test_counts_an_identical_repeat_without_blame(tmp_path: Path) -> None:
    report = run(good_day(), tmp_path, after=lambda d: d.files["matches"].append(copy.deepcopy(d.files["matches"][0]) | {"offset": 99}))
    assert set() == report.rules()
    assert 1 == report.counts["repeated records in matches.jsonl"]


def test_misses_no_file_that_is_not_there(tmp_path: Path) -> None:
    assert "folder/missing" in check(tmp_path).rules()


def test_names_a_line_that_cannot_be_read(tmp_path: Path) -> None:
    day = good_day()
    run(day, tmp_path)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write("not JSON\n")
    assert {"folder/unreadable"} == check(tmp_path).rules()


def test_the_command_prints_each_violation_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(good_day(), tmp_path)
    assert 0 == main([str(tmp_path)])
    assert not capsys.readouterr().out
    run(good_day(), tmp_path, after=lambda d: d.summary.update(expired=2))
    assert 1 == main([str(tmp_path)])
    assert "summary/numbers  []  expired is 2, the files say 1\n" == capsys.readouterr().out


@pytest.mark.parametrize("more", [["nowhere"], ["", "--input", "nothing.jsonl"]])
def test_a_folder_or_a_file_that_is_not_there_is_a_slip_and_no_verdict(tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / more[0]), *more[1:]])
    assert 2 == ended.value.code
    assert re.search(r"error: \S+ is no (folder|file)\n$", capsys.readouterr().err)


def test_every_rule_of_the_checker_was_shown_to_bite() -> None:
    named: set[str] = set()
    for module in ROOT.glob("*.py"):
        named |= set(re.findall(r'(?:broken|note)\(\s*"([^"]+)"', module.read_text()))
    shown = {rule for table in (SPOILT, SPOILT_FILES, SPOILT_INTAKE) for rule, _ in table}
    elsewhere = {"folder/missing", "folder/unreadable", "dead-letter/reason"}
    assert set() == named - shown - elsewhere


def test_tries_only_red_wishes_at_once_where_others_wait_for_rounds(tmp_path: Path) -> None:
    day = good_day()
    drop_match(day, "m1")
    day.of("w1").update(urgency="blue")
    assert "maximal/tried-at-once" in run(day, tmp_path).rules()
    assert "maximal/tried-at-once" not in check(tmp_path).rules()


def test_passes_a_visit_with_the_rest_that_was_asked_for(tmp_path: Path) -> None:
    day = good_day()
    too_soon(day, 30)
    assert {"promise-2/rest", "promise-2/earliest"}.isdisjoint(run(day, tmp_path).rules())


@pytest.mark.parametrize(
    ("caps", "tried"),
    [({}, True), ({"rest_minutes": 30}, True), ({"rest_minutes": 31}, False), ({"per_week_max": 2}, True), ({"per_week_max": 1}, False)],
)
def test_wants_no_visit_that_the_volunteer_has_no_rest_for_or_too_many_of(caps: dict[str, int], tried: bool, tmp_path: Path) -> None:
    day = good_day()
    day.of("o2").update(caps)
    day.take("08:11", "wish.submitted", wish("w6", "cook", span("11:30", "12:30")), at=len(day.entries) - 1)
    assert tried == ("maximal/tried-at-once" in run(day, tmp_path).rules())


def test_grants_no_claim_beyond_the_capacity_but_wants_one_that_meets_every_rule(tmp_path: Path) -> None:
    day = good_day()
    day.take("08:11", "offer.posted", offer("o4", "cook", span("08:00", "20:00"), accepts="ask", capacity=1), at=len(day.entries) - 1)
    claim = {"claim_id": "c2", "wish_id": "w2", "offer_id": "o4"}
    day.take("08:12", "wish.claimed", claim, [day.event("claim.rejected", claim | {"reason": "offer_full"}, "08:12")], at=len(day.entries) - 1)
    assert {"claim/reason", "summary/numbers"} == run(day, tmp_path).rules()


def test_passes_a_claim_that_is_granted(tmp_path: Path) -> None:
    day = good_day()
    day.entries.pop()
    day.take("08:11", "offer.posted", offer("o4", "paint", span("08:00", "20:00"), accepts="ask", capacity=1))
    granted = day.proposed("08:12", "m9", "w2", "o4", span("09:00", "10:00"), how="claimed")
    day.take("08:12", "wish.claimed", {"claim_id": "c2", "wish_id": "w2", "offer_id": "o4"}, [granted])
    day.confirmed("08:12", granted)
    assert {"summary/numbers"} == run(day, tmp_path).rules()


def test_wants_a_claim_for_two_granted_where_a_second_helper_is_there(tmp_path: Path) -> None:
    day = good_day()
    minor = wish("w6", "cook", span("16:00", "18:00"), category="left_behind_children")
    day.take("08:11", "wish.submitted", minor, at=len(day.entries) - 1)
    day.take("08:11", "offer.posted", offer("o5", "cook", span("16:00", "18:00"), accepts="ask"), at=len(day.entries) - 1)
    claim = {"claim_id": "c2", "wish_id": "w6", "offer_id": "o5"}
    day.take("08:12", "wish.claimed", claim, [day.event("claim.rejected", claim | {"reason": "needs_two"}, "08:12")], at=len(day.entries) - 1)
    assert "claim/grant" in run(day, tmp_path).rules()


def test_takes_any_plausible_reason_where_the_offer_is_over_but_no_other(tmp_path: Path) -> None:
    for reason, rules in (("not_open", set()), ("skill_missing", set()), ("offer_full", {"claim/reason"})):
        day = good_day()
        day.take("08:02", "offer.withdrawn", {"offer_id": "o1"}, at=4)
        day.entry("wish.claimed", "c1")["decision"][0]["data"].update(reason=reason)
        group_rules = {"promise-2/offer-over"}
        assert rules == run(day, tmp_path).rules() - group_rules


@pytest.mark.parametrize(("key", "murmur"), [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)])
def test_hashes_keys_as_kafka_does(key: str, murmur: int) -> None:
    assert murmur & 0xFFFFFFFF == wire.murmur2(key.encode())


@pytest.mark.parametrize("text", [PHONE, "+86 138-1234-5678", "１３８１２３４５６７８", "510107195003078811", "510107 19500307 881X", "找我138 1234 5678哦"])
def test_sees_personal_data_in_every_writing(text: str) -> None:
    assert wire.personal_data(text)


@pytest.mark.parametrize("text", ["2026-11-24T08:00:00.000000Z", "13812345-6789-4abc-8def-0123456789ab", "wish-1-13812345678901", "12345678901"])
def test_takes_no_id_or_time_for_personal_data(text: str) -> None:
    assert wire.personal_data(text) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_judges_every_generated_line_as_the_generator_meant_it(seed: int) -> None:
    drafts = generate(seed, 1000)
    for draft, expected in zip(drafts, expectations(drafts), strict=True):
        verdict = judge(line_of(draft))
        wanted = "invalid" if expected["expect"] == "invalid" else "valid"
        assert (expected["kind"], wanted) == (expected["kind"], verdict.kind)
        if "reason" in expected:
            assert {expected["reason"]} == verdict.codes


@pytest.mark.parametrize(
    "more",
    [
        {"resident_ref": "a b"}, {"resident_ref": "x" * 129}, {"wish_id": "13812345678"}, {"title": "a\x7fb"}, {"languages": ["zh_CN"]},
        {"skills": ["13812345678"]},
        {"window": {"start": "1970-01-01T00:00:00Z", "end": "2026-11-24T10:00:00Z"}},
    ],
)  # fmt: skip
def test_is_in_doubt_where_only_the_schemas_set_a_bound(more: dict[str, object]) -> None:
    day = MadeFolder()
    data = wish("w1", "cook", span("09:00", "10:00")) | {"note": "一\n二"}

    assert "valid" == judge(json.dumps(day.event("wish.submitted", data, "08:00")).encode()).kind
    assert "doubtful" == judge(json.dumps(day.event("wish.submitted", data | more, "08:00")).encode()).kind


def test_generates_the_same_file_from_the_same_seed_and_no_other() -> None:
    one, same, other = ([line_of(draft) for draft in generate(seed, 300)] for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_generates_as_many_lines_as_asked_with_every_kind_of_trouble() -> None:
    rows = expectations(generate(1, 2000))
    assert 2000 == len(rows)
    assert 300 <= len({row["minute"] for row in rows}) <= 500
    assert len({row["kind"] for row in rows if row["expect"] == "invalid"}) >= 40
    assert all(row["of"] < row["line"] for row in rows if row["expect"] == "duplicate_of")
    assert any(row.get("mended") for row in rows)
