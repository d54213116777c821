"""What is kept of a person, the shapes it must have, and how it is masked. Nothing here shows a value in `repr` or in an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from schemas import shapes
from schemas.base import PersonRef
from services.vault.faults import BadContact

_MASK_STARS: Final = "****"


def _all_different(channels: list[str]) -> list[str]:
    if len(set(channels)) != len(channels):
        raise ValueError("a channel stands twice")
    return channels


Short = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=shapes.PRINTABLE, strip_whitespace=True)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=shapes.PRINTABLE, strip_whitespace=True)]
Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 -]{4,22}[0-9]$")]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s]+$")]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Account = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=shapes.ID)]


class QuietHours(BaseModel):
    """Local times between which nothing is sent; `since` after `until` goes over midnight."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    since: TimeOfDay
    until: TimeOfDay


class Contact(BaseModel):
    """All that can be known of a person. `compound` and `building` are the rungs in words; `door` leads to the one door, unit included."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    name: Short | None = None
    phone: Phone | None = None
    email: Email | None = None
    wecom: Account | None = None
    dingtalk: Account | None = None
    feishu: Account | None = None
    compound: Short | None = None
    building: Short | None = None
    door: Long | None = None
    channels: Annotated[list[Annotated[str, StringConstraints(pattern=shapes.CHANNEL)]], Field(max_length=8), AfterValidator(_all_different)] | None = None
    language: Literal["zh-CN", "en"] | None = None
    quiet_hours: QuietHours | None = None
    notices_per_day: Annotated[int, Field(ge=1, le=100)] | None = None

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The names of what is given, without values: a log may show a `repr`."""
        return ((None, name) for name in sorted(self.model_fields_set))


class Card(BaseModel):
    """A line of `deploy vault put`: the person, and what is to be kept of them."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    person_ref: PersonRef
    area: Annotated[str, StringConstraints(pattern=shapes.CIRCLE)]
    minor: bool | None = None
    contact: Contact

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Without values."""
        return iter((("person_ref", self.person_ref),))


FIELDS: Final = tuple(Contact.model_fields)
# How somebody wants to be told: read for each notice, all of it, so these lie sealed as one value.
WISHES: Final = ("channels", "language", "quiet_hours", "notices_per_day")
_WISHES: Final = "wishes"
# Under which name a field's value lies sealed.
CELL_OF: Final[Mapping[str, str]] = {name: _WISHES if name in WISHES else name for name in FIELDS}
CELLS: Final = tuple(dict.fromkeys(CELL_OF.values()))
# Read like fields, made from one: what a helper sees in place of it.
VIEWS: Final[Mapping[str, str | None]] = {"phone_masked": "phone", "name_masked": "name", "relay": None}
READABLE: Final = frozenset((*FIELDS, *VIEWS))


def parse_contact(values: Mapping[str, Any]) -> Contact:
    """Check what is to be kept.

    Raises:
        BadContact: names the fields that are not valid, without their values.
    """
    try:
        return Contact.model_validate(dict(values))
    except ValidationError as error:
        raise BadContact(*complaint(error)) from None


def parse_card(line: bytes) -> Card:
    """Check a line of JSON.

    Raises:
        BadContact: it is not JSON, or names the fields that are not valid, without their values.
    """
    try:
        return Card.model_validate_json(line)
    except ValidationError as error:
        raise BadContact(*complaint(error)) from None


def complaint(error: ValidationError) -> tuple[str, str]:
    """The fields that are wrong, in both languages; a name that is not ours may itself be personal, so it is not repeated."""
    known = {*FIELDS, *Card.model_fields, *QuietHours.model_fields}
    named = sorted({".".join(str(part) for part in one["loc"] if part in known) or "-" for one in error.errors(include_input=False, include_url=False)})
    return f"字段不合规或多余：{', '.join(named)}", f"not valid, or no field of ours: {', '.join(named)}"


def cells_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is sealed, by cell, of all fields' values. The wishes stand in their order, without names: so they take the smallest size, as anything usual."""
    return {cell: [values[name] for name in WISHES] if cell == _WISHES else values[cell] for cell in CELLS}


def fields_of(cell: str, value: Any) -> dict[str, Any]:
    """The fields' values again. A field that lies sealed under its own name is one of before the wishes were sealed together."""
    return dict(zip(WISHES, value, strict=False)) if cell == _WISHES else {cell: value}


def mask_phone(phone: str) -> str:
    """`138****1234`: the first three and the last four digits of a long number, less of a short one."""
    digits = re.sub(r"\D", "", phone)
    if len(digits) >= 11:
        digits = digits[-11:]
        return f"{digits[:3]}{_MASK_STARS}{digits[-4:]}"
    return f"{_MASK_STARS}{digits[-2:]}"


def mask_name(name: str) -> str:
    """`王**`: the first character alone; how many follow is not told."""
    return f"{name[:1]}**"


def view(name: str, values: Mapping[str, Any], match_id: str | None) -> Any:
    """The value of a field or a view, from the opened fields."""
    if name == "relay":
        return None if match_id is None else f"relay:{match_id}"
    source = VIEWS.get(name, name)
    assert source is not None
    value = values[source]
    if value is None or name == source:
        return value
    return mask_phone(value) if name == "phone_masked" else mask_name(value)
