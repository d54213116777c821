"""Writes the contract for those who do not read Python: `python -m schemas.export [--check]`.

Into `schemas/exports/`: one JSON Schema (2020-12) for the data of each event type, and `asyncapi.json`, an AsyncAPI 3.0
document with channels, messages, operations, Kafka bindings and the CloudEvents headers. `--check` writes nothing and
exits 1 where a file is not what the models say.

What JSON Schema cannot say (a window long enough, no personal data, no gap in a place, far-off dates) is told in the
descriptions; `schemas.codec.decode` decides.
"""

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from schemas import shapes, topics
from schemas.base import Incoming
from schemas.codec import STRUCTURED_TYPE
from schemas.instants import RFC3339_PATTERN
from schemas.registry import MODEL_OF, PREFIX, TOPIC_OF
from schemas.topics import Topic

FOLDER: Final = Path(__file__).parent / "exports"
CONTRACT_VERSION: Final = "1.0.0"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NO_CONTROL: Final = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
_ATTRIBUTE: Final = {**_NO_CONTROL, "minLength": 1, "maxLength": 512}
# Patterns know no other letters' size than their own.
_JSON: Final = r"^\s*(([Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]|[Tt][Ee][Xx][Tt])/([\w.-]+\+)?[Jj][Ss][Oo][Nn]\s*(;.*)?)?$"
_DEAD_LETTER_HEADERS: Final = {
    "dlq-reason": "a code of schemas/errors.py, such as missing_field",
    "dlq-message": "the field and the fix, in Chinese and English",
    "dlq-topic": "the topic that the record came from",
    "dlq-partition": "its partition there",
    "dlq-offset": "its offset there",
    "dlq-cut": "how many bytes it had, where that is more than a dead letter holds: then this is its beginning",
}

Json = dict[str, Any]


def _description(model: type[Incoming]) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").replace("`", "").split())


def json_schema(kind: str) -> Json:
    """The JSON Schema of one type's data: what is taken, unknown optional fields included."""
    model = MODEL_OF[kind]
    schema = model.model_json_schema(mode="validation")
    return {"$schema": _DIALECT, **schema, "title": kind, "description": _description(model)}


def _words(kind: str) -> str:
    """`lastmetre.wish.submitted.v1` -> `wishSubmittedV1`, the name of its message."""
    first, *rest = re.split(r"[._]", kind.removeprefix(PREFIX))
    return first + "".join(word.capitalize() for word in rest)


def _camel(topic: str) -> str:
    first, *rest = topic.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _headers(kind: str) -> Json:
    known: Json = {
        "content-type": {"type": "string", "pattern": _JSON, "description": f"application/json; {STRUCTURED_TYPE} in structured mode"},
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**_ATTRIBUTE, "description": "with ce_source it identifies the event: a second arrival has no effect"},
        "ce_source": {**_ATTRIBUTE, "format": "uri-reference"},
        "ce_type": {"type": "string", "const": kind},
        "ce_time": {"type": "string", "format": "date-time", "pattern": RFC3339_PATTERN, "description": "from 1970 to 9996, of services to 9998"},
        "ce_subject": {**_ATTRIBUTE, "description": "the wish, offer or match id"},
        "ce_partitionkey": {**_ATTRIBUTE, "description": "the area, as in the message key and in data.area"},
    }
    return {
        "type": "object",
        "required": [name for name in known if name.startswith("ce_")],
        "properties": known,
        "patternProperties": {"^ce_": _NO_CONTROL},  # extensions
        "propertyNames": {"pattern": "^(?!ce_)|^ce_(?!data$)[a-z0-9]{1,40}$"},
    }


def _key_schema() -> Json:
    return {"type": "string", "description": "the area id in UTF-8", "pattern": shapes.CIRCLE}


def _event_message(kind: str) -> Json:
    schema = json_schema(kind)
    return {
        "name": kind,
        "title": kind,
        "summary": schema["description"],
        "contentType": "application/json",
        "headers": _headers(kind),
        "payload": _self_contained(schema),
        "bindings": {"kafka": {"key": _key_schema(), "bindingVersion": "0.5.0"}},
    }


def _dead_letter_message() -> Json:
    texts = {name: {"type": "string", "description": words} for name, words in _DEAD_LETTER_HEADERS.items()}
    return {
        "name": "deadLetter",
        "title": "dead letter",
        "summary": "An event that was not taken: its bytes and headers untouched, but for masked personal data, and the reason.",
        "headers": {"type": "object", "required": [name for name in texts if name != "dlq-cut"], "properties": texts},
        "payload": {},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }


def _self_contained(schema: Json) -> Json:
    """The schema with its definitions in place of the references: `#` would mean the whole document where it is embedded."""
    definitions = schema.get("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(child) for child in node]
        if not isinstance(node, dict):
            return node
        beside = {name: resolved(child) for name, child in node.items() if name not in ("$ref", "$defs", "$schema")}
        if "$ref" in node:
            return {**resolved(definitions[node["$ref"].rpartition("/")[2]]), **beside}
        return beside

    whole: Json = resolved(schema)
    return whole


def _channel(topic: Topic, messages: list[str]) -> Json:
    return {
        "address": topic.name,
        "description": topic.purpose,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup_policy.split(","),
                    "retention.ms": int(topic.config["retention.ms"]),
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(topic: Topic, messages: list[str]) -> Iterator[tuple[str, Json]]:
    channel = _camel(topic.name)
    for action, verb, who in (("send", "Writes", topic.writers), ("receive", "Reads", topic.readers)):
        for service in who:
            yield (
                f"{service}{verb}{channel[0].upper()}{channel[1:]}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{channel}"},
                    "summary": f"{service} {verb.lower()} {topic.name}",
                    "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
                },
            )


def asyncapi() -> Json:
    """The AsyncAPI 3.0 document."""
    messages = {_words(kind): _event_message(kind) for kind in MODEL_OF}
    channels: Json = {}
    operations: Json = {}
    for topic in topics.TOPICS:
        names = [_words(kind) for kind in MODEL_OF if TOPIC_OF[kind] == topic.name] or ["deadLetter"]
        channels[_camel(topic.name)] = _channel(topic, names)
        operations.update(_operations(topic, names))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Last Metre (最后一米)",
            "version": CONTRACT_VERSION,
            "description": "Community wishes and volunteers' offers as CloudEvents 1.0 on Kafka. Producers may use either content mode; "
            "the services write binary mode. The message key is the area. An event that is not valid goes to its topic's "
            "dead letters with the reason. It changes only by adding optional fields, or by a new .v2 type.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": {**messages, "deadLetter": _dead_letter_message()}},
    }


def files() -> dict[str, str]:
    """What the folder should hold: file name -> text."""
    documents = {f"{kind}.json": json_schema(kind) for kind in MODEL_OF}
    documents["asyncapi.json"] = asyncapi()
    return {name: json.dumps(document, ensure_ascii=False, indent=2) + "\n" for name, document in documents.items()}


def stale(folder: Path) -> list[str]:
    """The names of files that are missing, different, or there without a type."""
    wanted = files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(folder: Path) -> None:
    """Make the folder hold exactly the files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for path in folder.glob("*"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.export", description="JSON Schemas and AsyncAPI of the contract")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is not current")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    old = stale(folder)
    if old:
        print(f"过期的文件：{'、'.join(old)}。请运行 python -m schemas.export")
        print(f"not current: {', '.join(old)}. Run python -m schemas.export")
    return 1 if old else 0


if __name__ == "__main__":  # pragma: no cover - the wire to the shell
    sys.exit(main(sys.argv[1:]))
