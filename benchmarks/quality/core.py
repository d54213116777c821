"""Our core on a stream: `decide` and `pass_time` in event time, as the matcher calls them when the events' own time counts, without broker and database.

Helpers who are asked, by a proposal or by an invitation, answer as the stream says; nobody ever fails to be told.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

from benchmarks.quality.played import Pair, Played
from deploy.whatif.generator import ZONE, Stream, earliest, event
from schemas.codec import Event
from schemas.instants import parse_rfc3339
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.policy import Policy
from services.matcher.core.rules import refusal
from services.matcher.core.state import OPEN, Area

_ANSWERS: Final = {True: "match.accepted", False: "match.declined"}


@dataclass(slots=True)
class _Run:
    stream: Stream
    area: Area
    played: Played
    answers: list[tuple[int, str, str, Event]] = field(default_factory=list)
    standing: dict[str, Pair] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    # The red wishes nobody was told of yet, and who could ever help with each.
    red_open: dict[str, list[str]] = field(default_factory=dict)
    red_since: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        coming = self.stream.events()
        coming.reverse()
        while coming or self.answers or self.area.next_deadline() is not None:
            due = self.area.next_deadline()
            at = min(coming[-1].time if coming else _NEVER, self.answers[0][0] if self.answers else _NEVER)
            if due is not None and due <= at:
                now = max(due, self.area.clock)
                _, told = pass_time(self.area, now)
            else:
                if coming and coming[-1].time == at:
                    happened = coming.pop()
                    self.note(happened)
                else:
                    happened = heappop(self.answers)[3]
                now = max(at, self.area.clock)
                _, told = decide(self.area, happened, now)
            self.hear(told, now)

    def note(self, happened: Event) -> None:
        wish = self.stream.wishes.get(happened.subject)
        if wish is not None and wish.urgency == "red":
            ever = (offer for offer, _ in self.stream.fitting(wish) if earliest(wish, offer, max(wish.at, offer.at)) is not None)
            self.red_open[wish.id] = [offer.id for offer in ever]

    def hear(self, told: Iterable[Any], now: int) -> None:
        """Take down what the core has decided, and let the helpers who are asked think about it."""
        for one in told:
            kind, data = one.type.split(".", 1)[1], one.data
            if kind == "match.proposed.v1":
                self.standing[data["match_id"]] = Pair(data["wish_id"], data["offer_id"], now, parse_rfc3339(data["slot"]["start"]))
                self.reach(data["wish_id"], now)
                if data["needs_answer"]:
                    self.ask(data["wish_id"], data["offer_id"], now)
            elif kind == "helper.invited.v1":
                self.reach(data["wish_id"], now)
                self.ask(data["wish_id"], data["offer_id"], now)
            elif kind == "match.released.v1":
                del self.standing[data["match_id"]]
            elif kind == "wish.widened.v1":
                self.played.widened += 1
        if self.red_open:
            self.watch(now)

    def reach(self, wish_id: str, now: int) -> None:
        """Somebody is proposed or invited."""
        self.played.first.setdefault(wish_id, now)
        if wish_id in self.red_open:
            del self.red_open[wish_id]
            self.played.red_waits[wish_id] = now - self.red_since.pop(wish_id, now)

    def ask(self, wish_id: str, offer_id: str, now: int) -> None:
        if (wish_id, offer_id) in self.asked:
            return
        self.asked.add((wish_id, offer_id))
        answer = self.stream.answer(self.stream.wishes[wish_id], self.stream.offers[offer_id])
        if answer.yes is not None:
            at = now + answer.after_us
            data = {"wish_id": wish_id, "offer_id": offer_id}
            heappush(self.answers, (at, wish_id, offer_id, event(_ANSWERS[answer.yes], wish_id, at, data)))

    def watch(self, now: int) -> None:
        """Which red wishes wait although an offer is eligible, and since when."""
        for wish_id in sorted(self.red_open):
            wish = self.area.wishes.get(wish_id)
            if wish is None or wish.status != OPEN:
                del self.red_open[wish_id]
                if wish_id in self.red_since:
                    self.played.red_waits[wish_id] = None
            elif wish_id not in self.red_since:
                offers = (self.area.offers.get(offer_id) for offer_id in self.red_open[wish_id])
                if any(offer is not None and refusal(wish, offer, now) is None for offer in offers):
                    self.red_since[wish_id] = now


_NEVER: Final = 1 << 62


def play(stream: Stream, name: str, policy: Policy) -> Played:
    """What the core does with this stream under that policy."""
    began = time.perf_counter()
    run = _Run(stream, Area(ZONE, policy), Played(name))
    run.run()
    run.played.pairs = list(run.standing.values())
    run.played.seconds = time.perf_counter() - began
    return run.played
