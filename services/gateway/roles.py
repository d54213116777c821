"""Who somebody is: roles, how far they see on the ladder, and what they are known by on the topics. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

from schemas.place import Place


class Role(StrEnum):
    """What somebody does here. One account may have several."""

    RESIDENT = "resident"
    GUARDIAN = "guardian"
    VOLUNTEER = "volunteer"
    WORKER = "worker"
    AUDITOR = "auditor"
    INTEGRATOR = "integrator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Scope:
    """A circle of the ladder: everything inside `area`, narrowed by as many steps as are given. No gaps."""

    area: str
    community: str | None = None
    compound: str | None = None
    building: str | None = None
    unit: str | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that are given, widest first."""
        return tuple(step for step in (self.area, self.community, self.compound, self.building, self.unit) if step is not None)

    def covers(self, area: str, place: Place | None = None) -> bool:
        """Whether a place of an area lies inside. Without a place (a thing of the whole area), only a scope of the whole area covers it."""
        theirs = (area,) if place is None else (area, place.community, place.compound, place.building, place.unit)
        return theirs[: len(self.steps)] == self.steps

    @classmethod
    def of(cls, area: str, place: Place) -> Self:
        """The circle that is this place."""
        return cls(area, place.community, place.compound, place.building, place.unit)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks, as the policy sees them. References are the opaque ones of the topics; `account` is ours.

    `via`: how they proved who they are; `link` holds for one purpose on one match or wish only.
    `centre`: the circle for which a volunteer is the centre household (中心户) and may enter wishes for neighbours.
    `acts`: where given, they may do no more than these, whatever their roles: what a key or a token was made for.
    """

    account: str
    roles: frozenset[Role]
    scope: Scope
    volunteer_ref: str | None = None
    resident_refs: frozenset[str] = field(default_factory=frozenset)
    via: Literal["session", "key", "token", "link"] = "session"
    centre: Scope | None = None
    acts: frozenset[str] | None = None

    def has(self, *roles: Role) -> bool:
        """Whether they have one of these roles."""
        return not self.roles.isdisjoint(roles)
