"""The sample day that `up` plays: publishes a day of the High-tech Zone as integrations would, shows each confirmation, sums up.

It goes in through Kafka and looks at nothing but topics, except for one thing: whether all it sent has been decided, which only
the matcher's cursors tell. Volunteers who are asked answer, and community workers approve, a moment after they hear; for a few wishes at the
end nobody answers, so that they lie on the claim wall for whoever tries it out.
"""

from __future__ import annotations

import heapq
import itertools
import json
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.day_people import put_in
from deploy.day_plan import Plan, Sending, plan_day
from deploy.demo import has_gateway, show_accounts, tell
from deploy.hightech import AREA_NAME, BRANCHES, COMMUNITIES, COMPOUNDS, PARTY_MEMBERS, RESIDENTS
from deploy.stack import Stack
from deploy.state import write_private
from deploy.tools import kafka
from deploy.tools.telling import header
from deploy.tools.wording import CATEGORIES, DEAD, LOCAL, REFUSALS, RELEASES, RUNGS, Words, clean, slot_words, word
from deploy.words import Trouble, both
from schemas.codec import Event, decode
from schemas.confirmations import MatchConfirmed
from schemas.errors import InvalidEvent
from schemas.matches import ClaimRejected, HelperInvited, MatchProposed, MatchReleased
from schemas.topics import CONFIRMATIONS, LANE_TOPICS, MATCHES, dead_letter_topic

SEED: Final = 915
DAY_SECONDS: Final = 24.0
# How long nothing may be heard, once all is sent, before the day is given up.
QUIET_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 1.0
_POLL_MS: Final = 60
_ANSWER_SECONDS: Final = 0.9
_SUSPENSION_AT: Final = 0.72
_RUN_FILE: Final = "day.json"
_WATCHED: Final = (MATCHES, CONFIRMATIONS, *(dead_letter_topic(topic) for topic in LANE_TOPICS))
_CURSORS: Final = f"SELECT lane, seq = published AS published, {', '.join(f'{topic}_next' for topic in LANE_TOPICS)} FROM matching.lanes"  # noqa: S608 - topics' names are constants
_ROUND_SOON: Final = "SELECT EXISTS (SELECT FROM matching.areas WHERE round_at BETWEEN $1 AND $1 + 10000000)"
_TAKEN: Final = "SELECT EXISTS (SELECT FROM matching.wishes WHERE wish_id = $1)"
_REPEATS: Final = "SELECT count(*) FROM matching.journal WHERE outcome = 'duplicate' AND event_id = ANY($1)"


@dataclass(slots=True)
class Live:
    """A match as the day has heard of it."""

    wish_id: str
    offer_id: str
    group_size: int | None
    confirmed: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a day; times are in milliseconds from the wish's sending to its last helper's confirmation."""

    wishes: int = 0
    offers: int = 0
    matched: int = 0
    confirmed: int = 0
    confirmations: int = 0
    withdrawn: int = 0
    waiting: list[str] = field(default_factory=list)
    released: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    milliseconds: list[float] = field(default_factory=list)
    finished: bool = False
    accounts: list[str] = field(default_factory=list)


async def play_day(stack: Stack, console: Console, *, seed: int = SEED, once: bool = False, seconds: float = DAY_SECONDS) -> None:
    """Play a day on a running stack and show it. It ends by itself, whatever happens.

    Raises:
        Trouble: with `once`, confirmations that were due did not come, or a server did not answer. Otherwise this is only said.
    """
    try:
        outcome = await play(stack, console, seed=seed, seconds=seconds, quiet_seconds=QUIET_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        trouble = Trouble(
            "演示中断：PostgreSQL 没有应答。", f"The sample day stopped: PostgreSQL does not answer ({type(fault).__name__}).", log=stack.state.logs
        )
    except Trouble as fault:
        trouble = fault
    else:
        _sum_up(outcome, console)
        if outcome.finished:
            _what_next(outcome, console, stays=not once)
            return
        trouble = Trouble(
            f"演示没有全部完成：{QUIET_SECONDS:.0f} 秒内没有等到应有的确认。请看日志：python3 -m deploy logs",
            f"The sample day is not complete: confirmations that were due did not come within {QUIET_SECONDS:.0f} s. See: python3 -m deploy logs",
            log=stack.state.logs,
        )
    if once:
        raise trouble
    console.print(Text(str(trouble), style="red"))


async def play(stack: Stack, console: Console, *, seed: int, seconds: float, quiet_seconds: float) -> Outcome:
    """Play a day and give what came of it."""
    connection = await asyncpg.connect(stack.postgres.owner_dsn(stack.database), timeout=10)
    try:
        plan = plan_day(await _next_run(stack.state.folder, connection), datetime.now(LOCAL), seed)
        if stack.has_vault:
            people, minors = await put_in(stack, plan)
            console.print(
                Text(both(f"保险箱：{people} 位虚构人员，{minors} 名未成年人有监护人同意", f"vault: {people} invented people, {minors} minors with consent"))
            )
        accounts = await show_accounts(stack, connection, plan, console) if has_gateway(stack) else []
        day = _Day(plan, console, connection, seconds, quiet_seconds)
        broker = stack.kafka.broker("workers")
        async with kafka.reachable(broker), kafka.consumer(broker, _WATCHED, from_start=False) as source, kafka.producer(broker) as producer:
            outcome = await day.run(source, producer)
            outcome.accounts = accounts
            return outcome
    finally:
        await connection.close()


async def _next_run(folder: Path, connection: asyncpg.Connection) -> int:
    """The run's number: one more than the state folder remembers, and none that these servers have seen."""
    file = folder / _RUN_FILE
    try:
        run = int(json.loads(file.read_text(encoding="utf-8"))["run"]) + 1
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        run = 1
    while await connection.fetchval(_TAKEN, f"wish-{run}-01"):
        run += 1
    write_private(file, json.dumps({"run": run}) + "\n")
    return run


class _Day:
    """One run. A single loop sends what is due and takes what has come, so nothing here happens at the same time."""

    def __init__(self, plan: Plan, console: Console, connection: asyncpg.Connection, seconds: float, quiet_seconds: float) -> None:
        self._plan = plan
        self._console = console
        self._connection = connection
        self._quiet_seconds = quiet_seconds
        self._began = time.monotonic()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Sending]] = []
        for sending in plan.sendings:
            self._schedule(sending.at * seconds, sending)
        self._suspend_at: float | None = _SUSPENSION_AT * seconds
        self._declined = False
        self._answers = 0
        self._matches: dict[str, Live] = {}
        # Confirmations that came before their proposals: two topics are two streams.
        self._early: dict[str, tuple[MatchConfirmed, int]] = {}
        self._sent_at: dict[str, int] = {}
        self._withdrawn: set[str] = set()
        self._acknowledged: dict[tuple[str, int], int] = {}
        self._outcome = Outcome(offers=plan.offers)
        self._heard_at = self._began
        self._ids = {sending.id for sending in plan.sendings}
        self._sent = 0

    def _schedule(self, offset_seconds: float, sending: Sending) -> None:
        heapq.heappush(self._due, (self._began + offset_seconds, next(self._numbers), sending))

    async def run(self, source: AIOKafkaConsumer, producer: AIOKafkaProducer) -> Outcome:
        self._introduce()
        checked_at = 0.0
        with self._console.status("") as status:
            while True:
                await self._send_due(producer)
                status.update(
                    both(f"已发布 {self._sent}，已确认 {self._outcome.confirmations}", f"{self._sent} published, {self._outcome.confirmations} confirmed")
                )
                for record in kafka.in_order(await source.getmany(timeout_ms=_POLL_MS)):
                    self._take(record)
                now = time.monotonic()
                if self._due or now - checked_at < _SETTLE_SECONDS / 2:
                    continue
                checked_at = now
                if now - self._heard_at > _SETTLE_SECONDS and await self._is_settled():
                    self._outcome.finished = True
                elif now - self._heard_at < self._quiet_seconds:
                    continue
                return await self._counted()

    # ---- out

    async def _send_due(self, producer: AIOKafkaProducer) -> None:
        now = time.monotonic()
        if self._suspend_at is not None and now - self._began >= self._suspend_at:
            self._suspend_somebody()
        while self._due and self._due[0][0] <= now:
            sending = heapq.heappop(self._due)[2]
            value = orjson.dumps(sending.event(datetime.now(LOCAL)))
            place = await producer.send_and_wait(sending.topic, value, key=sending.data["area"].encode(), headers=kafka.STRUCTURED_HEADERS)
            self._acknowledged[sending.topic, place.partition] = place.offset
            if sending.type == "lastmetre.wish.submitted.v1":
                self._sent_at.setdefault(sending.subject, place.timestamp)
            elif sending.type == "lastmetre.wish.withdrawn.v1":
                self._withdrawn.add(sending.subject)
            self._sent += 1
            self._heard_at = time.monotonic()

    def _answer(self, kind: str, match_id: str | None, match: Live, data: dict[str, Any]) -> None:
        """Somebody who was asked answers, a moment later; an invitation is no match yet, and is answered without one."""
        self._answers += 1
        pair = {"area": self._plan.sendings[0].data["area"], "wish_id": match.wish_id, "offer_id": match.offer_id}
        if match_id is not None:
            pair["match_id"] = match_id
        sending = Sending(1.0, f"lastmetre.{kind}.v1", f"answer-{self._plan.run}-{self._answers:03}", match_id or match.wish_id, {**pair, **data})
        self._schedule(time.monotonic() - self._began + _ANSWER_SECONDS, sending)

    def _suspend_somebody(self) -> None:
        """A helper with a confirmed visit is suspended; the visit is taken back and another helper found. Tried again until there is one."""
        for match in self._matches.values():
            need = self._plan.wishes.get(match.wish_id)
            if need is not None and match.confirmed and match.group_size is None and need.skills == ("phone_help",):
                data = {"area": self._plan.sendings[0].data["area"], "offer_id": match.offer_id, "reason": "审核复查中"}
                self._schedule(0.0, Sending(1.0, "lastmetre.offer.suspended.v1", f"suspension-{self._plan.run}", match.offer_id, data))
                self._suspend_at = None
                return

    # ---- in

    def _take(self, record: Any) -> None:
        if record.topic.endswith("-dlq"):
            self._take_dead(record)
            return
        try:
            event = decode(record.topic, record.value, record.headers)
        except InvalidEvent:
            return
        if isinstance(event.data, MatchConfirmed):
            self._take_confirmed(event.data, record.timestamp)
        elif getattr(event.data, "wish_id", None) in self._plan.wishes:
            self._heard_at = time.monotonic()
            self._take_match(event)

    def _take_match(self, event: Event) -> None:
        data = event.data
        if isinstance(data, MatchProposed):
            match = self._matches[data.match_id] = Live(data.wish_id, data.offer_id, data.group_size)
            if data.match_id in self._early:
                self._take_confirmed(*self._early.pop(data.match_id))
            if data.needs_answer:
                if not self._declined and data.group_size is None:
                    self._declined = True
                    self._answer("match.declined", data.match_id, match, {"reason": "临时有事"})
                else:
                    self._answer("match.accepted", data.match_id, match, {})
            if data.needs_approval:
                worker = {"worker_ref": f"worker-{self._plan.run}", "approved": True}
                self._answer("match.approved", data.match_id, match, worker)
        elif isinstance(data, HelperInvited) and data.wish_id not in self._plan.left:
            asked = Live(data.wish_id, data.offer_id, None)
            if not self._declined:
                self._declined = True
                self._answer("match.declined", None, asked, {"reason": "临时有事"})
            else:
                self._answer("match.accepted", None, asked, {})
        elif isinstance(data, MatchReleased):
            self._matches.pop(data.match_id, None)
            self._outcome.released += 1
            why = word(RELEASES, data.reason)
            self._note("↺", data.wish_id, (f"取消：{why[0]}", f"cancelled: {why[1]}"), "yellow")
        elif isinstance(data, ClaimRejected):
            self._outcome.refused[data.reason] += 1
            why = word(REFUSALS, data.reason)
            self._note("✗", data.wish_id, (f"认领未成：{why[0]}", f"a claim is refused: {why[1]}"), "yellow")

    def _take_confirmed(self, data: MatchConfirmed, at: int) -> None:
        """Both sides know; `at` is when that was published, in milliseconds since 1970."""
        rung, when = word(RUNGS, data.rung), slot_words(data.slot.start, data.slot.end)
        together: Words = ("", "")
        need = self._plan.wishes.get(data.wish_id)
        if need is not None:
            match = self._matches.get(data.match_id)
            if match is None:
                self._early[data.match_id] = (data, at)
                return
            if match.confirmed:
                return
            match.confirmed = True
            self._outcome.confirmations += 1
            self._heard_at = time.monotonic()
            count = sum(1 for one in self._matches.values() if one.wish_id == data.wish_id and one.confirmed)
            if match.group_size:
                together = (f"，{match.group_size} 人同行", f", {match.group_size} together")
            elif need.helpers > 1:
                together = (f"，第 {count}/{need.helpers} 位", f", helper {count} of {need.helpers}")
            if count >= need.together and data.wish_id in self._sent_at:
                self._outcome.milliseconds.append(at - self._sent_at.pop(data.wish_id))
        self._note("✓", data.wish_id, (f"{rung[0]}{together[0]}，{when[0]}", f"{rung[1]}{together[1]}, {when[1]}"), "green")

    def _take_dead(self, record: Any) -> None:
        try:
            event_id = header(record, "ce_id") or orjson.loads(record.value or b"null")["id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return
        if event_id not in self._ids:
            return
        self._heard_at = time.monotonic()
        reason = header(record, "dlq-reason") or "?"
        self._outcome.dead[reason] += 1
        why = word(DEAD, reason)
        place = f"{record.topic}:{record.partition}:{record.offset}"
        self._print("✗", (f"死信 {place}：{why[0]}", f"dead letter {place}: {why[1]}"), "red")

    # ---- the end

    async def _is_settled(self) -> bool:
        """Whether all that was sent is decided and published, and every match that stands is confirmed."""
        if any(not match.confirmed for match in self._matches.values()) or self._outcome.dead.total() < self._plan.bad:
            return False
        if await self._connection.fetchval(_ROUND_SOON, time.time_ns() // 1000 - 2_000_000):
            return False
        cursors = {row["lane"]: row for row in await self._connection.fetch(_CURSORS)}
        for (topic, partition), offset in self._acknowledged.items():
            row = cursors.get(partition)
            if row is None or row[f"{topic}_next"] <= offset or not row["published"]:
                return False
        return True

    async def _counted(self) -> Outcome:
        outcome = self._outcome
        outcome.wishes = len(self._plan.wishes)
        outcome.withdrawn = len(self._withdrawn)
        outcome.repeats = await self._connection.fetchval(_REPEATS, list(self._ids))
        standing = Counter(match.wish_id for match in self._matches.values())
        confirmed = Counter(match.wish_id for match in self._matches.values() if match.confirmed)
        for wish_id, need in self._plan.wishes.items():
            if wish_id in self._withdrawn:
                continue
            outcome.matched += standing[wish_id] >= need.together
            outcome.confirmed += confirmed[wish_id] >= need.together
            if standing[wish_id] < need.together:
                outcome.waiting.append(wish_id)
        # What waits on the wall first: the last is named as an example of a wish that the rules keep waiting.
        outcome.waiting.sort(key=lambda wish_id: wish_id not in self._plan.left)
        return outcome

    # ---- on the screen

    def _introduce(self) -> None:
        plan = self._plan
        names = "、".join(COMMUNITIES.values())
        lines = (
            f"{len(COMMUNITIES)} 个社区（{names}），{len(COMPOUNDS)} 个小区，居民 {RESIDENTS:,} 人，{BRANCHES} 个党支部，党员 {PARTY_MEMBERS:,} 名",
            f"{len(COMMUNITIES)} communities, {len(COMPOUNDS)} compounds, {RESIDENTS:,} residents, {PARTY_MEMBERS:,} Party members in {BRANCHES} branches",
            f"今天：{len(plan.wishes)} 个微心愿，{plan.offers} 份志愿服务（第 {plan.run} 次演示，人物均为虚构）",
            f"today: {len(plan.wishes)} wishes and {plan.offers} offers (run {plan.run}; nobody in it is real)",
        )
        text = Text()
        for number, line in enumerate(lines):
            text.append(line + ("\n" if number < len(lines) - 1 else ""), style="dim" if number % 2 else "default")
        title = both(f"{AREA_NAME[0]}的一天", f"a day in the {AREA_NAME[1]}")
        if self._console.is_terminal:
            self._console.print(Panel(text, title=title, title_align="left", expand=False))
        else:
            self._console.print(Text(title))
            self._console.print(text)

    def _note(self, mark: str, wish_id: str, what: Words, style: str) -> None:
        """A line about one wish: who it is about is looked up in what this day published."""
        need = self._plan.wishes.get(wish_id)
        if need is None:
            about: Words = (f"另一心愿 {clean(wish_id)}", f"another wish, {clean(wish_id)}")
        else:
            category = word(CATEGORIES, need.category)
            about = (f"{category[0]}「{need.zh}」", f"{category[1]}: {need.en}")
        self._print(mark, (f"{about[0]} {what[0]}", f"{about[1]} - {what[1]}"), style)

    def _print(self, mark: str, words: Words, style: str) -> None:
        text = Text(f"{datetime.now(LOCAL):%H:%M:%S} ", style="dim")
        text.append(f"{mark} ", style=style)
        text.append(words[0], style=style if mark != "✓" else "default")
        self._console.print(text, soft_wrap=True)
        self._console.print(Text(" " * 11 + words[1], style="dim"), soft_wrap=True)


def _sum_up(outcome: Outcome, console: Console) -> None:
    """The day as a table."""

    def reasons(counts: Counter[str], words: dict[str, Words]) -> str:
        return "\n".join(f"{count} × {both(*word(words, code))}" for code, count in sorted(counts.items()))

    median = f"{statistics.median(outcome.milliseconds):.0f} ms" if outcome.milliseconds else "-"
    rows: list[tuple[Words, str, str]] = [
        (("微心愿", "wishes"), str(outcome.wishes), ""),
        (("志愿服务", "offers"), str(outcome.offers), ""),
        (("已配对", "matched"), str(outcome.matched), ""),
        (
            ("已确认", "confirmed"),
            str(outcome.confirmed),
            both(f"{outcome.confirmations} 次双方确认", f"{outcome.confirmations} matches confirmed to both sides"),
        ),
        (("等待中", "waiting"), str(len(outcome.waiting)), ""),
        (("已撤回", "withdrawn"), str(outcome.withdrawn), ""),
        (("已取消的配对", "matches released"), str(outcome.released), ""),
        (("未成的认领", "refused claims"), str(outcome.refused.total()), reasons(outcome.refused, REFUSALS)),
        (("死信", "dead letters"), str(outcome.dead.total()), reasons(outcome.dead, DEAD)),
        (("重复事件", "repeated events"), str(outcome.repeats), both("无影响", "without effect") if outcome.repeats else ""),
        (("从心愿到确认（中位数）", "median time wish to confirmed"), median, ""),
    ]
    if not console.is_terminal:
        for name, value, note in rows:
            console.print(Text(f"{both(*name)}: {value}{'  ' if note else ''}{note.replace(chr(10), '; ')}"), soft_wrap=True)
        return
    table = Table(title=both("小结", "summary"), title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for name, value, note in rows:
        table.add_row(both(*name), value, note)
    console.print(table)


def _what_next(outcome: Outcome, console: Console, *, stays: bool) -> None:
    """What to try in another terminal, while the system stays up."""
    if not stays:
        return
    tell(outcome.accounts, console)
    console.print(Text(both("在另一个终端试试", "in another terminal, try")))
    commands: list[tuple[str, Words]] = [
        ("publish examples/first-wish.jsonl", ("发布第一个心愿", "publish a first wish")),
        ("watch", ("实时查看事件", "watch the events")),
        ("dlq list", ("查看死信", "look at the dead letters")),
        ("vault audit", ("保险箱：谁为何查看了谁", "the vault: who looked at whom, and why")),
    ]
    if outcome.waiting:
        commands.insert(2, (f"explain {outcome.waiting[-1]}", ("它为什么还在等", "why this one still waits")))
    # A line of its own for each command, however narrow the screen: it is there to be copied.
    for command, words in commands:
        console.print(Text(f"  python3 -m deploy {command}", style="cyan"), soft_wrap=True)
        console.print(Text(f"      {both(*words)}", style="dim"), soft_wrap=True)
