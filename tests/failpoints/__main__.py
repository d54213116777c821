"""`python -m tests.failpoints`: every point x (kill, error, delay), by the clock on the wall and by event time; exit 1 where anything was lost or doubled."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from deploy import migrate, topics
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from tests.failpoints.rig import rig
from tests.failpoints.run import Outcome, cases_of, go_through, look, sample_of
from tests.failpoints.trap import ACTIONS, Order

CLOCKS = ("wall", "event")


def _told(text: str) -> None:
    print(f"  {text}", flush=True)


async def _one(kafka: Kafka, postgres: Postgres, folder: Path, only: str, *, timed: bool, short: bool) -> list[Outcome]:
    name = "wall" if timed else "event"
    await topics.remake(kafka.bootstrap)
    await migrate.prepare(postgres, name)
    async with rig(kafka.bootstrap, postgres.dsn("lastmetre_notifier", name), postgres.owner_dsn(name), folder, timed=timed) as one:
        found = await look(one)
        known = {*found.at_work, *found.at_start}
        _told(f"{name} time: {len(found.at_work)} points at work, {len(found.at_start)} more at a start")
        cases = sample_of(found) if short else [case for case in cases_of(found) if only in case[0].point]
        first = await go_through(one, cases, known, _told, stop=False)
        outcomes = [first]
        if not short:
            # What only a fault leads to: the same fault, and then each action there.
            second = [(*orders, Order(point, action, at_work=False)) for point, orders in sorted(first.new.items()) for action in ACTIONS]
            _told(f"{len(first.new)} points that only a fault leads to: {', '.join(sorted(first.new)) or 'none'}")
            outcomes.append(await go_through(one, second, known | first.new.keys(), _told, stop=False))
        return outcomes


async def _run(folder: Path, only: str, clocks: tuple[str, ...], *, short: bool) -> list[Outcome]:
    kafka, postgres = Kafka(folder / "kafka"), Postgres(folder / "postgres")
    try:
        await asyncio.gather(kafka.start(), postgres.start())
        await topics.ensure(kafka.bootstrap)
        return [outcome for clock in clocks for outcome in await _one(kafka, postgres, folder, only, timed=clock == "wall", short=short)]
    finally:
        await kafka.stop()
        await postgres.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.failpoints", description="Every failpoint of the notifier x (kill, error, delay).")
    parser.add_argument("--short", action="store_true", help="every step once, as the tests do it")
    parser.add_argument("--only", default="", help="points with this in their name, such as 'record: after'")
    parser.add_argument("--clock", choices=CLOCKS, help="one clock alone")
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="lastmetre-failpoints-", ignore_cleanup_errors=True) as folder:
        outcomes = asyncio.run(_run(Path(folder), given.only, (given.clock,) if given.clock else CLOCKS, short=given.short))
    cases, seconds = sum(one.cases for one in outcomes), sum(one.seconds for one in outcomes)
    faults = [fault for one in outcomes for fault in one.faults]
    print(f"{cases} cases in {seconds:.0f} s, {len(faults)} with something lost or doubled")
    for fault in faults:
        print(fault, file=sys.stderr)
    if not cases:  # nothing was tried, and nothing is shown by it
        parser.error(f"argument --only: no point has {given.only!r} in its name")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
