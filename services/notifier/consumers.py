"""The consumers of the notifier's readers: one way for all of them; each says its topics and what is its own."""

from typing import Any, Final

import asyncpg

from schemas.topics import EVENT_ACCEPTED_MAX_BYTES, MIB
from services import sessions
from services.broker import CUT_OFF_SECONDS, Consumer, others_in
from services.notifier.settings import Settings
from services.runtime import Pulse, Stop

SESSION_TIMEOUT_MS: Final = 6000
# Who stays learns by the next heartbeat that someone has left.
HEARTBEAT_MS: Final = 500
# So long a way to the broker that ended without a word is taken for one that answers.
_REQUEST_MS: Final = 20_000
_CONNECT_SECONDS: Final = 5.0
_ASK_SECONDS: Final = 1.0


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


async def is_cut_off(settings: Settings, group: str, pulse: Pulse) -> bool:
    """Whether a reader whose work has failed ought to leave its partitions to others: for long nothing was committed, and its database answers nobody here."""
    return pulse.commit_age_seconds > CUT_OFF_SECONDS and not await _answers(settings) and await others_in(settings.broker, group)


async def until_answered(settings: Settings, stop: Stop, pulse: Pulse) -> None:
    """Wait until the database answers again, or we are to stop."""
    with pulse.beating():
        while not await _answers(settings):
            if await stop.pause(_ASK_SECONDS):
                return


async def _answers(settings: Settings) -> bool:
    """Whether anybody speaks there: by a connection of our own, as those of the pool may all be waiting."""
    try:
        connection = await asyncpg.connect(settings.database.get_secret_value(), timeout=_CONNECT_SECONDS)
    except sessions.NO_ANSWER:
        return False
    except asyncpg.PostgresError:
        return True
    connection.terminate()
    return True
