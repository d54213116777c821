"""Who may do what: the one place that says so, used by pages, API and workers' actions. Whatever is not allowed here is denied.

PostgreSQL repeats the reading half of it with row-level security. Every route names one `Act`; a route without one does not start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from schemas.place import Place
from services.gateway.roles import Principal, Role


class Act(StrEnum):
    """What can be done, in the words of the one who does it."""

    OPEN_PAGE = "open_page"
    """Sign-in, the manifest, the catalogue: for everyone, signed in or not."""
    SEE_WALL = "see_wall"
    CLAIM_WISH = "claim_wish"
    ANSWER_MATCH = "answer_match"
    SEE_OWN = "see_own"
    SEE_MONITOR = "see_monitor"
    SEE_WISH = "see_wish"
    ENTER_WISH = "enter_wish"
    WITHDRAW_WISH = "withdraw_wish"
    ACKNOWLEDGE = "acknowledge"
    REVIEW_WISH = "review_wish"
    APPROVE_MATCH = "approve_match"
    REDISPATCH = "redispatch"
    FREEZE_WISH = "freeze_wish"
    SEE_DEAD_LETTERS = "see_dead_letters"
    REPLAY_DEAD_LETTER = "replay_dead_letter"
    PUBLISH_EVENTS = "publish_events"
    READ_EVENTS = "read_events"
    MANAGE_KEYS = "manage_keys"
    MANAGE_WEBHOOKS = "manage_webhooks"
    MANAGE_ACCOUNTS = "manage_accounts"
    SEE_AUDIT = "see_audit"


class Reach(StrEnum):
    """On which things: their own, those inside their circle of the ladder, or those that are both."""

    OWN = "own"
    SCOPE = "scope"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Thing:
    """What an act is done to. `volunteer_refs` and `resident_ref` say whose it is; without a place it belongs to the whole area."""

    area: str
    place: Place | None = None
    resident_ref: str | None = None
    volunteer_refs: frozenset[str] = frozenset()
    account: str | None = None


_OWN, _SCOPE, _ANY = Reach.OWN, Reach.SCOPE, Reach.ANY
_R, _G, _V, _W, _AU, _I, _AD = Role.RESIDENT, Role.GUARDIAN, Role.VOLUNTEER, Role.WORKER, Role.AUDITOR, Role.INTEGRATOR, Role.ADMIN

RULES: Final[Mapping[Act, Mapping[Role, Reach]]] = MappingProxyType(
    {
        Act.OPEN_PAGE: dict.fromkeys(Role, _ANY),
        Act.SEE_WALL: {_V: _SCOPE, _W: _SCOPE},
        Act.CLAIM_WISH: {_V: _SCOPE},
        Act.ANSWER_MATCH: {_V: _OWN},
        Act.SEE_OWN: {_R: _OWN, _G: _OWN, _V: _OWN, _W: _OWN, _AU: _OWN, _I: _OWN, _AD: _OWN},
        Act.SEE_MONITOR: {_W: _SCOPE, _AU: _SCOPE},
        Act.SEE_WISH: {_R: _OWN, _G: _OWN, _V: _OWN, _W: _SCOPE, _AU: _SCOPE},
        Act.ENTER_WISH: {_R: _OWN, _G: _OWN, _W: _SCOPE},
        Act.WITHDRAW_WISH: {_R: _OWN, _G: _OWN, _W: _SCOPE},
        Act.ACKNOWLEDGE: {_R: _OWN, _G: _OWN, _W: _SCOPE},
        Act.REVIEW_WISH: {_W: _SCOPE},
        Act.APPROVE_MATCH: {_W: _SCOPE},
        Act.REDISPATCH: {_W: _SCOPE},
        Act.FREEZE_WISH: {_W: _SCOPE},
        Act.SEE_DEAD_LETTERS: {_W: _SCOPE, _AU: _SCOPE, _AD: _ANY},
        Act.REPLAY_DEAD_LETTER: {_W: _SCOPE},
        Act.PUBLISH_EVENTS: {_I: _SCOPE},
        Act.READ_EVENTS: {_I: _SCOPE, _AU: _SCOPE},
        Act.MANAGE_KEYS: {_I: _OWN, _AD: _ANY},
        Act.MANAGE_WEBHOOKS: {_I: _OWN, _AD: _ANY},
        Act.MANAGE_ACCOUNTS: {_AD: _SCOPE},
        Act.SEE_AUDIT: {_AU: _SCOPE, _AD: _SCOPE},
    }
)


def may(principal: Principal | None, act: Act, thing: Thing | None = None) -> bool:
    """Whether somebody may do something to a thing; without a thing, whether there is any to which they may (the first check of a route)."""
    if act is Act.OPEN_PAGE:
        return True
    if principal is None:
        return False
    return any(_reaches(principal, reach, thing) for role, reach in RULES[act].items() if role in principal.roles)


def _reaches(principal: Principal, reach: Reach, thing: Thing | None) -> bool:
    if thing is None or reach is Reach.ANY:
        return True
    if reach is Reach.SCOPE:
        return principal.scope.covers(thing.area, thing.place)
    return (
        (principal.volunteer_ref is not None and principal.volunteer_ref in thing.volunteer_refs)
        or (thing.resident_ref is not None and thing.resident_ref in principal.resident_refs)
        or (thing.account is not None and thing.account == principal.account)
    )
