"""One-time links: what a code is about, and what a tap says. Looking never acts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import uuid5

from services.gateway.context import Gateway
from services.gateway.publisher import Unpublished
from services.links.claims import Action, Claims
from services.links.keys import LinkKeys, digest, normal
from services.links.store import Expired, Forged, Outcome, Redeemed, Seen, Superseded, Used, look, redeem

_LINKED: Final = "SELECT * FROM gateway.linked($1)"
_EVENTS: Final[dict[Action, str]] = {
    "accept": "lastmetre.match.accepted.v1",
    "decline": "lastmetre.match.declined.v1",
    "started": "lastmetre.service.started.v1",
    "finished": "lastmetre.service.finished.v1",
}
_OUTCOMES: Final = frozenset({"done", "partly", "not_done"})
_TURN_SECONDS: Final = 5.0
_GOES: Final = frozenset({"agreed", "confirmed", "started", "finished", "closed"})
_WAITS: Final = frozenset({"unknown", "open"})
# A yes is decided upon within a moment: who has heard nothing of theirs for so long did not get the visit.
_DECIDED_US: Final = 30_000_000
Comes = Literal["yours", "not_yours", "called_off"]


@dataclass(frozen=True, slots=True)
class About:
    """What a link is about, as far as its holder may know."""

    area: str
    wish_id: str
    party: str
    category: str | None
    urgency: str | None
    title: str | None
    compound: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    wish_state: str | None
    match_state: str | None
    rung: str | None
    slot_start: datetime | None
    slot_end: datetime | None
    organisation: str | None
    invited_until: datetime | None
    called_off: bool | None
    """Whether the helper has said themselves that they can't come; None where there is no match."""
    outcome: str | None
    """How the visit went by what the books hold now, where that was corrected since it ended."""


def comes_of(claims: Claims, about: About | None) -> Comes | None:
    """What a helper's yes comes to, as far as the board knows: theirs, or they need not go, or they called it off; None where nothing is known. Pure.

    A match that is asked about waits for its helper, and for a worker where the wish wants one; an invitation has one only once it was theirs.
    """
    if about is None or claims.purpose != "answer":
        return None
    if about.match_state in _GOES or (about.match_state == "proposed" and claims.match_id is None):
        return "yours"
    if about.match_state == "released":
        return "called_off" if about.called_off else "not_yours"
    return "not_yours" if claims.match_id is None and about.wish_state is not None and about.wish_state not in _WAITS else None


def is_passed_over(state: object, comes: Comes | None, now: int) -> bool:
    """Whether a yes to an invitation came to nothing though the wish still waits: they are full or busy meanwhile, or their offer is gone. Pure."""
    return isinstance(state, Used) and state.action == "accept" and state.claims.match_id is None and comes is None and now - state.at >= _DECIDED_US


async def seen(gateway: Gateway, keys: LinkKeys, code: str, now: int) -> tuple[Seen, About | None]:
    """How a link stands and what it is about; of one that is not ours nothing is said. `now` is in microseconds."""
    whole = normal(code)
    async with gateway.database.pool.acquire() as connection:
        state = await look(connection, keys, code, now)
        row = None if whole is None or isinstance(state, Forged) else await connection.fetchrow(_LINKED, digest(whole))
    if isinstance(state, Expired | Superseded):
        row = None  # it opens nothing any more, and so tells nothing either
    return state, None if row is None else About(**dict(row))


async def said(gateway: Gateway, keys: LinkKeys, code: str, action: Action, now: int, minutes: int | None = None) -> Outcome:
    """Use a link: it counts as used only once Kafka has what was said, and the same tap again is the same event. `minutes`: how long a finished visit took.

    Raises:
        services.gateway.publisher.Unpublished: nothing was said, and the link is as it was.
    """
    async with _in_turn(gateway.taps), gateway.database.pool.acquire() as connection, connection.transaction():
        outcome = await redeem(connection, keys, code, action, now)
        if isinstance(outcome, Redeemed) and (event := event_of(outcome.claims, action, minutes)) is not None:
            kind, data = event
            await gateway.publisher.say(kind, outcome.claims.wish_id, data, event_id=str(uuid5(outcome.claims.jti, action)))
    return outcome


@asynccontextmanager
async def _in_turn(taps: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of those who may tap at a time.

    Raises:
        Unpublished: those before are not done in time, as Kafka is away.
    """
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await taps.acquire()
    except TimeoutError:
        raise Unpublished("too many before") from None
    try:
        yield
    finally:
        taps.release()


def event_of(claims: Claims, action: Action, minutes: int | None = None) -> tuple[str, dict[str, Any]] | None:
    """The event that says it; following says nothing. Pure."""
    about: dict[str, Any] = {"area": claims.area, "wish_id": claims.wish_id, "offer_id": claims.offer_id}
    if claims.match_id is not None:
        about["match_id"] = claims.match_id
    if action == "cancel":
        if claims.party == "resident":
            return "lastmetre.wish.withdrawn.v1", {"area": claims.area, "wish_id": claims.wish_id}
        return "lastmetre.match.declined.v1", about
    if action in _OUTCOMES:
        return "lastmetre.service.acknowledged.v1", {**about, "by": "resident", "outcome": action}
    if action == "finished" and minutes is not None:
        about["minutes"] = minutes
    kind = _EVENTS.get(action)
    return None if kind is None else (kind, about)
