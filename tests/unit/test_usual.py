"""Which matches go the usual course, and which go in parts; in sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.notifier.book import PARTIES, Match, Notice, Told, Untold, notice_key
from services.notifier.usual_store import confirmed_at_once, told_at_once

SLOT = ("2026-11-24T09:00:00+08:00", "2026-11-24T10:00:00+08:00")


def match_of(state: Any, notice_state: Any, group_id: str | None = None) -> Match:
    match = Match("m-1", "w-1", "o-1", "hightech", 2, "r-1", "v-1", "repair", "building", SLOT, group_id, 2 if group_id else None, state)
    for party in PARTIES:
        key = notice_key("m-1", party, "confirmed")
        match.notices[party, "confirmed"] = Notice(key, "m-1", "w-1", 2, "hightech", party, "confirmed", "r-1", "zh-CN", "", SLOT, notice_state, attempts=1)
    return match


def notices_of(match: Match) -> dict[Any, Notice]:
    return {notice.key: notice for notice in match.notices.values()}


def test_a_match_of_which_both_sides_are_to_be_told_is_told_at_once() -> None:
    match = match_of("telling", "leased")
    assert {"m-1": match} == told_at_once([match], notices_of(match))


def test_one_of_a_group_is_told_in_parts() -> None:
    match = match_of("telling", "leased", "g-1")
    assert {} == told_at_once([match], notices_of(match))


@pytest.mark.parametrize("state", ["proposed", "agreed", "released", "confirmed", "failed", "discarded"])
def test_a_match_in_any_other_state_is_written_in_parts(state: str) -> None:
    match = match_of(state, "leased")
    assert {} == told_at_once([match], notices_of(match))


@pytest.mark.parametrize("party", PARTIES)
def test_where_a_notice_is_there_already_or_only_one_is_leased_it_goes_in_parts(party: Any) -> None:
    match = match_of("telling", "leased")
    one = match.notices[party, "confirmed"]
    assert {} == told_at_once([match], {key: notice for key, notice in notices_of(match).items() if key != one.key})
    one.state = "pending"
    assert {} == told_at_once([match], notices_of(match))


def test_a_match_of_which_both_sides_were_told_at_the_first_attempt_is_confirmed_at_once() -> None:
    match = match_of("confirmed", "sent")
    assert {"m-1": match} == confirmed_at_once([Told(match)], notices_of(match), ())


def test_a_group_and_a_failure_are_written_in_parts() -> None:
    for end in (Told(match_of("confirmed", "sent", "g-1")), Untold(match_of("failed", "dead"), "refused")):
        assert {} == confirmed_at_once([end], notices_of(end.match), ())


@pytest.mark.parametrize("changed", [{"attempts": 2}, {"fault": "timeout"}, {"tried": "[]"}], ids=str)
@pytest.mark.parametrize("party", PARTIES)
def test_a_notice_that_took_more_than_one_attempt_is_written_in_parts(party: Any, changed: dict[str, Any]) -> None:
    match = match_of("confirmed", "sent")
    match.notices[party, "confirmed"] = replace(match.notices[party, "confirmed"], **changed)
    assert {} == confirmed_at_once([Told(match)], notices_of(match), ())


@pytest.mark.parametrize("party", PARTIES)
def test_where_one_was_recorded_before_or_counts_against_a_number_a_day_it_is_written_in_parts(party: Any) -> None:
    match = match_of("confirmed", "sent")
    one = match.notices[party, "confirmed"]
    assert {} == confirmed_at_once([Told(match)], {key: notice for key, notice in notices_of(match).items() if key != one.key}, ())
    assert {} == confirmed_at_once([Told(match)], notices_of(match), {one.key})
