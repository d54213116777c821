"""Entering a wish, pure: from a form with big choices and good defaults to the event of the contract, or to what is wrong with which field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import orjson
from pydantic import ValidationError

from schemas import errors
from schemas.wishes import WishSubmitted
from services.gateway.words import AGE_BANDS, CATEGORIES, LOCAL, SKILLS_OF, URGENCIES, Words

MINUTES: Final = (30, 45, 60, 90, 120, 180)
HELPERS: Final = (1, 2, 3, 4)
_NOW_HOURS: Final = 4
_EVENING: Final = time(21)
_TOO_LATE: Final = time(19, 30)
STEPS: Final = ("community", "compound", "building", "unit")
WHEN: Final[dict[str, Words]] = {
    "now": ("现在起 4 小时内", "Within 4 hours"),
    "today": ("今天之内", "Today"),
    "tomorrow_am": ("明天上午", "Tomorrow morning"),
    "tomorrow_pm": ("明天下午", "Tomorrow afternoon"),
    "tomorrow": ("明天都行", "Any time tomorrow"),
    "week": ("一周之内", "Within a week"),
    "day": ("指定日期", "On a day"),
}
_PARTS: Final = {"tomorrow_am": (time(8, 30), time(12)), "tomorrow_pm": (time(13, 30), time(18)), "tomorrow": (time(8, 30), _EVENING)}
# Those that name a day by the one on which they are read.
_BY_THE_DAY: Final = {"today", *_PARTS}
_CHOICES: Final[dict[str, dict[str, Words]]] = {"category": CATEGORIES, "urgency": URGENCIES, "age_band": AGE_BANDS}
_REQUIRED: Final[Words] = ("请填写这一项", "Please fill this in")
_CHOOSE: Final[Words] = ("请选一项", "Please choose one")
_PERSONAL: Final[Words] = (
    "为了安全，这里请不要写电话、身份证号、门牌号或邮箱：志愿者会在约定时间前看到该去哪一户",
    "For safety, please leave out phone, identity-card and door numbers and e-mail addresses here: the helper is told the door shortly before the visit",
)
_SHORT: Final[Words] = ("这段时间短于服务所需的时长，请选长一些", "This is shorter than the visit takes: choose a longer time")
_OVER: Final[Words] = ("这段时间已经过去，请另选", "This is over already: choose another time")
_TURNED: Final[Words] = (
    "这张表不是今天打开的，“今天”“明天”已不是那一天，请再选一次",
    "This form was opened on another day, so “today” and “tomorrow” are other days by now: choose once more",
)
_FAR: Final[Words] = ("请选一年之内的日期", "Choose a day within a year from now")
# The contract's `far_off_date`: said of the whole event it would stand at no field, and a draft of which it is so could be neither published nor refused.
_AHEAD_MAX: Final = timedelta(days=366)
_BAD_STEP: Final[Words] = ("只用小写字母、数字和连字符，如 p3、b12", "Use a-z, 0-9 and -, such as p3 or b12")
_GAP: Final[Words] = ("填了下一级，这一级也要填", "A step below is given, so this one is needed")


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in, as text; with defaults it is the empty form."""

    values: Mapping[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


DEFAULTS: Final = {"category": "elder_care", "urgency": "blue", "when": "tomorrow", "minutes": "60", "age_band": "elder", "helpers_needed": "1"}


@dataclass(frozen=True, slots=True)
class Entered:
    """A form taken: `data` is the event's; `faults` by field, of which there are none when it can be published."""

    data: dict[str, Any]
    faults: dict[str, Words]


def window(when: str, form: Form, now: datetime) -> tuple[datetime, datetime] | None:
    """The stretch of time that a choice means, from now on; None where it can't be read."""
    local = now.astimezone(LOCAL).replace(microsecond=0)
    if when == "now":
        return local, local + timedelta(hours=_NOW_HOURS)
    if when == "today":
        return local, _at(local.date(), _EVENING)
    if when in _PARTS:
        first, last = _PARTS[when]
        tomorrow = local.date() + timedelta(days=1)
        return _at(tomorrow, first), _at(tomorrow, last)
    if when == "week":
        return local, _at(local.date() + timedelta(days=6), _EVENING)
    try:
        day = date.fromisoformat(form["day"])
        start, end = _at(day, time.fromisoformat(form["from"] or "08:30")), _at(day, time.fromisoformat(form["until"] or "21:00"))
    except ValueError:
        return None
    return max(start, local), end


def _at(day: date, moment: time) -> datetime:
    return datetime.combine(day, moment.replace(tzinfo=None), LOCAL)


def choices(now: datetime) -> list[str]:
    """The times that can still be chosen."""
    late = now.astimezone(LOCAL).time() >= _TOO_LATE
    return [code for code in WHEN if not (late and code == "today")]


def has_turned(form: Form, now: datetime) -> bool:
    """Whether the day that was chosen as “today” or “tomorrow” is called otherwise by now: a form that lay open over midnight names another one."""
    return form["when"] in _BY_THE_DAY and form["asked_on"] not in {"", today(now)}


def today(now: datetime) -> str:
    """China's date, as a form is dated and a day is chosen by it."""
    return now.astimezone(LOCAL).date().isoformat()


def entered(form: Form, *, area: str, wish_id: str, resident_ref: str, now: datetime) -> Entered:
    """Check a form by the contract."""
    faults: dict[str, Words] = {}
    faults |= {name: _CHOOSE for name, known in _CHOICES.items() if form[name] not in known}
    wanted = window(form["when"], form, now) if form["when"] in WHEN else None
    if wanted is None:
        faults["when"] = _CHOOSE if form["when"] != "day" else _REQUIRED
    elif wanted[1] <= now or wanted[1] - now > _AHEAD_MAX:
        faults["when"] = _OVER if wanted[1] <= now else _FAR
    if has_turned(form, now):
        faults["when"] = _TURNED
    for name in ("title", "community"):
        if not form[name].strip():
            faults[name] = _REQUIRED
    place = _place(form)
    data: dict[str, Any] = {
        "wish_id": wish_id,
        "area": area,
        "place": place,
        "category": form["category"],
        "skills": _skills(form),
        "urgency": form["urgency"],
        "window": None if wanted is None else {"start": wanted[0].isoformat(), "end": wanted[1].isoformat()},
        "minutes": _number(form["minutes"]),
        "helpers_needed": _number(form["helpers_needed"]),
        "beneficiary": {"age_band": form["age_band"], "lives_alone": form["lives_alone"] == "yes"},
        "approval": "worker" if form["approval"] == "yes" else "none",
        "accompanied": form["accompanied"] == "yes",
        "title": form["title"].strip(),
        "resident_ref": resident_ref,
    }
    if form["note"].strip():
        data["note"] = form["note"].strip().replace("\r\n", "\n")
    try:
        WishSubmitted.model_validate_json(orjson.dumps(data))
    except ValidationError as error:
        for complaint in errors.all_of_validation(error, ""):
            name = _field_of(complaint.field)
            if name != "skills" or "category" not in faults:  # they hang on it
                faults.setdefault(name, _words(complaint, name))
    return Entered(data, faults)


def _place(form: Form) -> dict[str, str]:
    return {step: value for step in STEPS if (value := form[step].strip().lower())}


def _skills(form: Form) -> list[str]:
    """The chosen ones that belong to the category; none chosen is the most usual one."""
    usual: Sequence[str] = SKILLS_OF.get(form["category"], ())
    picked = [skill for skill in dict.fromkeys(form.skills) if skill in usual]
    return picked or list(usual[:1])


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else text


def _field_of(path: str) -> str:
    """The field of the form that a place in the event is filled from."""
    parts = path.split(".")
    if parts[0] == "place":
        return parts[1] if len(parts) > 1 and parts[1] in STEPS else "community"
    if parts[0] == "beneficiary":
        return "age_band"
    return {"window": "when"}.get(parts[0], parts[0])


def _words(complaint: errors.InvalidEvent, name: str) -> Words:
    if complaint.reason == errors.CONTAINS_PERSONAL_DATA:
        return _PERSONAL
    if complaint.reason in {errors.WINDOW_TOO_SHORT, errors.WINDOW_INVERTED}:
        return _SHORT
    if name in STEPS:
        return _GAP if complaint.reason == errors.MISSING_FIELD else _BAD_STEP
    if complaint.reason == errors.MISSING_FIELD:
        return _REQUIRED
    if complaint.reason == errors.INVALID_FIELD:
        return complaint.fix
    return complaint.words
