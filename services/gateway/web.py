"""The HTTP application: routes, static files and what every answer carries. Nothing connects here."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from services.gateway.context import Gateway
from services.gateway.rendering import STATIC
from services.gateway.routes import ROUTERS


def create_app(gateway: Gateway) -> FastAPI:
    """The application over the parts of a running gateway."""
    app = FastAPI(title="Last Metre 最后一米", version="0.1.0", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.gateway = gateway
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
