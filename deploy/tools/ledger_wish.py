"""What a correction means for the wish: a visit in vain has opened it again for others, one that helped has not, and a later word changes neither.

So helpers may still be looked for where the need was met after all, and nobody where it was not. The first is said, and the wish can be withdrawn in the same
step; of the second it is said that it must be entered anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.tools import kafka
from deploy.tools.ledger_correct import LOOK_SECONDS, WAIT_SECONDS, event_of
from deploy.tools.story import readable
from deploy.tools.target import Target
from deploy.tools.wording import Words, clean, clock
from schemas.topics import WISHES

_VISITS: Final = """
    SELECT o.match_id, o.area, o.wish_id, o.outcome FROM notifying.visits v JOIN notifying.visits o USING (area, wish_id) WHERE v.match_id = $1
"""
_WISH: Final = "SELECT area, wish_id, status, need, ends_at FROM matching.wishes WHERE area = $1 AND wish_id = $2"
_MATCHES: Final = "SELECT match_id, group_id, state, reason FROM matching.matches WHERE area = $1 AND wish_id = $2 AND state <> 'released'"
_ONGOING: Final = frozenset({"open", "held", "matched"})
_JUDGED: Final = frozenset({"closed", "unhelped"})


@dataclass(frozen=True, slots=True)
class After:
    """A wish after a visit of it was corrected. `ends_at` in microseconds.

    `in_vain`: this visit has opened it again; `undecided`: it may yet, that hangs on a companion's. As the books hold it now: `done`, it helped; `met`, so did
    all that the wish needs. `on_the_way`: somebody else is asked or to come.
    """

    area: str
    wish_id: str
    status: str
    ends_at: int
    in_vain: bool
    undecided: bool
    done: bool
    on_the_way: bool
    met: bool

    @property
    def is_looked_for(self) -> bool:
        """Whether it waits for others, or has some, though this visit helped."""
        return self.in_vain and self.done and self.status in _ONGOING

    @property
    def is_needless(self) -> bool:
        """Whether nothing but this is left of it, so that it can be withdrawn at once."""
        return self.is_looked_for and self.met and not self.on_the_way


def after_of(wish: Any, matches: Sequence[Any], outcomes: dict[str, str | None], match_id: str) -> After | None:
    """How the rows say that it stands; None where the matcher has not closed this match (yet)."""
    this = next((match for match in matches if match["match_id"] == match_id), None)
    if wish is None or this is None or this["state"] not in _JUDGED:
        return None
    # Of those who came together one who helped is enough.
    together = {match["match_id"]: match["group_id"] or match["match_id"] for match in matches}
    helped = {party for one, party in together.items() if outcomes.get(one) == "done"}
    places = [match for match in matches if match["state"] != "unhelped" or together[match["match_id"]] in helped]
    to_come = {together[match["match_id"]] for match in matches if match["state"] not in _JUDGED}
    return After(
        wish["area"],
        wish["wish_id"],
        wish["status"],
        wish["ends_at"],
        in_vain=this["state"] == "unhelped",
        undecided=this["reason"] is not None and together[match_id] in to_come,
        done=outcomes.get(match_id) == "done",
        on_the_way=bool(to_come),
        met=len(places) >= wish["need"],
    )


async def look(target: Target, match_id: str) -> After | None:
    """How the wish stands once the matcher knows of this visit's end; None where it does not learn of it in time, or knows no such wish."""
    deadline = time.monotonic() + WAIT_SECONDS
    async with target.database("notifier") as notifier, target.database("matcher") as matcher, readable():
        visits = await notifier.fetch(_VISITS, match_id)
        outcomes = {visit["match_id"]: visit["outcome"] for visit in visits}
        about = next(((visit["area"], visit["wish_id"]) for visit in visits), ("", ""))
        while True:
            wish = await matcher.fetchrow(_WISH, *about)
            after = after_of(wish, await matcher.fetch(_MATCHES, *about), outcomes, match_id)
            if after is not None or wish is None or time.monotonic() > deadline:
                return after
            await asyncio.sleep(LOOK_SECONDS)


async def withdraw(target: Target, wish: After, reason: str) -> bool:
    """Withdraw the wish; whether the matcher has done so in time.

    Raises:
        Trouble: Kafka does not answer.
    """
    line = event_of("wish.withdrawn", wish.wish_id, wish.area, {"wish_id": wish.wish_id, "reason": reason})
    async with kafka.reachable(target.broker), kafka.producer(target.broker) as producer:
        await producer.send_and_wait(WISHES, line, key=wish.area.encode(), headers=kafka.STRUCTURED_HEADERS)
    deadline = time.monotonic() + WAIT_SECONDS
    async with target.database("matcher") as matcher, readable():
        while (found := await matcher.fetchrow(_WISH, wish.area, wish.wish_id)) is not None and found["status"] in _ONGOING:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
    return True


def words(after: After) -> Words | None:
    """What whoever corrects must know of the wish; None where it ended as the visit did."""
    wish = clean(after.wish_id, 128)
    if after.is_looked_for:
        return _looked_for(after, wish)
    if after.done or after.undecided or after.status == "withdrawn":
        return None
    if not after.in_vain:
        return (
            f"心愿 {wish} 不会因这次更正重新找帮手。若仍需帮助，请另提一个心愿。",
            f"No other helper is looked for: wish {wish} is not opened again by a correction. If help is still needed, enter it as a new wish.",
        )
    if after.status == "open":
        return (
            f"心愿 {wish} 已重新开放，正在另找帮手，截止 {clock(after.ends_at)}。",
            f"Wish {wish} is open again: another helper is looked for until {clock(after.ends_at)}.",
        )
    if after.status == "expired":
        return (
            f"心愿 {wish} 已过期，不再找帮手。若仍需帮助，请另提一个心愿。",
            f"Wish {wish} has expired: nobody is looked for any more. If help is still needed, enter it as a new wish.",
        )
    return f"心愿 {wish} 已有另一位帮手。", f"Wish {wish} has another helper by now."


def _looked_for(after: After, wish: str) -> Words:
    head = f"心愿 {wish} 在更正前已重新开放", f"Wish {wish} was opened again before this correction"
    if after.on_the_way:
        rest = (
            "，并已另有帮手（已征询或约好）。若不再需要，请在该心愿的页面撤回，对方会收到通知。",
            ", and another helper is asked or to come. If nobody is needed any more, withdraw it on its page: they are told.",
        )
    elif not after.met:
        rest = (
            "，仍在找帮手，且不止缺这一位。若不再需要，请在该心愿的页面撤回。",
            ", and still looks for helpers, more than this one. If nobody is needed any more, withdraw it on its page.",
        )
    else:
        rest = (
            "，还在找帮手。若不再需要，请加 --withdraw 再执行一次，或在该心愿的页面撤回。",
            ", and still looks for a helper. If nobody is needed any more, run this again with --withdraw, or withdraw it on its page.",
        )
    return head[0] + rest[0], head[1] + rest[1]
