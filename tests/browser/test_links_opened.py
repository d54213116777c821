"""A one-time link in a real browser: the code leaves the address, looking uses nothing up, and a tap counts once."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from services.links.claims import Claims
from services.links.keys import LinkKeys
from services.links.store import mint
from tests.browser.people import DESK, PHONE, Lang, Visitors
from tests.browser.stage import LINK_KEY, Stage
from tests.browser.town import AREA, Town


async def asked(town: Town, skill: str, category: str = "household") -> tuple[str, str]:
    """A wish about which somebody is asked, and the code of their link."""
    offer = await town.offer(f"vol-{skill}", skills=(skill,), accepts="ask")
    wish = await town.wish(f"请答复 {skill}", skill, urgency="red", hours=(0, 3), category=category)
    await town.shows("SELECT EXISTS (SELECT FROM gateway.invitations WHERE wish_id = $1) OR EXISTS (SELECT FROM gateway.matches WHERE wish_id = $1)", wish)
    match = await town.board.fetchval("SELECT match_id FROM gateway.matches WHERE wish_id = $1", wish)
    claims = Claims(uuid4(), "answer", "volunteer", AREA, wish, offer, match, (int(time.time()) + 3600) * 1_000_000)
    return wish, await mint(town.board, LinkKeys.parse(LINK_KEY), claims)


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "piano_tuning"), (DESK, "en", "knife_grinding")])
async def test_a_helper_answers_by_a_link_once(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town = town_hall.town
    wish, code = await asked(town, skill)
    async with come.come(None, width, lang) as helper:
        yes = helper.page.get_by_role("button", name=helper.words("我能去", "Yes, I will come"))
        await helper.open(f"/a#{code}")
        await helper.sees(yes)
        assert code not in helper.page.url
        await helper.is_well_made()
        await helper.open(f"/l/{code}")  # looked at again, as a chat's preview does
        await helper.tap(yes)
        await helper.sees(helper.page.get_by_text(helper.words("谢谢您", "Thank you")))
        await helper.is_well_made()
        await town.match_is(wish, "confirmed")
        await helper.open(f"/l/{code}")
        await helper.sees(helper.page.get_by_text(helper.words("之前已经记下", "It was noted before")))
        assert await yes.count() == 0
        match = await town.board.fetchrow("SELECT match_id, offer_id FROM gateway.matches WHERE wish_id = $1 AND state = 'confirmed'", wish)
        assert match is not None
        await town.say("match.declined", wish, {"wish_id": wish, **dict(match)})
        off = helper.page.get_by_text(helper.words("您已告知来不了：请不必前往", "You said that you can't come: please do not set out"))
        await helper.sees_after_reloading(f"/l/{code}", off)
        await helper.is_well_made()


async def test_a_second_link_in_the_same_tab_shows_what_it_is_for_and_a_tap_answers_that_one(come: Visitors, town_hall: Stage) -> None:
    first, one = await asked(town_hall.town, "bike_repair")
    second, other = await asked(town_hall.town, "carpentry", category="repair")
    async with come.come(None) as helper:
        yes, page = helper.page.get_by_role("button", name="我能去"), helper.page
        await helper.open(f"/a#{one}")
        await helper.sees(page.get_by_role("heading", name="家务帮手"))
        await helper.sees(yes)
        await page.goto(f"{helper.url}/a#{other}")  # the address but for the code is the same, so nothing is loaded
        await helper.sees(page.get_by_role("heading", name="小修小补"))
        assert page.url == f"{helper.url}/a"
        await helper.is_well_made()
        await page.get_by_role("link", name="跳到正文").press("Enter")  # names a place on the page, and is no code
        await helper.tap(yes)
        await helper.sees(page.get_by_text("谢谢您"))
        await town_hall.town.match_is(second, "confirmed")
        assert await town_hall.town.board.fetchval("SELECT count(*) FROM gateway.reports WHERE wish_id = $1", first) == 0


async def test_without_javascript_the_code_is_typed_and_one_that_is_not_ours_opens_nothing(come: Visitors) -> None:
    async with come.come(None, scripts=False) as somebody:
        await somebody.open("/a")
        await somebody.page.locator("#code").fill("a" * 26)
        await somebody.tap(somebody.page.get_by_role("button", name="打开"))
        await somebody.sees(somebody.page.get_by_role("heading", name="这个链接打不开"))
