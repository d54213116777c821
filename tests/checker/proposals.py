"""Promises 1 and 2: what must hold at the moment a match is proposed, alone or in a group."""

from __future__ import annotations

from tests.checker import rules
from tests.checker.folder import Entry
from tests.checker.model import Area, Diary, Match, NotUnderstood, Offer, Wish, match_of
from tests.checker.report import Report
from tests.checker.wire import JsonObject, parse_time


def propose(area: Area, entry: Entry, data: JsonObject, report: Report) -> None:
    """Judge one `match.proposed` against the area as it stands, then take it in."""
    offer = area.offers.get(str(data.get("offer_id")))
    try:
        match = match_of(data, entry.at, offer)
    except NotUnderstood as error:
        report.broken("out/fields", str(error), entry=entry.place, match=data.get("match_id"))
        return
    wish = area.wishes.get(match.wish_id)
    if match.match_id in area.matches:
        report.broken("out/match-id", "this match id was proposed before", match=match.match_id)
    if wish is None or offer is None:
        missing = "wish" if wish is None else "offer"
        report.broken("promise-2/same-area", f"the {missing} is not known in area {area.name}", **_ids(match))
        return
    if data.get("volunteer_ref") != offer.volunteer_ref or data.get("resident_ref") != wish.resident_ref:
        report.broken("out/fields", "resident_ref or volunteer_ref is not that of the wish or offer", **_ids(match))
    _both_open(area, match, wish, offer, report)
    _static_rules(match, wish, offer, report)
    _slot(area, match, wish, offer, report)
    _room(area, match, wish, offer, report)
    _answer(match, wish, offer, report, accepted=_accepted(area, entry, match))
    area.add(match)


def _accepted(area: Area, entry: Entry, match: Match) -> bool:
    """Whether this proposal is the volunteer's yes to an invitation that holds."""
    yes = entry.type == "match.accepted.v1" and (entry.data.get("wish_id"), entry.data.get("offer_id")) == (match.wish_id, match.offer_id)
    until = area.invited.get((match.wish_id, match.offer_id))
    return yes and until is not None and entry.at < until


def invite(area: Area, entry: Entry, data: JsonObject, report: Report) -> None:
    """Judge one `helper.invited`: nobody is asked for what they could not do, or twice."""
    pair = (str(data.get("wish_id")), str(data.get("offer_id")))
    ids: dict[str, object] = {"wish": pair[0], "offer": pair[1], "entry": entry.place}
    wish, offer, until = area.wishes.get(pair[0]), area.offers.get(pair[1]), parse_time(data.get("expires_at"))
    if wish is None or offer is None or until is None:
        report.broken("invitation/fields", "the wish, the offer or the end of the invitation is not known", **ids)
        return
    if offer.auto or wish.together or rules.certain_slot(area, wish, offer, edge=True) is None:
        note = report.doubtful if offer.odd else report.broken
        note("invitation/rule", "invited although a rule bars this pair, or they need not be asked", **ids)
    if pair in area.invited and pair not in area.anew:
        report.broken("invitation/once", "invited before, and not posted anew since, or they said no", **ids)
    area.anew.discard(pair)
    if until <= entry.at:
        report.broken("invitation/end", f"ends {until.isoformat()}, before it begins", **ids)
    elif rules.earliest(wish, offer, area.diary(offer.volunteer_ref), until) is None:
        report.broken("invitation/end", f"ends {until.isoformat()}, when no visit can begin any more", **ids)
    others = [area.offers[one] for (asked_for, one), ends in area.unanswered.items() if asked_for == wish.wish_id and ends > entry.at]
    if any(other.volunteer_ref == offer.volunteer_ref and rules.certain_slot(area, wish, other) is not None for other in others if other is not offer):
        report.broken("invitation/person", "this person is invited to this wish already", **ids)
    area.invited[pair] = area.unanswered[pair] = until


def _ids(match: Match) -> dict[str, object]:
    return {"match": match.match_id, "wish": match.wish_id, "offer": match.offer_id}


def _both_open(area: Area, match: Match, wish: Wish, offer: Offer, report: Report) -> None:
    if not wish.open:
        state = "withdrawn" if wish.withdrawn else "expired"
        report.broken("promise-2/wish-over", f"matched although the wish is {state}", **_ids(match))
    if not offer.open:
        report.broken("promise-2/offer-over", "matched although the offer is withdrawn or suspended", **_ids(match))
    if (match.wish_id, match.offer_id) in area.barred:
        report.broken("rule/never-again", "this pair was released before for a lasting reason", **_ids(match))


def _static_rules(match: Match, wish: Wish, offer: Offer, report: Report) -> None:
    if not rules.has_skills(wish, offer):
        report.broken("promise-2/skills", f"lacks {sorted(wish.skills - offer.skills)}", **_ids(match))
    if not rules.shares_language(wish, offer):
        report.broken("promise-2/languages", f"shares none of {sorted(wish.languages)}", **_ids(match))
    between = rules.rung(wish.place, offer.home)
    if not rules.within_reach(wish, offer):
        report.broken("promise-2/reach", f"the rung is {between}, the reach {offer.reach}", **_ids(match))
    if match.rung != between:
        report.broken("promise-2/rung", f"reported {match.rung}, is {between}", **_ids(match))
    if not rules.is_vetted(wish, offer):
        report.broken("promise-2/vetting", f"needs {wish.level}, has {offer.level}", **_ids(match))
    elif rules.freshness(wish, offer, match.slot.start) == "stale":
        text = f"checked at {offer.checked_at.isoformat()}, slot {match.slot}"
        report.broken("promise-2/vetting-age", text, **_ids(match))


def _slot(area: Area, match: Match, wish: Wish, offer: Offer, report: Report) -> None:
    slot, ids = match.slot, _ids(match)
    if slot.end - slot.start != wish.minutes:
        report.broken("promise-2/slot-length", f"{slot.end - slot.start} for {wish.minutes}", **ids)
    if not wish.window.covers(slot):
        report.broken("promise-2/wish-window", f"slot {slot} outside {wish.window}", **ids)
    if not any(window.covers(slot) for window in offer.windows):
        report.broken("promise-2/offer-window", f"slot {slot} in none of the offer's windows", **ids)
    if slot.start < area.clock:
        report.broken("promise-2/not-before-now", f"slot {slot} at {area.clock.isoformat()}", **ids)
    diary = area.diary(match.volunteer_ref)
    for other in diary.busy:
        if slot.overlaps(other):
            report.broken("promise-1/overlap", f"slot {slot} and live slot {other}", volunteer=match.volunteer_ref, **ids)
    _caps(match, offer, diary, report)
    if match.group_id is None:
        best = rules.earliest(wish, offer, diary, area.clock)
        if best is not None and best < slot.start:
            note = report.doubtful if offer.odd else report.broken
            note("promise-2/earliest", f"slot {slot}, possible from {best.isoformat()}", **ids)


def _caps(match: Match, offer: Offer, diary: Diary, report: Report) -> None:
    """What the volunteer, as of now, has said about themselves."""
    slot, ids = match.slot, _ids(match)
    near = rules.unrested(offer, diary, slot)
    if near is not None and not slot.overlaps(near):
        report.broken("promise-2/rest", f"slot {slot} within {offer.rest} of live slot {near}", volunteer=match.volunteer_ref, **ids)
    if not rules.within_week(offer, diary, slot.start):
        report.broken("promise-2/per-week", f"slot {slot} beyond {offer.per_week_max} a week", volunteer=match.volunteer_ref, **ids)


def _room(area: Area, match: Match, wish: Wish, offer: Offer, report: Report) -> None:
    ids = _ids(match)
    live = area.live_of_wish(wish.wish_id)
    if len(live) + 1 > wish.need:
        report.broken("promise-1/need", f"{len(live) + 1} live matches, needs {wish.need}", **ids)
    elif len(area.helpers(wish.wish_id)) + 1 > wish.need:
        # Those whose slot is over are not live, so promise 1 is silent; yet the help was already given.
        report.doubtful("promise-1/need", "filled already, counting those whose slot is over", **ids)
    if any(m.volunteer_ref == match.volunteer_ref for m in live):
        report.broken("promise-1/one-volunteer", "live twice on one wish", volunteer=match.volunteer_ref, **ids)
    held = len(area.live_of_offer(offer.offer_id))
    if held + 1 > offer.capacity:
        report.broken("promise-1/capacity", f"{held + 1} live matches, capacity {offer.capacity}", **ids)


def _answer(match: Match, wish: Wish, offer: Offer, report: Report, *, accepted: bool) -> None:
    """`ask` offers that were paired need an answer; `auto` ones are told. A claim is the volunteer's own word,
    so there `needs_answer` may be either. Where a worker must approve, the flag may stand for the approval."""
    ids = _ids(match)
    if match.how not in ("paired", "claimed"):
        report.broken("out/fields", f"how is {match.how}", **ids)
    if match.needs_answer and offer.auto and not wish.worker:
        report.broken("rule/accepts", "an auto offer is told, not asked, yet needs_answer is true", **ids)
    if not match.needs_answer and not offer.auto and match.how == "paired" and not accepted:
        report.broken("rule/accepts", "an ask offer was paired without asking", **ids)
    if match.needs_answer != (match.expires_at is not None) and not wish.worker:
        report.broken("out/fields", f"needs_answer {match.needs_answer}, expires_at {match.expires_at}", **ids)
    if match.expires_at is not None and match.expires_at < match.at:
        report.broken("out/fields", "expires_at is past at the proposal", **ids)
    if offer.auto:
        match.needs_answer = False


def check_group(area: Area, entry: Entry, members: list[JsonObject], report: Report) -> None:
    """Judge a group before any of its members is taken in."""
    first = members[0]
    ids: dict[str, object] = {"group": first.get("group_id"), "wish": first.get("wish_id")}
    wish = area.wishes.get(str(first.get("wish_id")))
    if wish is None:
        return
    if first.get("group_id") in area.groups:
        report.broken("together/one-decision", "the group was proposed in an earlier decision too", **ids)
    if not wish.together:
        report.broken("together/only-together", "a group for a wish that is filled one by one", **ids)
    if any(member.get("wish_id") != wish.wish_id for member in members):
        report.broken("together/one-wish", "the group spans several wishes", **ids)
    volunteers = {member.get("volunteer_ref") for member in members}
    if len(members) < 2 or len(volunteers) < len(members):
        text = f"{len(members)} members, {len(volunteers)} different volunteers"
        report.broken("together/two-volunteers", text, **ids)
    if any(member.get("group_size") != len(members) for member in members):
        sizes = [member.get("group_size") for member in members]
        report.broken("together/group-size", f"group_size {sizes} for {len(members)} members", **ids)
    if any(member.get("slot") != first.get("slot") for member in members):
        report.broken("together/one-slot", "the members' slots differ", **ids)
    if area.live_of_wish(wish.wish_id):
        report.doubtful("together/one-slot", "the wish has a live group already", **ids)
    _group_slot(area, wish, members, report, ids)


def _group_slot(area: Area, wish: Wish, members: list[JsonObject], report: Report, ids: dict[str, object]) -> None:
    """The slot is the earliest that two of the members can (the claimant among them, where one claimed it)."""
    offers = [area.offers.get(str(member.get("offer_id"))) for member in members]
    known = [offer for offer in offers if offer is not None]
    start = parse_time((members[0].get("slot") or {}).get("start"))
    if start is None:
        return  # `propose` says so for each member
    claimed = [o.volunteer_ref for o, m in zip(offers, members, strict=True) if o and m.get("how") == "claimed"]
    must = claimed[0] if len(claimed) == 1 else None
    own = [(offer, area.diary(offer.volunteer_ref)) for offer in known]
    best = rules.earliest_shared(wish, own, area.clock, must)
    if best is not None and best < start:
        note = report.doubtful if any(offer.odd for offer in known) else report.broken
        note("together/earliest", f"from {start.isoformat()}, possible from {best.isoformat()}", **ids)
        return
    wider = rules.candidates_for(area, wish)
    wider += [one for one in own if one[0] not in [offer for offer, _ in wider]] if must else []
    better = rules.earliest_shared(wish, wider, area.clock, must)
    if better is not None and better < start:
        text = f"from {start.isoformat()}, others could from {better.isoformat()}"
        report.doubtful("together/earliest", text, **ids)
