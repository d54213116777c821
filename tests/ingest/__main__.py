"""`python -m tests.ingest --kills 20`: the gateway is killed under load; exit 1 where an event that was answered 202 is not on the topic."""

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
from tests.ingest.storm import blow
from tests.integration.door_rig import running

DATABASE = "ingest"


def _told(text: str) -> None:
    print(f"  {text}", flush=True)


async def _run(folder: Path, seed: int, kills: int) -> str:
    kafka, postgres = Kafka(folder / "kafka"), Postgres(folder / "postgres")
    try:
        await asyncio.gather(kafka.start(), postgres.start())
        await topics.ensure(kafka.bootstrap)
        await migrate.prepare(postgres, DATABASE)
        async with running(folder, kafka.bootstrap, postgres, DATABASE) as gateway:
            return await blow(gateway, kills, seed, _told)
    finally:
        await kafka.stop()
        await postgres.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the storm that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.ingest", description="Kills of the gateway under load; then every 202 is looked for on the topic.")
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs (default 20)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="decides the moments (default: by chance)")
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    print(f"ingest, seed {given.seed}, {given.kills} kills", flush=True)
    with tempfile.TemporaryDirectory(prefix="lastmetre-ingest-", ignore_cleanup_errors=True) as folder:
        try:
            _told(asyncio.run(_run(Path(folder), given.seed, given.kills)))
        except AssertionError as fault:
            print(fault, file=sys.stderr)
            print(f"failed; again with: python -m tests.ingest --seed {given.seed} --kills {given.kills}", file=sys.stderr)
            return 1
    print(f"all right, seed {given.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
