"""The simulator plays its towns without a fault, the same seed twice alike, and finds every fault that is planted for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas.instants import DAY_US, MINUTE_US
from services.matcher import store
from services.matcher.batch import Batch
from services.matcher.core import decide, ranking
from services.matcher.core.state import Area, Match, Offer, Wish
from tests.simulator import run
from tests.simulator.__main__ import main
from tests.simulator.children import crowd
from tests.simulator.children import main as children
from tests.simulator.run import Run, tally

Patch = pytest.MonkeyPatch


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = Run(7).play(), Run(7).play()
    assert [str(step) for step in first.steps] == [str(step) for step in second.steps]
    assert first.stage.told == second.stage.told


def test_all_that_may_happen_happens() -> None:
    """Every type that the matcher reads, every end of a match, every refusal but those that need much luck."""
    total = tally(range(150))
    deaths = {"death before the commit", "death after the commit", "another worker takes over"}
    oddities = {"come again", "come again after a crash", "a deadline", "the clock on the wall was set back"}
    assert set() == (deaths | oddities) - total.steps.keys()
    reasons = ("declined", "unanswered", "withdrawn", "undeliverable", "unsafe", "group_incomplete")
    assert set() == {f"match.released {reason}" for reason in reasons} - total.told.keys()
    refusals = ("unknown_wish", "unknown_offer", "not_open", "skill_missing", "language_missing", "out_of_reach", "vetting_too_low", "not_available")
    assert set() == {f"claim.rejected {reason}" for reason in refusals} - total.told.keys()


# ---- planted faults


def _after(patch: Patch, owner: Any, name: str, change: Callable[..., None]) -> None:
    """Whenever that method has run, something more is done to its object."""
    method = getattr(owner, name)

    def changed(self: Any, *arguments: Any, **more: Any) -> Any:
        result = method(self, *arguments, **more)
        change(self, *arguments)
        return result

    patch.setattr(owner, name, changed)


def one_too_many(patch: Patch) -> None:
    def more(offer: Offer, *_: Any) -> None:
        offer.capacity += 1

    _after(patch, Offer, "fill", more)


def vetted_by_word(patch: Patch) -> None:
    def higher(offer: Offer, *_: Any) -> None:
        offer.level = max(offer.level, 4)

    _after(patch, Offer, "fill", higher)


def checked_a_day_later(patch: Patch) -> None:
    def later(offer: Offer, *_: Any) -> None:
        offer.checked_at += DAY_US

    _after(patch, Offer, "fill", later)


def one_is_enough(patch: Patch) -> None:
    def alone(wish: Wish, *_: Any) -> None:
        wish.together, wish.need = False, 1

    _after(patch, Wish, "__init__", alone)


def everyone_speaks(patch: Patch) -> None:
    def anything(wish: Wish, *_: Any) -> None:
        wish.languages = None

    _after(patch, Wish, "__init__", anything)


def longer_than_asked(patch: Patch) -> None:
    def shorter(wish: Wish, *_: Any) -> None:
        wish.end += 15 * MINUTE_US

    _after(patch, Wish, "__init__", shorter)


def never_barred(patch: Patch) -> None:
    def forgiven(_area: Area, match: Match, *_: Any) -> None:
        match.wish.barred.clear()

    _after(patch, Area, "release", forgiven)


def bars_are_not_stored(patch: Patch) -> None:
    patch.setattr(store, "_barred", lambda _wish: "")


def time_is_not_held(patch: Patch) -> None:
    def free(area: Area, match: Match) -> None:
        person = area.volunteer(match.volunteer_ref)
        person.slots.clear()

    _after(patch, Area, "hold", free)
    patch.setattr(Area, "_let_go", _let_go_of_nothing)


def _let_go_of_nothing(area: Area, match: Match) -> None:
    match.live = False
    match.offer.live -= 1
    match.offer.matches.pop(match.id, None)
    area.touched_matches[match.id] = match
    area.touched_offers[match.offer.id] = match.offer


def repeats_count(patch: Patch) -> None:
    def forgotten(batch: Batch, *_: Any) -> None:
        batch.known = set()

    _after(patch, Batch, "__init__", forgotten)


def order_by_address(patch: Patch) -> None:
    patch.setattr(ranking.OfferIndex, "score", lambda _index, offer: id(offer) % 7919)


def checks_are_seen_once(patch: Patch) -> None:
    patch.setattr(decide, "is_safe", lambda _match: True)


def posting_again_calls_everything_off(patch: Patch) -> None:
    patch.setattr(decide, "is_safe", lambda _match: False)


FAULTS: dict[Callable[[Patch], None], str] = {
    one_too_many: "promise-1/capacity",
    vetted_by_word: "promise-2/vetting_too_low",
    checked_a_day_later: "promise-2/vetting-age",
    one_is_enough: "together/group",
    everyone_speaks: "promise-2/language_missing",
    longer_than_asked: "promise-2/wish_window",
    never_barred: "rule/never-again",
    bars_are_not_stored: "rule/never-again",
    time_is_not_held: "promise-1/overlap",
    repeats_count: "promise-5/twice",
    order_by_address: "promise-4/again",
    checks_are_seen_once: "vetting/live",
    posting_again_calls_everything_off: "released/reason",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_finds_a_planted_fault(fault: Callable[[Patch], None], monkeypatch: Patch) -> None:
    fault(monkeypatch)
    violations = (Run(seed).play().violation for seed in range(400))
    assert FAULTS[fault] in (violation.code for violation in violations if violation is not None)


def test_a_violation_is_told_with_its_seed_and_the_fewest_steps(monkeypatch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    one_too_many(monkeypatch)
    found = next(one for seed in range(100) if (one := Run(seed).play()).violation is not None)
    assert found.violation is not None
    fewest = run.thinned(found.violation)
    assert 3 <= len(fewest.steps) <= 8  # an offer, two wishes, and what they hang on
    assert 1 == main(["--seeds", "1", "--first", str(found.seed), "--processes", "1"])
    said = capsys.readouterr().out
    assert f"seed {found.seed}, step {len(found.steps)}: {found.violation.code}" in said
    assert "1 violations" in said


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (vetted_by_word, {"children/level"}),
        (checked_a_day_later, {"children/check-old"}),
        (one_is_enough, {"children/alone"}),
        (never_barred, {"children/person"}),
        (checks_are_seen_once, {"children/check-gone"}),
        (posting_again_calls_everything_off, {"children/called-off"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_finds_what_would_endanger_a_child(fault: Callable[[Patch], None], codes: set[str], monkeypatch: Patch) -> None:
    fault(monkeypatch)
    found = {text.split(":")[0] for seed in range(8) for text in crowd(seed, 250).violations.values()}
    assert codes == found


def test_children_are_counted_with_what_nearly_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == children(["--wishes", "1500", "--processes", "1"])
    said = capsys.readouterr().out
    for near in ("level 3", "check 366 days old", "check after the slot's start", "check runs out within the window", "one helper only"):
        assert f"near: {near}: " in said
    assert "0 violations" in said
