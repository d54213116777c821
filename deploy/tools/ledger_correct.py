"""`ledger correct`: a community worker's word about a visit, as the events that anyone could send; the books then correct themselves in the normal way."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import orjson

from deploy.tools import kafka
from deploy.tools.story import readable
from deploy.tools.target import Target
from deploy.tools.wording import clean
from deploy.words import Trouble
from schemas.base import Outcome
from schemas.codec import decode_structured
from schemas.errors import InvalidEvent
from schemas.instants import SECOND_US, micros
from schemas.sources import CORRECTIONS
from schemas.topics import RESPONSES

WAIT_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.1
# Of one that has no end yet, the word that would count: the community's before the resident's, the last before those before it.
_VISIT: Final = """
    SELECT v.match_id, v.wish_id, v.offer_id, v.area, c.state, coalesce(v.outcome, (
        SELECT r.outcome FROM notifying.said r WHERE r.match_id = v.match_id AND r.kind = 'acknowledged'
        ORDER BY r.said_by = 'community' DESC, r.at_us DESC, r.source DESC, r.event_id DESC LIMIT 1), 'done') AS outcome
    FROM notifying.visits v JOIN notifying.confirmations c USING (match_id) WHERE v.match_id = $1
"""
# What was said is noted and judged in one transaction; a visit that is still to end then says when.
_JUDGED: Final = """
    SELECT v.due_at_us FROM notifying.visits v WHERE v.match_id = $1
        AND (SELECT count(*) FROM notifying.reports WHERE source = $2 AND event_id = ANY($3::text[])) = cardinality($3::text[])
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What has become of a correction. `waits_until_us`: it is noted, but the visit does not end before that (its slot is to come, or the helper's word)."""

    is_noted: bool
    waits_until_us: int | None = None

    @property
    def is_booked(self) -> bool:
        """Whether the books hold it."""
        return self.is_noted and self.waits_until_us is None


def event_of(kind: str, subject: str, area: str, data: dict[str, Any]) -> bytes:
    """One event, as the community says it now.

    Raises:
        Trouble: the reason holds what no event may.
    """
    line = orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": CORRECTIONS,
            "type": f"lastmetre.{kind}.v1",
            "time": datetime.now(UTC).isoformat(),
            "subject": subject,
            "partitionkey": area,
            "data": {"area": area} | data,
        }
    )
    try:
        decode_structured(line)
    except InvalidEvent as fault:
        zh, _, en = str(fault).partition(" | ")
        raise Trouble(f"无法更正：{clean(zh)}", f"It can't be corrected: {clean(en)}") from None
    return line


def events_of(visit: Any, outcome: Outcome | None, minutes: int | None, reason: str) -> list[bytes]:
    """The events that say so: the minutes as the helper's report, the outcome as the community's word.

    Raises:
        Trouble: the reason holds what no event may.
    """
    about = {name: visit[name] for name in ("wish_id", "offer_id", "match_id")}
    word = outcome or visit["outcome"]
    said: list[tuple[str, dict[str, Any]]] = []
    # Of what was not done no minutes count, and a report of its end would say that the helper had come.
    if minutes is not None and word != "not_done":
        said.append(("service.finished", {"minutes": minutes}))
    said.append(("service.acknowledged", {"by": "community", "outcome": word, "reason": reason}))
    return [event_of(kind, visit["match_id"], visit["area"], about | more) for kind, more in said]


async def correct(target: Target, match_id: str, outcome: Outcome | None, minutes: int | None, reason: str) -> Said:
    """Say it, and wait until it is booked, or until it is known when it will be.

    Raises:
        Trouble: there is no such visit, it was released, or Kafka does not answer.
    """
    shown = clean(match_id, 128)
    async with target.database("notifier") as connection, readable():
        visit = await connection.fetchrow(_VISIT, match_id)
        if visit is None:
            raise Trouble(f"没有已确认的配对 {shown}。编号要写全。", f"There is no confirmed match {shown}. Give its whole id.")
        if visit["state"] == "released":
            raise Trouble(f"配对 {shown} 已解除，没有可更正的服务。", f"Match {shown} was released: there is no visit to correct.")
        lines = events_of(visit, outcome, minutes, reason)
        async with kafka.reachable(target.broker), kafka.producer(target.broker) as producer:
            for line in lines:
                await producer.send_and_wait(RESPONSES, line, key=visit["area"].encode(), headers=kafka.STRUCTURED_HEADERS)
        ids = [orjson.loads(line)["id"] for line in lines]
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            judged = await connection.fetchrow(_JUDGED, match_id, CORRECTIONS, ids)
            waits_until_us = None if judged is None else judged["due_at_us"]
            if judged is not None and (waits_until_us is None or waits_until_us > micros(datetime.now(UTC)) + WAIT_SECONDS * SECOND_US):
                return Said(is_noted=True, waits_until_us=waits_until_us)
            if time.monotonic() > deadline:
                return Said(is_noted=judged is not None, waits_until_us=waits_until_us)
            await asyncio.sleep(LOOK_SECONDS)
