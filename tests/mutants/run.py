"""Plants a mutant in a copy of the repository and lets its tests look for it there. The repository itself is never changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import Mutant

ROOT: Final = Path(__file__).parents[2]
LIMIT_SECONDS: Final = 240.0
_TESTS_FAILED: Final = 1
_CAUGHT: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Stale(Exception):
    """The mutant's snippet is not in its file exactly once."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant. `by`: the test that caught it; `fault`: why its tests could not be run."""

    mutant: Mutant
    seconds: float
    by: str | None = None
    fault: str | None = None


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The text of the mutant's file with the bug in it.

    Raises:
        Stale: it cannot be planted.
    """
    text = (root / mutant.file).read_text(encoding="utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise Stale(f"{mutant.name} is stale: its snippet is in {mutant.file} {found} times")
    return text.replace(mutant.old, mutant.new)


def copy_repository(to: Path) -> None:
    """All folders with Python in them and the files beside them, as they are now, committed or not."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    packages = {name.partition("/")[0] for name in names if name.endswith(".py")}
    for name in names:
        top, slash, _ = name.partition("/")
        if not slash or top in packages:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def _pytest(folder: Path, tests: Iterable[str], *options: str) -> tuple[int | None, str]:
    """(exit code, or None where it did not end; output). Servers that its tests started end with it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *tests]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as running:
        try:
            said, _ = running.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            said, _ = running.communicate()
            return None, said
    return running.returncode, said


def failing_unmutated(clean: Path, mutants: Iterable[Mutant]) -> str | None:
    """What the mutants' tests say where nothing is planted, if not all of them pass: then they could prove nothing."""
    code, said = _pytest(clean, sorted({test for mutant in mutants for test in mutant.tests}))
    return None if code == 0 else said


def judge(mutant: Mutant, clean: Path, folder: Path) -> Verdict:
    """Plant it in a copy of `clean`, made in `folder`, and run its tests."""
    began = time.perf_counter()
    shutil.copytree(clean, folder)
    (folder / mutant.file).write_text(mutated(mutant, folder), encoding="utf-8")
    # Python tells a compiled file's age by the second: that of the planted one must go.
    for compiled in (folder / mutant.file).parent.glob(f"__pycache__/{Path(mutant.file).stem}.*"):
        compiled.unlink()
    code, said = _pytest(folder, mutant.tests, "-x")
    shutil.rmtree(folder)
    seconds = time.perf_counter() - began
    if code is None:
        return Verdict(mutant, seconds, by=f"no end within {LIMIT_SECONDS:.0f} s")
    caught = _CAUGHT.search(said)
    if code == _TESTS_FAILED and caught is not None:
        return Verdict(mutant, seconds, by=caught[1])
    return Verdict(mutant, seconds, fault=None if code == 0 else said)
