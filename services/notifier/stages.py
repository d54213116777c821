"""Tells the vault how far each match is, so that its ladder works on what happens and not on what a reader claims; and asks it for guardians' consents.

`store` writes a row for each stage in the transaction that brings it about; here these rows go to the vault, forward only and as often as it takes. A vault
that is away keeps them waiting, and with them the notices that need it. A confirmed visit to a minor whose consent is gone is called off: at its start, and
within seconds of the withdrawal before it. Nothing here but references and instants.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import structlog

from schemas.confirmations import NO_CONSENT
from services.notifier import vault_news
from services.notifier.book import Untold
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outbox import Publisher, outgoing_of
from services.notifier.store import Store
from services.notifier.vault_news import News
from services.runtime import Pulse, Stop, within
from services.vault.ladder import STAGES
from services.vault.policy import Reader, Visit
from services.vault.vault import Vault

WHO: Final = Reader("service", "notifier")
_NEWS_MAX: Final = 1000
_LOOK_SECONDS: Final = 0.5
# News of one moment are told together: nobody waits for them, as whoever does calls `caught_up`.
_GATHER_SECONDS: Final = 0.1
_SWEEP_SECONDS: Final = 15.0


def furthest(news: Sequence[Visit]) -> list[Visit]:
    """Of each match the furthest of its stages, in the order in which the matches come first."""
    found: dict[str, Visit] = {}
    for one in news:
        known = found.get(one.match_id)
        if known is None or STAGES.index(known.stage) < STAGES.index(one.stage):
            found[one.match_id] = one
    return list(found.values())


class Stages:
    """The way from our matches to the vault's visits."""

    def __init__(self, store: Store, opened: Callable[[], Awaitable[Vault]], lanes: Lanes, publisher: Publisher, metrics: Metrics, *, timed: bool) -> None:
        """`opened` gives the vault; `timed`: consents are looked through again and again, by the wall's clock."""
        self.pulse = Pulse()
        self._store = store
        self._opened = opened
        self._lanes = lanes
        self._publisher = publisher
        self._metrics = metrics
        self._timed = timed
        self._news = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._swept = time.monotonic()
        self._log: Any = structlog.get_logger().bind()
        store.tell_stages(self.wake)

    def wake(self) -> None:
        """A match has come further; that is committed. Or: look whether to stop."""
        self._news.set()

    async def caught_up(self) -> None:
        """Until the vault has all that was committed when this was called.

        Raises:
            one of PASSING: it cannot be told now.
        """
        async with self._flushing:
            if self._news.is_set():
                await self._flush()

    async def know(self, match_ids: Collection[str]) -> None:
        """Tell the vault of matches that it does not know, as they are now: of before it was configured, or left by another process.

        Raises:
            one of PASSING: it cannot be told now.
        """
        vault = await self._opened()
        await vault.note_visit(*await self.read(match_ids))

    async def read(self, match_ids: Collection[str]) -> list[Visit]:
        """How far matches are.

        Raises:
            one of PASSING: it cannot be read now.
        """
        return await vault_news.read_known(self._store.relaxed, list(match_ids)) if match_ids else []

    async def run(self, stop: Stop) -> None:
        """Tell until stopped."""
        failures = 0
        while not stop:
            self.pulse.beat()
            if await within(_LOOK_SECONDS, self._news):
                await stop.pause(_GATHER_SECONDS)
            try:
                async with self._flushing:
                    await self._flush()
                await self._sweep()
                failures = 0
                self.pulse.commit()
            except PASSING as error:
                failures += 1
                self._metrics.faults.labels("vault").inc()
                self._log.warning("vault_failed", fault=type(error).__name__, failures=failures)
                await stop.pause(retry_seconds(failures))

    async def _flush(self) -> None:
        self._news.clear()
        try:
            while True:
                news = await vault_news.read(self._store.durable, list(self._lanes.owned), _NEWS_MAX)
                if not news:
                    return
                await self._tell(news)
                if len(news) < _NEWS_MAX:
                    return
        except BaseException:
            self._news.set()
            raise

    async def _tell(self, news: Sequence[News]) -> None:
        vault = await self._opened()
        visits = [one.visit for one in news if one.visit is not None]
        await vault.note_visit(*furthest(visits))
        begun = {one.match_id for one in visits if one.minor and one.stage == "started"}
        if begun:
            await self._call_off(await vault.unconsented(WHO, begun))
        await vault_news.forget(self._store.relaxed, news)  # told once more, they change nothing

    async def _sweep(self) -> None:
        """Look through the visits to minors that are to come: a consent may have been withdrawn, or have ended."""
        if not self._timed or time.monotonic() - self._swept < _SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        await self._call_off(await (await self._opened()).unconsented(WHO))

    async def _call_off(self, match_ids: Collection[str]) -> None:
        """Say of confirmed visits that they can't be: the matcher releases them and ends their wishes, and both sides are told."""
        epochs = self._lanes.owned
        if not match_ids or not epochs:
            return
        async with self._store.unit() as unit:
            ours = await unit.fence(epochs)
            known = await unit.read_matches(match_ids)
            matches = [one for one in known if one.match_id in match_ids and one.state == "confirmed" and one.partition in ours]
            records = [outgoing_of(Untold(one, NO_CONSENT), self._lanes.now(one.area)) for one in matches]
            await unit.write_outbox(records)
            # Masked at once, and not called off a second time.
            await unit.note_stages((one.match_id, "released", one.partition) for one in matches)
        self._publisher.hand_over(records)
        for one in matches:
            self._metrics.unconsented.inc()
            self._log.warning("visit_without_consent", match_id=one.match_id, area=one.area)
