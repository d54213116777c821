"""What people read: every kind of notice, for every side, in both languages."""

import pytest

from schemas.personal import find_personal_data
from services.notifier.notices import Kind, Language, Party, text_for_worker, text_of, visit_time

LANGUAGES: tuple[Language, Language] = ("zh-CN", "en")
SLOT = ("2026-11-24T08:00:00Z", "2026-11-24T09:30:00Z")
REASONS = (
    None,
    "declined",
    "declined+others",
    "unanswered",
    "withdrawn",
    "undeliverable",
    "too_late",
    "unsafe",
    "group_incomplete",
    "not_approved",
    "no_consent",
    "unconsented",
)
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
        (
            "released",
            "resident",
            "zh-CN",
            "declined",
            "抱歉，原定11月24日（周二）16:00至17:30的「关爱老人」不能如约了。我们正在为您另找帮手，找到后马上告诉您。",
        ),
        ("released", "resident", "zh-CN", "withdrawn", "您好，心愿已撤回，原定11月24日（周二）16:00至17:30的「关爱老人」也就取消了。需要时，欢迎随时再提。"),
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
    assert (reason not in {"withdrawn", "no_consent", "unconsented"}) == ("另找帮手" in text)


@pytest.mark.parametrize(("language", "others"), [("zh-CN", "其他约好的志愿者不变"), ("en", "the others come as agreed")])
def test_where_others_come_only_the_resident_is_told_so(language: Language, others: str) -> None:
    told = {
        party: text_of("released", party, language, category="study", rung="area", slot=SLOT, reason="declined+others") for party in ("resident", "volunteer")
    }
    assert others in told["resident"]
    assert told["volunteer"] == text_of("released", "volunteer", language, category="study", rung="area", slot=SLOT, reason="declined")


@pytest.mark.parametrize("kind", ["not_started", "not_finished"])
@pytest.mark.parametrize("party", ["household", "worker"])
def test_an_alarm_is_about_one_helper_of_those_who_may_be_several(kind: Kind, party: Party) -> None:
    zh, en = (text_of(kind, party, language, category="study", rung="unit", slot=SLOT, wish_id="w-1") for language in LANGUAGES)
    assert ("有帮手" in zh, "a helper" in en, "nobody" in en) == (True, True, False)


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "截止时间"), ("en", "deadline")])
def test_an_expired_wish_has_no_visit_to_name(language: str, words: str) -> None:
    text = text_of("expired", "resident", language, category="study", rung="area", slot=None)  # type: ignore[arg-type]
    assert words in text
    assert ("学习辅导" if language == "zh-CN" else "help with learning") in text, "of several wishes they know which"
    assert "  " not in text


BY = "2026-11-24T04:00:00Z"


@pytest.mark.parametrize(
    ("kind", "language", "expected"),
    [
        (
            "asked",
            "zh-CN",
            "您好，同楼有位邻居需要「关爱老人」，时间是11月24日（周二）16:00至17:30。您方便去吗？请在11月24日（周二）12:00前答复；不方便也没关系，我们再找别人。",
        ),
        (
            "asked",
            "en",
            (
                "A neighbour from the same building would like care for an elder on Tuesday 24 November, from 16:00 to 17:30. Could you come? "
                "Please answer by 12:00 on Tuesday 24 November; a no is fine as well."
            ),
        ),
        (
            "invited",
            "zh-CN",
            "您好，同楼有位邻居急需「关爱老人」，时间是11月24日（周二）16:00至17:30。您能去吗？我们可能也问了别人，谁先答应就请谁去；请在11月24日（周二）12:00前答复。谢谢您！",
        ),
        (
            "invited",
            "en",
            (
                "A neighbour from the same building needs care for an elder soon, on Tuesday 24 November, from 16:00 to 17:30. Could you come? "
                "Others may be asked as well, and the first yes counts; please answer by 12:00 on Tuesday 24 November."
            ),
        ),
    ],
)
def test_whoever_is_asked_hears_what_for_how_near_when_and_by_when_to_answer(kind: str, language: str, expected: str) -> None:
    text = text_of(kind, "volunteer", language, category="elder_care", rung="building", slot=SLOT, by=BY)  # type: ignore[arg-type]
    assert expected == text
    assert find_personal_data(text) is None


@pytest.mark.parametrize(
    ("kind", "language", "expected"),
    [
        ("widened", "zh-CN", "您好，心愿 w-1 在近处还没有找到帮手，已扩大到全社区寻找。若您认识合适的人，请帮忙问一问。谢谢您！"),
        (
            "widened",
            "en",
            "Wish w-1 has found nobody nearby and now asks the whole community. If you know somebody, please have a word with them. Thank you!",
        ),
        ("unmet", "zh-CN", "您好，心愿 w-1 目前找不到合适的帮手：需要技能 nursing, walk，审核等级 2 级。请您帮忙想想办法。谢谢您！"),
        ("unconsented", "zh-CN", "您好，心愿 w-1 没有有效的监护人同意，已停止安排。请先登记同意，再重新发布心愿。谢谢您！"),
        ("unconsented", "en", "Wish w-1: no guardian's consent holds, so nobody is sent. Please record the consent, then enter the wish anew. Thank you!"),
        ("unmet", "en", "Wish w-1: no suitable helper as yet (skills nursing, walk, vetting level 2). Could you see what can be done? Thank you!"),
    ],
)
def test_a_community_worker_hears_which_wish_waits_for_what(kind: str, language: str, expected: str) -> None:
    text = text_for_worker(kind, language, wish_id="w-1", rung="community", skills=["nursing", "walk"], vetting=2)  # type: ignore[arg-type]
    assert expected == text


@pytest.mark.parametrize("kind", ["not_started", "not_finished"])
@pytest.mark.parametrize(("language", "words"), [("zh-CN", "请问社区（w-1）"), ("en", "Ask the community where (w-1).")])
def test_a_centre_household_hears_whom_to_ask_at_which_door(kind: Kind, language: Language, words: str) -> None:
    assert words in text_of(kind, "household", language, category="repair", rung="unit", slot=SLOT, wish_id="w-1")


def test_a_visit_past_midnight_names_both_days() -> None:
    assert "11月24日（周二）23:30至11月25日00:30" == visit_time("2026-11-24T15:30:00Z", "2026-11-24T16:30:00Z", "zh-CN")
    assert "Tuesday 24 November, from 23:30 to 00:30 on Wednesday" == visit_time("2026-11-24T15:30:00Z", "2026-11-24T16:30:00Z", "en")


def test_a_category_that_is_not_known_is_help_among_neighbours() -> None:
    assert "邻里互助" in text_of("confirmed", "resident", "zh-CN", category="gardening", rung="unit", slot=SLOT)
