"""The board's rows as plain values, each field a column of the table of the same name in schema `gateway`. Times are aware datetimes in UTC."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

WishKey = tuple[str, str]
"""area, wish_id"""

LIVE: Final = ("proposed", "agreed", "confirmed", "started", "finished")
"""States of a match that takes one of the wish's places."""
FIRM: Final = ("confirmed", "started", "finished")
OVER: Final = ("withdrawn", "expired", "closed")
"""States in which a wish wants nothing any more."""


@dataclass(slots=True)
class Wish:
    """One wish. Until `submitted_at` is there, only what other topics said of it is known, and its state is `unknown`.

    `live`: matches that take a place; `confirmed`: those of which both sides know; `unmet`: the smallest need that nobody meets.
    """

    area: str
    wish_id: str
    community: str | None = None
    compound: str | None = None
    building: str | None = None
    unit: str | None = None
    category: str | None = None
    urgency: str | None = None
    title: str | None = None
    note: str | None = None
    skills: list[str] = field(default_factory=list)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    minutes: int | None = None
    helpers_needed: int = 1
    age_band: str | None = None
    lives_alone: bool = False
    vetting_min: int = 0
    approval: str = "none"
    accompanied: bool = False
    languages: list[str] = field(default_factory=list)
    resident_ref: str | None = None
    state: str = "unknown"
    live: int = 0
    confirmed: int = 0
    reach: str | None = None
    unmet: dict[str, Any] | None = None
    unmet_at: datetime | None = None
    submitted_at: datetime | None = None
    received_at: datetime | None = None
    withdrawn_at: datetime | None = None
    expired_at: datetime | None = None
    filled: int | None = None
    confirmed_at: datetime | None = None
    changed_at: datetime | None = None
    frozen: bool = False

    @property
    def key(self) -> WishKey:
        """What it is found by."""
        return (self.area, self.wish_id)


@dataclass(slots=True)
class Match:
    """One match: facts that were said of it, each once and in any order, and the state that follows from all of them. Its place is its wish's."""

    area: str
    match_id: str
    wish_id: str
    offer_id: str
    community: str | None = None
    compound: str | None = None
    building: str | None = None
    unit: str | None = None
    resident_ref: str | None = None
    volunteer_ref: str | None = None
    rung: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    how: str | None = None
    state: str = "unknown"
    needs_answer: bool = False
    needs_approval: bool = False
    expires_at: datetime | None = None
    group_id: str | None = None
    organisation: str | None = None
    reasons: list[Any] = field(default_factory=list)
    proposed_at: datetime | None = None
    accepted_at: datetime | None = None
    approved_at: datetime | None = None
    agreed_at: datetime | None = None
    released_at: datetime | None = None
    release_reason: str | None = None
    failed_reason: str | None = None
    confirmed_at: datetime | None = None
    confirmed_seen_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reported_minutes: int | None = None
    outcome: str | None = None
    minutes: int | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_said_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by: area, match_id."""
        return (self.area, self.match_id)


@dataclass(slots=True)
class Report:
    """What somebody said of a pair on `responses`: the last word of its kind. `match_id` is empty where they named none."""

    area: str
    wish_id: str
    offer_id: str
    kind: str
    match_id: str
    at: datetime
    minutes: int | None = None
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """One of a kind, for each pair and named match."""
        return (self.area, self.wish_id, self.offer_id, self.kind, self.match_id)


@dataclass(slots=True)
class Invitation:
    """One helper was asked with others. `live` until they answered, somebody else came, or the wish is over."""

    area: str
    wish_id: str
    offer_id: str
    volunteer_ref: str | None
    invited_at: datetime
    expires_at: datetime
    rung: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    live: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """One a pair: the last."""
        return (self.area, self.wish_id, self.offer_id)


@dataclass(slots=True)
class Offer:
    """One offer as it was posted last. `state_at`: the event time of the word that `state` follows from."""

    area: str
    offer_id: str
    volunteer_ref: str | None = None
    community: str | None = None
    compound: str | None = None
    building: str | None = None
    unit: str | None = None
    skills: list[str] = field(default_factory=list)
    reach: str | None = None
    vetting_level: int = 0
    checked_at: datetime | None = None
    capacity: int = 1
    accepts: str | None = None
    languages: list[str] = field(default_factory=list)
    organisation: str | None = None
    windows: list[Any] = field(default_factory=list)
    last_end: datetime | None = None
    state: str = "unknown"
    state_at: datetime | None = None
    posted_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What it is found by: area, offer_id."""
        return (self.area, self.offer_id)


@dataclass(slots=True)
class News:
    """One line of the stream. `event_key` is the event's own, so that a repeat is no second line; `at` its time, `received_at` Kafka's.

    `brief`: what is shown, opaque ids and codes only. The place is the wish's; where that is not known yet, the line waits for it.
    """

    event_key: UUID
    at: datetime
    received_at: datetime
    area: str
    kind: str
    subject: str
    wish_id: str | None = None
    match_id: str | None = None
    offer_id: str | None = None
    volunteer_ref: str | None = None
    resident_ref: str | None = None
    community: str | None = None
    compound: str | None = None
    building: str | None = None
    brief: dict[str, Any] = field(default_factory=dict)
    placed: bool = True


@dataclass(slots=True)
class DeadLetter:
    """One record of a dead letter topic. `area` and `community` are what the event says of itself, None where it says nothing that could be one."""

    topic: str
    partition: int
    position: int
    at: datetime
    reason: str
    message: str
    origin: str
    area: str | None
    community: str | None
    kind: str | None
    key: str | None
    headers: list[Any]
    value: str | None

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it lies."""
        return (self.topic, self.partition, self.position)
