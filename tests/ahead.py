"""Long computations that begin with the session and take what processor time is left, while other tests wait for servers; who asserts on one waits for its end.

Each runs once a session, however many workers the session has: at the lowest priority, in a process group of its own, and ends with the session at the latest.
`python -m tests.ahead PLACE MODULE ARGUMENT...` is what is started: it runs the module and leaves its output and its exit code at that place.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).parents[1]
SIMULATOR: Final = ("tests.simulator", "--seeds", "10000")
CHILDREN: Final = ("tests.simulator.children", "--wishes", "5000")
_LOWEST: Final = 19
_POLL_SECONDS: Final = 0.5
# The folder that all workers of a session share: each inherits the variable.
_FOLDER: Final = "LASTMETRE_TESTS_AHEAD"


def open_session() -> None:
    """Called once, by the process that the session began in."""
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="lastmetre-ahead-")


def begin(command: tuple[str, ...]) -> None:
    """Start `python -m command`, unless it was started by this or another worker."""
    place = _place(command)
    try:
        marker = place.with_suffix(".pid").open("x", encoding="utf-8")
    except FileExistsError:
        return
    with marker:
        # Nobody here waits for it as for a child: who began it may be a worker that ends long before.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "tests.ahead", str(place), *command], environment, setpgroup=0)
        marker.write(str(pid))
    psutil.Process(pid).nice(_LOWEST)  # before it starts processes of its own, which inherit it


def outcome(command: tuple[str, ...]) -> tuple[int, str]:
    """(exit code, what it said), once it has come to its end."""
    begin(command)
    place = _place(command)
    while not place.with_suffix(".code").exists():
        time.sleep(_POLL_SECONDS)
    return int(place.with_suffix(".code").read_text(encoding="utf-8")), place.with_suffix(".out").read_text(encoding="utf-8", errors="replace")


def close_session() -> None:
    """The session is over: nothing goes on, nothing is left. Called where it was opened."""
    folder = Path(os.environ.pop(_FOLDER))
    for marker in folder.glob("*.pid"):
        if not marker.with_suffix(".code").exists():
            with suppress(ProcessLookupError, ValueError):
                os.killpg(int(marker.read_text(encoding="utf-8")), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _place(command: tuple[str, ...]) -> Path:
    return Path(os.environ[_FOLDER]) / command[0].replace(".", "-")


def main(place: Path, command: list[str]) -> None:
    """Run it, then say how it ended, in one step."""
    with place.with_suffix(".out").open("wb") as said:
        code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, check=False).returncode
    partial = place.with_suffix(".partial")
    partial.write_text(str(code), encoding="utf-8")
    partial.replace(place.with_suffix(".code"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
