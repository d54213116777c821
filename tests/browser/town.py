"""A small town for the pages: who lives there, what they wish for, and who helps. Published as an integration would."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer

from schemas.codec import decode_structured, headers_of, structured_parts
from schemas.instants import rfc3339
from schemas.registry import TOPIC_OF

AREA = "ankang-hightech"
HOME = {"community": "jushang-huayuan", "compound": "jushang-1", "building": "b3", "unit": "u2"}
SAME_COMPOUND = {"community": "jushang-huayuan", "compound": "jushang-1", "building": "b7", "unit": "u1"}
NEXT_DOOR = {"community": "jushang-huayuan", "compound": "jinxiu-yuan"}
FAR = {"community": "jianmin", "compound": "hanjiang-yayuan", "building": "b2", "unit": "u1"}
DEADLINE_SECONDS = 60.0
_numbers = itertools.count(1)


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = DEADLINE_SECONDS, pause: float = 0.05) -> None:
    """Wait for an effect, and look again after each pause."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(pause)


class Town:
    """Publishes, and looks at the board as its owner until what was published shows."""

    def __init__(self, producer: AIOKafkaProducer, board: asyncpg.Connection) -> None:
        self._producer = producer
        self.board = board

    async def say(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        kind, event_id, now = f"lastmetre.{kind}.v1", str(uuid4()), rfc3339(time.time_ns() // 1000)
        event = decode_structured(structured_parts(kind, "town", event_id, now, subject, AREA, orjson.dumps({"area": AREA, **data})))
        headers = headers_of(kind, event_id, "town", now, subject, AREA)
        await self._producer.send_and_wait(TOPIC_OF[kind], event.raw, key=AREA.encode(), headers=headers)

    async def offer(
        self, volunteer: str, *, skills: tuple[str, ...], home: dict[str, str] | None = None, accepts: str = "auto", level: int = 4, **more: Any
    ) -> str:
        """A volunteer who is there day and night for a month."""
        offer_id, now = f"offer-{volunteer}", datetime.now(UTC)
        data = {
            "offer_id": offer_id,
            "volunteer_ref": volunteer,
            "home": home or HOME,
            "reach": "area",
            "skills": list(skills),
            "vetting": {"level": level, "checked_at": (now - timedelta(days=30)).isoformat()},
            "windows": [{"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(days=30)).isoformat()}],
            "capacity": 20,
            "accepts": accepts,
            "organisation": "居尚花园一期党支部 · 党员志愿者",
            **more,
        }
        await self.say("offer.posted", offer_id, data)
        return offer_id

    async def wish(self, title: str, skill: str, *, place: dict[str, str] | None = None, hours: tuple[float, float] = (20, 68), **more: Any) -> str:
        """A wish for tomorrow or later; `hours` from now."""
        wish_id, now = f"wish-{next(_numbers)}-{uuid4().hex[:6]}", datetime.now(UTC)
        data = {
            "wish_id": wish_id,
            "place": place or HOME,
            "category": "household",
            "skills": [skill],
            "urgency": "blue",
            "window": {"start": (now + timedelta(hours=hours[0])).isoformat(), "end": (now + timedelta(hours=hours[1])).isoformat()},
            "minutes": 60,
            "beneficiary": {"age_band": "elder"},
            "title": title,
            "resident_ref": f"res-{wish_id}",
            **more,
        }
        await self.say("wish.submitted", wish_id, data)
        return wish_id

    async def shows(self, statement: str, *values: Any) -> None:
        """Until a question to the board has the answer true."""

        async def holds() -> bool:
            return bool(await self.board.fetchval(statement, *values))

        await until(holds, f"{statement} {values}")

    async def wish_is(self, wish_id: str, *states: str) -> None:
        """Until the board shows a wish in one of these states."""
        await self.shows("SELECT EXISTS (SELECT FROM gateway.wishes WHERE wish_id = $1 AND state = ANY($2))", wish_id, list(states))

    async def match_is(self, wish_id: str, *states: str) -> None:
        """Until the board shows a match of a wish in one of these states."""
        await self.shows("SELECT EXISTS (SELECT FROM gateway.matches WHERE wish_id = $1 AND state = ANY($2))", wish_id, list(states))
