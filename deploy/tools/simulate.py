"""`simulate`: a month decided again under several policies: a table on the terminal and a page to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.going import Going
from deploy.state import State, default_folder, write_private
from deploy.tools.target import Target
from deploy.tools.wording import Lang, Words, clean, join
from deploy.whatif import months
from deploy.whatif.choice import Choice, differences
from deploy.whatif.compare import compare
from deploy.whatif.findings import HOUR_US
from deploy.whatif.measures import sections
from deploy.whatif.months import Month
from deploy.whatif.notes import assumption
from deploy.whatif.page import Comparison, page
from deploy.whatif.shapes import FULL
from deploy.words import Trouble
from services.matcher.replay import from_database

PAGE: Final = "simulate.html"
_FAULTS_SHOWN: Final = 5
_COLOURS: Final = ("blue", "dark_orange", "green", "magenta", "yellow", "cyan")


def of_file(path: Path, seed: int) -> Month:
    """A journal, or a file of events.

    Raises:
        Trouble: it cannot be read, or there is no wish in it.
    """
    try:
        with path.open("rb") as lines, Going(f"读取 {path.name}", f"reading {path.name}") as going:
            month = months.read(going.over(lines), path.name, seed)
    except OSError as fault:
        raise Trouble(f"无法读取 {path}：{fault.strerror}", f"{path} cannot be read: {fault.strerror}") from fault
    return _usable(month)


def of_shape(name: str, seed: int, wishes: int | None) -> Month:
    """One of the published streams; `wishes`: so many of them, and as many more or fewer helpers.

    Raises:
        Trouble: no stream has that name.
    """
    shape = next((one for one in FULL if one.name == name), None)
    if shape is None:
        known = ", ".join(one.name for one in FULL)
        raise Trouble(f"生成器没有 {clean(name)}，可用：{known}", f"The generator has no {clean(name)}. It has: {known}")
    if wishes is not None:
        shape = replace(shape, wishes=wishes, helpers=round(shape.helpers * wishes / shape.wishes))
    return _usable(months.generated(shape, seed))


async def of_running(target: Target, seed: int) -> Month:
    """The journal of the running system.

    Raises:
        Trouble: nothing runs, or there is no wish in it.
    """
    async with target.database("matcher") as connection:
        with Going("读取日志", "reading the journal") as going:
            month = await months.of_entries(from_database(connection), "matching.journal", seed, going.step)
    return _usable(month)


def _usable(month: Month) -> Month:
    if any(True for _ in months.wishes(month)):
        return month
    zh, en = f"{month.name} 里没有一个合规的心愿，无从比较。", f"There is no valid wish in {month.name}, so there is nothing to compare."
    for fault in month.faults[:_FAULTS_SHOWN]:
        zh += f"\n{month.name}:{fault.line}：{clean(fault.words[0])}"
        en += f"\n{month.name}:{fault.line}: {clean(fault.words[1])}"
    hint = (
        "请给出 play 写出的 journal.jsonl，或每行一个 CloudEvent 的事件文件，或用 --generated month。",
        "Give the journal.jsonl that play wrote, a file with one CloudEvent a line, or --generated month.",
    )
    raise Trouble(f"{zh}\n{hint[0]}", f"{en}\n{hint[1]}")


def simulate(month: Month, choices: Sequence[Choice], seed: int, told: Callable[[int, int], None]) -> Comparison:
    """Every policy on that month."""
    known, rows = compare(month, choices, told)
    return Comparison(month, known, rows, differences(choices, month.arrivals), seed)


def save(of: Comparison, folder: Path | None) -> Path:
    """Write the page; into the state folder where none is named."""
    out = folder if folder is not None else State(default_folder()).folder / "simulate"
    path = out / PAGE
    try:
        out.mkdir(parents=True, exist_ok=True)
        if folder is None:
            write_private(path, page(of))
        else:
            path.write_text(page(of), encoding="utf-8")
    except OSError as fault:
        raise Trouble(f"无法写入 {path}：{fault.strerror}", f"{path} cannot be written: {fault.strerror}") from fault
    return path


def show(of: Comparison, path: Path, console: Console, lang: Lang) -> None:
    """The same comparison on the terminal, and where the page is."""
    month, names = of.month, [row.name for row in of.rows]
    begin, end = months.span(month)
    days = max(round((end - begin) / (24 * HOUR_US)), 1)
    known = of.known
    _say(
        console,
        lang,
        (
            f"{clean(month.name)}：{days} 天，{len(known.wishes):,} 个心愿（{known.places:,} 个名额），{len(known.volunteers):,} 位志愿者",
            f"{clean(month.name)}: days {days}, wishes {len(known.wishes):,} (places {known.places:,}), volunteers {len(known.volunteers):,}",
        ),
    )
    if of.differences:
        table = _table(join(lang, ("策略的差别", "what differs")), names)
        for one in of.differences:
            table.add_row(Text(f"[{one.area}] {one.key}" if one.area else one.key), *one.values)
        console.print(table)
    else:
        _say(console, lang, ("这些策略的每一项都相同。", "These policies agree on every key."), "yellow")
    table = _table(join(lang, ("指标", "measure")), names)
    for section in sections(of.rows):
        if not section.lines:
            continue
        table.add_section()
        table.add_row(Text(join(lang, section.name), style="bold"))
        for line in section.lines:
            best = line.best()
            texts = (Text(text, style="bold green" if number in best else "") for number, text in enumerate(line.texts))
            table.add_row(Text(f"  {join(lang, line.name)}"), *texts)
    console.print(table)
    _say(console, lang, assumption(month), "dim")
    _left_out(month, console, lang)
    _say(console, lang, (f"网页：{path}", f"page: {path}"), "green")


def _left_out(month: Month, console: Console, lang: Lang) -> None:
    if not month.faulty:
        return
    _say(console, lang, (f"不合规而未计入的行：{month.faulty:,}", f"lines that are not valid and were left out: {month.faulty:,}"), "yellow")
    for fault in month.faults[:_FAULTS_SHOWN]:
        where = f"{clean(month.name)}:{fault.line}"
        _say(console, lang, (f"  {where}：{clean(fault.words[0])}", f"  {where}: {clean(fault.words[1])}"))


def _table(corner: str, names: Sequence[str]) -> Table:
    table = Table()
    table.add_column(corner)
    for number, name in enumerate(names):
        table.add_column(Text(name, style=_COLOURS[number]), justify="right", overflow="fold")
    return table


def _say(console: Console, lang: Lang, words: Words, style: str = "default") -> None:
    for text in words if lang == "both" else (words[0] if lang == "zh" else words[1],):
        console.print(Text(text, style=style))
