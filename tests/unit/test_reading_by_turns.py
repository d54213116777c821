"""Large records are read so that the loop, and with it the group's heartbeat, goes on meanwhile."""

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, TypeVar

import orjson

from schemas import codec
from schemas.lanes import partition_of
from schemas.topics import EVENT_MAX_BYTES
from services.matcher import intake
from services.matcher.intake import Item
from services.notifier.neighbours import Neighbours
from services.notifier.visiting import Visiting

T = TypeVar("T")
HEADERS = codec.headers_of("lastmetre.wish.withdrawn.v1", "id-1", "//app", "2026-11-23T08:00:00+08:00", "w-1", "gaoxin")


def record(offset: int, **more: str) -> Any:
    value = orjson.dumps({"wish_id": "w-1", "area": "gaoxin", **more})
    return SimpleNamespace(topic="wishes", partition=partition_of("gaoxin"), offset=offset, key=b"gaoxin", value=value, headers=HEADERS)


async def read_beside_a_ticker(records: list[Any]) -> tuple[list[Item], int]:
    return await beside_a_ticker(intake.read_by_turns(records))


async def beside_a_ticker(reading: Awaitable[T]) -> tuple[T, int]:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.create_task(tick())
    found = await reading
    ticker.cancel()
    return found, ticks


async def test_the_loop_goes_on_while_a_record_full_of_what_looks_like_numbers_is_read() -> None:
    filling = "1#" * (EVENT_MAX_BYTES // 2 - 100)

    items, ticks = await read_beside_a_ticker([record(0), record(1, x=filling), record(2)])

    assert [0, 1, 2] == [item.record.offset for item in items]
    assert all(item.event is not None for item in items)
    assert ticks >= 10


async def test_the_loop_goes_on_while_many_that_are_not_large_are_read() -> None:
    items, ticks = await read_beside_a_ticker([record(offset, x="1#" * 5000) for offset in range(100)])

    assert list(range(100)) == [item.record.offset for item in items]
    assert ticks >= 3


async def test_what_is_refused_is_masked_while_it_is_read() -> None:
    items = await intake.read_by_turns([record(0, x="13800138000")])

    assert items[0].letter is not None
    assert b"13800138000" not in (items[0].letter.value or b"")


def test_what_is_no_event_is_known_by_the_contracts_types_alone() -> None:
    def says(value: bytes | None, *headers: tuple[str, bytes | None]) -> str:
        return intake.type_told(SimpleNamespace(value=value, headers=headers))

    offered = "lastmetre.offer.posted.v1"
    assert offered == says(b"{", ("ce_type", offered.encode()))
    assert offered == says(orjson.dumps({"type": offered}))
    assert "" == says(orjson.dumps({"type": "lastmetre.offer.invented.v1"}))
    assert {""} == {says(value) for value in (None, b"{", b"[1]", b"\xff", orjson.dumps({"type": [offered]}), b" " * EVENT_MAX_BYTES + b"{}")}
    assert {""} == {says(None, ("ce_type", content)) for content in (None, b"", b"\xff", b"lastmetre.offer.invented.v1")}


async def test_the_loop_goes_on_while_a_record_of_many_headers_or_a_large_key_is_read() -> None:
    """Eight of the broker's mebibytes in headers took twenty seconds, without a heartbeat: each worker in turn was thought dead, and none came past it."""
    headed, keyed, full = record(0), record(1), record(2)
    headed.headers = [*HEADERS, *((f"x{number}", b"13812345678 1#1#1#1#") for number in range(4000))]
    keyed.key = b"1#" * 30_000
    headed.value = keyed.value = b"{"
    full.headers = [*HEADERS, *((f"x{number}", b"13812345678") for number in range(80_000))]

    items, ticks = await read_beside_a_ticker([headed, keyed, full])

    assert ["not_json", "not_json", "too_large"] == [item.fault.reason for item in items if item.fault is not None]
    assert ticks >= 10
    assert not any(b"1381" in (value or b"") for item in items if item.letter is not None for _, value in item.letter.headers)


async def test_the_notifiers_loop_goes_on_while_what_it_hears_of_visits_is_read() -> None:
    """A report may carry what we know nothing of, a photo even; the notices wait for the same loop, and the second notifier read the same after the first."""
    large = record(0, x="\\" + "1#" * 50_000)  # a text with a backslash may write its words otherwise, and is read
    visits = Visiting.__new__(Visiting)
    neighbours = Neighbours.__new__(Neighbours)
    visits._store, neighbours._settings = SimpleNamespace(read_known=nothing_known), SimpleNamespace(household_words=())  # type: ignore[assignment]

    _, ticks_of_visits = await beside_a_ticker(visits._were_read([large]))
    _, ticks_of_neighbours = await beside_a_ticker(neighbours.read([large]))

    assert ticks_of_visits >= 3
    assert ticks_of_neighbours >= 3


async def nothing_known(*_: Any) -> tuple[dict[str, Any], set[Any]]:
    return {}, set()
