"""Where Kafka is and how one is let in there: what every client is given, in the services and in `deploy`.

Nothing here connects. A password lies in a file that only its owner reads; it never stands in an argument, an address, a log or an error.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services import records
from services.turns import size_of

records.read_all()

PREFIX: Final = "LASTMETRE_"
# Read is what was committed: what a producer took back, by ending its transaction so, was never said.
COMMITTED: Final = "read_committed"
_RECORDS_SECONDS: Final = 5.0
# Where nothing but marks of transactions is left, the client goes past them and answers only when its time is over.
_RECORDS_LOOK_MS: Final = 250
# All that a fetch brought would else be handed over at once, in as many objects.
_RECORDS_AT_ONCE: Final = 100
_GROUP_MS: Final = 5000

Protocol = Literal["PLAINTEXT", "SSL", "SASL_SSL"]
"""As Kafka spells them. A password over a line that is not encrypted is not among them."""
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256"]


@dataclass(frozen=True, slots=True)
class Broker:
    """A Kafka and the way in as one principal. Plain addresses, where neither a user nor a certificate is given."""

    addresses: str
    """host:port, several separated by commas."""
    ca: Path | None = None
    """PEM file of the authority that signed the broker's certificate; without it, the system's own."""
    user: str | None = None
    password_file: Path | None = None
    mechanism: Mechanism = "SCRAM-SHA-512"
    certificate: Path | None = None
    """PEM file with a key and a certificate to show, in place of a user and a password."""

    def __str__(self) -> str:
        """The addresses, for people."""
        return self.addresses

    @classmethod
    def of(cls, kafka: Where) -> Broker:
        """The broker at plain addresses, or what is one already."""
        return kafka if isinstance(kafka, Broker) else cls(kafka)

    @property
    def protocol(self) -> Protocol:
        """How a client speaks to it."""
        if self.user is not None:
            return "SASL_SSL"
        return "PLAINTEXT" if self.certificate is None else "SSL"

    def ssl_context(self) -> ssl.SSLContext:
        """Who must answer there: somebody whom the authority knows by the name that we call.

        Raises:
            OSError: a file is not there or is not what it should be.
        """
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate)
        return context

    def password(self) -> str | None:
        """The password, read anew, so that a new one needs no restart of who makes clients again and again.

        Raises:
            OSError: the file can't be read.
        """
        return None if self.password_file is None else self.password_file.read_text(encoding="utf-8").strip()

    def client(self) -> dict[str, Any]:
        """The arguments with which aiokafka's clients connect.

        Raises:
            OSError: a file is not there or is not what it should be.
        """
        found: dict[str, Any] = {"bootstrap_servers": self.addresses}
        if self.protocol != "PLAINTEXT":
            found |= {"security_protocol": self.protocol, "ssl_context": self.ssl_context()}
        if self.user is not None:
            found |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user, "sasl_plain_password": self.password()}
        return found

    async def hello(self) -> None:
        """Connect once, and let go.

        Raises:
            OSError, KafkaError: it does not answer, or does not let us in.
        """
        client = AIOKafkaClient(**self.client())
        try:
            await client.bootstrap()
        finally:
            await client.close()


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer of what was committed, that can be stopped while the broker is away."""

    def __init__(self, *topics: str, **settings: Any) -> None:
        super().__init__(*topics, isolation_level=COMMITTED, **settings)

    async def stop(self) -> None:
        """Leave the group and close all connections, whatever the broker says to that.

        Where a fetch has just failed the client's own `stop` ends half-way, as if its caller had been called off: a loop that only wanted a new consumer ended
        there, and nobody saw it.
        """
        await asyncio.gather(super().stop(), return_exceptions=True)
        await self._client.close()


SILENT_SECONDS: Final = 10.0
"""A broker answers each question for records within half a second, also where there are none: one that says nothing for longer than this is away."""


def silent_seconds(consumer: AIOKafkaConsumer) -> float:
    """For how long the broker has said nothing of any of the consumer's partitions; 0 where it has not been asked yet.

    Of what lies here and is not taken yet it is not asked: so it tells something only where all is taken.
    """
    heard = [at for tp in consumer.assignment() if (at := consumer.last_poll_timestamp(tp)) is not None]
    return max(0.0, time.time() - max(heard) / 1000) if heard else 0.0


CUT_OFF_SECONDS: Final = 15.0
"""For so long a worker that shares its work with others tries to reach its database; then it lets go of what it has, as theirs may answer."""


async def others_in(broker: Broker, group: str) -> bool:
    """Whether a consumer group has members beside whoever asks, that is one of them. False where Kafka does not say."""
    admin = AIOKafkaAdminClient(**broker.client(), request_timeout_ms=_GROUP_MS)
    try:
        await admin.start()
        (described,) = await admin.describe_consumer_groups([group])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return any(len(members) > 1 for _, _, _, _, _, members, *_ in described.groups)


async def records_between(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int, bytes_max: float = math.inf) -> list[Any]:
    """The records of [start, end) of a partition that is assigned to this consumer; fewer where Kafka has none, or no longer.

    It ends earlier where they have `bytes_max` or a little more: the consumer's position says how far it has come.

    Raises:
        TimeoutError: nothing came for a while. The part that has come must not pass for all.
        KafkaError: Kafka does not answer just now.
    """
    consumer.seek(tp, start)
    found: list[Any] = []
    came_at, reached, size = time.monotonic(), -1, 0
    while (position := await consumer.position(tp)) < end and size < bytes_max:
        if position != reached:
            came_at, reached = time.monotonic(), position
        elif time.monotonic() - came_at > _RECORDS_SECONDS:
            raise TimeoutError
        came = (await consumer.getmany(tp, timeout_ms=_RECORDS_LOOK_MS, max_records=_RECORDS_AT_ONCE)).get(tp, [])
        records = [record for record in came if start <= record.offset < end]
        size += sum(map(size_of, records))
        found += records
    return found


Where = Broker | str
"""A broker, or plain addresses."""


class KafkaSettings(BaseSettings):
    """`LASTMETRE_KAFKA` and, where it is secured, `LASTMETRE_KAFKA_...`. A description is `Chinese | English` and says the fix."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True, allow_inf_nan=False)

    kafka: str = Field(
        pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$",
        description="填写 Kafka 地址，如 127.0.0.1:9092 | give Kafka's addresses, such as 127.0.0.1:9092",
    )
    kafka_protocol: Literal["PLAINTEXT", "SASL_SSL"] = Field("PLAINTEXT", description="填 PLAINTEXT 或 SASL_SSL | use PLAINTEXT or SASL_SSL")
    kafka_ca: Path | None = Field(None, description="填签发 Kafka 证书的 CA 文件（PEM）路径 | use the path of the CA's PEM file")
    kafka_mechanism: Mechanism = Field("SCRAM-SHA-512", description="填 SCRAM-SHA-512 或 SCRAM-SHA-256 | use SCRAM-SHA-512 or SCRAM-SHA-256")
    kafka_user: str | None = Field(None, min_length=1, description="填写 Kafka 用户名 | give the user's name in Kafka")
    kafka_password_file: Path | None = Field(None, description="填存放 Kafka 密码的文件路径 | use the path of the file that holds the password")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kafka_protocol == "PLAINTEXT":
            if self.kafka_user is not None or self.kafka_password_file is not None:
                raise ValueError(
                    "已设置 Kafka 用户或密码文件，但 LASTMETRE_KAFKA_PROTOCOL 不是 SASL_SSL：密码不会经未加密的连接发送"
                    " | a Kafka user or password file is set, but LASTMETRE_KAFKA_PROTOCOL is not SASL_SSL: no password goes over a plain connection"
                )
            return self
        if self.kafka_user is None or self.kafka_password_file is None:
            raise ValueError(
                "LASTMETRE_KAFKA_PROTOCOL 为 SASL_SSL 时，必须设置 LASTMETRE_KAFKA_USER 与 LASTMETRE_KAFKA_PASSWORD_FILE"
                " | with LASTMETRE_KAFKA_PROTOCOL=SASL_SSL both LASTMETRE_KAFKA_USER and LASTMETRE_KAFKA_PASSWORD_FILE are needed"
            )
        try:
            self.broker.client()
            empty = not self.broker.password()
        except (OSError, UnicodeDecodeError):
            raise ValueError(
                "无法读取 LASTMETRE_KAFKA_CA 或 LASTMETRE_KAFKA_PASSWORD_FILE 所指的文件，或内容不合规"
                " | the file that LASTMETRE_KAFKA_CA or LASTMETRE_KAFKA_PASSWORD_FILE names cannot be read or is not valid"
            ) from None
        if empty:
            raise ValueError("LASTMETRE_KAFKA_PASSWORD_FILE 所指的文件为空 | the file that LASTMETRE_KAFKA_PASSWORD_FILE names is empty")
        return self

    @property
    def broker(self) -> Broker:
        """Kafka, as clients are to reach it."""
        if self.kafka_protocol == "PLAINTEXT":
            return Broker(self.kafka)
        return Broker(self.kafka, self.kafka_ca, self.kafka_user, self.kafka_password_file, self.kafka_mechanism)
