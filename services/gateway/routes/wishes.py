"""A wish as its resident follows it: how far it is, take it back, say whether it helped."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from schemas.place import Place
from services.gateway import words
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs, require
from services.gateway.navigation import flash_of
from services.gateway.people import following, store
from services.gateway.people.following import MyWish, Visit
from services.gateway.people.settling import settled
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal
from services.gateway.routes.ids import WISH

router = APIRouter()
WITHDRAWN: Final = "lastmetre.wish.withdrawn.v1"
ACKNOWLEDGED: Final = "lastmetre.service.acknowledged.v1"


async def _found(gateway: Gateway, principal: Principal, act: Act, wish_id: str) -> tuple[MyWish, list[Visit]]:
    async with gateway.database.acting_for(principal) as connection:
        wish = await store.my_wish(connection, principal.scope.area, wish_id)
        visits = [] if wish is None else await store.visits_of(connection, principal.scope.area, wish_id)
    if wish is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    require(principal, act, _thing(wish))
    return wish, visits


def _thing(wish: MyWish) -> Thing:
    return Thing(wish.area, Place(community=wish.community, compound=wish.compound, building=wish.building), wish.resident_ref)


@router.get(f"/wishes/{WISH}", response_class=HTMLResponse, summary="Follow a wish")
async def follow(request: Request, gateway: GatewayOf, principal: Annotated[Principal, needs(Act.ACKNOWLEDGE)], wish_id: str) -> HTMLResponse:
    """How far it is, and what can be said about it."""
    wish, visits = await _found(gateway, principal, Act.ACKNOWLEDGE, wish_id)
    return _page(request, gateway, wish, visits)


def _page(request: Request, gateway: Gateway, wish: MyWish, visits: list[Visit], **more: Any) -> HTMLResponse:
    now, staff = words.utc_now(), may(request.state.principal, Act.SEE_MONITOR, _thing(wish))
    return gateway.renderer.page(
        request, "follow.html", staff=staff, wish=wish, visits=visits, step=following.step(wish, visits), steps=following.STEPS,
        withdraws=following.can_withdraw(wish, visits, now), about=following.to_acknowledge(visits, now), words=words, now=now, **more,
    )  # fmt: skip


@router.post("/wishes/{wish_id:path}/withdraw", response_class=RedirectResponse, status_code=HTTPStatus.SEE_OTHER, summary="Withdraw a wish")
async def withdraw(request: Request, gateway: GatewayOf, principal: Annotated[Principal, needs(Act.WITHDRAW_WISH)], wish_id: str) -> Response:
    """Helpers are told, and need not set out. Once all who were to come are there, the same page says so (409) and asks how it went."""
    wish, visits = await _found(gateway, principal, Act.WITHDRAW_WISH, wish_id)
    if wish.over:  # a second tap, or one from a page that lay open until the visit was over
        return RedirectResponse(f"/wishes/{quote(wish_id)}{'?said=withdrawn' if wish.state == 'withdrawn' else ''}", HTTPStatus.SEE_OTHER)
    if not following.can_withdraw(wish, visits, words.utc_now()):
        return _page(request, gateway, wish, visits, status=HTTPStatus.CONFLICT, flash=flash_of("begun"))
    await gateway.publisher.say(WITHDRAWN, wish_id, {"area": wish.area, "wish_id": wish_id})
    await settled(lambda: _is(gateway, principal, wish_id, {"withdrawn"}))
    return RedirectResponse(f"/wishes/{quote(wish_id)}?said=withdrawn", HTTPStatus.SEE_OTHER)


@router.post("/wishes/{wish_id:path}/acknowledge", response_class=RedirectResponse, status_code=HTTPStatus.SEE_OTHER, summary="Say whether it helped")
async def acknowledge(
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.ACKNOWLEDGE)],
    wish_id: str,
    outcome: Annotated[Literal["done", "partly", "not_done"], Form()],
    rating: Annotated[Literal["", "1", "2", "3", "4", "5"], Form()] = "",
    match_id: Annotated[str, Form(max_length=128)] = "",
) -> RedirectResponse:
    """The resident's word, or the community's where a worker says it for them.

    The page names the visit that it asked about: a second tap, or one from a page that lay open, is no word about the next visit.
    """
    wish, visits = await _found(gateway, principal, Act.ACKNOWLEDGE, wish_id)
    visit = following.to_acknowledge([one for one in visits if match_id in {"", one.match_id}], words.utc_now())
    if visit is None:
        if wish.state == "closed" or any(one.match_id == match_id and (one.told or one.state == "closed") for one in visits):
            return RedirectResponse(f"/wishes/{quote(wish_id)}?said=acknowledged", HTTPStatus.SEE_OTHER)
        raise HTTPException(HTTPStatus.CONFLICT)
    by = "resident" if wish.resident_ref in principal.resident_refs else "community"
    data: dict[str, Any] = {
        "area": wish.area, "wish_id": wish_id, "offer_id": visit.offer_id, "match_id": visit.match_id, "by": by, "outcome": outcome,
    }  # fmt: skip
    if rating:
        data["rating"] = int(rating)
    await gateway.publisher.say(ACKNOWLEDGED, wish_id, data)

    async def heard() -> bool:
        async with gateway.database.acting_for(principal) as connection:
            return any(one.told and one.match_id == visit.match_id for one in await store.visits_of(connection, wish.area, wish_id))

    await settled(heard)
    return RedirectResponse(f"/wishes/{quote(wish_id)}?said=acknowledged", HTTPStatus.SEE_OTHER)


async def _is(gateway: Gateway, principal: Principal, wish_id: str, states: set[str]) -> bool:
    async with gateway.database.acting_for(principal) as connection:
        wish = await store.my_wish(connection, principal.scope.area, wish_id)
    return wish is not None and wish.state in states
