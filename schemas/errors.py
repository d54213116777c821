"""Why an event was not taken: one code, one sentence in each language, never a value of the event itself.

A message names the field and the fix. It never repeats what was sent: the refused value may be the very phone
number or door that must not be shown.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas import shapes

TOO_LARGE: Final = "too_large"
NULL_VALUE: Final = "null_value"
BAD_ENCODING: Final = "bad_encoding"
NOT_JSON: Final = "not_json"
TOO_DEEP: Final = "too_deep"
DUPLICATE_HEADER: Final = "duplicate_header"
UNKNOWN_TYPE: Final = "unknown_type"
WRONG_TOPIC: Final = "wrong_topic"
MISSING_FIELD: Final = "missing_field"
INVALID_FIELD: Final = "invalid_field"
WINDOW_INVERTED: Final = "window_inverted"
WINDOW_TOO_SHORT: Final = "window_too_short"
FAR_OFF_DATE: Final = "far_off_date"
CONTAINS_PERSONAL_DATA: Final = "contains_personal_data"
DECISION_FAILED: Final = "decision_failed"

# reason -> (Chinese, English); {field} is filled in where the reason concerns one field.
SENTENCES: Final[dict[str, tuple[str, str]]] = {
    TOO_LARGE: ("事件大于 1 MiB，请缩小后重发", "the event is larger than 1 MiB: make it smaller and send it again"),
    NULL_VALUE: ("消息没有内容，请发送完整事件", "the message has no value: send the whole event"),
    BAD_ENCODING: ("{field} 不是有效的 UTF-8，请改用 UTF-8 编码", "{field} is not valid UTF-8: encode it as UTF-8"),
    NOT_JSON: ("{field} 不是有效的 JSON，请检查语法，并去掉开头的字节顺序标记（BOM）", "{field} is not valid JSON: check its syntax; send no byte order mark"),
    TOO_DEEP: ("{field} 嵌套过深，请减少层数", "{field} is nested too deeply: use fewer levels"),
    DUPLICATE_HEADER: ("消息头 {field} 重复，只保留一个", "header {field} is there more than once: send it once"),
    UNKNOWN_TYPE: ("字段 type 不是已知的事件类型，请查看 schemas/", "field type is not a known event type: see schemas/"),
    WRONG_TOPIC: ("此类型应发到主题 {field}", "this type belongs on the topic {field}: publish it there"),
    MISSING_FIELD: ("缺少字段 {field}，请补上", "field {field} is missing: add it"),
    INVALID_FIELD: ("字段 {field} 不合规：{fix}", "field {field} is not valid: {fix}"),
    WINDOW_INVERTED: ("{field} 的 end 必须晚于 start", "{field}: end must be later than start"),
    WINDOW_TOO_SHORT: (
        "{field} 短于所需的 minutes，请延后 end 或减少 minutes",
        "{field} is shorter than minutes: set a later end or fewer minutes",
    ),
    FAR_OFF_DATE: ("{field}.end 距 time 超过 366 天，请改近", "{field}.end is over 366 days after time: set it nearer"),
    CONTAINS_PERSONAL_DATA: (
        "{field} 含电话、身份证号、门牌号或邮箱，请删去（联系方式只存保险箱）",
        "{field} holds a phone, identity-card or door number, or an e-mail address: remove it (contacts belong in the vault)",
    ),
    DECISION_FAILED: ("处理此事件时出错，已隔离，请联系维护者", "deciding this event failed; it was set aside: tell the maintainers"),
}

# The same in a word or two, for tables and lists.
BRIEFLY: Final[dict[str, tuple[str, str]]] = {
    TOO_LARGE: ("过大", "too large"),
    NULL_VALUE: ("没有内容", "no value"),
    BAD_ENCODING: ("不是 UTF-8", "not UTF-8"),
    NOT_JSON: ("不是 JSON", "not JSON"),
    TOO_DEEP: ("嵌套过深", "nested too deeply"),
    DUPLICATE_HEADER: ("消息头重复", "a header twice"),
    UNKNOWN_TYPE: ("未知类型", "unknown type"),
    WRONG_TOPIC: ("主题不对", "wrong topic"),
    MISSING_FIELD: ("缺少字段", "a field is missing"),
    INVALID_FIELD: ("字段不合规", "a field is not valid"),
    WINDOW_INVERTED: ("时间段首尾颠倒", "window ends before it starts"),
    WINDOW_TOO_SHORT: ("时间段太短", "window too short"),
    FAR_OFF_DATE: ("日期太远", "date too far off"),
    CONTAINS_PERSONAL_DATA: ("含个人信息", "personal data"),
    DECISION_FAILED: ("处理出错", "deciding it failed"),
}


Words = tuple[str, str]  # one sentence in Chinese, the same in English

# Why a field is not valid and what to send instead, by pydantic's name of the fault. `{...}` are bounds of the model,
# never what was sent.
_FIXES: Final[dict[str, Words]] = {
    "string_type": ("应为字符串", "send a string"),
    "string_too_short": ("至少 {min_length} 个字符", "send at least {min_length} characters"),
    "string_too_long": ("至多 {max_length} 个字符", "send at most {max_length} characters"),
    "int_type": ("应为整数，不带小数点和引号", "send a whole number, without a decimal point or quotes"),
    "int_from_float": ("应为整数，不带小数点和引号", "send a whole number, without a decimal point or quotes"),
    "int_parsing": ("应为整数", "send a whole number"),
    "float_parsing": ("应为数字", "send a number"),
    "bool_parsing": ("应为 true 或 false", "send true or false"),
    "uuid_parsing": ("应为 UUID", "send a UUID"),
    "int_parsing_size": ("数字过大", "send a smaller number"),
    "bool_type": ("应为 true 或 false", "send true or false"),
    "list_type": ("应为数组", "send an array"),
    "model_type": ("应为 JSON 对象", "send a JSON object"),
    "model_attributes_type": ("应为 JSON 对象", "send a JSON object"),
    "greater_than_equal": ("不能小于 {ge}", "send {ge} or more"),
    "less_than_equal": ("不能大于 {le}", "send {le} or less"),
    "too_short": ("至少 {min_length} 项", "send at least {min_length} items"),
    "too_long": ("至多 {max_length} 项", "send at most {max_length} items"),
    "literal_error": ("应为下列之一：{choices}", "send one of {choices}"),
    "enum": ("应为下列之一：{choices}", "send one of {choices}"),
    "extra_forbidden": ("契约中没有此字段，请删去", "the contract has no such field: remove it"),
}
_OTHER_FIX: Final[Words] = ("请按 JSON Schema 填写", "write it as the JSON Schema says")


class InvalidEvent(Exception):
    """An event that is not taken: `reason` is a code of this module, `field` the place, `words` a sentence in each language, `str()` both.

    `fix` says in both languages what to send instead; only `invalid_field` has use for it.
    """

    def __init__(self, reason: str, field: str = "", fix: Words = _OTHER_FIX) -> None:
        self.reason = reason
        self.field = field
        self.fix = fix
        zh, en = SENTENCES[reason]
        self.words: Words = zh.format(field=field, fix=fix[0]), en.format(field=field, fix=fix[1])
        super().__init__(" | ".join(self.words))


def _path(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"])


def _fix(kind: str, context: dict[str, Any]) -> Words:
    if kind == "string_pattern_mismatch":
        return shapes.WORDS.get(context["pattern"], _OTHER_FIX)
    if kind.startswith(("datetime_", "timezone_")):
        return shapes.INSTANT_WORDS
    zh, en = _FIXES.get(kind, _OTHER_FIX)
    choices = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
    bounds = {name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound for name, bound in context.items()}
    values = {**bounds, "choices": choices}
    return zh.format(**values), en.format(**values)


def all_of_validation(error: ValidationError, prefix: str) -> list[InvalidEvent]:
    """The complaints of a model, as our reasons, in the order of its fields; `prefix` is the place of the model, such as `data`."""
    return [_complaint(one, prefix) for one in error.errors(include_url=False, include_input=False)]


def from_validation(error: ValidationError, prefix: str) -> InvalidEvent:
    """The first of them."""
    return _complaint(error.errors(include_url=False, include_input=False)[0], prefix)


def complaint_about(field: str, one: Mapping[str, Any]) -> InvalidEvent:
    """What is wrong with this field and what to send instead, from one of pydantic's own faults."""
    if one["type"] == "missing":
        return InvalidEvent(MISSING_FIELD, field)
    return InvalidEvent(INVALID_FIELD, field, _fix(one["type"], one.get("ctx") or {}))


def _complaint(one: ErrorDetails, prefix: str) -> InvalidEvent:
    kind = one["type"]
    context = one.get("ctx") or {}
    where = ".".join(part for part in (prefix, _path(one)) if part)
    if kind in SENTENCES:  # raised by a validator of ours
        return InvalidEvent(kind, ".".join(part for part in (where, context.get("at", "")) if part))
    if kind == "json_invalid":  # strict_json let it through, so it is sound but nested deeper than pydantic reads
        return InvalidEvent(TOO_DEEP, prefix)
    return complaint_about(where, one)
