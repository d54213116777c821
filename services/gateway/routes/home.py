"""The first page: who are you here as?"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.gateway.context import GatewayOf

router = APIRouter()


@router.get("/", response_class=HTMLResponse, summary="First page")
async def home(request: Request, gateway: GatewayOf) -> HTMLResponse:
    """Where members, workers, residents and integrators go on from."""
    return gateway.renderer.page(request, "home.html")
