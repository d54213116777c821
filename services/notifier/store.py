"""All SQL of schema `notifying`; each statement is a verb. `inbox`, `delivery` and `outbox` come in through a `Unit`, one transaction.

A unit begins with `fence`: it locks the rows of its partitions, and tells which of them are still ours. What is written for another one
would be a zombie's work, so callers leave those out.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from operator import attrgetter
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import orjson

from services.links.store import supersede
from services.notifier import failpoints, vault_news
from services.notifier.book import VISIT_KINDS, About, CalledOff, Match, Need, Notice
from services.notifier.notices import Language
from services.notifier.outgoing import Outgoing, outgoing, packed
from services.notifier.receipts_store import ReceiptsUnit
from services.notifier.usual_store import UsualUnit
from services.sessions import INDEXES_ONLY, end_frozen, keep_session
from services.vault.ladder import Stage

CONNECTIONS_MAX: Final = 4
CONNECT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 15.0
# A process that is frozen in the middle of a transaction must not hold its partitions' locks for longer.
_IDLE_IN_TRANSACTION: Final = "5s"
_TRANSACTION_SECONDS: Final = 40

_TAKE_OVER = """
INSERT INTO notifying.partitions AS known (partition, epoch, next_offset) VALUES ($1, 1, 0)
ON CONFLICT (partition) DO UPDATE SET epoch = known.epoch + 1, changed_at = now()
RETURNING epoch, next_offset
"""
_GO_BACK = "UPDATE notifying.partitions SET next_offset = $3, changed_at = now() WHERE partition = $1 AND epoch = $2"
_READ_NOTED = "SELECT event_id FROM notifying.inbox WHERE source = $1 AND event_id = ANY($2::text[])"
_FREE_LEASES = """
UPDATE notifying.notices SET state = 'pending', due_at = clock_timestamp(), fault = 'interrupted' WHERE partition = $1 AND state = 'leased'
"""
_READ_CLOCKS = "SELECT area, clock_us FROM notifying.areas WHERE partition = $1"
_READ_UNPUBLISHED = """
SELECT id, partition, topic, key, headers, value FROM notifying.outbox
WHERE partition = $1 AND published_at IS NULL ORDER BY place
"""
_FENCE = """
SELECT partition, epoch, next_offset FROM notifying.partitions WHERE partition = ANY($1::int[]) ORDER BY partition FOR UPDATE
"""
# With the offsets that they bring, so that it is one statement less for which everybody in the batch waits.
_NOTE_EVENTS = """
WITH advanced AS (
    UPDATE notifying.partitions p SET next_offset = c.next_offset, changed_at = now()
    FROM unnest($3::int[], $4::bigint[]) c(partition, next_offset) WHERE p.partition = c.partition
), noted AS (
    INSERT INTO notifying.inbox (source, event_id) SELECT $1, * FROM unnest($2::text[]) ON CONFLICT DO NOTHING RETURNING event_id
)
SELECT array_agg(event_id) FROM noted
"""
_MATCH_COLUMNS = """
m.match_id, m.wish_id, m.offer_id, m.area, m.partition, m.resident_ref, m.volunteer_ref, m.category, m.rung, m.slot_start, m.slot_end,
m.group_id, m.group_size, m.state, m.released_for, m.urgency
"""
_MATCH_WIDTH: Final = 16
_MATCH_FIELDS: Final = (
    *("match_id", "wish_id", "offer_id", "area", "partition", "resident_ref", "volunteer_ref", "category", "rung"),
    *("slot", "group_id", "group_size", "state", "released_for", "urgency"),
)
_plain_fields: Final = attrgetter(*_MATCH_FIELDS[:9])
_NOTICE_COLUMNS = """
n.key, n.party, n.kind, n.ref, n.language, n.text, n.state AS notice_state, n.attempts, n.channel, n.sent_at, n.fault, n.tried,
n.offer_id AS asked_offer_id, n.answer_by, n.about, n.need
"""
_READ_MATCHES = f"""
WITH named AS (
    SELECT match_id, group_id FROM notifying.confirmations WHERE match_id = ANY($1::text[])
), meant AS (
    SELECT match_id FROM named
    UNION SELECT c.match_id FROM notifying.confirmations c JOIN named ON c.group_id = named.group_id
    UNION SELECT match_id FROM notifying.confirmations WHERE group_id = ANY($2::text[])
    UNION SELECT match_id FROM notifying.confirmations WHERE wish_id = ANY($3::text[])
)
SELECT {_MATCH_COLUMNS}, {_NOTICE_COLUMNS}
FROM meant JOIN notifying.confirmations m USING (match_id) LEFT JOIN notifying.notices n USING (match_id)
ORDER BY m.match_id
"""  # noqa: S608 - columns are constants of this module
_WRITE_MATCHES = """
INSERT INTO notifying.confirmations AS known (match_id, wish_id, offer_id, area, partition, resident_ref, volunteer_ref, category, rung,
    slot_start, slot_end, group_id, group_size, state, released_for, organisation, urgency, minor)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::int[], $14::text[], $15::text[], $16::text[], $17::text[], $18::boolean[])
ON CONFLICT (match_id) DO UPDATE SET state = excluded.state, released_for = excluded.released_for, changed_at = now()
"""
_CHANGE_MATCHES = """
UPDATE notifying.confirmations m SET state = c.state, released_for = c.released_for, changed_at = now()
FROM unnest($1::text[], $2::text[], $3::text[]) c(match_id, state, released_for) WHERE m.match_id = c.match_id
"""
_WRITE_NOTICES = """
INSERT INTO notifying.notices (key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, offer_id, answer_by, about, need, due_at)
SELECT key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, offer_id, answer_by, about, need,
    clock_timestamp() + CASE state WHEN 'leased' THEN make_interval(secs => $16) ELSE interval '0' END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
    new(key, match_id, wish_id, partition, area, party, kind, ref, language, text, state, offer_id, answer_by, about, need)
ON CONFLICT (key) DO NOTHING
"""
_READ_KNOWN = "SELECT key FROM notifying.notices WHERE key = ANY($1::uuid[])"
_CHANGE_NOTICES = """
UPDATE notifying.notices n SET state = c.state, attempts = c.attempts, channel = c.channel, sent_at = c.sent_at, fault = c.fault,
    due_at = clock_timestamp() + make_interval(secs => c.seconds), tried = c.tried
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::text[])
    c(key, state, attempts, channel, sent_at, fault, seconds, tried)
WHERE n.key = c.key AND n.state NOT IN ('sent', 'discarded', 'dead') RETURNING n.key
"""  # "not in": said the other way, the planner takes the index of what is under way, which is full of dead entries
# "statement_timestamp": the clock itself moves while a statement runs, so no index can be asked for what lies before it, and all that waits would be read.
_LEASE_DUE = f"""
WITH due AS (
    SELECT n.key FROM notifying.notices n
    JOIN unnest($1::int[], $2::bigint[]) mine(partition, epoch) ON mine.partition = n.partition
    JOIN notifying.partitions p ON p.partition = mine.partition AND p.epoch = mine.epoch
    WHERE n.state IN ('pending', 'leased', 'retryable') AND n.due_at <= statement_timestamp()
    ORDER BY n.due_at LIMIT $3 FOR UPDATE OF n SKIP LOCKED
), taken AS (
    UPDATE notifying.notices n SET state = 'leased', due_at = clock_timestamp() + make_interval(secs => $4),
        fault = CASE n.state WHEN 'leased' THEN 'interrupted' ELSE n.fault END
    FROM due WHERE n.key = due.key RETURNING n.*
)
SELECT n.match_id, n.wish_id, n.partition, n.area, {_NOTICE_COLUMNS}, m.slot_start, m.slot_end, m.category, m.rung, m.urgency, m.released_for,
    m.offer_id, n.kind = 'confirmed' AND n.party = 'resident' AND EXISTS (
        SELECT FROM notifying.notices h WHERE h.match_id = n.match_id AND h.kind = 'confirmed' AND h.party = 'volunteer' AND h.state = 'sent') AS helper_told
FROM taken n LEFT JOIN notifying.confirmations m USING (match_id)
"""  # noqa: S608 - columns are constants of this module
_NEXT_DUE = """
SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM notifying.notices
WHERE partition = ANY($1::int[]) AND state IN ('pending', 'leased', 'retryable')
"""
_WRITE_OUTBOX = """
INSERT INTO notifying.outbox (id, partition, topic, key, headers, value)
SELECT id, partition, topic, key, headers, value
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[])
    WITH ORDINALITY new(id, partition, topic, key, headers, value, n) ORDER BY n
ON CONFLICT (id) DO NOTHING
"""
_FORGET_PUBLISHED = "DELETE FROM notifying.outbox WHERE id = ANY($1::uuid[])"
_WRITE_CLOCKS = """
INSERT INTO notifying.areas AS known (area, partition, clock_us) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
ON CONFLICT (area) DO UPDATE SET clock_us = excluded.clock_us WHERE known.clock_us < excluded.clock_us
"""
# What waits to be said about visits that no longer are. Whoever says such a thing looks at the match's row first, under a lock.
_TAKE_BACK = """
UPDATE notifying.notices SET state = 'discarded' WHERE match_id = ANY($1::text[]) AND kind = ANY($2::text[]) AND state IN ('pending', 'retryable')
"""
_NOTE_CALLED_OFF = """
UPDATE notifying.confirmations m SET called_off_at_us = c.at_us, called_off_late = c.late
FROM unnest($1::text[], $2::bigint[], $3::boolean[]) c(match_id, at_us, late) WHERE m.match_id = c.match_id
"""
_PUT_IN_APP = """
INSERT INTO notifying.app_inbox AS known (key, ref, kind, text, texts) VALUES ($1, $2, $3, $4, $5::jsonb)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING read_at IS NOT NULL AS read, extract(epoch FROM clock_timestamp() - at)::float8 AS seconds
"""
_COUNT_TOLD = """
INSERT INTO notifying.told AS known (ref, day, notices) SELECT * FROM unnest($1::text[], $2::date[], $3::int[])
ON CONFLICT (ref, day) DO UPDATE SET notices = known.notices + excluded.notices
"""
_READ_TOLD = "SELECT ref, notices FROM notifying.told WHERE ref = ANY($1::text[]) AND day = $2"
_HAS_RECEIPTS = """
SELECT EXISTS (SELECT FROM notifying.receipts WHERE (outcome IS NULL OR outcome = 'unknown') AND look_at <= statement_timestamp())
"""
_LOCK_NOTICES = f"""
SELECT n.match_id, n.wish_id, n.partition, n.area, {_NOTICE_COLUMNS}, NULL AS slot_start, NULL AS slot_end, NULL AS category, NULL AS rung, NULL AS urgency,
    NULL AS released_for
FROM notifying.notices n WHERE n.key = ANY($1::uuid[]) ORDER BY n.key FOR UPDATE
"""  # noqa: S608 - columns are constants of this module
_COUNT_BACKLOG = """
SELECT (SELECT count(*) FROM notifying.outbox WHERE published_at IS NULL) AS outbox,
    (SELECT count(*) FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable')) AS notices
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a partition's new owner must know."""

    epoch: int
    next_offset: int
    clocks: dict[str, int]
    unpublished: list[Outgoing]


def _notice(row: Any) -> Notice:
    slot = None if row["match_id"] is None else (row["slot_start"], row["slot_end"])
    return Notice(
        row["key"],
        row["match_id"],
        row["wish_id"],
        row["partition"],
        row["area"],
        row["party"],
        row["kind"],
        row["ref"],
        row["language"],
        row["text"],
        slot,
        row["notice_state"],
        row["attempts"],
        row["channel"],
        row["sent_at"],
        row["fault"],
        tried=row["tried"],
        category=row["category"],
        rung=row["rung"],
        urgency=row["urgency"],
        reason=row["released_for"],
        offer_id=row["asked_offer_id"] or row["offer_id"],
        answer_by=row["answer_by"],
        about=None if row["about"] is None else _about(row["about"]),
        need=None if row["need"] is None else _need(row["need"]),
    )


def packed_about(about: About | None) -> str | None:
    """As a notice's row keeps it."""
    return None if about is None else orjson.dumps((about.category, about.rung, about.slot)).decode()


def _about(text: str) -> About:
    category, rung, slot = orjson.loads(text)
    return About(category, rung, None if slot is None else tuple(slot))


def _need(text: str) -> Need:
    rung, skills, vetting = orjson.loads(text)
    return Need(rung, tuple(skills), vetting)


def _matches(rows: Iterable[asyncpg.Record]) -> list[Match]:
    """One match a run of rows, with a notice from each row that has one."""
    found: list[Match] = []
    for row in rows:
        if not found or found[-1].match_id != row["match_id"]:
            values = row[:_MATCH_WIDTH]
            found.append(Match(**dict(zip(_MATCH_FIELDS, (*values[:9], (values[9], values[10]), *values[11:]), strict=True))))
        if row["key"] is not None:
            notice = _notice(row)
            found[-1].notices[notice.party, notice.kind] = notice
    return found


def _stages(matches: Iterable[Match]) -> Iterable[tuple[str, Stage, int]]:
    return ((one.match_id, stage, one.partition) for one in matches if (stage := vault_news.STAGE_OF.get(one.state)) is not None)


class Unit:
    """One transaction."""

    def __init__(self, connection: Any, *, tells_vault: bool = False) -> None:
        """`tells_vault`: how far matches come is noted for the vault, in this same transaction."""
        self._connection = connection
        self.receipts = ReceiptsUnit(connection)
        self._usual = UsualUnit(connection)
        self._tells_vault = tells_vault
        self.has_news = False

    async def fence(self, epochs: Mapping[int, int]) -> dict[int, int]:
        """Lock the partitions; the next offset of each that still has the epoch we know."""
        rows = await self._connection.fetch(_FENCE, list(epochs))
        return {row["partition"]: row["next_offset"] for row in rows if row["epoch"] == epochs[row["partition"]]}

    async def note_events(self, source: str, ids: Sequence[str], offsets: Mapping[int, int]) -> set[str]:
        """Note ids of events that one source wrote, and set the next offset of partitions; those events that were not known."""
        return set(await self._connection.fetchval(_NOTE_EVENTS, source, ids, list(offsets), list(offsets.values())) or ())

    async def read_matches(self, match_ids: Iterable[str], group_ids: Iterable[str] = (), wish_ids: Iterable[str] = ()) -> list[Match]:
        """These matches, all that share a group with them, those of these groups and wishes; with their notices."""
        return _matches(await self._connection.fetch(_READ_MATCHES, list(match_ids), list(group_ids), list(wish_ids)))

    async def write_matches(self, matches: Iterable[Match]) -> None:
        """Insert matches, or change their state."""
        matches = list(matches)
        await self.note_stages(_stages(matches))
        rows = [(*_plain_fields(m), *m.slot, m.group_id, m.group_size, m.state, m.released_for, m.organisation, m.urgency, m.minor) for m in matches]
        if rows:
            await self._connection.execute(_WRITE_MATCHES, *map(list, zip(*rows, strict=True)))

    async def change_matches(self, matches: Iterable[Match]) -> None:
        """Change the state of matches that are known."""
        matches = list(matches)
        await self.note_stages(_stages(matches))
        rows = [(m.match_id, m.state, m.released_for) for m in matches]
        if rows:
            await self._connection.execute(_CHANGE_MATCHES, *map(list, zip(*rows, strict=True)))

    async def tell_both(self, matches: Sequence[Match], lease_seconds: float) -> None:
        """As `write_matches` and `write_notices`, of matches of which both sides are to be told. Who looks them up for that tells the vault of the match."""
        await self._usual.tell_both(matches, lease_seconds)

    async def confirm_both(self, matches: Sequence[Match], records: Sequence[Outgoing]) -> None:
        """As `change_notices`, `change_matches` and `write_outbox`, of matches of which both sides were told."""
        await self.note_stages(_stages(matches))
        await self._usual.confirm_both(matches, records)

    async def note_stages(self, stages: Iterable[tuple[str, Stage, int]]) -> None:
        """Note (match, stage, partition) for the vault, where there is one."""
        if self._tells_vault and await vault_news.note(self._connection, stages):
            self.has_news = True

    async def end_matches(self, matches: Iterable[Match], called_off: Mapping[str, CalledOff], now: int) -> None:
        """After their rows are written: what was still to be said of matches that are over is not, their links say so, and who called off is noted."""
        ended = [match.match_id for match in matches if match.state in {"released", "failed", "discarded"}]
        if ended:
            await self._connection.execute(_TAKE_BACK, ended, VISIT_KINDS)
            await supersede(self._connection, ended, now, but=("follow",))
        if called_off:
            rows = [(match_id, one.at, one.late) for match_id, one in called_off.items()]
            await self._connection.execute(_NOTE_CALLED_OFF, *map(list, zip(*rows, strict=True)))

    async def write_notices(self, notices: Iterable[Notice], lease_seconds: float) -> None:
        """Insert notices; one whose key is known stays as it is."""
        rows = [
            (
                n.key, n.match_id, n.wish_id, n.partition, n.area, n.party, n.kind, n.ref, n.language, n.text, n.state, n.offer_id, n.answer_by,
                packed_about(n.about),
                None if n.need is None else orjson.dumps((n.need.rung, n.need.skills, n.need.vetting)).decode(),
            )
            for n in notices
        ]  # fmt: skip
        if rows:
            await self._connection.execute(_WRITE_NOTICES, *map(list, zip(*rows, strict=True)), lease_seconds)

    async def read_known(self, keys: Sequence[UUID]) -> list[UUID]:
        """Those of these notices that are there already."""
        return [row["key"] for row in await self._connection.fetch(_READ_KNOWN, keys)]

    async def lock_notices(self, keys: Sequence[UUID]) -> list[Notice]:
        """Lock notices, so that nobody leases them now; those that are about no match."""
        rows = await self._connection.fetch(_LOCK_NOTICES, keys)
        return [_notice(row) for row in rows if row["match_id"] is None]

    async def change_notices(self, notices: Iterable[Notice]) -> set[UUID]:
        """Write what became of notices; one that has its end keeps it. Those that changed."""
        rows = [(n.key, n.state, n.attempts, n.channel, n.sent_at, n.fault, n.retry_seconds, n.tried) for n in notices]
        changed = await self._connection.fetch(_CHANGE_NOTICES, *map(list, zip(*rows, strict=True))) if rows else ()
        return {row["key"] for row in changed}

    async def count_told(self, told: Counter[tuple[str, date]]) -> None:
        """Add to the number of notices that people got on a day."""
        if told:
            rows = [(ref, day, count) for (ref, day), count in sorted(told.items())]
            await self._connection.execute(_COUNT_TOLD, *map(list, zip(*rows, strict=True)))

    async def write_outbox(self, records: Iterable[Outgoing]) -> None:
        """Insert records to publish, in this order."""
        rows = [(r.id, r.partition, r.topic, r.key, packed(r.headers), r.value) for r in records]
        if rows:
            await self._connection.execute(_WRITE_OUTBOX, *map(list, zip(*rows, strict=True)))

    async def write_clocks(self, clocks: Mapping[str, tuple[int, int]]) -> None:
        """Set forward areas' clocks: area -> (partition, microseconds)."""
        if clocks:
            partitions, micros = zip(*clocks.values(), strict=True)
            await self._connection.execute(_WRITE_CLOCKS, list(clocks), list(partitions), list(micros))


class Store:
    """The schema, through two small pools: one whose commits are on the disk, one for marks that may be lost and made again."""

    def __init__(self, durable: asyncpg.Pool, relaxed: asyncpg.Pool) -> None:
        self._durable = durable
        self._relaxed = relaxed
        self._on_news: Callable[[], None] | None = None

    @classmethod
    async def connect(cls, dsn: str) -> Self:
        """Prepare the pools; connections are made when they are needed."""
        return cls(await _pool(dsn, "on"), await _pool(dsn, "off"))

    @property
    def durable(self) -> asyncpg.Pool:
        """The pool whose commits are on the disk."""
        return self._durable

    @property
    def relaxed(self) -> asyncpg.Pool:
        """The pool whose commits may be lost with the server: for what is done again then."""
        return self._relaxed

    def tell_stages(self, on_news: Callable[[], None]) -> None:
        """From now on note for the vault how far matches come, and call `on_news` once such a note is committed."""
        self._on_news = on_news

    @property
    def tells_vault(self) -> bool:
        """Whether there is a vault to be told."""
        return self._on_news is not None

    async def close(self) -> None:
        """Close all connections."""
        for pool in (self._durable, self._relaxed):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """One transaction, committed when the block ends well."""
        async with self._durable.acquire() as connection, connection.transaction():
            unit = Unit(connection, tells_vault=self.tells_vault)
            yield unit
        if unit.has_news and self._on_news is not None:
            self._on_news()

    async def take_over(self, partition: int) -> Taken:
        """Become a partition's owner: raise its epoch, and free what its last owner had leased."""
        async with self._durable.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_TAKE_OVER, partition)
            assert row is not None
            await connection.execute(_FREE_LEASES, partition)
            clocks = await connection.fetch(_READ_CLOCKS, partition)
            unpublished = await connection.fetch(_READ_UNPUBLISHED, partition)
        return Taken(row["epoch"], row["next_offset"], {one["area"]: one["clock_us"] for one in clocks}, [outgoing(one) for one in unpublished])

    async def go_back(self, partition: int, epoch: int, next_offset: int) -> None:
        """Read a partition again from there, where it is still its owner's of this epoch."""
        await self._durable.execute(_GO_BACK, partition, epoch, next_offset)

    async def read_noted(self, source: str, ids: Sequence[str]) -> set[str]:
        """Those of these events of one source that were taken in."""
        return {row["event_id"] for row in await self._durable.fetch(_READ_NOTED, source, ids)}

    async def read_unpublished(self, partition: int) -> list[Outgoing]:
        """What was committed for a partition and may not be on Kafka yet, in order."""
        return [outgoing(row) for row in await self._durable.fetch(_READ_UNPUBLISHED, partition)]

    async def forget_published(self, ids: Sequence[UUID]) -> None:
        """Delete records that are on Kafka."""
        await self._relaxed.execute(_FORGET_PUBLISHED, ids)

    async def lease_due(self, epochs: Mapping[int, int], limit: int, lease_seconds: float) -> list[Notice]:
        """Lease notices that are due, of partitions that are still ours."""
        rows = await self._relaxed.fetch(_LEASE_DUE, list(epochs), list(epochs.values()), limit, lease_seconds)
        leased = [_notice(row) for row in rows]
        for notice, row in zip(leased, rows, strict=True):
            notice.state, notice.helper_told = "leased", row["helper_told"]
        return leased

    async def next_due_seconds(self, partitions: Iterable[int]) -> float | None:
        """Until the next notice is due, negative where one is already; None where none is under way."""
        found: float | None = await self._relaxed.fetchval(_NEXT_DUE, list(partitions))
        return found

    async def has_receipts(self) -> bool:
        """Whether any is to be looked at now."""
        found: bool = await self._relaxed.fetchval(_HAS_RECEIPTS)
        return found

    async def put_in_app(self, notice: Notice, texts: Mapping[Language, str]) -> tuple[bool, float]:
        """Put a notice into its person's inbox in the app, once; whether they have read it, and for how many seconds it lies there.

        `texts`: what it says, by language.
        """
        row = await self._durable.fetchrow(_PUT_IN_APP, notice.key, notice.ref, notice.kind, notice.text, orjson.dumps(texts).decode())
        assert row is not None
        return row["read"], row["seconds"]

    async def read_told(self, refs: Iterable[str], day: date) -> dict[str, int]:
        """How many notices that count people got on a day; of those who got any."""
        return {row["ref"]: row["notices"] for row in await self._relaxed.fetch(_READ_TOLD, list(refs), day)}

    async def count_backlog(self) -> tuple[int, int]:
        """How many records are to be published, and how many notices are under way."""
        row = await self._relaxed.fetchrow(_COUNT_BACKLOG)
        assert row is not None
        return row["outbox"], row["notices"]


async def _pool(dsn: str, synchronous_commit: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=CONNECTIONS_MAX,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        max_inactive_connection_lifetime=300,
        init=partial(end_frozen, seconds=_TRANSACTION_SECONDS),
        reset=keep_session,
        connection_class=failpoints.connection_class(),
        server_settings={
            "application_name": "lastmetre-notifier",
            "synchronous_commit": synchronous_commit,
            **INDEXES_ONLY,
            "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
        },
    )
