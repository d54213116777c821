"""Kafka's own files, record by record: what lies compressed in a batch is unpacked, keys and headers are looked into as well as values.

A codec that nobody here can unpack is told, so that a search never says "clean" of what it did not see.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cramjam
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords

from tests.canary.scan import Hit, Scanner

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_HEADER_BYTES: Final = 12
_ATTRIBUTES_AT: Final = 21


def segments(folder: Path) -> list[Path]:
    """The files of a broker's folder that hold records."""
    return sorted(path for path in folder.rglob("*.log") if path.stem.isdigit())


def batches(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(codec, bytes) of each batch of a segment; what was cut off at its end is no batch."""
    place = 0
    while place + _ATTRIBUTES_AT + 2 <= len(data):
        size = _HEADER_BYTES + int.from_bytes(data[place + 8 : place + _HEADER_BYTES], "big")
        if size <= _ATTRIBUTES_AT or place + size > len(data):
            return
        attributes = int.from_bytes(data[place + _ATTRIBUTES_AT : place + _ATTRIBUTES_AT + 2], "big")
        codec = attributes & 7
        yield CODECS[codec] if codec < len(CODECS) else str(codec), data[place : place + size]
        place += size


def search(scanner: Scanner, folder: Path) -> tuple[set[Hit], int, set[str]]:
    """(hits, records, the files with batches that nobody here can unpack) of all segments below a folder."""
    hits: set[Hit] = set()
    unread: set[str] = set()
    count = 0
    for path in segments(folder):
        place = str(path.relative_to(folder.parent))
        for codec, batch in batches(path.read_bytes()):
            try:
                for text in _parts(batch):
                    hits.update(scanner.bytes(text, f"{place} ({codec}, a record)"))
                    count += 1
            except (UnsupportedCodecError, CorruptRecordException, cramjam.DecompressionError):
                unread.add(f"{place} ({codec})")
    return hits, count, unread


def _parts(batch: bytes) -> Iterator[bytes]:
    """Each record as one text: key, value, headers."""
    records = MemoryRecords(batch)
    found = records.next_batch()
    if found is None or found.is_control_batch:
        return
    for record in found:
        headers = [part for name, value in record.headers for part in (name.encode(), bytes(value or b""))]
        yield b"\n".join((bytes(record.key or b""), bytes(record.value or b""), *headers))
