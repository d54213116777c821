"""What all event models share: strict types, the shapes of ids, and the check of free text."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.personal import find_personal_data, is_bare_number


class Incoming(BaseModel):
    """Exact types. On the way in, unknown optional fields are let through (they may come from a newer minor version) and
    kept apart, so that they can be searched for personal data; :func:`schemas.codec.check_outgoing` forbids them."""

    model_config = ConfigDict(strict=True, extra="allow")


def _no_personal_data(text: str) -> str:
    if find_personal_data(text) is not None:
        raise PydanticCustomError("contains_personal_data", "holds a phone, identity-card or door number")
    return text


def _opaque(text: str) -> str:
    if is_bare_number(text):
        raise PydanticCustomError("contains_personal_data", "a phone or identity-card number is not an opaque reference")
    return text


# Anything printable without blanks: integrators bring ids of their own systems.
_ID = StringConstraints(min_length=1, max_length=128, pattern=r"^[^\s\x00-\x1f\x7f-\x9f]+$")
EventId = Annotated[str, _ID]
# Whom it is about: opaque, so that only the vault can say who that is.
PersonRef = Annotated[str, _ID, AfterValidator(_opaque)]
CircleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Skill = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]
# BCP 47 tags, such as zh-CN, and local names of dialects.
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,35}$")]
_PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
Title = Annotated[
    str, StringConstraints(min_length=1, max_length=60, pattern=_PRINTABLE), AfterValidator(_no_personal_data)
]
Text = Annotated[str, StringConstraints(max_length=500, pattern=_PRINTABLE), AfterValidator(_no_personal_data)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=120, pattern=_PRINTABLE), AfterValidator(_no_personal_data)
]
Minutes = Annotated[int, Field(ge=15, le=480)]
VettingLevel = Annotated[int, Field(ge=0, le=4)]
Instant = AwareDatetime
Outcome = Literal["done", "partly", "not_done"]


class Window(Incoming):
    """A stretch of time, start before end."""

    start: Instant
    end: Instant

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> "Window":
        if not self.start < self.end:
            raise PydanticCustomError("window_inverted", "end must be later than start")
        return self


class Slot(Incoming):
    """When a helper comes: start and end, exactly the wish's minutes apart."""

    start: Instant
    end: Instant


class OfArea(Incoming):
    """What every event of an area names; the area decides the key and so the partition."""

    area: CircleId


class AboutPair(OfArea):
    """What every answer names: the wish, the offer, and perhaps the match."""

    wish_id: EventId
    offer_id: EventId
    match_id: EventId | None = None
