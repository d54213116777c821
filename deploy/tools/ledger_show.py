"""How `ledger` shows what the books hold: sheets of a statement and of an organisation, and the word of an audit."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.tools.explain import say
from deploy.tools.ledger import Audit, Branch, Statement, hours, points, stars_line
from deploy.tools.ledger_page import Column, Sheet
from deploy.tools.wording import OUTCOMES, Lang, Words, clean, join, moment, word

BY: Final[dict[str, Words]] = {
    "resident": ("居民反馈", "the resident's word"),
    "community": ("社区回访", "the community's word"),
    "default": ("到时未反馈，按默认", "by default: nobody spoke in time"),
}
UNITS: Final[dict[str, Words]] = {"minutes": ("分钟", "minutes"), "points": ("积分（百分之一）", "points (hundredths)")}
_REFERENCES: Final[Words] = ("编号不含个人信息，仅保险箱能对应到人。", "References hold no personal data; only the vault can say who they are.")
_CORRECTIONS: Final[Words] = ("带 * 的记录事后有更正，数字已包含更正。", "* was corrected later; the figures include the correction.")


def day(instant: int) -> str:
    """`2026-11-24 16:00`, local."""
    return moment(instant).strftime("%Y-%m-%d %H:%M")


def statement_sheet(found: Statement) -> Sheet:
    """A volunteer's statement."""
    rows: list[list[Words | str]] = [
        [
            day(one.starts_us), clean(one.organisation or "-"), word(OUTCOMES, one.outcome), word(BY, one.by),
            hours(one.minutes), points(one.points), clean(one.match_id),
            "*" if one.corrected else "",
        ]
        for one in found.visits
    ]  # fmt: skip
    facts: list[tuple[Words, str]] = [
        (("志愿者编号", "volunteer"), clean(found.volunteer_ref, 128)),
        (("片区", "area"), clean(found.area)),
        (("时长（时:分）", "hours"), hours(found.minutes)),
        (("积分", "points"), points(found.points)),
        (("星级", "stars"), stars_line(found.stars)),
        (("服务次数", "visits"), str(sum(1 for one in found.visits if one.minutes))),
    ]
    # Only where there are any: for whoever looks into it, and no blame in print for the others.
    if found.called_off_late:
        facts.append((("临时取消", "called off late"), str(found.called_off_late)))
    if found.no_shows:
        facts.append((("爽约", "no-shows"), str(found.no_shows)))
    if found.half is not None:
        facts.insert(2, (("期间", "period"), found.half.name))
    columns = (
        Column(("日期", "date")), Column(("所属组织", "organisation")), Column(("结果", "outcome")), Column(("依据", "by")),
        Column(("时长", "hours"), is_number=True), Column(("积分", "points"), is_number=True), Column(("配对编号", "match"), is_code=True),
        Column(("更正", "corrected")),
    )  # fmt: skip
    notes = [_CORRECTIONS, _REFERENCES] if any(one.corrected for one in found.visits) else [_REFERENCES]
    return Sheet(("志愿服务记录", "Record of voluntary service"), facts, columns, rows, notes)


def branch_sheet(found: Branch) -> Sheet:
    """双报到: who has reported in, and who served."""
    rows: list[list[Words | str]] = [
        [
            clean(one.volunteer_ref), clean(one.area), ("已报到", "yes") if one.reported_in else ("未报到", "no"),
            ("已服务", "yes") if one.minutes else ("尚未服务", "not yet"), str(one.visits), hours(one.minutes), points(one.points),
            day(one.last_us)[:10] if one.last_us else "-",
        ]
        for one in found.members
    ]  # fmt: skip
    facts: list[tuple[Words, str]] = [
        (("组织", "organisation"), clean(found.organisation)),
        (("期间", "period"), found.half.name),
        (("已报到", "reported in"), str(sum(1 for one in found.members if one.reported_in))),
        (("已服务", "served"), str(len(found.served))),
        (("服务次数", "visits"), str(sum(one.visits for one in found.members))),
        (("时长合计（时:分）", "hours in all"), hours(sum(one.minutes for one in found.members))),
    ]
    columns = (
        Column(("志愿者编号", "volunteer")), Column(("片区", "area")), Column(("报到", "reported in")), Column(("服务", "served")),
        Column(("次数", "visits"), is_number=True), Column(("时长", "hours"), is_number=True), Column(("积分", "points"), is_number=True),
        Column(("最近一次", "last")),
    )  # fmt: skip
    notes: list[Words] = [
        (
            "报到：在社区登记了志愿服务。服务：本期内至少有一次计入时长的服务。",
            "Reported in: has an offer in a community. Served: at least one visit with hours in this period.",
        ),
        _REFERENCES,
    ]
    return Sheet((f"“双报到”服务情况 {found.half.words[0]}", f"Reported in and served, {found.half.words[1]}"), facts, columns, rows, notes)


def show(sheet: Sheet, console: Console, lang: Lang) -> None:
    """A sheet in the terminal."""
    console.print(Text(join(lang, sheet.title), style="bold"))
    facts = Table.grid(padding=(0, 2))
    for name, value in sheet.facts:
        facts.add_row(Text(join(lang, name), style="dim"), Text(value))
    console.print(facts)
    if not sheet.rows:
        say(console, lang, sheet.nothing, "yellow")
        return
    table = Table(*(join(lang, column.words) for column in sheet.columns))
    for column, given in zip(table.columns, sheet.columns, strict=True):
        column.overflow = "fold"
        column.justify = "right" if given.is_number else "left"
    for row in sheet.rows:
        table.add_row(*(Text(cell if isinstance(cell, str) else join(lang, cell)) for cell in row))
    console.print(table)
    for note in sheet.notes:
        say(console, lang, note, "dim")


def show_audit(found: Audit, console: Console, lang: Lang) -> None:
    """Whether the books add up, and where they do not."""
    for unit, amount, entries in found.totals:
        name = word(UNITS, unit)
        say(console, lang, (f"{name[0]}：{entries} 笔，合计 {amount}", f"{name[1]}: {entries} entries, sum {amount}"), "red" if amount else "green")
    for identity, unit, amount in found.crooked:
        name = word(UNITS, unit)
        say(console, lang, (f"交易 {identity} 的{name[0]}合计为 {amount}，应为 0", f"transaction {identity}: {name[1]} add up to {amount}, not 0"), "red")
    for match_id, number, booked in found.unbooked:
        shown = clean(match_id)
        say(console, lang, (f"配对 {shown} 结束了 {number} 次，入账 {booked} 次", f"match {shown} ended {number} times, booked {booked} times"), "red")
    if found.ok:
        said = (
            f"账目平衡：{found.transactions} 笔交易，每笔及各项合计均为 0。",
            f"The books add up: {found.transactions} transactions, each and all sums are zero.",
        )
        say(console, lang, said, "green")
    else:
        say(console, lang, ("账目不平衡。请保留现场并报告。", "The books do not add up. Keep them as they are and report it."), "red")
