"""The matcher's wires: settings, connections, the Faust app, the clock, health. Nothing connects at import."""

import asyncio
import contextlib
import gc
import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.contrib.asgi import faust_app_running
from faust.exceptions import ConsumerNotStarted
from pydantic import Field

from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, LANE_TOPICS, MATCHER_GROUP
from services.broker import CUT_OFF_SECONDS, SILENT_SECONDS, Broker, Consumer, others_in, records_between
from services.matcher import gaps
from services.matcher.agents import SplitLane, is_whole, lanes_of, make_app
from services.matcher.gaps import Stretch
from services.matcher.matcher import AWAY, STATEMENT_SECONDS, Matcher
from services.matcher.metrics import Metrics
from services.matcher.minutes import Minutes
from services.matcher.outbox import Publisher
from services.matcher.policies import Policies
from services.matcher.policy_settings import PolicySettings
from services.matcher.store import CLOCK_RUNS_TO, INDEXES_ONLY
from services.rewound import Judge, places_to_go_on
from services.runtime import Ops, Readiness, ServiceSettings, Stop, reach
from services.sessions import end_frozen, know_rows_by_type

CLOCK_CHANNEL: Final = "matching_clock"
_FROZEN_MAX: Final = "5s"
# A lane with hundreds of thousands of offers is read in one transaction.
_TRANSACTION_SECONDS: Final = 300
_TICK_SECONDS: Final = 0.25
_CATCH_UP_SECONDS: Final = 3.0
_WATCH_SECONDS: Final = 0.5
_SPLIT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_READY_COMMIT_AGE_SECONDS: Final = 30.0
_COLLECT_SECONDS: Final = 1.0
_YOUNG_MANY: Final = 20_000
_YOUNG_MAX: Final = 200_000


class MatcherSettings(PolicySettings, ServiceSettings):
    """The matcher's settings."""

    gather_ms: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="填凑批的毫秒数 1 至 1000 | use 1 to 1000: milliseconds for which the broker may gather records while they come in"
    )


async def _connect(settings: MatcherSettings, statement_seconds: float = STATEMENT_SECONDS[0]) -> asyncpg.Connection:
    connection = await asyncpg.connect(
        settings.database.get_secret_value(),
        timeout=5,
        command_timeout=statement_seconds,
        server_settings={
            "application_name": "lastmetre-matcher",
            # A worker that is frozen in the middle of a transaction must not keep its lanes locked for those who take over.
            "idle_in_transaction_session_timeout": _FROZEN_MAX,
            **INDEXES_ONLY,
        },
    )
    await end_frozen(connection, seconds=_TRANSACTION_SECONDS)
    return connection


async def _read_gap(broker: Broker, topic: str, partition: int, start: int, end: int | None) -> Stretch:
    """The records of [start, end) with a plain consumer, or all from `start` on, as many as may be; fewer where Kafka no longer has them.

    Raises:
        OSError: Kafka does not answer just now. The part that has come must not pass for all: the rest would be skipped for good.
    """
    async with _lent_consumer(broker) as consumer:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        if end is None:
            end = int((await consumer.end_offsets([tp]))[tp])
        records = await records_between(consumer, tp, start, end, gaps.STRETCH_BYTES_MAX)
        return Stretch(records, whole=await consumer.position(tp) >= end)


@contextlib.asynccontextmanager
async def _lent_consumer(broker: Broker) -> AsyncIterator[Consumer]:
    """A plain consumer, of no group.

    Raises:
        OSError: Kafka does not answer just now, to it or to what is asked with it.
    """
    consumer = Consumer(
        **broker.client(), enable_auto_commit=False, fetch_max_bytes=EVENT_ACCEPTED_MAX_BYTES * 2,
        max_partition_fetch_bytes=EVENT_ACCEPTED_MAX_BYTES * 2, auto_offset_reset="earliest",
    )  # fmt: skip
    try:
        await consumer.start()
        yield consumer
    except KafkaError as fault:
        raise OSError("Kafka does not answer") from fault
    finally:
        await consumer.stop()


async def _go_on(broker: Broker, lane: int, cursors: Mapping[str, int], judge: Judge) -> dict[str, int]:
    """Where a lane's topics are to be read on: at its cursors, or before them where Kafka has not, or no longer, what was read.

    Raises:
        OSError: Kafka does not answer just now.
    """
    places = {TopicPartition(topic, lane): cursor for topic, cursor in cursors.items()}
    if not any(places.values()):
        return dict(cursors)
    async with _lent_consumer(broker) as consumer:
        consumer.assign(list(places))
        return {tp.topic: place for tp, place in (await places_to_go_on(consumer, places, judge)).items()}


async def _wall_ticks(matcher: Matcher, stop: Stop) -> None:
    while not await stop.pause(_TICK_SECONDS):
        await matcher.tick()


async def _event_ticks(settings: MatcherSettings, matcher: Matcher, stop: Stop) -> None:
    """Event time runs on where `play` says so: table `matching.clock`, and a notification when it changes."""
    log = structlog.get_logger().bind()
    while not stop:
        changed = asyncio.Event()
        try:
            connection = await _connect(settings)
            try:
                await connection.add_listener(CLOCK_CHANNEL, lambda *_, changed=changed: changed.set())
                while not stop:
                    changed.clear()
                    await matcher.tick(await connection.fetchval(CLOCK_RUNS_TO))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_TICK_SECONDS):
                            await changed.wait()
            finally:
                connection.terminate()
        except AWAY as error:
            log.warning("clock_retry", error=type(error).__name__)
            await stop.pause(_TICK_SECONDS)


async def _collect(matcher: Matcher, stop: Stop) -> None:
    """Collect garbage while nothing is going on.

    What is open in an area lives long, and forgetting it breaks its cycles, so counting references suffices. The collector, left to itself,
    would walk over every new wish and match while others wait: a third of the matcher's time. Where too much is new for a short walk, it is set apart unwalked.
    """
    while not await stop.pause(_COLLECT_SECONDS):
        young = gc.get_count()[0]
        if young > _YOUNG_MAX:
            gc.freeze()
        elif young > _YOUNG_MANY and matcher.pulse.commit_age_seconds > _COLLECT_SECONDS:
            gc.collect(0)


async def _catch_up(matcher: Matcher, highwater: Callable[[str, int], int | None], stop: Stop) -> None:
    """Mend what a rebalance may have skipped. Rare; the cursors make it visible."""
    log = structlog.get_logger().bind()
    while not await stop.pause(_CATCH_UP_SECONDS):
        try:
            await matcher.catch_up(highwater)
        except (KafkaError, *AWAY) as error:
            log.warning("catch_up_retry", error=type(error).__name__)


class FaustCrashed(Exception):
    """A part of Faust ended by itself: the worker would stay in the group, or outside of it, and read nothing."""


async def _watch(app: Any, stop: Stop) -> None:
    """Faust does not end a process of which a part has crashed; we do, so that a supervisor starts a new one.

    Nor does it read a topic that was not there when the group dealt, whenever that comes back: a worker without a part of its lanes ends as well.
    """
    whole_at = time.monotonic()
    while not await stop.pause(_WATCH_SECONDS):
        if app.crashed:
            raise FaustCrashed from app.crash_reason
        try:
            ours = lanes_of(app.consumer.assignment())
        except ConsumerNotStarted:  # Kafka is being waited for, or the client is slow to start
            ours = frozenset()
        if is_whole(ours):
            whole_at = time.monotonic()
        elif time.monotonic() - whole_at > _SPLIT_SECONDS:
            raise SplitLane(sorted(ours))


class CutOff(Exception):
    """This worker's database does not answer, and there are others whose may: they have its lanes as soon as it has left them."""


async def _look_for_answers(broker: Broker, matcher: Matcher, stop: Stop) -> None:
    """Leave the lanes to others where our database has not answered for long. A new process joins them once it does; the last one of all waits in place."""
    while not await stop.pause(_LOOK_SECONDS):
        if matcher.assigned and matcher.unanswered_seconds > CUT_OFF_SECONDS and await others_in(broker, MATCHER_GROUP):
            structlog.get_logger().error("cut_off", lanes=sorted(matcher.assigned), seconds=round(matcher.unanswered_seconds))
            raise CutOff


async def _hello(settings: MatcherSettings) -> None:
    await (await _connect(settings)).close()


class _Health:
    """What /readyz tells, and the gauges, which are read whenever /metrics is: nobody need ask for /readyz first."""

    def __init__(self, matcher: Matcher, publisher: Publisher, metrics: Metrics, app: Any) -> None:
        self._matcher, self._app = matcher, app
        metrics.lanes.set_function(lambda: len(matcher.lanes))
        metrics.backlog.set_function(lambda: publisher.backlog)
        metrics.open_wishes.set_function(lambda: sum(len(area.waiting) + len(area.pooled) for lane in matcher.lanes.values() for area in lane.areas.values()))
        for topic in LANE_TOPICS:
            metrics.lag.labels(topic).set_function(partial(self._lag_of, topic))

    async def ready(self) -> Readiness:
        """Ready: lanes are owned and loaded, and what was taken in is committed and published."""
        lag = {topic: self._lag_of(topic) for topic in LANE_TOPICS}
        age = self._matcher.pulse.commit_age_seconds if any(lag.values()) else 0.0
        reasons = []
        if not self._matcher.assigned:
            reasons.append("no_lanes_assigned")
        if self._matcher.assigned - self._matcher.lanes.keys():
            reasons.append("lanes_not_loaded")
        if age > _READY_COMMIT_AGE_SECONDS:
            reasons.append("no_commit")
        database = not reasons
        if database and not any(lag.values()) and self._app.consumer.silent_seconds() > SILENT_SECONDS:
            reasons.append("broker")
        return Readiness(database=database, commit_age_seconds=age, lag=lag, reasons=tuple(reasons))

    def _lag_of(self, topic: str) -> int:
        lanes = self._matcher.lanes.items()
        reached = ((lane.cursors[topic], self.highwater(topic, number)) for number, lane in lanes if topic in lane.cursors)
        return sum(max(0, end - cursor) for cursor, end in reached if end is not None)

    def highwater(self, topic: str, partition: int) -> int | None:
        """The end of a partition's log, up to where no transaction is open, as the consumer last heard it; None where it is not, or no longer, ours to read."""
        place = TopicPartition(topic, partition)
        if place not in self._app.consumer.assignment():  # else the client fails on it, and the worker with it, whenever lanes go
            return None
        return self._app.consumer.end(place)  # type: ignore[no-any-return] # Faust is untyped for us


@contextlib.asynccontextmanager
async def _tasks(stop: Stop, *coroutines: Any) -> AsyncIterator[None]:
    """Run these beside the block; when one of them fails, everything stops and the failure is raised at the end."""

    async def guarded(coroutine: Any) -> None:
        try:
            await coroutine
        except BaseException:
            stop.set()
            raise

    tasks = [asyncio.create_task(guarded(coroutine)) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def main(settings: MatcherSettings, stop: Stop) -> None:
    """Run one matcher worker until it is to stop."""
    know_rows_by_type()
    metrics = Metrics()
    failures: list[BaseException] = []

    def on_crash(error: BaseException) -> None:
        failures.append(error)
        stop.set()

    async def on_published(lane: int, epoch: int, seq: int) -> None:
        await matcher.published(lane, epoch, seq)

    publisher = Publisher(settings.broker, on_published)
    matcher = Matcher(
        partial(_connect, settings),
        publisher,
        metrics,
        stop,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        event_time=settings.clock == "event",
        policies=Policies.read(settings.policy),
    )
    matcher.fill_gap = lambda *gap: _read_gap(settings.broker, *gap)
    matcher.go_on = lambda *lane: _go_on(settings.broker, *lane)
    played = settings.clock == "event"
    ticks = _event_ticks(settings, matcher, stop) if played else _wall_ticks(matcher, stop)
    minutes = Minutes(lambda: _connect(settings), matcher.cursor) if played else None
    app = make_app(settings.broker, matcher, on_crash, gather_ms=settings.gather_ms, minutes=minutes)
    health = _Health(matcher, publisher, metrics, app)
    pulses = {"intake": matcher.pulse, "outbox": publisher.pulse}
    gc.disable()  # _collect() does it when nobody waits
    beside = (
        publisher.run(stop),
        ticks,
        matcher.keep_lanes(stop),
        matcher.keep_published(stop),
        _collect(matcher, stop),
        _catch_up(matcher, health.highwater, stop),
    )
    async with _tasks(stop, *beside, _watch(app, stop), _look_for_answers(settings.broker, matcher, stop)):
        async with Ops(settings.ops_port, pulses, health.ready, metrics.registry):
            with matcher.pulse.beating():  # who has no database takes no lane, which another might have
                await reach("PostgreSQL", "LASTMETRE_DATABASE", partial(_hello, settings), stop, seconds=math.inf)
            await reach("Kafka", "LASTMETRE_KAFKA", settings.broker.hello, stop)
            async with faust_app_running(app):
                await stop.wait()
        await matcher.close()
        if minutes is not None:
            await minutes.close()
    if failures:
        raise failures[0]
