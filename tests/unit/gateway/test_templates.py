"""The pages' templates: what stands in them outside the expressions is read in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.gateway.rendering import TEMPLATES

_CODE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


@pytest.mark.parametrize("template", sorted(Path(TEMPLATES).glob("*.html")), ids=lambda path: path.stem)
def test_no_chinese_letter_or_mark_stands_where_an_english_reader_meets_it(template: Path) -> None:
    plain = _CODE.sub("", template.read_text(encoding="utf-8"))

    assert [] == [line.strip() for line in plain.splitlines() if _CHINESE.search(line)]


@pytest.mark.parametrize("template", sorted(Path(TEMPLATES).glob("*.html")), ids=lambda path: path.stem)
def test_a_place_is_named_by_its_circle_from_the_area_on(template: Path) -> None:
    calls = re.findall(r"(?:place|building)_name\((.*?)[,)]", template.read_text(encoding="utf-8"))
    assert [] == [first for first in calls if not re.fullmatch(r"(\w+\.)?area|\*one\.(where|scope\[.*)", first)]


def test_the_search_finds_a_mark_between_two_expressions() -> None:
    assert _CHINESE.search(_CODE.sub("", '{{ t("已邀请", "Invited") }}：{{ name }}'))
