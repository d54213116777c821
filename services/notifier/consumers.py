"""The consumers of the notifier's readers: one way for all of them; each says its topics and what is its own."""

from typing import Any, Final

from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, MIB
from services.broker import Consumer
from services.notifier.settings import Settings

SESSION_TIMEOUT_MS: Final = 6000
# Who stays learns by the next heartbeat that someone has left.
HEARTBEAT_MS: Final = 500
# So long a way to the broker that ended without a word is taken for one that answers.
_REQUEST_MS: Final = 20_000


def consumer_of(settings: Settings, **own: Any) -> Consumer:
    """A consumer that commits nothing by itself and begins at the start of a topic, not started yet.

    Args: `own`: its client's id, its group, and what else it needs.
    """
    return Consumer(
        **settings.broker.client(),
        # Under a name of its own a process that was killed and comes back has its partitions at once: nobody waits for its old session to end.
        group_instance_id=settings.instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        request_timeout_ms=_REQUEST_MS,
        max_partition_fetch_bytes=EVENT_ACCEPTED_MAX_BYTES,
        fetch_max_bytes=16 * MIB,
        max_poll_records=settings.batch_max,
        retry_backoff_ms=50,
        **own,
    )
