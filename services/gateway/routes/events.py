"""`GET /api/v1/events`: what the services decided, read again from any position, or waited for."""

import contextlib
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response

from services.gateway.context import Gateway, GatewayOf
from services.gateway.door import answers, examples, positions
from services.gateway.door.answers import Refused
from services.gateway.guard import needs
from services.gateway.identity.model import Caller
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal
from services.gateway.routes import denials
from services.gateway.routes.ids import Moment
from services.gateway.shares import AllTaken

router = APIRouter(tags=["events"])
LIMIT_MAX: Final = 500
WAIT_MAX_SECONDS: Final = 30.0
Reader = Annotated[Principal, needs(Act.READ_EVENTS)]


async def _see_that_it_holds(request: Request, gateway: Gateway) -> None:
    """A key may be revoked while somebody waits with it: they get nothing of what came then.

    Raises:
        HTTPException: 401 where it is good no more, 409 where its account is another one by now.
    """
    before: Caller = request.state.caller
    request.state.caller = await gateway.identity.caller_now(before, request.headers.get("authorization"))
    if request.state.caller.principal != before.principal:
        raise HTTPException(HTTPStatus.UNAUTHORIZED if request.state.caller.principal is None else HTTPStatus.CONFLICT)


@router.get("/api/v1/events", summary="Read events from a position", response_class=Response, responses=examples.READ_RESPONSES)
async def read(
    request: Request,
    gateway: GatewayOf,
    principal: Reader,
    topic: Annotated[Literal["matches", "confirmations"], Query(description="which topic")],
    after: Annotated[str | None, Query(max_length=200, description="`next` of an earlier answer; without it and `since`, the oldest that is kept")] = None,
    since: Annotated[Moment | None, Query(description="RFC 3339: begin with the first event published at or after it")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="at most so many events")] = 100,
    wait: Annotated[float, Query(ge=0, le=WAIT_MAX_SECONDS, description="where nothing is there yet: seconds to wait for the first")] = 0,
) -> Response:
    """Events of the key's area, in the order of the topic. Go on with `next`; `gap` says that records before were dropped by age.

    A key whose scope is narrower than an area reads nothing here: these events name no place. Of reads that `wait` an account has at most four at a time.
    """
    area = principal.scope.area
    try:
        if not may(principal, Act.READ_EVENTS, Thing(area)):
            raise Refused("out_of_scope", "scope")
        if after is not None:
            offset = positions.offset_of(after, topic, area)
        elif since is not None:
            offset = await gateway.door.positions.at(topic, area, max(0, int(since.timestamp() * 1000)))
        else:
            offset = 0
        # Whoever waits holds a consumer, of which there are not many: with a share for each account one alone does not hold them all.
        with gateway.waiting_reads.one_of(principal.account) if wait > 0 else contextlib.nullcontext():
            page = await gateway.door.positions.read(topic, area, offset, limit, wait)
    except AllTaken:
        return answers.refusal(Refused("too_many_waiting", str(gateway.waiting_reads.most), retry_after=answers.RETRY_SECONDS))
    except Refused as fault:
        await denials.note(request, Act.READ_EVENTS, [fault.code])
        return answers.refusal(fault)
    if wait > 0:
        await _see_that_it_holds(request, gateway)
    if after is None:
        page = positions.Page(page.events, page.next_offset, page.more, gap=False)
    return Response(page.body(topic, area), headers={"cache-control": "no-store"}, media_type="application/json")
