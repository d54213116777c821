"""What a request is told when it cannot be served: a code, and a sentence in Chinese and in English; as JSON for programs, as a page for people."""

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from schemas.errors import InvalidEvent
from services.gateway.publisher import Unpublished

JSON_PATHS: Final = ("/api/",)


@dataclass(frozen=True, slots=True)
class Fault:
    """A code and the words for people; `field` is the place in what was sent."""

    code: str
    zh: str
    en: str
    field: str | None = None


_BY_STATUS: Final[dict[int, Fault]] = {
    400: Fault("bad_request", "这个请求看不懂，请检查后重试", "This request was not understood: check it and try again"),
    401: Fault("not_signed_in", "请先登录", "Please sign in first"),
    403: Fault("not_allowed", "您没有权限做这件事", "You may not do this"),
    404: Fault("not_found", "没有找到这一页", "There is no such page"),
    405: Fault("method_not_allowed", "不能这样使用这个地址", "This address can't be used in this way"),
    409: Fault("conflict", "情况已经变了，请刷新后再看", "Things have changed: look at it again"),
    410: Fault("gone", "这个链接已失效", "This link is no longer valid"),
    413: Fault("too_large", "内容太大，请缩小后重试", "It is too large: make it smaller and try again"),
    415: Fault("unsupported_media_type", "不支持这种内容格式", "This format is not supported"),
    422: Fault("invalid", "内容不合规，请检查后重试", "What was sent is not valid: check it and try again"),
    429: Fault("too_many", "操作太频繁，请稍候再试", "Too many requests: wait a moment and try again"),
    503: Fault("unavailable", "系统正忙，请稍候再试；您的操作可以重做，不会算两次", "The system is busy: try again in a moment; trying again counts once"),
}
_BROKEN: Final = Fault("broken", "系统出错了，我们已记下；请稍后再试", "Something went wrong and was noted; please try again later")


def fault_of(status: int) -> Fault:
    """The words of a status."""
    return _BY_STATUS.get(status) or (_BROKEN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _BY_STATUS[400])


def wants_json(request: Request) -> bool:
    """Whether a program asks: under /api/, or one that takes JSON and no page."""
    accept = request.headers.get("accept", "")
    return request.url.path.startswith(JSON_PATHS) or ("json" in accept and "text/html" not in accept)


def told(request: Request, status: int, fault: Fault, headers: dict[str, str] | None = None) -> Response:
    """The answer about a fault, in the form that the request takes."""
    if wants_json(request):
        return JSONResponse({name: value for name, value in asdict(fault).items() if value is not None}, status, headers)
    if status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", HTTPStatus.SEE_OTHER)
    page: Response = cast("Any", request.app.state).gateway.renderer.page(request, "error.html", status=status, number=status, fault=fault)
    page.headers.update(headers or {})
    return page


async def _http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    said: Any = fault.detail
    known = said if isinstance(said, Fault) else fault_of(fault.status_code)
    return told(request, fault.status_code, known, dict(fault.headers or {}))


async def _unprocessable(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    first: dict[str, Any] = next(iter(fault.errors()), {})
    where = ".".join(str(part) for part in first.get("loc", ()))
    words = _BY_STATUS[422]
    return told(request, 422, Fault(words.code, words.zh, words.en, where or None))


async def _not_of_the_contract(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, InvalidEvent)
    zh, _, en = str(fault).partition(" | ")
    return told(request, 422, Fault(fault.reason, zh, en, fault.field or None))


async def _unpublished(request: Request, _fault: Exception) -> Response:
    return told(request, 503, _BY_STATUS[503], {"retry-after": "2"})


async def _broken(request: Request, fault: Exception) -> Response:
    structlog.get_logger().error("request_failed", route=_route(request), exc_info=fault)
    return told(request, 500, _BROKEN)


def _route(request: Request) -> str:
    """The route's pattern: an address itself may carry what has no place in a log."""
    return str(getattr(request.scope.get("route"), "path", "-"))


def install(app: FastAPI) -> None:
    """Let an application answer its faults in this way."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unprocessable)
    app.add_exception_handler(InvalidEvent, _not_of_the_contract)
    app.add_exception_handler(Unpublished, _unpublished)
    app.add_exception_handler(Exception, _broken)
