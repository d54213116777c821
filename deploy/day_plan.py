"""What the sample day publishes and when: the same seed and instant give the same plan. Pure.

Everything is dated from `now`; ids carry the run's number, so that each run is a day of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Final

from deploy.hightech import AREA, COMPOUNDS, ERHU, KNIFE, NEEDS, ON_THE_WALL, PIANO, PROFILES, SIGNING, SKATING, Compound, Need, Profile
from schemas.registry import TOPIC_OF

SOURCE: Final = "sample-day"
_PARTS: Final = {"morning": (time(8, 30), time(12)), "afternoon": (time(13, 30), time(18)), "evening": (time(18, 30), time(21, 30))}
_DAYS_AHEAD: Final = 9
_ALWAYS_DAYS: Final = 30
_DAY_STARTS, _DAY_ENDS = time(9), time(21)
_TOO_LATE_TODAY: Final = time(16)
_QUARTER: Final = 15
# When in the day what is told, as parts of its length.
_OFFERS_UNTIL, _WISHES_FROM, _WISHES_UNTIL, _WALL_FROM = 0.25, 0.12, 0.9, 0.95


@dataclass(frozen=True, slots=True)
class Sending:
    """One event to be published, `at` that part (0..1) of the day; its `time` is the moment when it goes out."""

    at: float
    type: str
    id: str
    subject: str
    data: dict[str, Any]

    @property
    def topic(self) -> str:
        """Where it goes."""
        return TOPIC_OF[self.type]

    def event(self, now: datetime) -> dict[str, Any]:
        """The structured CloudEvent."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": self.type,
            "time": now.isoformat(timespec="milliseconds"),
            "subject": self.subject,
            "partitionkey": AREA,
            "data": self.data,
        }


@dataclass(slots=True)
class Plan:
    """A day: what is sent, in order; the wishes by id; and how many wishes, offers, bad lines and repeats there are among it.

    `left`: wishes for which whoever is asked does not answer, so that a member finds them on the wall.
    """

    run: int
    sendings: list[Sending] = field(default_factory=list)
    wishes: dict[str, Need] = field(default_factory=dict)
    offers: int = 0
    bad: int = 0
    repeats: int = 0
    left: set[str] = field(default_factory=set)


def member_of(offers: list[dict[str, Any]]) -> dict[str, Any]:
    """The offer of the member whose account is for trying it out: one who is asked, and goes anywhere."""
    return next((offer for offer in offers if offer["accepts"] == "ask" and offer["reach"] == "area"), offers[0])


def plan_day(run: int, now: datetime, seed: int) -> Plan:
    """The plan of run number `run`, from `now` (aware, in local time) on."""
    maker = _Maker(run, now, random.Random(seed))  # noqa: S311 - a sample, nothing secret
    maker.offers()
    maker.wishes()
    maker.incidents()
    maker.on_the_wall()
    maker.plan.sendings.sort(key=lambda sending: sending.at)  # stable
    return maker.plan


class _Maker:
    def __init__(self, run: int, now: datetime, chance: random.Random) -> None:
        self.plan = Plan(run)
        self._now = now
        self._chance = chance
        self._offers_of: dict[tuple[str, ...], list[str]] = {}
        self._wish_ids: dict[str, str] = {}
        self._wish_sendings: dict[str, Sending] = {}

    def _send(self, at: float, kind: str, subject: str, data: dict[str, Any], event_id: str | None = None) -> Sending:
        number = len(self.plan.sendings) + 1
        sending = Sending(at, f"lastmetre.{kind}.v1", event_id or f"day-{self.plan.run}-{number:03}", subject, {"area": AREA, **data})
        self.plan.sendings.append(sending)
        return sending

    # ---- volunteers

    def offers(self) -> None:
        """The volunteers sign in; some come late."""
        profiles = [profile for profile in PROFILES for _ in range(profile.count)]
        early = [profile for profile in profiles if not profile.late]
        self._chance.shuffle(early)
        for number, profile in enumerate(early, 1):
            self._offer(number, profile, _OFFERS_UNTIL * number / len(early))
        late = [profile for profile in profiles if profile.late]
        for number, profile in enumerate(late, len(early) + 1):
            self._offer(number, profile, 0.75 + 0.05 * (number - len(early)))

    def _offer(self, number: int, profile: Profile, at: float) -> None:
        chance = self._chance
        compound = self._compound(profile.at)
        place = self._place(compound, whole=True)
        branch = f"{compound.name}党支部 · {profile.post}"
        if profile.post == "中心户":
            branch = f"{compound.name}党支部 · {place['building'].removeprefix('b')}栋{place['unit'].removeprefix('u')}单元中心户"
        checked = self._now - timedelta(days=chance.randint(10, 200))
        offer_id = f"offer-{self.plan.run}-{number:02}"
        data = {
            "offer_id": offer_id,
            "volunteer_ref": f"vol-{self.plan.run}-{number:02}",
            "home": place,
            "reach": chance.choice(profile.reach),
            "skills": list(profile.skills),
            "vetting": {"level": profile.level, "checked_at": _text(checked)},
            "windows": self._windows(profile.times),
            "capacity": chance.choice(profile.capacity),
            "accepts": "ask" if chance.random() < profile.ask else "auto",
            "languages": list(profile.languages),
            "organisation": branch,
        }
        self._offers_of.setdefault(profile.skills, []).append(offer_id)
        self.plan.offers += 1
        self._send(at, "offer.posted", offer_id, data)

    def _windows(self, parts: tuple[str, ...]) -> list[dict[str, str]]:
        if parts == ("always",):
            return [_window(self._now - timedelta(hours=1), self._now + timedelta(days=_ALWAYS_DAYS))]
        windows = []
        for day in range(_DAYS_AHEAD):
            for part in parts:
                start, end = (self._on(day, moment) for moment in _PARTS[part])
                if end > self._now:
                    windows.append(_window(start, end))
        return windows

    # ---- wishes

    def wishes(self) -> None:
        """The wishes of the day, and those that wait."""
        for number, need in enumerate(NEEDS, 1):
            self._wish(number, need, _WISHES_FROM + (_WISHES_UNTIL - _WISHES_FROM) * number / len(NEEDS))
        waiting = {0.26: PIANO, 0.28: SIGNING, 0.32: ERHU, 0.36: KNIFE, 0.4: SKATING}
        for number, (at, need) in enumerate(waiting.items(), len(NEEDS) + 1):
            self._wish(number, need, at)

    def _wish(self, number: int, need: Need, at: float) -> None:
        wish_id = f"wish-{self.plan.run}-{number:02}"
        start, end = self._wanted(need)
        beneficiary: dict[str, Any] = {"age_band": need.band}
        if need.alone:
            beneficiary["lives_alone"] = True
        data: dict[str, Any] = {
            "wish_id": wish_id,
            "place": self._place(self._compound(need.at), whole=self._chance.random() < 0.8),
            "category": need.category,
            "skills": list(need.skills),
            "urgency": need.urgency,
            "window": _window(start, end),
            "minutes": need.minutes,
            "helpers_needed": need.helpers,
            "beneficiary": beneficiary,
            "vetting_min": need.vetting,
            "approval": "worker" if need.worker else "none",
            "accompanied": need.accompanied,
            "title": need.zh,
            "resident_ref": f"res-{self.plan.run}-{number:02}",
        }
        if need.languages:
            data["languages"] = list(need.languages)
        self.plan.wishes[wish_id] = need
        self._wish_ids[need.zh] = wish_id
        self._wish_sendings[wish_id] = self._send(at, "wish.submitted", wish_id, data)

    def _wanted(self, need: Need) -> tuple[datetime, datetime]:
        """When the help is wanted: at once, in the daytime that is near, or within two of the next days."""
        if need.urgency == "red":
            return self._now, self._now + timedelta(hours=4)
        if need.urgency == "yellow":
            if self._now.time() >= _TOO_LATE_TODAY:
                return self._on(1, _DAY_STARTS), self._on(1, _DAY_ENDS)
            soon = self._now + timedelta(minutes=30 + _QUARTER - self._now.minute % _QUARTER)
            return max(soon.replace(second=0, microsecond=0), self._on(0, _DAY_STARTS)), self._on(0, _DAY_ENDS)
        first = self._chance.randint(1, 5)
        return self._on(first, _DAY_STARTS), self._on(first + 1, _DAY_ENDS)

    def _on(self, day: int, moment: time) -> datetime:
        return datetime.combine(self._now.date() + timedelta(days=day), moment, self._now.tzinfo)

    def _compound(self, named: str) -> Compound:
        return next(one for one in COMPOUNDS if one.compound == named) if named else self._chance.choice(COMPOUNDS)

    def _place(self, compound: Compound, *, whole: bool) -> dict[str, str]:
        place = {"community": compound.community, "compound": compound.compound}
        building, unit = self._chance.randint(1, compound.buildings), self._chance.randint(1, compound.units)
        return {**place, "building": f"b{building}", "unit": f"u{unit}"} if whole else place

    # ---- what else happens

    def incidents(self) -> None:
        """Claims that cannot be granted, withdrawals, a repeat, and a line that is not valid."""
        self._claim(0.45, PIANO, ("law_advice", "paperwork"))
        self._claim(0.5, SIGNING, ("phone_help", "computer", "paperwork", "photo"))
        self._claim(0.55, KNIFE, ("knife_grinding",))
        self._claim(0.6, SKATING, ("skating", "sport"))
        self._claim(0.65, ERHU, ("erhu", "music"))
        # Urgent ones, which have their helper by then whatever the rounds do: so a day always shows helpers who are called off.
        for at, title, reason in ((0.7, "厨房水管漏水", "物业已经修好"), (0.8, "老人头晕，请人先来看看", "家人已经赶到")):
            wish_id = self._wish_ids[title]
            self._send(at, "wish.withdrawn", wish_id, {"wish_id": wish_id, "reason": reason})
        leaving = self._offers_of["sewing", "bike_repair", "haircut"][-1]
        self._send(0.85, "offer.withdrawn", leaving, {"offer_id": leaving, "reason": "近期外出"})
        again = self._wish_sendings[self._wish_ids["把旧冰箱抬下楼"]]
        self._send(0.62, "wish.submitted", again.subject, {key: value for key, value in again.data.items() if key != "area"}, again.id)
        self.plan.repeats += 1
        first = self._wish_sendings[self._wish_ids["帮老人擦玻璃"]].data
        window = {"start": first["window"]["end"], "end": first["window"]["start"]}
        bad = {**first, "wish_id": f"wish-{self.plan.run}-bad", "window": window, "title": "时间填反了的心愿"}
        del bad["area"]
        self._send(0.68, "wish.submitted", bad["wish_id"], bad)
        self.plan.bad += 1

    def on_the_wall(self) -> None:
        """The member has room for more, and alone can do what is wished for last: nobody is sent, and they are asked with a time to answer."""
        member = member_of([sending.data for sending in self.plan.sendings if sending.type == "lastmetre.offer.posted.v1"])
        skills = sorted({skill for need in ON_THE_WALL for skill in need.skills})
        own = {name: value for name, value in member.items() if name != "area"}
        offer_id = f"{member['offer_id']}-more"
        more = {"offer_id": offer_id, "skills": skills, "accepts": "ask", "reach": "area", "capacity": 2 * len(ON_THE_WALL)}
        self.plan.offers += 1
        self._send(_WALL_FROM, "offer.posted", offer_id, own | more | {"windows": self._windows(("always",))})
        for number, need in enumerate(ON_THE_WALL, len(self.plan.wishes) + 1):
            self._wish(number, need, _WALL_FROM + 0.02)
            self.plan.left.add(f"wish-{self.plan.run}-{number:02}")

    def _claim(self, at: float, need: Need, skills: tuple[str, ...]) -> None:
        wish_id, offer_id = self._wish_ids[need.zh], self._offers_of[skills][0]
        claim_id = f"claim-{self.plan.run}-{wish_id.rpartition('-')[2]}"
        self._send(at, "wish.claimed", wish_id, {"claim_id": claim_id, "wish_id": wish_id, "offer_id": offer_id})


def _window(start: datetime, end: datetime) -> dict[str, str]:
    return {"start": _text(start), "end": _text(end)}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
