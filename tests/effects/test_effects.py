"""The storm in small, and that its judge sees what it looks for. The long form: `python -m tests.effects --kills 500`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.kafka import Kafka
from services.notifier.book import PARTIES, notice_key
from tests.conftest import Database
from tests.effects.storm import blow, storm
from tests.integration.notifier_rig import matcher, running, until

SEED = 20261125


async def test_every_notice_has_one_effect_while_the_notifier_is_killed(fresh_topics: Kafka, database: Database, tmp_path: Path) -> None:
    async with storm(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, SEED, 4, print) as one:
        print(await blow(one, 1))


async def test_every_notice_has_one_effect_while_one_notifier_is_killed_and_another_comes_and_goes(
    fresh_topics: Kafka, database: Database, tmp_path: Path
) -> None:
    async with storm(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, SEED + 1, 4, print) as one:
        print(await blow(one, 2, beside=True))


async def test_every_notice_has_one_effect_and_the_vault_knows_of_each_match_while_the_notifier_that_looks_people_up_is_killed(
    fresh_topics: Kafka, database: Database, tmp_path: Path
) -> None:
    async with storm(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, SEED + 2, 4, print, vault_dsn=database.dsn("vault")) as one:
        print(await blow(one, 1))


async def test_a_second_effect_and_a_lost_one_would_be_found(fresh_topics: Kafka, database: Database, tmp_path: Path) -> None:
    async with storm(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, SEED, 4, print) as one:
        async with matcher(fresh_topics.bootstrap) as source, running(one.settings):
            await source.propose("m-000001")
            await until(lambda: 2 == len(one.gateways.effects))
        one.proposed.append("m-000001")
        one.gateways.effects[str(notice_key("m-000001", "resident", "confirmed"))] += 1
        with pytest.raises(AssertionError, match="more than one effect"):
            await one.judge()
        one.gateways.effects.clear()
        with pytest.raises(AssertionError, match="2 notices had no effect"):
            await one.judge()
        one.released.add("m-000001")
        one.gateways.effects.update(str(notice_key("m-000001", party, "confirmed")) for party in PARTIES)
        with pytest.raises(AssertionError, match="2 were told of a visit and not that it is off"):
            await one.judge()
