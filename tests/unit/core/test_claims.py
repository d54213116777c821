"""A volunteer asks for one wish: granted by the rules that hold for all, or refused with the first reason that applies."""

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from schemas.codec import Event
from tests.builders import DAY, Scene, approved, claim, confirmed, given, minors_wish, offer, offer_withdrawn, wish, wish_withdrawn
from tests.reference import Reference, RWish
from tests.unit.core import strategies as random

# Each breaks one rule more than the one below it, so the order of reasons shows.
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("skill_missing", {"skills": ["cooking"]}),
    ("language_missing", {"languages": ["en"]}),
    ("out_of_reach", {"home": "c9", "reach": "community"}),
    ("vetting_too_low", {"level": 2}),
    ("not_available", {"windows": [(0, 59)]}),
]
HARD: dict[str, Any] = {"skills": ["haircut"], "languages": ["zh-CN"], "vetting_min": 3}
FIT: dict[str, Any] = {"languages": ["zh-CN"], "level": 3}


def refused(scene: Scene, **more: Any) -> list[str]:
    """The reasons of what is refused."""
    return [line.split()[-1] for line in scene.when(claim(**more)) if line.startswith("rejected")]


def untried(wish_event: Event, *offers: Event) -> Scene:
    """These offers, and a wish that was not tried with any of them."""
    scene = given(*offers)
    scene.leaves_untried(wish_event)
    return scene


def test_a_claim_is_granted_where_all_rules_hold() -> None:
    scene = untried(wish(**HARD), offer(**FIT))
    assert ["proposed w1 o1 @0 unit claimed"] == scene.when(claim())
    assert "held" == scene.status()


def test_a_claim_is_granted_although_someone_else_is_nearer() -> None:
    scene = untried(wish(), offer("o1"), offer("o2", home="c2"))
    assert ["proposed w1 o2 @0 area claimed"] == scene.when(claim(offer_id="o2"))


def test_who_claims_need_not_be_asked_again() -> None:
    assert ["proposed w1 o1 @0 unit claimed"] == untried(wish(), offer(accepts="ask")).when(claim())


def test_a_claim_waits_for_approval_where_the_wish_asks_for_it() -> None:
    scene = untried(wish(approval="worker"), offer())
    assert ["proposed w1 o1 @0 unit claimed needs approval"] == scene.when(claim())
    assert ["agreed w1 o1"] == scene.when(approved())


def test_a_claim_takes_one_of_several_places() -> None:
    scene = untried(wish(helpers=2), offer())
    assert ["proposed w1 o1 @0 unit claimed"] == scene.when(claim())
    assert "open" == scene.status()


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_reason_that_applies_is_given(first: int) -> None:
    faults: dict[str, Any] = dict(FIT)
    for _, fault in FAULTS[first:]:
        faults |= fault
    scene = given(wish(**HARD), offer(**faults))
    assert [FAULTS[first][0]] == refused(scene)


@pytest.mark.parametrize(("reason", "fault"), FAULTS)
def test_each_rule_alone_refuses(reason: str, fault: dict[str, Any]) -> None:
    assert [reason] == refused(given(wish(**HARD), offer(**FIT | fault)))


def test_a_check_that_is_too_old_is_too_low() -> None:
    assert ["vetting_too_low"] == refused(given(wish(vetting_min=4), offer(checked=-366 * DAY)))


def test_a_full_offer_is_refused_after_all_else() -> None:
    scene = given(offer(capacity=1), wish("w0"), wish("w1"), wish("w2", wanted=(0, 60)))
    assert ["offer_full"] == refused(scene)
    assert ["not_available"] == refused(scene, wish_id="w2")


def test_an_unknown_wish_comes_before_an_unknown_offer() -> None:
    assert ["unknown_wish"] == refused(given())
    assert ["unknown_offer"] == refused(given(wish()))


def test_a_withdrawn_or_expired_wish_is_not_open() -> None:
    assert ["not_open"] == refused(given(wish(), offer("o1"), wish_withdrawn()))
    scene = given(wish(), offer(at=200, skills=["cooking"]))
    scene.passes(240)
    assert ["not_open"] == refused(scene)


def test_a_wish_that_has_its_helper_is_held_for_another_and_not_open_once_that_is_confirmed() -> None:
    scene = given(offer("o1"), offer("o2", home="c2"), wish())
    assert ["held_for_another"] == refused(scene, offer_id="o2")
    scene.when(confirmed(scene.match()))
    assert ["not_open"] == refused(scene, offer_id="o2")


def test_a_withdrawn_offer_is_not_available() -> None:
    assert ["not_available"] == refused(given(wish(), offer(skills=["haircut"], windows=[(0, 59)]), offer_withdrawn()))


def test_one_who_helps_already_cannot_claim_a_second_place() -> None:
    scene = given(wish(helpers=2), offer("o1", capacity=2), offer("o2", volunteer="volunteer-of-o1", capacity=2))
    assert ["not_available"] == refused(scene, offer_id="o1")
    assert ["not_available"] == refused(scene, offer_id="o2")


def test_a_pair_that_was_parted_cannot_claim_each_other() -> None:
    scene = given(wish(approval="worker"), offer())
    assert ["released w1 o1 declined"] == scene.when(approved(word=False))
    assert "match_approved" == scene.decisions[-1].data["cause"]
    assert ["not_available"] == refused(scene)


def test_a_check_that_was_dated_ahead_counts_once_its_day_has_come() -> None:
    scene = given(wish(vetting_min=4), offer(checked=10))
    assert ["vetting_too_low"] == refused(scene)
    assert ["proposed w1 o1 @10 unit claimed"] == scene.when(claim(at=10))


def test_a_claim_on_a_wish_for_two_is_granted_with_a_second_helper_found_at_once() -> None:
    scene = untried(minors_wish(), offer("o1"), offer("o2", home="c2"), offer("o3", home="c1", accepts="ask", windows=[(30, 240)]))
    expected = ["proposed w1 o2 @0 area claimed group of 2", "proposed w1 o1 @0 unit group of 2"]
    assert expected == scene.when(claim(offer_id="o2"))
    assert "held" == scene.status()


def test_the_slot_of_a_claim_for_two_is_the_first_that_the_claimant_can_share() -> None:
    """Two others could start at once; the claimant cannot."""
    scene = untried(minors_wish(), offer("o1"), offer("o2"), offer("o3", windows=[(30, 240)]))
    expected = ["proposed w1 o3 @30 unit claimed group of 2", "proposed w1 o1 @30 unit group of 2"]
    assert expected == scene.when(claim(offer_id="o3"))


def test_the_claimants_own_second_offer_is_no_second_helper_but_another_person_later_is() -> None:
    scene = untried(minors_wish(), offer("o1"), offer("o2", volunteer="volunteer-of-o1"), offer("o3", windows=[(90, 240)]))
    expected = ["proposed w1 o1 @90 unit claimed group of 2", "proposed w1 o3 @90 unit group of 2"]
    assert expected == scene.when(claim())


def test_two_others_sharing_a_slot_do_not_help_a_claimant_who_cannot() -> None:
    scene = untried(minors_wish(), offer("o1", windows=[(60, 180)]), offer("o2", windows=[(60, 180)]), offer("o3", windows=[(0, 60), (180, 240)]))
    assert ["needs_two"] == refused(scene, offer_id="o3")


def test_a_claimant_whose_check_runs_out_before_the_others_come_is_alone() -> None:
    scene = untried(minors_wish(), offer("o1", checked=-365 * DAY + 10), offer("o2", windows=[(11, 240)]))
    assert ["needs_two"] == refused(scene)


def test_a_claim_for_the_second_pair_of_four_joins_the_slot_of_the_first() -> None:
    scene = untried(minors_wish(helpers=4), offer("o1"), offer("o2", windows=[(0, 60)]))
    scene.when(claim())
    scene.when(offer("o3", windows=[(60, 240)]))
    assert ["needs_two"] == refused(scene, offer_id="o3")


def test_a_claim_on_a_wish_for_two_needs_two_people() -> None:
    scene = given(minors_wish(), offer("o1"), offer("o2", volunteer="volunteer-of-o1"))
    assert ["needs_two"] == refused(scene)


def test_a_claim_on_a_wish_for_two_needs_a_shared_slot() -> None:
    scene = given(minors_wish(), offer("o1", windows=[(0, 60)]), offer("o2", windows=[(60, 240)]))
    assert ["needs_two"] == refused(scene)


def test_a_claim_for_the_last_place_of_a_wish_for_two_needs_two() -> None:
    scene = given(minors_wish(helpers=3), offer("o1"), offer("o2"), offer("o3"))
    assert ["needs_two"] == refused(scene, offer_id="o3")


@for_all(st.data(), st.integers(1, 7))
def test_claims_are_judged_as_by_searching_everything(data: st.DataObject, crowd: int) -> None:
    scene, reference = given(), Reference()
    events = [data.draw(random.offers(0, f"o{number}", latest_check=60)) for number in range(1, crowd + 1)]
    events += [data.draw(random.wishes(0, f"w{number}")) for number in range(1, 4)]
    for event in events:
        if event.type == "lastmetre.offer.posted.v1":
            assert reference.decide(event, event.time) == scene.when(event)
        else:
            scene.leaves_untried(event)
            reference.wishes[event.data.wish_id] = RWish(event.data, event.time)
    for number in range(data.draw(st.integers(1, 6))):
        asked = claim(data.draw(random.wish_ids), data.draw(random.offer_ids), claim_id=f"k{number}")
        assert [*reference.time_runs_to(asked.time), *reference.decide(asked, asked.time)] == scene.when(asked)
