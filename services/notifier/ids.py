"""Ids that are derived from their cause, so that a repeat is the same event, notice or effect (RFC 9562, version 5). Pure."""

from hashlib import sha1
from typing import Final
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as FAST_UUID

# What they all come from: the same cause gives the same id, on every attempt and after a crash.
NAMESPACE: Final = UUID("6f0c1b1e-8f0e-5a63-9d5d-0d6f5b7c2a41")
_SEED: Final = sha1(NAMESPACE.bytes, usedforsecurity=False)


def derived_id(cause: str) -> UUID:
    """`uuid5(NAMESPACE, cause)` as the database's own kind of `UUID`, such as rows hold: made, written and read as text at a fraction of the cost."""
    digest = _SEED.copy()
    digest.update(cause.encode())
    value = bytearray(digest.digest()[:16])
    value[6] = value[6] & 0x0F | 0x50
    value[8] = value[8] & 0x3F | 0x80
    found: UUID = FAST_UUID(bytes(value))
    return found
