"""Who is asked though the ladder is not there yet: whoever would be gone by then.

A wish that waits for rounds is for its own building first and then for one rung more at a time. That makes near pairs, and must not cost the only one there is:
where too few others are left for later, a helper from farther away is weighed as soon as waiting for the rung would come too late for a visit, or for their
answer.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, TypeAlias

from services.matcher.core.place import AREA, BUILDING, rung_between
from services.matcher.core.rules import has_capacity, last_start
from services.matcher.core.state import Area, Offer, Wish
from services.matcher.core.turn import ROUND_LATE_US

# At so many helpers who are about to go one round looks for all wishes together; where thousands wait, at these few for each at least.
_LOOKS_TOTAL: Final = 30_000
_LOOKS_MIN: Final = 6

Going: TypeAlias = tuple[int, str, Offer]


def answer_us(area: Area, wish: Wish, offer: Offer) -> int:
    """How long the helper may take to say yes; nothing where they need not be asked."""
    return area.policy.answer_us[wish.urgency] if offer.asks else 0


def _asked_by(area: Area, wish: Wish, rung: int) -> int:
    """By when the first round is held in which the wish is for this rung."""
    return area.next_beat(area.reaches_at(wish, rung) - 1) + ROUND_LATE_US


def gone_before(area: Area, wish: Wish, offer: Offer, rung: int, last: int) -> bool:
    """Whether the first round in which the wish is for this rung may come too late for the helper, who can begin at `last` and no later."""
    return last - answer_us(area, wish, offer) < _asked_by(area, wish, rung)


def reach_of_round(area: Area, wish: Wish, now: int) -> int:
    """The widest rung that is weighed in the round of now: each of them, where the next round with one more may come too late for the wish itself."""
    reach = area.reach_of(wish, now)
    return reach if reach == AREA or _asked_by(area, wish, reach + 1) <= wish.latest_start else AREA


class Leaving:
    """Those of whom something is over soon, as the wishes of one round see them: by skill, in the order of their going."""

    def __init__(self, area: Area, now: int) -> None:
        self._area = area
        self._now = now
        self._looks = max(_LOOKS_MIN, _LOOKS_TOTAL // max(1, len(area.pooled)))
        self._soon: dict[str, dict[str, list[Going]]] = {}

    def _of(self, wish: Wish, reach: int) -> Iterator[tuple[int, Offer]]:
        """(rung, offer) of those beyond the reach of now who would be gone before the wish asks as far; who stays longest comes first."""
        area, skills = self._area, wish.skills
        by_skill = self._soon.get(wish.urgency)
        if by_skill is None:
            by_skill = self._soon[wish.urgency] = self._going(wish.urgency)
        going = min((by_skill.get(skill, _NOBODY) for skill in skills), key=len)
        until = _asked_by(area, wish, AREA) + wish.length
        before = bisect_left(going, (until,))
        for _, _, offer in reversed(going[max(0, before - self._looks) : before]):
            if not skills <= offer.skills or not has_capacity(offer):
                continue
            rung = rung_between(wish.place, offer.home)
            if reach < rung <= offer.reach and (last := last_start(wish, offer, self._now)) is not None and gone_before(area, wish, offer, rung, last):
                yield rung, offer

    def beyond(self, wish: Wish, reach: int, first: tuple[int, Offer], following: Iterator[tuple[int, Offer]], near: set[str]) -> Iterator[tuple[int, Offer]]:
        """(rung, offer) of those who are weighed though the wish does not ask as far yet: who would be gone by then, where too few others are left for it.

        The others: the people who are `near`, and of `first` and `following`, from farther away, who are still there when the wish asks as far.
        """
        people, going = set(near), dict[str, tuple[int, Offer]]()
        candidate: tuple[int, Offer] | None = first
        for _ in range(self._looks):
            if candidate is None or len(people) >= wish.places_free:
                break
            rung, offer = candidate
            last = last_start(wish, offer, self._now)
            by = _asked_by(self._area, wish, rung)
            if last is not None and last < by:
                going[offer.id] = candidate  # also where another visit of theirs ends their time, of which no list tells
            elif last is not None and last - answer_us(self._area, wish, offer) >= by:
                people.add(offer.volunteer.ref)
            candidate = next(following, None)
        if len(people) >= wish.places_free:
            return
        for rung, offer in self._of(wish, reach):
            going.pop(offer.id, None)
            yield rung, offer
        yield from going.values()

    def _going(self, urgency: str) -> dict[str, list[Going]]:
        """By skill: (until when they can be waited for, their id, the offer), in order."""
        area, policy = self._area, self._area.policy
        answer = policy.answer_us[urgency]
        until = self._now + (AREA - BUILDING) * policy.widen_us[urgency] + policy.round_us + ROUND_LATE_US + area.pooled.longest
        found: dict[str, list[Going]] = {}
        for end, offer in area.index.ends.between(self._now, until + answer):
            goes_at = end - answer if offer.asks else end
            if goes_at <= until:
                for skill in offer.skills:
                    found.setdefault(skill, []).append((goes_at, offer.id, offer))
        for going in found.values():
            going.sort()
        return found


_NOBODY: Final[list[Going]] = []
