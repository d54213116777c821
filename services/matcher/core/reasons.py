"""Why this offer for this wish, or why not: every rule with its verdict and the facts behind it, and who comes first where all rules pass.

:mod:`services.matcher.core.rules` decides; here is only told what it would decide and what it looks at, so :func:`verdicts` fails exactly where
:func:`~services.matcher.core.rules.refusal` refuses. What is told names wishes and offers, never people. Instants are microseconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from schemas.instants import DAY_US, MINUTE_US
from schemas.wishes import WishSubmitted
from services.matcher.core.keeping import Keeping
from services.matcher.core.ladder import gone_before
from services.matcher.core.people import Volunteer
from services.matcher.core.place import RUNGS, rung_between
from services.matcher.core.ranking import skill_weight
from services.matcher.core.rules import (
    LANGUAGE_MISSING,
    NOT_AVAILABLE,
    OFFER_FULL,
    OUT_OF_REACH,
    SKILL_MISSING,
    VETTING_TOO_LOW,
    check_is_fresh,
    earliest_start,
    has_capacity,
    has_skills,
    is_vetted,
    last_start,
    may_meet,
    refusal,
    speaks,
    within_reach,
)
from services.matcher.core.state import CHECK_VALID_US, DECLINED, EXPIRED, OPEN, VETTING_MAX, WITHDRAWN, Area, Match, Offer, Wish
from services.matcher.core.together import find_group

Fact: TypeAlias = str | int | bool | list[str] | None

SKILLS: Final = "skills"
LANGUAGES: Final = "languages"
REACH: Final = "reach"
VETTING: Final = "vetting"
TIME: Final = "time"
POSTED: Final = "posted"
MEETING: Final = "meeting"
CAPACITY: Final = "capacity"
TOGETHER: Final = "together"

# What a claim is refused with where the rule fails, in the contract's order.
REFUSED_AS: Final = {
    SKILLS: SKILL_MISSING,
    LANGUAGES: LANGUAGE_MISSING,
    REACH: OUT_OF_REACH,
    VETTING: VETTING_TOO_LOW,
    TIME: NOT_AVAILABLE,
    POSTED: NOT_AVAILABLE,
    MEETING: NOT_AVAILABLE,
    CAPACITY: OFFER_FULL,
    TOGETHER: "needs_two",
}

ITS_MATCH: Final = "its_match"
OVER: Final = "over"
TAKEN: Final = "taken"
RULED_OUT: Final = "ruled_out"
INVITED: Final = "invited"
UNANSWERED: Final = "unanswered"
SAID_NO: Final = "said_no"
NOT_YET: Final = "not_yet"
KEPT: Final = "kept"
FIRST: Final = "first"
BEHIND: Final = "behind"

# What can leave no start for a visit, in the order in which one thing after another is laid upon it.
TOO_LATE: Final = "too_late"
WINDOW: Final = "window"
SLOTS: Final = "slots"
REST: Final = "rest"
WEEK: Final = "week"
BLOCKS: Final = (TOO_LATE, WINDOW, SLOTS, REST, WEEK)

_MINORS: Final = ("under_14", "under_18")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule about one wish and one offer. `facts` are plain values: what the rule looked at."""

    rule: str
    passed: bool
    facts: dict[str, Fact]

    @property
    def refusal(self) -> str:
        """The contract's word for a claim that fails here."""
        return REFUSED_AS[self.rule]


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """Where an offer stands among those that may have a wish: the least comes first, by the fields in their order.

    `asked`: where a wish invites several, who is simply told comes before all who are asked. `hurried`: of these, whoever has no time left for an answer
    to an invitation comes after those who have, or are invited already. `others`: it is not the centre household of the same
    stairway, which comes first where somebody is to be visited. `weight` is that of all its skills: the rarer they are
    among the open offers of the area, the heavier. `load` counts the person's live visits, `tasks` all that they ever had.
    """

    asked: bool
    hurried: bool
    rung: int
    others: bool
    weight: int
    load: int
    tasks: int
    offer_id: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """This offer beside another one: `by` is the first field of :class:`Rank` that differs; `ahead`: the other one comes first."""

    offer_id: str
    ahead: bool
    by: str
    theirs: int | str
    own: int | str
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Why, or why not, in one code.

    - `its_match`: the offer is one of the wish's helpers; `match` says which.
    - `over`: the wish was withdrawn or has expired; `status` says which.
    - `taken`: the wish has its helpers, `others`; `invited`: this offer was asked as well, and somebody else was there before its yes.
    - `ruled_out`: a verdict did not pass.
    - `invited`: all rules pass, and an invitation holds until `until`; `unanswered`: it ended then (None: nobody kept when) and is
      repeated only where the offer is posted anew; `said_no`: to the invitation, so that they come only where they claim the wish.
    - `not_yet`: all rules pass, but the wish asks as far as the rung `reach` for now, and this helper, or somebody else, is still there when it asks farther.
    - `kept`: all rules pass, but in rounds this helper is kept for an older wish that needs two; until `until`, when somebody else falls free for it.
    - `first`: all rules pass and nobody comes before it.
    - `behind`: all rules pass, and `others` (the first of them at most; `ahead` counts them all) come before it.

    `in_rounds`: the wish waits for the rounds, where all that waits is weighed together, so that the order here does not decide alone.
    """

    code: str
    verdicts: list[Verdict]
    status: str
    match: Match | None = None
    others: list[Comparison] = field(default_factory=list)
    ahead: int = 0
    until: int | None = None
    reach: str | None = None
    in_rounds: bool = False
    invited: bool = False


# ---- the rules, one verdict each


def _visit(wish: Wish, offer: Offer, now: int) -> int:
    """When the visit would begin; where it cannot, the first instant at which it could be wanted."""
    start = earliest_start(wish, offer, now)
    return max(wish.start, now) if start is None else start


def _skills(wish: Wish, offer: Offer, now: int) -> Verdict:
    ends = _visit(wish, offer, now) + wish.length if wish.proof_for else 0
    unproven = sorted(skill for skill in wish.proof_for & offer.skills if offer.proofs.get(skill, 0) < ends)
    facts: dict[str, Fact] = {"needed": sorted(wish.skills), "missing": sorted(wish.skills - offer.skills), "unproven": unproven}
    return Verdict(SKILLS, has_skills(wish, offer) and not unproven, facts)


def _languages(wish: Wish, offer: Offer, _now: int) -> Verdict:
    return Verdict(LANGUAGES, speaks(wish, offer), {"needed": sorted(wish.languages or ()), "spoken": sorted(offer.languages)})


def _reach(wish: Wish, offer: Offer, _now: int) -> Verdict:
    return Verdict(REACH, within_reach(wish, offer), {"rung": RUNGS[rung_between(wish.place, offer.home)], "reach": RUNGS[offer.reach]})


def _vetting(wish: Wish, offer: Offer, now: int) -> Verdict:
    visit = _visit(wish, offer, now)
    facts: dict[str, Fact] = {"level": offer.level, "needed": wish.vetting, "checked_at": None, "age_days": None, "valid_days": None, "fresh": None}
    if wish.vetting >= VETTING_MAX:
        facts["checked_at"] = offer.checked_at
        age = visit - offer.checked_at
        # A check that is too old by an hour is not said to be as old as it may be.
        facts["age_days"] = age // DAY_US if age <= CHECK_VALID_US else -(-age // DAY_US)
        facts["valid_days"] = CHECK_VALID_US // DAY_US
        facts["fresh"] = check_is_fresh(wish, offer, visit)
    return Verdict(VETTING, is_vetted(wish, offer) and check_is_fresh(wish, offer, visit), facts)


def _time(wish: Wish, offer: Offer, now: int) -> Verdict:
    start = earliest_start(wish, offer, now)
    blocked_by = _blocked_by(wish, offer, now) if start is None else None
    facts: dict[str, Fact] = {
        "start": start,
        "blocked_by": blocked_by,
        "slots": len(offer.volunteer.slots),
        "rest_minutes": offer.rest // MINUTE_US,
        "per_week_max": offer.per_week_max,
    }
    return Verdict(TIME, start is not None, facts)


def _posted(_wish: Wish, offer: Offer, _now: int) -> Verdict:
    return Verdict(POSTED, offer.status == OPEN, {"status": offer.status})


def _meeting(wish: Wish, offer: Offer, _now: int) -> Verdict:
    parted, passed = offer.id in wish.barred, may_meet(wish, offer)
    return Verdict(MEETING, passed, {"parted": parted, "helps_already": not passed and not parted})


def _capacity(_wish: Wish, offer: Offer, _now: int) -> Verdict:
    return Verdict(CAPACITY, has_capacity(offer), {"live": offer.live, "capacity": offer.capacity})


_JUDGES: Final[tuple[Callable[[Wish, Offer, int], Verdict], ...]] = (_skills, _languages, _reach, _vetting, _time, _posted, _meeting, _capacity)


def verdicts(wish: Wish, offer: Offer, now: int) -> list[Verdict]:
    """Every rule about this pair, in the contract's order; all pass exactly where :func:`~services.matcher.core.rules.refusal` is None.

    Whether the second helper of a wish for two is there, :func:`with_company` tells: it takes the whole area.
    """
    return [judge(wish, offer, now) for judge in _JUDGES]


def _blocked_by(wish: Wish, offer: Offer, now: int) -> str:
    """What leaves no start for a visit, the first of BLOCKS that does.

    `too_late`: the wish's own window has no room any more; `window`: none of the offer's windows has; `slots`: the volunteer's other visits;
    `rest`: the rest that they want between visits; `week`: how many visits they want in a week.
    """
    if max(wish.start, now) > wish.end - wish.length:
        return TOO_LATE
    eased = _without_caps(offer)
    if earliest_start(wish, eased, now) is None:
        idle = _without_caps(offer)
        idle.volunteer = Volunteer(offer.volunteer.ref)
        return WINDOW if earliest_start(wish, idle, now) is None else SLOTS
    eased.rest = offer.rest
    eased.capped = eased.rest > 0
    return REST if earliest_start(wish, eased, now) is None else WEEK


def _without_caps(offer: Offer) -> Offer:
    """The same offer, of somebody who needs no rest and takes any number of visits in a week."""
    eased = Offer(offer.id)
    for name in Offer.__slots__:
        setattr(eased, name, getattr(offer, name))
    eased.rest, eased.per_week_max, eased.capped = 0, None, False
    return eased


def with_company(area: Area, wish: Wish, offer: Offer, now: int) -> Verdict:
    """Whether a second helper can come along; for a wish for two, and an offer that passes all other rules. `with` are the others' offers."""
    group = find_group(area, wish, now, leader=offer)
    others = [] if group is None else [member.id for member, _ in group[1] if member is not offer]
    return Verdict(TOGETHER, group is not None, {"places_free": wish.places_free, "start": None if group is None else group[0], "with": others})


def vetting_demands(asked: WishSubmitted) -> list[str]:
    """What makes a wish need the vetting level that it needs: `minor`, `left_behind_children`, `lives_alone`, `vetting_min`; empty at level 0."""
    levels = {
        "minor": VETTING_MAX if asked.beneficiary.age_band in _MINORS else 0,
        "left_behind_children": VETTING_MAX if asked.category == "left_behind_children" else 0,
        "lives_alone": 2 if asked.beneficiary.lives_alone else 0,
        "vetting_min": asked.vetting_min,
    }
    highest = max(levels.values())
    return [name for name, level in levels.items() if level == highest > 0]


# ---- who almost fits, and who comes first


def almost(area: Area, wish: Wish, now: int, most: int = 3) -> list[tuple[Offer, Verdict]]:
    """The nearest open offers that fail one rule alone, each with that rule; those that lack a skill come last, for it is the hardest to mend.

    Who helps already, was parted from the wish, or has none of its skills is none of them.
    """
    found: list[tuple[bool, int, str, Offer, Verdict]] = []
    for offer in area.offers.values():
        if offer.status != OPEN or wish.skills.isdisjoint(offer.skills) or not may_meet(wish, offer):
            continue
        failed = [verdict for verdict in verdicts(wish, offer, now) if not verdict.passed]
        if len(failed) == 1:
            found.append((failed[0].rule == SKILLS, rung_between(wish.place, offer.home), offer.id, offer, failed[0]))
    found.sort(key=lambda one: one[:3])
    return [(offer, verdict) for *_, offer, verdict in found[:most]]


def rank_of(area: Area, wish: Wish, offer: Offer, now: int | None = None) -> Rank:
    """The ranking's view of an offer, as of now; without an instant, whoever has time for an answer is not told from who has not."""
    weight = sum(skill_weight(len(area.index.holders.get(skill, ()))) for skill in offer.skills)
    asked, rung = offer.asks and area.invites(wish), rung_between(wish.place, offer.home)
    others = not (rung == 0 and wish.welfare and offer.centre)
    hurried = asked and now is not None and _is_hurried(area, wish, offer, now)
    person = offer.volunteer
    return Rank(asked, hurried, rung, others, weight, len(person.slots), person.tasks, offer.id)


def _is_hurried(area: Area, wish: Wish, offer: Offer, now: int) -> bool:
    """Whether less time is left than an answer to an invitation is given, so that this helper is asked with a proposal once nobody is invited."""
    last = last_start(wish, offer, now)
    return wish.invited.get(offer.id, 0) <= now and last is not None and last < now + area.policy.word_us


def _compare(theirs: Rank, own: Rank, *, claimed: bool = False) -> Comparison:
    if theirs.asked != own.asked:
        return Comparison(theirs.offer_id, own.asked, "asked", theirs.asked, own.asked, claimed)
    if theirs.hurried != own.hurried:
        return Comparison(theirs.offer_id, own.hurried, "hurried", theirs.hurried, own.hurried, claimed)
    for by, one, other in (
        ("rung", theirs.rung, own.rung),
        ("centre", theirs.others, own.others),
        ("weight", theirs.weight, own.weight),
        ("load", theirs.load, own.load),
        ("tasks", theirs.tasks, own.tasks),
    ):
        if one != other:
            shown: tuple[int | str, int | str] = (RUNGS[one], RUNGS[other]) if by == "rung" else (one, other)
            return Comparison(theirs.offer_id, one < other, by, shown[0], shown[1], claimed)
    return Comparison(theirs.offer_id, theirs.offer_id < own.offer_id, "offer_id", theirs.offer_id, own.offer_id, claimed)


def why(area: Area, wish: Wish, offer: Offer, now: int) -> Answer:
    """Why this offer is, or is not, one of the wish's helpers, as things stand at `now`. The area does not change."""
    judged = verdicts(wish, offer, now)
    if offer.id in wish.matches:
        return Answer(ITS_MATCH, judged, wish.status, match=wish.matches[offer.id])
    if wish.status in (WITHDRAWN, EXPIRED):
        return Answer(OVER, judged, wish.status)
    if wish.status != OPEN:
        # Who had time for an answer when the match was made, nobody kept.
        own = rank_of(area, wish, offer)
        others = [_beside(area, match, own) for match in wish.matches.values()]
        return Answer(TAKEN, judged, wish.status, others=others, in_rounds=area.in_rounds(wish), invited=offer.id in wish.invited)
    passed = all(verdict.passed for verdict in judged)
    if passed and wish.together:
        judged.append(with_company(area, wish, offer, now))
        passed = judged[-1].passed
    if not passed:
        return Answer(RULED_OUT, judged, wish.status)
    if wish.is_asked(offer.id):
        until = wish.invited[offer.id]
        code = SAID_NO if until == DECLINED else INVITED if until > now else UNANSWERED
        return Answer(code, judged, wish.status, until=until if until > 0 else None)
    own = rank_of(area, wish, offer, now)
    in_rounds, reach = area.in_rounds(wish), area.reach_of(wish, now)
    if own.rung > reach and not _asked_before_its_rung(area, wish, offer, own.rung, now):
        return Answer(NOT_YET, judged, wish.status, reach=RUNGS[reach], in_rounds=in_rounds)
    kept = Keeping(area, now, area.index.in_order).kept_from(wish, offer)
    if kept is not None:
        return Answer(KEPT, judged, wish.status, until=kept)
    before = sorted(rank for rank in (rank_of(area, wish, other, now) for other in _able(area, wish, now) if not is_spent(wish, other, now)) if rank < own)
    if not before:
        return Answer(FIRST, judged, wish.status, in_rounds=in_rounds)
    return Answer(BEHIND, judged, wish.status, others=[_compare(before[0], own)], ahead=len(before), in_rounds=in_rounds)


def is_spent(wish: Wish, offer: Offer, now: int) -> bool:
    """Whether this helper let an invitation pass, or said no: they come only where they claim it or, unless they said no, post anew."""
    until = wish.invited.get(offer.id, now + 1)
    return until == DECLINED or (offer.asks and until <= now and wish.is_asked(offer.id))


def _asked_before_its_rung(area: Area, wish: Wish, offer: Offer, rung: int, now: int) -> bool:
    """Whether a round weighs this helper though the wish does not ask as far yet: they will be gone by then, and too few others are left for later."""
    reach, last = area.reach_of(wish, now), last_start(wish, offer, now)
    if last is None or not gone_before(area, wish, offer, rung, last):
        return False
    stay = 0
    for other in _able(area, wish, now):
        last, farther = last_start(wish, other, now), rung_between(wish.place, other.home)
        assert last is not None  # no rule excludes them
        stay += farther <= reach or not gone_before(area, wish, other, farther, last)
    return stay < wish.places_free


def _able(area: Area, wish: Wish, now: int) -> Iterator[Offer]:
    """All whom no rule excludes."""
    return (other for other in area.offers.values() if refusal(wish, other, now) is None)


def _beside(area: Area, match: Match, own: Rank) -> Comparison:
    """A helper of the wish beside this offer; of one that is gone, the rung is known. The visit to this wish itself is no load and no task."""
    known, claimed = area.offers.get(match.offer.id), match.how == "claimed"
    if known is None:
        return Comparison(match.offer.id, match.rung < own.rung, "rung", RUNGS[match.rung], RUNGS[own.rung], claimed)
    rank = rank_of(area, match.wish, known)
    matched = replace(rank, rung=match.rung, load=rank.load - match.live, tasks=rank.tasks - 1)
    return _compare(matched, own, claimed=claimed)
