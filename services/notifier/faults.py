"""Which faults are the infrastructure's: they pass, so the same work is tried again in place. All others are an event's own."""

from typing import Final

from aiokafka.errors import KafkaError

from services import sessions

RETRY_SECONDS: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0

PASSING: Final[tuple[type[BaseException], ...]] = (OSError, KafkaError, *sessions.PASSING)  # TimeoutError is an OSError


def retry_seconds(attempt: int) -> float:
    """The pause after the n-th failure in a row, n from 1."""
    return min(RETRY_SECONDS * 2.0 ** (attempt - 1), RETRY_SECONDS_MAX)
