"""All SQL about webhooks: what their owners do with them, and what the delivery notes."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

MAX_OF_ACCOUNT: Final = 10
Connection = asyncpg.Connection | PoolConnectionProxy


_END_WITH_KEY: Final = """
    WITH of_key AS (SELECT coalesce((SELECT family FROM gateway.key_quotas WHERE key_id = $1), $1) AS family)
    UPDATE gateway.webhooks w SET state = 'disabled', reason = 'key_revoked', revision = revision + 1 FROM of_key
    WHERE w.key_family = of_key.family AND w.state = 'active' AND gateway.covers(w.area, NULL, NULL, NULL, NULL) AND NOT EXISTS (
        SELECT FROM gateway.api_keys k LEFT JOIN gateway.key_quotas q USING (key_id)
        WHERE coalesce(q.family, k.key_id) = of_key.family AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()))
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One subscription. `revision` rises with every change its owner makes; `key_family`: the keys one of which must hold, where it was made with one."""

    webhook_id: str
    account_id: str
    area: str
    url: str
    types: tuple[str, ...]
    state: str
    reason: str | None
    secret_version: int
    revision: int
    created_at: datetime
    failing_since: datetime | None
    attempts: int
    last_status: int | None
    last_at: datetime | None
    key_family: str | None

    @classmethod
    def of(cls, row: Any) -> "Webhook":
        """From a row of the table."""
        return cls(**{**dict(row), "types": tuple(row["types"])})


def new_id() -> str:
    """The id of a new webhook."""
    return f"wh{secrets.token_hex(8)}"


async def add(
    connection: Connection, webhook_id: str, account: str, area: str, url: str, types: list[str], now: datetime, *, key_family: str | None = None
) -> Webhook:
    """Put one in; its cursors follow with `move`."""
    row = await connection.fetchrow(
        "INSERT INTO gateway.webhooks (webhook_id, account_id, area, url, types, created_at, key_family) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
        webhook_id,
        account,
        area,
        url,
        types,
        now,
        key_family,
    )
    assert row is not None
    return Webhook.of(row)


async def number_of(connection: Connection, account: str) -> int:
    """How many an account has; until the transaction ends nobody else is told so, and two who ask at once do not both find the last one free."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks of ' || $1, 0))", account)
    return int(await connection.fetchval("SELECT count(*) FROM gateway.webhooks WHERE account_id = $1", account))


async def all_seen(connection: Connection) -> list[Webhook]:
    """Those that the asker may see, the oldest first."""
    return [Webhook.of(row) for row in await connection.fetch("SELECT * FROM gateway.webhooks ORDER BY created_at, webhook_id")]


async def one(connection: Connection, webhook_id: str) -> Webhook | None:
    """One of them."""
    row = await connection.fetchrow("SELECT * FROM gateway.webhooks WHERE webhook_id = $1", webhook_id)
    return None if row is None else Webhook.of(row)


async def move(connection: Connection, webhook_id: str, offsets: Mapping[str, int]) -> None:
    """Set where delivery goes on, topic by topic."""
    await connection.executemany(
        "INSERT INTO gateway.webhook_cursors (webhook_id, topic, next_offset) VALUES ($1, $2, $3) "
        "ON CONFLICT (webhook_id, topic) DO UPDATE SET next_offset = excluded.next_offset",
        [(webhook_id, topic, offset) for topic, offset in offsets.items()],
    )


async def resume(connection: Connection, webhook_id: str) -> None:
    """Deliver (again), whatever was before."""
    await connection.execute(
        "UPDATE gateway.webhooks SET state = 'active', reason = NULL, failing_since = NULL, attempts = 0, revision = revision + 1 WHERE webhook_id = $1",
        webhook_id,
    )


async def bind(connection: Connection, webhook_id: str, key_family: str | None) -> None:
    """From now on it goes by this key and its successors, or by its owner alone."""
    await connection.execute("UPDATE gateway.webhooks SET key_family = $2 WHERE webhook_id = $1", webhook_id, key_family)


async def end_with_key(connection: Connection, key_id: str) -> None:
    """Disable the webhooks that were made with a key, once no key of its rotation holds; the delivery stops by itself, this says so to their owner."""
    await connection.execute(_END_WITH_KEY, key_id)


async def rotate(connection: Connection, webhook_id: str) -> int | None:
    """A new secret; its version."""
    version = await connection.fetchval(
        "UPDATE gateway.webhooks SET secret_version = secret_version + 1, revision = revision + 1 WHERE webhook_id = $1 RETURNING secret_version", webhook_id
    )
    return None if version is None else int(version)


async def remove(connection: Connection, webhook_id: str) -> bool:
    """Take one away."""
    return bool(await connection.execute("DELETE FROM gateway.webhooks WHERE webhook_id = $1", webhook_id) == "DELETE 1")


async def cursors(connection: Connection, webhook_id: str) -> dict[str, int]:
    """Topic -> the next offset."""
    rows = await connection.fetch("SELECT topic, next_offset FROM gateway.webhook_cursors WHERE webhook_id = $1", webhook_id)
    return {row["topic"]: row["next_offset"] for row in rows}


# --- what the delivery asks and notes


async def entitled(connection: Connection, *, demo: bool) -> set[str]:
    """The webhooks whose owners may have them now; `demo`: accounts of a demonstration may, too."""
    return {row[0] for row in await connection.fetch("SELECT gateway.webhooks_entitled($1)", demo)}


async def is_entitled(connection: Connection, webhook_id: str, *, demo: bool) -> bool:
    """The same of one."""
    return await connection.fetchval("SELECT gateway.webhooks_entitled($1, $2)", demo, webhook_id) is not None


async def served(connection: Connection, webhook: Webhook, topic: str, offset: int, next_offset: int, status: int | None, now: datetime) -> bool:
    """Move on from `offset`; with a status, something was delivered. False where the owner changed it meanwhile: then nothing is noted."""
    moved = await connection.execute(
        "UPDATE gateway.webhook_cursors c SET next_offset = $4 FROM gateway.webhooks w "
        "WHERE c.webhook_id = $1 AND c.topic = $2 AND c.next_offset = $3 AND w.webhook_id = $1 AND w.revision = $5",
        webhook.webhook_id,
        topic,
        offset,
        next_offset,
        webhook.revision,
    )
    if moved != "UPDATE 1":
        return False
    if status is not None:
        await connection.execute(
            "UPDATE gateway.webhooks SET failing_since = NULL, attempts = 0, last_status = $2, last_at = $3 WHERE webhook_id = $1",
            webhook.webhook_id,
            status,
            now,
        )
    return True


async def failed(connection: Connection, webhook: Webhook, status: int | None, now: datetime) -> datetime | None:
    """Note an attempt that did not go through; since when it fails, or nothing where the owner changed it meanwhile."""
    since: datetime | None = await connection.fetchval(
        "UPDATE gateway.webhooks SET failing_since = coalesce(failing_since, $3), attempts = attempts + 1, last_status = $2, last_at = $3 "
        "WHERE webhook_id = $1 AND revision = $4 RETURNING failing_since",
        webhook.webhook_id,
        status,
        now,
        webhook.revision,
    )
    return since


async def disable(connection: Connection, webhook: Webhook, reason: str) -> None:
    """Deliver no more, until its owner resumes it."""
    await connection.execute(
        "UPDATE gateway.webhooks SET state = 'disabled', reason = $2, revision = revision + 1 WHERE webhook_id = $1 AND revision = $3",
        webhook.webhook_id,
        reason,
        webhook.revision,
    )
