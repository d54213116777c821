"""What holds for all pages: light, installable, readable without a network, well made in the dark too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitors, resident, volunteer
from tests.browser.stage import Stage
from tests.browser.town import AREA, HOME, until

FIRST_PAGE_MAX = 100_000
PHONE_NOW = 390
"""Pixels that most phones of today are broad."""
NARROW = 320
"""Pixels of the narrowest phones, and of a page at a desk that is zoomed in four times."""
FRAME_MAX = 70
"""Of the frame above a page, in pixels: more is a second line, which takes a phone's room from every page."""
ROW_MAX = 160
"""Of a table's row on a phone, in pixels: more is a column so narrow that its words are broken into letters."""


def staff(role: str) -> dict[str, Any]:
    return {"account": f"account-{role}", "roles": [role], "scope": {"area": AREA}}


async def test_the_first_page_is_under_100_kb_in_all(come: Visitors, town_hall: Stage) -> None:
    await town_hall.town.offer("vol-light", skills=("photo",))
    for number in range(12):
        await town_hall.town.wish(f"拍照 {number}", "photo")
    async with come.come(volunteer("vol-light")) as member:
        sizes: dict[str, int] = {}
        session = await member.page.context.new_cdp_session(member.page)
        await session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: int(event["encodedDataLength"])}))
        await member.sees_after_reloading("/wall", member.page.get_by_role("heading", name="拍照 11"))
        sizes.clear()
        await session.send("Network.clearBrowserCache")
        await member.open("/wall")
        await member.page.wait_for_load_state("networkidle")
        assert len(sizes) >= 4
        assert sum(sizes.values()) < FIRST_PAGE_MAX


async def test_can_be_installed_and_says_so_without_a_network(come: Visitors) -> None:
    async with come.come(volunteer("vol-away"), workers=True) as member:
        await member.open("/wall")
        manifest = await member.page.evaluate("fetch(document.querySelector('[rel=manifest]').href).then((answer) => answer.json())")
        assert (manifest["display"], manifest["start_url"], {one["sizes"] for one in manifest["icons"]}) == ("standalone", "/", {"192x192", "512x512", "any"})
        await member.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        session = await member.page.context.new_cdp_session(member.page)
        errors = (await session.send("Page.getInstallabilityErrors"))["installabilityErrors"]
        assert [one["errorId"] for one in errors if one["errorId"] != "in-incognito"] == []

        async def controlled() -> bool:
            await member.open("/wall")
            return bool(await member.page.evaluate("navigator.serviceWorker.controller !== null"))

        await until(controlled, "the service worker has taken over")
        await member.page.context.set_offline(offline=True)
        # The browser believes that there is a network where a form is sent without asking: it fails on its way.
        await member.page.evaluate("HTMLFormElement.prototype.submit.call(document.querySelector('form[action=\"/sign-out\"]'))")
        await member.sees(member.page.get_by_role("heading", name="现在没有网络"))
        await member.page.goto(f"{member.url}/mine")
        await member.sees(member.page.get_by_role("heading", name="现在没有网络"))
        await member.page.context.set_offline(offline=False)
        await member.open("/wall")  # still signed in: nothing of it had arrived


@pytest.mark.parametrize(
    ("who", "path"),
    [
        (None, "/"),
        (volunteer("vol-dark"), "/"),
        (volunteer("vol-dark"), "/wall?rung=compound&when=week&category=repair&all=yes"),
        (volunteer("vol-dark"), "/mine"),
        (volunteer("vol-dark"), "/inbox"),
        (WORKER, "/enter"),
        (WORKER, "/account"),
        (resident("res-dark"), "/wishes"),
        (None, "/offline"),
        (None, "/sign-in"),
        (None, "/catalogue"),
        (staff("auditor"), "/audit"),
        (staff("admin"), "/accounts"),
        (staff("integrator"), "/keys"),
    ],
)
@pytest.mark.parametrize(("width", "lang", "dark"), [(PHONE, "en", True), (DESK, "zh-CN", False)])
async def test_every_page_is_well_made(come: Visitors, who: dict[str, Any] | None, path: str, width: int, lang: Lang, *, dark: bool) -> None:
    async with come.come(who, width, lang, dark=dark) as visitor:
        await visitor.open(path)
        assert await visitor.page.locator("html").get_attribute("lang") == lang
        assert await visitor.page.locator(".top").evaluate("top => top.offsetHeight") < FRAME_MAX
        await visitor.is_well_made()
        if width == PHONE:
            await visitor.page.set_viewport_size({"width": NARROW, "height": 568})
            assert NARROW == await visitor.page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize(("who", "path"), [("auditor", "/audit"), ("admin", "/accounts"), ("worker", "/review"), ("integrator", "/keys")])
async def test_a_table_that_is_too_broad_for_a_phone_is_moved_sideways(come: Visitors, town_hall: Stage, who: str, path: str) -> None:
    await town_hall.town.wish("给老人理发", "haircut")  # so that a community is known
    await town_hall.town.shows("SELECT count(*) > 0 FROM gateway.wishes")
    async with come.come(staff(who), PHONE, "en") as visitor:
        await visitor.open(path)
        if path == "/keys":
            await visitor.page.get_by_label("Name").fill("community app")
            await visitor.tap(visitor.page.get_by_role("button", name="Make it"))
            await visitor.sees(visitor.page.get_by_role("row", name="community app"))
        else:
            await visitor.open(path)  # whoever looks at the log is in it
        rows = await visitor.page.locator("tbody tr").evaluate_all("rows => rows.map(row => [row.offsetHeight, row.innerText])")
        assert rows
        height, said = max(rows)
        assert height < ROW_MAX, said
        await visitor.is_well_made()


@pytest.mark.parametrize("path", ["/review", "/account"])
@pytest.mark.parametrize("lang", ["zh-CN", "en"])
async def test_a_short_table_is_seen_whole_on_a_phone(come: Visitors, town_hall: Stage, path: str, lang: Lang) -> None:
    await town_hall.town.wish("给老人理发", "haircut")
    await town_hall.town.shows("SELECT count(*) > 0 FROM gateway.wishes")
    async with come.come(WORKER, PHONE_NOW, lang) as worker:
        await worker.open(path)
        assert await worker.page.locator(".scroll td").count() > 0
        assert 0 == await worker.page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth")


TURNS = "() => { document.documentElement.dataset.before = 'yes'; document.dispatchEvent(new Event('visibilitychange')); }"


async def test_a_page_that_lay_open_over_midnight_begins_anew_and_a_form_asks_for_the_day_again(come: Visitors) -> None:
    async with come.come(resident("res-night")) as wisher:
        page = wisher.page
        await wisher.open("/enter")
        await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
        await page.evaluate(TURNS)
        await page.locator("html:not([data-before])").wait_for()

        await page.locator("#title").fill("写到一半的心愿")
        await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=2))
        await page.evaluate(TURNS)
        await wisher.sees(page.get_by_role("status").get_by_text("页上的“今天”“明天”从那天算起"))
        assert "写到一半的心愿" == await page.locator("#title").input_value()
        await page.locator("[name=asked_on]").evaluate("day => { day.value = '2026-01-01'; }")  # as the form of yesterday has it
        await page.locator("#where").select_option(f"{HOME['community']}/{HOME['compound']}")
        await wisher.tap(page.get_by_role("button", name="提交心愿"))
        await wisher.sees(page.locator("#when-wrong").get_by_text("这张表不是今天打开的"))
        assert 0 == await page.locator("[name=when]:checked").count()


async def test_what_opens_has_a_mark_that_says_so(come: Visitors, town_hall: Stage) -> None:
    wish = await town_hall.town.wish("可以冻结的事", "nobody_can_this")
    await town_hall.town.wish_is(wish, "open")
    async with come.come(WORKER, DESK) as worker:
        await worker.open(f"/wish/{AREA}/{wish}")
        marks = await worker.page.locator("summary").evaluate_all("all => all.map(one => getComputedStyle(one, '::after').borderBottomWidth)")
        assert marks == ["2px"] * len(marks) != []


async def test_the_doors_of_the_first_page_are_all_as_broad(come: Visitors) -> None:
    async with come.come(volunteer("vol-doors"), PHONE) as visitor:
        await visitor.open("/")
        assert 1 == len(set(await visitor.page.locator("a.door").evaluate_all("doors => doors.map(door => door.offsetWidth)")))


async def test_a_page_that_is_not_there_is_told_in_both_languages(come: Visitors) -> None:
    async with come.come(None) as visitor:
        response = await visitor.page.goto(f"{visitor.url}/nowhere")
        assert response is not None
        assert response.status == 404
        visitor.troubles.clear()  # Chromium reports the status of the answer
        assert await visitor.page.locator("[lang=en]").count() > 0
        await visitor.is_well_made()


async def test_the_other_language_is_one_tap_away_and_stays(come: Visitors) -> None:
    async with come.come(volunteer("vol-tongue")) as member:
        await member.open("/wall?when=week")
        await member.tap(member.page.get_by_role("link", name="English"))
        await member.sees(member.page.get_by_role("heading", name="Small wishes near you"))
        assert await member.page.locator("[name=when][value=week]").is_checked()
        await member.open("/mine")
        await member.sees(member.page.get_by_role("heading", name="My visits"))
