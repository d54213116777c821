"""The gateway's wires: what is made of what, what runs beside what, and in which order it ends."""

import asyncio
import contextlib
import gc
from collections.abc import Iterator

import structlog
import uvicorn
from prometheus_client import CollectorRegistry

from services.gateway.context import Gateway
from services.gateway.database import Database
from services.gateway.door.door import opened
from services.gateway.publisher import Publisher
from services.gateway.rendering import Renderer
from services.gateway.settings import Settings
from services.gateway.web import create_app
from services.runtime import Ops, Pulse, Readiness, Stop

_GRACE_SECONDS = 5
# A batch of events makes some thousand objects that die together: left to its usual counts, the collector takes a third of the time of ingest.
_COLLECT_AFTER = (50_000, 20, 50)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `services.runtime` has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server, stop: Stop) -> None:
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stop.set()
    stopping.cancel()
    await serving


async def main(settings: Settings, stop: Stop) -> None:
    """Make everything, serve until stopped, and close it again."""
    log = structlog.get_logger()
    pulse = Pulse()
    async with contextlib.AsyncExitStack() as cleanup:
        database = await Database.connect(settings.database.get_secret_value(), size=settings.pool_max)
        cleanup.push_async_callback(database.close)
        publisher = Publisher(settings.broker)
        await publisher.start()
        cleanup.push_async_callback(publisher.stop)
        door = await cleanup.enter_async_context(opened(settings, database, stop))
        gateway = Gateway(settings, database, publisher, Renderer(), stop, door)
        config = uvicorn.Config(
            create_app(gateway),
            host=settings.web_host,
            port=settings.web_port,
            log_config=None,
            access_log=False,  # a URL may carry what is nobody else's business
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config)

        async def ready() -> Readiness:
            pulse.beat()
            return Readiness(server.started, pulse.commit_age_seconds, reasons=() if server.started else ("starting",))

        async with Ops(settings.ops_port, {"web": pulse}, ready, CollectorRegistry(), stuck_seconds=3600):
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECT_AFTER)
            log.info("started", port=settings.web_port)
            await _serve(server, stop)
    log.info("stopped")
