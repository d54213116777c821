"""A community worker watches the monitor, approves a match and sends somebody else: the journey of the desk."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route

from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitors
from tests.browser.stage import Stage
from tests.browser.town import AREA


async def test_a_monitor_left_open_shows_nothing_more_once_its_worker_has_signed_out_elsewhere(come: Visitors, town_hall: Stage) -> None:
    wish = await town_hall.town.wish("谁都不该再看见的事", "wheelchair")
    async with come.come(WORKER, DESK, "en") as worker:
        page = worker.page
        await worker.sees_after_reloading("/monitor?wall=1", page.locator(f"a[href='/wish/{AREA}/{wish}']"))
        await worker.sees(page.get_by_text("Live", exact=True))
        other = await page.context.new_page()
        await other.goto(f"{worker.url}/account")
        await other.locator("form[action='/sign-out'] button").first.click()
        # The stream looks at who reads it every half minute; once it has ended, so does the page.
        await page.wait_for_url("**/sign-in?next=%2Fmonitor%3Fwall%3D1", timeout=60_000)
        assert "谁都不该再看见的事" not in await page.content()
        await other.close()


async def test_whoever_goes_to_a_wish_while_the_monitor_asks_for_news_keeps_their_place(come: Visitors, town_hall: Stage) -> None:
    wish = await town_hall.town.wish("正要打开的事", "wheelchair")
    asked, may_come = asyncio.Event(), asyncio.Event()

    async def held(route: Route) -> None:
        asked.set()
        await may_come.wait()
        await route.continue_()

    async with come.come(WORKER, DESK, "en") as worker, asyncio.timeout(60):
        page = worker.page
        link = page.locator(f"#parts a[href='/wish/{AREA}/{wish}']")
        await worker.sees_after_reloading("/monitor", link)
        await page.route("**/monitor/parts", held)
        await worker.sees(page.get_by_text("Live", exact=True))
        await town_hall.town.wish("还有一件", "wheelchair")
        await asked.wait()
        await link.focus()
        async with page.expect_response("**/monitor/parts") as parts:
            may_come.set()
        await (await parts.value).finished()
        assert await link.evaluate("async element => { await new Promise(later => setTimeout(later, 200)); return document.activeElement === element; }")


async def test_a_list_stays_where_the_worker_has_scrolled_it_to_while_news_comes_in(come: Visitors, town_hall: Stage) -> None:
    for number in range(12):
        await town_hall.town.wish(f"排着队的第 {number} 件事", "nobody_scrolls")
    async with come.come(WORKER, DESK, "en") as worker, asyncio.timeout(60):
        page = worker.page
        waiting = page.locator("#parts .column ul").first
        await worker.sees_after_reloading("/monitor", page.locator("#parts .column").first.locator("li:nth-child(12)"))
        await worker.sees(page.get_by_text("Live", exact=True))
        assert 200 == await waiting.evaluate("list => { list.dataset.before = 'yes'; list.scrollTop = 200; return list.scrollTop; }")
        await town_hall.town.wish("又来一件", "nobody_scrolls")
        await page.locator("#parts ul[data-before]").wait_for(state="detached")
        assert 200 == await waiting.evaluate("list => list.scrollTop")

        # Whoever opened a wish elsewhere left the focus on its link: the page goes on all the same after a while, and the link keeps it.
        link = page.locator("#parts .column a").first
        address = await link.get_attribute("href")
        await link.focus()
        await link.evaluate("link => { link.dataset.before = 'yes'; const now = performance.now(); performance.now = () => now + 61_000; }")
        await town_hall.town.wish("再来一件", "nobody_scrolls")
        await page.locator("#parts a[data-before]").wait_for(state="detached")
        assert address == await page.evaluate("document.activeElement.getAttribute('href')")

        # After an hour without anybody at work on it, it begins anew, with the charts and the scripts of now.
        await page.evaluate(
            "() => { document.documentElement.dataset.before = 'yes'; const now = performance.now(); performance.now = () => now + 3_700_000; }"
        )
        await town_hall.town.wish("最后一件", "nobody_scrolls")
        await page.locator("html:not([data-before])").wait_for()


# How many of the counters, and of the board's columns, stand in each row, how high the frame is, and whether a number is broken in two.
ROWS = """() => {
    const rows = kind => Object.values(Object.groupBy(document.querySelectorAll(kind), one => one.offsetTop)).map(row => row.length);
    document.querySelectorAll('.counters b').forEach(one => { one.textContent = '2003'; });
    const broken = [...document.querySelectorAll('.counters b')].some(one => one.offsetHeight > 45 || one.scrollWidth > one.clientWidth);
    return [rows('.counters .stat'), rows('.column'), document.querySelector('.top').offsetHeight < 70, broken];
}"""


async def test_the_monitor_stands_in_whole_rows_on_each_screen_and_breaks_no_number(come: Visitors) -> None:
    async with come.come(WORKER, DESK, "en") as worker:
        await worker.open("/monitor")
        for width, counters, columns in ((1920, [8], [4]), (1366, [8], [4]), (1280, [8], [4]), (1024, [8], [4]), (768, [4, 4], [2, 2])):
            await worker.page.set_viewport_size({"width": width, "height": 768})
            assert (width, [counters, columns, True, False]) == (width, await worker.page.evaluate(ROWS))


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "law_advice"), (DESK, "en", "rehab")])
async def test_a_worker_watches_and_steps_in(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town = town_hall.town
    await town.offer(f"vol-{skill}", skills=(skill,))
    wish = await town.wish(f"要社区点头的事 {skill}", skill, urgency="red", hours=(0, 3), approval="worker")
    await town.match_is(wish, "proposed")
    async with come.come(WORKER, width, lang) as worker:
        page = worker.page
        link = page.locator(f"a[href='/wish/{AREA}/{wish}']")
        await worker.sees_after_reloading("/monitor", link)
        await worker.is_well_made()
        await worker.tap(page.locator(".map a.tile").first)  # all that is in a circle
        await worker.sees(link)
        await worker.is_well_made()
        await worker.tap(link)
        approve = page.get_by_role("button", name=worker.words("同意", "Approve"), exact=True)
        await worker.sees(approve)
        await worker.is_well_made()
        await worker.tap(approve)
        await town.match_is(wish, "confirmed")
        instead = page.locator("summary", has_text=worker.words("改派他人", "Send somebody else"))
        await worker.sees_after_reloading(f"/wish/{AREA}/{wish}", instead)
        await worker.tap(instead)
        deed = page.locator("form[action$='/redispatch']")
        await deed.locator("[name=reason]").fill(worker.words("换一位更近的", "Somebody nearer"))
        await worker.tap(deed.get_by_role("button"))
        await town.match_is(wish, "released")
        await worker.open(f"/wish/{AREA}/{wish}")
        await worker.is_well_made()
        # What the resident would say the worker says for them: on the page that the resident has, and back.
        await worker.tap(page.get_by_role("link", name=worker.words("替居民撤回，或说说办得怎样", "Withdraw it for the resident, or say how it went")))
        await worker.sees(page.get_by_role("link", name=worker.words("心愿的经过", "The wish's story")))
        await worker.is_well_made()
        await worker.tap(page.locator("summary"))
        await worker.tap(page.get_by_role("button", name=worker.words("撤回这个心愿", "Withdraw this wish")))
        await town.wish_is(wish, "withdrawn")
        await worker.tap(page.get_by_role("link", name=worker.words("心愿的经过", "The wish's story")))
        await page.wait_for_url(f"**/wish/{AREA}/{wish}")
