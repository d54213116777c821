"""One-time codes by the clock (TOTP, RFC 6238): six digits, half a minute, each good once."""

from __future__ import annotations

import hmac
from typing import Final

import pyotp

from services.gateway.identity.keys import Keys

STEP_SECONDS: Final = 30
ISSUER: Final = "Last Metre"
_PURPOSE: Final = "totp"
_AROUND: Final = (0, -1, 1)
"""Steps that are taken: now, and one on either side for clocks that differ."""


def new_secret() -> str:
    """160 random bits in base32, as authenticator applications want them."""
    return pyotp.random_base32()


def seal(keys: Keys, secret: str, account_id: str) -> bytes:
    """As the table keeps it."""
    return keys.seal(_PURPOSE, secret.encode(), account_id)


def matching_step(keys: Keys, sealed: bytes, account_id: str, code: str, now_seconds: float) -> int | None:
    """The step whose code this is, or none; the caller sees that no step is used twice.

    Raises:
        DoesNotOpen: the secret was sealed under a key that is not there.
    """
    totp = pyotp.TOTP(keys.unseal(_PURPOSE, sealed, account_id).decode(), interval=STEP_SECONDS)
    given = code.replace(" ", "")
    now = int(now_seconds // STEP_SECONDS)
    found = None
    for step in (now + around for around in _AROUND):
        if hmac.compare_digest(totp.generate_otp(step).encode(), given.encode()):
            found = step
    return found


def address(secret: str, login: str) -> str:
    """The `otpauth:` address that an authenticator application reads."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=login, issuer_name=ISSUER)
