"""The stack that runs in a state folder, as another process finds it. Nothing that starts servers is imported here: those who look need not have them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.door import Door
from deploy.lock import Lock
from deploy.state import State
from deploy.words import Trouble
from services.broker import Broker

STATUS_FILE = "stack.json"
"""Where a stack says how it is, in its state folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """The stack that runs in a state folder, as another process sees it."""

    supervisor: int
    status: dict[str, Any]
    state: State

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return str(self.status["kafka"]["address"])

    def broker(self, principal: str) -> Broker:
        """Kafka, with the way in of one principal."""
        return Door(self.state).broker(principal, self.bootstrap) if self.status["kafka"]["secure"] else Broker(self.bootstrap)

    @property
    def policy(self) -> Path | None:
        """The policy file that its matcher has, if it was given one."""
        path = self.status.get("policy")
        return Path(path) if path else None

    def dsn(self, role: str) -> str:
        """Connection string of a role (`lastmetre` for the owner of our own PostgreSQL)."""
        place = self.status["postgres"]
        return f"postgresql://{role}:{self.state.password(role)}@{place['address']}/{place['database']}"


def running(state_dir: Path) -> Running:
    """Find the stack that runs in this state folder: for `publish`, `watch`, `explain` and `dlq`.

    Raises:
        Trouble: none runs, or it is still starting.
    """
    state = State(state_dir)
    holder = Lock(state.folder).holder()
    if holder is None:
        raise Trouble("尚未启动。请先运行：python3 -m deploy up", "It is not running. Start it first: python3 -m deploy up")
    try:
        status = json.loads((state.folder / STATUS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Trouble("正在启动，请稍候再试。", "It is still starting; try again in a moment.") from None
    return Running(holder, status, state)
