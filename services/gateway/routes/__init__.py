"""All routes, by who uses them. A router is announced here and nowhere else."""

from typing import Final

from fastapi import APIRouter

from services.gateway.routes import accounts, audit, catalogue, events, home, ingest, keys, receipts, sign_in, webhooks

ROUTERS: Final[tuple[APIRouter, ...]] = (
    home.router,
    sign_in.router,
    accounts.router,
    audit.router,
    ingest.router,
    events.router,
    webhooks.router,
    keys.router,
    catalogue.router,
    receipts.router,
)
