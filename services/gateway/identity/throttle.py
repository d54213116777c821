"""Token buckets in memory: how often something may be done by one account or from one address. Pure; the clock is an argument."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_KEYS_MAX: Final = 50_000


def measured_by(address: str) -> str:
    """What of an address is counted: of IPv6 the network of 64 bits, as whoever has one address has all of it; of anything else the whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, and `per_second` on the average."""

    burst: float
    per_second: float


class Buckets:
    """One bucket a key. Where there are too many keys the one that was asked longest ago is forgotten, which is the fullest as a rule."""

    def __init__(self, rate: Rate, *, keys_max: int = _KEYS_MAX) -> None:
        self.rate = rate
        self._keys_max = keys_max
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take a token, or tell how long to wait for one."""
        level, at = self._levels.pop(key, (self.rate.burst, now))
        level = min(self.rate.burst, level + (now - at) * self.rate.per_second)
        wait = 0.0
        if level >= 1:
            level -= 1
        else:
            wait = (1 - level) / self.rate.per_second
        self._levels[key] = (level, now)
        if len(self._levels) > self._keys_max:
            self._levels.popitem(last=False)
        return wait

    def give_back(self, key: str) -> None:
        """Put one token back."""
        level, at = self._levels.get(key, (self.rate.burst, 0.0))
        if key in self._levels:
            self._levels[key] = (min(self.rate.burst, level + 1), at)

    def fill(self, key: str) -> None:
        """As if nothing had been taken."""
        self._levels.pop(key, None)
