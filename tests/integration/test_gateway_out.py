"""What the door gives out: events read from a position, webhooks, keys with their quotas, the catalogue. Over a real Kafka and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy import hightech, migrate
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.state import ROOT
from schemas import errors
from schemas.registry import MODEL_OF
from services.gateway.database import Database
from services.gateway.door import examples, keys
from services.gateway.door.answers import Refused
from services.gateway.door.positions import written
from services.gateway.door.quotas import Quotas
from services.gateway.door.subscriptions import MAX_OF_ACCOUNT
from services.gateway.roles import Principal, Role, Scope
from tests.conftest import TEMPLATE
from tests.integration.door_rig import DEADLINE_SECONDS, INTEGRATOR, Gateway, Receiver, account, decided, integrator, is_signed, lying_on, running
from tests.listening import listening

CONFIRMED = "lastmetre.match.confirmed.v1"
CLOSED = "lastmetre.match.closed.v1"
EVENTS = "/api/v1/events"
HOOKS = "/api/v1/webhooks"
SAMPLE_AREA = hightech.AREA
RECEIPTS = b"a-secret-for-receipts"


@pytest.fixture(scope="module")
async def door(kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    name = f"door_{uuid4().hex[:8]}"
    await migrate.prepare(postgres, name, template=TEMPLATE)
    folder = tmp_path_factory.mktemp("door")
    settings = {
        "LASTMETRE_DOOR_SECRET": "a-secret-of-the-tests-with-forty-characters",
        "LASTMETRE_WEBHOOK_PRIVATE": "1",
        "LASTMETRE_WEBHOOK_BACKOFF_SECONDS": "0.05",
        "LASTMETRE_WEBHOOK_GIVE_UP_SECONDS": "1",
        "LASTMETRE_RECEIPT_SECRETS": json.dumps({"sms": RECEIPTS.decode()}),
    }
    async with running(folder, kafka.bootstrap, postgres, name, **settings) as gateway:
        yield gateway
    await migrate.drop(postgres, name)
    shutil.rmtree(folder)


@pytest.fixture
def area() -> str:
    """An area of the test's own, so that no other test's events are among its own."""
    return f"a{uuid4().hex[:12]}"


@pytest.fixture
async def http(door: Gateway, area: str) -> AsyncIterator[httpx.AsyncClient]:
    await account(door, f"app-{area}", area)
    async with door.caller(integrator(area)) as client:
        yield client


# --- reading


async def test_reads_an_areas_events_in_order_and_goes_on_from_a_position(door: Gateway, http: httpx.AsyncClient, area: str) -> None:
    other = f"b{area[1:]}"
    ids = await decided(door, area, 3)
    await decided(door, other, 2)
    ids += await decided(door, area, 2)

    first = (await http.get(EVENTS, params={"topic": "confirmations", "limit": 3})).json()
    rest = (await http.get(EVENTS, params={"topic": "confirmations", "after": first["next"]})).json()
    none = (await http.get(EVENTS, params={"topic": "confirmations", "after": rest["next"]})).json()
    again = (await http.get(EVENTS, params={"topic": "confirmations", "after": first["next"]})).json()
    lost = (await http.get(EVENTS, params={"topic": "confirmations", "after": written("confirmations", area, 10**6), "limit": 500})).json()

    assert ids == [event["id"] for event in (*first["events"], *rest["events"])]
    assert ([], False, False) == (none["events"], none["more"], none["gap"])
    assert rest["events"] == again["events"]
    assert (ids, True) == ([event["id"] for event in lost["events"]], lost["gap"]), "whoever comes from behind the end begins anew"
    assert {area} == {event["data"]["area"] for event in first["events"]}


async def test_waits_for_the_first_event_where_none_is_there(door: Gateway, http: httpx.AsyncClient, area: str) -> None:
    at = (await http.get(EVENTS, params={"topic": "confirmations"})).json()["next"]
    waiting = asyncio.create_task(http.get(EVENTS, params={"topic": "confirmations", "after": at, "wait": 30}))
    ids = await decided(door, area, 1)

    assert ids == [event["id"] for event in (await waiting).json()["events"]]


async def test_a_key_that_is_revoked_while_somebody_waits_with_it_reads_nothing_of_what_came_then(door: Gateway, http: httpx.AsyncClient, area: str) -> None:
    made = (await http.post("/api/v1/keys", json={"name": "app"})).json()
    at = (await http.get(EVENTS, params={"topic": "confirmations"})).json()["next"]
    async with httpx.AsyncClient(base_url=door.url, headers={"authorization": f"Bearer {made['key']}"}, timeout=30, trust_env=False) as program:
        waiting = asyncio.create_task(program.get(EVENTS, params={"topic": "confirmations", "after": at, "wait": 20}))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(one["last_used_at"] for one in (await http.get("/api/v1/keys")).json()["keys"]):
                assert not waiting.done()
        assert 204 == (await http.delete(f"/api/v1/keys/{made['key_id']}")).status_code
        await decided(door, area, 1)
        answer = await waiting
    assert (401, "key_ended") == (answer.status_code, answer.json()["code"])


async def test_one_account_alone_does_not_hold_every_place_to_wait(door: Gateway, http: httpx.AsyncClient, area: str) -> None:
    at = (await http.get(EVENTS, params={"topic": "confirmations"})).json()["next"]
    waiting = [asyncio.create_task(http.get(EVENTS, params={"topic": "confirmations", "after": at, "wait": 30})) for _ in range(5)]
    done, still = await asyncio.wait(waiting, timeout=DEADLINE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = [task.result() for task in done]

    assert (429, "too_many_waiting") == (refused.status_code, refused.json()["code"])
    assert 0 < int(refused.headers["retry-after"])
    assert 200 == (await http.get(EVENTS, params={"topic": "confirmations", "after": at})).status_code, "who does not wait is not kept out"
    async with door.caller({**integrator(area), "account": "another-app"}) as other:
        theirs = asyncio.create_task(other.get(EVENTS, params={"topic": "confirmations", "after": at, "wait": 30}))
        ids = await decided(door, area, 1)
        assert [ids] * 5 == [[event["id"] for event in (await one).json()["events"]] for one in (*still, theirs)]
    again = await http.get(EVENTS, params={"topic": "confirmations", "after": at, "wait": 30})
    assert 200 == again.status_code, "a place that was given back is there again"


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"topic": "confirmations", "after": "no position"}, 400, "bad_cursor"),
        ({"topic": "confirmations", "after": base64.urlsafe_b64encode(b"matches:0:1").decode()}, 400, "bad_cursor"),
        ({"topic": "confirmations", "since": "2026-11-25T08:00:00"}, 422, "invalid"),
    ],
)
async def test_refuses_a_position_that_it_did_not_give_out(http: httpx.AsyncClient, parameters: dict[str, str], status: int, code: str) -> None:
    answer = await http.get(EVENTS, params=parameters)

    assert (status, code) == (answer.status_code, answer.json()["code"])


async def test_reads_only_whole_areas_and_no_topic_that_others_write(door: Gateway, http: httpx.AsyncClient, area: str) -> None:
    async with door.caller(integrator(area, community="c-1")) as narrow:
        assert 403 == (await narrow.get(EVENTS, params={"topic": "matches"})).status_code
    assert 422 == (await http.get(EVENTS, params={"topic": "wishes"})).status_code


@pytest.mark.parametrize(
    ("parameters", "field", "zh", "en"),
    [
        ({"limit": "0"}, "limit", "字段 limit 不合规：不能小于 1", "field limit is not valid: send 1 or more"),
        ({"limit": "many"}, "limit", "字段 limit 不合规：应为整数", "field limit is not valid: send a whole number"),
        ({"wait": "31"}, "wait", "字段 wait 不合规：不能大于 30", "field wait is not valid: send 30 or less"),
        (
            {"topic": "wishes"},
            "topic",
            "字段 topic 不合规：应为下列之一：matches, confirmations",
            "field topic is not valid: send one of matches, confirmations",
        ),
        ({"topic": None}, "topic", "缺少字段 topic，请补上", "field topic is missing: add it"),
    ],
)
async def test_says_which_parameter_is_wrong_and_what_to_send_instead(
    http: httpx.AsyncClient, parameters: dict[str, Any], field: str, zh: str, en: str
) -> None:
    asked = {name: value for name, value in ({"topic": "matches"} | parameters).items() if value is not None}
    answer = await http.get(EVENTS, params=asked)
    assert (422, {"code": "invalid", "field": field, "zh": zh, "en": en}) == (answer.status_code, answer.json())


# --- webhooks


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    async with listening("/hook", one.handle) as base:
        one.url = f"{base}/hook"
        yield one


async def subscribed(http: httpx.AsyncClient, receiver: Receiver, **more: Any) -> dict[str, Any]:
    answer = await http.post(HOOKS, json={"url": receiver.url, "types": [CONFIRMED], **more})
    assert 201 == answer.status_code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def state_of(http: httpx.AsyncClient, webhook_id: str) -> dict[str, Any]:
    found = [one for one in (await http.get(HOOKS)).json()["webhooks"] if one["webhook_id"] == webhook_id]
    assert len(found) == 1
    state: dict[str, Any] = found[0]
    return state


async def test_delivers_the_types_asked_for_signed_in_order_and_under_their_ids(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> None:
    hook = await subscribed(http, receiver)
    ids = await decided(door, area, 3)
    await decided(door, area, 1, CLOSED)
    ids += await decided(door, area, 1)

    await receiver.until(lambda: len(receiver.got) >= 4, "four deliveries")

    assert ids == receiver.ids
    assert ids == [json.loads(body)["id"] for _, body in receiver.got]
    assert all(is_signed(hook["secret"], headers, body) for headers, body in receiver.got)
    assert "secret" not in await state_of(http, hook["webhook_id"])


async def test_tries_again_until_it_is_taken_and_keeps_the_order(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> None:
    await subscribed(http, receiver)
    receiver.answers = [500, 302, 429]
    first, second = await decided(door, area, 2)

    await receiver.until(lambda: len(receiver.got) >= 5, "the second after four attempts of the first")

    assert [first, first, first, first, second] == receiver.ids


async def test_is_disabled_after_a_long_failure_and_goes_on_where_it_was_when_resumed(
    door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver
) -> None:
    hook = await subscribed(http, receiver)
    receiver.always = 500
    ids = await decided(door, area, 2)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (state := await state_of(http, hook["webhook_id"]))["state"] == "active":  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.1)
    assert ("disabled", "status_500") == (state["state"], state["reason"])

    receiver.always = None
    before = len(receiver.got)
    assert "active" == (await http.post(f"{HOOKS}/{hook['webhook_id']}/resume")).json()["state"]
    await receiver.until(lambda: len(receiver.got) >= before + 2, "both events")
    assert ids == receiver.ids[before:]


async def test_delivers_again_from_a_position_and_sends_a_sample(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> None:
    begin = (await http.get(EVENTS, params={"topic": "confirmations"})).json()["next"]
    ids = await decided(door, area, 2)
    hook = await subscribed(http, receiver)
    url = f"{HOOKS}/{hook['webhook_id']}"

    assert 200 == (await http.post(f"{url}/replay", json={"topic": "confirmations", "after": begin})).status_code
    await receiver.until(lambda: len(receiver.got) >= 2, "what was before the subscription")
    assert ids == receiver.ids

    second = (await http.post(f"{url}/secret")).json()["secret"]
    sample = (await http.post(f"{url}/test")).json()
    assert (True, 204) == (sample["delivered"], sample["status"])
    headers, body = receiver.got[-1]
    assert sample["id"] == headers["webhook-id"]
    assert is_signed(second, headers, body), "the new secret signs"
    assert is_signed(hook["secret"], headers, body), "and the one before, for a while"
    assert 204 == (await http.delete(url)).status_code
    assert 404 == (await http.post(f"{url}/test")).status_code


async def test_an_admin_ends_an_integrators_webhook_and_gets_no_secret_of_it(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> None:
    hook = await subscribed(http, receiver)
    url = f"{HOOKS}/{hook['webhook_id']}"
    async with door.caller({**integrator(area), "account": "an-admin", "roles": ["admin"]}) as admin:
        refused = await admin.post(f"{url}/secret")
        assert (409, "not_own") == (refused.status_code, refused.json()["code"])
        await decided(door, area, 1)
        await receiver.until(lambda: len(receiver.got) == 1, "a delivery")
        headers, body = receiver.got[0]
        assert is_signed(hook["secret"], headers, body)
        assert 1 == len(headers["webhook-signature"].split()), "no other secret signs"
        assert 204 == (await admin.delete(url)).status_code


async def test_nobody_sees_or_touches_anothers_webhook(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> None:
    hook = await subscribed(http, receiver)
    async with door.caller({**integrator(area), "account": "somebody-else"}) as other:
        assert [] == (await other.get(HOOKS)).json()["webhooks"]
        assert 404 == (await other.post(f"{HOOKS}/{hook['webhook_id']}/resume")).status_code
        assert 404 == (await other.delete(f"{HOOKS}/{hook['webhook_id']}")).status_code


@asynccontextmanager
async def two_of_one_area(door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver) -> AsyncIterator[asyncpg.Connection]:
    """A webhook of the area's own integrator, and one of another's, whose deliveries tell that the first would have had its own by now."""
    await account(door, f"other-{area}", area)
    async with door.caller({**integrator(area), "account": f"other-{area}"}) as other:
        await subscribed(other, receiver)
    owner = await asyncpg.connect(door.owner)
    try:
        yield owner
    finally:
        await owner.close()


async def delivered_once(receiver: Receiver, event_id: str) -> None:
    await receiver.until(lambda: event_id in receiver.ids, "the other's delivery")
    await asyncio.sleep(1.5)
    assert 1 == receiver.ids.count(event_id)


async def test_a_webhook_ends_with_its_owners_rights_and_goes_on_where_it_was_when_they_come_back(
    door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver
) -> None:
    await subscribed(http, receiver)
    async with two_of_one_area(door, http, area, receiver) as owner:
        for change, back in (
            ("disabled_at = now()", "disabled_at = NULL"),
            ("roles = '{resident}'", "roles = '{integrator}'"),
            ("scope = scope || 'jianmin'::text", "scope = scope[1:1]"),
            ("scope = '{elsewhere}'", "scope = ARRAY[substring(account_id from 5)]"),
            ("must_change = true", "must_change = false"),
        ):
            await owner.execute(f"UPDATE gateway.accounts SET {change} WHERE account_id = $1", f"app-{area}")
            (event_id,) = await decided(door, area, 1)
            await delivered_once(receiver, event_id)
            await owner.execute(f"UPDATE gateway.accounts SET {back} WHERE account_id = $1", f"app-{area}")
            await receiver.until(lambda: receiver.ids.count(event_id) == 2, f"what came meanwhile, after {back}")  # noqa: B023 - asked within its turn


async def test_a_webhook_made_with_a_key_lives_on_in_the_key_it_was_rotated_into_and_ends_with_that(
    door: Gateway, http: httpx.AsyncClient, area: str, receiver: Receiver
) -> None:
    made = (await http.post("/api/v1/keys", json={"name": "app"})).json()
    async with httpx.AsyncClient(base_url=door.url, headers={"authorization": f"Bearer {made['key']}"}, trust_env=False) as program:
        hook = await subscribed(program, receiver)
    async with two_of_one_area(door, http, area, receiver):
        new = (await http.post(f"/api/v1/keys/{made['key_id']}/rotate", json={"overlap_seconds": 0})).json()
        (first,) = await decided(door, area, 1)
        await receiver.until(lambda: receiver.ids.count(first) == 2, "a delivery under the new key")

        assert 204 == (await http.delete(f"/api/v1/keys/{new['key_id']}")).status_code
        (second,) = await decided(door, area, 1)
        await delivered_once(receiver, second)
        state = await state_of(http, hook["webhook_id"])
        assert ("disabled", "key_revoked") == (state["state"], state["reason"])

        assert 200 == (await http.post(f"{HOOKS}/{hook['webhook_id']}/resume")).status_code
        await receiver.until(lambda: receiver.ids.count(second) == 2, "what came meanwhile, by its owner's own word")


# --- keys


async def test_a_key_is_made_rotated_with_an_overlap_and_revoked(http: httpx.AsyncClient) -> None:
    made = (await http.post("/api/v1/keys", json={"name": "app", "scopes": ["publish_events"], "per_minute": 100})).json()
    new = (await http.post(f"/api/v1/keys/{made['key_id']}/rotate", json={"overlap_seconds": 3600})).json()
    listed = {one["key_id"]: one for one in (await http.get("/api/v1/keys")).json()["keys"]}

    assert made["key"].startswith(f"lmk_{made['key_id']}_")
    assert made["key"] != new["key"]
    assert {made["key_id"]: "ending", new["key_id"]: "active"} == {key: one["state"] for key, one in listed.items()}
    assert 100 == new["per_minute"]
    assert not any("key" in one for one in listed.values())
    assert 204 == (await http.delete(f"/api/v1/keys/{made['key_id']}")).status_code
    assert ["active", "revoked"] == sorted(one["state"] for one in (await http.get("/api/v1/keys")).json()["keys"])


async def test_whoever_asks_for_many_at_once_gets_no_more_than_an_account_may_have(http: httpx.AsyncClient) -> None:
    for path, wanted, most in (("/api/v1/keys", {"name": "app"}, keys.KEYS_MAX), (HOOKS, {"url": "https://app.example/"}, MAX_OF_ACCOUNT)):
        found = await asyncio.gather(*(http.post(path, json=wanted) for _ in range(most + 8)))
        assert {201: most, 409: 8} == Counter(answer.status_code for answer in found), path
    made = [answer.json()["webhook_id"] for answer in found if answer.status_code == 201]
    assert {204} == {(await http.delete(f"{HOOKS}/{webhook_id}")).status_code for webhook_id in made}


async def test_a_rotated_key_keeps_its_end_and_rotation_makes_no_more_than_two_of_one(http: httpx.AsyncClient) -> None:
    async def holding() -> dict[str, Any]:
        return {one["key_id"]: one for one in (await http.get("/api/v1/keys")).json()["keys"] if one["state"] in {"active", "ending"}}

    end = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    first = (await http.post("/api/v1/keys", json={"name": "app", "expires_at": end})).json()
    for _ in range(keys.KEYS_MAX - 1):
        assert 201 == (await http.post("/api/v1/keys", json={"name": "another"})).status_code
    refused = await http.post("/api/v1/keys", json={"name": "one more"})
    assert (409, "too_many") == (refused.status_code, refused.json()["code"])

    # Once more from the first, as where the answer was lost, and from the one that came of it.
    lost = (await http.post(f"/api/v1/keys/{first['key_id']}/rotate", json={})).json()
    second = (await http.post(f"/api/v1/keys/{first['key_id']}/rotate", json={})).json()
    assert {first["key_id"], second["key_id"]} == {key for key, one in (await holding()).items() if one["name"] == "app"}
    third = (await http.post(f"/api/v1/keys/{second['key_id']}/rotate", json={})).json()
    found = await holding()

    assert [datetime.fromisoformat(end)] * 4 == [datetime.fromisoformat(one["expires_at"]) for one in (first, lost, second, third)]
    assert {second["key_id"], third["key_id"]} == {key for key, one in found.items() if one["name"] == "app"}
    assert keys.KEYS_MAX + 1 == len(found)
    assert datetime.fromisoformat(found[second["key_id"]]["expires_at"]) < datetime.fromisoformat(end)
    assert 409 == (await http.post("/api/v1/keys", json={"name": "one more"})).status_code
    assert 204 == (await http.delete(f"/api/v1/keys/{third['key_id']}")).status_code
    assert 204 == (await http.delete(f"/api/v1/keys/{second['key_id']}")).status_code
    assert 201 == (await http.post("/api/v1/keys", json={"name": "one more"})).status_code


async def test_the_page_of_keys_shows_a_new_key_once_in_both_languages(http: httpx.AsyncClient) -> None:
    page = await http.post("/keys", data={"name": "<b>app</b>", "scopes": ["publish_events", "read_events"], "per_minute": "60"})
    after = await http.get("/keys", params={"lang": "en"})

    assert (200, 200) == (page.status_code, after.status_code)
    assert 1 == page.text.count("lmk_")
    assert "lmk_" not in after.text
    assert "新密钥" in page.text
    assert "&lt;b&gt;app" in after.text
    assert "Make a key" in after.text


async def test_a_quota_used_up_is_answered_429_with_the_seconds_to_wait_and_both_keys_of_a_rotation_share_it(http: httpx.AsyncClient, area: str) -> None:
    made = (await http.post("/api/v1/keys", json={"name": "app", "per_day": 3})).json()
    new = (await http.post(f"/api/v1/keys/{made['key_id']}/rotate", json={})).json()
    event = examples.structured("offer.withdrawn.v1")
    body = {
        "specversion": "1.0", "source": "//tests/quota", "type": "lastmetre.offer.withdrawn.v1", "time": "2026-11-23T08:00:00Z", "subject": "o-1",
        "partitionkey": area, "data": {**event["data"], "area": area},
    }  # fmt: skip

    async def sent(key: str, number: int) -> httpx.Response:
        batch = [{**body, "id": str(uuid4())} for _ in range(number)]
        headers = {"content-type": "application/cloudevents-batch+json", "authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=http.base_url, trust_env=False) as anybody:
            return await anybody.post(EVENTS, content=json.dumps(batch), headers=headers)

    never = await sent(made["key"], 4)
    assert (413, "batch_too_large", True) == (never.status_code, never.json()["code"], "3" in never.json()["en"]), "it would wait for ever"
    assert 202 == (await sent(made["key"], 2)).status_code
    assert 429 == (await sent(new["key"], 2)).status_code
    assert 202 == (await sent(new["key"], 1)).status_code
    refused = await sent(made["key"], 1)
    assert (429, "quota_exceeded") == (refused.status_code, refused.json()["code"])
    assert 0 < int(refused.headers["retry-after"]) <= 86_400


@asynccontextmanager
async def key_with_a_quota(door: Gateway, per_day: int) -> AsyncIterator[tuple[Database, Principal, str]]:
    """A key of an integrator of its own, and a pool of the gateway's to count it by."""
    await account(door, name := f"app-{uuid4().hex[:8]}", "gaoxin")
    principal = Principal(name, frozenset({Role.INTEGRATOR}), Scope("gaoxin"))
    database = await Database.connect(door.database, size=4)
    try:
        async with database.acting_for(principal) as connection:
            key, _ = await keys.add(
                connection, principal, name="app", scopes=["publish_events"], expires_at=None, per_minute=None, per_day=per_day, now=datetime.now(UTC)
            )
        yield database, principal, key.key_id
    finally:
        await database.close()


async def test_several_gateways_together_let_no_more_through_than_the_quota(door: Gateway) -> None:
    async with key_with_a_quota(door, 1000) as (database, principal, key_id):
        gateways = [Quotas(database) for _ in range(3)]
        let_through = 0
        refused: set[int] = set()
        while len(refused) < len(gateways):
            for number, one in enumerate(gateways):
                try:
                    await one.take(principal, key_id, 7)
                    let_through += 7
                except Refused:
                    refused.add(number)
        assert 1000 - 3 * 50 <= let_through <= 1000


async def test_whoever_sends_many_at_once_may_use_all_of_the_quota(door: Gateway) -> None:
    async with key_with_a_quota(door, 100) as (database, principal, key_id):
        quotas = Quotas(database)
        answers = await asyncio.gather(*(quotas.take(principal, key_id, 1) for _ in range(150)), return_exceptions=True)
        assert {"NoneType": 100, "Refused": 50} == Counter(type(answer).__name__ for answer in answers)


# --- receipts


async def test_takes_no_receipt_that_is_not_signed_for_its_channel(door: Gateway) -> None:
    body = json.dumps({"reference": "n-1", "status": "failed", "at": "2026-11-25T08:00:00Z"}).encode()
    now = str(int(time.time()))

    def signed(secret: bytes, timestamp: str = now) -> dict[str, str]:
        return {"x-lastmetre-timestamp": timestamp, "x-lastmetre-signature": hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()}

    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
        refused = [
            await http.post("/api/v1/receipts/sms", content=body),
            await http.post("/api/v1/receipts/sms", content=body, headers=signed(b"another")),
            await http.post("/api/v1/receipts/sms", content=body, headers=signed(RECEIPTS, str(int(now) - 600))),
            await http.post("/api/v1/receipts/voice", content=body, headers=signed(RECEIPTS)),
            await http.post("/api/v1/receipts/sms", content=body + b" ", headers=signed(RECEIPTS)),
        ]
        good = await http.post("/api/v1/receipts/sms", content=body, headers=signed(RECEIPTS))

    assert [(401, "bad_signature")] * 5 == [(answer.status_code, answer.json()["code"]) for answer in refused]
    assert good.status_code in {202, 503}, good.text


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"at": "0001-01-01T00:00:00+14:00"}, "at"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "at"),
        ({"at": "2026-11-25T08:00:00"}, "at"),
        ({"fault": "a b"}, "fault"),
        ({"reference": "13800138000"}, "reference"),
    ],
)
async def test_a_receipt_that_cannot_be_kept_is_refused_with_its_field(door: Gateway, change: dict[str, str], place: str) -> None:
    body = json.dumps({"reference": "n-1", "status": "failed", "at": "2026-11-25T08:00:00Z", **change}).encode()
    now = str(int(time.time()))
    headers = {"x-lastmetre-timestamp": now, "x-lastmetre-signature": hmac.new(RECEIPTS, now.encode() + b"." + body, hashlib.sha256).hexdigest()}
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as http:
        answer = await http.post("/api/v1/receipts/sms", content=body, headers=headers)
    assert (422, place) == (answer.status_code, answer.json()["field"]), answer.text


# --- examples


CLIENTS = ([sys.executable, "publish.py"], ["sh", "publish.sh"])


@pytest.fixture
async def key_of_examples(door: Gateway) -> str:
    """As `up` prints one: of the sample day's area."""
    await account(door, "app-of-examples", SAMPLE_AREA)
    async with door.caller({**INTEGRATOR, "account": "app-of-examples", "scope": {"area": SAMPLE_AREA}}) as http:
        made = await http.post("/api/v1/keys", json={"name": "examples", "scopes": ["publish_events", "read_events"]})
    return str(made.json()["key"])


async def client_of(door: Gateway, key: str, command: list[str], wait_seconds: int) -> asyncio.subprocess.Process:
    ours = {"LASTMETRE_URL": door.url, "LASTMETRE_KEY": key, "WAIT_SECONDS": str(wait_seconds)}
    return await asyncio.create_subprocess_exec(
        *command, "wish.json", cwd=ROOT / "examples" / "http", env={**os.environ, **ours},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def wish_published(door: Gateway, known: set[str]) -> dict[str, Any]:
    """The data of the one wish of the clients' that was not there before; other tests share the broker."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            for record in await lying_on(door.bootstrap, ["wishes"]):
                if dict(record.headers).get("ce_source") != b"//community-app.example/ankang-hightech":
                    continue
                data = json.loads(record.value)
                if data["wish_id"] not in known:
                    known.add(data["wish_id"])
                    return dict(data)


async def test_the_example_clients_wait_for_what_is_decided_about_their_own_wish(door: Gateway, key_of_examples: str) -> None:
    known: set[str] = set()
    await decided(door, SAMPLE_AREA, 1, "lastmetre.match.proposed.v1", wish_id="of-another-day")
    for command in CLIENTS:
        running_client = await client_of(door, key_of_examples, command, 60)
        wish = await wish_published(door, known)
        start, end = (datetime.fromisoformat(wish["window"][side]) for side in ("start", "end"))
        assert abs(start - datetime.now(UTC)) < timedelta(minutes=5)
        assert timedelta(hours=24) == end - start
        await decided(door, SAMPLE_AREA, 2, "lastmetre.wish.widened.v1", wish_id="of-somebody-else")
        await decided(door, SAMPLE_AREA, 1, "lastmetre.wish.widened.v1", wish_id=wish["wish_id"])
        await decided(door, SAMPLE_AREA, 1, "lastmetre.match.proposed.v1", wish_id=wish["wish_id"])
        told, _ = await running_client.communicate()
        assert 0 == running_client.returncode, told.decode()
        assert wish["wish_id"].replace("wish-", "example-") in told.decode()
        kinds = re.findall(r"lastmetre\.[a-z.]+\.v1", told.decode())
        assert ["lastmetre.wish.widened.v1", "lastmetre.match.proposed.v1"] == kinds, told.decode()


async def test_the_example_clients_say_so_where_nothing_is_decided_in_time_or_the_key_is_of_another_area(
    door: Gateway, key_of_examples: str, area: str
) -> None:
    await account(door, f"app-{area}", area)
    async with door.caller(integrator(area)) as http:
        other = (await http.post("/api/v1/keys", json={"name": "other", "scopes": ["publish_events", "read_events"]})).json()["key"]
    for command in CLIENTS:
        for key, said in ((key_of_examples, "nothing was decided within 1 s; go on with after="), (other, "out_of_scope")):
            told, _ = await (client := await client_of(door, key, command, 1)).communicate()
            assert 0 != client.returncode
            assert said in told.decode()


# --- what the door says of itself


async def test_the_catalogue_shows_every_type_with_its_fields_and_every_reason(door: Gateway) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as anybody:
        zh, en = (await anybody.get("/catalogue")).text, (await anybody.get("/catalogue", params={"lang": "en"})).text
        asyncapi = (await anybody.get("/api/asyncapi.json")).json()

    for kind in MODEL_OF:
        assert kind in zh
        assert kind in en
    assert set(errors.SENTENCES) - {errors.DECISION_FAILED, errors.WRONG_TOPIC, errors.NULL_VALUE} <= {code for code in errors.SENTENCES if code in en}
    assert "data.beneficiary.age_band" in en
    assert "提交一个微心愿" in zh
    assert "3.0.0" == asyncapi["asyncapi"]


async def test_the_openapi_document_has_an_example_and_an_error_shape_for_each_answer(door: Gateway) -> None:
    async with httpx.AsyncClient(base_url=door.url, trust_env=False) as anybody:
        document = (await anybody.get("/api/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    operation = document["paths"][EVENTS]["post"]
    assert {"202", "207", "400", "401", "403", "413", "415", "422", "429", "503"} <= set(operation["responses"])
    assert {"application/cloudevents+json", "application/cloudevents-batch+json", "application/json"} == set(operation["requestBody"]["content"])
    for path in (EVENTS, HOOKS, "/api/v1/keys"):
        for method, described in document["paths"][path].items():
            for status, answer in described["responses"].items():
                if status not in {"401", "204", "422"}:
                    assert all("example" in one for one in answer["content"].values()), (method, path, status)
