"""The parts of deploy that need no server: stamps, digests, the preflight, ports and logs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any, cast

import asyncpg
import psutil
import pytest

from deploy import cli, jars, preflight, supervisor, venv
from deploy import stack as stack_module
from deploy.kafka import log_properties
from deploy.lock import Lock
from deploy.postgres import Postgres
from deploy.servers import ExternalKafka, ExternalPostgres, refusal
from deploy.stack import Stack, Step
from deploy.state import ROOT, State, free_port, write_private
from deploy.supervisor import Service, rotate
from deploy.words import Trouble
from services.broker import Broker

JAR = jars.Jar("org.example", "thing", "1.0", hashlib.sha256(b"right").hexdigest())


# --- jars


def test_gives_the_jars_that_are_missing(tmp_path: Path) -> None:
    assert [JAR] == jars.check(tmp_path, [JAR])
    (tmp_path / JAR.name).write_bytes(b"right")
    assert [] == jars.check(tmp_path, [JAR])


def test_refuses_a_jar_that_was_tampered_with(tmp_path: Path) -> None:
    (tmp_path / JAR.name).write_bytes(b"wrong")
    with pytest.raises(Trouble, match="does not have the SHA-256") as told:
        jars.check(tmp_path, [JAR])
    assert str(tmp_path / JAR.name) in told.value.english


def test_throws_a_download_away_that_is_not_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served"
    served.write_bytes(b"wrong")
    monkeypatch.setattr("jgo.maven._core.Artifact.resolve", lambda _self: served)
    with pytest.raises(Trouble, match="thrown away"):
        jars._fetch(JAR, tmp_path)
    assert not (tmp_path / JAR.name).exists()


def test_every_pinned_jar_has_a_digest_and_stands_once() -> None:
    pinned = jars.pinned()
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in pinned)
    assert len(pinned) == len({(jar.group, jar.artifact) for jar in pinned})
    assert {jars.KAFKA_VERSION} == {jar.version for jar in pinned if jar.group == "org.apache.kafka"}


@pytest.mark.parametrize("line", ["abc  a:b:c", "a:b:c", f"{'0' * 64}  a:b"])
def test_refuses_a_list_that_cannot_be_read(line: str) -> None:
    with pytest.raises(ValueError):
        jars.pinned(line)


# --- the virtual environment


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text("one==1\n")
    return path


def environment(tmp_path: Path, lock: Path) -> Path:
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / venv.STAMP).write_text(venv.digest(lock) + "\n")
    return folder


def test_an_environment_with_the_locks_stamp_is_ready(tmp_path: Path, lock: Path) -> None:
    assert venv.is_ready(environment(tmp_path, lock), (lock,))


def test_a_half_made_environment_is_not_ready(tmp_path: Path, lock: Path) -> None:
    folder = environment(tmp_path, lock)
    (folder / venv.STAMP).unlink()
    assert not venv.is_ready(folder, (lock,))


def test_an_environment_of_another_lock_is_not_ready(tmp_path: Path, lock: Path) -> None:
    folder = environment(tmp_path, lock)
    lock.write_text("one==2\n")
    assert not venv.is_ready(folder, (lock,))


def test_an_environment_whose_python_went_away_is_not_ready(tmp_path: Path, lock: Path) -> None:
    folder = environment(tmp_path, lock)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to(tmp_path / "gone")
    assert not venv.is_ready(folder, (lock,))


def test_makes_a_half_made_environment_anew_and_stamps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "one-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("one.py", "")
        file.writestr("one-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1\n")
        file.writestr("one-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("one-1.dist-info/RECORD", "")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"{wheel} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "left-over").touch()
    # Where somebody's pip puts what they install for themselves is not where ours belongs.
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")  # pip's own are many
    venv.make(folder, lock, tmp_path / "install.log", io.StringIO())
    assert venv.is_ready(folder, (lock,))
    assert not (folder / "left-over").exists()
    assert [folder] == [path.parents[3] for path in tmp_path.rglob("one.py")]


@pytest.mark.parametrize("closed", ["<&-", ">&- 2>&-"])
def test_starts_also_where_standard_input_or_output_is_closed(closed: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    started = tmp_path / "started"
    service = f"import sys; open({str(started)!r}, 'w').write('a service'); sys.stdout.write('ready')"
    cli = f"import os, sys\ndef run(arguments):\n    sys.stderr.write('starting')\n    os.execv(sys.executable, [sys.executable, '-c', {service!r}])\n"
    (tmp_path / "deploy" / "cli.py").write_text(cli)
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m deploy up {closed}', sys.executable],
        cwd=tmp_path,
        env=os.environ | {"LASTMETRE_VENV": "off"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "a service") == (done.returncode, started.read_text()), done.stderr


def test_ctrl_c_while_modules_are_still_imported_ends_it_without_a_word(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "deploy" / "cli.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "up"], cwd=tmp_path, env=os.environ | {"LASTMETRE_VENV": "off"}, capture_output=True, timeout=60, check=False
    )
    assert (130, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_an_environment_that_somebody_runs_in_is_not_made_anew_under_their_feet(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / lock).write_text(f"one=={lock}\n")
    made = environment(tmp_path, tmp_path / "requirements.lock").rename(tmp_path / ".venv")
    handle = venv.hold(tmp_path)
    try:
        venv.share(handle, sys.stderr)
        # The tests need more than what `up` runs in.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LASTMETRE_")}
        done = subprocess.run([sys.executable, "-m", "deploy", "test"], cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(handle)
    assert (1, "") == (done.returncode, done.stdout)
    assert ["python3 -m deploy down" in line for line in done.stderr.splitlines()] == [True, True]
    assert (made / venv.STAMP).exists()


def test_who_comes_while_the_environment_is_made_waits_for_it(tmp_path: Path) -> None:
    maker, other, said = venv.hold(tmp_path), venv.hold(tmp_path), io.StringIO()
    try:
        assert venv.is_ours(maker)
        assert not venv.is_ours(other)
        waiting = threading.Thread(target=venv.share, args=(other, said))
        waiting.start()
        while "waiting for it" not in said.getvalue():
            waiting.join(0.01)
        venv.share(maker, said)
        waiting.join(10)
        assert not waiting.is_alive()
        assert not venv.is_ours(maker)  # both run in it now
    finally:
        os.close(maker)
        os.close(other)


def test_pip_ends_with_whoever_started_it_so_that_it_writes_into_no_environment_of_the_next(tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    pip = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    run = f"import sys; from pathlib import Path; from deploy import venv; venv._run({pip!r}, Path({str(log)!r}), sys.stderr, '')"
    starter = subprocess.Popen([sys.executable, "-c", run], cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while not (log.exists() and log.read_text().endswith("\n")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        starter.kill()
        starter.wait()
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(log.read_text()))
        while child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_says_where_the_log_is_when_pip_fails_and_leaves_no_stamp(tmp_path: Path) -> None:
    lock = tmp_path / "bad.lock"
    lock.write_text("not a requirement\n")
    log = tmp_path / "install.log"
    with pytest.raises(venv.InstallFailed, match=str(log)):
        venv.make(tmp_path / "venv", lock, log, io.StringIO())
    assert not venv.is_ready(tmp_path / "venv", (lock,))


def test_the_locks_are_whole_so_that_nothing_has_to_be_resolved() -> None:
    # pip installs them with --no-deps: a package that is missing in a lock would be missing here.
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert (0, "No broken requirements found.") == (checked.returncode, checked.stdout.strip())


# --- before anything is installed


def test_starts_on_the_standard_library_alone() -> None:
    script = "import sys; sys.path.insert(0, '.'); import deploy.venv, deploy.preflight, deploy.launch; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "deploy.preflight" in loaded


@pytest.mark.parametrize(("version", "fine"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 4), True), ((3, 13, 1), True), ((3, 14, 0), False)])
def test_takes_the_pythons_that_the_lock_was_checked_for(version: tuple[int, int, int], fine: bool) -> None:
    problem = preflight.python_problem(version)
    assert fine == (problem is None)
    assert problem is None or ".".join(map(str, version)) in problem[1]


@pytest.mark.parametrize(
    ("system", "machine", "libc", "fine"),
    [
        ("Linux", "x86_64", "glibc", True),
        ("Darwin", "arm64", "", True),
        ("Linux", "x86_64", "", False),
        ("Linux", "aarch64", "glibc", False),
        ("Linux", "riscv64", "glibc", False),
        ("Windows", "AMD64", "", False),
    ],
)
def test_knows_the_platforms_that_have_packages(system: str, machine: str, libc: str, fine: bool) -> None:
    assert fine == (preflight.platform_problem(system, machine, libc) is None)


@pytest.mark.parametrize(("name", "signs"), [("at 12:30", ":"), ("Smith, John", ","), ('"$HOME"', '$ "'), ("志愿者 (2026) 100% it's", None)])
def test_a_folder_whose_name_a_program_would_misread_is_refused_with_the_sign(name: str, signs: str | None, tmp_path: Path) -> None:
    found = [english for _, english in preflight.problems(ROOT, tmp_path / name, installed=True)]
    assert ([] if signs is None else [f"The path of {tmp_path / name} has {signs} in it"]) == [one.partition(", which")[0] for one in found]


def test_a_folder_whose_name_is_read_otherwise_than_kafka_reads_it_is_refused() -> None:
    script = "import pathlib, sys; sys.path.insert(0, '.'); from deploy import preflight; print(preflight.encoding_problem(pathlib.Path(sys.argv[1])) is None)"
    run = [sys.executable, "-c", script, "/tmp/最后一米"]
    told = [
        subprocess.run(run, cwd=ROOT, env=os.environ | {"LC_ALL": "POSIX", "PYTHONUTF8": utf8}, check=True, capture_output=True, text=True).stdout.strip()
        for utf8 in ("0", "1")
    ]
    assert ["False", "True"] == told


def test_a_percent_sign_in_a_folders_name_is_no_pattern_for_kafkas_log() -> None:
    assert "/srv/100%%20/kafka.log.%i" == log_properties(Path("/srv/100%20/kafka.log"))["appender.file.filePattern"]


def test_says_how_much_disk_is_missing(tmp_path: Path) -> None:
    assert preflight.disk_problem(tmp_path / "not" / "there", 1) is None
    problem = preflight.disk_problem(tmp_path, 2**60)
    assert problem is not None
    assert "1073741824.0 GiB are needed" in problem[1]


# --- the state folder


def test_remembers_a_port_and_takes_another_where_it_is_taken(tmp_path: Path) -> None:
    port = State(tmp_path).port("kafka")
    assert port == State(tmp_path).port("kafka")
    with socket.create_server(("127.0.0.1", port)):
        other = State(tmp_path).port("kafka")
    assert port != other
    assert other == State(tmp_path).port("kafka")


def test_gives_no_port_twice(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert 20 == len({state.port(str(number)) for number in range(20)})
    assert free_port() > 0


def test_keeps_a_roles_password_and_gives_each_role_its_own(tmp_path: Path) -> None:
    password = State(tmp_path).password("one")
    assert password == State(tmp_path).password("one")
    assert password != State(tmp_path).password("two")
    assert 0o600 == (tmp_path / "passwords.json").stat().st_mode & 0o777


@pytest.mark.parametrize("content", [b"", b"[1", b"\xff{}"])
def test_a_file_of_the_state_folder_that_is_damaged_is_named_with_the_way_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "passwords.json").write_bytes(content)
    with pytest.raises(Trouble, match=f"{tmp_path / 'passwords.json'} is damaged. Restore it from a backup, or .* up --fresh"):
        State(tmp_path).password("matcher")


def test_clearing_keeps_downloads_and_the_lock(tmp_path: Path) -> None:
    state = State(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "lock").touch()
    (tmp_path / "kafka").mkdir()
    state.port("kafka")
    state.clear_data()
    assert {"cache", "lock", "logs", "pids"} == {path.name for path in tmp_path.iterdir()}


def test_what_a_play_is_at_work_on_outlives_a_clearing_and_what_a_dead_one_left_does_not(tmp_path: Path) -> None:
    state = State(tmp_path)
    for name in ("at-work", "being-made", "dead"):
        (state.plays / name / "kafka").mkdir(parents=True)
    (state.plays / "dead" / "lock").write_text("1234567\n")
    at_work = Lock(state.plays / "at-work")
    at_work.take()
    state.clear_data()
    assert {"at-work", "being-made"} == {path.name for path in state.plays.iterdir()}
    assert (state.plays / "at-work" / "kafka").is_dir()
    at_work.release()


def test_a_play_that_is_ended_by_a_signal_stops_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `timeout` and CI do it. Where nobody takes it in, pytest does here, or it would end with it."""
    told: list[str] = []

    async def a_long_play(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(5)
            told.append("played")
        finally:
            told.append("stopped")

    before = signal.signal(signal.SIGTERM, lambda *_: told.append("nobody took it in"))
    try:
        monkeypatch.setattr("deploy.player.play", a_long_play)
        (tmp_path / "day.jsonl").touch()
        assert cli.EXIT_INTERRUPTED == cli.run(["play", str(tmp_path / "day.jsonl"), "--out", str(tmp_path / "out")])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ["stopped"] == told


# --- logs


def test_a_long_log_moves_on_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(f"{number}\n".encode() * 10)
            assert rotate(log, limit_bytes=10, kept=3)
        writer.write(b"last\n")
    assert b"last\n" == log.read_bytes()
    assert not rotate(log, limit_bytes=10, kept=3)
    assert {"a.log", "a.log.1", "a.log.2", "a.log.3"} == {path.name for path in tmp_path.iterdir()}
    assert log.with_name("a.log.1").read_bytes().startswith(b"4\n")


def test_a_log_for_whose_copy_there_is_no_room_stays_as_it_is_with_all_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"now" * 10)
    log.with_name("a.log.1").write_bytes(b"before")
    held = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(shutil, "copyfile", no_room)
    with pytest.raises(OSError, match="No space left"):
        rotate(log, limit_bytes=10, kept=3)
    assert held == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


async def test_a_service_writes_its_log_in_utf_8_whatever_the_terminal_has(tmp_path: Path) -> None:
    words = (sys.executable, "-c", "print('\\u6700\\u540e')")
    service = Service(
        "words", words, env=os.environ | {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, cwd=tmp_path, log=tmp_path / "log", ops_port=0, pid_file=tmp_path / "pid"
    )
    service._process.start()
    assert (0, "最后\n") == (await service._process.wait(60), (tmp_path / "log").read_text(encoding="utf-8"))


def test_the_log_of_a_service_is_that_of_all_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(tmp_path))
    folder = State(tmp_path).logs
    for name in ("notifier", "notifier-2", "matcher"):
        (folder / f"{name}.log").write_text(f"of {name}\n", encoding="utf-8")

    assert 0 == cli.run(["logs", "notifier"])
    assert ["notifier | of notifier", "notifier-2 | of notifier-2"] == capsys.readouterr().out.splitlines()
    assert 0 == cli.run(["logs", "notifier-2"])
    assert ["of notifier-2"] == capsys.readouterr().out.splitlines()


# --- what people are told


def test_a_folder_that_cannot_even_be_looked_at_is_judged_by_the_one_above_it(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300) / "state"

    assert preflight.folder_problem(folder) is None
    assert preflight.disk_problem(folder, 1) is None


@pytest.mark.parametrize("arguments", [["status"], ["up", "--once"], ["logs"]])
def test_a_state_folder_that_cannot_be_used_is_told_in_both_languages(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv("LASTMETRE_STATE", str(file))

    assert 1 == cli.run(arguments)
    said = capsys.readouterr().err
    assert f"无法读写 {file}" in said
    assert f"{file}" in said.splitlines()[1]
    assert "can't be read or written" in said


def test_play_says_before_it_starts_anything_that_it_cannot_write_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events.jsonl"
    file.touch()

    assert 1 == cli.run(["play", str(file), "--out", str(file / "results")])
    assert f"无法读写 {file / 'results'}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["bogus"], ["explain"], ["play", "/no/such/file", "--out", "results"], ["up", "--matchers", "99"]])
def test_wrong_use_is_told_in_chinese_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.run(arguments)
    assert "用法有误" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_word_of_the_help_is_cut_off_on_a_narrow_terminal(columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in ((), ("up",), ("account", "link")):
        assert 0 == cli.run([*command, "--help"])
    said = capsys.readouterr().out
    assert "使用自己的服务器时不演示" in said.translate(dict.fromkeys(map(ord, " │\n")))
    assert [] == [line for line in said.splitlines() if "…" in line]


def test_a_full_disk_is_not_told_as_a_matter_of_rights(tmp_path: Path) -> None:
    server, log = Postgres(tmp_path / "postgres"), tmp_path / "postgres-init.log"
    of_initdb = (
        'running bootstrap script ... FATAL:  could not write to file "pg_wal/xlogtemp.312": No space left on device\nchild process exited with exit code 1'
    )

    told = server.not_made(of_initdb, log)
    assert "磁盘已满" in told.chinese
    assert "The disk is full" in told.english
    assert "The disk is full" not in server.not_made("initdb: error: could not access directory: Permission denied", log).english


async def test_a_service_for_which_the_system_has_no_room_is_started_once_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_SECONDS", (0.001,))
    service = Service("words", (sys.executable, "-c", ""), env={}, cwd=tmp_path, log=tmp_path / "log", ops_port=0, pid_file=tmp_path / "pid")
    faults = [OSError(errno.ENOSPC, "No space left on device"), BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")]

    def start() -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(service._process, "start", start)
    await service._start_again()
    assert [] == faults


def no_room(_source: Path, target: Path) -> None:
    target.write_bytes(b"a pa")
    raise OSError(errno.ENOSPC, "No space left on device")


async def kept(stack: Stack, *, until: str) -> list[str]:
    """What is told while a server that has died is brought back: until that is told, or it is given up."""
    told: list[str] = []
    keeper = asyncio.create_task(stack._keep())

    def report(step: Step) -> None:
        told.append(step.text)
        if until in step.text:
            keeper.cancel()

    stack._report = report
    await asyncio.wait({keeper}, timeout=30)
    return told


class Dead:
    """A server that has died, and comes up at the third try."""

    wanted = True
    pid: int | None = None
    tries = 0

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    async def start(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise self.fault
        self.pid = 1


@pytest.mark.parametrize("fault", [Trouble("立即退出", "it ended"), OSError(errno.ENOSPC, "No space left on device")])
async def test_a_server_that_died_as_its_disk_is_full_is_brought_back_once_there_is_room(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "ROOM_SECONDS", 0.01)
    monkeypatch.setattr(stack_module, "ROOM_BYTES", 2**62)
    stack, postgres = Stack(tmp_path), Dead(fault)
    (tmp_path / "postgres").mkdir()
    stack.kafka, stack.postgres = ExternalKafka(Broker("127.0.0.1:1")), cast("Any", postgres)
    full, back = await kept(stack, until="is back")
    assert "磁盘已满，postgres 已停止" in full
    assert "postgres has ended, as its disk is full" in full
    assert "postgres 已恢复 · postgres is back" == back
    assert (3, None) == (postgres.tries, stack.trouble)


async def test_a_server_that_died_of_something_else_ends_the_stack_with_what_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "ROOM_BYTES", 0)
    stack, postgres = Stack(tmp_path), Dead(OSError(errno.EMFILE, "Too many open files"))
    (tmp_path / "postgres").mkdir()
    stack.kafka, stack.postgres = ExternalKafka(Broker("127.0.0.1:1")), cast("Any", postgres)
    assert [] == await kept(stack, until="is back")
    assert "Too many open files" in str(stack.trouble)


async def test_a_stack_whose_state_folder_is_full_goes_on_and_leaves_no_scraps_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def full(_handle: int) -> None:
        nonlocal tries
        tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path / "file.json", "{}")
    assert (1, []) == (tries, list(tmp_path.iterdir()))

    stack, looked = Stack(tmp_path), asyncio.Event()

    def write_status() -> None:
        looked.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stack, "_write_status", write_status)
    watch = asyncio.create_task(stack.watch())
    await looked.wait()
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("url", ["postgresql://user:a/b@db:5432/x", "postgresql://user:a[b@db/x", "mysql://user:word@db/x", "user:word@db"])
def test_what_is_no_postgresql_url_is_told_by_the_settings_name_and_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="LASTMETRE_POSTGRES") as told:
        ExternalPostgres(url, State(tmp_path))
    assert "user:password@host:5432" in told.value.english
    assert [] == [word for word in ("a/b", "a[b", "user:word") if word in str(told.value)]


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        (asyncpg.InvalidPasswordError("password authentication failed"), "see that user and password"),
        (asyncpg.InvalidCatalogNameError('database "x" does not exist'), "the name at the end of"),
        (asyncpg.InsufficientPrivilegeError("permission denied to create role"), "able to make roles"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "see to the server"),
        (asyncpg.InterfaceError("invalid DSN: s3cret"), "what follows ? in it"),
        (ConnectionRefusedError(111, "s3cret"), "host and port"),
    ],
)
def test_why_a_database_cannot_be_used_names_the_setting_and_the_fix(fault: Exception, fix: str) -> None:
    told = refusal(fault, "s3cret")
    assert "LASTMETRE_POSTGRES" in told.chinese
    assert "LASTMETRE_POSTGRES" in told.english
    assert fix in told.english.lower()
    assert "s3cret" not in str(told)


def test_the_keys_of_data_on_a_server_of_ones_own_are_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(tmp_path))
    monkeypatch.setenv("LASTMETRE_POSTGRES", "postgresql://owner:word@127.0.0.1:1/lastmetre")
    keys = tmp_path / "vault-keys.json"
    keys.touch()

    assert 1 == cli.run(["up", "--fresh", "--once"])
    assert keys.exists()
    said = capsys.readouterr().err
    assert "请去掉 --fresh" in said
    assert "Leave --fresh out" in said


def test_a_sign_that_a_terminal_has_not_is_shown_as_another() -> None:
    script = "import sys; from deploy.__main__ import show_what_can_be_shown as show; show(); print('✓ 就绪'); sys.stderr.write('✓ 就绪')"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "gbk"})
    assert ("? 就绪", "? 就绪") == (shown.stdout.decode("gbk").strip(), shown.stderr.decode("gbk"))


# --- nobody reads


_SPEAKS = """
import asyncio, sys
from deploy.cli import Screen, run_until_signalled

async def main():
    screen = Screen()

    async def speak():
        screen.print("started")

    try:
        async with asyncio.timeout(20):
            while True:
                async with asyncio.TaskGroup() as group:
                    group.create_task(speak())
                await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0.01)
        screen.print("stopping")
        sys.stderr.write("all stopped")

sys.exit(3 if run_until_signalled(main()) else 4)
"""


def test_where_nobody_reads_any_more_all_is_stopped_in_good_order_and_nothing_else_is_said() -> None:
    """As in `up | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run([sys.executable, "-c", _SPEAKS], cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (3, "all stopped") == (done.returncode, done.stderr)
