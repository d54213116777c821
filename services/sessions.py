"""What the services' connections to PostgreSQL have in common."""

from typing import Any, Final

# Our statements name their rows by key, in tables that begin empty and grow fast: a plan made while they were small must not scan them, nor be compiled for
# longer than it runs.
INDEXES_ONLY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}


async def keep_session(_connection: Any) -> None:
    """A pool's `reset`: nothing that we do outlives a transaction, so a connection needs none (a round trip) when it is given back."""
