"""From committed rows to Kafka: after the commit, in order per lane, and again after a crash.

A lane's journal and outbox rows share one numbering; `published` says up to where all of them are on Kafka. A new owner of
the lane first publishes what lies above it. Ids are derived, so a repeat is the same bytes and readers drop it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import sources
from schemas.codec import headers_of
from schemas.topics import DEAD_LETTER_MAX_BYTES, MATCHES, MIB
from services.broker import Broker, Where
from services.matcher.store import UNPUBLISHED_DECISIONS, UNPUBLISHED_OUTBOX
from services.runtime import Pulse, Stop

SOURCE: Final = sources.MATCHER
_BATCH_BYTES: Final = 1024 * 1024
_RETRY_SECONDS: Final = 0.5
_BACKLOG_MAX: Final = 20_000
# Of dead letters, which may be a thousand times as large as what is decided, far fewer are enough.
_BACKLOG_BYTES_MAX: Final = 64 * MIB


@dataclass(slots=True)
class Message:
    """One message on its way out."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(slots=True)
class Parcel:
    """The messages of one lane's batch; with the last of them, all rows up to `seq` are on Kafka."""

    lane: int
    epoch: int
    seq: int
    messages: list[Message]

    @property
    def size(self) -> int:
        """How many bytes their values have."""
        return sum([len(message.value or b"") for message in self.messages])


def message_of(lane: int, area: str, decision: dict[str, Any]) -> Message:
    """A decision as it was journalled, as the message that goes to `matches`."""
    headers = headers_of(decision["type"], decision["id"], decision["source"], decision["time"], decision["subject"], decision["partitionkey"])
    return Message(MATCHES, lane, area.encode(), orjson.dumps(decision["data"]), headers)


async def unpublished(connection: asyncpg.Connection, lane: int, published: int) -> list[Message]:
    """What was committed for a lane and may not be on Kafka yet, in order."""
    found = [
        (row["seq"], [message_of(lane, row["area"], one) for one in orjson.loads(row["decision"])])
        for row in await connection.fetch(UNPUBLISHED_DECISIONS, lane, published)
    ]
    for row in await connection.fetch(UNPUBLISHED_OUTBOX, lane, published):
        headers = [(n.decode(), v) for n, v in zip(row["header_names"], row["header_values"], strict=True)]
        found.append((row["seq"], [Message(row["topic"], row["partition"], row["key"], row["value"], headers)]))
    found.sort(key=lambda one: one[0])
    return [message for _, messages in found for message in messages]


class Publisher:
    """Publishes parcels one after another; `on_published(lane, epoch, seq)` is told when one is on Kafka."""

    def __init__(self, kafka: Where, on_published: Callable[[int, int, int], Awaitable[None]]) -> None:
        self._broker = Broker.of(kafka)
        self._on_published = on_published
        self._queue: deque[Parcel] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._producer: AIOKafkaProducer | None = None
        self.pulse = Pulse()
        self.backlog = 0
        self._backlog_bytes = 0
        self.log = structlog.get_logger().bind()

    def put(self, parcel: Parcel) -> None:
        """Queue what was just committed."""
        self._queue.append(parcel)
        self.backlog += len(parcel.messages)
        self._backlog_bytes += parcel.size
        if self._is_much():
            self._room.clear()
        self._news.set()

    def _is_much(self) -> bool:
        return self.backlog > _BACKLOG_MAX or self._backlog_bytes > _BACKLOG_BYTES_MAX

    async def room(self) -> None:
        """Wait while too much is queued."""
        await self._room.wait()

    async def run(self, stop: Stop) -> None:
        """Publish until stopped; what is still queued then is published by the lane's next owner."""
        try:
            while not stop:
                self.pulse.beat()
                if not self._queue:
                    self._news.clear()
                    try:
                        async with asyncio.timeout(1):
                            await self._news.wait()
                    except TimeoutError:
                        self.pulse.commit()
                    continue
                parcels = list(self._queue)
                await self._deliver(parcels, stop)
        finally:
            await self._close()

    async def _deliver(self, parcels: list[Parcel], stop: Stop) -> None:
        while not stop:
            try:
                with self.pulse.beating():
                    await self._send([message for parcel in parcels for message in parcel.messages])
                break
            except (KafkaError, OSError) as error:
                # The rows are safe; the lane's readers wait.
                self.log.warning("publish_failed", error=type(error).__name__)
                self.pulse.beat()
                await self._close()
                await stop.pause(_RETRY_SECONDS)
        else:
            return
        last: dict[int, Parcel] = {}
        for parcel in parcels:
            self._queue.popleft()
            self.backlog -= len(parcel.messages)
            self._backlog_bytes -= parcel.size
            last[parcel.lane] = parcel
        if not self._is_much():
            self._room.set()
        self.pulse.commit()
        for parcel in last.values():
            await self._on_published(parcel.lane, parcel.epoch, parcel.seq)

    async def _send(self, messages: list[Message]) -> None:
        if not messages:
            return
        producer = await self._ready_producer()
        waiting: list[asyncio.Future[Any]] = []
        lanes: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            lanes.setdefault((message.topic, message.partition), []).append(message)
        for (topic, partition), run in lanes.items():
            batch = producer.create_batch()
            for message in run:
                if self._append(batch, message) is None:
                    batch.close()
                    waiting.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    if self._append(batch, message) is None:  # larger than a batch: on its own
                        waiting.append(await producer.send(topic, message.value, key=message.key, partition=partition, headers=message.headers))
            if batch.record_count():
                batch.close()
                waiting.append(await producer.send_batch(batch, topic, partition=partition))
        for done in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(done, BaseException):
                raise done

    @staticmethod
    def _append(batch: Any, message: Message) -> Any:
        return batch.append(key=message.key, value=message.value, timestamp=None, headers=message.headers)

    async def _ready_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._broker.client(),
                client_id="lastmetre-matcher",
                enable_idempotence=True,
                acks="all",
                max_batch_size=_BATCH_BYTES,
                max_request_size=DEAD_LETTER_MAX_BYTES + _BATCH_BYTES,
                linger_ms=0,
                request_timeout_ms=10_000,
                retry_backoff_ms=50,
            )
            self._producer = producer  # also where the start fails: then it is stopped
            await producer.start()
        return self._producer

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(5):
                    await producer.stop()
            except (KafkaError, OSError, TimeoutError) as error:
                self.log.warning("producer_close_failed", error=type(error).__name__)
