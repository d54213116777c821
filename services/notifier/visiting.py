"""From confirmation to closure: reads `responses` and `confirmations`, and tells in `match.closed` how each visit ended; books it in the ledger.

A consumer group of its own, beside `inbox`: what volunteers and residents say needs neither notices nor their deadlines. One transaction a batch holds the
reports, the visits' ends, the ledger's entries, the outbox and the offsets, fenced by the lane's epoch. What is said about a match that is not confirmed yet is
kept and counts once it is. By event time a visit is judged once the minute is whole: whatever was read first, and with what that minute releases known.

An event that is not valid, or came under a wrong key, is the matcher's to set aside or to mend. One on which the work itself fails is found by halving the
batch, and goes to the dead letters alone; a visit that can't be judged is looked at again later, and holds up no other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError

from schemas.codec import Event, headers_of
from schemas.errors import DECISION_FAILED, InvalidEvent
from schemas.instants import MINUTE_US, rfc3339
from schemas.responses import ServiceAcknowledged, ServiceFinished, ServiceStarted
from schemas.topics import CONFIRMATIONS, VISITS_GROUP
from services.broker import Consumer
from services.notifier import failpoints
from services.notifier.consumers import consumer_of, is_cut_off, until_answered
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.hearing import Heard, heard
from services.notifier.ids import derived_id
from services.notifier.lanes import Lanes
from services.notifier.ledger import booking
from services.notifier.metrics import Metrics
from services.notifier.outbox import CLOSED, SOURCE, Publisher, dead_letter_of
from services.notifier.outgoing import Outgoing
from services.notifier.settings import Settings
from services.notifier.visits import End, Limits, Report, Visit, judged
from services.notifier.visits_store import TOPICS, Begun, Lane, Pair, Told, VisitsStore, VisitsUnit
from services.rewound import places_to_go_on
from services.runtime import Pulse, Stop
from services.tariff import Tariff
from services.turns import by_turns

_WAIT_MS: Final = 200
# By event time somebody waits for each step of the clock.
_WAIT_MS_PLAYED: Final = 20
_TICK_SECONDS: Final = 1.0
_DUE_MAX: Final = 500
# Nobody waits for a visit to begin, and few for its end: so long is gathered where fewer came than a batch may hold. By event time somebody waits.
_GATHER_SECONDS: Final = 0.2
_WATCH_SECONDS: Final = 15.0
_FAREWELL_SECONDS: Final = 3.0
# Whose log does not come to the end that it had is not waited for any longer: rather one alarm too many than none.
_BEHIND_SECONDS: Final = 600.0
_PLACE_SECONDS: Final = 1.0
# Somebody raised the epoch of a lane that we still think is ours. A zombie is told so by the broker within this time.
_STALE_SECONDS: Final = 3.0

_REPORTS: Final = frozenset((ServiceStarted, ServiceFinished, ServiceAcknowledged))

_Read = tuple[str, int, int, Heard | None, Any]
"""(topic, partition, offset, what was heard, record); nothing heard for what is not ours to judge."""
# A visit that can't be judged is tried again after this.
_POSTPONED_US: Final = 60 * MINUTE_US


def closed_event(visit: Visit, end: End, now: int) -> Outgoing:
    """`match.closed` of a visit's first end, decided `now`, which may be long after what decided it was said."""
    at = rfc3339(end.at)
    data = {
        "area": visit.area, "match_id": visit.match_id, "wish_id": visit.wish_id, "offer_id": visit.offer_id,
        "outcome": end.outcome, "minutes": end.minutes, "closed_at": at, "by": end.by,
    }  # fmt: skip
    event_id = derived_id(f"{CLOSED}\n{visit.match_id}")
    headers: list[tuple[str, bytes | None]] = [*headers_of(CLOSED, str(event_id), SOURCE, rfc3339(now), visit.match_id, visit.area)]
    return Outgoing(event_id, visit.partition, CONFIRMATIONS, visit.area.encode(), headers, orjson.dumps(data))


def report_of(event: Event) -> Told | None:
    """What an event of `responses` says about a visit, if it does."""
    data = event.data
    if type(data) not in _REPORTS:
        return None
    pair, whose = (data.area, data.wish_id, data.offer_id), (event.time, event.source, event.id)
    if isinstance(data, ServiceAcknowledged):
        return Told(pair, Report(*whose, "acknowledged", data.match_id, None, data.by, data.outcome), data.rating)
    return Told(pair, Report(*whose, "started" if isinstance(data, ServiceStarted) else "finished", data.match_id, data.minutes), None)


def heard_by(told: Told, now: int) -> Told:
    """As it is noted by the wall's clock: nobody says anything later than it is heard.

    A clock that is ahead would hold the visit open for as long, and outrank whatever is said until then.
    """
    return told if told.report.at <= now else replace(told, report=replace(told.report, at=now))


class Visiting(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The consumer's loop, and the clock's."""

    def __init__(
        self,
        settings: Settings,
        store: VisitsStore,
        metrics: Metrics,
        *,
        limits: Limits | None = None,
        tariff: Tariff | None = None,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`after`: awaited before each look at the topics, so that others may go first; not by event time, when somebody waits for each step of the clock."""
        self.pulse = Pulse()
        self._after = after if settings.clock == "wall" else None
        self.lanes = Lanes(settings.clock)
        # The publisher asks its store for nothing but to forget what is on Kafka.
        self.publisher = Publisher(settings.broker, store, self.lanes, metrics)
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._limits = limits or settings.limits
        self._tariff = tariff or settings.tariff
        self._by_event = settings.clock == "event"
        self._offsets: dict[int, dict[str, int]] = {}
        self._to_take: dict[int, float] = {}
        # Lanes of which nobody has looked yet whether Kafka still has the logs that were read.
        self._unseen: set[int] = set()
        # Lanes of which not all is read that was there when they were taken: since when, and how far that goes. Nobody's silence counts in them until then.
        self._behind: dict[int, tuple[float, dict[str, int]]] = {}
        self._busy = asyncio.Lock()
        self._ticked = 0.0
        # By event time: up to when all that was due is done, by lane.
        self._ticked_to: dict[int, int] = {}
        self._watched = -_WATCH_SECONDS
        self._log: Any = structlog.get_logger().bind()

    # --- partitions come and go

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Publish what is committed, within limits, and let go."""
        await self._farewell()
        async with self._busy:
            self._forget({tp.partition for tp in revoked})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note them: the loop takes them over, as the database may be away just now."""
        now = time.monotonic()
        self._to_take = {tp.partition: now for tp in assigned}
        self._unseen = set(self._to_take)

    async def _farewell(self) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self.publisher.drained()
        except TimeoutError:
            self._log.info("visits_left_with_work")

    def _forget(self, partitions: Iterable[int]) -> None:
        for partition in list(partitions):
            self._to_take.pop(partition, None)
            self._offsets.pop(partition, None)
            self._ticked_to.pop(partition, None)
            self._behind.pop(partition, None)
            self.lanes.drop([partition])

    def current(self) -> list[int]:
        """Our lanes of which all is read that was said before we took them."""
        return [partition for partition in self.lanes.owned if partition not in self._behind]

    async def _take_over(self, consumer: AIOKafkaConsumer) -> None:
        now = time.monotonic()
        for partition, since in sorted((p, since) for p, since in self._to_take.items() if since <= now):
            async with self._busy:
                if self._to_take.get(partition) != since:
                    continue  # revoked while we waited
                lane = await self._store.take_over(partition)
            offsets = dict(lane.offsets)
            try:
                if partition in self._unseen:
                    # Not while others wait for `_busy`: where the group is dealt out anew the client waits for that, and that waits for us to let go.
                    offsets = await self._go_on(consumer, partition, lane)
                ends = {} if self._by_event else await consumer.end_offsets([TopicPartition(topic, partition) for topic in offsets])
                async with self._busy:
                    if self._to_take.get(partition) != since:
                        continue  # dealt out meanwhile: where it is ours again, it is taken over again
                    for topic, offset in offsets.items():
                        consumer.seek(TopicPartition(topic, partition), offset)
                    self._unseen.discard(partition)
                    del self._to_take[partition]
                    if not self._by_event:
                        self._behind[partition] = (time.monotonic(), {tp.topic: end for tp, end in ends.items()})
                    self.lanes.take(partition, lane.epoch, lane.clocks)
                    self._offsets[partition], self._ticked_to[partition] = offsets, lane.ticked
                    self.publisher.hand_over(lane.unpublished)
            except IllegalStateError:  # revoked meanwhile
                if self._to_take.get(partition) == since:
                    del self._to_take[partition]

    async def _go_on(self, consumer: AIOKafkaConsumer, partition: int, lane: Lane) -> dict[str, int]:
        """Where to read on: there, or before it where this is no longer the log that was read; then it is written down."""
        places = {TopicPartition(topic, partition): offset for topic, offset in lane.offsets.items()}
        found = {tp.topic: offset for tp, offset in (await places_to_go_on(consumer, places, self._were_read)).items()}
        if found != lane.offsets:
            await self._store.go_back(partition, lane.epoch, found)
        return found

    async def _were_read(self, records: Sequence[Any]) -> list[bool | None]:
        """Whether they were read: what is said of a visit is noted, and so is each visit. Of nothing else is there a trace."""
        events = await by_turns(heard, records)
        begun = [event.begun.match_id if event is not None and event.begun is not None else None for event in events]
        reports = [report_of(event.event) if event is not None and event.event is not None else None for event in events]
        told = [None if one is None else (one.report.source, one.report.event_id) for one in reports]
        known, noted = await self._store.read_known([one for one in begun if one is not None], [one for one in told if one is not None])
        return [
            known.get(match_id) if match_id is not None else name in noted if name is not None else None for match_id, name in zip(begun, told, strict=True)
        ]

    # --- the loop

    async def run(self, stop: Stop) -> None:
        """Take in what is said until stopped."""
        consumer = self._reader()
        failures, started = 0, False
        try:
            while not stop:
                self.pulse.beat()
                try:
                    if not started:
                        await consumer.start()
                        started = True
                    taken = await self._round(consumer)
                    failures = 0
                    if 0 < taken < self._settings.batch_max and not self._by_event:
                        await stop.pause(_GATHER_SECONDS)
                except PASSING as error:
                    # What was committed is not certain now, so all lanes are taken over again.
                    failures += 1
                    self._metrics.faults.labels("visits").inc()
                    self._log.warning("visits_failed", fault=type(error).__name__, failures=failures)
                    owned = list(self.lanes.owned)
                    self._forget(owned)
                    self._to_take |= dict.fromkeys(owned, time.monotonic())
                    await stop.pause(retry_seconds(failures))
                    if await is_cut_off(self._settings, VISITS_GROUP, self.pulse):
                        await self._step_aside(consumer, stop)
                        consumer, failures, started = self._reader(), 0, False
        finally:
            if stop:
                await self._farewell()
            self._forget(list(self.lanes.owned))
            await consumer.stop()

    def _reader(self) -> Consumer:
        consumer = consumer_of(
            self._settings,
            client_id="lastmetre-visits",
            group_id=VISITS_GROUP,
            # Both topics have as many partitions: this gives everyone the same numbers of both.
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        consumer.subscribe(list(TOPICS), listener=self)
        return consumer

    async def _step_aside(self, consumer: Consumer, stop: Stop) -> None:
        """Let others have our lanes for as long as the database does not answer us."""
        self._log.error("cut_off", loop="visits", lanes=sorted(self._to_take))
        self._forget(list(self._to_take))
        await consumer.stop()
        await until_answered(self._settings, stop, self.pulse)

    async def _round(self, consumer: AIOKafkaConsumer) -> int:
        """Once; how many records were taken in."""
        if self._to_take:
            await self._take_over(consumer)
        if self._after is not None:
            await self._after()
        await failpoints.before("poll")
        found = await consumer.getmany(timeout_ms=_WAIT_MS_PLAYED if self._by_event else _WAIT_MS, max_records=self._settings.batch_max)
        if found:
            await failpoints.after("poll")
        async with self._busy:
            if found:
                await failpoints.before("validate")
            fresh = [
                record
                for tp in sorted(found, reverse=True)
                if tp.partition in self.lanes
                for record in found[tp]
                if record.offset >= self._offsets[tp.partition][tp.topic]
            ]
            said = await by_turns(heard, fresh)
            read = [(record.topic, record.partition, record.offset, one, record) for record, one in zip(fresh, said, strict=True)]
            # The client goes back by itself only where a log does not reach as far as we had read: then the lane is taken over anew.
            gone = {tp.partition for tp in found if tp.partition in self.lanes and found[tp][0].offset < self._offsets[tp.partition][tp.topic]}
            self._forget(gone)
            self._unseen |= gone
            self._to_take |= dict.fromkeys(gone, time.monotonic())
            read = [one for one in read if one[1] not in gone]
            if read:
                await failpoints.after("validate")
                await self._take_in(read)
            await self._tick()
        await self._catch_up(consumer)
        await self._watch()
        self.pulse.commit()
        return len(read)

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        """See which lanes are read as far as they went when they were taken. The client's place counts: not every offset is a record's."""
        for partition, (since, ends) in list(self._behind.items()):
            try:
                async with asyncio.timeout(_PLACE_SECONDS):
                    places = {topic: await consumer.position(TopicPartition(topic, partition)) for topic in ends}
            except (IllegalStateError, TimeoutError):  # revoked meanwhile, or about to go on elsewhere
                continue
            late = time.monotonic() - since > _BEHIND_SECONDS
            if late or all(places[topic] >= end for topic, end in ends.items()):
                if late:
                    self._log.warning("visits_behind", partition=partition)
                if self._behind.get(partition) == (since, ends):  # not dealt out meanwhile
                    del self._behind[partition]

    def _transaction(self, connection: Any) -> AbstractAsyncContextManager[Any]:
        transaction: AbstractAsyncContextManager[Any] = connection.transaction()
        return transaction

    async def _take_in(self, read: Sequence[_Read]) -> None:
        clocks = self.lanes.clocks()
        try:
            await self._write(read)
        except PASSING:
            raise
        except Exception as error:
            self.lanes.put_back(clocks)
            if len(read) > 1:
                half = len(read) // 2
                await self._take_in(read[:half])
                await self._take_in(read[half:])
                return
            topic, partition, offset, event, record = read[0]
            if event is None or isinstance(error, MemoryError):
                raise  # even to pass it over fails, or there is no memory: that is no fault of the event
            self._log.error("decision_failed", topic=topic, partition=partition, offset=offset, exc_info=error)
            self._metrics.events.labels(event.type, DECISION_FAILED).inc()
            await self._write([(topic, partition, offset, None, record)], [dead_letter_of(record, InvalidEvent(DECISION_FAILED))])

    async def _write(self, read: Sequence[_Read], dead: Sequence[Outgoing] = ()) -> None:
        """One transaction: what the events come to, the dead letters, and that they were read."""
        epochs = self.lanes.epochs_of(partition for _, partition, *_ in read)
        async with self._store.unit() as connection, self._transaction(connection):
            unit = self._store.work(connection)
            ours = await unit.fence(epochs)
            counted = [one for one in read if one[1] in ours]
            events = [event for *_, event, _ in counted if event is not None]
            now = time.time_ns() // 1000
            told = [one for event in events if event.event is not None and (one := report_of(event.event)) is not None]
            if not self._by_event:
                told = [heard_by(one, now) for one in told]
            begun = [event.begun for event in events if event.begun is not None]
            await unit.note_reports(told)
            await unit.begin_visits(begun, self._limits.report_us, now, max(self._settings.timing.remind_us))
            await unit.note_stages(told)
            clocks = self.lanes.later((event.area, partition, event.time) for _, partition, _, event, _ in counted if event is not None)
            self.lanes.set_forward(clocks)  # the same again where this transaction fails: the lanes are taken over anew then
            pairs, records = {one.pair for one in told}, list[Outgoing]()
            await unit.write_clocks(clocks)
            if self._by_event:
                # In the same transaction, so that whoever sees these offsets sees what is to be judged.
                await unit.look_again(pairs | {one.pair for one in begun})
            else:
                records = await self._judge(unit, pairs, begun=begun)
            letters = [one for one in dead if one.partition in ours]
            await unit.write_outbox(letters)
            offsets: dict[int, dict[str, int]] = {}
            for topic, partition, offset, *_ in counted:
                offsets.setdefault(partition, {})[topic] = offset + 1
            await unit.advance(offsets)
        self.publisher.hand_over([*records, *letters])
        for partition, by_topic in offsets.items():
            self._offsets[partition] |= by_topic
        stale = epochs.keys() - ours
        if stale:
            self._log.warning("visits_lanes_lost", partitions=sorted(stale))
            self._forget(stale)
            # Where it was a zombie that raised the epoch, nobody else works on the lane.
            self._to_take |= dict.fromkeys(stale, time.monotonic() + _STALE_SECONDS)
        for kind, count in Counter(event.type for event in events).items():
            self._metrics.events.labels(kind, "visits").inc(count)

    async def _judge(self, unit: VisitsUnit, pairs: set[Pair], runs_to: int = 0, begun: Sequence[Begun] = ()) -> list[Outgoing]:
        """See how the visits of these pairs stand now, and those that have `begun` where that is not written already; what is told of it."""
        reports = await unit.read_reports(pairs | {one.pair for one in begun})
        over = {one.pair for one in begun if one.ends_at + self._limits.report_us <= max(self.lanes.micros(one.pair[0]), runs_to)}
        visits = await unit.read_visits(pairs | over | reports.keys())
        changed: list[Visit] = []
        ended: list[tuple[Visit, End]] = []
        for visit in visits:
            now = max(self.lanes.micros(visit.area), runs_to)
            try:
                after, end = judged(visit, reports.get((visit.area, visit.wish_id, visit.offer_id), ()), now, self._limits)
            except Exception as error:  # noqa: BLE001 - what was said is kept, and judged again once somebody has mended this
                self._log.error("visit_undecided", match_id=visit.match_id, area=visit.area, exc_info=error)
                self._metrics.faults.labels("judge").inc()
                changed.append(replace(visit, due_at=now + _POSTPONED_US))
                continue
            if after != visit:
                changed.append(after)
            if end is not None:
                ended.append((after, end))
                self._metrics.closed.labels(end.outcome, end.by).inc()
                self._log.info("visit", match_id=visit.match_id, area=visit.area, outcome=end.outcome, by=end.by, minutes=end.minutes, number=after.number)
        booked = await unit.read_booked([visit.match_id for visit, _ in ended if visit.number > 1])
        # A match closes once. What is said later corrects the books, and opens no wish that was helped by all that was known then.
        records = [closed_event(visit, end, self._decided_at(visit.area, end)) for visit, end in ended if visit.number == 1]
        await unit.write_visits(changed)
        await unit.book([booking(visit, end, booked.get(visit.match_id), self._tariff) for visit, end in ended])
        await unit.write_outbox(records)
        return records

    # --- time

    def _decided_at(self, area: str, end: End) -> int:
        """The clock by which an end is told of; by event time it has run on to a limit of which the area has heard nothing."""
        clock = self.lanes.micros(area)
        return max(clock, end.at) if self._by_event else clock

    async def _watch(self) -> None:
        """Count what somebody should look at. By event time nobody looks."""
        if self._by_event or time.monotonic() - self._watched < _WATCH_SECONDS:
            return
        self._watched = time.monotonic()
        for state, count in (await self._store.count_watched(time.time_ns() // 1000)).items():
            self._metrics.visits.labels(state).set(count)

    async def _tick(self) -> None:
        """Close what nobody speaks about any more."""
        epochs = self.lanes.epochs_of(self.current())
        pause = 0.0 if self._by_event else _TICK_SECONDS
        if not epochs or time.monotonic() - self._ticked < pause:
            return
        now = await self._store.clock_runs_to() if self._by_event else time.time_ns() // 1000
        if self._by_event and all(self._ticked_to[partition] >= now for partition in epochs):
            return
        async with self._store.unit() as connection, self._transaction(connection):
            unit = self._store.work(connection)
            ours = await unit.fence(epochs)
            due = await unit.find_due(ours, now, _DUE_MAX, by_event=self._by_event)
            records = await self._judge(unit, set(due), now)
            if self._by_event and len(due) < _DUE_MAX:
                await unit.ticked(ours, now)
        self.publisher.hand_over(records)
        if len(due) < _DUE_MAX:
            self._ticked = time.monotonic()
            self._ticked_to |= dict.fromkeys(ours, now)
