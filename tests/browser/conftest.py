"""One stack and one Chromium for all tests of the pages; they end with the last of them, as idle servers, too, cost the other tests their time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.browser.people import Visitors, visitors
from tests.browser.stage import Stage, stage


@pytest.fixture(scope="package")
async def town_hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    # A word about a visit ends it, also where the helper has reported nothing: no test waits an hour for that.
    async with stage(tmp_path_factory.mktemp("pages"), LASTMETRE_FINISH_MINUTES="0") as running:
        yield running


@pytest.fixture(scope="package")
async def come(town_hall: Stage) -> AsyncIterator[Visitors]:
    async with visitors(town_hall) as chromium:
        yield chromium
