"""What the notifier counts. Labels are names of ours: no ids, no areas."""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.errors import SENTENCES

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Times(Histogram):
    """A histogram that takes many values together: of each bucket a lock is taken once, and not of each value two."""

    def observe_all(self, seconds: Sequence[float]) -> None:
        """As `observe` of each."""
        if seconds:
            self._sum.inc(sum(seconds))
            for bucket, count in Tally(bisect_left(self._upper_bounds, one) for one in seconds).items():
                self._buckets[bucket].inc(count)


class Metrics:
    """All series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("lastmetre_notifier_events", "events taken in", ("type", "outcome"), registry=self.registry)
        for reason in SENTENCES:  # else the first dead letter of a kind would be no increase, and no alert would see it
            self.events.labels("invalid", reason)
        self.notices = Counter("lastmetre_notifier_notices", "attempts to deliver a notice", ("channel", "kind", "fate"), registry=self.registry)
        self.ends = Counter("lastmetre_notifier_matches", "matches confirmed or failed", ("end",), registry=self.registry)
        self.delivery_seconds = Times(
            "lastmetre_notifier_delivery_seconds", "one attempt to deliver a notice", ("channel",), buckets=_SECONDS, registry=self.registry
        )
        self.confirm_seconds = Times(
            "lastmetre_notifier_confirm_seconds", "from taking an event in to the commit of what came of its notices", buckets=_SECONDS, registry=self.registry
        )
        self.outbox_backlog = Gauge("lastmetre_notifier_outbox_backlog", "records to publish, of all processes, when last looked", registry=self.registry)
        self.notices_under_way = Gauge("lastmetre_notifier_notices_under_way", "notices to deliver, of all processes, when last looked", registry=self.registry)
        self.in_hand = Gauge("lastmetre_notifier_notices_in_hand", "notices leased by this process", registry=self.registry)
        self.lag = Gauge("lastmetre_notifier_lag_events", "events not taken in yet", ("topic",), registry=self.registry)
        self.commit_age_seconds = Gauge("lastmetre_notifier_commit_age_seconds", "since the last commit, or since nothing was to do", registry=self.registry)
        self.visits = Gauge(
            "lastmetre_notifier_visits", "visits that have no end yet, and those that need attention, of all processes", ("state",), registry=self.registry
        )
        self.closed = Counter("lastmetre_notifier_visits_closed", "ends of visits, corrections included", ("outcome", "by"), registry=self.registry)
        self.receipts = Counter("lastmetre_notifier_receipts", "what came of gateways' callbacks", ("outcome",), registry=self.registry)
        self.channel_down = Gauge(
            "lastmetre_notifier_channel_down", "1 while this process passes a channel over, as it answers nobody", ("channel",), registry=self.registry
        )
        self.faults = Counter("lastmetre_notifier_faults", "faults of the infrastructure, by loop", ("loop",), registry=self.registry)
        self.vault_looks = Counter("lastmetre_notifier_vault_looks", "people looked up in the vault, each in its audit", registry=self.registry)
        self.vault_seconds = Histogram(
            "lastmetre_notifier_vault_seconds", "one transaction with the vault, for all who are looked up together", buckets=_SECONDS, registry=self.registry
        )
        self.unconsented = Counter(
            "lastmetre_notifier_unconsented", "confirmed visits to minors that were called off, as no guardian's consent held any more", registry=self.registry
        )
