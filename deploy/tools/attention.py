"""`attention`: what somebody should look at now, before a resident waits in vain: at risk, unanswered, stuck, overdue. Reads only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.tools.explain import say
from deploy.tools.story import readable
from deploy.tools.target import Target
from deploy.tools.wording import Lang, Words, clean, clock, join
from schemas.instants import MINUTE_US
from services.notifier.visits_store import OVERDUE_US, STUCK_US

Kind = Literal["at_risk", "unanswered", "stuck", "not_finished", "nothing_said"]
KINDS: Final[dict[Kind, tuple[Words, Words]]] = {
    "at_risk": (
        ("告急：将开始而无人确认", "at risk: soon, and nobody is confirmed"),
        ("explain 看原因，或请社区安排", "see explain, or let the community find somebody"),
    ),
    "unanswered": (("未答复：志愿者或社区尚未回话", "unanswered: the helper or the community has not replied"), ("打电话催一催", "call them")),
    "stuck": (
        ("卡住：已谈定，通知却没有送到", "stuck: agreed, but the notices do not get through"),
        ("看渠道和 notifier 日志", "see the channel and the notifier's log"),
    ),
    "not_finished": (("逾期：已开始，迟迟未结束", "overdue: started, not finished"), ("联系志愿者，确认平安", "call the helper: is all well?")),
    "nothing_said": (("逾期：时间已过，没有任何反馈", "overdue: the time is over, and nothing was said"), ("回访居民", "call the resident back")),
}
_MOST: Final = 50
# Half of the time for an answer is over, or the visit is near.
_MATCHER: Final = """
    SELECT 'at_risk' AS kind, w.area, w.wish_id, NULL AS match_id, w.ends_at AS at FROM matching.wishes w
        WHERE w.status IN ('open', 'held') AND w.ends_at > $1 AND w.ends_at <= $2
    UNION ALL
    SELECT 'at_risk', m.area, m.wish_id, m.match_id, m.starts_at FROM matching.matches m JOIN matching.wishes w USING (area, wish_id)
        WHERE m.live AND m.state IN ('proposed', 'agreed') AND m.ends_at > $1 AND m.starts_at <= $2 AND w.ends_at > $2
    UNION ALL
    SELECT 'unanswered', area, wish_id, match_id, expires_at FROM matching.matches
        WHERE live AND state = 'proposed' AND expires_at IS NOT NULL AND expires_at <= $3
    ORDER BY at, area, wish_id
"""
_NOTIFIER: Final = """
    SELECT 'stuck' AS kind, area, wish_id, match_id, (extract(epoch FROM changed_at) * 1000000)::bigint AS at FROM notifying.confirmations
        WHERE state IN ('agreed', 'telling') AND changed_at <= to_timestamp($1::float8 / 1000000)
    UNION ALL
    SELECT CASE WHEN started THEN 'not_finished' ELSE 'nothing_said' END, area, wish_id, match_id, ends_at_us FROM (
        SELECT v.area, v.wish_id, v.match_id, v.ends_at_us, EXISTS (
            SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id AND r.kind = 'started') AS started
        FROM notifying.visits v JOIN notifying.confirmations c USING (match_id)
        WHERE v.number = 0 AND v.due_at_us IS NOT NULL AND v.ends_at_us <= $2 AND c.state <> 'released' AND NOT EXISTS (
            SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id AND r.kind <> 'started')
    ) silent
    ORDER BY at, area, wish_id
"""
_ANSWER_US: Final = 30 * MINUTE_US


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to look at; `at` is the instant that matters: its deadline, its start, or since when."""

    kind: Kind
    area: str
    wish_id: str
    match_id: str | None
    at: int


async def look(target: Target, within_hours: float, now: int | None = None) -> list[Matter]:
    """Everything that wants attention, the most urgent kind first. `now` is in microseconds."""
    now = time.time_ns() // 1000 if now is None else now
    soon = now + round(within_hours * 60) * MINUTE_US
    async with target.database("matcher") as connection, readable():
        rows = await connection.fetch(_MATCHER, now, soon, now + _ANSWER_US)
    async with target.database("notifier") as connection, readable():
        rows += await connection.fetch(_NOTIFIER, now - STUCK_US, now - OVERDUE_US)
    order = list(KINDS)
    found = [Matter(row["kind"], row["area"], row["wish_id"], row["match_id"], row["at"]) for row in rows]
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
        console.print(Text(f"{join(lang, title)} ({len(own)})", style="bold red" if kind in {"at_risk", "not_finished"} else "bold yellow"))
        say(console, lang, (f"→ {advice[0]}", f"→ {advice[1]}"), "dim")
        heads = (("时间", "when"), ("片区", "area"), ("心愿", "wish"), ("配对", "match"))
        table = Table(*(join(lang, head) for head in heads), show_edge=False)
        for column in table.columns:
            column.overflow = "fold"
        for one in own[:_MOST]:
            table.add_row(clock(one.at), Text(clean(one.area)), Text(clean(one.wish_id)), Text(clean(one.match_id or "-")))
        console.print(table)
        if len(own) > _MOST:
            say(console, lang, (f"……另有 {len(own) - _MOST} 件", f"... and {len(own) - _MOST} more"), "dim")
        console.print()
