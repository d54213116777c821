"""Notifiers as processes of their own, forked from one that has everything imported: born in hundredths of a second, killed like any other.

What runs in them is the service's own entry, with settings from the environment; only the interpreter's start and the imports are saved.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from services.notifier.app import main
from services.notifier.settings import Settings
from services.runtime import start

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def variables(settings: Settings) -> dict[str, str]:
    """The settings as the environment gives them."""
    found: dict[str, Any] = {f"LASTMETRE_{name.upper()}": value for name, value in settings if value is not None}
    return {name: value.get_secret_value() if isinstance(value, SecretStr) else str(value) for name, value in found.items()}


def _live(environment: Mapping[str, str], output: str, first: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    if first is not None:
        first(*arguments)
    sys.exit(start(Settings, main))


class Child:
    """One process."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def send_signal(self, number: signal.Signals) -> None:
        """Any signal."""
        if self._process.pid is not None:
            os.kill(self._process.pid, number)

    async def wait(self) -> int:
        """Until it ends; its exit code."""
        await asyncio.to_thread(self._process.join)
        code = self._process.exitcode
        assert code is not None
        return code


@asynccontextmanager
async def forked(
    settings: Settings, output: Path | str = os.devnull, first: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> AsyncIterator[Child]:
    """A notifier in a process of its own, killed at the end where it still runs; `first` runs in it before anything else."""
    process = _context.Process(target=_live, args=({**os.environ, **variables(settings)}, str(output), first, arguments), daemon=True)
    process.start()
    child = Child(process)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        process.close()
