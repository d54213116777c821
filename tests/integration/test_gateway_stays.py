"""What people meet who tap twice, come back to an old page, or are somebody the pages were not first made for: centre households, admins, auditors."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from services.gateway import words
from services.gateway.board import queries
from services.gateway.policy import Act
from services.gateway.publisher import Unpublished
from services.gateway.roles import Principal, Role, Scope
from tests.integration.gateway_rig import GatewayRig, own_database, running_gateway
from tests.integration.gateway_seeds import book, fill
from tests.integration.test_gateway_shown import AREA, FORM, MATCH, NOW, PLACE, SLOT, WISH, browser, said

OVER = {"starts_at": NOW - timedelta(hours=4), "ends_at": NOW - timedelta(hours=2)}


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    folder = tmp_path_factory.mktemp("stays")
    async with own_database(postgres, "gateway_stays") as database, running_gateway(folder, database, kafka, answer_seconds=0.2) as running:
        yield running


async def visit(rig: GatewayRig, wish_id: str, match_id: str, **more: Any) -> None:
    await fill(rig.owner, "matches", **MATCH | OVER | {"wish_id": wish_id, "match_id": match_id, "state": "started", "confirmed_at": NOW} | more)


async def word_is_heard(rig: GatewayRig, wish_id: str, match_id: str) -> None:
    """As the board does with what was said."""
    number = await rig.owner.fetchval("SELECT coalesce(max(seq), 0) + 1 FROM gateway.stream")
    line = {"kind": "service.acknowledged.v1", "subject": wish_id, "wish_id": wish_id, "match_id": match_id, "resident_ref": "r-1", "brief": "{}"}
    await fill(rig.owner, "stream", **PLACE, event_key=str(uuid4()), seq=number, at=NOW, **line)


async def test_a_word_is_about_the_visit_that_its_page_asked_about_and_about_no_other(rig: GatewayRig) -> None:
    await fill(rig.owner, "wishes", **WISH | {"wish_id": "w-two", "state": "matched"})
    await visit(rig, "w-two", "m-first")
    await visit(rig, "w-two", "m-second", offer_id="o-2", volunteer_ref="v-2", starts_at=NOW - timedelta(hours=3))
    resident = await browser(rig, "resident", resident_refs=("r-1",))

    async def asks_about() -> str | None:
        found = re.search(r'name="match_id" value="([^"]+)"', (await resident.get("/wishes/w-two")).text)
        return None if found is None else found[1]

    async def say(match_id: str) -> int:
        answer = await resident.post("/wishes/w-two/acknowledge", page="/account", outcome="done", match_id=match_id)
        return int(answer.status_code)

    assert "m-second" == await asks_about()
    assert 303 == await say("m-first")  # from a page that was opened before the second visit began
    await word_is_heard(rig, "w-two", "m-first")
    assert 303 == await say("m-first")  # a second tap
    assert ["m-first"] == [one["match_id"] for one in await said(rig, "responses") if one.get("wish_id") == "w-two"]
    assert "m-second" == await asks_about()
    await word_is_heard(rig, "w-two", "m-second")
    assert None is await asks_about()  # the helpers have not reported their end: the word is there all the same
    assert 409 == await say("m-of-nobody")


async def test_how_it_went_is_not_chosen_beforehand_until_the_visits_time_is_over(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper may still be on the way: one tap would have said that it is done."""
    monkeypatch.setattr("services.gateway.people.settling.settled.__defaults__", (0.1,))
    resident = await browser(rig, "resident", resident_refs=("r-1",))
    for name, ends_at in (("on", NOW + timedelta(hours=1)), ("over", NOW - timedelta(minutes=1))):
        await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-goes-{name}", "state": "matched"})
        await visit(rig, f"w-goes-{name}", f"m-goes-{name}", state="confirmed", starts_at=NOW - timedelta(hours=1), ends_at=ends_at)
        page = (await resident.get(f"/wishes/w-goes-{name}")).text
        assert (["done"] if name == "over" else []) == re.findall(r'name="outcome" value="(\w+)" required checked', page)
        assert 3 == len(re.findall(r'name="outcome" value="\w+" required', page))
        assert ("Did it help?" if name == "over" else "Is the helper done? How did it go?") in page
        chosen = await resident.post(f"/wishes/w-goes-{name}/acknowledge", page="/account", outcome="partly", match_id=f"m-goes-{name}")
        assert 303 == chosen.status_code  # a word that comes early counts, as ever


@pytest.mark.parametrize(
    ("name", "wish", "visits", "can"),
    [
        ("begun", "matched", [OVER | {"state": "confirmed"}], False),
        ("there", "matched", [{"state": "started", "starts_at": NOW + timedelta(minutes=5)}], False),
        ("done", "matched", [OVER | {"state": "finished"}], False),
        ("another", "matched", [OVER | {"state": "started"}, {"state": "confirmed", "starts_at": NOW + timedelta(hours=1), "ends_at": SLOT["ends_at"]}], True),
        ("waits", "open", [OVER | {"state": "started"}], True),
    ],
)
async def test_a_wish_is_not_withdrawn_under_a_helper_who_is_there(rig: GatewayRig, name: str, wish: str, visits: list[dict[str, Any]], *, can: bool) -> None:
    """It would release the match, and take the helper's hours; while somebody is still to come, it can."""
    wish_id, path = f"w-under-{name}", f"/wishes/w-under-{name}"
    await fill(rig.owner, "wishes", **WISH | {"wish_id": wish_id, "state": wish})
    for number, more in enumerate(visits):
        await visit(rig, wish_id, f"m-{name}-{number}", offer_id=f"o-{number}", volunteer_ref=f"v-{number}", **more)
    resident = await browser(rig, "resident", resident_refs=("r-1",))
    assert can is (f'action="{path}/withdraw"' in (await resident.get(path)).text)
    answer = await resident.post(f"{path}/withdraw", page="/account")
    assert (303 if can else 409) == answer.status_code
    assert can is (wish_id in [one.get("wish_id") for one in await said(rig, "wishes")])
    if not can:
        assert "can&#39;t be withdrawn any more. Please say how it went instead." in answer.text
        assert f'action="{path}/acknowledge"' in answer.text
        chinese = await resident.post(f"{path}/withdraw", page="/account?lang=zh")
        assert "这次服务已经开始，心愿不能再撤回。请说一说这次办得怎样。" in chinese.text


async def test_a_visit_that_is_over_is_not_called_a_withdrawn_wish(rig: GatewayRig) -> None:
    resident = await browser(rig, "resident", resident_refs=("r-1",))
    for state, said_so in (("withdrawn", "?said=withdrawn"), ("closed", ""), ("expired", "")):
        await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-is-{state}", "state": state})
        answer = await resident.post(f"/wishes/w-is-{state}/withdraw", page="/account")
        assert (303, f"/wishes/w-is-{state}{said_so}") == (answer.status_code, answer.headers["location"])


async def test_a_centre_household_finds_the_form_and_enters_what_it_offers(rig: GatewayRig) -> None:
    centre = await browser(rig, "volunteer", volunteer_ref="v-centre", centre=(AREA, "jianmin", "jianmin-xincun", "b3", "u2"))
    assert 'href="/enter"' in (await centre.get("/")).text
    form = (await centre.get("/enter")).text
    assert 'value="jianmin/jianmin-xincun" selected' in form
    assert {"3", "2"} == set(re.findall(r'name="(?:building|unit)" value="([^"]+)"', form))
    assert "Modern City" not in form
    entered = FORM | {"title": "stairway", "where": "jianmin/jianmin-xincun"}
    elsewhere = await centre.post("/enter", page="/enter", **entered, building="4", unit="2")
    assert 422 == elsewhere.status_code
    assert "outside your own circle" in elsewhere.text
    assert 'value="stairway"' in elsewhere.text  # what was typed is still there
    assert 303 == (await centre.post("/enter", page="/enter", **entered, building="3", unit="2")).status_code
    assert [("b3", "u2")] == [(one["place"]["building"], one["place"]["unit"]) for one in await said(rig, "wishes") if one.get("title") == "stairway"]
    member = await browser(rig, "volunteer", volunteer_ref="v-member")
    assert 'href="/enter"' not in (await member.get("/")).text


async def test_an_invitation_that_is_answered_twice_or_too_late_is_no_error(rig: GatewayRig) -> None:
    windows = json.dumps([{"start": NOW.isoformat(), "end": (NOW + timedelta(days=2)).isoformat()}])
    offer: dict[str, Any] = {
        "offer_id": "o-asked",
        "volunteer_ref": "v-asked",
        "reach": "area",
        "state": "open",
        "skills": ["carry"],
        "vetting_level": 4,
        "checked_at": NOW,
    }
    await fill(rig.owner, "offers", **PLACE, **offer, last_end=NOW + timedelta(days=2), windows=windows)
    await fill(rig.owner, "offers", **PLACE, **offer | {"offer_id": "o-gone", "state": "withdrawn"}, last_end=NOW + timedelta(days=2), windows=windows)
    for name in ("mine", "gone"):
        await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-asked-{name}", "helpers_needed": 1, "state": "held"})
    await fill(rig.owner, "matches", **MATCH | {"wish_id": "w-asked-mine", "match_id": "m-asked", "offer_id": "o-asked", "volunteer_ref": "v-asked"})
    member = await browser(rig, "volunteer", volunteer_ref="v-asked")

    async def answer(wish: str, offer_id: str, action: str) -> tuple[int, str]:
        found = await member.post(f"/mine/invitations/{wish}/{offer_id}/{action}", page="/account")
        return found.status_code, found.headers.get("location", "").removeprefix("/mine?said=")

    assert (303, "accepted") == await answer("w-asked-mine", "o-asked", "accept")  # the second tap: the first made the match
    assert (303, "settled") == await answer("w-asked-mine", "o-asked", "decline")
    assert (303, "taken") == await answer("w-asked-gone", "o-asked", "accept")  # somebody else was first
    assert (303, "declined") == await answer("w-asked-gone", "o-asked", "decline")
    assert (303, "taken") == await answer("w-asked-gone", "o-gone", "accept")  # from a page of before they withdrew that offer
    assert (404, "") == await answer("w-asked-gone", "o-of-another", "accept")
    assert [] == [one for one in await said(rig, "responses") if str(one.get("wish_id")).startswith("w-asked")]
    assert "somebody was first" in (await member.get("/mine?said=taken")).text


async def test_whoever_is_invited_and_full_busy_or_withdrawn_meanwhile_is_told_that_it_does_not_fit(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.people.settling.settled.__defaults__", (0.1,))  # no matcher is there, which would say nothing either
    now = datetime.now(UTC)
    windows = json.dumps([{"start": now.isoformat(), "end": (now + timedelta(days=2)).isoformat()}])
    times: dict[str, Any] = {"starts_at": now, "ends_at": now + timedelta(hours=2)}
    offer: dict[str, Any] = {
        "reach": "area",
        "skills": ["carry"],
        "vetting_level": 4,
        "checked_at": now,
        "last_end": now + timedelta(days=2),
        "windows": windows,
    }

    async def said_to(name: str, **of_offer: Any) -> tuple[str, str]:
        ids = {"wish_id": f"w-fits-{name}", "offer_id": f"o-fits-{name}"}
        await fill(rig.owner, "wishes", **WISH | times | {"wish_id": ids["wish_id"], "state": "open", "urgency": "red", "skills": ["carry"], "live": 0})
        await fill(rig.owner, "offers", **PLACE, **offer | {"offer_id": ids["offer_id"], "volunteer_ref": f"v-fits-{name}", "state": "open"} | of_offer)
        if name in {"full", "busy"}:
            other: dict[str, Any] = {
                "wish_id": "w-other",
                "match_id": f"m-fits-{name}",
                "offer_id": ids["offer_id"],
                "volunteer_ref": f"v-fits-{name}",
                "state": "confirmed",
            }
            await fill(rig.owner, "matches", **MATCH | other | (times if name == "busy" else SLOT))
        asked: dict[str, Any] = {"volunteer_ref": f"v-fits-{name}", "rung": "area", "live": True, "invited_at": now, "expires_at": now + timedelta(hours=1)}
        await fill(rig.owner, "invitations", area=AREA, **ids, **asked)
        member = await browser(rig, "volunteer", volunteer_ref=f"v-fits-{name}")
        answer = await member.post(f"/mine/invitations/{ids['wish_id']}/{ids['offer_id']}/accept", page="/account")
        assert [ids["offer_id"]] == [one["offer_id"] for one in await said(rig, "responses") if one.get("wish_id") == ids["wish_id"]]
        return answer.headers["location"].removeprefix("/mine?said="), (await member.get("/mine")).text

    assert ("later", False) == ((free := await said_to("free", capacity=1))[0], "Ask all the same" in free[1])
    cases: dict[str, dict[str, Any]] = {"full": {"capacity": 1}, "busy": {"capacity": 5}, "withdrawn": {"capacity": 5, "state": "withdrawn"}}
    for name, of_offer in cases.items():
        flash, page = await said_to(name, **of_offer)
        assert (name, "unfit") == (name, flash)
        assert "It does not fit any more" in page
        assert "Ask all the same" in page


@pytest.mark.parametrize("lang", ["zh-CN", "en"])
async def test_what_is_to_be_mended_is_told_with_its_fields_name(rig: GatewayRig, lang: str) -> None:
    centre = await browser(rig, "volunteer", volunteer_ref="v-mends", centre=(AREA, "jianmin", "jianmin-xincun", "b3", "u2"))
    centre.client.headers["accept-language"] = lang
    good = FORM | {"where": "jianmin/jianmin-xincun", "building": "3", "unit": "2"}
    one = (await centre.post("/enter", page="/enter", **good | {"title": " "})).text
    several = (await centre.post("/enter", page="/enter", **good | {"title": " ", "building": "b 3!", "when": "never"})).text

    def summary(page: str) -> list[tuple[str, str]]:
        return re.findall(r'<li><a href="#([a-z_-]+)">([^<]+)</a>', page)

    # To the field itself, or where there are several to choose from to all of them.
    named = {"title": ("用一句话说说：", "In one line: "), "building": ("几栋：", "Building: "), "when-field": ("什么时候方便：", "When it suits: ")}
    assert ["title"] == [field for field, _ in summary(one)]
    assert ["title", "when-field", "building"] == [field for field, _ in summary(several)]  # as they stand in the form
    for field, told in summary(one) + summary(several):
        assert told.startswith(named[field][lang == "en"]), (field, told)
        assert f'id="{field}"' in several
    assert ("One thing to mend:", "还有一处要改一改：")[lang != "en"] in one
    assert ("3 things to mend:", "还有 3 处要改一改：")[lang != "en"] in several


async def test_a_key_whose_quota_is_nothing_is_not_made_without_one(rig: GatewayRig) -> None:
    integrator = await browser(rig, "integrator")
    good = {"name": "app", "scopes": "publish_events"}
    for field, change in (("per_minute", {"per_minute": "0"}), ("per_day", {"per_day": "00"}), ("name", {"name": " "}), ("scopes", {"scopes": ""})):
        form = {name: value for name, value in (good | change).items() if value}
        answer = await integrator.post("/keys", page="/keys", **form)
        assert (422, True) == (answer.status_code, f"field {field} is not valid" in answer.text)
        assert "There is no key yet" in answer.text
    assert 200 == (await integrator.post("/keys", page="/keys", **good, per_minute="5")).status_code
    assert "5 / none" in (await integrator.get("/keys")).text


@pytest.mark.parametrize("wish_id", ["2026/11/26-7", "W#7", "7?", "100%25", "心愿七"])
async def test_a_wish_is_found_and_acted_on_whatever_its_id(rig: GatewayRig, wish_id: str) -> None:
    """The contract takes every letter but blanks and control characters in an id; other systems choose it."""
    await fill(rig.owner, "wishes", **WISH | {"wish_id": wish_id, "state": "open", "live": 0, "category": "household"})
    worker, member = await browser(rig, "worker"), await browser(rig, "volunteer", volunteer_ref="v-ids")
    resident = await browser(rig, "resident", resident_refs=("r-1",))

    async def link(who: Any, page: str, pattern: str) -> str:
        found = re.search(pattern, (await who.get(page)).text)
        assert found is not None, (page, pattern)
        return html.unescape(found[1])

    name = re.escape(html.escape(quote(wish_id)))
    story = await link(worker, "/monitor", f'href="(/wish/{AREA}/{name})"')
    assert 200 == (await worker.get(story)).status_code
    called = await worker.post(f"{story}/call-back", page="/account", match_id="m-none", outcome="done")
    assert 404 == called.status_code
    own = await link(resident, "/wishes", f'href="(/wishes/{name})"')
    assert 200 == (await resident.get(own)).status_code
    claimed = await member.post(f"/wall/{quote(wish_id)}/claim", page="/account")
    assert 303 == claimed.status_code
    assert 200 == (await member.get(claimed.headers["location"])).status_code
    withdrawn = await resident.post(f"{own}/withdraw", page="/account")
    assert (303, f"{own}?said=withdrawn") == (withdrawn.status_code, withdrawn.headers["location"])
    assert 200 == (await resident.get(withdrawn.headers["location"])).status_code
    await rig.owner.execute("DELETE FROM gateway.wishes WHERE wish_id = $1", wish_id)


async def test_a_reason_that_has_to_be_given_is_more_than_blanks(rig: GatewayRig) -> None:
    await fill(rig.owner, "wishes", **WISH | {"wish_id": "w-blank", "state": "matched"})
    await visit(rig, "w-blank", "m-blank", state="confirmed", starts_at=NOW + timedelta(hours=2), ends_at=NOW + timedelta(hours=4))
    worker = await browser(rig, "worker")
    for deed in ("redispatch", "freeze"):
        answer = await worker.post(f"/wish/{AREA}/w-blank/{deed}", page="/account", match_id="m-blank", reason=" \u3000 ")
        assert (deed, 422) == (deed, answer.status_code)
    assert [] == [one for topic in ("wishes", "responses") for one in await said(rig, topic) if one.get("wish_id") == "w-blank"]


async def test_a_form_that_is_not_taken_leads_back_to_the_page_that_it_was_on(rig: GatewayRig) -> None:
    await fill(rig.owner, "wishes", **WISH | {"wish_id": "w-back", "state": "closed"})
    await visit(rig, "w-back", "m-back", state="closed", outcome="done", minutes=60)
    worker, story = await browser(rig, "worker"), f"/wish/{AREA}/w-back"

    async def told(referer: str) -> str:
        token = await worker.token("/account")
        form = {"csrf": token, "match_id": "m-back", "reason": "换一位"}
        return str((await worker.client.post(f"{story}/redispatch", data=form, headers={"referer": referer})).text)

    assert f'href="{story}?why=o-2"' in await told(f"{rig.address}{story}?said=approved&why=o-2")
    for stranger in ("https://elsewhere.example/x", f"{rig.address}{story}/redispatch", ""):
        page = await told(stranger)
        assert "Back to the page" not in page
        assert "回到刚才的页面" not in page
    assert 'href="/evil.example/x"' in await told(f"{rig.address}//evil.example/x")


async def test_a_reviewer_sees_whom_a_wish_is_for_and_when(rig: GatewayRig) -> None:
    data = {
        "wish_id": "w-look", "title": "陪读", "category": "study", "urgency": "blue", "skills": ["reading"], "minutes": 90, "helpers_needed": 2,
        "beneficiary": {"age_band": "under_14", "lives_alone": False}, "window": {"start": "2030-01-05T01:00:00Z", "end": "2030-01-06T01:00:00Z"},
    }  # fmt: skip
    more = {"wish_id": "w-look", "draft_id": uuid4(), "data": json.dumps(data), "origin": "entered", "state": "waiting", "entered_by": "x"}
    await fill(rig.owner, "drafts", **PLACE | more)
    worker = await browser(rig, "worker")
    worker.client.headers["accept-language"] = "en"
    page = (await worker.get("/review")).text
    assert [] == [word for word in ("Under 14", "01-05 09:00", "90 min · 2 helpers") if word not in page]


async def test_a_frozen_copy_is_published_only_once_the_wish_itself_has_ended(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"vetting_min": 0, "accompanied": False, "lives_alone": False, "community": "frozen", "compound": "frozen-1", "resident_ref": "r-frozen"}
    await fill(rig.owner, "wishes", **WISH | more | {"wish_id": "w-frozen"})
    worker = await browser(rig, "worker", scope=(AREA, "frozen"))
    story, reason = f"/wish/{AREA}/w-frozen", {"page": "/account", "reason": "要核实"}

    async def refused(*_said: Any, **_more: Any) -> str:
        raise Unpublished

    with monkeypatch.context() as away:
        away.setattr(rig.gateway.publisher, "say", refused)
        assert 503 == (await worker.post(f"{story}/freeze", **reason)).status_code
    copies = "SELECT draft_id, state FROM gateway.drafts WHERE origin = 'frozen' AND community = 'frozen'"
    ((draft_id, state),) = await rig.owner.fetch(copies)
    page = (await worker.get("/review")).text
    assert ("waiting", True, False) == (state, f'href="{story}"' in page, f"{draft_id}/publish" in page)
    told = await worker.post(f"/review/{draft_id}/publish", page="/account")
    assert (409, True) == (told.status_code, "freeze it once more on its own page" in told.text)

    # Whoever puts the copy aside and freezes after all has it again, and once.
    assert 303 == (await worker.post(f"/review/{draft_id}/refuse", **reason)).status_code
    assert 303 == (await worker.post(f"{story}/freeze", **reason)).status_code
    assert [(draft_id, "waiting")] == [tuple(row) for row in await rig.owner.fetch(copies)]
    heard = [one for one in await said(rig, "wishes") if one.get("resident_ref") == "r-frozen" or one["wish_id"] == "w-frozen"]
    assert [("w-frozen", "frozen: 要核实")] == [(one["wish_id"], one.get("reason")) for one in heard]
    assert 409 == (await worker.post(f"/review/{draft_id}/publish", page="/account")).status_code, "the board does not show it yet"

    await rig.owner.execute("UPDATE gateway.wishes SET state = 'withdrawn' WHERE wish_id = 'w-frozen'")
    assert f"{draft_id}/publish" in (await worker.get("/review")).text
    assert [303, 409] == [(await worker.post(f"/review/{draft_id}/publish", page="/account")).status_code for _ in range(2)]
    assert 1 == len([one for one in await said(rig, "wishes") if one.get("resident_ref") == "r-frozen"])


@pytest.mark.parametrize("reason", ["请打 138 1234 5678", "身份证 610902199003071234", "住 3 单元 501"])
async def test_what_a_reviewer_writes_to_whoever_entered_a_wish_holds_no_number_and_no_door(rig: GatewayRig, reason: str) -> None:
    draft_id, data = uuid4(), json.dumps({"title": "修灯"})
    more = {"wish_id": f"w-{draft_id}", "draft_id": draft_id, "data": data, "origin": "entered", "entered_by": "x", "community": "told"}
    await fill(rig.owner, "drafts", **PLACE | more)
    worker = await browser(rig, "worker", scope=(AREA, "told"))
    told = await worker.post(f"/review/{draft_id}/refuse", page="/account", reason=reason)
    assert (422, True) == (told.status_code, "reason holds a phone, identity-card or door number, or an e-mail address: remove it" in told.text)
    assert "waiting" == await rig.owner.fetchval("SELECT state FROM gateway.drafts WHERE draft_id = $1", draft_id)
    assert 303 == (await worker.post(f"/review/{draft_id}/refuse", page="/account", reason="请先到社区登记")).status_code


async def test_the_monitor_leads_nowhere_that_is_not_there(rig: GatewayRig) -> None:
    worker = await browser(rig, "worker", scope=(AREA, "approves"))
    await fill(rig.owner, "wishes", **WISH | {"community": "approves", "wish_id": "w-to-approve", "state": "held"})
    for waits in (False, True):
        if waits:
            ids = {"wish_id": "w-to-approve", "match_id": "m-to-approve", "community": "approves"}
            await fill(rig.owner, "matches", **MATCH | ids | {"needs_approval": True})
        page = (await worker.get("/monitor/parts")).text
        assert (waits, waits) == ('href="#approvals"' in page, 'id="approvals"' in page)


@pytest.mark.parametrize("path", [f"/wish/{AREA}/%00", "/wishes/%00", "/wall/%00/answer"])
async def test_what_no_text_can_hold_is_not_there_and_no_fault_of_ours(rig: GatewayRig, path: str) -> None:
    somebody = await browser(rig, "volunteer", "resident", volunteer_ref="v-zero", resident_refs=("r-zero",))
    assert 404 == (await somebody.get(path)).status_code


async def test_a_form_with_what_no_text_can_hold_is_not_valid_and_no_fault_of_ours(rig: GatewayRig) -> None:
    somebody = await rig.browser()
    assert 422 == (await somebody.post("/sign-in", login="demo\0", password="x" * 20)).status_code


async def test_an_admin_keeps_an_account_out_and_lets_it_in_again_on_a_page(rig: GatewayRig) -> None:
    admin, person, outside = (
        await browser(rig, "admin", scope=(AREA, "jianmin")),
        await rig.person("volunteer", scope=(AREA, "jianmin")),
        await rig.person("worker"),
    )
    assert 'href="/accounts"' in (await admin.get("/")).text
    page = (await admin.get("/accounts")).text
    assert person.login in page
    assert outside.login not in page
    address = f"/accounts/{person.account_id}"
    for action, left in (("disable", "Let in again"), ("enable", "Disable")):
        done = await admin.post(f"{address}/{action}", page="/accounts")
        assert (303, f"/accounts?said={action}d") == (done.status_code, done.headers["location"])
        assert f"{left}<span" in (await admin.get("/accounts")).text.partition(f'scope="row">{person.login}<')[2].partition("</tr>")[0]
    assert 404 == (await admin.post(f"/accounts/{outside.account_id}/disable", page="/accounts")).status_code


async def test_of_many_accounts_the_first_are_shown_and_the_others_found_by_their_login(rig: GatewayRig) -> None:
    scope = (AREA, "many")
    admin = await browser(rig, "admin", scope=scope)
    await rig.owner.execute(
        "INSERT INTO gateway.accounts (account_id, login, roles, scope, created_at) "
        "SELECT 'of-many-' || n, 'many-' || lpad(n::text, 3, '0'), '{volunteer}', $1, now() FROM generate_series(0, 249) n", list(scope),
    )  # fmt: skip
    page, found = (await admin.get("/accounts?login=MANY-")).text, (await admin.get("/accounts?login=many-24")).text
    assert (200, 10) == (page.count('scope="row">many-'), found.count('scope="row">many-'))
    assert ("50 more are not shown" in page, "more are not shown" in found) == (True, False)


async def test_when_ones_devices_came_in_is_told_in_the_time_of_the_place(rig: GatewayRig) -> None:
    member = await browser(rig, "volunteer", volunteer_ref="v-clock")
    began = await rig.owner.fetchval("SELECT max(created_at) FROM gateway.sessions")
    assert f">{began.astimezone(words.LOCAL):%Y-%m-%d %H:%M}</time>" in (await member.get("/account")).text


async def test_the_audit_log_is_read_in_words(rig: GatewayRig) -> None:
    auditor = await browser(rig, "auditor")
    auditor.client.headers["accept-language"] = "zh-CN"
    await auditor.get("/audit")
    page = (await auditor.get("/audit")).text
    assert "看审计记录" in page
    assert "允许" in page
    assert "see_audit" not in page
    assert ("北京时间" in page, " UTC</time>" in page) == (True, False)
    assert set(Act) <= set(words.ACTS)
    assert set(Role) == set(words.ROLES)


@pytest.mark.parametrize("state", ["open", "held", "matched", "expired"])
@pytest.mark.parametrize(("match", "overdue"), [("confirmed", 2), ("started", 2), ("finished", 0), ("closed", 0), ("released", 0)])
async def test_a_visit_of_which_nothing_was_heard_is_overdue_whatever_its_wish_still_waits_for(rig: GatewayRig, state: str, match: str, overdue: int) -> None:
    place = {"community": f"{state}-{match}", "compound": "x", "building": None, "unit": None}
    yesterday = NOW - timedelta(days=1)
    # Two helpers were wanted, one came; the wish goes on for days, or has expired with one.
    window = {"starts_at": yesterday, "ends_at": yesterday if state == "expired" else NOW + timedelta(days=5)}
    await fill(
        rig.owner, "wishes", **WISH | place | window | {"wish_id": f"w-{state}-{match}", "state": state, "submitted_at": yesterday, "changed_at": yesterday}
    )
    await visit(rig, f"w-{state}-{match}", f"m-{state}-{match}", **place, state=match)
    worker = Principal("a-worker", frozenset({Role.WORKER}), Scope(AREA, f"{state}-{match}"))
    async with rig.gateway.database.acting_for(worker) as connection:
        seen = await queries.overview(connection, datetime.now(UTC), NOW - timedelta(hours=6))
    shown = [card["risk"] for column in seen.columns.values() for card in column]
    gone = state == "expired" and not overdue  # ended yesterday, and there is nothing more to do about it
    assert ([] if gone else [overdue]) == shown
    assert overdue // 2 == seen.counters["overdue"]
    assert overdue // 2 == sum(circle["risk"] for circle in seen.places)
    assert len(seen.columns["ended"]) == seen.counters["ended"]


async def test_the_board_counts_all_that_ended_today_also_what_it_does_not_show(rig: GatewayRig) -> None:
    for number in range(5):
        await fill(rig.owner, "wishes", **WISH | {"community": "ended", "wish_id": f"w-ended-{number}", "state": "withdrawn"})
    worker = Principal("a-worker", frozenset({Role.WORKER}), Scope(AREA, "ended"))
    async with rig.gateway.database.acting_for(worker) as connection:
        seen = await queries.overview(connection, datetime.now(UTC), NOW - timedelta(hours=6), most=2)
    assert (2, 5) == (len(seen.columns["ended"]), seen.counters["ended"])


@pytest.mark.parametrize(
    ("ends", "done", "card", "outcome"),
    [
        ([("done", 60)], 1, False, None),
        ([("done", 60), ("not_done", 0)], 0, True, "not_done"),
        ([("done", 60), ("partly", 60)], 0, True, "partly"),
        ([("done", 60), ("not_done", 0), ("done", 45)], 1, False, "done"),
    ],
)
async def test_what_was_corrected_today_is_not_counted_as_done_today(
    rig: GatewayRig, ends: list[tuple[str, int]], done: int, outcome: str | None, *, card: bool
) -> None:
    match_id = "-".join(["m", *(end for end, _ in ends)])
    place = {"community": match_id.replace("_", "-"), "compound": "x", "building": None, "unit": None}
    await fill(rig.owner, "wishes", **WISH | place | {"wish_id": f"w-{match_id}", "state": "closed", "changed_at": NOW})
    await visit(rig, f"w-{match_id}", match_id, **place, state="closed", outcome="done", minutes=60)
    await book(rig.owner, match_id, "v-1", *ends, area=AREA)
    async with rig.gateway.database.acting_for(Principal("a-worker", frozenset({Role.WORKER}), Scope(AREA, place["community"]))) as connection:
        seen = await queries.overview(connection, datetime.now(UTC), NOW - timedelta(hours=6))
        story = await queries.wish_story(connection, AREA, f"w-{match_id}", NOW)
    assert story is not None
    assert (done, 1) == (seen.counters["closed"], seen.counters["ended"])
    assert [card, card] == [seen.columns["ended"][0]["corrected"], story.wish["corrected"]]
    assert ("done", outcome) == (story.matches[0]["outcome"], story.matches[0]["outcome_now"])


@pytest.mark.parametrize(
    ("ends", "state", "told"),
    [
        ([("not_done", 0), ("done", 45)], "open", "others are looked for. If nobody is needed any more, please withdraw it"),
        ([("not_done", 0), ("done", 45)], "withdrawn", None),
        ([("done", 45), ("not_done", 0)], "closed", "A correction does not open the wish again"),
        ([("not_done", 0)], "open", None),
    ],
)
async def test_the_story_says_what_a_correction_means_for_the_wish(rig: GatewayRig, ends: list[tuple[str, int]], state: str, told: str | None) -> None:
    match_id = f"m-means-{uuid4().hex[:8]}"
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{match_id}", "state": state})
    await visit(rig, f"w-{match_id}", match_id, state="closed", outcome=ends[0][0], minutes=ends[0][1])
    await book(rig.owner, match_id, "v-1", *ends, area=AREA)
    worker = await browser(rig, "worker")
    page = (await worker.get(f"/wish/{AREA}/w-{match_id}")).text
    said = [sentence for sentence in ("others are looked for", "A correction does not open") if sentence in page]
    assert (0 if told is None else 1, True) == (len(said), (told or "") in page)


async def test_a_call_back_leads_back_to_the_story_once_the_books_say_so_too(rig: GatewayRig) -> None:
    match_id = "m-called-again"
    await fill(rig.owner, "wishes", **WISH | {"wish_id": f"w-{match_id}", "state": "open"})
    await visit(rig, f"w-{match_id}", match_id, state="closed", outcome="not_done", minutes=0)
    worker = await browser(rig, "worker")

    async def called() -> str:
        answer = asyncio.create_task(worker.post(f"/wish/{AREA}/w-{match_id}/call-back", page="/account", match_id=match_id, outcome="done"))
        await asyncio.sleep(0.2)
        await word_is_heard(rig, f"w-{match_id}", match_id)
        return str((await answer).headers["location"].rpartition("=")[2])

    assert "later" == await called()
    await book(rig.owner, match_id, "v-1", ("not_done", 0), ("done", 45), area=AREA)
    assert "called" == await called()


async def test_neither_the_monitor_nor_attention_goes_through_all_matches_there_ever_were(rig: GatewayRig) -> None:
    """With thousands that are over, what is asked again and again finds the few that count by an index of theirs."""
    await rig.owner.execute(
        "INSERT INTO gateway.matches (area, match_id, wish_id, offer_id, state, released_at, changed_at) "
        "SELECT $1, 'm-gone-' || n, 'w-gone-' || n, 'o', 'released', now(), now() FROM generate_series(1, 3000) n", AREA,
    )  # fmt: skip
    await rig.owner.execute("ANALYZE gateway.matches")
    now = datetime.now(UTC)
    plans = []
    async with rig.gateway.database.acting_for(Principal("a-worker", frozenset({Role.WORKER}), Scope(AREA))) as connection:
        listed = (now, now, ["open", "held"], True, None, True, "jianmin", None, None, True, 100, 0)
        for statement, values in (
            (queries._COUNTERS, (now, now)), (queries._WORK, ()), (queries._APPROVALS, (40,)), (queries._FAIRNESS, (now,)), (queries._LISTED, listed),
        ):  # fmt: skip
            plans += [row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *values)]
    async with rig.owner.transaction():
        await rig.owner.execute("SET LOCAL enable_seqscan = off")  # of an empty table
        body = await rig.owner.fetchval("SELECT prosrc FROM pg_proc WHERE oid = 'notifying.attention_at(bigint)'::regprocedure")
        plans += [row[0] for row in await rig.owner.fetch(f"EXPLAIN {body.replace('now_us', '1::bigint')}")]
    await rig.owner.execute("DELETE FROM gateway.matches WHERE match_id LIKE 'm-gone-%'")
    assert [] == [line for line in plans if "Seq Scan on matches" in line]
    for index in ("matches_under_way", "matches_to_approve", "matches_confirmed", "confirmations_under_way", "notices_unheard"):
        assert any(index in line for line in plans), index
    assert any("Index Cond" in line and "due_at" in line for line in plans), "all that was ever given up is looked through"
