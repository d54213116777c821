"""Dead letters: look at them, mend them by hand, publish each again once."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from schemas.errors import InvalidEvent
from schemas.place import Place
from services.gateway.board import dead_letters
from services.gateway.board.showing import helpers_of
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs, require
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal

router = APIRouter()
Topic = Annotated[str, Path(max_length=40, pattern=r"^[a-z]+-dlq$")]
Partition = Annotated[int, Path(ge=0, le=10_000)]
Position = Annotated[int, Path(ge=0, le=2**62)]


def _thing(letter: dict[str, Any]) -> Thing:
    place = None if letter["community"] is None else Place.model_construct(community=letter["community"], compound=None, building=None, unit=None)
    return Thing(letter["area"] or "", place)


async def _found(gateway: Gateway, principal: Principal, place: dead_letters.Place) -> dict[str, Any]:
    async with gateway.database.acting_for(principal) as connection:
        found = await dead_letters.letter(connection, place)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return found


@router.get("/dead-letters", response_class=HTMLResponse, summary="Events that could not be taken")
async def listed(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.SEE_DEAD_LETTERS)],
    *,
    done: Annotated[bool, Query()] = False,
) -> HTMLResponse:
    """The newest first; `done`: those that were published again."""
    async with gateway.database.acting_for(principal) as connection:
        found = await dead_letters.letters(connection, done=done)
    shown: dict[str, Any] = {"letters": found, "done": done, **helpers_of(principal, datetime.now(UTC))}
    return gateway.renderer.page(request, "dead_letters.html", principal=principal, **shown)


def _page(request: Request, gateway: Gateway, principal: Principal, found: dict[str, Any], text: str, fault: InvalidEvent | None = None) -> HTMLResponse:
    zh, _, en = found["message"].partition(" | ")
    words = None if fault is None else tuple(str(fault).split(" | ", 1))
    can = may(principal, Act.REPLAY_DEAD_LETTER, _thing(found))
    # What somebody wrote is for who mends it: auditors and administrators judge the process by reason and type.
    shown: dict[str, Any] = {"letter": found, "text": text if can else None, "message": (zh, en or zh), "fault": words, "can_replay": can}
    shown |= helpers_of(principal, datetime.now(UTC))
    return gateway.renderer.page(request, "dead_letter.html", status=200 if fault is None else 422, principal=principal, **shown)


@router.get("/dead-letters/{topic}/{partition}/{position}", response_class=HTMLResponse, summary="One dead letter")
async def one(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.SEE_DEAD_LETTERS)],
    topic: Topic,
    partition: Partition,
    position: Position,
) -> HTMLResponse:
    """Its reason, and its event to mend."""
    found = await _found(gateway, principal, (topic, partition, position))
    return _page(request, gateway, principal, found, dead_letters.as_text(found))


@router.post("/dead-letters/{topic}/{partition}/{position}/replay", summary="Publish a mended event", response_class=HTMLResponse)
async def replay(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.REPLAY_DEAD_LETTER)],
    topic: Topic,
    partition: Partition,
    position: Position,
    event: Annotated[str, Form(max_length=100_000)],
) -> Response:
    """Checked by the contract first; each letter goes once."""
    found = await _found(gateway, principal, (topic, partition, position))
    require(principal, Act.REPLAY_DEAD_LETTER, _thing(found))
    try:
        sent = await dead_letters.replay(gateway, principal, found, event)
    except InvalidEvent as fault:
        return _page(request, gateway, principal, found, event, fault)
    if not sent:
        raise HTTPException(HTTPStatus.CONFLICT)
    return RedirectResponse("/dead-letters?said=replayed", HTTPStatus.SEE_OTHER)
