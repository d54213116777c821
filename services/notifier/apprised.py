"""Services that apprise knows: its SMS plugins, and whatever else an apprise URL names.

apprise holds up whoever calls it, and says no more than whether it worked. So each attempt is a daemon thread with a time limit: the loop never waits for
one, the process can end while one hangs, and hung ones count against the channel's number of attempts at once. A failure of which nothing is known is unclear.
apprise logs URLs and numbers, so it is kept silent.
"""

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from services.notifier.book import Notice
from services.notifier.channel_settings import AppriseChannel, Named
from services.notifier.channels import SENT, Answer
from services.notifier.routes import Way
from services.notifier.short import sms_text

ADDRESS_PLACE: Final = "{to}"


class Unusable(Exception):
    """An apprise URL that no plugin takes; the message names the channel and its variable, and no value."""


@cache
def _loaded() -> Any:
    """Apprise with all its plugins, once, and silent from then on: its lines, and those of the HTTP client below it, may hold URLs and numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its plugins import
        import apprise

        for name in ("apprise", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        apprise.Apprise.instantiate("json://localhost")
    return apprise


def plugin_of(url: str) -> Any:
    """The plugin that apprise makes of a URL, or None.

    It follows no redirect: behind one a page to sign in at answers 200, and a notice would count as told that went nowhere, or to whom no setting names.
    """
    apprise = _loaded()
    return apprise.Apprise.instantiate(url, asset=apprise.AppriseAsset(async_mode=False, secure_logging=True, http_redirects=False))


class Apprised:
    """One apprise URL."""

    def __init__(self, named: Named, config: AppriseChannel) -> None:
        """Raises `Unusable` where apprise does not take the URL."""
        self.name = named.name
        self.concurrency = config.concurrency
        self.timeout_seconds = config.timeout_seconds
        self._url = named.secret("url") or ""
        needs_address = ADDRESS_PLACE in self._url
        self.way = Way(config.system or named.name, honours_key=False, needs_address=needs_address, private=needs_address)
        self._sign = config.sign
        self._alive = 0
        if plugin_of(self._url.replace(ADDRESS_PLACE, "13800000000")) is None:
            raise Unusable(
                f"环境变量 {config.url_env} 不合规：通道 {named.name} 需要 apprise 认识的地址"
                f" | environment variable {config.url_env} is not valid: channel {named.name} needs a URL that apprise takes"
            )

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:  # noqa: ARG002 - apprise carries no key
        """Let a thread send it."""
        if self._alive >= self.concurrency:
            return Answer("later", "busy")
        url = self._url.replace(ADDRESS_PLACE, quote(address, safe="+"))
        text = notice.text if self._sign is None else sms_text(notice, self._sign)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self._in_thread(lambda: self._notify(url, text))
        except TimeoutError:
            return Answer("later", "timeout")

    def _notify(self, url: str, text: str) -> Answer:
        limits = "&" if "?" in url else "?"
        plugin = plugin_of(f"{url}{limits}cto={self.timeout_seconds}&rto={self.timeout_seconds}")
        if plugin is None:
            return Answer("never", "bad_address")
        plugin.request_rate_per_sec = 0  # pauses are ours to make
        return SENT if plugin.notify(body=text) else Answer("later", "unsent")

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Answer] = loop.create_future()

        def told(answer: Answer) -> None:
            self._alive -= 1
            if not found.done():
                found.set_result(answer)

        def run() -> None:
            try:
                answer = work()
            except Exception:  # noqa: BLE001 - whatever a plugin raises is a verdict; its words may name a person
                answer = Answer("later", "unsent")
            if not loop.is_closed():
                loop.call_soon_threadsafe(told, answer)

        self._alive += 1
        threading.Thread(target=run, name=f"channel-{self.name}", daemon=True).start()
        return await found

    async def close(self) -> None:
        """Nothing to let go of: what still hangs is a daemon."""
