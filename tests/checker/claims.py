"""Claims: each is answered once, by a match or by the first refusal reason that applies.

Where the contract leaves the reason open, several are accepted:

- *filled*: the wish is neither open to all (`not_open`) nor free (`held_for_another`): which of the two a filled
  wish is, depends on whether its matches are confirmed yet, which the page does not say.
- *the offer is withdrawn or suspended*: `not_open` reads like the wish's state, but no other reason is nearer;
  `unknown_offer` and `not_available` are taken too, the latter in its place in the order.
- *the volunteer helps in this wish already, or the pair was released for a lasting reason*: no reason names this;
  `not_open`, `held_for_another` and `not_available` are taken.
- *old vetting and no slot*: the 365 days count from the slot, which there is none of: `vetting_too_low` or
  `not_available`.
- *`window.end` is past but `wish.expired` not out yet*: `not_open` beside what the rules give.
- *the offer was withdrawn before it came*: whether it then stands, the contract does not say: `not_available` and `offer_full` are taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.checker import rules
from tests.checker.folder import Entry
from tests.checker.model import Area, Offer, Wish
from tests.checker.report import Report
from tests.checker.wire import JsonObject, data_of, short_type

REASONS = (
    "unknown_wish", "unknown_offer", "not_open", "held_for_another", "skill_missing", "language_missing",
    "out_of_reach", "vetting_too_low", "not_available", "offer_full", "needs_two",
)  # fmt: skip
VAGUE = frozenset({"not_open", "held_for_another", "not_available"})


@dataclass
class Ruling:
    """What answers to a claim hold: the refusals, and whether it may or must be granted."""

    refusals: set[str] = field(default_factory=set)
    must_grant: bool = False


def judge(area: Area, wish_id: str, offer_id: str) -> Ruling:
    """The checker's own ruling on a claim, from the area as it stands."""
    wish, offer = area.wishes.get(wish_id), area.offers.get(offer_id)
    if wish is None:
        return Ruling({"unknown_wish"})
    if offer is None:
        return Ruling({"unknown_offer"})
    if not wish.open:
        return Ruling({"not_open"})
    live = area.live_of_wish(wish_id)
    if not offer.open:
        filled = {"held_for_another"} if len(live) >= wish.need else set[str]()
        return Ruling({"not_open", "unknown_offer", *_never_available(wish, offer)} | filled)
    mine = any(m.volunteer_ref == offer.volunteer_ref for m in area.helpers(wish_id))
    if len(live) >= wish.need and not mine:
        return Ruling({"not_open", "held_for_another"})
    ruling = _by_rules(area, wish, offer)
    vague = _vague(area, wish, offer)
    if mine:
        vague |= VAGUE
    return Ruling(ruling.refusals | vague, ruling.must_grant and not vague)


def _never_available(wish: Wish, offer: Offer) -> set[str]:
    """An offer that is over read as one that is never available: the reasons before that one apply first."""
    first = rules.first_refusal(wish, offer)
    if first is not None:
        return {first}
    return {"not_available", "vetting_too_low"} if wish.level >= 4 else {"not_available"}


def _vague(area: Area, wish: Wish, offer: Offer) -> set[str]:
    """The refusals that the page neither asks for nor rules out, besides those of the rules."""
    vague: set[str] = set()
    if (wish.wish_id, offer.offer_id) in area.barred:
        vague |= VAGUE
    if len(area.helpers(wish.wish_id)) >= wish.need:
        vague |= {"not_open", "held_for_another"}
    if wish.together and area.live_of_wish(wish.wish_id):
        vague |= VAGUE | {"needs_two"}
    if area.clock >= wish.window.end or wish.wish_id in area.orphans:
        vague.add("not_open")
    if offer.odd:
        vague |= {"not_available", "offer_full"}
    return vague


def _by_rules(area: Area, wish: Wish, offer: Offer) -> Ruling:
    first = rules.first_refusal(wish, offer)
    if first is not None:
        return Ruling({first})
    start = rules.earliest(wish, offer, area.diary(offer.volunteer_ref), area.clock)
    if start is None:
        edges = (max(area.clock, wish.window.start), wish.window.end)
        old = any(rules.freshness(wish, offer, edge) != "fresh" for edge in edges)
        return Ruling({"not_available", "vetting_too_low"} if old else {"not_available"})
    age = rules.freshness(wish, offer, start)
    if age == "stale":
        return Ruling({"vetting_too_low"})
    doubt = {"vetting_too_low"} if age == "edge" else set[str]()
    if len(area.live_of_offer(offer.offer_id)) >= offer.capacity:
        return Ruling({"offer_full"} | doubt)
    if not wish.together:
        return Ruling(doubt, must_grant=not doubt)
    return _with_second(area, wish, offer, doubt)


def _with_second(area: Area, wish: Wish, offer: Offer, doubt: set[str]) -> Ruling:
    """For a wish for two: granted for certain where an `auto` offer can share a slot with the claimant's.

    An `ask` offer may serve as the second helper or not: whether one is asked then, the page does not say.
    """
    mine = (offer, area.diary(offer.volunteer_ref))
    others = [one for one in rules.candidates_for(area, wish) if one[0].offer_id != offer.offer_id]
    if rules.earliest_shared(wish, [mine, *others], area.clock, offer.volunteer_ref) is not None:
        return Ruling(doubt, must_grant=not doubt)
    return Ruling({"needs_two"} | doubt)


def check_claim(area: Area, entry: Entry, ruling: Ruling, report: Report) -> None:
    """Judge the answer that the decision gives to its claim."""
    data = entry.data
    ids: dict[str, object] = {
        "claim": data.get("claim_id"), "wish": data.get("wish_id"), "offer": data.get("offer_id")
    }  # fmt: skip
    decided = [(short_type(event), data_of(event)) for event in entry.decision]
    granted = [one for kind, one in decided if kind == "match.proposed.v1" and _answers(one, data)]
    rejected = [one for kind, one in decided if kind == "claim.rejected.v1"]
    report.counts["claims judged"] += 1
    for one in rejected:
        if any(one.get(name) != data.get(name) for name in ("claim_id", "wish_id", "offer_id")):
            report.broken("claim/answer", "the rejection names another claim", **ids)
    if len(granted) + len(rejected) != 1:
        text = f"{len(granted)} matches and {len(rejected)} rejections answer it"
        report.broken("claim/answered-once", text, **ids)
    for one in rejected:
        reason = one.get("reason")
        if reason not in REASONS:
            report.broken("claim/reason", f"{reason} is no refusal reason", **ids)
        elif ruling.must_grant:
            report.broken("claim/grant", f"rejected as {reason}, but every rule is met", **ids)
        elif reason not in ruling.refusals:
            text = f"rejected as {reason}, the first that applies is {' or '.join(sorted(ruling.refusals))}"
            report.broken("claim/reason", text, **ids)


def _answers(proposal: JsonObject, claim: JsonObject) -> bool:
    same = all(proposal.get(name) == claim.get(name) for name in ("wish_id", "offer_id"))
    return same and proposal.get("how") == "claimed"
