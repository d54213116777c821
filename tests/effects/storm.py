"""The storm itself: matches at a steady pace, a notifier that is killed at random moments, and the count at the end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from services.notifier.book import PARTIES, notice_key
from services.notifier.settings import Settings
from tests.chaos.rig import allowed
from tests.effects.gateways import Gateways, gateways
from tests.effects.people import PEOPLE, in_file, in_vault
from tests.forked import Child, forked
from tests.integration.notifier_rig import SECRET, TO_COME, Matcher, ask, header, matcher, records, settings_of

VARIABLE = "EFFECTS_SECRET"
PROGRESS_SECONDS = 30.0
SETTLED_SECONDS = 180.0
LOOK_SECONDS = 0.02
OTHER_ONE_IN = 25
UNDER_WAY = """
SELECT (SELECT count(*) FROM notifying.notices WHERE state IN ('pending', 'leased', 'retryable'))
    + (SELECT count(*) FROM notifying.outbox WHERE published_at IS NULL) + (SELECT count(*) FROM notifying.receipts WHERE outcome IS NULL)
    + (SELECT count(*) FROM notifying.vault_news)
"""
VISITS = "SELECT match_id, stage FROM vault.visits"
LOOKS = "SELECT outcome, count(*)::int FROM vault.audit WHERE action = 'read' GROUP BY 1"


TAKEN = "SELECT coalesce(sum(next_offset), 0)::int, coalesce(sum(epoch), 0)::int FROM notifying.partitions"
LEAVE = "SELECT notifying.leave_receipt($1, $2, $3, now())"


@dataclass
class Storm:
    """One storm. `told` gets a line for each thing that happens."""

    settings: Settings
    owner_dsn: str
    gateways: Gateways
    rng: random.Random
    per_second: float
    told: Callable[[str], None]
    proposed: list[str] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    events: int = 0
    others: int = 0

    async def load(self, source: Matcher, done: asyncio.Event) -> None:
        """Propose matches of every lane, release some of them, until it is enough."""
        while not done.is_set():
            match_id = f"m-{len(self.proposed):06}"
            source.partition = self.rng.randrange(6)
            source.area = f"area-{source.partition}"
            person = self.rng.randrange(PEOPLE)
            refs = {"resident_ref": f"r-{person:03}", "volunteer_ref": f"v-{person:03}"}
            await source.propose(match_id, urgency=self.rng.choice(("red", "yellow", "blue")), slot=TO_COME, **refs)
            self.proposed.append(match_id)
            self.events += 1
            if self.rng.random() < 0.05:
                await source.release(match_id, "withdrawn")
                self.released.add(match_id)
                self.events += 1
            await asyncio.sleep(self.rng.expovariate(self.per_second))

    async def kills(self, kills: int) -> None:
        """Start the notifier and kill it, so many times: mostly while it tells people, else at whichever moment it is in."""
        for number in range(1, kills + 1):
            async with self._notifier() as child:
                if self.rng.random() < 0.7:
                    await self._progress(self.gateways.attempts)
                    await asyncio.sleep(self.rng.random() * 0.7)
                else:
                    await asyncio.sleep(self.rng.random() * 2.0)
                assert child.returncode is None, "the notifier ended by itself"
                child.kill()
                await child.wait()
            if number % 10 == 0 or number == kills:
                self.told(f"{number} kills, {len(self.proposed)} matches, {sum(self.gateways.effects.values())} effects, {self.gateways.attempts} attempts")

    def _notifier(self) -> AbstractAsyncContextManager[Child]:
        """Mostly the same one that comes back and has its partitions at once; at times another one, who must wait until the dead one's session is over."""
        if self.rng.randrange(OTHER_ONE_IN) == 0:
            self.others += 1
            return forked(self.settings.model_copy(update={"instance": f"effects-{self.others}"}))
        return forked(self.settings)

    async def come_and_go(self, done: asyncio.Event) -> None:
        """Another notifier beside the one that is killed: it joins, has half of the partitions, and leaves in good order or by force, until it is enough."""
        while not done.is_set():
            async with self._other() as child:
                await asyncio.sleep(self.rng.uniform(2, 12))
                assert child.returncode is None, "the notifier ended by itself"
                if self.rng.random() < 0.5:
                    child.terminate()
                    assert await child.wait() == 0
            await asyncio.sleep(self.rng.uniform(0, 4))

    def _other(self) -> AbstractAsyncContextManager[Child]:
        """Without a name of its own, so that its partitions are free as soon as it has left."""
        return forked(self.settings.model_copy(update={"instance": None}))

    async def _progress(self, before: int) -> None:
        deadline = time.monotonic() + allowed(PROGRESS_SECONDS)
        while self.gateways.attempts <= before + 3:
            assert time.monotonic() < deadline, "the notifier did not come to work"
            await asyncio.sleep(LOOK_SECONDS)

    async def settle(self) -> None:
        """Let one more process bring everything to its end."""
        deadline = time.monotonic() + allowed(SETTLED_SECONDS)
        await self.gateways.called_back()
        taken_over = (await ask(self.owner_dsn, TAKEN))[0][1]
        async with forked(self.settings) as child:
            while True:
                taken, epochs = (await ask(self.owner_dsn, TAKEN))[0]
                left = (await ask(self.owner_dsn, UNDER_WAY))[0][0]
                await self.gateways.called_back()
                if taken >= self.events and left == 0 and epochs > taken_over:  # it may find all done
                    break
                assert time.monotonic() < deadline, f"not settled: {taken} of {self.events} events, {left} under way"
                await asyncio.sleep(0.2)
            child.terminate()
            assert await child.wait() == 0

    async def judge(self) -> str:
        """Exactly one effect a notice, none lost, and every match confirmed; the figures as a line.

        Raises:
            AssertionError: not so; the message says which.
        """
        wanted = {str(notice_key(match_id, party, "confirmed")): match_id for match_id in self.proposed for party in PARTIES}
        known = {str(key): state for key, state in await ask(self.owner_dsn, "SELECT key, state FROM notifying.notices")}
        effects = self.gateways.effects
        twice = [key for key, count in effects.items() if count > 1]
        assert not twice, f"{len(twice)} notices had more than one effect: {twice[:5]}"
        lost = [key for key, match_id in wanted.items() if match_id not in self.released and not effects[key]]
        assert not lost, f"{len(lost)} notices had no effect: {lost[:5]}"
        unsent = [key for key, state in known.items() if state == "sent" and not effects[key]]
        assert not unsent, f"{len(unsent)} notices count as sent and had no effect: {unsent[:5]}"
        waiting = [
            (match_id, party)
            for match_id in self.released
            for party in PARTIES
            if effects[str(notice_key(match_id, party, "confirmed"))] and not effects[str(notice_key(match_id, party, "released"))]
        ]
        assert not waiting, f"{len(waiting)} were told of a visit and not that it is off: {waiting[:5]}"
        assert not effects.keys() - known.keys(), "an effect of a notice that nobody knows"
        assert "dead" not in known.values(), "a notice was given up"
        confirmed: dict[str, set[bytes]] = {}
        for one in await records(self.settings.kafka, "confirmations"):
            assert header(one, "ce_type") == "lastmetre.match.confirmed.v1", header(one, "ce_type")
            confirmed.setdefault(header(one, "ce_subject"), set()).add(one.value)
        assert {len(values) for values in confirmed.values()} <= {1}, "two different confirmations of one match"
        unconfirmed = set(self.proposed) - self.released - confirmed.keys()
        assert not unconfirmed, f"{len(unconfirmed)} matches were not confirmed"
        receipts = dict(await ask(self.owner_dsn, "SELECT coalesce(outcome, 'open'), count(*) FROM notifying.receipts GROUP BY 1"))
        left_behind = await ask(self.owner_dsn, "SELECT coalesce(sum(repeats + 1), 0)::int FROM notifying.receipts")
        assert left_behind[0][0] == sum(self.gateways.callbacks.values()), "a callback is lost"
        assert not receipts.keys() & {"open", "unknown", "contradicted"}, f"callbacks without an end: {receipts}"
        gone = self.gateways
        looks = await self._judge_vault() if self.settings.vault_database is not None else ""
        return (
            f"{len(self.proposed)} matches, {sum(effects.values())} effects, each once; {gone.attempts} attempts, "
            f"{gone.repeats} of them repeats that the keys caught, {gone.suffixed} by a second channel of the same system; troubles: {dict(gone.troubles)}; "
            f"{sum(gone.callbacks.values())} callbacks: {receipts}{looks}"
        )

    async def _judge_vault(self) -> str:
        """The vault knows how far each match is, and of a look for each attempt."""
        stages = dict(await ask(self.owner_dsn, VISITS))
        wrong = {match_id for match_id in self.proposed if stages.get(match_id) != ("released" if match_id in self.released else "confirmed")}
        assert not wrong, f"the vault is wrong about {len(wrong)} matches: {[(one, stages.get(one)) for one in sorted(wrong)[:5]]}"
        looks = dict(await ask(self.owner_dsn, LOOKS))
        assert looks["allowed"] >= self.gateways.attempts, "somebody was told without a look that the audit has"
        return f"; looks: {looks}"


@asynccontextmanager
async def storm(
    bootstrap: str,
    notifier_dsn: str,
    owner_dsn: str,
    folder: Path,
    seed: int,
    per_second: float,
    told: Callable[[str], None],
    *,
    vault_dsn: str | None = None,
) -> AsyncIterator[Storm]:
    """Everything but the kills: gateways, people, and settings of a notifier that is told to be patient. With `vault_dsn` the people are in a vault."""
    rng = random.Random(seed)
    os.environ[VARIABLE] = SECRET
    try:
        async with gateways(random.Random(seed + 1)) as found:
            usual = {"type": "sms", "secret_env": VARIABLE, "timeout_seconds": 1.0, "concurrency": 16, "codes_later": ["BUSY"]}
            channels = {
                "sms": usual | {"url": f"{found.urls['first']}/sms"},
                "voice": usual | {"url": f"{found.urls['first']}/voice"},
                "pager": {"type": "webhook", "url": f"{found.urls['second']}/pager", "secret_env": VARIABLE, "timeout_seconds": 1.0, "concurrency": 16},
            }
            people = in_file(folder / "people.toml") if vault_dsn is None else await in_vault(vault_dsn, folder)
            settings = settings_of(
                bootstrap,
                notifier_dsn,
                "sms",
                instance="effects",
                channels=SecretStr(json.dumps(channels)),
                **people,
                webhook_attempts_max=100,
                webhook_backoff_seconds=0.05,
                webhook_backoff_max_seconds=0.5,
            )
            async with asyncpg.create_pool(notifier_dsn, min_size=0, max_size=2) as door:
                found.leave = partial(door.fetchval, LEAVE)
                yield Storm(settings, owner_dsn, found, rng, per_second, told)
    finally:
        del os.environ[VARIABLE]


async def blow(one: Storm, kills: int, *, beside: bool = False) -> str:
    """Load, kill, settle and judge; `beside`: another notifier comes and goes meanwhile."""
    done = asyncio.Event()
    async with matcher(one.settings.kafka) as source:
        working = [asyncio.create_task(one.load(source, done)), *([asyncio.create_task(one.come_and_go(done))] if beside else ())]
        try:
            await one.kills(kills)
        finally:
            done.set()
            await asyncio.gather(*working)
    await one.settle()
    return await one.judge()
