"""Topic `matches`: what the matcher decided."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas import shapes
from schemas.base import EventId, Incoming, Instant, Name, OfArea, PersonRef, Skill, Slot, VettingLevel
from schemas.place import Rung
from schemas.wishes import Category, Urgency

How = Literal["paired", "claimed"]
ReleaseReason = Literal["declined", "unanswered", "withdrawn", "undeliverable", "unsafe", "group_incomplete"]
ClaimRefusal = Literal[
    "unknown_wish",
    "unknown_offer",
    "not_open",
    "held_for_another",
    "skill_missing",
    "language_missing",
    "out_of_reach",
    "vetting_too_low",
    "not_available",
    "offer_full",
    "needs_two",
]
AnyRung = Annotated[Rung, Field(strict=False)]


class Reason(Incoming):
    """One reason why this helper: a code, and what it came to."""

    code: Annotated[str, Field(pattern=shapes.CODE)]
    value: str | int


class MatchProposed(OfArea):
    """`lastmetre.match.proposed.v1`: one wish and one offer, for one slot.

    `needs_answer`: the volunteer is asked and may decline until `expires_at`. `needs_approval` (added): a community
    worker's word is awaited. `category` and `urgency` (added): what the notice to both sides may say of the wish.
    `organisation` (added): for which branch, unit or team the volunteer comes, as the offer names it. `minor` (added): the wish concerns a minor or a
    left-behind child, so that a guardian's consent may be asked for.
    """

    match_id: EventId
    wish_id: EventId
    offer_id: EventId
    resident_ref: PersonRef
    volunteer_ref: PersonRef
    rung: AnyRung
    slot: Slot
    how: How
    reasons: list[Reason]
    needs_answer: bool
    expires_at: Instant | None
    group_id: EventId | None = None
    group_size: Annotated[int, Field(ge=2)] | None = None
    needs_approval: bool = False
    category: Category | None = None
    urgency: Urgency | None = None
    organisation: Name | None = None
    minor: bool = False


class HelperInvited(OfArea):
    """`lastmetre.helper.invited.v1`: an invitation to several; the first acceptance makes the match.

    The rest (added) is for the notice to the volunteer; `slot` is the one that they would have if they accepted at once.
    """

    wish_id: EventId
    offer_id: EventId
    expires_at: Instant
    volunteer_ref: PersonRef | None = None
    category: Category | None = None
    urgency: Urgency | None = None
    rung: AnyRung | None = None
    slot: Slot | None = None


class MatchAgreed(OfArea):
    """`lastmetre.match.agreed.v1`: a proposal that needed an answer or an approval now has it."""

    match_id: EventId
    wish_id: EventId
    offer_id: EventId


UNCONSENTED: Final = ("unsafe", "confirmation_failed")
"""(reason, cause) of a release where no guardian's consent holds (`confirmation.failed`, `no_consent`): the wish has ended with it."""


class MatchReleased(OfArea):
    """`lastmetre.match.released.v1`: this pair is apart again, and why.

    `cause` (added): which kind of event brought it about, such as `match_declined` (the volunteer's own no) or `match_approved` (a worker's); None where it was
    time.
    """

    match_id: EventId
    wish_id: EventId
    offer_id: EventId
    reason: ReleaseReason
    cause: Annotated[str, Field(pattern=shapes.CODE)] | None = None


class ClaimRejected(OfArea):
    """`lastmetre.claim.rejected.v1`: the first reason that applies, in the contract's order."""

    claim_id: EventId
    wish_id: EventId
    offer_id: EventId
    reason: ClaimRefusal


class WishWidened(OfArea):
    """`lastmetre.wish.widened.v1`: helpers up to this rung are now asked."""

    wish_id: EventId
    reach: AnyRung


class SmallestNeed(Incoming):
    """The least that would have to change for someone to be able to help."""

    skills: list[Skill]
    vetting: VettingLevel
    rung: AnyRung
    window: Slot | None = None


class WishUnmet(OfArea):
    """`lastmetre.wish.unmet.v1`: the smallest need that nobody meets."""

    wish_id: EventId
    need: SmallestNeed


class WishExpired(OfArea):
    """`lastmetre.wish.expired.v1`: the deadline came with fewer helpers (`filled`) than needed.

    `resident_ref` and `category` (added) are for the notice to the resident, who may never have had a match.
    """

    wish_id: EventId
    filled: Annotated[int, Field(ge=0, le=10)]
    resident_ref: PersonRef | None = None
    category: Category | None = None


TYPES: Final[dict[str, type[Incoming]]] = {
    "lastmetre.match.proposed.v1": MatchProposed,
    "lastmetre.helper.invited.v1": HelperInvited,
    "lastmetre.match.agreed.v1": MatchAgreed,
    "lastmetre.match.released.v1": MatchReleased,
    "lastmetre.claim.rejected.v1": ClaimRejected,
    "lastmetre.wish.widened.v1": WishWidened,
    "lastmetre.wish.unmet.v1": WishUnmet,
    "lastmetre.wish.expired.v1": WishExpired,
}
