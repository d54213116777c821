"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import home, ingest

ROUTERS: Final[tuple[APIRouter, ...]] = (home.router, ingest.router)
