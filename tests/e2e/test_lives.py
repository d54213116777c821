"""Whole lives through the command `play`: every closing has its cause, and order and repeats change no balance."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.lives.run import run

SEED = 11
LIVES = 10
PLAY_SECONDS = 130.0


async def test_order_and_repeats_change_no_balance(tmp_path: Path) -> None:
    verdict = await asyncio.to_thread(run, SEED, LIVES, tmp_path, PLAY_SECONDS)
    assert [] == verdict.faults, f"seed {SEED}"
    for counts in verdict.counts.values():
        assert counts["closed"] > LIVES / 2
        assert counts["corrections"] > 0
