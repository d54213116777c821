"""`explain WISH_ID`: the whole story of one wish, from the matcher's journal and tables and the notifier's; and what keeps it waiting.

Reads only. The rules are the matcher's own (`services.matcher.core.rules`), so that what is said here is what it would decide.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import orjson

from deploy.tools.target import Target
from deploy.tools.telling import tell
from deploy.tools.wording import FAULTS, NOTICE_KINDS, NOTICE_STATES, PARTIES, Words, clean, word
from deploy.words import NOT_PREPARED, NOT_TEXT, Trouble
from schemas.codec import decode_structured
from schemas.errors import InvalidEvent
from schemas.instants import DAY_US, parse_rfc3339
from schemas.responses import ServiceAcknowledged, ServiceFinished, ServiceStarted
from schemas.wishes import WishSubmitted
from services.matcher.core.keeping import Keeping
from services.matcher.core.place import RUNGS
from services.matcher.core.reasons import Verdict, almost, is_spent
from services.matcher.core.rules import refusal
from services.matcher.core.state import OPEN, Area, Wish
from services.matcher.core.together import find_group
from services.matcher.policies import Policies
from services.matcher.store import Loader

_WISHES: Final = "SELECT area, status, submitted_at, ends_at, need, data FROM matching.wishes WHERE wish_id = $1 ORDER BY submitted_at, area"
_NEWEST: Final = "SELECT wish_id FROM matching.wishes ORDER BY submitted_at DESC LIMIT 3"
_LANE: Final = "SELECT lane FROM matching.areas WHERE area = $1"
# From a while before the wish on (an index tells where that is): nothing else bounds what is read of a journal of years.
_JOURNAL: Final = """
    SELECT seq, at, kind, outcome, event, decision FROM matching.journal
    WHERE lane = $1 AND area = $2 AND at >= $4 AND EXISTS (SELECT FROM unnest($3::bytea[]) id WHERE position(id IN event) > 0 OR position(id IN decision) > 0)
    ORDER BY seq
"""
_MATCHES: Final = """
    SELECT match_id, offer_id, rung, starts_at, ends_at, how, state, live, reason, expires_at FROM matching.matches
    WHERE area = $1 AND wish_id = $2 ORDER BY number
"""
_BECAME: Final = "n.party, n.kind, n.state, n.attempts, n.channel, n.sent_at, n.fault, (extract(epoch FROM n.due_at) * 1000000)::bigint AS due_us"
# Those about its matches, and those about the wish alone, each by an index of its own.
_NOTICES: Final = f"""
    SELECT * FROM (
        SELECT {_BECAME}, m.offer_id FROM notifying.confirmations m JOIN notifying.notices n USING (match_id) WHERE m.wish_id = $1 AND m.area = $2
        UNION ALL SELECT {_BECAME}, NULL FROM notifying.notices n WHERE n.match_id IS NULL AND n.wish_id = $1 AND n.area = $2
    ) told ORDER BY sent_at NULLS LAST, party
"""  # noqa: S608 - of our own constants
# The matcher decides nothing on these: the notifier keeps each for good, and how the visit ends follows from them.
_REPORTS: Final = (ServiceStarted, ServiceFinished, ServiceAcknowledged)
# A withdrawal or a claim may come before the wish, by as long as the topics keep events.
_BEFORE_US: Final = 31 * DAY_US
_FAILED: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story. `at` is in microseconds; `under`: it follows from the line before."""

    at: int
    words: Words
    under: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a wish waits: of `offers` open ones, how many each rule excludes (the first that applies), and how many none does (`fit`; of so many `people`).

    `nearest`: offers that fail one rule alone, each with that rule, the nearest first. `reach`: as far as the rung that a wish of the rounds asks for now,
    None for one that is tried at once. `invitations`: how many are out; `spent`: how many of those who fit were invited before and are not invited
    again; `kept`: how many of them are kept for an older wish that needs two. `second_at`: of a wish that needs two and for which somebody is kept, when the
    second one falls free. `late`: no visit can begin any more.
    """

    offers: int
    excluded: dict[str, int]
    fit: int
    together: bool
    missing: int
    nearest: list[tuple[str, Verdict]] = field(default_factory=list)
    reach: str | None = None
    invitations: int = 0
    spent: int = 0
    kept: int = 0
    second_at: int | None = None
    late: bool = False
    people: int = 0


@dataclass(slots=True)
class Story:
    """All that is known of one wish in one area."""

    area: str
    wish_id: str
    status: str
    need: int
    submitted_at: int
    ends_at: int
    wish: WishSubmitted
    steps: list[Step] = field(default_factory=list)
    matches: list[Any] = field(default_factory=list)
    notices: list[Any] = field(default_factory=list)
    waiting: Waiting | None = None


async def stories(target: Target, wish_id: str) -> list[Story]:
    """The stories of this wish id, one an area that has it.

    Raises:
        Trouble: no area has it, or nothing runs.
    """
    policies = target.policies()
    async with target.database("matcher") as connection, readable():
        rows = await connection.fetch(_WISHES, wish_id)
        if not rows:
            raise await no_such_wish(connection, wish_id)
        found = [await _story(connection, wish_id, row, policies) for row in rows]
    async with target.database("notifier") as connection, readable():
        for story in found:
            story.notices = await connection.fetch(_NOTICES, wish_id, story.area)
            story.steps.extend(notices_told(story.notices))
            story.steps.sort(key=lambda step: step.at)  # stable: what follows from one line stays behind it
    return found


@asynccontextmanager
async def readable() -> AsyncIterator[None]:
    """Say what to do where the schemas are not there yet, or an argument is no text."""
    try:
        yield
    except asyncpg.DataError as fault:
        raise Trouble(*NOT_TEXT) from fault
    except _FAILED as fault:
        raise Trouble(*NOT_PREPARED) from fault


async def no_such_wish(connection: asyncpg.Connection, wish_id: str) -> Trouble:
    """That no area has this wish, and the newest that there are."""
    newest = [row["wish_id"] for row in await connection.fetch(_NEWEST)]
    shown, some = clean(wish_id, 80), ", ".join(clean(one, 80) for one in newest)
    zh = f"没有心愿 {shown}。编号要写全；若事件不合规，会在死信里：python3 -m deploy dlq list"
    en = f"There is no wish {shown}. Give its whole id; an event that was not valid lies in the dead letters: python3 -m deploy dlq list"
    if some:
        zh, en = f"{zh}\n最近的心愿：{some}", f"{en}\nThe newest wishes: {some}"
    return Trouble(zh, en)


async def _story(connection: asyncpg.Connection, wish_id: str, row: Any, policies: Policies) -> Story:
    area = row["area"]
    story = Story(area, wish_id, row["status"], row["need"], row["submitted_at"], row["ends_at"], WishSubmitted.model_validate_json(row["data"]))
    lane = await connection.fetchval(_LANE, area)
    # As orjson writes the id, and as writers do that escape everything beyond ASCII.
    written = {orjson.dumps(wish_id), json.dumps(wish_id).encode()}
    for line in await connection.fetch(_JOURNAL, lane, area, list(written), row["submitted_at"] - _BEFORE_US):
        story.steps.extend(steps_of(line, wish_id))
    story.matches = await connection.fetch(_MATCHES, area, wish_id)
    if story.status == OPEN:
        story.waiting = await waiting_of(connection, Area(area, policies.of(area)), wish_id)
    return story


def steps_of(line: Any, wish_id: str) -> list[Step]:
    """What a line of the journal says about this wish; nothing where it names it in passing only."""
    at = line["at"]
    decided = []
    for decision in orjson.loads(line["decision"]):
        try:
            event = decode_structured(orjson.dumps(decision))
        except InvalidEvent:  # a decision of a newer version
            continue
        if getattr(event.data, "wish_id", None) == wish_id:
            decided.append(Step(at, tell(event), under=True))
    if line["kind"] == "time":
        return [Step(at, ("时间到", "time has passed")), *decided] if decided else []
    event = decode_structured(line["event"])
    about = getattr(event.data, "wish_id", None) == wish_id
    if not about and not decided:
        return []
    words = tell(event)
    if line["outcome"] == "duplicate":
        words = (f"{words[0]}（重复，无影响）", f"{words[1]} (a repeat, without effect)")
    elif line["outcome"] == "no_effect" and not isinstance(event.data, _REPORTS):
        words = (f"{words[0]}（无影响）", f"{words[1]} (without effect)")
    return [Step(at, words), *decided]


def notices_told(notices: Sequence[Any]) -> list[Step]:
    """What became of each notice, a line each."""
    steps = []
    for notice in notices:
        who, kind, state = word(PARTIES, notice["party"]), word(NOTICE_KINDS, notice["kind"]), word(NOTICE_STATES, notice["state"])
        offer = clean(notice["offer_id"]) if notice["offer_id"] else ""
        channel = clean(notice["channel"] or "-")
        of = (f"{channel}，服务 {offer}", f"{channel}, offer {offer}") if offer else (channel, channel)
        if notice["state"] == "sent":
            words = (f"{kind[0]}{state[0]}{who[0]}（{of[0]}）", f"{kind[1]} {state[1]} to the {who[1]} ({of[1]})")
            steps.append(Step(parse_rfc3339(notice["sent_at"]), words))
        else:
            tries, fault = notice["attempts"], word(FAULTS, notice["fault"] or "-")
            words = (
                f"给{who[0]}的{kind[0]}：{state[0]}（{of[0]}，试过 {tries} 次，{fault[0]}）",
                f"{kind[1]} to the {who[1]}: {state[1]} ({of[1]}, {tries} attempts, {fault[1]})",
            )
            steps.append(Step(notice["due_us"], words))
    return steps


async def waiting_of(connection: asyncpg.Connection, area: Area, wish_id: str) -> Waiting | None:
    """Judge every open offer of the area by the rules, as of now."""
    await Loader.on(connection).load(area)
    wish = area.wishes.get(wish_id)
    if wish is None or wish.status != OPEN:
        return None
    area.clock = max(area.clock, time.time_ns() // 1000)
    return judged(area, wish, area.clock)


def judged(area: Area, wish: Wish, now: int) -> Waiting:
    """Why this wish waits, at that instant."""
    offers = [offer for offer in area.offers.values() if offer.status == OPEN]
    refused = [(offer, refusal(wish, offer, now)) for offer in offers]
    reasons = Counter(reason for _, reason in refused)
    fit = reasons.pop(None, 0)
    excluded = {str(reason): count for reason, count in reasons.most_common()}
    nearest = [(offer.id, verdict) for offer, verdict in almost(area, wish, now)]
    able = [offer for offer, reason in refused if reason is None]
    keeping = Keeping(area, now, area.index.in_order)
    return Waiting(
        len(offers),
        excluded,
        fit,
        _lacks_second(area, wish, now),
        wish.places_free,
        nearest,
        RUNGS[area.reach_of(wish, now)] if area.in_rounds(wish) else None,
        wish.invitations(now),
        spent=sum(is_spent(wish, offer, now) for offer in able),
        kept=sum(keeping.kept_from(wish, offer) is not None for offer in able),
        second_at=keeping.second_at(wish),
        late=now > wish.latest_start,
        people=len({offer.volunteer.ref for offer in able}),
    )


def _lacks_second(area: Area, wish: Wish, now: int) -> bool:
    return wish.together and find_group(area, wish, now) is None
