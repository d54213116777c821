"""Sealing and opening, pure: AES-256-GCM, a data key a person, and the identity of the row as associated data.

A sealed value is one byte of format, 12 random bytes of nonce, then the ciphertext with its tag of 16 bytes. The plaintext is the value as JSON, with its
length in front, filled up with zeros to one of `SIZES`: every usual value comes to the same size, so that a length tells next to nothing.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.vault.faults import DoesNotOpen

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
LENGTH_BYTES: Final = 2
# Names, numbers, ids and quiet hours take the first; a long door the second; the third is the most that any value may take.
SIZES: Final = (128, 512, 2048)
_FORMAT: Final = b"\x01"


class Identity(NamedTuple):
    """Whose row a sealed value belongs to. All of it is associated data: moved to another row, table or version, it does not open."""

    table: str
    area: str
    person: str
    field: str
    version: int

    def bytes(self) -> bytes:
        """The identity as bytes; JSON keeps the parts apart, whatever they hold."""
        return orjson.dumps(["lastmetre", "vault", self.table, self.area, self.person, self.field, self.version])


def new_key() -> bytes:
    """A random key of 256 bits."""
    return secrets.token_bytes(KEY_BYTES)


def pad(plain: bytes) -> bytes:
    """Length, value, zeros up to the next of SIZES.

    Raises:
        ValueError: it is longer than the largest size.
    """
    room = next((size for size in SIZES if len(plain) + LENGTH_BYTES <= size), None)
    if room is None:
        raise ValueError(f"more than {SIZES[-1] - LENGTH_BYTES} bytes")
    return (len(plain).to_bytes(LENGTH_BYTES, "big") + plain).ljust(room, b"\0")


def unpad(padded: bytes) -> bytes:
    """The value again.

    Raises:
        DoesNotOpen: it was not padded by `pad`.
    """
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if len(padded) not in SIZES or end > len(padded) or padded[end:].strip(b"\0"):
        raise DoesNotOpen
    return padded[LENGTH_BYTES:end]


def encrypt(key: bytes, plain: bytes, identity: bytes) -> bytes:
    """Format, nonce, ciphertext and tag. A nonce is random: a key seals far fewer values than the 2**32 for which that is safe."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return _FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, _FORMAT + identity)


def decrypt(key: bytes, sealed: bytes, identity: bytes) -> bytes:
    """The plaintext.

    Raises:
        DoesNotOpen: wrong key, wrong identity, or any byte of it was changed.
    """
    nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if sealed[:1] != _FORMAT or len(rest) < TAG_BYTES:
        raise DoesNotOpen
    try:
        return AESGCM(key).decrypt(nonce, rest, _FORMAT + identity)
    except InvalidTag:
        raise DoesNotOpen from None  # the library's exception says nothing more


def seal(key: bytes, value: Any, identity: Identity) -> bytes:
    """Seal a value of JSON.

    Raises:
        ValueError: it is too long.
    """
    return encrypt(key, pad(orjson.dumps(value)), identity.bytes())


def unseal(key: bytes, sealed: bytes, identity: Identity) -> Any:
    """Open a sealed value.

    Raises:
        DoesNotOpen: wrong key, wrong identity, or any byte of it was changed.
    """
    return orjson.loads(unpad(decrypt(key, sealed, identity.bytes())))


class Envelope(NamedTuple):
    """What a person's wrapped data key is bound to: also that they are a minor, so that nobody takes the guardian's word away by changing a flag."""

    area: str
    person: str
    minor: bool
    key_id: str
    leaf: int

    def bytes(self) -> bytes:
        """The envelope as bytes."""
        return orjson.dumps(["lastmetre", "vault", "keys", self.area, self.person, self.minor, self.key_id, self.leaf])


def wrap(wrapping: bytes, data_key: bytes, envelope: Envelope) -> bytes:
    """Seal a data key under the wrapping key of its leaf."""
    return encrypt(wrapping, data_key, envelope.bytes())


def unwrap(wrapping: bytes, wrapped: bytes, envelope: Envelope) -> bytes:
    """The data key.

    Raises:
        DoesNotOpen: as for `decrypt`.
    """
    return decrypt(wrapping, wrapped, envelope.bytes())
