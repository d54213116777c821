"""What all services share: settings from the environment, JSON logs, signals and exit codes, health and metrics.

A service's `__main__` comes in with its settings and its coroutine; nothing here connects, reads the environment or starts
a thread at import. Logs are one JSON object a line on stdout. The path of a line is kept short, because each service writes
one canonical line for every event it takes in: one processor, orjson, and one write to the system per turn of the loop.
"""

import asyncio
import atexit
import contextlib
import errno
import gc
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import RawIOBase
from types import TracebackType
from typing import Annotated, Any, BinaryIO, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg
import orjson
import structlog
import uvloop
from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from schemas.instants import rfc3339
from schemas.personal import mask
from services import broker
from services.dumps import keep_memory_to_oneself

PREFIX: Final = broker.PREFIX
LOOPBACK: Final = "127.0.0.1"
EXIT_CLEAN: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2
EXIT_INTERRUPTED: Final = 130
_PARENT_SECONDS: Final = 0.5
_LOG_BUFFER_BYTES: Final = 256 * 1024
_SAME_SECONDS: Final = 1.0
_BEAT_SECONDS: Final = 1.0

Clock = Literal["wall", "event"]
Level = Literal["debug", "info", "warning", "error"]
S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")


# --- settings


_HOST: Final = r"(\[[^\]]*\]|[^:,\[\]]*)(:\d+)?"
_HOSTS: Final = re.compile(f"{_HOST}(,{_HOST})*")


def _postgres_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    # One host or several; a sign of the password that stands for itself in a URL ends up there.
    if parts.scheme not in {"postgresql", "postgres"} or not _HOSTS.fullmatch(parts.netloc.rpartition("@")[2]):
        raise ValueError("not a URL of PostgreSQL")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
"""A connection string; the setting's own description tells people how to write it."""


class ProcessSettings(BaseSettings):
    """Settings of every process, from variables `LASTMETRE_...`. A description is `Chinese | English` and says the fix."""

    model_config = broker.KafkaSettings.model_config

    database: DatabaseUrl = Field(
        description="填写本服务自己角色的 PostgreSQL 连接串，如 postgresql://用户:密码@主机:5432/lastmetre"
        " | give the PostgreSQL connection string of this service's own role, such as postgresql://user:password@host:5432/lastmetre",
    )
    clock: Clock = Field("wall", description="填 wall 或 event | use wall or event")
    ops_port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="填 0（不开）至 65535 的端口 | use a port from 0 (none) to 65535")
    log_level: Level = Field("info", description="填 debug、info、warning 或 error | use debug, info, warning or error")
    parent_pid: int | None = Field(None, ge=1, description="填监管进程的进程号，或不设 | give the supervisor's process id, or leave it unset")


class ServiceSettings(ProcessSettings, broker.KafkaSettings):
    """Settings of every process that speaks to Kafka."""


class BadSettings(Exception):
    """The environment does not suffice; `str()` has one line in Chinese and English a variable, and never a value."""

    @classmethod
    def of(cls, variable: str, chinese: str, english: str) -> Self:
        """One variable is not valid: why, and what to do."""
        return cls(f"环境变量 {variable} 不合规：{chinese} | environment variable {variable} is not valid: {english}")


def load_settings(model: type[S]) -> S:
    """The settings of one service from the environment.

    Raises:
        BadSettings: a variable is missing or not valid.
    """
    try:
        return model()
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False, include_context=False)
    except SettingsError as error:  # what is to be JSON and is not
        (name,) = re.findall(r'field "(\w+)"', str(error))
        raise BadSettings(_complaint(model, (name,), "json_invalid", "")) from None
    raise BadSettings("\n".join(_complaint(model, one["loc"], one["type"], one["msg"]) for one in complaints))


def _complaint(model: type[BaseSettings], place: tuple[int | str, ...], kind: str, message: str) -> str:
    if not place:  # a rule over several variables, worded by its validator in both languages
        return message.removeprefix("Value error, ")
    name = str(place[0])
    described = model.model_fields[name].description or " | " if name in model.model_fields else " | "
    chinese, _, english = described.partition(" | ")
    variable = f"{PREFIX}{name.upper()}"
    if kind == "missing":
        return f"缺少环境变量 {variable}：{chinese} | environment variable {variable} is missing: {english}"
    return str(BadSettings.of(variable, chinese, english))


# --- logs


class _Lines:
    """The logger below structlog: within a turn of the event loop many lines become one write to the system.

    A line that cannot be written, as the disk is full or nobody reads any more, is left out: nothing that somebody waits for is to fail for it. How many were
    left out the next line that can be written tells.
    """

    def __init__(self, file: RawIOBase | BinaryIO) -> None:
        """Args: `file` keeps nothing back: what it could not write it would try again and again, and refuse all that comes after."""
        self._file = file
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._writing = threading.Lock()
        self._lost = 0
        self._torn = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def info(self, line: bytes) -> None:
        self._held.append(line)
        self._held_bytes += len(line)
        if self._held_bytes > _LOG_BUFFER_BYTES:
            self.flush()
        elif self._loop is None:
            self._flush_at_end_of_turn()

    debug = warning = info

    def error(self, line: bytes) -> None:
        """At once: it may be the last line."""
        self._held.append(line)
        self.flush()

    critical = exception = fatal = error

    def _flush_at_end_of_turn(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._loop = None
        with self._writing:
            lines = b"".join([self._held.popleft() + b"\n" for _ in range(len(self._held))])
            self._held_bytes = 0
            try:
                if self._lost:
                    self._put(render(None, "warning", {"event": "log_lines_lost", "lines": self._lost}) + b"\n")
                    self._lost = 0
                self._put(lines)
            except (OSError, ValueError):
                self._lost += lines.count(b"\n")

    def _put(self, lines: bytes) -> None:
        left = memoryview(b"\n" + lines if self._torn and lines else lines)
        while left:
            written = self._file.write(left)
            if not written:  # a pipe that is full, and does not wait
                raise BlockingIOError
            self._torn = left[written - 1] != ord("\n")
            left = left[written:]


_traceback_of: Final = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)


# What PostgreSQL and its driver quote of a row that was not taken, a name or a title among it: `Key (login)=(...) already exists`.
_QUOTED: Final = re.compile(r"(?<=\n)(DETAIL:).*|(?<=query argument )(\$\d+): .*", re.DOTALL)


def _masked(node: Any) -> Any:
    """An exception's message may repeat what someone sent: no phone or door number passes into a log, and nothing of a row."""
    if isinstance(node, str):
        return mask(_QUOTED.sub(lambda found: f"{found[1] or found[2]} (left out)", node))
    if isinstance(node, list):
        return [_masked(child) for child in node]
    if isinstance(node, dict):
        return {name: _masked(child) for name, child in node.items()}
    return node


def _exception_of(found: Any) -> Any:
    if isinstance(found, BaseException):
        found = (type(found), found, found.__traceback__)
    elif not isinstance(found, tuple):
        found = sys.exc_info()
    return None if found[0] is None else _masked(_traceback_of(found))


def render(_logger: Any, level: str, fields: structlog.typing.EventDict) -> bytes:
    """The one processor: a line of JSON with its time and level first, and an exception without local variables."""
    if "exc_info" in fields and (found := fields.pop("exc_info")):
        fields["exception"] = _exception_of(found)
    return orjson.dumps({"at": rfc3339(time.time_ns() // 1000), "level": level, **fields}, default=str)


def _bound_logger(level: Level) -> type[Any]:
    """The logger of structlog, with a shorter way to an info line: one is written for every event, and half of its cost was on the way to `render`."""
    usual: Any = structlog.make_filtering_bound_logger(level)
    if level not in {"debug", "info"}:
        return usual  # type: ignore[no-any-return]

    class Bound(usual):  # type: ignore[misc]
        def info(self, event: str | None = None, *values: Any, **fields: Any) -> Any:
            if values or event is None or self._processors != [render]:
                return super().info(event, *values, **fields)
            return self._logger.info(render(self._logger, "info", {**self._context, **fields, "event": event}))

    return Bound


class _ToStructlog(logging.Handler):
    """Libraries log with `logging`; their warnings and errors join our lines.

    Of one place in their code one line a second, and with the next one how many were left out (`left_out`): while Kafka is away its client writes hundreds.
    Lines with an exception are all kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place = record.pathname, record.lineno
        at, left_out = self._told.get(place, (-math.inf, 0))
        if not record.exc_info and record.created - at < _SAME_SECONDS:
            self._told[place] = at, left_out + 1
            return
        self._told[place] = record.created, 0
        more = {"left_out": left_out} if left_out else {}
        structlog.get_logger().log(record.levelno, mask(record.getMessage()), logger=record.name, exc_info=record.exc_info, **more)


_open_to: tuple[_Lines, Level] | None = None


def info_lines(event: str, shared: Mapping[str, object], lines: Iterable[Mapping[str, object]]) -> None:
    """What `info(event, **shared, **line)` writes for each of many lines, in an eighth of the time: the way through structlog costs more than the JSON."""
    if _open_to is None or structlog.get_config()["processors"] != [render]:
        info = structlog.get_logger().bind().info
        for line in lines:
            info(event, **shared, **line)
        return
    file, level = _open_to
    head = {"at": rfc3339(time.time_ns() // 1000), "level": "info", **shared}
    if level in {"debug", "info"} and (told := [orjson.dumps({**head, **line, "event": event}, default=str) for line in lines]):
        file.info(b"\n".join(told))


def configure_logging(level: Level = "info", file: BinaryIO | None = None) -> None:
    """JSON lines on stdout (or `file`); libraries' own logs from WARNING on in the same form. Call once, first of all.

    Where lines are many, log through `structlog.get_logger().bind()`: the proxy that `get_logger` gives costs as much as the line.
    """
    global _open_to  # noqa: PLW0603 - as what structlog is told next
    lines = _Lines(file or os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0))
    _open_to = lines, level
    atexit.register(lines.flush)
    structlog.configure(
        processors=[render],
        wrapper_class=_bound_logger(level),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


# A batch of events makes some thousand objects that die together: left to its usual counts, the collector takes a third of the time of taking them in.
_COLLECT_AFTER: Final = (50_000, 20, 50)


def collect_rarely() -> None:
    """Set apart what is there from the start, and walk over what is new less often. For whoever takes many events in, once all is made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


# --- life of the process


class Stop:
    """The wish that the service end in good order: once made it stays."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    async def wait(self) -> None:
        """Until somebody asked for the end."""
        await self._event.wait()

    async def pause(self, seconds: float) -> bool:
        """Sleep, but not beyond the wish to end; tell whether that was made."""
        return await within(seconds, self._event)


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, but no longer; tell whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


class Unreachable(Exception):
    """A server did not answer in all the time that a start waits for it; `str()` says in Chinese and English which setting to look at."""


class _Stopped(Exception):
    """The end was asked for before the start was through."""


REACH_SECONDS: Final = 60.0
_REACH_ATTEMPT_SECONDS: Final = 15.0
_REACH_PAUSE_SECONDS: Final = 0.5
_REACH_PAUSE_MAX_SECONDS: Final = 5.0
AWAY: Final[tuple[type[BaseException], ...]] = (OSError, KafkaError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Whatever a server or the way to it may say to whoever tries the same again, whatever it was. TimeoutError is an OSError."""


async def reach(server: str, setting: str, connect: Callable[[], Awaitable[T]], stop: Stop, seconds: float = REACH_SECONDS) -> T:
    """What `connect` gives. Servers and services are often started together: one that does not answer yet is waited for, each pause twice the last.

    Raises:
        Unreachable: `server`, which the variable `setting` names, did not answer within `seconds`.
    """
    deadline, pause = time.monotonic() + seconds, _REACH_PAUSE_SECONDS
    while True:
        try:
            async with asyncio.timeout(_REACH_ATTEMPT_SECONDS):
                return await connect()
        except AWAY as error:
            fault = type(error).__name__
        structlog.get_logger().warning("waiting", server=server, setting=setting, fault=fault)
        if await stop.pause(pause):
            raise _Stopped
        if time.monotonic() > deadline:
            raise Unreachable(
                f"{server} 在 {seconds:.0f} 秒内没有应答（{fault}）：请核对环境变量 {setting}，并确认服务器在运行"
                f" | {server} did not answer within {seconds:.0f} s ({fault}): see that environment variable {setting} is right, and that the server runs"
            )
        pause = min(2 * pause, _REACH_PAUSE_MAX_SECONDS)


async def _watch_parent(parent: int, stop: Stop) -> None:
    while os.getppid() == parent:
        if await stop.pause(_PARENT_SECONDS):
            return
    structlog.get_logger().warning("parent_gone")
    stop.set()


async def _supervised(main: Callable[[Stop], Awaitable[None]], parent: int | None) -> None:
    loop = asyncio.get_running_loop()
    stop = Stop()

    def asked(number: signal.Signals) -> None:
        if stop:  # asked twice: do not wait for the good order
            os._exit(128 + number)
        structlog.get_logger().info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    watch = None if parent is None else asyncio.create_task(_watch_parent(parent, stop))
    try:
        await main(stop)
    except _Stopped:
        pass
    finally:
        if watch is not None:
            watch.cancel()


def run(main: Callable[[Stop], Awaitable[None]], settings: ProcessSettings | None = None) -> int:
    """Run a service until it ends or SIGTERM/SIGINT asks it to; the exit code: 0 in good order, 1 after a fault, 2 where a setting turned out to be wrong.

    Args: `settings.parent_pid`, where set, is the supervisor without whom the service does not go on.
    """
    try:
        uvloop.run(_supervised(main, settings.parent_pid if settings is not None else None))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BadSettings as error:  # some can only be judged by trying
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    except Unreachable as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except Exception as fault:  # noqa: BLE001 - the edge of the process: told, and told again by the exit code
        structlog.get_logger().error("out_of_memory" if _is_of_memory(fault) else "failed", exc_info=True)
        return EXIT_FAILED
    return EXIT_CLEAN


def _is_of_memory(fault: BaseException | None) -> bool:
    """Whether it, or one that it came of, says that there is no memory: others follow from that, such as a connection that is gone."""
    while fault is not None:
        if isinstance(fault, MemoryError) or (isinstance(fault, BaseExceptionGroup) and fault.subgroup(MemoryError) is not None):
            return True
        fault = fault.__cause__ or fault.__context__
    return False


def start(model: type[S], main: Callable[[S, Stop], Awaitable[None]]) -> int:
    """All that an entry does: read the settings, configure the logs, run. The exit code is 2 where settings are wrong."""
    try:
        settings = load_settings(model)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return EXIT_SETTINGS
    assert isinstance(settings, ProcessSettings)
    keep_memory_to_oneself()
    configure_logging(settings.log_level)
    return run(lambda stop: main(settings, stop), settings)


# --- health


class Pulse:
    """A loop's sign of life, and when it last had an effect."""

    def __init__(self) -> None:
        self._beat = self._commit = time.monotonic()

    def beat(self) -> None:
        """The loop went round; waiting in good order for a database counts too."""
        self._beat = time.monotonic()

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Beat all the while: what is waited for here is a broker's to do, and takes as long as that is away."""
        loop = asyncio.get_running_loop()

        timer: asyncio.TimerHandle | None = None

        def beat() -> None:
            nonlocal timer
            self.beat()
            timer = loop.call_later(_BEAT_SECONDS, beat)

        beat()
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def commit(self) -> None:
        """A transaction was committed, or nothing was left to commit."""
        self._beat = self._commit = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """Since the last beat."""
        return time.monotonic() - self._beat

    @property
    def commit_age_seconds(self) -> float:
        """Since the last commit, or since there last was nothing to do."""
        return time.monotonic() - self._commit


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a service does its work now: `reasons` are codes, none where it does; `lag` is in events by topic."""

    database: bool
    commit_age_seconds: float
    lag: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def cannot_listen(variable: str, port: int, fault: OSError) -> BadSettings:
    """Why nobody can listen at the port that the variable names, and the fix."""
    if fault.errno == errno.EADDRINUSE:
        return BadSettings.of(variable, f"端口 {port} 已被占用，请换一个，或结束占用它的程序", f"port {port} is taken: use another, or end what listens there")
    return BadSettings.of(variable, f"无权使用端口 {port}，请用 1024 以上的端口", f"port {port} is not for everybody: use one from 1024 on")


class Ops:
    """/livez, /readyz and /metrics on the loopback, for supervisors; labels and answers carry no ids. Port 0: none."""

    def __init__(
        self,
        port: int,
        pulses: Mapping[str, Pulse],
        ready: Callable[[], Awaitable[Readiness]],
        registry: CollectorRegistry,
        stuck_seconds: float = 60.0,
    ) -> None:
        """Args: `pulses` by loop; a loop without a beat for `stuck_seconds` is not alive. `ready` is asked at each request."""
        self.port = port
        self._pulses = pulses
        self._ready = ready
        self._registry = registry
        self._stuck_seconds = stuck_seconds
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        if self.port:
            app = web.Application()
            app.router.add_get("/livez", self._livez)
            app.router.add_get("/readyz", self._readyz)
            app.router.add_get("/metrics", self._metrics)
            self._runner = web.AppRunner(app, access_log=None)
            await self._runner.setup()
            try:
                await web.TCPSite(self._runner, LOOPBACK, self.port).start()
            except OSError as fault:
                await self._runner.cleanup()
                raise cannot_listen(f"{PREFIX}OPS_PORT", self.port, fault) from fault
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _stuck(self) -> Iterator[str]:
        return (name for name, pulse in self._pulses.items() if pulse.age_seconds > self._stuck_seconds)

    async def _livez(self, _request: web.Request) -> web.Response:
        stuck = sorted(self._stuck())
        ages = {name: round(pulse.age_seconds, 3) for name, pulse in self._pulses.items()}
        return _json({"alive": not stuck, "stuck": stuck, "beat_age_seconds": ages}, 503 if stuck else 200)

    async def _readyz(self, _request: web.Request) -> web.Response:
        found = await self._ready()
        answer = {
            "ready": not found.reasons,
            "reasons": found.reasons,
            "database": found.database,
            "commit_age_seconds": round(found.commit_age_seconds, 3),
            "lag": dict(found.lag),
        }
        return _json(answer, 503 if found.reasons else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(answer: Mapping[str, object], status: int) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")
