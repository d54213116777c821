"""Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 over id, time and body. Pure.

A secret is derived from the gateway's own by the webhook's id and a version, so that none is kept, and a rotation is a higher version.
"""

import base64
import hmac
from hashlib import sha256
from typing import Final

ID_HEADER: Final = "webhook-id"
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
_PREFIX: Final = "whsec_"


def secret_of(own: bytes, webhook_id: str, version: int) -> str:
    """The secret that is told to the subscriber: `whsec_` and 32 bytes in base64."""
    derived = hmac.digest(own, f"lastmetre webhook {webhook_id} {version}".encode(), "sha256")
    return _PREFIX + base64.b64encode(derived).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; `timestamp` in whole seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def headers(secrets: tuple[str, ...], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one delivery, signed with each of these secrets."""
    return {
        ID_HEADER: message_id,
        TIME_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }
