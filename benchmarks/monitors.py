"""`python -m benchmarks.monitors --monitors 500 --phones 2000 --seconds 300`: how soon a confirmed wish is on open monitors, and what holding them costs.

Starts the whole system, opens so many streams (monitors of auditors see everything, phones of volunteers their community), lets wishes be confirmed at a steady
pace, and looks at the gateway's memory all the while. The latency is from the confirmation's own time, which is the notifier's clock, to the line's arrival.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import psutil
from aiokafka import AIOKafkaProducer

from deploy.stack import Stack
from deploy.whatif.counting import percentile
from schemas.codec import headers_of
from schemas.instants import MINUTE_US, rfc3339
from schemas.registry import TOPIC_OF

AREA: Final = "high-tech"
_COMMUNITIES: Final = 20
_OPENING: Final = 50
_LOOK_SECONDS: Final = 1.0
_CONFIRMED: Final = b'"kind":"match.confirmed.v1"'
_SETTLE_SECONDS: Final = 15.0
_MIB: Final = 2**20


@dataclass(slots=True)
class Seen:
    """What the streams brought: lines in all, latencies of confirmations in milliseconds, streams that ended, and the gateway's memory."""

    opened: int = 0
    ended: int = 0
    lines: int = 0
    confirmations: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    to_board_ms: list[float] = field(default_factory=list)
    to_monitor_ms: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)


def _instant(minutes: float) -> str:
    return rfc3339(time.time_ns() // 1000 + round(minutes * MINUTE_US))


def _principal(number: int, *, monitor: bool) -> bytes:
    if monitor:
        return orjson.dumps({"account": f"monitor-{number}", "roles": ["auditor"], "scope": {"area": AREA}})
    scope = {"area": AREA, "community": f"c{number % _COMMUNITIES}"}
    return orjson.dumps({"account": f"phone-{number}", "roles": ["volunteer"], "scope": scope, "volunteer_ref": f"volunteer-{number}"})


async def _hold(port: int, principal: bytes, seen: Seen, *, timed: bool) -> None:
    """Keep one stream open, and read it as a browser would: at once. A timed one takes the time of each confirmation."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /live HTTP/1.1\r\nhost: 127.0.0.1\r\nx-demo-principal: " + principal + b"\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head[:80]
        seen.opened += 1
        async for line in reader:
            if not line.startswith(b"data: "):
                continue
            seen.lines += 1
            if _CONFIRMED in line:
                seen.confirmations += 1
                if timed:
                    now, told = datetime.now(UTC), orjson.loads(line[6:])
                    said, stored = datetime.fromisoformat(told["at"]), datetime.fromisoformat(told["stored_at"])
                    seen.latencies_ms.append((now - said).total_seconds() * 1000)
                    seen.to_board_ms.append((stored - said).total_seconds() * 1000)
                    seen.to_monitor_ms.append((now - stored).total_seconds() * 1000)
    finally:
        seen.ended += 1
        writer.close()


async def _say(producer: AIOKafkaProducer, kind: str, subject: str, data: dict[str, Any]) -> None:
    headers = headers_of(kind, str(uuid4()), "benchmarks/monitors", _instant(0), subject, AREA)
    await producer.send(TOPIC_OF[kind], orjson.dumps({"area": AREA, **data}), key=AREA.encode(), headers=headers)


async def _offers(producer: AIOKafkaProducer, count: int) -> None:
    for number in range(count):
        data = {
            "offer_id": f"o-{number}",
            "volunteer_ref": f"helper-{number}",
            "home": {"community": f"c{number % _COMMUNITIES}", "compound": "p1"},
            "reach": "area",
            "skills": ["haircut"],
            "vetting": {"level": 1, "checked_at": _instant(-60)},
            "windows": [{"start": _instant(-60), "end": _instant(5 * 24 * 60)}],
            "capacity": 20,
            "accepts": "auto",
        }
        await _say(producer, "lastmetre.offer.posted.v1", f"o-{number}", data)


async def _wishes(producer: AIOKafkaProducer, rate: float, seconds: float) -> int:
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        data = {
            "wish_id": f"w-{count}",
            "place": {"community": f"c{count % _COMMUNITIES}", "compound": "p1", "building": "b1"},
            "category": "household",
            "skills": ["haircut"],
            "urgency": "red",
            "window": {"start": _instant(0), "end": _instant(4 * 24 * 60)},
            "minutes": 15,
            "beneficiary": {"age_band": "adult"},
            "title": "上门理发",
            "resident_ref": f"resident-{count}",
        }
        await _say(producer, "lastmetre.wish.submitted.v1", f"w-{count}", data)
        count += 1
        await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
    return count


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _look(pid: int, seen: Seen) -> None:
    process = psutil.Process(pid)
    while True:
        seen.rss_mib.append(process.memory_info().rss / _MIB)
        await asyncio.sleep(_LOOK_SECONDS)


async def _until(seen: Callable[[], bool], seconds: float) -> bool:
    """Wait for something, but no longer; whether it came."""
    ends = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.02)
    return True


@asynccontextmanager
async def _system(folder: Path | None) -> AsyncIterator[Stack]:
    place = Path(tempfile.mkdtemp(prefix="lastmetre-monitors-", dir=folder))
    env = {"LASTMETRE_DEMO_PRINCIPALS": "1", "LASTMETRE_RATE_FACTOR": "0"}
    try:
        async with Stack(place, services=("matcher", "notifier", "gateway"), env=env) as stack:
            yield stack
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _spread(milliseconds: list[float]) -> dict[str, float | int | None]:
    ordered = sorted(milliseconds)
    if not ordered:
        return {"measured": 0, "p50": None, "p99": None, "max": None}
    return {
        "measured": len(ordered),
        "p50": round(percentile(ordered, 0.5), 1),
        "p99": round(percentile(ordered, 0.99), 1),
        "max": round(ordered[-1], 1),
    }


async def hold(stack: Stack, *, monitors: int, phones: int, seconds: float, rate: float) -> dict[str, Any]:
    """Open the streams, let wishes be confirmed, and say what was seen: milliseconds, MiB of the gateway's resident memory."""
    port = orjson.loads((stack.state.folder / "ports.json").read_bytes())["gateway-web"]
    pid = orjson.loads((stack.state.folder / "stack.json").read_bytes())["services"]["gateway"]["pid"]
    seen = Seen()
    empty = psutil.Process(pid).memory_info().rss / _MIB
    used = 0.0
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap, acks="all", enable_idempotence=True, linger_ms=2)
    await producer.start()
    streams: list[asyncio.Task[None]] = []
    try:
        await _offers(producer, 400)
        await producer.flush()
        everyone = [(number, number < monitors) for number in range(monitors + phones)]
        for first in range(0, len(everyone), _OPENING):
            for number, monitor in everyone[first : first + _OPENING]:
                timed = monitor and number % max(1, monitors // 50) == 0
                streams.append(asyncio.create_task(_hold(port, _principal(number, monitor=monitor), seen, timed=timed)))
            await _until(lambda: seen.opened + seen.ended >= len(streams), 120)
        held = psutil.Process(pid).memory_info().rss / _MIB
        before = _cpu_seconds(pid)
        looking = asyncio.create_task(_look(pid, seen))
        wishes = await _wishes(producer, rate, seconds)
        await _until(lambda: seen.confirmations >= wishes * monitors, _SETTLE_SECONDS)
        looking.cancel()
        used = _cpu_seconds(pid) - before
        ended = seen.ended
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        await producer.stop()
    tenth = max(1, len(seen.rss_mib) // 10)
    return {
        "monitors": monitors,
        "phones": phones,
        "seconds": seconds,
        "wishes": wishes,
        "lines": seen.lines,
        "confirmations_on_monitors": seen.confirmations,
        "confirmations_due": wishes * monitors,
        "streams_ended": ended,
        "confirm_to_monitor_ms": _spread(seen.latencies_ms),
        "of_these_to_the_board_ms": _spread(seen.to_board_ms),
        "from_the_board_to_monitors_ms": _spread(seen.to_monitor_ms),
        "gateway_cpu_share": round(used / seconds, 2),
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "gateway_rss_mib": {"empty": round(empty, 1), "all_open": round(held, 1), "over_time": [round(one, 1) for one in seen.rss_mib[::tenth]]},
    }


async def measure(*, monitors: int, phones: int, seconds: float, rate: float, folder: Path | None = None) -> dict[str, Any]:
    """The same with a system of its own."""
    async with _system(folder) as stack:
        return await hold(stack, monitors=monitors, phones=phones, seconds=seconds, rate=rate)


def main(arguments: list[str]) -> int:
    """Measure, print the result as JSON; exit code 1 where a line was lost or a stream was cut."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitors", description="Hold open monitors and phones, and time confirmations.")
    parser.add_argument("--monitors", type=int, default=500)
    parser.add_argument("--phones", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=2.0, help="wishes a second")
    parser.add_argument("--folder", type=Path, default=None, help="where the servers keep their data")
    given = parser.parse_args(arguments)
    found = asyncio.run(measure(monitors=given.monitors, phones=given.phones, seconds=given.seconds, rate=given.rate, folder=given.folder))
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return int(found["confirmations_on_monitors"] < found["confirmations_due"] or found["streams_ended"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
