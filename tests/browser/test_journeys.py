"""People walk their ways through the running system in a real browser: on a phone and at a desk, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.edge import SESSION_COOKIE
from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitor, Visitors, resident, session_of, volunteer
from tests.browser.stage import Stage
from tests.browser.town import AREA, HOME

# A skill of its own for each walk, so that nobody of another walk is asked. Each width and each language once.
WALKS = pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "sewing"), (DESK, "en", "calligraphy")])
# Taps whatever button is in a card, again and again, until half a second after an answer has come there; how many taps these were.
IMPATIENT = """selector => new Promise(ends => {
    let taps = 0, since = 0;
    const again = setInterval(() => {
        if (!since && document.querySelector(`${selector}[tabindex]`)) since = Date.now();
        if (since && Date.now() - since > 500) { clearInterval(again); ends(taps); return; }
        const button = document.querySelector(`${selector} form button:enabled`);
        if (button) { taps += 1; button.click(); }
    }, 5);
})"""


async def claim(visitor: Visitor, title: str) -> None:
    """Find a wish on the wall by its title, and tap."""
    card = visitor.page.locator("article", has=visitor.page.get_by_role("heading", name=title, exact=True))
    await visitor.sees_after_reloading("/wall", card)
    await visitor.is_well_made()
    await visitor.tap(card.get_by_role("button"))


@WALKS
async def test_a_member_claims_accepts_sets_out_and_finishes(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town, ref = town_hall.town, f"vol-{skill}"
    await town.offer(ref, skills=(skill,), accepts="ask")
    title = f"慢慢来的事 {skill}"
    later = await town.wish(title, skill)
    async with come.come(volunteer(ref), width, lang) as member:
        await claim(member, title)
        await member.sees(member.page.get_by_text(member.words("认领成功", "It is yours")))
        await member.is_well_made()
        await town.match_is(later, "confirmed")

        now = await town.wish(f"马上要办的事 {skill}", skill, urgency="red", hours=(0, 3))
        asked = member.page.locator("article", has=member.page.get_by_role("heading", name=f"马上要办的事 {skill}"))
        await member.sees_after_reloading("/mine", asked)
        await member.is_well_made()
        await member.tap(asked.get_by_role("button", name=member.words("我能去", "Yes, I will come")))
        await town.match_is(now, "confirmed")
        await member.sees_after_reloading("/mine", asked.get_by_role("button", name=member.words("我到了", "I am there")))
        assert await asked.get_by_text(member.words("3 栋", "building 3")).count() == 1
        await member.tap(asked.get_by_role("button", name=member.words("我到了", "I am there")))
        await town.match_is(now, "started")
        await member.sees_after_reloading("/mine", asked.get_by_role("button", name=member.words("办完了", "Done")))
        await asked.get_by_role("combobox").select_option("45")
        await member.tap(asked.get_by_role("button", name=member.words("办完了", "Done")))
        await town.match_is(now, "finished")

        match = await town.board.fetchrow("SELECT match_id, offer_id FROM gateway.matches WHERE wish_id = $1 AND state = 'finished'", now)
        assert match is not None
        await town.say("service.acknowledged", now, {"wish_id": now, **dict(match), "by": "resident", "outcome": "done", "rating": 5})
        await town.match_is(now, "closed")
        await member.sees_after_reloading("/mine", member.page.locator(".stat b", has_text="0.75"))
        await member.is_well_made()

        # The board hears of a first end alone; what the community says later is in the books, and so is it on the page.
        await town.say("service.acknowledged", now, {"wish_id": now, **dict(match), "by": "community", "outcome": "not_done"})
        await member.sees_after_reloading("/mine", member.page.get_by_text(member.words("没有办成 · 后来有更正", "Not done · corrected since")))
        assert await member.page.locator(".stat b", has_text="0.75").count() == 0
        await member.is_well_made()

    # So it is for those who wished and for those who watch.
    async with come.come(resident(f"res-{now}"), width, lang) as wisher, come.come(WORKER, width, lang) as worker:
        told = wisher.words("没有办成 · 后来有更正", "Not done · corrected since")
        await wisher.sees_after_reloading(f"/wishes/{now}", wisher.page.get_by_text(told))
        over = wisher.words("已结束，结果有更正", "Over, the outcome was corrected")
        await wisher.sees(wisher.page.get_by_text(over))
        await wisher.is_well_made()
        await wisher.open("/wishes")
        await wisher.sees(wisher.page.get_by_text(over))
        await worker.open(f"/wish/{AREA}/{now}")
        at_first = worker.words("没有办成，计 0 分钟 · 后来有更正；先前为：已办好，45 分钟", "not done, 0 min count · corrected since; at first: done, 45 min")
        await worker.sees(worker.page.get_by_text(at_first))
        await worker.sees(worker.page.get_by_text(over))
        await worker.is_well_made()
        await worker.open("/monitor")
        await worker.sees(worker.page.locator(f"li.wish a[href='/wish/{AREA}/{now}']", has_text=over))


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "drawing"), (DESK, "en", "music")])
async def test_without_javascript_a_claim_has_its_answer_and_whoever_is_late_the_next_best(
    come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str
) -> None:
    town = town_hall.town
    for who in ("first", "second"):
        await town.offer(f"vol-{skill}-{who}", skills=(skill,))
    title, other = f"只要一位 {skill}", f"还有一件 {skill}"
    wish = await town.wish(title, skill)
    await town.wish_is(await town.wish(other, skill), "open")
    async with (
        come.come(volunteer(f"vol-{skill}-first"), width, lang, scripts=False) as first,
        come.come(volunteer(f"vol-{skill}-second"), width, lang, scripts=False) as second,
    ):
        card = second.page.locator("article", has=second.page.get_by_role("heading", name=title, exact=True))
        await second.sees_after_reloading("/wall", card)
        await claim(first, title)
        await first.sees(first.page.get_by_text(first.words("认领成功", "It is yours")))
        await town.wish_is(wish, "held", "matched")
        await second.tap(card.get_by_role("button"))
        await second.sees(second.page.get_by_text(second.words("这次没认领上", "Not this time")))
        await second.sees(second.page.get_by_role("heading", name=other))
        answer = second.page.url.removeprefix(second.url)
    async with come.come(volunteer(f"vol-{skill}-second"), width, lang) as again:
        await again.open(answer)
        await again.is_well_made()


async def test_taps_that_go_on_when_the_answer_has_come_claim_nothing_that_came_in_its_place(come: Visitors, town_hall: Stage) -> None:
    town, skill = town_hall.town, "guitar"
    for who in ("first", "second"):
        await town.offer(f"vol-{skill}-{who}", skills=(skill,))
    wish, other = await town.wish("抢着认领的事", skill), await town.wish("没有人点过的事", skill)
    await town.wish_is(other, "open")
    async with come.come(volunteer(f"vol-{skill}-first")) as first, come.come(volunteer(f"vol-{skill}-second")) as second:
        page = second.page
        card = page.locator(f"#wish-{wish}")
        await second.sees_after_reloading("/wall", card)
        await claim(first, "抢着认领的事")
        await first.sees(first.page.get_by_text("认领成功"))
        # The answer is lost: what is said of it stands beside what was tapped, which keeps the focus.
        await page.route("**/claim", lambda route: route.abort("connectionreset"))
        await second.tap(card.get_by_role("button"))
        await second.sees(card.get_by_role("alert").get_by_text("已经送到的不会重复"))
        await page.wait_for_function("selector => document.activeElement.matches(`${selector} button`)", arg=f"#wish-{wish}")
        await page.unroute("**/claim")
        # On and on until half a second after the answer: the wish that is offered in its place has a button where the finger is.
        assert 1 < await page.evaluate(IMPATIENT, f"#wish-{wish}")
        await second.sees(card.get_by_text("这次没认领上"))
        await second.sees(card.get_by_role("heading", name="没有人点过的事"))
        assert [0, 1] == [await card.get_by_role("alert").count(), await card.locator("form button:enabled").count()]
        assert page.url == f"{second.url}/wall"
        assert 0 == await town.board.fetchval("SELECT count(*) FROM gateway.matches WHERE wish_id = $1", other)


async def test_a_wish_that_was_filled_in_when_the_session_ended_is_kept_for_whom_it_was(come: Visitors, town_hall: Stage) -> None:
    board = town_hall.town.board
    async with come.come(resident("res-kept")) as visitor:
        page = visitor.page

        async def comes_back(who: dict[str, Any]) -> None:
            secret = await session_of(board, who)
            await page.context.add_cookies([{"name": SESSION_COOKIE, "value": secret, "url": visitor.url, "httpOnly": True, "sameSite": "Lax"}])
            await visitor.open("/enter")

        await visitor.open("/enter")
        await page.locator("#title").fill("这一句不会丢")
        await visitor.tap(page.locator("label", has=page.locator("#category-repair")))
        await page.context.clear_cookies()  # as its end, or signing out in another tab, leaves it
        await visitor.tap(page.get_by_role("button", name="提交心愿"))
        await visitor.sees(page.get_by_text("您的登录已结束，刚才的没有送出"))
        assert "/enter" == await page.locator("[name=next]").input_value()
        await comes_back(resident("res-kept"))
        await visitor.sees(page.get_by_text("没有送出的内容还在"))
        assert "这一句不会丢" == await page.locator("#title").input_value()
        assert await page.locator("#category-repair").is_checked()
        await visitor.is_well_made()

        # A browser's own cache has the form of before: what is sent by it now is another wish, and not a repeat.
        form = await page.locator(".wish-form").evaluate("form => Object.fromEntries(new FormData(form))")
        form["where"] = f"{HOME['community']}/{HOME['compound']}"
        for title, status in (("这一句不会丢", 303), ("这一句不会丢", 303), ("另外一件事", 422)):
            answer = await page.context.request.post(f"{visitor.url}/enter", form=form | {"title": title}, headers={"accept": "text/html"}, max_redirects=0)
            assert (title, status) == (title, answer.status)
            await town_hall.town.wish_is(form["wish_id"], "open")
        assert form["wish_id"] not in await answer.text()

        # Nobody else in the same tab reads what somebody typed.
        await page.locator("#title").fill("不给别人看")
        await page.context.clear_cookies()
        await visitor.tap(page.get_by_role("button", name="提交心愿"))
        await visitor.sees(page.get_by_text("您的登录已结束"))
        await comes_back(resident("res-other"))
        assert "" == await page.locator("#title").input_value()


async def enter(visitor: Visitor, title: str, category: str) -> None:
    """Enter an urgent wish; a phone number in it is refused kindly first."""
    page = visitor.page
    await visitor.open("/enter")
    await visitor.is_well_made()
    await visitor.tap(page.locator("label", has=page.locator(f"#category-{category}")))
    await visitor.tap(page.locator("label", has=page.locator("#urgency-red")))
    await visitor.tap(page.locator("label", has=page.locator("#when-now")))
    await page.locator("#where").select_option(f"{HOME['community']}/{HOME['compound']}")
    await page.locator("[name=building]").fill("3")
    await page.locator("#title").fill(f"{title}，电话 13812345678")
    await visitor.tap(page.get_by_role("button", name=visitor.words("提交心愿", "Send the wish")))
    await visitor.sees(page.locator("#title-wrong"))
    visitor.troubles[:] = [one for one in visitor.troubles if "422" not in one]  # Chromium reports the status of the answer
    await visitor.is_well_made()
    assert await page.locator("#title").get_attribute("aria-invalid") == "true"
    await page.locator("#title").fill(title)
    await visitor.tap(page.get_by_role("button", name=visitor.words("提交心愿", "Send the wish")))


@pytest.mark.parametrize(
    ("width", "lang", "for_somebody", "category", "skill"),
    [
        (PHONE, "zh-CN", True, "repair", "electrics"),
        (DESK, "en", True, "household", "carry"),
        (DESK, "zh-CN", False, "health", "blood_pressure"),
        (PHONE, "en", False, "study", "tutoring_maths"),
    ],
)
async def test_a_wish_is_entered_followed_and_acknowledged(
    come: Visitors, town_hall: Stage, width: int, lang: Lang, category: str, skill: str, *, for_somebody: bool
) -> None:
    town, title = town_hall.town, f"请来看看 {skill}"
    await town.offer(f"vol-{skill}", skills=(skill,))
    async with come.come(WORKER if for_somebody else resident(f"res-{skill}"), width, lang) as visitor:
        page = visitor.page
        await enter(visitor, title, category)
        await visitor.sees(page.get_by_role("heading", name=title))
        await visitor.is_well_made()
        path = page.url.removeprefix(visitor.url).partition("?")[0]
        wish = path.rpartition("/")[2]
        await town.match_is(wish, "confirmed")
        done = page.get_by_role("button", name=visitor.words("确认", "Confirm"))
        await visitor.sees_after_reloading(path, done)
        await visitor.is_well_made()
        await visitor.tap(page.locator("label", has=page.locator("[name=outcome][value='done']")))
        await visitor.tap(page.locator("label", has=page.locator("[name=rating][value='5']")))
        await visitor.tap(done)
        await visitor.sees(page.get_by_text(visitor.words("谢谢您的回音", "Thank you for your word")))
        said = await town.board.fetchval("SELECT said ->> 'by' FROM gateway.reports WHERE wish_id = $1 AND kind LIKE '%acknowledged%'", wish)
        assert said == ("community" if for_somebody else "resident")


async def test_a_resident_takes_a_wish_back(come: Visitors, town_hall: Stage) -> None:
    wish = await town_hall.town.wish("想换一下", "erhu", resident_ref="res-back")
    await town_hall.town.wish_is(wish, "open")
    async with come.come(resident("res-back")) as visitor:
        await visitor.open("/wishes")
        await visitor.is_well_made()
        await visitor.tap(visitor.page.get_by_role("link", name="想换一下"))
        await visitor.tap(visitor.page.locator("summary"))
        await visitor.tap(visitor.page.get_by_role("button", name="撤回这个心愿"))
        await visitor.sees(visitor.page.get_by_role("status").get_by_text("心愿已撤回"))
        await town_hall.town.wish_is(wish, "withdrawn")
