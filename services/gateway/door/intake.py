"""CloudEvents over HTTP: headers and body into valid events, or the reason why not. Pure.

Source: CloudEvents 1.0.2, its HTTP Protocol Binding (structured, binary, batched). What an event must be is `schemas/`'s; here is only how
HTTP carries it, what its sender may send, and where.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from schemas import errors, strict_json, topics
from schemas.codec import STRUCTURED_TYPE, Event, decode, decode_document
from schemas.errors import InvalidEvent
from schemas.place import Place
from schemas.registry import TOPIC_OF
from services.gateway.door.answers import Refused
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal

BATCH_TYPE: Final = "application/cloudevents-batch+json"
BATCH_MAX_BYTES: Final = 8 * topics.MIB
BATCH_MAX_EVENTS: Final = 2_000
OURS: Final = "lastmetre"
"""The source of the system's own events, alone or before a slash; nobody else's, in whatever letters."""
IN: Final = frozenset({topics.WISHES, topics.OFFERS, topics.RESPONSES})

_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)

Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI gives them: names in lower case."""


def is_batch(headers: Headers) -> bool:
    """Whether the body is a batch."""
    return any(name == b"content-type" and _media_type(value) == BATCH_TYPE.encode() for name, value in headers)


def read(headers: Headers, body: bytes) -> Event:
    """The one event of a request, in structured or binary mode; JSON that says neither is read as structured, as on Kafka, and so is what says nothing.

    Raises:
        InvalidEvent: the contract does not take it.
        Refused: the type is one that only services write, whatever else is wrong with it.
    """
    found = [(f"ce_{name[3:].decode('latin-1')}", _unescaped(value)) for name, value in headers if name[:3] == b"ce-"]
    content_types = [value for name, value in headers if name == b"content-type"]
    if len(content_types) > 1:
        raise InvalidEvent(errors.DUPLICATE_HEADER, "content-type")
    media_type = _media_type(content_types[0]) if content_types else b""
    if media_type.startswith(b"application/cloudevents") and media_type != STRUCTURED_TYPE.encode():
        raise InvalidEvent(errors.INVALID_FIELD, "content-type", (f"应为 {STRUCTURED_TYPE}", f"send {STRUCTURED_TYPE}"))
    if not found and media_type and not media_type.endswith((b"/json", b"+json")):
        raise InvalidEvent(errors.INVALID_FIELD, "content-type", (f"应为 {STRUCTURED_TYPE}", f"send {STRUCTURED_TYPE}"))
    if not found or media_type == STRUCTURED_TYPE.encode():
        if len(body) > topics.EVENT_MAX_BYTES:
            raise InvalidEvent(errors.TOO_LARGE)
        return read_one(strict_json.parse(body, "value"))
    kind = dict(found).get("ce_type", b"").decode(errors="replace")
    refuse_type(kind)
    found.extend(("content-type", value) for value in content_types)
    return decode(TOPIC_OF.get(kind, ""), body, found)


def read_one(document: Any) -> Event:
    """One structured event, alone or of a batch; it raises what `read` does."""
    if isinstance(document, dict):
        refuse_type(document.get("type"))
    return decode_document(document)


def refuse_type(kind: Any) -> None:
    """Refuse what only services write before anything in it is judged: its sender is not to mend it first, and then be told.

    Raises:
        Refused: it is such a type.
    """
    if isinstance(kind, str) and TOPIC_OF.get(kind, topics.WISHES) not in IN:
        raise Refused("type_not_allowed", "type")


def read_batch(body: bytes) -> list[Any]:
    """The members of a batch, each still to be read with `read_one`.

    Raises:
        InvalidEvent: it is no sound JSON array.
        Refused: it holds none, or too many.
    """
    members = strict_json.parse(body, "value")
    if not isinstance(members, list):
        raise InvalidEvent(errors.INVALID_FIELD, "value", ("应为 JSON 数组", "send a JSON array"))
    if not members:
        raise Refused("empty_batch")
    if len(members) > BATCH_MAX_EVENTS:
        raise Refused("batch_too_large", f"{BATCH_MAX_EVENTS}")
    return members


def is_ours(source: str) -> bool:
    """Whether an event of this source speaks for the system itself."""
    return source.strip().partition("/")[0].casefold() == OURS


def place_of(event: Event) -> Place | None:
    """The place that an event names: of a wish, or the home of an offer."""
    return getattr(event.data, "place", None) or getattr(event.data, "home", None)


def refuse_foreign(principal: Principal | None, event: Event) -> None:
    """Refuse what this sender may not send, or not there.

    Raises:
        Refused: the type is one that only services write, the source is one of ours, or the place lies outside the scope.
    """
    refuse_type(event.type)
    # Whoever could use our identity could spend an id of ours beforehand: (source, id) is told apart across all topics, so the real event would be dropped.
    if is_ours(event.source):
        raise Refused("reserved_source", "source")
    if principal is not None and principal.scope.community is None and event.area == principal.scope.area:
        return  # the whole area: no place of it lies outside
    place = place_of(event)
    if not may(principal, Act.PUBLISH_EVENTS, Thing(event.area, place)):
        whole = principal is not None and principal.scope.area == event.area and place is not None
        raise Refused("out_of_scope", "data.place" if whole else "data.area")


def _media_type(value: bytes) -> bytes:
    """What a content type names, without its parameters."""
    return value.partition(b";")[0].strip().lower()


def _unescaped(value: bytes) -> bytes:
    """A header's value as the binding writes it: between quotes or not, then percent-encoded. Else an id would be another one in structured mode."""
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    return unquote_to_bytes(value) if b"%" in value else value
