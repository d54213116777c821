"""`python3 -m deploy account` and `audit`, as processes on the real PostgreSQL; and the sample day's accounts, which let people in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from deploy import account, audit
from deploy.day_plan import plan_day
from deploy.demo import make_accounts
from deploy.kafka import Kafka
from deploy.postgres import Postgres
from deploy.words import Trouble
from services.gateway import words
from tests.integration.gateway_rig import GatewayRig, Person, own_database, running_gateway


class Terminal:
    """Runs commands in an environment of their own, in a thread of this process: starting Python takes longer than any of them."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.env = {"LASTMETRE_STATE": str(folder), "COLUMNS": "200", "LASTMETRE_POSTGRES": dsn, "LASTMETRE_IDENTITY_KEYS": None}
        self.app = typer.Typer()
        account.register(self.app)
        audit.register(self.app)

    async def __call__(self, *arguments: str, code: int = 0, typed: str | None = None) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, self.app, list(arguments), input=typed, env=self.env)
        told = done.output + (str(done.exception) if isinstance(done.exception, Trouble) else "")
        assert code == done.exit_code, told
        return told


@pytest.fixture(scope="module")
async def rig(postgres: Postgres, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayRig]:
    async with own_database(postgres, "gateway_accounts") as database, running_gateway(tmp_path_factory.mktemp("state"), database, kafka) as rig:
        yield rig


@pytest.fixture
def terminal(rig: GatewayRig) -> Terminal:
    return Terminal(rig.gateway.settings.identity_keys.parent, rig.database.dsn())


async def test_no_login_is_cut_off_in_the_list(terminal: Terminal) -> None:
    login, scope = "somebody-with-a-long-login-at-the-school", "gaoxin/gaoxin-xiandaicheng/xiandaicheng-xi/b4/u2"
    await terminal("account", "add", login, "--role", "volunteer", "--scope", scope)
    terminal.env["COLUMNS"] = "80"
    lines = [line.split("│")[1].strip() for line in (await terminal("account", "list")).splitlines() if "│" in line]
    assert login in "".join(lines)


async def test_an_account_from_the_command_to_the_first_password_and_its_end(rig: GatewayRig, terminal: Terminal) -> None:
    told = await terminal("account", "add", "wang", "--role", "worker", "--scope", "gaoxin/jianmin")
    password, totp = re.findall(r": (\S+)$", told, re.MULTILINE)[1:3]
    wang = Person("", "wang", totp)
    browser = await rig.browser()
    answer = await browser.sign_in(wang, password)
    assert (303, "/account") == (answer.status_code, answer.headers["location"])
    assert 303 == (await browser.post("/account/password", "/account", present=password, new="seven boats under one bridge")).status_code
    assert "wang" in await terminal("account", "list")
    assert "wang" in await terminal("account", "add", "wang", "--role", "worker", "--scope", "gaoxin", code=1)
    for login, role, more, said in (
        ("li", "worker", (), "A login has 3 to 64 characters"),
        ("li lei", "worker", (), "no blanks"),
        ("zero\u200bwidth", "worker", (), "none that nobody sees"),
        ("13800138000", "worker", (), "LOGIN is no phone"),
        ("lilei", "volunteer", ("--volunteer", ""), "--volunteer has 1 to 128 characters"),
        ("lilei", "resident", ("--resident", "r 1"), "--resident has 1 to 128 characters"),
        ("lilei", "worker", ("--resident", "138-0013-8000"), "--resident is no phone"),
        ("lilei", "emperor", (), "--role: roles are resident, "),
        ("lilei", "worker", ("--centre", "gaoxin/b 4"), "--centre is area/"),
        ("lilei", "volunteer", ("--centre", "elsewhere/b/c/d/e"), "--centre lies in the area of --scope, gaoxin"),
        ("lilei", "worker", ("--issuer", "a.example", "--subject", "s"), "--issuer is an https address"),
        ("lilei", "worker", ("--issuer", "https://a.example", "--subject", "s" * 256), "--subject has 1 to 255"),
    ):
        assert said in await terminal("account", "add", login, "--role", role, "--scope", "gaoxin", *more, code=1)
    again = re.findall(r": (\S+)$", await terminal("account", "reset", "wang"), re.MULTILINE)
    assert again[1] != password
    assert 401 == (await (await rig.browser()).sign_in(wang, "seven boats under one bridge")).status_code
    assert 303 == (await (await rig.browser()).sign_in(Person("", "wang", again[2]), again[1])).status_code
    await terminal("account", "disable", "wang")
    assert 401 == (await (await rig.browser()).sign_in(Person("", "wang", again[2]), again[1])).status_code


async def test_whatever_the_operator_does_to_an_account_stands_in_the_audit_log(rig: GatewayRig, terminal: Terminal) -> None:
    await terminal("account", "add", "sun", "--role", "worker", "--scope", "gaoxin/jianmin")
    account_id = await rig.owner.fetchval("SELECT account_id FROM gateway.accounts WHERE login = 'sun'")
    for command in ("disable", "enable", "reset"):
        await terminal("account", command, "sun")
    rows = await rig.owner.fetch("SELECT act, outcome, who, area FROM gateway.audit WHERE things = ARRAY[$1] ORDER BY seq", f"account_id={account_id}")
    assert account_id in await terminal("account", "list")  # whom the log names by this alone
    acts = ["add_account", "disable_account", "enable_account", "reset_account"]
    assert [(act, "allowed", "operator", "gaoxin") for act in acts] == [*map(tuple, rows)]
    assert set(acts) <= set(words.ACTS)
    seq = await rig.owner.fetchval("SELECT max(seq) FROM gateway.audit")
    assert seq == json.loads((Path(terminal.env["LASTMETRE_STATE"] or "") / "audit-anchor.json").read_text())["seq"]
    await terminal("audit", "verify")


async def test_an_account_whose_row_the_audit_log_does_not_take_is_not_changed(rig: GatewayRig, terminal: Terminal) -> None:
    person = await rig.person("volunteer")
    await rig.owner.execute("ALTER FUNCTION gateway.audit_last() RENAME TO audit_last_away")
    try:
        for command in (("add", "wu", "--role", "volunteer", "--scope", "gaoxin"), ("disable", person.login), ("reset", person.login)):
            await terminal("account", *command, code=1)
    finally:
        await rig.owner.execute("ALTER FUNCTION gateway.audit_last_away() RENAME TO audit_last")
    assert "wu" not in (await terminal("account", "list")).split()
    assert 303 == (await (await rig.browser()).sign_in(person)).status_code


async def test_a_key_file_of_another_gateway_breaks_no_audit_log(rig: GatewayRig, terminal: Terminal, tmp_path: Path) -> None:
    person = await rig.signed_in(await rig.person("volunteer"))
    other = Terminal(tmp_path, rig.database.dsn())
    await other("account", "new-keys")
    for command in (("add", "zhou", "--role", "volunteer", "--scope", "gaoxin"), ("disable", "sun")):
        told = await other("account", *command, code=1)
        assert "请用 LASTMETRE_IDENTITY_KEYS 指明网关的密钥文件" in told
        assert "Nothing was changed" in told
    assert 200 == (await person.get("/account")).status_code
    await terminal("audit", "verify")
    assert "zhou" not in (await terminal("account", "list")).split()


async def test_where_nothing_runs_or_no_key_file_is_named_the_way_out_is_told(rig: GatewayRig, tmp_path: Path) -> None:
    assert "python3 -m deploy up" in await Terminal(tmp_path, "")("account", "list", code=1)
    assert "Let LASTMETRE_IDENTITY_KEYS name the gateway's key file." in await Terminal(tmp_path, rig.database.dsn())("account", "list", code=1)


async def test_who_signs_in_at_a_provider_is_given_no_password(rig: GatewayRig, terminal: Terminal) -> None:
    told = await terminal("account", "add", "zhao", "--role", "worker", "--scope", "gaoxin", "--issuer", "https://id.example", "--subject", "s-1")
    assert ["signs in at the provider" in line for line in told.splitlines()] == [False, True]
    (row,) = await rig.owner.fetch("SELECT password_hash, must_change, password_expires_at, totp FROM gateway.accounts WHERE login = 'zhao'")
    assert [None, False, None, None] == list(row)
    assert 4 == len((await terminal("account", "reset", "zhao")).splitlines())  # a worker's password needs a second factor


PROVIDER = "https://id.example"


async def test_an_account_that_is_there_already_is_linked_to_the_provider_and_its_link_taken_away(rig: GatewayRig, terminal: Terminal) -> None:
    terminal.env["LASTMETRE_OIDC_ISSUER"] = PROVIDER
    worker = await rig.person("worker")
    browser = await rig.signed_in(worker)
    identity = ("--issuer", PROVIDER, "--subject", "s-link")
    assert "linked: signs in at the provider alone" in await terminal("account", "link", worker.login, *identity)
    account = "SELECT password_hash, must_change, password_expires_at, totp FROM gateway.accounts WHERE account_id = $1"
    assert [(None, False, None, None)] == [*map(tuple, await rig.owner.fetch(account, worker.account_id))]
    found = await rig.identity.store.by_identity(PROVIDER, "s-link")
    assert found is not None
    assert worker.account_id == found.account_id
    rig.identity.forget_account(worker.account_id)
    assert 200 != (await browser.get("/account")).status_code
    assert 401 == (await (await rig.browser()).sign_in(worker)).status_code
    assert "nothing was changed" in await terminal("account", "link", worker.login, *identity)
    assert f"account unlink {worker.login}" in await terminal("account", "link", worker.login, "--issuer", PROVIDER, "--subject", "s-else", code=1)

    told = await terminal("account", "unlink", worker.login)
    assert f"python3 -m deploy account reset {worker.login}" in told
    assert await rig.identity.store.by_identity(PROVIDER, "s-link") is None
    assert "nothing was changed" in await terminal("account", "unlink", worker.login)
    rows = await rig.owner.fetch("SELECT act, outcome, who, area, things FROM gateway.audit WHERE act LIKE '%link_account' ORDER BY seq")
    assert [(act, "allowed", "operator", "gaoxin", [f"account_id={worker.account_id}"]) for act in ("link_account", "unlink_account")] == [*map(tuple, rows)]
    await rig.identity.audit.add("test", "allowed", at=datetime.now(UTC), request="after")  # and the gateway goes on where the command ended
    await terminal("audit", "verify")


async def test_an_identity_that_another_account_has_is_refused_and_the_account_stays_as_it_was(rig: GatewayRig, terminal: Terminal) -> None:
    terminal.env["LASTMETRE_OIDC_ISSUER"] = PROVIDER
    first, second = await rig.person("volunteer", oidc=(PROVIDER, "s-taken")), await rig.person("volunteer")
    browser = await rig.signed_in(second)
    told = await terminal("account", "link", second.login, "--issuer", PROVIDER, "--subject", "s-taken", code=1)
    assert f"account {first.login}'s" in told
    assert "--subject has 1 to 255" in await terminal("account", "link", second.login, "--issuer", PROVIDER, "--subject", "", code=1)
    assert "no account nobody-here" in await terminal("account", "link", "nobody-here", "--issuer", PROVIDER, "--subject", "s-1", code=1)
    assert 200 == (await browser.get("/account")).status_code
    assert 303 == (await (await rig.browser()).sign_in(second)).status_code


@pytest.mark.parametrize("configured", [True, False])
async def test_an_issuer_that_is_not_the_gateways_letter_by_letter_is_asked_about(rig: GatewayRig, terminal: Terminal, configured: bool) -> None:
    await rig.owner.execute("DELETE FROM gateway.identities WHERE issuer <> $1", PROVIDER)
    await rig.person("volunteer", oidc=(PROVIDER, f"s-known {configured}"))
    terminal.env["LASTMETRE_OIDC_ISSUER"] = PROVIDER if configured else ""
    person = await rig.person("volunteer")
    link = ("account", "link", person.login, "--issuer", f"{PROVIDER}/", "--subject", "s-slash")
    for typed in (None, "n\n"):
        told = await terminal(*link, code=1, typed=typed)
        assert PROVIDER in told
        assert "逐字相同" in told
        assert "Nothing was changed. Give --issuer as the gateway's" in told
    assert 303 == (await (await rig.browser()).sign_in(person)).status_code
    added = ("account", "add", f"slash-{configured}".lower(), "--role", "volunteer", "--scope", "gaoxin", "--issuer", f"{PROVIDER}/", "--subject", "s-slash")
    assert "Nothing was changed" in await terminal(*added, code=1)
    told = await terminal(*link, typed="y\n")
    assert ["linked: signs in" in told, not configured] == [True, f"see that the gateway's is this: {PROVIDER}/\n" in told]
    await rig.owner.execute("DELETE FROM gateway.identities WHERE subject = 's-slash'")


async def test_a_role_that_is_none_is_told_with_those_that_are(rig: GatewayRig, terminal: Terminal) -> None:
    told = await terminal("account", "add", "qian", "--role", "member", "--scope", "gaoxin", code=1)
    assert "roles are resident, guardian, volunteer, worker, auditor, integrator, admin" in told


async def test_whom_the_operator_disabled_no_admin_lets_in_again(rig: GatewayRig, terminal: Terminal) -> None:
    admin, person = await rig.signed_in(await rig.person("admin", scope=("gaoxin", "jianmin"))), await rig.person("volunteer", scope=("gaoxin", "jianmin"))
    headers, address = {"x-csrf": await admin.token("/account")}, f"/api/v1/accounts/{person.account_id}"
    await terminal("account", "disable", person.login)
    assert 200 == (await admin.client.post(f"{address}/disable", headers=headers)).status_code  # said again it is still the operator's word
    refused = await admin.client.post(f"{address}/enable", headers=headers)
    assert (409, "by_operator") == (refused.status_code, refused.json()["code"])
    async with rig.gateway.database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('lastmetre.principal', $1, true)", json.dumps({"account": person.account_id}))
        with pytest.raises(asyncpg.PostgresError, match="the operator lets in again"):
            await connection.execute("UPDATE gateway.accounts SET disabled_at = NULL WHERE account_id = $1", person.account_id)
    assert 401 == (await (await rig.browser()).sign_in(person)).status_code

    await terminal("account", "enable", person.login)
    assert 303 == (await (await rig.browser()).sign_in(person)).status_code
    assert 200 == (await admin.client.post(f"{address}/disable", headers=headers)).status_code
    assert 200 == (await admin.client.post(f"{address}/enable", headers=headers)).status_code  # their own word they may take back
    assert 303 == (await (await rig.browser()).sign_in(person)).status_code


async def test_the_log_is_verified_from_outside_and_a_row_cut_off_by_the_owner_is_missed(rig: GatewayRig, terminal: Terminal) -> None:
    for number in range(3):
        await rig.identity.audit.add("test", "allowed", at=datetime.now(UTC), request=str(number))
    noted = (await terminal("audit", "verify")).split()[-1]
    assert re.fullmatch(r"\d+:[0-9a-f]{64}", noted)
    assert "test" in await terminal("audit", "tail", "-n", "3")
    last = int(noted.partition(":")[0])
    # Whoever owns the database can switch its triggers off; what they cannot do is make the chain whole again.
    await without_triggers(rig.owner, "UPDATE gateway.audit SET who = 'another' WHERE seq = $1", last - 1)
    assert str(last - 1) in await terminal("audit", "verify", code=1)
    await without_triggers(rig.owner, "UPDATE gateway.audit SET who = NULL WHERE seq = $1", last - 1)
    await terminal("audit", "verify", "--anchor", noted)
    row = await rig.owner.fetchrow("SELECT * FROM gateway.audit WHERE seq = $1", last)
    before = await rig.owner.fetchval("SELECT hash FROM gateway.audit WHERE seq = $1", last - 1)
    assert row is not None
    await without_triggers(rig.owner, "DELETE FROM gateway.audit WHERE seq = $1", last)
    await rig.owner.execute("UPDATE gateway.audit_head SET seq = $1, hash = $2", last - 1, before)
    assert "cut off" in await terminal("audit", "verify", code=1)
    await rig.owner.execute("INSERT INTO gateway.audit SELECT ($1::gateway.audit).*", row)
    await rig.owner.execute("UPDATE gateway.audit_head SET seq = $1, hash = $2", last, row["hash"])
    await terminal("audit", "verify", "--anchor", noted)


async def without_triggers(owner: asyncpg.Connection, statement: str, seq: int) -> None:
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute(statement, seq)


async def test_the_sample_days_people_can_sign_in_and_are_made_anew_each_time(rig: GatewayRig, kafka: Kafka, tmp_path: Path) -> None:
    plan = plan_day(1, datetime.now(UTC), 7)
    first, _ = await make_accounts(rig.owner, rig.keys, plan)
    made, key = await make_accounts(rig.owner, rig.keys, plan)
    assert ["demo-member", "demo-centre", "demo-resident", "demo-worker", "demo-auditor", "demo-integrator"] == [one.login for one in made]
    assert {one.login for one in made if one.totp is not None} == {"demo-worker", "demo-auditor"}
    for before, one in zip(first, made, strict=True):
        assert 303 == (await (await rig.browser()).sign_in(Person(one.account_id, one.login, one.totp), one.password)).status_code
        assert before.password != one.password
    assert 403 == (await (await rig.client(authorization=f"Bearer {key}")).get("/account")).status_code
    async with running_gateway(tmp_path, rig.database, kafka, public_url="http://wishes.example") as public:
        assert 401 == (await (await public.browser()).sign_in(Person("", made[0].login), made[0].password)).status_code


async def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path, rig: GatewayRig) -> None:
    terminal = Terminal(tmp_path, rig.database.dsn())
    await terminal("account", "new-keys")
    assert 0o600 == (tmp_path / "gateway-keys").stat().st_mode & 0o777
    assert "已存在" in await terminal("account", "new-keys", code=1)
    (tmp_path / "gateway-keys").chmod(0o644)
    assert "chmod 600" in await terminal("account", "list", code=1)
