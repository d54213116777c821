"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import dead_letters, home, live, monitor, review, wish

ROUTERS: Final[tuple[APIRouter, ...]] = (home.router, live.router, monitor.router, wish.router, review.router, dead_letters.router)
