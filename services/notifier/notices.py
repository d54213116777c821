"""What people read: one notice in Chinese or English. Pure.

A text says what kind of help, when (local time) and how near; never who, never at which door. Whoever may know a name finds it
in the vault.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal

Kind = Literal["confirmed", "released", "expired"]
Party = Literal["resident", "volunteer"]
Language = Literal["zh-CN", "en"]

# China has had one time zone and no summer time since 1992: no time-zone data is needed.
_LOCAL: Final = timezone(timedelta(hours=8), "Asia/Shanghai")

_CATEGORIES: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {
        "elder_care": "关爱老人",
        "disability_help": "扶残助残",
        "left_behind_children": "陪伴留守儿童",
        "household": "家务帮手",
        "repair": "小修小补",
        "study": "学习辅导",
        "health": "健康陪护",
        "culture": "文体活动",
        "other": "邻里互助",
    },
    "en": {
        "elder_care": "care for an elder",
        "disability_help": "help with a disability",
        "left_behind_children": "company for children",
        "household": "help at home",
        "repair": "a small repair",
        "study": "help with learning",
        "health": "help with health",
        "culture": "culture and sport",
        "other": "help among neighbours",
    },
}
_RUNGS: Final[dict[Language, dict[str, str]]] = {
    "zh-CN": {"unit": "同单元", "building": "同楼", "compound": "同小区", "community": "同社区", "area": "同片区"},
    "en": {
        "unit": "from the same stairway",
        "building": "from the same building",
        "compound": "from the same compound",
        "community": "from the same community",
        "area": "from the same area",
    },
}
_WEEKDAYS: Final = "一二三四五六日"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = "January February March April May June July August September October November December".split()  # noqa: SIM905 - reads better

# (kind, party) or (kind, party, reason) -> text; the more exact entry counts.
_TEXTS: Final[dict[Language, dict[tuple[str, ...], str]]] = {
    "zh-CN": {
        ("confirmed", "resident"): "您好，您的「{category}」心愿有着落了：{near}的志愿者将于{when}前来。",
        ("confirmed", "volunteer"): "您好，约好了：{when}，请为{near}的邻居提供「{category}」服务。谢谢您！",
        ("released", "resident"): "抱歉，原定{when}的「{category}」来不了了。我们正在为您另找帮手，找到后马上告诉您。",
        ("released", "resident", "withdrawn"): "您好，原定{when}的「{category}」已按心愿的撤回取消。需要时，欢迎随时再提。",
        ("released", "volunteer"): "您好，原定{when}的「{category}」已取消，请不必前往。谢谢您的心意！",
        ("released", "volunteer", "declined"): "您好，已为您取消原定{when}的「{category}」，我们会另找帮手。谢谢您告知！",
        ("released", "volunteer", "withdrawn"): "您好，居民已撤回心愿，原定{when}的「{category}」取消，请不必前往。谢谢您的心意！",
        ("released", "volunteer", "group_incomplete"): "您好，原定{when}的「{category}」需要两人同行，同伴暂缺，本次取消，请不必前往。谢谢您！",
        ("expired", "resident"): "抱歉，到了截止时间，我们仍没有为您的心愿找到足够的帮手。您可以换个时间再提，我们会继续努力。",
    },
    "en": {
        ("confirmed", "resident"): "Good news about your wish ({category}): a volunteer {near} will come on {when}.",
        ("confirmed", "volunteer"): "It is settled: a neighbour {near} looks forward to your visit ({category}) on {when}. Thank you!",
        ("released", "resident"): "We are sorry: the visit on {when} ({category}) can't take place. We are looking for another helper and will tell you.",
        ("released", "resident", "withdrawn"): "The visit on {when} ({category}) is cancelled, as the wish was withdrawn. Please wish again any time.",
        ("released", "volunteer"): "The visit on {when} ({category}) is cancelled; please do not set out. Thank you for being ready!",
        ("released", "volunteer", "declined"): "The visit on {when} ({category}) is off your list; another helper will be found. Thank you for telling us!",
        ("released", "volunteer", "withdrawn"): "The wish was withdrawn: no visit on {when} ({category}); please do not set out. Thank you for being ready!",
        (
            "released",
            "volunteer",
            "group_incomplete",
        ): "The visit on {when} ({category}) needs two helpers and one is missing; please do not set out. Thank you!",
        ("expired", "resident"): "We are sorry: by its deadline we had not found enough helpers for your wish. Please wish again for another time.",
    },
}


@lru_cache(maxsize=4096)
def visit_time(start: str, end: str, language: Language) -> str:
    """The slot in local time; `start` and `end` are RFC 3339. `11月23日（周一）16:00至17:00`."""
    begins = datetime.fromisoformat(start.upper()).astimezone(_LOCAL)
    ends = datetime.fromisoformat(end.upper()).astimezone(_LOCAL)
    other_day = ends.date() != begins.date()
    if language == "zh-CN":
        until = f"{ends.month}月{ends.day}日{ends:%H:%M}" if other_day else f"{ends:%H:%M}"
        return f"{begins.month}月{begins.day}日（周{_WEEKDAYS[begins.weekday()]}）{begins:%H:%M}至{until}"
    until = f"{ends:%H:%M} on {_DAYS[ends.weekday()]}" if other_day else f"{ends:%H:%M}"
    return f"{_DAYS[begins.weekday()]} {begins.day} {_MONTHS[begins.month - 1]}, from {begins:%H:%M} to {until}"


def text_of(kind: Kind, party: Party, language: Language, *, category: str | None, rung: str, slot: tuple[str, str] | None, reason: str | None = None) -> str:
    """The text of one notice. `slot` is (start, end) in RFC 3339, None where no visit is meant; `reason`: why it was released."""
    texts = _TEXTS[language]
    template = texts.get((kind, party, reason or "")) or texts[kind, party]
    return template.format(
        category=_CATEGORIES[language].get(category or "other", _CATEGORIES[language]["other"]),
        near=_RUNGS[language].get(rung, _RUNGS[language]["area"]),
        when="" if slot is None else visit_time(*slot, language),
    )


def templates(language: Language) -> Mapping[tuple[str, ...], str]:
    """Every text with its places still open, by (kind, party) or (kind, party, reason)."""
    return _TEXTS[language]


def words_of(language: Language, *, category: str | None, rung: str | None, slot: tuple[str, str] | None) -> dict[str, str]:
    """What a gateway's own template may fill in: the kind of help, how near, and when; empty where the notice says nothing of it."""
    return {
        "category": "" if category is None else _CATEGORIES[language].get(category, _CATEGORIES[language]["other"]),
        "near": "" if rung is None else _RUNGS[language].get(rung, _RUNGS[language]["area"]),
        "when": "" if slot is None else visit_time(*slot, language),
    }
