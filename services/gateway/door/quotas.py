"""How many events a key may send in a minute and in a day. Counters lie in PostgreSQL, where all gateways meet, and cost next to nothing.

A gateway sets apart a share of the quota at a time, one statement for some hundred events, and counts that down in memory. So gateways together never
let more through than the quota, and one that is killed has at most wasted the share it had set apart.

Of one key they are counted one request after the other: where many came at once each would set a share apart, and a quota be used up that nobody used.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.gateway.database import Database
from services.gateway.door.answers import Refused
from services.gateway.roles import Principal

MINUTE: Final = 60
DAY: Final = 86_400
_SHARE: Final = 20  # a twentieth of the quota at a time
_SHARE_MAX: Final = 500
_KNOWN_SECONDS: Final = 30.0

_TAKE: Final = """
    INSERT INTO gateway.key_usage AS u (family, account_id, seconds, starts_at, used) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (family, seconds, starts_at) DO UPDATE SET used = u.used + excluded.used WHERE u.used + excluded.used <= $6
    RETURNING used
"""


@dataclass(slots=True)
class _Allowance:
    """What is left of the share of one period."""

    starts_at: int = -1
    left: int = 0


@dataclass(slots=True)
class _Known:
    """A key's quotas, as read lately, and the shares set apart. `turn`: of whoever counts now."""

    family: str = ""
    limits: dict[int, int] = field(default_factory=dict)
    read_at: float = float("-inf")
    shares: dict[int, _Allowance] = field(default_factory=lambda: {MINUTE: _Allowance(), DAY: _Allowance()})
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Quotas:
    """Counts what each key sends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, _Known] = {}

    async def take(self, principal: Principal, key_id: str | None, number: int) -> None:
        """Count so many events; a caller without a key has no quota.

        Raises:
            Refused: the quota of the minute or of the day is used up; nothing was counted for the period that had room. Or so many never fit into it.
        """
        if key_id is None:
            return
        known = self._known.get(key_id)
        if known is None:
            known = self._known[key_id] = _Known()
        async with known.turn:
            await self._count(principal, key_id, known, number)

    async def _count(self, principal: Principal, key_id: str, known: _Known, number: int) -> None:
        now = time.monotonic()
        if now - known.read_at > _KNOWN_SECONDS:
            known.family, known.limits = await self._limits(principal, key_id)
            known.read_at = now
        most = min(known.limits.values(), default=number)
        if number > most:  # however long its sender waits
            raise Refused("batch_too_large", f"{most}")
        wall = int(time.time())
        for seconds, limit in known.limits.items():
            await self._set_apart(principal, known.family, known.shares[seconds], seconds, limit, number, wall)
        for seconds in known.limits:
            known.shares[seconds].left -= number

    def forget(self, key_id: str) -> None:
        """Its quotas were changed."""
        self._known.pop(key_id, None)

    async def _limits(self, principal: Principal, key_id: str) -> tuple[str, dict[int, int]]:
        async with self._database.acting_for(principal) as connection:
            row = await connection.fetchrow("SELECT family, per_minute, per_day FROM gateway.key_quotas WHERE key_id = $1", key_id)
        found = {} if row is None else {MINUTE: row["per_minute"], DAY: row["per_day"]}
        return key_id if row is None else str(row["family"]), {seconds: limit for seconds, limit in found.items() if limit is not None}

    async def _set_apart(self, principal: Principal, family: str, share: _Allowance, seconds: int, limit: int, number: int, now: int) -> None:
        starts_at = now - now % seconds
        if share.starts_at != starts_at:
            share.starts_at, share.left = starts_at, 0
        if share.left >= number:
            return
        missing = number - share.left
        # First a whole share; where that is more than is left of the quota, just what is missing.
        for wanted in dict.fromkeys((max(missing, min(limit // _SHARE, _SHARE_MAX)), missing)):
            if wanted <= limit and await self._take(principal, family, seconds, starts_at, wanted, limit):
                share.left += wanted
                return
        raise Refused("quota_exceeded", retry_after=starts_at + seconds - now)

    async def _take(self, principal: Principal, family: str, seconds: int, starts_at: int, number: int, limit: int) -> bool:
        async with self._database.acting_for(principal) as connection:
            arguments: Sequence[object] = (family, principal.account, seconds, datetime.fromtimestamp(starts_at, UTC), number, limit)
            return await connection.fetchval(_TAKE, *arguments) is not None
