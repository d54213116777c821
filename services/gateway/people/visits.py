"""A member's own side, pure: what they can do with a match in each state, their hours and stars."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from services.gateway.words import LOCAL, MATCH_STATES, WAITS_FOR, Words, word
from services.tariff import Tariff


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
    approved: bool = False
    corrected: bool = False
    """Whether its end was booked more than once."""
    community: str | None = None

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
    community: str | None
    compound: str | None


# What a member says about a match -> the event that says it.
EVENTS: Final = {
    "accept": "lastmetre.match.accepted.v1",
    "decline": "lastmetre.match.declined.v1",
    "start": "lastmetre.service.started.v1",
    "finish": "lastmetre.service.finished.v1",
}
_EARLY: Final = timedelta(hours=1)
# How long a visit took, to choose from beside what was planned.
MINUTES: Final = (30, 45, 60, 90, 120, 150, 180)
SAID: Final = {"accept": "accepted", "decline": "declined", "start": "started", "finish": "finished"}


def actions(match: MyMatch, now: datetime) -> tuple[str, ...]:
    """What can be said now, the most likely first. A word that comes late is taken as well: it is what happened.

    Nobody is there more than an hour before a visit begins, and until it begins whoever said so may still call off.
    """
    if match.state == "proposed":
        asked = match.needs_answer and not match.answered and (match.expires_at is None or match.expires_at > now)
        return ("accept", "decline") if asked else ("decline",)
    if match.state == "agreed":
        return ("decline",)
    if match.state == "confirmed":
        if now < match.starts_at - _EARLY:
            return ("decline",)
        return ("start", "decline") if now < match.ends_at else ("start", "finish")
    if match.state == "started":
        return ("finish", "decline") if now < match.starts_at else ("finish",)
    return ()


@dataclass(frozen=True, slots=True)
class Booked:
    """A visit as the books hold it, corrections included: how it ended, the minutes that count, their points in hundredths; `starts_at` is its slot's."""

    match_id: str
    starts_at: datetime
    outcome: str
    minutes: int
    points: int
    corrected: bool


def as_booked(match: MyMatch, books: Mapping[str, Booked]) -> MyMatch:
    """A closed match with what the books hold of it by now: `match.closed` told the first end alone. Of one that they do not know, what it told."""
    booked = books.get(match.match_id)
    if match.state != "closed" or booked is None:
        return match
    return replace(match, outcome=booked.outcome, minutes=booked.minutes, corrected=booked.corrected)


def state_words(match: MyMatch) -> Words:
    """The state of a match as its helper reads it: of one that was proposed, whose word it waits for."""
    if match.state != "proposed" or (match.needs_answer and not match.answered):
        return word(MATCH_STATES, match.state)
    waits_for = "approval" if match.needs_approval and not match.approved else "companion" if match.together else "notices"
    zh, en = WAITS_FOR[waits_for]
    return (f"已答应，{zh}", f"You said yes; {en}") if match.answered else (zh, en[0].upper() + en[1:])


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member has given: minutes that count, points in hundredths, visits, stars of five, and how far it is from the last to the next, in hours.

    `this_month` are the minutes of visits whose slot began in this month of China's calendar.
    """

    minutes: int
    points: int
    this_month: int
    visits: int
    stars: int
    last_hours: int
    next_hours: int | None

    @property
    def missing(self) -> int:
        """The minutes that are missing for the next star, 0 where there is none."""
        return 0 if self.next_hours is None else self.next_hours * 60 - self.minutes

    @property
    def share(self) -> float:
        """How far on the way from the last star to the next, 0..1, in thousandths, rounded down: the way is whole with the star alone."""
        if self.next_hours is None:
            return 1.0
        return (self.minutes - self.last_hours * 60) * 1000 // ((self.next_hours - self.last_hours) * 60) / 1000


def standing(books: Iterable[Booked], now: datetime, tariff: Tariff) -> Standing:
    """From what the books hold; the tariff's part are the stars alone, as hours and points were reckoned when they were booked."""
    visits = list(books)
    minutes = sum(each.minutes for each in visits)
    stars, hours = tariff.stars(minutes), (0, *tariff.star_hours)
    return Standing(
        minutes,
        sum(each.points for each in visits),
        sum(each.minutes for each in visits if _month(each.starts_at) == _month(now)),
        sum(each.minutes > 0 for each in visits),
        stars,
        hours[stars],
        hours[stars + 1] if stars < len(tariff.star_hours) else None,
    )


def _month(at: datetime) -> tuple[int, int]:
    local = at.astimezone(LOCAL)
    return local.year, local.month
