"""How a decision is written: the JSON array of structured CloudEvents that the journal keeps, byte for byte."""

from collections.abc import Sequence
from typing import Final

from schemas import codec
from schemas.instants import rfc3339
from services.matcher.core.turn import Decision
from services.matcher.outbox import SOURCE

NOTHING: Final = b"[]"


def written(area: str, at: int, decisions: Sequence[Decision]) -> tuple[str, list[bytes], bytes]:
    """(the clock in words, each decision's data as JSON, all of them as one JSON array); each carries as `time` the clock `at`."""
    time = rfc3339(at)
    bodies = [codec.dumps(one.data) for one in decisions]
    texts = [codec.structured_parts(one.type, SOURCE, one.id, time, one.subject, area, data) for one, data in zip(decisions, bodies, strict=True)]
    return time, bodies, b"[" + b",".join(texts) + b"]"


def decision_text(area: str, at: int, decisions: Sequence[Decision]) -> bytes:
    """The events that go out, as the journal keeps them."""
    return written(area, at, decisions)[2]
