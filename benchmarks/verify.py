"""Whether everyone did the same work, and did it right: each contender's matches are held against the events themselves.

All are held to the rules that all of them follow: one match a wish, the wished skills, the reach, the vetting, a slot inside both windows, the capacity.
Who promises to keep a volunteer's slots apart is held to that as well: no visit begins during another of the same volunteer, and each slot is the earliest
that was clear. How often the others send somebody to two places at once is counted and reported, not held against them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from benchmarks.load import Load, Record
from services.matcher.core.place import RUNG_OF, PlaceKey, rung_between

_VETTING_ALONE: Final = 2

_Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Made:
    """One match that a contender made, in a form that all share."""

    wish_id: str
    offer_id: str
    rung: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """`faults` counts broken rules by name; `double_booked` the visits that begin while their volunteer is at another, promised or not."""

    matches: int
    faults: dict[str, int]
    double_booked: int
    rungs: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Offer:
    volunteer: str
    home: PlaceKey
    reach: int
    skills: frozenset[str]
    level: int
    windows: list[_Stretch]
    capacity: int


class Judge:
    """Knows the offers."""

    def __init__(self, offers: Iterable[Record]) -> None:
        self._offers: dict[str, _Offer] = {}
        self._by_skill: dict[tuple[str, str], list[_Offer]] = {}
        for one in offers:
            data = one.data
            windows = [(_instant(window["start"]), _instant(window["end"])) for window in data["windows"]]
            reach, skills = RUNG_OF[data["reach"]], frozenset(data["skills"])
            level, capacity = data["vetting"]["level"], data["capacity"]
            offer = self._offers[one.id] = _Offer(data["volunteer_ref"], _place(data["home"]), reach, skills, level, windows, capacity)
            for skill in data["skills"]:
                self._by_skill.setdefault((one.area, skill), []).append(offer)

    def can_be_met(self, wish: dict[str, Any]) -> bool:
        """Whether any offer fits this wish, as long as nobody is busy."""
        opens, closes, length = _instant(wish["window"]["start"]), _instant(wish["window"]["end"]), timedelta(minutes=wish["minutes"])
        return any(
            not _fault_of_pair(wish, offer) and any(max(opens, start) + length <= min(closes, end) for start, end in offer.windows)
            for offer in self._by_skill.get((wish["area"], wish["skills"][0]), ())
        )

    def judge(self, wishes: Iterable[Record], made: Iterable[Made], *, apart: bool) -> Judgement:
        """All matches of one measurement. `apart`: whether the contender promises to keep a volunteer's slots apart."""
        wished = {one.id: one.data for one in wishes}
        faults: Counter[str] = Counter()
        rungs: Counter[str] = Counter()
        taken: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        visits: dict[str, list[Made]] = {}
        for match in made:
            seen[match.wish_id] += 1
            taken[match.offer_id] += 1
            wish, offer = wished.get(match.wish_id), self._offers.get(match.offer_id)
            if wish is None or offer is None:
                faults["unknown"] += 1
                continue
            rungs[str(match.rung)] += 1
            fault = _fault_of_pair(wish, offer) or _fault_of_slot(wish, offer, match)
            if fault:
                faults[fault] += 1
            visits.setdefault(offer.volunteer, []).append(match)
        faults["matched_twice"] += sum(number - 1 for number in seen.values())
        faults["over_capacity"] += sum(1 for offer_id, number in taken.items() if offer_id in self._offers and number > self._offers[offer_id].capacity)
        double_booked = sum(_double_booked([(one.start, one.end) for one in theirs]) for theirs in visits.values())
        if apart:
            faults["two_places_at_once"] = double_booked
            faults["not_the_earliest"] = sum(self._late(wished, theirs) for theirs in visits.values())
        return Judgement(sum(seen.values()), {name: number for name, number in faults.items() if number}, double_booked, dict(sorted(rungs.items())))

    def _late(self, wished: dict[str, dict[str, Any]], visits: list[Made]) -> int:
        """How many of one volunteer's slots could have been earlier, clear even of those that were booked only later: nothing is released meanwhile."""
        number = 0
        for match in visits:
            others = sorted((one.start, one.end) for one in visits if one is not match)
            wanted_from, length = _instant(wished[match.wish_id]["window"]["start"]), match.end - match.start
            for opens, closes in self._offers[match.offer_id].windows:
                start = _first_clear(max(opens, wanted_from), length, others)
                if start < match.start and start + length <= closes:
                    number += 1
                    break
        return number


def possible(load: Load, offers: int, wishes: int) -> list[Record]:
    """That many wishes of a load, without those that none of its first `offers` offers fits at all: everyone can match the rest."""
    judge = Judge(load.offers(offers))
    return list(islice((wish for wish in load.wishes(2 * wishes) if judge.can_be_met(wish.data)), wishes))


def _fault_of_pair(wish: dict[str, Any], offer: _Offer) -> str | None:
    if not offer.skills.issuperset(wish["skills"]):
        return "skill_missing"
    if rung_between(_place(wish["place"]), offer.home) > offer.reach:
        return "out_of_reach"
    alone = _VETTING_ALONE if wish["beneficiary"].get("lives_alone") else 0
    return "vetting_too_low" if offer.level < max(wish.get("vetting_min", 0), alone) else None


def _fault_of_slot(wish: dict[str, Any], offer: _Offer, match: Made) -> str | None:
    if rung_between(_place(wish["place"]), offer.home) != match.rung:
        return "wrong_rung"
    if match.end - match.start != timedelta(minutes=wish["minutes"]):
        return "wrong_length"
    if match.start < _instant(wish["window"]["start"]) or match.end > _instant(wish["window"]["end"]):
        return "outside_the_wish"
    return None if any(start <= match.start and match.end <= end for start, end in offer.windows) else "outside_the_offer"


def _double_booked(slots: list[_Stretch]) -> int:
    slots.sort()
    number, busy_until = 0, slots[0][0]
    for start, end in slots:
        number += start < busy_until
        busy_until = max(busy_until, end)
    return number


def _first_clear(start: datetime, length: timedelta, slots: list[_Stretch]) -> datetime:
    for begins, ends in slots:
        if start + length <= begins:
            break
        start = max(start, ends)
    return start


def _place(place: dict[str, Any]) -> PlaceKey:
    return (place["community"], place.get("compound"), place.get("building"), place.get("unit"))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
