"""How a visit ends, in sentences: whose word counts, how many minutes, and what silence means."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import sources
from schemas.base import Outcome
from schemas.instants import MINUTE_US
from services.notifier.visiting import heard_by
from services.notifier.visits import MINUTES_MAX, By, End, Limits, Report, Visit, end_of, judged
from services.notifier.visits_store import Told

START = 1_795_600_800_000_000
HOUR = 60
LIMITS = Limits()
LATER = 10**18
_numbers = count(1)

VISIT = Visit("m-1", "w-1", "o-1", "hightech", 2, "v-1", "第一党支部", START, START + HOUR * MINUTE_US)


def at(minutes: float) -> int:
    """Minutes since the slot's start."""
    return START + round(minutes * MINUTE_US)


def started(minutes: float = 0, *, match_id: str | None = None) -> Report:
    return Report(at(minutes), "app", f"e-{next(_numbers)}", "started", match_id)


def finished(minutes: float = 60, *, took: int | None = None, match_id: str | None = None) -> Report:
    return Report(at(minutes), "app", f"e-{next(_numbers)}", "finished", match_id, took)


def word(minutes: float = 90, outcome: Outcome = "done", by: By = "resident", *, match_id: str | None = None, event_id: str | None = None) -> Report:
    return Report(at(minutes), "app", event_id or f"e-{next(_numbers)}", "acknowledged", match_id, None, by, outcome)


def end(*reports: Report, now: int = LATER) -> End | None:
    return end_of(VISIT, reports, now, LIMITS)[0]


def due(*reports: Report, now: int) -> float | None:
    """When to look again, in minutes since the slot's start."""
    again = end_of(VISIT, reports, now, LIMITS)[1]
    return None if again is None else (again - START) / MINUTE_US


# ---- clocks that are ahead


def test_a_clock_that_is_ahead_holds_no_visit_open_and_outranks_nothing_that_is_said_after_it() -> None:
    year = 365 * 24 * 60

    def heard(report: Report, minutes: float) -> Report:
        return heard_by(Told(("a", "w", "o"), report, None), at(minutes)).report

    done, in_vain, on_time = finished(year, took=45), word(year, "not_done"), word(90)

    assert 65 + 48 * 60 == due(heard(done, 65), now=at(65))
    assert End("done", 45, "resident", at(90)) == end(heard(done, 65), heard(in_vain, 70), heard(on_time, 91))
    assert on_time == heard(on_time, 91)


# ---- minutes


def test_the_helpers_own_minutes_count() -> None:
    assert End("done", 45, "resident", at(90)) == end(started(0), finished(60, took=45), word(90))


def test_without_them_the_time_from_arrival_to_the_end_counts_in_whole_minutes() -> None:
    assert End("done", 52, "resident", at(90)) == end(started(3), finished(55.9), word(90))


def test_the_first_arrival_and_the_last_end_are_what_is_measured() -> None:
    assert End("done", 70, "resident", at(90)) == end(started(20), started(5), finished(50), finished(75), word(90))


@pytest.mark.parametrize("reports", [(finished(60),), (started(60), finished(60)), (started(80), finished(60))])
def test_where_no_time_was_measured_the_planned_minutes_count(reports: tuple[Report, ...]) -> None:
    assert End("done", 60, "resident", at(90)) == end(*reports, word(90))


def test_minutes_that_were_named_count_whatever_is_tapped_afterwards() -> None:
    assert End("done", 45, "resident", at(90)) == end(started(0), finished(60, took=45), finished(75), word(90))


@pytest.mark.parametrize(("told_at", "minutes"), [(120, 120), (120.1, 60), (900, 60)])
def test_whoever_says_long_after_the_slot_that_it_is_over_was_not_there_until_then(told_at: float, minutes: int) -> None:
    assert End("done", minutes, "resident", at(1000)) == end(started(0), finished(told_at), word(1000))


def test_no_later_report_of_the_helpers_undoes_what_the_community_corrected() -> None:
    corrected = [replace(finished(100, took=0), source=sources.CORRECTIONS), word(100, by="community")]
    assert End("done", 0, "community", at(120)) == end(started(0), finished(60, took=90), word(90), *corrected, finished(120, took=120))
    again = replace(finished(130, took=30), source=sources.CORRECTIONS)
    assert End("done", 30, "community", at(130)) == end(finished(60, took=90), *corrected, again, finished(110, took=120))


def test_no_visit_is_longer_than_a_day() -> None:
    far = replace(VISIT, ends_at=START + 3 * MINUTES_MAX * MINUTE_US)
    assert (MINUTES_MAX, MINUTES_MAX) == tuple(
        found.minutes for said in ([word(9000)], [started(0), finished(5000), word(9000)]) if (found := end_of(far, said, LATER, LIMITS)[0])
    )


def test_what_was_not_done_took_no_minutes() -> None:
    assert End("not_done", 0, "resident", at(90)) == end(started(0), finished(60, took=45), word(90, "not_done"))


def test_what_was_done_in_part_counts_its_minutes() -> None:
    assert End("partly", 45, "resident", at(90)) == end(finished(60, took=45), word(90, "partly"))


# ---- whose word


def test_the_communitys_word_weighs_more_than_a_later_one_of_the_residents() -> None:
    assert End("not_done", 0, "community", at(70)) == end(finished(60), word(70, "not_done", "community"), word(90, "done"))


@pytest.mark.parametrize("by", ["resident", "community"])
def test_a_later_word_weighs_more_than_an_earlier_one(by: By) -> None:
    assert End("partly", 60, by, at(95)) == end(finished(60), word(95, "partly", by), word(90, "done", by))


def test_of_two_words_of_one_instant_the_same_counts_whichever_came_first() -> None:
    one, other = word(90, "done", event_id="a"), word(90, "not_done", event_id="b")
    assert end(finished(60), one, other) == end(finished(60), other, one)


def test_reports_that_name_another_match_do_not_count() -> None:
    assert None is end(finished(60, match_id="m-2"), word(90, match_id="m-2"), now=at(100))
    assert End("done", 45, "resident", at(90)) == end(finished(60, took=45, match_id="m-1"), word(90, match_id="m-1"), word(95, "not_done", match_id="m-2"))


# ---- silence


def test_of_a_pair_that_meets_again_what_was_said_before_this_slot_is_about_the_match_before() -> None:
    again = replace(VISIT, again=True)
    before = (started(-30), finished(-10, took=20), word(-5, "not_done"))
    assert End("done", 55, "resident", at(90)) == end_of(again, [*before, started(0), finished(55), word(90)], LATER, LIMITS)[0]
    assert End("done", 0, "default", again.ends_at + LIMITS.report_us) == end_of(again, before, LATER, LIMITS)[0]
    assert End("partly", 60, "resident", at(60)) == end_of(again, [word(-5, "partly", match_id="m-1")], LATER, LIMITS)[0]


@pytest.mark.parametrize("match_id", [None, "m-1"])
def test_what_was_said_before_both_were_told_and_before_the_slot_is_about_this_match_only_where_it_names_it(match_id: str | None) -> None:
    visit = replace(VISIT, told_at=at(-100))
    said = [word(-101, "not_done", match_id=match_id), finished(-101, took=15, match_id=match_id)]
    silent = End("done", 0, "default", visit.ends_at + LIMITS.report_us)
    assert (silent if match_id is None else End("not_done", 0, "resident", START)) == end_of(visit, said, LATER, LIMITS)[0]
    assert End("partly", 15, "resident", START) == end_of(visit, [*said, word(-99, "partly"), finished(-99, took=15)], LATER, LIMITS)[0]


def test_what_was_said_in_the_minute_in_which_both_were_told_is_about_the_match() -> None:
    visit = replace(VISIT, told_at=at(-99.5))
    assert End("partly", 60, "resident", at(60)) == end_of(visit, [word(-99.9, "partly")], LATER, LIMITS)[0]


def test_what_was_said_once_the_slot_had_begun_is_about_the_match_though_both_were_told_later() -> None:
    visit = replace(VISIT, told_at=at(120))
    assert End("done", 60, "resident", at(90)) == end_of(visit, [finished(60), word(90)], LATER, LIMITS)[0]


def test_no_visit_ends_before_its_slot_begins_whatever_was_said_by_then() -> None:
    said = [finished(-300, took=20), word(-200, "not_done")]
    assert (None, 0) == (end(*said, now=at(-1)), due(*said, now=at(-1)))
    assert End("not_done", 0, "resident", at(0)) == end(*said, now=at(0))
    called_off = replace(VISIT, due_at=at(0), released=True)
    assert (replace(called_off, due_at=None), None) == judged(called_off, said, LATER, LIMITS)


def test_nobodys_silence_counts_before_the_slot_begins() -> None:
    assert (None, 60) == (end(word(-6000), now=at(59)), due(word(-6000), now=at(59)))
    assert End("done", 60, "resident", at(60)) == end(word(-6000), now=at(60))
    until = 48 * HOUR
    assert (None, until) == (end(finished(-6000, took=20), now=at(until - 1)), due(finished(-6000, took=20), now=at(until - 1)))
    assert End("done", 20, "default", at(until)) == end(finished(-6000, took=20), now=at(until))


def test_a_word_waits_an_hour_for_the_helpers_report_and_then_takes_the_planned_minutes() -> None:
    assert (None, 150) == (end(word(90), now=at(149)), due(word(90), now=at(149)))
    assert End("done", 60, "resident", at(150)) == end(word(90), now=at(150))


def test_a_report_waits_two_days_for_the_residents_word_and_then_it_is_done() -> None:
    until = 60 + 48 * HOUR
    assert (None, until) == (end(finished(60, took=45), now=at(until - 1)), due(finished(60, took=45), now=at(until - 1)))
    assert End("done", 45, "default", at(until)) == end(finished(60, took=45), now=at(until))


@pytest.mark.parametrize("reports", [(), (started(0),)])
def test_where_nobody_tells_of_the_end_it_is_closed_after_three_days_without_minutes(reports: tuple[Report, ...]) -> None:
    until = 60 + 72 * HOUR
    assert (None, until) == (end(*reports, now=at(until - 1)), due(*reports, now=at(until - 1)))
    assert End("done", 0, "default", at(until)) == end(*reports, now=at(until))


def test_a_word_after_the_default_judges_the_visit_anew() -> None:
    closed, first = judged(VISIT, [finished(60)], at(60 + 48 * HOUR), LIMITS)
    again, second = judged(closed, [finished(60), word(5000, "not_done", "community")], at(5000), LIMITS)
    assert (1, End("done", 60, "default", at(60 + 48 * HOUR))) == (closed.number, first)
    assert (2, End("not_done", 0, "community", at(5000))) == (again.number, second)


def test_another_one_who_says_the_same_is_no_news() -> None:
    closed, _ = judged(VISIT, [finished(60)], at(60 + 48 * HOUR), LIMITS)
    again, news = judged(closed, [finished(60), word(5000)], at(5000), LIMITS)
    assert (closed, None) == (again, news)


def test_limits_can_be_shorter() -> None:
    at_once = Limits(0, 0, 0)
    assert End("done", 60, "default", at(60)) == end_of(VISIT, [finished(60)], at(60), at_once)[0]
    assert End("done", 60, "resident", at(61)) == end_of(VISIT, [word(61)], at(61), at_once)[0]
    assert End("done", 0, "default", at(60)) == end_of(VISIT, [], at(60), at_once)[0]


def test_a_match_that_was_released_is_never_closed_nor_looked_at_again() -> None:
    waiting = replace(VISIT, due_at=at(200), released=True)
    assert (replace(waiting, due_at=None), None) == judged(waiting, [finished(60), word(90)], LATER, LIMITS)


# ---- any order, any repeats

_outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["done", "partly", "not_done"])
_ids = st.sampled_from(["m-1", "m-2", None])
_minutes = st.integers(-60, 6000)
_reports = st.lists(
    st.one_of(
        st.builds(lambda when, match_id: started(when, match_id=match_id), _minutes, _ids),
        st.builds(lambda when, took, match_id: finished(when, took=took, match_id=match_id), _minutes, st.none() | st.integers(0, 1440), _ids),
        st.builds(
            lambda when, outcome, by, match_id: word(when, outcome, by, match_id=match_id),
            _minutes,
            _outcomes,
            st.sampled_from(["resident", "community"]),
            _ids,
        ),
    ),
    max_size=7,
)


def outlive(visit: Visit, arrivals: list[Report]) -> Visit:
    """The visit after its reports have come one by one in this order, a repeat as nothing new, the clock at the latest time seen; then long silence."""
    known: dict[str, Report] = {}
    now = 0
    for report in arrivals:
        known[report.event_id] = report
        now = max(now, report.at)
        visit, _ = judged(visit, known.values(), now, LIMITS)
    return judged(visit, known.values(), LATER, LIMITS)[0]


@given(_reports, st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_of_reports_end_the_same(reports: list[Report], chance: Random) -> None:
    shuffled = reports + reports[:3]
    chance.shuffle(shuffled)
    one, other = outlive(VISIT, reports).end, outlive(VISIT, shuffled).end
    assert one is not None
    assert other is not None
    assert (one.outcome, one.minutes) == (other.outcome, other.minutes)


@given(_reports, st.integers(-60, 20000))
def test_a_visit_has_an_end_or_a_time_to_look_again_never_neither(reports: list[Report], minutes: int) -> None:
    found, again = end_of(VISIT, reports, at(minutes), LIMITS)
    assert (found is None) != (again is None)
    assert again is None or again > at(minutes)
    assert found is None or 0 <= found.minutes <= MINUTES_MAX
