"""Who may do what at a secured Kafka: rules and quotas from the manifest of topics, and passwords, brought to the broker by its own protocol.

A rule allows one principal one operation on one topic or group; what no rule allows is denied. Writing and reading bring the right to describe with them, and
an idempotent producer needs no right beyond that to write, so there are no other rules: nobody creates, deletes or alters anything, uses a
transaction or sees what the cluster is made of. What is there but not wanted (any more) is taken away.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest_v1, DeleteAclsRequest_v1, DescribeAclsRequest_v1
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Float64,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)  # fmt: skip

from deploy.words import Trouble
from schemas.topics import GROUPS, PRINCIPALS, TOPICS, Group, Topic
from services.broker import Broker

SETTLE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.02
ITERATIONS: Final = 8192
_MEBIBYTE: Final = 1024 * 1024
_SHA512: Final = 2  # as Kafka numbers the mechanisms of SCRAM
_ALLOW: Final = 3
_ANY: Final = 1
_ANY_HOST: Final = "*"


class Kind(IntEnum):
    """Resources, as Kafka numbers them."""

    TOPIC = 2
    GROUP = 3


class Pattern(IntEnum):
    """How a rule's name is meant."""

    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """Operations, as Kafka numbers them; these two are all that we allow."""

    READ = 3
    WRITE = 4


class Rule(NamedTuple):
    """One principal may do one thing."""

    kind: int
    name: str
    pattern: int
    principal: str
    """`User:` and the name."""
    operation: int
    host: str = _ANY_HOST
    permission: int = _ALLOW


@dataclass(frozen=True, slots=True)
class Quota:
    """What one principal may use: bytes a second in and out, and the share of one of the broker's threads, in per cent."""

    produce: int
    consume: int
    request: int

    @property
    def values(self) -> dict[str, float]:
        """As Kafka spells them."""
        return {"producer_byte_rate": self.produce, "consumer_byte_rate": self.consume, "request_percentage": self.request}


# Several times what each has ever needed here; to keep one from taking the broker from the others, not to slow anybody down.
QUOTAS: Final[Mapping[str, Quota]] = {
    "matcher": Quota(64 * _MEBIBYTE, 64 * _MEBIBYTE, 400),
    "notifier": Quota(32 * _MEBIBYTE, 64 * _MEBIBYTE, 300),
    "gateway": Quota(32 * _MEBIBYTE, 64 * _MEBIBYTE, 300),
    "board": Quota(_MEBIBYTE, 64 * _MEBIBYTE, 300),
    "workers": Quota(32 * _MEBIBYTE, 64 * _MEBIBYTE, 300),
    "integrations": Quota(8 * _MEBIBYTE, 16 * _MEBIBYTE, 100),
    "auditor": Quota(_MEBIBYTE, 16 * _MEBIBYTE, 50),
}
# For whoever is not named above.
DEFAULT_QUOTA: Final = Quota(64 * 1024, 64 * 1024, 10)


def rules(topics: Iterable[Topic] = TOPICS, groups: Iterable[Group] = GROUPS) -> frozenset[Rule]:
    """All that is allowed, as the manifest says it."""
    found = set()
    for topic in topics:
        found |= {Rule(Kind.TOPIC, topic.name, Pattern.LITERAL, f"User:{name}", Operation.WRITE) for name in topic.writers}
        found |= {Rule(Kind.TOPIC, topic.name, Pattern.LITERAL, f"User:{name}", Operation.READ) for name in topic.readers}
    for group in groups:
        found.add(Rule(Kind.GROUP, group.name, Pattern.PREFIXED if group.prefix else Pattern.LITERAL, f"User:{group.member}", Operation.READ))
    return frozenset(found)


# --- two requests that aiokafka does not have, as Kafka's own message definitions write them


class _QuotasAltered(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))),
            ),
        ),
    )


class AlterClientQuotas(RequestStruct):  # type: ignore[misc]  # the same
    """`AlterClientQuotasRequest` of version 0."""

    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _QuotasAltered
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", Array(("entity_type", String("utf-8")), ("entity_name", String("utf-8")))),
                ("ops", Array(("key", String("utf-8")), ("value", Float64), ("remove", Boolean))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _ScramAltered(Response):  # type: ignore[misc]  # the same
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(("user", CompactString("utf-8")), ("error_code", Int16), ("error_message", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    )


class AlterUserScramCredentials(RequestStruct):  # type: ignore[misc]  # the same
    """`AlterUserScramCredentialsRequest` of version 0: salted passwords, no plain ones."""

    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ScramAltered
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Plainly:
    """What aiokafka sends: a request that is made already, in the one version that we speak."""

    def __init__(self, made: RequestStruct) -> None:
        self._made = made

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """What was made, if the broker knows it.

        Raises:
            Trouble: the broker is too old or too new.
        """
        least, most = versions.get(self._made.API_KEY, (0, -1))
        if not least <= self._made.API_VERSION <= most:
            raise Trouble(
                f"该 Kafka 不支持所需的管理请求（{self._made.API_KEY}）。",
                f"This Kafka does not know a request that we need (key {self._made.API_KEY}).",
            )
        return self._made


async def _ask(admin: AIOKafkaAdminClient, made: RequestStruct) -> Any:
    return await admin._send_request(_Plainly(made))  # noqa: SLF001 - there is no public way to send what the client has no method for


def _check(results: Iterable[tuple[Any, ...]]) -> None:
    for code, message, *_rest in results:
        if code != 0:
            raise Trouble(
                f"Kafka 拒绝了访问规则（{for_code(code).__name__}）。", f"Kafka refused the rules of access: {for_code(code).__name__} {message or ''}"
            )


async def known(admin: AIOKafkaAdminClient) -> frozenset[Rule]:
    """The rules that the broker goes by now."""
    answer = await _ask(admin, DescribeAclsRequest_v1(_ANY, None, _ANY, None, None, _ANY, _ANY))
    _check([(answer.error_code, answer.error_message)])
    return frozenset(
        Rule(kind, name, pattern, principal, operation, host, permission)
        for kind, name, pattern, acls in answer.resources
        for principal, host, operation, permission in acls
    )


def _wire(rule: Rule) -> tuple[Any, ...]:
    return (rule.kind, rule.name, rule.pattern, rule.principal, rule.host, rule.operation, rule.permission)


async def _set_rules(admin: AIOKafkaAdminClient, wanted: frozenset[Rule]) -> None:
    found = await known(admin)
    if added := sorted(wanted - found):
        answer = await _ask(admin, CreateAclsRequest_v1([_wire(rule) for rule in added]))
        _check(answer.creation_responses)
    if removed := sorted(found - wanted):
        answer = await _ask(admin, DeleteAclsRequest_v1([_wire(rule) for rule in removed]))
        _check((code, message) for code, message, _matching in answer.filter_responses)
    deadline = time.monotonic() + SETTLE_SECONDS
    while await known(admin) != wanted:  # what was stored is gone by a moment later
        if time.monotonic() > deadline:
            raise Trouble("Kafka 的访问规则未能按时生效。", f"Kafka did not go by its rules within {SETTLE_SECONDS:.0f} s.")
        await asyncio.sleep(POLL_SECONDS)


async def _set_quotas(admin: AIOKafkaAdminClient) -> None:
    entries = [
        ([("user", name)], [(key, float(value), False) for key, value in quota.values.items()]) for name, quota in (*QUOTAS.items(), (None, DEFAULT_QUOTA))
    ]
    answer = await _ask(admin, AlterClientQuotas(entries, False))  # noqa: FBT003 - a field of the protocol
    _check((code, message) for code, message, _entity in answer.entries)


async def set_passwords(admin: AIOKafkaAdminClient, passwords: Mapping[str, str]) -> None:
    """Give principals their passwords; Kafka is told what comes of salting them, never themselves.

    Raises:
        Trouble: Kafka refused.
    """
    upsertions: list[tuple[Any, ...]] = []
    for name, password in passwords.items():
        salt = secrets.token_bytes(24)
        salted = await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha512", password.encode(), salt, ITERATIONS)
        upsertions.append((name, _SHA512, ITERATIONS, salt, salted, {}))
    answer = await _ask(admin, AlterUserScramCredentials([], upsertions, {}))
    _check((code, message) for _user, code, message, _tags in answer.results)


async def ensure(broker: Broker, passwords: Mapping[str, str]) -> None:
    """Bring passwords, quotas and rules to a broker, as one who may do everything there.

    Raises:
        Trouble: Kafka refused, or did not go by the rules in time.
    """
    assert set(passwords) == set(PRINCIPALS) == set(QUOTAS)
    admin = AIOKafkaAdminClient(**broker.client())
    await admin.start()
    try:
        await set_passwords(admin, passwords)
        await _set_quotas(admin)
        await _set_rules(admin, rules())
    finally:
        await admin.close()
