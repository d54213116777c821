"""What the notifier takes from a record of `matches` before, or in place of, holding it against the contract; in sentences."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import sources
from schemas.codec import Event, decode, headers_of
from schemas.errors import InvalidEvent
from schemas.matches import MatchProposed
from schemas.topics import MATCHES
from services.notifier.proposals import Proposal, proposal_of
from services.notifier.reading import FOREIGN, PROPOSED, read
from tests.contract import stored

AREA = "hightech"
NOW = "2026-11-23T08:00:00.123456Z"
USUAL: dict[str, Any] = {
    "area": AREA,
    "match_id": "m-1",
    "wish_id": "w-1",
    "offer_id": "o-1",
    "resident_ref": "r-1",
    "volunteer_ref": "v-1",
    "rung": "building",
    "slot": {"start": "2026-11-24T08:00:00Z", "end": "2026-11-24T09:00:00Z"},
    "how": "paired",
    "reasons": [{"code": "near", "value": "building"}, {"code": "weight", "value": 7}],
    "needs_answer": False,
    "expires_at": None,
    "category": "repair",
    "urgency": "red",
    "minor": False,
}


def headers(**changed: bytes | None) -> list[tuple[str, bytes | None]]:
    """As the matcher writes them, with others in place of some."""
    usual = dict(headers_of(PROPOSED, "e-1", sources.MATCHER, NOW, "m-1", AREA))
    return list((usual | changed).items())


def record(value: bytes | None = None, given: list[tuple[str, bytes | None]] | None = None, **changed: Any) -> Any:
    return SimpleNamespace(topic=MATCHES, value=orjson.dumps(USUAL | changed) if value is None else value, headers=headers() if given is None else given)


def by_the_contract(one: Any) -> Event | str:
    """What the contract says of a record: its event, or why it is none."""
    try:
        return decode(one.topic, one.value, one.headers)
    except InvalidEvent as fault:
        return fault.reason


def assert_read_as_by_the_contract(one: Any) -> None:
    letter, expected = read(one), by_the_contract(one)
    if isinstance(expected, str):
        assert letter.event is None
        assert letter.fault is not None
        assert expected == letter.fault.reason
        return
    if expected.source != sources.MATCHER:
        assert (None, None, FOREIGN) == (letter.event, letter.fault, letter.outcome)
        return
    event = letter.event
    assert event is not None
    for name in ("id", "source", "type", "time", "time_text", "subject", "partitionkey", "raw", "extensions", "area"):
        assert getattr(expected, name) == getattr(event, name)
    given = event.data if isinstance(event.data, Proposal) else proposal_of(event.data, event.raw) if isinstance(event.data, MatchProposed) else event.data
    assert (proposal_of(expected.data, expected.raw) if isinstance(expected.data, MatchProposed) else expected.data) == given


def is_short(one: Any) -> bool:
    """Whether the shorter way was taken."""
    event = read(one).event
    return event is not None and isinstance(event.data, Proposal)


def assert_held_against_the_contract(one: Any) -> None:
    assert not is_short(one)
    assert_read_as_by_the_contract(one)


@pytest.mark.parametrize(
    "changed",
    [{}, {"needs_answer": True, "expires_at": "2026-11-23T09:00:00+08:00"}, {"needs_approval": True}, {"minor": True, "category": None}, {"reasons": []}],
    ids=str,
)
def test_what_the_matcher_writes_is_read_as_anybody_would_read_it(changed: dict[str, Any]) -> None:
    one = record(**changed)
    assert is_short(one)
    assert_read_as_by_the_contract(one)


ODD: list[Any] = [
    *(None, True, 0, 1, -1, 2.5, "", " ", "a b", "m-2", "x" * 129, "名", "a\nb", "13812345678", "building", "unit", "soon", NOW, "2026-02-30T08:00:00Z"),
    *("2026-11-23T08:00:00+08:99", "2026-11-23 08:00:00z", [], {}, [1], [[]], [NOW, NOW]),
    *([{"code": "near", "value": True}], [{"code": "NEAR", "value": 1}], [{"code": "near\n", "value": 1}], [{"code": "near"}]),
    *([{"code": "near", "value": 1, "note": "x"}], [{"code": "near", "value": [1]}]),
    *({"start": NOW}, {"start": NOW, "end": "soon"}, {"start": NOW, "end": NOW, "room": 1}, {"start": 1, "end": 2}),
]  # fmt: skip


@given(st.sampled_from([*MatchProposed.model_fields, "note", "Phone"]), st.sampled_from(ODD))
def test_whatever_stands_in_a_field_the_contract_says_whether_it_may(name: str, content: Any) -> None:
    assert_read_as_by_the_contract(record(**{name: content}))


@pytest.mark.parametrize("name", USUAL)
def test_a_field_that_is_missing_is_missed_where_the_contract_misses_it(name: str) -> None:
    assert_read_as_by_the_contract(record(orjson.dumps({key: content for key, content in USUAL.items() if key != name})))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b'"m"',
        orjson.dumps(USUAL)[:-1],
        orjson.dumps(USUAL)[:-1] + b',"match_id":"m-2"}',
        orjson.dumps(USUAL)[:-1] + b',"ballast":"' + b"x" * 1024 * 1024 + b'"}',
        orjson.dumps(USUAL, option=orjson.OPT_INDENT_2),
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=range(10),
)
def test_bytes_that_the_matcher_would_not_write_are_held_against_the_contract(value: bytes) -> None:
    assert_held_against_the_contract(record(value))


@pytest.mark.parametrize(
    "given_headers",
    [
        headers(ce_source=b"elsewhere"),
        headers(ce_source=b"lastmetre/matcher/"),
        headers(ce_type=b"lastmetre.match.agreed.v1"),
        headers(ce_type=b"lastmetre.match.proposed.v2"),
        headers(ce_specversion=b"0.3"),
        headers(ce_id=b""),
        headers(ce_id=None),
        headers(ce_id=b"a b"),
        headers(ce_id=b"\xff"),
        headers(ce_id=b"13812345678"),
        headers(ce_time=b"soon"),
        headers(ce_subject=b"13812345678"),
        headers(ce_partitionkey=b"elsewhere"),
        headers(ce_traceparent=b"00-1"),
        headers()[:-1],
        [*headers()[:-1], ("ce_id", b"e-2")],
        [*headers(), ("ce_id", b"e-2")],
        [],
    ],
    ids=str,
)
def test_headers_that_the_matcher_would_not_write_are_held_against_the_contract(given_headers: list[tuple[str, bytes | None]]) -> None:
    assert_held_against_the_contract(record(given=given_headers))


@pytest.mark.parametrize("example", [one for one in (*stored.good(), *stored.bad()) if one.topic == MATCHES], ids=lambda one: one.name)
def test_every_example_of_the_contract_is_read_as_it_says(example: stored.Stored) -> None:
    as_given = SimpleNamespace(topic=example.topic, value=example.value, headers=example.headers)
    assert_read_as_by_the_contract(as_given)
    named = [(name, sources.MATCHER.encode() if name == "ce_source" else content) for name, content in example.headers]
    assert_read_as_by_the_contract(SimpleNamespace(topic=example.topic, value=example.value, headers=named))


def test_a_valid_event_under_another_name_is_nobodys_word() -> None:
    letter = read(record(given=headers(ce_source=b"lastmetre/gateway")))
    assert (None, None, FOREIGN) == (letter.event, letter.fault, letter.outcome)
