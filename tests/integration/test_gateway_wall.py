"""The wall with more open wishes than a page: what fits is found wherever it stands, what is left out is counted, and whoever is full is told so."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import asyncpg
import pytest

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from schemas.place import Place, Rung
from services.gateway.board.hub import Claimed, Rejected
from services.gateway.people import claiming, store
from services.gateway.people.wall import RUNG_ORDER, Choice, OpenWish, chosen, home_of, shown
from services.gateway.roles import Principal, Role, Scope
from tests.integration.gateway_rig import GatewayRig, own_database, running_gateway
from tests.integration.gateway_seeds import fill
from tests.integration.notifier_rig import until

AREA: Final = "ankang-hightech"
NOW: Final = datetime.now(UTC)
HOME: Final = {"community": "jianmin", "compound": "xincun", "building": "b1", "unit": "u1"}
OFFER: Final[dict[str, Any]] = {
    "area": AREA, **HOME, "reach": "area", "skills": ["carry", "repair"], "languages": ["zh"], "vetting_level": 2, "checked_at": NOW, "capacity": 2,
    "state": "open", "windows": json.dumps([{"start": NOW.isoformat(), "end": (NOW + timedelta(days=30)).isoformat()}]),
}  # fmt: skip
WISH: Final[dict[str, Any]] = {
    "area": AREA, **HOME, "state": "open", "category": "household", "urgency": "blue", "title": "t", "skills": ["carry"], "languages": [],
    "starts_at": NOW, "ends_at": NOW + timedelta(days=20), "minutes": 60, "helpers_needed": 1, "age_band": "adult", "resident_ref": "r-1",
    "submitted_at": NOW, "received_at": NOW, "changed_at": NOW,
}  # fmt: skip
MATCH: Final[dict[str, Any]] = {
    "area": AREA, **HOME, "rung": "unit", "how": "paired", "starts_at": NOW + timedelta(hours=1), "ends_at": NOW + timedelta(hours=2), "changed_at": NOW,
}  # fmt: skip
MANY: Final = 2_000
CHANCES: Final = random.Random(27)


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    folder = tmp_path_factory.mktemp("wall")
    async with own_database(postgres, "gateway_wall") as database, running_gateway(folder, database, kafka, answer_seconds=0.2) as running:
        yield running


@pytest.fixture
async def owner(rig: GatewayRig) -> asyncpg.Connection:
    await rig.owner.execute("TRUNCATE gateway.wishes, gateway.offers, gateway.matches")
    rig.gateway.shelf._kept.clear()
    return rig.owner


async def crowd(owner: asyncpg.Connection, number: int = MANY) -> None:
    """So many wishes that take what nobody here can do, elsewhere in the area, all of which end sooner than anything else."""
    await fill(owner, "wishes", **WISH | {"wish_id": "c-0", "community": "qiulin", "skills": ["erhu"], "ends_at": NOW + timedelta(hours=3)})
    columns = [row[0] for row in await owner.fetch("SELECT column_name FROM information_schema.columns WHERE table_schema='gateway' AND table_name='wishes'")]
    others = ", ".join(name for name in columns if name != "wish_id")
    await owner.execute(f"INSERT INTO gateway.wishes (wish_id, {others}) SELECT 'c-' || n, {others} FROM gateway.wishes, generate_series(1, {number - 1}) n")
    await owner.execute("ANALYZE gateway.wishes")


def member(volunteer_ref: str, *steps: str) -> Principal:
    return Principal(f"account-of-{volunteer_ref}", frozenset({Role.VOLUNTEER}), Scope(AREA, *steps), volunteer_ref)


async def english(rig: GatewayRig, volunteer_ref: str) -> Any:
    found = await rig.signed_in(await rig.person("volunteer", scope=(AREA,), volunteer_ref=volunteer_ref))
    found.client.headers["accept-language"] = "en"
    return found


async def test_what_fits_in_ones_own_stairway_is_shown_however_many_wishes_end_sooner(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    await crowd(owner)
    await fill(owner, "wishes", **WISH | {"wish_id": "w-mine", "title": "IN-MY-STAIRWAY", "ends_at": NOW + timedelta(days=25)})
    await fill(owner, "offers", **OFFER, offer_id="o-1", volunteer_ref="v-1")
    browser = await english(rig, "v-1")

    page = (await browser.get("/wall")).text
    assert "IN-MY-STAIRWAY" in page
    assert f"{MANY} more do not fit you just now" in page
    everything = (await browser.get("/wall?all=yes")).text
    assert everything.index("IN-MY-STAIRWAY") < everything.index("wish-c-")
    assert f"{MANY + 1 - 40} more: use the filter" in everything
    assert "IN-MY-STAIRWAY" in (await browser.get("/wall?rung=unit")).text
    assert "Nothing waits for you just now" in (await browser.get("/wall?category=repair")).text


async def test_what_is_offered_instead_is_found_however_many_wishes_end_sooner(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    await crowd(owner)
    await fill(owner, "wishes", **WISH | {"wish_id": "w-mine", "ends_at": NOW + timedelta(days=25)})
    await fill(owner, "offers", **OFFER, offer_id="o-1", volunteer_ref="v-1")
    who = member("v-1")
    before = await store.before_claim(rig.gateway.looks, who, "c-0")
    instead = await claiming.instead_of(rig.gateway, who, "c-0", before)
    assert instead is not None
    assert "w-mine" == instead.wish.wish_id


async def test_who_has_all_the_visits_they_take_at_once_is_told_so_and_offered_no_claim(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    await fill(owner, "wishes", **WISH | {"wish_id": "w-open"})
    await fill(owner, "offers", **OFFER, offer_id="o-full", volunteer_ref="v-full")
    for number, state in enumerate(("confirmed", "proposed")):
        match = {"match_id": f"m-{number}", "wish_id": f"w-{number}", "offer_id": "o-full", "volunteer_ref": "v-full", "state": state}
        await fill(owner, "matches", **MATCH | match)
    browser = await english(rig, "v-full")

    page = (await browser.get("/wall")).text
    assert "You have all the visits that you take at once" in page
    assert "/claim" not in page
    assert "1 more do not fit you just now" in page
    everything = (await browser.get("/wall?all=yes")).text
    assert "wish-w-open" in everything
    assert "/claim" not in everything
    who = member("v-full")
    before = await store.before_claim(rig.gateway.looks, who, "w-gone")
    assert None is await claiming.instead_of(rig.gateway, who, "w-gone", before)

    await owner.execute("UPDATE gateway.matches SET state = 'released' WHERE match_id = 'm-1'")
    assert "/wall/w-open/claim" in (await browser.get("/wall")).text
    # A visit whose slot is over takes no room, whether or not anybody has said yet how it went.
    await owner.execute("UPDATE gateway.matches SET state = 'confirmed', starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'")
    assert "/wall/w-open/claim" in (await browser.get("/wall")).text


async def test_whose_answer_was_lost_on_the_way_hears_that_it_is_theirs_though_the_board_does_not_show_it_yet(
    rig: GatewayRig, owner: asyncpg.Connection
) -> None:
    await fill(owner, "wishes", **WISH | {"wish_id": "w-lost", "helpers_needed": 3})
    await fill(owner, "offers", **OFFER, offer_id="o-lost", volunteer_ref="v-lost")
    granted, who = Claimed("m-lost", (NOW, NOW + timedelta(hours=1)), needs_answer=False), member("v-lost")
    first = asyncio.create_task(claiming.claim(rig.gateway, who, "w-lost"))

    await until(lambda: rig.gateway.hub.someone_waits)
    rig.gateway.hub.granted(AREA, "w-lost", "o-lost", granted)
    assert granted == (await first).answer

    # The matcher would refuse it to them: it is taken, by themselves.
    assert granted == (await claiming.claim(rig.gateway, who, "w-lost")).answer
    await owner.execute("UPDATE gateway.wishes SET state = 'matched' WHERE wish_id = 'w-lost'")
    assert granted == (await claiming.claim(rig.gateway, who, "w-lost")).answer
    assert Rejected("not_open") == (await claiming.claim(rig.gateway, member("v-other"), "w-lost")).answer

    # Once the board knows of that match, it goes by the board.
    await fill(owner, "matches", **MATCH | {"match_id": "m-lost", "wish_id": "w-lost", "offer_id": "o-lost", "volunteer_ref": "v-lost", "state": "released"})
    assert Rejected("not_open") == (await claiming.claim(rig.gateway, who, "w-lost")).answer


async def test_an_old_address_of_an_answer_says_what_has_become_of_it(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    await fill(owner, "offers", **OFFER, offer_id="o-old", volunteer_ref="v-old")
    for wish in ("mine", "theirs"):
        await fill(owner, "wishes", **WISH | {"wish_id": f"w-old-{wish}", "state": "closed"})
    match = {"match_id": "m-old", "wish_id": "w-old-mine", "offer_id": "o-old", "volunteer_ref": "v-old", "state": "closed"}
    await fill(owner, "matches", **MATCH | match)
    browser = await english(rig, "v-old")

    mine = await browser.get("/wall/w-old-mine/answer?is=granted")
    assert (303, "/mine") == (mine.status_code, mine.headers["location"])
    assert "Somebody has taken this wish already, or it is over" in (await browser.get("/wall/w-old-theirs/answer?is=later")).text


def any_place() -> dict[str, str | None]:
    steps = [("community", ("jianmin", "qiulin")), ("compound", ("xincun", "p2")), ("building", ("b1", "b2")), ("unit", ("u1", "u2"))]
    deep = CHANCES.randint(1, 4)
    return {name: CHANCES.choice(ids) if depth < deep else None for depth, (name, ids) in enumerate(steps)}


def any_wish(number: int) -> dict[str, Any]:
    start = NOW + timedelta(hours=CHANCES.randint(-5, 60))
    return WISH | any_place() | {
        "wish_id": f"w{number}", "skills": CHANCES.sample(["carry", "repair", "erhu"], CHANCES.randint(1, 2)), "languages": CHANCES.choice([[], [], ["en"]]),
        "category": CHANCES.choice(["household", "repair", "left_behind_children"]), "urgency": CHANCES.choice(["red", "yellow", "blue"]),
        "starts_at": start, "ends_at": start + timedelta(minutes=CHANCES.randint(30, 2_000)), "minutes": CHANCES.choice([30, 60, 240]),
        "helpers_needed": CHANCES.randint(1, 2), "live": CHANCES.randint(0, 2), "age_band": CHANCES.choice(["adult", "elder", "under_14", "under_18"]),
        "lives_alone": CHANCES.random() < 0.3, "vetting_min": CHANCES.choice([0, 0, 1, 4]), "accompanied": CHANCES.random() < 0.2,
        "state": CHANCES.choice(["open", "open", "held", "matched"]), "frozen": CHANCES.random() < 0.1,
    }  # fmt: skip


def any_offer(number: int, who: str) -> dict[str, Any]:
    starts = [NOW + timedelta(hours=CHANCES.randint(-20, 50)) for _ in range(CHANCES.randint(1, 4))]
    windows = [{"start": start.isoformat(), "end": (start + timedelta(hours=CHANCES.randint(1, 48))).isoformat()} for start in starts]
    return OFFER | any_place() | {
        "offer_id": f"o{number}", "volunteer_ref": who, "reach": str(CHANCES.choice(RUNG_ORDER[2:] + RUNG_ORDER[1:])),
        "skills": CHANCES.sample(["carry", "repair", "erhu"], 2),
        "languages": CHANCES.choice([[], ["en", "zh"]]), "vetting_level": CHANCES.choice([0, 2, 4, 4]), "capacity": CHANCES.randint(1, 4),
        "checked_at": CHANCES.choice([None, NOW - timedelta(days=10), NOW - timedelta(days=364), NOW - timedelta(days=500)]), "windows": json.dumps(windows),
        "state": CHANCES.choice(["open", "open", "open", "withdrawn"]),
    }  # fmt: skip


CHOICES: Final = [
    Choice(rung, category, when, everything)
    for rung, category, when, everything in product((None, *Rung), (None, "repair", "left_behind_children"), (None, "today", "week"), (False, True))
]


async def told_by_rules(connection: Any, who: Principal, before: store.Before, waiting: Sequence[OpenWish], choice: Choice, now: datetime) -> tuple[Any, ...]:
    """What the pure rules say of every single wish: the ids in order, how many fit, how many there are."""
    full = await store.full_offers(connection, AREA, who.volunteer_ref or "", now)
    offers = [replace(offer, is_full=offer.offer_id in full) for offer in before.offers]
    judged = [shown(wish, offers, home_of(offers, who.scope), now) for wish in waiting if wish.wish_id not in before.parted]
    together = chosen(judged, replace(choice, everything=True), now)
    return [one.wish.wish_id for one in chosen(judged, choice, now)], sum(one.missing is None for one in together), len(together)


async def test_the_table_leaves_out_and_counts_by_the_same_rules_as_the_cards_are_judged_by(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    people = [member("v0"), member("v1", "jianmin"), member("v2", "jianmin", "xincun"), member("v3")]
    for number in range(300):
        await fill(owner, "wishes", **any_wish(number))
    for number in range(12):
        await fill(owner, "offers", **any_offer(number, f"v{number % 3}"))  # v3 has none
    for number in range(40):
        over = timedelta(hours=CHANCES.choice([0, 3]))
        match = {
            "match_id": f"m{number}", "wish_id": f"w{number}", "offer_id": f"o{CHANCES.randint(0, 11)}", "volunteer_ref": f"v{CHANCES.randint(0, 2)}",
            "state": CHANCES.choice(["proposed", "confirmed", "released", "closed"]),
            "starts_at": MATCH["starts_at"] - over, "ends_at": MATCH["ends_at"] - over,
        }  # fmt: skip
        await fill(owner, "matches", **MATCH | match)
    fitted = 0
    for who in people:
        before, now = await store.before_claim(rig.gateway.looks, who, ""), datetime.now(UTC)
        async with rig.gateway.database.acting_for(who) as connection:
            waiting = await store.open_wishes(connection, who.scope, now)
            assert all(who.scope.covers(wish.area, wish.place) for wish in waiting)
            for choice in CHOICES:
                picked = await store.pick(connection, who, before, choice, now, 1_000)
                expected = await told_by_rules(connection, who, before, waiting, choice, now)
                # As the table has them: the page puts the first of them in order by the same rules once more.
                assert expected == ([wish.wish_id for wish in picked.wishes], picked.fitting, picked.together), (who, choice)
                fitted += picked.fitting
    assert fitted > 100, "the chances gave nothing to compare"


async def test_a_look_at_the_wall_does_not_read_what_is_over(rig: GatewayRig, owner: asyncpg.Connection) -> None:
    await crowd(owner)
    await owner.execute("UPDATE gateway.wishes SET state = 'closed' WHERE wish_id NOT IN ('c-1', 'c-2')")
    await owner.execute("ANALYZE gateway.wishes")
    who = member("v-1")
    arguments: list[Any] = [AREA, NOW, None, None, None, None, "v-1", [], None, None, None, *HOME.values(), 4, False, None, 40]
    async with rig.gateway.database.acting_for(who) as connection:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {store._WALL}", *arguments))
    assert "on wishes w" in plan
    assert "Seq Scan on wishes" not in plan, plan


def test_a_place_is_spelt_as_the_ladder_has_it() -> None:
    assert set(HOME) == set(Place.model_fields)
