"""The claim wall, pure: which open wishes a member is shown, in which order, how much of each, and which is the next best.

Whether a claim is granted is the matcher's word alone; what is said here of fit (`missing`) only orders the wall and warns.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.place import Place, Rung
from services.gateway.roles import Scope
from services.gateway.words import LOCAL

RUNG_ORDER: Final = tuple(Rung)
_URGENT: Final = {"red": 0, "yellow": 1, "blue": 2}
_MINOR: Final = frozenset({"under_14", "under_18"})
_FULL_CHECK, _ALONE_CHECK = 4, 2
_CHECK_DAYS: Final = 365
WHEN: Final = ("today", "tomorrow", "week")


@dataclass(frozen=True, slots=True)
class OpenWish:
    """A wish that waits, as it is kept. `place` is never shown below the compound."""

    area: str
    wish_id: str
    place: Place
    category: str
    urgency: str
    title: str
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    minutes: int
    helpers_needed: int
    live: int
    age_band: str
    lives_alone: bool
    vetting_min: int
    approval: str
    accompanied: bool

    @property
    def minor(self) -> bool:
        """Whether it is for a child: then neither its title nor a circle below the community is told before acceptance."""
        return self.age_band in _MINOR or self.category == "left_behind_children"

    @property
    def together(self) -> bool:
        """Whether at least two have to come in one slot."""
        return self.accompanied or self.minor

    @property
    def vetting(self) -> int:
        """The level of checks that it takes."""
        if self.minor:
            return _FULL_CHECK
        return max(self.vetting_min, _ALONE_CHECK if self.lives_alone else 0)


@dataclass(frozen=True, slots=True)
class MyOffer:
    """What the member is ready to do."""

    area: str
    offer_id: str
    home: Place | None
    reach: str
    skills: frozenset[str]
    languages: frozenset[str]
    vetting_level: int
    checked_at: datetime | None
    windows: tuple[tuple[datetime, datetime], ...]
    is_full: bool = False
    """Whether it has as many live visits as it takes at once, as far as has been looked."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the member chose to see; None is all."""

    rung: Rung | None = None
    category: str | None = None
    when: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A wish as the wall shows it: the compound at most. `missing`: why a claim would hardly be granted; `offer_id`: with which offer it is made."""

    wish: OpenWish
    rung: Rung
    offer_id: str | None
    missing: str | None

    @property
    def where(self) -> tuple[str | None, ...]:
        """As much of the place as may be known before acceptance: area, community, compound."""
        return self.wish.area, self.wish.place.community, None if self.wish.minor else self.wish.place.compound

    @property
    def title(self) -> str | None:
        """What may be told of it before acceptance."""
        return None if self.wish.minor else self.wish.title

    @property
    def near(self) -> Rung:
        """How near it is, as far as that may be told."""
        return told_rung(self.wish, self.rung)


def told_rung(wish: OpenWish, rung: Rung) -> Rung:
    """How near a wish is, as far as that may be told before acceptance: of a child's no nearer than the community, for how near it is tells where."""
    return max(rung, Rung.COMMUNITY, key=RUNG_ORDER.index) if wish.minor else rung


def rung_between(place: Place, home: Place | None) -> Rung:
    """The smallest circle that both name and share; an unknown home is somewhere in the area."""
    if home is None:
        return Rung.AREA
    rung = Rung.AREA
    for one, theirs, mine in zip(
        (Rung.COMMUNITY, Rung.COMPOUND, Rung.BUILDING, Rung.UNIT),
        (place.community, place.compound, place.building, place.unit),
        (home.community, home.compound, home.building, home.unit),
        strict=True,
    ):
        if theirs is None or theirs != mine:
            break
        rung = one
    return rung


def missing(wish: OpenWish, offer: MyOffer, now: datetime) -> str | None:
    """The first reason for which the matcher would likely say no, in the contract's order; None where there is none."""
    if not offer.skills.issuperset(wish.skills):
        return "skill_missing"
    if wish.languages and offer.languages.isdisjoint(wish.languages):
        return "language_missing"
    if RUNG_ORDER.index(rung_between(wish.place, offer.home)) > RUNG_ORDER.index(Rung(offer.reach)):
        return "out_of_reach"
    if offer.vetting_level < wish.vetting:
        return "vetting_too_low"
    if wish.vetting == _FULL_CHECK and (offer.checked_at is None or offer.checked_at < max(wish.starts_at, now) - timedelta(days=_CHECK_DAYS)):
        return "vetting_too_low"
    needed = timedelta(minutes=wish.minutes)
    if not any(min(end, wish.ends_at) - max(start, wish.starts_at, now) >= needed for start, end in offer.windows):
        return "not_available"
    return "offer_full" if offer.is_full else None


def has_time(wish: OpenWish, offer: MyOffer, taken: Iterable[tuple[datetime, datetime]], now: datetime) -> bool:
    """Whether a visit still lies between what the member has to do already: in the wish's window and in one of the offer's."""
    needed, busy = timedelta(minutes=wish.minutes), sorted(taken)
    for opens, closes in offer.windows:
        start, end = max(opens, wish.starts_at, now), min(closes, wish.ends_at)
        for other_start, other_end in busy:
            if start < other_end and other_start < start + needed:
                start = other_end
        if end - start >= needed:
            return True
    return False


def shown(wish: OpenWish, offers: Sequence[MyOffer], home: Place | None, now: datetime) -> Shown:
    """A wish beside the offer of the member that fits it best."""
    of_area = [offer for offer in offers if offer.area == wish.area]
    judged = [(missing(wish, offer, now), offer) for offer in of_area]
    fits = [offer for why, offer in judged if why is None]
    best = min(fits or of_area, key=lambda offer: RUNG_ORDER.index(rung_between(wish.place, offer.home)), default=None)
    rung = rung_between(wish.place, best.home if best is not None and best.home is not None else home)
    why = "unknown_offer" if best is None else next(why for why, offer in judged if offer is best)
    return Shown(wish, rung, None if best is None else best.offer_id, why)


def order(one: Shown) -> tuple[bool, int, int, datetime, str]:
    """What one can do comes first, then what is urgent, what is near as far as that may be told, what is soon."""
    return (one.missing is not None, _URGENT.get(one.wish.urgency, 3), RUNG_ORDER.index(one.near), one.wish.ends_at, one.wish.wish_id)


def chosen(all_of_them: Iterable[Shown], choice: Choice, now: datetime) -> list[Shown]:
    """What the filters leave, in order. A rung means that circle and all within it."""
    return sorted((one for one in all_of_them if _passes(one, choice, now)), key=order)


def _passes(one: Shown, choice: Choice, now: datetime) -> bool:
    if choice.rung is not None and RUNG_ORDER.index(one.near) > RUNG_ORDER.index(choice.rung):
        return False
    if choice.category is not None and one.wish.category != choice.category:
        return False
    if choice.when is not None and not _is_wanted(one.wish, choice.when, now):
        return False
    return choice.everything or one.missing is None


def wanted_between(when: str | None, now: datetime) -> tuple[datetime, datetime] | tuple[None, None]:
    """The time in which something has to be wanted, of which nothing is past: days are those of the place. Without a choice there is none."""
    if when is None:
        return None, None
    midnight = now.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)
    first, days = {"today": (0, 1), "tomorrow": (1, 1), "week": (0, 7)}[when]
    return max(midnight + timedelta(days=first), now), midnight + timedelta(days=first + days)


def _is_wanted(wish: OpenWish, when: str, now: datetime) -> bool:
    start, end = wanted_between(when, now)
    return start is not None and end is not None and wish.starts_at < end and wish.ends_at > start


def next_best(wishes: Iterable[OpenWish], offers: Sequence[MyOffer], home: Place | None, now: datetime, *, but: str, like: str | None) -> Shown | None:
    """What to offer somebody who did not get a wish: one that fits, of the same category where there is one.

    The first that fits ends the search: many ask this at once.
    """
    others = [wish for wish in wishes if wish.wish_id != but]
    others.sort(
        key=lambda wish: (wish.category != like, _URGENT.get(wish.urgency, 3), RUNG_ORDER.index(told_rung(wish, rung_between(wish.place, home))), wish.ends_at)
    )
    judged = (shown(wish, offers, home, now) for wish in others)
    return next((one for one in judged if one.missing is None), None)


def home_of(offers: Sequence[MyOffer], scope: Scope) -> Place | None:
    """Where a member is at home: as their offer says, else as far as their scope is narrowed."""
    named = next((offer.home for offer in offers if offer.home is not None), None)
    if named is not None or scope.community is None:
        return named
    return Place(community=scope.community, compound=scope.compound, building=scope.building, unit=scope.unit)
