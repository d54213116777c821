"""A notifier with a trap in it, its gateway that counts, and a judge who looks at everything after each case."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from schemas.instants import parse_rfc3339, rfc3339
from services.notifier.settings import Settings
from tests.chaos.rig import allowed
from tests.failpoints.scene import AREA, BUDGETED, BY_TEXT, EVENTS_OF_MATCHES, IN_APP, LANE, STUBBORN, Case, Town
from tests.failpoints.trap import Order, lay
from tests.forked import Child, forked
from tests.integration.notifier_rig import SECRET, Sink, matcher, receiver, settings_of

VARIABLE: Final = "FAILPOINTS_SECRET"
SETTLED_SECONDS: Final = 30.0
# So long after the last thing was done nothing more comes.
QUIET_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.01
# By event time the visits' clock is told to run on; far beyond all that the cases speak of.
RUNS_TO: Final = 1_800_000_000_000_000
# What links are made with; the same in all processes, as in service.
_KEY: Final = base64.b64encode(bytes(range(32))).decode()
# As who plays does: what was said is judged once all of it is read, and what follows is read too.
_LET_JUDGE = "UPDATE notifying.clock SET runs_to = runs_to + 1 WHERE EXISTS (SELECT FROM notifying.visits WHERE due_at_us = 0) RETURNING runs_to"
_SETTLED = """
SELECT coalesce((SELECT sum(next_offset) FROM notifying.partitions), 0)::bigint AS matches,
    coalesce((SELECT sum(responses_next) FROM notifying.visit_lanes), 0)::bigint AS responses,
    coalesce((SELECT sum(confirmations_next) FROM notifying.visit_lanes), 0)::bigint AS confirmations,
    (SELECT count(*) FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable'))
        + (SELECT count(*) FROM notifying.receipts WHERE outcome IS NULL) + (SELECT count(*) FROM notifying.outbox)
        + (SELECT count(*) FROM notifying.visit_outbox) + (SELECT count(*) FROM notifying.visits WHERE due_at_us = 0) AS under_way,
    (SELECT count(*) FROM notifying.visits WHERE watch_at_us <= extract(epoch FROM clock_timestamp()) * 1000000 OR (number > 0 AND watch_at_us IS NOT NULL))
        + $1 - (SELECT count(*) FROM notifying.households)
        - (SELECT count(*) FROM notifying.households WHERE NOT open) - (SELECT count(*) FROM notifying.wish_places) AS unwatched
"""
_UNSENT = "SELECT key::text, state FROM notifying.notices WHERE key::text = ANY($1) AND state <> 'sent'"
_IN_APP = "SELECT count(*) FROM notifying.app_inbox WHERE key = $1"
_LEAVE = "SELECT notifying.leave_receipt($1, $2, $3, now())"
_RECEIPTS = "SELECT channel, reference, status, repeats, outcome FROM notifying.receipts"
_BOOKED = """
SELECT t.match_id, t.number, (SELECT count(*) FROM notifying.ledger_entries e WHERE e.transaction_id = t.id) AS entries
FROM notifying.ledger_transactions t WHERE t.match_id = ANY($1) ORDER BY t.match_id, t.number
"""
_PEOPLE = f"""
[default]
channels = ["hook", "app"]
[people."{IN_APP}"]
channels = ["app"]
[people."{BUDGETED}"]
budget = 100000
[people."{BY_TEXT}"]
channels = ["text"]
addresses = {{ text = "1" }}
"""
_NEIGHBOURS = "SELECT offer_id AS id, place, open FROM notifying.households UNION ALL SELECT wish_id, place, NULL FROM notifying.wish_places"
_TOLD = "SELECT coalesce(sum(notices), 0)::int FROM notifying.told WHERE ref = $1"


@dataclass
class Rig:
    """One notifier, restarted when it dies."""

    settings: Settings
    sink: Sink
    town: Town
    database: asyncpg.Connection
    consumer: AIOKafkaConsumer
    timed: bool
    output: Path
    number: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    dated: int = 0
    records: dict[str, dict[str, set[bytes]]] = field(default_factory=lambda: {"confirmations": {}, "matches-dlq": {}})
    known: set[str] = field(default_factory=set)
    _life: AsyncExitStack = field(default_factory=AsyncExitStack)
    _child: Child | None = None
    _pipe: Connection | None = None
    passed: set[str] = field(default_factory=set)
    met: list[str] = field(default_factory=list)
    orders: tuple[Order, ...] = ()

    async def start(self, orders: tuple[Order, ...] = ()) -> None:
        """A process, with these orders from its birth."""
        await self.end()
        self.orders = orders
        ours, theirs = Pipe()
        self._life = AsyncExitStack()
        self._child = await self._life.enter_async_context(forked(self.settings, self.output, lay, (theirs, orders)))
        theirs.close()
        self._pipe = ours

    async def end(self) -> None:
        """Kill it."""
        await self._life.aclose()
        if self._pipe is not None:
            self._pipe.close()
        self._child = self._pipe = None

    def order(self, orders: tuple[Order, ...]) -> None:
        """New orders for the process that runs."""
        assert self._pipe is not None
        self.orders = orders
        self._pipe.send(orders)

    async def _hear(self) -> None:
        """Note what the process has told, and bring it back where it died of its orders."""
        try:
            while self._pipe is not None and self._pipe.poll():
                word, point = self._pipe.recv()
                assert word != "nameless", point
                if word == "passed":
                    self.passed.add(point)
                else:
                    self.met.append(point)
        except (EOFError, ConnectionResetError):
            assert self._child is not None
            code = await self._child.wait()
            assert code == -9, f"the notifier ended by itself with {code}:\n{self.output.read_text()[-3000:]}"
            await self.start(tuple(replace(one, at_work=False) for one in self.orders if one.point not in self.met))

    # --- one case

    async def play(self) -> Case:
        """The events of the next case, and what the gateway is to do with them."""
        case = Case(self.number, timed=self.timed)
        self.number += 1
        self.known |= case.heard | case.may_be_heard
        if not self.timed:
            self.known.add(str(case.in_app))
        await self.town.play(case)
        if case.number:
            for receipt, (repeats, _) in case.before.receipts.items():
                for _ in range(repeats + 1):
                    await self.database.fetchval(_LEAVE, *receipt)
        return case

    async def settle(self, meets: int = 0) -> bool:
        """Wait until everything is done and so many points were met; False where all has been done for a while, and not all were."""
        deadline = time.monotonic() + allowed(SETTLED_SECONDS)
        found: Any = None
        done_at: float | None = None
        while True:
            await self._hear()
            await self._read()
            # Of each case an offer, its end in the case after, and a wish.
            found = await self.database.fetchrow(_SETTLED, 3 * self.number - 1)
            ends = await self.consumer.end_offsets([TopicPartition("confirmations", LANE)])
            read_all = found["confirmations"] >= sum(ends.values()) and self.taken["confirmations"] >= sum(ends.values())
            whole = found["matches"] >= self.number * (EVENTS_OF_MATCHES + self.timed) and found["responses"] >= self.town.said
            if not self.timed and read_all and whole and await self.database.fetchval(_LET_JUDGE) is not None:
                whole = False
            if read_all and whole and found["under_way"] == 0 and (not self.timed or found["unwatched"] == 0):
                done_at = done_at or time.monotonic()
                if len(self.met) >= meets or time.monotonic() - done_at > allowed(QUIET_SECONDS):
                    break
            else:
                done_at = None
            assert time.monotonic() < deadline, f"not settled: {dict(found)}, met {self.met} of {meets}, case {self.number - 1}"
            await asyncio.sleep(LOOK_SECONDS)
        await self._read()
        return len(self.met) >= meets

    async def _read(self) -> None:
        for place, run in (await self.consumer.getmany(timeout_ms=0)).items():
            for one in run:
                headers = dict(one.headers)
                name = headers["dlq-offset"] if place.topic == "matches-dlq" else headers["ce_type"] + b" " + headers["ce_subject"] + b" " + headers["ce_id"]
                self.records[place.topic].setdefault(name.decode(), set()).add(one.value)
                self.taken[place.topic] += 1
                self.dated = max(self.dated, parse_rfc3339(headers["ce_time"].decode()) if place.topic == "confirmations" else 0)

    async def judge(self, case: Case, faults: int) -> None:
        """Nothing lost and nothing doubled of all cases up to this one.

        Raises:
            AssertionError: not so; the message says what.
        """
        missing = case.heard - self.sink.accepted.keys()
        assert not missing, f"lost: {len(missing)} notices were never heard: {sorted(missing)}"
        if not self.timed:
            assert str(case.in_app) in self.sink.accepted, "lost: the notice of the app's reader"
        strange = self.sink.accepted.keys() - self.known
        assert not strange, f"doubled: {len(strange)} effects under keys that nobody should use"
        assert all(len(bodies) == 1 for bodies in self.sink.bodies.values()), "doubled: one key, and different words"
        often = {key: count for key, count in self.sink.attempts.items() if count > 2 + faults}
        assert not often, f"asked for again and again: {often}"
        unsent = await self.database.fetch(_UNSENT, list(case.heard | {str(case.in_app)}))
        assert not unsent, f"heard, and not recorded: {[tuple(row) for row in unsent]}"
        self._judge_topics(case)
        await self._judge_books(case)
        self.sink.attempts.clear()
        self.sink.bodies.clear()

    def _judge_topics(self, case: Case) -> None:
        confirmations = self.records["confirmations"]
        assert all(len(values) == 1 for values in confirmations.values()), "doubled: two different events of one cause"
        if not self.timed:
            assert self.dated <= self.town.latest, f"dated {rfc3339(self.dated)}, but by event time it is {rfc3339(self.town.latest)} at most"
        for kind, wanted in (("match.confirmed", case.confirmed), ("match.closed", {case.match("a")})):
            prefix = f"lastmetre.{kind}.v1 c{case.number}-"
            told = [name.split(" ")[1] for name in confirmations if name.startswith(prefix)]
            assert sorted(told) == sorted(wanted), f"{kind}: told {sorted(told)}, wanted {sorted(wanted)}"
        failed = sorted(name.split(" ")[1] for name in confirmations if "failed" in name)
        wanted_failed = [] if self.timed else sorted(Case(number).match("e") for number in range(case.number))
        assert failed == wanted_failed, f"failed {failed}, wanted {wanted_failed}"
        assert len(self.records["matches-dlq"]) == self.number + 1, f"{len(self.records['matches-dlq'])} dead letters of {self.number + 1}"

    async def _judge_books(self, case: Case) -> None:
        if self.timed:
            assert await self.database.fetchval(_IN_APP, case.in_app) == 1, "lost: what was to lie in the app"
            told, wanted = await self.database.fetchval(_TOLD, BUDGETED), 2 * self.number
            assert told == wanted, f"counted {told} notices of {wanted} to one person a day"
            before = case.before.failed_late
            assert not case.number or await self.database.fetchval(_IN_APP, before) == 1, "lost: what did not arrive has no second channel"
            neighbours = {row["id"]: (row["place"], row["open"]) for row in await self.database.fetch(_NEIGHBOURS)}
            wanted_neighbours = {place: end for number in range(self.number) for place, end in Case(number, timed=True).neighbours(self.number).items()}
            assert neighbours == wanted_neighbours, f"of the stairways {neighbours}, wanted {wanted_neighbours}"
        receipts = {(row["channel"], row["reference"], row["status"]): (row["repeats"], row["outcome"]) for row in await self.database.fetch(_RECEIPTS)}
        wanted_receipts = {place: end for number in range(case.number) for place, end in Case(number, timed=self.timed).receipts.items()}
        assert receipts == wanted_receipts, f"receipts {receipts.items() - wanted_receipts.items()}, wanted {wanted_receipts.items() - receipts.items()}"
        late = [case.before.match("a"), *([case.before.match("g")] if self.timed else [])] if case.number else []
        matches = [case.match("a"), *late]
        booked = [(row["match_id"], row["number"], row["entries"]) for row in await self.database.fetch(_BOOKED, matches)]
        wanted_books = [(match, number, 4) for match in sorted(matches) for number in ((1, 2) if match == case.before.match("a") else (1,))]
        assert booked == wanted_books, f"booked {booked}, wanted {wanted_books}"


def _channels(sink: Sink) -> str:
    hook = {"type": "webhook", "url": sink.url, "secret_env": VARIABLE, "timeout_seconds": 2.0, "concurrency": 8}
    return json.dumps({"hook": hook, "app": {"type": "app"}, "text": hook | {"type": "sms", "id_field": "id"}})


def _stubborn(body: dict[str, Any], nth: int) -> int:
    return 503 if body.get("ref") == STUBBORN and body["kind"] == "confirmed" and nth == 1 else 200


@asynccontextmanager
async def rig(bootstrap: str, dsn: str, owner_dsn: str, folder: Path, *, timed: bool) -> AsyncIterator[Rig]:
    """Everything but the process. `timed`: by the clock on the wall, with people who have wishes of their own; else by event time, one channel for all."""
    os.environ[VARIABLE] = SECRET
    async with AsyncExitStack() as cleanup:
        cleanup.callback(os.environ.pop, VARIABLE)
        sink = await cleanup.enter_async_context(receiver())
        sink.judge = _stubborn
        people = folder / "people.toml"
        people.write_text(_PEOPLE, encoding="utf-8")
        more: dict[str, Any] = {"channels": SecretStr(_channels(sink)), "directory": people} if timed else {"clock": "event"}
        years = 525_600
        more |= {"public_url": "https://lm.example.org", "link_keys": f"a:{_KEY}"}
        settings = settings_of(
            bootstrap, dsn, "hook" if timed else sink.url, instance="failpoints", webhook_attempts_max=50, webhook_timeout_seconds=2.0,
            report_minutes=years, acknowledge_minutes=years, finish_minutes=years, **more,
        )  # fmt: skip
        source = await cleanup.enter_async_context(matcher(bootstrap))
        database = await asyncpg.connect(owner_dsn)
        cleanup.push_async_callback(database.close)
        if not timed:
            await database.execute("UPDATE notifying.clock SET runs_to = $1", RUNS_TO)
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        cleanup.push_async_callback(consumer.stop)
        consumer.assign([TopicPartition(topic, LANE) for topic in ("confirmations", "matches-dlq")])
        found = Rig(settings, sink, Town(source.producer, LANE, AREA), database, consumer, timed, folder / f"notifier-{timed}.log")
        cleanup.push_async_callback(found.end)
        yield found
