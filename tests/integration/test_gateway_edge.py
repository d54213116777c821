"""What the security document names beside the rest: pages, cookies, logs, keys and faults of a gateway that runs. Most take one request."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import math
import re
import resource
import time
import unicodedata
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import pyotp
import pytest
from structlog.testing import capture_logs

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.state import free_port
from schemas.place import Place
from services.gateway import edge, heads
from services.gateway.app import open_many
from services.gateway.edge import BODY_MAX, DEPTH_MAX, FIELDS_MAX, depth_of
from services.gateway.identity import second_factor
from services.gateway.identity.keys import DoesNotOpen, Keys
from services.gateway.identity.model import new_api_key, new_secret
from services.gateway.identity.passwords import Passwords, random_password
from services.gateway.policy import Detail, Thing, detail
from services.gateway.roles import Principal, Role, Scope
from services.gateway.settings import Settings
from services.gateway.shares import STREAMS
from services.runtime import BadSettings, render
from tests.integration.gateway_rig import AREA, PASSWORD, GatewayRig, own_database, running_gateway

SCRIPT: Final = "<script>alert(1)</script>"
PAGES: Final = ("/", "/sign-in", "/account", "/audit", "/nowhere")
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    async with own_database(postgres, "gateway_edge") as database, running_gateway(tmp_path_factory.mktemp("edge"), database, kafka) as rig:
        yield rig


# --- pages


async def test_what_somebody_wrote_is_text_in_every_page(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("auditor"))
    await rig.identity.audit.add(SCRIPT, "denied", at=rig.clock(), request=SCRIPT, who=SCRIPT, area=AREA, things=[SCRIPT])
    for path in (f'/sign-in?next=/">{SCRIPT}', f"/{SCRIPT}", "/audit"):
        page = await browser.get(path)
        assert SCRIPT not in page.text, path
    assert "&lt;script&gt;" in page.text


async def test_no_page_holds_a_script_or_a_style_of_its_own(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("auditor"))
    for path in PAGES:
        page = (await browser.get(path)).text
        assert [] == re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page), path


async def test_password_fields_hide_and_let_managers_fill_them(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))
    fields = re.findall(r"<input[^>]*(?:password|present|new)\"[^>]*>", (await browser.get("/sign-in")).text + (await browser.get("/account")).text)
    assert 3 == len(fields)
    assert all('type="password"' in one and re.search(r'autocomplete="(current|new)-password"', one) and "onpaste" not in one for one in fields)


async def test_the_server_judges_what_the_page_would_have(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("auditor"))
    assert 422 == (await browser.post("/account/password", "/account", present=PASSWORD, new="short")).status_code
    assert 422 == (await browser.get("/audit?limit=1001")).status_code


async def test_no_get_changes_anything(rig: GatewayRig) -> None:
    paths = rig.app.openapi()["paths"]
    browser = await rig.signed_in(await rig.person("admin"))
    for path, item in paths.items():
        if "get" not in item:
            assert 405 == (await browser.get(path.format(**dict.fromkeys(re.findall(r"{(\w+)}", path), "account-0001")))).status_code, path
    assert 200 == (await browser.get("/account")).status_code


async def test_every_answer_says_what_it_is(rig: GatewayRig) -> None:
    browser = await rig.browser()
    for path, kind in (("/", "text/html; charset=utf-8"), ("/static/style.css", "text/css; charset=utf-8"), ("/api/openapi.json", "application/json")):
        assert kind == (await browser.get(path)).headers["content-type"]


async def test_no_other_origin_may_read_an_answer(rig: GatewayRig) -> None:
    client = await rig.client(origin="https://evil.example")
    for answer in (await client.get("/"), await client.options("/api/v1/accounts", headers={"access-control-request-method": "GET"})):
        assert [] == [name for name in answer.headers if name.startswith("access-control-")]


async def test_no_file_beside_the_static_ones_is_served(rig: GatewayRig) -> None:
    client = await rig.client()
    for path in (
        "/static/",
        "/static/../../settings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/.git/config",
        "/static/..%2fsettings.py",
    ):
        assert 404 == (await client.get(path)).status_code, path


async def test_health_and_metrics_are_not_at_the_pages_door(rig: GatewayRig) -> None:
    client = await rig.client()
    assert {404} == {(await client.get(path)).status_code for path in ("/metrics", "/livez", "/readyz", "/docs", "/redoc")}


async def test_trace_is_no_method_here(rig: GatewayRig) -> None:
    assert 405 == (await (await rig.client()).request("TRACE", "/")).status_code


async def test_a_method_that_is_not_for_an_address_is_told_which_are(rig: GatewayRig) -> None:
    client = await rig.client()
    assert {"GET", "POST"} == set((await client.request("DELETE", "/sign-in")).headers["allow"].split(", "))
    assert {"POST"} == set((await client.request("GET", "/sign-out")).headers["allow"].split(", "))


async def test_a_parameter_that_is_there_twice_does_no_harm(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("auditor"))
    assert "//evil" not in (await browser.get("/sign-in?next=/a&next=//evil.example")).text
    assert 422 == (await browser.get("/audit?limit=5&limit=x")).status_code


@pytest.mark.parametrize(
    "head",
    [
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n",
    ],
)
async def test_a_message_with_two_lengths_is_not_taken(rig: GatewayRig, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.settings.web_port)
    writer.write(head)
    async with asyncio.timeout(30):
        answer = await reader.read(4096)
    writer.close()
    assert answer == b"" or b" 400 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nReferer: http://[\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nReferer: http://[\r\nContent-Length: 0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nOrigin: http://[\r\nContent-Length: 0\r\n\r\n",
        b"GET /account HTTP/1.1\r\nHost: [\r\nAccept: text/html\r\n\r\n",
    ],
)
async def test_a_header_that_names_no_address_is_no_fault_of_ours(rig: GatewayRig, head: bytes) -> None:
    answer = await told(rig, head)
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 403 ", b"HTTP/1.1 303 ")), answer[:200]


async def test_a_form_in_another_charset_or_packed_is_told_what_to_send(rig: GatewayRig) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n\\ud800\r\n--b--\r\n'
    for charset, status in (("unicode_escape", 415), ("utf-7", 415), ("UTF-8", 403)):
        client = await rig.client(cookie="lm_browser=a", **{"content-type": f"multipart/form-data; boundary=b; charset={charset}"})
        assert status == (await client.post("/sign-in", content=body)).status_code, charset
    packed = await client.post("/api/v1/events", content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    assert (415, "content-encoding") == (packed.status_code, packed.json()["field"])


async def test_nobody_is_led_to_where_a_request_says_that_we_are(rig: GatewayRig) -> None:
    client = await rig.client(host="evil.example")
    page = await client.get("/wall/?all=yes", headers={"accept": "text/html"})
    assert (307, "/wall?all=yes") == (page.status_code, page.headers["location"])
    # A key must not follow it, and from TLS into the open at that.
    assert {404} == {(await client.request(method, "/api/v1/keys/")).status_code for method in ("GET", "POST")}
    assert (await told(rig, b"GET //evil.example/ HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n")).startswith(b"HTTP/1.1 404 ")


# --- what a request may cost


def test_a_text_in_json_that_never_ends_is_looked_through_once() -> None:
    began = time.process_time()
    assert DEPTH_MAX + 1 == depth_of(b"{" * (DEPTH_MAX + 1) + b'\\"' * 500_000)
    assert time.process_time() - began < 10, "it took hours, as each quote in it began another look"
    assert (40, 1, 0) == (depth_of(b"[" * 40 + b']"["'), depth_of(b'["' + b"[" * 40), depth_of(b'"' + b"[" * 40))


async def test_a_form_of_marks_alone_and_an_endless_query_are_not_read(rig: GatewayRig) -> None:
    client = await rig.client()
    form = await client.post("/sign-in", content=b"&" * FIELDS_MAX, headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"})
    query = await client.get(f"/sign-in?{'a&' * 5000}", headers={"accept": "text/html"})
    assert [(400, "too_many_fields"), 414] == [(form.status_code, form.json()["code"]), query.status_code]
    assert "8 KiB" in query.text
    assert 200 == (await client.get(f"/sign-in?next=/{'a' * 500}&{'a&' * 3000}")).status_code


@pytest.mark.parametrize(("begun", "endless"), [(b"0\r\n", b"X-Much: %b\r\n" % (b"a" * 1000)), (b"1;", b"a" * 1000)])
async def test_what_is_around_a_body_and_never_ends_is_ended(rig: GatewayRig, begun: bytes, endless: bytes) -> None:
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await told(rig, head + begun, *[endless * 64] * 32)
    assert answer == b"ended" or answer.startswith(b"HTTP/1.1 431 "), answer[:200]


async def test_a_body_in_the_smallest_pieces_is_taken(rig: GatewayRig) -> None:
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await told(rig, head, *[b"1\r\na\r\n" * 1000] * 40, b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 "), answer[:200]


async def test_nobody_is_waited_for_longer_than_they_may(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "SECONDS_A_MIB", 0.1)
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.1)
    slow = await told(rig, b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
    assert (True, True) == (slow.startswith(b"HTTP/1.1 408 "), b'"too_slow"' in slow), slow
    assert {b""} == {await told(rig, *parts) for parts in ((), (b"GET / HT",))}, "closed, though nobody asked"
    asked = b"GET /offline HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await told(rig, asked)).startswith(b"HTTP/1.1 200 ")


async def test_a_batch_of_somebody_who_may_send_none_is_not_kept_and_they_hear_why(rig: GatewayRig) -> None:
    batch = b"x" * (2 * BODY_MAX)
    unknown = await rig.client(authorization=f"Bearer {new_api_key().key}")
    reading = await rig.client(authorization=f"Bearer {await rig.key(await rig.person('integrator'), 'read_events')}")
    answers = [await client.post("/api/v1/events", content=batch) for client in (unknown, reading)]
    assert [(401, "unknown_key"), (403, "not_allowed")] == [(answer.status_code, answer.json()["code"]) for answer in answers]


async def test_whoever_hangs_up_in_the_middle_is_no_fault_of_ours(rig: GatewayRig) -> None:
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.settings.web_port)
        writer.write(b"POST /api/v1/receipts/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        await writer.drain()
        writer.close()
        await until_logged(lines, 1)
    assert [("info", 499)] == [(line["log_level"], line["status"]) for line in lines if line["event"] == "request"]


async def told(rig: GatewayRig, *parts: bytes) -> bytes:
    """What is answered to these bytes, until the connection ends or all that was announced is there; `ended` where it was reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.gateway.settings.web_port)
    found = b""
    try:
        async with asyncio.timeout(30):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while part := await reader.read(1 << 16):
                found += part
                head, _, body = found.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                if length is not None and len(body) >= int(length[1]):
                    break
    except ConnectionError:
        return b"ended"
    finally:
        writer.close()
    return found


# --- cookies, and who is before us


async def test_over_tls_every_cookie_is_bound_to_this_host(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    person = await rig.person("volunteer")
    async with running_gateway(tmp_path, rig.database, kafka, public_url="https://gateway.example") as secure:
        client = await secure.client(accept="text/html")
        page = await client.get("/sign-in")
        first = page.headers.get_list("set-cookie")
        token = re.search(r'name="csrf" value="([^"]*)"', page.text)
        assert token is not None
        form = {"csrf": token[1], "login": person.login, "password": PASSWORD}
        answer = await client.post("/sign-in", data=form, headers={"cookie": first[0].partition(";")[0]})
    assert 303 == answer.status_code, answer.text
    given = [*first, *answer.headers.get_list("set-cookie")]
    assert {"__Host-lm_browser", "__Host-lm_session", "__Host-lm_device"} == {one.partition("=")[0] for one in given}
    for one in given:
        parts = {part.strip().lower() for part in one.split(";")}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= parts, one
        assert not any(part.startswith("domain") for part in parts)
    for told in (page, answer):
        assert "max-age=31536000; includeSubDomains" == told.headers["strict-transport-security"]


async def test_signing_out_clears_what_the_browser_kept(rig: GatewayRig) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))
    answer = await browser.post("/sign-out", "/account")
    assert '"cache", "storage"' == answer.headers["clear-site-data"]
    assert "lm_session" not in browser.client.cookies


async def test_nobody_says_their_own_address(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    async with running_gateway(tmp_path, rig.database, kafka, rate_factor=0.05, trusted_proxies=None) as alone:
        client = await alone.client()
        answers = [(await client.get("/", headers={"x-forwarded-for": f"10.9.9.{n}", "forwarded": f"for=10.9.9.{n}"})).status_code for n in range(12)]
    assert 429 == answers[-1]


async def test_whoever_has_a_network_of_addresses_is_one_who_asks(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    async with running_gateway(tmp_path, rig.database, kafka, rate_factor=0.05) as measured:
        client = await measured.client()
        answers = [(await client.get("/", headers={"x-forwarded-for": f"2001:db8:7:7::{n:x}:1"})).status_code for n in range(12)]
        other = await client.get("/", headers={"x-forwarded-for": "2001:db8:7:8::1"})
    assert (429, 200) == (answers[-1], other.status_code)


async def test_a_head_that_never_ends_is_ended(rig: GatewayRig) -> None:
    host, _, port = rig.address.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Much: ")
        for _ in range(64):
            await asyncio.sleep(0)
            writer.write(b"a" * (64 << 10))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        with contextlib.suppress(ConnectionError):  # what it still sent meanwhile is nobody's any more
            writer.write(b"\r\n\r\n")
        async with asyncio.timeout(20):
            answer = await reader.readline()
    except ConnectionError:
        answer = b"ended"
    finally:
        writer.close()
    assert not answer.startswith(b"HTTP/1.1 200"), answer


def test_demo_principals_are_refused_where_others_come_in() -> None:
    base: dict[str, Any] = {
        "kafka": "127.0.0.1:1",
        "database": "postgresql://x",
        "board_database": "postgresql://x",
        "identity_keys": "x",
        "demo_principals": True,
    }
    assert Settings(**base).demo_principals
    others: tuple[dict[str, Any], ...] = ({"web_host": "0.0.0.0"}, {"public_url": "https://gateway.example"})
    for open_to_others in others:
        with pytest.raises(ValueError, match="DEMO_PRINCIPALS"):
            Settings(**base, **open_to_others)


async def test_where_others_come_in_a_demonstrations_account_is_nobody_by_key_and_by_session_too(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    person, ordinary = await rig.person("integrator"), await rig.person("integrator")
    await rig.owner.execute("UPDATE gateway.accounts SET demo = true WHERE account_id = $1", person.account_id)
    key, session = await rig.key(person, "see_own"), (await rig.signed_in(person)).client.cookies["lm_session"]
    other = await rig.key(ordinary, "see_own")
    assert 200 == (await (await rig.client(authorization=f"Bearer {key}")).get("/account")).status_code
    async with running_gateway(tmp_path, rig.database, kafka, public_url="https://gateway.example") as public:
        assert 401 == (await (await public.client(authorization=f"Bearer {key}")).get("/account")).status_code
        assert 401 == (await (await public.client(cookie=f"__Host-lm_session={session}")).get("/account")).status_code
        assert 200 == (await (await public.client(authorization=f"Bearer {other}")).get("/account")).status_code


async def test_where_there_is_no_provider_nobody_comes_back_from_it_and_nothing_is_written(rig: GatewayRig) -> None:
    before = await rig.owner.fetchval("SELECT count(*) FROM gateway.audit")
    assert 404 == (await (await rig.browser()).get("/sign-in/oidc/callback?state=a&code=b")).status_code
    assert before == await rig.owner.fetchval("SELECT count(*) FROM gateway.audit")


async def test_while_the_provider_is_away_nobody_comes_in_by_it(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    away = {"oidc_issuer": f"http://127.0.0.1:{free_port()}", "oidc_audience": "api"}
    async with running_gateway(tmp_path, rig.database, kafka, **away) as lonely:
        browser = await lonely.browser()
        assert 503 == (await browser.get("/sign-in/oidc")).status_code
        header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"a"}').decode().rstrip("=")
        assert 401 == (await (await lonely.client(authorization=f"Bearer {header}.e30.AAAA")).get("/account")).status_code
        assert 303 == (await browser.sign_in(await rig.person("volunteer"))).status_code


async def test_an_address_that_is_not_this_machines_is_a_wrong_setting_told_by_name(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    with pytest.raises(
        BadSettings, match=r"环境变量 LASTMETRE_WEB_HOST 不合规：192\.0\.2\.1 .+ \| .+ LASTMETRE_WEB_HOST is not valid: 192\.0\.2\.1 is no address"
    ):
        async with running_gateway(tmp_path, rig.database, kafka, web_host="192.0.2.1"):
            pass


# --- what one account holds


async def test_one_account_alone_does_not_hold_every_stream(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    browser, other = await rig.signed_in(person), await rig.signed_in(await rig.person("volunteer"))
    async with AsyncExitStack() as open_streams:
        for _ in range(STREAMS):
            one = await open_streams.enter_async_context(browser.client.stream("GET", "/live"))
            assert 200 == one.status_code
        refused = await browser.client.get("/live", headers={"accept": "text/event-stream"})
        assert (429, "too_many_streams") == (refused.status_code, refused.json()["code"])
        assert {"zh", "en"} <= set(refused.json())
        assert 0 < int(refused.headers["retry-after"])
        assert 429 == (await (await rig.signed_in(person)).get("/live")).status_code, "another browser of theirs is theirs, too"
        async with other.client.stream("GET", "/live") as theirs:
            assert 200 == theirs.status_code
    async with asyncio.timeout(30):
        while len(rig.gateway.hub):  # noqa: ASYNC110 - the server sees by and by that they left
            await asyncio.sleep(0.05)
    async with browser.client.stream("GET", "/live") as again:
        assert 200 == again.status_code


def test_many_may_be_connected_where_a_process_begins_with_few_files() -> None:
    begun_with, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, most))
    try:
        open_many()
        assert (16_384 if most == resource.RLIM_INFINITY else min(most, 16_384)) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (begun_with, most))


async def test_only_who_may_publish_events_has_the_measure_of_those_who_do(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    integrator = await rig.person("integrator")
    publishing, reading = await rig.key(integrator, "publish_events"), await rig.key(await rig.person("integrator"), "read_events")
    async with running_gateway(tmp_path, rig.database, kafka, rate_factor=0.2) as limited:
        found = {}
        for key in (publishing, reading):
            client = await limited.client(authorization=f"Bearer {key}")
            found[key] = [(await client.post("/api/v1/events", json={})).status_code for _ in range(12)]
    assert {422} == set(found[publishing])
    assert (403, 429) == (found[reading][0], found[reading][-1])


# --- faults and logs


async def until_logged(lines: list[Any], count: int) -> None:
    """A request's line is written when its answer is out."""
    async with asyncio.timeout(30):
        while sum(line["event"] == "request" for line in lines) < count:  # noqa: ASYNC110 - another task writes into the list
            await asyncio.sleep(0.01)


async def test_what_nobody_foresaw_is_told_in_general_words(rig: GatewayRig, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await rig.signed_in(await rig.person("volunteer"))

    async def fail(_account: str) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr(rig.identity.store, "sessions", fail)
    with capture_logs() as lines:
        answer = await browser.get("/account")
        await until_logged(lines, 1)
    assert (500, {"code", "zh", "en"}) == (answer.status_code, set(answer.json()))
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert [("error", 500)] == [(line["log_level"], line["status"]) for line in lines if line["event"] == "request"]


async def test_a_database_that_lets_nobody_in_is_told_as_away_and_not_as_our_mistake(rig: GatewayRig) -> None:
    person = await rig.signed_in(await rig.person("volunteer"))
    outside = await asyncpg.connect(rig.database.server.owner_dsn(rig.database.server.maintenance))
    try:
        await outside.execute(f'ALTER DATABASE "{rig.database.name}" ALLOW_CONNECTIONS false')
        await rig.owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        with capture_logs() as lines:
            page = await person.get("/account")
            program = await (await rig.client(authorization="Bearer lmk_0123456789abcdef_x")).get("/api/v1/events")
            await until_logged(lines, 2)
    finally:
        await outside.execute(f'ALTER DATABASE "{rig.database.name}" ALLOW_CONNECTIONS true')
        await outside.close()
    for answer in (page, program):
        assert (503, "2") == (answer.status_code, answer.headers.get("retry-after")), answer.text
    assert "服务暂时不可用" in page.text
    assert not [line for line in lines if "exc_info" in line]
    assert 2 == sum(line["event"] == "database_away" for line in lines)
    assert 200 == (await person.get("/account")).status_code


async def test_the_log_has_no_query_no_address_and_no_secret(rig: GatewayRig) -> None:
    person = await rig.person("auditor")
    with capture_logs() as lines:
        browser = await rig.signed_in(person)
        await browser.get("/audit?limit=7&phone=13812345678", headers={"x-forwarded-for": "10.77.77.77"})
        await until_logged(lines, 3)
    told = json.dumps(lines, default=str)
    secrets = [cookie.value or "" for cookie in browser.client.cookies.jar]
    assert 2 <= len(secrets)
    assert [] == [word for word in (*secrets, "13812345678", "10.77.77.77", PASSWORD, "limit=7") if word in told]
    last = lines[-1]
    assert ("/audit", "GET", 200, person.account_id, "session") == (last["route"], last["method"], last["status"], last["account"], last["via"])
    line = json.loads(render(None, "info", dict(last)))
    assert line["at"].endswith("Z")


async def test_nobody_writes_a_line_of_the_log(rig: GatewayRig) -> None:
    client = await rig.client()
    with capture_logs() as lines:
        await client.get("/" + quote('x\n{"level":"error"}\r\n'))
        await until_logged(lines, 1)
    assert ["unmatched"] == [line["route"] for line in lines if line["event"] == "request"]
    assert 0 == render(None, "info", {"event": 'a\n{"level":"error"}'}).count(b"\n")


async def test_what_is_refused_at_the_edge_is_counted(rig: GatewayRig) -> None:
    def counted() -> float:
        return rig.registry.get_sample_value("lastmetre_gateway_refused_total", {"why": "depth"}) or 0.0

    before = counted()
    await (await rig.client()).post("/sign-in", content=b"[" * 100, headers={"content-type": "application/json"})
    assert before + 1 == counted()
    names = {label for family in rig.registry.collect() for sample in family.samples for label in sample.labels}
    assert {"route", "method", "status", "why", "le"} == names


async def test_every_sign_in_is_in_the_audit_log_also_one_that_failed(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    before = await rig.owner.fetchval("SELECT max(seq) FROM gateway.audit") or 0
    browser = await rig.browser()
    await browser.sign_in(person, "not the password at all")
    await browser.sign_in(person)
    await browser.post("/sign-out", "/account")
    rows = await rig.owner.fetch("SELECT act, outcome, who FROM gateway.audit WHERE seq > $1 ORDER BY seq", before)
    assert [("sign_in", "denied", None), ("sign_in", "allowed", person.account_id), ("sign_out", "allowed", person.account_id)] == [tuple(row) for row in rows]


# --- secrets


async def test_a_password_may_be_any_sentence(rig: GatewayRig) -> None:
    person = await rig.person("volunteer")
    browser = await rig.signed_in(person)
    sentence = "  七只船过一座桥, é 🚢 and nobody counts them; " + "one after another they go by " * 2
    assert 64 < len(sentence) <= 128
    assert 303 == (await browser.post("/account/password", "/account", present=PASSWORD, new=sentence)).status_code
    for other in (sentence.strip(), sentence.upper(), sentence[:64]):
        assert 401 == (await (await rig.browser()).sign_in(person, other)).status_code
    # As another keyboard would send it: the same characters, taken apart.
    assert 303 == (await (await rig.browser()).sign_in(person, unicodedata.normalize("NFD", sentence))).status_code


async def test_passwords_are_kept_by_argon2id_at_no_less_than_the_documented_cost() -> None:
    passwords = Passwords()
    assert (await passwords.hash("any sentence at all")).startswith("$argon2id$v=19$m=28672,t=2,p=1$")
    assert passwords.is_outdated(await Passwords(memory_kib=64).hash("any sentence at all"))


def test_what_nobody_may_guess_is_long_and_random() -> None:
    made = {new_secret() for _ in range(100)} | {new_api_key().key.split("_", 2)[2] for _ in range(100)}
    assert 200 == len(made)
    assert {32} == {len(base64.urlsafe_b64decode(one + "=")) for one in made}
    assert 20 == len(base64.b32decode(second_factor.new_secret()))
    letters = random_password().replace("-", "")
    assert 128 <= len(letters) * math.log2(31)


@pytest.mark.parametrize(("around", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_good_for_its_half_minute_and_one_beside_it(around: int, good: bool) -> None:
    keys, secret, now = Keys.of(NEW), second_factor.new_secret(), 1_764_000_000.0
    sealed = second_factor.seal(keys, secret, "account-1")
    code = pyotp.TOTP(secret).generate_otp(int(now // 30) + around)
    assert good == (second_factor.matching_step(keys, sealed, "account-1", code, now) is not None)


def test_what_is_sealed_opens_for_whom_it_was_sealed_alone() -> None:
    keys = Keys.of(NEW)
    sealed = keys.seal("totp", b"secret", "account-1")
    assert b"secret" == keys.unseal("totp", sealed, "account-1")
    assert b"secret" not in sealed
    wrong = [("totp", sealed, "account-2"), ("other", sealed, "account-1"), ("totp", sealed[:-1] + bytes([sealed[-1] ^ 1]), "account-1"), ("totp", b"", "a")]
    for purpose, value, who in wrong:
        with pytest.raises(DoesNotOpen):
            keys.unseal(purpose, value, who)
    with pytest.raises(DoesNotOpen):
        Keys.of(OLD).unseal("totp", sealed, "account-1")


def test_keys_turn_over_and_what_the_old_ones_sealed_still_opens() -> None:
    sealed = Keys.of(OLD).seal("totp", b"secret", "account-1")
    both = Keys.of(NEW, OLD)
    assert b"secret" == both.unseal("totp", sealed, "account-1")
    assert sealed[:8] != both.seal("totp", b"secret", "account-1")[:8]


# --- how much of a wish somebody sees

HERE = Place(community="jianmin", compound="xincun")
RESIDENT, GUARDIAN, HELPER = "res-1", "res-1", "vol-1"


def somebody(role: Role, scope: Scope, *, volunteer: str | None = None, resident: str | None = None) -> Principal:
    return Principal("a", frozenset({role}), scope, volunteer, frozenset({resident} if resident else ()))


@pytest.mark.parametrize(
    ("who", "of_a_child", "of_an_adult"),
    [
        (None, Detail.NONE, Detail.NONE),
        (somebody(Role.GUARDIAN, Scope(AREA), resident=GUARDIAN), Detail.FULL, Detail.FULL),
        (somebody(Role.RESIDENT, Scope(AREA), resident="res-2"), Detail.NONE, Detail.NONE),
        (somebody(Role.VOLUNTEER, Scope(AREA), volunteer=HELPER), Detail.FULL, Detail.FULL),
        (somebody(Role.VOLUNTEER, Scope(AREA), volunteer="vol-2"), Detail.MASKED, Detail.MASKED),
        (somebody(Role.VOLUNTEER, Scope("elsewhere"), volunteer="vol-2"), Detail.NONE, Detail.NONE),
        (somebody(Role.WORKER, Scope(AREA, "jianmin")), Detail.FULL, Detail.FULL),
        (somebody(Role.WORKER, Scope(AREA, "fujiahe")), Detail.NONE, Detail.NONE),
        (somebody(Role.AUDITOR, Scope(AREA)), Detail.MASKED, Detail.FULL),
        (somebody(Role.INTEGRATOR, Scope(AREA)), Detail.NONE, Detail.NONE),
        (somebody(Role.ADMIN, Scope(AREA)), Detail.NONE, Detail.NONE),
    ],
)
def test_of_a_minors_wish_only_those_who_must_see_all(who: Principal | None, of_a_child: Detail, of_an_adult: Detail) -> None:
    def wish(*, minor: bool) -> Thing:
        return Thing(AREA, HERE, RESIDENT, frozenset({HELPER}), minor=minor)

    assert (of_a_child, of_an_adult) == (detail(who, wish(minor=True)), detail(who, wish(minor=False)))
