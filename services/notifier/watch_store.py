"""SQL of what is watched, in schema `notifying`: visits whose time comes, and the centre households. `watching` and `neighbours` come in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.notifier.book import VISIT_KINDS, Notice
from services.notifier.store import packed_about
from services.notifier.watch import Watched

# Whoever has one in hand keeps it from the others, so that any process may look at any visit. What was said counts as for its end (`notifying.said`).
_HOLD_DUE = """
WITH due AS (
    (SELECT match_id FROM notifying.visits WHERE watch_at_us <= $1 AND ($3::int[] IS NULL OR partition = ANY($3)) ORDER BY watch_at_us LIMIT $2)
    UNION (SELECT match_id FROM notifying.visits
        WHERE number > 0 AND watch_at_us IS NOT NULL AND ($3::int[] IS NULL OR partition = ANY($3)) LIMIT $2)
), held AS (
    SELECT v.* FROM notifying.visits v JOIN due USING (match_id) ORDER BY v.match_id FOR UPDATE OF v SKIP LOCKED
)
SELECT v.match_id, v.wish_id, v.offer_id, v.area, v.volunteer_ref, v.starts_at_us, v.ends_at_us, v.number, v.watched_us,
    c.partition, c.resident_ref, c.category, c.rung, c.urgency, c.slot_start, c.slot_end, c.state = 'confirmed' AS confirmed,
    coalesce(said.started, false) AS started, coalesce(said.finished, false) AS finished, coalesce(said.acknowledged, false) AS acknowledged,
    (SELECT h.volunteer_ref FROM notifying.wish_places p JOIN notifying.households h USING (area, place)
        WHERE p.area = v.area AND p.wish_id = v.wish_id AND h.open AND h.volunteer_ref NOT IN (v.volunteer_ref, c.resident_ref)
        ORDER BY h.offer_id LIMIT 1) AS household
FROM held v JOIN notifying.confirmations c USING (match_id)
CROSS JOIN LATERAL (
    SELECT bool_or(r.kind = 'started') AS started, bool_or(r.kind = 'finished') AS finished, bool_or(r.kind = 'acknowledged') AS acknowledged
    FROM notifying.said r WHERE r.match_id = v.match_id
) said
"""
# The match's row is looked at under a lock: a release that comes at the same moment waits, and then takes back what is written here.
_SAY = """
WITH standing AS (
    SELECT match_id FROM notifying.confirmations WHERE match_id = ANY($2::text[]) AND state = 'confirmed' ORDER BY match_id FOR SHARE
)
INSERT INTO notifying.notices (key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, offer_id, about, due_at)
SELECT n.key, n.match_id, n.wish_id, n.partition, n.area, n.party, n.kind, n.ref, n.language, n.text, 'pending', n.offer_id, n.about, clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::text[]) n(key, match_id, wish_id, partition, area, party, kind, ref, language, text, offer_id, about) JOIN standing USING (match_id)
ON CONFLICT (key) DO NOTHING
"""
_LOOKED = """
UPDATE notifying.visits v SET watched_us = $3, watch_at_us = l.next_us FROM unnest($1::text[], $2::bigint[]) l(match_id, next_us)
WHERE v.match_id = l.match_id
"""
_TAKE_BACK = """
UPDATE notifying.notices SET state = 'discarded' WHERE match_id = ANY($1::text[]) AND kind = ANY($2::text[]) AND state IN ('pending', 'retryable')
"""
_POSTPONE = "UPDATE notifying.visits SET watch_at_us = $2 WHERE match_id = $1"
# A later word counts: a repeat or an older one changes nothing.
_POST_HOUSEHOLDS = """
INSERT INTO notifying.households AS known (area, offer_id, volunteer_ref, place, open, at_us)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[])
ON CONFLICT (area, offer_id) DO UPDATE SET volunteer_ref = excluded.volunteer_ref, place = excluded.place, open = excluded.open, at_us = excluded.at_us
WHERE known.at_us <= excluded.at_us
"""
_KNOWN_HOUSEHOLDS = """
SELECT area, offer_id FROM unnest($1::text[], $2::text[]) named(area, offer_id) JOIN notifying.households USING (area, offer_id)
"""
_CLOSE_HOUSEHOLDS = """
UPDATE notifying.households h SET open = false, at_us = c.at_us FROM unnest($1::text[], $2::text[], $3::bigint[]) c(area, offer_id, at_us)
WHERE h.area = c.area AND h.offer_id = c.offer_id AND h.at_us <= c.at_us
"""
# The first wish of an id stands, as in the matcher.
_PLACE_WISHES = """
INSERT INTO notifying.wish_places (area, wish_id, place, ends_at_us) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
ON CONFLICT DO NOTHING
"""
_FORGET_WISHES = "DELETE FROM notifying.wish_places WHERE ends_at_us < $1"
# Of a day that is over nobody asks how much people were told. It has no index of its own: what is kept is a month's.
_FORGET_TOLD = "DELETE FROM notifying.told WHERE day < to_timestamp($1::bigint / 1000000)::date"


@dataclass(frozen=True, slots=True)
class Looked:
    """A visit that was looked at, with what a notice needs to know."""

    match_id: str
    wish_id: str
    offer_id: str
    area: str
    partition: int
    volunteer_ref: str
    resident_ref: str
    category: str | None
    rung: str
    slot: tuple[str, str]
    watched: Watched


@dataclass(frozen=True, slots=True)
class Household:
    """An offer of a centre household; one that is not `open` looks after nobody."""

    area: str
    offer_id: str
    volunteer_ref: str
    place: str
    open: bool
    at: int


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


class WatchUnit:
    """One transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def hold_due(self, now: int, limit: int, lanes: Sequence[int] | None) -> list[Looked]:
        """Visits of these lanes that are to be looked at by `now` (microseconds), and those that have come to their end, kept from other processes."""
        return [
            Looked(
                row["match_id"],
                row["wish_id"],
                row["offer_id"],
                row["area"],
                row["partition"],
                row["volunteer_ref"],
                row["resident_ref"],
                row["category"],
                row["rung"],
                (row["slot_start"], row["slot_end"]),
                Watched(
                    row["starts_at_us"],
                    row["ends_at_us"],
                    row["urgency"],
                    row["confirmed"] and row["number"] == 0,
                    row["started"],
                    row["finished"],
                    row["acknowledged"],
                    row["household"],
                    row["watched_us"],
                ),
            )
            for row in await self._connection.fetch(_HOLD_DUE, now, limit, lanes)
        ]

    async def say(self, notices: Iterable[Notice]) -> None:
        """Write notices of matches that stand; one whose key is known stays as it is."""
        rows = [
            (n.key, n.match_id, n.wish_id, n.partition, n.area, n.party, n.kind, n.ref, n.language, n.text, n.offer_id, packed_about(n.about)) for n in notices
        ]
        if rows:
            await self._connection.execute(_SAY, *_columns(rows))

    async def looked(self, nexts: Sequence[tuple[str, int | None]], now: int) -> None:
        """(match, when to look again): nothing more is waited for where it is None, and nothing that waits is said."""
        if nexts:
            await self._connection.execute(_LOOKED, *_columns(nexts), now)

    async def take_back(self, match_ids: Sequence[str]) -> None:
        """These visits are over: what was still to be said of them is not."""
        if match_ids:
            await self._connection.execute(_TAKE_BACK, match_ids, VISIT_KINDS)

    async def postpone(self, match_id: str, until: int) -> None:
        """Look at a visit later."""
        await self._connection.execute(_POSTPONE, match_id, until)

    async def post_households(self, households: Sequence[Household]) -> None:
        """Insert or replace offers of centre households."""
        if households:
            await self._connection.execute(_POST_HOUSEHOLDS, *_columns([(h.area, h.offer_id, h.volunteer_ref, h.place, h.open, h.at) for h in households]))

    async def known_households(self, offers: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these offers, as (area, offer), that are or once were a centre household's."""
        return {(row["area"], row["offer_id"]) for row in await self._connection.fetch(_KNOWN_HOUSEHOLDS, *_columns(sorted(offers)))}

    async def close_households(self, offers: Sequence[tuple[str, str, int]]) -> None:
        """(area, offer, when): these look after nobody any more."""
        if offers:
            await self._connection.execute(_CLOSE_HOUSEHOLDS, *_columns(offers))

    async def place_wishes(self, wishes: Sequence[tuple[str, str, str, int]]) -> None:
        """(area, wish, place, end of its window): in which stairway wishes are."""
        if wishes:
            await self._connection.execute(_PLACE_WISHES, *_columns(wishes))

    async def forget_wishes(self, before: int) -> None:
        """Forget the places of wishes that ended before then."""
        await self._connection.execute(_FORGET_WISHES, before)

    async def forget_told(self, before: int) -> None:
        """Forget how many notices people got on days before then."""
        await self._connection.execute(_FORGET_TOLD, before)
