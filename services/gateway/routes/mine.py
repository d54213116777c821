"""A member's own page: their matches and what can be said about each, invitations, hours and stars, messages."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.gateway import words
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs, require
from services.gateway.people import claiming, store, visits
from services.gateway.people.door import Told
from services.gateway.people.settling import settled
from services.gateway.people.visits import MyMatch
from services.gateway.policy import Act, Thing
from services.gateway.rendering import language_of
from services.gateway.roles import Principal

router = APIRouter()
Member = Annotated[Principal, needs(Act.ANSWER_MATCH)]
_AFTER: Final = {"accept": {"agreed", "confirmed", "started", "finished", "closed"}, "decline": {"released"}, "start": {"started", "finished", "closed"}}
_AFTER["finish"] = {"finished", "closed"}


def _ref(principal: Principal) -> str:
    if principal.volunteer_ref is None:  # a volunteer's account without its reference has nothing of its own
        raise HTTPException(HTTPStatus.FORBIDDEN)
    return principal.volunteer_ref


@router.get("/mine", response_class=HTMLResponse, summary="My visits, hours and stars")
async def mine(request: Request, gateway: GatewayOf, principal: Member) -> HTMLResponse:
    """What waits for an answer first, then what is to come, then what is over."""
    area, ref, now, tariff = principal.scope.area, _ref(principal), words.utc_now(), gateway.settings.tariff
    async with gateway.database.acting_for(principal) as connection:
        books = await store.my_books(connection)
        matches = [visits.as_booked(match, books) for match in await store.my_matches(connection, area, ref)]
        invitations = await store.my_invitations(connection, area, ref, now)
        unread = await store.unread(connection)
    unfit = {one.wish_id for one in invitations if not await claiming.still_fits(gateway, principal, one.wish_id, one.offer_id)}
    standing = visits.standing(books.values(), now, tariff)
    told: dict[str, Told] = {match.match_id: await gateway.doors.told(match, now) for match in matches if match.live}
    return gateway.renderer.page(
        request, "mine.html", live=[match for match in matches if match.live], over=[match for match in matches if not match.live], told=told,
        invitations=invitations, unfit=unfit, standing=standing, tariff=tariff, unread=unread, actions=visits.actions, state_words=visits.state_words,
        minutes=visits.MINUTES, words=words, now=now,
    )  # fmt: skip


@router.post("/mine/{match_id}/{action}", response_class=RedirectResponse, status_code=HTTPStatus.SEE_OTHER, summary="Answer, set out, finish, or call off")
async def say(
    gateway: GatewayOf,
    principal: Member,
    match_id: str,
    action: Literal["accept", "decline", "start", "finish"],
    minutes: Annotated[int | None, Form(ge=1, le=1440)] = None,
) -> RedirectResponse:
    """Said twice it counts once."""
    area, ref = principal.scope.area, _ref(principal)
    match = await _mine(gateway, principal, match_id)
    if match is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    require(principal, Act.ANSWER_MATCH, Thing(area, volunteer_refs=frozenset({match.volunteer_ref})))
    if match.state in _AFTER[action]:  # said already
        return _to_mine(visits.SAID[action])
    if action not in visits.actions(match, words.utc_now()):
        raise HTTPException(HTTPStatus.CONFLICT)
    data: dict[str, Any] = {"area": area, "wish_id": match.wish_id, "offer_id": match.offer_id, "match_id": match_id}
    if action == "finish" and minutes is not None:
        data["minutes"] = minutes
    await gateway.publisher.say(visits.EVENTS[action], match.wish_id, data)

    async def shows() -> bool:
        async with gateway.database.acting_for(principal) as connection:
            now_it_is = await store.my_match(connection, area, match_id, ref)
        return now_it_is is not None and (now_it_is.state in _AFTER[action] or (action == "accept" and now_it_is.answered))

    return _to_mine(visits.SAID[action] if await settled(shows) else "later")


@router.post(
    "/mine/invitations/{wish_id:path}/{offer_id}/{action}", response_class=RedirectResponse, status_code=HTTPStatus.SEE_OTHER, summary="Answer an invitation"
)
async def answer_invitation(gateway: GatewayOf, principal: Member, wish_id: str, offer_id: str, action: Literal["accept", "decline"]) -> RedirectResponse:
    """The first yes makes the match. A second tap, or one that comes after somebody else's, is told so; so is a yes of who is full or busy by now."""
    area, ref = principal.scope.area, _ref(principal)
    async with gateway.database.acting_for(principal) as connection:
        asked = await store.my_invitations(connection, area, ref, words.utc_now())
    if not any((one.wish_id, one.offer_id) == (wish_id, offer_id) for one in asked):
        before = await store.before_claim(gateway.looks, principal, wish_id)
        async with gateway.database.acting_for(principal) as connection:
            theirs = await store.has_offered(connection, area, ref, offer_id)
        if not theirs:
            raise HTTPException(HTTPStatus.NOT_FOUND)  # nobody can have asked them
        if before.match_of(wish_id) is not None:
            return _to_mine("accepted" if action == "accept" else "settled")
        return _to_mine("taken" if action == "accept" else "declined")
    require(principal, Act.ANSWER_MATCH, Thing(area, volunteer_refs=frozenset({ref})))
    await gateway.publisher.say(visits.EVENTS[action], wish_id, {"area": area, "wish_id": wish_id, "offer_id": offer_id})

    said = "later"

    async def shows() -> bool:
        nonlocal said
        async with gateway.database.acting_for(principal) as connection:
            still = await store.my_invitations(connection, area, ref, words.utc_now())
        if (await store.before_claim(gateway.looks, principal, wish_id)).match_of(wish_id) is not None:
            said = "accepted"
        elif not any((one.wish_id, one.offer_id) == (wish_id, offer_id) for one in still):
            said = "taken"
        return said != "later"

    if action == "decline":
        return _to_mine("declined")
    if not await settled(shows) and not await claiming.still_fits(gateway, principal, wish_id, offer_id):
        said = "unfit"
    return _to_mine(said)


@router.get("/inbox", response_class=HTMLResponse, summary="My messages")
async def inbox(request: Request, gateway: GatewayOf, principal: Annotated[Principal, needs(Act.SEE_OWN)]) -> HTMLResponse:
    """What the notifier has put into the app for me, in the language of the page."""
    async with gateway.database.acting_for(principal) as connection:
        messages = await store.inbox(connection, language_of(request))
    return gateway.renderer.page(request, "inbox.html", messages=messages, words=words, now=words.utc_now())


@router.post("/inbox", response_class=RedirectResponse, status_code=HTTPStatus.SEE_OTHER, summary="Mark messages as read")
async def read(gateway: GatewayOf, principal: Annotated[Principal, needs(Act.SEE_OWN)], key: Annotated[list[UUID], Form(max_length=200)]) -> RedirectResponse:
    """Only one's own are marked, and each once."""
    async with gateway.database.acting_for(principal) as connection:
        await store.mark_read(connection, [str(one) for one in key])
    return RedirectResponse("/inbox?said=read", HTTPStatus.SEE_OTHER)


async def _mine(gateway: Gateway, principal: Principal, match_id: str) -> MyMatch | None:
    async with gateway.database.acting_for(principal) as connection:
        return await store.my_match(connection, principal.scope.area, match_id, _ref(principal))


def _to_mine(said: str) -> RedirectResponse:
    return RedirectResponse(f"/mine?said={said}", HTTPStatus.SEE_OTHER)
