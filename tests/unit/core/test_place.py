import itertools
from uuid import uuid5

import pytest

from services.matcher.core.ids import NAMESPACE, derived_id
from services.matcher.core.place import RUNGS, PlaceKey, circles_of, rung_between
from tests.builders import given, offer, wish

STEPS = ("c1", "p1", "b1", "u1")
OTHERS = ("c2", "p2", "b2", "u2")


def named(depth: int, differs_at: int | None = None) -> str:
    """The first `depth` steps; another one from the step `differs_at` on."""
    return "/".join(OTHERS[n] if differs_at is not None and n >= differs_at else STEPS[n] for n in range(depth))


def key(path: str) -> PlaceKey:
    steps = [*path.split("/"), None, None, None, None]
    return (steps[0] or "", steps[1], steps[2], steps[3])


@pytest.mark.parametrize("one", range(1, 5))
@pytest.mark.parametrize("other", range(1, 5))
@pytest.mark.parametrize("differs_at", [None, 0, 1, 2, 3])
def test_the_rung_is_the_smallest_circle_that_both_name_and_share(one: int, other: int, differs_at: int | None) -> None:
    shared = min(one, other, 4 if differs_at is None else differs_at)
    expected = 4 - shared
    here, there = key(named(one)), key(named(other, differs_at))
    assert expected == rung_between(here, there) == rung_between(there, here)
    common = {circle for _, circle in circles_of(here)} & {circle for _, circle in circles_of(there)}
    assert expected == min(4 - len(circle) for circle in common)


def test_a_place_lies_in_all_circles_that_it_names_nearest_first() -> None:
    expected = [(2, ("c1", "p1")), (3, ("c1",)), (4, ())]
    assert expected == circles_of(("c1", "p1", None, None))


@pytest.mark.parametrize(("depth", "reach"), list(itertools.product(range(1, 5), range(5))))
def test_nobody_is_asked_beyond_their_reach(depth: int, reach: int) -> None:
    for differs_at in (None, 0, 1, 2, 3):
        home = named(depth, differs_at)
        rung = 4 - min(depth, 4 if differs_at is None else differs_at)
        expected = [f"proposed w1 o1 @0 {RUNGS[rung]}"] if rung <= reach else []
        assert expected == given(offer(home=home, reach=RUNGS[reach])).when(wish(where=named(4)))
        assert expected == given(wish(where=named(4))).when(offer(home=home, reach=RUNGS[reach]))


def test_ids_are_derived_as_version_5_of_our_namespace() -> None:
    assert str(uuid5(NAMESPACE, "a\nb")) == derived_id("a\nb")


def test_causes_that_look_alike_have_different_ids() -> None:
    """A source may hold any printable sign, and so may an id; together they must not read like another pair."""
    first, second = given(), given()
    first.when(wish(wanted=(-120, -60), event_id="b|c"))
    second.when(wish(wanted=(-120, -60), event_id="b"))
    assert first.decisions[0].id != second.decisions[0].id
