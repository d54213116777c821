"""A wish as its resident follows it, pure: how far it is, and what they can say."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.gateway.words import Words


@dataclass(frozen=True, slots=True)
class MyWish:
    """A wish, as its resident is shown it."""

    area: str
    wish_id: str
    community: str
    compound: str | None
    building: str | None
    category: str
    urgency: str
    title: str
    starts_at: datetime
    ends_at: datetime
    minutes: int
    state: str
    resident_ref: str
    live: int
    helpers_needed: int
    changed_at: datetime
    corrected: bool = False
    """Whether it is closed, and was found later not to be done."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in {"closed", "withdrawn", "expired"}


@dataclass(frozen=True, slots=True)
class Visit:
    """One helper's match with a wish; who it is, is not said here."""

    match_id: str
    offer_id: str
    state: str
    rung: str | None
    starts_at: datetime
    ends_at: datetime
    outcome: str | None
    organisation: str | None
    told: bool = False
    """Whether somebody has said already how it went."""
    corrected: bool = False
    """Whether its end was booked more than once; `outcome` is the last."""


STEPS: Final[tuple[Words, ...]] = (
    ("已提出", "Wished"),
    ("找帮手", "Looking"),
    ("已约好", "Settled"),
    ("上门", "Visit"),
    ("办好", "Done"),
)
_STEP_OF_MATCH: Final = {"proposed": 1, "agreed": 1, "confirmed": 2, "started": 3, "finished": 3, "closed": 4}


def step(wish: MyWish, visits: list[Visit]) -> int:
    """How far a wish is on the way, as an index of `STEPS`."""
    if wish.state == "closed":
        return len(STEPS) - 1
    return max((_STEP_OF_MATCH.get(visit.state, 1) for visit in visits if visit.state != "closed"), default=1)


def can_withdraw(wish: MyWish, visits: list[Visit], now: datetime) -> bool:
    """Whether it can still be taken back: while a helper is looked for, or one is still to come.

    Once all who were to come are there, a withdrawal would release their matches, and take their hours for good.
    """
    if wish.state not in {"held", "matched"}:
        return wish.state == "open"
    live = [visit for visit in visits if visit.state != "closed"]
    return not live or not all(has_begun(visit, now) for visit in live)


def has_begun(visit: Visit, now: datetime) -> bool:
    """Whether a visit was reported begun or over, or its time has come and both sides knew of it."""
    return visit.state in {"started", "finished"} or (visit.state == "confirmed" and visit.starts_at <= now)


def to_acknowledge(visits: list[Visit], now: datetime) -> Visit | None:
    """The visit about which the resident's word is awaited: one that has begun, or whose time has come."""
    ready = [visit for visit in visits if awaits_word(visit, now)]
    return ready[-1] if ready else None


def awaits_word(visit: Visit, now: datetime) -> bool:
    """Whether nobody has said yet how a visit went that has begun, or whose time has come."""
    return not visit.told and has_begun(visit, now)
