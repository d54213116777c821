"""The clients of `examples/http` as they stand, on a stack that decides: what they say they do, they do."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from deploy.hightech import AREA as SAMPLE_AREA
from deploy.state import ROOT
from tests.integration.gateway.board_rig import Rig, after, somebody, soon


@pytest.mark.parametrize("command", [[sys.executable, "publish.py"], ["sh", "publish.sh"]], ids=["python", "curl"])
async def test_an_example_client_finds_a_helper_for_its_wish(rig: Rig, command: list[str]) -> None:
    who = somebody("integrator", area=SAMPLE_AREA)
    owner = await asyncpg.connect(rig.stack.postgres.owner_dsn(rig.stack.database))
    try:
        await owner.execute(
            "INSERT INTO gateway.accounts (account_id, login, roles, scope, created_at) VALUES ($1, $1, ARRAY['integrator'], ARRAY[$2], now())"
            " ON CONFLICT DO NOTHING", who["account"], SAMPLE_AREA,
        )  # fmt: skip
    finally:
        await owner.close()
    async with rig.client(who) as http:
        key = (await http.post("/api/v1/keys", json={"name": "sample day", "scopes": ["publish_events", "read_events"]})).json()["key"]
    offer = {
        "offer_id": "o-of-the-sample-day", "area": SAMPLE_AREA, "volunteer_ref": "v-1", "reach": "area", "skills": ["shopping"], "capacity": 20,
        "home": {"community": "jianmin", "compound": "anmin-xiaoqu", "building": "b1", "unit": "u1"}, "accepts": "auto",
        "vetting": {"level": 3, "checked_at": after(-60)}, "windows": [{"start": after(-60), "end": after(48 * 60)}],
    }  # fmt: skip
    await rig.say("offer.posted.v1", offer["offer_id"], offer)  # type: ignore[arg-type]
    async with rig.database("lastmetre_matcher") as connection:
        await soon(lambda: connection.fetchval("SELECT count(*) FROM matching.offers WHERE offer_id = $1", offer["offer_id"]), 1)

    client = await asyncio.create_subprocess_exec(
        *command, "wish.json", cwd=ROOT / "examples" / "http", env={**os.environ, "LASTMETRE_URL": rig.url, "LASTMETRE_KEY": key},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told = (await client.communicate())[0].decode()
    assert 0 == client.returncode, told
    assert "lastmetre.match.proposed.v1" in told
