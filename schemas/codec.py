"""Reading and writing events: CloudEvents 1.0 in its Kafka binding.

In: both content modes (binary: `ce_` headers; structured: `content-type: application/cloudevents+json`; a message
without any of these headers is read as structured). Out: binary only. Anything that cannot be taken raises
:class:`schemas.errors.InvalidEvent` with the first reason that applies; nothing here has effects.

Source: CloudEvents 1.0.2, and its Kafka Protocol Binding. The `cloudevents` library is the peer in the contract tests; the
matcher reads some ten thousand events a second, so the codec itself works on bytes without intermediate objects.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import orjson
from pydantic import ValidationError

from schemas import errors, shapes, strict_json, topics
from schemas.base import Incoming
from schemas.errors import InvalidEvent, from_validation
from schemas.instants import DAY_US, micros, parse_rfc3339
from schemas.personal import is_bare_number, may_hold_bare_number
from schemas.registry import MODEL_OF, TOPIC_OF
from schemas.screening import (
    fields_with_ids,
    fields_with_models,
    headers_size,
    masked_headers,
    masked_value,
    refuse_hidden,
    refuse_in_extension,
    refuse_numbers_as_ids,
    refuse_wide,
    safe_name,
)
from schemas.wishes import WishSubmitted

__all__ = [
    "STRUCTURED_TYPE",
    "Event",
    "check_outgoing",
    "decode",
    "decode_document",
    "decode_structured",
    "headers_of",
    "masked_headers",
    "masked_value",
    "mended",
    "structured",
]

STRUCTURED_TYPE: Final = "application/cloudevents+json"
_JSON_TYPE: Final = re.compile(r"\s*(?:application|text)/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.ASCII)

_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "subject", "partitionkey")
_KNOWN: Final = frozenset((*_REQUIRED, "datacontenttype", "dataschema"))
# What most producers send, and nothing beside it, is read without a look at each header by itself.
_USUAL: Final = (*_REQUIRED, "datacontenttype")
_USUAL_HEADERS: Final = (*(f"ce_{name}" for name in _REQUIRED), "content-type")
_USUAL_SET: Final = frozenset(_USUAL_HEADERS)
_usual_values: Final = itemgetter(*_USUAL_HEADERS)
_usual_of_document: Final = itemgetter(*_REQUIRED)
# CloudEvents: lower-case letters and digits. `data` and `data_base64` are no attributes.
_EXTENSION_NAME: Final = re.compile(r"(?!data$)[a-z0-9]{1,40}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ATTRIBUTE_MAX_CHARACTERS: Final = 512
# An event is known by its source and id together, and what a database may keep an index of has an end.
_IDENTITY_MAX_BYTES: Final = 2048
_EXTENSIONS_MAX_CHARACTERS: Final = 65_536
_DEADLINE_MAX_US: Final = 366 * DAY_US
# What others say is said before then: a wish may end a year after it, a visit be closed days after that, and all of it is still to be read and written,
# in UTC and in local time.
_SAID_BEFORE_US: Final = parse_rfc3339("9997-01-01T00:00:00Z")
_ROUTES: Final = {kind: (TOPIC_OF[kind], model) for kind, model in MODEL_OF.items()}
_NESTED: Final = fields_with_models()
_IDS: Final = fields_with_ids()
_FROM_OTHERS: Final = frozenset((topics.WISHES, topics.OFFERS, topics.RESPONSES))


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
    pairs = headers if isinstance(headers, list | tuple) else list(headers)
    usual = _usual_attributes(pairs)
    if usual is not None:
        return _event(topic, usual, value, {})
    if headers_size(pairs) > topics.EVENT_MAX_BYTES:
        raise InvalidEvent(errors.TOO_LARGE)
    attributes, content_type = _read_headers(pairs)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents"):
        if media_type != STRUCTURED_TYPE:  # a batch, or a format other than JSON
            words = (f"应为 {STRUCTURED_TYPE}，每条消息一个事件", f"send {STRUCTURED_TYPE}, one event a message")
            raise InvalidEvent(errors.INVALID_FIELD, "content-type", words)
        attributes = {}
    if attributes:
        if content_type:
            attributes["datacontenttype"] = content_type
        return _event(topic, _required(attributes), value, _extensions(attributes))
    attributes, raw = _read_structured(value)
    return _event(topic, _required(attributes), raw, _extensions(attributes), sound=True)


def decode_structured(value: bytes) -> Event:
    """The event of one structured JSON text, such as a journal keeps; its topic is its type's."""
    attributes, raw = _read_structured(value)
    topic = TOPIC_OF.get(attributes.get("type", ""), "")
    return _event(topic, _required(attributes), raw, _extensions(attributes), sound=True)


def decode_document(document: Any) -> Event:
    """The event of one member of a batch, whose JSON was read with :func:`schemas.strict_json.parse`; its topic is its type's."""
    usual = _usual_document(document)
    if usual is not None:
        raw = _written(document["data"])
        if len(raw) > topics.EVENT_MAX_BYTES:
            raise InvalidEvent(errors.TOO_LARGE)
        return _event(TOPIC_OF.get(usual[3], ""), usual, raw, {}, sound=True)
    attributes, raw = _of_document(document)
    if len(raw) > topics.EVENT_MAX_BYTES:
        raise InvalidEvent(errors.TOO_LARGE)
    topic = TOPIC_OF.get(attributes.get("type", ""), "")
    return _event(topic, _required(attributes), raw, _extensions(attributes), sound=True)


def _usual_document(document: Any) -> list[str] | None:
    """As :func:`_usual_attributes`, of a structured event."""
    if not isinstance(document, dict) or len(document) not in {8, 9}:
        return None
    try:
        values = [*_usual_of_document(document), document.get("datacontenttype", "application/json")]
        text = " ".join(values)
    except (KeyError, TypeError):
        return None
    known = len(document) == 8 or "datacontenttype" in document
    sound = known and document.get("data") is not None and text.count(" ") == len(_USUAL) - 1 and text.isprintable() and "" not in values
    return values if sound and len(text) <= _ATTRIBUTE_MAX_CHARACTERS else None


def _usual_attributes(headers: Sequence[tuple[str, bytes | None]]) -> list[str] | None:
    """The attributes in the order of _USUAL where the headers are the usual ones and sound; None: look at each."""
    if len(headers) != len(_USUAL_HEADERS):
        return None
    given = dict(headers)
    if given.keys() != _USUAL_SET:
        return None
    try:
        text = b" ".join(_usual_values(given)).decode()
    except (TypeError, UnicodeDecodeError):
        return None
    values = text.split(" ")
    sound = len(values) == len(_USUAL) and len(text) <= _ATTRIBUTE_MAX_CHARACTERS and "" not in values and text.isprintable()
    return values if sound and values[-1] == "application/json" else None


def _read_headers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[dict[str, str], str]:
    attributes: dict[str, str] = {}
    content_type: str | None = None
    for name, value in headers:
        if name[:3] == "ce_":
            key = name[3:]
            if key in attributes:
                raise InvalidEvent(errors.DUPLICATE_HEADER, f"ce_{safe_name(key)}")
            attributes[key] = _text(f"ce_{safe_name(key)}", value)
        elif name.lower() == "content-type":
            if content_type is not None:
                raise InvalidEvent(errors.DUPLICATE_HEADER, "content-type")
            content_type = _text("content-type", value)
    return attributes, content_type or ""


def _text(name: str, value: bytes | None) -> str:
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        raise InvalidEvent(errors.BAD_ENCODING, name) from None


def _read_structured(value: bytes) -> tuple[dict[str, str], bytes]:
    return _of_document(strict_json.parse(value, "value"))


def _of_document(document: Any) -> tuple[dict[str, str], bytes]:
    if not isinstance(document, dict):
        words = ("应为一个 JSON 对象（一个 CloudEvent）", "send one JSON object (a CloudEvent)")
        raise InvalidEvent(errors.INVALID_FIELD, "value", words)
    data = document.pop("data", None)
    attributes, odd = _as_texts(document)
    if odd not in _KNOWN:
        # Where attributes are missing, saying so is clearer than to complain of what is there instead.
        _required(attributes)
    if odd is not None:
        raise InvalidEvent(errors.INVALID_FIELD, safe_name(odd), ("应为字符串", "send a string"))
    if data is None:
        if "data_base64" in attributes:
            _refuse_base64()
        raise InvalidEvent(errors.MISSING_FIELD, "data")
    return attributes, _written(data)


def _written(data: Any) -> bytes:
    """Data that was read strictly, as JSON again."""
    try:
        return orjson.dumps(data)
    except TypeError:  # depth was judged when it was read: a whole number of more bits than orjson writes
        refuse_wide(data, "data")
        raise


def _as_texts(document: dict[str, Any]) -> tuple[dict[str, str], str | None]:
    """The attributes as texts, and the name of one that can be none."""
    attributes: dict[str, str] = {}
    odd: str | None = None
    for name, content in document.items():
        if content is None:
            continue
        if isinstance(content, str):
            attributes[name] = content
        elif isinstance(content, int) and name not in _KNOWN and not strict_json.is_wide(content):
            attributes[name] = str(content).lower()  # true and false as CloudEvents writes them
        elif odd is None or name in _KNOWN:
            odd = name
    return attributes, odd


def _refuse_base64() -> None:
    words = ("请把 JSON 对象放在 data 中", "send the JSON object in data")
    raise InvalidEvent(errors.INVALID_FIELD, "data_base64", words)


def _required(attributes: dict[str, str]) -> list[str]:
    """The values in the order of _USUAL, each there and without control characters, as the ids in the data are: one of these is a subject of ours."""
    try:
        values = [attributes[name] for name in _REQUIRED]
    except KeyError as error:
        raise InvalidEvent(errors.MISSING_FIELD, error.args[0]) from None
    for name, content in zip(_REQUIRED, values, strict=True):
        if not content or len(content) > _ATTRIBUTE_MAX_CHARACTERS or _CONTROL.search(content) is not None:
            words = ("应为 1 至 512 个字符，不含控制字符", "send 1 to 512 characters, no control characters")
            raise InvalidEvent(errors.INVALID_FIELD, name, words)
    if len(attributes["source"].encode()) + len(attributes["id"].encode()) > _IDENTITY_MAX_BYTES:
        words = ("id 与 source 合计应不超过 2048 字节（UTF-8）", "send an id and a source of at most 2048 bytes together, in UTF-8")
        raise InvalidEvent(errors.INVALID_FIELD, "id", words)
    return [*values, attributes.get("datacontenttype", "application/json")]


def _event(topic: str, attributes: list[str], raw: bytes, extensions: dict[str, str], *, sound: bool = False) -> Event:
    """`sound`: `raw` was written by us from JSON that was read strictly, so it need not be read so again."""
    specversion, event_id, source, kind, time_text, subject, partitionkey, content_type = attributes
    if specversion != "1.0":
        raise InvalidEvent(errors.INVALID_FIELD, "specversion", ('应为 "1.0"', 'send "1.0"'))
    route = _ROUTES.get(kind)
    if route is None:
        raise InvalidEvent(errors.UNKNOWN_TYPE, "type")
    right_topic, model = route
    if right_topic != topic:
        raise InvalidEvent(errors.WRONG_TOPIC, right_topic)
    if content_type != "application/json" and _JSON_TYPE.fullmatch(content_type) is None:
        raise InvalidEvent(errors.INVALID_FIELD, "datacontenttype", ("应为 application/json", "send application/json"))
    from_others = topic in _FROM_OTHERS
    time = _time_of(time_text, from_others=from_others)
    for name, content in (("id", event_id), ("source", source), ("subject", subject), ("partitionkey", partitionkey)):
        if is_bare_number(content):
            raise InvalidEvent(errors.CONTAINS_PERSONAL_DATA, name)
    if not sound:
        strict_json.parse(raw, "data")
    data = _validated(model, raw, from_others=from_others)
    if model is WishSubmitted and micros(data.window.end) - time > _DEADLINE_MAX_US:
        raise InvalidEvent(errors.FAR_OFF_DATE, "data.window")
    return Event(event_id, source, kind, time, time_text, subject, partitionkey, data, raw, extensions)


def _time_of(text: str, *, from_others: bool) -> int:
    try:
        time = parse_rfc3339(text)
    except ValueError:
        raise InvalidEvent(errors.INVALID_FIELD, "time", shapes.INSTANT_WORDS) from None
    if from_others and time >= _SAID_BEFORE_US:
        raise InvalidEvent(errors.INVALID_FIELD, "time", ("应早于 9997 年", "send a time before the year 9997"))
    return time


def _extensions(attributes: dict[str, str]) -> dict[str, str]:
    """The attributes beyond the known ones, each held against CloudEvents and searched for personal data."""
    extensions = {name: content for name, content in attributes.items() if name not in _KNOWN}
    if sum(map(len, extensions)) + sum(map(len, extensions.values())) > _EXTENSIONS_MAX_CHARACTERS:
        raise InvalidEvent(errors.TOO_LARGE)
    for name, content in extensions.items():
        if name == "data_base64":
            _refuse_base64()
        if _EXTENSION_NAME.fullmatch(name) is None:
            words = ("扩展属性名只用小写字母和数字", "use a-z and 0-9 in names of extension attributes")
            raise InvalidEvent(errors.INVALID_FIELD, safe_name(name), words)
        if _CONTROL.search(content) is not None:
            words = ("请去掉控制字符", "remove the control characters")
            raise InvalidEvent(errors.INVALID_FIELD, safe_name(name), words)
        refuse_in_extension(name, content)
    return extensions


def _validated(model: type[Incoming], raw: bytes, *, from_others: bool) -> Any:
    data = _checked(model, raw)
    if from_others and may_hold_bare_number(raw):
        refuse_numbers_as_ids(data, _IDS)
    return data


def _checked(model: type[Incoming], raw: bytes) -> Any:
    validator = model.__pydantic_validator__
    try:
        # Most events hold no field that the model does not know, and then there is nothing to search.
        return validator.validate_json(raw, extra="forbid")
    except ValidationError:
        pass
    try:
        data = validator.validate_json(raw)
    except ValidationError as error:
        raise from_validation(error, "data") from None
    refuse_hidden(data, _NESTED)
    return data


def headers_of(kind: str, event_id: str, source: str, time_text: str, subject: str, area: str) -> list[tuple[str, bytes]]:
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


def dumps(data: Any) -> bytes:
    """JSON, always the same bytes for the same value."""
    return orjson.dumps(data)


def structured_parts(kind: str, source: str, event_id: str, time_text: str, subject: str, area: str, data: bytes) -> bytes:
    """An event of ours as one structured JSON text; `data` is JSON already."""
    attributes = {
        "specversion": "1.0",
        "type": kind,
        "source": source,
        "id": event_id,
        "time": time_text,
        "subject": subject,
        "partitionkey": area,
    }
    return orjson.dumps(attributes)[:-1] + b',"data":' + data + b"}"


def check_outgoing(kind: str, data: bytes) -> Incoming:
    """The data of an event that goes out, held against its model with unknown fields forbidden (tests use it)."""
    return MODEL_OF[kind].model_validate_json(data, extra="forbid")
