"""Text messages through a gateway that takes signed JSON over HTTP, as the larger providers' own adapters do.

The body names the number, the template with its parameters, and the whole text for a gateway that takes texts. A verdict hangs on the status and on the code in
the answer's body. Robots of groups judge their answers here too.
"""

from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from services.notifier.book import Notice
from services.notifier.channel_settings import Named, SmsChannel
from services.notifier.channels import SENT, Answer, judge, session_of, signed_headers, system_of
from services.notifier.notices import words_of
from services.notifier.routes import Way
from services.notifier.short import sms_text

# Beyond 70 characters a message of Chinese goes out in parts.
SEGMENT_CHARACTERS: Final = 70
REFERENCE_MAX: Final = 200
_ANSWER_BYTES_MAX: Final = 65536


def segments_of(text: str) -> int:
    """Of how many parts of 70 characters a text message is."""
    return ceil(len(text) / SEGMENT_CHARACTERS)


def sms_body(notice: Notice, number: str, config: SmsChannel) -> bytes:
    """What the gateway gets: the same bytes on every attempt."""
    templates = config.templates
    parameters = words_of(notice.language, category=notice.category, rung=notice.rung, slot=notice.slot)
    if notice.link is not None:
        parameters["link"] = notice.link
    template = templates.get(f"{notice.kind}.{notice.party}") or templates.get(notice.kind) or templates.get("default")
    return orjson.dumps(
        {
            "to": number,
            "sign": config.sign,
            "template": template,
            "parameters": parameters,
            "text": sms_text(notice, config.sign),
            "language": notice.language,
        }
    )


def judge_code(body: bytes, field: str, sent: tuple[str, ...], later: tuple[str, ...], id_field: str | None = None) -> Answer:
    """What the code in an accepted request's answer means; without one, the status counts. `id_field`: where its own number for the message stands."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return SENT
    code = answer.get(field) if isinstance(answer, dict) else None
    if code is None or str(code) in sent:
        reference = answer.get(id_field) if isinstance(answer, dict) and id_field is not None else None
        return SENT if reference is None else Answer("sent", reference=str(reference)[:REFERENCE_MAX])
    return Answer("later", "code_later") if str(code) in later else Answer("never", "code_refused")


async def post_judged(
    session: aiohttp.ClientSession,
    url: str | URL,
    body: bytes,
    headers: dict[str, str],
    field: str,
    sent: tuple[str, ...],
    later: tuple[str, ...],
    id_field: str | None = None,
) -> Answer:
    """One POST request and its verdict; the URL is never logged, as it may carry a token."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            verdict = judge(answer.status, answer.headers.get("Retry-After"), datetime.now(UTC))
            if verdict.verdict != "sent":
                return verdict
            return judge_code(await answer.content.read(_ANSWER_BYTES_MAX), field, sent, later, id_field)
    except TimeoutError:
        return Answer("later", "timeout")
    except aiohttp.ClientConnectorError:
        return Answer("later", "no_connection")
    except (aiohttp.ClientError, OSError):
        return Answer("later", "unreachable")


class SmsGateway:
    """One gateway."""

    def __init__(self, named: Named, config: SmsChannel) -> None:
        self.name = named.name
        self.concurrency = config.concurrency
        self.timeout_seconds = config.timeout_seconds
        self.way = Way(config.system or system_of(named.url), honours_key=config.honours_key, needs_address=True, calls_back=config.receipts, private=True)
        self._config = config
        self._url = named.url
        self._secret = (named.secret("secret") or "").encode()
        self._session = session_of(config.timeout_seconds, config.concurrency)

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:
        """POST it."""
        config = self._config
        body = sms_body(notice, address, config)
        headers: dict[str, Any] = signed_headers(self._secret, body, config.key_header, f"{notice.key}{suffix}")
        return await post_judged(self._session, self._url, body, headers, config.code_field, config.codes_sent, config.codes_later, config.id_field)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
