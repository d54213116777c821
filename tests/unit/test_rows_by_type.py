"""What asyncpg asks of each row that is stored: answered by its type, in the matcher's and the notifier's processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized

import pytest
from asyncpg.protocol import protocol

from services import sessions
from services.matcher import store

# The matcher's own, and the one that the services share.
each = pytest.mark.parametrize("know_rows_by_type", [store.know_rows_by_type, sessions.know_rows_by_type])
ASKED = {"IterableABC": Iterable, "SizedABC": Sized, "MappingABC": Mapping}


@pytest.fixture
def as_it_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, asked in ASKED.items():
        monkeypatch.setattr(protocol, name, asked)  # also put back so afterwards


@pytest.mark.usefixtures("as_it_ships")
@each
def test_rows_are_known_by_their_type(know_rows_by_type: Callable[[], None]) -> None:
    know_rows_by_type()
    *array, mapping = [getattr(protocol, name) for name in ASKED]
    rows: tuple[object, ...] = ([], ())
    others: tuple[object, ...] = ("text", b"bytes", 7, None, {})
    assert all(isinstance(one, asked) for one in rows for asked in array)
    assert not any(isinstance(one, asked) for one in others for asked in array)
    assert isinstance({}, mapping)
    assert not any(isinstance(one, mapping) for one in rows)


@pytest.mark.usefixtures("as_it_ships")
@each
def test_a_version_that_asks_otherwise_is_left_alone(know_rows_by_type: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(protocol, "SizedABC")
    know_rows_by_type()
    assert not hasattr(protocol, "SizedABC")
