"""`python -m benchmarks.rounds`: how long a round takes over thousands of waiting wishes and open offers of one area, and what a red wish costs there.

The matcher's core alone, as a round is held by it without broker and database. The wishes are yellow and blue, so they wait; the clock then goes from round
to round, and some of them take hundreds of pairs. Beside each round stands what scipy's solver alone takes for the same pairs: the rest is weighing them and
proposing what is taken. A red wish is decided between rounds, in the same full area.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from unittest.mock import patch

import typer

from benchmarks.load import Load, Record
from schemas import codec
from services.matcher.core import assign, decide, rounds
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.core.turn import Turn

GOAL_MS: Final = 500.0
_AREA: Final = "zone-1"
_NOW: Final = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)
_NOW_US: Final = round(_NOW.timestamp() * 1_000_000)
_REDS: Final = 200


@dataclass(slots=True)
class Found:
    """Milliseconds of each round and of its solver; wishes, pairs and proposals of each; microseconds of each red wish."""

    round_ms: list[float] = field(default_factory=list)
    solver_ms: list[float] = field(default_factory=list)
    wishes: list[int] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    proposed: list[int] = field(default_factory=list)
    red_us: list[float] = field(default_factory=list)


class _Clock:
    """Stands in for the core's two functions while they are measured."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self._run, self._solve = rounds.run_round, assign.solve

    def run_round(self, turn: Turn) -> None:
        """One round, timed."""
        self.found.solver_ms.append(0.0)
        self.found.pairs.append(0)
        self.found.wishes.append(len(turn.area.pooled))
        before = len(turn.out)
        began = time.perf_counter()
        self._run(turn)
        self.found.round_ms.append((time.perf_counter() - began) * 1000)
        self.found.proposed.append(len(turn.out) - before)

    def solve(self, counts: Sequence[int], helpers: Sequence[int], *rest: Any) -> list[int | None]:
        """The solver, timed by itself."""
        began = time.perf_counter()
        taken = self._solve(counts, helpers, *rest)
        self.found.solver_ms[-1] = (time.perf_counter() - began) * 1000
        self.found.pairs[-1] = len(helpers)
        return taken


def _happens(area: Area, record: Record) -> None:
    decide.decide(area, codec.decode(record.topic, record.value, record.headers), area.clock or _NOW_US)


def filled(wishes: int, offers: int, seed: int) -> tuple[Area, list[Record]]:
    """An area in which so many wishes wait and so many offers are open, and red wishes that may come yet."""
    area, load, red = Area(_AREA, Policy()), Load(seed, (_AREA,), _NOW), []
    area.clock = _NOW_US
    for offer in load.offers(offers):
        _happens(area, offer)
    for wish in load.wishes(2 * wishes + 10 * _REDS):
        if wish.data["urgency"] == "red":
            red.append(wish)
        elif len(area.pooled) < wishes:
            _happens(area, wish)
    return area, red


def measure(wishes: int, offers: int, number: int, seed: int) -> Found:
    """So many rounds over a full area, with red wishes between them."""
    found = Found()
    area, red = filled(wishes, offers, seed)
    clock = _Clock(found)
    gc.collect()
    gc.freeze()
    gc.disable()  # as the matcher does while there is something to do
    try:
        with patch.object(decide, "run_round", clock.run_round), patch.object(rounds, "solve", clock.solve):
            _go_on(area, red, number, found)
    finally:
        gc.enable()
        gc.unfreeze()
    return found


def _go_on(area: Area, red: list[Record], number: int, found: Found) -> None:
    """From round to round, a red wish after each."""
    while len(found.round_ms) < number and (due := area.next_deadline()) is not None:
        decide.pass_time(area, max(due, area.clock))
        if red:
            one = red.pop()
            began = time.perf_counter()
            _happens(area, one)
            found.red_us.append((time.perf_counter() - began) * 1_000_000)


def main(
    wishes: Annotated[int, typer.Option(min=1, help="How many wait.")] = 5000,
    offers: Annotated[int, typer.Option(min=1, help="How many are open.")] = 5000,
    number: Annotated[int, typer.Option("--rounds", min=1, help="How many rounds are held.")] = 40,
    seed: Annotated[int, typer.Option(help="Of wishes and offers.")] = 7,
) -> None:
    """Print each round and a verdict; the exit code is 1 where the median round misses the goal."""
    found = measure(wishes, offers, number, seed)
    for line in zip(found.wishes, found.pairs, found.proposed, found.solver_ms, found.round_ms, strict=True):
        print("{:6,} wishes {:7,} pairs {:6,} proposed   solver {:7.1f} ms   round {:7.1f} ms".format(*line))
    told = {
        "round_ms": {"median": round(statistics.median(found.round_ms), 1), "max": round(max(found.round_ms), 1)},
        "red_wish_us": {"median": round(statistics.median(found.red_us), 1), "max": round(max(found.red_us), 1)} if found.red_us else None,
    }
    print(json.dumps(told))
    for what, took in (("the median round", statistics.median(found.round_ms)), ("the longest round", max(found.round_ms))):
        print(f"verdict: {what} {'keeps to' if took <= GOAL_MS else 'MISSES'} the goal of {GOAL_MS:.0f} ms")
    sys.exit(0 if statistics.median(found.round_ms) <= GOAL_MS else 1)


if __name__ == "__main__":
    typer.run(main)
