"""Hours and points, in double entry: every transaction takes from one account what it gives to another, so all sums are zero. Pure.

A visit is booked when its match closes, never before. What turns out otherwise later is booked as a correction of its own: the difference between what should
stand and what stands. Nothing is ever changed or deleted; the database refuses it.

Units: `minutes`, and `points` in hundredths of a point.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID, uuid5

from services.notifier.visits import End, Visit
from services.tariff import Tariff

Unit = Literal["minutes", "points"]
NAMESPACE: Final = UUID("0b3f0f9c-6d0b-5f0e-8f5e-1f6f2f0c9b57")


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a transaction: an account, and what it gains (or loses) of a unit."""

    account: str
    unit: Unit
    amount: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is booked at once. `number` counts the transactions about one match; from the second on they are corrections."""

    id: UUID
    match_id: str
    number: int
    area: str
    volunteer_ref: str
    organisation: str | None
    outcome: str
    by: str
    booked_at: int
    tariff: Tariff
    entries: tuple[Entry, ...]

    @property
    def is_correction(self) -> bool:
        """Whether something was booked about this match before."""
        return self.number > 1


def volunteer_account(area: str, volunteer_ref: str) -> str:
    """Whose hours and points these are."""
    return f"volunteer/{area}/{volunteer_ref}"


def issuing_account(area: str) -> str:
    """Where they come from: the area's community, whose balance is what it owes to all."""
    return f"community/{area}"


@dataclass(frozen=True, slots=True)
class Booked:
    """What the ledger holds about a visit by now, all its transactions together, and the tariff of its first one."""

    minutes: int
    points: int
    tariff: Tariff


def _worth(end: End, tariff: Tariff) -> dict[Unit, int]:
    minutes = 0 if end.outcome == "not_done" else tariff.counted(end.minutes)
    return {"minutes": minutes, "points": tariff.points(minutes)}


def booking(visit: Visit, end: End, before: Booked | None, tariff: Tariff) -> Transaction:
    """What is booked when `visit` (its `number` counts this end) ends as `end`; `before` is what the ledger holds about it.

    A correction keeps to the tariff of the first booking: a setting that has changed since must not pay or take anything for an old visit.
    """
    tariff = tariff if before is None else before.tariff
    should = _worth(end, tariff)
    stands: dict[Unit, int] = {"minutes": 0, "points": 0} if before is None else {"minutes": before.minutes, "points": before.points}
    theirs, ours = volunteer_account(visit.area, visit.volunteer_ref), issuing_account(visit.area)
    units: tuple[Unit, ...] = ("minutes", "points")
    changes = [(unit, should[unit] - stands[unit]) for unit in units if should[unit] != stands[unit]]
    entries = tuple(Entry(account, unit, sign * change) for unit, change in changes for account, sign in ((theirs, 1), (ours, -1)))
    return Transaction(
        uuid5(NAMESPACE, f"{visit.match_id}\n{visit.number}"),
        visit.match_id,
        visit.number,
        visit.area,
        visit.volunteer_ref,
        visit.organisation,
        end.outcome,
        end.by,
        end.at,
        tariff,
        entries,
    )


def sums(entries: Iterable[Entry]) -> dict[str, int]:
    """What all entries of each unit add up to: nothing, if the books are right."""
    total: dict[str, int] = {}
    for entry in entries:
        total[entry.unit] = total.get(entry.unit, 0) + entry.amount
    return total
