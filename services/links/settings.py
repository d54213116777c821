"""What links need to be told from outside; of a service that uses them these stand among its own. Without `LASTMETRE_PUBLIC_URL` no notice carries a link."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.links.keys import BadLinkKeys, LinkKeys
from services.runtime import PREFIX

# With a code of 26 characters behind it, a text message still says something.
URL_CHARACTERS_MAX: Final = 32
_HERE: Final = frozenset(("127.0.0.1", "localhost", "::1"))


class LinkKeySettings(BaseSettings):
    """The keys of links, as a setting or as a file: all that whoever answers links must know."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    link_keys: SecretStr | None = Field(
        None, description="填 编号:base64（32 个随机字节），多个用逗号分隔 | use id:base64 of 32 random bytes; several with commas between"
    )
    link_keys_file: Path | None = Field(None, description="填链接密钥文件的路径 | use the path of the file with the link keys")

    @property
    def link_ring(self) -> LinkKeys | None:
        """The keys; None where nobody sends or answers links.

        Raises:
            BadLinkKeys: they do not serve.
        """
        if self.link_keys is not None:
            return LinkKeys.parse(self.link_keys.get_secret_value())
        return None if self.link_keys_file is None else LinkKeys.read(self.link_keys_file)

    @model_validator(mode="after")
    def _link_keys_serve(self) -> Self:
        try:
            _ = self.link_ring
        except BadLinkKeys as fault:
            chinese, _, english = str(fault).partition(" | ")
            variable = "LASTMETRE_LINK_KEYS" if self.link_keys is not None else "LASTMETRE_LINK_KEYS_FILE"
            raise ValueError(
                f"环境变量 {variable} 的链接密钥不合规：{chinese} | environment variable {variable}: the link keys are not valid: {english}"
            ) from None
        return self


class LinkSettings(LinkKeySettings):
    """The keys, and `LASTMETRE_PUBLIC_URL`: what whoever sends links must know."""

    public_url: str | None = Field(None, description="填居民能打开的网址 | use the address that people can open")

    @model_validator(mode="after")
    def _links_hold(self) -> Self:
        if self.public_url is None:
            return self
        parts = urlsplit(self.public_url)
        plain = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
        if not plain or not parts.hostname or parts.query or parts.fragment or parts.username or len(self.public_url) > URL_CHARACTERS_MAX:
            raise ValueError(
                f"环境变量 LASTMETRE_PUBLIC_URL 不合规：填 https 地址，至多 {URL_CHARACTERS_MAX} 个字符，不带参数"
                f" | environment variable LASTMETRE_PUBLIC_URL is not valid: use an https address of at most {URL_CHARACTERS_MAX} characters, without a query"
            )
        if self.link_ring is None:
            raise ValueError(
                "缺少环境变量 LASTMETRE_LINK_KEYS 或 LASTMETRE_LINK_KEYS_FILE：带链接的通知需要密钥"
                " | environment variable LASTMETRE_LINK_KEYS or LASTMETRE_LINK_KEYS_FILE is missing: notices with links need keys"
            )
        return self


def link_url(public_url: str, code: str) -> str:
    """The link. The code stands behind `#`: a browser sends that to nobody, so it is in no server's log, and no program that previews links has it."""
    return f"{public_url.rstrip('/')}/a#{code}"
