"""The bound on waiting: a wish for which waiting is over comes before all that are younger, and before all that can still wait.

From then on no younger wish in the pool is given a helper whom it could have; so it waits behind those at most that came before it, and behind the younger ones
that were served while it was still patient.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.instants import DAY_US, MINUTE_US
from services.matcher.core.policy import Points, Policy
from services.matcher.core.rounds import Pool
from services.matcher.core.state import Area, Wish
from services.matcher.core.turn import Turn
from tests import builders as build
from tests.builders import DAY, HOUR, Scene, instant
from tests.unit.core import strategies as random

ROUND = 5
HOUR_US = 60 * MINUTE_US
PATIENCE_US = {"red": 0, "yellow": HOUR_US, "blue": DAY_US}
POLICIES = [
    Policy(patience_us=PATIENCE_US, lead_us={"red": 0, "yellow": HOUR_US, "blue": 6 * HOUR_US}, widen_us={"red": 0, "yellow": 0, "blue": 0}, **more)
    for more in ({}, {"points": Points(age=0, fresh=1000, known=1000)}, {"sure": 1000})
]


def is_due(area: Area, wish: Wish, now: int) -> bool:
    """Whether waiting is over for the wish."""
    policy = area.policy
    return min(wish.submitted_at + policy.patience_us[wish.urgency], wish.latest_start - policy.lead_us[wish.urgency]) <= now


def could_have(area: Area, wish: Wish, now: int) -> set[str]:
    """The offers that the next round weighs for the wish."""
    pool = Pool(Turn(area, now, "looks"))
    first = 0
    for one, count in zip(pool.wishes, pool.edges.counts, strict=True):
        if one is wish:
            return {pool.offers[number].id for number in pool.edges.helpers[first : first + count]}
        first += count
    return set()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("policy", POLICIES)
def test_no_younger_wish_gets_a_helper_whom_one_that_is_due_could_have(policy: Policy, data: st.DataObject) -> None:
    """Round after round, over crowded areas of all kinds."""
    scene = Scene(policy=policy)
    at = 0
    for number in range(data.draw(st.integers(2, 14), label="events")):
        at += data.draw(st.sampled_from([0, 1, 7, 30]))
        event = random.offers(at, f"o{number}", capped=False) if data.draw(st.booleans()) else random.wishes(at, f"w{number}")
        scene.when(data.draw(event))
    for _ in range(6):
        at = at // ROUND * ROUND + ROUND
        area, now = scene.area, instant(at)
        scene.passes(at - 1)
        before = {wish.id: could_have(area, wish, now) for wish in area.pooled.all() if is_due(area, wish, now)}
        said = len(scene.decisions)
        scene.passes(at)
        given_to = {one.data["offer_id"]: area.wishes[one.data["wish_id"]] for one in scene.decisions[said:] if one.type == "lastmetre.match.proposed.v1"}
        for wish_id, offers in before.items():
            wish = area.wishes[wish_id]
            if wish.matches or wish.status != "open":
                continue
            takers = [given_to[offer_id] for offer_id in offers if offer_id in given_to]
            assert [] == [
                taker.id
                for taker in takers
                if area.in_rounds(taker) and (not is_due(area, taker, now) or (taker.submitted_at, taker.id) > (wish.submitted_at, wish.id))
            ]


def test_the_older_of_two_that_are_due_comes_first_though_the_younger_fits_better() -> None:
    scene = Scene(policy=POLICIES[0])
    for name, where, at in (("old", "c1/p1/b1/u1", 0), ("young", "c2/p1/b1/u1", 5)):
        scene.when(build.wish(name, where=where, at=at, wanted=(0, 2 * DAY)))
    scene.passes(2 * HOUR)
    assert [] == scene.when(build.offer(home="c2/p1/b1/u1", windows=[(0, 2 * DAY)], at=2 * HOUR))
    assert ["proposed old o1 @125 area"] == scene.passes(2 * HOUR + ROUND)


def test_a_due_wish_comes_before_a_better_pair_that_can_wait() -> None:
    scene = Scene(policy=POLICIES[0])
    scene.when(build.wish("due", where="c2", wanted=(0, 2 * DAY)), build.wish("patient", at=50, wanted=(0, 2 * DAY)))
    scene.passes(HOUR + 1)
    scene.when(build.offer(windows=[(0, 2 * DAY)], at=HOUR + 2))
    assert ["proposed due o1 @65 area"] == scene.passes(HOUR + ROUND)
