"""What comes too late, by the wall's clock: who is not told any more, who is told all the same, and when that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.notifier.book import INTERRUPTED, Delivered, Notice
from services.notifier.channels import Console
from services.notifier.directory import DirectoryAway, Found, Sought
from services.notifier.exchange import Exchange, Passage
from services.notifier.notices import Kind, Party, text_of
from services.notifier.routes import Tried, packed

SLOT = ("2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z")
ENDS = datetime(2026, 11, 24, 9, tzinfo=UTC)
LATE, OVER = ENDS - timedelta(minutes=5), ENDS + timedelta(hours=3)
UNCLEAR, REFUSED = (packed((Tried("sms", 1, "open", fault, unclear),)) for fault, unclear in (("http_5xx", True), ("http_4xx", False)))


class Away:
    """A directory that does not answer."""

    async def find(self, sought: Sequence[Sought]) -> list[Found]:
        raise DirectoryAway

    async def close(self) -> None:
        """Nothing to let go of."""


def exchange(now: datetime, clock: str = "wall") -> Exchange:
    settings: Any = SimpleNamespace(clock=clock, urgent_hours=12, read_minutes=30, public_url=None, link_ring=None)
    nothing: Any = None
    return Exchange(settings, nothing, {"console": Console()}, Away(), {"console": 8}, lambda: now)


def notice(party: Party = "volunteer", kind: Kind = "confirmed", **more: Any) -> Notice:
    text = text_of(kind, party, "zh-CN", category="repair", rung="unit", slot=SLOT, by="2026-11-24T08:30:00Z")
    values: dict[str, Any] = {"state": "leased", "category": "repair", "rung": "unit", **more}
    return Notice(UUID(int=1), "m-1", "w-1", 2, "hightech", party, kind, "p-1", "zh-CN", text, SLOT, **values)


async def routed(one: Notice, now: datetime, clock: str = "wall") -> Passage | Delivered:
    (found,) = await exchange(now, clock).route([one], lambda _area: "now")
    return found


@pytest.mark.parametrize(
    ("one", "now", "ended"),
    [
        (notice(), LATE, True),
        (notice(), LATE - timedelta(seconds=1), False),
        (notice(tried=REFUSED), OVER, True),
        (notice(tried=UNCLEAR), OVER, False),
        (notice(fault=INTERRUPTED), OVER, False),
        (notice("resident"), LATE, True),
        (notice("resident", helper_told=True), OVER, False),
        (notice(kind="released"), OVER, False),
        (notice(kind="asked", answer_by="2026-11-24T08:30:00Z"), ENDS - timedelta(minutes=31), True),
        (notice(kind="asked", answer_by="2026-11-24T08:30:00Z"), ENDS - timedelta(minutes=32), False),
    ],
)
async def test_what_is_in_vain_ends_also_where_nobody_can_be_looked_up(one: Notice, now: datetime, ended: bool) -> None:
    found = await routed(one, now)
    assert isinstance(found, Delivered)
    assert (("dead", "too_late") if ended else ("retryable", "directory_away")) == (found.fate, found.fault)


async def test_where_time_does_not_count_nothing_is_late() -> None:
    found = await routed(notice(), OVER, clock="event")
    assert isinstance(found, Delivered)
    assert "directory_away" == found.fault
    assert not exchange(OVER, "event").is_over(SimpleNamespace(slot=SLOT))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "minutes", "seconds"),
    [
        (notice(), 6, 60.0),
        (notice(), 90, 3600.0),
        (notice(), 0, 0.0),
        (notice(tried=UNCLEAR), 6, 3600.0),
        (notice(kind="released"), 6, 3600.0),
    ],
)
def test_a_long_pause_ends_when_there_is_still_time_to_say_that_it_is_in_vain(one: Notice, minutes: int, seconds: float) -> None:
    result = exchange(ENDS - timedelta(minutes=minutes)).in_time(Delivered(one, "retryable", "", "sms", "http_4xx", 3600.0))
    assert seconds == result.retry_seconds


@pytest.mark.parametrize(
    ("one", "now", "words"),
    [
        (notice("resident", helper_told=True), OVER, "这条消息来迟了"),
        (notice("resident", helper_told=True), ENDS - timedelta(seconds=1), "将于"),
        (notice("resident", helper_told=True, tried=UNCLEAR), OVER, "将于"),
        (notice(tried=UNCLEAR), OVER, "约好了"),
    ],
)
async def test_a_resident_hears_late_of_a_visit_to_which_a_helper_may_have_come_and_what_may_have_been_heard_stays(
    one: Notice, now: datetime, words: str
) -> None:
    heard: list[Notice] = []

    class Hears(Console):
        async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Any:
            heard.append(notice)
            return await super().send(notice, address, suffix)

    result = await exchange(now).attempt_only(Hears(), replace(one), lambda _area: "now")
    assert ("sent", True) == (result.fate, words in heard[0].text)
