"""The notifier with a vault, on a real Kafka and a real PostgreSQL: whom it reaches, what is in the audit, how the ladder follows, and what needs a consent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from deploy.kafka import Kafka
from schemas.codec import headers_of
from schemas.lanes import partition_of
from services.notifier import stages
from services.notifier.app import Notifier
from services.notifier.settings import Settings
from tests.conftest import Database
from tests.integration.channel_rig import Gateway, gateway
from tests.integration.notifier_rig import SECRET, Matcher, ask, header, matcher, records, running, settings_of, until
from tests.integration.vault_rig import OPERATOR, People, door, people

NUMBER, OTHER = "19900301234", "19900305678"
ROW = "SELECT * FROM notifying.{}"


def slot(hours: float) -> dict[str, str]:
    """An hour's visit that begins so many hours from now."""
    start = datetime.now(UTC) + timedelta(hours=hours)
    return {"start": start.isoformat(timespec="seconds"), "end": (start + timedelta(hours=1)).isoformat(timespec="seconds")}


@pytest.fixture
async def phones() -> AsyncIterator[Gateway]:
    async with gateway() as found:
        yield found


@pytest.fixture
async def source(fresh_topics: Kafka) -> AsyncIterator[Matcher]:
    async with matcher(fresh_topics.bootstrap) as found:
        found.partition = partition_of(found.area)
        yield found


@pytest.fixture
async def registered(database: Database, tmp_path: Path) -> AsyncIterator[People]:
    async with people(database.dsn("vault"), tmp_path) as found:
        yield found


@pytest.fixture
def make(fresh_topics: Kafka, database: Database, phones: Gateway, registered: People, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with a gateway for text messages and the vault."""
    monkeypatch.setenv("A_SECRET", SECRET)
    channels = {"sms": {"type": "sms", "secret_env": "A_SECRET", "timeout_seconds": 2, "url": f"{phones.base}/sms"}}

    def made(**more: Any) -> Settings:
        vault = {"vault_database": SecretStr(database.dsn("vault")), "vault_keys": registered.keys.path}
        return settings_of(fresh_topics.bootstrap, database.dsn("notifier"), "console", channels=SecretStr(json.dumps(channels)), **(vault | more))

    return made


Make = Callable[..., Settings]


@asynccontextmanager
async def said(bootstrap: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """A way to say something on `responses` as people do."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await producer.start()

    async def say(kind: str, match_id: str, **more: Any) -> None:
        data = {"area": "hightech", "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", **more}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        headers = headers_of(f"lastmetre.service.{kind}.v1", f"{kind}-{match_id}", "app", now, match_id, "hightech")
        await producer.send_and_wait("responses", orjson.dumps(data), key=b"hightech", headers=headers)

    try:
        yield say
    finally:
        await producer.stop()


async def ends(settings: Settings, match_id: str) -> list[str]:
    """What the notifier told about a match on `confirmations`, with the reason of a failure."""
    found = [one for one in await records(settings.kafka, "confirmations") if header(one, "ce_subject") == match_id]
    return [header(one, "ce_type").split(".")[2] + ":" + orjson.loads(one.value).get("reason", "") for one in found]


async def stage(database: Database, match_id: str) -> str | None:
    found = await ask(database.dsn(), f"SELECT stage FROM vault.visits WHERE match_id = '{match_id}'")
    return found[0][0] if found else None


async def told(settings: Settings, match_id: str, *wanted: str) -> None:
    """Wait until this is what was told about a match."""

    async def so() -> bool:
        return list(wanted) == await ends(settings, match_id)

    await until(so)


async def reaches(database: Database, match_id: str, wanted: str) -> None:
    async def so() -> bool:
        return wanted == await stage(database, match_id)

    await until(so)


async def test_both_sides_are_told_through_the_vault_with_a_look_each_in_its_audit(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    await registered.put("r-m-1", name="测试甲", phone=NUMBER, channels=["sms"], language="en")
    await registered.put("v-m-1", name="测试乙", phone=OTHER, channels=["sms"])
    settings = make()
    await source.propose("m-1")
    async with running(settings):
        await told(settings, "m-1", "confirmed:")
        await reaches(database, "m-1", "confirmed")
        left = await ask(database.dsn(), ROW.format("vault_news"))
    texts = {one.body["to"]: one.body["text"] for one in phones.seen}
    assert {NUMBER, OTHER} == set(texts)
    assert "Good news" in texts[NUMBER]
    assert [("notifier", "notice confirmed", "m-1", "allowed")] == await registered.looks("r-m-1")
    assert [("notifier", "notice confirmed", "m-1", "allowed")] == await registered.looks("v-m-1")
    assert [] == left
    ours = "".join([str(await ask(database.dsn(), ROW.format(table))) for table in ("notices", "confirmations", "app_inbox", "told", "vault_news")])
    everything = ours + "".join(capfd.readouterr()) + str([(one.value, one.headers) for one in await records(settings.kafka, "confirmations")])
    assert [] == [personal for personal in (NUMBER, OTHER, "测试甲", "测试乙") if personal in everything]


async def test_whom_the_vault_does_not_know_gets_what_is_usual_and_who_was_erased_gets_nothing(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database
) -> None:
    settings = make()
    await registered.put("r-m-2", phone=NUMBER, channels=["sms"])
    await registered.vault.erase("r-m-2", stages.WHO, "asked for it")
    await source.propose("m-1")
    await source.propose("m-2")
    async with running(settings):
        await told(settings, "m-1", "confirmed:")
        await told(settings, "m-2", "failed:erased")
    assert [] == phones.seen
    assert None is await stage(database, "m-2")


async def test_a_helper_is_told_that_nobody_waits_for_them_any_more_even_if_the_resident_was_erased(
    make: Make, source: Matcher, phones: Gateway, registered: People
) -> None:
    settings = make()
    for ref, number in (("r-m-1", NUMBER), ("v-m-1", OTHER)):
        await registered.put(ref, phone=number, channels=["sms"])
    await source.propose("m-1")
    async with running(settings):
        await told(settings, "m-1", "confirmed:")
        await registered.vault.erase("r-m-1", stages.WHO, "asked for it")
        await source.release("m-1", "withdrawn")
        await until(lambda: 3 == len(phones.seen))
    assert (OTHER, "released") == (phones.seen[-1].body["to"], (await registered.looks("v-m-1"))[-1][1].split()[1])
    assert [("allowed", "m-1"), ("not_your_visit", "m-1"), ("allowed", None)] == [(one[3], one[2]) for one in await registered.looks("v-m-1")]


async def test_the_ladder_follows_the_match(make: Make, source: Matcher, registered: People, database: Database) -> None:
    address: dict[str, Any] = {"name": "测试甲", "compound": "样板小区", "building": "3栋", "door": "2单元1704"}
    for number in (1, 2):
        await registered.put(f"r-m-{number}", phone=NUMBER, **address)
    rungs = ("compound", "building", "door")

    async def rung(match_id: str) -> str:
        """The most exact part of the address that the helper sees."""
        for name in reversed(rungs):
            if not isinstance(await registered.seen(match_id, f"r-{match_id}", f"v-{match_id}", name), str):
                return name
        return "nothing"

    settings = make(acknowledge_minutes=0)
    async with running(settings), said(settings.kafka) as say:
        for number, hours in ((1, 0.0), (2, 40.0)):  # no visit ends before its slot begins
            match_id = f"m-{number}"
            by = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
            await source.propose(match_id, slot=slot(hours), needs_answer=True, expires_at=by)
            await reaches(database, match_id, "proposed")
            assert "compound" == await rung(match_id)
            await source.send("match.agreed", {"match_id": match_id, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}"})
            await reaches(database, match_id, "confirmed")
        assert ("door", "building") == (await rung("m-1"), await rung("m-2"))
        assert "not_your_visit" == await registered.seen("m-1", "r-m-1", "v-m-2", "door")
        await say("started", "m-1")
        await reaches(database, "m-1", "started")
        assert "door" == await rung("m-1")
        await say("finished", "m-1", minutes=50)
        await say("acknowledged", "m-1", by="resident", outcome="done")
        await reaches(database, "m-1", "closed")
        await source.release("m-2", "withdrawn")
        await reaches(database, "m-2", "released")
        assert ("compound", "nothing") == (await rung("m-1"), await rung("m-2"))


async def test_a_vault_that_is_away_keeps_notices_and_stages_waiting_and_loses_none(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.exchange._AWAY_SECONDS", 0.2)
    for number in range(3):
        await registered.put(f"r-m-{number}", phone=NUMBER, channels=["sms"])
        await registered.put(f"v-m-{number}", phone=OTHER, channels=["sms"])
    async with door(database.dsn("vault")) as way:
        settings = make(vault_database=SecretStr(way.dsn))
        async with running(settings) as notifier:
            await source.propose("m-0")
            await told(settings, "m-0", "confirmed:")
            await way.shut()
            await source.propose("m-1")
            await source.propose("m-2")
            await source.release("m-2", "withdrawn")
            await until(lambda: _waits(notifier, database))
        await way.open()
        async with running(settings):  # and what one process left, the next one tells
            await told(settings, "m-1", "confirmed:")
            await reaches(database, "m-1", "confirmed")
            await reaches(database, "m-2", "released")
    assert 4 == len(phones.effects)
    assert [] == await ask(database.dsn(), ROW.format("vault_news"))


async def test_who_is_erased_while_their_notice_waits_behind_others_for_a_slow_channel_gets_nothing(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.delivery.QUEUE_SECONDS", 0.5)
    for ref in ("r-m-1", "v-m-1", "v-m-2"):
        await registered.put(ref, phone=OTHER, channels=["sms"])
    await registered.put("r-m-2", phone=NUMBER, channels=["sms"])
    phones.judge = lambda _seen, nth: None if nth == 1 else 200
    one_hand = {"sms": {"type": "sms", "secret_env": "A_SECRET", "timeout_seconds": 2, "concurrency": 1, "url": f"{phones.base}/sms"}}
    settings = make().model_copy(update={"channels": SecretStr(json.dumps(one_hand))})
    await source.propose("m-1")
    await source.propose("m-2")

    async def waits() -> bool:
        return len(phones.seen) == 1 and bool(await registered.looks("r-m-2"))

    async with running(settings):
        await until(waits)
        await registered.vault.erase("r-m-2", OPERATOR, "asked for it")
        await told(settings, "m-1", "confirmed:")
        await until(partial(_has_ended, settings, "m-2"))
    assert {OTHER} == {one.body["to"] for one in phones.seen}
    assert ["failed"] == [one.partition(":")[0] for one in await ends(settings, "m-2")]


async def _has_ended(settings: Settings, match_id: str) -> bool:
    return bool(await ends(settings, match_id))


async def test_news_of_a_match_that_is_not_known_here_keep_no_others_waiting(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database
) -> None:
    """As after the notifier's tables began anew beside an older vault: its visits come back from their topic, its matches do not."""
    await registered.put("r-m-1", phone=NUMBER, channels=["sms"])
    await registered.put("v-m-1", phone=OTHER, channels=["sms"])
    await ask(
        database.dsn(),
        "INSERT INTO notifying.vault_news (match_id, stage, partition) SELECT 'gone-' || n, 'closed', n % 6 FROM generate_series(1, 1200) n",
    )
    await ask(database.dsn(), "INSERT INTO notifying.vault_news (match_id, stage) VALUES ('of-a-notifier-of-before', 'closed')")
    await source.propose("m-1")
    async with running(make()):
        await reaches(database, "m-1", "confirmed")
        await until(partial(_is_empty, database, "vault_news"))
    assert [("m-1",)] == await ask(database.dsn(), "SELECT match_id FROM vault.visits")


async def _is_empty(database: Database, table: str) -> bool:
    return [] == await ask(database.dsn(), ROW.format(table))


async def _waits(notifier: Notifier, database: Database) -> bool:
    """Stages and notices are kept, and the notifier is well."""
    news = await ask(database.dsn(), "SELECT match_id, stage FROM notifying.vault_news ORDER BY place")
    found = await ask(database.dsn(), "SELECT count(*) FROM notifying.notices WHERE fault = 'directory_away'")
    assert notifier.stages is not None
    return ("m-2", "released") in news and found[0][0] >= 2


async def test_a_match_for_a_minor_is_confirmed_only_with_a_guardians_consent_to_the_visit(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database
) -> None:
    """m-1: consent. m-2: none. m-3: one that ends before the visit. m-4: only to messages. m-5: the vault knows that the resident is a minor."""
    await registered.consent("r-m-1")
    await registered.consent("r-m-3", days=1)
    await registered.consent("r-m-4", "notify", "keep")
    await registered.consent("r-m-5", "notify", "keep")
    for number in range(1, 6):
        await registered.put(f"r-m-{number}", phone=NUMBER, channels=["sms"], minor=number == 5)
        await registered.put(f"v-m-{number}", phone=OTHER, channels=["sms"])
    settings = make()
    for number in range(1, 6):
        await source.propose(f"m-{number}", slot=slot(48), minor=number != 5)
    async with running(settings):
        await told(settings, "m-1", "confirmed:")
        for number in range(2, 6):
            await told(settings, f"m-{number}", "failed:no_consent")
    assert 2 == len(phones.seen)  # nobody heard of the others
    assert [("no_consent", "m-2")] == [(one[3], one[2]) for one in await registered.looks("v-m-2")][:1]


async def test_nobody_is_asked_to_visit_a_minor_for_whom_no_consent_holds(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database
) -> None:
    """m-1: consent. m-2: none, so its helper is not even asked, and the desk hears what is missing. m-3: a minor who helps, and may not be written to."""
    await registered.consent("r-m-1")
    await registered.consent("v-m-3", "keep")
    for number in range(1, 4):
        await registered.put(f"r-m-{number}", phone=NUMBER, channels=["sms"])
        await registered.put(f"v-m-{number}", phone=OTHER, channels=["sms"], minor=number == 3)
    settings = make()
    async with running(settings):
        for number in range(1, 4):
            await source.propose(f"m-{number}", slot=slot(48), minor=number < 3, needs_answer=True, expires_at=slot(24)["start"])
        await told(settings, "m-2", "failed:no_consent")
        await told(settings, "m-3", "failed:helper_no_consent")
        await source.release("m-2", "unsafe", cause="confirmation_failed")  # as the matcher answers

        async def the_desk_knows() -> bool:
            found = await ask(database.dsn(), "SELECT wish_id, ref, match_id FROM notifying.notices WHERE kind = 'unconsented'")
            return [("w-m-2", "desk-hightech", None)] == found

        await until(the_desk_knows)
        await until(lambda: 1 == len(phones.seen))  # the helper of m-1


async def test_of_two_who_come_together_to_a_minor_neither_is_told_without_a_consent(make: Make, source: Matcher, phones: Gateway, registered: People) -> None:
    settings = make()
    for one in ("a", "b"):
        group: dict[str, Any] = {"group_id": "g-1", "group_size": 2, "wish_id": "w-1", "resident_ref": "r-1", "slot": slot(48)}
        await source.propose(f"m-{one}", minor=True, **group)

    async def failed() -> bool:
        return ["failed:no_consent"] in [await ends(settings, "m-a"), await ends(settings, "m-b")]

    async with running(settings):
        await until(failed)
    assert [] == phones.seen


@pytest.mark.parametrize("moment", ["before the visit", "at its start"])
async def test_a_visit_to_a_minor_is_called_off_when_the_consent_is_withdrawn(
    make: Make, source: Matcher, phones: Gateway, registered: People, database: Database, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(stages, "_SWEEP_SECONDS", 0.2 if moment == "before the visit" else 3600.0)
    await registered.consent("r-m-1")
    await registered.put("r-m-1", phone=NUMBER, channels=["sms"], minor=True, door="2单元1704", compound="样板小区")
    await registered.put("v-m-1", phone=OTHER, channels=["sms"])
    settings = make()
    await source.propose("m-1", minor=True, slot=slot(0.5))
    async with running(settings) as notifier, said(settings.kafka) as say:
        await told(settings, "m-1", "confirmed:")
        await reaches(database, "m-1", "confirmed")
        assert {"door": "2单元1704"} == await registered.seen("m-1", "r-m-1", "v-m-1", "door")
        await registered.vault.withdraw_consent("r-m-1", "guardian", "visit", stages.WHO, "asked for it")
        if moment == "at its start":

            async def begun() -> bool:
                return [(1,)] == await ask(database.dsn(), "SELECT count(*) FROM notifying.visits")

            await until(begun)
            await say("started", "m-1")
        await told(settings, "m-1", "confirmed:", "failed:no_consent")
        await reaches(database, "m-1", "released")
        assert 1 == notifier.metrics.unconsented._value.get()
        assert 2 == len(phones.seen)
        await source.release("m-1", "unsafe", cause="confirmation_failed")  # as the matcher answers
        await until(lambda: 4 == len(phones.seen))
    assert "不必前往" in next(one.body["text"] for one in reversed(phones.seen) if one.body["to"] == OTHER)
    assert "no_consent" in {entry.reason for entry in await registered.vault.audit("r-m-1") if entry.action == "visit"}
