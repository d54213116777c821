"""The contract's rules, one function each, and when a visit can be.

Each rule says yes or no about one wish and one offer; :func:`refusal` gives the first reason against a claim in the
contract's order. Instants are microseconds.
"""

from typing import Final, TypeAlias

from services.matcher.core.place import rung_between
from services.matcher.core.state import CHECK_VALID_US, OPEN, VETTING_MAX, WEEK_US, Match, Offer, Wish

SKILL_MISSING: Final = "skill_missing"
LANGUAGE_MISSING: Final = "language_missing"
OUT_OF_REACH: Final = "out_of_reach"
VETTING_TOO_LOW: Final = "vetting_too_low"
NOT_AVAILABLE: Final = "not_available"
OFFER_FULL: Final = "offer_full"

Stretch: TypeAlias = tuple[int, int]


def has_skills(wish: Wish, offer: Offer) -> bool:
    """The offer has all of the wish's skills."""
    return wish.skills <= offer.skills


def has_proofs(wish: Wish, offer: Offer, start: int) -> bool:
    """Where the area asks for proof of a wished skill, the offer's is valid until the end of the visit."""
    return not wish.proof_for or all(offer.proofs.get(skill, 0) >= start + wish.length for skill in wish.proof_for)


def speaks(wish: Wish, offer: Offer) -> bool:
    """Where the wish names languages, the offer shares one."""
    return wish.languages is None or not wish.languages.isdisjoint(offer.languages)


def within_reach(wish: Wish, offer: Offer) -> bool:
    """The rung between them is not wider than the volunteer goes."""
    return rung_between(wish.place, offer.home) <= offer.reach


def is_vetted(wish: Wish, offer: Offer) -> bool:
    """The level of checks that the wish needs; how fresh they are depends on the slot."""
    return offer.level >= wish.vetting


def check_is_fresh(wish: Wish, offer: Offer, start: int) -> bool:
    """Where the highest level is needed, the last check lies within 365 days before the slot."""
    return wish.vetting < VETTING_MAX or offer.checked_at <= start <= offer.checked_at + CHECK_VALID_US


def is_safe(match: Match) -> bool:
    """Whether the rules about checks and proofs still let this visit be: the offer may have been posted again since, with others."""
    wish, offer, start = match.wish, match.offer, match.start
    return is_vetted(wish, offer) and check_is_fresh(wish, offer, start) and has_proofs(wish, offer, start)


def has_capacity(offer: Offer) -> bool:
    """The volunteer takes one more live match."""
    return offer.live < offer.capacity


def may_meet(wish: Wish, offer: Offer) -> bool:
    """They were not parted before, and neither this offer nor this person is one of the wish's helpers already."""
    return offer.id not in wish.barred and not (wish.matches and (offer.id in wish.matches or wish.has_volunteer(offer.volunteer.ref)))


def may_join(wish: Wish, offer: Offer) -> bool:
    """What a member of a group must be, whenever its slot is; skills and reach the index has seen to."""
    return is_vetted(wish, offer) and speaks(wish, offer) and may_meet(wish, offer)


def taken(offer: Offer, length: int, now: int) -> list[Stretch]:
    """What a slot of this offer and `length` must be clear of, sorted; such stretches may overlap.

    The volunteer's live slots, each with the rest before and after it; the rest after the last visit that is over (one that was closed early was over then);
    and, where so many visits begin within a week that one more would be too many, all that lies less than a week from both the first and the last of them.
    """
    rest, most, starts = offer.rest, offer.per_week_max, offer.volunteer.starts
    stretches = [(busy_start - rest, busy_end + rest) for busy_start, busy_end in offer.volunteer.slots]
    if rest and offer.volunteer.visits and offer.volunteer.last_at + rest > now:
        stretches.append((now, offer.volunteer.last_at + rest))
    if most is not None:
        # No start may lie between `last - WEEK_US` and `first + WEEK_US`; a slot that begins at the former is over `length` later.
        full = [(first, last) for first, last in zip(starts, starts[most - 1 :], strict=False) if last - first < WEEK_US]
        stretches += [(last - WEEK_US + length, first + WEEK_US) for first, last in full]
    stretches.sort()
    return stretches


def earliest_start(wish: Wish, offer: Offer, now: int) -> int | None:
    """The earliest start of a visit, or None.

    Inside the wish's window and one of the offer's, not before now, and clear of what the volunteer does already, with the rest and the limit a week
    that the offer names.
    """
    length = wish.length
    earliest = max(now, wish.start)
    latest = wish.end - length
    if earliest > latest:
        return None
    busy = taken(offer, length, now) if offer.capped else offer.volunteer.slots
    best: int | None = None
    for opens, closes in offer.windows:
        start = max(earliest, opens)
        if best is not None and start >= best:
            break
        last = closes - length
        last = min(last, latest)
        if start > last:
            continue
        for busy_start, busy_end in busy:
            if busy_start >= start + length:
                break
            start = max(start, busy_end)
        if start <= last and (best is None or start < best):
            best = start
    return best


def last_start(wish: Wish, offer: Offer, now: int) -> int | None:
    """The last instant at which a visit could begin; None where the rules allow none at all. Skills, reach and capacity the index has seen to."""
    if offer.level < wish.vetting or (wish.languages is not None and not speaks(wish, offer)):
        return None
    if (wish.barred or wish.matches) and not may_meet(wish, offer):
        return None
    earliest, latest, length = max(now, wish.start), wish.end, wish.length
    proves = wish.vetting >= VETTING_MAX or wish.proof_for
    if proves:
        fresh_until = offer.checked_at + CHECK_VALID_US if wish.vetting >= VETTING_MAX else latest
        latest = min(latest, fresh_until + length, *(offer.proofs.get(skill, 0) for skill in wish.proof_for))
    for opens, closes in offer.latest_first:
        last = (latest if latest < closes else closes) - length  # noqa: FURB136 - a call to min would cost more than all the rest here
        if last >= opens and last >= earliest:
            break
    else:
        return None
    # Only who has visits already, must have been checked or must prove a skill, needs a closer look.
    if proves:
        start = earliest_start(wish, offer, now)
        if start is None or not check_is_fresh(wish, offer, start) or not has_proofs(wish, offer, start):
            return None
    if offer.volunteer.starts:
        return max((until for _, until in possible_starts(wish, offer, now)), default=None)
    return last


def possible_starts(wish: Wish, offer: Offer, now: int) -> list[Stretch]:
    """All starts of a visit, as closed stretches in order: what :func:`earliest_start` takes the first of.

    Where the highest vetting level is needed, only starts at which the last check is fresh; where proof is needed, only visits that it outlasts.
    """
    length = wish.length
    earliest = max(wish.start, now)
    latest = wish.end - length
    if wish.vetting >= VETTING_MAX:
        earliest = max(earliest, offer.checked_at)
        latest = min(latest, offer.checked_at + CHECK_VALID_US)
    if wish.proof_for:
        latest = min(latest, *(offer.proofs.get(skill, 0) - length for skill in wish.proof_for))
    busy = taken(offer, length, now) if offer.capped else offer.volunteer.slots
    stretches: list[Stretch] = []
    for opens, closes in offer.windows:
        start = max(opens, earliest)
        last = min(closes - length, latest)
        for busy_start, busy_end in busy:
            if start > last or busy_start >= last + length:
                break
            if busy_end <= start:
                continue
            if busy_start - length >= start:
                stretches.append((start, busy_start - length))
            start = max(start, busy_end)
        if start <= last:
            stretches.append((start, last))
    stretches.sort()
    return stretches


def refusal(wish: Wish, offer: Offer, now: int) -> str | None:
    """The first reason why this volunteer cannot have this wish, or None. Places and seconds are judged elsewhere."""
    if not has_skills(wish, offer):
        return SKILL_MISSING
    start = earliest_start(wish, offer, now)
    visit = max(wish.start, now) if start is None else start
    if not has_proofs(wish, offer, visit):
        return SKILL_MISSING
    if not speaks(wish, offer):
        return LANGUAGE_MISSING
    if not within_reach(wish, offer):
        return OUT_OF_REACH
    if not is_vetted(wish, offer) or not check_is_fresh(wish, offer, visit):
        return VETTING_TOO_LOW
    if start is None or offer.status != OPEN or not may_meet(wish, offer):
        return NOT_AVAILABLE
    if not has_capacity(offer):
        return OFFER_FULL
    return None
