"""The topics come in here: all five and their dead letters, read by one process from the offsets that lie beside the rows.

Whoever has the lock reads; another gateway waits to take over. A record below its cursor is a repeat and skipped; the board can be rebuilt from the
topics, as far back as they go. Faults of the infrastructure are waited out in place. A record that is no valid event changes nothing here: the matcher
makes a dead letter of it.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import orjson
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import shapes
from schemas.codec import Event, decode
from schemas.errors import InvalidEvent
from schemas.lanes import is_misplaced
from schemas.topics import DEAD_LETTER_MAX_BYTES, MIB, TOPICS
from services import sessions
from services.broker import SILENT_SECONDS, Broker, Consumer, silent_seconds
from services.gateway.board.projection import Book, event_key, keys_of
from services.gateway.board.rows import DeadLetter, News
from services.gateway.board.store import Stale, Writer, set_codecs
from services.rewound import places_to_go_on
from services.runtime import Pulse, Stop

# Faults of the infrastructure, which pass; all others are a record's own.
PASSING: Final[tuple[type[BaseException], ...]] = (OSError, KafkaError, *sessions.PASSING)  # TimeoutError is an OSError
_NOT_ITS_OWN: Final[tuple[type[BaseException], ...]] = (*PASSING, Stale)
_STANDBY_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.5
# A statement of a batch takes a second or two. One that is not answered is given up twice: by itself, and with its transaction.
_STATEMENT_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 30.0
_WAIT_MS: Final = 500
# A batch costs a dozen statements whatever its size, and one deed's events come a few milliseconds apart: those that follow are gathered.
_GATHER_SECONDS: Final = 0.05
_BATCH_MAX: Final = 2000
_PRUNE_SECONDS: Final = 600.0
_TAKEN_DAYS: Final = 31
_CLOCKS_DIFFER: Final = timedelta(minutes=10)
_DEAD: Final = "-dlq"
_LETTER_MAX_CHARACTERS: Final = 20_000
_CIRCLE: Final = re.compile(shapes.CIRCLE)
# In this order within a batch, so that what follows is mostly read after what it follows from; the rows come out the same in any.
_ORDER: Final = {topic.name: number for number, topic in enumerate(TOPICS)}


@dataclass(frozen=True, slots=True)
class Item:
    """One record: its event, or the dead letter that it is, or neither."""

    record: Any
    event: Event | None = None
    letter: DeadLetter | None = None


def read(record: Any) -> Item:
    """One record of any of the topics. An event under a wrong key comes again under the right one, and counts there."""
    if record.topic.endswith(_DEAD):
        return Item(record, letter=letter_of(record))
    try:
        event = decode(record.topic, record.value, record.headers)
    except InvalidEvent:
        return Item(record)
    if is_misplaced(event.data.area, event.partitionkey, record.partition, record.key):
        return Item(record)
    return Item(record, event)


def letter_of(record: Any) -> DeadLetter:
    """A dead letter as a row. Whose it is, is read from whatever of it can be read."""
    headers = {name: _text(raw or b"") for name, raw in record.headers}
    value = None if record.value is None else _text(record.value)
    try:
        document = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        document = None
    outer = _object(document)
    data = _object(outer.get("data")) or outer
    place = _object(data.get("place"))
    key = None if record.key is None else _text(record.key)
    kind = headers.get("ce_type") or outer.get("type")
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        position=record.offset,
        at=_time_of(record),
        reason=headers.get("dlq-reason", "?"),
        message=headers.get("dlq-message", ""),
        origin=":".join(headers.get(f"dlq-{part}", "?") for part in ("topic", "partition", "offset")),
        area=_circle(data.get("area")) or _circle(key),
        community=_circle(place.get("community")),
        kind=_text(kind.encode(errors="replace"))[:120] if isinstance(kind, str) else None,
        key=None if key is None else key[:200],
        headers=[[_text(name.encode(errors="replace")), None if raw is None else _text(raw)] for name, raw in record.headers],
        value=None if value is None else value[:_LETTER_MAX_CHARACTERS],
    )


async def _were_read(writer: Writer, records: Sequence[Any]) -> list[bool | None]:
    """Whether they were read where they lie. What the board forgets of events before their topic does tells nothing."""
    items = [read(record) for record in records]
    keys = [event_key(item.event) if item.event is not None else None for item in items]
    taken, buried = await writer.known([key for key in keys if key is not None], [item.letter for item in items if item.letter is not None])
    old = time.time() - _TAKEN_DAYS * 24 * 3600
    found: list[bool | None] = []
    for item, key in zip(items, keys, strict=True):
        if key is not None:
            found.append(True if key in taken else None if item.record.timestamp / 1000 < old else False)
        elif item.letter is not None:
            at = buried.get(item.letter.position)
            found.append(None if at is None else at == item.letter.at)
        else:
            found.append(None)
    return found


def _text(raw: bytes) -> str:
    """As PostgreSQL can keep it: UTF-8, without NUL."""
    return raw.decode(errors="replace").replace("\x00", "\ufffd")


def _object(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _circle(said: Any) -> str | None:
    return said if isinstance(said, str) and _CIRCLE.match(said) is not None else None


def _time_of(record: Any) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


async def connected(dsn: str) -> asyncpg.Connection:
    """A connection of the writer's, which the server ends where nothing comes over it.

    The lock of one that it does not know to be dead would keep all others from writing: for two hours, as most systems have it.
    """
    limits = dict.fromkeys(("idle_session_timeout", "idle_in_transaction_session_timeout"), sessions.SILENT_MAX)
    return await asyncpg.connect(dsn, timeout=10, command_timeout=_STATEMENT_SECONDS, server_settings={"application_name": "lastmetre-board", **limits})


class Reader:
    """The loop. `lag` is in records, None while this process is not the one that reads.

    `at_work`: it reads, or stands by while another does; false while PostgreSQL or Kafka is away.
    """

    def __init__(self, broker: Broker, dsn: str, *, stream_days: int = 7) -> None:
        self.pulse = Pulse()
        self.at_work = False
        self._broker = broker
        self._dsn = dsn
        self._stream_days = stream_days
        self._pruned = 0.0
        self._lag: int | None = None
        self._consumer: Consumer | None = None
        self._log: Any = structlog.get_logger().bind()

    @property
    def lag(self) -> int | None:
        """Records that are on the topics and not on the board."""
        return self._lag

    @property
    def is_away(self) -> bool:
        """Whether PostgreSQL or Kafka is: it neither reads nor stands by, waits for an answer, or hears nothing though all is read."""
        if not self.at_work or self.pulse.age_seconds > _ANSWER_SECONDS:
            return True
        return self._lag == 0 and self._consumer is not None and silent_seconds(self._consumer) > SILENT_SECONDS

    async def run(self, stop: Stop) -> None:
        """Read until stopped."""
        failures = 0
        while not stop:
            self.pulse.beat()
            try:
                connection = await connected(self._dsn)
                try:
                    await set_codecs(connection)
                    await self._as_writer(connection, stop)
                    failures = 0
                finally:
                    self.at_work = False
                    self._lag = None
                    await connection.close(timeout=2)
            except Stale:
                self._log.info("board_begins_anew")
            except PASSING as fault:
                failures += 1
                self._log.warning("board_failed", fault=type(fault).__name__, failures=failures)
                await stop.pause(min(_RETRY_SECONDS * failures, 5.0))

    async def _as_writer(self, connection: asyncpg.Connection, stop: Stop) -> None:
        writer = await Writer.take(connection, self._stream_days)
        if writer is None:
            self.at_work = True
            await stop.pause(_STANDBY_SECONDS)
            return
        consumer = Consumer(
            **self._broker.client(),
            client_id="lastmetre-board",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=DEAD_LETTER_MAX_BYTES,
            fetch_max_bytes=16 * MIB,
            max_poll_records=_BATCH_MAX,
            retry_backoff_ms=50,
        )
        partitions = [TopicPartition(topic.name, number) for topic in TOPICS for number in range(topic.partitions)]
        consumer.assign(partitions)
        try:
            await consumer.start()  # where that fails or is called off, what it has opened is closed as well
            await self._go_on(consumer, writer)
            unknown = [tp for tp in partitions if (tp.topic, tp.partition) not in writer.cursors]
            if unknown:
                await _begin(consumer, unknown, writer.begins_at)
            self.at_work, self._consumer = True, consumer
            self._log.info("board_reads", generation_cursors=len(writer.cursors))
            while not stop:
                self.pulse.beat()
                came_at = await self._round(consumer, writer)
                if came_at is not None:
                    await stop.pause(max(0.0, came_at + _GATHER_SECONDS - time.monotonic()))
        finally:
            self._consumer = None
            await consumer.stop()

    @staticmethod
    async def _go_on(consumer: AIOKafkaConsumer, writer: Writer) -> None:
        """Go on where the board is, or before that where a topic's log is no longer the one that was read."""
        places = {TopicPartition(*place): cursor for place, cursor in writer.cursors.items()}
        found = await places_to_go_on(consumer, places, partial(_were_read, writer))
        changed = {(tp.topic, tp.partition): cursor for tp, cursor in found.items() if cursor != places[tp]}
        if changed:
            await writer.go_back(changed)
        for tp, cursor in found.items():
            consumer.seek(tp, cursor)

    async def _round(self, consumer: AIOKafkaConsumer, writer: Writer) -> float | None:
        """Take in what there is; when it came (`time.monotonic()`), if anything did."""
        found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_BATCH_MAX)
        came_at = time.monotonic()
        records = [one for tp in sorted(found, key=lambda tp: (_ORDER[tp.topic], tp.partition)) for one in found[tp]]
        fresh = [one for one in records if one.offset >= writer.cursors.get((one.topic, one.partition), 0)]
        if len(fresh) < len(records):
            # The client goes back by itself only where a log does not reach as far as we had read.
            await self._go_on(consumer, writer)
            return None
        if fresh:
            await self._take_in(writer, fresh)
        else:
            await writer.check()
        self._lag = await self._behind(consumer)
        self.pulse.commit()
        now = asyncio.get_running_loop().time()
        if not found and now - self._pruned > _PRUNE_SECONDS:
            self._pruned = now
            await writer.prune(max(self._stream_days, _TAKEN_DAYS))
        return came_at if fresh else None

    @staticmethod
    async def _behind(consumer: AIOKafkaConsumer) -> int:
        """What the client has yet to bring, once all that it has brought is written: behind the last record there may be marks of transactions."""
        return sum([max(0, (consumer.last_stable_offset(tp) or 0) - await consumer.position(tp)) for tp in consumer.assignment()])

    async def _take_in(self, writer: Writer, records: Sequence[Any]) -> None:
        """A record on which the work itself fails is found by halving the batch, told, and left out: the topics have it, and a rebuild tries it again."""
        try:
            await self._write(writer, [read(record) for record in records])
        except _NOT_ITS_OWN:
            raise
        except Exception as fault:
            if not records:
                raise
            if len(records) > 1:
                half = len(records) // 2
                await self._take_in(writer, records[:half])
                await self._take_in(writer, records[half:])
                return
            if isinstance(fault, MemoryError):
                raise  # that is about us, and not about the record
            self._log.error("board_skips", topic=records[0].topic, partition=records[0].partition, offset=records[0].offset, exc_info=fault)
            await self._write(writer, [Item(records[0])])

    @staticmethod
    async def _write(writer: Writer, items: Sequence[Item]) -> None:
        records = [item.record for item in items]
        cursors = {(record.topic, record.partition): record.offset + 1 for record in records}
        events = [item.event for item in items if item.event is not None]
        keys = [keys_of(event) for event in events]
        event_keys = [event_key(event) for event in events]
        async with writer.batch():
            wish_keys = {wish for wish, _ in keys if wish is not None}
            offer_keys = {offer for _, offer in keys if offer is not None}
            for said in (vars(event.data) for event in events):
                if said.get("offer_id") is not None:
                    offer_keys.add((said["area"], said["offer_id"]))
            book = await writer.read(wish_keys, offer_keys, event_keys)
            their_keys = iter(event_keys)
            for item in items:
                if item.event is not None:
                    book.take_once(item.event, next(their_keys), _time_of(item.record))
                elif item.letter is not None:
                    bury(book, item.letter)
            book.settle()
            await writer.write(book, cursors)
        writer.cursors.update(cursors)


async def _begin(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], at: datetime | None) -> None:
    """Go to the topics' start; after a rebuild to where they tell what it took away, and a little before, as the clocks of those who write differ."""
    if at is None:
        await consumer.seek_to_beginning(*partitions)
        return
    since = round((at - _CLOCKS_DIFFER).timestamp() * 1000)
    for tp, found in (await consumer.offsets_for_times(dict.fromkeys(partitions, since))).items():
        if found is None:
            await consumer.seek_to_end(tp)
        else:
            consumer.seek(tp, found.offset)


def bury(book: Book, letter: DeadLetter) -> None:
    """A dead letter is a row of its own, and a line of the stream for whoever looks after that place."""
    book.dead.append(letter)
    where = f"{letter.topic}:{letter.partition}:{letter.position}"
    line = News(uuid5(NAMESPACE_URL, where), letter.at, letter.at, letter.area or "", "dead.letter", where, community=letter.community)
    line.brief = {"reason": letter.reason}
    book.news.append(line)
