"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import enter, home, live, mine, wall, wishes

ROUTERS: Final[tuple[APIRouter, ...]] = (home.router, wall.router, mine.router, enter.router, wishes.router, live.router)
