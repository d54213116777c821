"""What every request passes on its way in and every answer on its way out: limits, who it is, headers, one line in the log, numbers.

Plain ASGI, so that a stream of hours passes like a page. The order on the way in: an id, the size of what is sent, how often, who, how deep.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.errors import answer, away, is_away, plain
from services.gateway.guard import SAFE_METHODS, form_token
from services.gateway.identity.model import NOBODY, Caller, new_secret
from services.gateway.identity.service import Identity
from services.gateway.identity.throttle import Buckets, Rate, measured_by
from services.gateway.policy import Act, may

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'", "form-action 'self'"),
        *("frame-ancestors 'none'", "base-uri 'none'", "manifest-src 'self'", "worker-src 'self'"),
    )
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    # A one-time link is in an address: no other site gets it. Not "no-referrer", with which browsers hide from us where a form came from.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
STRICT_TRANSPORT: Final = "max-age=31536000; includeSubDomains"
STATIC: Final = "/static/"

BODY_MAX: Final = 1024 * 1024
BODY_MAX_OF: Final = {"/api/v1/events": 8 * 1024 * 1024}
"""Where more is taken than `BODY_MAX`: a batch of events."""
_DISCARDED_MAX: Final = 32 * BODY_MAX
_DISCARD_SECONDS: Final = 10.0
SECONDS_A_MIB: Final = 30.0
"""So long a body may take to come, for each MiB that it may have: what has come of it is kept in memory meanwhile."""
QUERY_MAX: Final = 8 * 1024
FIELDS_MAX: Final = 1000
"""Fields of a form at most, as its parser has it, which looks at each mark between them, also where there is no field."""
DEPTH_MAX: Final = 32
# The quote that ends a text may be missing: a text that never ends would be looked through once more from each quote that is escaped in it.
_JSON_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)

_NO_BODY: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}
_UTF_8: Final = frozenset({b"utf-8", b"utf8"})

# By account where somebody is signed in, else by address; `events` is for those who may publish.
RATES: Final = {
    "read": Rate(burst=120, per_second=20),
    "write": Rate(burst=30, per_second=5),
    "events": Rate(burst=5000, per_second=5000),
}
_UNPROVEN: Final = Rate(burst=400, per_second=100)
"""Requests from one address that show something to be looked up."""

SESSION_COOKIE: Final = "lm_session"
BROWSER_COOKIE: Final = "lm_browser"
DEVICE_COOKIE: Final = "lm_device"


def cookie_name(name: str, *, https: bool) -> str:
    """Over TLS a cookie is bound to this host alone, by its name."""
    return f"__Host-{name}" if https else name


class Meters:
    """What is counted: by route and status, never by account or address."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "lastmetre_gateway_request_seconds",
            "Time from a request's head to the head of its answer",
            ("route", "method", "status"),
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self.refused = Counter("lastmetre_gateway_refused_total", "Requests that were refused at the edge", ("why",), registry=registry)


class _TooLarge(Exception):
    """More was sent than is taken."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is said of a request that is not taken. `why` is what is counted; `words` are Chinese and English."""

    why: str
    status: int
    code: str | None = None
    words: tuple[str, str] | None = None
    field: str | None = None


class _NotTaken(Exception):
    """The request is not read any further."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal


_NO_SUCH_PATH: Final = Refusal("path", 404)
LONG_QUERY: Final = Refusal("query", 414, "query_too_long", ("网址中的查询超过 8 KiB，请缩短", "the query of this address is longer than 8 KiB: shorten it"))
TOO_SLOW: Final = Refusal("time", 408, "too_slow", ("内容没有及时收完，请重发", "not all of it came in time: send it again"))
_TOO_DEEP: Final = Refusal("depth", 400, "too_deep", ("JSON 嵌套过深", "the JSON is nested too deeply"))
_MANY_FIELDS: Final = Refusal(
    "fields", 400, "too_many_fields", (f"表单超过 {FIELDS_MAX} 项，请减少", f"the form has more than {FIELDS_MAX} fields: send fewer")
)
_CHARSET: Final = Refusal("charset", 415, "media_type", ("表单请用 UTF-8 编码发送", "send the form in UTF-8"), "content-type")
PACKED: Final = Refusal(
    "packed",
    415,
    "media_type",
    ("请求内容请勿压缩，去掉请求头 Content-Encoding 后重发", "send it unpacked, without the header Content-Encoding"),
    "content-encoding",
)


def _larger_than(limit: int) -> tuple[str, str]:
    most = f"{limit // BODY_MAX} MiB"
    return f"内容超过 {most}，请缩小或拆分后重发", f"this is larger than {most}: make it smaller, or split it, and send it again"


async def _discard(request: Request, receive: Receive) -> None:
    """Take in what is left of a body: whoever still sends when the connection is closed hears of a broken connection, and not why."""
    if "expect" in request.headers:  # whoever asks first has sent nothing yet
        return
    left = _DISCARDED_MAX
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def depth_of(body: bytes) -> int:
    """How deep JSON is nested, at most; what is no JSON has some depth, too."""
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for token in _JSON_TOKENS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _refusal_of_address(scope: Scope) -> Refusal | None:
    """Why nobody looks at what is asked for at all; what is too long is not even read to say so."""
    if len(scope["query_string"]) > QUERY_MAX:
        scope["query_string"] = b""
        return LONG_QUERY
    # No id has a character zero, and PostgreSQL, which cannot take it, would fail whoever is looked for in the same look.
    return _NO_SUCH_PATH if "\0" in scope["path"] else None


def _refusal_of(request: Request, body: bytes) -> Refusal | None:
    """Why a body is not passed on to whoever reads it: what it would cost them, or what they would make of it."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        return PACKED
    kind = request.headers.get("content-type", "").lower()
    if "urlencoded" in kind and body.count(b"&") >= FIELDS_MAX:
        return _MANY_FIELDS
    # In another charset a field can hold what is no text, which nothing takes that keeps or compares text.
    if "multipart" in kind and parse_options_header(kind)[1].get(b"charset", b"utf-8") not in _UTF_8:
        return _CHARSET
    # A batch of thousands of events is read by `schemas/`, which counts levels by itself and says in which field they are.
    return _TOO_DEEP if "form" not in kind and request.scope["path"] not in BODY_MAX_OF and depth_of(body) > DEPTH_MAX else None


@dataclass(slots=True)
class _Passage:
    """One request on its way."""

    request: Request
    began: float
    status: int = 0
    head_seconds: float = 0.0
    browser: str | None = None
    """A secret for a browser that had none; its cookie is set with the first page."""


class Edge:
    """The middleware. Parts of the running gateway are found at the first request, as nothing connects when the application is made."""

    def __init__(self, app: ASGIApp, *, identity: Identity, registry: CollectorRegistry) -> None:
        self._app = app
        self._identity = identity
        self._https = identity.settings.is_https
        self._meters = Meters(registry)
        factor = identity.settings.rate_factor
        self._limited = factor > 0
        self._buckets = {name: Buckets(Rate(rate.burst * (factor or 1), rate.per_second * (factor or 1))) for name, rate in RATES.items()}
        self._unproven = Buckets(Rate(_UNPROVEN.burst * (factor or 1), _UNPROVEN.per_second * (factor or 1)))
        self._log = structlog.get_logger().bind()
        ours = HEADERS | ({"strict-transport-security": STRICT_TRANSPORT} if self._https else {})
        # As they go out: an answer has a dozen, and there are thousands of answers a second.
        self._static_headers = tuple((name.encode(), value.encode()) for name, value in ours.items())
        self._headers = (*self._static_headers, (b"cache-control", b"no-store"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it here."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._app(scope, receive, send)
            return
        passage = _Passage(Request(scope, receive), time.monotonic())
        state = scope.setdefault("state", {})
        state.update(request_id=secrets.token_hex(8), caller=NOBODY, csrf="", principal=None, demonstrated=False)
        failed: BaseException | None = None
        try:
            await self._inside(passage, scope, receive, self._outward(passage, send))
        except ClientDisconnect:  # in the middle of what they sent: nobody is there to be answered, and it is no fault of ours
            passage.status = passage.status or 499
        except Exception as fault:  # noqa: BLE001 - the edge: answered, logged with its trace, and counted
            failed = fault
            if passage.status == 0 and is_away(fault):  # before it was known who asks
                failed = None
                await away(passage.request, fault)(scope, receive, self._outward(passage, send))
            elif passage.status == 0:
                await plain(500)(scope, receive, self._outward(passage, send))
        except BaseException:
            passage.status = passage.status or 499
            raise
        finally:
            self._tell(passage, scope, failed)

    async def _inside(self, passage: _Passage, scope: Scope, receive: Receive, send: Send) -> None:
        request = passage.request
        path: str = scope["path"]  # as the routes see it; `request.url` would be put together for it
        if path.startswith(STATIC):
            await self._app(scope, receive, send)
            return
        refusal = _refusal_of_address(scope)  # told once it is known that they do not ask too often
        limit = BODY_MAX_OF.get(path, BODY_MAX)
        declared = request.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared) > limit:
            await self._too_large(request, limit, scope, receive, send)
            return
        address = measured_by(request.client.host) if request.client is not None else ""
        if self._limited and ("authorization" in request.headers or "cookie" in request.headers):
            wait = self._unproven.take(address, passage.began)
            if wait > 0:
                await self._too_often(request, wait, scope, receive, send)
                return
        await self._identify(passage, scope)
        caller: Caller = scope["state"]["caller"]
        # Who may not publish is denied there, and each denial is written down: that goes by the measure of whoever writes.
        publishes = path in BODY_MAX_OF and may(caller.principal, Act.PUBLISH_EVENTS)
        if (wait := self._wait_of(request, caller, address, publishes=publishes, now=passage.began)) > 0:
            await self._too_often(request, wait, scope, receive, send)
            return
        if refusal is not None:
            await self._not_taken(request, refusal, scope, receive, send)
            return
        try:
            receive = await self._measured(request, receive, limit if publishes else BODY_MAX)
        except _TooLarge:
            if publishes or limit == BODY_MAX:
                await self._too_large(request, limit, scope, receive, send)
                return
            await _discard(request, receive)
            receive = _replay([_NO_BODY], receive)  # they hear why they may not, whatever it was, and nobody keeps a batch for that
        except _NotTaken as fault:
            await self._not_taken(request, fault.refusal, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _wait_of(self, request: Request, caller: Caller, address: str, *, publishes: bool, now: float) -> float:
        """How long they have to wait, whoever they are, as they asked too often; 0 where they did not."""
        if not self._limited:
            return 0.0
        kind = "events" if publishes else "read" if request.method in SAFE_METHODS else "write"
        return self._buckets[kind].take(address if caller.principal is None else f"account {caller.principal.account}", now)

    async def _not_taken(self, request: Request, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.refused.labels(refusal.why).inc()
        headers = {"Connection": "close"} if refusal is TOO_SLOW else {}
        await answer(request, refusal.status, refusal.code, refusal.words, field=refusal.field, headers=headers)(scope, receive, send)

    async def _too_large(self, request: Request, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.refused.labels("size").inc()
        await _discard(request, receive)
        await answer(request, 413, words=_larger_than(limit))(scope, receive, send)

    async def _too_often(self, request: Request, wait: float, scope: Scope, receive: Receive, send: Send) -> None:
        self._meters.refused.labels("rate").inc()
        await answer(request, 429, headers={"Retry-After": str(int(wait) + 1)})(scope, receive, send)

    async def _identify(self, passage: _Passage, scope: Scope) -> None:
        request, state, identity = passage.request, scope["state"], self._identity
        demonstrated = identity.demonstrated(request.headers.get("x-demo-principal"))
        if demonstrated is not None:
            state.update(caller=Caller(demonstrated), principal=demonstrated, demonstrated=True)
            return
        cookies = request.cookies
        caller = await identity.caller(cookies.get(cookie_name(SESSION_COOKIE, https=self._https)), request.headers.get("authorization"))
        if caller.secret is None and "authorization" not in request.headers:
            secret = cookies.get(cookie_name(BROWSER_COOKIE, https=self._https))
            if not secret:
                secret = passage.browser = new_secret()
            caller = replace(caller, secret=secret)
        state.update(caller=caller, principal=caller.principal, csrf=form_token(caller.secret))

    async def _measured(self, request: Request, receive: Receive, limit: int) -> Receive:
        """The body, once it is there and neither too large, too slow nor too deep; a request without one is not waited for."""
        declared = request.headers.get("content-length", "0")
        if declared == "0" and "transfer-encoding" not in request.headers:
            return receive
        if int(declared) > limit:
            raise _TooLarge
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(SECONDS_A_MIB * limit / BODY_MAX):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return _replay([message], receive)
                    part = message.get("body", b"")
                    size += len(part)
                    if size > limit:
                        raise _TooLarge
                    parts.append(part)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _NotTaken(TOO_SLOW) from None
        body = b"".join(parts)
        if (refusal := _refusal_of(request, body)) is not None:
            raise _NotTaken(refusal)
        return _replay([{"type": "http.request", "body": body, "more_body": False}], receive)

    def _outward(self, passage: _Passage, send: Send) -> Send:
        request = passage.request

        async def outward(message: Message) -> None:
            if message["type"] == "http.response.start":
                passage.status = message["status"]
                passage.head_seconds = time.monotonic() - passage.began
                given = dict(message["headers"])
                ours = self._static_headers if request.scope["path"].startswith(STATIC) else self._headers
                headers = [*message["headers"], *(pair for pair in ours if pair[0] not in given)]
                headers.append((b"x-request-id", request.state.request_id.encode()))
                if passage.browser is not None and given.get(b"content-type", b"").startswith(b"text/html"):
                    headers.append((b"set-cookie", self._cookie(BROWSER_COOKIE, passage.browser).encode()))
                message["headers"] = headers
            await send(message)

        return outward

    def _cookie(self, name: str, value: str) -> str:
        return f"{cookie_name(name, https=self._https)}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if self._https else ''}"

    def _tell(self, passage: _Passage, scope: Scope, failed: BaseException | None) -> None:
        """The one line of a request: the route's shape in place of its address, which may name somebody's wish or be a link that opens."""
        request, state = passage.request, scope["state"]
        route = _shape_of(scope)
        method = request.method if request.method in _METHODS else "other"
        self._meters.seconds.labels(route, method, f"{passage.status // 100}xx").observe(passage.head_seconds)
        if route == STATIC:
            return
        principal = state["principal"]
        fields: dict[str, Any] = {
            "route": route,
            "method": method,
            "status": passage.status,
            "ms": round(passage.head_seconds * 1000, 1),
            "request_id": state["request_id"],
            "roles": () if principal is None else sorted(principal.roles),
            "account": None if principal is None else principal.account,
            "via": None if principal is None else principal.via,
        }
        if failed is not None:
            self._log.error("request", **fields, exc_info=failed)
        else:
            self._log.info("request", **fields)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _shape_of(scope: Scope) -> str:
    if str(scope.get("path", "")).startswith(STATIC):
        return STATIC
    route = scope.get("route")
    return str(getattr(route, "path", "unmatched"))


def _replay(first: list[Message], receive: Receive) -> Receive:
    waiting = list(first)

    async def again() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return again
