"""How PostgreSQL is reached: over no network where it is ours and secured; with TLS and a checked certificate where it is somebody's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.postgres import SOCKET_NAME_BYTES, SOCKET_PATH_MAX, Postgres
from deploy.servers import ExternalPostgres
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
