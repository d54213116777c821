"""What follows from one event, in one area, at one instant.

`decide(area, event, now)` returns the events that go out, in order, and brings the area up to date with each of them as it
goes (:mod:`services.matcher.core.state` is where an area changes, :mod:`services.matcher.core.turn` says how). The same area, event and instant
always give the same bytes.
"""

from collections.abc import Callable, Sequence
from heapq import heappop
from typing import Any, Final

from schemas.codec import Event
from schemas.confirmations import NO_CONSENT
from schemas.instants import rfc3339
from services.matcher.core.place import AREA, RUNGS, rung_between
from services.matcher.core.rounds import run_round
from services.matcher.core.rules import earliest_start, is_safe, refusal
from services.matcher.core.state import (
    CLOSED,
    CONFIRMED,
    DECLINED,
    EXPIRED,
    HELD,
    HOLD_ENDS,
    INTERRUPTED,
    LAPSED,
    NOT_DONE,
    OFFER,
    OFFER_LAPSES,
    OPEN,
    RELEASED,
    ROUND,
    SLOT_OVER,
    SUSPENDED,
    WIDENS,
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
from services.matcher.core.turn import Decision, Turn, turn_of

TIME_PASSED: Final = "lastmetre.time.passed.v1"
DECIDED: Final = "decided"
NO_EFFECT: Final = "no_effect"
UNSAFE: Final = "unsafe"


# ---- one function an event type


def _wish_submitted(turn: Turn, event: Event) -> None:
    area, data = turn.area, event.data
    if data.wish_id in area.wishes:
        turn.changed = False
        return
    wish = Wish(data, turn.now, area.policy.proof_needed)
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
    # Where the ladder has no step left, there will be no later moment to say so.
    if not wish.matches and not wish.invited and area.reach_of(wish, turn.now) == AREA:
        tell_unmet(turn, wish)


def _wish_withdrawn(turn: Turn, event: Event, reason: str = "withdrawn") -> None:
    area = turn.area
    wish = area.wishes.get(event.data.wish_id)
    if wish is None:
        turn.changed = area.note_early(WISH, event.data.wish_id, Early(event.time, WITHDRAWN))
        return
    if wish.status in (WITHDRAWN, EXPIRED):
        turn.changed = False
        return
    if wish.places_free == 0 and all(match.state == CLOSED for match in wish.matches.values()):
        # All visits are over and judged. As long as one is not, a word about it might open the wish again.
        turn.changed = False
        return
    _end(turn, wish, reason)


def _end(turn: Turn, wish: Wish, reason: str) -> None:
    """Nobody is to come any more, whoever it would be."""
    released = [match for match in wish.matches.values() if match.live]
    turn.area.end_wish(wish, WITHDRAWN)
    for match in released:
        turn.release(match, reason)
    turn.pair_again(released)


def _consent_withdrawn(turn: Turn, event: Event) -> None:
    _wish_withdrawn(turn, event, UNSAFE)


def _offer_posted(turn: Turn, event: Event) -> None:
    area = turn.area
    before = area.offers.get(event.data.offer_id)
    if before is not None and before.status in (OPEN, LAPSED) and before.status_at > event.time:
        # Said before what stands, come after it: what was said last stands.
        turn.changed = False
        return
    early = area.take_early(OFFER, event.data.offer_id)
    if before is not None and before.status in (WITHDRAWN, SUSPENDED) and before.status_at >= event.time:
        # Said before the withdrawal, come after it: an old offer does not undo it.
        early = Early(before.status_at, before.status)
    if before is not None and before.status == OPEN:
        turn.call_round((before,))  # as it was
    offer = area.post_offer(event.data, event.time)
    if early is not None and early.at >= event.time:
        area.close_offer(offer, early.status, early.at)
    elif offer.last_end <= turn.now:
        area.close_offer(offer, LAPSED, event.time)
    # Live matches stand, but for those that the checks as they are said to be now forbid.
    unsafe = [match for match in offer.matches.values() if not is_safe(match)]
    uninvited = turn.end_invitations(offer)
    if offer.status == OPEN:
        area.forget_invitations(offer.id, turn.now)
    if unsafe or uninvited:
        _release_all(turn, unsafe, UNSAFE, uninvited)
    if offer.status == OPEN:
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
    turn.call_round((offer,))
    _release_all(turn, list(offer.matches.values()) if status == SUSPENDED else [], UNSAFE, turn.end_invitations(offer))


def _offer_suspended(turn: Turn, event: Event) -> None:
    _offer_withdrawn(turn, event, SUSPENDED)


def _release_all(turn: Turn, matches: list[Match], reason: str, uninvited: Sequence[Wish] = ()) -> None:
    touched: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, match.wish.id)):
        touched.extend(other for other in match.wish.matches.values() if other.live)
        turn.release_with_group(match, reason)
    turn.pair_again([match for match in touched if match.state == RELEASED], uninvited)


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
        if turn.area.invites(wish):
            turn.seek(wish)  # who claimed may have been one of those who were asked: the next is, where more are wanted


def _live_match(turn: Turn, data: Any) -> Match | None:
    """The live match that an answer is about; None (and no effect) when there is none, or another one by now."""
    wish = turn.area.wishes.get(data.wish_id)
    match = wish.matches.get(data.offer_id) if wish is not None else None
    if match is None or not match.live or (data.match_id is not None and data.match_id != match.id):
        turn.changed = False
        return None
    return match


def _match_accepted(turn: Turn, event: Event) -> None:
    invited = _invitation(turn, event.data)
    if invited is not None:
        _invitation_accepted(turn, *invited)
        return
    match = _live_match(turn, event.data)
    if match is None or match.answered:
        turn.changed = False
        return
    if _is_safe_still(turn, match):
        match.answered = True
        turn.area.note_answer(turn.area.volunteers[match.volunteer_ref], yes=True)
        _word_has_come(turn, match)


def _is_safe_still(turn: Turn, match: Match) -> bool:
    """Whether the checks hold that were asked for when the match was proposed; where they do not, it is released.

    An offer posted again is judged as it comes. Here is caught what was decided under other rules: by an earlier release, or under another policy.
    """
    if is_safe(match):
        return True
    _release_all(turn, [match], UNSAFE)
    return False


def _invitation(turn: Turn, data: Any) -> tuple[Wish, Offer] | None:
    """The wish and offer of an invitation that holds, if this is an answer to one."""
    wish, offer = turn.area.wishes.get(data.wish_id), turn.area.offers.get(data.offer_id)
    if wish is None or offer is None or data.match_id is not None or wish.invited.get(offer.id, 0) <= turn.now or not wish.waits:
        return None
    return wish, offer


def _invitation_accepted(turn: Turn, wish: Wish, offer: Offer) -> None:
    """The first who says yes comes, if all rules still hold."""
    if refusal(wish, offer, turn.now) is not None:
        # They would, and something else of theirs is in the way: others are asked, and so are they should they be free again.
        turn.area.end_invitation(wish, offer.id, as_of=INTERRUPTED)
        turn.seek(wish)
        return
    start = earliest_start(wish, offer, turn.now)
    assert start is not None  # refusal() has seen one
    turn.area.note_answer(offer.volunteer, yes=True)
    turn.propose(wish, offer, start, rung_between(wish.place, offer.home), "paired", accepted=True)
    turn.seek(wish)


def _match_approved(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is None:
        return
    if not event.data.approved:
        _release_all(turn, [match], "declined")
    elif match.approved:
        turn.changed = False
    elif _is_safe_still(turn, match):
        match.approved = True
        _word_has_come(turn, match)


def _word_has_come(turn: Turn, match: Match) -> None:
    if match.is_firm:
        turn.agree(match)
    else:
        turn.area.await_word(match)


def _match_declined(turn: Turn, event: Event) -> None:
    invited = _invitation(turn, event.data)
    if invited is not None:
        wish, offer = invited
        turn.area.end_invitation(wish, offer.id, as_of=DECLINED)
        turn.area.note_answer(offer.volunteer, yes=False)
        turn.seek(wish)
        return
    asked = turn.area.wishes.get(event.data.wish_id)
    if asked is not None and event.data.match_id is None and asked.invited.get(event.data.offer_id) == INTERRUPTED:
        # Their place was taken before they had answered; should it fall free again they are not asked anew.
        turn.area.end_invitation(asked, event.data.offer_id, as_of=DECLINED)
        return
    match = _live_match(turn, event.data)
    if match is not None:
        turn.area.note_unwilling(match)
        _release_all(turn, [match], "declined")


def _match_confirmed(turn: Turn, event: Event) -> None:
    match = _match_said(turn, event.data)
    if match is None or match.state in (CONFIRMED, CLOSED):
        turn.changed = False
        return
    if not match.live or _is_safe_still(turn, match):
        turn.area.confirm(match)


def _service_started(turn: Turn, event: Event) -> None:
    """Whoever has set out or arrived and must not be there is called back, as long as the visit is not over."""
    match = _live_match(turn, event.data)
    turn.changed = match is not None and not _is_safe_still(turn, match)


def _confirmation_failed(turn: Turn, event: Event) -> None:
    match = _live_match(turn, event.data)
    if match is None:
        _failed_too_late(turn, event.data)
    elif event.data.reason == NO_CONSENT:
        _end(turn, match.wish, UNSAFE)  # it would be missing for the next helper, too, and they would be asked in vain
    else:
        _release_all(turn, [match], "undeliverable")


def _failed_too_late(turn: Turn, data: Any) -> None:
    """That nobody could be told of a visit is read once it is over: there is nothing to release, but nobody came, nor did who was to come along."""
    match = _match_said(turn, data)
    if match is not None and not match.live and match.state not in (CONFIRMED, CLOSED):
        turn.changed = True
        _close(turn, [one for one in (match, *match.companions) if one.state not in (CONFIRMED, CLOSED)], NOT_DONE)


def _match_said(turn: Turn, data: Any) -> Match | None:
    """The match of that id, if it was not released; live or over."""
    wish = turn.area.wishes.get(data.wish_id)
    match = wish.matches.get(data.offer_id) if wish is not None else None
    return match if match is not None and match.id == data.match_id else None


def _match_closed(turn: Turn, event: Event) -> None:
    """A visit is over and judged."""
    match = _match_said(turn, event.data)
    if match is None or match.state == CLOSED:
        turn.changed = False
    else:
        _close(turn, [match], event.data.outcome)


def _close(turn: Turn, matches: list[Match], outcome: str) -> None:
    """Visits of one wish, of one group where there are several, end so; where they did not help, the wish opens again, as old as it is."""
    area, match = turn.area, matches[0]
    wish, freed = match.wish, [one for one in matches if one.live]
    for one in matches:
        area.close(one, outcome)
    if area.unhelp([match, *match.companions]):
        if wish.waits and wish.end <= turn.now:
            _expire(turn, wish)
        elif wish.waits:
            area.watch_wish(wish)
    turn.pair_again(freed, [wish])


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
    "lastmetre.service.started.v1": _service_started,
    "lastmetre.service.finished.v1": _no_effect,
    "lastmetre.service.acknowledged.v1": _no_effect,
    "lastmetre.match.confirmed.v1": _match_confirmed,
    "lastmetre.confirmation.failed.v1": _confirmation_failed,
    "lastmetre.match.closed.v1": _match_closed,
}
# `lastmetre.match.declined.v1` as a code: match_declined.
_SAID: Final = {kind: "_".join(kind.split(".")[1:3]) for kind in HANDLERS}


def decide(area: Area, event: Event, now: int) -> tuple[str, list[Decision]]:
    """(outcome, events out) of one event that was not decided before. `now` is never before the area's clock."""
    turn = Turn(area, now, f"{area.name}\n{event.source}\n{event.id}", _SAID[event.type])
    area.clock = now
    HANDLERS[event.type](turn, event)
    return (DECIDED if turn.changed or turn.out else NO_EFFECT), turn.out


def pass_time(area: Area, now: int) -> tuple[bool, list[Decision]]:
    """(whether anything changed, events out) once the clock shows `now`: slots over, holds ended, wishes expired, rounds held."""
    turn = Turn(area, now, f"{area.name}\n{TIME_PASSED}\n{now}", changed=False)
    area.clock = max(area.clock, now)
    freed: list[Match] = []
    again: dict[str, Wish] = {}
    wider: list[tuple[Wish, int]] = []
    calls_round = False
    while area.deadlines and area.deadlines[0][0] <= now:
        at, kind, subject, number = deadline = heappop(area.deadlines)
        while area.deadlines and area.deadlines[0] == deadline:
            heappop(area.deadlines)  # a wish that was opened again is watched a second time; what is due is due once
        if kind == OFFER_LAPSES:
            again.update((wish.id, wish) for wish in _lapse(turn, subject, at))
        elif kind == ROUND:
            calls_round = calls_round or at == area.round_at
        elif kind in (HOLD_ENDS, SLOT_OVER):
            freed.extend(_match_deadline(turn, kind, subject, number, at))
        elif (wish := area.wishes.get(subject)) is not None:
            _wish_deadline(turn, kind, wish, at, again, wider)
    if freed:
        turn.changed = True
        turn.pair_again(freed)
    for wish in sorted((wish for wish in again.values() if wish.waits), key=turn_of):
        turn.seek(wish)
    if calls_round:
        run_round(turn)
    _widen(turn, wider)
    return turn.changed or bool(turn.out), turn.out


def _wish_deadline(turn: Turn, kind: int, wish: Wish, at: int, again: dict[str, Wish], wider: list[tuple[Wish, int]]) -> None:
    """A wish is over; or an invitation is, and the wish is tried `again` once all that is over has made room; or it is for a `wider` circle."""
    if kind == WIDENS:
        # Also while it is held: the next step comes at its time, whatever becomes of the hold.
        turn.area.watch_reach(wish, at)
    if wish.status != OPEN:
        return
    if kind == WISH_ENDS:
        _expire(turn, wish)
    elif kind == WIDENS:
        wider.append((wish, at))
    elif at in wish.invited.values():  # else it ended before: whoever has loaded the area since knows of no such instant
        # In the journal also where nobody takes their place: decided again later, somebody might.
        turn.changed = True
        turn.area.note_silent(wish, at)
        again[wish.id] = wish


def _widen(turn: Turn, wider: list[tuple[Wish, int]]) -> None:
    """Nobody came from the circles so far, and not in this round either: these wishes are for one more."""
    area = turn.area
    for wish, at in wider:
        if not wish.waits:
            continue
        reach = area.reach_of(wish, at)
        turn.changed = True
        turn.tell("lastmetre.wish.widened.v1", wish.id, {"area": area.name, "wish_id": wish.id, "reach": RUNGS[reach]})
        area.call_round(turn.now)
        if reach == AREA:
            tell_unmet(turn, wish)


def tell_unmet(turn: Turn, wish: Wish) -> None:
    """A community worker hears what the wish needs that nobody can give, where nobody can."""
    area = turn.area
    if not area.policy.tell_unmet:
        return
    if _can_be_met(turn, wish):
        return
    # Skills that nobody has are what is missing; where each is there, it is all of it together.
    missing = sorted(skill for skill in wish.skills if not area.index.holders.get(skill)) or sorted(wish.skills)
    need = {"skills": missing, "vetting": wish.vetting, "rung": RUNGS[AREA], "window": {"start": rfc3339(wish.start), "end": rfc3339(wish.end)}}
    turn.tell("lastmetre.wish.unmet.v1", wish.id, {"area": area.name, "wish_id": wish.id, "need": need})


def _can_be_met(turn: Turn, wish: Wish) -> bool:
    if wish.together:  # somebody alone does not help a child
        return find_group(turn.area, wish, turn.now) is not None
    candidates = turn.area.index.in_order(wish)
    someone = any(turn.start_if_eligible(wish, offer) is not None for _, offer in candidates)
    candidates.close()
    return someone


def _lapse(turn: Turn, offer_id: str, at: int) -> list[Wish]:
    """The last window of an offer is over; the wishes that had invited it, and wait for somebody else."""
    offer = turn.area.offers.get(offer_id)
    if offer is None or offer.status != OPEN or offer.last_end > at:
        return []
    turn.area.close_offer(offer, LAPSED, offer.status_at)
    turn.changed = True
    return turn.end_invitations(offer)


def _match_deadline(turn: Turn, kind: int, wish_id: str, number: int, at: int) -> list[Match]:
    """A slot is over, or nobody gave the word that a hold was for; the matches that let go of something."""
    wish = turn.area.wishes.get(wish_id)
    match = next((match for match in wish.matches.values() if match.number == number), None) if wish is not None else None
    if match is None or not match.live:
        return []
    if kind == SLOT_OVER:
        turn.area.finish_slot(match, match.end)
        return [match]
    if match.is_firm or turn.area.hold_ends_at(match) > at:
        return []
    group = [match, *(other for other in match.companions if other.live)]
    turn.area.note_unwilling(match)
    turn.release_with_group(match, "unanswered")
    return group


def _expire(turn: Turn, wish: Wish) -> None:
    turn.area.end_wish(wish, EXPIRED)
    turn.changed = True
    about = {"resident_ref": wish.resident_ref, "category": wish.category}  # whoever never had a match is known to nobody else
    turn.tell("lastmetre.wish.expired.v1", wish.id, {"area": turn.area.name, "wish_id": wish.id, "filled": len(wish.matches), **about})
