"""E-mail. The Message-ID comes from the notice's key, so that a second attempt is the same message and a mailbox may fold the two.

Never in plain text but on this machine; where STARTTLS is asked for and not offered, nothing is sent. A subject says what a mail is about in the reader's
language, and nothing about anybody. SMTP knows no idempotency key: an attempt that broke off after its text is unclear.
"""

import asyncio
import contextlib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final

import aiosmtplib

from services.notifier.book import Notice
from services.notifier.channel_settings import EmailChannel, Named
from services.notifier.channels import SENT, Answer
from services.notifier.notices import Language
from services.notifier.routes import Way

_SUBJECTS: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {
        "asked": "邻里互助：请您答复",
        "invited": "邻里互助：急需帮手，请您答复",
        "confirmed": "邻里互助：已约好",
        "released": "邻里互助：安排有变",
        "reminder": "邻里互助：请记得约好的时间",
        "report": "邻里互助：结束了吗？",
        "feedback": "邻里互助：帮上忙了吗？",
        "not_started": "邻里互助：请去看一看",
        "not_finished": "邻里互助：请去看一看",
        "expired": "邻里互助：心愿到期",
    },
    "en": {
        "asked": "Help among neighbours: please answer",
        "invited": "Help among neighbours: needed soon, please answer",
        "confirmed": "Help among neighbours: it is settled",
        "released": "Help among neighbours: a change",
        "reminder": "Help among neighbours: a reminder",
        "report": "Help among neighbours: are you done?",
        "feedback": "Help among neighbours: did it help?",
        "not_started": "Help among neighbours: please have a look",
        "not_finished": "Help among neighbours: please have a look",
        "expired": "Help among neighbours: a wish has ended",
    },
}
_USUAL: Final[dict[Language, str]] = {"zh-CN": "邻里互助：给您的消息", "en": "Help among neighbours: a message for you"}
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
# For the goodbye, once the server has the mail.
_QUIT_SECONDS: Final = 1.0
_SENDERS: Final[dict[Language, str]] = {"zh-CN": "最后一米", "en": "Last Metre"}


def subject_of(kind: str, language: Language) -> str:
    """What a mail is about, without a word about anybody."""
    return _SUBJECTS[language].get(kind, _USUAL[language])


def _one(address: str) -> Address:
    """One address and no more: a comma in it would make two people of it. Raises `ValueError`."""
    try:
        return Address(addr_spec=address)
    except (MessageError, IndexError) as fault:  # the latter where there is nothing
        raise ValueError("no address") from fault


def message_of(notice: Notice, address: str, sender: str, suffix: str = "") -> EmailMessage:
    """The mail. Raises `ValueError` where the address can't stand in a header."""
    message = EmailMessage()
    message["Message-ID"] = f"<{notice.key}{suffix.replace(':', '.')}@{sender.rpartition('@')[2]}>"
    message["Date"] = formatdate(usegmt=True)
    message["From"] = f"{_SENDERS[notice.language]} <{sender}>"
    message["To"] = _one(address)
    message["Subject"] = subject_of(notice.kind, notice.language)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(notice.text)
    message["Content-Language"] = notice.language
    return message


def _judged(code: int) -> Answer:
    """What a code means: 4xx may pass, as greylisting does; 5xx does not. One that SMTP has not at that place says nothing: the mail may be there."""
    if code < 400:
        return Answer("later", "unreadable")
    return Answer("later", "smtp_later") if code < 500 else Answer("never", "refused")


class Mail:
    """One mail server."""

    def __init__(self, named: Named, config: EmailChannel) -> None:
        self.name = named.name
        self.concurrency = config.concurrency
        self.timeout_seconds = config.timeout_seconds
        port = config.port or _PORTS[config.security]
        self.way = Way(config.system or f"{config.host}:{port}", honours_key=False, needs_address=True, private=True)
        self._config = config
        self._port = port
        self._user, self._password = named.secret("user"), named.secret("password")
        self._lookup: asyncio.Future[Any] | None = None
        self._tls = None if config.security == "none" else ssl.create_default_context(cafile=config.ca_file)

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:
        """Hand it to the server."""
        try:
            message = message_of(notice, address, self._config.sender, suffix)
        except ValueError:
            return Answer("never", "bad_address")
        client = self._client()
        ends = asyncio.get_running_loop().time() + self.timeout_seconds
        connected = False
        try:
            async with asyncio.timeout_at(ends):
                fault = await self._connect(client)
                if fault is not None:
                    return Answer("later", fault)
                connected = True
                answer = await self._hand_over(client, message)
            if answer is SENT:
                await self._take_leave(client, ends)
            return answer
        except TimeoutError:
            return Answer("later", "timeout" if connected else "no_connection")
        finally:
            client.close()

    @staticmethod
    async def _take_leave(client: aiosmtplib.SMTP, ends: float) -> None:
        """The server has the mail: whatever becomes of the goodbye, it is sent."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            async with asyncio.timeout_at(min(ends, asyncio.get_running_loop().time() + _QUIT_SECONDS)):
                await client.quit()

    def _client(self) -> aiosmtplib.SMTP:
        config = self._config
        return aiosmtplib.SMTP(
            hostname=config.host,
            port=self._port,
            timeout=config.timeout_seconds,
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
            tls_context=self._tls,
            username=self._user,
            password=self._password,
            local_hostname="localhost",
        )

    async def _see_that_it_is_found(self) -> None:
        """Until the server's name is looked up, once for all who wait for it.

        A lookup that hangs keeps a thread for longer than an attempt takes, and there are few, for all channels, PostgreSQL and Kafka.
        """
        if self._lookup is None or self._lookup.done():
            loop = asyncio.get_running_loop()
            self._lookup = loop.create_task(loop.getaddrinfo(self._config.host, self._port))
            self._lookup.add_done_callback(lambda found: found.cancelled() or found.exception())  # perhaps nobody waits for it any more
        await asyncio.shield(self._lookup)

    async def _connect(self, client: aiosmtplib.SMTP) -> str | None:
        """Connect, take up TLS, log in; what went wrong. Nothing of the mail is out yet, so none of it is unclear or the notice's fault.

        Many a server lets everybody wait for its greeting, as who can't wait is no mail server: longer than our time limit, perhaps.
        """
        try:
            await self._see_that_it_is_found()
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                try:
                    await client.ehlo()
                except aiosmtplib.SMTPHeloError:
                    await client.helo()
        except aiosmtplib.SMTPAuthenticationError:
            return "smtp_login"
        except (aiosmtplib.SMTPException, OSError, ValueError):
            return "no_connection"
        return None

    @staticmethod
    async def _hand_over(client: aiosmtplib.SMTP, message: EmailMessage) -> Answer:
        try:
            await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return _judged(refused.recipients[0].code)
        except aiosmtplib.SMTPResponseException as refused:
            return _judged(refused.code)
        except (aiosmtplib.SMTPNotSupported, ValueError):  # an address that this server's commands can't carry
            return Answer("never", "bad_address")
        except (aiosmtplib.SMTPTimeoutError, TimeoutError):
            return Answer("later", "timeout")
        except (aiosmtplib.SMTPException, OSError):
            return Answer("later", "cut_off")
        return SENT

    async def close(self) -> None:
        """A connection lives for one mail."""
        if self._lookup is not None:
            self._lookup.cancel()
