"""The streams that are measured, and the policies that are compared on them, by name."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from benchmarks.quality.generator import Shape
from services.matcher.core.policy import Policy

AMPLE: Final = Shape("ample", days=3, wishes=600, supply=12.0, streams=2)
BALANCED: Final = Shape("balanced", days=3, wishes=600, supply=1.5, streams=2)
SCARCE: Final = Shape("scarce", days=3, wishes=600, supply=1.0, streams=2)
# Three quarters as many wishes as helpers; each helper comes out several times in the month.
MONTH: Final = Shape("month", days=30, wishes=1200, helpers=1600, visits=(4, 5, 6))
FULL: Final = (AMPLE, BALANCED, SCARCE, MONTH)
SHORT: Final = (
    *(replace(shape, days=1, wishes=200, streams=1) for shape in (AMPLE, BALANCED, SCARCE)),
    replace(MONTH, days=7, wishes=150, helpers=200),
)

AT_ONCE: Final = "at once"
SHIPPED: Final = "as shipped"
POLICIES: Final = {AT_ONCE: Policy.at_once, SHIPPED: Policy}
# How much longer or shorter wishes wait for a better helper than as shipped, for the curve.
PATIENCE: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)


def policies(names: Iterable[str]) -> dict[str, Policy]:
    """These policies, in that order.

    Raises:
        KeyError: one has no such name.
    """
    return {name: POLICIES[name]() for name in names}


def patient(factor: float) -> Policy:
    """The shipped policy with its patience multiplied."""
    policy = Policy()
    return replace(policy, patience_us={urgency: round(length * factor) for urgency, length in policy.patience_us.items()})
