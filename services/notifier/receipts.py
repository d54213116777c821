"""Receipts: what gateways say after they took a notice. Whoever answers their callbacks leaves each in the table; here it has its effect, once.

One transaction a batch, fenced like all else, so a receipt's outcome is written with what follows from it. A callback that is repeated is the same row;
one about an attempt whose record is still to come waits; one about nothing that is known is kept apart.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import structlog

from services.notifier.book import Book, Notice, Told, Untold
from services.notifier.delivery import Delivery
from services.notifier.exchange import Exchange
from services.notifier.faults import PASSING, retry_seconds
from services.notifier.lanes import Lanes
from services.notifier.metrics import Metrics
from services.notifier.outbox import closing_of, outgoing_of
from services.notifier.receipt import UNKNOWN, Receipt, received
from services.notifier.settings import Settings
from services.notifier.store import Store
from services.runtime import Pulse, Stop

BATCH_MAX: Final = 500


class Receipts:
    """The loop that looks for them."""

    def __init__(self, settings: Settings, store: Store, lanes: Lanes, exchange: Exchange, delivery: Delivery, metrics: Metrics) -> None:
        self.pulse = Pulse()
        self._settings = settings
        self._store = store
        self._lanes = lanes
        self._exchange = exchange
        self._routed = exchange.only is None
        self._delivery = delivery
        self._metrics = metrics
        self._log: Any = structlog.get_logger().bind()

    async def run(self, stop: Stop) -> None:
        """Look until stopped."""
        failures, pause = 0, 0.0
        while not await stop.pause(pause):
            self.pulse.beat()
            pause = self._settings.poll_seconds
            if not self._lanes.owned:
                continue
            try:
                if failures:
                    await self._delivery.publish_again()  # what seemed to fail may have been committed, and nobody was told
                if await self._store.has_receipts() and await self._take() == BATCH_MAX:
                    pause = 0.0
                failures = 0
                self.pulse.commit()
            except PASSING as error:
                failures += 1
                self._metrics.faults.labels("receipts").inc()
                self._log.warning("receipts_failed", fault=type(error).__name__, failures=failures)
                pause = retry_seconds(failures)

    async def _take(self) -> int:
        """One batch; how many were looked at."""
        async with self._store.unit() as unit:
            ours = await unit.fence(self._lanes.owned)
            receipts = await unit.receipts.read_receipts(ours, BATCH_MAX)
            known = [one for one in receipts if one.key is not None]
            keys = list({one.key for one in known if one.key is not None})
            about_wishes = {one.key: one for one in await unit.lock_notices(keys)} if keys else {}
            matches = await unit.read_matches({one.match_id for one in known if one.match_id is not None}) if known else ()
            book = Book(matches, self._settings.language, is_over=self._exchange.is_over)
            self._delivery.forget(book.matches)
            settled, put_off, ends = self._judge(book, receipts, about_wishes)
            records = [outgoing_of(end, self._lanes.now(end.match.area)) for end in ends]
            records += [closing_of(match, self._lanes.now(match.area)) for match in book.let_go(ends)]
            leased = self._delivery.lease(book.new_notices.values())
            await unit.receipts.reopen_notices(book.changed_notices.values())
            await unit.change_matches(book.changed.values())
            await unit.write_notices(book.new_notices.values(), self._delivery.lease_seconds)
            await unit.write_outbox(records)
            await unit.receipts.settle_receipts(settled)
            await unit.receipts.put_off_receipts(put_off)
        self._delivery.announce(records, leased, book)
        self._delivery.look()
        for outcome, count in Counter(outcome for _, outcome in settled).items():
            self._metrics.receipts.labels(outcome).inc(count)
        self._metrics.receipts.labels(UNKNOWN).inc(sum(outcome == UNKNOWN for _, outcome in put_off))
        return len(receipts)

    def _judge(
        self, book: Book, receipts: Sequence[Receipt], about_wishes: dict[Any, Notice]
    ) -> tuple[list[tuple[int, str]], list[tuple[int, str | None]], list[Told | Untold]]:
        settled: list[tuple[int, str]] = []
        put_off: list[tuple[int, str | None]] = []
        ends: list[Told | Untold] = []
        by_key = about_wishes | {notice.key: notice for match in book.matches.values() for notice in match.notices.values()}
        for receipt in receipts:
            if receipt.key is None:
                put_off.append((receipt.id, UNKNOWN))
                continue
            outcome, ended = received(book, receipt, by_key[receipt.key], routed=self._routed, at=self._lanes.now)
            ends += ended
            if outcome is None:
                put_off.append((receipt.id, None))
            else:
                settled.append((receipt.id, outcome))
        return settled, put_off, ends
