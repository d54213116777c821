"""Servers of one's own in place of ours: named by `LASTMETRE_KAFKA` and `LASTMETRE_POSTGRES`, neither started nor stopped by us."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit, urlunsplit

from deploy.state import State
from deploy.words import Trouble
from services.broker import PREFIX, Broker, KafkaSettings
from services.runtime import BadSettings, load_settings


def named_broker() -> Broker | None:
    """The Kafka that `LASTMETRE_KAFKA` and `LASTMETRE_KAFKA_...` name, or None.

    Raises:
        Trouble: one of them is not valid.
    """
    if not os.environ.get(f"{PREFIX}KAFKA"):
        return None
    try:
        return load_settings(KafkaSettings).broker
    except BadSettings as fault:
        chinese, _, english = str(fault).partition(" | ")
        raise Trouble(chinese, english) from fault


class ExternalKafka:
    """A Kafka that runs somewhere already."""

    wanted = False
    pid: int | None = None

    def __init__(self, broker: Broker) -> None:
        """Args: `broker` is also deploy's own way in, and every service's: who may do what there is for its keepers to say."""
        self.admin = broker

    @property
    def bootstrap(self) -> str:
        """Its addresses."""
        return self.admin.addresses

    def broker(self, _principal: str) -> Broker:
        """The way in that was named, for everybody."""
        return self.admin

    async def start(self) -> None:
        """Nothing to start: `deploy.topics` says where it does not answer."""

    async def stop(self) -> None:
        """Not ours to stop."""


class ExternalPostgres:
    """A PostgreSQL that runs somewhere already; the DSN's role may create roles and databases."""

    wanted = False
    pid: int | None = None

    def __init__(self, dsn: str, state: State) -> None:
        """Args: `state` keeps the service roles' passwords.

        Raises:
            Trouble: the DSN is not a PostgreSQL URL.
        """
        self._parts = urlsplit(dsn)
        self._state = state
        if self._parts.scheme not in {"postgresql", "postgres"} or not self._parts.hostname:
            raise Trouble(
                "LASTMETRE_POSTGRES 不是有效的连接串,应形如 postgresql://用户:密码@主机:5432/lastmetre。",
                "LASTMETRE_POSTGRES is not a PostgreSQL URL: give one such as postgresql://user:password@host:5432/lastmetre.",
            )

    @property
    def database(self) -> str:
        """The database that the DSN names, else `lastmetre`."""
        return self._parts.path.lstrip("/") or "lastmetre"

    @property
    def maintenance(self) -> str:
        """A database that every cluster has."""
        return "postgres"

    def owner_dsn(self, database: str | None = None) -> str:
        """The DSN that was given, for this database."""
        return urlunsplit(self._parts._replace(path=f"/{quote(database or self.database)}"))

    def password(self, role: str) -> str:
        """The password that deploy gives this role."""
        return self._state.password(role)

    def dsn(self, role: str, database: str | None = None) -> str:
        """The connection string of a service's role."""
        host = self._parts.netloc.rpartition("@")[2]
        netloc = f"{quote(role)}:{quote(self.password(role))}@{host}"
        return urlunsplit(self._parts._replace(netloc=netloc, path=f"/{quote(database or self.database)}"))

    async def start(self) -> None:
        """Nothing to start: `deploy.migrate` says where it does not answer."""

    async def stop(self) -> None:
        """Not ours to stop."""
