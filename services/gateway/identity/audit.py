"""The audit log: who did what to which thing, each row sealed to the one before it.

`hash` is an HMAC over the row and the hash before, under a key that PostgreSQL does not have: whoever can write the tables cannot make a chain that
holds, and whoever has the key (the gateway) cannot write the tables, except to add. The end of the chain is also kept outside, in the anchor file
and in the service's log, so that rows cut off at the end are missed. No text that people wrote goes in, only acts and opaque references.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import asyncpg
import structlog

from services.gateway.database import Database
from services.gateway.identity.keys import DoesNotOpen, Keys
from services.gateway.roles import Principal

Outcome = Literal["allowed", "denied", "failed"]
START: Final = bytes(32)
_PURPOSE: Final = "audit chain"
_ANCHOR_PURPOSE: Final = "audit anchor"
_THINGS_MAX: Final = 8
_LENGTH_MAX: Final = 128
_ROWS_AT_ONCE: Final = 1000
# Those of the own area and those of nobody's, each by the index of its area: of a quiet one the latest lie behind millions of others.
_RECENT: Final = """
    SELECT * FROM (
        (SELECT * FROM gateway.audit WHERE area = $1 ORDER BY seq DESC LIMIT $2)
        UNION ALL (SELECT * FROM gateway.audit WHERE area IS NULL ORDER BY seq DESC LIMIT $2)
    ) latest ORDER BY seq DESC LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `things`: opaque references such as `wish_id=w-17`; `request`: the id that the log line has, too."""

    seq: int
    at: datetime
    who: str | None
    roles: tuple[str, ...]
    area: str | None
    act: str
    outcome: Outcome
    things: tuple[str, ...]
    request: str
    key_id: str
    hash: bytes = b""

    @classmethod
    def of(cls, row: asyncpg.Record) -> Entry:
        """From a row of the table."""
        return cls(**{**dict(row), "roles": tuple(row["roles"]), "things": tuple(row["things"])})

    def message(self, before: bytes) -> bytes:
        """What is signed: the hash before, and every column, none of which can flow into the next."""
        micros = (self.at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
        columns = [self.seq, micros, self.who, list(self.roles), self.area, self.act, self.outcome, list(self.things), self.request, self.key_id]
        return before + json.dumps(columns, ensure_ascii=True, separators=(",", ":")).encode()

    def sealed(self, keys: Keys, before: bytes) -> bytes:
        """Its hash.

        Raises:
            DoesNotOpen: the key that it names is not there.
        """
        return keys.mac(_PURPOSE, self.message(before), self.key_id)


_MICROSECOND: Final = datetime.resolution


class Anchor:
    """The end of the chain outside the database: `{"seq", "hash", "key_id", "mac"}`, replaced after each row."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.path = path
        self._keys = keys
        self._written = -1

    def write(self, seq: int, head: bytes) -> None:
        """Put the end further, never back."""
        if seq <= self._written:
            return
        key_id = self._keys.current
        mac = self._keys.mac(_ANCHOR_PURPOSE, b"%d:" % seq + head, key_id)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "w", encoding="ascii") as file:
            json.dump({"seq": seq, "hash": head.hex(), "key_id": key_id, "mac": mac.hex()}, file)
        Path(name).replace(self.path)
        self._written = seq

    def read(self) -> tuple[int, bytes] | None:
        """(seq, hash), or nothing where there is no file yet.

        Raises:
            ValueError: the file is not ours, or was changed.
        """
        try:
            found = json.loads(self.path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        try:
            seq, head = int(found["seq"]), bytes.fromhex(found["hash"])
            mac = self._keys.mac(_ANCHOR_PURPOSE, b"%d:" % seq + head, str(found["key_id"]))
            if not hmac.compare_digest(mac, bytes.fromhex(found["mac"])):
                raise ValueError("changed")
        except (KeyError, TypeError, DoesNotOpen) as fault:
            raise ValueError("not an anchor") from fault
        return seq, head


async def append(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy,
    keys: Keys,
    act: str,
    outcome: Outcome,
    *,
    at: datetime,
    request: str,
    who: str | None = None,
    roles: Sequence[str] = (),
    area: str | None = None,
    things: Iterable[str] = (),
) -> tuple[int, bytes]:
    """Add one row in the transaction of a connection, which holds the chain's end from here on; that end, as (seq, hash)."""
    named = tuple(thing[:_LENGTH_MAX].replace("\0", "") for thing in things)[:_THINGS_MAX]
    last = await connection.fetchrow("SELECT seq, hash FROM gateway.audit_last()")
    assert last is not None
    entry = Entry(last["seq"] + 1, at, who, tuple(roles), area, act, outcome, named, request, keys.current)
    head = entry.sealed(keys, last["hash"])
    await connection.execute(
        "SELECT gateway.audit_add($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        entry.seq,
        at,
        who,
        entry.roles,
        area,
        act,
        outcome,
        named,
        request,
        entry.key_id,
        head,
    )
    return entry.seq, head


class Audit:
    """Adds to the log. Rows of one process go in one after the other; another process waits at the chain's end in PostgreSQL."""

    def __init__(self, database: Database, keys: Keys, anchor: Anchor | None) -> None:
        self._database = database
        self._keys = keys
        self._anchor = anchor
        self._turn = asyncio.Lock()

    async def add(
        self,
        act: str,
        outcome: Outcome,
        *,
        at: datetime,
        request: str,
        principal: Principal | None = None,
        who: str | None = None,
        area: str | None = None,
        things: Iterable[str] = (),
    ) -> None:
        """Add one row; it is in the database when this returns."""
        roles = () if principal is None else tuple(sorted(principal.roles))
        who = principal.account if principal is not None else who
        area = area or (principal.scope.area if principal is not None else None)
        async with self._turn, self._database.pool.acquire() as connection, connection.transaction():
            seq, head = await append(connection, self._keys, act, outcome, at=at, request=request, who=who, roles=roles, area=area, things=things)
        if self._anchor is not None:
            self._anchor.write(seq, head)
        structlog.get_logger().info("audited", seq=seq, head=head.hex(), request_id=request)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: how many rows hold, the end of the chain, and the first fault, if any, in Chinese and English."""

    rows: int
    head: bytes
    fault: tuple[str, str] | None = None


class _Chain:
    """Goes from row to row, in order of `seq`, and keeps none of them: the log of years is longer than memory."""

    def __init__(self, anchors: Sequence[tuple[int, bytes]], keys: Keys) -> None:
        self._wanted = dict(anchors)
        self._keys = keys
        self._seq, self._before = 0, START
        self._fault: tuple[str, str] | None = None

    def holds(self, entry: Entry) -> bool:
        """Whether it does with this row; the first that does not fit is the last that is looked at."""
        seq = self._seq + 1
        if entry.seq != seq:
            self._fault = f"第 {seq} 条缺失", f"row {seq} is missing"
            return False
        try:
            fits = hmac.compare_digest(entry.sealed(self._keys, self._before), entry.hash)
        except DoesNotOpen:
            fits = False
        if not fits:
            self._fault = f"第 {entry.seq} 条与链不符", f"row {entry.seq} does not fit the chain"
            return False
        self._before, self._seq = entry.hash, seq
        if self._wanted.get(seq, entry.hash) != entry.hash:
            self._fault = f"第 {seq} 条与库外记下的不同", f"row {seq} is not the one that was noted outside"
        return self._fault is None

    def verdict(self, head: tuple[int, bytes] | None) -> Verdict:
        """After the last row, or the first that does not fit."""
        fault, beyond = self._fault, max(self._wanted, default=0)
        if fault is None and beyond > self._seq:
            fault = f"末尾缺失：库外记到第 {beyond} 条", f"rows are cut off at the end: outside, row {beyond} was noted"
        if fault is None and head != (self._seq, self._before):
            fault = "链尾的记录与最后一条不符", "the chain's end on record is not the last row"
        return Verdict(self._seq, self._before, fault)


def verify(entries: Iterable[Entry], head: tuple[int, bytes] | None, anchors: Sequence[tuple[int, bytes]], keys: Keys) -> Verdict:
    """Go through all rows in order of `seq`. `head`: what the table of the chain's end says; `anchors`: ends noted elsewhere, (seq, hash).

    It finds a row that was changed, removed, put in or moved, rows cut off at the end, and a chain made anew without the key.
    """
    chain = _Chain(anchors, keys)
    all(chain.holds(entry) for entry in entries)
    return chain.verdict(head)


async def verify_stored(connection: asyncpg.Connection, anchors: Sequence[tuple[int, bytes]], keys: Keys) -> Verdict:
    """The same of the tables, in one snapshot and a few rows at a time; for the owner of the database."""
    chain = _Chain(anchors, keys)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        head = await connection.fetchrow("SELECT seq, hash FROM gateway.audit_head")
        async for row in connection.cursor("SELECT * FROM gateway.audit ORDER BY seq", prefetch=_ROWS_AT_ONCE):
            if not chain.holds(Entry.of(row)):
                break
    return chain.verdict(None if head is None else (head["seq"], head["hash"]))


async def recent(database: Database, principal: Principal, limit: int) -> list[Entry]:
    """The latest rows that somebody may see, the newest first."""
    async with database.acting_for(principal) as connection:
        rows = await connection.fetch(_RECENT, principal.scope.area, limit)
    return [Entry.of(row) for row in rows]
