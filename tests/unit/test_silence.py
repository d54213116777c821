"""When a broker that says nothing is told in /readyz."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import TopicPartition

from services import runtime
from services.broker import SILENT_SECONDS, Broker, silent_seconds
from services.gateway.board.hub import Answers, Hub
from services.gateway.board.reader import Reader
from services.runtime import Pulse

PLACES = [TopicPartition("matches", number) for number in range(2)]


class Consumer:
    """One who last heard of each place so many seconds ago; None: never."""

    def __init__(self, *ago: float | None) -> None:
        self._ago = dict(zip(PLACES, ago, strict=True))

    def assignment(self) -> set[TopicPartition]:
        return set(self._ago)

    def last_poll_timestamp(self, place: TopicPartition) -> int | None:
        ago = self._ago[place]
        return None if ago is None else int((time.time() - ago) * 1000)


@pytest.mark.parametrize(
    ("ago", "seconds"),
    [
        pytest.param((40.0, 20.0), 20.0, id="since the last word about any of them"),
        pytest.param((None, 20.0), 20.0, id="one was never asked for"),
        pytest.param((None, None), 0.0, id="nothing was asked yet"),
    ],
)
def test_a_broker_is_silent_since_its_last_word(ago: tuple[float | None, ...], seconds: float) -> None:
    consumer: Any = Consumer(*ago)
    assert silent_seconds(consumer) == pytest.approx(seconds, abs=1.0)


def test_a_gateway_is_deaf_once_it_has_listened_and_hears_nothing() -> None:
    answers, consumer = Answers(Broker("127.0.0.1:1"), Hub()), Consumer(0.1, 0.1)
    deaf = {"it starts": answers.is_deaf}
    answers._consumer = consumer  # type: ignore[assignment]
    deaf["it starts anew"] = answers.is_deaf
    answers.ready.set()
    deaf["it hears"] = answers.is_deaf
    consumer._ago = dict.fromkeys(PLACES, 2 * SILENT_SECONDS)
    deaf["it hears nothing"] = answers.is_deaf
    assert {"it starts": False, "it starts anew": True, "it hears": False, "it hears nothing": True} == deaf


def test_a_board_that_waits_for_an_answer_or_hears_nothing_is_away() -> None:
    reader, consumer = Reader(Broker("127.0.0.1:1"), "postgresql://nobody@127.0.0.1:1/none"), Consumer(0.1, 0.1)
    away = {"it starts": reader.is_away}
    reader.at_work = True
    away["it stands by"] = reader.is_away
    reader._lag, reader._consumer = 0, consumer  # type: ignore[assignment]
    away["it reads"] = reader.is_away
    consumer._ago = dict.fromkeys(PLACES, 2 * SILENT_SECONDS)
    away["it hears nothing"] = reader.is_away
    reader._lag = 7
    away["it has more to read"] = reader.is_away
    reader.pulse._beat -= 60.0
    away["PostgreSQL does not answer"] = reader.is_away
    assert {"it starts", "it hears nothing", "PostgreSQL does not answer"} == {when for when, is_away in away.items() if is_away}


async def test_a_loop_that_waits_for_a_broker_goes_on_beating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_BEAT_SECONDS", 0.01)
    pulse, beats, beaten = Pulse(), 0, asyncio.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            beaten.set()

    monkeypatch.setattr(pulse, "beat", beat)
    async with asyncio.timeout(10):
        with pulse.beating():
            await beaten.wait()
