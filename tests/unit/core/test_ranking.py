"""Who is chosen: nearest rung, then the rarer skill kept free, then the less loaded, then id."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from schemas.codec import Event
from services.matcher.core.policy import Policy
from services.matcher.core.ranking import skill_weight
from services.matcher.core.state import Wish
from tests.builders import given, minors_wish, offer, offer_withdrawn, wish
from tests.reference import Reference, RWish
from tests.unit.core import strategies as random


def chosen(*offers: Event) -> str:
    """Whose offer is taken for a wish."""
    return given(*offers).when(wish())[0].split()[2]


def test_prefers_the_nearer_volunteer() -> None:
    assert "o2" == chosen(offer("o1", home="c1/p1/b1"), offer("o2", home="c1/p1/b1/u1", skills=["haircut", "repair"]))


def test_at_one_rung_keeps_the_rarer_skill_free() -> None:
    common = [offer(f"x{number}", home="c9", reach="unit", skills=["cooking"]) for number in range(4)]
    assert "o2" == chosen(*common, offer("o1", skills=["haircut", "repair"]), offer("o2", skills=["haircut", "cooking"]))


def test_a_skill_that_has_become_common_is_no_longer_kept_free() -> None:
    """The entries of those who have it lay too late once; they must have come forward."""
    scene = given(offer("o1", skills=["haircut", "cooking"]), offer("o2", skills=["haircut", "repair"]))
    scene.when(*[offer(f"x{number}", home="c9", reach="unit", skills=["repair"]) for number in range(4)])
    assert ["proposed w1 o2 @0 unit"] == scene.when(wish())


def test_a_skill_that_has_become_rare_is_kept_free_again() -> None:
    scene = given(*[offer(f"x{number}", home="c9", reach="unit", skills=["repair"]) for number in range(4)])
    scene.when(offer("o1", skills=["haircut", "repair"]), offer("o2", skills=["haircut", "cooking"]), offer("o0", skills=["haircut"], home="c2"))
    scene.when(*[offer_withdrawn(f"x{number}") for number in range(4)])
    assert ["proposed w1 o1 @0 unit"] == scene.when(wish())


def test_at_one_weight_prefers_the_less_loaded() -> None:
    scene = given(offer("o1", capacity=3), offer("o2", capacity=3))
    assert ["o1", "o2", "o1"] == [line.split()[2] for line in scene.when(wish("w1"), wish("w2"), wish("w3"))]


def test_load_counts_the_work_of_all_offers_of_one_person() -> None:
    scene = given(offer("o0", skills=["repair"], volunteer="p"), offer("o1", volunteer="p"), offer("o2"))
    scene.when(wish("w0", skills=["repair"]))
    assert ["proposed w1 o2 @0 unit"] == scene.when(wish())


def test_whoever_is_done_is_less_loaded_again() -> None:
    scene = given(offer("o1", capacity=3), offer("o2", capacity=3), wish("w1"), wish("w2", wanted=(0, 480), minutes=200))
    scene.passes(60)
    assert ["proposed w3 o1 @60 unit"] == scene.when(wish("w3", at=60))


def test_whoever_is_done_is_less_loaded_in_all_of_their_offers() -> None:
    """Their other offer was looked at, and put back, while they had the most to do."""
    scene = given(offer("o0", skills=["repair"], volunteer="p", capacity=2), offer("o1", volunteer="p", capacity=3), offer("o2", capacity=3))
    scene.when(wish("w1", skills=["repair"], minutes=30), wish("w2", skills=["repair"], minutes=30))
    assert ["proposed w3 o2 @300 unit"] == scene.when(wish("w3", wanted=(300, 480)))
    scene.passes(60)
    assert ["proposed w4 o1 @60 unit"] == scene.when(wish("w4", at=60))


def test_ids_decide_where_nothing_else_does() -> None:
    assert "o1" == chosen(offer("o2"), offer("o1"), offer("o3"))


# ---- centre households

CENTRE: dict[str, Any] = {"organisation": "中心户 · 三单元"}


def visited(*offers: Event, category: str = "elder_care", policy: Policy | None = None) -> str:
    """Whose offer is taken for a visit."""
    return given(*offers, policy=policy).when(wish(category=category))[0].split()[2]


@pytest.mark.parametrize("category", ["elder_care", "disability_help", "health", "culture"])
def test_for_a_visit_the_centre_household_of_the_stairway_comes_first(category: str) -> None:
    assert "o9" == visited(offer("o1"), offer("o9", skills=["haircut", "repair"], **CENTRE), category=category)


@pytest.mark.parametrize("category", ["household", "repair", "study", "other"])
def test_for_other_help_a_centre_household_is_one_among_others(category: str) -> None:
    assert "o1" == visited(offer("o1"), offer("o9", **CENTRE), category=category)


def test_outside_its_own_stairway_a_centre_household_is_one_among_others() -> None:
    assert "o1" == visited(offer("o1", home="c1/p1/b1/u2"), offer("o9", home="c1/p1/b1/u3", **CENTRE))


def test_another_organisation_is_no_centre_household() -> None:
    assert "o1" == visited(offer("o1"), offer("o9", organisation="第三党支部"))


def test_the_policy_says_how_a_centre_household_is_called() -> None:
    named = Policy(round_us=0, centre_households=("Centre household", "邻里中心"))
    assert "o9" == visited(offer("o1"), offer("o9", organisation="Centre household 3"), policy=named)
    assert "o1" == visited(offer("o1"), offer("o9", **CENTRE), policy=named)


def test_a_centre_household_may_name_its_branch_first() -> None:
    assert "o9" == visited(offer("o1"), offer("o9", organisation="建民新村党支部 · 3栋2单元中心户"))


def test_of_two_centre_households_the_ranking_decides_and_then_all_others_follow() -> None:
    scene = given(offer("o1"), offer("o2", **CENTRE), offer("o3", skills=["haircut", "repair"], **CENTRE), offer("o4"))
    order = scene.area.index.in_order(Wish(wish(category="health").data, 0))
    assert ["o2", "o3", "o1", "o4"] == [found.id for _, found in order]


def test_no_rule_gives_way_to_a_centre_household() -> None:
    scene = given(offer("o1"), offer("o9", level=1, **CENTRE))
    assert ["proposed w1 o1 @0 unit"] == scene.when(wish(category="elder_care", lives_alone=True))


def test_a_child_is_visited_by_the_centre_household_and_somebody_else() -> None:
    scene = given(offer("o1"), offer("o2"), offer("o9", **CENTRE))
    told = scene.when(minors_wish(category="left_behind_children"))
    assert ["proposed w1 o9 @0 unit group of 2", "proposed w1 o1 @0 unit group of 2"] == told


def test_whoever_is_posted_again_without_the_centre_household_is_one_among_others() -> None:
    assert "o1" == visited(offer("o1"), offer("o9", **CENTRE), offer("o9"))


@pytest.mark.parametrize(("supply", "weight"), [(0, 1024), (3, 1024), (4, 256), (16, 64), (64, 16), (256, 4), (1024, 1), (9999, 1)])
def test_a_skill_weighs_the_more_the_fewer_have_it(supply: int, weight: int) -> None:
    assert weight == skill_weight(supply)


def test_where_nobody_has_a_skill_nobody_is_looked_at() -> None:
    scene = given(offer())
    assert [] == list(scene.area.index.in_order(Wish(wish(skills=["haircut", "flying"]).data, 0)))


def test_an_offer_that_comes_back_after_it_was_forgotten_takes_its_place_again() -> None:
    """The same id as another object, with an entry of its own beside the void one of the old."""
    scene = given(offer(), offer_withdrawn())
    scene.area.forget_touched()
    assert {} == scene.area.offers
    scene.when(offer("o2"), offer("o1", at=1), offer_withdrawn(at=2), offer("o1", at=3))
    assert ["proposed w1 o1 @3 unit"] == scene.when(wish(at=3))


def test_heaps_do_not_grow_with_the_work_that_is_done() -> None:
    scene = given(offer("o1", skills=["haircut", "repair"], windows=[(0, 1_000_000)]))
    for number in range(500):
        at = 60 * number
        scene.when(wish(f"w{number}", at=at, wanted=(at, at + 60)))
    sizes = [len(heap) for by_skill in scene.area.index._all.values() for heap in by_skill.values()]
    assert 10 == len(sizes)
    assert 64 >= max(sizes)


def test_where_many_skills_become_lighter_at_once_each_holder_is_filed_anew_once() -> None:
    scene = given(*(offer(f"o{number}", skills=["haircut", "piano", "repair"]) for number in range(3)))
    filed = max(one.entry for one in scene.area.offers.values())
    scene.when(offer("o3", skills=["haircut", "piano", "repair"]))  # the fourth: all three skills are in another step of supply
    assert filed + 1 + 4 == max(one.entry for one in scene.area.offers.values())


def test_offers_that_are_gone_are_not_kept() -> None:
    scene = given(*(offer(f"o{number}", at=number, home=f"c1/p1/b1/u{number}", windows=[(number, number + 60)]) for number in range(20)))
    scene.passes(1000)
    assert ({}, {}) == (scene.area.index._all, scene.area.index._vetted)


def test_waiting_wishes_may_be_taken_out_while_one_goes_through_them() -> None:
    scene = given(wish("w1", skills=["repair"]), wish("w2"), wish("w3", skills=["repair"]), wish("w4"), wish("w5"))
    scene.when(offer(skills=["haircut", "repair"], windows=[(0, 1)]))
    near = scene.area.waiting.near(scene.area.offers["o1"])
    assert ("w1", 5) == (next(near).id, len(scene.area.waiting))
    for gone in ("w1", "w2", "w3"):
        scene.area.waiting.remove(scene.area.wishes[gone])
    assert ["w4", "w5"] == [wish.id for wish in near]


def test_a_centre_household_without_the_checks_is_no_candidate_where_a_child_is() -> None:
    scene = given(offer("centre", organisation="中心户三号", level=3), offer("checked"))
    asked = Wish(wish(category="left_behind_children").data, 0)
    assert ["checked"] == [found.id for _, found in scene.area.index.in_order(asked)]


@for_all(st.data(), st.integers(1, 12))
def test_the_index_gives_all_candidates_in_the_documented_order(data: st.DataObject, crowd: int) -> None:
    scene, reference = given(), Reference()
    events = [data.draw(random.offers(0, f"o{number}")) for number in range(1, crowd + 1)]
    events += [data.draw(random.wishes(0, f"w{number}")) for number in range(1, 4)]
    for event in data.draw(st.permutations(events)):
        scene.when(event)
        reference.decide(event, event.time)
    asked = data.draw(random.wishes(0, "w9"))
    wanted = RWish(asked.data, 0)
    expected = [
        found.data.offer_id
        for found in sorted(reference.offers.values(), key=lambda found: reference.key(wanted, found))
        if found.status == "open"
        and set(asked.data.skills) <= set(found.data.skills)
        and reference.key(wanted, found)[0] <= random.RUNGS.index(found.data.reach)
        and reference.held(found.data.offer_id) < found.data.capacity
        and (wanted.level < 4 or found.data.vetting.level >= 4)
    ]
    assert expected == [found.id for _, found in scene.area.index.in_order(Wish(asked.data, 0))]
