"""The planted bugs can be planted; that the tests find them is for `python -m tests.mutants`."""

from __future__ import annotations

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.run import ROOT, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_its_file_and_still_compiles(mutant: Mutant) -> None:
    compile(mutated(mutant), mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_should_catch_a_mutant_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


def test_there_are_at_least_thirty_mutants_each_with_a_name_of_its_own() -> None:
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS}) >= 30
