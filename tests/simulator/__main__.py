"""`python -m tests.simulator --seeds 10000`: plays that many random towns; exit 1 where a promise was broken."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from tests.simulator.run import Tally, report, tally

CHUNK: Final = 50


def _tallies(seeds: range, processes: int) -> Iterable[Tally]:
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    if processes == 1:
        yield from map(tally, chunks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(tally, chunks)


def _line(title: str, counts: Counter[str]) -> str:
    return f"{title}: " + ", ".join(f"{name} {number:,}" for name, number in counts.most_common())


def main(arguments: list[str] | None = None) -> int:
    """Play the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description="Random towns, with crashes, repeats, late events; each promise checked.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many towns (default 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="how many processes (default 2)")
    parser.add_argument("--show", type=int, default=3, help="how many violations to print in full (default 3)")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    total = Tally()
    for one in _tallies(range(given.first, given.first + given.seeds), given.processes):
        total.add(one)
    seconds = time.perf_counter() - began
    for seed in sorted(total.violations)[: given.show]:
        print(report(seed))
    print(f"{total.runs:,} seeds, {total.events:,} events in {seconds:.1f} s: {total.runs / seconds:.0f} seeds/s")
    print(_line("steps", total.steps))
    print(_line("told", total.told))
    print(f"{len(total.violations)} violations" + "".join(f"\n  seed {seed}: {code}" for seed, code in sorted(total.violations.items())[:20]))
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
