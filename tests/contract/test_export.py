"""The exported JSON Schemas and the AsyncAPI document: current, valid by their own standards, and true to the topics."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import export
from schemas.codec import decode, headers_of
from schemas.errors import InvalidEvent
from schemas.registry import MODEL_OF, TOPIC_OF
from schemas.topics import TOPICS
from tests.contract import stored

ASYNCAPI_SCHEMA = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((export.FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
    return read


def test_the_committed_files_are_what_the_models_say() -> None:
    assert [] == export.stale(export.FOLDER)
    assert 0 == export.main(["--check"])


def test_check_names_each_file_that_is_changed_missing_or_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export.main([], tmp_path)
    (tmp_path / "asyncapi.json").write_text("{}", encoding="utf-8")
    (tmp_path / "lastmetre.wish.submitted.v1.json").unlink()
    (tmp_path / "lastmetre.gone.v1.json").write_text("{}", encoding="utf-8")

    assert 1 == export.main(["--check"], tmp_path)

    told = capsys.readouterr().out
    assert "asyncapi.json, lastmetre.gone.v1.json, lastmetre.wish.submitted.v1.json" in told


def test_writing_again_mends_the_folder(tmp_path: Path) -> None:
    (tmp_path / "lastmetre.gone.v1.json").write_text("{}", encoding="utf-8")

    assert 0 == export.main([], tmp_path)
    assert 0 == export.main([], tmp_path)

    assert 0 == export.main(["--check"], tmp_path)


def test_the_document_is_valid_by_the_schema_of_asyncapi(document: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(ASYNCAPI_SCHEMA).validate(document)


def test_a_wrong_document_is_not_valid_by_the_schema_of_asyncapi(document: dict[str, Any]) -> None:
    channels = {**document["channels"], "wishes": {**document["channels"]["wishes"], "adress": "wishes"}}

    assert not jsonschema.Draft7Validator(ASYNCAPI_SCHEMA).is_valid({**document, "channels": channels})


WITHDRAWN = "lastmetre.wish.withdrawn.v1"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, given) for name in ("ce_id", "ce_source", "ce_subject", "ce_tenant") for given in ("a b", "中", "a\tb", "a\nb", "\x85", "")),
        *(("ce_id", "x" * length) for length in (512, 513)),
        *((name, "x") for name in ("ce_Tenant", "ce_my_field", "ce_data", "trace", "Trace_Id")),
        *(("content-type", given) for given in ("", "text/json", "Application/X.Y+JSON; charset=utf-8", "application/xml", "json", "application/jsonx")),
        ("ce_specversion", "1"),
    ],
)
def test_the_document_takes_the_headers_that_are_taken_and_no_others(document: dict[str, Any], name: str, given: str) -> None:
    (schema,) = (message["headers"] for message in document["components"]["messages"].values() if message["name"] == WITHDRAWN)
    headers = dict(headers_of(WITHDRAWN, "e-1", "//peer", "2026-11-23T08:00:00Z", "w-1", "gaoxin")) | {name: given.encode()}
    try:
        decode("wishes", b'{"area": "gaoxin", "wish_id": "w-1"}', list(headers.items()))
        taken = True
    except InvalidEvent:
        taken = False
    assert taken is jsonschema.Draft7Validator(schema).is_valid({key: value.decode() for key, value in headers.items()})


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [node["$ref"]] if "$ref" in node else [found for child in node.values() for found in references(child)]
        return [found for child in node for found in references(child)] if isinstance(node, list) else []

    found = references(document)
    assert found
    for reference in found:
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_topic_is_a_channel_as_the_manifest_says(document: dict[str, Any]) -> None:
    bindings = {channel["address"]: channel["bindings"]["kafka"] for channel in document["channels"].values()}

    assert {topic.name for topic in TOPICS} == bindings.keys()
    for topic in TOPICS:
        kafka = bindings[topic.name]
        assert (topic.name, topic.partitions) == (kafka["topic"], kafka["partitions"])
        assert str(topic.max_message_bytes) == str(kafka["topicConfiguration"]["max.message.bytes"])
        assert topic.config["retention.ms"] == str(kafka["topicConfiguration"]["retention.ms"])


def test_every_type_is_a_message_of_its_topics_channel(document: dict[str, Any]) -> None:
    carried = {
        (channel["address"], document["components"]["messages"][name]["name"])
        for channel in document["channels"].values()
        for name in channel["messages"]
        if name != "deadLetter"
    }

    assert {(topic, kind) for kind, topic in TOPIC_OF.items()} == carried


def test_every_writer_and_reader_has_an_operation(document: dict[str, Any]) -> None:
    told = {(operation["action"], operation["summary"]) for operation in document["operations"].values()}

    assert {("send", f"{who} writes {topic.name}") for topic in TOPICS for who in topic.writers} | {
        ("receive", f"{who} reads {topic.name}") for topic in TOPICS for who in topic.readers
    } == told


@pytest.mark.parametrize("kind", MODEL_OF)
def test_each_json_schema_is_valid_and_takes_the_good_examples(kind: str, document: dict[str, Any]) -> None:
    schema = json.loads((export.FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    embedded = next(message["payload"] for message in document["components"]["messages"].values() if message["name"] == kind)
    examples = [example for example in stored.good() if kind.endswith(f".{example.path.parent.name}")]

    assert examples
    for example in examples:
        data = json.loads(decode(example.topic, example.value, example.headers).raw)
        jsonschema.Draft202012Validator(schema).validate(data)
        jsonschema.Draft7Validator(embedded).validate(data)


@pytest.mark.parametrize(
    "name", ["missing-wish-title", "wish-minutes-as-text", "wish-category", "window-without-offset", "wish-skills-9", "wish-area-upper-case"]
)
def test_the_json_schema_refuses_what_it_can_tell(name: str) -> None:
    example = stored.read(stored.EXAMPLES / "bad" / f"{name}.json")
    assert example.value is not None
    schema = export.json_schema("lastmetre.wish.submitted.v1")

    assert not jsonschema.Draft202012Validator(schema).is_valid(json.loads(example.value)["data"])
