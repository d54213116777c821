"""All cases: which points there are is seen by watching a calm run, so none can be left out; then each is met, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.failpoints.rig import Rig
from tests.failpoints.trap import ACTIONS, Action, Order

# In the short form: so many points are met in one case, and not every second is a kill, whose restart takes longest.
TOGETHER: Final = 12
# So often a case is played, where not all is met in one.
CASES_MAX: Final = 4
TURNS: Final[tuple[Action, ...]] = ("kill", "error", "delay", "error", "delay")


@dataclass
class Found:
    """The points of one calm run, and which of them only a start passes."""

    at_work: list[str]
    at_start: list[str]


@dataclass
class Outcome:
    """What a run came to. `new`: points that were passed only because of a fault, with the orders that led there."""

    cases: int = 0
    seconds: float = 0.0
    met: set[str] = field(default_factory=set)
    new: dict[str, tuple[Order, ...]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


async def look(rig: Rig) -> Found:
    """Watch two calm cases, the second for what hangs on the first, and a start that finds work left behind."""
    await rig.play()
    await rig.start()
    await rig.settle()
    at_start = set(rig.passed)
    rig.passed.clear()
    rig.order(())
    await _calm(rig)
    at_work = set(rig.passed)
    return Found(sorted(at_work), sorted(at_start - at_work))


async def _calm(rig: Rig) -> None:
    case = await rig.play()
    await rig.settle()
    await rig.judge(case, 0)


def cases_of(found: Found, actions: Sequence[Action] = ACTIONS) -> list[tuple[Order, ...]]:
    """Every point with every action."""
    points = [(point, True) for point in found.at_work] + [(point, False) for point in found.at_start]
    return [(Order(point, action, at_work),) for point, at_work in points for action in actions]


def sample_of(found: Found, known: Collection[str] = ()) -> list[tuple[Order, ...]]:
    """Every step once, `TOGETHER` of them in one case: before or after it, and which action, by turns. `known`: steps that are sampled elsewhere."""
    steps: dict[str, list[str]] = {}
    for point in (*found.at_work, *found.at_start):
        steps.setdefault(step_of(point), []).append(point)
    starts = set(found.at_start)
    work: list[Order] = []
    start: list[Order] = []
    for number, (step, points) in enumerate(steps.items()):
        point = points[number % len(points)]
        if step not in known:
            (start if point in starts else work).append(Order(point, TURNS[number // 2 % len(TURNS)], at_work=point not in starts))
    # The points of one loop into different cases: faults of different loops are waited out at the same time. A start passes each of its points but once.
    return [run for orders, most in ((work, TOGETHER), (start, TOGETHER // 2)) for run in _dealt(orders, most)]


def _dealt(orders: Sequence[Order], most: int) -> list[tuple[Order, ...]]:
    """So few runs that none has more than `most` orders, dealt out in turn."""
    count = -(-len(orders) // most)
    return [tuple(orders[first::count]) for first in range(count)]


def step_of(point: str) -> str:
    """A point's step, without whether it is before or after it."""
    return point.replace(": before ", ": ").replace(": after ", ": ")


async def go_through(rig: Rig, cases: Iterable[tuple[Order, ...]], known: set[str], told: Callable[[str], None], *, stop: bool = True) -> Outcome:
    """Each case in turn. `known`: the points that are cases already; `stop`: at the first fault."""
    outcome, began = Outcome(), time.monotonic()
    for orders in cases:
        rig.met.clear()
        rig.passed.clear()
        try:
            await _meet(rig, orders)
        except AssertionError as fault:
            text = f"{' and '.join(f'{one.action} {one.point}' for one in orders)}: {fault}"
            outcome.faults.append(text)
            told(f"FAULT {text}")
            if stop:
                raise AssertionError(text) from None
        outcome.cases += 1
        outcome.met |= set(rig.met)
        for point in rig.passed - known:
            outcome.new.setdefault(point, orders)
        if outcome.cases % 50 == 0:
            told(f"{outcome.cases} cases, {time.monotonic() - began:.0f} s")
    outcome.seconds = time.monotonic() - began
    return outcome


async def _meet(rig: Rig, orders: tuple[Order, ...]) -> None:
    if orders[0].at_work:
        rig.order(orders)
        case = await rig.play()
    else:
        await rig.end()
        case = await rig.play()
        await rig.start(orders)
    cases = [case]
    # What a step needs, such as the results of both sides in one batch, a case does not bring each time: then another one does.
    while not await rig.settle(len(orders)):
        assert len(cases) < CASES_MAX, f"not met in {CASES_MAX} cases: {[one for one in orders if one.point not in rig.met]}"
        cases.append(await rig.play())
    for one in cases:
        await rig.judge(one, sum(order.action != "delay" for order in orders))
