"""How PostgreSQL is reached: over no network where it is ours and secured; with TLS and a checked certificate where it is somebody's own."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from deploy.board import board
from deploy.postgres import SOCKET_NAME_BYTES, SOCKET_PATH_MAX, Postgres
from deploy.servers import ExternalPostgres, not_reached
from deploy.state import State
from deploy.words import Trouble

PLACE = "postgresql://owner:word@db.example:5432/lastmetre"


@pytest.mark.parametrize(
    "dsn",
    [
        PLACE,
        f"{PLACE}?sslmode=prefer",
        f"{PLACE}?sslmode=require",
        f"{PLACE}?sslmode=verify-ca",
        f"{PLACE}?sslmode=verify-full&sslmode=disable",
        "postgresql://owner:word@127.0.0.1:5432/lastmetre",
    ],
)
def test_secured_means_that_a_database_of_ones_own_is_spoken_to_in_secret_and_is_known(dsn: str, tmp_path: Path) -> None:
    ExternalPostgres(dsn, State(tmp_path))
    with pytest.raises(Trouble) as trouble:
        ExternalPostgres(dsn, State(tmp_path), secure=True)
    assert "?sslmode=verify-full" in str(trouble.value)
    assert "word" not in str(trouble.value)


@pytest.mark.parametrize(
    "dsn",
    [
        f"{PLACE}?sslmode=verify-full",
        f"{PLACE}?application_name=x&sslmode=verify-full",
        "postgresql://owner:word@%2Frun%2Fpostgresql:5432/lastmetre",
        "postgresql://owner:word@db.example/lastmetre?host=/run/postgresql",
    ],
)
def test_a_certificate_that_is_checked_suffices_and_so_does_a_socket(dsn: str, tmp_path: Path) -> None:
    assert dsn == ExternalPostgres(dsn, State(tmp_path), secure=True).owner_dsn("lastmetre")


@pytest.mark.parametrize("depth", [1, 12])
def test_the_sockets_path_is_never_too_long(depth: int, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*(["folder-of-ten"] * depth))
    sockets = Postgres(folder, state=State(tmp_path), secure=True).sockets
    assert len(os.fsencode(sockets)) + SOCKET_NAME_BYTES <= SOCKET_PATH_MAX


def test_a_socket_folder_that_others_can_open_is_not_taken(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "p", state=State(tmp_path), secure=True)
    server.folder.mkdir()
    server.sockets.mkdir()
    server.sockets.chmod(0o755)
    with pytest.raises(Trouble, match="not ours alone"):
        server._prepare_sockets()


def test_a_link_in_place_of_the_socket_folder_is_not_followed(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "p", state=State(tmp_path), secure=True)
    server.folder.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    server.sockets.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Trouble, match="not ours alone"):
        server._prepare_sockets()


@pytest.mark.parametrize(
    ("named", "fault", "said"),
    [
        (None, ConnectionRefusedError(), "python3 -m deploy status"),
        (None, asyncpg.UndefinedTableError("no such table"), "The database is not prepared"),
        (PLACE, ConnectionRefusedError(), "host and port in LASTMETRE_POSTGRES"),
        (PLACE, asyncpg.InvalidPasswordError("password word is wrong"), "password in LASTMETRE_POSTGRES"),
        (PLACE, asyncpg.InvalidCatalogNameError("none"), "at the end of LASTMETRE_POSTGRES"),
        (PLACE, asyncpg.TooManyConnectionsError("enough"), "the server that LASTMETRE_POSTGRES names"),
        ("postgresql://[", asyncpg.InterfaceError("postgresql://["), "LASTMETRE_POSTGRES cannot be used"),
    ],
)
def test_a_tool_that_does_not_get_at_postgresql_says_where_to_look(named: str | None, fault: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASTMETRE_POSTGRES", raising=False)
    if named is not None:
        monkeypatch.setenv("LASTMETRE_POSTGRES", named)
    told = str(not_reached(fault))
    assert said in told
    assert "password word" not in told


def test_the_board_is_rebuilt_or_says_what_keeps_it_from_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(tmp_path))
    monkeypatch.setenv("LASTMETRE_POSTGRES", "postgresql://owner:word@127.0.0.1:1/lastmetre")
    done = CliRunner().invoke(board, ["rebuild"])
    assert isinstance(done.exception, Trouble)
    assert "host and port in LASTMETRE_POSTGRES" in done.exception.english
