"""A dead letter is the record as it came, and where it is larger than any topic takes, its beginning: what can't be published would hold up all the rest."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from deploy.tools.dlq import Letter
from schemas.dead_letters import dead_letter
from schemas.errors import InvalidEvent
from schemas.topics import DEAD_LETTER_MAX_BYTES, EVENT_ACCEPTED_MAX_BYTES, EVENT_MAX_BYTES, MIB
from services.gateway.board.dead_letters import mended
from services.gateway.door.examples import structured

FAULT = InvalidEvent("too_large")
PHONE = b"13912345678"


def record(value: bytes | None, key: bytes | None = b"area", headers: tuple[tuple[str, bytes | None], ...] = ()) -> Any:
    return SimpleNamespace(topic="wishes", partition=3, offset=14, key=key, value=value, headers=headers)


def test_what_a_topic_takes_is_kept_whole() -> None:
    value, headers = b" " * (EVENT_ACCEPTED_MAX_BYTES - 200), (("ce_id", b"e-1"), ("dlq-reason", b"of another time"), ("none", None))
    key, kept, said = dead_letter(record(value, headers=headers), FAULT)
    assert (b"area", value) == (key, kept)
    assert [("ce_id", b"e-1"), ("none", None)] == said[:2]
    assert {"dlq-reason": b"too_large", "dlq-topic": b"wishes", "dlq-partition": b"3", "dlq-offset": b"14"}.items() <= dict(said).items()
    assert "dlq-cut" not in dict(said)


# Made by the test that wants it: what stands in the list is held by each process of the session to its end.
@pytest.mark.parametrize(
    "made",
    [
        lambda: record(b"x" * (20 * MIB)),
        lambda: record(b"x" * MIB, key=b"k" * (20 * MIB)),
        lambda: record(None, headers=(("h" * (10 * MIB), b"v" * (10 * MIB)),)),
        lambda: record(None, headers=(("名" * (4 * MIB), None),)),
    ],
    ids=["value", "key", "headers", "a header's name"],
)
def test_what_no_topic_takes_is_cut_to_what_a_dead_letter_holds_and_says_so(made: Callable[[], Any]) -> None:
    large = made()
    key, value, headers = dead_letter(large, FAULT)
    size = len(large.key or b"") + len(large.value or b"") + sum(len(name.encode()) + len(content or b"") for name, content in large.headers)
    assert str(size).encode() == dict(headers)["dlq-cut"]
    assert sum(len(name) + len(content or b"") for name, content in headers) + len(key or b"") + len(value or b"") < DEAD_LETTER_MAX_BYTES // 4
    assert large.key is None or large.key.startswith(key)
    assert large.value is None or large.value.startswith(value)


@pytest.mark.parametrize("before", range(-len(PHONE), 1))
def test_no_number_is_cut_in_two_and_half_of_it_left(before: int) -> None:
    value = b" " * (EVENT_MAX_BYTES + before) + PHONE + b" " * (20 * MIB)
    _, kept, _ = dead_letter(record(value), FAULT)
    assert kept is not None
    assert not any(digit in kept for digit in PHONE)


def test_a_number_in_the_key_is_masked() -> None:
    assert b"tel " + b"*" * len(PHONE) == dead_letter(record(None, key=b"tel " + PHONE), FAULT)[0]


# --- sent again


def letter(kind: str, reason: str = "wrong_topic", topic: str = "offers") -> Letter:
    headers = [("ce_type", kind.encode()), ("dlq-reason", reason.encode()), ("dlq-topic", topic.encode())]
    return Letter(SimpleNamespace(topic=f"{topic}-dlq", partition=0, offset=0, key=b"area", value=b"{}", headers=headers))


def test_what_came_on_a_wrong_topic_is_sent_to_that_of_its_type() -> None:
    strayed, other = letter("lastmetre.wish.submitted.v1"), letter("lastmetre.offer.posted.v1", "invalid_field")
    assert ("wishes", None, "offers", None) == (strayed.target, strayed.hindrance, other.target, other.hindrance)


@pytest.mark.parametrize("kind", ["lastmetre.match.proposed.v1", "lastmetre.match.confirmed.v1", "nothing.known"])
def test_what_only_services_say_is_not_sent_to_their_topics_by_hand_as_it_would_be_believed(kind: str) -> None:
    strayed = letter(kind)
    assert strayed.target is None
    assert "only services publish" in (strayed.hindrance or ("", ""))[1]


@pytest.mark.parametrize(("reason", "fine"), [("wrong_topic", True), ("invalid_field", False)])
def test_a_worker_publishes_what_came_on_a_wrong_topic_as_it_is_and_on_the_right_one(reason: str, fine: bool) -> None:
    event = structured("wish.submitted.v1")
    found = {"topic": "offers-dlq", "reason": reason, "kind": event["type"], "area": event["data"]["area"], "headers": []}
    text = orjson.dumps(event).decode()
    if fine:
        assert event["id"] == mended(text, found).id
    else:
        with pytest.raises(InvalidEvent, match="own topic"):
            mended(text, found)
