"""The inbox in the app: a row that the gateway shows, and marks when somebody has read it.

A second attempt is the same row, which holds the text in each language: somebody may read in either, and a desk has several readers. Alone, or as the last, it
has done its work when the row is there; where other channels follow, it has when the row is read.
"""

from services.notifier.book import Notice
from services.notifier.channel_settings import AppChannel, Named
from services.notifier.channels import SENT, Answer
from services.notifier.faults import PASSING
from services.notifier.routes import Way
from services.notifier.said import in_each
from services.notifier.store import Store


class AppInbox:
    """The table."""

    def __init__(self, named: Named, config: AppChannel, store: Store) -> None:
        self.name = named.name
        self.concurrency = config.concurrency
        self.timeout_seconds = config.timeout_seconds
        self.way = Way(config.system or named.name, honours_key=True, silent=True, receipts=True)
        self._store = store

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:  # noqa: ARG002 - the reference is the address
        """See that it lies there, and whether it was read."""
        try:
            read, seconds = await self._store.put_in_app(notice, in_each(notice))
        except PASSING:
            return Answer("later", "database")
        return SENT if read else Answer("placed", placed_seconds=seconds)

    async def close(self) -> None:
        """Nothing to let go of."""
