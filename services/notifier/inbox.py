"""Events of `matches` come in here: read from the offsets in PostgreSQL, judged by `book`, written in one transaction a batch.

Partitions are taken over one by one: the epoch is raised, what the last owner committed but did not publish is published first, and reading
goes on at the offset that was committed with the effects. Faults of the infrastructure are waited out in place. An event on
which the work itself fails is found by halving the batch, and goes to the dead letters alone.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError

from schemas import sources
from schemas.codec import Event
from schemas.errors import DECISION_FAILED, InvalidEvent
from schemas.instants import MINUTE_US
from schemas.matches import MatchAgreed, MatchProposed, MatchReleased, WishExpired
from schemas.topics import MATCHES, NOTIFIER_GROUP
from services.broker import Consumer, silent_seconds
from services.notifier import failpoints
from services.notifier.book import Book, Notice
from services.notifier.consumers import consumer_of, is_cut_off, until_answered
from services.notifier.delivery import Delivery
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outbox import Publisher, dead_letter_of
from services.notifier.outgoing import Outgoing
from services.notifier.proposals import Proposal
from services.notifier.reading import FOREIGN, Letter, read
from services.notifier.settings import Settings
from services.notifier.store import Store, Unit
from services.notifier.usual_store import set_apart, told_at_once
from services.rewound import places_to_go_on
from services.runtime import Pulse, Stop, info_lines

_WAIT_MS: Final = 200
_GATHER_MS: Final = 4
# Letting partitions go: so long the notices on their way may take to come to their end.
_FAREWELL_SECONDS: Final = 3.0
# The pause between looks, while partitions are let go.
_LEAVING_SECONDS: Final = 0.02
_PROPOSALS: Final = frozenset((Proposal, MatchProposed))
# What is told of one match, or of a wish alone, and asks for all matches of that wish.
_OF_WISHES: Final = frozenset((WishExpired, MatchReleased))
_OF_MATCHES: Final = _PROPOSALS | {MatchAgreed, MatchReleased}
# Somebody raised the epoch of a partition that we still think is ours. A zombie is told so by the broker within this time.
_STALE_SECONDS: Final = 3.0


def events_for(room: int, most: int) -> int:
    """How many events to take in, where so many notices can be leased: two each. Where hardly any can, a channel hangs, and must not hold up the rest."""
    leased = room // 2
    return leased if most // 4 <= leased < most else most


class Inbox(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The consumer's loop."""

    def __init__(self, settings: Settings, store: Store, lanes: Lanes, delivery: Delivery, publisher: Publisher, metrics: Metrics) -> None:
        self.pulse = Pulse()
        self._settings = settings
        self._store = store
        self._lanes = lanes
        self._delivery = delivery
        self._publisher = publisher
        self._metrics = metrics
        self._consumer: AIOKafkaConsumer | None = None
        self._to_take: dict[int, float] = {}
        # Partitions of which nobody has looked yet whether Kafka still has the log that was read.
        self._unseen: set[int] = set()
        self._next_offsets: dict[int, int] = {}
        self._busy = asyncio.Lock()
        self._leaving = False
        self._came = 0
        self._turn = -1
        self._log: Any = structlog.get_logger().bind()

    def lag(self) -> int | None:
        """Events on our partitions that are not taken in yet; None while we have none or do not know."""
        if self._consumer is None or not self._next_offsets:
            return None
        total = 0
        for partition, next_offset in self._next_offsets.items():
            try:
                end = self._consumer.highwater(TopicPartition(MATCHES, partition))
            except (IllegalStateError, AssertionError):
                return None
            total += max(0, (end or 0) - next_offset)
        return total

    def silent_seconds(self) -> float:
        """For how long the broker has said nothing of our partitions, while all is taken that it told of before."""
        if self._consumer is None or self.lag() != 0:
            return 0.0
        return silent_seconds(self._consumer)

    # --- partitions come and go

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Bring what is in hand to its end, within limits, and let go."""
        self._leaving = True
        await self._farewell()
        async with self._busy:
            self._forget(tp.partition for tp in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note them: the loop takes them over, as the database may be away just now."""
        self._leaving = False
        now = time.monotonic()
        self._to_take = {tp.partition: now for tp in assigned}
        self._unseen = set(self._to_take)

    async def _farewell(self) -> None:
        if not self._lanes.owned:
            return
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._delivery.drained()
                await self._publisher.drained()
        except TimeoutError:
            self._log.info("partitions_left_with_work")

    def _forget(self, partitions: Iterable[int]) -> None:
        for partition in list(partitions):
            self._to_take.pop(partition, None)
            self._next_offsets.pop(partition, None)
            self._lanes.drop([partition])

    async def _take_over(self) -> None:
        assert self._consumer is not None
        now = time.monotonic()
        for partition, since in sorted((p, since) for p, since in self._to_take.items() if since <= now):
            async with self._busy:
                if self._to_take.get(partition) != since:
                    continue  # revoked while we waited
                taken = await self._store.take_over(partition)
            next_offset = taken.next_offset
            try:
                if partition in self._unseen:
                    # Not while others wait for `_busy`: where the group is dealt out anew the client waits for that, and that waits for us to let go.
                    next_offset = await self._go_on(partition, taken.epoch, next_offset)
                async with self._busy:
                    if self._to_take.get(partition) != since:
                        continue  # dealt out meanwhile: where it is ours again, it is taken over again
                    self._consumer.seek(TopicPartition(MATCHES, partition), next_offset)
                    self._unseen.discard(partition)
                    del self._to_take[partition]
                    self._lanes.take(partition, taken.epoch, taken.clocks)
                    self._next_offsets[partition] = next_offset
                    self._publisher.hand_over(taken.unpublished)
                    self._delivery.look()
            except IllegalStateError:  # revoked meanwhile
                if self._to_take.get(partition) == since:
                    self._forget([partition])
                continue
            self._log.info("partition_taken", partition=partition, epoch=taken.epoch, next_offset=next_offset, unpublished=len(taken.unpublished))

    async def _go_on(self, partition: int, epoch: int, next_offset: int) -> int:
        """Where to read on: there, or before it where this is no longer the log that was read; then it is written down."""
        tp = TopicPartition(MATCHES, partition)
        found = (await places_to_go_on(self._consumer, {tp: next_offset}, self._were_read))[tp]
        if found != next_offset:
            await self._store.go_back(partition, epoch, found)
        return found

    async def _were_read(self, records: Sequence[Any]) -> list[bool | None]:
        """Whether they were read: every event of the matcher's is noted."""
        events = [read(record).event for record in records]
        noted = await self._store.read_noted(sources.MATCHER, [event.id for event in events if event is not None])
        return [None if event is None else event.id in noted for event in events]

    # --- the loop

    async def run(self, stop: Stop) -> None:
        """Take events in until stopped."""
        consumer = self._reader()
        failures = 0
        try:
            while not stop:
                self.pulse.beat()
                try:
                    if self._consumer is None:
                        await consumer.start()
                        self._consumer = consumer
                    await self._round(consumer)
                    failures = 0
                except PASSING as error:
                    # What was committed is not certain now, so all partitions are taken over again.
                    failures += 1
                    self._metrics.faults.labels("inbox").inc()
                    self._log.warning("inbox_failed", fault=type(error).__name__, failures=failures)
                    now = time.monotonic()
                    owned = list(self._lanes.owned)
                    self._forget(owned)
                    self._lanes.doubt(owned)
                    self._to_take |= dict.fromkeys(owned, now)
                    await stop.pause(retry_seconds(failures))
                    if await is_cut_off(self._settings, NOTIFIER_GROUP, self.pulse):
                        await self._step_aside(consumer, stop)
                        consumer, failures = self._reader(), 0
        finally:
            self._consumer = None
            if stop:
                await self._farewell()
            self._forget(list(self._lanes.owned))
            await consumer.stop()

    def _reader(self) -> Consumer:
        consumer = consumer_of(self._settings, client_id="lastmetre-notifier", group_id=NOTIFIER_GROUP)
        consumer.subscribe([MATCHES], listener=self)
        return consumer

    async def _step_aside(self, consumer: Consumer, stop: Stop) -> None:
        """Let others have our partitions for as long as the database does not answer us."""
        self._log.error("cut_off", loop="inbox", partitions=sorted(self._to_take))
        self._consumer = None
        self._forget([*self._to_take, *self._lanes.doubted])
        await consumer.stop()
        await until_answered(self._settings, stop, self.pulse)

    async def _round(self, consumer: AIOKafkaConsumer) -> None:
        if self._lanes.in_doubt:
            self._step_back(self._lanes.owned)
            self._lanes.certain()
        if self._leaving:
            await asyncio.sleep(_LEAVING_SECONDS)
            return
        if self._to_take:
            await self._take_over()
        room = await self._delivery.room(2 * self._settings.batch_max)
        if self._came < self._settings.batch_max // 2:  # of a backlog one batch is decoded while another is recorded
            await self._delivery.recorded()
        await failpoints.before("poll")
        found = await self._poll(consumer, events_for(room, self._settings.batch_max))
        self._came = sum(map(len, found.values()))
        if not found:
            self.pulse.commit()
            return
        await failpoints.after("poll")
        async with self._busy:
            ours = [tp for tp in sorted(found) if tp.partition in self._lanes]
            records = [one for tp in ours for one in found[tp]]
            await failpoints.before("validate")
            letters = [read(record) for record in records if record.offset >= self._next_offsets[record.partition]]
            await failpoints.after("validate")
            self._look_again([tp.partition for tp in ours if found[tp][0].offset < self._next_offsets[tp.partition]])
            if letters:
                await self._take_in(letters)
                self.pulse.commit()

    async def _poll(self, consumer: AIOKafkaConsumer, most: int) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """What has come. Of a partition whose records lie here the client fetches no more, so once they are taken what came since is awaited, for a moment.

        Of a backlog each partition has its turn: so one is taken in while what was told of another is recorded, and neither waits for the other's row.
        """
        found: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        if self._came >= self._settings.batch_max // 2:
            for partition in sorted(self._lanes.owned, key=lambda one: (one <= self._turn, one)):
                found = await consumer.getmany(TopicPartition(MATCHES, partition), timeout_ms=0, max_records=most)
                if found:
                    self._turn = partition
                    return found
        wait, room = _WAIT_MS, most
        while room > 0:
            more = await consumer.getmany(timeout_ms=wait, max_records=room)
            for tp, records in more.items():
                found.setdefault(tp, []).extend(records)
                room -= len(records)
            if not more or wait == _GATHER_MS:
                break
            wait = _GATHER_MS
        return found

    async def _take_in(self, letters: Sequence[Letter]) -> None:
        try:
            await self._write(letters)
        except PASSING:
            raise
        except Exception as error:
            if len(letters) > 1:
                half = len(letters) // 2
                await self._take_in(letters[:half])
                await self._take_in(letters[half:])
                return
            letter = letters[0]
            if letter.fault is not None or isinstance(error, MemoryError):
                raise  # even to set it aside fails, or there is no memory: that is no fault of the event
            self._log.error("decision_failed", partition=letter.record.partition, offset=letter.record.offset, exc_info=error)
            await self._write([Letter(letter.record, None, InvalidEvent(DECISION_FAILED))])

    async def _write(self, letters: Sequence[Letter]) -> None:
        """One transaction: what the letters come to, and that they were read."""
        epochs = self._lanes.epochs_of(letter.record.partition for letter in letters)
        book = Book(language=self._settings.language)
        async with self._store.unit() as unit:
            ours = await unit.fence(epochs)
            counted = [one for one in letters if one.record.offset >= ours.get(one.record.partition, one.record.offset + 1)]
            if counted:
                offsets = {one.record.partition: one.record.offset + 1 for one in counted}
                book, dead = await self._decide(unit, counted, offsets)
                # A wish may be widened more than once, and is told of once.
                may_repeat = [notice.key for notice in book.new_notices.values() if notice.match_id is None]
                for key in await unit.read_known(may_repeat) if may_repeat else ():
                    del book.new_notices[key]
                leased = self._delivery.lease(book.new_notices.values())
                clocks = self._lanes.later((one.event.area, one.record.partition, one.event.time) for one in counted if one.event is not None)
                usual = told_at_once(book.changed.values(), book.new_notices)
                rest, done = set_apart(usual, book.changed)
                await unit.write_matches(rest)
                await unit.end_matches(rest, book.called_off, time.time_ns() // 1000)
                await unit.tell_both(list(usual.values()), self._delivery.lease_seconds)
                await unit.write_notices([notice for key, notice in book.new_notices.items() if key not in done], self._delivery.lease_seconds)
                await unit.change_notices(book.changed_notices.values())
                await unit.write_outbox(dead)
                await unit.write_clocks(clocks)
        self._step_back(epochs.keys() - ours.keys())
        if counted:
            self._lanes.set_forward(clocks)
            self._next_offsets |= offsets
            self._announce(counted, book, leased, dead)
            self._delivery.keep(book.changed.values(), {partition: epochs[partition] for partition in ours})

    async def _decide(self, unit: Unit, letters: Sequence[Letter], offsets: Mapping[int, int]) -> tuple[Book, list[Outgoing]]:
        ids = list({one.event.id: None for one in letters if one.event is not None})
        new = await unit.note_events(sources.MATCHER, ids, offsets)
        events = [one.event for one in letters if one.event is not None and one.event.id in new]
        book = Book(await self._read(unit, events), self._settings.language, self._settings.late_cancel_minutes * MINUTE_US)
        self._delivery.forget(book.matches)
        dead = []
        for letter in letters:
            event = letter.event
            if letter.fault is not None:
                letter.outcome = letter.fault.reason
                dead.append(dead_letter_of(letter.record, letter.fault))
            elif event is not None and event.id in new:
                new.discard(event.id)
                letter.outcome = book.take(event, letter.record.partition)
            elif event is not None:
                letter.outcome = "repeated"
        return book, dead

    @staticmethod
    async def _read(unit: Unit, events: Iterable[Event]) -> Iterable[Any]:
        match_ids, group_ids, wish_ids = set(), set(), set()
        for event in events:
            data, kind = event.data, type(event.data)
            if kind in _OF_MATCHES:
                match_ids.add(data.match_id)
                if kind in _PROPOSALS and data.group_id is not None:
                    group_ids.add(data.group_id)
            if kind in _OF_WISHES:
                wish_ids.add(data.wish_id)
        return await unit.read_matches(match_ids, group_ids, wish_ids) if match_ids or wish_ids else ()

    def _look_again(self, repeated: Iterable[int]) -> None:
        """The client goes back by itself only where the log does not reach as far as we had read: then it is taken over anew."""
        for partition in repeated:
            self._forget([partition])
            self._unseen.add(partition)
            self._to_take[partition] = time.monotonic()

    def _step_back(self, stale: Iterable[int]) -> None:
        for partition in sorted(stale):
            self._log.warning("partition_lost", partition=partition)
            self._forget([partition])
            self._to_take[partition] = time.monotonic() + _STALE_SECONDS

    def _announce(self, letters: Sequence[Letter], book: Book, leased: Sequence[Notice], dead: Sequence[Outgoing]) -> None:
        """After the commit: hand over, count, and write the canonical lines."""
        self._delivery.hand_over(leased)
        self._delivery.cancel(book.changed.values())
        self._publisher.hand_over(dead)
        if len(leased) < len(book.new_notices):
            self._delivery.look()
        counts: Counter[tuple[str, str]] = Counter()
        lines: list[dict[str, object]] = []
        for letter in letters:
            event, record = letter.event, letter.record
            if event is None:
                counts["foreign" if letter.outcome == FOREIGN else "invalid", letter.outcome] += 1
                self._log.warning("event", partition=record.partition, offset=record.offset, outcome=letter.outcome)
            else:
                counts[event.type, letter.outcome] += 1
                lines.append({
                    "type": event.type, "id": event.id, "subject": event.subject, "area": event.area, "partition": record.partition,
                    "offset": record.offset, "outcome": letter.outcome,
                })  # fmt: skip
        info_lines("event", {}, lines)
        for (kind, outcome), count in counts.items():
            self._metrics.events.labels(kind, outcome).inc(count)
