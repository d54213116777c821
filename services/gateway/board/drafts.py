"""Wishes that wait for a worker's look before they are published, and frozen ones: SQL of the tables `drafts` and `communities`, as somebody.

A draft is published once: it is marked before it is said and after, and it is said under its own id, so that a crash between the two repeats the same event.
A frozen wish's copy is not published while the wish itself goes on: helpers would be sent to both.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from services.gateway.board import deeds
from services.gateway.board.store import parsed
from services.gateway.context import Gateway
from services.gateway.publisher import checked
from services.gateway.roles import Principal

SUBMITTED: Final = "lastmetre.wish.submitted.v1"
_SET: Final = """
    INSERT INTO gateway.communities (area, community, reviews, changed_by) VALUES ($1, $2, $3, $4)
    ON CONFLICT (area, community) DO UPDATE SET reviews = excluded.reviews, changed_by = excluded.changed_by, changed_at = clock_timestamp()
"""
_ADD: Final = """
    INSERT INTO gateway.drafts (draft_id, area, community, compound, building, unit, wish_id, data, origin, resident_ref, entered_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10, $11)
    ON CONFLICT (draft_id) DO UPDATE SET state = 'waiting', reason = NULL WHERE drafts.state = 'refused'
"""
_GOING_ON: Final = """
    SELECT w.area, w.wish_id FROM gateway.wishes w WHERE w.state IN ('open', 'held', 'matched') AND (w.area, w.resident_ref) IN (
        SELECT d.area, d.resident_ref FROM gateway.drafts d WHERE d.origin = 'frozen' AND d.state IN ('waiting', 'sending'))
"""
# Some of each, so that no frozen wish lies behind all that came in on a weekend.
_WAITING: Final = """
    SELECT * FROM (
        SELECT d.*, count(*) OVER () AS together, row_number() OVER (PARTITION BY origin ORDER BY entered_at, draft_id) AS number
        FROM gateway.drafts d WHERE state IN ('waiting', 'sending')) d
    WHERE number <= 100 ORDER BY origin, number
"""
_COMMUNITIES: Final = """
    SELECT p.area, p.community, coalesce(c.reviews, false) AS reviews FROM (
        SELECT area, community FROM gateway.wishes WHERE community IS NOT NULL AND submitted_at > now() - interval '183 days' GROUP BY 1, 2
        UNION SELECT area, community FROM gateway.communities) p
    LEFT JOIN gateway.communities c USING (area, community) ORDER BY 1, 2 LIMIT 200
"""
_ONE: Final = "SELECT * FROM gateway.drafts WHERE draft_id = $1"
_BEGIN: Final = """
    UPDATE gateway.drafts SET state = 'sending', data = $2::jsonb, reviewed_by = $3, reviewed_at = clock_timestamp()
    WHERE draft_id = $1 AND state = 'waiting' RETURNING data
"""
_DONE: Final = "UPDATE gateway.drafts SET state = 'published' WHERE draft_id = $1 AND state = 'sending'"
_REFUSE: Final = """
    UPDATE gateway.drafts SET state = 'refused', reason = $2, reviewed_by = $3, reviewed_at = clock_timestamp() WHERE draft_id = $1 AND state = 'waiting'
    RETURNING 1
"""
Outcome = Literal["published", "gone", "too_late", "goes_on"]


async def keep(connection: Any, draft_id: UUID, data: Mapping[str, Any], *, by: Principal) -> None:
    """Keep a frozen wish (`data` of `wish.submitted`) as a draft. The second time changes nothing, but that a copy which was put aside waits again."""
    place = data["place"]
    steps = (place["community"], place.get("compound"), place.get("building"), place.get("unit"))
    text = orjson.dumps(data).decode()
    await connection.execute(_ADD, draft_id, data["area"], *steps, data["wish_id"], text, "frozen", data["resident_ref"], by.account)


async def going_on(connection: Any) -> dict[UUID, str]:
    """Wishes that go on by what the board shows, by the id of the draft that holds a copy of each: their withdrawal was not said, or is not shown yet."""
    return {deeds.draft_id_of(row["area"], row["wish_id"]): row["wish_id"] for row in await connection.fetch(_GOING_ON)}


async def waiting(connection: Any) -> list[dict[str, Any]]:
    """The first hundred drafts that the principal may see of those entered, then of those frozen; `together`: how many there are in all."""
    rows = [dict(row) for row in await connection.fetch(_WAITING)]
    for row in rows:
        row["data"] = parsed(row["data"])
    return rows


async def communities(connection: Any) -> list[dict[str, Any]]:
    """The communities that the principal sees, and whether each looks at wishes first."""
    return [dict(row) for row in await connection.fetch(_COMMUNITIES)]


async def set_reviews(connection: Any, area: str, community: str, *, reviews: bool, by: Principal) -> None:
    """Look at wishes first, or not."""
    await connection.execute(_SET, area, community, reviews, by.account)


async def draft(connection: Any, draft_id: UUID) -> dict[str, Any] | None:
    """One draft, if the principal may see it."""
    row = await connection.fetchrow(_ONE, draft_id)
    return None if row is None else {**row, "data": parsed(row["data"])}


async def publish(gateway: Gateway, principal: Principal, found: Mapping[str, Any], now: datetime | None = None) -> Outcome:
    """Publish a draft, once. `goes_on`: it is the copy of a wish that goes on.

    Raises:
        schemas.errors.InvalidEvent, services.gateway.publisher.Unpublished: as `Publisher.say`; it can be tried again.
    """
    now = now or datetime.now(UTC)
    data = deeds.as_of(found["data"], now) if found["state"] == "waiting" else found["data"]
    if data is None:
        return "too_late"
    if found["state"] not in {"waiting", "sending"}:
        return "gone"
    if found["state"] == "waiting":
        checked(SUBMITTED, data["wish_id"], data, at=now.isoformat())  # before it is marked: what the contract does not take can still be refused
    async with gateway.database.acting_for(principal) as connection:
        if found["draft_id"] in await going_on(connection):
            return "goes_on"
        if found["state"] == "waiting" and await connection.fetchrow(_BEGIN, found["draft_id"], orjson.dumps(data).decode(), principal.account) is None:
            return "gone"
    await gateway.publisher.say(SUBMITTED, data["wish_id"], data, event_id=str(found["draft_id"]))
    async with gateway.database.acting_for(principal) as connection:
        await connection.execute(_DONE, found["draft_id"])
    return "published"


async def refuse(connection: Any, draft_id: UUID, reason: str, by: Principal) -> bool:
    """Do not publish it; whether it was still waiting."""
    return await connection.fetchrow(_REFUSE, draft_id, reason, by.account) is not None
