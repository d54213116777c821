"""What the monitor's pages ask: all SQL of the reading side. The tables' policies cut every answer down to what the asking principal may see."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from services.gateway.board.hub import COLUMNS, StreamRow
from services.gateway.board.store import parsed
from services.gateway.database import CORRECTED, MINORS, NOT_AS_TOLD

# A visit ended an hour ago and nothing was heard of it. Its wish may still look for other helpers, or have expired without them: confirmed matches stand.
_UNHEARD: Final = """w.state IN ('open', 'held', 'matched', 'expired') AND (w.area, w.wish_id) IN (
            SELECT m.area, m.wish_id FROM gateway.matches m WHERE m.state IN ('confirmed', 'started') AND m.ends_at < $1 - interval '1 hour')"""
# A visit is closed three days after its slot at the latest, and its slot is over when its wish expires: what expired long ago need not be looked through.
_EXPIRED_UNHEARD: Final = f"(w.state = 'expired' AND w.changed_at >= $1 - interval '7 days' AND {_UNHEARD})"
# 2: overdue, 1: at risk, 0: neither. Overdue: no visit fits in any more, or one ended an hour ago and nothing was heard of it.
_RISK: Final = f"""
    CASE
        WHEN w.state IN ('open', 'held') AND w.ends_at - make_interval(mins => w.minutes) < $1 THEN 2
        WHEN {_UNHEARD} THEN 2
        WHEN w.state IN ('open', 'held') AND (w.unmet IS NOT NULL AND w.live = 0 OR w.ends_at - make_interval(mins => w.minutes) < $1 + interval '2 hours'
            OR w.urgency = 'red' AND w.submitted_at < $1 - interval '15 minutes') THEN 1
        ELSE 0
    END
"""
# The board hears of a visit's first end alone. What the books hold otherwise by now was told of in this week, where its wish closed today.
_CORRECTED_LATELY: Final = f"""(w.state = 'closed' AND (w.area, w.wish_id) IN (SELECT c.area, c.wish_id FROM gateway.corrected c
            WHERE {NOT_AS_TOLD} AND c.closed_at_us >= extract(epoch FROM $2::timestamptz - interval '7 days')::bigint * 1000000))"""
# OFFSET, so that the risk of a wish is weighed once, and not for each sum that asks for it.
_COUNTERS: Final = f"""
    SELECT count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'held') AS held,
        count(*) FILTER (WHERE state = 'matched') AS matched,
        count(*) FILTER (WHERE state = 'closed' AND changed_at >= $2 AND NOT corrected) AS closed,
        count(*) FILTER (WHERE state = 'expired' AND changed_at >= $2) AS expired,
        count(*) FILTER (WHERE submitted_at >= $2) AS today,
        count(*) FILTER (WHERE confirmed_at >= $2) AS confirmed,
        count(*) FILTER (WHERE state IN ('closed', 'expired', 'withdrawn') AND (changed_at >= $2 OR risk = 2)) AS ended,
        count(*) FILTER (WHERE risk = 2) AS overdue, count(*) FILTER (WHERE risk = 1) AS at_risk
    FROM (SELECT w.*, {_RISK} AS risk, {_CORRECTED_LATELY} AS corrected FROM gateway.wishes w WHERE w.submitted_at IS NOT NULL
        AND (w.state IN ('open', 'held', 'matched') OR w.changed_at >= $2 OR w.submitted_at >= $2 OR {_EXPIRED_UNHEARD}) OFFSET 0) w
"""
_WORK: Final = """
    SELECT (SELECT count(*) FROM gateway.drafts WHERE state IN ('waiting', 'sending')) AS drafts,
        (SELECT count(*) FROM gateway.matches WHERE state = 'proposed' AND needs_approval AND approved_at IS NULL) AS approvals,
        (SELECT count(*) FROM gateway.dead_letters WHERE sent_at IS NULL) AS dead,
        (SELECT count(*) FROM gateway.inbox WHERE read_at IS NULL) AS unread
"""
_CARD: Final = f"""w.area, w.wish_id, w.title, w.category, w.urgency, w.state, w.community, w.compound, w.building, w.unit, w.submitted_at, w.starts_at,
    w.ends_at, w.minutes, w.helpers_needed, w.live, w.confirmed, w.reach, w.unmet IS NOT NULL AS unmet, w.frozen, w.changed_at, w.age_band,
    (w.accompanied OR {MINORS}) IS TRUE AS together"""
_BY_URGENCY: Final = "array_position(ARRAY['red', 'yellow', 'blue'], w.urgency)"
_OVER: Final = "w.state IN ('closed', 'expired', 'withdrawn')"
# Of today ($2), or a week's that nothing was heard of ($1: now).
_ENDED_LATELY: Final = f"{_OVER} AND (w.changed_at >= $2 OR {_EXPIRED_UNHEARD})"
_WAITING: Final = f"""
    SELECT {_CARD}, {_RISK} AS risk FROM gateway.wishes w WHERE w.state = $2
    ORDER BY risk DESC, {_BY_URGENCY}, w.ends_at, w.wish_id LIMIT $3
"""
_ENDED: Final = f"""
    SELECT {_CARD}, {_RISK} AS risk, {_CORRECTED_LATELY} AS corrected FROM gateway.wishes w
    WHERE w.submitted_at IS NOT NULL AND {_ENDED_LATELY}
    ORDER BY risk DESC, w.changed_at DESC, w.wish_id LIMIT $3
"""
# Everything in these states ($3; $4: and what ended today), narrowed down by whatever is not NULL. A child's wish is found by its compound or building by
# whoever may know where the child lives ($10); by others in its community alone, as on the map.
_LISTED: Final = f"""
    SELECT *, count(*) OVER () AS together_in_all FROM (
        SELECT {_CARD}, {_RISK} AS risk, {_CORRECTED_LATELY} AS corrected, {_OVER} AS over FROM gateway.wishes w
        WHERE w.submitted_at IS NOT NULL AND (w.state = ANY($3) OR $4::boolean AND {_ENDED_LATELY})
            AND ($5::text IS NULL OR w.urgency = $5) AND ($7::text IS NULL OR w.community = $7)
            AND ($8::text IS NULL OR w.compound = $8) AND ($9::text IS NULL OR w.building = $9)
            AND ($10::boolean OR {MINORS} IS NOT TRUE OR $8::text IS NULL AND $9::text IS NULL)
        OFFSET 0) w
    WHERE NOT $6::boolean OR risk > 0
    ORDER BY risk DESC, over, CASE WHEN over THEN changed_at END DESC, {_BY_URGENCY}, ends_at, area, wish_id
    LIMIT $11 OFFSET $12
"""
# A child's wish counts in its compound and building for whoever may know where the child lives ($3); for others in its community alone.
_IN_HOMES: Final = f"$3::boolean OR {MINORS} IS NOT TRUE"
_MAP: Final = f"""
    SELECT coalesce(w.community, '') AS community, coalesce(CASE WHEN {_IN_HOMES} THEN w.compound END, '') AS compound,
        coalesce(CASE WHEN {_IN_HOMES} THEN w.building END, '') AS building,
        count(*) FILTER (WHERE w.state IN ('open', 'held')) AS waiting, count(*) FILTER (WHERE w.state = 'matched') AS matched,
        count(*) FILTER (WHERE w.state = 'closed') AS closed, count(*) FILTER (WHERE {_RISK} > 0) AS risk
    FROM gateway.wishes w
    WHERE w.submitted_at IS NOT NULL
        AND (w.state IN ('open', 'held', 'matched') OR w.state IN ('closed', 'expired') AND w.changed_at >= $2 OR {_EXPIRED_UNHEARD})
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_RECENT: Final = f"SELECT {COLUMNS} FROM gateway.stream WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT $1"
_OF_WISH: Final = f"SELECT {COLUMNS} FROM gateway.stream WHERE area = $1 AND wish_id = $2 AND seq IS NOT NULL ORDER BY at, seq LIMIT 500"
_WAITS: Final = """
    SELECT date_bin('1 hour', submitted_at, $1) AS hour, count(*) AS wishes, count(confirmed_at) AS confirmed,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM confirmed_at - submitted_at) / 60.0) AS median
    FROM gateway.wishes WHERE submitted_at >= $1 AND submitted_at < $2 GROUP BY 1 ORDER BY 1
"""
_FILL: Final = """
    SELECT date_bin('1 day', submitted_at, $1) AS day, count(*) AS wishes, count(*) FILTER (WHERE confirmed >= helpers_needed) AS filled,
        count(*) FILTER (WHERE state IN ('open', 'held')) AS waiting
    FROM gateway.wishes WHERE submitted_at >= $1 AND submitted_at < $2 AND state <> 'withdrawn' GROUP BY 1 ORDER BY 1
"""
_FAIRNESS: Final = """
    SELECT visits, count(*) AS people FROM (
        SELECT o.volunteer_ref, count(m.match_id) AS visits
        FROM (SELECT DISTINCT area, volunteer_ref FROM gateway.offers WHERE state = 'open' AND last_end >= $1) o
        LEFT JOIN gateway.matches m ON m.area = o.area AND m.volunteer_ref = o.volunteer_ref AND m.confirmed_at >= $1 AND m.state <> 'released'
        GROUP BY 1) v
    GROUP BY 1 ORDER BY 1
"""
_LAG: Final = """
    SELECT date_bin('5 minutes', stored_at, $1) AS slot, count(*) AS lines,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - received_at) * 1000) AS p50,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM stored_at - received_at) * 1000) AS p95
    FROM gateway.stream WHERE seq IS NOT NULL AND stored_at >= $1 AND stored_at < $2 GROUP BY 1 ORDER BY 1
"""
_WISH: Final = f"SELECT w.*, {_RISK} AS risk, {CORRECTED} AS corrected FROM gateway.wishes w WHERE w.area = $2 AND w.wish_id = $3"
_MATCHES: Final = """
    SELECT m.*, c.outcome AS outcome_now, c.minutes AS minutes_now
    FROM gateway.matches m LEFT JOIN gateway.corrected c ON c.area = m.area AND c.wish_id = m.wish_id AND c.match_id = m.match_id AND m.state = 'closed'
    WHERE m.area = $1 AND m.wish_id = $2 ORDER BY m.proposed_at NULLS LAST, m.match_id
"""
_INVITED: Final = "SELECT * FROM gateway.invitations WHERE area = $1 AND wish_id = $2 AND expires_at > $3 ORDER BY expires_at"
_NEAR: Final = """
    SELECT area, offer_id, community, compound, building, unit, skills, vetting_level, reach, accepts, organisation, state FROM gateway.offers
    WHERE area = $1 AND state = 'open' AND last_end >= $4 AND NOT offer_id = ANY($5)
    ORDER BY (skills @> $3) DESC, coalesce(community = $2, false) DESC, offer_id LIMIT 12
"""
_APPROVALS: Final = """
    SELECT m.*, w.title, w.urgency, w.category, w.age_band FROM gateway.matches m JOIN gateway.wishes w USING (area, wish_id)
    WHERE m.state = 'proposed' AND m.needs_approval AND m.approved_at IS NULL ORDER BY m.expires_at NULLS LAST, m.match_id LIMIT $1
"""


@dataclass(slots=True)
class Overview:
    """What a monitor shows beside the stream. Cards are rows of `_CARD` with `risk`."""

    counters: dict[str, int]
    columns: dict[str, list[dict[str, Any]]]
    places: list[dict[str, Any]]
    approvals: list[dict[str, Any]]
    wrote_at: datetime | None
    position: int = 0
    recent: list[StreamRow] = field(default_factory=list)


async def overview(connection: Any, now: datetime, today: datetime, most: int = 40, *, homes: bool = True) -> Overview:
    """Counters, the board by state, the map and what waits for a worker.

    Args: `today` is when the local day began; `homes`: whether the map counts children's wishes below their community.
    """
    counters = dict(await connection.fetchrow(_COUNTERS, now, today)) | dict(await connection.fetchrow(_WORK))
    columns = {state: await _rows(connection, _WAITING, now, state, most) for state in ("open", "held", "matched")}
    columns["ended"] = await _rows(connection, _ENDED, now, today, most)
    return Overview(
        counters,
        columns,
        await _rows(connection, _MAP, now, today, homes),
        await _rows(connection, _APPROVALS, most),
        await connection.fetchval("SELECT wrote_at FROM gateway.reader"),
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which wishes somebody wants to see all of: in these live `states`, with those that ended today (`ended`), only such as press (`pressing`)."""

    states: tuple[str, ...]
    ended: bool = False
    urgency: str | None = None
    pressing: bool = False
    community: str | None = None
    compound: str | None = None
    building: str | None = None


async def listed(connection: Any, now: datetime, today: datetime, chosen: Chosen, *, homes: bool, most: int, skip: int) -> tuple[list[dict[str, Any]], int]:
    """Cards as on the board, so many behind the first `skip`, and how many there are in all (0 where none is left)."""
    place = (chosen.community, chosen.compound, chosen.building)
    rows = await _rows(connection, _LISTED, now, today, chosen.states, chosen.ended, chosen.urgency, chosen.pressing, *place, homes, most, skip)
    return rows, rows[0]["together_in_all"] if rows else 0


async def recent(connection: Any, most: int = 40) -> list[StreamRow]:
    """The last lines, newest first."""
    return [_line(row) for row in await connection.fetch(_RECENT, most)]


def _line(row: Any) -> StreamRow:
    return StreamRow(**{**row, "brief": parsed(row["brief"])})


async def _rows(connection: Any, statement: str, *values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch(statement, *values)]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the charts show: rows by hour, by day, by number of visits and by five minutes."""

    waits: list[dict[str, Any]]
    fill: list[dict[str, Any]]
    fairness: list[dict[str, Any]]
    lag: list[dict[str, Any]]


async def figures(connection: Any, *, hours: tuple[datetime, datetime], days: tuple[datetime, datetime], lately: tuple[datetime, datetime]) -> Figures:
    """Each stretch from, until: of waits (hours), of fill rate and fairness (days), of lag (a few minutes each)."""
    return Figures(
        await _rows(connection, _WAITS, *hours),
        await _rows(connection, _FILL, *days),
        await _rows(connection, _FAIRNESS, days[0]),
        await _rows(connection, _LAG, *lately),
    )


@dataclass(slots=True)
class WishStory:
    """One wish: its row (with `risk`), its matches, invitations that are out, lines of the stream, and offers nearby to ask "why not" of."""

    wish: dict[str, Any]
    matches: list[dict[str, Any]]
    invitations: list[dict[str, Any]]
    lines: list[StreamRow]
    offers: list[dict[str, Any]]

    def match(self, match_id: str) -> dict[str, Any] | None:
        """One of its matches."""
        return next((match for match in self.matches if match["match_id"] == match_id), None)


async def wish_story(connection: Any, area: str, wish_id: str, now: datetime) -> WishStory | None:
    """All that is known of a wish, or None where there is none that the principal may see."""
    wish = await connection.fetchrow(_WISH, now, area, wish_id)
    if wish is None:
        return None
    matches = await _rows(connection, _MATCHES, area, wish_id)
    for match in matches:
        match["reasons"] = parsed(match["reasons"])
    found = dict(wish)
    found["unmet"] = parsed(found["unmet"])
    asked: Sequence[str] = [match["offer_id"] for match in matches if match["state"] != "released"]
    return WishStory(
        found,
        matches,
        await _rows(connection, _INVITED, area, wish_id, now),
        [_line(row) for row in await connection.fetch(_OF_WISH, area, wish_id)],
        await _rows(connection, _NEAR, area, wish["community"], wish["skills"], now, list(asked)),
    )
