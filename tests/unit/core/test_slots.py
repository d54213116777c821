"""When a visit is: the earliest slot inside both windows, not before now, clear of what the volunteer does already."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.matcher.core.people import Volunteer
from services.matcher.core.rules import earliest_start, possible_starts
from services.matcher.core.state import Offer, Wish
from tests import builders as build
from tests.builders import DAY, HOUR, given, instant, minors_wish, offer, wish
from tests.unit.core import strategies as random


def slots_of(*wishes: Any, **more: Any) -> list[str]:
    """Where each wish's slot begins, in minutes, with one volunteer who takes many."""
    then = given(offer(capacity=20, **more)).when(*wishes)
    return [line.split()[3] for line in then if line.startswith("proposed")]


def test_the_slot_is_at_once_where_nothing_stands_against_it() -> None:
    assert ["@0"] == slots_of(wish())


def test_the_slot_is_not_before_now() -> None:
    assert ["@30"] == slots_of(wish(at=30))


def test_the_slot_is_not_before_the_wishs_window() -> None:
    assert ["@90"] == slots_of(wish(wanted=(90, 300)))


def test_the_slot_is_not_before_the_offers_window() -> None:
    assert ["@45"] == slots_of(wish(), windows=[(45, 300)])


def test_a_window_that_fits_exactly_is_enough() -> None:
    assert ["@100"] == slots_of(wish(wanted=(100, 160)), windows=[(100, 160)])


@pytest.mark.parametrize("windows", [[(100, 159)], [(101, 160)], [(0, 100), (160, 300)], [(0, 130), (130, 260)]])
def test_a_window_that_is_a_minute_short_is_not(windows: list[tuple[float, float]]) -> None:
    assert [] == slots_of(wish(wanted=(100, 160)), windows=windows)


def test_the_first_window_that_is_long_enough_counts() -> None:
    assert ["@150"] == slots_of(wish(), windows=[(180, 300), (150, 210), (0, 59)])


def test_windows_may_overlap() -> None:
    assert ["@20"] == slots_of(wish(), windows=[(0, 59), (20, 90), (10, 60)])


def test_past_windows_do_no_harm() -> None:
    assert ["@10"] == slots_of(wish(at=10), windows=[(-300, -100), (-60, 120)])


def test_slots_of_one_volunteer_follow_each_other() -> None:
    assert ["@0", "@60", "@120"] == slots_of(wish("w1"), wish("w2"), wish("w3"))


def test_a_slot_fits_exactly_between_two_busy_ones() -> None:
    first, last = wish("w1", wanted=(0, 60)), wish("w2", wanted=(120, 180))
    assert ["@0", "@120", "@60"] == slots_of(first, last, wish("w3"))


def test_a_gap_that_is_a_minute_short_is_passed_over() -> None:
    first, last = wish("w1", wanted=(0, 60)), wish("w2", wanted=(119, 179))
    assert ["@0", "@119", "@179"] == slots_of(first, last, wish("w3"))


def test_a_later_window_may_be_free_sooner() -> None:
    """The first window is blocked until long after the second one opens."""
    busy = wish("w1", wanted=(0, 100), minutes=100)
    assert ["@0", "@100"] == slots_of(busy, wish("w2"), windows=[(0, 240), (50, 300)])


def test_the_time_of_all_offers_of_one_person_is_one() -> None:
    scene = given(offer("o1", volunteer="p"), offer("o2", volunteer="p"))
    assert ["proposed w1 o1 @0 unit", "proposed w2 o2 @60 unit"] == scene.when(wish("w1"), wish("w2"))


def test_a_wish_that_no_slot_can_meet_any_more_waits_for_its_end() -> None:
    scene = given(wish(wanted=(0, 60)))
    assert [] == scene.when(offer(at=1))
    assert ["expired w1 with 0"] == scene.passes(60)


@pytest.mark.parametrize(
    ("checked", "expected"),
    [(-365 * DAY, ["@0"]), (-365 * DAY - 1 / 60_000_000, []), (0, ["@0"]), (1, [])],
)
def test_the_highest_check_holds_for_365_days_before_the_slot(checked: float, expected: list[str]) -> None:
    assert expected == slots_of(wish(vetting_min=4), checked=checked)


def test_lower_checks_do_not_age() -> None:
    assert ["@0"] == slots_of(wish(vetting_min=3), level=3, checked=-2000 * DAY)


def test_two_share_the_last_instant_at_which_a_check_holds() -> None:
    old: dict[str, Any] = {"checked": -365 * DAY + 30, "capacity": 1}
    then = given(offer("o1", **old), offer("o2", windows=[(30, 300)])).when(minors_wish())
    assert ["proposed w1 o1 @30 unit group of 2", "proposed w1 o2 @30 unit group of 2"] == then
    assert [] == given(offer("o1", **old), offer("o2", windows=[(31, 300)])).when(minors_wish())


@st.composite
def situations(draw: st.DrawFn) -> tuple[Wish, Offer, int]:
    """A wish, an offer whose volunteer is busy here and there, and an instant."""
    wished = Wish(draw(random.wishes()).data, 0)
    person = Volunteer("p")
    offered = Offer("o1")
    offered.fill(draw(random.offers(latest_check=400, capped=False)).data, person)
    clock = -60
    for _ in range(draw(st.integers(0, 5))):
        begins = clock + draw(st.sampled_from([0, 15, 30, 60, 90]))
        clock = begins + draw(st.sampled_from([15, 60, 90]))
        person.slots.append((instant(begins), instant(clock)))
    return wished, offered, instant(draw(st.sampled_from(range(-60, 400, 5))))


def fits(wished: Wish, offered: Offer, now: int, start: int) -> bool:
    end = start + wished.length
    return (
        start >= max(now, wished.start)
        and end <= wished.end
        and any(opens <= start and end <= closes for opens, closes in offered.windows)
        and all(end <= begins or ends <= start for begins, ends in offered.volunteer.slots)
    )


def candidates(wished: Wish, offered: Offer, now: int) -> list[int]:
    edges = {now, wished.start, offered.checked_at, *(opens for opens, _ in offered.windows), *(ends for _, ends in offered.volunteer.slots)}
    return sorted(start for start in edges if fits(wished, offered, now, start))


@for_all(situations())
def test_the_earliest_start_is_the_first_instant_that_fits(situation: tuple[Wish, Offer, int]) -> None:
    assert next(iter(candidates(*situation)), None) == earliest_start(*situation)


@for_all(situations())
def test_possible_starts_are_exactly_the_instants_that_fit(situation: tuple[Wish, Offer, int]) -> None:
    wished, offered, now = situation
    stretches = possible_starts(wished, offered, now)
    quarters = {instant(minutes) for minutes in range(-60, 960, 5)} | set(candidates(*situation))
    year = 365 * build.DAY * 60_000_000
    for start in sorted(quarters):
        fresh = wished.vetting < 4 or offered.checked_at <= start <= offered.checked_at + year
        assert (fits(wished, offered, now, start) and fresh) == any(first <= start <= last for first, last in stretches)
    if wished.vetting < 4:
        assert earliest_start(*situation) == (stretches[0][0] if stretches else None)


def test_an_hour_is_an_hour() -> None:
    scene = given(offer())
    scene.when(wish(minutes=HOUR))
    match = scene.match()
    assert instant(60) - instant(0) == match.end - match.start
