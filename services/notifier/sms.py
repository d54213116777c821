"""Text messages through a gateway that takes signed JSON over HTTP, as the larger providers' own adapters do.

The body names the number, the template with its parameters, and the whole text for a gateway that takes texts. A verdict hangs on the status and on the code in
the answer's body. Robots of groups judge their answers here too.
"""

import codecs
import re
from dataclasses import replace
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from schemas import shapes
from schemas.personal import is_bare_number
from services.notifier.book import Notice
from services.notifier.channel_settings import Named, SmsChannel
from services.notifier.channels import SENT, Answer, judge, session_of, signed_headers, system_of, unanswered
from services.notifier.notices import LATE, words_of
from services.notifier.routes import Way
from services.notifier.short import sms_text

# Beyond 70 characters a message of Chinese goes out in parts.
SEGMENT_CHARACTERS: Final = 70
UNREADABLE: Final = Answer("later", "unreadable")
# As the door for receipts takes it.
_REFERENCE: Final = re.compile(shapes.ID)
_REFERENCE_MAX: Final = 200
_NO_DIGIT: Final = re.compile(r"[^0-9]")
_NATIONAL_DIGITS: Final = 11
# An extension or a short code of fewer digits stands in any long id by chance, and is nobody's alone.
_NUMBER_DIGITS_MIN: Final = 7
_ANSWER_BYTES_MAX: Final = 65536


def segments_of(text: str) -> int:
    """Of how many parts of 70 characters a text message is."""
    return ceil(len(text) / SEGMENT_CHARACTERS)


def sms_body(notice: Notice, number: str, config: SmsChannel) -> bytes:
    """What the gateway gets: the same bytes on every attempt."""
    templates = config.templates
    about = notice.said
    parameters = words_of(notice.language, category=about.category, rung=about.rung, slot=about.slot)
    if notice.link is not None:
        parameters["link"] = notice.link
    # A template of its own for what comes late, as the usual one says that somebody will come.
    names = (f"confirmed.resident.{LATE}",) if notice.reason == LATE else (f"{notice.kind}.{notice.party}", notice.kind)
    template = next((found for name in (*names, "default") if (found := templates.get(name))), None)
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


def _parsed(body: bytes) -> Any:
    """An answer as JSON: many a gateway in China writes GBK, whatever the standard says. Raises `ValueError`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(body.decode("gb18030"))


def judge_code(
    body: bytes, fields: tuple[str, ...], sent: tuple[str, ...], later: tuple[str, ...], id_field: str | None = None, *, always: bool = False
) -> Answer:
    """What the code in an accepted request's answer means. `fields`: where it may stand; `id_field`: where its own number for the message stands.

    Without a code the status counts; but where there `always` is one, somebody else has answered, such as a proxy with a page of its own.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        answer = _parsed(body)
    except ValueError:
        # Plain words are no code, and the status counts; half of what would have one may as well be a refusal.
        return UNREADABLE if always or body.lstrip()[:1] == b"{" else SENT
    code = next((answer[name] for name in fields if answer.get(name) is not None), None) if isinstance(answer, dict) else None
    if code is None and always:
        return UNREADABLE
    if code is None or _is_among(code, sent):
        reference = answer.get(id_field) if isinstance(answer, dict) and id_field is not None else None
        return SENT if reference is None else Answer("sent", reference=_reference(str(reference)))
    return Answer("later", "code_later") if _is_among(code, later) else Answer("never", "code_refused")


def _is_among(code: Any, codes: tuple[str, ...]) -> bool:
    """Whether an answer's code is one of these; what is true or false in JSON is written as there."""
    return str(code) in codes or (isinstance(code, bool) and str(code).lower() in codes)


def _reference(text: str) -> str | None:
    """The gateway's number for a message as its receipts may name it; None where they could not."""
    # Some gateways name the message by whom it went to.
    return text if len(text) <= _REFERENCE_MAX and _REFERENCE.fullmatch(text) and not is_bare_number(text) else None


def _holds(reference: str | None, number: str) -> bool:
    """Whether a gateway's name for a message holds the number that it went to, with a date or a count beside it: it would stay in our tables."""
    digits, wanted = (_NO_DIGIT.sub("", text) for text in (reference or "", number))
    return len(wanted) >= _NUMBER_DIGITS_MIN and wanted[-_NATIONAL_DIGITS:] in digits


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """The answer's body, in however many pieces it comes; as much of it as one would read."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) >= _ANSWER_BYTES_MAX:
            break
    return bytes(body)


async def post_judged(
    session: aiohttp.ClientSession,
    url: str | URL,
    body: bytes,
    headers: dict[str, str],
    fields: tuple[str, ...],
    sent: tuple[str, ...],
    later: tuple[str, ...],
    id_field: str | None = None,
    *,
    always: bool = False,
) -> Answer:
    """One POST request and its verdict, as `judge_code` finds it; the URL is never logged, as it may carry a token."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            verdict = judge(answer.status, answer.headers.get("Retry-After"), datetime.now(UTC))
            if verdict.fault == "refused":
                return await _not_now(answer, fields, later) or verdict
            if verdict.verdict != "sent":
                return verdict
            return judge_code(await _whole(answer), fields, sent, later, id_field, always=always)
    except (aiohttp.ClientError, OSError) as error:
        return unanswered(error)


async def _not_now(answer: aiohttp.ClientResponse, fields: tuple[str, ...], later: tuple[str, ...]) -> Answer | None:
    """The code of a refusal, where it means "not now": Feishu, and gateways like it, say so with 400."""
    try:
        found = judge_code(await _whole(answer), fields, (), later)
    except (aiohttp.ClientError, OSError):
        return None  # the status has told
    return found if found.fault == "code_later" else None


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
        answer = await post_judged(self._session, self._url, body, headers, (config.code_field,), config.codes_sent, config.codes_later, config.id_field)
        return replace(answer, reference=None) if _holds(answer.reference, address) else answer

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
