"""What the vault can be told from outside. Of a service that uses it these stand beside its own; none is needed as long as it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime import PREFIX, DatabaseUrl
from services.vault.faults import BadKeys
from services.vault.keyfile import KeyFile, outer_secrets
from services.vault.ladder import Ladder


class VaultSettings(BaseSettings):
    """`LASTMETRE_VAULT_...`; a description is `Chinese | English` and says the fix."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    vault_database: DatabaseUrl | None = Field(
        None, description="填写保险箱角色的 PostgreSQL 连接串，或不设 | give the PostgreSQL connection string of the vault's role, or leave it unset"
    )
    vault_keys: Path | None = Field(None, description="填写密钥文件的路径 | give the path of the key file")
    vault_secret: SecretStr | None = Field(
        None, description="填写 32 个随机字节的 base64，多个用逗号分隔 | give the base64 of 32 random bytes; several with commas between"
    )
    vault_door_before_seconds: int = Field(7200, ge=0, le=86400, description="填 0 至 86400 秒 | use 0 to 86400 seconds")
    vault_door_after_seconds: int = Field(86400, ge=0, le=604800, description="填 0 至 604800 秒 | use 0 to 604800 seconds")
    vault_contact: Literal["masked", "relay"] = Field("masked", description="填 masked 或 relay | use masked or relay")

    @property
    def ladder(self) -> Ladder:
        """The limits of the address ladder."""
        return Ladder(self.vault_door_before_seconds, self.vault_door_after_seconds, self.vault_contact)

    def key_file(self, default: Path | None = None) -> KeyFile:
        """The key file that is named, else `default`.

        Raises:
            BadKeys: neither is there, or the outer secret is weak.
        """
        path = self.vault_keys or default
        if path is None:
            raise BadKeys(
                "缺少环境变量 LASTMETRE_VAULT_KEYS：填写密钥文件的路径",
                "environment variable LASTMETRE_VAULT_KEYS is missing: give the path of the key file",
            )
        return KeyFile(path.expanduser(), outer_secrets(self.vault_secret.get_secret_value()) if self.vault_secret else ())
