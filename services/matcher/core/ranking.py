"""Who comes first: nearest rung, then the rarer skill kept free, then the less loaded helper, then who had fewer tasks so far, then id.

In their own stairway, centre households come before all others where somebody is to be visited; they have heaps of their own there.

*The rarer skill kept free*: every skill weighs the more, the fewer open offers in the area have it; of two candidates the
one with the lighter skills beyond those wished is taken. All candidates have all wished skills, so comparing the
weight of all their skills is the same comparison, and it does not depend on the wish: offers lie in heaps in this
order, one heap a circle and skill, and a decision looks at the top, whatever the number of offers below.

An entry may lie too early in its heap (its helper was given work, or its skills became rarer since): it is put right when it
comes to the top. It never lies too late: whenever a rank improves, the offer is pushed anew and older entries are void. Void
entries are swept out whenever a heap has doubled, and of a small one when an offer closes, so a heap stays within a small multiple of what lives in it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Generator, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Final, TypeAlias

from services.matcher.core.place import Circle, circles_of, rung_between

if TYPE_CHECKING:
    from services.matcher.core.state import Offer, Wish

# A skill that up to this many open offers have is this much heavier than the next; above the last, all weigh 1.
_SUPPLY_STEPS: Final = (4, 16, 64, 256, 1024)
_LIGHTEST: Final = 1
_STEP: Final = 4
# What the rarest skill weighs.
HEAVIEST: Final = _LIGHTEST * _STEP ** len(_SUPPLY_STEPS)
# The heap of those who may be near a child: the highest vetting level only.
_VETTING_MAX: Final = 4
# By rung: which step of a place tells the next smaller circle (of the smallest there is none).
_SMALLER_STEP: Final = (3, 3, 2, 1, 0)
# Offers are filed by when something of them is over in stretches of five minutes.
_STRETCH_US: Final = 300_000_000
# Heaps up to this size are swept when an offer in them closes.
_SWEEP_MIN: Final = 64
_NOTHING: "Final[dict[tuple[int, str], Offer]]" = {}

Entry: TypeAlias = "tuple[int, int, int, str, int, Offer]"
Heaps: TypeAlias = "dict[Circle, dict[str, Heap]]"
WaitingEntry: TypeAlias = "tuple[int, int, str, Wish]"


def skill_weight(supply: int) -> int:
    """The weight of a skill that `supply` open offers of the area have."""
    weight = _LIGHTEST
    for step in reversed(_SUPPLY_STEPS):
        if supply >= step:
            break
        weight *= _STEP
    return weight


class Heap(list["Entry"]):
    """Entries of one circle and skill; swept when there are more than `limit` of them."""

    __slots__ = ("limit",)

    def __init__(self, entry: "Entry") -> None:
        super().__init__((entry,))
        self.limit = _SWEEP_MIN

    def sweep(self) -> None:
        """Leave out what is void."""
        self[:] = [entry for entry in self if entry[4] == entry[5].entry]
        heapify(self)
        self.limit = max(_SWEEP_MIN, 2 * len(self))


class Calendar:
    """Open offers by the instants at which something of them is over, found without looking at others than those of some minutes."""

    __slots__ = ("_stretches",)

    def __init__(self) -> None:
        self._stretches: dict[int, dict[tuple[int, str], Offer]] = {}

    def note(self, at: int, offer: "Offer") -> None:
        """Something of it is over then; once is enough."""
        self._stretches.setdefault(at // _STRETCH_US, {})[at, offer.id] = offer

    def drop(self, at: int, offer: "Offer") -> None:
        """It was noted, and is so no more."""
        noted = self._stretches[at // _STRETCH_US]
        del noted[at, offer.id]
        if not noted:
            del self._stretches[at // _STRETCH_US]

    def between(self, first: int, last: int) -> "Iterator[tuple[int, Offer]]":
        """(when, offer) of those of which something is over from the one instant to the other, in no order."""
        for stretch in range(first // _STRETCH_US, last // _STRETCH_US + 1):
            for (at, _), offer in self._stretches.get(stretch, _NOTHING).items():
                if first <= at <= last:
                    yield at, offer


class OfferIndex:
    """The open offers of an area, by circle and skill, each heap in the order of the ranking.

    `ends`: when something of what was posted is over. `visits`: when the time before a live slot is over, with the rest before it. `weeks`: up to when, for
    that slot, another visit begins in another week.
    """

    __slots__ = ("_all", "_centres", "_entries", "_vetted", "_weighings", "ends", "holders", "visits", "weeks", "weights")

    def __init__(self) -> None:
        self._all: Heaps = {}
        self._vetted: Heaps = {}
        self._centres: Heaps = {}
        self.ends, self.visits, self.weeks = Calendar(), Calendar(), Calendar()
        # Numbers entries over all offers: the same offer may come back as another object, and no two entries may be equal.
        self._entries = 0
        # Counts how often a weight changed: what an offer weighed since is what it weighs.
        self._weighings = 1
        self.holders: dict[str, dict[str, Offer]] = {}
        self.weights: dict[str, int] = {}

    def add(self, offer: "Offer") -> None:
        """An offer opens."""
        lighter: list[str] = []
        for skill in offer.skills:
            holders = self.holders.get(skill)
            if holders is None:
                holders = self.holders[skill] = {}
            holders[offer.id] = offer
            before = self.weights.get(skill, HEAVIEST)
            if self._weigh_skill(skill, len(holders)) < before:
                lighter.append(skill)
        for end in offer.ends:
            self.ends.note(end, offer)
        self.refresh(offer)
        # The rank of all who have a skill that became lighter improves, so their old entries would lie too late.
        # This happens only when a supply crosses a step.
        again = {holder.id: holder for skill in lighter for holder in self.holders[skill].values()}
        for holder in again.values():
            self.refresh(holder)

    def remove(self, offer: "Offer") -> None:
        """An offer closes; its entries are void from now on. Small heaps are never swept else, and would keep all offers that ever lay in them."""
        offer.entry = 0
        for rung, circle in circles_of(offer.home):
            if rung > offer.reach:
                break
            for heaps in (self._all, self._vetted, self._centres):
                self._sweep_small(heaps, circle, offer.skills)
        for end in offer.ends:
            self.ends.drop(end, offer)
        for skill in offer.skills:
            holders = self.holders[skill]
            del holders[offer.id]
            self._weigh_skill(skill, len(holders))

    def _weigh_skill(self, skill: str, supply: int) -> int:
        weight = skill_weight(supply)
        if self.weights.get(skill) != weight:
            self.weights[skill] = weight
            self._weighings += 1
        return weight

    def score(self, offer: "Offer") -> int:
        """The weight of all skills of an offer as of now."""
        if offer.weighed != self._weighings:
            offer.weight, offer.weighed = self.weigh(offer.skills), self._weighings
        return offer.weight

    def weigh(self, skills: frozenset[str]) -> int:
        """The weight of these skills as of now; those that nobody has weigh nothing."""
        weights = self.weights
        return sum([weights.get(skill, 0) for skill in skills])

    def sort(self, circle: Circle, skill: str, *, vetted: bool) -> "list[Entry]":
        """The open offers with capacity of one circle and skill, best first. The heap is put right on the way: a sorted list is one."""
        by_skill = (self._vetted if vetted else self._all).get(circle)
        heap = by_skill.get(skill) if by_skill is not None else None
        if not heap:
            return []
        right: list[Entry] = []
        for entry in heap:
            score, load, tasks, offer_id, number, offer = entry
            if number == offer.entry and offer.live < offer.capacity:
                person = offer.volunteer
                score_now, load_now, tasks_now = self.score(offer), len(person.slots), person.tasks
                if score_now != score or load_now != load or tasks_now != tasks:
                    entry = (score_now, load_now, tasks_now, offer_id, number, offer)  # noqa: PLW2901 - most are right as they are
                right.append(entry)
        right.sort()
        heap[:] = right
        return right

    def refresh(self, offer: "Offer") -> None:
        """The offer's rank may have improved: put it where it belongs now. Void when the offer is not open."""
        if offer.id not in self.holders.get(next(iter(offer.skills)), ()) or offer.live >= offer.capacity:
            return
        self._entries += 1
        offer.entry = self._entries
        person = offer.volunteer
        entry: Entry = (self.score(offer), len(person.slots), person.tasks, offer.id, offer.entry, offer)
        vetted = offer.level >= _VETTING_MAX
        for rung, circle in circles_of(offer.home):
            if rung > offer.reach:
                break
            self._push(self._all, circle, offer.skills, entry)
            if vetted:
                self._push(self._vetted, circle, offer.skills, entry)
            if rung == 0 and offer.centre:
                self._push(self._centres, circle, offer.skills, entry)

    @staticmethod
    def _push(heaps: Heaps, circle: Circle, skills: frozenset[str], entry: Entry) -> None:
        by_skill = heaps.get(circle)
        if by_skill is None:
            by_skill = heaps[circle] = {}
        for skill in skills:
            heap = by_skill.get(skill)
            if heap is None:
                by_skill[skill] = Heap(entry)
            else:
                heappush(heap, entry)
                if len(heap) > heap.limit:
                    heap.sweep()

    @staticmethod
    def _sweep_small(heaps: Heaps, circle: Circle, skills: frozenset[str]) -> None:
        by_skill = heaps.get(circle)
        if by_skill is None:
            return
        for skill in skills:
            heap = by_skill.get(skill)
            if heap is not None and len(heap) <= _SWEEP_MIN:
                heap.sweep()
                if not heap:
                    del by_skill[skill]
        if not by_skill:
            del heaps[circle]

    def rarest(self, skills: frozenset[str]) -> str | None:
        """The wished skill that the fewest open offers have, or None when one of them has no offer at all."""
        best: tuple[int, str] | None = None
        for skill in skills:
            holders = self.holders.get(skill)
            if not holders:
                return None
            if best is None or (len(holders), skill) < best:
                best = (len(holders), skill)
        return best[1] if best else None

    def in_order(self, wish: "Wish") -> Generator[tuple[int, "Offer"], None, None]:
        """(rung, offer) of the open offers with capacity that have the wished skills within their reach, best first.

        Close it (or use it up) before the area changes: what was looked at is put back then.
        """
        skill = self.rarest(wish.skills)
        if skill is None:
            return
        vetted = wish.vetting >= _VETTING_MAX
        heaps = self._vetted if vetted else self._all
        nearest, circle = wish.circles[0]
        centres = self._centres.get(circle) if wish.welfare and nearest == 0 else None
        if centres is not None and (heap := centres.get(skill)):
            # Of these there is one heap for all wishes, for they are few.
            yield from self._look_through(heap, wish, 0, level_min=_VETTING_MAX if vetted else 0)
        for rung, circle in wish.circles:
            by_skill = heaps.get(circle)
            heap = by_skill.get(skill) if by_skill is not None else None
            if heap:
                yield from self._look_through(heap, wish, rung, without_centres=centres is not None and rung == 0)

    def _look_through(
        self, heap: Heap, wish: "Wish", rung: int, *, without_centres: bool = False, level_min: int = 0
    ) -> Generator[tuple[int, "Offer"], None, None]:
        """Those of one heap, best first; without the centre households where they were looked at before."""
        single, skills, place, score_of = len(wish.skills) == 1, wish.skills, wish.place, self.score
        looked_at: list[Entry] = []
        try:
            while heap:
                score, load, tasks, offer_id, number, offer = heap[0]
                if number != offer.entry or offer.live >= offer.capacity:
                    heappop(heap)  # void, or full: it is pushed anew when it is free again
                    continue
                person = offer.volunteer
                load_now = len(person.slots)
                tasks_now, score_now = person.visits + load_now, score_of(offer)
                if load_now != load or score_now != score or tasks_now != tasks:
                    heapreplace(heap, (score_now, load_now, tasks_now, offer_id, number, offer))
                    continue
                fits = (single or skills <= offer.skills) and (rung == 0 or rung_between(place, offer.home) == rung)
                if fits and offer.level >= level_min and not (without_centres and offer.centre):
                    yield rung, offer
                looked_at.append(heappop(heap))  # only now: mostly nobody asks for another, and then it stays where it is
        finally:
            for entry in looked_at:
                heappush(heap, entry)


def _centres_first(entry: Entry) -> bool:
    return not entry[5].centre


class Ranking:
    """The order of an index while nothing changes: what many wishes look at is sorted once."""

    __slots__ = ("_index", "_rarest", "_sorted")

    def __init__(self, index: OfferIndex) -> None:
        self._index = index
        self._sorted: dict[tuple[Circle, str, bool], list[Entry]] = {}
        self._rarest: dict[frozenset[str], str | None] = {}

    def of(self, wish: "Wish") -> Iterator[tuple[int, "Offer"]]:
        """As :meth:`OfferIndex.in_order`."""
        if wish.skills not in self._rarest:
            self._rarest[wish.skills] = self._index.rarest(wish.skills)
        skill = self._rarest[wish.skills]
        if skill is None:
            return
        place, single, vetted = wish.place, len(wish.skills) == 1, wish.vetting >= _VETTING_MAX
        for rung, circle in wish.circles:
            key = (circle, skill, vetted)
            entries = self._sorted.get(key)
            if entries is None:
                entries = self._sorted[key] = self._index.sort(circle, skill, vetted=vetted)
            if rung == 0 and wish.welfare:
                entries = sorted(entries, key=_centres_first)
            # Who lies in this circle and also in the next smaller one came before: as `rung_between` says, without a call for each.
            step = _SMALLER_STEP[rung]
            smaller = None if rung == 0 else place[step]
            for entry in entries:
                offer = entry[5]
                if (single or wish.skills <= offer.skills) and (smaller is None or offer.home[step] != smaller):
                    yield rung, offer


class WaitingIndex:
    """The open wishes of an area, by circle and one of their skills, each list by urgency, then age, then id."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: dict[Circle, dict[str, list[WaitingEntry]]] = {}

    @staticmethod
    def _entry(wish: "Wish") -> WaitingEntry:
        return (wish.urgency_order, wish.submitted_at, wish.id, wish)

    def add(self, wish: "Wish") -> None:
        """File a wish; once is enough."""
        if wish.waits:
            return
        wish.waits = True
        entry = self._entry(wish)
        skill = min(wish.skills)
        for _, circle in wish.circles:
            insort(self._lists.setdefault(circle, {}).setdefault(skill, []), entry)

    def remove(self, wish: "Wish") -> None:
        """Take a wish out, if it is in."""
        if not wish.waits:
            return
        wish.waits = False
        entry = self._entry(wish)
        skill = min(wish.skills)
        for _, circle in wish.circles:
            lane = self._lists[circle][skill]
            del lane[bisect_left(lane, entry)]

    def near(self, offer: "Offer") -> Iterator["Wish"]:
        """The waiting wishes within the offer's reach that may need its skills, first those that come first.

        Wishes may be taken out in the meantime; none may be added.
        """
        circle = next((circle for rung, circle in circles_of(offer.home) if rung == offer.reach), None)
        by_skill = self._lists.get(circle) if circle is not None else None
        if not by_skill:
            return
        heads: list[tuple[WaitingEntry, list[WaitingEntry]]] = []
        for skill in offer.skills:
            lane = by_skill.get(skill)
            if lane:
                heads.append((lane[0], lane))
        heads.sort(key=lambda head: head[0][:3])
        while heads:
            entry, lane = heads.pop(0)
            if entry[3].waits:
                yield entry[3]
            following = bisect_right(lane, entry)
            if following < len(lane):
                insort(heads, (lane[following], lane), key=lambda head: head[0][:3])

    def all(self) -> Iterator["Wish"]:
        """All waiting wishes, skill by skill."""
        for lane in self._lists.get((), {}).values():
            for entry in lane:
                yield entry[3]

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lists.get((), {}).values())


class PooledIndex(WaitingIndex):
    """The wishes that wait for rounds; beside their circles they are filed by the last moment at which a visit can begin, and by how long it takes."""

    __slots__ = ("_last", "_lengths")

    def __init__(self) -> None:
        super().__init__()
        self._last: list[tuple[int, str, Wish]] = []
        self._lengths: dict[int, dict[str, Wish]] = {}

    def add(self, wish: "Wish") -> None:
        """File a wish; once is enough."""
        if not wish.waits:
            insort(self._last, (wish.latest_start, wish.id, wish))
            self._lengths.setdefault(wish.length, {})[wish.id] = wish
        super().add(wish)

    def remove(self, wish: "Wish") -> None:
        """Take a wish out, if it is in."""
        if wish.waits:
            del self._last[bisect_left(self._last, (wish.latest_start, wish.id, wish))]
            del self._lengths[wish.length][wish.id]
            if not self._lengths[wish.length]:
                del self._lengths[wish.length]
        super().remove(wish)

    def ending(self, now: int, beat: int) -> list["Wish"]:
        """The wishes for which the round at `beat` comes too late, but not yet `now`."""
        between = slice(bisect_left(self._last, (now, "")), bisect_left(self._last, (beat, "")))
        return [wish for _, _, wish in self._last[between]]

    @property
    def longest(self) -> int:
        """How long the longest of the visits takes; 0 where none is wished."""
        return max(self._lengths, default=0)

    def lasting(self, shortest: int, longest: int) -> list["Wish"]:
        """The wishes for a visit of such a length, in no order."""
        return [wish for length, wishes in self._lengths.items() if shortest <= length <= longest for wish in wishes.values()]
