"""Kafka's door: one secured stack over a node that was plain before, and every principal trying everything on every topic.

What each may do is worked out here from the manifest of topics, not from the rules that deploy makes of it.
"""

from __future__ import annotations

import asyncio
import io
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.admin import CreateAclsRequest_v1, DescribeAclsRequest_v1, DescribeClientQuotasRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from rich.console import Console

from deploy import access, cli, topics
from deploy.certificates import Leaf, ensure
from deploy.door import ADMIN, NODE, Door
from deploy.kafka import Kafka
from deploy.postgres import OWNER, Postgres
from deploy.stack import WHOLE, Stack
from deploy.state import State
from deploy.tools import dlq, target
from deploy.tools import kafka as tools
from deploy.tools.publish import publish, read_lines
from schemas.topics import GROUPS, PRINCIPALS, TOPICS, dead_letter_topic
from services.broker import Broker

DEADLINE_SECONDS = 60.0
STRANGER = "stranger"
EVERYBODY = (*PRINCIPALS, ADMIN, STRANGER)
SCRATCH = "not-in-the-manifest"
NAMES = (*(topic.name for topic in TOPICS), SCRATCH, "__consumer_offsets")
OPERATIONS = ("write", "read", "describe", "describe settings", "alter settings", "alter partitions", "create", "delete")
DENIED = "denied"
EVENTS = tuple(topic.name for topic in TOPICS if not topic.name.endswith("-dlq"))


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A secured stack, whose node was plain at first and has a record of that time."""
    folder = tmp_path_factory.mktemp("secure")
    plain = Kafka(folder / "kafka", state=State(folder))
    try:
        await plain.start()
        await topics.ensure(plain.admin)
        async with tools.producer(plain.admin) as producer:
            await producer.send_and_wait("wishes-dlq", b"of the plain time", partition=1)
    finally:
        await plain.stop()
    async with Stack(folder, secure=True, services=WHOLE, vault=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def broker(system: Stack) -> Kafka:
    assert isinstance(system.kafka, Kafka)
    return system.kafka


class Somebody:
    """One principal, with what a client of aiokafka can try."""

    def __init__(self, admin: AIOKafkaAdminClient, producer: AIOKafkaProducer) -> None:
        self.admin = admin
        self._producer = producer

    async def ask(self, request: Any) -> Any:
        return await self.admin._send_request(request)

    async def write(self, topic: str) -> Any:
        await self._producer.send_and_wait(topic, b"neither JSON nor an event", partition=0)
        return for_code(0)

    async def read(self, topic: str) -> Any:
        found = await self.ask(FetchRequest(0, 0, 1024, 0, [(topic, [(0, 0, 1024)])]))
        return for_code(found.topics[0][1][0][1])

    async def describe(self, topic: str) -> Any:
        return for_code((await self.admin.describe_topics([topic]))[0]["error_code"])

    async def describe_settings(self, topic: str) -> Any:
        return for_code((await self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))[0].resources[0][0])

    async def alter_settings(self, topic: str) -> Any:
        same = next((one.config for one in TOPICS if one.name == topic), {})
        return for_code((await self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(same))]))[0].resources[0][0])

    async def alter_partitions(self, topic: str) -> Any:
        await self.admin.create_partitions({topic: NewPartitions(100)}, validate_only=True)
        return for_code(0)

    async def create(self, topic: str) -> Any:
        answer = await self.admin.create_topics([NewTopic(topic, 1, 1)], validate_only=True)
        return for_code(answer.topic_errors[0][1])

    async def delete(self, topic: str) -> Any:
        return for_code((await self.admin.delete_topics([topic])).topic_error_codes[0][1])

    async def tries(self, operation: str, topic: str) -> Any:
        attempt: Callable[[str], Awaitable[Any]] = getattr(self, operation.replace(" ", "_"))
        try:
            return await attempt(topic)
        except KafkaError as fault:
            return type(fault)


@asynccontextmanager
async def somebody(way: Broker) -> AsyncIterator[Somebody]:
    async with AsyncExitStack() as cleanup:
        admin = AIOKafkaAdminClient(**way.client())
        cleanup.push_async_callback(admin.close)
        await admin.start()
        # An idempotent producer asks for a number first, which already fails for whoever may write nowhere.
        producer = AIOKafkaProducer(**way.client(), enable_idempotence=False)
        cleanup.push_async_callback(producer.stop)
        await producer.start()
        yield Somebody(admin, producer)


@pytest.fixture(scope="module")
async def people(broker: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Somebody]]:
    """Every principal of the manifest, deploy's own, and one with a good password whom nobody named; and a topic beside those of the manifest."""
    password = tmp_path_factory.mktemp("stranger") / "password"
    password.write_text(secrets.token_urlsafe(24))
    async with AsyncExitStack() as cleanup:
        admin = await cleanup.enter_async_context(somebody(broker.admin))
        await access.set_passwords(admin.admin, {STRANGER: password.read_text()})
        assert for_code(0) is for_code((await admin.admin.create_topics([NewTopic(SCRATCH, 1, 1)])).topic_errors[0][1])
        found = {name: await cleanup.enter_async_context(somebody(broker.broker(name))) for name in PRINCIPALS}
        way = replace(broker.broker("auditor"), user=STRANGER, password_file=password)
        found |= {ADMIN: admin, STRANGER: await cleanup.enter_async_context(somebody(way))}
        yield found


def may(who: str, operation: str, name: str) -> bool:
    """What the manifest says; whatever it is silent about is nobody's but deploy's."""
    if who == ADMIN:
        return True
    topic = next((topic for topic in TOPICS if topic.name == name), None)
    if topic is None:
        return False
    writes, reads = who in topic.writers, who in topic.readers
    return {"write": writes, "read": reads, "describe": writes or reads}.get(operation, False)


# ---- the matrix


@pytest.mark.parametrize("who", EVERYBODY)
async def test_each_principal_may_do_on_each_topic_what_the_manifest_says_and_nothing_else(who: str, people: dict[str, Somebody]) -> None:
    expected, actual = {}, {}
    for name in NAMES:
        for operation in OPERATIONS:
            if who == ADMIN and (operation == "delete" or name == "__consumer_offsets"):
                continue  # that would be done, not only tried
            fault = await people[who].tries(operation, name)
            expected[operation, name] = "" if may(who, operation, name) else DENIED
            actual[operation, name] = DENIED if fault is TopicAuthorizationFailedError else ""
    assert expected == actual
    assert len(actual) >= len(TOPICS) * (len(OPERATIONS) - 1)


async def test_what_is_allowed_is_done(people: dict[str, Somebody]) -> None:
    done = for_code(0)
    for topic in TOPICS:
        assert {done} == {await people[who].tries("write", topic.name) for who in topic.writers}
        assert {done} == {await people[who].tries("read", topic.name) for who in topic.readers}
    assert done is await people[ADMIN].tries("delete", SCRATCH)


@pytest.mark.parametrize("who", EVERYBODY)
async def test_each_principal_reads_in_its_own_groups_alone(who: str, people: dict[str, Somebody]) -> None:
    expected, actual = {}, {}
    for group in (*GROUPS, replace(GROUPS[0], name="somebody-elses", member="nobody")):
        for name in (group.name, f"{group.name}7"):
            own = who == group.member and (group.prefix or name == group.name)
            expected[name] = who == ADMIN or own
            fault = for_code((await people[who].ask(HeartbeatRequest(name, 1, "nobody"))).error_code)
            actual[name] = fault is not GroupAuthorizationFailedError
    assert expected == actual


@pytest.mark.parametrize("who", [*PRINCIPALS, STRANGER])
async def test_nobody_but_deploy_changes_rules_or_quotas_or_passwords_or_looks_at_them(who: str, people: dict[str, Somebody]) -> None:
    admin, denied = people[who].admin, ClusterAuthorizationFailedError
    rule = access.Rule(access.Kind.TOPIC, "wishes", access.Pattern.LITERAL, f"User:{who}", access.Operation.WRITE)
    made = await access._ask(admin, CreateAclsRequest_v1([access._wire(rule)]))
    assert denied is for_code(made.creation_responses[0][0])
    assert denied is for_code((await access._ask(admin, DescribeAclsRequest_v1(1, None, 1, None, None, 1, 1))).error_code)
    quota = access.AlterClientQuotas([([("user", who)], [("producer_byte_rate", 1e9, False)])], False)
    assert denied is for_code((await access._ask(admin, quota)).entries[0][0])
    password = access.AlterUserScramCredentials([], [("matcher", 2, 8192, b"salt", b"x" * 64, {})], {})
    assert denied is for_code((await access._ask(admin, password)).results[0][1])
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await _begins_a_transaction(people[who])


async def _begins_a_transaction(one: Somebody) -> None:
    from aiokafka.protocol.transaction import InitProducerIdRequest

    code = (await one.ask(InitProducerIdRequest("anything", 1000))).error_code
    if code:
        raise for_code(code)


async def test_each_principal_has_its_quota_and_the_others_the_smallest(people: dict[str, Somebody]) -> None:
    answer = await people[ADMIN].ask(DescribeClientQuotasRequest([("user", 2, None)], True))
    found = {entity[0][1]: dict(values) for entity, values in answer.entries}
    assert {name: quota.values for name, quota in access.QUOTAS.items()} | {None: access.DEFAULT_QUOTA.values} == found


async def test_a_rule_that_the_manifest_no_longer_has_is_taken_away(broker: Kafka, people: dict[str, Somebody]) -> None:
    admin = people[ADMIN].admin
    extra = access.Rule(access.Kind.TOPIC, "wishes", access.Pattern.LITERAL, f"User:{STRANGER}", access.Operation.READ)
    await access._set_rules(admin, access.rules() | {extra})
    assert for_code(0) is await people[STRANGER].read("wishes")
    await access._set_rules(admin, access.rules())
    assert TopicAuthorizationFailedError is await people[STRANGER].read("wishes")


# ---- who is not let in


async def _knocks(way: Broker) -> None:
    client = AIOKafkaAdminClient(**way.client(), request_timeout_ms=5000)
    try:
        await client.start()
        await client.list_topics()
    finally:
        await client.close()


async def test_nobody_comes_in_without_encryption(broker: Kafka) -> None:
    for way in (broker.broker("matcher"), broker.admin):
        with pytest.raises(KafkaConnectionError):
            await _knocks(Broker(way.addresses))


async def test_nobody_comes_in_with_a_wrong_password_or_an_unknown_name(broker: Kafka, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    for way in (replace(broker.broker("matcher"), password_file=wrong), replace(broker.broker("matcher"), user="nobody")):
        with pytest.raises(KafkaConnectionError):
            await _knocks(way)


async def test_nobody_comes_in_by_deploys_way_without_a_certificate_of_ours(broker: Kafka, tmp_path: Path) -> None:
    ensure(tmp_path, (Leaf(ADMIN, server=False),), datetime.now(UTC))  # the right name, signed by another
    assert broker.door is not None
    for way in (replace(broker.admin, certificate=tmp_path / f"{ADMIN}.pem"), replace(broker.broker("matcher"), addresses=broker.admin.addresses)):
        with pytest.raises((KafkaConnectionError, ssl.SSLError, OSError)):
            await _knocks(way)
    controller = replace(broker.admin, addresses=f"127.0.0.1:{State(broker.state.folder)._read('ports.json')['kafka-controller']}")
    with pytest.raises((KafkaError, ssl.SSLError, OSError)):
        await _knocks(replace(controller, certificate=tmp_path / f"{ADMIN}.pem"))


async def test_no_client_gives_its_password_to_a_broker_that_our_authority_does_not_know(broker: Kafka, tmp_path: Path) -> None:
    ensure(tmp_path, (Leaf(NODE, server=True),), datetime.now(UTC))
    with pytest.raises((KafkaConnectionError, ssl.SSLError)):
        await _knocks(replace(broker.broker("matcher"), ca=tmp_path / "ca.pem"))


# ---- the whole of it


def wish_and_offer(word: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC).replace(microsecond=0)
    window = {"start": now.isoformat(), "end": (now + timedelta(hours=8)).isoformat()}
    place = {"community": "c1", "compound": "p1", "building": "b1", "unit": "u1"}

    def event(kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "specversion": "1.0", "id": str(uuid4()), "source": "tests/secure", "type": f"lastmetre.{kind}", "time": now.isoformat(),
            "subject": subject, "partitionkey": "secured", "data": {**data, "area": "secured"},
        }  # fmt: skip

    offer = {
        "offer_id": f"o-{word}", "volunteer_ref": f"v-{word}", "home": place, "reach": "area", "skills": ["haircut"],
        "vetting": {"level": 4, "checked_at": now.isoformat()}, "windows": [window], "capacity": 5, "accepts": "auto",
    }  # fmt: skip
    wish = {
        "wish_id": f"w-{word}", "place": place, "category": "household", "skills": ["haircut"], "urgency": "red", "window": window, "minutes": 30,
        "beneficiary": {"age_band": "adult"}, "title": "理发", "resident_ref": f"r-{word}",
    }  # fmt: skip
    return [event("offer.posted.v1", f"o-{word}", offer), event("wish.submitted.v1", f"w-{word}", wish)]


async def test_an_integrations_wish_and_offer_are_confirmed_and_an_auditor_reads_it(system: Stack, broker: Kafka) -> None:
    word = uuid4().hex[:8]
    async with tools.producer(broker.broker("integrations")) as producer:
        for event in wish_and_offer(word):
            topic = "offers" if "offer" in event["type"] else "wishes"
            await producer.send_and_wait(topic, orjson.dumps(event), key=b"secured", headers=tools.STRUCTURED_HEADERS)
    consumer = AIOKafkaConsumer(
        "confirmations", **broker.broker("auditor").client(), group_id="auditor-of-tests", auto_offset_reset="earliest", enable_auto_commit=True
    )
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for record in consumer:
                value = orjson.loads(record.value) if record.value.startswith(b"{") else {}
                if value.get("wish_id") == f"w-{word}":
                    assert b"lastmetre.match.confirmed.v1" == dict(record.headers)["ce_type"]
                    return
    finally:
        await consumer.stop()


async def test_what_is_no_event_lies_in_the_dead_letters_of_whoever_reads_it_first(system: Stack, broker: Kafka) -> None:
    async with tools.producer(broker.broker("workers")) as producer:
        for name in EVENTS:
            await producer.send_and_wait(name, b"no event", key=b"secured")
    deadline = time.monotonic() + DEADLINE_SECONDS
    missing = set(EVENTS)
    while missing:
        assert time.monotonic() < deadline, missing
        letters = await tools.read_all(broker.broker("workers"), [dead_letter_topic(name) for name in missing])
        missing -= {record.topic.removesuffix("-dlq") for record in letters if record.value == b"no event" and dict(record.headers).get("dlq-reason")}
    of_before = await tools.read_all(broker.broker("workers"), ["wishes-dlq"])
    assert b"of the plain time" in {record.value for record in of_before}


async def test_the_tools_find_their_way_in(system: Stack, broker: Kafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(system.state.folder))
    found = target.find()
    assert broker.broker("workers") == found.broker
    async with tools.producer(broker.admin) as producer:
        headers = [("dlq-reason", b"not_json"), ("dlq-topic", b"wishes")]
        place = await producer.send_and_wait("wishes-dlq", b"sent again", partition=2, headers=headers)
    screen = Console(file=io.StringIO(), width=160)
    letter = await dlq.letter_at(found.broker, f"wishes-dlq:2:{place.offset}")
    assert letter.place in {one.place async for one in dlq.letters(found.broker, reason="not_json")}
    assert (1, 0) == await dlq.replay(found.broker, dlq.alone(letter), screen, "en")
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in wish_and_offer(uuid4().hex[:8])))
    assert await publish(found.broker, read_lines([str(file)], raw=False), screen, "en", wait_seconds=0)


def test_status_says_that_it_is_secured(system: Stack, broker: Kafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LASTMETRE_STATE", str(system.state.folder))
    monkeypatch.setenv("COLUMNS", "240")
    cli.status()
    told = capsys.readouterr().out.splitlines()
    kafka, postgres = (next(line for line in told if f" {name} " in line) for name in ("kafka", "postgres"))
    assert "ready · TLS" in kafka
    assert "ready · 仅本机套接字" in postgres
    assert broker.bootstrap in kafka


def test_no_password_is_seen_outside_its_file(system: Stack, broker: Kafka) -> None:
    folder = system.state.folder
    assert broker.door is not None
    passwords = {broker.broker(name).password() or "" for name in PRINCIPALS}
    assert len(PRINCIPALS) == len(passwords)
    assert min(map(len, passwords)) >= 32
    pids = [broker.pid, *(service.pid for service in system.services)]
    for process in (psutil.Process(pid) for pid in pids if pid is not None):
        seen = " ".join(process.cmdline()) + repr(process.environ())
        assert not [password for password in passwords if password in seen]
    door = Door(system.state).folder
    for path in folder.rglob("*"):
        of_others = door in path.parents or "postgres" in path.parts or path.suffix in {".index", ".timeindex"}  # ten empty megabytes each
        if path.is_file() and not of_others:
            content = path.read_bytes()
            assert not [password for password in passwords if password.encode() in content], path
    assert {0o600} == {path.stat().st_mode & 0o777 for path in door.iterdir()}
    assert 0o700 == door.stat().st_mode & 0o777


async def test_what_postgresql_and_the_services_say_goes_over_no_network(system: Stack) -> None:
    server = system.postgres
    assert isinstance(server, Postgres)
    assert server.pid is not None
    listening = [one for process in (psutil.Process(server.pid), *psutil.Process(server.pid).children()) for one in process.net_connections("inet")]
    assert [] == listening
    connection = await asyncpg.connect(server.owner_dsn(system.database))
    try:
        rows = await connection.fetch("SELECT application_name, client_addr FROM pg_stat_activity WHERE backend_type = 'client backend'")
    finally:
        await connection.close()
    assert {"lastmetre-matcher", "lastmetre-notifier", "lastmetre-explainer"} <= {row["application_name"] for row in rows}
    assert {None} == {row["client_addr"] for row in rows}


async def test_the_socket_of_postgresql_is_for_its_user_alone_and_asks_for_the_password(system: Stack) -> None:
    server = system.postgres
    assert isinstance(server, Postgres)
    assert 0o700 == server.sockets.stat().st_mode & 0o777
    wrong = server.owner_dsn(system.database).replace(server.password(OWNER), "guessed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


def test_it_is_remembered_that_kafka_is_secured(system: Stack) -> None:
    assert State(system.state.folder).secure
    second = Stack(system.state.folder)
    second._choose_servers()
    assert isinstance(second.kafka, Kafka)
    assert second.kafka.door is not None
    assert second.postgres.secure
