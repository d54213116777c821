"""A commit that fails: memory was changed while deciding, and nothing of that may be seen afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from aiokafka import ConsumerRecord

from schemas import codec
from schemas.codec import Event
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from services.matcher import intake
from services.matcher.gaps import Stretch
from services.matcher.matcher import Matcher
from services.matcher.metrics import Metrics
from services.matcher.outbox import Publisher
from services.runtime import Stop
from tests import builders as build
from tests.conftest import Database

LANE = partition_of(build.AREA)
LIMIT_SECONDS = 20.0
HEADERS = [("content-type", codec.STRUCTURED_TYPE.encode())]
# Deferred, so that it is the commit itself that fails; a sequence, because it alone is not rolled back.
FAIL_ONCE = """
    CREATE SEQUENCE matching.commits;
    CREATE FUNCTION matching.fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('matching.commits') = 1 THEN RAISE EXCEPTION 'once' USING ERRCODE = '{code}'; END IF;
            RETURN NULL;
        END
    $$;
    CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON matching.journal DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION matching.fail_once();
"""


def read_run(records: Sequence[ConsumerRecord[bytes, bytes]]) -> list[intake.Item]:
    return [intake.read(record) for record in records]


class Worker:
    """A matcher on its database; what it hands to the publisher stays there, as no broker is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offsets: dict[str, int] = {}
        self.publisher = Publisher("127.0.0.1:1", self._nothing)
        self.given_seconds: list[float] = []
        self.matcher = Matcher(self._connect, self.publisher, Metrics(), Stop(), owner="test", event_time=True)

    async def _connect(self, statement_seconds: float) -> asyncpg.Connection:
        self.given_seconds.append(statement_seconds)
        return await asyncpg.connect(self._database.dsn("matcher"), command_timeout=statement_seconds)

    async def _nothing(self, *_: object) -> None:
        """Nobody publishes, so nobody hears of it."""

    @staticmethod
    def record(topic: str, offset: int, value: bytes, key: bytes = build.AREA.encode()) -> ConsumerRecord[bytes, bytes]:
        return ConsumerRecord(topic, LANE, offset, 0, 0, key, value, None, len(key), len(value), HEADERS)

    async def takes(self, *events: Event) -> None:
        runs: dict[str, list[Any]] = {}
        for event in events:
            topic = TOPIC_OF[event.type]
            offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
            runs.setdefault(topic, []).append(self.record(topic, offset, codec.structured(event), event.area.encode()))
        await self.matcher.take_in([read_run(run) for run in runs.values()])

    async def takes_what_is_none(self) -> None:
        """A record that is no event: it goes to the dead letters, by way of the outbox."""
        offset = self._offsets["wishes"] = self._offsets.get("wishes", -1) + 1
        await self.matcher.take_in([read_run([self.record("wishes", offset, b"{")])])

    async def publishes(self) -> None:
        """What the publisher says once all that was handed to it is on Kafka."""
        lane = self.matcher.lanes[LANE]
        await self.matcher.published(LANE, lane.epoch, lane.seq)

    async def owner(self, statement: str) -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(self._database.dsn())
        try:
            if statement.lstrip().startswith("SELECT"):
                return await connection.fetch(statement)
            await connection.execute(statement)
            return []
        finally:
            await connection.close()

    async def journal(self) -> list[tuple[Any, ...]]:
        rows = await self.owner("SELECT event_id, at, outcome, decision FROM matching.journal ORDER BY seq")
        return [tuple(row) for row in rows]

    def handed_over(self) -> set[tuple[str, bytes | None]]:
        return {(str(dict(one.headers)["ce_id"]), one.value) for parcel in self.publisher._queue for one in parcel.messages}

    def in_memory(self) -> dict[str, tuple[str, list[str]]]:
        area = self.matcher.lanes[LANE].areas[build.AREA]
        return {wish.id: (wish.status, sorted(wish.matches)) for wish in area.wishes.values()}


def story() -> tuple[Event, list[Event]]:
    """One helper with room for one; then, in one batch, two who would like them and one who takes the wish back."""
    first = build.offer("o1", event_id="offer-1")
    batch = [
        build.wish("w1", at=1, event_id="wish-1", urgency="red"),
        build.wish("w2", at=2, event_id="wish-2", urgency="red"),
        build.wish_withdrawn("w1", at=3, event_id="withdrawn-1"),
    ]
    return first, batch


@pytest.mark.parametrize("code", ["40001", "P0001"], ids=["a fault that passes", "a fault that may be an event's own"])
async def test_a_commit_that_failed_leaves_nothing_in_memory(new_database: Callable[[], Awaitable[Database]], code: str) -> None:
    first, batch = story()
    calm, stormy = Worker(await new_database()), Worker(await new_database())
    for worker in (calm, stormy):
        await worker.takes(first)
    await stormy.owner(FAIL_ONCE.format(code=code))

    for worker in (calm, stormy):
        await worker.takes(*batch)

    failed = await stormy.owner("SELECT last_value FROM matching.commits")
    assert failed[0]["last_value"] > 1
    assert await calm.journal() == await stormy.journal()
    assert calm.handed_over() == stormy.handed_over()
    assert calm.in_memory() == stormy.in_memory()
    assert {"w2": ("held", ["o1"])} == stormy.in_memory()
    for worker in (calm, stormy):
        await worker.matcher.close()


async def test_a_statement_that_is_not_answered_is_asked_again_on_a_connection_that_has_more_time(
    new_database: Callable[[], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.matcher.matcher.STATEMENT_SECONDS", (0.3, 20.0))
    first, batch = story()
    worker = Worker(database := await new_database())
    await worker.takes(first)
    assert [0.3] == worker.given_seconds
    holder = await asyncpg.connect(database.dsn())
    async with holder.transaction():
        await holder.execute("SELECT FROM matching.lanes FOR UPDATE")
        taking = asyncio.create_task(worker.takes(*batch))
        async with asyncio.timeout(20):
            while len(worker.given_seconds) < 2:  # noqa: ASYNC110 - another task writes into the list
                await asyncio.sleep(0.01)
    await taking
    assert {"w2": ("held", ["o1"])} == worker.in_memory()
    assert [0.3, 20.0] == worker.given_seconds
    await worker.takes_what_is_none()
    assert [0.3, 20.0, 0.3] == worker.given_seconds
    await holder.close()
    await worker.matcher.close()


async def test_no_event_is_to_blame_for_a_database_that_is_prepared_otherwise(worker: Worker) -> None:
    before = await worker.journal(), worker.handed_over()
    await worker.owner("ALTER TABLE matching.early RENAME TO early_of_another_version")
    taking = asyncio.create_task(worker.takes(*story()[1], build.offer("o1", event_id="offer-1")))
    await asyncio.wait({taking}, timeout=0.5)
    assert before == (await worker.journal(), worker.handed_over()), "none becomes a dead letter meanwhile"
    await worker.owner("ALTER TABLE matching.early_of_another_version RENAME TO early")
    await taking
    told = {event_id: outcome for event_id, _, outcome, _ in await worker.journal()}
    assert dict.fromkeys(("wish-1", "wish-2", "withdrawn-1"), "decided").items() <= told.items()


@pytest.mark.parametrize(
    "brought", [[(0, 2), (0, 3)], [(1, 3), (0, 3)], [(0, 3), (1, 2)]], ids=["from the start", "beginning late", "once more from the middle"]
)
async def test_records_that_a_rebalance_brought_twice_are_taken_in_once(
    new_database: Callable[[], Awaitable[Database]], brought: list[tuple[int, int]]
) -> None:
    worker = Worker(await new_database())
    records = [
        worker.record("wishes", 0, codec.structured(build.wish("w1", at=1, event_id="wish-1"))),
        worker.record("wishes", 1, b"{"),
        worker.record("wishes", 2, codec.structured(build.wish("w2", at=2, event_id="wish-2"))),
    ]

    async def read_again(topic: str, _partition: int, start: int, end: int | None) -> Stretch:
        return Stretch(records[start:end] if topic == "wishes" else [])

    worker.matcher.fill_gap = read_again
    await worker.matcher.take_in([read_run(records[start:end]) for start, end in brought])

    assert [(event_id, outcome) for event_id, _, outcome, _ in await worker.journal()] == [("wish-1", "decided"), ("wish-2", "decided")]
    assert [1] == [row["n"] for row in await worker.owner("SELECT count(*) AS n FROM matching.outbox")]
    assert 3 == worker.matcher.cursor("wishes", LANE)
    await worker.matcher.close()


async def test_a_stretch_without_a_record_is_gone_past_once_it_was_looked_at(new_database: Callable[[], Awaitable[Database]]) -> None:
    worker = Worker(await new_database())
    await worker.takes(build.wish("w1", at=1, event_id="wish-1"))
    spans = []

    async def read_nothing(topic: str, _partition: int, start: int, end: int | None) -> Stretch:
        spans.append((topic, start, end))
        return Stretch([])

    worker.matcher.fill_gap = read_nothing
    for _ in range(4):
        await worker.matcher.catch_up(lambda topic, _: 3 if topic == "wishes" else 0)
    assert [("wishes", 1, 3)] == spans
    assert 3 == worker.matcher.cursor("wishes", LANE)
    await worker.matcher.close()


async def test_an_area_in_which_nothing_is_open_is_neither_kept_nor_loaded_and_known_when_something_is_said_in_it(
    new_database: Callable[[], Awaitable[Database]],
) -> None:
    """Who makes up an area for each event, by a bug, has made them for ever: each would take memory, and time at every start."""
    database = await new_database()
    worker = Worker(database)
    await worker.takes(build.wish("w1", at=1), build.wish_withdrawn("w1", at=2), build.wish_withdrawn("w2", at=9))
    assert {} == worker.matcher.lanes[LANE].areas

    heir = Worker(database)
    heir._offsets["wishes"] = 2
    await heir.matcher._take_missing(frozenset((LANE,)))
    assert {} == heir.matcher.lanes[LANE].areas
    await heir.takes(build.wish("w2", at=3), build.wish("w3", at=4))
    assert {"w3": ("open", [])} == heir.in_memory()
    third = Worker(database)
    await third.matcher._take_missing(frozenset((LANE,)))
    assert {"w3": ("open", [])} == third.in_memory()
    rows = await worker.owner("SELECT wish_id, status FROM matching.wishes ORDER BY wish_id")
    assert [("w1", "withdrawn"), ("w2", "withdrawn"), ("w3", "open")] == [tuple(row) for row in rows]
    for one in (worker, heir, third):
        await one.matcher.close()


@pytest.mark.parametrize(
    ("most", "how", "marks"),
    [(None, "when the next comes", 0), (1, "when the next comes", 0), (1, "when nothing comes", 0), (1, "when nothing comes", 1)],
    ids=["at once", "piece by piece", "by itself", "behind the mark of a transaction"],
)
async def test_where_the_database_is_of_an_earlier_day_a_confirmation_is_not_read_before_its_wish(
    new_database: Callable[[], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch, most: int | None, how: str, marks: int
) -> None:
    monkeypatch.setattr("services.matcher.matcher._PIECE_MAX", 1)
    worker = Worker(await new_database())
    posted, submitted = build.offer("o1", at=0), build.wish("w1", at=1, urgency="red")
    match = build.given(posted, submitted).match("w1")
    late = build.offer("o2", at=0)  # it came last
    told = [(2, build.confirmed(match, at=2)), (8, build.closed(match, at=300))]
    logs = {"offers": [(0, posted), (9, late)], "wishes": [(1, submitted)], "confirmations": told}
    records = {
        topic: [replace(worker.record(topic, offset, codec.structured(event)), timestamp=came) for offset, (came, event) in enumerate(events, marks)]
        for topic, events in logs.items()
    }
    asked, failures = [], iter([ConnectionError("away"), ConnectionError("away")] if most else [])

    async def read_again(topic: str, _partition: int, start: int, end: int | None) -> Stretch:
        asked.append((topic, start))
        if start and (fault := next(failures, None)):
            raise fault
        rest = [record for record in records.get(topic, []) if start <= record.offset and (end is None or record.offset < end)]
        return Stretch(rest[:most], whole=most is None or len(rest) <= most)

    worker.matcher.fill_gap = read_again
    if how == "when the next comes":
        await worker.matcher.take_in([read_run(records["confirmations"][1:])])
        assert 4 == sum(1 for event_id, *_ in await worker.journal() if event_id is not None), "what came after what was at hand waits for its turn"
        await worker.matcher.take_in([read_run(records["offers"][1:])])
    else:
        await worker.matcher._take_missing(frozenset((LANE,)))
        for _ in range(5):
            with suppress(ConnectionError):
                await worker.matcher.catch_up(lambda topic, _: marks + len(records.get(topic, [])))

    decided = [(event_id, outcome) for event_id, _, outcome, _ in await worker.journal() if event_id is not None]
    assert ["decided"] * 5 == [outcome for _, outcome in decided]
    assert 1 == asked.count(("offers", 0)), "what was stored is not read again"
    await worker.matcher.close()


@pytest.mark.parametrize("code", [None, "40001", "P0001"], ids=["at the first attempt", "after a fault that passes", "one by one"])
async def test_a_minute_is_decided_as_it_was_said_though_its_topics_hold_it_otherwise_and_nothing_of_it_is_lost(
    new_database: Callable[[], Awaitable[Database]], code: str | None
) -> None:
    first, (one, other, taken_back) = story()
    worker = Worker(await new_database())
    await worker.takes(first)
    if code is not None:
        await worker.owner(FAIL_ONCE.format(code=code))

    await worker.takes(other, build.wish("w3", at=4, event_id="wish-3", urgency="red"), one, taken_back)

    decided = [event_id for event_id, _, _, _ in await worker.journal() if event_id is not None]
    assert ["offer-1", "wish-1", "wish-2", "wish-3", "withdrawn-1"] == sorted(decided)
    if code != "P0001":
        assert ["offer-1", "wish-1", "wish-2", "withdrawn-1", "wish-3"] == decided
        assert {"w2": ("held", ["o1"]), "w3": ("open", [])} == worker.in_memory()
    assert 4 == worker.matcher.cursor("wishes", LANE)
    await worker.matcher.close()


async def test_a_lane_that_went_to_another_worker_is_not_fought_for(new_database: Callable[[], Awaitable[Database]]) -> None:
    database = await new_database()
    before, heir = Worker(database), Worker(database)
    offers = [codec.structured(build.offer(f"o{number}", at=number, event_id=f"offer-{number}")) for number in range(3)]
    first, second, third = (read_run([before.record("offers", number, value)]) for number, value in enumerate(offers))
    await before.matcher.take_in([first])
    await heir.matcher.take_in([second])
    epoch = heir.matcher.lanes[LANE].epoch

    # What it had read already is under way when the group says that the lane is gone, or says so only then.
    late = asyncio.create_task(before.matcher.take_in([second, third]))
    await asyncio.sleep(0)
    await before.matcher.revoke(frozenset({LANE}))
    async with asyncio.timeout(LIMIT_SECONDS):
        assert {LANE} == await late
    assert {LANE} == await before.matcher.take_in([second, third])

    assert frozenset() == await heir.matcher.take_in([third])
    assert epoch == heir.matcher.lanes[LANE].epoch
    assert ["offer-0", "offer-1", "offer-2"] == [event_id for event_id, *_ in await heir.journal()]
    assert [epoch] == [row["epoch"] for row in await heir.owner(f"SELECT epoch FROM matching.lanes WHERE lane = {LANE}")]
    for worker in (before, heir):
        await worker.matcher.close()


async def test_a_lane_that_comes_back_is_taken_in_again(worker: Worker) -> None:
    await worker.matcher.revoke(frozenset({LANE}))
    worker.matcher.assign(frozenset({LANE}))
    await worker.takes(build.offer("o1", event_id="offer-1"))
    assert ["offer-0", "offer-1"] == [event_id for event_id, *_ in await worker.journal()]


async def published_of(worker: Worker) -> tuple[int, int]:
    """Up to where the lane is marked as published, and how many rows are left in its outbox."""
    rows = await worker.owner(f"SELECT published, (SELECT count(*) FROM matching.outbox) AS left_over FROM matching.lanes WHERE lane = {LANE}")
    return rows[0]["published"], rows[0]["left_over"]


@pytest.fixture
async def worker(new_database: Callable[[], Awaitable[Database]]) -> AsyncIterator[Worker]:
    """A worker of which all is published and marked so: what a former owner may have left in the outbox was looked through once."""
    worker = Worker(await new_database())
    await worker.takes(build.offer("o0", event_id="offer-0"))
    await worker.publishes()
    async with kept(worker):
        await until_marked(worker, 1)
    yield worker
    await worker.matcher.close()


@asynccontextmanager
async def kept(worker: Worker) -> AsyncIterator[None]:
    """What is published is written down while this lasts."""
    keeping = asyncio.create_task(worker.matcher.keep_published(Stop()))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def until_marked(worker: Worker, published: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while (published, 0) != await published_of(worker) or worker.matcher.lanes[LANE].aside:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def test_what_is_published_is_marked_with_the_next_batch(worker: Worker) -> None:
    await worker.takes(build.offer("o1", event_id="offer-1"))
    await worker.publishes()
    assert {LANE} == worker.matcher._unmarked.keys()
    await worker.takes(build.offer("o2", event_id="offer-2"))
    assert {} == worker.matcher._unmarked
    assert (2, 0) == await published_of(worker)


async def test_what_is_published_is_marked_by_itself_where_no_batch_comes(worker: Worker) -> None:
    await worker.takes(build.offer("o1", event_id="offer-1"))
    await worker.publishes()
    async with kept(worker):
        await until_marked(worker, 2)


async def test_rows_of_the_outbox_go_when_they_have_served_though_batches_go_on(worker: Worker) -> None:
    await worker.takes_what_is_none()
    await worker.publishes()
    await worker.takes(build.offer("o1", event_id="offer-1"))
    assert (2, 1) == await published_of(worker)
    async with kept(worker):
        await until_marked(worker, 2)
