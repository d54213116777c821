"""A visit is over and judged: what helped stands for good, what did not help opens the wish again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schemas.codec import Event
from services.matcher.core.policy import Policy
from services.matcher.core.state import CLOSED, EXPIRED, MATCHED, OPEN, WITHDRAWN
from tests.builders import HOUR, claim, closed, confirmed, consent_withdrawn, declined, given, minors_wish, offer, undeliverable, wish, wish_withdrawn

ONE_HOUR = (0, HOUR)


def test_a_wish_that_was_helped_is_closed() -> None:
    scene = given(offer(), wish())
    assert [] == scene.when(confirmed(scene.match()), closed(scene.match(), at=60))
    assert CLOSED == scene.status()


def test_a_second_closing_changes_nothing() -> None:
    scene = given(offer(), wish())
    match = scene.match()
    scene.when(confirmed(match), closed(match, at=60))
    assert [] == scene.when(closed(match, at=61, outcome="not_done"))
    assert "no_effect" == scene.outcome


def test_a_visit_that_is_closed_early_gives_the_helper_back_at_once() -> None:
    scene = given(offer(capacity=1, windows=[(0, 4 * HOUR)]), wish("w1"), wish("w2", at=1))
    match = scene.match("w1")
    assert ["proposed w2 o1 @30 unit"] == scene.when(confirmed(match), closed(match, at=30))


@pytest.mark.parametrize(("closed_at", "start"), [(30, 45), (-30, 0), (70, 75)])
def test_rest_begins_when_a_visit_is_over_and_one_that_is_closed_early_is_over_then(closed_at: int, start: int) -> None:
    scene = given(offer(windows=[(0, 4 * HOUR)], rest_minutes=15, at=-60), wish("w1", wanted=ONE_HOUR, at=-60))
    match = scene.match("w1")
    scene.when(confirmed(match, at=-60))
    assert [] == scene.when(closed(match, at=closed_at))
    assert [f"proposed w2 o1 @{start} unit"] == scene.when(wish("w2", at=closed_at, wanted=(0, 3 * HOUR)))


def test_who_cannot_come_any_more_after_the_others_visit_was_closed_calls_nobody_back() -> None:
    scene = given(offer("o1", level=4), offer("o2", volunteer="v2", level=4), minors_wish())
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    scene.when(confirmed(first), confirmed(second), closed(first, at=30))
    assert ["released w1 o2 declined"] == scene.when(declined("w1", "o2", at=31))
    assert "match_declined" == scene.decisions[-1].data["cause"]


def test_help_that_did_not_help_opens_the_wish_again_for_someone_else() -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    assert ["proposed w1 o2 @70 unit"] == scene.when(confirmed(scene.match()), closed(scene.match(), at=70, outcome="not_done"))


def test_the_same_pair_never_meets_again_for_a_wish_that_was_not_helped() -> None:
    scene = given(offer("o1"), wish())
    assert [] == scene.when(confirmed(scene.match()), closed(scene.match(), at=70, outcome="partly"))
    assert OPEN == scene.status()
    assert ["expired w1 with 0"] == scene.passes(4 * HOUR)


def test_a_wish_whose_time_is_over_expires_when_it_was_not_helped() -> None:
    scene = given(offer("o1"), offer("o2"), wish(wanted=ONE_HOUR))
    match = scene.match()
    scene.when(confirmed(match))
    scene.passes(61)
    assert ["expired w1 with 0"] == scene.when(closed(match, at=70, outcome="not_done"))
    assert EXPIRED == scene.status()


@pytest.mark.parametrize("taken_back", [wish_withdrawn, consent_withdrawn])
def test_nobody_comes_for_a_wish_that_was_taken_back_between_its_visit_and_the_word_that_it_did_not_help(taken_back: Callable[..., Event]) -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    match = scene.match()
    scene.when(confirmed(match))
    scene.passes(61)
    assert [] == scene.when(taken_back(at=62))
    assert "decided" == scene.outcome
    assert [] == scene.when(closed(match, at=70, outcome="not_done"))
    assert WITHDRAWN == scene.status()


@pytest.mark.parametrize("taken_back", [wish_withdrawn, consent_withdrawn])
@pytest.mark.parametrize("word", [closed, undeliverable])
def test_nobody_comes_for_a_wish_that_was_taken_back_between_a_slot_of_which_nobody_was_told_and_the_word_of_it(
    word: Callable[..., Event], taken_back: Callable[..., Event]
) -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    match = scene.match()
    scene.passes(61)
    scene.when(taken_back(at=62))
    assert [] == scene.when(word(match, at=70, **({"outcome": "not_done"} if word is closed else {})))
    assert WITHDRAWN == scene.status()


# ---- who could not be told, which is heard of only once the slot is over


def test_a_visit_of_which_nobody_could_be_told_and_that_is_over_was_in_vain() -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    match = scene.match()
    scene.passes(61)
    assert ["proposed w1 o2 @70 unit"] == scene.when(undeliverable(match, at=70))
    assert [] == scene.when(closed(match, at=71, outcome="not_done"))
    assert "no_effect" == scene.outcome


def test_where_the_wishs_time_is_over_too_it_expires() -> None:
    scene = given(offer("o1"), offer("o2"), wish(wanted=ONE_HOUR))
    match = scene.match()
    scene.passes(61)
    assert ["expired w1 with 0"] == scene.when(undeliverable(match, at=70))


def test_of_a_group_of_which_nobody_could_be_told_nobody_came() -> None:
    offers = [offer(f"o{number}", volunteer=f"v{number}", level=4) for number in (1, 2, 3, 4)]
    scene = given(*offers, minors_wish())
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    scene.passes(61)
    expected = ["proposed w1 o3 @61 unit group of 2", "proposed w1 o4 @61 unit group of 2"]
    assert expected == scene.when(undeliverable(first, at=61))
    assert [] == scene.when(undeliverable(second, at=62))


@pytest.mark.parametrize("settled", [confirmed, closed])
def test_a_visit_that_was_confirmed_or_judged_stays_one_whatever_is_said_of_its_notices_later(settled: Callable[..., Event]) -> None:
    scene = given(offer("o1"), offer("o2"), wish())
    match = scene.match()
    scene.when(settled(match, at=1))
    scene.passes(61)
    assert [] == scene.when(undeliverable(match, at=70))
    assert "no_effect" == scene.outcome


def test_a_wish_of_which_every_visit_is_closed_is_not_taken_back_any_more() -> None:
    scene = given(offer(), wish())
    match = scene.match()
    scene.when(confirmed(match), closed(match, at=60), wish_withdrawn(at=61))
    assert "no_effect" == scene.outcome
    assert CLOSED == scene.status()


def test_a_wish_that_was_opened_again_is_widened_once_and_the_worker_is_told_once() -> None:
    scene = given(offer(), wish(urgency="yellow"), claim(at=1), policy=Policy())
    match = scene.match()
    scene.when(confirmed(match, at=1), closed(match, at=6, outcome="not_done"))
    assert ["widened w1 to community"] == scene.passes(10)
    assert ["widened w1 to area", "unmet w1 haircut 0"] == scene.passes(15)


def test_a_wish_with_two_helpers_is_closed_when_both_are() -> None:
    scene = given(offer("o1"), offer("o2", volunteer="v2"), wish(helpers=2))
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    scene.when(confirmed(first), confirmed(second), closed(first, at=60))
    assert MATCHED == scene.status()
    scene.when(closed(second, at=61))
    assert CLOSED == scene.status()


def test_two_who_come_together_have_helped_if_one_of_them_has() -> None:
    scene = given(offer("o1", level=4), offer("o2", volunteer="v2", level=4), offer("o3", volunteer="v3", level=4), minors_wish())
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    assert [] == scene.when(confirmed(first), confirmed(second), closed(first, at=60, outcome="not_done"), closed(second, at=60))
    assert CLOSED == scene.status()


def test_two_who_came_together_in_vain_are_replaced_by_two_others() -> None:
    offers = [offer(f"o{number}", volunteer=f"v{number}", level=4) for number in (1, 2, 3, 4)]
    scene = given(*offers, minors_wish())
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    scene.when(confirmed(first), confirmed(second), closed(first, at=60, outcome="not_done"))
    expected = ["proposed w1 o3 @61 unit group of 2", "proposed w1 o4 @61 unit group of 2"]
    assert expected == scene.when(closed(second, at=61, outcome="not_done"))


def test_where_one_came_in_vain_and_the_other_never_came_two_others_are_sent() -> None:
    offers = [offer(f"o{number}", volunteer=f"v{number}", level=4) for number in (1, 2, 3, 4)]
    scene = given(*offers, minors_wish())
    first, second = scene.match("w1", "o1"), scene.match("w1", "o2")
    scene.when(confirmed(first), confirmed(second), closed(first, at=30, outcome="not_done"))
    expected = ["released w1 o2 declined", "proposed w1 o3 @31 unit group of 2", "proposed w1 o4 @31 unit group of 2"]
    assert expected == scene.when(declined("w1", "o2", at=31))


def test_a_wish_that_was_taken_back_stays_so_whatever_is_said_of_its_visit() -> None:
    scene = given(offer("o1"), offer("o2"), wish(wanted=ONE_HOUR))
    match = scene.match()
    scene.when(confirmed(match))
    scene.passes(61)
    scene.when(wish_withdrawn(at=62))
    assert [] == scene.when(closed(match, at=70, outcome="done"))


def test_a_wish_that_was_taken_back_stays_so_though_a_visit_was_in_vain() -> None:
    scene = given(offer("o1"), wish(helpers=2))
    match = scene.match()
    scene.when(confirmed(match))
    scene.passes(61)
    scene.when(wish_withdrawn(at=62))
    assert [] == scene.when(closed(match, at=70, outcome="not_done"))
    assert WITHDRAWN == scene.status()
