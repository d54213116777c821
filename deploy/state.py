"""The state folder: data, logs, ports, passwords and pids of one stack, all under one ignored folder.

Everyone in `deploy/` comes here for a path, so that `--fresh` and the lock have one thing to look at.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from deploy.lock import clear_abandoned
from deploy.words import Trouble

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
PASSWORD_BYTES = 24
# Below the ranges from which systems take ports for outgoing connections, so that nobody's client sits on ours when we come back.
PORTS = range(20_000, 32_000)
PORT_TRIES = 200


def default_folder() -> Path:
    """Where `up` keeps its state: `LASTMETRE_STATE`, else `.lastmetre` in the repository."""
    named = os.environ.get("LASTMETRE_STATE")
    return Path(named).expanduser().resolve() if named else ROOT / ".lastmetre"


def is_free(port: int) -> bool:
    """Tell whether a server can listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """Find a loopback port that nobody listens on, outside `taken`.

    Raises:
        OSError: none was found in a fair number of tries.
    """
    chance = random.SystemRandom()
    for _ in range(PORT_TRIES):
        port = chance.choice(PORTS)
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {PORTS.start} and {PORTS.stop}")


def write_private(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file in one step; only its owner can read it. `durable`: it is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)  # else each try on a full disk leaves one more
        raise


class State:
    """One state folder, made when first used (mode 0700)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # also where the installer made it before us
        self.logs = self.folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.pids = self.folder / "pids"
        self.pids.mkdir(exist_ok=True)

    @property
    def cache(self) -> Path:
        """Where downloads stay: `LASTMETRE_CACHE`, else `cache` in the default state folder, so that short-lived stacks share it."""
        named = os.environ.get("LASTMETRE_CACHE")
        return Path(named).expanduser().resolve() if named else default_folder() / "cache"

    def port(self, name: str) -> int:
        """Give the port that `name` had last time, or another where that one is taken, and remember it."""
        ports = self._read("ports.json")
        known = ports.get(name)
        if isinstance(known, int) and is_free(known):
            return known
        port = free_port(frozenset(p for p in ports.values() if isinstance(p, int)))
        self._write("ports.json", {**ports, name: port})
        return port

    def known_port(self, name: str) -> int:
        """The port that `name` was given, whoever listens on it now.

        Raises:
            KeyError: it was given none.
        """
        return int(self._read("ports.json")[name])

    def password(self, role: str) -> str:
        """Give the password of a database role: random, made once, kept in a file that only its owner can read."""
        passwords = self._read("passwords.json")
        known = passwords.get(role)
        if isinstance(known, str):
            return known
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        self._write("passwords.json", {**passwords, role: password})
        return password

    @property
    def plays(self) -> Path:
        """Where each `play` has a state folder of its own, with a lock of its own, for as long as it runs."""
        return self.folder / "play"

    @property
    def secure(self) -> bool:
        """Whether Kafka was secured the last time; what is started here without a word about it is so again."""
        return self._read("choices.json").get("secure") is True

    @secure.setter
    def secure(self, value: bool) -> None:
        if value != self.secure:
            self._write("choices.json", {**self._read("choices.json"), "secure": value})

    def clear_data(self) -> None:
        """Forget data, ports, passwords and logs; keep what was downloaded, the lock, and what a `play` is at work on."""
        clear_abandoned(self.plays)
        for path in self.folder.iterdir():
            if path.name in {"cache", "lock", self.plays.name}:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.logs.mkdir(exist_ok=True)
        self.pids.mkdir(exist_ok=True)

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as fault:
            raise Trouble(
                f"{path} 已损坏。请从备份恢复它，或用 up --fresh 清空数据、从头开始。",
                f"{path} is damaged. Restore it from a backup, or begin anew without the data: up --fresh.",
            ) from fault
        return found

    def _write(self, name: str, value: dict[str, Any]) -> None:
        write_private(self.folder / name, json.dumps(value, indent=1, sort_keys=True) + "\n")
