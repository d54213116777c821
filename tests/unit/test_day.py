"""The sample day's plan: valid, the High-tech Zone's shape, and most of its wishes find a helper at any hour."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import uuid4

import orjson
import pytest
from rich.console import Console

from deploy.cli import SAMPLE_DAY_POLICY
from deploy.day import SEED as DAY_SEED
from deploy.day import Outcome, _what_next
from deploy.day_plan import Plan, Sending, plan_day
from deploy.demo import wanted
from deploy.hightech import AREA, COMMUNITIES, COMPOUNDS
from deploy.state import ROOT
from deploy.tools.placeholders import fill
from deploy.tools.wording import LOCAL
from schemas.codec import Event, decode_structured
from schemas.errors import WINDOW_TOO_SHORT, InvalidEvent
from schemas.instants import MINUTE_US, micros
from services.matcher.core.decide import decide, pass_time
from services.matcher.core.state import Area
from services.matcher.core.turn import Decision
from services.matcher.policies import Policies

NOON = datetime(2026, 11, 23, 12, 10, 5, tzinfo=LOCAL)
HOURS = [NOON.replace(hour=hour) for hour in (0, 3, 7, 10, 15, 16, 19, 23)]
SEED = 1
POLICY = Policies.read(SAMPLE_DAY_POLICY).of(AREA)


def value(sending: Sending, now: datetime = NOON) -> bytes:
    return orjson.dumps(sending.event(now))


def bad_ones(plan: Plan) -> list[Sending]:
    return [sending for sending in plan.sendings if sending.subject.endswith("-bad")]


def play(plan: Plan, now: datetime) -> tuple[Area, list[Decision]]:
    """The plan through the matcher's core, with the day's policy and volunteers who say yes."""
    area = Area(AREA, POLICY)
    out: list[Decision] = []
    for number, sending in enumerate(plan.sendings):
        if sending in bad_ones(plan):
            continue
        at = now + timedelta(seconds=number / 5)
        event = decode_structured(value(sending, at))
        _run_to(area, micros(at), out, plan.left)
        _take(area, event, micros(at), out, plan.left)
    _run_to(area, micros(at) + MINUTE_US, out, plan.left)
    return area, out


def _run_to(area: Area, now: int, out: list[Decision], left: frozenset[str] | set[str] = frozenset()) -> None:
    while (due := area.next_deadline()) is not None and due <= now:
        _tell(area, pass_time(area, due)[1], due, out, left)


def _take(area: Area, event: Event, now: int, out: list[Decision], left: frozenset[str] | set[str] = frozenset()) -> None:
    _tell(area, decide(area, event, now)[1], now, out, left)


def _tell(area: Area, told: list[Decision], now: int, out: list[Decision], left: frozenset[str] | set[str]) -> None:
    """Who is invited says yes, but for what is left to lie on the wall."""
    out.extend(told)
    for one in told:
        if one.type == "lastmetre.helper.invited.v1" and one.data["wish_id"] not in left:
            pair = {"area": AREA, "wish_id": one.data["wish_id"], "offer_id": one.data["offer_id"]}
            yes = Sending(1.0, "lastmetre.match.accepted.v1", f"yes-{one.id}", one.subject, pair)
            _take(area, decode_structured(orjson.dumps(yes.event(datetime.fromtimestamp(now / 1e6, UTC)))), now, out, left)


def test_every_line_is_valid_but_the_one_that_is_not_meant_to_be() -> None:
    plan = plan_day(1, NOON, SEED)
    faults = []
    for sending in plan.sendings:
        try:
            decode_structured(value(sending))
        except InvalidEvent as fault:
            faults.append(fault.reason)
    assert [WINDOW_TOO_SHORT] == faults
    assert 1 == plan.bad


def test_the_same_seed_and_instant_give_the_same_day() -> None:
    assert plan_day(1, NOON, SEED) == plan_day(1, NOON, SEED)
    assert plan_day(1, NOON, SEED) != plan_day(1, NOON, SEED + 1)


def test_two_runs_share_no_id() -> None:
    ids = [{sending.id for sending in plan_day(run, NOON, SEED).sendings} for run in (1, 2)]
    subjects = [{sending.subject for sending in plan_day(run, NOON, SEED).sendings} for run in (1, 2)]
    assert set() == ids[0] & ids[1]
    assert set() == subjects[0] & subjects[1]


def test_one_event_is_there_twice() -> None:
    plan = plan_day(1, NOON, SEED)
    repeated = [event_id for event_id, count in Counter(sending.id for sending in plan.sendings).items() if count > 1]
    assert plan.repeats == len(repeated)


def test_the_zone_has_its_real_shape() -> None:
    plan = plan_day(1, NOON, SEED)
    assert ["居尚花园", "高新现代城", "建民", "富家河"] == list(COMMUNITIES.values())
    assert 12 == len(COMPOUNDS)
    assert 60 <= len(plan.wishes) <= 120
    assert 50 <= plan.offers <= 80
    told = [sending.data for sending in plan.sendings if sending.type == "lastmetre.wish.submitted.v1"]
    assert {"elder_care", "disability_help", "left_behind_children"} < {data["category"] for data in told}
    assert 9 == len({data["category"] for data in told})
    assert {"red", "yellow", "blue"} == {data["urgency"] for data in told}
    assert set(COMMUNITIES) == {data["place"]["community"] for data in told}
    offers = [sending.data for sending in plan.sendings if sending.type == "lastmetre.offer.posted.v1"]
    assert {one.compound for one in COMPOUNDS} == {data["home"]["compound"] for data in offers}
    assert all(data["organisation"] for data in offers)


@pytest.mark.parametrize("now", HOURS, ids=lambda now: f"{now:%H}h")
def test_most_wishes_find_their_helpers_at_once_at_any_hour(now: datetime) -> None:
    plan = plan_day(1, now, SEED)
    area, out = play(plan, now)
    waiting = {wish.id: plan.wishes[wish.id].zh for wish in area.wishes.values() if wish.status == "open"}
    assert len(waiting) <= 12, waiting
    refused = Counter(one.data["reason"] for one in out if one.type == "lastmetre.claim.rejected.v1")
    assert {"skill_missing": 1, "language_missing": 1, "out_of_reach": 1, "vetting_too_low": 1, "needs_two": 1} == dict(refused)
    assert {"活动室的钢琴走音了", "家里的菜刀钝了", "孩子想学轮滑"} <= set(waiting.values())
    assert {"听障居民办证，需要手语", "想跟老师学二胡"}.isdisjoint(waiting.values())


@pytest.mark.parametrize(("now", "seed"), [(HOURS[1], DAY_SEED), (NOON, DAY_SEED), (HOURS[-1], SEED)], ids=("03h", "noon", "another seed, 23h"))
def test_when_the_day_is_over_some_wishes_lie_on_the_wall_for_the_member_to_claim(now: datetime, seed: int) -> None:
    plan = plan_day(1, now, seed)
    (member,) = (one.volunteer_ref for one in wanted(plan) if one.login == "demo-member")
    area, _ = play(plan, now)
    claims: list[Decision] = []
    for number, wish_id in enumerate(sorted(plan.left)):
        assert "open" == area.wishes[wish_id].status
        offers = [offer.id for offer in area.offers.values() if offer.volunteer.ref == member]
        claim = {"area": AREA, "claim_id": f"try-{number}", "wish_id": wish_id, "offer_id": max(offers, key=len)}
        later = now + timedelta(minutes=20 + number)  # nobody answered the invitation
        _run_to(area, micros(later), [], plan.left)
        event = Sending(1.0, "lastmetre.wish.claimed.v1", claim["claim_id"], wish_id, claim)
        _take(area, decode_structured(value(event, later)), micros(later), claims, plan.left)
    assert 3 == len(plan.left)
    assert plan.left == {one.data["wish_id"] for one in claims if one.type == "lastmetre.match.proposed.v1" and one.data["how"] == "claimed"}


@pytest.mark.parametrize("now", HOURS, ids=lambda now: f"{now:%H}h")
def test_wishes_that_are_taken_back_have_their_helper_by_then(now: datetime) -> None:
    plan = plan_day(1, now, SEED)
    taken_back = {sending.subject for sending in plan.sendings if sending.type == "lastmetre.wish.withdrawn.v1"}
    _, out = play(plan, now)
    called_off = [one.data["wish_id"] for one in out if one.type == "lastmetre.match.released.v1" and one.data["reason"] == "withdrawn"]
    assert 2 == len(taken_back)
    assert taken_back <= set(called_off)


@pytest.mark.parametrize("now", HOURS, ids=lambda now: f"{now:%H}h")
def test_the_first_wish_finds_a_helper_again_and_again(now: datetime) -> None:
    area, _ = play(plan_day(1, now, SEED), now)
    later = micros(now) + MINUTE_US
    for number in range(20):
        at = now + timedelta(minutes=1)
        event = decode_structured(first_wish(at))
        decided = decide(area, event, later + number)[1]
        assert ["lastmetre.match.proposed.v1"] == [one.type for one in decided]
        assert not decided[0].data["needs_answer"]


def first_wish(now: datetime) -> bytes:
    return fill((ROOT / "examples" / "first-wish.jsonl").read_bytes().strip(), now, uuid4)


@pytest.mark.parametrize(("stays", "times"), [(True, 1), (False, 0)])
def test_where_all_stays_up_the_accounts_are_told_once_more_at_the_end_of_the_day(stays: bool, times: int) -> None:
    console = Console(file=StringIO(), width=20)
    _what_next(Outcome(accounts=["open http://127.0.0.1:8080", "  demo-member  a-password-of-more-than-twenty"]), console, stays=stays)
    assert times == console.file.getvalue().count("demo-member  a-password-of-more-than-twenty\n")  # type: ignore[attr-defined]
