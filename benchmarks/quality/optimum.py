"""The best that hindsight could do: the heaviest assignment of wishes to offered visits, found exactly (scipy), with the whole stream known.

A wish may be given to an offer if skills, reach and checks fit, the helper would say yes, and there is a start inside both their windows at an instant when
both are known and the offer is not withdrawn. Each offer takes as many visits as it is good for, and each wish as many as it needs.

What is relaxed, so that nobody can do better: a helper's visits may lie at one time, answers take no time, nothing is lost while somebody is asked, and a
wish for two may be given two visits of one helper. Where each offer is good for one visit, each wish wants one and everyone says yes at once, nothing is
relaxed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from deploy.whatif.generator import Stream, earliest
from deploy.whatif.weight import weight

# What it is worth to leave a wish to nobody, in a matching in which everyone is matched; the solver knows no zero.
_NOBODY = 1


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
                found.append(Edge(wish.id, offer.id, weight(rung, len(offer.skills) - len(wish.skills))))
    return found


def solve(stream: Stream) -> Optimum:
    """The heaviest assignment."""
    possible = edges(stream)
    feasible: dict[str, int] = {}
    for edge in possible:
        known = max(stream.wishes[edge.wish].at, stream.offers[edge.offer].at)
        feasible[edge.wish] = min(known, feasible.get(edge.wish, known))
    need = {wish_id: stream.wishes[wish_id].need for wish_id in feasible}
    chosen = heaviest(possible, need, {edge.offer: stream.offers[edge.offer].visits for edge in possible})
    return Optimum(sum(edge.weight for edge in chosen), len(chosen), tuple(chosen), feasible)


def heaviest(possible: list[Edge], need: dict[str, int], visits: dict[str, int]) -> list[Edge]:
    """The edges of the heaviest assignment: each wish at most as often as it needs, each offer at most as often as it is good for."""
    if not possible:
        return []
    rows, columns = _copies(need), _copies(visits)
    height, width = sum(need.values()), sum(visits.values())
    by_cell = {(row, column): edge for edge in possible for row in rows[edge.wish] for column in columns[edge.offer]}
    cells = [(row, column, edge.weight + _NOBODY) for (row, column), edge in by_cell.items()]
    cells += [(row, width + row, _NOBODY) for row in range(height)]
    row, column, value = (np.array(part) for part in zip(*cells, strict=True))
    matrix = csr_array(coo_array((value.astype(np.float64), (row, column)), shape=(height, width + height)))
    chosen = zip(*min_weight_full_bipartite_matching(matrix, maximize=True), strict=True)
    return [by_cell[cell] for cell in ((int(one), int(other)) for one, other in chosen) if cell in by_cell]


def _copies(numbers: dict[str, int]) -> dict[str, range]:
    """A stretch of indices for each, as long as its number."""
    found, used = {}, 0
    for name, number in numbers.items():
        found[name] = range(used, used + number)
        used += number
    return found
