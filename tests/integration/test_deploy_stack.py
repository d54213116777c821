"""The stack and its supervisor: one at a time, services come back, and nothing outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from deploy.lock import Lock
from deploy.process import Process
from deploy.progress import Display
from deploy.running import running
from deploy.stack import Stack
from deploy.state import ROOT
from deploy.words import Trouble
from tests.conftest import Database
from tests.integration.hold_stack import STAND_IN

COMMANDS = {"matcher": STAND_IN, "notifier": STAND_IN}
DEADLINE_SECONDS = 60.0


async def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def shared_servers(fresh_topics: object, database: Database, kafka: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stacks use the session's servers, as someone's own, so that only their services are started."""
    monkeypatch.setenv("LASTMETRE_KAFKA", kafka.bootstrap)  # type: ignore[attr-defined]
    monkeypatch.setenv("LASTMETRE_POSTGRES", database.dsn())


@pytest.fixture
async def stand_ins(tmp_path: Path, shared_servers: None) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "state", commands=COMMANDS, matchers=2) as stack:
        yield stack


async def test_starts_every_service_and_says_that_it_is_ready(stand_ins: Stack) -> None:
    assert ["matcher", "matcher-2", "notifier"] == [service.name for service in stand_ins.services]
    assert {"ready"} == {service.condition for service in stand_ins.services}
    assert 3 == len({service.pid for service in stand_ins.services})


async def test_brings_back_a_service_that_was_killed(stand_ins: Stack) -> None:
    service = stand_ins.service("matcher")
    before = service.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: service.pid not in {None, before}, "another matcher")
    await service.ready()
    assert 1 == service.restarts
    assert "ready" == service.condition


async def test_leaves_a_service_alone_that_was_stopped_on_purpose(stand_ins: Stack) -> None:
    service = stand_ins.service("matcher-2")
    await service.stop()
    assert service.pid is None
    await stand_ins.ready()
    await service.start()
    await service.ready()
    assert 0 == service.restarts


async def test_gives_up_a_service_that_ends_again_and_again(tmp_path: Path, shared_servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.supervisor.BACKOFF_SECONDS", (0.01, 0.01))
    stack = Stack(tmp_path / "state", commands=COMMANDS | {"matcher": (*STAND_IN, "--dies")})
    with pytest.raises(Trouble, match="matcher ends again and again") as told:
        await stack.start()
    assert told.value.log is not None
    assert "ends at once" in told.value.log.read_text()
    assert {None} == {service.pid for service in stack.services}


async def test_tells_another_process_where_everything_is(stand_ins: Stack) -> None:
    found = running(stand_ins.state.folder)
    assert os.getpid() == found.supervisor
    assert stand_ins.kafka.bootstrap == found.bootstrap
    assert stand_ins.postgres.dsn("lastmetre_matcher", stand_ins.database) == found.dsn("lastmetre_matcher")
    assert found.status["web"] is None  # it has no gateway
    assert "password" not in (stand_ins.state.folder / "stack.json").read_text()


async def test_refuses_a_second_stack_in_the_same_folder_and_names_the_first(stand_ins: Stack) -> None:
    second = Stack(stand_ins.state.folder, commands=COMMANDS)
    with pytest.raises(Trouble, match=f"pid {os.getpid()}"):
        await second.start()
    await second.stop()
    assert os.getpid() == running(stand_ins.state.folder).supervisor
    assert os.getpid() == Lock(stand_ins.state.folder).holder()
    assert {"ready"} == {service.condition for service in stand_ins.services}


HOLD_A_LOCK = """
import sys, time
from pathlib import Path
from deploy.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def script(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process at the repository's root, killed at the end."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_lock_goes_with_its_holder(tmp_path: Path) -> None:
    with script("-c", HOLD_A_LOCK, str(tmp_path)) as holder:
        assert "held\n" == line_of(holder)
        assert holder.pid == Lock(tmp_path).holder()
    assert Lock(tmp_path).holder() is None
    lock = Lock(tmp_path)
    lock.take()
    lock.release()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """A stack of another process, with servers of its own: that process, its folder, and the pids of all below it."""
    folder = tmp_path / "state"
    with script("-m", "tests.integration.hold_stack", str(folder)) as process:
        assert "ready\n" == line_of(process)
        status = json.loads((folder / "stack.json").read_text())
        members = [status["kafka"], status["postgres"], *status["services"].values()]
        yield process, folder, [member["pid"] for member in members]
    shutil.rmtree(folder)


async def test_nothing_outlives_a_supervisor_that_is_killed_and_the_next_one_starts(
    held: tuple[subprocess.Popen[str], Path, list[int]],
) -> None:
    process, folder, pids = held
    assert 4 == len(pids)
    process.kill()
    process.wait()
    for pid in pids:
        await until(lambda pid=pid: is_gone(pid), f"the end of {pid}")  # type: ignore[misc]
    async with Stack(folder, commands=COMMANDS) as again:
        await again.ready()


async def test_a_signal_stops_everything_in_order(held: tuple[subprocess.Popen[str], Path, list[int]]) -> None:
    process, folder, pids = held
    process.send_signal(signal.SIGTERM)
    assert 0 == await asyncio.to_thread(process.wait, DEADLINE_SECONDS)
    assert [True] * 4 == [is_gone(pid) for pid in pids]
    assert [] == list((folder / "pids").iterdir())
    assert Lock(folder).holder() is None


async def test_brings_a_server_back_that_was_killed_from_outside(start_stack: Callable[..., object]) -> None:
    stack = await start_stack(commands=COMMANDS)  # type: ignore[misc]
    before = stack.postgres.pid
    os.kill(before, signal.SIGKILL)
    await until(lambda: stack.postgres.pid not in {None, before}, "another PostgreSQL")


START_A_CHILD = """
import sys, time
from pathlib import Path
from deploy.process import Process
from deploy.progress import Display
Process(["/bin/sh", "-c", "echo $$; exec sleep 600"], log=Path(sys.argv[1]), watch=sys.argv[2] == "True").start()
time.sleep(600)
"""


@pytest.mark.parametrize("watch", [False, True], ids=["death signal", "watching parent"])
def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path, watch: bool) -> None:
    log = tmp_path / "log"
    deadline = time.monotonic() + DEADLINE_SECONDS
    with script("-c", START_A_CHILD, str(log), str(watch)):
        while not (log.exists() and log.read_text().endswith("\n")):
            assert time.monotonic() < deadline
        pid = int(log.read_text())
        assert not is_gone(pid)
    while not is_gone(pid):
        assert time.monotonic() < deadline


async def test_kills_what_does_not_stop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = Process(["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], log=log)
    stubborn.start()
    await until(lambda: log.exists() and log.read_text() == "up\n", "its start")
    assert await stubborn.stop(grace_seconds=0.2)
    assert -signal.SIGKILL == stubborn.returncode


async def test_what_had_to_be_killed_at_the_end_is_told_by_name(tmp_path: Path, shared_servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.supervisor.STOP_SECONDS", 0.3)
    said = io.StringIO()
    display = Display(Console(file=said, force_terminal=True, width=120))
    stack = Stack(tmp_path / "state", commands=COMMANDS, report=display)
    with display:
        await stack.start()
    said.truncate(0)
    pid = stack.service("matcher").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # as one is that waits for a broker which does not answer
    # It stops when its turn comes; until then a SIGTERM, which has the lower number, would be served first.
    await until(lambda: psutil.STATUS_STOPPED == psutil.Process(pid).status(), "its stop")
    await stack.stop()
    assert ["matcher" in line and "已强行结束 · matcher did not stop in time and was killed" in line for line in said.getvalue().splitlines()] == [True]
