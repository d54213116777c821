"""Rows for the tests of rights: one thing of each kind, in one place, of one resident and one volunteer.

A table is filled by what its columns are, so that a new column of another part needs nothing here. A new kind of thing in a path does: SEEDS.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from schemas.instants import MINUTE_US, micros
from schemas.place import Place
from services.gateway.policy import Thing
from services.notifier.ledger import booking
from services.notifier.visits import End, Visit
from services.notifier.visits_store import VisitsUnit
from services.tariff import Tariff

AREA: Final = "gaoxin"
HERE: Final = Place(community="jianmin", compound="xincun", building="b1", unit="u1")
RESIDENT: Final = "resident-of-the-thing"
VOLUNTEER: Final = "volunteer-of-the-thing"
_PLACE: Final = {"area": AREA, "community": HERE.community, "compound": HERE.compound, "building": HERE.building, "unit": HERE.unit}
_VALUES: Final[Mapping[str, str]] = {
    "text": "'x'",
    "boolean": "false",
    "bigint": "1",
    "integer": "1",
    "smallint": "1",
    "numeric": "1",
    "real": "1",
    "double precision": "1",
    "jsonb": "'{}'",
    "json": "'{}'",
    "bytea": "decode(repeat('00', 32), 'hex')",
    "uuid": "'00000000-0000-0000-0000-000000000001'",
    "ARRAY": "'{}'",
    "timestamp with time zone": "now()",
    "date": "now()",
    "interval": "'1 hour'",
}
_COLUMNS: Final = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'gateway' AND table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'
"""

_VISIT: Final = """
    INSERT INTO notifying.visits (match_id, wish_id, offer_id, area, partition, volunteer_ref, starts_at_us, ends_at_us, closed_at_us, number, outcome, minutes)
    VALUES ($1, 'w-' || $1, 'o', $2, 0, $3, $4, $5, $5, $6, $7, $8)
"""
_ALL_COLUMNS: Final = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'gateway' AND table_name = $1"
_NOW: Final = datetime.now(UTC)
_SLOT: Final = {"starts_at": _NOW + timedelta(hours=2), "ends_at": _NOW + timedelta(hours=4)}
_WISH: Final = {
    **_PLACE,
    **_SLOT,
    "wish_id": "the-wish",
    "resident_ref": RESIDENT,
    "state": "open",
    "title": "t",
    "category": "household",
    "urgency": "blue",
    "age_band": "adult",
    "minutes": 60,
    "helpers_needed": 1,
    "skills": ["carry"],
    "approval": "none",
    "submitted_at": _NOW,
    "received_at": _NOW,
    "changed_at": _NOW,
}
_MATCH: Final = {
    **_PLACE,
    **_SLOT,
    "match_id": "the-match",
    "wish_id": "the-wish",
    "offer_id": "the-offer",
    "resident_ref": RESIDENT,
    "volunteer_ref": VOLUNTEER,
    "rung": "unit",
    "how": "paired",
    "state": "proposed",
    "needs_answer": True,
    "expires_at": _NOW + timedelta(hours=1),
    "changed_at": _NOW,
}
_DATA: Final = {
    "wish_id": "another-wish",
    "area": AREA,
    "place": HERE.model_dump(exclude_none=True),
    "category": "household",
    "skills": ["carry"],
    "urgency": "blue",
    "minutes": 60,
    "beneficiary": {"age_band": "adult"},
    "title": "t",
    "resident_ref": RESIDENT,
}
_DRAFT: Final = "00000000-0000-0000-0000-00000000000d"


async def fill(owner: asyncpg.Connection, table: str, **known: Any) -> None:
    """Put one row into a table of the schema: of these values those that it has columns for, and whatever its other columns ask for."""
    columns = {row["column_name"] for row in await owner.fetch(_ALL_COLUMNS, table)}
    known = {name: value for name, value in known.items() if name in columns}
    needed = {row["column_name"]: _VALUES[row["data_type"]] for row in await owner.fetch(_COLUMNS, table)}
    names = [*known, *(name for name in needed if name not in known)]
    values = [f"${number}" for number in range(1, len(known) + 1)] + [needed[name] for name in names[len(known) :]]
    await owner.execute(
        f"INSERT INTO gateway.{table} ({', '.join(names)}) VALUES ({', '.join(values)}) ON CONFLICT DO NOTHING",
        *known.values(),
    )


async def book(owner: asyncpg.Connection, match_id: str, volunteer_ref: str, *ends: tuple[str, int], area: str = AREA, starts_at: datetime = _NOW) -> None:
    """A visit that ended so often, as the notifier books it, each end correcting the one before: (outcome, minutes that it took)."""
    starts = micros(starts_at)
    unit = VisitsUnit(owner)
    async with owner.transaction():
        for number, (outcome, minutes) in enumerate(ends, start=1):
            end = End(outcome, minutes, "community", starts)  # type: ignore[arg-type]
            visit = Visit(match_id, f"w-{match_id}", "o", area, 0, volunteer_ref, None, starts, starts + 60 * MINUTE_US, number, end, None, released=False)
            await unit.book([booking(visit, end, (await unit.read_booked([match_id])).get(match_id), Tariff())])
        await owner.execute(_VISIT, match_id, area, volunteer_ref, starts, starts + 60 * MINUTE_US, len(ends), *ends[-1])


async def exists(owner: asyncpg.Connection, table: str) -> bool:
    """Whether this part is there already."""
    return bool(await owner.fetchval("SELECT to_regclass('gateway.' || $1) IS NOT NULL", table))


@dataclass(frozen=True, slots=True)
class Seeded:
    """A thing that is there: what stands in the path, and what the policy knows of it."""

    parameters: Mapping[str, str]
    thing: Thing


def _belonging(account: str | None = None) -> Thing:
    return Thing(AREA, HERE, RESIDENT, frozenset({VOLUNTEER}), account)


async def _account(owner: asyncpg.Connection) -> Seeded:
    scope = [AREA, HERE.community]
    await fill(owner, "accounts", account_id="the-account", login="the-account", roles=["volunteer"], scope=scope)
    return Seeded({"account_id": "the-account"}, Thing(AREA, Place(community=HERE.community), account="the-account"))


async def _wish(owner: asyncpg.Connection) -> Seeded:
    if await exists(owner, "wishes"):
        await fill(owner, "wishes", **_WISH)
        await fill(owner, "matches", **_MATCH)
    return Seeded({"area": AREA, "wish_id": "the-wish"}, _belonging())


async def _match(owner: asyncpg.Connection) -> Seeded:
    await _wish(owner)
    return Seeded({"area": AREA, "match_id": "the-match", "action": "accept"}, _belonging())


async def _invitation(owner: asyncpg.Connection) -> Seeded:
    await _wish(owner)
    return Seeded({"wish_id": "the-wish", "offer_id": "the-offer", "action": "accept"}, _belonging())


async def _draft(owner: asyncpg.Connection) -> Seeded:
    if await exists(owner, "drafts"):
        data = {**_DATA, "window": {"start": _SLOT["starts_at"].isoformat(), "end": _SLOT["ends_at"].isoformat()}}
        said = {"wish_id": "another-wish", "origin": "entered", "entered_by": "somebody", "resident_ref": RESIDENT, "data": json.dumps(data)}
        await fill(owner, "drafts", draft_id=_DRAFT, **_PLACE, **said)
    return Seeded({"draft_id": _DRAFT}, _belonging())


async def _dead_letter(owner: asyncpg.Connection) -> Seeded:
    if await exists(owner, "dead_letters"):
        await fill(owner, "dead_letters", topic="wishes-dlq", partition=0, position=1, area=AREA, community=HERE.community)
    return Seeded({"topic": "wishes-dlq", "partition": "0", "position": "1"}, Thing(AREA, Place(community=HERE.community)))


async def _key(owner: asyncpg.Connection) -> Seeded:
    await fill(owner, "accounts", account_id="the-integrator", login="the-integrator", roles=["integrator"], scope=[AREA, HERE.community])
    await fill(owner, "api_keys", key_id="0123456789abcdef", account_id="the-integrator", name="the key")
    await fill(owner, "key_quotas", key_id="0123456789abcdef")
    await fill(owner, "key_usage", family="0123456789abcdef", account_id="the-integrator", seconds=60)
    return Seeded({"key_id": "0123456789abcdef"}, Thing(AREA, Place(community=HERE.community), account="the-integrator"))


async def _webhook(owner: asyncpg.Connection) -> Seeded:
    await _key(owner)
    webhook_id = "wh0123456789abcdef"
    await fill(owner, "webhooks", webhook_id=webhook_id, account_id="the-integrator", area=AREA, types=["lastmetre.match.confirmed.v1"])
    await fill(owner, "webhook_cursors", webhook_id=webhook_id, topic="confirmations")
    return Seeded({"webhook_id": webhook_id}, Thing(AREA, account="the-integrator"))


SEEDS: Final[Mapping[frozenset[str], Callable[[asyncpg.Connection], Awaitable[Seeded]]]] = {
    frozenset({"account_id"}): _account,
    frozenset({"wish_id"}): _wish,
    frozenset({"area", "wish_id"}): _wish,
    frozenset({"area", "match_id"}): _match,
    frozenset({"match_id", "action"}): _match,
    frozenset({"wish_id", "offer_id", "action"}): _invitation,
    frozenset({"draft_id"}): _draft,
    frozenset({"topic", "partition", "position"}): _dead_letter,
    frozenset({"key_id"}): _key,
    frozenset({"webhook_id"}): _webhook,
}
