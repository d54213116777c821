"""What was once taken is taken for ever: version 1 only grows by optional fields.

`baseline/v1.0.json` holds the JSON Schemas of the first release, `schemas/examples/frozen.json` the SHA-256 of each example that was
released. Neither is ever written again; new examples are added to the second with `python -m tests.contract.test_compatibility`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from schemas import export
from schemas.codec import decode, decode_structured, headers_of, structured
from schemas.registry import MODEL_OF
from tests.contract import stored
from tests.contract.stored import Stored

BASELINE: dict[str, Any] = json.loads((Path(__file__).parent / "baseline" / "v1.0.json").read_text(encoding="utf-8"))
FROZEN = stored.EXAMPLES / "frozen.json"
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def _hashes() -> dict[str, str]:
    return {example.name: hashlib.sha256(example.path.read_bytes()).hexdigest() for example in stored.good()}


def narrowings(old: Any, new: Any, old_whole: Any, new_whole: Any, path: str = "data") -> list[str]:
    """What the new JSON Schema refuses or loses of what the old one took."""
    old, new = _followed(old, old_whole), _followed(new, new_whole)
    found = []
    if "anyOf" in old or "anyOf" in new:
        old_choices, new_choices = old.get("anyOf", [old]), new.get("anyOf", [new])
        return [f"{path}: a choice is gone" for choice in old_choices if all(narrowings(choice, other, old_whole, new_whole, path) for other in new_choices)]
    if old.get("type") != new.get("type"):
        found.append(f"{path}: another type")
    if set(new.get("required", [])) - set(old.get("required", [])):
        found.append(f"{path}: more is required")
    if new.get("pattern") != old.get("pattern"):
        found.append(f"{path}: another pattern")
    if set(old.get("enum", [])) - set(new.get("enum", old.get("enum", []))) or ("enum" in new and "enum" not in old):
        found.append(f"{path}: a word is gone")
    found += [f"{path}: {name} is higher" for name in _LOWER_BOUNDS if new.get(name, 0) > old.get(name, 0)]
    found += [f"{path}: {name} is lower" for name in _UPPER_BOUNDS if new.get(name, float("inf")) < old.get(name, float("inf"))]
    for name, child in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            found.append(f"{path}.{name}: gone")
        else:
            found += narrowings(child, new["properties"][name], old_whole, new_whole, f"{path}.{name}")
    if "items" in old:
        found += narrowings(old["items"], new.get("items", {}), old_whole, new_whole, f"{path}[]")
    return found


def _followed(node: Any, whole: Any) -> Any:
    return whole["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


@pytest.mark.parametrize("kind", BASELINE)
def test_a_type_of_the_first_release_takes_all_that_it_took_then(kind: str) -> None:
    now = export.json_schema(kind)

    assert [] == narrowings(BASELINE[kind], now, BASELINE[kind], now)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"required": ["wish_id", "area", "reason"]}, "data: more is required"),
        ({"properties": {"wish_id": {"type": "string"}, "area": {"type": "string"}}}, "data.reason: gone"),
        ({"type": "array"}, "data: another type"),
    ],
)
def test_the_comparison_sees_a_narrower_schema(change: dict[str, Any], told: str) -> None:
    old = export.json_schema("lastmetre.wish.withdrawn.v1")

    assert told in narrowings(old, {**old, **change}, old, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"type": "string"}, {"type": "string", "pattern": "^a$"}),
        ({"type": "integer", "maximum": 10}, {"type": "integer", "maximum": 9}),
        ({"type": "integer"}, {"type": "integer", "minimum": 1}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "integer"}}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}),
    ],
)
def test_the_comparison_sees_every_kind_of_narrowing(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert 1 == len(narrowings(old, new, old, new))


def test_the_comparison_lets_a_type_grow() -> None:
    old = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 1}}}
    new = {"type": "object", "required": [], "properties": {"a": {"anyOf": [{"type": "integer", "maximum": 2}]}, "b": {"type": "string"}}}

    assert [] == narrowings(old, new, old, new)


def test_no_type_of_the_first_release_is_gone() -> None:
    assert BASELINE.keys() <= MODEL_OF.keys()


def test_no_released_example_is_changed_or_gone() -> None:
    frozen: dict[str, str] = json.loads(FROZEN.read_text(encoding="utf-8"))
    present = _hashes()

    assert frozen == {name: present.get(name) for name in frozen}
    assert frozen.keys() == present.keys(), "freeze the new ones: python -m tests.contract.test_compatibility"


@pytest.mark.parametrize("example", stored.good(), ids=lambda example: example.name)
def test_a_stored_event_reads_the_same_from_the_wire_and_from_a_journal(example: Stored) -> None:
    event = decode(example.topic, example.value, example.headers)

    again = decode_structured(structured(event))

    assert event.data == again.data
    assert (event.id, event.source, event.type, event.time, event.subject) == (again.id, again.source, again.type, again.time, again.subject)
    assert event.extensions == again.extensions


def test_reads_a_proposal_from_before_its_optional_fields_were_added() -> None:
    old = stored.read(stored.EXAMPLES / "good" / "match.proposed.v1" / "minimal.json")
    event = decode(old.topic, old.value, old.headers)

    assert (False, None, None) == (event.data.needs_approval, event.data.category, event.data.urgency)


@pytest.mark.parametrize("kind", MODEL_OF)
def test_reads_an_event_of_a_newer_minor_version(kind: str) -> None:
    name = kind.removeprefix("lastmetre.")
    minimal = stored.read(stored.EXAMPLES / "good" / name / "minimal.json")
    event = decode(minimal.topic, minimal.value, minimal.headers)
    newer = json.dumps({**json.loads(event.raw), "added_later": {"by": "a newer version"}}).encode()

    read = decode(minimal.topic, newer, headers_of(kind, event.id, event.source, event.time_text, event.subject, event.area))

    assert newer == read.raw
    assert {"added_later": {"by": "a newer version"}} == read.data.model_extra


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(_hashes(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
