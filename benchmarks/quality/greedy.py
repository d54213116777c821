"""The peer: greedy by nearest. A wish takes the nearest helper who can when it comes; a helper takes the nearest wish that waits when they come.

Among the equally near, who was there first. It knows the same rules, asks who wants to be asked, waits for the word as long as we do, tries again after a
no, and never looks back or ahead. It shares no code with the core.
"""

import time
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from benchmarks.quality.played import Pair, Played
from deploy.whatif.generator import HOUR_US, OfferFact, Stream, WishFact, earliest
from schemas.instants import MINUTE_US
from services.matcher.core.place import rung_between

NAME: Final = "greedy by nearest"
_ANSWER_US: Final = {"red": 10 * MINUTE_US, "yellow": HOUR_US, "blue": 12 * HOUR_US}
_WISH_COMES, _OFFER_COMES, _OFFER_GOES, _WORD = range(4)


@dataclass(slots=True)
class _Greedy:
    stream: Stream
    queue: list[tuple[int, int, int, str, str]] = field(default_factory=list)
    here: set[str] = field(default_factory=set)
    visits: dict[str, int] = field(default_factory=dict)
    busy: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    waiting: dict[str, WishFact] = field(default_factory=dict)
    helped_by: dict[str, dict[str, Pair]] = field(default_factory=dict)
    barred: set[tuple[str, str]] = field(default_factory=set)
    played: Played = field(default_factory=lambda: Played(NAME))
    number: int = 0

    def add(self, at: int, kind: int, wish: str, offer: str) -> None:
        self.number += 1
        heappush(self.queue, (at, kind, self.number, wish, offer))

    def run(self) -> None:
        for wish in self.stream.wishes.values():
            self.add(wish.at, _WISH_COMES, wish.id, "")
        for offer in self.stream.offers.values():
            self.add(offer.at, _OFFER_COMES, "", offer.id)
            if offer.gone_at is not None:
                self.add(offer.gone_at, _OFFER_GOES, "", offer.id)
        while self.queue:
            now, kind, _, wish_id, offer_id = heappop(self.queue)
            if kind == _WISH_COMES:
                self.seek(self.stream.wishes[wish_id], now)
            elif kind == _OFFER_COMES:
                self.here.add(offer_id)
                self.visits[offer_id] = self.stream.offers[offer_id].visits
                self.serve(self.stream.offers[offer_id], now)
            elif kind == _OFFER_GOES:
                self.here.discard(offer_id)
            else:
                self.word(self.stream.wishes[wish_id], self.stream.offers[offer_id], now)

    def start(self, wish: WishFact, offer: OfferFact, now: int) -> int | None:
        """The earliest visit that these two could have."""
        if offer.id not in self.here or not self.visits[offer.id] or (wish.id, offer.id) in self.barred:
            return None
        if any(self.stream.offers[mate].volunteer == offer.volunteer for mate in self.helped_by.get(wish.id, ())):
            return None
        return earliest(wish, offer, now, self.busy.get(offer.volunteer, ()))

    def candidates(self, wish: WishFact, now: int) -> Iterator[tuple[int, str, int]]:
        for offer, rung in self.stream.fitting(wish):
            found = self.start(wish, offer, now)
            if found is not None:
                yield rung, offer.id, found

    def seek(self, wish: WishFact, now: int) -> None:
        helped = self.helped_by.setdefault(wish.id, {})
        while len(helped) < wish.need:
            best = min(self.candidates(wish, now), default=None)
            if best is None:
                self.waiting[wish.id] = wish
                return
            _, offer_id, start = best
            self.pair(wish, self.stream.offers[offer_id], start, now)
        self.waiting.pop(wish.id, None)

    def serve(self, offer: OfferFact, now: int) -> None:
        near = []
        for wish in list(self.waiting.values()):
            if wish.end <= now:
                del self.waiting[wish.id]
            elif wish.skills <= offer.skills and offer.level >= wish.vetting:
                rung = rung_between(wish.place, offer.home)
                if rung <= offer.reach:
                    near.append((rung, wish.at, wish.id))
        for _, _, wish_id in sorted(near):
            wish = self.stream.wishes[wish_id]
            found = self.start(wish, offer, now)
            if found is not None:
                self.pair(wish, offer, found, now)
                if len(self.helped_by[wish_id]) == wish.need:
                    del self.waiting[wish_id]

    def pair(self, wish: WishFact, offer: OfferFact, start: int, now: int) -> None:
        self.visits[offer.id] -= 1
        insort(self.busy.setdefault(offer.volunteer, []), (start, start + wish.length))
        self.helped_by[wish.id][offer.id] = Pair(wish.id, offer.id, now, start)
        self.played.first.setdefault(wish.id, now)
        if offer.asks:
            answer = self.stream.answer(wish, offer)
            expires = min(now + _ANSWER_US[wish.urgency], max(start, now + 10 * MINUTE_US))
            spoken = now + answer.after_us if answer.yes is not None else expires
            if not answer.yes or spoken > expires:
                self.add(min(spoken, expires), _WORD, wish.id, offer.id)

    def word(self, wish: WishFact, offer: OfferFact, now: int) -> None:
        """A no, or no word in time."""
        start = self.helped_by[wish.id].pop(offer.id).start
        self.visits[offer.id] += 1
        self.busy[offer.volunteer].remove((start, start + wish.length))
        self.barred.add((wish.id, offer.id))
        self.seek(wish, now)
        if offer.id in self.here:
            self.serve(offer, now)


def play(stream: Stream) -> Played:
    """What greedy by nearest does with this stream."""
    began = time.perf_counter()
    greedy = _Greedy(stream)
    greedy.run()
    greedy.played.pairs = [pair for helped in greedy.helped_by.values() for pair in helped.values()]
    greedy.played.seconds = time.perf_counter() - began
    return greedy.played
