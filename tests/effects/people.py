"""Whom the storm tells: invented people, in a file or sealed in a vault, with the settings by which a notifier finds them there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.day_people import Sample, put_all
from tests.integration.vault_rig import people

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


async def in_vault(dsn: str, folder: Path) -> dict[str, Any]:
    """Put into the vault of this database, under a new key file."""
    samples = [Sample(ref, "area-0", minor=False, contact={"phone": number, "channels": channels}) for ref, number, channels in _people()]
    async with people(dsn, folder) as registered:
        await put_all(registered.vault, samples)
        return {"vault_database": SecretStr(dsn), "vault_keys": registered.keys.path}
