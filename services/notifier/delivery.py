"""From committed notices to people: hands send, a recorder writes what became of each attempt, a poller fetches what is due again.

`inbox` hands over new notices right after its commit, leased to this process already; so the usual way costs no look into the table. What fails
is written down as retryable and comes back through the poller, as does what another process left behind. A result counts only
while the partition is ours.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog

from services.notifier.book import FLEETING, PARTIES, Book, Delivered, Match, Notice
from services.notifier.channels import Channel
from services.notifier.exchange import BUSY_SECONDS, BUSY_SECONDS_MAX, QUEUE_PER_HAND, QUEUE_SECONDS, Exchange, Passage
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outbox import Publisher, closing_of, outgoing_of
from services.notifier.outgoing import Outgoing
from services.notifier.queue import Queue
from services.notifier.routes import goes_first
from services.notifier.settings import Settings
from services.notifier.store import Store, Unit
from services.notifier.usual_store import confirmed_at_once, set_apart
from services.runtime import Pulse, Stop, info_lines, within

# Looking people up and choosing their channels, where that is done at all: so many at once in one look, and one look while another is under way.
_ROUTERS: Final = 2
_ROUTE_MAX: Final = 500
_RECORD_MAX: Final = 2000
_TURN_MAX: Final = 100
# The times of attempts that take less are counted together.
_LONG_SECONDS: Final = 0.001
_IDLE_SECONDS: Final = 1.0
# So long events wait for the next notice to be sent or recorded, and for all of them, at most: a channel that hangs must not hold up what is not for it.
_ROOM_SECONDS: Final = 0.25
_ROOM_SECONDS_MAX: Final = 1.0
_RECORDED_SECONDS: Final = 0.2
# The pause between looks whether partitions are ours again, after a fault of the infrastructure.
_DOUBTED_SECONDS: Final = 0.1
# So long others let notices go first, at most: under a load that never ends they still take a batch at a time.
_FIRST_SECONDS: Final = 2.0
# Beyond the channel's own time limit: the wait for a free hand and for the record of the result.
_LEASE_MARGIN_SECONDS: Final = 25.0


class Delivery:
    """The notices in hand, and the loops that move them."""

    def __init__(self, settings: Settings, store: Store, lanes: Lanes, exchange: Exchange, publisher: Publisher, metrics: Metrics) -> None:
        self.pulse = Pulse()
        self.lease_seconds = exchange.timeout_seconds + _LEASE_MARGIN_SECONDS
        self._settings = settings
        self._store = store
        self._lanes = lanes
        self._exchange = exchange
        self._routed: dict[str, Queue[Passage]] = {name: Queue() for name in exchange.channels}
        self._called = {name: asyncio.Event() for name in exchange.channels}
        # Since when a channel's queue has been full; until it is half empty.
        self._full: dict[str, float] = {}
        self._publisher = publisher
        self._metrics = metrics
        for name in exchange.channels:
            metrics.channel_down.labels(name).set_function(partial(exchange.outages.is_down, name))
        self._in_hand: dict[UUID, float] = {}
        self._waiting: Queue[Notice] = Queue()
        self._cancelled: set[UUID] = set()
        # Matches as their rows were written, with the epoch of their partition then: `_record` need not read back what nobody has changed since.
        self._written: dict[str, tuple[Match, int]] = {}
        self._results: list[Delivered] = []
        # What is recorded as due again is still in hand until `_let_go`: leased in between it would be passed over, and wait until that lease ends.
        self._leasing = asyncio.Lock()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._level = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._log: Any = structlog.get_logger().bind()

    # --- what `inbox` calls

    def lease(self, notices: Iterable[Notice]) -> list[Notice]:
        """Lease new notices to this process before they are written, while it has room; those that it leased."""
        room = self._settings.in_hand_max - len(self._in_hand)
        leased: list[Notice] = []
        for notice in notices:
            if len(leased) >= room:
                break
            if notice.state == "pending":
                notice.state = "leased"
                leased.append(notice)
        return leased

    async def recorded(self) -> None:
        """Until what was handed over is sent and recorded, for a moment at most.

        One transaction at a time has a partition's row. What somebody has heard is confirmed first: an event that came meanwhile would otherwise be taken in
        before it, and each would wait for two transactions more than its own two.
        """
        if self._waiting or self._results:
            self._level.clear()
            await within(_RECORDED_SECONDS, self._level)

    async def room(self, notices: int) -> int:
        """How many can be leased now, once so many can, for which we wait a moment: what is written without a lease costs a second look and a second write."""
        wanted = min(notices, self._settings.in_hand_max // 2)
        until = time.monotonic() + _ROOM_SECONDS_MAX
        while (room := self._settings.in_hand_max - len(self._in_hand)) < wanted and time.monotonic() < until:
            self._room.clear()
            await within(_ROOM_SECONDS, self._room)
            if not self._room.is_set():
                break
        return room

    def hand_over(self, notices: Iterable[Notice]) -> None:
        """Deliver these; they are committed as leased."""
        now = time.monotonic()
        for notice in notices:
            if notice.key not in self._in_hand:
                self._in_hand[notice.key] = now
                self._waiting.append(notice, first=goes_first(notice.kind, notice.urgency))
        if self._waiting:
            self._empty.clear()
            self._work.set()

    def keep(self, matches: Iterable[Match], epochs: Mapping[int, int]) -> None:
        """These were committed like this under these epochs, all their confirmations leased to us: until `forget`, only what becomes of these changes them.

        One of a group is not kept, as what becomes of it hangs on the others.
        """
        for match in matches:
            told = [match.notices.get((party, "confirmed")) for party in PARTIES]
            ours = match.partition in epochs and match.group_id is None and match.state == "telling"
            if ours and all(one is not None and one.key in self._in_hand for one in told):
                self._written[match.match_id] = (match, epochs[match.partition])

    def forget(self, match_ids: Iterable[str]) -> None:
        """Somebody is about to change these, behind the fence: what is known of them is read again."""
        for match_id in match_ids:
            self._written.pop(match_id, None)

    def cancel(self, matches: Iterable[Match]) -> None:
        """What these matches' notices say is no longer true: do not send what nobody has begun to send."""
        for match in matches:
            if match.state in {"released", "discarded", "failed"}:
                for place, notice in match.notices.items():
                    if place in FLEETING and notice.key in self._in_hand:
                        self._cancelled.add(notice.key)

    def look(self) -> None:
        """Something may be due now."""
        self._due.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in hand."""
        return not self._in_hand

    async def goes_first(self) -> None:
        """Until nothing is in hand, but not for long: for readers for whose work nobody waits."""
        if self._in_hand:
            await within(_FIRST_SECONDS, self._empty)

    async def drained(self) -> None:
        """Until nothing is in hand."""
        await self._empty.wait()

    def wake(self) -> None:
        """Let every loop look again whether it is to stop."""
        for event in (self._work, self._news, self._due, *self._called.values()):
            event.set()

    # --- sending

    async def send(self, stop: Stop) -> None:
        """All hands: as many attempts at once as each channel takes."""
        only = self._exchange.only
        async with asyncio.TaskGroup() as group:
            if only is not None:
                for _ in range(only.concurrency):
                    group.create_task(self._hand(stop, only), name="hand")
                return
            for _ in range(_ROUTERS):
                group.create_task(self._router(stop), name="router")
            for channel in self._exchange.channels.values():
                for _ in range(channel.concurrency):
                    group.create_task(self._routed_hand(stop, channel), name="hand")

    async def _hand(self, stop: Stop, only: Channel) -> None:
        done = 0
        took: list[float] = []
        observe = self._metrics.delivery_seconds.labels(only.name).observe_all
        while not stop:
            if not self._waiting or self._lanes.in_doubt:
                observe(took)
                took.clear()
                self._work.clear()
                await within(_IDLE_SECONDS, self._work)
                continue
            notice = self._waiting.popleft()
            self._done(await self._attempt(notice, only, took))
            done += 1
            if len(took) >= _TURN_MAX or (took and took[-1] > _LONG_SECONDS):
                observe(took)
                took.clear()
            if done % _TURN_MAX == 0:  # a channel that never waits must not keep the loop
                await asyncio.sleep(0)

    def _dropped(self, notice: Notice) -> bool:
        """Whether it must not be sent: it is no longer true, or no longer ours."""
        return notice.key in self._cancelled or notice.partition not in self._lanes

    async def _attempt(self, notice: Notice, only: Channel, took: list[float]) -> Delivered:
        if self._dropped(notice):
            return Delivered(notice, "discarded", "", only.name)
        begun = time.perf_counter()
        result = await self._exchange.attempt_only(only, notice, self._lanes.now)
        took.append(time.perf_counter() - begun)
        return result

    async def _router(self, stop: Stop) -> None:
        """Find the channels of all notices that wait, and put them into those channels' queues."""
        while not stop:
            if not self._waiting or self._lanes.in_doubt:
                self._work.clear()
                await within(_IDLE_SECONDS, self._work)
                continue
            notices: list[Notice] = []
            while self._waiting and len(notices) < _ROUTE_MAX:
                notice = self._waiting.popleft()
                if self._dropped(notice):
                    self._done(Delivered(notice, "discarded", "", notice.channel or ""))
                else:
                    notices.append(notice)
            if not notices:
                continue
            routed = await self._exchange.route(notices, self._lanes.now)
            # Of a match of which one side cannot be told the other hears nothing: it would be called off in the same breath.
            in_vain = {one.notice.match_id for one in routed if isinstance(one, Delivered) and one.fate == "dead" and one.notice.kind == "confirmed"}
            for found in routed:
                if isinstance(found, Delivered):
                    self._done(found)
                elif found.original.kind == "confirmed" and found.original.match_id in in_vain:
                    self._done(Delivered(found.original, "discarded", "", found.use.channel, day=found.day))
                else:
                    await self._queue(found)

    async def _queue(self, passage: Passage) -> None:
        """Into its channel's queue. Where that is full its hands have a turn first: those of a channel that never waits empty it then.

        What waits for the end of one night at one moment must not keep out what is of a red wish: that finds room behind its like alone.
        """
        name, first = passage.use.channel, goes_first(passage.original.kind, passage.original.urgency)
        queue, most = self._routed[name], max(_ROUTE_MAX, QUEUE_PER_HAND * self._exchange.channels[name].concurrency)
        if queue.before(first=first) >= most:
            await asyncio.sleep(0)
        if queue.before(first=first) >= most:
            self._full.setdefault(name, time.monotonic())
            self._done(self._busy(passage))
            return
        if len(queue) < most // 2:
            self._full.pop(name, None)
        queue.append(passage, first=first)
        self._called[name].set()

    def _busy(self, passage: Passage) -> Delivered:
        """Not tried: the channel has too much to do."""
        now, name, notice = time.monotonic(), passage.use.channel, passage.original
        longer = 0.0 if goes_first(notice.kind, notice.urgency) else now - self._full.get(name, now)
        return Delivered(notice, "retryable", "", name, "busy", min(max(longer, BUSY_SECONDS), BUSY_SECONDS_MAX), passage.day)

    async def _routed_hand(self, stop: Stop, channel: Channel) -> None:
        """Attempts through one channel: one that hangs keeps nobody's hands but its own."""
        queue, called, done = self._routed[channel.name], self._called[channel.name], 0
        observe = self._metrics.delivery_seconds.labels(channel.name).observe
        while not stop:
            if not queue or self._lanes.in_doubt:
                called.clear()
                await within(_IDLE_SECONDS, called)
                continue
            passage = queue.popleft()
            if self._dropped(passage.original):
                self._done(Delivered(passage.original, "discarded", "", channel.name, day=passage.day))
                continue
            if time.monotonic() - passage.at > QUEUE_SECONDS or self._exchange.is_overtaken(passage):
                self._done(self._busy(passage))
                continue
            begun = time.perf_counter()
            result = await self._exchange.attempt(passage, self._lanes.now)
            observe(time.perf_counter() - begun)
            self._done(result)
            done += 1
            if done % _TURN_MAX == 0:
                await asyncio.sleep(0)

    def _done(self, result: Delivered) -> None:
        self._results.append(self._exchange.in_time(result))
        self._news.set()
        if result.fault != "busy":  # those come back at once: a channel that hangs makes no room
            self._room.set()

    # --- recording

    async def record(self, stop: Stop) -> None:
        """Write what became of attempts, and what follows from it."""
        failures, unclear, most = 0, False, _RECORD_MAX
        while not stop:
            self.pulse.beat()
            if not self._results:
                self._news.clear()
                if not self._in_hand:
                    self._empty.set()
                if not self._waiting:
                    self._level.set()
                await within(_IDLE_SECONDS, self._news)
                continue
            await self._gather()
            doubted = self._lanes.doubted
            results = [result for result in self._results if result.notice.partition not in doubted][:most]
            if not results:  # forgotten, they would be sent once more
                await stop.pause(_DOUBTED_SECONDS)
                continue
            try:
                async with self._leasing:
                    await self._record(results, again=unclear)
                    written = set(map(id, results))
                    self._results = [result for result in self._results if id(result) not in written]
                    self._exchange.recorded(results)
                    self._let_go(results)
            except PASSING as error:
                failures, unclear = failures + 1, True
                self._metrics.faults.labels("record").inc()
                self._log.warning("record_failed", fault=type(error).__name__, failures=failures)
                await stop.pause(retry_seconds(failures))
                continue
            except Exception as error:  # noqa: BLE001 - one result that cannot be written must not keep all others from it; it was taken back whole
                self._metrics.faults.labels("record").inc()
                if len(results) > 1:
                    most = len(results) // 2
                else:
                    # Its lease ends, and it is looked at again.
                    self._log.error("result_refused", fault=type(error).__name__, channel=results[0].channel, kind=results[0].notice.kind)
                    self._results.remove(results[0])
                    self._exchange.recorded(results)
                    self._let_go(results)
                continue
            failures, unclear, most = 0, False, min(2 * most, _RECORD_MAX)
            self.pulse.commit()

    async def _gather(self) -> None:
        """Let a channel that never waits go on for a few turns, so that a batch that came together is recorded together."""
        for _ in range(_RECORD_MAX // _TURN_MAX):
            if not (self._waiting if self._exchange.only is not None else any(self._routed.values())):
                return
            await asyncio.sleep(0)

    def _let_go(self, results: Sequence[Delivered]) -> None:
        """They are recorded: no longer in hand, and counted."""
        now = time.monotonic()
        took = []
        for result in results:
            begun = self._in_hand.pop(result.notice.key, None)
            self._cancelled.discard(result.notice.key)
            self._written.pop(result.notice.match_id or "", None)
            if begun is not None and result.fate == "sent":
                took.append(now - begun)
        self._metrics.confirm_seconds.observe_all(took)
        counts = Counter((result.channel, result.notice.kind, result.fate) for result in results)
        for labels, count in counts.items():
            self._metrics.notices.labels(*labels).inc(count)
        self._metrics.in_hand.set(len(self._in_hand))
        if any(result.fault != "busy" for result in results):
            self._room.set()
        if any(fate == "retryable" for _, _, fate in counts):
            self._due.set()

    async def _record(self, results: Sequence[Delivered], *, again: bool) -> None:
        epochs = self._lanes.epochs_of(result.notice.partition for result in results)
        if not epochs:
            return
        async with self._store.unit() as unit:
            ours = await unit.fence(epochs)
            counted = [result for result in results if result.notice.partition in ours]
            match_ids = {result.notice.match_id for result in counted if result.notice.match_id is not None}
            book = Book(await self._matches(unit, match_ids, epochs), self._settings.language, is_over=self._exchange.is_over)
            ends = book.settle(counted)
            records = [outgoing_of(end, self._lanes.now(end.match.area)) for end in ends]
            closings = [closing_of(match, self._lanes.now(match.area)) for match in book.let_go(ends)]
            leased = self.lease(book.new_notices.values())
            usual = confirmed_at_once(ends, book.changed_notices, {one.notice.key for one in counted if one.day is not None})
            rest, done = set_apart(usual, book.changed)
            changed = await unit.change_notices(notice for key, notice in book.changed_notices.items() if key not in done)
            await unit.receipts.write_handles([(one.channel, one.reference, one.notice.key) for one in counted if one.reference is not None])
            await unit.count_told(_told(counted, book, changed))
            await unit.change_matches(rest)
            await unit.end_matches(rest, book.called_off, time.time_ns() // 1000)
            await unit.write_notices(book.new_notices.values(), self.lease_seconds)
            told = [record for end, record in zip(ends, records, strict=True) if end.match.match_id in usual]
            await unit.confirm_both(list(usual.values()), told)
            if len(told) < len(records):
                await unit.write_outbox([*(record for end, record in zip(ends, records, strict=True) if end.match.match_id not in usual), *closings])
        # An attempt that seemed to fail may have been committed: what it wrote to the outbox was not handed over.
        self.announce(await self._unpublished(ours) if again else [*records, *closings], leased, book)

    async def _matches(self, unit: Unit, match_ids: Collection[str], epochs: Mapping[int, int]) -> list[Match]:
        """These as they stand behind the fence. Each is taken from memory once: should the commit fail, or another of its notices come, it is read."""
        known = [found for match_id in match_ids if (found := self._written.pop(match_id, None)) is not None]
        matches = [match for match, epoch in known if epochs.get(match.partition) == epoch]
        to_read = set(match_ids) - {match.match_id for match in matches}
        return matches + await unit.read_matches(to_read) if to_read else matches

    def announce(self, records: Sequence[Outgoing], leased: Sequence[Notice], book: Book) -> None:
        """After the commit: hand over, take back, count."""
        self._publisher.hand_over(records)
        self.hand_over(leased)
        self.cancel(book.changed.values())
        ended = [match for match in book.changed.values() if match.state in {"confirmed", "failed", "released"}]
        info_lines("match", {}, ({"match_id": match.match_id, "outcome": match.state} for match in ended))
        for state, count in Counter("confirmed" if match.state == "confirmed" else "failed" for match in ended).items():
            self._metrics.ends.labels(state).inc(count)

    async def publish_again(self) -> None:
        """Hand over all that waits in the outbox: for whoever does not know whether a transaction was committed. What is there twice has one id."""
        self._publisher.hand_over(await self._unpublished(self._lanes.owned))

    async def _unpublished(self, partitions: Iterable[int]) -> list[Outgoing]:
        return [one for partition in list(partitions) for one in await self._store.read_unpublished(partition)]

    # --- what is due again

    async def poll(self, stop: Stop) -> None:
        """Lease what is due: retries, and what other processes or a full hand left."""
        failures = 0
        pause = self._settings.poll_seconds
        while not stop:
            self.pulse.beat()
            await within(pause, self._due)
            self._due.clear()
            epochs = self._lanes.owned
            room = self._settings.in_hand_max - len(self._in_hand)
            if not epochs or room <= 0:
                pause = self._settings.poll_seconds
                continue
            try:
                async with self._leasing:
                    leased = await self._store.lease_due(epochs, room, self.lease_seconds)
                    self.hand_over(leased)
                due = await self._store.next_due_seconds(epochs)
                failures = 0
            except PASSING as error:
                failures += 1
                self._metrics.faults.labels("poll").inc()
                self._log.warning("poll_failed", fault=type(error).__name__, failures=failures)
                pause = retry_seconds(failures)
                continue
            pause = self._settings.poll_seconds if due is None else min(max(due, 0.01), self._settings.poll_seconds)


def _told(results: Sequence[Delivered], book: Book, now_changed: Collection[UUID]) -> Counter[tuple[str, date]]:
    """What counts against people's number of notices a day, of what this record brings to its end: a record that was committed already brings nothing."""
    told: Counter[tuple[str, date]] = Counter()
    for result in results:
        changed = book.changed_notices.get(result.notice.key)
        if result.day is not None and changed is not None and changed.state == "sent" and changed.key in now_changed:
            told[result.notice.ref, result.day] += 1
    return told
