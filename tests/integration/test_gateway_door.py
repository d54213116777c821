"""The door for other systems, over a real Kafka and a real PostgreSQL: what is answered, and what lies on the topics."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from deploy import migrate
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from schemas.codec import decode
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from services.gateway.door import examples
from tests.conftest import TEMPLATE
from tests.contract import stored
from tests.contract.stored import Stored
from tests.integration.door_rig import INTEGRATOR, Gateway, lying_on, running

IN = ("wishes", "offers", "responses")
EVENTS = "/api/v1/events"
STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
# What HTTP cannot say (a body that is not there, a topic), and what only HTTP takes.
UNSAYABLE = {"bad/tombstone", "bad/wrong-topic", "bad/batch"}
SECRET = "a-secret-of-the-tests-with-forty-characters"
BAD = [example for example in stored.bad() if example.name not in UNSAYABLE]


@pytest.fixture(scope="module")
async def door(kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    name = f"door_{uuid4().hex[:8]}"
    await migrate.prepare(postgres, name, template=TEMPLATE)
    folder = tmp_path_factory.mktemp("door")
    settings = {"DOOR_SECRET": SECRET, "WEBHOOK_PRIVATE": "1", "WEBHOOK_BACKOFF_SECONDS": "0.05", "WEBHOOK_GIVE_UP_SECONDS": "1"}
    async with running(folder, kafka.bootstrap, postgres, name, **{f"LASTMETRE_{key}": value for key, value in settings.items()}) as gateway:
        yield gateway
    await migrate.drop(postgres, name)
    shutil.rmtree(folder)


@pytest.fixture
async def http(door: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with door.caller() as client:
        yield client


def wish(event_id: str | None = None, **changed: Any) -> dict[str, Any]:
    """A structured event, valid unless what is changed makes it another."""
    data: dict[str, Any] = examples.structured("wish.submitted.v1", "full")["data"]
    return {
        "specversion": "1.0",
        "id": event_id or f"e-{uuid4()}",
        "source": "//tests/door",
        "type": "lastmetre.wish.submitted.v1",
        "time": "2026-11-23T08:00:00+08:00",
        "subject": "w-1",
        "partitionkey": "gaoxin",
        "data": data | changed,
    }


async def ids_lying_there(door: Gateway) -> list[str]:
    """The ids of all events on the topics in, each as a reader of the contract finds it."""
    records = await lying_on(door.bootstrap, IN)
    found = []
    for record in records:
        if record.topic in IN and dict(record.headers).get("ce_source") == b"//tests/door":
            event = decode(record.topic, record.value, record.headers)
            assert (event.area.encode(), partition_of(event.area)) == (record.key, record.partition)
            found.append(event.id)
    return found


def peer(document: dict[str, Any]) -> CloudEvent:
    """The same event, as the `cloudevents` library holds it."""
    attributes = {name: value for name, value in document.items() if name != "data"}
    attributes["time"] = datetime.fromisoformat(attributes["time"])
    return CloudEvent({**attributes, "datacontenttype": "application/json"}, document["data"])


async def test_takes_what_another_implementation_of_cloudevents_sends_in_every_mode(door: Gateway, http: httpx.AsyncClient) -> None:
    documents = [wish() for _ in range(4)]
    structured, binary = to_structured(peer(documents[0]), JSONFormat()), to_binary(peer(documents[1]), JSONFormat())
    batch = b"[" + b",".join(to_structured(peer(one), JSONFormat()).body for one in documents[2:]) + b"]"

    answers = [
        await http.post(EVENTS, content=structured.body, headers=structured.headers),
        await http.post(EVENTS, content=binary.body, headers=binary.headers),
        await http.post(EVENTS, content=batch, headers=BATCH),
    ]

    assert [202, 202, 202] == [answer.status_code for answer in answers]
    assert {"accepted": 2, "refused": 0} == {name: answers[2].json()[name] for name in ("accepted", "refused")}
    lying = await ids_lying_there(door)
    assert [1, 1, 1, 1] == [lying.count(document["id"]) for document in documents]


async def test_every_good_example_of_a_type_in_is_taken(door: Gateway, http: httpx.AsyncClient) -> None:
    for example in stored.good():
        headers, body = over_http(example)
        answer = await http.post(EVENTS, content=body, headers=headers)
        if example.topic in IN:
            assert 202 == answer.status_code, (example.name, answer.text)
        else:
            assert (403, "type_not_allowed") == (answer.status_code, answer.json()["code"]), example.name


def spelled(field: str) -> str:
    """HTTP has no capitals in a header's name, and a hyphen where Kafka has an underscore."""
    return field.replace("ce_", "ce-").lower()


def over_http(example: Stored) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A stored Kafka message as the HTTP binding carries it."""
    headers = []
    for name, value in example.headers:
        if name.startswith("ce_"):
            headers.append((f"ce-{name[3:]}".encode(), quote(value or b"", safe="/:+-.=@").encode()))
        else:
            headers.append((name.encode(), value or b""))
    return headers, example.value or b""


def type_of(example: Stored) -> str:
    """The type that its sender gave it, as far as it can be read."""
    named = [value for name, value in example.headers if name == "ce_type"]
    if named:
        return (named[0] or b"").decode(errors="replace")
    try:
        document = json.loads(example.value or b"")
    except ValueError:
        return ""
    return str(document.get("type", "")) if isinstance(document, dict) else ""


async def test_every_bad_example_gets_its_reason_in_both_languages_and_is_not_published(door: Gateway, http: httpx.AsyncClient) -> None:
    before = len(await lying_on(door.bootstrap, IN))
    for example in BAD:
        headers, body = over_http(example)
        answer = await http.post(EVENTS, content=body, headers=headers)
        found = answer.json()
        assert 400 <= answer.status_code < 500, (example.name, answer.text)
        # What only services write is nobody else's, whatever else is wrong with it.
        reason = ("type_not_allowed", "type") if TOPIC_OF.get(type_of(example), "wishes") not in IN else (example.reason, spelled(example.field))
        assert reason == (found["code"], spelled(found.get("field", ""))), example.name
        assert any("\u4e00" <= letter <= "\u9fff" for letter in found["zh"]), example.name
        assert found["en"].isascii(), example.name
    assert before == len(await lying_on(door.bootstrap, IN))


async def test_the_same_event_again_gets_the_same_answer(http: httpx.AsyncClient) -> None:
    event = wish()
    answers = [await http.post(EVENTS, json=event, headers=STRUCTURED) for _ in range(3)]

    assert [(202, {"source": "//tests/door", "id": event["id"]})] * 3 == [(answer.status_code, answer.json()) for answer in answers]


async def test_a_batch_says_of_each_event_what_became_of_it_and_publishes_the_valid_ones(door: Gateway, http: httpx.AsyncClient) -> None:
    good, other, invalid, foreign = wish(), wish(), wish(urgency="purple"), wish(area="elsewhere")
    batch = [good, invalid, "no event", foreign, other]

    answer = await http.post(EVENTS, json=batch, headers=BATCH)

    assert 207 == answer.status_code
    found = answer.json()
    assert (2, 3) == (found["accepted"], found["refused"])
    assert [(0, 202, None), (1, 422, "invalid_field"), (2, 422, "invalid_field"), (3, 403, "out_of_scope"), (4, 202, None)] == [
        (one["index"], one["status"], one.get("code")) for one in found["results"]
    ]
    assert "data.urgency" == found["results"][1]["field"]
    lying = await ids_lying_there(door)
    assert [1, 0, 0, 1] == [lying.count(event["id"]) for event in (good, invalid, foreign, other)]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 400, "empty_batch"),
        (b"{}", 422, "invalid_field"),
        (b"[", 400, "not_json"),
        (b'[{"id":"1","id":"2"}]', 422, "invalid_field"),
        (b"[" + b",".join([b"{}"] * 2001) + b"]", 413, "batch_too_large"),
        (b"[" + b" " * (8 << 20) + b"]", 413, "too_large"),
    ],
    ids=["empty", "an object", "cut off", "a key twice", "too many", "too long"],
)
async def test_refuses_as_a_whole_what_is_no_sound_batch(http: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    answer = await http.post(EVENTS, content=body, headers=BATCH)

    assert (status, code) == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    ("scope", "status", "field"),
    [
        ({"area": "gaoxin", "community": "tianfu-changcheng"}, 202, None),
        ({"area": "gaoxin", "community": "elsewhere"}, 403, "data.place"),
        ({"area": "elsewhere"}, 403, "data.area"),
    ],
    ids=["inside", "another community", "another area"],
)
async def test_a_key_sends_only_what_lies_inside_its_scope(door: Gateway, scope: dict[str, str], status: int, field: str | None) -> None:
    async with door.caller({**INTEGRATOR, "scope": scope}) as http:
        answer = await http.post(EVENTS, json=wish(), headers=STRUCTURED)

    assert (status, field) == (answer.status_code, answer.json().get("field"))


@pytest.mark.parametrize("source", ["lastmetre/gateway", "LastMetre/Gateway", "lastmetre/", "lastmetre", "LASTMETRE"])
async def test_nobody_sends_under_the_systems_own_source(door: Gateway, http: httpx.AsyncClient, source: str) -> None:
    """Else somebody could spend the id of a worker's deed beforehand, which can be worked out, and the deed would be dropped as a repeat."""
    before = len(await lying_on(door.bootstrap, IN))
    event = {**wish(), "source": source}
    binary = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    answers = [
        await http.post(EVENTS, json=event, headers=STRUCTURED),
        await http.post(EVENTS, json=event["data"], headers={"content-type": "application/json", **binary}),
    ]
    batch = (await http.post(EVENTS, json=[event], headers=BATCH)).json()["results"][0]

    assert [(403, "reserved_source", "source")] * 2 == [(one.status_code, one.json()["code"], one.json()["field"]) for one in answers]
    assert (403, "reserved_source", "source") == (batch["status"], batch["code"], batch["field"])
    assert before == len(await lying_on(door.bootstrap, IN))


@pytest.mark.parametrize("source", ["lastmetre-app/gaoxin", "//lastmetre.example/app", "app/lastmetre/gateway"])
async def test_a_source_that_only_looks_like_ours_is_somebodys_own(http: httpx.AsyncClient, source: str) -> None:
    assert 202 == (await http.post(EVENTS, json={**wish(), "source": source}, headers=STRUCTURED)).status_code


async def test_a_key_of_one_community_does_not_replace_what_is_known_of_another(door: Gateway) -> None:
    mine, anothers, new = (f"o-{uuid4().hex[:8]}" for _ in range(3))
    home = {"community": "tianfu-changcheng", "compound": "tianfu-1"}
    owner = await asyncpg.connect(door.owner)
    try:
        for offer_id, community in ((mine, "tianfu-changcheng"), (anothers, "elsewhere")):
            await owner.execute(
                "INSERT INTO gateway.offers (area, offer_id, community, compound, state) VALUES ('gaoxin', $1, $2, 'tianfu-1', 'open')", offer_id, community
            )
        await owner.execute(
            "INSERT INTO gateway.wishes (area, wish_id, community, state, submitted_at) VALUES ('gaoxin', $1, 'elsewhere', 'open', now())", anothers
        )
    finally:
        await owner.close()

    def offer(offer_id: str) -> dict[str, Any]:
        event = structured_of("offer.posted.v1")
        data = event["data"] | {"offer_id": offer_id, "home": home}
        return {**event, "id": f"e-{uuid4()}", "source": "//tests/door", "subject": offer_id, "data": data}

    async with door.caller({**INTEGRATOR, "scope": {"area": "gaoxin", "community": "tianfu-changcheng"}}) as http:
        alone = [await http.post(EVENTS, json=offer(one), headers=STRUCTURED) for one in (mine, anothers, new)]
        again = await http.post(EVENTS, json={**wish(wish_id=anothers), "subject": anothers}, headers=STRUCTURED)
        batch = await http.post(EVENTS, json=[offer(one) for one in (mine, anothers, new)], headers=BATCH)
    async with door.caller() as http:  # the whole area
        assert 202 == (await http.post(EVENTS, json=offer(anothers), headers=STRUCTURED)).status_code

    assert [(202, None), (403, "data.offer_id"), (202, None)] == [(one.status_code, one.json().get("field")) for one in alone]
    assert (403, "out_of_scope", "data.wish_id") == (again.status_code, again.json()["code"], again.json()["field"])
    assert [202, 403, 202] == [one["status"] for one in batch.json()["results"]]
    assert 2 == batch.json()["accepted"]
    # Others' records lie there too, and not all have that header.
    lying = [dict(record.headers).get("ce_subject", b"").decode() for record in await lying_on(door.bootstrap, ["offers"])]
    assert [2, 1, 2] == [lying.count(one) for one in (mine, anothers, new)]


async def test_what_the_door_refuses_as_not_theirs_is_in_the_audit_log_once_a_request(door: Gateway) -> None:
    name = f"narrow-{uuid4().hex[:8]}"
    outside, foreign, ours = wish(place={"community": "elsewhere", "compound": "c-1"}), structured_of("match.closed.v1"), {**wish(), "source": "lastmetre/x"}
    async with door.caller({**INTEGRATOR, "account": name, "scope": {"area": "gaoxin", "community": "tianfu-changcheng"}}) as http:
        answers = [
            *[await http.post(EVENTS, json=one, headers=STRUCTURED) for one in (outside, foreign, ours)],
            await http.get(EVENTS, params={"topic": "matches"}),
            await http.post("/api/v1/webhooks", json={"url": "https://app.example/hook"}),
        ]
        batch = await http.post(EVENTS, json=[wish(), outside, outside, ours], headers=BATCH)
        assert 422 == (await http.post(EVENTS, json=wish(urgency="purple"), headers=STRUCTURED)).status_code  # wrong, and no denial
    assert [403] * 5 == [answer.status_code for answer in answers]
    assert ["use a key of the whole area"] * 2 == [answer.json()["en"].partition(": ")[2] for answer in answers[3:]]
    assert [202, 403, 403, 403] == [one["status"] for one in batch.json()["results"]]
    owner = await asyncpg.connect(door.owner)
    try:
        rows = await owner.fetch("SELECT act, things FROM gateway.audit WHERE who = $1 AND outcome = 'denied' ORDER BY seq", name)
    finally:
        await owner.close()
    assert [
        ("publish_events", ["code=out_of_scope"]),
        ("publish_events", ["code=type_not_allowed"]),
        ("publish_events", ["code=reserved_source"]),
        ("read_events", ["code=out_of_scope"]),
        ("manage_webhooks", ["code=out_of_scope"]),
        ("publish_events", ["code=out_of_scope", "code=reserved_source"]),
    ] == [tuple(row) for row in rows]


def structured_of(kind: str) -> dict[str, Any]:
    """A golden example of a type that only services write, about the area of these tests."""
    event = examples.structured(kind)
    return {**event, "partitionkey": "gaoxin", "data": event["data"] | {"area": "gaoxin"}}


async def test_nobody_but_an_integrator_sends(door: Gateway) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
        assert 401 == (await http.post(EVENTS, json=wish(), headers=STRUCTURED)).status_code
    async with door.caller({**INTEGRATOR, "roles": ["volunteer"]}) as http:
        assert 403 == (await http.post(EVENTS, json=wish(), headers=STRUCTURED)).status_code
