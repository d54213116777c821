"""What one batch makes of a clock that has jumped over several deadlines."""

from __future__ import annotations

from services.matcher.batch import Batch, Work
from services.matcher.core.policy import Policy
from services.matcher.lanes import Lane
from tests.builders import AREA, Scene, instant, minutes_of, offer, wish


def _jumped(found: Scene, to: float, wall: float | None) -> list[tuple[float, bytes]]:
    """(minute, decisions) of each entry of the journal."""
    lane = Lane(0, epoch=1, cursors={}, seq=0, published=0, ticked=0, areas={AREA: found.area})
    batch = Batch(set(), None if wall is None else instant(wall))
    batch.decide(Work(lane, tick=instant(to)))
    return [(minutes_of(entry[3]), entry[-1]) for entry in batch.changes.journal]


def _asked() -> Scene:
    """Somebody is asked about a visit an hour from now, and will not answer."""
    found = Scene(policy=Policy.at_once())
    found.when(offer(accepts="ask", windows=[(0, 600)]), wish(wanted=(60, 300)))
    return found


def test_by_event_time_each_deadline_passes_at_its_own_instant_however_far_the_clock_has_jumped() -> None:
    told = _jumped(_asked(), 400, None)
    released = [minute for minute, decisions in told if b"match.released" in decisions]
    expired = [minute for minute, decisions in told if b"wish.expired" in decisions]
    assert [60] == released
    assert [300] == expired


def test_by_the_walls_clock_all_that_was_due_is_decided_now() -> None:
    told = _jumped(_asked(), 400, 400)
    assert {400.0} == {minute for minute, _ in told}
