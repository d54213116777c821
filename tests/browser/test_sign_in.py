"""A worker's first day: an account as `python3 -m deploy account add` makes it, the form and its code, a password of one's own, the monitor, and out."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyotp
import pytest

from deploy.account import NewAccount, make
from deploy.gateway_keys import gateway_keys
from tests.browser.people import DESK, PHONE, Lang, Visitors
from tests.browser.stage import Stage
from tests.browser.town import AREA

OWN = "seven boats under one bridge"


@pytest.mark.parametrize(("width", "lang"), [(PHONE, "en"), (DESK, "zh-CN")])
async def test_a_worker_signs_in_with_a_code_takes_a_password_of_their_own_and_signs_out(come: Visitors, town_hall: Stage, width: int, lang: Lang) -> None:
    wanted = NewAccount(f"new-worker-{width}", ("worker",), (AREA,))
    made = await make(town_hall.town.board, gateway_keys(town_hall.stack.state), wanted, datetime.now(UTC))
    assert made.totp is not None
    async with come.come(None, width, lang) as worker:
        page = worker.page
        await worker.open("/monitor")
        assert "/sign-in" == urlsplit(page.url).path
        await worker.is_well_made()
        await page.locator("#login").fill(made.login)
        await page.locator("#password").fill(made.password)
        await page.locator("#code").fill(pyotp.TOTP(made.totp).now())
        await worker.tap(page.locator("main form button[type=submit]"))
        await page.wait_for_url("**/account")
        await page.locator("#present").fill(made.password)
        await page.locator("#new").fill(OWN)
        await worker.tap(page.locator("form[action='/account/password'] button"))
        await page.wait_for_load_state()
        await worker.open("/monitor")
        assert "/monitor" == urlsplit(page.url).path
        await worker.is_well_made()
        await worker.tap(page.locator("header form[action='/sign-out'] button"))
        await page.wait_for_load_state()
        await worker.open("/monitor")
        assert "/sign-in" == urlsplit(page.url).path
