"""Faust's side: one agent over all topics of the lanes, and what the group says about who owns which.

The agent has no table and sends nothing itself: it lays chunks into an inbox, from where a task hands all that gathered to the matcher, and acknowledges
them when they are stored. An exception that left the task would end its work unseen, so it never does: the app is crashed and the task stays where it is.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import faust
import structlog
from faust.types import TP

from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, LANE_TOPICS, MATCHER_GROUP, MIB
from services.broker import Broker, Where
from services.matcher.chunks import ChunkTransport
from services.matcher.matcher import BATCH_MAX, Matcher
from services.matcher.minutes import Minutes

# The shortest session that a broker takes unless it is told otherwise. A survivor learns by its next heartbeat that a lane is free.
_SESSION_SECONDS: Final = 6.0
_HEARTBEAT_SECONDS: Final = 0.5
# How often the group's leader looks whether the topics are as they were when it dealt the lanes out. A broker that has just been started may have named none:
# then nobody has a lane, nothing fails, and the client by itself would look again in five minutes.
_METADATA_SECONDS: Final = 5.0
# At a low rate a fetch brings one record, at a high one _RECORDS_MAX: a batch takes many fetches, until it has BATCH_MAX records.
_FETCHES_MAX: Final = 128
_RECORDS_MAX: Final = 500
# One batch that is being stored, and the next one.
_WAITING_MAX: Final = 2 * BATCH_MAX
# Events have one or two KB. What is no event may have a thousand times that, and lies in memory several times until it is a dead letter.
_WAITING_BYTES_MAX: Final = 64 * MIB
# By event time, while a minute is not whole.
_LOOK_SECONDS: Final = 0.003

_Inbox = asyncio.Queue[tuple[Any, Any]]
"""Each item is a stream and an event of it."""


class SplitLane(Exception):
    """A lane's partitions went to different workers; deciding it here would be deciding on half of the truth."""


def lanes_of(assigned: Iterable[TP]) -> frozenset[TP]:
    """Those of these partitions that belong to lanes."""
    return frozenset(tp for tp in assigned if tp.topic in LANE_TOPICS)


def is_whole(ours: frozenset[TP]) -> bool:
    """Whether each lane of which there is a partition has all of them."""
    return all(TP(topic, lane) in ours for topic in LANE_TOPICS for lane in {tp.partition for tp in ours})


async def _take_in(app: faust.App, matcher: Matcher, inbox: _Inbox, minutes: Minutes | None) -> None:
    taken = [await inbox.get()]
    records = _records(taken[0])
    while records < BATCH_MAX and not inbox.empty():
        taken.append(inbox.get_nowait())
        records += _records(taken[-1])
    if minutes is not None:
        await _take_whole(app, inbox, minutes, taken)
    # A chunk that was on its way while its lane went to another worker is that worker's to read.
    ours = app.consumer.assignment()
    chunks = [chunk for _, event in taken for chunk in event.message.value if chunk.tp in ours]
    left = await matcher.take_in([chunk.items for chunk in chunks if chunk.items])
    app.consumer.acknowledge(chunk for chunk in chunks if chunk.tp.partition not in left)
    for stream, event in taken:
        await stream.ack(event)


async def _take_whole(app: faust.App, inbox: _Inbox, minutes: Minutes, taken: list[tuple[Any, Any]]) -> None:
    """Also all that the minute still brings."""
    began = time.monotonic()
    while True:
        while not inbox.empty():
            taken.append(inbox.get_nowait())
        lasts = {chunk.tp: chunk.last for _, event in taken for chunk in event.message.value}
        ours = [tp for tp in app.consumer.assignment() if tp.topic in LANE_TOPICS]
        if await minutes.is_whole(lasts, ours, began):
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _records(taken: tuple[Any, Any]) -> int:
    return sum(len(chunk.items) for chunk in taken[1].message.value)


def _credentials(broker: Broker) -> faust.SASLCredentials | None:
    if broker.user is None:
        return None
    return faust.SASLCredentials(username=broker.user, password=broker.password(), mechanism=broker.mechanism, ssl_context=broker.ssl_context())


def make_app(kafka: Where, matcher: Matcher, on_crash: Callable[[BaseException], None], *, gather_ms: int, minutes: Minutes | None = None) -> faust.App:
    """The Faust app; `gather_ms`: how long the broker may gather records before it answers; `minutes`: by event time, when a minute is whole."""
    broker = Broker.of(kafka)
    app = faust.App(
        MATCHER_GROUP,
        broker=";".join(f"kafka://{address}" for address in broker.addresses.split(",")),
        broker_credentials=_credentials(broker),
        broker_session_timeout=_SESSION_SECONDS,
        broker_heartbeat_interval=_HEARTBEAT_SECONDS,
        broker_request_timeout=20.0,
        broker_max_poll_records=_RECORDS_MAX,
        consumer_max_fetch_size=EVENT_ACCEPTED_MAX_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=int(_METADATA_SECONDS * 1000),
        broker_commit_interval=1.0,
        stream_buffer_maxsize=_FETCHES_MAX,
        stream_wait_empty=False,
        processing_guarantee="at_least_once",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="lastmetre-faust-"),
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
    )
    app.transport = ChunkTransport(app.conf.broker_consumer, app)
    app.transport.gather_ms = gather_ms
    if minutes is None:  # by event time a minute is waited for until it is whole, however much that is
        app.transport.records_max = _WAITING_MAX
        app.transport.bytes_max = _WAITING_BYTES_MAX
    app.transport.cursor = matcher.cursor
    source = app.topic(*LANE_TOPICS, key_serializer="raw", value_serializer="raw", internal=False)

    # While one batch is decided and stored, the next one gathers here. (Faust's own `take_events` looks at what it has once in a fixed time.)
    inbox: _Inbox = asyncio.Queue(_FETCHES_MAX)

    @app.agent(source, name="decide")  # type: ignore[untyped-decorator]
    async def decide(stream: Any) -> None:
        manual = stream.noack()
        async for event in manual.events():
            await inbox.put((manual, event))

    @app.task  # type: ignore[untyped-decorator]
    async def take_in() -> None:
        # Faust has made its folders for tables, of which there are none. They go now: a worker that is killed later could not take them away.
        shutil.rmtree(app.conf.datadir, ignore_errors=True)
        try:
            while True:
                await _take_in(app, matcher, inbox, minutes)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end unseen
            structlog.get_logger().exception("crashed")
            on_crash(error)
            await app.crash(error)
            await asyncio.Event().wait()

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_app: faust.App, assigned: set[TP], **_: Any) -> None:
        ours = lanes_of(assigned)
        if not is_whole(ours):
            on_crash(SplitLane(sorted(ours)))
            return
        matcher.assign(frozenset(tp.partition for tp in ours))

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def on_revoked(_app: faust.App, revoked: set[TP], **_: Any) -> None:
        await matcher.revoke(frozenset(tp.partition for tp in revoked if tp.topic in LANE_TOPICS))

    return app
