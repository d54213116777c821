"""What follows from one event, in one area, at one instant.

`decide(area, event, now)` returns the events that go out, in order, and brings the area up to date with each of them as it
goes (:mod:`services.matcher.core.state` is where an area changes). The same area, event and instant always give the same bytes.

Every way to a match ends in :meth:`Turn.propose`, every way out of one in :meth:`Turn.release`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, merge
from typing import Any, Final

from schemas.codec import Event
from schemas.instants import rfc3339
from services.matcher.core.ids import derived_id
from services.matcher.core.place import RUNGS, rung_between
from services.matcher.core.rules import (
    check_is_fresh,
    earliest_start,
    has_capacity,
    has_skills,
    is_vetted,
    may_meet,
    refusal,
    speaks,
    within_reach,
)
from services.matcher.core.state import (
    CONFIRMED,
    EXPIRED,
    HELD,
    LAPSED,
    OFFER,
    OFFER_LAPSES,
    OPEN,
    RELEASED,
    SLOT_OVER,
    SUSPENDED,
    WISH,
    WISH_ENDS,
    WITHDRAWN,
    Area,
    Early,
    Match,
    Offer,
    Wish,
)
from services.matcher.core.together import find_group

TIME_PASSED: Final = "lastmetre.time.passed.v1"
DECIDED: Final = "decided"
NO_EFFECT: Final = "no_effect"
GROUP_INCOMPLETE: Final = "group_incomplete"


@dataclass(slots=True)
class Decision:
    """One event that goes out: `data` is the contract's data object of that type."""

    id: str
    type: str
    subject: str
    data: dict[str, Any]


@dataclass(slots=True)
class Turn:
    """One decision in the making. `cause` names what brought it about; ids are derived from it.

    Its parts are joined by line ends, which no id or source may hold, so that no two causes are the same text.
    """

    area: Area
    now: int
    cause: str
    out: list[Decision] = field(default_factory=list)
    changed: bool = True

    # ---- what can be decided

    def tell(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        """An event goes out."""
        self.out.append(Decision(derived_id(f"{self.cause}\n{len(self.out)}"), kind, subject, data))

    def propose(
        self,
        wish: Wish,
        offer: Offer,
        start: int,
        rung: int,
        how: str,
        group: tuple[str, int] | None = None,
    ) -> None:
        """This helper for this wish, in this slot: the place, the capacity and the time are held from now on."""
        area = self.area
        asks = offer.asks and how == "paired"
        expires_at = self._word_by(wish, start, asks=asks) if asks or wish.approval else None
        match = Match(
            id=derived_id(f"{self.cause}\nmatch\n{len(self.out)}"),
            number=wish.match_count,
            wish=wish,
            offer=offer,
            volunteer_ref=offer.volunteer.ref,
            start=start,
            end=start + wish.length,
            rung=rung,
            how=how,
            answered=not asks,
            approved=not wish.approval,
            expires_at=expires_at,
            group_id=group[0] if group else None,
            group_size=group[1] if group else None,
        )
        data: dict[str, Any] = {
            "area": area.name,
            "match_id": match.id,
            "wish_id": wish.id,
            "offer_id": offer.id,
            "resident_ref": wish.resident_ref,
            "volunteer_ref": match.volunteer_ref,
            "rung": RUNGS[rung],
            "slot": {"start": rfc3339(start), "end": rfc3339(match.end)},
            "how": how,
            "reasons": [
                {"code": "rung", "value": RUNGS[rung]},
                {"code": "spare_skills", "value": len(offer.skills) - len(wish.skills)},
                {"code": "helper_load", "value": len(offer.volunteer.slots)},
            ],
            "needs_answer": asks,
            "expires_at": rfc3339(expires_at) if asks and expires_at is not None else None,
            "category": wish.category,
            "urgency": wish.urgency,
        }
        if group is not None:
            data["group_id"], data["group_size"] = group
        if wish.approval:
            data["needs_approval"] = True
        area.hold(match)
        self.tell("lastmetre.match.proposed.v1", match.id, data)

    def _word_by(self, wish: Wish, start: int, *, asks: bool) -> int:
        """Until when the first word is awaited: before the visit begins, but where it begins at once there must be time for a word."""
        policy = self.area.policy
        latest = min(max(start, self.now + policy.word_us), start + wish.length)
        return min(self.now + policy.answer_us[wish.urgency], latest) if asks else latest

    def release(self, match: Match, reason: str) -> None:
        """This pair is apart again; the caller sees to it that the wish is tried again."""
        self.area.release(match, reason, bar=reason != GROUP_INCOMPLETE)
        self.tell("lastmetre.match.released.v1", match.id, {**self._pair(match), "reason": reason})

    def release_with_group(self, match: Match, reason: str) -> None:
        """Losing one member releases the whole group."""
        others = [
            other
            for other in match.wish.matches.values()
            if match.group_id is not None and other is not match and other.group_id == match.group_id and other.live
        ]
        self.release(match, reason)
        for other in others:
            self.release(other, GROUP_INCOMPLETE)

    def agree(self, match: Match) -> None:
        """The last word that was awaited has come."""
        self.area.agree(match)
        self.tell("lastmetre.match.agreed.v1", match.id, self._pair(match))

    def reject_claim(self, data: Any, reason: str) -> None:
        """A claim is refused, with the first reason that applies."""
        self.tell(
            "lastmetre.claim.rejected.v1",
            data.wish_id,
            {
                "area": self.area.name,
                "claim_id": data.claim_id,
                "wish_id": data.wish_id,
                "offer_id": data.offer_id,
                "reason": reason,
            },
        )

    def _pair(self, match: Match) -> dict[str, Any]:
        return {
            "area": self.area.name,
            "match_id": match.id,
            "wish_id": match.wish.id,
            "offer_id": match.offer.id,
        }

    # ---- finding helpers for a wish, and wishes for a helper

    def seek(self, wish: Wish) -> None:
        """Try an open wish with all offers, until it has its helpers or nobody is left."""
        if wish.together:
            group = find_group(self.area, wish, self.now)
            while group is not None:
                self.propose_group(wish, *group, leader=None)
                group = find_group(self.area, wish, self.now)
        else:
            while wish.places_free > 0 and self._seek_one(wish):
                pass
        self.area.settle_wish(wish)

    def _seek_one(self, wish: Wish) -> bool:
        candidates = self.area.index.in_order(wish)
        for rung, offer in candidates:
            start = self._start_if_eligible(wish, offer)
            if start is not None:
                candidates.close()
                self.propose(wish, offer, start, rung, "paired")
                return True
        return False

    def _start_if_eligible(self, wish: Wish, offer: Offer) -> int | None:
        """The slot's start where all rules but skills, reach and capacity hold (these the index has seen to)."""
        if offer.level < wish.vetting or not speaks(wish, offer) or not may_meet(wish, offer):
            return None
        start = earliest_start(wish, offer, self.now)
        return start if start is not None and check_is_fresh(wish, offer, start) else None

    def propose_group(self, wish: Wish, start: int, members: list[tuple[Offer, int]], leader: Offer | None) -> None:
        """These helpers together, in one slot; the leader claimed it."""
        group = (derived_id(f"{self.cause}\ngroup\n{len(self.out)}"), len(members))
        for offer, rung in members:
            self.propose(wish, offer, start, rung, "claimed" if offer is leader else "paired", group)

    def serve_waiting(self, offer: Offer) -> None:
        """This offer is new, or free again: the waiting wishes within its reach are tried, in their order."""
        for wish in self._waiting_near(offer):
            if wish.together:
                # The helper who was missing may be this one; who else comes along is for the ranking to say.
                if self._may_join(wish, offer):
                    self.seek(wish)
            elif (start := self._start_if_eligible(wish, offer)) is not None:
                self.propose(wish, offer, start, rung_between(wish.place, offer.home), "paired")
                self.area.settle_wish(wish)

    def _waiting_near(self, offer: Offer) -> Iterator[Wish]:
        """The waiting wishes that an offer's skills and reach suffice for, as long as it takes one more."""
        for wish in self.area.waiting.near(offer):
            if not has_capacity(offer):
                return
            if has_skills(wish, offer) and within_reach(wish, offer):
                yield wish

    def _may_join(self, wish: Wish, offer: Offer) -> bool:
        return is_vetted(wish, offer) and speaks(wish, offer) and may_meet(wish, offer)

    def _may_gain(self, wish: Wish, offer: Offer) -> bool:
        if not (has_capacity(offer) and has_skills(wish, offer) and within_reach(wish, offer)):
            return False
        return self._may_join(wish, offer) if wish.together else self._start_if_eligible(wish, offer) is not None

    def pair_again(self, let_go: Iterable[Match]) -> None:
        """After matches were released or are over: who waits is tried with the helpers that are free now, each in turn and by the ranking."""
        lost = {match.wish.id: match.wish for match in let_go if match.state == RELEASED and match.wish.waits}
        free = self._free_offers(let_go)
        if len(free) == 1 and not lost:
            self.serve_waiting(free[0])
            return
        streams: list[Iterable[Wish]] = [self._waiting_near(offer) for offer in free]
        streams.append(sorted(lost.values(), key=_turn_of))
        for wish in merge(*streams, key=_turn_of):
            # Several offers may be near to it; it is given once for each.
            if wish.waits and (lost.pop(wish.id, None) is not None or any(self._may_gain(wish, offer) for offer in free)):
                self.seek(wish)

    def _free_offers(self, matches: Iterable[Match]) -> list[Offer]:
        """The open offers with capacity of the people whose time or capacity these matches gave back."""
        offers: dict[str, Offer] = {}
        for match in matches:
            offers[match.offer.id] = match.offer
            person = self.area.volunteers.get(match.volunteer_ref)
            if person is not None:
                offers.update(person.offers)
        return [offer for _, offer in sorted(offers.items()) if offer.status == OPEN and has_capacity(offer)]


def _turn_of(wish: Wish) -> tuple[int, int, str]:
    """Which of the waiting wishes is served first: urgency, then age, then id."""
    return wish.urgency_order, wish.submitted_at, wish.id


# ---- one function an event type


def _wish_submitted(turn: Turn, event: Event) -> None:
    area, data = turn.area, event.data
    if data.wish_id in area.wishes:
        turn.changed = False
        return
    wish = Wish(data, turn.now)
    area.add_wish(wish)
    early = area.take_early(WISH, wish.id)
    if early is not None and early.at >= event.time:
        wish.status = WITHDRAWN
        return
    if wish.end <= turn.now:
        _expire(turn, wish)
        return
    area.watch_wish(wish)
    turn.seek(wish)


def _wish_withdrawn(turn: Turn, event: Event, reason: str = "withdrawn") -> None:
    area = turn.area
    wish = area.wishes.get(event.data.wish_id)
    if wish is None:
        turn.changed = area.note_early(WISH, event.data.wish_id, Early(event.time, WITHDRAWN))
        return
    if wish.status in (WITHDRAWN, EXPIRED):
        turn.changed = False
        return
    released = [match for match in wish.matches.values() if match.live]
    if not released and wish.places_free == 0:
        # All visits are over: there is nothing left to take back.
        turn.changed = False
        return
    area.end_wish(wish, WITHDRAWN)
    for match in released:
        turn.release(match, reason)
    turn.pair_again(released)


def _consent_withdrawn(turn: Turn, event: Event) -> None:
    _wish_withdrawn(turn, event, "unsafe")


def _offer_posted(turn: Turn, event: Event) -> None:
    area = turn.area
    before = area.offers.get(event.data.offer_id)
    early = area.take_early(OFFER, event.data.offer_id)
    if before is not None and before.status in (WITHDRAWN, SUSPENDED) and before.status_at >= event.time:
        # Said before the withdrawal, come after it: an old offer does not undo it.
        early = Early(before.status_at, before.status)
    offer = area.post_offer(event.data, event.time)
    if early is not None and early.at >= event.time:
        area.close_offer(offer, early.status, early.at)
        return
    if offer.last_end <= turn.now:
        area.close_offer(offer, LAPSED, event.time)
        return
    turn.serve_waiting(offer)


def _offer_withdrawn(turn: Turn, event: Event, status: str = WITHDRAWN) -> None:
    area = turn.area
    offer = area.offers.get(event.data.offer_id)
    if offer is None:
        turn.changed = area.note_early(OFFER, event.data.offer_id, Early(event.time, status))
        return
    if offer.status in {status, SUSPENDED}:
        # Over already; said again later, it also holds against what was posted in between and has not come yet.
        turn.changed = event.time > offer.status_at
        area.close_offer(offer, offer.status, max(event.time, offer.status_at))
        return
    area.close_offer(offer, status, max(event.time, offer.status_at))
    if status == SUSPENDED:
        _release_all(turn, list(offer.matches.values()), "unsafe")


def _offer_suspended(turn: Turn, event: Event) -> None:
    _offer_withdrawn(turn, event, SUSPENDED)


def _release_all(turn: Turn, matches: list[Match], reason: str) -> None:
    touched: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, match.wish.id)):
        touched.extend(other for other in match.wish.matches.values() if other.live)
        turn.release_with_group(match, reason)
    turn.pair_again([match for match in touched if match.state == RELEASED])


def _wish_claimed(turn: Turn, event: Event) -> None:
    area, data = turn.area, event.data
    wish, offer = area.wishes.get(data.wish_id), area.offers.get(data.offer_id)
    if wish is None:
        turn.reject_claim(data, "unknown_wish")
    elif offer is None:
        turn.reject_claim(data, "unknown_offer")
    elif wish.status == HELD:
        turn.reject_claim(data, "held_for_another")
    elif wish.status != OPEN:
        turn.reject_claim(data, "not_open")
    else:
        _judge_claim(turn, data, wish, offer)


def _judge_claim(turn: Turn, data: Any, wish: Wish, offer: Offer) -> None:
    reason = refusal(wish, offer, turn.now)
    if reason is not None:
        turn.reject_claim(data, reason)
    elif wish.together:
        group = find_group(turn.area, wish, turn.now, leader=offer)
        if group is None:
            turn.reject_claim(data, "needs_two")
        else:
            turn.propose_group(wish, *group, leader=offer)
            turn.area.settle_wish(wish)
    else:
        start = earliest_start(wish, offer, turn.now)
        assert start is not None  # refusal() has seen one
        turn.propose(wish, offer, start, rung_between(wish.place, offer.home), "claimed")
        turn.area.settle_wish(wish)


def _live_match(turn: Turn, data: Any) -> Match | None:
    """The live match that an answer is about; None (and no effect) when there is none, or another one by now."""
    wish = turn.area.wishes.get(data.wish_id)
    match = wish.matches.get(data.offer_id) if wish is not None else None
    if match is None or not match.live or (data.match_id is not None and data.match_id != match.id):
        turn.changed = False
        return None
    return match


def _match_accepted(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is None or match.answered:
        turn.changed = False
        return
    match.answered = True
    _word_has_come(turn, match)


def _match_approved(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is None:
        return
    if not event.data.approved:
        _release_all(turn, [match], "declined")
    elif match.approved:
        turn.changed = False
    else:
        match.approved = True
        _word_has_come(turn, match)


def _word_has_come(turn: Turn, match: Match) -> None:
    if match.is_firm:
        turn.agree(match)
    else:
        turn.area.await_word(match)


def _match_declined(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is not None:
        _release_all(turn, [match], "declined")


def _match_confirmed(turn: Turn, event: Event) -> None:
    wish = turn.area.wishes.get(event.data.wish_id)
    match = wish.matches.get(event.data.offer_id) if wish is not None else None
    if match is None or match.id != event.data.match_id or match.state == CONFIRMED:
        turn.changed = False
        return
    turn.area.confirm(match)


def _confirmation_failed(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is not None:
        _release_all(turn, [match], "undeliverable")


def _no_effect(turn: Turn, _event: Event) -> None:
    """A fact that is kept in the journal; nothing about matching follows from it."""
    turn.changed = False


HANDLERS: Final[dict[str, Callable[[Turn, Event], None]]] = {
    "lastmetre.wish.submitted.v1": _wish_submitted,
    "lastmetre.wish.withdrawn.v1": _wish_withdrawn,
    "lastmetre.consent.withdrawn.v1": _consent_withdrawn,
    "lastmetre.offer.posted.v1": _offer_posted,
    "lastmetre.offer.withdrawn.v1": _offer_withdrawn,
    "lastmetre.offer.suspended.v1": _offer_suspended,
    "lastmetre.wish.claimed.v1": _wish_claimed,
    "lastmetre.match.accepted.v1": _match_accepted,
    "lastmetre.match.declined.v1": _match_declined,
    "lastmetre.match.approved.v1": _match_approved,
    "lastmetre.service.started.v1": _no_effect,
    "lastmetre.service.finished.v1": _no_effect,
    "lastmetre.service.acknowledged.v1": _no_effect,
    "lastmetre.match.confirmed.v1": _match_confirmed,
    "lastmetre.confirmation.failed.v1": _confirmation_failed,
    "lastmetre.match.closed.v1": _no_effect,
}


def decide(area: Area, event: Event, now: int) -> tuple[str, list[Decision]]:
    """(outcome, events out) of one event that was not decided before. `now` is never before the area's clock."""
    turn = Turn(area, now, f"{area.name}\n{event.source}\n{event.id}")
    area.clock = now
    HANDLERS[event.type](turn, event)
    return (DECIDED if turn.changed or turn.out else NO_EFFECT), turn.out


def pass_time(area: Area, now: int) -> tuple[bool, list[Decision]]:
    """(whether anything changed, events out) once the clock shows `now`: slots over, holds ended, wishes expired."""
    turn = Turn(area, now, f"{area.name}\n{TIME_PASSED}\n{now}", changed=False)
    area.clock = max(area.clock, now)
    freed: list[Match] = []
    while area.deadlines and area.deadlines[0][0] <= now:
        at, kind, subject, number = heappop(area.deadlines)
        if kind == OFFER_LAPSES:
            _lapse(turn, subject, at)
        elif kind == WISH_ENDS:
            wish = area.wishes.get(subject)
            if wish is not None and wish.status == OPEN:
                _expire(turn, wish)
        else:
            freed.extend(_match_deadline(turn, kind, subject, number, at))
    if freed:
        turn.changed = True
        turn.pair_again(freed)
    return turn.changed or bool(turn.out), turn.out


def _lapse(turn: Turn, offer_id: str, at: int) -> None:
    """The last window of an offer is over."""
    offer = turn.area.offers.get(offer_id)
    if offer is not None and offer.status == OPEN and offer.last_end <= at:
        turn.area.close_offer(offer, LAPSED, offer.status_at)
        turn.changed = True


def _match_deadline(turn: Turn, kind: int, wish_id: str, number: int, at: int) -> list[Match]:
    """A slot is over, or nobody gave the word that a hold was for; the matches that let go of something."""
    wish = turn.area.wishes.get(wish_id)
    match = next((match for match in wish.matches.values() if match.number == number), None) if wish is not None else None
    if match is None or not match.live:
        return []
    if kind == SLOT_OVER:
        turn.area.finish_slot(match)
        return [match]
    if match.is_firm or turn.area.hold_ends_at(match) > at:
        return []
    group = [other for other in match.wish.matches.values() if other.live and other.group_id is not None and other.group_id == match.group_id]
    turn.release_with_group(match, "unanswered")
    return group or [match]


def _expire(turn: Turn, wish: Wish) -> None:
    turn.area.end_wish(wish, EXPIRED)
    turn.changed = True
    turn.tell("lastmetre.wish.expired.v1", wish.id, {"area": turn.area.name, "wish_id": wish.id, "filled": len(wish.matches)})
