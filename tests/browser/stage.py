"""The whole system with its pages, for a browser or a load: Kafka, PostgreSQL, matcher, notifier, gateway, and the town's voice."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer

from deploy.stack import Stack
from tests.browser.town import Town

LINK_KEY = f"tests:{base64.b64encode(bytes(range(11, 43))).decode()}"
POLICY = Path(__file__).with_name("policy.toml")
SETTINGS = {
    "LASTMETRE_DEMO_PRINCIPALS": "1",
    "LASTMETRE_RATE_FACTOR": "0",
    "LASTMETRE_ANSWER_SECONDS": "30",
    "LASTMETRE_LINK_KEYS": LINK_KEY,
    "LASTMETRE_POLICY": str(POLICY),
    "LASTMETRE_CHANNELS": '{"app": {"type": "app"}}',
    "LASTMETRE_CHANNEL": "app",
}


@dataclass(slots=True)
class Stage:
    """A stack that runs, the address of its pages, and the town."""

    stack: Stack
    url: str
    town: Town


@asynccontextmanager
async def stage(folder: Path, **more: str) -> AsyncIterator[Stage]:
    """Start it all in a folder. `more`: settings on top of ours."""
    async with Stack(folder, fresh=True, services=("matcher", "notifier", "gateway"), env=SETTINGS | more) as stack:
        producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap, acks="all", linger_ms=2)
        await producer.start()
        board = await asyncpg.connect(stack.postgres.owner_dsn(stack.database))
        try:
            # As it is written down: to ask for the port would be to look for a free one.
            port = json.loads((stack.state.folder / "ports.json").read_text())["gateway-web"]
            yield Stage(stack, f"http://127.0.0.1:{port}", Town(producer, board))
        finally:
            await board.close()
            await producer.stop()
