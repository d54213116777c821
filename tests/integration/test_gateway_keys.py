"""The page of keys over a real gateway: what a form makes it makes once, and what is told of a key is so."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.kafka import Kafka
from deploy.postgres import Postgres
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
