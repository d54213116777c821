"""Which of what was read of a lane's topics is decided first, where one of them goes on behind what memory holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from services.matcher.gaps import Stretch, first_come, next_piece


def stretch(*came: int, whole: bool = True) -> Stretch:
    return Stretch([SimpleNamespace(timestamp=at) for at in came], whole)


def taken(**stretches: Stretch) -> list[list[int]]:
    found: list[Any] = first_come(stretches)
    return [[record.timestamp for record in records] for records in found]


def test_all_is_taken_where_all_was_read() -> None:
    assert [[1, 9], [5], []] == taken(offers=stretch(1, 9), wishes=stretch(5), responses=stretch())


def test_nothing_is_taken_that_came_after_what_was_not_read() -> None:
    assert [[1], [2, 4], [3]] == taken(offers=stretch(1, 9), wishes=stretch(2, 4, whole=False), confirmations=stretch(3, 5))


def test_of_several_that_go_on_the_one_that_was_read_least_far_counts() -> None:
    assert [[2, 3], [1]] == taken(wishes=stretch(2, 3, whole=False), responses=stretch(1, 6, whole=False))


def test_there_is_always_something_to_take_whatever_the_clocks_said() -> None:
    assert [[9, 1], []] == taken(wishes=stretch(9, 1, whole=False), responses=stretch(4))
    assert [[7], [7]] == taken(wishes=stretch(7, whole=False), responses=stretch(7, whole=False))


async def test_of_what_has_no_end_nothing_is_taken_that_came_after_what_is_at_hand() -> None:
    logs = {"wishes": [1, 100, 101], "responses": [2, 102], "offers": [103]}

    async def read(topic: str, _lane: int, start: int, end: int | None) -> Stretch:
        common = {"topic": topic, "partition": 0, "key": None, "value": b"", "headers": []}
        return Stretch([SimpleNamespace(offset=offset, timestamp=at, **common) for offset, at in enumerate(logs[topic])][start:end])

    piece = await next_piece(read, 0, {"wishes": (0, 2), "responses": (0, None), "offers": (0, None)}, 100)
    assert [[1, 100], [2]] == [[item.record.timestamp for item in run] for run in piece.runs]
    assert (True, frozenset()) == (piece.whole, piece.empty)  # nothing to be gone past: what came later is still to be read
