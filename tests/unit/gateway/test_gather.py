"""Questions asked together: everyone has their own answer, nobody waits for nobody, and a fault reaches all whom it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.gateway.gather import Gather


class Asked:
    """Answers when it is let, and remembers what was asked together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.free = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self, questions: Sequence[int]) -> list[str]:
        self.calls.append(list(questions))
        await self.free.wait()
        if self.fault is not None:
            raise self.fault
        return [f"answer {one}" for one in questions]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_whoever_comes_alone_is_asked_for_at_once_and_those_who_come_meanwhile_together() -> None:
    asked = Asked()
    gather = Gather(asked, at_once=2, most=3)
    waiting = [asyncio.ensure_future(gather(number)) for number in range(9)]
    await turns()
    assert [[0, 1, 2], [3, 4, 5]] == asked.calls
    asked.free.set()
    assert [f"answer {number}" for number in range(9)] == await asyncio.gather(*waiting)
    assert [[0, 1, 2], [3, 4, 5], [6, 7, 8]] == asked.calls
    assert "answer 9" == await gather(9)
    assert [9] == asked.calls[-1]


async def test_a_fault_reaches_all_who_were_asked_for_together_and_nobody_else() -> None:
    asked = Asked()
    gather = Gather(asked, at_once=1, most=2)
    asked.fault = OSError("away")
    waiting = [asyncio.ensure_future(gather(number)) for number in range(2)]
    await turns()
    asked.free.set()
    for one in waiting:
        with pytest.raises(OSError, match="away"):
            await one
    asked.fault = None
    assert "answer 3" == await gather(3)


async def test_who_goes_away_is_not_asked_for_and_keeps_nobody_waiting() -> None:
    asked = Asked()
    gather = Gather(asked, at_once=1, most=1)
    first, gone, last = (asyncio.ensure_future(gather(number)) for number in range(3))
    await turns()
    gone.cancel()
    asked.free.set()
    assert ["answer 0", "answer 2"] == list(await asyncio.gather(first, last))
    assert gone.cancelled()
    assert [[0], [2]] == asked.calls


async def test_who_goes_away_while_they_are_asked_for_takes_nothing_from_the_others() -> None:
    asked = Asked()
    gather = Gather(asked, at_once=1, most=2)
    gone, stays = (asyncio.ensure_future(gather(number)) for number in range(2))
    await turns()
    gone.cancel()
    asked.free.set()
    assert "answer 1" == await stays


async def test_nobody_waits_for_ever_where_asking_itself_is_ended() -> None:
    asked = Asked()
    gather = Gather(asked, at_once=1, most=2)
    waiting = asyncio.ensure_future(gather(0))
    await turns()
    for task in gather._asking:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    asked.free.set()
    assert "answer 1" == await gather(1)
