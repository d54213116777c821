"""What deploy says to people: Simplified Chinese first, then English. No logic."""

from __future__ import annotations

from pathlib import Path


class Trouble(Exception):
    """A step failed for a reason that the reader can act on. `str()` is the whole message, in both languages."""

    def __init__(self, chinese: str, english: str, *, log: Path | None = None) -> None:
        self.chinese = chinese
        self.english = english
        self.log = log
        lines = [chinese, english]
        if log is not None:
            lines.append(f"日志 / log: {log}")
        super().__init__("\n".join(lines))


def both(chinese: str, english: str) -> str:
    """One line in both languages, for progress and headings."""
    return f"{chinese} · {english}"
