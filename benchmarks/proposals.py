"""The generator of the notifier's latency: proposals at a fixed pace, as an open loop like `pace`, in a process of its own."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.load import areas
from schemas import sources
from schemas.codec import headers_of
from schemas.instants import rfc3339
from schemas.lanes import partition_of
from schemas.topics import MATCHES

_HEAD_START_SECONDS: Final = 0.5


def proposals(number: int, area_names: tuple[str, ...]) -> Iterator[tuple[str, bytes, list[tuple[str, bytes]]]]:
    """(area, value, headers) of that many proposals that need no answer, in turn over the areas; match i is `match-i`."""
    now = datetime.now(UTC)
    at, start = rfc3339(time.time_ns() // 1000), now + timedelta(days=1)
    slot = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}
    for index in range(number):
        area, match_id = area_names[index % len(area_names)], f"match-{index}"
        data: dict[str, Any] = {
            "area": area, "match_id": match_id, "wish_id": f"wish-{index}", "offer_id": f"offer-{index}", "resident_ref": f"resident-{index}",
            "volunteer_ref": f"volunteer-{index}", "rung": "building", "slot": slot, "how": "paired", "reasons": [], "needs_answer": False,
            "expires_at": None, "category": "repair", "urgency": "yellow",
        }  # fmt: skip
        headers = headers_of("lastmetre.match.proposed.v1", f"proposed-{index}", sources.MATCHER, at, match_id, area)
        yield area, orjson.dumps(data), list(headers)


async def send(bootstrap: str, plan: dict[str, Any]) -> dict[str, float]:
    """Send at the planned pace; when it began (seconds since the epoch) and how late the latest was sent, in milliseconds."""
    made = list(proposals(int(plan["number"]), areas(int(plan["areas"]))))
    rate = float(plan["rate"])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, acks="all")
    await producer.start()
    try:
        await producer.partitions_for(MATCHES)
        start, latest = time.time() + _HEAD_START_SECONDS, 0.0
        for index, (area, value, headers) in enumerate(made):
            due = start + index / rate
            if (left := due - time.time()) > 0:
                await asyncio.sleep(left)
            latest = max(latest, time.time() - due)
            await producer.send(MATCHES, value, key=area.encode(), partition=partition_of(area), headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
    return {"start": start, "latest_ms": latest * 1000}


def main() -> None:
    """`python -m benchmarks.proposals PLAN.json OUT.json`."""
    plan = orjson.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(orjson.dumps(uvloop.run(send(os.environ["LASTMETRE_KAFKA"], plan))))


if __name__ == "__main__":
    main()
