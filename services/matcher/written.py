"""How a decision is written: the JSON array of structured CloudEvents that the journal keeps, byte for byte."""

from collections.abc import Sequence

from schemas import codec
from schemas.instants import rfc3339
from services.matcher.core.decide import Decision
from services.matcher.outbox import SOURCE

NOTHING = b"[]"


def decision_text(area: str, at: int, decisions: Sequence[Decision]) -> bytes:
    """The events that go out, as one JSON array; each carries as `time` the clock `at` which it was decided."""
    time = rfc3339(at)
    texts = (codec.structured_parts(one.type, SOURCE, one.id, time, one.subject, area, codec.dumps(one.data)) for one in decisions)
    return b"[" + b",".join(texts) + b"]"
