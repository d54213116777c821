"""All SQL of schema `vault`; each statement is a verb. Parameters are references, ciphertext and wrapped keys: no plaintext ever reaches PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, Self, TypeAlias

import asyncpg

from services.sessions import INDEXES_ONLY, end_frozen, keep_session
from services.vault.consents import Consent, Purpose
from services.vault.ladder import Slot, Stage
from services.vault.policy import Reader, Visit
from services.vault.sealing import Envelope

# A master key's id, and a leaf of its tree.
Leaf: TypeAlias = tuple[str, int]
# By cell: its version, and the sealed value.
Sealed: TypeAlias = dict[str, tuple[int, bytes]]

CONNECTIONS_MAX: Final = 4
CONNECT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 30.0
# A process that is frozen in the middle of a read must not hold back an erasure for longer.
_IDLE_IN_TRANSACTION: Final = "5s"
_TRANSACTION_SECONDS: Final = 60

_LOCK_PERSON_SHARED = "SELECT area, minor FROM vault.people WHERE person_ref = $1 FOR SHARE"
# In one order, so that two who read many never wait for each other.
_LOCK_PEOPLE = "SELECT person_ref, area, minor FROM vault.people WHERE person_ref = ANY($1::text[]) ORDER BY person_ref FOR SHARE"
_READ_ERASED = "SELECT DISTINCT person_ref FROM vault.tombstones WHERE person_ref = ANY($1::text[])"
_LOCK_PERSON = "SELECT area, minor FROM vault.people WHERE person_ref = $1 FOR UPDATE"
_IS_ERASED = "SELECT EXISTS (SELECT 1 FROM vault.tombstones WHERE person_ref = $1)"
# Putting and erasing one reference for the first time have no row to lock yet.
_LOCK_REF = "SELECT pg_advisory_xact_lock(hashtextextended('vault ' || $1, 0))"
_READ_KEY = "SELECT key_id, leaf, wrapped FROM vault.keys WHERE person_ref = $1"
_READ_KEYS_AND_SEALED = """
SELECT k.person_ref, k.key_id, k.leaf, k.wrapped, s.field, s.version, s.value
FROM vault.keys k LEFT JOIN vault.sealed s ON s.person_ref = k.person_ref AND s.field = ANY($2::text[])
WHERE k.person_ref = ANY($1::text[])
"""
_READ_SEALED_OF = "SELECT person_ref, field, version, value FROM vault.sealed WHERE person_ref = ANY($1::text[]) AND field = ANY($2::text[])"
_READ_SEALED = "SELECT field, version, value FROM vault.sealed WHERE person_ref = $1 AND ($2::text[] IS NULL OR field = ANY($2))"
_WRITE_PERSON = """
INSERT INTO vault.people (person_ref, area, minor, changed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (person_ref) DO UPDATE SET area = excluded.area, minor = excluded.minor, changed_at = excluded.changed_at
"""
# Sealing and retiring master keys exclude each other: nobody is sealed under a key that is just being thrown away.
_HOLD_KEYS = "SELECT pg_advisory_xact_lock_shared(hashtextextended('vault keys', 0))"
_HOLD_KEYS_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended('vault keys', 0))"
# Under which leaf a person was sealed before; an older backup holds that, so an erasure must make it forgotten, too.
_NOTE_FORMER = """
INSERT INTO vault.former (person_ref, key_id, leaf)
SELECT person_ref, key_id, leaf FROM vault.keys WHERE person_ref = $1 AND (key_id, leaf) <> ($2, $3)
"""
_WRITE_KEY = """
INSERT INTO vault.keys (person_ref, key_id, leaf, wrapped) VALUES ($1, $2, $3, $4)
ON CONFLICT (person_ref) DO UPDATE SET key_id = excluded.key_id, leaf = excluded.leaf, wrapped = excluded.wrapped
"""
_WRITE_SEALED = """
INSERT INTO vault.sealed (person_ref, field, version, value) SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bytea[])
ON CONFLICT (person_ref, field) DO UPDATE SET version = excluded.version, value = excluded.value
"""
# What a version of us before this one sealed under other names: its data key is gone.
_DELETE_OTHERS = "DELETE FROM vault.sealed WHERE person_ref = $1 AND field <> ALL($2::text[])"
_NEXT_LEAF = "SELECT nextval('vault.leaves')"
_OVERWRITE_KEY = "UPDATE vault.keys SET wrapped = $2 WHERE person_ref = $1"
_DELETE_PERSON = (
    "DELETE FROM vault.former WHERE person_ref = $1",
    "DELETE FROM vault.keys WHERE person_ref = $1",
    "DELETE FROM vault.sealed WHERE person_ref = $1",
    "DELETE FROM vault.visits WHERE resident_ref = $1 OR helper_ref = $1",
    "DELETE FROM vault.people WHERE person_ref = $1",
)
# Where rows came back with a backup, the tombstone is there already and is named again.
_WRITE_TOMBSTONES = """
INSERT INTO vault.tombstones (person_ref, key_id, leaf, erased_at)
SELECT person_ref, key_id, leaf, $2::timestamptz FROM vault.keys WHERE person_ref = $1
UNION SELECT person_ref, key_id, leaf, $2 FROM vault.former WHERE person_ref = $1
ON CONFLICT (person_ref, key_id, leaf) DO UPDATE SET erased_at = tombstones.erased_at
RETURNING key_id, leaf
"""
_READ_TOMBSTONES = "SELECT key_id, leaf FROM vault.tombstones WHERE $1::text IS NULL OR person_ref = $1"
_PEOPLE_UNDER_OTHERS = "SELECT person_ref FROM vault.keys WHERE key_id <> $1 ORDER BY person_ref"
# A visit goes forward only, and what is over stays over: a late event cannot show a door again. Whoever was erased comes back in no visit.
_WRITE_VISITS = """
INSERT INTO vault.visits AS known (match_id, wish_id, resident_ref, helper_ref, stage, slot_start, slot_end, minor)
SELECT new.match_id, new.wish_id, new.resident_ref, new.helper_ref, new.stage, new.slot_start, new.slot_end,
    new.minor OR EXISTS (SELECT 1 FROM vault.people p WHERE p.person_ref = new.resident_ref AND p.minor)
FROM unnest($1::vault.told_visit[]) new
WHERE new.slot_start < new.slot_end
    AND NOT EXISTS (SELECT 1 FROM vault.tombstones t WHERE t.person_ref IN (new.resident_ref, new.helper_ref))
ORDER BY new.match_id
ON CONFLICT (match_id) DO UPDATE SET stage = excluded.stage, minor = known.minor OR excluded.minor
WHERE known.stage NOT IN ('closed', 'released')
    AND array_position($2::text[], excluded.stage) > array_position($2::text[], known.stage)
RETURNING match_id, minor, xmax = 0
"""
_VISIT_COLUMNS = "match_id, wish_id, resident_ref, helper_ref, stage, slot_start, slot_end, minor"
_READ_VISITS = f"SELECT {_VISIT_COLUMNS} FROM vault.visits WHERE match_id = ANY($1::text[])"  # noqa: S608 - constants
_READ_VISITS_OF_MINORS = f"""
SELECT {_VISIT_COLUMNS} FROM vault.visits WHERE minor AND stage IN ('confirmed', 'started') AND slot_end > $1
"""  # noqa: S608 - constants
_READ_VISITS_WITH = f"""
SELECT {_VISIT_COLUMNS} FROM vault.visits WHERE (resident_ref = $1 OR helper_ref = $1) AND stage NOT IN ('closed', 'released') AND slot_end > $2
ORDER BY slot_start, match_id
"""  # noqa: S608 - constants
_CONSENT_COLUMNS = "minor_ref, guardian_ref, purpose, starts_at, ends_at, proof_sha256, given_at, withdrawn_at"
_READ_CONSENTS = f"SELECT {_CONSENT_COLUMNS} FROM vault.consents WHERE $1::text IS NULL OR minor_ref = $1 ORDER BY minor_ref, given_at"  # noqa: S608 - constants
_READ_CONSENTS_OF = f"SELECT {_CONSENT_COLUMNS} FROM vault.consents WHERE minor_ref = ANY($1::text[])"  # noqa: S608 - constants
_WRITE_CONSENT = f"INSERT INTO vault.consents ({_CONSENT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL) ON CONFLICT DO NOTHING"  # noqa: S608 - constants
_WITHDRAW_CONSENTS = """
UPDATE vault.consents SET withdrawn_at = $4
WHERE minor_ref = $1 AND guardian_ref = $2 AND ($3::text IS NULL OR purpose = $3) AND withdrawn_at IS NULL
"""
# Of looks at once, when, who and which fields are the same; the rest comes as one array of rows (migration 0040).
_ADD_LOOKS = """
INSERT INTO vault.audit (at, action, outcome, reason, role, reader_ref, person_ref, fields, why, match_id, wish_id)
SELECT $1, 'read', outcome, reason, $2, $3, person_ref, $4::text[], why, match_id, wish_id
FROM unnest($5::vault.judged_look[]) WITH ORDINALITY looks(outcome, reason, person_ref, why, match_id, wish_id, place) ORDER BY place
"""
_READ_AUDIT = """
SELECT at, action, outcome, reason, role, reader_ref, person_ref, fields, why, match_id, wish_id FROM vault.audit
WHERE $1::text IS NULL OR person_ref = $1 ORDER BY id DESC LIMIT $2
"""


class Entry(NamedTuple):
    """A row of the audit. `fields` are names; `why` was searched for personal numbers."""

    at: datetime
    action: str
    outcome: str
    reason: str | None
    role: str
    reader_ref: str
    person_ref: str | None
    fields: tuple[str, ...]
    why: str
    match_id: str | None
    wish_id: str | None


class Judged(NamedTuple):
    """What became of one look of several, as its row of the audit tells; the columns are those of `Entry`."""

    outcome: str
    reason: str | None
    person_ref: str
    why: str
    match_id: str | None
    wish_id: str | None


class Wrapped(NamedTuple):
    """A person's data key as it lies in the row, with what it is bound to."""

    envelope: Envelope
    wrapped: bytes


def _visit(row: Any) -> Visit:
    slot = Slot(row["slot_start"], row["slot_end"])
    return Visit(row["match_id"], row["wish_id"], row["resident_ref"], row["helper_ref"], row["stage"], slot, row["minor"])


class Unit:
    """One transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def lock_person(self, person: str, *, shared: bool) -> tuple[str, bool] | None:
        """(area, minor), locked until the transaction ends; None where the vault knows nobody of that reference."""
        row = await self._connection.fetchrow(_LOCK_PERSON_SHARED if shared else _LOCK_PERSON, person)
        return None if row is None else (row["area"], row["minor"])

    async def lock_people(self, people: Iterable[str]) -> dict[str, tuple[str, bool]]:
        """(area, minor) of several people, locked for others to change until the transaction ends; of those whom the vault knows."""
        rows = await self._connection.fetch(_LOCK_PEOPLE, sorted(set(people)))
        return {row["person_ref"]: (row["area"], row["minor"]) for row in rows}

    async def read_erased(self, people: Iterable[str]) -> set[str]:
        """Those of them who have a tombstone."""
        return {row["person_ref"] for row in await self._connection.fetch(_READ_ERASED, list(people))}

    async def lock_ref(self, person: str) -> None:
        """Let nobody else put or erase this reference until the transaction ends."""
        await self._connection.execute(_LOCK_REF, person)

    async def hold_keys(self, *, alone: bool = False) -> None:
        """Let nobody retire master keys until the transaction ends; `alone`: nor seal anything."""
        await self._connection.execute(_HOLD_KEYS_ALONE if alone else _HOLD_KEYS)

    async def is_erased(self, person: str) -> bool:
        """Whether a tombstone has the reference."""
        return bool(await self._connection.fetchval(_IS_ERASED, person))

    async def read_key(self, person: str, area: str, minor: bool) -> Wrapped:  # noqa: FBT001 - the columns of `lock_person`
        """The wrapped data key."""
        row = await self._connection.fetchrow(_READ_KEY, person)
        return Wrapped(Envelope(area, person, minor, row["key_id"], row["leaf"]), row["wrapped"])

    async def read_sealed(self, person: str, fields: Iterable[str] | None) -> dict[str, tuple[int, bytes]]:
        """(version, sealed value) by field; of all fields where none are named."""
        rows = await self._connection.fetch(_READ_SEALED, person, None if fields is None else list(fields))
        return {row["field"]: (row["version"], row["value"]) for row in rows}

    async def read_keys_and_sealed(self, people: Mapping[str, tuple[str, bool]], cells: Iterable[str]) -> tuple[dict[str, Wrapped], dict[str, Sealed]]:
        """The wrapped data keys of several people, with (area, minor) as they were locked, and what lies sealed in these cells; each by person."""
        keys: dict[str, Wrapped] = {}
        found: dict[str, Sealed] = {}
        for row in await self._connection.fetch(_READ_KEYS_AND_SEALED, list(people), list(cells)):
            ref, key_id, leaf, wrapped, cell, version, value = row
            if ref not in keys:
                keys[ref] = Wrapped(Envelope(people[ref][0], ref, people[ref][1], key_id, leaf), wrapped)
                found[ref] = {}
            if cell is not None:
                found[ref][cell] = (version, value)
        return keys, found

    async def read_sealed_of(self, people: Iterable[str], cells: Iterable[str]) -> dict[str, Sealed]:
        """What lies sealed in these cells, by person."""
        found: dict[str, Sealed] = {}
        for row in await self._connection.fetch(_READ_SEALED_OF, list(people), list(cells)):
            found.setdefault(row["person_ref"], {})[row["field"]] = (row["version"], row["value"])
        return found

    async def next_leaf(self) -> int:
        """A leaf that nobody had."""
        return int(await self._connection.fetchval(_NEXT_LEAF))

    async def write_person(self, key: Wrapped, sealed: Mapping[str, tuple[int, bytes]], now: datetime) -> None:
        """Write a person whole: area, whether a minor, wrapped key, all sealed values."""
        envelope = key.envelope
        await self._connection.execute(_WRITE_PERSON, envelope.person, envelope.area, envelope.minor, now)
        await self._connection.execute(_NOTE_FORMER, envelope.person, envelope.key_id, envelope.leaf)
        await self._connection.execute(_WRITE_KEY, envelope.person, envelope.key_id, envelope.leaf, key.wrapped)
        versions, values = zip(*sealed.values(), strict=True)
        await self._connection.execute(_WRITE_SEALED, envelope.person, list(sealed), list(versions), list(values))
        await self._connection.execute(_DELETE_OTHERS, envelope.person, list(sealed))

    async def delete_person(self, person: str, noise: bytes, now: datetime) -> list[Leaf]:
        """Leave a tombstone, overwrite the wrapped key, delete all rows; every leaf under which the person ever was sealed."""
        leaves = await self._connection.fetch(_WRITE_TOMBSTONES, person, now)
        await self._connection.execute(_OVERWRITE_KEY, person, noise)
        for statement in _DELETE_PERSON:
            await self._connection.execute(statement, person)
        return [(row["key_id"], row["leaf"]) for row in leaves]

    async def read_tombstones(self, person: str | None) -> list[Leaf]:
        """The leaves that an erased person had, or that all erased people had."""
        return [(row["key_id"], row["leaf"]) for row in await self._connection.fetch(_READ_TOMBSTONES, person)]

    async def people_under_others(self, key_id: str) -> list[str]:
        """Whoever is not sealed under this master key."""
        return [row["person_ref"] for row in await self._connection.fetch(_PEOPLE_UNDER_OTHERS, key_id)]

    async def write_visits(self, visits: Iterable[Visit], stages: Iterable[Stage]) -> dict[str, bool]:
        """Note visits, or move them forward; each match once. `stages` in the order in which they come.

        Those that are new here, as they were told: by match, whether the vault has them as a minor's.
        """
        rows = [(v.match_id, v.wish_id, v.resident_ref, v.helper_ref, v.stage, v.slot.start, v.slot.end, v.minor) for v in visits]
        written = await self._connection.fetch(_WRITE_VISITS, rows, list(stages)) if rows else ()
        return {match_id: minor for match_id, minor, new in written if new}

    async def read_visits(self, match_ids: Iterable[str]) -> dict[str, Visit]:
        """Visits by match."""
        return {row["match_id"]: _visit(row) for row in await self._connection.fetch(_READ_VISITS, list(match_ids))}

    async def read_visits_of_minors(self, now: datetime) -> list[Visit]:
        """The visits to minors that stand and are not over."""
        return [_visit(row) for row in await self._connection.fetch(_READ_VISITS_OF_MINORS, now)]

    async def read_visits_with(self, person: str, now: datetime) -> list[Visit]:
        """The visits of a person, as resident or as helper, that stand and are not over."""
        return [_visit(row) for row in await self._connection.fetch(_READ_VISITS_WITH, person, now)]

    async def read_consents_of(self, minors: Iterable[str]) -> dict[str, list[Consent]]:
        """The consents about several minors."""
        found: dict[str, list[Consent]] = {}
        for row in await self._connection.fetch(_READ_CONSENTS_OF, list(minors)):
            found.setdefault(row["minor_ref"], []).append(Consent(*row.values()))
        return found

    async def read_consents(self, minor: str | None) -> list[Consent]:
        """The consents about a minor, or all."""
        return [Consent(*row.values()) for row in await self._connection.fetch(_READ_CONSENTS, minor)]

    async def write_consent(self, consent: Consent) -> None:
        """Add a consent; the same one again changes nothing."""
        await self._connection.execute(
            _WRITE_CONSENT,
            consent.minor_ref,
            consent.guardian_ref,
            consent.purpose,
            consent.starts_at,
            consent.ends_at,
            consent.proof,
            consent.given_at,
        )

    async def withdraw_consents(self, minor: str, guardian: str, purpose: Purpose | None, now: datetime) -> int:
        """Withdraw a guardian's consents, of one purpose or all; how many."""
        done = await self._connection.execute(_WITHDRAW_CONSENTS, minor, guardian, purpose, now)
        return int(done.split()[-1])

    async def add_audit(self, *entries: Entry) -> None:
        """Add rows to the audit, in this order."""
        if entries:
            await self._connection.copy_records_to_table("audit", schema_name="vault", columns=Entry._fields, records=entries)

    async def add_looks(self, at: datetime, who: Reader, fields: Sequence[str], looks: Sequence[Judged]) -> None:
        """Add a row to the audit for each of these looks for the same fields, in this order."""
        await self._connection.execute(_ADD_LOOKS, at, who.role, who.ref, fields, looks)

    async def read_audit(self, person: str | None, limit: int) -> list[Entry]:
        """The audit, newest first."""
        rows = await self._connection.fetch(_READ_AUDIT, person, limit)
        return [Entry(**{**row, "fields": tuple(row["fields"])}) for row in rows]


class Store:
    """The schema, through a small pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, dsn: str) -> Self:
        """Prepare the pool; connections are made when they are needed."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            init=partial(end_frozen, seconds=_TRANSACTION_SECONDS),
            reset=keep_session,
            server_settings={"application_name": "vault", "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION, **INDEXES_ONLY},
        )
        return cls(pool)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """One transaction, committed when the block ends well."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield Unit(connection)
