"""One wish: its whole story, why this helper and why not that one, and what a community worker does about it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import StringConstraints

from services.gateway.board import deeds, drafts, queries
from services.gateway.board.door import ExplanationDoor, Silent
from services.gateway.board.rows import LIVE
from services.gateway.board.showing import cut_off, helpers_of, helpers_steps, is_minors
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import Denied, needs, record, require
from services.gateway.people.settling import settled
from services.gateway.policy import Act, Thing, may
from services.gateway.publisher import checked
from services.gateway.roles import Principal, Role
from services.gateway.routes.ids import WISH

router = APIRouter()
AreaId = Annotated[str, Path(max_length=32, pattern=r"^[a-z0-9-]+$")]
WishId = Annotated[str, Path(max_length=128)]
_ONGOING: Final = frozenset({"open", "held", "matched"})
MatchId = Annotated[str, Form(max_length=128)]
Reason = Annotated[str, Form(max_length=deeds.LETTERS_MAX)]
GivenReason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=deeds.LETTERS_MAX), Form()]
"""One that has to be given says something: blanks are none."""


async def _found(gateway: Gateway, principal: Principal, area: str, wish_id: str, act: Act, now: datetime | None = None) -> queries.WishStory:
    async with gateway.database.acting_for(principal) as connection:
        found = await queries.wish_story(connection, area, wish_id, now or datetime.now(UTC))
    if found is None:
        raise Denied(act, Thing(area), hidden=True)  # none that they may see: somebody may be trying what is not theirs
    return found


async def _live_match(gateway: Gateway, principal: Principal, act: Act, where: tuple[str, str], match_id: str) -> dict[str, Any]:
    """A live match of a wish that the principal may do this to.

    Raises:
        HTTPException: 404, 403; 409 where it is over.
    """
    story = await _found(gateway, principal, *where, act)
    require(principal, act, deeds.thing_of(story.wish))
    match = story.match(match_id)
    if match is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if _is_over(match):
        raise HTTPException(HTTPStatus.CONFLICT)
    return match


def _named(match: Mapping[str, Any]) -> list[str]:
    """What a row of the audit log says of a match: what was decided, beside that somebody might."""
    return [f"{name}={match[name]}" for name in ("area", "wish_id", "match_id")]


async def _say(gateway: Gateway, principal: Principal, said: deeds.Said, flash: str, shows: Callable[[queries.WishStory], bool]) -> RedirectResponse:
    """Say it; then back to the story, once that shows what came of it, so that nobody is offered once more what is done."""
    await gateway.publisher.say(said.kind, said.subject, said.data, event_id=said.event_id)
    area, wish_id = said.data["area"], said.data["wish_id"]

    async def shown() -> bool:
        async with gateway.database.acting_for(principal) as connection:
            story = await queries.wish_story(connection, area, wish_id, datetime.now(UTC))
        return story is None or shows(story)

    return RedirectResponse(f"/wish/{area}/{quote(wish_id)}?said={flash if await settled(shown) else 'later'}", HTTPStatus.SEE_OTHER)


def _waits_for_approval(match: Mapping[str, Any] | None) -> bool:
    return match is not None and match["state"] == "proposed" and match["needs_approval"] and match["approved_at"] is None


def _is_over(match: Mapping[str, Any] | None) -> bool:
    return match is None or match["state"] not in LIVE


def _words_heard(story: queries.WishStory, match_id: str) -> int:
    return sum(line.kind == "service.acknowledged.v1" and line.match_id == match_id for line in story.lines)


@router.get("/wish/{area}/" + WISH, response_class=HTMLResponse, summary="A wish's story")
async def wish(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.SEE_WISH)],
    area: AreaId,
    wish_id: WishId,
    why: Annotated[str | None, Query(max_length=128)] = None,
) -> HTMLResponse:
    """The story; with `why`, every rule about this wish and that offer, and who comes before it."""
    now = datetime.now(UTC)
    found = await _found(gateway, principal, area, wish_id, Act.SEE_WISH, now)
    thing, minor = deeds.thing_of(found.wish), is_minors(found.wish)
    staff = may(principal, Act.SEE_MONITOR, thing)
    own = found.wish["resident_ref"] in principal.resident_refs and may(principal, Act.SEE_WISH, thing)
    place = found.wish
    if not staff and not own:
        # The table shows a volunteer what is open near them, for the wall, and whatever they ever had a match of. The story is its helpers' alone.
        mine = [match for match in found.matches if match["volunteer_ref"] is not None and match["volunteer_ref"] == principal.volunteer_ref]
        steps = helpers_steps((match["state"] for match in mine), minor=minor)
        if steps is None:
            raise Denied(Act.SEE_WISH, thing, hidden=True)
        require(principal, Act.SEE_WISH, replace(thing, volunteer_refs=frozenset({str(principal.volunteer_ref)})), hidden=True)
        place = cut_off(found.wish, steps)
    # How near a helper of a child lives is where the child does, nearly: the door's answers, too, tell of each offer how near it is.
    tells_near = not minor or own or (staff and principal.has(Role.WORKER)) or (not staff and place["building"] is not None)
    explained = await _explained(ExplanationDoor(gateway.settings), found, why.strip() if why else None) if staff and tells_near else {"door": False}
    can = {
        name: may(principal, act, thing)
        for name, act in (
            ("approve", Act.APPROVE_MATCH),
            ("redispatch", Act.REDISPATCH),
            ("call", Act.CALL_BACK),
            ("freeze", Act.FREEZE_WISH),
            ("withdraw", Act.WITHDRAW_WISH),
        )
    }
    values = {"found": found, "wish": found.wish, "staff": staff, "can": can if staff else dict.fromkeys(can, False), "live_states": LIVE}
    shown = {**values, **explained, "minor": minor, "now": now, **helpers_of(principal, now, own=own)}
    shown["place"] = shown["where_of"](place) if staff else place
    shown["tells_near"] = tells_near
    return gateway.renderer.page(request, "wish.html", principal=principal, **shown)


async def _explained(door: ExplanationDoor, found: queries.WishStory, why: str | None) -> dict[str, Any]:
    """What the explanation door says: of the offer that was asked about, and of why the wish waits."""
    shown: dict[str, Any] = {"door": door.is_there, "asked": why, "answer": None, "unknown": False, "waits": None, "silent": False}
    if not door.is_there:
        return shown
    area, wish_id = found.wish["area"], found.wish["wish_id"]
    try:
        if why:
            shown["answer"] = await door.why(area, wish_id, why)
        if found.wish["state"] == "open":
            shown["waits"] = (await door.waits(area, wish_id))["waiting"]
    except Silent as silence:
        shown["unknown" if not silence.known else "silent"] = True
    return shown


@router.post("/wish/{area}/{wish_id:path}/approval", summary="The community's word on a match")
async def approve(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.APPROVE_MATCH)],
    area: AreaId,
    wish_id: WishId,
    match_id: MatchId,
    word: Annotated[Literal["yes", "no"], Form()],
    reason: Reason = "",
) -> RedirectResponse:
    """Yes or no, where the wish asks for it."""
    match = await _live_match(gateway, principal, Act.APPROVE_MATCH, (area, wish_id), match_id)
    if match["volunteer_ref"] is not None and match["volunteer_ref"] == principal.volunteer_ref:
        raise Denied(Act.APPROVE_MATCH, None)  # nobody vouches for themselves
    if not _waits_for_approval(match):
        raise HTTPException(HTTPStatus.CONFLICT)
    await record(request, Act.APPROVE_MATCH, "allowed", things=[*_named(match), f"word={word}"])
    said = deeds.word_of_approval(principal, match, approved=word == "yes", reason=reason.strip())
    return await _say(gateway, principal, said, "approved" if word == "yes" else "disapproved", lambda story: not _waits_for_approval(story.match(match_id)))


@router.post("/wish/{area}/{wish_id:path}/redispatch", summary="Send somebody else")
async def redispatch(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.REDISPATCH)],
    area: AreaId,
    wish_id: WishId,
    match_id: MatchId,
    reason: GivenReason,
) -> RedirectResponse:
    """Part a pair, with a reason; the wish looks for another helper at once."""
    match = await _live_match(gateway, principal, Act.REDISPATCH, (area, wish_id), match_id)
    await record(request, Act.REDISPATCH, "allowed", things=_named(match))
    return await _say(gateway, principal, deeds.redispatch(principal, match, reason), "redispatched", lambda story: _is_over(story.match(match_id)))


@router.post("/wish/{area}/{wish_id:path}/call-back", summary="What was heard when the community called")
async def call_back(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.CALL_BACK)],
    area: AreaId,
    wish_id: WishId,
    match_id: MatchId,
    outcome: Annotated[Literal["done", "partly", "not_done"], Form()],
    reason: Reason = "",
) -> RedirectResponse:
    """Acknowledge a visit for the resident; a visit that is closed may be called about again."""
    story = await _found(gateway, principal, area, wish_id, Act.CALL_BACK)
    require(principal, Act.CALL_BACK, deeds.thing_of(story.wish))
    match = story.match(match_id)
    if match is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if match["confirmed_at"] is None or match["state"] == "released":
        raise HTTPException(HTTPStatus.CONFLICT)
    await record(request, Act.CALL_BACK, "allowed", things=[*_named(match), f"outcome={outcome}"])
    heard = _words_heard(story, match_id)

    def is_heard(now: queries.WishStory) -> bool:
        ended = now.match(match_id) or match  # of a visit that had its end the books must say so, too: the page tells what that means for the wish
        return _words_heard(now, match_id) > heard and (ended["outcome_now"] or ended["outcome"]) in {None, outcome}

    return await _say(gateway, principal, deeds.call_back(match, outcome, reason.strip()), "called", is_heard)


@router.post("/wish/{area}/{wish_id:path}/freeze", summary="Stop a wish for now")
async def freeze(
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.FREEZE_WISH)],
    area: AreaId,
    wish_id: WishId,
    reason: GivenReason,
) -> RedirectResponse:
    """Withdraw it, and keep a copy that can be published later."""
    story = await _found(gateway, principal, area, wish_id, Act.FREEZE_WISH)
    require(principal, Act.FREEZE_WISH, deeds.thing_of(story.wish))
    if story.wish["state"] not in _ONGOING:
        raise HTTPException(HTTPStatus.CONFLICT)
    said = deeds.freeze(story.wish, reason)
    checked(said.kind, said.subject, said.data)  # before the copy: one of a wish that goes on could be published beside it
    async with gateway.database.acting_for(principal) as connection:
        await drafts.keep(connection, deeds.draft_id_of(area, wish_id), deeds.copy_of(story.wish), by=principal)
    return await _say(gateway, principal, said, "frozen", lambda now: now.wish["state"] not in _ONGOING)
