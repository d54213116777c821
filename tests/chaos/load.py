"""A seeded stream of events at a steady pace, by the wall clock: offers, wishes, claims, withdrawals, repeats, wrong keys, poison.

What is sent next hangs on the seed alone; only the instants are the moment's. What Kafka did not acknowledge is sent again, as a good
integration does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.codec import STRUCTURED_TYPE
from schemas.topics import PARTITIONS
from tests.checker.wire import partition_of

AREAS_A_LANE = 3
SKILLS = ("shopping", "cooking", "reading", "repair", "first_aid", "chess")
COMMUNITIES, COMPOUNDS, BUILDINGS = 3, 2, 4
SOURCE = "/integrations/load"


def _areas() -> tuple[str, ...]:
    """Areas of every lane, so that each of them has always something to do."""
    names = [f"area-{number}" for number in range(200)]
    return tuple(name for lane in range(PARTITIONS) for name in [name for name in names if partition_of(name, PARTITIONS) == lane][:AREAS_A_LANE])


AREAS = _areas()
RECENT_MAX = 400
SEND_SECONDS = 30.0
RETRY_SECONDS = 0.2
TURN_SECONDS = 0.02
POISON = (b"\xff\xfe not UTF-8", b"not JSON", b"{}", b"[" * 5000, b'{"specversion":"1.0","id":"x","source":"y","type":"lastmetre.no.such.v1"}')
HEADERS = [("content-type", STRUCTURED_TYPE.encode())]
KINDS = {"wish": 46, "offer": 30, "claim": 8, "withdraw_wish": 4, "withdraw_offer": 2, "suspend_offer": 1, "repeat": 6, "poison": 3}


@dataclass(frozen=True, slots=True)
class Sent:
    """One record: its event's id and kind, and the subject that it is about; poison has no id."""

    topic: str
    key: str
    value: bytes
    kind: str
    event_id: str | None = None
    subject: str = ""


@dataclass
class Load:
    """The stream, and what came of sending it: `acknowledged` is what must not be lost; `sent_at`: milliseconds since 1970 by wish."""

    seed: int
    acknowledged: list[Sent] = field(default_factory=list)
    sent_at: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    _count: int = 0
    _wishes: list[tuple[str, str]] = field(default_factory=list)
    _offers: list[tuple[str, str]] = field(default_factory=list)
    _recent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    # ---- what is sent

    def draw(self) -> Sent:
        """The next record of the stream."""
        rng = self._rng
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "repeat" and self._recent:
            return rng.choice(self._recent)
        if kind == "poison":
            return Sent(rng.choice(("wishes", "offers", "responses")), rng.choice(AREAS), rng.choice(POISON), "poison")
        if kind == "claim" and self._wishes and self._offers:
            return self._claim()
        if kind == "withdraw_wish" and self._wishes:
            area, wish_id = rng.choice(self._wishes)
            return self._event("wish.withdrawn", "wishes", area, wish_id, {"wish_id": wish_id})
        if kind in {"withdraw_offer", "suspend_offer"} and self._offers:
            area, offer_id = rng.choice(self._offers)
            return self._event("offer.withdrawn" if kind == "withdraw_offer" else "offer.suspended", "offers", area, offer_id, {"offer_id": offer_id})
        return self._offer() if kind == "offer" else self._wish()

    def _claim(self) -> Sent:
        area, wish_id = self._rng.choice(self._wishes)
        near = [offer_id for where, offer_id in self._offers if where == area] or [self._offers[-1][1]]
        data = {"claim_id": self._id("claim"), "wish_id": wish_id, "offer_id": self._rng.choice(near)}
        return self._event("wish.claimed", "responses", area, wish_id, data)

    def _wish(self) -> Sent:
        rng, wish_id, area = self._rng, self._id("wish"), self._rng.choice(AREAS)
        start, minutes = rng.choice((1, 2, 5, 9, 14)), rng.choice((30, 60, 90))
        data: dict[str, Any] = {
            "wish_id": wish_id,
            "place": self._place(),
            "category": rng.choice(("elder_care", "household", "repair", "study")),
            "skills": rng.sample(SKILLS, rng.choice((1, 1, 2))),
            "urgency": rng.choice(("red", "yellow", "blue")),
            "window": _window(start, start + rng.choice((2, 4, 8))),
            "minutes": minutes,
            "helpers_needed": rng.choice((1, 1, 1, 1, 2, 3)),
            "accompanied": rng.random() < 0.08,
            "beneficiary": {"age_band": rng.choice(("elder", "adult"))},
            "title": "陪聊天、读报",
            "resident_ref": self._id("res"),
        }
        if data["accompanied"]:
            data["helpers_needed"] = 2
        self._wishes = [*self._wishes[-RECENT_MAX:], (area, wish_id)]
        return self._event("wish.submitted", "wishes", area, wish_id, data)

    def _offer(self) -> Sent:
        rng, offer_id, area = self._rng, self._id("offer"), self._rng.choice(AREAS)
        data = {
            "offer_id": offer_id,
            "volunteer_ref": self._id("vol"),
            "home": self._place(),
            "reach": rng.choice(("building", "compound", "community", "area", "area")),
            "skills": rng.sample(SKILLS, rng.choice((2, 3, 4))),
            "vetting": {"level": 3, "checked_at": _stamp(-24 * 30)},
            "windows": [_window(-1, 8), _window(9, 24)][: rng.choice((1, 2, 2))],
            "capacity": rng.choice((1, 2, 3, 5)),
            "accepts": "auto",
        }
        self._offers = [*self._offers[-RECENT_MAX:], (area, offer_id)]
        return self._event("offer.posted", "offers", area, offer_id, data)

    def _event(self, kind: str, topic: str, area: str, subject: str, data: dict[str, Any]) -> Sent:
        event = {
            "specversion": "1.0",
            "id": self._id("event"),
            "source": SOURCE,
            "type": f"lastmetre.{kind}.v1",
            "time": _stamp(0),
            "subject": subject,
            "partitionkey": area,
            "datacontenttype": "application/json",
            "data": {"area": area, **data},
        }
        astray = self._rng.random() < 0.02
        key = self._rng.choice(AREAS) if astray else area
        sent = Sent(topic, key, json.dumps(event, ensure_ascii=False).encode(), kind, str(event["id"]), subject)
        self._recent = [*self._recent[-RECENT_MAX:], sent]
        return sent

    def _place(self) -> dict[str, str]:
        rng = self._rng
        return {"community": f"c{rng.randrange(COMMUNITIES)}", "compound": f"g{rng.randrange(COMPOUNDS)}", "building": f"b{rng.randrange(BUILDINGS)}"}

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}-{self.seed}-{self._count}"

    # ---- sending it

    async def run(self, bootstrap: Callable[[], str], per_second: float, stop: asyncio.Event) -> None:
        """Send at this pace until told to stop; returns when all that was drawn is acknowledged."""
        try:
            await self._stream(bootstrap, per_second, stop)
        finally:
            await self._let_go()

    async def _stream(self, bootstrap: Callable[[], str], per_second: float, stop: asyncio.Event) -> None:
        waiting: list[Sent] = []
        began, drawn = time.monotonic(), 0
        while not stop.is_set() or waiting:
            due = 0 if stop.is_set() else int((time.monotonic() - began) * per_second) - drawn
            drawn += due
            # After an outage the stream goes on at its pace: it does not pile up.
            waiting += [self.draw() for _ in range(min(due, int(per_second)))]
            if waiting:
                waiting = await self._send(bootstrap(), waiting)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_SECONDS):
                    await stop.wait()

    _producer: AIOKafkaProducer | None = None

    async def _send(self, bootstrap: str, batch: list[Sent]) -> list[Sent]:
        """Send; those that were not acknowledged are given back."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if self._producer is None:
                    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", request_timeout_ms=10_000)
                    self._producer = producer
                    await producer.start()
                futures = [await self._producer.send(one.topic, one.value, key=one.key.encode(), headers=HEADERS) for one in batch]
                results = await asyncio.gather(*futures, return_exceptions=True)
        except (KafkaError, OSError, TimeoutError):
            results = [TimeoutError() for _ in batch]
        self.acknowledged += [one for one, result in zip(batch, results, strict=True) if not isinstance(result, BaseException)]
        for one, result in zip(batch, results, strict=True):
            if one.kind == "wish.submitted" and not isinstance(result, BaseException):
                self.sent_at.setdefault(one.subject, result.timestamp)
        left = [one for one, result in zip(batch, results, strict=True) if isinstance(result, BaseException)]
        if left:
            self.failures += len(left)
            await self._let_go()
            await asyncio.sleep(RETRY_SECONDS)
        return left

    async def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await producer.stop()


def _stamp(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _window(start: float, end: float) -> dict[str, str]:
    return {"start": _stamp(start), "end": _stamp(end)}
