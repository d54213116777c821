"""The kills in small, and that the judge sees what it looks for. The long form: `python -m tests.ingest --kills 20`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from tests.conftest import Database
from tests.ingest.storm import Tally, blow, judge
from tests.integration.door_rig import Gateway, running


@pytest.fixture
async def gateway(kafka: Kafka, postgres: Postgres, database: Database, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(tmp_path, kafka.bootstrap, postgres, database.name) as one:
        yield one


async def test_every_event_that_was_answered_202_is_on_the_topic_though_the_gateway_is_killed(gateway: Gateway) -> None:
    print(await blow(gateway, 2, 20261125, print))
    lost = Tally({f"never-sent-{uuid4()}"})
    with pytest.raises(AssertionError, match="1 events were answered 202 and are not on the topic"):
        await judge(gateway, lost)
