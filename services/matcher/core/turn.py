"""One decision in the making: what can be told, held and let go, and how helpers and wishes are looked for.

Every way to a match ends in :meth:`Turn.propose`, every way out of one in :meth:`Turn.release`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import Any, Final, TypeAlias

from schemas.instants import SECOND_US, rfc3339
from services.matcher.core.ids import derived_id
from services.matcher.core.place import RUNGS, rung_between
from services.matcher.core.rules import (
    check_is_fresh,
    earliest_start,
    has_capacity,
    has_proofs,
    has_skills,
    last_start,
    may_join,
    may_meet,
    possible_starts,
    refusal,
    speaks,
    within_reach,
)
from services.matcher.core.state import CHECK_VALID_US, DECLINED, OPEN, RELEASED, VETTING_MAX, WEEK_US, Area, Match, Offer, Wish
from services.matcher.core.together import find_group

GROUP_INCOMPLETE: Final = "group_incomplete"
# By the wall's clock a round is held some moments after its beat; a visit that can begin no later than that is not left to it.
ROUND_LATE_US: Final = 60 * SECOND_US
# Somebody who may come, when at the earliest, and from how far.
Candidate: TypeAlias = tuple[Offer, int, int]


@dataclass(slots=True)
class Decision:
    """One event that goes out: `data` is the contract's data object of that type."""

    id: str
    type: str
    subject: str
    data: dict[str, Any]


@dataclass(slots=True)
class Turn:
    """One decision in the making. `cause` names what brought it about; ids are derived from it.

    Its parts are joined by line ends, which no id or source may hold, so that no two causes are the same text. `said` is what kind of word it was, as a code;
    None where it was time.
    """

    area: Area
    now: int
    cause: str
    said: str | None = None
    out: list[Decision] = field(default_factory=list)
    changed: bool = True

    # ---- what can be decided

    def tell(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        """An event goes out."""
        self.out.append(Decision(derived_id(f"{self.cause}\n{len(self.out)}"), kind, subject, data))

    def propose(
        self,
        wish: Wish,
        offer: Offer,
        start: int,
        rung: int,
        how: str,
        group: tuple[str, int] | None = None,
        *,
        accepted: bool = False,
        why: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        """This helper for this wish, in this slot: the place, the capacity and the time are held from now on.

        `accepted`: they were invited and have said yes. `why`: further reasons.
        """
        area = self.area
        asks = offer.asks and how == "paired" and not accepted
        expires_at = self._word_by(wish, start, asks=asks) if asks or wish.approval else None
        match = Match(
            id=derived_id(f"{self.cause}\nmatch\n{len(self.out)}"),
            number=wish.match_count,
            wish=wish,
            offer=offer,
            volunteer_ref=offer.volunteer.ref,
            start=start,
            end=start + wish.length,
            rung=rung,
            how=how,
            answered=not asks,
            approved=not wish.approval,
            expires_at=expires_at,
            group_id=group[0] if group else None,
            group_size=group[1] if group else None,
        )
        data: dict[str, Any] = {
            "area": area.name,
            "match_id": match.id,
            "wish_id": wish.id,
            "offer_id": offer.id,
            "resident_ref": wish.resident_ref,
            "volunteer_ref": match.volunteer_ref,
            "rung": RUNGS[rung],
            "slot": {"start": rfc3339(start), "end": rfc3339(match.end)},
            "how": how,
            "reasons": [
                {"code": "rung", "value": RUNGS[rung]},
                {"code": "spare_skills", "value": len(offer.skills) - len(wish.skills)},
                {"code": "helper_load", "value": len(offer.volunteer.slots)},
                *({"code": code, "value": value} for code, value in why),
            ],
            "needs_answer": asks,
            "expires_at": rfc3339(expires_at) if asks and expires_at is not None else None,
            "category": wish.category,
            "urgency": wish.urgency,
        }
        if group is not None:
            data["group_id"], data["group_size"] = group
        if wish.approval:
            data["needs_approval"] = True
        if offer.organisation is not None:
            data["organisation"] = offer.organisation
        if wish.minor:
            data["minor"] = True
        if offer.id in wish.invited:
            area.end_invitation(wish, offer.id)
        area.hold(match)
        self.tell("lastmetre.match.proposed.v1", match.id, data)
        # Those that are open, as whoever loads the area anew knows no others.
        self.call_round([one for one in offer.volunteer.offers.values() if one.status == OPEN])

    def _word_by(self, wish: Wish, start: int, *, asks: bool) -> int:
        """Until when the first word is awaited: before the visit begins, but where it begins at once there must be time for a word.

        A night is waited out only as long as somebody else can be asked in its place.
        """
        policy = self.area.policy
        latest = min(max(start, self.now + policy.word_us), start + wish.length)
        if not asks:
            return latest
        answer = policy.answer_us[wish.urgency]
        return max(min(self.now + answer, latest), min(policy.answer_by(wish.urgency, self.now), start - answer))

    def release(self, match: Match, reason: str) -> None:
        """This pair is apart again; the caller sees to it that the wish is tried again."""
        self.area.release(match, reason, bar=reason != GROUP_INCOMPLETE)
        because = {} if self.said is None else {"cause": self.said}
        self.tell("lastmetre.match.released.v1", match.id, {**self._pair(match), "reason": reason, **because})

    def release_with_group(self, match: Match, reason: str) -> None:
        """Losing one member releases the whole group. Where those who stay of it have all been there in vain, nobody has helped."""
        self.release(match, reason)
        for other in match.companions:
            if other.live:
                self.release(other, GROUP_INCOMPLETE)
        self.area.unhelp(match.companions)

    def agree(self, match: Match) -> None:
        """The last word that was awaited has come."""
        self.area.agree(match)
        self.tell("lastmetre.match.agreed.v1", match.id, self._pair(match))

    def reject_claim(self, data: Any, reason: str) -> None:
        """A claim is refused, with the first reason that applies."""
        self.tell(
            "lastmetre.claim.rejected.v1",
            data.wish_id,
            {
                "area": self.area.name,
                "claim_id": data.claim_id,
                "wish_id": data.wish_id,
                "offer_id": data.offer_id,
                "reason": reason,
            },
        )

    def _pair(self, match: Match) -> dict[str, Any]:
        return {
            "area": self.area.name,
            "match_id": match.id,
            "wish_id": match.wish.id,
            "offer_id": match.offer.id,
        }

    # ---- finding helpers for a wish, and wishes for a helper

    def seek(self, wish: Wish, *, goes: bool = False) -> None:
        """Try an open wish with all offers, until it has its helpers or nobody is left. Who waits for the rounds waits, unless the next is too late.

        `goes`: it is known of somebody that it is too late for them.
        """
        if self.waits_for_round(wish):
            self._seize(wish, goes=goes)
        elif wish.together:
            group = find_group(self.area, wish, self.now)
            while group is not None:
                self.propose_group(wish, *group, leader=None)
                group = find_group(self.area, wish, self.now)
        else:
            while wish.places_free > 0 and self._seek_one(wish):
                pass
        self.area.settle_wish(wish)

    def waits_for_round(self, wish: Wish) -> bool:
        """Whether the wish is left to the next round: not if that comes after the last moment at which a visit can begin, or just before it."""
        return self.area.in_rounds(wish) and wish.latest_start > self._round_by()

    def _round_by(self) -> int:
        """By when the next round is held."""
        return self.area.next_beat(self.now) + ROUND_LATE_US

    def _seize(self, wish: Wish, *, goes: bool) -> None:
        """Propose those who will be gone by the next round, where too few of those who can stay longer: of two who may say no one will come."""
        by = self._round_by()
        soonest = max(self.now, wish.start)
        if soonest > by or not (goes or self._someone_goes(wish, soonest, by)):
            return
        sure, asked = set[str](), set[str]()
        places = wish.places_free
        go: list[tuple[int, Offer]] = []
        candidates = self.area.index.in_order(wish)
        for rung, offer in candidates:
            last = last_start(wish, offer, self.now)
            if last is not None and last <= by:
                go.append((rung, offer))
            elif last is not None:
                (asked if offer.asks else sure).add(offer.volunteer.ref)
                if len(sure) + len(asked) // 2 >= places:
                    break
        candidates.close()
        for rung, offer in go:
            if wish.places_free > len(sure) + len(asked) // 2 and (start := self.start_if_eligible(wish, offer)) is not None:
                self.propose(wish, offer, start, rung, "paired")

    def _someone_goes(self, wish: Wish, soonest: int, by: int) -> bool:
        """Whether a helper can begin now, but not any more after `by`: something of their offer is over then, or they have another visit before them."""
        index, over, begins = self.area.index, (soonest + wish.length, by + wish.length), (soonest, by)
        when = [index.ends.between(*over), index.visits.between(*over), index.weeks.between(*begins)]
        if wish.vetting >= VETTING_MAX:
            when.append(index.ends.between(*begins))  # a check may become too old
        going = (offer for some in when for _, offer in some if has_capacity(offer) and has_skills(wish, offer) and within_reach(wish, offer))
        return any(self._goes(wish, offer, by) for offer in going)

    def _goes(self, wish: Wish, offer: Offer, by: int) -> bool:
        last = last_start(wish, offer, self.now)
        return last is not None and last <= by

    def _seek_one(self, wish: Wish) -> bool:
        invites = self.area.invites(wish)
        asked: list[Candidate] = []
        candidates = self.area.index.in_order(wish)
        for rung, offer in candidates:
            start = self.start_if_eligible(wish, offer)
            if start is None:
                continue
            if invites and offer.asks:
                asked.append((offer, start, rung))
                continue
            candidates.close()
            self.propose(wish, offer, start, rung, "paired")
            return True
        return bool(asked) and self.ask(wish, asked)

    def ask(self, wish: Wish, able: Iterable[Candidate]) -> bool:
        """Invite those of them who have time for an answer, the best first, as many as may be. Whether a place is taken now: by a proposal.

        An invitation holds nothing, so a yes to it counts only as long as the visit can still begin. Where that is too short for anyone to answer, the best
        is asked as for a wish that is not red: the slot is theirs until they have answered. But not while somebody is invited, who could come as well.
        """
        policy, now = self.area.policy, self.now
        persons = self.area.persons_invited(wish, now)
        room = policy.invite_max - wish.invitations(now)
        hurried: Candidate | None = None
        for one in able:
            if room <= 0:
                break
            offer, start, _ = one
            # Nobody is asked twice, and one person is not several.
            if wish.is_asked(offer.id) or offer.volunteer.ref in persons:
                continue
            last = last_start(wish, offer, now)
            assert last is not None  # a visit can begin at `start`
            if last >= now + policy.word_us:
                self._invite(wish, offer, start)
                persons.add(offer.volunteer.ref)
                room -= 1
            elif hurried is None:
                hurried = one
        if hurried is None or room < policy.invite_max:
            return False
        offer, start, rung = hurried
        self.propose(wish, offer, start, rung, "paired")
        return True

    def _invite(self, wish: Wish, offer: Offer, start: int) -> None:
        """One more is asked. For whom at least the time for a word is left until their last start, the end is never after that: see `_word_by`."""
        until = self._word_by(wish, start, asks=True)
        self.area.invite(wish, offer.id, until)
        data = {
            "area": self.area.name,
            "wish_id": wish.id,
            "offer_id": offer.id,
            "expires_at": rfc3339(until),
            "volunteer_ref": offer.volunteer.ref,
            "category": wish.category,
            "urgency": wish.urgency,
            "rung": RUNGS[rung_between(wish.place, offer.home)],
            "slot": {"start": rfc3339(start), "end": rfc3339(start + wish.length)},
        }
        self.tell("lastmetre.helper.invited.v1", wish.id, data)

    def end_invitations(self, offer: Offer) -> list[Wish]:
        """Who was invited and could not say yes any more is invited no longer; the wishes that wait for somebody else now."""
        ended = [wish for wish in self.area.invited_by(offer.id, self.now) if refusal(wish, offer, self.now) is not None]
        for wish in ended:
            self.area.end_invitation(wish, offer.id)
        return [wish for wish in ended if wish.waits]

    def start_if_eligible(self, wish: Wish, offer: Offer) -> int | None:
        """The slot's start where all rules but skills (but for their proofs), reach and capacity hold: these the index has seen to.

        Who said no to an invitation comes to this wish only where they claim it.
        """
        if wish.invited.get(offer.id) == DECLINED or offer.level < wish.vetting or not speaks(wish, offer) or not may_meet(wish, offer):
            return None
        start = earliest_start(wish, offer, self.now)
        return start if start is not None and check_is_fresh(wish, offer, start) and has_proofs(wish, offer, start) else None

    def propose_group(self, wish: Wish, start: int, members: list[tuple[Offer, int]], leader: Offer | None) -> None:
        """These helpers together, in one slot; the leader claimed it."""
        group = (derived_id(f"{self.cause}\ngroup\n{len(self.out)}"), len(members))
        for offer, rung in members:
            self.propose(wish, offer, start, rung, "claimed" if offer is leader else "paired", group)

    def serve_waiting(self, offer: Offer) -> None:
        """This offer is new, or free again: the waiting wishes within its reach are tried, in their order; for those in the pool there will be a round."""
        for wish in self._waiting_near(offer):
            if wish.together:
                # The helper who was missing may be this one; who else comes along is for the ranking to say.
                if self._may_join(wish, offer):
                    self.seek(wish)
            elif self.waits_for_round(wish):
                self.seek(wish, goes=True)
            elif (start := self.start_if_eligible(wish, offer)) is not None:
                rung = rung_between(wish.place, offer.home)
                if not (offer.asks and self.area.invites(wish)):
                    self.propose(wish, offer, start, rung, "paired")
                    self.area.settle_wish(wish)
                elif self.ask(wish, [(offer, start, rung)]):
                    self.area.settle_wish(wish)
        if has_capacity(offer):
            self.call_round((offer,))

    def _waiting_near(self, offer: Offer) -> Iterator[Wish]:
        """The waiting wishes that an offer's skills and reach suffice for, as long as it takes one more; of the pool those for which a round is too late."""
        near: Iterable[Wish] = self.area.waiting.near(offer)
        if ending := self._ending(offer):
            near = merge(near, ending, key=turn_of)
        for wish in near:
            if not has_capacity(offer):
                return
            if wish.waits and has_skills(wish, offer) and within_reach(wish, offer):
                yield wish

    def _ending(self, offer: Offer) -> list[Wish]:
        """Of the pool, the wishes that are over before the next round, and those for which this offer is."""
        area, now, pooled = self.area, self.now, self.area.pooled
        if not area.policy.round_us or not len(pooled):
            return []
        by = self._round_by()
        ending = {wish.id: wish for wish in pooled.ending(now, by + 1)}
        # A visit that can begin, and is over with a window at its latest, has a length between these.
        # What they do already is an end, too, for what comes before it.
        ends = [*offer.ends, *(start - offer.rest for start, _ in offer.volunteer.slots)]
        lengths = [(end - by, end - now) for end in ends if now < end <= by + pooled.longest]
        begins = [offer.checked_at + CHECK_VALID_US] if offer.level >= VETTING_MAX else []
        if offer.per_week_max is not None:
            begins += [start - WEEK_US for start, _ in offer.volunteer.slots]
        if any(now <= last <= by for last in begins):
            lengths.append((0, pooled.longest))
        for shortest, longest in lengths:
            ending |= {wish.id: wish for wish in pooled.lasting(shortest, longest) if has_skills(wish, offer) and self._goes(wish, offer, by)}
        return sorted(ending.values(), key=turn_of)

    def call_round(self, offers: Iterable[Offer]) -> None:
        """A round is due if any of these may be what a wish in the pool waits for, or was until now: others may go before somebody looks again."""
        area = self.area
        if not area.policy.round_us or (area.round_at is not None and area.round_at <= area.next_beat(self.now)):
            return
        if any(has_skills(wish, offer) and within_reach(wish, offer) for offer in offers for wish in area.pooled.near(offer)):
            area.call_round(self.now)

    def _may_join(self, wish: Wish, offer: Offer) -> bool:
        """Whether this helper may be one of a group: else there is none now either, where there was none before they came, and nobody need look for one."""
        return may_join(wish, offer) and bool(possible_starts(wish, offer, self.now))

    def _may_gain(self, wish: Wish, offer: Offer) -> bool:
        if not (has_capacity(offer) and has_skills(wish, offer) and within_reach(wish, offer)):
            return False
        return self._may_join(wish, offer) if wish.together else self.start_if_eligible(wish, offer) is not None

    def pair_again(self, let_go: Iterable[Match], also: Iterable[Wish] = ()) -> None:
        """After matches were released or are over: who waits is tried with the helpers that are free now, each in turn and by the ranking.

        `also`: wishes that are to be tried with everyone if they wait.
        """
        lost = {match.wish.id: match.wish for match in let_go if match.state == RELEASED and match.wish.waits}
        lost.update((wish.id, wish) for wish in also if wish.waits)
        free = self._free_offers(let_go)
        if len(free) == 1 and not lost:
            self.serve_waiting(free[0])
            return
        # Once for each wish, with those who may be what it waits for: nobody becomes free while they are tried.
        tried: dict[str, tuple[Wish, list[Offer]]] = {wish_id: (wish, []) for wish_id, wish in lost.items()}
        for offer in free:
            for wish in self._waiting_near(offer):
                tried.setdefault(wish.id, (wish, []))[1].append(offer)
        for wish, near in sorted(tried.values(), key=lambda one: turn_of(one[0])):
            if self.waits_for_round(wish) or (wish.waits and (wish.id in lost or any(self._may_gain(wish, offer) for offer in near))):
                self.seek(wish, goes=bool(near))
        self.call_round(free)

    def _free_offers(self, matches: Iterable[Match]) -> list[Offer]:
        """The open offers with capacity of the people whose time or capacity these matches gave back."""
        offers: dict[str, Offer] = {}
        for match in matches:
            offers[match.offer.id] = match.offer
            offers.update(self.area.volunteers[match.volunteer_ref].offers)
        return [offer for _, offer in sorted(offers.items()) if offer.status == OPEN and has_capacity(offer)]


def turn_of(wish: Wish) -> tuple[int, int, str]:
    """Which of the waiting wishes is served first: urgency, then age, then id."""
    return wish.urgency_order, wish.submitted_at, wish.id
