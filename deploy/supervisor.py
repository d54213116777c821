"""Services as separate processes: started, watched, started again when they die, stopped in order.

`Stack` comes in. A service counts as well once its `/readyz` answers 200; one that dies again and again before that is given up, with its log's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from deploy.process import Process
from deploy.state import LOOPBACK
from deploy.words import Trouble

BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)
EXIT_SETTINGS = 2  # the service says that its settings are wrong: trying again would not help
STOP_SECONDS = 15.0
READY_SECONDS = 120.0
POLL_SECONDS = 0.05
PROBE_SECONDS = 2.0
LOG_BYTES_MAX = 20 * 1024 * 1024
LOGS_KEPT = 3
ROTATE_SECONDS = 5.0
TOLD_BYTES = 16 * 1024

Condition = Literal["stopped", "starting", "ready", "waiting", "failed"]


async def http_status(port: int, path: str) -> int | None:
    """The status that a service on the loopback answers with, or None where it does not answer."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
            return int(line.split()[1])
    except (OSError, TimeoutError, IndexError, ValueError):
        return None


def rotate(log: Path, limit_bytes: int = LOG_BYTES_MAX, kept: int = LOGS_KEPT) -> bool:
    """Move what a log holds to `<log>.1` and empty it, once it is longer than the limit; older ones move on and the oldest goes.

    The service keeps its file open for appending, so the file itself stays. Gives whether it did.

    Raises:
        OSError: there is no room for the copy. Nothing is moved or lost then.
    """
    if not log.exists() or log.stat().st_size <= limit_bytes:
        return False
    copy = log.with_name(f"{log.name}.new")
    try:
        shutil.copyfile(log, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    for number in range(kept - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    copy.replace(log.with_name(f"{log.name}.1"))
    with log.open("r+b") as file:
        file.truncate(0)
    return True


class Service:
    """One service: its process now, and the task that brings it back."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        ops_port: int,
        pid_file: Path,
    ) -> None:
        """Args: `ops_port` is where it answers `/readyz`; `log` takes its stdout and stderr."""
        self.name = name
        self.log = log
        self.ops_port = ops_port
        self.condition: Condition = "stopped"
        self.restarts = 0
        self.trouble: Trouble | None = None
        env = {**env, "PYTHONIOENCODING": "utf-8"}  # whatever the terminal's is: whoever reads the log takes it for that
        self._process = Process(argv, log=log, env=env, cwd=cwd, stop_signal=signal.SIGTERM, orphan_signal=signal.SIGKILL, pid_file=pid_file)
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of its process while it runs."""
        return self._process.pid

    async def start(self) -> None:
        """Start it and keep it running from now on; `ready()` waits until it answers."""
        if self._keeper is not None:
            return
        self.trouble = None
        self._process.start()
        self.condition = "starting"
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> bool:
        """Stop it and do not bring it back; tell whether it had to be killed."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        killed = await self._process.stop(STOP_SECONDS)
        if self.condition != "failed":
            self.condition = "stopped"
        return killed

    def kill(self) -> None:
        """SIGKILL its process; it is started again, as after any death."""
        self.condition = "starting"
        self._process.kill()

    async def restart(self) -> None:
        """Stop it cleanly and start it again."""
        await self.stop()
        await self.start()

    async def ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until it answers that it is ready.

        Raises:
            Trouble: it was given up, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            pid = self.pid
            if self.trouble is not None:
                raise self.trouble
            if pid is not None and await http_status(self.ops_port, "/readyz") == 200 and pid == self.pid:
                self.condition = "ready"
                return
            if time.monotonic() > deadline:
                raise Trouble(
                    f"服务 {self.name} 在 {timeout_seconds:.0f} 秒内未就绪。",
                    f"The service {self.name} was not ready within {timeout_seconds:.0f} s.",
                    log=self.log,
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _keep(self) -> None:
        failures = 0
        while True:
            if await self._lived():
                failures = 0
            code = self._process.returncode
            if code == EXIT_SETTINGS:
                self.condition = "failed"
                self.trouble = self._wrong_settings()
                return
            if failures >= len(BACKOFF_SECONDS):
                self.condition = "failed"
                self.trouble = Trouble(
                    f"服务 {self.name} 反复退出（退出码 {code}），不再重启。",
                    f"The service {self.name} ends again and again (exit code {code}); it is not started any more.",
                    log=self.log,
                )
                return
            self.condition = "waiting"
            await asyncio.sleep(BACKOFF_SECONDS[failures])
            failures += 1
            self.restarts += 1
            await self._start_again()
            self.condition = "starting"

    async def _start_again(self) -> None:
        """Start it, and where the system has no room for that just now, wait until it has."""
        while True:
            try:
                self._process.start()
            except OSError:
                await asyncio.sleep(BACKOFF_SECONDS[-1])
            else:
                return

    def _wrong_settings(self) -> Trouble:
        """What the service itself said of its settings, in both languages; its log is read, as whoever started us sees no other."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TOLD_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        told = next((line for line in reversed(lines) if " | " in line and not line.startswith("{")), "")
        chinese, _, english = told.partition(" | ")
        return Trouble(
            f"服务 {self.name} 的设置有误，不再重启。{chinese}",
            f"The settings of the service {self.name} are wrong; it is not started any more. {english}".rstrip(),
            log=self.log,
        )

    async def _lived(self) -> bool:
        """Wait for the process's end; tell whether it had become ready before."""
        well = False
        rotated = time.monotonic()
        while self._process.alive:
            if not well and await http_status(self.ops_port, "/readyz") == 200 and self._process.alive:
                well = True
                self.condition = "ready"
            if time.monotonic() - rotated > ROTATE_SECONDS:
                rotated = time.monotonic()
                with contextlib.suppress(OSError):  # a full disk: who watches the service goes on watching
                    rotate(self.log)
            await asyncio.sleep(POLL_SECONDS)
        return well
