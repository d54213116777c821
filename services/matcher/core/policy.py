"""The limits that are policy and not contract. One value an area; validated when made."""

from dataclasses import dataclass, field

from schemas.instants import MINUTE_US


@dataclass(frozen=True, slots=True)
class Policy:
    """`answer_us`: how long a volunteer who is asked may take, by urgency, in microseconds."""

    answer_us: dict[str, int] = field(default_factory=lambda: {"red": 10 * MINUTE_US, "yellow": 60 * MINUTE_US, "blue": 12 * 60 * MINUTE_US})
