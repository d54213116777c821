"""Senders that never stop, a gateway that is killed again and again, and the count at the end: each event that was answered 202 lies on its topic."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.gateway.door import examples
from tests.integration.door_rig import DEADLINE_SECONDS, Gateway, lying_on

SOURCE = "//tests/ingest"
SENDERS = 6
BATCH = 20
EVENTS = "/api/v1/events"
GAP_SECONDS = (0.3, 1.5)


@dataclass
class Tally:
    """What the senders were told."""

    taken: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    cut_off: int = 0
    sent_again: int = 0

    @property
    def text(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.answers.items()))
        return f"{len(self.taken)} events answered 202; requests {statuses}; {self.cut_off} cut off, {self.sent_again} sent again"


def event(event_id: str) -> dict[str, Any]:
    """A valid wish."""
    wish = examples.structured("wish.submitted.v1")
    return {**wish, "id": event_id, "source": SOURCE}


async def _send(gateway: Gateway, tally: Tally, name: str, stop: asyncio.Event) -> None:
    """Send single events and batches by turns; what had no answer is sent again with the same ids."""
    number = 0
    async with gateway.caller() as http:
        while not stop.is_set():
            number += 1
            ids = [f"{name}-{number}-{one}" for one in range(1 if number % 3 else BATCH)]
            body = json.dumps([event(one) for one in ids] if len(ids) > 1 else event(ids[0]))
            kind = "application/cloudevents-batch+json" if len(ids) > 1 else "application/cloudevents+json"
            while not await _once(http, tally, ids, body, kind) and not stop.is_set():
                tally.sent_again += 1
                await asyncio.sleep(0.02)


async def _once(http: httpx.AsyncClient, tally: Tally, ids: list[str], body: str, kind: str) -> bool:
    try:
        answer = await http.post(EVENTS, content=body, headers={"content-type": kind})
    except httpx.HTTPError:
        tally.cut_off += 1
        return False
    tally.answers[str(answer.status_code)] += 1
    found = answer.json()
    if answer.status_code == 202 and len(ids) == 1:
        tally.taken.add(found["id"])
    elif answer.status_code in {202, 207, 503} and "results" in found:
        tally.taken |= {one["id"] for one in found["results"] if one["status"] == 202}
    else:
        assert answer.status_code == 503, answer.text
    return answer.status_code == 202


async def blow(gateway: Gateway, kills: int, seed: int, say: Callable[[str], None]) -> str:
    """Kill it so many times under load, then count. What was seen, in words.

    Raises:
        AssertionError: an event that was answered 202 is not on the topic.
    """
    chance = random.Random(seed)
    tally, stop = Tally(), asyncio.Event()
    senders = [asyncio.create_task(_send(gateway, tally, f"s{seed}-{number}", stop)) for number in range(SENDERS)]
    try:
        for number in range(kills):
            await _more(tally, 1, senders)
            await asyncio.sleep(chance.uniform(*GAP_SECONDS))
            gateway.process.kill()
            await gateway.process.stop(10)
            await gateway.start()
            say(f"kill {number + 1} of {kills}: {len(tally.taken)} events answered 202")
        await _more(tally, BATCH, senders)
    finally:
        stop.set()
        await asyncio.gather(*senders)
    return await judge(gateway, tally)


async def _more(tally: Tally, number: int, senders: list[asyncio.Task[None]]) -> None:
    """Until so many more were taken: only then is it a kill under load."""
    wanted = len(tally.taken) + number
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(tally.taken) < wanted and not any(task.done() for task in senders):  # noqa: ASYNC110 - the senders tell through the tally
            await asyncio.sleep(0.05)


async def judge(gateway: Gateway, tally: Tally) -> str:
    """Read the topic back.

    Raises:
        AssertionError: an event that was answered 202 is not there.
    """
    lying: Counter[str] = Counter()
    for record in await lying_on(gateway.bootstrap, ["wishes"]):
        headers = dict(record.headers)
        if headers.get("ce_source") == SOURCE.encode():
            lying[headers["ce_id"].decode()] += 1
    lost = tally.taken - lying.keys()
    assert not lost, f"{len(lost)} events were answered 202 and are not on the topic, such as {min(lost)}"
    assert tally.taken, "nothing was taken: the storm shows nothing"
    return f"{tally.text}; on the topic {len(lying)} events, {lying.total() - len(lying)} of them repeated; none lost"
