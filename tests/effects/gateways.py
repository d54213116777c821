"""Gateways that honour idempotency keys and fail in every way: before the effect, after it, with and without an answer. They count effects by key."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import orjson
from aiohttp import web

from tests.listening import listening

# What becomes of an attempt, and how often of a hundred; the rest is taken and answered.
TROUBLES = {
    "500_before": 9,
    "500_after": 8,
    "cut_off_before": 6,
    "cut_off_after": 8,
    "hang_before": 3,
    "hang_after": 3,
    "429": 4,
}
# Of so many people one is refused for good by the channel for text messages, and one is taken, and is told of later as not reached.
REFUSED_ONE_IN = 12
REFUSED, UNREACHED = 0, 1
HANG_SECONDS = 3.0
OUTAGE_ONE_IN = 2000
OUTAGE_SECONDS = 1.5


@dataclass
class Gateways:
    """Two systems that know nothing of each other. `effects`: by the notice's key, without what stands behind it, over both."""

    rng: random.Random
    urls: dict[str, str] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    repeats: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    suffixed: int = 0
    leave: Callable[[str, str, str], Awaitable[object]] | None = None
    callbacks: Counter[str] = field(default_factory=Counter)
    _calling: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: dict[tuple[str, str], bool] = field(default_factory=dict)
    _away_until: float = 0.0

    async def receive(self, system: str, request: web.Request) -> web.Response:
        """One attempt."""
        body = orjson.loads(await request.read())
        channel, key = request.path.strip("/"), request.headers["Idempotency-Key"]
        self.attempts += 1
        now = asyncio.get_running_loop().time()
        if self.rng.randrange(OUTAGE_ONE_IN) == 0:
            self._away_until = now + OUTAGE_SECONDS
        if now < self._away_until:
            self.troubles["outage"] += 1
            return web.Response(status=503)
        trouble = self._drawn()
        if trouble is not None:
            self.troubles[trouble] += 1
            if trouble == "429":
                return web.Response(status=429, headers={"Retry-After": "1"})
            if trouble.endswith("_after"):
                self._take(system, channel, key, body)
            if trouble.startswith("hang"):
                await asyncio.sleep(HANG_SECONDS)
            if trouble.startswith("500"):
                return web.Response(status=500)
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=500)
        return web.json_response({"code": "OK" if self._take(system, channel, key, body) else "BLACKLISTED"})

    def _drawn(self) -> str | None:
        drawn = self.rng.randrange(100)
        for name, share in TROUBLES.items():
            if drawn < share:
                return name
            drawn -= share
        return None

    def _take(self, system: str, channel: str, key: str, body: dict[str, str]) -> bool:
        """Act on a key once; what was answered once is answered again. Whether it was taken."""
        known = self._closed.get((system, key))
        if known is not None:
            self.repeats += 1
            return known
        drawn = hash_of(body["to"]) % REFUSED_ONE_IN if channel == "sms" else None
        taken = drawn != REFUSED
        self._closed[system, key] = taken
        arrives = drawn not in {REFUSED, UNREACHED}
        if drawn is not None and taken:
            self._call_back(channel, key, "delivered" if arrives else "failed")
        if arrives:
            base, _, suffix = key.partition(":")
            self.effects[base] += 1
            self.suffixed += bool(suffix)
        return taken

    def _call_back(self, channel: str, key: str, status: str) -> None:
        """Say later how it went: at once or after a while, and some of it up to three times."""
        times = self.rng.choice((1, 1, 2, 3)) if status == "failed" else self.rng.choice((0, 0, 1, 3))
        pauses = [self.rng.choice((0.0, 0.2, 2.0)) for _ in range(times)]

        async def call() -> None:
            for pause in pauses:
                await asyncio.sleep(pause)
                if self.leave is not None:
                    self.callbacks[status] += 1
                    await self.leave(channel, key, status)

        task = asyncio.create_task(call())
        self._calling.add(task)
        task.add_done_callback(self._calling.discard)

    async def called_back(self) -> None:
        """Until all that is to be said is said."""
        await asyncio.gather(*self._calling)


def hash_of(text: str) -> int:
    """The same number for a text in every process."""
    return zlib.crc32(text.encode())


@asynccontextmanager
async def gateways(rng: random.Random) -> AsyncIterator[Gateways]:
    """Both systems, on free ports."""
    found = Gateways(rng)
    async with AsyncExitStack() as cleanup:
        for system in ("first", "second"):
            found.urls[system] = await cleanup.enter_async_context(listening("/{channel}", partial(found.receive, system)))
        yield found
