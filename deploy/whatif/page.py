"""The comparison as one page that needs nothing beside it: no script, no font, no address. Simplified Chinese first, then English.

The same comparison gives the same bytes: nothing in it comes from a clock or from this machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from deploy.tools.wording import CATEGORIES, URGENCIES, Words, moment, word
from deploy.whatif import figures
from deploy.whatif.choice import Difference
from deploy.whatif.figures import Bar, Dot, Group
from deploy.whatif.findings import Known, Row, Share
from deploy.whatif.measures import Section, hours, sections, wait
from deploy.whatif.months import EVENTS, GENERATED, Month, span
from deploy.whatif.notes import notes

_STYLE: Final = Path(__file__).with_name("page.css")
# What the browser may load: nothing but what stands in the page.
_NOTHING: Final = "default-src 'none'; style-src 'unsafe-inline'"
_KINDS: Final[dict[str, Words]] = {GENERATED: ("公开生成器", "the published generator"), EVENTS: ("事件文件", "a file of events")}
_JOURNAL: Final[Words] = ("运行日志", "a journal")
_BEST: Final = ' class="best"'


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is shown."""

    month: Month
    known: Known
    rows: list[Row]
    differences: list[Difference]
    seed: int


def page(of: Comparison) -> str:
    """The whole page."""
    title = "策略对比 · Policies compared"
    body = "".join((_head(of), _cards(of.rows), _differences(of), _figures(of.rows), _table(of.rows), _notes(of), _left_out(of.month)))
    style = _STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="zh-CN"><head><meta charset="utf-8"/>'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING}"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>'
        f"<title>{title}</title><style>\n{style}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _two(words: Words) -> str:
    zh, en = words
    return f'{escape(zh)} <span class="en" lang="en">{escape(en)}</span>'


def _head(of: Comparison) -> str:
    month, known = of.month, of.known
    begin, end = (moment(instant).strftime("%Y-%m-%d") for instant in span(month))
    facts = (
        (("来源", "from"), f"{month.name} ({' · '.join(_KINDS.get(month.kind, _JOURNAL))})"),
        (("日期", "days"), f"{begin} – {end}"),
        (("片区", "areas"), f"{len(month.arrivals):,}"),
        (("心愿", "wishes"), f"{len(known.wishes):,}"),
        (("所需名额", "places wanted"), f"{known.places:,}"),
        (("志愿者", "volunteers"), f"{len(known.volunteers):,}"),
        (("志愿服务", "offers"), f"{known.offers:,}"),
        (("种子", "seed"), f"{of.seed}"),
    )
    items = "".join(f"<li>{_two(name)} <b>{escape(text)}</b></li>" for name, text in facts)
    return (
        '<header><h1>换一种匹配策略，会怎样？<span class="en" lang="en">What would another policy have done?</span></h1>'
        '<p class="lead">同样的心愿和志愿服务，按每种策略从头重新匹配一遍，并排比较。'
        '<span class="en" lang="en">The same wishes and offers, matched anew under each policy, side by side.</span></p>'
        f'<ul class="facts">{items}</ul></header>'
    )


def _cards(rows: Sequence[Row]) -> str:
    cards = []
    for number, row in enumerate(rows):
        first = rows[0]
        lines = (
            (("名额满足率", "places filled"), f"{row.fill.part:.1%}", _points(row.fill.part, first.fill.part, number)),
            (("匹配质量", "quality"), f"{row.quality:.1%}", _points(row.quality, first.quality, number)),
            (("黄蓝心愿等待中位数", "median wait, yellow and blue"), hours(row.unhurried.median) if row.unhurried.wishes else "–", ""),
            (("没有任务的志愿者", "volunteers without a task"), f"{row.idle:.1%}", _points(row.idle, first.idle, number)),
        )
        body = "".join(f"<dt>{_two(name)}</dt><dd>{escape(text)}{change}</dd>" for name, text, change in lines)
        cards.append(f'<section class="card own{number}"><h3>{escape(row.name)}</h3><dl>{body}</dl></section>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _points(value: float, first: float, number: int) -> str:
    """How many percentage points more or less than the first policy."""
    return f"<small>{(value - first) * 100:+.1f}</small>" if number else ""


def _differences(of: Comparison) -> str:
    head = _heading(("策略的差别", "What differs between the policies"))
    if not of.differences:
        return head + _paragraph(("这些策略的每一项都相同，所以结果也相同。", "These policies agree on every key, so their results are the same."))
    lines = []
    for one in of.differences:
        key, values = f"[{one.area}] {one.key}" if one.area else one.key, "".join(f"<td>{escape(value)}</td>" for value in one.values)
        lines.append(f"<tr><td><code>{_breaking(key)}</code></td>{values}</tr>")
    return f"{head}{_scrolled(('配置项', 'key'), of.rows, ''.join(lines))}"


def _breaking(key: str) -> str:
    """A key that may go on in the next line where a telephone needs that."""
    return escape(key).replace("_", "_<wbr/>").replace(".", ".<wbr/>")


def _figures(rows: Sequence[Row]) -> str:
    names = [row.name for row in rows]
    urgencies = [one for one in rows[0].by_urgency if rows[0].by_urgency[one].places]
    dots = [Dot(row.unhurried.median, row.quality, row.name) for row in rows]
    by_urgency = [_filled(word(URGENCIES, one), [row.by_urgency[one] for row in rows]) for one in urgencies]
    by_category = [_filled(word(CATEGORIES, one), [row.by_category[one] for row in rows]) for one in rows[0].by_category]
    tasks = [row.tasks for row in rows]
    bothered = figures.bars([_bothered(rows)], "打扰 bother", names) + figures.bars([_released(rows)], "解除 released", names)
    drawn = (
        _figure(
            ("等待与质量", "Wait against quality"),
            (
                "黄色、蓝色心愿的等待与匹配质量；越靠左上越好。",
                "Waits of yellow and blue wishes beside the quality of all matches; up and to the left is better.",
            ),
            figures.scatter(dots, "等待与质量 wait against quality", ("等待中位数，小时", "median wait, hours"), ("质量", "quality")),
        ),
        _figure(
            ("满足率：按紧急程度", "Places filled, by urgency"),
            ("志愿者名额中被填上的比例。", "How many of the helpers that were wished for stood."),
            figures.bars(by_urgency, "满足率 places filled", names, most=1.0),
        ),
        _figure(
            ("等待：按紧急程度", "Wait, by urgency"),
            ("提交到首次提议：条形为中位数，细线到 90% 分位。", "To the first proposal: bars are medians, the thin line goes to the 90th percentile."),
            figures.bars([_waits(rows, one) for one in urgencies], "等待 wait", names, room=104),
        ),
        _figure(
            ("任务分配", "How tasks are spread"),
            ("贴着底边的一段没有任务；越靠近虚线越均匀。", "The flat beginning has no task at all; the nearer to the dashed line, the more even."),
            figures.lorenz(tasks, names, "任务分配 how tasks are spread", ("志愿者，由闲到忙", "volunteers, least busy first"), ("任务占比", "share of tasks")),
        ),
        _figure(
            ("对志愿者的打扰", "How much volunteers are bothered"),
            ("每次成立的匹配询问了几人次；解除了多少次匹配。", "How often one is asked for each match that stands; how many matches were released."),
            bothered,
        ),
        _figure(
            ("满足率：按类别", "Places filled, by category"),
            ("各类心愿的名额中被填上的比例。", "How many of the places of each kind of wish were filled."),
            figures.bars(by_category, "满足率 places filled", names, most=1.0),
        ),
    )
    legend = "".join(f'<li class="own{number}"><b>{number + 1}</b>{escape(name)}</li>' for number, name in enumerate(names))
    return f'{_heading(("一图看懂", "In pictures"))}<ul class="legend">{legend}</ul><div class="figures">{"".join(drawn)}</div>'


def _figure(name: Words, said: Words, svg: str) -> str:
    return f"<figure><figcaption><h3>{_two(name)}</h3><p>{_two(said)}</p></figcaption>{svg}</figure>"


def _filled(name: Words, shares: Sequence[Share]) -> Group:
    return Group(name, [Bar(one.part, f"{one.part:.1%}") for one in shares])


def _waits(rows: Sequence[Row], urgency: str) -> Group:
    waits = [row.first[urgency] for row in rows]
    return Group(word(URGENCIES, urgency), [Bar(one.median, wait(one), one.p90) for one in waits])


def _bothered(rows: Sequence[Row]) -> Group:
    counts = [row.asked_per_match for row in rows]
    return Group(("每次匹配询问人次", "asked for each match"), [Bar(count or 0.0, "–" if count is None else f"{count:.2f}") for count in counts])


def _released(rows: Sequence[Row]) -> Group:
    counts = [sum(row.released.values()) for row in rows]
    return Group(("解除的匹配", "matches released"), [Bar(float(count), f"{count:,}") for count in counts])


def _table(rows: Sequence[Row]) -> str:
    body = "".join(_part(section, len(rows)) for section in sections(rows))
    return f"{_heading(('全部数字', 'All numbers'))}{_scrolled(('指标', 'measure'), rows, body)}"


def _part(section: Section, policies: int) -> str:
    if not section.lines:
        return ""
    lines = []
    for line in section.lines:
        best = line.best()
        cells = "".join(f"<td{_BEST if number in best else ''}>{escape(text)}</td>" for number, text in enumerate(line.texts))
        lines.append(f"<tr><td>{_two(line.name)}</td>{cells}</tr>")
    return f'<tr class="part"><th colspan="{policies + 1}">{_two(section.name)}</th></tr>{"".join(lines)}'


def _scrolled(corner: Words, rows: Sequence[Row], body: str) -> str:
    heads = "".join(f'<th class="own{number}"><span class="chip"></span>{escape(row.name)}</th>' for number, row in enumerate(rows))
    return f'<div class="scroll"><table><thead><tr><th>{_two(corner)}</th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _notes(of: Comparison) -> str:
    items = "".join(f"<li>{_two(one)}</li>" for one in notes(of.month))
    return f'{_heading(("这些数字怎么来的", "How it was counted"))}<ul class="notes">{items}</ul>'


def _left_out(month: Month) -> str:
    if not month.faulty:
        return ""
    items = "".join(f"<li><code>{escape(month.name)}:{one.line}</code> {_two(one.words)}</li>" for one in month.faults)
    said = (f"不合规而未计入的行：{month.faulty:,}", f"Lines that are not valid and were left out: {month.faulty:,}")
    return f'{_heading(("未计入的行", "Lines that were left out"))}<div class="warn">{_paragraph(said)}<ul class="notes">{items}</ul></div>'


def _heading(words: Words) -> str:
    return f"<h2>{_two(words)}</h2>"


def _paragraph(words: Words) -> str:
    return f"<p>{_two(words)}</p>"
