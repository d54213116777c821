"""The time before a helper's next visit ends as a window does: whoever has another visit soon is not lost while a wish waits for the round."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.instants import SECOND_US
from services.matcher.core.policy import Policy
from tests.builders import DAY, HOUR, Scene, offer, wish
from tests.shelf import Shelved
from tests.unit.core.strategies import HOMES
from tests.unit.core.test_nobody_is_lost import LATE_SECONDS, POLICIES, blue, lives


@settings(max_examples=60, deadline=None)
@example(visit=84, rest=0, after=0, wished_at=52, minutes=30, room=1906, where="c1", urgency="yellow", late=1)
@given(
    visit=st.integers(0, 4 * HOUR),
    rest=st.sampled_from([0, 0, 30]),
    after=st.sampled_from([0, 0, 10, 60, 600, 2 * DAY]),
    wished_at=st.integers(1, HOUR),
    minutes=st.sampled_from([15, 30, 60]),
    room=st.one_of(st.integers(0, 20), st.integers(0, 5 * HOUR), st.integers(0, 2 * DAY)),
    where=st.sampled_from(HOMES),
    urgency=st.sampled_from(["yellow", "blue"]),
    late=st.sampled_from(LATE_SECONDS),
)
@pytest.mark.parametrize("policy", POLICIES, ids=["as shipped", "without lead", "every half hour", "at once"])
def test_whoever_has_another_visit_is_proposed_where_there_is_time_before_or_after_it(
    policy: Policy, visit: int, rest: int, after: int, wished_at: int, minutes: int, room: int, where: str, urgency: str, late: int
) -> None:
    scene = Scene(policy=policy)
    begins, ends = visit - rest, visit + HOUR + rest
    more: dict[str, Any] = {"rest_minutes": rest} if rest else {}
    scene.when(offer(windows=[(0, ends + after)], capacity=2, **more), wish("w0", urgency="red", wanted=(visit, visit + HOUR)))
    wanted = (wished_at, wished_at + minutes + room)
    said = lives(scene, [wish(at=wished_at, where=where, urgency=urgency, minutes=minutes, wanted=wanted)], only_rounds=False, late_us=late * SECOND_US)
    may_meet = any(max(opens, wished_at) + minutes <= min(closes, wanted[1]) for opens, closes in ((0, begins), (ends, ends + after)))
    assert may_meet == any(line.startswith("proposed w1 o1") for line in said), said


@pytest.mark.parametrize("rest", [0, 10])
@pytest.mark.parametrize("anew", [False, True], ids=["as it is", "loaded anew"])
def test_whose_next_visit_begins_before_the_next_round_is_taken_when_the_wish_comes(rest: int, *, anew: bool) -> None:
    """The time before a visit is over where it begins, as a window is; and for all of a person's offers."""
    scene = Shelved(policy=Policy())
    more: dict[str, Any] = {"volunteer": "one", "windows": ((0, 130 + rest),), "rest_minutes": rest}
    scene.when(
        offer("o1", skills=("repair",), **more),
        offer("o2", home="c2", **more),
        wish("w1", urgency="red", skills=("repair",), wanted=(62 + rest, 122 + rest)),
    )
    if anew:
        scene.loads_again()
    assert ["proposed w2 o2 @1 area"] == scene.when(blue("w2", at=1))


@pytest.mark.parametrize("first", ["wish", "offer"])
def test_whom_the_limit_a_week_lets_begin_only_before_the_next_round_is_taken_at_once(first: str) -> None:
    """One visit a week: with one in seven days and two minutes, another can begin in these two minutes, and then not for two weeks."""
    scene = Scene(policy=Policy())
    scene.when(
        offer("o1", volunteer="one", skills=("repair",), windows=((0, 8 * DAY),)),
        wish("w0", urgency="red", skills=("repair",), wanted=(7 * DAY + 2, 7 * DAY + 62)),
    )
    both = [blue(at=1), offer("o2", at=1, volunteer="one", home="c2", per_week_max=1, windows=((0, 8 * DAY),))]
    assert ["proposed w1 o2 @1 area"] == scene.when(*(both if first == "wish" else reversed(both)))
