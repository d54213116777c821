"""Instants: RFC 3339 text on the wire, whole microseconds since 1970-01-01T00:00Z inside.

Integers compare, add and hash exactly and cheaply; a `datetime` only appears where a model is validated.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# RFC 3339, section 5.6: a full date, a full time, and an offset; a space may stand for the T. A leap second (:60) and
# hour 24 have no datetime, so they are refused. The years are those that can be written back in UTC. The pattern is also
# run by pydantic's own engine, which knows no look-around.
RFC3339_PATTERN: Final = (
    r"^(?:(?:19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}[Tt ]"
    r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
    r"|9999-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|\+[0-9]{2}:[0-9]{2}))$"
)
_RFC3339 = re.compile(RFC3339_PATTERN)
# How the last two but one letters of an offset begin that has 60 minutes or more: Python would add them up, pydantic refuses them.
_NO_MINUTES = frozenset(f":{digit}" for digit in "6789")
# What an event's own time may be, a service's too; what others say has to be earlier, so that all that follows from it still lies before this: see the codec.
_EARLIEST_US = 0
_LATEST_US = 253_370_764_800 * SECOND_US  # 9999-01-01T00:00:00Z


def micros(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def parse_rfc3339(text: str) -> int:
    """Microseconds since the epoch; digits beyond the sixth of a fraction are cut off.

    Raises ValueError when the text is not RFC 3339 with an offset, or lies outside the years 1970 to 9998.
    """
    if _RFC3339.fullmatch(text) is None or text[-3:-1] in _NO_MINUTES:
        raise ValueError("not RFC 3339 with an offset")
    instant = micros(datetime.fromisoformat(text.upper()))
    if not _EARLIEST_US <= instant < _LATEST_US:
        raise ValueError("outside the years 1970 to 9998")
    return instant


@lru_cache(maxsize=8192)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(instant: int) -> str:
    """The instant in UTC, with six decimals where it has a fraction: `2026-11-23T08:00:00Z`."""
    second, fraction = divmod(instant, SECOND_US)
    if fraction:
        return f"{_second_text(second)}.{fraction:06d}Z"
    return _second_text(second) + "Z"
