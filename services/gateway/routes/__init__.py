"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import accounts, audit, enter, home, links, live, mine, sign_in, wall, wishes

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *(home.router, sign_in.router, accounts.router, audit.router),
    *(wall.router, mine.router, enter.router, wishes.router, links.router),
    live.router,
)
