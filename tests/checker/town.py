"""A made-up town for the generator: areas, places, people, wishes and offers, all from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from tests.checker.wire import PREFIX, JsonObject

AREAS = ("guixi", "zhonghe", "shiyang", "hezuo", "fangcao", "xiaojiahe", "high-tech-7")
CATEGORIES = ("elder_care", "disability_help", "left_behind_children", "household", "repair", "study", "health", "culture", "other")
SKILLS = ("shopping", "cooking", "cleaning", "first_aid", "reading", "maths", "plumbing", "electric", "walking", "chess", "phone_help", "haircut")
LANGUAGES = ("zh", "zh-sichuan", "en", "sign", "yi", "bo")
TITLES = (
    "陪老人去医院复查",
    "帮忙换灯泡",
    "给孩子辅导数学",
    "买菜送菜上门",
    "陪聊天、读报",
    "修水龙头",
    "教用智能手机",
    "打扫厨房",
    "Help with a wheelchair",
    "陪伴放学",
)
NOTES = ("老人耳背，请大声一点。", "请带工具。", "孩子怕狗。", "下午在家。", "Please ring twice.", "")
TEAMS = ("第一党支部", "社区志愿队", "高新青年突击队", "Neighbours' team")
OFFSETS = (UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=8)), timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=30)))
BASE = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)


@dataclass(eq=False)
class Draft:
    """One line to be: where in time it stands and what is expected of it."""

    minute: int
    event: JsonObject | None
    kind: str
    raw: bytes | None = None
    expect: str = "valid"
    reason: str | None = None
    original: Draft | None = None
    mended: bool = False


class Town:
    """Makes data and events; every choice and every id comes from the seed."""

    def __init__(self, seed: int, accepts: str) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.accepts = accepts
        self._count = 0

    def name(self, prefix: str) -> str:
        """A new id."""
        self._count += 1
        return f"{prefix}-{self.seed}-{self._count}"

    def skill(self) -> str:
        """A skill that nobody else has, so that a scene has no strangers in it."""
        self._count += 1
        return f"rare_{self._count}"

    def stamp(self, at: datetime) -> str:
        """The instant as a text with some offset, in one of the writings of RFC 3339."""
        text = at.astimezone(self.rng.choice(OFFSETS)).isoformat()
        text = text.replace("+00:00", "Z") if self.rng.random() < 0.7 else text
        return self.rng.choice((text, text, text, text, text, text, text, text, text.lower(), text.replace("T", " ")))

    def at(self, minute: int) -> datetime:
        """Some instant inside the minute."""
        micros = self.rng.choice((0, 0, self.rng.randrange(1_000_000)))
        return BASE + timedelta(minutes=minute, seconds=self.rng.randrange(60), microseconds=micros)

    def window(self, minute: int, start: float, hours: float) -> JsonObject:
        """From `start` hours after the minute, `hours` long."""
        begin = BASE + timedelta(minutes=minute) + timedelta(hours=start)
        return {"start": self.stamp(begin), "end": self.stamp(begin + timedelta(hours=hours))}

    def place(self, depth: int | None = None) -> JsonObject:
        """A place of up to four steps."""
        rng = self.rng
        ids = (f"c{rng.randint(1, 4)}", f"garden-{rng.randint(1, 3)}", f"b{rng.randint(1, 5)}", f"u{rng.randint(1, 3)}")
        steps = ("community", "compound", "building", "unit")[: depth or rng.choice((1, 2, 3, 4, 4, 4))]
        return dict(zip(steps, ids, strict=False))

    def wish(self, area: str, minute: int, **given: Any) -> JsonObject:
        """A valid wish; `given` fields replace the plain ones."""
        data: JsonObject = {
            "wish_id": self.name("wish"),
            "area": area,
            "place": self.place(),
            "category": "household",
            "skills": [self.rng.choice(SKILLS)],
            "urgency": self.rng.choice(("red", "yellow", "blue")),
            "window": self.window(minute, 1, 8),
            "beneficiary": {"age_band": "adult"},
            "title": self.rng.choice(TITLES),
            "resident_ref": self.name("res"),
        }
        return data | given

    def offer(self, area: str, minute: int, **given: Any) -> JsonObject:
        """A valid offer that is told, not asked, and goes anywhere in the area."""
        data: JsonObject = {
            "offer_id": self.name("offer"),
            "volunteer_ref": self.name("vol"),
            "area": area,
            "home": self.place(),
            "reach": "area",
            "skills": self.rng.sample(SKILLS, self.rng.randint(1, 5)),
            "vetting": self.vetting(minute, 2, 30),
            "windows": [self.window(minute, 0, 24)],
            "capacity": 3,
            "accepts": "auto",
        }
        return data | given

    def vetting(self, minute: int, level: int, days: float) -> JsonObject:
        """A vetting `days` before the minute."""
        return {"level": level, "checked_at": self.stamp(BASE + timedelta(minutes=minute) - timedelta(days=days))}

    def event(self, kind: str, data: JsonObject, minute: int) -> Draft:
        """The event as a draft of a valid line."""
        subject = data.get("match_id") or data.get("wish_id") or data.get("offer_id")
        event: JsonObject = {
            "specversion": "1.0",
            "id": self.name("ev"),
            "source": f"/integrations/{self.rng.choice(('grid', 'app', 'hotline'))}",
            "type": f"{PREFIX}{kind}.v1",
            "time": self.stamp(self.at(minute)),
            "subject": subject,
            "partitionkey": data["area"],
            "datacontenttype": "application/json",
            "data": data,
        }
        return Draft(minute, event, kind)

    def any_wish(self, minute: int) -> JsonObject:
        """A wish as they come, of every kind."""
        rng = self.rng
        long_away = rng.choice((-3.0, 0.0, 0.5, 1.0, 2.0, 5.0, 20.0))
        minutes = rng.choice((15, 30, 45, 60, 60, 90, 120, 240, 480))
        hours = minutes / 60 + rng.choice((0.0, 0.25, 1.0, 4.0, 12.0, 40.0))
        data = self.wish(rng.choice(AREAS), minute, category=rng.choice(CATEGORIES), window=self.window(minute, long_away, hours), minutes=minutes)
        data["skills"] = rng.sample(SKILLS, rng.choice((1, 1, 1, 2, 2, 3)))
        data["beneficiary"] = {"age_band": rng.choices(("elder", "adult", "under_18", "under_14"), (6, 4, 1, 1))[0]}
        extras: dict[str, Any] = {
            "helpers_needed": rng.randint(1, 4),
            "vetting_min": rng.randint(0, 3),
            "languages": rng.sample(LANGUAGES, rng.randint(1, 2)),
            "note": rng.choice(NOTES),
            "accompanied": rng.random() < 0.5,
            "approval": rng.choice(("none", "none", "none", "worker")),
            "colour": rng.choice(("a field that nobody knows", 7, {"deep": [1, None]})),
        }
        data |= {name: value for name, value in extras.items() if rng.random() < 0.25}
        if rng.random() < 0.3:
            data["beneficiary"]["lives_alone"] = rng.random() < 0.6
        if minutes == 60 and rng.random() < 0.5:
            del data["minutes"]
        if rng.random() < 0.01:
            data["window"] = self.window(minute, 24 * 300, 24 * 60)
        return data

    def any_offer(self, minute: int) -> JsonObject:
        """An offer as they come, of every kind."""
        rng = self.rng
        windows = [self.window(minute, rng.choice((-5, 0, 0, 1, 4, 10)), rng.choice((0.5, 2, 6, 12, 30))) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
        data = self.offer(
            rng.choice(AREAS),
            minute,
            reach=rng.choice(("unit", "building", "compound", "community", "area", "area")),
            windows=windows,
            capacity=rng.randint(1, 5),
            vetting=self.vetting(minute, rng.choice((0, 1, 2, 2, 3, 4, 4, 4)), rng.choice((1, 100, 300, 364.9, 400, 700))),
        )
        data["skills"] = rng.sample(SKILLS, rng.randint(1, 8))
        if self.accepts == "mixed" and rng.random() < 0.25:
            data["accepts"] = "ask"
        extras: dict[str, Any] = {
            "languages": rng.sample(LANGUAGES, rng.randint(1, 3)),
            "organisation": rng.choice(TEAMS),
            "nickname_colour": "blue",
        }
        data |= {name: value for name, value in extras.items() if rng.random() < 0.5}
        if rng.random() < 0.2:
            data["rest_minutes"] = rng.choice((0, 15, 60, 240, 1440))
        if rng.random() < 0.2:
            data["per_week_max"] = rng.choice((1, 2, 3, 5))
        return data
