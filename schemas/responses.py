"""Topic `responses`: what volunteers, residents and community workers answer."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import AboutPair, EventId, Incoming, OfArea, Outcome, PersonRef, Text


class WishClaimed(OfArea):
    """`lastmetre.wish.claimed.v1`: this volunteer asks for this wish."""

    claim_id: EventId
    wish_id: EventId
    offer_id: EventId


class MatchAccepted(AboutPair):
    """`lastmetre.match.accepted.v1`: the volunteer says yes."""

    reason: Text | None = None


class MatchDeclined(AboutPair):
    """`lastmetre.match.declined.v1`: the volunteer says no, or can no longer come."""

    reason: Text | None = None


class MatchApproved(AboutPair):
    """`lastmetre.match.approved.v1`: a community worker's word, yes or no, where the wish asks for it."""

    worker_ref: PersonRef
    approved: bool
    reason: Text | None = None


class ServiceStarted(AboutPair):
    """`lastmetre.service.started.v1`: the helper has arrived."""

    minutes: Annotated[int, Field(ge=0, le=1440)] | None = None


class ServiceFinished(AboutPair):
    """`lastmetre.service.finished.v1`: the helper is done after `minutes`."""

    minutes: Annotated[int, Field(ge=0, le=1440)] | None = None


class ServiceAcknowledged(AboutPair):
    """`lastmetre.service.acknowledged.v1`: whether it helped, by the resident or the community; `reason` (added): why a word was corrected."""

    by: Literal["resident", "community"]
    outcome: Outcome
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    reason: Text | None = None


TYPES: Final[dict[str, type[Incoming]]] = {
    "lastmetre.wish.claimed.v1": WishClaimed,
    "lastmetre.match.accepted.v1": MatchAccepted,
    "lastmetre.match.declined.v1": MatchDeclined,
    "lastmetre.match.approved.v1": MatchApproved,
    "lastmetre.service.started.v1": ServiceStarted,
    "lastmetre.service.finished.v1": ServiceFinished,
    "lastmetre.service.acknowledged.v1": ServiceAcknowledged,
}
