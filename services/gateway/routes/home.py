"""The first page: who are you here as?"""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.gateway.context import GatewayOf
from services.gateway.guard import needs
from services.gateway.policy import Act
from services.gateway.roles import Principal

router = APIRouter()


@router.get("/", response_class=HTMLResponse, summary="First page")
async def home(request: Request, gateway: GatewayOf, _principal: Annotated[Principal | None, needs(Act.OPEN_PAGE)]) -> HTMLResponse:
    """Where members, workers, residents and integrators go on from."""
    return gateway.renderer.page(request, "home.html")
