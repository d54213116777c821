"""The rules about checks hold from the proposal to the end of the visit: when an offer is posted again, when somebody says yes, when a visit begins."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.codec import Event
from services.matcher.core.policy import Policy
from tests.builders import (
    DAY,
    Scene,
    accepted,
    approved,
    claim,
    confirmed,
    consent_withdrawn,
    declined,
    given,
    minors_wish,
    offer,
    offer_suspended,
    offer_withdrawn,
    service,
    text_of,
    wish,
    wish_withdrawn,
)
from tests.shelf import Shelved
from tests.simulator.worker import Worker

YEAR = 365 * DAY
ASKED: dict[str, Any] = {"accepts": "ask"}


# ---- an offer is posted again


def test_a_lower_level_releases_the_visits_that_need_more_and_they_are_paired_again() -> None:
    scene = given(offer("o1", level=3), offer("o2", home="c2", level=3), wish(vetting_min=3))
    assert ["released w1 o1 unsafe", "proposed w1 o2 @1 area"] == scene.when(offer("o1", level=2, at=1))


def test_a_lower_level_leaves_the_visits_that_need_no_more() -> None:
    scene = given(offer("o1", level=4, capacity=2), wish("w1", vetting_min=2), wish("w2", vetting_min=3))
    assert ["released w2 o1 unsafe"] == scene.when(offer("o1", level=2, capacity=2, at=1))
    assert {"o1"} == scene.area.wishes["w1"].matches.keys()


def test_a_check_older_than_a_year_calls_off_visits_to_children_and_offers_them_again() -> None:
    scene = given(offer("o1"), offer("o2"), offer("o3", home="c2"), minors_wish())
    told = scene.when(offer("o1", checked=-YEAR - 1, at=1))
    assert ["released w1 o1 unsafe", "released w1 o2 group_incomplete"] == told[:2]
    assert ["proposed w1 o2 @1 unit group of 2", "proposed w1 o3 @1 area group of 2"] == sorted(told[2:])


def test_a_check_that_is_said_to_be_later_than_the_visit_does_not_count() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish())
    assert ["released w1 o1 unsafe", "released w1 o2 group_incomplete"] == scene.when(offer("o1", checked=1, at=1))


@pytest.mark.parametrize(("checked", "told"), [(-YEAR, []), (-YEAR - 1, ["released w1 o1 unsafe"])])
def test_what_is_asked_is_a_year_before_the_visit_and_not_before_today(checked: float, told: list[str]) -> None:
    scene = given(offer("o1"), wish(vetting_min=4))
    assert told == scene.when(offer("o1", checked=checked, at=1))


def test_an_old_check_is_no_matter_where_the_highest_level_is_not_needed() -> None:
    assert [] == given(offer(), wish(vetting_min=3)).when(offer(checked=-3 * YEAR, at=1))


def test_all_else_that_is_posted_again_leaves_live_matches_alone() -> None:
    scene = given(offer(capacity=2), wish("w1"), wish("w2"))
    assert [] == scene.when(offer(skills=["repair"], reach="unit", home="c2", capacity=1, windows=[(600, 700)], at=1))
    assert ["w1", "w2"] == sorted(match.wish.id for match in scene.area.offers["o1"].matches.values())


def test_a_pair_that_was_parted_for_safety_does_not_meet_again() -> None:
    scene = given(offer(level=3), wish(vetting_min=3), offer(level=2, at=1))
    assert [] == scene.when(offer(level=3, at=2))
    assert ["rejected k1 w1 o1 not_available"] == scene.when(claim(at=3))


def test_an_offer_that_is_over_already_is_judged_by_what_is_posted_late() -> None:
    scene = given(offer(level=3, at=-5), wish(vetting_min=3), offer_withdrawn(at=1))
    assert ["released w1 o1 unsafe"] == scene.when(offer(level=2, at=0))


def test_an_offer_posted_with_its_time_over_is_judged_too() -> None:
    assert ["released w1 o1 unsafe"] == given(offer(level=3), wish(vetting_min=3)).when(offer(level=2, windows=[(-90, -30)], at=1))


def test_a_visit_that_is_over_is_not_called_off() -> None:
    scene = given(offer(level=3), wish(vetting_min=3))
    assert [] == scene.when(offer(level=0, at=60))


def test_a_visit_under_way_is_called_off() -> None:
    scene = given(offer(level=3), wish(vetting_min=3))
    assert ["released w1 o1 unsafe"] == scene.when(offer(level=0, at=30))


def test_several_visits_are_called_off_in_their_order() -> None:
    scene = given(offer(level=3, capacity=3), *(wish(f"w{number}", vetting_min=3) for number in (2, 1, 3)))
    assert ["released w2 o1 unsafe", "released w1 o1 unsafe", "released w3 o1 unsafe"] == scene.when(offer(level=0, capacity=3, at=1))


def test_what_became_free_goes_to_those_who_wait() -> None:
    scene = given(offer(level=3), wish("w1", vetting_min=3), wish("w2"))
    assert ["released w1 o1 unsafe", "proposed w2 o1 @1 unit"] == scene.when(offer(level=0, at=1))


def test_another_worker_calls_off_the_same_visits() -> None:
    stored = Shelved()
    stored.when(offer("o1"), offer("o2"), minors_wish())
    stored.loads_again()
    assert ["released w1 o1 unsafe", "released w1 o2 group_incomplete"] == stored.when(offer("o1", level=3, at=1))


def test_a_wish_that_waits_for_rounds_is_paired_again_in_the_next_one() -> None:
    scene = Scene(policy=Policy())
    scene.when(offer("o1"), offer("o2", home="c1/p1/b1/u1"), wish(vetting_min=3, wanted=(0, 90)))
    assert ["proposed w1 o1 @5 unit"] == scene.passes(5)
    assert ["released w1 o1 unsafe"] == scene.when(offer("o1", level=2, at=6))
    assert ["proposed w1 o2 @10 unit"] == scene.passes(10)


# ---- proofs


CARE = Policy(round_us=0, tell_unmet=False, proof_needed=frozenset({"care"}))


def nurse(offer_id: str = "o1", *valid_until: float, skill: str = "care", **more: Any) -> Event:
    """An offer of care, with a proof for each of these times."""
    return offer(offer_id, skills=["care", "haircut"], proofs=[{"skill": skill, "valid_until": text_of(one)} for one in valid_until], **more)


@pytest.mark.parametrize(
    ("proofs", "told"),
    [
        ([], []),
        ([59], []),
        ([60], ["proposed w1 o1 @0 unit"]),
        ([600, 30], ["proposed w1 o1 @0 unit"]),
    ],
)
def test_where_proof_is_asked_it_must_be_valid_until_the_end_of_the_visit(proofs: list[float], told: list[str]) -> None:
    assert told == given(nurse("o1", *proofs), policy=CARE).when(wish(skills=["care"]))


def test_a_proof_of_something_else_is_none() -> None:
    assert [] == given(nurse("o1", 600, skill="haircut"), policy=CARE).when(wish(skills=["care"]))


def test_proof_is_asked_only_where_the_area_says_so_and_only_for_what_is_wished() -> None:
    assert ["proposed w1 o1 @0 unit"] == given(nurse(), policy=CARE).when(wish(skills=["haircut"]))
    assert ["proposed w1 o1 @0 unit"] == given(nurse()).when(wish(skills=["care"]))


def test_a_claim_without_proof_lacks_the_skill_whatever_else_it_lacks() -> None:
    scene = given(wish(skills=["care"], languages=["sichuan"]), nurse(reach="unit", home="c2"), policy=CARE)
    assert ["rejected k1 w1 o1 skill_missing"] == scene.when(claim())


def test_a_claim_is_judged_by_the_proof_at_the_visit() -> None:
    scene = given(nurse("o1", 100, windows=[(60, 240)]), wish(skills=["care"]), policy=CARE)
    assert ["rejected k1 w1 o1 skill_missing"] == scene.when(claim())
    scene = given(nurse("o1", 60, windows=[(300, 400)]), wish(skills=["care"]), policy=CARE)
    assert ["rejected k1 w1 o1 not_available"] == scene.when(claim())


def test_a_group_comes_while_the_proofs_of_both_are_valid() -> None:
    scene = given(nurse("o1", 90), nurse("o2", 600, windows=[(30, 480)]), policy=CARE)
    assert ["proposed w1 o1 @30 unit group of 2", "proposed w1 o2 @30 unit group of 2"] == scene.when(minors_wish(skills=["care"]))
    scene = given(nurse("o1", 89), nurse("o2", 600, windows=[(30, 480)]), policy=CARE)
    assert [] == scene.when(minors_wish(skills=["care"]))


def test_a_proof_that_is_gone_calls_the_visit_off() -> None:
    scene = given(nurse("o1", 600), nurse("o2", 600, home="c2"), wish(skills=["care"]), policy=CARE)
    assert ["released w1 o1 unsafe", "proposed w1 o2 @1 area"] == scene.when(nurse("o1", 30, at=1))


def test_another_worker_knows_of_what_proof_is_asked() -> None:
    stored = Shelved(policy=CARE)
    stored.when(wish(skills=["care"]))
    stored.loads_again()
    assert [] == stored.when(nurse("o1"))
    stored.loads_again()
    assert ["proposed w1 o2 @0 unit"] == stored.when(nurse("o2", 600))


# ---- a word comes, a visit is confirmed, a visit begins


def check_runs_out(scene: Scene, offer_id: str = "o1") -> None:
    """As if it had been decided under other rules, by an earlier release of this programme for one."""
    scene.area.offers[offer_id].level = 0


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"offer": ASKED, "wish": {}}, accepted),
        ({"offer": {}, "wish": {"approval": "worker"}}, approved),
        ({"offer": {}, "wish": {}}, lambda *, at: service("started", at=at)),
    ],
)
def test_whoever_lacks_a_check_when_a_word_comes_does_not_come(asked: dict[str, Any], word: Callable[..., Event]) -> None:
    scene = given(offer("o1", **asked["offer"]), wish(vetting_min=2, **asked["wish"]))
    check_runs_out(scene)
    assert ["released w1 o1 unsafe"] == scene.when(word(at=1))
    assert "decided" == scene.outcome


def test_whoever_lacks_a_check_at_the_confirmation_does_not_come() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish())
    first = scene.match("w1", "o1")
    check_runs_out(scene, "o2")
    assert [] == scene.when(confirmed(first, at=1))
    assert ["released w1 o2 unsafe", "released w1 o1 group_incomplete"] == scene.when(confirmed(scene.match("w1", "o2"), at=1))


def test_a_confirmation_that_comes_when_the_visit_is_over_stands() -> None:
    scene = given(offer(), wish(vetting_min=2, wanted=(0, 400)))
    late = scene.match()
    scene.passes(60)
    check_runs_out(scene)
    assert [] == scene.when(confirmed(late, at=61))
    assert "confirmed" == late.state


def test_a_visit_that_begins_as_it_should_changes_nothing() -> None:
    scene = given(offer(), wish(vetting_min=2))
    assert [] == scene.when(service("started", at=1))
    assert "no_effect" == scene.outcome


def test_the_start_of_a_visit_that_is_over_or_was_never_agreed_changes_nothing() -> None:
    scene = given(offer(level=0), wish())
    assert [] == scene.when(service("started", at=60), service("started", offer_id="o9", at=60))
    assert "no_effect" == scene.outcome


# ---- consent and suspension


def test_withdrawn_consent_ends_a_group_and_what_was_asked() -> None:
    scene = given(offer("o1", **ASKED), offer("o2"), minors_wish(approval="worker"))
    assert {"released w1 o1 unsafe", "released w1 o2 unsafe"} == set(scene.when(consent_withdrawn(at=1)))
    assert [] == scene.when(accepted("w1", "o1", at=2), approved("w1", "o2", at=2))


def test_withdrawn_consent_ends_invitations() -> None:
    scene = with_invitations(2)
    assert [] == scene.when(consent_withdrawn(at=1), accepted("w1", "o1", at=2))


def test_a_suspended_helper_is_taken_from_what_is_held_and_from_what_is_confirmed() -> None:
    scene = given(offer("o1", capacity=2, **ASKED), wish("w1"), wish("w2"), accepted("w1", at=1))
    scene.when(confirmed(scene.match("w1"), at=2))
    assert ["released w1 o1 unsafe", "released w2 o1 unsafe"] == scene.when(offer_suspended(at=3))


# ---- a word that is awaited


def test_nothing_is_agreed_before_the_worker_has_spoken() -> None:
    scene = given(offer("o1", **ASKED), offer("o2"), minors_wish(approval="worker"))
    assert [] == scene.when(accepted("w1", "o1", at=1))
    assert ["agreed w1 o2"] == scene.when(approved("w1", "o2", at=2))
    assert {"proposed", "agreed"} == {match.state for match in scene.area.wishes["w1"].matches.values()}
    assert ["agreed w1 o1"] == scene.when(approved("w1", "o1", at=3))


def test_a_worker_who_says_no_ends_the_whole_group() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish(approval="worker"))
    assert ["released w1 o1 declined", "released w1 o2 group_incomplete"] == scene.when(approved("w1", "o1", word=False, at=1))


def test_who_accepts_an_invitation_still_waits_for_the_worker() -> None:
    scene = with_invitations(1, approval="worker")
    assert ["proposed w1 o1 @1 building needs approval"] == scene.when(accepted("w1", "o1", at=1))
    assert "proposed" == scene.match().state
    assert ["agreed w1 o1"] == scene.when(approved(at=2))


def test_a_claim_waits_for_the_worker_too() -> None:
    scene = given(offer(**ASKED))
    scene.leaves_untried(wish(approval="worker"))
    assert ["proposed w1 o1 @0 unit claimed needs approval"] == scene.when(claim())
    assert "proposed" == scene.match().state


# ---- whoever was invited and cannot come any more


def with_invitations(number: int, **more: Any) -> Scene:
    """So many were invited to one wish, and one more could be."""
    scene = Scene(policy=Policy(invite_max=number))
    scene.when(*(offer(f"o{one}", home=f"c1/p1/b{one}", **ASKED) for one in range(1, number + 2)), wish(urgency="red", **more))
    return scene


@pytest.mark.parametrize(
    "leaves",
    [
        offer_withdrawn,
        offer_suspended,
        lambda *, at: offer("o1", skills=["repair"], at=at, **ASKED),
        lambda *, at: offer("o1", level=1, at=at, **ASKED),
        lambda *, at: offer("o1", windows=[(600, 700)], at=at, **ASKED),
        lambda *, at: offer("o1", windows=[(-60, 0)], at=at, **ASKED),
    ],
    ids=["withdraws", "is suspended", "lacks the skill", "lacks the check", "has no time", "is over"],
)
def test_whoever_was_invited_and_cannot_come_is_replaced_at_once(leaves: Callable[..., Event]) -> None:
    scene = with_invitations(2, vetting_min=2)
    assert ["invited w1 o3"] == scene.when(leaves(at=1))
    assert [] == scene.when(accepted("w1", "o1", at=2))
    assert "no_effect" == scene.outcome
    assert ["proposed w1 o3 @3 compound"] == scene.when(accepted("w1", "o3", at=3))


def test_whoever_is_posted_again_and_can_still_come_stays_invited() -> None:
    scene = with_invitations(2)
    assert [] == scene.when(offer("o1", home="c1/p1/b1", skills=["haircut", "repair"], at=1, **ASKED))
    assert ["proposed w1 o1 @2 building"] == scene.when(accepted("w1", "o1", at=2))


def test_whoever_comes_back_is_invited_to_the_same_wish_again() -> None:
    scene = with_invitations(1)
    assert ["invited w1 o2"] == scene.when(offer_withdrawn(at=1))
    assert [] == scene.when(offer("o1", at=2, **ASKED), accepted("w1", "o1", at=2))
    assert ["invited w1 o1"] == scene.when(declined("w1", "o2", at=3))


def test_an_invitation_ends_with_the_last_window_of_the_offer() -> None:
    scene = with_invitations(1, wanted=(0, 600))
    scene.when(offer("o1", windows=[(0, 61)], at=0, **ASKED))
    scene.area.wishes["w1"].invited["o1"] = scene.area.clock + 10**12  # far longer than the policy gives
    assert ["invited w1 o2"] == scene.passes(61)


def test_while_a_wish_is_held_nobody_is_invited_in_another_ones_place() -> None:
    scene = with_invitations(2)
    scene.when(accepted("w1", "o2", at=1))
    assert [] == scene.when(offer_withdrawn(at=2))
    assert ["released w1 o2 declined", "invited w1 o3"] == scene.when(declined("w1", "o2", at=3))
    assert ["invited w1 o1"] == scene.when(offer("o1", at=4, **ASKED))


def test_another_worker_replaces_whoever_was_invited() -> None:
    stored = Shelved(policy=Policy(invite_max=2))
    stored.when(*(offer(f"o{one}", **ASKED) for one in range(1, 4)), wish("w2", urgency="red"), wish("w1", urgency="red"))
    stored.loads_again()
    assert ["invited w1 o3", "invited w2 o3"] == stored.when(offer_withdrawn(at=1))


def test_whose_invitation_is_over_is_not_replaced_twice() -> None:
    scene = with_invitations(1)
    assert ["invited w1 o2"] == scene.passes(10)
    assert [] == scene.when(offer_withdrawn(at=11))


def test_whoever_accepts_two_at_once_comes_to_the_first() -> None:
    stored = Shelved(policy=Policy())
    stored.when(offer(**ASKED), wish("w1", urgency="red"), wish("w2", urgency="red"))
    assert ["proposed w1 o1 @1 unit"] == stored.when(accepted("w1", at=1))
    assert [] == stored.when(accepted("w2", at=2))
    assert "open" == stored.status("w2")
    assert ["released w1 o1 declined", "invited w2 o1"] == stored.when(declined("w1", at=3))


def test_invitations_are_forgotten_with_their_wish() -> None:
    stored = Shelved(policy=Policy())
    stored.when(offer("o1", **ASKED), offer("o2", **ASKED), wish("w1", urgency="red"), wish_withdrawn("w1", at=1))
    assert {} == stored.area.inviting


# ---- what was said before and comes late


def test_a_posting_that_comes_late_does_not_bring_back_a_level_that_was_taken_away() -> None:
    scene = given(offer("o1", level=0, at=5), offer("o1", level=4, at=1))
    assert "no_effect" == scene.outcome
    scene.when(offer("o2", at=6))
    assert [] == scene.when(minors_wish(at=7))
    assert ["rejected k1 w1 o1 vetting_too_low"] == scene.when(claim(at=8))


def test_another_worker_goes_by_the_same_posting() -> None:
    stored = Shelved()
    stored.when(offer(level=0, at=5), offer(level=4, at=1))
    stored.loads_again()
    assert [] == stored.when(wish(vetting_min=3, at=6))


def test_a_posting_that_comes_late_is_not_stored_with_the_batch_in_which_it_came() -> None:
    worker = Worker(Policy.at_once())
    entries = worker.take_in([offer(level=0, at=5), offer(level=4, at=1)], None, None)
    assert ["decided", "no_effect"] == [entry.outcome for entry in entries]
    worker.die()
    assert [b"[]"] == [entry.decision for entry in worker.take_in([wish(vetting_min=3, at=6)], None, None)]


def test_a_posting_that_comes_late_calls_nobody_off() -> None:
    scene = given(offer(level=3, at=5), wish(vetting_min=3, at=6))
    assert [] == scene.when(offer(level=0, at=1))


def test_an_offer_whose_windows_are_over_is_not_opened_by_what_was_said_before() -> None:
    scene = given(offer(windows=[(-90, -30)], at=5), offer(at=1))
    assert "no_effect" == scene.outcome
    assert [] == scene.when(wish(at=6))


def test_of_two_postings_of_one_instant_the_one_that_comes_later_stands() -> None:
    scene = given(offer(level=0, at=5), offer(level=3, at=5))
    assert ["proposed w1 o1 @6 unit"] == scene.when(wish(vetting_min=3, at=6))
