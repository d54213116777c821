"""What each is shown of a wish, and who speaks for whom: the ladder of the address, children's wishes, the community's word, dead letters, entering."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from schemas.lanes import partition_of
from services.gateway.database import Database
from services.gateway.door import examples
from services.gateway.people import linked, store
from services.gateway.people.store import Before
from services.gateway.publisher import SOURCE
from services.gateway.roles import Principal, Role, Scope
from services.gateway.routes.monitor import LISTED_MAX
from services.links.claims import Claims
from services.links.store import mint
from tests.integration.gateway_rig import GatewayRig, own_database, running_gateway
from tests.integration.gateway_seeds import book, fill

AREA = "ankang-hightech"
NOW = datetime.now(UTC)
PLACE = {"area": AREA, "community": "jianmin", "compound": "jianmin-xincun", "building": "b12", "unit": "u3"}
SLOT = {"starts_at": NOW + timedelta(hours=2), "ends_at": NOW + timedelta(hours=4)}
WISH: dict[str, Any] = {
    **PLACE, **SLOT, "resident_ref": "r-1", "state": "open", "title": "ADULT-TITLE", "category": "household", "urgency": "blue", "age_band": "adult",
    "minutes": 60, "helpers_needed": 2, "skills": ["carry"], "approval": "none", "submitted_at": NOW, "received_at": NOW, "changed_at": NOW,
}  # fmt: skip
MATCH: dict[str, Any] = {
    **PLACE, **SLOT, "offer_id": "o-1", "resident_ref": "r-1", "volunteer_ref": "v-1", "rung": "unit", "how": "claimed", "state": "proposed",
    "needs_answer": True, "expires_at": NOW + timedelta(hours=1), "changed_at": NOW, "proposed_at": NOW,
}  # fmt: skip
CHILD = {"category": "left_behind_children", "age_band": "under_14", "title": "CHILD-TITLE", "note": "CHILD-NOTE", "lives_alone": True}
STATES = ("proposed", "agreed", "closed", "released")
FORM = {"title": "t", "category": "household", "urgency": "blue", "when": "week", "minutes": "60", "age_band": "adult", "helpers_needed": "1", "compound": "x"}


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    links = {"link_keys": "k1:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY="}
    folder = tmp_path_factory.mktemp("shown")
    async with own_database(postgres, "gateway_shown") as database, running_gateway(folder, database, kafka, answer_seconds=0.2, **links) as running:
        owner = running.owner
        for state in STATES:
            ended = {"state": state, "release_reason": "unsafe", "outcome": "done", "minutes": 60, "confirmed_at": NOW}
            for kind, more in (("adult", {}), ("child", CHILD)):
                await fill(owner, "wishes", **WISH | more | {"wish_id": f"w-{kind}-{state}", "state": "open" if state == "released" else "held"})
                await fill(owner, "matches", **MATCH | ended | {"wish_id": f"w-{kind}-{state}", "match_id": f"m-{kind}-{state}"})
        await fill(owner, "wishes", **WISH | CHILD | {"wish_id": "w-child"})
        await fill(owner, "wishes", **WISH | CHILD | {"wish_id": "w-child-alone", "building": "b77", "reach": "compound"})
        await fill(owner, "wishes", **WISH | CHILD | {"wish_id": "w-approve"})
        approve = {
            "wish_id": "w-approve",
            "match_id": "m-approve",
            "needs_approval": True,
            "needs_answer": False,
            "volunteer_ref": "v-worker",
            "offer_id": "o-worker",
        }
        await fill(owner, "matches", **MATCH | approve)
        brief = json.dumps({"title": "CHILD-TITLE", "minor": True, "urgency": "blue", "category": "left_behind_children", "rung": "unit"})
        line = {"kind": "match.proposed.v1", "subject": "w-child", "wish_id": "w-child", "resident_ref": "r-1", "brief": brief}
        await fill(owner, "stream", **PLACE, event_key=str(uuid4()), seq=1, at=NOW, **line)
        yield running


async def browser(rig: GatewayRig, *roles: str, **more: Any) -> Any:
    found = await rig.signed_in(await rig.person(*roles, **({"scope": (AREA,)} | more)))
    found.client.headers["accept-language"] = "en"
    return found


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text.partition("<main")[2]))


async def said(rig: GatewayRig, topic: str) -> list[dict[str, Any]]:
    """The data of all that this gateway's pages have said on this area's partition; others' records lie there too."""
    place = TopicPartition(topic, partition_of(AREA))
    consumer = AIOKafkaConsumer(bootstrap_servers=rig.gateway.settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, 0)
        found: list[dict[str, Any]] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                ours = [record for record in records if record.timestamp / 1000 >= NOW.timestamp() and dict(record.headers).get("ce_source") == SOURCE.encode()]
                found += [json.loads(record.value) for record in ours]
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("state", "adult", "child"),
    [
        ("proposed", (200, "Jianmin New Village", "building 12"), (200, "Jianmin", "New Village")),
        ("agreed", (200, "building 12", None), (200, "building 12", None)),
        ("closed", (200, "Jianmin New Village", "building 12"), (200, "Jianmin", "New Village")),
        ("released", (404, "", None), (404, "", None)),
    ],
)
async def test_a_helper_is_shown_as_much_of_the_place_as_the_stage_of_their_match_allows(rig: GatewayRig, state: str, adult: Any, child: Any) -> None:
    helper = await browser(rig, "volunteer", volunteer_ref="v-1")
    for kind, (status, shown, hidden) in (("adult", adult), ("child", child)):
        page = await helper.get(f"/wish/{AREA}/w-{kind}-{state}")
        assert (status, kind) == (page.status_code, kind)
        if status == 200:
            assert shown in words(page.text)
            assert hidden is None or hidden not in words(page.text), (kind, hidden)


async def test_a_helper_of_a_child_is_told_the_community_alone_until_they_have_agreed(rig: GatewayRig) -> None:
    helper = await browser(rig, "volunteer", volunteer_ref="v-1")
    page = (await helper.get("/mine")).text
    cards = {state: words("<main" + page.partition(f'id="match-m-child-{state}"')[2].partition("</article>")[0]) for state in ("proposed", "agreed")}
    assert "Same stairway" not in cards["proposed"]
    assert "New Village" not in cards["proposed"]
    assert "Same stairway" in cards["agreed"]
    assert "New Village" in cards["agreed"]


async def test_a_members_hours_and_outcomes_are_those_of_the_books_and_without_books_the_page_still_tells_what_it_heard(rig: GatewayRig) -> None:
    helper = await browser(rig, "volunteer", volunteer_ref="v-booked")
    for name, outcome, minutes in (("taken-back", "done", 90), ("made-good", "done", 0), ("as-told", "partly", 45)):
        closed = {"state": "closed", "outcome": outcome, "minutes": minutes, "closed_at": NOW, "volunteer_ref": "v-booked", "wish_id": "w-adult-closed"}
        await fill(rig.owner, "matches", **MATCH | closed | {"match_id": f"m-{name}"})
    page = words((await helper.get("/mine")).text)
    assert ("Done · 1 h 30 min" in page, "Partly done · 45 min" in page, "corrected since" in page) == (True, True, False)
    assert "0.0 hours 0 points 0 visits 0.0 hours this month 100.0 hours to star 1" in page
    await book(rig.owner, "m-taken-back", "v-booked", ("done", 90), ("not_done", 90), area=AREA)
    await book(rig.owner, "m-made-good", "v-booked", ("done", 0), ("done", 19), area=AREA)
    page = words((await helper.get("/mine")).text)
    assert ("Not done · corrected since" in page, "Done · 19 min · corrected since" in page, "Partly done · 45 min" in page) == (True, True, True)
    assert "0.3 hours 0.32 points 1 visits 0.3 hours this month 99.7 hours to star 1" in page


@pytest.mark.parametrize(
    ("match", "shown"),
    [
        ({"needs_approval": True}, "The community's word is awaited"),
        ({"needs_approval": False}, "Both sides are being told"),
        ({"needs_approval": True, "approved_at": NOW}, "Both sides are being told"),
        ({"needs_approval": False, "group_id": "g-1"}, "Your companion's answer is awaited"),
    ],
)
async def test_a_helper_waits_for_the_communitys_word_only_where_the_wish_asks_for_it(rig: GatewayRig, match: dict[str, Any], shown: str) -> None:
    name = f"waits-{uuid4().hex[:8]}"
    ids = {"match_id": f"m-{name}", "wish_id": "w-adult-proposed", "volunteer_ref": f"v-{name}"}
    await fill(rig.owner, "matches", **MATCH | ids | {"needs_answer": False} | match)
    helper = await browser(rig, "volunteer", volunteer_ref=f"v-{name}")
    page = words((await helper.get("/mine")).text).replace("&#39;", "'")
    assert shown in page
    assert ("The community's word" in page) is (shown == "The community's word is awaited")
    assert "Can't come? Somebody else is found then" in page  # folded away: nothing is asked, and it is given back for good
    await rig.owner.execute("UPDATE gateway.matches SET state = 'finished', confirmed_at = $2 WHERE match_id = $1", f"m-{name}", NOW)
    resident = await browser(rig, "resident", resident_refs=("r-1",))
    followed = words((await resident.get("/wishes/w-adult-proposed")).text)
    assert ("The helper is done" in followed, "waits for the resident" in followed) == (True, False)


async def test_an_auditor_is_shown_of_a_childs_wish_neither_title_nor_home(rig: GatewayRig) -> None:
    auditor, worker = await browser(rig, "auditor", scope=(AREA, "jianmin")), await browser(rig, "worker", scope=(AREA, "jianmin"))
    for path in ("/monitor", f"/wish/{AREA}/w-child"):
        assert "CHILD-TITLE" not in (await auditor.get(path)).text
        assert "CHILD-TITLE" in (await worker.get(path)).text
    theirs = words((await auditor.get(f"/wish/{AREA}/w-child-proposed")).text)
    ours = words((await worker.get(f"/wish/{AREA}/w-child-proposed")).text)
    for hidden in ("building 12", "New Village", "Lives alone", "same stairway"):
        assert hidden not in theirs
        assert hidden in ours
    for who, told in ((auditor, False), (worker, True)):
        page = (await who.get("/monitor")).text
        assert told is ('<span class="where">Jianmin · Jianmin New Village · building 12</span>' in page)
        (waiting,) = [row for row in page.split("<tr") if f"/wish/{AREA}/w-approve" in row and "<td>" in row]
        assert told is ("<td>same stairway</td>" in waiting)
    for path, hidden in (("/monitor", "building 77"), ("/monitor/parts", "building 77"), (f"/wish/{AREA}/w-child-alone", "Asks up to")):
        theirs, ours = [(await who.get(path)).text for who in (auditor, worker)]
        assert hidden not in theirs
        assert hidden in ours
    for narrower, found in (({}, True), ({"compound": PLACE["compound"]}, False), ({"building": "b77"}, False)):
        lists = [(await who.get("/monitor/wishes", params={"state": "all", "community": "jianmin", **narrower})).text for who in (auditor, worker)]
        assert [found, True] == [f'href="/wish/{AREA}/w-child-alone"' in one for one in lists]
        assert ["CHILD-TITLE" in one for one in lists] == [False, True]
    assert "The audit log is for accounts of a whole area: yours is of a part of it." in (await auditor.get("/audit")).text
    for watcher, place, text in ((auditor, ["Jianmin"], ""), (worker, ["Jianmin", "Jianmin New Village", "building 12"], "CHILD-TITLE")):
        async with watcher.client.stream("GET", "/live?after=0") as answer:
            async for line in answer.aiter_lines():
                if line.startswith('data: {"seq"'):
                    shown = json.loads(line[6:])
                    assert place == shown["place"]
                    assert text in shown["text"] if text else "stairway" not in shown["text"]
                    break


async def test_a_worker_comes_to_every_wish_that_the_board_has_no_room_for(rig: GatewayRig) -> None:
    there = {"area": "far", "community": "north", "compound": "north-1"}
    known = [f"w-{number:03d}" for number in range(LISTED_MAX + 1)]
    for wish_id in known:
        await fill(rig.owner, "wishes", **WISH | there | {"wish_id": wish_id, "title": wish_id})
    await fill(rig.owner, "wishes", **WISH | there | {"wish_id": "w-late", "urgency": "red", "submitted_at": NOW - timedelta(hours=1), "title": "LATE"})
    await fill(rig.owner, "wishes", **WISH | there | {"wish_id": "w-done", "state": "closed", "building": "b9", "title": "DONE"})
    worker = await browser(rig, "worker", scope=("far",))

    async def listed(**asked: Any) -> tuple[list[str], str]:
        page = (await worker.get("/monitor/wishes", params=asked)).text
        return re.findall(r'href="/wish/far/([^"]+)"', page), words(page)

    assert 'href="/monitor/wishes?state=open"' in (await worker.get("/monitor")).text
    first, said = await listed()
    assert ["w-late", *known[: LISTED_MAX - 1]] == first
    assert "102 in all, 1 to 100" in said
    assert (known[-2:], True, False) == ((found := await listed(page=2))[0], "Back" in found[1], "Next" in found[1])
    assert ([], True) == ((found := await listed(page=3))[0], "First page" in found[1])
    assert ["w-late"] == (await listed(state="all", pressing="yes"))[0] == (await listed(urgency="red"))[0]
    assert ["w-done"] == (await listed(state="ended"))[0] == (await listed(state="all", compound="north-1", building="b9"))[0]
    assert [] == (await listed(state="all", community="south"))[0]
    refused = await worker.get("/monitor/wishes", params={"state": "lost"})
    assert (422, True) == (refused.status_code, "state" in refused.text)


async def test_the_wall_does_not_tell_by_its_filters_how_near_a_child_lives(rig: GatewayRig) -> None:
    windows = json.dumps([{"start": NOW.isoformat(), "end": (NOW + timedelta(days=2)).isoformat()}])
    offer = {"offer_id": "o-near", "volunteer_ref": "v-near", "reach": "area", "state": "open", "skills": ["carry"], "vetting_level": 4, "checked_at": NOW}
    await fill(rig.owner, "offers", **PLACE, **offer, last_end=NOW + timedelta(days=2), windows=windows)
    member = await browser(rig, "volunteer", volunteer_ref="v-near")
    shown = {rung: 'id="wish-w-child"' in (await member.get("/wall", params={"rung": rung, "all": "yes"})).text for rung in ("unit", "compound", "community")}
    assert {"unit": False, "compound": False, "community": True} == shown


@pytest.mark.parametrize(("reason", "said"), [("no_consent", "no guardian's consent holds: note one"), ("undeliverable", "for safety")])
async def test_a_worker_reads_that_a_wish_has_ended_for_want_of_a_consent(rig: GatewayRig, reason: str, said: str) -> None:
    ids = {"wish_id": f"w-{reason}", "match_id": f"m-{reason}"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": ids["wish_id"], "state": "withdrawn"})
    await fill(rig.owner, "matches", **MATCH | ids | {"state": "released", "release_reason": "unsafe", "failed_reason": reason, "volunteer_ref": f"v-{reason}"})
    worker = await browser(rig, "worker", scope=(AREA, "jianmin"))
    assert f"Released because {said}" in words((await worker.get(f"/wish/{AREA}/{ids['wish_id']}")).text).replace("&#39;", "'")


async def test_nobody_but_a_worker_speaks_as_the_community(rig: GatewayRig) -> None:
    form = {"match_id": "m-adult-closed", "outcome": "not_done", "reason": "I am the community"}
    resident = await browser(rig, "resident", resident_refs=("r-1",))
    assert 403 == (await resident.post(f"/wish/{AREA}/w-adult-closed/call-back", page="/account", **form)).status_code
    assert "I am the community" not in str(await said(rig, "responses"))
    worker = await browser(rig, "worker", scope=(AREA, "jianmin"))
    assert 303 == (await worker.post(f"/wish/{AREA}/w-adult-closed/call-back", page="/account", **form)).status_code
    assert "community" == (await said(rig, "responses"))[-1]["by"]


async def test_nobody_vouches_for_themselves_and_a_word_is_for_a_match_that_waits_for_one(rig: GatewayRig) -> None:
    own = await browser(rig, "worker", "volunteer", scope=(AREA, "jianmin"), volunteer_ref="v-worker")
    other = await browser(rig, "worker", scope=(AREA, "jianmin"))
    word = {"word": "yes", "match_id": "m-approve"}
    assert 403 == (await own.post(f"/wish/{AREA}/w-approve/approval", page="/account", **word)).status_code
    assert 303 == (await other.post(f"/wish/{AREA}/w-approve/approval", page="/account", **word)).status_code
    unasked = {"word": "no", "match_id": "m-adult-proposed"}
    assert 409 == (await other.post(f"/wish/{AREA}/w-adult-proposed/approval", page="/account", **unasked)).status_code


async def test_the_log_says_what_was_decided_and_not_who_looked_and_lies_in_the_askers_own_area(rig: GatewayRig) -> None:
    async def rows(account: str) -> list[tuple[Any, ...]]:
        found = await rig.owner.fetch("SELECT area, act, outcome, things FROM gateway.audit WHERE who = $1 AND act NOT LIKE 'sign%' ORDER BY seq", account)
        return [tuple(row) for row in found]

    stranger = await rig.person("worker", scope=(AREA, "fujiahe"))
    await (await rig.signed_in(stranger)).post("/wish/some-other-area/w-child/freeze", page="/account", reason="x")
    named = ["area=some-other-area", "wish_id=w-child"]
    assert (AREA, "freeze_wish", "denied", named) == (await rows(stranger.account_id))[-1]
    resident = await rig.person("resident", scope=(AREA,), resident_refs=("r-1",))
    assert 200 == (await (await rig.signed_in(resident)).get("/wishes/w-child")).status_code
    assert [] == await rows(resident.account_id)
    worker = await rig.person("worker", scope=(AREA,))
    await (await rig.signed_in(worker)).post("/review/communities", page="/account", area=AREA, community="fujiahe", reviews="no")
    assert [f"area={AREA}", "community=fujiahe", "reviews=no"] == (await rows(worker.account_id))[-1][3]


def letter(position: int, **more: Any) -> dict[str, Any]:
    event = examples.structured("wish.submitted.v1")
    event["partitionkey"] = AREA
    event["data"] |= {"area": AREA, "category": "left_behind_children", "title": "CHILD-TITLE", "place": {"community": "jianmin", "compound": "p"}}
    about = {"topic": "wishes-dlq", "partition": 0, "at": NOW, "reason": "window_too_short", "message": "a | b", "origin": "wishes:0:1", "area": AREA}
    return about | {"community": "jianmin", "kind": event["type"], "headers": "[]", "position": position, "value": json.dumps(event)} | more


async def test_what_stands_in_a_dead_letter_is_for_who_mends_it(rig: GatewayRig) -> None:
    await fill(rig.owner, "dead_letters", **letter(1))
    await fill(rig.owner, "dead_letters", **letter(2, area="elsewhere", community="far-away"))
    path = "/dead-letters/wishes-dlq/0/1"
    for role, shown in (("worker", True), ("auditor", False), ("admin", False)):
        somebody = await browser(rig, role, scope=(AREA, "jianmin"))
        page = await somebody.get(path)
        assert (role, 200, shown) == (role, page.status_code, "CHILD-TITLE" in page.text)
        assert 404 == (await somebody.get("/dead-letters/wishes-dlq/0/2")).status_code


async def test_a_dead_letter_goes_again_as_what_it_was_and_where_its_worker_is_at_home(rig: GatewayRig) -> None:
    worker = await browser(rig, "worker", scope=(AREA, "jianmin"))
    await fill(rig.owner, "dead_letters", **letter(11))
    path = "/dead-letters/wishes-dlq/0/11"
    good = json.loads(letter(11)["value"])
    elsewhere = good | {"id": "replay-1", "data": good["data"] | {"place": {"community": "fujiahe", "compound": "x"}}}
    taken_back = {**examples.structured("wish.withdrawn.v1"), "id": "replay-2", "partitionkey": AREA, "subject": "w-child"}
    taken_back["data"] = {"area": AREA, "wish_id": "w-child"}
    ours = good | {"id": "replay-3", "source": "lastmetre/gateway"}
    answers = [(await worker.post(f"{path}/replay", page=path, event=json.dumps(one))).status_code for one in (elsewhere, taken_back, ours)]
    assert [403, 422, 422] == answers
    assert 303 == (await worker.post(f"{path}/replay", page=path, event=json.dumps(good | {"id": "replay-4"}))).status_code


async def test_a_wish_is_entered_where_one_is_at_home_and_for_nobody_elses_resident(rig: GatewayRig) -> None:
    resident = await browser(rig, "resident", scope=(AREA, "jianmin"), resident_refs=("r-9",))
    assert 422 == (await resident.post("/enter", page="/enter", **FORM, community="gaoxin-xiandaicheng")).status_code
    assert 422 == (await resident.post("/enter", page="/enter", **FORM | {"compound": "No. 3!"}, community="jianmin")).status_code
    assert 303 == (await resident.post("/enter", page="/enter", **FORM, community="jianmin")).status_code
    centre = await browser(rig, "volunteer", volunteer_ref="v-8", centre=(AREA, "fujiahe"))
    entered = await centre.post("/enter", page="/enter", **FORM, community="fujiahe", resident_ref="r-1")
    assert (303, "/wishes?said=entered") == (entered.status_code, entered.headers["location"])
    (data,) = [one for one in await said(rig, "wishes") if one.get("place", {}).get("community") == "fujiahe"]
    assert data["resident_ref"] != "r-1"
    assert data["resident_ref"].startswith("r-")


async def test_a_link_past_its_time_tells_nothing_and_one_about_a_child_not_how_near(rig: GatewayRig) -> None:
    now = int(NOW.timestamp()) * 1_000_000
    client = await rig.client(**{"accept": "text/html", "accept-language": "en"})
    assert rig.gateway.links is not None

    async def page(about: str, until: int) -> str:
        claims = Claims(uuid4(), "answer", "volunteer", AREA, f"w-{about}", "o-1", f"m-{about}", until)
        code = await mint(rig.owner, rig.gateway.links, claims)  # type: ignore[arg-type]
        return words((await client.get(f"/l/{code}")).text)

    hour = 3_600_000_000
    assert "Jianmin New Village" in await page("adult-proposed", now + hour)
    assert "Jianmin New Village" not in await page("adult-proposed", now - 48 * hour)
    about_child = await page("child-proposed", now + hour)
    assert "Same stairway" not in about_child
    assert "Same community" in about_child


async def test_who_is_done_says_by_the_link_how_long_it_took(rig: GatewayRig) -> None:
    assert rig.gateway.links is not None
    client = await rig.client(**{"accept": "text/html", "accept-language": "en"})
    ids = {"wish_id": "w-took", "offer_id": "o-took"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": "w-took", "state": "matched"})
    await fill(rig.owner, "matches", **MATCH | ids | {"match_id": "m-took", "volunteer_ref": "v-took", "state": "started"})
    claims = Claims(uuid4(), "finish", "volunteer", AREA, "w-took", "o-took", "m-took", (int(NOW.timestamp()) + 3600) * 1_000_000)
    code = await mint(rig.owner, rig.gateway.links, claims)
    page = (await client.get(f"/l/{code}")).text
    assert 'select name="minutes"' in page
    (csrf,) = set(re.findall('name="csrf" value="([^"]+)"', page))
    assert "Noted: Done" in words((await client.post("/a/say", data={"code": code, "action": "finished", "minutes": "90", "csrf": csrf})).text)
    assert [90] == [one["minutes"] for one in await said(rig, "responses") if one.get("match_id") == "m-took"]


async def test_while_kafka_takes_nothing_whoever_taps_a_link_holds_up_no_page(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    links, pool_max = rig.gateway.links, rig.gateway.settings.pool_max
    assert links is not None
    client, member = await rig.client(accept="text/html"), await rig.signed_in(await rig.person("volunteer", volunteer_ref="v-waits"))
    until = (int(NOW.timestamp()) + 3600) * 1_000_000
    codes = [
        await mint(rig.owner, links, Claims(uuid4(), "acknowledge", "resident", AREA, f"w-tap-{one}", "o-1", f"m-tap-{one}", until)) for one in range(pool_max)
    ]
    (csrf,) = set(re.findall('name="csrf" value="([^"]+)"', (await client.get(f"/l/{codes[0]}")).text))
    taken, before = asyncio.Event(), rig.gateway.publisher.say

    async def waits(*said: Any, **more: Any) -> str:
        await taken.wait()
        return await before(*said, **more)

    monkeypatch.setattr(rig.gateway.publisher, "say", waits)
    taps = [asyncio.create_task(client.post("/a/say", data={"code": code, "action": "done", "csrf": csrf})) for code in codes]
    async with asyncio.timeout(30):
        while not rig.gateway.taps.locked():  # noqa: ASYNC110 - the taps come by and by
            await asyncio.sleep(0.01)
        assert 200 == (await member.get("/inbox")).status_code
    taken.set()
    assert {200} == {(await tap).status_code for tap in taps}


async def test_a_childs_wish_for_one_helper_is_shown_as_one_for_two(rig: GatewayRig) -> None:
    """The matcher sends two together; "0/1" told the worker that one would do."""
    worker = await browser(rig, "worker")
    wishes: dict[str, dict[str, Any]] = {"child": CHILD, "together": {"accompanied": True}, "adult": {}}
    for name, more in wishes.items():
        await fill(rig.owner, "wishes", **WISH | more | {"wish_id": f"w-one-{name}", "helpers_needed": 1, "urgency": "red"})
        needs = 1 if name == "adult" else 2
        page, monitor = words((await worker.get(f"/wish/{AREA}/w-one-{name}")).text), (await worker.get("/monitor")).text
        assert (name, True) == (name, f"Helpers 0 / {needs}" in page)
        assert f"0/{needs} helpers" in words(f"<main>{monitor.split(f'/w-one-{name}')[1].split('</a>')[0]}")


@pytest.mark.parametrize(
    ("wish", "match", "said"),
    [
        ("held", "proposed", "The visit is yours"),
        ("matched", "confirmed", "A helper is confirmed"),
        ("held", None, "please do not set out"),
        ("withdrawn", None, "please do not set out"),
        ("held", "released", "please do not set out"),
        ("open", None, "Please set out only once you have the confirmation"),
    ],
)
async def test_of_several_who_say_yes_by_a_link_each_hears_whether_it_is_theirs(
    rig: GatewayRig, monkeypatch: pytest.MonkeyPatch, wish: str, match: str | None, said: str
) -> None:
    assert rig.gateway.links is not None
    client = await rig.client(**{"accept": "text/html", "accept-language": "en"})
    name = f"invited-{wish}-{match}"
    ids = {"wish_id": f"w-{name}", "offer_id": f"o-{name}"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{name}", "state": "open"})
    invitation = {"volunteer_ref": f"v-{name}", "rung": "area", "live": True, "invited_at": NOW, "expires_at": NOW + timedelta(hours=1)}
    await fill(rig.owner, "invitations", area=AREA, **ids, **invitation)
    claims = Claims(uuid4(), "answer", "volunteer", AREA, f"w-{name}", f"o-{name}", None, (int(NOW.timestamp()) + 3600) * 1_000_000)
    code = await mint(rig.owner, rig.gateway.links, claims)
    asked = (await client.get(f"/l/{code}")).text
    assert ">Yes, I will come<" in asked
    await rig.owner.execute("UPDATE gateway.wishes SET state = $2 WHERE wish_id = $1", f"w-{name}", wish)
    if match is not None:
        await fill(rig.owner, "matches", **MATCH | ids | {"match_id": f"m-{name}", "volunteer_ref": f"v-{name}", "state": match})
    page = await client.get(f"/l/{code}")
    assert (said == "please do not set out") is (">Yes, I will come<" not in page.text)
    (csrf,) = set(re.findall('name="csrf" value="([^"]+)"', asked))
    told = await client.post("/a/say", data={"code": code, "action": "accept", "csrf": csrf})
    assert said in words(told.text)
    assert said in words((await client.get(f"/l/{code}")).text)
    if (wish, match) == ("open", None):  # a yes that nothing came of: they are full or busy by now
        monkeypatch.setattr(linked, "_DECIDED_US", 0)
        later = (await client.get(f"/l/{code}")).text
        assert ("This visit is not yours" in words(later), "Please set out only" in words(later), later.count('role="status"')) == (True, False, 1)
    if said == "please do not set out":  # and nothing that says the contrary above it
        assert ("Noted" in words(told.text), told.text.count('role="status"')) == (False, 1)


@pytest.mark.parametrize("purpose", ["cancel", "start", "acknowledge"])
async def test_whoever_opens_the_link_of_their_visit_does_not_call_it_off_with_the_only_button_there(rig: GatewayRig, purpose: Any) -> None:
    """Every confirmed helper has such a link; one tap on a big "取消", which also means "close", called the visit off for good."""
    assert rig.gateway.links is not None
    client = await rig.client(**{"accept": "text/html", "accept-language": "zh-CN"})
    match_id = f"m-{uuid4().hex[:8]}"
    ids = {"wish_id": f"w-{match_id}", "match_id": match_id, "volunteer_ref": "v-off"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{match_id}", "state": "matched"})
    await fill(rig.owner, "matches", **MATCH | ids | {"state": "confirmed", "confirmed_at": NOW})
    party: Any = "resident" if purpose == "acknowledge" else "volunteer"
    claims = Claims(uuid4(), purpose, party, AREA, f"w-{match_id}", "o-1", match_id, (int(NOW.timestamp()) + 3600) * 1_000_000)
    page = (await client.get(f"/l/{await mint(rig.owner, rig.gateway.links, claims)}")).text
    folded = "".join(re.findall("<details>.*?</details>", page, re.DOTALL))
    assert ("取消这次上门" in folded) is ("来不了？" in folded) is ("取消后会另找帮手" in folded) is (purpose != "acknowledge")
    assert ("我到了" in page, "我到了" in folded) == (purpose == "start", False)
    assert (purpose == "acknowledge") is ("这次帮上忙了吗？" in page)
    assert 'value="cancel"' not in page.replace(folded, "")


@pytest.mark.parametrize(
    ("by", "report", "said"),
    [
        ("the helper", {"match_id": "m-{name}"}, "You said that you can't come: please do not set out."),
        ("the helper of no match by name", {"match_id": ""}, "You said that you can't come: please do not set out."),
        ("the helper, of the match before", {"match_id": "", "at": NOW - timedelta(days=1)}, "Somebody was first"),
        ("the community", None, "Somebody was first"),
    ],
)
@pytest.mark.parametrize("invited", [True, False])
async def test_who_called_it_off_is_not_told_that_somebody_was_first(
    rig: GatewayRig, by: str, report: dict[str, Any] | None, said: str, *, invited: bool
) -> None:
    assert rig.gateway.links is not None
    client = await rig.client(**{"accept": "text/html", "accept-language": "en"})
    name = uuid4().hex[:8]
    ids = {"wish_id": f"w-{name}", "offer_id": f"o-{name}"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{name}", "state": "matched"})
    await fill(rig.owner, "matches", **MATCH | ids | {"match_id": f"m-{name}", "volunteer_ref": f"v-{name}", "state": "confirmed"})
    match_id = None if invited else f"m-{name}"
    claims = Claims(uuid4(), "answer", "volunteer", AREA, f"w-{name}", f"o-{name}", match_id, (int(NOW.timestamp()) + 3600) * 1_000_000)
    code = await mint(rig.owner, rig.gateway.links, claims)
    (csrf,) = set(re.findall('name="csrf" value="([^"]+)"', (await client.get(f"/l/{code}")).text))
    assert "Noted: Yes, I will come" in words((await client.post("/a/say", data={"code": code, "action": "accept", "csrf": csrf})).text)
    await rig.owner.execute("UPDATE gateway.matches SET state = 'released', release_reason = 'declined' WHERE match_id = $1", f"m-{name}")
    if report is not None:
        heard: dict[str, Any] = {"area": AREA, **ids, "kind": "declined", "at": NOW + timedelta(minutes=1)} | report
        await fill(rig.owner, "reports", **heard | {"match_id": heard["match_id"].format(name=name)})
    page = (await client.get(f"/l/{code}")).text
    assert (by, True, 1) == (by, said in words(page).replace("&#39;", "'"), page.count('role="status"'))


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([("done", 60)], ("Done", None)),
        ([("done", 60), ("not_done", 0)], ("Over, the outcome was corrected", "Not done · corrected since")),
        ([("done", 60), ("not_done", 0), ("done", 45)], ("Done", "Done · corrected since")),
    ],
)
@pytest.mark.parametrize("party", ["resident", "volunteer"])
async def test_a_link_tells_what_holds_now_of_a_visit_that_was_corrected_since(
    rig: GatewayRig, party: Any, ends: list[tuple[str, int]], told: tuple[str, str | None]
) -> None:
    assert rig.gateway.links is not None
    client = await rig.client(**{"accept": "text/html", "accept-language": "en"})
    match_id = f"m-{uuid4().hex[:8]}"
    ids = {"wish_id": f"w-{match_id}", "offer_id": "o", "volunteer_ref": "v-link"}
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{match_id}", "state": "closed"})
    await fill(rig.owner, "matches", **MATCH | ids | {"match_id": match_id, "state": "closed", "outcome": "done", "minutes": 60, "confirmed_at": NOW})
    purpose: Any = "acknowledge" if party == "resident" else "finish"
    claims = Claims(uuid4(), purpose, party, AREA, f"w-{match_id}", "o", match_id, (int(NOW.timestamp()) + 3600) * 1_000_000)
    code = await mint(rig.owner, rig.gateway.links, claims)
    await book(rig.owner, match_id, "v-link", *ends, area=AREA)
    page = (await client.get(f"/l/{code}")).text
    assert told[0] in re.findall(r'<span data-state="[a-z]+">([^<]+)<', page)
    assert ([told[1]] if told[1] else []) == re.findall(r"<span>([^<]+ · corrected since)<", page)


async def test_those_who_are_looked_up_together_each_see_their_own_and_no_more(rig: GatewayRig) -> None:
    strangers = [f"v-stranger-{number}" for number in range(3)]
    for ref in strangers:
        offer = {"offer_id": f"o-{ref}", "volunteer_ref": ref, "reach": "area", "skills": ["carry"], "windows": "[]", "state": "open", "changed_at": NOW}
        await fill(rig.owner, "offers", **PLACE | offer)
    helpers = [Principal("x", frozenset({Role.VOLUNTEER}), Scope(AREA), volunteer_ref=ref) for ref in ("v-1", *strangers)]
    elsewhere = Principal("x", frozenset({Role.VOLUNTEER}), Scope(AREA, "fujiahe"), volunteer_ref="v-elsewhere")
    asked = [*helpers, elsewhere, *helpers]
    # One connection: all but the first are looked up in one statement.
    pool = await asyncpg.create_pool(rig.database.dsn("gateway"), min_size=1, max_size=1)
    try:
        looks = store.looks(Database(pool))
        together = await asyncio.gather(*(store.before_claim(looks, one, "w-child") for one in asked))
        alone = [await store.before_claim(looks, one, "w-child") for one in asked]
    finally:
        await pool.close()
    assert alone == together
    first, *others, away = together[:5]
    assert {f"m-{kind}-{state}" for kind in ("adult", "child") for state in STATES} == {match.match_id for match in first.matches}
    assert [[f"o-{ref}"] for ref in strangers] == [[offer.offer_id for offer in one.offers] for one in others]
    assert [[]] * 3 == [one.matches for one in others]
    assert all(one.near and one.wish is not None and one.wish.wish_id == "w-child" for one in (first, *others))
    assert Before([], None, [], near=False) == away
