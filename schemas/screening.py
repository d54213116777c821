"""Personal data in JSON and in headers: where it hides in an event, and how a refused event is masked.

The models judge the fields that they know. Fields that they do not know are let through, so they are searched here:
tolerance must not become a hiding place. Nothing here raises but InvalidEvent, whatever the bytes are.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, get_args

import orjson

from schemas import errors, personal
from schemas.base import Incoming
from schemas.errors import InvalidEvent
from schemas.strict_json import hides_something
from schemas.topics import EVENT_MAX_BYTES

_DEPTH_MAX: Final = 32
_NUMBER_MAX: Final = 2**63 - 1
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
# An opaque id may well look like a number among others; here only a bare phone or identity-card number is one.
_ID_KEYS: Final = frozenset(
    {
        *("id", "source", "subject", "partitionkey", "time"),
        *("wish_id", "offer_id", "claim_id", "match_id", "group_id", "resident_ref", "volunteer_ref", "worker_ref"),
    }
)
_ID_FIELDS: Final = (("wish_id", "offer_id", "claim_id", "match_id"), ("skills", "languages"), ("place", "home"))
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


def _judge_number(number: float, path: str) -> None:
    if abs(number) > _NUMBER_MAX:
        raise InvalidEvent(errors.INVALID_FIELD, path, ("数字过大，不能超过 64 位", "send a number of at most 64 bits"))
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
            text = value.decode(errors="surrogateescape")
            masked.append((personal.mask(name), _masked_string(text, key).encode(errors="surrogateescape")))
    return masked


def _masked_text(value: bytes) -> bytes:
    text = value.decode(errors="surrogateescape")  # so that bytes that are no UTF-8 come out as they went in
    masked = personal.mask(text)
    return value if masked is text else masked.encode(errors="surrogateescape")


def _masked_string(text: str, key: str) -> str:
    if personal.is_forbidden_key(key):
        return "*" * len(text)
    if key in _ID_KEYS:
        return "*" * len(text) if personal.is_bare_number(text) else text
    return personal.mask(text)


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
