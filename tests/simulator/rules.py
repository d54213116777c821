"""The contract's rules once more, for the judge: what a wish needs, what an offer gives, when a visit can be. Nothing of the core is used.

Instants and lengths are microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.instants import DAY_US, MINUTE_US, micros

LADDER: Final = ("unit", "building", "compound", "community", "area")
WEEK_US: Final = 7 * DAY_US
YEAR_US: Final = 365 * DAY_US
Slot = tuple[int, int]


@dataclass(slots=True)
class Need:
    """A wish, as it was asked. `at`: the event's time."""

    id: str
    at: int
    place: tuple[str, ...]
    skills: frozenset[str]
    languages: frozenset[str]
    start: int
    end: int
    length: int
    minor: bool
    together: bool
    helpers: int
    level: int
    approval: bool
    urgency: str
    proof_for: frozenset[str]


@dataclass(slots=True)
class Gift:
    """An offer, as it was posted last. `rest` in microseconds, 0 and `week` None where nothing is said."""

    id: str
    person: str
    home: tuple[str, ...]
    reach: int
    skills: frozenset[str]
    languages: frozenset[str]
    level: int
    checked: int
    windows: list[Slot]
    capacity: int
    asks: bool
    rest: int
    week: int | None
    proofs: dict[str, int]


def _steps(place: Any) -> tuple[str, ...]:
    return tuple(step for step in (place.community, place.compound, place.building, place.unit) if step is not None)


def need_of(data: Any, at: int, proof_needed: frozenset[str] = frozenset()) -> Need:
    """The need of a `wish.submitted`, where proof is asked of those skills."""
    minor = data.beneficiary.age_band in {"under_14", "under_18"} or data.category == "left_behind_children"
    together = minor or data.accompanied
    return Need(
        id=data.wish_id,
        at=at,
        place=_steps(data.place),
        skills=frozenset(data.skills),
        languages=frozenset(data.languages or ()),
        start=micros(data.window.start),
        end=micros(data.window.end),
        length=data.minutes * MINUTE_US,
        minor=minor,
        together=together,
        helpers=max(data.helpers_needed, 2) if together else data.helpers_needed,
        level=max(data.vetting_min, 4 if minor else 0, 2 if data.beneficiary.lives_alone else 0),
        approval=data.approval == "worker",
        urgency=data.urgency,
        proof_for=proof_needed & set(data.skills),
    )


def gift_of(data: Any) -> Gift:
    """The gift of an `offer.posted`."""
    return Gift(
        id=data.offer_id,
        person=data.volunteer_ref,
        home=_steps(data.home),
        reach=LADDER.index(data.reach),
        skills=frozenset(data.skills),
        languages=frozenset(data.languages or ()),
        level=data.vetting.level,
        checked=micros(data.vetting.checked_at),
        windows=[(micros(window.start), micros(window.end)) for window in data.windows],
        capacity=data.capacity,
        asks=data.accepts == "ask",
        rest=(data.rest_minutes or 0) * MINUTE_US,
        week=data.per_week_max,
        proofs={one.skill: max(micros(other.valid_until) for other in data.proofs if other.skill == one.skill) for one in data.proofs or ()},
    )


def rung(place: tuple[str, ...], home: tuple[str, ...]) -> int:
    """How far apart, 0 to 4: four less the steps that both name and share."""
    shared = 0
    for one, other in zip(place, home, strict=False):
        if one != other:
            break
        shared += 1
    return 4 - shared


def lacking(need: Need, gift: Gift) -> str | None:
    """The first of the reasons, in the contract's order, that neither clock nor company can change."""
    if need.skills - gift.skills:
        return "skill_missing"
    if need.languages and not need.languages & gift.languages:
        return "language_missing"
    if rung(need.place, gift.home) > gift.reach:
        return "out_of_reach"
    return "vetting_too_low" if gift.level < need.level else None


def fresh(need: Need, gift: Gift, start: int) -> bool:
    """Where level 4 is needed: the last check was made before the slot, at most 365 days."""
    return need.level < 4 or 0 <= start - gift.checked <= YEAR_US


def proven(need: Need, gift: Gift, start: int) -> bool:
    """Of each skill that needs it there is a proof that the visit does not outlast."""
    return all(skill in gift.proofs and start + need.length <= gift.proofs[skill] for skill in need.proof_for)


def checked(need: Need, gift: Gift, start: int) -> bool:
    """All that is asked of checks and proofs, for a visit that begins then."""
    return gift.level >= need.level and fresh(need, gift, start) and proven(need, gift, start)


def misfit(need: Need, gift: Gift, start: int, now: int, lately: Iterable[Slot], begun: Sequence[int]) -> str | None:
    """Why a visit cannot begin at `start`, in a word. `lately`: that person's slots, of a week at least; `begun`: when all of them start."""
    end = start + need.length
    if start < now:
        return "past"
    if start < need.start or end > need.end:
        return "wish_window"
    if not any(opens <= start and end <= closes for opens, closes in gift.windows):
        return "offer_window"
    for busy_start, busy_end in lately:
        if start < busy_end and busy_start < end:
            return "overlap"
        if start < busy_end + gift.rest and busy_start < end + gift.rest:
            return "rest"
    if gift.week is not None and _too_many(gift.week, start, begun):
        return "week"
    return None


def _too_many(limit: int, start: int, begun: Sequence[int]) -> bool:
    """Whether more than `limit` slots, the new one among them, would start within less than seven days."""
    firsts = [first for first in {start, *begun} if first <= start < first + WEEK_US]
    return any(sum(first <= one < first + WEEK_US for one in begun) >= limit for first in firsts)


def edges(need: Need, gifts: Iterable[tuple[Gift, Sequence[Slot], Sequence[int]]], now: int) -> list[int]:
    """Every instant at which an earliest visit can begin, in order: something begins or ends there."""
    points = {max(now, need.start)}
    for gift, live, begun in gifts:
        points.update(opens for opens, _ in gift.windows)
        points.update(end + gift.rest for _, end in live)
        points.add(gift.checked)
        if gift.week is not None:
            points.update(one + WEEK_US for one in begun)
    return sorted(point for point in points if max(now, need.start) <= point <= need.end - need.length)


def earliest(need: Need, gift: Gift, now: int, live: Sequence[Slot], begun: Sequence[int]) -> int | None:
    """The earliest start for this pair, vetting aside."""
    return next((start for start in edges(need, [(gift, live, begun)], now) if misfit(need, gift, start, now, live, begun) is None), None)
