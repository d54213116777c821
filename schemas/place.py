"""The ladder `area / community / compound / building / unit`, and the rung between two places.

A *rung* is the smallest circle that two places both name and share. No door, street or coordinate has a place here.
"""

from enum import StrEnum

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from schemas.base import CircleId, Incoming


class Rung(StrEnum):
    """Circles from the nearest to the widest."""

    UNIT = "unit"
    BUILDING = "building"
    COMPOUND = "compound"
    COMMUNITY = "community"
    AREA = "area"


class Place(Incoming):
    """Where someone lives, down to the unit and never to the door; no step of the ladder may be left out."""

    community: CircleId
    compound: CircleId | None = None
    building: CircleId | None = None
    unit: CircleId | None = None

    @model_validator(mode="after")
    def _has_no_gaps(self) -> "Place":
        if (self.unit is not None and self.building is None) or (self.building is not None and self.compound is None):
            missing = "building" if self.building is None and self.unit is not None else "compound"
            raise PydanticCustomError("missing_field", "a step of the ladder is missing", {"at": missing})
        return self
