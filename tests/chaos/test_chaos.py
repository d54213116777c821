"""The short form of the storms. The seed is printed; another one: `LASTMETRE_CHAOS_SEED=N`. The long form is `python -m tests.chaos`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos import storms, verdict
from tests.chaos.played import play_with_kills
from tests.chaos.rig import under_load

SEED = int(os.environ.get("LASTMETRE_CHAOS_SEED", "20261123"))
EVENTS_PER_SECOND = 30
KILLS = 2

pytestmark = pytest.mark.timeout(280)


def told(text: str) -> None:
    print(text, flush=True)


@pytest.fixture(autouse=True)
def servers_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are restarted here, so someone's own are left alone."""
    for name in ("LASTMETRE_KAFKA", "LASTMETRE_POSTGRES"):
        monkeypatch.delenv(name, raising=False)
    told(f"seed {SEED}")


async def test_every_promise_holds_while_workers_die_leave_and_join_a_frozen_one_wakes_and_servers_restart(tmp_path: Path) -> None:
    async with under_load(tmp_path / "state", SEED, EVENTS_PER_SECOND, told) as rig:
        await storms.kills(rig, KILLS)
        # Before the servers: a broker that was killed need not have heard of everybody yet, and whoever freezes then has no session that it would see end.
        await storms.zombie(rig)
        await storms.server_restarts(rig, 1, once_each=True)
        told(await verdict.of(rig, tmp_path / "out"))


async def test_a_file_played_under_kills_is_decided_as_rightly_as_without(tmp_path: Path) -> None:
    told(await play_with_kills(tmp_path, SEED + 2, 200, 3, told, minutes_max=12))
