"""News, passed on within this process: to everyone who watches what they may see of it, and to those who wait for the answer to a claim.

`Tail` follows the table `stream` in the order of commits, so a gateway that does not write the board passes on the same lines. Each subscriber has
a queue with an end: whoever reads too slowly is cut, and comes back with the number of the last line that they had (`Last-Event-ID`); nothing is
lost, for the lines lie in the table.
`Answers` reads the topic `matches` itself from its end on: whoever tapped "claim" waits for the matcher alone, not for the board.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import asyncpg
import structlog
from aiokafka import TopicPartition

from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.place import Place
from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, MATCHES, PARTITIONS
from services.broker import SILENT_SECONDS, Broker, Consumer, silent_seconds
from services.gateway.board.store import CHANNEL, parsed
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal, Role
from services.runtime import AWAY, Pulse, Stop, within

QUEUE_MAX: Final = 512
BEAT_SECONDS: Final = 5.0
HANG_SECONDS: Final = 20.0
BEATS_OF_LIFE: Final = 3
# Lines that come within this time are sent together: the lines of one match mostly do, and each sending to thousands costs.
_GATHER_SECONDS: Final = 0.05
_PAGE: Final = 128
_PACE_SECONDS: Final = 0.005
_POLL_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.5
_REQUEST_MS: Final = 15_000
# What a volunteer sees of wishes around them, beside what concerns themselves.
_FOR_ALL_NEAR: Final = frozenset({"wish.submitted.v1", "wish.withdrawn.v1", "wish.expired.v1", "wish.widened.v1"})


@dataclass(slots=True)
class StreamRow:
    """One line of the stream. `seq` grows in the order of commits; `at` is the event's time, `stored_at` the wall's."""

    seq: int
    at: datetime
    received_at: datetime
    stored_at: datetime
    area: str
    community: str | None
    compound: str | None
    building: str | None
    kind: str
    subject: str
    wish_id: str | None
    match_id: str | None
    offer_id: str | None
    volunteer_ref: str | None
    resident_ref: str | None
    brief: dict[str, Any]
    _thing: Thing | None = field(default=None, repr=False, compare=False)
    shown: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """The line as it was written for somebody, by form and language: for the next who sees as much."""
    views: dict[int, tuple[bool, bool]] = field(default_factory=dict, repr=False, compare=False)
    """What was judged for somebody of these roles and this circle: whether they look after the place, and whether it is a wish near them."""

    @property
    def thing(self) -> Thing:
        """The line, as the policy sees it."""
        if self._thing is None:
            place = None
            if self.community is not None:
                place = Place.model_construct(community=self.community, compound=self.compound, building=self.building, unit=None)
            volunteers = frozenset() if self.volunteer_ref is None else frozenset({self.volunteer_ref})
            self._thing = Thing(self.area, place, self.resident_ref, volunteers)
        return self._thing


COLUMNS: Final = ", ".join(one.name for one in fields(StreamRow) if one.name not in {"_thing", "shown", "views"})
_NEXT: Final = f"SELECT {COLUMNS} FROM gateway.stream WHERE seq > $1 ORDER BY seq LIMIT {_PAGE}"
_LAST: Final = "SELECT coalesce(max(seq), 0) FROM gateway.stream"
_BACKLOG: Final = f"SELECT {COLUMNS} FROM gateway.stream WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3"


def sees_all(principal: Principal, row: StreamRow) -> bool:
    """Whether a line is for somebody who looks after the place: with everything that it says."""
    return may(principal, Act.SEE_MONITOR, row.thing)


def may_see(principal: Principal, row: StreamRow) -> bool:
    """Whether a line is for this principal: in their circle as worker or auditor, about themselves, or an open wish near a volunteer."""
    return sees_all(principal, row) or _is_near(principal, row) or _is_theirs(principal, row)


def _is_near(principal: Principal, row: StreamRow) -> bool:
    return row.kind in _FOR_ALL_NEAR and principal.has(Role.VOLUNTEER) and may(principal, Act.SEE_WALL, row.thing)


def _is_theirs(principal: Principal, row: StreamRow) -> bool:
    mine = row.volunteer_ref is not None and row.volunteer_ref == principal.volunteer_ref
    return (mine or row.resident_ref in principal.resident_refs) and may(principal, Act.SEE_WISH, row.thing)


class Cut(Exception):
    """This subscriber read too slowly, or the gateway stops: come back with the last number."""


class Subscription(AsyncIterator[StreamRow]):
    """The lines that one principal may see, from now on. Ends with :class:`Cut`; close it, or use it in `with`."""

    def __init__(self, hub: "Hub", principal: Principal, limit: int) -> None:
        self.principal = principal
        self.since = hub.position
        self.cut = False
        self.sending_since: float | None = None
        """When what is being sent began to be, by the loop's clock; none while nothing is."""
        self.task: asyncio.Task[Any] | None = None
        """Who sends: cancelled where it hangs."""
        self._hub = hub
        self._view = hub.view_of(principal)
        self._limit = limit
        self._beats = 0
        self._queue: deque[StreamRow] = deque()
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamRow:
        while not self._queue:
            if self.cut:
                raise Cut
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()

    async def batch(self) -> list[StreamRow]:
        """All lines that are there, at least one; none where it is time for a sign of life.

        Raises:
            Cut: no more will come.
        """
        if not self._queue and not self.cut:
            self._wake.clear()
            await self._wake.wait()
        if self.cut:
            raise Cut
        rows = list(self._queue)
        self._queue.clear()
        return rows

    def close(self) -> None:
        """No more lines."""
        self._hub.forget(self)

    def offer(self, row: StreamRow) -> None:
        """A new line, if they may see it; where the queue is full, they are cut."""
        whole, near = self._judged(row)
        if not whole and not near and not _is_theirs(self.principal, row):
            return
        if len(self._queue) >= self._limit:
            self._hub.cuts += 1
            self.end()
        else:
            self._queue.append(row)
            self._wake.set()

    def looks_after(self, row: StreamRow) -> bool:
        """Whether they are shown all of a line."""
        return self._judged(row)[0]

    def _judged(self, row: StreamRow) -> tuple[bool, bool]:
        """By the policy, once for all of the same roles and circle."""
        known = row.views.get(self._view)
        if known is None:
            known = row.views[self._view] = (sees_all(self.principal, row), _is_near(self.principal, row))
        return known

    def beat(self, now: float) -> None:
        """Called every few seconds: let an idle stream give a sign of life, and cut one on which sending hangs."""
        if self.sending_since is not None:
            if now - self.sending_since > HANG_SECONDS:
                self._hub.cuts += 1
                self.end()
            return
        self._beats += 1
        if self._beats % BEATS_OF_LIFE == 0:
            self._wake.set()

    def end(self) -> None:
        """No more lines: they are too slow, have left, or the gateway stops. What is queued is dropped, for it lies in the table."""
        self.cut = True
        self._queue.clear()
        self._hub.forget(self)
        self._wake.set()
        if self.sending_since is not None and self.task is not None:
            self.task.cancel()  # it waits for a reader who takes nothing


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim was granted: a match, its slot (start, end), and whether a word is awaited: an answer, or a worker's approval."""

    match_id: str
    slot: tuple[datetime, datetime]
    needs_answer: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """The claim was refused, with the contract's reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """No answer came in time: it will be on the board."""


Answer: TypeAlias = Claimed | Rejected | Later
_Pair: TypeAlias = tuple[str, str, str]


class Hub:
    """Who watches, and who waits. Everything here happens in one event loop."""

    def __init__(self, *, queue_max: int = QUEUE_MAX) -> None:
        self.position = 0
        self.cuts = 0
        self._queue_max = queue_max
        self._subscribers: dict[str, set[Subscription]] = defaultdict(set)
        self._waiting: dict[_Pair, dict[str, asyncio.Future[Answer]]] = defaultdict(dict)
        self._views: dict[tuple[Any, ...], int] = {}
        self._ended = False

    # --- watching

    def view_of(self, principal: Principal) -> int:
        """A number for everything of a principal that decides which lines of others they see."""
        return self._views.setdefault((principal.roles, principal.scope, principal.acts), len(self._views))

    def beat(self, now: float) -> None:
        """Every `BEAT_SECONDS`, by the loop's clock."""
        for known in list(self._subscribers.values()):
            for subscription in tuple(known):
                subscription.beat(now)

    def __len__(self) -> int:
        return sum(map(len, self._subscribers.values()))

    def subscribe(self, principal: Principal) -> Subscription:
        """Lines from now on; those up to `since` lie in the table."""
        subscription = Subscription(self, principal, self._queue_max)
        if self._ended:
            subscription.end()
        else:
            self._subscribers[principal.scope.area].add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """They left, or were cut."""
        area = subscription.principal.scope.area
        known = self._subscribers.get(area)
        if known is not None and subscription in known:
            known.discard(subscription)
            if not known:
                del self._subscribers[area]

    def publish(self, row: StreamRow) -> None:
        """A line that was committed; in order."""
        self.position = max(self.position, row.seq)
        for subscription in tuple(self._subscribers.get(row.area, ())):
            subscription.offer(row)

    def end(self) -> None:
        """The gateway stops: everyone is let go, so that they come back elsewhere."""
        self._ended = True
        for known in list(self._subscribers.values()):
            for subscription in tuple(known):
                subscription.end()
        for claims in list(self._waiting.values()):
            for future in claims.values():
                if not future.done():
                    future.set_result(Later())

    # --- waiting for the answer to a claim

    def await_answer(self, area: str, wish_id: str, offer_id: str, claim_id: str, deadline: float) -> Coroutine[Any, Any, Answer]:
        """Register for the answer at once; await what is returned after the claim is published. `deadline`: seconds from now until :class:`Later`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        pair = (area, wish_id, offer_id)
        self._waiting[pair][claim_id] = future
        timer = loop.call_later(deadline, self._settle, pair, claim_id, Later())
        future.add_done_callback(lambda _: timer.cancel())
        return self._answer(pair, claim_id, future)

    async def _answer(self, pair: _Pair, claim_id: str, future: asyncio.Future[Answer]) -> Answer:
        try:
            return await future
        finally:
            self._drop(pair, claim_id)

    def _drop(self, pair: _Pair, claim_id: str) -> None:
        claims = self._waiting.get(pair)
        if claims is not None:
            claims.pop(claim_id, None)
            if not claims:
                del self._waiting[pair]

    def _settle(self, pair: _Pair, claim_id: str, answer: Answer) -> None:
        future = self._waiting.get(pair, {}).get(claim_id)
        if future is not None and not future.done():
            future.set_result(answer)
        self._drop(pair, claim_id)

    @property
    def someone_waits(self) -> bool:
        """Whether any claim has no answer yet."""
        return bool(self._waiting)

    def granted(self, area: str, wish_id: str, offer_id: str, answer: Claimed) -> None:
        """A match of this pair came: whoever waits for it has it."""
        pair = (area, wish_id, offer_id)
        for claim_id in list(self._waiting.get(pair, ())):
            self._settle(pair, claim_id, answer)

    def refused(self, area: str, wish_id: str, offer_id: str, claim_id: str, reason: str) -> None:
        """This claim was rejected."""
        self._settle((area, wish_id, offer_id), claim_id, Rejected(reason))


async def backlog(connection: Any, after: int, until: int, limit: int = _PAGE) -> list[StreamRow]:
    """Lines of the table after one and up to another, at most `limit`, as far as the connection's principal sees them."""
    return [_row(found) for found in await connection.fetch(_BACKLOG, after, until, limit)]


def _row(found: Any) -> StreamRow:
    return StreamRow(**{**found, "brief": parsed(found["brief"])})


class Tail:
    """Follows the table and tells the hub, from the last line on that was there when it began."""

    def __init__(self, dsn: str, hub: Hub) -> None:
        self.pulse = Pulse()
        self._dsn = dsn
        self._hub = hub
        self._begun = False
        self._news = asyncio.Event()
        self._log: Any = structlog.get_logger().bind()

    async def run(self, stop: Stop) -> None:
        """Follow until stopped; after a fault, go on where it was."""
        ending = asyncio.gather(self._when_stopped(stop), self._beat(stop))
        try:
            while not stop:
                try:
                    connection = await asyncpg.connect(self._dsn, timeout=10, command_timeout=30, server_settings={"application_name": "lastmetre-tail"})
                    try:
                        await self._follow(connection, stop)
                    finally:
                        await connection.close(timeout=2)
                except AWAY as fault:
                    self._log.warning("tail_failed", fault=type(fault).__name__)
                    await stop.pause(_RETRY_SECONDS)
        finally:
            ending.cancel()

    async def _beat(self, stop: Stop) -> None:
        while not await stop.pause(BEAT_SECONDS):
            self._hub.beat(asyncio.get_running_loop().time())

    async def _when_stopped(self, stop: Stop) -> None:
        await stop.wait()
        self._hub.end()
        self._news.set()

    async def _follow(self, connection: asyncpg.Connection, stop: Stop) -> None:
        await connection.add_listener(CHANNEL, lambda *_: self._news.set())
        if not self._begun:
            self._hub.position = await connection.fetchval(_LAST)
            self._begun = True
        while not stop:
            self.pulse.beat()
            self._news.clear()
            if not self._hub and await self._skip(connection):
                await within(_POLL_SECONDS, self._news)
                continue
            rows = await connection.fetch(_NEXT, self._hub.position)
            for found in rows:
                self._hub.publish(_row(found))
            if len(rows) == _PAGE:
                await asyncio.sleep(_PACE_SECONDS)  # let the subscribers write before there is more: a burst cuts nobody who keeps up
                continue
            if await within(_POLL_SECONDS, self._news):
                await stop.pause(_GATHER_SECONDS)

    async def _skip(self, connection: asyncpg.Connection) -> bool:
        """Go to the end without reading, where nobody watches; not if somebody came meanwhile, who counts on every line from the position on."""
        last = await connection.fetchval(_LAST)
        if self._hub:
            return False
        self._hub.position = max(self._hub.position, last)
        return True


class Answers:
    """Reads `matches` from its end on, for those who wait for the answer to a claim."""

    def __init__(self, broker: Broker, hub: Hub) -> None:
        self.pulse = Pulse()
        self.ready = asyncio.Event()
        self._consumer: Consumer | None = None
        self._broker = broker
        self._hub = hub
        self._log: Any = structlog.get_logger().bind()

    async def run(self, stop: Stop) -> None:
        """Read until stopped."""
        while not stop:
            try:
                await self._read(stop)
            except AWAY as fault:
                self._log.warning("answers_failed", fault=type(fault).__name__)
                await stop.pause(_RETRY_SECONDS)

    async def _read(self, stop: Stop) -> None:
        consumer = Consumer(
            **self._broker.client(),
            client_id="lastmetre-answers",
            enable_auto_commit=False,
            auto_offset_reset="latest",
            max_partition_fetch_bytes=EVENT_ACCEPTED_MAX_BYTES,
            retry_backoff_ms=50,
            request_timeout_ms=_REQUEST_MS,
        )
        consumer.assign([TopicPartition(MATCHES, number) for number in range(PARTITIONS)])
        try:
            await consumer.start()  # where that fails or is called off, what it has opened is closed as well
            await consumer.seek_to_end()
            for number in range(PARTITIONS):  # an end that is not known yet would be looked up after the claim
                await consumer.position(TopicPartition(MATCHES, number))
            self.ready.set()
            self._consumer = consumer
            while not stop:
                self.pulse.beat()
                found = await consumer.getmany(timeout_ms=500)
                if self._hub.someone_waits:
                    for records in found.values():
                        for record in records:
                            self.take(record)
        finally:
            self.ready.clear()
            await consumer.stop()

    @property
    def is_deaf(self) -> bool:
        """Whether it has read, and the broker says nothing just now."""
        if self._consumer is None:
            return False
        return not self.ready.is_set() or silent_seconds(self._consumer) > SILENT_SECONDS

    def take(self, record: Any) -> None:
        """One record: an answer that somebody waits for, or nothing."""
        kind = dict(record.headers).get("ce_type")
        if kind not in {b"lastmetre.match.proposed.v1", b"lastmetre.claim.rejected.v1"}:
            return
        try:
            data = decode(record.topic, record.value, record.headers).data
        except InvalidEvent:
            return
        if kind == b"lastmetre.claim.rejected.v1":
            self._hub.refused(data.area, data.wish_id, data.offer_id, data.claim_id, data.reason)
        else:
            answer = Claimed(data.match_id, (data.slot.start, data.slot.end), data.needs_answer or data.needs_approval)
            self._hub.granted(data.area, data.wish_id, data.offer_id, answer)
