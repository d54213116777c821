"""A line of the journal and a notice as `explain` tells them: nothing untrue, and in both languages."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from deploy.tools.story import judged, notices_told, steps_of
from deploy.tools.telling import tell
from deploy.tools.wording import FAULTS, NOTICE_KINDS, PARTIES
from schemas import codec
from schemas.codec import Event
from schemas.confirmations import NO_CONSENT
from services.gateway.board.words import RELEASES
from services.matcher.core.decide import decide
from services.matcher.core.policy import Policy
from services.notifier.notices import Kind, Party
from services.notifier.routes import DOWN
from tests.builders import Scene, event, given, instant, offer, service, text_of, wish, wish_withdrawn


def line_of(scene: Scene, said: Event) -> dict[str, Any]:
    """The line of the journal that this event leaves."""
    outcome, decisions = decide(scene.area, said, instant(0))
    assert not decisions
    return {"at": instant(0), "kind": "event", "outcome": outcome, "event": codec.structured(said), "decision": b"[]"}


def told_of(said: Event) -> list[tuple[str, str]]:
    return [step.words for step in steps_of(line_of(given(offer(), wish()), said), "w1")]


@pytest.mark.parametrize("step", ["started", "finished", "acknowledged"])
def test_a_report_of_a_visit_is_not_said_to_be_without_effect(step: str) -> None:
    said = service(step)
    assert [tell(said)] == told_of(said)


def test_what_changes_nothing_is_said_to_be_without_effect() -> None:
    scene = given(offer(), wish())
    scene.when(wish_withdrawn())
    (step,) = steps_of(line_of(scene, wish_withdrawn(at=1)), "w1")
    assert ("心愿 w1 已撤回（无影响）", "wish w1 is withdrawn (without effect)") == step.words


def test_who_was_invited_in_vain_is_counted_and_when_it_is_too_late_is_seen() -> None:
    scene = given(offer(accepts="ask"), wish(urgency="red", wanted=(0, 240)), policy=Policy())
    waited = scene.area.wishes["w1"]
    asked = judged(scene.area, waited, instant(0))
    assert (1, 1, 0, False) == (asked.fit, asked.invitations, asked.spent, asked.late)
    scene.passes(60)
    lapsed = judged(scene.area, waited, instant(60))
    assert (1, 0, 1, False) == (lapsed.fit, lapsed.invitations, lapsed.spent, lapsed.late)
    assert judged(scene.area, waited, instant(181)).late


def a_notice(**more: Any) -> dict[str, Any]:
    usual = {"party": "resident", "kind": "confirmed", "state": "sent", "attempts": 1, "channel": "console", "sent_at": text_of(0), "fault": None}
    return {**usual, "due_us": instant(0), "offer_id": "o1", **more}


def test_every_kind_of_notice_and_everybody_who_is_told_has_words() -> None:
    assert set(get_args(Kind)) == set(NOTICE_KINDS)
    assert set(get_args(Party)) == set(PARTIES)


def test_an_alarm_to_the_centre_household_is_told_in_words() -> None:
    (step,) = notices_told([a_notice(kind="not_started", party="household")])
    assert (
        "未按时开始的告警已送达中心户（console，服务 o1）",
        "alarm that nobody has begun delivered to the centre household (console, offer o1)",
    ) == step.words


def test_a_notice_that_did_not_arrive_says_of_which_offer_and_why_in_words() -> None:
    (step,) = notices_told([a_notice(state="dead", channel=None, attempts=0, sent_at=None, fault=NO_CONSENT)])
    assert (
        "给居民的确认通知：送不到（-，服务 o1，试过 0 次，没有有效的监护人同意）",
        "confirmation to the resident: could not be delivered (-, offer o1, 0 attempts, no consent of a guardian holds)",
    ) == step.words


def test_a_confirmation_that_failed_says_why_in_words() -> None:
    failed = event("confirmation.failed.v1", "m1", {"match_id": "m1", "wish_id": "w1", "offer_id": "o1", "reason": NO_CONSENT})
    assert (
        "心愿 w1 与服务 o1 未能确认：没有有效的监护人同意",
        "wish w1 and offer o1 could not be confirmed: no consent of a guardian holds",
    ) == tell(failed)


def test_every_fault_of_a_channel_has_words() -> None:
    from services.notifier.book import _CLEAR, INTERRUPTED
    from services.notifier.channels import _UNCLEAR
    from services.notifier.receipt import UNDELIVERED

    assert {NO_CONSENT, INTERRUPTED, UNDELIVERED, *_CLEAR, *_UNCLEAR} <= set(FAULTS)


def test_whatever_keeps_somebody_from_being_told_has_words_at_the_terminal_and_on_the_monitor() -> None:
    from_the_vault = {"no_consent", "helper_no_consent", "erased", "key_destroyed"}  # docs/channels.md: for these somebody is not told at all
    assert set() == {DOWN, "links_away", "no_channel", *from_the_vault} - FAULTS.keys()
    assert set() == {"no_channel", *from_the_vault} - RELEASES.keys()
