"""Who may do what, in full: every operation of the OpenAPI document by every role, in and outside its circle, with what is theirs and what is not.

What is expected comes from the policy, what happens from the gateway that runs. And once more beside the gateway: raw SQL as each service's role.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import asyncpg
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case

from deploy.kafka import Kafka
from deploy.postgres import Postgres
from services.gateway.database import described
from services.gateway.guard import form_token
from services.gateway.identity.model import digest_of, new_secret
from services.gateway.policy import RULES, Act, Reach, Thing, may
from services.gateway.roles import Principal, Role, Scope
from tests.integration.gateway_rig import GatewayRig, own_database, running_gateway
from tests.integration.gateway_seeds import AREA, HERE, RESIDENT, SEEDS, VOLUNTEER, Seeded, exists, fill

CIRCLES: Final = {
    "inside": Scope(AREA, HERE.community),
    "the whole area": Scope(AREA),
    "beside": Scope(AREA, "fujiahe"),
    "another area": Scope("elsewhere"),
}
METHODS: Final = ("get", "post", "put", "patch", "delete")
AT_ONCE: Final = 8
# A claim has an answer in any case; to who may not have this wish it is that it is not open to them, which the pages' own tests hold.
REFUSED_IN_WORDS: Final = re.compile(r"^/wall/")
NO_ANSWER: Final = 599
ENDING: Final = frozenset({"/sign-out"})
# A few in every run; LASTMETRE_EXAMPLES=500 for a long one.
EXAMPLES: Final = int(os.environ.get("LASTMETRE_EXAMPLES", "3"))
# What a form must hold so that it is the thing that is judged and not the form. A field that a form does not have is left alone.
FORM: Final = {
    "outcome": "done",
    "word": "yes",
    "reviews": "yes",
    "reason": "because",
    "helper": "the-offer",
    "offer_id": "the-offer",
    "match_id": "the-match",
    "event": "{}",
}
# Operations on what the seeds do not have in a state for them: to who may, they may say that there is none. A new key is its owner's secret, so nobody else has
# one made in place of an old one.
MAY_BE_ABSENT: Final = re.compile(r"/invitations/|/replay$|/answer$|/claim$|/keys/[^/]+/rotate$")
# What the API takes as JSON.
JSON_BODIES: Final[dict[str, dict[str, str]]] = {
    "/api/v1/webhooks/{webhook_id}/replay": {"since": "2026-11-24T00:00:00Z"},
    "/api/v1/keys/{key_id}/rotate": {},
}


@dataclass(frozen=True)
class Somebody:
    """A principal of the matrix, with an account that is really there."""

    name: str
    principal: Principal


@dataclass(frozen=True)
class Operation:
    path: str
    method: str
    act: Act
    parameters: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"


@dataclass
class World:
    rig: GatewayRig
    people: list[Somebody]
    operations: list[Operation]
    things: dict[frozenset[str], Seeded] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def principals() -> Iterator[Somebody]:
    known_by_reference = {Role.VOLUNTEER, Role.RESIDENT, Role.GUARDIAN}
    for number, (role, (where, scope), own) in enumerate(itertools.product(Role, CIRCLES.items(), (True, False))):
        if own and role not in known_by_reference:
            continue
        account = f"matrix-{number:04d}"
        principal = Principal(
            account,
            frozenset({role}),
            scope,
            volunteer_ref=(VOLUNTEER if own else "another") if role is Role.VOLUNTEER else None,
            resident_refs=frozenset({RESIDENT if own else "another"}) if role in {Role.RESIDENT, Role.GUARDIAN} else frozenset(),
        )
        yield Somebody(f"{role}, {where}, {'own' if own else 'other'}", principal)
    for where, scope in CIRCLES.items():
        centre = Principal(f"matrix-centre-{where.replace(' ', '-')}", frozenset({Role.VOLUNTEER}), Scope(AREA), volunteer_ref="another", centre=scope)
        yield Somebody(f"centre household, {where}", centre)


def operations(document: dict[str, Any]) -> list[Operation]:
    found = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                parameters = frozenset(one["name"] for one in item[method].get("parameters", []) if one["in"] == "path")
                found.append(Operation(path, method, Act(item[method]["x-act"]), parameters))
    return found


async def put_in(owner: asyncpg.Connection, person: Principal) -> None:
    await owner.execute(
        "INSERT INTO gateway.accounts (account_id, login, roles, scope, centre, volunteer_ref, resident_refs, created_at)"
        " VALUES ($1, $1, $2, $3, $4, $5, $6, now())",
        person.account,
        sorted(person.roles),
        list(person.scope.steps),
        None if person.centre is None else list(person.centre.steps),
        person.volunteer_ref,
        sorted(person.resident_refs),
    )


@pytest.fixture(scope="module")
async def world(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    async with own_database(postgres, "gateway_matrix") as database, running_gateway(folder, database, kafka, answer_seconds=0.2) as rig:
        people = list(principals())
        for one in people:
            await put_in(rig.owner, one.principal)
        yield World(rig, people, operations(rig.app.openapi()))


async def session_of(world: World, account: str) -> str:
    """A session that is there, without the hashing of a sign-in."""
    secret, now = new_secret(), world.rig.clock()
    async with world.turn:
        await world.rig.owner.execute(
            "INSERT INTO gateway.sessions (digest, account_id, via, created_at, seen_at, ends_at) VALUES ($1, $2, 'password', $3, $3, $4)",
            digest_of(secret),
            account,
            now,
            now + timedelta(hours=1),
        )
    return secret


async def status_of(world: World, client: httpx.AsyncClient, operation: Operation, account: str | None, thing: Seeded | None) -> int:
    """What the gateway answers; of a stream only the head."""
    path = operation.path.format(**(thing.parameters if thing is not None else dict.fromkeys(operation.parameters, "x")))
    headers: dict[str, str] = {}
    form = dict(FORM) if operation.method != "get" and operation.parameters else {}
    if account is not None:
        if account not in world.sessions or operation.path in ENDING:
            world.sessions[account] = await session_of(world, account)
        secret = world.sessions[account]
        headers["cookie"] = f"lm_session={secret}"
        headers["x-csrf"] = form_token(secret)
    elif operation.method != "get":
        headers["cookie"] = "lm_browser=some-browser"
        headers["x-csrf"] = form_token("some-browser")
    try:
        body: dict[str, Any] = {"json": JSON_BODIES[operation.path]} if operation.path in JSON_BODIES else {"data": form or None}
        async with client.stream(operation.method.upper(), path, headers=headers, timeout=20, **body) as answer:
            status = answer.status_code
    except httpx.ReadTimeout:
        status = NO_ANSWER
    if account is not None and operation.path in ENDING:
        world.sessions.pop(account)
    return status


async def thing_of(world: World, operation: Operation) -> Seeded | None:
    if not operation.parameters or operation.act is Act.OPEN_PAGE:
        return None
    assert operation.parameters in SEEDS, f"{operation.name}: say in SEEDS what {sorted(operation.parameters)} is, so that its rights can be asserted"
    if operation.parameters not in world.things:
        world.things[operation.parameters] = await SEEDS[operation.parameters](world.rig.owner)
    return world.things[operation.parameters]


def judged(operation: Operation, principal: Principal | None, thing: Thing | None, status: int) -> str | None:
    """What is wrong with an answer, if anything."""
    if status >= 500:
        return "failed"
    if operation.act is Act.OPEN_PAGE:
        # A sign-in with nothing in it is refused, too: but that is not the guard.
        return None if status != 403 else "closed"
    if principal is None:
        return None if status == 401 else "open to nobody"
    if not may(principal, operation.act):
        return None if status == 403 else "open to who may not at all"
    if thing is not None and not may(principal, operation.act, thing):
        if status == 200 and REFUSED_IN_WORDS.search(operation.path):
            return None
        return None if status in {403, 404} else "open to who may not with this thing"
    # Where the path names no area it is the asker's own: what is theirs in another is not found.
    elsewhere = thing is not None and "area" not in operation.parameters and principal.scope.area != thing.area
    absent = status == 404 and (elsewhere or MAY_BE_ABSENT.search(operation.path) is not None)
    return None if absent or status not in {401, 403, 404} else "closed to who may"


async def test_every_operation_for_every_role_in_and_outside_its_circle(world: World) -> None:
    client = await world.rig.client()
    turns = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []
    asked = 0

    async def ask(operation: Operation, person: Somebody | None) -> None:
        nonlocal asked
        thing = await thing_of(world, operation)
        principal = None if person is None else person.principal
        async with turns:
            status = await status_of(world, client, operation, None if principal is None else principal.account, thing)
        asked += 1
        fault = judged(operation, principal, None if thing is None else thing.thing, status)
        if fault is not None:
            wrong.append(f"{operation.name} by {person.name if person else 'nobody'}: {status}, {fault}")

    for operation in world.operations:
        world.things.pop(operation.parameters, None)  # the one before may have ended it
        await thing_of(world, operation)
        await asyncio.gather(*(ask(operation, person) for person in [None, *world.people]))
    assert not wrong, "\n".join(wrong)
    assert len(world.operations) * (len(world.people) + 1) == asked


def test_the_matrix_would_see_an_open_door() -> None:
    operation = Operation("/api/v1/audit", "get", Act.SEE_AUDIT, frozenset())
    resident = Principal("a", frozenset({Role.RESIDENT}), Scope(AREA))
    admin = Principal("b", frozenset({Role.ADMIN}), Scope(AREA))
    assert "open to nobody" == judged(operation, None, None, 200)
    assert "open to who may not at all" == judged(operation, resident, None, 200)
    assert "closed to who may" == judged(operation, admin, None, 403)
    assert "open to who may not with this thing" == judged(operation, Principal("c", frozenset({Role.ADMIN}), Scope("elsewhere")), Thing(AREA), 200)
    assert "failed" == judged(operation, admin, None, 500)


def test_every_act_has_a_rule_and_every_role_is_named_by_one() -> None:
    assert set(Act) == set(RULES)
    assert set(Role) == {role for rule in RULES.values() for role in rule}
    assert {Reach.ANY} == set(RULES[Act.OPEN_PAGE].values())


async def test_a_key_may_do_no_more_than_it_was_made_for_whatever_its_account_may(world: World) -> None:
    client = await world.rig.client()
    everything = await world.rig.person(*Role, second=False)
    key = await world.rig.key(everything, Act.SEE_OWN)
    wrong = []
    for operation in world.operations:
        path = operation.path.format(**dict.fromkeys(operation.parameters, "x"))
        async with client.stream(operation.method.upper(), path, headers={"authorization": f"Bearer {key}"}) as answer:
            open_to = answer.status_code != 403
        if open_to != (operation.act in {Act.OPEN_PAGE, Act.SEE_OWN}):
            wrong.append((operation.name, answer.status_code))
    assert [("POST /account/password", 403)] == wrong  # a key knows no password


# --- the same by raw SQL

SERVICES: Final = ("gateway", "board", "matcher", "notifier", "vault")
# What a role may read or write in other services' schemas, and which functions it may call there.
OTHERS: Final = """
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('matching', 'notifying', 'vault') AND n.nspname IS DISTINCT FROM $1 AND c.relkind IN ('r', 'p', 'v', 'm')
        AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
"""
CALLED: Final = """
    SELECT p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('matching', 'notifying', 'vault') AND n.nspname IS DISTINCT FROM $1 AND has_schema_privilege(n.oid, 'USAGE')
        AND has_function_privilege(p.oid, 'EXECUTE') AND p.prorettype <> 'trigger'::regtype
"""
# How far the board has read: positions on topics, nobody's rows.
POSITIONS: Final = frozenset({"cursors", "reader"})
IDENTITY: Final = ("accounts", "identities", "sessions", "pending_sign_ins", "api_keys", "audit", "audit_head")


@pytest.fixture(scope="module")
async def rows(world: World) -> World:
    """At least one row in every table of the schema."""
    for seed in SEEDS.values():
        await seed(world.rig.owner)
    await world.rig.key(await world.rig.person("integrator", oidc=("https://issuer.example", "somebody")), Act.SEE_OWN)
    await session_of(world, "matrix-0000")
    await world.rig.identity.audit.add("test", "allowed", at=world.rig.clock(), request="r", area=AREA)
    for table in await tables(world.rig.owner):
        if not await world.rig.owner.fetchval(f"SELECT EXISTS (SELECT FROM gateway.{table})"):
            await fill(world.rig.owner, table)
    return world


@pytest.mark.parametrize(
    ("service", "question"),
    [
        ("gateway", "gateway.webhooks_entitled(true)"),
        ("board", "gateway.lie_outside('{gaoxin,jianmin}', '{o-1}', '{}')"),
        ("board", "gateway.my_books()"),
        ("board", "wish_id FROM gateway.corrected"),
        ("board", "key FROM gateway.inbox"),
        ("board", "gateway.linked('')"),
        ("notifier", "gateway.my_books()"),
        ("notifier", "wish_id FROM gateway.corrected"),
        ("gateway", "match_id FROM notifying.ledger_transactions"),
        ("gateway", "match_id FROM notifying.booked"),
    ],
)
async def test_what_is_asked_with_the_owners_rights_is_for_one_role_alone(world: World, service: str, question: str) -> None:
    connection = await asyncpg.connect(world.rig.database.dsn(service))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"SELECT {question}")
    finally:
        await connection.close()


async def tables(owner: asyncpg.Connection) -> list[str]:
    found = await owner.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname")
    return [row["relname"] for row in found]


async def test_every_table_is_under_forced_row_level_security_and_no_service_owns_one(world: World) -> None:
    found = await world.rig.owner.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'gateway'::regnamespace AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)"
    )
    assert [] == [row["relname"] for row in found]
    owned = await world.rig.owner.fetch(
        "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) LIKE 'lastmetre\\_%'"
        " UNION SELECT proname FROM pg_proc WHERE pg_get_userbyid(proowner) LIKE 'lastmetre\\_%'"
        " UNION SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) LIKE 'lastmetre\\_%'"
    )
    assert [] == owned
    strong = await world.rig.owner.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'lastmetre\\_%' AND (rolsuper OR rolbypassrls OR rolcreaterole)")
    assert [] == strong


async def seen(connection: asyncpg.Connection, table: str) -> int:
    """How many rows a role sees; none where it may not even look."""
    try:
        async with connection.transaction():
            return int(await connection.fetchval(f"SELECT count(*) FROM gateway.{table}"))
    except asyncpg.InsufficientPrivilegeError:
        return 0


@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_sees_a_row_of_the_gateway_by_raw_sql(rows: World, service: str) -> None:
    connection = await asyncpg.connect(rows.rig.database.dsn(service))
    try:
        found = await tables(rows.rig.owner)
        # The board's writer has the board, and nothing of who people are.
        looked_at = [table for table in found if table not in POSITIONS and (service != "board" or table in IDENTITY)]
        assert {} == {table: count for table in looked_at if (count := await seen(connection, table))}
        own = {"matcher": "matching", "notifier": "notifying", "vault": "vault"}.get(service)
        read = await connection.fetch(OTHERS, own)
        assert [] == [row["name"] for row in read]
        called = await connection.fetch(CALLED, own)
        assert [] == [row["name"] for row in called]
    finally:
        await connection.close()


async def test_somebody_sees_their_own_rows_alone_by_raw_sql(rows: World) -> None:
    person = await rows.rig.person("integrator", oidc=("https://issuer.example", "me"))
    await rows.rig.key(person, Act.SEE_OWN)
    await session_of(rows, person.account_id)
    me = Principal(person.account_id, frozenset({Role.INTEGRATOR}), Scope(AREA))
    connection = await asyncpg.connect(rows.rig.database.dsn("gateway"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lastmetre.principal', $1, true)", described(me))
            counts = {table: await seen(connection, table) for table in IDENTITY}
            own = await connection.fetch("SELECT account_id FROM gateway.accounts")
        assert {"accounts": 1, "identities": 1, "sessions": 1, "api_keys": 1, "audit": 0, "audit_head": 0, "pending_sign_ins": 0} == counts
        assert [person.account_id] == [row["account_id"] for row in own]
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE gateway.accounts SET roles = ARRAY['admin'] WHERE account_id = $1",
        "UPDATE gateway.accounts SET scope = ARRAY['elsewhere'] WHERE account_id = $1",
        "UPDATE gateway.accounts SET totp = NULL, volunteer_ref = 'another' WHERE account_id = $1",
        "UPDATE gateway.accounts SET resident_refs = ARRAY['another'] WHERE account_id = $1",
        "DELETE FROM gateway.accounts WHERE account_id = $1",
        "INSERT INTO gateway.accounts (account_id, login, roles, scope, created_at) VALUES ($1 || '-2', 'x-2', ARRAY['admin'], ARRAY['gaoxin'], now())",
        "INSERT INTO gateway.identities VALUES ('https://issuer.example', 'x', $1)",
        "INSERT INTO gateway.sessions SELECT digest, 'matrix-0001', 'password', now(), now(), now() FROM gateway.sessions WHERE account_id = $1",
        "INSERT INTO gateway.api_keys SELECT 'aaaaaaaaaaaa', 'matrix-0001', digest, name, scopes, now() FROM gateway.api_keys WHERE account_id = $1",
    ],
)
async def test_nobody_raises_their_own_rights_by_raw_sql(rows: World, statement: str) -> None:
    person = await rows.rig.person("volunteer")
    await rows.rig.key(person, Act.SEE_OWN)
    await session_of(rows, person.account_id)
    me = Principal(person.account_id, frozenset({Role.VOLUNTEER}), Scope(AREA))
    connection = await asyncpg.connect(rows.rig.database.dsn("gateway"))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lastmetre.principal', $1, true)", described(me))
            with pytest.raises(asyncpg.PostgresError, match=r"not changed from here|permission denied|row-level security"):
                await connection.execute(statement, person.account_id)
    finally:
        await connection.close()


async def test_things_of_the_board_are_there_once_the_board_is(world: World) -> None:
    if await exists(world.rig.owner, "wishes"):
        assert {"offers", "matches", "invitations", "stream"} <= set(await tables(world.rig.owner))


# --- requests that nobody thought of


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_no_request_that_the_document_allows_makes_the_gateway_fail(world: World) -> None:
    everything = await world.rig.person(*Role, second=False)
    key = await world.rig.key(everything, *Act)
    schema = schemathesis.openapi.from_dict(world.rig.app.openapi())
    failed: list[str] = []
    undeclared: set[str] = set()

    def run() -> None:
        for result in schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]
            if "text/event-stream" in str(operation.definition.raw.get("responses")):
                continue  # it does not end; the matrix asks for its head

            @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate])
            @given(case=operation.as_strategy())
            def ask(case: Case[Any]) -> None:
                answer = case.call(base_url=world.rig.address, headers={"authorization": f"Bearer {key}"}, timeout=30, allow_redirects=False)
                if answer.status_code >= 500 and answer.status_code != 503:
                    failed.append(f"{case.method} {case.formatted_path}: {answer.status_code}")
                if case.path.startswith("/api/") and str(answer.status_code) not in case.operation.definition.raw["responses"]:
                    undeclared.add(f"{case.method} {case.path}: {answer.status_code}")

            ask()

    await asyncio.to_thread(run)
    assert [] == failed
    assert set() == undeclared
