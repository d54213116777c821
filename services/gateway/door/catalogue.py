"""The event catalogue as a page shows it: read from the exported AsyncAPI document and the golden examples. Pure, but for reading the files once."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from schemas import errors
from services.gateway import errors as faults
from services.gateway import guard
from services.gateway.door import answers, examples
from services.gateway.door.intake import IN
from services.gateway.door.positions import OUT

ASYNCAPI: Final = Path(__file__).parents[3] / "schemas" / "exports" / "asyncapi.json"
_PREFIX: Final = "lastmetre."

CHINESE: Final[dict[str, str]] = {
    "wish.submitted.v1": "提交一个微心愿",
    "wish.withdrawn.v1": "居民撤回心愿",
    "consent.withdrawn.v1": "撤回同意：此心愿的一切都停止",
    "offer.posted.v1": "志愿者登记服务；同一 offer_id 再发即替换",
    "offer.withdrawn.v1": "志愿者撤回登记：不再有新的配对，已有的继续",
    "offer.suspended.v1": "暂停一份服务登记：不再有新的配对，已有的也解除；同一人的其他登记须各自暂停",
    "wish.claimed.v1": "志愿者认领一个心愿",
    "match.accepted.v1": "志愿者答应",
    "match.declined.v1": "志愿者拒绝，或不能来了",
    "match.approved.v1": "社区工作者同意或不同意",
    "service.started.v1": "志愿者已到",
    "service.finished.v1": "志愿者服务完毕",
    "service.acknowledged.v1": "居民或社区反馈是否帮上忙",
    "match.proposed.v1": "为心愿找到一位志愿者和一个时段",
    "helper.invited.v1": "同时邀请几位，先答应者先得",
    "match.agreed.v1": "需要的答复或同意已到",
    "match.released.v1": "一个配对解除，及其原因",
    "claim.rejected.v1": "认领未成及其原因",
    "wish.widened.v1": "扩大邀请范围",
    "wish.unmet.v1": "无人能满足的最小需求",
    "wish.expired.v1": "到期仍未找齐志愿者",
    "match.confirmed.v1": "双方均已得到通知，每个配对一次",
    "confirmation.failed.v1": "有一方通知不到，配对将解除；没有有效的监护人同意（no_consent）时，心愿也到此结束",
    "match.closed.v1": "服务结束并已评定",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event's data: its path, type and limits in words, and whether it must be there."""

    path: str
    kind: str
    required: bool
    note: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One event type."""

    name: str
    anchor: str
    zh: str
    en: str
    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic and its types. `taken`: what other systems send; else what the services write."""

    topic: str
    taken: bool
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is refused."""

    code: str
    status: int
    zh: str
    en: str


@cache
def channels() -> tuple[Channel, ...]:
    """The topics of events, what comes in first."""
    document = json.loads(ASYNCAPI.read_text(encoding="utf-8"))
    messages = document["components"]["messages"]
    found = []
    for channel in document["channels"].values():
        if channel["address"] in {*IN, *OUT}:
            kinds = tuple(_kind(messages[name]) for name in channel["messages"])
            found.append(Channel(channel["address"], channel["address"] in IN, kinds))
    return tuple(sorted(found, key=lambda one: not one.taken))


@cache
def reasons() -> tuple[Reason, ...]:
    """The contract's reasons that the door gives, then the door's own, then what is said of any request."""
    blank = "…"
    told = []
    for code in errors.SENTENCES:
        if code not in {errors.DECISION_FAILED, errors.WRONG_TOPIC, errors.NULL_VALUE}:
            fault = errors.InvalidEvent(code, blank, (blank, blank))
            told.append(Reason(code, answers.status_of(fault), *fault.words))
    for code in answers.CODES:
        own = answers.Refused(code, blank, (blank, blank))
        told.append(Reason(code, own.status, own.zh, own.en))
    told += [Reason(code, 401, *sentences) for code, sentences in faults.UNPROVEN.items()]
    told += [Reason(code, 403, *sentences) for code, sentences in guard.WORDS.items()]
    known = {(one.code, one.status) for one in told}
    told += [Reason(code, status, zh, en) for status, (code, zh, en) in faults.WORDS.items() if (code, status) not in known | {("sign_in", 401)}]
    return tuple(told)


def _kind(message: dict[str, Any]) -> Kind:
    name = message["name"]
    short = name.removeprefix(_PREFIX)
    english = message["summary"].removeprefix(f"{name}: ")
    example = json.dumps(examples.structured(short, "full"), ensure_ascii=False, indent=2)
    return Kind(name, short.replace(".", "-"), CHINESE[short], english, tuple(_fields(message["payload"], "")), example)


def _fields(schema: dict[str, Any], prefix: str) -> list[Field]:
    found = []
    for name, one in schema.get("properties", {}).items():
        described = _not_null(one)
        found.append(Field(f"{prefix}{name}", _type(described), name in schema.get("required", ()), _note(described)))
        inner = _not_null(described.get("items", {})) if described.get("type") == "array" else described
        mark = "[]." if described.get("type") == "array" else "."
        found.extend(_fields(inner, f"{prefix}{name}{mark}"))
    return found


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The one shape of a field that may also be null."""
    shapes = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return {**schema, **shapes[0]} if len(shapes) == 1 else schema


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " · ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"{_type(_not_null(schema.get('items', {})))} []"
    if schema.get("format") == "date-time":
        return "RFC 3339"
    return str(schema.get("type", "any"))


_LIMITS: Final = (("minimum", "≥"), ("maximum", "≤"), ("minLength", "≥"), ("maxLength", "≤"), ("minItems", "≥"), ("maxItems", "≤"))


def _note(schema: dict[str, Any]) -> str:
    limits = [f"{sign} {schema[name]}" for name, sign in _LIMITS if name in schema]
    default = schema.get("default")
    return " ".join([*limits, *([] if default is None else [f"= {json.dumps(default)}"])])
