"""The HTTP application: routes, static files and what every answer carries. Nothing connects here."""

from typing import Final

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import Scope

from services.gateway import errors
from services.gateway.context import Gateway
from services.gateway.description import describe
from services.gateway.edge import Edge
from services.gateway.guard import announce, see_that_all_are_guarded
from services.gateway.rendering import STATIC
from services.gateway.routes import ROUTERS

_FOR_EVER: Final = "public, max-age=31536000, immutable"


class _Files(StaticFiles):
    """Files whose address names what they hold (`?v=`) are kept by browsers for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; asked for without its version, it is checked each time."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = _FOR_EVER if scope.get("query_string", b"").startswith(b"v=") else "no-cache"
        return response


def create_app(gateway: Gateway, registry: CollectorRegistry | None = None) -> FastAPI:
    """The application over the parts of a running gateway.

    Raises:
        services.gateway.guard.UnguardedRoute: a route names no act.
    """
    app = FastAPI(title="Last Metre 最后一米", version="0.1.0", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", redirect_slashes=False)
    app.state.gateway = gateway
    for router in ROUTERS:
        announce(router)
        app.include_router(router)
    # Compressed, as they hold nothing secret; pages are not, since they carry a token beside what others wrote.
    app.mount("/static", GZipMiddleware(_Files(directory=STATIC), minimum_size=1024), name="static")
    describe(app, https=gateway.identity.settings.is_https)
    errors.install(app)
    app.add_middleware(Edge, identity=gateway.identity, registry=registry or CollectorRegistry())
    see_that_all_are_guarded(app)
    return app
