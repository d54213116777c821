"""Reading and writing events: CloudEvents 1.0 in its Kafka binding.

In: both content modes (binary: `ce_` headers; structured: `content-type: application/cloudevents+json`; a message
without any of these headers is read as structured). Out: binary only. Anything that cannot be taken raises
:class:`schemas.errors.InvalidEvent` with the first reason that applies; nothing here has effects.

Source: CloudEvents 1.0.2, and its Kafka Protocol Binding. The `cloudevents` library is the peer in the contract tests; the
matcher reads some ten thousand events a second, so the codec itself works on bytes without intermediate objects.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

import orjson
from pydantic import ValidationError

from schemas import errors, personal, topics
from schemas.base import Incoming
from schemas.errors import InvalidEvent, from_validation
from schemas.instants import DAY_US, micros, parse_rfc3339
from schemas.registry import MODEL_OF, TOPIC_OF
from schemas.wishes import WishSubmitted

STRUCTURED_TYPE: Final = "application/cloudevents+json"


def _holds_model(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Incoming):
        return True
    return any(_holds_model(part) for part in get_args(annotation))


def _models(base: type[Incoming] = Incoming) -> Iterator[type[Incoming]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "subject", "partitionkey")
_KNOWN: Final = frozenset((*_REQUIRED, "datacontenttype", "dataschema"))
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,40}")
_ATTRIBUTE_MAX_CHARACTERS: Final = 512
_DEPTH_MAX: Final = 32
_DEADLINE_MAX_US: Final = 366 * DAY_US
_BARE: Final = re.compile(r"(?<![0-9A-Za-z])(?:1[3-9][0-9]{9}|[1-9][0-9]{16}[0-9Xx])(?![0-9A-Za-z])")
# These are judged by their own types, and an opaque id may well look like a number.
_JUDGED_KEYS: Final = frozenset(
    "id source subject partitionkey wish_id offer_id claim_id match_id group_id resident_ref volunteer_ref worker_ref".split()
)

# The fields of each model that hold models themselves.
_NESTED: Final[dict[type[Incoming], tuple[str, ...]]] = {
    model: tuple(name for name, field in model.model_fields.items() if _holds_model(field.annotation))
    for model in _models()
}


@dataclass(slots=True)
class Event:
    """One valid event. `time` is in microseconds since the epoch, `raw` is the JSON of `data` as it came."""

    id: str
    source: str
    type: str
    time: int
    time_text: str
    subject: str
    partitionkey: str
    data: Any
    raw: bytes
    extensions: dict[str, str]

    @property
    def area(self) -> str:
        """The area that the data names; it decides the key."""
        area: str = self.data.area
        return area


def decode(topic: str, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Event:
    """The event of one Kafka message of `topic`, valid by the contract; else InvalidEvent."""
    if value is None:
        raise InvalidEvent(errors.NULL_VALUE)
    if len(value) > topics.EVENT_MAX_BYTES:
        raise InvalidEvent(errors.TOO_LARGE)
    attributes, content_type = _read_headers(headers)
    if attributes and not content_type.startswith("application/cloudevents"):
        if content_type:
            attributes["datacontenttype"] = content_type
        return _event(topic, attributes, value)
    attributes, raw = _read_structured(value)
    return _event(topic, attributes, raw)


def decode_structured(value: bytes) -> Event:
    """The event of one structured JSON text, such as a journal keeps; its topic is its type's."""
    attributes, raw = _read_structured(value)
    return _event(TOPIC_OF.get(attributes.get("type", ""), ""), attributes, raw)


def _read_headers(headers: Iterable[tuple[str, bytes | None]]) -> tuple[dict[str, str], str]:
    attributes: dict[str, str] = {}
    content_type: str | None = None
    for name, value in headers:
        if name[:3] == "ce_":
            key = name[3:]
            if key in attributes:
                raise InvalidEvent(errors.DUPLICATE_HEADER, name)
            attributes[key] = _text(name, value)
        elif name.lower() == "content-type":
            if content_type is not None:
                raise InvalidEvent(errors.DUPLICATE_HEADER, name)
            content_type = _text(name, value)
    return attributes, content_type or ""


def _text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        raise InvalidEvent(errors.BAD_ENCODING, name) from None


def _read_structured(value: bytes) -> tuple[dict[str, str], bytes]:
    document = parse_json(value, "value")
    if not isinstance(document, dict):
        raise InvalidEvent(errors.INVALID_FIELD, "value", "it must be one JSON object (a CloudEvent)")
    data = document.pop("data", None)
    attributes: dict[str, str] = {}
    for name, content in document.items():
        if content is None:
            continue
        if isinstance(content, str):
            attributes[name] = content
        elif isinstance(content, bool):
            attributes[name] = "true" if content else "false"
        elif isinstance(content, int) and name not in _KNOWN:
            attributes[name] = str(content)
        else:
            raise InvalidEvent(errors.INVALID_FIELD, _safe_name(name), "it must be a string")
    if data is None:
        # The missing attribute is the clearer complaint where both are missing.
        _require(attributes)
        raise InvalidEvent(errors.MISSING_FIELD, "data")
    try:
        return attributes, orjson.dumps(data)
    except TypeError:  # its only cause here: more levels than orjson writes
        raise InvalidEvent(errors.TOO_DEEP, "data") from None


def parse_json(value: bytes, where: str) -> Any:
    """JSON as Python objects, or InvalidEvent with the reason why not."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(_json_fault(value, str(error)), where) from None


def _json_fault(value: bytes, detail: str) -> str:
    try:
        value.decode()
    except UnicodeDecodeError:
        return errors.BAD_ENCODING
    return errors.TOO_DEEP if "depth" in detail or "recursion" in detail else errors.NOT_JSON


def _safe_name(name: str) -> str:
    """A name that came from outside, only when it cannot carry anything but a name."""
    return name if _ATTRIBUTE_NAME.fullmatch(name) else "attribute"


def _require(attributes: dict[str, str]) -> None:
    try:
        values = [attributes[name] for name in _REQUIRED]
    except KeyError as error:
        raise InvalidEvent(errors.MISSING_FIELD, error.args[0]) from None
    whole = "".join(values)
    if all(values) and len(whole) <= _ATTRIBUTE_MAX_CHARACTERS and whole.isprintable():
        return
    for name, content in zip(_REQUIRED, values, strict=True):
        if not content or len(content) > _ATTRIBUTE_MAX_CHARACTERS or not content.isprintable():
            raise InvalidEvent(errors.INVALID_FIELD, name, "1 to 512 printable characters")


def _event(topic: str, attributes: dict[str, str], raw: bytes) -> Event:
    _require(attributes)
    if attributes["specversion"] != "1.0":
        raise InvalidEvent(errors.INVALID_FIELD, "specversion", 'it must be "1.0"')
    kind = attributes["type"]
    model = MODEL_OF.get(kind)
    if model is None:
        raise InvalidEvent(errors.UNKNOWN_TYPE, "type")
    if TOPIC_OF[kind] != topic:
        raise InvalidEvent(errors.WRONG_TOPIC, TOPIC_OF[kind])
    content_type = attributes.get("datacontenttype")
    if content_type is not None and "json" not in content_type:
        raise InvalidEvent(errors.INVALID_FIELD, "datacontenttype", "it must be application/json")
    time_text = attributes["time"]
    try:
        time = parse_rfc3339(time_text)
    except ValueError:
        raise InvalidEvent(errors.INVALID_FIELD, "time", "RFC 3339 with an offset: 2026-11-23T08:00:00+08:00") from None
    for name in ("id", "source", "subject"):
        if personal.is_bare_number(attributes[name]):
            raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, name)
    data = _validated(model, raw)
    if isinstance(data, WishSubmitted) and micros(data.window.end) - time > _DEADLINE_MAX_US:
        raise InvalidEvent(errors.FAR_OFF_DATE, "data.window")
    extensions = {} if attributes.keys() <= _KNOWN else {n: attributes[n] for n in attributes.keys() - _KNOWN}
    _refuse_hidden_personal_data(data, extensions)
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        type=kind,
        time=time,
        time_text=time_text,
        subject=attributes["subject"],
        partitionkey=attributes["partitionkey"],
        data=data,
        raw=raw,
        extensions=extensions,
    )


def _validated(model: type[Incoming], raw: bytes) -> Incoming:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        fault = from_validation(error, "data")
        if fault.reason == errors.NOT_JSON:
            fault = InvalidEvent(_json_fault(raw, ""), "data")
        raise fault from None


def _refuse_hidden_personal_data(data: Incoming, extensions: dict[str, str]) -> None:
    """Personal data in fields that no model knows: tolerated fields must not become a hiding place."""
    for name, content in extensions.items():
        if personal.find_personal_data(content) is not None:
            raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, _safe_name(name))
    where = _hiding_place_in_model(data, "data")
    if where is not None:
        raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, where)


def _hiding_place_in_model(model: Incoming, path: str) -> str | None:
    if model.__pydantic_extra__:
        found = _hiding_place(model.__pydantic_extra__, path)
        if found is not None:
            return found
    for name in _NESTED.get(type(model), ()):
        child = getattr(model, name)
        for one in child if isinstance(child, list) else (child,):
            found = _hiding_place_in_model(one, f"{path}.{name}") if isinstance(one, Incoming) else None
            if found is not None:
                return found
    return None


def _hiding_place(node: Any, path: str, depth: int = 0) -> str | None:
    if depth > _DEPTH_MAX:
        raise InvalidEvent(errors.TOO_DEEP, "data")
    if isinstance(node, dict):
        for key, child in node.items():
            where = f"{path}.{_safe_name(key)}"
            if key.lower() in personal.FORBIDDEN_KEYS or personal.find_personal_data(key) is not None:
                return where
            if key not in _JUDGED_KEYS and (found := _hiding_place(child, where, depth + 1)) is not None:
                return found
    elif isinstance(node, list):
        for index, child in enumerate(node):
            if (found := _hiding_place(child, f"{path}.{index}", depth + 1)) is not None:
                return found
    elif isinstance(node, str):
        return path if personal.find_personal_data(node) is not None else None
    elif isinstance(node, int | float) and not isinstance(node, bool):
        return path if _BARE.search(str(node)) else None
    return None


def headers_of(
    kind: str, event_id: str, source: str, time_text: str, subject: str, area: str
) -> list[tuple[str, bytes]]:
    """The headers of an event in binary mode."""
    return [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("ce_id", event_id.encode()),
        ("ce_time", time_text.encode()),
        ("ce_subject", subject.encode()),
        ("ce_partitionkey", area.encode()),
    ]


def mended(event: Event) -> list[tuple[str, bytes]]:
    """The headers under which an event that came under another key is published again: same id, right key."""
    headers = headers_of(event.type, event.id, event.source, event.time_text, event.subject, event.area)
    headers.extend((f"ce_{name}", content.encode()) for name, content in event.extensions.items())
    return headers


def structured(event: Event) -> bytes:
    """The event as one structured JSON text, with its data as it came."""
    attributes = {
        "specversion": "1.0",
        "type": event.type,
        "source": event.source,
        "id": event.id,
        "time": event.time_text,
        "subject": event.subject,
        "partitionkey": event.partitionkey,
        **event.extensions,
    }
    return orjson.dumps(attributes)[:-1] + b',"data":' + event.raw + b"}"


def check_outgoing(kind: str, data: bytes) -> Incoming:
    """The data of an event that goes out, held against its model with unknown fields forbidden (tests use it)."""
    return MODEL_OF[kind].model_validate_json(data, extra="forbid")


def masked_value(value: bytes) -> bytes:
    """A refused value as it may lie in the dead letters: untouched, but personal numbers in its text masked."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return personal.mask(text).encode()
    try:
        masked = _masked(document)
        return value if masked == document else orjson.dumps(masked)
    except (RecursionError, TypeError):  # nested too deeply to walk or to write
        return personal.mask(text).encode()


def _masked(node: Any, key: str = "") -> Any:
    if isinstance(node, dict):
        return {name: _masked(child, name) for name, child in node.items()}
    if isinstance(node, list):
        return [_masked(child, key) for child in node]
    if isinstance(node, str):
        if key.lower() in personal.FORBIDDEN_KEYS:
            return "*" * len(node)
        if key in _JUDGED_KEYS or key == "time":
            return "*" * len(node) if personal.is_bare_number(node) else node
        return personal.mask(node)
    if isinstance(node, int | float) and not isinstance(node, bool):
        if key.lower() in personal.FORBIDDEN_KEYS or _BARE.search(str(node)):
            return "*" * len(str(node))
    return node
