"""Debian's Chromium: found, or installed where that can be done; where it can't, the tests fail and say what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("chromium", "fonts-noto-cjk")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb"),
)
_HELP = """没有找到 Chromium。请以 root 运行：apt-get update && apt-get install -y chromium fonts-noto-cjk
Chromium is not here. As root: apt-get update && apt-get install -y chromium fonts-noto-cjk
(Or name one: LASTMETRE_CHROMIUM=/path/to/chromium.)"""


def executable() -> str:
    """The path of a Chromium, installed with apt-get where it is missing and we are root.

    Raises:
        RuntimeError: there is none and it could not be installed; the message says how to.
    """
    named = os.environ.get("LASTMETRE_CHROMIUM")
    if named:
        return named
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=900)
            if done.returncode:
                raise RuntimeError(f"{_HELP}\n{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        found = _found()
    if found is None:
        raise RuntimeError(_HELP)
    return found


def _found() -> str | None:
    for name in ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome"):
        path = shutil.which(name)
        if path is not None and Path(path).is_file():
            return path
    return None
