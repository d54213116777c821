"""What time alone brings about: slots are over, words do not come, offers lapse, wishes expire."""

from typing import Any

import pytest

from schemas.instants import MINUTE_US
from services.matcher.core.policy import Policy
from tests.builders import accepted, approved, confirmed, declined, given, instant, minors_wish, offer, offer_suspended, service, wish


def test_a_wish_expires_at_its_end_with_the_helpers_that_it_has() -> None:
    scene = given(offer(), wish(helpers=2))
    assert [] == scene.passes(239)
    assert ["expired w1 with 1"] == scene.passes(240)
    assert "expired" == scene.status()


def test_an_expired_wish_says_whose_it_was_as_they_may_never_have_had_a_match() -> None:
    scene = given(wish())
    scene.passes(240)
    said = scene.decisions[-1].data
    assert ("resident-of-w1", "household") == (said["resident_ref"], said["category"])


def test_a_wish_with_all_its_helpers_does_not_expire() -> None:
    assert [] == given(offer(), wish()).passes(10_000)


def test_a_wish_that_is_past_already_expires_as_it_comes() -> None:
    assert ["expired w1 with 0"] == given(offer()).when(wish(wanted=(-60, 0)))


def test_an_expired_wish_finds_nobody_any_more() -> None:
    scene = given(wish())
    scene.passes(240)
    assert [] == scene.when(offer(at=240))


def test_time_does_not_expire_twice() -> None:
    scene = given(wish())
    scene.passes(240)
    assert [] == scene.passes(240)


def test_many_deadlines_at_once_are_taken_in_their_order() -> None:
    """A slot over, a wish ended, a word not given, and an offer lapsed, all while the clock stood still."""
    scene = given(
        offer("o1", windows=[(0, 600)]), wish("w1", wanted=(0, 120)),
        wish("w2", wanted=(0, 100), skills=["repair"]),
        offer("o3", accepts="ask", skills=["cooking"]), wish("w3", skills=["cooking"], wanted=(90, 600)),
        offer("o4", skills=["reading"], windows=[(0, 130)]),
        wish("w5", wanted=(0, 600)),
    )  # fmt: skip
    assert ["released w3 o3 unanswered", "expired w2 with 0", "proposed w5 o1 @300 unit"] == scene.passes(300)
    assert "lapsed" == scene.area.offers["o4"].status


def test_who_is_asked_may_accept() -> None:
    scene = given(offer(accepts="ask"), wish(wanted=(90, 240)))
    assert ["agreed w1 o1"] == scene.when(accepted(at=59))
    assert [] == scene.when(accepted(at=59))
    assert "no_effect" == scene.outcome
    assert [] == scene.passes(90)


def test_who_is_asked_may_decline() -> None:
    assert ["released w1 o1 declined"] == given(offer(accepts="ask"), wish()).when(declined())


@pytest.mark.parametrize(("urgency", "until"), [("red", 10), ("yellow", 60), ("blue", 720)])
def test_how_long_an_answer_is_awaited_goes_by_urgency(urgency: str, until: int) -> None:
    scene = given(offer(accepts="ask", windows=[(0, 3000)]))
    assert [f"proposed w1 o1 @1000 unit asked until {until}"] == scene.when(wish(urgency=urgency, wanted=(1000, 2000)))
    assert [] == scene.passes(until - 1)
    assert ["released w1 o1 unanswered"] == scene.passes(until)


def test_an_answer_is_awaited_no_longer_than_until_the_visit_begins() -> None:
    assert ["proposed w1 o1 @30 unit asked until 30"] == given(offer(accepts="ask")).when(wish(wanted=(30, 240)))


def test_where_the_visit_begins_at_once_there_is_still_time_for_an_answer() -> None:
    scene = given(offer(accepts="ask"))
    assert ["proposed w1 o1 @0 unit asked until 10"] == scene.when(wish(urgency="red"))
    assert ["agreed w1 o1"] == scene.when(accepted(at=9))


def test_an_answer_to_one_who_was_told_changes_nothing() -> None:
    scene = given(offer(), wish())
    assert [] == scene.when(accepted(), accepted("w9"))
    assert "no_effect" == scene.outcome


def test_a_word_that_never_comes_is_given_up_before_the_slot_is_over() -> None:
    """Even where the policy would wait longer: otherwise nobody's visit would count as help."""
    policy = Policy({"red": 60 * MINUTE_US, "yellow": 60 * MINUTE_US, "blue": 60 * MINUTE_US}, word_us=60 * MINUTE_US, round_us=0)
    scene = given(offer(accepts="ask"), policy=policy)
    assert ["proposed w1 o1 @0 unit asked until 15"] == scene.when(wish(minutes=15))
    assert ["released w1 o1 unanswered"] == scene.passes(15)


@pytest.mark.parametrize(
    "impossible",
    [{"round_us": -1}, {"edges_max": 0}, {"invite_max": -1}, {"lead_us": {"red": 0}}, {"widen_us": {"red": -1, "yellow": 0, "blue": 0}}],
)
def test_a_policy_that_cannot_be_is_refused(impossible: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(impossible))):
        Policy(**impossible)


@pytest.mark.parametrize("word_us", [0, 11 * MINUTE_US])
def test_a_policy_that_leaves_no_time_for_words_is_refused(word_us: int) -> None:
    with pytest.raises(ValueError, match="word_us"):
        Policy(word_us=word_us)


def test_a_wish_may_ask_for_a_workers_approval() -> None:
    scene = given(offer())
    assert ["proposed w1 o1 @0 unit needs approval"] == scene.when(wish(approval="worker"))
    assert ["agreed w1 o1"] == scene.when(approved(at=9))
    assert [] == scene.when(approved(at=9))
    assert "no_effect" == scene.outcome


def test_approval_that_is_not_given_is_a_no() -> None:
    scene = given(offer(), offer("o2", home="c2"), wish(approval="worker"))
    assert ["released w1 o1 declined", "proposed w1 o2 @1 area needs approval"] == scene.when(approved(at=1, word=False))
    assert [] == scene.when(approved("w9", at=1, word=False))
    assert "no_effect" == scene.outcome


def test_approval_that_does_not_come_ends_the_hold() -> None:
    assert ["released w1 o1 unanswered"] == given(offer(), wish(approval="worker", wanted=(30, 240))).passes(30)


def test_answer_and_approval_are_both_awaited_in_either_order() -> None:
    first = given(offer(accepts="ask"), wish(approval="worker", wanted=(100, 240)))
    assert [] == first.when(accepted(at=1))
    assert ["agreed w1 o1"] == first.when(approved(at=99))
    second = given(offer(accepts="ask"), wish(approval="worker", wanted=(100, 240)))
    assert [] == second.when(approved(at=1))
    assert ["agreed w1 o1"] == second.when(accepted(at=59))


def test_after_the_answer_approval_is_awaited_until_the_visit_would_begin() -> None:
    scene = given(offer(accepts="ask"), wish(approval="worker", wanted=(100, 240)), accepted(at=1))
    assert [] == scene.passes(99)
    assert ["released w1 o1 unanswered"] == scene.passes(100)


def test_facts_about_visits_change_nothing_about_matching() -> None:
    scene = given(offer(), wish())
    for fact in (service("started"), service("finished"), service("acknowledged")):
        assert [] == scene.when(fact)
        assert "no_effect" == scene.outcome


def test_the_next_deadline_is_the_first() -> None:
    scene = given()
    assert None is scene.area.next_deadline()
    scene.when(wish(), offer(skills=["repair"], windows=[(0, 100)]))
    assert 240 * MINUTE_US == (scene.area.next_deadline() or 0) - scene.area.clock + 140 * MINUTE_US


def test_a_deadline_of_what_was_forgotten_does_nothing() -> None:
    scene = given(offer("o1"), wish(), offer("o2", skills=["repair"]), offer_suspended("o2"))
    scene.when(confirmed(scene.match()))
    scene.passes(60)
    scene.area.forget_touched()
    assert ([], ["o1"]) == (list(scene.area.wishes), list(scene.area.offers))
    assert [] == scene.passes(10_000)


def test_a_group_of_which_one_does_not_answer_ends_as_a_whole() -> None:
    scene = given(offer("o1", accepts="ask"), offer("o2", home="c1"), minors_wish())
    assert ["released w1 o1 unanswered", "released w1 o2 group_incomplete"] == scene.passes(10)
    assert ["proposed w1 o3 @10 unit group of 2", "proposed w1 o2 @10 community group of 2"] == scene.when(offer("o3", at=10))


# Noon in these tests is eight in the evening where the people live: their night goes from minute 120 to minute 660.
ONE_BY_ONE = Policy(round_us=0, invite_max=0, tell_unmet=False)


@pytest.mark.parametrize(
    ("urgency", "asked_at", "until"),
    [
        ("yellow", 0, 60),
        ("yellow", 60, 120),
        ("yellow", 61, 720),
        ("yellow", 300, 720),
        ("yellow", 659, 720),
        ("yellow", 661, 721),
        ("blue", -61, 720),
        ("blue", 0, 720),
        ("blue", 1, 721),
        ("blue", 840, 1560),
        ("blue", 841, 2160),
        ("red", 300, 310),
    ],
    ids=str,
)
def test_nobodys_silence_counts_at_night_unless_the_wish_is_red(urgency: str, asked_at: int, until: int) -> None:
    assert instant(until) == ONE_BY_ONE.answer_by(urgency, instant(asked_at))


def test_a_shorter_answer_has_no_more_of_the_morning_than_of_the_day() -> None:
    policy = Policy(answer_us={"red": 10 * MINUTE_US, "yellow": 20 * MINUTE_US, "blue": 20 * MINUTE_US}, night=(23 * 60 + 30, 5 * 60))
    assert [instant(210), instant(560), instant(560), instant(561)] == [policy.answer_by("yellow", instant(at)) for at in (190, 191, 539, 541)]


@pytest.mark.parametrize(
    ("wanted", "until"), [((900, 1200), 720), ((740, 1200), 680), ((200, 400), 185), ((130, 400), 135)], ids=["all of it", "a part", "none", "begins soon"]
)
def test_a_night_is_waited_out_as_long_as_somebody_else_can_be_asked_in_time(wanted: tuple[int, int], until: int) -> None:
    scene = given(offer(accepts="ask", windows=[(0, 2000)]), policy=ONE_BY_ONE)
    assert [f"proposed w1 o1 @{wanted[0]} unit asked until {until}"] == scene.when(wish(urgency="yellow", wanted=wanted, at=125))
    assert [] == scene.passes(until - 1)
    assert "released w1 o1 unanswered" == scene.passes(until)[0]


@pytest.mark.parametrize("night", [(0, 24 * 60), (-1, 60), (60, 60)])
def test_a_night_is_two_minutes_of_a_day_that_differ(night: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="night must be"):
        Policy(night=night)
