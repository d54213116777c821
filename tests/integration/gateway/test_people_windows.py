"""What the people's pages see through windows: messages in the app, a link's wish, the way to the door; as the roles that the services have."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from deploy import migrate
from deploy.postgres import Postgres
from schemas.instants import SECOND_US
from services.gateway.board import queries
from services.gateway.database import Database as Pool
from services.gateway.people import linked, store
from services.gateway.people.door import Doors
from services.gateway.people.linked import About
from services.gateway.people.visits import Booked, MyMatch
from services.gateway.roles import Principal, Role, Scope
from services.links.claims import Claims
from services.links.keys import LinkKeys, digest
from services.links.store import mint
from services.vault.contact import parse_contact
from services.vault.keyfile import KeyFile
from services.vault.ladder import Ladder, Slot
from services.vault.policy import Reader, Visit
from services.vault.vault import Vault
from tests.conftest import TEMPLATE, Database
from tests.integration.gateway_seeds import book

AREA = "high-tech"
START = datetime(2026, 11, 26, 2, tzinfo=UTC)
END = START + timedelta(hours=1)
MEMBER = Principal("a-1", frozenset({Role.VOLUNTEER}), Scope(AREA), "v-1")
OTHER = Principal("a-2", frozenset({Role.VOLUNTEER}), Scope(AREA), "v-2")
RESIDENT = Principal("a-3", frozenset({Role.RESIDENT}), Scope(AREA), None, frozenset({"r-1", "r-2"}))
KEYS = LinkKeys.parse(f"a:{base64.b64encode(bytes(range(7, 39))).decode()}")
MATCH = MyMatch(
    AREA, "m-1", "w-1", "o-1", "r-1", "v-1", "confirmed", "unit", START, END, needs_answer=False, needs_approval=False, expires_at=None,
    release_reason=None, outcome=None, minutes=None, closed_at=None, category="household", title="理发", compound="p1", building="b1", together=False,
)  # fmt: skip


@pytest.fixture(scope="module")
async def shared(postgres: Postgres) -> AsyncIterator[Database]:
    await migrate.prepare(postgres, "test_windows", template=TEMPLATE)
    yield Database("test_windows", postgres)
    await migrate.drop(postgres, "test_windows")


@pytest.fixture
async def owner(shared: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(shared.dsn())
    await connection.execute("TRUNCATE notifying.app_inbox, links.links, gateway.wishes, gateway.matches")
    yield connection
    await connection.close()


@pytest.fixture
async def pool(shared: Database) -> AsyncIterator[Pool]:
    opened = await Pool.connect(shared.dsn("gateway"), size=2)
    yield opened
    await opened.close()


async def put(owner: asyncpg.Connection, ref: str, text: str) -> UUID:
    key = uuid4()
    await owner.execute("INSERT INTO notifying.app_inbox (key, ref, kind, text) VALUES ($1, $2, 'confirmed', $3)", key, ref, text)
    return key


async def texts(pool: Pool, who: Principal, language: str = "zh-CN") -> list[str]:
    async with pool.acting_for(who) as connection:
        return sorted(str(one["text"]) for one in await store.inbox(connection, language))


async def unread_on_the_monitor(pool: Pool, who: Principal) -> int:
    async with pool.acting_for(who) as connection:
        return (await queries.overview(connection, START, START)).counters["unread"]


async def test_everyone_finds_their_own_messages_and_no_others(owner: asyncpg.Connection, pool: Pool) -> None:
    for ref in ("v-1", "v-2", "r-1", "r-2", "r-3"):
        await put(owner, ref, f"to {ref}")
    assert await texts(pool, MEMBER) == ["to v-1"]
    assert await texts(pool, OTHER) == ["to v-2"]
    assert await texts(pool, RESIDENT) == ["to r-1", "to r-2"]
    assert await texts(pool, Principal("a-4", frozenset({Role.WORKER}), Scope(AREA), "v-1", frozenset({"r-1"}))) == [], "a reference without its role"
    async with pool.pool.acquire() as nobody:
        assert await nobody.fetch("SELECT * FROM gateway.inbox") == []


async def test_whoever_reads_in_a_language_is_shown_messages_in_it_and_what_an_earlier_version_left_as_it_is(owner: asyncpg.Connection, pool: Pool) -> None:
    key = await put(owner, "v-1", "您好")
    await owner.execute("UPDATE notifying.app_inbox SET texts = $2::jsonb WHERE key = $1", key, '{"zh-CN": "您好", "en": "Good day"}')
    await put(owner, "v-1", "old")
    assert [["old", "您好"], ["Good day", "old"]] == [await texts(pool, MEMBER, language) for language in ("zh-CN", "en")]


async def test_a_worker_reads_what_lies_there_for_their_desk_about_wishes_in_their_own_circle(owner: asyncpg.Connection, pool: Pool) -> None:
    notice = "INSERT INTO notifying.notices (key, wish_id, partition, area, party, kind, ref, language, text, state, due_at) "
    notice += "VALUES ($1, $2, 0, $3, 'worker', 'unconsented', $4, 'en', 'x', 'pending', now())"
    wish = "INSERT INTO gateway.wishes (area, wish_id, community, category, urgency, title, starts_at, ends_at, age_band, state, submitted_at) "
    wish += "VALUES ($1, $2, $3, 'study', 'blue', 'x', $4, $5, 'under_14', 'expired', $4)"
    keys = {}
    for community, area in (("c1", AREA), ("c2", AREA), ("c1", "elsewhere")):
        wish_id = f"w-{community}-{area}"
        await owner.execute(wish, area, wish_id, community, START, END)
        keys[wish_id] = await put(owner, f"desk-{area}", wish_id)
        await owner.execute(notice, keys[wish_id], wish_id, area, f"desk-{area}")
    worker = Principal("a-5", frozenset({Role.WORKER}), Scope(AREA, "c1"))
    whole = Principal("a-6", frozenset({Role.WORKER}), Scope(AREA))
    mine = f"w-c1-{AREA}"
    assert [[mine], [mine, f"w-c2-{AREA}"]] == [await texts(pool, worker), await texts(pool, whole)]
    for other in (Principal("a-7", frozenset({Role.AUDITOR}), Scope(AREA)), MEMBER, RESIDENT):
        assert await texts(pool, other) == []
    assert [1, 2] == [await unread_on_the_monitor(pool, who) for who in (worker, whole)]
    async with pool.acting_for(worker) as connection:
        await store.mark_read(connection, [str(key) for key in keys.values()])
        assert [mine] == [one["wish_id"] for one in await store.inbox(connection, "zh-CN")]
    assert [mine] == [row["text"] for row in await owner.fetch("SELECT text FROM notifying.app_inbox WHERE read_at IS NOT NULL")]
    assert [0, 1] == [await unread_on_the_monitor(pool, who) for who in (worker, whole)]
    await owner.execute("UPDATE notifying.app_inbox SET at = at - interval '31 days', read_at = NULL")
    assert await texts(pool, whole) == [], "what lies there for a month is history"


async def test_what_is_new_for_the_desk_is_counted_of_what_is_new_alone_and_the_circle_asked_once(pool: Pool) -> None:
    async with pool.acting_for(Principal("a-8", frozenset({Role.WORKER}), Scope(AREA, "c1"))) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # of an empty table
        rows = await connection.fetch("EXPLAIN SELECT count(*) FROM gateway.inbox WHERE read_at IS NULL")
    plan = "\n".join(row[0] for row in rows)
    of_the_desk = plan[plan.index("desk-") :]
    assert "read_at IS NULL" in of_the_desk, plan
    assert "current_setting" not in plan, "the circle is asked of each message"
    assert "timestamp()" in of_the_desk, plan
    assert [] == [line for line in plan.splitlines() if "Filter" in line and "timestamp()" in line], f"all that ever lay there is read:\n{plan}"


async def test_messages_that_came_in_by_the_hundred_are_all_read_in_the_end(owner: asyncpg.Connection, pool: Pool) -> None:
    await owner.execute(
        "INSERT INTO notifying.app_inbox (key, ref, kind, text, at) "
        "SELECT gen_random_uuid(), 'v-1', 'confirmed', n::text, $1::timestamptz + make_interval(mins => n) FROM generate_series(1, 130) n",
        START,
    )
    seen: list[tuple[int, str, int]] = []
    for _ in range(3):
        async with pool.acting_for(MEMBER) as connection:
            shown = await store.inbox(connection, "zh-CN")
            new = [one for one in shown if one["read_at"] is None]
            seen.append((len(new), shown[0]["text"], shown[0]["unread"]))
            await store.mark_read(connection, [str(one["key"]) for one in new])
    assert [(100, "130", 130), (30, "30", 30), (0, "130", 0)] == seen


async def test_a_message_is_read_once_and_by_whom_it_is_for(owner: asyncpg.Connection, pool: Pool) -> None:
    key = await put(owner, "v-1", "for v-1")
    async with pool.acting_for(OTHER) as connection:
        await store.mark_read(connection, [str(key)])
    async with pool.acting_for(MEMBER) as connection:
        assert await store.unread(connection) == 1
        await store.mark_read(connection, [str(key)])
        first = (await store.inbox(connection, "zh-CN"))[0]["read_at"]
    async with pool.acting_for(MEMBER) as connection:
        await store.mark_read(connection, [str(key)])
        assert (await store.unread(connection), (await store.inbox(connection, "zh-CN"))[0]["read_at"]) == (0, first)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM notifying.app_inbox",
        "UPDATE notifying.app_inbox SET read_at = now()",
        "INSERT INTO gateway.inbox (key, kind, text, at) VALUES (gen_random_uuid(), 'x', 'x', now())",
        "UPDATE gateway.inbox SET text = 'other words'",
        "DELETE FROM gateway.inbox",
    ],
)
async def test_the_window_lets_nobody_write_and_nothing_else_be_read(owner: asyncpg.Connection, pool: Pool, statement: str) -> None:
    await put(owner, "v-1", "for v-1")
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.FeatureNotSupportedError)):
        async with pool.acting_for(MEMBER) as connection:
            await connection.execute(statement)


async def test_a_member_sees_what_the_books_hold_of_their_own_visits_corrections_included_and_of_nobody_elses(owner: asyncpg.Connection, pool: Pool) -> None:
    async with pool.acting_for(MEMBER) as connection:
        assert await store.my_books(connection) == {}, "nothing is booked yet"
    await book(owner, "m-taken-back", "v-1", ("done", 90), ("not_done", 90), area=AREA, starts_at=START)
    await book(owner, "m-made-good", "v-1", ("done", 0), ("done", 19), area=AREA, starts_at=START)
    await book(owner, "m-long", "v-1", ("partly", 300), area=AREA, starts_at=START)
    await book(owner, "m-others", "v-2", ("done", 60), area=AREA)
    await book(owner, "m-elsewhere", "v-1", ("done", 60), area="elsewhere")
    async with pool.acting_for(MEMBER) as connection:
        books = await store.my_books(connection)
    assert books == {
        "m-taken-back": Booked("m-taken-back", START, "not_done", 0, 0, corrected=True),
        "m-made-good": Booked("m-made-good", START, "done", 19, 32, corrected=True),
        "m-long": Booked("m-long", START, "partly", 120, 200, corrected=False),
    }
    async with pool.acting_for(OTHER) as connection:
        assert set(await store.my_books(connection)) == {"m-others"}
    for who in (RESIDENT, Principal("a-4", frozenset({Role.WORKER}), Scope(AREA), "v-1")):
        async with pool.acting_for(who) as connection:
            assert await store.my_books(connection) == {}, "a reference without its role"
    async with pool.pool.acquire() as nobody:
        assert await nobody.fetch("SELECT * FROM gateway.my_books()") == []


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (Principal("a-4", frozenset({Role.WORKER}), Scope(AREA)), {"m-here", "m-there"}),
        (Principal("a-4", frozenset({Role.AUDITOR}), Scope(AREA, "c1")), {"m-here"}),
        (Principal("a-4", frozenset({Role.WORKER}), Scope("elsewhere")), {"m-far"}),
        (Principal("a-4", frozenset({Role.ADMIN, Role.INTEGRATOR}), Scope(AREA), "v-1", frozenset({"r-1"})), set()),
        (Principal("a-4", frozenset({Role.VOLUNTEER}), Scope(AREA), "v-there"), {"m-there"}),
        (RESIDENT, {"m-here"}),
    ],
)
async def test_what_was_corrected_is_shown_to_whoever_may_see_the_visit(owner: asyncpg.Connection, pool: Pool, who: Principal, seen: set[str]) -> None:
    wishes = (("m-here", AREA, "c1", "r-1"), ("m-there", AREA, "c2", "r-9"), ("m-far", "elsewhere", "c1", "r-1"), ("m-as-told", AREA, "c1", "r-1"))
    for match_id, area, community, resident_ref in wishes:
        await owner.execute(
            "INSERT INTO gateway.wishes (area, wish_id, community, resident_ref, state, submitted_at) VALUES ($1, 'w-' || $2, $3, $4, 'closed', $5)",
            area, match_id, community, resident_ref, START,
        )  # fmt: skip
        if not await owner.fetchval("SELECT EXISTS (SELECT FROM notifying.visits WHERE match_id = $1)", match_id):
            ends = [("done", 60)] if match_id == "m-as-told" else [("done", 60), ("not_done", 0)]
            await book(owner, match_id, match_id.replace("m-", "v-"), *ends, area=area)
    async with pool.acting_for(who) as connection:
        found = await connection.fetch("SELECT match_id, outcome, minutes FROM gateway.corrected")
        assert {(match_id, "not_done", 0) for match_id in seen} == {tuple(row) for row in found}
    async with pool.pool.acquire() as nobody:
        assert await nobody.fetch("SELECT * FROM gateway.corrected") == []


async def test_a_link_tells_a_helper_no_title_and_of_a_child_no_compound(owner: asyncpg.Connection, pool: Pool) -> None:
    statement = """
        INSERT INTO gateway.wishes (area, wish_id, community, compound, category, urgency, title, starts_at, ends_at, age_band, state, submitted_at)
        VALUES ($1, $2, 'c1', 'p1', 'household', 'blue', 'a title', $3, $4, $5, 'open', $3)
    """
    await owner.execute(statement, AREA, "w-adult", START, END, "adult")
    await owner.execute(statement, AREA, "w-child", START, END, "under_14")
    told = {}
    for wish, party in (("w-adult", "resident"), ("w-adult", "volunteer"), ("w-child", "volunteer")):
        claims = Claims(uuid4(), "answer", party, AREA, wish, "o-1", None, 2_000_000_000 * SECOND_US)  # type: ignore[arg-type]
        code = await mint(owner, KEYS, claims)
        async with pool.pool.acquire() as connection:
            row = await connection.fetchrow("SELECT title, compound FROM gateway.linked($1)", digest(code))
            assert row is not None
            told[wish, party] = tuple(row)
    assert told == {("w-adult", "resident"): ("a title", "p1"), ("w-adult", "volunteer"): (None, "p1"), ("w-child", "volunteer"): (None, None)}
    async with pool.pool.acquire() as connection:
        assert await connection.fetch("SELECT * FROM gateway.linked($1)", digest("a" * 26)) == []


def test_each_tap_of_a_link_is_the_event_that_says_it() -> None:
    about = {"area": AREA, "wish_id": "w-1", "offer_id": "o-1", "match_id": "m-1"}
    helper = Claims(uuid4(), "answer", "volunteer", AREA, "w-1", "o-1", "m-1", 0)
    mine = Claims(uuid4(), "cancel", "resident", AREA, "w-1", "o-1", "m-1", 0)
    assert linked.event_of(helper, "accept") == ("lastmetre.match.accepted.v1", about)
    assert linked.event_of(helper, "cancel") == ("lastmetre.match.declined.v1", about)
    assert linked.event_of(mine, "cancel") == ("lastmetre.wish.withdrawn.v1", {"area": AREA, "wish_id": "w-1"})
    assert linked.event_of(mine, "not_done") == ("lastmetre.service.acknowledged.v1", {**about, "by": "resident", "outcome": "not_done"})
    assert linked.event_of(mine, "follow") is None
    assert linked.event_of(helper, "finished", 45) == ("lastmetre.service.finished.v1", {**about, "minutes": 45})
    assert linked.event_of(helper, "started", 45) == ("lastmetre.service.started.v1", about)


@pytest.mark.parametrize(
    ("match_id", "wish", "match", "called_off", "comes"),
    [
        ("m-1", "matched", "confirmed", False, "yours"),
        ("m-1", "held", "proposed", False, None),
        (None, "held", "proposed", False, "yours"),
        (None, "open", None, None, None),
        (None, "held", None, None, "not_yours"),
        ("m-1", "open", "released", False, "not_yours"),
        ("m-1", "open", "released", True, "called_off"),
        (None, "open", "released", True, "called_off"),
    ],
)
def test_what_a_yes_comes_to_is_theirs_anothers_or_called_off(match_id: str | None, wish: str, match: str | None, called_off: Any, comes: str | None) -> None:
    claims = Claims(uuid4(), "answer", "volunteer", AREA, "w-1", "o-1", match_id, 0)
    nothing: dict[str, Any] = dict.fromkeys(About.__slots__)
    about = About(**nothing | {"area": AREA, "wish_id": "w-1", "party": "volunteer", "wish_state": wish, "match_state": match, "called_off": called_off})
    assert linked.comes_of(claims, about) == comes


async def test_the_door_is_shown_from_two_hours_before_and_to_its_helper_alone(shared: Database, tmp_path: Path) -> None:
    keys, now = KeyFile(tmp_path / "keys.json"), [START - timedelta(days=1)]
    keys.create(now[0])
    vault = await Vault.connect(shared.dsn("vault"), keys, Ladder(), lambda: now[0])
    try:
        contact = parse_contact({"name": "测试甲", "phone": "19900307123", "compound": "样板小区", "building": "3栋", "door": "2单元1704"})
        await vault.put("r-1", AREA, contact, Reader("operator", "op-1"), "registration")
        doors = Doors(vault, Ladder())
        assert (await doors.told(MATCH, now[0])).by_worker, "the vault does not know of the visit yet"
        await vault.note_visit(Visit("m-1", "w-1", "r-1", "v-1", "confirmed", Slot(START, END)))
        early = await doors.told(MATCH, now[0])
        assert ("door" in early.fields, early.fields["phone_masked"], early.at) == (False, "199****7123", START - timedelta(hours=2))
        now[0] = START - timedelta(minutes=119)
        assert (await doors.told(MATCH, now[0])).fields["door"] == "2单元1704"
        foreign = MyMatch(**{name: getattr(MATCH, name) for name in MATCH.__slots__} | {"volunteer_ref": "v-2"})
        assert not (await doors.told(foreign, now[0])).fields
    finally:
        await vault.close()


async def test_without_a_vault_a_worker_tells_the_door() -> None:
    assert (await Doors(None, Ladder()).told(MATCH, START)).by_worker


async def test_a_resident_follows_their_own_wish_and_no_other(owner: asyncpg.Connection, pool: Pool) -> None:
    statement = """
        INSERT INTO gateway.wishes (area, wish_id, community, compound, category, urgency, title, starts_at, ends_at, minutes, age_band, resident_ref, state,
            submitted_at, changed_at)
        VALUES ($1, $2, 'c1', 'p1', 'household', 'blue', 'a title', $3, $4, 60, 'adult', $5, 'open', $3, $3)
    """
    await owner.execute(statement, AREA, "w-mine", START, END, "r-1")
    await owner.execute(statement, AREA, "w-other", START, END, "r-9")
    async with pool.acting_for(RESIDENT) as connection:
        assert [one.wish_id for one in await store.my_wishes(connection, AREA, RESIDENT.resident_refs)] == ["w-mine"]
        assert [one.wish_id for one in await store.my_wishes(connection, AREA, frozenset({"r-9"}))] == []
        assert await store.my_wish(connection, AREA, "w-other") is None
        assert await store.visits_of(connection, AREA, "w-mine") == []
        assert await store.my_drafts(connection, AREA, RESIDENT.account) == []
        assert not await store.is_reviewed(connection, AREA, "c1")
