"""Kafka's door without a Kafka: certificates and their end, rules from the manifest, settings of whoever comes in."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

import schemas.topics
from deploy import access
from deploy.access import Kind, Operation, Pattern, Rule
from deploy.certificates import AUTHORITY_DAYS, LEAF_DAYS, RENEWED_DAYS, Leaf, ensure
from deploy.door import ADMIN, NODE, Door, environment
from deploy.kafka import server_properties
from deploy.stack import Stack
from deploy.state import ROOT, State
from deploy.words import Trouble
from schemas.topics import GROUPS, PRINCIPALS, TOPICS, Group
from services.broker import Broker, KafkaSettings
from services.runtime import BadSettings, load_settings

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NODE_LEAF = Leaf("node", server=True)
LEAVES = (NODE_LEAF, Leaf("admin", server=False))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


# ---- certificates


def test_a_certificate_says_where_it_may_answer_and_is_its_owners_alone(tmp_path: Path) -> None:
    assert ("ca", "node", "admin") == ensure(tmp_path, LEAVES, NOW)
    found = certificate(tmp_path / "node.pem")
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["127.0.0.1"] == [str(name) for name in names.get_values_for_type(x509.IPAddress)]
    assert ["localhost"] == names.get_values_for_type(x509.DNSName)
    assert "CN=node" == found.subject.rfc4514_string()
    with pytest.raises(x509.ExtensionNotFound):
        certificate(tmp_path / "admin.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem")).load_cert_chain(tmp_path / "node.pem")


def test_certificates_stay_until_they_are_near_their_end(tmp_path: Path) -> None:
    ensure(tmp_path, LEAVES, NOW)
    near = NOW + timedelta(days=LEAF_DAYS - RENEWED_DAYS)
    assert () == ensure(tmp_path, LEAVES, near - timedelta(seconds=1))
    authority = (tmp_path / "ca.pem").read_bytes()
    assert ("node", "admin") == ensure(tmp_path, LEAVES, near)
    assert authority == (tmp_path / "ca.pem").read_bytes()


def test_an_authority_that_ends_before_what_it_would_sign_is_replaced_with_all_it_signed(tmp_path: Path) -> None:
    ensure(tmp_path, LEAVES, NOW)
    assert ("ca", "node", "admin") == ensure(tmp_path, LEAVES, NOW + timedelta(days=AUTHORITY_DAYS - LEAF_DAYS))


@pytest.mark.parametrize(
    ("name", "content", "made"),
    [("node.pem", "nothing", ("node",)), ("node.pem", "", ("node",)), ("ca.key", "nothing", ("ca", "node", "admin")), ("ca.pem", "", ("ca", "node", "admin"))],
)
def test_what_is_broken_is_made_anew(name: str, content: str, made: tuple[str, ...], tmp_path: Path) -> None:
    ensure(tmp_path, LEAVES, NOW)
    (tmp_path / name).write_text(content)
    assert made == ensure(tmp_path, LEAVES, NOW)
    assert () == ensure(tmp_path, LEAVES, NOW)


def test_a_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    ensure(tmp_path, (NODE_LEAF,), NOW)
    (tmp_path / "other").mkdir()
    ensure(tmp_path / "other", (NODE_LEAF,), NOW)
    (tmp_path / "other" / "node.pem").replace(tmp_path / "node.pem")
    assert ("node",) == ensure(tmp_path, (NODE_LEAF,), NOW)


# ---- rules


def test_each_rule_is_of_the_manifest_and_each_writer_reader_and_member_has_one() -> None:
    expected = {(Kind.TOPIC, topic.name, name, Operation.WRITE) for topic in TOPICS for name in topic.writers}
    expected |= {(Kind.TOPIC, topic.name, name, Operation.READ) for topic in TOPICS for name in topic.readers}
    expected |= {(Kind.GROUP, group.name, group.member, Operation.READ) for group in GROUPS}
    assert expected == {(rule.kind, rule.name, rule.principal.removeprefix("User:"), rule.operation) for rule in access.rules()}
    assert len(expected) == len(access.rules())


def test_a_group_whose_name_is_a_beginning_is_ruled_as_one() -> None:
    found = access.rules((), (Group("exact", "one"), Group("begins-", "two", prefix=True)))
    assert {
        Rule(Kind.GROUP, "exact", Pattern.LITERAL, "User:one", Operation.READ),
        Rule(Kind.GROUP, "begins-", Pattern.PREFIXED, "User:two", Operation.READ),
    } == found


def test_no_topic_is_written_or_read_by_somebody_who_is_asked_for_no_rule() -> None:
    assert not {NODE, ADMIN} & set(PRINCIPALS)
    assert {group.member for group in GROUPS} <= set(PRINCIPALS)
    assert set(PRINCIPALS) == set(access.QUOTAS)


def test_an_integration_writes_what_comes_in_and_an_auditor_writes_nothing() -> None:
    written = {who: {topic.name for topic in TOPICS if who in topic.writers} for who in PRINCIPALS}
    assert {"wishes", "offers", "responses"} == written["integrations"] == written["gateway"]
    assert set() == written["auditor"]
    assert {topic.name for topic in TOPICS} == {topic.name for topic in TOPICS if "auditor" in topic.readers}


def test_the_node_denies_what_no_rule_allows_and_has_no_listener_without_encryption(tmp_path: Path) -> None:
    properties = server_properties(tmp_path, 1, 2) | Door(State(tmp_path)).properties(1, 3, 2)
    assert "false" == properties["allow.everyone.if.no.acl.found"]
    assert "User:kafka-node;User:kafka-admin" == properties["super.users"]
    assert "org.apache.kafka.metadata.authorizer.StandardAuthorizer" == properties["authorizer.class.name"]
    assert {"SASL_SSL", "SSL"} == {one.partition(":")[2] for one in properties["listener.security.protocol.map"].split(",")}
    assert {"127.0.0.1"} == {one.split("://")[1].split(":")[0] for one in properties["listeners"].split(",")}
    assert "required" == properties["listener.name.controller.ssl.client.auth"] == properties["listener.name.node.ssl.client.auth"]


# ---- settings


@pytest.fixture
def door(tmp_path: Path) -> Door:
    found = Door(State(tmp_path))
    found.prepare(NOW)
    return found


def test_passwords_are_made_once_one_for_each(door: Door) -> None:
    before = {name: door.broker(name, "127.0.0.1:1").password() for name in PRINCIPALS}
    assert len(PRINCIPALS) == len(set(before.values()))
    assert () == door.prepare(NOW)
    assert before == {name: door.broker(name, "127.0.0.1:1").password() for name in PRINCIPALS}
    with pytest.raises(KeyError):
        door.broker("somebody", "127.0.0.1:1")


def test_a_service_finds_in_its_environment_what_deploy_put_there(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    way = door.broker("matcher", "127.0.0.1:1")
    password = way.password()
    assert password
    for name, value in environment(way).items():
        assert password not in value
        monkeypatch.setenv(name, value)
    assert way == load_settings(KafkaSettings).broker
    client = way.client()
    assert ("SASL_SSL", "SCRAM-SHA-512", "matcher") == (client["security_protocol"], client["sasl_mechanism"], client["sasl_plain_username"])
    assert password not in repr(way)


def test_without_a_word_about_it_a_client_speaks_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_KAFKA", "kafka.example:9092")
    assert Broker("kafka.example:9092") == load_settings(KafkaSettings).broker
    assert {"bootstrap_servers": "kafka.example:9092"} == Broker("kafka.example:9092").client()
    assert environment(Broker("kafka.example:9092")) == {"LASTMETRE_KAFKA": "kafka.example:9092"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"KAFKA_PASSWORD_FILE": None}, "必须设置.*are needed"),
        ({"KAFKA_USER": None}, "必须设置.*are needed"),
        ({"KAFKA_PASSWORD_FILE": "missing"}, "无法读取.*cannot be read"),
        ({"KAFKA_CA": "missing"}, "无法读取.*cannot be read"),
        ({"KAFKA_PASSWORD_FILE": "empty"}, "为空.*is empty"),
        ({"KAFKA_PROTOCOL": "PLAINTEXT"}, "不会经未加密的连接发送.*no password goes over a plain connection"),
        ({"KAFKA_PROTOCOL": "SASL_PLAINTEXT"}, "LASTMETRE_KAFKA_PROTOCOL 不合规.*use PLAINTEXT or SASL_SSL"),
        ({"KAFKA_MECHANISM": "PLAIN"}, "LASTMETRE_KAFKA_MECHANISM 不合规"),
    ],
)
def test_half_a_way_in_is_refused_in_both_languages(
    changes: dict[str, str | None], said: str, door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("\n")
    way = door.broker("matcher", "127.0.0.1:1")
    for name, value in (environment(way) | {f"LASTMETRE_{name}": value for name, value in changes.items()}).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(tmp_path / value) if value in {"missing", "empty"} else value)
    with pytest.raises(BadSettings, match=said) as told:
        load_settings(KafkaSettings)
    assert (way.password() or "") not in str(told.value)


def test_a_kafka_of_ones_own_is_not_ours_to_secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTMETRE_KAFKA", "kafka.example:9092")
    with pytest.raises(Trouble, match="leave one of them out"):
        Stack(tmp_path, secure=True)._choose_servers()


def test_what_was_chosen_is_remembered_until_it_is_chosen_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LASTMETRE_KAFKA", raising=False)
    seen = []
    for secure in (None, True, None, False, None):
        Stack(tmp_path, secure=secure)._choose_servers()
        seen.append(State(tmp_path).secure)
    assert [False, True, True, False, False] == seen
    Stack(tmp_path, secure=True)._choose_servers()
    State(tmp_path).clear_data()
    assert not State(tmp_path).secure


def test_a_password_is_read_anew_for_each_client(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "new"
    way = replace(door.broker("matcher", "127.0.0.1:1"), password_file=file)
    for word in ("first", "second"):
        file.write_text(f"{word}\n")
        assert word == way.client()["sasl_plain_password"]


def test_every_consumer_reads_in_a_group_of_the_manifest() -> None:
    """Another group would be refused as soon as somebody secures Kafka."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "services").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"\bgroup_id=(\w+)", text) if name != "None"}
    assert {"NOTIFIER_GROUP", "VISITS_GROUP"} <= named
    assert {group.name for group in GROUPS} >= {getattr(schemas.topics, name, name) for name in named if name.isupper()}


def test_every_client_is_told_by_the_broker_how_to_come_in() -> None:
    """A client that is made from addresses alone works until somebody secures Kafka."""
    sources = [path for folder in ("services", "deploy") for path in (ROOT / folder).rglob("*.py")]
    assert ["broker.py"] == [path.name for path in sources if "bootstrap_servers" in path.read_text(encoding="utf-8")]
