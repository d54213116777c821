"""The events that everyone is measured with: seeded, valid by the contract, with the shape of a real zone.

An area has 4 communities, 12 compounds, 144 buildings and 576 units. Some 40 skills are as unevenly spread among volunteers as among wishes. Every volunteer is
told, not asked (`auto`), takes up to 20 visits and is free for twelve hours on a few days of the week that follows; most wishes want one helper with one skill,
some want two skills or a vetted helper. Helpers are many enough that whoever does the matching can meet every wish, so that all do equal work.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any, Final

import orjson

from schemas import codec
from schemas.lanes import partition_of
from schemas.topics import OFFERS, PARTITIONS, WISHES

SOURCE: Final = "lastmetre/benchmarks"
WISH_TYPE: Final = "lastmetre.wish.submitted.v1"
OFFER_TYPE: Final = "lastmetre.offer.posted.v1"
SKILLS: Final = (
    "walk", "talk", "shopping", "cooking", "cleaning", "laundry", "lifting", "escort",
    "meal_delivery", "medicine_pickup", "blood_pressure", "haircut", "phone_help", "form_filling", "reading", "tutoring_math",
    "tutoring_chinese", "tutoring_english", "homework", "play", "music", "calligraphy", "chess", "dancing",
    "tai_chi", "gardening", "pet_care", "plumbing", "electrics", "lamp_change", "lock_repair", "appliance_repair",
    "furniture", "moving", "computer_help", "translation", "sign_language", "wheelchair", "rehabilitation", "counselling",
)  # fmt: skip
# How much more often the first skill is met than the last: weight 1 / (rank + this).
_SKEW: Final = 4
_TOGETHER: Final = 8  # of the commonest skills, two may be wished at once
_TWO_SKILLS: Final = 0.12
_VETTED: Final = 0.15
_CATEGORIES: Final = ("elder_care", "disability_help", "household", "repair", "health", "culture", "other")
_TITLES: Final = ("想请人陪着走一走", "家里的灯坏了，想请人看看", "想请人帮忙买菜", "想请人教用手机", "想请人陪着聊聊天", "想请人帮忙打扫", "想请人陪去医院")
_REACHES: Final = (("building", 5), ("compound", 15), ("community", 30), ("area", 50))
# Teams of an organisation, who can many things and come to the whole area: they see to it that rare wishes find somebody too.
_TEAMS: Final = 0.06
_TEAM_SKILLS: Final = 10
_ZONE: Final = timezone(timedelta(hours=8))
_DAYS: Final = 7
_OPENS, _CLOSES = 8, 20


@dataclass(frozen=True, slots=True)
class Record:
    """One event, ready for Kafka: `data` is what `value` holds as JSON."""

    topic: str
    id: str
    area: str
    data: dict[str, Any]
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def partition(self) -> int:
        """Where Kafka's default partitioner puts it."""
        return partition_of(self.area)


def areas(number: int) -> tuple[str, ...]:
    """Area ids that cover the partitions evenly: each partition comes up once before any comes up again."""
    found: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    rounds = -(-number // PARTITIONS)
    for suffix in count(1):
        name = f"zone-{suffix}"
        lane = found[partition_of(name)]
        if len(lane) < rounds:
            lane.append(name)
            if all(len(names) == rounds for names in found.values()):
                break
    return tuple(found[index % PARTITIONS][index // PARTITIONS] for index in range(number))


class Load:
    """One seeded stream of offers and of wishes over some areas. The same arguments give the same events, byte for byte."""

    def __init__(self, seed: int, area_names: tuple[str, ...], now: datetime, *, run: str = "a") -> None:
        """Args: `now` is the instant that all dates are relative to; `run` goes into the ids, so that streams can follow one another on the same topics."""
        self._areas = area_names
        self._run = run
        self._seed = seed
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._weights = [1 / (rank + _SKEW) for rank in range(len(SKILLS))]
        midnight = now.astimezone(_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        self._days = [midnight + timedelta(days=day) for day in range(1, _DAYS + 1)]

    def offers(self, number: int) -> Iterator[Record]:
        """That many offers, in turn over the areas."""
        rng = random.Random(f"{self._seed}/offers")
        make = self._maker(OFFERS, OFFER_TYPE)
        for index in range(number):
            area = self._areas[index % len(self._areas)]
            offer_id = f"offer-{self._run}-{index:06d}"
            yield make(offer_id, area, self._offer(rng, offer_id, area, index))

    def wishes(self, number: int) -> Iterator[Record]:
        """That many wishes, in turn over the areas."""
        rng = random.Random(f"{self._seed}/wishes")
        make = self._maker(WISHES, WISH_TYPE)
        for index in range(number):
            area = self._areas[index % len(self._areas)]
            wish_id = f"wish-{self._run}-{index:06d}"
            yield make(wish_id, area, self._wish(rng, wish_id, area, index))

    def _offer(self, rng: random.Random, offer_id: str, area: str, index: int) -> dict[str, Any]:
        place = _place(rng)
        del place["unit"]
        team = rng.random() < _TEAMS
        days = self._days if team else sorted(rng.sample(self._days, rng.choice((2, 3, 3, 4))))
        skills = rng.sample(SKILLS, _TEAM_SKILLS) if team else self._several_skills(rng, rng.choice((1, 2, 2, 3, 3, 4)))
        level = 3 if team else rng.choice((0, 1, 2, 2, 3))
        return {
            "offer_id": offer_id,
            "volunteer_ref": f"volunteer-{self._run}-{index:06d}",
            "area": area,
            "home": place,
            "reach": "area" if team else rng.choices([name for name, _ in _REACHES], [share for _, share in _REACHES])[0],
            "skills": skills,
            "vetting": {"level": level, "checked_at": _text(self._now - timedelta(days=rng.randrange(1, 300)))},
            "windows": [{"start": _at(day, _OPENS), "end": _at(day, _CLOSES)} for day in days],
            "capacity": rng.randrange(16, 21),
            "accepts": "auto",
        }

    def _wish(self, rng: random.Random, wish_id: str, area: str, index: int) -> dict[str, Any]:
        skills = rng.sample(SKILLS[:_TOGETHER], 2) if rng.random() < _TWO_SKILLS else rng.choices(SKILLS, self._weights)
        urgency = rng.choices(("red", "yellow", "blue"), (1, 3, 6))[0]
        first, days = {"red": (0, 3), "yellow": (rng.randrange(3), 3), "blue": (rng.randrange(3), 5)}[urgency]
        data: dict[str, Any] = {
            "wish_id": wish_id,
            "area": area,
            "place": _place(rng),
            "category": rng.choice(_CATEGORIES),
            "skills": skills,
            "urgency": urgency,
            "window": {"start": _at(self._days[first], _OPENS), "end": _at(self._days[min(first + days, _DAYS) - 1], _CLOSES)},
            "minutes": rng.choice((30, 30, 45, 60)),
            "beneficiary": {"age_band": rng.choice(("elder", "elder", "adult"))},
            "title": rng.choice(_TITLES),
            "resident_ref": f"resident-{self._run}-{index:06d}",
        }
        if rng.random() < _VETTED:
            if rng.random() < 0.5:
                data["beneficiary"]["lives_alone"] = True
            else:
                data["vetting_min"] = rng.choice((1, 2))
        return data

    def _several_skills(self, rng: random.Random, number: int) -> list[str]:
        skills: dict[str, None] = {}
        while len(skills) < number:
            skills[rng.choices(SKILLS, self._weights)[0]] = None
        return list(skills)

    def _maker(self, topic: str, kind: str) -> Callable[[str, str, dict[str, Any]], Record]:
        time_text = _text(self._now)

        def make(subject: str, area: str, data: dict[str, Any]) -> Record:
            headers = codec.headers_of(kind, f"event-{subject}", SOURCE, time_text, subject, area)
            return Record(topic, subject, area, data, orjson.dumps(data), headers)

        return make


def _place(rng: random.Random) -> dict[str, str]:
    community = rng.randrange(4)
    return {
        "community": f"community-{community + 1}",
        "compound": f"compound-{community * 3 + rng.randrange(3) + 1}",
        "building": f"building-{rng.randrange(12) + 1}",
        "unit": f"unit-{rng.randrange(4) + 1}",
    }


def _at(day: datetime, hour: int) -> str:
    return day.replace(hour=hour).isoformat()


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
