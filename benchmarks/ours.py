"""The matcher as it ships: one worker, durable, with its journal, its outbox and its log in a file.

The offers go through topic `offers`, and the worker takes them in. Then it is stopped, the wishes are laid on their topic, and it is started again: what is
measured is how fast it works that backlog off, and neither its start nor the generator is part of it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final

import orjson

from benchmarks.load import Record
from benchmarks.rig import Rig, Seen, Watch
from benchmarks.verify import Made
from deploy.process import Process
from deploy.state import free_port
from deploy.supervisor import http_status
from schemas.topics import PARTITIONS
from services.matcher.core.place import RUNG_OF

_OFFERS_TAKEN: Final = "SELECT coalesce(sum(offers_next), 0)::int FROM matching.lanes"
# Decided, and all that follows from it on Kafka; until the last wish is in, only what was decided counts.
_WISHES_DONE: Final = """
    SELECT coalesce(sum(CASE WHEN published < seq THEN wishes_next - 1 ELSE wishes_next END), 0)::int FROM matching.lanes
"""
_PROPOSED: Final = "lastmetre.match.proposed.v1"
_EPOCHS: Final = "SELECT coalesce(sum(epoch), 0)::int FROM matching.lanes"
_COMMITTED: Final = "SELECT count(*)::int FROM matching.matches"


async def take_offers(rig: Rig, offers: Iterable[Record]) -> None:
    """Publish offers and let a worker take them in."""
    before = await rig.end_offsets("offers")
    number = before + await rig.publish(offers)
    worker = rig.matcher()
    worker.start()
    try:
        connection = await rig.connect()
        try:
            await Watch(worker, number).until(lambda: connection.fetchval(_OFFERS_TAKEN))
        finally:
            await connection.close()
    finally:
        await rig.end(worker)


async def until_owned(rig: Rig, worker: Process) -> None:
    """Until a worker that was just started owns all lanes, with their offers loaded."""
    connection = await rig.connect()
    try:
        await Watch(worker, await connection.fetchval(_EPOCHS) + PARTITIONS).until(lambda: connection.fetchval(_EPOCHS))
    finally:
        await connection.close()


async def work_off(rig: Rig, wishes: int, wrapper: Sequence[str] = ()) -> float:
    """Start a worker on the backlog, stop it once `wishes` in all are decided and published; its processor time a wish, in microseconds."""
    await rig.settle()
    worker = rig.matcher(wrapper)
    worker.start()
    try:
        connection = await rig.connect()
        try:
            return await Watch(worker, wishes).until(lambda: connection.fetchval(_WISHES_DONE))
        finally:
            await connection.close()
    finally:
        await rig.end(worker)


async def take_wishes(rig: Rig, wishes: Sequence[Record]) -> float:
    """Start a worker, and once it has loaded all that is open, publish the wishes; as `work_off` otherwise."""
    done = await rig.end_offsets("wishes") + len(wishes)
    await rig.settle()
    port = free_port()
    worker = rig.matcher(ops_port=port)
    worker.start()
    try:
        connection = await rig.connect()
        try:

            async def ready() -> int:
                return int(await http_status(port, "/readyz") == HTTPStatus.OK)

            await Watch(worker, 1).until(ready)
            publishing = asyncio.create_task(rig.publish(wishes))
            spent = await Watch(worker, done).until(lambda: connection.fetchval(_WISHES_DONE))
            await publishing
            return spent
        finally:
            await connection.close()
    finally:
        await rig.end(worker)


def made(seen: Iterable[Seen]) -> Iterator[Made]:
    """The matches among what is on the topic."""
    for one in seen:
        if one.type == _PROPOSED:
            data = orjson.loads(one.value)
            slot = data["slot"]
            start, end = datetime.fromisoformat(slot["start"]), datetime.fromisoformat(slot["end"])
            yield Made(data["wish_id"], data["offer_id"], RUNG_OF[data["rung"]], start, end)


async def committed(rig: Rig) -> int:
    """How many matches are committed in PostgreSQL."""
    connection = await rig.connect()
    try:
        number: int = await connection.fetchval(_COMMITTED)
        return number
    finally:
        await connection.close()
