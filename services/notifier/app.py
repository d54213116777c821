"""The notifier's wires: what is made of what, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from schemas.topics import MATCHES
from services.broker import SILENT_SECONDS
from services.notifier.apprised import Unusable
from services.notifier.delivery import Delivery
from services.notifier.directory import BadDirectory
from services.notifier.exchange import Exchange, exchange_of
from services.notifier.faults import PASSING
from services.notifier.inbox import Inbox
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.neighbours import Neighbours
from services.notifier.outbox import Publisher
from services.notifier.people import VaultDirectory
from services.notifier.receipts import Receipts
from services.notifier.settings import Settings
from services.notifier.stages import Stages
from services.notifier.store import Store
from services.notifier.visiting import Visiting
from services.notifier.visits_store import VisitsStore
from services.notifier.watching import Watching
from services.runtime import EXIT_SETTINGS, Ops, Readiness, Stop
from services.sessions import know_rows_by_type
from services.vault.faults import BadKeys

_PING_SECONDS: Final = 2.0
_COLLECT_SECONDS: Final = 1.0
# So many objects more than at the last collection are worth a walk while nothing is in hand, and so many even while something is.
_YOUNG_MANY: Final = 20_000
_YOUNG_MAX: Final = 500_000


class Notifier:
    """One process of the service."""

    def __init__(self, settings: Settings, store: Store, exchange: Exchange) -> None:
        self._settings = settings
        self._store = store
        self.metrics = Metrics()
        self.lanes = Lanes(settings.clock)
        self.publisher = Publisher(settings.broker, store, self.lanes, self.metrics)
        self.delivery = Delivery(settings, store, self.lanes, exchange, self.publisher, self.metrics)
        self.inbox = Inbox(settings, store, self.lanes, self.delivery, self.publisher, self.metrics)
        self.receipts = Receipts(settings, store, self.lanes, exchange, self.delivery, self.metrics)
        self.stages: Stages | None = None
        if isinstance(exchange.directory, VaultDirectory):
            timed = settings.clock == "wall"
            self.stages = Stages(store, exchange.directory.opened, self.lanes, self.publisher, self.metrics, timed=timed)
            exchange.directory.follow(self.stages, self.metrics)
        visits = VisitsStore(store.durable, tells_vault=store.tells_vault)
        self.visiting = Visiting(settings, visits, self.metrics, after=self.delivery.goes_first)
        self.watching = Watching(settings, store.durable, self.metrics, self.delivery.look, lanes=self.visiting.current)
        self.neighbours = Neighbours(settings, store.durable, self.metrics, self.delivery.goes_first)
        self.metrics.lag.labels(MATCHES).set_function(lambda: self.inbox.lag() or 0)
        self.metrics.commit_age_seconds.set_function(lambda: self.inbox.pulse.commit_age_seconds)

    async def run(self, stop: Stop) -> None:
        """Until stopped: then take nothing more in, bring what is in hand to its end within limits, and leave the rest to the next owner."""
        pulses = {"inbox": self.inbox.pulse, "delivery": self.delivery.pulse, "publisher": self.publisher.pulse, "visits": self.visiting.pulse}
        if self.stages is not None:
            pulses["vault"] = self.stages.pulse
        if self._settings.clock == "wall":  # by event time these two have nothing to do
            pulses |= {"watch": self.watching.pulse, "neighbours": self.neighbours.pulse}
        last = Stop()
        loops: dict[str, Callable[[Stop], Coroutine[Any, Any, None]]] = {
            "beat": self.lanes.beat,
            "send": self.delivery.send,
            "record": self.delivery.record,
            "due": self.delivery.poll,
            "receipts": self.receipts.run,
            "publish": self.publisher.run,
            "publish visits": self.visiting.publisher.run,
        }
        if self.stages is not None:
            loops["stages"] = self.stages.run
        async with Ops(self._settings.ops_port, pulses, self.ready, self.metrics.registry), asyncio.TaskGroup() as group:
            for name, loop in loops.items():
                group.create_task(loop(last), name=name)
            group.create_task(self._collect(last), name="collect")
            try:
                async with asyncio.TaskGroup() as readers:
                    readers.create_task(self.inbox.run(stop), name="inbox")
                    readers.create_task(self.visiting.run(stop), name="visits")
                    readers.create_task(self.watching.run(stop), name="watch")
                    readers.create_task(self.neighbours.run(stop), name="neighbours")
            finally:
                last.set()
                self.delivery.wake()
                self.publisher.wake()
                self.visiting.publisher.wake()
                if self.stages is not None:
                    self.stages.wake()

    async def _collect(self, stop: Stop) -> None:
        """Collect garbage while nothing is in hand.

        Events, matches and notices refer to one another in one direction, so counting references frees them. The collector, left to itself, would walk over
        every new one while people wait: a quarter of the notifier's time. What is there from the start is set apart, and never walked over.
        """
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            while not await stop.pause(_COLLECT_SECONDS):
                young = gc.get_count()[0]
                if young > _YOUNG_MAX or (young > _YOUNG_MANY and self.delivery.is_idle):
                    gc.collect()
        finally:
            gc.enable()

    async def ready(self) -> Readiness:
        """Whether events are taken in and told, now."""
        reasons = []
        database = await self._database_answers()
        if not database:
            reasons.append("database")
        lag = self.inbox.lag()
        if lag is None:
            reasons.append("no_partitions")
        age = self.inbox.pulse.commit_age_seconds
        if lag and age > self._settings.lag_seconds_max:
            reasons.append("stalled")
        if self.inbox.silent_seconds() > SILENT_SECONDS:
            reasons.append("broker")
        return Readiness(database, age, {} if lag is None else {MATCHES: lag}, tuple(reasons))

    async def _database_answers(self) -> bool:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                outbox, notices = await self._store.count_backlog()
        except PASSING:
            return False
        self.metrics.outbox_backlog.set(outbox)
        self.metrics.notices_under_way.set(notices)
        return True


async def main(settings: Settings, stop: Stop) -> None:
    """Make everything, run, and close it again."""
    log = structlog.get_logger()
    know_rows_by_type()
    async with contextlib.AsyncExitStack() as cleanup:
        store = await Store.connect(settings.database.get_secret_value())
        cleanup.push_async_callback(store.close)
        try:
            exchange = exchange_of(settings, store)
        except (Unusable, BadDirectory, BadKeys) as fault:  # what only trying shows: a file's content, a URL that no plugin takes
            print(fault, file=sys.stderr)
            sys.exit(EXIT_SETTINGS)
        cleanup.push_async_callback(exchange.close)
        log.info("started", channels=list(exchange.channels), clock=settings.clock, language=settings.language)
        await Notifier(settings, store, exchange).run(stop)
    log.info("stopped")
