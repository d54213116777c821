"""The policy file: every key is optional, one area may differ, and what is wrong is said with its place and the fix."""

import tomllib
from pathlib import Path

import pytest

from deploy.cli import SAMPLE_DAY_POLICY
from deploy.state import ROOT
from schemas.instants import MINUTE_US
from services.matcher.core.policy import Policy
from services.matcher.policies import BadPolicy, Policies

USUAL = ROOT / "config" / "policy.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_usual_policy_holds_everywhere() -> None:
    assert Policy() == Policies.read(None).of("anywhere")


def test_the_file_of_the_project_names_every_key_with_its_usual_value() -> None:
    assert Policy() == Policies.read(USUAL).of("anywhere")
    keys = {key.removesuffix("_minutes") for key in tomllib.loads(USUAL.read_text(encoding="utf-8"))}
    assert {name.removesuffix("_us") for name in Policy.__dataclass_fields__} == keys


def test_the_sample_day_hurries() -> None:
    policy = Policies.read(SAMPLE_DAY_POLICY).of("high-tech")
    assert 0 < policy.round_us < MINUTE_US
    assert max(policy.patience_us.values()) < MINUTE_US


@pytest.mark.parametrize(
    ("said", "night"),
    [("23:30-06:15", (1410, 375)), ("13:00-14:30", (780, 870)), ("", None), ("22:00-22:00", None)],
    ids=["past midnight", "a rest at noon", "none", "empty"],
)
def test_the_night_is_local_time_and_can_be_left_out(tmp_path: Path, said: str, night: tuple[int, int] | None) -> None:
    found = Policies.read(written(tmp_path, f'night = "{said}"\n[areas."east"]\nsure = 1\n'))
    assert (night, night) == (found.of("west").night, found.of("east").night)


def test_one_area_differs_in_what_it_names(tmp_path: Path) -> None:
    text = '[patience_minutes]\nblue = 60\n[areas."east"]\nround_minutes = 0\n[areas."east".answer_minutes]\nyellow = 30\n'
    found = Policies.read(written(tmp_path, text))
    assert (5 * MINUTE_US, 60 * MINUTE_US) == (found.of("west").round_us, found.of("west").patience_us["blue"])
    assert (0, 60 * MINUTE_US, 30 * MINUTE_US) == (found.of("east").round_us, found.of("east").patience_us["blue"], found.of("east").answer_us["yellow"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("round_minutes = -1", "round_minutes"),
        ("rounds = 5", "rounds"),
        ("[patience_minutes]\ngreen = 5", "patience_minutes.green"),
        ('[areas."east"]\nedges_max = 0', "areas.east.edges_max"),
        ("word_minutes = 30", "word_us"),
        ("word_minutes = 30", "word_minutes"),
        ('[areas."x y"]\nsure = 1', "areas.x y"),
        ("round_minutes = ", "policy file"),
    ],
)
def test_what_is_wrong_is_named_in_both_languages(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadPolicy, match=said) as found:
        Policies.read(written(tmp_path, text))
    chinese, _, english = str(found.value).partition(" | ")
    assert (True, True) == (chinese.startswith(f"{tmp_path / 'policy.toml'}：规则文件"), english.startswith(f"{tmp_path / 'policy.toml'}: "))
    assert "the policy file" in english


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("round_minutes = -1", "不得小于 0"),
        ("word_minutes = 0", "须大于 0"),
        ("edges_max = 5000", "不得大于 1000"),
        ('round_minutes = "x"', "请填数字"),
        ("invite_max = 1.5", "请填整数"),
        ("tell_unmet = 3", "请填 true 或 false"),
        ("rounds = 5", "没有这一项"),
        ("proof_needed = 3", "请填列表"),
        ('centre_households = [""]', "至少 1 个字符"),
        ("points = 3", "请填一个表"),
        ("areas = 3", "请填一个表"),
        ("centre_households = [3]", "请填文字"),
        ("round_minutes = nan", "不得大于 1440"),
        ('[areas."x y"]\nsure = 1', "只用 1 至 32 个小写字母、数字或连字符"),
        ('night = "10pm-7am"', '请填 "22:00-07:00" 这样的当地时间'),
        ('night = "24:00-07:00"', '请填 "22:00-07:00" 这样的当地时间'),
    ],
)
def test_the_fix_is_told_in_chinese_too(tmp_path: Path, text: str, fix: str) -> None:
    with pytest.raises(BadPolicy) as found:
        Policies.read(written(tmp_path, text))
    chinese, _, english = str(found.value).partition(" | ")
    assert fix in chinese
    assert "correct it: " in english


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadPolicy, match="nowhere"):
        Policies.read(tmp_path / "nowhere.toml")
