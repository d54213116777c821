"""What deploy says to people: Simplified Chinese first, then English. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Self


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

    @classmethod
    def of(cls, fault: Exception) -> Self:
        """What settings and their files are refused with: lines of `Chinese | English`."""
        halves = [line.partition(" | ") for line in str(fault).splitlines()]
        return cls("\n".join(chinese for chinese, _, _ in halves), "\n".join(english or chinese for chinese, _, english in halves))


NOT_TEXT = (
    "参数中有不是 UTF-8 的字符。请核对后重新输入，并把终端的编码设为 UTF-8",
    "An argument holds signs that are no UTF-8. Type it anew, and set the terminal's encoding to UTF-8",
)
"""What a database says no to before it looks for anything."""


NOT_PREPARED = ("数据库还没有准备好。请先运行：python3 -m deploy up", "The database is not prepared. Run first: python3 -m deploy up")


def both(chinese: str, english: str) -> str:
    """One line in both languages, for progress and headings."""
    return f"{chinese} · {english}"
