"""What a community worker does when things go wrong, to its end, and what all whom it concerns are told: a no, a suspended offer, nobody who comes."""

from __future__ import annotations

from uuid import uuid4

import pytest
from playwright.async_api import Locator

from schemas.instants import MINUTE_US
from services.notifier import notices
from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitor, Visitors, resident, volunteer
from tests.browser.stage import Stage
from tests.browser.town import AREA, HOME, Town

LAPTOP = 1280
STEPS_MAX = 120
# As `test_watching` does: no test waits for a clock.
TIME_PASSES = "UPDATE notifying.visits SET watched_us = 0, watch_at_us = 0, starts_at_us = starts_at_us - $2 WHERE match_id = $1"
IN_APP = "INSERT INTO notifying.app_inbox (key, ref, kind, text) VALUES ($1, $2, $3, $4)"
NOTED = """
    INSERT INTO notifying.notices (key, wish_id, partition, area, party, kind, ref, language, text, state, due_at, sent_at)
    VALUES ($1, $2, 0, $3, 'worker', 'unconsented', $4, $5, 'x', 'sent', now(), '2026-11-24T00:00:00Z')
"""
# Where the focus is: whether it is on this element, and whether somebody sees that, once the browser has scrolled there (of a radio button its label shows it).
FOCUSED = """async element => {
    if (document.activeElement !== element) return null;
    await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const shown = [element, element.nextElementSibling].filter(Boolean).some(one => getComputedStyle(one).outlineStyle !== "none");
    const box = element.getBoundingClientRect();
    return shown && box.top > -1 && box.bottom < innerHeight + 1;
}"""


async def tabs_to(visitor: Visitor, locator: Locator) -> None:
    """Go on with the tabulator until something has the focus, and seen."""
    for _ in range(STEPS_MAX):
        await visitor.page.keyboard.press("Tab")
        if (seen := await locator.first.evaluate(FOCUSED)) is not None:
            assert seen, f"the focus on {locator} is not seen"
            return
    raise AssertionError(f"the tabulator does not come to {locator}")


async def match_of(town: Town, wish: str, state: str) -> tuple[str, str]:
    """The wish's match in a state: its id, and its offer."""
    await town.match_is(wish, state)
    found = await town.board.fetchrow("SELECT match_id, offer_id FROM gateway.matches WHERE wish_id = $1 AND state = $2", wish, state)
    assert found is not None
    return found["match_id"], found["offer_id"]


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "sport")])
async def test_a_no_parts_the_pair_for_good_and_the_next_helper_is_approved(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town = town_hall.town
    for who in ("first", "second"):
        await town.offer(f"vol-{skill}-{who}", skills=(skill,))
    wish = await town.wish(f"先问社区 {skill}", skill, urgency="red", hours=(0, 3), approval="worker")
    _, first = await match_of(town, wish, "proposed")
    async with come.come(WORKER, width, lang) as worker:
        page = worker.page
        no = page.get_by_role("button", name=worker.words("不同意", "Do not approve"), exact=True)
        await worker.open(f"/wish/{AREA}/{wish}")
        await worker.is_well_made()
        await worker.tap(no)
        await worker.sees(page.get_by_role("status").get_by_text(worker.words("已记下不同意", "Your no is noted")))
        released = page.locator("article", has_text=first)
        await worker.sees(released.get_by_text(worker.words("已解除", "Released"), exact=True))
        assert await released.get_by_role("button").count() == 0
        _, second = await match_of(town, wish, "proposed")
        assert first != second
        await worker.sees_after_reloading(f"/wish/{AREA}/{wish}", no)
        await worker.is_well_made()
        await worker.tap(page.get_by_role("button", name=worker.words("同意", "Approve"), exact=True))
        assert (await match_of(town, wish, "confirmed"))[1] == second
    async with come.come(volunteer(first.removeprefix("offer-")), width, lang) as helper:
        await helper.open("/mine")
        await helper.sees(
            helper.page.get_by_text(helper.words("已取消：志愿者来不了，或未获同意", "Cancelled: The volunteer can't come, or it was not approved"))
        )
        await helper.is_well_made()


@pytest.mark.parametrize(("width", "lang", "skill"), [(DESK, "zh-CN", "cooking")])
async def test_a_suspended_offer_sends_nobody_and_all_whom_it_concerns_read_so(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town, ref = town_hall.town, f"vol-{skill}"
    offer = await town.offer(ref, skills=(skill,))
    wish = await town.wish(f"不能再去的事 {skill}", skill, urgency="red", hours=(0, 3))
    await town.match_is(wish, "confirmed")
    await town.say("offer.suspended", offer, {"offer_id": offer, "reason": "复核"})
    await town.match_is(wish, "released")
    async with come.come(volunteer(ref), width, lang) as helper, come.come(resident(f"res-{wish}"), width, lang) as wisher:
        told = helper.page.get_by_text(helper.words("已取消，请不必前往", "please do not set out"))
        await helper.sees_after_reloading("/inbox", told)
        await helper.is_well_made()
        await helper.open("/mine")
        await helper.sees(helper.page.get_by_text(helper.words("已取消：为了安全", "Cancelled: For safety")))
        await helper.open("/wall")
        await helper.sees(helper.page.get_by_text(helper.words("现在没有您有效的服务登记", "No offer of yours")))
        await helper.is_well_made()
        await wisher.sees_after_reloading("/inbox", wisher.page.get_by_text(wisher.words("不能如约了", "can't take place")))
        await wisher.open(f"/wishes/{wish}")
        await wisher.sees(wisher.page.get_by_text(wisher.words("正在身边找帮手", "We are looking for a helper nearby")))
        await wisher.is_well_made()
    async with come.come(WORKER, width, lang) as worker:
        await worker.open(f"/wish/{AREA}/{wish}")
        await worker.sees(worker.page.locator("dd", has_text=worker.words("为安全起见", "for safety")))
        await worker.is_well_made()


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "en", "shopping")])
async def test_where_nobody_comes_the_household_and_the_desk_hear_and_the_call_back_finds_another(
    come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str
) -> None:
    town, stairway = town_hall.town, HOME | {"unit": f"u{8 if lang == 'en' else 9}"}
    household = f"vol-centre-{skill}"
    await town.offer(household, skills=("nothing_else",), home=stairway, organisation="三栋中心户")
    await town.offer(f"vol-{skill}", skills=(skill,))
    await town.shows("SELECT EXISTS (SELECT FROM notifying.households WHERE open AND volunteer_ref = $1)", household)
    wish = await town.wish(f"没有人来 {skill}", skill, urgency="red", hours=(0, 3), place=stairway)
    match, offer = await match_of(town, wish, "confirmed")
    for minutes, who in ((20, volunteer(household)), (20, WORKER)):
        await town.shows("SELECT EXISTS (SELECT FROM notifying.visits WHERE match_id = $1 AND watched_us IS NOT NULL)", match)
        await town.board.execute(TIME_PASSES, match, minutes * MINUTE_US)
        async with come.come(who, width, lang) as called:
            alarm = called.page.locator("article", has_text=wish)
            await called.sees_after_reloading("/inbox", alarm.get_by_text(called.words("有帮手还没有报到", "a helper has not reported")))
            await called.is_well_made()
            if who is WORKER:
                await called.tap(alarm.get_by_role("link", name=called.words("看这个心愿", "See the wish")))
                await called.page.wait_for_url(f"**/wish/{AREA}/{wish}")
                page = called.page
                await called.tap(page.locator("summary", has_text=called.words("回访：记下结果", "Call back: note the outcome")))
                await called.is_well_made()
                await called.tap(page.locator("form[action$='/call-back'] label", has=page.locator("[value=not_done]")))
                await page.locator("form[action$='/call-back'] [name=reason]").fill(called.words("居民说没有人来", "The resident says that nobody came"))
                await town.offer(f"vol-{skill}-instead", skills=(skill,))
                await called.tap(page.get_by_role("button", name=called.words("记下", "Note it")))
                await called.sees(page.get_by_role("status").get_by_text(called.words("回访结果已记下", "What you heard is noted")))
                await town.shows("SELECT EXISTS (SELECT FROM notifying.no_shows WHERE match_id = $1)", match)
                await town.shows("SELECT EXISTS (SELECT FROM gateway.matches WHERE wish_id = $1 AND offer_id <> $2)", wish, offer)
                await called.open(f"/wish/{AREA}/{wish}")
                await called.is_well_made()
    async with come.come(volunteer(f"vol-{skill}"), width, lang) as helper:
        await helper.open("/mine")
        await helper.sees(helper.page.locator("ul.past", has_text=helper.words("没有办成", "Not done")))
        await helper.is_well_made()


@pytest.mark.parametrize(("lang", "skill"), [("en", "guide")])
async def test_a_worker_withdraws_and_acknowledges_for_a_resident_by_keyboard_alone(come: Visitors, town_hall: Stage, lang: Lang, skill: str) -> None:
    town = town_hall.town
    await town.offer(f"vol-{skill}", skills=(skill,))
    visited = await town.wish(f"替居民说一声 {skill}", skill, urgency="red", hours=(0, 3))
    unwanted = await town.wish(f"替居民撤回 {skill}", f"{skill}_nobody", urgency="red", hours=(0, 3))
    match, offer = await match_of(town, visited, "confirmed")
    await town.say("service.started", match, {"wish_id": visited, "offer_id": offer, "match_id": match})
    await town.match_is(visited, "started")
    async with come.come(WORKER, LAPTOP, lang) as worker:
        page, press = worker.page, worker.page.keyboard.press
        for wish in (visited, unwanted):
            link = page.locator(f"#parts a[href='/wish/{AREA}/{wish}']")
            await worker.sees_after_reloading("/monitor", link)
            await tabs_to(worker, link)
            await press("Enter")
            for_them = page.get_by_role("link", name=worker.words("替居民撤回，或说说办得怎样", "Withdraw it for the resident, or say how it went"))
            await worker.sees(for_them)
            await worker.is_well_made()
            await tabs_to(worker, for_them)
            await press("Enter")
            if wish == visited:
                outcome = page.locator("[name=outcome][value=done]")
                await worker.sees(page.locator("#word"))
                await tabs_to(worker, outcome)
                await press("ArrowRight")
                assert await page.locator("[name=outcome][value=partly]").is_checked()
                await tabs_to(worker, page.get_by_role("button", name=worker.words("确认", "Confirm")))
                await press("Enter")
                await worker.sees(page.get_by_role("status").get_by_text(worker.words("谢谢您的回音", "Thank you for your word")))
                await town.shows("SELECT EXISTS (SELECT FROM gateway.reports WHERE wish_id = $1 AND said ->> 'outcome' = 'partly')", wish)
            else:
                await worker.sees(page.locator("summary"))
                await tabs_to(worker, page.locator("summary"))
                await press("Space")
                await tabs_to(worker, page.get_by_role("button", name=worker.words("撤回这个心愿", "Withdraw this wish")))
                await press("Enter")
                await worker.sees(page.get_by_role("status").get_by_text(worker.words("心愿已撤回", "The wish is withdrawn")))
                await town.wish_is(wish, "withdrawn")
            await worker.is_well_made()


@pytest.mark.parametrize(("width", "lang"), [(PHONE, "zh-CN"), (DESK, "en")])
async def test_notices_of_all_kinds_are_read_in_the_app_by_whom_they_are_for(come: Visitors, town_hall: Stage, width: int, lang: Lang) -> None:
    town, number = town_hall.town, uuid4().hex[:6]
    wish = await town.wish("有各种消息的事", "nobody_can_this", resident_ref=f"res-{number}")
    await town.wish_is(wish, "open")
    about = {"near": "same stairway", "category": "elder care", "when": "Wed 25 Nov", "by": "16:00", "reach": "area", "skills": "x", "vetting": "4"}
    people = {"resident": resident(f"res-{number}"), "volunteer": volunteer(f"vol-{number}"), "household": volunteer(f"vol-house-{number}"), "worker": WORKER}
    refs = {"resident": f"res-{number}", "volunteer": f"vol-{number}", "household": f"vol-house-{number}", "worker": f"desk-{AREA}"}
    long = f"{wish}-{'x' * 80}"  # the contract allows ids of 128 characters
    told: dict[str, list[str]] = {party: [] for party in people}
    for (kind, party, *_), template in notices.templates(lang).items():
        key, text = uuid4(), template.format(**about, wish_id=long)
        await town.board.execute(IN_APP, key, refs[party], kind, text)
        if party == "worker":
            await town.board.execute(NOTED, key, wish, AREA, refs[party], lang)
        told[party].append(text)
    for party, who in people.items():
        async with come.come(who, width, lang) as reader:
            page = reader.page
            if party == "worker":  # who has the monitor open all day learns there that something is new
                await reader.open("/monitor")
                await reader.tap(page.get_by_role("link", name=reader.words("新消息", "New messages")))
                await page.wait_for_url("**/inbox")
            await reader.open("/inbox")
            await reader.is_well_made()
            read = [text.strip() for text in await page.locator("article p:first-of-type").all_inner_texts()]
            assert sorted(told[party]) == sorted(text for text in read if text in told[party]), party
            if party == "worker":
                await reader.tap(page.locator("article", has_text=long).get_by_role("link", name=reader.words("看这个心愿", "See the wish")))
                await page.wait_for_url(f"**/wish/{AREA}/{wish}")
                await reader.open("/inbox")
            await reader.tap(page.get_by_role("button", name=reader.words("全部标为已读", "Mark all as read")))
            await reader.sees(page.get_by_role("status").get_by_text(reader.words("已标为已读", "Marked as read")))
            assert await page.get_by_text(reader.words("新", "New"), exact=True).count() == 0
