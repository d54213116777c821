"""The contract's Rules, written a second time: skills, languages, reach, vetting, slots, rest and the limit a week."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tests.checker.model import Area, Diary, Interval, Offer, Wish

RUNGS = ("unit", "building", "compound", "community", "area")
YEAR = timedelta(days=365)
WEEK = timedelta(days=7)
Candidate = tuple[Offer, Diary]


def rung(place: tuple[str, ...], home: tuple[str, ...]) -> str:
    """The smallest circle that both places name and share."""
    shared = 0
    for one, other in zip(place, home, strict=False):
        if one != other:
            break
        shared += 1
    return RUNGS[len(RUNGS) - 1 - shared]


def has_skills(wish: Wish, offer: Offer) -> bool:
    """The offer has all of the wish's skills."""
    return wish.skills <= offer.skills


def shares_language(wish: Wish, offer: Offer) -> bool:
    """Where the wish names languages, the offer shares one."""
    return not wish.languages or bool(wish.languages & offer.languages)


def within_reach(wish: Wish, offer: Offer) -> bool:
    """The rung between both is not wider than the offer's reach."""
    return RUNGS.index(rung(wish.place, offer.home)) <= RUNGS.index(offer.reach)


def is_vetted(wish: Wish, offer: Offer) -> bool:
    """The level suffices, whatever its age."""
    return offer.level >= wish.level


def freshness(wish: Wish, offer: Offer, start: datetime) -> str:
    """`fresh`, `stale`, or `edge` (to the microsecond on a boundary): the age of the vetting at the slot's start.

    Only level 4 asks for it. A check dated after the slot began is not "within 365 days before the slot": stale.
    """
    if wish.level < 4:
        return "fresh"
    if offer.checked_at in (start, start - YEAR):
        return "edge"
    return "fresh" if start - YEAR < offer.checked_at < start else "stale"


def check_holds(wish: Wish, offer: Offer, start: datetime) -> str:
    """`yes`, `no`, or `edge`: whether the checks, as they are said to be now, allow a visit from `start`."""
    if not is_vetted(wish, offer):
        return "no"
    return {"fresh": "yes", "stale": "no", "edge": "edge"}[freshness(wish, offer, start)]


def first_refusal(wish: Wish, offer: Offer) -> str | None:
    """The first refusal reason, in the contract's order, that needs no clock; None where all is well."""
    if not has_skills(wish, offer):
        return "skill_missing"
    if not shares_language(wish, offer):
        return "language_missing"
    if not within_reach(wish, offer):
        return "out_of_reach"
    return None if is_vetted(wish, offer) else "vetting_too_low"


def unrested(offer: Offer, diary: Diary, slot: Interval) -> Interval | None:
    """A slot, live or over, that is nearer to this one than the rest that the offer asks for."""
    guarded = Interval(slot.start - offer.rest, slot.end + offer.rest)
    return next((other for other in (*diary.busy, *diary.lately) if guarded.overlaps(other)), None)


def within_week(offer: Offer, diary: Diary, start: datetime) -> bool:
    """Whether a slot from `start` leaves no week, wherever it is counted from, with more slots than the offer allows."""
    if offer.per_week_max is None:
        return True
    near = sorted([start, *(other for other in diary.starts if abs(other - start) < WEEK)])
    return all(sum(first <= other < first + WEEK for other in near) <= offer.per_week_max for first in near if first <= start)


def fits(wish: Wish, offer: Offer, diary: Diary, start: datetime) -> bool:
    """Whether a slot from `start` is inside the wish's window and one of the offer's, and goes with what the volunteer does already."""
    slot = Interval(start, start + wish.minutes)
    if not wish.window.covers(slot) or not any(window.covers(slot) for window in offer.windows):
        return False
    return unrested(offer, diary, slot) is None and within_week(offer, diary, start)


def starts(wish: Wish, candidates: Iterable[Candidate], now: datetime) -> list[datetime]:
    """Every instant at which an earliest slot can begin: it is pushed there by something that ends or begins."""
    lower = max(now, wish.window.start)
    last = wish.window.end - wish.minutes
    points = {lower}
    for offer, diary in candidates:
        points.update(window.start for window in offer.windows)
        points.update(other.end + offer.rest for other in (*diary.busy, *diary.lately))
        if offer.per_week_max is not None:
            points.update(other + WEEK for other in diary.starts)
    return sorted(point for point in points if lower <= point <= last)


def earliest(wish: Wish, offer: Offer, diary: Diary, now: datetime) -> datetime | None:
    """The start of the earliest slot for the pair, None where there is none."""
    return next((s for s in starts(wish, [(offer, diary)], now) if fits(wish, offer, diary, s)), None)


def earliest_shared(wish: Wish, candidates: Sequence[Candidate], now: datetime, must: str | None = None) -> datetime | None:
    """The start of the earliest slot that two different volunteers (`must` among them) certainly can."""
    for start in starts(wish, candidates, now):
        able = {offer.volunteer_ref for offer, diary in candidates if fits(wish, offer, diary, start) and freshness(wish, offer, start) == "fresh"}
        if len(able) >= 2 and (must is None or must in able):
            return start
    return None


def could_be_asked(area: Area, wish: Wish, offer: Offer) -> bool:
    """Whether, the clock and the slot aside, nothing bars this pair for certain."""
    if not offer.open or offer.odd or (wish.wish_id, offer.offer_id) in area.barred:
        return False
    if first_refusal(wish, offer) is not None:
        return False
    if any(m.volunteer_ref == offer.volunteer_ref for m in area.helpers(wish.wish_id)):
        return False
    return len(area.live_of_offer(offer.offer_id)) < offer.capacity


def certain_slot(area: Area, wish: Wish, offer: Offer, *, edge: bool = False) -> datetime | None:
    """The start of the slot that the pair certainly could have now, None where there is any doubt; with `edge` a check on its very boundary is none."""
    if not could_be_asked(area, wish, offer):
        return None
    start = earliest(wish, offer, area.diary(offer.volunteer_ref), area.clock)
    return start if start is not None and freshness(wish, offer, start) in {"fresh", "edge" if edge else "fresh"} else None


def candidates_for(area: Area, wish: Wish, auto_only: bool = True) -> list[Candidate]:
    """All open offers that nothing bars for certain, each with its volunteer's diary."""
    return [(offer, area.diary(offer.volunteer_ref)) for offer in area.offers.values() if (offer.auto or not auto_only) and could_be_asked(area, wish, offer)]
