"""`python -m benchmarks.ingest`: events a second that the gateway answers 202, beside a bare aiokafka producer with the same acks, in one run.

All are given the same events. The producer is fed by this process and awaits every acknowledgement; the gateway is a process of its own, and this one
sends it requests over keep-alive connections as fast as they are answered. Producer and gateway take turns, so that what else the machine does meets both.
Whatever was answered 202 is counted again on the topics at the end.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.rig import Rig
from deploy.process import Process
from deploy.state import free_port
from deploy.supervisor import http_status
from schemas.codec import headers_of
from schemas.lanes import partition_of
from schemas.topics import PARTITIONS, WISHES
from services.gateway.identity.keys import make_key_file

GOAL: Final = 0.5
BATCH_EVENTS: Final = 100
_KIND: Final = "lastmetre.wish.submitted.v1"
_SOURCE: Final = "//benchmarks/ingest"
_TIME: Final = "2026-11-23T08:00:00Z"
_UNACKNOWLEDGED_MAX: Final = 2_000
_READY_SECONDS: Final = 60.0
_AREA: Final = "gaoxin"
_KEY: Final = json.dumps({"account": "benchmark", "roles": ["integrator"], "scope": {"area": _AREA}})


@dataclass(frozen=True, slots=True)
class Event:
    """One wish, in the form each contender is given it."""

    id: str
    data: bytes

    @property
    def structured(self) -> bytes:
        """As structured JSON."""
        attributes = {
            "specversion": "1.0", "id": self.id, "source": _SOURCE, "type": _KIND, "time": _TIME, "subject": self.id, "partitionkey": _AREA,
        }  # fmt: skip
        return orjson.dumps(attributes)[:-1] + b',"data":' + self.data + b"}"


def events(number: int, first: int) -> list[Event]:
    """Valid wishes of one area, each with an id of its own."""
    data: dict[str, Any] = {
        "area": _AREA,
        "place": {"community": "tianfu", "compound": "yulin", "building": "3", "unit": "2"},
        "category": "household",
        "skills": ["shopping"],
        "urgency": "blue",
        "window": {"start": "2026-11-24T09:00:00+08:00", "end": "2026-11-24T12:00:00+08:00"},
        "beneficiary": {"age_band": "adult"},
        "title": "请帮忙买菜",
        "resident_ref": "r-7f3a",
    }
    return [Event(f"i-{one}", orjson.dumps({"wish_id": f"w-{one}", **data})) for one in range(first, first + number)]


async def produce(bootstrap: str, given: Sequence[Event]) -> float:
    """The bare producer, as its documentation has it but with room for batches; the seconds until the last acknowledgement."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=2, max_batch_size=256 * 1024)
    await producer.start()
    try:
        records = [(one.data, headers_of(_KIND, one.id, _SOURCE, _TIME, one.id, _AREA)) for one in given]
        key = _AREA.encode()
        room = asyncio.Semaphore(_UNACKNOWLEDGED_MAX)
        began = time.perf_counter()
        acknowledgements = []
        for value, headers in records:
            await room.acquire()
            acknowledgement = await producer.send(WISHES, value, key=key, headers=headers)
            acknowledgement.add_done_callback(lambda _: room.release())
            acknowledgements.append(acknowledgement)
        await asyncio.gather(*acknowledgements)
        return time.perf_counter() - began
    finally:
        await producer.stop()


class _Connection(asyncio.Protocol):
    """One keep-alive connection: the next request goes when the last one is answered."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Event) -> None:
        self._requests, self._done = requests, done
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.statuses: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one without saying so
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self._done.set()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(rest) >= length:
            self.statuses.append(head[9:12])
            self._buffer = rest[length:]
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        self._done.set()


async def post(port: int, bodies: Sequence[bytes], content_type: str, connections: int) -> float:
    """Send all bodies over so many connections; the seconds until the last answer.

    Raises:
        SystemExit: one was not answered 202.
    """
    start = f"POST /api/v1/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {content_type}\r\nx-demo-principal: {_KEY}\r\ncontent-length: "
    requests = iter([start.encode() + b"%d\r\n\r\n" % len(body) + body for body in bodies])
    loop = asyncio.get_running_loop()
    ends = [asyncio.Event() for _ in range(connections)]
    began = time.perf_counter()
    made = [await loop.create_connection(lambda end=end: _Connection(requests, end), "127.0.0.1", port) for end in ends]  # type: ignore[misc]
    for end in ends:
        await end.wait()
    took = time.perf_counter() - began
    statuses = [status for _, connection in made for status in connection.statuses]
    if statuses.count(b"202") != len(bodies):
        raise SystemExit(f"answered other than 202: {set(statuses)}, {len(statuses)} of {len(bodies)}")
    return took


@dataclass
class Contender:
    """Who is measured, and the events a second of each round."""

    name: str
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Events a second."""
        return statistics.median(self.rates)


async def _started(process: Process, ops_port: int) -> Process:
    process.start()
    deadline = time.monotonic() + _READY_SECONDS
    while await http_status(ops_port, "/readyz") != 200:
        if time.monotonic() > deadline or not process.alive:
            raise SystemExit(f"it does not start: {process.log}")
        await asyncio.sleep(0.1)
    return process


async def _board(rig: Rig) -> Process:
    """The board is written beside it, as wherever a gateway runs."""
    ops_port = free_port(frozenset())
    env = {"LASTMETRE_KAFKA": rig.bootstrap, "LASTMETRE_DATABASE": rig.dsn("lastmetre_board"), "LASTMETRE_OPS_PORT": str(ops_port)}
    return await _started(rig.process("services.gateway.board", env=env), ops_port)


async def _gateway(rig: Rig, wrapper: Sequence[str]) -> tuple[Process, int]:
    port = free_port(frozenset())
    ops_port = free_port(frozenset({port}))
    module, *arguments = (*wrapper, "services.gateway")
    keys = rig.folder / "gateway-keys"
    make_key_file(keys)
    env = {
        "LASTMETRE_KAFKA": rig.bootstrap,
        "LASTMETRE_DATABASE": rig.dsn("lastmetre_gateway"),
        "LASTMETRE_BOARD_DATABASE": rig.dsn("lastmetre_board"),
        "LASTMETRE_WEB_PORT": str(port),
        "LASTMETRE_OPS_PORT": str(ops_port),
        "LASTMETRE_IDENTITY_KEYS": str(keys),
        "LASTMETRE_RATE_FACTOR": "0",
        "LASTMETRE_DEMO_PRINCIPALS": "1",
    }
    return await _started(rig.process(module, *arguments, env=env), ops_port), port


async def _lying_there(bootstrap: str) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        return sum((await consumer.end_offsets([TopicPartition(WISHES, number) for number in range(PARTITIONS)])).values())
    finally:
        await consumer.stop()


async def measure(number: int, rounds: int, folder: Path | None, wrapper: Sequence[str] = ()) -> int:
    """Take turns for so many rounds; print the medians and the verdict. The exit code: 1 where batches miss the goal."""
    bare, batched, single = Contender("bare aiokafka producer"), Contender(f"gateway, batches of {BATCH_EVENTS}"), Contender("gateway, one event a request")
    async with Rig(folder) as rig:
        await rig.fresh()
        process, port = await _gateway(rig, wrapper)
        board = await _board(rig)
        first = expected = 0
        try:
            for turn in range(rounds + 1):  # the first warms up and does not count
                given = events(number, first)
                first += number
                few = given[: max(number // 5, BATCH_EVENTS)]
                seconds = await produce(rig.bootstrap, given)
                batches = [b"[" + b",".join(one.structured for one in given[at : at + BATCH_EVENTS]) + b"]" for at in range(0, number, BATCH_EVENTS)]
                batch_seconds = await post(port, batches, "application/cloudevents-batch+json", 8)
                single_seconds = await post(port, [one.structured for one in few], "application/cloudevents+json", 32)
                expected += 2 * number + len(few)
                if turn:
                    bare.rates.append(number / seconds)
                    batched.rates.append(number / batch_seconds)
                    single.rates.append(len(few) / single_seconds)
        finally:
            await rig.end(process)
            await rig.end(board)
        there = await _lying_there(rig.bootstrap)
    print(f"{rounds} rounds of {number:,} events, all of one area (partition {partition_of(_AREA)}); median (lowest to highest)")
    for one in (bare, batched, single):
        ratio = one.median / bare.median
        print(f"  {one.name:34} {one.median:9,.0f} events/s ({min(one.rates):,.0f} to {max(one.rates):,.0f}), {ratio:.2f} of the producer")
    print(f"  acknowledged {expected:,}, on the topic {there:,}: {'all there' if there == expected else 'NOT the same'}")
    reached = batched.median / bare.median >= GOAL
    print(
        f"verdict: batches {'reach' if reached else 'MISS'} the goal of {GOAL}; single events {'reach' if single.median / bare.median >= GOAL else 'miss'} it"
    )
    return 0 if reached and there == expected else 1


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description="202s a second of the gateway beside a bare aiokafka producer.")
    parser.add_argument("--events", type=int, default=20_000, help="of each contender and round (default 20,000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--short", action="store_true", help="a quick form that shows that everything works; its numbers mean little")
    parser.add_argument("--profile", type=Path, help="where the gateway's samples go")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data")
    given = parser.parse_args(arguments)
    wrapper = ("benchmarks.sampler", str(given.profile.absolute())) if given.profile else ()
    number, rounds = (500, 1) if given.short else (given.events, given.rounds)
    return uvloop.run(measure(number, rounds, given.folder, wrapper))


if __name__ == "__main__":
    sys.exit(main())
