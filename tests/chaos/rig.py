"""What every storm stands on: a whole stack with two matchers and two notifiers, a receiver of webhooks, the load, and a watch on who is at work."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from deploy.cli import SAMPLE_DAY_POLICY
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.stack import Stack
from tests.chaos.load import Load
from tests.integration.notifier_rig import SECRET, Sink, receiver

# A worker that dies is noticed after its session's 6 s at the latest; then its lanes are taken over.
AT_WORK_SECONDS = 10.0
# After a server came back: clients back off, the group forms anew, and what queued up is worked off.
RECOVERED_SECONDS = 40.0
LOOK_SECONDS = 0.05
BUSY = 1.5


def allowed(seconds: float) -> float:
    """A deadline in wall time: where the machine has other work (a run queue beyond `BUSY` a core), everybody waits their turn for longer."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / BUSY)


_MATCHER_IDLE = "SELECT lane FROM matching.lanes WHERE committed_at <= $1 ORDER BY lane"
_NOTIFIER_IDLE = "SELECT partition FROM notifying.partitions WHERE changed_at <= $1 ORDER BY partition"
_OWNERS = "SELECT lane, owner FROM matching.lanes ORDER BY lane"
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


async def until(holds: Callable[[], Awaitable[object]], what: str, seconds: float) -> float:
    """Wait until something holds, and give the seconds that it took.

    Raises:
        AssertionError: not within `seconds`; the message says what was waited for, and what was found last.
    """
    began, seconds = time.monotonic(), allowed(seconds)
    while True:
        found = await holds()
        if found is True:
            return time.monotonic() - began
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what} (found {found})"
        await asyncio.sleep(LOOK_SECONDS)


@dataclass
class Rig:
    """A stack under load. `rng` decides who is hit and when; `told` gets one line for each thing that happens."""

    stack: Stack
    sink: Sink
    load: Load
    rng: random.Random
    told: Callable[[str], None]
    per_second: float
    _database: asyncpg.Connection | None = None
    _sending: asyncio.Task[None] | None = None
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    def begin_load(self) -> None:
        """Send from now on."""
        self._sending = asyncio.create_task(self.load.run(lambda: self.stack.kafka.bootstrap, self.per_second, self._done))

    async def end_load(self) -> None:
        """Draw no more; return when Kafka has acknowledged all that was drawn."""
        assert self._sending is not None
        self._done.set()
        async with asyncio.timeout(RECOVERED_SECONDS):
            await self._sending

    @property
    def kafka(self) -> Kafka:
        """The broker: our own, as it is restarted."""
        assert isinstance(self.stack.kafka, Kafka), "chaos needs servers of its own: unset LASTMETRE_KAFKA"
        return self.stack.kafka

    @property
    def postgres(self) -> Postgres:
        """PostgreSQL: our own, as it is restarted."""
        assert isinstance(self.stack.postgres, Postgres), "chaos needs servers of its own: unset LASTMETRE_POSTGRES"
        return self.stack.postgres

    async def query(self, statement: str, *arguments: object) -> list[Any]:
        """Rows, as the owner sees them."""
        if self._database is None or self._database.is_closed():
            self._database = await asyncpg.connect(self.stack.postgres.owner_dsn(self.stack.database), timeout=5)
        rows: list[Any] = await self._database.fetch(statement, *arguments)
        return rows

    async def close(self) -> None:
        """Stop sending, and let go of the connection."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._database is not None:
            self._database.terminate()

    async def owners(self) -> dict[int, int]:
        """The pid of the matcher that owns each lane."""
        return {row["lane"]: int(str(row["owner"]).rpartition("/")[2]) for row in await self.query(_OWNERS)}

    async def at_work(self, what: str, seconds: float = AT_WORK_SECONDS) -> None:
        """Wait until every lane of the matcher and every partition of the notifier has committed again, from now on."""
        now: Any = None

        async def all_committed() -> object:
            nonlocal now
            try:
                now = now or (await self.query("SELECT clock_timestamp() AS now"))[0]["now"]
                idle = [row["lane"] for row in await self.query(_MATCHER_IDLE, now)]
                untold = [row["partition"] for row in await self.query(_NOTIFIER_IDLE, now)]
            except _AWAY as fault:
                return type(fault).__name__
            return True if not idle and not untold else f"lanes {idle} of the matcher and partitions {untold} of the notifier without a commit"

        took = await until(all_committed, f"everybody at work again after {what}; logs in {self.stack.state.logs}", seconds)
        self.told(f"{what}: at work after {took:.1f} s")

    async def two_matchers(self) -> None:
        """Wait until both matchers own lanes."""

        async def both_own() -> object:
            owners = set((await self.owners()).values())
            return True if owners == {self.stack.service("matcher").pid, self.stack.service("matcher-2").pid} else f"owners {owners}"

        await until(both_own, f"lanes owned by both matchers; logs in {self.stack.state.logs}", RECOVERED_SECONDS)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a service's process a signal behind its supervisor's back."""
        pid = self.stack.service(name).pid
        assert pid is not None, f"{name} does not run"
        os.kill(pid, number)


@asynccontextmanager
async def under_load(folder: Path, seed: int, per_second: float, told: Callable[[str], None]) -> AsyncIterator[Rig]:
    """A stack of its own in `folder`, both matchers and both notifiers at work under the seed's load."""
    async with receiver() as sink:
        env = {
            "LASTMETRE_CHANNEL": sink.url,
            "LASTMETRE_WEBHOOK_SECRET": SECRET,
            "LASTMETRE_WEBHOOK_BACKOFF_SECONDS": "0.1",
            "LASTMETRE_WEBHOOK_BACKOFF_MAX_SECONDS": "1",
            "LASTMETRE_WEBHOOK_ATTEMPTS_MAX": "100",
            "LASTMETRE_POLICY": str(SAMPLE_DAY_POLICY),  # rounds and invitations, in seconds
        }
        async with Stack(folder, fresh=True, matchers=2, notifiers=2, env=env) as stack:
            rig = Rig(stack, sink, Load(seed), random.Random(f"storm {seed}"), told, per_second)
            try:
                rig.begin_load()
                await rig.at_work("the start", RECOVERED_SECONDS)
                await rig.two_matchers()
                yield rig
            finally:
                await rig.close()
