"""All routes. A router is announced here and nowhere else.

A request is held against one router after another, so what comes by the thousand is first: other systems' events, then taps on the claim wall.
"""

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
    *(ingest.router, wall.taps, wall.router),
    *(home.router, sign_in.router, accounts.router, audit.router),
    *(mine.router, enter.router, wishes.router, links.router),
    *(live.router, monitor.router, wish.router, review.router, dead_letters.router),
    *(events.router, webhooks.router, keys.router, catalogue.router, receipts.router),
)
