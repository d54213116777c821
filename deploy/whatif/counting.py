"""The arithmetic of comparing: percentiles, and how evenly something is spread. No I/O."""

from collections.abc import Sequence
from math import ceil


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these values, in order, that at least this share of them does not exceed."""
    return ordered[max(0, ceil(len(ordered) * share) - 1)]


def gini(tasks: Sequence[int]) -> float:
    """0 where everyone has as many, towards 1 where one has all."""
    total = sum(tasks)
    if not total:
        return 0.0
    ordered = sorted(tasks)
    return 2 * sum(rank * number for rank, number in enumerate(ordered, 1)) / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)
