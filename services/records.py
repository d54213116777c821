"""How records are read from what Kafka sends: also such as aiokafka alone can't read.

The name of a header is text to us and bytes to Kafka: whoever publishes from C or Go writes there what they like, in GBK for one. Where that is no UTF-8,
aiokafka raises in the middle of a fetch, and again in each next one: no reader came past such a record, and the matcher's workers ended one after the
other. So what is left of such a fetch is read by aiokafka's own reader in Python, with U+FFFD where a name is no text. Names of ours have none, so such
a header says nothing to us; a dead letter has it under the name as it is read here.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_MAGIC: Final = struct.Struct(">qiib")
_WITH_HEADERS: Final = 2


class _Lenient(bytearray):
    """Bytes of which each part is text."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Lenient(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:  # noqa: ARG002 - a reader that asks for strict text is the reason for this class
        return super().decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Lenient(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka has no types
    """The batches of a fetch from the one that holds `first` on."""

    def __init__(self, data: bytes, first: int) -> None:
        super().__init__(data)
        while self._next_slice is not None and self._has_headers() and _LenientBatch(self._next_slice).next_offset <= first:
            self._cache_next()

    def _has_headers(self) -> bool:
        magic: int = _MAGIC.unpack_from(self._next_slice)[-1]
        return magic >= _WITH_HEADERS

    def next_batch(self) -> Any:
        if not self._has_headers():
            return super().next_batch()
        batch = _LenientBatch(self._next_slice)
        self._cache_next()
        return batch


class _Records(MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """The batches of a fetch, and the bytes that they are read from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of a fetch. All but those with a name that is no text come as fast as ever."""

    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            # What was taken back in the batch that is under way is known; the ones before it are not looked at again.
            self._records = _LenientRecords(self._records.data, self.next_fetch_offset)
            yield from super()._unpack_records()


def read_all() -> None:
    """From now on every consumer of this process reads so, Faust's as well: nobody can be given a reader of their own."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = _Records, _PartitionRecords
