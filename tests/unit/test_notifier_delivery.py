"""What the notifier keeps in memory between two of its transactions, in sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.book import PARTIES, Delivered, Match, Notice, notice_key
from services.notifier.delivery import Delivery
from services.notifier.exchange import BUSY_SECONDS, Passage
from services.notifier.ids import NAMESPACE, derived_id
from services.notifier.inbox import events_for
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outages import Outages
from services.notifier.routes import Use
from services.runtime import Stop

SLOT = ("2026-11-24T09:00:00+08:00", "2026-11-24T10:00:00+08:00")
LANE, EPOCH = 2, 7


class Reads:
    """A unit that says what was read, and finds each match anew."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def read_matches(self, match_ids: Collection[str]) -> list[Match]:
        self.asked.extend(sorted(match_ids))
        return [match_of(match_id) for match_id in sorted(match_ids)]


def match_of(match_id: str, group_id: str | None = None, state: Any = "telling") -> Match:
    match = Match(match_id, f"w-{match_id}", "o-1", "hightech", LANE, "r-1", "v-1", "repair", "building", SLOT, group_id, 2 if group_id else None, state)
    for party in PARTIES:
        key = notice_key(match_id, party, "confirmed")
        match.notices[party, "confirmed"] = Notice(key, match_id, match.wish_id, LANE, match.area, party, "confirmed", "r-1", "zh-CN", "text", SLOT)
    return match


@pytest.fixture
def delivery() -> Delivery:
    settings: Any = SimpleNamespace(in_hand_max=100, batch_max=10)
    exchange: Any = SimpleNamespace(timeout_seconds=1.0, channels={})
    nothing: Any = None
    return Delivery(settings, nothing, Lanes("wall"), exchange, nothing, Metrics())


def written(delivery: Delivery, match: Match, epoch: int = EPOCH) -> None:
    """As the inbox does after its commit."""
    delivery.hand_over(delivery.lease(match.notices.values()))
    delivery.keep([match], {LANE: epoch})


async def read(delivery: Delivery, *match_ids: str, epoch: int = EPOCH) -> list[str]:
    """Those that the recorder had to read."""
    unit: Any = Reads()
    found = await delivery._matches(unit, set(match_ids), {LANE: epoch})
    assert sorted(match_ids) == sorted(match.match_id for match in found)
    asked: list[str] = unit.asked
    return asked


async def test_what_was_just_written_is_not_read_back(delivery: Delivery) -> None:
    written(delivery, match_of("m-1"))
    assert ["m-2"] == await read(delivery, "m-1", "m-2")


async def test_it_is_taken_from_memory_once(delivery: Delivery) -> None:
    written(delivery, match_of("m-1"))
    assert ([], ["m-1"]) == (await read(delivery, "m-1"), await read(delivery, "m-1"))


async def test_a_match_for_which_an_event_came_meanwhile_is_read(delivery: Delivery) -> None:
    written(delivery, match_of("m-1"))
    delivery.forget(["m-1"])
    assert ["m-1"] == await read(delivery, "m-1")


async def test_a_match_whose_partition_was_away_meanwhile_is_read(delivery: Delivery) -> None:
    written(delivery, match_of("m-1"))
    assert ["m-1"] == await read(delivery, "m-1", epoch=EPOCH + 2)


async def test_a_match_of_a_group_is_read_with_the_others(delivery: Delivery) -> None:
    written(delivery, match_of("m-1", "g-1"))
    assert ["m-1"] == await read(delivery, "m-1")


async def test_a_match_that_is_not_being_told_is_read(delivery: Delivery) -> None:
    written(delivery, match_of("m-1", state="proposed"))
    assert ["m-1"] == await read(delivery, "m-1")


async def test_a_match_of_which_a_notice_waits_for_room_is_read(delivery: Delivery) -> None:
    match = match_of("m-1")
    delivery.hand_over(delivery.lease([match.notices["resident", "confirmed"]]))
    delivery.keep([match], {LANE: EPOCH})
    assert ["m-1"] == await read(delivery, "m-1")


async def test_what_was_said_while_a_lane_was_in_doubt_is_recorded_once_it_is_ours_again(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []
    news = asyncio.Event()

    async def record(results: Sequence[Delivered], *, again: bool) -> None:
        recorded.extend(result.notice.partition for result in results)
        news.set()

    monkeypatch.setattr(delivery, "_record", record)
    delivery._exchange.in_time = lambda result: result  # type: ignore[method-assign]
    delivery._exchange.only = delivery._exchange.recorded = lambda _results: None  # type: ignore[assignment, method-assign, misc]
    doubtful, other = match_of("m-1").notices["resident", "confirmed"], match_of("m-2").notices["resident", "confirmed"]
    other.partition = LANE + 1
    delivery._lanes.take(LANE, EPOCH, {})
    delivery._lanes.doubt([LANE])
    for notice in (doubtful, other):
        delivery._done(Delivered(notice, "sent", "2026-11-24T08:00:00Z", "webhook"))
    stop = Stop()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(delivery.record(stop))
        await news.wait()
        assert [LANE + 1] == recorded
        news.clear()
        delivery._lanes.take(LANE, EPOCH + 1, {})
        await news.wait()
        stop.set()
    assert [LANE + 1, LANE] == recorded


async def test_events_wait_for_room_but_not_for_long(delivery: Delivery) -> None:
    for number in range(60):
        written(delivery, match_of(f"m-{number}"))
    assert 0 == await delivery.room(20)
    assert not delivery.is_idle


@pytest.mark.parametrize(("fault", "goes_on"), [(None, True), ("busy", False)])
async def test_events_go_on_waiting_for_room_while_notices_are_sent_and_not_while_a_channel_is_full(
    delivery: Delivery, fault: str | None, goes_on: bool
) -> None:
    delivery._exchange.in_time = lambda result: result  # type: ignore[method-assign]
    for number in range(60):
        written(delivery, match_of(f"m-{number}"))
    waiting = asyncio.create_task(delivery.room(20))
    await asyncio.sleep(0)
    delivery._done(Delivered(match_of("m-1").notices["resident", "confirmed"], "retryable" if fault else "sent", "", "sms", fault))
    assert goes_on == delivery._room.is_set()
    await waiting


@pytest.mark.parametrize(("room", "events"), [(5000, 1000), (2000, 1000), (1400, 700), (500, 250), (498, 1000), (0, 1000)])
def test_no_more_events_are_taken_in_than_can_be_leased_unless_a_channel_hangs(room: int, events: int) -> None:
    assert events == events_for(room, 1000)


def passage_of(match_id: str, urgency: str) -> Passage:
    notice = match_of(match_id).notices["resident", "confirmed"]
    notice.urgency = urgency
    return Passage(notice, notice, Use("sms"), "", None)


async def test_a_red_wish_has_its_turn_before_all_that_waited_for_the_morning() -> None:
    settings: Any = SimpleNamespace(in_hand_max=5000, batch_max=10)
    exchange: Any = SimpleNamespace(timeout_seconds=1.0, channels={"sms": SimpleNamespace(concurrency=1)}, outages=Outages(), in_time=lambda result: result)
    nothing: Any = None
    delivery = Delivery(settings, nothing, Lanes("wall"), exchange, nothing, Metrics())
    for number in range(600):
        await delivery._queue(passage_of(f"m-{number}", "blue"))
    assert [f"m-{number}" for number in range(500, 600)] == [result.notice.match_id for result in delivery._results]
    for match_id in ("red-1", "red-2"):
        await delivery._queue(passage_of(match_id, "red"))
    queue = delivery._routed["sms"]
    assert ["red-1", "red-2", "m-0"] == [queue.popleft().original.match_id for _ in range(3)]
    # Beyond a flood of its like it comes back soon.
    for number in range(501):
        await delivery._queue(passage_of(f"red-{number}", "red"))
    assert ("red-500", BUSY_SECONDS) == (delivery._results[-1].notice.match_id, delivery._results[-1].retry_seconds)


async def test_what_waits_to_be_looked_up_is_looked_up_red_first_and_the_rest_as_it_came(delivery: Delivery) -> None:
    for match_id, urgency in (("m-1", "blue"), ("m-2", None), ("m-3", "red"), ("m-4", "yellow"), ("m-5", "red")):
        match = match_of(match_id)
        match.notices["resident", "confirmed"].urgency = urgency
        delivery.hand_over([match.notices["resident", "confirmed"]])
    assert ["m-3", "m-5", "m-1", "m-2", "m-4"] == [delivery._waiting.popleft().match_id for _ in range(len(delivery._waiting))]


@given(st.text(max_size=60))
def test_a_derived_id_is_the_one_that_the_standard_names(cause: str) -> None:
    found = derived_id(cause)
    assert (uuid5(NAMESPACE, cause), 5) == (found, found.version)
    assert (str(UUID(str(found))), hash(UUID(str(found)))) == (str(found), hash(found))
