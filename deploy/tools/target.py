"""Where the running system is: the settings `LASTMETRE_KAFKA` and `LASTMETRE_POSTGRES`, else what `up` left in the state folder."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from rich.console import Console

from deploy.migrate import TENANTS
from deploy.running import Running, running
from deploy.servers import named_broker, not_reached
from deploy.state import default_folder
from deploy.words import Trouble
from services.broker import Broker, Where
from services.matcher.policies import BadPolicy, Policies

_CONNECT_SECONDS = 10
_PLAIN_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Target:
    """A running system. A setting that is given counts; whatever is not given comes from the stack of the state folder."""

    kafka: Where | None
    postgres: str | None

    @property
    def broker(self) -> Broker:
        """Kafka, with the way in of the workers' tools."""
        return Broker.of(self.kafka) if self.kafka else self._running().broker("workers")

    def dsn(self, service: str) -> str:
        """A connection string with which the schema of this service (`matcher`, `notifier`) can be read."""
        if self.postgres:
            return self.postgres
        return self._running().dsn(next(tenant.role for tenant in TENANTS if tenant.service == service))

    def policies(self) -> Policies:
        """How the areas are matched there.

        Raises:
            Trouble: the policy file cannot be used.
        """
        named = os.environ.get("LASTMETRE_POLICY")
        path = Path(named) if named else None if self.postgres else self._running().policy
        try:
            return Policies.read(path)
        except BadPolicy as fault:
            raise Trouble.of(fault) from fault

    @staticmethod
    def _running() -> Running:
        return running(default_folder())

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection that can read a service's schema and change nothing.

        Raises:
            Trouble: nothing runs, or PostgreSQL does not answer.
        """
        dsn = self.dsn(service)
        try:
            connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, server_settings={"default_transaction_read_only": "on"})
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            raise not_reached(fault) from fault
        try:
            yield connection
        finally:
            await connection.close()


def find() -> Target:
    """The system to work on.

    Raises:
        Trouble: a setting is not valid; nothing runs and no settings name a system (once it is asked for).
    """
    # Whether a server answers is told in our words; the client's own lines would only stand in between.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return Target(named_broker(), os.environ.get("LASTMETRE_POSTGRES") or None)


def console() -> Console:
    """The terminal; where there is none, lines are long enough for a table."""
    made = Console(highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(highlight=False, width=_PLAIN_WIDTH)
    return made
