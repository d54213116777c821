"""What the matcher counts, for Prometheus. Labels are types, outcomes and topics: no ids, no places."""

from collections import Counter as Counts

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.registry import MODEL_OF


class Metrics:
    """The matcher's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter("lastmetre_matcher_events", "Events taken in, by type and outcome", ["type", "outcome"], registry=self.registry)
        for kind in ("", *MODEL_OF):  # a counter that only begins with its first dead letter does not increase by it, and no alert would see that one
            self._events.labels(kind, "dead_letter")
        self._batch_seconds = Histogram(
            "lastmetre_matcher_batch_seconds",
            "From the start of a batch to its commit",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=self.registry,
        )
        self._batch_events = Histogram("lastmetre_matcher_batch_events", "Events in a batch", buckets=(1, 10, 100, 500, 1000, 5000), registry=self.registry)
        self.retries = Counter("lastmetre_matcher_database_retries", "Batches tried again", registry=self.registry)
        self.fenced = Counter("lastmetre_matcher_lanes_lost", "Lanes found taken over by another", registry=self.registry)
        self.lanes = Gauge("lastmetre_matcher_lanes", "Lanes owned now", registry=self.registry)
        self.open_wishes = Gauge("lastmetre_matcher_open_wishes", "Wishes waiting for a helper", registry=self.registry)
        self.backlog = Gauge("lastmetre_matcher_outbox_backlog", "Messages committed, not yet on Kafka", registry=self.registry)
        self.lag = Gauge("lastmetre_matcher_lag", "Records not yet taken in", ["topic"], registry=self.registry)

    def batch(self, counts: Counts[tuple[str, str]], seconds: float, events: int) -> None:
        """One batch was committed."""
        for (kind, outcome), number in counts.items():
            self._events.labels(kind, outcome).inc(number)
        self._batch_seconds.observe(seconds)
        self._batch_events.observe(events)
