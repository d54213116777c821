"""`python -m services.gateway.board`: settings from the environment, then write the board until told to stop.

A process of its own: what people tap and what systems send is answered by another, which the board's work would hold up (docs/decisions/0031).
"""

import sys
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Gauge

from services.gateway.board.reader import Reader
from services.runtime import Ops, Readiness, ServiceSettings, Stop, collect_rarely, start

# A batch may wait for a lock or be halved again and again.
_STUCK_SECONDS = 300.0


def measure(registry: CollectorRegistry, lag: Callable[[], int | None]) -> None:
    """Tell how many records the board is behind (none where somebody else writes it): asked whenever metrics are, and not only with /readyz."""
    behind = Gauge("lastmetre_board_lag_records", "Records that are on the topics and not on the board", registry=registry)
    behind.set_function(lambda: lag() or 0)


async def main(settings: ServiceSettings, stop: Stop) -> None:
    """Write the board until stopped, or wait to take over from whoever does. `database` is the role of the board's one writer."""
    log = structlog.get_logger()
    registry = CollectorRegistry()
    reader = Reader(settings.broker, settings.database.get_secret_value())
    measure(registry, lambda: reader.lag)

    async def ready() -> Readiness:
        lag = reader.lag
        away = reader.is_away
        return Readiness(not away, reader.pulse.commit_age_seconds, {} if lag is None else {"board": lag}, ("away",) if away else ())

    collect_rarely()
    async with Ops(settings.ops_port, {"reader": reader.pulse}, ready, registry, stuck_seconds=_STUCK_SECONDS):
        log.info("started")
        await reader.run(stop)
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(start(ServiceSettings, main))
