"""The live monitor: counters, the board by state, the map, the stream and charts, as far as a worker's or auditor's circle goes."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from schemas.wishes import Urgency
from services.gateway.board import charts, queries
from services.gateway.board.places import map_of
from services.gateway.board.showing import helpers_of
from services.gateway.context import Gateway, GatewayOf
from services.gateway.guard import needs
from services.gateway.policy import Act, may
from services.gateway.roles import Principal, Role
from services.gateway.words import LOCAL, Words

router = APIRouter()
Watcher = Annotated[Principal, needs(Act.SEE_MONITOR)]
_DAYS: Final = 14
_RECENT: Final = 40
LISTED_MAX: Final = 100
State = Literal["waiting", "open", "held", "matched", "ended", "all"]
STATES: Final[dict[State, Words]] = {
    "waiting": ("还没约好", "Not settled yet"),
    "open": ("等待帮手", "Waiting"),
    "held": ("已有人选", "Held"),
    "matched": ("已约好", "Matched"),
    "ended": ("今日结束", "Ended today"),
    "all": ("全部", "All"),
}
_LIVE: Final = {"waiting": ("open", "held"), "open": ("open",), "held": ("held",), "matched": ("matched",), "ended": (), "all": ("open", "held", "matched")}
Circle = Annotated[str, Query(max_length=128, pattern="^[^\\x00]*$")]


def local_day(now: datetime) -> datetime:
    """When this day began, where the communities are."""
    return now.astimezone(LOCAL).replace(hour=0, minute=0, second=0, microsecond=0)


async def _overview(gateway: Gateway, principal: Principal, now: datetime) -> dict[str, Any]:
    async with gateway.database.acting_for(principal) as connection:
        found = await queries.overview(connection, now, local_day(now), homes=principal.has(Role.WORKER))
    return {
        "found": found,
        "places": map_of(found.places),
        "states": STATES,
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


@router.get("/monitor/wishes", response_class=HTMLResponse, summary="All wishes of a state or a place")
async def wishes(
    request: Request,
    gateway: GatewayOf,
    principal: Watcher,
    *,
    state: Annotated[State, Query()] = "waiting",
    urgency: Annotated[Urgency | Literal[""], Query()] = "",
    pressing: Annotated[Literal["", "yes"], Query()] = "",
    community: Circle = "",
    compound: Circle = "",
    building: Circle = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """What the board has no room for: a hundred at a time, those that press first."""
    now = datetime.now(UTC)
    chosen = queries.Chosen(_LIVE[state], state in {"ended", "all"}, urgency or None, pressing == "yes", community or None, compound or None, building or None)
    async with gateway.database.acting_for(principal) as connection:
        found, total = await queries.listed(
            connection, now, local_day(now), chosen, homes=principal.has(Role.WORKER), most=LISTED_MAX, skip=(page - 1) * LISTED_MAX
        )
    asked = {"state": state, "urgency": urgency, "pressing": pressing, "community": community, "compound": compound, "building": building}
    kept = urlencode({name: value for name, value in asked.items() if value})
    values: dict[str, Any] = {
        "wishes": found,
        "total": total,
        "first": (page - 1) * LISTED_MAX + 1,
        "number": page,
        "asked": asked,
        "kept": kept,
        "states": STATES,
        "area": principal.scope.area,
        "now": now,
        **helpers_of(principal, now),
    }
    return gateway.renderer.page(request, "monitor_wishes.html", principal=principal, **values)
