"""The whole system with people in its vault: Kafka, PostgreSQL, matcher, notifier, and receivers of messages; then every byte that it left is searched.

Residents wish, helpers come, messages are delivered (the first attempt is refused), visits begin and end, somebody is erased. One guardian has consented
to visits to a child, another has not. What integrations send lies gzipped on Kafka, as theirs may.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import orjson
from aiokafka import AIOKafkaProducer

from deploy import topics
from deploy.postgres import Postgres
from deploy.stack import Stack
from deploy.tools.kafka import STRUCTURED_HEADERS
from deploy.vault_keys import KEY_FILE
from schemas.registry import TOPIC_OF
from schemas.topics import TOPICS
from services.vault.consents import Consent, Purpose
from services.vault.contact import parse_contact
from services.vault.keyfile import KeyFile
from services.vault.policy import Reader
from services.vault.vault import Vault
from tests.canary import segments
from tests.canary.dumps import dump, talkative
from tests.canary.people import canaries, invent
from tests.canary.scan import Hit, Scanner
from tests.integration.channel_rig import Gateway, Mailbox, gateway, mail_server
from tests.topic_settings import changed

AREA: Final = "high-tech"
OPERATOR: Final = Reader("operator", "op-canary")
RESIDENTS: Final = ("erased", "kept", "child", "unconsented")
# One for each visit, so that all of them are for now: none is over before it begins.
HELPERS: Final = tuple(f"helper-{number}" for number in range(1, 7))
_MINORS: Final = ("child", "unconsented")
_WAIT_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.1
_SECRET: Final = "a-secret-of-fair-length"


Ask = Callable[..., Awaitable[Sequence[Any]]]


@dataclass(slots=True)
class TownVerdict:
    """What was found, and whether enough happened for that to mean something. `unread`: files with batches that nobody here can unpack."""

    hits: list[Hit] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    records: int = 0
    messages: int = 0
    mails: int = 0
    looks: int = 0
    codecs: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    key_is_gone: bool = False

    @property
    def is_clean(self) -> bool:
        """Nothing in plain anywhere, all of it read, people told through the vault, the child without a consent not visited, and the erased one's key gone."""
        happened = self.messages and self.mails and self.looks and "gzip" in self.codecs
        refused = {"w-unconsented": "no_consent", "w-erased-again": "erased"}.items() <= self.failed.items()
        return not self.hits and not self.unread and bool(happened) and refused and self.key_is_gone


class Town:
    """One run in a folder: `stack` (Kafka, PostgreSQL, key file, logs), `dumps`, `shown` (what ports answer)."""

    def __init__(self, folder: Path, seed: int, *, short: bool = False) -> None:
        """Args: `short` searches once, at the end; Kafka and WAL still hold then what was there before."""
        self.folder = folder
        self.short = short
        chance = random.Random(seed)
        self.people: dict[str, dict[str, Any]] = {name: invent(chance) for name in (*RESIDENTS, *HELPERS)}
        self.scanner = Scanner(canaries(self.people))
        self.dumps = folder / "dumps"
        self.shown = folder / "shown"
        self.verdict = TownVerdict()
        self._now = datetime.now(UTC)
        self._sent = 0

    async def run(self, planted: Callable[[Stack], Awaitable[None]] | None = None) -> TownVerdict:
        """All of it. `planted` is called before the last search, to leave something that must be found.

        Raises:
            Trouble: a server or a service does not start.
            TimeoutError: what was to happen did not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dumps.mkdir()
        self.shown.mkdir()
        async with gateway() as phones, mail_server(self.folder, security="none") as mailbox:
            phones.judge = lambda _seen, nth: 500 if nth == 1 else 200
            stack = Stack(self.folder / "stack", vault=True, env=self._channels(phones, mailbox))
            async with stack:
                assert isinstance(stack.postgres, Postgres)
                await talkative(stack.postgres, "lastmetre_vault", "lastmetre_notifier", "lastmetre_matcher")
                keys = KeyFile(stack.state.folder / KEY_FILE)
                vault = await Vault.connect(stack.vault_dsn, keys)
                try:
                    await self._live(stack, vault, keys, phones, mailbox, planted)
                finally:
                    await vault.close()
        return self.verdict

    @staticmethod
    def _channels(phones: Gateway, mailbox: Mailbox) -> dict[str, str]:
        channels = {
            "sms": {"type": "sms", "url": f"{phones.base}/sms", "secret_env": "CANARY_SECRET"},
            "post": {"type": "email", "host": "127.0.0.1", "port": mailbox.port, "security": "none", "sender": "notices@example.org"},
        }
        return {
            "LASTMETRE_CHANNELS": json.dumps(channels),
            "CANARY_SECRET": _SECRET,
            "LASTMETRE_LOG_LEVEL": "debug",
            "LASTMETRE_WEBHOOK_BACKOFF_SECONDS": "0.1",
        }

    # --- the life of it

    async def _live(
        self, stack: Stack, vault: Vault, keys: KeyFile, phones: Gateway, mailbox: Mailbox, planted: Callable[[Stack], Awaitable[None]] | None
    ) -> None:
        await self._register(vault)
        async with _sending(stack) as send, _asking(stack) as ask:
            for number, helper in enumerate(HELPERS):
                await self._send(send, "offer.posted", helper, self._offer(helper, number))
            for resident in RESIDENTS:
                await self._send(send, "wish.submitted", f"w-{resident}", self._wish(f"w-{resident}", resident))
            visits = {f"w-{resident}": 2 if resident in _MINORS else 1 for resident in RESIDENTS if resident != "unconsented"}
            await self._until(lambda: _all_confirmed(ask, visits))
            await self._until(lambda: self._failed(ask, "w-unconsented"))
            for wish_id, offer_id in await ask("SELECT wish_id, offer_id FROM notifying.confirmations WHERE state = 'confirmed'"):
                for step, more in (("started", {}), ("finished", {"minutes": 50}), ("acknowledged", {"by": "resident", "outcome": "done"})):
                    await self._send(send, f"service.{step}", wish_id, {"wish_id": wish_id, "offer_id": offer_id, **more})
            await self._until(lambda: _closed(ask, sum(visits.values())))
            if not self.short:
                await self.search(stack, "before")
            await vault.erase("erased", OPERATOR, "asked for it")
            await self._send(send, "wish.submitted", "w-erased-again", self._wish("w-erased-again", "erased"))
            await self._until(lambda: self._failed(ask, "w-erased-again"))
            self.verdict.looks = sum(entry.role == "service" for entry in await vault.audit(None, 10_000))
            self.verdict.key_is_gone = await self._key_is_gone(ask, keys)
        self.verdict.messages, self.verdict.mails = sum(phones.effects.values()), len(mailbox.mails)
        if planted is not None:
            await planted(stack)
        await self.search(stack, "after")

    async def _register(self, vault: Vault) -> None:
        given = self._now - timedelta(days=1)
        proof = hashlib.sha256(b"paper").digest()
        purposes: dict[str, tuple[Purpose, ...]] = {"child": ("keep", "notify", "visit"), "unconsented": ("keep", "notify")}
        for minor, allowed in purposes.items():
            for purpose in allowed:
                await vault.give_consent(Consent(minor, "guardian", purpose, given, given + timedelta(days=90), proof, given), OPERATOR, "signed")
        for number, (name, values) in enumerate(self.people.items()):
            contact = parse_contact({**values, "channels": ["sms", "post"] if number % 2 else ["post", "sms"]})
            await vault.put(name, AREA, contact, OPERATOR, "registered", minor=name in _MINORS)

    def _offer(self, helper: str, number: int) -> dict[str, Any]:
        return {
            "offer_id": f"o-{helper}",
            "volunteer_ref": helper,
            "home": {"community": "c1", "compound": "p1", "building": f"b{number}"},
            "reach": "area",
            "skills": ["haircut"],
            "vetting": {"level": 4, "checked_at": _text(self._now - timedelta(days=30))},
            "windows": [{"start": _text(self._now - timedelta(hours=1)), "end": _text(self._now + timedelta(days=2))}],
            "capacity": 10,
            "accepts": "auto",
        }

    def _wish(self, wish_id: str, resident: str) -> dict[str, Any]:
        return {
            "wish_id": wish_id,
            "place": {"community": "c1", "compound": "p1"},
            "category": "household",
            "skills": ["haircut"],
            "urgency": "red",
            "window": {"start": _text(self._now), "end": _text(self._now + timedelta(hours=20))},
            "minutes": 60,
            "helpers_needed": 1,
            "beneficiary": {"age_band": "under_14" if resident in _MINORS else "adult"},
            "title": "理发",
            "resident_ref": resident,
        }

    async def _send(self, send: Callable[[str, bytes], Awaitable[Any]], kind: str, subject: str, data: Mapping[str, Any]) -> None:
        self._sent += 1
        document = {
            "specversion": "1.0",
            "id": f"canary-{self._sent}",
            "source": "canary",
            "type": f"lastmetre.{kind}.v1",
            "time": _text(datetime.now(UTC)),
            "subject": subject,
            "partitionkey": AREA,
            "data": {"area": AREA, **data},
        }
        await send(TOPIC_OF[f"lastmetre.{kind}.v1"], orjson.dumps(document))

    # --- what is waited for

    @staticmethod
    async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not await holds():
            if time.monotonic() > deadline:
                raise TimeoutError("what was to happen in the town did not")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _failed(self, ask: Ask, wish_id: str) -> bool:
        """Whether a match of this wish could not be confirmed; the reason is noted."""
        found = await ask(
            "SELECT n.fault FROM notifying.confirmations c JOIN notifying.notices n USING (match_id) WHERE c.wish_id = $1 AND n.state = 'dead'", wish_id
        )
        for (fault,) in found:
            self.verdict.failed[wish_id] = fault
        return bool(found)

    async def _key_is_gone(self, ask: Ask, keys: KeyFile) -> bool:
        leaves = await ask("SELECT key_id, leaf FROM vault.tombstones WHERE person_ref = 'erased'")
        return bool(leaves) and all(keys.ring().is_forgotten(key_id, leaf) for key_id, leaf in leaves)

    # --- what is left

    async def search(self, stack: Stack, name: str) -> None:
        """Dump, ask the ports, and search all of it; what was found before stays in the verdict."""
        assert isinstance(stack.postgres, Postgres)
        await dump(stack.postgres, self.dumps, name)
        async with aiohttp.ClientSession() as session:
            for service in stack.services:
                for path in ("metrics", "readyz", "livez"):
                    async with session.get(f"http://127.0.0.1:{service.ops_port}/{path}") as answer:
                        (self.shown / f"{name}-{service.name}-{path}").write_bytes(await answer.read())
        hits, files, size = await asyncio.to_thread(self.scanner.tree, [self.folder])
        broker = stack.state.folder / "kafka"
        in_records, records, unread = await asyncio.to_thread(segments.search, self.scanner, broker)
        self.verdict.hits = sorted({*self.verdict.hits, *hits, *in_records})
        self.verdict.unread |= unread
        self.verdict.files += files
        self.verdict.bytes += size
        self.verdict.records = records
        self.verdict.codecs = {codec for path in segments.segments(broker) for codec, _ in segments.batches(path.read_bytes())}


async def _all_confirmed(ask: Ask, visits: Mapping[str, int]) -> bool:
    found = await ask("SELECT wish_id, count(*) FROM notifying.confirmations WHERE state = 'confirmed' GROUP BY wish_id")
    return all(dict(found).get(wish_id) == count for wish_id, count in visits.items())


async def _closed(ask: Ask, visits: int) -> bool:
    found = await ask("SELECT count(*) FROM vault.visits WHERE stage = 'closed'")
    return int(found[0][0]) == visits


@asynccontextmanager
async def _asking(stack: Stack) -> AsyncIterator[Ask]:
    connection = await asyncpg.connect(stack.postgres.owner_dsn(stack.database))
    try:
        yield connection.fetch
    finally:
        await connection.close()


@asynccontextmanager
async def _sending(stack: Stack) -> AsyncIterator[Callable[[str, bytes], Awaitable[Any]]]:
    # As a Kafka may have it that others keep: records lie there as they were sent, and are searched through all the same.
    await topics.ensure(stack.kafka.bootstrap, [changed(topic, compression_type="producer") for topic in TOPICS])
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap, compression_type="gzip", acks="all")
    await producer.start()

    async def send(topic: str, value: bytes) -> None:
        await producer.send_and_wait(topic, value, key=AREA.encode(), headers=STRUCTURED_HEADERS)

    try:
        yield send
    finally:
        await producer.stop()


async def plant(stack: Stack, text: str, compression: str | None, *, as_header: bool = False) -> str:
    """Leave a text on Kafka, in a batch of that compression; the topic."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka.bootstrap, compression_type=compression, acks="all")
    await producer.start()
    try:
        noise = uuid.uuid4().bytes
        value, headers = (noise, [("planted", text.encode())]) if as_header else (noise + text.encode(), [])
        await producer.send_and_wait("wishes-dlq", value, headers=headers)
    finally:
        await producer.stop()
    return "wishes-dlq"


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
