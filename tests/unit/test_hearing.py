"""What the notifier's readers take from a record before, or in place of, holding it against the contract; in sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from schemas.codec import decode, headers_of
from schemas.instants import micros, parse_rfc3339
from schemas.lanes import partition_of
from schemas.topics import CONFIRMATIONS
from services.notifier.book import PARTIES, Match, Notice, Told, Untold, notice_key
from services.notifier.hearing import Heard, heard
from services.notifier.neighbours import sifted
from services.notifier.outbox import CLOSED, CONFIRMED, FAILED, SOURCE, outgoing_of
from services.notifier.outgoing import Outgoing
from services.notifier.visiting import closed_event
from services.notifier.visits import End, Visit
from services.notifier.visits_store import Begun

AREA = "hightech"
LANE = partition_of(AREA)
NOW = "2026-11-23T08:00:00Z"
SLOT = ("2026-11-24T09:00:00+08:00", "2026-11-24T10:00:00+08:00")
STARTS, ENDS = (parse_rfc3339(text) for text in SLOT)
WORDS = ("中心户",)


def match_of() -> Match:
    match = Match("m-1", "w-1", "o-1", AREA, LANE, "r-1", "v-1", "repair", "building", SLOT, None, None, "confirmed")
    for party in PARTIES:
        key = notice_key("m-1", party, "confirmed")
        match.notices[party, "confirmed"] = Notice(
            key, "m-1", "w-1", LANE, AREA, party, "confirmed", "r-1", "zh-CN", "", SLOT, "sent", channel="console", sent_at=NOW
        )
    return match


def record_of(one: Outgoing) -> Any:
    return SimpleNamespace(topic=one.topic, key=one.key, partition=one.partition, headers=one.headers, value=one.value)


CONFIRMATION = record_of(outgoing_of(Told(match_of()), NOW))


def replaced(**other: Any) -> Any:
    """The confirmation's record, with something else in it."""
    return SimpleNamespace(**vars(CONFIRMATION) | other)


def with_data(**changes: Any) -> bytes:
    """The confirmation's body; a field that is None is left out."""
    data = orjson.loads(CONFIRMATION.value) | changes
    return orjson.dumps({name: content for name, content in data.items() if content is not None})


def test_what_this_service_confirms_is_heard_as_anybody_would_read_it() -> None:
    event = decode(CONFIRMATIONS, CONFIRMATION.value, CONFIRMATION.headers)
    begun = Begun((AREA, "w-1", "o-1"), "m-1", micros(event.data.slot.start), micros(event.data.slot.end), micros(event.data.confirmed_at))
    assert Heard(CONFIRMED, AREA, event.time, begun) == heard(CONFIRMATION)
    assert Begun((AREA, "w-1", "o-1"), "m-1", STARTS, ENDS, parse_rfc3339(NOW)) == begun


def test_a_confirmation_from_elsewhere_is_held_against_the_contract() -> None:
    headers = headers_of(CONFIRMED, "e-1", "elsewhere", NOW, "m-1", AREA)
    found = heard(replaced(headers=headers))
    assert found is not None
    assert Begun((AREA, "w-1", "o-1"), "m-1", STARTS, ENDS, parse_rfc3339(NOW)) == found.begun
    assert heard(replaced(headers=headers, value=with_data(notices=[]))) is None


@pytest.mark.parametrize("missing", ["area", "match_id", "wish_id", "offer_id", "slot"])
def test_one_that_lacks_what_a_visit_needs_is_not_ours_to_judge_whoever_wrote_it(missing: str) -> None:
    assert heard(replaced(value=with_data(**{missing: None}))) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"[]",
        b"\xff",
        b"null",
        with_data(match_id=7),
        with_data(area="elsewhere"),
        with_data(slot={"start": "soon", "end": "later"}),
        with_data(slot="today"),
        with_data(slot={"start": 1, "end": 2}),
    ],
)
def test_bytes_that_are_no_confirmation_begin_nothing(value: bytes | None) -> None:
    assert heard(replaced(value=value)) is None


@pytest.mark.parametrize("place", [{"key": b"elsewhere"}, {"key": None}, {"partition": (LANE + 1) % 6}])
def test_what_came_under_a_wrong_key_or_partition_begins_nothing(place: dict[str, Any]) -> None:
    assert heard(replaced(**place)) is None


def test_of_a_failure_and_of_a_closing_only_the_time_counts() -> None:
    visit = Visit("m-1", "w-1", "o-1", AREA, LANE, "v-1", None, STARTS, ENDS)
    for one, kind in (
        (outgoing_of(Untold(match_of(), "refused"), NOW), FAILED),
        (closed_event(visit, End("done", 60, "resident", parse_rfc3339(NOW)), parse_rfc3339(NOW)), CLOSED),
    ):
        assert Heard(kind, AREA, parse_rfc3339(NOW)) == heard(record_of(one))
    assert SOURCE == "lastmetre/notifier"


# ---- stairways


def offer(organisation: str | None = None, kind: str = "posted", *, escaped: bool = False) -> Any:
    data = {"area": AREA, "offer_id": "o-1"} | ({"organisation": organisation} if organisation else {})
    value = orjson.dumps(data)
    if escaped and organisation:
        value = value.replace(organisation.encode(), organisation.encode("unicode_escape"))
    return SimpleNamespace(topic="offers", value=value, headers=headers_of(f"lastmetre.offer.{kind}.v1", "e-1", "app", NOW, "o-1", AREA))


def wish(place: dict[str, str], kind: str = "submitted") -> Any:
    value = orjson.dumps({"area": AREA, "wish_id": "w-1", "place": place})
    return SimpleNamespace(topic="wishes", value=value, headers=headers_of(f"lastmetre.wish.{kind}.v1", "e-1", "app", NOW, "w-1", AREA))


def test_an_offer_that_names_a_centre_household_is_read_however_it_is_written() -> None:
    for one in (offer("三栋一单元中心户"), offer("三栋一单元中心户", escaped=True)):
        assert ([one], []) == sifted([one], WORDS)


def test_any_other_offer_can_only_take_a_household_out() -> None:
    for one in (offer(), offer("第一党支部"), offer(kind="withdrawn")):
        assert ([], [((AREA, "o-1"), one)]) == sifted([one], WORDS)


def test_a_wish_is_read_where_it_names_a_stairway() -> None:
    with_unit, without = wish({"community": "c", "unit": "u1"}), wish({"community": "c"})
    assert ([with_unit], []) == sifted([with_unit, without], WORDS)


def test_events_from_which_nothing_follows_for_stairways_are_passed_over() -> None:
    assert ([], []) == sifted([wish({"unit": "u1"}, "withdrawn"), offer(kind="suspended")], WORDS)


def test_a_structured_event_is_read_and_what_is_no_offer_at_all_is_not() -> None:
    structured = SimpleNamespace(topic="offers", value=b"{}", headers=[("content-type", b"application/cloudevents+json")])
    posted = headers_of("lastmetre.offer.posted.v1", "e-1", "app", NOW, "o-1", AREA)
    broken = [SimpleNamespace(topic="offers", value=value, headers=posted) for value in (None, b"\xff", b"[]", b'{"area": 1, "offer_id": "o"}')]
    assert ([structured], []) == sifted([structured, *broken], WORDS)
