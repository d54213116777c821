"""Looks into the vault, many in one transaction: each is judged by itself; what they need of PostgreSQL is asked for together.

A few statements whatever the number, because a service looks once for each notice that it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.vault.consents import Consent, any_holds
from services.vault.contact import VIEWS, view
from services.vault.faults import Denied, DoesNotOpen, KeyDestroyed, UnknownKey
from services.vault.keys import KeyRing
from services.vault.ladder import Ladder
from services.vault.policy import PURPOSE_OF, Ask, Question, Reader, Visit, may_take_place, readable
from services.vault.sealing import Identity, unseal, unwrap
from services.vault.store import Unit, Wrapped


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a round of looks is judged by. `people`: (area, whether a minor)."""

    people: Mapping[str, tuple[str, bool]]
    erased: Collection[str]
    visits: Mapping[str, Visit]
    consents: Mapping[str, Sequence[Consent]]


def open_values(ring: KeyRing, key: Wrapped, sealed: Mapping[str, tuple[int, bytes]]) -> dict[str, Any]:
    """The values by field of what lies sealed, (version, bytes) by field.

    Raises:
        KeyDestroyed, UnknownKey, DoesNotOpen: it cannot be opened.
    """
    envelope = key.envelope
    data_key = unwrap(ring.wrapping_key(envelope.key_id, envelope.leaf), key.wrapped, envelope)
    return {name: unseal(data_key, value, Identity("sealed", envelope.area, envelope.person, name, version)) for name, (version, value) in sealed.items()}


async def look(
    unit: Unit, asks: Sequence[Ask], who: Reader, now: datetime, ladder: Ladder, master_keys: Callable[[], KeyRing]
) -> list[dict[str, Any] | Denied]:
    """What each look comes to, in order: the values by field, or why not. The people are locked against erasing until the transaction ends.

    The master keys are asked for only then: a rotation may have sealed somebody anew while the lock was waited for.
    """
    facts = await _facts(unit, asks)
    answers: list[dict[str, Any] | Denied] = []
    granted: list[int] = []
    for place, ask in enumerate(asks):
        try:
            _judge(ask, who, now, ladder, facts)
        except Denied as denied:
            answers.append(denied)
        else:
            answers.append({})
            granted.append(place)
    people = {asks[place].person: facts.people[asks[place].person] for place in granted}
    if not people:
        return answers
    ring = master_keys()
    keys = await unit.read_keys(people)
    sealed = await unit.read_sealed_of(people, {source for place in granted for source in _sources(asks[place])})
    for place in granted:
        ask = asks[place]
        answers[place] = _opened(ring, keys[ask.person], sealed.get(ask.person, {}), ask)
    return answers


async def _facts(unit: Unit, asks: Sequence[Ask]) -> _Facts:
    matches = {ask.what.match_id for ask in asks if ask.what.match_id is not None}
    visits = await unit.read_visits(matches) if matches else {}
    wanted = {ask.person for ask in asks}
    visited = {visits[ask.what.match_id].resident_ref for ask in asks if ask.to_confirm and ask.what.match_id in visits}
    people = await unit.lock_people(wanted | visited)
    missing = wanted - people.keys()
    erased = await unit.read_erased(missing) if missing else set()
    minors = {ref for ref, (_, minor) in people.items() if minor} | {visit.resident_ref for visit in visits.values() if visit.minor}
    return _Facts(people, erased, visits, await unit.read_consents_of(minors) if minors else {})


def _judge(ask: Ask, who: Reader, now: datetime, ladder: Ladder, facts: _Facts) -> None:
    if ask.person in facts.erased:
        raise Denied("erased")
    visit = None if ask.what.match_id is None else facts.visits.get(ask.what.match_id)
    # Of whoever is told, also of somebody whom the vault does not know and who would be told in the usual way.
    if ask.to_confirm:
        _judge_visit(visit, now, facts)
    known = facts.people.get(ask.person)
    if known is None:
        raise Denied("no_such_person")
    if not ask.why.strip():
        raise Denied("no_purpose")
    refused = set(ask.fields) - readable(Question(ask.person, who, ask.what, visit, now, ladder))
    if refused:
        raise Denied("not_visible", refused)
    if known[1] and not any_holds(facts.consents.get(ask.person, ()), ask.person, PURPOSE_OF[who.role], now):
        raise Denied("no_consent")


def _judge_visit(visit: Visit | None, now: datetime, facts: _Facts) -> None:
    """Whether a visit may be settled: one that the vault does not know may not, as it may concern a minor."""
    if visit is None:
        raise Denied("not_your_visit")
    if _concerns_minor(visit, facts) and not may_take_place(visit, facts.consents.get(visit.resident_ref, ()), now):
        raise Denied("no_consent")


def _concerns_minor(visit: Visit, facts: _Facts) -> bool:
    """As the match was proposed, or as the vault has the resident marked."""
    return visit.minor or facts.people.get(visit.resident_ref, ("", False))[1]


def _sources(ask: Ask) -> set[str]:
    return {source for name in ask.fields if (source := VIEWS.get(name, name)) is not None}


def _opened(ring: KeyRing, key: Wrapped, sealed: Mapping[str, tuple[int, bytes]], ask: Ask) -> dict[str, Any] | Denied:
    try:
        values = open_values(ring, key, {name: sealed[name] for name in _sources(ask) if name in sealed})
    except KeyDestroyed:
        return Denied("key_destroyed")
    except UnknownKey:
        return Denied("unknown_key")
    except DoesNotOpen:
        return Denied("does_not_open")
    return {name: view(name, values, ask.what.match_id) for name in ask.fields}
