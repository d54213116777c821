"""The keys of links: which one mints, and which still open. Pure but for reading a file.

A key has an id; the first mints, each opens. From it come two: one from which codes are derived, one that signs claims.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import OctKey

KEY_BYTES: Final = 32
# A code's bits: 26 letters and digits, none of which are mistaken for another.
CODE_BYTES: Final = 16
_CODE: Final = re.compile(r"[a-z2-7]{26}")
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
# Sixteen times the same byte and such are no keys.
_DISTINCT_MIN: Final = 8


class BadLinkKeys(ValueError):
    """The keys do not serve; `str()` is Chinese and English with ` | ` between, and never holds a key."""


class Key:
    """One key; kept out of every `repr`."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.id = key_id
        self._codes = _derived(secret, b"codes")
        self.claims = OctKey.import_key(_derived(secret, b"claims"))

    def __repr__(self) -> str:
        return f"Key({self.id!r})"

    def code(self, jti: UUID) -> str:
        """The code that opens a link: the same for the same key and link, and not to be guessed without the key."""
        mac = hmac.digest(self._codes, jti.bytes, hashlib.sha256)[:CODE_BYTES]
        return base64.b32encode(mac).decode().rstrip("=").lower()


def _derived(secret: bytes, use: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"lastmetre links " + use).derive(secret)


class LinkKeys:
    """All keys, the one that mints first."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.id: key for key in keys}
        if not self._keys:
            raise BadLinkKeys("没有密钥 | there is no key")
        self.newest = next(iter(self._keys.values()))

    def get(self, key_id: str) -> Key | None:
        """The key of that id, unless it was taken out."""
        return self._keys.get(key_id)

    @classmethod
    def parse(cls, text: str) -> LinkKeys:
        """From `id:base64`, one or more, with commas or line breaks between; `#` begins a remark.

        Raises:
            BadLinkKeys: an id comes twice, or a key is not the base64 of 32 random bytes.
        """
        keys: dict[str, Key] = {}
        for line in text.replace(",", "\n").splitlines():
            entry = line.partition("#")[0].strip()
            if not entry:
                continue
            key_id, _, written = entry.partition(":")
            if _ID.fullmatch(key_id) is None or key_id in keys:
                raise BadLinkKeys("每个密钥写成 编号:base64，编号不可重复 | write each key as id:base64, with ids of their own")
            try:
                secret = base64.b64decode(written, validate=True)
            except (binascii.Error, ValueError):
                secret = b""
            if len(secret) != KEY_BYTES or len(set(secret)) < _DISTINCT_MIN:
                raise BadLinkKeys(f"密钥 {key_id} 应为 32 个随机字节的 base64 | key {key_id} should be the base64 of 32 random bytes")
            keys[key_id] = Key(key_id, secret)
        return cls(keys.values())

    @classmethod
    def read(cls, path: Path) -> LinkKeys:
        """From a file that only its owner may read.

        Raises:
            BadLinkKeys: it can't be read, others may read it, or it does not hold keys.
        """
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise BadLinkKeys(f"他人可读取链接密钥文件 {path}：请运行 chmod 600 | others may read the link keys in {path}: run chmod 600 on it")
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise BadLinkKeys(f"无法读取链接密钥文件 {path} | the file with the link keys, {path}, cannot be read") from None
        return cls.parse(text)


def normal(code: str) -> str | None:
    """A code as it was minted, from how somebody may have typed it; None where it can't be one."""
    found = "".join(code.split()).replace("-", "").lower()
    return found if _CODE.fullmatch(found) else None


def digest(code: str) -> bytes:
    """What is kept of a code."""
    return hashlib.sha256(code.encode()).digest()
