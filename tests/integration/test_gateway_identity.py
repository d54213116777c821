"""Signing in, sessions, forms, headers, limits and the audit log, on a gateway that runs over real PostgreSQL and Kafka."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from fastapi import APIRouter

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from services.gateway.board import hub, sse
from services.gateway.edge import CONTENT_SECURITY_POLICY
from services.gateway.guard import UnguardedRoute, announce
from services.gateway.identity.audit import Entry, Verdict, verify, verify_stored
from services.gateway.routes.sign_in import safe_next
from tests.integration.gateway_rig import AREA, PASSWORD, Browser, GatewayRig, own_database, running_gateway

SESSION = "lm_session"


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    async with own_database(postgres, "gateway_identity") as database, running_gateway(tmp_path_factory.mktemp("gateway"), database, kafka) as rig:
        yield rig


async def is_in(browser: Browser) -> bool:
    return (await browser.get("/account")).status_code == 200


# --- signing in


async def test_a_member_signs_in_with_a_password_and_is_somebody(rig: GatewayRig) -> None:
    browser = await rig.browser()
    assert not await is_in(browser)
    answer = await browser.sign_in(await rig.person("volunteer"), next="/account")
    assert (303, "/account") == (answer.status_code, answer.headers["location"])
    assert await is_in(browser)


async def test_the_session_cookie_is_for_this_browser_alone_and_only_a_digest_is_kept(rig: GatewayRig) -> None:
    browser = await rig.browser()
    answer = await browser.sign_in(await rig.person("resident"))
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(f"{SESSION}="))
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    secret = browser.client.cookies[SESSION]
    assert len(secret) >= 43
    rows = await rig.owner.fetch("SELECT digest FROM gateway.sessions")
    assert not any(secret.encode() in row["digest"] for row in rows)


@pytest.mark.parametrize("form", [{"password": "not the password at all"}, {"login": "nobody-has-this"}, {"password": ""}, {"login": "x" * 100}])
async def test_whatever_is_wrong_the_words_are_the_same(rig: GatewayRig, form: dict[str, str]) -> None:
    person = await rig.person("volunteer")
    browser = await rig.browser()
    answer = await browser.post("/sign-in", **({"login": person.login, "password": PASSWORD} | form))
    assert 401 == answer.status_code
    assert "账号、密码或验证码不对" in answer.text
    assert (f'name="login" value="{person.login}"' in answer.text) == ("login" not in form)  # what was typed stays, but for the password
    assert PASSWORD not in answer.text
    assert SESSION not in browser.client.cookies


async def test_a_worker_needs_a_code_and_each_code_is_good_once(rig: GatewayRig) -> None:
    worker = await rig.person("worker")
    browser = await rig.browser()
    assert 401 == (await browser.post("/sign-in", login=worker.login, password=PASSWORD)).status_code
    assert 401 == (await browser.post("/sign-in", login=worker.login, password=PASSWORD, code="000000")).status_code
    code = rig.code(worker)
    assert 303 == (await browser.post("/sign-in", login=worker.login, password=PASSWORD, code=code)).status_code
    other = await rig.browser()
    assert 401 == (await other.post("/sign-in", login=worker.login, password=PASSWORD, code=code)).status_code


@pytest.mark.parametrize("role", ["worker", "admin", "auditor"])
async def test_who_sees_others_is_not_let_in_without_a_second_factor(rig: GatewayRig, role: str) -> None:
    person = await rig.person(role, second=False)
    answer = await (await rig.browser()).sign_in(person)
    assert 401 == answer.status_code
    assert "两步验证" in answer.text


async def test_a_first_password_ends_and_has_to_be_changed(rig: GatewayRig) -> None:
    late = await rig.person("volunteer", must_change=True, expires_at=rig.clock() - timedelta(seconds=1))
    assert 401 == (await (await rig.browser()).sign_in(late)).status_code
    person = await rig.person("volunteer", "integrator", must_change=True, expires_at=datetime.now(UTC) + timedelta(days=400))
    browser = await rig.browser()
    assert "/account" == (await browser.sign_in(person)).headers["location"]
    assert 403 == (await browser.get("/audit")).status_code
    answer = await browser.post("/account/password", "/account", present=PASSWORD, new="seven boats under one bridge")
    assert 303 == answer.status_code, answer.text
    assert await is_in(browser)
    assert 303 == (await (await rig.browser()).sign_in(person, "seven boats under one bridge")).status_code


async def test_an_admin_with_a_first_password_decides_about_nobody_yet(rig: GatewayRig) -> None:
    admin, other = await rig.person("admin", must_change=True), await rig.person("volunteer")
    browser = await rig.signed_in(admin)
    answers = [await browser.get("/accounts"), await browser.post(f"/accounts/{other.account_id}/disable", "/account")]
    assert [403, 403, 200] == [*(answer.status_code for answer in answers), (await browser.get("/account")).status_code]
    assert await is_in(await rig.signed_in(other))


async def test_whoever_has_to_change_the_first_password_is_shown_where_and_then_told_that_it_is_done(rig: GatewayRig) -> None:
    person = await rig.person("volunteer", volunteer_ref="vol-first", must_change=True, expires_at=datetime.now(UTC) + timedelta(days=400))
    browser = await rig.signed_in(person)
    refused = await browser.get("/wall")
    assert (403, True) == (refused.status_code, 'class="button" href="/account"' in refused.text)
    first = await browser.post("/account/password", "/account", present=PASSWORD, new="seven boats under one bridge")
    again = await browser.post("/account/password", "/account", present="seven boats under one bridge", new="eight boats under one bridge")
    assert ["/?said=password", "/account?said=password"] == [answer.headers["location"] for answer in (first, again)]
    assert "密码已修改" in (await browser.get("/?said=password")).text


@pytest.mark.parametrize(
    "new",
    [
        "short",
        "password2026!",
        "aaaaaaaaaaaaaaaa",
        "qwertyuiop123456",
        "lastmetre-ankang-2026",
        "x" * 129,
        "一" * 200,
        "iloveyouforever1",
        "unbelievable1988",
        "1q2w3e4r5t6y",
        "woaini1314520",
        "anzhu-zhiyuanzhe-2026",
    ],
)
async def test_a_password_that_is_tried_first_is_not_taken(rig: GatewayRig, new: str) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))
    answer = await browser.post("/account/password", "/account", present=PASSWORD, new=new)
    assert 422 == answer.status_code
    assert await is_in(browser)


async def test_a_new_password_ends_all_other_sessions_and_renews_this_one(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    here, there = await rig.signed_in(person), await rig.signed_in(person)
    before = here.client.cookies[SESSION]
    assert 422 == (await here.post("/account/password", "/account", present="wrong", new="seven boats under one bridge")).status_code
    assert 303 == (await here.post("/account/password", "/account", present=PASSWORD, new="seven boats under one bridge")).status_code
    assert before != here.client.cookies[SESSION]
    assert (True, False) == (await is_in(here), await is_in(there))


async def test_who_signs_in_while_the_password_is_changed_is_not_let_in_by_the_one_before(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await rig.person("volunteer")
    here, there = await rig.signed_in(person), await rig.browser()
    verify = rig.identity.passwords.verify

    async def verified_and_then_changed(hashed: str | None, password: str) -> bool:
        good = await verify(hashed, password)
        monkeypatch.undo()  # the change asks for the present one, too
        assert 303 == (await here.post("/account/password", "/account", present=PASSWORD, new="seven boats under one bridge")).status_code
        return good

    monkeypatch.setattr(rig.identity.passwords, "verify", verified_and_then_changed)
    assert 401 == (await there.sign_in(person)).status_code
    assert (True, False) == (await is_in(here), await is_in(there))


async def test_whoever_has_no_password_here_is_not_told_that_it_is_wrong(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    browser = await rig.signed_in(person)
    await rig.owner.execute("UPDATE gateway.accounts SET password_hash = NULL WHERE account_id = $1", person.account_id)
    answer = await browser.post("/account/password", "/account", present="anything", new="seven boats under one bridge")
    assert (409, True) == (answer.status_code, "您在统一登录处登录，这里没有密码" in answer.text)
    assert ("密码也在那里修改" in answer.text, 'name="present"' in answer.text) == (True, False)


# --- guessing


async def test_guessing_is_slowed_without_locking_out_a_browser_that_is_known(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    known = await rig.signed_in(person)
    await known.post("/sign-out", "/account")
    stranger = await rig.browser()
    token = await stranger.token()
    codes = [
        (await stranger.client.post("/sign-in", data={"csrf": token, "login": person.login, "password": f"guess number {n}"})).status_code for n in range(12)
    ]
    assert 401 == codes[0]
    assert 429 == codes[-1]
    # The owner's own browser was here before, and is not kept waiting.
    assert 303 == (await known.sign_in(person)).status_code
    late = await stranger.client.post("/sign-in", data={"csrf": token, "login": person.login, "password": PASSWORD})
    assert 429 == late.status_code
    assert int(late.headers["retry-after"]) > 0


async def test_guesses_at_once_are_all_counted(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    browser = await rig.browser()
    token = await browser.token()
    answers = await asyncio.gather(
        *(browser.client.post("/sign-in", data={"csrf": token, "login": person.login, "password": f"guess {n} of many"}) for n in range(20))
    )
    assert sum(answer.status_code == 401 for answer in answers) <= 8


# --- sessions


async def test_a_session_is_renewed_at_each_sign_in(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    browser = await rig.signed_in(person)
    before = browser.client.cookies[SESSION]
    await browser.sign_in(person)
    old = await rig.browser(cookie=f"{SESSION}={before}")
    assert (True, False) == (await is_in(browser), await is_in(old))


async def test_a_session_that_somebody_else_chose_is_never_taken(rig: GatewayRig) -> None:
    planted = await rig.browser(cookie=f"{SESSION}=chosen-by-somebody-else")
    await planted.sign_in(await rig.person("volunteer"))
    victim = await rig.browser(cookie=f"{SESSION}=chosen-by-somebody-else")
    assert not await is_in(victim)


async def test_signing_out_everywhere_ends_every_session(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    here, there = await rig.signed_in(person), await rig.signed_in(person)
    assert 303 == (await here.post("/sign-out", "/account", everywhere="yes")).status_code
    assert (False, False) == (await is_in(here), await is_in(there))


async def test_signing_out_here_leaves_the_others_alone(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    here, there = await rig.signed_in(person), await rig.signed_in(person)
    secret = here.client.cookies[SESSION]
    await here.post("/sign-out", "/account")
    replayed = await rig.browser(cookie=f"{SESSION}={secret}")
    assert (False, False, True) == (await is_in(here), await is_in(replayed), await is_in(there))


async def test_a_stream_ends_once_its_session_has(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LOOK_SECONDS", 0.0)
    person = await rig.person("volunteer")
    here, there = await rig.signed_in(person), await rig.signed_in(person)
    async with here.client.stream("GET", "/live") as ending, there.client.stream("GET", "/live") as going_on:
        parts, others = ending.aiter_text(), going_on.aiter_text()
        assert "retry" in await anext(parts) + await anext(others)
        await here.post("/sign-out", "/account")
        for _ in range(hub.BEATS_OF_LIFE):
            rig.gateway.hub.beat(asyncio.get_running_loop().time())
        assert [] == [part async for part in parts]
        assert ": " == (await anext(others)).strip("\n")


async def test_a_stream_that_is_open_is_nobody_who_is_there(rig: GatewayRig) -> None:
    ahead, browser = rig.clock.ahead, await rig.signed_in(await rig.person("worker"))
    caller = await rig.identity.caller(browser.client.cookies[SESSION], None)
    found = []
    for hours in (3, 2):  # a worker's session ends after four without a request
        rig.clock.pass_time(hours=hours)
        rig.identity.forget(browser.client.cookies[SESSION])
        found.append(await rig.identity.is_still(caller, None))
    rig.clock.ahead = ahead
    assert [True, False] == found


async def test_every_page_lets_whoever_is_in_sign_out(rig: GatewayRig) -> None:
    for role in ("volunteer", "resident", "worker", "auditor", "admin"):
        browser = await rig.signed_in(await rig.person(role))
        front = (await browser.get("/")).text
        paths = {"/", "/account", "/nowhere", *re.findall(r'<a href="(/[a-z-]+)"', front)}
        assert len(paths) > 4
        for path in paths:
            page = await browser.get(path)
            if page.headers["content-type"].startswith("text/html") and page.status_code != 303:
                assert '<form method="post" action="/sign-out">' in page.text, f"{role} {path}"


@pytest.mark.parametrize(("role", "idle", "absolute"), [("worker", {"hours": 4.1}, {"hours": 12.1}), ("volunteer", {"days": 7.1}, {"days": 30.1})])
async def test_a_session_ends_when_nobody_is_there_and_in_any_case_after_a_while(
    rig: GatewayRig, role: str, idle: dict[str, float], absolute: dict[str, float]
) -> None:
    person = await rig.person(role)
    ahead = rig.clock.ahead
    left = await rig.signed_in(person)
    rig.clock.pass_time(**idle)
    assert not await is_in(left)
    busy = await rig.signed_in(person)
    for _ in range(4):  # somebody is there all the time
        rig.clock.pass_time(**{unit: amount / 4 for unit, amount in absolute.items()})
        still = await is_in(busy)
    assert not still
    rig.clock.ahead = ahead + timedelta(days=40)


async def test_a_disabled_account_is_out_at_once(rig: GatewayRig) -> None:
    admin, person = await rig.person("admin"), await rig.person("volunteer")
    manager, browser = await rig.signed_in(admin), await rig.signed_in(person)
    token = await manager.token("/account")
    answer = await manager.client.post(f"/api/v1/accounts/{person.account_id}/disable", headers={"x-csrf": token})
    assert 200 == answer.status_code, answer.text
    assert not await is_in(browser)
    assert 401 == (await (await rig.browser()).sign_in(person)).status_code
    await manager.client.post(f"/api/v1/accounts/{person.account_id}/enable", headers={"x-csrf": token})
    assert 303 == (await (await rig.browser()).sign_in(person)).status_code


async def test_an_admin_manages_only_accounts_of_the_own_circle(rig: GatewayRig) -> None:
    admin = await rig.signed_in(await rig.person("admin", scope=(AREA, "one")))
    inside, outside = await rig.person("volunteer", scope=(AREA, "one", "a")), await rig.person("volunteer", scope=(AREA, "two"))
    listed = {row["account_id"] for row in (await admin.get("/api/v1/accounts")).json()}
    assert (True, False) == (inside.account_id in listed, outside.account_id in listed)
    token = await admin.token("/account")
    refused = await admin.client.post(f"/api/v1/accounts/{outside.account_id}/disable", headers={"x-csrf": token})
    assert 404 == refused.status_code
    assert await rig.owner.fetchval("SELECT disabled_at IS NULL FROM gateway.accounts WHERE account_id = $1", outside.account_id)


# --- forms


async def test_a_form_of_another_site_changes_nothing(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))
    token = await browser.token("/account")
    attacks: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"csrf": "made-up"}, {}),
        ({"csrf": await (await rig.browser()).token()}, {}),
        ({"csrf": token}, {"sec-fetch-site": "cross-site"}),
        ({"csrf": token}, {"sec-fetch-site": "same-site"}),
        ({"csrf": token}, {"origin": "https://evil.example"}),
    ]
    for form, headers in attacks:
        assert 403 == (await browser.client.post("/sign-out", data=form, headers=headers)).status_code, (form, headers)
    assert await is_in(browser)
    assert 303 == (await browser.client.post("/sign-out", data={"csrf": token}, headers={"sec-fetch-site": "same-origin", "origin": rig.address})).status_code


async def test_nobody_is_signed_in_as_somebody_else_by_another_site(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    client = await rig.client(accept="text/html")
    answer = await client.post("/sign-in", data={"login": person.login, "password": PASSWORD})
    assert 403 == answer.status_code


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("/wall?page=2", "/wall?page=2"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("/" + "x" * 600, "/"),
        (None, "/"),
    ],
)
def test_signing_in_leads_to_a_page_of_ours_alone(given: str | None, taken: str) -> None:
    assert taken == safe_next(given)


# --- keys


async def test_a_key_does_what_it_was_made_for_and_no_more(rig: GatewayRig) -> None:
    integrator = await rig.person("integrator")
    key = await rig.key(integrator, "see_own")
    client = await rig.client(authorization=f"Bearer {key}")
    assert 200 == (await client.get("/account")).status_code
    assert 403 == (await client.get("/api/v1/accounts")).status_code
    narrow = await rig.client(authorization=f"Bearer {await rig.key(integrator, 'publish_events')}")
    assert 403 == (await narrow.get("/account")).status_code


async def test_keys_that_are_wrong_revoked_or_over_open_nothing(rig: GatewayRig) -> None:
    integrator, other = await rig.person("integrator"), await rig.person("integrator")
    good, foreign = await rig.key(integrator, "see_own"), await rig.key(other, "see_own")
    key_id, secret = good.split("_")[1], foreign.split("_", 2)[2]
    over = await rig.key(integrator, "see_own", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = await rig.key(integrator, "see_own")
    await rig.owner.execute("UPDATE gateway.api_keys SET revoked_at = now() WHERE key_id = $1", revoked.split("_")[1])
    for value in (f"lmk_{key_id}_{secret}", f"lmk_{key_id}_", "lmk__", "lmk_", good[:-1], over, revoked, "x"):
        answer = await (await rig.client(authorization=f"Bearer {value}")).get("/account")
        assert 401 == answer.status_code, value
    assert 401 == (await (await rig.client(authorization=f"Basic {good}")).get("/account")).status_code
    # A key that is no good is no way to be nobody, either.
    assert 401 == (await (await rig.client(authorization="Bearer lmk_00000000_x")).get("/sign-in")).status_code


async def test_a_key_that_was_just_used_opens_nothing_once_it_is_revoked_or_ended_by_a_rotation(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Keys end by the clock on the wall, which other tests have left behind.
    monkeypatch.setattr(rig.clock, "ahead", timedelta())
    owner = await rig.signed_in(await rig.person("integrator"))
    owner.client.headers.update({"x-csrf": await owner.token("/account")})

    async def used(key: dict[str, str]) -> int:
        client = await rig.client(authorization=f"Bearer {key['key']}")
        return (await client.get("/api/v1/webhooks")).status_code

    async def rotated(key: dict[str, str], seconds: int) -> dict[str, str]:
        found: dict[str, str] = (await owner.client.post(f"/api/v1/keys/{key['key_id']}/rotate", json={"overlap_seconds": seconds})).json()
        return found

    first = (await owner.client.post("/api/v1/keys", json={"name": "app", "scopes": ["manage_webhooks"]})).json()
    assert 200 == await used(first)
    second = await rotated(first, 600)
    assert [200, 200] == [await used(key) for key in (first, second)]
    third = await rotated(second, 600)
    assert [401, 200, 200] == [await used(key) for key in (first, second, third)]
    fourth = await rotated(third, 0)
    assert [401, 401, 200] == [await used(key) for key in (second, third, fourth)]
    assert 204 == (await owner.client.delete(f"/api/v1/keys/{fourth['key_id']}")).status_code
    assert 401 == await used(fourth)


# --- what every answer carries, and what is not taken


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nowhere", "/account", "/api/openapi.json", "/static/style.css"])
async def test_every_answer_has_the_headers(rig: GatewayRig, path: str) -> None:
    answer = await (await rig.browser()).get(path)
    assert CONTENT_SECURITY_POLICY == answer.headers["content-security-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "same-origin" == answer.headers["referrer-policy"]
    assert "server" not in answer.headers
    assert 16 == len(answer.headers["x-request-id"])


async def test_pages_are_not_kept_by_anybody_in_between(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))
    assert "no-store" == (await browser.get("/account")).headers["cache-control"]


async def test_too_much_is_not_taken_whether_it_is_announced_or_not(rig: GatewayRig) -> None:
    client = await rig.client()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 65536

    assert 413 == (await client.post("/sign-in", content=b"x" * (1024 * 1024 + 1))).status_code
    assert 413 == (await client.post("/sign-in", content=pieces())).status_code


async def test_deep_json_is_not_taken(rig: GatewayRig) -> None:
    client = await rig.client()
    deep = b"[" * 2000 + b"]" * 2000
    answer = await client.post("/sign-in", content=deep, headers={"content-type": "application/json"})
    assert (400, "too_deep") == (answer.status_code, answer.json()["code"])
    wide = b"[" + b",".join([b'{"a":"[[[[[["}'] * 100) + b"]"
    assert 403 == (await client.post("/sign-in", content=wide, headers={"content-type": "application/json"})).status_code


async def test_errors_are_told_in_both_languages(rig: GatewayRig) -> None:
    found = (await (await rig.client()).get("/api/v1/accounts")).json()
    assert {"code", "zh", "en", "field"} == set(found)
    page = await (await rig.browser(**{"accept-language": "en"})).get("/nowhere")
    assert 404 == page.status_code
    assert "there is no such thing" in page.text
    assert "没有这一项" in page.text


async def test_a_page_that_needs_somebody_leads_to_the_sign_in(rig: GatewayRig) -> None:
    answer = await (await rig.browser()).get("/account?who=a")
    assert (303, "/sign-in?next=/account") == (answer.status_code, answer.headers["location"])


async def test_who_asks_too_often_is_told_when_to_come_back(
    rig: GatewayRig, postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with running_gateway(tmp_path_factory.mktemp("limited"), rig.database, kafka, rate_factor=0.05) as limited:
        client = await limited.client()
        answers: list[httpx.Response] = [await client.get("/") for _ in range(12)]
        assert 200 == answers[0].status_code
        assert 429 == answers[-1].status_code
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "too_many" == answers[-1].json()["code"]


def test_a_route_without_an_act_does_not_start() -> None:
    router = APIRouter()

    @router.get("/open")
    async def forgotten() -> str:
        return ""

    with pytest.raises(UnguardedRoute, match="/open"):
        announce(router)


# --- the audit log


async def test_what_is_denied_and_what_an_admin_does_is_in_the_log_and_the_chain_holds(rig: GatewayRig) -> None:
    admin, person = await rig.person("admin"), await rig.person("volunteer")
    manager, member = await rig.signed_in(admin), await rig.signed_in(person)
    assert 403 == (await member.get("/api/v1/audit")).status_code
    await manager.get("/api/v1/accounts")
    rows = (await manager.get("/api/v1/audit")).json()
    told = [(row["who"], row["act"], row["outcome"]) for row in rows]
    assert (person.account_id, "see_audit", "denied") in told
    assert (admin.account_id, "manage_accounts", "allowed") in told
    verdict = await verify_stored(rig.owner, [], rig.keys)
    assert (None, True) == (verdict.fault, verdict.rows > 0)


async def test_a_changed_removed_moved_or_cut_row_is_found(rig: GatewayRig) -> None:
    for _ in range(6):
        await rig.identity.audit.add("test", "allowed", at=rig.clock(), request="r", area=AREA, things=["wish_id=w-1"])
    entries = [Entry.of(row) for row in await rig.owner.fetch("SELECT * FROM gateway.audit ORDER BY seq")]
    head = (entries[-1].seq, entries[-1].hash)
    assert Verdict(*head) == await verify_stored(rig.owner, [], rig.keys)
    assert "末尾" in fault(await verify_stored(rig.owner, [(head[0] + 1, head[1])], rig.keys))
    changed = [*entries[:-3], replace(entries[-3], who="somebody-else"), *entries[-2:]]
    moved = [*entries[:-2], entries[-1], entries[-2]]
    removed = [*entries[:-3], *entries[-2:]]
    cut = entries[:-2]
    noted = [(entries[-1].seq, entries[-1].hash)]
    assert "不符" in fault(verify(changed, head, [], rig.keys))
    assert "缺失" in fault(verify(moved, head, [], rig.keys))
    assert "缺失" in fault(verify(removed, head, [], rig.keys))
    # Whoever also turns back the end on record still has what was noted outside against them.
    assert "末尾" in fault(verify(cut, (cut[-1].seq, cut[-1].hash), noted, rig.keys))
    assert "链尾" in fault(verify(cut, head, [], rig.keys))


def fault(verdict: Verdict) -> str:
    return "" if verdict.fault is None else verdict.fault[0]


async def test_the_log_is_only_ever_added_to(rig: GatewayRig) -> None:
    await rig.identity.audit.add("test", "allowed", at=rig.clock(), request="r")
    for statement in ("UPDATE gateway.audit SET act = 'x'", "DELETE FROM gateway.audit", "TRUNCATE gateway.audit", "DELETE FROM gateway.audit_head"):
        with pytest.raises(asyncpg.PostgresError, match="only ever added to"):
            await rig.owner.execute(statement)
    async with rig.gateway.database.pool.acquire() as connection:
        for statement in ("INSERT INTO gateway.audit SELECT * FROM gateway.audit", "UPDATE gateway.audit_head SET seq = 0", "DELETE FROM gateway.audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_rows_added_at_once_form_one_chain(rig: GatewayRig) -> None:
    await asyncio.gather(*(rig.identity.audit.add("test", "allowed", at=rig.clock(), request=str(n)) for n in range(40)))
    assert None is (await verify_stored(rig.owner, [], rig.keys)).fault
