"""Which partitions this process owns, under which epoch, and what time it is there.

`inbox` takes partitions over and lets them go; `delivery` and `outbox` ask before they write. Whether an epoch still counts is decided by
PostgreSQL in each transaction; this is what we believe in between.
"""

import time
from collections.abc import Iterable
from typing import Final

from schemas.instants import rfc3339
from services.runtime import Clock, Stop

_BEAT_SECONDS: Final = 0.5
# Less than the group's session: who stood still for that long may have lost their partitions, and hears of it only when they go on.
_STILL_SECONDS: Final = 5.0


class Lanes:
    """Partitions of `matches` with their epochs, and the clocks of their areas in microseconds since 1970."""

    def __init__(self, clock: Clock) -> None:
        self._by_event = clock == "event"
        self._epochs: dict[int, int] = {}
        self._doubted: set[int] = set()
        self._clocks: dict[str, tuple[int, int]] = {}
        self._beat_at = time.time()  # the wall's: the other one stands still with a machine that sleeps
        self._stood_still = False

    async def beat(self, stop: Stop) -> None:
        """Notice when this process has stood still."""
        while not await stop.pause(_BEAT_SECONDS):
            self._stood_still = self.in_doubt
            self._beat_at = time.time()

    @property
    def in_doubt(self) -> bool:
        """Whether this process stood still for so long that another may own what it takes for its own; until `certain` is called nobody must speak for it."""
        return self._stood_still or abs(time.time() - self._beat_at) > _STILL_SECONDS

    def certain(self) -> None:
        """What was in doubt has been let go."""
        self._beat_at, self._stood_still = time.time(), False

    @property
    def owned(self) -> dict[int, int]:
        """Epochs by partition, a copy."""
        return dict(self._epochs)

    @property
    def doubted(self) -> frozenset[int]:
        """What was ours until a fault of the infrastructure, and will be taken over again unless the group says otherwise."""
        return frozenset(self._doubted)

    def doubt(self, partitions: Iterable[int]) -> None:
        """Whether they are still ours nobody can say just now. What was done for them meanwhile is neither written nor forgotten."""
        self.drop(partitions := list(partitions))
        self._doubted.update(partitions)

    def __contains__(self, partition: int) -> bool:
        return partition in self._epochs

    def epochs_of(self, partitions: Iterable[int]) -> dict[int, int]:
        """The epochs of those of them that are ours."""
        return {partition: self._epochs[partition] for partition in sorted(set(partitions)) if partition in self._epochs}

    def take(self, partition: int, epoch: int, clocks: dict[str, int]) -> None:
        """It is ours now, and its areas' clocks are what is stored of them."""
        self._epochs[partition] = epoch
        self._doubted.discard(partition)
        for area in [area for area, (at, _) in self._clocks.items() if at == partition]:
            del self._clocks[area]
        for area, micros in clocks.items():
            self._clocks[area] = (partition, micros)

    def drop(self, partitions: Iterable[int]) -> None:
        """They are no longer ours, or not certain to be.

        Their areas' clocks stay known until they are taken anew: who is in the middle of a transaction may yet commit it, and must not date it by the wall.
        """
        for partition in set(partitions):
            self._epochs.pop(partition, None)
            self._doubted.discard(partition)

    def later(self, seen: Iterable[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
        """What the (area, partition, time) of events set forward: area -> (partition, micros). Empty where the wall's clock counts."""
        if not self._by_event:
            return {}
        found: dict[str, tuple[int, int]] = {}
        for area, partition, micros in seen:
            known = found.get(area) or self._clocks.get(area)
            if known is None or known[1] < micros:
                found[area] = (partition, micros)
        return found

    def set_forward(self, clocks: dict[str, tuple[int, int]]) -> None:
        """Once that is committed."""
        self._clocks.update(clocks)

    def clocks(self) -> dict[str, tuple[int, int]]:
        """All of them, a copy: for `put_back`, where what set them forward was not committed."""
        return dict(self._clocks)

    def put_back(self, clocks: dict[str, tuple[int, int]]) -> None:
        """As they were."""
        self._clocks = dict(clocks)

    def micros(self, area: str) -> int:
        """The service's clock in an area, in microseconds since 1970."""
        known = self._clocks.get(area)
        return known[1] if known is not None else time.time_ns() // 1000

    def now(self, area: str) -> str:
        """The same as RFC 3339."""
        return rfc3339(self.micros(area))
