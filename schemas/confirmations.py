"""Topic `confirmations`: what the notifier brought about: both told, could not be told, closed."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas import shapes
from schemas.base import EventId, Incoming, Instant, OfArea, Outcome, Slot
from schemas.matches import AnyRung

Party = Literal["resident", "volunteer"]
Channel = Annotated[str, Field(pattern=shapes.CHANNEL)]
NO_CONSENT: Final = "no_consent"
"""The `reason` of `confirmation.failed` where no guardian's consent holds: of the wish, and not of this pair, so the matcher ends the wish."""

FailureReason = Annotated[str, Field(pattern=shapes.CODE)]


class Notice(Incoming):
    """One message delivered: to which side, through which channel, when."""

    to: Party
    channel: Channel
    at: Instant


class MatchConfirmed(OfArea):
    """`lastmetre.match.confirmed.v1`: both sides have been told; once a match."""

    match_id: EventId
    wish_id: EventId
    offer_id: EventId
    rung: AnyRung
    slot: Slot
    confirmed_at: Instant
    notices: Annotated[list[Notice], Field(min_length=2)]
    group_id: EventId | None = None


class ConfirmationFailed(OfArea):
    """`lastmetre.confirmation.failed.v1`: a side cannot be told; the matcher releases the match.

    `reason` `no_consent`: no guardian's consent holds for the visit; the wish ends, and all its live matches are released as `unsafe`.
    """

    match_id: EventId
    wish_id: EventId
    offer_id: EventId
    reason: FailureReason


class MatchClosed(OfArea):
    """`lastmetre.match.closed.v1`: the visit is over and judged; `minutes` are the minutes that count."""

    match_id: EventId
    wish_id: EventId
    offer_id: EventId
    outcome: Outcome
    minutes: Annotated[int, Field(ge=0, le=1440)]
    closed_at: Instant
    by: Literal["resident", "community", "default"]


TYPES: Final[dict[str, type[Incoming]]] = {
    "lastmetre.match.confirmed.v1": MatchConfirmed,
    "lastmetre.confirmation.failed.v1": ConfirmationFailed,
    "lastmetre.match.closed.v1": MatchClosed,
}
