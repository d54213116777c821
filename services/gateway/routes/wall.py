"""The claim wall: wishes near me that wait for somebody, and the tap that claims one."""

from http import HTTPStatus
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from schemas.place import Rung
from schemas.wishes import Category
from services.gateway import words
from services.gateway.board.hub import Claimed, Later, Rejected
from services.gateway.context import Gateway, GatewayOf
from services.gateway.direct import DirectRoute
from services.gateway.errors import wants_page
from services.gateway.guard import needs
from services.gateway.people import claiming, store
from services.gateway.people.claiming import Outcome
from services.gateway.people.settling import settled
from services.gateway.people.wall import Choice
from services.gateway.policy import Act
from services.gateway.roles import Principal

router = APIRouter()
taps = APIRouter(route_class=DirectRoute)
PAGE_MAX: Final = 40
_SHOWS_SECONDS: Final = 5.0
When = Literal["today", "tomorrow", "week"]
WHEN: Final[dict[str, words.Words]] = {"today": ("今天", "Today"), "tomorrow": ("明天", "Tomorrow"), "week": ("一周内", "This week")}


@router.get("/wall", response_class=HTMLResponse, summary="Open wishes near me")
async def wall(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.SEE_WALL)],
    rung: Annotated[Rung | Literal[""], Query()] = "",
    category: Annotated[Category | Literal[""], Query()] = "",
    when: Annotated[When | Literal[""], Query()] = "",
    everything: Annotated[Literal["", "yes"], Query(alias="all")] = "",
) -> HTMLResponse:
    """By rung, category and time; the compound at most is shown."""
    now = words.utc_now()
    choice = Choice(Rung(rung) if rung else None, category or None, when or None, everything == "yes" or principal.volunteer_ref is None)
    found = await claiming.wall_of(gateway, principal, choice, PAGE_MAX)
    return gateway.renderer.page(
        request, "wall.html", wishes=found.wishes, more=found.more, others=found.others, choice=choice, offers=found.offers, full=found.is_full,
        rung=rung, category=category, when=when, everything=everything, whens=WHEN, words=words, now=now,
    )  # fmt: skip


@taps.post("/wall/{wish_id:path}/claim", response_class=HTMLResponse, summary="Claim a wish")
async def claim(request: Request, gateway: GatewayOf, principal: Annotated[Principal, needs(Act.CLAIM_WISH)], wish_id: str) -> Response:
    """The answer at once: granted, or why not and what else there is. Without JavaScript it is a page, with htmx it takes the card's place."""
    outcome = await claiming.claim(gateway, principal, wish_id)
    if request.headers.get("hx-request") == "true":
        return gateway.renderer.page(request, "answer.html", outcome=outcome, wish_id=wish_id, words=words, now=words.utc_now(), kind=_kind(outcome))
    if not wants_page(request):
        return JSONResponse(_as_json(outcome))
    if isinstance(outcome.answer, Claimed):
        await settled(lambda: _shows(gateway, principal, wish_id), _SHOWS_SECONDS)  # the next page reads the board
    reason = outcome.answer.reason if isinstance(outcome.answer, Rejected) else _kind(outcome)
    return RedirectResponse(f"/wall/{quote(wish_id)}/answer?{urlencode({'is': reason})}", HTTPStatus.SEE_OTHER)


@router.get("/wall/{wish_id:path}/answer", response_class=HTMLResponse, summary="What a claim came to")
async def answer(
    request: Request,
    gateway: GatewayOf,
    principal: Annotated[Principal, needs(Act.CLAIM_WISH)],
    wish_id: str,
    said: Annotated[str, Query(alias="is", pattern="^[a-z_]{1,40}$")] = "later",
) -> Response:
    """A page of its own, to be looked at again: a match of one's own, and what has become of it or of the wish, counts more than what the address says."""
    before = await store.before_claim(gateway.looks, principal, wish_id)
    if not before.near:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    theirs = claiming.granted_to(gateway, principal, wish_id, before)
    if theirs is not None:
        outcome = Outcome(theirs)
    elif said in words.REFUSALS:
        outcome = Outcome(Rejected(said), await claiming.instead_of(gateway, principal, wish_id, before))
    elif any(one.wish_id == wish_id for one in before.matches):  # looked at again, when their match is over
        return RedirectResponse("/mine", HTTPStatus.SEE_OTHER)
    elif before.wish is None:  # somebody else's by now, or over
        outcome = Outcome(Rejected("not_open"), await claiming.instead_of(gateway, principal, wish_id, before))
    else:
        outcome = Outcome(Later())
    return gateway.renderer.page(request, "answered.html", outcome=outcome, wish_id=wish_id, words=words, now=words.utc_now(), kind=_kind(outcome))


async def _shows(gateway: Gateway, principal: Principal, wish_id: str) -> bool:
    before = await store.before_claim(gateway.looks, principal, wish_id)
    return before.match_of(wish_id) is not None


def _kind(outcome: Outcome) -> str:
    return {Claimed: "granted", Rejected: "refused", Later: "later"}[type(outcome.answer)]


def _as_json(outcome: Outcome) -> dict[str, object]:
    answer = outcome.answer
    told: dict[str, object] = {"answer": _kind(outcome)}
    if isinstance(answer, Claimed):
        told |= {
            "match_id": answer.match_id,
            "slot": {"start": answer.slot[0].isoformat(), "end": answer.slot[1].isoformat()},
            "needs_answer": answer.needs_answer,
        }
    elif isinstance(answer, Rejected):
        zh, en = words.word(words.REFUSALS, answer.reason)
        told |= {"reason": answer.reason, "zh": zh, "en": en, "instead": None if outcome.instead is None else outcome.instead.wish.wish_id}
    return told
