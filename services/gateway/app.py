"""The gateway's wires: what is made of what, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Self

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.gateway.board.hub import Answers, Hub, Tail
from services.gateway.context import Gateway
from services.gateway.database import Database
from services.gateway.door.door import opened
from services.gateway.heads import BoundedHeads
from services.gateway.identity.keys import BadKeys, read_key_file
from services.gateway.identity.service import Identity
from services.gateway.people.door import Doors
from services.gateway.people.shelf import Shelf
from services.gateway.places import Places
from services.gateway.publisher import Publisher
from services.gateway.rendering import Renderer
from services.gateway.settings import Settings
from services.gateway.web import create_app
from services.runtime import BadSettings, Ops, Readiness, Stop, cannot_listen, collect_rarely, reach
from services.vault.faults import BadKeys as BadVaultKeys
from services.vault.vault import Vault

_GRACE_SECONDS = 5
_SILENT_SECONDS = 10.0  # the board's end is asked for each second
_BACKLOG = 2048  # as uvicorn's own
_FILES = 16_384  # all streams that may be open, and as much again


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `services.runtime` has them."""

    @classmethod
    def of(cls, app: FastAPI, settings: Settings) -> Self:
        """A server of this application, where the settings say."""
        config = uvicorn.Config(
            app,
            http=BoundedHeads,
            host=settings.web_host,
            port=settings.web_port,
            log_config=None,
            access_log=False,  # a URL may carry what is nobody else's business
            lifespan="off",
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        return cls(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signals alone."""
        yield


def _listening(settings: Settings, cleanup: contextlib.ExitStack | contextlib.AsyncExitStack) -> list[socket.socket]:
    """Sockets that listen where the settings say, one an address of the host; uvicorn itself would end the process with a line in English.

    Raises:
        BadSettings: the port is taken or not for everybody, or the host is none of this machine's.
    """
    host, port = settings.web_host, settings.web_port
    listening = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            listener = socket.socket(family, kind, protocol)
            cleanup.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listening.append(listener)
    except OSError as fault:
        raise _cannot_listen(host, port, fault) from fault
    return listening


def _cannot_listen(host: str, port: int, fault: OSError) -> BadSettings:
    if fault.errno in {errno.EADDRINUSE, errno.EACCES, errno.EPERM}:
        return cannot_listen("LASTMETRE_WEB_PORT", port, fault)
    return BadSettings.of("LASTMETRE_WEB_HOST", f"{host} 不是本机的地址，请填本机的地址", f"{host} is no address of this machine: use one that is")


async def _serve(server: uvicorn.Server, listening: list[socket.socket], stop: Stop) -> None:
    serving = asyncio.create_task(server.serve(listening))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stop.set()
    stopping.cancel()
    await serving


def open_many() -> None:
    """Let this process have so many files open, as far as it may: each connection is one, and most systems begin with 1,024 where they allow many more."""
    begun_with, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if begun_with != resource.RLIM_INFINITY and begun_with < wanted:
        with contextlib.suppress(OSError, ValueError):  # where a system says that it allows more than it does
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def _vault(settings: Settings, cleanup: contextlib.AsyncExitStack) -> Vault | None:
    if settings.vault_database is None:
        return None
    try:
        vault = await Vault.connect(settings.vault_database.get_secret_value(), settings.key_file(), settings.ladder)
    except BadVaultKeys as fault:
        raise BadSettings(str(fault)) from fault
    cleanup.push_async_callback(vault.close)
    return vault


async def main(settings: Settings, stop: Stop) -> None:
    """Make everything, serve until stopped, and close it again.

    Raises:
        BadSettings: nobody can listen where the settings say, or a key file cannot be used.
        Unreachable: PostgreSQL or Kafka did not answer.
    """
    log = structlog.get_logger()
    open_many()
    try:
        keys = read_key_file(settings.identity_keys)
    except BadKeys as fault:
        raise BadSettings.of("LASTMETRE_IDENTITY_KEYS", fault.chinese, fault.english) from fault
    async with contextlib.AsyncExitStack() as cleanup:
        doors = Doors(await _vault(settings, cleanup), settings.ladder)
        connect = partial(Database.connect, settings.database.get_secret_value(), size=settings.pool_max)
        database = await reach("PostgreSQL", "LASTMETRE_DATABASE", connect, stop)
        cleanup.push_async_callback(database.close)
        await reach("Kafka", "LASTMETRE_KAFKA", settings.broker.hello, stop)
        publisher = Publisher(settings.broker)
        await publisher.start()
        cleanup.push_async_callback(publisher.stop)
        identity = Identity(settings, database, keys)
        cleanup.push_async_callback(identity.close)
        registry = CollectorRegistry()
        hub = Hub()
        tail, answers = Tail(settings.board_database.get_secret_value(), hub), Answers(settings.broker, hub)
        door = await cleanup.enter_async_context(opened(settings, database, stop))
        gateway = Gateway(settings, database, publisher, Renderer(Places.read(settings.places)), stop, hub, doors, Shelf(), identity, settings.link_ring, door)
        server = Server.of(create_app(gateway, registry), settings)
        listening = _listening(settings, cleanup)

        async def ready() -> Readiness:
            database = tail.pulse.age_seconds <= _SILENT_SECONDS
            reasons = [] if database else ["database"]
            if answers.is_deaf:
                reasons.append("broker")
            elif not server.started or not answers.ready.is_set():
                reasons.append("starting")
            return Readiness(database, 0.0, {}, tuple(reasons))

        async with Ops(settings.ops_port, {}, ready, registry), asyncio.TaskGroup() as beside:
            for loop in (tail, answers):
                beside.create_task(loop.run(stop), name=type(loop).__name__)
            collect_rarely()
            log.info("started", port=settings.web_port)
            await _serve(server, listening, stop)
    log.info("stopped")
