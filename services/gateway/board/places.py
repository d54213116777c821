"""The map of rungs: community → compound → building, each with what waits there and how hot that is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_HEATS: Final = 5


@dataclass(slots=True)
class Circle:
    """One circle of the ladder and those inside it. `heat`: 0 (nobody waits) to 5, against the hottest circle of its kind."""

    name: str
    waiting: int = 0
    matched: int = 0
    closed: int = 0
    risk: int = 0
    heat: int = 0
    inside: dict[str, "Circle"] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Count a row of the map."""
        self.waiting += row["waiting"]
        self.matched += row["matched"]
        self.closed += row["closed"]
        self.risk += row["risk"]


def map_of(rows: Sequence[dict[str, Any]]) -> list[Circle]:
    """Communities with their compounds and buildings, hottest first. Wishes that name no compound or building count in the wider circle alone."""
    top = Circle("")
    for row in rows:
        circle = top
        for step in ("community", "compound", "building"):
            if not row[step]:
                break
            circle = circle.inside.setdefault(row[step], Circle(row[step]))
            circle.add(row)
    level = [top]
    while level:
        inside = [circle for outer in level for circle in outer.inside.values()]
        hottest = max((circle.waiting for circle in inside), default=0)
        for circle in inside:
            circle.heat = 0 if not circle.waiting else max(1, round(_HEATS * circle.waiting / hottest))
        for outer in level:
            outer.inside = dict(sorted(outer.inside.items(), key=lambda item: (-item[1].risk, -item[1].waiting, item[0])))
        level = inside
    return list(top.inside.values())
