"""The life of a match here, and of its notices: pure decisions on rows, no I/O and no clock.

`inbox` comes in with events, `outbox` with what became of the notices; both load the rows that are meant into a `Book`, ask it,
and write what it says has changed. Arrows:

match: proposed (the volunteer may be asked) → agreed (its group is not complete yet) → telling → confirmed
       proposed|telling|confirmed → failed (a side can't be asked or told, or a gateway says later that it was not)
       agreed|telling → discarded (another of its group fell away)
       any → released(reason); failed|discarded → released(too_late) by ourselves, where the matcher does not, as the slot is over
notice: pending → leased → sent · retryable → leased · pending|leased|retryable → discarded (no longer true) · leased → dead
        sent → retryable · dead (a gateway says later that it did not arrive) · pending|retryable|discarded|dead → sent (it says that it did)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, Literal
from uuid import UUID

import orjson

from schemas.codec import Event
from schemas.instants import micros
from schemas.matches import UNCONSENTED, HelperInvited, MatchAgreed, MatchProposed, MatchReleased, WishExpired, WishUnmet, WishWidened
from services.notifier.ids import derived_id
from services.notifier.notices import OTHERS, Kind, Language, Party, text_for_worker, text_of
from services.notifier.proposals import Proposal, proposal_of
from services.notifier.routes import unpacked

MatchState = Literal["proposed", "agreed", "telling", "confirmed", "failed", "discarded", "released"]
NoticeState = Literal["pending", "leased", "retryable", "sent", "discarded", "dead"]
Fate = Literal["sent", "retryable", "dead", "discarded"]
PARTIES: Final[tuple[Party, Party]] = ("resident", "volunteer")
# What is said about a visit once both sides know of it; it holds as long as the match is confirmed and not closed.
OF_VISIT: Final[tuple[tuple[Party, Kind], ...]] = (
    ("resident", "reminder"),
    ("volunteer", "reminder"),
    ("volunteer", "report"),
    ("resident", "feedback"),
    ("household", "not_started"),
    ("household", "not_finished"),
    ("worker", "not_started"),
    ("worker", "not_finished"),
)
VISIT_KINDS: Final = tuple(dict.fromkeys(kind for _, kind in OF_VISIT))
# What stops being true with its match, or when the answer has come.
FLEETING: Final[tuple[tuple[Party, Kind], ...]] = (("resident", "confirmed"), ("volunteer", "confirmed"), ("volunteer", "asked"), *OF_VISIT)
# After these an attempt had no effect for sure; after any other that is not a success it may have had one.
_CLEAR: Final = frozenset(
    (
        *("refused", "redirected", "code_refused", "code_later", "no_connection", "no_channel", "bad_address", "smtp_later", "smtp_login", "http_4xx"),
        *("busy", "quiet_hours", "over_budget", "too_late", "directory_away", "database"),
    )
)
# A process that had it in hand has died: it may have been sent.
INTERRUPTED: Final = "interrupted"
_NEARER: Final = frozenset(("unit", "building", "compound"))
# (reason, cause) of a release, where its people are told something else than the reason alone would say.
_TOLD_AS: Final[dict[tuple[str, str | None], str]] = {
    ("declined", "match_approved"): "not_approved",
    ("unsafe", "consent_withdrawn"): "no_consent",
    UNCONSENTED: "unconsented",
}
# What they said they could come to, and then called off.
CALLED_OFF: Final = frozenset(("declined",))
# Not both sides could be told before it was to begin.
_TOO_LATE: Final = "too_late"
# With these nobody else comes either.
_WISH_ENDS: Final = frozenset(("withdrawn", "no_consent", "unconsented"))
UNDER_WAY: Final = frozenset(("pending", "leased", "retryable"))


@dataclass(frozen=True, slots=True)
class About:
    """What a text tells of: the kind of help, how near, and when, (start, end) in RFC 3339; so that it can be said again, shorter or in another language."""

    category: str | None
    rung: str | None
    slot: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Need:
    """What a word to the worker's desk tells of its wish: how far it asks, and the skills and the vetting level that nobody can give."""

    rung: str = "area"
    skills: tuple[str, ...] = ()
    vetting: int = 0


NOTHING_NEEDED: Final = Need()


@dataclass(slots=True, eq=False)
class Notice:
    """One message to one person. `match_id` is None where it is about a wish alone; `slot` is (start, end) in RFC 3339."""

    key: UUID
    match_id: str | None
    wish_id: str
    partition: int
    area: str
    party: Party
    kind: Kind
    ref: str
    language: Language
    text: str
    slot: tuple[str, str] | None
    state: NoticeState = "pending"
    attempts: int = 0
    channel: str | None = None
    sent_at: str | None = None
    fault: str | None = None
    retry_seconds: float = 0.0
    tried: str = ""  # what each channel did, as `routes` writes it
    category: str | None = None
    rung: str | None = None
    urgency: str | None = None
    reason: str | None = None  # why its match was released
    offer_id: str | None = None
    answer_by: str | None = None  # RFC 3339, where an answer is awaited
    link: str | None = field(default=None, repr=False)  # while it is on its way to one person; never in a row or a log
    about: About | None = None  # where its match does not say it, or otherwise
    need: Need | None = None
    helper_told: bool = False  # of a confirmation to a resident that comes again: whether its helper has heard, and may have set out

    @property
    def said(self) -> About:
        """What its text tells of."""
        return self.about or About(self.category, self.rung, self.slot)


@dataclass(slots=True, eq=False)
class Match:
    """One match as this service sees it, with the notices about it by (party, kind)."""

    match_id: str
    wish_id: str
    offer_id: str
    area: str
    partition: int
    resident_ref: str
    volunteer_ref: str
    category: str | None
    rung: str
    slot: tuple[str, str]
    group_id: str | None
    group_size: int | None
    state: MatchState = "proposed"
    released_for: str | None = None
    organisation: str | None = None
    urgency: str | None = None
    minor: bool = False  # known where it is proposed; read again by the vault's part alone
    notices: dict[tuple[Party, Kind], Notice] = field(default_factory=dict)

    def ref_of(self, party: Party) -> str:
        """Whom to tell."""
        return self.resident_ref if party == "resident" else self.volunteer_ref


@dataclass(slots=True)  # not frozen, which would make each of them take twice as long to make
class Delivered:
    """What became of one attempt: `at` is RFC 3339 by the service's clock, `fault` a code, `retry_seconds` from now."""

    notice: Notice
    fate: Fate
    at: str
    channel: str
    fault: str | None = None
    retry_seconds: float = 0.0
    day: date | None = None  # the local day on which it counts against its person's number a day
    reference: str | None = None  # the channel's own number for it
    untried: bool = False  # nobody has tried since a process died with it in hand: whether it came stays unclear


@dataclass(frozen=True, slots=True)
class CalledOff:
    """When the helper of a confirmed match called off, in microseconds, and whether that was late."""

    at: int
    late: bool


@dataclass(frozen=True, slots=True)
class Told:
    """Both sides of a match know."""

    match: Match


@dataclass(frozen=True, slots=True)
class Untold:
    """One side of a match cannot be told; `reason` is a code. `unmet`: it and those of its group that fell with it, where nobody was confirmed to come."""

    match: Match
    reason: str
    unmet: tuple[Match, ...] = ()


def notice_key(about: str, party: Party, kind: Kind, ref: str = "", by: str = "") -> UUID:
    """The idempotency key of a notice; `about` is its match's id, or its wish's where it is about no match.

    `ref`: who is told, where it may be several. `by`: until when an answer is awaited, where the same may be asked again later.
    """
    return derived_id("\n".join(("notice", about, party, kind, *(part for part in (ref, by) if part))))


def _instant(text: str) -> int:
    return micros(datetime.fromisoformat(text.upper()))


def desk_of(area: str) -> str:
    """Whom a word to the community's workers goes to: the area's desk."""
    return f"desk-{area}"


def _kept(fate: Fate) -> Fate:
    """A sender may have put a notice away in error (its partition was gone, and came back): what is still true is sent again."""
    return "retryable" if fate == "discarded" else fate


def _still_unclear(kept: Notice, result: Delivered) -> Delivered:
    """The result, marked where it is about no attempt (links or the directory are away, a wait, no channel) and the one before ended with its process."""
    untried = result.fate != "sent" and kept.fault == INTERRUPTED and result.notice.attempts == kept.attempts
    return replace(result, untried=True) if untried else result


def may_have_heard(notice: Notice | None) -> bool:
    """Whether a notice has come, or may have: its last attempt is unclear, its sender has died, or it lies unread in the app."""
    if notice is None:
        return False
    if notice.state == "sent" or notice.fault == INTERRUPTED:
        return True
    tried = unpacked(notice.tried)
    if tried:
        return any(one.unclear or one.state in {"placed", "unread"} for one in tried)
    return notice.attempts > 0 and notice.fault is not None and notice.fault not in _CLEAR


def _expects_visit(match: Match, party: Party) -> bool:
    """Whether this side would wait for a visit, or be about to set out, if nobody told them: they (may) have heard of it and did not end it themselves."""
    if may_have_heard(match.notices.get((party, "confirmed"))):
        return True
    return may_have_heard(match.notices.get((party, "asked"))) and _plain(match.released_for) not in {"declined", "unanswered"}


def _said_yes(match: Match, at: int) -> bool:
    """Whether its helper had said yes, though it was released as unanswered: a hold that lasts until the visit would begin is for a second word alone."""
    asked = match.notices.get(("volunteer", "asked"))
    if asked is None or asked.answer_by is None or _plain(match.released_for) != "unanswered" or not may_have_heard(asked):
        return False
    return _instant(asked.answer_by) < _instant(match.slot[0]) <= at


def _plain(released_for: str | None) -> str:
    return (released_for or "").removesuffix(OTHERS)


def _released_for(data: MatchReleased, *, begun: bool) -> str:
    """Why it is apart again as its people are told: a no of the volunteer's own is not a worker's, and where consent is withdrawn nobody else is looked for.

    `begun`: its slot has; whoever can't be kept from setting out any more is not asked to stay.
    """
    if data.reason == "undeliverable" and begun:
        return _TOO_LATE
    return _TOLD_AS.get((data.reason, data.cause), data.reason)


class Book:
    """The rows that a batch is about, and what it changed in them. Dicts keep the order of first change."""

    def __init__(
        self,
        matches: Iterable[Match] = (),
        language: Language = "zh-CN",
        late_us: int = 0,
        is_over: Callable[[Match], bool] = lambda _match: False,
    ) -> None:
        """`late_us`: a visit that is called off less than so long before it begins is called off late. `is_over`: whether a match's slot is."""
        self.matches: dict[str, Match] = {}
        self._groups: dict[str, list[Match]] = {}
        self._wishes: dict[str, list[Match]] = {}
        self._language = language
        self._late_us = late_us
        self._is_over = is_over
        self.changed: dict[str, Match] = {}
        self.new_notices: dict[UUID, Notice] = {}
        self.changed_notices: dict[UUID, Notice] = {}
        self.called_off: dict[str, CalledOff] = {}
        for match in matches:
            self._file(match)

    def _file(self, match: Match) -> None:
        self.matches[match.match_id] = match
        self._wishes.setdefault(match.wish_id, []).append(match)
        if match.group_id is not None:
            self._groups.setdefault(match.group_id, []).append(match)

    # --- events taken in

    def take(self, event: Event, partition: int) -> str:
        """Apply one event of `matches`; the name of what came of it."""
        data = event.data
        kind = type(data)  # `isinstance` asks the models' metaclass each time: a twentieth of all that taking an event in costs
        if kind is Proposal:
            return self._propose(data, partition)
        if kind is MatchProposed:
            return self._propose(proposal_of(data, event.raw), partition)
        if kind is MatchAgreed:
            return self._agree(data)
        if kind is MatchReleased:
            return self._release(data, event.time)
        if kind is WishExpired:
            return self._expire(data, partition)
        if kind is HelperInvited:
            return self._invite(data, event.raw, partition)
        if kind in {WishWidened, WishUnmet}:
            return self._tell_worker(data, partition)
        return "not_for_us"

    def _propose(self, data: Proposal, partition: int) -> str:
        if data.match_id in self.matches:
            return "known_match"
        match = Match(
            match_id=data.match_id,
            wish_id=data.wish_id,
            offer_id=data.offer_id,
            area=data.area,
            partition=partition,
            resident_ref=data.resident_ref,
            volunteer_ref=data.volunteer_ref,
            category=data.category,
            rung=data.rung,
            slot=data.slot,
            group_id=data.group_id,
            group_size=data.group_size,
            organisation=data.organisation,
            urgency=data.urgency,
            minor=data.minor,
        )
        self._file(match)
        self.changed[match.match_id] = match
        if data.needs_answer:
            self._notify(match, "volunteer", "asked", by=data.expires_at)
        if data.needs_answer or data.needs_approval:
            return "awaits_answer"
        return self._firm(match)

    def _agree(self, data: MatchAgreed) -> str:
        match = self.matches.get(data.match_id)
        if match is None:
            return "unknown_match"
        return self._firm(match) if match.state == "proposed" else "no_effect"

    def _firm(self, match: Match) -> str:
        self._become(match, "agreed")
        self._take_back(match)
        members = self._members(match)
        if match.group_id is not None and (len(members) < (match.group_size or 2) or any(one.state != "agreed" for one in members)):
            return "awaits_group"
        for member in members:
            self._become(member, "telling")
            for party in PARTIES:
                self._notify(member, party, "confirmed")
        return "firm"

    def _release(self, data: MatchReleased, at: int) -> str:
        match = self.matches.get(data.match_id)
        if match is None:
            return "unknown_match"
        if match.state == "released":
            return "no_effect"
        match.released_for = _released_for(data, begun=_instant(match.slot[0]) <= at)
        if match.state == "confirmed" and match.released_for in CALLED_OFF:
            self.called_off[match.match_id] = CalledOff(at, _instant(match.slot[0]) - at < self._late_us)
        if match.released_for not in _WISH_ENDS and self._others_come(match, at):
            match.released_for += OTHERS
        self._become(match, "released")
        for party in PARTIES:
            if _expects_visit(match, party) or (party == "volunteer" and _said_yes(match, at)):
                self._notify(match, party, "released")
        self._take_back(match)
        self._discard_others(match)
        if match.released_for == "unconsented":
            self._tell_desk(data.wish_id, data.area, match.partition, "unconsented")
        return "released"

    def _others_come(self, match: Match, at: int) -> bool:
        """Whether the resident knows of other helpers of this wish who come as agreed."""
        return any(
            one.state in {"telling", "confirmed"}
            and one is not match
            and (one.group_id is None or one.group_id != match.group_id)
            and _instant(one.slot[1]) > at
            and may_have_heard(one.notices.get(("resident", "confirmed")))
            for one in self._wishes[match.wish_id]
            if one.area == match.area
        )

    def _invite(self, data: HelperInvited, raw: bytes, partition: int) -> str:
        if data.volunteer_ref is None or data.slot is None:
            return "nobody_named"  # as an earlier version tells it
        written = orjson.loads(raw)
        rung, slot, by = "area" if data.rung is None else data.rung.value, (written["slot"]["start"], written["slot"]["end"]), written["expires_at"]
        text = text_of("invited", "volunteer", self._language, category=data.category, rung=rung, slot=slot, by=by)
        about = About(data.category, rung, slot)
        self._notify_of_wish(data.wish_id, data.area, partition, "volunteer", "invited", data.volunteer_ref, text, data.offer_id, by, about)
        return "invited"

    def _tell_worker(self, data: WishWidened | WishUnmet, partition: int) -> str:
        if isinstance(data, WishWidened):
            return self._tell_desk(data.wish_id, data.area, partition, "widened", Need(data.reach.value))
        need = data.need
        return self._tell_desk(data.wish_id, data.area, partition, "unmet", Need(need.rung.value, tuple(need.skills), need.vetting))

    def _tell_desk(self, wish_id: str, area: str, partition: int, kind: Kind, need: Need | None = None) -> str:
        told = need or NOTHING_NEEDED
        text = text_for_worker(kind, self._language, wish_id=wish_id, rung=told.rung, skills=told.skills, vetting=told.vetting)
        self._notify_of_wish(wish_id, area, partition, "worker", kind, desk_of(area), text, need=need)
        return kind

    def _notify_of_wish(
        self,
        wish_id: str,
        area: str,
        partition: int,
        party: Party,
        kind: Kind,
        ref: str,
        text: str,
        offer_id: str | None = None,
        by: str | None = None,
        about: About | None = None,
        need: Need | None = None,
    ) -> None:
        """A notice about no match; the first of its kind to one person about one wish stands, an invitation's until it ends."""
        key = notice_key(wish_id, party, kind, ref, by or "")
        notice = Notice(
            key, None, wish_id, partition, area, party, kind, ref, self._language, text, None, offer_id=offer_id, answer_by=by, about=about, need=need
        )  # fmt: skip
        self.new_notices.setdefault(key, notice)

    def _expire(self, data: WishExpired, partition: int) -> str:
        match = next((one for one in self._wishes.get(data.wish_id, ()) if one.area == data.area), None)
        resident_ref = match.resident_ref if data.resident_ref is None and match is not None else data.resident_ref
        if resident_ref is None:  # of a matcher before it told whose wish it was
            return "unknown_wish"
        about = About(data.category, None, None) if match is None else About(match.category, match.rung, None)
        key = notice_key(data.wish_id, "resident", "expired", resident_ref)  # two areas may have a wish of one id
        text = text_of("expired", "resident", self._language, category=about.category, rung=about.rung or "area", slot=None)
        self.new_notices[key] = Notice(
            key, None, data.wish_id, partition, data.area, "resident", "expired", resident_ref, self._language, text, None, about=about
        )  # fmt: skip
        return "expired"

    # --- what became of notices

    def settle(self, results: Iterable[Delivered]) -> list[Told | Untold]:
        """Apply what became of notices (they are in this book, unless about no match), and say which matches that ends."""
        ends: list[Told | Untold] = []
        for result in results:
            notice = result.notice
            match = None if notice.match_id is None else self.matches.get(notice.match_id)
            if match is None:
                self._record(notice, result, _kept(result.fate))
                continue
            kept = match.notices.get((notice.party, notice.kind))
            if kept is None or kept.state not in UNDER_WAY:
                continue  # recorded already
            self._settle_one(match, kept, _still_unclear(kept, result), ends)
        return ends

    def learn(self, notice: Notice, result: Delivered) -> list[Told | Untold]:
        """Apply what is heard of a notice later, also where it had its end; and say which matches that ends."""
        match = None if notice.match_id is None else self.matches.get(notice.match_id)
        ends: list[Told | Untold] = []
        if match is None:
            self._record(notice, result, result.fate)
        else:
            self._settle_one(match, notice, result, ends)
        return ends

    def _settle_one(self, match: Match, notice: Notice, result: Delivered, ends: list[Told | Untold]) -> None:
        asks = notice.kind == "asked" and match.state == "proposed"
        holds = {"confirmed": False, "asked": asks}.get(notice.kind, notice.kind not in VISIT_KINDS or match.state == "confirmed")
        if holds:
            self._record(notice, result, _kept(result.fate))
            if asks and result.fate == "dead" and not may_have_heard(notice):
                self._fail(match, result.fault, ends)  # nobody waits for the answer to a question that was never put
        elif notice.kind == "confirmed" and match.state in {"telling", "confirmed"}:
            self._record(notice, result, _kept(result.fate))
            if result.fate == "sent" and match.state == "telling":
                ends.extend(self._confirm(match))
            elif result.fate == "dead" and not (match.state == "confirmed" and self._is_over(match)):
                self._fail(match, result.fault, ends)  # one that was settled, and is over, is judged by what is said of the visit
        else:
            # It stopped being true while it was on its way.
            self._record(notice, result, "sent" if result.fate == "sent" else "discarded")
            if match.state == "released" and _expects_visit(match, notice.party):
                self._notify(match, notice.party, "released")

    def _fail(self, match: Match, fault: str | None, ends: list[Told | Untold]) -> None:
        nobody_comes = match.state == "telling"
        self._become(match, "failed")
        self._take_back(match)
        others = self._discard_others(match)
        ends.append(Untold(match, fault or "undeliverable", (match, *others) if nobody_comes else ()))

    def let_go(self, ends: Iterable[Told | Untold]) -> list[Match]:
        """Of what can't be told, what the matcher does not release, as its slot is over: it is released here, and whoever expected a visit is told."""
        gone = [match for end in ends if isinstance(end, Untold) for match in end.unmet if self._is_over(match)]
        for match in gone:
            match.released_for = _TOO_LATE
            self._become(match, "released")
            for party in PARTIES:
                if _expects_visit(match, party):
                    self._notify(match, party, "released")
        return gone

    def _record(self, notice: Notice, result: Delivered, fate: Fate) -> None:
        notice.state = fate
        notice.channel = result.channel
        notice.attempts = result.notice.attempts
        notice.tried = result.notice.tried
        if result.fate != "discarded" and not result.untried:  # where nobody has tried, what came of the last attempt still counts
            notice.fault = result.fault
        notice.retry_seconds = result.retry_seconds if fate == "retryable" else 0.0
        notice.sent_at = result.at if fate == "sent" else None
        self.changed_notices[notice.key] = notice

    def _confirm(self, match: Match) -> list[Told]:
        members = self._members(match)
        for member in members:
            for party in PARTIES:
                notice = member.notices.get((party, "confirmed"))
                if notice is None or notice.state != "sent":
                    return []
        for member in members:
            self._become(member, "confirmed")
        return [Told(member) for member in members]

    # --- both

    def _members(self, match: Match) -> list[Match]:
        return [match] if match.group_id is None else self._groups[match.group_id]

    def _become(self, match: Match, state: MatchState) -> None:
        match.state = state
        self.changed[match.match_id] = match

    def _notify(self, match: Match, party: Party, kind: Kind, by: str | None = None) -> None:
        if (party, kind) in match.notices:
            return
        # Of a child's wish nobody who has not said yes hears more than the pages show them: the community.
        rung = "community" if kind == "asked" and match.minor and match.rung in _NEARER else match.rung
        text = text_of(kind, party, self._language, category=match.category, rung=rung, slot=match.slot, reason=match.released_for, by=by)
        key = notice_key(match.match_id, party, kind)
        notice = Notice(
            key,
            match.match_id,
            match.wish_id,
            match.partition,
            match.area,
            party,
            kind,
            match.ref_of(party),
            self._language,
            text,
            match.slot,
            category=match.category,
            rung=match.rung,
            urgency=match.urgency,
            reason=match.released_for,
            offer_id=match.offer_id,
            answer_by=by,
            about=None if rung == match.rung else About(match.category, rung, match.slot),
        )
        match.notices[party, kind] = notice
        self.new_notices[key] = notice

    def _take_back(self, match: Match) -> None:
        """What is no longer true and not sent yet is not to be; what becomes of a leased one is known when its sender is back."""
        for place in FLEETING:
            notice = match.notices.get(place)
            if notice is not None and notice.state in {"pending", "retryable"}:
                notice.state = "discarded"
                if notice.key not in self.new_notices:
                    self.changed_notices[notice.key] = notice

    def _discard_others(self, match: Match) -> list[Match]:
        others = [member for member in self._members(match) if member is not match and member.state in {"agreed", "telling"}]
        for member in others:
            self._become(member, "discarded")
            self._take_back(member)
        return others
