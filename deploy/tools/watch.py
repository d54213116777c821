"""`watch [topic]`: what goes over the topics, one line an event, in words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from deploy.tools import kafka
from deploy.tools.telling import tell_record
from deploy.tools.wording import Lang, join, moment
from deploy.words import Trouble
from schemas.topics import TOPICS
from services.broker import Where

NAMES: Final = tuple(topic.name for topic in TOPICS)
_POLL_MS: Final = 300
_STYLES: Final = {"wishes": "yellow", "offers": "cyan", "responses": "magenta", "matches": "blue", "confirmations": "green"}
_NAME_WIDTH: Final = max(map(len, NAMES))


def chosen(topic: str | None) -> tuple[str, ...]:
    """The topics to watch.

    Raises:
        Trouble: there is none of this name.
    """
    if topic is None:
        return NAMES
    if topic not in NAMES:
        known = ", ".join(NAMES)
        raise Trouble(f"没有这个主题。可选：{known}", f"There is no such topic. There are: {known}")
    return (topic,)


def line_of(record: Any, lang: Lang) -> Text:
    """A record as one line: local time, topic, what it says."""
    text = Text(moment(record.timestamp * 1000).strftime("%H:%M:%S "), style="dim")
    text.append(f"{record.topic:<{_NAME_WIDTH}} ", style=_STYLES.get(record.topic, "red"))
    text.append(join(lang, tell_record(record)), style="default")
    return text


async def watch(broker: Where, topics: Sequence[str], console: Console, lang: Lang, *, from_start: bool, count: int | None = None) -> None:
    """Print what comes, until cancelled or, where given, `count` events are shown.

    Raises:
        Trouble: Kafka does not answer.
    """
    shown = 0
    me = asyncio.current_task()
    assert me is not None
    async with kafka.reachable(broker), kafka.consumer(broker, topics, from_start=from_start) as source:
        while count is None or shown < count:
            for record in kafka.in_order(await source.getmany(timeout_ms=_POLL_MS)):
                console.print(line_of(record, lang), soft_wrap=True)
                shown += 1
                if shown == count:
                    return
            if me.cancelling():  # Ctrl-C just when records came: the wait inside the client gives these, and forgets the other
                return
