"""One stack with matcher, notifier, gateway and the explanation door for the tests of the board."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from deploy.stack import WHOLE, Stack
from tests.integration.gateway.board_rig import Rig


@pytest.fixture(scope="package")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("board")
    async with Stack(folder, services=WHOLE, env={"LASTMETRE_DEMO_PRINCIPALS": "1"}) as stack:
        producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap, acks="all", enable_idempotence=True, linger_ms=2)
        await producer.start()
        try:
            yield Rig(stack, producer)
        finally:
            await producer.stop()
    shutil.rmtree(folder)
