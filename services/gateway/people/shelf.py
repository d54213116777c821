"""What waits on the wall, kept for a moment: two hundred members who are told "too late" in one second are not two hundred looks at the table.

Kept by circle, as all volunteers of one circle see the same open wishes; what is a member's own business (their matches) is never kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from services.gateway.people.wall import OpenWish
from services.gateway.roles import Scope

SECONDS: Final = 1.0
_CIRCLES_MAX: Final = 500


class Shelf:
    """Open wishes by circle. Whoever comes while they are being fetched waits for the same answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Scope, tuple[float, asyncio.Future[tuple[OpenWish, ...]]]] = {}

    async def get(self, scope: Scope, fetch: Callable[[], Awaitable[list[OpenWish]]]) -> tuple[OpenWish, ...]:
        """Those of a circle, at most `SECONDS` old. `fetch` looks into the table; where it fails, everyone who waits hears so, and the next one tries anew."""
        now, kept = self._clock(), self._kept.get(scope)
        if kept is not None and now < kept[0]:
            return await asyncio.shield(kept[1])
        if len(self._kept) >= _CIRCLES_MAX:
            self._kept.clear()
        found: asyncio.Future[tuple[OpenWish, ...]] = asyncio.get_running_loop().create_future()
        self._kept[scope] = (now + SECONDS, found)
        try:
            found.set_result(tuple(await fetch()))
        except BaseException as fault:
            self._kept.pop(scope, None)
            found.set_exception(fault if isinstance(fault, Exception) else RuntimeError("given up"))
            found.exception()  # told to whoever waits; nobody may
            raise
        return found.result()
