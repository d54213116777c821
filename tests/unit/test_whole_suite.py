"""How the whole suite is shared among its processes."""

from __future__ import annotations

import pytest

from deploy.cli import WHOLE_SUITE
from tests.conftest import ByStage


def scope_of(nodeid: str) -> str:
    return ByStage.__new__(ByStage)._split_scope(nodeid)


@pytest.mark.parametrize("folder", ["tests/browser/", "tests/integration/gateway/"])
def test_who_shares_a_stage_shares_a_worker(folder: str) -> None:
    assert {folder} == {scope_of(f"{folder}test_one.py::test_a"), scope_of(f"{folder}test_other.py::test_b[360-en]")}


def test_elsewhere_a_worker_takes_a_file() -> None:
    assert "tests/integration/test_links.py" == scope_of("tests/integration/test_links.py::test_a[x::y]")
    assert "tests/unit/test_day.py" != scope_of("tests/unit/test_place.py::test_a")


def test_the_suite_is_shared_by_files_in_their_order() -> None:
    assert "loadfile" == WHOLE_SUITE[WHOLE_SUITE.index("--dist") + 1]
    assert "--no-loadscope-reorder" in WHOLE_SUITE
