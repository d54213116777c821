"""What a record of `matches` says: pure. `inbox` comes in with each record.

What the matcher decides it alone decides: people are told on its word. Who else may write to the topic (workers' tools send dead letters again) is the broker's
affair, and where it is not secured, nobody's. So an event under another name than the matcher's has no effect, not even on an area's clock.

Most records are proposals as the matcher writes them. They are read for what this service needs, each of these fields held to its shape, and not against the
contract as a whole: that took more time than all that is decided here. Whatever is otherwise in anything is read like anybody's event.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, get_args

import orjson
from aiokafka import ConsumerRecord

from schemas import shapes, sources
from schemas.codec import Event, decode
from schemas.errors import InvalidEvent
from schemas.instants import parse_rfc3339
from schemas.matches import How, MatchProposed
from schemas.personal import is_bare_number
from schemas.place import Rung
from schemas.topics import EVENT_MAX_BYTES
from schemas.wishes import Category, Urgency
from services.notifier.proposals import Proposal

# Why an event that is valid has no effect: the matcher did not write it.
FOREIGN: Final = "not_the_matchers"
PROPOSED: Final = "lastmetre.match.proposed.v1"
# The headers that are the same on every proposal of the matcher, and those that differ.
_SAME: Final = {"content-type": b"application/json", "ce_specversion": b"1.0", "ce_type": PROPOSED.encode(), "ce_source": sources.MATCHER.encode()}
_HEADERS: Final = len(_SAME) + 4
_FIELDS: Final = frozenset(MatchProposed.model_fields)
_RUNGS: Final = frozenset(rung.value for rung in Rung)
_HOWS: Final = frozenset(get_args(How))
_CATEGORIES: Final = frozenset((None, *get_args(Category)))
_URGENCIES: Final = frozenset((None, *get_args(Urgency)))
_ID_MAX_CHARACTERS: Final = 128
# Slots begin on few times of a day, and a batch of the matcher's has one.
_instant: Final = lru_cache(maxsize=8192)(parse_rfc3339)
_is_code: Final = lru_cache(re.compile(shapes.CODE).fullmatch)
_is_circle: Final = lru_cache(re.compile(shapes.CIRCLE).fullmatch)


@dataclass(slots=True)
class Letter:
    """One record, and either its event or why it has none; `outcome` is what came of it."""

    record: ConsumerRecord[Any, Any]
    event: Event | None
    fault: InvalidEvent | None
    outcome: str = ""


def read(record: ConsumerRecord[Any, Any]) -> Letter:
    """A record as a letter: with its event, with the fault for which it is set aside, or with neither where it is not the matcher's."""
    try:
        event = _as_the_matcher_writes(record) or decode(record.topic, record.value, record.headers)
    except InvalidEvent as fault:
        return Letter(record, None, fault)
    if event.source != sources.MATCHER:
        return Letter(record, None, None, FOREIGN)
    return Letter(record, event, None)


def _as_the_matcher_writes(record: ConsumerRecord[Any, Any]) -> Event | None:
    """The event of a proposal that is written as the matcher writes them; None where anything is otherwise, valid or not."""
    given, value = dict(record.headers), record.value
    if len(record.headers) != _HEADERS or any(given.get(name) != content for name, content in _SAME.items()):
        return None
    try:
        event_id, subject, area = given["ce_id"].decode(), given["ce_subject"].decode(), given["ce_partitionkey"].decode()
        time_text = given["ce_time"].decode()
        time, data = _instant(time_text), orjson.loads(value)
        # Written again it is the same, so no key is there twice.
        if len(value) > EVENT_MAX_BYTES or orjson.dumps(data) != value or data["area"] != area or not data.keys() <= _FIELDS:
            return None
        proposal = _proposal(data)
        names = (event_id, subject, proposal.match_id, proposal.wish_id, proposal.offer_id, proposal.resident_ref, proposal.volunteer_ref)
        if not _are_ids(names) or any(map(is_bare_number, (event_id, subject, area, proposal.resident_ref, proposal.volunteer_ref))) or not _is_circle(area):
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Event(event_id, sources.MATCHER, PROPOSED, time, time_text, subject, area, proposal, value, {})


def _are_ids(names: Sequence[str]) -> bool:
    """Whether each is 1 to 128 printable characters of ASCII without blanks. Raises TypeError where one is no text."""
    text = " ".join(names)
    return (
        text.isascii()
        and text.isprintable()
        and "" not in (parts := text.split(" "))
        and len(parts) == len(names)
        and max(map(len, parts)) <= _ID_MAX_CHARACTERS
    )


def _proposal(data: dict[str, Any]) -> Proposal:
    """The fields that this service needs, and those beside them held to their shape; ValueError, TypeError or KeyError where one is otherwise."""
    get, slot, expires_at = data.get, data["slot"], data["expires_at"]
    for instant in (slot["start"], slot["end"]) if expires_at is None else (slot["start"], slot["end"], expires_at):
        _instant(instant)
    needs_answer, needs_approval, minor = data["needs_answer"], get("needs_approval", False), get("minor", False)
    if (
        len(slot) != 2
        or not (type(needs_answer) is type(needs_approval) is type(minor) is bool)
        or data["rung"] not in _RUNGS
        or data["how"] not in _HOWS
        or get("category") not in _CATEGORIES
        or get("urgency") not in _URGENCIES
        # What is seldom there is left to the contract.
        or not (get("group_id") is get("group_size") is get("organisation") is None)
        or type(data["reasons"]) is not list
    ):
        raise ValueError
    for reason in data["reasons"]:
        if len(reason) != 2 or not _is_code(reason["code"]) or type(reason["value"]) not in {str, int}:
            raise ValueError
    return Proposal(
        data["area"], data["match_id"], data["wish_id"], data["offer_id"], data["resident_ref"], data["volunteer_ref"], get("category"), data["rung"],
        (slot["start"], slot["end"]), None, None, None, get("urgency"), minor, needs_answer, needs_approval, expires_at,
    )  # fmt: skip
