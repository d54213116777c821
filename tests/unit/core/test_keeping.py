"""Where helpers fall free one at a time, a round keeps one for a wish that needs two, as long as somebody is about to come and the wish is the older one."""

from typing import Any

import pytest

from services.matcher.core.keeping import Keeping
from services.matcher.core.policy import Policy
from services.matcher.core.reasons import FIRST, KEPT, why
from tests.builders import DAY, HOME, HOUR, Scene, claim, instant, minors_wish, minutes_of, offer, wish, wish_withdrawn

FARTHER = "c1"
LONG = 10 * HOUR
NO_LADDER = {"red": 0, "yellow": 0, "blue": 0}


def two_who_fall_free_in_turn(*, second: float = 100, **more: Any) -> Scene:
    """o1 is at a visit until 60, o2, who lives farther away, until `second`; since -60 a child waits for two. Both take one visit at a time, and all day."""
    found = Scene(policy=Policy(widen_us=NO_LADDER))
    found.when(*(offer(one, at=-120, windows=[(-120, DAY)], home=home) for one, home in (("o1", HOME), ("o2", FARTHER))))
    found.when(wish("r1", at=-120, urgency="red", wanted=(0, 60)))
    found.when(wish("r2", at=-119, urgency="red", where=FARTHER, wanted=(second - 60, second)))
    assert {"o1": 1, "o2": 1} == {offer.id: offer.live for offer in found.area.offers.values()}
    found.when(minors_wish("w1", **{"at": -60, "urgency": "yellow", "wanted": (-60, LONG), **more}))
    return found


def easy(wish_id: str = "w2", **more: Any) -> Any:
    return wish(wish_id, **{"at": 0, "urgency": "yellow", "wanted": (0, LONG), "minutes": 30, **more})


def proposed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()[1:4]) for line in lines if line.startswith("proposed")]


def test_whoever_is_free_first_is_kept_until_the_other_one_is_free() -> None:
    found = two_who_fall_free_in_turn()
    found.when(easy())
    assert [] == found.passes(99)
    assert ["w1 o1 @100", "w1 o2 @100"] == proposed(found.passes(100))
    assert ["w2"] == [line.split()[0] for line in proposed(found.passes(200))]


def test_nobody_is_kept_for_longer_than_the_wish_has_waited() -> None:
    found = two_who_fall_free_in_turn(second=400)
    found.when(easy())
    assert ["w2 o1 @65"] == proposed(found.passes(65))
    # At 165 the child has waited for 225 minutes, and the other one falls free in 235; at 170 it is 230 and 230.
    found.when(easy("w3", at=164))
    assert ["w3 o1 @165"] == proposed(found.passes(165))
    found.when(easy("w4", at=169))
    assert [] == found.passes(399)
    assert ["w1 o1 @400", "w1 o2 @400"] == proposed(found.passes(400))


def test_an_older_wish_goes_first() -> None:
    found = two_who_fall_free_in_turn()
    found.when(easy(at=-60))  # of the same minute, and after it by its name
    found.when(easy("v1", at=-60))
    assert ["v1 o1 @60"] == proposed(found.passes(60))


def test_who_can_wait_no_longer_waits_for_no_child() -> None:
    found = two_who_fall_free_in_turn()
    found.when(easy(wanted=(0, 96)))
    assert ["w2 o1 @65"] == proposed(found.passes(65))


def test_who_must_be_asked_now_to_answer_in_time_is_asked() -> None:
    found = two_who_fall_free_in_turn()
    found.when(offer("o1", at=1, windows=[(-120, DAY)], accepts="ask"), easy(at=2, wanted=(0, 160)))
    assert [] == found.passes(60)
    assert ["w2 o1 @65"] == proposed(found.passes(65))


def test_a_wish_whose_patience_is_at_its_end_is_not_held_back_for_one_that_has_time() -> None:
    found = two_who_fall_free_in_turn(urgency="blue", wanted=(-60, 2 * DAY))
    found.when(easy(wanted=(0, 150)))
    assert [] == found.passes(5) + found.passes(60)
    assert ["w2 o1 @65"] == proposed(found.passes(65))


def test_red_wishes_and_claims_are_not_held_back() -> None:
    found = two_who_fall_free_in_turn()
    found.passes(60)
    assert ["w2 o1 @61"] == proposed(found.when(easy(at=61, urgency="red")))
    found = two_who_fall_free_in_turn()
    found.when(easy())
    found.passes(61)
    assert ["w2 o1 @61"] == proposed(found.when(claim("w2", "o1", at=61)))


@pytest.mark.parametrize("second", [{"windows": [(-120, 110)]}, {"level": 3}, {"volunteer": "volunteer-of-o1"}, {"skills": ["shopping"]}, {"reach": "unit"}])
def test_where_the_second_one_will_not_be_able_to_nobody_is_kept(second: dict[str, Any]) -> None:
    found = two_who_fall_free_in_turn()
    found.when(offer("o2", **{"at": 1, "windows": [(-120, DAY)], "home": FARTHER, **second}))
    found.when(easy(at=2))
    assert ["w2 o1 @65"] == proposed(found.passes(65))


def test_of_somebody_with_room_for_several_one_place_is_kept() -> None:
    found = two_who_fall_free_in_turn()
    found.when(offer("o1", at=1, windows=[(-120, DAY)], capacity=3))
    found.when(*(easy(name, at=2) for name in ("w2", "w3", "w4")))
    assert 2 == len(proposed(found.passes(99)))
    assert ["w1", "w1"] == [line.split()[0] for line in proposed(found.passes(101)) if line.startswith("w1")]


def test_a_round_is_held_once_they_are_kept_no_longer() -> None:
    found = two_who_fall_free_in_turn()
    found.when(easy())
    found.passes(70)
    assert 100 == minutes_of(found.area.round_at or 0)
    # Nobody needs two any more: who was kept is free for whoever waits.
    found.when(wish_withdrawn("w1", at=75))
    assert ["w2"] == [line.split()[0] for line in proposed(found.passes(100))]


def test_for_each_wish_one_is_kept_and_each_who_is_awaited_is_awaited_by_one() -> None:
    found = Scene(policy=Policy(widen_us=NO_LADDER))
    speaking = {"o2": "zh", "o4": "sign", "o1": "zh", "o3": "sign"}
    posted = [offer(one, at=-120, windows=[(-120, DAY)], languages=[tongue]) for one, tongue in speaking.items()]
    found.when(*posted[:2], *(wish(f"r{at}", at=-120, urgency="red", wanted=(at - 60, at)) for at in (50, 60)), *posted[2:])
    for number, tongue in (("w1", "zh"), ("w2", "zh"), ("w3", "sign")):
        found.when(minors_wish(number, at=-60, urgency="yellow", wanted=(-60, LONG), languages=[tongue]))
    kept = Keeping(found.area, instant(0), found.area.index.in_order)
    assert {"o1": "w1", "o3": "w3"} == {one: kept.offers[one].wish.id for one in kept.offers}


def test_where_thousands_wait_a_round_looks_at_no_more_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    found = two_who_fall_free_in_turn()
    found.passes(61)
    monkeypatch.setattr("services.matcher.core.keeping._LOOKS_MAX", 1)
    assert {} == Keeping(found.area, instant(61), found.area.index.in_order).offers
    monkeypatch.setattr("services.matcher.core.keeping._LOOKS_MAX", 2)
    assert {} == Keeping(found.area, instant(61), found.area.index.in_order).offers
    monkeypatch.setattr("services.matcher.core.keeping._LOOKS_MAX", 3)
    assert {"o1"} == Keeping(found.area, instant(61), found.area.index.in_order).offers.keys()
    monkeypatch.setattr("services.matcher.core.keeping._WISHES_MAX", 0)
    assert {} == Keeping(found.area, instant(61), found.area.index.in_order).offers


def test_without_rounds_nobody_is_kept() -> None:
    found = two_who_fall_free_in_turn()
    found.passes(61)
    found.area.policy = Policy.at_once()
    assert {} == Keeping(found.area, instant(61), found.area.index.in_order).offers


def test_who_is_kept_says_so() -> None:
    found = two_who_fall_free_in_turn()
    found.when(easy())
    found.passes(61)
    area = found.area
    told = why(area, area.wishes["w2"], area.offers["o1"], instant(61))
    assert (KEPT, instant(100)) == (told.code, told.until)
    keeping = Keeping(area, instant(61), area.index.in_order)
    assert [instant(100), None] == [keeping.second_at(area.wishes[one]) for one in ("w1", "w2")]
    assert FIRST == why(area, area.wishes["w2"], area.offers["o1"], instant(100)).code


@pytest.mark.parametrize("every", [40, 50, 60])
@pytest.mark.parametrize("urgency", ["yellow", "blue"])
def test_easy_wishes_that_never_cease_starve_no_child(every: int, urgency: str) -> None:
    """Two helpers for one visit at a time each, and an easy wish after another: each child's wish, one every four hours, is met."""
    found = Scene(policy=Policy())
    found.when(*(offer(one, windows=[(0, 2 * DAY)]) for one in ("o1", "o2")))
    children = {at: minors_wish(f"c{at}", at=at, urgency="yellow", wanted=(at, at + 8 * HOUR)) for at in range(60, DAY, 4 * HOUR)}
    coming = [*children.values(), *(easy(f"e{at:04}", at=at, urgency=urgency, wanted=(at, at + 8 * HOUR), minutes=60) for at in range(0, DAY, every))]
    told = found.when(*sorted(coming, key=lambda one: one.time))
    for at in range(DAY, 2 * DAY, 5):
        told += found.passes(at)
    met = {line.split()[0] for line in proposed(told)}
    assert {one.subject for one in children.values()} <= met
    assert len([one for one in met if one.startswith("e")]) > DAY // HOUR // 2
