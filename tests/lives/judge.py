"""Judges closings and books by what stands in the folder of `play` alone, from the contract's words: it shares no code with the services."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.checker.report import Report
from tests.checker.wire import JsonObject, data_of, event_of, parse_time, short_type

COUNTED_MAX: Final = 120
LONGEST: Final = 1440
# How long after the slot's start at least who is silent is waited for: the helper's end where there is a word, a word where there is none.
SILENCE: Final = {"resident": timedelta(hours=1), "community": timedelta(hours=1), "default": timedelta(days=2)}
Pair = tuple[str, str, str]


@dataclass(slots=True)
class Said:
    """What was said about a pair, each thing once."""

    finished: list[tuple[datetime, str, str, JsonObject]] = field(default_factory=list)
    started: list[datetime] = field(default_factory=list)
    words: dict[str, list[tuple[datetime, str, str, JsonObject]]] = field(default_factory=lambda: {"community": [], "resident": []})

    @property
    def anything(self) -> bool:
        return bool(self.finished or self.words["community"] or self.words["resident"])


def read(folder: Path, name: str) -> list[JsonObject]:
    """The objects of a file of lines."""
    return [json.loads(line) for line in (folder / name).read_bytes().splitlines()]


def _instant(text: str) -> datetime:
    found = parse_time(text)
    assert found is not None
    return found


def _known_from(data: JsonObject) -> datetime:
    """From when on a word that names no match can be about this one: the minute in which both were told, or the slot's begin where that is earlier."""
    return min(_instant(data["confirmed_at"]).replace(second=0, microsecond=0), _instant(data["slot"]["start"]))


def _said_about(data_of_match: JsonObject, by_pair: dict[Pair, list[JsonObject]]) -> Said:
    said = Said()
    match_id, since = data_of_match["match_id"], _known_from(data_of_match)
    for event in by_pair.get((data_of_match["area"], data_of_match["wish_id"], data_of_match["offer_id"]), ()):
        data = data_of(event)
        at = parse_time(event["time"])
        if at is None or data.get("match_id") not in (None, match_id) or (data.get("match_id") is None and at < since):
            continue
        one = (at, str(event["source"]), str(event["id"]), data)
        kind = short_type(event)
        if kind == "service.started.v1":
            said.started.append(at)
        elif kind == "service.finished.v1":
            said.finished.append(one)
        else:
            said.words[data["by"]].append(one)
    return said


def _last(found: list[tuple[datetime, str, str, JsonObject]]) -> tuple[datetime, str, str, JsonObject]:
    return max(found, key=lambda one: one[:3])


def minutes_of(said: Said, planned: int) -> int:
    """The helper's own minutes, the last that they named; else from the first arrival to the last end, else what was planned.

    (In these lives nobody says an hour after the slot that it is over, and nobody corrects.)
    """
    if said.finished:
        named = [one for one in said.finished if one[3].get("minutes") is not None]
        at, _, _, data = _last(named or said.finished)
        if named:
            return min(int(data["minutes"]), LONGEST)
        if said.started and at > min(said.started):
            return min(int((at - min(said.started)).total_seconds() // 60), LONGEST)
    return min(planned, LONGEST)


def end_of(said: Said, planned: int) -> tuple[str, int]:
    """(outcome, minutes) once everything that is ever said is said."""
    words = said.words["community"] or said.words["resident"]
    if words:
        outcome = str(_last(words)[3]["outcome"])
        return outcome, 0 if outcome == "not_done" else minutes_of(said, planned)
    return "done", minutes_of(said, planned) if said.finished else 0


def balances(folder: Path) -> dict[str, dict[str, int]]:
    """What each account holds, by unit; accounts that hold nothing are left out."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for transaction in read(folder, "ledger.jsonl"):
        for entry in transaction["entries"]:
            found[entry["account"]][entry["unit"]] += entry["amount"]
    held = {account: {unit: amount for unit, amount in sorted(units.items()) if amount} for account, units in found.items()}
    return {account: units for account, units in sorted(held.items()) if units}


def balance_bytes(folder: Path) -> bytes:
    """The balances, for comparing byte for byte."""
    return json.dumps(balances(folder), indent=0, sort_keys=True).encode()


@dataclass(slots=True)
class Played:
    """What the folder says of closings and books."""

    reports: dict[Pair, list[JsonObject]] = field(default_factory=lambda: defaultdict(list))
    proposed: dict[str, JsonObject] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    confirmed: dict[str, JsonObject] = field(default_factory=dict)
    closed: dict[str, dict[str, JsonObject]] = field(default_factory=lambda: defaultdict(dict))
    ledger: dict[str, list[JsonObject]] = field(default_factory=lambda: defaultdict(list))


def _played(folder: Path) -> Played:
    played = Played()
    seen: set[tuple[str, str]] = set()
    for entry in read(folder, "journal.jsonl"):
        event = entry.get("event")
        if isinstance(event, dict) and short_type(event).startswith("service.") and (event["source"], event["id"]) not in seen:
            seen.add((event["source"], event["id"]))
            data = data_of(event)
            played.reports[data["area"], data["wish_id"], data["offer_id"]].append(event)
    for record in read(folder, "matches.jsonl"):
        event = event_of(record) or {}
        if short_type(event) == "match.proposed.v1":
            played.proposed[data_of(event)["match_id"]] = data_of(event)
        elif short_type(event) == "match.released.v1":
            played.released.add(data_of(event)["match_id"])
    for record in read(folder, "confirmations.jsonl"):
        event = event_of(record) or {}
        if short_type(event) == "match.confirmed.v1":
            played.confirmed[data_of(event)["match_id"]] = data_of(event)
        elif short_type(event) == "match.closed.v1":
            played.closed[data_of(event)["match_id"]][event["id"]] = data_of(event)
    for transaction in read(folder, "ledger.jsonl"):
        played.ledger[transaction["match_id"]].append(transaction)
    return played


def check(folder: Path) -> Report:
    """Everything about closings and books."""
    report = Report()
    played = _played(folder)
    confirmed, closed, ledger = played.confirmed, played.closed, played.ledger
    for match_id, data in sorted(confirmed.items()):
        said = _said_about(data, played.reports)
        _closing(match_id, data, said, closed.get(match_id, {}), played.released, report)
        if match_id in closed:
            end = next(iter(closed[match_id].values()))
            _booking(match_id, data, said, end, ledger.get(match_id, []), played.proposed.get(match_id, {}), report)
    for match_id in sorted((closed.keys() | ledger.keys()) - confirmed.keys()):
        report.broken("closing/unconfirmed", "closed or booked, but never confirmed", match=match_id)
    for match_id in sorted(ledger.keys() - closed.keys()):
        report.broken("ledger/unclosed", "booked, but never closed", match=match_id)
    _sums(ledger, report)
    summary = json.loads((folder / "summary.json").read_bytes())
    if summary.get("closed") != len(closed):
        report.broken("summary/closed", f"{summary.get('closed')} in the summary, {len(closed)} closed")
    report.counts |= Counter({"confirmed": len(confirmed), "closed": len(closed), "corrections": sum(len(rows) - 1 for rows in ledger.values())})
    return report


def _planned(data: JsonObject) -> int:
    return int((_instant(data["slot"]["end"]) - _instant(data["slot"]["start"])).total_seconds() // 60)


def _closing(match_id: str, data: JsonObject, said: Said, told: dict[str, JsonObject], released: set[str], report: Report) -> None:
    if len(told) > 1:
        report.broken("closing/once", f"closed {len(told)} times", match=match_id)
    if match_id in released:
        if told:
            report.broken("closing/released", "released and closed", match=match_id)
        return
    if said.anything and not told:
        report.broken("closing/missing", "somebody told of the end, but it was never closed", match=match_id)
    for end in told.values():
        _cause(match_id, data, said, end, report)


def _cause(match_id: str, data: JsonObject, said: Said, end: JsonObject, report: Report) -> None:
    """Somebody said this, or nobody said anything that would hinder it."""
    outcome, minutes, by, at = end["outcome"], end["minutes"], end["by"], parse_time(end["closed_at"])
    if at is None:
        report.broken("closing/time", f"closed_at is {end['closed_at']}", match=match_id)
    elif at < (starts := _instant(data["slot"]["start"])):
        report.broken("closing/early", f"closed at {end['closed_at']}, before its slot began", match=match_id)
    elif at < starts + SILENCE[by] and not (said.finished and by != "default"):
        report.broken("closing/early", f"closed at {end['closed_at']}: nobody's silence counts before the slot", match=match_id)
    elif by == "default":
        if outcome != "done" or (minutes and not said.finished):
            report.broken("closing/cause", f"by default: {outcome}, {minutes} min", match=match_id)
        # What came in the minute of the closing may have come a moment too late for it.
        elif any(one[0] < at.replace(second=0, microsecond=0) for words in said.words.values() for one in words):
            report.broken("closing/cause", "by default, but somebody had given a word", match=match_id)
    elif not any(one[3]["outcome"] == outcome and one[0] <= at for one in said.words.get(by, ())):
        report.broken("closing/cause", f"nobody of {by} said {outcome} by then", match=match_id)
    if outcome == "not_done" and minutes:
        report.broken("closing/minutes", f"not done in {minutes} min", match=match_id)
    possible = {int(one[3]["minutes"]) for one in said.finished if one[3].get("minutes") is not None}
    possible |= {int((one[0] - start).total_seconds() // 60) for one in said.finished for start in said.started}
    if minutes not in possible | {0, _planned(data)}:
        report.broken("closing/minutes", f"{minutes} min, nobody said so", match=match_id)


def _booking(match_id: str, data: JsonObject, said: Said, end: JsonObject, rows: list[JsonObject], proposal: JsonObject, report: Report) -> None:
    rows = sorted(rows, key=lambda row: int(row["number"]))
    if [row["number"] for row in rows] != list(range(1, len(rows) + 1)):
        report.broken("ledger/numbers", f"booked as {[row['number'] for row in rows]}", match=match_id)
        return
    if not rows:
        report.broken("ledger/missing", "closed, but not booked", match=match_id)
        return
    if (rows[0]["outcome"], rows[0]["by"]) != (end["outcome"], end["by"]):
        report.broken("ledger/first", f"first booked as {rows[0]['outcome']} by {rows[0]['by']}", match=match_id)
    for row in rows:
        if row["volunteer_ref"] != proposal.get("volunteer_ref") or row["organisation"] != proposal.get("organisation"):
            report.broken("ledger/whose", "booked for somebody else", match=match_id)
    outcome, minutes = end_of(said, _planned(data))
    counted = min(minutes, COUNTED_MAX)
    wanted = {"minutes": counted, "points": int(counted * 100 / 60 + 0.5)}
    account = f"volunteer/{data['area']}/{proposal.get('volunteer_ref')}"
    found: Counter[str] = Counter()
    for row in rows:
        for entry in row["entries"]:
            found[entry["unit"]] += entry["amount"] * (entry["account"] == account)
    if {unit: found[unit] for unit in wanted} != wanted:
        report.broken("ledger/balance", f"booked {dict(found)}, what was said comes to {wanted}", match=match_id)
    if rows[-1]["outcome"] != outcome:
        report.broken("ledger/last", f"last booked as {rows[-1]['outcome']}, what was said comes to {outcome}", match=match_id)


def _sums(ledger: dict[str, list[JsonObject]], report: Report) -> None:
    total: Counter[str] = Counter()
    for match_id, rows in sorted(ledger.items()):
        for row in rows:
            own: Counter[str] = Counter()
            for entry in row["entries"]:
                own[entry["unit"]] += entry["amount"]
            total += own
            if any(own.values()):
                report.broken("ledger/zero", f"adds up to {dict(own)}", match=match_id, number=row["number"])
    if any(total.values()):
        report.broken("ledger/zero", f"all adds up to {dict(total)}")
