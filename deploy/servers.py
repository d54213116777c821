"""Servers of one's own in place of ours: named by `LASTMETRE_KAFKA` and `LASTMETRE_POSTGRES`, neither started nor stopped by us."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

import asyncpg

from deploy.state import State
from deploy.words import NOT_PREPARED, NOT_TEXT, Trouble
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
        raise Trouble.of(fault) from fault


def are_named() -> bool:
    """Whether one of the servers at least is somebody's own: what is invented must not go there unasked."""
    return any(os.environ.get(name) for name in (f"{PREFIX}KAFKA", "LASTMETRE_POSTGRES"))


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

    async def stop(self) -> bool:
        """Not ours to stop."""
        return False


class ExternalPostgres:
    """A PostgreSQL that runs somewhere already; the DSN's role may create roles and databases."""

    wanted = False
    pid: int | None = None
    secure = False

    def __init__(self, dsn: str, state: State, *, secure: bool = False) -> None:
        """Args: `state` keeps the service roles' passwords; `secure`: what goes over a network must be encrypted, to a server whose certificate is checked.

        Raises:
            Trouble: the DSN is not a PostgreSQL URL, or would speak in plain text, or with anybody.
        """
        self._state = state
        try:
            self._parts = urlsplit(dsn)
            _ = self._parts.port  # a sign of the password that stands for itself in a URL ends up there
        except ValueError:
            raise _no_url() from None
        if self._parts.scheme not in {"postgresql", "postgres"} or not self._parts.hostname:
            raise _no_url()
        if secure and not self._is_safe():
            raise Trouble(
                "--secure 要求经网络的数据库连接加密并核验证书：请在 LASTMETRE_POSTGRES 末尾加 ?sslmode=verify-full（必要时加 &sslrootcert=证书文件）。",
                "With --secure, a database over the network must be encrypted and its certificate checked: add ?sslmode=verify-full "
                "to LASTMETRE_POSTGRES (and &sslrootcert=FILE where its authority is your own).",
            )

    def _is_safe(self) -> bool:
        """Whether nobody on a network can read or play the server: over a socket of the file system, or with a certificate that is checked."""
        query = parse_qs(self._parts.query)
        if (query.get("host") or [unquote(self._parts.netloc.rpartition("@")[2])])[-1].startswith("/"):
            return True
        return query.get("sslmode", [""])[-1] == "verify-full"

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

    def refusal(self, fault: Exception) -> Trouble:
        """What a fault of the connection, or of the preparation, means for `LASTMETRE_POSTGRES`; the password is nowhere in it."""
        return refusal(fault, unquote(self._parts.password or ""))

    async def start(self) -> None:
        """Nothing to start: `deploy.migrate` says where it does not answer."""

    async def stop(self) -> bool:
        """Not ours to stop."""
        return False


def _no_url() -> Trouble:
    return Trouble(
        "LASTMETRE_POSTGRES 不是有效的连接串，应形如 postgresql://用户:密码@主机:5432/lastmetre；密码中的特殊字符须写成 %XX。",
        "LASTMETRE_POSTGRES is not a PostgreSQL URL: give one such as postgresql://user:password@host:5432/lastmetre, special signs of the password as %XX.",
    )


# What each kind of fault means, the first that fits: what the server or the client said, and what to mend.
_REFUSALS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "PostgreSQL 拒绝登录（{said}）。请核对 LASTMETRE_POSTGRES 中的用户和密码，以及服务器是否允许本机连接。",
        "PostgreSQL lets nobody in like this ({said}). See that user and password in LASTMETRE_POSTGRES are right, and that the server takes us.",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "PostgreSQL 没有这个数据库（{said}）。请核对 LASTMETRE_POSTGRES 末尾的库名；服务器上还须有名为 postgres 的库。",
        "PostgreSQL has no such database ({said}). See to the name at the end of LASTMETRE_POSTGRES; there must also be one that is called postgres.",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "LASTMETRE_POSTGRES 的用户权限不足（{said}）。它须能建角色和 schema；库不存在时还须能建库。",
        "The user of LASTMETRE_POSTGRES may not do enough ({said}). It must be able to make roles and schemas, and the database where there is none.",
    ),
    (
        asyncpg.PostgresError,
        "PostgreSQL 准备失败（{kind}：{said}）。请检查 LASTMETRE_POSTGRES 所指的服务器。",
        "PostgreSQL could not be prepared ({kind}: {said}). See to the server that LASTMETRE_POSTGRES names.",
    ),
    (
        asyncpg.InterfaceError,
        "LASTMETRE_POSTGRES 不能用于连接（{said}）。请核对连接串，包括末尾的 ?sslmode=… 等参数。",
        "LASTMETRE_POSTGRES cannot be used to connect ({said}). See to the connection string, and to what follows ? in it, such as sslmode.",
    ),
)


def not_reached(fault: Exception) -> Trouble:
    """Why a tool does not get at PostgreSQL, and where to look: at the setting that names one, else at what `up` started."""
    kind, named = type(fault).__name__, os.environ.get("LASTMETRE_POSTGRES")
    if isinstance(fault, asyncpg.DataError):
        return Trouble(*NOT_TEXT)
    if isinstance(fault, (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)):
        return Trouble(*NOT_PREPARED)
    if not named:
        return Trouble(
            f"PostgreSQL 没有应答或拒绝了（{kind}）。请确认系统在运行：python3 -m deploy status",
            f"PostgreSQL does not answer, or refuses ({kind}). See whether the system runs: python3 -m deploy status",
        )
    if isinstance(fault, asyncpg.PostgresError) and not isinstance(fault, (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)):
        return Trouble(
            f"PostgreSQL 拒绝了（{kind}）。请检查 LASTMETRE_POSTGRES 所指的服务器和用户权限。",
            f"PostgreSQL refuses ({kind}). See to the server that LASTMETRE_POSTGRES names, and to what its user may do.",
        )
    try:
        password = unquote(urlsplit(named).password or "")
    except ValueError:
        password = ""
    return refusal(fault, password)


def refusal(fault: Exception, password: str = "") -> Trouble:
    """Why the PostgreSQL that `LASTMETRE_POSTGRES` names cannot be used, and what to mend. `password` is taken out of what the server says."""
    if isinstance(fault, asyncpg.PostgresError):
        said = str(fault.args[0]) if fault.args else type(fault).__name__
        said = said.replace(password, "***") if password else said
    else:  # a client's own words may repeat any part of the connection string
        said = type(fault).__name__
    for kind, zh, en in _REFUSALS:
        if isinstance(fault, kind):
            return Trouble(zh.format(said=said, kind=type(fault).__name__), en.format(said=said, kind=type(fault).__name__))
    return Trouble(
        f"无法连接 PostgreSQL（{said}）。请核对 LASTMETRE_POSTGRES 中的主机和端口，并确认服务器在运行。",
        f"PostgreSQL does not answer ({said}). See that host and port in LASTMETRE_POSTGRES are right, and that the server runs.",
    )
