"""A channel that answers nobody is passed over by whoever has another way, and taken up again as soon as it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.outages import PROBE_SECONDS, ROW_MIN, ROW_SECONDS, Outages
from services.notifier.routes import DOWN, Tried, Way, passed_over, rests_until, suffix_of, taken_up


@dataclass
class Watch:
    """A clock that is set, and what it is watched for."""

    now: float = 100.0
    outages: Outages = field(init=False)

    def __post_init__(self) -> None:
        self.outages = Outages(lambda: self.now)

    def fail(self, times: int, seconds: float) -> None:
        for number in range(times):
            self.now += seconds / (times - 1) if number else 0
            self.outages.note("sms", answered=False)


@pytest.mark.parametrize(
    ("times", "seconds", "down"), [(ROW_MIN, ROW_SECONDS * 2, True), (ROW_MIN - 1, ROW_SECONDS * 2, False), (ROW_MIN, ROW_SECONDS / 2, False)]
)
def test_out_of_order_is_what_has_failed_often_enough_for_long_enough(times: int, seconds: float, down: bool) -> None:
    watch = Watch()
    watch.fail(times, seconds)
    assert (down, not down) == (watch.outages.is_down("sms"), watch.outages.passes("sms"))
    assert (False, True) == (watch.outages.is_down("email"), watch.outages.passes("email"))


def test_one_answer_in_between_and_the_row_begins_anew() -> None:
    watch = Watch()
    watch.fail(ROW_MIN - 1, ROW_SECONDS * 2)
    watch.outages.note("sms", answered=True)
    watch.fail(ROW_MIN - 1, ROW_SECONDS * 2)
    assert not watch.outages.is_down("sms")


def test_now_and_then_one_goes_there_to_see_and_an_answer_brings_all_back() -> None:
    watch = Watch()
    watch.fail(ROW_MIN, ROW_SECONDS * 2)
    watch.now += PROBE_SECONDS
    assert [True, False, False] == [watch.outages.passes("sms") for _ in range(3)]
    watch.outages.note("sms", answered=False)
    watch.now += PROBE_SECONDS
    assert [True, False] == [watch.outages.passes("sms") for _ in range(2)]
    watch.outages.note("sms", answered=True)
    assert [True, True] == [watch.outages.passes("sms") for _ in range(2)]


WAYS = {name: Way("gateway", honours_key=True) for name in ("sms", "voice")}


@pytest.mark.parametrize("unclear", [True, False])
def test_who_was_passed_over_keeps_the_key_for_both_channels_of_a_system(unclear: bool) -> None:
    tried = passed_over((Tried("sms", 2, "open", "busy", unclear),), "sms")
    assert (Tried("sms", 2, "failed", DOWN, unclear),) == tried
    assert "" == suffix_of(WAYS, "voice", tried)


def test_what_is_taken_up_again_asks_under_a_key_that_the_other_channel_has_not_closed() -> None:
    again = taken_up((*passed_over((), "sms"), Tried("voice", 1, "failed", "refused")))
    assert (Tried("voice", 1, "failed", "refused"), Tried("sms", 0, "open")) == again
    assert ":sms" == suffix_of(WAYS, "sms", again)


def test_a_channel_that_said_when_is_not_taken_up_before() -> None:
    now = datetime(2026, 11, 28, 4, tzinfo=UTC)
    soon, late = now + timedelta(minutes=7), now + timedelta(hours=1)
    tried = passed_over(passed_over((), "sms", late), "voice", soon)
    assert (tried, soon) == (taken_up(tried, now), rests_until(tried))
    again = taken_up(tried, soon)
    assert (Tried("sms", 0, "failed", DOWN, since=late.timestamp()), Tried("voice", 0, "open")) == again
    assert (late, None) == (rests_until(again), rests_until(taken_up(again)))


def test_a_channel_that_was_never_tried_can_be_passed_over_too() -> None:
    assert (Tried("sms", 0, "failed", DOWN),) == passed_over((), "sms")
