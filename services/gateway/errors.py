"""What goes wrong, in both languages: JSON `{"code", "zh", "en", "field"?}` for programs, a page for people. Never what was sent, never a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from socket import gaierror
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import structlog
from asyncpg.exceptions import CharacterNotInRepertoireError, UntranslatableCharacterError
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from jinja2 import TemplateNotFound
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import BaseRoute, Match

from schemas.errors import INVALID_FIELD, NOT_JSON, InvalidEvent, complaint_about
from services import sessions
from services.gateway.guard import Denied, all_routes, host_of, record
from services.gateway.publisher import Unpublished

WORDS: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("bad_request", "请求的格式不对", "the request is not well-formed"),
    401: ("sign_in", "请先登录", "please sign in"),
    403: ("not_allowed", "没有权限做这件事", "you may not do this"),
    404: ("not_found", "没有这一项，或不对您开放", "there is no such thing, or not for you"),
    405: ("method", "不支持这种请求方法", "this method is not for this address"),
    409: ("conflict", "情况已经变了，请刷新后再试", "things have changed meanwhile: reload and try again"),
    413: ("too_large", "内容过大，请缩小或拆分后重发", "this is too large: make it smaller, or split it, and send it again"),
    415: ("media_type", "不支持这种内容类型", "this media type is not taken"),
    422: ("invalid", "填写的内容不合规", "what was given is not valid"),
    429: ("too_many", "请求太频繁，请稍候再试", "too many requests: wait a moment"),
    500: ("failed", "系统出错了，已记录", "something went wrong here, and was noted"),
    503: ("away", "服务暂时不可用，请稍候再试", "the service is not available: try again in a moment"),
}
UNPROVEN: Final[Mapping[str, tuple[str, str]]] = {
    "sign_in": (
        "缺少请求头 Authorization，请发送 Bearer 加在 /keys 新建的密钥，或先登录",
        "header Authorization is missing: send Bearer and a key made at /keys, or sign in first",
    ),
    "no_bearer": (
        "请求头 Authorization 不合规，应为 Bearer、一个空格、再加密钥",
        "header Authorization is not valid: send Bearer, a blank, and the key",
    ),
    "malformed_key": (
        "请求头 Authorization 中的密钥不完整或有误，应为 lmk_<编号>_<密文>，请整段复制",
        "the key in header Authorization is no whole key: copy all of lmk_<id>_<secret>",
    ),
    "unknown_key": (
        "请求头 Authorization 中的密钥无效，请核对，或在 /keys 新建一把",
        "the key in header Authorization does not hold: compare it with yours, or make another one at /keys",
    ),
    "key_ended": (
        "请求头 Authorization 中的密钥已到期或已吊销，请改用轮换后的密钥，或在 /keys 新建一把",
        "the key in header Authorization has ended or was revoked: use the one that it was rotated into, or make another one at /keys",
    ),
    "account_rests": (
        "请求头 Authorization 中密钥所属的账号已停用，或须先修改初始密码：请账号所有者登录，或联系管理员",
        "the account of the key in header Authorization is disabled, or has a first password to change: let its owner sign in, or ask the administrator",
    ),
    "bad_token": (
        "请求头 Authorization 中的令牌无效或已过期，请重新获取；密钥以 lmk_ 开头",
        "the token in header Authorization is not valid, or has ended: get another one; keys begin with lmk_",
    ),
}
"""What is wrong where a program has proven nothing (401). Of a key that is not wholly known here, nothing tells whether there is one of its id."""


AWAY: Final[tuple[type[Exception], ...]] = cast("tuple[type[Exception], ...]", (ConnectionError, TimeoutError, gaierror, *sessions.AWAY))
_AGAIN: Final = {"Retry-After": "2"}
_AN_OBJECT: Final = ("应为 JSON 对象，并带请求头 Content-Type: application/json", "send a JSON object, with the header Content-Type: application/json")


def wants_page(request: Request) -> bool:
    """Whether people look at the answer."""
    return not request.scope["path"].startswith("/api/") and "text/html" in request.headers.get("accept", "")


def answer(
    request: Request,
    status: int,
    code: str | None = None,
    words: tuple[str, str] | None = None,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as page or as JSON. `words`: Chinese, English; by default those of the status."""
    known = WORDS.get(status) or ("failed", HTTPStatus(status).phrase, HTTPStatus(status).phrase)
    code = code or known[0]
    zh, en = words or known[1:]
    if wants_page(request):
        renderer = cast("Any", request.app.state).gateway.renderer
        try:
            page: Response = renderer.page(request, "error.html", status=status, number=status, code=code, zh=zh, en=en, back=_page_before(request))
        except TemplateNotFound:
            pass
        else:
            page.headers.update(headers or {})
            return page
    body = {"code": code, "zh": zh, "en": en}
    if field is not None:
        body["field"] = field
    return JSONResponse(body, status_code=status, headers=dict(headers or {}))


def _page_before(request: Request) -> str | None:
    """The page on which a form was that was not taken; None where none of ours is named, or it is the answer to that form itself, which has no page."""
    named = request.headers.get("referer", "")
    if request.method == "GET" or host_of(named) is None:
        return None
    before = urlsplit(named)
    if before.netloc != request.headers.get("host") or (before.path == request.scope["path"] and not _is_page(request)):
        return None
    kept = urlencode([(name, value) for name, value in parse_qsl(before.query) if name != "said"])
    return urlunsplit(("", "", f"/{before.path.lstrip('/')}", kept, ""))


def _is_page(request: Request) -> bool:
    """Whether where a form was sent to is a page of its own, as the form for a wish is."""
    return any(getattr(route, "path", None) == request.scope["path"] and "GET" in (getattr(route, "methods", None) or ()) for route in _routes(request))


def _sign_in(request: Request) -> str:
    """Where one signs in, and comes back from to the page that was asked for, or on which a form was: of that they hear that it was not taken."""
    if request.method == "GET":
        return f"/sign-in?next={quote(request.url.path)}"
    return f"/sign-in?next={quote(_page_before(request) or '/')}&said=ended"


def plain(status: int) -> Response:
    """An error as JSON, which cannot fail itself."""
    code, zh, en = WORDS[status]
    return JSONResponse({"code": code, "zh": zh, "en": en}, status_code=status)


def _http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, StarletteHTTPException)
    if fault.status_code == HTTPStatus.UNAUTHORIZED:
        if request.headers.get("hx-request") == "true":
            return answer(request, 401, headers={"HX-Redirect": _sign_in(request)})
        if wants_page(request):
            return RedirectResponse(_sign_in(request), status_code=HTTPStatus.SEE_OTHER)
        if not request.scope["path"].startswith("/api/"):
            return answer(request, 401, headers={"WWW-Authenticate": "Bearer"})
        why = request.state.caller.why or "sign_in"
        return answer(request, 401, why, UNPROVEN[why], field="authorization", headers={"WWW-Authenticate": "Bearer"})
    detail: Any = fault.detail
    if isinstance(detail, dict) and {"code", "zh", "en"} <= set(detail):
        return answer(request, fault.status_code, detail["code"], (detail["zh"], detail["en"]), field=detail.get("field"), headers=fault.headers)
    if fault.status_code == HTTPStatus.NOT_FOUND and (page := _without_slash(request)) is not None:
        return RedirectResponse(page, status_code=HTTPStatus.TEMPORARY_REDIRECT)
    if fault.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return answer(request, 405, headers={"Allow": ", ".join(sorted(_methods(request)))})
    return answer(request, fault.status_code, headers=fault.headers)


def _without_slash(request: Request) -> str | None:
    """The page that somebody meant who typed a slash behind it: without a host, as only the request names one, and without a scheme, which a proxy hides."""
    path: str = request.scope["path"]
    if request.method != "GET" or not wants_page(request) or not path.endswith("/"):
        return None
    meant = f"/{path.strip('/')}"
    found = any(route.matches({**request.scope, "path": meant})[0] is Match.FULL for route in _routes(request))
    query = request.scope["query_string"].decode("latin-1")
    return quote(meant) + (f"?{query}" if query else "") if found else None


def _routes(request: Request) -> Iterator[BaseRoute]:
    return all_routes(request.app.routes)


def _methods(request: Request) -> set[str]:
    """What this address takes: the router names the methods of the first route that has it, and a page has one for looking and one for sending."""
    here = (route for route in _routes(request) if route.matches(request.scope)[0] is not Match.NONE)
    return set[str]().union(*(getattr(route, "methods", None) or () for route in here))


async def _denied(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Denied)
    await record(request, fault.act, "denied")
    return answer(request, fault.status_code)


def _invalid(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    first: Mapping[str, Any] = next(iter(fault.errors()), {})
    place = [str(step) for step in first.get("loc", ()) if step not in {"body", "query", "path", "header", "cookie"}]
    field = ".".join(place)
    if first.get("type") == "json_invalid":  # its place is a number of letters
        return answer(request, 400, NOT_JSON, InvalidEvent(NOT_JSON, "body").words, field="body")
    complaint = complaint_about(field, first) if field else InvalidEvent(INVALID_FIELD, "body", _AN_OBJECT)
    return answer(request, 422, words=complaint.words, field=complaint.field)


def _bad_event(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, InvalidEvent)
    return answer(request, 422, fault.reason, fault.words, field=fault.field or None)


def _unstorable(request: Request, _fault: Exception) -> Response:
    return answer(request, 422)


def _unpublished(request: Request, _fault: Exception) -> Response:
    return answer(request, 503, headers=_AGAIN)


def is_away(fault: BaseException) -> bool:
    """Whether it says that PostgreSQL is away. What the driver cannot write down, for it is not of the kind, is a ValueError too: a mistake of ours."""
    return isinstance(fault, AWAY) and not isinstance(fault, ValueError)


def away(request: Request, fault: Exception) -> Response:
    """PostgreSQL does not do it now: nobody here has made a mistake, and it may be tried again. One line without a trace, for there are many then."""
    if not is_away(fault):
        raise fault
    structlog.get_logger().warning("database_away", fault=type(fault).__name__, request_id=request.state.request_id)
    return answer(request, 503, headers=_AGAIN)


def install(app: FastAPI) -> None:
    """Answer for these faults in every route; what nobody foresaw is answered and logged at the edge."""
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InvalidEvent, _bad_event)
    app.add_exception_handler(Unpublished, _unpublished)
    for kind in AWAY:
        app.add_exception_handler(kind, away)
    # What PostgreSQL can keep as no text, such as a character zero.
    for fault in (CharacterNotInRepertoireError, UntranslatableCharacterError):
        app.add_exception_handler(fault, _unstorable)
