"""A service with faults of our making, run as `python -m tests.e2e.faulty matcher|notifier`: all of the real one, but for a few ids.

`RAISES` is what deciding raises on; `UNSTORABLE` is decided well, but PostgreSQL refuses its row.
"""

from __future__ import annotations

import sys
from typing import Any

from services.runtime import start

RAISES = "the-core-raises"
UNSTORABLE = "postgresql-refuses"


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


if __name__ == "__main__":
    sys.exit({"matcher": matcher, "notifier": notifier}[sys.argv[1]]())
