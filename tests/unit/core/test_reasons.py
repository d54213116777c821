"""Why an offer is, or is not, a wish's helper: each rule with what it looked at, who almost fits, and who comes first."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from schemas.instants import MINUTE_US
from services.matcher.core.policy import Policy
from services.matcher.core.reasons import (
    BEHIND,
    BLOCKS,
    CAPACITY,
    FIRST,
    INVITED,
    ITS_MATCH,
    LANGUAGES,
    MEETING,
    NOT_YET,
    OVER,
    POSTED,
    REACH,
    RULED_OUT,
    SAID_NO,
    SKILLS,
    TAKEN,
    TIME,
    TOGETHER,
    UNANSWERED,
    VETTING,
    Answer,
    Comparison,
    Fact,
    Verdict,
    almost,
    verdicts,
    vetting_demands,
    why,
)
from services.matcher.core.rules import earliest_start, refusal
from services.matcher.core.state import LAPSED, Offer, Wish
from tests.builders import (
    DAY,
    HOUR,
    Scene,
    confirmed,
    declined,
    given,
    instant,
    minors_wish,
    minutes_of,
    offer,
    offer_suspended,
    offer_withdrawn,
    text_of,
    wish,
    wish_withdrawn,
)
from tests.unit.core import strategies as random
from tests.unit.core.test_slots import situations


def about(scene: Scene, wish_id: str = "w1", offer_id: str = "o1", at: float = 0) -> dict[str, Verdict]:
    """The verdicts on a pair, by rule."""
    return {verdict.rule: verdict for verdict in verdicts(scene.area.wishes[wish_id], scene.area.offers[offer_id], instant(at))}


def failing(scene: Scene, wish_id: str = "w1", offer_id: str = "o1", at: float = 0) -> dict[str, dict[str, Fact]]:
    """The rules that do not pass, with their facts."""
    return {rule: verdict.facts for rule, verdict in about(scene, wish_id, offer_id, at).items() if not verdict.passed}


def answer(scene: Scene, wish_id: str = "w1", offer_id: str = "o1", at: float = 0) -> Answer:
    return why(scene.area, scene.area.wishes[wish_id], scene.area.offers[offer_id], instant(at))


def waiting(wished: Any, *offers: Any) -> Scene:
    """The wish waits and was tried with none of these offers."""
    scene = given(*offers)
    scene.leaves_untried(wished)
    return scene


# ---- the rules


def test_every_rule_passes_in_the_contracts_order() -> None:
    scene = waiting(wish(), offer())
    assert [SKILLS, LANGUAGES, REACH, VETTING, TIME, POSTED, MEETING, CAPACITY] == list(about(scene))
    assert {} == failing(scene)


def test_the_skills_without_a_valid_proof_are_named() -> None:
    scene = Scene(policy=replace(Policy.at_once(), proof_needed=frozenset({"haircut", "reading"})))
    scene.when(wish(skills=["repair", "haircut"]), offer(skills=["haircut"], proofs=[{"skill": "haircut", "valid_until": text_of(30)}]))
    assert {SKILLS: {"needed": ["haircut", "repair"], "missing": ["repair"], "unproven": ["haircut"]}} == failing(scene)


def test_the_missing_skills_are_named() -> None:
    scene = waiting(wish(skills=["repair", "haircut", "reading"]), offer(skills=["haircut"]))
    assert {SKILLS: {"needed": ["haircut", "reading", "repair"], "missing": ["reading", "repair"], "unproven": []}} == failing(scene)


def test_the_languages_of_both_are_named() -> None:
    scene = waiting(wish(languages=["sichuan"]), offer(languages=["zh-CN", "en"]))
    assert {LANGUAGES: {"needed": ["sichuan"], "spoken": ["en", "zh-CN"]}} == failing(scene)


def test_the_rung_is_held_against_the_reach() -> None:
    scene = waiting(wish(where="c1/p1/b1/u1"), offer(home="c1/p2/b1", reach="compound"))
    assert {REACH: {"rung": "community", "reach": "compound"}} == failing(scene)


def test_the_level_is_held_against_what_is_needed() -> None:
    scene = waiting(wish(vetting_min=2), offer(level=1))
    assert {VETTING: {"level": 1, "needed": 2, "checked_at": None, "age_days": None, "valid_days": None, "fresh": None}} == failing(scene)


@pytest.mark.parametrize(("checked", "age", "fresh"), [(-30, 30, True), (-364.5, 364, True), (-365, 365, True), (-365.5, 366, False), (0.5, -1, False)])
def test_the_age_of_a_check_counts_at_the_visit(checked: float, age: int, fresh: bool) -> None:
    scene = waiting(wish(vetting_min=4), offer(checked=checked * DAY))
    verdict = about(scene)[VETTING]
    assert (fresh, fresh, age, 365) == (verdict.passed, verdict.facts["fresh"], verdict.facts["age_days"], verdict.facts["valid_days"])
    assert instant(checked * DAY) == verdict.facts["checked_at"]


def test_the_earliest_start_is_told() -> None:
    scene = waiting(wish(), offer(windows=[(30, 300)]))
    facts = about(scene)[TIME].facts
    assert {"start": instant(30), "blocked_by": None, "slots": 0, "rest_minutes": 0, "per_week_max": None} == facts


@pytest.mark.parametrize(
    ("wished", "posted", "at", "blocked_by"),
    [
        ((0, 240), {}, 181, "too_late"),
        ((0, 240), {"windows": [(0, 59), (181, 300)]}, 0, "window"),
        ((0, 100), {}, 0, "slots"),
        ((0, 100), {"rest_minutes": 60, "per_week_max": 1}, 0, "slots"),
        ((0, 160), {"rest_minutes": 60, "per_week_max": 1}, 0, "rest"),
        ((0, 160), {"rest_minutes": 10, "per_week_max": 1}, 0, "week"),
        ((0, 160), {"per_week_max": 1}, 0, "week"),
    ],
)
def test_what_leaves_no_time_is_told(wished: tuple[float, float], posted: dict[str, Any], at: float, blocked_by: str) -> None:
    scene = given(offer("busy", volunteer="p", capacity=2), wish("before", wanted=(30, 90)), offer(volunteer="p", **posted))
    scene.leaves_untried(wish(wanted=wished))
    assert [TIME] == list(failing(scene, at=at))
    facts = failing(scene, at=at)[TIME]
    assert (None, blocked_by, 1) == (facts["start"], facts["blocked_by"], facts["slots"])
    assert (posted.get("rest_minutes", 0), posted.get("per_week_max")) == (facts["rest_minutes"], facts["per_week_max"])


def test_where_no_time_is_left_a_check_is_judged_at_the_soonest_visit() -> None:
    scene = waiting(wish(vetting_min=4), offer(windows=[(0, 59)], checked=-366 * DAY))
    assert {VETTING, TIME} == set(failing(scene))


@pytest.mark.parametrize(("leaves", "status"), [(offer_withdrawn, "withdrawn"), (offer_suspended, "suspended")])
def test_an_offer_that_is_not_open_any_more_is_told(leaves: Any, status: str) -> None:
    scene = waiting(wish(), offer(), leaves(at=1))
    assert {POSTED: {"status": status}} == failing(scene, at=1)


def test_a_pair_that_was_parted_is_told() -> None:
    scene = given(offer(accepts="ask"), wish(), declined(at=1))
    assert {MEETING: {"parted": True, "helps_already": False}} == failing(scene, at=1)


def test_a_helper_by_another_offer_is_told() -> None:
    scene = given(offer("o1", volunteer="p", capacity=2), wish(helpers=2), offer("o2", volunteer="p", capacity=2))
    assert {MEETING: {"parted": False, "helps_already": True}} == failing(scene, offer_id="o2")
    assert {MEETING} == set(failing(scene))


def test_a_full_offer_is_told() -> None:
    scene = given(offer(), wish("w0"))
    scene.leaves_untried(wish())
    assert {CAPACITY: {"live": 1, "capacity": 1}} == failing(scene)


caps = st.tuples(st.sampled_from([0, 15, 45]), st.sampled_from([None, 1, 2]))


@for_all(situations(), caps, st.sampled_from(["open", LAPSED]), st.booleans(), st.integers(0, 2))
def test_all_rules_pass_exactly_where_nothing_is_refused(
    situation: tuple[Wish, Offer, int], capped: tuple[int, int | None], status: str, parted: bool, live: int
) -> None:
    """And the first that does not pass has the name of the refusal."""
    wished, offered, now = situation
    offered.rest, offered.per_week_max, offered.capped = capped[0] * MINUTE_US, capped[1], True
    offered.volunteer.starts = [begins for begins, _ in offered.volunteer.slots]
    offered.status, offered.live = status, live
    if parted:
        wished.barred.add(offered.id)
    judged = verdicts(wished, offered, now)
    first = next((verdict.refusal for verdict in judged if not verdict.passed), None)
    assert refusal(wished, offered, now) == first
    blocked_by = next(verdict.facts["blocked_by"] for verdict in judged if verdict.rule == TIME)
    assert (earliest_start(wished, offered, now) is None) == (blocked_by in BLOCKS)


@for_all(random.wishes())
def test_what_demands_a_vetting_level_is_named_wherever_one_is_needed(submitted: Any) -> None:
    demands = vetting_demands(submitted.data)
    assert (Wish(submitted.data, 0).vetting > 0) == bool(demands)


@pytest.mark.parametrize(
    ("wished", "expected"),
    [
        (wish(), []),
        (wish(vetting_min=1), ["vetting_min"]),
        (wish(lives_alone=True, vetting_min=1), ["lives_alone"]),
        (wish(lives_alone=True, vetting_min=2), ["lives_alone", "vetting_min"]),
        (minors_wish(category="left_behind_children", vetting_min=3), ["minor", "left_behind_children"]),
    ],
)
def test_the_highest_demands_count(wished: Any, expected: list[str]) -> None:
    assert expected == vetting_demands(wished.data)


# ---- who almost fits


def test_the_nearest_that_fail_one_rule_alone_almost_fit_and_those_without_a_skill_come_last() -> None:
    scene = waiting(
        wish(skills=["haircut", "repair"], vetting_min=2),
        offer("no-repair", skills=["haircut"]),
        offer("no-haircut", home="c1/p1/b1/u2", skills=["repair"]),
        offer("unvetted", home="c1", skills=["haircut", "repair"], level=1),
        offer("too-far", home="c1/p2", skills=["haircut", "repair"], reach="compound"),
        offer("two-rules", skills=["haircut"], level=0),
        offer("gone", skills=["haircut"]),
        offer_withdrawn("gone", at=0),
        offer("fits", skills=["haircut", "repair"]),
    )
    found = almost(scene.area, scene.area.wishes["w1"], instant(0))
    assert [("too-far", REACH), ("unvetted", VETTING), ("no-repair", SKILLS)] == [(one.id, verdict.rule) for one, verdict in found]
    assert "no-haircut" == almost(scene.area, scene.area.wishes["w1"], instant(0), most=4)[-1][0].id


def test_who_has_none_of_the_skills_does_not_almost_fit() -> None:
    scene = waiting(wish(), offer(skills=["repair"]))
    assert [] == almost(scene.area, scene.area.wishes["w1"], instant(0))


def test_who_was_parted_does_not_almost_fit() -> None:
    scene = given(offer(accepts="ask"), wish(), declined(at=1))
    assert [] == almost(scene.area, scene.area.wishes["w1"], instant(1))


# ---- who comes first


def test_a_match_is_told() -> None:
    scene = given(offer(), wish())
    told = answer(scene)
    assert (ITS_MATCH, "held", scene.match()) == (told.code, told.status, told.match)


def test_a_wish_that_is_over_is_told() -> None:
    scene = waiting(wish(), offer())
    scene.when(wish_withdrawn(at=1))
    assert (OVER, "withdrawn") == (answer(scene, at=1).code, answer(scene, at=1).status)


def test_a_rule_that_does_not_pass_rules_out() -> None:
    scene = waiting(minors_wish(), offer(level=3))
    told = answer(scene)
    assert (RULED_OUT, [VETTING]) == (told.code, [verdict.rule for verdict in told.verdicts if not verdict.passed])


def test_the_best_comes_first() -> None:
    scene = waiting(wish(), offer("o1"), offer("o2"))
    assert (FIRST, []) == (answer(scene).code, answer(scene).others)


@pytest.mark.parametrize(
    ("ahead", "own", "by", "theirs", "mine"),
    [
        ({}, {"home": "c1/p1/b1/u2"}, "rung", "unit", "building"),
        ({}, {"skills": ["haircut", "repair"]}, "weight", 1024, 2048),
        ({"capacity": 2}, {"capacity": 2, "volunteer": "busy"}, "load", 0, 1),
        ({}, {}, "offer_id", "o1", "o2"),
    ],
)
def test_what_puts_another_ahead_is_told(ahead: dict[str, Any], own: dict[str, Any], by: str, theirs: Any, mine: Any) -> None:
    busy = offer("o0", volunteer="busy", skills=["cooking"]), wish("w0", skills=["cooking"], wanted=(0, 60))
    scene = waiting(wish(), *busy, offer("o1", **ahead), offer("o2", **own), offer("o3", level=0, home="c1"))
    told = answer(scene, offer_id="o2")
    assert (BEHIND, 1, [Comparison("o1", ahead=True, by=by, theirs=theirs, own=mine)]) == (told.code, told.ahead, told.others)


def test_a_centre_household_is_ahead_where_somebody_is_to_be_visited() -> None:
    scene = waiting(wish(category="health"), offer("o1"), offer("o2", organisation="中心户"))
    told = answer(scene)
    assert (BEHIND, [Comparison("o2", ahead=True, by="centre", theirs=False, own=True)]) == (told.code, told.others)


def test_who_had_fewer_tasks_is_ahead_where_nothing_else_tells() -> None:
    scene = waiting(wish(), offer("o1"), offer("o2"))
    scene.area.volunteers["volunteer-of-o2"].visits = 2
    assert [Comparison("o1", ahead=True, by="tasks", theirs=0, own=2)] == answer(scene, offer_id="o2").others


def test_those_who_may_not_come_are_not_ahead() -> None:
    scene = waiting(wish(vetting_min=2), offer("o1", level=1), offer("o2"))
    assert FIRST == answer(scene, offer_id="o2").code


def test_who_has_the_wish_is_compared_as_they_stood_before_it() -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    told = answer(scene, offer_id="o2")
    assert (TAKEN, "held") == (told.code, told.status)
    assert [Comparison("o1", ahead=True, by="offer_id", theirs="o1", own="o2")] == told.others


def test_who_came_later_is_not_behind() -> None:
    scene = given(offer("o1", home="c1"), wish(), offer("o2"))
    assert [Comparison("o1", ahead=False, by="rung", theirs="community", own="unit")] == answer(scene, offer_id="o2").others


def test_a_helper_whose_offer_is_forgotten_is_compared_by_the_rung() -> None:
    scene = given(offer("o1"), wish(), offer("o2", home="c1"))
    del scene.area.offers["o1"]
    assert [Comparison("o1", ahead=True, by="rung", theirs="unit", own="community")] == answer(scene, offer_id="o2").others


def test_a_visit_that_is_over_is_no_load() -> None:
    scene = given(offer("o1", capacity=2), wish(), offer("o2", capacity=2))
    scene.when(confirmed(scene.match()))
    scene.passes(HOUR)
    told = answer(scene, offer_id="o2", at=HOUR)
    assert ("matched", "offer_id") == (told.status, told.others[0].by)


# ---- invitations and rounds


PRODUCTION = Policy()


def test_who_is_simply_told_comes_before_who_is_asked_where_a_wish_invites() -> None:
    asked, told = offer("o1", accepts="ask"), offer("o2", home="c1")
    for urgency, policy, code in (("red", PRODUCTION, BEHIND), ("red", Policy.at_once(), FIRST), ("yellow", Policy.at_once(), FIRST)):
        scene = given(asked, told, policy=policy)
        scene.leaves_untried(wish(urgency=urgency))
        assert code == answer(scene).code
    scene = given(asked, told, policy=PRODUCTION)
    scene.leaves_untried(wish(urgency="red"))
    assert [Comparison("o2", ahead=True, by="asked", theirs=False, own=True)] == answer(scene).others
    assert FIRST == answer(scene, offer_id="o2").code


def test_who_has_time_for_an_answer_comes_before_who_has_not_and_who_is_invited_stays_before() -> None:
    scene = given(offer("o1", accepts="ask", windows=[(0, 65)]), offer("o2", accepts="ask", windows=[(0, 75)], home="c2"), policy=PRODUCTION)
    scene.when(wish(urgency="red"))
    for at in (0, 5):
        assert [Comparison("o2", ahead=True, by="hurried", theirs=False, own=True)] == answer(scene, at=at).others


def test_an_invitation_is_told_and_its_end() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red"), policy=PRODUCTION)
    until = scene.area.wishes["w1"].invited["o1"]
    assert (INVITED, until) == (answer(scene).code, answer(scene).until)
    ended = answer(scene, at=minutes_of(until))
    assert (UNANSWERED, until) == (ended.code, ended.until)


def test_an_invitation_that_lapsed_is_over_and_not_said_to_have_ended_at_the_beginning_of_time() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red"), policy=PRODUCTION)
    scene.passes(minutes_of(scene.area.wishes["w1"].invited["o1"]))
    lapsed = answer(scene, at=60)
    assert (UNANSWERED, None) == (lapsed.code, lapsed.until)


def test_who_was_invited_in_vain_does_not_come_before_anybody() -> None:
    scene = given(*(offer(one, accepts="ask") for one in ("o1", "o2", "o3")), wish(urgency="red"), policy=replace(PRODUCTION, invite_max=1))
    scene.passes(minutes_of(scene.area.wishes["w1"].invited["o1"]))
    assert INVITED == answer(scene, offer_id="o2", at=11).code
    told = answer(scene, offer_id="o3", at=11)
    assert (BEHIND, 1, ["o2"]) == (told.code, told.ahead, [other.offer_id for other in told.others])


def test_a_no_to_an_invitation_breaks_no_rule_but_is_heard() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red"), declined(at=1), policy=PRODUCTION)
    assert {} == failing(scene, at=1)
    assert SAID_NO == answer(scene, at=1).code


def test_a_wish_that_does_not_ask_that_far_yet_says_how_far() -> None:
    scene = given(offer(home="c1/p1/b2"), wish(), policy=PRODUCTION)
    told = answer(scene)
    assert (NOT_YET, "building", True) == (told.code, told.reach, told.in_rounds)
    scene.passes(10)
    assert FIRST == answer(scene, at=10).code


def test_who_is_gone_before_a_wish_asks_that_far_is_not_told_to_wait() -> None:
    scene = given(offer(home="c2", windows=[(0, 70)]), wish(), policy=PRODUCTION)
    assert FIRST == answer(scene).code
    scene.when(offer("o2", home="c2"), offer("o3", home="c2", level=0, skills=["repair"]))
    assert NOT_YET == answer(scene).code


def test_the_order_within_a_round_is_told_to_be_one_of_several_things() -> None:
    scene = given(offer("o1"), offer("o2"), policy=PRODUCTION)
    scene.leaves_untried(wish())
    assert [(FIRST, True), (BEHIND, True)] == [(told.code, told.in_rounds) for told in (answer(scene), answer(scene, offer_id="o2"))]
    assert not answer(waiting(wish(), offer())).in_rounds


# ---- two together


def test_a_wish_for_two_needs_a_second() -> None:
    scene = given(offer("o1"), offer("o2", volunteer="volunteer-of-o1"), minors_wish())
    told = answer(scene)
    assert (RULED_OUT, Verdict(TOGETHER, passed=False, facts={"places_free": 2, "start": None, "with": []})) == (told.code, told.verdicts[-1])
    assert "needs_two" == told.verdicts[-1].refusal


def test_a_second_who_can_come_along_is_named() -> None:
    scene = waiting(minors_wish(), offer("o1"), offer("o2", windows=[(60, 300)]))
    told = answer(scene, offer_id="o2")
    assert {"places_free": 2, "start": instant(60), "with": ["o1"]} == told.verdicts[-1].facts
    assert BEHIND == told.code
