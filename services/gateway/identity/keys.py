"""The gateway's own keys, in a file beside the database: what seals second factors, signs the audit chain and marks known devices.

A dump of PostgreSQL opens nothing of it, and whoever only has the file has no rows. One random key a line of the file; the first seals, each opens.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_ID_CHARACTERS: Final = 8


class BadKeys(Exception):
    """The key file cannot be used; `chinese` and `english` say why and what to do."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(f"{chinese} | {english}")
        self.chinese, self.english = chinese, english


class DoesNotOpen(Exception):
    """Sealed with another key, for another purpose or person, or changed."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The keys by id, the newest first. An id is the beginning of the key's own digest, so that it needs no place of its own."""

    by_id: dict[str, bytes]

    @classmethod
    def of(cls, *keys: bytes) -> Self:
        """From raw keys of 32 bytes."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("keys have 32 bytes")
        return cls({sha256(b"lastmetre gateway key id" + key).hexdigest()[:_ID_CHARACTERS]: key for key in keys})

    @property
    def current(self) -> str:
        """The id of the key that seals and signs."""
        return next(iter(self.by_id))

    def derived(self, purpose: str, key_id: str | None = None) -> bytes:
        """A key of its own for each purpose.

        Raises:
            DoesNotOpen: there is no key of that id.
        """
        key = self.by_id.get(key_id or self.current)
        if key is None:
            raise DoesNotOpen
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"lastmetre gateway {purpose}".encode()).derive(key)

    def mac(self, purpose: str, message: bytes, key_id: str | None = None) -> bytes:
        """HMAC-SHA-256 under the purpose's key."""
        return hmac.digest(self.derived(purpose, key_id), message, "sha256")

    def seal(self, purpose: str, plain: bytes, bound_to: str) -> bytes:
        """AES-256-GCM: the key's id, a random nonce, ciphertext and tag; it opens only for whom it is bound to."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self.current.encode() + nonce + AESGCM(self.derived(purpose)).encrypt(nonce, plain, bound_to.encode())

    def unseal(self, purpose: str, sealed: bytes, bound_to: str) -> bytes:
        """The plaintext.

        Raises:
            DoesNotOpen: wrong key, wrong purpose, wrong person, or any byte of it was changed.
        """
        key_id = sealed[:_ID_CHARACTERS].decode("ascii", "replace")
        nonce, rest = sealed[_ID_CHARACTERS : _ID_CHARACTERS + NONCE_BYTES], sealed[_ID_CHARACTERS + NONCE_BYTES :]
        try:
            return AESGCM(self.derived(purpose, key_id)).decrypt(nonce, rest, bound_to.encode())
        except (InvalidTag, ValueError):
            raise DoesNotOpen from None


def make_key_file(path: Path) -> None:
    """Make the file with one random key, mode 0600, if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_key_file(path: Path) -> Keys:
    """The keys of a file.

    Raises:
        BadKeys: it is missing, open to others, or not what `make_key_file` writes.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadKeys(f"密钥文件 {path} 可被他人读取：请运行 chmod 600", f"others may read the key file {path}: run chmod 600 on it")
            lines = file.read().split()
    except OSError as fault:
        raise BadKeys(f"无法读取密钥文件 {path}（{fault.strerror}）", f"the key file {path} cannot be read ({fault.strerror})") from fault
    try:
        return Keys.of(*(base64.b64decode(line, validate=True) for line in lines))
    except ValueError:
        raise BadKeys(f"密钥文件 {path} 的内容不合规：每行一个 32 字节密钥的 base64", f"the key file {path} must have one base64 of 32 bytes a line") from None
