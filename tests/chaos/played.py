"""A file played while matchers and notifiers are killed: the results must be as right as without."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.player import Player, playing_stack, read_lines
from deploy.stack import Stack
from deploy.state import ROOT
from tests.checker import check, generate

VICTIMS = ("matcher", "matcher-2", "notifier", "notifier-2")
BETWEEN_SECONDS = (0.2, 2.5)
REPLAY_SECONDS = 120.0


async def play_with_kills(
    folder: Path, seed: int, events: int, count: int, told: Callable[[str], None], *, minutes_max: int = generate.MINUTES, servers: bool = False
) -> str:
    """Generate the seed's file, play it on two matchers and two notifiers with `count` SIGKILLs at random moments, judge the results, tell what was looked at.

    `servers`: restart Kafka and PostgreSQL too, once each.

    Raises:
        AssertionError: a promise is broken, or the kills did not fall while it played.
        Trouble: the services made no progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, out = folder / "in.jsonl", folder / "out"
    generate.write(file, seed, events, minutes_max=minutes_max)
    with file.open("rb") as text:
        lines = read_lines(text)
    async with playing_stack(folder / "state", matchers=2, notifiers=2) as stack, Player(stack) as player:
        began = time.monotonic()
        playing = asyncio.create_task(player.play(lines))
        try:
            killed = await _kill_while(stack, playing, random.Random(f"kills {seed}"), count, told, servers=servers)
            await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        results = await player.results(time.monotonic() - began)
    results.write(out)
    report = check(out, file)
    assert report.ok, "\n".join([f"seed {seed}, files in {out}", *map(str, report.violations[:20])])
    await replay(out / "journal.jsonl")
    assert killed, "the file was played to its end before anybody was killed"
    return f"all right: {killed} kills in {time.monotonic() - began:.0f} s, lines {len(lines)}, proposals judged {report.counts['proposals judged']}"


async def _kill_while(stack: Stack, playing: asyncio.Task[None], rng: random.Random, count: int, told: Callable[[str], None], *, servers: bool) -> int:
    restarts = dict(zip(rng.sample(range(1, max(2, count * 2 // 3) + 1), 2), (stack.kafka, stack.postgres), strict=True)) if servers else {}
    for number in range(1, count + 1):
        await asyncio.wait({playing}, timeout=rng.uniform(*BETWEEN_SECONDS))
        if playing.done():
            return number - 1
        name = rng.choice(VICTIMS)
        stack.service(name).kill()
        told(f"SIGKILL {number} of {count}: {name}")
        server = restarts.get(number)
        if server is not None:
            told(f"a restart of {type(server).__name__}")
            await server.stop()
            await server.start()
        # The next one falls on a system that is whole again, or while it still recovers.
        if rng.random() < 0.7:
            whole = asyncio.create_task(stack.service(name).ready())
            await asyncio.wait({playing, whole}, return_when=asyncio.FIRST_COMPLETED)
            whole.cancel()
            await asyncio.gather(whole, return_exceptions=True)
    return count


async def replay(journal: Path, policy: Path | None = None) -> None:
    """Decide the journal again with the core alone.

    Raises:
        AssertionError: it decides otherwise, or can't be run.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.matcher.replay",
        str(journal),
        *(("--policy", str(policy)) if policy else ()),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(REPLAY_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 0, f"decided again, the journal differs:\n{said.decode(errors='replace')[-4000:]}"
