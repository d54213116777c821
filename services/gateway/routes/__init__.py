"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import accounts, audit, dead_letters, enter, home, links, live, mine, monitor, review, sign_in, wall, wish, wishes

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *(home.router, sign_in.router, accounts.router, audit.router),
    *(wall.router, mine.router, enter.router, wishes.router, links.router),
    *(live.router, monitor.router, wish.router, review.router, dead_letters.router),
)
