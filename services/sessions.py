"""What the services' connections to PostgreSQL have in common."""

from typing import Any, Final

import asyncpg

# Our statements name their rows by key, in tables that begin empty and grow fast: a plan made while they were small must not scan them, nor be compiled for
# longer than it runs.
INDEXES_ONLY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}


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
