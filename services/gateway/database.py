"""The gateway's connections: as somebody (row-level security shows what they may see), or as the board's one writer."""

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import asyncpg

from services.gateway.roles import Principal
from services.sessions import end_frozen

# A gateway that is frozen must not keep the audit's end, or a row that others want, locked: a request is answered, or given up, long before that.
_FROZEN_MAX: Final = "30s"
_TRANSACTION_SECONDS: Final = 60

# All that a claim must know of its member beforehand (migration 0020): it becomes whoever asks by itself, so it needs no transaction around it.
# For each of those who ask now: one after another, so nobody's look sees another's rows.
BEFORE_CLAIM = """
SELECT b.offers, b.wish, b.matches, b.near
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS asked(whoever, area, volunteer, wish, number),
    gateway.before_claim(asked.whoever, asked.area, asked.volunteer, asked.wish) b
ORDER BY asked.number
"""
NOT_AS_TOLD = "c.outcome <> 'done'"
# Whether a wish that is over, as its helpers were said to have helped, was told of otherwise since: the books know (migration 0033), the board does not.
CORRECTED = f"(w.state = 'closed' AND EXISTS (SELECT FROM gateway.corrected c WHERE c.area = w.area AND c.wish_id = w.wish_id AND {NOT_AS_TOLD}))"
# Whether a wish is for a child, as `is_minors` says of a row.
MINORS = "(coalesce(w.age_band LIKE 'under%', false) OR w.category = 'left_behind_children')"
_BECOME = "SELECT set_config('lastmetre.principal', $1, true)"


class Database:
    """A pool of the role that requests have. That role owns nothing; without a principal it sees no row."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, size: int) -> Self:
        """Open `size` connections, and keep them: when many tap at once, none of them waits for a new one."""
        settings = {"application_name": "lastmetre-gateway", "idle_in_transaction_session_timeout": _FROZEN_MAX}
        pool = await asyncpg.create_pool(
            dsn, min_size=size, max_size=size, max_inactive_connection_lifetime=0, command_timeout=15, init=_warm, reset=_leave, server_settings=settings
        )
        return cls(pool)

    async def close(self) -> None:
        """Close them."""
        await self.pool.close()

    @asynccontextmanager
    async def acting_for(self, principal: Principal) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A transaction in which the policies of the tables see this principal, and nobody after it does."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME, described(principal))
            yield connection


async def _warm(connection: asyncpg.Connection) -> None:
    """Ask once, as nobody, what each claim asks: a connection takes several times as long over the first question of a kind."""
    await end_frozen(connection, seconds=_TRANSACTION_SECONDS)
    with contextlib.suppress(asyncpg.PostgresError):
        await connection.fetch("SELECT * FROM gateway.session_of($1)", b"")
        await connection.fetch(BEFORE_CLAIM, [json.dumps({"account": "", "roles": [], "area": ""})], [""], [""], [""])


async def _leave(_connection: object) -> None:
    """Nothing is left on a connection: all that is set is set for one transaction. asyncpg's own reset would be a round trip more for each request."""


def described(principal: Principal) -> str:
    """A principal as the tables' policies read it (`gateway.me()`): JSON with roles, the scope's steps, references."""
    scope = principal.scope
    return json.dumps(
        {
            "account": principal.account,
            "roles": sorted(principal.roles),
            "area": scope.area,
            "community": scope.community,
            "compound": scope.compound,
            "building": scope.building,
            "unit": scope.unit,
            "centre": None if principal.centre is None else list(principal.centre.steps),
            "volunteer_ref": principal.volunteer_ref,
            "resident_refs": sorted(principal.resident_refs),
        }
    )
