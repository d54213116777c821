"""People from the vault: for each attempt of a notice one look, in the vault's audit, and nothing of it is kept.

Notices that wait at the same moment are looked up together, in one transaction: those that come while it is under way make up the next. What is opened lives as
long as the attempt. Before anybody is told that a visit to a minor is settled, the same look asks for the guardian's consent.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import time as of_day
from typing import Any, Final, Protocol

import structlog

from services.notifier.channel_settings import AppriseChannel, EmailChannel, Named, SmsChannel
from services.notifier.directory import NOTHING, About, DirectoryAway, NoRoute, Person
from services.notifier.faults import PASSING
from services.notifier.metrics import Metrics
from services.notifier.notices import Party
from services.notifier.routes import Preferences
from services.notifier.stages import WHO
from services.vault.faults import BadContact, BadKeys, Denied
from services.vault.policy import Ask, Occasion
from services.vault.settings import VaultSettings
from services.vault.vault import Opened, Vault

_WISHES: Final = ("channels", "language", "quiet_hours", "notices_per_day")
_TOGETHER_MAX: Final = 200
# A vault that hangs: the notices come again.
_LOOK_SECONDS: Final = 10.0
# The key file is not (or not yet) the database's: somebody's to mend, and no reason to give a match up.
_WAITS: Final = frozenset(("unknown_key",))
_AWAY: Final[tuple[type[BaseException], ...]] = (BadKeys, *PASSING)
# What must not be said about a visit that the vault does not know, because one of the two was erased.
_SETTLING: Final = frozenset(("confirmed", "asked"))


class Knows(Protocol):
    """Who sees to it that the vault knows of our matches."""

    async def caught_up(self) -> None:
        """Until the vault has all that is committed."""

    async def know(self, match_ids: Sequence[str]) -> None:
        """Tell it of these."""


def source_of(named: Named) -> str | None:
    """The vault's field that holds a person's address at a channel. A group's robot is given nobody's number."""
    if isinstance(named.config, AppriseChannel):
        return named.config.address
    if isinstance(named.config, SmsChannel):
        return "phone"
    return "email" if isinstance(named.config, EmailChannel) else None


class VaultDirectory:
    """The directory that reads the vault. `sources`: the field that holds the address, by channel; `usual`: the channel where nothing else is known."""

    def __init__(self, settings: VaultSettings, sources: Mapping[str, str], usual: str, metrics: Metrics | None = None) -> None:
        """Raises `BadKeys` where the key file cannot be used."""
        self._settings = settings
        self._keys = settings.key_file()
        self._keys.ring()
        self._sources = dict(sources)
        self._fields = (*_WISHES, *sorted(set(sources.values())))
        self._unknown = Person(Preferences((usual,)))
        self._usual = usual
        self._metrics = metrics
        self._stages: Knows | None = None
        self._vault: Vault | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[tuple[Ask, About, asyncio.Future[Person]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._log: Any = structlog.get_logger().bind()

    def follow(self, stages: Knows, metrics: Metrics) -> None:
        """Have the vault know of a match before anybody is looked up for it."""
        self._stages, self._metrics = stages, metrics

    async def opened(self) -> Vault:
        """The vault; its connections are made when they are needed.

        Raises:
            OSError: the key file cannot be used just now.
        """
        async with self._opening:
            if self._vault is None:
                database = self._settings.vault_database
                assert database is not None  # whoever has a directory of this kind has a vault
                try:
                    self._vault = await Vault.connect(database.get_secret_value(), self._keys, self._settings.ladder)
                except BadKeys as fault:
                    raise OSError(str(fault)) from fault
            return self._vault

    async def find(self, ref: str, party: Party, about: About = NOTHING) -> Person:  # noqa: ARG002 - a reference says all
        """Their wishes and addresses; somebody whom the vault does not know gets what is usual.

        Raises:
            DirectoryAway: the vault does not answer, or the key file is not right just now.
            NoRoute: they must not be told, and why.
        """
        ask = Ask(ref, self._fields, Occasion(about.match_id, about.wish_id), f"notice {about.kind}", to_confirm=about.kind == "confirmed")
        answer: asyncio.Future[Person] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, about, answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all())
        return await answer

    async def close(self) -> None:
        """Let go of connections."""
        if self._reading is not None:
            await self._reading
        if self._vault is not None:
            await self._vault.close()

    # --- together

    async def _read_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_TOGETHER_MAX], self._waiting[_TOGETHER_MAX:]
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    found: Sequence[Person | Exception] = await self._read(batch)
            except _AWAY as error:
                self._log.warning("vault_away", fault=type(error).__name__, notices=len(batch))
                if self._metrics is not None:
                    self._metrics.faults.labels("directory").inc()
                found = [DirectoryAway() for _ in batch]
            except Exception as error:  # noqa: BLE001 - whoever waits is told; it is theirs to raise
                found = [error for _ in batch]
            for (_, _, answer), one in zip(batch, found, strict=True):
                if answer.done():
                    continue
                if isinstance(one, Exception):
                    answer.set_exception(one)
                else:
                    answer.set_result(one)
            if self._metrics is not None:
                self._metrics.vault_seconds.observe(time.perf_counter() - begun)
                self._metrics.vault_looks.inc(len(batch))

    async def _read(self, batch: Sequence[tuple[Ask, About, Any]]) -> list[Person | Exception]:
        if self._stages is not None:
            await self._stages.caught_up()
        vault = await self.opened()
        answers = await self._look(vault, [ask for ask, _, _ in batch])
        strange = [place for place, one in enumerate(answers) if isinstance(one, Denied) and one.reason == "not_your_visit"]
        if strange and self._stages is not None:
            await self._stages.know(sorted({match for place in strange if (match := batch[place][1].match_id)}))
            again = [self._once_more(*batch[place][:2]) for place in strange]
            for place, answer in zip(strange, await self._look(vault, again), strict=True):
                answers[place] = answer
        return [self._person(one) for one in answers]

    @staticmethod
    def _once_more(ask: Ask, about: About) -> Ask:
        """Where one of the two was erased, the vault has forgotten the visit; the other is told of its end all the same, on account of the wish."""
        if about.kind in _SETTLING:
            return ask
        return Ask(ask.person, ask.fields, Occasion(None, about.wish_id), ask.why)

    @staticmethod
    async def _look(vault: Vault, asks: Sequence[Ask]) -> list[Opened | Denied]:
        try:
            return await vault.read_many(asks, WHO)
        except BadContact:
            pass
        # A reference that is a number of a person stands among them; it is nobody's in the vault.
        answers: list[Opened | Denied] = []
        for ask in asks:
            try:
                answers += await vault.read_many([ask], WHO)
            except BadContact:
                answers.append(Denied("no_such_person"))
        return answers

    def _person(self, found: Opened | Denied) -> Person | Exception:
        if isinstance(found, Denied):
            if found.reason == "no_such_person":
                return self._unknown
            return DirectoryAway() if found.reason in _WAITS else NoRoute(found.reason)
        quiet = found["quiet_hours"]
        wants = Preferences(
            tuple(found["channels"] or (self._usual,)),
            found["language"],
            (of_day.fromisoformat(quiet["since"]), of_day.fromisoformat(quiet["until"])) if quiet else None,
            found["notices_per_day"],
        )
        return Person(wants, {channel: found[source] for channel, source in self._sources.items() if found[source]})
