"""Long computations that begin with the session and take what processor time is left, while other tests wait for servers; who asserts on one waits for its end.

Each runs at the lowest priority, in a process group of its own, and ends with the session at the latest.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

ROOT: Final = Path(__file__).parents[1]
SIMULATOR: Final = ("tests.simulator", "--seeds", "10000")
CHILDREN: Final = ("tests.simulator.children", "--wishes", "5000")
_LOWEST: Final = 19


@dataclass(slots=True)
class _Running:
    process: subprocess.Popen[bytes]
    said: IO[bytes]


_running: dict[tuple[str, ...], _Running] = {}


def begin(command: tuple[str, ...]) -> None:
    """Start `python -m command`, once."""
    if command in _running:
        return
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the session ends
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
    psutil.Process(process.pid).nice(_LOWEST)  # before it starts processes of its own, which inherit it
    _running[command] = _Running(process, said)


def outcome(command: tuple[str, ...]) -> tuple[int, str]:
    """(exit code, what it said), once it has come to its end."""
    begin(command)
    one = _running[command]
    code = one.process.wait()
    one.said.seek(0)
    return code, one.said.read().decode(errors="replace")


def end_all() -> None:
    """The session is over: nothing goes on."""
    for one in _running.values():
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()
        one.said.close()
    _running.clear()
