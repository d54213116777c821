"""A member's own side, pure: what they can say, their hours and stars; and how far a wish is for its resident."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway import words
from services.gateway.board import words as board_words
from services.gateway.people import following
from services.gateway.people.following import MyWish, Visit
from services.gateway.people.visits import Booked, MyMatch, actions, as_booked, standing, state_words
from services.tariff import Tariff

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
MATCH = MyMatch(
    "a", "m1", "w1", "o1", "r1", "v1", "proposed", "unit", NOW + timedelta(hours=1), NOW + timedelta(hours=2), needs_answer=True, needs_approval=False,
    expires_at=NOW + timedelta(minutes=10), release_reason=None, outcome=None, minutes=None, closed_at=None, category="household", title="理发",
    compound="p1", building=None, together=False,
)  # fmt: skip
WISH = MyWish("a", "w1", "c1", "p1", None, "household", "blue", "理发", NOW, NOW + timedelta(days=1), 60, "open", "r1", 0, 1, NOW)
VISIT = Visit("m1", "o1", "confirmed", "unit", NOW + timedelta(hours=1), NOW + timedelta(hours=2), None, None)


@pytest.mark.parametrize(
    ("change", "after", "can"),
    [
        ({}, 0, ("accept", "decline")),
        ({"answered": True}, 0, ("decline",)),
        ({"needs_answer": False}, 0, ("decline",)),
        ({}, 11, ("decline",)),
        ({"state": "agreed"}, 0, ("decline",)),
        ({"state": "confirmed"}, 0, ("start", "decline")),
        ({"state": "confirmed"}, -1, ("decline",)),
        ({"state": "confirmed"}, 130, ("start", "finish")),
        ({"state": "started"}, 30, ("finish", "decline")),
        ({"state": "started"}, 70, ("finish",)),
        ({"state": "finished"}, 130, ()),
        ({"state": "closed"}, 130, ()),
        ({"state": "released"}, 0, ()),
    ],
)
def test_each_state_has_its_words(change: dict[str, object], after: int, can: tuple[str, ...]) -> None:
    assert can == actions(replace(MATCH, **change), NOW + timedelta(minutes=after))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "zh", "en"),
    [
        ({}, "等您答复", "Waits for your answer"),
        ({"needs_approval": True}, "等您答复", "Waits for your answer"),
        ({"answered": True, "needs_approval": True}, "已答应，等社区同意", "You said yes; the community's word is awaited"),
        ({"needs_answer": False, "needs_approval": True}, "等社区同意", "The community's word is awaited"),
        ({"needs_answer": False}, "正在通知双方", "Both sides are being told"),
        ({"needs_answer": False, "needs_approval": True, "approved": True}, "正在通知双方", "Both sides are being told"),
        ({"answered": True}, "已答应，正在通知双方", "You said yes; both sides are being told"),
        ({"needs_answer": False, "together": True}, "等同伴答复，随后通知双方", "Your companion's answer is awaited, then both sides are told"),
        (
            {"answered": True, "together": True},
            "已答应，等同伴答复，随后通知双方",
            "You said yes; your companion's answer is awaited, then both sides are told",
        ),
        ({"state": "agreed", "needs_approval": True}, "已答应，确认中", "Agreed, being confirmed"),
    ],
)
def test_the_communitys_word_is_awaited_only_where_it_is_asked_for(change: dict[str, object], zh: str, en: str) -> None:
    assert (zh, en) == state_words(replace(MATCH, **change))  # type: ignore[arg-type]


def booked(minutes: int, points: int = 0, at: datetime = NOW, outcome: str = "done") -> Booked:
    return Booked("m1", at, outcome, minutes, points, corrected=False)


def test_hours_points_and_visits_are_those_of_the_books() -> None:
    found = standing([booked(120, 240), booked(45, 75), booked(0, outcome="not_done"), booked(30, 50, NOW - timedelta(days=40))], NOW, Tariff())
    assert (found.minutes, found.points, found.visits, found.this_month, found.stars) == (195, 365, 3, 165, 0)
    nothing = standing([], NOW, Tariff())
    assert (nothing.minutes, nothing.points, nothing.visits, nothing.this_month, nothing.stars) == (0, 0, 0, 0, 0)


def test_a_visit_is_of_the_month_in_which_its_slot_begins_in_china() -> None:
    first = datetime(2026, 10, 31, 16, tzinfo=UTC)  # midnight of the first of November in China
    assert 60 == standing([booked(60, at=first), booked(30, at=first - timedelta(minutes=1))], NOW, Tariff()).this_month


def test_a_closed_visit_is_shown_as_the_books_have_it_and_else_as_it_was_told() -> None:
    told = replace(MATCH, state="closed", outcome="done", minutes=90)
    corrected = Booked("m1", NOW, "not_done", 0, 0, corrected=True)
    assert replace(told, outcome="not_done", minutes=0, corrected=True) == as_booked(told, {"m1": corrected})
    assert told == as_booked(told, {})
    assert MATCH == as_booked(MATCH, {"m1": corrected}), "what is not closed yet has no end to show"


@pytest.mark.parametrize(("hours", "stars", "following_hours"), [(99, 0, 100), (100, 1, 300), (300, 2, 600), (600, 3, 1000), (1000, 4, 1500), (1500, 5, None)])
def test_stars_come_at_the_hours_of_the_ledger(hours: int, stars: int, following_hours: int | None) -> None:
    found = standing([booked(60)] * hours, NOW, Tariff())
    assert (stars, following_hours) == (found.stars, found.next_hours)
    assert 0 <= found.share <= 1


def test_a_minute_before_the_star_the_page_does_not_say_that_nothing_is_missing() -> None:
    nearly, there = (standing([booked(minutes)], NOW, Tariff()) for minutes in (100 * 60 - 1, 100 * 60))
    assert (0, "99.9", "0.1", 0.999) == (nearly.stars, words.hours(nearly.minutes), words.hours_missing(nearly.missing), nearly.share)
    assert (1, "100.0", "200.0", 0.0) == (there.stars, words.hours(there.minutes), words.hours_missing(there.missing), there.share)
    assert "0.0" == words.hours_missing(standing([booked(1500 * 60)], NOW, Tariff()).missing)


@pytest.mark.parametrize(("hundredths", "text"), [(0, "0"), (5, "0.05"), (75, "0.75"), (150, "1.5"), (300, "3"), (1_234_525, "12345.25")])
def test_points_are_written_with_no_digit_too_many_and_none_missing(hundredths: int, text: str) -> None:
    assert text == words.points(hundredths)


@pytest.mark.parametrize(
    ("state", "visits", "step"),
    [
        ("open", [], 1),
        ("held", [replace(VISIT, state="agreed")], 1),
        ("matched", [VISIT], 2),
        ("matched", [replace(VISIT, state="started")], 3),
        ("open", [replace(VISIT, state="closed", outcome="not_done")], 1),
        ("closed", [replace(VISIT, state="closed", outcome="done")], 4),
    ],
)
def test_a_wish_goes_from_step_to_step(state: str, visits: list[Visit], step: int) -> None:
    assert step == following.step(replace(WISH, state=state), visits)


def test_a_word_is_asked_for_once_the_visit_has_begun() -> None:
    assert following.to_acknowledge([VISIT], NOW) is None
    assert following.to_acknowledge([VISIT], NOW + timedelta(hours=1)) == VISIT
    started = replace(VISIT, state="started")
    assert following.to_acknowledge([started], NOW) == started
    assert following.to_acknowledge([replace(VISIT, state="closed")], NOW + timedelta(days=1)) is None


@pytest.mark.parametrize(("state", "can"), [("open", True), ("held", True), ("matched", True), ("closed", False), ("withdrawn", False), ("expired", False)])
def test_what_is_over_cannot_be_taken_back(state: str, *, can: bool) -> None:
    assert can == following.can_withdraw(replace(WISH, state=state), [], NOW)


@pytest.mark.parametrize(
    ("state", "visits", "can"),
    [
        ("matched", [{}], True),
        ("matched", [{"starts_at": NOW}], False),
        ("matched", [{"state": "started"}], False),
        ("matched", [{"state": "finished", "told": True}], False),
        ("matched", [{"starts_at": NOW, "told": True}], False),
        ("matched", [{"state": "started"}, {}], True),
        ("matched", [{"state": "closed"}, {}], True),
        ("matched", [{"state": "closed"}, {"state": "finished"}], False),
        ("held", [{"state": "started"}, {"state": "agreed", "starts_at": NOW}], True),
        ("open", [{"state": "started"}], True),
        ("open", [{"state": "closed", "outcome": "not_done"}], True),
    ],
)
def test_a_wish_is_not_taken_back_once_all_who_were_to_come_are_there(state: str, visits: list[dict[str, Any]], *, can: bool) -> None:
    assert can == following.can_withdraw(replace(WISH, state=state), [replace(VISIT, **change) for change in visits], NOW)


@pytest.mark.parametrize(
    ("at", "now", "zh", "en"),
    [
        ("2026-12-31T16:30:00Z", "2026-12-31T15:59:59Z", "明天 00:30", "tomorrow 00:30"),
        ("2026-12-31T16:30:00Z", "2026-12-31T16:00:00Z", "今天 00:30", "today 00:30"),
        ("2026-12-31T15:30:00Z", "2026-12-31T16:00:00Z", "2026年12月31日（周四）23:30", "Thu 31 Dec 2026 23:30"),
        ("2027-11-27T02:00:00Z", "2026-11-27T02:00:00Z", "2027年11月27日（周六）10:00", "Sat 27 Nov 2027 10:00"),
        ("2028-02-29T02:00:00Z", "2028-02-26T02:00:00Z", "2月29日（周二）10:00", "Tue 29 Feb 10:00"),
    ],
)
def test_a_moment_of_another_year_is_told_with_its_year_and_days_are_those_of_the_place(at: str, now: str, zh: str, en: str) -> None:
    then, today = datetime.fromisoformat(at), datetime.fromisoformat(now)
    assert (zh, en) == words.moment(then, today)
    assert ("2027-11-27 10:00" == board_words.day_and_time(then, today)) == (at.startswith("2027"))
    assert board_words.day_and_time(then, then).count("-") == 1
