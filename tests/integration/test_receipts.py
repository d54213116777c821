"""Gateways' callbacks on a real Kafka and a real PostgreSQL, with a real gateway: each has its effect once, and none is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from pydantic import SecretStr

from deploy.kafka import Kafka
from services.notifier.book import notice_key
from services.notifier.settings import Settings
from tests.conftest import Database
from tests.integration.notifier_rig import SECRET, Matcher, Sink, ask, header, matcher, receiver, records, running, settings_of, until

OUTCOMES = "SELECT channel, status, repeats, outcome FROM notifying.receipts ORDER BY id"
NOTICES = "SELECT party, kind, state, channel FROM notifying.notices ORDER BY kind, party"
ENDED = "SELECT state, (SELECT count(*) FROM notifying.outbox) FROM notifying.confirmations"
VARIABLE = "RECEIPTS_SECRET"
RESIDENT = str(notice_key("m-1", "resident", "confirmed"))


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with receiver() as found:
        yield found


@pytest.fixture
async def source(fresh_topics: Kafka) -> AsyncIterator[Matcher]:
    async with matcher(fresh_topics.bootstrap) as found:
        yield found


@pytest.fixture
def make(fresh_topics: Kafka, database: Database, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings of a notifier with these channels, in this order for everybody."""
    monkeypatch.setenv(VARIABLE, SECRET)

    def settings(*order: str, **more: Any) -> Settings:
        hook = {"type": "webhook", "url": sink.url, "secret_env": VARIABLE, "timeout_seconds": 2.0}
        channels = {"first": hook | more, "second": hook | {"system": "another"}}
        people = tmp_path / "people.toml"
        people.write_text(f"[default]\nchannels = {json.dumps(order)}\n", encoding="utf-8")
        return settings_of(
            fresh_topics.bootstrap, database.dsn("notifier"), "first", channels=SecretStr(json.dumps(channels)), directory=people, read_minutes=10
        )

    return settings


async def leave(database: Database, *receipts: tuple[str, str, str]) -> list[str]:
    """As whoever answers the callbacks does: (channel, reference, status); what the door says to each."""
    connection = await asyncpg.connect(database.dsn("notifier"))
    try:
        return [await connection.fetchval("SELECT notifying.leave_receipt($1, $2, $3, now())", *one) for one in receipts]
    finally:
        await connection.close()


async def until_looked_at(database: Database, count: int) -> None:
    async def done() -> bool:
        return (count,) == (await ask(database.dsn(), "SELECT count(*) FROM notifying.receipts WHERE outcome IS NOT NULL"))[0]

    await until(done)


async def until_told(settings: Settings, *kinds: str) -> list[dict[str, Any]]:
    """Wait until a match has its end and all is published: these events of `confirmations`, in this order; their data."""

    async def there() -> bool:
        dsn = settings.database.get_secret_value()
        return [("failed" if "confirmation.failed" in kinds else "confirmed", 0)] == await ask(dsn, ENDED)

    await until(there)
    found = await records(settings.kafka, "confirmations")
    assert list(kinds) == [header(one, "ce_type").split(".", 1)[1].removesuffix(".v1") for one in found]
    return [orjson.loads(one.value) for one in found]


async def test_a_callback_counts_once_however_often_it_comes(make: Any, source: Matcher, database: Database) -> None:
    settings = make("first", "second")
    async with running(settings):
        await source.propose("m-1")
        await until_told(settings, "match.confirmed")
        assert ["left", "repeated", "repeated", "left"] == await leave(database, *[("first", RESIDENT, "delivered")] * 3, ("first", RESIDENT, "read"))
        await until_looked_at(database, 2)
    assert [("first", "delivered", 2, "noted"), ("first", "read", 0, "noted")] == await ask(database.dsn(), OUTCOMES)


async def test_what_failed_afterwards_goes_to_the_second_channel(make: Any, source: Matcher, sink: Sink, database: Database) -> None:
    settings = make("first", "second")
    async with running(settings):
        await source.propose("m-1")
        await until_told(settings, "match.confirmed")
        await leave(database, *[("first", RESIDENT, "failed")] * 2)
        await until_looked_at(database, 1)
        await until(lambda: 3 == len(sink.told))
        await leave(database, ("first", RESIDENT, "failed"))

        async def sent_again() -> bool:
            return ("resident", "confirmed", "sent", "second") in await ask(database.dsn(), NOTICES)

        await until(sent_again)
    assert [("first", "failed", 2, "next_channel")] == await ask(database.dsn(), OUTCOMES)
    assert 1 == len(await records(settings.kafka, "confirmations")), "a match is confirmed once"


async def test_what_failed_afterwards_with_no_channel_left_fails_the_confirmation(make: Any, source: Matcher, database: Database) -> None:
    settings = make("first")
    async with running(settings):
        await source.propose("m-1")
        await until_told(settings, "match.confirmed")
        await ask(database.dsn("notifier"), f"SELECT notifying.leave_receipt('first', '{RESIDENT}', 'failed', now(), 'err30003')")
        told = await until_told(settings, "match.confirmed", "confirmation.failed")
        await source.release("m-1", "undeliverable")  # the matcher's answer

        async def called_off() -> bool:
            return [("resident", "confirmed", "dead", "first"), ("volunteer", "confirmed", "sent", "first"), ("volunteer", "released", "sent", "first")] == (
                await ask(database.dsn(), NOTICES)
            )

        await until(called_off)
    assert ("m-1", "not_delivered") == (told[1]["match_id"], told[1]["reason"])
    # The gateway's own code stays in its receipt: it is in no event and in no notice.
    assert [(1,)] == await ask(database.dsn(), "SELECT count(*) FROM notifying.receipts WHERE fault = 'err30003'")
    assert [(0,)] == await ask(database.dsn(), "SELECT count(*) FROM notifying.notices WHERE (fault || tried) LIKE '%30003%'")


async def test_one_channel_for_everybody_has_no_second(fresh_topics: Kafka, source: Matcher, sink: Sink, database: Database) -> None:
    settings = settings_of(fresh_topics.bootstrap, database.dsn("notifier"), sink.url)
    async with running(settings):
        await source.propose("m-1")
        await until_told(settings, "match.confirmed")
        await leave(database, ("webhook", RESIDENT, "failed"))
        await until_told(settings, "match.confirmed", "confirmation.failed")
    assert [("webhook", "failed", 0, "given_up")] == await ask(database.dsn(), OUTCOMES)


async def test_an_unknown_callback_is_kept_apart_and_counts_once_it_is_known(make: Any, source: Matcher, database: Database) -> None:
    settings = make("first", "second")
    async with running(settings):
        await leave(database, ("first", RESIDENT, "delivered"), ("first", "no-number-of-ours", "failed"))
        await until_looked_at(database, 2)
        assert {"unknown"} == {row[3] for row in await ask(database.dsn(), OUTCOMES)}
        await source.propose("m-1")

        async def known() -> bool:
            return "noted" in {row[3] for row in await ask(database.dsn(), OUTCOMES)}

        await until(known)
    assert [("first", "delivered", 0, "noted"), ("first", "failed", 0, "unknown")] == await ask(database.dsn(), OUTCOMES)


async def test_heard_after_all_ends_the_attempts(make: Any, source: Matcher, sink: Sink, database: Database) -> None:
    settings = make("first", "second").model_copy(update={"webhook_attempts_max": 100, "webhook_backoff_seconds": 30.0, "webhook_backoff_max_seconds": 60.0})
    sink.judge = lambda body, _nth: 503 if body["to"] == "resident" else 200
    async with running(settings):
        await source.propose("m-1")

        async def tried() -> bool:
            return ("resident", "confirmed", "retryable", "first") in await ask(database.dsn(), NOTICES)

        await until(tried)
        await leave(database, ("first", RESIDENT, "delivered"))
        await until_told(settings, "match.confirmed")
    assert (1, [("first", "delivered", 0, "settled")]) == (sink.attempts[RESIDENT], await ask(database.dsn(), OUTCOMES))


async def test_who_heard_what_was_taken_back_hears_that_too(make: Any, source: Matcher, sink: Sink, database: Database) -> None:
    settings = make("first", "second").model_copy(update={"webhook_attempts_max": 100, "webhook_backoff_seconds": 30.0, "webhook_backoff_max_seconds": 60.0})
    sink.judge = lambda body, _nth: 503 if body["kind"] == "confirmed" else 200
    async with running(settings):
        await source.propose("m-1")
        await until(lambda: 2 == len(sink.attempts))
        await source.release("m-1", "withdrawn")

        async def discarded() -> bool:
            return [("discarded", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.notices WHERE kind = 'confirmed' GROUP BY state")

        await until(discarded)
        await leave(database, ("first", RESIDENT, "read"))
        await until(lambda: ("resident", "released", "m-1") in sink.told)
    assert [("first", "read", 0, "taken_back")] == await ask(database.dsn(), OUTCOMES)


@pytest.mark.parametrize(("reads", "channel"), [(True, "first"), (False, "second")])
async def test_nobody_reads_and_the_second_channel_follows(make: Any, source: Matcher, sink: Sink, database: Database, reads: bool, channel: str) -> None:
    settings, clock = make("first", "second", receipts=True), [datetime(2026, 11, 23, 8, tzinfo=UTC)]
    async with running(settings, lambda: clock[0]):
        await source.propose("m-1")

        async def placed() -> bool:
            return [("retryable", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.notices GROUP BY state")

        await until(placed)
        await leave(database, ("first", RESIDENT, "delivered"))
        await until_looked_at(database, 1)
        if reads:
            await leave(database, *[("first", str(notice_key("m-1", party, "confirmed")), "read") for party in ("resident", "volunteer")])
        else:
            clock[0] += timedelta(minutes=11)
            await ask(database.dsn(), "UPDATE notifying.notices SET due_at = now()")  # as much later
        (told,) = await until_told(settings, "match.confirmed")
    assert {channel} == {one["channel"] for one in told["notices"]}
    assert (2 if reads else 4) == len(sink.told)


async def test_the_gateways_own_number_is_as_good_as_the_key(database: Database, make: Any, source: Matcher) -> None:
    settings = make("first", "second")
    async with running(settings):
        await source.propose("m-1")
        await until_told(settings, "match.confirmed")
        await ask(database.dsn(), f"INSERT INTO notifying.handles VALUES ('first', '1024', '{RESIDENT}')")
        await leave(database, ("second", "1024", "failed"), ("first", "1024", "failed"))
        await until_looked_at(database, 2)
    assert [("second", "failed", 0, "unknown"), ("first", "failed", 0, "next_channel")] == await ask(database.dsn(), OUTCOMES)


async def test_only_what_a_receipt_may_be_is_taken(database: Database) -> None:
    for channel, reference, status in (("first", "1", "lost"), ("First!", "1", "read"), ("first", "", "read"), ("first", "x" * 201, "read")):
        with pytest.raises(asyncpg.CheckViolationError):
            await leave(database, (channel, reference, status))
