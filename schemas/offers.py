"""Topic `offers`: what volunteers are ready to do, where, when and how much."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import EventId, Incoming, Instant, Language, Name, OfArea, PersonRef, Skill, Text, VettingLevel, Window
from schemas.place import Place, Rung


class Vetting(Incoming):
    """The ladder of checks 0..4, and when the last check was made."""

    level: VettingLevel
    checked_at: Instant


class Proof(Incoming):
    """A qualification for one skill (nursing, care), seen by the organisation that keeps it, and until when it holds."""

    skill: Skill
    valid_until: Instant


class OfferPosted(OfArea):
    """`lastmetre.offer.posted.v1`: the same `offer_id` again replaces the offer; live matches stand, but for those that its checks forbid now.

    `per_week_max`: so many visits of the volunteer's in the area, over all of their offers, may begin within any seven days, whatever the day of the week.
    `rest_minutes`: so long from the end of one of them to the begin of the next.
    `proofs` (added): an area may ask for one where certain skills are wished.
    """

    offer_id: EventId
    volunteer_ref: PersonRef
    home: Place
    reach: Annotated[Rung, Field(strict=False)]
    skills: Annotated[list[Skill], Field(min_length=1, max_length=20)]
    vetting: Vetting
    windows: Annotated[list[Window], Field(min_length=1, max_length=50)]
    capacity: Annotated[int, Field(ge=1, le=20)]
    accepts: Literal["auto", "ask"]
    per_week_max: Annotated[int, Field(ge=1, le=168)] | None = None
    rest_minutes: Annotated[int, Field(ge=0, le=10_080)] | None = None
    languages: Annotated[list[Language], Field(max_length=20)] | None = None
    organisation: Name | None = None
    proofs: Annotated[list[Proof], Field(max_length=20)] | None = None


class OfferWithdrawn(OfArea):
    """`lastmetre.offer.withdrawn.v1`: no new match; live ones stand."""

    offer_id: EventId
    reason: Text | None = None


class OfferSuspended(OfferWithdrawn):
    """`lastmetre.offer.suspended.v1`: no new match, and live ones are released as `unsafe`. Other offers of that volunteer stand: suspend each."""


TYPES: Final[dict[str, type[Incoming]]] = {
    "lastmetre.offer.posted.v1": OfferPosted,
    "lastmetre.offer.withdrawn.v1": OfferWithdrawn,
    "lastmetre.offer.suspended.v1": OfferSuspended,
}
