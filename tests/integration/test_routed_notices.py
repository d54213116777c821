"""The notifier with several channels and a directory, on a real Kafka and a real PostgreSQL: whom it reaches how, when, and how often."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from deploy.kafka import Kafka
from services.notifier.notices import text_for_worker
from services.notifier.settings import Settings
from tests.conftest import Database
from tests.integration.channel_rig import Gateway, gateway
from tests.integration.notifier_rig import SECRET, SLOT, Matcher, ask, matcher, records, running, settings_of, until

NUMBER = "13812345678"
LATE = datetime(2026, 11, 23, 15, tzinfo=UTC)  # 23:00 in China; the visits of the rig begin at 16:00 on the next day
UNDER_WAY = "SELECT count(*) FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable')"
PEOPLE = """
[default]
channels = ["sms"]
addresses = { sms = "13812345678", voice = "13812345678" }
"""


class Clock:
    """The time that quiet hours and days go by."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def first() -> AsyncIterator[Gateway]:
    async with gateway() as found:
        yield found


@pytest.fixture
async def other() -> AsyncIterator[Gateway]:
    async with gateway() as found:
        yield found


@pytest.fixture
async def source(fresh_topics: Kafka) -> AsyncIterator[Matcher]:
    async with matcher(fresh_topics.bootstrap) as found:
        yield found


Make = Callable[..., Settings]


@pytest.fixture
def make(fresh_topics: Kafka, database: Database, first: Gateway, other: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Settings with four channels (`sms` and `voice` behind one gateway, `pager` behind another, `app`) and these people."""
    monkeypatch.setenv("A_SECRET", SECRET)
    usual = {"type": "sms", "secret_env": "A_SECRET", "timeout_seconds": 0.5, "codes_later": ["BUSY"]}
    channels = {
        "sms": usual | {"url": f"{first.base}/sms"},
        "voice": usual | {"url": f"{first.base}/voice"},
        "pager": {"type": "webhook", "url": f"{other.base}/pager", "secret_env": "A_SECRET", "timeout_seconds": 0.5},
        "app": {"type": "app"},
    }

    def made(people: str, **more: Any) -> Settings:
        file = tmp_path / "people.toml"
        file.write_text(people, encoding="utf-8")
        named = SecretStr(json.dumps(channels))
        return settings_of(fresh_topics.bootstrap, database.dsn("notifier"), "console", channels=named, directory=file, **more)

    return made


@pytest.fixture
def settled(database: Database) -> Callable[[int], Awaitable[None]]:
    async def wait(events: int) -> None:
        async def nothing_left() -> bool:
            taken = await ask(database.dsn(), "SELECT coalesce(sum(next_offset), 0)::int FROM notifying.partitions")
            return taken[0][0] >= events and (0,) == (await ask(database.dsn(), UNDER_WAY))[0]

        await until(nothing_left)

    return wait


Settled = Callable[[int], Awaitable[None]]


async def channels_of_confirmations(settings: Settings) -> list[str]:
    found: list[str] = []

    async def published() -> bool:
        found[:] = [notice["channel"] for one in await records(settings.kafka, "confirmations") for notice in orjson.loads(one.value).get("notices", [])]
        return bool(found)

    await until(published)
    return found


async def test_a_confirmation_names_the_channel_that_delivered(make: Make, source: Matcher, first: Gateway, settled: Settled) -> None:
    settings = make(PEOPLE + '[people."v-m-1"]\nchannels = ["pager"]\n')
    await source.propose("m-1")
    async with running(settings):
        await settled(1)
        assert ["sms", "pager"] == await channels_of_confirmations(settings)
    assert [1] == list(first.effects.values())


async def both_hear_by_voice(make: Make, source: Matcher, settled: Settled, **more: Any) -> None:
    """A match is proposed, and its people are told by the channel behind the text message."""
    settings = make(PEOPLE.replace('["sms"]', '["sms", "voice"]'), **more)
    await source.propose("m-1")
    async with running(settings):
        await settled(1)
        assert ["voice", "voice"] == await channels_of_confirmations(settings)


async def test_the_second_channel_of_one_system_gets_a_key_of_its_own_after_a_refusal(make: Make, source: Matcher, first: Gateway, settled: Settled) -> None:
    first.judge = lambda seen, _nth: {"code": "BLACKLISTED"} if seen.path == "/sms" else 200
    await both_hear_by_voice(make, source, settled)
    assert [":voice"] * 2 == [key[36:] for key in first.effects]
    assert [1, 1] == list(first.effects.values())


async def test_after_an_answer_that_never_came_the_second_channel_keeps_the_key(make: Make, source: Matcher, first: Gateway, settled: Settled) -> None:
    def judge(seen: Any, _nth: int) -> int | None:
        return None if seen.path == "/sms" else 200

    first.judge = judge
    await both_hear_by_voice(make, source, settled, webhook_attempts_max=2)
    assert [36, 36] == [len(key) for key in first.effects]
    assert 2 == len({one.headers["idempotency-key"] for one in first.seen})


@pytest.mark.parametrize("then", [429, {"code": "BUSY"}])
async def test_not_now_after_an_answer_that_never_came_does_not_make_a_second_channel_of_one_system_tell_it_twice(
    make: Make, source: Matcher, first: Gateway, settled: Settled, then: Any
) -> None:
    def judge(seen: Any, nth: int) -> Any:
        if seen.path == "/sms" and nth > 2:
            return then
        if seen.path == "/sms":
            first._happens(seen)  # it has told them, and its answer gets lost
        return None if seen.path == "/sms" else 200

    first.judge = judge
    await both_hear_by_voice(make, source, settled, webhook_attempts_max=2)
    assert [36, 36] == [len(key) for key in first.effects]
    assert [1, 1] == list(first.effects.values())


async def test_a_match_fails_only_when_every_channel_of_one_side_is_exhausted(
    make: Make, source: Matcher, first: Gateway, other: Gateway, settled: Settled, database: Database
) -> None:
    first.judge = lambda _seen, _nth: 503
    other.judge = lambda _seen, _nth: 410
    settings = make(PEOPLE.replace('["sms"]', '["sms", "pager"]'), webhook_attempts_max=3)
    await source.propose("m-1")
    async with running(settings):
        await settled(1)
    assert 1 <= len(other.seen) <= 2
    assert ("failed",) == (await ask(database.dsn(), "SELECT state FROM notifying.confirmations"))[0]
    dead = await ask(database.dsn(), "SELECT channel, fault, attempts FROM notifying.notices WHERE state = 'dead'")
    assert ("pager", "refused", 4) == dead[0]


async def test_what_nobody_reads_in_the_app_goes_to_the_second_channel(
    make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database
) -> None:
    settings = make(PEOPLE.replace('["sms"]', '["app", "sms"]'), read_minutes=0.01)
    await source.propose("m-1")
    async with running(settings):
        await settled(1)
        assert ["sms", "sms"] == await channels_of_confirmations(settings)
    assert (2,) == (await ask(database.dsn(), "SELECT count(*) FROM notifying.app_inbox"))[0]
    assert {str(key) for (key,) in await ask(database.dsn(), "SELECT key FROM notifying.app_inbox")} == set(first.effects)


async def test_what_is_read_in_the_app_goes_nowhere_else(make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database) -> None:
    settings = make(PEOPLE.replace('["sms"]', '["app", "sms"]'), read_minutes=0.05)
    await source.propose("m-1")
    async with running(settings):
        await until(lambda: _count(database, 2))
        await ask(database.dsn(), "UPDATE notifying.app_inbox SET read_at = clock_timestamp()")
        await settled(1)
        assert ["app", "app"] == await channels_of_confirmations(settings)
    assert [] == first.seen


async def _count(database: Database, wanted: int) -> bool:
    return (wanted,) == (await ask(database.dsn(), "SELECT count(*) FROM notifying.app_inbox"))[0]


async def test_a_notice_waits_for_the_morning_and_a_red_one_does_not(make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database) -> None:
    clock = Clock(LATE)
    settings = make(PEOPLE + 'quiet = "22:00-07:00"\n')
    await source.propose("m-red", urgency="red")
    await source.propose("m-blue", urgency="blue")
    async with running(settings, clock):
        await until(lambda: _waiting(database, "quiet_hours", 2))
        assert 2 == len(first.effects)
        clock.now = LATE + timedelta(hours=6)  # 05:00, and the visit begins in eleven hours
        await ask(database.dsn(), "UPDATE notifying.notices SET due_at = clock_timestamp() WHERE fault = 'quiet_hours'")
        await until(lambda: _put_off(database, 2))
        assert 2 == len(first.effects)
        clock.now = LATE + timedelta(hours=8, minutes=1)
        await ask(database.dsn(), "UPDATE notifying.notices SET due_at = clock_timestamp() WHERE fault = 'quiet_hours'")  # an hour at most, else
        await settled(2)
    assert 4 == len(first.effects)


async def _waiting(database: Database, fault: str, wanted: int) -> bool:
    found = await ask(database.dsn(), f"SELECT count(*) FROM notifying.notices WHERE state = 'retryable' AND fault = '{fault}'")
    return (wanted,) == found[0]


async def _put_off(database: Database, wanted: int) -> bool:
    found = await ask(database.dsn(), "SELECT count(*) FROM notifying.notices WHERE state = 'retryable' AND due_at > clock_timestamp() + interval '1 minute'")
    return (wanted,) == found[0]


async def test_a_confirmation_that_waits_is_taken_back_with_its_match(
    make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database
) -> None:
    settings = make(PEOPLE + 'quiet = "22:00-07:00"\n', urgent_hours=1)
    await source.propose("m-1", urgency="blue")
    async with running(settings, Clock(LATE)):
        await until(lambda: _waiting(database, "quiet_hours", 2))
        await source.release("m-1", "withdrawn")
        await settled(2)
    assert [] == first.seen


async def test_beyond_the_number_a_day_only_what_must_be_told_comes(make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database) -> None:
    clock = Clock(LATE - timedelta(hours=10))
    settings = make(PEOPLE + '[people."r-m-1"]\nbudget = 1\n')
    await source.propose("m-1")
    async with running(settings, clock):
        await settled(1)
        assert [("r-m-1", 1)] == await ask(database.dsn(), "SELECT ref, notices FROM notifying.told")
        await source.release("m-1", "unsafe")
        await settled(2)
        assert 4 == len(first.effects)
        await source.send("wish.expired", {"wish_id": "w-m-1", "filled": 0})
        await until(lambda: _waiting(database, "over_budget", 1))
        assert 4 == len(first.effects)
        clock.now += timedelta(days=1)
        await ask(database.dsn(), "UPDATE notifying.notices SET due_at = clock_timestamp() WHERE fault = 'over_budget'")
        await settled(3)
    assert 5 == len(first.effects)
    assert [(2,), (1,)] == await ask(database.dsn(), "SELECT notices FROM notifying.told ORDER BY day")


async def test_who_would_be_called_off_in_the_same_breath_is_not_told_to_come(make: Make, source: Matcher, first: Gateway, settled: Settled) -> None:
    settings = make('[default]\nchannels = ["sms"]\naddresses = { sms = "13812345678" }\n[people."r-m-1"]\nchannels = ["voice"]\n')
    await source.propose("m-1")
    await source.propose("m-2")
    said: list[tuple[str, str | None]] = []

    async def published() -> bool:
        values = [orjson.loads(one.value) for one in await records(settings.kafka, "confirmations")]
        said[:] = sorted((value["match_id"], value.get("reason")) for value in values)
        return len(said) == 2

    async with running(settings):
        await settled(2)
        await until(published)
    assert [("m-1", "no_channel"), ("m-2", None)] == said
    assert 2 == len(first.effects), "only the two of the other match were told"


async def test_a_person_reads_in_their_own_language_also_what_has_no_match(
    make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database
) -> None:
    people = {"v-9": "13900000000", "r-m-1": "13700000000", "v-m-2": "13600000000", "r-8": "13500000000"}
    english = "".join(f'[people."{ref}"]\nlanguage = "en"\naddresses = {{ sms = "{number}" }}\n' for ref, number in people.items())
    named = {"volunteer_ref": "v-9", "category": "study", "urgency": "red", "rung": "unit", "slot": SLOT, "expires_at": "2126-11-24T20:00:00Z"}
    english += '[people."desk-hightech"]\nlanguage = "en"\nchannels = ["sms", "app"]\naddresses = { sms = "13400000000" }\n'
    settings = make(PEOPLE + english)
    first.judge = lambda seen, _nth: 400 if seen.body["to"] == "13400000000" else 200
    await source.propose("m-1", needs_approval=True)
    await source.propose("m-2")
    await source.send("helper.invited", {"wish_id": "w-9", "offer_id": "o-9", **named})
    await source.send("wish.expired", {"wish_id": "w-m-1", "filled": 0})
    await source.send("wish.expired", {"wish_id": "w-8", "filled": 0, "resident_ref": "r-8", "category": "study"})  # they never had a match
    await source.send("wish.unmet", {"wish_id": "w-9", "need": {"skills": ["nursing"], "vetting": 2, "rung": "area"}})
    async with running(settings):
        await settled(6)
    texts = {one.body["to"]: (one.body["language"], one.body["text"], one.body["parameters"]["near"]) for one in first.seen}
    assert ("en", "from the same stairway") == (texts["13900000000"][0], texts["13900000000"][2])
    assert "We are sorry" in texts["13700000000"][1]
    assert "We are sorry" in texts["13500000000"][1]
    assert "It is settled" in texts["13600000000"][1]
    assert "有着落了" in texts[NUMBER][1]
    unmet = "Wish w-9: no suitable helper as yet (skills nursing, vetting level 2). Could you see what can be done? Thank you!"
    assert ("en", f"【最后一米】{unmet}", "") == texts["13400000000"]
    # Read from its row for the second channel, which shows it in each language.
    shown = await ask(database.dsn(), "SELECT text, texts ->> 'zh-CN' FROM notifying.app_inbox")
    assert [(unmet, text_for_worker("unmet", "zh-CN", wish_id="w-9", skills=["nursing"], vetting=2))] == shown


async def test_a_channel_that_hangs_does_not_hold_up_another(make: Make, source: Matcher, first: Gateway, other: Gateway) -> None:
    first.judge = lambda _seen, _nth: None
    residents = "".join(f'[people."r-m-{number}"]\nchannels = ["pager"]\n' for number in range(60))
    settings = make(PEOPLE + residents, webhook_attempts_max=100, in_hand_max=400)
    for number in range(60):
        await source.propose(f"m-{number}")
    async with running(settings):
        await until(lambda: 60 == len(other.effects))
        assert {} == dict(first.effects)
        first.judge = lambda _seen, _nth: 200
        first.release.set()
        await until(lambda: 60 == len(first.effects))
    assert {1} == set(first.effects.values())


OUT_OF_ORDER = '[default]\nchannels = ["sms", "pager"]\naddresses = { sms = "13812345678" }\n'


async def test_who_has_another_way_is_told_on_it_soon_while_a_channel_answers_nobody(
    make: Make, source: Matcher, first: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that everybody would wait for their hundred attempts first. Whoever has no other way keeps trying, and is told when it is back."""
    monkeypatch.setattr("services.notifier.outages.ROW_SECONDS", 1.0)
    first.judge = lambda _seen, _nth: {"code": "BUSY"}
    settings = make(OUT_OF_ORDER + '[people."r-m-0"]\nchannels = ["sms"]\n', webhook_attempts_max=100)
    for number in range(20):
        await source.propose(f"m-{number}")
    async with running(settings):
        await until(lambda: 39 == len(other.effects))
        assert {} == dict(first.effects)
        first.judge = lambda _seen, _nth: 200
        await until(lambda: 1 == len(first.effects))
        await source.propose("m-later")
        await until(lambda: 3 == len(first.effects))
    assert {1} == {*first.effects.values(), *other.effects.values()}


async def test_whoever_may_have_heard_by_a_channel_that_hangs_is_not_told_in_another_place(
    make: Make, source: Matcher, first: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.outages.ROW_SECONDS", 1.0)
    first.judge = lambda _seen, _nth: None
    for number in range(40):
        await source.propose(f"m-{number}")
    async with running(make(OUT_OF_ORDER, webhook_attempts_max=100)):
        await until(lambda: 10 <= len(other.effects))
        asked = {seen.headers["idempotency-key"] for seen in first.seen}
        first.judge = lambda _seen, _nth: 200
        first.release.set()
        await until(lambda: 80 == len(first.effects) + len(other.effects))
    assert ({1}, set()) == ({*first.effects.values(), *other.effects.values()}, asked & other.effects.keys())


async def test_a_channel_that_was_passed_over_has_its_turn_where_the_other_refuses(
    make: Make, source: Matcher, first: Gateway, other: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.outages.ROW_SECONDS", 1.0)
    first.judge, other.judge = lambda _seen, _nth: {"code": "BUSY"}, lambda _seen, _nth: 404
    for number in range(5):
        await source.propose(f"m-{number}")
    async with running(make(OUT_OF_ORDER, webhook_attempts_max=100)):
        await until(lambda: 10 == len(other.seen))
        first.judge = lambda _seen, _nth: 200
        await until(lambda: 10 == len(first.effects))
    assert ({1}, {}) == (set(first.effects.values()), dict(other.effects))


async def test_no_address_is_in_a_log_or_a_row_of_ours(
    make: Make, source: Matcher, first: Gateway, settled: Settled, database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    first.judge = lambda _seen, nth: 500 if nth == 1 else 200
    await source.propose("m-1")
    async with running(make(PEOPLE)):
        await settled(1)
    rows = str(await ask(database.dsn(), "SELECT * FROM notifying.notices")) + str(await ask(database.dsn(), "SELECT * FROM notifying.outbox"))
    assert NUMBER not in rows
    assert NUMBER not in "".join(capfd.readouterr())
