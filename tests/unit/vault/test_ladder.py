"""The address ladder as a table, and who may read what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vault.contact import FIELDS, READABLE
from services.vault.faults import REASONS, Denied
from services.vault.ladder import OVER, STAGES, Ladder, Slot, Stage, visible
from services.vault.policy import OF_SERVICES, Occasion, Question, Reader, Role, Visit, readable

START = datetime(2026, 11, 26, 2, tzinfo=UTC)
SLOT = Slot(START, START + timedelta(hours=1))
LADDER = Ladder()
NOTHING: set[str] = set()
COMPOUND = {"compound"}
BUILDING = {"compound", "building"}
TOLD = {"compound", "building", "name_masked", "phone_masked"}
DOOR = TOLD | {"name", "door"}
LONG_BEFORE, JUST_BEFORE, AT_LAST, WITHIN = -timedelta(days=3), -timedelta(hours=2, microseconds=1), -timedelta(hours=2), timedelta(minutes=30)
AFTER, LONG_AFTER = timedelta(hours=24, minutes=59), timedelta(hours=25)

TABLE: list[tuple[Stage | None, timedelta, set[str]]] = [
    (None, WITHIN, NOTHING),
    ("proposed", LONG_BEFORE, COMPOUND),
    ("proposed", AT_LAST, COMPOUND),
    ("proposed", WITHIN, COMPOUND),
    ("agreed", LONG_BEFORE, BUILDING),
    ("agreed", AT_LAST, BUILDING),
    ("agreed", WITHIN, BUILDING),
    ("confirmed", LONG_BEFORE, TOLD),
    ("confirmed", JUST_BEFORE, TOLD),
    ("confirmed", AT_LAST, DOOR),
    ("confirmed", WITHIN, DOOR),
    ("confirmed", AFTER, DOOR),
    ("confirmed", LONG_AFTER, COMPOUND),
    ("started", LONG_BEFORE, TOLD),
    ("started", WITHIN, DOOR),
    ("started", LONG_AFTER, COMPOUND),
    ("finished", WITHIN, DOOR),
    ("finished", AFTER, DOOR),
    ("finished", LONG_AFTER, COMPOUND),
    ("closed", AT_LAST, COMPOUND),
    ("closed", WITHIN, COMPOUND),
    ("closed", LONG_AFTER, COMPOUND),
    ("released", LONG_BEFORE, NOTHING),
    ("released", WITHIN, NOTHING),
]


@pytest.mark.parametrize(("stage", "since_start", "wanted"), TABLE)
def test_a_helper_sees_what_the_ladder_says(stage: Stage | None, since_start: timedelta, wanted: set[str]) -> None:
    assert wanted == visible(stage, START + since_start, SLOT, LADDER)


def test_the_table_has_every_stage() -> None:
    assert {None, *STAGES} == {stage for stage, _, _ in TABLE}


@given(st.sampled_from([None, *STAGES]), st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)), st.integers(0, 86400), st.integers(0, 604800))  # noqa: DTZ001 - made aware below
def test_the_door_is_never_shown_outside_a_confirmed_visits_time(stage: Stage | None, naive: datetime, before: int, after: int) -> None:
    now = naive.replace(tzinfo=UTC)
    seen = visible(stage, now, SLOT, Ladder(before, after))
    if "door" in seen:
        assert stage in {"confirmed", "started", "finished"}
        assert SLOT.start - timedelta(seconds=before) <= now < SLOT.end + timedelta(seconds=after)
    if stage in OVER:
        assert seen <= COMPOUND


@given(st.sampled_from([None, *STAGES]), st.integers(-400, 400))
def test_a_helper_never_sees_a_whole_number_or_an_account(stage: Stage | None, hours: int) -> None:
    seen = visible(stage, START + timedelta(hours=hours), SLOT, LADDER)
    assert set() == seen & {"phone", "email", "wecom", "dingtalk", "feishu"}


def test_the_time_before_the_visit_is_a_setting() -> None:
    assert "door" not in visible("confirmed", START - timedelta(minutes=31), SLOT, Ladder(before_seconds=1800))
    assert "door" in visible("confirmed", START - timedelta(minutes=30), SLOT, Ladder(before_seconds=1800))


def test_with_a_relay_not_even_the_masked_number_is_shown() -> None:
    assert TOLD - {"phone_masked"} | {"relay"} == visible("confirmed", START + LONG_BEFORE, SLOT, Ladder(contact="relay"))


# --- who may read what

VISIT = Visit("m-1", "w-1", "resident", "helper", "confirmed", SLOT)


def question(
    role: Role, ref: str, person: str = "resident", what: Occasion | None = None, visit: Visit | None = VISIT, since_start: timedelta = WITHIN
) -> Question:
    return Question(person, Reader(role, ref), what or Occasion("m-1", "w-1"), visit, START + since_start, LADDER)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (question("helper", "helper"), DOOR),
        (question("helper", "helper", since_start=LONG_BEFORE), TOLD),
        (question("service", "notifier"), OF_SERVICES),
        (question("service", "notifier", person="helper"), OF_SERVICES),
        (question("service", "notifier", what=Occasion(wish_id="w-1"), visit=None), OF_SERVICES),
        (question("self", "resident", what=Occasion(), visit=None), set(FIELDS)),
        (question("operator", "op-3", what=Occasion(), visit=None), READABLE),
    ],
)
def test_each_role_reads_what_it_needs(asked: Question, wanted: set[str]) -> None:
    assert wanted == readable(asked)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question("helper", "another"), "not_your_visit"),
        (question("helper", "helper", person="helper"), "not_your_visit"),
        (question("helper", "helper", person="another"), "not_your_visit"),
        (question("helper", "helper", visit=None), "not_your_visit"),
        (question("service", "notifier", what=Occasion(), visit=None), "no_occasion"),
        (question("service", "notifier", visit=None), "not_your_visit"),
        (question("service", "notifier", person="another"), "not_your_visit"),
        (question("self", "helper"), "not_yourself"),
    ],
)
def test_what_no_rule_names_is_denied(asked: Question, reason: str) -> None:
    with pytest.raises(Denied) as raised:
        readable(asked)
    assert reason == raised.value.reason


def test_messages_never_need_an_address() -> None:
    assert set() == OF_SERVICES & {"door", "building", "compound"}


@pytest.mark.parametrize("reason", REASONS)
def test_a_refusal_is_told_in_both_languages(reason: str) -> None:
    chinese, _, english = str(Denied(reason, ["door"])).partition(" | ")
    assert chinese.startswith("拒绝：")
    assert english.startswith("denied: ")
    assert "door" in english
