"""Verdicts, answers and the ladder's events in words: both languages, every rule, and no people."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from deploy.tools import explain, judging, whynot
from deploy.tools.explain import conclusions
from deploy.tools.judging import answer_words, verdict_words
from deploy.tools.story import Story, Waiting, judged
from deploy.tools.telling import tell
from deploy.tools.whynot import Pair
from deploy.tools.wording import BLOCKS, DEMANDS, OFFER_STATES, RULES, Lang, clock
from schemas.codec import Event
from services.matcher.core import reasons
from services.matcher.core.policy import Policy
from services.matcher.core.reasons import REFUSED_AS, Verdict, almost, verdicts, vetting_demands, why
from tests.builders import (
    AREA,
    DAY,
    Scene,
    accepted,
    claim,
    declined,
    event,
    given,
    instant,
    minors_wish,
    offer,
    offer_withdrawn,
    text_of,
    window,
    wish,
    wish_withdrawn,
)
from tests.unit.core.test_keeping import two_who_fall_free_in_turn


def said(wished: Event, offered: Event, rule: str) -> tuple[str, str]:
    """What is said about one rule of a wish that waits and an offer."""
    scene = given(offered)
    scene.leaves_untried(wished)
    judged = verdicts(scene.area.wishes["w1"], scene.area.offers["o1"], instant(0))
    return verdict_words(next(one for one in judged if one.rule == rule), vetting_demands(wished.data))


def answered(scene: Scene, offer_id: str = "o1") -> tuple[str, str]:
    """The conclusion on `w1` and an offer, as of noon, each language as one text."""
    words = answer_words(why(scene.area, scene.area.wishes["w1"], scene.area.offers[offer_id], instant(0)))
    return "".join(zh for zh, _ in words), " ".join(en for _, en in words)


def waiting(wished: Event, *offers: Event) -> Scene:
    scene = given(*offers)
    scene.leaves_untried(wished)
    return scene


def shown(pair: Pair, lang: Lang = "both") -> str:
    screen = io.StringIO()
    whynot.show(pair, Console(file=screen, width=160), lang)
    return screen.getvalue()


# ---- the rules


def test_a_skill_without_a_valid_proof_is_told() -> None:
    scene = Scene(policy=replace(Policy.at_once(), proof_needed=frozenset({"haircut"})))
    scene.when(wish(), offer())
    judged = verdicts(scene.area.wishes["w1"], scene.area.offers["o1"], instant(0))
    assert ("技能：haircut 须有在服务当时有效的资质证明", "skills: no proof for haircut that is valid at the visit") == verdict_words(judged[0])


@pytest.mark.parametrize(
    ("offer_id", "zh", "en"),
    [
        ("o1", "本单元的中心户优先上门探望（它是）", "for a visit, the centre household of the stairway comes first (it is one)"),
        ("o9", "排在最前", "it is next"),
    ],
)
def test_that_the_centre_household_comes_first_is_told(offer_id: str, zh: str, en: str) -> None:
    scene = waiting(wish(category="elder_care"), offer("o1"), offer("o9", organisation="中心户"))
    said_zh, said_en = answered(scene, offer_id)
    assert zh in said_zh
    assert en in said_en


def test_whoever_helps_and_is_no_centre_household_is_told_so_to_the_centre_household() -> None:
    scene = given(offer("o1"), wish(category="elder_care"), offer("o9", organisation="中心户"))
    said_zh, said_en = answered(scene, "o9")
    assert "它不是" in said_zh
    assert "it is not one" in said_en


@pytest.mark.parametrize(
    ("wished", "offered", "rule", "zh", "en"),
    [
        (wish(), offer(), "skills", "技能：需要的都会（haircut）", "skills: has all that are needed (haircut)"),
        (
            wish(skills=["haircut", "repair"]),
            offer(),
            "skills",
            "技能：缺少 repair（需要 haircut, repair）",
            "skills: lacks repair (needed: haircut, repair)",
        ),
        (wish(), offer(), "languages", "语言：心愿不限语言", "languages: the wish names none"),
        (
            wish(languages=["sichuan"]),
            offer(languages=["sichuan", "zh-CN"]),
            "languages",
            "语言：有共同语言（心愿：sichuan；服务：sichuan, zh-CN）",
            "languages: one is shared (wish: sichuan; offer: sichuan, zh-CN)",
        ),
        (
            wish(languages=["sichuan"]),
            offer(),
            "languages",
            "语言：没有共同语言（心愿：sichuan；服务：未注明）",
            "languages: none is shared (wish: sichuan; offer: none named)",
        ),
        (
            wish(),
            offer(home="c1/p1/b2", reach="compound"),
            "reach",
            "距离：同小区，在服务范围内（到同小区）",
            "distance: same compound, within the offer's reach (same compound)",
        ),
        (
            wish(),
            offer(home="c2", reach="compound"),
            "reach",
            "距离：同片区，超出服务范围（只到同小区）",
            "distance: same area, beyond the offer's reach (same compound at most)",
        ),
        (wish(), offer(level=1), "vetting", "审核：不要求（现为 1 级）", "vetting: none needed (level 1)"),
        (
            wish(lives_alone=True),
            offer(level=1),
            "vetting",
            "审核：1 级，需要 2 级（独居）",
            "vetting: level 1, needs 2 (they live alone)",
        ),
        (
            minors_wish(category="left_behind_children"),
            offer(checked=-30 * DAY),
            "vetting",
            "审核：4 级，需要 4 级（未成年人、留守儿童）；核查于 2026-10-24，服务时 30 天，365 天内有效",
            "vetting: level 4, needs 4 (it is for a minor, it is for left-behind children); checked on 2026-10-24, 30 days before the visit, valid for 365",
        ),
        (
            wish(vetting_min=4),
            offer(checked=-400 * DAY),
            "vetting",
            "审核：4 级，需要 4 级（心愿要求）；核查于 2025-10-19，服务时已 400 天，超过 365 天须重新核查",
            "vetting: level 4, needs 4 (the wish asks for it); checked on 2025-10-19, 400 days before the visit: older than 365, check again",
        ),
        (
            wish(vetting_min=4),
            offer(checked=2 * DAY),
            "vetting",
            "审核：4 级，需要 4 级（心愿要求）；核查日期 2026-11-25 晚于服务时间",
            "vetting: level 4, needs 4 (the wish asks for it); the check is dated 2026-11-25, after the visit",
        ),
        (wish(), offer(windows=[(30, 200)]), "time", "时间：最早 11-23 20:30:00 可开始", "time: can begin at 11-23 20:30:00"),
        (wish(), offer(windows=[(0, 30)]), "time", "时间：没有够长的共同时段", "time: no window in common is long enough"),
        (wish(), offer(), "posted", "服务状态：开放", "offer: open"),
        (wish(), offer(), "meeting", "能否配对：没有解除过", "meeting: never parted from this wish"),
        (wish(), offer(capacity=3), "capacity", "接单量：手上 0 单，最多 3 单", "capacity: has 0, takes 3 at most"),
    ],
)
def test_each_rule_says_what_it_looked_at(wished: Event, offered: Event, rule: str, zh: str, en: str) -> None:
    assert (zh, en) == said(wished, offered, rule)


@pytest.mark.parametrize(
    ("rule", "facts", "zh", "en"),
    [
        ("time", {"blocked_by": "slots", "slots": 2}, "（现有 2 个）", "leave no room (2 planned)"),
        ("time", {"blocked_by": "rest", "rest_minutes": 45}, "要的休息（45 分钟）", "wants between visits (45 min)"),
        ("time", {"blocked_by": "week", "per_week_max": 3}, "已到上限（3 次）", "limit a week is reached (3)"),
        ("time", {"blocked_by": "too_late"}, "剩下的时间已不够", "has not enough time left"),
        ("posted", {"status": "suspended"}, "已暂停", "suspended"),
        ("meeting", {"parted": True, "helps_already": False}, "不再配对", "do not meet again"),
        ("meeting", {"parted": False, "helps_already": True}, "已在帮这个心愿", "helps with this wish already"),
        ("together", {"places_free": 2, "start": None, "with": []}, "没有第二位能同时到", "nobody else can come at the same time"),
        ("together", {"places_free": 1, "start": None, "with": []}, "两人一组", "come in twos"),
    ],
)
def test_a_rule_that_is_not_passed_says_why(rule: str, facts: dict[str, Any], zh: str, en: str) -> None:
    chinese, english = verdict_words(Verdict(rule, passed=False, facts=facts))
    assert zh in chinese
    assert en in english


def test_who_comes_along_is_named_by_the_offer() -> None:
    words = verdict_words(Verdict("together", passed=True, facts={"places_free": 2, "start": instant(0), "with": ["o2"]}))
    assert ("两人同行：可与服务 o2 同行，11-23 20:00:00 开始", "two together: with offer o2, at 11-23 20:00:00") == words


def test_every_code_has_words() -> None:
    assert set(REFUSED_AS) == set(RULES) == set(judging._SENTENCES)
    assert {"open", "withdrawn", "suspended", "lapsed"} == set(OFFER_STATES)
    assert {"minor", "left_behind_children", "lives_alone", "vetting_min"} == set(DEMANDS)
    assert set(reasons.BLOCKS) == set(BLOCKS)


# ---- the conclusions


def test_a_match_is_said_to_be_one() -> None:
    zh, en = answered(given(offer(), wish()))
    assert "它就是这个心愿的帮手（配对，已提议）：同单元，11月23日（周一）20:00至21:00" in zh
    assert "It is one of this wish's helpers (paired, proposed): same stairway, Mon 23 Nov 20:00-21:00" in en


def test_a_wish_that_is_over_is_matched_no_more() -> None:
    scene = waiting(wish(), offer())
    scene.when(wish_withdrawn())
    assert ("心愿已撤回，不再配对。", "The wish is withdrawn: it is matched no more.") == answered(scene)


def test_the_rules_that_are_not_passed_are_summed_up() -> None:
    scene = waiting(wish(vetting_min=3), offer(level=2, windows=[(0, 30)]))
    assert ("不满足：审核、时间。", "Not passed: vetting, time.") == answered(scene)


def test_the_first_is_next() -> None:
    zh, en = answered(waiting(wish(), offer()))
    assert "排在最前" in zh
    assert "it is next" in en


@pytest.mark.parametrize(
    ("first", "own", "zh", "en"),
    [
        ({}, {"home": "c1"}, "距离（它同单元，本服务同社区）", "distance (it: same stairway; this one: same community)"),
        ({}, {"skills": ["haircut", "repair"]}, "少占用稀缺技能（权重：它 1024，本服务 2048）", "(weight: it 1024, this one 2048)"),
        ({"capacity": 2}, {"capacity": 2, "volunteer": "busy"}, "手上约定的多少（它 0，本服务 1）", "visits planned (it: 0; this one: 1)"),
        ({}, {}, "按编号先后", "the order of ids"),
    ],
)
def test_who_comes_first_is_told_with_the_reason(first: dict[str, Any], own: dict[str, Any], zh: str, en: str) -> None:
    busy = offer("o0", volunteer="busy", skills=["cooking"]), wish("w0", skills=["cooking"], wanted=(0, 60))
    chinese, english = answered(waiting(wish(), *busy, offer("o1", **first), offer("o2", **own)), "o2")
    assert "前面还有 1 份服务。最前是服务 o1" in chinese
    assert zh in chinese
    assert "1 come before it. The first is offer o1" in english
    assert en in english


def test_who_had_fewer_visits_comes_first_and_is_told_so() -> None:
    scene = waiting(wish(), offer("o1"), offer("o2"))
    scene.area.volunteers["volunteer-of-o2"].visits = 2
    chinese, english = answered(scene, "o2")
    assert "做过的服务次数（它 0，本服务 2）" in chinese
    assert "visits so far (it: 0; this one: 2)" in english


def test_who_has_the_wish_and_why_is_told() -> None:
    zh, en = answered(given(offer("o1"), offer("o2", home="c1"), wish()), "o2")
    assert "心愿不再找人（已有人选，待确认）。帮手是服务 o1，它排在前面：距离（它同单元，本服务同社区）。" == zh
    assert "Offer o1 helps and comes first: distance (it: same stairway; this one: same community)." in en


def test_who_came_too_late_is_told_so() -> None:
    zh, en = answered(given(offer("o1", home="c1"), wish(), offer("o2")), "o2")
    assert "以现在的情形本服务会排在前面" in zh
    assert "it was not posted or not free when the match was made" in en


def test_who_was_invited_but_not_the_first_to_say_yes_is_told_so() -> None:
    invited = given(offer("o1", accepts="ask"), offer("o2", accepts="ask", home="c1"), wish(urgency="red"), policy=Policy())
    invited.when(accepted("w1", "o2"))
    zh, en = answered(invited)
    assert "帮手是服务 o2。本服务也受过邀请，但在它之前没有答应。" in zh
    assert "Offer o2 helps. This one was invited as well, and had not said yes before it." in en
    assert "not posted" not in en


def test_who_was_there_when_a_round_took_another_is_not_said_to_have_been_away() -> None:
    scene = given(offer("o1", accepts="ask"), offer("o2"), wish(wanted=(60, 240)), policy=Policy(patience_us=dict.fromkeys(("red", "yellow", "blue"), 0)))
    scene.passes(10)
    assert ["o2"] == [*scene.area.wishes["w1"].matches]
    zh, en = answered(scene)
    assert "单看次序，以现在的情形本服务会排在前面（条件完全相同，按编号先后），但定下帮手的那一轮把等待的心愿一起衡量" in zh
    assert "but the round that took the helper weighed all that waited together" in en


def test_who_claimed_the_wish_is_told() -> None:
    scene = waiting(wish(), offer("o1"), offer("o2"))
    scene.when(claim("w1", "o2"))
    zh, en = answered(scene)
    assert "帮手是服务 o2，由其志愿者认领。" in zh
    assert "Offer o2 helps: its volunteer claimed the wish." in en


def test_of_a_wish_that_has_its_helper_an_offer_that_fails_is_not_ranked() -> None:
    zh, en = answered(given(offer("o1"), offer("o2", level=0), wish(vetting_min=1)), "o2")
    assert "心愿不再找人（已有人选，待确认）。帮手是服务 o1。以现在的情形，本服务不满足：审核。" == zh
    assert "Offer o1 helps. As things are now this one does not pass: vetting." in en


def production(wished: Event, *offers: Event) -> Scene:
    """A wish that invites or waits for a round, and has been tried."""
    return given(*offers, wished, policy=Policy())


def test_an_invitation_is_said_to_hold_until_when() -> None:
    scene = production(wish(urgency="red"), offer(accepts="ask"))
    zh, en = answered(scene)
    assert "各条都满足，已受邀请，11-23 20:10:00 前有效：先答应者先得。" == zh
    assert "All rules pass and it is invited until 11-23 20:10:00: the first to accept has the wish." == en


def test_an_invitation_that_ended_is_said_to_be_over() -> None:
    scene = production(wish(urgency="red"), offer(accepts="ask"))
    scene.area.wishes["w1"].invited["o1"] = instant(0)
    zh, en = answered(scene)
    assert "邀请已于 11-23 20:00:00 结束" in zh
    assert "may still claim the wish" in en


def test_who_is_asked_is_told_that_others_need_not_be() -> None:
    scene = given(offer("o1", accepts="ask"), offer("o2", home="c1"), policy=Policy())
    scene.leaves_untried(wish(urgency="red"))
    zh, en = answered(scene)
    assert "最前是服务 o2：直接派单者先于须先询问者（它直接派单）。" in zh
    assert "who is simply told comes before who is asked first (it is simply told)" in en


def test_of_who_was_asked_and_has_the_wish_it_is_said_so() -> None:
    zh, en = answered(production(wish(urgency="red"), offer("o2"), offer("o1", accepts="ask")))
    assert "帮手是服务 o2，它排在前面：直接派单者先于须先询问者（它直接派单）。" in zh
    assert "it is simply told" in en
    scene = production(wish(urgency="red"), offer("o2", accepts="ask"))
    scene.when(accepted("w1", "o2"), offer("o1"))
    zh, en = answered(scene)
    assert "它须先询问" in zh
    assert "it is asked first" in en


def test_a_wish_that_does_not_ask_that_far_says_how_far_it_asks() -> None:
    zh, en = answered(production(wish(), offer(home="c1")))
    assert "目前只在本楼内找人，还没有扩大到这份服务。这类心愿按轮配对" in zh
    assert "asks only up to its own building for now, and this offer lies beyond. Such wishes are matched in rounds" in en


def test_rounds_are_explained_beside_the_order() -> None:
    zh, en = answered(production(wish(), offer("o1"), offer("o2")), "o2")
    assert "前面还有 1 份服务" in zh
    assert "这类心愿按轮配对" in zh
    assert "Such wishes are matched in rounds" in en


@pytest.mark.parametrize(
    ("more", "zh", "en"),
    [
        ({}, "马上会配对。", "about to be matched."),
        ({"invitations": 2}, "已邀请 2 份服务，先答应者先得。", "2 offers are invited: the first to accept has the wish."),
        ({"spent": 1}, "合适的 1 份服务都已邀请过，没有谁答应", "Whoever fits (1) was invited before, and nobody said yes"),
        ({"kept": 1, "reach": "area"}, "合适的 1 份服务正为更早的、须两人同去的心愿留着", "Whoever fits (1) is kept for older wishes that need two"),
        ({"late": True, "reach": "area"}, "剩下的时间已不够一次服务，", "There is not enough time left for a visit: it expires at"),
        ({"reach": "compound"}, "目前在本小区内找人，每轮都会再试，直到", "It asks up to the compound for now, and is tried again in every round, until"),
        ({"reach": "area"}, "该定的时候就会配对", "it is matched once it asks that far and its waiting ends"),
    ],
)
def test_a_waiting_wish_says_what_it_waits_for(more: dict[str, Any], zh: str, en: str) -> None:
    story = Story(AREA, "w1", "open", 1, instant(0), instant(240), wish().data)
    story.waiting = Waiting(1, {}, 1, together=False, missing=1, **more)
    screen = io.StringIO()
    explain.show(story, Console(file=screen, width=160), "both")
    assert zh in screen.getvalue()
    assert en in screen.getvalue()


def test_who_is_kept_for_an_older_wish_that_needs_two_is_told_so_and_until_when() -> None:
    scene = two_who_fall_free_in_turn()
    scene.when(wish("w2", at=0, wanted=(0, 600)))
    scene.passes(61)
    area, now = scene.area, instant(61)
    zh, en = (" ".join(part) for part in zip(*answer_words(why(area, area.wishes["w2"], area.offers["o1"], now)), strict=True))
    assert f"这份服务最迟为它留到 {clock(instant(100))}，仍可认领。" in zh
    assert f"it is kept until {clock(instant(100))} for an older wish that needs two" in en
    child, other = (judged(area, area.wishes[one], now) for one in ("w1", "w2"))
    assert (instant(100), 0, None, 1) == (child.second_at, child.kept, other.second_at, other.kept)


def what_keeps_waiting(scene: Scene) -> tuple[str, str]:
    """What `explain` concludes on `w1`, as of noon, each language as one text."""
    story = Story(AREA, "w1", "open", 2, instant(0), instant(240), wish().data)
    zh, en = zip(*conclusions(story, judged(scene.area, scene.area.wishes["w1"], instant(0))), strict=True)
    return " ".join(zh), " ".join(en)


def test_two_offers_of_one_person_are_not_said_to_lack_a_free_hour() -> None:
    zh, en = what_keeps_waiting(waiting(minors_wish(), offer("o1", volunteer="one"), offer("o2", volunteer="one")))
    assert "这个心愿须两人同行，合适的只有 1 人。" in zh
    assert "It needs two different people together; 1 would do." in en


def test_two_people_who_share_no_hour_are_said_to_share_none() -> None:
    zh, en = what_keeps_waiting(waiting(minors_wish(), offer("o1", windows=[(0, 60)]), offer("o2", windows=[(60, 120)])))
    assert "合适的人里没有两位同时有空。" in zh
    assert "no two are free at once." in en


def test_the_last_place_of_a_wish_for_two_together_is_said_to_be_left_empty() -> None:
    scene = given(offer("o1"), offer("o2"), minors_wish(helpers=3))
    scene.when(offer("o3"), offer("o4"))
    zh, en = what_keeps_waiting(scene)
    assert zh.startswith("只缺一人，而新的帮手须两人一组：除非已定的人有变，这个名额不再补，")
    assert en.startswith("It lacks one helper, and new ones come in twos: unless somebody who is to come is lost, that place stays empty, until ")
    assert "free at once" not in en


def test_who_is_a_helper_already_is_not_said_to_have_no_time() -> None:
    scene = given(offer("o1"), wish(helpers=2))
    story = Story(AREA, "w1", "open", 2, instant(0), instant(240), wish().data)
    story.waiting = judged(scene.area, scene.area.wishes["w1"], instant(0))
    screen = io.StringIO()
    explain.show(story, Console(file=screen, width=160), "both")
    assert "时间不合、已是帮手，或不能再配对" in screen.getvalue()
    assert "no free time that fits, a helper already, or parted before" in screen.getvalue()


def test_an_invitation_that_is_over_is_told_without_a_time_that_nobody_kept() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red"), policy=Policy())
    scene.passes(60)
    zh, en = answered(scene)
    assert "已邀请过，那次邀请已经结束；仍可认领，重新登记服务后也会再受邀请。" in zh
    assert "it was invited before and that invitation is over" in en


def test_whoever_said_no_to_an_invitation_is_told_so() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red"), declined(at=1), policy=Policy())
    zh, en = answered(scene)
    assert "对邀请答复了不能去；不再为这个心愿邀请，仍可认领。" in zh
    assert "it said no to the invitation: it is not invited to this wish again, and may still claim it." in en


def test_a_wish_for_which_it_is_too_late_is_not_said_to_be_tried_again() -> None:
    story = Story(AREA, "w1", "open", 1, instant(0), instant(240), wish().data)
    assert 1 == len(conclusions(story, Waiting(1, {"not_available": 1}, 0, together=False, missing=1, reach="area", late=True)))


# ---- on the screen


def pair_of(scene: Scene, wished: Event, offer_id: str = "o1") -> Pair:
    answer = why(scene.area, scene.area.wishes[wished.data.wish_id], scene.area.offers[offer_id], instant(0))
    return Pair(AREA, wished.data, offer_id, answer)


def test_every_rule_stands_on_the_screen_in_both_languages_with_its_mark() -> None:
    wished = minors_wish()
    screen = shown(pair_of(waiting(wished, offer(level=2)), wished))
    assert 1 == screen.count("✗ ")
    assert "  ✗ 审核：2 级，需要 4 级（未成年人）" in screen
    assert "    vetting: level 2, needs 4 (it is for a minor)" in screen
    assert 7 == screen.count("✓ ")
    assert screen.endswith("不满足：审核。\nNot passed: vetting.\n")


@pytest.mark.parametrize(("lang", "there", "gone"), [("zh", "技能：", "skills:"), ("en", "skills:", "技能：")])
def test_one_language_is_enough(lang: Lang, there: str, gone: str) -> None:
    wished = wish()
    screen = shown(pair_of(waiting(wished, offer()), wished), lang)
    assert there in screen
    assert gone not in screen


def test_the_rules_are_left_out_where_it_is_its_match() -> None:
    wished = wish()
    screen = shown(pair_of(given(offer(), wished), wished))
    assert "It is one of this wish's helpers" in screen
    assert "✗" not in screen


def test_nobody_is_named() -> None:
    wished = minors_wish(resident="resident-secret")
    people: dict[str, Any] = {"volunteer": "volunteer-secret", "organisation": "organisation-secret"}
    for scene in (waiting(wished, offer(**people)), given(offer(**people), offer("o2"), wished), given(offer(**people), offer_withdrawn(), wished)):
        assert "secret" not in shown(pair_of(scene, wished))


def test_a_waiting_wish_shows_the_nearest_that_almost_fit() -> None:
    wished = wish(vetting_min=2)
    scene = waiting(wished, offer("o1", level=1), offer("o2", level=0, windows=[(0, 30)]))
    nearest = [(one.id, verdict) for one, verdict in almost(scene.area, scene.area.wishes["w1"], instant(0))]
    story = Story(AREA, "w1", "open", 1, instant(0), instant(240), wished.data)
    story.waiting = Waiting(2, {"vetting_too_low": 2}, 0, together=False, missing=1, nearest=nearest)
    screen = io.StringIO()
    explain.show(story, Console(file=screen, width=160), "both")
    assert "最近的、只差一条的服务" in screen.getvalue()
    assert "服务 o1　审核：1 级，需要 2 级（心愿要求）" in screen.getvalue()
    assert "offer o1  vetting: level 1, needs 2 (the wish asks for it)" in screen.getvalue()
    assert "o2" not in screen.getvalue()


def test_of_a_wish_that_waits_nobody_may_almost_fit() -> None:
    wished = wish()
    scene = given(offer(accepts="ask"), wished, declined())
    assert [] == almost(scene.area, scene.area.wishes["w1"], instant(0))
    story = Story(AREA, "w1", "open", 1, instant(0), instant(240), wished.data)
    story.waiting = Waiting(1, {"not_available": 1}, 0, together=False, missing=1)
    screen = io.StringIO()
    explain.show(story, Console(file=screen, width=160), "en")
    assert "fail one rule alone" not in screen.getvalue()


# ---- the ladder and the invitations, as `explain` and `watch` tell them


def test_an_invitation_says_until_when() -> None:
    invited = event("helper.invited.v1", "w1", {"wish_id": "w1", "offer_id": "o1", "expires_at": text_of(10)})
    assert (
        "邀请服务 o1 来帮心愿 w1，11-23 20:10:00 前有效，先答应者先得",
        "offer o1 is invited to wish w1 until 11-23 20:10:00; the first to accept has it",
    ) == tell(invited)


def test_a_wider_circle_is_named() -> None:
    widened = event("wish.widened.v1", "w1", {"wish_id": "w1", "reach": "compound"})
    assert ("心愿 w1 扩大到本小区找人", "wish w1 now asks up to the compound") == tell(widened)


@pytest.mark.parametrize(("when", "zh", "en"), [(None, "", ""), (window(0, 60), "，11月23日（周一）20:00至21:00", ", Mon 23 Nov 20:00-21:00")])
def test_what_nobody_meets_is_named(when: dict[str, str] | None, zh: str, en: str) -> None:
    need: dict[str, Any] = {"skills": ["electrician"], "vetting": 2, "rung": "compound"}
    if when is not None:
        need["window"] = when
    unmet = event("wish.unmet.v1", "w1", {"wish_id": "w1", "need": need})
    assert (
        f"心愿 w1 无人能满足：electrician，审核 2 级，本小区内{zh}",
        f"nobody meets wish w1: electrician at vetting level 2 within the compound{en}",
    ) == tell(unmet)
