"""One area of three kinds hears the same random events, and must say the same.

The core as it is; the core whose area is stored, forgotten and loaded between events; and a reference that searches everything.
After each event the contract's first two promises hold, and in the end the journal, decided again, gives the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from schemas.codec import Event
from schemas.confirmations import NO_CONSENT
from services.matcher.core.policy import Policy
from services.matcher.core.state import Match
from tests import builders as build
from tests.builders import Scene
from tests.reference import Reference
from tests.shelf import Shelved
from tests.unit.core import strategies as random
from tests.unit.core.promises import Promises

POLICY = replace(Policy.at_once(), proof_needed=frozenset({random.PROVEN}))


def journal_text(scene: Scene) -> bytes:
    """All that a scene ever told, as it is written."""
    return orjson.dumps([[one.id, one.type, one.subject, one.data] for one in scene.decisions])


WORDS = ("accepted", "declined", "approved", "not_approved", "confirmed", "undeliverable", "no_consent", "started", "closed", "closed_in_vain")


class CoreAndReference(RuleBasedStateMachine):
    """Both hear the same events; `at` is the time, in minutes since noon."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(policy=POLICY)
        self.stored = Shelved(policy=POLICY)
        self.reference = Reference(POLICY.proof_needed)
        self.heard: list[tuple[int, Event | None]] = []
        self.promises = Promises(POLICY.proof_needed)
        self.at = -60

    def hears(self, event: Event) -> None:
        now = build.instant(self.at)
        said = len(self.scene.decisions)
        actual = self.scene.when(event)
        expected = [*self.reference.time_runs_to(now), *self.reference.decide(event, now)]
        assert expected == actual
        assert expected == self.stored.when(event)
        assert self.scene.outcome == self.stored.outcome
        self.heard.append((now, event))
        self.promises.hold(now, event, self.scene.decisions[said:])

    @rule()
    def another_worker_takes_over(self) -> None:
        self.stored.loads_again()

    def teardown(self) -> None:
        again = Scene(policy=POLICY)
        for now, event in self.heard:
            if event is None:
                again.passes(build.minutes_of(now))
            else:
                again.when(event)
        assert journal_text(self.scene) == journal_text(again) == journal_text(self.stored)

    def some_match(self, data: st.DataObject) -> Match | None:
        matches = [match for wish in self.scene.area.wishes.values() for match in wish.matches.values()]
        return data.draw(st.sampled_from(matches)) if matches else None

    @initialize(data=st.data(), crowd=st.integers(0, 8))
    def a_crowd_of_offers(self, data: st.DataObject, crowd: int) -> None:
        """So many that supplies cross a step of the weights."""
        for number in range(crowd):
            self.hears(data.draw(random.offers(self.at, f"o{number + 1}")))

    @rule(minutes=st.sampled_from([0, 5, 10, 15, 30, 60, 400]))
    def time_passes(self, minutes: int) -> None:
        self._time_passes(minutes)

    @rule(days=st.sampled_from([0, 0, 0, 1, 3, 7]))
    def days_pass(self, days: int) -> None:
        """Seldom, for all that was posted before is over then."""
        self._time_passes(days * build.DAY)

    def _time_passes(self, minutes: int) -> None:
        self.at += minutes
        now = build.instant(self.at)
        said = len(self.scene.decisions)
        actual = self.scene.passes(self.at)
        assert self.reference.time_runs_to(now) == actual
        assert self.stored.passes(self.at) == actual
        self.heard.append((now, None))
        self.promises.hold(now, None, self.scene.decisions[said:])

    @rule(data=st.data())
    def a_wish_comes(self, data: st.DataObject) -> None:
        self.hears(data.draw(random.wishes(self.at)))

    @rule(data=st.data())
    def an_offer_comes(self, data: st.DataObject) -> None:
        self.hears(data.draw(random.offers(self.at - data.draw(st.sampled_from([0, 0, 0, 20])))))

    @precondition(lambda self: any(offer.matches for offer in self.scene.area.offers.values()))
    @rule(data=st.data())
    def an_offer_with_visits_is_posted_with_other_checks(self, data: st.DataObject) -> None:
        held = sorted(offer.id for offer in self.scene.area.offers.values() if offer.matches)
        self.hears(data.draw(random.offers(self.at, data.draw(st.sampled_from(held)))))

    @rule(wish_id=random.wish_ids, offer_id=random.offer_ids)
    def a_claim_comes(self, wish_id: str, offer_id: str) -> None:
        self.hears(build.claim(wish_id, offer_id, at=self.at))

    @rule(wish_id=random.wish_ids, kind=st.sampled_from([build.wish_withdrawn, build.consent_withdrawn]))
    def a_wish_is_withdrawn(self, wish_id: str, kind: Any) -> None:
        self.hears(kind(wish_id, at=self.at))

    @rule(offer_id=random.offer_ids, kind=st.sampled_from([build.offer_withdrawn, build.offer_suspended]), ago=st.sampled_from([0, 10, 30]))
    def an_offer_is_withdrawn(self, offer_id: str, kind: Any, ago: int) -> None:
        self.hears(kind(offer_id, at=self.at - ago))

    @precondition(lambda self: any(wish.matches for wish in self.scene.area.wishes.values()))
    @rule(data=st.data(), kind=st.sampled_from(WORDS))
    def a_word_comes(self, data: st.DataObject, kind: str) -> None:
        match = self.some_match(data)
        assert match is not None
        wish_id, offer_id, at = match.wish.id, match.offer.id, self.at
        match_id = data.draw(st.sampled_from([None, match.id]))
        words = {
            "accepted": lambda: build.accepted(wish_id, offer_id, at=at, match_id=match_id),
            "declined": lambda: build.declined(wish_id, offer_id, at=at, match_id=match_id),
            "approved": lambda: build.approved(wish_id, offer_id, at=at, match_id=match_id),
            "not_approved": lambda: build.approved(wish_id, offer_id, at=at, word=False, match_id=match_id),
            "confirmed": lambda: build.confirmed(match, at=at),
            "closed": lambda: build.closed(match, at=at),
            "closed_in_vain": lambda: build.closed(match, at=at, outcome=data.draw(st.sampled_from(["partly", "not_done"]))),
            "undeliverable": lambda: build.undeliverable(match, at=at),
            "no_consent": lambda: build.undeliverable(match, at=at, reason=NO_CONSENT),
            "started": lambda: build.service("started", wish_id, offer_id, at=at),
        }
        self.hears(words[kind]())


CoreAndReference.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestCoreAgainstReference = CoreAndReference.TestCase
