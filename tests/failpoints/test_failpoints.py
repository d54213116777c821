"""A sample in which every step is met once, and that no statement is without a point. The long form: `python -m tests.failpoints`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.kafka import Kafka
from deploy.state import ROOT
from tests.conftest import Database
from tests.failpoints.rig import Rig, rig
from tests.failpoints.run import go_through, look, sample_of, step_of
from tests.failpoints.scene import Case
from tests.failpoints.trap import STATEMENTS, Order, step_name

_CANARY = "tests/integration/test_canary.py"
_LOST = "tests/integration/test_lost_logs.py::test_what_comes_after_a_broker_has_lost_everything_is_taken_in_by_everybody"
_LINKS = "tests/integration/test_links.py"
_VAULT = "tests/integration/test_vault_wired.py"
# Passed elsewhere, each with why, and the test that passes it.
ELSEWHERE = {
    "count_backlog": (
        "asked by /readyz alone, and changes nothing",
        f"{_CANARY}::test_the_whole_town_leaves_nobody_in_plain_and_only_what_is_planted_on_its_kafka_is_found",
    ),
    "watch_postpone": ("of a visit that can't be judged", "tests/integration/test_watching.py::test_a_visit_that_can_not_be_looked_at_holds_up_no_other"),
    "read_begun": ("where a place is taken up again: here everybody begins at a log's start", _LOST),
    "read_noted": ("the same", _LOST),
    "go_back": ("where Kafka has lost what was read", _LOST),
    "links_mint_anew": ("once a key was taken out", f"{_LINKS}::test_a_key_that_was_taken_out_opens_nothing_and_a_new_code_can_be_had"),
    "links_look": ("the gateway's: here no link is opened", f"{_LINKS}::test_looking_uses_nothing_up"),
    "links_hold": ("the gateway's", f"{_LINKS}::test_two_taps_at_once_give_one_winner"),
    "links_use": ("the gateway's", f"{_LINKS}::test_two_taps_at_once_give_one_winner"),
    "links_supersede_side": ("the gateway's", f"{_LINKS}::test_who_calls_off_has_no_more_to_say_and_the_other_side_has"),
    "vault_note": ("where there is a vault", f"{_VAULT}::test_the_ladder_follows_the_match"),
    "vault_note_reports": ("where there is a vault", f"{_VAULT}::test_the_ladder_follows_the_match"),
    "vault_read": ("where there is a vault", f"{_VAULT}::test_a_vault_that_is_away_keeps_notices_and_stages_waiting_and_loses_none"),
    "vault_forget": ("where there is a vault", f"{_VAULT}::test_a_vault_that_is_away_keeps_notices_and_stages_waiting_and_loses_none"),
    "vault_read_known": (
        "where there is a vault that does not know the match",
        f"{_VAULT}::test_a_helper_is_told_that_nobody_waits_for_them_any_more_even_if_the_resident_was_erased",
    ),
}
BY_EVENT_TIME = {"write_clocks", "look_again", "find_due_by_event", "ticked", "clock_runs_to"}
# What the promise names, in both readers.
PHASES = {
    *(f"{reader}: {order} {step}" for reader in ("inbox", "visits") for order in ("before", "after") for step in ("poll", "validate", "begin", "commit")),
    *(f"{reader}: {order} {step}" for reader in ("publish", "publish visits") for order in ("before", "after") for step in ("publish", "forget_published")),
    *(f"neighbours: {order} {step}" for order in ("before", "after") for step in ("poll", "begin", "watch_place_wishes", "commit")),
    *(f"watch: {order} {step}" for order in ("before", "after") for step in ("begin", "watch_hold_due", "watch_say", "take_back", "commit")),
    *(f"record: {order} {step}" for order in ("before", "after") for step in ("begin", "change_notices", "write_outbox", "commit")),
    *(f"hand: {order} send" for order in ("before", "after")),
}
# What the long form has found, by the fault that it was.
FOUND = (
    # The record was committed, which nobody knew: a notice about no match was counted against its person's number a day once more.
    (Order("record: after begin", "error"), Order("record: before read_unpublished", "error", at_work=False)),
    # What was due again was leased while its last attempt was still being written down: it was passed over, and waited until that lease ended.
    (Order("record: after begin", "error"), Order("record: after read_unpublished", "delay", at_work=False)),
)

FOUND_BY_EVENT_TIME = (
    # What followed from a receipt waited in the outbox until the next restart.
    (Order("receipts: after commit", "error"),),
    # While the lane was taken again, what followed from a receipt was dated by the wall, and set forward every clock.
    (Order("inbox: before commit", "delay"), Order("inbox: after commit", "error")),
)


async def _sample(one: Rig, names: set[str] | None = None) -> set[str]:
    """Meet a sample, of these steps alone where they are named; all points that were seen."""
    found = await look(one)
    points = {*found.at_work, *found.at_start}
    left_out = {step_of(point) for point in points if names is not None and _name_of(point) not in names}
    outcome = await go_through(one, [*sample_of(found, left_out), *(FOUND if one.timed else FOUND_BY_EVENT_TIME)], points, print)
    print(f"{outcome.cases} cases, {len(outcome.met)} points met, {outcome.seconds:.1f} s")
    return points


def _name_of(point: str) -> str:
    return step_of(point).split(": ")[1]


async def test_every_step_is_met_by_a_kill_an_error_or_a_delay_and_nothing_is_lost_or_doubled(fresh_topics: Kafka, database: Database, tmp_path: Path) -> None:
    async with rig(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, timed=True) as one:
        points = await _sample(one)
        await _a_wrong_end_would_be_found(one)
    assert set() == PHASES - points
    unmet = {*STATEMENTS.values()} - {_name_of(point) for point in points}
    assert {*ELSEWHERE, *BY_EVENT_TIME} == unmet, "a statement that no case passes: let the scene bring it about"


async def test_steps_that_only_event_time_takes_are_met_too(fresh_topics: Kafka, database: Database, tmp_path: Path) -> None:
    async with rig(fresh_topics.bootstrap, database.dsn("notifier"), database.dsn(), tmp_path, timed=False) as one:
        points = await _sample(one, BY_EVENT_TIME)
    assert set() == BY_EVENT_TIME - {_name_of(point) for point in points}


async def _a_wrong_end_would_be_found(one: Rig) -> None:
    case = Case(one.number - 1, timed=True)
    await one.judge(case, 0)
    key = next(iter(case.heard))
    times = one.sink.accepted.pop(key)
    with pytest.raises(AssertionError, match="lost: 1 notices"):
        await one.judge(case, 0)
    one.sink.accepted |= {key: times, "another": 1}
    with pytest.raises(AssertionError, match="doubled: 1 effects"):
        await one.judge(case, 0)
    del one.sink.accepted["another"]
    one.sink.attempts[key] = 5
    with pytest.raises(AssertionError, match="again and again"):
        await one.judge(case, 0)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_passed_elsewhere_names_a_test_that_is_there(name: str) -> None:
    path, _, test = ELSEWHERE[name][1].partition("::")
    assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")


def test_a_statement_without_a_name_is_refused() -> None:
    with pytest.raises(LookupError, match="without a name"):
        step_name("UPDATE notifying.notices SET state = 'sent'")
    assert ("begin", "commit", "poll") == tuple(step_name(step) for step in ("BEGIN;", "COMMIT;", "poll"))
