"""Personal data in JSON and in headers: where it hides in an event, and how a refused event is masked.

The models judge the fields that they know. Fields that they do not know are let through, so they are searched here:
tolerance must not become a hiding place. Nothing here raises but InvalidEvent, whatever the bytes are.
"""

import base64
import binascii
import codecs
import re
from collections.abc import Iterable
from typing import Any, Final, get_args

import orjson

from schemas import errors, personal
from schemas.base import Incoming
from schemas.errors import InvalidEvent
from schemas.strict_json import hides_something, is_wide
from schemas.topics import EVENT_MAX_BYTES

_DEPTH_MAX: Final = 32
_WIDE: Final[errors.Words] = ("整数过大，不能超过 64 位", "send a whole number of at most 64 bits")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
# An opaque id may well look like a number among others; here only a bare phone or identity-card number is one.
_ID_KEYS: Final = frozenset(
    {
        *("id", "source", "subject", "partitionkey", "time"),
        *("wish_id", "offer_id", "claim_id", "match_id", "group_id", "resident_ref", "volunteer_ref", "worker_ref"),
    }
)
# How JSON writes a character by its number. In a text within a text the backslash stands twice or more.
_ESCAPE: Final = re.compile(r"(\\+u[0-9a-fA-F]{4})")
_MARKS_OF_ORDER: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PLAIN_SHARE: Final = 64  # of a text in UTF-16 more bytes than one in so many are zeros, of one in GB 18030 fewer are no letters, or a single one
_BASE64_KEY: Final = "data_base64"
_ID_FIELDS: Final = (("area", "wish_id", "offer_id", "claim_id", "match_id"), ("skills", "languages"), ("place", "home"))
_CIRCLES: Final = ("community", "compound", "building", "unit")


def _models(base: type[Incoming] = Incoming) -> list[type[Incoming]]:
    return [found for model in base.__subclasses__() for found in (model, *_models(model))]


def _holds_model(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Incoming):
        return True
    return any(_holds_model(part) for part in get_args(annotation))


def fields_with_models() -> dict[type[Incoming], tuple[str, ...]]:
    """The fields of each model that hold models themselves."""
    return {model: tuple(name for name, field in model.model_fields.items() if _holds_model(field.annotation)) for model in _models()}


def safe_name(name: str) -> str:
    """A name that came from outside, only when it can be nothing but a name; else `unknown`."""
    return name if _NAME.fullmatch(name) and personal.find_personal_data(name) is None else "unknown"


def refuse_hidden(data: Incoming, nested: dict[type[Incoming], tuple[str, ...]]) -> None:
    """InvalidEvent where a field that no model knows holds personal data, or what PostgreSQL cannot keep."""
    _search_model(data, "data", nested)


def fields_with_ids() -> dict[type[Incoming], tuple[tuple[str, ...], ...]]:
    """The fields of each model that hold words of the sender's own without being free text: single ones, lists, places."""
    return {model: tuple(tuple(name for name in names if name in model.model_fields) for names in _ID_FIELDS) for model in _models()}


def refuse_numbers_as_ids(data: Incoming, fields: dict[type[Incoming], tuple[tuple[str, ...], ...]]) -> None:
    """InvalidEvent where an id, a circle of the ladder, a skill or a language is nothing but a phone or identity-card number.

    Not for the models to judge: they also read what was stored before this was asked.
    """
    single, lists, places = fields[type(data)]
    for name in single:
        if _is_number_as_id(getattr(data, name)):
            raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, f"data.{name}")
    for name in lists:
        for index, given in enumerate(getattr(data, name) or ()):
            if _is_number_as_id(given):
                raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, f"data.{name}.{index}")
    for name in places:
        place = getattr(data, name)
        for circle in _CIRCLES:
            if _is_number_as_id(getattr(place, circle)):
                raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, f"data.{name}.{circle}")


def _is_number_as_id(given: str | None) -> bool:
    return given is not None and personal.is_bare_number(given)


def refuse_in_extension(name: str, content: str) -> None:
    """The same for one extension attribute of an event."""
    if personal.is_forbidden_key(name) or personal.find_personal_data(name) is not None:
        raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, safe_name(name))
    if personal.find_personal_data(content) is not None:
        raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, safe_name(name))


def _search_model(model: Incoming, path: str, nested: dict[type[Incoming], tuple[str, ...]]) -> None:
    if model.__pydantic_extra__:
        _search(model.__pydantic_extra__, path, 0)
    for name in nested[type(model)]:
        child = getattr(model, name)
        if isinstance(child, list):
            for index, one in enumerate(child):
                _search_model(one, f"{path}.{name}.{index}", nested)
        elif child is not None:
            _search_model(child, f"{path}.{name}", nested)


def _search(node: Any, path: str, depth: int, key: str = "") -> None:
    if depth > _DEPTH_MAX:
        raise InvalidEvent(errors.TOO_DEEP, "data")
    if isinstance(node, dict):
        for name, child in node.items():
            where = f"{path}.{safe_name(name)}"
            _judge_text(name, where)
            if child is not None and personal.is_forbidden_key(name):
                raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, where)
            _search(child, where, depth + 1, name)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            _search(child, f"{path}.{index}", depth + 1, key)
    elif isinstance(node, str):
        _judge_text(node, path, key)
    elif _is_number(node):
        _judge_number(node, path)


def refuse_wide(node: Any, path: str) -> None:
    """InvalidEvent where a whole number of more than 64 bits stands in JSON that was read strictly."""
    if isinstance(node, dict):
        for name, child in node.items():
            refuse_wide(child, f"{path}.{safe_name(name)}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            refuse_wide(child, f"{path}.{index}")
    elif _is_number(node) and is_wide(node):
        raise InvalidEvent(errors.INVALID_FIELD, path, _WIDE)


def _judge_number(number: float, path: str) -> None:
    if is_wide(number):
        raise InvalidEvent(errors.INVALID_FIELD, path, _WIDE)
    if personal.holds_number(number):
        raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, path)


def _judge_text(text: str, path: str, key: str = "") -> None:
    if "\0" in text:
        raise InvalidEvent(errors.INVALID_FIELD, path, ("请去掉 NUL 字符", "remove the NUL character"))
    if personal.is_bare_number(text) if key in _ID_KEYS else personal.find_personal_data(text) is not None:
        raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, path)


def _is_number(node: Any) -> bool:
    return isinstance(node, int | float) and not isinstance(node, bool)


def masked_value(value: bytes) -> bytes:
    """A refused value as it may lie in the dead letters: untouched, but personal numbers in its text masked.

    What is too large to be an event was never read, and reading it here would hold up its lane for seconds: there only
    plainly written numbers are masked.
    """
    if len(value) > EVENT_MAX_BYTES:
        return personal.mask_plain(value)
    try:
        document = orjson.loads(value)
        masked = _masked(document)
        if masked == document:
            # A key that is there twice shows only its last value to a parser; the bytes still hold the other.
            return _masked_text(value) if hides_something(document, value) else value
        return orjson.dumps(masked)
    except (orjson.JSONDecodeError, RecursionError, TypeError):  # no JSON, or nested too deeply to walk or to write
        return _masked_text(value)


def headers_size(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """How large they are in all, in characters and bytes."""
    return sum([len(name) + len(value or b"") for name, value in headers])


def masked_headers(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The headers of a refused event, untouched but for personal numbers in them; of more than an event may hold, as with a value, plainly written ones."""
    headers = list(headers)
    if headers_size(headers) > EVENT_MAX_BYTES:
        return [(personal.mask_plain(name.encode()).decode(), None if value is None else personal.mask_plain(value)) for name, value in headers]
    masked: list[tuple[str, bytes | None]] = []
    for name, value in headers:
        if value is None or name in ("ce_time", "content-type"):
            masked.append((personal.mask(name), value))
        else:
            key = name.removeprefix("ce_")
            masked.append((personal.mask(name), _masked_header(value, key)))
    return masked


def _masked_header(value: bytes, key: str) -> bytes:
    if key in _ID_KEYS or personal.is_forbidden_key(key) or (_is_utf_8(value) and b"\0" not in value):
        return _masked_string(value.decode(errors="surrogateescape"), key).encode(errors="surrogateescape")
    return _masked_text(value)


def _masked_text(value: bytes) -> bytes:
    """Bytes that are no JSON, or not wholly read as such: masked as UTF-8, and in the other writing that they are text of, if one is plain to see."""
    masked = _masked_in(value, "utf-8")
    other = _other_writing(masked)
    return masked if other is None else _masked_in(masked, other)


def _other_writing(value: bytes) -> str | None:
    """UTF-16, as PowerShell writes files, or GB 18030, as Chinese Windows and Excel do; None where it is neither, such as a picture."""
    zeros = value.count(b"\0")
    if value.startswith(_MARKS_OF_ORDER) or zeros * _PLAIN_SHARE > len(value):
        return "utf-16-le" if value.startswith(codecs.BOM_UTF16_LE) or 2 * value[1::2].count(b"\0") > zeros else "utf-16-be"
    if _is_utf_8(value):
        return None
    strange = sum(map(_is_no_letter, value.decode("gb18030", "surrogateescape")))
    return "gb18030" if (strange - 1) * _PLAIN_SHARE <= len(value) else None


def _is_no_letter(letter: str) -> bool:
    return "\udc80" <= letter <= "\udcff"


def _masked_in(value: bytes, writing: str) -> bytes:
    wide = writing.startswith("utf-16")
    errors, odd = ("surrogatepass", len(value) % 2) if wide else ("surrogateescape", 0)  # what is no text comes out as it went in
    try:
        text = value[: len(value) - odd].decode(writing, errors)
    except UnicodeDecodeError:
        return value
    masked = _masked_words(text)
    return value if masked is text else masked.encode(writing, errors) + value[len(value) - odd :]


def _is_utf_8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _masked_words(text: str) -> str:
    """As `personal.mask`, also of what stands there as escapes of JSON; the same object when there is nothing."""
    parts = _ESCAPE.split(text) if "\\u" in text else [text]  # in turns: what stands there as it is, and an escape
    if len(parts) == 1:
        return personal.mask(text)
    plain = "".join([chr(int(part[-4:], 16)) if place % 2 else part for place, part in enumerate(parts)])
    masked = personal.mask(plain)
    if masked is plain:
        return text
    at, out = 0, []
    for place, part in enumerate(parts):
        width = 1 if place % 2 else len(part)
        now = masked[at : at + width]
        out.append(part if now == plain[at : at + width] else now)
        at += width
    return "".join(out)


def _masked_base64(text: str) -> str:
    """The data of a structured event as some libraries send it; we take none such, so it comes to lie in the dead letters."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return personal.mask(text)
    masked = masked_value(content)
    return text if masked == content else base64.b64encode(masked).decode()


def _masked_string(text: str, key: str) -> str:
    if personal.is_forbidden_key(key):
        return "*" * len(text)
    if key in _ID_KEYS:
        return "*" * len(text) if personal.is_bare_number(text) else text
    return _masked_base64(text) if key == _BASE64_KEY else _masked_words(text)


def _masked(node: Any, key: str = "") -> Any:
    if isinstance(node, dict):
        return {personal.mask(name): _masked(child, name) for name, child in node.items()}
    if isinstance(node, list):
        return [_masked(child, key) for child in node]
    if isinstance(node, str):
        return _masked_string(node, key)
    if _is_number(node) and (personal.is_forbidden_key(key) or personal.holds_number(node)):
        return "*" * len(str(node))
    return node
