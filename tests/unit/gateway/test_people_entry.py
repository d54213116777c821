"""Entering a wish, pure: defaults that are enough, and every fault at its field in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from schemas.wishes import WishSubmitted
from services.gateway.people.entry import DEFAULTS, Entered, Form, choices, entered
from services.gateway.words import LOCAL, SKILLS, SKILLS_OF

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)  # noon in China


def filled(*skills: str, **values: str) -> Entered:
    given = DEFAULTS | {"title": "陪老人聊聊天", "community": "c1", "compound": "p1"} | values
    return entered(Form(given, skills), area="a", wish_id="w-1", resident_ref="r-1", now=NOW)


def test_a_title_and_a_place_are_enough() -> None:
    found = filled()
    assert found.faults == {}
    assert WishSubmitted.model_validate_json(orjson.dumps(found.data)).minutes == 60
    assert found.data["skills"] == ["companionship"]
    assert found.data["place"] == {"community": "c1", "compound": "p1"}


def _window(data: dict[str, Any]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(text) for name, text in data["window"].items()}


def test_only_skills_of_the_chosen_category_count() -> None:
    assert filled("haircut", "plumbing").data["skills"] == ["haircut"]
    assert filled("haircut", category="repair").data["skills"] == ["electrics"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "请打电话 13812345678"}, "title"),
        ({"title": "到3单元501来"}, "title"),
        ({"title": "长" * 61}, "title"),
        ({"note": "我的身份证 11010519491231002X"}, "note"),
        ({"community": ""}, "community"),
        ({"unit": "u1"}, "building"),
        ({"building": "楼 一"}, "building"),
        ({"category": "magic"}, "category"),
        ({"urgency": "purple"}, "urgency"),
        ({"age_band": ""}, "age_band"),
        ({"minutes": "5"}, "minutes"),
        ({"minutes": "x"}, "minutes"),
        ({"helpers_needed": "99"}, "helpers_needed"),
        ({"when": "never"}, "when"),
        ({"when": "day", "day": "soon"}, "when"),
        ({"when": "day", "day": "2026-11-24", "from": "10:00", "until": "10:30"}, "when"),
        ({"when": "day", "day": "2026-11-24", "from": "12:00", "until": "10:30"}, "when"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_in_both_languages(values: dict[str, str], field: str) -> None:
    found = filled(**values)
    assert list(found.faults) == [field]
    zh, en = found.faults[field]
    assert zh != en
    assert zh
    assert "138" not in zh + en


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2026-11-22", "already"), ("0001-01-01", "already"), ("2026-11-23", None), ("2027-11-23", None), ("2027-11-24", None),
        ("2027-11-25", "within a year"), ("9999-12-31", "within a year"),
    ],
)  # fmt: skip
def test_a_day_that_is_over_or_over_a_year_ahead_is_refused_where_it_was_chosen(day: str, words: str | None) -> None:
    found = filled(when="day", day=day, **{"from": "09:00", "until": "12:00" if day != "2026-11-23" else "15:00"})
    assert ([] if words is None else ["when"]) == list(found.faults)
    assert words is None or words in found.faults["when"][1]


@pytest.mark.parametrize("when", ["now", "today", "tomorrow_am", "tomorrow_pm", "tomorrow", "week"])
def test_each_time_lies_ahead_and_is_long_enough(when: str) -> None:
    window = _window(filled(when=when).data)
    assert window["end"] > window["start"] >= NOW
    assert window["end"] - window["start"] >= timedelta(hours=1)


@pytest.mark.parametrize("when", ["today", "tomorrow", "tomorrow_am", "tomorrow_pm"])
def test_tomorrow_of_a_form_that_lay_open_over_midnight_is_asked_anew(when: str) -> None:
    day = {"day": "2026-11-24", "from": "10:00", "until": "18:00"}
    assert "when" in filled(when=when, asked_on="2026-11-22").faults
    assert {} == filled(when=when, asked_on="2026-11-23").faults
    assert {} == filled(when="week", asked_on="2026-11-22").faults == filled(when="day", asked_on="2026-11-22", **day).faults


def test_late_in_the_evening_today_is_no_longer_offered() -> None:
    assert "today" in choices(NOW)
    assert "today" not in choices(datetime(2026, 11, 23, 20, 0, tzinfo=LOCAL))


def test_every_suggested_skill_has_words() -> None:
    assert set() == {skill for usual in SKILLS_OF.values() for skill in usual} - set(SKILLS)
