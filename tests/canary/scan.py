"""Looking for strings in bytes: as UTF-8, UTF-16, base64, hex, escapes of JSON and URLs; inside gzip and zlib streams; and across the page headers of WAL.

It shares no code with the services. What it cannot see: PostgreSQL's own compression (pglz, lz4) inside a page, which is why a dump is searched beside the data
folder, and anything that is encrypted.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

CHUNK_BYTES: Final = 8 * 1024 * 1024
OVERLAP_BYTES: Final = 4096
WAL_PAGE_BYTES: Final = 8192
WAL_HEADER_BYTES: Final = 24
WAL_FIRST_HEADER_BYTES: Final = 40
# gzip, and the usual headers of zlib.
_STREAM: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
# Files that are made large beforehand, such as Kafka's indexes, are zeros for the most part. No form of a canary has as many in a row.
# Begun only where a row begins: from each zero of a shorter row, of which pages are full, it would be counted anew.
_NOTHING: Final = re.compile(rb"(?<!\0)\0{4096,}")
_SOME_NOTHING: Final = bytes(4096)
_UNPACKED_MAX: Final = 64 * 1024 * 1024
_NESTED_MAX: Final = 3
_BASE64_SLACK: Final = 3
_SHORTEST_NEEDLE: Final = 8


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A canary that was found: where, which, and in what form."""

    file: str
    canary: str
    form: str


def needles(text: str) -> Iterator[tuple[str, bytes]]:
    """The forms in which a text may lie in bytes, each with its name."""
    raw = text.encode()
    yield "utf-8", raw
    yield "utf-16-le", text.encode("utf-16-le")
    yield "utf-16-be", text.encode("utf-16-be")
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "json", json.dumps(text)[1:-1].encode()
    yield "url", urllib.parse.quote(text).encode()
    for shift in range(_BASE64_SLACK):
        # Whatever stands before and after it: of base64, only the characters that hold nothing but our bytes.
        encoded = base64.b64encode(b"\0" * shift + raw)
        start = -(-shift * 8 // 6)
        whole = encoded[start : (shift + len(raw)) * 8 // 6]
        yield f"base64+{shift}", whole
        yield f"base64url+{shift}", whole.translate(bytes.maketrans(b"+/", b"-_"))


class Scanner:
    """Searches for all canaries at once."""

    def __init__(self, canaries: Mapping[str, str]) -> None:
        """Args: `canaries` is name -> string; a hit tells the name.

        Raises:
            ValueError: a string is so short that it would be found by chance.
        """
        self._forms: dict[bytes, tuple[str, str]] = {}
        for name, text in canaries.items():
            for form, needle in needles(text):
                if len(needle) < _SHORTEST_NEEDLE:
                    raise ValueError(f"{name} is too short to be told from chance")
                self._forms.setdefault(needle, (name, form))
        # Where two bytes and two bytes more are as some needle begins, that needle is looked for: hundreds of needles, but one pass over the data.
        self._beginnings: dict[bytes, list[bytes]] = {}
        self._pairs = np.zeros((_SHORTEST_NEEDLE // 2, 65536), dtype=np.bool_)
        for needle in self._forms:
            self._beginnings.setdefault(needle[:_SHORTEST_NEEDLE], []).append(needle)
            for place in range(_SHORTEST_NEEDLE // 2):
                self._pairs[place, needle[2 * place] << 8 | needle[2 * place + 1]] = True

    def _found(self, data: bytes) -> set[bytes]:
        """The needles that are in some bytes."""
        if len(data) < _SHORTEST_NEEDLE:
            return set()
        each = np.frombuffer(data, dtype=np.uint8)
        pairs = each[:-1].astype(np.uint16) << 8 | each[1:]
        places = np.flatnonzero(self._pairs[0][pairs[: len(data) - _SHORTEST_NEEDLE + 1]])
        for nth in range(1, _SHORTEST_NEEDLE // 2):
            places = places[self._pairs[nth][pairs[places + 2 * nth]]]
        found: set[bytes] = set()
        for place in places.tolist():
            found.update(one for one in self._beginnings.get(data[place : place + _SHORTEST_NEEDLE], ()) if data.startswith(one, place))
        return found

    def bytes(self, data: bytes, place: str, depth: int = 0) -> Iterator[Hit]:
        """The hits in some bytes, and in the compressed streams inside them."""
        data = _NOTHING.sub(_SOME_NOTHING, data)
        if not data.strip(b"\0"):
            return
        for needle in self._found(data):
            yield Hit(place, *self._forms[needle])
        if depth < _NESTED_MAX:
            for unpacked in streams(data):
                yield from self.bytes(unpacked, f"{place} (unpacked)", depth + 1)

    def file(self, path: Path, place: str) -> Iterator[Hit]:
        """The hits in a file, whatever its size."""
        with path.open("rb") as file:
            for start, end in extents(file.fileno()):
                tail = b""
                file.seek(start)
                while chunk := file.read(min(CHUNK_BYTES, end - file.tell())):
                    yield from self.bytes(tail + chunk, place)
                    tail = chunk[-OVERLAP_BYTES:]
        if path.parent.name == "pg_wal" and path.stat().st_size % WAL_PAGE_BYTES == 0:
            yield from self.bytes(b"".join(wal_bodies(path.read_bytes())), f"{place} (without page headers)")

    def tree(self, folders: Iterable[Path]) -> tuple[list[Hit], int, int]:
        """The hits in every file of some folders (or files), in names too; with how many files and bytes were read."""
        hits: set[Hit] = set()
        files = size = 0
        for top in folders:
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                place = str(path.relative_to(top.parent))
                hits.update(self.bytes(place.encode(), f"{place} (its name)"))
                if not path.is_file() or path.is_symlink():
                    continue
                with contextlib.suppress(FileNotFoundError):  # a server that runs takes temporary files away
                    hits.update(self.file(path, place))
                    files += 1
                    size += path.stat().st_size
        return sorted(hits), files, size


def extents(handle: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what is written in a file: Kafka's indexes are holes for the most part, and a hole holds nothing."""
    end = 0
    while True:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as fault:
            if fault.errno == errno.ENXIO:  # nothing more
                return
            raise
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def streams(data: bytes) -> Iterator[bytes]:
    """What comes out of each gzip or zlib stream, wherever it begins; of a broken one as far as it goes."""
    view = memoryview(data)
    end = 0
    for found in _STREAM.finditer(data):
        if found.start() < end:
            continue
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            unpacked = unpacker.decompress(view[found.start() : found.start() + CHUNK_BYTES], _UNPACKED_MAX)
        except zlib.error:
            unpacked = _as_far_as_it_goes(view[found.start() : found.start() + CHUNK_BYTES])
        if unpacked:
            yield unpacked
        if unpacker.eof:
            end = found.start() + CHUNK_BYTES - len(unpacker.unused_data)


def _as_far_as_it_goes(data: memoryview) -> bytes:
    """The beginning of a stream whose end is broken, byte by byte; false starts give next to nothing."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    out = bytearray()
    try:
        for place in range(len(data)):
            out += unpacker.decompress(data[place : place + 1])
    except zlib.error:
        pass
    return bytes(out)


def wal_bodies(data: bytes) -> Iterator[bytes]:
    """A segment of WAL page by page, without the headers that cut through records."""
    for start in range(0, len(data), WAL_PAGE_BYTES):
        yield data[start + (WAL_HEADER_BYTES if start else WAL_FIRST_HEADER_BYTES) : start + WAL_PAGE_BYTES]
