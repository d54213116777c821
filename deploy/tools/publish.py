"""`publish FILE`: send events as an integration would, and see what becomes of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from deploy.tools import kafka
from deploy.tools.placeholders import UnknownPlaceholder, fill
from deploy.tools.telling import header, tell, tell_record
from deploy.tools.wording import LOCAL, Lang, Words, clean, join
from deploy.words import Trouble
from schemas.codec import Event, decode, decode_structured
from schemas.errors import InvalidEvent
from schemas.matches import ClaimRejected, WishExpired
from schemas.registry import TOPIC_OF
from schemas.responses import WishClaimed
from schemas.topics import CONFIRMATIONS, MATCHES, TOPICS, WISHES, dead_letter_topic
from schemas.wishes import WishSubmitted
from services.broker import Where
from services.matcher.core.state import Wish

_IN_FLIGHT_MAX: Final = 1000
_FAULTS_SHOWN: Final = 20
_POLL_MS: Final = 200
_WATCHED: Final = (MATCHES, CONFIRMATIONS, *(dead_letter_topic(topic.name) for topic in TOPICS if not topic.name.endswith("-dlq")))


@dataclass(slots=True)
class Line:
    """One line of a file: what is sent where. `event` is None where nothing was validated."""

    where: str
    value: bytes
    topic: str
    key: bytes | None
    event: Event | None
    offset: int = -1
    partition: int = -1


def read_lines(files: Iterable[str], *, raw: bool) -> list[Line]:
    """The events of these files (`-`: standard input), filled and validated; blank lines are none. With `raw`, as they stand.

    Raises:
        Trouble: a file cannot be read, or lines are not valid: each is named with its field and the fix.
    """
    now = datetime.now(LOCAL)
    lines: list[Line] = []
    faults: list[tuple[str, str]] = []
    for file in files:
        name = "stdin" if file == "-" else file
        for number, text in enumerate(_content(file).splitlines(), 1):
            where = f"{name}:{number}"
            if not text.strip():
                continue
            if raw:
                lines.append(_raw(where, text))
                continue
            try:
                lines.append(_valid(where, fill(text.strip(), now, uuid4)))
            except UnknownPlaceholder as fault:
                shown = clean(str(fault))
                faults.append(
                    (
                        f"{where}：不认识占位符 {{{{{shown}}}}}，可用 {{{{now}}}}、{{{{now+2h}}}}、{{{{uuid}}}}、{{{{short}}}}",
                        f"{where}: unknown placeholder {{{{{shown}}}}}: use {{{{now}}}}, {{{{now+2h}}}}, {{{{uuid}}}} or {{{{short}}}}",
                    )
                )
            except InvalidEvent as fault:
                zh, _, en = str(fault).partition(" | ")
                faults.append((f"{where}：{clean(zh)}", f"{where}: {clean(en)}"))
    if faults:
        raise _refusal(faults)
    if not lines:
        raise Trouble("文件里没有事件。每行应为一个 JSON 格式的 CloudEvent。", "There is no event in it: each line is one CloudEvent as JSON.")
    return lines


def _refusal(faults: list[tuple[str, str]]) -> Trouble:
    more = len(faults) - _FAULTS_SHOWN
    zh = [f"有 {len(faults)} 行不合规，什么都没有发送：", *(one for one, _ in faults[:_FAULTS_SHOWN])]
    en = [f"{len(faults)} {'line is' if len(faults) == 1 else 'lines are'} not valid; nothing was sent:", *(one for _, one in faults[:_FAULTS_SHOWN])]
    if more > 0:
        zh.append(f"……另有 {more} 行")
        en.append(f"... and {more} more")
    return Trouble("\n".join(zh), "\n".join(en))


def _content(file: str) -> bytes:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as fault:
        raise Trouble(f"无法读取 {file}：{fault.strerror}", f"{file} can't be read: {fault.strerror}") from None
    return content.removeprefix(b"\xef\xbb\xbf")


def _valid(where: str, value: bytes) -> Line:
    event = decode_structured(value)
    return Line(where, value, TOPIC_OF[event.type], event.partitionkey.encode(), event)


def _raw(where: str, value: bytes) -> Line:
    """As it stands: to its type's topic under its partition key, as far as these can be seen."""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        document = None
    attributes: dict[str, Any] = document if isinstance(document, dict) else {}
    kind, key = attributes.get("type"), attributes.get("partitionkey")
    topic = TOPIC_OF.get(kind, WISHES) if isinstance(kind, str) else WISHES
    return Line(where, value, topic, key.encode() if isinstance(key, str) and key else None, None)


async def publish(broker: Where, lines: list[Line], console: Console, lang: Lang, *, wait_seconds: float) -> bool:
    """Send the lines in their order, show where each lies, and then (for `wait_seconds`) what becomes of them.

    Gives whether all that was waited for has come to its end.

    Raises:
        Trouble: Kafka does not answer or does not take an event.
    """
    async with kafka.reachable(broker), kafka.consumer(broker, _WATCHED, from_start=False) as source:
        async with kafka.producer(broker) as producer:
            for start in range(0, len(lines), _IN_FLIGHT_MAX):
                await _send(producer, lines[start : start + _IN_FLIGHT_MAX], console, lang)
        events = "event" if len(lines) == 1 else "events"
        said = (f"已发送 {len(lines)} 个事件，Kafka 均已确认。", f"{len(lines)} {events} sent and acknowledged by Kafka.")
        console.print(Text(join(lang, said), style="green"))
        return await Following(lines, console, lang).follow(source, wait_seconds) if wait_seconds > 0 else True


async def _send(producer: AIOKafkaProducer, lines: list[Line], console: Console, lang: Lang) -> None:
    try:
        # All are on their way before the first is waited for.
        waiting = [await producer.send(line.topic, line.value, key=line.key, headers=kafka.STRUCTURED_HEADERS) for line in lines]
        for line, future in zip(lines, waiting, strict=True):
            metadata = await future
            line.partition, line.offset = metadata.partition, metadata.offset
            _show(line, console, lang)
    except MessageSizeTooLargeError:
        raise Trouble("事件过大，Kafka 不接收。请缩小到 1 MiB 以内。", "Kafka does not take an event of this size: make it smaller than 1 MiB.") from None
    except KafkaError as fault:
        raise Trouble(f"Kafka 没有接收事件：{type(fault).__name__}", f"Kafka did not take an event: {type(fault).__name__}") from fault


def _show(line: Line, console: Console, lang: Lang) -> None:
    text = Text(f"→ {line.topic}:{line.partition}:{line.offset}", style="cyan")
    if line.event is None:
        text.append(f"  {clean(line.where)}", style="default")
        console.print(text)
    else:
        console.print(text)
        _say(console, lang, tell(line.event), "default")
    if line.event is not None and line.event.partitionkey != line.event.area:
        said = ("partitionkey 与 data.area 不同，将按 data.area 重新发布", "partitionkey differs from data.area: it will be republished under data.area")
        _say(console, lang, said, "yellow")


def _say(console: Console, lang: Lang, words: Words, style: str) -> None:
    """One sentence, indented; in both languages it takes two lines."""
    for text in words if lang == "both" else (words[0] if lang == "zh" else words[1],):
        console.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))


class Following:
    """What is waited for, and what came of it."""

    def __init__(self, lines: list[Line], console: Console, lang: Lang) -> None:
        self._console = console
        self._lang = lang
        self._sent = {f"{line.topic}:{line.partition}:{line.offset}" for line in lines}
        self._wishes: dict[str, int] = {}
        self._claims: set[tuple[str, str]] = set()
        for line in lines:
            data = line.event.data if line.event is not None else None
            if isinstance(data, WishSubmitted):
                self._wishes[data.wish_id] = Wish(data, 0).need
            elif isinstance(data, WishClaimed):
                self._claims.add((data.wish_id, data.offer_id))
        self._about = self._wishes.keys() | {wish_id for wish_id, _ in self._claims}
        self._unread = any(line.event is None for line in lines)

    @property
    def _done(self) -> bool:
        return not self._wishes and not self._claims and not self._unread

    async def follow(self, source: AIOKafkaConsumer, seconds: float) -> bool:
        """Show what comes of it for so many seconds at most, then what has not come; whether all has."""
        deadline = time.monotonic() + seconds
        while not self._done and time.monotonic() < deadline:
            for record in kafka.in_order(await source.getmany(timeout_ms=_POLL_MS)):
                self._take(record)
        for wish_id in self._wishes:
            shown = clean(wish_id)
            self._warn(
                (
                    f"心愿 {shown} 还没有全部确认。看原因：python3 -m deploy explain {shown}",
                    f"wish {shown} is not fully confirmed yet. To see why: python3 -m deploy explain {shown}",
                )
            )
        for wish_id, offer_id in sorted(self._claims):
            wish, offer = clean(wish_id), clean(offer_id)
            self._warn(
                (
                    f"服务 {offer} 对心愿 {wish} 的认领还没有结果。稍后再看：python3 -m deploy explain {wish}",
                    f"the claim of offer {offer} on wish {wish} has no answer yet. Look again later: python3 -m deploy explain {wish}",
                )
            )
        return not self._wishes and not self._claims

    def _warn(self, words: Words) -> None:
        for text in words if self._lang == "both" else (join(self._lang, words),):
            self._console.print(Text(text, style="yellow"))

    def _take(self, record: Any) -> None:
        if record.topic.endswith("-dlq"):
            place = ":".join(header(record, f"dlq-{part}") or "" for part in ("topic", "partition", "offset"))
            if place in self._sent:
                self._print(record, "red")
            return
        try:
            event = decode(record.topic, record.value, record.headers)
        except InvalidEvent:
            return
        wish_id = getattr(event.data, "wish_id", None)
        if wish_id not in self._about:
            return
        self._print(record, "green" if record.topic == CONFIRMATIONS else "default")
        if isinstance(event.data, ClaimRejected) or getattr(event.data, "how", None) == "claimed":
            self._claims.discard((wish_id, event.data.offer_id))
        if event.type == "lastmetre.match.confirmed.v1" and wish_id in self._wishes:
            self._wishes[wish_id] -= 1
        if isinstance(event.data, WishExpired) or self._wishes.get(wish_id) == 0:
            self._wishes.pop(wish_id, None)

    def _print(self, record: Any, style: str) -> None:
        self._console.print(Text(f"← {record.topic}:{record.partition}:{record.offset}", style="cyan"))
        _say(self._console, self._lang, tell_record(record), style)
