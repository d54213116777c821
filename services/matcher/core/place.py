"""Places as tuples, circles as their beginnings, and the rung between two places."""

from typing import Final, TypeAlias

# (community, compound, building, unit); what is not named is None.
PlaceKey: TypeAlias = tuple[str, str | None, str | None, str | None]
Circle: TypeAlias = tuple[str, ...]

UNIT, BUILDING, COMPOUND, COMMUNITY, AREA = range(5)
RUNGS: Final = ("unit", "building", "compound", "community", "area")
RUNG_OF: Final = {name: rung for rung, name in enumerate(RUNGS)}


def rung_between(one: PlaceKey, other: PlaceKey) -> int:
    """The smallest circle that both places name and share, from UNIT (0) to AREA (4)."""
    if one[0] != other[0]:
        return AREA
    if one[1] is None or one[1] != other[1]:
        return COMMUNITY
    if one[2] is None or one[2] != other[2]:
        return COMPOUND
    if one[3] is None or one[3] != other[3]:
        return BUILDING
    return UNIT


def circles_of(place: PlaceKey) -> list[tuple[int, Circle]]:
    """(rung, circle) of every circle that the place names, nearest first; the area's circle is ()."""
    community, compound, building, unit = place
    circles: list[tuple[int, Circle]] = [(AREA, ()), (COMMUNITY, (community,))]
    if compound is not None:
        circles.append((COMPOUND, (community, compound)))
        if building is not None:
            circles.append((BUILDING, (community, compound, building)))
            if unit is not None:
                circles.append((UNIT, (community, compound, building, unit)))
    circles.reverse()
    return circles
