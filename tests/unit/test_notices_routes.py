"""Which way to a person comes next: channels in turn, nights, numbers a day, what lies unread, and the key at each system."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from services.notifier.routes import (
    LOCAL,
    Errand,
    GiveUp,
    Preferences,
    Rules,
    Settle,
    Step,
    Tried,
    Use,
    Wait,
    Way,
    attempted,
    next_step,
    noted,
    packed,
    suffix_of,
    unpacked,
)

WAYS = {
    "app": Way("app", honours_key=True, silent=True, receipts=True),
    "sms": Way("gateway", honours_key=True, needs_address=True),
    "voice": Way("gateway", honours_key=True, needs_address=True),
    "email": Way("mail", honours_key=False, needs_address=True),
}
NIGHT = (time(22), time(7))
DAY = datetime(2026, 11, 24, 4, tzinfo=UTC)  # noon in China
LATE = datetime(2026, 11, 24, 15, tzinfo=UTC)  # 23:00 there
SOON, FAR = timedelta(hours=5), timedelta(days=3)
RULES = Rules(timedelta(hours=12), timedelta(minutes=30))


def step(
    *channels: str,
    kind: str = "confirmed",
    urgency: str | None = "blue",
    begins: timedelta | None = FAR,
    answer_by: timedelta | None = None,
    ends: timedelta | None = None,
    tried: tuple[Tried, ...] = (),
    told: int = 0,
    quiet: tuple[time, time] | None = None,
    budget: int | None = None,
    now: datetime | None = DAY,
    addresses: tuple[str, ...] = ("sms", "voice", "email"),
) -> Step:
    begin, answer, end = (None if ahead is None else (now or DAY) + ahead for ahead in (begins, answer_by, ends))
    errand = Errand(kind, urgency, begin, answer, end)
    return next_step(Preferences(channels, None, quiet, budget), addresses, WAYS, errand, tried, told, now, RULES)


def used(found: Step) -> str:
    assert isinstance(found, Use)
    return found.channel


def test_takes_the_channels_in_the_persons_order() -> None:
    assert ["sms", "email"] == [used(step("sms", "email")), used(step("email", "sms"))]


def test_leaves_out_a_channel_without_an_address() -> None:
    assert "email" == used(step("sms", "email", addresses=("email",)))


def test_leaves_out_a_channel_that_is_not_there() -> None:
    assert "email" == used(step("pigeon", "email"))


def test_nobody_is_reached_without_a_channel() -> None:
    assert GiveUp("no_channel") == step("sms", addresses=())


def test_stays_with_a_channel_until_it_has_failed_for_good() -> None:
    assert "sms" == used(step("sms", "email", tried=(Tried("sms", 3, "open", "timeout", True),)))
    assert "email" == used(step("sms", "email", tried=(Tried("sms", 3, "failed", "refused"),)))


def test_gives_up_with_the_last_fault_once_all_are_exhausted() -> None:
    tried = (Tried("sms", 8, "failed", "http_5xx", True), Tried("email", 1, "failed", "refused"))
    assert GiveUp("refused") == step("sms", "email", tried=tried)


def test_looks_again_at_what_lies_in_the_app_and_goes_on_when_nobody_has_read_it() -> None:
    assert "app" == used(step("app", "sms", tried=(Tried("app", 1, "placed"),)))
    assert "sms" == used(step("app", "sms", tried=(Tried("app", 1, "unread"),)))


def test_what_lies_in_the_app_counts_where_all_else_failed() -> None:
    assert Settle("app") == step("app", "sms", tried=(Tried("app", 1, "unread"), Tried("sms", 1, "failed", "refused")))


# --- nights


def test_waits_until_the_night_is_over() -> None:
    assert Wait(datetime(2026, 11, 24, 23, tzinfo=UTC), "quiet_hours") == step("sms", quiet=NIGHT, now=LATE)  # 07:00 there


@pytest.mark.parametrize(("hour", "minute", "waits"), [(13, 59, False), (14, 0, True), (22, 59, True), (23, 0, False)])
def test_a_night_has_a_first_and_a_last_minute(hour: int, minute: int, waits: bool) -> None:
    assert waits == isinstance(step("sms", quiet=NIGHT, now=datetime(2026, 11, 24, hour, minute, tzinfo=UTC)), Wait)


def test_quiet_hours_may_lie_within_a_day() -> None:
    noon = (time(11, 30), time(14))
    assert Wait(datetime(2026, 11, 24, 6, tzinfo=UTC), "quiet_hours") == step("sms", quiet=noon)
    assert "sms" == used(step("sms", quiet=noon, now=LATE))


def test_a_red_wish_passes_quiet_hours() -> None:
    assert "sms" == used(step("sms", quiet=NIGHT, now=LATE, urgency="red"))
    assert "sms" == used(step("sms", kind="invited", quiet=NIGHT, now=LATE, urgency=None, begins=None))


def test_a_visit_that_is_near_passes_quiet_hours() -> None:
    assert "sms" == used(step("sms", quiet=NIGHT, now=LATE, begins=SOON))
    assert "sms" == used(step("sms", kind="released", quiet=NIGHT, now=LATE, begins=SOON))


def test_a_visit_before_the_night_is_over_passes_whatever_the_limit() -> None:
    errand = Errand("confirmed", "blue", LATE + timedelta(hours=7))
    assert "sms" == used(next_step(Preferences(("sms",), None, NIGHT), ("sms",), WAYS, errand, (), 0, LATE, Rules(urgent=timedelta())))


@pytest.mark.parametrize(("begins", "rings"), [(16, False), (10, True), (7, True)])
def test_a_visit_of_the_next_day_is_as_near_all_night_as_when_the_night_began(begins: int, rings: bool) -> None:
    visit = datetime(2026, 11, 25, begins, tzinfo=LOCAL)
    hours = [datetime(2026, 11, 24, 22, tzinfo=LOCAL) + timedelta(hours=hour) for hour in range(9)]
    asked = [step("sms", quiet=NIGHT, now=now, begins=visit - now) for now in hours]
    assert [Use("sms") if rings else Wait(datetime(2026, 11, 25, 7, tzinfo=LOCAL), "quiet_hours")] * 9 == asked


@pytest.mark.parametrize(("begins", "rings"), [(timedelta(hours=11), False), (timedelta(hours=8), True), (timedelta(hours=7), True)])
def test_what_waits_for_the_morning_does_not_ring_in_the_night_as_the_visit_comes_nearer(begins: timedelta, rings: bool) -> None:
    errand = Errand("reminder", "blue", LATE + begins, waits=True)
    found = next_step(Preferences(("sms",), None, NIGHT), ("sms",), WAYS, errand, (), 0, LATE, RULES)
    assert (Use("sms") if rings else Wait(datetime(2026, 11, 24, 23, tzinfo=UTC), "quiet_hours")) == found


def test_an_expired_wish_can_wait_for_the_morning() -> None:
    assert isinstance(step("sms", kind="expired", quiet=NIGHT, now=LATE, begins=None), Wait)


def test_the_app_rings_nowhere_so_it_may_come_at_night() -> None:
    assert "app" == used(step("app", "sms", quiet=NIGHT, now=LATE))
    assert isinstance(step("app", "sms", quiet=NIGHT, now=LATE, tried=(Tried("app", 1, "unread"),)), Wait)


# --- numbers a day


@pytest.mark.parametrize("kind", ["confirmed", "released"])
def test_what_must_be_told_is_told_however_much_came_today(kind: str) -> None:
    assert "sms" == used(step("sms", kind=kind, budget=2, told=9))


def test_a_reminder_passes_only_on_the_day_of_the_visit() -> None:
    assert "sms" == used(step("sms", kind="reminder", budget=2, told=2, begins=SOON))
    assert isinstance(step("sms", kind="reminder", budget=2, told=2, begins=FAR), Wait)


def test_the_rest_waits_for_tomorrow_and_for_the_end_of_the_night() -> None:
    assert Wait(datetime(2026, 11, 24, 16, tzinfo=UTC), "over_budget") == step("sms", kind="expired", begins=None, budget=2, told=2)
    assert Wait(datetime(2026, 11, 24, 23, tzinfo=UTC), "over_budget") == step("sms", kind="expired", begins=None, budget=2, told=2, quiet=NIGHT)


def test_what_is_no_longer_true_tomorrow_is_left_out() -> None:
    assert GiveUp("over_budget") == step("sms", kind="asked", budget=0)


def test_below_the_number_a_notice_goes_and_counts() -> None:
    found = step("sms", kind="expired", begins=None, budget=2, told=1)
    assert isinstance(found, Use)
    assert found.counts


def test_where_time_does_not_count_nothing_waits() -> None:
    assert "sms" == used(step("sms", kind="expired", begins=None, quiet=NIGHT, budget=0, now=None))


# --- keys


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ((), ""),
        ((Tried("sms", 1, "failed", "refused"),), ":voice"),  # the system closed the key with a refusal
        ((Tried("sms", 1, "unread"),), ":voice"),  # it lies there, and nobody has read it: now it is to be heard
        ((Tried("sms", 3, "unread", None, True),), ""),
        ((Tried("sms", 8, "failed", "timeout", True),), ""),  # it may have had its effect: then the second is to be dropped
        ((Tried("email", 1, "failed", "refused"),), ""),  # another system knows nothing of it
        ((Tried("sms", 0, "failed", "busy"),), ""),  # the system never heard of it
    ],
)
def test_the_key_gets_a_suffix_only_where_its_effect_would_be_dropped(tried: tuple[Tried, ...], expected: str) -> None:
    assert expected == suffix_of(WAYS, "voice", tried)


def test_a_third_channel_keeps_the_key_under_which_the_second_is_unclear() -> None:
    ways = WAYS | {"call": WAYS["voice"]}
    tried = (Tried("sms", 1, "failed", "refused"), Tried("voice", 8, "failed", "timeout", True))
    assert ":voice" == suffix_of(ways, "call", tried)
    assert ":voice" == suffix_of(ways, "voice", tried)


def test_where_the_key_is_honoured_the_last_answer_tells_of_all_attempts() -> None:
    before = Tried("sms", 1, "open", "timeout", True)
    assert Tried("sms", 2, "failed", "refused", False) == attempted(before, state="failed", fault="refused", unclear=False, tells_all=True)
    assert Tried("sms", 2, "failed", "refused", True) == attempted(before, state="failed", fault="refused", unclear=False, tells_all=False)


def test_what_was_tried_survives_its_row() -> None:
    tried = (Tried("app", 1, "unread"), Tried("sms", 3, "failed", "http_5xx", True))
    assert tried == unpacked(packed(tried))
    assert ("", ()) == (packed(()), unpacked(""))
    assert (tried[0], Tried("sms", 4)) == noted(tried, Tried("sms", 4))


@pytest.mark.parametrize("kind", ["not_started", "not_finished"])
def test_an_alarm_comes_at_night_and_however_much_came_today(kind: str) -> None:
    assert "sms" == used(step("sms", kind=kind, quiet=NIGHT, now=LATE, begins=-SOON))
    assert "sms" == used(step("sms", kind=kind, budget=2, told=2, begins=-SOON))


@pytest.mark.parametrize("kind", ["report", "feedback"])
def test_a_question_how_it_went_waits_for_the_morning_and_for_tomorrow(kind: str) -> None:
    assert isinstance(step("sms", kind=kind, quiet=NIGHT, now=LATE, begins=-SOON), Wait)
    assert isinstance(step("sms", kind=kind, budget=2, told=2, begins=-SOON), Wait)


def test_nobody_is_reminded_of_a_visit_that_has_begun() -> None:
    assert GiveUp("too_late") == step("sms", kind="reminder", begins=timedelta())
    assert "sms" == used(step("sms", kind="reminder", begins=timedelta(seconds=1)))
    assert "sms" == used(step("sms", kind="reminder", begins=-SOON, now=None)), "without a clock nothing is late"


def test_nobody_is_invited_when_the_invitation_has_ended() -> None:
    assert GiveUp("too_late") == step("sms", kind="invited", answer_by=timedelta())
    assert GiveUp("too_late") == step("sms", kind="invited", answer_by=timedelta(), tried=(Tried("sms", 2, "open", "http_5xx"),))
    assert "sms" == used(step("sms", kind="invited", answer_by=timedelta(seconds=1)))
    assert "sms" == used(step("sms", kind="invited", answer_by=-SOON, now=None)), "without a clock nothing is late"


def test_a_question_is_not_put_when_nobody_could_answer_it_any_more() -> None:
    assert GiveUp("too_late") == step("sms", kind="asked", answer_by=timedelta(minutes=1))
    assert "sms" == used(step("sms", kind="asked", answer_by=timedelta(minutes=1, seconds=1)))
    assert "sms" == used(step("sms", kind="asked", answer_by=-SOON, now=None)), "without a clock nothing is late"


def test_nobody_is_told_to_come_when_the_visit_is_all_but_over_unless_they_are_told_all_the_same() -> None:
    assert GiveUp("too_late") == step("sms", begins=-SOON, ends=timedelta(minutes=5))
    assert "sms" == used(step("sms", begins=-SOON, ends=timedelta(minutes=5, seconds=1)))
    assert "sms" == used(step("sms", begins=-SOON, ends=None))
    assert "sms" == used(step("sms", kind="released", begins=-SOON, ends=-SOON)), "that it is off is told late, too"
    assert "sms" == used(step("sms", begins=-SOON, ends=-SOON, now=None)), "without a clock nothing is late"
