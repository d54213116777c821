"""The best that hindsight could do: the heaviest assignment of wishes to offered visits, found exactly (scipy, HiGHS), with the whole stream known.

A wish may be given to an offer if skills, reach and checks fit, the helper would say yes, and there is a start inside both their windows at an instant when
both are known and the offer is not withdrawn. Each offer takes as many visits as it is good for, and each wish as many helpers as it needs, every one of
them another person.

What is relaxed, so that nobody can do better: a helper's visits may lie at one time, answers take no time, and nothing is lost while somebody is asked. Where
each offer is good for one visit, each person posts one and everyone says yes at once, nothing is relaxed.

*Why a linear program is exact here.* Every pair is bounded by three sums: of its wish, of its wish and its helper, and of its offer. The second are parts of
the first, so it is a flow from wishes over (wish, helper) to offers: all corners of what is allowed are whole numbers, and the simplex method ends in one.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from deploy.whatif.generator import Stream, earliest
from deploy.whatif.weight import worth

# How far from a whole number the solver's own rounding may leave a part.
_EXACT = 1e-6


@dataclass(frozen=True, slots=True)
class Edge:
    """A wish that may be given to an offer, and what that is worth."""

    wish: str
    offer: str
    weight: int


@dataclass(frozen=True, slots=True)
class Optimum:
    """`feasible`: wishes that anyone at all could have helped, and since when (microseconds)."""

    weight: int
    matched: int
    edges: tuple[Edge, ...]
    feasible: dict[str, int]


def edges(stream: Stream) -> list[Edge]:
    """All that would have been possible."""
    found = []
    for wish in stream.wishes.values():
        for offer, rung in stream.fitting(wish):
            known = max(wish.at, offer.at)
            if (offer.gone_at is not None and offer.gone_at <= known) or not stream.answer(wish, offer).yes:
                continue
            if earliest(wish, offer, known) is not None:
                found.append(Edge(wish.id, offer.id, worth(wish.urgency, rung, len(offer.skills) - len(wish.skills))))
    return found


def solve(stream: Stream) -> Optimum:
    """The heaviest assignment."""
    possible = edges(stream)
    feasible: dict[str, int] = {}
    for edge in possible:
        known = max(stream.wishes[edge.wish].at, stream.offers[edge.offer].at)
        feasible[edge.wish] = min(known, feasible.get(edge.wish, known))
    need = {wish_id: stream.wishes[wish_id].need for wish_id in feasible}
    offers = {edge.offer: stream.offers[edge.offer] for edge in possible}
    people = {offer_id: offer.volunteer for offer_id, offer in offers.items()}
    chosen = heaviest(possible, need, {offer_id: offer.visits for offer_id, offer in offers.items()}, people)
    return Optimum(sum(edge.weight for edge in chosen), len(chosen), tuple(chosen), feasible)


def heaviest(possible: list[Edge], need: Mapping[str, int], visits: Mapping[str, int], people: Mapping[str, str] | None = None) -> list[Edge]:
    """The edges of the heaviest assignment: each wish at most as often as it needs, each offer at most as often as it is good for, no person twice for a wish.

    `people`: whose offer it is; where nothing is said, each is another person's.
    """
    if not possible:
        return []
    limits: dict[Hashable, int] = {}
    cells: list[tuple[Hashable, int]] = []
    for number, edge in enumerate(possible):
        wanted, whose = need[edge.wish], edge.offer if people is None else people[edge.offer]
        bounds: list[tuple[Hashable, int]] = [(("wish", edge.wish), wanted), (("offer", edge.offer), visits[edge.offer])]
        if wanted > 1:  # else the wish's own bound says it already
            bounds.append(((edge.wish, "helper", whose), 1))
        limits.update(bounds)
        cells += [(name, number) for name, _ in bounds]
    row_of = {name: row for row, name in enumerate(limits)}
    rows, columns = [row_of[name] for name, _ in cells], [number for _, number in cells]
    # Any: the stubs know no sparse matrix.
    sums: Any = csr_array((np.ones(len(cells)), (rows, columns)), shape=(len(limits), len(possible)))
    worth = np.array([edge.weight for edge in possible], dtype=np.float64)
    found = linprog(-worth, A_ub=sums, b_ub=np.array(list(limits.values()), dtype=np.float64), bounds=(0, 1), method="highs-ds")
    assert found.x is not None, "to take nobody is always allowed"
    taken = np.rint(found.x)
    assert np.abs(found.x - taken).max() < _EXACT, "a corner of a flow is whole"
    return [possible[number] for number in np.flatnonzero(taken).tolist()]
