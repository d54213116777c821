"""The life of a match and its notices, decided on rows alone."""

from collections.abc import Sequence
from typing import Any

import orjson

from schemas.codec import decode_structured
from services.notifier.book import Book, Delivered, Fate, Match, Notice, Told, Untold
from services.notifier.notices import Party

AT = "2026-11-23T08:00:00Z"


def taken(book: Book, name: str, data: dict[str, Any]) -> str:
    event = {
        "specversion": "1.0",
        "type": f"lastmetre.{name}.v1",
        "source": "lastmetre/matcher",
        "id": "e",
        "time": AT,
        "subject": "s",
        "partitionkey": "hightech",
        "data": {"area": "hightech", **data},
    }
    return book.take(decode_structured(orjson.dumps(event)), 3)


def proposed(book: Book, match_id: str = "m-1", **more: Any) -> str:
    data = {
        "match_id": match_id,
        "wish_id": "w-1",
        "offer_id": f"o-{match_id}",
        "resident_ref": "r-1",
        "volunteer_ref": f"v-{match_id}",
        "rung": "building",
        "slot": {"start": "2026-11-24T08:00:00+08:00", "end": "2026-11-24T09:00:00+08:00"},
        "how": "paired",
        "reasons": [],
        "needs_answer": False,
        "expires_at": None,
        "category": "study",
    }
    return taken(book, "match.proposed", data | more)


def agreed(book: Book, match_id: str = "m-1") -> str:
    return taken(book, "match.agreed", {"match_id": match_id, "wish_id": "w-1", "offer_id": "o-1"})


def released(book: Book, match_id: str = "m-1", reason: str = "declined") -> str:
    return taken(book, "match.released", {"match_id": match_id, "wish_id": "w-1", "offer_id": "o-1", "reason": reason})


def on_their_way(book: Book) -> list[Notice]:
    notices = [one for one in book.new_notices.values() if one.state == "pending"]
    for one in notices:
        one.state = "leased"
    return notices


def came_back(book: Book, notices: Sequence[Notice], fate: Fate = "sent") -> list[Told | Untold]:
    return book.settle([Delivered(one, fate, AT, "console", "refused" if fate == "dead" else None) for one in notices])


def states(match: Match) -> dict[tuple[str, str], str]:
    return {name: notice.state for name, notice in match.notices.items()}


def of(notices: Sequence[Notice], party: Party) -> list[Notice]:
    return [one for one in notices if one.party == party]


def test_tells_both_sides_at_once_where_nobody_is_asked() -> None:
    book = Book()
    assert "firm" == proposed(book)
    assert [("resident", "r-1"), ("volunteer", "v-m-1")] == [(one.party, one.ref) for one in book.new_notices.values()]


def test_the_slot_goes_on_as_it_was_written() -> None:
    book = Book()
    proposed(book)
    assert ("2026-11-24T08:00:00+08:00", "2026-11-24T09:00:00+08:00") == book.matches["m-1"].slot


def test_waits_for_the_answer_and_for_the_approval() -> None:
    for asked in ({"needs_answer": True, "expires_at": "2026-11-23T20:00:00Z"}, {"needs_approval": True}):
        book = Book()
        assert "awaits_answer" == proposed(book, **asked)
        assert {} == book.new_notices
        assert "firm" == agreed(book)
        assert 2 == len(book.new_notices)
        assert "no_effect" == agreed(book)


def test_is_confirmed_once_both_know() -> None:
    book = Book()
    proposed(book)
    resident, volunteer = on_their_way(book)
    assert [] == came_back(book, [resident])
    assert [Told(book.matches["m-1"])] == came_back(book, [volunteer])
    assert "confirmed" == book.matches["m-1"].state


def test_a_result_that_comes_twice_counts_once() -> None:
    book = Book()
    proposed(book)
    notices = on_their_way(book)
    came_back(book, notices)
    assert [] == came_back(book, notices)


def test_fails_where_one_side_cannot_be_told_and_takes_the_other_notice_back() -> None:
    book = Book()
    proposed(book)
    resident, volunteer = book.new_notices.values()
    volunteer.state = "leased"
    assert [Untold(book.matches["m-1"], "refused")] == came_back(book, [volunteer], "dead")
    assert "failed" == book.matches["m-1"].state
    assert "discarded" == resident.state


def test_those_who_were_told_of_a_failed_match_hear_that_it_fell_through() -> None:
    book = Book()
    proposed(book)
    resident, volunteer = on_their_way(book)
    came_back(book, [resident])
    came_back(book, [volunteer], "dead")
    assert "released" == released(book, reason="undeliverable")
    assert {("resident", "confirmed"): "sent", ("volunteer", "confirmed"): "dead", ("resident", "released"): "pending"} == states(book.matches["m-1"])


def test_a_release_takes_back_what_is_not_sent() -> None:
    book = Book()
    proposed(book)
    assert "released" == released(book)
    assert {("resident", "confirmed"): "discarded", ("volunteer", "confirmed"): "discarded"} == states(book.matches["m-1"])
    assert "no_effect" == released(book)


def test_a_notice_that_was_on_its_way_at_the_release_is_followed_by_another() -> None:
    book = Book()
    proposed(book)
    resident, volunteer = on_their_way(book)
    released(book)
    assert [] == came_back(book, [resident])
    assert [] == came_back(book, [volunteer], "retryable")
    expected = {("resident", "confirmed"): "sent", ("volunteer", "confirmed"): "discarded", ("resident", "released"): "pending"}
    assert expected == states(book.matches["m-1"])


def test_a_group_is_told_when_all_are_firm() -> None:
    book = Book()
    group = {"group_id": "g-1", "group_size": 2}
    assert "awaits_group" == proposed(book, "m-1", **group)
    assert {} == book.new_notices
    assert "firm" == proposed(book, "m-2", **group)
    assert 4 == len(book.new_notices)


def test_a_group_is_confirmed_together() -> None:
    book = Book()
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id, group_id="g-1", group_size=2)
    *most, last = on_their_way(book)
    assert [] == came_back(book, most)
    assert [Told(book.matches["m-1"]), Told(book.matches["m-2"])] == came_back(book, [last])


def test_one_who_cannot_be_told_ends_the_group_and_is_the_only_one_named() -> None:
    book = Book()
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id, group_id="g-1", group_size=2)
    first, second, third, fourth = book.new_notices.values()
    first.state = third.state = "leased"
    assert [Untold(book.matches["m-1"], "refused")] == came_back(book, [first], "dead")
    assert "discarded" == book.matches["m-2"].state
    assert ["discarded", "discarded"] == [second.state, fourth.state]
    assert [] == came_back(book, [third])
    released(book, "m-2", "group_incomplete")
    assert "pending" == book.matches["m-2"].notices["resident", "released"].state


def test_a_release_of_one_keeps_the_others_of_its_group_from_being_told() -> None:
    book = Book()
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id, group_id="g-1", group_size=2)
    released(book, "m-1", "withdrawn")
    assert "discarded" == book.matches["m-2"].state
    assert {"discarded"} == {one.state for one in book.new_notices.values()}


def test_an_expired_wish_is_told_to_its_resident_where_a_proposal_named_them() -> None:
    book = Book()
    assert "unknown_wish" == taken(book, "wish.expired", {"wish_id": "w-1", "filled": 0})
    proposed(book, needs_approval=True)
    assert "expired" == taken(book, "wish.expired", {"wish_id": "w-1", "filled": 0})
    assert [("resident", "expired", None)] == [(one.party, one.kind, one.match_id) for one in book.new_notices.values()]


def test_what_names_no_known_match_has_no_effect() -> None:
    book = Book()
    assert ["unknown_match", "unknown_match"] == [agreed(book), released(book)]
    assert "not_for_us" == taken(book, "wish.widened", {"wish_id": "w-1", "reach": "area"})
    proposed(book)
    assert "known_match" == proposed(book)


def test_what_was_put_away_in_error_is_sent_again() -> None:
    book = Book()
    proposed(book)
    came_back(book, of(on_their_way(book), "resident"), "discarded")
    assert "retryable" == book.matches["m-1"].notices["resident", "confirmed"].state
