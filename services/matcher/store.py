"""All SQL of schema `matching`, but for the function that stores a batch (migration 0003). Statements are named for what they do.

A batch asks once for what is stored and stores all that it changes in one call, so it costs two round trips whatever its size. Instants are microseconds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Self

import asyncpg
import orjson

from schemas.codec import Event
from schemas.offers import OfferPosted
from schemas.topics import LANE_TOPICS
from schemas.wishes import WishSubmitted
from services import sessions
from services.matcher.core.people import Volunteer
from services.matcher.core.state import OPEN, WEEK_US, WISH, Area, Early, Match, Offer, Wish

SCHEMA: Final = "matching"
_CURSORS: Final = tuple(f"{topic}_next" for topic in LANE_TOPICS)

# Every statement of a batch finds its rows by an index. The planner, which knows nothing yet of tables that grow this fast and
# guesses the length of arrays, would now and then read a whole table, or compile a plan for longer than it runs. And so one plan is as good as another.
INDEXES_ONLY: Final = {**sessions.INDEXES_ONLY, "plan_cache_mode": "force_generic_plan"}

CREATE_LANE: Final = "INSERT INTO matching.lanes (lane) VALUES ($1) ON CONFLICT DO NOTHING"
TAKE_LANE: Final = f"""
    UPDATE matching.lanes SET epoch = epoch + 1, owner = $2 WHERE lane = $1
    RETURNING epoch, seq, published, ticked, {", ".join(_CURSORS)}
"""
# Read a lane's topics again from there, and publish again what was decided since $3.
GO_BACK: Final = f"""
    UPDATE matching.lanes SET {", ".join(f"{cursor} = ${number}" for number, cursor in enumerate(_CURSORS, 4))},
        published = least(published, coalesce((SELECT seq FROM matching.journal WHERE lane = $1 AND at < $3 ORDER BY seq DESC LIMIT 1), 0))
    WHERE lane = $1 AND epoch = $2 RETURNING published
"""
# One statement over all lanes, for each statement of its own waits for the disk.
MARK_PUBLISHED: Final = """
    WITH told AS (SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS u(lane, epoch, published)),
        served AS (DELETE FROM matching.outbox o USING told WHERE o.lane = told.lane AND o.seq <= told.published)
    UPDATE matching.lanes l SET published = greatest(l.published, told.published) FROM told WHERE l.lane = told.lane AND l.epoch = told.epoch
"""
# Those in which time alone can change something: any other one is loaded when an event names it. Areas that somebody made up, by a bug, are there for ever,
# and to load each of them takes six round trips.
AREAS_OF_LANE: Final = """
    SELECT area FROM matching.areas a WHERE lane = $1 AND (round_at IS NOT NULL
        OR EXISTS (SELECT FROM matching.wishes w WHERE w.area = a.area AND w.status = 'open')
        OR EXISTS (SELECT FROM matching.offers o WHERE o.area = a.area AND o.status = 'open')
        OR EXISTS (SELECT FROM matching.matches m WHERE m.area = a.area AND m.live))
"""
ROUND_OF_AREA: Final = "SELECT round_at FROM matching.areas WHERE area = $1"
CLOCK_OF_AREA: Final = "SELECT clock FROM matching.areas WHERE area = $1"
_WISH_COLUMNS: Final = "wish_id, status, submitted_at, match_count, barred, invited, data"
# In two parts, each by an index of what is under way: with an OR between them all that there ever was is read.
WISHES_UNDER_WAY: Final = f"""
    SELECT {_WISH_COLUMNS} FROM matching.wishes WHERE area = $1 AND status = 'open'
    UNION ALL SELECT {_WISH_COLUMNS} FROM matching.wishes WHERE area = $1 AND status <> 'open'
        AND wish_id IN (SELECT wish_id FROM matching.matches WHERE area = $1 AND live)
"""
WISHES_BY_ID: Final = f"SELECT {_WISH_COLUMNS} FROM matching.wishes WHERE area = $1 AND wish_id = ANY($2)"
_OFFERS: Final = "SELECT offer_id, status, status_at, data FROM matching.offers JOIN matching.posts USING (area, offer_id)"
OFFERS_UNDER_WAY: Final = f"""
    {_OFFERS} WHERE area = $1 AND status = 'open'
    UNION ALL {_OFFERS} WHERE area = $1 AND status <> 'open'
        AND offer_id IN (SELECT offer_id FROM matching.matches WHERE area = $1 AND live)
"""
OFFERS_BY_ID: Final = f"{_OFFERS} WHERE area = $1 AND offer_id = ANY($2)"
STANDING_MATCHES: Final = """
    SELECT * FROM matching.matches WHERE area = $1 AND wish_id = ANY($2) AND state NOT IN ('released', 'unhelped') ORDER BY wish_id, number
"""
# Slots that are over count in the week of their volunteer's limit, whatever has become of the wish and the offer.
PAST_STARTS: Final = "SELECT volunteer_ref, starts_at FROM matching.matches WHERE area = $1 AND NOT live AND state <> 'released' AND starts_at > $2"
# Of a batch: the events that were taken in before, and the areas of which something that it names is stored. Most wishes are new, and then nothing
# needs to be brought.
STORED_BEFORE: Final = """
    SELECT j.source, j.event_id, NULL AS area FROM unnest($1::text[], $2::text[]) AS asked(source, event_id)
    JOIN matching.journal j ON j.source = asked.source AND j.event_id = asked.event_id AND j.outcome <> 'duplicate'
    UNION ALL SELECT NULL, NULL, w.area FROM unnest($3::text[], $4::text[]) AS a(area, id) JOIN matching.wishes w ON w.area = a.area AND w.wish_id = a.id
    UNION ALL SELECT NULL, NULL, e.area FROM unnest($3::text[], $4::text[]) AS a(area, id)
        JOIN matching.early e ON e.area = a.area AND e.kind = 'wish' AND e.subject = a.id
    UNION ALL SELECT NULL, NULL, o.area FROM unnest($5::text[], $6::text[]) AS a(area, id) JOIN matching.offers o ON o.area = a.area AND o.offer_id = a.id
    UNION ALL SELECT NULL, NULL, e.area FROM unnest($5::text[], $6::text[]) AS a(area, id)
        JOIN matching.early e ON e.area = a.area AND e.kind = 'offer' AND e.subject = a.id
    UNION ALL SELECT NULL, NULL, p.area FROM unnest($7::text[], $8::text[]) AS a(area, ref)
        JOIN matching.people p ON p.area = a.area AND p.volunteer_ref = a.ref
"""
# Where each of these events was taken in first.
JOURNALLED: Final = """
    SELECT j.source, j.event_id, j.lane, j.topic, j."offset" FROM unnest($1::text[], $2::text[]) AS asked(source, event_id)
    JOIN matching.journal j ON j.source = asked.source AND j.event_id = asked.event_id AND j.outcome <> 'duplicate'
"""
PEOPLE_BY_REF: Final = "SELECT volunteer_ref, asked, agreed, visits, last_at FROM matching.people WHERE area = $1 AND volunteer_ref = ANY($2)"
MET_BY_REF: Final = "SELECT volunteer_ref, resident_ref, times FROM matching.met WHERE area = $1 AND volunteer_ref = ANY($2)"
EARLY_BY_ID: Final = "SELECT kind, subject, at, status FROM matching.early WHERE area = $1 AND subject = ANY($2)"
STORE: Final = f"SELECT matching.store({', '.join(f'${number}' for number in range(1, 17))})"
UNPUBLISHED_DECISIONS: Final = """
    SELECT seq, area, decision FROM matching.journal WHERE lane = $1 AND seq > $2 AND decision <> '[]' ORDER BY seq
"""
UNPUBLISHED_OUTBOX: Final = """
    SELECT seq, topic, partition, key, header_names, header_values, value FROM matching.outbox WHERE lane = $1 AND seq > $2 ORDER BY seq
"""
CLOCK_RUNS_TO: Final = "SELECT runs_to FROM matching.clock"
CLOCK_PUBLISHING: Final = "SELECT publishing, ends FROM matching.clock"

_TURN_ROWS: Final = 200
_PERSON_BITS: Final = 52  # what a float8 holds exactly
_WRONG_COUNT: Final = "LM001"  # raised by matching.store: fewer rows changed than the batch says
_OWN_FAULTS: Final = frozenset({"wishes", "offers", "matches"})


class BrokenInvariant(Exception):
    """The database refused what the core decided: one of the promises would not hold. Nothing was stored."""


@lru_cache(maxsize=65_536)  # whoever is given a match has mostly had another
def person_number(area: str, volunteer_ref: str) -> float:
    """A person as a number, for the constraint on overlapping slots: 52 bits of a hash."""
    digest = blake2b(f"{area}/{volunteer_ref}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest) >> (64 - _PERSON_BITS))


class Changes:
    """What one batch changes, gathered over its areas and written at once. Rows have all columns of their table, in its order."""

    def __init__(self) -> None:
        self.journal: list[tuple[Any, ...]] = []
        self.outbox: list[tuple[Any, ...]] = []

    async def store(self, connection: asyncpg.Connection, fence: Sequence[tuple[Any, ...]], areas: Sequence[tuple[int, Area]], raw: "RawData") -> set[int]:
        """Store it all, or nothing if a lane of the fence has another epoch; the numbers of such lanes.

        `fence`: the lanes' rows as they are to be, with the epochs that they must have. It is one statement, and so a transaction of its own where the
        caller has none.

        Raises:
            BrokenInvariant: one of the promises would not hold.
            asyncpg.UniqueViolationError: an event was stored by someone else meanwhile.
        """
        wishes = [(area.name, wish) for _, area in areas for wish in area.touched_wishes.values()]
        offers = [(area.name, offer) for _, area in areas for offer in area.touched_offers.values()]
        matches = [(area.name, match) for _, area in areas for match in area.touched_matches.values()]
        early = [(area.name, key, early) for _, area in areas for key, early in area.touched_early.items()]
        changed_offers = [(area, offer) for area, offer in offers if offer.stored]
        rows: tuple[Sequence[Any], ...] = (
            fence,
            [(a, w.id, w.status, None, None, None, w.match_count, _barred(w), None, _invited(w)) for a, w in wishes if w.stored],
            [_match_row(a, m) for a, m in matches if m.stored],
            [_offer_row(a, o) for a, o in changed_offers],
            [offer.capacity_max for _, offer in changed_offers],
            [_wish_row(a, w, raw) for a, w in wishes if not w.stored],
            [_offer_row(a, o) for a, o in offers if not o.stored],
            [_match_row(a, m) for a, m in matches if not m.stored],
            [(*key, data) for key, data in raw.offers.items()],
            self.journal,
            self.outbox,
            [(area, *key, one.at, one.status) for area, key, one in early if one is not None],
            [(area, *key, None, None) for area, key, one in early if one is None],
            [(area.name, lane, area.clock, area.round_at) for lane, area in areas],
            [_person_row(area.name, person) for _, area in areas for person in area.touched_people.values()],
            [(area.name, *pair, times) for _, area in areas for pair, times in area.touched_met.items()],
        )
        try:
            lost = await connection.fetchval(STORE, *(part or None for part in rows))
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.ExclusionViolationError) as error:
            if error.table_name not in _OWN_FAULTS:
                raise
            raise BrokenInvariant(f"{error.table_name}: {error.constraint_name}") from error
        except asyncpg.PostgresError as error:
            if error.sqlstate != _WRONG_COUNT:
                raise
            raise BrokenInvariant(str(error)) from error
        return set(lost or ())


class RawData:
    """The JSON of the wishes and offers that came in this batch, as it came."""

    def __init__(self) -> None:
        self.wishes: dict[tuple[str, str], bytes] = {}
        self.offers: dict[tuple[str, str], bytes] = {}

    def keep(self, event: Event) -> None:
        """Keep the JSON of an event that is a wish (the first of its id stands) or an offer (the last that had an effect does)."""
        data = event.data
        if isinstance(data, WishSubmitted):
            self.wishes.setdefault((data.area, data.wish_id), event.raw)
        elif isinstance(data, OfferPosted):
            self.offers[data.area, data.offer_id] = event.raw


def _wish_row(area: str, wish: Wish, raw: RawData) -> tuple[Any, ...]:
    return (area, wish.id, wish.status, wish.submitted_at, wish.end, wish.need, wish.match_count, _barred(wish), raw.wishes[area, wish.id], _invited(wish))


def _barred(wish: Wish) -> str:
    return orjson.dumps(sorted(wish.barred)).decode() if wish.barred else ""


def _invited(wish: Wish) -> str:
    return orjson.dumps(wish.invited).decode() if wish.invited else ""


def _offer_row(area: str, offer: Offer) -> tuple[Any, ...]:
    return (area, offer.id, offer.status, offer.status_at, offer.capacity, offer.live)


def _match_row(area: str, match: Match) -> tuple[Any, ...]:
    return (
        area, match.wish.id, match.number, match.id, match.place, match.wish.need, match.offer.id, match.volunteer_ref,
        person_number(area, match.volunteer_ref), match.start, match.end, match.rung, match.how, match.answered,
        match.approved, match.expires_at, match.group_id, match.group_size, match.state, match.live, match.reason,
    )  # fmt: skip


def _person_row(area: str, person: Volunteer) -> tuple[Any, ...]:
    return (area, person.ref, person.asked, person.agreed, person.visits, person.last_at)


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
        if area.clock:
            async for row in _in_turns(await self._connection.fetch(PAST_STARTS, area.name, area.clock - WEEK_US)):
                area.note_past(row["volunteer_ref"], row["starts_at"])
        await self._recall(area, set(area.volunteers))
        area.set_round(await self._connection.fetchval(ROUND_OF_AREA, area.name))
        return area

    async def _recall(self, area: Area, refs: set[str]) -> None:
        """What is stored of these people; asked again, it is the same."""
        if not refs:
            return
        async for row in _in_turns(await self._connection.fetch(PEOPLE_BY_REF, area.name, list(refs))):
            area.recall(row["volunteer_ref"], asked=row["asked"], agreed=row["agreed"], visits=row["visits"], last_at=row["last_at"])
        async for row in _in_turns(await self._connection.fetch(MET_BY_REF, area.name, list(refs))):
            area.recall_met(row["volunteer_ref"], row["resident_ref"], row["times"])

    async def bring(self, area: Area, wish_ids: set[str], offer_ids: set[str], refs: Iterable[str] = ()) -> None:
        """What the events of a batch ask for and memory does not hold. `refs`: the people who post the offers among them."""
        people = {ref for ref in refs if ref not in area.volunteers}
        wish_ids = wish_ids - area.wishes.keys()
        offer_ids = offer_ids - area.offers.keys()
        if offer_ids:
            for row in await self._connection.fetch(OFFERS_BY_ID, area.name, list(offer_ids)):
                offer = _put_offer(area, row)
                area.asked_offers.append(offer)
                people.add(offer.volunteer.ref)
        if wish_ids:
            area.asked_wishes += await self._put_wishes(area, await self._connection.fetch(WISHES_BY_ID, area.name, list(wish_ids)))
        unknown = [*(wish_ids - area.wishes.keys()), *(offer_ids - area.offers.keys())]
        if unknown:
            for row in await self._connection.fetch(EARLY_BY_ID, area.name, unknown):
                early = Early(row["at"], row["status"])
                (area.early_wishes if row["kind"] == WISH else area.early_offers)[row["subject"]] = early
        await self._recall(area, people)

    async def _put_wishes(self, area: Area, rows: list[asyncpg.Record]) -> list[Wish]:
        if not rows:
            return []
        by_id = {row["wish_id"]: _put_wish(area, row) async for row in _in_turns(rows)}
        async for row in _in_turns(await self._connection.fetch(STANDING_MATCHES, area.name, list(by_id))):
            _put_match(area, by_id[row["wish_id"]], row)
        called = area.round_at
        for wish in by_id.values():
            if wish.status == OPEN or any(match.live for match in wish.matches.values()):
                area.watch_wish(wish)
                area.settle_wish(wish)
        area.set_round(called)  # that they wait is not news
        area.touched_wishes.clear()
        return list(by_id.values())


async def _in_turns(rows: list[asyncpg.Record]) -> AsyncIterator[asyncpg.Record]:
    """The rows, with turns for others in between: a large area takes seconds to load, and heartbeats must not wait for it."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % _TURN_ROWS == 0:
            await asyncio.sleep(0)


def _put_wish(area: Area, row: asyncpg.Record) -> Wish:
    wish = Wish(WishSubmitted.model_validate_json(row["data"]), row["submitted_at"], area.policy.proof_needed)
    wish.status = row["status"]
    wish.match_count = row["match_count"]
    wish.barred = set(orjson.loads(row["barred"])) if row["barred"] else set()
    wish.invited = orjson.loads(row["invited"]) if row["invited"] else {}
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
