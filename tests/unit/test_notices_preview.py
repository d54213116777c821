"""Every text as people get it: within a text message's length, and with no place for a name, a door or a phone."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.preview import CHANNELS, CODE, PRIVATE, Shown, notices, places, samples
from deploy.state import ROOT
from deploy.words import Trouble
from schemas.personal import find_personal_data
from services.links.settings import URL_CHARACTERS_MAX
from services.notifier.linking import PURPOSES
from services.notifier.notices import templates
from services.notifier.short import SMS_CHARACTERS_MAX
from services.notifier.sms import segments_of

EVERY = list(samples())
# An address of the greatest length.
PUBLIC_URL = "https://" + "l" * (URL_CHARACTERS_MAX - 8)
LINKED = [one for one in samples(public_url=PUBLIC_URL) if CODE in one.text]
ABOUT_NOBODY = {"category", "near", "when", "by", "reach", "skills", "vetting", "wish_id"}
LANGUAGES: tuple[Any, ...] = ("zh-CN", "en")


def title(shown: Shown) -> str:
    return shown.title.replace(" · ", "-")


@pytest.mark.parametrize("shown", [one for one in EVERY if one.channel == "sms"], ids=title)
def test_a_text_message_has_at_most_140_characters_with_its_signature(shown: Shown) -> None:
    assert shown.text.startswith("【最后一米】")
    assert SMS_CHARACTERS_MAX >= len(shown.text)
    assert segments_of(shown.text) <= 2


@pytest.mark.parametrize("shown", [one for one in LINKED if one.channel == "sms"], ids=title)
def test_a_text_message_with_the_longest_link_has_at_most_140_characters_and_ends_with_it(shown: Shown) -> None:
    assert SMS_CHARACTERS_MAX >= len(shown.text)
    assert shown.text.startswith("【最后一米】")
    assert shown.text.endswith(f"{PUBLIC_URL}/a#{CODE}")
    assert "{" not in shown.text


def test_every_notice_that_wants_an_answer_carries_its_link_to_one_person_and_to_no_group_or_log() -> None:
    assert PURPOSES.keys() == {one[:2] for one in templates("en")} & PURPOSES.keys()
    assert sum(one[:2] in PURPOSES for one in templates("en")) * len(PRIVATE) * 2 == len(LINKED)
    assert PRIVATE == {one.channel for one in LINKED}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_has_a_place_for_a_name_a_door_or_a_phone(language: Any) -> None:
    assert set() == {place for template in templates(language).values() for place in places(template)} - ABOUT_NOBODY


def test_a_place_for_a_name_would_be_found() -> None:
    assert {"name"} == places("您好，{name}") - ABOUT_NOBODY


@pytest.mark.parametrize("shown", [one for one in EVERY if one.channel in {"sms", "email"}], ids=title)
def test_nothing_personal_is_in_a_sample_or_its_subject(shown: Shown) -> None:
    assert None is find_personal_data(shown.text)
    assert "{" not in shown.text
    if shown.subject is not None:
        assert None is find_personal_data(shown.subject)
        assert not re.search(r"\d", shown.subject)


def test_both_languages_have_the_same_texts() -> None:
    assert set(templates("zh-CN")) == set(templates("en"))


def test_every_text_is_shown_for_every_channel() -> None:
    assert len(EVERY) == 2 * len(templates("en")) * len(CHANNELS)


@pytest.mark.parametrize(("length", "segments"), [(1, 1), (70, 1), (71, 2), (140, 2), (141, 3)])
def test_counts_segments_of_70(length: int, segments: int) -> None:
    assert segments == segments_of("字" * length)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from deploy.cli import run; sys.exit(run(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, "notices", "preview", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_shows_what_is_asked_for() -> None:
    done = run("--kind", "confirmed", "--party", "resident", "--lang", "zh-CN", "--channel", "sms")
    assert 0 == done.returncode
    assert "【最后一米】您好，您的「扶残助残」心愿有着落了" in done.stdout
    assert "61 字符 · characters, 1 段 · segments" in done.stdout
    assert "volunteer" not in done.stdout


def test_the_command_says_where_there_is_nothing_to_show() -> None:
    done = run("--kind", "greeting")
    assert (1, "") == (done.returncode, done.stdout)
    assert "There is no such notice. For --kind there are: asked, " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--party", "neighbour"], "--party 可选：volunteer, "),
        (["--lang", "fr"], "--lang 可选：zh-CN, en"),
        (["--channel", "pigeon"], "--channel 可选：console, "),
        (["--kind", "asked", "--party", "resident"], "这一种不发给这一方"),
        (["--public-url", "example"], "--public-url 填居民能打开的网址"),
    ],
)
def test_the_command_names_the_option_and_what_there_is(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(notices, ["preview", *arguments])
    assert isinstance(done.exception, Trouble)
    assert said in done.exception.chinese


def test_the_command_knows_the_tools_word_for_a_language() -> None:
    shown = {
        word: CliRunner().invoke(notices, ["preview", "--kind", "asked", "--channel", "sms", "--lang", word]).stdout for word in ("zh", "zh-CN", "en", "both")
    }
    assert shown["zh"] == shown["zh-CN"] != shown["en"]
    assert shown["zh"] + shown["en"] == shown["both"]
