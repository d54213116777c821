"""A run: steps drawn from one seed, carried out one after another, and judged after each.

What is drawn goes by what was decided so far, so a run cannot be made beforehand; but each step, once drawn, stands by itself, and :func:`thinned` plays the
steps of a run again without those that a violation does without.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import orjson

from schemas import codec
from schemas.codec import Event
from schemas.instants import DAY_US, rfc3339
from services.matcher.batch import Undecidable
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.replay import Entry, Replay
from tests import builders as build
from tests.simulator.judge import Broken, Judge, must
from tests.simulator.town import AREAS, Town, policy_of, read
from tests.simulator.worker import AFTER, BEFORE, Worker

DEADLINES_MAX: Final = 20
FAR_US: Final = 40 * DAY_US


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to the worker: events come (`wall`: what its clock shows, None where event time counts), time runs to `to`, or (neither) it dies."""

    kind: str
    events: tuple[Event, ...] = ()
    wall: int | None = None
    to: int | None = None
    crash: str | None = None

    def __str__(self) -> str:
        words = [self.kind, *([f"to {rfc3339(self.to)}"] if self.to is not None else []), *([f"at {rfc3339(self.wall)}"] if self.wall is not None else [])]
        words += [f"and dies {self.crash}"] if self.crash is not None else []
        return "\n".join([" ".join(words), *(f"    {codec.structured(event).decode()}" for event in self.events)])


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and the steps that show it; the last one does."""

    code: str
    text: str
    policy: Policy
    steps: tuple[Step, ...]


class Stage:
    """A worker with its judges: carries steps out. `told` counts what went out."""

    def __init__(self, policy: Policy) -> None:
        self.worker = Worker(policy)
        self.judges = {area: Judge(proof_needed=policy.proof_needed) for area in AREAS}
        self.replay = Replay(areas={area: Area(area, policy) for area in AREAS}, read=read)
        self.heard: dict[tuple[str, str], Event] = {}
        self.delivered: dict[str, set[tuple[str, str]]] = {area: set() for area in AREAS}
        self.told: Counter[str] = Counter()

    def do(self, step: Step) -> None:
        """Carry one step out.

        Raises:
            Broken: a promise does not hold.
        """
        try:
            entries = self._carried_out(step)
        except Undecidable as fault:
            raise Broken("core/raised", repr(fault.__cause__)) from fault
        except (AssertionError, ArithmeticError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError) as fault:
            raise Broken("core/raised", f"{step.kind}: {fault!r}") from fault
        for entry in entries:
            self._judge(entry)

    def _carried_out(self, step: Step) -> list[Entry]:
        if step.to is not None:
            return self.worker.tick(step.to, step.crash)
        if not step.events:
            self.worker.die()
            return []
        for event in step.events:
            self.heard[event.source, event.id] = event
            if step.crash != BEFORE:
                self.delivered[event.area].add((event.source, event.id))
        return self.worker.take_in(step.events, step.wall, step.crash)

    def _judge(self, entry: Entry) -> None:
        decisions = orjson.loads(entry.decision)
        event: Event | None = None
        if entry.event is not None:
            # The journal keeps the event as it came: only its identity is read here.
            attributes = orjson.loads(entry.event)
            event = self.heard[attributes["source"], attributes["id"]]
        for decision in decisions:
            self.told[_name_of(decision)] += 1
        self.judges[entry.area].hear(entry.at, entry.outcome, event, decisions)
        for difference in self.replay.again(entry):
            raise Broken("promise-4/again", str(difference))

    def finish(self) -> None:
        """Nothing is on its way any more and no deadline is left."""
        for area, judge in self.judges.items():
            judge.finish(self.delivered[area])
        must(not self.replay.unfounded(), "promise-4/again", "a repeat of what was never decided")


def _name_of(decision: dict[str, dict[str, str]] | dict[str, str]) -> str:
    name = str(decision["type"]).removeprefix("lastmetre.").removesuffix(".v1")
    data = decision["data"]
    assert isinstance(data, dict)
    return f"{name} {data['reason']}" if "reason" in data else name


@dataclass
class Run:
    """The run of one seed. `steps`: all that was done so far."""

    seed: int
    steps: list[Step] = field(default_factory=list)
    violation: Violation | None = None
    events: int = 0

    def __post_init__(self) -> None:
        self.rng = rng = Random(self.seed)
        self.policy = policy_of(rng)
        self.stage = Stage(self.policy)
        self.town = Town(rng, self.stage.judges)
        self.by_wall = rng.random() < 0.5
        self.minute = 0
        self.wall = build.instant(0)
        self.crashes = rng.choice((0, 0.05, 0.2))
        self.lateness = rng.choice((0, 0.1, 0.4))
        self.repeats = rng.choice((0, 0.1, 0.3))
        self.length = rng.randint(30, 60)
        self.held_back: list[Event] = []
        self.once: list[Event] = []

    def play(self) -> Run:
        """All steps, up to the first that breaks a promise."""
        try:
            for step in self._drawn():
                self.steps.append(step)
                self.stage.do(step)
            self.stage.finish()
        except Broken as broken:
            self.violation = Violation(broken.code, str(broken), self.policy, tuple(self.steps))
        return self

    # ---- drawing

    def _drawn(self) -> Iterator[Step]:
        rng = self.rng
        while self.events < self.length:
            self._time_goes_on()
            yield from self._some_step()
            if self.held_back and rng.random() < 0.2:
                yield from self._deliver([self.held_back.pop(rng.randrange(len(self.held_back)))])
        while self.held_back:
            yield from self._deliver([self.held_back.pop()])
        yield from self._run_out()

    def _time_goes_on(self) -> None:
        """Mostly a little; the clock on the wall may jump, and be set back."""
        rng = self.rng
        self.minute += rng.choice((0, 0, 0, 0, 1, 1, 1, 5, 5, 15, 30, 60 if rng.random() < 0.3 else 0, 400 if rng.random() < 0.1 else 0))
        self.wall = max(self.wall, build.instant(self.minute)) if rng.random() < 0.95 else build.instant(self.minute - rng.choice((1, 60, 600)))

    def _some_step(self) -> Iterator[Step]:
        rng = self.rng
        chance = rng.random()
        if chance < 0.08:
            due = self.stage.worker.next_deadline()
            if due is not None and due < build.instant(self.minute + 2 * self.town.span):
                yield Step("a deadline", to=due + rng.choice((0, 0, 1, -1)), crash=self._crash())
                self.minute = max(self.minute, int(build.minutes_of(due)))
        elif chance < 0.14:
            yield Step("a tick", to=self._now(), crash=self._crash())
        elif chance < 0.14 + self.crashes / 2:
            yield Step("another worker takes over")
        elif chance < 0.14 + self.crashes / 2 + self.repeats / 2 and self.once:
            yield from self._deliver([rng.choice(self.once) for _ in range(rng.randint(1, 3))], "come again")
        else:
            yield from self._deliver(self._new_events(rng.choice((1, 1, 1, 2, 4))))

    def _new_events(self, count: int) -> list[Event]:
        rng = self.rng
        fresh: list[Event] = []
        for _ in range(count):
            ago = rng.choice((1, 10, 45, 200)) if rng.random() < self.lateness else 0
            event = self.town.event(self.minute - ago)
            if event is None:
                continue
            self.events += 1
            if rng.random() < self.lateness / 2:
                self.held_back.append(event)
            else:
                fresh.append(event)
        rng.shuffle(fresh)
        return fresh

    def _deliver(self, events: Sequence[Event], how: str = "come") -> Iterator[Step]:
        """One batch; after a crash its events are delivered again, at once or later."""
        if not events:
            return
        crash = self._crash()
        yield Step(how, tuple(events), self._now() if self.by_wall else None, crash=crash)
        self.once.extend(events)
        if crash is not None:
            again = list(events)
            if self.rng.random() < 0.5:
                self.held_back.extend(again)
            else:
                yield from self._deliver(again, "come again after a crash")

    def _now(self) -> int:
        return self.wall if self.by_wall else build.instant(self.minute)

    def _crash(self) -> str | None:
        return self.rng.choice((BEFORE, AFTER)) if self.rng.random() < self.crashes else None

    def _run_out(self) -> Iterator[Step]:
        """Deadline by deadline for a while, then to where everything is over."""
        for _ in range(DEADLINES_MAX):
            due = self.stage.worker.next_deadline()
            if due is None:
                return
            yield Step("a deadline", to=due, crash=self._crash())
        for ahead in range(1, 6):
            if self.stage.worker.next_deadline() is None:
                return
            yield Step("the end of all", to=build.instant(self.minute) + ahead * FAR_US)
        must(self.stage.worker.next_deadline() is None, "deadlines/endless", "time alone goes on for ever")


def _code_of(policy: Policy, steps: Sequence[Step], *, whole: bool) -> str | None:
    """Which promise these steps break, with the last of them; None where they do not."""
    stage = Stage(policy)
    number = 0
    try:
        for number, step in enumerate(steps):  # noqa: B007 - where it was broken matters below
            stage.do(step)
        if whole:
            stage.finish()
    except Broken as broken:
        return broken.code if number == len(steps) - 1 else None
    return None


def thinned(violation: Violation) -> Violation:
    """The same violation without the steps, and the events of a step, that it does without."""
    steps = list(violation.steps)
    whole = _code_of(violation.policy, steps, whole=False) is None  # seen only when all was over

    def shows(fewer: Sequence[Step]) -> bool:
        return _code_of(violation.policy, fewer, whole=whole) == violation.code

    for number in reversed(range(len(steps))):
        without = steps[:number] + steps[number + 1 :]
        if without and shows(without):
            steps = without
            continue
        for event in steps[number].events if len(steps[number].events) > 1 else ():
            one = steps[number]
            fewer = tuple(other for other in one.events if other is not event)
            lighter = [*steps[:number], Step(one.kind, fewer, one.wall, one.to, one.crash), *steps[number + 1 :]]
            if fewer and shows(lighter):
                steps = lighter
    return Violation(violation.code, violation.text, violation.policy, tuple(steps))


def report(seed: int) -> str:
    """A violation for people: the seed, the step, and the shortest run that shows it."""
    violation = Run(seed).play().violation
    if violation is None:
        return f"seed {seed}: played alone it breaks nothing"
    fewest = thinned(violation)
    lines = [
        f"seed {seed}, step {len(violation.steps)}: {violation.text}",
        f"  with {violation.policy}",
        f"  the same with {len(fewest.steps)} of {len(violation.steps)} steps:",
        *(f"  {number}. {step}" for number, step in enumerate(fewest.steps, 1)),
    ]
    return "\n".join(lines)


@dataclass
class Tally:
    """What many runs came to; `violations`: what was broken, by seed."""

    runs: int = 0
    events: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Take in what other runs came to."""
        self.runs += other.runs
        self.events += other.events
        self.steps.update(other.steps)
        self.told.update(other.told)
        self.violations |= other.violations


def tally(seeds: range) -> Tally:
    """Play these seeds."""
    total = Tally()
    gc.disable()  # a run is short and small: what is left of it is swept up once, below
    gc.freeze()  # all that is imported need not be walked over for that
    for seed in seeds:
        run = Run(seed).play()
        total.runs += 1
        total.events += run.events
        total.told.update(run.stage.told)
        showed = 0
        for step in run.steps:
            total.steps[step.kind] += 1
            if step.crash is not None:
                total.steps[f"death {step.crash}"] += 1
            if step.wall is not None:
                if step.wall < showed:
                    total.steps["the clock on the wall was set back"] += 1
                showed = step.wall
        if run.violation is not None:
            total.violations[seed] = run.violation.code
    gc.enable()
    gc.collect()
    return total
