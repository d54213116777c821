"""Hears the journal of one area as it is written, and says at once when a promise is broken. Knows nothing of the core, nor when it ought to propose.

What has been heard is kept as facts (`needs`, `gifts`, `pairs`); what goes out is held against them, and after every entry what is owed must have been done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.codec import Event
from schemas.confirmations import NO_CONSENT
from schemas.instants import parse_rfc3339
from tests.simulator import rules
from tests.simulator.rules import Gift, Need, Slot

Data = dict[str, Any]


# Beside the reasons of a release: the visit was, and did not help.
IN_VAIN = "in vain"


class Broken(Exception):
    """A promise does not hold: `code` says which."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def must(holds: bool, code: str, text: object = "") -> None:
    """Broken unless it holds."""
    if not holds:
        raise Broken(code, str(text))


@dataclass(slots=True)
class Pair:
    """A match as it was proposed, and what became of it. `awaits`: the words that are still to come; `closed`: how the visit ended, and when."""

    id: str
    need: Need
    offer_id: str
    person: str
    start: int
    end: int
    group: str | None
    awaits: set[str]
    answer_by: int | None
    asked: bool
    agreed: bool = False
    released: str | None = None
    confirmed: bool = False
    closed: tuple[str, int] | None = None

    def live(self, now: int) -> bool:
        return self.released is None and self.closed is None and self.end > now

    @property
    def until(self) -> int:
        """When the helper is free again."""
        return self.end if self.closed is None else min(self.end, self.closed[1])


@dataclass(slots=True)
class Standing:
    """What is known of an offer: `gift` as posted last, open or not; `at`: the instant that a later posting must be after, if it is not open."""

    gift: Gift
    at: int
    open: bool = True


@dataclass
class Judge:
    """One area. `pairs`: of each wish all that were ever proposed. `proof_needed`: the skills of which proof is asked."""

    at: int = 0
    proof_needed: frozenset[str] = frozenset()
    heard: set[tuple[str, str]] = field(default_factory=set)
    needs: dict[str, Need] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)
    gifts: dict[str, Standing] = field(default_factory=dict)
    early: dict[tuple[str, str], int] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)
    of_wish: dict[str, list[Pair]] = field(default_factory=dict)
    groups: dict[str, list[Pair]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    invited: dict[tuple[str, str], int] = field(default_factory=dict)
    turned_down: set[tuple[str, str]] = field(default_factory=set)
    # Who was invited and had not answered when the place was taken: it was no silence, so they may be asked anew.
    interrupted: set[tuple[str, str]] = field(default_factory=set)
    reach: dict[str, int] = field(default_factory=dict)
    unmet: set[str] = field(default_factory=set)

    # ---- what holds now

    def standing(self, wish_id: str) -> list[Pair]:
        """The pairs of a wish that were not released, those over included."""
        return [pair for pair in self.of_wish.get(wish_id, ()) if pair.released is None]

    def live(self) -> list[Pair]:
        """All live pairs."""
        return [pair for pair in self.pairs.values() if pair.live(self.at)]

    def is_open(self, need: Need) -> bool:
        """Whether a wish still lacks helpers and is not over."""
        return need.id not in self.over and len(self.standing(need.id)) < need.helpers

    def slots(self, person: str) -> tuple[list[Slot], list[int]]:
        """(that person's live slots and those of the last week, the starts of all of their slots), without what was released; a visit in vain was one."""
        mine = [pair for pair in self.pairs.values() if pair.person == person and pair.released in {None, IN_VAIN}]
        lately = self.at - rules.WEEK_US
        return [(pair.start, pair.until) for pair in mine if pair.live(self.at) or pair.start > lately], [pair.start for pair in mine]

    def room(self, gift: Gift) -> bool:
        """Whether the offer takes one more live match."""
        return sum(pair.offer_id == gift.id and pair.live(self.at) for pair in self.pairs.values()) < gift.capacity

    def parted(self, need: Need, gift: Gift) -> bool:
        """Whether these two may not meet (again): they were parted for good, or they meet already."""
        return any(
            (pair.offer_id == gift.id and pair.released != "group_incomplete") or (pair.released is None and pair.person == gift.person)
            for pair in self.of_wish.get(need.id, ())
        )

    # ---- hearing

    def hear(self, at: int, outcome: str, event: Event | None, decisions: list[Data]) -> None:
        """One entry of the journal: the event (None: time passed), and what followed.

        Raises:
            Broken: a promise does not hold.
        """
        must(at >= self.at, "clock/back", f"{self.at} then {at}")
        self.at = at
        if event is not None and self._is_repeat(event, outcome, decisions):
            return
        must(outcome == "decided" or not decisions, "promise-3/outcome", outcome)
        kind = "time" if event is None else event.type.removeprefix("lastmetre.").removesuffix(".v1").replace(".", "_")
        claim = self._claimable(event) if event is not None and kind == "wish_claimed" else set()
        about = self._take(kind, event) if event is not None else None
        for decision in decisions:
            self._told(decision, kind, event)
        if event is not None and kind == "wish_claimed":
            self._claim_is_answered(event.data, claim, decisions)
        self._owed(kind, event, about)
        self._groups_are_whole()

    def _is_repeat(self, event: Event, outcome: str, decisions: list[Data]) -> bool:
        identity = (event.source, event.id)
        if outcome == "duplicate":
            must(identity in self.heard, "promise-3/lost", f"{event.type} {event.id} was never decided")
            must(not decisions, "promise-5/duplicate", "a repeat has an effect")
            return True
        must(identity not in self.heard, "promise-5/twice", f"{event.type} {event.id}")
        self.heard.add(identity)
        return False

    def _take(self, kind: str, event: Event) -> Pair | None:
        """Facts of an event; the live pair that it is about, if there is one."""
        data = event.data
        if kind == "wish_submitted":
            self._take_wish(event)
        elif kind in {"wish_withdrawn", "consent_withdrawn"}:
            if data.wish_id in self.needs:
                if not self._is_behind(self.needs[data.wish_id]):
                    self.over.setdefault(data.wish_id, "withdrawn")
            else:
                self.early["wish", data.wish_id] = max(event.time, self.early.get(("wish", data.wish_id), 0))
        elif kind == "offer_posted":
            self._take_offer(event)
        elif kind in {"offer_withdrawn", "offer_suspended"}:
            known = self.gifts.get(data.offer_id)
            if known is not None:
                known.open, known.at = False, max(known.at, event.time)
                self._uninvite(data.offer_id)
            else:
                self.early["offer", data.offer_id] = max(event.time, self.early.get(("offer", data.offer_id), 0))
        elif kind in {"match_accepted", "match_declined", "match_approved", "confirmation_failed"}:
            return self._take_word(kind, data)
        elif kind in {"match_confirmed", "match_closed"} and data.match_id in self.pairs:
            self._take_course(kind, data, self.pairs[data.match_id])
        return None

    def _is_behind(self, need: Need) -> bool:
        """Whether it has all its visits behind it, and each was judged: there is nothing left to take back."""
        pairs = self.standing(need.id)
        return len(pairs) >= need.helpers and all(pair.closed is not None for pair in pairs)

    def _take_course(self, kind: str, data: Any, pair: Pair) -> None:
        """A visit is settled, or over. Of who came together all must have come in vain: then the wish is as if they had not, but for whom it met."""
        if kind == "match_confirmed":
            pair.confirmed = True
            return
        if pair.released is None and pair.closed is None:
            pair.closed = data.outcome, self.at
            self._was_in_vain(pair)

    def _take_failure_late(self, data: Any) -> None:
        """Heard of only when the slot was over: if it was never confirmed, nobody came, nor did who was to come along."""
        pair = self.pairs.get(data.match_id)
        if pair is None or pair.released is not None or pair.closed is not None or pair.confirmed:
            return
        together = [pair] if pair.group is None else self.groups[pair.group]
        for one in together:
            if one.released is None and one.closed is None and not one.confirmed:
                one.closed = "not_done", self.at
        self._was_in_vain(pair)

    def _was_in_vain(self, pair: Pair) -> None:
        together = [one for one in ([pair] if pair.group is None else self.groups[pair.group]) if one.released is None]
        if all(one.closed is not None and one.closed[0] != "done" for one in together):
            for one in together:
                one.released = IN_VAIN

    def _take_wish(self, event: Event) -> None:
        wish_id = event.data.wish_id
        if wish_id in self.needs:
            return
        self.needs[wish_id] = rules.need_of(event.data, event.time, self.proof_needed)
        if self.early.pop(("wish", wish_id), -1) >= event.time:
            self.over[wish_id] = "withdrawn"

    def _take_offer(self, event: Event) -> None:
        offer_id = event.data.offer_id
        before = self.gifts.get(offer_id)
        if before is not None and before.open and before.at > event.time:
            return  # what was said last stands
        shut = self.early.pop(("offer", offer_id), -1)
        if before is not None and not before.open:
            shut = before.at
        self.gifts[offer_id] = Standing(rules.gift_of(event.data), max(shut, event.time), shut < event.time)
        self._uninvite(offer_id)
        if self.gifts[offer_id].open:
            self.invited = {pair: until for pair, until in self.invited.items() if pair[1] != offer_id or pair in self.turned_down or self._is_invited(pair)}

    def _is_invited(self, pair: tuple[str, str]) -> bool:
        """Whether an invitation holds, of somebody who has just been posted anew: they could say yes now."""
        need, gift = self.needs[pair[0]], self.gifts[pair[1]].gift
        if self.invited[pair] <= self.at or not self._may_join(need, gift):
            return False
        start = rules.earliest(need, gift, self.at, *self.slots(gift.person))
        return start is not None and rules.checked(need, gift, start)

    def _asked_now(self, need: Need) -> set[str]:
        """The persons who are invited to that wish and could say yes now."""
        return {self.gifts[pair[1]].gift.person for pair in self.invited if pair[0] == need.id and self.gifts[pair[1]].open and self._is_invited(pair)}

    def _uninvite(self, offer_id: str) -> None:
        """Whoever was invited and could not say yes any more, their invitation is over; a yes that comes later counts for nothing."""
        standing = self.gifts[offer_id]
        for pair in self.invited:
            if pair[1] == offer_id and (not standing.open or rules.lacking(self.needs[pair[0]], standing.gift) is not None):
                self.invited[pair] = 0

    def _take_word(self, kind: str, data: Any) -> Pair | None:
        pair = next((one for one in self.standing(data.wish_id) if one.offer_id == data.offer_id and one.live(self.at)), None)
        if kind == "confirmation_failed" and pair is None:
            self._take_failure_late(data)
        if pair is None and kind == "match_declined" and data.match_id is None and self.invited.get((data.wish_id, data.offer_id), 0) > self.at:
            if self.is_open(self.needs[data.wish_id]):
                self.turned_down.add((data.wish_id, data.offer_id))
                self.invited[data.wish_id, data.offer_id] = 0
            return None
        asked = (data.wish_id, data.offer_id)
        if pair is None and kind == "match_accepted" and data.match_id is None and self.invited.get(asked, 0) > self.at and not self._is_invited(asked):
            self.interrupted.add(asked)
            del self.invited[asked]
        if pair is None and kind == "match_declined" and data.match_id is None and (data.wish_id, data.offer_id) in self.interrupted:
            self.turned_down.add((data.wish_id, data.offer_id))
            return None
        if pair is None or (data.match_id is not None and data.match_id != pair.id):
            return None
        if kind == "match_accepted":
            pair.awaits.discard("answer")
        elif kind == "match_approved" and data.approved:
            pair.awaits.discard("approval")
        elif kind == "confirmation_failed" and data.reason == NO_CONSENT:
            self.over.setdefault(data.wish_id, "withdrawn")
        return pair

    # ---- what is told

    def _told(self, decision: Data, kind: str, event: Event | None) -> None:
        data = decision["data"]
        what = decision["type"].split(".")[2]
        if what == "proposed":
            self._proposed(data, kind, event)
        elif what in {"released", "agreed"}:
            pair = self.pairs.get(data["match_id"])
            must(pair is not None and (pair.need.id, pair.offer_id) == (data["wish_id"], data["offer_id"]), f"{what}/unknown", data)
            assert pair is not None
            must(pair.released is None, f"{what}/again", data)
            if what == "released":
                self._released(pair, data["reason"], kind)
            else:
                must(not pair.awaits and not pair.agreed and pair.asked, "agreed/words", data)
                pair.agreed = True
        elif what == "expired":
            self._expired(data)
        elif what == "invited":
            self._invited(data)
        elif what in {"widened", "unmet"}:
            self._widened(data, what)
        else:
            must(what == "rejected" and kind == "wish_claimed", "out/type", decision["type"])

    def _proposed(self, data: Data, kind: str, event: Event | None) -> None:
        need, standing = self.needs.get(data["wish_id"]), self.gifts.get(data["offer_id"])
        must(need is not None and standing is not None, "promise-2/unknown", data)
        assert need is not None
        assert standing is not None
        gift = standing.gift
        text = f"wish {need.id}, offer {gift.id}, slot {data['slot']}"
        start, end = (parse_rfc3339(data["slot"][side]) for side in ("start", "end"))
        helpers = self.standing(need.id)
        must(need.id not in self.over, "promise-2/wish-over", f"{text}: {self.over.get(need.id)}")
        must(standing.open, "promise-2/offer-over", text)
        must(len(helpers) < need.helpers, "promise-1/need", text)
        must(data["volunteer_ref"] == gift.person, "promise-2/person", text)
        must(gift.person not in {pair.person for pair in helpers}, "promise-1/one-volunteer", text)
        must(self.room(gift), "promise-1/capacity", text)
        must(not self.parted(need, gift), "rule/never-again", text)
        must((need.id, gift.id) not in self.turned_down or data["how"] == "claimed", "invited/said-no", text)
        if data["needs_answer"] and not need.together:
            # Asked one after another though others are invited, or once they have let an invitation pass.
            must((need.id, gift.id) not in self.invited, "invited/asked-again", text)
            must(not self._asked_now(need), "invited/and-asked", text)
        missing = rules.lacking(need, gift)
        must(missing is None, f"promise-2/{missing}", text)
        must(rules.fresh(need, gift, start), "promise-2/vetting-age", text)
        must(rules.proven(need, gift, start), "promise-2/proof", text)
        must(data["rung"] == rules.LADDER[rules.rung(need.place, gift.home)], "promise-2/rung", text)
        must(end - start == need.length, "promise-2/length", text)
        live, begun = self.slots(gift.person)
        misfit = rules.misfit(need, gift, start, self.at, live, begun)
        must(misfit is None, f"promise-{1 if misfit == 'overlap' else 2}/{misfit}", text)
        must(("group_id" in data) == need.together, "together/group", text)
        if not need.together:
            must(rules.earliest(need, gift, self.at, live, begun) == start, "promise-2/earliest", text)
        self._add(data, need, gift, (start, end), kind, event)

    def _add(self, data: Data, need: Need, gift: Gift, slot: Slot, kind: str, event: Event | None) -> None:
        claimed = data["how"] == "claimed"
        must(not claimed or kind == "wish_claimed", "out/how", data)
        asked, by = data["needs_answer"], data["expires_at"]
        must(asked == (by is not None) and data.get("needs_approval", False) == need.approval, "out/fields", data)
        if not claimed and gift.asks and not asked:
            must(self._has_accepted(need, gift, kind, event), "rule/accepts", "told although they are to be asked")
        must(not asked or (gift.asks and not claimed), "rule/accepts", "asked although they are to be told")
        awaits = {word for word, wanted in (("answer", asked), ("approval", need.approval)) if wanted}
        answer_by = parse_rfc3339(by) if asked else None
        must(answer_by is None or self.at < answer_by <= slot[1], "rule/answer-by", data)
        pair = Pair(data["match_id"], need, gift.id, gift.person, *slot, data.get("group_id"), awaits, answer_by, asked=bool(awaits))
        must(pair.id not in self.pairs, "out/id", "the same match_id again")
        self.pairs[pair.id] = pair
        self.of_wish.setdefault(need.id, []).append(pair)
        if not self.is_open(need):
            out = {one for one, until in self.invited.items() if one[0] == need.id and until > self.at}
            self.interrupted |= out - {(need.id, gift.id)}
            self.invited = {one: until for one, until in self.invited.items() if one not in out}
        if pair.group is not None:
            self.groups.setdefault(pair.group, []).append(pair)
            must(self.sizes.setdefault(pair.group, data["group_size"]) == data["group_size"], "together/size", data)

    def _has_accepted(self, need: Need, gift: Gift, kind: str, event: Event | None) -> bool:
        """An `ask` offer is matched without a question where it accepted an invitation just now."""
        return (
            kind == "match_accepted"
            and event is not None
            and (event.data.wish_id, event.data.offer_id) == (need.id, gift.id)
            and self.invited.get((need.id, gift.id), 0) > self.at
        )

    def _released(self, pair: Pair, reason: str, kind: str) -> None:
        causes = {
            "declined": {"match_declined", "match_approved"},
            "unanswered": {"time"},
            "withdrawn": {"wish_withdrawn"},
            "undeliverable": {"confirmation_failed"},
            "unsafe": {"offer_suspended", "consent_withdrawn", "offer_posted", "confirmation_failed"},
        }
        must(kind in causes.get(reason, {kind}), "released/reason", f"{reason} by {kind}")
        must(reason != "unsafe" or kind != "offer_posted" or not self._checked(pair), "released/reason", "the check holds, and live matches stand")
        must(reason != "group_incomplete" or pair.group is not None, "released/reason", "no group")
        must(reason != "unanswered" or bool(pair.awaits), "released/unanswered", "no word is awaited")
        pair.released = reason
        self._was_in_vain(pair)

    def _checked(self, pair: Pair) -> bool:
        """Whether that person may still be where this visit takes them, by what was posted last."""
        return rules.checked(pair.need, self.gifts[pair.offer_id].gift, pair.start)

    def _expired(self, data: Data) -> None:
        need = self.needs.get(data["wish_id"])
        must(need is not None and need.id not in self.over, "expired/over", data)
        assert need is not None
        filled = len(self.standing(need.id))
        must(self.at >= need.end, "expired/early", data)
        must(filled < need.helpers and data["filled"] == filled, "expired/filled", f"{data}, has {filled} of {need.helpers}")
        self.over[need.id] = "expired"

    def _invited(self, data: Data) -> None:
        need, standing = self.needs.get(data["wish_id"]), self.gifts.get(data["offer_id"])
        must(need is not None and standing is not None, "invited/unknown", data)
        assert need is not None
        assert standing is not None
        must(self.is_open(need) and not need.together, "invited/wish", data)
        must(standing.open and standing.gift.asks, "invited/offer", data)
        must(rules.lacking(need, standing.gift) is None and not self.parted(need, standing.gift), "invited/rules", data)
        expires_at = parse_rfc3339(data["expires_at"])
        must((need.id, standing.gift.id) not in self.invited, "invited/again", data)
        must((need.id, standing.gift.id) not in self.turned_down, "invited/said-no", data)
        must(self.at < expires_at <= need.end, "invited/expires", data)
        start = rules.earliest(need, standing.gift, expires_at, *self.slots(standing.gift.person))
        must(start is not None and rules.checked(need, standing.gift, start), "invited/in-vain", f"{data}: a yes at its end would be too late")
        must(standing.gift.person not in self._asked_now(need), "invited/one-volunteer", data)
        self.interrupted.discard((need.id, standing.gift.id))
        self.invited[need.id, standing.gift.id] = expires_at

    def _widened(self, data: Data, what: str) -> None:
        need = self.needs.get(data["wish_id"])
        must(need is not None and self.is_open(need), f"{what}/wish", data)
        assert need is not None
        if what == "unmet":
            must(need.id not in self.unmet, "unmet/again", data)
            self.unmet.add(need.id)
            return
        reach = rules.LADDER.index(data["reach"])
        must(reach > self.reach.get(need.id, -1), "widened/order", data)
        self.reach[need.id] = reach

    # ---- claims

    def _claimable(self, event: Event) -> set[str]:
        """The reasons for which this claim may be refused as things stand; none where it must be granted."""
        need, standing = self.needs.get(event.data.wish_id), self.gifts.get(event.data.offer_id)
        if need is None:
            return {"unknown_wish"}
        if standing is None:
            return {"unknown_offer"}
        if not self.is_open(need):
            return {"not_open", "held_for_another"} if need.id not in self.over or len(self.standing(need.id)) >= need.helpers else {"not_open"}
        gift = standing.gift
        missing = rules.lacking(need, gift)
        start = rules.earliest(need, gift, self.at, *self.slots(gift.person))
        if missing != "skill_missing" and not rules.proven(need, gift, max(need.start, self.at) if start is None else start):
            return {"skill_missing"}
        if missing is not None:
            return {missing}
        if start is None:
            return {"not_available"} if rules.fresh(need, gift, max(need.start, self.at)) else {"vetting_too_low", "not_available"}
        if not rules.fresh(need, gift, start):
            return {"vetting_too_low"}
        if not standing.open or self.parted(need, gift):
            return {"not_available"}
        if not self.room(gift):
            return {"offer_full"}
        return {"needs_two"} if need.together and not self._second(need, gift) else set()

    def _second(self, need: Need, leader: Gift) -> bool:
        """Whether anybody else can come along with the leader, in one slot; with whom the wish has already, if it has."""
        helpers = self.standing(need.id)
        if need.helpers - len(helpers) < 2:
            return False
        able = [standing.gift for standing in self.gifts.values() if standing.open and self._may_join(need, standing.gift)]
        with_slots = [(gift, *self.slots(gift.person)) for gift in able]
        points = [helpers[0].start] if helpers else rules.edges(need, with_slots, self.at)
        for start in points:
            fits = [one for one, live, begun in with_slots if rules.checked(need, one, start) and rules.misfit(need, one, start, self.at, live, begun) is None]
            if leader in fits and any(gift.person != leader.person for gift in fits):
                return True
        return False

    def _may_join(self, need: Need, gift: Gift) -> bool:
        return rules.lacking(need, gift) is None and not self.parted(need, gift) and self.room(gift)

    @staticmethod
    def _claim_is_answered(data: Any, reasons: set[str], decisions: list[Data]) -> None:
        told = [(one["type"].split(".")[2], one["data"]) for one in decisions]
        refused = [one["reason"] for what, one in told if what == "rejected" and one["claim_id"] == data.claim_id]
        claimed = [(one["wish_id"], one["offer_id"]) for what, one in told if what == "proposed" and one["how"] == "claimed"]
        text = f"{data.claim_id}: refused {refused}, granted {claimed}, expected {reasons or 'a grant'}"
        if refused:
            must(len(refused) == 1 and not claimed and refused[0] in reasons, "claim/reason", text)
        else:
            must(claimed == [(data.wish_id, data.offer_id)], "promise-3/claim", text)

    # ---- what is owed after each entry

    def _owed(self, kind: str, event: Event | None, about: Pair | None) -> None:
        for pair in self.pairs.values():
            if pair.released is not None or pair.closed is not None:
                continue
            if pair.end <= self.at:
                must(not pair.awaits, "hold/over", f"{pair.need.id} {pair.offer_id}: the slot is over, and {pair.awaits} never came")
                continue
            must(pair.answer_by is None or "answer" not in pair.awaits or self.at < pair.answer_by, "hold/unanswered", f"{pair.need.id} {pair.offer_id}")
            must(bool(pair.awaits) or not pair.asked or pair.agreed, "agreed/missing", f"{pair.need.id} {pair.offer_id}")
            must(self.over.get(pair.need.id) != "withdrawn", "withdrawn/live", f"{pair.need.id} {pair.offer_id}")
            must(self._checked(pair), "vetting/live", f"{pair.need.id} {pair.offer_id}: the check does not hold any more, and the match is still live")
            if event is not None and kind == "offer_suspended":
                must(pair.offer_id != event.data.offer_id, "suspended/live", f"{pair.need.id} {pair.offer_id}")
        for need in self.needs.values():
            must(need.end > self.at or not self.is_open(need), "expired/missing", need.id)
        if about is not None and event is not None and (kind in {"match_declined", "confirmation_failed"} or not getattr(event.data, "approved", True)):
            must(about.released is not None, "promise-3/word", f"{kind} {about.need.id} {about.offer_id}")

    def _groups_are_whole(self) -> None:
        """Nobody is ever alone with someone who needs two, and who goes as a group goes as a group."""
        for name, group in self.groups.items():
            first = group[0]
            must(len(group) == self.sizes[name], "together/size", first.need.id)
            if first.released is not None and all(pair.released is not None for pair in group):
                continue
            # A visit that was, and was judged, is not undone when somebody of the group calls off.
            apart = {pair.released is None for pair in group if pair.closed is None}
            must(len(apart) <= 1, "together/released", first.need.id)
            if apart != {True}:
                continue
            if first.live(self.at):
                must(len({pair.person for pair in group}) >= 2, "together/alone", first.need.id)
                must(all((pair.start, pair.end) == (first.start, first.end) for pair in self.standing(first.need.id)), "together/slot", first.need.id)

    def finish(self, delivered: set[tuple[str, str]]) -> None:
        """Nothing can change any more: every wish is filled, withdrawn or expired, and every event was heard."""
        must(delivered == self.heard, "promise-3/lost", sorted(delivered - self.heard))
        for need in self.needs.values():
            must(not self.is_open(need), "promise-3/wish", f"{need.id} is neither filled nor over")
