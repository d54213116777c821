"""How the whole suite is shared among its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.checks import WHOLE_SUITE, Check, run_all
from deploy.state import ROOT
from tests.sharing import ByStage


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


# What each file of a session has in it, and how its tests end.
DEADLY = {
    "test_a.py": "def test_one(): pass\ndef test_two(): pass\n",
    "test_b.py": "import os\ndef test_before(): pass\ndef test_it_dies_of(): os._exit(1)\ndef test_after(): pass\n",
    "test_c.py": "def test_alone(): pass\n",
    "test_d.py": "def test_alone(): pass\n",
    "test_e.py": "import os\ndef test_it_dies_of_at_the_end(): os._exit(1)\n",
}


@pytest.mark.parametrize(("files", "workers"), [("abcde", 2), ("e", 1), ("abb", 3)])
def test_a_worker_that_dies_is_told_with_its_test_and_nothing_else_is_left_out(files: str, workers: int, tmp_path: Path) -> None:
    for number, letter in enumerate(files):
        (tmp_path / f"test_{number}.py").write_text(DEADLY[f"test_{letter}.py"], encoding="utf-8")
    (tmp_path / "conftest.py").write_text("from tests.sharing import pytest_xdist_make_scheduler\n", encoding="utf-8")
    # Of what is installed for pytest only xdist has a part in this, and each of the processes would load all of it.
    argv = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "--disable-plugin-autoload", "-p", "xdist", "-n", str(workers)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*argv, *WHOLE_SUITE[2:]], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    said = done.stdout.decode()
    deaths = files.count("b") + files.count("e")
    passed = sum(DEADLY[f"test_{letter}.py"].count("pass") for letter in files)
    assert 1 == done.returncode, said
    assert f"{deaths} failed" + f", {passed} passed" * bool(passed) in said


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
