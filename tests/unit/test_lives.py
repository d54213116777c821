"""The judge of lives finds each fault that is planted in a folder which is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lives import judge
from tests.lives.generate import VISITS, generate, repeated_and_shuffled

Folder = dict[str, list[dict[str, Any]]]
PAIR = {"area": "a", "wish_id": "w", "offer_id": "o"}


def said(kind: str, event_id: str, time: str, **data: Any) -> dict[str, Any]:
    event = {"id": event_id, "source": "app", "type": f"lastmetre.service.{kind}.v1", "time": f"2026-11-24T{time}:00Z", "data": {**PAIR, **data}}
    return {"event": event}


def told(kind: str, event_id: str, **data: Any) -> dict[str, Any]:
    return {"headers": {"ce_id": event_id, "ce_type": f"lastmetre.match.{kind}.v1"}, "value": {**PAIR, "match_id": "m", **data}}


def booked(number: int, outcome: str, minutes: int, points: int) -> dict[str, Any]:
    entries = [
        {"account": account, "unit": unit, "amount": sign * amount}
        for account, sign in (("volunteer/a/v", 1), ("community/a", -1))
        for unit, amount in (("minutes", minutes), ("points", points))
    ]
    by = "resident" if number == 1 else "community"
    return {"match_id": "m", "number": number, "volunteer_ref": "v", "organisation": None, "outcome": outcome, "by": by, "entries": entries}


def right() -> Folder:
    """A visit of 45 minutes that the resident acknowledged and the community took back."""
    slot = {"start": "2026-11-24T08:00:00Z", "end": "2026-11-24T09:00:00Z"}
    return {
        "journal": [
            said("acknowledged", "e0", "07:29", by="resident", outcome="not_done"),
            said("started", "e1", "08:00"),
            said("finished", "e2", "09:00", minutes=45),
            said("acknowledged", "e3", "09:05", by="resident", outcome="done"),
            said("acknowledged", "e4", "19:00", by="community", outcome="not_done"),
        ],
        "matches": [told("proposed", "p1", volunteer_ref="v")],
        "confirmations": [
            told("confirmed", "c1", slot=slot, confirmed_at="2026-11-24T07:30:20Z"),
            told("closed", "c2", outcome="done", minutes=45, by="resident", closed_at="2026-11-24T09:05:00Z"),
        ],
        "ledger": [booked(1, "done", 45, 75), booked(2, "not_done", -45, -75)],
    }


def only_said_early(folder: Folder, time: str) -> None:
    """What the community said later was said at that time, and what was booked for it is not booked."""
    early = folder["journal"][0]["event"]
    early["time"] = f"2026-11-24T{time}Z"
    early["data"]["by"] = "community"
    folder["journal"].pop()
    folder["ledger"].pop()


def judged(folder: Folder, path: Path) -> set[str]:
    for name, lines in folder.items():
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (path / "summary.json").write_text(json.dumps({"closed": 1}), encoding="utf-8")
    return judge.check(path).rules()


def test_what_is_right_is_found_right(tmp_path: Path) -> None:
    assert set() == judged(right(), tmp_path)
    assert {} == judge.balances(tmp_path)


def test_what_was_said_before_both_were_told_is_about_no_match(tmp_path: Path) -> None:
    folder = right()
    only_said_early(folder, "07:29:59")
    assert set() == judged(folder, tmp_path)


FAULTS: list[tuple[str, Callable[[Folder], object]]] = [
    (
        "closing/once",
        lambda f: f["confirmations"].append(told("closed", "c3", outcome="not_done", minutes=0, by="community", closed_at="2026-11-24T19:00:00Z")),
    ),
    ("closing/missing", lambda f: f["confirmations"].pop()),
    ("closing/released", lambda f: f["matches"].append(told("released", "p2", reason="unsafe"))),
    ("closing/unconfirmed", lambda f: f["confirmations"].pop(0)),
    ("closing/cause", lambda f: f["confirmations"][1]["value"].update(outcome="partly")),
    ("closing/cause", lambda f: f["confirmations"][1]["value"].update(by="default", closed_at="2026-11-26T09:00:00Z")),
    ("closing/cause", lambda f: f["confirmations"][1]["value"].update(closed_at="2026-11-24T09:04:00Z")),
    ("closing/early", lambda f: f["confirmations"][1]["value"].update(closed_at="2026-11-24T07:59:59Z")),
    ("closing/early", lambda f: (f["journal"].pop(2), f["confirmations"][1]["value"].update(closed_at="2026-11-24T08:59:59Z"))),
    ("closing/early", lambda f: f["confirmations"][1]["value"].update(by="default", closed_at="2026-11-26T07:59:59Z")),
    # Said in the minute in which both were told, it would count.
    ("ledger/last", lambda f: only_said_early(f, "07:30:10")),
    ("closing/minutes", lambda f: f["confirmations"][1]["value"].update(minutes=44)),
    ("ledger/missing", lambda f: f["ledger"].clear()),
    ("ledger/unclosed", lambda f: f["confirmations"].pop()),
    ("ledger/first", lambda f: f["ledger"][0].update(outcome="partly")),
    ("ledger/last", lambda f: f["ledger"].pop()),
    ("ledger/balance", lambda f: f["ledger"].pop()),
    ("ledger/balance", lambda f: f["ledger"][0]["entries"][0].update(amount=44)),
    ("ledger/zero", lambda f: f["ledger"][0]["entries"][0].update(amount=44)),
    ("ledger/numbers", lambda f: f["ledger"][1].update(number=3)),
    ("ledger/whose", lambda f: f["ledger"][1].update(volunteer_ref="somebody")),
    ("ledger/whose", lambda f: f["ledger"][0].update(organisation="somebody")),
]


@pytest.mark.parametrize(("rule", "plant"), FAULTS)
def test_a_planted_fault_is_found(rule: str, plant: Callable[[Folder], object], tmp_path: Path) -> None:
    folder = right()
    plant(folder)
    assert rule in judged(folder, tmp_path)


def test_a_summary_that_counts_wrongly_is_found(tmp_path: Path) -> None:
    judged(right(), tmp_path)
    (tmp_path / "summary.json").write_text('{"closed": 2}', encoding="utf-8")
    assert {"summary/closed"} == judge.check(tmp_path).rules()


def test_a_seed_gives_the_same_lines_and_another_gives_others() -> None:
    assert generate(1, 40) == generate(1, 40)
    assert generate(1, 40) != generate(2, 40)


def test_a_shuffled_file_has_the_same_events_in_the_same_minutes() -> None:
    lines = generate(1, 60)
    shuffled = repeated_and_shuffled(lines, 1)
    assert set(lines) == set(shuffled)
    assert len(shuffled) > len(lines)
    assert [minute for minute, _ in shuffled] == sorted(minute for minute, _ in shuffled)


def test_an_area_has_one_wish_and_one_offer_a_minute() -> None:
    seen = set()
    for minute, raw in generate(1, 300):
        event = json.loads(raw)
        if event["type"].split(".")[1] in {"wish", "offer"}:
            place = (minute, event["partitionkey"])
            assert place not in seen
            seen.add(place)
    assert 600 == len(seen)


def test_a_short_file_has_visits_of_every_kind() -> None:
    assert 60 >= len(VISITS)
