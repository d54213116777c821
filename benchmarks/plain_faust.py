"""The peer that Faust's own documentation suggests: an agent with a table, and one send a match.

The offers lie in the process's memory, by circle and skill, nearest circle first; the match of each wish is kept in a Faust table (memory store with its
changelog topic, as Faust has it by default), which also tells a wish that was matched already; each match is sent with `await topic.send(...)`. JSON is
validated with the same model. Faust's settings are its defaults, except that no web server is started, and uvloop drives it.

Each volunteer's slots lie in memory too, in order, so that nobody is sent to two places at once. It is also measured as it is easier to write: without them.

It is spared what the matcher does beside: nothing is in a database, nothing is kept when the process dies between the table and the commit of the offset,
there is no journal, and no log line an event.
"""

import asyncio
import signal
import sys
import tempfile
from bisect import insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import faust
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.contrib.asgi import faust_app_running

from schemas.offers import OfferPosted
from schemas.topics import MATCHES, OFFERS, PARTITIONS, WISHES
from schemas.wishes import WishSubmitted
from services.matcher.core.place import RUNG_OF, RUNGS, circles_of
from services.matcher.core.state import place_key

_VETTING_ALONE: Final = 2
_HEADERS: Final = {"ce_type": b"lastmetre.match.proposed.v1"}

_Stretch = tuple[datetime, datetime]


@dataclass(slots=True)
class _Helper:
    offer_id: str
    volunteer_ref: str
    skills: frozenset[str]
    level: int
    capacity: int
    windows: list[_Stretch]
    busy: list[_Stretch] | None
    matched: int = 0


@dataclass(slots=True)
class Helpers:
    """Offers by area, circle and skill; those who are full are dropped when they come up. `apart`: whether a volunteer's slots are kept apart."""

    apart: bool = True
    _busy: dict[str, list[_Stretch]] = field(default_factory=dict)
    _near: dict[tuple[Any, ...], deque[_Helper]] = field(default_factory=dict)

    def add(self, offer: OfferPosted) -> None:
        """File an offer under every circle that it reaches."""
        windows = sorted((one.start, one.end) for one in offer.windows)
        busy = self._busy.setdefault(offer.volunteer_ref, []) if self.apart else None
        helper = _Helper(offer.offer_id, offer.volunteer_ref, frozenset(offer.skills), offer.vetting.level, offer.capacity, windows, busy)
        for rung, circle in circles_of(place_key(offer.home)):
            if rung <= RUNG_OF[offer.reach]:
                for skill in offer.skills:
                    self._near.setdefault((offer.area, circle, skill), deque()).append(helper)

    def take(self, wish: WishSubmitted) -> tuple[_Helper, int, datetime] | None:
        """The nearest helper who can, in turn; the rung; and when."""
        vetting = max(wish.vetting_min, _VETTING_ALONE if wish.beneficiary.lives_alone else 0)
        length = timedelta(minutes=wish.minutes)
        for rung, circle in circles_of(place_key(wish.place)):
            helpers = self._near.get((wish.area, circle, wish.skills[0]))
            for _ in range(len(helpers or ())):
                assert helpers is not None
                helper = helpers[0]
                if helper.matched >= helper.capacity:
                    helpers.popleft()
                    continue
                helpers.rotate(-1)
                if helper.level < vetting or not helper.skills.issuperset(wish.skills):
                    continue
                for opens, closes in helper.windows:
                    start, latest = max(opens, wish.window.start), min(closes, wish.window.end) - length
                    if helper.busy:
                        start = _clear(start, length, latest, helper.busy)
                    if start <= latest:
                        helper.matched += 1
                        if helper.busy is not None:
                            insort(helper.busy, (start, start + length))
                        return helper, rung, start
        return None


def _clear(start: datetime, length: timedelta, latest: datetime, busy: list[_Stretch]) -> datetime:
    """The earliest start from `start` on that is clear of these slots, which are in order; one after `latest` where there is none until then."""
    for begins, ends in busy:
        if start > latest or start + length <= begins:
            break
        start = max(start, ends)
    return start


def make_app(bootstrap: str, name: str, helpers: Helpers, folder: str) -> faust.App:
    """The app as a Faust user would write it; `folder` is where Faust makes its own."""
    app = faust.App(name, broker=f"kafka://{bootstrap}", store="memory://", topic_partitions=PARTITIONS, web_enabled=False, autodiscover=False, datadir=folder)
    wishes = app.topic(WISHES, value_serializer="raw")
    matches = app.topic(MATCHES, value_serializer="raw", key_serializer="raw")
    assigned = app.Table("assigned", partitions=PARTITIONS)

    @app.agent(wishes)  # type: ignore[untyped-decorator]
    async def match(stream: Any) -> None:
        async for value in stream:
            wish = WishSubmitted.model_validate_json(value)
            if wish.wish_id in assigned:
                continue
            found = helpers.take(wish)
            if found is None:
                continue
            helper, rung, start = found
            data = {
                "area": wish.area,
                "match_id": str(uuid4()),
                "wish_id": wish.wish_id,
                "offer_id": helper.offer_id,
                "resident_ref": wish.resident_ref,
                "volunteer_ref": helper.volunteer_ref,
                "rung": RUNGS[rung],
                "slot": {"start": start.isoformat(), "end": (start + timedelta(minutes=wish.minutes)).isoformat()},
            }
            assigned[wish.wish_id] = data
            await matches.send(key=wish.area.encode(), value=orjson.dumps(data), headers=_HEADERS)

    return app


async def _posted(bootstrap: str) -> Iterable[OfferPosted]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(OFFERS, partition) for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[OfferPosted] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for run in (await consumer.getmany(timeout_ms=1000)).values():
                found.extend(OfferPosted.model_validate_json(record.value) for record in run)
        return found
    finally:
        await consumer.stop()


async def run(bootstrap: str, name: str, *, apart: bool) -> None:
    """Read the offers, then match wishes until SIGTERM."""
    helpers = Helpers(apart)
    for offer in await _posted(bootstrap):
        helpers.add(offer)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with tempfile.TemporaryDirectory(prefix="lastmetre-faust-") as folder:
        async with faust_app_running(make_app(bootstrap, name, helpers, folder)):
            await stop.wait()


def main() -> None:
    """`python -m benchmarks.plain_faust BOOTSTRAP NAME LOOP SLOTS`.

    NAME is new each time, so that no changelog is replayed; LOOP is uvloop or asyncio; SLOTS is `apart`, or `spared` where they may overlap.
    """
    bootstrap, name, loop, slots = sys.argv[1:5]
    (uvloop.run if loop == "uvloop" else asyncio.run)(run(bootstrap, name, apart=slots == "apart"))


if __name__ == "__main__":
    main()
