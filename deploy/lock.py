"""One stack a state folder: a lock that names its holder and is gone with it, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from deploy.words import Trouble


class Lock:
    """The lock of a state folder. Held through an open file, so the system lets go of it when we die."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether we hold it."""
        return self._file is not None

    def take(self) -> None:
        """Take it.

        Raises:
            Trouble: another process holds it; the message names its pid.
        """
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            holder = self.holder()
            raise Trouble(
                f"已在运行（进程号 {holder}）。请先停止：python3 -m deploy down",
                f"It is running already (pid {holder}). Stop it first: python3 -m deploy down",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go of it. Does nothing where it is not held."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The pid that holds it, or None where nobody does."""
        try:
            with self.path.open("r", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    said = file.read().strip()
                    return int(said) if said else None
        except FileNotFoundError:
            pass
        return None


def clear_abandoned(parent: Path) -> None:
    """Remove the state folders in `parent` whose holder is dead: killed, or cut off from power, before it could.

    Whoever is at work in one holds its lock, and one without a lock is only being made.
    """
    for path in parent.glob("*/lock"):
        lock = Lock(path.parent)
        try:
            lock.take()
        except (Trouble, OSError):
            continue
        shutil.rmtree(path.parent, ignore_errors=True)
        lock.release()
