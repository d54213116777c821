"""How a visit ends: what the three sides have said, and what counts once someone stays silent. Pure: no I/O, no clock.

The helper reports (started, finished), the resident or guardian acknowledges, a community worker may call back. Reports are facts and kept for good; a
visit's end is a function of all of them, so neither their order nor a repeat changes it. States, with their arrows:

visit: confirmed → started → finished → closed(outcome, minutes, by); closed → closed again where a later word weighs more

Instants are microseconds since 1970.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from schemas import sources
from schemas.base import Outcome
from schemas.instants import MINUTE_US

Kind = Literal["started", "finished", "acknowledged"]
By = Literal["resident", "community", "default"]

MINUTES_MAX: Final = 1440
_HOUR_US: Final = 60 * MINUTE_US
_LATE_US: Final = _HOUR_US


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each side may stay silent, in microseconds.

    - `finish_us`: how long after a word of the resident's the helper's own report is awaited; then the visit's planned minutes count.
    - `acknowledge_us`: how long after the helper's report the resident's word is awaited; then it counts as done.
    - `report_us`: how long after the slot a report of its end is awaited; then it is closed without minutes. A start alone says nothing about hours, so it
      counts as silence here; the community may still give its word.
    """

    finish_us: int = _HOUR_US
    acknowledge_us: int = 48 * _HOUR_US
    report_us: int = 72 * _HOUR_US


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that was said about a visit; (`source`, `event_id`) is whose word, `minutes` and `outcome` where they belong to it."""

    at: int
    source: str
    event_id: str
    kind: Kind
    match_id: str | None = None
    minutes: int | None = None
    by: By | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How a visit ended. `at`: when the word that decided it was said, or when the waiting for one was over."""

    outcome: Outcome
    minutes: int
    by: By
    at: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One confirmed match. `number` counts how often its end was told; `end` is what was told last. One that was `released` since is no visit any more.

    `again`: the pair had another match for this wish before, which was released. `told_at`: when both sides knew of this one; None where that was not kept.
    """

    match_id: str
    wish_id: str
    offer_id: str
    area: str
    partition: int
    volunteer_ref: str
    organisation: str | None
    starts_at: int
    ends_at: int
    number: int = 0
    end: End | None = None
    due_at: int | None = None
    released: bool = False
    again: bool = False
    told_at: int | None = None

    @property
    def planned_minutes(self) -> int:
        """The slot's length."""
        return (self.ends_at - self.starts_at) // MINUTE_US


def _order(report: Report) -> tuple[int, str, str]:
    return report.at, report.source, report.event_id


def _last(reports: Iterable[Report], kind: Kind, by: By | None = None) -> Report | None:
    return max((one for one in reports if one.kind == kind and one.by == by), key=_order, default=None)


def _minutes(visit: Visit, reports: list[Report]) -> int:
    """What the community corrected or the helper reported; else from arrival to the end, where both were told in time; else what was planned.

    Who says long after the slot that it is over does not say that it took until then.
    """
    named = [one for one in reports if one.kind == "finished" and one.minutes is not None]
    finished = max(named, key=lambda one: (one.source == sources.CORRECTIONS, _order(one)), default=None) or _last(reports, "finished")
    if finished is not None and finished.minutes is not None:
        return min(finished.minutes, MINUTES_MAX)
    started = min((one for one in reports if one.kind == "started"), key=_order, default=None)
    if finished is not None and started is not None and started.at < finished.at <= visit.ends_at + _LATE_US:
        return min((finished.at - started.at) // MINUTE_US, MINUTES_MAX)
    return min(visit.planned_minutes, MINUTES_MAX)


def is_about(report: Report, visit: Visit) -> bool:
    """Whether it is said of this visit; the view `notifying.said` has the same rule.

    Of a pair that meets again, what names no match and was said before this slot is about the one before.

    Else it is about nothing that we know where it was said before both were told and before the slot. What was said in one minute was said together.
    """
    if report.match_id is not None:
        return report.match_id == visit.match_id
    if visit.again or visit.told_at is None:
        return not visit.again or report.at >= visit.starts_at
    return report.at >= min(visit.starts_at, visit.told_at - visit.told_at % MINUTE_US)


def end_of(visit: Visit, reports: Iterable[Report], now: int, limits: Limits) -> tuple[End | None, int | None]:
    """(how the visit ends as of `now`, when to look again). The community's word weighs more than the resident's, a later one more than an earlier.

    A visit that was closed by default is judged by what is said afterwards like any other. None ends before its slot begins: until then it may still be called
    off, and nobody's silence counts.
    """
    said = [one for one in reports if is_about(one, visit)]
    finished = _last(said, "finished")
    word = _last(said, "acknowledged", "community") or _last(said, "acknowledged", "resident")
    all_said = word is not None and finished is not None and max(word.at, finished.at) >= visit.starts_at
    if word is not None:
        # Without the helper's own report the minutes are not known yet; it is awaited for a while.
        ready_at = max(word.at, finished.at, visit.starts_at) if finished is not None else max(word.at, visit.starts_at) + limits.finish_us
        outcome = word.outcome or "done"
        end = End(outcome, 0 if outcome == "not_done" else _minutes(visit, said), word.by or "resident", ready_at)
    elif finished is not None:
        ready_at = max(finished.at, visit.starts_at) + limits.acknowledge_us
        end = End("done", _minutes(visit, said), "default", ready_at)
    else:
        ready_at = visit.ends_at + limits.report_us
        end = End("done", 0, "default", ready_at)
    return (end, None) if ready_at <= now or all_said else (None, ready_at)


def judged(visit: Visit, reports: Iterable[Report], now: int, limits: Limits) -> tuple[Visit, End | None]:
    """(the visit as it is now, its end if that is news): news is another outcome or other minutes, not another one who says the same."""
    if visit.released:
        return replace(visit, due_at=None), None
    end, due_at = end_of(visit, reports, now, limits)
    if end is None:
        return replace(visit, due_at=due_at), None
    known = visit.end
    if known is not None and (known.outcome, known.minutes) == (end.outcome, end.minutes):
        return replace(visit, due_at=None), None
    return replace(visit, due_at=None, end=end, number=visit.number + 1), end
