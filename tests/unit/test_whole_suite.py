"""How the whole suite is shared among its processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.checks import WHOLE_SUITE, Check, run_all
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


def test_what_runs_beside_the_tests_is_told_in_one_piece_and_its_failure_counts(capfd: pytest.CaptureFixture[str]) -> None:
    check = Check("types", [sys.executable, "-c", "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"])
    check.run_aside()
    assert 3 == check.exit_code
    assert "\n== types\none\ntwo\n" == capfd.readouterr().out.replace("two\none", "one\ntwo")


@pytest.mark.parametrize(("ended", "told"), [(0, 0), (2, 2), (-9, 137)])
def test_an_exit_code_is_told_as_a_shell_would(ended: int, told: int) -> None:
    assert told == Check("any", [], ended).exit_code


def test_with_arguments_the_checks_run_one_after_another_and_pytest_comes_last(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, argv.count("none.py"), b""))
    assert [0, 0, 0, 1] == [check.code for check in run_all(["none.py"])]
    assert "== ruff check\n== ruff format --check\n== mypy --strict\n== pytest\n" == capfd.readouterr().out


def test_beside_the_whole_suite_types_are_checked_too(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, argv.count("mypy"), b"no types\n"))
    assert ["mypy --strict"] == [check.name for check in run_all([]) if check.exit_code]
    assert "== mypy --strict\nno types\n" in capfd.readouterr().out
