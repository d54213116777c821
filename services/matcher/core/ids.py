"""Ids that are derived, so that the same decision always has the same ids (RFC 9562, version 5)."""

from hashlib import sha1
from typing import Final
from uuid import UUID

# A namespace of our own, made once at random.
NAMESPACE: Final = UUID("5d0c1a52-6a3e-4f0b-9a37-2f6b1f5c7e11")
_SEED: Final = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_id(name: str) -> str:
    """`str(uuid5(NAMESPACE, name))`, without the intermediate objects."""
    digest = _SEED.copy()
    digest.update(name.encode())
    text = digest.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
