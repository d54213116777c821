"""`why-not WISH_ID OFFER_ID`: each rule about one wish and one offer, and who comes first where all pass.

Reads only. The judgement is the matcher's own (:mod:`services.matcher.core.reasons`), on the area as it is stored, as of now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import asyncpg
from rich.console import Console
from rich.text import Text

from deploy.tools.explain import say
from deploy.tools.judging import answer_words, verdict_words
from deploy.tools.story import no_such_wish, readable
from deploy.tools.target import Target
from deploy.tools.wording import WISH_STATES, Lang, Words, clean, join, word
from deploy.words import Trouble
from schemas.wishes import WishSubmitted
from services.matcher.core.reasons import ITS_MATCH, Answer, vetting_demands, why
from services.matcher.core.state import Area
from services.matcher.store import Loader

_WISHES: Final = "SELECT area, data FROM matching.wishes WHERE wish_id = $1 ORDER BY submitted_at, area"
_OFFERS: Final = "SELECT area FROM matching.offers WHERE offer_id = $1 ORDER BY area"
_NEWEST: Final = "SELECT offer_id FROM matching.offers WHERE area = ANY($1) ORDER BY status_at DESC LIMIT 3"


@dataclass(frozen=True, slots=True)
class Pair:
    """One wish and one offer of an area, and why they are, or are not, a match."""

    area: str
    asked: WishSubmitted
    offer_id: str
    answer: Answer


async def pairs(target: Target, wish_id: str, offer_id: str) -> list[Pair]:
    """This wish and this offer, in each area that has both; one area, unless ids are used twice.

    Raises:
        Trouble: there is no such wish or offer, or they are in different areas, or nothing runs.
    """
    policies = target.policies()
    async with target.database("matcher") as connection, readable():
        wishes = {row["area"]: WishSubmitted.model_validate_json(row["data"]) for row in await connection.fetch(_WISHES, wish_id)}
        if not wishes:
            raise await no_such_wish(connection, wish_id)
        offers = [row["area"] for row in await connection.fetch(_OFFERS, offer_id)]
        if not offers:
            raise _no_such_offer(offer_id, [row["offer_id"] for row in await connection.fetch(_NEWEST, list(wishes))])
        shared = [area for area in wishes if area in offers]
        if not shared:
            raise _apart(next(iter(wishes)), offers[0])
        return [Pair(area, wishes[area], offer_id, await answer_of(connection, Area(area, policies.of(area)), wish_id, offer_id)) for area in shared]


async def answer_of(connection: asyncpg.Connection, area: Area, wish_id: str, offer_id: str) -> Answer:
    """The matcher's answer about a wish and an offer that the empty `area` has, as of now. Both must be there."""
    loader = Loader.on(connection)
    # One instant: what is read of the area, in several statements, belongs together.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await loader.load(area)
        await loader.bring(area, {wish_id}, {offer_id})
        wish = area.wishes[wish_id]
        await loader.bring(area, set(), set(wish.matches))
    # What depends on the clock (how far the wish asks) is told as of now; the area is ours alone.
    area.clock = max(area.clock, time.time_ns() // 1000)
    return why(area, wish, area.offers[offer_id], area.clock)


def _no_such_offer(offer_id: str, newest: list[str]) -> Trouble:
    shown, some = clean(offer_id, 80), ", ".join(clean(one, 80) for one in newest)
    zh = f"没有服务 {shown}。编号要写全；若事件不合规，会在死信里：python3 -m deploy dlq list"
    en = f"There is no offer {shown}. Give its whole id; an event that was not valid lies in the dead letters: python3 -m deploy dlq list"
    if some:
        zh, en = f"{zh}\n心愿所在片区最近的服务：{some}", f"{en}\nThe newest offers of the wish's area: {some}"
    return Trouble(zh, en)


def _apart(wish_area: str, offer_area: str) -> Trouble:
    one, other = clean(wish_area, 80), clean(offer_area, 80)
    return Trouble(
        f"心愿在片区 {one}，服务在片区 {other}：只在同一片区内配对。",
        f"The wish is in area {one} and the offer in area {other}: matches are made within one area only.",
    )


def show(pair: Pair, console: Console, lang: Lang) -> None:
    """Print a pair: what it is about, each rule with its verdict, and the conclusion."""
    _head(pair, console, lang)
    console.print()
    # The rules as of now count the match itself: its helper is busy, and helps already. They say nothing about it.
    if pair.answer.code != ITS_MATCH:
        demands = vetting_demands(pair.asked)
        for verdict in pair.answer.verdicts:
            mark, style = ("✓", "green") if verdict.passed else ("✗", "red")
            _line(mark, verdict_words(verdict, demands), console, lang, style)
        console.print()
    for words in answer_words(pair.answer):
        say(console, lang, words, "yellow")


def _head(pair: Pair, console: Console, lang: Lang) -> None:
    title = Text(clean(pair.asked.wish_id), style="bold")
    title.append(f"  「{clean(pair.asked.title)}」  ")
    title.append(join(lang, word(WISH_STATES, pair.answer.status)))
    title.append(f"  ×  {join(lang, ('服务', 'offer'))} ")
    title.append(clean(pair.offer_id))
    console.print(title, soft_wrap=True)


def _line(mark: str, words: Words, console: Console, lang: Lang, style: str) -> None:
    text = Text(f"  {mark} ", style=style)
    text.append(words[1] if lang == "en" else words[0], style="default")
    console.print(text, soft_wrap=True)
    if lang == "both":
        console.print(Text(f"    {words[1]}", style="dim"), soft_wrap=True)
