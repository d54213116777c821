"""Create the topics that `schemas/topics.py` declares, before any service starts, and hold those that exist against it.

A service that starts before its topics exist would never consume them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from deploy.words import Trouble
from schemas.topics import TOPICS, Topic
from services.broker import Broker, Where

SETTLE_SECONDS = 30.0
POLL_SECONDS = 0.05
# The cluster's own default: 1 on the broker that we start, what its keepers chose on one of theirs.
CLUSTER_DEFAULT = -1


@asynccontextmanager
async def _admin(kafka: Where) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**Broker.of(kafka).client())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """How many partitions with a leader each topic has; topics that do not exist are left out."""
    wanted = set(names)
    present = wanted & set(await admin.list_topics())
    if not present:
        return {}
    counts = {}
    for topic in await admin.describe_topics(sorted(present)):
        if topic["error_code"] == 0:
            counts[topic["topic"]] = sum(1 for p in topic["partitions"] if p["error_code"] == 0 and p["leader"] >= 0)
    return counts


async def _until(admin: AIOKafkaAdminClient, wanted: dict[str, int], names: Iterable[str]) -> None:
    names = list(names)
    deadline = time.monotonic() + SETTLE_SECONDS
    while (seen := await _partitions(admin, names)) != wanted:
        if time.monotonic() > deadline:
            raise Trouble(
                f"Kafka 主题在 {SETTLE_SECONDS:.0f} 秒内未就绪：{seen}",
                f"The topics were not settled within {SETTLE_SECONDS:.0f} s: {seen} instead of {wanted}",
            )
        await asyncio.sleep(POLL_SECONDS)


async def _align(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Set the declared settings where they differ."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _code, _message, _type, name, entries in response.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    changed = [topic for topic in topics if any(found.get(topic.name, {}).get(key) != value for key, value in topic.config.items())]
    if not changed:
        return
    answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, t.name, configs=dict(t.config)) for t in changed])
    for answer in answers:
        for code, message, *_rest in answer.resources:
            if code != 0:
                raise Trouble(f"无法更新主题设置：{message}", f"A topic's settings could not be changed: {message}")


async def ensure(kafka: Where, topics: Sequence[Topic] = TOPICS) -> None:
    """Make every declared topic exist, with its partitions led and its settings as declared.

    Raises:
        Trouble: a topic has another number of partitions than declared, or could not be made.
    """
    wanted = {topic.name: topic.partitions for topic in topics}
    async with _admin(kafka) as admin:
        there = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            new = [NewTopic(topic.name, topic.partitions, CLUSTER_DEFAULT, replica_assignments={}, topic_configs=dict(topic.config)) for topic in missing]
            answer = await admin.create_topics(new)
            for name, code, *rest in answer.topic_errors:
                fault = for_code(code)
                if code != 0 and fault is not TopicAlreadyExistsError:
                    raise Trouble(f"无法创建主题 {name}:{rest}", f"The topic {name} could not be created: {fault.__name__} {rest}")
        existing = [topic for topic in topics if topic.name in there]
        counts = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics([t.name for t in existing])} if existing else {}
        for topic in existing:
            if counts[topic.name] != topic.partitions:
                raise Trouble(
                    f"主题 {topic.name} 有 {counts[topic.name]} 个分区，应为 {topic.partitions} 个。请改用空的 Kafka，或用 --fresh 重来。",
                    f"The topic {topic.name} has {counts[topic.name]} partitions instead of {topic.partitions}: "
                    "take an empty Kafka, or start again with --fresh.",
                )
        if existing:
            await _align(admin, existing)
        await _until(admin, wanted, wanted)


async def remake(kafka: Where, topics: Sequence[Topic] = TOPICS) -> None:
    """Delete the declared topics that ever held anything, and create them empty: for tests on a shared broker."""
    async with _admin(kafka) as admin:
        names = await _used(kafka, await _partitions(admin, [topic.name for topic in topics]))
        if names:
            answer = await admin.delete_topics(names)
            for name, code, *_rest in answer.topic_error_codes:
                fault = for_code(code)
                if code != 0 and fault is not UnknownTopicOrPartitionError:
                    raise KafkaError(f"{name}: {fault.__name__}")
            await _until(admin, {}, names)
    await ensure(kafka, topics)


async def _used(kafka: Where, partitions: Mapping[str, int]) -> list[str]:
    """Those topics that have records, or had some. `partitions`: how many each has."""
    consumer = AIOKafkaConsumer(**Broker.of(kafka).client())
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(name, partition) for name, number in partitions.items() for partition in range(number)]
        )
    finally:
        await consumer.stop()
    return sorted({tp.topic for tp, end in ends.items() if end})
