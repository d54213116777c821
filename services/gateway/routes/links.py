"""One-time links: a page that says what a link is for, with a button for each thing it may say. Opening one never acts.

The code stands behind `#`, so that no server's log and no preview of a chat has it; a script hands it over. Without scripts it is typed in.
"""

import time
from http import HTTPStatus
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse

from services.gateway import words
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs
from services.gateway.people import linked, visits
from services.gateway.people.settling import settled
from services.gateway.policy import Act
from services.links.claims import Action
from services.links.keys import LinkKeys
from services.links.store import Forged, Redeemed

router = APIRouter(dependencies=[needs(Act.OPEN_PAGE)])
Code = Annotated[str, Form(max_length=64)]
LABELS: Final[dict[str, words.Words]] = {
    "accept": ("我能去", "Yes, I will come"),
    "decline": ("来不了", "I can't come"),
    "cancel": ("取消这次上门", "Call the visit off"),
    "started": ("我到了", "I am there"),
    "finished": ("办完了", "Done"),
    "done": ("办好了", "It helped"),
    "partly": ("办了一部分", "It helped in part"),
    "not_done": ("没有办成", "It did not help"),
}

QUESTIONS: Final[dict[str, words.Words]] = {"answer": ("您能去吗？", "Can you come?"), "acknowledge": ("这次帮上忙了吗？", "Did it help?")}


def _now() -> int:
    return time.time_ns() // 1000


def _keys(gateway: Gateway) -> LinkKeys:
    if gateway.links is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return gateway.links


async def _shown(request: Request, gateway: Gateway, code: str, *, told: Any = None) -> HTMLResponse:
    now = _now()
    state, about = await linked.seen(gateway, _keys(gateway), code, now)
    comes = None if isinstance(state, Forged) else linked.comes_of(state.claims, about)
    shown = told or state
    given: dict[str, Any] = {"kind": type(shown).__name__.lower(), "state": shown, "about": about, "comes": comes}
    given |= {"passed_over": linked.is_passed_over(shown, comes, now), "code": code, "labels": LABELS, "questions": QUESTIONS, "minutes": visits.MINUTES}
    return _private(gateway.renderer.page(request, "link.html", **given, words=words, now=words.utc_now()))


def _private(page: HTMLResponse) -> HTMLResponse:
    """A link is a secret: nobody keeps the page, and no other site hears of it."""
    page.headers["cache-control"] = "no-store"
    page.headers["referrer-policy"] = "same-origin"
    return page


@router.get("/a", response_class=HTMLResponse, summary="Open a link")
async def opened(request: Request, gateway: GatewayOf) -> HTMLResponse:
    """Takes the code from behind `#`, or asks for it."""
    _keys(gateway)
    return _private(gateway.renderer.page(request, "open.html"))


@router.post("/a", response_class=HTMLResponse, summary="See what a link is for")
async def looked(request: Request, gateway: GatewayOf, code: Code) -> HTMLResponse:
    """Changes nothing."""
    return await _shown(request, gateway, code)


@router.get("/l/{code}", response_class=HTMLResponse, summary="See what a link is for")
async def by_address(request: Request, gateway: GatewayOf, code: Annotated[str, Path(max_length=64)]) -> HTMLResponse:
    """The same, for a link on paper. Changes nothing."""
    return await _shown(request, gateway, code)


@router.post("/a/say", response_class=HTMLResponse, summary="Use a link")
async def used(
    request: Request,
    gateway: GatewayOf,
    code: Code,
    action: Annotated[str, Form(pattern="^(accept|decline|cancel|started|finished|done|partly|not_done)$")],
    minutes: Annotated[int | None, Form(ge=1, le=1440)] = None,
) -> HTMLResponse:
    """Counts once; a second tap is told what the first one said. Of several who say yes to one wish, each hears whether it is theirs."""
    outcome = await linked.said(gateway, _keys(gateway), code, cast("Action", action), _now(), minutes)

    async def shows() -> bool:
        state, about = await linked.seen(gateway, _keys(gateway), code, _now())
        return isinstance(state, Forged) or linked.comes_of(state.claims, about) is not None

    if isinstance(outcome, Redeemed) and action == "accept":
        await settled(shows)
    return await _shown(request, gateway, code, told=outcome)
