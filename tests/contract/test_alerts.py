"""The example alerts against the services: every metric and every value of a label that they name exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from schemas.base import Outcome
from schemas.errors import SENTENCES
from schemas.registry import MODEL_OF
from services.matcher.metrics import Metrics as MatcherMetrics
from services.notifier.metrics import Metrics as NotifierMetrics
from services.notifier.visits_store import WATCHED

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docs" / "alerts").glob("*.yml"))


def rules() -> list[dict[str, Any]]:
    return [rule for file in FILES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def unknown(expression: str) -> set[str]:
    """Metrics in an expression that no service has."""
    families = [family for registry in (MatcherMetrics().registry, NotifierMetrics().registry) for family in registry.collect()]
    exist = {name for family in families for name in ((f"{family.name}_total",) if family.type == "counter" else (family.name,))}
    return set(re.findall(r"lastmetre_\w+", expression)) - exist


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_names_what_exists(rule: dict[str, Any]) -> None:
    assert set() == unknown(rule["expr"])
    assert "lastmetre_" in rule["expr"]
    assert set(re.findall(r'state="(\w+)"', rule["expr"])) <= set(WATCHED)
    known = {"decided", "no_effect", "duplicate", "mended", "dead_letter"} if "events_total" in rule["expr"] else set(get_args(Outcome))
    assert set(re.findall(r'outcome="(\w+)"', rule["expr"])) <= known


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_in_both_languages_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert " | " in rule["annotations"]["summary"]
    assert rule["annotations"]["action"]


def test_there_are_alerts_and_each_has_a_name_of_its_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) > 4
    assert len(names) == len(set(names))


def test_dead_letters_of_both_services_are_seen_and_the_first_of_each_kind_as_well() -> None:
    expression = next(rule["expr"] for rule in rules() if rule["alert"] == "DeadLetters")
    assert {"lastmetre_matcher_events_total", "lastmetre_notifier_events_total"} == set(re.findall(r"lastmetre_\w+", expression))
    # A counter that is there before its first one: Prometheus sees no increase in one that begins with it.
    matcher, notifier = MatcherMetrics().registry, NotifierMetrics().registry
    assert {0.0} == {matcher.get_sample_value("lastmetre_matcher_events_total", {"type": kind, "outcome": "dead_letter"}) for kind in ("", *MODEL_OF)}
    assert {0.0} == {notifier.get_sample_value("lastmetre_notifier_events_total", {"type": "invalid", "outcome": reason}) for reason in SENTENCES}


def test_a_metric_that_is_not_there_would_be_found() -> None:
    assert {"lastmetre_notifier_gone"} == unknown("max(lastmetre_notifier_gone) > 0")
