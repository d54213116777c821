"""Between `delivery` and the channels: which one a notice goes through now, and what an attempt comes to.

Where one channel serves all and there is no directory, `only` is set, nothing is looked up, and a notice costs what it cost before there were routes. Else
each attempt asks the directory for the person, `routes` for the next step, and the channel; what came of it goes into the notice's `tried`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import structlog

from services.notifier import failpoints
from services.notifier.app_inbox import AppInbox
from services.notifier.apprised import Apprised
from services.notifier.book import INTERRUPTED, Delivered, Match, Notice, may_have_heard
from services.notifier.bots import Bot
from services.notifier.channel_settings import AppChannel, AppriseChannel, BotChannel, ConsoleChannel, EmailChannel, Named, SmsChannel
from services.notifier.channels import Answer, Channel, Console, Webhook, backoff_seconds, channel_of, system_of
from services.notifier.directory import Directory, DirectoryAway, Everyone, FileDirectory, Found, NoRoute, Person, Sought
from services.notifier.faults import PASSING
from services.notifier.linking import Linker, linker_of
from services.notifier.mail import Mail
from services.notifier.notices import LATE
from services.notifier.outages import Outages
from services.notifier.people import VaultDirectory, source_of
from services.notifier.routes import (
    DOWN,
    OVER_BUDGET,
    Errand,
    GiveUp,
    Rules,
    Settle,
    Step,
    Tried,
    Use,
    Wait,
    Way,
    attempted,
    errand_of,
    instant_of,
    local_day,
    may_be_late,
    next_step,
    noted,
    packed,
    passed_over,
    rests_until,
    taken_up,
    tried_of,
    unpacked,
    useful_until,
    waits_for_reader,
)
from services.notifier.said import again_in, said_in
from services.notifier.settings import CONSOLE, Settings
from services.notifier.sms import SmsGateway
from services.notifier.store import Store

# How often to look whether somebody has read what lies in the app.
_LOOK_SECONDS: Final = 10.0
# The directory, or the count of a day, does not answer: the notice is not to blame.
_AWAY_SECONDS: Final = 5.0
# A wait is looked at again after this, however long it is: clocks are set, and people change their minds.
_WAIT_SECONDS_MAX: Final = 3600.0
_AWAY: Final[tuple[type[BaseException], ...]] = (DirectoryAway, *PASSING)
# Who is told "not now", or finds nobody there, asks so many times as often, with the usual eight attempts for half an hour: a grey list wants five minutes,
# a robot that was asked too often ten, and what was held back for the morning comes to a gateway that takes so many a minute all at once.
_PATIENCE: Final = 2
# For a red wish somebody else is found sooner.
_IMPATIENT: Final = frozenset(("asked", "confirmed"))
# So many notices may wait for one channel's hands; beyond, they are put back, so that a channel that hangs does not fill this process.
QUEUE_PER_HAND: Final = 20
# And so long: who was looked up before that may have been erased since, or have gone to bed. Less than any lease.
QUEUE_SECONDS: Final = 20.0
# They come again after a second; after longer, where that channel's queue has been full for longer: each time is one more look.
BUSY_SECONDS: Final = 1.0
BUSY_SECONDS_MAX: Final = 30.0


@dataclass(slots=True)  # not frozen, as `Delivered`
class Passage:
    """One notice on its way to one channel; `notice` is as its person is to read it. `at`: when they were looked up, in seconds of the monotonic clock."""

    original: Notice
    notice: Notice
    use: Use
    address: str
    day: date | None
    at: float = field(default_factory=time.monotonic)


class Exchange:
    """All channels, and the way to each person."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        channels: Mapping[str, Channel],
        directory: Directory,
        attempts: Mapping[str, int],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`attempts`: how often each channel is tried; `now` is the wall's clock, whatever the service's own is."""
        self.channels = channels
        self._settings = settings
        self._store = store
        self._directory = directory
        self._attempts = attempts
        self._now = now
        self._timed = settings.clock == "wall"
        self._ways: dict[str, Way] = {name: channel.way for name, channel in channels.items()}
        self._rules = Rules(timedelta(hours=settings.urgent_hours), timedelta(minutes=settings.read_minutes))
        self.outages = Outages()
        self._spending: Counter[tuple[str, date]] = Counter()
        self._log: Any = structlog.get_logger().bind()
        self._linker: Linker | None = linker_of(settings, store)

    @property
    def only(self) -> Channel | None:
        """The one channel for everybody, where nobody is looked up."""
        return next(iter(self.channels.values())) if isinstance(self._directory, Everyone) and len(self.channels) == 1 else None

    @property
    def directory(self) -> Directory:
        """Where people are looked up."""
        return self._directory

    @property
    def timeout_seconds(self) -> float:
        """How long an attempt takes at most."""
        return max(channel.timeout_seconds for channel in self.channels.values())

    async def close(self) -> None:
        """Let go of all connections."""
        for channel in self.channels.values():
            await channel.close()
        await self._directory.close()

    # --- one channel for everybody

    async def attempt_only(self, channel: Channel, notice: Notice, at: Callable[[str], str]) -> Delivered:
        """One attempt through the one channel; `at` tells an area's clock."""
        worded = notice
        if self._timed and may_be_late(notice.kind):
            now = self._now()
            if _is_in_vain(notice, now):
                return Delivered(notice, "dead", "", channel.name, "too_late")
            worded = _told_late(notice, now)
        carried = worded if self._linker is None else await self._carried(channel, worded)
        if carried is None:
            return Delivered(notice, "retryable", "", channel.name, "links_away", _AWAY_SECONDS)
        answer = await self._answer(channel, carried)
        notice.attempts += 1
        if answer.verdict in {"sent", "placed"}:
            return Delivered(notice, "sent", at(notice.area), channel.name, reference=answer.reference)
        final = answer.verdict == "never" or notice.attempts >= self._most(notice, channel.name, answer, has_next=False)
        _note_failure(notice, channel, answer, final=final)
        if final:
            return Delivered(notice, "dead", "", channel.name, answer.fault)
        return Delivered(notice, "retryable", "", channel.name, answer.fault, self._pause(notice, channel.name, notice.attempts, answer))

    async def _answer(self, channel: Channel, notice: Notice, address: str = "", suffix: str = "") -> Answer:
        """One attempt. A channel promises not to raise; one that does all the same takes neither the notice nor the others' hands with it."""
        try:
            await failpoints.before("send")
            answer = await channel.send(notice, address, suffix)
            await failpoints.after("send")
        except Exception as error:  # noqa: BLE001 - whatever a plugin thinks of
            self._log.error("channel_failed", channel=channel.name, fault=type(error).__name__)
            return Answer("later", "channel_failed")
        return answer

    async def _carried(self, channel: Channel, notice: Notice) -> Notice | None:
        """The notice with its link, where it has one and this channel may carry it; None where links can't be made just now."""
        if self._linker is None or not channel.way.private:
            return notice
        try:
            return await self._linker.linked(notice)
        except _AWAY:
            return None

    def _most(self, notice: Notice, name: str, answer: Answer, *, has_next: bool) -> int:
        """How many attempts there are before this answer is the last."""
        # What may have been heard is said so often again only to whom the key tells that it is the same.
        asked = answer.not_now or (answer.away and self._ways[name].honours_key)
        waits = asked and not has_next and not (notice.urgency == "red" and notice.kind in _IMPATIENT)
        return self._attempts[name] * (_PATIENCE if waits else 1)

    def _pause(self, notice: Notice, name: str, attempt: int, answer: Answer) -> float:
        first, most = self._settings.webhook_backoff_seconds, self._settings.webhook_backoff_max_seconds
        key = notice.key.bytes if self.only is not None else notice.key.bytes + name.encode()
        return max(backoff_seconds(key, attempt, first, most), answer.after_seconds)

    # --- routes

    async def route(self, notices: Sequence[Notice], at: Callable[[str], str]) -> list[Passage | Delivered]:
        """Which channel each notice goes to now, or what becomes of it without an attempt."""
        now = self._now() if self._timed else None
        late = {one.key for one in notices if now is not None and _is_in_vain(one, now)}
        rest = [one for one in notices if one.key not in late]  # a directory that is away does not keep what is in vain
        found = [Delivered(one, "dead", "", one.channel or "", "too_late") for one in notices if one.key in late]
        try:
            people = await self._directory.find([Sought(one.ref, one.kind, one.match_id, one.wish_id) for one in rest]) if rest else []
            told = await self._told(rest, people, now)
        except _AWAY:
            return [*found, *(_away(one) for one in rest)]
        return [*found, *(self._routed(one, person, told.get(one.ref, 0), now, at) for one, person in zip(rest, people, strict=True))]

    async def _told(self, notices: Sequence[Notice], people: Sequence[Found], now: datetime | None) -> dict[str, int]:
        """What people got today already, of those to whom a number a day counts."""
        counted = {one.ref for one, person in zip(notices, people, strict=True) if isinstance(person, Person) and person.wants.budget is not None}
        return await self._store.read_told(counted, local_day(now).date()) if counted and now is not None else {}

    def _routed(self, notice: Notice, person: Found, told: int, now: datetime | None, at: Callable[[str], str]) -> Passage | Delivered:
        if isinstance(person, DirectoryAway):
            return _away(notice)
        if isinstance(person, NoRoute):
            return Delivered(notice, "dead", "", notice.channel or "", person.reason)
        day = None if now is None or person.wants.budget is None else local_day(now).date()
        if day is not None:
            told += self._spending[notice.ref, day]
        tried = unpacked(notice.tried)
        if now is not None:
            tried, wait = waits_for_reader(tried, self._ways, now, self._rules)
            if wait is not None:
                return Delivered(notice, "retryable", "", notice.channel or "", wait.why, min((wait.until - now).total_seconds(), _WAIT_SECONDS_MAX))
        step, tried = self._step(notice, tried, person, told, now)
        notice.tried = packed(tried)
        if isinstance(step, Wait):
            assert now is not None  # without a clock nothing waits
            seconds = min(max((step.until - now).total_seconds(), 0.0), _WAIT_SECONDS_MAX)
            return Delivered(notice, "retryable", "", notice.channel or "", step.why, seconds)
        if isinstance(step, Settle):
            return Delivered(notice, "sent", at(notice.area), step.channel)
        if isinstance(step, GiveUp):
            return Delivered(notice, "dead", "", notice.channel or "", step.reason)
        if step.counts and day is not None:
            self._spending[notice.ref, day] += 1
        worded = notice if now is None else _told_late(notice, now)
        return Passage(notice, _as_read(worded, person), step, person.addresses.get(step.channel, ""), day if step.counts else None)

    def _step(self, notice: Notice, tried: tuple[Tried, ...], person: Person, told: int, now: datetime | None) -> tuple[Step, tuple[Tried, ...]]:
        """The next step, and what was tried as it stands then.

        By the wall's clock a channel that is out of order is passed over by whoever has another, and taken up where no other has helped.
        """
        errand = _errand(notice)

        def of(tried: Sequence[Tried]) -> Step:
            return next_step(person.wants, person.addresses, self._ways, errand, tried, told, now, self._rules)

        step = of(tried)
        while now is not None and isinstance(step, Use) and step.has_next and self._is_to_be_passed_over(notice, tried_of(tried, step.channel)):
            tried = passed_over(tried, step.channel)
            step = of(tried)
        if not isinstance(step, GiveUp | Settle):
            return step, tried
        if (again := taken_up(tried, now)) != tried:
            return of(again), again
        rests = rests_until(tried)
        if rests is not None and isinstance(of(taken_up(tried)), Use):
            return Wait(rests, notice.fault or DOWN), tried
        return step, tried

    def _is_to_be_passed_over(self, notice: Notice, before: Tried) -> bool:
        """Whether its channel is out of order, and surely has not told this notice: else it would be told in two places, as others know nothing of it."""
        unclear = before.unclear or notice.fault == INTERRUPTED
        return before.state == "open" and not unclear and not self.outages.passes(before.channel)

    def _is_away_for_long(self, answer: Answer) -> bool:
        """Whether it says itself that it is, for longer than we would wait between two attempts."""
        return self._timed and answer.after_seconds > self._settings.webhook_backoff_max_seconds

    def is_overtaken(self, passage: Passage) -> bool:
        """Whether its channel was found out of order while it waited there, and others are left: it is to be looked at again."""
        found_out = self.outages.found_out(passage.use.channel)
        return passage.use.has_next and found_out is not None and passage.at < found_out

    async def attempt(self, passage: Passage, at: Callable[[str], str]) -> Delivered:
        """One attempt through the channel that was chosen, and what it comes to."""
        name, notice = passage.use.channel, passage.original
        channel = self.channels[name]
        carried = await self._carried(channel, passage.notice)
        if carried is None:
            return Delivered(notice, "retryable", "", name, "links_away", _AWAY_SECONDS, passage.day)
        answer = await self._answer(channel, carried, passage.address, passage.use.suffix)
        self.outages.note(name, answered=answer.verdict != "later")
        tried = unpacked(notice.tried)
        before = tried_of(tried, name)
        if answer.verdict == "placed" and passage.use.has_next:
            return self._placed(passage, tried, before, answer)
        notice.attempts += 1
        if answer.verdict == "sent" and channel.way.calls_back and passage.use.has_next and self._timed:
            after = replace(before, attempts=before.attempts + 1, state="placed", since=self._now().timestamp())
            notice.tried = packed(noted(tried, after))
            pause = min(self._rules.read_limit.total_seconds(), _WAIT_SECONDS_MAX)
            return Delivered(notice, "retryable", "", name, "unread", pause, passage.day, answer.reference)
        if answer.verdict in {"sent", "placed"}:
            return Delivered(notice, "sent", at(notice.area), name, day=passage.day, reference=answer.reference)
        final = answer.verdict == "never" or before.attempts + 1 >= self._most(notice, name, answer, has_next=passage.use.has_next)
        _note_failure(notice, channel, answer, final=final)
        pause = 0.0 if final else self._pause(notice, name, before.attempts + 1, answer)
        if not final and self._is_away_for_long(answer):
            tried = unpacked(notice.tried)
            if (passage.use.has_next or rests_until(tried) is not None) and not tried_of(tried, name).unclear:
                until = self._now() + timedelta(seconds=min(answer.after_seconds, _WAIT_SECONDS_MAX))
                notice.tried, pause = packed(passed_over(tried, name, until)), 0.0
        # After the last channel `route` is asked once more, and says that nothing is left.
        return Delivered(notice, "retryable", "", name, answer.fault, pause, passage.day)

    def _placed(self, passage: Passage, tried: Sequence[Tried], before: Tried, answer: Answer) -> Delivered:
        """It lies there unread, and others could follow: look again, or leave it to them."""
        notice, left = passage.original, self._rules.read_limit.total_seconds() - answer.placed_seconds
        after = replace(before, attempts=max(before.attempts, 1), state="placed" if left > 0 else "unread")
        notice.tried = packed(noted(tried, after))
        return Delivered(notice, "retryable", "", passage.use.channel, "unread", min(max(left, 0.0), _LOOK_SECONDS), passage.day)

    def in_time(self, result: Delivered) -> Delivered:
        """What comes again comes no later than when there is still time to say that it is in vain."""
        notice = result.notice
        if result.fate == "retryable" and self._timed and (until := _said_until(notice)) is not None and not _said_all_the_same(notice):
            result.retry_seconds = min(result.retry_seconds, max((until - self._now()).total_seconds(), 0.0))
        return result

    def is_over(self, match: Match) -> bool:
        """Whether its slot is, by the wall's clock; where time does not count nothing is."""
        return self._timed and instant_of(match.slot[1]) <= self._now()

    def recorded(self, results: Iterable[Delivered]) -> None:
        """These are committed: what counts against a number a day is in the table now."""
        for result in results:
            if result.day is not None:
                place = (result.notice.ref, result.day)
                self._spending[place] -= 1
                if self._spending[place] <= 0:
                    del self._spending[place]


def _note_failure(notice: Notice, channel: Channel, answer: Answer, *, final: bool) -> None:
    """What became of an attempt that failed, into the notice's `tried`. One whose sender died before it was noted may have had its effect, too."""
    tried = unpacked(notice.tried)
    before = tried_of(tried, channel.name)
    if notice.fault == INTERRUPTED:
        before = replace(before, unclear=True)
    tells_all = channel.way.honours_key and answer.verdict == "never"
    after = attempted(before, state="failed" if final else "open", fault=answer.fault, unclear=answer.unclear, tells_all=tells_all)
    notice.tried = packed(noted(tried, after))


def _away(notice: Notice) -> Delivered:
    return Delivered(notice, "retryable", "", notice.channel or "", "directory_away", _AWAY_SECONDS)


def _as_read(notice: Notice, person: Person) -> Notice:
    """The notice in its person's language, where what it says can be said again word by word; else as it is."""
    wanted = person.wants.language
    if wanted is None or wanted == notice.language:
        return notice
    text = again_in(notice, wanted)
    return notice if text is None else replace(notice, language=wanted, text=text)


def _told_late(notice: Notice, now: datetime) -> Notice:
    """A confirmation that reaches a resident only when the visit is over, as it is to be read then. What they may have heard comes as it was, or not twice."""
    if not notice.helper_told or notice.slot is None or now < instant_of(notice.slot[1]) or may_have_heard(notice):
        return notice
    late = replace(notice, reason=LATE)
    text = said_in(late, notice.language)
    return notice if text is None else replace(late, text=text)


def _errand(notice: Notice) -> Errand:
    ends, waits = not _said_all_the_same(notice), notice.fault == OVER_BUDGET
    return errand_of(notice.kind, notice.urgency, notice.slot, notice.answer_by, ends=ends, waits=waits)


def _said_all_the_same(notice: Notice) -> bool:
    """A visit to which a helper may have set out may have been made; and whoever may have heard is not told the contrary for the clock's sake."""
    return notice.kind == "confirmed" and (notice.helper_told or may_have_heard(notice))


def _said_until(notice: Notice) -> datetime | None:
    return _until(notice.kind, notice.slot, notice.answer_by)


@lru_cache(maxsize=8192)
def _until(kind: str, slot: tuple[str, str] | None, answer_by: str | None) -> datetime | None:
    """As `useful_until`: slots end on few times of a day."""
    return useful_until(errand_of(kind, None, slot, answer_by, ends=True))


def _is_in_vain(notice: Notice, now: datetime) -> bool:
    """As `too_late`, where most notices are far from it."""
    until = _said_until(notice)
    return until is not None and until <= now and not _said_all_the_same(notice)


def exchange_of(settings: Settings, store: Store, now: Callable[[], datetime] | None = None) -> Exchange:
    """The channels and the directory that the settings name; call inside the loop.

    Raises:
        Unusable, BadDirectory, BadKeys: what they name can't be used; the message is in both languages.
    """
    named = settings.named_channels
    usual = settings.channel.get_secret_value()
    usual = usual if usual in named or usual == CONSOLE else "webhook"
    looks_up = settings.directory is not None or settings.vault_database is not None
    wanted = list(named) if looks_up else [usual]
    if looks_up and usual not in named:
        wanted.append(usual)
    directory: Directory = Everyone(usual)
    if settings.directory is not None:
        directory = FileDirectory.read(settings.directory, tuple(wanted), usual)
    elif settings.vault_database is not None:
        directory = VaultDirectory(settings, {name: source for name, one in named.items() if (source := source_of(one)) is not None}, usual)
    channels = {name: _made(named[name], store) if name in named else channel_of(settings) for name in wanted}
    attempts = {name: (named[name].config.attempts_max if name in named else None) or settings.webhook_attempts_max for name in wanted}
    if now is None:
        return Exchange(settings, store, channels, directory, attempts)
    return Exchange(settings, store, channels, directory, attempts, now)


def _made(named: Named, store: Store) -> Channel:
    config = named.config
    if isinstance(config, ConsoleChannel):
        return Console(named.name)
    if isinstance(config, AppChannel):
        return AppInbox(named, config, store)
    if isinstance(config, SmsChannel):
        return SmsGateway(named, config)
    if isinstance(config, AppriseChannel):
        return Apprised(named, config)
    if isinstance(config, BotChannel):
        return Bot(named, config)
    if isinstance(config, EmailChannel):
        return Mail(named, config)
    way = Way(config.system or system_of(named.url), honours_key=config.honours_key, calls_back=config.receipts, private=True)
    secret = (named.secret("secret") or "").encode()
    return Webhook(named.url, secret, config.timeout_seconds, config.concurrency, named.name, way)
