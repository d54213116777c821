"""What listens inside the notifier's process: it takes orders through a pipe, tells which points were passed, and dies, fails or waits where it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Final, Literal

import pytest

from services.links import store as links_store
from services.notifier import failpoints, receipts_store, store, usual_store, vault_news, visits_store, watch_store

Action = Literal["kill", "error", "delay"]
ACTIONS: Final[tuple[Action, ...]] = ("kill", "error", "delay")
DELAY_SECONDS: Final = 0.3
AWAY_SECONDS: Final = 0.3
# Where work begins: from here on an order counts that is about work, and not about a process's start.
_WORK_BEGINS: Final = frozenset(("inbox: after poll", "visits: after poll", "neighbours: after poll"))
# With what a statement begins; else a constant is a piece that statements share. One that begins otherwise has no name, and `step_name` refuses it.
_FIRST_WORDS: Final = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))


def _statements(module: ModuleType, whose: str = "") -> dict[str, str]:
    """The SQL of a module: text -> the name of the constant that holds it, with `whose` before it."""
    return {
        text: whose + name.strip("_").lower()
        for name, text in vars(module).items()
        if isinstance(text, str) and name.isupper() and text.split(maxsplit=1)[0] in _FIRST_WORDS and ("notifying." in text or "links." in text)
    }


# A statement that two modules share has the name that the later one here gives it: `take_back` is the inbox's and the watch's.
STATEMENTS: Final = (
    _statements(vault_news, "vault_")
    | _statements(links_store, "links_")
    | _statements(watch_store, "watch_")
    | _statements(receipts_store)
    | _statements(visits_store)
    | _statements(usual_store)
    | _statements(store)
)
"""All statements of the notifier, by their text."""


@dataclass(frozen=True, slots=True)
class Order:
    """At this point, the next time it is passed (once work has come in, where `at_work`), do this."""

    point: str
    action: Action
    at_work: bool = True


def step_name(step: str) -> str:
    """A step as a name: statements by their constant, all else as it is.

    Raises:
        LookupError: a statement that no module names.
    """
    if step in STATEMENTS:
        return STATEMENTS[step]
    if step.endswith(";") and step[:-1].isupper():
        return step[:-1].lower()
    if " " in step:
        raise LookupError(f"a statement without a name: {step}")
    return step


class Trap:
    """One process's listener."""

    def __init__(self, pipe: Connection, orders: tuple[Order, ...]) -> None:
        self._pipe = pipe
        self._orders = list(orders)
        self._seen: set[str] = set()
        self._awake = False

    async def __call__(self, order: str, step: str) -> None:
        """A point is passed."""
        while self._pipe.poll():
            self._orders = list(self._pipe.recv())
            self._seen.clear()
            self._awake = False
        task = asyncio.current_task()
        assert task is not None
        try:
            name = step_name(step)
        except LookupError as fault:
            self._pipe.send(("nameless", str(fault)))  # the notifier would take it for a fault of what it has in hand
            raise
        point = f"{task.get_name()}: {order} {name}"
        if point not in self._seen:
            self._seen.add(point)
            self._pipe.send(("passed", point))
        self._awake = self._awake or point in _WORK_BEGINS
        meant = next((one for one in self._orders if one.point == point and (self._awake or not one.at_work)), None)
        if meant is None:
            return
        self._orders.remove(meant)
        action = meant.action
        self._pipe.send(("met", point))
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "delay":
            await asyncio.sleep(DELAY_SECONDS)
        else:
            raise ConnectionResetError(point)


def lay(pipe: Connection, orders: tuple[Order, ...]) -> None:
    """Lay the trap; the first thing that a process does. Where links could not be made it asks again soon."""
    pytest.MonkeyPatch().setattr("services.notifier.exchange._AWAY_SECONDS", AWAY_SECONDS)
    failpoints.listen(Trap(pipe, orders))
