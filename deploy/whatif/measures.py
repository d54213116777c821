"""The comparison in words: every measure with its name in both languages, its text for each policy, and which is the best. No I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.tools.wording import CATEGORIES, RELEASES, URGENCIES, Words, word
from deploy.whatif.findings import Row, Share, Wait

HIGH: Final = "high"
LOW: Final = "low"


@dataclass(frozen=True, slots=True)
class Line:
    """One measure. `values`: what the texts say, None where there is nothing; `better`: HIGH, LOW, or "" where neither is."""

    name: Words
    texts: tuple[str, ...]
    values: tuple[float | None, ...]
    better: str = ""

    def best(self) -> set[int]:
        """Which policies do best; nobody where it makes no difference, or is no matter of better and worse."""
        known = [value for value in self.values if value is not None]
        if not self.better or len(set(self.texts)) < 2 or len(set(known)) < 2:
            return set()
        least = self.values.index(max(known) if self.better == HIGH else min(known))
        # What reads the same is as good.
        return {number for number, text in enumerate(self.texts) if text == self.texts[least]}


@dataclass(frozen=True, slots=True)
class Section:
    """Measures that belong together."""

    name: Words
    lines: list[Line]


def sections(rows: Sequence[Row]) -> list[Section]:
    """Everything that is compared, in the order in which it is shown."""
    urgencies = [one for one in rows[0].by_urgency if any(row.by_urgency[one].places for row in rows)]
    reasons = sorted({reason for row in rows for reason in row.released})
    return [
        Section(
            ("总览", "Overview"),
            [
                _line(rows, ("名额满足率", "places filled"), lambda row: row.fill.part, lambda row: share(row.fill), HIGH),
                _line(rows, ("全部满足的心愿", "wishes with all their helpers"), lambda row: row.whole, lambda row: f"{row.whole:,}", HIGH),
                _line(rows, ("匹配质量", "quality"), lambda row: row.quality, lambda row: f"{row.quality:.1%}", HIGH),
                _line(rows, ("权重合计", "weight in all"), lambda row: row.weight, lambda row: f"{row.weight:,}", HIGH),
                _line(rows, ("每次匹配的权重", "weight of a match"), lambda row: row.mean_weight or None, lambda row: f"{row.mean_weight:,.0f}", HIGH),
                _line(rows, ("最久的可帮心愿", "oldest feasible wish"), lambda row: row.oldest[0] if row.oldest else 0.0, _oldest, LOW),
            ],
        ),
        Section(
            ("等待：提交到首次提议，中位数 / 90% 分位", "Wait: to the first proposal, median / 90th percentile"),
            [_wait(rows, word(URGENCIES, one), lambda row, one=one: row.first[one]) for one in urgencies],  # type: ignore[misc]
        ),
        Section(
            ("等待：提交到首次确认，中位数 / 90% 分位", "Wait: to the first confirmation, median / 90th percentile"),
            [_wait(rows, word(URGENCIES, one), lambda row, one=one: row.sure[one]) for one in urgencies],  # type: ignore[misc]
        ),
        Section(
            ("按紧急程度的满足率", "Places filled, by urgency"),
            [_share(rows, word(URGENCIES, one), lambda row, one=one: row.by_urgency[one]) for one in urgencies],  # type: ignore[misc]
        ),
        Section(
            ("按类别的满足率", "Places filled, by category"),
            [_share(rows, word(CATEGORIES, one), lambda row, one=one: row.by_category[one]) for one in rows[0].by_category],  # type: ignore[misc]
        ),
        Section(
            ("志愿者", "Volunteers"),
            [
                _line(rows, ("没有任务的志愿者", "without a task"), lambda row: row.idle, lambda row: f"{row.idle:.1%}", LOW),
                _line(rows, ("任务分配的基尼系数", "Gini of tasks"), lambda row: row.gini, lambda row: f"{row.gini:.3f}", LOW),
                _line(rows, ("每次匹配询问几人次", "asked, for each match"), lambda row: row.asked_per_match, _asked, LOW),
                _line(rows, ("询问总人次", "asked in all"), lambda row: row.asked, lambda row: f"{row.asked:,}", LOW),
            ],
        ),
        Section(
            ("解除的匹配", "Matches released"),
            [
                _line(rows, ("合计", "in all"), lambda row: sum(row.released.values()), lambda row: f"{sum(row.released.values()):,}", LOW),
                *(_line(rows, word(RELEASES, one), lambda row, one=one: row.released.get(one, 0), None) for one in reasons),  # type: ignore[misc]
            ],
        ),
    ]


def share(one: Share) -> str:
    """`83.3% (5/6)`."""
    return f"{one.part:.1%} ({one.filled:,}/{one.places:,})"


def hours(value: float) -> str:
    """Hours, or minutes below two hours; number and unit stay on one line."""
    if value >= 2:
        return f"{value:.1f}\N{NO-BREAK SPACE}h"
    return "0" if value == 0 else f"{max(round(value * 60), 1)}\N{NO-BREAK SPACE}min"


def wait(one: Wait) -> str:
    """`30 min / 2.1 h`, or a dash where there is none."""
    return f"{hours(one.median)} / {hours(one.p90)}" if one.wishes else "–"


def _line(rows: Sequence[Row], name: Words, value: Callable[[Row], float | None], text: Callable[[Row], str] | None, better: str = "") -> Line:
    values = tuple(value(row) for row in rows)
    texts = tuple("–" if one is None else text(row) if text else f"{one:,g}" for one, row in zip(values, rows, strict=True))
    return Line(name, texts, values, better)


def _wait(rows: Sequence[Row], name: Words, of: Callable[[Row], Wait]) -> Line:
    return _line(rows, name, lambda row: of(row).median if of(row).wishes else None, lambda row: wait(of(row)), LOW)


def _share(rows: Sequence[Row], name: Words, of: Callable[[Row], Share]) -> Line:
    return _line(rows, name, lambda row: of(row).part, lambda row: share(of(row)), HIGH)


def _oldest(row: Row) -> str:
    return hours(row.oldest[0]) if row.oldest else "0"


def _asked(row: Row) -> str:
    return f"{row.asked_per_match:.2f}"
