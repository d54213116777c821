"""The stream as it flows: server-sent events for monitors and phones, each as far as they may see."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response

from services.gateway.board.sse import EventStream
from services.gateway.context import GatewayOf
from services.gateway.guard import needs
from services.gateway.identity.model import Caller
from services.gateway.policy import Act
from services.gateway.rendering import language_of
from services.gateway.roles import Principal

router = APIRouter()
_STREAMS_MAX: Final = 6000


@router.get("/live", summary="The stream as server-sent events", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def live(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.SEE_OWN)],
    after: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """Events `line`, each with its number as id; with `Last-Event-ID` (or `after`) it goes on after that number. `reset`: load the page anew.

    Workers and auditors see all of their circle, others what concerns themselves, volunteers also the wishes near them.
    """
    if len(gateway.hub) >= _STREAMS_MAX:
        raise HTTPException(503)
    resumed = int(last_event_id) if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit() else after
    caller: Caller = request.state.caller

    async def still() -> bool:
        return await gateway.identity.is_still(caller, request.headers.get("authorization"))

    return EventStream(gateway.hub.subscribe(principal), gateway.database, language_of(request), gateway.renderer.places, resumed, still)
