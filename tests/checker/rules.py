"""The contract's Rules, written a second time: skills, languages, reach, vetting, slots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tests.checker.model import Area, Interval, Offer, Wish

RUNGS = ("unit", "building", "compound", "community", "area")
YEAR = timedelta(days=365)
Candidate = tuple[Offer, Sequence[Interval]]


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


def first_refusal(wish: Wish, offer: Offer) -> str | None:
    """The first refusal reason, in the contract's order, that needs no clock; None where all is well."""
    if not has_skills(wish, offer):
        return "skill_missing"
    if not shares_language(wish, offer):
        return "language_missing"
    if not within_reach(wish, offer):
        return "out_of_reach"
    return None if is_vetted(wish, offer) else "vetting_too_low"


def fits(wish: Wish, offer: Offer, busy: Iterable[Interval], start: datetime) -> bool:
    """Whether a slot from `start` is inside the wish's window and one of the offer's, and clear of `busy`."""
    slot = Interval(start, start + wish.minutes)
    if not wish.window.covers(slot) or not any(window.covers(slot) for window in offer.windows):
        return False
    return not any(slot.overlaps(other) for other in busy)


def starts(wish: Wish, candidates: Iterable[Candidate], now: datetime) -> list[datetime]:
    """Every instant at which an earliest slot can begin: it is pushed there by something that ends or begins."""
    lower = max(now, wish.window.start)
    last = wish.window.end - wish.minutes
    points = {lower}
    for offer, busy in candidates:
        points.update(window.start for window in offer.windows)
        points.update(other.end for other in busy)
    return sorted(point for point in points if lower <= point <= last)


def earliest(wish: Wish, offer: Offer, busy: Sequence[Interval], now: datetime) -> datetime | None:
    """The start of the earliest slot for the pair, None where there is none."""
    return next((s for s in starts(wish, [(offer, busy)], now) if fits(wish, offer, busy, s)), None)


def earliest_shared(wish: Wish, candidates: Sequence[Candidate], now: datetime, must: str | None = None) -> datetime | None:
    """The start of the earliest slot that two different volunteers (`must` among them) certainly can."""
    for start in starts(wish, candidates, now):
        able = {offer.volunteer_ref for offer, busy in candidates if fits(wish, offer, busy, start) and freshness(wish, offer, start) == "fresh"}
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


def certain_slot(area: Area, wish: Wish, offer: Offer) -> datetime | None:
    """The start of the slot that the pair certainly could have now, None where there is any doubt."""
    if not could_be_asked(area, wish, offer):
        return None
    start = earliest(wish, offer, area.busy(offer.volunteer_ref), area.clock)
    return start if start is not None and freshness(wish, offer, start) == "fresh" else None


def candidates_for(area: Area, wish: Wish, auto_only: bool = True) -> list[Candidate]:
    """All open offers that nothing bars for certain, each with its volunteer's live slots."""
    return [(offer, area.busy(offer.volunteer_ref)) for offer in area.offers.values() if (offer.auto or not auto_only) and could_be_asked(area, wish, offer)]
