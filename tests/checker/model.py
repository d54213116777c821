"""The checker's own picture of an area: wishes, offers and matches as the journal tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.checker.wire import JsonObject, parse_time

LADDER = ("community", "compound", "building", "unit")
MINORS = ("under_14", "under_18")


class NotUnderstood(ValueError):
    """A journalled event lacks what the checker needs to judge it."""


@dataclass(frozen=True)
class Interval:
    """From `start` until just before `end`."""

    start: datetime
    end: datetime

    def overlaps(self, other: Interval) -> bool:
        """Whether they share more than an edge."""
        return self.start < other.end and other.start < self.end

    def covers(self, other: Interval) -> bool:
        """Whether the other lies wholly inside this one."""
        return self.start <= other.start and other.end <= self.end

    def __str__(self) -> str:
        return f"{self.start.isoformat()}/{self.end.isoformat()}"


@dataclass(frozen=True)
class Diary:
    """What a volunteer does in an area: `busy`, the live slots; `starts`, when those and the ones that are over begin; `lately`, the slots of the last week."""

    busy: tuple[Interval, ...]
    starts: tuple[datetime, ...]
    lately: tuple[Interval, ...] = ()


@dataclass
class Wish:
    """A wish as submitted, and whether it is over."""

    wish_id: str
    place: tuple[str, ...]
    skills: frozenset[str]
    languages: frozenset[str]
    urgency: str
    window: Interval
    minutes: timedelta
    together: bool
    need: int
    level: int
    worker: bool
    resident_ref: str
    withdrawn: bool = False
    expired: bool = False

    @property
    def open(self) -> bool:
        """Neither withdrawn nor expired; it may be filled."""
        return not self.withdrawn and not self.expired


@dataclass
class Offer:
    """An offer as last posted, `said_at` that time. `rest`: between two visits. `odd`: it was withdrawn before it came."""

    offer_id: str
    volunteer_ref: str
    home: tuple[str, ...]
    reach: str
    skills: frozenset[str]
    languages: frozenset[str]
    level: int
    checked_at: datetime
    windows: tuple[Interval, ...]
    capacity: int
    auto: bool
    rest: timedelta
    per_week_max: int | None
    odd: bool = False
    open: bool = True
    said_at: datetime | None = None


@dataclass
class Match:
    """A proposed match and what became of it."""

    match_id: str
    wish_id: str
    offer_id: str
    volunteer_ref: str
    slot: Interval
    rung: str
    how: str
    at: datetime
    needs_answer: bool
    expires_at: datetime | None
    group_id: str | None
    group_size: int | None
    proposal: JsonObject
    released: str | None = None
    released_at: datetime | None = None
    closed: bool = False
    in_vain: bool = False
    gone: bool = False
    agreed: bool = False
    accepted: bool = False
    approved: bool = False
    refused: bool = False
    confirmed: int = 0
    failed: int = 0

    def live(self, clock: datetime) -> bool:
        """Live from its proposal until it is released, closed or its slot is over."""
        return self.released is None and not self.closed and clock < self.slot.end


@dataclass
class Area:
    """One area's state at a point of the journal."""

    name: str
    clock: datetime
    wishes: dict[str, Wish] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    matches: dict[str, Match] = field(default_factory=dict)
    groups: dict[str, list[Match]] = field(default_factory=dict)
    barred: set[tuple[str, str]] = field(default_factory=set)
    invited: dict[tuple[str, str], datetime] = field(default_factory=dict)
    # Of these, those about which nothing was heard since: no answer, and no other word about the offer.
    unanswered: dict[tuple[str, str], datetime] = field(default_factory=dict)
    # Of these, those who said no to it, and those who were posted anew since: the latter may be asked again.
    said_no: set[tuple[str, str]] = field(default_factory=set)
    anew: set[tuple[str, str]] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    _by_wish: dict[str, list[Match]] = field(default_factory=dict)
    _by_offer: dict[str, list[Match]] = field(default_factory=dict)
    _by_volunteer: dict[str, list[Match]] = field(default_factory=dict)

    def add(self, match: Match) -> None:
        """Take in a proposed match."""
        self.matches[match.match_id] = match
        self._by_wish.setdefault(match.wish_id, []).append(match)
        self._by_offer.setdefault(match.offer_id, []).append(match)
        self._by_volunteer.setdefault(match.volunteer_ref, []).append(match)

    def heard_of(self, offer_id: str) -> None:
        """Something was said about an offer: whether an invitation of it still holds is not certain any more."""
        self.unanswered = {pair: until for pair, until in self.unanswered.items() if pair[1] != offer_id}

    def of_wish(self, wish_id: str) -> list[Match]:
        """All matches ever proposed for the wish."""
        return self._by_wish.get(wish_id, [])

    def live_of_wish(self, wish_id: str) -> list[Match]:
        """The wish's live matches."""
        return [m for m in self._by_wish.get(wish_id, []) if m.live(self.clock)]

    def live_of_offer(self, offer_id: str) -> list[Match]:
        """The offer's live matches."""
        return [m for m in self._by_offer.get(offer_id, []) if m.live(self.clock)]

    def diary(self, volunteer_ref: str) -> Diary:
        """The slots of the volunteer that were not released, whatever the offer."""
        standing = [m for m in self._by_volunteer.get(volunteer_ref, []) if m.released is None]
        live = [m for m in standing if m.live(self.clock)]
        lately = (m.slot for m in standing if m not in live and m.slot.start > self.clock - timedelta(days=7))
        return Diary(tuple(m.slot for m in live), tuple(m.slot.start for m in standing), tuple(lately))

    def helpers(self, wish_id: str) -> list[Match]:
        """The wish's matches that still stand, those with their slot over included; not those that did not help."""
        return [m for m in self.of_wish(wish_id) if m.released is None and not m.gone]


def ladder(place: JsonObject) -> tuple[str, ...]:
    """The place as ids from the widest circle inside the area to the smallest named."""
    ids: list[str] = []
    for step in LADDER:
        if not place.get(step):
            break
        ids.append(str(place[step]))
    return tuple(ids)


def interval(value: JsonObject) -> Interval:
    """{start, end} as an interval; NotUnderstood where either is no instant."""
    return Interval(instant(value.get("start")), instant(value.get("end")))


def instant(text: object) -> datetime:
    """The instant of a text; NotUnderstood where it is none."""
    found = parse_time(text)
    if found is None:
        raise NotUnderstood(f"no RFC 3339 time with offset: {text!r}")
    return found


def wish_of(data: JsonObject) -> Wish:
    """The wish of a `wish.submitted` event's data, with the contract's defaults."""
    try:
        beneficiary = data["beneficiary"]
        minor = beneficiary["age_band"] in MINORS or data["category"] == "left_behind_children"
        together = minor or bool(data.get("accompanied"))
        helpers = int(data.get("helpers_needed") or 1)
        level = max(int(data.get("vetting_min") or 0), 4 if minor else 0, 2 if beneficiary.get("lives_alone") else 0)
        return Wish(
            wish_id=data["wish_id"],
            place=ladder(data["place"]),
            skills=frozenset(data["skills"]),
            languages=frozenset(data.get("languages") or ()),
            urgency=data["urgency"],
            window=interval(data["window"]),
            minutes=timedelta(minutes=int(data.get("minutes") or 60)),
            together=together,
            need=max(2, helpers) if together else helpers,
            level=level,
            worker=data.get("approval") == "worker",
            resident_ref=data["resident_ref"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUnderstood(f"wish: {error!r}") from error


def offer_of(data: JsonObject) -> Offer:
    """The offer of an `offer.posted` event's data."""
    try:
        return Offer(
            offer_id=data["offer_id"],
            volunteer_ref=data["volunteer_ref"],
            home=ladder(data["home"]),
            reach=data["reach"],
            skills=frozenset(data["skills"]),
            languages=frozenset(data.get("languages") or ()),
            level=int(data["vetting"]["level"]),
            checked_at=instant(data["vetting"]["checked_at"]),
            windows=tuple(interval(window) for window in data["windows"]),
            capacity=int(data["capacity"]),
            auto=data["accepts"] == "auto",
            rest=timedelta(minutes=int(data.get("rest_minutes") or 0)),
            per_week_max=None if data.get("per_week_max") is None else int(data["per_week_max"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUnderstood(f"offer: {error!r}") from error


def match_of(data: JsonObject, at: datetime, offer: Offer | None) -> Match:
    """The match of a `match.proposed` event's data, decided at `at`."""
    try:
        expires = data.get("expires_at")
        ref = data["volunteer_ref"]
        return Match(
            match_id=data["match_id"],
            wish_id=data["wish_id"],
            offer_id=data["offer_id"],
            # The offer's own word counts: a proposal with another reference must not hide an overlap.
            volunteer_ref=offer.volunteer_ref if offer else ref,
            slot=interval(data["slot"]),
            rung=data["rung"],
            how=data["how"],
            at=at,
            needs_answer=bool(data["needs_answer"]),
            expires_at=None if expires is None else instant(expires),
            group_id=data.get("group_id"),
            group_size=data.get("group_size"),
            proposal=data,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotUnderstood(f"match: {error!r}") from error
