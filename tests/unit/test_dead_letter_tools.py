"""Dead letters may be very many: `dlq list` shows the newest of them and how many there are, and `dlq replay` sends them one by one."""

from collections.abc import AsyncIterator
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from deploy.long_table import LongTable
from deploy.tables import Table
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


@pytest.mark.parametrize(("width", "terminal"), [(160, False), (80, True), (30, True)])
def test_a_long_table_prints_what_rich_prints(width: int, terminal: bool) -> None:
    short, long, two = (
        Text("wishes-dlq:5:0", style="red"),
        Text("说明 missing: give window.start and window.end " * 3),
        Text("not_json\n不是 JSON\ttab", style="dim"),
    )
    rows = [(short, long, two), (two, Text(""), short), (Text("宽" * 40), short, Text(" lead and trail  "))]
    said = []
    for kind in (Table, LongTable):
        screen = Console(file=StringIO(), width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
        table = kind("位置 · place", "说明 · message", "by", title="死信 3 条", title_justify="left")
        table.columns[0].no_wrap, table.columns[2].justify = True, "right"
        for row in rows:
            table.add_row(*row)
        screen.print(table)
        file: Any = screen.file
        said.append(file.getvalue())
    assert said[0] == said[1]
