"""What the tests of the wired vault share: a vault of invented people with a key file, and a way to PostgreSQL that can be closed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from services.vault.consents import Consent, Purpose
from services.vault.contact import parse_contact
from services.vault.faults import Denied
from services.vault.keyfile import KeyFile
from services.vault.policy import Occasion, Reader
from services.vault.vault import Vault

OPERATOR = Reader("operator", "op-1")
PURPOSES: tuple[Purpose, ...] = ("keep", "notify", "visit")


@dataclass
class People:
    """The vault as an operator and a helper use it."""

    vault: Vault
    keys: KeyFile

    async def put(self, ref: str, *, minor: bool = False, **contact: Any) -> None:
        await self.vault.put(ref, "hightech", parse_contact(contact), OPERATOR, "registered", minor=minor)

    async def consent(self, minor: str, *purposes: Purpose, days: float = 90) -> None:
        now = datetime.now(UTC)
        for purpose in purposes or PURPOSES:
            ends, proof = now + timedelta(days=days), hashlib.sha256(b"paper").digest()
            await self.vault.give_consent(Consent(minor, "guardian", purpose, now - timedelta(days=1), ends, proof, now), OPERATOR, "signed")

    async def seen(self, match_id: str, resident: str, helper: str, *fields: str) -> dict[str, Any] | str:
        """What the helper of a match sees of the resident now, or why not."""
        try:
            return dict(await self.vault.read(resident, fields, Reader("helper", helper), Occasion(match_id), "visit"))
        except Denied as denied:
            return denied.reason

    async def looks(self, ref: str) -> list[tuple[str, str, str | None, str]]:
        """(reader, why, match, outcome) of the notifier's looks, the oldest first."""
        found = [one for one in await self.vault.audit(ref) if one.role == "service"]
        return [(one.reader_ref, one.why, one.match_id, one.reason or one.outcome) for one in reversed(found)]


@asynccontextmanager
async def people(dsn: str, folder: Path) -> AsyncIterator[People]:
    keys = KeyFile(folder / "vault-keys.json")
    keys.create(datetime.now(UTC))
    vault = await Vault.connect(dsn, keys)
    try:
        yield People(vault, keys)
    finally:
        await vault.close()


class Door:
    """A port before a server's: while it is shut, nobody answers there, and who was connected is cut off."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._target = (parts.hostname or "", parts.port or 5432)
        self._parts = parts
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def dsn(self) -> str:
        user = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await self._server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, back = await asyncio.open_connection(*self._target)
        pairs = ((reader, back), (beyond, writer))
        self._writers |= {back, writer}
        tasks = [asyncio.create_task(self._copy(*pair)) for pair in pairs]
        self._tasks |= set(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in (back, writer):
            self._writers.discard(one)
            one.transport.abort()
        for task in tasks:
            task.cancel()
            self._tasks.discard(task)

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def door(dsn: str) -> AsyncIterator[Door]:
    made = Door(dsn)
    await made.open()
    try:
        yield made
    finally:
        await made.shut()
