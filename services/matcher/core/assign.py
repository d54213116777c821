"""A round: all that waits and all that is free, solved together to the highest total score.

The pool is sparse (a wish knows a few helpers), and so is the solver: scipy's minimum-weight matching over a bipartite graph, in which each wish also
has a place of its own that stands for *not now*. Of pools that score the same, the one with the earlier wishes is taken.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from services.matcher.core.score import SCORE_MAX


def solve(choices: Sequence[Sequence[tuple[int, int]]], places: Sequence[int]) -> list[int | None]:
    """For each wish which of its choices is taken, or None.

    `choices`: for each wish (helper's number, score), each helper at most once, 0 < score <= SCORE_MAX. `places`: how many wishes each helper can take.
    The sum of the scores is the highest possible.
    """
    first: list[int] = []
    total = 0
    for number in places:
        first.append(total)
        total += number
    rows, columns, costs, which = [], [], [], {}
    # All that the order of the wishes can add up to is less than one point.
    point = len(choices) ** 2 + 1
    for wish, some in enumerate(choices):
        for choice, (helper, score) in enumerate(some):
            for column in range(first[helper], first[helper] + places[helper]):
                rows.append(wish)
                columns.append(column)
                costs.append((SCORE_MAX + 1 - score) * point + wish)
                which[wish, column] = choice
        rows.append(wish)
        columns.append(total + wish)
        costs.append((SCORE_MAX + 1) * point + len(choices))
    if not which:
        return [None] * len(choices)
    graph = csr_array((np.array(costs, dtype=float), (rows, columns)), shape=(len(choices), total + len(choices)))
    taken: list[int | None] = [None] * len(choices)
    wishes, chosen = min_weight_full_bipartite_matching(graph)
    for row, at in zip(wishes.tolist(), chosen.tolist(), strict=True):
        taken[row] = which.get((row, at))
    return taken
