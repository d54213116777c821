"""The notifier on a real Kafka and a real PostgreSQL, with a real receiver of its webhooks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from deploy.kafka import Kafka
from schemas.codec import check_outgoing, decode
from schemas.instants import parse_rfc3339
from services.notifier import consumers
from services.notifier.book import Book, Delivered, notice_key
from services.notifier.inbox import Inbox
from services.notifier.outbox import outgoing_of
from services.notifier.proposals import Proposal
from services.notifier.settings import Settings
from services.notifier.store import Store
from tests.conftest import Database
from tests.forked import forked
from tests.integration.notifier_rig import (
    LIMIT_SECONDS,
    SLOT,
    TO_COME,
    Matcher,
    Sink,
    ask,
    header,
    matcher,
    receiver,
    records,
    running,
    settings_of,
    until,
)
from tests.integration.vault_rig import door

UNDER_WAY = """
SELECT (SELECT count(*) FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable'))
    + (SELECT count(*) FROM notifying.outbox WHERE published_at IS NULL)
"""


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with receiver() as found:
        yield found


@pytest.fixture
async def source(fresh_topics: Kafka) -> AsyncIterator[Matcher]:
    async with matcher(fresh_topics.bootstrap) as found:
        yield found


@pytest.fixture
def settings(fresh_topics: Kafka, database: Database, sink: Sink) -> Settings:
    return settings_of(fresh_topics.bootstrap, database.dsn("notifier"), sink.url)


Settled = Callable[[int], Awaitable[None]]


@pytest.fixture
def settled(database: Database) -> Settled:
    """Wait until so many events are taken in and nothing is under way any more."""

    async def wait(events: int) -> None:
        async def nothing_left() -> bool:
            taken = await ask(database.dsn(), "SELECT coalesce(sum(next_offset), 0) FROM notifying.partitions")
            return taken[0][0] >= events and (0,) == (await ask(database.dsn(), UNDER_WAY))[0]

        await until(nothing_left)

    return wait


async def confirmations(settings: Settings) -> list[tuple[str, str]]:
    return [(header(one, "ce_type").split(".", 1)[1], header(one, "ce_subject")) for one in await records(settings.kafka, "confirmations")]


async def test_tells_both_sides_and_confirms(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    await source.propose("m-1")
    async with running(settings):
        await settled(1)
    assert {("resident", "confirmed", "m-1"), ("volunteer", "confirmed", "m-1")} == set(sink.told)
    assert 0 == sink.forged
    (record,) = await records(settings.kafka, "confirmations")
    event = decode("confirmations", record.value, record.headers)
    check_outgoing(event.type, event.raw)
    assert (2, b"hightech", "lastmetre/notifier", "m-1") == (record.partition, record.key, event.source, event.subject)
    data = orjson.loads(record.value)
    assert ("building", SLOT, "w-m-1", "o-m-1") == (data["rung"], data["slot"], data["wish_id"], data["offer_id"])
    assert [("resident", "webhook"), ("volunteer", "webhook")] == [(one["to"], one["channel"]) for one in data["notices"]]
    assert "group_id" not in data


async def test_a_repeated_event_has_no_effect(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    for _ in range(3):
        await source.propose("m-1", event_id="same")
    async with running(settings):
        await settled(3)
    await source.propose("m-1", event_id="same")
    async with running(settings):
        await settled(4)
    assert 2 == sum(sink.attempts.values())
    assert [("match.confirmed.v1", "m-1")] == await confirmations(settings)


async def test_waits_until_the_volunteer_agreed(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    async with running(settings):
        await source.propose("m-1", needs_answer=True, expires_at="2026-11-23T20:00:00Z")
        await settled(1)
        assert [("volunteer", "asked", "m-1")] == sink.told
        assert [] == await confirmations(settings)
        await source.send("match.agreed", {"match_id": "m-1", "wish_id": "w-m-1", "offer_id": "o-m-1"})
        await settled(2)
    assert {("resident", "confirmed", "m-1"), ("volunteer", "confirmed", "m-1")} == set(sink.told[1:])
    assert [("match.confirmed.v1", "m-1")] == await confirmations(settings)


async def test_an_invitation_that_has_ended_is_not_sent_any_more(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    about = {"volunteer_ref": "v-1", "category": "repair", "urgency": "red", "rung": "unit", "slot": SLOT}
    async with running(settings, lambda: datetime(2026, 11, 23, 20, tzinfo=UTC)):
        await source.send("helper.invited", {"wish_id": "w-1", "offer_id": "o-1", "expires_at": "2026-11-23T20:00:00Z", **about})
        await settled(1)
    assert ([], []) == (sink.told, list(sink.attempts))


async def test_the_invited_and_the_workers_desk_are_told_once(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    slot = {"volunteer_ref": "v-1", "category": "repair", "urgency": "red", "rung": "unit", "slot": SLOT}
    async with running(settings):
        await source.send("helper.invited", {"wish_id": "w-1", "offer_id": "o-1", "expires_at": "2126-11-24T20:00:00Z", **slot})
        await source.send("wish.widened", {"wish_id": "w-1", "reach": "compound"})
        await settled(2)
        await source.send("wish.widened", {"wish_id": "w-1", "reach": "area"})
        await source.send("wish.unmet", {"wish_id": "w-1", "need": {"skills": ["nursing"], "vetting": 0, "rung": "area"}})
        await settled(4)
    assert [("volunteer", "invited", None), ("worker", "unmet", None), ("worker", "widened", None)] == sorted(sink.told)
    assert 3 == sum(sink.attempts.values())


async def test_a_group_is_told_and_confirmed_together(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    async with running(settings):
        await source.propose("m-1", group_id="g-1", group_size=2)
        await settled(1)
        assert [] == sink.told
        await source.propose("m-2", group_id="g-1", group_size=2)
        await settled(2)
    assert {("match.confirmed.v1", "m-1"), ("match.confirmed.v1", "m-2")} == set(await confirmations(settings))
    assert {"g-1"} == {orjson.loads(one.value)["group_id"] for one in await records(settings.kafka, "confirmations")}


async def test_a_group_falls_with_the_one_who_cannot_be_told(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    sink.judge = lambda body, _nth: 410 if body["ref"] == "v-m-2" else 200
    async with running(settings):
        await source.propose("m-1", group_id="g-1", group_size=2)
        await source.propose("m-2", group_id="g-1", group_size=2)
        await settled(2)
        assert [("confirmation.failed.v1", "m-2")] == await confirmations(settings)
        told = {(to, match_id) for to, _, match_id in sink.told}
        await source.release("m-1", "group_incomplete")
        await source.release("m-2", "undeliverable")
        await settled(4)
    assert told == {(to, match_id) for to, kind, match_id in sink.told if kind == "released"}


async def test_a_resident_of_whose_two_helpers_one_is_off_hears_that_the_other_comes(
    settings: Settings, source: Matcher, settled: Settled, database: Database
) -> None:
    about = {"wish_id": "w-1", "resident_ref": "r-1"}
    async with running(settings):
        for match_id in ("m-1", "m-2"):
            await source.propose(match_id, **about)
        await settled(2)
        await source.release("m-1", "declined", wish_id="w-1")
        await settled(3)
    told = dict(await ask(database.dsn(), "SELECT party, text FROM notifying.notices WHERE kind = 'released'"))
    assert ("其他约好的志愿者不变" in told["resident"], "已为您取消" in told["volunteer"]) == (True, True)


async def test_a_match_released_before_it_was_told_is_never_confirmed(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, database: Database
) -> None:
    sink.judge = lambda _body, _nth: 429
    async with running(settings.model_copy(update={"webhook_attempts_max": 100})):
        await source.propose("m-1")
        await until(lambda: 2 == len(sink.attempts))
        await source.release("m-1", "withdrawn")
        await settled(2)
    assert [] == await confirmations(settings)
    assert [("discarded", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.notices GROUP BY state")


async def test_those_who_may_have_heard_are_told_of_the_release_although_no_answer_was_clear(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, database: Database
) -> None:
    sink.judge = lambda body, _nth: 503 if body["kind"] == "confirmed" else 200
    async with running(settings.model_copy(update={"webhook_attempts_max": 100})):
        await source.propose("m-1")
        await until(lambda: 2 == len(sink.attempts))
        await source.release("m-1", "withdrawn")
        await settled(2)
    assert [] == await confirmations(settings)
    assert {("resident", "released", "m-1"), ("volunteer", "released", "m-1")} == set(sink.told)
    assert [("discarded", 2), ("sent", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.notices GROUP BY state ORDER BY state")


async def test_those_who_may_have_heard_are_told_of_the_release_although_the_last_answer_was_not_now(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled
) -> None:
    sink.judge = lambda body, nth: 200 if body["kind"] == "released" else 503 if nth == 1 else 429
    async with running(settings.model_copy(update={"webhook_attempts_max": 100})):
        await source.propose("m-1")
        await until(lambda: [True] * 2 == [times > 2 for times in sink.attempts.values()])
        await source.release("m-1", "withdrawn")
        await settled(2)
    assert {("resident", "released", "m-1"), ("volunteer", "released", "m-1")} == set(sink.told)


@pytest.mark.parametrize("died", [False, True])
async def test_while_a_receiver_is_away_nobody_can_have_heard_unless_a_sender_died(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, database: Database, died: bool
) -> None:
    away = settings.model_copy(update={"webhook_attempts_max": 100, "channel": SecretStr("http://127.0.0.1:1/notices")})

    async def tried(attempts: int) -> None:
        found = f"SELECT count(*) FROM notifying.notices WHERE state = 'retryable' AND attempts >= {attempts} AND fault = 'no_connection'"
        await until(lambda: _is(database, found, 2))

    async def released() -> None:
        await source.release("m-1", "withdrawn")
        await until(lambda: _is(database, "SELECT count(*) FROM notifying.confirmations WHERE state = 'released'", 1))

    await source.propose("m-1")
    async with running(away):
        await tried(1)
        if not died:
            await released()
    if died:
        await ask(database.dsn(), "UPDATE notifying.notices SET state = 'leased', fault = NULL")  # with both in hand
        async with running(away):
            await tried(1)
            await released()
    async with running(settings):
        await settled(2)
    assert ([("resident", "released", "m-1"), ("volunteer", "released", "m-1")] if died else []) == sorted(sink.told)


async def _is(database: Database, query: str, expected: int) -> bool:
    return [(expected,)] == await ask(database.dsn(), query)


async def test_those_who_were_told_hear_of_the_release(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    async with running(settings):
        await source.propose("m-1")
        await settled(1)
        await source.release("m-1", "unsafe")
        await settled(2)
    assert {("resident", "released", "m-1"), ("volunteer", "released", "m-1")} == set(sink.told[2:])


@pytest.mark.parametrize("trouble", [500, 429, 408, None])
async def test_a_receiver_that_recovers_gets_the_same_notice_under_the_same_key(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, trouble: int | None
) -> None:
    sink.judge = lambda _body, nth: trouble if nth < 3 else 200
    async with running(settings):
        await source.propose("m-1")
        await settled(1)
    assert [3, 3] == list(sink.attempts.values())
    assert [1, 1] == [len(bodies) for bodies in sink.bodies.values()]
    assert [("match.confirmed.v1", "m-1")] == await confirmations(settings)


@pytest.mark.parametrize(("status", "attempts", "reason"), [(404, 1, "refused"), (500, 5, "http_server_error"), (503, 10, "http_server_error")])
async def test_what_cannot_be_delivered_fails_the_confirmation(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, status: int, attempts: int, reason: str
) -> None:
    sink.judge = lambda body, _nth: status if body["to"] == "volunteer" else 200
    async with running(settings):
        await source.propose("m-1")
        await settled(1)
    assert [attempts, 1] == sorted(sink.attempts.values(), reverse=True)
    (record,) = await records(settings.kafka, "confirmations")
    assert {"area": "hightech", "match_id": "m-1", "wish_id": "w-m-1", "offer_id": "o-m-1", "reason": reason} == orjson.loads(record.value)
    assert reason == decode(record.topic, record.value, record.headers).data.reason, "the matcher can read it"


async def test_what_a_channel_held_back_until_the_visit_was_over_is_not_said_as_if_it_were_to_come(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, database: Database
) -> None:
    now, over = [datetime(2026, 11, 24, 8, tzinfo=UTC)], datetime(2026, 11, 24, 12, tzinfo=UTC)
    # Whom the channel holds back meanwhile, and with what: 429 tells clearly that nobody has heard, 503 does not.
    held = {"v-m-1": 429, "r-m-2": 429, "r-m-3": 429, "v-m-3": 429, "v-m-4": 503}
    sink.judge = lambda body, _nth: held.get(body["ref"], 200) if now[0] < over else 200
    texts = "SELECT ref, kind FROM notifying.notices WHERE state = 'sent' ORDER BY ref, kind"
    async with running(settings.model_copy(update={"webhook_attempts_max": 10_000}), lambda: now[0]):
        for number in range(1, 5):
            await source.propose(f"m-{number}")
        await until(lambda: sum(sink.accepted.values()) == 3 and len(sink.attempts) == 8)
        now[0] = over
        await settled(4)
    assert sorted(await confirmations(settings)) == [
        ("confirmation.failed.v1", "m-1"), ("confirmation.failed.v1", "m-3"), ("match.closed.v1", "m-1"), ("match.closed.v1", "m-3"),
        ("match.confirmed.v1", "m-2"), ("match.confirmed.v1", "m-4"),
    ]  # fmt: skip
    # Who waited hears that nobody was sent; where the helper knew, the resident hears of it late; what may have been heard is said as it was.
    assert [
        ("r-m-1", "confirmed"), ("r-m-1", "released"), ("r-m-2", "confirmed"), ("r-m-4", "confirmed"), ("v-m-2", "confirmed"), ("v-m-4", "confirmed"),
    ] == await ask(database.dsn(), texts)  # fmt: skip
    said = {key: {orjson.loads(body)["text"] for body in bodies} for key, bodies in sink.bodies.items() if sink.accepted[key]}
    words = ["没能及时通知到双方", "这条消息来迟了"]
    assert [1, 1] == [sum(word in text for one in said.values() for text in one) for word in words]
    assert 1 == len(said[str(notice_key("m-4", "volunteer", "confirmed"))])
    ends = [orjson.loads(one.value) for one in await records(settings.kafka, "confirmations")]
    assert {"too_late"} == {one["reason"] for one in ends if "reason" in one}
    assert {("not_done", 0, "default")} == {(one["outcome"], one["minutes"], one["by"]) for one in ends if "outcome" in one}


async def test_who_could_not_be_told_while_there_was_time_is_given_up_while_the_matcher_can_find_another(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, database: Database
) -> None:
    now = [datetime(2026, 11, 24, 8, tzinfo=UTC)]
    sink.judge = lambda body, _nth: 429
    async with running(settings.model_copy(update={"webhook_attempts_max": 10_000}), lambda: now[0]):
        await source.propose("m-1")
        await source.propose("m-2", needs_answer=True, expires_at="2026-11-24T08:55:00Z")
        await until(lambda: len(sink.attempts) == 3)
        now[0] = datetime(2026, 11, 24, 8, 56, tzinfo=UTC)
        await settled(2)
    assert [("confirmation.failed.v1", "m-1"), ("confirmation.failed.v1", "m-2")] == sorted(await confirmations(settings))
    assert [] == sink.told
    assert [("failed", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.confirmations GROUP BY state")


async def test_an_expired_wish_is_told_once(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    async with running(settings):
        await source.propose("m-1", needs_approval=True)
        await source.send("wish.expired", {"wish_id": "w-m-1", "filled": 0})
        await source.send("wish.expired", {"wish_id": "w-m-1", "filled": 0})
        await source.send("wish.expired", {"wish_id": "w-unknown", "filled": 0})
        await settled(4)
    assert [("resident", "expired", None)] == sink.told


async def test_bad_events_go_to_the_dead_letters_and_their_neighbours_are_told(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    await source.propose("m-1")
    await source.raw(b"\xff not json", [("ce_id", b"x"), ("mine", b"kept")])
    await source.send("match.proposed", {"match_id": "m-x"})
    await source.raw(None, [])
    await source.send("match.proposed", {"match_id": "m-x", "note": "call 13812345678"})
    await source.propose("m-2")
    async with running(settings):
        await settled(6)
    dead = sorted(await records(settings.kafka, "matches-dlq"), key=lambda one: int(header(one, "dlq-offset")))
    assert ["1", "2", "3", "4"] == [header(one, "dlq-offset") for one in dead]
    assert [("matches", "2")] * 4 == [(header(one, "dlq-topic"), header(one, "dlq-partition")) for one in dead]
    assert (b"\xff not json", "kept") == (dead[0].value, header(dead[0], "mine"))
    assert ("missing_field", "null_value") == (header(dead[1], "dlq-reason"), header(dead[2], "dlq-reason"))
    assert b"13812345678" not in dead[3].value
    assert {("match.confirmed.v1", "m-1"), ("match.confirmed.v1", "m-2")} == set(await confirmations(settings))


async def test_a_proposal_that_the_matcher_did_not_write_has_no_effect(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    forger = Matcher(source.producer, source=f"{source.source}/", _ids=100)
    await source.propose("m-1", needs_approval=True)
    await forger.propose("m-2", time_text="2027-11-23T08:00:00Z")
    await forger.send("match.agreed", {"match_id": "m-1", "wish_id": "w-m-1", "offer_id": "o-m-1"})
    await forger.send("match.released", {"match_id": "m-3", "wish_id": "w-m-3", "offer_id": "o-m-3", "reason": "unsafe"}, event_id="e-5")
    await source.send("match.released", {"match_id": "m-4", "wish_id": "w-m-4", "offer_id": "o-m-4", "reason": "unsafe"}, event_id="e-5")
    await source.propose("m-5")
    async with running(settings.model_copy(update={"clock": "event"})) as notifier:
        await settled(6)
        assert 3 == notifier.metrics.registry.get_sample_value("lastmetre_notifier_events_total", {"type": "foreign", "outcome": "not_the_matchers"})
    assert {("resident", "confirmed", "m-5"), ("volunteer", "confirmed", "m-5")} == set(sink.told)
    assert [("m-1", "proposed"), ("m-5", "confirmed")] == await ask(
        settings.database.get_secret_value(), "SELECT match_id, state FROM notifying.confirmations ORDER BY match_id"
    )
    (confirmed,) = await records(settings.kafka, "confirmations")
    assert "2026-11-23T08:00:00Z" == header(confirmed, "ce_time")
    assert [] == await records(settings.kafka, "matches-dlq")


async def test_an_event_on_which_the_work_fails_is_set_aside_alone(
    settings: Settings, source: Matcher, sink: Sink, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Book.take

    def failing(self: Book, event: Any, partition: int) -> str:
        if event.data.match_id == "m-3":
            raise ZeroDivisionError
        return whole(self, event, partition)

    monkeypatch.setattr(Book, "take", failing)
    for number in range(7):
        await source.propose(f"m-{number}")
    async with running(settings):
        await settled(7)
    (dead,) = await records(settings.kafka, "matches-dlq")
    assert ("decision_failed", "3") == (header(dead, "dlq-reason"), header(dead, "dlq-offset"))
    assert {f"m-{n}" for n in range(7)} - {"m-3"} == {match_id for _, match_id in await confirmations(settings)}


async def test_no_event_is_to_blame_for_a_database_that_is_prepared_otherwise(
    settings: Settings, source: Matcher, settled: Settled, database: Database
) -> None:
    await ask(database.dsn(), "ALTER TABLE notifying.confirmations RENAME TO confirmations_of_another_version")
    await source.propose("m-1")
    async with running(settings) as notifier:
        await until(lambda: bool(notifier.metrics.registry.get_sample_value("lastmetre_notifier_faults_total", {"loop": "inbox"})))
        await ask(database.dsn(), "ALTER TABLE notifying.confirmations_of_another_version RENAME TO confirmations")
        await settled(1)
    assert ([], {"m-1"}) == (await records(settings.kafka, "matches-dlq"), {match_id for _, match_id in await confirmations(settings)})


async def test_a_result_that_cannot_be_written_keeps_no_other_from_it(settings: Settings, source: Matcher, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Book.settle

    def failing(self: Book, results: Any) -> Any:
        results = list(results)
        if any(result.notice.match_id == "m-3" for result in results):
            raise ZeroDivisionError
        return whole(self, results)

    monkeypatch.setattr(Book, "settle", failing)
    for number in range(7):
        await source.propose(f"m-{number}")

    async def six() -> bool:
        return 6 == len(await confirmations(settings))

    async with running(settings):
        await until(six)
    assert [1] * 14 == list(sink.attempts.values()), "nobody is told again for another's sake"


async def test_by_event_time_the_clock_is_the_latest_event_of_the_area(settings: Settings, source: Matcher, settled: Settled) -> None:
    by_event = settings.model_copy(update={"clock": "event"})
    async with running(by_event):
        await source.propose("m-1", time_text="2026-01-05T09:00:00Z")
        await settled(1)
    async with running(by_event):  # a restart goes on at the same time
        await source.propose("m-2", time_text="2026-01-05T08:00:00Z")
        await settled(2)
    found = [orjson.loads(one.value) for one in await records(settings.kafka, "confirmations")]
    assert ["2026-01-05T09:00:00Z"] * 2 == [one["confirmed_at"] for one in found]
    assert {"2026-01-05T09:00:00Z"} == {notice["at"] for one in found for notice in one["notices"]}
    assert parse_rfc3339("2026-01-05T09:00:00Z") == parse_rfc3339(header((await records(settings.kafka, "confirmations"))[0], "ce_time"))


async def test_the_console_needs_no_receiver(settings: Settings, source: Matcher, settled: Settled) -> None:
    await source.propose("m-1")
    async with running(settings.model_copy(update={"channel": type(settings.channel)("console")})):
        await settled(1)
    (record,) = await records(settings.kafka, "confirmations")
    assert {"console"} == {one["channel"] for one in orjson.loads(record.value)["notices"]}


async def test_the_usual_course_writes_what_its_parts_would(database: Database) -> None:
    def rows_of(name: str) -> str:
        return f"""
            SELECT to_jsonb(c) - 'changed_at' AS row FROM notifying.confirmations c WHERE match_id = '{name}'
            UNION ALL (SELECT to_jsonb(n) - ARRAY['key', 'due_at'] FROM notifying.notices n WHERE match_id = '{name}' ORDER BY party)
            UNION ALL (SELECT to_jsonb(n.due_at > clock_timestamp()) FROM notifying.notices n WHERE match_id = '{name}' ORDER BY party)
            UNION ALL SELECT to_jsonb(o) - ARRAY['id', 'place', 'headers', 'value'] FROM notifying.outbox o WHERE convert_from(value, 'UTF8') LIKE '%"{name}"%'
            UNION ALL SELECT convert_from(value, 'UTF8')::jsonb FROM notifying.outbox o WHERE convert_from(value, 'UTF8') LIKE '%"{name}"%'
            UNION ALL SELECT (convert_from(headers, 'UTF8')::jsonb) - 4 FROM notifying.outbox o WHERE convert_from(value, 'UTF8') LIKE '%"{name}"%'
        """

    async def same(rows: int) -> bool:
        usual, parts = [[row[0] for row in await ask(database.dsn(), rows_of(name))] for name in ("m-1", "m-2")]
        return rows == len(usual) and usual == [row.replace("m-2", "m-1") for row in parts]

    store, book, at = await Store.connect(database.dsn("notifier")), Book(), "2026-11-23T08:00:00Z"
    for name in ("m-1", "m-2"):
        ids = (name, f"w-{name}", f"o-{name}", f"r-{name}", f"v-{name}")
        slot = (SLOT["start"], SLOT["end"])
        event: Any = SimpleNamespace(data=Proposal("hightech", *ids, "repair", "building", slot, None, None, "第一党支部", "red", True, False, False, None))
        book.take(event, 2)
    notices = list(book.new_notices.values())
    for notice in notices:
        notice.state = "leased"
    usual, parts = book.matches.values()
    async with store.unit() as unit:
        await unit.tell_both([usual], 30.0)
        await unit.write_matches([parts])
        await unit.write_notices(parts.notices.values(), 30.0)
    assert await same(5)
    for notice in notices:
        notice.attempts = 1
    ends = book.settle([Delivered(notice, "sent", at, "console") for notice in notices])
    first, second = (outgoing_of(end, at) for end in ends)
    async with store.unit() as unit:
        await unit.confirm_both([usual], [first])
        await unit.change_notices(parts.notices.values())
        await unit.change_matches([parts])
        await unit.write_outbox([second])
    await store.close()
    assert await same(8)
    assert [("confirmed", 2)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.confirmations GROUP BY state")
    assert [("sent", 4)] == await ask(database.dsn(), "SELECT state, count(*) FROM notifying.notices GROUP BY state")


async def test_a_stale_epoch_changes_nothing(settings: Settings, source: Matcher, sink: Sink, database: Database, settled: Settled) -> None:
    sink.judge = lambda _body, _nth: None
    slow = settings.model_copy(update={"webhook_timeout_seconds": 5.0})
    async with running(slow) as zombie:
        await source.propose("m-1")
        await until(lambda: 2 == len(sink.attempts))
        store = await Store.connect(database.dsn("notifier"))
        taken = await store.take_over(2)  # as another process would
        before = await ask(database.dsn(), "SELECT * FROM notifying.notices ORDER BY key")
        await source.propose("m-2")
        sink.judge = lambda _body, _nth: 200
        sink.release.set()  # the zombie's attempts come back
        await until(lambda: 2 not in zombie.lanes)
        assert (taken.epoch, 1) == (await ask(database.dsn(), "SELECT epoch, next_offset FROM notifying.partitions WHERE partition = 2"))[0]
        assert before == await ask(database.dsn(), "SELECT * FROM notifying.notices ORDER BY key")
        await store.close()
        await settled(2)  # nobody else is there after all: it takes the partition over again
    assert {("match.confirmed.v1", "m-1"), ("match.confirmed.v1", "m-2")} == set(await confirmations(settings))


async def test_kill_9_in_the_middle_leaves_one_effect_a_key(settings: Settings, source: Matcher, sink: Sink, settled: Settled) -> None:
    source.slot = TO_COME
    matches = [f"m-{number}" for number in range(300)]
    sink.judge = lambda body, nth: 503 if nth == 1 and hash(body["ref"]) % 5 == 0 else 200
    for match_id in matches:
        await source.propose(match_id)
    for share in (50, 200, 400):
        async with forked(settings) as child:
            await until(lambda share=share: share <= len(sink.accepted))  # type: ignore[misc]
            child.kill()
            await child.wait()
            assert len(sink.accepted) < 600, "the kill came too late to be in the middle"
    async with forked(settings) as child:
        await settled(300)
        child.terminate()
        assert 0 == await child.wait()
    assert 600 == len(sink.accepted)
    assert {1} == {len(bodies) for bodies in sink.bodies.values()}
    found = await records(settings.kafka, "confirmations")
    assert set(matches) == {header(one, "ce_subject") for one in found}
    by_id: dict[str, set[bytes]] = {}
    for one in found:
        by_id.setdefault(header(one, "ce_id"), set()).add(one.value)
    assert [1] * 300 == [len(values) for values in by_id.values()]


async def test_two_processes_share_the_partitions_and_one_takes_over(
    settings: Settings, source: Matcher, sink: Sink, database: Database, settled: Settled
) -> None:
    source.slot = TO_COME
    async with forked(settings) as first:
        await source.propose("m-0")
        await settled(1)
        async with forked(settings):
            for partition in range(6):
                source.partition = partition
                for number in range(20):
                    await source.propose(f"m-{partition}-{number}")
            await until(lambda: len(sink.accepted) > 30)
            first.kill()
            await first.wait()
            await settled(121)
    assert 242 == len(sink.accepted)
    found = await records(settings.kafka, "confirmations")
    assert 121 == len({header(one, "ce_subject") for one in found})


async def test_a_notifier_that_alone_is_cut_off_from_its_database_leaves_its_partitions_to_another_until_it_is_back(
    settings: Settings, source: Matcher, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CUT_OFF_SECONDS", 0.2)
    source.slot = TO_COME
    async with door(settings.database.get_secret_value()) as way, running(settings.model_copy(update={"database": SecretStr(way.dsn)})) as lonely:
        await until(lambda: len(lonely.lanes.owned) == 6)
        async with running(settings) as healthy:
            await until(lambda: len(lonely.lanes.owned) == len(healthy.lanes.owned) == 3)
            await way.shut()
            for partition in range(6):
                source.partition = partition
                await source.propose(f"m-{partition}")
            await settled(6)
            assert (set(), set(range(6))) == (set(lonely.lanes.owned), set(healthy.lanes.owned))
            await way.open()
            await until(lambda: len(lonely.lanes.owned) == 3)


async def test_a_group_that_is_dealt_out_anew_while_a_log_is_looked_at_goes_on(
    settings: Settings, source: Matcher, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):  # more than are looked at in one step
        await source.propose(f"m-{number}")
    async with running(settings):
        await settled(30)
    looking, dealing = asyncio.Event(), asyncio.Event()
    revoked = Inbox.on_partitions_revoked

    async def cannot_tell(_inbox: Inbox, records: Sequence[Any]) -> list[bool | None]:
        looking.set()
        async with asyncio.timeout(LIMIT_SECONDS):  # not for good, or what goes wrong before it is never told: the notifier waits for this as it stops
            await dealing.wait()
        return [None] * len(records)

    async def on_partitions_revoked(inbox: Inbox, partitions: Collection[TopicPartition]) -> None:
        # While the client says this, partitions are being dealt out: that may be over before anybody who asks now and then has seen it.
        if partitions:
            dealing.set()
        await revoked(inbox, partitions)

    monkeypatch.setattr(Inbox, "_were_read", cannot_tell)
    monkeypatch.setattr(Inbox, "on_partitions_revoked", on_partitions_revoked)
    async with running(settings):
        async with asyncio.timeout(LIMIT_SECONDS):
            await looking.wait()
        async with running(settings):
            await until(dealing.is_set)
            await source.propose("m-30")
            await settled(31)


async def test_a_notifier_that_stood_still_says_nothing_that_another_has_taken_back_meanwhile(
    settings: Settings, source: Matcher, sink: Sink, database: Database, settled: Settled
) -> None:
    source.slot = TO_COME
    epochs = "SELECT sum(epoch)::int FROM notifying.partitions"
    sink.judge = lambda _body, _nth: None if 1 == sum(sink.attempts.values()) else 200
    async with forked(settings.model_copy(update={"webhook_concurrency": 1, "webhook_timeout_seconds": 60.0})) as still:
        await source.propose("m-0")
        await until(lambda: 1 == len(sink.attempts))
        await source.propose("m-1")
        await until(lambda: _is(database, "SELECT count(*) FROM notifying.notices WHERE state = 'leased'", 4))
        still.send_signal(signal.SIGSTOP)
        await source.release("m-1", "withdrawn")
        async with running(settings):
            await settled(3)
            told = list(sink.told)
            before = (await ask(database.dsn(), epochs))[0][0]
            sink.release.set()
            still.send_signal(signal.SIGCONT)
            await until(lambda: _is(database, f"SELECT (({epochs}) > {before})::int", 1))
    assert {("volunteer", "released", "m-1"), ("resident", "released", "m-1")} < set(told)
    assert told == sink.told


async def test_a_database_that_goes_away_is_waited_for(settings: Settings, source: Matcher, sink: Sink, database: Database, settled: Settled) -> None:
    async with running(settings):
        for number in range(40):
            await source.propose(f"m-{number}")
            if number % 10 == 5:
                await ask(
                    database.server.owner_dsn("postgres"),
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lastmetre-notifier'",
                )
            await asyncio.sleep(0)
        await settled(40)
    assert 80 == len(sink.accepted)
    assert 40 == len({match_id for _, match_id in await confirmations(settings)})
