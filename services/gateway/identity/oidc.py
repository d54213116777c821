"""Signing in at an OpenID provider: authorization code with PKCE, state, nonce, and the browser that began it is the one that ends it."""

from __future__ import annotations

import base64
import hmac
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Self

import httpx
import orjson

from services.gateway.identity.keys import Keys
from services.gateway.identity.model import digest_of, new_secret
from services.gateway.identity.store import Pending, Store
from services.gateway.identity.tokens import BadToken, ProviderAway, TokenVerifier

_MINUTES: Final = timedelta(minutes=10)
_PURPOSE: Final = "oidc verifier"
_SECONDS: Final = 5.0
SCOPES: Final = "openid"
"""No profile, no e-mail, no phone: we want to know that it is the same person, not who it is."""
_KIND_OF: Final = {
    **dict.fromkeys(("pwd", "pin", "kba"), "knows"),
    **dict.fromkeys(("otp", "hwk", "swk", "pop", "sc", "sms", "tel"), "has"),
    **dict.fromkeys(("face", "fpt", "iris", "retina", "vbm"), "is"),
}
"""Of which kind an authentication method of RFC 8176 is: something that somebody knows, has or is. Others (`geo`, `rba`, `user`, `wia`) are none."""


def is_strong(methods: object) -> bool:
    """Whether an `amr` tells of a second factor: it says so (`mfa`), or names methods of two kinds. One method alone is one factor, however good."""
    if not isinstance(methods, list):
        return False
    named = {method for method in methods if isinstance(method, str)}
    return "mfa" in named or len({_KIND_OF[method] for method in named & _KIND_OF.keys()}) > 1


class BadCallback(Exception):
    """The answer that the browser brought is not one to our question; the text is a code for the log."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What the provider knows us as. `audience`: of access tokens for our API, another than `client_id`."""

    issuer: str
    client_id: str
    client_secret: str | None
    redirect_uri: str
    audience: str | None


@dataclass(frozen=True, slots=True)
class Proven:
    """Whom the provider vouches for, where they wanted to go, and whether they used a second factor there."""

    issuer: str
    subject: str
    next: str
    strong: bool


class OpenID:
    """One provider."""

    def __init__(self, settings: ProviderSettings, store: Store, keys: Keys, client: httpx.AsyncClient) -> None:
        self.settings = settings
        self.tokens = TokenVerifier(settings.issuer, client)
        self._store = store
        self._keys = keys
        self._client = client

    @classmethod
    def connect(cls, settings: ProviderSettings, store: Store, keys: Keys, tls: ssl.SSLContext) -> Self:
        """With a client of its own, which believes whom `tls` does. Nothing is asked before somebody signs in; redirects of the provider's are not followed."""
        return cls(settings, store, keys, httpx.AsyncClient(verify=tls, timeout=_SECONDS, follow_redirects=False, trust_env=False))

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def begin(self, next_path: str, browser: str, now: datetime) -> str:
        """The provider's address to send the browser to. `browser`: the secret that only this browser has.

        Raises:
            ProviderAway: the provider does not say where that is.
        """
        endpoints = await self.tokens.endpoints()
        state, nonce, verifier = new_secret(), new_secret(), secrets.token_urlsafe(48)
        digest = digest_of(state)
        sealed = self._keys.seal(_PURPOSE, verifier.encode(), digest.hex())
        await self._store.begin(digest, Pending(nonce, sealed, next_path, digest_of(browser)), now + _MINUTES)
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        question = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.settings.redirect_uri,
            "scope": SCOPES,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return str(httpx.URL(endpoints.authorization).copy_merge_params(question))

    async def finish(self, answer: Mapping[str, str], browser: str | None, now: datetime) -> Proven:
        """Whom the provider vouches for. A state is good once, whatever comes of it.

        Raises:
            BadCallback: no such question was asked by this browser, or the provider says no.
            BadToken: what it vouches with is not good.
            ProviderAway: it does not answer.
        """
        state = answer.get("state", "")
        pending = await self._store.finish(digest_of(state), now)
        if pending is None:
            raise BadCallback("state")
        if browser is None or not hmac.compare_digest(pending.browser, digest_of(browser)):
            raise BadCallback("browser")
        if answer.get("iss", self.settings.issuer) != self.settings.issuer:
            raise BadCallback("issuer")
        code = answer.get("code")
        if not code or "error" in answer:
            raise BadCallback("refused")
        claims = await self._claims(code, self._keys.unseal(_PURPOSE, pending.verifier, digest_of(state).hex()))
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), pending.nonce.encode()):
            raise BadToken("nonce")
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != self.settings.client_id:
            raise BadToken("azp")
        return Proven(self.settings.issuer, claims["sub"], pending.next, is_strong(claims.get("amr")))

    async def _claims(self, code: str, verifier: bytes) -> dict[str, Any]:
        endpoints = await self.tokens.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": verifier.decode(),
        }
        secret = self.settings.client_secret
        if secret is None:
            form["client_id"] = self.settings.client_id
        auth = httpx.USE_CLIENT_DEFAULT if secret is None else httpx.BasicAuth(self.settings.client_id, secret)
        try:
            answer = await self._client.post(endpoints.token, data=form, auth=auth)
            found = orjson.loads(answer.content)
        except (httpx.HTTPError, orjson.JSONDecodeError) as fault:
            raise ProviderAway.of(fault) from fault
        if answer.status_code != httpx.codes.OK:
            raise BadCallback("code")
        token = found.get("id_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise BadToken("missing")
        return await self.tokens.verify(token, self.settings.client_id)
