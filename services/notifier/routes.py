"""Which way to a person comes next: pure, no I/O and no clock.

`exchange` comes in before each attempt with what it knows: the person's own wishes, the errand (what the notice is about), what was tried already, how many
notices they got today, and the time. The answer is a channel, a moment to wait for, or that nothing is left to try.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import orjson

from services.notifier.notices import Language

# China has had one time zone and no summer time since 1992: no time-zone data is needed.
LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
# What a person must hear even when they have heard enough for a day: somebody comes, or does not come.
_MUST_KINDS: Final = frozenset(("confirmed", "released"))
_REMINDERS: Final = frozenset(("reminder",))
# Somebody may be alone who should not be: they come at night, too.
_ALARMS: Final = frozenset(("not_started", "not_finished"))
# What is no longer true tomorrow: not sent late, but left out.
_FLEETING_KINDS: Final = frozenset(("asked", "invited"))
_QUESTIONS: Final = frozenset(("asked",))
_CONFIRMATIONS: Final = frozenset(("confirmed",))
# Who hears a question only now can hardly answer it in time.
_TO_ANSWER: Final = timedelta(minutes=1)
# Who hears only now that they are expected can hardly help any more; and the matcher, which lets go of no match whose slot is over, has to hear of it before.
_TO_HELP: Final = timedelta(minutes=5)
# Only a `red` wish invites, and an invitation's own event says no more about the wish.
_INVITATIONS: Final = frozenset(("invited",))
_MAY_BE_LATE: Final = _REMINDERS | _INVITATIONS | _QUESTIONS | _CONFIRMATIONS

State = Literal["open", "placed", "unread", "failed"]
# Why a channel counts as failed that was passed over, as it is out of order: it has its turn again where nothing else is left.
DOWN: Final = "channel_down"
# Why a notice waits for tomorrow.
OVER_BUDGET: Final = "over_budget"


class Preferences(NamedTuple):
    """What one person wants. `quiet`: from and to in local time, may go past midnight; `budget`: notices a day; None: no such wish."""

    channels: tuple[str, ...]
    language: Language | None = None
    quiet: tuple[time, time] | None = None
    budget: int | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """What routes need to know of a channel.

    `system`: who answers behind it; channels of one system know each other's idempotency keys. `honours_key`: an effect that is asked for twice under one key
    happens once. `silent`: it rings nowhere, so it may come at night. `receipts`: it can tell whether somebody has read, `calls_back`: of
    its own accord, later. `private`: what it carries reaches one person and is kept nowhere that others read, so it may carry their link; a group
    or a log may not.
    """

    system: str
    honours_key: bool
    needs_address: bool = False
    silent: bool = False
    receipts: bool = False
    calls_back: bool = False
    private: bool = False


class Errand(NamedTuple):
    """What a notice is about: `begins` is when the visit is to begin, None where no visit is meant; `answer_by` until when a word is awaited, if one is.

    `ends`: when the visit is to end, where it is in vain to say afterwards that it is settled; None where it is said all the same. `waits`: it was held back
    before, as enough had come that day.
    """

    kind: str
    urgency: str | None = None
    begins: datetime | None = None
    answer_by: datetime | None = None
    ends: datetime | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one channel so far.

    `failed`: for good. `placed`: it lies there, unread. `unread`: nobody has read it in time. `unclear`: an attempt may have had its effect all the same.
    `since`: in seconds since 1970, when it was placed, where a channel calls back; of one that is passed over, from when on it may be asked again.
    """

    channel: str
    attempts: int = 0
    state: State = "open"
    fault: str | None = None
    unclear: bool = False
    since: float = 0.0


_untried: Final = lru_cache(Tried)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say.

    `urgent`: a confirmation of a visit that begins so soon after a night's beginning passes it. `read_limit`: how long it may lie unread.
    """

    urgent: timedelta = timedelta(hours=12)
    read_limit: timedelta = timedelta(minutes=30)


class Use(NamedTuple):
    """Try this channel now, under the notice's key with `suffix` behind it; `has_next`: others are left; `counts`: against a number of notices a day."""

    channel: str
    suffix: str = ""
    has_next: bool = False
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Not before `until`; `why` is a code."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Every other channel failed, but in this one the notice lies: that counts."""

    channel: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing is left to try; `reason` is a code."""

    reason: str


Step = Use | Wait | Settle | GiveUp


def next_step(
    wants: Preferences,
    addresses: Collection[str],
    ways: Mapping[str, Way],
    errand: Errand,
    tried: Sequence[Tried],
    told_today: int,
    now: datetime | None,
    rules: Rules,
) -> Step:
    """Decide. `addresses`: the channels for which this person has given one; `now` is None where time does not count (`play`)."""
    if too_late(errand, now):
        return GiveUp("too_late")
    known = {one.channel: one for one in tried}
    usable = [name for name in wants.channels if name in ways and (not ways[name].needs_address or name in addresses)]
    left = [name for name in usable if name not in known or known[name].state in {"open", "placed"}]
    if not left:
        lying = next((one.channel for one in tried if one.state == "unread"), None)
        if lying is not None:
            return Settle(lying)
        return GiveUp(next((one.fault for one in reversed(tried) if one.fault), "undeliverable") if usable else "no_channel")
    name = left[0]
    suffix = suffix_of(ways, name, tried)
    if name in known and known[name].state == "placed":
        return Use(name, suffix, has_next=len(left) > 1)
    if now is not None:
        held = _held(wants, ways[name], errand, told_today, now, rules)
        begun = any(one.attempts for one in tried)
        if held is not None and not (begun and isinstance(held, GiveUp)):
            return held
    return Use(name, suffix, has_next=len(left) > 1, counts=wants.budget is not None and now is not None)


def _held(wants: Preferences, way: Way, errand: Errand, told_today: int, now: datetime, rules: Rules) -> Wait | GiveUp | None:
    """Why it may not go now: what one person had enough of, or their night."""
    local = now.astimezone(LOCAL)
    if wants.budget is not None and told_today >= wants.budget and not must_be_told(errand, local):
        if errand.kind in _FLEETING_KINDS:
            return GiveUp(OVER_BUDGET)
        tomorrow = datetime.combine(local.date() + timedelta(days=1), time(), LOCAL)
        return Wait(_after_quiet(wants.quiet, tomorrow), OVER_BUDGET)
    if wants.quiet is None or way.silent:
        return None
    end = _after_quiet(wants.quiet, local)
    if end == local or passes_quiet(errand, _began(wants.quiet, end), end, rules):
        return None
    return Wait(end, "quiet_hours")


def _began(quiet: tuple[time, time], end: datetime) -> datetime:
    """When the night began that is over at `end`."""
    return datetime.combine(end.date() - timedelta(days=quiet[0] > quiet[1]), quiet[0], LOCAL)


def may_be_late(kind: str) -> bool:
    """Whether a notice of this kind can be `too_late` at all: what an errand is need not be looked at for the others."""
    return kind in _MAY_BE_LATE


def useful_until(errand: Errand) -> datetime | None:
    """Until when it may be said; None where always.

    Nobody is reminded of a visit that has begun, invited when the invitation has ended, asked what they can't answer any more, or told to come when the visit
    is all but over.
    """
    if errand.kind in _REMINDERS:
        return errand.begins
    if errand.kind in _INVITATIONS:
        return errand.answer_by
    if errand.kind in _QUESTIONS:
        return None if errand.answer_by is None else errand.answer_by - _TO_ANSWER
    return errand.ends - _TO_HELP if errand.kind in _CONFIRMATIONS and errand.ends is not None else None


def too_late(errand: Errand, now: datetime | None) -> bool:
    """Whether it says something that is over."""
    until = useful_until(errand)
    return now is not None and until is not None and until <= now


def must_be_told(errand: Errand, local: datetime) -> bool:
    """Whether it comes however much came today: a confirmation, a release, the reminder of a visit of the same day."""
    if errand.kind in _REMINDERS:
        return errand.begins is not None and errand.begins.astimezone(LOCAL).date() == local.date()
    return errand.kind in _MUST_KINDS | _ALARMS


def goes_first(kind: str, urgency: str | None) -> bool:
    """Whether it goes before what waits for the same hands: of a red wish, or an alarm."""
    return urgency == "red" or kind in _INVITATIONS or kind in _ALARMS


def passes_quiet(errand: Errand, quiet_begin: datetime, quiet_end: datetime, rules: Rules) -> bool:
    """Whether it comes at night: of a red wish, or about a visit that begins soon, or before the night is over.

    Soon is seen from the night's beginning: whatever is of the next day becomes near in the course of a night, and would ring at its darkest hour. And what
    was held back before, as enough had come that day, comes when the night is over.
    """
    if goes_first(errand.kind, errand.urgency):
        return True
    if errand.begins is None or errand.kind not in _MUST_KINDS | _REMINDERS:
        return False
    return errand.begins <= (quiet_end if errand.waits else max(quiet_begin + rules.urgent, quiet_end))


def _after_quiet(quiet: tuple[time, time] | None, moment: datetime) -> datetime:
    """The first moment, from this one on, that is outside quiet hours; all local."""
    if quiet is None or quiet[0] == quiet[1]:
        return moment
    begin, end = quiet
    clock = moment.timetz().replace(tzinfo=None)
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not inside:
        return moment
    last_day = moment.date() if clock < end else moment.date() + timedelta(days=1)
    return datetime.combine(last_day, end, LOCAL)


def suffix_of(ways: Mapping[str, Way], name: str, tried: Sequence[Tried]) -> str:
    """What stands behind the notice's key at this channel: its name where the system has closed the key, and would answer as it did before.

    It closed it with a refusal, or with a message that nobody has read, which is to be in both places now.
    Where an earlier attempt at the same system is unclear its key stays: if it had its effect after all, the system drops the second, and should.
    """
    suffix, closed = "", False
    for one in tried:
        if one.channel == name:
            break
        if one.channel not in ways or ways[one.channel].system != ways[name].system or not one.attempts:
            continue
        suffix = f":{one.channel}" if closed else suffix
        closed = one.state in {"failed", "unread"} and not one.unclear and one.fault != DOWN
    return f":{name}" if closed else suffix


def noted(tried: Sequence[Tried], one: Tried) -> tuple[Tried, ...]:
    """What was tried, with this channel's new state in its place."""
    if any(known.channel == one.channel for known in tried):
        return tuple(one if known.channel == one.channel else known for known in tried)
    return (*tried, one)


def waits_for_reader(tried: Sequence[Tried], ways: Mapping[str, Way], now: datetime, rules: Rules) -> tuple[tuple[Tried, ...], Wait | None]:
    """(what was tried, as it stands now; how long to wait for a channel's word that somebody has read). Without the word it lies unread."""
    for one in tried:
        if one.state == "placed" and one.channel in ways and ways[one.channel].calls_back:
            until = datetime.fromtimestamp(one.since, UTC) + rules.read_limit
            return (tuple(tried), Wait(until, "unread")) if now < until else (noted(tried, replace(one, state="unread")), None)
    return tuple(tried), None


def tried_of(tried: Sequence[Tried], channel: str) -> Tried:
    """What came of a channel so far."""
    return next((one for one in tried if one.channel == channel), None) or _untried(channel)


def attempted(before: Tried, *, state: State, fault: str | None, unclear: bool, tells_all: bool) -> Tried:
    """One attempt later. `tells_all`: its answer tells of all attempts, as a refusal does where the key is honoured; else an unclear one stays unclear.

    "Not now" and a connection that does not come about say nothing of what became of the attempts before.
    """
    return replace(before, attempts=before.attempts + 1, state=state, fault=fault, unclear=unclear or (before.unclear and not tells_all))


def passed_over(tried: Sequence[Tried], channel: str, until: datetime | None = None) -> tuple[Tried, ...]:
    """What was tried, and this channel is left out for now; `until`: not to be asked before, as it said itself."""
    return noted(tried, replace(tried_of(tried, channel), state="failed", fault=DOWN, since=0.0 if until is None else until.timestamp()))


def taken_up(tried: Sequence[Tried], now: datetime | None = None) -> tuple[Tried, ...]:
    """What was tried, with the channels that were passed over open again, behind those that had their turn: so these may have closed the key before them.

    With `now`, those alone that may be asked by then.
    """
    may = [one.fault == DOWN and (now is None or one.since <= now.timestamp()) for one in tried]
    again = [replace(one, state="open", fault=None, since=0.0) for one, is_again in zip(tried, may, strict=True) if is_again]
    return (*(one for one, is_again in zip(tried, may, strict=True) if not is_again), *again)


def rests_until(tried: Sequence[Tried]) -> datetime | None:
    """When the first channel may be asked of those that said when; None where none did."""
    ends = [one.since for one in tried if one.fault == DOWN and one.since]
    return datetime.fromtimestamp(min(ends), UTC) if ends else None


def packed(tried: Sequence[Tried]) -> str:
    """As a row keeps it; nothing where nothing was tried."""
    return (
        orjson.dumps([[one.channel, one.attempts, one.state, one.fault, one.unclear, *([one.since] if one.since else [])] for one in tried]).decode()
        if tried
        else ""
    )


def unpacked(text: str) -> tuple[Tried, ...]:
    """What `packed` wrote."""
    return tuple(Tried(*one) for one in orjson.loads(text)) if text else ()


def local_day(now: datetime) -> datetime:
    """The moment in local time, whose date is the day that a budget counts."""
    return now.astimezone(LOCAL)


def errand_of(kind: str, urgency: str | None, slot: tuple[str, str] | None, answer_by: str | None, *, ends: bool = False, waits: bool = False) -> Errand:
    """The errand of a notice; `slot` is (start, end), and all instants are in RFC 3339. `ends`: its slot's end counts; `waits`: it was held back."""
    begins, over = (None, None) if slot is None else (instant_of(slot[0]), instant_of(slot[1]))
    return Errand(kind, urgency, begins, None if answer_by is None else instant_of(answer_by), over if ends else None, waits)


@lru_cache(maxsize=8192)
def instant_of(text: str) -> datetime:
    """An instant in RFC 3339; slots begin and end on few times of a day."""
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
