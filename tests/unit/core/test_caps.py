"""Rest between visits and how many a week are enough: what volunteers say about themselves, in `rest_minutes` and `per_week_max`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from schemas.instants import MINUTE_US
from services.matcher.core.people import Volunteer
from services.matcher.core.rules import earliest_start, possible_starts
from services.matcher.core.state import Offer, Wish
from tests import builders as build
from tests.builders import DAY, HOUR, claim, given, instant, minors_wish, offer, wish
from tests.shelf import Shelved
from tests.unit.core.test_slots import slots_of

WEEK = 7 * DAY
ALWAYS = ((-WEEK, 5 * WEEK),)


def free(offer_id: str = "o1", **more: Any) -> Any:
    """An offer of somebody who has time for weeks, and for many."""
    return offer(offer_id, **{"windows": ALWAYS, "capacity": 20, **more})


def one_each_day(days: int, *, first: int = 1) -> list[Any]:
    """A wish for noon of each day, told on that day."""
    return [wish(f"w{day}", at=day * DAY, wanted=(day * DAY, day * DAY + 60)) for day in range(first, first + days)]


def days_of(lines: list[str]) -> list[float]:
    """On which days the proposed visits begin."""
    return [float(line.split("@")[1].split()[0]) / DAY for line in lines if line.startswith("proposed")]


# ---- rest


def test_there_is_rest_after_a_visit() -> None:
    assert ["@0", "@90", "@180"] == slots_of(wish("w1"), wish("w2"), wish("w3"), rest_minutes=30)


def test_there_is_rest_before_a_visit() -> None:
    later = wish("w1", wanted=(90, 150))
    assert ["@90", "@0"] == slots_of(later, wish("w2"), rest_minutes=30)
    assert ["@90", "@181"] == slots_of(later, wish("w2", wanted=(0, 5 * HOUR)), rest_minutes=31)


def test_a_visit_fits_exactly_between_two_with_rest() -> None:
    first, last = wish("w1", wanted=(0, 60)), wish("w2", wanted=(180, 240))
    assert ["@0", "@180", "@90"] == slots_of(first, last, wish("w3"), rest_minutes=30)


def test_no_rest_is_as_if_nothing_was_said() -> None:
    assert ["@0", "@60"] == slots_of(wish("w1"), wish("w2"), rest_minutes=0)


def test_nobody_rests_before_their_first_visit_be_it_on_the_first_day_that_there_is() -> None:
    epoch = -build.NOON // MINUTE_US
    scene = given(offer(at=epoch, windows=[(epoch, epoch + 4 * HOUR)], checked=epoch, rest_minutes=30))

    (told,) = scene.when(wish("w1", at=epoch, wanted=(epoch, epoch + 4 * HOUR)))

    assert f"@{epoch}" == told.split()[3]


def test_the_rest_is_that_of_the_offer_which_is_asked_now() -> None:
    scene = given(offer("o1", volunteer="p", rest_minutes=60), offer("o2", volunteer="p", home="c2"), wish("w1"))
    assert ["proposed w2 o2 @60 area"] == scene.when(wish("w2"))


def test_the_rest_counts_from_the_visits_of_all_offers_of_one_person() -> None:
    scene = given(offer("o1", volunteer="p"), offer("o2", volunteer="p", home="c2", rest_minutes=45), wish("w1"))
    assert ["proposed w2 o2 @105 area"] == scene.when(wish("w2"))


def test_a_claim_without_the_rest_is_refused() -> None:
    scene = given(free(rest_minutes=60), wish("w1"))
    scene.leaves_untried(wish("w2", wanted=(0, 179)))
    assert ["rejected k1 w2 o1 not_available"] == scene.when(claim("w2"))


def test_a_claim_with_the_rest_is_granted() -> None:
    scene = given(free(rest_minutes=60), wish("w1"))
    scene.leaves_untried(wish("w2", wanted=(0, 180)))
    assert ["proposed w2 o1 @120 unit claimed"] == scene.when(claim("w2"))


def test_a_visit_that_is_taken_back_needs_no_rest() -> None:
    scene = given(free(rest_minutes=60), wish("w1"), build.wish_withdrawn("w1"))
    assert ["proposed w2 o1 @0 unit"] == scene.when(wish("w2"))


def test_two_together_both_have_their_rest() -> None:
    offers = [free("o1", rest_minutes=30), free("o2", rest_minutes=90)]
    scene = given(*offers, wish("w1", helpers=2))
    assert ["proposed w2 o1 @150 unit group of 2", "proposed w2 o2 @150 unit group of 2"] == scene.when(minors_wish("w2"))


# ---- so many a week


def test_a_week_has_no_more_visits_than_the_volunteer_wants() -> None:
    scene = given(free(per_week_max=2))
    assert [1, 2, 8, 9] == days_of(scene.when(*one_each_day(13)))


def test_one_a_week_is_one_a_week() -> None:
    scene = given(free(per_week_max=1))
    assert [1, 8, 15] == days_of(scene.when(*one_each_day(17)))


def test_exactly_seven_days_later_is_another_week() -> None:
    scene = given(free(per_week_max=1), wish("w1"))
    assert [] == scene.when(wish("w2", wanted=(WEEK - 1, WEEK + 59)))
    assert ["proposed w3 o1 @10080 unit"] == scene.when(wish("w3", wanted=(WEEK, WEEK + 60)))


def test_between_two_visits_exactly_seven_days_apart_there_is_room() -> None:
    scene = given(free(per_week_max=2), wish("w1"), wish("w2", wanted=(WEEK, WEEK + 60)))
    assert ["proposed w3 o1 @1440 unit"] == scene.when(wish("w3", wanted=(DAY, DAY + 60)))


def test_a_visit_in_a_week_that_is_full_waits_for_its_end() -> None:
    scene = given(free(per_week_max=2), wish("w1", wanted=(0, 60)), wish("w2", wanted=(DAY, DAY + 60)))
    assert ["proposed w3 o1 @10080 unit"] == scene.when(wish("w3", wanted=(2 * DAY, 3 * WEEK)))


def test_a_week_is_counted_backwards_too() -> None:
    scene = given(free(per_week_max=2), wish("w1", wanted=(WEEK, WEEK + 60)), wish("w2", wanted=(WEEK + DAY, WEEK + DAY + 60)))
    assert ["proposed w3 o1 @1440 unit"] == scene.when(wish("w3", wanted=(DAY, 3 * DAY)))
    assert [] == scene.when(wish("w4", wanted=(DAY + 1, WEEK)))


def test_visits_that_are_over_still_count() -> None:
    scene = given(free(per_week_max=1), wish("w1"), build.service("finished", at=5 * DAY))
    assert [] == scene.area.volunteers["volunteer-of-o1"].slots
    scene.leaves_untried(wish("w2", at=5 * DAY, wanted=(5 * DAY, 6 * DAY)))
    assert ["rejected k1 w2 o1 not_available"] == scene.when(claim("w2", at=5 * DAY))


def test_visits_that_were_taken_back_do_not_count() -> None:
    scene = given(free(per_week_max=1), wish("w1"), build.wish_withdrawn("w1"))
    assert ["proposed w2 o1 @0 unit"] == scene.when(wish("w2"))


def test_a_wish_that_waits_is_tried_when_a_visit_in_its_week_is_taken_back() -> None:
    scene = given(free(per_week_max=1), wish("w1"))
    assert [] == scene.when(wish("w2", wanted=(DAY, DAY + 60)))
    assert ["released w1 o1 withdrawn", "proposed w2 o1 @1440 unit"] == scene.when(build.wish_withdrawn("w1"))


def test_the_week_counts_the_visits_of_all_offers_of_one_person() -> None:
    scene = given(free("o1", volunteer="p"), free("o2", volunteer="p", home="c2", per_week_max=2), *one_each_day(2, first=0))
    later = wish("w3", at=2 * DAY, wanted=(2 * DAY, 8 * DAY))
    assert ["proposed w3 o2 @10080 area"] == scene.when(build.offer_withdrawn("o1", at=2 * DAY), later)


def test_what_is_said_when_the_offer_is_posted_again_counts_from_then_on() -> None:
    scene = given(free(), wish("w1"), wish("w2"))
    assert [] == scene.when(free(per_week_max=2), wish("w3"))
    assert ["proposed w3 o1 @120 unit"] == scene.when(free(per_week_max=3))


def test_the_limit_lets_others_have_the_wish() -> None:
    scene = given(free("o1", per_week_max=1), free("o2", home="c2"), wish("w1"))
    assert ["proposed w2 o2 @0 area"] == scene.when(wish("w2"))


def test_rest_and_limit_hold_both() -> None:
    scene = given(free(rest_minutes=60, per_week_max=2), wish("w1"))
    assert ["proposed w2 o1 @120 unit", "proposed w3 o1 @10080 unit"] == scene.when(wish("w2"), wish("w3", wanted=(0, 2 * WEEK)))


# ---- what is remembered


@pytest.mark.parametrize(("days", "expected"), [(6, []), (7, ["proposed w2 o1 @10080 unit"])])
def test_another_worker_knows_of_the_visits_that_are_over(days: int, expected: list[str]) -> None:
    scene = Shelved()
    scene.when(free(per_week_max=1), wish("w1"), build.service("finished", at=DAY))
    assert ([], ["volunteer-of-o1"]) == (list(scene.area.wishes), list(scene.area.volunteers))
    scene.loads_again()
    assert [instant(0)] == scene.area.volunteers["volunteer-of-o1"].starts
    assert expected == scene.when(wish("w2", at=days * DAY, wanted=(days * DAY, days * DAY + 60)))


def test_visits_count_although_the_offer_was_forgotten_and_another_is_posted() -> None:
    scene = Shelved()
    scene.when(offer("o1", volunteer="p"), wish("w1"), build.offer_withdrawn("o1", at=60), build.service("finished", at=DAY))
    assert ([], ["p"]) == (list(scene.area.offers), list(scene.area.volunteers))
    scene.when(free("o2", at=2 * DAY, volunteer="p", per_week_max=1))
    assert [] == scene.when(wish("w2", at=2 * DAY, wanted=(2 * DAY, 3 * DAY)))


def test_visits_are_forgotten_after_a_week() -> None:
    scene = Shelved()
    scene.when(free("o1"), offer("o2", volunteer="p", home="c2", skills=["repair"]), wish("w1"), wish("w2", skills=["repair"]))
    scene.when(build.service("finished", at=WEEK - 1))
    assert [[instant(0)], [instant(0)]] == [person.starts for person in scene.area.volunteers.values()]
    scene.when(build.service("finished", at=WEEK))
    assert {"volunteer-of-o1": []} == {ref: person.starts for ref, person in scene.area.volunteers.items()}
    assert [] == scene.area.starts_past


# ---- all of it, by the definition


@st.composite
def situations(draw: st.DrawFn) -> tuple[Wish, Offer, int]:
    """A wish for somewhere within weeks, somebody with visits in other weeks, and an instant."""
    hours = st.integers(-WEEK // HOUR, 2 * WEEK // HOUR)
    begins = draw(hours) * HOUR
    wished = Wish(wish(wanted=(begins, begins + draw(st.sampled_from([60, 120, DAY, 2 * WEEK]))), minutes=draw(st.sampled_from([30, 60]))).data, 0)
    caps: dict[str, Any] = {"rest_minutes": draw(st.sampled_from([None, 0, 60, 90, DAY])), "per_week_max": draw(st.sampled_from([None, 1, 2, 3]))}
    person, offered = Volunteer("p"), Offer("o1")
    starts = draw(st.lists(hours, max_size=6, unique=True))
    windows = [(start * HOUR, start * HOUR + draw(st.sampled_from([60, DAY, 3 * WEEK]))) for start in draw(st.lists(hours, min_size=1, max_size=3))]
    offered.fill(offer(windows=windows, **caps).data, person)
    now = draw(hours) * HOUR
    for start in sorted(starts):
        person.starts.append(instant(start * HOUR))
        if start * HOUR + HOUR > now:
            person.slots.append((instant(start * HOUR), instant(start * HOUR + HOUR)))
    return wished, offered, instant(now)


def spares(wished: Wish, offered: Offer, start: int) -> bool:
    """By the words of the contract alone."""
    week, person, end = instant(WEEK) - instant(0), offered.volunteer, start + wished.length
    most = len(person.starts) + 1 if offered.per_week_max is None else offered.per_week_max
    rested = all(end + offered.rest <= begins or ends + offered.rest <= start for begins, ends in person.slots)
    starts = [*person.starts, start]
    return rested and all(sum(first <= one < first + week for one in starts) <= most for first in starts if first <= start < first + week)


@for_all(situations())
def test_a_start_is_possible_where_nothing_is_said_against_it_and_only_there(situation: tuple[Wish, Offer, int]) -> None:
    wished, offered, now = situation
    week = instant(WEEK) - instant(0)
    edges = {now, wished.start, wished.end - wished.length}
    edges |= {edge for opens, closes in offered.windows for edge in (opens, closes - wished.length)}
    edges |= {edge for begins, ends in offered.volunteer.slots for edge in (begins - offered.rest - wished.length, ends + offered.rest)}
    edges |= {edge for start in offered.volunteer.starts for edge in (start - week, start + week)}
    possible = []
    for start in sorted({near for edge in edges for near in (edge - 1, edge, edge + 1)}):
        inside = max(now, wished.start) <= start <= wished.end - wished.length
        offers = any(opens <= start and start + wished.length <= closes for opens, closes in offered.windows)
        if inside and offers and spares(wished, offered, start):
            possible.append(start)
        stretches = possible_starts(wished, offered, now)
        assert (start in possible) == any(first <= start <= last for first, last in stretches)
    assert next(iter(possible), None) == earliest_start(wished, offered, now)


def test_a_visit_that_is_over_still_asks_for_its_rest() -> None:
    scene = given(offer(rest_minutes=30), wish("w1", urgency="red", wanted=(0, 60)))
    scene.passes(60)
    assert ["proposed w2 o1 @90 unit"] == scene.when(wish("w2", at=61))


def test_another_worker_knows_of_the_rest_too() -> None:
    stored = Shelved()
    stored.when(offer(rest_minutes=30), wish("w1", wanted=(0, 60)))
    stored.passes(60)
    stored.loads_again()
    assert ["proposed w2 o1 @90 unit"] == stored.when(wish("w2", at=61))
