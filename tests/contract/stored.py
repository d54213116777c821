"""Reads the golden examples of `schemas/examples/`.

A file holds `why`, `topic`, `headers` (pairs of name and text, `{"base64"}` or null) and one of `value` (JSON, or null for a
tombstone), `value_text`, `value_base64`, `value_repeated`; a bad one also `reason` and `field`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message, as a broker would hand it over, and what is expected of it."""

    path: Path
    why: str
    topic: str
    headers: list[tuple[str, bytes | None]]
    value: bytes | None
    reason: str
    field: str

    @property
    def name(self) -> str:
        return self.path.relative_to(EXAMPLES).with_suffix("").as_posix()


def _header(content: dict[str, str] | str | None) -> bytes | None:
    if isinstance(content, dict):
        return base64.b64decode(content["base64"])
    return None if content is None else content.encode()


def _value(document: dict[str, Any]) -> bytes | None:
    if "value_text" in document:
        return str(document["value_text"]).encode()
    if "value_base64" in document:
        return base64.b64decode(document["value_base64"])
    if "value_repeated" in document:
        return str(document["value_repeated"]["text"]).encode() * int(document["value_repeated"]["times"])
    value = document["value"]
    return None if value is None else json.dumps(value, ensure_ascii=False).encode()


def read(path: Path) -> Stored:
    document = json.loads(path.read_text(encoding="utf-8"))
    return Stored(
        path=path,
        why=document["why"],
        topic=document["topic"],
        headers=[(name, _header(content)) for name, content in document["headers"]],
        value=_value(document),
        reason=document.get("reason", ""),
        field=document.get("field", ""),
    )


def good() -> list[Stored]:
    return [read(path) for path in sorted((EXAMPLES / "good").rglob("*.json"))]


def bad() -> list[Stored]:
    return [read(path) for path in sorted((EXAMPLES / "bad").rglob("*.json"))]
