"""What the routes work with: made once by `app.main`, handed to each request as `request.app.state.gateway`."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from services.gateway.database import Database
from services.gateway.door.door import Door
from services.gateway.identity.service import Identity
from services.gateway.publisher import Publisher
from services.gateway.rendering import Renderer
from services.gateway.settings import Settings
from services.runtime import Stop


@dataclass(slots=True)
class Gateway:
    """The parts of one running gateway. `stop` ends long answers such as streams."""

    settings: Settings
    database: Database
    publisher: Publisher
    renderer: Renderer
    stop: Stop
    identity: Identity
    door: Door


def _of(request: Request) -> Gateway:
    return cast("Gateway", cast("Any", request.app.state).gateway)


GatewayOf = Annotated[Gateway, Depends(_of)]
