"""How far is looked back for the last record that was surely read: a lane is taken over only when that is known."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.topics import MIB
from services import rewound

PLACE = TopicPartition("wishes", 2)


class Log:
    """Stands where Kafka stands, and where the reader does who was there before: notes what is asked for, and what is judged."""

    def __init__(self, *sizes: int) -> None:
        self.records = [SimpleNamespace(offset=offset, key=None, value=bytes(size), headers=()) for offset, size in enumerate(sizes)]
        self.fetched: list[int] = []
        self.judged: list[int] = []

    async def beginning_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {PLACE: 0}

    async def end_offsets(self, _: Any) -> dict[TopicPartition, int]:
        return {PLACE: len(self.records)}

    async def between(self, _consumer: Any, _tp: Any, start: int, end: int) -> list[Any]:
        self.fetched += range(start, end)
        return self.records[start:end]

    async def judge(self, records: Sequence[Any]) -> list[bool | None]:
        """Whatever it is shown was read before."""
        self.judged += [record.offset for record in records]
        return [True for _ in records]


async def goes_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(rewound, "records_between", log.between)
    anything: Any = log
    return (await rewound.places_to_go_on(anything, {PLACE: len(log.records)}, log.judge))[PLACE]


async def test_what_is_too_large_for_an_event_of_ours_is_not_read_to_see_whether_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty such records, of digits alone, kept a lane that was taken over waiting for 108 seconds."""
    log = Log(1000, *[900_000] * 30)

    assert len(log.records) == await goes_on(log, monkeypatch)
    assert [0] == log.judged


async def test_nobody_fetches_gigabytes_to_see_whether_they_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(*[900_000] * 200)

    assert len(log.records) == await goes_on(log, monkeypatch)
    assert 80 >= len(log.fetched) >= 32 * MIB // 900_000
