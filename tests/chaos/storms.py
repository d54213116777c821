"""What happens to a stack under load: workers die, join and leave; servers restart; a worker freezes and wakes as a zombie."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from tests.chaos.rig import AT_WORK_SECONDS, RECOVERED_SECONDS, Rig, until

PAUSE_SECONDS_MAX = 2.0
# Longer than the session of 6 s and the rebalance after it: by then the others have its lanes.
TARGETS = (
    *(("matcher",), ("matcher-2",), ("notifier",), ("notifier-2",)),
    *(("matcher", "notifier"), ("matcher-2", "notifier-2"), ("matcher", "matcher-2"), ("notifier", "notifier-2")),
)


async def kills(rig: Rig, count: int) -> None:
    """SIGKILL matchers and notifiers `count` times at random moments, while the second matcher also leaves in good order and joins again."""
    second = rig.stack.service("matcher-2")
    killed = 0
    while killed < count:
        await asyncio.sleep(rig.rng.uniform(0, PAUSE_SECONDS_MAX))  # the moment is random: nothing is waited for
        if killed and rig.rng.random() < 0.35:
            if second.pid is None:
                await second.start()
                await second.ready()
                await rig.at_work("matcher-2 joined")
            else:
                await second.stop()
                await rig.at_work("matcher-2 left")
            continue
        hit = rig.rng.choice([names for names in TARGETS if second.pid is not None or "matcher-2" not in names])
        for name in hit:
            rig.stack.service(name).kill()
            killed += 1
        await rig.at_work(f"SIGKILL of {' and '.join(hit)}")
    if second.pid is None:
        await second.start()
    await rig.stack.ready()


async def server_restarts(rig: Rig, rounds: int, *, once_each: bool = False) -> None:
    """Restart the broker and PostgreSQL in the middle of it all, in good order and by SIGKILL; `once_each`: one of them in one way, and one in the other."""

    async def killed_and_started(server: Kafka | Postgres) -> None:
        server.kill()
        await server.start()

    servers: list[tuple[str, Kafka | Postgres]] = [("Kafka", rig.kafka), ("PostgreSQL", rig.postgres)]
    restarts: list[tuple[str, Callable[[], Awaitable[None]]]] = [(f"a restart of {name}", server.restart) for name, server in servers]
    by_force: list[tuple[str, Callable[[], Awaitable[None]]]] = [(f"SIGKILL of {name}", partial(killed_and_started, server)) for name, server in servers]
    for _ in range(rounds):
        blows = [*restarts, *by_force]
        if once_each:
            killed = rig.rng.randrange(len(servers))
            blows = [*restarts[:killed], *restarts[killed + 1 :], by_force[killed]]
        rig.rng.shuffle(blows)
        for what, blow in blows:
            await asyncio.sleep(rig.rng.uniform(0, PAUSE_SECONDS_MAX))  # the moment is random: nothing is waited for
            await blow()
            await rig.at_work(what, RECOVERED_SECONDS)


async def zombie(rig: Rig) -> None:
    """Freeze a matcher and a notifier beyond their sessions, let the others take their lanes over, then wake them: what they still hold must change nothing."""
    frozen, other = ("matcher", "matcher-2") if rig.rng.random() < 0.5 else ("matcher-2", "matcher")
    stiff = rig.rng.choice(("notifier", "notifier-2"))
    for name in (frozen, stiff):
        rig.signal(name, signal.SIGSTOP)
    try:
        await rig.at_work(f"SIGSTOP of {frozen} and {stiff}", AT_WORK_SECONDS * 2)
        heir = rig.stack.service(other).pid

        async def has_all() -> object:
            owners = set((await rig.owners()).values())
            return True if owners == {heir} else f"owners {owners}"

        await until(has_all, f"all lanes owned by {other}", AT_WORK_SECONDS)
        epochs = dict(await rig.query("SELECT lane, epoch FROM matching.lanes"))
    finally:
        for name in (frozen, stiff):
            rig.signal(name, signal.SIGCONT)
    await rig.two_matchers()
    assert all(epoch >= epochs[lane] for lane, epoch in await rig.query("SELECT lane, epoch FROM matching.lanes")), "an epoch went back"
    await rig.at_work(f"SIGCONT of {frozen} and {stiff}", RECOVERED_SECONDS)
