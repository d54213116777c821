"""One stack and one Chromium for all tests of the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.browser.people import Visitors, visitors
from tests.browser.stage import Stage, stage


@pytest.fixture(scope="session")
async def town_hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture(scope="session")
async def come(town_hall: Stage) -> AsyncIterator[Visitors]:
    async with visitors(town_hall.url) as chromium:
        yield chromium
