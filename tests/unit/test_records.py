"""Records as they lie in what Kafka sends, of which aiokafka alone can't read all."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

import services.broker  # noqa: F401 - it is what makes all consumers read so

PLACE = TopicPartition("wishes", 0)
GBK = "区".encode("gbk")
TAKEN_BACK = 7


class Name(str):
    """The name of a header, as bytes that are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return GBK


def batch(offset: int, *values: bytes, bad: bytes | None = None, compression: int = 0, producer: int = -1) -> bytes:
    """A batch as a broker sends it; the value `bad` has a header that nobody can read."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, int(producer >= 0), producer, 0, 0, 1 << 20)
    for number, value in enumerate(values):
        builder.append(number, 0, b"key", value, [("ce_id", b"one"), (Name("x"), b"\xc7"), ("ce_type", None)] if value == bad else [("ce_id", b"one")])
    made = builder.build()
    struct.pack_into(">q", made, 0, offset)  # the broker's word, which the sum over a batch leaves out
    return bytes(made)


def read(data: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """What any consumer of ours makes of a fetch: offsets and values."""
    aborted = [(TAKEN_BACK, 0)]
    return [
        (one.offset, one.value)
        for one in fetcher.PartitionRecords(PLACE, fetcher.MemoryRecords(data), aborted, start, None, None, True, fetcher.READ_COMMITTED)
    ]


@pytest.mark.parametrize("compression", [0, 1])
def test_a_header_whose_name_is_no_text_stops_nobody_and_each_record_comes_once(compression: int) -> None:
    before, data = batch(0, b"a", b"b"), batch(2, b"c", b"bad", b"d", bad=b"bad", compression=compression) + batch(5, b"e") + batch(6, b"bad", bad=b"bad")
    assert [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"bad"), (4, b"d"), (5, b"e"), (6, b"bad")] == read(before + data)
    assert [(4, b"d"), (5, b"e"), (6, b"bad")] == read(data, start=4)


def test_what_was_taken_back_stays_so_behind_such_a_header() -> None:
    data = batch(0, b"bad", bad=b"bad") + batch(1, b"never", producer=TAKEN_BACK) + batch(2, b"said", producer=8)
    assert [(0, b"bad"), (2, b"said")] == read(data)


def test_such_a_header_has_a_name_that_none_of_ours_has_and_the_others_are_as_they_came() -> None:
    data = batch(0, b"bad", bad=b"bad")
    (record,) = fetcher.PartitionRecords(PLACE, fetcher.MemoryRecords(data), [], 0, None, None, True, fetcher.READ_COMMITTED)
    assert [("ce_id", b"one"), (GBK.decode(errors="replace"), b"\xc7"), ("ce_type", None)] == list(record.headers)
    assert (b"key", b"bad") == (record.key, record.value)
