"""Nobody is lost while waiting: whenever one wish and one offer may meet by the rules, they do, however short the moment and however far the helper.

Waiting for rounds and asking rung by rung make better pairs. They must not cost the only one there is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import Event
from schemas.instants import MINUTE_US, SECOND_US, parse_rfc3339
from services.matcher.core import ladder
from services.matcher.core.place import RUNGS
from services.matcher.core.policy import Policy
from services.matcher.core.rounds import Pool
from services.matcher.core.turn import Turn
from tests.builders import DAY, HOUR, Scene, accepted, declined, instant, minutes_of, offer, offer_suspended, offer_withdrawn, text_of, wish, wish_withdrawn
from tests.shelf import Shelved
from tests.unit.core.strategies import HOMES, LANGUAGES

NO_LEAD = replace(Policy(), lead_us={"red": 0, "yellow": 0, "blue": 0})
POLICIES = [Policy(), NO_LEAD, replace(NO_LEAD, round_us=30 * MINUTE_US), Policy.at_once()]
YEAR = 365 * DAY
# By the wall's clock a round is held some moments after its beat.
LATE_SECONDS = (0, 0, 1, 59)


@dataclass(frozen=True)
class Pair:
    """One wish and one offer as they are drawn; instants and lengths in minutes since noon."""

    wished_at: int
    offered_at: int
    wanted: tuple[int, int]
    minutes: int
    where: str
    home: str
    reach: str
    windows: tuple[tuple[int, int], ...]
    vetting: int
    level: int
    checked: int
    speaks: tuple[tuple[str, ...], tuple[str, ...]]
    skills: tuple[tuple[str, ...], tuple[str, ...]]

    def may_meet(self) -> bool:
        """By the contract's rules, at the moment from which on both are known; later it can only become harder."""
        needed, has = self.skills
        wanted, spoken = self.speaks
        if not set(needed) <= set(has) or (wanted and not set(wanted) & set(spoken)) or self.level < self.vetting:
            return False
        if RUNGS.index(self.reach) < self.rung():
            return False
        starts = [max(self.wished_at, self.offered_at, self.wanted[0], opens) for opens, closes in self.windows]
        fits = [start for start, (_, closes) in zip(starts, self.windows, strict=True) if start + self.minutes <= min(closes, self.wanted[1])]
        return bool(fits) and (self.vetting < 4 or min(fits) <= self.checked + YEAR)

    def rung(self) -> int:
        """From 0, the same unit, to 4, another community."""
        shared = 0
        for one, other in zip(self.where.split("/"), self.home.split("/"), strict=False):
            if one != other:
                break
            shared += 1
        return 4 - shared


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """More often such as may meet; times are near each other, for what is short is what gets lost."""
    minutes = draw(st.sampled_from([15, 30, 60, 61, 240]))
    wished_at, offered_at = draw(st.integers(0, 30)), draw(st.one_of(st.integers(0, 30), st.integers(0, 400)))
    known = max(wished_at, offered_at)
    starts = draw(st.one_of(st.just(0), st.integers(0, 3 * HOUR), st.integers(0, DAY)))
    room = draw(st.one_of(st.integers(0, 20), st.integers(0, 5 * HOUR), st.integers(0, 5 * DAY)))
    windows = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        opens = draw(st.integers(-HOUR, 5 * HOUR)) + draw(st.sampled_from([0, 0, 0, DAY]))
        last = max(opens, known) + draw(st.one_of(st.integers(-5, 20), st.integers(-5, 5 * HOUR), st.integers(0, 2 * DAY)))
        windows.append((opens, max(opens + 1, last + minutes)))
    vetting = draw(st.sampled_from([0, 0, 0, 2, 4]))
    checked = draw(st.one_of(st.just(-HOUR), st.integers(-YEAR - 10, -YEAR + 6 * HOUR)))
    spoken = st.sampled_from([(), (LANGUAGES[0],), tuple(LANGUAGES)])
    return Pair(
        wished_at,
        offered_at,
        (wished_at + starts, wished_at + starts + minutes + room),
        minutes,
        draw(st.sampled_from(HOMES)),
        draw(st.sampled_from(HOMES)),
        draw(st.sampled_from(["area", "area", *RUNGS])),
        tuple(windows),
        vetting,
        max(vetting, draw(st.sampled_from([0, 0, 1, 4]))) if draw(st.integers(0, 9)) else draw(st.integers(0, 4)),
        checked,
        (draw(st.sampled_from([(), (), (LANGUAGES[0],)])), draw(spoken)),
        (("haircut",), draw(st.sampled_from([("haircut",), ("haircut", "repair"), ("repair",)]))),
    )


def events_of(pair: Pair, urgency: str, accepts: str, capacity: int, helpers: int) -> list[Event]:
    """The two, in the order of their coming."""
    wanted, spoken = pair.speaks
    asked: dict[str, Any] = {"languages": list(wanted)} if wanted else {}
    both = [
        wish(
            at=pair.wished_at, where=pair.where, urgency=urgency, wanted=pair.wanted, minutes=pair.minutes, helpers=helpers, vetting_min=pair.vetting,
            skills=pair.skills[0], **asked,
        ),
        offer(
            at=pair.offered_at, home=pair.home, reach=pair.reach, windows=pair.windows, level=pair.level, checked=pair.checked, capacity=capacity,
            accepts=accepts, languages=list(spoken), skills=pair.skills[1],
        ),
    ]  # fmt: skip
    return sorted(both, key=lambda event: event.time)


def stops(scene: Scene, *, only_rounds: bool) -> int | None:
    """The next instant at which the clock stops: `play` knows of the rounds and of the ends of wishes, the wall's clock of every deadline."""
    due = scene.area.next_deadline()
    if not only_rounds or due is None:
        return due
    ends = [one.end for one in scene.area.wishes.values() if one.end > scene.area.clock]
    called = [scene.area.round_at] if scene.area.round_at is not None else []
    return min([*ends, *called], default=None)


def lives(scene: Scene, events: list[Event], *, only_rounds: bool, late_us: int) -> list[str]:
    """All that is told until nothing can change any more. Who is invited says yes at once, as an invitation holds no time; who is asked, in time."""
    said: list[str] = []

    def hears(lines: list[str]) -> None:
        said.extend(lines)
        for line in lines:
            if line.startswith("invited"):
                hears(scene.when(accepted(at=minutes_of(scene.area.clock))))
            elif "asked until" in line:
                until = next(parse_rfc3339(one.data["expires_at"]) for one in reversed(scene.decisions) if one.type == "lastmetre.match.proposed.v1")
                hears(scene.when(accepted(at=minutes_of(min(scene.area.clock + 2 * MINUTE_US, until - SECOND_US)))))

    for event in events:
        while (stop := stops(scene, only_rounds=only_rounds)) is not None and stop + late_us < event.time:
            hears(scene.passes(minutes_of(stop + late_us)))
        hears(scene.when(event))
    while (stop := stops(scene, only_rounds=only_rounds)) is not None:
        hears(scene.passes(minutes_of(max(stop + late_us, scene.area.clock))))
        if isinstance(scene, Shelved):
            scene.loads_again()
    return said


@settings(max_examples=150, deadline=None)
@example(
    pair=Pair(27, 0, (27, 55), 15, "c1", "c1", "area", ((0, 76), (41, 76)), 0, 0, -60, ((), ()), (("haircut",), ("haircut",))),
    urgency="yellow", accepts="auto", capacity=1, helpers=1, only_rounds=False, late=0, anew=False,
)  # fmt: skip
@given(
    pair=pairs(),
    urgency=st.sampled_from(["red", "yellow", "blue", "blue"]),
    accepts=st.sampled_from(["auto", "auto", "ask"]),
    capacity=st.sampled_from([1, 1, 3]),
    helpers=st.sampled_from([1, 1, 2, 3]),
    only_rounds=st.booleans(),
    late=st.sampled_from(LATE_SECONDS),
    anew=st.booleans(),
)
@pytest.mark.parametrize("policy", POLICIES, ids=["as shipped", "without lead", "every half hour", "at once"])
def test_one_wish_and_one_offer_that_may_meet_are_proposed(
    policy: Policy, pair: Pair, urgency: str, accepts: str, capacity: int, helpers: int, late: int, *, only_rounds: bool, anew: bool
) -> None:
    """Whoever comes first, whichever clock runs, and also when another worker takes over after each step."""
    scene = Shelved(policy=policy) if anew else Scene(policy=policy)
    said = lives(scene, events_of(pair, urgency, accepts, capacity, helpers), only_rounds=only_rounds, late_us=late * SECOND_US)
    assert pair.may_meet() == any(line.startswith("proposed w1 o1") for line in said), said


# ---- one by one


def shipped(**more: Any) -> Scene:
    return Scene(policy=Policy(**more))


def blue(wish_id: str = "w1", **more: Any) -> Event:
    """A wish for some time in the next three days: three hours pass until it is for everyone."""
    return wish(wish_id, **{"urgency": "blue", "wanted": (0, 3 * DAY), **more})


@pytest.mark.parametrize("first", ["wish", "offer"])
def test_a_helper_from_afar_who_is_gone_before_the_wish_asks_as_far_is_taken_in_the_next_round(first: str) -> None:
    found = shipped()
    both = [blue(), offer(home="c2", windows=[(0, 3 * HOUR)])]
    assert [] == found.when(*(both if first == "wish" else reversed(both)))
    assert ["proposed w1 o1 @5 area"] == found.passes(5)


@pytest.mark.parametrize("late", LATE_SECONDS)
@pytest.mark.parametrize("home", ["c1", "c2"])
@pytest.mark.parametrize("wished_at", [25, 27, 28, 29, 29.5])
def test_a_wish_of_which_the_next_rung_comes_too_late_is_for_everyone_in_its_last_round(wished_at: float, home: str, late: int) -> None:
    """Whoever lives far away stays for hours; it is the wish that has minutes left."""
    for room in range(12):
        found = shipped()
        both = [offer(home=home, windows=[(0, DAY)]), wish(at=wished_at, urgency="yellow", minutes=15, wanted=(wished_at, wished_at + 15 + room))]
        said = lives(found, both, only_rounds=False, late_us=late * SECOND_US)
        assert (room, True) == (room, any(line.startswith("proposed") for line in said)), said


def test_a_helper_from_afar_whose_next_visit_begins_before_the_wish_asks_as_far_is_taken_in_the_next_round() -> None:
    found = shipped()
    found.when(offer(home="c2", capacity=2), wish("w0", wanted=(3 * HOUR, 8 * HOUR), minutes=5 * HOUR, urgency="red"))
    assert [] == found.when(blue(minutes=60))
    assert ["proposed w1 o1 @5 area"] == found.passes(5)


def test_a_helper_from_afar_who_stays_until_the_wish_asks_as_far_is_left_to_the_ladder() -> None:
    found = shipped()
    found.when(blue(), offer(home="c2", windows=[(0, 4 * HOUR + 2)]))
    assert not [line for line in found.passes(3 * HOUR - 1) if line.startswith("proposed")]
    assert "proposed w1 o1 @180 area" in found.passes(3 * HOUR)


def test_who_must_be_asked_is_asked_before_the_ladder_where_an_answer_would_come_too_late() -> None:
    found = shipped()
    found.when(blue(), offer(home="c2", windows=[(0, 15 * HOUR)], accepts="ask"))
    assert ["proposed w1 o1 @5 area asked until 15"] == found.passes(5)


def test_a_near_helper_is_not_passed_for_one_from_afar_who_goes() -> None:
    found = shipped()
    found.when(blue(), offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer("near", home="c1/p1/b1", windows=[(0, 3 * DAY)]))
    assert not [line for line in found.passes(4 * HOUR) if line.startswith("proposed")]


def test_where_a_near_helper_suffices_nobody_from_afar_is_weighed() -> None:
    found = shipped()
    found.when(blue(), offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer("near", home="c1/p1/b1", windows=[(0, 3 * DAY)]))
    assert [] == found.passes(5)
    assert {"near"} == Pool(Turn(found.area, instant(5), "looks")).helpers.keys()


def test_nobody_from_afar_is_asked_before_the_rung_where_somebody_else_from_afar_stays() -> None:
    found = shipped()
    found.when(offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer("stays", home="c2", windows=[(0, 3 * DAY)]), blue())
    assert not [line for line in found.passes(4 * HOUR) if line.startswith("proposed")]


def test_where_very_many_wait_a_wish_looks_at_few_and_takes_who_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "_LOOKS_TOTAL", 1)
    monkeypatch.setattr(ladder, "_LOOKS_MIN", 1)
    found = shipped()
    found.when(offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer("stays", home="c2", windows=[(0, 3 * DAY)]), blue())
    assert ["proposed w1 goes @5 area"] == found.passes(5)


def test_of_two_places_the_one_for_which_nobody_stays_is_given_to_who_goes() -> None:
    found = shipped()
    found.when(offer("goes", home="c2", windows=[(0, 3 * HOUR)]), offer("stays", home="c2", windows=[(0, 3 * DAY)]), blue(helpers=2))
    assert ["proposed w1 goes @5 area"] == found.passes(5)


def test_of_those_from_afar_who_go_only_those_who_may_have_the_wish_are_weighed() -> None:
    both = ["haircut", "repair"]
    goes: dict[str, Any] = {"home": "c2", "windows": [(0, 3 * HOUR)], "skills": both}
    found = shipped()
    found.when(offer("full", **goes), wish("w0", urgency="red", where="c2"), offer("small", **{**goes, "skills": ["repair"]}))
    found.when(offer("home", **{**goes, "reach": "compound"}), offer("later", **{**goes, "windows": [(0, 3 * HOUR), (DAY, 2 * DAY)]}), offer("mute", **goes))
    found.when(blue(skills=both, languages=["sichuan"]), blue("w2", languages=["sichuan"]))
    assert [] == found.passes(5)
    found.when(offer("fits", languages=["sichuan"], at=6, **goes))
    assert ["proposed w1 fits @10 area"] == found.passes(10)


@pytest.mark.parametrize("first", ["wish", "offer"])
def test_a_helper_who_is_gone_before_the_next_round_is_taken_at_once(first: str) -> None:
    found = shipped()
    both = [blue(), offer(home="c2", windows=[(0, 63)])]
    assert ["proposed w1 o1 @0 area"] == found.when(*(both if first == "wish" else reversed(both)))


def test_nobody_is_taken_at_once_who_may_not_have_the_wish() -> None:
    found = shipped()
    found.when(offer("far", home="c2", reach="community", windows=[(0, 63)]), offer("weak", home="c2", level=1, windows=[(0, 63)]))
    assert [] == found.when(blue(vetting_min=2))
    assert [] == found.when(offer("unskilled", skills=["repair"], windows=[(0, 63)]), offer("weak2", level=0, windows=[(0, 63)]))
    assert [] == found.when(wish("later", urgency="blue", wanted=(DAY, 3 * DAY)))


def test_nobody_is_taken_at_once_where_somebody_stays() -> None:
    found = shipped()
    found.when(offer("stays", windows=[(0, 3 * DAY)], home="c1/p1/b1"), blue())
    assert [] == found.when(offer("goes", home="c2", windows=[(0, 63)]))


def test_of_two_who_stay_and_may_say_no_one_is_counted_on() -> None:
    found = shipped()
    stays: dict[str, Any] = {"accepts": "ask", "windows": [(0, 3 * DAY)], "home": "c1/p1/b1"}
    found.when(offer("asked", **stays), blue())
    assert ["proposed w1 goes @0 area"] == found.when(offer("goes", home="c2", windows=[(0, 63)]))
    other = shipped()
    other.when(offer("asked", **stays), offer("asked-too", **stays), blue())
    assert [] == other.when(offer("goes", home="c2", windows=[(0, 63)]))


def test_of_a_wish_for_two_the_place_for_which_nobody_stays_is_given_at_once() -> None:
    found = shipped()
    found.when(offer("stays", windows=[(0, 3 * DAY)], home="c1/p1/b1"), blue(helpers=2))
    assert ["proposed w1 goes @0 area"] == found.when(offer("goes", home="c2", windows=[(0, 63)]))
    assert [] == found.when(offer("goes-too", home="c2", windows=[(0, 63)]))


def test_who_becomes_free_and_is_gone_before_the_next_round_is_taken_at_once() -> None:
    found = shipped()
    found.when(offer(home="c2", windows=[(0, 63)]), wish("w0", urgency="red", where="c2"), blue())
    assert ["released w0 o1 withdrawn", "proposed w1 o1 @1 area"] == found.when(wish_withdrawn("w0", at=1))


def test_who_was_parted_from_a_wish_is_not_taken_at_once() -> None:
    found = shipped()
    found.when(offer(home="c2", windows=[(0, 63)]), offer("o2", home="c2", windows=[(0, 63)]), blue())
    assert ["released w1 o1 declined", "proposed w1 o2 @1 area"] == found.when(declined(at=1))


def test_a_check_that_is_about_to_be_too_old_is_used_while_it_is_not() -> None:
    found = shipped()
    found.when(offer(windows=[(0, 3 * DAY)], home="c1/p1/b1", checked=-YEAR + HOUR), blue(vetting_min=4))
    assert ["proposed w1 o1 @5 building"] == found.passes(5)
    assert ["proposed w2 o2 @6 building"] == found.when(
        offer("o2", windows=[(0, 3 * DAY)], home="c1/p1/b1", checked=-YEAR + 9, at=6), blue("w2", vetting_min=4, at=6)
    )
    assert ["proposed w3 o3 @11 building"] == found.when(
        blue("w3", vetting_min=4, at=11), offer("o3", windows=[(0, 3 * DAY)], home="c1/p1/b1", checked=-YEAR + 14, at=11)
    )


def test_a_proof_that_is_about_to_end_is_used_while_it_holds() -> None:
    found = shipped(proof_needed=frozenset({"haircut"}))
    proof = [{"skill": "haircut", "valid_until": text_of(2 * HOUR)}]
    found.when(offer(windows=[(0, 3 * DAY)], home="c1/p1/b1", proofs=proof), blue())
    assert ["proposed w1 o1 @5 building"] == found.passes(5)


def test_the_last_moment_of_a_helper_is_before_what_they_do_already() -> None:
    """From nine hours on they are elsewhere; six hours are to be left before the last moment at which they could begin."""
    found = shipped(widen_us={"red": 0, "yellow": 0, "blue": 0})
    found.when(offer(home="c2", windows=[(0, 10 * HOUR)], capacity=2), wish("w0", urgency="red", wanted=(9 * HOUR, 10 * HOUR)), blue())
    assert [] == found.passes(2 * HOUR - 1)
    assert ["proposed w1 o1 @120 area"] == found.passes(2 * HOUR)


def test_a_withdrawn_helper_is_not_among_those_who_go() -> None:
    found = shipped()
    found.when(offer(home="c2", windows=[(0, 63), (0, 63)]), offer_withdrawn())
    assert [] == found.when(blue())


def until(scene: Scene, minutes: float) -> list[str]:
    """What is told by then, deadline by deadline."""
    said: list[str] = []
    while (due := scene.area.next_deadline()) is not None and minutes_of(due) <= minutes:
        said += scene.passes(minutes_of(due))
    return [line for line in said if not line.startswith("widened")]


def test_a_wish_that_can_wait_no_longer_is_weighed_then_though_all_its_pairs_were_due_before() -> None:
    """Who is asked is due half a day earlier than the wish itself, and was kept for a wish that fits better and may wait for days."""
    scene = Scene(policy=Policy())
    scene.when(
        offer(skills=("haircut", "repair"), home="c1/p1/b1/u2", accepts="ask", windows=((0, 3 * DAY),)),
        wish(urgency="blue", wanted=(0, 12 * HOUR)),
        wish("w2", urgency="blue", skills=("haircut", "repair"), wanted=(0, 2.5 * DAY)),
    )
    assert ["proposed w1 o1 @300 building asked until 310"] == until(scene, 5 * HOUR)


@pytest.mark.parametrize(
    "event",
    [
        offer_withdrawn("o1", at=7),
        offer_suspended("o1", at=7),
        offer("o1", at=7, home="c1/p1/b1/u2", skills=("repair",), windows=((0, 3 * DAY),)),
        wish("w2", at=7, urgency="red", skills=("repair",), wanted=(DAY, 2 * DAY)),
        wish("w2", at=7, urgency="red", skills=("repair",), wanted=(0, 3 * DAY), minutes=480),
    ],
    ids=["withdrawn", "suspended", "posted again without the skill", "taken", "taken for today"],
)
def test_where_the_one_who_stays_is_not_to_be_had_any_more_the_one_who_goes_is_taken(event: Event) -> None:
    """A wish that waits was left to a helper who stays. Once they are gone, the next round is not days ahead."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", skills=("haircut", "repair"), windows=((0, 3 * DAY),)),
        offer("o2", home="c1/p1/b1/u2", skills=("haircut", "cooking", "reading"), windows=((0, 6 * HOUR),)),
        wish("w1", urgency="blue", wanted=(0, 3 * DAY)),
    )
    assert [] == until(scene, 6)
    scene.when(event)
    assert ["proposed w1 o2 @10 building"] == until(scene, 10)


@pytest.mark.parametrize("rest", [0, 10])
def test_who_has_a_visit_before_them_and_no_time_after_it_is_proposed_at_once_when_they_come(rest: int) -> None:
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", volunteer="one", skills=("repair",)),
        wish("w1", urgency="red", skills=("repair",), wanted=(62 + rest, 122 + rest)),
        wish("w2", urgency="blue", wanted=(0, DAY), where="c2"),
    )
    assert ["proposed w2 o2 @1 area"] == scene.when(offer("o2", at=1, volunteer="one", rest_minutes=rest, windows=((0, 130 + rest),)))


def test_who_is_wanted_twice_by_a_wish_does_not_cost_it_the_one_who_goes() -> None:
    """Nobody comes to a wish twice, so its second helper is the one who is here today only."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", skills=("haircut", "repair"), capacity=3, windows=((0, 3 * DAY),)),
        offer("o2", home="c1/p1/b1/u2", skills=("haircut", "repair", "cooking"), windows=((0, 7 * HOUR),)),
        wish(urgency="blue", helpers=2, wanted=(0, 3 * DAY)),
    )
    assert ["proposed w1 o2 @355 building"] == until(scene, 7 * HOUR)
    assert ["proposed w1 o1 @3900 building"] == until(scene, 3 * DAY)


def test_who_is_wanted_twice_by_a_wish_does_not_cost_another_wish_the_only_one_it_has() -> None:
    """A helper with two visits to give was kept for both places of the wish that fits better, and may wait for days."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", skills=("haircut", "repair"), accepts="ask", capacity=2, windows=((0, 3 * DAY),)),
        wish("w1", urgency="blue", skills=("haircut", "repair"), helpers=2, wanted=(0, 3 * DAY)),
        wish("w2", urgency="blue", wanted=(0, 14 * HOUR)),
    )
    assert ["proposed w2 o1 @55 building asked until 65"] == until(scene, 60)


def test_in_its_last_round_a_wish_for_two_is_given_who_is_kept_for_one_that_can_wait() -> None:
    """The one who lives near was counted twice, so the other was kept for the wish of tomorrow."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", capacity=3, windows=((0, 3 * DAY),)),
        offer("o2", home="c2/p1/b1/u1", windows=((0, 3 * DAY),)),
        wish("w1", urgency="blue", helpers=2, wanted=(0, HOUR + 7)),
        wish("w2", urgency="blue", where="c2/p1/b1/u2", wanted=(DAY, 2 * DAY)),
    )
    assert ["proposed w1 o1 @5 building", "proposed w1 o2 @5 area"] == until(scene, 2 * HOUR)


def test_two_offers_of_one_person_who_stays_do_not_cost_a_wish_for_two_the_one_who_goes() -> None:
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c2", volunteer="one", windows=((0, 3 * DAY),)),
        offer("o2", home="c2", volunteer="one", windows=((0, 3 * DAY),)),
        offer("o3", home="c2", windows=((0, 3 * HOUR),)),
        wish(urgency="blue", helpers=2, wanted=(0, 3 * DAY)),
    )
    assert ["proposed w1 o3 @5 area"] == until(scene, 60)


def test_who_is_given_to_two_wishes_of_one_hour_does_not_cost_the_second_its_last_moment() -> None:
    """A round gives a helper with room for two visits both, and does not know that they are at one time; the next round would be too late for the other."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", capacity=2, windows=((0, 3 * DAY),)),
        offer("o2", home="c2", windows=((0, 3 * DAY),)),
        wish("w1", urgency="yellow", wanted=(0, HOUR + 7)),
        wish("w2", urgency="yellow", wanted=(0, HOUR + 7)),
    )
    assert ["proposed w1 o1 @5 building", "proposed w2 o2 @5 area"] == until(scene, HOUR)


def test_who_is_given_to_two_wishes_of_one_hour_does_not_cost_the_second_the_one_who_goes() -> None:
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", home="c1/p1/b1/u2", capacity=2, windows=((0, HOUR + 7),)),
        offer("o2", home="c2", windows=((0, HOUR + 7),)),
        wish("w1", urgency="yellow", wanted=(0, 3 * HOUR)),
        wish("w2", urgency="yellow", wanted=(0, 3 * HOUR)),
    )
    assert ["proposed w1 o1 @5 building", "proposed w2 o2 @5 area"] == until(scene, HOUR)
