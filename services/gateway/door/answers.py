"""What the door answers where it does not take something: a status, a code, a sentence in each language, and the field."""

from collections.abc import Iterable
from typing import Any, Final

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from schemas import errors
from schemas.errors import InvalidEvent

_FORMATS: Final = frozenset({"content-type", "datacontenttype"})
"""What says in which format something is; in binary mode the header is the attribute."""
RETRY_SECONDS: Final = 2

# code -> (status, Chinese, English): what the door refuses beside the contract's own reasons.
_WORDS: Final[dict[str, tuple[int, str, str]]] = {
    "out_of_scope": (403, "{field} 不在此密钥的范围内，请用所属区域的密钥", "{field} lies outside this key's scope: use a key of that area"),
    "type_not_allowed": (
        403,
        "外部系统不能发送此类型，请查看 /catalogue 中的接收类型",
        "other systems may not send this type: see the types taken in at /catalogue",
    ),
    "reserved_source": (
        403,
        "字段 {field} 不能是 lastmetre 或以 lastmetre/ 开头，那是本系统自用的，请改用您自己的名称",
        "field {field} must not be lastmetre or begin with lastmetre/, which is the system's own: use a name of yours",
    ),
    "batch_too_large": (413, "一批至多 {field}，请拆分后重发", "a batch holds at most {field}: split it and send it again"),
    "empty_batch": (400, "批次为空，请至少放入一个事件", "the batch is empty: put one event into it at least"),
    "not_acknowledged": (
        503,
        "Kafka 未在时限内确认，请用相同的 id 重发，不会重复",
        "Kafka did not acknowledge it in time: send it again with the same id, nothing will happen twice",
    ),
    "overloaded": (503, "当前过于繁忙，请稍后用相同的 id 重发", "too much is waiting: send it again in a moment with the same id"),
    "quota_exceeded": (429, "此密钥的配额已用完，请在 Retry-After 秒后再试", "this key's quota is used up: try again after Retry-After seconds"),
    "too_many_waiting": (
        429,
        "此账号已有 {field} 个请求在等待，请等其中一个返回后再试",
        "{field} reads of this account are waiting already: try again when one of them has returned",
    ),
    "bad_cursor": (400, "字段 {field} 不是有效的位置，请使用此前返回的 next", "field {field} is no valid position: use a `next` that was given to you"),
    "bad_value": (422, "字段 {field} 不合规：{fix}", "field {field} is not valid: {fix}"),
    "bad_address": (
        422,
        "字段 {field} 应为公网 https 网址，不能指向内部地址",
        "field {field}: give an https address on the public internet, none of an internal network",
    ),
    "not_found": (404, "没有找到，或无权查看", "there is none, or not for you"),
    "too_many": (409, "数量已达上限 {field}，请先删除不用的", "there are {field} already, which is the most: remove one first"),
    "made_already": (
        409,
        "此表单已提交过，密钥 {field} 当时已生成并只显示过一次；没有保存就请轮换或吊销它，另需一把请重新填写",
        "this form was sent before: key {field} was made then and shown once. If it is lost, rotate or revoke it; for another, fill in the form anew",
    ),
    "bad_signature": (401, "签名不符或已过期，请用该通道的密钥重新签名", "the signature does not fit, or is too old: sign it with the channel's secret"),
    "not_own": (409, "密钥只能由其所有者轮换", "a key, or a webhook's secret, is rotated by its owner alone"),
    "by_people": (403, "密钥由人在页面上管理，不能用密钥管理", "keys are managed by people who are signed in, not with a key"),
    "switched_off": (503, "此功能未启用：请设置 {field}", "this is not switched on: set {field}"),
}
CODES: Final = tuple(_WORDS)
_OF_KEYS: Final[dict[str, errors.Words]] = {
    "scope": ("这些事件不带地点，只有整个片区的密钥能用，请改用那样的密钥", "these events name no place: use a key of the whole area"),
    "read_events": (
        "订阅者须能读取事件：请用含 read_events 的密钥，或以集成系统的账号登录",
        "whoever subscribes reads events: use a key that was made for read_events, too, or sign in as an integrator",
    ),
}
"""What is told where `out_of_scope` is about no field that was sent, but about the key's own scope, or what it was made for."""
DENIED: Final = frozenset({"out_of_scope", "type_not_allowed", "reserved_source", "not_own"})
"""Of these the ones that are no fault of form: somebody asked for what is not theirs. They go into the audit log, as whatever is denied."""
_OF_NO_FIELD: Final = frozenset({"batch_too_large", "too_many", "too_many_waiting", "switched_off", "made_already"})
"""What these name in their sentence is a limit, a setting or a key of ours, and no field of what was sent."""
_UNREADABLE: Final = frozenset({errors.NOT_JSON, errors.BAD_ENCODING, errors.TOO_DEEP, errors.DUPLICATE_HEADER, errors.NULL_VALUE})
_SEE: Final[errors.Words] = ("请查看 /api/openapi.json", "see /api/openapi.json")


def one_of(choices: Iterable[str]) -> errors.Words:
    """The fix where only these are taken."""
    listed = ", ".join(sorted(choices))
    return f"只能取 {listed}", f"send one of {listed}"


class Problem(BaseModel):
    """Why something was not taken."""

    code: str = Field(description="a reason of the contract, or one of the door's own", examples=["missing_field"])
    zh: str = Field(description="what to do, in Chinese", examples=["缺少字段 data.area，请补上"])
    en: str = Field(description="what to do, in English", examples=["field data.area is missing: add it"])
    field: str | None = Field(default=None, description="which field it is about", examples=["data.area"])


class Refused(Exception):
    """Something the door does not take, ready to be answered."""

    def __init__(self, code: str, field: str = "", fix: errors.Words = _SEE, *, retry_after: int | None = None) -> None:
        """`fix`: what to send instead, in both languages; only `bad_value` has use for it."""
        self.code, self.field = code, field
        self.status, zh, en = _WORDS[code]
        if code == "out_of_scope":
            zh, en = _OF_KEYS.get(field, (zh, en))
        self.zh, self.en = zh.format(field=field, fix=fix[0]), en.format(field=field, fix=fix[1])
        self.retry_after = RETRY_SECONDS if retry_after is None and self.status == 503 else retry_after
        super().__init__(self.en)

    @property
    def body(self) -> dict[str, Any]:
        """As :class:`Problem`."""
        return _body(self.code, self.zh, self.en, "" if self.code in _OF_NO_FIELD else self.field)


def status_of(fault: InvalidEvent) -> int:
    """400 where it could not be read, 413 too large, 415 another format, 422 where it was read and is not valid."""
    if fault.reason == errors.TOO_LARGE:
        return 413
    if fault.reason in _UNREADABLE:
        return 400
    return 415 if fault.field in _FORMATS else 422


def body_of(fault: InvalidEvent) -> dict[str, Any]:
    """As :class:`Problem`; headers are named as HTTP spells them, `ce-id` for the contract's `ce_id`."""
    zh, en = (sentence.replace("ce_", "ce-") for sentence in fault.words)
    return _body(fault.reason, zh, en, fault.field.replace("ce_", "ce-"))


def _body(code: str, zh: str, en: str, field: str) -> dict[str, Any]:
    return {"code": code, "zh": zh, "en": en} | ({"field": field} if field else {})


def answer(status: int, body: Any, *, retry_after: int | None = None) -> Response:
    """JSON that nobody keeps."""
    headers = {"cache-control": "no-store"} | ({} if retry_after is None else {"retry-after": str(retry_after)})
    return Response(orjson.dumps(body), status, headers, "application/json")


def refusal(fault: InvalidEvent | Refused) -> Response:
    """The answer to one thing that is not taken."""
    if isinstance(fault, Refused):
        return answer(fault.status, fault.body, retry_after=fault.retry_after)
    return answer(status_of(fault), body_of(fault))
