"""The whole of Last Metre on one machine: Kafka, PostgreSQL, topics, migrations, services. `up`, `play` and the tests start it.

```python
async with Stack(folder) as stack:
    stack.kafka.bootstrap, stack.postgres.owner_dsn(stack.database)
    stack.service("matcher").kill()  # comes back by itself
    await stack.ready()
```
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import asyncpg
from aiokafka.errors import KafkaError

from deploy import migrate, topics
from deploy.door import environment
from deploy.gateway_keys import gateway_key_file, make_gateway_key_file
from deploy.kafka import Kafka
from deploy.lock import Lock
from deploy.postgres import DATABASE, Postgres
from deploy.process import end_left_over
from deploy.running import STATUS_FILE
from deploy.servers import ExternalKafka, ExternalPostgres, named_broker
from deploy.state import ROOT, State, write_private
from deploy.supervisor import Service
from deploy.vault_keys import key_file, make_key_file
from deploy.words import Trouble, both
from schemas.topics import PRINCIPALS
from services.broker import PREFIX

WHOLE = ("matcher", "notifier", "explainer", "gateway")
"""What `up` starts."""
MODULES = {"explainer": "deploy.explainer", "board": "services.gateway.board"}
"""What runs a kind of service that is no package under `services/`."""
KEEP_SECONDS = 0.5
# With less than this on its disk a server that does not start is not given up: PostgreSQL takes its log 16 MiB at a time.
ROOM_BYTES = 64 * 1024 * 1024
ROOM_SECONDS = 5.0
LEFT_OVER_SECONDS = 10.0
SETTINGS_OF_DEPLOY = {
    *("LASTMETRE_POSTGRES", "LASTMETRE_CACHE", "LASTMETRE_STATE", "LASTMETRE_MAVEN", "LASTMETRE_VENV", "LASTMETRE_JAVA"),
    # What compose needs to make the roles; a service is given its own connection string and no more.
    *("LASTMETRE_OWNER_PASSWORD", "LASTMETRE_MATCHER_PASSWORD", "LASTMETRE_NOTIFIER_PASSWORD", "LASTMETRE_VAULT_PASSWORD"),
    *("LASTMETRE_GATEWAY_PASSWORD", "LASTMETRE_BOARD_PASSWORD", "LASTMETRE_EXPLAINER_PASSWORD"),
    # Whoever holds these can open the vault: the notifier and the gateway of a stack that has one are given them, and nobody else.
    *("LASTMETRE_VAULT_DATABASE", "LASTMETRE_VAULT_KEYS", "LASTMETRE_VAULT_SECRET"),
}
OPENS_THE_VAULT = frozenset({"notifier", "gateway"})
_OF_NOTIFIER, _OF_GATEWAY = frozenset({"notifier"}), frozenset({"gateway"})
SECRETS = {
    **dict.fromkeys(("LASTMETRE_CHANNEL", "LASTMETRE_CHANNELS", "LASTMETRE_WEBHOOK_SECRET"), _OF_NOTIFIER),
    **dict.fromkeys(("LASTMETRE_RECEIPT_SECRETS", "LASTMETRE_DOOR_SECRET", "LASTMETRE_OIDC_CLIENT_SECRET"), _OF_GATEWAY),
    "LASTMETRE_LINK_KEYS": _OF_NOTIFIER | _OF_GATEWAY,
    "LASTMETRE_EXPLAINER_SECRET": frozenset({"gateway", "explainer"}),
}
"""Settings that hold a secret, and who of the services is given them."""
_NAMED_BY_CHANNELS = re.compile(r"""_env["']?\s*[:=]\s*["']([A-Z][A-Z0-9_]{0,63})["']""")
VAULT_ROLE = "lastmetre_vault"


@dataclass(frozen=True, slots=True)
class Step:
    """News of the start: what is going on, and how far (`done` of `total`, where it can be counted). `finished` closes it."""

    name: str
    text: str
    done: int = 0
    total: int = 0
    finished: bool = False


Report = Callable[[Step], None]


def _quiet(_step: Step) -> None:
    """Tell nobody."""


class Stack:
    """All of it, in one state folder, for as long as the `async with` lasts."""

    def __init__(
        self,
        state_dir: Path,
        *,
        fresh: bool = False,
        matchers: int = 1,
        notifiers: int = 1,
        env: Mapping[str, str] | None = None,
        services: Sequence[str] = ("matcher", "notifier"),
        vault: bool = False,
        commands: Mapping[str, Sequence[str]] | None = None,
        report: Report = _quiet,
        secure: bool | None = None,
    ) -> None:
        """What to start; nothing happens yet.

        Args:
            state_dir: where data, logs, ports and passwords stay.
            fresh: forget the data of earlier runs first.
            matchers: how many matcher processes, `matcher`, `matcher-2`, ...
            notifiers: how many notifier processes, `notifier`, `notifier-2`, ...
            env: settings for every service, on top of ours.
            services: packages under `services/`, and `explainer`. Whoever has a gateway has the writer of its `board` beside it.
            vault: let notifier and gateway look people up in the vault. Without it nobody is looked up, and nothing asks for a guardian's consent.
            commands: argv of a service in place of `python -m services.<name>`.
            report: told of each step.
            secure: whether our Kafka is secured (TLS, passwords, rules) and our PostgreSQL off every network; None: as the last time in this folder.
        """
        self.state = State(state_dir)
        self.kafka: Kafka | ExternalKafka
        self.postgres: Postgres | ExternalPostgres
        self.database = DATABASE
        self._fresh = fresh
        self._numbers = {"matcher": matchers, "notifier": notifiers}
        self._env = dict(env or {})
        self._kinds = (*services, "board") if "gateway" in services else tuple(services)
        self.has_vault = vault
        self._commands = dict(commands or {})
        self._report = report
        self._secure = secure
        self._lock = Lock(self.state.folder)
        self._services: dict[str, Service] = {}
        self._keeper: asyncio.Task[None] | None = None
        self.trouble: Trouble | None = None

    # --- life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when all services are ready; where one step fails, stop what was started.

        Raises:
            Trouble: another process uses this state folder, or a step failed.
        """
        self._lock.take()
        try:
            await self._end_left_over()
            if self._fresh:
                self.state.clear_data()
            self._choose_servers()
            async with _first_trouble(), asyncio.TaskGroup() as group:
                group.create_task(self._start_kafka())
                group.create_task(self._start_postgres())
            self._make_services()
            async with _first_trouble(), asyncio.TaskGroup() as group:
                for service in self._services.values():
                    group.create_task(self._start_service(service))
            self._keeper = asyncio.create_task(self._keep(), name="keep servers")
            self._write_status()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything in order: services first, the servers after them. May be called twice, and touches nothing of another's stack."""
        if not self._lock.held:
            return
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        try:
            await asyncio.gather(*(self._stop(*service) for service in self._services.items()))
        finally:
            servers = {name: getattr(self, name) for name in ("kafka", "postgres") if hasattr(self, name)}
            await asyncio.gather(*(self._stop(*server) for server in servers.items()))
            (self.state.folder / STATUS_FILE).unlink(missing_ok=True)
            self._lock.release()

    async def _stop(self, name: str, part: Service | Kafka | ExternalKafka | Postgres | ExternalPostgres) -> None:
        if await part.stop():
            self._report(Step(name, both(f"{name} 没有按时停止，已强行结束", f"{name} did not stop in time and was killed")))

    # --- looking at it

    @property
    def started(self) -> bool:
        """Whether `start` has begun and `stop` has not ended."""
        return self._lock.held

    def service(self, name: str) -> Service:
        """One service by name: `matcher`, `matcher-2`, `notifier`.

        Raises:
            KeyError: there is none of this name.
        """
        return self._services[name]

    @property
    def services(self) -> tuple[Service, ...]:
        """All services."""
        return tuple(self._services.values())

    @property
    def vault_dsn(self) -> str:
        """The vault's connection string: the one that is named, else that of its role in our own PostgreSQL."""
        return os.environ.get("LASTMETRE_VAULT_DATABASE") or self.postgres.dsn(VAULT_ROLE, self.database)

    @property
    def web_address(self) -> str:
        """Where the pages are, as seen from this machine."""
        return f"http://127.0.0.1:{self._web_port}"

    async def ready(self) -> None:
        """Wait until every service that runs is ready.

        Raises:
            Trouble: one was given up or is late.
        """
        await asyncio.gather(*(service.ready() for service in self._services.values() if service.condition != "stopped"))

    async def watch(self) -> None:
        """Wait for as long as all is well.

        Raises:
            Trouble: a service was given up, or a server could not be brought back.
        """
        while True:
            for trouble in (self.trouble, *(service.trouble for service in self._services.values())):
                if trouble is not None:
                    raise trouble
            with contextlib.suppress(OSError):  # on a full disk all that runs goes on, and `status` tells what was
                self._write_status()
            await asyncio.sleep(KEEP_SECONDS)

    # --- steps

    def _choose_servers(self) -> None:
        named_kafka, named_postgres = named_broker(), os.environ.get("LASTMETRE_POSTGRES")
        secure = not named_kafka and (self.state.secure if self._secure is None else self._secure)
        if named_kafka:
            if self._secure:
                raise Trouble(
                    "--secure 只用于由 deploy 启动的 Kafka，而 LASTMETRE_KAFKA 指定了您自己的 Kafka：请去掉其中一个。"
                    "如您的 Kafka 需要登录，请设置 LASTMETRE_KAFKA_PROTOCOL 等变量。",
                    "--secure is about the Kafka that deploy starts, and LASTMETRE_KAFKA names one of your own: leave one of them out. "
                    "Where yours asks for a password, set LASTMETRE_KAFKA_PROTOCOL and what belongs to it.",
                )
            self.kafka = ExternalKafka(named_kafka)
        else:
            self.state.secure = secure
            self.kafka = Kafka(self.state.folder / "kafka", state=self.state, progress=self._downloaded, secure=secure)
        if named_postgres:
            self.postgres = ExternalPostgres(named_postgres, self.state, secure=secure)
            self.database = self.postgres.database
        else:
            self.postgres = Postgres(self.state.folder / "postgres", state=self.state, secure=secure)

    def _downloaded(self, done: int, total: int) -> None:
        self._report(Step("kafka", both("下载 Kafka", "downloading Kafka"), done, total))

    async def _start_kafka(self) -> None:
        self._report(Step("kafka", both("连接 Kafka", "asking Kafka") if isinstance(self.kafka, ExternalKafka) else both("启动 Kafka", "starting Kafka")))
        await self.kafka.start()
        self._report(Step("kafka", both("建立主题", "creating topics")))
        try:
            await topics.ensure(self.kafka.admin)
        except (OSError, KafkaError) as fault:
            raise Trouble(f"无法连接 Kafka：{fault}", f"Kafka does not answer at {self.kafka.bootstrap}: {fault}") from fault
        self._report(Step("kafka", f"Kafka {self.kafka.bootstrap}", finished=True))

    async def _start_postgres(self) -> None:
        if not isinstance(self.postgres, ExternalPostgres):
            self._report(Step("postgres", both("启动 PostgreSQL", "starting PostgreSQL")))
        try:
            await self.postgres.start()
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            raise self.postgres.refusal(fault) from fault
        self._report(Step("postgres", both("迁移数据库", "migrating the database")))
        try:
            await migrate.prepare(self.postgres, self.database)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            raise self.postgres.refusal(fault) from fault
        await asyncio.to_thread(make_key_file, self.state)
        if "gateway" in self._kinds:
            await asyncio.to_thread(make_gateway_key_file, self.state)
        self._report(Step("postgres", f"PostgreSQL {unquote(_address(self.postgres.owner_dsn(self.database)))}", finished=True))

    async def _start_service(self, service: Service) -> None:
        self._report(Step(service.name, both(f"启动 {service.name}", f"starting {service.name}")))
        await service.start()
        await service.ready()
        self._report(Step(service.name, both(f"{service.name} 就绪", "ready"), finished=True))

    def _make_services(self) -> None:
        for kind in self._kinds:
            for number in range(1, self._numbers.get(kind, 1) + 1):
                name = kind if number == 1 else f"{kind}-{number}"
                self._services[name] = self._service(kind, name)

    def _service(self, kind: str, name: str) -> Service:
        port = self.state.port(name)
        env = self._ways_of(kind) | {"LASTMETRE_OPS_PORT": str(port)}
        if kind == "gateway":
            env["LASTMETRE_BOARD_DATABASE"] = self.postgres.dsn("lastmetre_board", self.database)
            env["LASTMETRE_IDENTITY_KEYS"] = str(gateway_key_file(self.state))
            env.setdefault("LASTMETRE_DOOR_SECRET", self.state.password("door"))
            env["LASTMETRE_WEB_PORT"] = self._web_port
            if "explainer" in self._kinds:
                env["LASTMETRE_EXPLAINER_URL"] = f"http://127.0.0.1:{self._door_port}"
        if kind in {"notifier", "gateway"} and "gateway" in self._kinds and "LASTMETRE_DEMO_PRINCIPALS" not in self._env:
            env.setdefault("LASTMETRE_PUBLIC_URL", f"http://127.0.0.1:{self._web_port}")
            if not {"LASTMETRE_LINK_KEYS", "LASTMETRE_LINK_KEYS_FILE"} & env.keys():
                env["LASTMETRE_LINK_KEYS"] = f"local:{b64encode(sha256(self.state.password('links').encode()).digest()).decode()}"
        if kind == "explainer":
            env["LASTMETRE_EXPLAINER_PORT"] = str(self._door_port)
        if kind in {"gateway", "explainer"} and "explainer" in self._kinds:
            env["LASTMETRE_EXPLAINER_SECRET"] = self.state.password("explainer-door")
        if self.has_vault and kind in OPENS_THE_VAULT:
            env |= {"LASTMETRE_VAULT_DATABASE": self.vault_dsn, "LASTMETRE_VAULT_KEYS": str(key_file(self.state).path)}
            if secret := os.environ.get("LASTMETRE_VAULT_SECRET"):
                env["LASTMETRE_VAULT_SECRET"] = secret
        return Service(
            name,
            self._commands.get(kind, (sys.executable, "-m", MODULES.get(kind, f"services.{kind}"))),
            env=env | self._env,
            cwd=ROOT,
            log=self.state.logs / f"{name}.log",
            ops_port=port,
            pid_file=self.state.pids / name,
        )

    def _ways_of(self, kind: str) -> dict[str, str]:
        """The environment with the ways to Kafka and PostgreSQL of one kind of service: to those alone that it has a principal and a role for."""
        env = {key: value for key, value in os.environ.items() if key not in SETTINGS_OF_DEPLOY | not_for(kind) and not key.startswith(f"{PREFIX}KAFKA")}
        if kind in PRINCIPALS:
            env |= environment(self.kafka.broker(kind))
        role = next((tenant.role for tenant in migrate.TENANTS if tenant.service == kind), None)
        if role is not None:
            env["LASTMETRE_DATABASE"] = self.postgres.dsn(role, self.database)
        return env

    @cached_property
    def _web_port(self) -> str:
        """The port of the pages: the one that is asked for, or one chosen once a start, as others are told of it."""
        return os.environ.get("LASTMETRE_WEB_PORT") or self._env.get("LASTMETRE_WEB_PORT") or str(self.state.port("gateway-web"))

    @cached_property
    def _door_port(self) -> int:
        """The port of the explanation door: chosen once a start, for both who open it and who ask."""
        return self.state.port("explainer-door")

    async def _end_left_over(self) -> None:
        """End what a run left behind that was ended by force: services at once, servers so that they can close their files."""
        files = [path for path in self.state.pids.iterdir() if path.is_file()]
        servers = {"kafka": signal.SIGTERM, "postgres": signal.SIGINT}
        for path in sorted(files, key=lambda path: path.name in servers):
            await asyncio.to_thread(end_left_over, path, servers.get(path.name, signal.SIGKILL), LEFT_OVER_SECONDS)

    async def _keep(self) -> None:
        """Bring a server back that died without our doing; one whose disk is full, as soon as there is room."""
        full: set[str] = set()
        while True:
            for name, server in (("kafka", self.kafka), ("postgres", self.postgres)):
                if server.wanted and server.pid is None:
                    try:
                        await server.start()
                    except (Trouble, OSError) as fault:
                        if not self._has_no_room(name):
                            self.trouble = fault if isinstance(fault, Trouble) else Trouble(f"{name} 无法启动：{fault}", f"{name} cannot be started: {fault}")
                            return
                        if name not in full:
                            told = f"磁盘已满，{name} 已停止，腾出空间后自动恢复", f"{name} has ended, as its disk is full; it comes back when there is room"
                            self._report(Step(name, both(*told)))
                            full.add(name)
                    else:
                        if name in full:
                            full.remove(name)
                            self._report(Step(name, both(f"{name} 已恢复", f"{name} is back"), finished=True))
            await asyncio.sleep(ROOM_SECONDS if full else KEEP_SECONDS)

    def _has_no_room(self, name: str) -> bool:
        return shutil.disk_usage(self.state.folder / name).free < ROOM_BYTES

    def _write_status(self) -> None:
        status: dict[str, Any] = {
            "kafka": {
                "pid": self.kafka.pid,
                "address": self.kafka.bootstrap,
                "external": isinstance(self.kafka, ExternalKafka),
                "secure": isinstance(self.kafka, Kafka) and self.kafka.door is not None,
            },
            "postgres": {
                "pid": self.postgres.pid,
                "address": _address(self.postgres.owner_dsn(self.database)),
                "database": self.database,
                "external": isinstance(self.postgres, ExternalPostgres),
                "secure": self.postgres.secure,
            },
            "web": self.web_address if "gateway" in self._kinds else None,
            "policy": (self._env | os.environ).get("LASTMETRE_POLICY"),
            "services": {s.name: {"pid": s.pid, "condition": s.condition, "restarts": s.restarts, "port": s.ops_port} for s in self.services},
        }
        write_private(self.state.folder / STATUS_FILE, json.dumps(status, indent=1) + "\n", durable=False)


def not_for(kind: str) -> set[str]:
    """The variables with secrets that are for others than this kind of service."""
    return {name for name, kinds in SECRETS.items() if kind not in kinds} | (set() if kind == "notifier" else _variables_of_channels())


def _variables_of_channels() -> set[str]:
    """The variables by which `LASTMETRE_CHANNELS` names its secrets; of a file that cannot be read the notifier itself complains."""
    described = os.environ.get("LASTMETRE_CHANNELS", "")
    if described and not described.lstrip().startswith("{"):
        try:
            described = Path(described).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return set()
    return set(_NAMED_BY_CHANNELS.findall(described))


def _address(dsn: str) -> str:
    """host:port of a connection string, without user and password."""
    return dsn.partition("://")[2].rpartition("@")[2].partition("/")[0]


@contextlib.asynccontextmanager
async def _first_trouble() -> Any:
    """Let one clear trouble, else one fault of the system's, out of a group of tasks instead of a group of exceptions."""
    try:
        yield
    except BaseExceptionGroup as group:
        for kind in (Trouble, OSError):  # a full disk or a folder that cannot be written to is told by whoever was called
            for fault in _leaves(group):
                if isinstance(fault, kind):
                    raise fault from None
        raise


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for fault in group.exceptions:
        if isinstance(fault, BaseExceptionGroup):
            yield from _leaves(fault)
        else:
            yield fault
