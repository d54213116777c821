"""What is on the wire: times, keys and partitions, records as events, and traces of personal data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

Json = Any
JsonObject = dict[str, Any]

PREFIX = "lastmetre."
MASK = 0xFFFFFFFF
# Letters of either case, and a blank for the T: section 5.6 allows both.
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

# Letters and digits on either side would make it a part of an id, not a number that a person wrote.
_GAP = r"[ \t.·_\-]{0,3}"
PHONE = re.compile(rf"(?<![0-9A-Za-z])(?:\+?86{_GAP})?1{_GAP}[3-9](?:{_GAP}\d){{9}}(?![0-9A-Za-z])")
IDENTITY_CARD = re.compile(
    rf"(?<![0-9A-Za-z])[1-9](?:{_GAP}\d){{5}}{_GAP}(?:1{_GAP}[89]|2{_GAP}0){_GAP}\d{_GAP}\d{_GAP}"
    rf"(?:0{_GAP}[1-9]|1{_GAP}[0-2]){_GAP}(?:0{_GAP}[1-9]|[12]{_GAP}\d|3{_GAP}[01])"
    rf"(?:{_GAP}\d){{3}}{_GAP}[\dXx](?![0-9A-Za-z])"
)


def parse_time(text: object) -> datetime | None:
    """The instant of an RFC 3339 text with an offset, in UTC; None where it is none."""
    if not isinstance(text, str) or not TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 of a key, as an unsigned 32-bit number."""
    multiplier = 0x5BD1E995
    value = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * multiplier & MASK
        word = (word ^ word >> 24) * multiplier & MASK
        value = (value * multiplier & MASK) ^ word
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & MASK
    value = (value ^ value >> 13) * multiplier & MASK
    return value ^ value >> 15


def partition_of(key: str, partitions: int) -> int:
    """The partition of Kafka's default partitioner for this key."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def personal_data(text: str) -> str | None:
    """`phone` or `identity card` where the text holds one, in any writing that the checker knows."""
    plain = unicodedata.normalize("NFKC", text)
    if IDENTITY_CARD.search(plain):
        return "identity card"
    return "phone" if PHONE.search(plain) else None


def texts(value: Json) -> Iterator[str]:
    """Every text in a JSON value, keys included; whole numbers as well, as a phone may be one."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            stack.extend(one)
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, int) and not isinstance(one, bool) and abs(one) >= 10**10:
            yield str(one)


def event_of(record: JsonObject) -> JsonObject | None:
    """The structured CloudEvent of a binary record (`ce_*` headers, value = data); None where it is none."""
    headers = record.get("headers")
    if not isinstance(headers, dict) or "ce_id" not in headers:
        return None
    event: JsonObject = {n[3:]: v for n, v in headers.items() if n.startswith("ce_")}
    event["data"] = record.get("value")
    return event


def same_event(one: JsonObject, other: JsonObject) -> bool:
    """Whether both are one event: the same attributes and data.

    `datacontenttype` is the `content-type` header in binary mode, so it is left out of the comparison.
    """

    def bare(event: JsonObject) -> JsonObject:
        return {n: v for n, v in event.items() if n != "datacontenttype" and v is not None}

    return bare(one) == bare(other)


def short_type(event: JsonObject) -> str:
    """The type without the project's prefix, "" where there is none."""
    name = event.get("type")
    return name.removeprefix(PREFIX) if isinstance(name, str) and name.startswith(PREFIX) else ""


def data_of(event: JsonObject | None) -> JsonObject:
    """The event's data, an empty object where it has none."""
    data = event.get("data") if isinstance(event, dict) else None
    return data if isinstance(data, dict) else {}
