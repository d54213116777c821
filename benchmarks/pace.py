"""The generator of the latency measurement, in a process of its own: wishes at a fixed pace, whatever becomes of them.

An *open loop*: wish i is due at `start + i / rate` and its latency counts from then, even where it was sent late. So a stall shows in every wish that
should have been sent during it, and not only in the one that met it.
"""

import asyncio
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import orjson
import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.load import Load, areas
from benchmarks.verify import possible

_HEAD_START_SECONDS = 0.5


async def send(bootstrap: str, plan: dict[str, int | float | str]) -> dict[str, float]:
    """Send at the planned pace; when it began (seconds since the epoch) and how late the latest wish was sent, in milliseconds."""
    load = Load(int(plan["seed"]), areas(int(plan["areas"])), datetime.fromisoformat(str(plan["now"])))
    stream = possible(load, int(plan["offers"]), int(plan["wishes"]))
    wishes = [(one.topic, one.partition, one.area.encode(), one.value, one.headers) for one in stream]
    rate = float(plan["rate"])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, acks="all")
    await producer.start()
    try:
        for topic in {topic for topic, *_ in wishes}:
            await producer.partitions_for(topic)
        start = time.time() + _HEAD_START_SECONDS
        latest = 0.0
        for index, (topic, partition, key, value, headers) in enumerate(wishes):
            due = start + index / rate
            if (left := due - time.time()) > 0:
                await asyncio.sleep(left)
            latest = max(latest, time.time() - due)
            await producer.send(topic, value, key=key, partition=partition, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
    return {"start": start, "latest_ms": latest * 1000, "sent": len(wishes)}


def main() -> None:
    """`python -m benchmarks.pace PLAN.json OUT.json`."""
    plan = orjson.loads(Path(sys.argv[1]).read_bytes())
    Path(sys.argv[2]).write_bytes(orjson.dumps(uvloop.run(send(os.environ["LASTMETRE_KAFKA"], plan))))


if __name__ == "__main__":
    main()
