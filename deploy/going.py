"""How far a command has come that takes more than a few seconds: on stderr, so that what it prints stays as it is.

On a terminal one line that is written over and wiped away at the end; elsewhere, as in a log, a line now and then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self, TextIO, TypeVar

from deploy.words import both

_FIRST_SECONDS: Final = 3.0
_TERMINAL_SECONDS: Final = 0.5
_LOG_SECONDS: Final = 30.0
_LOOK_EVERY: Final = 128
_WIPE: Final = "\r\x1b[K"
_Step = TypeVar("_Step")


class Going:
    """A context that counts steps. `chinese`, `english`: what is being done; `total`: how many steps there will be, as far as is known."""

    def __init__(
        self, chinese: str, english: str, total: int | None = None, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._words, self._total, self._clock = (chinese, english), total, clock
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._next_at = clock() + (_FIRST_SECONDS if self._is_terminal else _LOG_SECONDS)
        self._shown = False
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.done % _LOOK_EVERY == 0 and (now := self._clock()) >= self._next_at:
            self._next_at = now + (_TERMINAL_SECONDS if self._is_terminal else _LOG_SECONDS)
            self._say()

    def over(self, steps: Iterable[_Step]) -> Iterator[_Step]:
        """These steps, counted as they are taken."""
        for step in steps:
            yield step
            self.step()

    def _say(self) -> None:
        count = f"{self.done:,}" if self._total is None else f"{self.done:,} / {self._total:,}"
        text = f"… {both(*self._words)}: {count}"
        self._stream.write(f"{_WIPE}{text}" if self._is_terminal else f"{text}\n")
        self._stream.flush()
        self._shown = True

    def wipe(self) -> None:
        """Make room for what is printed now."""
        if self._shown and self._is_terminal:
            self._stream.write(_WIPE)
            self._stream.flush()
            self._shown = False
