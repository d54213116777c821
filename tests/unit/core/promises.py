"""The contract's first two promises, judged from what came in and what went out alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.codec import Event
from schemas.instants import DAY_US, MINUTE_US, micros, parse_rfc3339
from services.matcher.core.turn import Decision

RUNGS = ("unit", "building", "compound", "community", "area")


@dataclass
class Pair:
    """A match as it was proposed."""

    wish_id: str
    offer_id: str
    volunteer: str
    start: int
    end: int
    group: str | None
    released: str | None = None
    closed: str | None = None
    closed_at: int | None = None
    in_vain: bool = False

    def live(self, now: int) -> bool:
        return self.released is None and self.closed is None and self.end > now


class Promises:
    """Listens to one area."""

    def __init__(self, proof_needed: frozenset[str] = frozenset()) -> None:
        self.proof_needed = proof_needed
        self.wishes: dict[str, Any] = {}
        self.offers: dict[str, Any] = {}
        self.pairs: dict[str, Pair] = {}
        self.over: set[str] = set()
        # When the offer that stands was said, where it is not withdrawn; and when each was withdrawn.
        self.said: dict[str, int] = {}
        self.shut: dict[str, int] = {}

    def hold(self, now: int, event: Event | None, decisions: list[Decision]) -> None:
        """Take in one event and what it brought about, and see that both promises hold."""
        if event is not None and event.type == "lastmetre.wish.submitted.v1":
            self.wishes.setdefault(event.data.wish_id, event.data)
        if event is not None and event.type == "lastmetre.match.closed.v1":
            self._close(now, event.data)
        # Decisions before the event itself (time passed) are about the offers as they were.
        later = event.data if event is not None and event.type == "lastmetre.offer.posted.v1" and self._stands(event) else None
        if event is not None and event.type in {"lastmetre.offer.withdrawn.v1", "lastmetre.offer.suspended.v1"}:
            offer_id = event.data.offer_id
            self.shut[offer_id] = max(event.time, self.said.pop(offer_id, event.time), self.shut.get(offer_id, event.time))
        for decision in decisions:
            data, kind = decision.data, decision.type.split(".")[2]
            if kind == "released":
                self.pairs[data["match_id"]].released = data["reason"]
            elif kind == "expired":
                self.over.add(data["wish_id"])
            elif kind == "proposed":
                offer = self.offers.get(data["offer_id"])
                if later is not None and later.offer_id == data["offer_id"] and (offer is None or not self._fits(now, data, offer)):
                    offer = later
                assert offer is not None
                assert self._fits(now, data, offer), decision
                self._propose(now, data)
        if later is not None:
            self.offers[later.offer_id] = later
        self._together(now)
        self._checked(now)

    def _stands(self, event: Event) -> bool:
        """Whether this posting is what counts from now on: not where a later one does."""
        offer_id = event.data.offer_id
        if self.said.get(offer_id, event.time) > event.time:
            return False
        if self.shut.get(offer_id, event.time - 1) < event.time:
            self.said[offer_id] = event.time
        return True

    def _close(self, now: int, data: Any) -> None:
        """The first word about a visit counts; of a group, all must have come in vain for others to take their places."""
        pair = self.pairs.get(data.match_id)
        if pair is None or pair.released is not None or pair.closed is not None:
            return
        pair.closed, pair.closed_at = data.outcome, now
        mates = [one for one in self.pairs.values() if one is pair or (pair.group is not None and one.group == pair.group and one.released is None)]
        for one in mates if all(one.closed in ("partly", "not_done") for one in mates) else ():
            one.in_vain = True

    def _propose(self, now: int, data: dict[str, Any]) -> None:
        start, end = (parse_rfc3339(data["slot"][side]) for side in ("start", "end"))
        wish = self.wishes[data["wish_id"]]
        assert data["wish_id"] not in self.over
        standing = [pair for pair in self.pairs.values() if pair.released is None and not pair.in_vain]
        helpers = [pair for pair in standing if pair.wish_id == wish.wish_id]
        assert len(helpers) < max(wish.helpers_needed, 2 if self._needs_two(wish) else 1)
        assert data["volunteer_ref"] not in {pair.volunteer for pair in helpers}
        for pair in standing:
            if pair.volunteer == data["volunteer_ref"] and pair.live(now):
                assert end <= pair.start or pair.end <= start
        for pair in self.pairs.values():
            if (pair.wish_id, pair.offer_id) == (wish.wish_id, data["offer_id"]):
                assert pair.released == "group_incomplete"
        self.pairs[data["match_id"]] = Pair(wish.wish_id, data["offer_id"], data["volunteer_ref"], start, end, data.get("group_id"))

    def _fits(self, now: int, data: dict[str, Any], offer: Any) -> bool:
        wish = self.wishes[data["wish_id"]]
        start, end = (parse_rfc3339(data["slot"][side]) for side in ("start", "end"))
        level, checked = self._level(wish), micros(offer.vetting.checked_at)
        return (
            data["volunteer_ref"] == offer.volunteer_ref
            and set(wish.skills) <= set(offer.skills)
            and (not wish.languages or bool(set(wish.languages) & set(offer.languages or [])))
            and RUNGS.index(data["rung"]) <= RUNGS.index(offer.reach)
            and offer.vetting.level >= level
            and (level < 4 or 0 <= start - checked <= 365 * DAY_US)
            and end - start == wish.minutes * MINUTE_US
            and micros(wish.window.start) <= start
            and end <= micros(wish.window.end)
            and any(micros(window.start) <= start and end <= micros(window.end) for window in offer.windows)
            and start >= now
            and self._proven(wish, offer, end)
            and self._spares(now, start, end, offer)
            and sum(pair.live(now) for pair in self.pairs.values() if pair.offer_id == offer.offer_id) < offer.capacity
        )

    def _spares(self, now: int, start: int, end: int, offer: Any) -> bool:
        """The volunteer has the rest that they ask for, and no more visits within a week than they want."""
        mine = [pair for pair in self.pairs.values() if pair.volunteer == offer.volunteer_ref and pair.released is None]
        rest = (offer.rest_minutes or 0) * MINUTE_US
        starts = sorted([*(pair.start for pair in mine), start])
        most = offer.per_week_max or len(starts)
        weeks = zip(starts, starts[most:], strict=False)
        rested = all((pair.live(now) and end + rest <= pair.start) or min(pair.end, pair.closed_at or pair.end) + rest <= start for pair in mine)
        return rested and not any(first <= start <= last < first + 7 * DAY_US for first, last in weeks)

    @staticmethod
    def _minor(wish: Any) -> bool:
        return wish.beneficiary.age_band in ("under_14", "under_18") or wish.category == "left_behind_children"

    def _needs_two(self, wish: Any) -> bool:
        return self._minor(wish) or bool(wish.accompanied)

    def _level(self, wish: Any) -> int:
        level: int = wish.vetting_min
        return max(level, 4 if self._minor(wish) else 0, 2 if wish.beneficiary.lives_alone else 0)

    def _checked(self, now: int) -> None:
        """Whatever was posted since: nobody is on the way to someone whom they must not visit."""
        for pair in self.pairs.values():
            if pair.live(now):
                wish, offer = self.wishes[pair.wish_id], self.offers[pair.offer_id]
                level, vetting = self._level(wish), offer.vetting
                assert vetting.level >= level
                assert level < 4 or 0 <= pair.start - micros(vetting.checked_at) <= 365 * DAY_US
                assert self._proven(wish, offer, pair.end)

    def _proven(self, wish: Any, offer: Any, end: int) -> bool:
        proofs = [(one.skill, micros(one.valid_until)) for one in offer.proofs or ()]
        return all(any(skill == one and until >= end for one, until in proofs) for skill in set(wish.skills) & self.proof_needed)

    def _together(self, now: int) -> None:
        """Nobody is ever alone with someone who needs two."""
        groups: dict[str, list[Pair]] = {}
        for pair in self.pairs.values():
            if self._needs_two(self.wishes[pair.wish_id]) and pair.released is None and pair.end > now:
                assert pair.group is not None
                groups.setdefault(pair.group, []).append(pair)
        # Closing one visit of a group takes nobody away from it; where nobody's is to come any more, nobody goes alone.
        for group in (group for group in groups.values() if any(pair.live(now) for pair in group)):
            assert len({pair.volunteer for pair in group}) >= 2
            assert len({(pair.start, pair.end) for pair in group}) == 1
