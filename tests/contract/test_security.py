"""The security document against what it speaks of: every requirement of ASVS 5.0 levels 1 and 2 is there once, and every test that it names exists."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.contract.test_docs import ROOT, missing_tests

# part: its numbers that belong to level 1 or 2.
REQUIREMENTS: Final = """
V1.1: 1 2
V1.2: 1 2 3 4 5 6 7 8 9
V1.3: 1 2 3 4 5 6 7 8 9 10 11
V1.4: 1 2 3
V1.5: 1 2
V2.1: 1 2 3
V2.2: 1 2 3
V2.3: 1 2 3 4
V2.4: 1
V3.2: 1 2
V3.3: 1 2 3 4
V3.4: 1 2 3 4 5 6
V3.5: 1 2 3 4 5
V3.7: 1 2
V4.1: 1 2 3
V4.2: 1
V4.3: 1 2
V4.4: 1 2 3 4
V5.1: 1
V5.2: 1 2 3
V5.3: 1 2
V5.4: 1 2 3
V6.1: 1 2 3
V6.2: 1 2 3 4 5 6 7 8 9 10 11 12
V6.3: 1 2 3 4
V6.4: 1 2 3 4
V6.5: 1 2 3 4 5
V6.6: 1 2 3
V6.8: 1 2 3 4
V7.1: 1 2 3
V7.2: 1 2 3 4
V7.3: 1 2
V7.4: 1 2 3 4 5
V7.5: 1 2
V7.6: 1 2
V8.1: 1 2
V8.2: 1 2 3
V8.3: 1
V8.4: 1
V9.1: 1 2 3
V9.2: 1 2 3 4
V10.1: 1 2
V10.2: 1 2
V10.3: 1 2 3 4
V10.4: 1 2 3 4 5 6 7 8 9 10 11
V10.5: 1 2 3 4 5
V10.6: 1 2
V10.7: 1 2 3
V11.1: 1 2
V11.2: 1 2 3
V11.3: 1 2 3
V11.4: 1 2 3 4
V11.5: 1
V11.6: 1
V12.1: 1 2 3
V12.2: 1 2
V12.3: 1 2 3 4
V13.1: 1
V13.2: 1 2 3 4 5
V13.3: 1 2
V13.4: 1 2 3 4 5
V14.1: 1 2
V14.2: 1 2 3 4
V14.3: 1 2 3
V15.1: 1 2 3
V15.2: 1 2 3
V15.3: 1 2 3 4 5 6 7
V16.1: 1
V16.2: 1 2 3 4 5
V16.3: 1 2 3 4
V16.4: 1 2 3
V16.5: 1 2 3
V17.1: 1
V17.2: 1 2 3 4
V17.3: 1 2
"""
TEXT: Final = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS: Final = [row.groups() for row in re.finditer(r"^\| (V\d+\.\d+\.\d+) \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)]


def wanted() -> list[str]:
    """All ids, in order."""
    parts = (line.split(": ") for line in REQUIREMENTS.strip().splitlines())
    return [f"{part}.{number}" for part, numbers in parts for number in numbers.split()]


def is_answered(held: str) -> bool:
    """Whether a row names a test, or says why there is none."""
    return bool(re.match(r"(n/a|doc|gap): \S", held) or re.search(r"`tests/\S+::test_\w+`", held))


def test_every_requirement_of_level_two_is_there_once() -> None:
    assert wanted() == [row[0] for row in ROWS]
    assert 253 == len(ROWS)


def test_every_requirement_names_a_test_or_says_why_there_is_none() -> None:
    assert [] == [row[0] for row in ROWS if not is_answered(row[2])]


def test_every_test_that_is_named_is_there() -> None:
    assert [] == missing_tests(TEXT)
    assert 100 < TEXT.count("::test_")


def test_the_document_tells_how_many_requirements_are_not_met() -> None:
    told = re.search(r"not met yet, (\d+) of them", TEXT)
    assert told is not None
    assert int(told[1]) == sum(row[2].startswith("gap: ") for row in ROWS)


@pytest.mark.parametrize(("held", "answered"), [("n/a: no files", True), ("n/a:", False), ("later", False), ("`tests/unit/test_x.py::test_y`", True)])
def test_a_row_without_an_answer_would_be_found(held: str, answered: bool) -> None:
    assert answered == is_answered(held)
