"""By event time, in `play`: the lines of one minute are taken in together, so that what was said first is decided first, whatever topic it lies in.

In production nobody waits: what is at hand is decided, by the clock of the wall. Here `matching.clock` says while a minute is being published, and then up to
where its lines go; a worker takes them in once it has them all. Nothing depends on it but the order, so after a while it goes on with what it has.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import asyncpg
import orjson
import structlog
from faust.types import TP

from services.matcher.matcher import AWAY
from services.matcher.store import CLOCK_PUBLISHING

# Whoever plays publishes a minute in far less; a broker that is restarted takes longer.
_PUBLISHING_SECONDS: Final = 60.0
_COMING_SECONDS: Final = 5.0


class Minutes:
    """Looks whether a minute's lines are all there. `cursor`: up to where a partition was taken in before."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], cursor: Callable[[str, int], int]) -> None:
        self._connect = connect
        self._cursor = cursor
        self._connection: asyncpg.Connection | None = None
        self._log = structlog.get_logger().bind()

    async def is_whole(self, lasts: Mapping[TP, int], ours: Iterable[TP], waited_since: float) -> bool:
        """Whether nothing is to be waited for. `lasts`: the last offset at hand, by partition; `waited_since`: on the monotonic clock."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            row = await self._connection.fetchrow(CLOCK_PUBLISHING)
        except AWAY:
            return True  # the database is asked again by whoever stores what came
        assert row is not None
        waited = time.monotonic() - waited_since
        if row["publishing"]:
            return self._given_up(waited, _PUBLISHING_SECONDS)
        ends = orjson.loads(row["ends"])
        missing = [tp for tp in ours if ends.get(tp.topic, {}).get(str(tp.partition), 0) > max(lasts.get(tp, -1) + 1, self._cursor(tp.topic, tp.partition))]
        return not missing or self._given_up(waited, _COMING_SECONDS)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            await self._connection.close()

    def _given_up(self, waited: float, limit: float) -> bool:
        if waited > limit:
            self._log.warning("minute_in_parts", seconds=round(waited, 1))
        return waited > limit
