"""Notifiers and commands as processes of their own, forked from one that has everything imported: born in hundredths of a second, killed like any other.

What runs in them is the service's own entry, or that of `python -m deploy`, with settings from the environment; only the interpreter's start and the imports
are saved.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

from pydantic import SecretStr

from deploy import __main__ as deploy
from deploy import cli, tools
from services.notifier.app import main
from services.notifier.settings import Settings
from services.runtime import start

# What the commands import once they know what they are to do.
for _name in (*cli.COMMAND_MODULES, *(f"deploy.tools.{one.name}" for one in iter_modules(tools.__path__)), "deploy.vault_orders"):
    import_module(_name)

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


class Said(NamedTuple):
    """What became of a command: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


def _obey(arguments: list[str], environment: Mapping[str, str], files: tuple[str, str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(files):
        file = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives; what there was is closed in a child
    sys.exit(deploy.main(arguments))


def command(arguments: list[str], environment: Mapping[str, str], *, given: str = "", seconds: float = 60) -> Said:
    """`python -m deploy` with these arguments, to its end; `given`: what it reads from its standard input.

    Raises:
        TimeoutError: it took longer.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("in", "out", "err")]
        for file, text in zip(files, (given, "", ""), strict=True):
            file.write_text(text, encoding="utf-8")
        process = _context.Process(target=_obey, args=(arguments, dict(environment), tuple(map(str, files))))
        process.start()
        try:
            process.join(seconds)
            if process.exitcode is None:
                raise TimeoutError(" ".join(arguments))
            _, out, err = (file.read_text(encoding="utf-8") for file in files)
            return Said(process.exitcode, out, err)
        finally:
            process.kill()
            process.join()
            process.close()
