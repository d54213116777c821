"""The contract's own words on what is valid, written a second time, for judging the lines of an input file.

A line is valid, invalid, or in doubt where the page is silent (`schemas/` decides there, which the checker does not
read): then the journal and the dead letters are both right. The three reason codes that the page names for content,
and `too_large`, are expected where they are the only thing wrong.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.checker.model import LADDER
from tests.checker.wire import PREFIX, Json, JsonObject, parse_time, personal_data

MIB = 1024 * 1024
IDS = re.compile(r"[a-z0-9-]{1,32}")
SKILL = re.compile(r"[a-z0-9_]{1,40}")
DOOR = re.compile(r"\d+\s*(?:栋|幢|号楼|座)?.{0,4}\d*\s*(?:单元|楼|层)?\s*\d+\s*(?:室|号房|房)")
DOOR_LIKE = re.compile(r"(?:\d|[一二三四五六七八九十])\s*(?:室|号|栋|幢|单元|座|楼|房|户)|\d{7}")
CATEGORIES = (
    "elder_care", "disability_help", "left_behind_children", "household", "repair", "study", "health", "culture",
    "other",
)  # fmt: skip
REACHES = ("unit", "building", "compound", "community", "area")
PAIR = ("wish_id", "offer_id")
TOPICS = {
    "wish.submitted.v1": "wishes", "wish.withdrawn.v1": "wishes", "consent.withdrawn.v1": "wishes",
    "offer.posted.v1": "offers", "offer.withdrawn.v1": "offers", "offer.suspended.v1": "offers",
    "wish.claimed.v1": "responses", "match.accepted.v1": "responses", "match.declined.v1": "responses",
    "match.approved.v1": "responses", "service.started.v1": "responses", "service.finished.v1": "responses",
    "service.acknowledged.v1": "responses",
}  # fmt: skip


# Of what follows the page says nothing, and `schemas/` sets bounds.
NAME = re.compile(r"[^\s\x00-\x1f\x7f-\x9f]{1,128}")
LANGUAGE = re.compile(r"[A-Za-z0-9-]{1,35}")
BARE_NUMBER = re.compile(r"\+?\d{11,18}|\d{17}[xX]")
PROSE = {"title": 60, "note": 500, "reason": 500, "organisation": 120}
MOST = {"per_week_max": 168, "rest_minutes": 7 * 24 * 60, "minutes": 24 * 60}
TIMES = ("time", "start", "end", "checked_at")
YEARS = range(1971, 9996)


@dataclass
class Verdict:
    """What is wrong with a line for certain (reason codes, "" where none is named), and what is in doubt."""

    wrong: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    event: JsonObject | None = None
    topic: str = "wishes"

    @property
    def kind(self) -> str:
        """`valid`, `invalid` or `doubtful`."""
        if self.wrong:
            return "invalid"
        return "doubtful" if self.doubts else "valid"

    @property
    def codes(self) -> set[str]:
        """The reason codes that may be reported; empty where the contract names none."""
        return set() if "" in self.wrong or self.doubts else set(self.wrong)

    def whole(self, obj: JsonObject, name: str, low: int, high: int, required: bool = False) -> int | None:
        """A whole number between both bounds."""
        value = obj.get(name)
        if value is None:
            self._absent(obj, name, required)
        elif isinstance(value, (bool, float)) or (isinstance(value, str) and value.isdigit()):
            self.doubts.append(f"{name} is {value!r}")
        elif not isinstance(value, int) or not low <= value <= high:
            self.wrong.append("")
        else:
            return value
        return None

    def word(self, obj: JsonObject, name: str, allowed: Collection[str] = (), required: bool = True) -> None:
        """A text, one of `allowed` where those are given."""
        value = obj.get(name)
        if value is None:
            self._absent(obj, name, required)
        elif not isinstance(value, str) or (allowed and value not in allowed):
            self.wrong.append("")
        elif not value.strip() or len(value) > 200:
            self.doubts.append(f"{name} is empty or long")

    def flag(self, obj: JsonObject, name: str, required: bool = False) -> None:
        """True or false."""
        value = obj.get(name)
        if value is None:
            self._absent(obj, name, required)
        elif not isinstance(value, bool):
            vague = value in (0, 1) or str(value).lower() in ("true", "false", "yes", "no", "on", "off", "0", "1")
            (self.doubts if vague else self.wrong).append("")

    def part(self, obj: JsonObject, name: str) -> JsonObject:
        """A required object; an empty one where it is wrong."""
        value = obj.get(name)
        if not isinstance(value, dict):
            self.wrong.append("")
            return {}
        return value

    def time(self, obj: JsonObject, name: str) -> datetime | None:
        """A required instant."""
        text = obj.get(name)
        found = parse_time(text)
        if found is None:
            lenient = isinstance(text, str) and _almost_a_time(text)
            (self.doubts if lenient else self.wrong).append("")
        return found

    def words(self, obj: JsonObject, name: str, low: int, high: int, form: re.Pattern[str] | None) -> None:
        """A list of texts of a form; required where `low` is above 0."""
        value = obj.get(name)
        if value is None:
            self._absent(obj, name, low > 0)
        elif (
            not isinstance(value, list)
            or not low <= len(value) <= high
            or not _texts(value)
            or (form is not None and not all(form.fullmatch(one) for one in value))
        ):
            self.wrong.append("")
        elif len(set(value)) < len(value) or not all(value):
            self.doubts.append(f"{name} with repeats")

    def prose(self, obj: JsonObject, name: str, longest: int, required: bool = False) -> None:
        """Text for people, without personal data."""
        value = obj.get(name)
        if value is None:
            self._absent(obj, name, required)
            return
        if not isinstance(value, str) or len(value) > longest:
            self.wrong.append("")
            return
        plain = unicodedata.normalize("NFKC", value)
        if personal_data(plain) or DOOR.search(plain):
            self.wrong.append("contains_personal_data")
        elif DOOR_LIKE.search(plain) or (required and not value.strip()):
            self.doubts.append(f"{name} may hold a number that counts")

    def place(self, obj: JsonObject, name: str) -> None:
        """A place: ids from the community down, without gaps."""
        place = self.part(obj, name)
        ids = [place.get(step) for step in LADDER]
        known = [one for one in ids if one is not None]
        if not known or ids[: len(known)] != known or not all(isinstance(one, str) and IDS.fullmatch(one) for one in known):
            self.wrong.append("")
        elif any(step in place and place[step] is None for step in LADDER):
            self.doubts.append("null in a place")

    def _absent(self, obj: JsonObject, name: str, required: bool) -> None:
        if required:
            self.wrong.append("")
        elif name in obj:
            self.doubts.append(f"{name} is null")


def _texts(values: list[Json]) -> bool:
    return all(isinstance(one, str) for one in values)


def _almost_a_time(text: str) -> bool:
    """With an offset in some other ISO 8601 writing: whether that is taken, the page does not say."""
    try:
        return datetime.fromisoformat(text.upper()).tzinfo is not None
    except ValueError:
        return False


def judge(raw: bytes) -> Verdict:
    """The verdict on one line as published (without its line end)."""
    verdict = Verdict()
    if len(raw) > MIB:
        verdict.wrong.append("too_large")
    elif len(raw) > MIB - 4096:
        verdict.doubts.append("near the largest size")
    try:
        event = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        verdict.wrong.append("")
        return verdict
    verdict.event = event
    kind = event.get("type")
    name = kind.removeprefix(PREFIX) if isinstance(kind, str) and kind.startswith(PREFIX) else ""
    if name not in TOPICS:
        verdict.wrong.append("")
        return verdict
    verdict.topic = TOPICS[name]
    _envelope(verdict, event)
    verdict.doubts.extend(_unsaid(event, ""))
    if isinstance(event.get("data"), dict):
        _data(verdict, name, event, event["data"])
    else:
        verdict.wrong.append("")
    return verdict


def _data(verdict: Verdict, name: str, event: JsonObject, data: JsonObject) -> None:
    if _depth(data) > 32:
        verdict.doubts.append("nested deeply")
    _area(verdict, data)
    if name == "wish.submitted.v1":
        _wish(verdict, data, parse_time(event.get("time")))
    elif name == "offer.posted.v1":
        _offer(verdict, data)
    else:
        _small(verdict, name, data)
    if event.get("subject") not in [data.get(one) for one in ("wish_id", "offer_id", "match_id", "claim_id")]:
        verdict.doubts.append("subject is none of the ids")


def _unsaid(value: Json, name: str) -> Iterator[str]:
    """What may be refused although the page does not forbid it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unsaid(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _unsaid(inner, name)
    elif isinstance(value, str):
        if _is_odd_text(value, name):
            yield f"{name}: a text of a form that the page does not forbid"
    elif isinstance(value, int) and value > MOST.get(name, value):
        yield f"{name} is {value}"


def _is_odd_text(text: str, name: str) -> bool:
    instant = parse_time(text) if name in TIMES else None
    if instant is not None:
        return instant.year < YEARS[0] or (name == "time" and instant.year > YEARS[-1])
    if name in PROSE:
        empty = name == "organisation" and not text
        return empty or len(text) > PROSE[name] or any(unicodedata.category(sign) == "Cc" and sign not in "\t\n\r" for sign in text)
    form = LANGUAGE if name == "languages" else NAME if name.endswith(("_id", "_ref")) else None
    wrong_form = form is not None and form.fullmatch(text) is None
    return wrong_form or BARE_NUMBER.fullmatch(text) is not None or any(unicodedata.category(sign) == "Cc" for sign in text)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Json) -> int:
    deepest, stack = 0, [(value, 1)]
    while stack:
        one, depth = stack.pop()
        deepest = max(deepest, depth)
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        stack.extend((part, depth + 1) for part in inner)
    return deepest


def _envelope(verdict: Verdict, event: JsonObject) -> None:
    if event.get("specversion") != "1.0":
        verdict.wrong.append("")
    for name in ("id", "source", "subject", "partitionkey"):
        value = event.get(name)
        if not isinstance(value, str) or not value:
            verdict.wrong.append("")
    text = event.get("time")
    if parse_time(text) is None:
        vague = isinstance(text, str) and _almost_a_time(text)
        (verdict.doubts if vague else verdict.wrong).append("")


def _area(verdict: Verdict, data: JsonObject) -> None:
    area = data.get("area")
    if not isinstance(area, str) or not area:
        verdict.wrong.append("")
    elif not IDS.fullmatch(area):
        verdict.doubts.append("an area id of another form")


def _wish(verdict: Verdict, data: JsonObject, time: datetime | None) -> None:
    verdict.word(data, "wish_id")
    verdict.place(data, "place")
    verdict.word(data, "category", CATEGORIES)
    verdict.words(data, "skills", 1, 8, SKILL)
    verdict.word(data, "urgency", ("red", "yellow", "blue"))
    minutes = verdict.whole(data, "minutes", 15, 480)
    verdict.whole(data, "helpers_needed", 1, 10)
    verdict.whole(data, "vetting_min", 0, 4)
    verdict.word(data, "approval", ("none", "worker"), required=False)
    verdict.flag(data, "accompanied")
    beneficiary = verdict.part(data, "beneficiary")
    verdict.word(beneficiary, "age_band", ("under_14", "under_18", "adult", "elder"))
    verdict.flag(beneficiary, "lives_alone")
    verdict.words(data, "languages", 0, 50, None)
    verdict.prose(data, "title", 60, required=True)
    verdict.prose(data, "note", 500)
    verdict.word(data, "resident_ref")
    window = verdict.part(data, "window")
    start, end = verdict.time(window, "start"), verdict.time(window, "end")
    if start is None or end is None:
        return
    if end <= start:
        # An inverted window is too short as well; which of the two is said, the page leaves open.
        verdict.wrong.append("")
    elif end - start < timedelta(minutes=60 if minutes is None else minutes):
        verdict.wrong.append("window_too_short")
    if time is not None and end - time > timedelta(days=366):
        verdict.wrong.append("far_off_date")


def _offer(verdict: Verdict, data: JsonObject) -> None:
    verdict.word(data, "offer_id")
    verdict.word(data, "volunteer_ref")
    verdict.place(data, "home")
    verdict.word(data, "reach", REACHES)
    verdict.words(data, "skills", 1, 20, SKILL)
    vetting = verdict.part(data, "vetting")
    verdict.whole(vetting, "level", 0, 4, required=True)
    verdict.time(vetting, "checked_at")
    windows = data.get("windows")
    if not isinstance(windows, list) or not 1 <= len(windows) <= 50:
        verdict.wrong.append("")
        windows = []
    for window in windows:
        if not isinstance(window, dict):
            verdict.wrong.append("")
            continue
        start, end = verdict.time(window, "start"), verdict.time(window, "end")
        if start is not None and end is not None and end <= start:
            verdict.wrong.append("")
    verdict.whole(data, "capacity", 1, 20, required=True)
    verdict.word(data, "accepts", ("auto", "ask"))
    verdict.whole(data, "per_week_max", 1, 10**6)
    verdict.whole(data, "rest_minutes", 0, 10**6)
    verdict.words(data, "languages", 0, 50, None)
    verdict.prose(data, "organisation", 10**6)
    if data.get("proofs") is not None:
        verdict.doubts.append("proofs: an optional field of which the page says nothing")


def _small(verdict: Verdict, name: str, data: JsonObject) -> None:
    """Withdrawals, answers, claims, services."""
    if name.startswith("offer."):
        verdict.word(data, "offer_id")
    elif name in ("wish.withdrawn.v1", "consent.withdrawn.v1"):
        verdict.word(data, "wish_id")
    else:
        for one in PAIR:
            verdict.word(data, one)
    if name == "wish.claimed.v1":
        verdict.word(data, "claim_id")
    elif name == "match.approved.v1":
        verdict.word(data, "worker_ref")
        verdict.flag(data, "approved", required=True)
    elif name == "service.acknowledged.v1":
        verdict.word(data, "by", ("resident", "community"))
        verdict.word(data, "outcome", ("done", "partly", "not_done"))
        verdict.whole(data, "rating", 1, 5)
    if name.startswith("service."):
        verdict.whole(data, "minutes", 0, 10**6)
    verdict.word(data, "match_id", required=False)
    verdict.prose(data, "reason", 10**6)
