"""The door's parts, made once for a running gateway."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.gateway.database import Database
from services.gateway.door.bulk import Bulk
from services.gateway.door.delivery import Deliveries, Sender, Terms
from services.gateway.door.positions import Positions
from services.gateway.door.quotas import Quotas
from services.gateway.settings import Settings
from services.runtime import Stop


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes of the door work with. `sender` is none where no secret for webhooks is set: then there are no webhooks."""

    bulk: Bulk
    positions: Positions
    quotas: Quotas
    sender: Sender | None


@asynccontextmanager
async def opened(settings: Settings, database: Database, stop: Stop) -> AsyncIterator[Door]:
    """The door, for as long as the gateway runs."""
    bulk = Bulk(settings.broker)
    positions = Positions(settings.broker)
    sender = None
    delivering: asyncio.Task[None] | None = None
    await bulk.start()
    try:
        if settings.door_secret is not None:
            terms = Terms(
                settings.door_secret.get_secret_value().encode(),
                settings.webhook_private,
                settings.webhook_backoff_seconds,
                settings.webhook_give_up_seconds,
                settings.is_of_this_machine,
            )
            sender = Sender(terms)
            # Not for secrets: it spreads retries in time.
            chance = random.Random()  # noqa: S311
            delivering = asyncio.create_task(Deliveries(settings.board_database.get_secret_value(), positions, sender, stop, chance).run(), name="webhooks")
        yield Door(bulk, positions, Quotas(database), sender)
    finally:
        if delivering is not None:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering
        if sender is not None:
            await sender.stop()
        await positions.stop()
        await bulk.stop()
