"""The search for canaries must find them where they are: in every form, in every wrapping, on every edge."""

from __future__ import annotations

import base64
import gzip
import random
import zlib
from pathlib import Path

import pytest

from tests.canary import segments
from tests.canary.people import canaries, invent
from tests.canary.scan import CHUNK_BYTES, WAL_FIRST_HEADER_BYTES, WAL_HEADER_BYTES, WAL_PAGE_BYTES, Scanner

PHONE = "19900307123"
NAME = "测猗窈湉瑾珩翀"
BOTH = {"phone": PHONE, "name": NAME}
NOISE = random.Random(7).randbytes(5000)


@pytest.fixture
def scanner() -> Scanner:
    return Scanner(BOTH)


def found(scanner: Scanner, data: bytes) -> set[str]:
    return {hit.canary for hit in scanner.bytes(data, "planted")}


@pytest.mark.parametrize("text", [PHONE, NAME])
@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode().hex().encode(),
        lambda text: b"\\x" + text.encode().hex().upper().encode(),
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.b64encode(b"a" + text.encode() + b"z"),
        lambda text: base64.b64encode(b"ab" + text.encode() + b"yz"),
        lambda text: base64.urlsafe_b64encode(b"\xfb\xff" + text.encode()),
        lambda text: gzip.compress(text.encode()),
        lambda text: zlib.compress(b"x" * 1000 + text.encode()),
        lambda text: zlib.compress(text.encode(), 0),
        lambda text: gzip.compress(base64.b64encode(zlib.compress(text.encode())) + gzip.compress(text.encode())),
        lambda text: gzip.compress(text.encode() + NOISE)[:-500],
        lambda text: "".join(f"\\u{ord(letter):04x}" if ord(letter) > 127 else letter for letter in text).encode(),
    ],
)
def test_finds_it_in_every_form(scanner: Scanner, text: str, form: object) -> None:
    assert callable(form)
    planted = form(text)
    wanted = {"phone" if text == PHONE else "name"}
    assert wanted == found(scanner, planted)
    assert wanted == found(scanner, NOISE + planted + NOISE)


def test_finds_two_streams_one_after_the_other(scanner: Scanner) -> None:
    assert set(BOTH) == found(scanner, gzip.compress(PHONE.encode()) + NOISE + zlib.compress(NAME.encode()))


def test_finds_nothing_where_nothing_is(scanner: Scanner) -> None:
    assert set() == found(scanner, NOISE + gzip.compress(NOISE) + PHONE[:-1].encode() + b"\0" * 10_000)


def test_finds_it_across_the_edge_of_what_is_read_at_once(scanner: Scanner, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * (CHUNK_BYTES - 5) + PHONE.encode() + b"x" * 100)
    assert {"phone"} == {hit.canary for hit in scanner.file(path, "big")}


def test_finds_it_between_the_holes_of_a_file(scanner: Scanner, tmp_path: Path) -> None:
    path = tmp_path / "index"
    with path.open("wb") as file:
        file.seek(50_000_000)
        file.write(PHONE.encode())
        file.truncate(100_000_000)
    assert {"phone"} == {hit.canary for hit in scanner.file(path, "index")}


def test_tells_the_codec_of_a_batch_that_it_cannot_unpack(scanner: Scanner, tmp_path: Path) -> None:
    batch = bytearray(100)
    batch[8:12] = (88).to_bytes(4, "big")
    batch[16], batch[22] = 2, 4  # magic, attributes
    batch[57:61] = (1).to_bytes(4, "big")
    segment = tmp_path / "wishes-0" / "00000000000000000000.log"
    segment.parent.mkdir()
    segment.write_bytes(batch)
    _, records, unread = segments.search(scanner, tmp_path)
    assert (0, 1, ["zstd"]) == (records, len(unread), [codec for codec, _ in segments.batches(bytes(batch))])


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_finds_it_where_a_page_header_of_wal_cuts_it(scanner: Scanner, tmp_path: Path, cut: int) -> None:
    segment = tmp_path / "pg_wal" / "000000010000000000000001"
    segment.parent.mkdir()
    first = b"\1" * (WAL_PAGE_BYTES - cut) + PHONE[:cut].encode()
    second = b"\2" * WAL_HEADER_BYTES + PHONE[cut:].encode()
    segment.write_bytes(first + second.ljust(WAL_PAGE_BYTES, b"\3"))
    assert WAL_FIRST_HEADER_BYTES > WAL_HEADER_BYTES
    assert {"phone"} == {hit.canary for hit in scanner.file(segment, "wal")}


def test_finds_it_in_a_files_name(scanner: Scanner, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"export-{PHONE}.txt").touch()
    hits, files, _ = scanner.tree([tmp_path])
    assert ({"phone"}, 1) == ({hit.canary for hit in hits}, files)


def test_a_canary_that_chance_could_make_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Scanner({"word": "1704"})


def test_invented_people_differ_in_everything() -> None:
    chance = random.Random(1)
    strings = canaries({str(number): invent(chance) for number in range(4)})
    assert len(strings) == len(set(strings.values()))
    Scanner(strings)
