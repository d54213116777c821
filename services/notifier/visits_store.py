"""SQL of the visits and the ledger, in schema `notifying`; each statement is a verb. `visiting` comes in, one transaction a batch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from services.notifier import vault_news
from services.notifier.ledger import Booked, Transaction
from services.notifier.outgoing import Outgoing, outgoing, packed
from services.notifier.visits import End, Report, Visit
from services.tariff import Tariff

TOPICS: Final = ("responses", "confirmations")
Pair = tuple[str, str, str]
"""(area, wish, offer)."""

_TAKE_OVER = """
INSERT INTO notifying.visit_lanes AS known (partition, epoch) VALUES ($1, 1) ON CONFLICT (partition) DO UPDATE SET epoch = known.epoch + 1
RETURNING epoch, responses_next, confirmations_next, ticked_us
"""
_READ_CLOCKS = "SELECT area, clock_us FROM notifying.visit_areas WHERE partition = $1"
_READ_UNPUBLISHED = "SELECT id, partition, topic, key, headers, value FROM notifying.visit_outbox WHERE partition = $1 ORDER BY place"
_FORGET_PUBLISHED = "DELETE FROM notifying.visit_outbox WHERE id = ANY($1::uuid[])"
_FENCE = "SELECT partition, epoch FROM notifying.visit_lanes WHERE partition = ANY($1::int[]) ORDER BY partition FOR UPDATE"
_NOTE_REPORTS = """
INSERT INTO notifying.reports (source, event_id, area, wish_id, offer_id, match_id, kind, at_us, minutes, said_by, outcome, rating)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::int[], $10::text[],
    $11::text[], $12::smallint[])
ON CONFLICT DO NOTHING
"""
# Who it is about was written down before the confirmation was published, by this same service. Nearly always nothing was said of it yet, so it is written as it
# stands then (`visits.judged`), and neither read nor written again. So is when it is first to be watched, where that is a while yet: nobody looks before.
_BEGIN_VISITS = """
INSERT INTO notifying.visits (match_id, wish_id, offer_id, area, partition, volunteer_ref, organisation, starts_at_us, ends_at_us, number, due_at_us,
    watch_at_us, watched_us, told_at_us)
SELECT c.match_id, c.wish_id, c.offer_id, c.area, c.partition, c.volunteer_ref, c.organisation, told.starts_at_us, told.ends_at_us, 0,
    CASE c.state WHEN 'released' THEN NULL ELSE told.ends_at_us + $5 END, CASE WHEN told.starts_at_us - $7 > $6 THEN told.starts_at_us - $7 ELSE 0 END,
    CASE WHEN told.starts_at_us - $7 > $6 THEN $6 END, told.told_at_us
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) told(match_id, starts_at_us, ends_at_us, told_at_us)
JOIN notifying.confirmations c USING (match_id)
ON CONFLICT DO NOTHING
"""
_PAIRS = "unnest($1::text[], $2::text[], $3::text[]) pair(area, wish_id, offer_id)"
# `again`: the pair had a match before, which was released; of a wish for two, a helper whose group fell apart may be found once more.
_READ_VISITS = f"""
SELECT v.*, c.state = 'released' AS released, EXISTS (SELECT FROM notifying.confirmations o
    WHERE (o.area, o.wish_id, o.offer_id) = (v.area, v.wish_id, v.offer_id) AND o.match_id <> v.match_id AND o.state = 'released') AS again
FROM {_PAIRS} JOIN notifying.visits v USING (area, wish_id, offer_id)
JOIN notifying.confirmations c USING (match_id) ORDER BY v.match_id
"""  # noqa: S608 - of our own constants
_READ_REPORTS = f"SELECT r.* FROM {_PAIRS} JOIN notifying.reports r USING (area, wish_id, offer_id)"  # noqa: S608 - of our own constants
_WRITE_VISITS = """
UPDATE notifying.visits v SET number = c.number, outcome = c.outcome, minutes = c.minutes, closed_by = c.closed_by, closed_at_us = c.closed_at_us,
    due_at_us = c.due_at_us
FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::text[], $6::bigint[], $7::bigint[])
    c(match_id, number, outcome, minutes, closed_by, closed_at_us, due_at_us) WHERE v.match_id = c.match_id
"""
# By event time, of what is said in one minute: to be judged once the minute is whole, and what it brings about elsewhere is known.
_LOOK_AGAIN = f"""
UPDATE notifying.visits v SET due_at_us = 0
FROM {_PAIRS} WHERE (v.area, v.wish_id, v.offer_id) = (pair.area, pair.wish_id, pair.offer_id)
    AND EXISTS (SELECT FROM notifying.reports r WHERE (r.area, r.wish_id, r.offer_id) = (v.area, v.wish_id, v.offer_id))
"""  # noqa: S608 - of our own constants
_READ_BOOKED = """
SELECT t.match_id, t.points_per_hour, t.minutes_max, coalesce(sum(e.amount) FILTER (WHERE e.unit = 'minutes'), 0)::bigint AS minutes,
    coalesce(sum(e.amount) FILTER (WHERE e.unit = 'points'), 0)::bigint AS points
FROM notifying.ledger_transactions t LEFT JOIN notifying.ledger_entries e ON e.transaction_id = t.id AND e.account LIKE 'volunteer/%'
WHERE t.match_id = ANY($1::text[]) GROUP BY t.match_id, t.points_per_hour, t.minutes_max
"""
_BOOK = """
INSERT INTO notifying.ledger_transactions (id, match_id, number, area, volunteer_ref, organisation, outcome, closed_by, booked_at_us, points_per_hour,
    minutes_max)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::int[], $11::int[])
"""
_BOOK_ENTRIES = """
INSERT INTO notifying.ledger_entries (transaction_id, account, unit, amount)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
"""
_WRITE_OUTBOX = """
INSERT INTO notifying.visit_outbox (id, partition, topic, key, headers, value)
SELECT id, partition, topic, key, headers, value
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[])
    WITH ORDINALITY new(id, partition, topic, key, headers, value, n) ORDER BY n
"""
_ADVANCE = """
UPDATE notifying.visit_lanes l SET responses_next = greatest(l.responses_next, c.responses),
    confirmations_next = greatest(l.confirmations_next, c.confirmations)
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) c(partition, responses, confirmations) WHERE l.partition = c.partition
"""
_GO_BACK = "UPDATE notifying.visit_lanes SET responses_next = $3, confirmations_next = $4 WHERE partition = $1 AND epoch = $2"
# Of a match that this service never confirmed there is no visit, whoever says so.
_READ_BEGUN = """
SELECT c.match_id, v.match_id IS NOT NULL AS begun FROM notifying.confirmations c LEFT JOIN notifying.visits v USING (match_id)
WHERE c.match_id = ANY($1::text[])
"""
_READ_NOTED = """
SELECT r.source, r.event_id FROM unnest($1::text[], $2::text[]) asked(source, event_id) JOIN notifying.reports r USING (source, event_id)
"""
_WRITE_CLOCKS = """
INSERT INTO notifying.visit_areas AS known (area, partition, clock_us) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
ON CONFLICT (area) DO UPDATE SET clock_us = excluded.clock_us WHERE known.clock_us < excluded.clock_us
"""
_FIND_DUE = """
SELECT DISTINCT area, wish_id, offer_id FROM (
    SELECT v.area, v.wish_id, v.offer_id FROM notifying.visits v
    WHERE v.partition = ANY($1::int[]) AND v.due_at_us <= $2 ORDER BY v.due_at_us LIMIT $3) due
"""
# By event time each area has a clock of its own.
_FIND_DUE_BY_EVENT = """
SELECT DISTINCT area, wish_id, offer_id FROM (
    SELECT v.area, v.wish_id, v.offer_id FROM notifying.visits v JOIN notifying.visit_areas a USING (area)
    WHERE v.partition = ANY($1::int[]) AND v.due_at_us <= greatest(a.clock_us, $2) ORDER BY v.due_at_us LIMIT $3) due
"""
_TICKED = "UPDATE notifying.visit_lanes SET ticked_us = greatest(ticked_us, $2) WHERE partition = ANY($1::int[])"
# What is watched: visits and matches that have not come to their end, each by an index of its own. A visit is looked at again until it has an end, unless it
# was released.
_COUNT_OPEN = "SELECT count(*) FROM notifying.visits WHERE number = 0 AND due_at_us IS NOT NULL"
_COUNT_WATCHED = "SELECT kind, count(*) AS count FROM notifying.attention_at($1) GROUP BY kind"
WATCHED: Final = ("open", "stuck", "not_started", "not_finished", "nothing_said", "called_off_late", "no_show", "unheard")
CLOCK_RUNS_TO: Final = "SELECT runs_to FROM notifying.clock"


@dataclass(frozen=True, slots=True)
class Lane:
    """What a partition's new owner must know. `offsets`: the next one by topic. `ticked`: up to when all that was due is done, by event time."""

    epoch: int
    ticked: int
    offsets: dict[str, int]
    clocks: dict[str, int]
    unpublished: list[Outgoing]


@dataclass(frozen=True, slots=True)
class Told:
    """A report as it came, with the pair that it is about."""

    pair: Pair
    report: Report
    rating: int | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A match that was confirmed, its slot, and when both sides had been told, in microseconds."""

    pair: Pair
    match_id: str
    starts_at: int
    ends_at: int
    told_at: int


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _visit(row: asyncpg.Record) -> Visit:
    end = None if row["outcome"] is None else End(row["outcome"], row["minutes"], row["closed_by"], row["closed_at_us"])
    return Visit(
        row["match_id"], row["wish_id"], row["offer_id"], row["area"], row["partition"], row["volunteer_ref"], row["organisation"],
        row["starts_at_us"], row["ends_at_us"], row["number"], end, row["due_at_us"], row["released"], row["again"], row["told_at_us"],
    )  # fmt: skip


def _report(row: asyncpg.Record) -> Report:
    return Report(row["at_us"], row["source"], row["event_id"], row["kind"], row["match_id"], row["minutes"], row["said_by"], row["outcome"])


class VisitsUnit:
    """One transaction."""

    def __init__(self, connection: Any, *, tells_vault: bool = False) -> None:
        """`tells_vault`: how far visits come is noted for the vault, in this same transaction."""
        self._connection = connection
        self._tells_vault = tells_vault

    async def fence(self, epochs: Mapping[int, int]) -> set[int]:
        """Lock the lanes; those that are still ours."""
        return {row["partition"] for row in await self._connection.fetch(_FENCE, list(epochs)) if row["epoch"] == epochs[row["partition"]]}

    async def note_reports(self, told: Sequence[Told]) -> None:
        """Keep reports; one that is known stays as it is."""
        rows = [(r.source, r.event_id, *one.pair, r.match_id, r.kind, r.at, r.minutes, r.by, r.outcome, one.rating) for one in told for r in (one.report,)]
        if rows:
            await self._connection.execute(_NOTE_REPORTS, *_columns(rows))

    async def note_stages(self, told: Sequence[Told]) -> None:
        """Note for the vault, where there is one, that visits have begun or are done."""
        if self._tells_vault:
            said = ((one.report.source, one.report.event_id) for one in told if one.report.kind != "acknowledged")
            await vault_news.note_reports(self._connection, said)

    async def begin_visits(self, begun: Sequence[Begun], report_us: int, now: int, remind_us: int) -> None:
        """Begin visits of matches that were confirmed; all in microseconds.

        Of one of which nothing is said the end is looked at `report_us` after its slot. `remind_us`: nothing is said of one earlier than that before it.
        """
        if begun:
            rows = [(one.match_id, one.starts_at, one.ends_at, one.told_at) for one in begun]
            await self._connection.execute(_BEGIN_VISITS, *_columns(rows), report_us, now, remind_us)

    async def read_reports(self, pairs: Iterable[Pair]) -> dict[Pair, list[Report]]:
        """All that was said about each of these pairs; nothing of those of which nothing was."""
        columns = _columns(sorted(pairs))
        reports: dict[Pair, list[Report]] = {}
        for row in await self._connection.fetch(_READ_REPORTS, *columns) if columns else ():
            reports.setdefault((row["area"], row["wish_id"], row["offer_id"]), []).append(_report(row))
        return reports

    async def read_visits(self, pairs: Iterable[Pair]) -> list[Visit]:
        """The visits of these pairs."""
        columns = _columns(sorted(pairs))
        return [_visit(row) for row in await self._connection.fetch(_READ_VISITS, *columns)] if columns else []

    async def write_visits(self, visits: Iterable[Visit]) -> None:
        """Write how visits stand."""
        visits = list(visits)
        rows = [(v.match_id, v.number, *((v.end.outcome, v.end.minutes, v.end.by, v.end.at) if v.end else (None, None, None, None)), v.due_at) for v in visits]
        if rows:
            await self._connection.execute(_WRITE_VISITS, *_columns(rows))
        if self._tells_vault:
            await vault_news.note(self._connection, [(v.match_id, "closed", v.partition) for v in visits if v.end is not None])

    async def look_again(self, pairs: Iterable[Pair]) -> None:
        """The visits of these pairs are to be judged with the next tick, where anything was said of them."""
        columns = _columns(sorted(pairs))
        if columns:
            await self._connection.execute(_LOOK_AGAIN, *columns)

    async def read_booked(self, match_ids: Sequence[str]) -> dict[str, Booked]:
        """What the ledger holds about these matches; nothing about those that were never booked."""
        rows = await self._connection.fetch(_READ_BOOKED, match_ids) if match_ids else ()
        return {row["match_id"]: Booked(row["minutes"], row["points"], Tariff(row["points_per_hour"], row["minutes_max"])) for row in rows}

    async def book(self, transactions: Sequence[Transaction]) -> None:
        """Add transactions to the ledger."""
        rows = [
            (t.id, t.match_id, t.number, t.area, t.volunteer_ref, t.organisation, t.outcome, t.by, t.booked_at, t.tariff.points_per_hour, t.tariff.minutes_max)
            for t in transactions
        ]
        if rows:
            await self._connection.execute(_BOOK, *_columns(rows))
        entries = [(t.id, entry.account, entry.unit, entry.amount) for t in transactions for entry in t.entries]
        if entries:
            await self._connection.execute(_BOOK_ENTRIES, *_columns(entries))

    async def write_outbox(self, records: Iterable[Outgoing]) -> None:
        """Insert records to publish, in this order."""
        rows = [(r.id, r.partition, r.topic, r.key, packed(r.headers), r.value) for r in records]
        if rows:
            await self._connection.execute(_WRITE_OUTBOX, *_columns(rows))

    async def advance(self, offsets: Mapping[int, Mapping[str, int]]) -> None:
        """Set the next offsets: partition -> topic -> offset."""
        rows = [(partition, *(by_topic.get(topic, 0) for topic in TOPICS)) for partition, by_topic in offsets.items()]
        if rows:
            await self._connection.execute(_ADVANCE, *_columns(rows))

    async def write_clocks(self, clocks: Mapping[str, tuple[int, int]]) -> None:
        """Set forward areas' clocks: area -> (partition, microseconds)."""
        if clocks:
            await self._connection.execute(_WRITE_CLOCKS, *_columns([(area, *at) for area, at in clocks.items()]))

    async def find_due(self, partitions: Iterable[int], now: int, limit: int, *, by_event: bool) -> list[Pair]:
        """The pairs with a visit that is to be looked at by `now`; by event time also by its area's own clock."""
        rows = await self._connection.fetch(_FIND_DUE_BY_EVENT if by_event else _FIND_DUE, list(partitions), now, limit)
        return [(row["area"], row["wish_id"], row["offer_id"]) for row in rows]

    async def ticked(self, partitions: Iterable[int], now: int) -> None:
        """All that was due by `now` is done."""
        await self._connection.execute(_TICKED, list(partitions), now)


class VisitsStore:
    """The schema's part, over a pool."""

    def __init__(self, pool: asyncpg.Pool, *, tells_vault: bool = False) -> None:
        self._pool = pool
        self._tells_vault = tells_vault

    def work(self, connection: Any) -> VisitsUnit:
        """What can be done in a transaction of `unit`."""
        return VisitsUnit(connection, tells_vault=self._tells_vault)

    def unit(self) -> Any:
        """A transaction's connection; use it as `async with store.unit() as connection, connection.transaction()`."""
        return self._pool.acquire()

    async def take_over(self, partition: int) -> Lane:
        """Become a lane's owner: raise its epoch."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_TAKE_OVER, partition)
            assert row is not None
            clocks = await connection.fetch(_READ_CLOCKS, partition)
            unpublished = await self._unpublished(connection, partition)
        offsets = {topic: row[f"{topic}_next"] for topic in TOPICS}
        return Lane(row["epoch"], row["ticked_us"], offsets, {one["area"]: one["clock_us"] for one in clocks}, unpublished)

    async def go_back(self, partition: int, epoch: int, offsets: Mapping[str, int]) -> None:
        """Read a lane's topics again from there, where it is still its owner's of this epoch."""
        await self._pool.execute(_GO_BACK, partition, epoch, *(offsets[topic] for topic in TOPICS))

    async def read_known(self, match_ids: Sequence[str], reports: Sequence[tuple[str, str]]) -> tuple[dict[str, bool], set[tuple[str, str]]]:
        """Of which of these matches the visit is noted, nothing of those that are not ours; and which of these reports (source, id) are."""
        begun = await self._pool.fetch(_READ_BEGUN, match_ids)
        noted = await self._pool.fetch(_READ_NOTED, [source for source, _ in reports], [event_id for _, event_id in reports])
        return {row["match_id"]: row["begun"] for row in begun}, {(row["source"], row["event_id"]) for row in noted}

    @staticmethod
    async def _unpublished(connection: Any, partition: int) -> list[Outgoing]:
        rows = await connection.fetch(_READ_UNPUBLISHED, partition)
        return [outgoing(row) for row in rows]

    async def read_unpublished(self, partition: int) -> list[Outgoing]:
        """What was committed for a lane and may not be on Kafka yet, in order."""
        return await self._unpublished(self._pool, partition)

    async def forget_published(self, ids: Sequence[UUID]) -> None:
        """Delete records that are on Kafka."""
        await self._pool.execute(_FORGET_PUBLISHED, ids)

    async def count_watched(self, now: int) -> dict[str, int]:
        """How many visits are open, and how many need somebody's attention, by `WATCHED`; `now` is in microseconds."""
        counts = {row["kind"]: row["count"] for row in await self._pool.fetch(_COUNT_WATCHED, now)}
        counts["open"] = await self._pool.fetchval(_COUNT_OPEN)
        return {name: counts.get(name, 0) for name in WATCHED}

    async def clock_runs_to(self) -> int:
        """Until when the clock runs, by event time."""
        at: int = await self._pool.fetchval(CLOCK_RUNS_TO)
        return at
