"""`python -m deploy.prepare topics` and `... migrations`: make servers of one's own ready, once, before any service starts.

For docker-compose.yml and for anyone who starts the services in some other way than `python3 -m deploy up`. Needs no state folder: addresses and
the service roles' passwords come from the environment. A second time changes nothing but passwords that are new.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Annotated, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
from aiokafka.errors import KafkaError
from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy import migrate, topics
from deploy.servers import refusal
from deploy.words import Trouble
from services.broker import PREFIX, KafkaSettings
from services.runtime import EXIT_CLEAN, EXIT_FAILED, EXIT_SETTINGS, BadSettings, load_settings

_POSTGRES_URL: Final = re.compile(r"postgres(ql)?://[^/\s@]+@[^/\s]+/[^/\s?]+(\?\S*)?")
# Passwords stand in connection strings as they are, also where compose puts them together.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]{16,}")


def _matching(shape: re.Pattern[str]) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        if shape.fullmatch(value.get_secret_value()) is None:
            raise ValueError("not of the form that is described")  # the settings' own description says it to people
        return value

    return AfterValidator(check)


Password = Annotated[
    SecretStr,
    Field(description="填写至少 16 个字符，只用 A-Z a-z 0-9 . _ ~ - | give at least 16 characters of A-Z a-z 0-9 . _ ~ -"),
    _matching(_PLAIN),
]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True)


class TopicsSettings(KafkaSettings):
    """What `topics` must know: `LASTMETRE_KAFKA`, and how one is let in there as somebody who may create topics."""


class MigrationsSettings(_Settings):
    """What `migrations` must know: the owner's connection string, and a password for each service's role."""

    postgres: Annotated[SecretStr, _matching(_POSTGRES_URL)] = Field(
        description="填写库主的连接串，如 postgresql://用户:密码@主机:5432/lastmetre"
        " | give the owner's connection string, such as postgresql://user:password@host:5432/lastmetre",
    )
    matcher_password: Password
    notifier_password: Password
    vault_password: Password
    gateway_password: Password
    board_password: Password
    explainer_password: Password


class Given:
    """Someone's own PostgreSQL, as `deploy.migrate` sees it."""

    maintenance = "postgres"

    def __init__(self, settings: MigrationsSettings) -> None:
        self._parts = urlsplit(settings.postgres.get_secret_value())
        self._passwords: dict[str, SecretStr] = {tenant.role: getattr(settings, f"{tenant.service}_password") for tenant in migrate.TENANTS}

    @property
    def database(self) -> str:
        """The database that the connection string names."""
        return self._parts.path.lstrip("/")

    def owner_dsn(self, database: str) -> str:
        """The connection string that was given, for this database."""
        return urlunsplit(self._parts._replace(path=f"/{quote(database)}"))

    def password(self, role: str) -> str:
        """The password that a service's role is to have."""
        return self._passwords[role].get_secret_value()

    def refusal(self, fault: Exception) -> Trouble:
        """Why it cannot be used, and what to mend; without the password."""
        return refusal(fault, unquote(self._parts.password or ""))


async def _topics() -> None:
    settings = load_settings(TopicsSettings)
    try:
        await topics.ensure(settings.broker)
    except (OSError, KafkaError) as fault:
        raise Trouble(f"无法连接 Kafka（{type(fault).__name__}）。", f"Kafka does not answer at {settings.kafka} ({type(fault).__name__}).") from fault


async def _migrations() -> None:
    server = Given(load_settings(MigrationsSettings))
    try:
        await migrate.prepare(server, server.database)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        raise server.refusal(fault) from fault


JOBS: Final = {"topics": _topics, "migrations": _migrations}


def main(arguments: list[str]) -> int:
    """Run one job; the exit code is 0 when it is done, 1 where it failed, 2 where it was called or configured wrongly."""
    if len(arguments) != 1 or arguments[0] not in JOBS:
        print("用法 | usage: python -m deploy.prepare topics|migrations", file=sys.stderr)
        return EXIT_SETTINGS
    try:
        asyncio.run(JOBS[arguments[0]]())
    except BadSettings as fault:
        print(fault, file=sys.stderr)
        return EXIT_SETTINGS
    except Trouble as fault:
        print(fault, file=sys.stderr)
        return EXIT_FAILED
    return EXIT_CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
