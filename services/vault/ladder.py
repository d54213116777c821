"""The address ladder, pure: what of a resident a helper may see, and when.

The compound before acceptance, the building after it, the door only for the confirmed helper and only around the visit; then everything is masked again.
`visible` is the whole of the rule: what it does not name is denied.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Stage: TypeAlias = Literal["proposed", "agreed", "confirmed", "started", "finished", "closed", "released"]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
OVER: Final[frozenset[Stage]] = frozenset({"closed", "released"})
NOTHING: Final[frozenset[str]] = frozenset()


class Slot(NamedTuple):
    """When the visit is: two aware instants."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Ladder:
    """The limits: from when the door is shown, until when at the latest, and how a helper reaches a resident.

    `after_seconds` counts from the end of the slot: a visit that nobody closes does not leave a door open for ever.
    """

    before_seconds: int = 2 * 3600
    after_seconds: int = 24 * 3600
    contact: Literal["masked", "relay"] = "masked"

    @property
    def reach(self) -> str:
        """The field by which a helper reaches the resident."""
        return "phone_masked" if self.contact == "masked" else "relay"


def visible(stage: Stage | None, now: datetime, slot: Slot, ladder: Ladder) -> frozenset[str]:
    """The fields of the resident that the helper of this match may see now. `None` is a match that is not known."""
    if stage is None or stage == "released":
        return NOTHING
    if stage in {"proposed", "closed"}:
        return frozenset({"compound"})
    if stage == "agreed":
        return frozenset({"compound", "building"})
    # Confirmed, started or finished.
    if now >= slot.end + timedelta(seconds=ladder.after_seconds):
        return frozenset({"compound"})
    told = frozenset({"compound", "building", "name_masked", ladder.reach})
    if now < slot.start - timedelta(seconds=ladder.before_seconds):
        return told
    return told | {"name", "door"}
