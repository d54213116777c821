"""Everyone at once: one is asked about, and what follows for the others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from services.gateway.board.hub import Answer, Claimed, Later, Rejected
from services.gateway.people.turnstile import Granted, Turnstile

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
GRANTED = Claimed("m-1", (NOW, NOW), needs_answer=False)
WISH = ("a", "w-1")


class Matcher:
    """Gives answers in order, and counts who asked."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def about(self, offer_id: str) -> object:
        async def ask() -> Answer:
            self.asked.append(offer_id)
            await asyncio.sleep(0)
            return self._answers.pop(0)

        return ask


async def tap(turnstile: Turnstile, matcher: Matcher, *offers: str) -> list[Answer]:
    return list(await asyncio.gather(*(turnstile.pass_through(WISH, offer, matcher.about(offer)) for offer in offers)))  # type: ignore[arg-type]


async def test_once_one_is_granted_the_others_are_told_without_asking() -> None:
    matcher = Matcher(GRANTED)
    held = Rejected("held_for_another")
    assert [GRANTED, held, held] == await tap(Turnstile(), matcher, "o1", "o2", "o3")
    assert ["o1"] == matcher.asked


async def test_where_the_first_is_refused_everyone_asks_for_themselves() -> None:
    matcher = Matcher(Rejected("offer_full"), GRANTED, Rejected("held_for_another"))
    assert [Rejected("offer_full"), GRANTED, Rejected("held_for_another")] == await tap(Turnstile(), matcher, "o1", "o2", "o3")
    assert ["o1", "o2", "o3"] == matcher.asked


async def test_where_no_answer_comes_in_time_everyone_asks_for_themselves() -> None:
    matcher = Matcher(Later(), Later())
    assert [Later(), Later()] == await tap(Turnstile(), matcher, "o1", "o2")


async def test_the_second_tap_of_the_same_member_has_the_first_ones_answer() -> None:
    matcher = Matcher(GRANTED)
    assert [GRANTED, GRANTED] == await tap(Turnstile(), matcher, "o1", "o1")


async def test_where_asking_fails_nobody_waits_for_ever() -> None:
    async def broken() -> Answer:
        await asyncio.sleep(0)
        raise OSError("away")

    turnstile, matcher = Turnstile(), Matcher(GRANTED)
    first = asyncio.create_task(turnstile.pass_through(WISH, "o1", broken))
    await asyncio.sleep(0)
    assert [GRANTED] == await tap(turnstile, matcher, "o2")
    assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], OSError)
    assert [GRANTED] == await tap(turnstile, Matcher(GRANTED), "o3")


def test_what_was_granted_is_kept_for_whom_it_was_for_a_quarter_of_an_hour() -> None:
    kept = Granted()
    kept.note((*WISH, "v1"), GRANTED, 1000.0)
    assert [GRANTED, None, None] == [kept.of((*WISH, "v1"), 1899.0), kept.of((*WISH, "v1"), 1900.0), kept.of((*WISH, "v2"), 1000.0)]
