"""Dead letters may be very many: `dlq list` shows the newest of them and how many there are, and `dlq replay` sends them one by one."""

from collections.abc import AsyncIterator
from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from deploy.tools.dlq import Letter, Overview, _handfuls, overview, show_list


def letter(offset: int, *, at: int, reason: str = "not_json", partition: int = 0) -> Letter:
    headers = [("dlq-reason", reason.encode()), ("dlq-message", "字段 | field".encode()), ("dlq-topic", b"wishes")]
    return Letter(SimpleNamespace(topic="wishes-dlq", partition=partition, offset=offset, timestamp=at, key=None, value=b"{", headers=headers))


async def come(*letters: Letter) -> AsyncIterator[Letter]:
    for one in letters:
        yield one


def shown(found: Overview) -> str:
    screen = Console(file=StringIO(), width=160)
    show_list(found, screen, "en")
    file: Any = screen.file
    return str(file.getvalue())


async def test_of_many_dead_letters_the_newest_are_shown_in_order_of_time_whichever_partition_comes_first() -> None:
    found = await overview(come(letter(0, at=4), letter(1, at=9), letter(0, at=5, partition=1), letter(1, at=1, partition=1, reason="too_large")), 2)
    said = shown(found)
    assert ["wishes-dlq:1:0", "wishes-dlq:0:1"] == [line.place for line in found.lines]
    assert "4 dead letters" in said
    assert "The newest 2 are shown (--most 0: all). By reason: not_json 3, too_large 1" in said


async def test_where_all_dead_letters_are_shown_nothing_is_said_of_others() -> None:
    found = await overview(come(letter(0, at=4), letter(1, at=9)), 0)
    assert ["wishes-dlq:0:0", "wishes-dlq:0:1"] == [line.place for line in found.lines]
    assert "newest" not in shown(found)


def test_letters_of_one_content_are_one_event_and_others_are_not() -> None:
    first, repeat, other = (letter(0, at=1), letter(1, at=2), letter(2, at=3))
    other.record.key = b"gaoxin"
    assert first.content == repeat.content != other.content


async def test_letters_are_sent_again_in_handfuls_of_a_hundred_and_of_large_ones_fewer() -> None:
    large = letter(0, at=1)
    large.record.value = b"x" * 700_000
    assert [100, 50] == [len(some) async for some in _handfuls(come(*[letter(0, at=1)] * 150))]
    assert [2, 1] == [len(some) async for some in _handfuls(come(large, large, large))]
