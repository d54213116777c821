"""The guard at each route: who asks, and may they? A route names its act with `needs`; what it is done to is asked with `require`.

Whatever is not allowed is denied, and a route that names no act, or more than one, stops the start. What is denied, and the acts that decide for
others or give access, go into the audit log before the route does anything.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from schemas.personal import NUMBER_WITHHELD, is_bare_number
from services.gateway.policy import AUDITED, AUDITED_LOOKS, Act, Thing, may
from services.gateway.roles import Principal

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from services.gateway.identity.audit import Outcome
    from services.gateway.identity.model import Caller
    from services.gateway.identity.service import Identity

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
WITHOUT_ACT: Final = frozenset({"/api/openapi.json", "/static"})
"""What needs no guard: the description of the API, and files that are the same for everyone."""
CSRF_HEADER: Final = "x-csrf"
CSRF_FIELD: Final = "csrf"
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_ACCOUNT_PAGE: Final = "/account/"  # itself and what lies below it, unlike "/accounts"
_MARK: Final = "lastmetre_act"


WORDS: Final[dict[str, tuple[str, str]]] = {
    "password": ("请先在“我的账号”修改初始密码", "first change your password under “My account”"),
    "form": ("页面已过期，请刷新后再试", "this page is out of date: reload it and try again"),
}
"""Why something is forbidden (403) that they otherwise may do."""


class UnguardedRoute(Exception):
    """A route names no act, or several."""


class Denied(HTTPException):
    """They may not do it to this thing."""

    def __init__(self, act: Act, thing: Thing | None, *, hidden: bool = False) -> None:
        super().__init__(HTTPStatus.NOT_FOUND if hidden else HTTPStatus.FORBIDDEN)
        self.act = act
        self.thing = thing


def _words_of(code: str) -> dict[str, str]:
    zh, en = WORDS[code]
    return {"code": code, "zh": zh, "en": en}


def form_token(secret: str | None) -> str:
    """The token of forms, made from the secret that only this browser's cookie has; nothing is kept for it."""
    return "" if secret is None else urlsafe_b64encode(hmac.digest(secret.encode(), b"lastmetre form", "sha256")).decode().rstrip("=")


def needs(act: Act) -> Any:
    """The dependency of a route: the principal, once they may do this to anything at all; none where nobody is signed in and nobody needs to be.

    Raises:
        HTTPException: 401 where nobody is signed in, 403 where they may not or the form is not from one of our pages.
    """

    async def check(request: Request) -> Principal | None:
        caller: Caller = request.state.caller
        principal = caller.principal
        if principal is None and not may(None, act):
            # A program without a key, or a page of somebody who has been signed out since: to say that its form is out of date would not help either.
            raise HTTPException(HTTPStatus.UNAUTHORIZED)
        await _see_that_it_is_from_here(request, caller)
        if caller.refused and "authorization" in request.headers:
            raise HTTPException(HTTPStatus.UNAUTHORIZED)
        if not may(principal, act):
            await record(request, act, "denied")
            raise HTTPException(HTTPStatus.FORBIDDEN)
        if caller.must_change and act is not Act.OPEN_PAGE and not f"{request.scope['path']}/".startswith(_ACCOUNT_PAGE):
            raise HTTPException(HTTPStatus.FORBIDDEN, _words_of("password"))
        if act in AUDITED and principal is not None and (act in AUDITED_LOOKS or request.method not in SAFE_METHODS):
            await record(request, act, "allowed")
        return principal

    setattr(check, _MARK, act)
    return Depends(check)


def require(principal: Principal | None, act: Act, thing: Thing, *, hidden: bool = False) -> None:
    """Whether they may do it to this. `hidden`: whether it exists is not theirs to know either.

    Raises:
        Denied: 403, or 404 where it is hidden.
    """
    if not may(principal, act, thing):
        raise Denied(act, thing, hidden=hidden)


def identity_of(request: Request) -> Identity:
    """The identity of the running gateway."""
    return cast("Identity", cast("Any", request.app.state).gateway.identity)


async def record(request: Request, act: str, outcome: Outcome, *, things: Iterable[str] | None = None, who: str | None = None) -> None:
    """A row of the audit log about this request: its act, and what the path names (opaque references only)."""
    identity = identity_of(request)
    caller: Caller = request.state.caller
    # No id of ours is a telephone number; whoever asks may type one where an id belongs, and no row of the log ever goes.
    given = ((name, NUMBER_WITHHELD if is_bare_number(str(value)) else value) for name, value in request.path_params.items())
    named = [f"{name}={value}" for name, value in given] if things is None else list(things)
    # Whose log it is: the asker's own area. What the path names stands among the things; it may name any.
    await identity.audit.add(act, outcome, at=identity.clock(), request=request.state.request_id, principal=caller.principal, who=who, things=named)


def host_of(address: str) -> str | None:
    """The host and port that an address of a header names, as it stands; None where it is no address."""
    try:
        return urlsplit(address).netloc
    except ValueError:  # such as a bracket that nothing closes
        return None


async def _see_that_it_is_from_here(request: Request, caller: Caller) -> None:
    """A browser sends cookies along with other sites' forms, too: so an unsafe request that is not signed with a key must come from our own page."""
    if request.method in SAFE_METHODS or "authorization" in request.headers or request.state.demonstrated:
        return
    wrong = HTTPException(HTTPStatus.FORBIDDEN, _words_of("form"))
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise wrong
    origin = request.headers.get("origin")
    if origin not in {None, "null"} and host_of(str(origin)) != request.headers.get("host"):
        raise wrong
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FORMS:
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if caller.secret is None or given is None or not hmac.compare_digest(given.encode(), form_token(caller.secret).encode()):
        raise wrong


# --- at the start


def acts_of(dependant: Dependant) -> set[Act]:
    """The acts that a route's dependencies name."""
    own = getattr(dependant.call, _MARK, None)
    return ({own} if own is not None else set()).union(*(acts_of(child) for child in dependant.dependencies))


def announce(router: APIRouter) -> None:
    """Put each route's act into its OpenAPI operation, as `x-act`.

    Raises:
        UnguardedRoute: a route names no act, or several.
    """
    for route in _api_routes(router.routes):
        acts = acts_of(route.dependant)
        if len(acts) != 1:
            raise UnguardedRoute(f"{sorted(route.methods or ())} {route.path}: {sorted(acts) or 'no act'}")
        route.openapi_extra = {**(route.openapi_extra or {}), "x-act": str(acts.pop())}


def see_that_all_are_guarded(app: FastAPI) -> None:
    """Nothing may be reached beside the guarded routes.

    Raises:
        UnguardedRoute: something can.
    """
    for route in app.routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            announce(router)
        elif isinstance(route, APIRoute):
            if len(acts_of(route.dependant)) != 1:
                raise UnguardedRoute(route.path)
        elif getattr(route, "path", None) not in WITHOUT_ACT:
            raise UnguardedRoute(repr(route))


def all_routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Routes and those of the routers among them."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from all_routes(router.routes)


def _api_routes(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for route in all_routes(routes):
        if isinstance(route, APIRoute):
            yield route
        else:
            raise UnguardedRoute(repr(route))
