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
from tests.browser.town import AREA


@pytest.mark.parametrize(("width", "lang", "skill"), [(PHONE, "zh-CN", "piano_tuning"), (DESK, "en", "knife_grinding")])
async def test_a_helper_answers_by_a_link_once(come: Visitors, town_hall: Stage, width: int, lang: Lang, skill: str) -> None:
    town = town_hall.town
    offer = await town.offer(f"vol-{skill}", skills=(skill,), accepts="ask")
    wish = await town.wish(f"请答复 {skill}", skill, urgency="red", hours=(0, 3))
    await town.shows("SELECT EXISTS (SELECT FROM gateway.invitations WHERE wish_id = $1) OR EXISTS (SELECT FROM gateway.matches WHERE wish_id = $1)", wish)
    match = await town.board.fetchval("SELECT match_id FROM gateway.matches WHERE wish_id = $1", wish)
    claims = Claims(uuid4(), "answer", "volunteer", AREA, wish, offer, match, (int(time.time()) + 3600) * 1_000_000)
    code = await mint(town.board, LinkKeys.parse(LINK_KEY), claims)
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


async def test_without_javascript_the_code_is_typed_and_one_that_is_not_ours_opens_nothing(come: Visitors) -> None:
    async with come.come(None, scripts=False) as somebody:
        await somebody.open("/a")
        await somebody.page.locator("#code").fill("a" * 26)
        await somebody.tap(somebody.page.get_by_role("button", name="打开"))
        await somebody.sees(somebody.page.get_by_role("heading", name="这个链接打不开"))
