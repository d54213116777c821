"""What time it is in an area, also while its lane is in nobody's hands; and whether a lane is still ours."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from schemas.instants import MINUTE_US, parse_rfc3339, rfc3339
from services.notifier import lanes as module
from services.notifier.lanes import Lanes
from services.runtime import Stop

AREA = "hightech"
AT = parse_rfc3339("2026-03-02T08:00:00Z")


def taken(clock: int = AT) -> Lanes:
    lanes = Lanes("event")
    lanes.take(2, 1, {AREA: clock})
    return lanes


def test_an_area_keeps_its_time_while_its_lane_is_let_go_and_taken_again() -> None:
    lanes = taken()
    lanes.drop([2])
    assert rfc3339(AT) == lanes.now(AREA)
    assert 2 not in lanes


def test_a_lane_that_is_taken_again_has_the_clocks_that_are_stored_and_no_others() -> None:
    lanes = taken()
    lanes.set_forward({AREA: (2, AT + 5 * MINUTE_US), "never-committed": (2, AT), "elsewhere": (3, AT)})
    lanes.drop([2])
    lanes.take(2, 2, {AREA: AT + MINUTE_US})
    assert {AREA: (2, AT + MINUTE_US), "elsewhere": (3, AT)} == lanes.clocks()


@pytest.mark.parametrize("again", [True, False], ids=["taken over again", "somebody else's"])
def test_a_lane_is_in_doubt_until_it_is_taken_again_or_let_go(again: bool) -> None:
    lanes = taken()
    lanes.doubt([2])
    assert 2 not in lanes
    assert {2} == lanes.doubted
    if again:
        lanes.take(2, 2, {AREA: AT})
    else:
        lanes.drop([2])
    assert set() == lanes.doubted


def test_by_the_walls_clock_no_event_sets_a_clock() -> None:
    lanes = Lanes("wall")
    lanes.take(2, 1, {})
    assert {} == lanes.later([(AREA, 2, AT)])
    assert lanes.micros(AREA) > AT


async def test_who_stood_still_is_in_doubt_until_they_have_let_go_whatever_they_do_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.0)
    lanes, stop = Lanes("wall"), Stop()
    beating = asyncio.create_task(lanes.beat(stop))
    doubts = [lanes.in_doubt]
    for seconds in (1.0, 20.0, 1.0):
        clock.now += seconds
        doubts.append(lanes.in_doubt)
        await asyncio.sleep(0.01)  # some beats
        doubts.append(lanes.in_doubt)
    lanes.certain()
    stop.set()
    await beating
    assert ([False, False, False, True, True, True, True], False) == (doubts, lanes.in_doubt)
