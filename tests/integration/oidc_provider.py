"""A small OpenID provider that is real: its own process and port, authorization code with PKCE, signed tokens, keys that turn over.

It signs in whoever the query's `login_hint` names, without asking; and it signs whatever claims a test gives it, as a provider that was taken over
would. Run as a program: `python -m tests.integration.oidc_provider PORT [PEM]`; with a certificate and its key it speaks TLS.
"""

from __future__ import annotations

import base64
import secrets
import sys
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Header, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID, CLIENT_SECRET, AUDIENCE = "lastmetre", "provider-secret", "lastmetre-api"
TOKEN_SECONDS = 300


@dataclass
class Provider:
    """What it knows: its keys, and the codes that it gave."""

    issuer: str
    keys: dict[str, RSAKey | ECKey] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked_for_keys: int = 0

    def turn_over(self, kind: str = "RSA") -> str:
        """A new key signs from now on, and the old ones are gone."""
        kid = secrets.token_hex(4)
        self.keys = {kid: RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key("P-256")}
        return kid

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        kid, key = next(iter(self.keys.items()))
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        return jwt.encode({"alg": algorithm, "kid": kid, **(header or {})}, claims, key, algorithms=[algorithm])

    def claims(self, subject: str, audience: str, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + TOKEN_SECONDS, **more}


def for_tests(app: FastAPI, provider: Provider) -> None:
    """What no provider offers: claims signed to order, keys turned over at a word."""

    @app.post("/test/sign")
    async def sign(request: Request) -> str:
        order = await request.json()
        claims = provider.claims(order.get("sub", "somebody"), order.get("aud", AUDIENCE)) | order.get("claims", {})
        return provider.sign({name: value for name, value in claims.items() if value is not None}, order.get("header"))

    @app.post("/test/turn-over")
    async def turn_over(kind: Annotated[str, Query()] = "RSA") -> str:
        return provider.turn_over(kind)

    @app.get("/test/elsewhere")
    async def elsewhere() -> RedirectResponse:
        return RedirectResponse("/jwks", 302)

    @app.get("/test/asked")
    async def asked() -> int:
        return provider.asked_for_keys


def application(issuer: str) -> FastAPI:
    provider = Provider(issuer)
    provider.turn_over()
    app = FastAPI(openapi_url=None)

    @app.get("/.well-known/openid-configuration")
    async def configuration() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
        }

    @app.get("/jwks")
    async def jwks() -> dict[str, Any]:
        provider.asked_for_keys += 1
        return {"keys": [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in provider.keys.items()]}

    @app.get("/authorize")
    async def authorize(request: Request, redirect_uri: str, state: str, login_hint: str = "somebody", amr: str = "pwd") -> Response:
        question = dict(request.query_params)
        if question.get("client_id") != CLIENT_ID or question.get("code_challenge_method") != "S256" or question.get("response_type") != "code":
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe()
        provider.codes[code] = {**question, "subject": login_hint, "amr": amr}
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state, 'iss': issuer})}", 303)

    @app.post("/token")
    async def token(
        code: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
        grant_type: Annotated[str, Form()],
        authorization: Annotated[str, Header()] = "",
    ) -> Response:
        given = provider.codes.pop(code, None)  # good once
        basic = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        challenge = base64.urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if (
            given is None
            or authorization != basic
            or grant_type != "authorization_code"
            or given["redirect_uri"] != redirect_uri
            or given["code_challenge"] != challenge
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = provider.claims(given["subject"], CLIENT_ID, nonce=given["nonce"], amr=given["amr"].split())
        access = provider.claims(given["subject"], AUDIENCE, scope="openid")
        return JSONResponse({"token_type": "Bearer", "id_token": provider.sign(claims), "access_token": provider.sign(access, {"typ": "at+jwt"})})

    for_tests(app, provider)
    return app


if __name__ == "__main__":
    port, pem = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    issuer = f"{'http' if pem is None else 'https'}://127.0.0.1:{port}"
    uvicorn.run(application(issuer), host="127.0.0.1", port=port, ssl_certfile=pem, log_level="warning", access_log=False)
