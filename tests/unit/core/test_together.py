"""Nobody is alone with a child: two or more, different people, in one shared slot, together or not at all."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from services.matcher.core.state import Wish
from services.matcher.core.together import find_group
from tests.builders import DAY, declined, given, instant, minors_wish, offer, offer_suspended, wish, wish_withdrawn
from tests.reference import Reference, RWish
from tests.unit.core import strategies as random

PAIR = ["proposed w1 o1 @0 unit group of 2", "proposed w1 o2 @0 unit group of 2"]


@pytest.mark.parametrize("who", [{"age_band": "under_14"}, {"age_band": "under_18"}, {"category": "left_behind_children"}, {"accompanied": True}])
def test_who_may_not_be_alone_with_one_helper_gets_two(who: dict[str, Any]) -> None:
    assert [] == given(offer("o1")).when(wish(**who))
    assert PAIR == given(offer("o1"), offer("o2")).when(wish(**who))
    assert PAIR == given(offer("o1"), wish(**who)).when(offer("o2"))


@pytest.mark.parametrize("who", [{"age_band": "under_14"}, {"age_band": "under_18"}, {"category": "left_behind_children"}])
def test_those_near_children_need_the_highest_check_within_the_year(who: dict[str, Any]) -> None:
    assert [] == given(offer("o1"), offer("o2", level=3)).when(wish(**who))
    assert [] == given(offer("o1"), offer("o2", checked=-366 * DAY)).when(wish(**who))


def test_of_a_helper_who_has_no_time_for_it_no_group_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr("services.matcher.core.turn.find_group", lambda _area, asked, _now: looked.append(asked.id))
    scene = given(offer("o1"), minors_wish(wanted=(0, DAY)))
    looked.clear()
    scene.when(offer("o2", windows=[(DAY + 1, 2 * DAY)]))
    assert [] == looked
    scene.when(offer("o3", windows=[(60, DAY)]))
    assert ["w1"] == looked


def test_an_accompanied_visit_needs_no_higher_check_than_it_says() -> None:
    assert PAIR == given(offer("o1", level=0), offer("o2", level=0)).when(wish(accompanied=True))


def test_two_offers_of_one_person_are_one_helper() -> None:
    scene = given(offer("o1", volunteer="p"), offer("o2", volunteer="p"))
    assert [] == scene.when(minors_wish())
    assert ["proposed w1 o1 @0 unit group of 2", "proposed w1 o3 @0 unit group of 2"] == scene.when(offer("o3"))


def test_the_slot_is_the_earliest_that_two_share() -> None:
    scene = given(offer("o1", windows=[(0, 90)]), offer("o2", windows=[(60, 240)]), offer("o3", home="c2", windows=[(20, 80)]))
    expected = ["proposed w1 o1 @20 unit group of 2", "proposed w1 o3 @20 area group of 2"]
    assert expected == scene.when(minors_wish())


def test_a_shared_slot_may_begin_at_the_last_instant_of_one_and_the_first_of_another() -> None:
    scene = given(offer("o1", windows=[(0, 120)]), offer("o2", windows=[(60, 240)]))
    assert ["@60", "@60"] == [line.split()[3] for line in scene.when(minors_wish())]


def test_without_a_shared_slot_there_is_no_group() -> None:
    assert [] == given(offer("o1", windows=[(0, 119)]), offer("o2", windows=[(60, 240)])).when(minors_wish())


def test_at_the_earliest_slot_the_ranking_says_who() -> None:
    scene = given(offer("o1", home="c2"), offer("o2", home="c1"), offer("o3"), offer("o4", windows=[(10, 240)]))
    assert ["o3", "o2"] == [line.split()[2] for line in scene.when(minors_wish())]


def test_as_many_come_as_are_needed() -> None:
    then = given(offer("o1"), offer("o2"), offer("o3"), offer("o4")).when(minors_wish(helpers=3))
    assert ["o1", "o2", "o3"] == [line.split()[2] for line in then]
    assert {"group of 3"} == {line[-10:] for line in then}


def test_a_second_group_joins_the_first_ones_slot() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish(helpers=4), offer("o3", windows=[(10, 240)]))
    assert [] == scene.when(offer("o4", windows=[(60, 240)]), offer("o5"))
    assert ["proposed w1 o5 @0 unit group of 2", "proposed w1 o6 @0 unit group of 2"] == scene.when(offer("o6"))


def test_one_more_alone_does_not_join() -> None:
    assert [] == given(offer("o1"), offer("o2"), minors_wish(helpers=3)).when(offer("o3"))


def test_losing_one_releases_all_and_the_wish_is_tried_again() -> None:
    scene = given(offer("o1"), offer("o2"), offer("o3", home="c2"), minors_wish())
    expected = [
        "released w1 o2 declined",
        "released w1 o1 group_incomplete",
        "proposed w1 o1 @0 unit group of 2",
        "proposed w1 o3 @0 area group of 2",
    ]
    assert expected == scene.when(declined(offer_id="o2"))


def test_a_group_of_which_one_is_suspended_ends_as_a_whole() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish())
    assert ["released w1 o1 unsafe", "released w1 o2 group_incomplete"] == scene.when(offer_suspended("o1"))


def test_other_groups_of_the_wish_stand() -> None:
    scene = given(*[offer(f"o{number}") for number in range(1, 3)], minors_wish(helpers=4), offer("o3"), offer("o4"))
    assert ["released w1 o3 declined", "released w1 o4 group_incomplete"] == scene.when(declined(offer_id="o3"))
    assert {"o1", "o2"} == scene.area.wishes["w1"].matches.keys()


def test_a_withdrawn_wish_releases_all_of_them() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish())
    assert ["released w1 o1 withdrawn", "released w1 o2 withdrawn"] == scene.when(wish_withdrawn())


def test_helpers_given_back_by_a_group_serve_those_who_wait() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish("w1"), wish("w2"), wish("w3", urgency="red"))
    then = scene.when(wish_withdrawn("w1"))
    assert ["proposed w3 o1 @0 unit", "proposed w2 o2 @0 unit"] == then[2:]


def test_a_helper_set_free_completes_a_pair_that_waits() -> None:
    scene = given(offer("o1"), wish("w0"), offer("o2"), minors_wish("w1"))
    assert ["released w0 o1 withdrawn", *PAIR] == scene.when(wish_withdrawn("w0"))


@for_all(st.data(), st.integers(1, 8), st.integers(-60, 200))
def test_the_group_is_the_one_found_by_trying_all_pairs_at_all_instants(data: st.DataObject, crowd: int, at: int) -> None:
    scene, reference = given(), Reference()
    events = [data.draw(random.offers(-60, f"o{number}", latest_check=120)) for number in range(1, crowd + 1)]
    events += [data.draw(random.wishes(-60, f"w{number}")) for number in range(1, 4)]
    for event in data.draw(st.permutations(events)):
        scene.when(event)
        reference.decide(event, event.time)
    scene.passes(at)
    reference.time_runs_to(instant(at))
    asked = data.draw(random.wishes(at, "w9").filter(lambda event: RWish(event.data, 0).together))
    expected = reference.group(RWish(asked.data, 0))
    found = find_group(scene.area, Wish(asked.data, 0), instant(at))
    assert (expected is None) == (found is None)
    if expected is not None and found is not None:
        assert (expected[0], [one.data.offer_id for one in expected[1]]) == (found[0], [one.id for one, _ in found[1]])
