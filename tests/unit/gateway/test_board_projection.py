"""The board's projection: states follow from facts, in whatever order the topics are read."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from schemas.codec import Event
from schemas.registry import MODEL_OF, TOPIC_OF
from services.gateway.board.projection import KINDS, Book, instant, short
from tests import builders
from tests.builders import event, text_of, window
from tests.builders import instant as minute

START = instant(minute(0))


def proposed(match_id: str = "m1", *, at: float = 1, offer_id: str = "o1", wish_id: str = "w1", **more: Any) -> Event:
    data = {
        "match_id": match_id,
        "wish_id": wish_id,
        "offer_id": offer_id,
        "resident_ref": "resident-1",
        "volunteer_ref": f"volunteer-of-{offer_id}",
        "rung": "building",
        "slot": window(60, 120),
        "how": "paired",
        "reasons": [{"code": "rung", "value": "building"}],
        "needs_answer": False,
        "expires_at": None,
        **more,
    }
    return event("match.proposed.v1", match_id, data, at=at)


def of_match(kind: str, match_id: str = "m1", *, at: float, offer_id: str = "o1", wish_id: str = "w1", **more: Any) -> Event:
    return event(kind, match_id, {"match_id": match_id, "wish_id": wish_id, "offer_id": offer_id, **more}, at=at)


def confirmed(match_id: str = "m1", *, at: float = 2, **more: Any) -> Event:
    told = [{"to": side, "channel": "simulated", "at": text_of(at)} for side in ("resident", "volunteer")]
    return of_match("match.confirmed.v1", match_id, at=at, rung="building", slot=window(60, 120), confirmed_at=text_of(at), notices=told, **more)


def closed(match_id: str = "m1", *, at: float = 130, outcome: str = "done", **more: Any) -> Event:
    return of_match("match.closed.v1", match_id, at=at, outcome=outcome, minutes=60, closed_at=text_of(at), by="resident", **more)


def answer(kind: str, *, at: float, offer_id: str = "o1", wish_id: str = "w1", **more: Any) -> Event:
    return event(kind, wish_id, {"wish_id": wish_id, "offer_id": offer_id, **more}, at=at)


def board_of(events: Iterable[Event], batches: int = 1) -> Book:
    """The board after these events; in so many batches, each on a book that knows the rows of the last."""
    events = list(events)
    book = Book()
    size = max(1, -(-len(events) // batches))
    for first in range(0, len(events), size):
        after = Book(seen=book.seen)
        after.know(
            book.wishes.values(),
            [match for matches in book.matches.values() for match in matches.values()],
            [report for reports in book.reports.values() for report in reports.values()],
            [one for invitations in book.invitations.values() for one in invitations.values()],
            book.offers.values(),
        )
        for one in events[first : first + size]:
            after.take(one, instant(one.time))
        after.settle()
        book = after
    return book


def rows_of(book: Book) -> dict[str, Any]:
    return {
        "wishes": {key: asdict(wish) for key, wish in book.wishes.items()},
        "matches": {(*key, match_id): asdict(match) for key, matches in book.matches.items() for match_id, match in matches.items()},
        "reports": {key: asdict(report) for reports in book.reports.values() for key, report in reports.items()},
        "invitations": {(*key, offer): asdict(one) for key, found in book.invitations.items() for offer, one in found.items()},
        "offers": {key: asdict(offer) for key, offer in book.offers.items()},
    }


def wish_state(*events: Event) -> str:
    return board_of(events).wishes[builders.AREA, "w1"].state


WISH = builders.wish("w1", at=0)


@pytest.mark.parametrize(
    ("state", "events"),
    [
        ("open", [WISH]),
        ("held", [WISH, proposed()]),
        ("held", [WISH, proposed(), of_match("match.agreed.v1", at=2)]),
        ("matched", [WISH, proposed(), confirmed()]),
        ("matched", [WISH, proposed(), confirmed(), answer("service.started.v1", at=60)]),
        ("closed", [WISH, proposed(), confirmed(), closed()]),
        ("open", [WISH, proposed(), confirmed(), closed(outcome="not_done")]),
        ("open", [WISH, proposed(), confirmed(), closed(outcome="partly")]),
        ("open", [WISH, proposed(), of_match("match.released.v1", at=3, reason="declined")]),
        ("open", [builders.wish("w1", helpers=2), proposed(), confirmed()]),
        ("withdrawn", [WISH, event("wish.withdrawn.v1", "w1", {"wish_id": "w1"}, at=5)]),
        ("closed", [WISH, proposed(), confirmed(), closed(), event("wish.withdrawn.v1", "w1", {"wish_id": "w1"}, at=140)]),
        ("expired", [WISH, event("wish.expired.v1", "w1", {"wish_id": "w1", "filled": 0}, at=240)]),
    ],
)
def test_the_state_of_a_wish_follows_from_what_was_said(state: str, events: Sequence[Event]) -> None:
    assert state == wish_state(*events)


@pytest.mark.parametrize(("cause", "state"), [("confirmation_failed", "withdrawn"), ("offer_suspended", "open")])
def test_a_wish_that_ended_as_no_consent_holds_is_shown_as_withdrawn(cause: str, state: str) -> None:
    released = of_match("match.released.v1", at=3, reason="unsafe", cause=cause)
    assert state == wish_state(WISH, proposed(), released)
    assert state == wish_state(released, proposed(), WISH)


def test_a_match_may_be_heard_of_before_its_wish() -> None:
    events = [confirmed(), proposed()]
    assert board_of(events).wishes == {}
    assert wish_state(*events, WISH) == "matched"


@pytest.mark.parametrize(("first", "state"), [("done", "closed"), ("partly", "open")])
def test_a_group_that_one_helper_of_helped_is_closed(first: str, state: str) -> None:
    events = [builders.wish("w1", helpers=2, accompanied=True)]
    for match_id, offer_id, outcome in (("m1", "o1", first), ("m2", "o2", "not_done")):
        more: dict[str, Any] = {"offer_id": offer_id, "group_id": "g1"}
        events += [proposed(match_id, group_size=2, **more), confirmed(match_id, **more), closed(match_id, outcome=outcome, offer_id=offer_id)]
    assert wish_state(*events) == state


def test_what_names_no_match_is_about_the_last_of_the_pair() -> None:
    events = [WISH, proposed("m1"), of_match("match.released.v1", "m1", at=3, reason="group_incomplete"), proposed("m2", at=4), confirmed("m2", at=5)]
    book = board_of([answer("service.started.v1", at=60), *events])
    states = {match_id: match.state for match_id, match in book.matches[builders.AREA, "w1"].items()}
    assert states == {"m1": "released", "m2": "started"}


def test_an_offer_that_was_withdrawn_later_is_not_posted_again_by_an_older_word() -> None:
    withdrawn = event("offer.withdrawn.v1", "o1", {"offer_id": "o1"}, at=5)
    older = board_of([builders.offer("o1", at=0), withdrawn, builders.offer("o1", at=3)])
    newer = board_of([builders.offer("o1", at=0), withdrawn, builders.offer("o1", at=6)])
    assert [older.offers[builders.AREA, "o1"].state, newer.offers[builders.AREA, "o1"].state] == ["withdrawn", "open"]


def test_of_two_postings_of_an_offer_the_later_said_is_shown() -> None:
    book = board_of([builders.offer("o1", at=5, level=0), builders.offer("o1", at=1, level=4)])
    assert 0 == book.offers[builders.AREA, "o1"].vetting_level


def test_an_invitation_ends_with_an_answer_or_with_the_wish() -> None:
    invited = event("helper.invited.v1", "w1", {"wish_id": "w1", "offer_id": "o1", "expires_at": text_of(30)}, at=1)
    key = (builders.AREA, "w1")
    ends = {
        "none": [],
        "declined": [answer("match.declined.v1", at=2)],
        "somebody else": [proposed(offer_id="o2", at=2)],
        "it": [proposed(offer_id="o1", at=2)],
        "somebody else, who is gone again": [proposed(offer_id="o2", at=2), of_match("match.released.v1", offer_id="o2", at=3, reason="declined")],
    }
    live = {name: board_of([WISH, invited, *end]).invitations[key]["o1"].live for name, end in ends.items()}
    assert live == {"none": True, "declined": False, "somebody else": False, "it": False, "somebody else, who is gone again": False}
    again = event("helper.invited.v1", "w1", {"wish_id": "w1", "offer_id": "o1", "expires_at": text_of(40)}, at=3)
    assert board_of([WISH, invited, *ends["somebody else, who is gone again"], again]).invitations[key]["o1"].live


def test_a_withdrawal_by_a_worker_who_froze_the_wish_shows() -> None:
    book = board_of([WISH, event("wish.withdrawn.v1", "w1", {"wish_id": "w1", "reason": "frozen: duplicate"}, at=5)])
    assert book.wishes[builders.AREA, "w1"].frozen


def test_every_type_of_the_contract_is_on_the_board() -> None:
    assert {short(kind) for kind in MODEL_OF} == KINDS


def test_a_line_of_the_stream_says_no_free_text_and_waits_for_its_wish() -> None:
    early = board_of([event("match.declined.v1", "w1", {"wish_id": "w1", "offer_id": "o1", "reason": "灯不亮了"}, at=2)])
    assert [(line.placed, line.brief) for line in early.news] == [(False, {})]
    both = board_of([proposed(), WISH])
    assert [(line.placed, line.community, line.brief.get("title")) for line in both.news] == [(True, "c1", "理发")] * 2


def _day(dice: random.Random) -> list[Event]:
    """A made-up day about a few wishes: every kind of event, also such as cannot follow each other, with and without match ids."""
    events: list[Event] = []
    for number in range(3):
        wish_id = f"w{number}"
        at = iter(sorted(dice.sample(range(1, 400), 16)))
        if dice.random() < 0.9:
            events.append(builders.wish(wish_id, at=next(at), helpers=dice.choice((1, 1, 2)), where=dice.choice(("c1/p1", "c2/p1/b1"))))
        for trial in range(dice.randint(0, 3)):
            match_id, offer_id = f"{wish_id}-m{trial}", f"o{dice.randint(1, 2)}"
            pair = {"wish_id": wish_id, "offer_id": offer_id}
            story = [
                event("helper.invited.v1", wish_id, {**pair, "expires_at": text_of(500)}, at=next(at)),
                proposed(match_id, at=next(at), **pair),
                of_match("match.agreed.v1", match_id, at=next(at), **pair),
                confirmed(match_id, at=next(at), **pair),
                closed(match_id, at=next(at), outcome=dice.choice(("done", "partly", "not_done")), **pair),
                of_match("match.released.v1", match_id, at=next(at), reason="declined", **pair),
                of_match("confirmation.failed.v1", match_id, at=next(at), reason="no_contact", **pair),
            ]
            named = {"match_id": match_id} if dice.random() < 0.5 else {}
            story += [answer(kind, at=dice.randint(1, 400), **pair, **named) for kind in ("service.started.v1", "match.accepted.v1", "match.declined.v1")]
            story.append(answer("service.finished.v1", at=dice.randint(1, 400), minutes=50, **pair, **named))
            events += [one for one in story if dice.random() < 0.7]
            at = iter(sorted(dice.sample(range(1, 400), 16)))
        if dice.random() < 0.3:
            events.append(event("wish.withdrawn.v1", wish_id, {"wish_id": wish_id}, at=next(at)))
        if dice.random() < 0.3:
            events.append(event("wish.expired.v1", wish_id, {"wish_id": wish_id, "filled": 0}, at=next(at)))
        if dice.random() < 0.3:
            events.append(event("wish.widened.v1", wish_id, {"wish_id": wish_id, "reach": dice.choice(("compound", "area"))}, at=next(at)))
    events += [builders.offer("o1", at=1), event("offer.withdrawn.v1", "o1", {"offer_id": "o1"}, at=dice.randint(1, 3)), builders.offer("o1", at=2)]
    return events


def _interleaved(events: Sequence[Event], dice: random.Random) -> list[Event]:
    """Each topic in its own order, the topics against each other in any, with repeats of what was there before."""
    runs: dict[str, list[Event]] = {}
    for one in events:
        runs.setdefault(TOPIC_OF[one.type], []).append(one)
    mixed: list[Event] = []
    while runs:
        topic = dice.choice(sorted(runs))
        mixed.append(runs[topic].pop(0))
        if not runs[topic]:
            del runs[topic]
        if dice.random() < 0.2:
            mixed.append(dice.choice(mixed))
    return mixed


@pytest.mark.parametrize("seed", range(25))
def test_any_order_of_the_topics_and_any_repeats_give_the_same_rows(seed: int) -> None:
    dice = random.Random(seed)
    day = _day(dice)
    expected = rows_of(board_of(day))
    for batches in (1, 5):
        assert expected == rows_of(board_of(_interleaved(day, dice), batches))
