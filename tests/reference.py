"""The contract's rules a second time, as plainly as possible: no index, no memory of who was tried, everything searched every time.

The core is compared with it event by event. Nothing here is shared with the core; speed does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.codec import Event
from schemas.instants import DAY_US, MINUTE_US, micros
from tests.builders import minutes_of

RUNGS = ("unit", "building", "compound", "community", "area")
ANSWER_US = {"red": 10 * MINUTE_US, "yellow": 60 * MINUTE_US, "blue": 720 * MINUTE_US}
WORD_US = 10 * MINUTE_US
WEEK_US = 7 * DAY_US
VISITS = ("elder_care", "disability_help", "left_behind_children", "health", "culture")
SUPPLY_STEPS = (4, 16, 64, 256, 1024)


def _steps(place: Any) -> list[str]:
    return [step for step in (place.community, place.compound, place.building, place.unit) if step is not None]


def rung(one: Any, other: Any) -> int:
    """How far apart: 4 less the number of steps that both name and share."""
    shared = 0
    for step, same in zip(_steps(one), _steps(other), strict=False):
        if step != same:
            break
        shared += 1
    return 4 - shared


@dataclass
class RMatch:
    """A pairing, as it stands."""

    wish: RWish
    offer_id: str
    person: str
    start: int
    end: int
    group: int | None
    awaits: set[str]
    first_word_by: int
    word_by: int
    live: bool = True
    confirmed: bool = False
    outcome: str = ""


@dataclass
class RWish:
    """A wish; `helpers` are the matches that were not released."""

    data: Any
    since: int
    over: bool = False
    helpers: list[RMatch] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)

    @property
    def for_minor(self) -> bool:
        return self.data.beneficiary.age_band in ("under_14", "under_18") or self.data.category == "left_behind_children"

    @property
    def together(self) -> bool:
        return self.for_minor or self.data.accompanied

    @property
    def lacks(self) -> int:
        helpers: int = self.data.helpers_needed
        return (max(2, helpers) if self.together else helpers) - len(self.helpers)

    @property
    def level(self) -> int:
        level: int = self.data.vetting_min
        return 4 if self.for_minor else max(level, 2 if self.data.beneficiary.lives_alone else 0)

    @property
    def length(self) -> int:
        return int(self.data.minutes) * MINUTE_US

    @property
    def waits(self) -> bool:
        return not self.over and self.lacks > 0

    @property
    def turn(self) -> tuple[int, int, str]:
        return ("red", "yellow", "blue").index(self.data.urgency), self.since, self.data.wish_id


@dataclass
class ROffer:
    """An offer; `shut` says when and how it ended, if it did."""

    data: Any
    status: str
    at: int

    @property
    def windows(self) -> list[tuple[int, int]]:
        return [(micros(one.start), micros(one.end)) for one in self.data.windows]


class Reference:
    """One area, decided by searching everything."""

    def __init__(self, proof_needed: frozenset[str] = frozenset()) -> None:
        self.proof_needed = proof_needed
        self.now = 0
        self.wishes: dict[str, RWish] = {}
        self.offers: dict[str, ROffer] = {}
        self.early: dict[tuple[str, str], tuple[int, str]] = {}
        self.out: list[str] = []
        self.groups = 0
        self.in_vain: list[RMatch] = []

    # ---- what holds now

    def matches(self) -> list[RMatch]:
        return [match for wish in self.wishes.values() for match in wish.helpers if match.live]

    def busy(self, person: str) -> list[tuple[int, int]]:
        return [(match.start, match.end) for match in self.matches() if match.person == person]

    def held(self, offer_id: str) -> int:
        return sum(match.offer_id == offer_id for match in self.matches())

    def can(self, wish: RWish, offer: ROffer, start: int) -> bool:
        """Whether this visit could begin then, vetting aside."""
        end = start + wish.length
        return (
            start >= max(self.now, micros(wish.data.window.start))
            and end <= micros(wish.data.window.end)
            and any(opens <= start and end <= closes for opens, closes in offer.windows)
            and all(end <= one or other <= start for one, other in self.busy(offer.data.volunteer_ref))
            and self.rested(offer, start, end)
            and self.within_week(offer, start)
        )

    def rested(self, offer: ROffer, start: int, end: int) -> bool:
        """Between this visit and each other one there is the rest that the offer names."""
        rest = (offer.data.rest_minutes or 0) * MINUTE_US
        slots = [*self.busy(offer.data.volunteer_ref), *self.over(offer.data.volunteer_ref)]
        return all(end + rest <= one or other + rest <= start for one, other in slots)

    def over(self, person: str) -> list[tuple[int, int]]:
        """The visits that are over and were not taken back: those that were closed early until then."""
        return [(self.now, match.end) for match in self.visits(person) if not match.live or match.end <= self.now]

    def starts(self, person: str) -> list[int]:
        """When all visits begin, and began, that were not taken back."""
        return [match.start for match in self.visits(person)]

    def visits(self, person: str) -> list[RMatch]:
        """All of this person's matches that were not released, also those that did not help."""
        return [match for match in [*(match for wish in self.wishes.values() for match in wish.helpers), *self.in_vain] if match.person == person]

    def within_week(self, offer: ROffer, start: int) -> bool:
        """Whichever of the visits a week is counted from, with this one it has no more than the offer says."""
        most = offer.data.per_week_max
        starts = [*self.starts(offer.data.volunteer_ref), start]
        return most is None or all(sum(first <= one < first + WEEK_US for one in starts) <= most for first in starts if first <= start < first + WEEK_US)

    def fresh(self, wish: RWish, offer: ROffer, start: int) -> bool:
        checked = micros(offer.data.vetting.checked_at)
        return wish.level < 4 or checked <= start <= checked + 365 * DAY_US

    def proven(self, wish: RWish, offer: ROffer, start: int) -> bool:
        """For each wished skill of which the area asks proof there is one that the visit does not outlast."""
        return all(
            any(one.skill == skill and micros(one.valid_until) >= start + wish.length for one in offer.data.proofs or ())
            for skill in wish.data.skills
            if skill in self.proof_needed
        )

    def cleared(self, wish: RWish, offer: ROffer, start: int) -> bool:
        """Whether checks and proofs hold for a visit that begins then; the level aside."""
        return self.fresh(wish, offer, start) and self.proven(wish, offer, start)

    def safe(self, match: RMatch, offer: ROffer) -> bool:
        """Whether this visit could be proposed as far as checks and proofs go, as they are said to be now."""
        return int(offer.data.vetting.level) >= match.wish.level and self.cleared(match.wish, offer, match.start)

    def instants(self, wish: RWish, offers: list[ROffer]) -> list[int]:
        """All instants at which something begins or ends: an earliest start is one of them."""
        points = {self.now, micros(wish.data.window.start)}
        for offer in offers:
            points |= {opens for opens, _ in offer.windows} | {micros(offer.data.vetting.checked_at)}
            rest = (offer.data.rest_minutes or 0) * MINUTE_US
            points |= {end + rest for _, end in [*self.busy(offer.data.volunteer_ref), *self.over(offer.data.volunteer_ref)]}
            points |= {start + WEEK_US for start in self.starts(offer.data.volunteer_ref)}
        return sorted(points)

    def earliest(self, wish: RWish, offer: ROffer) -> int | None:
        return next((start for start in self.instants(wish, [offer]) if self.can(wish, offer, start)), None)

    def weight(self, offer: ROffer) -> int:
        """What its skills weigh: the fewer open offers have one, the more."""
        total = 0
        for skill in set(offer.data.skills):
            supply = sum(skill in other.data.skills for other in self.offers.values() if other.status == "open")
            total += 4 ** sum(supply < step for step in SUPPLY_STEPS)
        return total

    def key(self, wish: RWish, offer: ROffer) -> tuple[int, bool, int, int, int, str]:
        near = rung(wish.data.place, offer.data.home)
        centre = near == 0 and wish.data.category in VISITS and (offer.data.organisation or "").startswith("中心户")
        return (
            near,
            not centre,
            self.weight(offer),
            len(self.busy(offer.data.volunteer_ref)),
            len(self.starts(offer.data.volunteer_ref)),
            offer.data.offer_id,
        )

    def suits(self, wish: RWish, offer: ROffer) -> bool:
        """All rules but the slot."""
        return (
            offer.status == "open"
            and set(wish.data.skills) <= set(offer.data.skills)
            and (not wish.data.languages or bool(set(wish.data.languages) & set(offer.data.languages or ())))
            and rung(wish.data.place, offer.data.home) <= RUNGS.index(offer.data.reach)
            and offer.data.vetting.level >= wish.level
            and offer.data.offer_id not in wish.barred
            and all(match.offer_id != offer.data.offer_id and match.person != offer.data.volunteer_ref for match in wish.helpers)
            and self.held(offer.data.offer_id) < offer.data.capacity
        )

    def ranked(self, wish: RWish) -> list[ROffer]:
        return sorted((offer for offer in self.offers.values() if self.suits(wish, offer)), key=lambda offer: self.key(wish, offer))

    # ---- finding

    def seek(self, wish: RWish) -> None:
        if wish.together:
            while wish.lacks >= 2 and (group := self.group(wish)) is not None:
                self.propose_group(wish, *group, leader=None)
            return
        while wish.lacks > 0:
            for offer in self.ranked(wish):
                start = self.earliest(wish, offer)
                if start is not None and self.cleared(wish, offer, start):
                    self.propose(wish, offer, start)
                    break
            else:
                return

    def group(self, wish: RWish, leader: ROffer | None = None) -> tuple[int, list[ROffer]] | None:
        ranked = self.ranked(wish)
        if leader is not None:
            ranked = [leader, *(offer for offer in ranked if offer is not leader)]
        points = [wish.helpers[0].start] if wish.helpers else self.instants(wish, ranked)
        for start in points:
            members: dict[str, ROffer] = {}
            for offer in ranked:
                if self.can(wish, offer, start) and self.cleared(wish, offer, start):
                    members.setdefault(offer.data.volunteer_ref, offer)
            if len(members) >= 2 and (leader is None or leader in members.values()):
                return start, list(members.values())[: wish.lacks]
        return None

    def propose_group(self, wish: RWish, start: int, members: list[ROffer], leader: ROffer | None) -> None:
        self.groups += 1
        for offer in members:
            self.propose(wish, offer, start, claimed=offer is leader, group=(self.groups, len(members)))

    def propose(self, wish: RWish, offer: ROffer, start: int, *, claimed: bool = False, group: tuple[int, int] | None = None) -> None:
        asked = offer.data.accepts == "ask" and not claimed
        approval = wish.data.approval == "worker"
        word_by = max(start, self.now + WORD_US)
        first = min(self.now + ANSWER_US[wish.data.urgency], word_by) if asked else word_by
        awaits = {name for name, wanted in (("answer", asked), ("approval", approval)) if wanted}
        match = RMatch(
            wish,
            offer.data.offer_id,
            offer.data.volunteer_ref,
            start,
            start + wish.length,
            group[0] if group else None,
            awaits,
            first,
            max(first, start),
        )
        wish.helpers.append(match)
        words = [f"proposed {wish.data.wish_id} {match.offer_id} @{minutes_of(start)} {RUNGS[rung(wish.data.place, offer.data.home)]}"]
        words += ["claimed"] if claimed else []
        words += [f"asked until {minutes_of(first)}"] if asked else []
        words += ["needs approval"] if approval else []
        words += [f"group of {group[1]}"] if group else []
        self.out.append(" ".join(words))

    def pair_all(self) -> None:
        """Whoever waits, in turn. Those who found nobody before find nobody now, unless something was given back."""
        for wish in sorted((wish for wish in self.wishes.values() if wish.waits), key=lambda wish: wish.turn):
            self.seek(wish)

    def release(self, match: RMatch, reason: str) -> None:
        match.live = False
        match.wish.helpers.remove(match)
        if reason != "group_incomplete":
            match.wish.barred.add(match.offer_id)
        self.out.append(f"released {match.wish.data.wish_id} {match.offer_id} {reason}")

    def release_group(self, match: RMatch, reason: str) -> None:
        others = [other for other in match.wish.helpers if match.group is not None and other is not match and other.live and other.group == match.group]
        self.release(match, reason)
        for other in others:
            self.release(other, "group_incomplete")

    def expire(self, wish: RWish) -> None:
        wish.over = True
        self.out.append(f"expired {wish.data.wish_id} with {len(wish.helpers)}")

    # ---- time and events

    def time_runs_to(self, now: int) -> list[str]:
        self.out, self.now = [], now
        for offer in self.offers.values():
            if offer.status == "open" and max(end for _, end in offer.windows) <= now:
                offer.status = "lapsed"
        let_go = [self._ends(what) for at, *_, what in sorted(self._deadlines(), key=lambda one: one[:3]) if at <= now]
        if any(let_go):
            self.pair_all()
        return self.out

    def _deadlines(self) -> list[tuple[int, int, str, Any]]:
        """(when, in which order at one instant, whose, what): words that are awaited, slots, wishes."""
        matches = [(match, f"{match.wish.data.wish_id} {number:03}") for number, match in enumerate(self.matches())]
        words = [(match.first_word_by if "answer" in match.awaits else match.word_by, 0, name, match) for match, name in matches if match.awaits]
        slots = [(match.end, 1, name, match) for match, name in matches if not match.awaits]
        ends = [(micros(wish.data.window.end), 2, wish.data.wish_id, wish) for wish in self.wishes.values()]
        return [*words, *slots, *ends]

    def _ends(self, what: RMatch | RWish) -> bool:
        """Something's time is up; whether it gave a helper back."""
        if isinstance(what, RWish):
            if what.waits:
                self.expire(what)
            return False
        if not what.live:
            return False
        if what.awaits:
            self.release_group(what, "unanswered")
        what.live = False
        return True

    def decide(self, event: Event, now: int) -> list[str]:
        self.out, self.now = [], now
        name = "_" + event.type.removeprefix("lastmetre.").removesuffix(".v1").replace(".", "_")
        getattr(self, name, lambda _event: None)(event)
        return self.out

    def _wish_submitted(self, event: Event) -> None:
        wish_id = event.data.wish_id
        if wish_id in self.wishes:
            return
        wish = self.wishes[wish_id] = RWish(event.data, self.now)
        before = self.early.pop(("wish", wish_id), None)
        if before is not None and before[0] >= event.time:
            wish.over = True
        elif micros(event.data.window.end) <= self.now:
            self.expire(wish)
        else:
            self.seek(wish)

    def _wish_withdrawn(self, event: Event, reason: str = "withdrawn") -> None:
        wish = self.wishes.get(event.data.wish_id)
        if wish is None:
            self._note_early("wish", event.data.wish_id, event.time, "withdrawn")
            return
        live = [match for match in wish.helpers if match.live]
        if not live and not wish.waits and (wish.over or all(match.outcome for match in wish.helpers)):
            return
        self._end(wish, reason)

    def _end(self, wish: RWish, reason: str) -> None:
        wish.over = True
        for match in [match for match in wish.helpers if match.live]:
            self.release(match, reason)
        self.pair_all()

    def _consent_withdrawn(self, event: Event) -> None:
        self._wish_withdrawn(event, "unsafe")

    def _note_early(self, kind: str, subject: str, at: int, status: str) -> None:
        before = self.early.get((kind, subject), (at, status))
        self.early[kind, subject] = (max(at, before[0]), "suspended" if "suspended" in (status, before[1]) else status)

    def _offer_posted(self, event: Event) -> None:
        offer_id = event.data.offer_id
        before = self.offers.get(offer_id)
        if before is not None and before.status in ("open", "lapsed") and before.at > event.time:
            return
        shut = self.early.pop(("offer", offer_id), None)
        if before is not None and before.status in ("withdrawn", "suspended"):
            shut = (before.at, before.status)
        offer = self.offers[offer_id] = ROffer(event.data, "open", event.time)
        if shut is not None and shut[0] >= event.time:
            offer.at, offer.status = shut
        elif max(end for _, end in offer.windows) <= self.now:
            offer.status = "lapsed"
        unsafe = [match for match in self.matches() if match.offer_id == offer_id and not self.safe(match, offer)]
        if unsafe or offer.status == "open":
            self._release_all(unsafe, "unsafe")

    def _offer_withdrawn(self, event: Event, status: str = "withdrawn") -> None:
        offer = self.offers.get(event.data.offer_id)
        if offer is None:
            self._note_early("offer", event.data.offer_id, event.time, status)
            return
        offer.at = max(offer.at, event.time)
        if offer.status in ("suspended", status):
            return
        offer.status = status
        if status == "suspended":
            self._release_all([match for match in self.matches() if match.offer_id == event.data.offer_id], "unsafe")

    def _offer_suspended(self, event: Event) -> None:
        self._offer_withdrawn(event, "suspended")

    def _release_all(self, matches: list[RMatch], reason: str) -> None:
        for match in sorted(matches, key=lambda match: (match.start, match.wish.data.wish_id)):
            self.release_group(match, reason)
        self.pair_all()

    def _wish_claimed(self, event: Event) -> None:
        wish, offer = self.wishes.get(event.data.wish_id), self.offers.get(event.data.offer_id)
        reason = self._refusal(wish, offer)
        if reason is None:
            assert wish is not None
            assert offer is not None
            if wish.together:
                group = self.group(wish, leader=offer) if wish.lacks >= 2 else None
                if group is not None:
                    self.propose_group(wish, *group, leader=offer)
                    return
                reason = "needs_two"
            else:
                start = self.earliest(wish, offer)
                assert start is not None
                self.propose(wish, offer, start, claimed=True)
                return
        self.out.append(f"rejected {event.data.claim_id} {event.data.wish_id} {event.data.offer_id} {reason}")

    def _refusal(self, wish: RWish | None, offer: ROffer | None) -> str | None:
        if wish is None:
            return "unknown_wish"
        if offer is None:
            return "unknown_offer"
        if not wish.waits:
            return "not_open" if wish.over or all(match.confirmed for match in wish.helpers) else "held_for_another"
        start = self.earliest(wish, offer)
        visit = max(self.now, micros(wish.data.window.start)) if start is None else start
        if not set(wish.data.skills) <= set(offer.data.skills) or not self.proven(wish, offer, visit):
            return "skill_missing"
        if wish.data.languages and not set(wish.data.languages) & set(offer.data.languages or ()):
            return "language_missing"
        if rung(wish.data.place, offer.data.home) > RUNGS.index(offer.data.reach):
            return "out_of_reach"
        if offer.data.vetting.level < wish.level or not self.fresh(wish, offer, visit):
            return "vetting_too_low"
        mine = any(match.offer_id == offer.data.offer_id or match.person == offer.data.volunteer_ref for match in wish.helpers)
        if start is None or offer.status != "open" or mine or offer.data.offer_id in wish.barred:
            return "not_available"
        return "offer_full" if self.held(offer.data.offer_id) >= offer.data.capacity else None

    def _standing(self, event: Event) -> RMatch | None:
        wish = self.wishes.get(event.data.wish_id)
        if wish is None:
            return None
        return next((match for match in wish.helpers if match.offer_id == event.data.offer_id), None)

    def _live(self, event: Event) -> RMatch | None:
        match = self._standing(event)
        return match if match is not None and match.live else None

    def _word(self, match: RMatch | None, word: str) -> None:
        if match is not None and word in match.awaits:
            match.awaits.discard(word)
            if not match.awaits:
                self.out.append(f"agreed {match.wish.data.wish_id} {match.offer_id}")

    def _match_accepted(self, event: Event) -> None:
        self._word(self._live(event), "answer")

    def _match_approved(self, event: Event) -> None:
        match = self._live(event)
        if event.data.approved:
            self._word(match, "approval")
        elif match is not None:
            self._release_all([match], "declined")

    def _match_declined(self, event: Event) -> None:
        match = self._live(event)
        if match is not None:
            self._release_all([match], "declined")

    def _confirmation_failed(self, event: Event) -> None:
        match, late = self._live(event), self._standing(event)
        if match is not None and event.data.reason == "no_consent":
            self._end(match.wish, "unsafe")
        elif match is not None:
            self._release_all([match], "undeliverable")
        elif late is not None and not late.live and not late.confirmed:
            # Whoever was to come along was not told either.
            untold = [other for other in self._together(late) if not other.confirmed]
            for other in untold:
                other.outcome, other.confirmed, other.awaits = "not_done", True, set()
            self._judged(late)

    def _match_confirmed(self, event: Event) -> None:
        match = self._standing(event)
        if match is not None:
            match.confirmed = True

    def _match_closed(self, event: Event) -> None:
        match = self._standing(event)
        if match is None or match.outcome:
            return
        match.outcome, match.confirmed, match.live, match.awaits = event.data.outcome, True, False, set()
        match.end = min(match.end, self.now)
        self._judged(match)

    def _together(self, match: RMatch) -> list[RMatch]:
        return [other for other in match.wish.helpers if other is match or (match.group is not None and other.group == match.group)]

    def _judged(self, match: RMatch) -> None:
        """Where all who came together came in vain, the wish is as it was, but for those whom it met."""
        wish, together = match.wish, self._together(match)
        if all(other.outcome in ("partly", "not_done") for other in together):
            for other in together:
                wish.helpers.remove(other)
                wish.barred.add(other.offer_id)
                self.in_vain.append(other)
            if wish.waits and micros(wish.data.window.end) <= self.now:
                self.expire(wish)
        self.pair_all()
