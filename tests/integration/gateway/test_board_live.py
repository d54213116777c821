"""The board on the real stack: what is said on the topics is on open monitors, for those who may see it, once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from benchmarks import monitors
from schemas.instants import DAY_US
from services.gateway.board import store
from tests.integration.gateway.board_rig import AREA, DEADLINE_SECONDS, Rig, after, now_us, somebody, soon

WORKER = somebody("worker", community="c1")
ELSEWHERE = somebody("worker", community="c2")


def _value(look: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def found() -> Any:
        return look()

    return found


async def test_a_confirmed_wish_is_on_an_open_monitor_of_its_community_and_on_no_other(rig: Rig) -> None:
    async with rig.watching(WORKER) as here, rig.watching(ELSEWHERE) as there, rig.watching(somebody("auditor"), lang="en") as everywhere:
        await rig.offer("o-live")
        await rig.wish("w-live")
        line = await here.until(lambda one: one["wish_id"] == "w-live" and one["kind"] == "match.confirmed.v1")
        await everywhere.until(lambda one: one["wish_id"] == "w-live" and one["kind"] == "match.confirmed.v1")
        assert (line["word"], line["text"], line["place"]) == ("双方已确认", "「理发」 · 同单元", ["c1", "p1", "b1 栋"])
        await rig.wish("w-there", community="c2", skill="nobody_can")
        await there.until(lambda one: one["wish_id"] == "w-there")
    assert here.kinds("w-live") == ["wish.submitted.v1", "match.proposed.v1", "match.confirmed.v1"]
    assert everywhere.kinds("w-live") == here.kinds("w-live")
    assert there.kinds("w-live") == []
    assert here.kinds("w-there") == []
    assert here.ids == sorted(set(here.ids))
    await rig.state_of("w-live", "matched")


async def test_a_wish_that_is_read_after_what_was_said_of_it_is_on_the_board_and_so_is_that(rig: Rig) -> None:
    match = {"wish_id": "w-late", "offer_id": "o-late", "match_id": "m-late", "outcome": "done", "minutes": 60, "closed_at": after(0), "by": "resident"}
    async with rig.watching(WORKER) as here, rig.database() as board:
        await rig.say("match.closed.v1", "m-late", match)
        waits = "SELECT count(*) FROM gateway.stream WHERE wish_id = 'w-late' AND seq IS NULL"
        await soon(lambda: board.fetchval(waits), 1)
        await rig.wish("w-late", skill="nobody_can")
        await here.until(lambda one: one["wish_id"] == "w-late" and one["kind"] == "match.closed.v1")
        assert {"wish.submitted.v1", "match.closed.v1"} <= set(here.kinds("w-late"))
        assert 0 == await board.fetchval(waits)
    await rig.state_of("w-late", "closed")


async def test_a_stream_that_was_broken_goes_on_where_it_was(rig: Rig) -> None:
    auditor = somebody("auditor")
    wishes = [f"w-broken-{number}" for number in range(6)]
    seen: list[int] = []
    last: int | None = None
    for wish_id in wishes:
        async with rig.watching(auditor, last=last) as watch:
            await rig.wish(wish_id, skill="nobody_can")
            await watch.until(lambda one, wish_id=wish_id: one["wish_id"] == wish_id)  # type: ignore[misc]
            seen += watch.ids
            last = watch.ids[-1]
        await rig.wish(f"{wish_id}-missed", skill="nobody_can")
    async with rig.watching(auditor, last=last) as watch:
        await watch.until(lambda one: one["wish_id"] == "w-broken-5-missed" and one["kind"] == "wish.unmet.v1")
        seen += watch.ids
    stored = [row["seq"] for row in await rig.seen_by(auditor, "SELECT seq FROM gateway.stream WHERE seq BETWEEN $1 AND $2 ORDER BY seq", seen[0], seen[-1])]
    assert stored == seen


async def test_a_stream_of_another_board_is_told_to_begin_anew(rig: Rig) -> None:
    async with rig.watching(WORKER, last=2**60) as watch:
        await soon(_value(lambda: watch.events), ["reset"])


async def test_each_sees_the_rows_that_are_theirs(rig: Rig) -> None:
    await rig.offer("o-rows", skill="sewing")
    await rig.wish("w-rows", skill="sewing")
    await rig.wish("w-open", skill="nobody_can")
    await rig.state_of("w-rows", "matched")
    await rig.state_of("w-open", "open")
    who: dict[str, dict[str, Any] | None] = {
        "nobody": None,
        "worker": WORKER,
        "worker elsewhere": ELSEWHERE,
        "worker of another area": somebody("worker", area="elsewhere"),
        "their volunteer": somebody("volunteer", community="c9", volunteer_ref="volunteer-o-rows"),
        "a volunteer near": somebody("volunteer", community="c1", volunteer_ref="volunteer-x"),
        "their resident": somebody("resident", resident_refs=["resident-w-rows"]),
        "a resident": somebody("resident", resident_refs=["resident-x"]),
        "an integrator": somebody("integrator"),
    }
    asked = "SELECT wish_id FROM gateway.wishes WHERE wish_id IN ('w-rows', 'w-open') ORDER BY 1"
    wishes = {name: [row["wish_id"] for row in await rig.seen_by(one, asked)] for name, one in who.items()}
    assert wishes == {
        "nobody": [],
        "worker": ["w-open", "w-rows"],
        "worker elsewhere": [],
        "worker of another area": [],
        "their volunteer": ["w-rows"],
        "a volunteer near": ["w-open"],
        "their resident": ["w-rows"],
        "a resident": [],
        "an integrator": [],
    }
    for table, visible in (("matches", {"worker", "their volunteer", "their resident"}), ("stream", {"worker", "their volunteer", "their resident"})):
        found = {name for name, one in who.items() if await rig.seen_by(one, f"SELECT 1 FROM gateway.{table} WHERE wish_id = 'w-rows'")}
        assert found == visible


async def test_the_role_of_requests_writes_no_row_of_the_board(rig: Rig) -> None:
    await rig.wish("w-write", skill="nobody_can")
    await rig.state_of("w-write", "open")
    assert await rig.seen_by(WORKER, "UPDATE gateway.wishes SET title = 'x' RETURNING 1") == []
    assert await rig.seen_by(WORKER, "DELETE FROM gateway.stream RETURNING 1") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rig.seen_by(WORKER, "INSERT INTO gateway.wishes (area, wish_id, state) VALUES ('high-tech', 'forged', 'unknown')")


async def test_a_reader_that_does_not_read_is_cut(rig: Rig) -> None:
    """The lines are put into the table as the board's writer would: many more than its buffers and its queue hold."""
    host, port = "127.0.0.1", rig.port
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect((host, port))
        demo = '{"account":"a","roles":["auditor"],"scope":{"area":"flooded"}}'
        stuck.sendall(f"GET /live HTTP/1.1\r\nhost: {host}\r\nx-demo-principal: {demo}\r\n\r\n".encode())
        begun = await asyncio.to_thread(stuck.recv, 200)
        assert begun.startswith(b"HTTP/1.1 200")
        async with rig.database() as board, rig.watching(somebody("auditor", area="flooded")) as quick:
            for _ in range(20):
                await board.execute(
                    """INSERT INTO gateway.stream (event_key, seq, at, received_at, area, kind, subject, brief)
                    SELECT gen_random_uuid(), nextval('gateway.stream_seq'), now(), now(), 'flooded', 'match.agreed.v1', 'x',
                        jsonb_build_object('title', repeat('x', 1000)) FROM generate_series(1, 400)"""
                )
                await board.execute("NOTIFY lastmetre_board")
            last = await board.fetchval("SELECT max(seq) FROM gateway.stream WHERE area = 'flooded'")
            await soon(_value(lambda: quick.ids[-1:]), [last])
        taken = await asyncio.to_thread(_read_to_the_end, stuck)
    assert len(quick.ids) == 8000
    assert taken < 8000 * 1000


def _read_to_the_end(stuck: socket.socket) -> int:
    stuck.settimeout(DEADLINE_SECONDS)
    total = 0
    while True:
        try:
            part = stuck.recv(1 << 20)
        except ConnectionResetError:
            return total
        if not part:
            return total
        total += len(part)


_OF_LAST_SPRING = (
    """INSERT INTO gateway.wishes (area, wish_id, state, submitted_at, received_at)
        SELECT $1, 'w-spring', 'open', at, at FROM (SELECT now() - interval '200 days') t(at)""",
    "INSERT INTO gateway.matches (area, match_id, wish_id, offer_id, state) VALUES ($1, 'm-spring', 'w-spring', 'o-spring', 'released')",
    "INSERT INTO gateway.offers (area, offer_id, state, posted_at) VALUES ($1, 'o-spring', 'open', now() - interval '200 days')",
)


async def test_a_rebuilt_board_is_the_same_board_and_says_nothing_twice(rig: Rig) -> None:
    await rig.offer("o-again", skill="piano")
    await rig.wish("w-again", skill="piano")
    await rig.state_of("w-again", "matched")
    # What came longer ago than lines of the stream are kept is no news, and what the topics keep no longer nobody tells again.
    await rig.wish("w-of-last-week", skill="nobody_can", came_at=now_us() - 10 * DAY_US)
    await rig.state_of("w-of-last-week", "open")
    async with rig.database() as board:
        for statement in _OF_LAST_SPRING:
            await board.execute(statement, AREA)
        assert 0 == await board.fetchval("SELECT count(*) FROM gateway.stream WHERE kind = 'wish.submitted.v1' AND wish_id = 'w-of-last-week'")
        before = await board.fetch("SELECT * FROM gateway.wishes ORDER BY area, wish_id")
        matches = await board.fetch("SELECT * FROM gateway.matches ORDER BY area, match_id")
        offers = await board.fetch("SELECT * FROM gateway.offers ORDER BY area, offer_id")
        said = await board.fetchval("SELECT count(*) FROM gateway.stream")
        await store.rebuild(board)
        await soon(lambda: board.fetch("SELECT * FROM gateway.wishes ORDER BY area, wish_id"), before)
        await soon(lambda: board.fetch("SELECT * FROM gateway.matches ORDER BY area, match_id"), matches)
        await soon(lambda: board.fetch("SELECT * FROM gateway.offers ORDER BY area, offer_id"), offers)
        assert await board.fetchval("SELECT count(*) FROM gateway.stream") == said


async def test_the_areas_of_events_are_the_ones_they_name(rig: Rig) -> None:
    found = await rig.seen_by(somebody("auditor"), "SELECT DISTINCT area FROM gateway.stream")
    assert found == [{"area": AREA}]  # an auditor of that area


async def test_monitors_and_phones_that_are_held_open_miss_no_confirmation(rig: Rig) -> None:
    """The short form of `python -m benchmarks.monitors`; how soon and with how much memory is not asserted."""
    found = await monitors.hold(rig.stack, monitors=15, phones=40, seconds=3, rate=2)
    assert (found["confirmations_on_monitors"], found["streams_ended"]) == (found["confirmations_due"], 0)


async def test_the_gateway_answers_while_the_boards_writer_is_killed_and_the_next_one_goes_on(rig: Rig) -> None:
    board = rig.stack.service("board")
    before = board.restarts
    async with rig.watching(WORKER) as watch:
        board.kill()
        await rig.wish("w-killed", skill="nobody_can")
        async with rig.client(WORKER) as client:
            assert (await client.get("/monitor")).status_code == 200
        await watch.until(lambda one: one["wish_id"] == "w-killed" and one["kind"] == "wish.unmet.v1")
    assert watch.kinds("w-killed") == ["wish.submitted.v1", "wish.unmet.v1"]
    assert board.restarts == before + 1
    await soon(lambda: _board_lag(board.ops_port), 0)


async def _board_lag(port: int) -> int | None:
    async with httpx.AsyncClient(timeout=10) as client:
        lag: dict[str, int] = (await client.get(f"http://127.0.0.1:{port}/readyz")).json()["lag"]
        assert "lastmetre_board_lag_records" in (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    return lag.get("board")
