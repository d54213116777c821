"""Keys, and what their holders are told: what a form makes it makes once, and whatever is refused names what is wrong and what to do instead."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import pytest

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from services.gateway.door import answers, examples
from tests.integration.gateway_rig import Browser, GatewayRig, own_database, running_gateway

_FORM = re.compile(r'<form method="post" action="(/keys[^"]*)".*?</form>', re.DOTALL)
_HIDDEN = re.compile(r'name="(csrf|once)" value="([^"]+)"')
_SECRET = re.compile(r"<code>(lmk_[^<]+)</code>")
_ID = re.compile(r"<td><code>([0-9a-f]{16})</code></td>")
NEW = {"name": "app", "scopes": "read_events"}


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    folder = tmp_path_factory.mktemp("keys")
    async with own_database(postgres, "gateway_keys_page") as database, running_gateway(folder, database, kafka) as running:
        yield running


@pytest.fixture
async def integrator(rig: GatewayRig) -> Browser:
    found = await rig.signed_in(await rig.person("integrator"))
    found.client.headers["accept-language"] = "en"
    return found


def hidden(page: str, action: str) -> dict[str, str]:
    """What the page put into the form with this action."""
    form = next(found[0] for found in _FORM.finditer(page) if found[1] == action)
    return dict(_HIDDEN.findall(form))


def secret_of(answer: httpx.Response) -> str:
    found = _SECRET.search(answer.text)
    assert found is not None, answer.status_code
    return found[1]


async def holds(rig: GatewayRig, key: str) -> bool:
    client = await rig.client(authorization=f"Bearer {key}")
    return (await client.get("/api/v1/events", params={"topic": "matches"})).status_code == 200


async def test_a_form_that_is_sent_again_makes_no_second_key(rig: GatewayRig, integrator: Browser) -> None:
    form = NEW | hidden((await integrator.get("/keys")).text, "/keys")
    first = await integrator.client.post("/keys", data=form)
    key = secret_of(first)
    again = await integrator.client.post("/keys", data=form)  # F5

    assert (200, 409) == (first.status_code, again.status_code)
    assert "was made then and shown once" in again.text
    assert key not in again.text
    assert [key.split("_")[1]] == _ID.findall(again.text)
    assert await holds(rig, key)
    anew = NEW | hidden(again.text, "/keys")
    assert 200 == (await integrator.client.post("/keys", data=anew)).status_code


async def test_a_rotation_that_is_sent_again_ends_nothing(rig: GatewayRig, integrator: Browser) -> None:
    made = await integrator.client.post("/keys", data=NEW | hidden((await integrator.get("/keys")).text, "/keys"))
    old = secret_of(made)
    rotate = f"/keys/{old.split('_')[1]}/rotate"
    form = hidden(made.text, rotate)
    rotated = await integrator.client.post(rotate, data=form)
    new = secret_of(rotated)
    again = await integrator.client.post(rotate, data=form)

    assert (409, None) == (again.status_code, _SECRET.search(again.text))
    assert new.split("_")[1] in again.text
    assert [True, True] == [await holds(rig, key) for key in (old, new)]
    # A form of a page that was loaded anew is meant so: two of a rotation hold.
    assert 200 == (await integrator.client.post(rotate, data=hidden(again.text, rotate))).status_code


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"per_minute": "0"}, "write a whole number of 1 or more"),
        ({"per_day": "a few"}, "write a whole number of 1 or more"),
        ({"name": " "}, "write a name"),
        ({"name": "a\0b"}, "field name is not valid: remove the control characters"),
        ({"scopes": ""}, "choose one use at least"),
    ],
)
async def test_whoever_fills_in_the_form_is_told_what_to_write_and_not_where_the_description_of_the_api_is(
    integrator: Browser, wrong: dict[str, str], told: str
) -> None:
    form = {name: value for name, value in (NEW | wrong | hidden((await integrator.get("/keys")).text, "/keys")).items() if value}
    answer = await integrator.client.post("/keys", data=form)
    assert (422, True, False) == (answer.status_code, told in answer.text, "openapi" in answer.text)


async def test_whoever_revokes_a_key_is_told_that_it_has_ended(rig: GatewayRig, integrator: Browser) -> None:
    made = await integrator.client.post("/keys", data=NEW | hidden((await integrator.get("/keys")).text, "/keys"))
    key = secret_of(made)
    revoke = f"/keys/{key.split('_')[1]}/revoke"
    revoked = await integrator.client.post(revoke, data=hidden(made.text, revoke))
    assert "The key is revoked: it holds no longer." in revoked.text
    assert not await holds(rig, key)


async def test_one_page_has_a_form_for_each_thing_and_each_is_good_once(integrator: Browser) -> None:
    page = (await integrator.client.post("/keys", data=NEW | hidden((await integrator.get("/keys")).text, "/keys"))).text
    rotate = f"/keys/{_ID.findall(page)[0]}/rotate"
    assert [200, 200] == [
        (await integrator.client.post(path, data=NEW | hidden(page, path))).status_code for path in (rotate, "/keys")
    ]  # the other one of a page in a second tab


async def test_what_is_used_today_is_told_where_it_is_counted(rig: GatewayRig, integrator: Browser) -> None:
    for quota in ({"per_minute": "50"}, {"per_day": "40"}):
        made = await integrator.client.post("/keys", data=NEW | quota | hidden((await integrator.get("/keys")).text, "/keys"))
        key_id = secret_of(made).split("_")[1]
        for seconds in (60, 86_400):
            await rig.owner.execute(
                "INSERT INTO gateway.key_usage SELECT $1, account_id, $2, date_trunc('day', now()), 7 FROM gateway.api_keys WHERE key_id = $1"
                " AND ($2 = 60 OR $3)", key_id, seconds, "per_day" in quota,
            )  # fmt: skip
        row = (await integrator.get("/keys")).text.partition(f"<code>{key_id}</code>")[2].partition("</tr>")[0]
        assert f'<td class="num">{"7" if "per_day" in quota else "–"}</td>' in row
    listed = await integrator.client.get("/api/v1/keys", headers={"accept": "application/json"})
    assert {None, 7} == {key["used_today"] for key in listed.json()["keys"]}


# --- what a program is told


async def test_the_document_says_by_what_one_is_known_and_what_is_answered_to_whoever_is_not(rig: GatewayRig) -> None:
    document = (await (await rig.client()).get("/api/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert {("http", "bearer"), ("apiKey", None)} == {(scheme["type"], scheme.get("scheme")) for scheme in schemes.values()}
    assert "lm_session" == schemes["session"]["name"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            named = {name for one in operation["security"] for name in one}
            assert named <= set(schemes), (path, method)
            if not path.startswith("/api/"):
                continue
            assert bool(named) == (operation["x-act"] != "open_page" or "receipts" in path), (path, method)
            if "key" in named:
                for status in ("401", "403", "429"):
                    body = operation["responses"][status]["content"]["application/json"]
                    assert "#/components/schemas/Problem" == body["schema"]["$ref"], (path, method, status)
                    assert {"code", "zh", "en"} <= set(body["example"]), (path, method, status)


async def test_a_key_that_is_not_good_is_told_what_is_wrong_with_it_and_not_whether_there_is_one(rig: GatewayRig) -> None:
    person = await rig.person("integrator")
    good = await rig.key(person, "read_events")
    ended = await rig.key(person, "read_events", expires_at=datetime.now(UTC) - timedelta(hours=1))
    revoked = await rig.key(person, "read_events")
    await rig.owner.execute("UPDATE gateway.api_keys SET revoked_at = now() WHERE key_id = $1", revoked.split("_")[1])
    other = "A" * 43
    shown = {
        None: "sign_in",
        good: "no_bearer",
        f"Basic {good}": "no_bearer",
        "Bearer": "no_bearer",
        "Bearer lmk_": "malformed_key",
        f"Bearer {good[:20]}": "malformed_key",
        f"Bearer lmk_{good.split('_')[1]}_{other}": "unknown_key",
        f"Bearer lmk_0123456789abcdef_{other}": "unknown_key",
        f"Bearer {ended}": "key_ended",
        f"Bearer {revoked}": "key_ended",
        "Bearer eyJhbGciOiJub25lIn0.e30.": "bad_token",
    }
    client = await rig.client()
    said = {}
    for header, code in shown.items():
        answer = await client.get("/api/v1/keys", headers={} if header is None else {"authorization": header})
        told = answer.json()
        assert (401, code, "authorization", "Bearer") == (answer.status_code, told["code"], told["field"], answer.headers["www-authenticate"]), header
        assert "Authorization" in told["zh"]
        assert "Authorization" in told["en"]
        said[header] = answer.content
    assert said[f"Bearer lmk_{good.split('_')[1]}_{other}"] == said[f"Bearer lmk_0123456789abcdef_{other}"]
    # Of an account that is shut, or reset, to whoever has the whole key alone.
    await rig.owner.execute("UPDATE gateway.accounts SET must_change = true WHERE account_id = $1", person.account_id)
    held = (f"Bearer {good}", f"Bearer lmk_{good.split('_')[1]}_{other}A")
    assert ["account_rests", "unknown_key"] == [(await client.get("/api/v1/keys", headers={"authorization": one})).json()["code"] for one in held]


async def test_every_code_that_a_program_may_meet_is_in_the_catalogue(rig: GatewayRig) -> None:
    page = (await (await rig.client()).get("/catalogue")).text
    for code in (
        "sign_in",
        "invalid",
        "not_allowed",
        "method",
        "too_large",
        "no_bearer",
        "malformed_key",
        "unknown_key",
        "key_ended",
        "account_rests",
        "form",
        *answers.CODES,
    ):
        assert f"<code>{code}</code>" in page, code


async def signed(rig: GatewayRig, *acts: str) -> httpx.AsyncClient:
    return await rig.client(authorization=f"Bearer {await rig.key(await rig.person('integrator'), *acts)}")


@pytest.mark.parametrize("given", [{"since": "2026-11-25T08:00:00"}, {"since": "yesterday"}, {"since": "20261125"}])
async def test_a_time_without_an_offset_is_refused_as_any_other_that_is_none(rig: GatewayRig, given: dict[str, str]) -> None:
    client = await signed(rig, "read_events", "manage_webhooks")
    hook = {"url": "https://app.example/x"}
    for answer in (
        await client.get("/api/v1/events", params={"topic": "matches"} | given),
        await client.post("/api/v1/webhooks", json=hook | given),
        await client.post("/api/v1/webhooks/wh0123456789abcdef/replay", json=given),
    ):
        told = answer.json()
        assert (422, "invalid", "since") == (answer.status_code, told["code"], told["field"])
        assert "RFC 3339" in told["en"]


async def test_a_body_that_cannot_be_read_is_told_so_and_no_field_is_named_that_is_none(rig: GatewayRig) -> None:
    client = await signed(rig, "manage_webhooks")
    sent = {b"{": (400, "not_json", "syntax"), b"[]": (422, "invalid", "JSON object"), b"": (422, "invalid", "JSON object")}
    for body, (status, code, fix) in sent.items():
        answer = await client.post("/api/v1/webhooks", content=body, headers={"content-type": "application/json"})
        told = answer.json()
        assert (status, code, "body", True) == (answer.status_code, told["code"], told["field"], fix in told["en"]), body
    document = (await client.get("/api/openapi.json")).json()
    assert "not_json" == document["paths"]["/api/v1/webhooks"]["post"]["responses"]["400"]["content"]["application/json"]["example"]["code"]


async def test_whoever_names_what_there_is_not_is_told_what_there_is(rig: GatewayRig, integrator: Browser) -> None:
    client = await signed(rig, "read_events", "manage_webhooks")
    hook = {"url": "https://app.example/x", "types": ["lastmetre.match.confirmed.v1"]}
    wrong = (await client.post("/api/v1/webhooks", json=hook | {"types": ["lastmetre.wish.submitted.v1"]})).json()
    assert ("bad_value", "types") == (wrong["code"], wrong["field"])
    assert all("lastmetre.match.confirmed.v1" in wrong[language] for language in ("zh", "en"))
    made = (await client.post("/api/v1/webhooks", json=hook)).json()
    replay = f"/api/v1/webhooks/{made['webhook_id']}/replay"
    for given, code, field in (
        ({}, "missing_field", "since"),
        ({"topic": "confirmations"}, "missing_field", "after"),
        ({"after": "x"}, "bad_value", "topic"),
        ({"after": "x", "topic": "matches"}, "bad_value", "topic"),
    ):
        answer = await client.post(replay, json=given)
        assert (422, code, field) == (answer.status_code, answer.json()["code"], answer.json()["field"]), given
        assert ("confirmations" in answer.json()["en"]) == (field == "topic")
    csrf = {"x-csrf": await integrator.token("/keys"), "accept": "application/json"}
    for change, field, fix in (
        ({"scopes": ["fly"]}, "scopes", "read_events"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "after now"),
        ({"name": " "}, "name", "1 character"),
        ({"name": "a\0b"}, "name", "control characters"),
    ):
        told = (await integrator.client.post("/api/v1/keys", json={"name": "app"} | change, headers=csrf)).json()
        assert (field, True) == (told["field"], fix in told["en"]), told


async def test_no_key_is_made_for_what_its_account_may_not_do_and_no_webhook_by_one_that_reads_nothing(rig: GatewayRig) -> None:
    admin = await rig.signed_in(await rig.person("admin"))
    told = (await admin.client.post("/api/v1/keys", json={"name": "app"}, headers={"x-csrf": await admin.token("/keys"), "accept": "application/json"})).json()
    assert ("bad_value", "scopes", "send one of manage_webhooks") == (told["code"], told["field"], told["en"].partition(": ")[2])
    owner = await rig.person("integrator")
    reads, other = [await rig.client(authorization=f"Bearer {await rig.key(owner, 'manage_webhooks', *acts)}") for acts in (["read_events"], [])]
    shown = (await admin.client.get("/keys")).text  # those of others may be ended, and no more
    assert [True, True, False, False] == [one in shown for one in ("他人的", '/revoke"', '/rotate"', 'value="publish_events"')]
    hook = (await reads.post("/api/v1/webhooks", json={"url": "https://app.example/x"})).json()
    resume = f"/api/v1/webhooks/{hook['webhook_id']}/resume"
    for answer in (await other.post("/api/v1/webhooks", json={"url": "https://app.example/x"}), await other.post(resume)):
        told = answer.json()
        assert (403, "out_of_scope", True) == (answer.status_code, told["code"], "a key that was made for read_events" in told["en"])
    assert 200 == (await reads.post(resume)).status_code


async def test_what_is_too_large_is_told_how_large_it_may_be(rig: GatewayRig) -> None:
    client = await signed(rig, "publish_events", "manage_webhooks")
    for path, most in (("/api/v1/events", 8), ("/api/v1/webhooks", 1)):
        answer = await client.post(path, content=b" " * (most * 1024 * 1024 + 1), headers={"content-type": "application/json"})
        told = answer.json()
        assert (413, "too_large") == (answer.status_code, told["code"])
        assert all(f"{most} MiB" in told[language] for language in ("zh", "en"))


async def test_whoever_sends_too_much_at_one_go_reads_why_it_was_not_taken(rig: GatewayRig) -> None:
    # A connection for one request, as many clients have it: it is closed with the answer, whether or not all was sent.
    request = Request(f"{rig.address}/api/v1/events", b" " * (9 << 20), {"connection": "close"})
    with pytest.raises(HTTPError) as fault:
        await asyncio.to_thread(urlopen, request)
    assert (413, "too_large") == (fault.value.code, json.loads(fault.value.read())["code"])


async def test_a_type_that_only_services_write_is_refused_before_anything_in_it_is_judged(rig: GatewayRig) -> None:
    client = await signed(rig, "publish_events")
    event = examples.structured("match.confirmed.v1") | {"data": {}}
    structured, batched = ({"content-type": f"application/cloudevents{batch}+json"} for batch in ("", "-batch"))
    binary = {f"ce-{name}": str(event[name]) for name in ("specversion", "id", "type", "time", "subject", "partitionkey")}
    for headers, body in ((structured, event), (binary | {"content-type": "application/json"}, {})):
        answer = await client.post("/api/v1/events", content=json.dumps(body), headers=headers)
        assert (403, "type_not_allowed") == (answer.status_code, answer.json()["code"])
    batch = await client.post("/api/v1/events", content=json.dumps([event]), headers=batched)
    assert [(403, "type_not_allowed")] == [(one["status"], one["code"]) for one in batch.json()["results"]]
