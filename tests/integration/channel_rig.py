"""Real receivers for the channels' tests: a mail server with certificates of our own making, and a gateway that counts effects by idempotency key."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.listening import listening

USER, PASSWORD = "notices", "a-password-of-length"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return cert_file, key_file


@dataclass
class Mailbox:
    """A mail server: `on_rcpt` and `on_data` answer (None: it is taken); `hangs`: from the first recipient on; `stays`: says nothing to a goodbye."""

    port: int = 0
    certificate: Path | None = None
    on_rcpt: Callable[[int], str | None] = lambda _nth: None
    on_data: Callable[[int], str | None] = lambda _nth: None
    hangs: bool = False
    stays: bool = False
    release: asyncio.Event = field(default_factory=asyncio.Event)
    recipients: int = 0
    data: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.recipients += 1
        if self.hangs:
            await self.release.wait()
        answer = self.on_rcpt(self.recipients)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.data += 1
        answer = self.on_data(self.data)
        if answer is None:
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.secured.append(session.ssl is not None)
        return answer or "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.stays:
            await self.release.wait()
        return "221 Bye"


def _authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
    right = given.login.decode() == USER and given.password.decode() == PASSWORD
    return AuthResult(success=right, handled=False)


@asynccontextmanager
async def mail_server(folder: Path, *, security: str = "starttls", login: bool = False) -> AsyncIterator[Mailbox]:
    """A server on a free port; `security` as the channel's own: `starttls`, `tls`, `none`."""
    mailbox = Mailbox()
    context = None
    if security != "none":
        mailbox.certificate, key = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(mailbox.certificate, key)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        starts = context if security == "starttls" else None
        return SMTP(
            mailbox,
            hostname="localhost",
            tls_context=starts,
            require_starttls=starts is not None,
            authenticator=_authenticated,
            auth_required=login,
            loop=loop,
        )

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        mailbox.release.set()
        server.close()
        await server.wait_closed()


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    raw: bytes


@dataclass
class Gateway:
    """A system behind channels that honours keys. `judge(seen, nth)`: a status, an answer of JSON, pieces of an answer's body, or None to hang."""

    base: str = ""
    judge: Callable[[Seen, int], int | dict[str, Any] | list[bytes] | None] = lambda _seen, _nth: 200
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200  # of answers of JSON
    seen: list[Seen] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        seen = Seen(request.path, dict(request.query), {name.lower(): value for name, value in request.headers.items()}, orjson.loads(raw), raw)
        self.seen.append(seen)
        answer = self.judge(seen, len(self.seen))
        if answer is None:
            await self.release.wait()
            return web.Response(status=503)
        if isinstance(answer, list):
            pieces = web.StreamResponse()
            await pieces.prepare(request)
            for piece in answer:
                await pieces.write(piece)
                await asyncio.sleep(0.02)  # so that each comes by itself
            return pieces
        if isinstance(answer, int):
            if answer == 200:
                self._happens(seen)
            return web.Response(status=answer, headers=self.headers)
        if str(next(iter(answer.values()))) in {"0", "OK"}:
            self._happens(seen)
        return web.json_response(answer, status=self.status)

    def _happens(self, seen: Seen) -> None:
        key = seen.headers.get("idempotency-key")
        if key is None or not self.effects[key]:
            self.effects[key or "without a key"] += 1


@asynccontextmanager
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway on a free port that takes every path."""
    found = Gateway()
    async with listening("/{path:.*}", found.receive) as found.base:
        try:
            yield found
        finally:
            found.release.set()
