"""Placeholders in a file of events, so that an example is never out of date: `{{now}}`, `{{now+2h}}`, `{{uuid}}`, `{{short}}`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

_HOLDER: Final = re.compile(rb"\{\{([^{}]*)\}\}")
_NOW: Final = re.compile(r"now(?:([+-])(\d{1,6})([smhd]))?")
_SHORT: Final = 8
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class UnknownPlaceholder(Exception):
    """`str()` is the placeholder as it was written."""


def fill(line: bytes, now: datetime, new_id: Callable[[], UUID]) -> bytes:
    """The line with its placeholders filled. `{{uuid}}`, and `{{short}}` (its first eight digits), are the same wherever they stand in one line.

    Raises:
        UnknownPlaceholder: one that is none of ours.
    """
    made: list[str] = []

    def one(found: re.Match[bytes]) -> bytes:
        name = found[1].decode(errors="replace").strip()
        if name in {"uuid", "short"}:
            if not made:
                made.append(str(new_id()))
            return (made[0] if name == "uuid" else made[0][:_SHORT]).encode()
        moment = _NOW.fullmatch(name)
        if moment is None:
            raise UnknownPlaceholder(name[:40])
        sign, number, unit = moment.groups()
        shift = timedelta(**{_UNITS[unit]: int(f"{sign}{number}")}) if sign else timedelta()
        return (now + shift).isoformat(timespec="seconds").encode()

    return _HOLDER.sub(one, line)
