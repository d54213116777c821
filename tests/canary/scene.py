"""What happens to the people: they are put in, read, denied, hit by faults of every kind, and one of them is erased; then every byte is searched.

The phone of a person also stands in the text of an exception that is logged: it must come out masked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import structlog

from deploy import migrate
from deploy.postgres import DATABASE, Postgres
from services.runtime import render
from services.vault.consents import Consent, Purpose
from services.vault.contact import CELLS, FIELDS, parse_contact
from services.vault.faults import BadContact, VaultFault
from services.vault.keyfile import KeyFile
from services.vault.ladder import Ladder, Slot
from services.vault.policy import Occasion, Reader, Visit
from services.vault.sealing import Envelope, Identity, unseal, unwrap
from services.vault.vault import Vault
from tests.canary.dumps import dump, talkative
from tests.canary.people import canaries, invent
from tests.canary.scan import Hit, Scanner

OPERATOR = Reader("operator", "op-canary")
NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
SLOT = Slot(NOW, NOW + timedelta(hours=1))
OPERATOR_WHY = "canary"


@dataclass(slots=True)
class Verdict:
    """What was found. `opened` counts the cells of the erased person that still opened, by place."""

    hits: list[Hit] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    opened: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Nothing in plain anywhere; before the erasure the backup opened, afterwards only for those who were not erased."""
        return not self.hits and self.opened == {
            "backup, erased, before": len(CELLS),
            "backup, erased, after": 0,
            "backup, kept, after": len(CELLS),
            "live, erased, after": 0,
        }


class Scene:
    """One run in a folder: `postgres` (data, log), `vault` (key file), `logs` (ours), `dumps`, `backup`."""

    def __init__(self, folder: Path, seed: int, *, short: bool = False) -> None:
        """Args: `short` searches once, at the end, when what was there before lies in the backup."""
        self.folder = folder
        self.short = short
        chance = random.Random(seed)
        self.people: dict[str, dict[str, Any]] = {name: invent(chance) for name in ("erased", "kept", "child", "helper")}
        self.scanner = Scanner(canaries(self.people))
        self.server = Postgres(folder / "postgres")
        self.keys = KeyFile(folder / "vault" / "vault-keys.json")
        self.log = folder / "logs" / "service.log"
        self.dumps = folder / "dumps"
        self.verdict = Verdict()

    async def run(self, more: Sequence[Path] = ()) -> Verdict:
        """All of it. `more` are folders to search beside ours, such as Kafka's.

        Raises:
            Trouble: PostgreSQL does not start.
        """
        self.log.parent.mkdir(parents=True)
        self.dumps.mkdir()
        self.keys.create(NOW)
        await self.server.start()
        try:
            await migrate.prepare(self.server, DATABASE)
            await talkative(self.server, "lastmetre_vault")
            await self._live()
            await dump(self.server, self.dumps, "before")
            if not self.short:
                self._search(more)
            backup = await self._backup()
            await self._count("backup, erased, before", backup, "erased")
            await self._erase()
            await dump(self.server, self.dumps, "after")
            await self._count("backup, erased, after", backup, "erased")
            await self._count("backup, kept, after", backup, "kept")
            await self._count("live, erased, after", self.server, "erased")
            self._search(more)
        finally:
            await self.server.stop()
        return self.verdict

    # --- the life of the data

    async def _vault(self) -> Vault:
        return await Vault.connect(self.server.dsn("lastmetre_vault"), self.keys, Ladder(), lambda: NOW)

    async def _live(self) -> None:
        vault = await self._vault()
        for purpose in ("keep", "visit"):
            await vault.give_consent(self._consent(purpose), OPERATOR, OPERATOR_WHY)
        for name, values in self.people.items():
            await vault.put(name, "gaoxin", parse_contact(values), OPERATOR, OPERATOR_WHY, minor=name == "child")
        for name in ("erased", "kept"):
            match = Occasion(f"m-{name}", f"w-{name}")
            await vault.note_visit(Visit(f"m-{name}", f"w-{name}", name, "helper", "confirmed", SLOT))
            await vault.read(name, ("name", "door", "phone_masked"), Reader("helper", "helper"), match, "visit")
            await vault.read(name, ("phone", "email", "channels"), Reader("service", "notifier"), match, "notice")
            await vault.read(name, FIELDS, OPERATOR, Occasion(), OPERATOR_WHY)
        with self.log.open("ab") as file:
            await self._go_wrong(vault, file)
        # What is put in again, and rotated, leaves older versions behind.
        for name, values in self.people.items():
            if name != "child":
                await vault.put(name, "gaoxin", parse_contact({"phone": values["phone"]}), OPERATOR, OPERATOR_WHY)
        await vault.rotate(OPERATOR, OPERATOR_WHY)
        await vault.close()

    @staticmethod
    def _consent(purpose: Purpose) -> Consent:
        return Consent(
            "child", "guardian", purpose, NOW - timedelta(days=1), NOW + timedelta(days=90), hashlib.sha256(b"paper").digest(), NOW - timedelta(days=1)
        )

    async def _go_wrong(self, vault: Vault, file: BinaryIO) -> None:
        """Denials, bad input, a failing statement, and what a service would write into its log about them."""
        person = self.people["erased"]

        def log(error: BaseException, **fields: Any) -> None:
            file.write(render(None, "error", {"event": "failed", "exc_info": error, **fields}) + b"\n")

        asked = (
            ("erased", ("door",), Reader("helper", "stranger"), Occasion("m-erased")),
            ("child", ("phone",), OPERATOR, Occasion()),
            ("nobody", ("phone",), OPERATOR, Occasion()),
            ("kept", ("door",), Reader("service", "notifier"), Occasion("m-kept")),
        )
        for whom, fields, who, what in asked:
            try:
                await vault.read(whom, fields, who, what, f"call {person['phone']}")
            except VaultFault as error:
                log(error, person=whom)
        for bad in ({**person, "phone": person["name"]}, {**person, person["door"]: 1}, {**person, "email": person["wecom"]}):
            try:
                parse_contact(bad)
            except BadContact as error:
                log(error, contact=repr(parse_contact(person)))
        opened = await vault.read("erased", FIELDS, OPERATOR, Occasion(), OPERATOR_WHY)
        log(ValueError(f"the gateway refused {opened['phone']}"), opened=opened)
        await self._failing_statement(vault, person, log)

    async def _failing_statement(self, vault: Vault, person: Mapping[str, Any], log: Any) -> None:
        owner = await asyncpg.connect(self.server.owner_dsn())
        await owner.execute("ALTER TABLE vault.sealed ADD CONSTRAINT failing CHECK (version < 2)")
        try:
            await vault.put("erased", "gaoxin", parse_contact(person), OPERATOR, OPERATOR_WHY)
        except asyncpg.CheckViolationError as error:
            log(error, detail=error.detail)
        await owner.execute("ALTER TABLE vault.sealed DROP CONSTRAINT failing")
        await owner.close()

    async def _erase(self) -> None:
        vault = await self._vault()
        await vault.erase("erased", OPERATOR, OPERATOR_WHY)
        await vault.close()

    # --- what is left

    def _search(self, more: Iterable[Path]) -> None:
        hits, files, size = self.scanner.tree([self.folder, *more])
        self.verdict.hits += hits
        self.verdict.files += files
        self.verdict.bytes += size

    async def _backup(self) -> Postgres:
        """A copy of the data folder, taken cold, for a server of its own."""
        await self.server.stop()
        backup = Postgres(self.folder / "backup")
        shutil.copytree(self.server.folder / "data", backup.folder / "data")
        shutil.copy(self.server.folder / "passwords.json", backup.folder / "passwords.json")
        if os.geteuid() == 0:  # copies are root's, and the server is not
            for path in (backup.folder / "data", *(backup.folder / "data").rglob("*")):
                owner = (self.server.folder / "data").stat()
                os.chown(path, owner.st_uid, owner.st_gid)
        await self.server.start()
        return backup

    async def _count(self, place: str, server: Postgres, person: str) -> None:
        """How many fields of a person open with the rows of a server and the key file of now, past all rules of the vault."""
        running = server is self.server
        if not running:
            await server.start()
        try:
            connection = await asyncpg.connect(server.owner_dsn())
            self.verdict.opened[place] = await self._open(connection, person)
            await connection.close()
        finally:
            if not running:
                await server.stop()

    async def _open(self, connection: asyncpg.Connection, person: str) -> int:
        row = await connection.fetchrow("SELECT * FROM vault.people JOIN vault.keys USING (person_ref) WHERE person_ref = $1", person)
        if row is None:
            return 0
        envelope = Envelope(row["area"], person, row["minor"], row["key_id"], row["leaf"])
        data_key = b""
        for wrapping in self._every_key(envelope.leaf):
            with contextlib.suppress(VaultFault):
                data_key = unwrap(wrapping, row["wrapped"], envelope)
        opened = 0
        for one in await connection.fetch("SELECT field, version, value FROM vault.sealed WHERE person_ref = $1", person):
            with contextlib.suppress(VaultFault, ValueError):  # ValueError: no key at all
                unseal(data_key, one["value"], Identity("sealed", envelope.area, person, one["field"], one["version"]))
                opened += 1
        return opened

    def _every_key(self, leaf: int) -> Iterable[bytes]:
        """Whatever the key file holds or gives: each node as it is, and every master key's wrapping key of this leaf."""
        for key in self.keys.ring().keys.values():
            yield from key.nodes.values()
            with contextlib.suppress(VaultFault):
                yield key.wrapping_key(leaf)


def quiet() -> None:
    """Libraries' lines do not belong into the report."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
