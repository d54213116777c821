"""`python -m tests.lives --lives 5000 --seed 7 [--keep DIR]`: exit code 1 where something is wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.lives.run import run


def main() -> int:
    """Play, judge, compare, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.lives", description=__doc__)
    parser.add_argument("--lives", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep files and results in this folder")
    parser.add_argument("--seconds", type=float, default=3600, help="so long one play may take")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        verdict = run(given.seed, given.lives, given.keep or Path(made), given.seconds)
    for name, counts in verdict.counts.items():
        print(f"{name}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    for fault in verdict.faults[:50]:
        print(fault)
    print(f"seed {given.seed}, {given.lives} lives, {len(verdict.faults)} faults, {time.monotonic() - began:.0f} s")
    return int(bool(verdict.faults))


if __name__ == "__main__":
    sys.exit(main())
