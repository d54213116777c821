"""One batch at a time: ask what is stored, decide, store, commit; then, and only then, hand over to the publisher.

Everything that a batch changes is one PostgreSQL transaction, which locks the lanes and looks whether they are still ours. If
anything goes wrong before the commit is known, the areas that were touched are thrown away and loaded again. Faults are of four kinds:

- the database is away, or a transaction lost a race: retry in place, the partitions wait;
- the lane was taken over by another worker: forget it;
- one event cannot be decided: it goes to the dead letters, the rest goes on;
- the database refused a decision (a broken promise): :class:`BrokenInvariant` leaves this module and ends the worker.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Final

import asyncpg
import structlog

from schemas.base import Incoming
from schemas.errors import DECISION_FAILED, InvalidEvent
from services.matcher import intake, lanes, store
from services.matcher.batch import Batch, Draft, Undecidable, Work
from services.matcher.core.state import Area
from services.matcher.gaps import FillGap, next_piece
from services.matcher.intake import Item
from services.matcher.lanes import LANES, Lane
from services.matcher.metrics import Metrics
from services.matcher.outbox import Parcel, Publisher, unpublished
from services.matcher.policies import Policies
from services.matcher.store import BrokenInvariant, Loader
from services.rewound import Judge
from services.runtime import Pulse, Stop, info_lines
from services.sessions import NO_ANSWER, PASSING

_BACKOFF_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_FENCED_PAUSE_SECONDS: Final = 1.0
# Each batch marks it too; this is for the last one. By event time somebody waits for just that, between any two minutes.
_PUBLISHED_FLUSH_SECONDS: Final = 0.25
_PUBLISHED_FLUSH_SECONDS_PLAYED: Final = 0.02
# Below so many items one transaction is cheaper than two.
_SPLIT_MIN: Final = 400
_PIECE_MAX: Final = 500
# By event time a lane's minute is decided in the order in which it was said, and so stored as one; above so many items it would keep the loop too long.
_MINUTE_MAX: Final = 5000
BATCH_MAX: Final = 3000
"""About so many records are decided at once."""
_STUCK_CALLS: Final = 5
_ROOM_SECONDS: Final = 0.5
# So long a statement may take; each time that one takes longer, what is tried again has the next of these. The last is for reading a lane with hundreds of
# thousands of offers, the first for a way to the server that has ended without a word: nothing else tells of it.
STATEMENT_SECONDS: Final = (15.0, 30.0, 60.0, 120.0)
_CLOSE_SECONDS: Final = 2.0
# The connection is gone or the server is not ready; the transaction did not happen, or we cannot know whether it did.
AWAY: Final[tuple[type[BaseException], ...]] = (OSError, *PASSING)


class Fenced(Exception):
    """Some lanes have another owner now."""

    def __init__(self, taken: list[Lane]) -> None:
        super().__init__([lane.number for lane in taken])
        self.taken = taken


_AGAIN: Final[tuple[type[BaseException], ...]] = (*AWAY, asyncpg.UniqueViolationError)
_NO_ITEMS_OWN: Final[tuple[type[BaseException], ...]] = (*_AGAIN, Fenced, BrokenInvariant)


class Rewound(Exception):
    """The log of a topic ends before what was read of it. Whoever begins anew goes on where it does; Faust would pass over all that is there again."""


class Matcher:
    """All lanes of one worker. Public methods may be called at any time; one of them works at a time.

    `connect` gives a connection on which a statement may take so many seconds.
    """

    def __init__(
        self,
        connect: Callable[[float], Awaitable[asyncpg.Connection]],
        publisher: Publisher,
        metrics: Metrics,
        stop: Stop,
        *,
        owner: str,
        event_time: bool,
        policies: Policies | None = None,
    ) -> None:
        self._connect = connect
        self._publisher = publisher
        self._metrics = metrics
        self._stop = stop
        self._owner = owner
        self._event_time = event_time
        self._policies = policies or Policies()
        self._lock = asyncio.Lock()
        self._connections: dict[int, asyncpg.Connection] = {}
        self._overran = 0
        self._unanswered_since: float | None = None
        self.lanes: dict[int, Lane] = {}
        self.assigned: frozenset[int] = frozenset()
        self._revoked: frozenset[int] = frozenset()
        # Lanes of which nobody has looked yet whether Kafka still has the logs that were read.
        self._unseen: frozenset[int] = frozenset()
        self._short: frozenset[int] = frozenset()
        # Lane -> up to where it is on Kafka and not marked so in the database, as that was when it began.
        self._unmarked: dict[int, int] = {}
        self._behind: dict[tuple[str, int], tuple[int, int]] = {}
        self._taken = self._seen = 0
        self._flush = asyncio.Event()
        self._moved = asyncio.Event()
        self.fill_gap: FillGap | None = None
        self.go_on: Callable[[int, Mapping[str, int], Judge], Awaitable[dict[str, int]]] | None = None
        self.pulse = Pulse()
        self.log = structlog.get_logger().bind()

    # ---- assignment

    def assign(self, numbers: frozenset[int]) -> None:
        """These lanes are ours from now on. :meth:`keep_lanes` loads them: until this call returns, the group hears no heartbeat of ours."""
        self.assigned = numbers
        self._unseen |= numbers - self.lanes.keys()
        self._revoked -= numbers
        self._moved.set()

    async def keep_lanes(self, stop: Stop) -> None:
        """Load what was assigned, one lane after another, so that its deadlines are kept and events get their turn in between."""
        while not stop:
            await self._moved.wait()
            self._moved.clear()
            for number in LANES:
                async with self._lock:
                    if number in self.assigned:
                        await self._patiently(partial(self._take_missing, frozenset((number,))))
                    else:
                        self.lanes.pop(number, None)
                    self.pulse.beat()

    async def revoke(self, numbers: frozenset[int]) -> None:
        """These lanes are ours no longer; a transaction that is under way ends first, and what is left of its batch is for whoever has them now."""
        # Before the lock: a batch that has lost a lane would take it back again and again from its new owner, and would never end.
        self.assigned -= numbers
        self._revoked |= numbers
        async with self._lock:
            for number in numbers:
                self.lanes.pop(number, None)

    async def _take_missing(self, numbers: frozenset[int], side: int = 0) -> None:
        connection = await self._ready_connection(side)
        for number in sorted(numbers - self.lanes.keys()):
            lane = await lanes.take(connection, number, self._owner, self._policies)
            if number in self._unseen and self.go_on is not None:
                cursors = await self.go_on(number, lane.cursors, lanes.judge_of(connection, number))
                if cursors != lane.cursors:
                    await lanes.go_back(connection, lane, cursors)
                self._unseen -= {number}
            waiting = await unpublished(connection, number, lane.published)
            self._publisher.put(Parcel(number, lane.epoch, lane.seq, waiting))
            self.lanes[number] = lane
            self.log.info("lane_taken", lane=number, epoch=lane.epoch, areas=len(lane.areas), unpublished=len(waiting))

    # ---- taking in

    async def take_in(self, runs: Sequence[Sequence[Item]]) -> frozenset[int]:
        """Items of any lanes, each run from one partition in order of offsets: decided and stored when this returns.

        Returns the lanes that were revoked meanwhile: not all of their items are taken in.
        """
        left: set[int] = set()
        for part in [list(runs)] if self._event_time else _cut(runs):  # by event time all that came together is put in order together
            await self._publisher.room()
            await self._take_in_at_once(part, left)
        return frozenset(left)

    def cursor(self, topic: str, number: int) -> int:
        """Up to where a topic's records are taken in, as far as we know: 0 for a lane that is not loaded."""
        lane = self.lanes.get(number)
        return lane.cursors[topic] if lane is not None else 0

    async def _take_in_at_once(self, runs: Sequence[Sequence[Item]], left: set[int]) -> None:
        async with self._lock:
            by_lane: dict[int, list[Sequence[Item]]] = {}
            for run in runs:
                by_lane.setdefault(run[0].record.partition, []).append(run)
            items = {number: self._in_order(intake.by_topic(lane_runs)) for number, lane_runs in by_lane.items()}
            await self._side_by_side(items, left)
            self._taken += 1
            self.pulse.commit()

    def _is_one(self, count: int) -> bool:
        """Whether so many items of a lane that came together are stored as one."""
        return self._event_time and count <= _MINUTE_MAX

    def _in_order(self, runs: list[list[Item]]) -> list[Item]:
        return intake.by_time(runs) if self._is_one(sum(map(len, runs))) else intake.in_order(runs)

    async def _side_by_side(self, items: dict[int, list[Item]], left: set[int]) -> None:
        """A large batch as two transactions over different lanes: while the database works for one, the other is decided."""
        parts: tuple[dict[int, list[Item]], dict[int, list[Item]]] = ({}, {})
        sizes = [0, 0]
        together = sum(map(len, items.values())) < _SPLIT_MIN
        for number in sorted(items, key=lambda number: len(items[number]), reverse=True):
            side = 0 if together or sizes[0] <= sizes[1] else 1
            parts[side][number] = items[number]
            sizes[side] += len(items[number])
        results = await asyncio.gather(*(self._piece_by_piece(part, side, left) for side, part in enumerate(parts) if part), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _piece_by_piece(self, part: dict[int, list[Item]], side: int, left: set[int]) -> None:
        """What one side has to do: small pieces, so that neither side waits long for the other's processor or database."""
        pieces = [part]
        if sum(map(len, part.values())) > _PIECE_MAX:
            sizes = {number: len(items) if self._is_one(len(items)) else _PIECE_MAX for number, items in part.items()}
            pieces = [{number: items[at : at + sizes[number]]} for number, items in part.items() for at in range(0, len(items), sizes[number])]
        for piece in pieces:
            await self._patiently(partial(self._take_in, piece, side, left), side, frozenset(piece))

    async def catch_up(self, ends: Callable[[str, int], int | None]) -> None:
        """Read what Kafka has and Faust did not bring; `ends(topic, lane)` is the end of the log where it is known.

        Only where a cursor has stood still while nothing at all was taken in since the last call, or for many calls: then whatever lies behind it
        was skipped by someone. A lane that merely waits for its turn is left alone.

        Raises:
            Rewound: Kafka has less than was read.
        """
        await self._look_for_ends(ends)
        async with self._lock:
            behind: dict[tuple[str, int], tuple[int, int]] = {}
            for number, lane in self.lanes.items():
                for topic, cursor in lane.cursors.items():
                    end = ends(topic, number)
                    if end is not None and end > cursor:
                        behind[topic, number] = (cursor, end)
            seen = {place: calls for place, (cursor, calls) in self._behind.items() if behind.get(place, (None,))[0] == cursor}
            idle, self._seen = self._taken == self._seen, self._taken
            self._behind = {place: (cursor, seen.get(place, 0) + 1) for place, (cursor, _) in behind.items()}
            stuck = {place: span for place, span in behind.items() if self._behind[place][1] > (1 if idle else _STUCK_CALLS)}
        for number in sorted({number for _, number in stuck}):
            spans = {topic: span for (topic, lane), span in behind.items() if lane == number}
            self.log.warning("catching_up", lane=number, topics=sorted(spans), records=sum(end - cursor for cursor, end in spans.values()))
            await self._read_up_to({topic: end for topic, (_, end) in spans.items()}, number)

    async def _read_up_to(self, ends: Mapping[str, int], number: int) -> None:
        """All of a lane's topics together, piece by piece, for what was said first is decided first."""
        while self.fill_gap is not None and (lane := self.lanes.get(number)) is not None:
            if await self._read_piece(self.fill_gap, ends, lane):
                break

    async def _read_piece(self, fill_gap: FillGap, ends: Mapping[str, int], lane: Lane) -> bool:
        """The next piece, of which nothing is left here when another is read; whether it was the last."""
        spans = {topic: (lane.cursors[topic], end) for topic, end in ends.items() if lane.cursors[topic] < end}
        piece = await next_piece(fill_gap, lane.number, spans)
        if piece.runs:
            # Where a stretch begins with none (marks of transactions, or what is kept no longer), that is not to be taken for something that was skipped.
            await self._go_past({run[0].record.topic: (spans[run[0].record.topic][0], run[0].record.offset) for run in piece.runs}, lane.number)
            await self._publisher.room()
            await self._take_in_at_once(piece.runs, set())
        await self._go_past({topic: (spans[topic][0], ends[topic]) for topic in piece.empty}, lane.number)
        return piece.whole

    async def _go_past(self, spans: Mapping[str, tuple[int, int]], number: int) -> None:
        """These stretches of a lane's topics hold no record: nothing but marks of transactions, and what was taken back."""
        async with self._lock:
            lane = self.lanes.get(number)
            for topic, (start, end) in spans.items():
                if lane is not None and lane.cursors[topic] == start:
                    lane.cursors[topic] = end

    async def _look_for_ends(self, ends: Callable[[str, int], int | None]) -> None:
        short = frozenset(
            number
            for number, lane in self.lanes.items()
            if any((end := ends(topic, number)) is not None and end < cursor for topic, cursor in lane.cursors.items())
        )
        # What was read as a gap may lie farther than the consumer has heard of: so only what is so the next time as well is looked at.
        suspected, self._short = short & self._short, short
        if self.go_on is None:
            return
        for number in suspected & self.lanes.keys():
            async with self._lock:
                connection, lane = await self._ready_connection(), self.lanes.get(number)
                if lane is not None and await self.go_on(number, lane.cursors, lanes.judge_of(connection, number)) != lane.cursors:
                    raise Rewound(number)

    async def _take_in(self, items: dict[int, list[Item]], side: int, left: set[int]) -> None:
        # Asked anew with each attempt: a lane may go while its batch waits for the database, or for a lane that it has lost.
        left |= items.keys() & self._revoked
        items = {number: found for number, found in items.items() if number not in self._revoked}
        if not items:
            return
        await self._take_missing(frozenset(items), side)
        work: list[Work] = []
        for number, found in items.items():
            lane = self.lanes[number]
            if not await self._fill(lane, found, side):
                left.add(number)
                continue
            work.append(Work(lane, [item for item in found if item.record.offset >= lane.cursors[item.record.topic]]))
        if work:
            await self._decide(work, side)

    async def _fill(self, lane: Lane, items: list[Item], side: int) -> bool:
        """Where something was skipped before the records at hand, decide what lies there, and these with it. False where that was broken off.

        And what is there of the lane's other topics: where the database is of an earlier day, all of them are behind, and a confirmation
        that is read before its wish has no effect, now and when it comes again. Piece by piece, each stored before the next is read; of other topics, nothing
        that came after what is at hand: what it is about may be still to come.
        """
        first: dict[str, int] = {}
        for item in items:
            first[item.record.topic] = min(item.record.offset, first.get(item.record.topic, item.record.offset))
        if all(offset <= lane.cursors[topic] for topic, offset in first.items()):
            return True
        ends = {topic: max(item.next_offset for item in items if item.record.topic == topic) for topic in first}
        latest = max(item.record.timestamp for item in items)
        whole = False
        while not whole and self.fill_gap is not None:
            whole = await self._fill_piece(self.fill_gap, lane, ends, latest, side)
            if self._stop or lane.number in self._revoked:
                return False
            await self._room_for(lane.number)
        return True

    async def _fill_piece(self, fill_gap: FillGap, lane: Lane, ends: Mapping[str, int], latest: int, side: int) -> bool:
        """As :meth:`_read_piece`, up to the records at hand and with them, with the lock held."""
        spans = {topic: (cursor, ends.get(topic)) for topic, cursor in lane.cursors.items() if cursor < ends.get(topic, math.inf)}
        piece = await next_piece(fill_gap, lane.number, spans, latest)
        found = piece.in_order()
        self.log.warning("gap_read", lane=lane.number, records=len(found), topics=sorted(spans), more=not piece.whole)
        for at in range(0, len(found), _PIECE_MAX):
            await self._decide([Work(lane, found[at : at + _PIECE_MAX])], side)
            self.pulse.commit()
            if self._stop or lane.number in self._revoked:
                break
        return piece.whole

    async def _room_for(self, number: int) -> None:
        """Wait while the publisher has too much; but whoever takes the lane, or stops us, waits for the lock that we hold."""
        with self.pulse.beating():
            while not self._stop and number not in self._revoked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ROOM_SECONDS):
                        await self._publisher.room()
                        break

    async def _decide(self, work: list[Work], side: int = 0) -> None:
        """Decide and store; an item that cannot be decided is found and set aside."""
        try:
            await self._transact(work, side)
        except Undecidable as found:
            found.item.fault = InvalidEvent(DECISION_FAILED)
            found.item.event = None
            await self._decide(work, side)
        except _NO_ITEMS_OWN:
            raise
        except Exception as error:  # noqa: BLE001 - one of them cannot be stored: find out which
            await self._halve(work, error, side)

    async def _halve(self, work: list[Work], error: Exception, side: int) -> None:
        count = sum(len(part.items) for part in work)
        if count == 0:
            raise error
        if count == 1:
            if isinstance(error, MemoryError):
                raise error  # half of what was too much may fit; where one alone does not, it is not its fault
            item = next(part.items[0] for part in work if part.items)
            if item.fault is not None and item.fault.reason == DECISION_FAILED:
                raise BrokenInvariant("a dead letter cannot be stored") from error
            self.log.error("undecidable", topic=item.record.topic, offset=item.record.offset, exc_info=error)
            item.fault = InvalidEvent(DECISION_FAILED)
            item.event = None
            await self._decide(work, side)
            return
        for part in work:
            middle = (len(part.items) + 1) // 2
            items = intake.as_topics_go(part.items)  # no longer stored as one
            for half in (items[:middle], items[middle:]):
                if half:
                    await self._decide([Work(part.lane, half)], side)

    # ---- time

    async def tick(self, runs_to: int | None = None) -> None:
        """Let time pass in all lanes: to the wall clock's now, or (event time) to where the clock is to run."""
        async with self._lock:
            await self._patiently(lambda: self._tick(runs_to))
            self.pulse.beat()

    async def _tick(self, runs_to: int | None) -> None:
        await self._take_missing(self.assigned)
        now = _wall() if runs_to is None else runs_to
        work = []
        for lane in self.lanes.values():
            due = lane.next_deadline()
            if (due is not None and due <= now) or (runs_to is not None and lane.ticked < runs_to):
                work.append(Work(lane, tick=now))
        if work:
            await self._decide(work)

    # ---- one transaction

    async def _transact(self, work: list[Work], side: int) -> None:
        """Decide, then store in one statement: deciding takes long, and while it lasts no lock is held."""
        connection = await self._ready_connection(side)
        try:
            for part in work:
                await lanes.reload(connection, part.lane, self._policies)
            batch = Batch(await self._bring(connection, work), None if self._event_time else _wall())
            for part in work:
                batch.decide(part)
            await self._store(connection, batch)
        except BaseException:
            for part in work:
                part.lane.forget(set(part.lane.areas))
            raise
        for draft in batch.drafts:
            self._committed(draft)
        self._account(batch)

    async def _store(self, connection: asyncpg.Connection, batch: Batch) -> None:
        for draft in batch.drafts:
            draft.published = draft.lane.published  # what the publisher says while we store is for the next batch
        fence = [(d.lane.number, d.lane.epoch, *d.cursors.values(), d.seq, d.published, d.ticked, None, None) for d in batch.drafts]
        touched = [(draft.lane.number, area) for draft in batch.drafts for area in draft.areas.values()]
        lost = await batch.changes.store(connection, fence, touched, batch.raw)
        if lost:
            raise Fenced([draft.lane for draft in batch.drafts if draft.lane.number in lost])

    def _committed(self, draft: Draft) -> None:
        lane = draft.lane
        for area in draft.areas.values():
            area.forget_touched()
        lane.leave_out(draft.areas.values())
        if draft.seq > lane.seq:
            self._publisher.put(Parcel(lane.number, lane.epoch, draft.seq, draft.messages))
        lane.seq, lane.cursors, lane.ticked = draft.seq, draft.cursors, draft.ticked
        lane.aside = draft.aside or lane.aside
        if not lane.aside and self._unmarked.pop(lane.number, 0) and lane.published > draft.published:
            self._unmarked[lane.number] = lane.published

    async def _bring(self, connection: asyncpg.Connection, work: list[Work]) -> set[tuple[str, str]]:
        """Have in memory what the batch's events name; those events (source, id) that were taken in before."""
        wanted: dict[str, tuple[Area, set[str], set[str], set[str]]] = {}
        events = [(part.lane, item.event) for part in work for item in part.items if item.event is not None and not item.misplaced]
        if not events:
            return set()
        for lane, event in events:
            data = event.data
            if data.area not in wanted:
                wanted[data.area] = (await lanes.area_of(connection, lane, data.area, self._policies), set(), set(), set())
            area, wishes, offers, people = wanted[data.area]
            names = _names_of(data.__class__)
            if "wish_id" in names and data.wish_id not in area.wishes:
                wishes.add(data.wish_id)
            if "offer_id" in names and data.offer_id not in area.offers:
                offers.add(data.offer_id)
            if "volunteer_ref" in names and data.volunteer_ref not in area.volunteers:
                people.add(data.volunteer_ref)
        missing = [[(name, one) for name, (_, *kinds) in wanted.items() for one in kinds[kind]] for kind in range(3)]
        columns = [list(column) for pairs in missing for column in (zip(*pairs, strict=True) if pairs else ((), ()))]
        rows = await connection.fetch(store.STORED_BEFORE, [event.source for _, event in events], [event.id for _, event in events], *columns)
        for name in {row["area"] for row in rows} - {None}:
            area, wishes, offers, people = wanted[name]
            await Loader.on(connection).bring(area, wishes, offers, people)
        return {(row["source"], row["event_id"]) for row in rows if row["area"] is None}

    def _account(self, batch: Batch) -> None:
        seconds = time.perf_counter() - batch.began
        counts: Counter[tuple[str, str]] = Counter()
        for line in batch.lines:
            counts[line.get("type", ""), line["outcome"]] += 1
        info_lines("event", {"batch_ms": round(seconds * 1000, 1)}, batch.lines)
        self._metrics.batch(counts, seconds, len(batch.lines))

    # ---- what lies around it

    async def published(self, number: int, epoch: int, seq: int) -> None:
        """The publisher says: all rows of the lane up to `seq` are on Kafka."""
        lane = self.lanes.get(number)
        if lane is not None and lane.epoch == epoch and seq > lane.published:
            lane.published = seq
            self._unmarked.setdefault(number, seq)
            self._flush.set()

    async def keep_published(self, stop: Stop) -> None:
        """Write down what is published where no batch does it soon, and drop the outbox rows that have served."""
        while not stop:
            await self._flush.wait()
            self._flush.clear()
            before = dict(self._unmarked)
            await stop.pause(_PUBLISHED_FLUSH_SECONDS_PLAYED if self._event_time else _PUBLISHED_FLUSH_SECONDS)
            async with self._lock:
                late = sorted(number for number, seq in self._unmarked.items() if before.get(number) == seq)
                if late:
                    await self._patiently(partial(self._write_published, late))
                if self._unmarked:
                    self._flush.set()

    async def _write_published(self, numbers: list[int]) -> None:
        connection = await self._ready_connection()
        for number in numbers:  # first: what is published from here on is marked next time
            self._unmarked.pop(number, None)
        lanes = [lane for number in numbers if (lane := self.lanes.get(number)) is not None]
        told = [(lane.number, lane.epoch, lane.published) for lane in lanes]
        if told:
            await connection.execute(store.MARK_PUBLISHED, *zip(*told, strict=True))
        for lane, (_, _, published) in zip(lanes, told, strict=True):
            if lane.aside <= published:
                lane.aside = 0

    async def _ready_connection(self, side: int = 0) -> asyncpg.Connection:
        connection = self._connections.get(side)
        if connection is None or connection.is_closed():
            unanswered_since, self._unanswered_since = self._unanswered_since or time.monotonic(), None
            try:
                connection = self._connections[side] = await self._connect(STATEMENT_SECONDS[min(self._overran, len(STATEMENT_SECONDS) - 1)])
            except NO_ANSWER as fault:
                self._unanswered_since = unanswered_since
                if isinstance(fault, TimeoutError):
                    raise ConnectionError("no answer") from fault  # no statement has taken long
                raise
        return connection

    async def _patiently(self, step: Callable[[], Awaitable[None]], side: int = 0, numbers: frozenset[int] | None = None) -> None:
        """Do it, however long the database is away; the lanes (all, or `numbers`) are loaded anew after a fault."""
        attempt = 0
        while True:
            try:
                await step()
                if self._overran:  # the connection that has more time than usual has served
                    self._overran = 0
                    self._drop_connection(side)
                return
            except Fenced as fenced:
                # Where the group still says that the lane is ours, another worker is about to learn that it is not.
                self.log.warning("lane_lost", lanes=[lane.number for lane in fenced.taken])
                for lane in fenced.taken:
                    self.lanes.pop(lane.number, None)
                self._metrics.fenced.inc(len(fenced.taken))
                await asyncio.sleep(_FENCED_PAUSE_SECONDS)
                if self._stop:
                    raise
            except _AGAIN as error:
                # After a lost connection nobody knows whether the commit happened: the cursors in the database do.
                self.log.warning("database_retry", error=type(error).__name__, attempt=attempt)
                for number in list(self.lanes) if numbers is None else numbers:
                    self.lanes.pop(number, None)
                self._drop_connection(side)
                self._overran += isinstance(error, TimeoutError)
                self._metrics.retries.inc()
                self.pulse.beat()
                await asyncio.sleep(_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)])
                attempt += 1
                if self._stop:
                    raise

    @property
    def unanswered_seconds(self) -> float:
        """For how long we have been trying to reach the database, and nobody answers there. A server that refuses, or is slow, answers."""
        return 0.0 if self._unanswered_since is None else time.monotonic() - self._unanswered_since

    def _drop_connection(self, side: int) -> None:
        connection = self._connections.pop(side, None)
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Let go of the connections."""
        async with self._lock:
            for connection in self._connections.values():
                with contextlib.suppress(*AWAY):
                    await connection.close(timeout=_CLOSE_SECONDS)


def _cut(runs: Sequence[Sequence[Item]]) -> Iterator[list[Sequence[Item]]]:
    """The runs in their order, in parts of not much more than BATCH_MAX items."""
    part: list[Sequence[Item]] = []
    size = 0
    for run in runs:
        part.append(run)
        size += len(run)
        if size >= BATCH_MAX:
            yield part
            part, size = [], 0
    if part:
        yield part


@cache
def _names_of(model: type[Incoming]) -> frozenset[str]:
    """A model's fields. To ask one of its objects for a field that it has not costs more than all else that is done with it here."""
    return frozenset(model.model_fields)


def _wall() -> int:
    return time.time_ns() // 1000
