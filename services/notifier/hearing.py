"""What a record of `responses` or `confirmations` says of a visit: pure. `visiting` comes in with each record.

Most of them are confirmations that this service wrote itself, and wrote down before it published them. They are read for what a visit needs, and not held
against the contract once more; whatever is not as we write it is read like anybody's event. What is not valid, or came under a wrong key, is the matcher's.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from schemas.codec import Event, decode
from schemas.confirmations import MatchConfirmed
from schemas.errors import InvalidEvent
from schemas.instants import micros, parse_rfc3339
from schemas.lanes import is_misplaced
from schemas.topics import CONFIRMATIONS
from services.notifier.outbox import CLOSED, CONFIRMED, FAILED, SOURCE
from services.notifier.visits_store import Begun

_SOURCE: Final = SOURCE.encode()
_OURS: Final = {kind.encode(): kind for kind in (CONFIRMED, FAILED, CLOSED)}


# Slots begin on few times of a day.
_instant: Final = lru_cache(maxsize=8192)(parse_rfc3339)


@dataclass(frozen=True, slots=True)
class Heard:
    """One event, as far as visits need it: `begun` of a confirmation, `event` of all that others wrote. `time` is in microseconds."""

    type: str
    area: str
    time: int
    begun: Begun | None = None
    event: Event | None = None


def heard(record: Any) -> Heard | None:
    """What a record says; None for what is not ours to judge."""
    found = _of_our_own(record) if record.topic == CONFIRMATIONS else None
    return found if found is not None else _of_anybody(record)


def _of_our_own(record: Any) -> Heard | None:
    """What this service wrote, as it writes it; None where anything is otherwise."""
    headers = dict(record.headers)
    kind = _OURS.get(headers.get("ce_type", b""))
    if kind is None or headers.get("ce_source") != _SOURCE:
        return None
    try:
        area, time = headers["ce_partitionkey"].decode(), parse_rfc3339(headers["ce_time"].decode())
        if is_misplaced(area, area, record.partition, record.key):
            return None
        if kind != CONFIRMED:
            return Heard(kind, area, time)
        data = orjson.loads(record.value)
        names = (data["area"], data["wish_id"], data["offer_id"], data["match_id"])
        starts_at, ends_at, told_at = _instant(data["slot"]["start"]), _instant(data["slot"]["end"]), parse_rfc3339(data["confirmed_at"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if names[0] != area or not all(isinstance(name, str) for name in names):
        return None
    return Heard(kind, area, time, begun=Begun((area, names[1], names[2]), names[3], starts_at, ends_at, told_at))


def _of_anybody(record: Any) -> Heard | None:
    try:
        event = decode(record.topic, record.value, record.headers)
    except InvalidEvent:
        return None
    if is_misplaced(event.area, event.partitionkey, record.partition, record.key):
        return None
    data = event.data
    if isinstance(data, MatchConfirmed):
        begun = Begun((data.area, data.wish_id, data.offer_id), data.match_id, micros(data.slot.start), micros(data.slot.end), micros(data.confirmed_at))
        return Heard(event.type, event.area, event.time, begun=begun)
    return Heard(event.type, event.area, event.time, event=event)
