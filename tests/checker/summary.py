"""summary.json against the files.

Where the contract leaves open what exactly is counted, each sensible count is taken:

- *confirmed*: confirmed matches, or wishes with a confirmed match;
- *filled*: wishes with all their helpers at the end, those withdrawn afterwards counted or not;
- *withdrawn*: effective withdrawals; one of a wish that is filled and over, or that came before its wish, may count or not;
- *dead_letters*: records, or distinct originals, where a restart repeated some;
- *wishes, offers*: distinct ids accepted; the same id in two areas may be one or two.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.checker.folder import Folder
from tests.checker.model import Area, Wish
from tests.checker.report import Report
from tests.checker.wire import JsonObject

NAMES = (
    "published", "wishes", "offers", "filled", "confirmed", "expired", "withdrawn", "dead_letters", "duplicates",
)  # fmt: skip


def check(folder: Folder, areas: Iterable[Area], dead_letters: int, lines: int | None, report: Report) -> None:
    """Judge every number of the summary that the files determine. `lines`: of the input file, None if unknown."""
    summary = folder.summary
    missing = [n for n in NAMES if not isinstance(summary.get(n), int) or isinstance(summary.get(n), bool)]
    if missing:
        report.broken("summary/fields", f"no whole number for {missing}")
    allowed = _allowed(folder, list(areas), dead_letters)
    if lines is not None:
        allowed["published"] = {lines}
    for name, values in allowed.items():
        if name not in missing and summary[name] not in values:
            expected = " or ".join(str(value) for value in sorted(values))
            report.broken("summary/numbers", f"{name} is {summary[name]}, the files say {expected}")
    seconds = summary.get("seconds")
    if not isinstance(seconds, int | float) or seconds < 0:
        report.broken("summary/fields", f"seconds is {seconds}")
    _latency(summary, report)


def _latency(summary: JsonObject, report: Report) -> None:
    latency = summary.get("wish_to_confirmed_ms")
    if not isinstance(latency, dict) or not {"p50", "p99"} <= set(latency):
        report.broken("summary/fields", f"wish_to_confirmed_ms is {latency}")
        return
    p50, p99 = latency["p50"], latency["p99"]
    if p50 is None and p99 is None:
        if summary.get("confirmed"):
            report.broken("summary/numbers", "no latency, though something was confirmed")
        return
    if not isinstance(p50, int | float) or not isinstance(p99, int | float) or not 0 <= p50 <= p99:
        report.broken("summary/numbers", f"p50 {p50} and p99 {p99} are no latencies")


def _allowed(folder: Folder, areas: list[Area], dead_letters: int) -> dict[str, set[int]]:
    wishes = [(area, wish) for area in areas for wish in area.wishes.values()]
    offers = [offer_id for area in areas for offer_id in area.offers]
    confirmed = [match for area in areas for match in area.matches.values() if match.confirmed]
    sure = sum(1 for area, wish in wishes if wish.withdrawn and not _full(area, wish))
    later = sum(1 for area, wish in wishes if wish.withdrawn and _full(area, wish))
    orphans = sum(1 for area, wish in wishes if not wish.withdrawn and wish.wish_id in area.orphans)
    filled = sum(1 for area, wish in wishes if wish.open and _full(area, wish))
    was_filled = sum(1 for area, wish in wishes if wish.withdrawn and _was_full(area, wish))
    return {
        "wishes": {len(wishes), len({wish.wish_id for _, wish in wishes})},
        "offers": {len(offers), len(set(offers))},
        "filled": set(range(filled, filled + max(later, was_filled) + 1)),
        "confirmed": {len(confirmed), len({match.wish_id for match in confirmed})},
        "expired": {sum(1 for _, wish in wishes if wish.expired)},
        "withdrawn": set(range(sure, sure + later + orphans + 1)),
        "dead_letters": {len(folder.records.get("dead-letters.jsonl", [])), dead_letters},
        "duplicates": {
            sum(1 for entry in folder.journal if entry.outcome == "duplicate"),
            sum(1 for entry in folder.journal if entry.outcome == "duplicate" and entry.topic != "confirmations"),
        },
    }


def _full(area: Area, wish: Wish) -> bool:
    return len(area.helpers(wish.wish_id)) >= wish.need


def _was_full(area: Area, wish: Wish) -> bool:
    return len(area.of_wish(wish.wish_id)) >= wish.need
