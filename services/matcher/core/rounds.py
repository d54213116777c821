"""Rounds: yellow and blue wishes wait, and every few minutes all that waits in the area is weighed together.

Waiting is what makes the pairs better, so a pair is taken only where waiting ends: the wish has waited long enough, its visit or the helper's time draws
near, or the pair is as good as pairs get. All of these change at known instants, or with what comes and goes; so a round says when the next one is worth
holding, and where nothing can change none is held.

*Nobody is passed for ever*: wishes for which waiting is over are ranked by their age, and a rank counts more than all else that can be said for a pair.
So no helper whom such a wish could have is given to a younger one, nor to one that can still wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from services.matcher.core import score
from services.matcher.core.assign import solve
from services.matcher.core.ladder import Leaving
from services.matcher.core.ranking import Ranking
from services.matcher.core.rules import last_start
from services.matcher.core.state import OPEN, WEEK_US, Area, Offer, Wish
from services.matcher.core.turn import ROUND_LATE_US, Turn

# A helper can take that many visits in one round at most; more come with the next.
_PLACES_MAX: Final = 3
# So many pairs are weighed in one round; where more wishes wait than this allows, each has fewer helpers to choose from, but never fewer than this.
_EDGES_TOTAL: Final = 30_000
_EDGES_MIN: Final = 6


@dataclass(slots=True)
class Helper:
    """An offer as all wishes see it in this round.

    `points`: for all that does not depend on the wish. `heaviness`: the weight of its skills. `free`: how many visits it takes. `ask_us`: how long an
    answer takes, by urgency.
    """

    number: int
    points: int
    heaviness: int
    free: int
    ask_us: dict[str, int]


@dataclass(slots=True)
class Edges:
    """Which helper could have which wish, all wishes' pairs one after another; flat, for there are tens of thousands.

    `counts`: how many pairs each wish has. `helpers`: by their number in the round. `due_at`: when the pair can wait no longer.
    """

    counts: list[int] = field(default_factory=list)
    helpers: list[int] = field(default_factory=list)
    rungs: list[int] = field(default_factory=list)
    worths: list[int] = field(default_factory=list)
    scores: list[int] = field(default_factory=list)
    due_at: list[int] = field(default_factory=list)


class Pool:
    """All that one round weighs.

    `wishes` have at least one pair each; `late`: those that have waited long enough; `narrow`: those for whom there is somebody beyond the circle of now.
    """

    def __init__(self, turn: Turn) -> None:
        self.now = turn.now
        self.area: Area = turn.area
        self.policy = turn.area.policy
        self.beat = turn.now // self.policy.round_us * self.policy.round_us
        self.helpers: dict[str, Helper] = {}
        self.offers: list[Offer] = []
        self.wishes: list[Wish] = []
        self.late: list[bool] = []
        self.narrow: list[Wish] = []
        self.edges = Edges()
        self._ranking = Ranking(self.area.index)
        self._leaving = Leaving(self.area, self.now)
        # There is one more round in time, however short the lead.
        self._leads = {urgency: max(lead, self.policy.round_us + ROUND_LATE_US) for urgency, lead in self.policy.lead_us.items()}
        self._rares = score.rare_points(self.policy.points)
        waiting = sorted(self.area.pooled.all(), key=_age_of)
        self._limit = min(self.policy.edges_max, max(_EDGES_MIN, _EDGES_TOTAL // max(1, len(waiting))))
        for wish in waiting:
            if wish.latest_start >= self.now:
                self._weigh(wish)

    def _weigh(self, wish: Wish) -> None:
        """The helpers whom the wish is for now, the best by the ranking first, with what each would count."""
        policy, points, now, edges, known = self.policy, self.policy.points, self.now, self.edges, self.helpers
        urgency, wished, resident = wish.urgency, len(wish.skills), wish.resident_ref
        patience, lead = policy.patience_us[urgency], self._leads[urgency]
        wish_due_at = min(wish.submitted_at + patience, wish.latest_start - lead)
        age = score.age_points(points, self.beat - wish.submitted_at, patience)
        weighs = self.area.index.weigh(wish.skills)
        centre = score.centre_points(points) if wish.welfare else 0
        worths, before = score.WEIGHTS, len(edges.helpers)
        full = before + self._limit
        for rung, offer in self._candidates(wish):
            last = last_start(wish, offer, now)
            if last is None:
                continue
            helper = known.get(offer.id) or self._helper(offer)
            worth = worths[rung][len(offer.skills) - wished]
            counts = worth + age + helper.points + self._rares[(helper.heaviness - weighs).bit_length()]
            if centre and rung == 0 and offer.centre:
                counts += centre
            if offer.volunteer.met:
                counts += score.known_points(points, offer.volunteer, resident)
            # Who may still say no is asked earlier. That a helper is about to run out is no reason to prefer them to a better one.
            due_at = last - lead
            edges.due_at.append((min(wish_due_at, due_at)) - helper.ask_us[urgency])
            edges.helpers.append(helper.number)
            edges.rungs.append(rung)
            edges.worths.append(worth)
            edges.scores.append(counts)
            if len(edges.helpers) == full:
                break
        if len(edges.helpers) > before:
            self._put(wish, before, late=wish_due_at <= self.beat)

    def _candidates(self, wish: Wish) -> Iterator[tuple[int, Offer]]:
        """(rung, offer) of those within the reach of now.

        Where too few others are left for later, also those from farther away who would be gone before the wish asks as far.
        """
        before, reach = len(self.edges.helpers), self.area.reach_of(wish, self.now)
        ranked = self._ranking.of(wish)
        for rung, offer in ranked:
            if rung > reach:
                self.narrow.append(wish)
                found = len(self.edges.helpers) - before  # of those who were given so far
                if not self._leaving.others_stay(wish, rung, offer, ranked, wish.places_free - found):
                    yield from self._leaving.of(wish, reach)
                return
            yield rung, offer

    def _put(self, wish: Wish, before: int, *, late: bool) -> None:
        """The wish has its pairs, from that one on. For several it counts as several; should one helper be given two, the second waits for the next round."""
        edges = self.edges
        found, wanted = len(edges.helpers) - before, min(_PLACES_MAX, wish.places_free)
        self.wishes += [wish] * wanted
        self.late += [late] * wanted
        edges.counts += [found] * wanted
        for column in (edges.helpers, edges.rungs, edges.worths, edges.scores, edges.due_at) if wanted > 1 else ():
            column.extend(column[before:] * (wanted - 1))

    def _helper(self, offer: Offer) -> Helper:
        policy, person = self.policy, offer.volunteer
        free = offer.capacity - offer.live
        if offer.per_week_max is not None:
            # One visit can be, or there would be no pair; a second one may belong to another week, and the next round will see that.
            free = min(free, max(1, offer.per_week_max - sum(start > self.now - WEEK_US for start in person.starts)))
        answer = policy.answer_us if offer.asks else _AT_ONCE
        sure = score.chance_points(policy.points, person, asks=offer.asks) + score.idle_points(policy.points, person)
        helper = Helper(len(self.offers), sure, self.area.index.score(offer), min(_PLACES_MAX, free), answer)
        self.helpers[offer.id] = helper
        self.offers.append(offer)
        return helper

    def ranks(self) -> list[int]:
        """What is added to all pairs of each wish: the older of two for which waiting is over counts more by a whole step."""
        step, late, found = score.step_of(self.policy.points), sum(self.late), []
        for one in self.late:
            found.append(step * late if one else 0)
            late -= one
        return found

    def places(self) -> list[list[int]]:
        """What each of a helper's visits adds."""
        points = self.policy.points
        free = [helper.free for helper in self.helpers.values()]
        fresh = score.fresh_points(points, sum(free), len(self.wishes), self._had_tasks())
        return [score.place_points(offer.volunteer, number, fresh) for offer, number in zip(self.offers, free, strict=True)]

    def _had_tasks(self) -> int:
        """How many in a thousand of the people with an open offer ever had a task."""
        people = {offer.volunteer.ref: offer.volunteer for offer in self.area.offers.values() if offer.status == OPEN}
        return 1000 * sum(person.tasks > 0 for person in people.values()) // max(1, len(people))  # there may be nobody at all

    def is_ripe(self, edge: int) -> bool:
        """Whether waiting is over for this pair."""
        return self.edges.due_at[edge] <= self.beat or self.edges.worths[edge] >= self.policy.sure

    def next_due_at(self) -> int | None:
        """When the next pair can wait no longer."""
        return min((at for at in self.edges.due_at if at > self.beat), default=None)


_AT_ONCE: Final = {"red": 0, "yellow": 0, "blue": 0}


def _age_of(wish: Wish) -> tuple[int, str]:
    return wish.submitted_at, wish.id


def run_round(turn: Turn) -> None:
    """Solve the open pool and take the pairs for which waiting ends; call the next round for when that changes."""
    area = turn.area
    # Each round has its line in the journal, for when the next one comes depends on it.
    turn.changed = True
    area.set_round(None)
    pool = Pool(turn)
    edges = pool.edges
    if any(at <= pool.beat for at in edges.due_at) or max(edges.worths, default=0) >= area.policy.sure:
        taken = solve(edges.counts, edges.helpers, edges.scores, pool.ranks(), pool.places())
        first = 0
        for wish, count, choice in zip(pool.wishes, edges.counts, taken, strict=True):
            if choice is not None and pool.is_ripe(first + choice):
                _take(turn, pool, wish, first + choice, range(first, first + count))
            first += count
    if turn.out:
        area.call_round(turn.now)
    else:
        # Also for when a wish is for a wider circle, in which its helper may live: whoever holds the clock (`play`) stops at rounds, and at nothing between.
        ahead = [at for at in (pool.next_due_at(), *(area.widens_at(wish, pool.beat) for wish in pool.narrow)) if at is not None]
        if ahead:
            area.call_round(max(turn.now, min(ahead) - 1))


def _take(turn: Turn, pool: Pool, wish: Wish, edge: int, edges: range) -> None:
    offer = pool.offers[pool.edges.helpers[edge]]
    start = turn.start_if_eligible(wish, offer)
    if start is None or offer.live >= offer.capacity:
        return  # an earlier pair of this round has taken the time; the next round sees that
    scores = pool.edges.scores
    why: list[tuple[str, str | int]] = [("score", scores[edge])]
    if len(edges) > 1:
        runner_up = max((other for other in edges if other != edge), key=scores.__getitem__)
        why += [("ahead_of_next", scores[edge] - scores[runner_up]), ("next_best", pool.offers[pool.edges.helpers[runner_up]].id)]
    turn.propose(wish, offer, start, pool.edges.rungs[edge], "paired", why=why)
    turn.area.settle_wish(wish)
