"""Run as a script: hold a stack of stand-ins in the folder given until a signal comes, and print one line when it is ready."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.cli import run_until_signalled
from deploy.stack import Stack

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


async def hold(folder: Path) -> None:
    async with Stack(folder, commands={"matcher": STAND_IN, "notifier": STAND_IN}) as stack:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stack.watch()


if __name__ == "__main__":
    run_until_signalled(hold(Path(sys.argv[1])))
