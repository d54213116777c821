"""`python -m tests.mutants`: plants the bugs of the catalogue one by one; exit 1 where more than two of them go unseen."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.run import Stale, Verdict, copy_repository, failing_unmutated, judge, mutated

UNSEEN_MAX: Final = 2


def _judged(mutants: Sequence[Mutant], processes: int) -> list[Verdict] | None:
    """The verdicts, each printed as it comes; None where the tests fail without any mutant."""
    with tempfile.TemporaryDirectory(prefix="lastmetre-mutants-") as scratch:
        clean = Path(scratch, "clean")
        copy_repository(clean)
        failing = failing_unmutated(clean, mutants)
        if failing is not None:
            print(failing)
            print("The tests fail without any mutant: mend them first.")
            return None
        verdicts = []
        with ThreadPoolExecutor(processes) as pool:
            for verdict in pool.map(partial(_judge, clean=clean), mutants):
                print(_line(verdict), flush=True)
                verdicts.append(verdict)
        return verdicts


def _judge(mutant: Mutant, clean: Path) -> Verdict:
    return judge(mutant, clean, clean.parent / mutant.name)


def _line(verdict: Verdict) -> str:
    end = f"caught by {verdict.by}" if verdict.fault is None else f"tests could not be run\n{verdict.fault}"
    if verdict.by is None and verdict.fault is None:
        end = "NOT caught"
    return f"{verdict.mutant.name:<36} {verdict.seconds:>5.1f} s  {end}"


def main(arguments: list[str] | None = None) -> int:
    """Plant what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Plants bugs in copies of the repository; its tests must find them.")
    parser.add_argument("--only", metavar="NAME", choices=[mutant.name for mutant in MUTANTS], help="this mutant alone")
    parser.add_argument("--processes", type=int, default=2, help="how many are tried at once (default 2)")
    given = parser.parse_args(arguments)
    mutants = [mutant for mutant in MUTANTS if given.only in {None, mutant.name}]
    try:
        for mutant in mutants:
            mutated(mutant)
    except Stale as stale:
        print(stale)
        return 1
    verdicts = _judged(mutants, given.processes)
    if verdicts is None:
        return 1
    unseen = [verdict.mutant for verdict in verdicts if verdict.by is None]
    for mutant in unseen:
        print(f"not caught: {mutant.name}: {mutant.breaks}")
    print(f"caught {len(mutants) - len(unseen)} of {len(mutants)}")
    return 1 if len(unseen) > (UNSEEN_MAX if given.only is None else 0) else 0


if __name__ == "__main__":
    sys.exit(main())
