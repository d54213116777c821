"""The golden examples: every type has good ones, every reason a bad one, and no file lies there unread."""

from collections import defaultdict

import pytest

from schemas import errors
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.registry import MODEL_OF, PREFIX
from tests.contract import stored
from tests.contract.stored import Stored

GOOD = stored.good()
BAD = stored.bad()
KINDS_OF_FILES = {".json"}


@pytest.mark.parametrize("example", GOOD, ids=lambda example: example.name)
def test_takes_every_good_example_as_the_type_of_its_folder(example: Stored) -> None:
    event = decode(example.topic, example.value, example.headers)

    assert PREFIX + example.path.parent.name == event.type
    assert isinstance(event.data, MODEL_OF[event.type])


@pytest.mark.parametrize("example", BAD, ids=lambda example: example.name)
def test_refuses_every_bad_example_with_its_reason_and_field(example: Stored) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(example.topic, example.value, example.headers)

    assert (example.reason, example.field) == (refusal.value.reason, refusal.value.field)


@pytest.mark.parametrize("example", BAD, ids=lambda example: example.name)
def test_tells_why_in_both_languages_and_names_the_field(example: Stored) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(example.topic, example.value, example.headers)

    chinese, english = str(refusal.value).split(" | ")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert english.isascii()
    assert "schema says" not in english.lower(), "a sentence of its own is missing for this fault"
    if example.field:
        assert example.field in chinese
        assert example.field in english


@pytest.mark.parametrize("example", [e for e in BAD if e.reason == errors.CONTAINS_PERSONAL_DATA], ids=lambda example: example.name)
def test_never_repeats_personal_data_in_the_message(example: Stored) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        decode(example.topic, example.value, example.headers)

    told = str(refusal.value)
    assert not any(number in told for number in ("1380013", "138 0013", "一三八", "510104", "501", "12号", "30.57"))


@pytest.mark.parametrize(("name", "fix"), [("byte-order-mark", "send no byte order mark"), ("time-year-1", "of the years 1970 to 9998")])
def test_names_the_fix_where_a_look_at_the_event_shows_nothing_wrong(name: str, fix: str) -> None:
    """An editor hides the mark, and a clock that was never set writes a sound time."""
    (example,) = (example for example in BAD if example.path.stem == name)
    with pytest.raises(InvalidEvent, match=fix):
        decode(example.topic, example.value, example.headers)


def test_every_type_has_a_minimal_a_full_and_both_content_modes() -> None:
    names = defaultdict(set)
    modes = defaultdict(set)
    for example in GOOD:
        names[example.path.parent.name].add(example.path.stem)
        modes[example.path.parent.name].add(any(name.startswith("ce_") for name, _ in example.headers))

    for kind in MODEL_OF:
        short = kind.removeprefix(PREFIX)
        assert {"minimal", "full", "unknown-fields"} <= names[short], short
        assert {True, False} == modes[short], short
    assert {kind.removeprefix(PREFIX) for kind in MODEL_OF} == set(names), "a folder without a type"


def test_every_reason_that_decoding_gives_has_a_bad_example() -> None:
    given_elsewhere = {errors.DECISION_FAILED}

    assert set(errors.SENTENCES) - given_elsewhere == {example.reason for example in BAD}


def test_no_file_lies_among_the_examples_unread() -> None:
    read = {example.path for example in (*GOOD, *BAD)}

    assert read == {path for path in stored.EXAMPLES.rglob("*") if path.is_file()} - {stored.EXAMPLES / "frozen.json"}


def test_there_are_at_least_thirty_bad_examples() -> None:
    assert len(BAD) >= 30
