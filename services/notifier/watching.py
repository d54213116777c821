"""Looks at visits as their time comes and goes, and says what is to be said of them (`watch`); `delivery` carries it.

A process looks at the visits of the lanes of which it has read what was said (`visiting`): after an outage the reports of that time lie on Kafka, and an
alarm would send people to doors behind which a helper is at work. More than one may look: a row that one has in hand is passed over by the others, and a
notice is written once whoever writes it. By event time (`play`) nobody is reminded, as nobody's night counts there either.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import asyncpg
import structlog

from schemas.instants import DAY_US, MINUTE_US
from services.links.store import forget
from services.notifier.book import About, Notice, desk_of, notice_key
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.metrics import Metrics
from services.notifier.notices import Language, text_of
from services.notifier.settings import Settings
from services.notifier.watch import Timing, Word, words
from services.notifier.watch_store import Looked, WatchUnit
from services.runtime import Pulse, Stop

_BATCH_MAX: Final = 500
# A visit that can't be looked at is tried again after this, and holds up no other.
_POSTPONED_US: Final = 60 * MINUTE_US
_CLEAN_SECONDS: Final = 3600.0
# Links are kept beyond their end, to say so kindly; wishes' places beyond their window, as visits may be late; counts of a day beyond it, in any time zone.
_KEPT_US: Final = 30 * DAY_US


def notice_of(looked: Looked, word: Word, language: Language) -> Notice:
    """One word about a visit as a notice."""
    whom = {
        "resident": looked.resident_ref,
        "volunteer": looked.volunteer_ref,
        "household": looked.watched.household or "",
        "worker": desk_of(looked.area),
    }
    rung = "unit" if word.party == "household" else looked.rung
    text = text_of(word.kind, word.party, language, category=looked.category, rung=rung, slot=looked.slot, wish_id=looked.wish_id)
    return Notice(
        notice_key(looked.match_id, word.party, word.kind), looked.match_id, looked.wish_id, looked.partition, looked.area,
        word.party, word.kind, whom[word.party], language, text, looked.slot, offer_id=looked.offer_id,
        about=None if rung == looked.rung else About(looked.category, rung, looked.slot),
    )  # fmt: skip


class Watching:
    """The loop."""

    def __init__(
        self,
        settings: Settings,
        pool: asyncpg.Pool,
        metrics: Metrics,
        say: Callable[[], None],
        *,
        timing: Timing | None = None,
        lanes: Callable[[], Sequence[int]] | None = None,
    ) -> None:
        """`say`: called when there is something to deliver; `lanes`: of which all is read that was said, None: of all of them."""
        self.pulse = Pulse()
        self._settings = settings
        self._pool = pool
        self._metrics = metrics
        self._say = say
        self._timing = timing or settings.timing
        self._lanes = lanes
        self._cleaned = -_CLEAN_SECONDS
        self._log: Any = structlog.get_logger().bind()

    async def run(self, stop: Stop) -> None:
        """Look until stopped."""
        failures = 0
        while not stop and self._settings.clock == "wall":
            self.pulse.beat()
            try:
                more = await self.look(time.time_ns() // 1000)
                await self._clean()
                failures = 0
                self.pulse.commit()
            except PASSING as error:
                failures += 1
                self._metrics.faults.labels("watch").inc()
                self._log.warning("watch_failed", fault=type(error).__name__, failures=failures)
                await stop.pause(retry_seconds(failures))
                continue
            if not more:
                await stop.pause(self._settings.poll_seconds)

    async def look(self, now: int) -> bool:
        """Look at what is due by `now`, in microseconds; whether there may be more."""
        try:
            return len(await self._look(now, _BATCH_MAX)) == _BATCH_MAX
        except PASSING:
            raise
        except Exception as error:  # noqa: BLE001 - told below, one by one
            # One of them can't be judged: look at each alone, so that it holds up none of the others.
            self._log.warning("watch_undecided", fault=type(error).__name__)
            while await self._look_at_one(now):
                pass
            return True

    async def _look_at_one(self, now: int) -> bool:
        held: list[Looked] = []
        try:
            held = await self._look(now, 1, held)
        except PASSING:
            raise
        except Exception as error:
            if not held:
                raise  # even to find it fails: that is no fault of the visit
            self._log.error("visit_undecided", match_ids=[one.match_id for one in held], exc_info=error)
            async with self._pool.acquire() as connection:
                for one in held:
                    await WatchUnit(connection).postpone(one.match_id, now + _POSTPONED_US)
        return bool(held)

    async def _look(self, now: int, limit: int, held: list[Looked] | None = None) -> list[Looked]:
        """One transaction; `held` is filled with what it is about, so that a caller knows after a fault."""
        held = [] if held is None else held
        lanes = None if self._lanes is None else self._lanes()
        if lanes is not None and not lanes:
            return held
        async with self._pool.acquire() as connection, self._transaction(connection):
            unit = WatchUnit(connection)
            held.extend(await unit.hold_due(now, limit, lanes))
            notices, nexts = self._judge(held, now)
            await unit.say(notices)
            await unit.looked(nexts, now)
            await unit.take_back([one.match_id for one in held if not one.watched.standing])
        for notice in notices:
            self._metrics.events.labels("watch", notice.kind).inc()
            self._log.info("visit_watched", match_id=notice.match_id, area=notice.area, kind=notice.kind, to=notice.party)
        if notices:
            self._say()
        return held

    def _judge(self, held: Sequence[Looked], now: int) -> tuple[list[Notice], list[tuple[str, int | None]]]:
        notices: list[Notice] = []
        nexts: list[tuple[str, int | None]] = []
        for one in held:
            due, then = words(one.watched, now, self._timing)
            notices.extend(notice_of(one, word, self._settings.language) for word in due)
            nexts.append((one.match_id, then))
        return notices, nexts

    @staticmethod
    def _transaction(connection: Any) -> AbstractAsyncContextManager[Any]:
        transaction: AbstractAsyncContextManager[Any] = connection.transaction()
        return transaction

    async def _clean(self) -> None:
        """Forget what nobody asks for any more."""
        if time.monotonic() - self._cleaned < _CLEAN_SECONDS:
            return
        before = time.time_ns() // 1000 - _KEPT_US
        async with self._pool.acquire() as connection:
            await forget(connection, before)
            await WatchUnit(connection).forget_wishes(before)
            await WatchUnit(connection).forget_told(before)
        self._cleaned = time.monotonic()
