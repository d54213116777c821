"""Topic `wishes`: what residents wish for, and what they take back."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.base import EventId, Incoming, Instant, Language, Minutes, OfArea, PersonRef, Skill, Text, Title, VettingLevel
from schemas.place import Place

Category = Literal[
    "elder_care",
    "disability_help",
    "left_behind_children",
    "household",
    "repair",
    "study",
    "health",
    "culture",
    "other",
]
Urgency = Literal["red", "yellow", "blue"]
AgeBand = Literal["under_14", "under_18", "adult", "elder"]


class WishWindow(Incoming):
    """When the help is wanted; `end` is the deadline. Its length is judged against the wish's `minutes`."""

    start: Instant
    end: Instant


class Beneficiary(Incoming):
    """For whom, in the coarsest words that safety allows."""

    age_band: AgeBand
    lives_alone: bool | None = None


class WishSubmitted(OfArea):
    """`lastmetre.wish.submitted.v1`: one micro-wish. `minutes` is the visit's length."""

    wish_id: EventId
    place: Place
    category: Category
    skills: Annotated[list[Skill], Field(min_length=1, max_length=8)]
    urgency: Urgency
    window: WishWindow
    minutes: Minutes = 60
    helpers_needed: Annotated[int, Field(ge=1, le=10)] = 1
    beneficiary: Beneficiary
    vetting_min: VettingLevel = 0
    approval: Literal["none", "worker"] = "none"
    accompanied: bool = False
    languages: Annotated[list[Language], Field(max_length=20)] | None = None
    title: Title
    note: Text | None = None
    resident_ref: PersonRef

    @model_validator(mode="after")
    def _window_is_long_enough(self) -> "WishSubmitted":
        if (self.window.end - self.window.start).total_seconds() < self.minutes * 60:
            raise PydanticCustomError("window_too_short", "window is shorter than minutes", {"at": "window"})
        return self


class WishWithdrawn(OfArea):
    """`lastmetre.wish.withdrawn.v1`: the resident no longer wishes it."""

    wish_id: EventId
    reason: Text | None = None


class ConsentWithdrawn(WishWithdrawn):
    """`lastmetre.consent.withdrawn.v1`: consent is gone, so nothing about this wish may go on."""


TYPES: Final[dict[str, type[Incoming]]] = {
    "lastmetre.wish.submitted.v1": WishSubmitted,
    "lastmetre.wish.withdrawn.v1": WishWithdrawn,
    "lastmetre.consent.withdrawn.v1": ConsentWithdrawn,
}
