"""Who comes to the pages, and a browser for each: at which width, in which language, with or without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import asyncpg
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, Response, ViewportSize, async_playwright

from services.gateway.edge import SESSION_COOKIE
from services.gateway.identity.model import digest_of, new_secret
from services.gateway.roles import Scope
from tests.browser.chromium import FLAGS, executable
from tests.browser.stage import Stage
from tests.browser.town import AREA, until

PHONE, DESK = 360, 1440
LARGE: ViewportSize = {"width": PHONE // 2, "height": 390}
"""A phone whose letters are twice as large has room for half as much: what is measured in letters comes out the same."""
Lang = Literal["zh-CN", "en"]
_axe = Axe()
_ACCOUNT = """
    INSERT INTO gateway.accounts (account_id, login, roles, scope, volunteer_ref, resident_refs, created_at) VALUES ($1, $1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING
"""
_SESSION = "INSERT INTO gateway.sessions (digest, account_id, via, created_at, seen_at, ends_at) VALUES ($1, $2, 'password', $3, $3, $4)"
# A page costs a browser more than whatever is waited for costs the system: looked at without a pause, it would hold up what it waits for.
_RELOAD_SECONDS = 0.4


def volunteer(ref: str) -> dict[str, Any]:
    return {"account": f"account-{ref}", "roles": ["volunteer"], "scope": {"area": AREA}, "volunteer_ref": ref}


def resident(ref: str) -> dict[str, Any]:
    scope = {"area": AREA, "community": "jushang-huayuan", "compound": "jushang-1"}
    return {"account": f"account-{ref}", "roles": ["resident"], "scope": scope, "resident_refs": [ref]}


WORKER: dict[str, Any] = {"account": "account-worker", "roles": ["worker"], "scope": {"area": AREA}}


@dataclass(slots=True)
class Visitor:
    """Somebody with a browser before them. `troubles`: what the browser complained about, such as a style that the content policy refused."""

    page: Page
    url: str
    lang: Lang
    scripts: bool = True
    troubles: list[str] = field(default_factory=list)

    def words(self, zh: str, en: str) -> str:
        """The text that this visitor reads."""
        return en if self.lang == "en" else zh

    async def open(self, path: str) -> Response:
        """Go to a page; it must be there and fit the width."""
        response = await self.page.goto(self.url + path)
        assert response is not None
        assert response.status == 200, f"{path}: {response.status}"
        return response

    async def sees(self, locator: Locator) -> None:
        """Something is there, or comes in a moment."""
        await locator.first.wait_for(state="visible", timeout=20_000)

    async def sees_after_reloading(self, path: str, locator: Locator) -> None:
        """Something comes once the news has arrived: look again until it is there."""

        async def there() -> bool:
            await self.open(path)
            return await locator.count() > 0

        await until(there, f"{path}: {locator}", pause=_RELOAD_SECONDS)

    async def tap(self, locator: Locator) -> None:
        """As a finger or a mouse does."""
        await locator.first.click(timeout=20_000)

    async def is_well_made(self) -> None:
        """No serious fault of accessibility, nothing wider than the screen, nothing that the browser complains about."""
        width = await self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], f"{self.page.url} is {width[0]} px wide on a screen of {width[1]}"
        present = self.page.viewport_size
        if present is not None and present["width"] == PHONE:
            await self.page.set_viewport_size(LARGE)
            large = await self.page.evaluate("document.documentElement.scrollWidth")
            await self.page.set_viewport_size(present)
            assert large == LARGE["width"], f"{self.page.url} with letters of twice the size is {large} px wide on a screen of {LARGE['width']}"
        assert self.troubles == [], self.page.url
        if not self.scripts:  # then axe's own would not run either
            return
        found = await _axe.run(self.page)
        faults = [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found.response["violations"] if one["impact"] in {"serious", "critical"}]
        assert faults == [], self.page.url


async def session_of(board: asyncpg.Connection, who: dict[str, Any]) -> str:
    """A session of somebody's account, made where there is none: pages, cookies and form tokens are as after a sign-in, which has a walk of its own."""
    secret, now = new_secret(), datetime.now(UTC)
    account_id = who["account"].replace("_", "-")
    await board.execute(_ACCOUNT, account_id, who["roles"], list(Scope(**who["scope"]).steps), who.get("volunteer_ref"), who.get("resident_refs", []), now)
    await board.execute(_SESSION, digest_of(secret), account_id, now, now + timedelta(hours=8))
    return secret


class Visitors:
    """One Chromium for all of them."""

    def __init__(self, browser: Browser, stage: Stage) -> None:
        self.browser = browser
        self.stage = stage
        self.url = stage.url

    @asynccontextmanager
    async def come(
        self, who: dict[str, Any] | None, width: int = PHONE, lang: Lang = "zh-CN", *, scripts: bool = True, workers: bool = False, dark: bool = False
    ) -> AsyncIterator[Visitor]:
        """A visitor with a fresh browser profile. `workers`: whether the service worker may be installed."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 780 if width == PHONE else 900},
            locale=lang,
            has_touch=width == PHONE,
            java_script_enabled=scripts,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            service_workers="allow" if workers else "block",
        )
        try:
            if who is not None:
                secret = await session_of(self.stage.town.board, who)
                await context.add_cookies([{"name": SESSION_COOKIE, "value": secret, "url": self.url, "httpOnly": True, "sameSite": "Lax"}])
            page = await context.new_page()
            visitor = Visitor(page, self.url, lang, scripts)
            page.on("console", lambda message: visitor.troubles.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda fault: visitor.troubles.append(str(fault)))
            yield visitor
        finally:
            await context.close()


@asynccontextmanager
async def visitors(stage: Stage) -> AsyncIterator[Visitors]:
    """Start Chromium for the pages of a stage."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield Visitors(browser, stage)
        finally:
            await browser.close()
