"""What `python -m deploy test` runs: style, types, tests. One run tells everything, and pytest's closing line comes last."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.state import ROOT

# Most tests wait for servers, so three processes share the work (tests/conftest.py says how), each with a Kafka and a PostgreSQL of its own.
WHOLE_SUITE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=30")


@dataclass(slots=True)
class Check:
    """One tool over the whole repository: its name for people, and how it is run."""

    name: str
    argv: Sequence[str]
    code: int = 0

    @property
    def exit_code(self) -> int:
        """As a shell would tell it: 0 where it passed, 128 and the signal's number where one ended it."""
        return self.code if self.code >= 0 else 128 - self.code

    def run(self) -> None:
        """Run it to its end; what it says goes where ours goes."""
        _say(f"== {self.name}\n")
        self.code = subprocess.run(self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode

    def run_aside(self) -> None:
        """The same in one piece, so that nothing falls between its lines while something else is running."""
        done = subprocess.run(self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.code = done.returncode
        _say(f"\n== {self.name}\n{done.stdout.decode(errors='replace')}")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def run_all(arguments: Sequence[str]) -> list[Check]:
    """All checks, run; `arguments` go to pytest. Types are checked beside the whole suite, which takes longer; a few tests wait for them."""
    style = [
        Check("ruff check", [sys.executable, "-m", "ruff", "check", "."]),
        Check("ruff format --check", [sys.executable, "-m", "ruff", "format", "--check", "."]),
    ]
    types = Check("mypy --strict", [sys.executable, "-m", "mypy"])
    tests = Check("pytest", [sys.executable, "-m", "pytest", *(arguments or WHOLE_SUITE)])
    for check in style:
        check.run()
    if arguments:
        types.run()
        tests.run()
    else:
        aside = threading.Thread(target=types.run_aside)
        aside.start()
        tests.run()
        aside.join()
    return [*style, types, tests]
