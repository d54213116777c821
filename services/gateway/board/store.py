"""All SQL of the board's writer. One connection, which holds the lock that makes it the only one; one transaction a batch.

The lock belongs to the session: a writer that has lost its connection has lost the lock, and what it had not committed is undone.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import orjson

from schemas.topics import TOPICS
from services.gateway.board.projection import Book, place_line
from services.gateway.board.rows import DeadLetter, Invitation, Match, News, Offer, Report, Wish

CHANNEL: Final = "lastmetre_board"
"""Told with the last `seq` of each batch."""
_LOCK: Final = 7_316_014
_KEYS: Final[Mapping[type[Any], tuple[str, tuple[str, ...]]]] = {
    Wish: ("wishes", ("area", "wish_id")),
    Match: ("matches", ("area", "match_id")),
    Report: ("reports", ("area", "wish_id", "offer_id", "kind", "match_id")),
    Invitation: ("invitations", ("area", "wish_id", "offer_id")),
    Offer: ("offers", ("area", "offer_id")),
}
_PROJECTED: Final = ", ".join(f"gateway.{table}" for table, _ in _KEYS.values())
_OF_WISH: Final = "SELECT {columns} FROM gateway.{table} r JOIN unnest($1::text[], $2::text[]) k (area, id) ON r.area = k.area AND r.{by} = k.id"
_SEEN: Final = "SELECT event_key FROM gateway.taken WHERE event_key = ANY($1::uuid[])"
_TAKE: Final = "INSERT INTO gateway.taken (event_key) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"
_ADVANCE: Final = """
    INSERT INTO gateway.cursors (topic, partition, next_offset) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = greatest(cursors.next_offset, excluded.next_offset)
"""
_GO_BACK: Final = """
    UPDATE gateway.cursors c SET next_offset = back.next_offset FROM unnest($1::text[], $2::int[], $3::bigint[]) back (topic, partition, next_offset)
    WHERE c.topic = back.topic AND c.partition = back.partition
"""
_BURIED: Final = "SELECT position, at FROM gateway.dead_letters WHERE topic = $1 AND partition = $2 AND position = ANY($3::bigint[])"
_TELL: Final = """
    INSERT INTO gateway.stream (event_key, seq, at, received_at, area, community, compound, building, kind, subject, wish_id, match_id, offer_id,
        volunteer_ref, resident_ref, brief)
    SELECT n.event_key, CASE WHEN n.placed THEN nextval('gateway.stream_seq') END, n.at, n.received_at, n.area, n.community, n.compound, n.building,
        n.kind, n.subject, n.wish_id, n.match_id, n.offer_id, n.volunteer_ref, n.resident_ref, n.brief
    FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (
        event_key uuid, placed boolean, at timestamptz, received_at timestamptz, area text, community text, compound text, building text, kind text,
        subject text, wish_id text, match_id text, offer_id text, volunteer_ref text, resident_ref text, brief jsonb
    )) WITH ORDINALITY AS n (event_key, placed, at, received_at, area, community, compound, building, kind, subject, wish_id, match_id, offer_id,
        volunteer_ref, resident_ref, brief, number)
    WHERE NOT EXISTS (SELECT FROM gateway.stream s WHERE s.event_key = n.event_key) AND n.received_at >= clock_timestamp() - make_interval(days => $2)
    ORDER BY n.number
"""
_WAITING: Final = """
    SELECT event_key, at, received_at, s.area, kind, subject, s.wish_id, match_id, offer_id, volunteer_ref, resident_ref, brief
    FROM gateway.stream s JOIN unnest($1::text[], $2::text[]) k (area, wish_id) ON s.area = k.area AND s.wish_id = k.wish_id
    WHERE s.seq IS NULL ORDER BY at, event_key
"""
_UNWAIT: Final = "DELETE FROM gateway.stream WHERE event_key = ANY($1::uuid[])"
_BURY: Final = """
    INSERT INTO gateway.dead_letters (topic, partition, position, at, reason, message, origin, area, community, kind, key, headers, value)
    SELECT d.* FROM jsonb_to_recordset($1::jsonb) AS d (topic text, partition int, position bigint, at timestamptz, reason text, message text, origin text,
        area text, community text, kind text, key text, headers jsonb, value text)
    ON CONFLICT DO NOTHING
"""
# What the topics still hold whole is taken away and told anew. What is older stays, for they have dropped it, or will before they are read again.
_TOLD_ANEW_DAYS: Final = min(topic.retention_days for topic in TOPICS) - 1
_OLD: Final = "SELECT FROM gateway.wishes w WHERE w.area = r.area AND w.wish_id = r.wish_id AND w.received_at < $1"
_EMPTY: Final = (
    *(f"DELETE FROM gateway.{table} r WHERE NOT EXISTS ({_OLD})" for table in ("matches", "reports", "invitations", "wishes")),
    "DELETE FROM gateway.offers WHERE posted_at IS NULL OR posted_at >= $1",
)
_BEGIN_ANEW: Final = """
    UPDATE gateway.reader SET generation = generation + 1, begins_at = clock_timestamp() - make_interval(days => $1) RETURNING begins_at
"""
_PRUNE: Final = (
    "DELETE FROM gateway.stream WHERE stored_at < clock_timestamp() - make_interval(days => $1)",
    "DELETE FROM gateway.taken WHERE stored_at < clock_timestamp() - make_interval(days => $1)",
)


def _places(cursors: Mapping[tuple[str, int], int]) -> tuple[list[str], list[int]]:
    return [topic for topic, _ in cursors], [partition for _, partition in cursors]


def _columns(kind: type[Any], alias: str = "") -> str:
    return ", ".join(f"{alias}{field.name}" for field in fields(kind))


def _upsert(kind: type[Any]) -> str:
    """Write rows of one table from a JSON array: whole rows, for a row that changed is known in whole."""
    table, key = _KEYS[kind]
    names = [field.name for field in fields(kind)]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return (
        f"INSERT INTO gateway.{table} ({', '.join(names)}) SELECT {', '.join(names)} FROM jsonb_populate_recordset(NULL::gateway.{table}, $1::jsonb) "
        f"ORDER BY {', '.join(key)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


_UPSERTS: Final = {kind: _upsert(kind) for kind in _KEYS}
_READS: Final = {
    kind: _OF_WISH.format(columns=_columns(kind, "r."), table=table, by="offer_id" if kind is Offer else "wish_id") for kind, (table, _) in _KEYS.items()
}


class Stale(Exception):
    """The board was rebuilt, or somebody else writes it: begin anew from the cursors."""


async def set_codecs(connection: asyncpg.Connection) -> None:
    """Read and write jsonb as Python values; rows go as they are, as orjson knows dataclasses (`asdict` copies all that is in them: a quarter of ingest)."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_json, decoder=orjson.loads)


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_as_text).decode()


def _as_text(value: Any) -> str:
    """An id that was read from PostgreSQL: asyncpg's own kind of UUID, which orjson does not take for one."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError


def parsed(value: Any) -> Any:
    """A jsonb value, whether or not its connection has the codec."""
    return orjson.loads(value) if isinstance(value, str) else value


class Writer:
    """The board's one writer, for as long as its connection lasts."""

    def __init__(
        self, connection: asyncpg.Connection, generation: int, cursors: dict[tuple[str, int], int], *, begins_at: datetime | None, stream_days: int
    ) -> None:
        """`begins_at`: from when on the topics are read where there is no cursor; all of them where it is None. See `take` for `stream_days`."""
        self._connection = connection
        self._generation = generation
        self._stream_days = stream_days
        self.cursors = cursors
        self.begins_at = begins_at

    @classmethod
    async def take(cls, connection: asyncpg.Connection, stream_days: int) -> Self | None:
        """Become the writer, or None while another is it.

        `stream_days`: how long lines of the stream are kept; what came before that, as a rebuild reads it, is no news.
        """
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            return None
        async with connection.transaction(isolation="repeatable_read"):
            reader = await connection.fetchrow("SELECT generation, begins_at FROM gateway.reader")
            rows = await connection.fetch("SELECT topic, partition, next_offset FROM gateway.cursors")
        assert reader is not None
        cursors = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return cls(connection, reader["generation"], cursors, begins_at=reader["begins_at"], stream_days=stream_days)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[None]:
        """One transaction, only if the board was not rebuilt meanwhile.

        Raises:
            Stale: it was.
        """
        async with self._connection.transaction():
            if await self._connection.fetchval("SELECT generation FROM gateway.reader FOR UPDATE") != self._generation:
                raise Stale
            yield
            await self._connection.execute("UPDATE gateway.reader SET wrote_at = clock_timestamp()")

    async def known(self, event_keys: Sequence[UUID], letters: Sequence[DeadLetter]) -> tuple[set[UUID], dict[int, datetime]]:
        """Which of these events were taken; and, by their positions, the times of the dead letters of one partition that lie where these do."""
        taken = {row["event_key"] for row in await self._connection.fetch(_SEEN, event_keys)}
        if not letters:
            return taken, {}
        rows = await self._connection.fetch(_BURIED, letters[0].topic, letters[0].partition, [letter.position for letter in letters])
        return taken, {row["position"]: row["at"] for row in rows}

    async def go_back(self, cursors: Mapping[tuple[str, int], int]) -> None:
        """Read again from there."""
        async with self.batch():
            await self._connection.execute(_GO_BACK, *_places(cursors), list(cursors.values()))
        self.cursors.update(cursors)

    async def check(self) -> None:
        """See that the board was not rebuilt, where there is nothing to write.

        Raises:
            Stale: it was.
        """
        if await self._connection.fetchval("SELECT generation FROM gateway.reader") != self._generation:
            raise Stale

    async def read(self, wish_keys: Iterable[tuple[str, str]], offer_keys: Iterable[tuple[str, str]], event_keys: Sequence[UUID]) -> Book:
        """The rows of these wishes and offers, and which of these events were taken before."""
        book = Book()
        wishes, offers = list(wish_keys), list(offer_keys)
        if wishes:
            areas, ids = [area for area, _ in wishes], [wish_id for _, wish_id in wishes]
            book.know(
                [Wish(**row) for row in await self._connection.fetch(_READS[Wish], areas, ids)],
                [Match(**row) for row in await self._connection.fetch(_READS[Match], areas, ids)],
                [Report(**row) for row in await self._connection.fetch(_READS[Report], areas, ids)],
                [Invitation(**row) for row in await self._connection.fetch(_READS[Invitation], areas, ids)],
            )
        if offers:
            rows = await self._connection.fetch(_READS[Offer], [area for area, _ in offers], [offer_id for _, offer_id in offers])
            book.know(offers=[Offer(**row) for row in rows])
        book.seen.update(row["event_key"] for row in await self._connection.fetch(_SEEN, event_keys))
        return book

    async def write(self, book: Book, cursors: Mapping[tuple[str, int], int]) -> None:
        """All that a batch has come to."""
        if book.taken:
            await self._connection.execute(_TAKE, book.taken)
        touched = sorted(book.touched)
        await self._upsert(Wish, [book.wishes[key] for key in touched if key in book.wishes])
        await self._upsert(Match, [match for key in touched for match in book.matches[key].values()])
        await self._upsert(Report, [report for key in touched for report in book.reports[key].values()])
        await self._upsert(Invitation, [one for key in touched for one in book.invitations[key].values()])
        await self._upsert(Offer, [book.offers[key] for key in sorted(book.touched_offers)])
        news = [*await self._no_longer_waiting(book), *book.news]
        if news:
            await self._connection.execute(_TELL, news, self._stream_days)
        if book.dead:
            await self._connection.execute(_BURY, book.dead)
        await self._connection.execute(_ADVANCE, *_places(cursors), list(cursors.values()))
        await self._connection.execute(f"NOTIFY {CHANNEL}")

    async def prune(self, taken_days: int) -> None:
        """Forget old lines of the stream, and old repeats."""
        for statement, days in zip(_PRUNE, (self._stream_days, taken_days), strict=True):
            await self._connection.execute(statement, days)

    async def _upsert(self, kind: type[Any], rows: Sequence[Any]) -> None:
        if rows:
            await self._connection.execute(_UPSERTS[kind], rows)

    async def _no_longer_waiting(self, book: Book) -> list[News]:
        """Lines that were told before their wish was known; they come into the stream now."""
        placed = sorted(book.placed)
        if not placed:
            return []
        rows = await self._connection.fetch(_WAITING, [area for area, _ in placed], [wish_id for _, wish_id in placed])
        lines = [News(**row) for row in rows]
        for line in lines:
            place_line(line, book.wishes[line.area, line.wish_id or ""])
        if lines:
            await self._connection.execute(_UNWAIT, [line.event_key for line in lines])
        return lines


async def rebuild(connection: asyncpg.Connection) -> None:
    """Empty the projection of what the topics still hold, and set its reader back to where they tell it; a running reader notices.

    The stream, drafts and what was done to dead letters stay; so does what is older than what the topics keep, as nobody tells it again.
    """
    async with connection.transaction():
        begins_at = await connection.fetchval(_BEGIN_ANEW, _TOLD_ANEW_DAYS)
        for statement in _EMPTY:
            await connection.execute(statement, begins_at)
        for table in ("taken", "cursors"):
            await connection.execute(f"DELETE FROM gateway.{table}")


async def behind(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> datetime | None:
    """When the board was written last."""
    found: datetime | None = await connection.fetchval("SELECT wrote_at FROM gateway.reader")
    return found
