"""`attention`: what somebody should look at now, before a resident waits in vain: at risk, unanswered, stuck, overdue. Reads only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console
from rich.text import Text

from deploy.tables import Table
from deploy.tools.explain import say
from deploy.tools.story import readable
from deploy.tools.target import Target
from deploy.tools.wording import Lang, Words, clean, clock, join
from schemas.instants import MINUTE_US

Kind = Literal[
    "at_risk", "unanswered", "called_off_late", "unheard", "not_started", "not_finished", "stuck", "nothing_said", "no_show"
]  # fmt: skip
KINDS: Final[dict[Kind, tuple[Words, Words]]] = {
    "at_risk": (
        ("告急：将开始而无人确认", "at risk: soon, and nobody is confirmed"),
        ("explain 看原因，或请社区安排", "see explain, or let the community find somebody"),
    ),
    "unanswered": (("未答复：志愿者或社区尚未回话", "unanswered: the helper or the community has not replied"), ("打电话催一催", "call them")),
    "called_off_late": (
        ("临时取消：志愿者在上门前不久取消", "called off late: the helper called off shortly before the visit"),
        ("看是否已另找到人，并告诉居民", "see whether another helper was found, and tell the resident"),
    ),
    "unheard": (
        ("没有通知到：取消或告警没有送达", "unheard: word of a release or of an alarm reached nobody"),
        ("打电话告诉双方", "call both sides"),
    ),
    "not_started": (
        ("逾期：已到时间，帮手没有报到", "overdue: the time has come, and the helper has not reported"),
        ("联系志愿者，并看看居民", "call the helper, and look in on the resident"),
    ),
    "stuck": (
        ("卡住：已说定，通知却没有送到", "stuck: agreed, but the notices do not get through"),
        ("看渠道和 notifier 日志", "see the channel and the notifier's log"),
    ),
    "not_finished": (("逾期：已开始，迟迟未结束", "overdue: started, not finished"), ("联系志愿者，确认平安", "call the helper: is all well?")),
    "no_show": (("爽约：居民说没有帮上，志愿者也没有报到", "no-show: it did not help, and the helper never reported"), ("听听双方怎么说", "hear both sides")),
    "nothing_said": (("逾期：时间已过，没有任何反馈", "overdue: the time is over, and nothing was said"), ("回访居民", "call the resident back")),
}
# Whom an alarm has reached, as the database says it.
TOLD: Final[dict[str, Words]] = {
    "household": ("中心户长", "the centre household"),
    "worker": ("社区", "the worker"),
    "household,worker": ("中心户长、社区", "the centre household, the worker"),
}
_MOST: Final = 50
# Half of the time for an answer is over, or the visit is near. What is held has a live match: by those it is found, and not among all wishes there ever were.
_MATCHER: Final = """
    SELECT 'at_risk' AS kind, w.area, w.wish_id, NULL AS match_id, w.ends_at AS at FROM matching.wishes w
        WHERE w.status = 'open' AND w.ends_at > $1 AND w.ends_at <= $2
    UNION ALL
    SELECT 'at_risk', w.area, w.wish_id, NULL, w.ends_at FROM (SELECT DISTINCT area, wish_id FROM matching.matches WHERE live) m
        JOIN matching.wishes w USING (area, wish_id) WHERE w.status = 'held' AND w.ends_at > $1 AND w.ends_at <= $2
    UNION ALL
    SELECT 'at_risk', m.area, m.wish_id, m.match_id, m.starts_at FROM matching.matches m JOIN matching.wishes w USING (area, wish_id)
        WHERE m.live AND m.state IN ('proposed', 'agreed') AND m.ends_at > $1 AND m.starts_at <= $2 AND w.ends_at > $2
    UNION ALL
    SELECT 'unanswered', area, wish_id, match_id, expires_at FROM matching.matches
        WHERE live AND state = 'proposed' AND expires_at IS NOT NULL AND expires_at <= $3
    ORDER BY at, area, wish_id
"""
_NOTIFIER: Final = "SELECT kind, area, wish_id, match_id, at_us AS at, told FROM notifying.attention_at($1) ORDER BY at_us, area, wish_id"
_ANSWER_US: Final = 30 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to look at; `at` is the instant that matters: its deadline, its start, or since when; `told`: whom an alarm has reached."""

    kind: Kind
    area: str
    wish_id: str
    match_id: str | None
    at: int
    told: str | None = None


async def look(target: Target, within_hours: float, now: int | None = None) -> list[Matter]:
    """Everything that wants attention, the most urgent kind first. `now` is in microseconds."""
    now = time.time_ns() // 1000 if now is None else now
    soon = now + round(within_hours * 60) * MINUTE_US
    async with target.database("matcher") as connection, readable():
        rows = await connection.fetch(_MATCHER, now, soon, now + _ANSWER_US)
    async with target.database("notifier") as connection, readable():
        heard = await connection.fetch(_NOTIFIER, now)
    order = list(KINDS)
    found = [Matter(row["kind"], row["area"], row["wish_id"], row["match_id"], row["at"]) for row in rows]
    found += [Matter(row["kind"], row["area"], row["wish_id"], row["match_id"], row["at"], row["told"]) for row in heard]
    return sorted(found, key=lambda one: (order.index(one.kind), one.at, one.area, one.wish_id))


def show(found: list[Matter], console: Console, lang: Lang) -> None:
    """A table a kind, with what to do about it."""
    if not found:
        say(console, lang, ("没有需要过问的事。", "Nothing needs attention."), "green")
        return
    for kind, (title, advice) in KINDS.items():
        own = [one for one in found if one.kind == kind]
        if not own:
            continue
        console.print(
            Text(
                f"{join(lang, title)} ({len(own)})",
                style="bold red" if kind in {"at_risk", "called_off_late", "unheard", "not_started", "not_finished"} else "bold yellow",
            )
        )
        say(console, lang, (f"→ {advice[0]}", f"→ {advice[1]}"), "dim")
        heads = (("时间", "when"), ("片区", "area"), ("心愿", "wish"), ("配对", "match"), ("已告知", "told"))
        table = Table(*(join(lang, head) for head in heads), show_edge=False)
        for one in own[:_MOST]:
            table.add_row(
                clock(one.at),
                Text(clean(one.area)),
                Text(clean(one.wish_id)),
                Text(clean(one.match_id or "-")),
                Text(join(lang, TOLD.get(one.told or "", ("-", "-")))),
            )
        console.print(table)
        if len(own) > _MOST:
            say(console, lang, (f"……另有 {len(own) - _MOST} 件", f"... and {len(own) - _MOST} more"), "dim")
        console.print()
