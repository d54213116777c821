"""The gateway's connections: as somebody (row-level security shows what they may see), or as the board's one writer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg

from services.gateway.roles import Principal

_BECOME = "SELECT set_config('lastmetre.principal', $1, true)"


class Database:
    """A pool of the role that requests have. That role owns nothing; without a principal it sees no row."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, size: int) -> Self:
        """Open at most `size` connections."""
        return cls(await asyncpg.create_pool(dsn, min_size=1, max_size=size, command_timeout=15, server_settings={"application_name": "lastmetre-gateway"}))

    async def close(self) -> None:
        """Close them."""
        await self.pool.close()

    @asynccontextmanager
    async def acting_for(self, principal: Principal) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A transaction in which the policies of the tables see this principal, and nobody after it does."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_BECOME, described(principal))
            yield connection


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
