"""The claim wall, pure: order, filters, fit, and what is offered instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.place import Place, Rung
from services.gateway.people.wall import Choice, MyOffer, OpenWish, Shown, chosen, has_time, home_of, missing, next_best, rung_between, shown
from services.gateway.roles import Scope

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)  # noon in China
HOME = Place(community="c1", compound="p1", building="b1", unit="u1")
OFFER = MyOffer("a", "o1", HOME, "area", frozenset({"haircut", "shopping"}), frozenset(), 2, NOW - timedelta(days=30), ((NOW, NOW + timedelta(days=9)),))
WISH = OpenWish(
    "a", "w1", HOME, "household", "yellow", "理发", ("haircut",), (), NOW, NOW + timedelta(hours=6), 60, 1, 0, "adult",
    lives_alone=False, vetting_min=0, approval="none", accompanied=False,
)  # fmt: skip


def seen(wish: OpenWish) -> Shown:
    return shown(wish, [OFFER], HOME, NOW)


@pytest.mark.parametrize(
    ("place", "rung"),
    [
        (HOME, Rung.UNIT),
        (Place(community="c1", compound="p1", building="b1", unit="u2"), Rung.BUILDING),
        (Place(community="c1", compound="p1"), Rung.COMPOUND),
        (Place(community="c1", compound="p2", building="b1", unit="u1"), Rung.COMMUNITY),
        (Place(community="c2", compound="p1", building="b1", unit="u1"), Rung.AREA),
    ],
)
def test_the_rung_is_the_smallest_circle_that_both_share(place: Place, rung: Rung) -> None:
    assert rung == rung_between(place, HOME)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"skills": ("haircut", "erhu")}, "skill_missing"),
        ({"languages": ("csl",)}, "language_missing"),
        ({"vetting_min": 3}, "vetting_too_low"),
        ({"age_band": "under_14"}, "vetting_too_low"),
        ({"category": "left_behind_children"}, "vetting_too_low"),
        ({"lives_alone": True}, None),
        ({"starts_at": NOW + timedelta(days=10), "ends_at": NOW + timedelta(days=11)}, "not_available"),
        ({"minutes": 361}, "not_available"),
    ],
)
def test_says_the_first_reason_for_which_a_claim_would_fail(change: dict[str, object], reason: str | None) -> None:
    assert reason == missing(replace(WISH, **change), OFFER, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("taken", "has"),
    [
        ([], True),
        ([(0, 5)], True),
        ([(0, 3), (4, 6)], True),
        ([(4, 6), (0.5, 3.5)], False),
        ([(0, 6)], False),
        ([(-3, 3), (2, 5.5)], False),
    ],
)
def test_a_visit_has_to_lie_between_those_that_the_member_has_already(taken: list[tuple[float, float]], *, has: bool) -> None:
    slots = [(NOW + timedelta(hours=start), NOW + timedelta(hours=end)) for start, end in taken]
    assert has is has_time(WISH, OFFER, slots, NOW)


def test_an_offer_reaches_no_farther_than_it_says() -> None:
    far = replace(WISH, place=Place(community="c1", compound="p2"))
    assert missing(far, replace(OFFER, reach="compound"), NOW) == "out_of_reach"
    assert missing(far, replace(OFFER, reach="community"), NOW) is None


def test_a_full_check_is_good_for_a_year() -> None:
    minor, checked = replace(WISH, age_band="under_18"), replace(OFFER, vetting_level=4)
    assert missing(minor, checked, NOW) is None
    assert missing(minor, replace(checked, checked_at=NOW - timedelta(days=366)), NOW) == "vetting_too_low"


def test_a_full_check_has_to_be_good_on_the_day_of_the_visit() -> None:
    minor = replace(WISH, age_band="under_18", starts_at=NOW + timedelta(hours=2), ends_at=NOW + timedelta(hours=5))
    checked = replace(OFFER, vetting_level=4, windows=((NOW, NOW + timedelta(hours=5)),))
    assert missing(minor, replace(checked, checked_at=minor.starts_at - timedelta(days=365)), NOW) is None
    assert missing(minor, replace(checked, checked_at=NOW - timedelta(days=365, hours=-1)), NOW) == "vetting_too_low"


def test_what_one_can_do_comes_first_then_what_is_urgent_then_what_is_near() -> None:
    cannot = seen(replace(WISH, wish_id="cannot", urgency="red", skills=("erhu",)))
    urgent = seen(replace(WISH, wish_id="urgent", urgency="red", place=Place(community="c2")))
    near = seen(replace(WISH, wish_id="near"))
    far = seen(replace(WISH, wish_id="far", place=Place(community="c1")))
    found = chosen([far, cannot, near, urgent], Choice(everything=True), NOW)
    assert [one.wish.wish_id for one in found] == ["urgent", "near", "far", "cannot"]
    assert [one.wish.wish_id for one in chosen([far, cannot, near, urgent], Choice(), NOW)] == ["urgent", "near", "far"]


def test_a_rung_means_that_circle_and_all_within_it() -> None:
    near, next_door = seen(WISH), seen(replace(WISH, wish_id="w2", place=Place(community="c1", compound="p2")))
    assert chosen([near, next_door], Choice(rung=Rung.COMPOUND), NOW) == [near]
    assert chosen([near, next_door], Choice(rung=Rung.COMMUNITY), NOW) == [near, next_door]


@pytest.mark.parametrize(("when", "ids"), [("today", ["w1"]), ("tomorrow", ["w2"]), ("week", ["w1", "w2"])])
def test_days_are_those_of_the_place(when: str, ids: list[str]) -> None:
    tomorrow = replace(WISH, wish_id="w2", starts_at=NOW + timedelta(hours=13), ends_at=NOW + timedelta(hours=20))
    assert ids == [one.wish.wish_id for one in chosen([seen(WISH), seen(tomorrow)], Choice(when=when), NOW)]


def test_offers_what_is_most_alike_instead_and_only_what_fits() -> None:
    others = [replace(WISH, wish_id="red", urgency="red", category="repair"), replace(WISH, wish_id="alike")]
    unfit = replace(WISH, wish_id="unfit", skills=("erhu",))
    found = next_best([WISH, unfit, *others], [OFFER], HOME, NOW, but="w1", like="household")
    assert found is not None
    assert found.wish.wish_id == "alike"
    assert next_best([WISH, unfit], [OFFER], HOME, NOW, but="w1", like="household") is None


def test_a_card_tells_the_compound_and_no_more() -> None:
    assert seen(WISH).where == ("a", "c1", "p1")
    assert seen(replace(WISH, place=Place(community="c1"))).where == ("a", "c1", None)


@pytest.mark.parametrize("change", [{"age_band": "under_14"}, {"age_band": "under_18"}, {"category": "left_behind_children"}])
def test_of_a_childs_wish_the_wall_tells_neither_title_nor_a_circle_below_the_community(change: dict[str, str]) -> None:
    one = seen(replace(WISH, **change))  # type: ignore[arg-type]
    assert (one.title, one.where, one.near) == (None, ("a", "c1", None), Rung.COMMUNITY)


def test_is_at_home_where_the_offer_says_else_where_the_scope_is() -> None:
    assert home_of([OFFER], Scope("a", "c9")) == HOME
    assert home_of([], Scope("a", "c9", "p9")) == Place(community="c9", compound="p9")
    assert home_of([], Scope("a")) is None


def test_without_an_offer_a_wish_is_shown_and_cannot_be_claimed() -> None:
    one = shown(WISH, [], HOME, NOW)
    assert (one.offer_id, one.missing, one.rung) == (None, "unknown_offer", Rung.UNIT)
