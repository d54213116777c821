"""What the OpenAPI document says of every operation beside its own words: by what one is known there, and how it is answered to whoever may not."""

from typing import Any, Final

from fastapi import FastAPI

from schemas.errors import NOT_JSON, InvalidEvent
from services.gateway.door import examples
from services.gateway.edge import LONG_QUERY, PACKED, SESSION_COOKIE, TOO_SLOW, Refusal, cookie_name
from services.gateway.errors import UNPROVEN, WORDS
from services.gateway.policy import Act
from services.gateway.routes import receipts

KEY: Final = "key"
SESSION: Final = "session"
RECEIPT: Final = "receipt"
_PLAIN: Final = 2  # words in the schema of a parameter that is any text: its type and title
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
    return _refused(description, {"code": code, "zh": zh, "en": en, **field}, retry=status in {429, 503})


def _refused(description: str, example: dict[str, str], *, retry: bool = False) -> dict[str, Any]:
    found = examples.refused(description, example, retry=retry)
    del found["model"]  # FastAPI's own word; the document has the schema
    return found


def _of_edge(refusal: Refusal, description: str) -> dict[str, Any]:
    assert refusal.words is not None
    field = {"field": refusal.field} if refusal.field else {}
    return _refused(description, {"code": str(refusal.code), "zh": refusal.words[0], "en": refusal.words[1], **field})


_UNREAD: Final = _refused("It could not be read", {"code": NOT_JSON, "zh": _BAD_JSON.words[0], "en": _BAD_JSON.words[1], "field": "body"})
_UNPROVEN: Final = {
    "401": _told(401, "unknown_key", "No key or session, or one that does not hold"),
    "403": _told(403, "not_allowed", "It holds, and not for this"),
}
_TO_ANYBODY: Final = {"429": _told(429, "too_many", "Too many requests"), "503": _told(503, "away", "The database is away: try again")}
_TO_SENDERS: Final = {
    "400": _UNREAD,
    "408": _of_edge(TOO_SLOW, "Not all of it came in time"),
    "413": _told(413, "too_large", "It is larger than 1 MiB"),
    "415": _of_edge(PACKED, "It is packed"),
}
_TO_LONG_QUERIES: Final = {"414": _of_edge(LONG_QUERY, "The query is longer than 8 KiB")}
_NOT_THERE: Final = {"404": _told(404, "not_found", "None, or none of yours")}
_INVALID: Final = _told(422, "invalid", "Not valid")


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
                operation["responses"] = dict(sorted((_usual(path, operation) | _ours(operation)).items()))
    for of_fastapi in ("HTTPValidationError", "ValidationError"):
        if f"#/components/schemas/{of_fastapi}" not in str(document["paths"]):
            document["components"]["schemas"].pop(of_fastapi, None)


def _usual(path: str, operation: dict[str, Any]) -> dict[str, Any]:
    """How any request of its kind may be answered."""
    kinds = {one["in"] for one in operation.get("parameters", ())}
    open_to_all = operation["security"] == [] or path.startswith(_RECEIPTS)
    found = _TO_ANYBODY | ({} if open_to_all else _UNPROVEN)
    found |= _NOT_THERE if "path" in kinds and not open_to_all else {}
    found |= _TO_LONG_QUERIES if "query" in kinds else {}
    return found | (_TO_SENDERS if "requestBody" in operation else {})


def _ours(operation: dict[str, Any]) -> dict[str, Any]:
    """What its route says of it. FastAPI names its own form of 422 wherever there is a parameter: ours is another, and an id in an address is of any form."""
    found: dict[str, Any] = operation["responses"]
    if "HTTPValidationError" not in str(found.get("422")):
        return found
    rest = {status: said for status, said in found.items() if status != "422"}
    judged = "requestBody" in operation or any(one["in"] != "path" or len(one["schema"]) > _PLAIN for one in operation["parameters"])
    return rest | ({"422": _INVALID} if judged else {})
