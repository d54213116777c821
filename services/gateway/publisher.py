"""What people do here becomes an event on Kafka, checked by the contract first; who asked hears back once the brokers have it."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.codec import Event, decode_structured, headers_of, structured_parts
from schemas.instants import rfc3339
from schemas.registry import TOPIC_OF
from schemas.topics import EVENT_MAX_BYTES
from services.broker import Broker, Where

SOURCE: Final = "lastmetre/gateway"
_SEND_SECONDS: Final = 10.0


class Unpublished(Exception):
    """Kafka did not take it in time: it may be said again with the same id."""


def checked(kind: str, subject: str, data: Mapping[str, Any], event_id: str = "checked", at: str = "1970-01-01T00:00:00Z", source: str = SOURCE) -> Event:
    """An event as it would be published, for whoever does something else first.

    Raises:
        schemas.errors.InvalidEvent: the contract does not take it; names the field.
    """
    return decode_structured(structured_parts(kind, source, event_id, at, subject, str(data["area"]), orjson.dumps(data)))


class Publisher:
    """One idempotent producer with acks from all; events are keyed by area."""

    def __init__(self, kafka: Where) -> None:
        self._producer = AIOKafkaProducer(
            **Broker.of(kafka).client(),
            client_id="lastmetre-gateway",
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            max_batch_size=256 * 1024,
            max_request_size=EVENT_MAX_BYTES * 2,
            request_timeout_ms=8_000,
            retry_backoff_ms=50,
        )

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is left, and close."""
        await self._producer.stop()

    async def say(self, kind: str, subject: str, data: Mapping[str, Any], *, event_id: str | None = None, source: str = SOURCE) -> str:
        """Publish one event (`data` with its area) and return its id once Kafka has acknowledged it.

        Raises:
            schemas.errors.InvalidEvent: the contract does not take it; names the field.
            Unpublished: Kafka did not acknowledge it in time.
        """
        event_id = event_id or str(uuid4())
        time_text = rfc3339(time.time_ns() // 1000)
        area = str(data["area"])
        event = checked(kind, subject, data, event_id, time_text, source)
        headers = headers_of(kind, event_id, source, time_text, subject, area)
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._producer.send_and_wait(TOPIC_OF[kind], event.raw, key=area.encode(), headers=headers)
        except (KafkaError, TimeoutError) as fault:
            raise Unpublished(type(fault).__name__) from fault
        return event_id
