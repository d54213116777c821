"""Who is told "not now" is patient: a gateway that takes so many a minute, a grey list, and how often a notice asks before it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.notifier.book import Notice
from services.notifier.channels import Answer
from services.notifier.directory import Everyone
from services.notifier.exchange import Exchange, Passage
from services.notifier.notices import Kind
from services.notifier.routes import DOWN, Preferences, Use, Wait, Way, packed, unpacked

MOST = 8
NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
GREY, LIMITED, BUSY = Answer("later", "smtp_later"), Answer("later", "http_4xx"), Answer("later", "code_later")
AWAY, LOCKED_OUT = Answer("later", "no_connection"), Answer("later", "smtp_login")
DEPLOYED = Answer("later", "http_away")
HUNG, BROKEN = Answer("later", "timeout"), Answer("later", "http_5xx")


class Says:
    """A channel that says the same to everybody."""

    concurrency, timeout_seconds = 1, 1.0

    def __init__(self, answer: Answer, *, honours_key: bool = True, name: str = "sms") -> None:
        self._answer, self.name = answer, name
        self.way = Way("gateway", honours_key=honours_key)

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:
        return self._answer

    async def close(self) -> None:
        """Nothing to let go of."""


def exchange(answer: Answer, *, honours_key: bool = True, clock: str = "event", second: Answer | None = None) -> Exchange:
    settings: Any = SimpleNamespace(
        clock=clock, urgent_hours=12, read_minutes=30, public_url=None, link_ring=None, webhook_backoff_seconds=1.0, webhook_backoff_max_seconds=300.0
    )
    nothing: Any = None
    channels = {"sms": Says(answer, honours_key=honours_key)} | ({} if second is None else {"voice": Says(second, name="voice")})
    return Exchange(settings, nothing, channels, Everyone("sms"), dict.fromkeys(channels, MOST), now=lambda: NOW)


def notice(kind: Kind = "confirmed", urgency: str = "blue") -> Notice:
    slot = ("2026-11-24T08:00:00Z", "2026-11-24T09:00:00Z")
    return Notice(UUID(int=1), "m-1", "w-1", 2, "hightech", "volunteer", kind, "p-1", "zh-CN", "text", slot, urgency=urgency)


async def attempts_with_one_channel_for_all(answer: Answer, one: Notice) -> tuple[int, float]:
    channels, pauses = exchange(answer), 0.0
    while (came := await channels.attempt_only(channels.channels["sms"], one, lambda _area: "now")).fate == "retryable":
        pauses += came.retry_seconds
    assert "dead" == came.fate
    return one.attempts, pauses


async def attempts_on_a_route(answer: Answer, one: Notice, *, has_next: bool, honours_key: bool = True) -> int:
    channels = exchange(answer, honours_key=honours_key)
    while True:
        await channels.attempt(Passage(one, one, Use("sms", has_next=has_next), "", None), lambda _area: "now")
        if '"failed"' in one.tried:
            return one.attempts


@pytest.mark.parametrize("answer", [GREY, LIMITED, BUSY, AWAY, LOCKED_OUT, DEPLOYED])
async def test_who_is_told_not_now_asks_for_longer_than_a_grey_list_or_a_limit_wants(answer: Answer) -> None:
    attempts, pauses = await attempts_with_one_channel_for_all(answer, notice())
    assert 2 * MOST == attempts
    assert 15 * 60 < pauses < 45 * 60
    assert 2 * MOST == await attempts_on_a_route(answer, notice(), has_next=False)


@pytest.mark.parametrize("answer", [HUNG, BROKEN])
async def test_who_is_told_nothing_is_given_up_as_soon_as_ever(answer: Answer) -> None:
    assert MOST == (await attempts_with_one_channel_for_all(answer, notice()))[0]
    assert MOST == await attempts_on_a_route(answer, notice(), has_next=False)


async def test_what_may_have_been_heard_is_not_said_for_longer_where_nobody_would_know_it_again() -> None:
    assert MOST == await attempts_on_a_route(DEPLOYED, notice(), has_next=False, honours_key=False)
    assert 2 * MOST == await attempts_on_a_route(AWAY, notice(), has_next=False, honours_key=False)
    assert (True, False) == (DEPLOYED.unclear, LOCKED_OUT.unclear)


async def test_whoever_has_another_channel_goes_on_to_it_as_soon_as_ever() -> None:
    assert MOST == await attempts_on_a_route(LIMITED, notice(), has_next=True)


@pytest.mark.parametrize(
    ("answer", "has_next", "tried", "pause"),
    [
        (Answer("later", "http_4xx", 301.0), True, f'[["sms",1,"failed","channel_down",false,{NOW.timestamp() + 301}]]', 0.0),
        (Answer("later", "http_away", 3600.0), True, '[["sms",1,"open","http_away",true]]', 3600.0),
        (Answer("later", "http_4xx", 300.0), True, '[["sms",1,"open","http_4xx",false]]', 300.0),
        (Answer("later", "http_4xx", 3600.0), False, '[["sms",1,"open","http_4xx",false]]', 3600.0),
    ],
)
async def test_a_channel_that_wants_to_be_left_alone_for_long_is_passed_over_by_whoever_has_another(
    answer: Answer, has_next: bool, tried: str, pause: float
) -> None:
    one = notice()
    came = await exchange(answer, clock="wall").attempt(Passage(one, one, Use("sms", has_next=has_next), "", None), lambda _area: "now")
    assert (tried, pause, "retryable") == (one.tried, came.retry_seconds, came.fate)


async def test_of_two_channels_that_want_to_be_left_alone_the_one_that_may_be_asked_first_is_waited_for() -> None:
    both = exchange(Answer("later", "http_4xx", 400.0), clock="wall", second=Answer("later", "http_4xx", 3000.0))
    one, person = notice(), SimpleNamespace(wants=Preferences(("sms", "voice")), addresses=())
    asked = []
    for _ in range(3):
        step, tried = both._step(one, unpacked(one.tried), person, 0, NOW)  # type: ignore[arg-type]
        one.tried = packed(tried)
        if not isinstance(step, Use):
            break
        asked.append(step.channel)
        await both.attempt(Passage(one, one, step, "", None), lambda _area: "now")
    assert ["sms", "voice"] == asked
    assert Wait(NOW + timedelta(seconds=400), DOWN) == step
    after, _ = both._step(one, tried, person, 0, NOW + timedelta(seconds=400))  # type: ignore[arg-type]
    assert isinstance(after, Use)
    assert "sms" == after.channel


@pytest.mark.parametrize(("kind", "attempts"), [("confirmed", MOST), ("asked", MOST), ("released", 2 * MOST)])
async def test_for_a_red_wish_somebody_else_is_found_sooner_but_whoever_is_not_to_come_is_told_with_patience(kind: Kind, attempts: int) -> None:
    assert attempts == (await attempts_with_one_channel_for_all(LIMITED, notice(kind, "red")))[0]
    assert attempts == await attempts_on_a_route(LIMITED, notice(kind, "red"), has_next=False)
