"""People from the vault: for each attempt of a notice one look, in the vault's audit, and nothing of it is kept.

Whoever is asked for together is looked up together, in one transaction. What is opened lives as long as the attempt. Before anybody is asked to visit a
minor, or told that such a visit is settled, the same look asks for the guardian's consent.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import time as of_day
from typing import Any, Final, Protocol

import structlog

from services.notifier.channel_settings import AppriseChannel, EmailChannel, Named, SmsChannel
from services.notifier.directory import DirectoryAway, Found, NoRoute, Person, Sought
from services.notifier.faults import PASSING
from services.notifier.metrics import Metrics
from services.notifier.routes import Preferences
from services.notifier.stages import WHO
from services.vault.contact import WISHES
from services.vault.faults import BadKeys, Denied
from services.vault.policy import Ask, Occasion, Visit
from services.vault.settings import VaultSettings
from services.vault.vault import Opened, Vault, is_reference, refs_of

# A vault that hangs: the notices come again.
_LOOK_SECONDS: Final = 10.0
# The key file is not (or not yet) the database's: somebody's to mend, and no reason to give a match up.
_WAITS: Final = frozenset(("unknown_key",))
_AWAY: Final[tuple[type[BaseException], ...]] = (BadKeys, *PASSING)
# What must not be said about a visit that the vault does not know, because one of the two was erased, nor without a guardian's consent where it is to a minor.
_SETTLING: Final = frozenset(("confirmed", "asked"))
_SETTLED: Final = frozenset(("confirmed",))


class Knows(Protocol):
    """Who sees to it that the vault knows of our matches."""

    async def caught_up(self) -> None:
        """Until the vault has all that is committed."""

    async def know(self, match_ids: Sequence[str]) -> None:
        """Tell it of these."""

    async def read(self, match_ids: Sequence[str]) -> list[Visit]:
        """How far these are, for a look that tells the vault."""


def source_of(named: Named) -> str | None:
    """The vault's field that holds a person's address at a channel. A group's robot is given nobody's number."""
    if isinstance(named.config, AppriseChannel):
        return named.config.address
    if isinstance(named.config, SmsChannel):
        return "phone"
    return "email" if isinstance(named.config, EmailChannel) else None


def _matches(sought: Iterable[Sought]) -> list[str]:
    return sorted({one.match_id for one in sought if one.match_id is not None})


def _reason(error: BaseException) -> dict[str, str]:
    """In words, where the key file is at fault, which somebody has to mend: the vault's own name no value. What a database says may quote one."""
    fault = error.__cause__ if isinstance(error.__cause__, BadKeys) else error
    return {"reason": str(fault)} if isinstance(fault, BadKeys) else {}


class VaultDirectory:
    """The directory that reads the vault. `sources`: the field that holds the address, by channel; `usual`: the channel where nothing else is known."""

    def __init__(self, settings: VaultSettings, sources: Mapping[str, str], usual: str, metrics: Metrics | None = None) -> None:
        """Raises `BadKeys` where the key file cannot be used."""
        self._settings = settings
        self._keys = settings.key_file()
        self._keys.ring()
        self._sources = dict(sources)
        self._fields = (*WISHES, *sorted(set(sources.values())))
        self._unknown = Person(Preferences((usual,)))
        self._usual = usual
        self._metrics = metrics
        self._stages: Knows | None = None
        self._vault: Vault | None = None
        self._opening = asyncio.Lock()
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

    async def find(self, sought: Sequence[Sought]) -> list[Found]:
        """Their wishes and addresses; somebody whom the vault does not know gets what is usual.

        Raises:
            DirectoryAway: the vault does not answer, or the key file can't be used just now.
        """
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self._find(sought)
        except _AWAY as error:
            self._log.warning("vault_away", fault=type(error).__name__, notices=len(sought), **_reason(error))
            if self._metrics is not None:
                self._metrics.faults.labels("directory").inc()
            raise DirectoryAway from error
        finally:
            if self._metrics is not None:
                self._metrics.vault_seconds.observe(time.perf_counter() - begun)
                self._metrics.vault_looks.inc(len(sought))

    async def close(self) -> None:
        """Let go of connections."""
        if self._vault is not None:
            await self._vault.close()

    # --- together

    async def _find(self, sought: Sequence[Sought]) -> list[Found]:
        visits: Sequence[Visit] = ()
        if self._stages is not None:
            if any(one.kind not in _SETTLED for one in sought):
                await self._stages.caught_up()
            # What a look for these is judged by: no note is left of a match that is to be told to both sides, so the vault learns of it by the look itself.
            visits = await self._stages.read(_matches(one for one in sought if one.kind in _SETTLED))
        vault = await self.opened()
        answers = await self._look(vault, [self._ask(one) for one in sought], visits)
        strange = [place for place, one in enumerate(answers) if isinstance(one, Denied) and one.reason == "not_your_visit"]
        if strange and self._stages is not None:
            await self._stages.know(_matches(sought[place] for place in strange))
            again = [self._ask_once_more(sought[place]) for place in strange]
            for place, answer in zip(strange, await self._look(vault, again), strict=True):
                answers[place] = answer
        return [self._found(one) for one in answers]

    def _ask(self, one: Sought) -> Ask:
        return Ask(one.ref, self._fields, Occasion(one.match_id, one.wish_id), f"notice {one.kind}", for_visit=one.kind in _SETTLING)

    def _ask_once_more(self, one: Sought) -> Ask:
        """Where one of the two was erased, the vault has forgotten the visit; the other is told of its end all the same, on account of the wish."""
        if one.kind in _SETTLING:
            return self._ask(one)
        return self._ask(Sought(one.ref, one.kind, None, one.wish_id))

    @staticmethod
    async def _look(vault: Vault, asks: Sequence[Ask], visits: Sequence[Visit] = ()) -> list[Opened | Denied]:
        """A reference that is a number of a person is nobody's in the vault, and stands in no audit."""
        strange = {ref for ref in refs_of(asks) if not is_reference(ref)}
        sound = [ask for ask in asks if strange.isdisjoint((ask.person, *ask.what))] if strange else asks
        found = iter(await vault.read_many(sound, WHO, visits) if sound else ())
        if len(sound) == len(asks):
            return list(found)
        rest = {id(ask) for ask in sound}
        return [next(found) if id(ask) in rest else Denied("no_such_person") for ask in asks]

    def _found(self, found: Opened | Denied) -> Found:
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
