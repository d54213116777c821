"""In which order the records of one lane are decided that are at hand together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from schemas import codec
from schemas.codec import Event
from services.matcher import intake
from services.matcher.intake import Item
from services.matcher.matcher import _by_topic
from tests import builders as build

_STRUCTURED = [("content-type", b"application/cloudevents+json")]


def run_of(topic: str, *events: Event) -> list[Item]:
    records: list[Any] = [
        SimpleNamespace(topic=topic, value=codec.structured(event), headers=_STRUCTURED, partition=0, offset=offset, key=None)
        for offset, event in enumerate(events)
    ]
    return [intake.read(record) for record in records]


def decided(*runs: list[Item]) -> list[str]:
    return [item.record.topic for item in intake.in_order(_by_topic(list(runs)))]


def test_what_was_said_first_is_decided_first_whichever_topic_came_first() -> None:
    claimed, posted = run_of("responses", build.claim(at=20)), run_of("offers", build.offer(at=10))
    assert ["wishes", "offers", "responses"] == decided(claimed, posted, run_of("wishes", build.wish(at=0)))


def test_of_what_was_said_at_one_time_offers_come_before_wishes_and_both_before_what_is_said_about_them() -> None:
    claimed, posted = run_of("responses", build.claim(at=5)), run_of("offers", build.offer(at=5))
    assert ["offers", "wishes", "responses"] == decided(claimed, run_of("wishes", build.wish(at=5)), posted)


def test_a_topic_keeps_its_own_order() -> None:
    late_first = run_of("wishes", build.wish("w1", at=50), build.wish("w2", at=10))
    items = intake.in_order(_by_topic([late_first, run_of("offers", build.offer(at=20))]))
    assert [("offers", 0), ("wishes", 0), ("wishes", 1)] == [(item.record.topic, item.record.offset) for item in items]
