"""What all event models share: strict types, the shapes of ids, and the check of free text."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from schemas import shapes
from schemas.personal import find_personal_data, is_bare_number


class Incoming(BaseModel):
    """Exact types; fields that no model knows are let through, as they may come from a newer minor version.

    They are kept apart, so that they can be searched for personal data; :func:`schemas.codec.check_outgoing` forbids them.
    An error that ends in a log repeats no title and no note.
    """

    model_config = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True)


def _no_personal_data(text: str) -> str:
    if find_personal_data(text) is not None:
        raise PydanticCustomError("contains_personal_data", "holds a phone, identity-card or door number, or an e-mail address")
    return text


def _opaque(text: str) -> str:
    if is_bare_number(text):
        raise PydanticCustomError("contains_personal_data", "a phone or identity-card number is not an opaque reference")
    return text


class _Rfc3339:
    """A datetime that comes as RFC 3339 text: pydantic alone would also take epoch seconds and shortened times.

    All of it runs in pydantic's core, without a call into Python.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Text of the one shape from JSON; an aware datetime from Python."""
        moment = core_schema.datetime_schema(tz_constraint="aware", strict=False)
        text = core_schema.str_schema(pattern=shapes.INSTANT, strict=True)
        return core_schema.json_or_python_schema(
            json_schema=core_schema.chain_schema([text, moment]),
            python_schema=core_schema.datetime_schema(tz_constraint="aware", strict=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As JSON Schema says it."""
        return {"type": "string", "format": "date-time", "pattern": shapes.INSTANT}


_ID = StringConstraints(min_length=1, max_length=128, pattern=shapes.ID)
EventId = Annotated[str, _ID]
# Whom it is about: opaque, so that only the vault can say who that is.
PersonRef = Annotated[str, _ID, AfterValidator(_opaque)]
CircleId = Annotated[str, StringConstraints(pattern=shapes.CIRCLE)]
Skill = Annotated[str, StringConstraints(pattern=shapes.SKILL)]
Language = Annotated[str, StringConstraints(pattern=shapes.LANGUAGE)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=shapes.PRINTABLE), AfterValidator(_no_personal_data)]
Text = Annotated[str, StringConstraints(max_length=500, pattern=shapes.PRINTABLE), AfterValidator(_no_personal_data)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=shapes.PRINTABLE), AfterValidator(_no_personal_data)]
Minutes = Annotated[int, Field(ge=15, le=480)]
VettingLevel = Annotated[int, Field(ge=0, le=4)]
Instant = Annotated[datetime, _Rfc3339]
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
