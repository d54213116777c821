"""What an area remembers of its people: answers, visits, whom they know. It outlives what they posted."""

import pytest

from schemas.codec import Event
from services.matcher.core.people import Volunteer
from services.matcher.core.policy import Policy
from tests.builders import DAY, HOUR, Scene, accepted, consent_withdrawn, declined, instant, minors_wish, offer, wish
from tests.shelf import Shelved

WHO = "volunteer-of-o1"


def given(*events: Event, policy: Policy | None = None) -> Shelved:
    """A scene that is stored after each event."""
    scene = Shelved(policy=policy)
    scene.when(*events)
    return scene


def person(scene: Scene, ref: str = WHO) -> Volunteer:
    return scene.area.volunteers[ref]


def words(scene: Scene, ref: str = WHO) -> tuple[int, int]:
    """(asked, agreed)."""
    return person(scene, ref).asked, person(scene, ref).agreed


def test_a_yes_is_remembered() -> None:
    scene = given(offer(accepts="ask"), wish(), accepted(at=1), accepted(at=2))
    assert (1, 1) == words(scene)


def test_a_no_is_remembered() -> None:
    scene = given(offer(accepts="ask"), wish(), declined(at=1))
    assert (1, 0) == words(scene)


def test_no_word_is_a_no() -> None:
    scene = given(offer(accepts="ask", windows=[(0, 8 * HOUR)]), wish())
    scene.passes(HOUR)
    assert (1, 0) == words(scene)


def test_who_need_not_be_asked_is_not_judged_by_words() -> None:
    scene = given(offer(), wish(), accepted(at=1), declined(at=2))
    assert (0, 0) == words(scene)


def test_a_word_that_is_taken_back_was_a_yes() -> None:
    scene = given(offer(accepts="ask"), wish(), accepted(at=1), declined(at=2))
    assert (1, 1) == words(scene)


def test_a_proposal_that_is_withdrawn_says_nothing_about_the_helper() -> None:
    scene = given(offer(accepts="ask"), wish(), consent_withdrawn(at=1))
    assert (0, 0) == words(scene)


def test_of_a_group_only_who_says_no_is_unwilling() -> None:
    scene = given(offer("o1", accepts="ask"), offer("o2", accepts="ask"), minors_wish(), declined("w1", "o1", at=1))
    assert [(1, 0), (0, 0)] == [words(scene, f"volunteer-of-{name}") for name in ("o1", "o2")]


def invited(policy: Policy | None = None) -> Shelved:
    return given(
        offer("o1", accepts="ask"), offer("o2", accepts="ask"), wish(urgency="red", wanted=(0, 4 * HOUR)), policy=policy or Policy(tell_unmet=False)
    )  # fmt: skip


def test_an_invitation_is_answered_too() -> None:
    scene = invited()
    scene.when(declined("w1", "o1", at=1), accepted("w1", "o2", at=2))
    assert [(1, 0), (1, 1)] == [words(scene, f"volunteer-of-{name}") for name in ("o1", "o2")]


def test_an_invitation_that_nobody_answers_counts_once_for_each() -> None:
    scene = invited()
    scene.passes(10)
    scene.loads_again()
    scene.passes(30)
    assert [(1, 0), (1, 0)] == [words(scene, f"volunteer-of-{name}") for name in ("o1", "o2")]


def test_an_invitation_that_another_was_quicker_to_take_is_no_ones_fault() -> None:
    scene = invited()
    scene.when(accepted("w1", "o2", at=2))
    scene.passes(10)
    assert (0, 0) == words(scene)


@pytest.mark.parametrize(("asked", "agreed", "chance"), [(0, 0, 800), (5, 5, 900), (5, 0, 400), (95, 95, 990)])
def test_the_chance_of_a_yes_is_learnt(asked: int, agreed: int, chance: int) -> None:
    someone = Volunteer("p")
    someone.asked, someone.agreed = asked, agreed
    assert chance == someone.chance


def test_visits_are_counted_when_they_are_over_and_with_whom() -> None:
    scene = given(offer(capacity=2), wish("w1", resident="anna"), wish("w2", resident="anna", wanted=(60, 4 * HOUR)))
    assert (0, 2, {}) == (person(scene).visits, person(scene).tasks, person(scene).met)
    scene.passes(60)
    assert (1, 2, {"anna": 1}) == (person(scene).visits, person(scene).tasks, person(scene).met)
    scene.passes(120)
    assert (2, 2, {"anna": 2}) == (person(scene).visits, person(scene).tasks, person(scene).met)
    assert instant(120) == person(scene).last_at


def test_a_match_that_is_released_was_no_task() -> None:
    scene = given(offer(), wish(), consent_withdrawn(at=1))
    assert (0, 0) == (person(scene).tasks, person(scene).visits)


def test_what_is_known_of_somebody_outlives_all_they_posted() -> None:
    scene = given(offer(accepts="ask"), wish(resident="anna"), accepted(at=1))
    scene.passes(9 * HOUR)
    scene.passes(9 * DAY)
    scene.when(wish("w9", at=9 * DAY, skills=["reading"], wanted=(9 * DAY, 9 * DAY + 2 * HOUR)))
    assert {} == scene.area.volunteers
    scene.when(offer("o7", volunteer=WHO, at=10 * DAY, windows=[(10 * DAY, 11 * DAY)]))
    assert (1, 1, 1, {"anna": 1}) == (*words(scene), person(scene).visits, person(scene).met)


def test_who_is_forgotten_and_comes_again_in_one_batch_is_the_same_person() -> None:
    scene = Scene()
    scene.when(offer(accepts="ask"), wish(), accepted(at=1))
    scene.passes(60)
    scene.when(offer(volunteer="p2", at=61), offer("o2", volunteer=WHO, at=62))
    scene.area.forget_touched()
    assert (1, 1, 1) == (*words(scene), person(scene).visits)


def test_somebody_who_is_brought_for_nothing_is_forgotten() -> None:
    scene = given(offer(accepts="ask"), wish(), declined(at=1))
    scene.area.recall("q", asked=2, agreed=1, visits=3, last_at=4)
    scene.area.forget_touched()
    assert {WHO} == scene.area.volunteers.keys()


def test_another_worker_knows_the_same() -> None:
    scene = given(offer(accepts="ask", capacity=2), wish("w1", resident="anna"), accepted(at=1), wish("w2", at=2), declined("w2", at=3))
    scene.passes(70)
    before = (*words(scene), person(scene).visits, person(scene).last_at, person(scene).met)
    scene.loads_again()
    assert before == (*words(scene), person(scene).visits, person(scene).last_at, person(scene).met)
    assert (2, 1, 1) == before[:3]
