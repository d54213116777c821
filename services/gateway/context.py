"""What the routes work with: made once by `app.main`, handed to each request as `request.app.state.gateway`."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from services.gateway.board.hub import Hub
from services.gateway.database import Database
from services.gateway.door.door import Door
from services.gateway.identity.service import Identity
from services.gateway.people.door import Doors
from services.gateway.people.shelf import Shelf
from services.gateway.people.store import Looks, looks
from services.gateway.people.turnstile import Granted, Turnstile
from services.gateway.publisher import Publisher
from services.gateway.rendering import Renderer
from services.gateway.settings import Settings
from services.gateway.shares import STREAMS, WAITING_READS, Shares
from services.links.keys import LinkKeys
from services.runtime import Stop


@dataclass(slots=True)
class Gateway:
    """The parts of one running gateway. `stop` ends long answers such as streams."""

    settings: Settings
    database: Database
    publisher: Publisher
    renderer: Renderer
    stop: Stop
    hub: Hub
    doors: Doors
    shelf: Shelf
    identity: Identity
    links: LinkKeys | None
    door: Door
    turnstile: Turnstile = field(default_factory=Turnstile)
    granted: Granted = field(default_factory=Granted)
    streams: Shares = field(default_factory=lambda: Shares(STREAMS))
    waiting_reads: Shares = field(default_factory=lambda: Shares(WAITING_READS))
    looks: Looks = field(init=False)
    taps: asyncio.Semaphore = field(init=False)
    """Who says something by a link holds a connection until Kafka has it: half of them at most, so that the pages go on while Kafka is away."""

    def __post_init__(self) -> None:
        """What looks for many at once looks into this gateway's database."""
        self.looks = looks(self.database)
        self.taps = asyncio.Semaphore(max(1, self.settings.pool_max // 2))


async def _of(request: Request) -> Gateway:  # not `def`: that would be sent through a pool of threads for each request
    return cast("Gateway", cast("Any", request.app.state).gateway)


GatewayOf = Annotated[Gateway, Depends(_of)]
