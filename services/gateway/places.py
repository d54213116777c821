"""How people call the circles of the ladder. Read once from a file; an id without a name stands for itself."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from schemas.base import CircleId
from schemas.shapes import WORDS
from services.gateway.roles import Scope
from services.gateway.words import Words

DEFAULT: Final = Path("config/places.toml")


_Name = tuple[Annotated[str, Field(min_length=1, max_length=120)], Annotated[str, Field(min_length=1, max_length=120)]]
_Prefix = Annotated[str, Field(pattern=r"^[a-z0-9-]{0,31}$")]


class _Area(BaseModel):
    """What the file says of one area."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    building: _Prefix = ""
    unit: _Prefix = ""
    communities: dict[CircleId, _Name] = {}
    compounds: dict[CircleId, dict[CircleId, _Name]] = {}


_FILE: Final = TypeAdapter(dict[CircleId, _Area])
_KEYS: Final = ", ".join(_Area.model_fields)
# What pydantic finds fault with here, as a fix.
_FIXES: Final[dict[str, Words]] = {
    "extra_forbidden": (f"没有这一项，只可用 {_KEYS}", f"there is no such key, use {_KEYS}"),
    "model_type": ("请写在片区的表中，如 [area-id]", "write it into the table of an area, such as [area-id]"),
    "string_type": ("请填文字，并加引号", "write a text, in quotation marks"),
    "missing": ('请补上，如 ["中文名", "English name"]', 'add it, such as ["中文名", "English name"]'),
    "string_pattern_mismatch": ("只用 0 至 31 个小写字母、数字或连字符", "use 0 to 31 of a-z, 0-9 and -"),
}
_USUAL_FIX: Final[Words] = ('名称应为 ["中文名", "English name"]，写法见 config/places.toml', 'a name is ["中文名", "English name"], see config/places.toml')


class BadPlaces(ValueError):
    """The file cannot be used; `str()` has one line in Chinese and English a fault."""


@dataclass(frozen=True, slots=True)
class Places:
    """Names by circle, the compounds of each community by area, and what stands before numbers of buildings and units in ids."""

    names: Mapping[tuple[str | None, ...], Words] = field(default_factory=dict)
    """By area, community and compound: an id belongs to the circle that it lies in, and another circle may have one of the same id."""
    compounds: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    prefixes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """From a TOML file; without one, ids stand for themselves.

        Raises:
            BadPlaces: it is not there, is not TOML, or has keys or values that are not possible.
        """
        if path is None:
            if not DEFAULT.is_file():
                return cls()
            path = DEFAULT
        try:
            document = _FILE.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            raise BadPlaces("\n".join(_line(path, fault) for fault in error.errors(include_url=False, include_input=False))) from None
        except (OSError, ValueError) as error:  # also of TOML and UTF-8
            raise BadPlaces(f"{path}：地名文件无法使用：{error} | {path}: the file of places cannot be used: {error}") from None
        names: dict[tuple[str | None, ...], Words] = {}
        for area, told in document.items():
            names |= {(area,): told.name} | {(area, community): name for community, name in told.communities.items()}
            names |= {(area, community, code): name for community, known in told.compounds.items() for code, name in known.items()}
            for code in {code for known in told.compounds.values() for code in known}:
                alike = dict.fromkeys(known[code] for known in told.compounds.values() if code in known)
                names[area, None, code] = " / ".join(name for name, _ in alike), " / ".join(name for _, name in alike)
        compounds = {area: tuple((community, code) for community, known in told.compounds.items() for code in known) for area, told in document.items()}
        prefixes = {area: {"building": told.building, "unit": told.unit} for area, told in document.items()}
        return cls(names, compounds, prefixes)

    def name(self, area: str, *inside: str | None) -> Words:
        """The name of an area, or of a community or compound in it; what has none stands for itself.

        `inside`: community, compound, and so on down; None at the end for what is not known or not said. Where the community alone is not known, all names that
        a compound of this id has in the area.
        """
        circle = (area, *inside)
        while circle[-1] is None:
            circle = circle[:-1]
        code = circle[-1] or area
        return self.names.get(circle, (code, code))

    def within(self, scope: Scope) -> Iterator[tuple[str, str]]:
        """The (community, compound) pairs inside a scope."""
        for community, compound in self.compounds.get(scope.area, ()):
            if scope.community in {None, community} and scope.compound in {None, compound}:
                yield community, compound

    def step_id(self, area: str, step: str, written: str) -> str:
        """The id of a building or unit as somebody wrote it: a bare number gets what stands before it in ids."""
        text = written.strip().lower()
        return f"{self.prefixes.get(area, {}).get(step, '')}{text}" if text.isascii() and text.isdigit() else text

    def written(self, area: str, step: str, code: str) -> str:
        """The id of a building or unit as people write it: a bare number where it is one behind what stands before it in ids."""
        number = code.removeprefix(self.prefixes.get(area, {}).get(step, ""))
        return number if self.step_id(area, step, number) == code else code

    def building(self, area: str, code: str) -> Words:
        """`12 栋`, `building 12`."""
        number = code.removeprefix(self.prefixes.get(area, {}).get("building", ""))
        return f"{number} 栋", f"building {number}"


def _line(path: Path, fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    usual = _FIXES.get(fault["type"], _USUAL_FIX)
    chinese, english = WORDS.get(fault.get("ctx", {}).get("pattern", ""), usual)
    return f"{path}：地名文件中 {name} 不合规：{chinese} | {path}: {name} in the file of places is not valid: {english}"
