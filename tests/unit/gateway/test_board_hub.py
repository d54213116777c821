"""The hub: lines for those who may see them, in order; slow readers cut; answers to claims."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.board.hub import Claimed, Cut, Hub, Later, Rejected, StreamRow, Tail
from services.gateway.board.sse import form_of
from services.gateway.roles import Principal, Role, Scope

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(seq: int, kind: str = "match.agreed.v1", *, area: str = "a", community: str | None = "c1", **more: Any) -> StreamRow:
    refs = {"volunteer_ref": None, "resident_ref": None, **more}
    return StreamRow(seq, NOON, NOON, NOON, area, community, None, None, kind, "s", "w", "m", "o", refs["volunteer_ref"], refs["resident_ref"], {})


def somebody(role: Role, community: str | None = None, **more: Any) -> Principal:
    return Principal("account", frozenset({role}), Scope("a", community), **more)


def lines() -> list[StreamRow]:
    return [
        line(1),
        line(2, community="c2"),
        line(3, area="b"),
        line(4, volunteer_ref="v1"),
        line(5, resident_ref="r1"),
        line(6, "wish.submitted.v1"),
        line(7, "wish.submitted.v1", community="c2"),
    ]


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (somebody(Role.AUDITOR), [1, 2, 4, 5, 6, 7]),
        (somebody(Role.WORKER, "c1"), [1, 4, 5, 6]),
        (somebody(Role.WORKER, "c2"), [2, 7]),
        (somebody(Role.VOLUNTEER, "c1", volunteer_ref="v1"), [4, 6]),
        (somebody(Role.RESIDENT, resident_refs=frozenset({"r1"})), [5]),
    ],
    ids=["auditor", "worker", "worker elsewhere", "volunteer", "resident"],
)
async def test_each_sees_the_lines_that_are_theirs(principal: Principal, expected: list[int]) -> None:
    hub = Hub()
    with hub.subscribe(principal) as subscription:
        for row in lines():
            hub.publish(row)
        assert expected == [row.seq for row in await subscription.batch()]


async def test_whoever_does_not_read_is_cut_and_nobody_else() -> None:
    hub = Hub(queue_max=10)
    with hub.subscribe(somebody(Role.AUDITOR)) as slow, hub.subscribe(somebody(Role.AUDITOR)) as quick:
        got: list[int] = []
        for seq in range(1, 31):
            hub.publish(line(seq))
            got += [row.seq for row in await quick.batch()]
        with pytest.raises(Cut):
            await slow.batch()
    assert (got, hub.cuts, len(hub)) == (list(range(1, 31)), 1, 0)


async def test_a_stream_on_which_sending_hangs_is_cut() -> None:
    hub = Hub()
    with hub.subscribe(somebody(Role.AUDITOR)) as hanging:
        hanging.task = asyncio.create_task(asyncio.Event().wait())
        hanging.sending_since = 100.0
        hub.beat(110.0)
        before = hanging.cut
        hub.beat(121.0)
        assert [before, hanging.cut] == [False, True]
        with pytest.raises(asyncio.CancelledError):
            await hanging.task


async def test_an_idle_stream_gives_a_sign_of_life() -> None:
    hub = Hub()
    with hub.subscribe(somebody(Role.AUDITOR)) as idle:
        waiting = asyncio.create_task(idle.batch())
        for beat in range(3):
            await asyncio.sleep(0)
            hub.beat(float(beat))
        assert await waiting == []


async def test_everyone_is_let_go_when_the_gateway_stops() -> None:
    hub = Hub()
    with hub.subscribe(somebody(Role.AUDITOR)) as open_one:
        answer = hub.await_answer("a", "w", "o", "c1", 60)
        hub.end()
        with pytest.raises(Cut):
            await open_one.batch()
        assert await answer == Later()
    with hub.subscribe(somebody(Role.AUDITOR)) as late, pytest.raises(Cut):
        await late.batch()


async def test_a_claim_hears_its_own_answer() -> None:
    hub = Hub()
    granted = Claimed("m", (NOON, NOON), needs_answer=False)
    first, second = hub.await_answer("a", "w", "o1", "c1", 60), hub.await_answer("a", "w", "o2", "c2", 60)
    late = hub.await_answer("a", "w", "o3", "c3", 0.01)
    hub.granted("a", "w", "o1", granted)
    hub.refused("a", "w", "o2", "c2", "held_for_another")
    assert [await first, await second, await late] == [granted, Rejected("held_for_another"), Later()]
    assert not hub.someone_waits


class _Table:
    """The stream's table with so many lines; somebody may come while it is asked."""

    def __init__(self, hub: Hub, comes: Principal | None = None) -> None:
        self._hub, self._comes = hub, comes

    async def fetchval(self, _statement: str) -> int:
        if self._comes is not None:
            self._hub.subscribe(self._comes)
        return 7


async def test_the_tail_reads_no_line_where_nobody_watches_and_none_is_lost_for_who_comes_just_then() -> None:
    deserted, lively = Hub(), Hub()
    assert await Tail("", deserted)._skip(_Table(deserted)) is True  # type: ignore[arg-type]
    assert 7 == deserted.position
    assert await Tail("", lively)._skip(_Table(lively, somebody(Role.WORKER))) is False  # type: ignore[arg-type]
    assert 0 == lively.position


def test_an_auditor_is_not_shown_the_title_of_a_childs_wish() -> None:
    row = line(1)
    row.brief = {"minor": True, "title": "数学作业"}
    forms = [form_of(somebody(role), row, whole=True) for role in (Role.WORKER, Role.AUDITOR)]
    assert forms == ["whole", "judged"]
