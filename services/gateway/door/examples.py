"""What the OpenAPI document shows: the golden examples of `schemas/`, as HTTP carries them, and the shapes of the answers."""

import json
from pathlib import Path
from typing import Any, Final

from schemas.codec import STRUCTURED_TYPE
from services.gateway.door.answers import Problem, Refused, one_of
from services.gateway.door.intake import BATCH_TYPE

EXAMPLES: Final = Path(__file__).parents[3] / "schemas" / "examples" / "good"

Json = dict[str, Any]


def structured(kind: str, name: str = "minimal") -> Json:
    """A golden example of a type (without `lastmetre.`) as one structured event, whatever mode it is stored in."""
    stored = json.loads((EXAMPLES / kind / f"{name}.json").read_text(encoding="utf-8"))
    attributes = {header[3:]: text for header, text in stored["headers"] if header.startswith("ce_")}
    if not attributes:
        whole: Json = stored["value"]
        return whole
    return {**attributes, "data": stored["value"]}


def problem(code: str, field: str = "") -> Json:
    """An answer of the door's own."""
    return Refused(code, field).body


_WISH: Final = structured("wish.submitted.v1")
_OFFER: Final = structured("offer.posted.v1")
_MISSING: Final = {"code": "missing_field", "zh": "缺少字段 data.area，请补上", "en": "field data.area is missing: add it", "field": "data.area"}
_TAKEN: Final = {"source": _WISH["source"], "id": _WISH["id"]}


def _json(example: Any, schema: Json | None = None) -> Json:
    return {"application/json": {"schema": schema or {"$ref": "#/components/schemas/Problem"}, "example": example}}


def refused(description: str, example: Json, *, retry: bool = False) -> Json:
    """One response that says why not."""
    header = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return {"model": Problem, "description": description, "content": _json(example)} | ({"headers": header} if retry else {})


_PROBLEM: Final[Json] = {
    "code": {"type": "string"},
    "zh": {"type": "string"},
    "en": {"type": "string"},
    "field": {"type": "string"},
}
_RESULTS: Final[Json] = {
    "type": "object",
    "required": ["accepted", "refused", "results"],
    "properties": {
        "accepted": {"type": "integer", "description": "how many are on the topic"},
        "refused": {"type": "integer"},
        "results": {
            "type": "array",
            "description": "one for each event, in the order sent",
            "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": {"type": "integer"},
                    "status": {"type": "integer", "description": "what the event alone would have been answered"},
                    "source": {"type": "string"},
                    "id": {"type": "string"},
                    **_PROBLEM,
                },
            },
        },
    },
}
_ONE: Final[Json] = {"type": "object", "required": ["source", "id"], "properties": {"source": {"type": "string"}, "id": {"type": "string"}}}
_MIXED: Final = {"accepted": 1, "refused": 1, "results": [{"index": 0, "status": 202, **_TAKEN}, {"index": 1, "status": 422, **_MISSING}]}

INGEST_RESPONSES: Final[dict[int | str, Json]] = {
    202: {
        "description": "Kafka has acknowledged the event, or all events of the batch",
        "content": _json(_TAKEN, {"oneOf": [_ONE, _RESULTS]}),
    },
    207: {"description": "A batch of which not every event is on the topic: a result for each", "content": _json(_MIXED, _RESULTS)},
    400: refused("It could not be read", {"code": "not_json", "zh": "value 不是有效的 JSON", "en": "value is not valid JSON"}),
    403: refused("Outside the key's scope, a type that only services write, or a `source` that is the system's own", problem("out_of_scope", "data.area")),
    413: refused("Over 1 MiB, or a batch over 8 MiB or 2,000 events", problem("batch_too_large", "2000")),
    415: refused(
        "A format of CloudEvents other than JSON", {"code": "invalid_field", "zh": "字段 content-type 不合规", "en": "field content-type is not valid"}
    ),
    422: refused("Read, and not valid by the contract", _MISSING),
    429: refused("The key's quota is used up", problem("quota_exceeded"), retry=True),
    503: refused("Kafka did not acknowledge it: send it again with the same id", problem("not_acknowledged"), retry=True),
}


def _attribute(name: str) -> Json:
    return {
        "name": f"ce-{name}",
        "in": "header",
        "required": False,
        "description": "binary mode only; percent-encoded where it is not ASCII",
        "schema": {"type": "string"},
        "example": _WISH[name],
    }


INGEST_BODY: Final[Json] = {
    "parameters": [_attribute(name) for name in ("specversion", "id", "source", "type", "time", "subject", "partitionkey")],
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED_TYPE: {"schema": {"type": "object"}, "examples": {"wish": {"value": _WISH}, "offer": {"value": _OFFER}}},
            BATCH_TYPE: {"schema": {"type": "array", "items": {"type": "object"}}, "examples": {"both": {"value": [_WISH, _OFFER]}}},
            "application/json": {"schema": {"type": "object"}, "examples": {"binary mode: the data alone": {"value": _WISH["data"]}}},
        },
    },
}

_MATCH: Final = structured("match.confirmed.v1")
READ_RESPONSES: Final[dict[int | str, Json]] = {
    200: {
        "description": "Events in the order of the topic",
        "content": _json(
            {"events": [_MATCH], "next": "Y29uZmlybWF0aW9uczozOjE3", "more": False, "gap": False},
            {
                "type": "object",
                "required": ["events", "next", "more", "gap"],
                "properties": {
                    "events": {"type": "array", "items": {"type": "object"}},
                    "next": {"type": "string", "description": "`after` of the next request"},
                    "more": {"type": "boolean", "description": "whether more lies there already"},
                    "gap": {"type": "boolean", "description": "whether records after the position were dropped by age"},
                },
            },
        ),
    },
    400: refused("No position of this topic and area", problem("bad_cursor", "after")),
    403: refused("The key's scope is narrower than an area", problem("out_of_scope", "scope")),
    429: refused("As many of this account wait already as may", problem("too_many_waiting", "4"), retry=True),
    503: refused("Too many read at once", problem("overloaded"), retry=True),
}
_WEBHOOK: Final[Json] = {
    "webhook_id": "wh0123456789abcdef", "area": "gaoxin", "url": "https://app.example/lastmetre", "types": ["lastmetre.match.confirmed.v1"],
    "state": "active", "reason": None, "created_at": "2026-11-25T08:00:00Z", "failing_since": None, "attempts": 0, "last_status": 204,
    "last_at": "2026-11-25T08:30:00Z",
}  # fmt: skip
_OBJECT: Final[Json] = {"type": "object"}
NOT_FOUND: Final[dict[int | str, Json]] = {404: refused("None of yours", problem("not_found"))}
SECRET_RESPONSES: Final[dict[int | str, Json]] = {**NOT_FOUND, 409: refused("Somebody else's, whom an admin looks after", problem("not_own"))}
WEBHOOK_RESPONSES: Final[dict[int | str, Json]] = {
    201: {"description": "Subscribed", "content": _json({**_WEBHOOK, "secret": "whsec_…"}, _OBJECT)},
    403: refused("The scope is narrower than an area", problem("out_of_scope", "scope")),
    409: refused("There are as many as there may be", problem("too_many", "10")),
    422: refused("Not valid", problem("bad_address", "url")),
    503: refused("Webhooks are not switched on", problem("switched_off", "LASTMETRE_DOOR_SECRET"), retry=True),
}
WEBHOOKS_RESPONSES: Final[dict[int | str, Json]] = {200: {"description": "Subscriptions", "content": _json({"webhooks": [_WEBHOOK]}, _OBJECT)}}
TEST_RESPONSES: Final[dict[int | str, Json]] = {
    200: {"description": "What the sample was answered with", "content": _json({"delivered": True, "status": 204, "id": "sample-1764000000"}, _OBJECT)},
    **NOT_FOUND,
}
_API_KEY: Final[Json] = {
    "key_id": "0123456789abcdef", "name": "community app", "scopes": ["publish_events"], "state": "active", "created_at": "2026-11-25T08:00:00Z",
    "expires_at": None, "last_used_at": None, "per_minute": 6000, "per_day": None, "used_today": None,
}  # fmt: skip
KEYS_RESPONSES: Final[dict[int | str, Json]] = {200: {"description": "Keys", "content": _json({"keys": [_API_KEY]}, _OBJECT)}}
KEY_RESPONSES: Final[dict[int | str, Json]] = {
    201: {"description": "Made; the key is shown this once", "content": _json({**_API_KEY, "key": "lmk_0123456789abcdef_…"}, _OBJECT)},
    403: refused("Keys are made by people", problem("by_people")),
    409: refused("There are as many as there may be", problem("too_many", "20")),
    422: refused("Not valid", problem("bad_value", "scopes")),
}
ROTATE_RESPONSES: Final[dict[int | str, Json]] = {
    **KEY_RESPONSES,
    **NOT_FOUND,
    409: refused("Somebody else's, whom an admin looks after", problem("not_own")),
    422: refused("Not valid", problem("bad_value", "overlap_seconds")),
}
_RECEIPT: Final[Json] = {"reference": "5b0c8a52-6c0e-5d53-9f0a-0b8a1c9d2e3f", "status": "failed", "at": "2026-11-25T08:31:00Z", "fault": "absent"}


def receipt_body(schema: Json) -> Json:
    """What a receipt is sent with: `schema` is that of its model, as the route reads the body itself."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": words, "schema": {"type": "string"}}
            for name, words in (
                ("x-lastmetre-timestamp", "whole seconds since 1970, within five minutes of now"),
                ("x-lastmetre-signature", "hex HMAC-SHA256 over timestamp + '.' + body, with the channel's secret"),
            )
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": _RECEIPT}}},
    }


RECEIPT_RESPONSES: Final[dict[int | str, Json]] = {
    202: {"description": "It is kept", "content": _json({"reference": _RECEIPT["reference"]}, _OBJECT)},
    401: refused("Not signed with the channel's secret, or too old", problem("bad_signature")),
    422: refused("Not valid", Refused("bad_value", "status", one_of(("delivered", "failed", "read"))).body),
    503: refused("Receipts are not switched on", problem("switched_off", "LASTMETRE_RECEIPT_SECRETS"), retry=True),
}
