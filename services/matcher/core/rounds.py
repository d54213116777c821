"""Rounds: yellow and blue wishes wait, and every few minutes all that waits in the area is weighed together.

Waiting is what makes the pairs better, so a pair is taken only where waiting ends: the wish has waited long enough, its visit or the helper's time draws
near, or the pair is as good as pairs get. All of these change at known instants, or with what comes and goes; so a round says when the next one is worth
holding, and where nothing can change none is held.

*Nobody is passed for ever*: wishes for which waiting is over are ranked by their age, and a rank counts more than all else that can be said for a pair.
So no helper whom such a wish could have is given to a younger one, nor to one that can still wait.

Whoever is kept for a wish that needs two (:mod:`services.matcher.core.keeping`) is not weighed for a younger one meanwhile.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.matcher.core import score
from services.matcher.core.assign import solve
from services.matcher.core.keeping import Keeping
from services.matcher.core.ladder import Leaving, reach_of_round
from services.matcher.core.policy import Points
from services.matcher.core.ranking import Ranking
from services.matcher.core.rules import last_start
from services.matcher.core.state import OPEN, WEEK_US, Area, Offer, Wish
from services.matcher.core.turn import ROUND_LATE_US, Turn

# A helper can take that many visits in one round at most; more come with the next.
_PLACES_MAX: Final = 3
# So many pairs are weighed in one round; where more wishes wait than this allows, each has fewer helpers to choose from, but never fewer than this.
_EDGES_TOTAL: Final = 30_000
_EDGES_MIN: Final = 6
Numbers: TypeAlias = NDArray[np.int64]
_NONE: Final = np.zeros(0, dtype=np.int64)
_WEIGHTS: Final = np.array(score.WEIGHTS)


class Edges:
    """Which helper could have which wish, all wishes' pairs one after another; flat, for there are tens of thousands, and reckoned together.

    `counts`: how many pairs each wish has. `helpers`: by their number in the round. `lasts`: when a visit can begin at the latest. `more`: (pair, points) for
    what only few pairs have. Of each wish `wishes` has (points of its age, when its waiting is over, lead, weight of its skills, their number, how long an
    answer takes), of each helper `offers` (points for all that does not depend on the wish, weight of their skills, their number, whether they are asked).
    """

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.helpers: list[int] = []
        self.rungs: list[int] = []
        self.lasts: list[int] = []
        self.more: list[tuple[int, int]] = []
        self.wishes: list[tuple[int, int, int, int, int, int]] = []
        self.offers: list[tuple[int, int, int, bool]] = []

    def reckon(self, points: Points) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Of each pair: what it is worth, what it counts in this round, when it can wait no longer, and when it can be made no more."""
        if not self.helpers:
            return _NONE, _NONE, _NONE, _NONE
        wish, helper = np.repeat(np.arange(len(self.counts)), self.counts), np.array(self.helpers)
        ages, ends, leads, weights, wanted, answers = (column[wish] for column in np.array(self.wishes).T)
        sure, heavy, skills, asks = (column[helper] for column in np.array(self.offers, dtype=np.int64).T)
        worths = _WEIGHTS[self.rungs, skills - wanted]
        # The exponent of a whole number is the number of its bits.
        counts = worths + ages + sure + np.array(score.rare_points(points))[np.frexp((heavy - weights).astype(float))[1]]
        for pair, added in self.more:
            counts[pair] += added
        # Who may still say no is asked earlier. That a helper is about to run out is no reason to prefer them to a better one.
        lasts, words = np.array(self.lasts), asks * answers
        return worths, counts, np.minimum(ends, lasts - leads) - words, lasts - words


class Pool:
    """All that one round weighs.

    `wishes` have at least one pair each; `late`: those that have waited long enough; `narrow`: those for whom there is somebody beyond the circle of now.
    `offers` are the helpers by their number, and `free` tells how many visits each takes. `worths`, `scores`, `due_at`, `gone_at`: what :meth:`Edges.reckon`
    says.
    """

    def __init__(self, turn: Turn) -> None:
        self.now = turn.now
        self.area: Area = turn.area
        self.policy = turn.area.policy
        self.beat = turn.now // self.policy.round_us * self.policy.round_us
        self.helpers: dict[str, int] = {}
        self.offers: list[Offer] = []
        self.free: list[int] = []
        self.wishes: list[Wish] = []
        self.late: list[bool] = []
        self.narrow: list[Wish] = []
        self.edges = Edges()
        # When those must be looked at again who were free for a wish that was given nobody, or were not for it now.
        self._passed: list[int] = []
        self._ranking = Ranking(self.area.index)
        self._leaving = Leaving(self.area, self.now)
        self._keeping = Keeping(self.area, self.now, self._ranking.of)
        # There is one more round in time, however short the lead.
        self._leads = {urgency: max(lead, self.policy.round_us + ROUND_LATE_US) for urgency, lead in self.policy.lead_us.items()}
        waiting = sorted(self.area.pooled.all(), key=_age_of)
        self._limit = min(self.policy.edges_max, max(_EDGES_MIN, _EDGES_TOTAL // max(1, len(waiting))))
        for wish in waiting:
            if wish.latest_start >= self.now:
                self._weigh(wish)
        self.worths, self.scores, self.due_at, self.gone_at = self.edges.reckon(self.policy.points)

    def _weigh(self, wish: Wish) -> None:
        """The helpers whom the wish is for now, the best by the ranking first."""
        policy, points, now, edges, known = self.policy, self.policy.points, self.now, self.edges, self.helpers
        urgency, resident = wish.urgency, wish.resident_ref
        helpers, rungs, lasts = edges.helpers, edges.rungs, edges.lasts
        centre = score.centre_points(points) if wish.welfare else 0
        before, noted = len(helpers), len(edges.more)
        full, kept = before + self._limit, self._keeping.offers
        for rung, offer in self._candidates(wish):
            last = last_start(wish, offer, now)
            if last is None or (kept and self._is_kept(wish, offer, last)):
                continue
            number = known.get(offer.id)
            if number is None:
                number = self._helper(offer)
            if centre and rung == 0 and offer.centre:
                edges.more.append((len(helpers), centre))
            if offer.volunteer.met:
                edges.more.append((len(helpers), score.known_points(points, offer.volunteer, resident)))
            helpers.append(number)
            rungs.append(rung)
            lasts.append(last)
            if len(helpers) == full:
                break
        if len(helpers) > before:
            patience, lead = policy.patience_us[urgency], self._leads[urgency]
            due_at = min(wish.submitted_at + patience, wish.latest_start - lead)
            age = score.age_points(points, self.beat - wish.submitted_at, patience)
            fact = (age, due_at, lead, self.area.index.weigh(wish.skills), len(wish.skills), policy.answer_us[urgency])
            self._put(wish, before, noted, fact, late=due_at <= self.beat)

    def _is_kept(self, wish: Wish, offer: Offer, last: int) -> bool:
        """Whether they are kept for an older wish that needs two; this one is looked at again when they are no more."""
        until = self._keeping.until(wish, offer, last)
        if until is not None:
            self._passed.append(until)
        return until is not None

    def _candidates(self, wish: Wish) -> Iterator[tuple[int, Offer]]:
        """(rung, offer) of those within the reach of now.

        Where too few others are left for later, also those from farther away who would be gone before the wish asks as far.
        """
        before, reach = len(self.edges.helpers), reach_of_round(self.area, wish, self.now)
        ranked = self._ranking.of(wish)
        for rung, offer in ranked:
            if rung > reach:
                self.narrow.append(wish)
                near = {self.offers[number].volunteer.ref for number in self.edges.helpers[before:]}  # of those who were given so far
                yield from self._leaving.beyond(wish, reach, (rung, offer), ranked, near)
                return
            yield rung, offer

    def _put(self, wish: Wish, before: int, noted: int, fact: tuple[int, int, int, int, int, int], *, late: bool) -> None:
        """The wish has its pairs, from that one on, and what is more of them.

        For several it counts as several; should one helper be given two, the second waits for the next round.
        """
        edges = self.edges
        found, wanted = len(edges.helpers) - before, min(_PLACES_MAX, wish.places_free)
        self.wishes += [wish] * wanted
        self.late += [late] * wanted
        edges.counts += [found] * wanted
        edges.wishes += [fact] * wanted
        edges.more += [(pair + copy * found, added) for copy in range(1, wanted) for pair, added in edges.more[noted:]]
        for column in (edges.helpers, edges.rungs, edges.lasts) if wanted > 1 else ():
            column.extend(column[before:] * (wanted - 1))

    def _helper(self, offer: Offer) -> int:
        policy, person = self.policy, offer.volunteer
        free = offer.capacity - offer.live
        if free > 1 and offer.id in self._keeping.offers:
            free -= 1
        if offer.per_week_max is not None:
            # One visit can be, or there would be no pair; a second one may belong to another week, and the next round will see that.
            free = min(free, max(1, offer.per_week_max - sum(start > self.now - WEEK_US for start in person.starts)))
        sure = score.chance_points(policy.points, person, asks=offer.asks) + score.idle_points(policy.points, person)
        number = self.helpers[offer.id] = len(self.offers)
        self.offers.append(offer)
        self.free.append(min(_PLACES_MAX, free))
        self.edges.offers.append((sure, self.area.index.score(offer), len(offer.skills), offer.asks))
        return number

    def ranks(self) -> list[int]:
        """What is added to all pairs of each wish: the older of two for which waiting is over counts more by a whole step."""
        step, late, found = score.step_of(self.policy.points), sum(self.late), []
        for one in self.late:
            found.append(step * late if one else 0)
            late -= one
        return found

    def places(self) -> list[list[int]]:
        """What each of a helper's visits adds."""
        fresh = score.fresh_points(self.policy.points, sum(self.free), len(self.wishes), self._had_tasks())
        return [score.place_points(offer.volunteer, number, fresh) for offer, number in zip(self.offers, self.free, strict=True)]

    def _had_tasks(self) -> int:
        """How many in a thousand of the people with an open offer ever had a task."""
        people = {offer.volunteer.ref: offer.volunteer for offer in self.area.offers.values() if offer.status == OPEN}
        return 1000 * sum(person.tasks > 0 for person in people.values()) // max(1, len(people))  # there may be nobody at all

    def ripe(self) -> NDArray[np.bool_]:
        """For which pairs waiting is over."""
        return (self.due_at <= self.beat) | (self.worths >= self.policy.sure)

    def taken(self) -> Iterator[tuple[Wish, int, int, int]]:
        """(wish, where its pairs begin, how many they are, which of them): what is solved, as far as waiting is over.

        The solver does not know that nobody comes to a wish twice. Where it gives one for several the same person again, that visit is free. Mostly the next
        round solves it otherwise, as one of the two is taken. Who has nobody, and too few to choose from who stay as long, is given the best of those who
        would be gone by then; the late wishes first, also of what is kept for others that can wait.
        """
        edges, ripe = self.edges, self.ripe().tolist()
        if not any(ripe):
            return
        begins = (np.cumsum(edges.counts) - edges.counts).tolist()
        given: dict[str, set[str]] = {}
        soon = self.area.next_beat(self.now) + ROUND_LATE_US
        # Of each helper's visits those that are not given at all, and with them those that are kept for a pair that goes on waiting.
        left, kept, pairs = list(self.free), list(self.free), list[int | None]()
        for wish, first, choice in zip(self.wishes, begins, solve(edges.counts, edges.helpers, self.scores, self.ranks(), self.places()), strict=True):
            people = given.setdefault(wish.id, set())
            pair = None if choice is None or self._person(first + choice) in people else first + choice
            if pair is not None:
                people.add(self._person(pair))
                left[edges.helpers[pair]] -= 1
                kept[edges.helpers[pair]] -= ripe[pair]
            pairs.append(pair)
        for row in sorted((row for row, pair in enumerate(pairs) if pair is None), key=lambda row: not self.late[row]):
            people, its = given[self.wishes[row].id], range(begins[row], begins[row] + edges.counts[row])
            visits = kept if self.late[row] else left
            free = [one for one in its if ripe[one] and visits[edges.helpers[one]] > 0 and self._person(one) not in people]
            self._passed += [int(self.gone_at[one]) - ROUND_LATE_US - self.policy.round_us + 1 for one in free if self.gone_at[one] >= soon]
            going = [one for one in free if self.gone_at[one] < soon]
            if going and len(people | {self._person(one) for one in its if self.gone_at[one] >= soon}) < self.wishes[row].places_free:
                pairs[row] = best = max(going, key=self.scores.__getitem__)
                people.add(self._person(best))
                left[edges.helpers[best]] -= 1
                kept[edges.helpers[best]] -= 1
        for wish, first, count, pair in zip(self.wishes, begins, edges.counts, pairs, strict=True):
            if pair is not None and ripe[pair]:
                yield wish, first, count, pair - first

    def _person(self, pair: int) -> str:
        return self.offers[self.edges.helpers[pair]].volunteer.ref

    def next_due_at(self) -> int | None:
        """When the next pair can wait no longer, or the next wish: it comes before all others then, and may be given a pair that was due but not solved."""
        wishes = [due_at for _, due_at, *_ in self.edges.wishes if due_at > self.beat]
        return min([*self.due_at[self.due_at > self.beat].tolist(), *wishes, *self._passed], default=None)


def _age_of(wish: Wish) -> tuple[int, str]:
    return wish.submitted_at, wish.id


def run_round(turn: Turn) -> None:
    """Solve the open pool and take the pairs for which waiting ends; call the next round for when that changes."""
    area = turn.area
    # Each round has its line in the journal, for when the next one comes depends on it.
    turn.changed = True
    area.set_round(None)
    pool = Pool(turn)
    clashes, late = dict[str, Wish](), {wish.id for wish, one in zip(pool.wishes, pool.late, strict=True) if one}
    for wish, first, count, choice in pool.taken():
        if not _take(turn, pool, wish, first, choice, pool.scores[first : first + count].tolist()):
            clashes[wish.id] = wish
    # The solver knows no time, and may give a helper two visits of one hour. For whoever is left for the other one the next round may be too late.
    for wish in sorted(clashes.values(), key=lambda wish: wish.id not in late):
        turn.seek(wish)
    if turn.out:
        area.call_round(turn.now)
    else:
        # Also for when a wish is for a wider circle, in which its helper may live: whoever holds the clock (`play`) stops at rounds, and at nothing between.
        ahead = [at for at in (pool.next_due_at(), *(area.widens_at(wish, pool.beat) for wish in pool.narrow)) if at is not None]
        if ahead:
            area.call_round(max(turn.now, min(ahead) - 1))


def _take(turn: Turn, pool: Pool, wish: Wish, first: int, choice: int, scores: list[int]) -> bool:
    """Propose that choice of the wish, whose pairs begin at `first`; False where an earlier pair of this round has taken the time."""
    edges = pool.edges
    offer = pool.offers[edges.helpers[first + choice]]
    start = turn.start_if_eligible(wish, offer)
    if start is None or offer.live >= offer.capacity:
        return False
    why: list[tuple[str, str | int]] = [("score", scores[choice])]
    if len(scores) > 1:
        runner_up = max((other for other in range(len(scores)) if other != choice), key=scores.__getitem__)
        why += [("ahead_of_next", scores[choice] - scores[runner_up]), ("next_best", pool.offers[edges.helpers[first + runner_up]].id)]
    turn.propose(wish, offer, start, edges.rungs[first + choice], "paired", why=why)
    turn.area.settle_wish(wish)
    return True
