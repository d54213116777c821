"""The life of an API key: made, shown once, rotated with an overlap, revoked. All SQL about it but that of checking one, which is the sign-in's.

A key is `lmk_<id>_<secret>`; the table keeps the SHA-256 of the whole of it. 256 random bits cannot be guessed, so a slow hash would gain nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.gateway.identity.model import new_api_key
from services.gateway.policy import Act
from services.gateway.roles import Principal

PREFIX: Final = "lmk_"
SCOPES: Final = (Act.PUBLISH_EVENTS, Act.READ_EVENTS, Act.MANAGE_WEBHOOKS)
"""What a key can be made for. Keys are managed by people, never by a key."""
KEYS_MAX: Final = 20
OVERLAP_DEFAULT: Final = timedelta(days=7)
OVERLAP_MAX: Final = timedelta(days=90)
Connection = asyncpg.Connection | PoolConnectionProxy

# What is used of a day is counted where a day has a quota, and seen by whoever's key it is: of anything else 0 would be untrue.
_LIST: Final = """
    SELECT k.key_id, k.account_id, k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at, q.per_minute, q.per_day, q.family,
        CASE WHEN q.per_day IS NOT NULL AND k.account_id = gateway.me() ->> 'account' THEN
            (SELECT coalesce(sum(u.used), 0) FROM gateway.key_usage u
                WHERE u.family = q.family AND u.seconds = 86400 AND u.starts_at > now() - interval '1 day') END AS used_today
    FROM gateway.api_keys k LEFT JOIN gateway.key_quotas q USING (key_id)
"""

# Locked, so that two rotations at once come one after the other.
_OF_FAMILY: Final = """
    SELECT k.key_id, k.expires_at FROM gateway.api_keys k LEFT JOIN gateway.key_quotas q USING (key_id)
    WHERE k.account_id = $1 AND coalesce(q.family, k.key_id) = $2 ORDER BY k.created_at DESC, k.key_id FOR UPDATE OF k
"""
_END: Final = "UPDATE gateway.api_keys SET expires_at = least(coalesce(expires_at, $2), $2) WHERE key_id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner sees it, without its secret.

    `used_today` may run a little ahead, as counting goes in shares; None where nothing is counted (there is no quota of the day), or for other eyes.
    """

    key_id: str
    account_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    per_minute: int | None
    per_day: int | None
    family: str | None
    used_today: int | None

    @classmethod
    def of(cls, row: Any) -> "Key":
        """From a row of the list."""
        used = row["used_today"]
        return cls(**{**dict(row), "scopes": tuple(row["scopes"]), "used_today": None if used is None else int(used)})

    @property
    def counts_as(self) -> str:
        """What it counts as towards `KEYS_MAX`: a key and the one that it was rotated into are one."""
        return self.family or self.key_id

    def state(self, now: datetime) -> str:
        """`active`, `ending` (it was rotated, or has an end), `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is None:
            return "active"
        return "ending" if now < self.expires_at else "expired"


def id_of_form(account: str, purpose: str, once: str) -> str | None:
    """The id of the key that this form makes: the same for the same form, so that a form that is sent again finds the key that is there already.

    `purpose`: what it is made for, as a page has several forms; `once`: the random text that the page put into them; without one, None.
    """
    return sha256(f"{account}\n{purpose}\n{once}".encode()).hexdigest()[:16] if once else None


def key_id_of(authorization: str | None) -> str | None:
    """The id in a header `Authorization: Bearer lmk_...`, which the guard has checked before."""
    if authorization is None or authorization[:7].lower() != "bearer " or not authorization[7:].startswith(PREFIX):
        return None
    return authorization[7 + len(PREFIX) :].partition("_")[0]


async def family_of(connection: Connection, key_id: str | None) -> str | None:
    """What all keys of its rotation have in common; none where it is no key."""
    if key_id is None:
        return None
    found = await connection.fetchval("SELECT family FROM gateway.key_quotas WHERE key_id = $1", key_id)
    return key_id if found is None else str(found)


async def one_after_the_other(connection: Connection, account: str) -> None:
    """Until the transaction ends nobody else makes a key of this account: two who count them at once would both find the last one free."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('keys of ' || $1, 0))", account)


async def listed(connection: Connection) -> list[Key]:
    """All keys that the asker may see, the newest first."""
    return [Key.of(row) for row in await connection.fetch(f"{_LIST} ORDER BY k.created_at DESC, k.key_id")]


async def one(connection: Connection, key_id: str) -> Key | None:
    """One of them."""
    row = await connection.fetchrow(f"{_LIST} WHERE k.key_id = $1", key_id)
    return None if row is None else Key.of(row)


async def add(
    connection: Connection,
    principal: Principal,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    per_minute: int | None,
    per_day: int | None,
    now: datetime,
    family: str | None = None,
    key_id: str | None = None,
) -> tuple[Key, str]:
    """Make a key of the asker's own; with it the text that is shown once. `key_id`: a random one by default.

    Raises:
        asyncpg.UniqueViolationError: there is one of this id.
    """
    fresh = new_api_key(key_id)
    key_id = fresh.key_id
    await connection.execute(
        "INSERT INTO gateway.api_keys (key_id, account_id, digest, name, scopes, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        key_id,
        principal.account,
        fresh.digest,
        name,
        sorted(set(scopes)),
        now,
        expires_at,
    )
    await connection.execute(
        "INSERT INTO gateway.key_quotas (key_id, per_minute, per_day, family) VALUES ($1, $2, $3, $4)", key_id, per_minute, per_day, family or key_id
    )
    made = await one(connection, key_id)
    assert made is not None
    return made, fresh.key


async def rotate(connection: Connection, principal: Principal, old: Key, overlap: timedelta, now: datetime, *, key_id: str | None = None) -> tuple[Key, str]:
    """A new key like the old one, which goes on for the overlap and then ends; both count under one quota, and as one key.

    The new key ends when the first of them was to end. Two of a rotation hold at a time: any other that is still in its overlap ends now, also one that
    was made from the same key before, as where the answer with it was lost. `key_id`: that of the new one, random by default.

    Raises:
        asyncpg.UniqueViolationError: there is one of this id; what was done here goes back with the transaction.
    """
    family = old.counts_as
    known = await connection.fetch(_OF_FAMILY, old.account_id, family)
    # The newest has the end that was asked for; of those before it the end may be that of an overlap.
    ends_at = known[0]["expires_at"]
    others = [row["key_id"] for row in known if row["key_id"] != old.key_id]
    await connection.execute(_END, others, now)
    await connection.execute(_END, [old.key_id], now + overlap)
    return await add(
        connection,
        principal,
        name=old.name,
        scopes=old.scopes,
        expires_at=ends_at,
        per_minute=old.per_minute,
        per_day=old.per_day,
        now=now,
        family=family,
        key_id=key_id,
    )


async def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """End it now; false where there is none. A second time changes nothing."""
    return bool(await connection.execute("UPDATE gateway.api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE key_id = $1", key_id, now) == "UPDATE 1")
