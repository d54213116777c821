"""How much one account may hold at a time of what there is only so much of: open streams, reads that wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STREAMS: Final = 20
WAITING_READS: Final = 4


class AllTaken(Exception):
    """The account holds all that it may."""


class Shares:
    """Counts what each account holds in this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: Counter[str] = Counter()

    @contextmanager
    def one_of(self, account: str) -> Iterator[None]:
        """Hold one for as long as the `with` lasts.

        Raises:
            AllTaken: they hold `most` already.
        """
        if self._held[account] >= self.most:
            raise AllTaken
        self._held[account] += 1
        try:
            yield
        finally:
            self._held[account] -= 1
            if not self._held[account]:
                del self._held[account]
