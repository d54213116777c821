"""A red wish asks several at once where nobody can simply be told: the first who says yes comes, whoever says no is replaced."""

from typing import Any

import pytest

from schemas.codec import Event
from schemas.instants import MINUTE_US
from services.matcher.core.policy import Policy
from tests.builders import (
    Scene,
    accepted,
    approved,
    claim,
    closed,
    confirmed,
    declined,
    given,
    instant,
    minors_wish,
    offer,
    offer_suspended,
    offer_withdrawn,
    wish,
    wish_withdrawn,
)
from tests.shelf import Shelved

ASKED: dict[str, Any] = {"accepts": "ask"}


def scene(*, invite_max: int = 3) -> Scene:
    return Scene(policy=Policy(invite_max=invite_max))


def with_asked(number: int) -> Scene:
    """So many helpers who want to be asked, each farther away than the one before."""
    found = scene()
    for one in range(number):
        found.when(offer(f"o{one + 1}", home=f"c1/p1/b{one + 1}", **ASKED))
    return found


def test_the_best_of_those_who_want_to_be_asked_are_invited() -> None:
    assert ["invited w1 o1", "invited w1 o2", "invited w1 o3"] == with_asked(5).when(wish(urgency="red"))


def test_an_invitation_takes_neither_capacity_nor_time() -> None:
    found = with_asked(1)
    found.when(wish("w1", urgency="red"))
    assert ["invited w2 o1"] == found.when(wish("w2", urgency="red"))


def test_whoever_need_not_be_asked_comes_at_once_however_far_away() -> None:
    found = with_asked(3)
    found.when(offer("o9", home="c2"))
    assert ["proposed w1 o9 @0 area"] == found.when(wish(urgency="red"))


def test_yellow_and_blue_wishes_ask_one_after_another() -> None:
    found = Scene(policy=Policy(round_us=0))
    found.when(offer("o1", **ASKED), offer("o2", **ASKED))
    assert ["proposed w1 o1 @90 unit asked until 60"] == found.when(wish(urgency="yellow", wanted=(90, 240)))


def test_the_first_who_says_yes_comes() -> None:
    found = with_asked(2)
    found.when(wish(urgency="red"))
    assert ["proposed w1 o2 @1 compound"] == found.when(accepted("w1", "o2", at=1))
    assert [] == found.when(accepted("w1", "o1", at=2))
    assert "no_effect" == found.outcome


def test_who_was_not_invited_cannot_accept() -> None:
    found = with_asked(4)
    found.when(wish(urgency="red"))
    assert [] == found.when(accepted("w1", "o4", at=1))


def test_an_answer_that_names_a_match_is_none_to_an_invitation() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"))
    assert [] == found.when(accepted("w1", "o1", at=1, match_id="another"))


def test_whoever_says_no_is_replaced_and_never_asked_again() -> None:
    found = with_asked(4)
    found.when(wish(urgency="red"))
    assert ["invited w1 o4"] == found.when(declined("w1", "o2", at=1))
    assert [] == found.when(declined("w1", "o2", at=2))
    assert [] == found.passes(9)


def test_whoever_said_no_may_still_claim_the_wish() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"), declined("w1", "o1", at=1))
    assert ["proposed w1 o1 @2 building claimed"] == found.when(claim("w1", "o1", at=2))


def test_whoever_said_no_is_not_sent_where_they_need_not_be_asked_any_more() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"), declined("w1", "o1", at=1))
    assert [] == found.when(offer("o1", home="c1/p1/b1", at=2))
    assert ["proposed w1 o1 @3 building claimed"] == found.when(claim("w1", "o1", at=3))


def test_whoever_let_it_pass_is_asked_again_where_they_post_their_offer_anew() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"))
    found.passes(10)
    assert [] == found.passes(11)
    assert ["invited w1 o1"] == found.when(offer("o1", home="c1/p1/b1", at=12, **ASKED))
    assert ["proposed w1 o1 @13 building"] == found.when(accepted("w1", "o1", at=13))


def test_whoever_is_posted_anew_while_enough_others_are_asked_or_somebody_comes_has_their_turn_later() -> None:
    stored = Shelved(policy=Policy(invite_max=1))
    stored.when(*(offer(f"o{one}", home=f"c1/p1/b{one}", **ASKED) for one in range(1, 4)), wish(urgency="red"))
    assert ["invited w1 o2"] == stored.passes(10)
    stored.when(accepted("w1", "o2", at=11))
    stored.loads_again()
    assert [] == stored.when(offer("o1", home="c1/p1/b1", at=12, **ASKED))
    stored.loads_again()
    assert ["released w1 o2 declined", "invited w1 o1"] == stored.when(declined("w1", "o2", at=13))


def test_who_was_asked_stays_asked_where_they_are_posted_anew() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"))
    assert [] == found.when(offer("o1", home="c1/p1/b1", at=1, **ASKED))
    assert [] == found.passes(9)


def test_an_invitation_ends_and_the_next_is_asked() -> None:
    found = with_asked(4)
    found.when(wish(urgency="red"))
    assert [] == found.passes(9)
    assert ["invited w1 o4"] == found.passes(10)
    assert [] == found.when(accepted("w1", "o1", at=11))
    assert ["proposed w1 o4 @12 compound"] == found.when(accepted("w1", "o4", at=12))


def test_each_invitation_ends_at_its_own_time() -> None:
    found = scene()
    found.when(offer("o1", **ASKED), wish(urgency="red"), offer("o2", at=1, **ASKED))
    found.passes(10)
    assert [] == found.when(accepted("w1", "o1", at=10))
    assert ["proposed w1 o2 @10 unit"] == found.when(accepted("w1", "o2", at=10))


def test_who_comes_new_is_invited_while_fewer_are_asked_than_may_be() -> None:
    found = scene(invite_max=2)
    assert ["unmet w1 haircut 0"] == found.when(wish(urgency="red"))
    assert ["invited w1 o1"] == found.when(offer("o1", **ASKED))
    assert ["invited w1 o2"] == found.when(offer("o2", **ASKED))
    assert [] == found.when(offer("o3", **ASKED))
    assert ["proposed w1 o4 @0 unit"] == found.when(offer("o4"))


def test_several_helpers_are_filled_one_by_one() -> None:
    found = with_asked(4)
    found.when(wish(urgency="red", helpers=2))
    assert ["proposed w1 o1 @1 building", "invited w1 o4"] == found.when(accepted("w1", "o1", at=1))
    assert ["proposed w1 o2 @2 compound"] == found.when(accepted("w1", "o2", at=2))


def test_where_more_are_wanted_the_next_is_asked_for_one_who_was_invited_and_claims_the_wish() -> None:
    found = with_asked(4)
    found.when(wish(urgency="red", helpers=2))
    assert ["proposed w1 o1 @1 building claimed", "invited w1 o4"] == found.when(claim("w1", "o1", at=1))
    assert "invited" not in " ".join(found.when(claim("w1", "o2", at=2, claim_id="k2")))


def test_yes_counts_only_if_all_rules_still_hold() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"), offer_suspended("o1", at=1))
    assert [] == found.when(accepted("w1", "o1", at=2))
    assert "no_effect" == found.outcome


def test_a_wish_that_is_over_hears_no_answer() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red"), wish_withdrawn(at=1))
    assert [] == found.when(accepted("w1", "o1", at=2))
    assert [] == found.passes(30)


def test_a_wish_that_ends_while_invitations_are_out_expires_only_once() -> None:
    found = with_asked(3)
    found.when(wish(urgency="red", wanted=(0, 70)))
    assert ["expired w1 with 0"] == found.passes(70)


def test_a_worker_is_still_asked_for_a_word() -> None:
    found = with_asked(1)
    found.when(wish(urgency="red", approval="worker"))
    assert ["proposed w1 o1 @1 building needs approval"] == found.when(accepted("w1", "o1", at=1))
    assert ["agreed w1 o1"] == found.when(approved("w1", "o1", at=2))


def test_a_group_is_asked_as_a_group() -> None:
    found = scene()
    found.when(offer("o1", **ASKED), offer("o2", **ASKED))
    told = found.when(minors_wish(urgency="red"))
    assert ["proposed", "proposed"] == [line.split()[0] for line in told]


def test_nobody_is_told_of_a_need_that_somebody_meets() -> None:
    assert ["invited w1 o1"] == with_asked(1).when(wish(urgency="red"))


@pytest.mark.parametrize(("skills", "missing"), [(["haircut", "electrics"], "electrics"), (["haircut"], "haircut")])
def test_what_nobody_can_give_is_told_at_once(skills: list[str], missing: str) -> None:
    found = scene()
    found.when(offer(level=0))
    assert [f"unmet w1 {missing} 2"] == found.when(wish(urgency="red", skills=skills, lives_alone=True))


def test_an_early_wish_for_a_group_is_told_of_where_one_fits_and_no_second_one() -> None:
    found = scene()
    found.when(offer("o1"))
    assert ["unmet w1 haircut 4"] == found.when(minors_wish(urgency="red"))


def test_another_worker_goes_on_with_the_invitations() -> None:
    stored = Shelved(policy=Policy())
    stored.when(*(offer(f"o{one}", **ASKED) for one in range(1, 5)), wish(urgency="red"))
    stored.loads_again()
    assert ["invited w1 o4"] == stored.passes(10)
    stored.loads_again()
    assert [] == stored.when(accepted("w1", "o1", at=11))
    assert ["proposed w1 o4 @12 unit"] == stored.when(accepted("w1", "o4", at=12))


@pytest.mark.parametrize(("answer_us", "taken_at", "asked"), [(10 * MINUTE_US, 10, []), (10 * MINUTE_US, 5, ["o1"]), (300 * MINUTE_US, 5, ["o1"])])
@pytest.mark.parametrize("of", [Scene, Shelved])
def test_whoever_is_posted_anew_while_a_wish_has_its_visit_behind_it_is_the_same_to_every_worker(
    of: type[Scene], answer_us: int, taken_at: int, asked: list[str]
) -> None:
    found = of(policy=Policy(answer_us={"red": answer_us, "yellow": answer_us, "blue": answer_us}))
    found.when(offer("o1", **ASKED), wish(urgency="red"), offer("o9", at=taken_at))
    visit = found.match("w1", "o9")
    found.when(confirmed(visit, at=taken_at))
    found.passes(70)  # now one worker has the wish in memory still, and another has not
    found.when(offer_withdrawn("o1", at=71), offer("o1", at=72, **ASKED))
    assert [f"invited w1 {one}" for one in asked] == found.when(closed(visit, at=80, outcome="not_done"))


@pytest.mark.parametrize("let_down_at", [3, 20])
@pytest.mark.parametrize("word", [[], [accepted("w1", "o2", at=2)]])
def test_whoever_had_not_answered_when_another_came_is_asked_anew_when_the_place_falls_free(word: list[Event], let_down_at: int) -> None:
    stored = Shelved(policy=Policy())
    stored.when(*(offer(f"o{one}", home=f"c1/p1/b{one}", **ASKED) for one in (1, 2)), wish(urgency="red"))
    stored.when(accepted("w1", "o1", at=1))
    assert [] == stored.when(*word)
    stored.loads_again()
    assert ["released w1 o1 declined", "invited w1 o2"] == stored.when(declined("w1", "o1", at=let_down_at))
    stored.loads_again()
    at = let_down_at + 9
    assert [f"proposed w1 o2 @{at} compound"] == stored.when(accepted("w1", "o2", at=at))


def test_whoever_says_yes_and_has_another_visit_by_now_makes_room_and_is_asked_anew_once_they_are_free() -> None:
    stored = Shelved(policy=Policy(invite_max=1))
    stored.when(offer("o1", skills=["haircut", "repair"], **ASKED), offer("o2", home="c2", **ASKED), wish("w1", urgency="red"))
    stored.when(wish("w2", urgency="red", skills=["repair"]), accepted("w2", "o1", at=1))
    assert ["invited w1 o2"] == stored.when(accepted("w1", "o1", at=2))
    stored.loads_again()
    stored.when(declined("w1", "o2", at=3))
    assert ["released w2 o1 declined", "invited w1 o1"] == stored.when(declined("w2", "o1", at=4))


def test_whoever_says_no_once_another_came_is_not_asked_anew() -> None:
    found = with_asked(2)
    found.when(wish(urgency="red"), accepted("w1", "o1", at=1), declined("w1", "o2", at=2))
    assert ["released w1 o1 declined"] == found.when(declined("w1", "o1", at=3))


def test_whoever_is_asked_by_another_offer_which_is_gone_is_known_to_every_worker() -> None:
    policy = Policy(invite_max=2, answer_us=dict.fromkeys(("red", "yellow", "blue"), 300 * MINUTE_US))
    told = []
    for found in (Scene(policy=policy), Shelved(policy=policy)):
        found.when(offer("o1", volunteer="v1", **ASKED), wish(urgency="red"), offer("o9", at=5))
        visit = found.match("w1", "o9")
        found.when(confirmed(visit, at=5))
        found.passes(70)
        found.when(offer_withdrawn("o1", at=71), offer("o2", volunteer="v1", at=72, **ASKED))
        told.append(found.when(closed(visit, at=80, outcome="not_done")))
    assert [["invited w1 o2"]] * 2 == told


def test_an_invitation_ends_with_the_match_of_the_same_pair() -> None:
    found = with_asked(2)
    found.when(wish(urgency="red", helpers=2))
    assert ["proposed w1 o1 @1 building claimed"] == found.when(claim(offer_id="o1", at=1))
    assert ["released w1 o1 declined"] == found.when(declined("w1", "o1", at=2))[:1]


def test_who_is_invited_to_two_wishes_of_which_one_is_over_and_leaves_is_replaced_in_the_other() -> None:
    stored = Shelved(policy=Policy(invite_max=1))
    stored.when(offer("o1", **ASKED), offer("o2", home="c2", **ASKED), wish("w1", urgency="red"), wish("w2", urgency="red"), wish_withdrawn("w1", at=1))
    assert ["invited w2 o2"] == stored.when(offer_withdrawn("o1", at=2))


# ---- where there is no time for an answer

TIGHT: dict[str, Any] = {"urgency": "red", "wanted": (0, 60)}
# Windows that end so that a visit can begin until a minute before an answer to an invitation is due.
SHORT: dict[str, Any] = {**ASKED, "windows": [(0, 69)]}


def test_whoever_has_no_time_for_an_answer_is_proposed_and_keeps_the_slot_until_they_have_answered() -> None:
    found = with_asked(2)
    assert ["proposed w1 o1 @0 building asked until 10"] == found.when(wish(**TIGHT))
    assert ["agreed w1 o1"] == found.when(accepted("w1", "o1", at=3))
    assert "held" == found.status()


def test_of_those_who_have_no_time_one_is_asked_after_another() -> None:
    found = with_asked(3)
    found.when(wish(urgency="red", wanted=(0, 65)))
    assert ["released w1 o1 declined", "proposed w1 o2 @1 compound asked until 11"] == found.when(declined("w1", "o1", at=1))
    assert [] == found.passes(10)
    assert ["released w1 o2 unanswered"] == found.passes(11)


def test_for_each_place_one_is_proposed_who_has_no_time() -> None:
    told = with_asked(3).when(wish(helpers=2, **TIGHT))
    assert ["proposed w1 o1 @0 building asked until 10", "proposed w1 o2 @0 compound asked until 10"] == told


def test_who_comes_new_and_has_no_time_is_proposed_too() -> None:
    found = scene()
    found.when(wish(**TIGHT))
    assert ["proposed w1 o1 @0 unit asked until 10"] == found.when(offer(**ASKED))
    assert [] == found.when(offer("o2", **ASKED))


def test_whoever_has_just_enough_time_is_invited() -> None:
    assert ["invited w1 o1"] == with_asked(1).when(wish(urgency="red", wanted=(0, 70)))
    assert ["proposed w1 o1 @0 building asked until 10"] == with_asked(1).when(wish(urgency="red", wanted=(0, 69)))


def test_whoever_has_time_for_an_answer_is_invited_before_the_others_are_asked() -> None:
    found = scene()
    found.when(offer("o1", **SHORT), offer("o2", home="c2", **ASKED))
    assert ["invited w1 o2"] == found.when(wish(urgency="red"))
    assert [] == found.when(offer("o3", **SHORT))
    assert ["proposed w1 o1 @2 unit asked until 12"] == found.when(declined("w1", "o2", at=2))


def test_who_has_no_time_any_more_is_asked_once_the_invitations_have_ended() -> None:
    found = scene(invite_max=1)
    found.when(offer("o1", **ASKED), offer("o2", windows=[(0, 75)], **ASKED))
    assert ["invited w1 o1"] == found.when(wish(urgency="red"))
    assert ["proposed w1 o2 @10 unit asked until 20"] == found.passes(10)


def test_whoever_let_an_invitation_pass_or_said_no_is_not_proposed_either() -> None:
    found = with_asked(2)
    found.when(wish(urgency="red", wanted=(0, 75)), declined("w1", "o2", at=1))
    assert [] == found.passes(14)
    assert ["proposed w1 o1 @14 unit asked until 24"] == found.when(offer("o1", at=14, **ASKED))


def test_an_invitation_ends_when_the_visit_can_begin_no_more() -> None:
    policy = Policy(answer_us={"red": 30 * MINUTE_US, "yellow": 60 * MINUTE_US, "blue": 60 * MINUTE_US})
    found = given(offer(windows=[(0, 80)], **ASKED), wish(urgency="red", wanted=(20, 240)), policy=policy)
    assert instant(20) == found.area.wishes["w1"].invited["o1"]
    assert ["proposed w1 o1 @20 unit"] == found.when(accepted("w1", "o1", at=19))


# ---- one person with several offers

SAME: dict[str, Any] = {"volunteer": "one", **ASKED}


def test_of_one_person_only_the_best_offer_is_invited() -> None:
    found = scene()
    found.when(offer("o1", **SAME), offer("o2", **SAME), offer("o3", **SAME), offer("o4", home="c2", **ASKED))
    assert ["invited w1 o1", "invited w1 o4"] == found.when(wish(urgency="red"))
    assert [] == found.when(offer("o5", **SAME))
    assert ["invited w1 o2"] == found.when(declined("w1", "o1", at=1))


def test_another_worker_knows_who_is_invited_by_another_offer() -> None:
    stored = Shelved(policy=Policy())
    stored.when(offer("o1", **SAME), wish(urgency="red"))
    stored.loads_again()
    assert [] == stored.when(offer("o2", at=1, **SAME))
    assert ["invited w1 o2"] == stored.passes(10)
