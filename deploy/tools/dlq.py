"""`dlq list | show | replay`: look at dead letters, and send again what can be taken now.

There may be as many of them, and as large, as somebody's program sends until somebody looks: they are read one by one, and none is kept.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Self

import orjson
from rich.console import Console
from rich.text import Text

from deploy.tables import Table
from deploy.tools import kafka
from deploy.tools.telling import header
from deploy.tools.wording import DEAD, Lang, Words, clean, clock, join, word
from deploy.words import Trouble
from schemas.errors import CONTAINS_PERSONAL_DATA, TOO_LARGE, WRONG_TOPIC
from schemas.registry import TOPIC_OF
from schemas.topics import MIB, OFFERS, RESPONSES, TOPICS, WISHES, dead_letter_topic
from services.broker import Where

DEAD_TOPICS: Final = tuple(topic.name for topic in TOPICS if topic.name.endswith("-dlq"))
_ORIGINALS: Final = frozenset(topic.name for topic in TOPICS) - frozenset(DEAD_TOPICS)
# Where others publish; on the rest what did not come from its service would be believed to.
_FROM_OTHERS: Final = frozenset((WISHES, OFFERS, RESPONSES))
_PLACE: Final = re.compile(r"([a-z-]+):(\d{1,9}):(\d{1,18})")
# Personal numbers are masked letter by letter, and the shortest of them has three.
_MASK: Final = re.compile(rb"\*{3}")
_SHOWN_BYTES: Final = 20_000
_TOGETHER: Final = 100


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter: the record as it lies in its topic."""

    record: Any

    @property
    def place(self) -> str:
        """TOPIC:PARTITION:OFFSET, as `show` and `replay` take it."""
        return f"{self.record.topic}:{self.record.partition}:{self.record.offset}"

    @property
    def reason(self) -> str:
        """The reason's code."""
        return header(self.record, "dlq-reason") or "?"

    @property
    def message(self) -> Words:
        """The reason in words."""
        zh, _, en = (header(self.record, "dlq-message") or "").partition(" | ")
        return (clean(zh), clean(en or zh))

    @property
    def origin(self) -> str:
        """Where it came from: TOPIC:PARTITION:OFFSET."""
        return ":".join(header(self.record, f"dlq-{part}") or "?" for part in ("topic", "partition", "offset"))

    @property
    def topic(self) -> str | None:
        """The topic that it came from, if it is one of ours."""
        named = header(self.record, "dlq-topic")
        return named if named in _ORIGINALS and dead_letter_topic(named or "") == self.record.topic else None

    @property
    def target(self) -> str | None:
        """The topic on which it is to be sent again, if it may be: where it came from, or where it ought to have come."""
        if self.reason != WRONG_TOPIC:
            return self.topic
        right = TOPIC_OF.get(self.type)
        return right if self.topic is not None and right in _FROM_OTHERS else None

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """The headers with which it first came."""
        return [(name, value) for name, value in self.record.headers if not name.startswith("dlq-")]

    @property
    def type(self) -> str:
        """The event's type, as far as it can be seen."""
        said = header(self.record, "ce_type")
        if said is None:
            try:
                document = orjson.loads(self.record.value or b"")
            except orjson.JSONDecodeError:
                return "-"
            said = document.get("type") if isinstance(document, dict) else None
        return clean(said, 60) if isinstance(said, str) else "-"

    @property
    def is_masked(self) -> bool:
        """Whether text of it was masked (or looks so), and it is not the event that came any more."""
        parts = [self.record.key, self.record.value, *(value for _, value in self.headers)]
        return self.reason == CONTAINS_PERSONAL_DATA or any(part is not None and _MASK.search(part) is not None for part in parts)

    @property
    def hindrance(self) -> Words | None:
        """Why it cannot be sent again, or None."""
        if self.topic is None:
            return ("不知道它原来的主题", "its original topic is not known")
        if self.target is None:
            return (
                "它来错了主题，而此类型只由服务自己发布",
                "it came on the wrong topic, and its type is one that only services publish",
            )
        if self.is_masked:
            return (
                "其中的个人信息已遮盖，已不是原来的事件。请在源系统删去个人信息后重新发布",
                "personal data in it is masked, so it is no longer the event that came: remove that data at its source and publish it anew",
            )
        if self.reason == TOO_LARGE:
            return ("它大于 1 MiB，再发也会被拒", "it is larger than 1 MiB and would be refused again")
        return None

    @property
    def content(self) -> bytes:
        """A digest of what would be sent: two letters of the same content are one event."""
        return sha256(repr((self.target, self.record.key, self.record.value, self.headers)).encode()).digest()


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """What is shown of a dead letter among others. `at` is in microseconds."""

    at: int
    place: str
    reason: str
    origin: str
    type: str
    message: Words

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """A letter's line."""
        return cls(letter.record.timestamp * 1000, letter.place, letter.reason, letter.origin, letter.type, letter.message)


@dataclass(slots=True)
class Overview:
    """All dead letters: how many for each reason, and the newest in order of time."""

    reasons: Counter[str] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)


async def letters(broker: Where, topic: str | None = None, reason: str | None = None) -> AsyncIterator[Letter]:
    """The dead letters as they come, each partition's oldest first; of one topic (`wishes` or `wishes-dlq`), of one reason.

    Raises:
        Trouble: there is no such topic or reason, or Kafka does not answer.
    """
    if reason is not None and reason not in DEAD:
        raise Trouble(f"没有这个原因。可选：{', '.join(DEAD)}", f"There is no such reason. There are: {', '.join(DEAD)}")
    names = DEAD_TOPICS if topic is None else (_dead_topic(topic),)
    async for record in kafka.each(broker, names):
        letter = Letter(record)
        if reason is None or letter.reason == reason:
            yield letter


async def alone(letter: Letter) -> AsyncIterator[Letter]:
    """This one, as :func:`letters` gives many."""
    yield letter


async def overview(found: AsyncIterable[Letter], most: int) -> Overview:
    """How many there are for which reason, and of the newest (`most` of them; 0: of all) a line each."""
    overview = Overview()
    lines: list[tuple[tuple[int, str, int, int], Line]] = []
    async for letter in found:
        overview.reasons[letter.reason] += 1
        heapq.heappush(lines, (kafka.place_in_time(letter.record), Line.of(letter)))
        if 0 < most < len(lines):
            heapq.heappop(lines)
    overview.lines = [line for _, line in sorted(lines)]
    return overview


def _dead_topic(name: str) -> str:
    full = name if name.endswith("-dlq") else dead_letter_topic(name)
    if full not in DEAD_TOPICS:
        known = ", ".join(DEAD_TOPICS)
        raise Trouble(f"没有这个主题。可选：{known}", f"There is no such topic. There are: {known}")
    return full


async def letter_at(broker: Where, place: str) -> Letter:
    """The dead letter at TOPIC:PARTITION:OFFSET.

    Raises:
        Trouble: the place is not written so, or nothing lies there.
    """
    found = _PLACE.fullmatch(place)
    if found is None or not found[1].endswith("-dlq"):
        raise Trouble(
            "请按 主题:分区:位移 填写，例如 wishes-dlq:2:0（见 dlq list）。",
            "Give the place as TOPIC:PARTITION:OFFSET, such as wishes-dlq:2:0 (see dlq list).",
        )
    record = await kafka.read_one(broker, _dead_topic(found[1]), int(found[2]), int(found[3]))
    if record is None:
        raise Trouble(f"{place} 处没有死信。请看：python3 -m deploy dlq list", f"There is no dead letter at {place}. See: python3 -m deploy dlq list")
    return Letter(record)


def show_list(found: Overview, console: Console, lang: Lang) -> None:
    """The dead letters as a table; where it has not all of them, how many there are for each reason."""
    count = found.reasons.total()
    if not count:
        console.print(Text(join(lang, ("没有死信。", "There are no dead letters.")), style="green"))
        return
    heads = (("位置", "place"), ("时间", "when"), ("原因", "reason"), ("来自", "from"), ("类型", "type"), ("说明", "message"))
    title = f"死信 {count} 条", f"{count} dead {'letter' if count == 1 else 'letters'}"
    table = Table(*(join(lang, head) for head in heads), title=join(lang, title), title_justify="left")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for line in found.lines:
        table.add_row(
            Text(line.place),
            clock(line.at),
            Text(f"{clean(line.reason)}\n{join(lang, word(DEAD, line.reason))}", style="red"),
            Text(clean(line.origin)),
            Text(line.type.removeprefix("lastmetre.")),
            Text("\n".join(line.message) if lang == "both" else join(lang, line.message)),
        )
    console.print(table)
    if count > len(found.lines):
        by_reason = ", ".join(f"{clean(reason)} {number}" for reason, number in found.reasons.most_common())
        shown = len(found.lines)
        said = (f"只列出最新 {shown} 条（--most 0 列出全部）。各原因条数：{by_reason}", f"The newest {shown} are shown (--most 0: all). By reason: {by_reason}")
        console.print(Text(join(lang, said)))


def show_one(letter: Letter, console: Console, lang: Lang) -> None:
    """All of one dead letter."""
    facts: list[tuple[Words, str]] = [
        (("位置", "place"), letter.place),
        (("时间", "when"), clock(letter.record.timestamp * 1000)),
        (("来自", "from"), clean(letter.origin)),
        (("原因", "reason"), f"{clean(letter.reason)} · {join(lang, word(DEAD, letter.reason))}"),
        (("说明", "message"), join(lang, letter.message)),
        (("键", "key"), "-" if letter.record.key is None else clean(letter.record.key.decode(errors="replace"))),
    ]
    facts.extend(((clean(name),) * 2, "-" if value is None else clean(value.decode(errors="replace"))) for name, value in letter.headers)
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(join(lang, name), style="dim"), Text(value))
    console.print(table)
    console.print(Text(_readable(letter.record.value)), soft_wrap=True)
    hindrance = letter.hindrance
    if hindrance is None:
        said = ("修复原因后可重发", "once the cause is mended, send it again")
        console.print(Text(f"{join(lang, said)}: python3 -m deploy dlq replay {letter.place}", style="dim"))
    else:
        said = (f"不能重发：{hindrance[0]}", f"it can't be sent again: {hindrance[1]}")
        console.print(Text(join(lang, said), style="yellow"))


def _readable(value: bytes | None) -> str:
    if value is None:
        return "null"
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, TypeError):
        text = value[:_SHOWN_BYTES].decode(errors="replace")
    return "\n".join(clean(line, _SHOWN_BYTES) for line in text[:_SHOWN_BYTES].split("\n"))


async def _handfuls(found: AsyncIterable[Letter]) -> AsyncIterator[list[Letter]]:
    """Some at a time, for the broker's word takes milliseconds whether it is about one or a hundred; of large ones fewer."""
    some, size = list[Letter](), 0
    async for letter in found:
        some.append(letter)
        size += len(letter.record.value or b"")
        if len(some) == _TOGETHER or size > MIB:
            yield some
            some, size = [], 0
    if some:
        yield some


async def replay(broker: Where, found: AsyncIterable[Letter], console: Console, lang: Lang) -> tuple[int, int]:
    """Send letters again, as they first came, to their topics under their keys; how many were sent, and how many could not be.

    What came on a wrong topic goes to that of its type. Letters of one content are one event and go once.

    Raises:
        Trouble: Kafka does not answer.
    """
    done: set[bytes] = set()
    sent = refused = 0
    async with kafka.reachable(broker), kafka.producer(broker) as producer:
        async for some in _handfuls(found):
            became: list[Any] = []
            for letter in some:
                hindrance = letter.hindrance
                if hindrance is None and letter.content not in done:
                    done.add(letter.content)
                    became.append(await producer.send(letter.target, letter.record.value, key=letter.record.key, headers=letter.headers))
                elif hindrance is not None:
                    became.append(hindrance)
                else:
                    became.append(None)
            places = iter(await asyncio.gather(*(one for one in became if isinstance(one, asyncio.Future)), return_exceptions=True))
            for letter, one in zip(some, became, strict=True):
                if isinstance(one, asyncio.Future):
                    place = next(places)
                    if isinstance(place, BaseException):
                        raise place
                    sent += 1
                    console.print(Text(f"{letter.place} → {place.topic}:{place.partition}:{place.offset}", style="green"))
                elif one is not None:
                    refused += 1
                    said = (f"{letter.place} 未重发：{one[0]}。", f"{letter.place} was not sent: {one[1]}.")
                    console.print(Text(join(lang, said), style="yellow"))
    said = (f"重发 {sent} 条，未发 {refused} 条。", f"{sent} sent again, {refused} not sent.")
    console.print(Text(join(lang, said)))
    return sent, refused
