"""A community worker watches the monitor, approves a match and sends somebody else: the journey of the desk."""

from __future__ import annotations

import pytest

from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitors
from tests.browser.stage import Stage
from tests.browser.town import AREA


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
