"""The vault: the only way in. `put`, `read`, `erase`, `rotate`; beside them visits and consents, by which reads are decided.

Whoever reads says who they are, whom and what they want, on which occasion and why. Every answer, also a refusal, is in the audit before it is given: the row
is committed first. What no rule allows is denied.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final, Self

from schemas import shapes
from schemas.personal import is_bare_number, mask
from services.vault.consents import Consent, Purpose, any_holds
from services.vault.contact import FIELDS, READABLE, Contact, cells_of
from services.vault.faults import BadContact, Denied, KeyDestroyed, Unfinished
from services.vault.keyfile import KeyFile
from services.vault.ladder import OVER, STAGES, Ladder
from services.vault.looking import look, open_values
from services.vault.policy import Ask, Occasion, Reader, Visit, may_take_place
from services.vault.sealing import Envelope, Identity, new_key, seal, wrap
from services.vault.store import Entry, Judged, Leaf, Store, Unit, Wrapped

WHY_MAX: Final = 200
REF_MAX: Final = 128
_REFERENCE: Final = re.compile(shapes.ID)


def utc_now() -> datetime:
    """The wall's time."""
    return datetime.now(UTC)


class Opened(Mapping[str, Any]):
    """Opened fields, by name. Its `repr` shows the names alone, so that a log line cannot spill them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Opened({', '.join(sorted(self._values))})"


class Vault:
    """One process's way to schema `vault` and the key file."""

    def __init__(self, store: Store, keys: KeyFile, ladder: Ladder, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._keys = keys
        self._ladder = ladder
        self._clock = clock

    @classmethod
    async def connect(cls, dsn: str, keys: KeyFile, ladder: Ladder | None = None, clock: Callable[[], datetime] = utc_now) -> Self:
        """Open the vault.

        Raises:
            BadKeys: the key file cannot be used; said at once, not at the first read.
        """
        keys.ring()
        return cls(await Store.connect(dsn), keys, ladder or Ladder(), clock)

    async def close(self) -> None:
        """Close all connections."""
        await self._store.close()

    # --- in

    async def put(self, person: str, area: str, contact: Contact, who: Reader, why: str, *, minor: bool | None = None) -> None:
        """Keep what is given of a person; what is not given stays as it was, and what is given as null is forgotten.

        Everything of the person is sealed anew, with a new data key: the rows do not tell what changed. `minor` that is not given stays as it was, too.

        Raises:
            BadContact: a reference is a phone or identity-card number.
            Denied: no purpose; a minor, and no consent to keep their data holds; or the person was erased.
            KeyDestroyed, UnknownKey, DoesNotOpen: what is there already does not open.
        """
        _check_refs(person, who.ref)
        await self._want_purpose("put", who, person, why)
        given = contact.model_dump(mode="json", exclude_unset=True)
        now = self._clock()
        denied: Denied | None = None
        async with self._store.unit() as unit:
            await unit.hold_keys()
            await unit.lock_ref(person)
            known = await unit.lock_person(person, shared=False)
            is_minor = minor if minor is not None else known is not None and known[1]
            if await unit.is_erased(person):
                denied = Denied("erased")
            elif is_minor and not any_holds(await unit.read_consents(person), person, "keep", now):
                denied = Denied("no_consent")
            else:
                await self._put(unit, Envelope(area, person, is_minor, "", 0), known, given, now)
            await unit.add_audit(_entry("put", now, who, person, sorted(given), why, Occasion(), denied.reason if denied else None))
        if denied is not None:
            raise denied

    async def _put(self, unit: Unit, new: Envelope, known: tuple[str, bool] | None, given: dict[str, Any], now: datetime) -> None:
        values: dict[str, Any] = dict.fromkeys(FIELDS)
        versions: dict[str, int] = {}
        current = self._keys.ring().current
        leaf: int | None = None
        if known is not None:
            key, values, versions = await self._open_all(unit, new.person, known)
            if key.envelope.key_id == current:
                leaf = key.envelope.leaf
        if leaf is None:
            leaf = await self._new_leaf(unit)
        await self._seal_all(unit, new._replace(key_id=current, leaf=leaf), values | given, versions, now)

    async def note_visit(self, *visits: Visit) -> None:
        """Take in how far matches are, each match once; it goes forward only, and one that is closed or released stays so.

        People are locked first: else one who is just being erased came back with their visit, and the two waited for each other in a circle.
        """
        async with self._store.unit() as unit:
            await unit.lock_people(ref for one in visits for ref in (one.resident_ref, one.helper_ref))
            await unit.write_visits(visits, STAGES)

    async def unconsented(self, who: Reader, match_ids: Collection[str] | None = None) -> list[str]:
        """The matches of visits to minors that stand, and for which no guardian's consent holds: of these matches, or of all. Each is in the audit."""
        _check_refs(who.ref)
        now = self._clock()
        async with self._store.unit() as unit:
            visits = list((await unit.read_visits(match_ids)).values()) if match_ids is not None else await unit.read_visits_of_minors(now)
            visits = [one for one in visits if one.minor and one.stage not in OVER and now < one.slot.end]
            consents = await unit.read_consents_of({one.resident_ref for one in visits}) if visits else {}
            found = [one for one in visits if not may_take_place(one, consents.get(one.resident_ref, ()), now)]
            occasions = [(one.resident_ref, Occasion(one.match_id, one.wish_id)) for one in found]
            await unit.add_audit(*(_entry("visit", now, who, ref, (), "consent to a visit", what, "no_consent") for ref, what in occasions))
        return sorted(one.match_id for one in found)

    # --- out

    async def read(self, person: str, fields: Sequence[str], who: Reader, what: Occasion, why: str) -> Opened:
        """The named fields (or views: `phone_masked`, `name_masked`, `relay`) of a person, all or none of them; null where not given.

        Raises:
            ValueError: a field has no such name, or none is named.
            BadContact: a reference is a phone or identity-card number.
            Denied: no rule allows it, or it does not open; `reason` says why. The audit has it then already.
        """
        (found,) = await self.read_many((Ask(person, tuple(dict.fromkeys(fields)), what, why),), who)
        if isinstance(found, Denied):
            raise found
        return found

    async def read_many(self, asks: Sequence[Ask], who: Reader, visits: Sequence[Visit] = ()) -> list[Opened | Denied]:
        """Several looks at once, each judged and in the audit by itself; the answers in their order, a refusal as a value.

        Args: `visits` are taken in first, as by `note_visit`, in the same transaction.

        Raises:
            ValueError, BadContact: as `read`; of any of them, and none is answered then.
            BadKeys: the key file cannot be used.
        """
        _check_refs(who.ref, *refs_of(asks))
        for fields in {ask.fields for ask in asks}:
            if not fields or not READABLE.issuperset(fields):
                raise ValueError(f"fields are some of {', '.join(sorted(READABLE))}")
        now = self._clock()
        async with self._store.unit() as unit:
            found = await look(unit, asks, who, now, self._ladder, self._keys.ring, visits)
            kept = {why: _kept(why) for why in {ask.why for ask in asks}}
            for fields, looks in groupby(zip(asks, found, strict=True), key=lambda one: one[0].fields):
                await unit.add_looks(now, who, fields, [_judged(ask, kept[ask.why], one) for ask, one in looks])
        return [one if isinstance(one, Denied) else Opened(one) for one in found]

    # --- away

    async def erase(self, person: str, who: Reader, why: str) -> bool:
        """Destroy a person's key and rows; tell whether there was anybody. A second time makes sure of the key file once more.

        The key file forgets first and is on the disk before the transaction commits: there is no moment at which the rows are gone and a backup still opens.

        Raises:
            Denied: no purpose.
            BadKeys: the key file cannot be rewritten; nothing was erased then.
        """
        _check_refs(person, who.ref)
        await self._want_purpose("erase", who, person, why)
        now = self._clock()
        async with self._store.unit() as unit:
            await unit.lock_ref(person)
            known = await unit.lock_person(person, shared=False)
            if known is not None:
                key = await unit.read_key(person, *known)
                leaves = await unit.delete_person(person, secrets.token_bytes(len(key.wrapped)), now)
            else:
                leaves = await unit.read_tombstones(person)
                if not leaves:
                    return False
            await unit.add_audit(_entry("erase", now, who, person, (), why, Occasion(), None))
            await asyncio.to_thread(self._keys.change, lambda ring: ring.forget(leaves))
        return known is not None

    async def rotate(self, who: Reader, why: str, *, retire: bool = False) -> int:
        """Make a new master key and seal everyone anew under it, with new data keys; how many people.

        May be run while others read, and again where it was interrupted. With `retire` the older master keys are thrown away afterwards: no backup from
        before opens any more, for anybody.

        Raises:
            Denied: no purpose.
            BadKeys: the key file cannot be rewritten.
            UnknownKey, DoesNotOpen: someone cannot be opened; nothing is retired then. Whose key was destroyed is passed over.
            Unfinished: somebody was put in, or another rotation began, in the meantime; nothing was retired, run it again.
        """
        _check_refs(who.ref)
        await self._want_purpose("rotate", who, None, why)
        async with self._store.unit() as unit:
            dead: list[Leaf] = await unit.read_tombstones(None)
        # A key file that came from a backup learns again what was erased since.
        ring = await asyncio.to_thread(self._keys.change, lambda old: old.forget(dead).renew(self._clock()))
        async with self._store.unit() as unit:
            people = await unit.people_under_others(ring.current)
        moved = 0
        for person in people:
            moved += await self._move(person, ring.current)
        async with self._store.unit() as unit:
            if retire:
                await self._retire(unit, ring.current)
            await unit.add_audit(_entry("rotate", self._clock(), who, None, (), why, Occasion(), None))
        return moved

    async def _move(self, person: str, key_id: str) -> int:
        async with self._store.unit() as unit:
            await unit.hold_keys()
            await unit.lock_ref(person)
            known = await unit.lock_person(person, shared=False)
            if known is None:
                return 0
            try:
                key, values, versions = await self._open_all(unit, person, known)
            except KeyDestroyed:  # erased, and come back with a backup: nothing to save
                return 0
            if key.envelope.key_id == key_id:
                return 0
            await self._seal_all(unit, key.envelope._replace(key_id=key_id, leaf=await self._new_leaf(unit, key_id)), values, versions, self._clock())
            return 1

    async def _retire(self, unit: Unit, key_id: str) -> None:
        """Throw away all master keys but one, if nobody who can still be opened is sealed under another: nobody seals anything meanwhile."""
        await unit.hold_keys(alone=True)
        ring = self._keys.ring()
        for person in await unit.people_under_others(key_id):
            known = await unit.lock_person(person, shared=True)
            if known is None:
                continue
            envelope = (await unit.read_key(person, *known)).envelope
            if not ring.is_forgotten(envelope.key_id, envelope.leaf):
                raise Unfinished
        if ring.current != key_id:
            raise Unfinished
        await asyncio.to_thread(self._keys.change, lambda old: old.retire())

    # --- guardians

    async def give_consent(self, consent: Consent, who: Reader, why: str) -> None:
        """Note a guardian's consent.

        Raises:
            BadContact: a reference is a phone or identity-card number, or the minor would be their own guardian.
            Denied: no purpose.
        """
        _check_refs(consent.minor_ref, consent.guardian_ref, who.ref)
        if consent.minor_ref == consent.guardian_ref:
            raise BadContact("监护人不能是未成年人本人：请填另一人的编号", "nobody is their own guardian: give another person's guardian_ref")
        await self._want_purpose("consent", who, consent.minor_ref, why)
        async with self._store.unit() as unit:
            await unit.write_consent(consent)
            await unit.add_audit(_entry("consent", self._clock(), who, consent.minor_ref, (), f"{consent.purpose}: {why}", Occasion(), None))

    async def withdraw_consent(self, minor: str, guardian: str, purpose: Purpose | None, who: Reader, why: str) -> int:
        """End a guardian's consents now, for one purpose or all of them; how many.

        Raises:
            BadContact, Denied: as `give_consent`.
        """
        _check_refs(minor, guardian, who.ref)
        await self._want_purpose("withdraw", who, minor, why)
        now = self._clock()
        async with self._store.unit() as unit:
            count = await unit.withdraw_consents(minor, guardian, purpose, now)
            await unit.add_audit(_entry("withdraw", now, who, minor, (), f"{purpose or 'all'}: {why}", Occasion(), None))
        return count

    async def consent_holds(self, minor: str, purpose: Purpose, at: datetime) -> bool:
        """Whether a guardian's consent covers this minor, this purpose and this instant."""
        async with self._store.unit() as unit:
            return any_holds(await unit.read_consents(minor), minor, purpose, at)

    async def consents(self, minor: str | None = None) -> list[Consent]:
        """The consents about a minor, or all."""
        async with self._store.unit() as unit:
            return await unit.read_consents(minor)

    async def visits_to_come(self, person: str) -> list[Visit]:
        """The visits of a person, as resident or as helper, that stand and are not over: who erases somebody has the other side to think of."""
        async with self._store.unit() as unit:
            return await unit.read_visits_with(person, self._clock())

    async def audit(self, person: str | None = None, limit: int = 100) -> list[Entry]:
        """The newest rows of the audit, about one person or all."""
        async with self._store.unit() as unit:
            return await unit.read_audit(person, limit)

    async def _want_purpose(self, action: str, who: Reader, person: str | None, why: str) -> None:
        """Whoever changes anything says what for, as whoever reads does; a refusal is in the audit."""
        if why.strip():
            return
        async with self._store.unit() as unit:
            await unit.add_audit(_entry(action, self._clock(), who, person, (), why, Occasion(), "no_purpose"))
        raise Denied("no_purpose")

    # --- opening and sealing

    async def _open_all(self, unit: Unit, person: str, known: tuple[str, bool]) -> tuple[Wrapped, dict[str, Any], dict[str, int]]:
        key = await unit.read_key(person, *known)
        sealed = await unit.read_sealed(person, None)
        values = open_values(self._keys.ring(), key, sealed)
        # What a newer version of us added is not in the rows yet.
        return key, dict.fromkeys(FIELDS) | values, {cell: version for cell, (version, _) in sealed.items()}

    async def _seal_all(self, unit: Unit, envelope: Envelope, values: Mapping[str, Any], versions: Mapping[str, int], now: datetime) -> None:
        data_key = new_key()
        wrapping = self._keys.ring().wrapping_key(envelope.key_id, envelope.leaf)
        sealed = {}
        for cell, value in cells_of(values).items():
            identity = Identity("sealed", envelope.area, envelope.person, cell, versions.get(cell, 0) + 1)
            sealed[cell] = (identity.version, seal(data_key, value, identity))
        await unit.write_person(Wrapped(envelope, wrap(wrapping, data_key, envelope)), sealed, now)

    async def _new_leaf(self, unit: Unit, key_id: str | None = None) -> int:
        ring = self._keys.ring()
        leaf = await unit.next_leaf()
        while ring.is_forgotten(key_id or ring.current, leaf):  # after a backup was restored, its sequence runs once more
            leaf = await unit.next_leaf()
        return leaf


def is_reference(ref: str) -> bool:
    """Whether the vault takes this for a reference: they are opaque, and one that is a number of a person would stand in the audit.

    With a blank in it, it is none: behind a name, or in groups, a number is not known for one.
    """
    return 0 < len(ref) <= REF_MAX and _REFERENCE.fullmatch(ref) is not None and not is_bare_number(ref)


def refs_of(asks: Iterable[Ask]) -> set[str]:
    """All references that looks name, each once: of people, matches and wishes."""
    return {ask.person for ask in asks}.union(*(filter(None, ask.what) for ask in asks))


def _check_refs(*refs: str) -> None:
    if not all(map(is_reference, refs)):
        raise BadContact(
            "编号须为 1 至 128 个字符，不含空格，且不能是电话或身份证号",
            "a reference has 1 to 128 characters without blanks, and is no phone or identity-card number",
        )


def _entry(action: str, now: datetime, who: Reader, person: str | None, fields: Sequence[str], why: str, what: Occasion, reason: str | None) -> Entry:
    return Entry(now, action, _outcome(reason), reason, who.role, who.ref, person, tuple(fields), _kept(why), what.match_id, what.wish_id)


def _kept(why: str) -> str:
    """A purpose as the audit has it: whoever asks may have typed a number into it, and the audit holds no personal data."""
    return mask(why)[:WHY_MAX]


def _outcome(reason: str | None) -> str:
    return "allowed" if reason is None else "failed" if reason in {"key_destroyed", "unknown_key", "does_not_open"} else "denied"


def _judged(ask: Ask, kept: str, found: dict[str, Any] | Denied) -> Judged:
    reason = found.reason if isinstance(found, Denied) else None
    return Judged(_outcome(reason), reason, ask.person, kept, ask.what.match_id, ask.what.wish_id)
