"""How things end: confirmations, expiry, and what must hold when the journal is over."""

from __future__ import annotations

from tests.checker.folder import Entry
from tests.checker.model import Area, Match
from tests.checker.report import Report
from tests.checker.wire import Json, JsonObject, parse_time

RESIDENT = "resident"
VOLUNTEERS = ("volunteer", "helper")


def confirm(area: Area, entry: Entry, match: Match, report: Report) -> None:
    """Judge a `match.confirmed` as the matcher takes it in.

    The notifier may confirm while a release is on its way to it: within one minute of event time (`play` lets
    each minute settle) that is a race, a warning. In a later minute it is a violation.
    """
    ids: dict[str, object] = {"match": match.match_id, "wish": match.wish_id, "offer": match.offer_id}
    data = entry.data
    wish = area.wishes[match.wish_id]
    match.confirmed += 1
    report.counts["confirmations judged"] += 1
    if match.confirmed > 1:
        report.broken("confirmation/once", f"confirmed {match.confirmed} times", **ids)
    if match.released is not None and match.released_at is not None:
        later = entry.at.replace(second=0, microsecond=0) > match.released_at.replace(second=0, microsecond=0)
        note = report.broken if later else report.doubtful
        note("confirmation/released", f"released ({match.released}) at {match.released_at.isoformat()}", **ids)
    if match.needs_answer and not (match.accepted and match.agreed):
        report.broken("confirmation/answer", "confirmed without the volunteer's answer", **ids)
    if wish.worker and not (match.approved and match.agreed):
        report.broken("confirmation/approval", "confirmed without the worker's approval", **ids)
    for name in ("wish_id", "offer_id", "rung", "slot", "area", "group_id"):
        if data.get(name) != match.proposal.get(name):
            text = f"{name} is {data.get(name)}, proposed {match.proposal.get(name)}"
            report.broken("confirmation/fields", text, **ids)
    at = parse_time(data.get("confirmed_at"))
    if at is None or at < match.at:
        report.broken("confirmation/time", f"confirmed_at {data.get('confirmed_at')}, proposed {match.at}", **ids)
    _notices(match, wish.resident_ref, data, report, ids)


def _notices(match: Match, resident_ref: str, data: JsonObject, report: Report, ids: dict[str, object]) -> None:
    """Both sides were told. `to` may be the side's name or its reference: the page does not say which."""
    notices: Json = data.get("notices")
    if not isinstance(notices, list) or not all(isinstance(one, dict) for one in notices):
        report.broken("confirmation/notices", "notices is no list of objects", **ids)
        return
    sides: set[str] = set()
    for one in notices:
        to = str(one.get("to"))
        sides.add(RESIDENT if to in (RESIDENT, resident_ref) else to)
        if to not in (RESIDENT, resident_ref, match.volunteer_ref, *VOLUNTEERS):
            report.doubtful("confirmation/notices", f"told to {to}, of neither side", **ids)
        if not one.get("channel") or parse_time(one.get("at")) is None:
            report.broken("confirmation/notices", f"a notice without channel or time: {one}", **ids)
    if RESIDENT not in sides or len(sides) < 2:
        report.broken("confirmation/notices", f"not both sides were told, only {sorted(sides)}", **ids)


def expire(area: Area, entry: Entry, data: JsonObject, report: Report) -> None:
    """Judge a `wish.expired`: once, not before the deadline, only where helpers are lacking, with the right count.

    Whether one who was asked but has not answered counts in `filled`, the page does not say: anything from those
    confirmed to all that stand is taken.
    """
    wish = area.wishes.get(str(data.get("wish_id")))
    ids: dict[str, object] = {"wish": data.get("wish_id"), "entry": entry.place}
    if wish is None:
        report.broken("expiry/unknown", "no such wish", **ids)
        return
    if wish.expired:
        report.broken("expiry/once", "expired before", **ids)
    withdrawn_late = entry.data.get("wish_id") == wish.wish_id and entry.at >= wish.window.end
    if wish.withdrawn and not withdrawn_late:
        report.broken("expiry/withdrawn", "the wish was withdrawn", **ids)
    if entry.at < wish.window.end:
        report.broken("expiry/early", f"at {entry.at}, the deadline is {wish.window.end}", **ids)
    standing = area.helpers(wish.wish_id)
    confirmed = [match for match in standing if match.confirmed]
    if len(confirmed) >= wish.need:
        report.broken("expiry/filled", f"has {len(confirmed)} confirmed helpers of {wish.need}", **ids)
    elif len(standing) >= wish.need and not any(pending(area, match) for match in standing):
        report.broken("expiry/filled", f"has {len(standing)} helpers of {wish.need}", **ids)
    filled = data.get("filled")
    if not isinstance(filled, int) or not len(confirmed) <= filled <= len(standing):
        report.broken("expiry/count", f"filled {filled}, {len(confirmed)} confirmed of {len(standing)}", **ids)
    wish.expired, wish.withdrawn = True, False


def pending(area: Area, match: Match) -> bool:
    """Whether the match still lacks an answer or an approval."""
    return (match.needs_answer or area.wishes[match.wish_id].worker) and not match.agreed


def finish(area: Area, report: Report) -> None:
    """What must hold when nothing can change any more."""
    for wish in area.wishes.values():
        standing = area.helpers(wish.wish_id)
        if wish.open and len(standing) < wish.need and wish.wish_id not in area.orphans:
            text = f"{len(standing)} of {wish.need} helpers, deadline {wish.window.end.isoformat()}"
            report.broken("expiry/missing", text, area=area.name, wish=wish.wish_id)
    for match in area.matches.values():
        ids: dict[str, object] = {"match": match.match_id, "wish": match.wish_id}
        if match.confirmed and match.failed:
            report.broken("confirmation/once", "both confirmed and failed", **ids)
        stands = match.released is None and not match.closed
        if stands and not match.confirmed and not match.failed and not pending(area, match):
            report.broken("confirmation/missing", "the match stands, but was never confirmed or failed", **ids)
    for group_id, group in area.groups.items():
        confirmed = sum(1 for match in group if match.confirmed)
        if 0 < confirmed < len(group):
            text = f"{confirmed} of {len(group)} members confirmed"
            report.broken("together/confirmed-together", text, group=group_id, wish=group[0].wish_id)
