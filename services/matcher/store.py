"""All SQL of schema `matching`. Statements are named for what they do; who opens and ends the transaction is the caller.

Bulk work goes in as one COPY or one statement over arrays a table and batch, so that a batch costs the same few round
trips whatever its size. Instants are microseconds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, Self

import asyncpg
import orjson

from schemas.codec import Event
from schemas.offers import OfferPosted
from schemas.topics import LANE_TOPICS
from schemas.wishes import WishSubmitted
from services.matcher.core.state import OPEN, WISH, Area, Early, Match, Offer, Wish

SCHEMA: Final = "matching"
_CURSORS: Final = tuple(f"{topic}_next" for topic in LANE_TOPICS)

# Every statement of a batch finds its rows by an index. The planner, which knows nothing yet of tables that grow this fast and
# guesses the length of arrays, would now and then read a whole table, or compile a plan for longer than it runs.
INDEXES_ONLY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}

CREATE_LANE: Final = "INSERT INTO matching.lanes (lane) VALUES ($1) ON CONFLICT DO NOTHING"
TAKE_LANE: Final = f"""
    UPDATE matching.lanes SET epoch = epoch + 1, owner = $2 WHERE lane = $1
    RETURNING epoch, seq, published, ticked, {", ".join(_CURSORS)}
"""
LOCK_LANES: Final = "SELECT lane, epoch FROM matching.lanes WHERE lane = ANY($1) ORDER BY lane FOR UPDATE"
_ADVANCED: Final = ("seq", "published", "ticked", *_CURSORS)
ADVANCE_LANES: Final = f"""
    UPDATE matching.lanes l SET committed_at = now(), seq = u.seq, published = greatest(l.published, u.published), ticked = greatest(l.ticked, u.ticked),
        {", ".join(f"{column} = u.{column}" for column in _CURSORS)}
    FROM unnest($1::int[], {", ".join(f"${number}::bigint[]" for number in range(2, 2 + len(_ADVANCED)))}) AS u(lane, {", ".join(_ADVANCED)})
    WHERE l.lane = u.lane
"""
# One statement over all lanes, for each statement of its own waits for the disk.
MARK_PUBLISHED: Final = """
    WITH told AS (SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS u(lane, epoch, published)),
        served AS (DELETE FROM matching.outbox o USING told WHERE o.lane = told.lane AND o.seq <= told.published)
    UPDATE matching.lanes l SET published = greatest(l.published, told.published) FROM told WHERE l.lane = told.lane AND l.epoch = told.epoch
"""
KNOWN_EVENTS: Final = """
    SELECT j.source, j.event_id FROM unnest($1::text[], $2::text[]) AS asked(source, event_id)
    JOIN matching.journal j ON j.source = asked.source AND j.event_id = asked.event_id AND j.outcome <> 'duplicate'
"""
AREAS_OF_LANE: Final = "SELECT area FROM matching.areas WHERE lane = $1"
CLOCK_OF_AREA: Final = "SELECT clock FROM matching.areas WHERE area = $1"
SAVE_CLOCKS: Final = """
    INSERT INTO matching.areas (area, lane, clock) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
    ON CONFLICT (area) DO UPDATE SET lane = excluded.lane, clock = excluded.clock
"""
_WISH_COLUMNS: Final = "wish_id, status, submitted_at, match_count, barred, data"
WISHES_UNDER_WAY: Final = f"""
    SELECT {_WISH_COLUMNS} FROM matching.wishes WHERE area = $1 AND (status = 'open'
        OR wish_id IN (SELECT wish_id FROM matching.matches WHERE area = $1 AND live))
"""
WISHES_BY_ID: Final = f"SELECT {_WISH_COLUMNS} FROM matching.wishes WHERE area = $1 AND wish_id = ANY($2)"
_OFFER_COLUMNS: Final = "offer_id, status, status_at, data"
OFFERS_UNDER_WAY: Final = f"""
    SELECT {_OFFER_COLUMNS} FROM matching.offers WHERE area = $1 AND (status = 'open'
        OR offer_id IN (SELECT offer_id FROM matching.matches WHERE area = $1 AND live))
"""
OFFERS_BY_ID: Final = f"SELECT {_OFFER_COLUMNS} FROM matching.offers WHERE area = $1 AND offer_id = ANY($2)"
STANDING_MATCHES: Final = """
    SELECT * FROM matching.matches WHERE area = $1 AND wish_id = ANY($2) AND state <> 'released' ORDER BY wish_id, number
"""
# Of what a batch asks for, the areas of which something is stored. Most wishes are new, and then nothing needs to be brought.
AREAS_WITH_STORED: Final = """
    SELECT w.area FROM unnest($1::text[], $2::text[]) AS a(area, id) JOIN matching.wishes w ON w.area = a.area AND w.wish_id = a.id
    UNION SELECT e.area FROM unnest($1::text[], $2::text[]) AS a(area, id) JOIN matching.early e ON e.area = a.area AND e.kind = 'wish' AND e.subject = a.id
    UNION SELECT o.area FROM unnest($3::text[], $4::text[]) AS a(area, id) JOIN matching.offers o ON o.area = a.area AND o.offer_id = a.id
    UNION SELECT e.area FROM unnest($3::text[], $4::text[]) AS a(area, id) JOIN matching.early e ON e.area = a.area AND e.kind = 'offer' AND e.subject = a.id
"""
EARLY_BY_ID: Final = "SELECT kind, subject, at, status FROM matching.early WHERE area = $1 AND subject = ANY($2)"
SAVE_EARLY: Final = """
    INSERT INTO matching.early (area, kind, subject, at, status) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (area, kind, subject) DO UPDATE SET at = excluded.at, status = excluded.status
"""
DROP_EARLY: Final = "DELETE FROM matching.early WHERE area = $1 AND kind = $2 AND subject = $3"
UPDATE_WISHES: Final = """
    UPDATE matching.wishes w SET status = u.status, match_count = u.match_count, barred = u.barred
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[]) AS u(area, wish_id, status, match_count, barred)
    WHERE w.area = u.area AND w.wish_id = u.wish_id
"""
# The guard repeats the promise: one more live match only below the capacity, or below what it was in the course of this batch.
UPDATE_OFFERS: Final = """
    UPDATE matching.offers o SET status = u.status, status_at = u.status_at, capacity = u.capacity, live = u.live, data = coalesce(u.data, o.data)
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::int[], $7::int[], $8::bytea[])
        AS u(area, offer_id, status, status_at, capacity, capacity_max, live, data)
    WHERE o.area = u.area AND o.offer_id = u.offer_id AND (u.live <= o.live OR u.live <= u.capacity_max)
"""
UPDATE_MATCHES: Final = """
    UPDATE matching.matches m SET answered = u.answered, approved = u.approved, state = u.state, live = u.live, reason = u.reason
    FROM unnest($1::text[], $2::text[], $3::int[], $4::bool[], $5::bool[], $6::text[], $7::bool[], $8::text[])
        AS u(area, wish_id, number, answered, approved, state, live, reason)
    WHERE m.area = u.area AND m.wish_id = u.wish_id AND m.number = u.number
"""
UNPUBLISHED_DECISIONS: Final = """
    SELECT seq, area, decision FROM matching.journal WHERE lane = $1 AND seq > $2 AND decision <> '[]' ORDER BY seq
"""
UNPUBLISHED_OUTBOX: Final = """
    SELECT seq, topic, partition, key, header_names, header_values, value FROM matching.outbox WHERE lane = $1 AND seq > $2 ORDER BY seq
"""
CLOCK_RUNS_TO: Final = "SELECT runs_to FROM matching.clock"

_JOURNAL: Final = ("lane", "seq", "area", "at", "kind", "outcome", "topic", "offset", "source", "event_id", "event", "decision")
_OUTBOX: Final = ("lane", "seq", "topic", "partition", "key", "header_names", "header_values", "value")
_WISHES: Final = ("area", "wish_id", "status", "submitted_at", "ends_at", "need", "match_count", "barred", "data")
_OFFERS: Final = ("area", "offer_id", "status", "status_at", "capacity", "live", "data")
_MATCHES: Final = (
    "area", "wish_id", "number", "match_id", "place", "need", "offer_id", "volunteer_ref", "person", "starts_at", "ends_at",
    "rung", "how", "answered", "approved", "expires_at", "group_id", "group_size", "state", "live", "reason",
)  # fmt: skip
_TURN_ROWS: Final = 200
_PERSON_BITS: Final = 52  # what a float8 holds exactly


class BrokenInvariant(Exception):
    """The database refused what the core decided: one of the promises would not hold. Nothing was stored."""


def person_number(area: str, volunteer_ref: str) -> float:
    """A person as a number, for the constraint on overlapping slots: 52 bits of a hash."""
    digest = blake2b(f"{area}/{volunteer_ref}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest) >> (64 - _PERSON_BITS))


class Changes:
    """What one batch changes, gathered over its areas and written at once."""

    def __init__(self) -> None:
        self.journal: list[tuple[Any, ...]] = []
        self.outbox: list[tuple[Any, ...]] = []

    async def write(self, connection: asyncpg.Connection, areas: Sequence[tuple[int, Area]], raw: "RawData") -> None:
        """Store the journal, the outbox and what the areas say has changed. Updates go first: they make room."""
        wishes = [(area.name, wish) for _, area in areas for wish in area.touched_wishes.values()]
        offers = [(area.name, offer) for _, area in areas for offer in area.touched_offers.values()]
        matches = [(area.name, match) for _, area in areas for match in area.touched_matches.values()]
        try:
            await _update_wishes(connection, [(a, w) for a, w in wishes if w.stored])
            await _update_matches(connection, [(a, m) for a, m in matches if m.stored])
            await _update_offers(connection, [(a, o) for a, o in offers if o.stored], raw)
            await _copy(connection, "wishes", _WISHES, (_wish_row(a, w, raw) for a, w in wishes if not w.stored))
            await _copy(connection, "offers", _OFFERS, (_offer_row(a, o, raw) for a, o in offers if not o.stored))
            await _copy(connection, "matches", _MATCHES, (_match_row(a, m) for a, m in matches if not m.stored))
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.ExclusionViolationError) as error:
            raise BrokenInvariant(f"{error.table_name}: {error.constraint_name}") from error
        await _copy(connection, "journal", _JOURNAL, self.journal)
        await _copy(connection, "outbox", _OUTBOX, self.outbox)
        for _, area in areas:
            for (kind, subject), early in area.touched_early.items():
                if early is None:
                    await connection.execute(DROP_EARLY, area.name, kind, subject)
                else:
                    await connection.execute(SAVE_EARLY, area.name, kind, subject, early.at, early.status)
        if areas:
            names, lanes, clocks = zip(*((area.name, lane, area.clock) for lane, area in areas), strict=True)
            await connection.execute(SAVE_CLOCKS, names, lanes, clocks)


class RawData:
    """The JSON of the wishes and offers that came in this batch, as it came."""

    def __init__(self) -> None:
        self.wishes: dict[tuple[str, str], bytes] = {}
        self.offers: dict[tuple[str, str], bytes] = {}

    def keep(self, event: Event) -> None:
        """Keep the JSON of an event that is a wish (the first of its id stands) or an offer (the last one does)."""
        data = event.data
        if isinstance(data, WishSubmitted):
            self.wishes.setdefault((data.area, data.wish_id), event.raw)
        elif isinstance(data, OfferPosted):
            self.offers[data.area, data.offer_id] = event.raw


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    records = list(rows)
    if records:
        await connection.copy_records_to_table(table, schema_name=SCHEMA, columns=columns, records=records)


def _wish_row(area: str, wish: Wish, raw: RawData) -> tuple[Any, ...]:
    return (area, wish.id, wish.status, wish.submitted_at, wish.end, wish.need, wish.match_count, _barred(wish), raw.wishes[area, wish.id])


def _barred(wish: Wish) -> str:
    return orjson.dumps(sorted(wish.barred)).decode() if wish.barred else ""


def _offer_row(area: str, offer: Offer, raw: RawData) -> tuple[Any, ...]:
    return (area, offer.id, offer.status, offer.status_at, offer.capacity, offer.live, raw.offers[area, offer.id])


def _match_row(area: str, match: Match) -> tuple[Any, ...]:
    return (
        area, match.wish.id, match.number, match.id, match.place, match.wish.need, match.offer.id, match.volunteer_ref,
        person_number(area, match.volunteer_ref), match.start, match.end, match.rung, match.how, match.answered,
        match.approved, match.expires_at, match.group_id, match.group_size, match.state, match.live, match.reason,
    )  # fmt: skip


def _counted(tag: str, expected: int, table: str) -> None:
    if int(tag.rpartition(" ")[2]) != expected:
        raise BrokenInvariant(f"{table}: {expected} rows were to change, but {tag}")


async def _update_wishes(connection: asyncpg.Connection, wishes: list[tuple[str, Wish]]) -> None:
    if wishes:
        columns = zip(*((area, w.id, w.status, w.match_count, _barred(w)) for area, w in wishes), strict=True)
        _counted(await connection.execute(UPDATE_WISHES, *columns), len(wishes), "wishes")


async def _update_offers(connection: asyncpg.Connection, offers: list[tuple[str, Offer]], raw: RawData) -> None:
    if offers:
        columns = zip(
            *((area, o.id, o.status, o.status_at, o.capacity, o.capacity_max, o.live, raw.offers.get((area, o.id))) for area, o in offers),
            strict=True,
        )
        _counted(await connection.execute(UPDATE_OFFERS, *columns), len(offers), "offers")


async def _update_matches(connection: asyncpg.Connection, matches: list[tuple[str, Match]]) -> None:
    if matches:
        rows = ((a, m.wish.id, m.number, m.answered, m.approved, m.state, m.live, m.reason) for a, m in matches)
        _counted(await connection.execute(UPDATE_MATCHES, *zip(*rows, strict=True)), len(matches), "matches")


# ---- loading


class Loader:
    """Brings an area, or single things of it, from the database into memory, as they were when they were stored."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    def on(cls, connection: asyncpg.Connection) -> Self:
        """A loader that reads over this connection."""
        return cls(connection)

    async def load(self, area: Area) -> Area:
        """All of an area that can still change."""
        area.clock = await self._connection.fetchval(CLOCK_OF_AREA, area.name) or 0
        async for row in _in_turns(await self._connection.fetch(OFFERS_UNDER_WAY, area.name)):
            _put_offer(area, row)
        await self._put_wishes(area, await self._connection.fetch(WISHES_UNDER_WAY, area.name))
        return area

    async def bring(self, area: Area, wish_ids: set[str], offer_ids: set[str]) -> None:
        """What the events of a batch ask for and memory does not hold."""
        wish_ids = wish_ids - area.wishes.keys()
        offer_ids = offer_ids - area.offers.keys()
        if offer_ids:
            for row in await self._connection.fetch(OFFERS_BY_ID, area.name, list(offer_ids)):
                area.asked_offers.append(_put_offer(area, row))
        if wish_ids:
            area.asked_wishes += await self._put_wishes(area, await self._connection.fetch(WISHES_BY_ID, area.name, list(wish_ids)))
        unknown = [*(wish_ids - area.wishes.keys()), *(offer_ids - area.offers.keys())]
        if unknown:
            for row in await self._connection.fetch(EARLY_BY_ID, area.name, unknown):
                early = Early(row["at"], row["status"])
                (area.early_wishes if row["kind"] == WISH else area.early_offers)[row["subject"]] = early

    async def _put_wishes(self, area: Area, rows: list[asyncpg.Record]) -> list[Wish]:
        if not rows:
            return []
        by_id = {row["wish_id"]: _put_wish(area, row) async for row in _in_turns(rows)}
        async for row in _in_turns(await self._connection.fetch(STANDING_MATCHES, area.name, list(by_id))):
            _put_match(area, by_id[row["wish_id"]], row)
        for wish in by_id.values():
            if wish.status == OPEN or any(match.live for match in wish.matches.values()):
                area.watch_wish(wish)
                area.settle_wish(wish)
        area.touched_wishes.clear()
        return list(by_id.values())


async def _in_turns(rows: list[asyncpg.Record]) -> AsyncIterator[asyncpg.Record]:
    """The rows, with turns for others in between: a large area takes seconds to load, and heartbeats must not wait for it."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % _TURN_ROWS == 0:
            await asyncio.sleep(0)


def _put_wish(area: Area, row: asyncpg.Record) -> Wish:
    wish = Wish(WishSubmitted.model_validate_json(row["data"]), row["submitted_at"])
    wish.status = row["status"]
    wish.match_count = row["match_count"]
    wish.barred = set(orjson.loads(row["barred"])) if row["barred"] else set()
    wish.stored = True
    area.wishes[wish.id] = wish
    return wish


def _put_offer(area: Area, row: asyncpg.Record) -> Offer:
    data = OfferPosted.model_validate_json(row["data"])
    offer = Offer(data.offer_id)
    offer.fill(data, area.volunteer(data.volunteer_ref))
    offer.volunteer.offers[offer.id] = offer
    offer.status = row["status"]
    offer.status_at = row["status_at"]
    offer.stored = True
    area.offers[offer.id] = offer
    area.open_offer(offer)
    area.touched_offers.pop(offer.id, None)
    return offer


def _put_match(area: Area, wish: Wish, row: asyncpg.Record) -> None:
    offer = area.offers.get(row["offer_id"])
    if offer is None:
        # Its visit is over and the offer is gone; only who it was still counts.
        offer = Offer(row["offer_id"])
    match = Match(
        id=row["match_id"],
        number=row["number"],
        wish=wish,
        offer=offer,
        volunteer_ref=row["volunteer_ref"],
        start=row["starts_at"],
        end=row["ends_at"],
        rung=row["rung"],
        how=row["how"],
        answered=row["answered"],
        approved=row["approved"],
        expires_at=row["expires_at"],
        group_id=row["group_id"],
        group_size=row["group_size"],
        place=row["place"],
        state=row["state"],
        live=row["live"],
        reason=row["reason"],
        stored=True,
    )
    area.attach(match)
