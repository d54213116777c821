"""The pictures, as SVG drawn by hand: their text uses the page's fonts and their colours the page's variables, so both follow light and dark.

All are drawn 360 wide, a telephone's width, so that their text is never too small to read. No I/O.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from math import ceil, floor, log10
from typing import Final

from deploy.tools.wording import Words
from deploy.whatif.counting import gini

WIDTH: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 14, 40
_BAR, _GAP, _GROUP = 12, 3, 30
_BADGE: Final = 18  # across


@dataclass(frozen=True, slots=True)
class Bar:
    """`value`: how long it is; `further`: where the thin line behind it ends, if there is one; `text`: what stands behind it."""

    value: float
    text: str
    further: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that belong together, one a policy."""

    name: Words
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Dot:
    """One policy in a picture of two measures; its number stands upon it, as in the legend."""

    x: float
    y: float
    name: str


def bars(groups: Sequence[Group], label: str, names: Sequence[str], *, most: float | None = None, room: int = 52) -> str:
    """Groups of horizontal bars, one a policy in each. `most`: what the full width stands for, None: the largest there is; `room`: for the text behind it."""
    bars_to = WIDTH - room
    count = max((len(group.bars) for group in groups), default=0)
    height = len(groups) * (_GROUP + count * (_BAR + _GAP)) + 6
    longest = most or max((max(bar.value, bar.further or 0.0) for group in groups for bar in group.bars), default=0.0) or 1.0
    parts = []
    y = 0.0
    for group in groups:
        zh, en = group.name
        parts.append(f'<text x="0" y="{y + 19:g}" class="zh">{escape(zh)} <tspan class="en">{escape(en)}</tspan></text>')
        y += _GROUP - 4
        for number, bar in enumerate(group.bars):
            width = max(bars_to * min(bar.value / longest, 1.0), 1.5)
            middle = y + _BAR / 2
            end = width
            title = escape(f"{names[number]}: {bar.text}")
            parts.append(f'<rect x="0" y="{y:g}" width="{width:.1f}" height="{_BAR}" rx="3" class="f{number}"><title>{title}</title></rect>')
            if bar.further is not None and bar.further > bar.value:
                end = bars_to * min(bar.further / longest, 1.0)
                parts.append(f'<path d="M{width:.1f} {middle:g}H{end:.1f}M{end:.1f} {y + 2:g}v{_BAR - 4}" class="l{number}"/>')
            parts.append(f'<text x="{end + 5:.1f}" y="{middle + 4:g}" class="num">{escape(bar.text)}</text>')
            y += _BAR + _GAP
        y += 4
    return _svg(height, label, parts)


def scatter(dots: Sequence[Dot], label: str, across: Words, upwards: Words) -> str:
    """Two measures of each policy: `upwards` in parts of one, `across` from 0."""
    height = 270
    x_ticks = ticks(0.0, max((dot.x for dot in dots), default=0.0) or 1.0)
    lowest, highest = min((dot.y for dot in dots), default=0.0), max((dot.y for dot in dots), default=1.0)
    margin = max(highest - lowest, 0.02)
    y_ticks = ticks(max(lowest - margin, 0.0), min(highest + margin, 1.0))
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP + 18, height - _BOTTOM

    def x_of(value: float) -> float:
        return left + (right - left) * (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])

    def y_of(value: float) -> float:
        return bottom - (bottom - top) * (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])

    parts = [f'<text x="0" y="{_TOP}" class="zh">↑ {escape(upwards[0])} <tspan class="en">{escape(upwards[1])}</tspan></text>']
    for tick in y_ticks:
        parts.append(f'<path d="M{left} {y_of(tick):.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y_of(tick) + 4:.1f}" class="num end">{_percent(tick, y_ticks)}</text>')
    parts += [f'<text x="{x_of(tick):.1f}" y="{bottom + 15}" class="num middle">{tick:g}</text>' for tick in x_ticks]
    parts.append(f'<text x="{right}" y="{height - 6}" class="zh end">{escape(across[0])} <tspan class="en">{escape(across[1])}</tspan> →</text>')
    points = [(x_of(dot.x), y_of(dot.y)) for dot in dots]
    badges = _badges(points, top)
    for number, ((x, y), (at, up)) in enumerate(zip(points, badges, strict=True)):
        parts.append(f'<path d="M{x:.1f} {y:.1f}L{at:.1f} {up:.1f}" class="l{number}"/>')
    for number, (at, up) in enumerate(badges):
        parts.append(f'<circle cx="{at:.1f}" cy="{up:.1f}" r="{_BADGE / 2:g}" class="f{number} dot"><title>{escape(dots[number].name)}</title></circle>')
        parts.append(f'<text x="{at:.1f}" y="{up + 4:.1f}" class="badge middle">{number + 1}</text>')
    return _svg(height, label, parts)


def _badges(points: Sequence[tuple[float, float]], top: float) -> list[tuple[float, float]]:
    """Where each point's number stands: upon it, or straight above it (below, where there is no room) so that none hides another."""
    placed: list[tuple[float, float]] = []
    for x, y in points:
        free = (y + way * step * 2 for way in ((-1, 1) if y - top > _BADGE else (1, -1)) for step in range(100) if y + way * step * 2 >= top)
        up = next((one for one in free if all(abs(x - at) >= _BADGE or abs(one - other) >= _BADGE for at, other in placed)), y)
        placed.append((x, up))
    return placed


def lorenz(tasks: Sequence[Sequence[int]], names: Sequence[str], label: str, across: Words, upwards: Words) -> str:
    """How visits are spread: volunteers from the least busy on to the right, their share of all visits upwards. `tasks` in order, a list a policy."""
    height, left, right, top = 290, _LEFT, WIDTH - _RIGHT, _TOP + 18
    bottom = height - _BOTTOM
    parts = [f'<text x="0" y="{_TOP}" class="zh">↑ {escape(upwards[0])} <tspan class="en">{escape(upwards[1])}</tspan></text>']
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = bottom - (bottom - top) * part, left + (right - left) * part
        parts.append(f'<path d="M{left} {y:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" class="num end">{part:.0%}</text>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" class="num {"end" if part == 1 else "middle"}">{part:.0%}</text>')
    parts.append(f'<path d="M{left} {bottom}L{right} {top}" class="even"/>')
    parts.append(f'<text x="{right}" y="{height - 6}" class="zh end">{escape(across[0])} <tspan class="en">{escape(across[1])}</tspan> →</text>')
    for number, ordered in enumerate(tasks):
        total = sum(ordered)
        parts.append(f'<rect x="{left + 8}" y="{top + 6 + 17 * number}" width="9" height="9" rx="2" class="f{number}"/>')
        parts.append(f'<text x="{left + 22}" y="{top + 15 + 17 * number}">Gini {gini(ordered):.3f}</text>')
        if not total:
            continue
        heights = [0.0, *(reached / total for reached in accumulate(ordered))]
        # A point every two units is as fine as a screen shows.
        step = max(1, len(ordered) // 150)
        places = sorted({*range(0, len(heights), step), len(heights) - 1})
        points = " ".join(f"{left + (right - left) * one / len(ordered):.1f},{bottom - (bottom - top) * heights[one]:.1f}" for one in places)
        parts.append(f'<polyline points="{points}" class="l{number} curve"><title>{escape(names[number])}</title></polyline>')
    return _svg(height, label, parts)


def ticks(lowest: float, highest: float) -> list[float]:
    """Round numbers a round step apart, from at most the lowest to at least the highest; three to seven of them."""
    step = 10.0 ** floor(log10(max(highest - lowest, 1e-9) / 4))
    step *= next(times for times in (1, 2, 2.5, 5, 10) if (highest - lowest) / (step * times) <= 5)
    first, last = floor(lowest / step + 1e-9), max(ceil(highest / step - 1e-9), floor(lowest / step + 1e-9) + 1)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _percent(tick: float, all_of_them: Sequence[float]) -> str:
    return f"{tick:.1%}" if all_of_them[1] - all_of_them[0] < 0.01 else f"{tick:.0%}"


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
