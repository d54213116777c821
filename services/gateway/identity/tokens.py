"""Signed tokens of the OpenID provider, checked: pinned algorithms, the provider's own keys, who it is for, from whom, until when."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx
import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519")
"""Signatures with a public key only: a shared secret, or none, never proves anything here."""
_KTY_OF: Final = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "Ed25519": "OKP"}
_RSA_BITS_MIN: Final = 2048
_HEADERS_REFUSED: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "zip", "enc"})
"""Headers by which a token would bring its own key along, or change what it means."""
_TOKEN_MAX: Final = 8192
_LEEWAY_SECONDS: Final = 30
_KEYS_SECONDS: Final = 600.0
_AGAIN_SECONDS: Final = 5.0
_DOCUMENT_MAX: Final = 256 * 1024

PublicKey = RSAKey | ECKey | OKPKey


class BadToken(Exception):
    """The token is not good; the text is a code for the log, never part of the token."""


class ProviderAway(Exception):
    """The provider does not answer, or answers what it must not; the text is a code for the log."""

    @classmethod
    def of(cls, fault: Exception) -> Self:
        """`certificate` where no authority that we know signed what it shows, or it shows another's: the operator's to mend. Else the fault's kind."""
        return cls("certificate" if "CERTIFICATE_VERIFY_FAILED" in str(fault) else type(fault).__name__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the provider says of itself."""

    authorization: str
    token: str
    jwks: str


def is_safe_url(url: str) -> bool:
    """HTTPS, or this machine itself."""
    parts = httpx.URL(url)
    return bool(parts.host) and (parts.scheme == "https" or (parts.scheme == "http" and parts.host in {"127.0.0.1", "localhost", "::1"}))


class TokenVerifier:
    """Knows the provider's addresses and keys, asks for them anew when they are old or a token names one that it does not know."""

    def __init__(self, issuer: str, client: httpx.AsyncClient, *, clock: Callable[[], float] = time.time, again_seconds: float = _AGAIN_SECONDS) -> None:
        self.issuer = issuer
        self._client = client
        self._clock = clock
        self._again_seconds = again_seconds
        self._endpoints: Endpoints | None = None
        self._endpoints_at = float("-inf")
        self._keys: dict[str, PublicKey] = {}
        self._asked_at = float("-inf")

    async def endpoints(self) -> Endpoints:
        """Where the provider is asked: as it said within the last ten minutes, as it may move; or as it said before, while it does not answer.

        Raises:
            ProviderAway: it does not answer, is another than we were told, or would have us send secrets in the open.
        """
        known, now = self._endpoints, time.monotonic()
        if known is not None and now - self._endpoints_at <= _KEYS_SECONDS:
            return known
        self._endpoints_at = now  # whoever comes meanwhile asks where it was
        try:
            self._endpoints = await self._told()
        except ProviderAway:
            if known is None:
                raise
            return known
        return self._endpoints

    async def _told(self) -> Endpoints:
        found = await self.fetch(self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self.issuer:
            raise ProviderAway("issuer")
        urls = [found.get(f"{name}_endpoint") for name in ("authorization", "token")] + [found.get("jwks_uri")]
        if not all(isinstance(url, str) and is_safe_url(url) for url in urls):
            raise ProviderAway("endpoints")
        return Endpoints(*(str(url) for url in urls))

    async def fetch(self, url: str) -> Mapping[str, Any]:
        """A JSON object of the provider.

        Raises:
            ProviderAway: there is none.
        """
        try:
            answer = await self._client.get(url)
            if answer.status_code != httpx.codes.OK or len(answer.content) > _DOCUMENT_MAX:
                raise ProviderAway("status")
            found = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as fault:
            raise ProviderAway.of(fault) from fault
        if not isinstance(found, dict):
            raise ProviderAway("form")
        return found

    async def verify(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token that the provider made for this audience and that is good now.

        Raises:
            BadToken: anything is wrong with it.
            ProviderAway: the provider's keys cannot be had.
        """
        header = _header_of(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise BadToken("algorithm")
        if not _HEADERS_REFUSED.isdisjoint(header):
            raise BadToken("header")
        if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in {"jwt", "at+jwt"}:
            raise BadToken("type")
        key = await self._key(header.get("kid"))
        if key.key_type != _KTY_OF[algorithm]:
            raise BadToken("key_type")
        try:
            claims = dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
            registry = jwt.JWTClaimsRegistry(
                now=int(self._clock()),
                leeway=_LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": audience},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as fault:
            raise BadToken(type(fault).__name__) from None
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise BadToken("subject")
        return claims

    async def _key(self, kid: object) -> PublicKey:
        if not isinstance(kid, str):
            raise BadToken("kid")
        now = time.monotonic()
        # A key that is gone from the provider's set is refused within ten minutes; one that is new is fetched when it is first named, but
        # tokens with made-up names do not make us ask again and again.
        if now - self._asked_at > _KEYS_SECONDS or (kid not in self._keys and now - self._asked_at > self._again_seconds):
            self._asked_at = now
            self._keys = _keys_of(await self.fetch((await self.endpoints()).jwks))
        if kid not in self._keys:
            raise BadToken("kid")
        return self._keys[kid]


def _header_of(token: str) -> dict[str, Any]:
    if len(token) > _TOKEN_MAX or token.count(".") != 2:
        raise BadToken("form")
    part = token.partition(".")[0]
    try:
        header = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        raise BadToken("form") from None
    if not isinstance(header, dict):
        raise BadToken("form")
    return header


def _keys_of(document: Mapping[str, Any]) -> dict[str, PublicKey]:
    """The keys for signatures, by id; what is no public key of a known kind, or too short, is left out."""
    found: dict[str, PublicKey] = {}
    listed = document.get("keys")
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or entry.get("kty") not in _KTY_OF.values() or entry.get("use", "sig") != "sig":
            continue
        kid = entry.get("kid")
        try:
            key = import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if not isinstance(kid, str) or not isinstance(key, RSAKey | ECKey | OKPKey):
            continue
        if isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS_MIN:
            continue
        found[kid] = key
    return found
