"""Looks into the vault, many in one transaction: each is judged by itself; what they need of PostgreSQL is asked for together.

A few statements whatever the number, because a service looks once for each notice that it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from services.vault.consents import Consent, any_holds
from services.vault.contact import CELL_OF, VIEWS, WISHES, fields_of, view
from services.vault.faults import Denied, DoesNotOpen, KeyDestroyed, UnknownKey
from services.vault.keys import KeyRing
from services.vault.ladder import STAGES, Ladder
from services.vault.policy import PURPOSE_OF, Ask, Question, Reader, Visit, may_take_place, readable
from services.vault.sealing import Identity, unseal, unwrap
from services.vault.store import Sealed, Unit, Wrapped


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a round of looks is judged by. `people`: (area, whether a minor)."""

    people: Mapping[str, tuple[str, bool]]
    erased: Collection[str]
    visits: Mapping[str, Visit]
    consents: Mapping[str, Sequence[Consent]]


def open_values(ring: KeyRing, key: Wrapped, sealed: Mapping[str, tuple[int, bytes]]) -> dict[str, Any]:
    """The values by field of what lies sealed, (version, bytes) by cell.

    Raises:
        KeyDestroyed, UnknownKey, DoesNotOpen: it cannot be opened.
    """
    envelope = key.envelope
    data_key = unwrap(ring.wrapping_key(envelope.key_id, envelope.leaf), key.wrapped, envelope)
    values: dict[str, Any] = {}
    for cell, (version, value) in sealed.items():
        values |= fields_of(cell, unseal(data_key, value, Identity("sealed", envelope.area, envelope.person, cell, version)))
    return values


async def look(
    unit: Unit, asks: Sequence[Ask], who: Reader, now: datetime, ladder: Ladder, master_keys: Callable[[], KeyRing], visits: Sequence[Visit] = ()
) -> list[dict[str, Any] | Denied]:
    """What each look comes to, in order: the values by field, or why not. The people are locked against erasing until the transaction ends.

    The master keys are asked for only then: a rotation may have sealed somebody anew while the lock was waited for. `visits`: how far matches are, to be
    noted before anything is judged.
    """
    facts = await _facts(unit, asks, visits)
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
    if not granted:
        return answers
    ring = master_keys()
    keys, sealed = await _read(unit, facts, [asks[place] for place in granted])
    for place in granted:
        ask = asks[place]
        answers[place] = _opened(ring, keys[ask.person], sealed[ask.person], ask)
    return answers


async def _read(unit: Unit, facts: _Facts, asks: Sequence[Ask]) -> tuple[dict[str, Wrapped], dict[str, Sealed]]:
    """The keys of these people and what lies sealed; of one whose wishes are not sealed together yet, each by itself."""
    wanted: dict[str, frozenset[str]] = {}
    for ask in asks:
        wanted[ask.person] = wanted.get(ask.person, frozenset()).union(CELL_OF[source] for source in _sources(ask.fields))
    keys, found = await unit.read_keys_and_sealed({person: facts.people[person] for person in wanted}, frozenset().union(*wanted.values()))
    before = [person for person, cells in wanted.items() if not found[person].keys() >= cells]
    if before:
        for person, rows in (await unit.read_sealed_of(before, WISHES)).items():
            found[person].update(rows)
    return keys, found


async def _facts(unit: Unit, asks: Sequence[Ask], told: Sequence[Visit]) -> _Facts:
    """People are locked before visits are written, as by whoever erases somebody: so neither waits for the other in a circle."""
    now_told = {one.match_id for one in told}
    matches = {ask.what.match_id for ask in asks if ask.what.match_id is not None}
    visits = await unit.read_visits(matches - now_told) if matches - now_told else {}
    wanted = {ask.person for ask in asks}
    visited = {visits[ask.what.match_id].resident_ref for ask in asks if ask.for_visit and ask.what.match_id in visits}
    people = await unit.lock_people(wanted.union(visited, *((one.resident_ref, one.helper_ref) for one in told)))
    if told:
        new = await unit.write_visits(told, STAGES)
        visits |= {one.match_id: one if one.minor == new[one.match_id] else one._replace(minor=True) for one in told if one.match_id in new}
        if len(new) < len(now_told):  # of the others it has something else, or nothing
            visits |= await unit.read_visits(now_told - new.keys())
    missing = wanted - people.keys()
    erased = await unit.read_erased(missing) if missing else set()
    minors = {ref for ref, (_, minor) in people.items() if minor} | {visit.resident_ref for visit in visits.values() if visit.minor}
    return _Facts(people, erased, visits, await unit.read_consents_of(minors) if minors else {})


def _judge(ask: Ask, who: Reader, now: datetime, ladder: Ladder, facts: _Facts) -> None:
    if ask.person in facts.erased:
        raise Denied("erased")
    visit = None if ask.what.match_id is None else facts.visits.get(ask.what.match_id)
    # Of whoever is to come or is told, also of somebody whom the vault does not know and who would be told in the usual way.
    if ask.for_visit:
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
        raise Denied("helper_no_consent" if visit is not None and ask.person == visit.helper_ref else "no_consent")


def _judge_visit(visit: Visit | None, now: datetime, facts: _Facts) -> None:
    """Whether somebody may be asked to come, and a visit be settled: one that the vault does not know may not, as it may concern a minor."""
    if visit is None:
        raise Denied("not_your_visit")
    if _concerns_minor(visit, facts) and not may_take_place(visit, facts.consents.get(visit.resident_ref, ()), now):
        raise Denied("no_consent")


def _concerns_minor(visit: Visit, facts: _Facts) -> bool:
    """As the match was proposed, or as the vault has the resident marked."""
    return visit.minor or facts.people.get(visit.resident_ref, ("", False))[1]


@lru_cache(maxsize=256)
def _sources(fields: tuple[str, ...]) -> frozenset[str]:
    return frozenset(source for name in fields if (source := VIEWS.get(name, name)) is not None)


def _opened(ring: KeyRing, key: Wrapped, sealed: Mapping[str, tuple[int, bytes]], ask: Ask) -> dict[str, Any] | Denied:
    # In its cell, or by itself as before there were cells.
    rows = {cell if (cell := CELL_OF[source]) in sealed else source for source in _sources(ask.fields)}
    if not rows <= sealed.keys():
        return Denied("does_not_open")  # everybody has a row for every cell: one that is missing was taken away
    try:
        values = open_values(ring, key, {name: sealed[name] for name in rows})
    except KeyDestroyed:
        return Denied("key_destroyed")
    except UnknownKey:
        return Denied("unknown_key")
    except DoesNotOpen:
        return Denied("does_not_open")
    return {name: view(name, values, ask.what.match_id) for name in ask.fields}
