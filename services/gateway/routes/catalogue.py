"""`/catalogue`: what events there are, for people; the same as AsyncAPI for tools."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from services.gateway.context import GatewayOf
from services.gateway.door import catalogue
from services.gateway.guard import needs
from services.gateway.policy import Act
from services.gateway.roles import Principal

router = APIRouter(tags=["catalogue"])
Anybody = Annotated[Principal | None, needs(Act.OPEN_PAGE)]


@router.get("/catalogue", response_class=HTMLResponse, summary="Event catalogue")
async def page(request: Request, gateway: GatewayOf, _principal: Anybody) -> HTMLResponse:
    """Every event type with its fields and an example, and every reason for which one is refused."""
    return gateway.renderer.page(request, "catalogue.html", channels=catalogue.channels(), reasons=catalogue.reasons())


@router.get("/api/asyncapi.json", response_class=Response, summary="The events as AsyncAPI 3.0")
async def asyncapi(_principal: Anybody) -> Response:
    """The exported document, as it lies in `schemas/exports/`."""
    return Response(catalogue.ASYNCAPI.read_bytes(), media_type="application/json", headers={"cache-control": "max-age=300"})
