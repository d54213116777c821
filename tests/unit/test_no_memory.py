"""A process that has no memory left says so and ends: no event that was good is set aside, passed over or skipped for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from schemas import strict_json
from services import runtime
from services.gateway.board.reader import Reader
from services.matcher import batch
from services.matcher.batch import Batch, Work
from services.matcher.intake import Item
from services.matcher.lanes import Lane
from services.matcher.matcher import Matcher
from services.matcher.metrics import Metrics
from services.matcher.outbox import Publisher
from services.notifier.inbox import Inbox
from services.notifier.neighbours import Neighbours
from services.notifier.visiting import Visiting
from services.runtime import Stop
from tests import builders as build

EVENT: Any = build.wish("w1")
RECORD = SimpleNamespace(topic="wishes", partition=0, offset=0, key=EVENT.area.encode(), value=EVENT.raw, headers=[])
LETTER = SimpleNamespace(record=RECORD, fault=None)


async def no_memory(*_: object) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("reader", "step", "given"),
    [
        pytest.param(Inbox, "_write", LETTER, id="the notifier's inbox"),
        pytest.param(Visiting, "_write", ("responses", 0, 0, EVENT, RECORD), id="visits"),
        pytest.param(Neighbours, "take_in", EVENT, id="stairways"),
        pytest.param(Reader, "_write", RECORD, id="the board"),
    ],
)
async def test_no_reader_counts_it_as_an_event_s_own_fault(reader: Any, step: str, given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = reader.__new__(reader)
    one.lanes = SimpleNamespace(clocks=dict, put_back=lambda _: None)
    monkeypatch.setattr(one, step, no_memory)
    with pytest.raises(MemoryError):
        await (one._take_in(None, [given, given]) if reader is Reader else one._take_in([given, given]))


async def test_the_matcher_halves_what_it_has_no_memory_for_and_sets_nothing_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> Any:
        raise AssertionError("there is nobody to ask")

    matcher = Matcher(nothing, Publisher("127.0.0.1:1", nothing), Metrics(), Stop(), owner="test", event_time=False)
    stored: list[int] = []

    async def transact(work: list[Work], _side: int) -> None:
        count = sum(len(part.items) for part in work)
        if count > most:
            raise MemoryError
        stored.append(count)

    monkeypatch.setattr(matcher, "_transact", transact)
    items = [Item(SimpleNamespace(**{**vars(RECORD), "offset": offset}), EVENT, None) for offset in range(4)]
    lane = Lane(0, 1, {"wishes": 0}, 0, 0, 0)
    most = 2
    await matcher._decide([Work(lane, items)])
    assert [2, 2] == stored
    most = 0
    with pytest.raises(MemoryError):
        await matcher._decide([Work(lane, items)])
    assert [None] * 4 == [item.fault for item in items]


def test_deciding_without_memory_does_not_blame_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(batch, "decide", decide)
    area = build.given().area
    lane = Lane(0, 1, {"wishes": 0}, 0, 0, 0, {EVENT.area: area})
    with pytest.raises(MemoryError):
        Batch(set(), EVENT.time).decide(Work(lane, [Item(RECORD, EVENT, None)]))


def test_a_text_that_the_parser_has_no_memory_for_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(_value: bytes) -> None:
        raise orjson.JSONDecodeError("Not enough memory to allocate buffer for parsing", "", 0)

    monkeypatch.setattr(orjson, "loads", loads)
    with pytest.raises(MemoryError):
        strict_json.parse(b"{}", "data")


@pytest.mark.parametrize("first", [True, False], ids=["at the end", "with another fault behind it"])
def test_the_log_s_last_line_says_what_was_missing(capfd: pytest.CaptureFixture[str], *, first: bool) -> None:
    async def main(_stop: Stop) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(no_memory())
        finally:
            if not first:
                raise ConnectionError

    assert runtime.EXIT_FAILED == runtime.run(main)
    assert "out_of_memory" in capfd.readouterr().out
