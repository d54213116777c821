"""The life of a match and its notices, decided on rows alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from schemas.codec import decode_structured
from schemas.instants import MINUTE_US, parse_rfc3339, rfc3339
from services.notifier.book import INTERRUPTED, Book, CalledOff, Delivered, Fate, Match, Notice, Told, Untold, notice_key
from services.notifier.notices import Party
from services.notifier.routes import Tried, packed

AT = "2026-11-23T08:00:00Z"


ASKED: dict[str, Any] = {"needs_answer": True, "expires_at": "2026-11-23T20:00:00Z"}


def taken(book: Book, name: str, data: dict[str, Any], at: str = AT) -> str:
    event = {
        "specversion": "1.0",
        "type": f"lastmetre.{name}.v1",
        "source": "lastmetre/matcher",
        "id": "e",
        "time": at,
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


def released(book: Book, match_id: str = "m-1", reason: str = "declined", at: str = AT, **more: str) -> str:
    return taken(book, "match.released", {"match_id": match_id, "wish_id": "w-1", "offer_id": "o-1", "reason": reason, **more}, at)


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
    for asked in (ASKED, {"needs_approval": True}):
        book = Book()
        assert "awaits_answer" == proposed(book, **asked)
        assert [] == [one for one in book.new_notices.values() if one.kind == "confirmed"]
        assert "firm" == agreed(book)
        assert 2 == len([one for one in book.new_notices.values() if one.kind == "confirmed"])
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
    assert [Untold(book.matches["m-1"], "refused", (book.matches["m-1"],))] == came_back(book, [volunteer], "dead")
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


def test_where_the_slot_is_over_what_cannot_be_told_is_let_go_here_with_its_group_and_whoever_waits_is_told() -> None:
    over: list[bool] = []
    book = Book(is_over=lambda _match: bool(over))
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id, group_id="g-1", group_size=2)
    notices = on_their_way(book)
    resident, volunteer = notices[:2]
    came_back(book, [resident])
    ends = came_back(book, [volunteer], "dead")
    assert [] == book.let_go(ends), "while it is live it is the matcher's"
    over.append(True)
    matches = list(book.matches.values())
    assert matches == book.let_go(ends)
    assert [("released", "too_late")] * 2 == [(one.state, one.released_for) for one in matches]
    (told,) = [one for one in book.new_notices.values() if one.kind == "released"]
    assert ("resident", "m-1") == (told.party, told.match_id)
    assert "没能及时通知到双方" in told.text
    came_back(book, notices[2:3])  # it was on its way
    assert "pending" == book.matches["m-2"].notices["resident", "released"].state


def test_a_question_that_was_not_put_is_not_let_go_here() -> None:
    book = Book(is_over=lambda _match: True)
    proposed(book, **ASKED)
    assert [] == book.let_go(came_back(book, on_their_way(book), "dead"))


@pytest.mark.parametrize(("over", "ends"), [(False, 1), (True, 0)])
def test_a_visit_that_was_settled_and_is_over_is_left_to_what_is_said_of_it_though_word_of_it_did_not_arrive(over: bool, ends: int) -> None:
    book = Book(is_over=lambda _match: over)
    proposed(book)
    notices = on_their_way(book)
    came_back(book, notices)
    found = book.learn(notices[0], Delivered(notices[0], "dead", AT, "console", "not_delivered"))
    assert (ends, []) == (len(found), book.let_go(found))
    assert ("failed" if ends else "confirmed") == book.matches["m-1"].state


@pytest.mark.parametrize(("at", "words"), [("2026-11-23T23:59:59Z", "请不必前往"), ("2026-11-24T00:00:00Z", "如果您已经去过")])
def test_whoever_may_have_been_there_is_not_told_to_stay_at_home(at: str, words: str) -> None:
    book = Book()
    proposed(book)
    resident, volunteer = on_their_way(book)
    came_back(book, [volunteer])
    came_back(book, [resident], "dead")
    released(book, reason="undeliverable", at=at)
    assert words in book.matches["m-1"].notices["volunteer", "released"].text


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


def test_whoever_may_have_heard_it_from_a_process_that_died_hears_of_the_release() -> None:
    book = Book()
    proposed(book)
    resident, volunteer = (book.matches["m-1"].notices[party, "confirmed"] for party in ("resident", "volunteer"))
    volunteer.fault = INTERRUPTED
    assert "released" == released(book)
    assert [("volunteer", "released", "pending")] == [(one.party, one.kind, one.state) for one in book.new_notices.values() if one.kind == "released"]
    assert ("discarded", "discarded") == (resident.state, volunteer.state)


@pytest.mark.parametrize(
    ("fate", "fault"),
    [("retryable", fault) for fault in ("links_away", "directory_away", "busy", "quiet_hours", "over_budget")] + [("dead", "no_channel"), ("dead", "erased")],
)
def test_what_a_process_that_died_may_have_said_counts_where_nobody_tried_again(fate: Fate, fault: str) -> None:
    book = Book()
    proposed(book)
    resident, volunteer = on_their_way(book)
    volunteer.fault = INTERRUPTED
    ends = book.settle([Delivered(replace(volunteer), fate, "", "webhook", fault, 1.0)])
    assert [fault] * (fate == "dead") == [one.reason for one in ends if isinstance(one, Untold)]
    released(book, reason="withdrawn")
    assert [("volunteer", "released")] == [(one.party, one.kind) for one in book.new_notices.values() if one.kind == "released"]
    assert (INTERRUPTED, None) == (volunteer.fault, resident.fault)


def test_an_attempt_after_a_process_died_tells_what_became_of_the_notice() -> None:
    book = Book()
    proposed(book)
    _, volunteer = on_their_way(book)
    volunteer.fault = INTERRUPTED
    book.settle([unclear(replace(volunteer), "refused")])
    released(book, reason="withdrawn")
    assert [] == [one for one in book.new_notices.values() if one.kind == "released"]
    assert "refused" == volunteer.fault


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
    assert [Untold(book.matches["m-1"], "refused", tuple(book.matches.values()))] == came_back(book, [first], "dead")
    assert "discarded" == book.matches["m-2"].state
    assert ["discarded", "discarded"] == [second.state, fourth.state]
    assert [] == came_back(book, [third])
    released(book, "m-2", "group_incomplete")
    assert "pending" == book.matches["m-2"].notices["resident", "released"].state


@pytest.mark.parametrize(
    ("others", "at", "come"),
    [
        ({}, AT, True),
        ({"group_id": "g-1", "group_size": 2}, AT, False),
        ({"area": "elsewhere"}, AT, False),
        ({}, "2026-11-24T02:00:00Z", False),
    ],
)
def test_a_resident_to_whom_others_come_as_agreed_is_not_told_that_nobody_does(others: dict[str, Any], at: str, come: bool) -> None:
    book = Book()
    group = {name: others[name] for name in others if name != "area"}
    for match_id, more in (("m-1", group), ("m-2", others), ("m-3", others)):
        proposed(book, match_id, **more | ({"group_size": 3} if group else {}))
    came_back(book, on_their_way(book))
    assert ["confirmed"] * 3 == [one.state for one in book.matches.values()]
    released(book, "m-1", at=at)
    told = {party: book.matches["m-1"].notices[party, "released"].text for party in ("resident", "volunteer")}
    assert (come, not come) == ("其他约好的志愿者不变" in told["resident"], "不能如约了" in told["resident"])
    assert "已为您取消" in told["volunteer"]


def test_where_the_wish_is_withdrawn_no_resident_is_told_that_others_come() -> None:
    book = Book()
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id)
    came_back(book, on_their_way(book))
    for match_id in ("m-1", "m-2"):
        released(book, match_id, "withdrawn")
        assert "心愿已撤回" in book.matches[match_id].notices["resident", "released"].text


def test_a_release_of_one_keeps_the_others_of_its_group_from_being_told() -> None:
    book = Book()
    for match_id in ("m-1", "m-2"):
        proposed(book, match_id, group_id="g-1", group_size=2)
    released(book, "m-1", "withdrawn")
    assert "discarded" == book.matches["m-2"].state
    assert {"discarded"} == {one.state for one in book.new_notices.values()}


def test_an_expired_wish_is_told_to_its_resident_who_never_had_a_match() -> None:
    book = Book()
    assert "expired" == taken(book, "wish.expired", {"wish_id": "w-1", "filled": 0, "resident_ref": "r-1", "category": "repair"})
    assert [("resident", "expired", "r-1", "repair")] == [(one.party, one.kind, one.ref, one.said.category) for one in book.new_notices.values()]


def test_an_expired_wish_is_told_to_its_resident_though_another_area_has_one_of_the_same_id() -> None:
    book = Book()
    proposed(book, area="elsewhere", category="study", resident_ref="r-2")
    for area, ref in (("elsewhere", "r-2"), ("hightech", "r-1")):
        taken(book, "wish.expired", {"wish_id": "w-1", "area": area, "filled": 0, "resident_ref": ref, "category": "repair"})
    told = [one for one in book.new_notices.values() if one.kind == "expired"]
    assert [("elsewhere", "r-2", "study"), ("hightech", "r-1", "repair")] == [(one.area, one.ref, one.said.category) for one in told]


def test_an_expired_wish_of_which_a_matcher_before_said_less_is_told_to_its_resident_where_a_proposal_named_them() -> None:
    book = Book()
    assert "unknown_wish" == taken(book, "wish.expired", {"wish_id": "w-1", "filled": 0})
    proposed(book, needs_approval=True)
    assert "expired" == taken(book, "wish.expired", {"wish_id": "w-1", "filled": 0})
    assert [("resident", "expired", None)] == [(one.party, one.kind, one.match_id) for one in book.new_notices.values()]


def test_what_names_no_known_match_has_no_effect() -> None:
    book = Book()
    assert ["unknown_match", "unknown_match"] == [agreed(book), released(book)]
    assert "not_for_us" == taken(book, "claim.rejected", {"claim_id": "k-1", "wish_id": "w-1", "offer_id": "o-1", "reason": "not_open"})
    proposed(book)
    assert "known_match" == proposed(book)


def test_what_was_put_away_in_error_is_sent_again() -> None:
    book = Book()
    proposed(book)
    came_back(book, of(on_their_way(book), "resident"), "discarded")
    assert "retryable" == book.matches["m-1"].notices["resident", "confirmed"].state


# ---- whoever is asked, invited, or should know


def test_the_volunteer_whose_answer_is_needed_is_asked() -> None:
    book = Book()
    proposed(book, **ASKED)
    (question,) = book.new_notices.values()
    assert ("volunteer", "asked", "v-m-1", "m-1") == (question.party, question.kind, question.ref, question.match_id)
    assert "11月24日（周二）04:00前答复" in question.text


def test_nobody_is_asked_where_only_the_worker_is_to_speak() -> None:
    book = Book()
    proposed(book, needs_approval=True)
    assert {} == book.new_notices


def test_a_question_that_is_answered_before_it_is_sent_is_not_sent() -> None:
    book = Book()
    proposed(book, **ASKED)
    agreed(book)
    assert "discarded" == book.matches["m-1"].notices["volunteer", "asked"].state


def test_a_question_confirms_nothing() -> None:
    book = Book()
    proposed(book, **ASKED)
    assert [] == came_back(book, on_their_way(book))
    assert "proposed" == book.matches["m-1"].state
    agreed(book)
    resident, volunteer = on_their_way(book)
    assert [] == came_back(book, [volunteer])
    assert [Told(book.matches["m-1"])] == came_back(book, [resident])


def test_nobody_waits_for_the_answer_to_a_question_that_could_not_be_put() -> None:
    book = Book()
    proposed(book, **ASKED)
    assert [Untold(book.matches["m-1"], "refused")] == came_back(book, on_their_way(book), "dead")
    assert ("failed", "dead") == (book.matches["m-1"].state, book.matches["m-1"].notices["volunteer", "asked"].state)
    assert "no_effect" == agreed(book)
    released(book, reason="undeliverable")
    assert {("volunteer", "asked")} == book.matches["m-1"].notices.keys()


def test_whoever_may_have_heard_the_question_has_until_its_deadline() -> None:
    book = Book()
    proposed(book, **ASKED)
    (question,) = on_their_way(book)
    question.attempts = 3
    assert [] == book.settle([Delivered(question, "dead", AT, "console", "timeout")])
    assert ("proposed", "dead") == (book.matches["m-1"].state, book.matches["m-1"].notices["volunteer", "asked"].state)


@pytest.mark.parametrize(("minor", "near"), [(True, "同社区"), (False, "同楼")])
def test_of_a_childs_wish_a_question_says_no_more_than_the_community(minor: bool, near: str) -> None:
    book = Book()
    proposed(book, **ASKED, minor=minor, rung="building")
    question = book.matches["m-1"].notices["volunteer", "asked"]
    assert (near, {"community": "同社区", "building": "同楼"}[question.said.rung or ""]) == (question.text[3:6].strip("有"), near)


def test_a_question_is_tried_again_while_it_is_open_and_not_once_it_is_answered() -> None:
    book = Book()
    proposed(book, **ASKED)
    question = on_their_way(book)
    came_back(book, question, "retryable")
    assert {("volunteer", "asked"): "retryable"} == states(book.matches["m-1"])
    question[0].state = "leased"
    agreed(book)
    came_back(book, question, "retryable")
    assert "discarded" == states(book.matches["m-1"])["volunteer", "asked"]


def test_whoever_was_asked_and_is_not_needed_any_more_is_told_so() -> None:
    for reason, told in (("withdrawn", True), ("group_incomplete", True), ("declined", False), ("unanswered", False)):
        book = Book()
        proposed(book, **ASKED)
        came_back(book, on_their_way(book))
        released(book, reason=reason)
        assert told == (("volunteer", "released") in book.matches["m-1"].notices)
        assert ("resident", "released") not in book.matches["m-1"].notices


@pytest.mark.parametrize(("at", "told"), [("2026-11-24T00:00:00Z", True), ("2026-11-23T20:00:00Z", False)])
def test_whoever_said_yes_and_waited_for_the_communitys_word_in_vain_is_told_so(at: str, told: bool) -> None:
    """Only who said yes is held until the visit would begin."""
    book = Book()
    proposed(book, **ASKED, needs_approval=True)
    came_back(book, on_their_way(book))
    released(book, reason="unanswered", at=at)
    assert told == (("volunteer", "released") in book.matches["m-1"].notices)


def test_whoever_hears_the_question_after_the_release_is_told_so() -> None:
    book = Book()
    proposed(book, **ASKED)
    question = on_their_way(book)
    released(book, reason="withdrawn")
    came_back(book, question)
    assert {("volunteer", "asked"): "sent", ("volunteer", "released"): "pending"} == states(book.matches["m-1"])


def invitation(**more: Any) -> dict[str, Any]:
    slot = {"start": "2026-11-24T08:00:00+08:00", "end": "2026-11-24T09:00:00+08:00"}
    named = {"volunteer_ref": "v-1", "category": "study", "urgency": "red", "rung": "unit", "slot": slot}
    return {"wish_id": "w-1", "offer_id": "o-1", "expires_at": "2026-11-23T20:00:00Z", **named, **more}


def test_the_invited_volunteer_is_asked_once_an_invitation() -> None:
    book = Book()
    assert "invited" == taken(book, "helper.invited", invitation())
    taken(book, "helper.invited", invitation())
    taken(book, "helper.invited", invitation(volunteer_ref="v-2"))
    assert [("volunteer", "invited", "v-1", None), ("volunteer", "invited", "v-2", None)] == [
        (one.party, one.kind, one.ref, one.match_id) for one in book.new_notices.values()
    ]
    assert "谁先答应就请谁去" in next(iter(book.new_notices.values())).text


def test_whoever_is_invited_again_later_is_asked_again() -> None:
    book = Book()
    for expires_at in ("2026-11-23T20:00:00Z", "2026-11-23T20:30:00Z"):
        taken(book, "helper.invited", invitation(expires_at=expires_at))
    assert ["2026-11-23T20:00:00Z", "2026-11-23T20:30:00Z"] == [one.answer_by for one in book.new_notices.values()]


def test_an_invitation_of_an_earlier_version_names_nobody() -> None:
    book = Book()
    assert "nobody_named" == taken(book, "helper.invited", {"wish_id": "w-1", "offer_id": "o-1", "expires_at": "2026-11-23T20:00:00Z"})
    assert "invited" == taken(book, "helper.invited", invitation(rung=None, category=None))
    assert "同片区" in next(iter(book.new_notices.values())).text


def test_the_workers_desk_hears_once_that_a_wish_asks_farther_and_once_that_nobody_can() -> None:
    book = Book()
    assert ["widened", "widened"] == [taken(book, "wish.widened", {"wish_id": "w-1", "reach": reach}) for reach in ("compound", "area")]
    assert "unmet" == taken(book, "wish.unmet", {"wish_id": "w-1", "need": {"skills": ["nursing"], "vetting": 2, "rung": "area"}})
    assert [("worker", "widened", "desk-hightech"), ("worker", "unmet", "desk-hightech")] == [
        (one.party, one.kind, one.ref) for one in book.new_notices.values()
    ]
    assert "全小区" in next(iter(book.new_notices.values())).text


def test_the_workers_desk_hears_once_that_a_wish_has_ended_as_no_consent_holds() -> None:
    book = Book()
    proposed(book, "m-1")
    proposed(book, "m-2")
    for match_id in ("m-1", "m-2"):
        assert "released" == released(book, match_id, "unsafe", cause="confirmation_failed")
    desk = [one for one in book.new_notices.values() if one.party == "worker"]
    assert [("unconsented", "desk-hightech", "w-1", None)] == [(one.kind, one.ref, one.wish_id, one.match_id) for one in desk]
    assert "没有有效的监护人同意" in desk[0].text


def test_of_a_consent_that_was_withdrawn_by_an_event_the_desk_is_not_told_as_it_comes_from_there() -> None:
    book = Book()
    proposed(book)
    assert "released" == released(book, reason="unsafe", cause="consent_withdrawn")
    assert {"resident", "volunteer"} == {one.party for one in book.new_notices.values()}


def test_what_became_of_a_word_about_a_wish_is_kept() -> None:
    book = Book()
    taken(book, "wish.widened", {"wish_id": "w-1", "reach": "area"})
    notices = on_their_way(book)
    assert [] == came_back(book, notices)
    assert ["sent"] == [one.state for one in notices]


def unclear(notice: Notice, fault: str) -> Delivered:
    notice.attempts += 1
    return Delivered(notice, "retryable", "", "webhook", fault, 1.0)


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ("timeout", True),
        ("http_5xx", True),
        ("cut_off", True),
        ("something_new", True),
        ("refused", False),
        ("no_connection", False),
        ("links_away", True),
        ("smtp_login", False),
        ("http_away", True),
    ],
)
def test_whoever_may_have_heard_of_a_visit_is_told_that_it_is_off(fault: str, heard: bool) -> None:
    book = Book()
    proposed(book)
    notices = on_their_way(book)
    book.settle([unclear(one, fault) for one in notices])
    released(book, reason="unsafe")
    told = {one.party for one in book.new_notices.values() if one.kind == "released"}
    assert ({"resident", "volunteer"} if heard else set()) == told


def test_an_attempt_in_flight_that_ends_unclearly_after_the_release_is_followed_by_word_of_it() -> None:
    book = Book()
    proposed(book)
    notices = on_their_way(book)
    released(book, reason="withdrawn")
    book.settle([unclear(one, "timeout") for one in notices])
    assert {"resident", "volunteer"} == {one.party for one in book.new_notices.values() if one.kind == "released"}
    assert {"discarded"} == {one.state for one in notices}


def test_what_an_earlier_attempt_may_have_said_counts_where_nobody_tried_again() -> None:
    book = Book()
    proposed(book)
    notices = on_their_way(book)
    book.settle([unclear(one, "timeout") for one in notices])
    for one in notices:
        one.state = "leased"
    released(book, reason="withdrawn")
    before = len(book.new_notices)
    book.settle([Delivered(one, "discarded", "", "webhook") for one in notices])
    assert {"timeout"} == {one.fault for one in notices}
    assert before == len(book.new_notices), "it was told at the release already"


@pytest.mark.parametrize(("tried", "heard"), [("placed", True), ("unread", True), ("open", False)])
def test_who_has_it_lying_unread_in_the_app_is_told_that_it_is_off(tried: Any, heard: bool) -> None:
    book = Book()
    proposed(book)
    for one in on_their_way(book):
        one.tried = packed([Tried("app", 1, tried)])
        book.settle([Delivered(one, "retryable", "", "app", "unread", 1.0)])
    released(book, reason="unsafe")
    assert (2 if heard else 0) == len([one for one in book.new_notices.values() if one.kind == "released"])


def test_what_is_said_of_a_visit_ends_with_its_match() -> None:
    book = Book()
    proposed(book)
    book.settle([Delivered(one, "sent", AT, "console") for one in on_their_way(book)])
    match = book.matches["m-1"]
    for state in ("pending", "leased"):
        key = notice_key("m-1", "resident" if state == "pending" else "volunteer", "reminder")
        party: Party = "resident" if state == "pending" else "volunteer"
        match.notices[party, "reminder"] = Notice(key, "m-1", "w-1", 3, "hightech", party, "reminder", "x", "zh-CN", "", match.slot, state=state)
    released(book)
    assert "discarded" == match.notices["resident", "reminder"].state
    book.settle([unclear(match.notices["volunteer", "reminder"], "timeout")])
    assert "discarded" == match.notices["volunteer", "reminder"].state


@pytest.mark.parametrize(("minutes", "late"), [(239, True), (240, False), (1000, False)])
def test_calling_off_a_confirmed_visit_shortly_before_it_is_late(minutes: int, late: bool) -> None:
    start = parse_rfc3339(AT) + minutes * MINUTE_US
    book = Book(late_us=240 * MINUTE_US)
    proposed(book, slot={"start": rfc3339(start), "end": rfc3339(start + 60 * MINUTE_US)})
    book.settle([Delivered(one, "sent", AT, "console") for one in on_their_way(book)])
    released(book, reason="declined")
    assert {"m-1": CalledOff(parse_rfc3339(AT), late)} == book.called_off


def test_what_a_worker_refuses_is_no_calling_off_and_the_helper_is_told_so() -> None:
    book = Book(late_us=10**15)
    proposed(book)
    book.settle([Delivered(one, "sent", AT, "console") for one in on_their_way(book)])
    released(book, reason="declined", cause="match_approved")
    assert {} == book.called_off
    said = {party: book.matches["m-1"].notices[party, "released"].text for party in ("resident", "volunteer")}
    assert ("社区调整了安排" in said["resident"], "社区工作者调整了安排" in said["volunteer"], "告知" in said["volunteer"]) == (True, True, False)


def test_a_helper_who_said_yes_and_is_refused_by_a_worker_is_told_not_to_set_out() -> None:
    book = Book()
    proposed(book, **ASKED, needs_approval=True)
    came_back(book, on_their_way(book))
    released(book, reason="declined", cause="match_approved")
    assert "请不必前往" in book.matches["m-1"].notices["volunteer", "released"].text


def test_where_consent_is_withdrawn_nobody_is_promised_another_helper() -> None:
    book = Book()
    proposed(book)
    came_back(book, on_their_way(book))
    released(book, reason="unsafe", cause="consent_withdrawn")
    assert "同意已撤回" in book.matches["m-1"].notices["resident", "released"].text


@pytest.mark.parametrize("reason", ["withdrawn", "unsafe", "undeliverable"])
def test_only_the_helper_calls_off(reason: str) -> None:
    book = Book(late_us=10**15)
    proposed(book)
    book.settle([Delivered(one, "sent", AT, "console") for one in on_their_way(book)])
    released(book, reason=reason)
    assert {} == book.called_off
