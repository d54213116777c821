"""What a record of `matches` says: pure. `inbox` comes in with each record.

What the matcher decides it alone decides: people are told on its word. Who else may write to the topic (workers' tools send dead letters again) is the broker's
affair, and where it is not secured, nobody's. So an event under another name than the matcher's has no effect, not even on an area's clock.
"""

from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord

from schemas import sources
from schemas.codec import Event, decode
from schemas.errors import InvalidEvent

# Why an event that is valid has no effect: the matcher did not write it.
FOREIGN: Final = "not_the_matchers"


@dataclass(slots=True)
class Letter:
    """One record, and either its event or why it has none; `outcome` is what came of it."""

    record: ConsumerRecord[Any, Any]
    event: Event | None
    fault: InvalidEvent | None
    outcome: str = ""


def read(record: ConsumerRecord[Any, Any]) -> Letter:
    """A record as a letter: with its event, with the fault for which it is set aside, or with neither where it is not the matcher's."""
    try:
        event = decode(record.topic, record.value, record.headers)
    except InvalidEvent as fault:
        return Letter(record, None, fault)
    if event.source != sources.MATCHER:
        return Letter(record, None, None, FOREIGN)
    return Letter(record, event, None)
