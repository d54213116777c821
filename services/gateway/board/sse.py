"""Lines of the stream as server-sent events, over one answer that does not end by itself.

Whoever cannot take in what is sent for `hub.HANG_SECONDS` is cut, as is whoever's queue is full; both come back with `Last-Event-ID`. Nothing is kept for
them meanwhile.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.board.hub import Cut, StreamRow, Subscription, backlog
from services.gateway.board.showing import HIDDEN_OF_MINORS
from services.gateway.board.words import KINDS, TONES, clock, detail
from services.gateway.database import Database
from services.gateway.places import Places
from services.gateway.roles import Principal, Role
from services.gateway.words import word
from services.runtime import AWAY

RETRY_MS: Final = 1500
LOOK_SECONDS: Final = 30.0
"""So often at most it is asked whether whoever reads may still: a stream outlives its request's check by hours."""
_PAGE: Final = 500
Language = Literal["zh-CN", "en"]
_TITLE: Final = frozenset({"title"})
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


Form = Literal["whole", "judged", "slim"]
"""For workers, with place and title; for auditors, of a child's wish without the title and no place below the community; for everyone else, without both."""


def form_of(principal: Principal, row: StreamRow, *, whole: bool) -> Form:
    """How much of a line somebody is shown; `whole`: they look after the place."""
    if not whole:
        return "slim"
    return "judged" if row.brief.get("minor") and not principal.has(Role.WORKER) else "whole"


def shown(row: StreamRow, language: Language, form: Form, places: Places) -> bytes:
    """One line as an event, written once for all who see as much of it."""
    name = f"{form}-{language}"
    known = row.shown.get(name)
    if known is None:
        known = row.shown[name] = _written(row, language, form, places)
    return known


def _written(row: StreamRow, language: Language, form: Form, places: Places) -> bytes:
    pick = 1 if language == "en" else 0
    hidden = frozenset() if form == "whole" else HIDDEN_OF_MINORS if row.brief.get("minor") else _TITLE
    brief = {name: value for name, value in row.brief.items() if name not in hidden}
    said: dict[str, Any] = {
        "seq": row.seq,
        "at": row.at,
        "clock": clock(row.at),
        "kind": row.kind,
        "word": word(KINDS, row.kind)[pick],
        "tone": TONES.get(row.kind, ""),
        "text": detail(row.kind, brief)[pick],
        "area": row.area,
        "wish_id": row.wish_id,
        "match_id": row.match_id,
        "urgency": row.brief.get("urgency"),
    }
    if form != "slim":
        known = [step for step in (row.community, None if form == "judged" else row.compound) if step is not None]
        names = [places.name(row.area, *known[: depth + 1])[pick] for depth in range(len(known))]
        if row.building is not None and form != "judged":
            names.append(places.building(row.area, row.building)[pick])
        said |= {"place": names, "stored_at": row.stored_at}
    return b"id: %d\nevent: line\ndata: %s\n\n" % (row.seq, orjson.dumps(said))


class EventStream(Response):
    """The answer: what the reader missed since `after` (None: nothing), then what comes, for as long as they are `still` who they were."""

    def __init__(
        self, subscription: Subscription, database: Database, language: Language, places: Places, after: int | None, still: Callable[[], Awaitable[bool]]
    ) -> None:
        super().__init__(headers={})
        self._subscription = subscription
        self._database = database
        self._language = language
        self._places = places
        self._after = after
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Send until the reader leaves, is cut, or the gateway stops."""
        leaving = asyncio.create_task(self._leave(receive))
        self._subscription.task = asyncio.current_task()
        try:
            with self._subscription, contextlib.suppress(Cut):
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await self._send(send, b"retry: %d\n\n" % RETRY_MS)
                await self._missed(send)
                # Thousands of streams are told of a sign of life at once: they are not all to ask at once.
                looked_at = asyncio.get_running_loop().time() - random.uniform(0, LOOK_SECONDS)  # noqa: S311 - no secret
                while True:
                    rows = await self._subscription.batch()
                    now = asyncio.get_running_loop().time()
                    if now - looked_at >= LOOK_SECONDS:
                        if not await self._may_go_on():
                            await self._send(send, b"", more=False)
                            return
                        looked_at = now
                    await self._send(send, self._lines(rows) if rows else b": \n\n")
            if self._subscription.cut and not leaving.done():
                await self._send(send, b"", more=False)
        except asyncio.CancelledError:
            if not self._subscription.cut:
                raise  # not the hub: the server itself ends
        finally:
            leaving.cancel()

    async def _may_go_on(self) -> bool:
        try:
            return await self._still()
        except AWAY:
            return True  # nobody can say just now: the next look may

    def _lines(self, rows: Sequence[StreamRow]) -> bytes:
        principal, looks_after = self._subscription.principal, self._subscription.looks_after
        return b"".join(shown(row, self._language, form_of(principal, row, whole=looks_after(row)), self._places) for row in rows)

    async def _missed(self, send: Send) -> None:
        """What was committed before the subscription began, page by page, as far as the tables' policies let them see it."""
        after, until = self._after, self._subscription.since
        if after is None:
            return
        if after > until:  # of another board: this one has no such line
            await self._send(send, b"event: reset\ndata: {}\n\n")
            return
        while after < until and not self._subscription.cut:
            async with self._database.acting_for(self._subscription.principal) as connection:
                rows = await backlog(connection, after, until, _PAGE)
            if rows:
                await self._send(send, self._lines(rows))
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        self._subscription.sending_since = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": body, "more_body": more})
        self._subscription.sending_since = None

    async def _leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.end()
