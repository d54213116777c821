"""Many events to Kafka at once: whatever waits while a partition's last batch is under way becomes its next batch.

Nothing lingers: a single event on a quiet gateway goes at once, and under load the batches grow by themselves. An event costs one append, and a
request one future however many events it brings; aiokafka's own `send` costs a future and a lookup an event.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, EVENT_MAX_BYTES
from services.broker import Broker, Where

_BATCH_BYTES: Final = 2 * EVENT_MAX_BYTES
_PENDING_MAX_BYTES: Final = 64 * EVENT_MAX_BYTES
_SEND_SECONDS: Final = 10.0
_REQUEST_MS: Final = 8_000

# topic, partition, key, value, headers
Record = tuple[str, int, bytes, bytes, Sequence[tuple[str, bytes]]]


class Overloaded(Exception):
    """More waits for Kafka than may: it should come again later."""


class _Ticket:
    """One request's records, until the last of them is acknowledged or given up."""

    __slots__ = ("acknowledged", "done", "open")

    def __init__(self, number: int) -> None:
        self.acknowledged = [False] * number
        self.open = number
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, index: int, *, acknowledged: bool) -> None:
        self.acknowledged[index] = acknowledged
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


class _Queue:
    """What waits for one partition."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Record, _Ticket, int]] = deque()
        self.busy = False


class Bulk:
    """One idempotent producer with acks from all, fed with batches of our own making."""

    def __init__(self, kafka: Where) -> None:
        self._producer = AIOKafkaProducer(
            **Broker.of(kafka).client(),
            client_id="lastmetre-gateway-door",
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=EVENT_ACCEPTED_MAX_BYTES,
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=50,
        )
        self._queues: dict[tuple[str, int], _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending_bytes = 0

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is left, and close."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.stop()

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Publish them; for each, whether Kafka has acknowledged it in time. One that was not may come to lie on the topic all the same.

        Raises:
            Overloaded: too much waits already; nothing was published.
        """
        if self._pending_bytes > _PENDING_MAX_BYTES:
            raise Overloaded
        ticket = _Ticket(len(records))
        for index, record in enumerate(records):
            self._pending_bytes += len(record[3])
            place = record[:2]
            queue = self._queues.get(place)
            if queue is None:
                queue = self._queues[place] = _Queue()
            queue.waiting.append((record, ticket, index))
            if not queue.busy:
                queue.busy = True
                task = asyncio.create_task(self._drain(place, queue))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await ticket.done
        except TimeoutError:
            pass  # `acknowledged` says for which
        return ticket.acknowledged

    async def _drain(self, place: tuple[str, int], queue: _Queue) -> None:
        """Send batch after batch until nothing waits; never raises, as the tickets tell."""
        topic, partition = place
        try:
            while queue.waiting:
                batch, taken = self._batch(queue)
                acknowledged = False
                try:
                    async with asyncio.timeout(_SEND_SECONDS):
                        await (await self._producer.send_batch(batch, topic, partition=partition))
                    acknowledged = True
                except (KafkaError, TimeoutError):
                    pass
                for record, ticket, index in taken:
                    self._pending_bytes -= len(record[3])
                    ticket.settle(index, acknowledged=acknowledged)
        finally:
            queue.busy = False

    def _batch(self, queue: _Queue) -> tuple[Any, list[tuple[Record, _Ticket, int]]]:
        batch = self._producer.create_batch()
        taken = []
        append = batch.append
        waiting = queue.waiting
        while waiting:
            _, _, key, value, headers = waiting[0][0]
            if append(timestamp=None, key=key, value=value, headers=headers) is None:
                break
            taken.append(waiting.popleft())
        batch.close()
        return batch, taken
