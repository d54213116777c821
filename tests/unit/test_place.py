"""The ladder of places: no gaps, small ids, rungs from the nearest to the widest."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import InvalidEvent, from_validation
from schemas.place import Place, Rung

WHOLE = {"community": "tianfu-changcheng", "compound": "yulin-garden", "building": "3", "unit": "2"}


def fault(place: dict[str, Any]) -> InvalidEvent:
    with pytest.raises(ValidationError) as caught:
        Place.model_validate(place)
    return from_validation(caught.value, "data.place")


def test_rungs_go_from_the_nearest_to_the_widest() -> None:
    assert ["unit", "building", "compound", "community", "area"] == [rung.value for rung in Rung]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_place_may_end_at_any_step(steps: int) -> None:
    named = dict(list(WHOLE.items())[:steps])

    assert named == Place.model_validate(named).model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [(["compound"], "compound"), (["building"], "building"), (["compound", "building"], "building"), (["compound", "unit"], "compound")],
)
def test_a_step_in_between_may_not_be_left_out(left_out: list[str], missing: str) -> None:
    told = fault({step: name for step, name in WHOLE.items() if step not in left_out})

    assert ("missing_field", f"data.place.{missing}") == (told.reason, told.field)


def test_a_place_without_a_community_is_none() -> None:
    assert ("missing_field", "data.place.community") == (fault({}).reason, fault({}).field)


@pytest.mark.parametrize("name", ["", "A", "a b", "a_b", "天府", "a" * 33, "a\n", "a/b", None, 3])
def test_ids_of_circles_are_small_letters_digits_and_hyphens(name: Any) -> None:
    assert ("invalid_field", "data.place.community") == (fault({"community": name}).reason, fault({"community": name}).field)
