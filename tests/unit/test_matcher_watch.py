"""A worker whose lanes are split, or of which a part has crashed, does not stay in the group."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from faust.types import TP

from schemas.topics import LANE_TOPICS
from services.broker import Broker
from services.matcher import app
from services.matcher.agents import SplitLane, make_app
from services.matcher.matcher import Matcher
from services.runtime import Stop

WHOLE = frozenset(TP(topic, 0) for topic in LANE_TOPICS)
LIMIT_SECONDS = 30.0


class Group:
    """What the group says that is ours; each look may find something else."""

    def __init__(self, *assigned: frozenset[TP]) -> None:
        self.assigned = list(assigned)
        self.looks = 0
        self.looked = asyncio.Event()

    def assignment(self) -> frozenset[TP]:
        self.looks += 1
        if self.looks >= len(self.assigned):
            self.looked.set()
        return self.assigned[min(self.looks, len(self.assigned)) - 1]


def worker(group: Group, crash: Exception | None = None) -> Any:
    return SimpleNamespace(consumer=group, crashed=crash is not None, crash_reason=crash)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_WATCH_SECONDS", 0.001)


async def test_a_worker_that_has_a_part_of_a_lane_for_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_SPLIT_SECONDS", 0.01)
    with pytest.raises(SplitLane):
        async with asyncio.timeout(LIMIT_SECONDS):
            await app._watch(worker(Group(WHOLE, WHOLE - {TP(LANE_TOPICS[0], 0)})), Stop())


async def test_a_part_that_is_whole_again_soon_is_no_reason_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_SPLIT_SECONDS", 3600.0)
    group, stop = Group(WHOLE, WHOLE - {TP(LANE_TOPICS[0], 0)}, WHOLE, frozenset(), WHOLE), Stop()
    watch = asyncio.create_task(app._watch(worker(group), stop))
    async with asyncio.timeout(LIMIT_SECONDS):
        await group.looked.wait()
        stop.set()
        await watch


async def test_a_worker_of_which_a_part_has_crashed_ends_with_its_reason() -> None:
    reason = RuntimeError("a part")
    with pytest.raises(app.FaustCrashed) as ended:
        async with asyncio.timeout(LIMIT_SECONDS):
            await app._watch(worker(Group(WHOLE), reason), Stop())
    assert reason is ended.value.__cause__


class Groups:
    """How many others are in the group, by the look."""

    def __init__(self, *others: bool) -> None:
        self.others = list(others)

    async def others_in(self, _broker: Broker, _group: str) -> bool:
        return self.others.pop(0)


@pytest.mark.parametrize(
    ("lanes", "unanswered_seconds", "others", "leaves"),
    [
        pytest.param({1}, 16.0, [True], True, id="others may have a database"),
        pytest.param({1}, 16.0, [False, False, True], True, id="there are others in the end"),
        pytest.param({1}, 16.0, [False] * 3, False, id="nobody else is there"),
        pytest.param({1}, 14.0, [], False, id="it may come back in a moment"),
        pytest.param(set(), 16.0, [], False, id="there is nothing to leave"),
    ],
)
async def test_a_worker_whose_database_has_not_answered_for_long_leaves_its_lanes_to_others_where_there_are_some(
    lanes: set[int], unanswered_seconds: float, others: list[bool], leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "others_in", Groups(*others).others_in)
    matcher: Any = SimpleNamespace(assigned=lanes, unanswered_seconds=unanswered_seconds)
    with pytest.raises(app.CutOff) if leaves else contextlib.nullcontext():
        await app._look_for_answers(Broker("127.0.0.1:1"), matcher, FewLooks())


async def test_how_long_nobody_has_answered_is_counted_from_the_first_try_to_reach_the_database_and_a_refusal_is_an_answer() -> None:
    said: list[BaseException | None] = []

    async def connect(_seconds: float) -> Any:
        fault = said.pop(0)
        if fault is not None:
            raise fault
        return SimpleNamespace(is_closed=lambda: True)

    worker: Any = Matcher(connect, None, None, Stop(), owner="w/1", event_time=False)  # type: ignore[arg-type]
    waits = []
    for said_now in (TimeoutError(), ConnectionRefusedError(), asyncpg.ConnectionDoesNotExistError(), asyncpg.TooManyConnectionsError(), OSError(), None):
        said.append(said_now)
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await worker._ready_connection()
        waits.append(worker._unanswered_since)
    first, second, third, refused, again, there = waits
    assert None is not first == second == third
    assert None is refused is there
    assert first < again


class FewLooks(Stop):
    """Stops by itself after three looks."""

    looks = 0

    async def pause(self, seconds: float) -> bool:
        self.looks += 1
        return self.looks > 3


async def test_a_worker_that_waits_for_kafka_has_no_part_of_a_lane_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # an app makes a folder, and takes it away once it runs
    matcher: Any = SimpleNamespace(cursor=None)
    await app._watch(make_app("127.0.0.1:1", matcher, lambda _: None, gather_ms=5), FewLooks())
