"""One area's month under one policy: the core decides what comes of itself, hears what people would say to it, and what stood in the end is taken down.

Event time drives it, as in `play`. Both sides of a match are told at the instant at which nothing is awaited any more. No I/O.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

import orjson

from deploy.whatif.answers import Answers, Pair
from deploy.whatif.weight import weight
from schemas.codec import Event
from schemas.instants import MINUTE_US, parse_rfc3339, rfc3339
from schemas.registry import MODEL_OF, PREFIX
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.place import RUNG_OF
from services.matcher.core.policy import Policy
from services.matcher.core.state import Area
from services.matcher.core.turn import Decision
from services.matcher.packing import Wishes

_SOURCE: Final = "lastmetre/simulate"
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that comes of itself, whatever the policy, and when (microseconds)."""

    at: int
    event: Event


@dataclass(frozen=True, slots=True)
class Stood:
    """A match that was not released again. Instants in microseconds."""

    wish: str
    offer: str
    volunteer: str
    weight: int
    proposed_at: int
    start: int


@dataclass(slots=True)
class Tally:
    """What one policy did in one area.

    `first`, `sure`: when anyone was first proposed or invited to a wish, and when a helper was first confirmed to it, by wish (microseconds).
    `asked`: how many proposals and invitations wanted a helper's answer. `released`: matches let go, by reason.
    """

    stood: list[Stood] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    sure: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    proposed: int = 0
    released: Counter[str] = field(default_factory=Counter)
    refused_claims: int = 0


@dataclass(slots=True)
class _Match:
    """A proposal that stands so far."""

    pair: Pair
    match_id: str
    rung: str
    slot: dict[str, str]
    stood: Stood
    group_id: str | None
    group_size: int


@dataclass(slots=True)
class _Course:
    area: Area
    coming: deque[Arrival]
    answers: Answers
    tally: Tally = field(default_factory=Tally)
    words: list[tuple[int, str, str, int, Event]] = field(default_factory=list)
    standing: dict[str, _Match] = field(default_factory=dict)
    firm: dict[str, list[str]] = field(default_factory=dict)
    urgency: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def run(self) -> None:
        area = self.area
        area.wishes = wishes = Wishes(area)
        while True:
            due = area.next_deadline()
            at = min(self.coming[0].at if self.coming else _NEVER, self.words[0][0] if self.words else _NEVER)
            if due is not None and due <= at:
                now = max(due, area.clock)
                _, told = pass_time(area, now)
            elif at < _NEVER:
                now = max(at, area.clock)
                _, told = decide(area, self.next(at), now)
            else:
                break
            self.hear(told, now)
            wishes.pack([*area.touched_wishes.values(), *(match.wish for match in area.touched_matches.values())])
            area.forget_starts()
            # What changed is for a shell to store, and would only grow here.
            for touched in (area.touched_wishes, area.touched_offers, area.touched_matches, area.touched_early):
                touched.clear()
        self.tally.stood = [match.stood for match in self.standing.values()]

    def next(self, at: int) -> Event:
        if self.coming and self.coming[0].at <= at:
            event = self.coming.popleft().event
            if event.type == "lastmetre.wish.submitted.v1":
                self.urgency.setdefault(event.data.wish_id, event.data.urgency)
            return event
        return heappop(self.words)[-1]

    def hear(self, told: Iterable[Decision], now: int) -> None:
        """Take down what the core decided, and let the people who are asked think about it."""
        for one in told:
            kind = one.type.removeprefix(PREFIX)
            if kind == "match.proposed.v1":
                self.proposed(one.data, now)
            elif kind == "helper.invited.v1":
                offer = self.area.offers[one.data["offer_id"]]
                self.ask(self.pair(one.data["wish_id"], offer.id, offer.volunteer.ref), None, now)
            elif kind == "match.agreed.v1":
                self.settle(self.standing[one.data["match_id"]], now)
            elif kind == "match.released.v1":
                gone = self.standing.pop(one.data["match_id"])
                self.tally.released[one.data["reason"]] += 1
                if gone.group_id is not None:
                    self.firm.pop(gone.group_id, None)
            elif kind == "claim.rejected.v1":
                self.tally.refused_claims += 1

    def pair(self, wish_id: str, offer_id: str, volunteer: str) -> Pair:
        return Pair(self.area.name, wish_id, offer_id, volunteer, self.urgency[wish_id])

    def proposed(self, data: dict[str, Any], now: int) -> None:
        area = self.area
        wish_id, offer_id, match_id = data["wish_id"], data["offer_id"], data["match_id"]
        pair = self.pair(wish_id, offer_id, data["volunteer_ref"])
        spare = len(area.offers[offer_id].skills) - len(area.wishes[wish_id].skills)
        worth = weight(RUNG_OF[data["rung"]], spare)
        stood = Stood(wish_id, offer_id, pair.volunteer, worth, now, parse_rfc3339(data["slot"]["start"]))
        match = _Match(pair, match_id, data["rung"], data["slot"], stood, data.get("group_id"), data.get("group_size") or 1)
        self.standing[match_id] = match
        self.tally.proposed += 1
        self.tally.first.setdefault(wish_id, now)
        if data["needs_answer"]:
            self.ask(pair, match_id, now)
        if data.get("needs_approval"):
            word = self.answers.worker(pair)
            self.say("match.approved.v1", pair, now + word.after_us, match_id=match_id, worker_ref="worker", approved=bool(word.yes))
        if not data["needs_answer"] and not data.get("needs_approval"):
            self.settle(match, now)

    def ask(self, pair: Pair, match_id: str | None, now: int) -> None:
        """Proposed or invited; an invitation is no match yet."""
        self.tally.asked += 1
        self.tally.first.setdefault(pair.wish, now)
        word = self.answers.asked(pair)
        if word.yes is not None:
            self.say("match.accepted.v1" if word.yes else "match.declined.v1", pair, now + word.after_us, match_id=match_id)

    def settle(self, match: _Match, now: int) -> None:
        """Nothing is awaited of this match any more: both sides are told, all of a group at once."""
        if match.group_id is None:
            self.confirm(match, now)
            return
        firm = self.firm.setdefault(match.group_id, [])
        firm.append(match.match_id)
        if len(firm) == match.group_size:
            for match_id in self.firm.pop(match.group_id):
                self.confirm(self.standing[match_id], now)

    def confirm(self, match: _Match, now: int) -> None:
        self.tally.sure.setdefault(match.pair.wish, now)
        at = rfc3339(now)
        notices = [{"to": to, "channel": "console", "at": at} for to in ("resident", "volunteer")]
        self.say("match.confirmed.v1", match.pair, now, match_id=match.match_id, rung=match.rung, slot=match.slot, confirmed_at=at, notices=notices)
        share = self.answers.calls_off(match.pair)
        if share is not None:
            ahead = max(match.stood.start - now, MINUTE_US)
            self.say("match.declined.v1", match.pair, now + round(share * ahead), match_id=match.match_id)

    def say(self, kind: str, pair: Pair, at: int, **more: Any) -> None:
        """An event that comes at that instant because of what was decided."""
        data = {"area": pair.area, "wish_id": pair.wish, "offer_id": pair.offer, **more}
        raw = orjson.dumps({name: value for name, value in data.items() if value is not None})
        self.number += 1
        type_ = f"{PREFIX}{kind}"
        event = Event(
            id=f"{kind}/{pair.wish}/{pair.offer}/{self.number}",
            source=_SOURCE,
            type=type_,
            time=at,
            time_text=rfc3339(at),
            subject=pair.wish,
            partitionkey=pair.area,
            data=MODEL_OF[type_].model_validate_json(raw),
            raw=raw,
            extensions={},
        )
        heappush(self.words, (at, pair.wish, pair.offer, self.number, event))


def run(area: str, policy: Policy, arrivals: Sequence[Arrival], answers: Answers) -> Tally:
    """What that policy does with what comes of itself in that area, in its order."""
    course = _Course(Area(area, policy), deque(arrivals), answers)
    course.run()
    return course.tally
