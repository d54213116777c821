"""SQL of what the vault is to be told, in schema `notifying`: a row for each stage that a match reached, until the vault has it.

Rows are written in the transaction that changes the match, so none is lost; `stages` tells the vault and forgets them. References and instants only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from services.notifier.routes import instant_of
from services.vault.ladder import Slot, Stage
from services.vault.policy import Visit

# What a match's state here means to the vault; of the others it need not know.
STAGE_OF: Final[Mapping[str, Stage]] = {
    "proposed": "proposed", "agreed": "agreed", "telling": "agreed", "confirmed": "confirmed", "released": "released",
}  # fmt: skip

_NOTE = """
INSERT INTO notifying.vault_news (match_id, stage, partition) SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING
"""
# What is said before the confirmation says nothing here, as the door is not open yet.
_NOTE_REPORTS = """
INSERT INTO notifying.vault_news (match_id, stage, partition)
SELECT DISTINCT v.match_id, said.kind, v.partition
FROM unnest($1::text[], $2::text[]) told(source, event_id) JOIN notifying.said USING (source, event_id) JOIN notifying.visits v USING (match_id)
WHERE v.number = 0
ON CONFLICT DO NOTHING
"""
_COLUMNS = "c.match_id, c.wish_id, c.resident_ref, c.volunteer_ref, c.slot_start, c.slot_end, c.minor"
# A notifier of before this column leaves its news to anybody: `read` asks for -1, too. What is told twice changes nothing.
_READ = f"""
WITH oldest AS (SELECT match_id, stage, place FROM notifying.vault_news WHERE partition = ANY($1::int[] || -1) ORDER BY place LIMIT $2)
SELECT n.match_id AS told, n.stage, {_COLUMNS} FROM oldest n LEFT JOIN notifying.confirmations c USING (match_id) ORDER BY n.place
"""  # noqa: S608 - of our own constants
_READ_KNOWN = f"SELECT c.state, {_COLUMNS} FROM notifying.confirmations c WHERE c.match_id = ANY($1::text[])"  # noqa: S608 - of our own constants
_FORGET = """
DELETE FROM notifying.vault_news n USING unnest($1::text[], $2::text[]) told(match_id, stage)
WHERE n.match_id = told.match_id AND n.stage = told.stage
"""


async def note(connection: Any, stages: Iterable[tuple[str, Stage, int]]) -> bool:
    """Note (match, stage, partition), inside the caller's transaction; whether there was any."""
    rows = list(stages)
    if rows:
        await connection.execute(_NOTE, *map(list, zip(*rows, strict=True)))
    return bool(rows)


async def note_reports(connection: Any, told: Iterable[tuple[str, str]]) -> None:
    """Note what these reports, (source, id) of what is kept already, say of visits that have no end yet; their kinds are stages."""
    rows = list(told)
    if rows:
        await connection.execute(_NOTE_REPORTS, *map(list, zip(*rows, strict=True)))


def _visit(row: asyncpg.Record, stage: Stage) -> Visit:
    slot = Slot(instant_of(row["slot_start"]), instant_of(row["slot_end"]))
    return Visit(row["match_id"], row["wish_id"], row["resident_ref"], row["volunteer_ref"], stage, slot, row["minor"])


@dataclass(frozen=True, slots=True)
class News:
    """That a match reached a stage. `visit` is None of one that has a visit but is not known here, as its tables began anew: there is nothing to tell of it."""

    match_id: str
    stage: Stage
    visit: Visit | None


async def read(pool: asyncpg.Pool, partitions: Sequence[int], limit: int) -> list[News]:
    """The oldest news of these partitions' matches, in order; of one match there may be several."""
    rows = await pool.fetch(_READ, partitions, limit)
    return [News(row["told"], row["stage"], None if row["match_id"] is None else _visit(row, row["stage"])) for row in rows]


async def read_known(pool: asyncpg.Pool, match_ids: Sequence[str]) -> list[Visit]:
    """How far these matches are here, whatever the vault was told."""
    rows = await pool.fetch(_READ_KNOWN, match_ids)
    return [_visit(row, STAGE_OF[row["state"]]) for row in rows if row["state"] in STAGE_OF]


async def forget(pool: asyncpg.Pool, told: Sequence[News]) -> None:
    """The vault has these."""
    await pool.execute(_FORGET, [one.match_id for one in told], [one.stage for one in told])
