"""What is said about a visit as its time comes and goes: pure, no I/O and no clock.

`watching` comes in with a confirmed visit, what was reported, and when it was last looked at; the answer is who is to be told what now, and when to look again.
A reminder comes before; where nobody reports, first the centre household of the stairway has a look, then the community's worker; afterwards the helper is
asked to report, and the resident how it went. Each is said once: the notice's key is the match, the side and the kind.

Instants are microseconds since 1970.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.instants import DAY_US, MINUTE_US
from services.notifier.notices import Kind, Party

_URGENCIES: Final = ("red", "yellow", "blue")
# A visit that nobody has looked at for so long after its end is history.
_HISTORY_US: Final = DAY_US


@dataclass(frozen=True, slots=True)
class Timing:
    """When each is said, in microseconds. `remind_us`: so long before the start, for red, yellow and blue wishes; 0: not at all.

    `not_started_us` after the start and `not_finished_us` after the end the alarm is raised, `worker_us` later (or at once, where there is no centre household)
    the worker hears. `report_us` after the end the helper is asked, `feedback_us` after it the resident.
    """

    remind_us: tuple[int, int, int] = (30 * MINUTE_US, 120 * MINUTE_US, 1200 * MINUTE_US)
    not_started_us: int = 15 * MINUTE_US
    not_finished_us: int = 30 * MINUTE_US
    worker_us: int = 15 * MINUTE_US
    report_us: int = 10 * MINUTE_US
    feedback_us: int = 30 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Watched:
    """A visit as it stands. `household`: who looks after that stairway, and is neither of the two; `looked_at`: None where nobody has looked yet."""

    starts_at: int
    ends_at: int
    urgency: str | None
    standing: bool
    started: bool
    finished: bool
    acknowledged: bool
    household: str | None
    looked_at: int | None


@dataclass(frozen=True, slots=True)
class Word:
    """Somebody is to be told something."""

    party: Party
    kind: Kind


def words(visit: Watched, now: int, timing: Timing) -> tuple[list[Word], int | None]:
    """(who is to be told what now, when to look again); None: never again."""
    if not visit.standing or (visit.looked_at is None and visit.ends_at + _HISTORY_US <= now):
        return [], None
    # What fell due before the first look is not a reminder any more, but may well be an alarm.
    since = visit.looked_at if visit.looked_at is not None else -1
    reminders_since = visit.looked_at if visit.looked_at is not None else now
    due: list[Word] = []
    later: list[int] = []
    for at, party, kind in _steps(visit, timing):
        if at > now:
            later.append(at)
        elif at > (reminders_since if kind == "reminder" else since) and _holds(visit, kind, now):
            due.append(Word(party, kind))
    return list(dict.fromkeys(due)), min(later, default=None)


def _steps(visit: Watched, timing: Timing) -> Iterator[tuple[int, Party, Kind]]:
    """Everything that may have to be said, and when. Who is confirmed too late for the early reminder gets a later one."""
    widest = _URGENCIES.index(visit.urgency) if visit.urgency in _URGENCIES else 1
    for before in timing.remind_us[: widest + 1]:
        if before:
            yield visit.starts_at - before, "volunteer", "reminder"
            yield visit.starts_at - before, "resident", "reminder"
    yield from _alarm(visit, visit.starts_at + timing.not_started_us, "not_started", timing)
    yield visit.ends_at + timing.report_us, "volunteer", "report"
    yield visit.ends_at + timing.feedback_us, "resident", "feedback"
    yield from _alarm(visit, visit.ends_at + timing.not_finished_us, "not_finished", timing)


def _alarm(visit: Watched, at: int, kind: Kind, timing: Timing) -> Iterator[tuple[int, Party, Kind]]:
    if visit.household is None:
        yield at, "worker", kind
        return
    yield at, "household", kind
    yield at + timing.worker_us, "worker", kind


def _holds(visit: Watched, kind: Kind, now: int) -> bool:
    """Whether it is still true."""
    if kind == "reminder":
        return now < visit.starts_at and not visit.started
    if kind == "not_started":
        return not (visit.started or visit.finished or visit.acknowledged)
    if kind == "not_finished":
        return visit.started and not (visit.finished or visit.acknowledged)
    return not visit.finished if kind == "report" else not visit.acknowledged
