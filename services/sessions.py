"""What the services' connections to PostgreSQL have in common."""

from typing import Any, Final

import asyncpg
from asyncpg.protocol import protocol

AWAY: Final[tuple[type[BaseException], ...]] = (
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # what the driver says when the server goes in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidTransactionStateError,  # the server takes no writing just now, as a standby does; or it ended our transaction, as we were frozen
    asyncpg.InvalidSQLStatementNameError,  # a pooler between us gave us another's session
    asyncpg.InvalidAuthorizationSpecificationError,  # we are shut out, or a password is being changed
    asyncpg.InvalidCatalogNameError,  # a backup is being put back
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.InsufficientResourcesError,  # connections, memory, disk
    asyncpg.ObjectNotInPrerequisiteStateError,  # somebody else has the lock; or an operator lets nobody in
    asyncpg.OperatorInterventionError,  # the server stops, or starts, or cancelled us
    asyncpg.PostgresSystemError,
)
"""What PostgreSQL, or its driver, says of the server or of the way to it, whatever it was asked for: the same may be answered in a moment."""

NO_ANSWER: Final[tuple[type[BaseException], ...]] = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Of whoever would connect: nobody speaks there. A server that refuses, or is starting, has answered. TimeoutError is an OSError."""

PASSING: Final[tuple[type[BaseException], ...]] = (
    *AWAY,
    asyncpg.InvalidCachedStatementError,  # a migration changed what a statement gives that was prepared before it
    asyncpg.InvalidSchemaNameError,  # the tables are not there yet, or are of another release, or not ours to use
    asyncpg.SyntaxOrAccessError,
    asyncpg.InternalServerError,
)
"""What is not about the event that was to be stored, so that it must not be set aside for it: the same is tried again until it passes.

All else is about what was to be stored, such as a value out of range, or a constraint.
"""

SILENT_MAX: Final = "30s"
"""So long the server keeps the session, and the lock, of one who asks it every second or two and is not heard of any more."""

# Our statements name their rows by key, in tables that begin empty and grow fast: a plan made while they were small must not scan them, nor be compiled for
# longer than it runs.
INDEXES_ONLY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}


# What asyncpg asks each row and each element of an array for, and what answers it for us.
_ASKED: Final[dict[str, Any]] = {"IterableABC": (list, tuple), "SizedABC": (list, tuple), "MappingABC": dict}


def know_rows_by_type() -> None:
    """Have asyncpg tell arrays, rows and mappings by their own types, in all of this process.

    It asks abstract classes, which answer in Python, and does so up to four times an element. It has no setting for it. What is given to a statement must be
    a list, a tuple or no container at all; anything else is refused with an error.
    """
    for name, types in _ASKED.items():
        if hasattr(protocol, name):  # another version may ask otherwise, and is left alone
            setattr(protocol, name, types)


async def keep_session(_connection: Any) -> None:
    """A pool's `reset`: nothing that we do outlives a transaction, so a connection needs none (a round trip) when it is given back."""


async def end_frozen(connection: asyncpg.Connection, *, seconds: int) -> None:
    """A pool's `init`: no transaction of this session holds its locks for longer than this, whatever has become of its process (PostgreSQL 17 and later).

    `idle_in_transaction_session_timeout` ends most of them sooner. It does not run while a statement is prepared and not yet asked, as asyncpg does in two
    messages: a process that was frozen just then kept its locks for as long as it was frozen.
    """
    if connection.get_server_version().major >= 17:
        # By the plain class: setting a session up is no step of the work, of which a listener is told (services/notifier/failpoints.py).
        await asyncpg.Connection.execute(connection, f"SET transaction_timeout = '{seconds}s'")
