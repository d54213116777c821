"""What planted bugs (`tests/mutants/`) showed that no other quick test would see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg

from schemas.instants import MINUTE_US
from schemas.topics import LANE_TOPICS
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.lanes import Lane, take
from services.matcher.outbox import Message, Parcel, Publisher
from services.matcher.policies import Policies
from services.matcher.store import Changes, RawData
from services.runtime import Stop
from tests.builders import AREA, NOON, Scene, declined, instant, offer, wish
from tests.conftest import Database
from tests.integration.test_matcher_commit import FAIL_ONCE, LANE
from tests.integration.test_matcher_commit import Worker as Matching
from tests.shelf import Shelved
from tests.simulator.worker import Worker

# ---- what is taken in


def test_an_event_that_comes_again_is_a_duplicate() -> None:
    worker, event = Worker(Policy.at_once()), wish()
    (first,) = worker.take_in([event], None, None)
    (again,) = worker.take_in([event], None, None)
    assert ["decided", "duplicate"] == [first.outcome, again.outcome]


def test_an_event_that_comes_twice_in_one_batch_is_a_duplicate() -> None:
    event = wish()
    assert ["decided", "duplicate"] == [entry.outcome for entry in Worker(Policy.at_once()).take_in([event, event], None, None)]


def test_where_event_time_counts_the_clock_is_that_of_the_events() -> None:
    entries = Worker(Policy.at_once()).take_in([offer(at=1), wish(at=2)], None, None)
    assert [instant(1), instant(2)] == [entry.at for entry in entries]


def test_what_is_due_is_done_before_the_next_event() -> None:
    entries = Worker(Policy.at_once()).take_in([wish(wanted=(0, 60)), offer(at=90)], None, None)
    assert ["event", "time", "event"] == [entry.kind for entry in entries]


def test_the_cursor_lies_right_behind_the_last_record() -> None:
    worker = Worker(Policy.at_once())
    worker.take_in([wish("w1"), wish("w2")], None, None)
    assert worker.lane is not None
    assert worker.stored.offsets + 1 == worker.lane.cursors["wishes"]


# ---- lanes and what is stored


def test_an_area_that_was_thrown_away_is_due_to_be_loaded() -> None:
    lane = Lane(0, 1, {}, 0, 0, 0, {AREA: Area(AREA)})
    lane.forget({AREA})
    assert 0 == lane.next_deadline()


def test_another_worker_knows_who_was_parted() -> None:
    stored = Shelved()
    stored.when(offer(accepts="ask"), wish(), declined(at=1))
    stored.loads_again()
    assert [] == stored.when(offer(at=2))


async def test_a_worker_that_was_replaced_stores_nothing(database: Database) -> None:
    connection = await asyncpg.connect(database.dsn("matcher"))
    replaced = await take(connection, LANE, "replaced", Policies())
    await take(connection, LANE, "next", Policies())
    fence = [(LANE, replaced.epoch, *[7 for _ in LANE_TOPICS], 7, 0, NOON, None, None)]
    assert {LANE} == await Changes().store(connection, fence, [], RawData())
    again = await take(connection, LANE, "one more", Policies())
    await connection.close()
    assert (0, 0) == (again.seq, again.ticked)


async def test_what_could_not_be_stored_is_neither_remembered_nor_published(database: Database) -> None:
    worker = Matching(database)
    await worker.takes(offer())
    await worker.owner(FAIL_ONCE.format(code="P0001"))
    await worker.takes(wish(urgency="red"))
    remembered = worker.in_memory()
    await worker.matcher.close()
    assert ["wishes-dlq"] == [message.topic for parcel in worker.publisher._queue for message in parcel.messages]
    assert {} == remembered


async def test_the_next_worker_publishes_what_the_last_one_could_not(new_database: Callable[[], Awaitable[Database]]) -> None:
    database = await new_database()
    last, following = Matching(database), Matching(database)
    await last.takes(offer(), wish(urgency="red"))
    following.matcher.assign(frozenset((LANE,)))
    await following.matcher.tick(0)
    assert 1 == len(last.handed_over())
    assert last.handed_over() == following.handed_over()
    for worker in (last, following):
        await worker.matcher.close()


class OneTry(Stop):
    """Ends instead of waiting for a second try."""

    async def pause(self, seconds: float) -> bool:
        self.set()
        return True


async def test_nothing_is_called_published_while_the_broker_is_away() -> None:
    published: list[int] = []

    async def on_published(_lane: int, _epoch: int, seq: int) -> None:
        published.append(seq)

    publisher = Publisher("127.0.0.1:1", on_published)
    publisher.put(Parcel(0, 1, 7, [Message("matches", 0, None, b"{}", [])]))
    await publisher.run(OneTry())
    assert [] == published


# ---- rounds


def test_a_round_takes_nobody_from_beyond_the_rung() -> None:
    found = Scene(policy=Policy(sure=1000, widen_us={"red": 0, "yellow": 10 * MINUTE_US, "blue": 0}))
    found.when(offer(home="c1/p2", windows=[(0, 4000)]), wish(wanted=(0, 3000)))
    assert [] == found.passes(9)
