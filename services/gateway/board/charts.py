"""Charts as geometry for server-made SVG: where each bar and label stands, in a box of 640 × 200 units. Pure; no style, only classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from services.gateway.words import LOCAL, Words

WIDTH: Final = 640
HEIGHT: Final = 200
_LEFT: Final = 44
_TOP: Final = 12
_BOTTOM: Final = 26


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `tip` is read out and shown where a pointer rests, `part` a second class of its fill."""

    x: float
    y: float
    width: float
    height: float
    tip: Words
    part: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A label at an axis."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: its name, what it comes to in a sentence, bars, labels, and the same as rows of a table."""

    name: Words
    sum: Words
    bars: list[Bar]
    across: list[Mark]
    up: list[Mark]
    heads: tuple[Words, ...]
    rows: Sequence[tuple[Words, ...]]


def _nice(top: float) -> float:
    """The next of 1, 2, 5 × 10ⁿ from `top` on."""
    step = 1.0
    while step < top:
        for factor in (2.0, 5.0, 10.0):
            if step * factor >= top:
                return step * factor
        step *= 10.0
    return step


def _scale(top: float, unit: str) -> list[Mark]:
    return [Mark(_LEFT - 6, _y(top * share, top) + 4, f"{top * share:g}{unit}") for share in (0.0, 0.5, 1.0)]


def _y(value: float, top: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(value / top, 1.0), 1)


def _bar(number: int, of: int, value: float, top: float, tip: Words, part: str = "") -> Bar:
    room = (WIDTH - _LEFT) / of
    y = _y(value, top)
    return Bar(round(_LEFT + room * number + room * 0.12, 1), y, round(room * 0.76, 1), round(HEIGHT - _BOTTOM - y, 1), tip, part)


def _under(number: int, of: int, text: str) -> Mark:
    return Mark(round(_LEFT + (WIDTH - _LEFT) * (number + 0.5) / of, 1), HEIGHT - 8, text)


def _both(text: str) -> Words:
    return (text, text)


def waits(rows: Sequence[dict[str, Any]], begins: datetime, hours: int = 24) -> Chart:
    """The median minutes from a wish to its confirmation, by the hour in which it was submitted."""
    by_hour = {row["hour"]: row for row in rows}
    slots = [begins + timedelta(hours=number) for number in range(hours)]
    values = [float(by_hour[slot]["median"] or 0) if slot in by_hour else 0.0 for slot in slots]
    top = _nice(max([*values, 1.0]))
    bars, across, table = [], [], []
    for number, (slot, value) in enumerate(zip(slots, values, strict=True)):
        hour = f"{slot.astimezone(LOCAL):%H:00}"
        row = by_hour.get(slot)
        wishes = row["wishes"] if row is not None else 0
        if row is not None:
            tip = (f"{hour}：{wishes} 个心愿，中位 {value:.0f} 分钟", f"{hour}: {wishes} wishes, median {value:.0f} min")
            bars.append(_bar(number, hours, value, top, tip))
            table.append((_both(hour), _both(str(wishes)), _both(f"{value:.0f}")))
        if number % 4 == 0:
            across.append(_under(number, hours, hour))
    told = sorted(float(row["median"]) for row in rows if row["median"] is not None)
    said = ("还没有确认的心愿", "no wish has been confirmed yet")
    if told:
        middle = told[len(told) // 2]
        within = max(1, ceil(middle))
        said = (f"通常 {within} 分钟内确认", f"usually confirmed within {within} min")
    heads = (("时", "hour"), ("心愿", "wishes"), ("分钟", "minutes"))
    return Chart(("等待时间（分钟）", "Wait (minutes)"), said, bars, across, _scale(top, ""), heads, table)


def fill(rows: Sequence[dict[str, Any]], begins: datetime, days: int = 14) -> Chart:
    """The share of a day's wishes that have all their helpers."""
    by_day = {row["day"]: row for row in rows}
    bars, across, table = [], [], []
    wishes = filled = 0
    for number in range(days):
        slot = begins + timedelta(days=number)
        day = f"{slot.astimezone(LOCAL):%m-%d}"
        row = by_day.get(slot)
        if row is not None:
            share = 100 * row["filled"] / row["wishes"]
            wishes, filled = wishes + row["wishes"], filled + row["filled"]
            tip = (f"{day}：{row['wishes']} 个心愿，{share:.0f}% 有帮手", f"{day}: {row['wishes']} wishes, {share:.0f}% have helpers")
            bars.append(_bar(number, days, share, 100.0, tip, "leaf"))
            table.append((_both(day), _both(str(row["wishes"])), _both(f"{share:.0f}%")))
        if number % 3 == 1:
            across.append(_under(number, days, day))
    said = (
        ("还没有心愿", "no wishes yet") if not wishes else (f"共 {wishes} 个，{100 * filled / wishes:.0f}% 有帮手", f"{100 * filled / wishes:.0f}% of {wishes}")
    )
    heads = (("日", "day"), ("心愿", "wishes"), ("有帮手", "filled"))
    return Chart(("满足率", "Fill rate"), said, bars, across, _scale(100.0, "%"), heads, table)


def gini(rows: Sequence[dict[str, Any]]) -> float:
    """How unevenly visits lie on people: 0 where all have as many, towards 1 where one has them all."""
    people = sum(row["people"] for row in rows)
    visits = sum(row["visits"] * row["people"] for row in rows)
    if not people or not visits:
        return 0.0
    below, area = 0.0, 0.0
    for row in sorted(rows, key=lambda one: one["visits"]):
        mine = row["visits"] * row["people"]
        area += (below + mine / 2) * row["people"]
        below += mine
    return float(1 - 2 * area / (people * visits))


def fairness(rows: Sequence[dict[str, Any]], most: int = 8) -> Chart:
    """How many volunteers have had so many visits in the days shown."""
    counts = [0] * (most + 1)
    for row in rows:
        counts[min(row["visits"], most)] += row["people"]
    top = _nice(max([*counts, 1]))
    names = [*(str(number) for number in range(most)), f"≥{most}"]
    bars = [
        _bar(number, most + 1, count, top, (f"{count} 人各 {name} 次", f"{count} people with {name} visits"), "sky")
        for number, (name, count) in enumerate(zip(names, counts, strict=True))
        if count
    ]
    uneven = gini(rows)
    said = (f"基尼系数 {uneven:.2f}（0 为完全均匀）", f"Gini {uneven:.2f} (0: all alike)")
    across = [_under(number, most + 1, name) for number, name in enumerate(names)]
    table = [(_both(name), _both(str(count))) for name, count in zip(names, counts, strict=True)]
    return Chart(("公平：每人次数", "Fairness: visits each"), said, bars, across, _scale(top, ""), (("次数", "visits"), ("人数", "people")), table)


def lag(rows: Sequence[dict[str, Any]], begins: datetime, slots: int = 24) -> Chart:
    """Milliseconds from Kafka to the board: the middle and the slowest twentieth."""
    by_slot = {row["slot"]: row for row in rows}
    top = _nice(max([float(row["p95"]) for row in rows] + [10.0]))
    bars, across, table = [], [], []
    for number in range(slots):
        slot = begins + timedelta(minutes=5 * number)
        at = f"{slot.astimezone(LOCAL):%H:%M}"
        row = by_slot.get(slot)
        if row is not None:
            p50, p95 = float(row["p50"]), float(row["p95"])
            tip = (f"{at}：{row['lines']} 条，中位 {p50:.0f} 毫秒，95% 在 {p95:.0f} 毫秒内", f"{at}: {row['lines']} lines, p50 {p50:.0f} ms, p95 {p95:.0f} ms")
            bars += [_bar(number, slots, p95, top, tip, "faint"), _bar(number, slots, p50, top, tip, "amber")]
            table.append((_both(at), _both(str(row["lines"])), _both(f"{p50:.0f}"), _both(f"{p95:.0f}")))
        if number % 6 == 0:
            across.append(_under(number, slots, at))
    said = ("最近没有事件", "no events lately")
    if rows:
        newest = rows[-1]
        said = (f"最近 {newest['p50']:.0f} 毫秒上看板", f"lately {newest['p50']:.0f} ms to the board")
    heads = (("时", "time"), ("条", "lines"), ("中位", "p50"), ("95%", "p95"))
    return Chart(("延迟（毫秒）", "Lag (ms)"), said, bars, across, _scale(top, ""), heads, table)
