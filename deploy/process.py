"""One child process that cannot outlive us: started through `launch.py`, ended by its pid.

Kafka, PostgreSQL and the services are all started here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

LAUNCHER = Path(__file__).with_name("launch.py")
REAP_SECONDS = 10.0
SURROUNDINGS = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LOCPATH", "LOCALE_ARCHIVE", "TZ", "TZDIR", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
    }
)
"""What a program of somebody else's needs to know of where it runs."""


def surroundings() -> dict[str, str]:
    """The environment of a server, and no more of ours: who owns a database reads its process's with one statement, and ours holds secrets of the services."""
    return {name: value for name, value in os.environ.items() if name in SURROUNDINGS or name.startswith("LC_")}


class Process:
    """A program and the way to end it. Not started by its constructor."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
        pid_file: Path | None = None,
        watch: bool = sys.platform != "linux",
    ) -> None:
        """Args: `log` takes stdout and stderr (None: a pipe, see `output`); `user` is (uid, gid) to become; `orphan_signal` is sent when we are gone."""
        self.argv = list(argv)
        self.log = log
        self.env = dict(env) if env is not None else None
        self.cwd = cwd
        self.user = user
        self.stop_signal = stop_signal
        self.orphan_signal = orphan_signal
        self.pid_file = pid_file
        self.watch = watch
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        return self._popen.pid if self._popen is not None and self._popen.poll() is None else None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    @property
    def returncode(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs or before it was started."""
        return None if self._popen is None else self._popen.poll()

    @property
    def output(self) -> IO[bytes] | None:
        """The pipe of stdout and stderr, where there is no log file."""
        return None if self._popen is None else self._popen.stdout

    def start(self) -> None:
        """Start it. Call from the thread that stays: on Linux the program is ended when the thread that started it ends."""
        if self.alive:
            raise RuntimeError(f"{self.argv[0]} runs already, pid {self.pid}")
        uid, gid = self.user if self.user is not None else (None, None)
        order = {
            "argv": self.argv,
            "parent": os.getpid(),
            "signal": int(self.orphan_signal),
            "cwd": None if self.cwd is None else str(self.cwd),
            "uid": uid,
            "gid": gid,
            "watch": self.watch,
        }
        with contextlib.ExitStack() as stack:
            target: int | IO[bytes] = subprocess.PIPE
            if self.log is not None:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                target = stack.enter_context(self.log.open("ab"))
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=subprocess.STDOUT,
                env=self.env,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop the others in order
            )
        if self.pid_file is not None:
            started = psutil.Process(self._popen.pid).create_time()
            with contextlib.suppress(OSError):  # on a full disk it runs without: the file is for who comes after us, should we be ended by force
                self.pid_file.write_text(json.dumps({"pid": self._popen.pid, "started": started}) + "\n", encoding="utf-8")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(number)

    async def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for its end and give the exit code.

        Raises:
            TimeoutError: it still runs after `timeout_seconds`.
        """
        if self._popen is None:
            raise RuntimeError(f"{self.argv[0]} was not started")
        popen = self._popen
        try:
            code = await asyncio.to_thread(popen.wait, timeout_seconds)
        except subprocess.TimeoutExpired as late:
            raise TimeoutError(f"{self.argv[0]} (pid {popen.pid}) still runs after {timeout_seconds} s") from late
        self._forget()
        return code

    async def stop(self, grace_seconds: float) -> bool:
        """Ask it to end; kill it where it has not after `grace_seconds`, and tell whether that was so. Does nothing where it does not run."""
        if not self.alive:
            self._forget()
            return False
        self.send(self.stop_signal)
        try:
            await self.wait(grace_seconds)
        except TimeoutError:
            self.kill()
            await self.wait(REAP_SECONDS)
            return True
        return False

    def kill(self) -> None:
        """End it at once with SIGKILL, and in `watch` mode its program too."""
        if self._popen is None or self._popen.poll() is not None:
            return
        family = psutil.Process(self._popen.pid).children(recursive=True) if self.watch else []
        self._popen.kill()
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._popen.wait(REAP_SECONDS)
        self._forget()

    def _forget(self) -> None:
        if self.pid_file is not None:
            self.pid_file.unlink(missing_ok=True)
        if self._popen is not None and self._popen.stdout is not None and self._popen.poll() is not None:
            self._popen.stdout.close()


def left_over(pid_file: Path) -> psutil.Process | None:
    """Find the process that a pid file names, if it still is the same one (pids are used again: its start time must agree)."""
    try:
        noted = json.loads(pid_file.read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["started"]) < 0.5 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (FileNotFoundError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        pass
    return None


def end_left_over(pid_file: Path, number: signal.Signals, grace_seconds: float) -> None:
    """End the process that an earlier run left behind, by its pid file; then forget the file."""
    process = left_over(pid_file)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            try:
                process.wait(grace_seconds)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(REAP_SECONDS)
    pid_file.unlink(missing_ok=True)
