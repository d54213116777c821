"""What waits on the wall is kept for a moment, by circle."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.people.shelf import SECONDS, Shelf
from services.gateway.people.wall import OpenWish
from services.gateway.roles import Scope
from tests.unit.gateway.test_people_wall import WISH


class Table:
    def __init__(self) -> None:
        self.looks = 0
        self.broken = False

    async def __call__(self) -> list[OpenWish]:
        self.looks += 1
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("away")
        return [WISH]


async def test_many_at_once_are_one_look() -> None:
    shelf, table = Shelf(lambda: 0.0), Table()
    assert [(WISH,)] * 50 == await asyncio.gather(*(shelf.get(Scope("a"), table) for _ in range(50)))
    assert 1 == table.looks


async def test_each_circle_has_its_own_and_none_is_kept_long() -> None:
    now = [0.0]
    shelf, table = Shelf(lambda: now[0]), Table()
    await shelf.get(Scope("a"), table)
    await shelf.get(Scope("a", "c1"), table)
    assert 2 == table.looks
    now[0] += SECONDS
    await shelf.get(Scope("a"), table)
    assert 3 == table.looks


async def test_where_a_look_fails_everyone_hears_and_the_next_one_looks_again() -> None:
    shelf, table = Shelf(lambda: 0.0), Table()
    table.broken = True
    found = await asyncio.gather(*(shelf.get(Scope("a"), table) for _ in range(3)), return_exceptions=True)
    assert [OSError] * 3 == [type(one) for one in found]
    table.broken = False
    assert (WISH,) == await shelf.get(Scope("a"), table)
    with pytest.raises(OSError, match="away"):
        await Shelf().get(Scope("a"), _broken)


async def _broken() -> list[OpenWish]:
    raise OSError("away")
