"""What time it is in an area, also while its lane is in nobody's hands."""

from __future__ import annotations

from schemas.instants import MINUTE_US, parse_rfc3339, rfc3339
from services.notifier.lanes import Lanes

AREA = "hightech"
AT = parse_rfc3339("2026-03-02T08:00:00Z")


def taken(clock: int = AT) -> Lanes:
    lanes = Lanes("event")
    lanes.take(2, 1, {AREA: clock})
    return lanes


def test_an_area_keeps_its_time_while_its_lane_is_let_go_and_taken_again() -> None:
    lanes = taken()
    lanes.drop([2])
    assert rfc3339(AT) == lanes.now(AREA)
    assert 2 not in lanes


def test_a_lane_that_is_taken_again_has_the_clocks_that_are_stored_and_no_others() -> None:
    lanes = taken()
    lanes.set_forward({AREA: (2, AT + 5 * MINUTE_US), "never-committed": (2, AT), "elsewhere": (3, AT)})
    lanes.drop([2])
    lanes.take(2, 2, {AREA: AT + MINUTE_US})
    assert {AREA: (2, AT + MINUTE_US), "elsewhere": (3, AT)} == lanes.clocks()


def test_by_the_walls_clock_no_event_sets_a_clock() -> None:
    lanes = Lanes("wall")
    lanes.take(2, 1, {})
    assert {} == lanes.later([(AREA, 2, AT)])
    assert lanes.micros(AREA) > AT
