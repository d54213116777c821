"""What somebody said is on Kafka: wait a moment until it shows, so that the page they see next is not the one of before."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

SECONDS_MAX: Final = 2.0
_STEP_SECONDS: Final = 0.05


async def settled(shows: Callable[[], Awaitable[bool]], seconds: float = SECONDS_MAX) -> bool:
    """Whether it showed within that time."""
    deadline = time.monotonic() + seconds
    while not await shows():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_STEP_SECONDS)
    return True
