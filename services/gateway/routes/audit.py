"""The audit log, for auditors and admins of a whole area."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from services.gateway import words
from services.gateway.context import GatewayOf
from services.gateway.guard import needs
from services.gateway.identity.audit import Entry, recent
from services.gateway.policy import Act
from services.gateway.roles import Principal

router = APIRouter()
Reader = Annotated[Principal, needs(Act.SEE_AUDIT)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class AuditRow(BaseModel):
    """One row; `hash` in hexadecimal."""

    seq: int
    at: datetime
    who: str | None
    roles: list[str]
    area: str | None
    act: str
    outcome: str
    things: list[str]
    request: str
    hash: str


def _row(entry: Entry) -> AuditRow:
    return AuditRow(
        seq=entry.seq,
        at=entry.at,
        who=entry.who,
        roles=list(entry.roles),
        area=entry.area,
        act=entry.act,
        outcome=entry.outcome,
        things=list(entry.things),
        request=entry.request,
        hash=entry.hash.hex(),
    )


@router.get("/api/v1/audit", summary="The latest rows of the audit log")
async def rows(gateway: GatewayOf, principal: Reader, limit: Limit = 100) -> list[AuditRow]:
    """Newest first; PostgreSQL shows those of one's own area alone."""
    return [_row(entry) for entry in await recent(gateway.database, principal, limit)]


@router.get("/audit", response_class=HTMLResponse, summary="The audit log as a page")
async def page(request: Request, gateway: GatewayOf, principal: Reader, limit: Limit = 100) -> HTMLResponse:
    """The same, to read."""
    return gateway.renderer.page(request, "audit.html", words=words, entries=[_row(entry) for entry in await recent(gateway.database, principal, limit)])
