"""How `play` writes the records of the topics down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.play_results import Results, clear, value_fields

FORTY_NINES = 10**40 - 1


def written(value: bytes, folder: Path) -> list[bytes]:
    """The lines of a file that holds one record of this value."""
    Results({"dead-letters.jsonl": [{"topic": "wishes-dlq", "timestamp": 1, **value_fields(value)}]}, [], [], {}).write(folder)
    return (folder / "dead-letters.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("value", [b'{"n":%d, "half":1.50}' % FORTY_NINES, b'{\n"n": %d,\r\n\t"half":1.50\n}\n' % FORTY_NINES])
def test_a_value_that_is_json_is_written_as_it_was_sent_and_in_one_line(value: bytes, tmp_path: Path) -> None:
    (line,) = written(value, tmp_path)
    assert {"topic": "wishes-dlq", "value": {"n": FORTY_NINES, "half": 1.5}} == json.loads(line)
    assert b"1.50" in line


@pytest.mark.parametrize(("value", "field"), [(b"[" * 2000 + b"]" * 2000, "value"), (b'{"a":NaN}', "value"), (b"\xff", "value_base64")])
def test_what_does_not_parse_is_written_as_text_or_else_as_base64(value: bytes, field: str, tmp_path: Path) -> None:
    (line,) = written(value, tmp_path)
    assert {"topic", field} == json.loads(line).keys()
    assert isinstance(json.loads(line)[field], str)


def test_what_an_earlier_play_left_is_gone_before_the_next_one_and_nothing_else(tmp_path: Path) -> None:
    Results({name: [] for name in ("matches.jsonl", "confirmations.jsonl", "dead-letters.jsonl")}, [], [], {}).write(tmp_path)
    (tmp_path / "day.jsonl").touch()
    clear(tmp_path)
    assert ["day.jsonl"] == [path.name for path in tmp_path.iterdir()]
