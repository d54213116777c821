"""What is told apart everywhere: a server that takes nothing just now, and an event of which something cannot be stored."""

import asyncpg
import pytest

from services.gateway.board import reader
from services.matcher import matcher
from services.notifier import faults

WAITERS = {"matcher": matcher.AWAY, "notifier": faults.PASSING, "board": reader.PASSING}


def said(sqlstate: str) -> Exception:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": "as the server says it"})


@pytest.mark.parametrize("waits", WAITERS.values(), ids=WAITERS)
@pytest.mark.parametrize(
    "sqlstate",
    [
        pytest.param("08006", id="the connection broke"),
        pytest.param("08P01", id="a pooler gave up"),
        pytest.param("25006", id="a standby, which is read only"),
        pytest.param("25P03", id="we were frozen"),
        pytest.param("26000", id="a pooler gave us another's session"),
        pytest.param("28000", id="the role is shut out"),
        pytest.param("28P01", id="a password is being changed"),
        pytest.param("3D000", id="a backup is put back: no database"),
        pytest.param("3F000", id="no schema"),
        pytest.param("42P01", id="no table"),
        pytest.param("42501", id="no right to it yet"),
        pytest.param("40001", id="a race was lost"),
        pytest.param("40P01", id="a deadlock"),
        pytest.param("53100", id="the disk is full"),
        pytest.param("53300", id="too many connections"),
        pytest.param("55000", id="the database takes no connections"),
        pytest.param("55P03", id="lock_timeout"),
        pytest.param("57014", id="statement_timeout"),
        pytest.param("57P01", id="the server stops"),
        pytest.param("57P03", id="the server starts"),
        pytest.param("58030", id="the disk fails"),
        pytest.param("XX001", id="a page is damaged"),
    ],
)
def test_what_a_server_says_of_itself_is_waited_out(waits: tuple[type[BaseException], ...], sqlstate: str) -> None:
    assert isinstance(said(sqlstate), waits)


def test_a_statement_that_a_migration_made_outdated_is_asked_again() -> None:
    for waits in WAITERS.values():
        assert issubclass(asyncpg.InvalidCachedStatementError, waits)


@pytest.mark.parametrize("waits", WAITERS.values(), ids=WAITERS)
@pytest.mark.parametrize("sqlstate", ["21000", "22001", "22003", "22021", "23502", "23505", "23514", "23P01", "54000", "P0001", "LM001"])
def test_what_it_says_of_what_it_was_to_store_is_not(waits: tuple[type[BaseException], ...], sqlstate: str) -> None:
    assert not isinstance(said(sqlstate), waits)
