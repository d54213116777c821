"""One-time links on a real PostgreSQL: who wins, what the others hear, and what is left at rest."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import pytest

from deploy import migrate
from deploy.postgres import Postgres
from schemas.instants import SECOND_US
from services.links.claims import Claims, Purpose
from services.links.keys import LinkKeys
from services.links.store import Expired, Forged, Ready, Redeemed, Superseded, Used, forget, look, mint, redeem, supersede
from tests.conftest import TEMPLATE, Database

OLD, NEW = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (7, 90))
KEYS = LinkKeys.parse(f"a:{OLD}")
NOW = 1_800_000_000 * SECOND_US
LATER = NOW + 3600 * SECOND_US


def claims(purpose: Purpose = "answer", match_id: str = "m-1", party: Any = "volunteer", number: int = 1) -> Claims:
    jti = uuid5(UUID(int=0), f"{purpose}{match_id}{party}{number}")
    return Claims(jti, purpose, party, "hightech", f"w-{match_id}", f"o-{match_id}", match_id, LATER)


@pytest.fixture(scope="module")
async def shared(postgres: Postgres) -> AsyncIterator[Database]:
    """One database for all of them: it holds nothing but links."""
    await migrate.prepare(postgres, "test_links", template=TEMPLATE)
    yield Database("test_links", postgres)
    await migrate.drop(postgres, "test_links")


@pytest.fixture
async def links(shared: Database) -> AsyncIterator[asyncpg.Pool]:
    """As the notifier's role."""
    async with asyncpg.create_pool(shared.dsn("notifier"), min_size=1, max_size=8) as pool:
        await pool.execute("DELETE FROM links.links")
        yield pool


async def use(links: asyncpg.Pool, code: str, action: Any = "accept", now: int = NOW, keys: LinkKeys = KEYS) -> Any:
    async with links.acquire() as connection:
        return await redeem(connection, keys, code, action, now)


async def test_two_taps_at_once_give_one_winner(links: asyncpg.Pool) -> None:
    for number in range(5):
        code = await mint(links, KEYS, claims(number=number))
        outcomes = await asyncio.gather(*(use(links, code, action) for action in ("accept", "decline", "accept", "accept", "decline", "accept")))
        assert {"Redeemed": 1, "Used": 5} == Counter(type(one).__name__ for one in outcomes)
        (won,) = [one for one in outcomes if isinstance(one, Redeemed)]
        assert all(one.action == won.action for one in outcomes), "who came second hears what counted"


async def test_a_second_tap_hears_kindly_what_it_said_before(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    assert Redeemed(claims(), "accept") == await use(links, code)
    assert Used(claims(), "accept", NOW, same=True) == await use(links, code, now=NOW + 5)
    assert Used(claims(), "accept", NOW, same=False) == await use(links, code, "decline", NOW + 5)


async def test_looking_uses_nothing_up(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    assert [Ready(claims())] * 3 == [await look(links, KEYS, code, NOW) for _ in range(3)]
    assert Redeemed(claims(), "decline") == await use(links, code, "decline")
    assert Used(claims(), "decline", NOW, same=False) == await look(links, KEYS, code, NOW)


async def test_following_can_be_done_again_and_again_until_it_ends(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims("follow"))
    assert [Redeemed(claims("follow"), "follow")] * 2 == [await use(links, code, "follow") for _ in range(2)]
    assert Expired(claims("follow")) == await use(links, code, "follow", LATER)


async def test_a_link_ends_to_the_second(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    assert Expired(claims()) == await use(links, code, now=LATER)
    assert Redeemed(claims(), "accept") == await use(links, code, now=LATER - 1)


async def test_a_link_says_only_what_it_is_for(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims("acknowledge", party="resident"))
    assert Forged() == await use(links, code, "accept")
    assert Redeemed(claims("acknowledge", party="resident"), "partly") == await use(links, code, "partly")


async def test_a_strangers_guess_opens_nothing(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    guesses = [code[:-1] + ("a" if code[-1] != "a" else "b"), "a" * 26, "", "' OR true --", LinkKeys.parse(f"a:{NEW}").newest.code(claims().jti)]
    assert [Forged()] * len(guesses) == [await use(links, guess) for guess in guesses]


async def test_a_retry_gives_the_same_code_also_after_another_key_has_come(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    both = LinkKeys.parse(f"b:{NEW},a:{OLD}")
    assert [code] * 3 == [await mint(links, keys, claims()) for keys in (KEYS, both, both)]
    other = await mint(links, both, claims("cancel"))
    assert both.newest.code(claims("cancel").jti) == other
    assert Redeemed(claims(), "accept") == await use(links, code, keys=both)


async def test_a_key_that_was_taken_out_opens_nothing_and_a_new_code_can_be_had(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    renewed = LinkKeys.parse(f"b:{NEW}")
    assert Forged() == await use(links, code, keys=renewed)
    again = await mint(links, renewed, claims())
    assert Redeemed(claims(), "accept") == await use(links, again, keys=renewed)


async def test_nothing_at_rest_is_a_code_or_makes_one(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    await use(links, code)
    row = await links.fetchrow("SELECT l::text AS all FROM links.links l")
    assert row is not None
    assert code not in row["all"]


async def test_whoever_can_write_the_table_still_can_not_change_what_a_link_says(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    other = await mint(links, KEYS, claims(match_id="m-2"))
    third = await mint(links, KEYS, claims(match_id="m-3"))
    await links.execute("UPDATE links.links SET token = (SELECT token FROM links.links WHERE match_id = 'm-3') WHERE match_id = 'm-1'")
    assert Forged() == await use(links, code), "another link's claims"
    await links.execute("UPDATE links.links SET jti = gen_random_uuid() WHERE match_id = 'm-2'")
    assert Forged() == await use(links, other), "another link's identity"
    digest = await links.fetchval("DELETE FROM links.links WHERE match_id = 'm-1' RETURNING digest")
    await links.execute("UPDATE links.links SET digest = $1 WHERE match_id = 'm-3'", digest)
    assert [Forged(), Forged()] == [await use(links, code), await use(links, third)], "another link under this code"


async def test_what_was_used_stays_used(links: asyncpg.Pool) -> None:
    await use(links, await mint(links, KEYS, claims()))
    with pytest.raises(asyncpg.PostgresError) as fault:
        await links.execute("UPDATE links.links SET used_at_us = NULL, used_for = NULL")
    assert "LM004" == fault.value.sqlstate


async def test_a_caller_that_fails_has_used_nothing_up(links: asyncpg.Pool) -> None:
    code = await mint(links, KEYS, claims())
    async with links.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert Redeemed(claims(), "accept") == await redeem(connection, KEYS, code, "accept", NOW)
        await transaction.rollback()
    assert Redeemed(claims(), "accept") == await use(links, code)


async def test_a_match_that_is_over_takes_its_links_along(links: asyncpg.Pool) -> None:
    mine = await mint(links, KEYS, claims())
    theirs = await mint(links, KEYS, claims("follow", party="resident"))
    other = await mint(links, KEYS, claims(match_id="m-2"))
    await supersede(links, ["m-1"], NOW, but=["follow"])
    assert Superseded(claims()) == await use(links, mine)
    assert Redeemed(claims("follow", party="resident"), "follow") == await use(links, theirs, "follow")
    assert Redeemed(claims(match_id="m-2"), "accept") == await use(links, other)


async def test_who_calls_off_has_no_more_to_say_and_the_other_side_has(links: asyncpg.Pool) -> None:
    cancel, start = await mint(links, KEYS, claims("cancel")), await mint(links, KEYS, claims("start"))
    theirs = await mint(links, KEYS, claims("acknowledge", party="resident"))
    assert Redeemed(claims("cancel"), "cancel") == await use(links, cancel, "cancel")
    assert Superseded(claims("start")) == await use(links, start, "started")
    assert Redeemed(claims("acknowledge", party="resident"), "done") == await use(links, theirs, "done")


async def test_old_links_are_forgotten(links: asyncpg.Pool) -> None:
    old = await mint(links, KEYS, claims())
    await mint(links, KEYS, replace(claims("cancel"), expires_at=LATER + SECOND_US))
    await forget(links, LATER + 1)
    assert Forged() == await look(links, KEYS, old, NOW)
    assert 1 == await links.fetchval("SELECT count(*) FROM links.links")
