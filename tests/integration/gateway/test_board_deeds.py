"""What community workers do on the pages, on the real stack: each deed is an event of the contract, and the board shows what came of it."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from tests.integration.gateway.board_rig import AREA, Rig, after, somebody, soon

WORKER = somebody("worker", community="c5")
ELSEWHERE = somebody("worker", community="c6")
PAGES = ("/monitor", "/monitor?wall=1", "/monitor/parts", "/monitor/wishes", "/review", "/dead-letters")


async def match_of(rig: Rig, wish_id: str, *states: str) -> dict[str, Any]:
    """The wish's newest match, once it is in one of these states."""
    found: list[Any] = []

    async def look() -> bool:
        nonlocal found
        found = await rig.seen_by(WORKER, "SELECT * FROM gateway.matches WHERE wish_id = $1 ORDER BY proposed_at DESC", wish_id)
        return bool(found) and found[0]["state"] in states

    await soon(look, expected=True)
    return dict(found[0])


async def settled(rig: Rig, wish_id: str, skill: str, **more: Any) -> dict[str, Any]:
    """A wish with one helper who fits it."""
    await rig.offer(f"o-{wish_id}", community="c5", skill=skill)
    await rig.wish(wish_id, community="c5", skill=skill, **more)
    return await match_of(rig, wish_id, *(("proposed",) if more.get("approval") == "worker" else ("confirmed",)))


async def post(rig: Rig, principal: dict[str, Any], path: str, **form: str) -> int:
    async with rig.client(principal) as client:
        answer = await client.post(path, data=form)
        return answer.status_code


async def after_the_deed(rig: Rig, principal: dict[str, Any], story: str, deed: str, **form: str) -> tuple[str, list[str]]:
    """What the page says to which a deed leads back, and which deeds it offers."""
    async with rig.client(principal) as client:
        location = (await client.post(f"{story}/{deed}", data=form)).headers["location"]
        page = await client.get(location)
    return location.partition("?")[2], re.findall(rf'action="{story}/([a-z-]+)"', page.text)


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_the_pages_open_for_workers_and_auditors_alone(rig: Rig, lang: str) -> None:
    for path in PAGES:
        async with rig.client(WORKER) as client:
            page = await client.get(path, params={"lang": lang})
        assert page.status_code == 200
        assert re.search(r"style=|<script>|onclick", page.text) is None
    async with rig.client(somebody("volunteer", volunteer_ref="v")) as client:
        assert [(await client.get(path)).status_code for path in PAGES] == [403] * len(PAGES)


async def test_a_worker_approves_a_match_that_waits_for_it(rig: Rig) -> None:
    match = await settled(rig, "w-approve", "approve_skill", approval="worker")
    path = f"/wish/{AREA}/w-approve/approval"
    assert await post(rig, ELSEWHERE, path, match_id=match["match_id"], word="yes") == 404
    assert await post(rig, somebody("auditor"), path, match_id=match["match_id"], word="yes") == 403
    assert await post(rig, WORKER, path, match_id=match["match_id"], word="yes") == 303
    confirmed = await match_of(rig, "w-approve", "confirmed")
    assert confirmed["approved_at"] is not None


async def test_somebody_else_is_sent_and_the_pair_does_not_come_again(rig: Rig) -> None:
    first = await settled(rig, "w-redispatch", "redispatch_skill")
    path = f"/wish/{AREA}/w-redispatch/redispatch"
    assert await post(rig, WORKER, path, match_id=first["match_id"], reason="电话13812345678") == 422
    assert await post(rig, WORKER, path, match_id=first["match_id"], reason="志愿者生病") == 303
    await rig.state_of("w-redispatch", "open")
    await rig.offer("o-other", community="c5", skill="redispatch_skill")
    second = await match_of(rig, "w-redispatch", "confirmed")
    assert (second["offer_id"], (await rig.seen_by(WORKER, "SELECT release_reason FROM gateway.matches WHERE match_id = $1", first["match_id"]))) == (
        "o-other",
        [{"release_reason": "declined"}],
    )
    assert await post(rig, WORKER, path, match_id=first["match_id"], reason="再来一次") == 409


async def test_a_call_back_closes_the_visit(rig: Rig) -> None:
    match = await settled(rig, "w-call", "call_skill")
    await rig.say("service.finished.v1", match["match_id"], {"wish_id": "w-call", "offer_id": match["offer_id"], "match_id": match["match_id"], "minutes": 40})
    assert await post(rig, WORKER, f"/wish/{AREA}/w-call/call-back", match_id=match["match_id"], outcome="done") == 303
    closed = await match_of(rig, "w-call", "closed")
    assert (closed["outcome"], closed["closed_by"]) == ("done", "community")


async def test_a_wish_whose_freezing_is_not_taken_leaves_no_copy_that_could_be_published_beside_it(rig: Rig) -> None:
    worker, story = somebody("worker", community="c7"), f"/wish/{AREA}/w-not-frozen"
    await rig.wish("w-not-frozen", community="c7", skill="nobody_can")
    await rig.state_of("w-not-frozen", "open")
    assert await post(rig, worker, f"{story}/freeze", reason="居民说打 13812345678") == 422
    assert await rig.seen_by(worker, "SELECT 1 FROM gateway.drafts") == []
    assert await after_the_deed(rig, worker, story, "freeze", reason="要核实") == ("said=frozen", [])


async def test_the_story_shows_what_a_worker_did_as_soon_as_they_are_back_on_it(rig: Rig) -> None:
    match = await settled(rig, "w-shows", "shows_skill", approval="worker")
    story, named = f"/wish/{AREA}/w-shows", {"match_id": match["match_id"]}
    said, offered = await after_the_deed(rig, WORKER, story, "approval", word="yes", **named)
    assert ("said=approved", False) == (said, "approval" in offered)
    await match_of(rig, "w-shows", "confirmed")
    assert ("said=redispatched", ["freeze"]) == await after_the_deed(rig, WORKER, story, "redispatch", reason="志愿者生病", **named)


async def test_a_frozen_wish_can_be_published_again_once(rig: Rig) -> None:
    await rig.wish("w-freeze", community="c5", skill="nobody_can")
    await rig.state_of("w-freeze", "open")
    assert await post(rig, WORKER, f"/wish/{AREA}/w-freeze/freeze", reason="要核实") == 303
    await rig.state_of("w-freeze", "withdrawn")
    drafts = await rig.seen_by(WORKER, "SELECT draft_id, wish_id FROM gateway.drafts WHERE origin = 'frozen'")
    assert [len(drafts), await rig.seen_by(ELSEWHERE, "SELECT 1 FROM gateway.drafts")] == [1, []]
    path = f"/review/{drafts[0]['draft_id']}/publish"
    assert await post(rig, ELSEWHERE, path) == 404
    assert [await post(rig, WORKER, path), await post(rig, WORKER, path)] == [303, 409]
    await rig.state_of(drafts[0]["wish_id"], "open")
    frozen = await rig.seen_by(WORKER, "SELECT frozen FROM gateway.wishes WHERE wish_id = 'w-freeze'")
    assert frozen == [{"frozen": True}]


async def test_a_community_sets_whether_it_looks_first(rig: Rig) -> None:
    form = {"area": AREA, "community": "c5", "reviews": "yes"}
    assert [await post(rig, ELSEWHERE, "/review/communities", **form), await post(rig, WORKER, "/review/communities", **form)] == [403, 303]
    assert await rig.seen_by(WORKER, "SELECT reviews FROM gateway.communities WHERE community = 'c5'") == [{"reviews": True}]


async def test_a_dead_letter_is_mended_and_published_once(rig: Rig) -> None:
    await rig.wish("w-dead", community="c5", skill="nobody_can", urgency="purple")
    letters: list[dict[str, Any]] = []

    async def look() -> int:
        letters[:] = await rig.seen_by(WORKER, "SELECT topic, partition, position, community FROM gateway.dead_letters WHERE value LIKE '%w-dead%'")
        return len(letters)

    await soon(look, 1)
    place = "/dead-letters/{topic}/{partition}/{position}".format(**letters[0])
    async with rig.client(WORKER) as client:
        empty = (await client.get("/dead-letters", params={"done": "1", "lang": "en"})).text
    assert ("None was published again from here yet" in empty, "no dead letter" in empty.lower()) == (True, False)  # one does wait
    async with rig.client(WORKER) as client:
        page = await client.get(place)
        text = re.search(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.DOTALL)
        assert text is not None
        event = orjson.loads(text[1].replace("&#34;", '"').replace("&amp;", "&"))
        wrong = await client.post(f"{place}/replay", data={"event": orjson.dumps(event).decode()})
        event["data"]["urgency"] = "blue"
        again = [(await client.post(f"{place}/replay", data={"event": orjson.dumps(event).decode()})).status_code for _ in range(2)]
    assert (wrong.status_code, again) == (422, [303, 409])
    await rig.state_of("w-dead", "open")
    assert await post(rig, ELSEWHERE, f"{place}/replay", event="{}") == 404


async def test_the_story_says_why_this_one_and_why_not_that_one(rig: Rig) -> None:
    await settled(rig, "w-why", "why_skill")
    await rig.offer("o-far", community="c6", skill="other_skill")
    async with rig.client(WORKER) as client:
        mine = await client.get(f"/wish/{AREA}/w-why", params={"why": "o-w-why", "lang": "en"})
        other = await client.get(f"/wish/{AREA}/w-why", params={"why": "o-far", "lang": "en"})
        nobody = await client.get(f"/wish/{AREA}/w-why", params={"why": "o-none", "lang": "en"})
    assert "It is one of this wish&#39;s helpers" in mine.text
    assert "lacks why_skill" in other.text
    assert "There is no such offer here." in nobody.text


async def test_the_door_tells_an_auditor_nothing_about_a_childs_wish(rig: Rig) -> None:
    await rig.offer("o-w-child-why", community="c5", skill="other_skill")
    child = {"age_band": "under_14"}
    await rig.wish("w-child-why", community="c5", skill="child_why_skill", helpers_needed=2, beneficiary=child, guardian_consent_ref="consent-w-child-why")
    await rig.state_of("w-child-why", "open")
    shown = {}
    for who in (WORKER, somebody("auditor", community="c5")):
        async with rig.client(who) as client:
            page = await client.get(f"/wish/{AREA}/w-child-why", params={"why": "o-w-child-why", "lang": "en"})
        assert page.status_code == 200
        shown[who["roles"][0]] = ("same stairway" in page.text, "lacks child_why_skill" in page.text)
    assert {"worker": (True, True), "auditor": (False, False)} == shown


async def test_the_door_answers_only_to_the_secret_and_its_role_reads_alone(rig: Rig) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{rig.ports['explainer-door']}/why", params={"area": AREA, "wish_id": "w", "offer_id": "o"})
        alive = await client.get(f"http://127.0.0.1:{rig.ports['explainer']}/livez")
    assert answer.status_code == 401
    # No loop that could stand still: once nobody had asked /readyz for an hour, it was to be restarted.
    assert {"alive": True, "stuck": [], "beat_age_seconds": {}} == alive.json()
    async with rig.database("lastmetre_explainer") as connection:
        assert await connection.fetchval("SELECT count(*) FROM matching.wishes") > 0
        for statement in ("DELETE FROM matching.wishes", "SELECT 1 FROM gateway.wishes", "SELECT 1 FROM notifying.notices"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_what_waits_for_a_look_is_told_whole_and_a_frozen_wish_lies_behind_no_queue(rig: Rig) -> None:
    data = {"area": AREA, "minutes": 60, "window": {"start": after(60), "end": after(600)}, "title": "排队", "urgency": "blue", "category": "other"}
    data |= {"skills": ["x"], "beneficiary": {"age_band": "elder"}}
    queue = """
        INSERT INTO gateway.drafts (draft_id, area, community, wish_id, data, origin, resident_ref, entered_by)
        SELECT gen_random_uuid(), $1, 'c-queue', $3 || n, $2::jsonb, $3, 'res-queue', 'somebody' FROM generate_series(1, $4) n
    """
    async with rig.database() as board:
        for origin, number in (("entered", 130), ("frozen", 2)):
            await board.execute(queue, AREA, orjson.dumps(data).decode(), origin, number)
        try:
            async with rig.client(somebody("worker", community="c-queue")) as client:
                page = (await client.get("/review", headers={"accept-language": "en"})).text
        finally:
            await board.execute("DELETE FROM gateway.drafts WHERE community = 'c-queue'")
    assert (102, 2) == (page.count("<article"), page.count(">Publish again<"))
    assert "30 more: they are shown once those above are dealt with." in page


async def test_a_draft_that_is_too_late_is_not_published(rig: Rig) -> None:
    async with rig.database() as board:
        data = {"wish_id": "w-late", "area": AREA, "minutes": 60, "window": {"start": after(-300), "end": after(-200)}, "title": "迟了"}
        data |= {"urgency": "blue", "category": "other", "skills": ["x"]}
        await board.execute(
            """INSERT INTO gateway.drafts (draft_id, area, community, wish_id, data, origin, entered_by)
            VALUES ('00000000-0000-4000-8000-000000000001', $1, 'c5', 'w-late', $2::jsonb, 'entered', 'somebody')""",
            AREA,
            orjson.dumps(data).decode(),
        )
    async with rig.client(WORKER) as client:
        answer = await client.post("/review/00000000-0000-4000-8000-000000000001/publish")
    assert answer.headers["location"] == "/review?said=too_late"
    assert await post(rig, WORKER, "/review/00000000-0000-4000-8000-000000000001/refuse", reason="太迟") == 303


async def test_a_draft_that_the_contract_does_not_take_can_still_be_refused(rig: Rig) -> None:
    path = "/review/00000000-0000-4000-8000-000000000002"
    async with rig.database() as board:
        data = {"wish_id": "w-far", "area": AREA, "minutes": 60, "window": {"start": after(400 * 1440), "end": after(401 * 1440)}, "title": "太远"}
        data |= {"urgency": "blue", "category": "other", "skills": ["x"], "beneficiary": {"age_band": "elder"}}
        data |= {"place": {"community": "c5"}, "resident_ref": "r-far"}
        await board.execute(
            """INSERT INTO gateway.drafts (draft_id, area, community, wish_id, data, origin, entered_by)
            VALUES ('00000000-0000-4000-8000-000000000002', $1, 'c5', 'w-far', $2::jsonb, 'entered', 'somebody')""",
            AREA,
            orjson.dumps(data).decode(),
        )
    async with rig.client(WORKER) as client:
        answer = await client.post(f"{path}/publish")
    assert (answer.status_code, answer.json()["code"]) == (422, "far_off_date")
    assert await post(rig, WORKER, f"{path}/refuse", reason="太远") == 303
