"""The stream as it flows: server-sent events for monitors and phones, each as far as they may see."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from starlette.types import Receive, Scope, Send

from services.gateway import errors
from services.gateway.board.sse import EventStream
from services.gateway.context import GatewayOf
from services.gateway.guard import needs
from services.gateway.identity.model import Caller
from services.gateway.policy import Act
from services.gateway.rendering import language_of
from services.gateway.roles import Principal
from services.gateway.shares import AllTaken, Shares

router = APIRouter()
_STREAMS_MAX: Final = 6000
_AGAIN_SECONDS: Final = 30
_TAKEN: Final = ("此账号打开的实时页面过多，请先关闭一些", "this account has too many live pages open: close some first")


class _OneOfTheirs(Response):
    """A stream, where its account may hold another one; counted for as long as it is sent, so that none is counted that never began."""

    def __init__(self, request: Request, shares: Shares, account: str, opened: Callable[[], EventStream]) -> None:
        super().__init__(headers={})
        self._request, self._shares, self._account, self._opened = request, shares, account, opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or 429."""
        try:
            with self._shares.one_of(self._account):
                await self._opened()(scope, receive, send)
        except AllTaken:
            refused = errors.answer(self._request, 429, "too_many_streams", _TAKEN, headers={"Retry-After": str(_AGAIN_SECONDS)})
            await refused(scope, receive, send)


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
    An account has at most 20 open; one more is answered 429.
    """
    if len(gateway.hub) >= _STREAMS_MAX:
        raise HTTPException(503)
    resumed = int(last_event_id) if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit() else after
    caller: Caller = request.state.caller

    async def still() -> bool:
        return await gateway.identity.is_still(caller, request.headers.get("authorization"))

    def opened() -> EventStream:
        return EventStream(gateway.hub.subscribe(principal), gateway.database, language_of(request), gateway.renderer.places, resumed, still)

    return _OneOfTheirs(request, gateway.streams, principal.account, opened)
