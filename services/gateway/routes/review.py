"""Wishes before they are published: those that a community looks at first, and frozen ones."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from schemas.errors import CONTAINS_PERSONAL_DATA, InvalidEvent
from schemas.personal import find_personal_data
from schemas.place import Place
from services.gateway.board import deeds, drafts
from services.gateway.board.showing import helpers_of
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs, record, require
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal
from services.gateway.routes.wish import GivenReason

router = APIRouter()
Reviewer = Annotated[Principal, needs(Act.REVIEW_WISH)]
_GOES_ON: Final = {
    "code": "wish_goes_on",
    "zh": "原来的心愿还没有停下，现在恢复会派出两批帮手：请到原心愿的页面再冻结一次，或等看板显示它已撤回后再来",
    "en": "the wish that this is a copy of still goes on, and helpers would be sent to both: "
    "freeze it once more on its own page, or come back when the board shows that it is withdrawn",
}


def _back(said: str) -> RedirectResponse:
    return RedirectResponse(f"/review?said={said}", HTTPStatus.SEE_OTHER)


async def _draft(gateway: Gateway, principal: Principal, draft_id: UUID) -> dict[str, Any]:
    async with gateway.database.acting_for(principal) as connection:
        found = await drafts.draft(connection, draft_id)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    require(principal, Act.REVIEW_WISH, deeds.thing_of(found))
    return found


@router.get("/review", response_class=HTMLResponse, summary="Wishes to look at before they are published")
async def review(request: Request, gateway: GatewayOf, principal: Reviewer) -> HTMLResponse:
    """What waits for a look, frozen wishes, and which communities look first."""
    now = datetime.now(UTC)
    async with gateway.database.acting_for(principal) as connection:
        waiting = await drafts.waiting(connection)
        going_on = await drafts.going_on(connection)
        settings = await drafts.communities(connection)
    for one in waiting:
        one["goes_on"] = going_on.get(one["draft_id"])
        one["starts_at"], one["ends_at"] = (datetime.fromisoformat(one["data"]["window"][name]) for name in ("start", "end"))
    for one in settings:
        one["mine"] = may(principal, Act.REVIEW_WISH, Thing(one["area"], Place(community=one["community"])))
    more = waiting[0]["together"] - len(waiting) if waiting else 0
    values: dict[str, Any] = {"waiting": waiting, "more": more, "settings": settings, "now": now, **helpers_of(principal, now)}
    return gateway.renderer.page(request, "review.html", principal=principal, **values)


@router.post("/review/{draft_id}/publish", summary="Publish a wish that was looked at")
async def publish(gateway: GatewayOf, principal: Reviewer, draft_id: UUID) -> RedirectResponse:
    """Says `wish.submitted`, once; of a frozen wish only when the wish itself has ended."""
    found = await _draft(gateway, principal, draft_id)
    outcome = await drafts.publish(gateway, principal, found)
    if outcome == "goes_on":
        raise HTTPException(HTTPStatus.CONFLICT, _GOES_ON)
    if outcome == "gone":
        raise HTTPException(HTTPStatus.CONFLICT)
    return _back("published" if outcome == "published" else "too_late")


@router.post("/review/{draft_id}/refuse", summary="Do not publish a wish")
async def refuse(gateway: GatewayOf, principal: Reviewer, draft_id: UUID, reason: GivenReason) -> RedirectResponse:
    """Keeps the draft with the reason, which whoever entered the wish reads."""
    await _draft(gateway, principal, draft_id)
    if find_personal_data(reason) is not None:
        raise InvalidEvent(CONTAINS_PERSONAL_DATA, "reason")
    async with gateway.database.acting_for(principal) as connection:
        if not await drafts.refuse(connection, draft_id, reason, principal):
            raise HTTPException(HTTPStatus.CONFLICT)
    return _back("draft_refused")


@router.post("/review/communities", summary="Whether a community looks at wishes first")
async def communities(
    request: Request,
    gateway: GatewayOf,
    principal: Reviewer,
    area: Annotated[str, Form(max_length=32, pattern=r"^[a-z0-9-]+$")],
    community: Annotated[str, Form(max_length=32, pattern=r"^[a-z0-9-]+$")],
    reviews: Annotated[Literal["yes", "no"], Form()],
) -> RedirectResponse:
    """From now on; what waits already goes on waiting."""
    require(principal, Act.REVIEW_WISH, Thing(area, Place(community=community)))
    await record(request, Act.REVIEW_WISH, "allowed", things=[f"area={area}", f"community={community}", f"reviews={reviews}"])
    async with gateway.database.acting_for(principal) as connection:
        await drafts.set_reviews(connection, area, community, reviews=reviews == "yes", by=principal)
    return _back("saved")
