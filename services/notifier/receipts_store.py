"""SQL of the receipts, in schema `notifying`; each statement is a verb. `receipts` comes in with the connection of its transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from services.notifier.book import Notice
from services.notifier.receipt import Receipt

# A key's canonical form, with whatever stands behind it after a colon; anything else is a number of the gateway's own.
_KEY: Final = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:|$)'"
# Of those that have waited longest: these an index finds, however many there are (somebody else's gateway that was pointed here leaves hundreds of thousands).
# Among them may be some of another notifier's, which it will take, so more of them are looked at than are wanted. What makes them due is said of the locked
# row again: another notifier may have settled it in between.
_READ_RECEIPTS = f"""
SELECT r.id, r.channel, r.status, r.fault, n.key, n.match_id, n.partition, EXISTS (
        SELECT FROM notifying.receipts other WHERE other.channel = r.channel AND other.reference = r.reference AND other.status IN ('delivered', 'read')
    ) AS heard
FROM (
    SELECT id FROM notifying.receipts
    WHERE (outcome IS NULL OR outcome = 'unknown') AND look_at <= statement_timestamp() ORDER BY look_at LIMIT 4 * $2
) due
JOIN notifying.receipts r USING (id) LEFT JOIN notifying.handles h ON h.channel = r.channel AND h.reference = r.reference
LEFT JOIN notifying.notices n ON n.key = coalesce(h.key, CASE WHEN r.reference ~ {_KEY} THEN left(r.reference, 36)::uuid END)
WHERE (r.outcome IS NULL OR r.outcome = 'unknown') AND r.look_at <= statement_timestamp() AND (n.key IS NULL OR n.partition = ANY($1::int[]))
ORDER BY r.id LIMIT $2 FOR UPDATE OF r SKIP LOCKED
"""  # noqa: S608 - of our own constants
_SETTLE_RECEIPTS = """
UPDATE notifying.receipts r SET outcome = c.outcome, look_at = clock_timestamp()
FROM unnest($1::bigint[], $2::text[]) c(id, outcome) WHERE r.id = c.id
"""
# What nobody knows may be about an attempt whose record is still to come; later and later, and after a week no more: it stays, for people to look at.
_PUT_OFF_RECEIPTS = """
UPDATE notifying.receipts SET outcome = c.outcome, look_at = CASE
    WHEN c.outcome = 'unknown' AND came_at < clock_timestamp() - interval '7 days' THEN 'infinity'::timestamptz
    ELSE clock_timestamp() + greatest(interval '0.5 s', (clock_timestamp() - came_at) / 2) END
FROM unnest($1::bigint[], $2::text[]) c(id, outcome) WHERE receipts.id = c.id
"""
# A receipt may take back what counted as sent: the only arrow out of an end.
_REOPEN_NOTICES = """
UPDATE notifying.notices n SET state = c.state, channel = c.channel, fault = c.fault, tried = c.tried, sent_at = c.sent_at, due_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) c(key, state, channel, fault, tried, sent_at) WHERE n.key = c.key
"""
_WRITE_HANDLES = """
INSERT INTO notifying.handles (channel, reference, key) SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[]) ON CONFLICT DO NOTHING
"""


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


class ReceiptsUnit:
    """What a transaction does about receipts."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def read_receipts(self, partitions: Iterable[int], limit: int) -> list[Receipt]:
        """Those to look at now: about notices of these partitions, or about nothing that is known."""
        rows = await self._connection.fetch(_READ_RECEIPTS, list(partitions), limit)
        return [Receipt(*row) for row in rows]

    async def settle_receipts(self, outcomes: Sequence[tuple[int, str]]) -> None:
        """Write what came of receipts."""
        if outcomes:
            await self._connection.execute(_SETTLE_RECEIPTS, *_columns(outcomes))

    async def put_off_receipts(self, outcomes: Sequence[tuple[int, str | None]]) -> None:
        """Look at these again later."""
        if outcomes:
            await self._connection.execute(_PUT_OFF_RECEIPTS, *_columns(outcomes))

    async def reopen_notices(self, notices: Iterable[Notice]) -> None:
        """Write what receipts made of notices, also of those that had their end."""
        rows = [(n.key, n.state, n.channel, n.fault, n.tried, n.sent_at) for n in notices]
        if rows:
            await self._connection.execute(_REOPEN_NOTICES, *_columns(rows))

    async def write_handles(self, handles: Sequence[tuple[str, str, UUID]]) -> None:
        """Note under which number of its own a channel knows a notice."""
        if handles:
            await self._connection.execute(_WRITE_HANDLES, *_columns(handles))
