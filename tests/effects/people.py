"""Whom the storm tells: invented people, in a file or sealed in a vault, with the settings by which a notifier finds them there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.day_people import Sample, put_all
from services.vault.keyfile import KeyFile
from services.vault.vault import Vault

# Few enough that a file of them is read in no time: the notifier reads it at every start.
PEOPLE = 400
USUAL = ["sms", "voice", "pager"]


def _people() -> Iterator[tuple[str, str, list[str]]]:
    """(reference, number, channels). Most have text messages first; some a pager."""
    for number in range(PEOPLE):
        for side in "rv":
            yield f"{side}-{number:03}", f"000-0000-{number:03}{'rv'.index(side)}", ["pager", "sms"] if number % 3 == 0 else USUAL


def in_file(file: Path) -> dict[str, Any]:
    """Written into a file."""
    lines = ["[default]", f"channels = {USUAL}"]
    for ref, number, channels in _people():
        lines += [f'[people."{ref}"]', f"channels = {channels}", f'addresses = {{ sms = "{number}", voice = "{number}" }}']
    file.write_text("\n".join(lines), encoding="utf-8")
    return {"directory": file}


async def in_vault(dsn: str, key_file: Path) -> dict[str, Any]:
    """Put into the vault of this database, under a new key file."""
    keys = KeyFile(key_file)
    keys.create(datetime.now(UTC))
    vault = await Vault.connect(dsn, keys)
    try:
        await put_all(vault, [Sample(ref, "area-0", minor=False, contact={"phone": number, "channels": channels}) for ref, number, channels in _people()])
    finally:
        await vault.close()
    return {"vault_database": SecretStr(dsn), "vault_keys": key_file}
