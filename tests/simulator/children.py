"""`python -m tests.simulator.children --wishes 1000000`: no child is ever alone with a helper, nor with one whose checks do not suffice.

Wishes for minors and left-behind children only, in crowded areas whose helpers nearly suffice: level 3, checks that run out while a wish is open, one person
with two offers. Who may come is judged by `rules.py`, which shares nothing with the core. How often each near miss was at hand is counted, and printed.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from random import Random
from typing import Any, Final

import orjson

from schemas.codec import Event
from schemas.instants import DAY_US, MINUTE_US, parse_rfc3339, rfc3339
from schemas.registry import MODEL_OF
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.state import Area, Wish
from tests.builders import NOON, place
from tests.simulator import rules
from tests.simulator.judge import Broken, must
from tests.simulator.rules import YEAR_US, Gift, Need
from tests.simulator.town import policy_of

AREA_WISHES: Final = 1000
VOLUNTEERS: Final = 14
UNTRIED: Final = 20  # one wish in so many
HOMES: Final = ("c1/p1/b1/u1", "c1/p1/b2/u1", "c1/p2/b1/u1", "c1", "c2/p1/b1/u1")
SKILLS: Final = ("tutoring", "escort")


@dataclass(slots=True)
class Helper:
    """One of a group: who was proposed for which child, by which offer, and when."""

    group: str
    wish_id: str
    offer_id: str
    person: str
    start: int
    end: int


@dataclass
class Watch:
    """Hears what one area is told and tells. `helpers`: those who were proposed and not released, by match; they are dropped when their slot is over."""

    counts: Counter[str] = field(default_factory=Counter)
    needs: dict[str, Need] = field(default_factory=dict)
    gifts: dict[str, Gift] = field(default_factory=dict)
    helpers: dict[str, Helper] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    parted: set[tuple[str, str]] = field(default_factory=set)
    now: int = 0

    def hear(self, now: int, decisions: Sequence[Any], cause: str = "time") -> None:
        """What went out at one go, and what brought it about.

        Raises:
            Broken: a child would be alone, or with somebody who must not come.
        """
        touched: set[str] = set()
        self.now = now
        for decision in decisions:
            kind = decision.type.split(".")[2]
            if kind == "proposed":
                touched.add(self._proposed(now, decision.data))
            elif kind == "released":
                self.counts[f"released {decision.data['reason']}"] += 1
                helper = self.helpers.pop(decision.data["match_id"])
                if cause == "lastmetre.offer.posted.v1":
                    self._called_off(helper, decision.data["reason"])
                self.groups[helper.group].remove(decision.data["match_id"])
                touched.add(helper.group)
                if decision.data["reason"] != "group_incomplete":
                    self.parted.add((helper.wish_id, helper.offer_id))
            elif kind == "rejected":
                self.counts[f"claim {decision.data['reason']}"] += 1
        for group in touched:
            self._is_whole(group)

    def _called_off(self, helper: Helper, reason: str) -> None:
        """By an offer that was posted again: only where its check does not hold any more, or a companion's."""
        gift, need = self.gifts.get(helper.offer_id), self.needs[helper.wish_id]
        unsafe = reason == "unsafe" and gift is not None and not rules.checked(need, gift, helper.start)
        must(unsafe or reason == "group_incomplete", "children/called-off", f"wish {need.id}, offer {helper.offer_id}, {reason}: live matches stand")
        self.counts["called off for a check posted again"] += unsafe

    def _proposed(self, now: int, data: dict[str, Any]) -> str:
        need, gift = self.needs[data["wish_id"]], self.gifts[data["offer_id"]]
        start, end = (parse_rfc3339(data["slot"][side]) for side in ("start", "end"))
        text = f"wish {need.id}, offer {gift.id}, slot {data['slot']}, level {gift.level}, checked {rfc3339(gift.checked)}"
        must(gift.level >= 4, "children/level", text)
        must(gift.checked <= start, "children/check-after", text)
        must(start - gift.checked <= YEAR_US, "children/check-old", text)
        must("group_id" in data, "children/alone", text)
        must(rules.proven(need, gift, start), "children/proof", text)
        must(rules.lacking(need, gift) is None, "children/rule", text)
        must(now <= start and need.start <= start and end <= need.end and end - start == need.length, "children/slot", text)
        must(gift.person == data["volunteer_ref"] and (need.id, gift.id) not in self.parted, "children/person", text)
        self.counts["proposals"] += 1
        self.counts["proposals claimed"] += data["how"] == "claimed"
        self.counts["proposals with a check that runs out within a day of the slot"] += start - gift.checked > YEAR_US - DAY_US
        group: str = data["group_id"]
        self.helpers[data["match_id"]] = Helper(group, need.id, gift.id, gift.person, start, end)
        self.groups.setdefault(group, set()).add(data["match_id"])
        return group

    def posted_again(self, gift: Gift) -> None:
        """After an offer came again: nobody is on the way to a child with a check that does not hold any more.

        Raises:
            Broken: somebody is.
        """
        for helper in self.helpers.values():
            if helper.offer_id == gift.id and helper.end > self.now:
                need = self.needs[helper.wish_id]
                text = f"wish {need.id}, offer {gift.id}, level {gift.level}, checked {rfc3339(gift.checked)}, visit {rfc3339(helper.start)}"
                must(rules.checked(need, gift, helper.start), "children/check-gone", text)

    def _is_whole(self, group: str) -> None:
        """All of a group are there, or none is."""
        members = [self.helpers[match_id] for match_id in self.groups[group]]
        if not members:
            self.counts["groups released"] += 1
            del self.groups[group]
            return
        text = f"wish {members[0].wish_id}: {[member.offer_id for member in members]}"
        must(len({member.person for member in members}) == len(members) >= 2, "children/alone", text)
        must(len({(member.start, member.end, member.wish_id) for member in members}) == 1, "children/apart", text)

    def forget(self, now: int) -> None:
        """Visits that are over concern nobody any more."""
        over = [match_id for match_id, helper in self.helpers.items() if helper.end <= now]
        for match_id in over:
            self.groups.pop(self.helpers.pop(match_id).group, None)

    def note_near_misses(self, need: Need, now: int) -> None:
        """Who would be taken for this child, were the rules a little less strict."""
        start = max(now, need.start)
        able: set[str] = set()
        near: set[str] = set()
        for gift in self.gifts.values():
            if need.skills - gift.skills or rules.rung(need.place, gift.home) > gift.reach:
                continue
            if not any(opens <= start and start + need.length <= closes for opens, closes in gift.windows):
                continue
            age = start - gift.checked
            if gift.level == 3 and 0 <= age <= YEAR_US:
                near.add("level 3")
            elif gift.level == 4 and YEAR_US < age <= YEAR_US + DAY_US:
                near.add("check 366 days old")
            elif gift.level == 4 and age < 0:
                near.add("check after the slot's start")
            elif gift.level == 4 and age <= YEAR_US:
                able.add(gift.person)
                if age + need.end - need.length - start > YEAR_US:
                    near.add("check runs out within the window")
        if len(able) == 1:
            near.add("one helper only")
        self.counts.update(f"near: {one}" for one in near)


class Crowd:
    """One area: its helpers, and as many wishes as it is given."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        policy = replace(policy_of(rng), proof_needed=frozenset(rng.choice(((), (), ("escort",)))))
        self.area = Area("high-tech", policy)
        self.watch = Watch()
        self.now = NOON
        self.numbers = 0
        # How many pass every check, and how old checks are: areas differ, so that two helpers are at hand often, seldom, just so.
        self.levels = rng.choice(((4, 4, 4, 3), (4, 4, 3, 2), (4, 3, 3, 0)))
        self.edge = rng.choice((0.2, 0.5, 0.9))
        self.pace = rng.choice((8, 16, 30))
        self.offer_ids = [f"o{number}" for number in range(rng.choice((6, 12, VOLUNTEERS * 2)))]

    def play(self, wishes: int) -> Watch:
        """That many wishes, with all that befalls them.

        Raises:
            Broken: a child would be alone, or with somebody who must not come.
        """
        for offer_id in self.offer_ids:
            self._post(offer_id)
        for number in range(wishes):
            self.now += self.rng.randrange(0, 2 * self.pace) * MINUTE_US
            self._wish(f"w{number}")
            if not self.rng.randrange(2):
                self._post(self.rng.choice(self.offer_ids))
            if not self.rng.randrange(8) and self.watch.helpers:
                self._post(self.rng.choice(list(self.watch.helpers.values())).offer_id)
            if not self.rng.randrange(2):
                self._something_happens(number)
            if not number % 50:
                self.watch.forget(self.now)
        for _ in range(3):
            self.now += 2 * DAY_US
            self._time_passes()
        return self.watch

    def _takes(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        """The area takes an event in, as the matcher does, and forgets what it may."""
        self.numbers += 1
        kind, raw = f"lastmetre.{kind}", orjson.dumps({**data, "area": "high-tech"})
        event = Event(f"e{self.numbers}", "tests", kind, self.now, rfc3339(self.now), subject, "high-tech", MODEL_OF[kind].model_validate_json(raw), raw, {})
        self._time_passes()
        if kind == "lastmetre.wish.submitted.v1":
            need = self.watch.needs[subject] = rules.need_of(event.data, self.now, self.area.policy.proof_needed)
            self.watch.note_near_misses(need, self.now)
            if not self.rng.randrange(UNTRIED):
                self._leaves_untried(event)
                return
        elif kind == "lastmetre.offer.posted.v1":
            self.watch.gifts[subject] = rules.gift_of(event.data)
        _, decisions = decide(self.area, event, self.now)
        self.watch.counts[f"event {kind.removeprefix('lastmetre.').removesuffix('.v1')}"] += 1
        if decisions:
            self.watch.hear(self.now, decisions, kind)
        if kind == "lastmetre.offer.posted.v1":
            self.watch.now = self.now
            self.watch.posted_again(self.watch.gifts[subject])
        self.area.forget_touched()

    def _leaves_untried(self, event: Event) -> None:
        """The wish waits, and a few volunteers claim it: where wishes are tried as they come, a claim hardly ever comes in time."""
        self.watch.counts["event wish.submitted, left untried"] += 1
        wish = Wish(event.data, self.now, self.area.policy.proof_needed)
        self.area.add_wish(wish)
        self.area.watch_wish(wish)
        self.area.settle_wish(wish)
        for offer_id in self.rng.sample(self.offer_ids, 5):
            self._claim(wish.id, offer_id)

    def _claim(self, wish_id: str, offer_id: str) -> None:
        self._takes("wish.claimed.v1", wish_id, {"claim_id": f"k{self.numbers}", "wish_id": wish_id, "offer_id": offer_id})

    def _time_passes(self) -> None:
        _, decisions = pass_time(self.area, self.now)
        if decisions:
            self.watch.hear(self.now, decisions)

    def _window(self, start: int, length: int) -> dict[str, str]:
        return {"start": rfc3339(start), "end": rfc3339(start + length)}

    def _wish(self, wish_id: str) -> None:
        rng = self.rng
        minutes = rng.choice((15, 30, 30, 60))
        who = rng.randrange(4)
        data = {
            "wish_id": wish_id,
            "place": place(rng.choice(HOMES)),
            "category": "left_behind_children" if who == 2 else "study",
            "skills": [rng.choice(SKILLS)],
            "urgency": rng.choice(("red", "yellow", "blue")),
            "window": self._window(self.now + rng.choice((0, 0, 15, 60)) * MINUTE_US, (minutes + rng.choice((0, 0, 15, 15, 30, 60, 240))) * MINUTE_US),
            "minutes": minutes,
            "helpers_needed": rng.choice((1, 1, 2, 2, 3)),
            "beneficiary": {"age_band": ("under_14", "under_18", "elder", "under_14")[who]},
            "vetting_min": rng.choice((0, 0, 1, 3)),
            "approval": rng.choice(("none", "none", "none", "worker")),
            "title": "作业辅导",
            "resident_ref": f"resident-{wish_id}",
        }
        self._takes("wish.submitted.v1", wish_id, data)

    def _post(self, offer_id: str) -> None:
        rng = self.rng
        # The last check: far from any edge, or about a year before now, or only just to come.
        minutes = rng.randrange(-24 * 60, 24 * 60) // rng.choice((1, 8))
        checked = self.now - YEAR_US + minutes * MINUTE_US if rng.random() < self.edge else self.now - rng.choice((1, 30, 300)) * DAY_US
        if not rng.randrange(12):
            checked = self.now + rng.randrange(1, 12 * 60) * MINUTE_US
        data = {
            "offer_id": offer_id,
            "volunteer_ref": f"p{int(offer_id[1:]) % VOLUNTEERS}",
            "home": place(rng.choice(HOMES)),
            "reach": rng.choice(("compound", "community", "area", "area", "area")),
            "skills": SKILLS if rng.randrange(3) else [rng.choice(SKILLS)],
            "vetting": {"level": rng.choice(self.levels), "checked_at": rfc3339(checked)},
            "windows": [self._window(self.now + rng.choice((0, 0, 60)) * MINUTE_US, rng.choice((2, 8, 16)) * 60 * MINUTE_US)],
            "capacity": rng.choice((1, 2, 5, 20)),
            "accepts": rng.choice(("auto", "auto", "auto", "ask")),
        }
        if rng.randrange(4):
            lasts = self.now + rng.choice((rng.randrange(0, 12 * 60) * MINUTE_US, 90 * DAY_US))
            data["proofs"] = [{"skill": "escort", "valid_until": rfc3339(lasts)}]
        self._takes("offer.posted.v1", offer_id, data)

    def _something_happens(self, latest: int) -> None:
        rng = self.rng
        chance = rng.randrange(20)
        if chance < 6:
            self._claim(f"w{max(0, latest - rng.randrange(8))}", rng.choice(self.offer_ids))
        elif chance == 6:
            offer_id = rng.choice(self.offer_ids)
            self.watch.gifts.pop(offer_id, None)  # so that it is a fault to propose it before it is posted again
            self._takes(rng.choice(("offer.suspended.v1", "offer.withdrawn.v1")), offer_id, {"offer_id": offer_id})
        elif self.watch.helpers:
            helper = rng.choice(list(self.watch.helpers.values())[-12:])
            about: dict[str, Any] = {"wish_id": helper.wish_id, "offer_id": helper.offer_id}
            if chance < 10:
                self._takes("match.accepted.v1", helper.wish_id, about)
            elif chance < 12:
                self._takes("match.declined.v1", helper.wish_id, about)
            elif chance < 18:
                self._takes("match.approved.v1", helper.wish_id, {**about, "worker_ref": "worker-1", "approved": bool(rng.randrange(4))})
            else:
                kind = rng.choice(("consent.withdrawn.v1", "wish.withdrawn.v1"))
                self._takes(kind, helper.wish_id, {"wish_id": helper.wish_id})


@dataclass
class Toll:
    """What many areas came to; `violations`: what was broken, by seed."""

    wishes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: dict[int, str] = field(default_factory=dict)


def crowd(seed: int, wishes: int) -> Toll:
    """One area, from its seed."""
    gc.disable()  # what was evicted is named by nobody; a look for cycles now and then would only take time
    one = Crowd(seed)
    toll = Toll(wishes)
    try:
        one.play(wishes)
    except Broken as broken:
        toll.violations[seed] = f"{broken} at {rfc3339(one.now)}, event e{one.numbers}"
    toll.counts = one.watch.counts
    gc.enable()
    gc.collect()
    return toll


def _tolls(jobs: list[tuple[int, int]], processes: int) -> Iterable[Toll]:
    seeds, wishes = zip(*jobs, strict=True)
    if processes == 1:
        yield from map(crowd, seeds, wishes)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(crowd, seeds, wishes, chunksize=4)


def main(arguments: list[str] | None = None) -> int:
    """As many wishes as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.children", description="Wishes for children; no helper alone, none without every check.")
    parser.add_argument("--wishes", type=int, default=1_000_000, help="how many wishes (default 1000000)")
    parser.add_argument("--first", type=int, default=0, help="the first area's seed (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="how many processes (default 2)")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    jobs = [(given.first + number, min(AREA_WISHES, given.wishes - at)) for number, at in enumerate(range(0, given.wishes, AREA_WISHES))]
    total = Toll()
    for toll in _tolls(jobs, given.processes):
        total.wishes += toll.wishes
        total.counts.update(toll.counts)
        total.violations |= toll.violations
    seconds = time.perf_counter() - began
    print(f"{total.wishes:,} wishes for children in {seconds:.1f} s: {total.wishes / seconds:.0f} wishes/s")
    for name, number in sorted(total.counts.items()):
        print(f"  {name}: {number:,}")
    for seed, text in sorted(total.violations.items())[:20]:
        print(f"  seed {seed}: {text}")
    print(f"{len(total.violations)} violations")
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
