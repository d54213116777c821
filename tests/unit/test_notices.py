"""What people read: every kind of notice, for every side, in both languages."""

import pytest

from schemas.personal import find_personal_data
from services.notifier.notices import text_of, visit_time

SLOT = ("2026-11-24T08:00:00Z", "2026-11-24T09:30:00Z")
REASONS = (None, "declined", "unanswered", "withdrawn", "undeliverable", "unsafe", "group_incomplete")
EVERY = [("confirmed", "resident"), ("confirmed", "volunteer"), ("released", "resident"), ("released", "volunteer")]


@pytest.mark.parametrize(
    ("kind", "party", "language", "reason", "expected"),
    [
        ("confirmed", "resident", "zh-CN", None, "您好，您的「关爱老人」心愿有着落了：同楼的志愿者将于11月24日（周二）16:00至17:30前来。"),
        ("confirmed", "volunteer", "zh-CN", None, "您好，约好了：11月24日（周二）16:00至17:30，请为同楼的邻居提供「关爱老人」服务。谢谢您！"),
        (
            "confirmed",
            "resident",
            "en",
            None,
            "Good news about your wish (care for an elder): a volunteer from the same building will come on Tuesday 24 November, from 16:00 to 17:30.",
        ),
        ("released", "resident", "zh-CN", "declined", "抱歉，原定11月24日（周二）16:00至17:30的「关爱老人」来不了了。我们正在为您另找帮手，找到后马上告诉您。"),
        ("released", "resident", "zh-CN", "withdrawn", "您好，原定11月24日（周二）16:00至17:30的「关爱老人」已按心愿的撤回取消。需要时，欢迎随时再提。"),
    ],
)
def test_says_the_kind_of_help_and_the_local_time(kind: str, party: str, language: str, reason: str | None, expected: str) -> None:
    text = text_of(kind, party, language, category="elder_care", rung="building", slot=SLOT, reason=reason)  # type: ignore[arg-type]
    assert expected == text


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize(("kind", "party"), EVERY)
def test_every_notice_names_the_visit_and_nobody(kind: str, party: str, language: str, reason: str | None) -> None:
    text = text_of(kind, party, language, category="repair", rung="unit", slot=SLOT, reason=reason)  # type: ignore[arg-type]
    assert "16:00" in text
    assert ("小修小补" if language == "zh-CN" else "a small repair") in text
    assert "{" not in text
    assert find_personal_data(text) is None


@pytest.mark.parametrize("reason", REASONS)
def test_promises_another_helper_only_where_one_is_looked_for(reason: str | None) -> None:
    text = text_of("released", "resident", "zh-CN", category="study", rung="area", slot=SLOT, reason=reason)
    assert (reason != "withdrawn") == ("另找帮手" in text)


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "截止时间"), ("en", "deadline")])
def test_an_expired_wish_has_no_visit_to_name(language: str, words: str) -> None:
    text = text_of("expired", "resident", language, category=None, rung="area", slot=None)  # type: ignore[arg-type]
    assert words in text
    assert "  " not in text


def test_a_visit_past_midnight_names_both_days() -> None:
    assert "11月24日（周二）23:30至11月25日00:30" == visit_time("2026-11-24T15:30:00Z", "2026-11-24T16:30:00Z", "zh-CN")
    assert "Tuesday 24 November, from 23:30 to 00:30 on Wednesday" == visit_time("2026-11-24T15:30:00Z", "2026-11-24T16:30:00Z", "en")


def test_a_category_that_is_not_known_is_help_among_neighbours() -> None:
    assert "邻里互助" in text_of("confirmed", "resident", "zh-CN", category="gardening", rung="unit", slot=SLOT)
