"""Make `.venv` from the hash-pinned lock and go on inside it. The standard library alone.

A stamp in the virtual environment holds the digest of what was installed: the second start sees it and skips everything. An environment without a stamp was
left half-made and is made again. Whoever runs in it shares a lock on the repository's folder for as long as they live, and whoever makes it holds that lock
alone: so nobody makes it anew under somebody's feet, and no two at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import TextIO

STAMP = "lastmetre-installed"
LOG = "install.log"
PIP_LOCK = "requirements-pip.lock"
LAUNCHER = Path(__file__).with_name("launch.py")
TICK_SECONDS = 0.5
# What somebody has set for Pythons of their own: it would hide our modules, take the help out of them, or end a program (pip, too) for a mere warning.
PYTHONS_OWN = frozenset({"PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS"})
# Settings of a user's pip that lead past the environment; where to download from, and through what, is theirs to say.
PAST_IT = frozenset({"PIP_PREFIX", "PIP_ROOT"})


class InstallFailed(Exception):
    """The environment could not be made; `str()` says so in Chinese and English, with the log's place."""


def digest(lock: Path) -> str:
    """What an environment made from this lock by this Python is stamped with."""
    told = hashlib.sha256(lock.read_bytes())
    told.update(repr((sys.version_info[:2], sys.platform)).encode())
    return told.hexdigest()


def interpreter(folder: Path) -> Path:
    """The environment's Python."""
    return folder / "bin" / "python"


def is_ready(folder: Path, locks: tuple[Path, ...]) -> bool:
    """Tell whether the environment was made, wholly, from any one of these locks."""
    try:
        stamp = (folder / STAMP).read_text(encoding="utf-8").strip()
    except OSError:
        return False
    # A moved or removed base Python leaves a link that leads nowhere.
    return interpreter(folder).exists() and stamp in {digest(lock) for lock in locks}


def hold(root: Path) -> int:
    """The repository's folder, open for locks; they end with this process, which the environment's Python goes on as."""
    handle = os.open(root, os.O_RDONLY)
    os.set_inheritable(handle, True)  # noqa: FBT003 - takes no keyword
    return handle


def _take(handle: int, how: int) -> bool:
    """Take a lock; false where others hold one. A file system that knows no locks gives each."""
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def share(handle: int, stream: TextIO) -> None:
    """Say that we run in the environment; waits for whoever is making it."""
    if not _take(handle, fcntl.LOCK_SH | fcntl.LOCK_NB):
        _say(stream, "另一个终端正在安装依赖，等待它完成 · another terminal is installing the packages: waiting for it")
        _take(handle, fcntl.LOCK_SH)


def is_ours(handle: int) -> bool:
    """Take the environment for ourselves, to make it; false where others run in it, or are making it."""
    return _take(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _say(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()


def _run(argv: list[str], log: Path, stream: TextIO, what: str) -> int:
    """Run one step with its output in the log and a running clock on a terminal; give its exit code. It ends with us, however we end."""
    began = time.monotonic()
    order = {"argv": argv, "parent": os.getpid(), "signal": signal.SIGTERM, "cwd": None, "uid": None, "gid": None, "watch": sys.platform != "linux"}
    with log.open("ab") as out:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name not in PYTHONS_OWN | PAST_IT},
        )
        try:
            while True:
                try:
                    code = child.wait(TICK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if stream.isatty():
                        step = _last_step(log)
                        stream.write(f"\r\x1b[K{what}  {time.monotonic() - began:.0f} s  {step}")
                        stream.flush()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if stream.isatty():
        stream.write("\r\x1b[K")
    return code


def _last_step(log: Path) -> str:
    """The package that pip is at, from its log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = file.read().decode("utf-8", "replace").splitlines()
    for line in reversed(lines):
        if line.startswith("Collecting "):
            return line.split()[1].split("==")[0][:40]
        if line.startswith("Installing collected"):
            return "安装 · installing"
    return ""


def make(folder: Path, lock: Path, log: Path, stream: TextIO) -> None:
    """Make the environment anew from `lock`, with pip as this machine has it configured.

    Raises:
        InstallFailed: a step failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    what = "安装依赖 · installing packages"
    _say(stream, f"{what} (.venv, 约 / about 190 MB)")
    began = time.monotonic()
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    except (OSError, subprocess.CalledProcessError) as fault:
        shutil.rmtree(folder, ignore_errors=True)
        raise InstallFailed(
            f"无法建立虚拟环境：{fault}。Debian/Ubuntu 请先安装 python3-venv。\n"
            f"The virtual environment could not be made: {fault}. On Debian or Ubuntu install python3-venv first."
        ) from fault
    argv = [str(interpreter(folder)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    # Modules are compiled as they are first imported: most of what is installed never is.
    argv += ["--no-compile"]
    # Into this environment, whatever a user's settings (`user`, `target`) say: pip refused, or all lay elsewhere under a stamp that said it was here.
    argv += ["--no-user", "--target="]
    # The lock is whole, so there is nothing to resolve. Left to itself an older pip looks past the pin where a package asks for an extra of another
    # (`coverage[toml]`), finds a newer release than the pinned one, and refuses it.
    argv += ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r"]
    newer = lock.with_name(PIP_LOCK)
    if newer.exists():
        _run([*argv, str(newer)], log, stream, what)  # where it can't be had, the one that is there does as well
    code = _run([*argv, str(lock)], log, stream, what)
    if code != 0:
        raise InstallFailed(
            f"pip 安装失败（退出码 {code}）。请检查网络、代理或 pip 的镜像设置后重试。\n"
            f"pip failed (exit code {code}). Check the network, the proxy or pip's mirror settings and try again.\n"
            f"日志 / log: {log}\n{_tail(log)}"
        )
    (folder / STAMP).write_text(digest(lock) + "\n", encoding="utf-8")
    _say(stream, f"{what}: {time.monotonic() - began:.0f} s")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-6:])


def enter(folder: Path, root: Path, arguments: list[str]) -> int:
    """Become `python -m deploy ARGUMENTS` inside the environment, at the repository's root, and never come back."""
    # Byte code is kept, as every service would else compile all that it imports at each start.
    environment = {name: value for name, value in os.environ.items() if name not in PYTHONS_OWN | {"PYTHONDONTWRITEBYTECODE"}}
    os.chdir(root)
    python = str(interpreter(folder))
    return os.execve(python, [python, "-m", "deploy", *arguments], environment)


def is_inside(folder: Path) -> bool:
    """Tell whether this very Python is the environment's."""
    return Path(sys.prefix).resolve() == folder.resolve()
