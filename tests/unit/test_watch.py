"""What is said about a visit as its time comes and goes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from schemas.instants import DAY_US, MINUTE_US
from services.notifier.watch import Timing, Watched, Word, words

START = 100 * DAY_US
END = START + 60 * MINUTE_US
VISIT = Watched(START, END, "yellow", standing=True, started=False, finished=False, acknowledged=False, household="v-9", looked_at=None)
TIMING = Timing()


def course(visit: Watched, since: int, **at: Any) -> list[tuple[int, str, str]]:
    """(minutes after the start, side, kind) of all that is said; `at`: what is reported by the minute of the same name's value."""
    said: list[tuple[int, str, str]] = []
    now: int | None = since
    while now is not None:
        known: dict[str, Any] = {name: now >= START + minute * MINUTE_US for name, minute in at.items()}
        seen = replace(visit, **known)
        due, then = words(seen, now, TIMING)
        said += [((now - START) // MINUTE_US, word.party, word.kind) for word in due]
        visit = replace(visit, looked_at=now)
        now = then
    return said


DAY_BEFORE = START - DAY_US


def test_both_sides_are_reminded_and_silence_calls_the_household_then_the_worker() -> None:
    assert [
        (-120, "volunteer", "reminder"),
        (-120, "resident", "reminder"),
        (-30, "volunteer", "reminder"),
        (-30, "resident", "reminder"),
        (15, "household", "not_started"),
        (30, "worker", "not_started"),
        (70, "volunteer", "report"),
        (90, "resident", "feedback"),
    ] == course(VISIT, DAY_BEFORE)


def test_without_a_centre_household_the_worker_is_called_at_once() -> None:
    assert [(15, "worker", "not_started")] == [one for one in course(replace(VISIT, household=None), DAY_BEFORE) if one[2] == "not_started"]


def test_a_visit_that_began_and_does_not_end_calls_the_household_then_the_worker() -> None:
    said = course(VISIT, DAY_BEFORE, started=5)
    assert [(90, "household", "not_finished"), (105, "worker", "not_finished")] == [one for one in said if one[2].startswith("not_")]


def test_nobody_is_alarmed_where_all_goes_well() -> None:
    said = course(VISIT, START - 60 * MINUTE_US, started=2, finished=58, acknowledged=65)
    assert [(-30, "volunteer", "reminder"), (-30, "resident", "reminder")] == said


def test_whoever_reports_between_the_two_alarms_spares_the_worker() -> None:
    said = course(VISIT, DAY_BEFORE, started=20)
    assert [(15, "household", "not_started")] == [one for one in said if one[2] == "not_started"]


def test_a_resident_who_has_spoken_is_not_asked_and_a_helper_who_has_not_is() -> None:
    said = course(VISIT, DAY_BEFORE, started=1, acknowledged=61)
    assert ["report"] == [one[2] for one in said if one[0] > 0]


@pytest.mark.parametrize(
    ("urgency", "expected"), [("red", {-30}), ("yellow", {-120, -30}), ("blue", {-1200, -120, -30}), (None, {-120, -30})], ids=["red", "yellow", "blue", "none"]
)
def test_how_early_the_reminder_comes_hangs_on_the_urgency(urgency: str | None, expected: set[int]) -> None:
    said = course(replace(VISIT, urgency=urgency), START - 3 * DAY_US)
    assert expected == {one[0] for one in said if one[2] == "reminder"}


def test_nobody_is_reminded_of_what_was_settled_just_now() -> None:
    assert [-30] == [one[0] for one in course(VISIT, START - 100 * MINUTE_US) if one[1:] == ("resident", "reminder")]
    assert [] == [one for one in course(VISIT, START - 10 * MINUTE_US) if one[2] == "reminder"]


def test_after_a_long_stop_a_reminder_is_still_given_before_the_visit_and_not_in_it() -> None:
    early = replace(VISIT, looked_at=DAY_BEFORE)
    assert [Word("volunteer", "reminder"), Word("resident", "reminder")] == words(early, START - MINUTE_US, TIMING)[0]
    assert [] == words(early, START + MINUTE_US, TIMING)[0]


def test_after_a_long_stop_an_alarm_is_raised_that_is_still_true() -> None:
    assert [Word("household", "not_started"), Word("worker", "not_started")] == words(VISIT, START + 40 * MINUTE_US, TIMING)[0]


def test_a_visit_of_long_ago_is_history() -> None:
    assert ([], None) == words(VISIT, END + DAY_US, TIMING)


def test_nothing_is_said_of_what_was_released_or_closed() -> None:
    assert ([], None) == words(replace(VISIT, standing=False), START + 20 * MINUTE_US, TIMING)


def test_no_reminder_is_given_where_none_is_wished() -> None:
    due = [words(replace(VISIT, looked_at=START - DAY_US), at, replace(TIMING, remind_us=(0, 0, 0)))[0] for at in (START - MINUTE_US,)]
    assert [[]] == due


@pytest.mark.parametrize("step_minutes", [1, 7, 45])
def test_looking_more_often_says_nothing_twice(step_minutes: int) -> None:
    moments = range(DAY_BEFORE, END + DAY_US, step_minutes * MINUTE_US)
    said = [
        word for last, now in pairwise(moments) for word in words(replace(VISIT, looked_at=last), now, replace(TIMING, remind_us=(0, 30 * MINUTE_US, 0)))[0]
    ]
    assert len(set(said)) == len(said)
