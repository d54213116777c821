"""From events to the board's rows. Pure: no I/O, no clock, no chance.

Topics are read side by side, so a match may be heard of before its wish, or its confirmation before it was proposed. Therefore a row holds *facts*,
each merged in a way that neither order nor a repeat changes (the first wish stands; of what is said twice the earliest counts, or, where a later word
outweighs, the latest), and states are a function of the facts, worked out anew for every wish that was touched. Within one topic the order is kept:
the reader never reads behind its cursor.

wish: open → held → matched → closed; withdrawn; expired · match: proposed → agreed → confirmed → started → finished → closed; released
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from schemas.codec import Event
from schemas.matches import UNCONSENTED
from schemas.place import Place
from services.gateway.board.rows import FIRM, LIVE, DeadLetter, Invitation, Match, News, Offer, Report, Wish, WishKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RUNGS: Final = ("unit", "building", "compound", "community", "area")
_REPORTS: Final = {
    "match.accepted.v1": "accepted",
    "match.declined.v1": "declined",
    "match.approved.v1": "approved",
    "service.started.v1": "started",
    "service.finished.v1": "finished",
    "service.acknowledged.v1": "acknowledged",
}
MINORS: Final = frozenset({"under_14", "under_18"})
FROZEN: Final = "frozen: "
"""How the reason of a withdrawal begins that a community worker made to freeze a wish."""


def instant(micros: int) -> datetime:
    """Microseconds since the epoch as a datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def event_key(event: Event) -> UUID:
    """(`source`, `id`) in 16 bytes."""
    return uuid5(NAMESPACE_URL, f"{event.source}\n{event.id}")


def short(kind: str) -> str:
    """A type without its prefix: `match.proposed.v1`."""
    return kind.removeprefix("lastmetre.")


def keys_of(event: Event) -> tuple[WishKey | None, tuple[str, str] | None]:
    """Which wish and which offer have to be read before this event is taken: (area, wish_id), (area, offer_id)."""
    said = vars(event.data)
    wish_id = said.get("wish_id")
    if wish_id is not None:
        return ((said["area"], wish_id), None)
    return (None, (said["area"], said["offer_id"]))


@dataclass(slots=True)
class Book:
    """The rows that a batch of events concerns: those read before, and what has become of them. `news` and `dead` only grow."""

    wishes: dict[WishKey, Wish] = field(default_factory=dict)
    matches: dict[WishKey, dict[str, Match]] = field(default_factory=lambda: defaultdict(dict))
    reports: dict[WishKey, dict[tuple[str, ...], Report]] = field(default_factory=lambda: defaultdict(dict))
    invitations: dict[WishKey, dict[str, Invitation]] = field(default_factory=lambda: defaultdict(dict))
    offers: dict[tuple[str, str], Offer] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    touched: set[WishKey] = field(default_factory=set)
    touched_offers: set[tuple[str, str]] = field(default_factory=set)
    placed: set[WishKey] = field(default_factory=set)
    """Wishes that came to be known in this batch: lines of the stream may wait for them."""
    seen: set[UUID] = field(default_factory=set)
    """Events that were taken before: a repeat changes nothing."""
    taken: list[UUID] = field(default_factory=list)

    # --- rows that were read

    def know(
        self,
        wishes: Iterable[Wish] = (),
        matches: Iterable[Match] = (),
        reports: Iterable[Report] = (),
        invitations: Iterable[Invitation] = (),
        offers: Iterable[Offer] = (),
    ) -> None:
        """Put in what the tables hold of the wishes and offers concerned: all of each."""
        self.wishes.update((wish.key, wish) for wish in wishes)
        self.offers.update((offer.key, offer) for offer in offers)
        for match in matches:
            self.matches[match.area, match.wish_id][match.match_id] = match
        for report in reports:
            self.reports[report.area, report.wish_id][report.key] = report
        for invitation in invitations:
            self.invitations[invitation.area, invitation.wish_id][invitation.offer_id] = invitation

    # --- events

    def take(self, event: Event, received_at: datetime) -> None:
        """One event, unless it was taken before. `received_at`: when Kafka had it."""
        self.take_once(event, event_key(event), received_at)

    def take_once(self, event: Event, key: UUID, received_at: datetime) -> None:
        """The same, by whoever has its key already."""
        if key in self.seen:
            return
        self.seen.add(key)
        self.taken.append(key)
        kind = short(event.type)
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, received_at)
        elif kind in _REPORTS:
            self._report(event, _REPORTS[kind])
        self._tell(event, key, kind, received_at)

    def settle(self) -> None:
        """Work out the states of all that was touched. Once, after the last event of the batch."""
        for line in self.news:
            known = None if line.placed or line.wish_id is None else self.wishes.get((line.area, line.wish_id))
            if known is not None and known.submitted_at is not None:
                place_line(line, known)
        for key in self.touched:
            wish = self.wishes.get(key)
            matches = self.matches[key]
            _apply_reports(self.reports[key].values(), matches.values())
            for match in matches.values():
                match.state = state_of_match(match)
                match.changed_at = max((at for at in _moments(match) if at is not None), default=None)
            if wish is None:
                continue
            _settle_wish(wish, list(matches.values()), [report.at for report in self.reports[key].values()])
            for match in matches.values():
                match.community, match.compound, match.building, match.unit = wish.community, wish.compound, wish.building, wish.unit
            for invitation in self.invitations[key].values():
                invitation.live = _is_out(invitation, wish, matches.values(), self.reports[key].values())

    # --- one function a kind

    def _wish(self, key: WishKey) -> Wish:
        self.touched.add(key)
        wish = self.wishes.get(key)
        if wish is None:
            wish = self.wishes[key] = Wish(*key)
        return wish

    @staticmethod
    def _changed(row: Wish | Offer, event: Event) -> datetime:
        at = instant(event.time)
        row.changed_at = at if row.changed_at is None else max(row.changed_at, at)
        return at

    def submitted(self, event: Event, received_at: datetime) -> None:
        """The first stands."""
        data = event.data
        wish = self._wish((data.area, data.wish_id))
        if wish.submitted_at is not None:
            return
        at = self._changed(wish, event)
        if wish.withdrawn_at is not None and wish.withdrawn_at < at:
            wish.withdrawn_at, wish.frozen = None, False  # taken back before it was made: an older word, about nothing
        place: Place = data.place
        wish.community, wish.compound, wish.building, wish.unit = place.community, place.compound, place.building, place.unit
        wish.category, wish.urgency, wish.title = data.category, data.urgency, data.title
        wish.note = data.note
        wish.skills, wish.languages = sorted(set(data.skills)), list(data.languages or ())
        wish.starts_at, wish.ends_at, wish.minutes = data.window.start.astimezone(UTC), data.window.end.astimezone(UTC), data.minutes
        wish.helpers_needed, wish.vetting_min, wish.approval, wish.accompanied = data.helpers_needed, data.vetting_min, data.approval, data.accompanied
        wish.age_band, wish.lives_alone = data.beneficiary.age_band, bool(data.beneficiary.lives_alone)
        wish.resident_ref, wish.submitted_at, wish.received_at = data.resident_ref, at, received_at
        self.placed.add(wish.key)

    def withdrawn(self, event: Event, _received_at: datetime) -> None:
        """By the resident, or by a worker who freezes it; the latest word counts."""
        wish = self._wish((event.data.area, event.data.wish_id))
        at = self._changed(wish, event)
        if wish.withdrawn_at is None or at >= wish.withdrawn_at:
            wish.withdrawn_at = at
            wish.frozen = (event.data.reason or "").startswith(FROZEN)

    def widened(self, event: Event, _received_at: datetime) -> None:
        """It never becomes narrower."""
        wish = self._wish((event.data.area, event.data.wish_id))
        self._changed(wish, event)
        reach = str(event.data.reach)
        if wish.reach is None or _RUNGS.index(reach) > _RUNGS.index(wish.reach):
            wish.reach = reach

    def unmet(self, event: Event, _received_at: datetime) -> None:
        """The last word counts."""
        wish = self._wish((event.data.area, event.data.wish_id))
        at = self._changed(wish, event)
        if wish.unmet_at is None or at >= wish.unmet_at:
            wish.unmet_at, wish.unmet = at, event.data.need.model_dump(mode="json")

    def expired(self, event: Event, _received_at: datetime) -> None:
        """Also after it was opened again."""
        wish = self._wish((event.data.area, event.data.wish_id))
        at = self._changed(wish, event)
        if wish.expired_at is None or at >= wish.expired_at:
            wish.expired_at, wish.filled = at, event.data.filled

    def _match(self, event: Event) -> Match:
        data = event.data
        key = (data.area, data.wish_id)
        self.touched.add(key)
        match = self.matches[key].get(data.match_id)
        if match is None:
            match = self.matches[key][data.match_id] = Match(data.area, data.match_id, data.wish_id, data.offer_id)
        return match

    def proposed(self, event: Event, _received_at: datetime) -> None:
        """The match begins."""
        data, match, at = event.data, self._match(event), instant(event.time)
        match.resident_ref, match.volunteer_ref, match.rung, match.how = data.resident_ref, data.volunteer_ref, str(data.rung), data.how
        match.starts_at, match.ends_at = data.slot.start.astimezone(UTC), data.slot.end.astimezone(UTC)
        match.needs_answer, match.needs_approval = data.needs_answer, data.needs_approval
        match.expires_at = None if data.expires_at is None else data.expires_at.astimezone(UTC)
        match.group_id, match.organisation = data.group_id, data.organisation
        match.reasons = [{"code": reason.code, "value": reason.value} for reason in data.reasons]
        match.proposed_at = at if match.proposed_at is None else min(match.proposed_at, at)

    def agreed(self, event: Event, _received_at: datetime) -> None:
        """The word that was awaited has come."""
        match, at = self._match(event), instant(event.time)
        match.agreed_at = at if match.agreed_at is None else min(match.agreed_at, at)

    def released(self, event: Event, _received_at: datetime) -> None:
        """The pair is apart."""
        match, at = self._match(event), instant(event.time)
        if match.released_at is None or at < match.released_at:
            match.released_at, match.release_reason = at, event.data.reason
        if (event.data.reason, event.data.cause) == UNCONSENTED:
            wish = self._wish((event.data.area, event.data.wish_id))
            wish.withdrawn_at = at if wish.withdrawn_at is None else max(wish.withdrawn_at, at)

    def confirmed(self, event: Event, received_at: datetime) -> None:
        """Both sides know."""
        match = self._match(event)
        at = event.data.confirmed_at.astimezone(UTC)
        if match.confirmed_at is None or at < match.confirmed_at:
            match.confirmed_at = at
        if match.confirmed_seen_at is None or received_at < match.confirmed_seen_at:
            match.confirmed_seen_at = received_at

    def failed(self, event: Event, _received_at: datetime) -> None:
        """A side could not be told; the release follows."""
        self._match(event).failed_reason = event.data.reason

    def closed(self, event: Event, _received_at: datetime) -> None:
        """Said again where a later word weighs more: the last one said counts."""
        data, match, at = event.data, self._match(event), instant(event.time)
        if match.closed_said_at is None or at >= match.closed_said_at:
            match.closed_said_at = at
            match.outcome, match.minutes, match.closed_by, match.closed_at = data.outcome, data.minutes, data.by, data.closed_at.astimezone(UTC)

    def invited(self, event: Event, _received_at: datetime) -> None:
        """An invitation to several; the last one to this helper counts."""
        data = event.data
        key = (data.area, data.wish_id)
        self._wish(key)
        at, before = instant(event.time), self.invitations[key].get(data.offer_id)
        if before is not None and before.invited_at > at:
            return
        slot = (None, None) if data.slot is None else (data.slot.start.astimezone(UTC), data.slot.end.astimezone(UTC))
        rung = None if data.rung is None else str(data.rung)
        self.invitations[key][data.offer_id] = Invitation(
            data.area, data.wish_id, data.offer_id, data.volunteer_ref, at, data.expires_at.astimezone(UTC), rung, *slot
        )

    def _report(self, event: Event, kind: str) -> None:
        data = event.data
        key = (data.area, data.wish_id)
        self.touched.add(key)
        said = {name: value for name in ("by", "outcome", "approved", "worker_ref") if (value := getattr(data, name, None)) is not None}
        report = Report(data.area, data.wish_id, data.offer_id, kind, data.match_id or "", instant(event.time), getattr(data, "minutes", None), said)
        before = self.reports[key].get(report.key)
        if before is None or before.at <= report.at:
            self.reports[key][report.key] = report

    def posted(self, event: Event, _received_at: datetime) -> None:
        """Said again it replaces the offer, unless that was said, or withdrawn, later than this was."""
        data = event.data
        offer = self._offer(event)
        at = self._changed(offer, event)
        if offer.posted_at is not None and offer.posted_at > at:
            return
        offer.volunteer_ref, offer.reach, offer.capacity, offer.accepts = data.volunteer_ref, str(data.reach), data.capacity, data.accepts
        home: Place = data.home
        offer.community, offer.compound, offer.building, offer.unit = home.community, home.compound, home.building, home.unit
        offer.skills, offer.languages, offer.organisation = sorted(set(data.skills)), list(data.languages or ()), data.organisation
        offer.vetting_level, offer.checked_at = data.vetting.level, data.vetting.checked_at.astimezone(UTC)
        windows = sorted((window.start.astimezone(UTC), window.end.astimezone(UTC)) for window in data.windows)
        offer.windows = [{"start": start.isoformat(), "end": end.isoformat()} for start, end in windows]
        offer.last_end, offer.posted_at = max(end for _, end in windows), at
        if offer.state_at is None or offer.state == "open" or at > offer.state_at:
            offer.state, offer.state_at = "open", at

    def unposted(self, event: Event, _received_at: datetime) -> None:
        """Withdrawn or suspended; a suspension is not undone by a withdrawal."""
        offer = self._offer(event)
        at = self._changed(offer, event)
        if short(event.type) == "offer.suspended.v1":
            offer.state = "suspended"
        elif offer.state != "suspended":
            offer.state = "withdrawn"
        offer.state_at = at if offer.state_at is None else max(at, offer.state_at)

    def _offer(self, event: Event) -> Offer:
        key = (event.data.area, event.data.offer_id)
        self.touched_offers.add(key)
        offer = self.offers.get(key)
        if offer is None:
            offer = self.offers[key] = Offer(*key)
        return offer

    # --- the stream

    def _tell(self, event: Event, key: UUID, kind: str, received_at: datetime) -> None:
        # A model's own fields: to ask pydantic for one that it has not costs more than all the rest.
        said = vars(event.data)
        area: str = said["area"]
        wish_id, match_id, offer_id = said.get("wish_id"), said.get("match_id"), said.get("offer_id")
        wish = None if wish_id is None else self.wishes.get((area, wish_id))
        match = None if match_id is None or wish_id is None else self.matches[area, wish_id].get(match_id)
        offer = None if offer_id is None else self.offers.get((area, offer_id))
        line = News(key, instant(event.time), received_at, area, kind, event.subject, wish_id, match_id, offer_id)
        line.volunteer_ref = (
            said.get("volunteer_ref") or (match.volunteer_ref if match is not None else None) or (offer.volunteer_ref if offer is not None else None)
        )
        line.resident_ref = said.get("resident_ref") or (wish.resident_ref if wish is not None else None)
        line.brief = _brief(kind, said)
        if wish_id is not None:
            line.placed = wish is not None and wish.submitted_at is not None
            if wish is not None and line.placed:
                place_line(line, wish)
        elif offer is not None:
            line.community, line.compound, line.building = offer.community, offer.compound, offer.building
        self.news.append(line)


def place_line(line: News, wish: Wish) -> None:
    """Put a line where its wish is, with what is shown of it."""
    line.community, line.compound, line.building = wish.community, wish.compound, wish.building
    line.resident_ref = line.resident_ref or wish.resident_ref
    line.brief |= {"title": wish.title, "category": wish.category, "urgency": wish.urgency}
    if wish.age_band in MINORS or wish.category == "left_behind_children":
        line.brief["minor"] = True
    line.placed = True


_SHOWN: Final = frozenset(
    {"reason", "rung", "how", "needs_answer", "needs_approval", "reach", "filled", "outcome", "minutes", "by", "approved", "group_id", "claim_id"}
)
_AS_TEXT: Final = frozenset({"rung", "reach"})
_REASON_IS_A_CODE: Final = frozenset({"match.released.v1", "claim.rejected.v1", "confirmation.failed.v1"})


def _brief(kind: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of the stream shows; a free text that somebody wrote as a reason stays out."""
    found = {name: value for name in _SHOWN & said.keys() if (value := said[name]) is not None}
    if kind not in _REASON_IS_A_CODE:
        found.pop("reason", None)
    for name in _AS_TEXT & found.keys():
        found[name] = str(found[name])
    return found


_HANDLERS: Final[dict[str, Callable[[Book, Event, datetime], None]]] = {
    "wish.submitted.v1": Book.submitted,
    "wish.withdrawn.v1": Book.withdrawn,
    "consent.withdrawn.v1": Book.withdrawn,
    "offer.posted.v1": Book.posted,
    "offer.withdrawn.v1": Book.unposted,
    "offer.suspended.v1": Book.unposted,
    "match.proposed.v1": Book.proposed,
    "helper.invited.v1": Book.invited,
    "match.agreed.v1": Book.agreed,
    "match.released.v1": Book.released,
    "wish.widened.v1": Book.widened,
    "wish.unmet.v1": Book.unmet,
    "wish.expired.v1": Book.expired,
    "match.confirmed.v1": Book.confirmed,
    "confirmation.failed.v1": Book.failed,
    "match.closed.v1": Book.closed,
}
SHOWN_ONLY: Final = frozenset({"wish.claimed.v1", "claim.rejected.v1"})
"""Kinds that are a line of the stream, and change no row."""
KINDS: Final = frozenset(_HANDLERS) | frozenset(_REPORTS) | SHOWN_ONLY


# --- states


def state_of_match(match: Match) -> str:
    """The state that follows from the facts, the furthest first; a match that was only heard of in passing is `unknown`."""
    if match.closed_at is not None:
        return "closed"
    if match.released_at is not None:
        return "released"
    for at, state in (
        (match.finished_at, "finished"),
        (match.started_at, "started"),
        (match.confirmed_at, "confirmed"),
        (match.agreed_at, "agreed"),
        (match.proposed_at, "proposed"),
    ):
        if at is not None:
            return state
    return "unknown"


def _moments(match: Match) -> tuple[datetime | None, ...]:
    return (
        *(match.proposed_at, match.accepted_at, match.approved_at, match.agreed_at, match.released_at),
        *(match.confirmed_at, match.started_at, match.finished_at, match.closed_said_at),
    )


def _apply_reports(reports: Iterable[Report], matches: Iterable[Match]) -> None:
    """What was said of pairs, at the matches that it is about. Worked out from nothing: a later match of a pair takes over what named none."""
    for match in matches:
        match.accepted_at = match.approved_at = match.started_at = match.finished_at = match.reported_minutes = None
    for report in sorted(reports, key=lambda one: (one.at, one.kind, one.match_id)):
        _apply(report, matches)


def _apply(report: Report, matches: Iterable[Match]) -> None:
    """At the match that is named, else at the last of the pair, if it was not over by then."""
    pair = [match for match in matches if match.offer_id == report.offer_id and report.match_id in {"", match.match_id}]
    if not pair:
        return
    match = max(pair, key=lambda one: (one.proposed_at or _EPOCH, one.match_id))
    if match.released_at is not None and match.released_at <= report.at and not report.match_id:
        return
    if report.kind == "started":
        match.started_at = report.at
    elif report.kind == "finished":
        match.finished_at, match.reported_minutes = report.at, report.minutes
    elif report.kind == "accepted":
        match.accepted_at = report.at
    elif report.kind == "approved" and report.said.get("approved"):
        match.approved_at = report.at


def _settle_wish(wish: Wish, matches: list[Match], said_at: list[datetime]) -> None:
    # As the matcher has it: a visit that helped in part leaves its place open.
    helped_groups = {match.group_id for match in matches if match.state == "closed" and match.outcome == "done" and match.group_id is not None}
    # Of a group, all must have come in vain: with one who helped, the wish was helped.
    ended = [match for match in matches if match.state == "closed" and (match.outcome == "done" or match.group_id in helped_groups)]
    live = [match for match in matches if match.state in LIVE]
    firm = [match for match in live if match.state in FIRM]
    wish.live = len(live)
    wish.confirmed = len(firm) + len(ended)
    firsts = [match.confirmed_at for match in matches if match.confirmed_at is not None]
    wish.confirmed_at = min(firsts) if firsts else None
    facts = [at for match in matches for at in (match.proposed_at, match.agreed_at, match.released_at, match.confirmed_at, match.closed_said_at)]
    wish.changed_at = max((at for at in (wish.changed_at, *facts, *said_at) if at is not None), default=None)
    places_taken = len(live) + len(ended)
    if wish.submitted_at is None:
        wish.state = "unknown"
    elif wish.expired_at is not None:
        wish.state = "expired"
    elif wish.withdrawn_at is not None and not (places_taken >= wish.helpers_needed and not live):
        wish.state = "withdrawn"
    elif places_taken < wish.helpers_needed:
        wish.state = "open"
    elif not live:
        wish.state = "closed"
    else:
        wish.state = "matched" if len(firm) == len(live) else "held"


def _is_out(invitation: Invitation, wish: Wish, matches: Collection[Match], reports: Iterable[Report]) -> bool:
    """Whether an invitation still holds; that its time is not over yet, whoever reads it asks."""
    if wish.state not in {"open", "unknown"}:
        return False
    came = any(match.offer_id == invitation.offer_id and match.proposed_at is not None and match.proposed_at >= invitation.invited_at for match in matches)
    noes = (report for report in reports if report.kind == "declined" and report.offer_id == invitation.offer_id and not report.match_id)
    said_no = any(report.at >= invitation.invited_at for report in noes)
    return not came and not said_no and not _was_filled(invitation.invited_at, wish, matches)


def _was_filled(since: datetime, wish: Wish, matches: Collection[Match]) -> bool:
    """Whether the wish had all its helpers at some time since then, though it may want some again: whoever is wanted is asked anew."""
    stood = [(match.proposed_at, match.released_at) for match in matches if match.proposed_at is not None]
    return any(at >= since and sum(one <= at and (end is None or end > at) for one, end in stood) >= wish.helpers_needed for at, _ in stood)
