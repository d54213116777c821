"""A member's own side, pure: what they can do with a match in each state, their hours and stars."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.gateway.words import LOCAL
from services.tariff import POINT, Tariff


@dataclass(frozen=True, slots=True)
class MyMatch:
    """A match of the member's own, with what its stage allows to know of the wish. `building` is None before acceptance."""

    area: str
    match_id: str
    wish_id: str
    offer_id: str
    resident_ref: str
    volunteer_ref: str
    state: str
    rung: str
    starts_at: datetime
    ends_at: datetime
    needs_answer: bool
    needs_approval: bool
    expires_at: datetime | None
    release_reason: str | None
    outcome: str | None
    minutes: int | None
    closed_at: datetime | None
    category: str | None
    title: str | None
    compound: str | None
    building: str | None
    together: bool
    answered: bool = False

    @property
    def live(self) -> bool:
        """Whether something is still to come of it."""
        return self.state not in {"closed", "released"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """Several were asked; the first yes makes the match."""

    area: str
    wish_id: str
    offer_id: str
    rung: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    expires_at: datetime
    category: str | None
    title: str | None
    compound: str | None


# What a member says about a match -> the event that says it.
EVENTS: Final = {
    "accept": "lastmetre.match.accepted.v1",
    "decline": "lastmetre.match.declined.v1",
    "start": "lastmetre.service.started.v1",
    "finish": "lastmetre.service.finished.v1",
}
SAID: Final = {"accept": "accepted", "decline": "declined", "start": "started", "finish": "finished"}


def actions(match: MyMatch, now: datetime) -> tuple[str, ...]:
    """What can be said now, the most likely first. A word that comes late is taken as well: it is what happened."""
    if match.state == "proposed":
        asked = match.needs_answer and not match.answered and (match.expires_at is None or match.expires_at > now)
        return ("accept", "decline") if asked else ("decline",)
    if match.state == "agreed":
        return ("decline",)
    if match.state == "confirmed":
        return ("start", "decline") if now < match.ends_at else ("start", "finish")
    if match.state == "started":
        return ("finish",)
    return ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member has given: counted minutes, their points, visits, stars of five, and how far it is from the last to the next, in hours."""

    minutes: int
    points: float
    this_month: int
    visits: int
    stars: int
    last_hours: int
    next_hours: int | None

    @property
    def share(self) -> float:
        """How far on the way from the last star to the next, 0..1."""
        return 1.0 if self.next_hours is None else (self.minutes / 60 - self.last_hours) / (self.next_hours - self.last_hours)


def standing(closed: Iterable[tuple[int, datetime]], now: datetime, tariff: Tariff) -> Standing:
    """From the closed matches: their minutes, and when each was closed."""
    visits = [(tariff.counted(minutes), at) for minutes, at in closed]
    month = now.astimezone(LOCAL).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    minutes = sum(each for each, _ in visits)
    stars, hours = tariff.stars(minutes), (0, *tariff.star_hours)
    return Standing(
        minutes,
        sum(tariff.points(each) for each, _ in visits) / POINT,
        sum(each for each, at in visits if at >= month),
        sum(each > 0 for each, _ in visits),
        stars,
        hours[stars],
        hours[stars + 1] if stars < len(tariff.star_hours) else None,
    )
