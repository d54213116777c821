"""Who looks after which stairway: reads `offers` of centre households, and `wishes` for the stairway that each is in.

A consumer group of its own, and nothing else follows from what it reads: a repeat or an older word changes nothing, so its offsets are committed to Kafka after
the rows are. An event that is not valid is the matcher's to set aside. By event time nobody raises an alarm, so nothing is read.

Hardly any offer is of a centre household or was one, and an event from which nothing follows need not be valid: so what a record's bytes tell is looked at
before it is held against the contract (`sifted`).
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import asyncpg
import orjson
import structlog

from schemas.codec import Event, decode
from schemas.errors import DECISION_FAILED, InvalidEvent
from schemas.instants import micros
from schemas.offers import OfferPosted, OfferWithdrawn
from schemas.place import Place
from schemas.topics import NEIGHBOURS_GROUP
from schemas.wishes import WishSubmitted
from services.notifier import failpoints
from services.notifier.consumers import consumer_of
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.metrics import Metrics
from services.notifier.settings import Settings
from services.notifier.watch_store import Household, WatchUnit
from services.runtime import Pulse, Stop
from services.turns import by_turns

TOPICS: Final = ("wishes", "offers")
_WAIT_MS: Final = 500
# Nobody waits for this: so long is gathered where fewer came than a batch may hold.
_GATHER_SECONDS: Final = 0.2
_POSTED: Final = b"lastmetre.offer.posted.v1"
_WITHDRAWN: Final = b"lastmetre.offer.withdrawn.v1"
_WISH: Final = b"lastmetre.wish.submitted.v1"
_ID_MAX_CHARACTERS: Final = 128


Key = tuple[str, str]
"""(area, offer)."""


def place_key(place: Place) -> str | None:
    """A stairway as a key; None where the place is wider than one."""
    return None if place.unit is None else f"{place.community}/{place.compound}/{place.building}/{place.unit}"


def is_centre_household(organisation: str | None, words: Iterable[str]) -> bool:
    """Whether an offer is one of a centre household, by its organisation's name."""
    return organisation is not None and any(word in organisation for word in words)


def _event(record: Any) -> Event | None:
    try:
        return decode(record.topic, record.value, record.headers)
    except InvalidEvent:
        return None


async def _events(records: Iterable[Any]) -> list[Event]:
    return [event for event in await by_turns(_event, records) if event is not None]


def sifted(records: Iterable[Any], words: Iterable[str]) -> tuple[list[Any], list[tuple[Key, Any]]]:
    """(records to read, offers that can only take a household out, by their own area and id); what nothing can follow from is in neither.

    A text with a backslash may write its words otherwise, and what has no type among its headers is structured: those are read.
    """
    written = [word.encode() for word in words]
    to_read: list[Any] = []
    closing: list[tuple[Key, Any]] = []
    for record in records:
        kind, value = dict(record.headers).get("ce_type"), record.value or b""
        if kind is None or b"\\" in value:
            to_read.append(record)
        elif kind == _WISH:
            if b'"unit"' in value:
                to_read.append(record)
        elif kind == _POSTED and any(word in value for word in written):
            to_read.append(record)
        elif kind in {_POSTED, _WITHDRAWN} and (key := _key(value)) is not None:
            closing.append((key, record))
    return to_read, closing


def _key(value: bytes) -> Key | None:
    """The area and id that an offer's text names, whatever else is in it; None where it is no offer."""
    try:
        data = orjson.loads(value)
        key = (data["area"], data["offer_id"])
    except (ValueError, TypeError, KeyError):
        return None
    return key if all(isinstance(name, str) and len(name) <= _ID_MAX_CHARACTERS for name in key) else None


class Neighbours:
    """The loop."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, metrics: Metrics, after: Callable[[], Awaitable[None]] | None = None) -> None:
        """`after`: awaited before each look at the topics, so that others may go first."""
        self.pulse = Pulse()
        self._after = after
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._log: Any = structlog.get_logger().bind()

    async def run(self, stop: Stop) -> None:
        """Read until stopped. After a fault it begins with a new consumer, from what was committed."""
        failures = 0
        while not stop and self._settings.clock == "wall":
            consumer = consumer_of(self._settings, client_id="lastmetre-neighbours", group_id=NEIGHBOURS_GROUP)
            consumer.subscribe(list(TOPICS))
            try:
                await consumer.start()
                while not stop:
                    self.pulse.beat()
                    if self._after is not None:
                        await self._after()
                    await failpoints.before("poll")
                    found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=self._settings.batch_max)
                    if found:
                        await failpoints.after("poll")
                        await self._take_in(await self.read(record for run in found.values() for record in run))
                        with self.pulse.beating():
                            await consumer.commit()
                        failures = 0
                        if sum(map(len, found.values())) < self._settings.batch_max:
                            await stop.pause(_GATHER_SECONDS)
            except PASSING as error:
                failures += 1
                self._metrics.faults.labels("neighbours").inc()
                self._log.warning("neighbours_failed", fault=type(error).__name__, failures=failures)
                await stop.pause(retry_seconds(failures))
            finally:
                await consumer.stop()

    async def read(self, records: Iterable[Any]) -> list[Event]:
        """The events among these records from which something may follow."""
        to_read, closing = sifted(records, self._settings.household_words)
        events = await _events(to_read)
        if closing:
            known = {(event.area, event.data.offer_id) for event in events if isinstance(event.data, OfferPosted)}
            async with self._pool.acquire() as connection:
                known |= await WatchUnit(connection).known_households({key for key, _ in closing})
            events += await _events(record for key, record in closing if key in known)
        return events

    async def _take_in(self, events: Sequence[Event]) -> None:
        """As `take_in`; an event that can't be written is found by halving, and passed over: the matcher reads it, too, and sets it aside."""
        try:
            await self.take_in(events)
        except PASSING:
            raise
        except Exception as error:
            if len(events) > 1:
                half = len(events) // 2
                await self._take_in(events[:half])
                await self._take_in(events[half:])
                return
            if isinstance(error, MemoryError):
                raise  # that is no fault of the event, and nobody else tells it
            self._log.error("neighbour_passed_over", ids=[event.id for event in events], exc_info=error)
            self._metrics.events.labels("neighbours", DECISION_FAILED).inc()

    async def take_in(self, events: Iterable[Event]) -> None:
        """Write what these events say of stairways, the last word of each offer alone."""
        posted: dict[tuple[str, str], Household] = {}
        closed: dict[tuple[str, str], int] = {}
        wishes: dict[tuple[str, str], tuple[str, str, str, int]] = {}
        for event in events:
            data = event.data
            if isinstance(data, OfferPosted):
                place = place_key(data.home)
                centre = place is not None and is_centre_household(data.organisation, self._settings.household_words)
                key = (data.area, data.offer_id)
                if centre and (key not in posted or posted[key].at <= event.time):
                    posted[key] = Household(data.area, data.offer_id, data.volunteer_ref, place or "", open=True, at=event.time)
                elif not centre:  # perhaps it was one before
                    closed[key] = max(event.time, closed.get(key, 0))
            elif isinstance(data, OfferWithdrawn):
                closed[data.area, data.offer_id] = max(event.time, closed.get((data.area, data.offer_id), 0))
            elif isinstance(data, WishSubmitted) and (place := place_key(data.place)) is not None:
                wishes.setdefault((data.area, data.wish_id), (data.area, data.wish_id, place, micros(data.window.end)))
        async with self._pool.acquire() as connection, connection.transaction():
            unit = WatchUnit(connection)
            await unit.post_households([posted[key] for key in sorted(posted)])
            await unit.close_households([(*key, closed[key]) for key in sorted(closed)])
            await unit.place_wishes([wishes[key] for key in sorted(wishes)])
        self.pulse.commit()
