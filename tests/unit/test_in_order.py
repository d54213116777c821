"""In which order the records of one lane are decided that are at hand together."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import Event
from schemas.instants import MINUTE_US
from schemas.lanes import partition_of
from services.matcher import intake
from services.matcher.intake import Item
from tests import builders as build

_LINES: dict[str, Callable[..., Event]] = {"offers": build.offer, "wishes": build.wish, "responses": build.claim}
_STRUCTURED = [("content-type", b"application/cloudevents+json")]


def run_of(topic: str, *events: Event) -> list[Item]:
    records: list[Any] = [
        SimpleNamespace(
            topic=topic, value=codec.structured(event), headers=_STRUCTURED, partition=partition_of(event.area), offset=offset, key=event.area.encode()
        )
        for offset, event in enumerate(events)
    ]
    return [intake.read(record) for record in records]


def decided(*runs: list[Item]) -> list[str]:
    return [item.record.topic for item in intake.in_order(intake.by_topic(list(runs)))]


def test_what_was_said_first_is_decided_first_whichever_topic_came_first() -> None:
    claimed, posted = run_of("responses", build.claim(at=20)), run_of("offers", build.offer(at=10))
    assert ["wishes", "offers", "responses"] == decided(claimed, posted, run_of("wishes", build.wish(at=0)))


def test_of_what_was_said_at_one_time_offers_come_before_wishes_and_both_before_what_is_said_about_them() -> None:
    claimed, posted = run_of("responses", build.claim(at=5)), run_of("offers", build.offer(at=5))
    assert ["offers", "wishes", "responses"] == decided(claimed, run_of("wishes", build.wish(at=5)), posted)


def test_a_topic_keeps_its_own_order() -> None:
    late_first = run_of("wishes", build.wish("w1", at=50), build.wish("w2", at=10))
    items = intake.in_order(intake.by_topic([late_first, run_of("offers", build.offer(at=20))]))
    assert [("offers", 0), ("wishes", 0), ("wishes", 1)] == [(item.record.topic, item.record.offset) for item in items]


def test_an_area_is_decided_in_its_own_order_whatever_another_in_its_lane_says_later() -> None:
    wishes = run_of("wishes", build.wish_withdrawn("w9", at=40, area="north"), build.wish(at=2, area="south"))
    responses = run_of("responses", build.claim("w9", at=10, area="north"), build.claim(at=10, area="south"))
    items = intake.in_order(intake.by_topic([wishes, responses]))
    assert [("wishes", 2), ("responses", 10)] == [(item.record.topic, said_at(item)) for item in items if area_of(item) == "south"]
    assert [("responses", 10), ("wishes", 40)] == [(item.record.topic, said_at(item)) for item in items if area_of(item) == "north"]


def test_what_is_no_event_or_belongs_elsewhere_holds_nothing_up() -> None:
    wishes = run_of("wishes", build.wish_withdrawn("w9", at=40), build.wish(at=2), build.wish("w2", at=3))
    wishes[0].misplaced = True
    wishes[1].event = None
    responses = run_of("responses", build.claim(at=10))
    assert ["wishes", "wishes", "wishes", "responses"] == [item.record.topic for item in intake.in_order(intake.by_topic([responses, wishes]))]


def test_where_two_areas_contradict_each_other_each_topic_keeps_its_order_and_the_earliest_is_taken() -> None:
    wishes = run_of("wishes", build.wish_withdrawn("w9", at=55, area="north"), build.wish(at=10, area="south"))
    responses = run_of("responses", build.claim(at=12, area="south"), build.claim("w9", at=20, area="north"))
    items = intake.in_order(intake.by_topic([wishes, responses]))
    assert [("responses", 12), ("responses", 20), ("wishes", 55), ("wishes", 10)] == [(item.record.topic, said_at(item)) for item in items]


def test_by_event_time_what_was_said_first_is_decided_first_in_whatever_order_a_topic_holds_it() -> None:
    wishes, offers = run_of("wishes", build.wish("w1", at=50), build.wish("w2", at=10)), run_of("offers", build.offer("o1", at=60), build.offer("o2", at=20))
    items = intake.by_time(intake.by_topic([wishes, offers]))
    assert [("wishes", 10), ("offers", 20), ("wishes", 50), ("offers", 60)] == [(item.record.topic, said_at(item)) for item in items]


def test_by_event_time_offers_and_wishes_of_one_time_go_by_their_ids_and_what_is_said_about_them_as_it_came() -> None:
    there, back = (build.offer("o1"), build.offer("o2"), build.offer_withdrawn("o2")), (build.wish("w2"), build.wish("w1"))
    answers = run_of("responses", build.claim("w2", "o2"), build.claim("w1", "o1"))
    one = intake.by_time(intake.by_topic([run_of("offers", *there), run_of("wishes", *back), answers]))
    other = intake.by_time(intake.by_topic([answers, run_of("wishes", *reversed(back)), run_of("offers", there[1], there[2], there[0])]))
    expected = [("offers", "o1"), ("offers", "o2"), ("offers", "o2"), ("wishes", "w1"), ("wishes", "w2"), ("responses", "w2"), ("responses", "w1")]
    for items in (one, other):
        assert expected == [(item.record.topic, subject_of(item)) for item in items]
    assert "lastmetre.offer.withdrawn.v1" == kind_of(one[2]) == kind_of(other[2])


def test_by_event_time_an_event_that_comes_again_stays_behind_its_first_arrival_whatever_it_says() -> None:
    wishes = run_of("wishes", build.wish("w2", at=20, event_id="e"), build.wish("w1", at=20, event_id="e"), build.wish("w3", at=10, event_id="e"))
    items = intake.by_time(intake.by_topic([wishes, run_of("offers", build.offer(at=10))]))
    assert [("offers", 0), ("wishes", 0), ("wishes", 1), ("wishes", 2)] == [(item.record.topic, item.record.offset) for item in items]


def test_what_can_not_be_stored_as_one_goes_as_its_topics_do() -> None:
    wishes = run_of("wishes", build.wish("w1", at=50), build.wish("w2", at=10))
    runs = intake.by_topic([wishes, run_of("offers", build.offer(at=20))])
    items = intake.by_time(runs)
    assert [1, 0] == [item.record.offset for item in items if item.record.topic == "wishes"]
    assert intake.in_order(runs) == intake.as_topics_go(items)


def subject_of(item: Item) -> str:
    assert item.event is not None
    return str(item.event.data.offer_id if item.record.topic == "offers" else item.event.data.wish_id)


def kind_of(item: Item) -> str:
    assert item.event is not None
    return item.event.type


def said_at(item: Item) -> int:
    assert item.event is not None
    return (item.event.time - build.instant(0)) // MINUTE_US


def area_of(item: Item) -> str:
    assert item.event is not None
    return item.event.area


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("north", "south", "west")), st.sampled_from(("offers", "wishes", "responses")), st.integers(0, 9)), max_size=20))
def test_lines_that_each_area_says_in_order_are_decided_in_that_order_however_the_areas_are_mixed(said: list[tuple[str, str, int]]) -> None:
    clocks: dict[str, int] = {}
    lines: dict[str, list[Event]] = {}
    for area, topic, later in said:
        clocks[area] = clocks.get(area, 0) + later
        lines.setdefault(topic, []).append(_LINES[topic](at=clocks[area], area=area))
    items = intake.in_order(intake.by_topic([run_of(topic, *events) for topic, events in lines.items()]))
    for area in clocks:
        own = [said_at(item) for item in items if area_of(item) == area]
        assert sorted(own) == own
    for topic, events in lines.items():
        assert list(range(len(events))) == [item.record.offset for item in items if item.record.topic == topic]
