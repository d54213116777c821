"""Finding two or more helpers for one shared slot: minors, left-behind children, accompanied visits."""

from typing import TypeAlias

from services.matcher.core.place import rung_between
from services.matcher.core.rules import Stretch, may_join, possible_starts
from services.matcher.core.state import Area, Offer, Wish

Member: TypeAlias = tuple[Offer, int]  # who, and at which rung
Candidate: TypeAlias = tuple[Offer, int, list[Stretch]]


def find_group(area: Area, wish: Wish, now: int, leader: Offer | None = None) -> tuple[int, list[Member]] | None:
    """(start, members) of the earliest slot that two or more different people can share, or None.

    Members are the best by the ranking among those who can make that slot, as many as the wish still needs. With a
    `leader` (who claimed the wish) only slots count that the leader can make, and the leader is the first member.
    Where the wish already has helpers, only their slot counts.
    """
    wanted = wish.places_free
    if wanted < 2:
        return None
    shared = next((match.start for match in wish.matches.values()), None)
    soonest = max(wish.start, now) if shared is None else shared
    candidates: list[Candidate] = []
    if leader is not None:
        starts = _starts(wish, leader, now, shared)
        if not starts:
            return None
        candidates.append((leader, rung_between(wish.place, leader.home), starts))
        soonest = max(soonest, starts[0][0])
    at_once = {leader.volunteer.ref} if leader is not None else set()
    in_order = area.index.in_order(wish)
    for rung, offer in in_order:
        if offer is leader or not may_join(wish, offer):
            continue
        starts = _starts(wish, offer, now, shared)
        if not starts:
            continue
        candidates.append((offer, rung, starts))
        if _covers(starts, soonest):
            at_once.add(offer.volunteer.ref)
            if len(at_once) == wanted:
                break  # no slot is earlier, and no later candidate ranks before these
    in_order.close()
    start = soonest if len(at_once) > 1 else _earliest_shared(candidates, leader)
    if start is None:
        return None
    return start, _members(candidates, start, wanted)


def _starts(wish: Wish, offer: Offer, now: int, shared: int | None) -> list[Stretch]:
    starts = possible_starts(wish, offer, now)
    if shared is None:
        return starts
    return [(shared, shared)] if _covers(starts, shared) else []


def _covers(starts: list[Stretch], instant: int) -> bool:
    return any(first <= instant <= last for first, last in starts)


def _earliest_shared(candidates: list[Candidate], leader: Offer | None) -> int | None:
    """Sweep over time: the first instant at which two people (one of them the leader) can start."""
    edges: list[tuple[int, int, str, bool]] = []
    for offer, _, starts in candidates:
        for first, last in starts:
            edges.append((first, 0, offer.volunteer.ref, offer is leader))
            edges.append((last, 1, offer.volunteer.ref, offer is leader))
    edges.sort()
    present: dict[str, int] = {}
    led = 0
    for instant, leaves, person, leads in edges:
        step = -1 if leaves else 1
        led += step if leads else 0
        present[person] = present.get(person, 0) + step
        if not present[person]:
            del present[person]
        if not leaves and len(present) > 1 and (leader is None or led):
            return instant
    return None


def _members(candidates: list[Candidate], start: int, wanted: int) -> list[Member]:
    members: dict[str, Member] = {}
    for offer, rung, starts in candidates:
        if len(members) < wanted and offer.volunteer.ref not in members and _covers(starts, start):
            members[offer.volunteer.ref] = (offer, rung)
    return list(members.values())
