"""Which lane an area belongs to: the partition that Kafka's default partitioner gives its key, the same on every topic."""

from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2

from schemas.topics import PARTITIONS

_SIGN: Final = 0x7FFFFFFF


@lru_cache(maxsize=4096)
def partition_of(area: str) -> int:
    """The partition of an area's events."""
    hashed: int = murmur2(area.encode()) & _SIGN
    return hashed % PARTITIONS


def is_misplaced(area: str, partitionkey: str, partition: int, key: bytes | None) -> bool:
    """Whether an event of that area came under another key or partition; the matcher publishes it again where it belongs."""
    return partitionkey != area or partition != partition_of(area) or key is None or key != area.encode()
