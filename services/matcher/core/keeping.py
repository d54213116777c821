"""Who is kept free for a while: a helper for a wish that needs two together, until a second one falls free.

Such a wish is tried whenever somebody comes or falls free. Where helpers fall free one at a time, each would be given an easier wish at once, and no two of
them would ever be free together: children's wishes would wait for ever. So a round does not give the one who is free now to a younger wish where another
helper falls free soon enough. *Soon enough* grows with the wish: nobody is kept for longer than it has waited already. No wish ends by it without a helper whom
it could have had: who would be too late for it is not held back, nor are wishes that are tried at once, claims, and older wishes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from services.matcher.core.ladder import answer_us
from services.matcher.core.rules import Stretch, has_capacity, has_skills, last_start, may_join, possible_starts, within_reach
from services.matcher.core.state import OPEN, Area, Offer, Wish
from services.matcher.core.turn import ROUND_LATE_US, turn_of

# In one round somebody is kept for so many wishes at most, by looking at so many offers; the most urgent and the oldest come first.
_WISHES_MAX: Final = 32
_LOOKS_MAX: Final = 20_000
# Of those who are free for a wish, so many are looked at together with those who are about to be.
_FREE_MAX: Final = 8

Candidates: TypeAlias = Callable[[Wish], Iterable[tuple[int, Offer]]]
Falling: TypeAlias = tuple[int, str, Offer]


@dataclass(frozen=True, slots=True)
class Kept:
    """Whom an offer is kept for, and until when: somebody else falls free then."""

    wish: Wish
    until: int


class Keeping:
    """Whom a round keeps free. `offers`: by the offer's id, one for a wish at most."""

    def __init__(self, area: Area, now: int, candidates: Candidates) -> None:
        """`candidates`: (rung, offer) of those with capacity and the skills who are within reach of a wish, the best first."""
        self._area = area
        self._now = now
        self._candidates = candidates
        self._looks = _LOOKS_MAX
        # Each is waited for once.
        self._awaited = set[str]()
        self.offers: dict[str, Kept] = {}
        rounds = area.policy.round_us > 0
        waiting = [wish for wish in area.waiting.all() if rounds and wish.together and not wish.matches and wish.latest_start > now]
        falling: list[Falling] | None = None
        for wish in sorted(waiting, key=turn_of):
            if self._looks <= 0 or len(self.offers) == _WISHES_MAX:
                break
            free = self._free(wish)
            if not free:
                continue
            if falling is None:
                falling = self._falling()
            self._keep_for(wish, free, falling)

    def _free(self, wish: Wish) -> list[Offer]:
        """Those who are free for it and kept for nobody yet, the best first."""
        free: list[Offer] = []
        for _, offer in self._candidates(wish):
            self._looks -= 1
            if offer.id not in self.offers and may_join(wish, offer) and possible_starts(wish, offer, self._now):
                free.append(offer)
            if len(free) == _FREE_MAX or self._looks <= 0:
                break
        return free

    def _falling(self) -> list[Falling]:
        """(when, id, offer) of those who have as many visits as they take, in the order in which one of these is over."""
        full = (offer for offer in self._area.offers.values() if offer.status == OPEN and not has_capacity(offer))
        falling = [(sorted(match.end for match in offer.matches.values())[offer.live - offer.capacity], offer.id, offer) for offer in full]
        return sorted(one for one in falling if one[0] > self._now)

    def _keep_for(self, wish: Wish, free: list[Offer], falling: list[Falling]) -> None:
        """The first two who have a slot in common once the second is free; not if that is farther ahead than the wish is old, or too late for it."""
        by = min(self._now + (self._now - wish.submitted_at), wish.latest_start)
        for at, offer_id, other in falling:
            self._looks -= 1
            if at > by or self._looks <= 0:
                return
            if offer_id in self._awaited or not (has_skills(wish, other) and within_reach(wish, other) and may_join(wish, other)):
                continue
            starts = possible_starts(wish, other, at)
            for offer in free if starts else ():
                if offer.volunteer is not other.volunteer and _meet(starts, possible_starts(wish, offer, at)):
                    self.offers[offer.id] = Kept(wish, at)
                    self._awaited.add(offer_id)
                    return

    def until(self, wish: Wish, offer: Offer, last: int) -> int | None:
        """Until when, at the latest, somebody's last free place is not for this wish of the pool, for which they can begin at `last`; None where it is."""
        kept = self.offers.get(offer.id)
        if kept is None or offer.capacity - offer.live > 1 or (wish.submitted_at, wish.id) < (kept.wish.submitted_at, kept.wish.id):
            return None
        if self._is_late(wish) and not self._is_late(kept.wish):
            return None
        last -= answer_us(self._area, wish, offer)
        if last < self._area.next_beat(self._now) + ROUND_LATE_US:
            return None
        # The last round that is in time for this pair.
        return min(kept.until, last - ROUND_LATE_US - self._area.policy.round_us + 1)

    def kept_from(self, wish: Wish, offer: Offer) -> int | None:
        """The same of any wish, and of an offer that no rule keeps from it."""
        last = last_start(wish, offer, self._now) if self._area.in_rounds(wish) else None
        return None if last is None else self.until(wish, offer, last)

    def second_at(self, wish: Wish) -> int | None:
        """When somebody falls free for whom another one is kept for this wish."""
        return next((kept.until for kept in self.offers.values() if kept.wish is wish), None)

    def _is_late(self, wish: Wish) -> bool:
        """Whether it has waited for as long as a wish of its urgency may, or ought to wait no longer."""
        policy = self._area.policy
        return min(wish.submitted_at + policy.patience_us[wish.urgency], wish.latest_start - policy.lead_us[wish.urgency]) <= self._now


def _meet(some: list[Stretch], others: list[Stretch]) -> bool:
    """Whether an instant lies in both."""
    return any(first <= until and begins <= last for first, last in some for begins, until in others)
