"""Statements on paper and in spreadsheets: one self-contained HTML page for A4, Simplified Chinese first, and CSV that a spreadsheet takes as text."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from deploy.tools.wording import LOCAL, Words
from deploy.words import Trouble

_STYLE: Final = """
@page { size: A4; margin: 18mm 16mm 20mm; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f1ea; color: #1f2328; font: 14px/1.6 "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", system-ui, sans-serif; }
main { max-width: 210mm; margin: 24px auto; padding: 16mm; background: #fff; box-shadow: 0 1px 6px rgb(0 0 0 / 15%); }
header { border-bottom: 3px solid #a8321f; padding-bottom: 12px; margin-bottom: 20px; }
h1 { font-size: 24px; line-height: 1.3; margin: 0; letter-spacing: .04em; }
[lang=en] { color: #59636e; font-size: 12px; letter-spacing: 0; }
h1 [lang=en] { display: block; font-weight: 400; font-size: 14px; }
dl { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 0 0 20px; }
dl div { border: 1px solid #d8d3c8; border-radius: 6px; padding: 8px 12px; }
dt { color: #59636e; font-size: 12px; }
dd { margin: 0; font-size: 20px; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; white-space: nowrap; font-weight: 600; border-bottom: 2px solid #1f2328; padding: 6px 8px; }
th [lang=en] { display: block; font-weight: 400; }
td { border-bottom: 1px solid #e4dfd4; padding: 6px 8px; overflow-wrap: anywhere; vertical-align: top; }
th.n, td.n { text-align: right; white-space: nowrap; }
td.c { font: 11px/1.8 ui-monospace, monospace; min-width: 36mm; }
tr { break-inside: avoid; }
thead { display: table-header-group; }
.none { color: #59636e; padding: 16px 0; }
footer { margin-top: 24px; padding-top: 10px; border-top: 1px solid #d8d3c8; color: #59636e; font-size: 12px; }
footer p { margin: 0 0 4px; }
@media screen and (max-width: 46rem) {
  main { margin: 0; padding: 1rem; }
  dl { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .scroll { overflow-x: auto; }
  table { min-width: 44rem; }
}
@media print { body { background: none; } main { margin: 0; padding: 0; max-width: none; box-shadow: none; } }
"""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and whether it holds numbers or ids."""

    words: Words
    is_number: bool = False
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is shown in the terminal, on a page or in a spreadsheet."""

    title: Words
    facts: Sequence[tuple[Words, str]]
    columns: Sequence[Column]
    rows: Sequence[Sequence[Words | str]]
    notes: Sequence[Words] = field(default_factory=tuple)
    nothing: Words = ("没有记录。", "Nothing is on record.")


def _both(words: Words | str) -> str:
    if isinstance(words, str):
        return html.escape(words)
    zh, en = map(html.escape, words)
    return zh if zh == en else f'{zh} <span lang="en">{en}</span>'


def page(sheet: Sheet, now: datetime) -> str:
    """The sheet as one HTML page that needs nothing else."""
    facts = "".join(f"<div><dt>{_both(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in sheet.facts)
    marks = [' class="n"' if column.is_number else ' class="c"' if column.is_code else "" for column in sheet.columns]
    head = "".join(f'<th scope="col"{mark}>{_both(column.words)}</th>' for column, mark in zip(sheet.columns, marks, strict=True))
    rows = "".join("<tr>" + "".join(f"<td{mark}>{_both(cell)}</td>" for cell, mark in zip(row, marks, strict=True)) + "</tr>\n" for row in sheet.rows)
    table = (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'
        if sheet.rows
        else f'<p class="none">{_both(sheet.nothing)}</p>'
    )
    notes = "".join(f"<p>{_both(note)}</p>" for note in sheet.notes)
    made = f"{now.astimezone(LOCAL):%Y-%m-%d %H:%M}"
    return (
        f'<!doctype html>\n<html lang="zh-CN">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(' · '.join(sheet.title))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><h1>{_both(sheet.title)}</h1></header>\n<dl>{facts}</dl>\n{table}\n"
        f"<footer>{notes}<p>{_both((f'最后一米 · 制表时间 {made}', f'Last Metre, made {made}'))}</p></footer>\n</main>\n</body>\n</html>\n"
    )


def _cell(value: Words | str) -> str:
    text = value if isinstance(value, str) else value[0]
    # A spreadsheet would take such a text for a formula.
    return f"'{text}" if len(text) > 1 and text.startswith(_FORMULA) else text


def write_page(path: Path, sheet: Sheet, now: datetime) -> None:
    """Write the page.

    Raises:
        Trouble: it cannot be written there.
    """
    _write(path, page(sheet, now))


def write_csv(path: Path, sheet: Sheet) -> None:
    """Write the rows, with a mark at the beginning by which spreadsheets know UTF-8.

    Raises:
        Trouble: it cannot be written there.
    """
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(" ".join(dict.fromkeys(column.words)) for column in sheet.columns)
            lines.writerows([_cell(cell) for cell in row] for row in sheet.rows)
    except OSError as fault:
        raise _unwritable(path, fault) from fault


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise _unwritable(path, fault) from fault


def _unwritable(path: Path, fault: OSError) -> Trouble:
    return Trouble(f"无法写入 {path}：{fault.strerror}", f"{path} can't be written: {fault.strerror}")
