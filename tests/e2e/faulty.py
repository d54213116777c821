"""A service with faults of our making: all of the real one, but for a few ids. Run as `python -m tests.e2e.faulty matcher|notifier|deaf`.

`RAISES` is what deciding raises on; `UNSTORABLE` is decided well, but PostgreSQL refuses its row. `deaf` is a matcher whose reading crashes once;
the variable `MARK` names the file that remembers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from services.runtime import start

RAISES = "the-core-raises"
UNSTORABLE = "postgresql-refuses"
MARK = "LASTMETRE_TEST_MARK"


def matcher() -> int:
    """The matcher, whose core raises on the wish `RAISES`, and whose row of the wish `UNSTORABLE` holds what no text of PostgreSQL can."""
    from services.matcher import app, store
    from services.matcher.core.decide import HANDLERS

    kind = "lastmetre.wish.submitted.v1"
    decide, row = HANDLERS[kind], store._wish_row

    def faulty_decide(turn: Any, event: Any) -> None:
        decide(turn, event)  # it raises when it has changed the area already
        if event.data.wish_id == RAISES:
            raise RuntimeError("made to raise")

    def faulty_row(area: str, wish: Any, raw: Any) -> tuple[Any, ...]:
        made = row(area, wish, raw)
        return (*made[:2], "\0", *made[3:]) if wish.id == UNSTORABLE else made

    HANDLERS[kind] = faulty_decide
    store._wish_row = faulty_row
    return start(app.MatcherSettings, app.main)


def notifier() -> int:
    """The notifier, whose book raises on the match `RAISES`."""
    from services.notifier import app
    from services.notifier.book import Book
    from services.notifier.settings import Settings

    take = Book.take

    def faulty_take(book: Book, event: Any, partition: int) -> str:
        outcome = take(book, event, partition)
        if getattr(event.data, "match_id", None) == RAISES:
            raise RuntimeError("made to raise")
        return outcome

    Book.take = faulty_take  # type: ignore[method-assign,assignment]
    return start(Settings, app.main)


def deaf() -> int:
    """A matcher in which Faust's fetching crashes the first time, and Faust itself lives on without it."""
    from services.matcher import app
    from services.matcher.chunks import ChunkConsumer

    getmany, mark = ChunkConsumer.getmany, Path(os.environ[MARK])

    async def faulty_getmany(consumer: Any, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - Faust's signature
        async for chunk in getmany(consumer, timeout):
            if not mark.exists():
                mark.touch()
                raise RuntimeError("made to crash")
            yield chunk

    ChunkConsumer.getmany = faulty_getmany  # type: ignore[method-assign,assignment]
    return start(app.MatcherSettings, app.main)


if __name__ == "__main__":
    sys.exit({"matcher": matcher, "notifier": notifier, "deaf": deaf}[sys.argv[1]]())
