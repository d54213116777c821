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
    CALL_BACK = "call_back"
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
    """On which things: their own, those inside their circle of the ladder, those inside the circle whose centre household they are, or all."""

    OWN = "own"
    SCOPE = "scope"
    CENTRE = "centre"
    ANY = "any"


class Detail(StrEnum):
    """How much of a wish somebody is shown."""

    FULL = "full"
    """All that the gateway has: title and note, the place down to the unit, whose wish it is."""
    MASKED = "masked"
    """What helps to decide: category, urgency, skills, when, how near. Of a minor's wish neither title nor note, and no rung below the community."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Thing:
    """What an act is done to. `volunteer_refs` and `resident_ref` say whose it is; without a place it belongs to the whole area."""

    area: str
    place: Place | None = None
    resident_ref: str | None = None
    volunteer_refs: frozenset[str] = frozenset()
    account: str | None = None
    minor: bool = False


_OWN, _SCOPE, _CENTRE, _ANY = Reach.OWN, Reach.SCOPE, Reach.CENTRE, Reach.ANY
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
        Act.ENTER_WISH: {_R: _OWN, _G: _OWN, _V: _CENTRE, _W: _SCOPE},
        Act.WITHDRAW_WISH: {_R: _OWN, _G: _OWN, _W: _SCOPE},
        Act.ACKNOWLEDGE: {_R: _OWN, _G: _OWN, _W: _SCOPE},
        # The community's word outweighs the resident's: nobody else speaks for it.
        Act.CALL_BACK: {_W: _SCOPE},
        Act.REVIEW_WISH: {_W: _SCOPE},
        Act.APPROVE_MATCH: {_W: _SCOPE},
        Act.REDISPATCH: {_W: _SCOPE},
        Act.FREEZE_WISH: {_W: _SCOPE},
        Act.SEE_DEAD_LETTERS: {_W: _SCOPE, _AU: _SCOPE, _AD: _SCOPE},
        Act.REPLAY_DEAD_LETTER: {_W: _SCOPE},
        Act.PUBLISH_EVENTS: {_I: _SCOPE},
        Act.READ_EVENTS: {_I: _SCOPE, _AU: _SCOPE},
        Act.MANAGE_KEYS: {_I: _OWN, _AD: _SCOPE},
        Act.MANAGE_WEBHOOKS: {_I: _OWN, _AD: _SCOPE},
        Act.MANAGE_ACCOUNTS: {_AD: _SCOPE},
        Act.SEE_AUDIT: {_AU: _SCOPE, _AD: _SCOPE},
    }
)

AUDITED: Final = frozenset(
    {
        *(Act.ENTER_WISH, Act.WITHDRAW_WISH, Act.ACKNOWLEDGE, Act.CALL_BACK, Act.REVIEW_WISH, Act.APPROVE_MATCH, Act.REDISPATCH, Act.FREEZE_WISH),
        *(Act.SEE_DEAD_LETTERS, Act.REPLAY_DEAD_LETTER, Act.MANAGE_KEYS, Act.MANAGE_WEBHOOKS, Act.MANAGE_ACCOUNTS, Act.SEE_AUDIT),
    }
)
"""What goes into the audit log also where it is allowed: deciding for others, and what gives or takes access. Whatever is denied goes in, too."""
AUDITED_LOOKS: Final = frozenset({Act.SEE_DEAD_LETTERS, Act.MANAGE_KEYS, Act.MANAGE_WEBHOOKS, Act.MANAGE_ACCOUNTS, Act.SEE_AUDIT})
"""Of these also a look alone; of the others what was done, as a look at a form decides nothing."""


def may(principal: Principal | None, act: Act, thing: Thing | None = None) -> bool:
    """Whether somebody may do something to a thing; without a thing, whether there is any to which they may (the first check of a route)."""
    if act is Act.OPEN_PAGE:
        return True
    if principal is None or (principal.acts is not None and act not in principal.acts):
        return False
    return any(_reaches(principal, reach, thing) for role, reach in RULES[act].items() if role in principal.roles)


def _reaches(principal: Principal, reach: Reach, thing: Thing | None) -> bool:
    if reach is Reach.CENTRE:
        # Whom it is for is their neighbour, so it needs no relation to the household; beyond their circle it is a worker's to enter.
        centre = principal.centre
        return centre is not None and (thing is None or centre.covers(thing.area, thing.place))
    if thing is None or reach is Reach.ANY:
        return True
    if reach is Reach.SCOPE:
        return principal.scope.covers(thing.area, thing.place)
    return (
        (principal.volunteer_ref is not None and principal.volunteer_ref in thing.volunteer_refs)
        or (thing.resident_ref is not None and thing.resident_ref in principal.resident_refs)
        or (thing.account is not None and thing.account == principal.account)
    )


def detail(principal: Principal | None, wish: Thing) -> Detail:
    """How much of a wish somebody is shown, if they are shown it at all.

    All of it: whose wish it is (for a child, the guardian), who helps with it, and the workers of its circle. An auditor sees how adults' wishes went
    in full and children's masked: the process is to be judged, not the child. A volunteer who only looks for something to do sees it masked.
    """
    if principal is None:
        return Detail.NONE
    if may(principal, Act.SEE_WISH, wish):
        seen_for_oneself = any(RULES[Act.SEE_WISH].get(role) is _OWN and _reaches(principal, _OWN, wish) for role in principal.roles)
        works_there = principal.has(Role.WORKER) and _reaches(principal, _SCOPE, wish)
        return Detail.FULL if seen_for_oneself or works_there or not wish.minor else Detail.MASKED
    return Detail.MASKED if may(principal, Act.SEE_WALL, wish) else Detail.NONE
