"""The vault on a real PostgreSQL: who sees the schema, what is in the audit, erasing, rotating, and what PostgreSQL itself gets to know."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy import migrate
from deploy.postgres import Postgres
from services.vault.consents import Consent, Purpose
from services.vault.contact import CELLS, FIELDS, WISHES, parse_contact
from services.vault.faults import BadContact, BadKeys, Denied, Unfinished, UnknownKey
from services.vault.keyfile import KeyFile
from services.vault.ladder import Ladder, Slot, Stage
from services.vault.policy import Ask, Occasion, Reader, Visit
from services.vault.sealing import SIZES, Envelope, Identity, seal, unwrap
from services.vault.vault import Vault
from tests.conftest import Database

START = datetime(2026, 11, 26, 2, tzinfo=UTC)
SLOT = Slot(START, START + timedelta(hours=1))
PERSON: dict[str, Any] = {"name": "测试甲", "phone": "19900307123", "compound": "样板小区", "building": "3栋", "door": "2单元1704", "channels": ["sms"]}
OPERATOR = Reader("operator", "op-1")
HELPER = Reader("helper", "helper")
WHY = "supporting a visit"
MATCH = Occasion("m-1", "w-1")


class Clock:
    """An instant that a test sets."""

    def __init__(self) -> None:
        self.now = START - timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> KeyFile:
    file = KeyFile(tmp_path / "vault-keys.json")
    file.create(clock())
    return file


@pytest.fixture
async def vault(database: Database, keys: KeyFile, clock: Clock) -> AsyncIterator[Vault]:
    opened = await Vault.connect(database.dsn("vault"), keys, Ladder(), clock)
    yield opened
    await opened.close()


async def fetch(database: Database, statement: str, *values: Any, service: str | None = None) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database.dsn(service))
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def put(vault: Vault, person: str = "resident", **more: Any) -> None:
    await vault.put(person, "gaoxin", parse_contact(PERSON | more), OPERATOR, "registration")


async def note(vault: Vault, stage: Stage) -> None:
    await vault.note_visit(Visit("m-1", "w-1", "resident", "helper", stage, SLOT))


async def refusal(vault: Vault, fields: tuple[str, ...], who: Reader = HELPER, what: Occasion = MATCH, person: str = "resident", why: str = WHY) -> str:
    with pytest.raises(Denied) as raised:
        await vault.read(person, fields, who, what, why)
    return raised.value.reason


def consent(purpose: Purpose, now: datetime) -> Consent:
    return Consent("child", "guardian", purpose, now, now + timedelta(days=90), hashlib.sha256(b"a signed paper").digest(), now)


# --- who sees it


@pytest.mark.parametrize("service", ["matcher", "notifier"])
@pytest.mark.parametrize("table", ["people", "keys", "former", "sealed", "tombstones", "visits", "consents", "audit"])
async def test_no_other_role_reads_the_vault(database: Database, service: str, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(database, f"SELECT * FROM vault.{table}", service=service)


@pytest.mark.parametrize("table", ["matching.wishes", "notifying.notices", "public.alembic_version"])
async def test_the_vaults_role_reads_nothing_else(database: Database, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(database, f"SELECT * FROM {table}", service="vault")


# --- in and out


async def test_what_was_put_in_comes_out_and_what_is_not_given_stays(vault: Vault) -> None:
    await put(vault)
    await vault.put("resident", "gaoxin", parse_contact({"email": "test-a@example.com", "name": None}), OPERATOR, "correction")
    opened = await vault.read("resident", FIELDS, Reader("self", "resident"), Occasion(), "access")
    assert dict.fromkeys(FIELDS) | PERSON | {"email": "test-a@example.com", "name": None} == dict(opened)


async def test_a_person_who_moves_is_sealed_under_the_new_area(vault: Vault) -> None:
    await put(vault)
    await vault.put("resident", "jinjiang", parse_contact({"compound": "另一小区"}), OPERATOR, "moved")
    opened = await vault.read("resident", ("compound", "phone"), OPERATOR, Occasion(), WHY)
    assert {"compound": "另一小区", "phone": PERSON["phone"]} == dict(opened)


async def test_the_rows_do_not_tell_which_fields_were_given_nor_how_long_they_are(vault: Vault, database: Database) -> None:
    await put(vault)
    await vault.put("empty", "gaoxin", parse_contact({}), OPERATOR, "registration")
    rows = await fetch(
        database, "SELECT person_ref, array_agg(field ORDER BY field) AS fields, array_agg(DISTINCT length(value)) AS sizes FROM vault.sealed GROUP BY 1"
    )
    assert {row["person_ref"]: (sorted(CELLS), [SIZES[0] + 29]) for row in rows} == {row["person_ref"]: (row["fields"], row["sizes"]) for row in rows}


async def test_the_longest_usual_wishes_take_no_more_room_than_none(vault: Vault, database: Database) -> None:
    await put(vault, channels=["wecom", "sms", "email"], language="zh-CN", quiet_hours={"since": "22:00", "until": "07:00"}, notices_per_day=100)
    assert [SIZES[0] + 29] == [row["size"] for row in await fetch(database, "SELECT DISTINCT length(value) AS size FROM vault.sealed")]


async def seal_each_wish_by_itself(database: Database, keys: KeyFile, person: str, wishes: dict[str, Any]) -> None:
    """As versions before this one left a person."""
    (row,) = await fetch(database, "SELECT p.area, p.minor, k.key_id, k.leaf, k.wrapped FROM vault.people p JOIN vault.keys k USING (person_ref)")
    envelope = Envelope(row["area"], person, row["minor"], row["key_id"], row["leaf"])
    data_key = unwrap(keys.ring().wrapping_key(envelope.key_id, envelope.leaf), row["wrapped"], envelope)
    await fetch(database, "DELETE FROM vault.sealed WHERE field = 'wishes'")
    for name in WISHES:
        value = seal(data_key, wishes.get(name), Identity("sealed", envelope.area, person, name, 1))
        await fetch(database, "INSERT INTO vault.sealed (person_ref, field, version, value) VALUES ($1, $2, 1, $3)", person, name, value)


async def test_wishes_that_were_sealed_each_by_itself_are_read_and_kept_together_from_the_next_change_on(
    vault: Vault, database: Database, keys: KeyFile
) -> None:
    wishes = {"channels": ["sms"], "language": "en", "quiet_hours": {"since": "22:00", "until": "07:00"}, "notices_per_day": 3}
    await put(vault)
    await seal_each_wish_by_itself(database, keys, "resident", wishes)
    read = ("phone", *WISHES)
    whole = {"phone": PERSON["phone"]} | wishes
    assert whole == dict(await vault.read("resident", read, OPERATOR, Occasion(), WHY))
    asks = [Ask("resident", fields, Occasion(), WHY) for fields in (("language",), ("phone",))]
    assert [{"language": "en"}, {"phone": PERSON["phone"]}] == [dict(one) for one in await vault.read_many(asks, OPERATOR) if not isinstance(one, Denied)]
    await vault.put("resident", "gaoxin", parse_contact({"language": "zh-CN"}), OPERATOR, "correction")
    assert whole | {"language": "zh-CN"} == dict(await vault.read("resident", read, OPERATOR, Occasion(), WHY))
    assert sorted(CELLS) == [row["field"] for row in await fetch(database, "SELECT field FROM vault.sealed ORDER BY field")]


async def test_a_look_for_one_persons_wishes_opens_nothing_of_another_who_is_looked_up_with_them(vault: Vault) -> None:
    await put(vault, language="en")
    await put(vault, "other", phone="19900307999", language="zh-CN")
    asks = [Ask("resident", ("language",), Occasion(), WHY), Ask("other", ("phone", "language"), Occasion(), WHY), Ask("nobody", ("phone",), Occasion(), WHY)]
    one, other, nobody = await vault.read_many(asks, OPERATOR)
    assert not isinstance(one, Denied)
    assert not isinstance(other, Denied)
    assert ({"language": "en"}, {"phone": "19900307999", "language": "zh-CN"}) == (dict(one), dict(other))
    assert isinstance(nobody, Denied)
    told = [(one.person_ref, one.fields, one.outcome) for one in reversed(await vault.audit(limit=3))]
    assert [("resident", ("language",), "allowed"), ("other", ("phone", "language"), "allowed"), ("nobody", ("phone",), "denied")] == told


async def test_the_ladder_opens_and_closes_the_door(vault: Vault, clock: Clock) -> None:
    await put(vault)
    await note(vault, "proposed")
    assert {"compound": "样板小区"} == dict(await vault.read("resident", ("compound",), HELPER, MATCH, WHY))
    assert "not_visible" == await refusal(vault, ("compound", "building"))
    await note(vault, "agreed")
    assert {"building": "3栋"} == dict(await vault.read("resident", ("building",), HELPER, MATCH, WHY))
    assert "not_visible" == await refusal(vault, ("phone_masked",))
    await note(vault, "confirmed")
    assert {"phone_masked": "199****7123"} == dict(await vault.read("resident", ("phone_masked",), HELPER, MATCH, WHY))
    assert "not_visible" == await refusal(vault, ("door",))
    clock.now = START - timedelta(hours=2)
    assert {"door": "2单元1704"} == dict(await vault.read("resident", ("door",), HELPER, MATCH, WHY))
    assert "not_your_visit" == await refusal(vault, ("door",), Reader("helper", "another"))
    await note(vault, "closed")
    assert "not_visible" == await refusal(vault, ("door",))


async def test_a_late_event_does_not_open_a_door_again(vault: Vault, clock: Clock) -> None:
    await put(vault)
    clock.now = START
    await note(vault, "confirmed")
    await note(vault, "released")
    await note(vault, "confirmed")
    assert "not_visible" == await refusal(vault, ("door",))


async def test_a_service_reads_what_a_message_needs_of_both_sides_and_no_address(vault: Vault) -> None:
    await put(vault)
    await put(vault, "helper", phone="19900307124")
    await note(vault, "confirmed")
    notifier = Reader("service", "notifier")
    assert {"phone": "19900307124"} == dict(await vault.read("helper", ("phone",), notifier, MATCH, "notice"))
    assert "not_visible" == await refusal(vault, ("phone", "door"), notifier)
    assert "no_occasion" == await refusal(vault, ("phone",), notifier, Occasion())


async def test_asking_for_a_field_that_is_none_is_a_mistake(vault: Vault) -> None:
    for fields in ((), ("password",)):
        with pytest.raises(ValueError, match="fields are some of"):
            await vault.read("resident", fields, OPERATOR, Occasion(), WHY)


# --- the audit


async def test_every_answer_is_in_the_audit_also_a_refusal(vault: Vault) -> None:
    await put(vault)
    await vault.read("resident", ("phone", "door"), OPERATOR, Occasion(wish_id="w-1"), WHY)
    await refusal(vault, ("door",), what=Occasion("m-9"))
    await refusal(vault, ("door",), OPERATOR, Occasion(), "nobody")
    await refusal(vault, ("door",), OPERATOR, Occasion(), why="  ")
    entries = [(e.action, e.outcome, e.reason, e.role, e.reader_ref, e.person_ref, e.fields, e.match_id, e.wish_id) for e in await vault.audit()]
    assert [
        ("read", "denied", "no_purpose", "operator", "op-1", "resident", ("door",), None, None),
        ("read", "denied", "no_such_person", "operator", "op-1", "nobody", ("door",), None, None),
        ("read", "denied", "not_your_visit", "helper", "helper", "resident", ("door",), "m-9", None),
        ("read", "allowed", None, "operator", "op-1", "resident", ("phone", "door"), None, "w-1"),
        ("put", "allowed", None, "operator", "op-1", "resident", tuple(sorted(PERSON)), None, None),
    ] == entries


async def test_nothing_is_changed_without_a_purpose_and_the_audit_has_the_refusal(vault: Vault, clock: Clock) -> None:
    await put(vault)
    paper = consent("keep", clock())
    for change in (
        vault.put("resident", "gaoxin", parse_contact({"email": "test-a@example.com"}), OPERATOR, " "),
        vault.give_consent(paper, OPERATOR, ""),
        vault.withdraw_consent(paper.minor_ref, paper.guardian_ref, None, OPERATOR, ""),
        vault.rotate(OPERATOR, "\t", retire=True),
        vault.erase("resident", OPERATOR, ""),
    ):
        with pytest.raises(Denied, match="no purpose"):
            await change
    assert {"email": PERSON.get("email")} == dict(await vault.read("resident", ("email",), OPERATOR, Occasion(), WHY))
    assert [] == await vault.consents()
    refused = [(one.action, one.reader_ref, one.person_ref) for one in await vault.audit() if one.reason == "no_purpose"]
    changes = [("erase", "resident"), ("rotate", None), ("withdraw", "child"), ("consent", "child"), ("put", "resident")]
    assert [(action, "op-1", person) for action, person in changes] == refused


async def test_nothing_is_returned_where_the_audit_cannot_be_written(vault: Vault, database: Database) -> None:
    await put(vault)
    await fetch(database, "ALTER TABLE vault.audit ADD CONSTRAINT full_disk CHECK (action <> 'read')")
    with pytest.raises(asyncpg.CheckViolationError):
        await vault.read("resident", ("phone",), OPERATOR, Occasion(), WHY)


async def test_the_audit_holds_no_number_that_somebody_typed_into_the_purpose(vault: Vault) -> None:
    await put(vault)
    await vault.read("resident", ("phone",), OPERATOR, Occasion(), "call back 19900307123")
    assert "call back ***********" == (await vault.audit("resident", 1))[0].why
    await vault.read_many([Ask("resident", ("phone",), Occasion(), why) for why in ("19900307123 again", "a reminder", "19900307123 again")], OPERATOR)
    assert ["*********** again", "a reminder", "*********** again"] == [entry.why for entry in await vault.audit("resident", 3)]


@pytest.mark.parametrize("reference", ["19900307123", "", "x" * 129, "199 0300 7123", "r-1\n"])
async def test_a_phone_is_no_reference(vault: Vault, reference: str) -> None:
    with pytest.raises(BadContact):
        await vault.read(reference, ("phone",), OPERATOR, Occasion(), WHY)
    with pytest.raises(BadContact):
        await vault.read("resident", ("phone",), Reader("operator", reference), Occasion(), WHY)


@pytest.mark.parametrize("statement", ["UPDATE vault.audit SET why = ''", "DELETE FROM vault.audit", "TRUNCATE vault.audit"])
async def test_the_audit_is_only_added_to_by_the_role_and_by_the_owner(vault: Vault, database: Database, statement: str) -> None:
    await put(vault)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(database, statement, service="vault")
    with pytest.raises(asyncpg.PostgresError, match="only ever added to"):
        await fetch(database, statement)
    assert 1 == len(await vault.audit())


@pytest.mark.parametrize("stage", ["agreed", "confirmed"])
async def test_whoever_is_just_being_erased_comes_back_in_no_visit(vault: Vault, database: Database, stage: Stage) -> None:
    """What is noted in the same moment waits for the erasure, and finds nobody."""
    await put(vault)
    await note(vault, "proposed")
    connection = await asyncpg.connect(database.dsn())
    try:
        async with connection.transaction():  # as `erase` does it, in its order
            await connection.execute("SELECT 1 FROM vault.people WHERE person_ref = 'resident' FOR UPDATE")
            noting = asyncio.create_task(note(vault, stage))
            asking = [Ask("resident", ("phone",), MATCH, "notice confirmed", for_visit=True)]
            looking = asyncio.create_task(vault.read_many(asking, Reader("service", "notifier"), [Visit("m-1", "w-1", "resident", "helper", stage, SLOT)]))
            await connection.execute("INSERT INTO vault.tombstones SELECT person_ref, key_id, leaf, now() FROM vault.keys WHERE person_ref = 'resident'")
            for table, column in (("keys", "person_ref"), ("sealed", "person_ref"), ("visits", "resident_ref"), ("people", "person_ref")):
                await connection.execute(f"DELETE FROM vault.{table} WHERE {column} = 'resident'")
            done, _ = await asyncio.wait((noting, looking), timeout=0.5)
            assert not done
        await noting
        (found,) = await looking
    finally:
        await connection.close()
    assert isinstance(found, Denied)
    assert "erased" == found.reason
    assert [] == await fetch(database, "SELECT * FROM vault.visits")


async def test_what_the_vault_knows_of_a_visit_counts_whatever_a_look_tells_of_it(vault: Vault) -> None:
    for person in ("resident", "other"):
        await put(vault, person)
    await note(vault, "proposed")
    told = Visit("m-1", "w-1", "other", "helper", "agreed", SLOT)
    asks = [Ask(person, ("phone",), MATCH, "notice confirmed", for_visit=True) for person in ("resident", "other")]
    known, other = await vault.read_many(asks, Reader("service", "notifier"), [told])
    assert not isinstance(known, Denied)
    assert isinstance(other, Denied)
    assert "not_your_visit" == other.reason


async def test_a_row_that_was_taken_away_is_no_wish_of_anybodys(vault: Vault, database: Database) -> None:
    await put(vault)
    await fetch(database, "DELETE FROM vault.sealed WHERE field = 'wishes'")
    assert "does_not_open" == await refusal(vault, ("phone", "quiet_hours"), OPERATOR, Occasion())
    assert PERSON["phone"] == (await vault.read("resident", ("phone",), OPERATOR, Occasion(), WHY))["phone"]


async def test_preparing_the_database_again_gives_no_right_back(vault: Vault, database: Database) -> None:
    await migrate.prepare(database.server, database.name)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(database, "DELETE FROM vault.audit", service="vault")


# --- what was changed in the database


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vault.sealed a SET value = b.value FROM vault.sealed b WHERE a.field = 'phone' AND b.field = 'door' AND a.person_ref = b.person_ref",
        "UPDATE vault.sealed a SET value = b.value FROM vault.sealed b WHERE a.field = b.field AND a.person_ref = 'resident' AND b.person_ref = 'other'",
        "UPDATE vault.sealed SET version = version + 1",
        "UPDATE vault.people SET area = 'jinjiang'",
        "UPDATE vault.people SET minor = NOT minor",
        "UPDATE vault.keys a SET wrapped = b.wrapped FROM vault.keys b WHERE a.person_ref = 'resident' AND b.person_ref = 'other'",
        "UPDATE vault.keys SET leaf = leaf + 100",
    ],
)
async def test_what_was_moved_or_changed_in_the_database_does_not_open(vault: Vault, database: Database, clock: Clock, statement: str) -> None:
    await vault.give_consent(consent("support", clock()), OPERATOR, "paper")
    await put(vault)
    await put(vault, "other")
    await fetch(database, statement)
    if "minor" in statement:
        await fetch(database, "UPDATE vault.consents SET minor_ref = 'resident'")
    assert "does_not_open" == await refusal(vault, ("phone",), OPERATOR, Occasion())
    assert ("failed", "does_not_open") == ((await vault.audit("resident", 1))[0].outcome, (await vault.audit("resident", 1))[0].reason)


# --- minors


async def test_nothing_about_a_minor_is_taken_in_or_read_without_a_guardians_consent(vault: Vault, clock: Clock) -> None:
    child = parse_contact(PERSON)
    with pytest.raises(Denied, match="no consent"):
        await vault.put("child", "gaoxin", child, OPERATOR, "registration", minor=True)
    await vault.give_consent(consent("keep", clock()), OPERATOR, "paper")
    await vault.put("child", "gaoxin", child, OPERATOR, "registration", minor=True)
    assert "no_consent" == await refusal(vault, ("phone",), OPERATOR, Occasion(), "child")
    await vault.give_consent(consent("support", clock()), OPERATOR, "paper")
    assert {"phone": PERSON["phone"]} == dict(await vault.read("child", ("phone",), OPERATOR, Occasion(), WHY))
    assert "no_consent" == await refusal(vault, ("phone",), Reader("self", "child"), Occasion(), "child")
    assert await vault.consent_holds("child", "support", clock())
    clock.now += timedelta(minutes=1)
    assert 2 == await vault.withdraw_consent("child", "guardian", None, OPERATOR, "asked to")
    assert not await vault.consent_holds("child", "support", clock())
    assert await vault.consent_holds("child", "support", clock() - timedelta(seconds=30))
    assert "no_consent" == await refusal(vault, ("phone",), OPERATOR, Occasion(), "child")
    assert ["denied", "denied"] == [entry.outcome for entry in await vault.audit("child") if entry.reason == "no_consent" and entry.role == "operator"][:2]


async def test_a_minor_stays_one_until_it_is_said(vault: Vault, clock: Clock) -> None:
    await vault.give_consent(consent("keep", clock()), OPERATOR, "paper")
    await vault.put("child", "gaoxin", parse_contact(PERSON), OPERATOR, "registration", minor=True)
    await vault.put("child", "gaoxin", parse_contact({"name": "测试乙"}), OPERATOR, "correction")
    assert "no_consent" == await refusal(vault, ("name",), OPERATOR, Occasion(), "child")
    await vault.put("child", "gaoxin", parse_contact({}), OPERATOR, "is eighteen", minor=False)
    assert {"name": "测试乙"} == dict(await vault.read("child", ("name",), OPERATOR, Occasion(), WHY))


# --- erasing


async def test_an_erased_person_leaves_a_reference_and_nothing_else(vault: Vault, database: Database, keys: KeyFile) -> None:
    await put(vault)
    await put(vault, "other")
    [before] = await fetch(database, "SELECT key_id, leaf FROM vault.keys WHERE person_ref = 'resident'")
    assert await vault.erase("resident", OPERATOR, "asked to")
    assert "erased" == await refusal(vault, ("phone",), OPERATOR, Occasion())
    with pytest.raises(Denied, match="erased"):
        await put(vault)
    for table in ("people", "keys", "sealed", "former"):
        assert [] == await fetch(database, f"SELECT 1 FROM vault.{table} WHERE person_ref = 'resident'")
    assert keys.ring().is_forgotten(before["key_id"], before["leaf"])
    assert {"phone": PERSON["phone"]} == dict(await vault.read("other", ("phone",), OPERATOR, Occasion(), WHY))
    assert not await vault.erase("resident", OPERATOR, "asked to")
    assert not await vault.erase("nobody", OPERATOR, "asked to")


async def test_rows_that_come_back_with_a_backup_do_not_open(vault: Vault, database: Database) -> None:
    await put(vault)
    await put(vault, "other")
    await fetch(database, "CREATE SCHEMA backup")
    for table in ("people", "keys", "sealed"):
        await fetch(database, f"CREATE TABLE backup.{table} AS SELECT * FROM vault.{table} WHERE person_ref = 'resident'")
    await vault.erase("resident", OPERATOR, "asked to")
    for table in ("people", "keys", "sealed"):
        await fetch(database, f"INSERT INTO vault.{table} SELECT * FROM backup.{table}")
    assert "key_destroyed" == await refusal(vault, ("phone",), OPERATOR, Occasion())
    assert await vault.erase("resident", OPERATOR, "came back with a backup")
    for table in ("people", "keys", "sealed"):
        await fetch(database, f"INSERT INTO vault.{table} SELECT * FROM backup.{table}")
    assert 1 == await vault.rotate(OPERATOR, "yearly", retire=True)  # is passed over, and hinders nobody
    assert {"phone": PERSON["phone"]} == dict(await vault.read("other", ("phone",), OPERATOR, Occasion(), WHY))


async def test_an_erasure_reaches_the_backups_from_before_a_rotation(vault: Vault, database: Database, keys: KeyFile) -> None:
    await put(vault)
    former = await fetch(database, "SELECT key_id, leaf FROM vault.keys")
    await vault.rotate(OPERATOR, "yearly")
    now = await fetch(database, "SELECT key_id, leaf FROM vault.keys")
    assert former != now
    await vault.erase("resident", OPERATOR, "asked to")
    assert [True, True] == [keys.ring().is_forgotten(row["key_id"], row["leaf"]) for row in (*former, *now)]


async def test_a_key_file_from_a_backup_learns_again_what_was_erased(vault: Vault, keys: KeyFile) -> None:
    await put(vault)
    backup = keys.path.read_bytes()
    await vault.erase("resident", OPERATOR, "asked to")
    forgotten = [(key_id, leaf) for key_id in keys.ring().keys for leaf in range(100) if keys.ring().is_forgotten(key_id, leaf)]
    keys.path.write_bytes(backup)
    assert [False] == [keys.ring().is_forgotten(*leaf) for leaf in forgotten]
    await vault.rotate(OPERATOR, "a backup was restored")
    assert [True] == [keys.ring().is_forgotten(*leaf) for leaf in forgotten]


async def test_nothing_is_erased_where_the_key_file_cannot_forget(vault: Vault, keys: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(vault)

    def broken(_change: object) -> None:
        raise BadKeys("磁盘满", "the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "change", broken)
        with pytest.raises(BadKeys):
            await vault.erase("resident", OPERATOR, "asked to")
    assert {"phone": PERSON["phone"]} == dict(await vault.read("resident", ("phone",), OPERATOR, Occasion(), WHY))


async def test_a_leaf_that_was_forgotten_is_never_given_again(vault: Vault, database: Database) -> None:
    await put(vault)
    await vault.erase("resident", OPERATOR, "asked to")
    await fetch(database, "ALTER SEQUENCE vault.leaves RESTART")  # as a restored backup would
    await put(vault, "other")
    assert {"phone": PERSON["phone"]} == dict(await vault.read("other", ("phone",), OPERATOR, Occasion(), WHY))


# --- rotating


async def test_rotating_disturbs_no_reader(vault: Vault, database: Database, keys: KeyFile, clock: Clock) -> None:
    people = [f"r-{number}" for number in range(30)]
    for person in people:
        await put(vault, person)
    other = await Vault.connect(database.dsn("vault"), KeyFile(keys.path), Ladder(), clock)
    stop = asyncio.Event()
    read = 0

    async def look() -> None:
        nonlocal read
        while not stop.is_set():
            for person in people:
                assert {"phone": PERSON["phone"]} == dict(await other.read(person, ("phone",), OPERATOR, Occasion(), WHY))
                read += 1

    async with asyncio.TaskGroup() as group:
        lookers = [group.create_task(look()) for _ in range(2)]
        for retire in (False, True):
            assert len(people) == await vault.rotate(OPERATOR, "yearly", retire=retire)
        stop.set()
        await asyncio.gather(*lookers)
    await other.close()
    assert read >= len(people)
    assert ["2026-11-25-3"] == list(keys.ring().keys)
    assert [{"key_id": "2026-11-25-3"}] == [dict(row) for row in await fetch(database, "SELECT DISTINCT key_id FROM vault.keys")]


async def test_rotating_changes_the_data_keys_and_every_sealed_value(vault: Vault, database: Database) -> None:
    await put(vault)
    before = await fetch(database, "SELECT field, value FROM vault.sealed ORDER BY field")
    await vault.rotate(OPERATOR, "yearly")
    after = await fetch(database, "SELECT field, value FROM vault.sealed ORDER BY field")
    assert [] == [old["field"] for old, new in zip(before, after, strict=True) if old["value"] == new["value"]]


async def test_people_who_are_put_in_during_a_rotation_are_not_lost(vault: Vault, keys: KeyFile) -> None:
    for number in range(5):
        await put(vault, f"r-{number}")

    async def put_more() -> None:
        for number in range(5, 25):
            await put(vault, f"r-{number}")

    async with asyncio.TaskGroup() as group:
        group.create_task(put_more())
        for _ in range(3):
            with contextlib.suppress(Unfinished):
                await vault.rotate(OPERATOR, "yearly", retire=True)
    phones = [(await vault.read(f"r-{number}", ("phone",), OPERATOR, Occasion(), WHY))["phone"] for number in range(25)]
    assert [PERSON["phone"]] * 25 == phones


async def test_a_lost_master_key_is_said_by_its_name(vault: Vault, keys: KeyFile) -> None:
    await put(vault)
    keys.change(lambda ring: ring.renew(START).retire())
    assert "unknown_key" == await refusal(vault, ("phone",), OPERATOR, Occasion())
    with pytest.raises(UnknownKey, match="2026-11-25-1"):
        await put(vault)


# --- what PostgreSQL gets to know


async def test_no_plaintext_reaches_postgresqls_views_and_log_even_at_their_most_talkative(own_postgres: Postgres, keys: KeyFile, clock: Clock) -> None:
    await own_postgres.start()
    await migrate.prepare(own_postgres, "lastmetre")
    database = Database("lastmetre", own_postgres)
    for setting in ("log_statement = 'all'", "log_min_error_statement = 'debug5'", "log_parameter_max_length_on_error = -1", "log_error_verbosity = 'verbose'"):
        await fetch(database, f"ALTER ROLE lastmetre_vault SET {setting}")
    vault = await Vault.connect(database.dsn("vault"), keys, Ladder(), clock)
    seen: list[str] = []

    async def look() -> None:
        connection = await asyncpg.connect(database.dsn())
        try:
            while True:
                seen.extend(row["query"] or "" for row in await connection.fetch("SELECT query FROM pg_stat_activity WHERE usename = 'lastmetre_vault'"))
                await asyncio.sleep(0)
        finally:
            await connection.close()

    watching = asyncio.create_task(look())
    for _ in range(5):
        await put(vault)
        await vault.read("resident", ("phone", "door"), OPERATOR, Occasion(), WHY)
    await fetch(database, "ALTER TABLE vault.sealed ADD CONSTRAINT broken CHECK (version < 6)")
    with pytest.raises(asyncpg.CheckViolationError) as raised:
        await put(vault)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    await vault.close()
    log = own_postgres.log.read_text(encoding="utf-8")
    assert any("vault.sealed" in query for query in seen)
    assert "INSERT INTO vault.sealed" in log  # so the log was talkative indeed
    told = "\n".join([*seen, log, str(raised.value), raised.value.detail or ""])
    assert [] == [value for value in PERSON.values() if isinstance(value, str) and (value in told or value.encode().hex() in told)]
