"""The ways to a person: what every channel promises, the console, and a webhook that somebody else's messaging system answers.

`delivery` comes in with one notice at a time and learns what became of the attempt. A webhook is signed over time and body, and
every attempt of a notice carries the same Idempotency-Key, so that a receiver can act on it once.
More channels: `sms`, `bots`, `apprised`, `mail`, `app_inbox`.
"""

import asyncio
import hashlib
import hmac
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson

from services.notifier.book import Notice
from services.notifier.routes import Way
from services.notifier.settings import CONSOLE, Settings
from services.runtime import info_lines

TIMESTAMP_HEADER: Final = "X-LastMetre-Timestamp"
SIGNATURE_HEADER: Final = "X-LastMetre-Signature"
KEY_HEADER: Final = "Idempotency-Key"
# Beside 5xx: the receiver says that the same request may succeed later.
_LATER: Final = frozenset((408, 425, 429))
# What a proxy answers while the gateway behind it is away, such as in the minutes of a deploy.
_AWAY: Final = frozenset((502, 503, 504))
HTTP_AWAY: Final = "http_away"
# A receiver that asks for more than this is asked again after it.
_RETRY_AFTER_MAX_SECONDS: Final = 3600.0

# After these the attempt may have had its effect all the same: the answer is missing, or says nothing about it.
_UNCLEAR: Final = frozenset(("timeout", "unreachable", "http_5xx", HTTP_AWAY, "cut_off", "unsent", "unreadable", "channel_failed"))
# These say in so many words: later (a limit on how many a minute, a mail server's grey list), or nobody was there to be asked, or let us in.
_NOT_NOW: Final = frozenset(("http_4xx", "code_later", "smtp_later", "smtp_login", "no_connection"))

# `placed`: it lies there, and nobody has read it.
Verdict = Literal["sent", "later", "never", "placed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: `fault` is a code, `after_seconds` the receiver's own wish, `placed_seconds` how long it lies there unread.

    `reference`: the receiver's own number for the message.
    """

    verdict: Verdict
    fault: str | None = None
    after_seconds: float = 0.0
    placed_seconds: float = 0.0
    reference: str | None = None

    @property
    def unclear(self) -> bool:
        """Whether it may have had its effect although it seems to have failed."""
        return self.verdict == "later" and self.fault in _UNCLEAR

    @property
    def not_now(self) -> bool:
        """Whether nobody has heard of this attempt, and patience is asked for: it is no fault of the notice."""
        return self.verdict == "later" and self.fault in _NOT_NOW

    @property
    def away(self) -> bool:
        """Whether who answers is only in front of whom we mean. It may be that the latter has heard, and only the answer was lost."""
        return self.fault == HTTP_AWAY


SENT: Final = Answer("sent")


class Channel(Protocol):
    """One way to a person. `send` answers within its time limit and does not raise; `way` is what routes need to know of it."""

    name: str
    concurrency: int
    timeout_seconds: float
    way: Way

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:
        """Try once. `address`: the person's, where the channel needs one; `suffix`: what stands behind the notice's key."""

    async def close(self) -> None:
        """Let go of connections."""


def body_of(notice: Notice) -> bytes:
    """A webhook's body: the same bytes on every attempt. `slot` and `match_id` are null where the notice is about a wish alone."""
    slot = None if notice.slot is None else {"start": notice.slot[0], "end": notice.slot[1]}
    return orjson.dumps(
        {
            "to": notice.party,
            "ref": notice.ref,
            "kind": notice.kind,
            "language": notice.language,
            "text": notice.text,
            "match_id": notice.match_id,
            "wish_id": notice.wish_id,
            "slot": slot,
        }
    )


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over timestamp + "." + body; `timestamp` is in whole seconds since 1970."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def judge(status: int, retry_after: str | None, now: datetime) -> Answer:
    """What an HTTP answer means: 2xx is sent, what may pass is tried again, all else never.

    A redirect is not followed: the signature, the key and the person's address are for whom the settings name.
    """
    if 200 <= status < 300:
        return SENT
    if status in _LATER or status >= 500:
        return Answer("later", HTTP_AWAY if status in _AWAY else f"http_{status // 100}xx", _after(retry_after, now))
    return Answer("never", "redirected" if 300 <= status < 400 else "refused")


def unanswered(error: aiohttp.ClientError | OSError) -> Answer:
    """What a request without an answer means (a TimeoutError is an OSError): where no connection came about nobody can have heard."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Answer("later", "no_connection")
    return Answer("later", "timeout" if isinstance(error, TimeoutError) else "unreachable")


def _after(header: str | None, now: datetime) -> float:
    """Seconds from a Retry-After header, as a number or as a date; 0 where there is none that can be read."""
    if not header:
        return 0.0
    try:
        seconds = float(int(header))
    except OverflowError:
        return _RETRY_AFTER_MAX_SECONDS
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return 0.0
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX_SECONDS)


def backoff_seconds(key: bytes, attempt: int, first: float, most: float) -> float:
    """The pause after the n-th failed attempt, n from 1: doubling, up to `most`, less a part of up to a half that the key decides."""
    full = min(first * 2.0 ** min(attempt - 1, 32), most)
    part = int.from_bytes(hashlib.blake2s(key + attempt.to_bytes(4, "big"), digest_size=4).digest(), "big") / 2**32
    return full * (1.0 - part / 2)


def signed_headers(secret: bytes, body: bytes, key_header: str, key: str) -> dict[str, str]:
    """The headers of a signed POST request."""
    timestamp = str(int(time.time()))
    return {"Content-Type": "application/json", TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature(secret, timestamp, body), key_header: key}


def system_of(url: str) -> str:
    """Who answers behind an address: its host and port."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or parts.scheme}"


def session_of(timeout_seconds: float, concurrency: int) -> aiohttp.ClientSession:
    """Connections of one channel, which keep no cookies; call inside the loop."""
    # A connection that does not come about, be it for a name server that hangs, is told apart from an answer that does not: nothing was said, so nobody can
    # have heard. To the fraction: in whole seconds both times may fall together.
    times = aiohttp.ClientTimeout(total=timeout_seconds, connect=timeout_seconds * 0.9, ceil_threshold=math.inf)
    return aiohttp.ClientSession(timeout=times, connector=aiohttp.TCPConnector(limit=concurrency), cookie_jar=aiohttp.DummyCookieJar())


class Console:
    """Notices as log lines. There is nothing personal in them: refs are left out too."""

    concurrency = 1
    timeout_seconds = 1.0
    way = Way("console", honours_key=False, silent=True)

    def __init__(self, name: str = CONSOLE) -> None:
        self.name = name
        self._lines: list[dict[str, object]] = []

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:  # noqa: ARG002 - nobody is addressed
        """Write it down, with whatever else is said in this turn of the loop: before anybody can record that it was."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append({"to": notice.party, "kind": notice.kind, "match_id": notice.match_id, "key": str(notice.key), "text": notice.text})
        return SENT

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        info_lines("notice", {}, lines)

    async def close(self) -> None:
        """Nothing to let go of but what this turn has said."""
        self._write()


class Webhook:
    """Notices as signed POST requests."""

    def __init__(self, url: str, secret: bytes, timeout_seconds: float, concurrency: int, name: str = "webhook", way: Way | None = None) -> None:
        self.name = name
        self.concurrency = concurrency
        self.timeout_seconds = timeout_seconds
        self.way = way or Way(system_of(url), honours_key=True, private=True)
        self._url = url
        self._secret = secret
        self._session = session_of(timeout_seconds, concurrency)

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:  # noqa: ARG002 - the receiver knows who it is
        """POST it; the URL is never logged, as it may carry a token."""
        body = body_of(notice)
        headers = signed_headers(self._secret, body, KEY_HEADER, f"{notice.key}{suffix}")
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return judge(answer.status, answer.headers.get("Retry-After"), datetime.now(UTC))
        except (aiohttp.ClientError, OSError) as error:
            return unanswered(error)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def channel_of(settings: Settings) -> Channel:
    """The one channel of who has no list of them; call inside the loop."""
    if settings.webhook is None:
        return Console()
    assert settings.webhook_secret is not None  # the settings' own rule
    secret = settings.webhook_secret.get_secret_value().encode()
    return Webhook(settings.webhook, secret, settings.webhook_timeout_seconds, settings.webhook_concurrency)
