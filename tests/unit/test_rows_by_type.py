"""What asyncpg asks of each row that is stored: answered by its type, in the matcher's and the notifier's processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized

import pytest
from asyncpg.protocol import protocol

from services.sessions import know_rows_by_type

ASKED = {"IterableABC": Iterable, "SizedABC": Sized, "MappingABC": Mapping}


@pytest.fixture
def as_it_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, asked in ASKED.items():
        monkeypatch.setattr(protocol, name, asked)  # also put back so afterwards


@pytest.mark.usefixtures("as_it_ships")
def test_rows_are_known_by_their_type() -> None:
    know_rows_by_type()
    *array, mapping = [getattr(protocol, name) for name in ASKED]
    rows: tuple[object, ...] = ([], ())
    others: tuple[object, ...] = ("text", b"bytes", 7, None, {})
    assert all(isinstance(one, asked) for one in rows for asked in array)
    assert not any(isinstance(one, asked) for one in others for asked in array)
    assert isinstance({}, mapping)
    assert not any(isinstance(one, mapping) for one in rows)


@pytest.mark.usefixtures("as_it_ships")
def test_a_version_that_asks_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(protocol, "SizedABC")
    know_rows_by_type()
    assert not hasattr(protocol, "SizedABC")
