"""Yellow and blue wishes wait for the round, in which everybody gets the helper who is best for all."""

import itertools
import random
from typing import Any

import pytest

from schemas.instants import DAY_US, MINUTE_US
from services.matcher.core import score
from services.matcher.core.assign import solve
from services.matcher.core.people import Volunteer
from services.matcher.core.policy import Points, Policy
from services.matcher.core.rounds import Pool
from services.matcher.core.score import weight
from services.matcher.core.turn import Turn
from tests.builders import DAY, HOUR, Scene, claim, declined, instant, minors_wish, minutes_of, offer, wish
from tests.shelf import Shelved

FAR = 2 * DAY
HOUR_US = 60 * MINUTE_US
NO_LADDER = {"red": 0, "yellow": 0, "blue": 0}


def patient(**more: Any) -> Policy:
    """An hour of patience for yellow wishes and two days for blue ones, until two hours or a day before the last moment."""
    lengths = {"patience_us": {"red": 0, "yellow": HOUR_US, "blue": 2 * DAY_US}, "lead_us": {"red": 0, "yellow": 2 * HOUR_US, "blue": DAY_US}}
    return Policy(**{**lengths, **more})


def scene() -> Scene:
    """Rounds every five minutes; everyone is asked at once."""
    return Scene(policy=patient(widen_us=NO_LADDER))


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


def test_who_has_no_time_left_between_visits_is_not_weighed() -> None:
    found = scene()
    found.when(offer(windows=[(0, 70)], capacity=2), wish("w1", urgency="red"), wish(**long("w2")))
    assert [] == found.passes(5)
    assert 0 == len(Pool(Turn(found.area, instant(5), "looks")).wishes)


def test_who_was_checked_but_has_no_time_left_is_not_weighed() -> None:
    found = scene()
    found.when(offer(windows=[(0, 70)], capacity=2, level=4), wish("w1", urgency="red"), wish(**long("w2", vetting_min=4)))
    assert [] == found.passes(5)
    assert 0 == len(Pool(Turn(found.area, instant(5), "looks")).wishes)


def test_who_fails_a_rule_is_not_weighed() -> None:
    found = scene()
    found.when(offer(**always("o1", level=1)), offer(**always("o2", languages=["sichuan"])), offer(**always("o3", level=2, languages=["zh-CN"])))
    found.when(wish(**long("w1", vetting_min=2, languages=["zh-CN"])))
    assert ["proposed w1 o3 @5 unit"] == found.passes(5)


def test_nobody_counts_on_a_place_that_another_wish_is_given() -> None:
    found = scene()
    found.when(offer(**always("near", home="c1/p1/b1")), offer(**always("far", home="c2")), wish(**long("w1")), wish(**long("w2")))
    assert ["proposed w1 near @60 building", "proposed w2 far @60 area"] == found.passes(60)


def test_a_week_that_is_nearly_full_gives_one_place() -> None:
    found = scene()
    found.when(offer(**always("near", home="c1/p1/b1", capacity=3, per_week_max=1)), offer(**always("far", home="c2")))
    found.when(wish(**long("w1")), wish(**long("w2")))
    assert ["proposed w1 near @60 building", "proposed w2 far @60 area"] == found.passes(60)


def test_where_there_are_plenty_those_who_never_had_a_task_come_up() -> None:
    found = scene()
    for number in range(14):
        found.when(offer(**always(f"o{number:02}", home="c1/p1/b1", capacity=3)))
    for number in range(3):
        found.area.volunteers[f"volunteer-of-o{number:02}"].visits = 1
    found.when(wish(**long()))
    assert ["proposed w1 o03 @60 building"] == found.passes(60)


@pytest.mark.parametrize(("had", "expected"), [(1, "near"), (3, "far00")])
def test_a_first_task_is_worth_a_rung_only_where_others_had_some(had: int, expected: str) -> None:
    found = scene()
    found.when(offer(**always("near", home="c1/p1/b1", capacity=3)))
    for number in range(19):
        found.when(offer(**always(f"far{number:02}", home="c1/p1", capacity=3)))
    for name in ["near", "far18", "far17"][:had]:
        found.area.volunteers[f"volunteer-of-{name}"].visits = 1
    found.when(wish(**long()))
    assert [expected] == [line.split()[2] for line in found.passes(60)]


def test_a_resident_keeps_the_helper_they_know_though_another_is_as_near() -> None:
    found = scene()
    for number in range(3):
        found.when(offer(**always(f"o{number}", home="c1/p1/b1")))
    found.area.volunteers["volunteer-of-o2"].met["anna"] = 1
    found.when(wish(**long(resident="anna")))
    assert ["proposed w1 o2 @60 building"] == found.passes(60)


def test_who_usually_says_yes_is_asked_first() -> None:
    found = scene()
    for name, agreed in (("o1", 1), ("o2", 9)):
        found.when(offer(**always(name, home="c1/p1/b1", accepts="ask")))
        person = found.area.volunteers[f"volunteer-of-{name}"]
        person.asked, person.agreed = 10, agreed
    found.when(wish(**long()))
    assert ["proposed w1 o2 @60 building asked until 70"] == found.passes(60)


def test_a_round_that_can_do_nothing_yet_says_when_the_next_one_can() -> None:
    found = scene()
    found.when(offer(**always(home="c2")), wish(**long()))
    found.passes(5)
    assert instant(60) == found.area.round_at


def test_a_round_in_which_there_is_nobody_at_all_takes_nothing() -> None:
    found = Scene(policy=patient(widen_us=NO_LADDER, sure=0))
    found.when(wish(**long()))
    assert ["expired w1 with 0"] == found.passes(FAR)


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
    assert ["unmet w2 haircut 0"] == found.when(wish("w2", wanted=(0, 63)))
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
    found = Scene(policy=patient(edges_max=1, widen_us=NO_LADDER))
    found.when(offer(**always("o1")), offer(**always("o2")), wish(**long("w1")), wish(**long("w2")))
    assert ["proposed w1 o1 @5 unit"] == found.passes(5)
    assert ["proposed w2 o2 @10 unit"] == found.passes(10)


def test_a_round_says_why_this_one() -> None:
    found = scene()
    found.when(offer(**always("o1")), offer(**always("o2", home="c2")), wish(**long()))
    found.passes(5)
    reasons = {one["code"]: one["value"] for one in found.decisions[-1].data["reasons"]}
    assert {"score": 1878, "ahead_of_next": 400} == {code: reasons[code] for code in ("score", "ahead_of_next")}


def test_another_worker_holds_the_next_round() -> None:
    stored = Shelved(policy=patient())
    stored.when(offer(**always()), wish(**long()))
    stored.loads_again()
    assert ["proposed w1 o1 @5 unit"] == stored.passes(5)


# ---- the ladder


def test_a_wish_is_for_its_own_building_first_and_then_for_one_rung_more_at_a_time() -> None:
    found = Scene(policy=patient())
    found.when(offer(**always(home="c1/p2")), wish(**long()))
    assert ["widened w1 to compound"] == found.passes(5)
    assert ["widened w1 to community"] == found.passes(10)
    assert ["widened w1 to area"] == found.passes(15)
    assert ["proposed w1 o1 @60 community"] == found.passes(60)


def test_another_worker_goes_on_widening() -> None:
    stored = Shelved(policy=patient())
    stored.when(wish(**long()))
    stored.passes(5)
    stored.loads_again()
    assert ["widened w1 to community"] == stored.passes(10)
    stored.loads_again()
    assert ["widened w1 to area", "unmet w1 haircut 0"] == stored.passes(15)
    stored.loads_again()
    assert [] == stored.passes(60)


def test_a_wish_in_a_hurry_widens_faster() -> None:
    found = Scene(policy=patient())
    found.when(wish(wanted=(0, 92)))
    assert ["widened w1 to compound"] == found.passes(4)


def test_a_wish_that_was_met_is_not_widened() -> None:
    found = Scene(policy=patient())
    found.when(offer(**always()), wish(**long()))
    found.passes(5)
    assert [] == found.passes(40)


def test_a_wish_that_has_no_time_left_is_for_everyone() -> None:
    found = Scene(policy=patient())
    found.when(wish(wanted=(0, 60)))
    assert ["expired w1 with 0"] == found.passes(60)


# ---- the solver and the score


def best_total(choices: list[list[tuple[int, int]]], ranks: list[int], places: list[list[int]]) -> int:
    best = 0
    for picks in itertools.product(*[[None, *some] for some in choices]):
        used, total = [0] * len(places), 0
        for rank, pick in zip(ranks, picks, strict=True):
            if pick is not None and used[pick[0]] < len(places[pick[0]]):
                total += pick[1] + rank + places[pick[0]][used[pick[0]]]
                used[pick[0]] += 1
        best = max(best, total)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_the_solver_finds_the_highest_total(seed: int) -> None:
    draw = random.Random(seed)
    helpers = draw.randint(1, 4)
    places = [sorted((draw.randint(0, 400) for _ in range(draw.randint(1, 2))), reverse=True) for _ in range(helpers)]
    choices = [[(one, draw.randint(1, 2000)) for one in draw.sample(range(helpers), draw.randint(0, helpers))] for _ in range(draw.randint(0, 5))]
    ranks = [draw.choice([0, 3000, 6000]) for _ in choices]
    flat = [pair for some in choices for pair in some]
    taken = solve([len(some) for some in choices], [one for one, _ in flat], [points for _, points in flat], ranks, places)
    used = [0] * helpers
    total = 0
    for some, rank, choice in zip(choices, ranks, taken, strict=True):
        if choice is not None:
            helper, points = some[choice]
            total += points + rank + places[helper][used[helper]]
            used[helper] += 1
    assert best_total(choices, ranks, places) == total


def test_any_pair_is_worth_more_than_none_and_the_nearer_one_more() -> None:
    assert sorted((weight(rung, 0) for rung in range(5)), reverse=True) == [weight(rung, 0) for rung in range(5)]
    assert 0 < weight(4, 100) < weight(4, 0)


def someone(*, tasks: int = 0, load: int = 0, met: int = 0) -> Volunteer:
    person = Volunteer("p")
    person.visits, person.slots = tasks - load, [(0, 1)] * load
    person.met = {"anna": met} if met else {}
    return person


def test_the_longer_a_wish_waits_the_more_it_counts_up_to_its_patience() -> None:
    assert [0, 50, 100, 100] == [score.age_points(Points(age=100), waited, 10) for waited in (0, 5, 10, 99)]
    assert 100 == score.age_points(Points(age=100), 0, 0)


def test_an_elder_keeps_the_helper_they_know() -> None:
    assert [0, 50, 100, 150, 150] == [score.known_points(Points(known=150), someone(met=met), "anna") for met in (0, 1, 2, 3, 9)]
    assert 0 == score.known_points(Points(known=150), someone(met=3), "berta")


def test_who_surely_comes_counts_more_than_who_may_say_no() -> None:
    assert (200, 160) == tuple(score.chance_points(Points(chance=200), someone(), asks=asks) for asks in (False, True))


def test_rare_skills_that_nobody_wished_are_kept_free() -> None:
    assert [110, 100, 60, 0, 0] == [score.rare_points(Points(rare=110))[spare.bit_length()] for spare in (0, 1, 16, 1024, 9999)]


def test_who_has_fewer_visits_before_them_comes_up() -> None:
    assert [60, 60, 30, 20] == [score.idle_points(Points(idle=60), person) for person in (someone(), someone(tasks=5), someone(load=1), someone(load=2))]


def test_a_first_task_counts_only_once() -> None:
    assert [[300, 0], [0, 0], [0, 0]] == [score.place_points(person, 2, 300) for person in (someone(), someone(tasks=5), someone(tasks=1, load=1))]


def test_a_wish_for_several_is_given_several_in_one_round() -> None:
    found = scene()
    found.when(offer(**always("o1", home="c2")), offer(**always("o2", home="c2")), offer(**always("o3", home="c2")), wish(**long("w1", helpers=2)))
    assert ["proposed w1 o1 @60 area", "proposed w1 o2 @60 area"] == found.passes(60)


def test_a_first_task_counts_where_there_are_plenty_of_helpers() -> None:
    assert [0, 0, 150, 300, 300] == [score.fresh_points(Points(fresh=300), free, 10, 1000) for free in (5, 60, 90, 120, 999)]
    assert 0 == score.fresh_points(Points(), 5, 0, 1000)


def test_a_first_task_counts_where_it_is_no_rare_thing_to_have_had_one() -> None:
    """Where hardly anybody had one, most go without whoever is taken, and the better pair is worth more."""
    assert [0, 0, 150, 300, 300] == [score.fresh_points(Points(fresh=300), 120, 10, had) for had in (0, 50, 100, 150, 1000)]


def test_a_centre_household_comes_before_all_that_speaks_for_another_of_its_stairway() -> None:
    points = Points()
    other = weight(0, 0) + points.known + points.chance + points.rare + points.idle + points.fresh
    assert weight(0, 9) + score.centre_points(points) > other


def test_a_step_is_more_than_two_pairs_can_differ_in() -> None:
    points = Points()
    best = weight(0, 0) + score.centre_points(points) + points.age + points.known + points.chance + points.rare + points.idle + points.fresh
    assert best < score.step_of(points)


@pytest.mark.parametrize("name", ["age", "known", "chance", "rare", "idle", "fresh"])
def test_points_have_bounds(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Points(**{name: 1001})
    with pytest.raises(ValueError, match=name):
        Points(**{name: -1})


def test_the_next_rung_comes_at_its_time_whatever_became_of_a_hold() -> None:
    found = Scene(policy=patient())
    found.when(offer(**always(accepts="ask")), wish(**long()))
    found.when(claim(at=1), declined(at=3))
    assert ["widened w1 to compound"] == found.passes(5)


def test_two_rungs_that_are_passed_at_once_are_both_told() -> None:
    found = Scene(policy=patient())
    found.when(wish(**long()))
    assert ["widened w1 to compound", "widened w1 to community"] == found.passes(12)


def test_a_rung_that_is_passed_while_the_wish_is_held_is_not_told() -> None:
    found = Scene(policy=patient())
    found.when(offer(**always()), wish(**long()), claim(at=1))
    assert [] == found.passes(12)
    assert ["released w1 o1 declined"] == found.when(declined(at=13))
    assert ["widened w1 to area", "unmet w1 haircut 0"] == found.passes(15)


@pytest.mark.parametrize(("policy", "asked"), [(patient(widen_us=NO_LADDER), long()), (patient(), {"wanted": (0, 60)})], ids=["no ladder", "no time for one"])
def test_a_wish_with_no_ladder_before_it_is_said_to_be_unmet_at_once(policy: Policy, asked: dict[str, Any]) -> None:
    found = Scene(policy=policy)
    assert ["unmet w1 haircut 0"] == found.when(wish(**asked))
    assert [] == [told for told in found.passes(59) if told.startswith("unmet")]
    assert [] == Scene(policy=policy).when(offer(**always()), wish(**long("w2")))


def test_a_helper_who_is_about_to_go_is_not_preferred_to_a_better_one() -> None:
    found = scene()
    found.when(offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer(**always("stays", home="c1/p1/b1")), wish(**long()))
    assert [] == found.passes(59)
    assert ["proposed w1 stays @60 building"] == found.passes(60)


@pytest.mark.parametrize("urgency", ["yellow", "blue"])
@pytest.mark.parametrize("home", ["c1/p1/b2", "c1/p2", "c2"])
def test_a_clock_that_stops_at_rounds_alone_brings_every_wish_to_the_circle_of_its_helper(urgency: str, home: str) -> None:
    found = Scene(policy=Policy())
    found.when(offer(**always(home=home)), wish(**long(urgency=urgency)))
    told: list[str] = []
    while not told and (stop := found.area.round_at) is not None:
        told = [one for one in found.passes(minutes_of(stop)) if one.startswith("proposed")]
    assert len(told) == 1


def test_a_visit_that_can_begin_no_later_than_the_next_round_is_not_left_to_it() -> None:
    found = scene()
    found.when(offer(**always()))
    assert ["proposed w1 o1 @4 unit"] == found.when(wish(wish_id="w1", urgency="yellow", wanted=(4, 65), at=4))
    found = scene()
    found.when(offer(**always()))
    assert [] == found.when(wish(wish_id="w1", urgency="yellow", wanted=(4, 67), at=4))
    assert ["proposed w1 o1 @5 unit"] == found.passes(5)
