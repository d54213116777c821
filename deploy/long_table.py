"""A table of thousands of rows: it prints what Rich's prints, byte for byte, in a small part of the processor's time.

Rich wraps, aligns and pads each cell by itself, some 200 µs each, and does so again for a text that stands in every second row. Here a cell that fits in
one line is only padded, and any other is drawn by Rich the first time that it is seen. Two steps of Rich's are replaced, how wide a column wants to be and
how rows are drawn; should a later version not ask for them, the table is as slow as Rich's, and right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from deploy.tables import Table

_SIDES: Final = (0, 1)
_SIDE: Final = Segment(" ")
_LONG: Final = 400  # cells: whatever is longer is for Rich to wrap
Lines = list[list[Segment]]


class LongTable(Table):
    """As :class:`deploy.tables.Table`, of cells that are texts: no footer, no sections, no styles of rows or columns."""

    def _measure_column(self, console: Console, options: ConsoleOptions, column: Column) -> Measurement:
        """By the cells with the longest line and the longest word, for no other is wider."""
        texts = {str(cell): cell for cell in column.cells}
        widest = [texts[max(texts, key=length)] for length in (_longest_line, _longest_word)] if texts else []
        return super()._measure_column(console, options, replace(column, _cells=widest))

    def _render(self, console: Console, options: ConsoleOptions, widths: list[int]) -> Iterator[Any]:
        """Rich draws the frame around one empty row; its place is taken by ours."""
        if not self.rows:
            yield from super()._render(console, options, widths)
            return
        frame = copy(self)
        frame.columns, frame.rows = [column.copy() for column in self.columns], []
        frame.add_row(*("" for _ in widths))
        *head, empty, foot = _lines(super(LongTable, frame)._render(console, options, widths))
        frame_of_row = "".join(segment.text for segment in empty)
        left, divider, right = (Segment(frame_of_row[place]) for place in (0, widths[0] + 1, -1))
        for line in head:
            yield from _whole(line)
        pens = [_Pen(console, options, column, width) for column, width in zip(self.columns, widths, strict=True)]
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            drawn = [pen.lines(cell) for pen, cell in zip(pens, cells, strict=True)]
            for number in range(max(map(len, drawn))):
                line = [left]
                for pen, lines in zip(pens, drawn, strict=True):
                    line += [*(lines[number] if number < len(lines) else pen.nothing), divider]
                line[-1] = right
                yield from _whole(line)
        yield from _whole(foot)


class _Pen:
    """Draws the cells of one column."""

    def __init__(self, console: Console, options: ConsoleOptions, column: Column, width: int) -> None:
        self._console, self._width, self._is_left = console, width, column.justify == "left"
        self._options = options.update(
            width=width, justify=column.justify, no_wrap=column.no_wrap, overflow=column.overflow, height=None, highlight=column.highlight
        )
        self._drawn: dict[tuple[str, str], Lines] = {}
        self.nothing = [Segment(" " * width)]

    def lines(self, cell: Any) -> Lines:
        text = cell if isinstance(cell, Text) else Text(cell)
        plain, room = text.plain, self._width - 2
        if self._is_left and plain and len(plain) <= _LONG and plain.isprintable() and not text.spans and (spare := room - cell_len(plain)) >= 0:
            return [[_SIDE, Segment(plain + " " * spare, self._console.get_style(text.style)), _SIDE]]
        key = (plain, repr((text.style, text.spans)))
        if key not in self._drawn:
            lines = self._console.render_lines(Padding(text, _SIDES), self._options)
            self._drawn[key] = [Segment.adjust_line_length(line, self._width) for line in lines]
        return self._drawn[key]


def _whole(line: Iterable[Segment]) -> Iterator[Segment]:
    """A line, what has no style of its own in one with its neighbours."""
    text = ""
    for segment in line:
        if segment.style:
            if text:
                yield Segment(text)
            yield segment
            text = ""
        else:
            text += segment.text
    yield Segment(text + "\n")


def _lines(drawn: Iterable[Any]) -> Iterable[list[Segment]]:
    return Segment.split_lines(drawn)


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
