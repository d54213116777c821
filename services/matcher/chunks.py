"""A Faust transport that hands over what was fetched of one partition as one event: a *chunk*, decoded already.

Faust's machinery costs some 60 µs for each event that goes through it, whatever the event is. Consumer groups, rebalancing, flow control and acknowledgement
stay Faust's; only the size of what travels changes, from one record to a list of consecutive ones. A chunk's message carries
the offset of its last record, so acknowledging it acknowledges all of them. Decoding happens here, because here it runs while the
matcher waits for the database.

Faust runs its consumer in a thread with a loop of its own. Here it runs on the app's loop: while the matcher decides, a thread would wait for the
interpreter at every step of every fetch, several times five milliseconds, and that was most of what a wish waited for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, Final

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import maybe_async

from services.matcher.intake import read_run

_GATHER_BYTES: Final = 64 * 1024
_IDLE_WAIT_MS: Final = 500


class _Task:
    """What Faust takes for the consumer's thread: a task on the app's own loop. Stopping is awaited elsewhere, by the event that the service sets."""

    def __init__(self, service: "LoopConsumer") -> None:
        self._service = service

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._service._serve())  # noqa: SLF001

    def stop(self) -> None:
        """Nothing to join."""


class LoopConsumer(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped for us
    """Faust's consumer "thread", without the thread."""

    Worker = _Task

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """There is no other loop to send the call to."""
        return await maybe_async(fun(*args, **kwargs))

    async def _gather_remaining_tasks(self) -> None:
        # Faust ends whatever is left on the thread's loop; this one is everybody's.
        pass


class ChunkConsumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped for us
    """Yields one message a partition and fetch; its value is the list of items."""

    _brought = 0

    def _new_consumer_thread(self) -> LoopConsumer:
        return LoopConsumer(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's signature
        """One round of fetching, as chunks.

        While records come in, the broker is asked to gather them for a moment before it answers, for an answer costs both sides the same whether it brings
        one record or a hundred. After a pause it is asked to answer at once.
        """
        self._gather(self.transport.gather_ms if self._brought else 0)
        self._brought = 0
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            with suppress(KafkaError):  # where the partitions have just gone elsewhere; what is assigned next begins at its own place
                await self.perform_seek()
            return
        generation = self.app.consumer_generation_id
        for tp, run in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break  # a rebalance began; what was fetched is fetched again by its next owner
            self._brought += len(run)
            if run and (active is None or tp in active or tp in self._buffered_partitions):
                yield tp, self._chunk(tp, run)

    def _gather(self, milliseconds: int) -> None:
        # The client has no public way to change this while it runs. Fetching goes on in a thread of its own: it sees the one or the other.
        fetcher = self._thread._consumer._fetcher  # noqa: SLF001
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = (_GATHER_BYTES, milliseconds) if milliseconds else (1, _IDLE_WAIT_MS)  # noqa: SLF001

    def _chunk(self, tp: TP, run: list[Any]) -> ConsumerMessage:
        message = self._to_message(tp, run[-1])
        message.key = None
        # What was taken in before, and is read again after a start because Faust had not acknowledged it yet, is not even decoded.
        cursor = self.transport.cursor(tp.topic, tp.partition)
        message.value = read_run(run if run[0].offset >= cursor else [record for record in run if record.offset >= cursor])
        message.headers = []
        read = self._read_offset.get(tp)
        if read is None or read < run[-1].offset - 1:
            # Faust takes offsets between two messages for gaps and acknowledges them at once; ours are in the chunk.
            self._read_offset[tp] = run[-1].offset - 1
        return message


class ChunkTransport(driver.Transport):  # type: ignore[misc] # Faust is untyped for us
    """Faust's aiokafka transport with chunks."""

    gather_ms: int = 0
    cursor: Callable[[str, int], int] = staticmethod(lambda _topic, _partition: 0)
    Consumer: ClassVar[type[Any]] = ChunkConsumer
