"""Wishes meet offers: at once, or when a helper comes or is free again; in turn, and never beyond what was promised."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.confirmations import NO_CONSENT
from tests.builders import (
    closed,
    confirmed,
    consent_withdrawn,
    declined,
    given,
    offer,
    offer_suspended,
    offer_withdrawn,
    undeliverable,
    wish,
    wish_withdrawn,
)


def test_a_wish_is_tried_at_once() -> None:
    assert ["proposed w1 o1 @0 unit"] == given(offer()).when(wish())


def test_a_wish_waits_for_an_offer_that_comes_later() -> None:
    assert ["proposed w1 o1 @10 unit"] == given(wish()).when(offer(at=10))


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({"skills": ["haircut", "repair"]}, {}),
        ({"languages": ["zh-CN"]}, {"languages": ["sichuan"]}),
        ({"languages": ["zh-CN"]}, {}),
        ({}, {"home": "c2", "reach": "community"}),
        ({"vetting_min": 3}, {"level": 2}),
        ({"lives_alone": True}, {"level": 1}),
        ({"vetting_min": 4}, {"checked": -600_000}),
        ({}, {"windows": [(0, 59)]}),
    ],
)
def test_nothing_is_proposed_where_one_rule_fails(asked: dict[str, Any], offered: dict[str, Any]) -> None:
    assert [] == given(offer(**offered)).when(wish(**asked))
    assert [] == given(wish(**asked)).when(offer(**offered))


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({"skills": ["haircut", "repair"]}, {"skills": ["repair", "cooking", "haircut"]}),
        ({"languages": ["zh-CN", "sichuan"]}, {"languages": ["en", "sichuan"]}),
        ({"languages": []}, {}),
        ({"vetting_min": 3}, {"level": 3}),
        ({"lives_alone": True}, {"level": 2}),
        ({"lives_alone": True, "vetting_min": 1}, {"level": 2}),
        ({"lives_alone": False}, {"level": 0}),
    ],
)
def test_a_match_is_proposed_where_all_rules_hold(asked: dict[str, Any], offered: dict[str, Any]) -> None:
    assert ["proposed w1 o1 @0 unit"] == given(offer(**offered)).when(wish(**asked))
    assert ["proposed w1 o1 @0 unit"] == given(wish(**asked)).when(offer(**offered))


def test_a_full_offer_is_passed_over() -> None:
    scene = given(offer("o1"), offer("o2", home="c2"))
    assert ["proposed w1 o1 @0 unit", "proposed w2 o2 @0 area"] == scene.when(wish("w1"), wish("w2"), wish("w3"))


def test_capacity_is_free_again_when_a_slot_is_over() -> None:
    scene = given(offer(), wish("w1"), wish("w2"))
    assert [] == scene.passes(59)
    assert ["proposed w2 o1 @60 unit"] == scene.passes(60)


def test_several_helpers_are_found_one_by_one_each_with_a_slot_of_their_own() -> None:
    scene = given(offer("o1", windows=[(30, 240)]), wish(helpers=3))
    assert "open" == scene.status()
    assert ["proposed w1 o2 @0 unit", "proposed w1 o3 @0 unit"] == scene.when(offer("o2"), offer("o3"))
    assert "held" == scene.status()


def test_one_person_helps_one_wish_once_whatever_their_offers() -> None:
    scene = given(offer("o1", volunteer="p", capacity=2), offer("o2", volunteer="p"))
    assert ["proposed w1 o1 @0 unit"] == scene.when(wish(helpers=2))
    scene.passes(60)
    assert [] == scene.when(offer("o3", at=60, volunteer="p"))


def test_an_offer_that_is_posted_again_in_another_name_does_not_help_twice() -> None:
    scene = given(offer(capacity=2), wish(helpers=2))
    assert [] == scene.when(offer(capacity=2, volunteer="another"))
    assert 1 == scene.area.wishes["w1"].places_free


def test_the_most_urgent_wish_is_served_first_then_the_oldest_then_by_id() -> None:
    scene = given(wish("w1", urgency="blue"), wish("w3", at=1), wish("w2", at=1), wish("w4", at=2, urgency="red"))
    then = scene.when(offer(at=3, capacity=3))
    assert ["w4", "w2", "w3"] == [line.split()[1] for line in then]


def test_an_offer_serves_waiting_wishes_of_all_its_skills_in_one_line() -> None:
    scene = given(wish("w1", at=0, skills=["repair"]), wish("w2", at=1), wish("w3", at=2, skills=["repair"]), wish("w4", at=3))
    then = scene.when(offer(at=4, skills=["haircut", "repair"], capacity=4))
    assert ["w1", "w2", "w3"] == [line.split()[1] for line in then]  # four hours hold no fourth


def test_helpers_who_are_free_at_once_go_to_waiting_wishes_in_turn_and_by_the_ranking() -> None:
    """By offer id, the blue wish would have taken the far helper, and the red one none."""
    scene = given(offer("o1", home="c2"), offer("o2"), wish("w1", minutes=30), wish("w2", minutes=30))
    scene.when(wish("w3", urgency="blue"), wish("w4", at=1, urgency="red"))
    assert ["proposed w4 o2 @30 unit", "proposed w3 o1 @30 area"] == scene.passes(30)


def test_urgency_goes_across_all_helpers_who_are_free_at_once() -> None:
    scene = given(offer("o1"), offer("o2", skills=["repair"]), wish("w1", minutes=30), wish("w2", minutes=30, skills=["repair"]))
    scene.when(wish("w3", urgency="blue", skills=["repair"]), wish("w4", at=1, urgency="red"))
    assert ["proposed w4 o1 @30 unit", "proposed w3 o2 @30 unit"] == scene.passes(30)


def test_a_known_wish_id_changes_nothing() -> None:
    scene = given(offer(), wish())
    assert [] == scene.when(wish(skills=["repair"]))
    assert "no_effect" == scene.outcome


def test_a_withdrawn_wish_gives_its_helper_back() -> None:
    scene = given(offer(), wish("w1"), wish("w2"))
    assert ["released w1 o1 withdrawn", "proposed w2 o1 @0 unit"] == scene.when(wish_withdrawn("w1"))
    assert "withdrawn" == scene.status()


def test_withdrawn_consent_releases_as_unsafe() -> None:
    assert ["released w1 o1 unsafe"] == given(offer(), wish()).when(consent_withdrawn())


@pytest.mark.parametrize("again", [wish_withdrawn, consent_withdrawn])
def test_withdrawing_twice_changes_nothing(again: Any) -> None:
    scene = given(wish(), wish_withdrawn())
    assert [] == scene.when(again())
    assert "no_effect" == scene.outcome


def test_withdrawing_after_the_visit_changes_nothing() -> None:
    scene = given(offer(), wish())
    assert [] == scene.when(closed(scene.match(), at=60), wish_withdrawn(at=60))
    assert "no_effect" == scene.outcome


def test_withdrawing_between_two_visits_takes_back_the_second() -> None:
    scene = given(offer("o1"), offer("o2", windows=[(60, 240)]), wish(helpers=2))
    assert ["released w1 o2 withdrawn"] == scene.when(wish_withdrawn(at=60))


@pytest.mark.parametrize(("at", "expected"), [(0, []), (5, []), (6, ["proposed w1 o1 @6 unit"])])
def test_a_withdrawal_that_came_first_holds_against_what_was_said_before_it(at: int, expected: list[str]) -> None:
    scene = given(offer(), wish_withdrawn(at=5))
    assert expected == scene.when(wish(at=at))
    assert ("held" if expected else "withdrawn") == scene.status()


def test_of_two_early_withdrawals_the_later_holds_in_whatever_order_they_come() -> None:
    for first, second in [(5, 9), (9, 5)]:
        scene = given(wish(), offer_withdrawn(at=first), offer_suspended(at=second))
        assert "decided" == scene.outcome
        assert [] == scene.when(offer(at=7))
        assert "suspended" == scene.area.offers["o1"].status


def test_an_early_withdrawal_that_says_nothing_new_changes_nothing() -> None:
    scene = given(offer_suspended(at=5), offer_withdrawn(at=4))
    assert "no_effect" == scene.outcome


def test_an_early_withdrawal_of_an_offer_is_used_up_by_the_offer() -> None:
    scene = given(wish(), offer_withdrawn(at=5), offer(at=1))
    assert ["proposed w1 o1 @6 unit"] == scene.when(offer(at=6))


def test_a_withdrawn_offer_keeps_its_matches_and_gets_no_new_one() -> None:
    assert [] == given(offer(capacity=2), wish("w1"), offer_withdrawn()).when(wish("w2"))


def test_a_suspended_offer_loses_its_matches_as_unsafe_and_they_are_tried_again() -> None:
    scene = given(offer(capacity=2), wish("w1"), wish("w2"), offer("o2", home="c2"))
    assert ["released w1 o1 unsafe", "released w2 o1 unsafe", "proposed w1 o2 @0 area"] == scene.when(offer_suspended())


def test_a_withdrawn_offer_can_still_be_suspended() -> None:
    assert ["released w1 o1 unsafe"] == given(offer(), wish(), offer_withdrawn()).when(offer_suspended())


@pytest.mark.parametrize("again", [offer_withdrawn, offer_suspended])
def test_closing_what_is_suspended_changes_nothing(again: Any) -> None:
    scene = given(offer(), offer_suspended())
    assert [] == scene.when(again())
    assert "no_effect" == scene.outcome


def test_a_withdrawal_that_is_said_again_holds_until_then() -> None:
    scene = given(wish(), offer(skills=["repair"]), offer_withdrawn(at=1), offer_withdrawn(at=9))
    assert [] == scene.when(offer(at=5))
    assert ["proposed w1 o1 @10 unit"] == scene.when(offer(at=10))


@pytest.mark.parametrize("closing", [offer_withdrawn, offer_suspended])
def test_an_offer_opens_again_when_it_is_posted_after_its_end(closing: Any) -> None:
    scene = given(offer(), closing(at=5))
    assert [] == scene.when(offer(at=5), wish("w1", at=5))
    assert ["proposed w1 o1 @6 unit"] == scene.when(offer(at=6))


def test_an_offer_posted_again_is_what_it_says_now() -> None:
    scene = given(offer(skills=["repair"], home="c2"))
    scene.when(offer(skills=["haircut"]))
    assert [] == scene.when(wish("w1", skills=["repair"]))
    assert ["proposed w2 o1 @0 unit"] == scene.when(wish("w2"))


def test_a_smaller_capacity_takes_nothing_back_and_gives_nothing_more() -> None:
    scene = given(offer(capacity=3), wish("w1"), wish("w2"), offer(capacity=1))
    assert [] == scene.when(wish("w3"))
    assert [] == scene.passes(60)
    assert ["proposed w3 o1 @120 unit"] == scene.passes(120)


def test_a_larger_capacity_serves_who_waits() -> None:
    assert ["proposed w2 o1 @60 unit"] == given(offer(), wish("w1"), wish("w2")).when(offer(capacity=2))


def test_slots_stay_with_whom_they_were_promised_by() -> None:
    """The offer goes over to another person while a visit of the first is to come."""
    scene = given(offer(capacity=2), wish("w1"), offer(capacity=2, volunteer="p2"))
    assert ["proposed w2 o1 @0 unit"] == scene.when(wish("w2"))
    scene.when(offer("o9", volunteer="volunteer-of-o1"))
    assert ["proposed w3 o9 @60 unit"] == scene.when(wish("w3"))


def test_capacity_held_in_another_name_is_free_again_when_that_is_over() -> None:
    scene = given(offer(), wish("w1"), offer(volunteer="p2"), wish("w2"))
    assert ["proposed w2 o1 @60 unit"] == scene.passes(60)
    assert {"p2"} == {ref for ref, person in scene.area.volunteers.items() if person.offers or person.slots}


def test_capacity_held_in_another_name_is_free_again_when_that_is_taken_back() -> None:
    scene = given(offer(), wish("w1"), offer(volunteer="p2"), wish("w2"))
    assert ["released w1 o1 withdrawn", "proposed w2 o1 @0 unit"] == scene.when(wish_withdrawn("w1"))
    scene.area.forget_touched()
    assert {"p2"} == scene.area.volunteers.keys()


def test_capacity_held_in_another_name_is_found_by_the_next_wish() -> None:
    scene = given(offer(), wish("w1"), offer(volunteer="p2"))
    scene.passes(60)
    assert ["proposed w2 o1 @60 unit"] == scene.when(wish("w2", at=60))


def test_an_offer_whose_windows_are_past_lapses_at_once() -> None:
    scene = given(wish())
    assert [] == scene.when(offer(at=100, windows=[(0, 99)]))
    assert "lapsed" == scene.area.offers["o1"].status
    assert [] == scene.when(wish("w2", at=100, wanted=(0, 400)))


def test_an_offer_lapses_with_its_last_window_and_opens_when_posted_again() -> None:
    scene = given(offer(windows=[(0, 60)]))
    scene.passes(60)
    assert "lapsed" == scene.area.offers["o1"].status
    scene.when(wish(at=61))
    assert ["proposed w1 o1 @62 unit"] == scene.when(offer(at=62))


def test_an_offer_that_was_prolonged_does_not_lapse_when_it_would_have() -> None:
    scene = given(offer(windows=[(0, 60)]), offer(windows=[(0, 240)]))
    scene.passes(60)
    assert "open" == scene.area.offers["o1"].status


@pytest.mark.parametrize("how", ["declined", "undeliverable"])
def test_a_pair_that_was_parted_never_meets_again(how: str) -> None:
    scene = given(offer(), wish())
    match = scene.match()
    assert [f"released w1 o1 {how}"] == scene.when(declined(match_id=match.id) if how == "declined" else undeliverable(match))
    assert [] == scene.when(offer(at=1))
    assert ["proposed w1 o2 @1 unit"] == scene.when(offer("o2", at=1))


def test_a_wish_for_which_no_consent_holds_ends_and_asks_nobody_else() -> None:
    scene = given(offer("o1"), offer("o2"), wish(helpers=2))
    failed = undeliverable(scene.match("w1", "o2"), reason=NO_CONSENT)
    assert ["released w1 o1 unsafe", "released w1 o2 unsafe"] == scene.when(failed)
    assert {"confirmation_failed"} == {one.data["cause"] for one in scene.decisions if one.type.endswith("released.v1")}
    assert "withdrawn" == scene.status()
    assert [] == scene.when(offer("o3", at=1))


def test_of_a_group_for_which_no_consent_holds_the_second_word_changes_nothing() -> None:
    scene = given(offer("o1"), offer("o2"), wish(accompanied=True))
    words = [undeliverable(scene.match("w1", name), reason=NO_CONSENT) for name in ("o1", "o2")]
    assert ["released w1 o1 unsafe", "released w1 o2 unsafe"] == scene.when(words[0])
    assert [] == scene.when(words[1])
    assert "no_effect" == scene.outcome


def test_an_answer_about_another_match_or_none_changes_nothing() -> None:
    scene = given(offer(), wish())
    another = replace(scene.match(), id="another")
    assert [] == scene.when(declined(match_id="another"), declined("w9"), declined(offer_id="o9"), undeliverable(another, at=60))
    assert "no_effect" == scene.outcome


def test_a_wish_is_matched_once_all_its_helpers_are_confirmed() -> None:
    scene = given(offer("o1"), offer("o2"), wish(helpers=2))
    scene.when(confirmed(scene.match("w1", "o1")))
    assert "held" == scene.status()
    scene.when(confirmed(scene.match("w1", "o2")))
    assert "matched" == scene.status()
    assert [] == scene.when(confirmed(scene.match("w1", "o2")), confirmed(scene.match("w1", "o1")))
    assert "no_effect" == scene.outcome


def test_a_confirmation_that_comes_when_the_wish_is_over_is_noted() -> None:
    scene = given(offer(), wish(helpers=2))
    scene.passes(240)
    scene.when(confirmed(scene.match(), at=240))
    assert ("decided", "expired") == (scene.outcome, scene.status())


def test_a_matched_wish_can_lose_its_helper_and_find_another() -> None:
    scene = given(offer("o1"), offer("o2", home="c2"), wish())
    scene.when(confirmed(scene.match()))
    assert ["released w1 o1 declined", "proposed w1 o2 @0 area"] == scene.when(declined())
    assert "held" == scene.status()


def test_of_those_who_wait_only_whom_a_freed_helper_can_help_is_tried() -> None:
    scene = given(offer("o1", level=0), offer("o2", level=0), wish("w1"), wish("w2"), wish("w3", vetting_min=3), wish("w4"))
    assert ["proposed w4 o1 @60 unit"] == scene.passes(60)
    assert {} == scene.area.wishes["w3"].matches
