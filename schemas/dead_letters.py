"""What becomes of a record that was not taken: it goes to the dead letters as it came, with the reason."""

from typing import Any, Final, TypeAlias

from schemas.errors import InvalidEvent
from schemas.screening import masked_headers, masked_value
from schemas.topics import DEAD_LETTER_MAX_BYTES, EVENT_MAX_BYTES, MIB

Headers: TypeAlias = list[tuple[str, bytes | None]]

# No topic of ours takes a record for which a dead letter has no room, but one may lie there from before that was so, or on a Kafka whose keepers allow
# more. Of such a one the beginning is kept: what can't be published would hold up all that comes behind it.
_WHOLE_MAX: Final = DEAD_LETTER_MAX_BYTES - MIB // 2
_KEY_MAX: Final = 64 * 1024
# So far beyond a cut personal numbers are looked for, so that none is cut in two and half of it left.
_BEYOND: Final = 256


def dead_letter(record: Any, fault: InvalidEvent) -> tuple[bytes | None, bytes | None, Headers]:
    """(key, value, headers) of the dead letter of a Kafka record: as it came but for personal numbers in it.

    Where that is more than a dead letter holds, the beginning of its value and key without its headers, and `dlq-cut`: how many bytes it had in all.
    """
    came: Headers = [one for one in record.headers if not one[0].startswith("dlq-")]
    reason: Headers = [
        ("dlq-reason", fault.reason.encode()),
        ("dlq-message", str(fault).encode()),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", b"%d" % record.partition),
        ("dlq-offset", b"%d" % record.offset),
    ]
    size = sum(len(content or b"") for content in (record.key, record.value)) + sum(len(name.encode()) + len(content or b"") for name, content in came)
    if size > _WHOLE_MAX:
        return _beginning(record.key, _KEY_MAX), _beginning(record.value, EVENT_MAX_BYTES), [*reason, ("dlq-cut", b"%d" % size)]
    return _masked(record.key), _masked(record.value), [*masked_headers(came), *reason]


def _masked(content: bytes | None) -> bytes | None:
    return None if content is None else masked_value(content)


def _beginning(content: bytes | None, size: int) -> bytes | None:
    masked = _masked(content if content is None else content[: size + _BEYOND])
    return masked if masked is None else masked[:size]
