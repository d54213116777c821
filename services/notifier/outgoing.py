"""A record on its way to Kafka, and as a row of an outbox."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson


@dataclass(slots=True)
class Outgoing:
    """One record to publish; `id` is derived from its cause."""

    id: UUID
    partition: int
    topic: str
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    value: bytes | None


def packed(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Headers as JSON; their bytes may be anything, so each byte is a character."""
    return orjson.dumps([[name, None if value is None else value.decode("latin-1")] for name, value in headers])


def unpacked(text: bytes) -> list[tuple[str, bytes | None]]:
    """The headers that were packed."""
    return [(name, None if content is None else content.encode("latin-1")) for name, content in orjson.loads(text)]


def outgoing(row: asyncpg.Record) -> Outgoing:
    """A row of an outbox as the record that is to be published."""
    return Outgoing(row["id"], row["partition"], row["topic"], row["key"], unpacked(row["headers"]), row["value"])
