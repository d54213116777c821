"""A round: all that waits and all that is free, solved together to the highest total score.

The pool is sparse (a wish knows a few helpers), and so is the solver: scipy's minimum-weight matching over a bipartite graph, in which each wish also
has a place of its own that stands for *not now*. Of pools that score the same, the one with the earlier wishes is taken.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching


def solve(
    counts: Sequence[int], helpers: Sequence[int], scores: Sequence[int] | NDArray[np.int64], ranks: Sequence[int], places: Sequence[Sequence[int]]
) -> list[int | None]:
    """For each wish which of its choices is taken, or None. The sum of the scores is the highest possible.

    `counts`: how many choices each wish has. `helpers`, `scores`: all choices one after another, each helper at most once a wish, scores above 0. `ranks`:
    what is added to all scores of a wish. `places`: what each of the wishes that a helper can take adds, none below 0, the first most.
    """
    rows = len(counts)
    if not helpers:
        return [None] * rows
    helper, number = np.array(helpers, dtype=np.int64), np.array([len(some) for some in places], dtype=np.int64)
    first = np.cumsum(number) - number
    total = int(number.sum())
    adds = np.array([one for some in places for one in some], dtype=np.int64)
    row_of = np.repeat(np.arange(rows), counts)
    score = np.array(scores, dtype=np.int64) + np.array(ranks, dtype=np.int64)[row_of]
    # One cell for each place of each choice's helper.
    each = number[helper]
    choice = np.repeat(np.arange(len(helper)), each)
    column = first[helper[choice]] + np.arange(len(choice)) - np.repeat(np.cumsum(each) - each, each)
    row, value = row_of[choice], score[choice] + adds[column]
    # All that the order of the wishes can add up to is less than one point.
    point, nobody, mine = rows**2 + 1, int(value.max()) + 1, np.arange(rows)
    costs = np.concatenate(((nobody - value) * point + row, np.full(rows, nobody * point + rows)))
    cells = (np.concatenate((row, mine)), np.concatenate((column, total + mine)))
    graph = csr_array((costs.astype(float), cells), shape=(rows, total + rows))
    _, chosen = min_weight_full_bipartite_matching(graph)
    owner = np.append(np.repeat(np.arange(len(places)), number), -1)[np.minimum(chosen, total)]
    # Of the choices of a wish, the one with the helper whose place it was given.
    hit = np.flatnonzero(helper == owner[row_of])
    begins = np.cumsum(counts) - counts
    taken: list[int | None] = [None] * rows
    for wish, at in zip(row_of[hit].tolist(), (hit - begins[row_of[hit]]).tolist(), strict=True):
        taken[wish] = at
    return taken
