"""The live monitor: counters, the board by state, the map, the stream and charts, as far as a worker's or auditor's circle goes."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from services.gateway.board import charts, queries
from services.gateway.board.places import map_of
from services.gateway.board.showing import helpers_of
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs
from services.gateway.policy import Act, may
from services.gateway.roles import Principal, Role
from services.gateway.words import LOCAL

router = APIRouter()
Watcher = Annotated[Principal, needs(Act.SEE_MONITOR)]
_DAYS: Final = 14
_RECENT: Final = 40


def local_day(now: datetime) -> datetime:
    """When this day began, where the communities are."""
    return now.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)


async def _overview(gateway: Gateway, principal: Principal, now: datetime) -> dict[str, Any]:
    async with gateway.database.acting_for(principal) as connection:
        found = await queries.overview(connection, now, local_day(now), homes=principal.has(Role.WORKER))
    return {
        "found": found,
        "places": map_of(found.places),
        "area": principal.scope.area,
        "now": now,
        "can_approve": may(principal, Act.APPROVE_MATCH),
        "can_review": may(principal, Act.REVIEW_WISH),
        **helpers_of(principal, now),
    }


@router.get("/monitor", response_class=HTMLResponse, summary="The live monitor")
async def monitor(request: Request, gateway: GatewayOf, principal: Watcher, *, wall: Annotated[bool, Query()] = False) -> HTMLResponse:
    """The whole page; `wall`: dark, in large type, for a screen that nobody touches."""
    now = datetime.now(UTC)
    position = gateway.hub.position  # before the rows are read: what comes meanwhile is in the page or in the stream, and the stream drops what it has
    values = await _overview(gateway, principal, now)
    async with gateway.database.acting_for(principal) as connection:
        lines = await queries.recent(connection, _RECENT)
        shown = [] if wall else await _charts(connection, now)
    after = max([position, *(line.seq for line in lines)])
    return gateway.renderer.page(request, "monitor.html", principal=principal, wall=wall, lines=lines, after=after, charts=shown, **values)


@router.get("/monitor/parts", response_class=HTMLResponse, summary="Counters, board and map, anew")
async def parts(request: Request, gateway: GatewayOf, principal: Watcher, *, wall: Annotated[bool, Query()] = False) -> HTMLResponse:
    """What changes, for a page that is open."""
    values = await _overview(gateway, principal, datetime.now(UTC))
    return gateway.renderer.page(request, "monitor_parts.html", principal=principal, wall=wall, **values)


async def _charts(connection: Any, now: datetime) -> list[charts.Chart]:
    hour = now.replace(minute=0, second=0, microsecond=0)
    hours = (hour - timedelta(hours=23), now)
    days = (local_day(now) - timedelta(days=_DAYS - 1), now)
    slot = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    lately = (slot - timedelta(minutes=115), now)
    found = await queries.figures(connection, hours=hours, days=days, lately=lately)
    return [
        charts.waits(found.waits, hours[0]),
        charts.fill(found.fill, days[0], _DAYS),
        charts.fairness(found.fairness),
        charts.lag(found.lag, lately[0]),
    ]
