"""Who may read what, pure: one function a role. What none of them names is denied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from services.vault.consents import Consent, Purpose, any_holds
from services.vault.contact import FIELDS, READABLE
from services.vault.faults import Denied
from services.vault.ladder import Ladder, Slot, Stage, visible

# helper: of a visit; service: sends messages; self: the person; operator: a named person at the terminal, for a stated purpose.
Role: TypeAlias = Literal["helper", "service", "self", "operator"]
# For which purpose a guardian must have consented where the person is a minor.
PURPOSE_OF: Final[Mapping[Role, Purpose]] = {"helper": "visit", "service": "notify", "self": "access", "operator": "support"}
# What sending a message needs; never the address.
OF_SERVICES: Final = frozenset({"name", "phone", "email", "wecom", "dingtalk", "feishu", "channels", "language", "quiet_hours", "notices_per_day"})


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks: a role, and an opaque reference (of a service its name)."""

    role: Role
    ref: str


class Occasion(NamedTuple):
    """What it is about: a match, a wish, or neither."""

    match_id: str | None = None
    wish_id: str | None = None


class Visit(NamedTuple):
    """A match as the vault must know it. `minor`: it concerns one, whoever the resident is; a guardian must have consented to it then."""

    match_id: str
    wish_id: str
    resident_ref: str
    helper_ref: str
    stage: Stage
    slot: Slot
    minor: bool = False


class Ask(NamedTuple):
    """One look of many. `why` is what for. `for_visit`: they are asked to come, or told that a visit is settled; to a minor only with a guardian's consent."""

    person: str
    fields: tuple[str, ...]
    what: Occasion
    why: str
    for_visit: bool = False


class Question(NamedTuple):
    """All that a read is judged by; `visit` is the one that the occasion names, as the vault knows it."""

    person: str
    who: Reader
    what: Occasion
    visit: Visit | None
    now: datetime
    ladder: Ladder


def _of_helper(asked: Question) -> frozenset[str]:
    visit = asked.visit
    if visit is None or visit.helper_ref != asked.who.ref or visit.resident_ref != asked.person:
        raise Denied("not_your_visit")
    return visible(visit.stage, asked.now, visit.slot, asked.ladder)


def _of_service(asked: Question) -> frozenset[str]:
    if asked.what.match_id is None and asked.what.wish_id is None:
        raise Denied("no_occasion")
    if asked.what.match_id is not None and (asked.visit is None or asked.person not in {asked.visit.resident_ref, asked.visit.helper_ref}):
        raise Denied("not_your_visit")
    return OF_SERVICES


def _of_oneself(asked: Question) -> frozenset[str]:
    if asked.who.ref != asked.person:
        raise Denied("not_yourself")
    return frozenset(FIELDS)


def _of_operator(_asked: Question) -> frozenset[str]:
    return READABLE


_BY_ROLE: Final[Mapping[Role, Callable[[Question], frozenset[str]]]] = {
    "helper": _of_helper,
    "service": _of_service,
    "self": _of_oneself,
    "operator": _of_operator,
}


def readable(asked: Question) -> frozenset[str]:
    """The fields and views that this reader may have of this person now.

    Raises:
        Denied: nothing at all.
    """
    return _BY_ROLE[asked.who.role](asked)


def may_take_place(visit: Visit, consents: Iterable[Consent], now: datetime) -> bool:
    """Whether a visit that concerns a minor may be settled, or begin: a guardian's consent to visits covers the time at which it is (or goes on)."""
    return any_holds(consents, visit.resident_ref, "visit", max(now, visit.slot.start))
