"""Many lines at once are the lines that structlog would write one by one."""

import errno
import io
import subprocess
import sys
from typing import Any

import asyncpg
import orjson
import pytest

from deploy.state import ROOT
from services.runtime import _Lines, render

LINES = [{"lane": 1, "type": "wish", "outcome": "decided", "decisions": 2}, {"lane": 2, "outcome": "dead_letter", "reason": "电话"}]
SCRIPT = """
import sys
import orjson, structlog
from services.runtime import configure_logging, info_lines
lines = orjson.loads(sys.argv[2])
if sys.argv[1] != "unset":
    configure_logging(sys.argv[1])
for line in lines:
    structlog.get_logger().info("event", batch_ms=1.5, **line)
info_lines("event", {"batch_ms": 1.5}, lines)
info_lines("event", {"batch_ms": 1.5}, [])
"""


def written(level: str) -> list[bytes]:
    arguments = [sys.executable, "-c", SCRIPT, level, orjson.dumps(LINES).decode()]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, check=True).stdout.splitlines()


def test_many_lines_at_once_are_what_one_by_one_would_be() -> None:
    found = [orjson.loads(line) for line in written("info")]
    keys = [[*line] for line in found]
    for line in found:
        del line["at"]
    assert found[:2] == found[2:]
    assert keys[:2] == keys[2:]
    assert [["at", "level", "batch_ms", *line, "event"] for line in LINES] == keys[2:]


def test_lines_below_the_level_are_not_written() -> None:
    assert [] == written("warning")


def test_lines_are_written_the_usual_way_where_logging_was_not_configured() -> None:
    assert 4 == len(written("unset"))


OF_LIBRARIES = """
import logging
from services.runtime import configure_logging
configure_logging()
def say(at, lineno=1, error=None):
    logger = logging.getLogger("aiokafka")
    record = logger.makeRecord("aiokafka", logging.WARNING, "client.py", lineno, "no answer from %s", (at,), error and (type(error), error, None))
    record.created = at
    logger.handle(record)
for at in (100.0, 100.1, 100.2, 100.9):
    say(at)
say(100.3, lineno=2)
for at in (100.4, 100.5):
    say(at, lineno=3, error=OSError())
for at in (101.0, 102.5):
    say(at)
"""


def test_what_a_library_says_again_and_again_is_written_once_a_second_and_counted() -> None:
    lines = subprocess.run([sys.executable, "-c", OF_LIBRARIES], cwd=ROOT, capture_output=True, check=True).stdout.splitlines()
    found = [orjson.loads(line) for line in lines]
    assert ["100.0", "100.3", "100.4", "100.5", "101.0", "102.5"] == [line["event"].removeprefix("no answer from ") for line in found]
    assert [3] == [line["left_out"] for line in found if "left_out" in line]


class Disk(io.RawIOBase):
    """Takes so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.held = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(data[: self.room])
        self.held += taken
        self.room -= len(taken)
        return len(taken)


def test_a_log_that_cannot_be_written_fails_nobody_and_tells_afterwards_how_much_is_missing() -> None:
    disk = Disk(room=20)
    lines = _Lines(disk)
    line = orjson.dumps({"event": "x" * 100})
    for _ in range(5000):  # more than was ever kept back
        lines.info(line)
        lines.error(line)
    disk.room = 10**6
    lines.info(line)
    lines.info(line)
    torn, told, *rest = disk.held.splitlines()
    assert line.startswith(torn)
    assert ("log_lines_lost", "warning", 10_000) == tuple(orjson.loads(told)[name] for name in ("event", "level", "lines"))
    assert [line, line] == rest


def of_postgresql() -> Exception:
    error = asyncpg.UniqueViolationError('duplicate key value violates unique constraint "accounts_login_key"')
    error.detail, error.hint = "Key (login)=(王小明) already exists.", "none"
    return error


@pytest.mark.parametrize(
    "error",
    [
        of_postgresql(),
        asyncpg.DataError("invalid input for query argument $2: '王小明 zhang@example.com' (expected int)"),
        ValueError("550 5.1.1 <zhang@example.com>: no such user, call 138 0013 8000"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_is_logged_without_what_it_quotes_of_people(error: Exception) -> None:
    line = render(None, "error", {"event": "failed", "exc_info": error}).decode()
    assert type(error).__name__ in line
    assert ("duplicate key" in line, "query argument $2" in line, "no such user" in line).count(True) == 1
    assert not any(said in line for said in ("王小明", "zhang", "8000"))
