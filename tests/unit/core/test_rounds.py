"""Yellow and blue wishes wait for the round, in which everybody gets the helper who is best for all."""

import itertools
import random
from typing import Any

import pytest

from services.matcher.core.assign import solve
from services.matcher.core.policy import Policy
from services.matcher.core.score import SCORE_MAX, score, weight
from tests.builders import DAY, HOUR, Scene, claim, declined, minors_wish, offer, wish
from tests.shelf import Shelved

FAR = 2 * DAY


def scene() -> Scene:
    """Rounds every five minutes; everyone is asked at once."""
    return Scene(policy=Policy(widen_us={"red": 0, "yellow": 0, "blue": 0}))


def long(wish_id: str = "w1", urgency: str = "yellow", **more: Any) -> dict[str, Any]:
    return {"wish_id": wish_id, "urgency": urgency, "wanted": (0, FAR), **more}


def always(offer_id: str = "o1", **more: Any) -> dict[str, Any]:
    return {"offer_id": offer_id, "windows": [(0, 2 * FAR)], **more}


def test_a_pair_as_good_as_pairs_get_is_taken_in_the_first_round() -> None:
    found = scene()
    assert [] == found.when(offer(**always()), wish(**long()))
    assert [] == found.passes(4)
    assert ["proposed w1 o1 @5 unit"] == found.passes(5)


def test_a_wish_waits_for_a_better_helper_as_long_as_its_patience() -> None:
    found = scene()
    found.when(offer(**always("far", home="c2")), wish(**long()))
    assert [] == found.passes(55)
    found.when(offer(**always("near"), at=56))
    assert ["proposed w1 near @60 unit"] == found.passes(60)


def test_when_patience_ends_whoever_can_comes() -> None:
    found = scene()
    found.when(offer(**always(home="c2")), wish(**long()))
    assert [] == found.passes(59)
    assert ["proposed w1 o1 @60 area"] == found.passes(60)


def test_a_round_sends_the_centre_household_of_the_stairway_to_visit() -> None:
    found = scene()
    found.when(offer(**always("o1")), offer(**always("o9", skills=["haircut", "repair"], accepts="ask", organisation="中心户")))
    found.when(wish(**long("w1", category="elder_care", wanted=(0, 90))), wish(**long("w2", category="repair", wanted=(0, 90))))
    assert ["proposed w1 o9", "proposed w2 o1"] == [" ".join(line.split()[:3]) for line in found.passes(5)]


def test_the_second_best_is_named() -> None:
    found = scene()
    found.when(offer(**always("o1")), offer(**always("o2", home="c2")), offer(**always("o3", home="c1")), wish(**long()))
    found.passes(5)
    reasons = {one["code"]: one["value"] for one in found.decisions[-1].data["reasons"]}
    assert "o3" == reasons["next_best"]


def test_blue_wishes_wait_longer_than_yellow_ones() -> None:
    found = scene()
    found.when(offer(**always(home="c2", capacity=2)), wish(**long("w1", "blue")), wish(**long("w2", "yellow")))
    assert ["proposed w2 o1 @60 area"] == found.passes(60)
    assert ["proposed w1 o1 @1440 area"] == found.passes(DAY)  # a day is left before the last moment


def test_nobody_waits_until_the_helper_is_gone() -> None:
    found = scene()
    found.when(offer(home="c2", windows=[(0, 3.5 * HOUR)]), wish(**long()))
    assert ["proposed w1 o1 @30 area"] == found.passes(30)


def test_who_must_be_asked_is_taken_early_enough_for_an_answer() -> None:
    found = scene()
    found.when(offer(home="c2", windows=[(0, 4.5 * HOUR)], accepts="ask"), wish(**long()))
    assert ["proposed w1 o1 @30 area asked until 40"] == found.passes(30)


def test_after_a_refusal_the_next_comes_with_the_next_round() -> None:
    found = scene()
    found.when(offer(**always("o1", accepts="ask")), offer(**always("o2", home="c1/p1/b1", accepts="ask")), wish(**long()))
    assert ["proposed w1 o1 @5 unit asked until 15"] == found.passes(5)
    assert ["released w1 o1 declined"] == found.when(declined(at=6))
    assert ["proposed w1 o2 @60 building asked until 70"] == found.passes(60)


def test_the_round_gives_each_the_helper_who_is_best_for_all() -> None:
    """One after another, w1 would take the only one who can help w2."""
    found = scene()
    found.when(offer(**always("both", skills=["haircut", "repair"])), offer(**always("cutter", home="c1/p1/b1")))
    found.when(wish(**long("w1")), wish(**long("w2", skills=["repair"])))
    found.passes(60)
    assert {"w1": ["cutter"], "w2": ["both"]} == {name: list(one.matches) for name, one in found.area.wishes.items()}


def test_a_helper_with_two_hours_takes_two_wishes_one_after_the_other() -> None:
    found = scene()
    found.when(offer(**always(capacity=2)), wish(**long("w1")), wish(**long("w2")))
    assert ["proposed w1 o1 @5 unit", "proposed w2 o1 @65 unit"] == found.passes(5)


def test_two_offers_of_one_person_are_not_taken_for_the_same_hour() -> None:
    found = scene()
    for name in ("o1", "o2"):
        found.when(offer(name, volunteer="p", windows=[(0, 70)]))
    found.when(wish("w1", wanted=(0, 100)), wish("w2", wanted=(0, 100)))
    assert ["proposed w1 o1 @5 unit"] == found.passes(5)
    assert ["expired w2 with 0"] == found.passes(100)


def test_a_wish_that_cannot_wait_for_the_round_is_tried_at_once() -> None:
    found = scene()
    found.when(offer())
    assert ["proposed w1 o1 @0 unit"] == found.when(wish(wanted=(0, 62)))
    assert [] == found.when(wish("w2", wanted=(0, 63)))
    assert ["proposed w2 o2 @0 unit"] == found.when(offer("o2"))


def test_a_red_wish_never_waits_for_a_round() -> None:
    found = scene()
    found.when(offer(**always(home="c2")))
    assert ["proposed w1 o1 @0 area"] == found.when(wish(**long("w1", "red")))


def test_minors_do_not_wait_for_a_round() -> None:
    found = scene()
    found.when(offer(**always("o1")), offer(**always("o2")))
    assert 2 == len(found.when(minors_wish(wanted=(0, FAR))))


def test_a_claim_is_granted_while_the_wish_waits() -> None:
    found = scene()
    found.when(offer(**always(home="c2")), wish(**long()))
    assert ["proposed w1 o1 @1 area claimed"] == found.when(claim(at=1))


def test_a_helper_who_is_free_again_is_weighed_with_the_next_round() -> None:
    found = scene()
    found.when(offer(**always()), wish("w1", urgency="red", wanted=(0, 60)))
    found.when(wish(**long("w2")))
    assert ["proposed w2 o1 @60 unit"] == found.passes(60)


def test_each_wish_weighs_only_so_many_helpers() -> None:
    found = Scene(policy=Policy(edges_max=1, widen_us={"red": 0, "yellow": 0, "blue": 0}))
    found.when(offer(**always("o1")), offer(**always("o2")), wish(**long("w1")), wish(**long("w2")))
    assert ["proposed w1 o1 @5 unit"] == found.passes(5)
    assert ["proposed w2 o2 @10 unit"] == found.passes(10)


def test_a_round_says_why_this_one() -> None:
    found = scene()
    found.when(offer(**always("o1")), offer(**always("o2", home="c2")), wish(**long()))
    found.passes(5)
    reasons = {one["code"]: one["value"] for one in found.decisions[-1].data["reasons"]}
    assert {"score": 1725, "ahead_of_next": 400} == {code: reasons[code] for code in ("score", "ahead_of_next")}


def test_another_worker_holds_the_next_round() -> None:
    stored = Shelved(policy=Policy())
    stored.when(offer(**always()), wish(**long()))
    stored.loads_again()
    assert ["proposed w1 o1 @5 unit"] == stored.passes(5)


# ---- the ladder


def test_a_wish_is_for_its_own_building_first_and_then_for_one_rung_more_at_a_time() -> None:
    found = Scene(policy=Policy())
    found.when(offer(**always(home="c1/p2")), wish(**long()))
    assert ["widened w1 to compound"] == found.passes(5)
    assert ["widened w1 to community"] == found.passes(10)
    assert ["widened w1 to area"] == found.passes(15)
    assert ["proposed w1 o1 @60 community"] == found.passes(60)


def test_another_worker_goes_on_widening() -> None:
    stored = Shelved(policy=Policy())
    stored.when(wish(**long()))
    stored.passes(5)
    stored.loads_again()
    assert ["widened w1 to community"] == stored.passes(10)
    stored.loads_again()
    assert ["widened w1 to area", "unmet w1 haircut 0"] == stored.passes(15)
    stored.loads_again()
    assert [] == stored.passes(60)


def test_a_wish_in_a_hurry_widens_faster() -> None:
    found = Scene(policy=Policy())
    found.when(wish(wanted=(0, 92)))
    assert ["widened w1 to compound"] == found.passes(4)


def test_a_wish_that_was_met_is_not_widened() -> None:
    found = Scene(policy=Policy())
    found.when(offer(**always()), wish(**long()))
    found.passes(5)
    assert [] == found.passes(40)


def test_a_wish_that_has_no_time_left_is_for_everyone() -> None:
    found = Scene(policy=Policy())
    found.when(wish(wanted=(0, 60)))
    assert ["expired w1 with 0"] == found.passes(60)


# ---- the solver and the score


def best_total(choices: list[list[tuple[int, int]]], places: list[int]) -> int:
    best = 0
    for picks in itertools.product(*[[None, *some] for some in choices]):
        taken = [pick for pick in picks if pick is not None]
        if all(sum(helper == number for helper, _ in taken) <= places[number] for number in range(len(places))):
            best = max(best, sum(one for _, one in taken))
    return best


@pytest.mark.parametrize("seed", range(40))
def test_the_solver_finds_the_highest_total(seed: int) -> None:
    draw = random.Random(seed)
    helpers = draw.randint(1, 4)
    places = [draw.randint(1, 2) for _ in range(helpers)]
    choices = [[(one, draw.randint(1, SCORE_MAX)) for one in draw.sample(range(helpers), draw.randint(0, helpers))] for _ in range(draw.randint(0, 5))]
    taken = solve(choices, places)
    used = [some[choice] for some, choice in zip(choices, taken, strict=True) if choice is not None]
    assert all(sum(helper == number for helper, _ in used) <= places[number] for number in range(helpers))
    assert best_total(choices, places) == sum(one for _, one in used)


def test_any_pair_is_worth_more_than_none_and_the_nearer_one_more() -> None:
    assert sorted((weight(rung, 0) for rung in range(5)), reverse=True) == [weight(rung, 0) for rung in range(5)]
    assert 0 < weight(4, 100) < weight(4, 0)


def test_who_can_wait_no_longer_comes_before_all_who_can() -> None:
    ripe = score(weight(4, 9), waited=0, patience=10, load=9, asks=True, due=True)
    assert ripe > score(weight(0, 0), waited=10, patience=10, load=0, asks=False, due=False, centre=True)
    assert SCORE_MAX >= score(weight(0, 0), waited=99, patience=0, load=0, asks=False, due=True, centre=True)


def test_the_next_rung_comes_at_its_time_whatever_became_of_a_hold() -> None:
    found = Scene(policy=Policy())
    found.when(offer(**always(accepts="ask")), wish(**long()))
    found.when(claim(at=1), declined(at=3))
    assert ["widened w1 to compound"] == found.passes(5)


def test_two_rungs_that_are_passed_at_once_are_both_told() -> None:
    found = Scene(policy=Policy())
    found.when(wish(**long()))
    assert ["widened w1 to compound", "widened w1 to community"] == found.passes(12)


def test_a_rung_that_is_passed_while_the_wish_is_held_is_not_told() -> None:
    found = Scene(policy=Policy())
    found.when(offer(**always()), wish(**long()), claim(at=1))
    assert [] == found.passes(12)
    assert ["released w1 o1 declined"] == found.when(declined(at=13))
    assert ["widened w1 to area", "unmet w1 haircut 0"] == found.passes(15)


def test_a_helper_who_is_about_to_go_is_not_preferred_to_a_better_one() -> None:
    found = scene()
    found.when(offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer(**always("stays", home="c1/p1/b1")), wish(**long()))
    assert [] == found.passes(59)
    assert ["proposed w1 stays @60 building"] == found.passes(60)
