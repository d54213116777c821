"""Sealed values open with their own key in their own row, and in no other way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vault.faults import DoesNotOpen
from services.vault.sealing import LENGTH_BYTES, NONCE_BYTES, SIZES, TAG_BYTES, Envelope, Identity, new_key, pad, seal, unpad, unseal, unwrap, wrap

ROW = Identity("sealed", "gaoxin", "r-17", "door", 3)
ENVELOPE = Envelope("gaoxin", "r-17", minor=True, key_id="2026-11-25-1", leaf=7)
DOOR = "3栋2单元1704"
VALUES = st.none() | st.text(max_size=200) | st.integers(0, 100) | st.lists(st.text("abc", max_size=9), max_size=8)


@given(VALUES)
def test_whatever_is_sealed_opens_again(value: Any) -> None:
    key = new_key()
    assert value == unseal(key, seal(key, value, ROW), ROW)


@pytest.mark.parametrize("other", [{"table": "keys"}, {"area": "jinjiang"}, {"person": "r-18"}, {"field": "phone"}, {"version": 2}, {"version": 4}])
def test_a_value_that_was_moved_does_not_open(other: dict[str, Any]) -> None:
    key = new_key()
    sealed = seal(key, DOOR, ROW)
    with pytest.raises(DoesNotOpen):
        unseal(key, sealed, ROW._replace(**other))


def test_the_parts_of_an_identity_do_not_run_into_each_other() -> None:
    assert ROW._replace(area="a", person='b","c').bytes() != ROW._replace(area='a","b', person="c").bytes()


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(DoesNotOpen):
        unseal(new_key(), seal(new_key(), DOOR, ROW), ROW)


def test_no_byte_of_it_can_be_changed() -> None:
    key = new_key()
    sealed = seal(key, DOOR, ROW)
    opened = []
    for place in range(len(sealed)):
        for change in (0x01, 0x80):
            changed = bytearray(sealed)
            changed[place] ^= change
            try:
                opened.append(unseal(key, bytes(changed), ROW))
            except DoesNotOpen:
                continue
    assert [] == opened


@pytest.mark.parametrize("end", [0, 1, NONCE_BYTES, NONCE_BYTES + TAG_BYTES, 100, -1])
def test_a_part_of_it_does_not_open(end: int) -> None:
    key = new_key()
    with pytest.raises(DoesNotOpen):
        unseal(key, seal(key, DOOR, ROW)[:end], ROW)


def test_the_same_value_is_never_the_same_bytes() -> None:
    key = new_key()
    assert 100 == len({seal(key, DOOR, ROW) for _ in range(100)})


@pytest.mark.parametrize("value", [None, 5, "张", "19900001234", "a" * 64, {"since": "22:00", "until": "07:00"}, ["wecom", "sms", "email"]])
def test_usual_values_are_all_of_one_length(value: Any) -> None:
    assert SIZES[0] + 1 + NONCE_BYTES + TAG_BYTES == len(seal(new_key(), value, ROW))


@given(st.binary(max_size=SIZES[-1] - LENGTH_BYTES))
def test_padding_comes_off_again(plain: bytes) -> None:
    padded = pad(plain)
    assert len(padded) in SIZES
    assert plain == unpad(padded)


@pytest.mark.parametrize(("length", "size"), [(0, 128), (126, 128), (127, 512), (510, 512), (511, 2048), (2046, 2048)])
def test_a_value_takes_the_next_size(length: int, size: int) -> None:
    assert size == len(pad(b"x" * length))


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="2046 bytes"):
        pad(b"x" * 2047)


@pytest.mark.parametrize("padded", [b"", b"\0" * 127, b"\xff\xff".ljust(128, b"\0"), b"\0\1ab".ljust(128, b"\0")])
def test_what_was_not_padded_by_us_is_noticed(padded: bytes) -> None:
    with pytest.raises(DoesNotOpen):
        unpad(padded)


@pytest.mark.parametrize("other", [{"area": "x"}, {"person": "r-18"}, {"minor": False}, {"key_id": "2026-11-25-2"}, {"leaf": 8}])
def test_a_wrapped_key_is_bound_to_its_row_and_to_being_a_minors(other: dict[str, Any]) -> None:
    wrapping, data_key = new_key(), new_key()
    wrapped = wrap(wrapping, data_key, ENVELOPE)
    assert data_key == unwrap(wrapping, wrapped, ENVELOPE)
    with pytest.raises(DoesNotOpen):
        unwrap(wrapping, wrapped, ENVELOPE._replace(**other))
