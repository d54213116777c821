"""`python -m tests.browser.screenshots`: the running system in pictures, for the documents. Small PNGs, with as few colours as they need."""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from PIL import Image

from deploy.state import ROOT, default_folder
from tests.browser.people import DESK, PHONE, WORKER, Lang, Visitor, Visitors, resident, visitors, volunteer
from tests.browser.stage import stage
from tests.browser.town import FAR, NEXT_DOOR, SAME_COMPOUND, Town

FOLDER: Final = ROOT / "docs" / "screenshots"
_COLOURS: Final = 128
MEMBER = volunteer("vol-li")
RESIDENT = resident("res-chen")


async def shoot(visitor: Visitor, name: str) -> None:
    """What stands on the screen, as a file."""
    raw = await visitor.page.screenshot(animations="disabled")
    image = Image.open(io.BytesIO(raw)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    FOLDER.mkdir(exist_ok=True)
    image.save(FOLDER / f"{name}.png", optimize=True)


async def people_the_town(town: Town) -> dict[str, str]:
    """A member, a resident, and wishes of all kinds; the ids of some."""
    await town.offer("vol-li", skills=("haircut", "shopping", "companionship", "electrics", "phone_help"))
    await town.offer("vol-zhou", skills=("blood_pressure",))
    wishes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("陪独居老人聊聊天", "companionship", {"category": "elder_care", "urgency": "yellow", "hours": (3, 11), "place": SAME_COMPOUND}),
        ("给卧床老人理发", "haircut", {"category": "elder_care"}),
        ("代买一周的米面油", "shopping", {"category": "elder_care", "place": SAME_COMPOUND, "accompanied": True, "helpers_needed": 2}),
        ("卧室的灯不亮了", "electrics", {"category": "repair", "place": NEXT_DOOR, "minutes": 45}),
        ("教奶奶用手机和孙女视频", "phone_help", {"category": "elder_care", "place": NEXT_DOOR, "minutes": 45}),
        ("帮老人看懂医保账单", "phone_help", {"category": "study", "place": FAR, "minutes": 45}),
        ("厨房水管漏水", "plumbing", {"category": "repair", "place": FAR}),
    )
    for title, skill, more in wishes:
        await town.wish(title, skill, **more)
    now = await town.wish("陪爷爷去量血压", "companionship", category="health", urgency="red", hours=(0, 4))
    follow = await town.wish("上门量血压、记健康本", "blood_pressure", category="health", urgency="red", hours=(0, 4), resident_ref="res-chen")
    for wish in (now, follow):
        await town.match_is(wish, "confirmed")
    await town.shows("SELECT count(*) >= $1 FROM gateway.wishes", len(wishes) + 2)
    for number, minutes in enumerate((110, 60, 45, 120)):
        await town.board.execute(
            """
            INSERT INTO gateway.matches (area, match_id, wish_id, offer_id, volunteer_ref, state, rung, starts_at, ends_at, outcome, minutes, closed_at,
                changed_at)
            SELECT area, 'shown-' || $1::text, wish_id, offer_id, volunteer_ref, 'closed', rung, starts_at - interval '3 days',
                ends_at - interval '3 days', 'done', $2, now(), now()
            FROM gateway.matches WHERE wish_id = $3 AND match_id NOT LIKE 'shown-%'
            """,
            str(number), minutes, now,
        )  # fmt: skip
    return {"follow": follow}


async def all_of_them(come: Visitors, ids: dict[str, str]) -> None:
    """Every picture of the documents."""
    pages: tuple[tuple[str, dict[str, Any], str, int, Lang, bool], ...] = (
        ("wall-360-zh", MEMBER, "/wall", PHONE, "zh-CN", False),
        ("wall-1440-zh", MEMBER, "/wall", DESK, "zh-CN", False),
        ("wall-1440-en-dark", MEMBER, "/wall", DESK, "en", True),
        ("mine-360-zh", MEMBER, "/mine", PHONE, "zh-CN", False),
        ("mine-1440-en", MEMBER, "/mine", DESK, "en", False),
        ("enter-360-zh", WORKER, "/enter", PHONE, "zh-CN", False),
        ("enter-1440-en", WORKER, "/enter", DESK, "en", False),
        ("monitor-1440-zh", WORKER, "/monitor", DESK, "zh-CN", False),
        ("monitor-360-en", WORKER, "/monitor", PHONE, "en", False),
        ("monitor-1440-zh-wall", WORKER, "/monitor?wall=1", DESK, "zh-CN", False),
        ("follow-1440-zh", RESIDENT, f"/wishes/{ids['follow']}", DESK, "zh-CN", False),
    )
    for name, who, path, width, lang, dark in pages:
        async with come.come(who, width, lang, dark=dark) as visitor:
            await visitor.open(path)
            await shoot(visitor, name)
    async with come.come(MEMBER, PHONE, "en") as visitor:
        await visitor.open("/wall")
        card = visitor.page.locator("article", has=visitor.page.get_by_role("heading", name="给卧床老人理发"))
        await visitor.tap(card.get_by_role("button"))
        await visitor.sees(visitor.page.get_by_text("It is yours"))
        await visitor.page.get_by_text("It is yours").scroll_into_view_if_needed()
        await shoot(visitor, "claimed-360-en")


async def main() -> None:
    """Start everything, people it, and take the pictures."""
    default_folder().mkdir(parents=True, exist_ok=True)  # in a clone where nothing has run yet
    folder = Path(tempfile.mkdtemp(prefix="pictures-", dir=default_folder()))
    async with stage(folder) as running:
        ids = await people_the_town(running.town)
        async with visitors(running) as come:
            await all_of_them(come, ids)
    shutil.rmtree(folder)
    for path in sorted(FOLDER.glob("*.png")):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1024} kB")


if __name__ == "__main__":
    asyncio.run(main())
