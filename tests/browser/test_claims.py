"""Everyone taps at once: the benchmark's short form. How fast it is, is not asserted."""

from __future__ import annotations

from benchmarks.claims import tapped
from tests.browser.stage import Stage

MEMBERS, ROUNDS = 30, 2


async def test_when_everyone_taps_at_once_one_wins_and_everyone_has_an_answer(town_hall: Stage) -> None:
    found = await tapped(town_hall, MEMBERS, ROUNDS, others=5)
    assert {"granted": ROUNDS, "refused": (MEMBERS - 1) * ROUNDS} == found.answers
    assert found.sound
