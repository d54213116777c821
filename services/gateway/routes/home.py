"""The first page, and what makes the pages an application on a phone: manifest, service worker, a note for when there is no network."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from services.gateway.context import GatewayOf
from services.gateway.guard import needs
from services.gateway.navigation import doors_of
from services.gateway.policy import Act
from services.gateway.rendering import STATIC, asset, language_of
from services.gateway.roles import Principal

router = APIRouter()
_ANYONE: Final = needs(Act.OPEN_PAGE)
_COLOUR, _PAPER = "#a5322a", "#fbf7f1"


@router.get("/", response_class=HTMLResponse, summary="First page")
async def home(request: Request, gateway: GatewayOf, principal: Annotated[Principal | None, _ANYONE]) -> HTMLResponse:
    """Where members, workers, residents and integrators go on from."""
    return gateway.renderer.page(request, "home.html", principal=principal, doors=doors_of(principal, "/"))


@router.get("/offline", response_class=HTMLResponse, summary="What is shown without a network", dependencies=[_ANYONE])
async def offline(request: Request, gateway: GatewayOf) -> HTMLResponse:
    """A note; the service worker keeps it."""
    return gateway.renderer.page(request, "offline.html", principal=None)


@router.get("/manifest.webmanifest", response_class=JSONResponse, summary="Manifest of the installable application", dependencies=[_ANYONE])
async def manifest(request: Request) -> JSONResponse:
    """In the language of the browser."""
    english = language_of(request) == "en"
    body: dict[str, Any] = {
        "id": "/",
        "name": "Last Metre" if english else "最后一米",
        "short_name": "Last Metre" if english else "最后一米",
        "description": "Small wishes among neighbours" if english else "邻里微心愿",
        "lang": "en" if english else "zh-CN",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "theme_color": _COLOUR,
        "background_color": _PAPER,
        "icons": [
            {"src": asset("icon-192.png"), "sizes": "192x192", "type": "image/png"},
            {"src": asset("icon-512.png"), "sizes": "512x512", "type": "image/png"},
            {"src": asset("icon-maskable.png"), "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
            {"src": asset("icon.svg"), "sizes": "any", "type": "image/svg+xml"},
        ],
    }
    return JSONResponse(body, media_type="application/manifest+json")


@router.get("/sw.js", response_class=FileResponse, summary="Service worker", dependencies=[_ANYONE])
async def service_worker() -> FileResponse:
    """At the root, since it answers for the whole site; looked at anew each time."""
    return FileResponse(STATIC / "sw.js", media_type="text/javascript", headers={"cache-control": "no-cache"})
