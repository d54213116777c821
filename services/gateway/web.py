"""The HTTP application: routes, static files and what every answer carries. Nothing connects here."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prometheus_client import CollectorRegistry

from services.gateway import errors
from services.gateway.context import Gateway
from services.gateway.edge import Edge
from services.gateway.guard import announce, see_that_all_are_guarded
from services.gateway.rendering import STATIC
from services.gateway.routes import ROUTERS


def create_app(gateway: Gateway, registry: CollectorRegistry | None = None) -> FastAPI:
    """The application over the parts of a running gateway.

    Raises:
        services.gateway.guard.UnguardedRoute: a route names no act.
    """
    app = FastAPI(title="Last Metre 最后一米", version="0.1.0", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.gateway = gateway
    for router in ROUTERS:
        announce(router)
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    errors.install(app)
    app.add_middleware(Edge, identity=gateway.identity, registry=registry or CollectorRegistry())
    see_that_all_are_guarded(app)
    return app
