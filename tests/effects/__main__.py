"""`python -m tests.effects --kills 500`: exactly one effect a notice, whatever happens; exit 1 where one was lost or came twice."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from pathlib import Path

from deploy import migrate, topics
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from tests.effects.storm import blow, storm

DATABASE = "effects"


def _told(text: str) -> None:
    print(f"  {text}", flush=True)


async def _run(folder: Path, seed: int, kills: int, rate: float, *, beside: bool, sealed: bool) -> str:
    kafka, postgres = Kafka(folder / "kafka"), Postgres(folder / "postgres")
    try:
        await asyncio.gather(kafka.start(), postgres.start())
        await topics.ensure(kafka.bootstrap)
        await migrate.prepare(postgres, DATABASE)
        dsn = postgres.dsn("lastmetre_notifier", DATABASE)
        vault = postgres.dsn("lastmetre_vault", DATABASE) if sealed else None
        async with storm(kafka.bootstrap, dsn, postgres.owner_dsn(DATABASE), folder, seed, rate, _told, vault_dsn=vault) as one:
            return await blow(one, kills, beside=beside)
    finally:
        await kafka.stop()
        await postgres.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the storm that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.effects", description="Kills of the notifier under load; then every effect is counted.")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs (default 20)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="decides load, faults and moments (default: by chance)")
    parser.add_argument("--rate", type=float, default=4, help="matches a second (default 4)")
    parser.add_argument("--beside", action="store_true", help="another notifier comes and goes beside the one that is killed")
    parser.add_argument("--sealed", action="store_true", help="people are in a vault, and looked up there for each attempt")
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    print(f"effects, seed {given.seed}, {given.kills} kills", flush=True)
    with tempfile.TemporaryDirectory(prefix="lastmetre-effects-", ignore_cleanup_errors=True) as folder:
        try:
            _told(asyncio.run(_run(Path(folder), given.seed, given.kills, given.rate, beside=given.beside, sealed=given.sealed)))
        except AssertionError as fault:
            print(fault, file=sys.stderr)
            more = "".join(f" --{name}" for name in ("beside", "sealed") if getattr(given, name))
            print(f"failed; again with: python -m tests.effects --seed {given.seed} --kills {given.kills}{more}", file=sys.stderr)
            return 1
    print(f"all right, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
