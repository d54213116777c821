"""Which channels are out of order just now, so that whoever has another way is told on that and waits for nobody's hands.

A notice tries a channel some eight times, over minutes, before the next one has its turn. Where a gateway answers nobody, all who wait for it would pay that
one after another, and each attempt keeps a hand for as long as it hangs: an hour for a thousand people.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

# So many attempts in a row, over so long a time, without one that was taken or refused.
ROW_MIN: Final = 5
ROW_SECONDS: Final = 20.0
# One notice so often goes to a channel that is out of order all the same, to see whether it still is.
PROBE_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Row:
    """Failures in a row; instants in seconds of the monotonic clock."""

    count: int
    since: float
    down: float | None = None
    probed: float = 0.0


class Outages:
    """What the attempts of this process say of each channel."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._log: Any = structlog.get_logger().bind()

    def note(self, channel: str, *, answered: bool) -> None:
        """An attempt has ended; `answered`: with a yes or a no, and not with "later" or with nothing."""
        if answered:
            if self.is_down(channel):
                self._log.info("channel_up", channel=channel)
            self._rows.pop(channel, None)
            return
        now = self._clock()
        row = self._rows.setdefault(channel, _Row(0, now))
        row.count += 1
        if row.down is None and row.count >= ROW_MIN and now - row.since >= ROW_SECONDS:
            row.down = row.probed = now
            self._log.warning("channel_down", channel=channel, failures=row.count, seconds=round(now - row.since))

    def is_down(self, channel: str) -> bool:
        """Whether it is out of order, as far as we know."""
        return self.found_out(channel) is not None

    def found_out(self, channel: str) -> float | None:
        """Since when that is known, in seconds of the monotonic clock."""
        row = self._rows.get(channel)
        return None if row is None else row.down

    def passes(self, channel: str) -> bool:
        """Whether a notice that has another way should go to this channel."""
        row = self._rows.get(channel)
        if row is None or row.down is None:
            return True
        if self._clock() - row.probed < PROBE_SECONDS:
            return False
        row.probed = self._clock()
        return True
