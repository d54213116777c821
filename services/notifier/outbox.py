"""Records on their way to Kafka: published after the commit that wrote them, in order per partition, and again after a crash.

`inbox` and `delivery` make records here and hand them over once they are committed. Ids are derived from the cause, so a repeat is the
same event, and readers drop it. A record is deleted from the table once the broker has it; what a process leaves there is published
by the partition's next owner before anything new.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
import structlog
from aiokafka import AIOKafkaProducer, ConsumerRecord

from schemas import shapes, sources
from schemas.codec import headers_of
from schemas.dead_letters import dead_letter
from schemas.errors import InvalidEvent
from schemas.topics import CONFIRMATIONS, DEAD_LETTER_MAX_BYTES, dead_letter_topic
from services.broker import Broker, Where
from services.notifier import failpoints
from services.notifier.book import PARTIES, Match, Told, Untold
from services.notifier.channels import HTTP_AWAY
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.ids import derived_id
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outgoing import Outgoing
from services.runtime import Pulse, Stop, within

SOURCE: Final = sources.NOTIFIER
CONFIRMED: Final = "lastmetre.match.confirmed.v1"
FAILED: Final = "lastmetre.confirmation.failed.v1"
CLOSED: Final = "lastmetre.match.closed.v1"
_BATCH_BYTES: Final = 512 * 1024
_IDLE_SECONDS: Final = 1.0
# So many rows may wait for their deletion.
_FORGET_MAX: Final = 5000
_CLOSE_SECONDS: Final = 5.0
# Faults that are written with a digit, and the contract's reasons for them, which have none.
_REASONS: Final = {"http_5xx": "http_server_error", HTTP_AWAY: "http_server_error", "http_4xx": "http_not_now"}
_IS_REASON: Final = re.compile(shapes.CODE)


def outgoing_of(end: Told | Untold, now: str) -> Outgoing:
    """The event that says how a match ended here; `now` is RFC 3339 by the service's clock."""
    match = end.match
    data: dict[str, Any] = {"area": match.area, "match_id": match.match_id, "wish_id": match.wish_id, "offer_id": match.offer_id}
    if isinstance(end, Told):
        told = [match.notices[party, "confirmed"] for party in PARTIES]
        data |= {
            "rung": match.rung,
            "slot": {"start": match.slot[0], "end": match.slot[1]},
            "confirmed_at": now,
            "notices": [{"to": one.party, "channel": one.channel, "at": one.sent_at} for one in told],
        }
        if match.group_id is not None:
            data["group_id"] = match.group_id
        return _event(CONFIRMED, match, data, now)
    data["reason"] = _reason(end.reason)
    return _event(FAILED, match, data, now)


def closing_of(match: Match, now: str) -> Outgoing:
    """The event that ends a match of which not both sides were told before its slot was over: as in vain, so that its wish goes on, or expires."""
    data = {"area": match.area, "match_id": match.match_id, "wish_id": match.wish_id, "offer_id": match.offer_id}
    return _event(CLOSED, match, data | {"outcome": "not_done", "minutes": 0, "closed_at": now, "by": "default"}, now)


def _reason(fault: str) -> str:
    """A fault as the contract writes a reason: the matcher sets aside what is none, and would hold the wish for ever."""
    reason = _REASONS.get(fault, fault)
    return reason if _IS_REASON.fullmatch(reason) else "undeliverable"


def _event(kind: str, match: Match, data: dict[str, Any], now: str) -> Outgoing:
    event_id = derived_id(f"{kind}\n{match.match_id}")
    headers: list[tuple[str, bytes | None]] = [*headers_of(kind, str(event_id), SOURCE, now, match.match_id, match.area)]
    return Outgoing(event_id, match.partition, CONFIRMATIONS, match.area.encode(), headers, orjson.dumps(data))


def dead_letter_of(record: ConsumerRecord[Any, Any], fault: InvalidEvent) -> Outgoing:
    """A record that was not taken, as it came but for personal numbers in it, with the reason."""
    key, value, headers = dead_letter(record, fault)
    cause = derived_id(f"dead letter\n{record.topic}\n{record.partition}\n{record.offset}")
    return Outgoing(cause, record.partition, dead_letter_topic(record.topic), key, headers, value)


class Forgets(Protocol):
    """Where the rows of what is on Kafka are deleted."""

    async def forget_published(self, ids: Sequence[UUID]) -> None:
        """Delete records that are on Kafka."""


class Publisher:
    """Publishes what was handed over, then deletes its rows."""

    def __init__(self, kafka: Where, store: Forgets, lanes: Lanes, metrics: Metrics) -> None:
        self.pulse = Pulse()
        self._broker = Broker.of(kafka)
        self._store = store
        self._lanes = lanes
        self._metrics = metrics
        self._queue: list[Outgoing] = []
        self._published: list[UUID] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._producer: AIOKafkaProducer | None = None
        self._log: Any = structlog.get_logger().bind()

    def hand_over(self, records: Iterable[Outgoing]) -> None:
        """Publish these; they are committed."""
        self._queue.extend(records)
        if self._queue:
            self._idle.clear()
            self._news.set()

    async def drained(self) -> None:
        """Until all that was handed over is published."""
        await self._idle.wait()

    def wake(self) -> None:
        """Let the loop look again whether it is to stop."""
        self._news.set()

    async def run(self, stop: Stop) -> None:
        """Publish until stopped."""
        try:
            while not stop:
                self.pulse.beat()
                if self._queue and len(self._published) < _FORGET_MAX:
                    records, self._queue = self._queue, []
                    await self._publish([one for one in records if one.partition in self._lanes], stop)
                elif self._published:  # while more is to be published, somebody waits for that, and for this nobody
                    await self._forget(stop)
                else:
                    self._news.clear()
                    self._idle.set()
                    await within(_IDLE_SECONDS, self._news)
        finally:
            await self._close()

    async def _publish(self, records: Sequence[Outgoing], stop: Stop) -> None:
        failures = 0
        while records and not stop:
            try:
                await failpoints.before("publish")
                with self.pulse.beating():
                    await self._send(records)
                await failpoints.after("publish")
                self._published.extend(one.id for one in records)
                self.pulse.commit()
                return
            except PASSING as error:
                failures += 1
                self._failed(error, failures)
                await self._close()
                await stop.pause(retry_seconds(failures))

    async def _forget(self, stop: Stop) -> None:
        """Delete the rows of what is on Kafka. A mark that gets lost means a repeat, so it does not wait for the disk."""
        failures = 0
        while not stop:
            try:
                await self._store.forget_published(self._published)
                self._published = []
                self.pulse.commit()
                return
            except PASSING as error:
                failures += 1
                self._failed(error, failures)
                await stop.pause(retry_seconds(failures))

    def _failed(self, error: BaseException, failures: int) -> None:
        self._metrics.faults.labels("publish").inc()
        self._log.warning("publish_failed", fault=type(error).__name__, failures=failures)
        self.pulse.beat()

    async def _send(self, records: Sequence[Outgoing]) -> None:
        producer = await self._ready()
        by_partition: dict[tuple[str, int], list[Outgoing]] = {}
        for one in records:
            by_partition.setdefault((one.topic, one.partition), []).append(one)
        sent: list[asyncio.Future[Any]] = []
        for (topic, partition), run in by_partition.items():
            batch = producer.create_batch()
            for one in run:
                if batch.append(key=one.key, value=one.value, timestamp=None, headers=one.headers) is None:  # full
                    if batch.record_count():
                        batch.close()
                        sent.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    if batch.append(key=one.key, value=one.value, timestamp=None, headers=one.headers) is None:  # larger than any batch
                        sent.append(await producer.send(topic, one.value, key=one.key, partition=partition, headers=one.headers))
            if batch.record_count():
                batch.close()
                sent.append(await producer.send_batch(batch, topic, partition=partition))
        faults = [done for done in await asyncio.gather(*sent, return_exceptions=True) if isinstance(done, BaseException)]
        if faults:
            raise faults[0]

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._broker.client(),
                client_id="lastmetre-notifier",
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=_BATCH_BYTES,
                max_request_size=DEAD_LETTER_MAX_BYTES + _BATCH_BYTES,
                request_timeout_ms=10_000,
                retry_backoff_ms=50,
            )
            self._producer = producer
            await producer.start()
        return self._producer

    async def _close(self) -> None:
        # A producer that failed has lost its place in the broker's sequence: the next attempt gets a new one.
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await producer.stop()
            except PASSING as error:
                self._log.warning("producer_close_failed", fault=type(error).__name__)
