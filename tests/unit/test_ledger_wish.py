"""What a correction means for the wish, as whoever corrects is told: opened again in vain, not opened again, met after all."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.tools.ledger_wish import After, after_of, words

ENDS = 1_790_000_000_000_000


def wish(status: str = "open", need: int = 1) -> dict[str, Any]:
    return {"area": "a", "wish_id": "w", "status": status, "need": need, "ends_at": ENDS}


def match(match_id: str, state: str, reason: str | None = "not_done", group_id: str | None = None) -> dict[str, Any]:
    return {"match_id": match_id, "group_id": group_id, "state": state, "reason": reason}


def after(outcomes: dict[str, str | None], *matches: dict[str, Any], status: str = "open", need: int = 1) -> After:
    found = after_of(wish(status, need), matches, outcomes, "m-1")
    assert found is not None
    return found


VAIN = match("m-1", "unhelped")


def test_a_wish_that_was_met_after_all_and_that_nobody_comes_to_is_needless() -> None:
    assert after({"m-1": "done"}, VAIN).is_needless
    assert after({"m-1": "done", "m-2": "not_done"}, VAIN, match("m-2", "unhelped")).is_needless


@pytest.mark.parametrize("state", ["proposed", "agreed", "confirmed"])
def test_it_is_not_withdrawn_unasked_while_somebody_else_is_asked_or_to_come(state: str) -> None:
    found = after({"m-1": "done"}, VAIN, match("m-2", state, None), status="held")
    assert (True, False) == (found.is_looked_for, found.is_needless)


def test_it_is_not_withdrawn_while_it_needs_more_than_this_visit() -> None:
    assert not after({"m-1": "done"}, VAIN, need=2).is_needless
    assert after({"m-1": "done", "m-2": "done"}, VAIN, match("m-2", "closed", None), need=2).is_needless
    assert not after({"m-1": "done", "m-2": "not_done"}, VAIN, match("m-2", "unhelped"), need=2).is_needless


def test_of_a_group_one_who_helped_is_enough() -> None:
    two = match("m-1", "unhelped", group_id="g"), match("m-2", "unhelped", group_id="g")
    assert after({"m-1": "done", "m-2": "not_done"}, *two, need=2).is_needless


@pytest.mark.parametrize("status", ["closed", "withdrawn", "expired"])
def test_of_a_wish_that_is_over_nothing_is_said_where_it_was_met(status: str) -> None:
    found = after({"m-1": "done"}, VAIN, status=status)
    assert (False, None) == (found.is_looked_for, words(found))


def test_nothing_is_said_before_the_matcher_knows_how_the_visit_ended() -> None:
    assert after_of(None, [VAIN], {"m-1": "done"}, "m-1") is None
    assert after_of(wish(), [match("m-1", "confirmed", None)], {"m-1": "done"}, "m-1") is None
    assert after_of(wish(), [], {"m-1": "done"}, "m-1") is None


@pytest.mark.parametrize(
    ("outcome", "matches", "status", "need", "zh", "en"),
    [
        ("done", [VAIN], "open", 1, "加 --withdraw 再执行一次", "run this again with --withdraw"),
        ("done", [VAIN, match("m-2", "confirmed", None)], "matched", 1, "已另有帮手", "another helper is asked or to come"),
        ("done", [VAIN], "open", 3, "不止缺这一位", "more than this one"),
        ("not_done", [match("m-1", "closed", None)], "closed", 1, "另提一个心愿", "enter it as a new wish"),
        ("partly", [VAIN], "open", 1, "已重新开放，正在另找帮手", "is open again"),
        ("not_done", [VAIN], "expired", 1, "已过期", "has expired"),
        ("not_done", [VAIN, match("m-2", "proposed", None)], "held", 1, "已有另一位帮手", "has another helper by now"),
    ],
)
def test_what_is_said_in_both_languages(outcome: str, matches: list[dict[str, Any]], status: str, need: int, zh: str, en: str) -> None:
    told = words(after({"m-1": outcome}, *matches, status=status, need=need))
    assert told is not None
    assert (True, True) == (zh in told[0], en in told[1]), told


def test_nothing_is_promised_while_it_hangs_on_a_companion_whether_it_opens_again() -> None:
    ours, theirs = match("m-1", "closed", group_id="g"), match("m-2", "confirmed", None, "g")
    assert words(after({"m-1": "not_done"}, ours, theirs, status="matched", need=2)) is None
    corrected = match("m-1", "closed", None, "g")
    told = words(after({"m-1": "not_done"}, corrected, theirs, status="matched", need=2))
    assert told is not None
    assert "not opened again by a correction" in told[1]
