"""The vault's directory where the vault cannot be opened: what the log says, and what it does not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from services.notifier.directory import DirectoryAway, Sought
from services.notifier.people import VaultDirectory
from services.vault.keyfile import KeyFile
from services.vault.settings import VaultSettings


async def away(directory: VaultDirectory) -> dict[str, object]:
    """The line about a look that was in vain."""
    with capture_logs() as lines, pytest.raises(DirectoryAway):
        await directory.find([Sought("r-secret", "asked", "m-1", "w-1")])
    (line,) = lines
    assert ("vault_away", 1) == (line["event"], line["notices"])
    assert not any(hidden in str(line) for hidden in ("r-secret", "m-1", "w-1", "pw-secret"))
    return dict(line)


async def test_a_key_file_that_cannot_be_used_is_told_in_words_and_a_database_that_is_away_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "vault-keys"
    KeyFile(path).create(datetime.now(UTC))
    database = SecretStr("postgresql://vault:pw-secret@127.0.0.1:1/lastmetre")
    settings = VaultSettings(vault_database=database, vault_keys=path)
    with capture_logs():
        opened, not_yet = (VaultDirectory(settings, {}, "console") for _ in range(2))
    line = await away(opened)
    assert "ConnectionRefusedError" == line["fault"]
    assert "reason" not in line
    path.unlink()
    chinese, _, english = str((await away(not_yet))["reason"]).partition(" | ")
    assert chinese.startswith(f"没有密钥文件 {path}")
    assert english.startswith(f"there is no key file {path}. Make one:")
