"""What a machine must have before anything is downloaded or started. The standard library alone: runs before the virtual environment exists."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

PYTHON_MIN = (3, 11)
PYTHON_BELOW = (3, 14)  # the wheels that the lock pins were checked for 3.11 to 3.13
GIBIBYTE = 1024**3
# The virtual environment takes 0.5 GiB and the jars 0.05; Kafka and PostgreSQL begin with 0.1 each.
DISK_FRESH_BYTES = 2 * GIBIBYTE
DISK_READY_BYTES = GIBIBYTE // 2
# Between paths for Java and Python, between folders of data for Kafka (which made others elsewhere), and what PostgreSQL's initdb, which asks a shell, loses.
NOT_IN_A_PATH = ':,$`"\\'
# Where every pinned package has a wheel. faust-streaming has none for Linux on aarch64.
PLATFORMS = {
    ("Linux", "x86_64"),
    ("Darwin", "arm64"),
    ("Darwin", "x86_64"),
}


def python_problem(version: tuple[int, ...]) -> tuple[str, str] | None:
    """What is wrong with this Python, in Chinese and English, or None."""
    if PYTHON_MIN <= version[:2] < PYTHON_BELOW:
        return None
    have = ".".join(map(str, version[:3]))
    return (
        f"需要 Python 3.11、3.12 或 3.13，当前为 {have}。请用其中之一运行，例如 python3.12 -m deploy up。",
        f"Python 3.11, 3.12 or 3.13 is needed, this is {have}. Run with one of them, such as: python3.12 -m deploy up",
    )


def platform_problem(system: str, machine: str, libc: str) -> tuple[str, str] | None:
    """What is wrong with this system, or None. `libc` is its name where known ("glibc")."""
    if (system, machine) not in PLATFORMS:
        return (
            f"不支持 {system} {machine}：所需程序包只有 Linux x86_64 与 macOS 版。Windows 请用 WSL2，其他机器可用 docker-compose.yml。",
            f"{system} {machine} is not supported: packages exist for Linux x86_64 and macOS. On Windows use WSL2, elsewhere docker-compose.yml.",
        )
    if system == "Linux" and libc != "glibc":
        return (
            "需要使用 glibc 的 Linux（如 Debian、Ubuntu、Fedora）；Alpine 等 musl 系统没有可用的程序包。",
            "A Linux with glibc is needed (Debian, Ubuntu, Fedora and so on); for musl, as in Alpine, the packages do not exist.",
        )
    return None


def _first_that_is_there(folder: Path) -> Path:
    """The folder, or the nearest one above it that we can see."""
    while not os.path.exists(folder):  # noqa: PTH110 - Path.exists raises where we may not look
        folder = folder.parent
    return folder


def disk_problem(folder: Path, needed_bytes: int) -> tuple[str, str] | None:
    """Tell whether the disk of `folder` has too little room, or None."""
    folder = _first_that_is_there(folder)
    free = shutil.disk_usage(folder).free
    if free >= needed_bytes:
        return None
    return (
        f"磁盘空间不足：{folder} 剩余 {free / GIBIBYTE:.1f} GiB，至少需要 {needed_bytes / GIBIBYTE:.1f} GiB。请清理磁盘。",
        f"Too little disk space: {folder} has {free / GIBIBYTE:.1f} GiB left and {needed_bytes / GIBIBYTE:.1f} GiB are needed. Make room.",
    )


def folder_problem(folder: Path) -> tuple[str, str] | None:
    """Tell whether we can't write in `folder`, or None."""
    folder = _first_that_is_there(folder)
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return (
        f"无法写入 {folder}。请换到有写权限的文件夹，或修正其所有者（例如此前曾以 root 运行）。",
        f"Cannot write in {folder}. Use a folder of yours, or mend its owner (was it started by root before?).",
    )


def name_problem(folder: Path) -> tuple[str, str] | None:
    """Tell whether `folder` has a sign in its path that one of the programs takes for something else, or None."""
    found = " ".join(sign for sign in NOT_IN_A_PATH if sign in str(folder))
    if not found:
        return None
    return (
        f"文件夹 {folder} 的路径中有 {found}，Java、Kafka 或 PostgreSQL 会误读。请换一个路径中没有这些符号的文件夹（汉字和空格可以）。",
        f"The path of {folder} has {found} in it, which Java, Kafka or PostgreSQL would misread. Use a folder without such signs; spaces are fine.",
    )


def encoding_problem(folder: Path) -> tuple[str, str] | None:
    """Tell whether this Python reads the name of `folder` by another encoding than UTF-8, by which Java and Kafka do and would find another one, or None."""
    try:
        if str(folder).encode() == os.fsencode(folder):
            return None
    except UnicodeEncodeError:
        pass
    how = sys.getfilesystemencoding()
    return (
        f"文件夹 {folder} 的名字无法按当前编码（{how}）正确读取。请先执行 export LC_ALL=C.UTF-8（并去掉 PYTHONUTF8=0），或换一个只含英文字母和数字的路径。",
        f"The name of {folder} can't be read rightly by the encoding that is set ({how}). Set LC_ALL=C.UTF-8, and no PYTHONUTF8=0, or use an ASCII path.",
    )


def loopback_problem() -> tuple[str, str] | None:
    """Tell whether nothing can listen on the loopback, or None."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as fault:
        return (
            f"无法在回环地址 127.0.0.1 上监听（{fault}）。请检查网络或沙箱设置。",
            f"Nothing can listen on the loopback address 127.0.0.1 ({fault}). Check the network or the sandbox.",
        )
    return None


def problems(root: Path, state: Path, *, installed: bool) -> Iterator[tuple[str, str]]:
    """Everything that would keep us from starting, each in Chinese and English."""
    places = (root,) if state.is_relative_to(root) else (root, state)
    needed = DISK_READY_BYTES if installed else DISK_FRESH_BYTES
    found = (
        python_problem(sys.version_info[:3]),
        platform_problem(platform.system(), platform.machine(), platform.libc_ver()[0]),
        *(judge(folder) for folder in places for judge in (name_problem, encoding_problem)),
        folder_problem(root),
        folder_problem(state),
        disk_problem(state, needed),
        loopback_problem(),
    )
    return (one for one in found if one is not None)
