"""The streams that are measured, and the policies that are compared on them, by name."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from deploy.whatif.shapes import AMPLE, BALANCED, MONTH, SCARCE
from services.matcher.core.policy import Policy

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
