"""Signing in and out: with a local account, or at the OpenID provider."""

from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.gateway.context import Gateway, GatewayOf
from services.gateway.edge import BROWSER_COOKIE, DEVICE_COOKIE, SESSION_COOKIE, cookie_name
from services.gateway.errors import answer
from services.gateway.guard import needs, record
from services.gateway.identity.model import Caller, new_secret
from services.gateway.identity.oidc import BadCallback
from services.gateway.identity.service import Refused, SignedIn
from services.gateway.identity.throttle import measured_by
from services.gateway.identity.tokens import BadToken, ProviderAway
from services.gateway.policy import Act
from services.gateway.roles import Principal

router = APIRouter()
Anyone = Annotated[Principal | None, needs(Act.OPEN_PAGE)]
_DEVICE_SECONDS: Final = 180 * 24 * 3600
_NEXT_MAX: Final = 512
_WORDS: Final = {
    "wrong": (
        "账号、密码或验证码不对，请核对后再试；忘记密码请联系社区",
        "login, password or code is not right: look at them once more, or ask your community for a new password",
    ),
    "wait": ("尝试次数过多，请稍候再试", "too many attempts: wait a moment"),
    "no_second_factor": ("此账号须先设置两步验证，请联系管理员", "this account needs a second factor first: ask your administrator"),
    "expired": ("初始密码已过期，请联系管理员重置", "the first password has expired: ask your administrator for a new one"),
    "unknown": ("此身份尚未开通账号，请联系社区", "this identity has no account here yet: ask your community"),
    "no_provider": ("未配置统一登录", "no identity provider is set up"),
    "provider": ("统一登录没有完成，请重试", "signing in at the provider did not succeed: try again"),
}


def safe_next(path: str | None) -> str:
    """Where to go on after signing in: a path of ours, never another site."""
    if path is None or len(path) > _NEXT_MAX or not path.startswith("/") or path.startswith("//") or "\\" in path:
        return "/"
    return path if path.isascii() and path.isprintable() else "/"


def _name(gateway: Gateway, base: str) -> str:
    return cookie_name(base, https=gateway.settings.is_https)


def _address(request: Request) -> str:
    return measured_by(request.client.host) if request.client is not None else ""


def set_session(gateway: Gateway, response: Response, done: SignedIn) -> None:
    """Give the browser its session, and mark it as known."""
    https = gateway.settings.is_https
    seconds = int(done.lasts.total_seconds())
    response.set_cookie(_name(gateway, SESSION_COOKIE), done.secret, max_age=seconds, path="/", secure=https, httponly=True, samesite="lax")
    response.set_cookie(_name(gateway, DEVICE_COOKIE), done.device, max_age=_DEVICE_SECONDS, path="/", secure=https, httponly=True, samesite="lax")


def _page(gateway: Gateway, request: Request, *, next_path: str, reason: str | None = None, status: int = 200, login: str = "") -> HTMLResponse:
    words = None if reason is None else _WORDS[reason]
    provider = gateway.identity.openid is not None
    return gateway.renderer.page(request, "sign_in.html", status=status, next=next_path, words=words, provider=provider, login=login)


async def _refused(gateway: Gateway, request: Request, fault: Refused, next_path: str, login: str = "") -> Response:
    structlog.get_logger().info("sign_in_refused", reason=fault.reason, request_id=request.state.request_id)
    waiting = fault.reason == "wait"
    if not waiting:  # those are logged and counted; a flood of them must not bury the rest
        await record(request, "sign_in", "denied", things=[f"reason={fault.reason}"])
    page = _page(gateway, request, next_path=next_path, reason=fault.reason, status=429 if waiting else 401, login=login)
    if waiting:
        page.headers["Retry-After"] = str(int(fault.wait_seconds) + 1)
    return page


@router.get("/sign-in", response_class=HTMLResponse, summary="Sign in")
async def sign_in_page(request: Request, gateway: GatewayOf, _who: Anyone, next_path: Annotated[str, Query(alias="next")] = "/") -> HTMLResponse:
    """The form: login, password, and the code where the account has a second factor."""
    return _page(gateway, request, next_path=safe_next(next_path))


@router.post("/sign-in", response_class=HTMLResponse, summary="Sign in with a local account", status_code=303)
async def sign_in(
    request: Request,
    gateway: GatewayOf,
    _who: Anyone,
    login: Annotated[str, Form(max_length=128)] = "",
    password: Annotated[str, Form(max_length=256)] = "",
    code: Annotated[str, Form(max_length=16)] = "",
    next_path: Annotated[str, Form(alias="next", max_length=1024)] = "/",
) -> Response:
    """A session, or words that do not tell which of the three was wrong."""
    here = safe_next(next_path)
    cookies = request.cookies
    try:
        done = await gateway.identity.sign_in(
            login,
            password,
            code,
            address=_address(request),
            device=cookies.get(_name(gateway, DEVICE_COOKIE)),
            replaced=cookies.get(_name(gateway, SESSION_COOKIE)),
        )
    except Refused as fault:
        return await _refused(gateway, request, fault, here, login)
    return await _welcome(gateway, request, done, "/account" if done.account.must_change else here)


async def _welcome(gateway: Gateway, request: Request, done: SignedIn, here: str) -> Response:
    principal = done.account.principal("session")
    request.state.caller = Caller(principal)
    await record(request, "sign_in", "allowed", things=[])
    response = RedirectResponse(here, status_code=303)
    set_session(gateway, response, done)
    response.delete_cookie(_name(gateway, BROWSER_COOKIE), path="/", secure=gateway.settings.is_https, httponly=True, samesite="lax")
    return response


@router.post("/sign-out", response_class=RedirectResponse, summary="Sign out here, or everywhere", status_code=303)
async def sign_out(request: Request, gateway: GatewayOf, _who: Anyone, everywhere: Annotated[str, Form(pattern="^(yes)?$")] = "") -> RedirectResponse:
    """End this session, or all that the account has."""
    caller: Caller = request.state.caller
    if caller.session is not None:
        await gateway.identity.sign_out(caller, everywhere=everywhere == "yes")
        await record(request, "sign_out", "allowed", things=[])
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(_name(gateway, SESSION_COOKIE), path="/", secure=gateway.settings.is_https, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/sign-in/oidc", response_class=RedirectResponse, summary="Sign in at the OpenID provider", status_code=303)
async def begin(request: Request, gateway: GatewayOf, _who: Anyone, next_path: Annotated[str, Query(alias="next")] = "/") -> Response:
    """On to the provider, with a question that only this browser can bring back."""
    identity = gateway.identity
    if identity.openid is None:
        return answer(request, 404)
    name = _name(gateway, BROWSER_COOKIE)
    browser = request.cookies.get(name) or new_secret()
    try:
        address = await identity.openid.begin(safe_next(next_path), browser, identity.clock())
    except ProviderAway as fault:
        structlog.get_logger().warning("provider_away", reason=str(fault))
        return _page(gateway, request, next_path="/", reason="provider", status=503)
    response = RedirectResponse(address, status_code=303)
    response.set_cookie(name, browser, path="/", secure=gateway.settings.is_https, httponly=True, samesite="lax")
    return response


@router.get("/sign-in/oidc/callback", response_class=HTMLResponse, summary="Back from the OpenID provider", status_code=303)
async def callback(request: Request, gateway: GatewayOf, _who: Anyone) -> Response:
    """A session where the provider vouches for somebody who has an account here."""
    cookies = request.cookies
    if gateway.identity.openid is None:
        return answer(request, 404)
    try:
        done = await gateway.identity.sign_in_by_provider(
            dict(request.query_params),
            address=_address(request),
            browser=cookies.get(_name(gateway, BROWSER_COOKIE)),
            replaced=cookies.get(_name(gateway, SESSION_COOKIE)),
        )
    except Refused as fault:
        return await _refused(gateway, request, fault, "/")
    except (BadCallback, BadToken) as fault:
        structlog.get_logger().info("provider_refused", reason=str(fault), request_id=request.state.request_id)
        await record(request, "sign_in", "denied", things=[f"reason={type(fault).__name__}"])
        return _page(gateway, request, next_path="/", reason="provider", status=401)
    except ProviderAway as fault:
        structlog.get_logger().warning("provider_away", reason=str(fault))
        return _page(gateway, request, next_path="/", reason="provider", status=503)
    return await _welcome(gateway, request, done, done.next)
