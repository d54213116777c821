"""What is kept of a person: shapes, masks, and that nothing of it is shown by accident; guardians' consents."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.vault.consents import Consent, any_holds, holds
from services.vault.contact import Card, mask_name, mask_phone, parse_card, parse_contact, view
from services.vault.faults import BadContact
from services.vault.vault import Opened

PHONE = "19900307123"
FULL: dict[str, Any] = {
    "name": "测试甲",
    "phone": PHONE,
    "email": "test-a@example.com",
    "wecom": "test_a",
    "dingtalk": "test-a",
    "feishu": "ou_test",
    "compound": "样板小区",
    "building": "3栋",
    "door": "2单元1704",
    "channels": ["wecom", "sms"],
    "language": "zh-CN",
    "quiet_hours": {"since": "22:00", "until": "07:00"},
    "notices_per_day": 5,
}


def test_takes_all_that_can_be_known() -> None:
    assert FULL == parse_contact(FULL).model_dump()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone", "no number"),
        ("phone", "1"),
        ("email", "nobody"),
        ("name", ""),
        ("name", "x" * 81),
        ("door", "a\0b"),
        ("channels", ["sms", "sms"]),
        ("channels", ["Not A Channel"]),
        ("language", "fr"),
        ("quiet_hours", {"since": "25:00", "until": "07:00"}),
        ("notices_per_day", 0),
        ("notices_per_day", "5"),
    ],
)
def test_names_the_field_that_is_wrong_and_never_its_value(field: str, value: Any) -> None:
    with pytest.raises(BadContact) as raised:
        parse_contact({**FULL, field: value})
    chinese, _, english = str(raised.value).partition(" | ")
    assert field in chinese
    assert field in english
    assert raised.value.__cause__ is None
    assert not isinstance(value, str) or not value or value == "1" or value not in str(raised.value)


def test_a_field_that_is_not_ours_is_refused_without_being_named() -> None:
    with pytest.raises(BadContact) as raised:
        parse_contact({PHONE: "x"})
    assert PHONE not in str(raised.value)


def test_nothing_personal_is_shown_by_accident() -> None:
    contact = parse_contact(FULL)
    card = Card(person_ref="r-1", area="gaoxin", contact=contact)
    for shown in (repr(contact), str(contact), repr(card), str(card), f"{card!r:.500}", repr(Opened(FULL)), str(Opened(FULL))):
        assert [] == [value for value in FULL.values() if isinstance(value, str) and value in shown]


def test_a_phone_is_no_reference() -> None:
    with pytest.raises(BadContact) as raised:
        parse_card(b'{"person_ref":"19900307123","area":"gaoxin","contact":{}}')
    assert PHONE not in str(raised.value)


@pytest.mark.parametrize("line", [b"", b"nothing", b"[]", b"\xff", b'{"person_ref":"r-1"}'])
def test_a_line_that_is_no_card_is_refused(line: bytes) -> None:
    with pytest.raises(BadContact):
        parse_card(line)


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("13800001234", "138****1234"),
        ("+86 138 0000 1234", "138****1234"),
        ("028-0000-1234", "028****1234"),
        ("00001234", "****34"),
    ],
)
def test_a_masked_phone_keeps_three_and_four_digits(phone: str, masked: str) -> None:
    assert masked == mask_phone(phone)


def test_a_masked_name_does_not_tell_how_long_it_is() -> None:
    assert ["测**", "测**", "**"] == [mask_name(name) for name in ("测试", "测试甲乙", "")]


def test_views_show_less_than_fields() -> None:
    assert ["199****7123", "测**", "relay:m-1", PHONE] == [view(name, FULL, "m-1") for name in ("phone_masked", "name_masked", "relay", "phone")]
    assert [None, None] == [view("phone_masked", {"phone": None}, None), view("relay", {}, None)]


# --- consents

GIVEN = datetime(2026, 9, 1, tzinfo=UTC)
CONSENT = Consent("child", "guardian", "visit", GIVEN + timedelta(days=1), GIVEN + timedelta(days=91), b"\1" * 32, GIVEN)
DAY_2, DAY_91 = GIVEN + timedelta(days=2), GIVEN + timedelta(days=91)


@pytest.mark.parametrize(
    ("consent", "at", "expected"),
    [
        (CONSENT, DAY_2, True),
        (CONSENT, CONSENT.starts_at, True),
        (CONSENT, CONSENT.starts_at - timedelta(microseconds=1), False),
        (CONSENT, DAY_91 - timedelta(microseconds=1), True),
        (CONSENT, DAY_91, False),
        (replace(CONSENT, given_at=DAY_2 + timedelta(seconds=1)), DAY_2, False),
        (replace(CONSENT, withdrawn_at=DAY_2), DAY_2, False),
        (replace(CONSENT, withdrawn_at=DAY_2 + timedelta(seconds=1)), DAY_2, True),
        (replace(CONSENT, purpose="notify"), DAY_2, False),
        (replace(CONSENT, minor_ref="sibling"), DAY_2, False),
    ],
)
def test_a_consent_holds_for_its_minor_its_purpose_and_its_time(consent: Consent, at: datetime, expected: bool) -> None:
    assert expected == holds(consent, "child", "visit", at)


def test_one_of_several_is_enough_and_none_is_not() -> None:
    assert any_holds([replace(CONSENT, withdrawn_at=GIVEN), CONSENT], "child", "visit", DAY_2)
    assert not any_holds([], "child", "visit", DAY_2)
