"""Who waits for hands: what cannot wait goes first, the rest as it came. `delivery` puts notices in, and what is routed on its way to a channel."""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """Two lines before the same hands."""

    def __init__(self) -> None:
        self._first: deque[T] = deque()
        self._rest: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    def append(self, one: T, *, first: bool) -> None:
        """Behind its like."""
        (self._first if first else self._rest).append(one)

    def popleft(self) -> T:
        """Whose turn it is. Raises `IndexError` where nobody waits."""
        return (self._first or self._rest).popleft()

    def before(self, *, first: bool) -> int:
        """How many would have their turn before one that comes now."""
        return len(self._first) + (0 if first else len(self._rest))
