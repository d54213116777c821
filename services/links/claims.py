"""What a link is for, and for how long: signed claims (JWT, HS256 alone). Pure: time and ids are arguments.

Instants are microseconds since 1970; in a token, as its standard wants it, whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError

from schemas.instants import DAY_US, MINUTE_US, SECOND_US
from services.links.keys import Key, LinkKeys

Purpose = Literal["answer", "cancel", "start", "finish", "acknowledge", "follow"]
Action = Literal["accept", "decline", "cancel", "started", "finished", "done", "partly", "not_done", "follow"]
Party = Literal["resident", "volunteer"]

AUDIENCE: Final = "lastmetre-links"
_ALGORITHM: Final = "HS256"
_TYPE: Final = "lastmetre-link+jwt"

# What one tap may say: one of these, once.
ACTIONS: Final[dict[Purpose, tuple[Action, ...]]] = {
    "answer": ("accept", "decline"),
    "cancel": ("cancel",),
    "start": ("started", "cancel"),
    "finish": ("finished",),
    "acknowledge": ("done", "partly", "not_done"),
    "follow": ("follow",),
}
# Looking does not use a link up.
LASTING: Final[frozenset[Action]] = frozenset(("follow",))
# After these the same side has nothing more to say about the match.
FINAL: Final[frozenset[Action]] = frozenset(("decline", "cancel"))
# So long after the instant that each hangs on: an answer on its own deadline, all else on the end of the slot.
_AFTER_US: Final[dict[Purpose, int]] = {
    "answer": 0,
    "cancel": 0,
    "start": 120 * MINUTE_US,
    "finish": 3 * DAY_US,
    "acknowledge": 7 * DAY_US,
    "follow": DAY_US,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a link says of itself: nothing personal. `match_id` is None for an invitation; `expires_at` is in whole seconds."""

    jti: UUID
    purpose: Purpose
    party: Party
    area: str
    wish_id: str
    offer_id: str
    match_id: str | None
    expires_at: int

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it may say."""
        return ACTIONS[self.purpose]


def expiry(purpose: Purpose, anchor: int) -> int:
    """Until when a link is good. `anchor`: the deadline of the answer, or the end of the slot; a whole second comes out."""
    return (anchor + _AFTER_US[purpose]) // SECOND_US * SECOND_US


def signed(claims: Claims, key: Key) -> str:
    """The claims as a token."""
    body = {
        "aud": AUDIENCE,
        "jti": str(claims.jti),
        "exp": claims.expires_at // SECOND_US,
        "purpose": claims.purpose,
        "party": claims.party,
        "area": claims.area,
        "wish_id": claims.wish_id,
        "offer_id": claims.offer_id,
    }
    if claims.match_id is not None:
        body["match_id"] = claims.match_id
    return jwt.encode({"alg": _ALGORITHM, "kid": key.id, "typ": _TYPE}, body, key.claims, algorithms=[_ALGORITHM])


def verified(token: str, key_id: str, keys: LinkKeys) -> Claims | None:
    """The claims of a token of ours; None where it is not. Whether it has expired is the caller's question, as that has an answer of its own."""
    key = keys.get(key_id)
    if key is None:
        return None
    try:
        found = jwt.decode(token, key.claims, algorithms=[_ALGORITHM])
        jwt.JWTClaimsRegistry(
            now=0,
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            jti={"essential": True},
            purpose={"essential": True, "values": list(get_args(Purpose))},
            party={"essential": True, "values": list(get_args(Party))},
        ).validate(found.claims)
        if found.header.get("typ") != _TYPE or found.header.get("kid") != key_id:
            return None
        body = found.claims
        return Claims(
            UUID(body["jti"]),
            cast("Purpose", body["purpose"]),
            cast("Party", body["party"]),
            body["area"],
            body["wish_id"],
            body["offer_id"],
            body.get("match_id"),
            int(body["exp"]) * SECOND_US,
        )
    except (JoseError, ValueError, KeyError, TypeError):
        return None
