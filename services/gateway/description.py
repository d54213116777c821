"""What the OpenAPI document says of every operation beside its own words: by what one is known there, and how it is answered to whoever may not."""

from typing import Any, Final

from fastapi import FastAPI

from schemas.errors import NOT_JSON, InvalidEvent
from services.gateway.door import examples
from services.gateway.edge import SESSION_COOKIE, cookie_name
from services.gateway.errors import UNPROVEN, WORDS
from services.gateway.policy import Act
from services.gateway.routes import receipts

KEY: Final = "key"
SESSION: Final = "session"
RECEIPT: Final = "receipt"
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_RECEIPTS: Final = "/api/v1/receipts/"
_BAD_JSON: Final = InvalidEvent(NOT_JSON, "body")


def _schemes(cookie: str) -> dict[str, Any]:
    return {
        KEY: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "lmk_<id>_<secret>",
            "description": "a key made at /keys, or an access token of the configured provider; each may do what it was made for",
        },
        SESSION: {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "somebody who has signed in at /sign-in; a change also takes the page's token, as header X-CSRF or form field csrf",
        },
        RECEIPT: {
            "type": "apiKey",
            "in": "header",
            "name": receipts.SIGNATURE_HEADER,
            "description": "hex HMAC-SHA256 over timestamp + '.' + body, with the channel's secret",
        },
    }


def _told(status: int, code: str, description: str) -> dict[str, Any]:
    zh, en = UNPROVEN[code] if code in UNPROVEN else WORDS[status][1:]
    field = {"field": "authorization"} if code in UNPROVEN else {}
    return _refused(description, {"code": code, "zh": zh, "en": en, **field}, retry=status == 429)


def _refused(description: str, example: dict[str, str], *, retry: bool = False) -> dict[str, Any]:
    found = examples.refused(description, example, retry=retry)
    del found["model"]  # FastAPI's own word; the document has the schema
    return found


_UNREAD: Final = _refused("It could not be read", {"code": NOT_JSON, "zh": _BAD_JSON.words[0], "en": _BAD_JSON.words[1], "field": "body"})
_ANSWERS: Final = {
    "401": _told(401, "unknown_key", "No key or session, or one that does not hold"),
    "403": _told(403, "not_allowed", "It holds, and not for this"),
    "429": _told(429, "too_many", "Too many requests"),
}


def describe(app: FastAPI, *, https: bool) -> None:
    """Let the application's document say so. It is made when it is first asked for."""
    bare = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(bare(), cookie_name(SESSION_COOKIE, https=https))
        return bare()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _complete(document: dict[str, Any], cookie: str) -> None:
    document["components"]["securitySchemes"] = _schemes(cookie)
    for path, item in document["paths"].items():
        for method in _METHODS.intersection(item):
            operation = item[method]
            if path.startswith(_RECEIPTS):
                operation["security"] = [{RECEIPT: []}]
            elif operation["x-act"] == Act.OPEN_PAGE:
                operation["security"] = []
            else:
                operation["security"] = [{KEY: []}, {SESSION: []}]
                if path.startswith("/api/"):
                    unread = {"400": _UNREAD} if "requestBody" in operation else {}
                    operation["responses"] = _ANSWERS | unread | operation["responses"]
