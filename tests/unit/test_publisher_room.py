"""What is committed and not on Kafka yet lies in memory: when it is much, by number or by size, no more is taken in until it is published."""

import asyncio

import pytest

from schemas.topics import MIB
from services.matcher.outbox import Message, Parcel, Publisher
from services.runtime import Stop


async def published(*_: int) -> None:
    """Whoever is told."""


async def has_room(publisher: Publisher) -> bool:
    room = asyncio.create_task(publisher.room())
    await asyncio.wait({room}, timeout=0.01)
    room.cancel()
    return room.done() and not room.cancelled()


async def test_a_few_dead_letters_as_large_as_may_be_are_as_much_as_thousands_of_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, sent = Publisher("127.0.0.1:1", published), list[int]()

    async def send(messages: list[Message]) -> None:
        sent.append(len(messages))

    monkeypatch.setattr(publisher, "_send", send)
    large = Message("wishes-dlq", 0, None, bytes(MIB), [])
    publisher.put(Parcel(0, 1, 1, [large] * 60))
    assert await has_room(publisher)
    parcels = [Parcel(0, 1, 1, [large] * 60), Parcel(0, 1, 2, [large] * 60)]
    publisher.put(parcels[1])
    assert not await has_room(publisher)
    await publisher._deliver(parcels, Stop())
    assert [120] == sent
    assert await has_room(publisher)
