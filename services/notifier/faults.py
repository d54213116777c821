"""Which faults are the infrastructure's: they pass, so the same work is tried again in place. All others are an event's own."""

from typing import Final

import asyncpg
from aiokafka.errors import KafkaError

RETRY_SECONDS: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0

PASSING: Final[tuple[type[BaseException], ...]] = (
    OSError,  # TimeoutError is one
    KafkaError,
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # the server went in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server stops, or cancelled us
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.IdleInTransactionSessionTimeoutError,  # we were frozen, and the server ended our transaction
    asyncpg.TransactionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidPasswordError,  # a password is being changed
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
    # The database is prepared for another version, or we have no right in it: no event is to blame, and all would become dead letters, one by one.
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidSchemaNameError,
)


def retry_seconds(attempt: int) -> float:
    """The pause after the n-th failure in a row, n from 1."""
    return min(RETRY_SECONDS * 2.0 ** (attempt - 1), RETRY_SECONDS_MAX)
