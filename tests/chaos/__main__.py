"""`python -m tests.chaos --seed N --kills 20`: the long form, with a stack of its own in a temporary folder; exit 1 where a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.words import Trouble
from tests.chaos import storms, verdict
from tests.chaos.played import play_with_kills
from tests.chaos.rig import Rig, under_load


def _told(text: str) -> None:
    print(f"  {text}", flush=True)


async def _all(given: argparse.Namespace, folder: Path) -> None:
    by_name: dict[str, Callable[[Rig], Awaitable[None]]] = {
        "kills": lambda rig: storms.kills(rig, given.kills),
        "servers": lambda rig: storms.server_restarts(rig, given.rounds),
        "zombie": storms.zombie,
    }
    for name, storm in by_name.items():
        if given.only in {None, name}:
            print(f"{name}, seed {given.seed}", flush=True)
            async with under_load(folder / name / "state", given.seed, given.rate, _told) as rig:
                await storm(rig)
                _told(await verdict.of(rig, folder / name / "out"))
    if given.only in {None, "play"}:
        print(f"play, seed {given.seed}", flush=True)
        _told(await play_with_kills(folder / "play", given.seed, given.events, given.kills, _told, servers=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the storms that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kills, restarts and zombies under load; then everything is checked.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="decides the load and the blows (default: by chance; printed)")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs under load, and as many while the file is played (default 20)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of four server restarts (default 1)")
    parser.add_argument("--rate", type=float, default=150, help="events a second (default 150)")
    parser.add_argument("--events", type=int, default=2000, help="lines of the file that is played (default 2000)")
    parser.add_argument("--only", choices=("kills", "servers", "zombie", "play"), help="one storm instead of all")
    parser.add_argument("--keep", type=Path, help="keep logs and results in this folder")
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that a server is away is what we are here for
    try:
        if given.keep is not None:
            asyncio.run(_all(given, given.keep))
        else:
            with tempfile.TemporaryDirectory(prefix="lastmetre-chaos-", ignore_cleanup_errors=True) as folder:
                asyncio.run(_all(given, Path(folder)))
    except (AssertionError, Trouble) as fault:
        print(fault, file=sys.stderr)
        print(f"failed; again with: python -m tests.chaos --seed {given.seed}", file=sys.stderr)
        return 1
    print(f"all right, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
