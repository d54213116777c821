"""How people call the circles of the ladder. Read once from a file; an id without a name stands for itself."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from services.gateway.roles import Scope
from services.gateway.words import Words

DEFAULT: Final = Path("config/places.toml")


@dataclass(frozen=True, slots=True)
class Places:
    """Names by id, the compounds of each community by area, and what stands before numbers of buildings and units in ids."""

    names: Mapping[str, Words] = field(default_factory=dict)
    compounds: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    prefixes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """From a TOML file; without one, ids stand for themselves.

        Raises:
            OSError, ValueError, KeyError: it is named and can't be used.
        """
        if path is None:
            if not DEFAULT.is_file():
                return cls()
            path = DEFAULT
        document: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
        names: dict[str, Words] = {}
        compounds: dict[str, tuple[tuple[str, str], ...]] = {}
        for area, told in document.items():
            names[area] = _words(told["name"])
            names |= {code: _words(name) for code, name in told.get("communities", {}).items()}
            of_area = [(community, compound) for community, known in told.get("compounds", {}).items() for compound in known]
            names |= {code: _words(name) for known in told.get("compounds", {}).values() for code, name in known.items()}
            compounds[area] = tuple(of_area)
        prefixes = {area: {"building": str(told.get("building", "")), "unit": str(told.get("unit", ""))} for area, told in document.items()}
        return cls(names, compounds, prefixes)

    def name(self, code: str) -> Words:
        """The name of an area, community or compound."""
        return self.names.get(code, (code, code))

    def within(self, scope: Scope) -> Iterator[tuple[str, str]]:
        """The (community, compound) pairs inside a scope."""
        for community, compound in self.compounds.get(scope.area, ()):
            if scope.community in {None, community} and scope.compound in {None, compound}:
                yield community, compound

    def step_id(self, area: str, step: str, written: str) -> str:
        """The id of a building or unit as somebody wrote it: a bare number gets what stands before it in ids."""
        text = written.strip().lower()
        return f"{self.prefixes.get(area, {}).get(step, '')}{text}" if text.isascii() and text.isdigit() else text

    def building(self, area: str, code: str) -> Words:
        """`12 栋`, `building 12`."""
        number = code.removeprefix(self.prefixes.get(area, {}).get("building", ""))
        return f"{number} 栋", f"building {number}"


def _words(pair: Any) -> Words:
    zh, en = pair
    return str(zh), str(en)
