"""One area in memory, and the only functions that change it.

States, each with its arrows:

- wish:  open -> held -> matched -> closed; open | held | matched -> withdrawn; open | held -> expired; held | matched -> open
         when a match is released; matched -> open when the help did not help.
- match: proposed -> agreed -> confirmed -> closed, or unhelped where it did not help; any but the last two -> released(reason), or -> over when its
         slot is over.
- offer: open -> withdrawn | suspended | lapsed; any -> open when it is posted again.

An area is decided upon by one lane at a time. What changed is listed in `touched_*` for the shell to store; if storing
fails the shell throws the whole area away and loads it again, so nothing half-done is ever seen.
Instants and lengths are microseconds.
"""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from schemas.instants import DAY_US, MINUTE_US, micros
from schemas.offers import OfferPosted
from schemas.place import Place
from schemas.wishes import WishSubmitted
from services.matcher.core.people import Volunteer
from services.matcher.core.place import AREA, BUILDING, RUNG_OF, Circle, PlaceKey, circles_of
from services.matcher.core.policy import Policy
from services.matcher.core.ranking import OfferIndex, PooledIndex, WaitingIndex

WISH: Final = "wish"
OFFER: Final = "offer"
OPEN: Final = "open"
HELD: Final = "held"
MATCHED: Final = "matched"
WITHDRAWN: Final = "withdrawn"
EXPIRED: Final = "expired"
SUSPENDED: Final = "suspended"
LAPSED: Final = "lapsed"
PROPOSED: Final = "proposed"
AGREED: Final = "agreed"
CONFIRMED: Final = "confirmed"
RELEASED: Final = "released"
CLOSED: Final = "closed"
UNHELPED: Final = "unhelped"
DONE: Final = "done"
NOT_DONE: Final = "not_done"
# In place of an instant: to this invitation they said no; or, before they had answered, the place was taken, or they were.
DECLINED: Final = -1
INTERRUPTED: Final = -2

# Deadlines at one instant come in this order: what frees helpers first, what needs them last. A match that still awaits a
# word when its slot is over was none.
HOLD_ENDS, SLOT_OVER, OFFER_LAPSES, WISH_ENDS, INVITE_ENDS, WIDENS, ROUND = range(7)
_URGENCY_ORDER: Final = {"red": 0, "yellow": 1, "blue": 2}
_MINORS: Final = ("under_14", "under_18")
# Visits to people rather than to things: for these the centre household of the stairway comes first.
_WELFARE: Final = frozenset({"elder_care", "disability_help", "left_behind_children", "health", "culture"})
VETTING_MAX: Final = 4
CHECK_VALID_US: Final = 365 * DAY_US
# Visits of one person that start less than this apart count against the same weekly limit.
WEEK_US: Final = 7 * DAY_US


def place_key(place: Place) -> PlaceKey:
    """The place as a tuple that compares fast."""
    return (place.community, place.compound, place.building, place.unit)


class Wish:
    """One wish: what was asked, as the rules read it, and how far it is."""

    __slots__ = (
        "approval", "barred", "category", "circles", "end", "id", "invited", "languages", "length", "match_count",
        "matches", "minor", "need", "place", "proof_for", "resident_ref", "skills", "start", "status", "stored", "submitted_at", "together",
        "urgency", "urgency_order", "vetting", "waits", "welfare",
    )  # fmt: skip

    def __init__(self, data: WishSubmitted, submitted_at: int, proof_needed: frozenset[str] = frozenset()) -> None:
        self.id = data.wish_id
        self.place = place_key(data.place)
        self.circles: list[tuple[int, Circle]] = circles_of(self.place)
        self.category: str = data.category
        self.welfare = self.category in _WELFARE
        self.skills = frozenset(data.skills)
        # Of the skills, those for which the helper must have a proof.
        self.proof_for = self.skills & proof_needed if proof_needed else proof_needed
        self.urgency: str = data.urgency
        self.urgency_order = _URGENCY_ORDER[data.urgency]
        self.start = micros(data.window.start)
        self.end = micros(data.window.end)
        self.length = data.minutes * MINUTE_US
        band = data.beneficiary.age_band
        self.minor = band in _MINORS or data.category == "left_behind_children"
        self.together = self.minor or data.accompanied
        self.need = max(2, data.helpers_needed) if self.together else data.helpers_needed
        self.vetting: int = VETTING_MAX if self.minor else max(data.vetting_min, 2 if data.beneficiary.lives_alone else 0)
        self.approval = data.approval == "worker"
        self.languages = frozenset(data.languages) if data.languages else None
        self.resident_ref = data.resident_ref
        self.submitted_at = submitted_at
        self.status = OPEN
        # Matches that were not released, by offer; and the offers that must not meet this wish again.
        self.matches: dict[str, Match] = {}
        self.barred: set[str] = set()
        # Who was invited, and until when each invitation holds; 0: it is over. DECLINED, INTERRUPTED: see there.
        self.invited: dict[str, int] = {}
        self.match_count = 0
        self.waits = False
        self.stored = False

    @property
    def places_free(self) -> int:
        """How many helpers are still wanted."""
        return self.need - len(self.matches)

    @property
    def latest_start(self) -> int:
        """After this instant no visit of the wished length fits."""
        return self.end - self.length

    @property
    def under_way(self) -> bool:
        """Whether something of it can still change without a word about its visits. Other wishes a worker has in memory or has not."""
        return self.status == OPEN or any(match.live for match in self.matches.values())

    def invitations(self, now: int) -> int:
        """How many invitations are out."""
        return sum(until > now for until in self.invited.values()) if self.invited else 0

    def is_asked(self, offer_id: str) -> bool:
        """Whether they are not to be invited: they are, let it pass, or said no. Who was interrupted may be."""
        return self.invited.get(offer_id, INTERRUPTED) != INTERRUPTED

    def has_volunteer(self, ref: str) -> bool:
        """Whether this person already is, or was, one of its helpers."""
        return any(match.volunteer_ref == ref for match in self.matches.values())


class Offer:
    """One offer. `live` counts its live matches; `capacity_max`: the largest capacity since it was stored; `entry`, `weight` and `weighed` are the index's."""

    __slots__ = (
        "asks", "capacity", "capacity_max", "capped", "centre", "checked_at", "ends", "entry", "home", "id", "languages", "last_end", "latest_first",
        "level", "live", "matches", "organisation", "per_week_max", "proofs", "reach", "rest", "skills", "status", "status_at", "stored", "volunteer",
        "weighed", "weight", "windows",
    )  # fmt: skip

    def __init__(self, offer_id: str) -> None:
        self.id = offer_id
        self.live = 0
        self.capacity_max = 0
        self.matches: dict[str, Match] = {}
        self.entry = 0
        self.centre = False
        self.status = OPEN
        self.status_at = 0
        self.stored = False

    def fill(self, data: OfferPosted, volunteer: Volunteer) -> None:
        """Take over what was posted; live matches stand."""
        self.volunteer = volunteer
        self.home = place_key(data.home)
        self.reach = RUNG_OF[data.reach]
        self.skills = frozenset(data.skills)
        self.weight = self.weighed = 0
        self.level: int = data.vetting.level
        self.checked_at = micros(data.vetting.checked_at)
        self.windows = sorted((micros(window.start), micros(window.end)) for window in data.windows)
        self.latest_first = sorted(self.windows, key=lambda window: -window[1])
        self.last_end = self.latest_first[0][1]
        self.capacity = data.capacity
        self.capacity_max = max(self.capacity_max, data.capacity)
        self.asks = data.accepts == "ask"
        self.rest = (data.rest_minutes or 0) * MINUTE_US
        self.per_week_max = data.per_week_max
        # Whether more than the live slots as they are stands against a start.
        self.capped = self.rest > 0 or self.per_week_max is not None
        self.languages = frozenset(data.languages) if data.languages else frozenset()
        self.organisation = data.organisation
        # Until when each skill is proven; of several proofs for one, the longest counts.
        proofs = sorted((one.skill, micros(one.valid_until)) for one in data.proofs) if data.proofs else ()
        self.proofs: dict[str, int] = dict(proofs)
        # When something of it is over: a window, a proof, or the check that lets them be near a child.
        checks = [self.checked_at + CHECK_VALID_US] if self.level >= VETTING_MAX else []
        self.ends = sorted({*(closes for _, closes in self.windows), *self.proofs.values(), *checks})


@dataclass(slots=True)
class Match:
    """One pairing; `number` counts the matches of its wish, `place` is which of its helpers this is.

    `answered`/`approved`: nothing is awaited of that side. `expires_at`: until when the first word is awaited, None where none is.
    """

    id: str
    number: int
    wish: Wish
    offer: Offer
    volunteer_ref: str
    start: int
    end: int
    rung: int
    how: str
    answered: bool
    approved: bool
    expires_at: int | None
    group_id: str | None = None
    group_size: int | None = None
    place: int = 0
    state: str = PROPOSED
    live: bool = True
    reason: str | None = None
    stored: bool = False

    @property
    def is_firm(self) -> bool:
        """Whether nothing is awaited any more."""
        return self.answered and self.approved

    @property
    def companions(self) -> "list[Match]":
        """The wish's other matches of the same group; none where it goes alone."""
        if self.group_id is None:
            return []
        return [other for other in self.wish.matches.values() if other is not self and other.group_id == self.group_id]


@dataclass(slots=True)
class Early:
    """A withdrawal that came before what it withdraws; it holds against anything said before it."""

    at: int
    status: str


@dataclass(slots=True)
class Area:
    """All that is open in one area. `clock` is the latest instant at which something was decided."""

    name: str
    policy: Policy = field(default_factory=Policy)
    clock: int = 0
    wishes: dict[str, Wish] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    volunteers: dict[str, Volunteer] = field(default_factory=dict)
    early_wishes: dict[str, Early] = field(default_factory=dict)
    early_offers: dict[str, Early] = field(default_factory=dict)
    index: OfferIndex = field(default_factory=OfferIndex)
    # The open wishes that are tried as things come, and those that wait for rounds.
    waiting: WaitingIndex = field(default_factory=WaitingIndex)
    pooled: PooledIndex = field(default_factory=PooledIndex)
    deadlines: list[tuple[int, int, str, int]] = field(default_factory=list)
    touched_wishes: dict[str, Wish] = field(default_factory=dict)
    touched_offers: dict[str, Offer] = field(default_factory=dict)
    touched_matches: dict[str, Match] = field(default_factory=dict)
    touched_early: dict[tuple[str, str], Early | None] = field(default_factory=dict)
    # Whom wishes in memory have invited: offer -> wishes. Which of these invitations hold, the wish says.
    inviting: dict[str, dict[str, Wish]] = field(default_factory=dict)
    touched_people: dict[str, Volunteer] = field(default_factory=dict)
    # (person, resident): how often they have met by now.
    touched_met: dict[tuple[str, str], int] = field(default_factory=dict)
    asked_wishes: list[Wish] = field(default_factory=list)
    asked_offers: list[Offer] = field(default_factory=list)
    # (start, person) of the slots that are over, a heap: what `starts` holds is dropped when it is a week old.
    starts_past: list[tuple[int, str]] = field(default_factory=list)
    # Of whom nothing was open: forgotten with what else has been stored, unless something is open again by then.
    idle: dict[str, Volunteer] = field(default_factory=dict)
    round_at: int | None = None

    # ---- wishes

    def add_wish(self, wish: Wish) -> None:
        """A new wish; whether it waits is seen when it has been tried."""
        self.wishes[wish.id] = wish
        self.touched_wishes[wish.id] = wish

    def watch_wish(self, wish: Wish) -> None:
        """Keep the wish's deadlines in sight; :meth:`settle_wish` files it among the waiting ones if it has to wait."""
        heappush(self.deadlines, (wish.end, WISH_ENDS, wish.id, 0))
        for offer_id, until in wish.invited.items():
            self._watch_invitation(wish, offer_id, until)
        self.watch_reach(wish, self.clock)

    def in_rounds(self, wish: Wish) -> bool:
        """Whether this wish waits for the rounds."""
        return not wish.together and self.policy.in_rounds(wish.urgency)

    def invites(self, wish: Wish) -> bool:
        """Whether several are asked at once: a red wish that needs no group."""
        return self.policy.invite_max > 0 and wish.urgency == "red" and not wish.together

    def _widens_each(self, wish: Wish) -> int:
        """How long the wish is for one rung before it is for the next; 0: it is for everyone."""
        if not self.in_rounds(wish):
            return 0
        # An eighth: most of the time must be left for the widest circle.
        return max(0, min(self.policy.widen_us[wish.urgency], (wish.latest_start - wish.submitted_at) // 8))

    def reach_of(self, wish: Wish, at: int) -> int:
        """The widest rung from which helpers are taken at that instant."""
        each = self._widens_each(wish)
        return min(AREA, BUILDING + (at - wish.submitted_at) // each) if each else AREA

    def watch_reach(self, wish: Wish, after: int) -> None:
        """Keep in sight when, after that instant, the wish is for one rung more; whether it waits then is seen then."""
        at = self.widens_at(wish, after)
        if at is not None:
            heappush(self.deadlines, (at, WIDENS, wish.id, 0))

    def widens_at(self, wish: Wish, after: int) -> int | None:
        """The first instant after that one at which the wish is for one rung more; None where it is for everyone."""
        each = self._widens_each(wish)
        if each and (steps := (after - wish.submitted_at) // each + 1) <= AREA - BUILDING:
            return wish.submitted_at + steps * each
        return None

    def reaches_at(self, wish: Wish, rung: int) -> int:
        """The instant from which on the wish is for that rung."""
        return wish.submitted_at + max(0, rung - BUILDING) * self._widens_each(wish)

    def next_beat(self, at: int) -> int:
        """The first instant after `at` at which a round can be."""
        return (at // self.policy.round_us + 1) * self.policy.round_us

    def call_round(self, at: int) -> None:
        """A round is due at the first beat after `at`, or earlier if it was already."""
        beat = self.next_beat(at)
        if self.round_at is None or beat < self.round_at:
            self.set_round(beat)

    def set_round(self, at: int | None) -> None:
        """The next round is then, whatever was said before; None: nothing calls for one."""
        self.round_at = at
        if at is not None:
            heappush(self.deadlines, (at, ROUND, "", 0))

    def invite(self, wish: Wish, offer_id: str, until: int) -> None:
        """An invitation is out."""
        wish.invited[offer_id] = until
        self.touched_wishes[wish.id] = wish
        self._watch_invitation(wish, offer_id, until)

    def _watch_invitation(self, wish: Wish, offer_id: str, until: int) -> None:
        self.inviting.setdefault(offer_id, {})[wish.id] = wish
        if until > self.clock:
            heappush(self.deadlines, (until, INVITE_ENDS, wish.id, 0))

    def invited_by(self, offer_id: str, now: int) -> list[Wish]:
        """The wishes that are under way and not over, and whose invitation of this offer holds."""
        wishes = self.inviting.get(offer_id, {}).values()
        return [wish for wish in wishes if wish.invited[offer_id] > now and wish.status not in (WITHDRAWN, EXPIRED) and wish.under_way]

    def persons_invited(self, wish: Wish, now: int) -> set[str]:
        """The volunteers whom the invitations that are out ask; open offers alone, as whoever loads the area anew knows no others."""
        offers = (self.offers.get(offer_id) for offer_id, until in wish.invited.items() if until > now)
        return {offer.volunteer.ref for offer in offers if offer is not None and offer.status == OPEN}

    def end_invitation(self, wish: Wish, offer_id: str, *, as_of: int = 0) -> None:
        """They have answered, or cannot come any more. DECLINED: it was a no, so they are never asked again, and may still claim the wish."""
        wish.invited[offer_id] = as_of
        self.touched_wishes[wish.id] = wish

    def forget_invitations(self, offer_id: str, now: int) -> None:
        """Who let an invitation pass and has come anew since may be asked again; who said no may not.

        Only by wishes that are under way: were it also by those that happen to be in memory, a journal decided again would come to something else.
        """
        for wish in list(self.inviting.get(offer_id, {}).values()):
            if wish.under_way and DECLINED < wish.invited[offer_id] <= now:
                del wish.invited[offer_id]
                self.drop_invitation(wish, offer_id)
                self.touched_wishes[wish.id] = wish

    def drop_invitation(self, wish: Wish, offer_id: str) -> None:
        """It is no more found by its offer: see :attr:`inviting`."""
        wishes = self.inviting.get(offer_id)
        if wishes is not None and wishes.pop(wish.id, None) is not None and not wishes:
            del self.inviting[offer_id]

    def settle_wish(self, wish: Wish) -> None:
        """Bring the wish's state and its place among the waiting in line with its matches."""
        self.touched_wishes[wish.id] = wish
        pooled = self.in_rounds(wish)
        waiting = self.pooled if pooled else self.waiting
        if wish.status in (WITHDRAWN, EXPIRED):
            waiting.remove(wish)
        elif wish.places_free > 0:
            wish.status = OPEN
            waiting.add(wish)
            if pooled:
                self.call_round(self.clock)
        else:
            states = {match.state for match in wish.matches.values()}
            wish.status = CLOSED if states == {CLOSED} else MATCHED if states <= {CONFIRMED, CLOSED} else HELD
            waiting.remove(wish)
            for offer_id, until in wish.invited.items():
                # Nobody is asked any more. That is no silence: should a place fall free again, they are asked anew.
                wish.invited[offer_id] = INTERRUPTED if until > self.clock else until

    def end_wish(self, wish: Wish, status: str) -> None:
        """The wish is withdrawn or expired; its matches are the caller's business."""
        wish.status = status
        self.settle_wish(wish)

    # ---- withdrawals that came early

    def note_early(self, kind: str, subject: str, early: Early) -> bool:
        """Keep a withdrawal for what may still come; whether that is news."""
        known = self._early(kind)
        before = known.get(subject)
        if before is not None:
            status = SUSPENDED if SUSPENDED in {before.status, early.status} else early.status
            early = Early(max(before.at, early.at), status)
            if early == before:
                return False
        known[subject] = early
        self.touched_early[kind, subject] = early
        return True

    def take_early(self, kind: str, subject: str) -> Early | None:
        """The withdrawal that came before this, if one did; it is used up."""
        early = self._early(kind).pop(subject, None)
        if early is not None:
            self.touched_early[kind, subject] = None
        return early

    def _early(self, kind: str) -> dict[str, Early]:
        return self.early_wishes if kind == WISH else self.early_offers

    # ---- offers

    def volunteer(self, ref: str) -> Volunteer:
        """The person of that reference, known from now on."""
        person = self.volunteers.get(ref)
        if person is None:
            person = self.volunteers[ref] = Volunteer(ref)
        return person

    def recall(self, ref: str, *, asked: int, agreed: int, visits: int, last_at: int) -> None:
        """What was stored of a person; whom they know comes with :meth:`recall_met`."""
        person = self.volunteer(ref)
        person.asked, person.agreed, person.visits, person.last_at = asked, agreed, visits, last_at
        self._forget_if_idle(person)

    def recall_met(self, ref: str, resident_ref: str, times: int) -> None:
        """How often a person and a resident had met, when it was stored."""
        self.volunteer(ref).met[resident_ref] = times

    def note_answer(self, person: Volunteer, *, yes: bool) -> None:
        """Somebody who was asked has said yes or no, or has let the time go by."""
        person.asked += 1
        person.agreed += yes
        self.touched_people[person.ref] = person

    def note_unwilling(self, match: Match) -> None:
        """A match will not be, and its helper owed a word: that was a no."""
        if not match.answered:
            self.note_answer(self.volunteers[match.volunteer_ref], yes=False)

    def note_silent(self, wish: Wish, at: int) -> None:
        """The invitations that ended then and had no answer: to those who are still here, that counts as a no."""
        for offer_id, until in wish.invited.items():
            offer = self.offers.get(offer_id)
            if until == at and offer is not None and offer.status == OPEN:
                # It is not said twice, where several invitations end at that instant.
                self.end_invitation(wish, offer_id)
                self.note_answer(offer.volunteer, yes=False)

    def post_offer(self, data: OfferPosted, at: int) -> Offer:
        """A new offer, or the same one again with what is posted now."""
        offer = self.offers.get(data.offer_id)
        if offer is None:
            offer = self.offers[data.offer_id] = Offer(data.offer_id)
        else:
            self._take_offer_out(offer)
            self._part(offer)
        offer.fill(data, self.volunteer(data.volunteer_ref))
        offer.volunteer.offers[offer.id] = offer
        offer.status = OPEN
        offer.status_at = at
        self.open_offer(offer)
        return offer

    def open_offer(self, offer: Offer) -> None:
        """Put an open offer where wishes find it."""
        self.touched_offers[offer.id] = offer
        offer.centre = self.policy.is_centre(offer.organisation)
        if offer.status == OPEN:
            self.index.add(offer)
            for start, _ in offer.volunteer.slots:
                self._note_visit(offer, start)
            heappush(self.deadlines, (offer.last_end, OFFER_LAPSES, offer.id, 0))

    def close_offer(self, offer: Offer, status: str, at: int) -> None:
        """No new match for this offer until it is posted again."""
        self._take_offer_out(offer)
        offer.status = status
        offer.status_at = at
        self.touched_offers[offer.id] = offer

    def _take_offer_out(self, offer: Offer) -> None:
        if offer.status == OPEN:
            self.index.remove(offer)
            for start, _ in offer.volunteer.slots:
                self._drop_visit(offer, start)

    def _note_visit(self, offer: Offer, start: int) -> None:
        """Whoever posted this open offer has a live slot that begins then."""
        self.index.visits.note(start - offer.rest, offer)
        if offer.per_week_max is not None:
            self.index.weeks.note(start - WEEK_US, offer)

    def _drop_visit(self, offer: Offer, start: int) -> None:
        """That slot is not live any more, or the offer is not open."""
        self.index.visits.drop(start - offer.rest, offer)
        if offer.per_week_max is not None:
            self.index.weeks.drop(start - WEEK_US, offer)

    # ---- matches

    def hold(self, match: Match) -> None:
        """A match is proposed: the wish's place, the offer's capacity and the person's time are taken."""
        wish = match.wish
        if wish.matches:
            taken = {other.place for other in wish.matches.values()}
            match.place = next(place for place in range(wish.need) if place not in taken)
        self.attach(match)
        wish.match_count = match.number + 1
        self.touched_matches[match.id] = match
        self.touched_offers[match.offer.id] = match.offer

    def attach(self, match: Match) -> None:
        """Link a match with its wish, offer and person; also when it is loaded."""
        match.wish.matches[match.offer.id] = match
        if not match.live:
            return
        match.offer.live += 1
        match.offer.matches[match.id] = match
        person = self.volunteer(match.volunteer_ref)
        insort(person.slots, (match.start, match.end))
        insort(person.starts, match.start)
        for one in person.offers.values():
            if one.status == OPEN:
                self._note_visit(one, match.start)
        heappush(self.deadlines, (match.end, SLOT_OVER, match.wish.id, match.number))
        if not match.is_firm:
            heappush(self.deadlines, (self.hold_ends_at(match), HOLD_ENDS, match.wish.id, match.number))

    def hold_ends_at(self, match: Match) -> int:
        """When a match that still awaits a word is given up: a second word may come until the visit would begin."""
        assert match.expires_at is not None
        return match.expires_at if not match.answered else max(match.expires_at, match.start)

    def await_word(self, match: Match) -> None:
        """One of two words has come; the hold goes on for the other."""
        heappush(self.deadlines, (self.hold_ends_at(match), HOLD_ENDS, match.wish.id, match.number))
        self.touched_matches[match.id] = match

    def agree(self, match: Match) -> None:
        """Nothing is awaited any more."""
        match.state = AGREED
        self.touched_matches[match.id] = match

    def confirm(self, match: Match) -> None:
        """Both sides have been told."""
        match.state = CONFIRMED
        self.touched_matches[match.id] = match
        if match.wish.status in (OPEN, HELD):
            self.settle_wish(match.wish)

    def release(self, match: Match, reason: str, *, bar: bool) -> None:
        """The pair is apart again: place, capacity and time are free."""
        self.volunteers[match.volunteer_ref].starts.remove(match.start)
        self._let_go(match)
        match.state = RELEASED
        match.reason = reason
        wish = match.wish
        del wish.matches[match.offer.id]
        if bar:
            wish.barred.add(match.offer.id)
        self.settle_wish(wish)

    def close(self, match: Match, outcome: str) -> None:
        """The visit is over and judged: capacity and time are free and rest begins, also before its slot is over. It still counts in its week."""
        if match.live:
            self.finish_slot(match, min(match.end, self.clock))
        match.state = CLOSED
        match.reason = None if outcome == DONE else outcome
        self.touched_matches[match.id] = match
        self.settle_wish(match.wish)

    def unhelp(self, matches: Sequence[Match]) -> bool:
        """Where all of these matches of one wish, which came together, were in vain: their places are free again, and the pairs never meet again.

        Whether it was so; with one who helped, the wish was helped.
        """
        if not all(match.state == CLOSED and match.reason is not None for match in matches):
            return False
        for match in matches:
            match.state = UNHELPED
            self.touched_matches[match.id] = match
            del match.wish.matches[match.offer.id]
            match.wish.barred.add(match.offer.id)
            self.settle_wish(match.wish)
        return True

    def finish_slot(self, match: Match, at: int) -> None:
        """The slot is over since then: the match stands, but takes no capacity and no time any more. It still counts in its week."""
        person = self.volunteers[match.volunteer_ref]
        person.visits += 1
        person.last_at = max(person.last_at, at)
        resident = match.wish.resident_ref
        person.met[resident] = self.touched_met[person.ref, resident] = person.met.get(resident, 0) + 1
        self.touched_people[person.ref] = person
        self._let_go(match)
        heappush(self.starts_past, (match.start, person.ref))

    def note_past(self, ref: str, start: int) -> None:
        """When a slot began that is over, as the area is loaded: it counts in its week, whatever has become of its wish and its offer."""
        insort(self.volunteer(ref).starts, start)
        heappush(self.starts_past, (start, ref))

    def _let_go(self, match: Match) -> None:
        match.live = False
        offer = match.offer
        offer.live -= 1
        del offer.matches[match.id]
        person = self.volunteers[match.volunteer_ref]
        person.slots.remove((match.start, match.end))
        for one in person.offers.values():
            if one.status == OPEN:
                self._drop_visit(one, match.start)
                self.index.refresh(one)
        if offer.id not in person.offers:  # posted again since, in another's name
            self.index.refresh(offer)
        self._forget_if_idle(person)
        self.touched_matches[match.id] = match
        self.touched_offers[offer.id] = offer

    # ---- for the shell

    def next_deadline(self) -> int | None:
        """The earliest instant at which time alone may change something."""
        return self.deadlines[0][0] if self.deadlines else None

    def forget_touched(self) -> None:
        """What changed has been stored: mark it so, and drop what can change no more unless it is asked for.

        The shell brings back what was dropped when an event asks for it, so dropping changes no decision.
        """
        for wish in self.touched_wishes.values():
            wish.stored = True
        for match in self.touched_matches.values():
            match.stored = True
        for offer in self.touched_offers.values():
            offer.stored = True
            offer.capacity_max = offer.capacity
        self._evict()
        self.forget_starts()
        self._forget_people()
        self.asked_wishes.clear()
        self.asked_offers.clear()
        self.early_wishes.clear()
        self.early_offers.clear()
        self.touched_wishes.clear()
        self.touched_matches.clear()
        self.touched_offers.clear()
        self.touched_early.clear()
        self.touched_people.clear()
        self.touched_met.clear()

    def _evict(self) -> None:
        wishes = [*self.touched_wishes.values(), *(match.wish for match in self.touched_matches.values()), *self.asked_wishes]
        for wish in wishes:
            if not wish.under_way:
                self.wishes.pop(wish.id, None)
                wish.matches.clear()  # they name each other; nobody else names them
                for offer_id in wish.invited:
                    self.drop_invitation(wish, offer_id)
        for offer in (*self.touched_offers.values(), *self.asked_offers):
            if offer.status != OPEN and offer.live == 0:
                self.offers.pop(offer.id, None)
                self._part(offer)

    def forget_starts(self) -> None:
        """What began more than a week ago counts in no week any more."""
        while self.starts_past and self.starts_past[0][0] <= self.clock - WEEK_US:
            start, ref = heappop(self.starts_past)
            person = self.volunteers[ref]
            person.starts.remove(start)
            self._forget_if_idle(person)

    def _part(self, offer: Offer) -> None:
        """The offer is not this person's any more, or forgotten."""
        offer.volunteer.offers.pop(offer.id, None)
        self._forget_if_idle(offer.volunteer)

    def _forget_if_idle(self, person: Volunteer) -> None:
        # Not before it is stored: who comes again in the same batch is the same person.
        if person.is_idle:
            self.idle[person.ref] = person

    def _forget_people(self) -> None:
        for person in self.idle.values():
            if person.is_idle:
                self.volunteers.pop(person.ref, None)
        self.idle.clear()
