"""Walks through the journal, area by area, and judges each decision by the state before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.checker import claims, ends, proposals, rules
from tests.checker.folder import Entry
from tests.checker.model import Area, Match, NotUnderstood, Wish, offer_of, wish_of
from tests.checker.report import Report
from tests.checker.wire import JsonObject, data_of, parse_time, short_type

RELEASES = ("declined", "unanswered", "withdrawn", "undeliverable", "unsafe", "group_incomplete")
Handler = Callable[[Area, Entry, JsonObject], None]


class Replay:
    """The areas as the journal builds them up. `eager`: every wish is tried at once, not only the red ones."""

    def __init__(self, report: Report, eager: bool = False) -> None:
        self.report = report
        self.eager = eager
        self.areas: dict[str, Area] = {}
        self._lanes: dict[str, int] = {}
        self._seen: set[tuple[str, str]] = set()
        self._news: dict[tuple[str, str], int] = {}
        self._taken: dict[str, Handler] = {
            "wish.submitted.v1": self._wish,
            "wish.withdrawn.v1": self._withdrawn,
            "consent.withdrawn.v1": self._withdrawn,
            "offer.posted.v1": self._offer,
            "offer.withdrawn.v1": self._offer_over,
            "offer.suspended.v1": self._offer_over,
            "match.accepted.v1": self._answer,
            "match.declined.v1": self._answer,
            "match.approved.v1": self._answer,
            "match.confirmed.v1": self._confirmed,
            "confirmation.failed.v1": self._failed,
            "match.closed.v1": self._closed,
        }
        self._decided: dict[str, Handler] = {
            "match.proposed.v1": lambda area, entry, data: proposals.propose(area, entry, data, self.report),
            "helper.invited.v1": lambda area, entry, data: proposals.invite(area, entry, data, self.report),
            "match.agreed.v1": self._agreed,
            "match.released.v1": self._released,
            "wish.expired.v1": lambda area, entry, data: ends.expire(area, entry, data, self.report),
        }

    def run(self, journal: Sequence[Entry]) -> None:
        """Judge the whole journal, then what must hold at its end."""
        self._news = {entry.identity: entry.lane for entry in journal if entry.kind == "event" and entry.outcome != "duplicate"}
        for entry in journal:
            self.take(entry)
        for area in self.areas.values():
            ends.finish(area, self.report)

    def take(self, entry: Entry) -> None:
        """Judge one entry and take it in."""
        area = self.areas.setdefault(entry.area, Area(entry.area, entry.at))
        if self._lanes.setdefault(entry.area, entry.lane) != entry.lane:
            self.report.broken("journal/lane", "an area in two lanes", area=entry.area, entry=entry.place)
        if not self._is_first(entry):
            return
        self._turn_clock(area, entry)
        before = set(area.wishes)
        if entry.kind == "event":
            self._taken.get(entry.type, _nothing)(area, entry, entry.data)
        if entry.outcome == "no_effect" and entry.type == "wish.submitted.v1" and str(entry.data.get("wish_id")) not in before:
            self.report.broken("promise-3/no-effect", "a new wish was taken as without effect", **_wish_id(entry))
        self._decide(area, entry)
        self._owed(area, entry)
        if entry.type == "wish.submitted.v1" and str(entry.data.get("wish_id")) not in before:
            self._tried_wish(area, area.wishes.get(str(entry.data.get("wish_id"))))
        elif entry.type == "offer.posted.v1":
            self._tried_offer(area, str(entry.data.get("offer_id")))

    def _is_first(self, entry: Entry) -> bool:
        """Whether the entry may have an effect; repeats are judged here."""
        if entry.outcome != "decided" and entry.decision:
            self.report.broken("promise-3/outcome", f"{entry.outcome}, yet it decides something", entry=entry.place)
        if entry.kind == "time":
            return True
        repeat = entry.identity in self._seen
        if entry.outcome == "duplicate" and self._news.get(entry.identity, entry.lane) != entry.lane:
            return False  # of what another lane took in: lanes have no order between them
        self._seen.add(entry.identity)
        if repeat != (entry.outcome == "duplicate"):
            text = "taken in twice as new" if repeat else "called a duplicate at its first arrival"
            self.report.broken("promise-3/once", text, event=entry.identity[1], entry=entry.place)
        return not repeat

    def _turn_clock(self, area: Area, entry: Entry) -> None:
        ids = {"area": area.name, "entry": entry.place}
        if entry.at < area.clock:
            self.report.broken("clock/backwards", f"{entry.at} after {area.clock}", **ids)
        time = parse_time((entry.event or {}).get("time"))
        if time is not None and entry.at < time:
            self.report.broken("clock/behind", f"{entry.at} although it has seen {time}", **ids)
        elif time is not None and entry.at > max(area.clock, time):
            self.report.doubtful("clock/ahead", f"{entry.at}, the highest time seen is {max(area.clock, time)}", **ids)
        area.clock = max(area.clock, entry.at)

    def _decide(self, area: Area, entry: Entry) -> None:
        ruling: claims.Ruling | None = None
        groups = _groups(entry)
        if entry.type == "wish.claimed.v1" and not entry.decision:
            ruling = self._ruling(area, entry)
        for event in entry.decision:
            kind, data = short_type(event), data_of(event)
            group = data.get("group_id") if kind == "match.proposed.v1" else None
            if ruling is None and entry.type == "wish.claimed.v1" and kind in ("match.proposed.v1", "claim.rejected.v1"):
                ruling = self._ruling(area, entry)
            if isinstance(group, str) and group in groups:
                proposals.check_group(area, entry, groups.pop(group), self.report)
            self._decided.get(kind, _nothing)(area, entry, data)
            if kind == "match.proposed.v1":
                self._after_proposal(area, entry, data)
        if entry.type == "wish.claimed.v1":
            claims.check_claim(area, entry, ruling or self._ruling(area, entry), self.report)
        elif any(short_type(event) == "claim.rejected.v1" for event in entry.decision):
            self.report.broken("claim/answer", "a rejection without its claim", entry=entry.place)

    @staticmethod
    def _ruling(area: Area, entry: Entry) -> claims.Ruling:
        return claims.judge(area, str(entry.data.get("wish_id")), str(entry.data.get("offer_id")))

    def _after_proposal(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        if match is None:
            return
        self.report.counts["proposals judged"] += 1
        wish = area.wishes[match.wish_id]
        if match.group_id is not None:
            area.groups.setdefault(match.group_id, []).append(match)
        elif wish.together:
            self.report.broken("together/group", "one helper alone for a wish that needs two at least", **_of(match))
        claimed_here = entry.type == "wish.claimed.v1" and entry.data.get("wish_id") == match.wish_id
        if match.how == "claimed" and not claimed_here:
            self.report.broken("claim/how", "called claimed, but no claim is decided here", **_of(match))

    # What is taken in

    def _wish(self, area: Area, entry: Entry, data: JsonObject) -> None:
        try:
            wish = wish_of(data)
        except NotUnderstood as error:
            self.report.broken("promise-3/invalid", str(error), entry=entry.place)
            return
        area.wishes.setdefault(wish.wish_id, wish)

    def _offer(self, area: Area, entry: Entry, data: JsonObject) -> None:
        try:
            offer = offer_of(data)
        except NotUnderstood as error:
            self.report.broken("promise-3/invalid", str(error), entry=entry.place)
            return
        before, offer.said_at = area.offers.get(offer.offer_id), parse_time((entry.event or {}).get("time"))
        if before is not None and before.open and before.said_at is not None and offer.said_at is not None and offer.said_at < before.said_at:
            return  # it came late: what was said last stands
        offer.odd = offer.odd or offer.offer_id in area.orphans
        area.offers[offer.offer_id] = offer
        area.heard_of(offer.offer_id)
        area.anew |= {pair for pair in area.invited if pair[1] == offer.offer_id and pair not in area.said_no}

    def _withdrawn(self, area: Area, entry: Entry, data: JsonObject) -> None:
        wish = area.wishes.get(str(data.get("wish_id")))
        if wish is None:
            # Withdrawn before it came: whether the wish then stands, the contract does not say.
            area.orphans.add(str(data.get("wish_id")))
        elif not wish.expired:
            wish.withdrawn = True

    def _offer_over(self, area: Area, entry: Entry, data: JsonObject) -> None:
        offer = area.offers.get(str(data.get("offer_id")))
        area.heard_of(str(data.get("offer_id")))
        if offer is not None:
            offer.open = False
        else:
            # Withdrawn before it came, like a wish above.
            area.orphans.add(str(data.get("offer_id")))

    def _answer(self, area: Area, entry: Entry, data: JsonObject) -> None:
        pair = (str(data.get("wish_id")), str(data.get("offer_id")))
        if entry.type == "match.declined.v1" and data.get("match_id") is None and pair in area.unanswered and area.unanswered[pair] > entry.at:
            area.said_no.add(pair)
        area.heard_of(pair[1])
        for match in area.live_of_wish(str(data.get("wish_id"))):
            named = data.get("match_id") in (None, match.match_id)
            if match.offer_id != data.get("offer_id") or not named:
                continue
            if entry.type == "match.accepted.v1":
                match.accepted = True
            elif entry.type == "match.approved.v1" and data.get("approved") is True:
                match.approved = True
            else:
                match.refused = True

    def _confirmed(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        if match is None:
            self.report.broken("confirmation/unknown", "no such match was proposed", match=data.get("match_id"))
            return
        ends.confirm(area, entry, match, self.report)

    def _failed(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        if match is None:
            self.report.broken("confirmation/unknown", "no such match was proposed", match=data.get("match_id"))
            return
        match.failed += 1

    # What is decided

    def _agreed(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        if match is None:
            self.report.broken("agreed/unknown", "no such match was proposed", match=data.get("match_id"))
            return
        worker = area.wishes[match.wish_id].worker
        if match.agreed or match.released is not None:
            self.report.broken("agreed/once", f"agreed before, or released ({match.released})", **_of(match))
        if match.needs_answer and not match.accepted:
            self.report.broken("agreed/answer", "agreed without the volunteer's acceptance", **_of(match))
        if worker and not match.approved:
            self.report.broken("agreed/approval", "agreed without the worker's approval", **_of(match))
        match.agreed = True

    def _released(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        reason = str(data.get("reason"))
        if match is None:
            self.report.broken("release/unknown", "no such match was proposed", match=data.get("match_id"))
            return
        if (data.get("wish_id"), data.get("offer_id")) != (match.wish_id, match.offer_id):
            self.report.broken("release/fields", "wish or offer differ from the proposal's", **_of(match))
        if match.released is not None or match.closed:
            self.report.broken("release/once", f"released before ({match.released}) or closed", **_of(match))
        elif not match.live(area.clock):
            self.report.doubtful("release/live", f"its slot was over: {match.slot}", **_of(match))
        if reason not in RELEASES:
            self.report.broken("release/reason", f"{reason} is no release reason", **_of(match))
        elif not _has_cause(area, entry, match, reason):
            self.report.broken("release/reason", f"nothing here makes it {reason}", entry=entry.place, **_of(match))
        match.released, match.released_at = reason, entry.at
        if reason != "group_incomplete":
            area.barred.add((match.wish_id, match.offer_id))

    def _closed(self, area: Area, entry: Entry, data: JsonObject) -> None:
        match = area.matches.get(str(data.get("match_id")))
        if match is None:
            self.report.broken("closed/unknown", "no such match was proposed", match=data.get("match_id"))
        elif match.closed or match.released is not None:
            self.report.broken("closed/once", "closed or released before", **_of(match))
        else:
            match.closed = True
            match.in_vain = data.get("outcome") in ("partly", "not_done")
            together = [match] if match.group_id is None else [m for m in area.groups[match.group_id] if m.released is None]
            # Whoever came in vain makes room for others, and does not meet this wish again; of a group, once all of it did.
            if all(m.in_vain for m in together):
                for one in together:
                    one.gone = True
                    area.barred.add((one.wish_id, one.offer_id))

    # What a decision owes

    def _owed(self, area: Area, entry: Entry) -> None:
        """Releases that the entry makes necessary, groups that fell apart."""
        if entry.type in ("wish.withdrawn.v1", "consent.withdrawn.v1"):
            wish = area.wishes.get(str(entry.data.get("wish_id")))
            if wish is not None and wish.withdrawn:
                self._must_be_released(area.live_of_wish(wish.wish_id), "release/withdrawn", "the wish is withdrawn")
        elif entry.type == "offer.suspended.v1":
            live = area.live_of_offer(str(entry.data.get("offer_id")))
            self._must_be_released(live, "release/unsafe", "the offer is suspended")
        elif entry.type == "offer.posted.v1":
            self._must_be_released(_unchecked(area, str(entry.data.get("offer_id"))), "release/check", "the offer has not the check for it any more")
        elif entry.type == "confirmation.failed.v1":
            match = area.matches.get(str(entry.data.get("match_id")))
            live = [match] if match is not None and match.live(area.clock) else []
            self._must_be_released(live, "release/undeliverable", "its confirmation failed")
        elif entry.type in ("match.declined.v1", "match.approved.v1"):
            self._refused(area, str(entry.data.get("wish_id")))
        for event in entry.decision:
            data = data_of(event)
            match = area.matches.get(str(data.get("match_id")))
            if short_type(event) == "match.released.v1" and match is not None and match.group_id is not None:
                self._group_lost(area, entry, area.groups.get(match.group_id, []))

    def _refused(self, area: Area, wish_id: str) -> None:
        for match in area.live_of_wish(wish_id):
            if match.refused and not match.agreed:
                self.report.doubtful("release/declined", "refused, but still live", **_of(match))

    def _must_be_released(self, live: list[Match], rule: str, why: str) -> None:
        for match in live:
            self.report.broken(rule, f"{why}, but the match is still live", **_of(match))

    def _group_lost(self, area: Area, entry: Entry, group: list[Match]) -> None:
        for match in group:
            if match.live(area.clock):
                self.report.broken("together/released-together", "the group lost a member", **_of(match))
        lately = [m.released for m in group if m.released_at == entry.at]
        if lately and set(lately) == {"group_incomplete"}:
            text = "all members are group_incomplete: none says why"
            self.report.broken("together/released-together", text, **_of(group[0]))

    # What must have been tried at once

    def _tried_wish(self, area: Area, wish: Wish | None) -> None:
        if wish is None or not self._waits(area, wish):
            return
        if wish.together:
            start = rules.earliest_shared(wish, rules.candidates_for(area, wish), area.clock)
            if start is not None and not area.helpers(wish.wish_id):
                text = f"two helpers can from {start.isoformat()}, yet none was proposed"
                self.report.doubtful("maximal/together", text, area=area.name, wish=wish.wish_id)
            return
        for offer in area.offers.values():
            start = rules.certain_slot(area, wish, offer) if offer.auto else None
            if start is not None:
                self._idle(area, wish, offer.offer_id, start.isoformat())
                return

    def _tried_offer(self, area: Area, offer_id: str) -> None:
        offer = area.offers.get(offer_id)
        if offer is None or not offer.auto or not offer.open:
            return
        for wish in area.wishes.values():
            if wish.together or not self._waits(area, wish):
                continue
            start = rules.certain_slot(area, wish, offer)
            if start is not None:
                self._idle(area, wish, offer_id, start.isoformat())

    @staticmethod
    def _waits(area: Area, wish: Wish) -> bool:
        if not wish.open or wish.wish_id in area.orphans:
            return False
        return len(area.helpers(wish.wish_id)) < wish.need

    def _idle(self, area: Area, wish: Wish, offer_id: str, start: str) -> None:
        note = self.report.broken if self.eager or wish.urgency == "red" else self.report.doubtful
        text = f"nothing bars this pair (slot from {start}), yet it was not proposed"
        note("maximal/tried-at-once", text, area=area.name, wish=wish.wish_id, offer=offer_id)


def _nothing(area: Area, entry: Entry, data: JsonObject) -> None:
    """For what has no bearing on the promises."""


def _unchecked(area: Area, offer_id: str) -> list[Match]:
    """The live matches of an offer whose checks, as they are posted now, do not suffice for certain."""
    offer = area.offers.get(offer_id)
    if offer is None:
        return []
    return [match for match in area.live_of_offer(offer_id) if rules.check_holds(area.wishes[match.wish_id], offer, match.slot.start) == "no"]


def _of(match: Match) -> dict[str, object]:
    return {"match": match.match_id, "wish": match.wish_id, "offer": match.offer_id}


def _wish_id(entry: Entry) -> dict[str, object]:
    return {"wish": entry.data.get("wish_id"), "entry": entry.place}


def _groups(entry: Entry) -> dict[str, list[JsonObject]]:
    groups: dict[str, list[JsonObject]] = {}
    for event in entry.decision:
        data = data_of(event)
        if short_type(event) == "match.proposed.v1" and isinstance(data.get("group_id"), str):
            groups.setdefault(data["group_id"], []).append(data)
    return groups


def _has_cause(area: Area, entry: Entry, match: Match, reason: str) -> bool:
    """Whether the entry is one that can release this match for this reason."""
    data = entry.data
    group = area.groups.get(match.group_id or "", [match])
    if reason == "withdrawn":
        return entry.type in ("wish.withdrawn.v1", "consent.withdrawn.v1") and data.get("wish_id") == match.wish_id
    if reason == "unsafe":
        # For a consent that is withdrawn the page names no reason: `withdrawn` and `unsafe` both describe it.
        consent = entry.type == "consent.withdrawn.v1" and data.get("wish_id") == match.wish_id
        if consent or (entry.type == "offer.suspended.v1" and data.get("offer_id") == match.offer_id):
            return True
        words = ("offer.posted.v1", "match.accepted.v1", "match.approved.v1", "match.confirmed.v1", "service.started.v1")
        wish, offer = area.wishes.get(match.wish_id), area.offers.get(match.offer_id)
        about = entry.type in words and data.get("offer_id") == match.offer_id
        return about and wish is not None and offer is not None and rules.check_holds(wish, offer, match.slot.start) != "yes"
    if reason == "declined":
        told = entry.type == "match.declined.v1" or (entry.type == "match.approved.v1" and data.get("approved") is False)
        return told and data.get("wish_id") == match.wish_id and data.get("offer_id") == match.offer_id
    if reason == "undeliverable":
        return entry.type == "confirmation.failed.v1" and any(m.match_id == data.get("match_id") for m in group)
    if reason == "unanswered":
        return match.expires_at is None or entry.at >= match.expires_at
    return len(group) > 1
