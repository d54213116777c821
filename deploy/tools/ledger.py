"""`ledger`: hours and points as the books hold them, by volunteer and by organisation; whether they add up; and corrections, as events.

Reads only. Names references and organisations, never people: who a reference is, only the vault knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from deploy.tools.story import readable
from deploy.tools.target import Target
from deploy.tools.wording import LOCAL, Words, clean
from deploy.words import Trouble
from schemas.instants import micros
from services.runtime import BadSettings, load_settings
from services.tariff import POINT, STARS_MAX, Tariff, TariffSettings

_VISITS: Final = """
    SELECT match_id, area, volunteer_ref, organisation, starts_at_us, outcome, closed_by, corrected, minutes, points FROM notifying.booked
    WHERE ($1::text IS NULL OR volunteer_ref = $1) AND ($2::text IS NULL OR organisation = $2) AND ($3::text IS NULL OR area = $3)
        AND starts_at_us >= $4 AND starts_at_us < $5
    ORDER BY starts_at_us, match_id
"""
# What somebody may want to talk about; it changes no hours.
_MISSED: Final = """
    SELECT (SELECT count(*) FROM notifying.confirmations c JOIN notifying.visits v USING (match_id)
            WHERE c.called_off_late AND c.volunteer_ref = $1 AND c.area = $2 AND v.starts_at_us >= $3 AND v.starts_at_us < $4) AS called_off_late,
        (SELECT count(*) FROM notifying.no_shows WHERE volunteer_ref = $1 AND area = $2 AND starts_at_us >= $3 AND starts_at_us < $4) AS no_shows
"""
# Who only called off has no visit in the books, and a statement all the same.
_CALLED_OFF_IN: Final = """
    SELECT DISTINCT c.area FROM notifying.confirmations c JOIN notifying.visits v USING (match_id)
    WHERE c.called_off_late AND c.volunteer_ref = $1 AND ($2::text IS NULL OR c.area = $2) AND v.starts_at_us >= $3 AND v.starts_at_us < $4
"""
_ORGANISATIONS: Final = "SELECT DISTINCT organisation FROM notifying.confirmations WHERE organisation IS NOT NULL ORDER BY organisation LIMIT 20"
_POSTED: Final = "SELECT area, data FROM matching.posts"
_CROOKED: Final = """
    SELECT transaction_id::text AS id, unit, sum(amount)::bigint AS amount FROM notifying.ledger_entries GROUP BY transaction_id, unit HAVING sum(amount) <> 0
    ORDER BY 1, 2 LIMIT 20
"""
_TOTALS: Final = "SELECT unit, sum(amount)::bigint AS amount, count(*) AS entries FROM notifying.ledger_entries GROUP BY unit ORDER BY unit"
# A visit that was told to have ended so often must be booked so often, without a gap.
_UNBOOKED: Final = """
    SELECT v.match_id, v.number, count(t.id) AS booked FROM notifying.visits v LEFT JOIN notifying.ledger_transactions t USING (match_id)
    GROUP BY v.match_id, v.number HAVING count(t.id) <> v.number ORDER BY v.match_id LIMIT 20
"""
_COUNT: Final = "SELECT count(*) FROM notifying.ledger_transactions"
_FOREVER: Final = (0, 2**62)


@dataclass(frozen=True, slots=True)
class Half:
    """A half-year in local time: `2026H2`."""

    name: str
    starts_us: int
    ends_us: int

    @property
    def words(self) -> Words:
        """`2026 年下半年`, `second half of 2026`."""
        year, number = self.name[:4], self.name[5]
        return (f"{year} 年{'上' if number == '1' else '下'}半年", f"{'first' if number == '1' else 'second'} half of {year}")


@dataclass(frozen=True, slots=True)
class Served:
    """One visit as the books hold it, corrections included; `points` in hundredths."""

    match_id: str
    area: str
    volunteer_ref: str
    organisation: str | None
    starts_us: int
    outcome: str
    by: str
    corrected: bool
    minutes: int
    points: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A volunteer's visits in an area, by date. `minutes_before`: what they had done there before the half-year began."""

    volunteer_ref: str
    area: str
    half: Half | None
    visits: list[Served]
    tariff: Tariff
    called_off_late: int = 0
    no_shows: int = 0
    minutes_before: int = 0

    @property
    def minutes(self) -> int:
        """All that count."""
        return sum(one.minutes for one in self.visits)

    @property
    def points(self) -> int:
        """In hundredths."""
        return sum(one.points for one in self.visits)

    @property
    def stars(self) -> int:
        """For all hours up to the end of this statement: a star is for good, and does not begin anew each half-year."""
        return self.tariff.stars(self.minutes_before + self.minutes)


@dataclass(slots=True)
class Member:
    """One volunteer of an organisation in a half-year."""

    area: str
    volunteer_ref: str
    reported_in: bool = False
    visits: int = 0
    minutes: int = 0
    points: int = 0
    last_us: int = 0


@dataclass(frozen=True, slots=True)
class Branch:
    """Who of an organisation has reported in to a community (an offer under its name), and who has served."""

    organisation: str
    half: Half
    members: list[Member]

    @property
    def served(self) -> list[Member]:
        """Those with a visit that took place."""
        return [one for one in self.members if one.minutes]


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether the books add up."""

    transactions: int
    totals: list[tuple[str, int, int]] = field(default_factory=list)
    crooked: list[tuple[str, str, int]] = field(default_factory=list)
    unbooked: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """All sums are zero, and every end is booked."""
        return not self.crooked and not self.unbooked and not any(amount for _, amount, _ in self.totals)


def half_of(text: str | None, now: datetime) -> Half:
    """A half-year by its name, or that of `now`.

    Raises:
        Trouble: it is not written as 2026H1 or 2026H2.
    """
    local = now.astimezone(LOCAL)
    name = (text or f"{local.year}H{1 if local.month < 7 else 2}").upper()
    if not re.fullmatch(r"(19[7-9]\d|[2-8]\d{3})H[12]", name):
        raise Trouble(f"半年请写成 2026H1 或 2026H2，而不是 {clean(name, 20)}", f"Write a half-year as 2026H1 or 2026H2, not {clean(name, 20)}")
    year, second = int(name[:4]), name[5] == "2"
    starts = datetime(year, 7 if second else 1, 1, tzinfo=LOCAL)
    ends = datetime(year + 1, 1, 1, tzinfo=LOCAL) if second else datetime(year, 7, 1, tzinfo=LOCAL)
    return Half(name, micros(starts), micros(ends))


def hours(minutes: int) -> str:
    """Minutes as hours: `7:30`."""
    return f"{minutes // 60}:{minutes % 60:02}"


def points(hundredths: int) -> str:
    """Points with two digits: `7.50`."""
    return f"{hundredths // POINT}.{hundredths % POINT:02}"


def _span(half: Half | None) -> tuple[int, int]:
    return _FOREVER if half is None else (half.starts_us, half.ends_us)


async def _visits(connection: asyncpg.Connection, ref: str | None, organisation: str | None, area: str | None, span: tuple[int, int]) -> list[Served]:
    return [Served(*row) for row in await connection.fetch(_VISITS, ref, organisation, area, *span)]


async def statement(target: Target, volunteer_ref: str, area: str | None, half: Half | None) -> Statement:
    """A volunteer's statement.

    Raises:
        Trouble: the books know nobody of this reference, or know them in several areas and none was given; or the tariff's settings cannot be used.
    """
    try:
        tariff = load_settings(TariffSettings).tariff
    except BadSettings as fault:
        raise Trouble(*str(fault).splitlines()[0].split(" | ", 1)) from fault
    async with target.database("notifier") as connection, readable():
        span = _span(half)
        visits = await _visits(connection, volunteer_ref, None, area, span)
        called_off = await connection.fetch(_CALLED_OFF_IN, volunteer_ref, area, *span)
        areas = sorted({one.area for one in visits} | {row["area"] for row in called_off})
        missed = await connection.fetchrow(_MISSED, volunteer_ref, areas[0], *span) if areas else None
        earlier = await _visits(connection, volunteer_ref, None, areas[0], (0, span[0])) if areas and half is not None else []
    shown = clean(volunteer_ref, 128)
    if not areas:
        raise Trouble(f"账上没有志愿者 {shown} 的服务。", f"The books hold no visit of volunteer {shown}.")
    if len(areas) > 1:
        named = ", ".join(map(clean, areas))
        raise Trouble(f"志愿者 {shown} 在几个片区都有服务，请用 --area 指定：{named}", f"Volunteer {shown} is in several areas; give one with --area: {named}")
    assert missed is not None
    return Statement(volunteer_ref, areas[0], half, visits, tariff, missed["called_off_late"], missed["no_shows"], sum(one.minutes for one in earlier))


async def branch(target: Target, organisation: str, half: Half) -> Branch:
    """Who of an organisation has reported in, and who served in a half-year: those who served most first.

    Raises:
        Trouble: nobody has an offer or a visit under this name.
    """
    members: dict[tuple[str, str], Member] = {}

    def member(area: str, ref: str) -> Member:
        return members.setdefault((area, ref), Member(area, ref))

    # By a cursor, which lives in a transaction: all that was ever posted is read, and none of it kept.
    async with target.database("matcher") as connection, readable(), connection.transaction():
        async for row in connection.cursor(_POSTED, prefetch=500):
            offer = orjson.loads(row["data"])
            if offer.get("organisation") == organisation:
                member(row["area"], offer["volunteer_ref"]).reported_in = True
    async with target.database("notifier") as connection, readable():
        visits = await _visits(connection, None, organisation, None, _span(half))
        known = [row["organisation"] for row in await connection.fetch(_ORGANISATIONS)]
    for one in visits:
        found = member(one.area, one.volunteer_ref)
        # Who serves for it has reported in, also where the offer is gone.
        found.reported_in = True
        if one.minutes:
            found.visits += 1
            found.minutes += one.minutes
            found.points += one.points
            found.last_us = max(found.last_us, one.starts_us)
    if not members:
        chinese, english = ((between.join(map(clean, known)) or "-") for between in ("、", "; "))
        raise Trouble(f"没有人以“{clean(organisation)}”报到。已有：{chinese}", f'Nobody has reported in for "{clean(organisation)}". There are: {english}')
    return Branch(organisation, half, sorted(members.values(), key=lambda one: (-one.minutes, one.area, one.volunteer_ref)))


async def audit(target: Target) -> Audit:
    """Add the books up."""
    async with target.database("notifier") as connection, readable():
        return Audit(
            await connection.fetchval(_COUNT),
            _tuples(await connection.fetch(_TOTALS)),
            _tuples(await connection.fetch(_CROOKED)),
            _tuples(await connection.fetch(_UNBOOKED)),
        )


def _tuples(rows: Sequence[asyncpg.Record]) -> list[Any]:
    return [tuple(row) for row in rows]


def stars_line(count: int) -> str:
    """`★★☆☆☆`."""
    return "★" * count + "☆" * (STARS_MAX - count)


def totals_by_outcome(visits: Sequence[Served]) -> dict[str, int]:
    """How many visits ended how."""
    return dict(sorted(Counter(one.outcome for one in visits).items()))
