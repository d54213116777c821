"""Named points where a test can let the notifier die, fail or wait. In service nobody listens, and a point costs a look at one variable.

A point is either before or after a step: `poll`, `validate`, `send`, `publish` say so in the code; the steps in PostgreSQL (`BEGIN;`, `COMMIT;` and each
statement) are points by themselves, as the connection tells of each, so no statement can be forgotten. What happens there is the listener's affair; an
error at a point of a connection is the end of that connection, as a real one would be.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

Listener = Callable[[str, str], Awaitable[None]]
"""Called with ("before" or "after", the step) at each point."""

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Call this at each point from now on, before any connection is made; None: nobody."""
    global _listener  # noqa: PLW0603 - one a process, like what it stands for: the process's death
    _listener = listener


async def before(step: str) -> None:
    """The step begins."""
    if _listener is not None:
        await _listener("before", step)


async def after(step: str) -> None:
    """The step has had its effect."""
    if _listener is not None:
        await _listener("after", step)


class _Watched(asyncpg.Connection):
    """A connection that tells of each statement."""

    __slots__ = ()

    async def _around(self, statement: str, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            await before(statement)
            found = await work()
            await after(statement)
        except ConnectionError:
            self.terminate()
            raise
        return found

    async def execute(self, query: str, *values: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - asyncpg's own signature
        return await self._around(query, lambda: super(_Watched, self).execute(query, *values, timeout=timeout))

    async def fetch(self, query: str, *values: Any, **more: Any) -> Any:
        return await self._around(query, lambda: super(_Watched, self).fetch(query, *values, **more))

    async def fetchrow(self, query: str, *values: Any, **more: Any) -> Any:
        return await self._around(query, lambda: super(_Watched, self).fetchrow(query, *values, **more))

    async def fetchval(self, query: str, *values: Any, **more: Any) -> Any:
        return await self._around(query, lambda: super(_Watched, self).fetchval(query, *values, **more))


def connection_class() -> type[asyncpg.Connection]:
    """What the pools are to make: plain connections, where nobody listens."""
    return asyncpg.Connection if _listener is None else _Watched
