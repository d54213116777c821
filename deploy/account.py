"""`python3 -m deploy account ...`: who may sign in at the gateway.

Works as the owner of the database: the gateway's own role can neither make accounts nor give them rights.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from deploy.words import Trouble, both
from schemas import shapes
from schemas.personal import is_bare_number
from services.gateway.roles import Role

FIRST_PASSWORD: Final = timedelta(days=7)
_LEVELS_MAX: Final = 5
_REFERENCE_MAX: Final = 128  # as on the topics

account = typer.Typer(
    help="网关账号：新增、列出、停用、恢复、重置、关联 · The gateway's accounts: add, list, disable, enable, reset, link", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to `python3 -m deploy`."""
    app.add_typer(account, name="account")


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made."""

    login: str
    roles: tuple[str, ...]
    scope: tuple[str, ...]
    centre: tuple[str, ...] | None = None
    volunteer_ref: str | None = None
    resident_refs: tuple[str, ...] = ()
    oidc: tuple[str, str] | None = None
    """(issuer, subject) at the OpenID provider."""
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What is shown once: the first password, and the second factor where the roles need one; empty and None where a provider vouches for them."""

    account_id: str
    login: str
    password: str
    totp: str | None
    totp_address: str | None
    audited: tuple[int, bytes]
    """The audit log's end with this in it: (seq, hash)."""


_ROLES: Final = ", ".join(Role)
_REFUSED: Final = {
    "accounts_login_check": (
        "账号名须为 3 至 64 个字符，不含大写字母、空格和看不见的字符。",
        "A login has 3 to 64 characters, no capitals and no blanks, and none that nobody sees.",
    ),
    "accounts_roles_check": (f"--role 可用 {_ROLES}。", f"--role: roles are {_ROLES}."),
    "identities_subject_check": ("--subject 须为 1 至 255 个字符。", "--subject has 1 to 255 characters."),
}
"""What the database does not take: by its constraint."""
_SCOPE_REFUSED: Final = ("--scope 和 --centre 须有 1 至 5 级。", "--scope and --centre have 1 to 5 levels.")
_INSERT: Final = """
    INSERT INTO gateway.accounts (account_id, login, roles, scope, centre, volunteer_ref, resident_refs, password_hash, must_change,
                                  password_expires_at, totp, demo, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
_PROVIDER_ALONE: Final = """
    UPDATE gateway.accounts SET password_hash = NULL, must_change = false, password_expires_at = NULL, totp = NULL, totp_step = 0 WHERE account_id = $1
"""
_RESET: Final = """
    UPDATE gateway.accounts SET password_hash = $2, must_change = true, password_expires_at = $3, totp = $4, totp_step = 0, disabled_at = NULL,
        disabled_by = NULL
    WHERE account_id = $1
"""


async def make(connection: Any, keys: Any, wanted: NewAccount, now: datetime) -> Made:
    """Make an account with a random first password; a demo account keeps it, others change it within a week. Who signs in at a provider is given none.

    Raises:
        Trouble: there is one of this login, or a role or scope is not valid.
    """
    import asyncpg
    from argon2 import PasswordHasher

    from services.gateway.identity import second_factor
    from services.gateway.identity.model import SECOND_FACTOR_ROLES
    from services.gateway.identity.passwords import MEMORY_KIB, ROUNDS, random_password

    account_id, password = secrets.token_hex(10), random_password() if wanted.oidc is None else ""
    totp = second_factor.new_secret() if password and SECOND_FACTOR_ROLES.intersection(wanted.roles) else None
    hasher = PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=1)
    try:
        async with connection.transaction():
            await connection.execute(
                _INSERT,
                account_id,
                wanted.login,
                list(wanted.roles),
                list(wanted.scope),
                None if wanted.centre is None else list(wanted.centre),
                wanted.volunteer_ref,
                list(wanted.resident_refs),
                await asyncio.to_thread(hasher.hash, password) if password else None,
                bool(password) and not wanted.demo,
                now + FIRST_PASSWORD if password and not wanted.demo else None,
                None if totp is None else second_factor.seal(keys, totp, account_id),
                wanted.demo,
                now,
            )
            if wanted.oidc is not None:
                await connection.execute("INSERT INTO gateway.identities (issuer, subject, account_id) VALUES ($1, $2, $3)", *wanted.oidc, account_id)
            audited = await _note(connection, keys, "add_account", account_id)
    except asyncpg.UniqueViolationError:
        raise Trouble(f"账号 {wanted.login} 或该身份已存在。", f"There is an account {wanted.login}, or one of this identity, already.") from None
    except asyncpg.CheckViolationError as fault:
        raise Trouble(*_REFUSED.get(fault.constraint_name or "", _SCOPE_REFUSED)) from None
    return Made(account_id, wanted.login, password, totp, None if totp is None else second_factor.address(totp, wanted.login), audited)


def run_as_owner(main: Callable[[Any, Any], Coroutine[Any, Any, None]], *, changes: bool = False) -> None:
    """Run something with the owner's connection and the keys. `changes`: it adds to the audit log.

    Raises:
        Trouble: nothing runs, PostgreSQL does not answer, or the keys are not the gateway's.
    """
    import asyncpg

    from deploy.gateway_keys import gateway_keys
    from deploy.postgres import OWNER
    from deploy.running import running
    from deploy.servers import not_reached
    from deploy.state import State, default_folder

    # First of all whether anything runs: where nothing ever did, there is no key file either, and that would be no help to hear.
    dsn = os.environ.get("LASTMETRE_POSTGRES") or running(default_folder()).dsn(OWNER)
    keys = gateway_keys(State(default_folder()))

    async def inside() -> None:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            if changes:
                await _see_keys(connection, keys)
            await main(connection, keys)
        finally:
            await connection.close()

    try:
        asyncio.run(inside())
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        if isinstance(fault, OSError) and fault.filename is not None:  # a file of ours, such as the end of the audit log beside the keys
            raise
        raise not_reached(fault) from fault


async def _see_keys(connection: Any, keys: Any) -> None:
    """Ask about keys of which none sealed the audit log's last row: from a row of another's keys on the log would hold no more.

    Raises:
        Trouble: it was not meant.
    """
    sealed_by = await connection.fetchval("SELECT key_id FROM gateway.audit ORDER BY seq DESC LIMIT 1")
    asked = both("这里的密钥文件不是网关封审计链的那个，继续会使链不再成立。仍要继续？", "this key file did not seal the audit log: it would not hold. Go on?")
    if sealed_by is not None and sealed_by not in keys.by_id and not _agreed(asked):
        raise Trouble(
            "没有改动。请用 LASTMETRE_IDENTITY_KEYS 指明网关的密钥文件。",
            "Nothing was changed. Let LASTMETRE_IDENTITY_KEYS name the gateway's key file.",
        )


def _agreed(asked: str) -> bool:
    try:
        return typer.confirm(asked)
    except typer.Abort:  # nobody is there to answer
        return False


def _steps(option: str, text: str | None) -> tuple[str, ...] | None:
    """A scope such as `ankang-hightech/jianmin` as its steps; `option` is where it was given.

    Raises:
        Trouble: not the form of one.
    """
    if text is None:
        return None
    steps = tuple(text.split("/"))
    if len(steps) > _LEVELS_MAX or not all(re.fullmatch(r"[a-z0-9-]{1,32}", step) for step in steps):
        raise Trouble(
            f"{option} 的写法：片区/社区/小区/楼/单元，从片区起，可只写前几级，各级编号只用小写字母、数字或连字符。",
            f"{option} is area/community/compound/building/unit, from the area on, as far down as wanted; ids are of a-z, 0-9 and -.",
        )
    return steps


def _see_names(login: str, references: list[tuple[str, str]]) -> None:
    """See that a login can be typed, that a reference can be one of the topics, and that none is somebody's number. `references`: option and value.

    Raises:
        Trouble: it is not so; names the option.
    """
    # A form takes blanks at the ends away, and nobody can type what nobody sees.
    if re.search(r"\s", login) or not login.isprintable() or login != login.lower():
        raise Trouble(*_REFUSED["accounts_login_check"])
    for option, given in references:
        if re.fullmatch(shapes.ID, given) is None or len(given) > _REFERENCE_MAX:
            raise Trouble(
                f"{option} 须为 1 至 {_REFERENCE_MAX} 个字符，不含空格和控制字符，与心愿和服务登记中的编号一致。",
                f"{option} has 1 to {_REFERENCE_MAX} characters, no blanks and no control characters: the reference of the person's wishes or offers.",
            )
    for option, given in (("LOGIN", login), *references):
        if is_bare_number(given):
            raise Trouble(
                f"{option} 不能是电话或身份证号：它会出现在列表和网址中，请另取一个。",
                f"{option} is no phone or identity-card number: it is seen in lists and addresses. Take something else.",
            )


def show(made: Made, out: Callable[[str], None]) -> None:
    """Say what is said once only."""
    out(f"{both('账号', 'login')}: {made.login}")
    if not made.password:
        out(both("在统一登录处登录，这里没有密码", "signs in at the provider, and has no password here"))
        return
    out(f"{both('初始密码（只显示一次）', 'first password, shown once')}: {made.password}")
    if made.totp is not None:
        out(f"{both('两步验证密钥（只显示一次）', 'second factor, shown once')}: {made.totp}")
        out(f"{made.totp_address}")


Login = Annotated[str, typer.Argument(help="账号名 · login")]
_ISSUER: Final = "统一登录的 issuer · the OpenID provider's issuer"
_SUBJECT: Final = "统一登录中的 subject · the subject there"


def _see_form_of_issuer(issuer: str) -> None:
    """See that it is one that a gateway takes as its `LASTMETRE_OIDC_ISSUER`: by any other nobody could ever sign in.

    Raises:
        Trouble: it is none.
    """
    from services.gateway.settings import ISSUER

    if re.fullmatch(ISSUER, issuer) is None:
        raise Trouble(
            "没有改动。--issuer 须为 https 网址，与网关的 LASTMETRE_OIDC_ISSUER 逐字相同。",
            "Nothing was changed. --issuer is an https address, letter by letter as the gateway's LASTMETRE_OIDC_ISSUER has it.",
        )


async def _see_issuer(connection: Any, issuer: str) -> None:
    """Ask about an issuer that is not the gateway's, letter by letter: nobody could sign in by it. Where it is not set here, what others are linked to counts.

    Raises:
        Trouble: it was not meant.
    """
    configured = os.environ.get("LASTMETRE_OIDC_ISSUER")
    known = [configured] if configured else [row["issuer"] for row in await connection.fetch("SELECT DISTINCT issuer FROM gateway.identities ORDER BY issuer")]
    if not known or issuer in known:
        return
    said = ", ".join(known)
    if configured:
        asked = both(
            f"网关的 LASTMETRE_OIDC_ISSUER 是 {said}，须逐字相同。仍用 {issuer}？",
            f"the gateway's issuer is {said}, letter by letter. Take {issuer} all the same?",
        )
    else:
        asked = both(f"其他账号关联的是 {said}，须与网关的设置逐字相同。仍用 {issuer}？", f"other accounts are linked to {said}. Take {issuer} all the same?")
    if not _agreed(asked):
        raise Trouble(
            f"没有改动。--issuer 请填与网关的 LASTMETRE_OIDC_ISSUER 逐字相同的值：{said}",
            f"Nothing was changed. Give --issuer as the gateway's LASTMETRE_OIDC_ISSUER has it, letter by letter: {said}",
        )


@account.command()
def add(
    login: Login,
    *,
    role: Annotated[list[str], typer.Option("--role", help=f"角色，可多个 · a role, more than once for several: {_ROLES}")],
    scope: Annotated[str, typer.Option("--scope", help="范围：片区/社区/… · scope: area/community/…")],
    centre: Annotated[str | None, typer.Option("--centre", help="中心户负责的单元 · the unit whose centre household this is")] = None,
    volunteer: Annotated[str | None, typer.Option("--volunteer", help="志愿者编号 · volunteer_ref")] = None,
    resident: Annotated[list[str] | None, typer.Option("--resident", help="居民编号，可多个 · resident_ref")] = None,
    issuer: Annotated[str | None, typer.Option("--issuer", help=_ISSUER)] = None,
    subject: Annotated[str | None, typer.Option("--subject", help=_SUBJECT)] = None,
) -> None:
    """新增账号，初始密码 7 天内须修改 · Add an account; its first password is to be changed within a week."""
    steps = _steps("--scope", scope)
    assert steps is not None
    _see_names(login, [("--volunteer", one) for one in (volunteer,) if one is not None] + [("--resident", one) for one in resident or ()])
    if (issuer is None) != (subject is None):
        raise Trouble("--issuer 和 --subject 须一起给出。", "Give --issuer and --subject together.")
    oidc = (issuer, subject) if issuer is not None and subject is not None else None
    if oidc is not None:
        _see_form_of_issuer(oidc[0])
    unit = _steps("--centre", centre)
    if unit is not None and unit[0] != steps[0]:
        raise Trouble(f"--centre 须在 --scope 的片区 {steps[0]} 内。", f"--centre lies in the area of --scope, {steps[0]}.")
    wanted = NewAccount(login, tuple(role), steps, unit, volunteer, tuple(resident or ()), oidc)

    async def work(connection: Any, keys: Any) -> None:
        if oidc is not None:
            await _see_issuer(connection, oidc[0])
        made = await make(connection, keys, wanted, datetime.now(UTC))
        show(made, typer.echo)
        anchor_of(keys).write(*made.audited)

    run_as_owner(work, changes=True)


@account.command(name="list")
def list_accounts() -> None:
    """列出账号 · List the accounts."""
    from deploy.tables import Table

    async def work(connection: Any, _keys: Any) -> None:
        table = Table("账号 · login", "角色 · roles", "范围 · scope", "两步 · second factor", "统一登录 · provider", "停用 · disabled", "编号 · id")
        rows = await connection.fetch(
            "SELECT login, roles, scope, totp IS NOT NULL AS totp, EXISTS (SELECT FROM gateway.identities i WHERE i.account_id = a.account_id) AS linked,"
            " disabled_at, account_id FROM gateway.accounts a ORDER BY login"
        )
        for row in rows:
            table.add_row(
                row["login"],
                " ".join(row["roles"]),
                "/".join(row["scope"]),
                *("✓" if row[name] else "" for name in ("totp", "linked")),
                str(row["disabled_at"] or ""),
                row["account_id"],
            )
        show_table(table)

    run_as_owner(work)


def show_table(table: Any) -> None:
    """Show a table at the terminal."""
    from deploy.tools.target import console

    console().print(table)


async def _id_of(connection: Any, login: str) -> str:
    found = await connection.fetchval("SELECT account_id FROM gateway.accounts WHERE login = $1", login)
    if found is None:
        raise Trouble(f"没有账号 {login}。", f"There is no account {login}.")
    return str(found)


@account.command()
def disable(login: Login) -> None:
    """停用账号并结束其全部会话；管理员不能恢复 · Disable an account and end all its sessions; no admin can let it in again."""
    _set_disabled(login, datetime.now(UTC), "disable_account", both("已停用", "disabled"))


@account.command()
def enable(login: Login) -> None:
    """恢复被停用的账号 · Let a disabled account in again."""
    _set_disabled(login, None, "enable_account", both("已恢复", "enabled"))


def _set_disabled(login: str, at: datetime | None, act: str, said: str) -> None:
    async def work(connection: Any, keys: Any) -> None:
        account_id = await _id_of(connection, login)
        async with connection.transaction():
            await connection.execute("UPDATE gateway.accounts SET disabled_at = $2, disabled_by = NULL WHERE account_id = $1", account_id, at)
            end = await (_note if at is None else _end_sessions)(connection, keys, act, account_id)
        anchor_of(keys).write(*end)
        typer.echo(said)

    run_as_owner(work, changes=True)


@account.command()
def reset(login: Login) -> None:
    """新的初始密码（和两步验证），结束全部会话 · A new first password (and second factor); all sessions end."""
    from argon2 import PasswordHasher

    from services.gateway.identity import second_factor
    from services.gateway.identity.model import SECOND_FACTOR_ROLES
    from services.gateway.identity.passwords import MEMORY_KIB, ROUNDS, random_password

    async def work(connection: Any, keys: Any) -> None:
        account_id = await _id_of(connection, login)
        needed = "SELECT totp IS NOT NULL OR roles && $2 FROM gateway.accounts WHERE account_id = $1"
        needs = await connection.fetchval(needed, account_id, list(SECOND_FACTOR_ROLES))
        password, totp = random_password(), second_factor.new_secret() if needs else None
        hashed = PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=1).hash(password)
        sealed = None if totp is None else second_factor.seal(keys, totp, account_id)
        async with connection.transaction():
            await connection.execute(_RESET, account_id, hashed, datetime.now(UTC) + FIRST_PASSWORD, sealed)
            end = await _end_sessions(connection, keys, "reset_account", account_id)
        show(Made(account_id, login, password, totp, None if totp is None else second_factor.address(totp, login), end), typer.echo)
        anchor_of(keys).write(*end)

    run_as_owner(work, changes=True)


@account.command()
def link(
    login: Login,
    issuer: Annotated[str, typer.Option("--issuer", help=_ISSUER)],
    subject: Annotated[str, typer.Option("--subject", help=_SUBJECT)],
) -> None:
    """改在统一登录处登录：本地密码和两步验证作废，会话全部结束 · Sign in at the provider from now on: password and second factor here go, all sessions end."""
    import asyncpg

    _see_form_of_issuer(issuer)
    identity = (issuer, subject)

    async def work(connection: Any, keys: Any) -> None:
        account_id = await _id_of(connection, login)
        await _see_issuer(connection, issuer)
        try:
            async with connection.transaction():
                await connection.execute("SELECT FROM gateway.accounts WHERE account_id = $1 FOR UPDATE", account_id)
                linked = [tuple(row) for row in await connection.fetch("SELECT issuer, subject FROM gateway.identities WHERE account_id = $1", account_id)]
                if identity in linked:
                    typer.echo(both("已关联，没有改动", "is linked already, nothing was changed"))
                    return
                if linked:
                    raise Trouble(
                        f"账号 {login} 已关联另一身份。请先运行：python3 -m deploy account unlink {login}",
                        f"{login} is linked to another identity. First run: python3 -m deploy account unlink {login}",
                    )
                await connection.execute("INSERT INTO gateway.identities (issuer, subject, account_id) VALUES ($1, $2, $3)", *identity, account_id)
                await connection.execute(_PROVIDER_ALONE, account_id)
                end = await _end_sessions(connection, keys, "link_account", account_id)
        except asyncpg.UniqueViolationError:
            query = "SELECT login FROM gateway.accounts JOIN gateway.identities USING (account_id) WHERE issuer = $1 AND subject = $2"
            other = await connection.fetchval(query, *identity)
            raise Trouble(f"该身份属于账号 {other}：一个身份只能有一个账号。", f"This identity is account {other}'s: an identity has one account.") from None
        except asyncpg.CheckViolationError:
            raise Trouble(*_REFUSED["identities_subject_check"]) from None
        anchor_of(keys).write(*end)
        typer.echo(
            both("已关联：只在统一登录处登录，本地密码和两步验证已作废", "linked: signs in at the provider alone; password and second factor here are gone")
        )
        if not os.environ.get("LASTMETRE_OIDC_ISSUER"):
            chinese, english = (
                "这里没有设置 LASTMETRE_OIDC_ISSUER，请核对网关的设置与此逐字相同",
                "LASTMETRE_OIDC_ISSUER is not set here: see that the gateway's is this",
            )
            typer.echo(f"{both(chinese, english)}: {issuer}")

    run_as_owner(work, changes=True)


@account.command()
def unlink(login: Login) -> None:
    """取消与统一登录的关联，会话全部结束 · Take the link to the provider away; all sessions end."""

    async def work(connection: Any, keys: Any) -> None:
        account_id = await _id_of(connection, login)
        async with connection.transaction():
            has_password = await connection.fetchval("SELECT password_hash IS NOT NULL FROM gateway.accounts WHERE account_id = $1", account_id)
            if await connection.execute("DELETE FROM gateway.identities WHERE account_id = $1", account_id) == "DELETE 0":
                typer.echo(both("没有关联，没有改动", "is not linked, nothing was changed"))
                return
            end = await _end_sessions(connection, keys, "unlink_account", account_id)
        anchor_of(keys).write(*end)
        typer.echo(both("已取消关联", "unlinked"))
        if not has_password:
            command = f"python3 -m deploy account reset {login}"
            typer.echo(
                both(f"此账号没有密码，现在无法登录。给出初始密码：{command}", f"it has no password and cannot sign in now. Give it a first one: {command}")
            )

    run_as_owner(work, changes=True)


async def _end_sessions(connection: Any, keys: Any, act: str, account_id: str) -> tuple[int, bytes]:
    """End all sessions of an account and put what was done into the audit log, in this transaction; the log's end."""
    await connection.execute("DELETE FROM gateway.sessions WHERE account_id = $1", account_id)
    return await _note(connection, keys, act, account_id)


async def _note(connection: Any, keys: Any, act: str, account_id: str) -> tuple[int, bytes]:
    """Put what was done to an account into the audit log, in this transaction; the log's end, as (seq, hash)."""
    from services.gateway.identity.audit import append

    area = await connection.fetchval("SELECT scope[1] FROM gateway.accounts WHERE account_id = $1", account_id)
    things = [f"account_id={account_id}"]
    return await append(connection, keys, act, "allowed", at=datetime.now(UTC), request="deploy", who="operator", area=area, things=things)


def anchor_of(keys: Any) -> Any:
    """Where the audit log's end is noted outside the database."""
    from deploy.gateway_keys import gateway_key_file
    from deploy.state import State, default_folder
    from services.gateway.identity.audit import Anchor

    return Anchor(gateway_key_file(State(default_folder())).with_name("audit-anchor.json"), keys)


@account.command()
def new_keys() -> None:
    """新建网关密钥文件 · Make the gateway's key file, where there is none."""
    from deploy.gateway_keys import gateway_key_file
    from deploy.state import State, default_folder
    from services.gateway.identity.keys import make_key_file, read_key_file

    path = gateway_key_file(State(default_folder()))
    if path.exists():
        raise Trouble(f"密钥文件已存在，不会覆盖：{path}", f"There is a key file already, which is not replaced: {path}")
    make_key_file(path)
    read_key_file(path)
    typer.echo(f"{both('已新建', 'made')}: {path}")
