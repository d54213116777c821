"""What happens in each case, small, and with everything in it that the notifier ever does; and what must have come of it.

Of a case: a match with a helper who reads in the app, a match that is asked first, a group of two, an invitation, an expired wish, a word to the community's
workers, an event twice, one that is not valid; a visit that is finished and acknowledged. Of the case before: a late correction of that visit, a helper who
calls off, and what the gateways say of its notices: delivered (twice), not arrived after all, and something about a notice that nobody knows.

By the clock on the wall also: a visit that should have begun and of which nobody has said anything, so that the community's worker hears of it, and which is
finished in the case after; and a centre household, which ends in the case after.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import orjson

from schemas.codec import headers_of
from schemas.instants import MINUTE_US, parse_rfc3339, rfc3339
from schemas.lanes import partition_of
from services.notifier.book import desk_of, notice_key
from services.notifier.notices import Kind, Party
from tests.integration.notifier_rig import SLOT, TO_COME, Matcher

AREA: Final = "hightech"
LANE: Final = partition_of(AREA)
IN_APP: Final = "v-app"
BUDGETED: Final = "r-budget"
# Whose first attempt is answered with a 503: it comes back through the table.
STUBBORN: Final = "v-stubborn"
# Who has text messages, whose gateway has numbers of its own.
BY_TEXT: Final = "v-text"
EVENTS_OF_MATCHES: Final = 12
INVITED_UNTIL: Final = "2126-11-24T07:00:00Z"  # who was invited until long ago is told nothing
# After the visits' slot.
BEGINS_US: Final = parse_rfc3339("2026-11-24T09:00:00Z")


@dataclass(frozen=True, slots=True)
class Case:
    """The matches of one case, by letter."""

    number: int
    timed: bool = False

    @property
    def before(self) -> Case:
        """The case before this one."""
        return replace(self, number=self.number - 1)

    @property
    def _letters(self) -> str:
        return "abcdeg" if self.timed else "abcde"

    def match(self, letter: str) -> str:
        """A match's id."""
        return f"c{self.number}-{letter}"

    @property
    def _confirmed(self) -> dict[UUID, tuple[str, Party, Kind]]:
        return {notice_key(self.match(x), party, "confirmed"): (x, party, "confirmed") for x in self._letters for party in ("resident", "volunteer")}

    @property
    def heard(self) -> set[str]:
        """The keys of what people must have heard through the gateway, once each."""
        in_app = notice_key(self.match("a"), "volunteer", "confirmed")
        keys = {key for key in self._confirmed if key != in_app}
        keys |= {notice_key(f"w-{self.match('f')}", "volunteer", "invited", f"v-{self.match('f')}", INVITED_UNTIL)}
        keys |= {
            notice_key(f"w-{self.match('a')}", "resident", "expired", BUDGETED),
            notice_key(f"w-{self.match('f')}", "worker", "widened", desk_of(AREA)),
        }
        if self.timed:
            keys |= {notice_key(self.match("g"), "worker", "not_started")}
        if self.number:
            keys |= {notice_key(self.before.match("c"), party, "released") for party in ("resident", "volunteer")}
        return {str(key) for key in keys}

    @property
    def may_be_heard(self) -> set[str]:
        """The question to a helper whose answer is there already may have gone out, or not."""
        return {str(notice_key(self.match("b"), "volunteer", "asked"))}

    @property
    def in_app(self) -> UUID:
        """What lies in the app."""
        return notice_key(self.match("a"), "volunteer", "confirmed")

    @property
    def failed_late(self) -> UUID:
        """What a gateway took, and says of later that it did not arrive."""
        return notice_key(self.match("e"), "resident", "confirmed")

    @property
    def receipts(self) -> dict[tuple[str, str, str], tuple[int, str]]:
        """(channel, reference, status) -> (repeats, outcome) of what gateways say of this case."""
        hook = "hook" if self.timed else "webhook"
        found = {
            (hook, str(notice_key(self.match("b"), "volunteer", "confirmed")), "delivered"): (1, "noted"),
            (hook, str(self.failed_late), "failed"): (0, "next_channel" if self.timed else "given_up"),
            (hook, f"nobody-{self.number}", "read"): (0, "unknown"),
        }
        if self.timed:
            found["text", f"n-{notice_key(self.match('c'), 'volunteer', 'confirmed')}", "delivered"] = (0, "noted")
        return found

    @property
    def confirmed(self) -> set[str]:
        """The matches that both sides know of."""
        return {self.match(letter) for letter in self._letters}

    def neighbours(self, cases: int) -> dict[str, tuple[str, bool | None]]:
        """What is known of stairways after so many cases: offer or wish -> (place, whether it is open)."""
        return {f"o-h{self.number}": ("c/k/b/u2", self.number == cases - 1), f"w-{self.match('g')}": ("c/k/b/u1", None)}


class Town(Matcher):
    """The matcher's topic, and beside it what the three sides say."""

    said: int = 0
    minute: int = 0
    latest: int = 0

    def _at(self, second: int = 0) -> str:
        """Each case is a minute later than the one before, so that it sets forward every clock. `latest`: the highest time that was said."""
        at = BEGINS_US + self.minute * MINUTE_US + second * 1_000_000
        self.latest = max(self.latest, at)
        return rfc3339(at)

    async def send(self, name: str, data: dict[str, Any], *, event_id: str | None = None, time_text: str = "") -> None:
        await super().send(name, data, event_id=event_id, time_text=time_text or self._at())

    async def _say(self, step: str, match_id: str, event_id: str, second: int, *, at: str | None = None, **more: Any) -> None:
        data = {"area": AREA, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", **more}
        headers = headers_of(f"lastmetre.service.{step}.v1", event_id, "app", at or self._at(second), f"w-{match_id}", AREA)
        await self.producer.send("responses", orjson.dumps(data), key=AREA.encode(), partition=LANE, headers=list(headers))
        self.said += 1

    async def raw(self, value: bytes | None, headers: Any) -> None:
        """Without waiting for each: `play` flushes."""
        await self.producer.send("matches", value, key=AREA.encode(), partition=LANE, headers=list(headers))

    async def play(self, case: Case) -> None:
        """All events of a case."""
        a, b, c, d, e, f = (case.match(letter) for letter in "abcdef")
        self.minute = case.number
        at, now = {"time_text": self._at()}, time.time_ns() // 1000
        # By the wall's clock nobody is told of what is over: the visit that ends here has just begun, and the others are to come.
        begun = {"start": rfc3339(now - MINUTE_US), "end": rfc3339(now + 8 * 60 * MINUTE_US)} if case.timed else SLOT
        self.slot = TO_COME if case.timed else SLOT
        said_at = rfc3339(now) if case.timed else None
        for _ in range(2):
            await self.propose(a, **at, event_id=f"{a}-proposed", resident_ref=BUDGETED, volunteer_ref=IN_APP, organisation="第一党支部", slot=begun)
        await self.propose(b, **at, needs_answer=True, expires_at=INVITED_UNTIL, volunteer_ref=STUBBORN, event_id=f"{b}-proposed")
        await self._pair("match.agreed", b)
        await self.propose(c, **at, event_id=f"{c}-proposed", volunteer_ref=BY_TEXT)
        for one in (d, e):
            await self.propose(one, **at, group_id=f"g-{d}", group_size=2, event_id=f"{one}-proposed")
        more = {"volunteer_ref": f"v-{f}", "category": "repair", "rung": "building", "slot": SLOT, "expires_at": INVITED_UNTIL}
        await self.send("helper.invited", {"wish_id": f"w-{f}", "offer_id": f"o-{f}", **more}, event_id=f"{f}-invited")
        await self.send("wish.widened", {"wish_id": f"w-{f}", "reach": "community"}, event_id=f"{f}-widened")
        await self.raw(b"\xff", [("ce_id", f"{f}-bad".encode())])
        await self.send("wish.expired", {"wish_id": f"w-{a}", "filled": 0}, event_id=f"{a}-expired")
        before = case.before
        if case.timed:
            await self._watched(case)
        if case.number:
            await self._pair("match.released", before.match("c"), reason="declined")
            await self._say("acknowledged", before.match("a"), f"{before.match('a')}-word", 30, at=said_at, by="community", outcome="not_done")
        else:
            await self.send("wish.unmet", {"wish_id": "w-unmet", "need": {}}, event_id="nothing")  # not valid either
        await self._say("finished", a, f"{a}-finished", 5, at=said_at, minutes=45)
        await self._say("acknowledged", a, f"{a}-acknowledged", 9, at=said_at, by="resident", outcome="done")
        await self.producer.flush()

    async def _watched(self, case: Case) -> None:
        """A visit that began a while ago and ends long after all cases, its wish, and a centre household of another stairway."""
        g, h, now = case.match("g"), case.number, time.time_ns() // 1000
        slot = {"start": rfc3339(now - 16 * MINUTE_US), "end": rfc3339(now + 8 * 60 * MINUTE_US)}
        await self.propose(g, time_text=self._at(), event_id=f"{g}-proposed", slot=slot)
        home = {"community": "c", "compound": "k", "building": "b"}
        wish: dict[str, Any] = {
            "wish_id": f"w-{g}",
            "place": home | {"unit": "u1"},
            "category": "repair",
            "skills": ["company"],
            "urgency": "yellow",
            "window": slot,
        }
        wish |= {"beneficiary": {"age_band": "adult"}, "title": "换灯泡", "resident_ref": f"r-{g}"}
        offer: dict[str, Any] = {
            "offer_id": f"o-h{h}",
            "volunteer_ref": f"v-h{h}",
            "home": home | {"unit": "u2"},
            "reach": "unit",
            "skills": ["company"],
            "windows": [slot],
        }
        offer |= {"vetting": {"level": 3, "checked_at": self._at()}, "capacity": 1, "accepts": "auto", "organisation": "中心户"}
        await self._tell("wishes", "wish.submitted", f"{g}-wish", wish)
        await self._tell("offers", "offer.posted", f"{g}-offer", offer)
        if case.number:
            await self._tell("offers", "offer.withdrawn", f"{g}-end", {"offer_id": f"o-h{h - 1}"})
            before = case.before.match("g")
            # Within its slot: what was said before that, and before both were told, is about no match.
            await self._say("finished", before, f"{before}-finished", 35, at=rfc3339(now), minutes=45)
            await self._say("acknowledged", before, f"{before}-acknowledged", 40, at=rfc3339(now), by="resident", outcome="done")

    async def _tell(self, topic: str, name: str, event_id: str, data: dict[str, Any]) -> None:
        headers = headers_of(f"lastmetre.{name}.v1", event_id, "app", self._at(), event_id, AREA)
        await self.producer.send(topic, orjson.dumps({"area": AREA, **data}), key=AREA.encode(), partition=LANE, headers=list(headers))

    async def _pair(self, name: str, match_id: str, **more: Any) -> None:
        data = {"match_id": match_id, "wish_id": f"w-{match_id}", "offer_id": f"o-{match_id}", **more}
        await self.send(name, data, event_id=f"{match_id}-{name}")
