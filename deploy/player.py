"""`play`: a file of events goes in as an integration would send it; what became of it comes out as files. The black box.

Event time drives every clock. The lines of one minute are published and settle before the next minute that has lines; an
area's clock is the highest `time` it has seen. After the last line the clock runs on, deadline by deadline, until every wish is
filled, withdrawn or expired. Nothing is validated here: that is for the services to do.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from deploy.lock import clear_abandoned
from deploy.play_results import Results, clear
from deploy.stack import Stack
from deploy.state import State, default_folder
from deploy.words import Trouble
from schemas.codec import STRUCTURED_TYPE
from schemas.instants import MINUTE_US, parse_rfc3339
from schemas.registry import TOPIC_OF
from schemas.topics import CONFIRMATIONS, DEAD_LETTER_MAX_BYTES, LANE_TOPICS, MATCHES, PARTITIONS, RESPONSES, WISHES

# What the notifier reads of visits, in the order of `_PROGRESS`.
_VISITS_TOPICS: Final = (RESPONSES, CONFIRMATIONS)
_REPORTS: Final = "lastmetre.service."
_HEADERS: Final = [("content-type", STRUCTURED_TYPE.encode())]
_POLL_SECONDS: Final = 0.004
_POLLS: Final = 6
_STUCK_SECONDS: Final = 120.0
_IN_FLIGHT_MAX: Final = 2000
_AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, KafkaError)

# Everything that says how far the services are, in one row. Where two readings are equal, nobody did anything between them.
_PROGRESS: Final = """
    SELECT
        (SELECT coalesce(bool_and(seq = published), true) FROM matching.lanes)
            AND NOT EXISTS (SELECT FROM notifying.outbox WHERE published_at IS NULL)
            AND NOT EXISTS (SELECT FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable'))
            AND NOT EXISTS (SELECT FROM notifying.visit_outbox) AS idle,
        (SELECT coalesce(min(ticked), 0) FROM matching.lanes) AS ticked,
        (SELECT coalesce(min(ticked_us), 0) FROM notifying.visit_lanes) AS visits_ticked,
        (SELECT coalesce(jsonb_object_agg(lane, jsonb_build_array(wishes_next, offers_next, responses_next, confirmations_next, seq)), '{}')::text
            FROM matching.lanes) AS lanes,
        (SELECT coalesce(jsonb_object_agg(partition, next_offset), '{}')::text FROM notifying.partitions) AS notifier,
        (SELECT coalesce(jsonb_object_agg(partition, jsonb_build_array(responses_next, confirmations_next)), '{}')::text
            FROM notifying.visit_lanes) AS visits
"""
_WAITING: Final = "SELECT EXISTS (SELECT FROM matching.wishes WHERE status IN ('open', 'held'))"
# When a hold ends, as the matcher's own core reckons it (`Area.hold_ends_at`): the second word may come until the visit would begin.
_HOLD_ENDS: Final = """
        SELECT min(at) FROM (SELECT CASE WHEN answered THEN greatest(expires_at, starts_at) ELSE expires_at END AS at
            FROM matching.matches WHERE live AND NOT (answered AND approved)) AS holds WHERE at > $1
"""
# When somebody is free again for those who wait in the area.
_SLOT_OVER: Final = """
        SELECT min(ends_at) FROM matching.matches WHERE live AND ends_at > $1 AND area IN (SELECT DISTINCT area FROM waiting)
"""
# When an invitation ends, and others may be asked in their place.
_INVITATION_ENDS: Final = """
        SELECT min(until::bigint) FROM waiting, json_each_text(nullif(invited, '')::json) AS invitation(offer_id, until)
            WHERE status = 'open' AND until::bigint > $1
"""
_ROUND: Final = "SELECT min(round_at) FROM matching.areas WHERE round_at > $1"
# What can still change something in an area where somebody waits. Each kind of deadline is looked for by itself: one that is past hides no other.
_NEXT_DEADLINE: Final = f"""
    WITH waiting AS MATERIALIZED (SELECT area, ends_at, status, invited FROM matching.wishes WHERE status IN ('open', 'held'))
    SELECT min(at) FROM (
        SELECT min(ends_at) AS at FROM waiting WHERE status = 'open' AND ends_at > $1
        UNION ALL {_HOLD_ENDS}
        UNION ALL {_SLOT_OVER}
        UNION ALL {_INVITATION_ENDS}
        UNION ALL {_ROUND} AND area IN (SELECT DISTINCT area FROM waiting)
    ) AS deadlines
"""  # noqa: S608 - of our own constants
# What may bring about a proposal while nobody says anything, so that it is confirmed when it was made.
_NEXT_STOP: Final = f"""
    WITH waiting AS MATERIALIZED (SELECT area, status, invited FROM matching.wishes WHERE status = 'open')
    SELECT min(at) FROM (
        {_ROUND} UNION ALL {_HOLD_ENDS} UNION ALL {_SLOT_OVER} UNION ALL {_INVITATION_ENDS}
    ) AS deadlines(at) WHERE at < $2
"""  # noqa: S608 - of our own constants
# Visits of which something was said: who is silent is waited for. What nobody speaks about is left as it is.
_NEXT_CLOSING: Final = """
    SELECT min(due_at_us) FROM notifying.visits v WHERE due_at_us > $1
        AND EXISTS (SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id)
"""
# And those of which somebody speaks only after the limit: they were closed by then, whatever other areas have made the clock run to.
_LAST_LIMIT: Final = "SELECT max(due_at_us) FROM notifying.visits WHERE due_at_us < $1"
# The visits' clock alone: what is due in the matcher meanwhile is not to be decided late.
_RUN_VISITS: Final = "UPDATE notifying.clock SET runs_to = greatest(runs_to, $1)"
# What was said in a minute is judged once the minute is whole, so that nothing depends on what was read first.
_VISITS_DUE: Final = """
    SELECT runs_to + 1 FROM notifying.clock WHERE EXISTS (
        SELECT FROM notifying.visits v JOIN notifying.visit_areas a USING (area) WHERE v.due_at_us <= greatest(a.clock_us, runs_to))
"""
_RUN_ON: Final = """
    WITH set AS (UPDATE matching.clock SET runs_to = $1), also AS (UPDATE notifying.clock SET runs_to = greatest(runs_to, $1))
    SELECT pg_notify('matching_clock', '')
"""

_PUBLISHING: Final = "UPDATE matching.clock SET publishing = true"
_PUBLISHED: Final = "UPDATE matching.clock SET publishing = false, ends = $1"


@dataclass(slots=True)
class Line:
    """One line of the file: what is sent where.

    `minute` is its event time's minute since 1970, `identity` its source and id, `area` what its data says; `reports`: it says something of a visit.
    """

    value: bytes
    topic: str
    key: bytes | None
    minute: int
    wish_id: str | None
    identity: tuple[str, str] | None = None
    area: str | None = None
    reports: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """One reading of `_PROGRESS`."""

    idle: bool
    ticked: int
    visits_ticked: int
    lanes: str
    notifier: str
    visits: str


def read_lines(text: Iterable[bytes]) -> list[Line]:
    """The file's lines in its order; blank ones are no lines. One without a readable time goes with the line before it."""
    lines: list[Line] = []
    minute: int | None = None
    for raw in text:
        value = raw.rstrip(b"\r\n")
        if not value.strip():
            continue
        line = _line(value)
        if line.minute < 0:
            line.minute = minute if minute is not None else -1
        minute = line.minute
        lines.append(line)
    first = next((line.minute for line in lines if line.minute >= 0), 0)
    for line in lines:
        line.minute = first if line.minute < 0 else line.minute
    return lines


def _line(value: bytes) -> Line:
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        return Line(value, WISHES, None, -1, None)
    kind, key = event.get("type"), event.get("partitionkey")
    topic = TOPIC_OF.get(kind, WISHES) if isinstance(kind, str) else WISHES
    data = event.get("data")
    said = data if isinstance(data, dict) else {}
    wish_id, area = said.get("wish_id") if kind == "lastmetre.wish.submitted.v1" else None, said.get("area")
    minute = -1
    with suppress(ValueError, TypeError, KeyError):
        minute = parse_rfc3339(event["time"]) // MINUTE_US
    source, name = event.get("source"), event.get("id")
    return Line(
        value,
        topic,
        key.encode(errors="replace") if isinstance(key, str) else None,
        minute,
        wish_id if isinstance(wish_id, str) else None,
        (source, name) if isinstance(source, str) and isinstance(name, str) else None,
        area if isinstance(area, str) else None,
        isinstance(kind, str) and kind.startswith(_REPORTS),
    )


def in_turns(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """A minute's lines in their order, but for events that come again in another topic, area or under another key: these come when the first has settled.

    Between partitions Kafka knows no first and second.
    """
    arrived: dict[tuple[str, str], tuple[str, bytes | None, str | None]] = {}
    parts: tuple[list[Line], list[Line]] = ([], [])
    for line in lines:
        where = line.topic, line.key, line.area
        parts[line.identity is not None and arrived.setdefault(line.identity, where) != where].append(line)
    yield from filter(None, parts)


@dataclass(slots=True)
class Player:
    """Plays lines on a running stack whose services live by event time."""

    stack: Stack
    told: Callable[[int, int], None] = lambda _done, _total: None
    published: int = 0
    refused: int = 0
    sent_at: dict[str, int] = field(default_factory=dict)
    _ends: dict[str, dict[str, int]] = field(default_factory=dict)
    _producer: AIOKafkaProducer | None = None
    _consumer: AIOKafkaConsumer | None = None
    _database: asyncpg.Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._let_go()

    async def play(self, lines: list[Line]) -> None:
        """Publish minute by minute, then let the clock run on until nobody waits any more."""
        minutes: dict[int, list[Line]] = {}
        for line in lines:
            minutes.setdefault(line.minute, []).append(line)
        now = 0
        for minute in sorted(minutes):
            now = await self._hold_stops(now, minute * MINUTE_US)
            if any(line.reports for line in minutes[minute]):
                await self._close_the_silent(minute * MINUTE_US)
            for turn, part in enumerate(in_turns(minutes[minute])):
                if turn:
                    await self.settle()
                await self._publish(part)
            await self._judge()
            self.told(self.published, len(lines))
        await self._run_on()

    async def _hold_stops(self, now: int, until: int) -> int:
        """Let the clock stop at each closing between two minutes with lines, and at each deadline there that may bring about a proposal.

        Held later, a round would find other helpers, and a wish that was not helped would wait for nothing. Who is found because somebody else let
        the time go by would be confirmed only with the area's next line, perhaps when the visit is over.
        """
        while True:
            stop: int | None = await self._patiently(self._next_stop, now, until)
            closing: int | None = await self._patiently(self._next_closing, now)
            if closing is not None and closing < min(until, stop or until):
                now = closing
                await self._run_to(now, _RUN_VISITS)
            elif stop is not None:
                now = stop
                await self._run_to(now)
            else:
                return now

    async def _close_the_silent(self, before: int) -> None:
        limit: int | None = await self._patiently(self._last_limit, before)
        if limit is not None:
            await self._run_to(limit, _RUN_VISITS)

    async def _publish(self, lines: list[Line]) -> None:
        """Send lines in their order, as fast as Kafka takes them; all of them are acknowledged when this returns.

        They lie in several topics: the matcher is told to wait until it has all of them, or an answer might be decided before its offer.
        """
        await self._patiently(self._tell, _PUBLISHING)
        for start in range(0, len(lines), _IN_FLIGHT_MAX):
            part = lines[start : start + _IN_FLIGHT_MAX]
            producer = await self._patiently(self._open_producer)
            sending = [await self._send(producer, line) for line in part]
            for line, future in zip(part, sending, strict=True):
                await self._acknowledged(line, future)
        await self._patiently(self._tell, _PUBLISHED, orjson.dumps(self._ends).decode())

    async def _send(self, producer: AIOKafkaProducer, line: Line) -> asyncio.Future[RecordMetadata] | None:
        try:
            future: asyncio.Future[RecordMetadata] = await producer.send(line.topic, line.value, key=line.key, headers=_HEADERS)
        except MessageSizeTooLargeError:
            self.refused += 1
            return None
        return future

    async def _acknowledged(self, line: Line, future: asyncio.Future[RecordMetadata] | None) -> None:
        if future is None:
            return
        try:
            metadata = await future
        except MessageSizeTooLargeError:
            self.refused += 1
            return
        self._ends.setdefault(metadata.topic, {})[str(metadata.partition)] = metadata.offset + 1
        self.published += 1
        if line.wish_id is not None:
            self.sent_at.setdefault(line.wish_id, metadata.timestamp)

    async def settle(self) -> None:
        """Wait until everything published has been decided, mended, confirmed or refused.

        Raises:
            Trouble: the services made no progress for a long time.
        """
        last: Progress | None = None
        began = moved = time.monotonic()
        while True:
            before = await self._patiently(self._progress)
            if before != last:
                last, moved = before, time.monotonic()
            if before.idle and await self._patiently(self._all_read, before) and await self._patiently(self._progress) == before:
                return
            if time.monotonic() - moved > _STUCK_SECONDS:
                raise Trouble(f"服务 {_STUCK_SECONDS:.0f} 秒没有进展", f"the services made no progress for {_STUCK_SECONDS:.0f} s", log=self.stack.state.logs)
            await _pause(began)

    async def _progress(self) -> Progress:
        row = await (await self._connection()).fetchrow(_PROGRESS)
        assert row is not None
        return Progress(row["idle"], row["ticked"], row["visits_ticked"], row["lanes"], row["notifier"], row["visits"])

    async def _all_read(self, progress: Progress) -> bool:
        consumer = await self._open_consumer()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic, partition) for topic in (*LANE_TOPICS, MATCHES) for partition in range(PARTITIONS)]
        )
        lanes, notifier, visits = orjson.loads(progress.lanes), orjson.loads(progress.notifier), orjson.loads(progress.visits)
        for tp, end in ends.items():
            if tp.topic == MATCHES:
                read = notifier.get(str(tp.partition), 0)
            else:
                read = lanes.get(str(tp.partition), [0] * len(LANE_TOPICS))[LANE_TOPICS.index(tp.topic)]
                if tp.topic in _VISITS_TOPICS:
                    read = min(read, visits.get(str(tp.partition), (0, 0))[_VISITS_TOPICS.index(tp.topic)])
            if read < end:
                return False
        return True

    async def _run_on(self) -> None:
        now = 0
        while True:
            # A closing may open a wish again, so both kinds of stops are looked for until there is neither.
            waits = await self._patiently(self._somebody_waits)
            stops = [await self._patiently(self._next_closing, now)]
            if waits:
                stops.append(await self._patiently(self._next_deadline, now))
            ahead = [stop for stop in stops if stop is not None]
            if not ahead:
                return  # what still waits, waits for something that no deadline brings
            now = min(ahead)
            await self._run_to(now)

    async def _run_to(self, now: int, statement: str = _RUN_ON) -> None:
        await self._move(now, statement)
        await self._judge()

    async def _move(self, now: int, statement: str) -> None:
        await self._patiently(self._tell, statement, now)
        moved = time.monotonic()
        while not await self._patiently(self._has_run_to, now, statement):
            if time.monotonic() - moved > _STUCK_SECONDS:
                raise Trouble("时钟没有走动", "the clock does not run on", log=self.stack.state.logs)
            await _pause(moved)

    async def _judge(self) -> None:
        """Let things settle, and let visits be judged by all that is known then, until that changes nothing any more."""
        await self.settle()
        while (instant := await self._patiently(self._visits_due)) is not None:
            await self._move(instant, _RUN_VISITS)
            await self.settle()

    async def _visits_due(self) -> int | None:
        instant: int | None = await (await self._connection()).fetchval(_VISITS_DUE)
        return instant

    async def _somebody_waits(self) -> bool:
        waits: bool = await (await self._connection()).fetchval(_WAITING)
        return waits

    async def _next_deadline(self, after: int) -> int | None:
        deadline: int | None = await (await self._connection()).fetchval(_NEXT_DEADLINE, after)
        return deadline

    async def _next_closing(self, after: int) -> int | None:
        closing: int | None = await (await self._connection()).fetchval(_NEXT_CLOSING, after)
        return closing

    async def _next_stop(self, after: int, before: int) -> int | None:
        stop: int | None = await (await self._connection()).fetchval(_NEXT_STOP, after, before)
        return stop

    async def _last_limit(self, before: int) -> int | None:
        limit: int | None = await (await self._connection()).fetchval(_LAST_LIMIT, before)
        return limit

    async def _tell(self, statement: str, *arguments: object) -> None:
        await (await self._connection()).execute(statement, *arguments)

    async def _has_run_to(self, instant: int, statement: str) -> bool:
        progress = await self._progress()
        return progress.visits_ticked >= instant and (statement == _RUN_VISITS or progress.ticked >= instant)

    # ---- connections, which may break when a server is restarted under way

    async def _patiently(self, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        given_up_at = time.monotonic() + _STUCK_SECONDS
        while True:
            try:
                return await step(*arguments)
            except _AWAY:
                if time.monotonic() > given_up_at:
                    raise
                await self._let_go()
                await asyncio.sleep(0.1)

    async def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self.stack.kafka.broker("workers").client(), enable_idempotence=True, acks="all", max_request_size=DEAD_LETTER_MAX_BYTES,
                request_timeout_ms=60_000,
            )  # fmt: skip
            self._producer = producer  # also where the start fails: then it is stopped
            await producer.start()
        return self._producer

    async def _open_consumer(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**self.stack.kafka.broker("workers").client())
            self._consumer = consumer
            await consumer.start()
        return self._consumer

    async def _connection(self) -> asyncpg.Connection:
        if self._database is None or self._database.is_closed():
            self._database = await asyncpg.connect(self.stack.postgres.owner_dsn(self.stack.database), timeout=5)
        return self._database

    async def _let_go(self) -> None:
        producer, consumer, database = self._producer, self._consumer, self._database
        self._producer = self._consumer = self._database = None
        for client in (producer, consumer):
            if client is not None:
                with suppress(KafkaError, OSError, TimeoutError):
                    async with asyncio.timeout(5):
                        await client.stop()
        if database is not None:
            database.terminate()

    async def results(self, seconds: float) -> Results:
        """All that came of it, read from Kafka and the journal."""
        return await Results.read(self.stack.kafka.broker("workers"), await self._connection(), published=self.published, sent_at=self.sent_at, seconds=seconds)


async def _pause(since: float) -> None:
    """Wait before the next look. The longer something takes already, the longer: looking takes time from what is waited for."""
    await asyncio.sleep(_POLL_SECONDS + (time.monotonic() - since) / _POLLS)


def playing_stack(folder: Path, *, matchers: int = 1, notifiers: int = 1, secure: bool = False) -> Stack:
    """A stack with empty stores, of its own folder, that lives by event time. Kafka's jars come from the common cache."""
    env = {"LASTMETRE_CLOCK": "event", "LASTMETRE_CHANNEL": "console", "LASTMETRE_GATHER_MS": "3"}
    return Stack(folder, fresh=True, matchers=matchers, notifiers=notifiers, env=env, secure=secure)


async def play(
    file: Path,
    out: Path,
    *,
    matchers: int = 1,
    notifiers: int = 1,
    secure: bool = False,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[dict[str, Any], int]:
    """Start everything on free ports with empty stores, play `file`, write what came of it to `out`, stop.

    Returns the summary, and how many lines Kafka did not take because they are larger than it allows.

    Raises:
        Trouble: something did not start, or the services stood still.
    """
    with file.open("rb") as text:
        lines = read_lines(text)
    clear(out)
    parent = State(default_folder()).plays
    parent.mkdir(parents=True, exist_ok=True)
    clear_abandoned(parent)
    with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
        async with playing_stack(Path(folder), matchers=matchers, notifiers=notifiers, secure=secure) as stack, Player(stack, told) as player:
            began = time.monotonic()
            await player.play(lines)
            results = await player.results(time.monotonic() - began)
            summary = results.write(out)
            return summary, player.refused
