"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import (
    accounts,
    audit,
    catalogue,
    dead_letters,
    enter,
    events,
    home,
    ingest,
    keys,
    links,
    live,
    mine,
    monitor,
    receipts,
    review,
    sign_in,
    wall,
    webhooks,
    wish,
    wishes,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    *(home.router, sign_in.router, accounts.router, audit.router),
    *(wall.router, mine.router, enter.router, wishes.router, links.router),
    *(live.router, monitor.router, wish.router, review.router, dead_letters.router),
    *(ingest.router, events.router, webhooks.router, keys.router, catalogue.router, receipts.router),
)
