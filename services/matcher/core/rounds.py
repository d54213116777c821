"""Rounds: yellow and blue wishes wait, and every few minutes all that waits in the area is weighed together.

Waiting is what makes the pairs better, so a pair is taken only where waiting ends: the wish has waited long enough, its visit or the helper's time draws
near, or the pair is as good as pairs get. All of these change at known instants, or with what comes and goes; so a round says when the next one is worth
holding, and where nothing can change none is held.
"""

from dataclasses import dataclass
from typing import Final

from services.matcher.core.assign import solve
from services.matcher.core.score import score, weight
from services.matcher.core.state import Area, Offer, Wish
from services.matcher.core.turn import Turn, turn_of

# A helper can take that many visits in one round at most; more come with the next.
_PLACES_MAX: Final = 3


@dataclass(slots=True)
class Edge:
    """One helper for one wish. `due_at`: when it can wait no longer."""

    wish: Wish
    offer: Offer
    rung: int
    worth: int
    due_at: int
    score: int = 0


def run_round(turn: Turn) -> None:
    """Solve the open pool and take the pairs for which waiting ends; call the next round for when that changes."""
    area, policy = turn.area, turn.area.policy
    beat = turn.now // policy.round_us * policy.round_us
    # Each round has its line in the journal, for when the next one comes depends on it.
    turn.changed = True
    area.set_round(None)
    pool = [edges for wish in sorted(area.waiting.all(), key=turn_of) if area.in_rounds(wish) and (edges := _edges(turn, wish, beat))]
    numbers: dict[str, int] = {}
    places: list[int] = []
    for edges in pool:
        for edge in edges:
            if edge.offer.id not in numbers:
                numbers[edge.offer.id] = len(places)
                places.append(min(_PLACES_MAX, edge.offer.capacity - edge.offer.live))
    taken = solve([[(numbers[edge.offer.id], edge.score) for edge in edges] for edges in pool], places)
    following: list[int] = []
    for edges, choice in zip(pool, taken, strict=True):
        if choice is not None and _is_ripe(area, edges[choice], beat):
            _take(turn, edges[choice], edges)
        following.extend(edge.due_at for edge in edges)
    if turn.out:
        area.call_round(turn.now)
    elif later := [at for at in following if at > beat]:
        area.call_round(max(turn.now, min(later) - 1))


def _is_ripe(area: Area, edge: Edge, beat: int) -> bool:
    return edge.due_at <= beat or edge.worth >= area.policy.sure


def _take(turn: Turn, edge: Edge, edges: list[Edge]) -> None:
    wish, offer = edge.wish, edge.offer
    start = turn.start_if_eligible(wish, offer)
    if start is None or offer.live >= offer.capacity:
        return  # an earlier pair of this round has taken the time; the next round sees that
    runner_up = max((other for other in edges if other is not edge), key=lambda other: other.score, default=None)
    why: list[tuple[str, str | int]] = [("score", edge.score)]
    if runner_up is not None:
        why += [("ahead_of_next", edge.score - runner_up.score), ("next_best", runner_up.offer.id)]
    turn.propose(wish, offer, start, edge.rung, "paired", why=why)
    turn.area.settle_wish(wish)


def _edges(turn: Turn, wish: Wish, beat: int) -> list[Edge]:
    """The helpers within the wish's reach of now, the best by the ranking first, with what each would count."""
    area, policy = turn.area, turn.area.policy
    reach, patience = area.reach_of(wish, turn.now), policy.patience_us[wish.urgency]
    edges: list[Edge] = []
    candidates = area.index.in_order(wish)
    for rung, offer in candidates:
        if rung > reach or len(edges) == policy.edges_max:
            break
        start = turn.start_if_eligible(wish, offer)
        if start is None:
            continue
        worth = weight(rung, len(offer.skills) - len(wish.skills))
        # Who may still say no is asked earlier.
        lead = policy.lead_us[wish.urgency] + (policy.answer_us[wish.urgency] if offer.asks else 0)
        wish_due_at = min(wish.submitted_at + patience, wish.latest_start - lead)
        edge = Edge(wish, offer, rung, worth, min(wish_due_at, _last_start(wish, offer) - lead))
        # That a helper is about to run out is no reason to prefer them to a better one.
        waited, due = beat - wish.submitted_at, wish_due_at <= beat
        centre = rung == 0 and offer.centre and wish.welfare
        edge.score = score(worth, waited=waited, patience=patience, load=len(offer.volunteer.slots), asks=offer.asks, due=due, centre=centre)
        edges.append(edge)
    candidates.close()
    return edges


def _last_start(wish: Wish, offer: Offer) -> int:
    """The last instant at which a visit could begin by the windows alone."""
    return max(min(closes, wish.end) for opens, closes in offer.windows if opens < wish.end) - wish.length
