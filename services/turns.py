"""Reading many records while the loop goes on.

A record as large as the contract allows may be searched for seconds, when all of it looks like numbers; a consumer's group must hear of us meanwhile, or
takes us for dead, and who reads the same in our place is taken for dead as well.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from schemas.screening import headers_size

_LARGE_BYTES: Final = 16 * 1024
_TURN_SECONDS: Final = 0.1

T = TypeVar("T")


def size_of(record: Any) -> int:
    """About how many bytes a record has."""
    return len(record.value or b"") + len(record.key or b"") + headers_size(record.headers)


def is_large(record: Any) -> bool:
    """Whether to read it may take so long that it is not for the loop."""
    return size_of(record) > _LARGE_BYTES


async def by_turns(read: Callable[[Any], T], records: Iterable[Any], seconds: float = math.inf) -> list[T]:
    """What `read` makes of each record, in their order: what is large is read in a thread, and between many that are not the loop has its turn.

    It ends after so many `seconds`, with the first record at the earliest: what others want read waits no longer.
    """
    found: list[T] = []
    began = turn = time.monotonic()
    for record in records:
        if is_large(record):
            found.append(await asyncio.to_thread(read, record))
        else:
            found.append(read(record))
            if time.monotonic() - turn < _TURN_SECONDS:
                continue
            await asyncio.sleep(0)
        turn = time.monotonic()
        if turn - began >= seconds:
            break
    return found
