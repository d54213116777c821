"""A Faust transport that hands over what one fetch brought as one event: a list of *chunks*, one a partition, decoded already.

Faust's machinery costs some 60 µs for each event that goes through it where many come, and some three hundred where few do. Consumer groups, rebalancing, flow
control and when acknowledgements are sent stay Faust's; only the size of what travels changes, from one record to all that a fetch brought. Up to where
a partition is acknowledged is said chunk by chunk (:meth:`ChunkConsumer.acknowledge`); the event's own place is its first chunk's, for Faust wants one.
Decoding happens here, because here it runs while the matcher waits for the database.

Faust runs its consumer in a thread with a loop of its own. Here it runs on the app's loop: while the matcher decides, a thread would wait for the
interpreter at every step of every fetch, several times five milliseconds, and that was most of what a wish waited for.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import maybe_async, notify

from services.broker import COMMITTED, silent_seconds
from services.matcher.intake import Item, read_by_turns
from services.turns import size_of

_GATHER_BYTES: Final = 64 * 1024
_IDLE_WAIT_MS: Final = 500
_ROOM_SECONDS: Final = 1.0
_ROOM_SECONDS_OF_LARGE: Final = 30.0
# Of one partition no more is read at a time than this takes. A fetch of what is as large as may be, and is searched for numbers, would else be read for a
# minute, and what came in other lanes would wait for it.
_READ_SECONDS: Final = 0.3


@dataclass(slots=True)
class Chunk:
    """What one fetch brought of one partition. `last`: the offset up to which the client has read, at or behind its last record, taken in before or not.

    `size`: how many bytes its records have.
    """

    tp: TP
    last: int
    items: list[Item]
    size: int = 0


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

    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust reads what was committed only where it writes in transactions of its own.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = COMMITTED  # noqa: SLF001
        return consumer

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """There is no other loop to send the call to."""
        return await maybe_async(fun(*args, **kwargs))

    async def _gather_remaining_tasks(self) -> None:
        # Faust ends whatever is left on the thread's loop; this one is everybody's.
        pass


class ChunkConsumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped for us
    """Yields one message a fetch; its value is the list of chunks."""

    _brought = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._freed = asyncio.Event()

    def _new_consumer_thread(self) -> LoopConsumer:
        return LoopConsumer(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's signature
        """One round of fetching, as chunks.

        While records come in, the broker is asked to gather them for a moment before it answers, for an answer costs both sides the same whether it brings
        one record or a hundred. After a pause it is asked to answer at once.
        """
        await self._room()
        self._gather(self.transport.gather_ms if self._brought else 0)
        self._brought = 0
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        self._let_others_go_first({tp.partition for tp in records})
        owned = self._owned()
        lasts = {tp: self._last(owned, tp, run[-1].offset) for tp, run in records.items() if run}
        read, unread = {}, {}
        for tp, run in records.items():
            read[tp], unread[tp] = await self._read(tp, run)
        if self._owned() is not owned:
            return  # the group has dealt anew while a large record was read: what we have now begins at its own place
        if not self.flow_active:
            with suppress(KafkaError):  # where the partitions have just gone elsewhere; what is assigned next begins at its own place
                await self.perform_seek()
            return
        found = {tp: run for tp, run in records.items() if run and self._is_next(tp, run[-1].offset, active)}
        if not found:
            return
        self._brought = sum(map(len, found.values()))
        for tp in found:
            if unread[tp]:
                lasts[tp] = self._come_back(tp, unread[tp][0].offset)
        chunks = [self._chunk(tp, lasts[tp], read[tp]) for tp in found]
        first = chunks[0].tp
        message = self._to_message(first, found[first][-1])
        message.key, message.value, message.headers, message.offset = None, chunks, [], chunks[0].last
        yield first, message

    async def _room(self) -> None:
        """Wait while much is under way, a moment at most: what comes of one lane would be stored only after all that waits of another.

        While it is so large that memory would not hold more of it, longer.
        """
        await self._wait_while(lambda: self._bytes_under_way() >= self.transport.bytes_max, _ROOM_SECONDS_OF_LARGE)
        await self._wait_while(lambda: self._under_way() >= self.transport.records_max, _ROOM_SECONDS)

    async def _wait_while(self, is_much: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while is_much():
                    self._freed.clear()
                    await self._freed.wait()

    def _under_way(self) -> int:
        return sum(len(chunk.items) for message in self._unacked_messages for chunk in message.value)

    def _bytes_under_way(self) -> int:
        return sum(chunk.size for message in self._unacked_messages for chunk in message.value)

    def _let_others_go_first(self, lanes: set[int]) -> None:
        """What the client still has of these lanes comes after what it has of others: it would hand over all of one large fetch first.

        A lane's topics keep their order among themselves.
        """
        fetched = self._thread._consumer._fetcher._records  # noqa: SLF001
        for tp in [tp for tp in fetched if tp.partition in lanes]:
            fetched.move_to_end(tp)

    def _is_next(self, tp: TP, last: int, active: set[TP] | None) -> bool:
        """Whether this comes from where we read, and is not what was handed over before."""
        read = self._read_offset[tp]
        return (active is None or tp in active or tp in self._buffered_partitions) and (read is None or read <= last)

    @staticmethod
    def _last(owned: Any, tp: TP, offset: int) -> int:
        """Up to where the client has read, that has just brought a record from `offset`: the mark of its transaction, behind it, is not to look like a gap."""
        state = owned.state_value(tp) if owned is not None else None
        return max(offset, state.position - 1) if state is not None and state.has_valid_position else offset

    def _gather(self, milliseconds: int) -> None:
        # The client has no public way to change this while it runs. Fetching goes on in a thread of its own: it sees the one or the other.
        fetcher = self._thread._consumer._fetcher  # noqa: SLF001
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = (_GATHER_BYTES, milliseconds) if milliseconds else (1, _IDLE_WAIT_MS)  # noqa: SLF001

    def silent_seconds(self) -> float:
        """For how long the broker has said nothing of our partitions (`services.broker`)."""
        consumer = self._thread._consumer  # noqa: SLF001
        return 0.0 if consumer is None else silent_seconds(consumer)

    def _owned(self) -> Any:
        """Which partitions we have by the group's last word: another object after each."""
        subscription = self._thread._consumer._subscription.subscription  # noqa: SLF001
        return None if subscription is None else subscription.assignment

    async def _read(self, tp: TP, run: list[Any]) -> tuple[list[Item], list[Any]]:
        """What is read of a run, and what there is no time for now."""
        # What was taken in before, and is read again after a start because Faust had not acknowledged it yet, is not even decoded.
        cursor = self.transport.cursor(tp.topic, tp.partition)
        if run and run[0].offset < cursor:
            run = [record for record in run if record.offset >= cursor]
        items = await read_by_turns(run, seconds=_READ_SECONDS)
        return items, run[len(items) :]

    def _come_back(self, tp: TP, offset: int) -> int:
        """Have the client bring a partition from there once more, behind the others; up to where it is read then."""
        self._thread._consumer.seek(tp, offset)  # noqa: SLF001
        return offset - 1

    def _chunk(self, tp: TP, last: int, items: list[Item]) -> Chunk:
        # Faust takes offsets between two messages for gaps, which it would acknowledge by itself: ours are in the chunk.
        self._read_offset[tp] = last
        if items:
            items[-1].behind = last - items[-1].record.offset
        # What Faust would note of a message of its own, and warns where it did not for long.
        self.app.monitor.stream_inbound_time[tp] = time.monotonic()
        return Chunk(tp, last, items, sum([size_of(item.record) for item in items]))

    def ack(self, message: ConsumerMessage) -> bool:
        """Faust's own part of an acknowledgement: the message is done with. Up to where the partitions are, :meth:`acknowledge` says."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        self._freed.set()
        return True

    def end(self, tp: TP) -> int | None:
        """The end of what is committed on a partition that is ours, as the broker last said; None where it has not said yet."""
        end: int | None = self._thread._consumer.last_stable_offset(tp)  # noqa: SLF001
        return end

    def acknowledge(self, chunks: Iterable[Chunk]) -> None:
        """These are taken in, and so is all that came before them: chunks of a partition are taken in in their order."""
        for chunk in chunks:
            self._acked[chunk.tp] = [chunk.last]

    def _new_offset(self, tp: TP) -> int | None:
        """Up to where a partition is acknowledged. Faust looks for an unbroken row of offsets here: it would stop for good after the first chunk."""
        acked = self._acked.pop(tp, None)
        return acked[-1] + 1 if acked else None


class ChunkTransport(driver.Transport):  # type: ignore[misc] # Faust is untyped for us
    """Faust's aiokafka transport with chunks."""

    gather_ms: int = 0
    records_max: float = math.inf
    """So many records that are not taken in yet are enough."""
    bytes_max: float = math.inf
    """So many bytes of them are."""
    cursor: Callable[[str, int], int] = staticmethod(lambda _topic, _partition: 0)
    Consumer: ClassVar[type[Any]] = ChunkConsumer
