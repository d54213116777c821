"""`python3 -m deploy vault ...`: the vault at the terminal. Personal data comes from a file or standard input, never from arguments; each look is audited."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.words import NOT_TEXT, Trouble

if TYPE_CHECKING:
    from rich.console import Console

    from deploy.tools.wording import Lang as Speech
    from deploy.vault_orders import ConsentOrder
    from services.vault.consents import Consent
    from services.vault.policy import Reader, Visit
    from services.vault.vault import Vault

PLAIN_WIDTH = 200

Lang = Annotated[str | None, typer.Option("--lang", help="zh、en 或 both（默认取 LASTMETRE_LANG）· zh, en or both (default: LASTMETRE_LANG)")]
Who = Annotated[str, typer.Option("--as", help="以谁的名义：自己的工号或代号，记入审计 · who you are: your own reference, for the audit")]
Why = Annotated[str, typer.Option("--why", help="用途，记入审计；不要写个人信息 · what for, for the audit; no personal data")]

vault = typer.Typer(help="保险箱：联系方式与门牌，按人加密 · The vault: contact data and doors, sealed per person", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `python3 -m deploy`."""
    app.add_typer(vault, name="vault")


def _dsn(named: str | None) -> str:
    """`LASTMETRE_VAULT_DATABASE`, else the servers that the tools work on."""
    if named:
        return named
    from deploy.tools import target  # brings the matcher along, which is slow to import

    return target.find().dsn("vault")


@asynccontextmanager
async def _opened() -> AsyncIterator[Vault]:
    """The vault of the running system.

    Raises:
        Trouble: nothing runs, the key file cannot be used, PostgreSQL does not answer, or the vault refuses.
    """
    import asyncpg

    from deploy.state import State, default_folder
    from deploy.vault_keys import key_file, settings
    from services.vault.faults import VaultFault
    from services.vault.vault import Vault

    found = settings()
    dsn = _dsn(found.vault_database.get_secret_value() if found.vault_database else None)
    try:
        opened = await Vault.connect(dsn, key_file(State(default_folder()), found), found.ladder)
        try:
            yield opened
        finally:
            await opened.close()
    except VaultFault as fault:
        raise Trouble(fault.chinese, fault.english) from fault
    except asyncpg.DataError as fault:
        raise Trouble(*NOT_TEXT) from fault
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        kind, look = type(fault).__name__, ("请核对 LASTMETRE_VAULT_DATABASE", "See that LASTMETRE_VAULT_DATABASE is right")
        if found.vault_database is None:
            look = ("请看：python3 -m deploy status", "See: python3 -m deploy status")
        raise Trouble(
            f"保险箱的数据库没有应答或拒绝了（{kind}）。{look[0]}", f"The vault's database does not answer, or refuses ({kind}). {look[1]}"
        ) from fault


def _run(main: Callable[[Vault, Console, Speech], Coroutine[Any, Any, None]], lang: str | None) -> None:
    from rich.console import Console

    from deploy.tools.wording import language

    speech, console = language(lang), Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=PLAIN_WIDTH)

    async def inside() -> None:
        async with _opened() as opened:
            await main(opened, console, speech)

    asyncio.run(inside())


_KINDS: dict[str, tuple[str, str]] = {"REF": ("人员编号", "a person's reference"), "--as": ("您自己的编号", "your own reference")}


def _see_reference(ref: str, given: str = "REF") -> None:
    """Whom somebody looks for, and for what, stands in the audit for ever, also where there is nobody: a number with blanks between its digits must not.

    Raises:
        Trouble: it is no reference; `given` is how it was given.
    """
    from services.vault.vault import is_reference

    if not is_reference(ref):
        zh, en = _KINDS.get(given, ("编号", "a reference"))
        raise Trouble(
            f"{given} 须为{zh}：1 至 128 个字符，不含空格，不能是电话或身份证号。",
            f"{given} is {en}: 1 to 128 characters without blanks, and no phone or identity-card number.",
        )


def _operator(who: str) -> Reader:
    """Whoever does it, by a reference of their own: a number beside a name would stay in the audit as well.

    Raises:
        Trouble: it holds a number of a person.
    """
    from schemas.personal import find_personal_data
    from services.vault.policy import Reader

    _see_reference(who, "--as")
    if find_personal_data(who) in {"phone", "identity_card"}:
        raise Trouble(
            "--as 中有电话或身份证号，而审计会一直保留：请用工号或代号。",
            "--as holds a phone or identity-card number, and the audit keeps it for ever: give your staff number or another reference.",
        )
    return Reader("operator", who)


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """(number, line) of a file or, for `-`, of standard input; empty lines are left out.

    Raises:
        Trouble: it cannot be read, or a line is no JSON in UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as fault:
        raise Trouble(f"无法读取 {path}（{fault.strerror}）。", f"{path} cannot be read ({fault.strerror}).") from fault
    for number, line in enumerate(data.removeprefix(BOM_UTF8).splitlines(), 1):
        if line.strip():
            try:
                json.loads(line)
            except ValueError:
                raise Trouble(f"第 {number} 行：不是 UTF-8 编码的 JSON", f"line {number}: is no JSON in UTF-8") from None
            yield number, line


@vault.command()
def put(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines 文件，- 为标准输入 · a file of JSON lines, - for standard input")],
    *,
    who: Who,
    why: Why,
    lang: Lang = None,
) -> None:
    """存入：先校验全部行 · Put people in. All lines are checked first.

    一行一人 · A line is one person: {"person_ref": "r-17", "area": "gaoxin", "minor": false, "contact": {"name": "…", "phone": "…", "door": "…"}}
    """
    from deploy.tools.wording import join
    from services.vault.contact import parse_card
    from services.vault.faults import BadContact, VaultFault

    cards = []
    for number, line in _lines(file):
        try:
            cards.append((number, parse_card(line)))
        except BadContact as fault:
            raise Trouble(f"第 {number} 行：{fault.chinese}", f"line {number}: {fault.english}") from fault

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        for done, (number, card) in enumerate(cards):
            try:
                await opened.put(card.person_ref, card.area, card.contact, _operator(who), why, minor=card.minor)
            except VaultFault as fault:
                raise Trouble(
                    f"第 {number} 行：{fault.chinese}。之前的 {done} 人已存入。", f"line {number}: {fault.english}. The {done} before it are in."
                ) from fault
        console.print(join(speech, (f"已存入 {len(cards)} 人。", f"{len(cards)} {'person is' if len(cards) == 1 else 'people are'} in.")))

    _run(work, lang)


@vault.command()
def show(
    ref: Annotated[str, typer.Argument(metavar="REF", help="人员编号 · the person's reference")],
    *,
    who: Who,
    why: Why,
    fields: Annotated[str | None, typer.Option("--fields", help="只看这些字段，逗号分隔 · only these fields, with commas between")] = None,
    match: Annotated[str | None, typer.Option("--match", help="为哪次配对 · for which match")] = None,
    wish: Annotated[str | None, typer.Option("--wish", help="为哪个心愿 · for which wish")] = None,
    lang: Lang = None,
) -> None:
    """查看一人的信息（记入审计） · Show what is kept of a person; the look itself is in the audit."""
    from rich.text import Text

    from deploy.tables import Table
    from deploy.tools.wording import clean, join
    from services.vault.contact import FIELDS, READABLE
    from services.vault.policy import Occasion

    wanted = FIELDS if fields is None else tuple(one.strip() for one in fields.split(",") if one.strip())
    if not wanted or not READABLE.issuperset(wanted):
        known = ", ".join(sorted(READABLE))
        raise Trouble(f"没有这个字段。可选：{known}", f"There is no such field. There are: {known}")
    for name, value in (("REF", ref), ("--match", match), ("--wish", wish)):
        if value is not None:
            _see_reference(value, name)

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        found = await opened.read(ref, wanted, _operator(who), Occasion(match, wish), why)
        table = Table(join(speech, ("字段", "field")), join(speech, ("内容", "value")))
        for name, value in found.items():
            if value is not None:
                table.add_row(name, Text(clean(value if isinstance(value, str) else repr(value))))
        console.print(table)

    _run(work, lang)


def _still_to_come(visits: Sequence[Visit]) -> tuple[str, str]:
    wishes = ", ".join(dict.fromkeys(one.wish_id for one in visits))
    chinese = f"还有 {len(visits)} 次约好的服务，对方还不知道。心愿：{wishes}。请撤回此人的心愿，或暂停此人的服务（offer.suspended）；系统随后告知对方。"
    english = f"{len(visits)} visits with them are still to come, and the other side knows nothing of it. Wishes: {wishes}. "
    return chinese, english + "Withdraw the wish if it is theirs, or suspend their offer (offer.suspended): the other side is told then."


@vault.command()
def erase(ref: Annotated[str, typer.Argument(metavar="REF", help="人员编号 · the person's reference")], *, who: Who, why: Why, lang: Lang = None) -> None:
    """删除一人：销毁其密钥，备份中的也打不开 · Erase a person: their key is destroyed, so that backups do not open either."""
    from deploy.tools.wording import join

    _see_reference(ref)

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        expected = await opened.visits_to_come(ref)  # their rows go, too
        if await opened.erase(ref, _operator(who), why):
            console.print(
                join(speech, ("已删除，密钥已销毁。密钥文件的旧副本也请删除。", "Erased, and the key is destroyed. Delete older copies of the key file, too."))
            )
            if expected:
                console.print(join(speech, _still_to_come(expected)), markup=False)
        else:
            console.print(join(speech, ("保险箱中没有此人（或早已删除）。", "Nobody of that reference is in the vault (or was erased before).")))

    _run(work, lang)


@vault.command()
def rotate(
    *,
    who: Who,
    why: Why,
    retire: Annotated[
        bool,
        typer.Option(
            "--retire", help="之后作废旧主密钥：之前的备份对任何人都不再可读 · throw older master keys away after it: earlier backups open for nobody"
        ),
    ] = False,
    lang: Lang = None,
) -> None:
    """更换主密钥，所有人重新加密 · Make a new master key and seal everyone anew under it, while others go on reading."""
    from deploy.tools.wording import join

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        count = await opened.rotate(_operator(who), why, retire=retire)
        console.print(join(speech, (f"{count} 人已用新主密钥重新加密。", f"{count} people are sealed anew under the new master key.")))

    _run(work, lang)


@vault.command()
def audit(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="只看一人 · one person only")] = None,
    *,
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="最多多少行 · how many rows at most")] = 50,
    lang: Lang = None,
) -> None:
    """谁在何时为何查看了谁的什么 · Who looked at what of whom, when and why; newest first."""
    from rich.text import Text

    from deploy.tables import Table
    from deploy.tools.wording import clean, clock, join, word
    from services.vault.faults import REASONS

    heads = (("时间", "when"), ("动作", "action"), ("结果", "outcome"), ("谁", "who"), ("关于", "about"), ("字段", "fields"), ("用途", "why"), ("事由", "for"))

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        table = Table(*(join(speech, head) for head in heads))
        for entry in await opened.audit(ref, lines):
            outcome = entry.outcome if entry.reason is None else f"{entry.outcome}: {join(speech, word(dict(REASONS), entry.reason))}"
            occasion = entry.match_id or entry.wish_id or ""
            cells = (f"{entry.role} {entry.reader_ref}", entry.person_ref or "", ", ".join(entry.fields), entry.why, occasion)
            table.add_row(clock(entry.at), entry.action, Text(outcome), *(Text(clean(cell)) for cell in cells))
        console.print(table)

    _run(work, lang)


@vault.command()
def consents(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="只看一名未成年人 · one minor only")] = None,
    *,
    file: Annotated[
        str | None, typer.Option("--from", help="登记或撤回：JSON Lines 文件，- 为标准输入 · note or withdraw: a file of JSON lines, - for stdin")
    ] = None,
    who: Annotated[str, typer.Option("--as", help="登记人 · who notes it")] = "",
    why: Annotated[str, typer.Option("--why", help="用途 · what for")] = "",
    lang: Lang = None,
) -> None:
    """监护人同意：查看、登记、撤回 · Guardians' consents: look, note, withdraw.

    登记 · note: {"minor_ref", "guardian_ref", "purpose", "starts_at", "ends_at", "proof_file" | "proof_sha256"}; 撤回 · withdraw:
    {"withdraw": true, "minor_ref", "guardian_ref", "purpose"?}. purpose: keep, notify, visit, support, access.
    """
    from deploy.tables import Table
    from deploy.tools.wording import clean, join, moment

    # Proofs are read before anything is noted.
    orders = [] if file is None else [(number, order, None if order.withdraw else _consent(number, order)) for number, order in _orders(file)]
    if orders and not (who and why.strip()):
        raise Trouble("登记或撤回须给出 --as 和 --why。", "To note or withdraw, give --as and --why.")
    heads = (("未成年人", "minor"), ("监护人", "guardian"), ("用途", "purpose"), ("起", "from"), ("止", "to"), ("登记", "given"), ("撤回", "withdrawn"))

    async def work(opened: Vault, console: Console, speech: Speech) -> None:
        for number, order, consent in orders:
            if consent is not None:
                await opened.give_consent(consent, _operator(who), why)
            elif not await opened.withdraw_consent(order.minor_ref, order.guardian_ref, order.purpose, _operator(who), why):
                nothing = (
                    "没有可撤回的同意：请核对编号与用途，或早已撤回",
                    "no consent to withdraw: check the references and the purpose, or it was withdrawn before",
                )
                console.print(join(speech, (f"第 {number} 行：{nothing[0]}", f"line {number}: {nothing[1]}")), style="yellow")
        table = Table(*(join(speech, head) for head in heads))
        for one in await opened.consents(ref):
            # With the year: most hold for one.
            times = ("" if at is None else f"{moment(at):%Y-%m-%d %H:%M:%S}" for at in (one.starts_at, one.ends_at, one.given_at, one.withdrawn_at))
            table.add_row(clean(one.minor_ref), clean(one.guardian_ref), one.purpose, *times)
        console.print(table)

    _run(work, lang)


def _orders(path: str) -> list[tuple[int, ConsentOrder]]:
    """(number, order) of each line of `consents --from`.

    Raises:
        Trouble: the file cannot be read, or a line is not valid.
    """
    return [(number, _order(number, line)) for number, line in _lines(path)]


def _consent(number: int, order: ConsentOrder) -> Consent:
    """The consent that a line notes.

    Raises:
        Trouble: its proof cannot be read.
    """
    try:
        return order.consent()
    except Trouble as fault:
        raise Trouble(f"第 {number} 行：{fault.chinese}", f"line {number}: {fault.english}") from fault


def _order(number: int, line: bytes) -> ConsentOrder:
    """A line of `consents --from`.

    Raises:
        Trouble: it is not valid; names the fields.
    """
    from pydantic import ValidationError

    from deploy.vault_orders import ConsentOrder

    try:
        return ConsentOrder.model_validate_json(line)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        # A rule over several fields names them itself, in both languages.
        chinese, _, english = next(
            (one["msg"].removeprefix("Value error, ") for one in found if not one["loc"] and one["type"] == "value_error"), ""
        ).partition(" | ")
        if english:
            raise Trouble(f"第 {number} 行：{chinese}", f"line {number}: {english}") from None
        named = sorted({".".join(map(str, one["loc"])) or "-" for one in found if one["type"] != "extra_forbidden"})
        fields = ", ".join(named) or "-"
        raise Trouble(f"第 {number} 行：字段不合规或多余：{fields}", f"line {number}: not valid, or no field of ours: {fields}") from None


@vault.command("new-keys")
def new_keys() -> None:
    """新建密钥文件（权限 0600），已有则不覆盖 · Make the key file (mode 0600); one that is there is never replaced."""
    from rich.console import Console

    from deploy.state import State, default_folder
    from deploy.vault_keys import key_file
    from deploy.words import both
    from services.vault.faults import BadKeys
    from services.vault.vault import utc_now

    file = key_file(State(default_folder()))
    try:
        file.create(utc_now())
    except BadKeys as fault:
        raise Trouble(fault.chinese, fault.english) from fault
    Console(highlight=False).print(both("已新建密钥文件", "made the key file"), os.fspath(file.path), markup=False, soft_wrap=True)


def digest_of(path: Path) -> bytes:
    """The SHA-256 of a proof.

    Raises:
        Trouble: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as fault:
        raise Trouble(f"无法读取 {path}（{fault.strerror}）。", f"{path} cannot be read ({fault.strerror}).") from fault
