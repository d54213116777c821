"""`ledger` and `attention` as the terminal sees them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from deploy.words import Trouble

EXIT_UNFINISHED = 3

Lang = Annotated[str | None, typer.Option("--lang", help="zh、en 或 both（默认取 LASTMETRE_LANG）· zh, en or both (default: LASTMETRE_LANG)")]
Csv = Annotated[Path | None, typer.Option("--csv", help="写成 CSV 文件 · write a CSV file")]
Page = Annotated[Path | None, typer.Option("--page", help="写成可打印的网页（A4）· write a page to print (A4)")]

ledger = typer.Typer(help="账本：时长、积分、双报到、更正 · The ledger: hours, points, organisations, corrections", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `python3 -m deploy`."""
    app.add_typer(ledger, name="ledger")
    app.command()(attention)


def _put(sheet: Any, csv: Path | None, page: Path | None, lang: str | None) -> None:
    from deploy.tools import ledger_page, ledger_show, target
    from deploy.tools.wording import join, language

    speech, console = language(lang), target.console()
    if csv is not None:
        ledger_page.write_csv(csv, sheet)
    if page is not None:
        ledger_page.write_page(page, sheet, datetime.now(UTC))
    for path in (csv, page):
        if path is not None:
            console.print(join(speech, (f"已写入 {path}", f"{path} is written")), style="green", markup=False, soft_wrap=True)
    if csv is None and page is None:
        ledger_show.show(sheet, console, speech)


@ledger.command()
def statement(
    *,
    volunteer: Annotated[str, typer.Option("--volunteer", help="志愿者编号 · the volunteer's reference")],
    area: Annotated[str | None, typer.Option("--area", help="片区；在几个片区都有服务时必填 · the area, where there are several")] = None,
    half: Annotated[str | None, typer.Option("--half", help="只看一个半年，如 2026H2 · one half-year only, such as 2026H2")] = None,
    csv: Csv = None,
    page: Page = None,
    lang: Lang = None,
) -> None:
    """一位志愿者的服务记录：时长、积分、星级，按日期 · A volunteer's hours, points, stars and visits by date."""
    from deploy.tools import ledger as books
    from deploy.tools import ledger_show, target

    period = None if half is None else books.half_of(half, datetime.now(UTC))
    _put(ledger_show.statement_sheet(asyncio.run(books.statement(target.find(), volunteer, area, period))), csv, page, lang)


@ledger.command()
def branch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="组织名称（党支部、单位、队伍）· the organisation's name")],
    *,
    half: Annotated[str | None, typer.Option("--half", help="半年，如 2026H2，默认本期 · a half-year such as 2026H2; the present one by default")] = None,
    csv: Csv = None,
    page: Page = None,
    lang: Lang = None,
) -> None:
    """一个组织的“双报到”：谁已报到，谁在本期服务过 · Who of an organisation has reported in, and who has served in the half-year."""
    from deploy.tools import ledger as books
    from deploy.tools import ledger_show, target

    period = books.half_of(half, datetime.now(UTC))
    _put(ledger_show.branch_sheet(asyncio.run(books.branch(target.find(), name, period))), csv, page, lang)


@ledger.command()
def check(*, lang: Lang = None) -> None:
    """核对账目：每笔及各项合计均为零；不平衡时退出码为 1 · See that all sums are zero, by unit and by transaction. Exit code 1 if not."""
    from deploy.tools import ledger as books
    from deploy.tools import ledger_show, target
    from deploy.tools.wording import language

    speech, found = language(lang), asyncio.run(books.audit(target.find()))
    ledger_show.show_audit(found, target.console(), speech)
    if not found.ok:
        raise typer.Exit(1)


@ledger.command()
def correct(
    match_id: Annotated[str, typer.Argument(help="配对编号 · the match's id")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="更正的原因，不含个人信息 · why; no personal data")],
    outcome: Annotated[Literal["done", "partly", "not_done"] | None, typer.Option("--outcome", help="结果 · the outcome")] = None,
    minutes: Annotated[int | None, typer.Option("--minutes", min=0, max=1440, help="服务分钟数 · the minutes that it took")] = None,
    withdraw: Annotated[
        bool,
        typer.Option(
            "--withdraw", help="其实已办好时，撤回因此重新开放的心愿（有人要来则不撤）· where it helped after all, withdraw the wish that was opened again"
        ),
    ] = False,
    lang: Lang = None,
) -> None:
    """以社区回访更正一次服务，账本记入差额 · Correct a visit by the community's word; the books take the difference. Exit code 3: sent, not (all) done yet."""
    from deploy.tools import ledger_correct, ledger_wish, target
    from deploy.tools.explain import say
    from deploy.tools.wording import clean, clock, language

    if outcome is None and minutes is None:
        raise Trouble("请给出 --outcome 或 --minutes。", "Give --outcome or --minutes.")
    if withdraw and outcome not in {"done", None}:
        raise Trouble("--withdraw 只用于 --outcome done。", "--withdraw goes with --outcome done alone.")
    speech, console, found = language(lang), target.console(), target.find()
    sent = asyncio.run(ledger_correct.correct(found, match_id, outcome, minutes, reason))
    if not sent.is_booked:
        said = ("已发送，尚未入账。notifier 恢复后会自动处理。", "Sent, but not booked yet: it will be once the notifier is back.")
        if sent.waits_until_us is not None:
            at = clock(sent.waits_until_us)
            said = (
                f"已记下，尚未入账：这次服务最早到 {at} 才算结束（时段未开始，或还在等志愿者报告），届时自动入账。",
                f"Noted, but not booked yet: the visit has no end before {at} (its slot is to come, or the helper's report is awaited); it is booked then.",
            )
        say(console, speech, said, "yellow")
        raise typer.Exit(EXIT_UNFINISHED)
    say(console, speech, ("已更正，账本已记入差额。", "Corrected: the books have taken the difference."), "green")
    after = asyncio.run(ledger_wish.look(found, match_id))
    if withdraw and after is not None and after.is_needless and asyncio.run(ledger_wish.withdraw(found, after, reason)):
        say(console, speech, (f"心愿 {clean(after.wish_id, 128)} 已撤回。", f"Wish {clean(after.wish_id, 128)} is withdrawn."), "green")
        return
    told = None if after is None else ledger_wish.words(after)
    if told is not None:
        say(console, speech, told, "yellow")
    if withdraw and after is not None and after.is_looked_for:
        raise typer.Exit(EXIT_UNFINISHED)


def attention(
    *,
    within: Annotated[
        float, typer.Option("--within", min=0.1, max=168, metavar="HOURS", help="几小时内开始的服务算作告急 · visits that begin within so many hours")
    ] = 4.0,
    lang: Lang = None,
) -> None:
    """需要有人过问的事：无人确认、未答复、卡住、逾期 · What somebody should look at: at risk, unanswered, stuck, overdue. Exit code 1 if there is any."""
    from deploy.tools import attention as work
    from deploy.tools import target
    from deploy.tools.wording import language

    speech = language(lang)
    found = asyncio.run(work.look(target.find(), within))
    work.show(found, target.console(), speech)
    if found:
        raise typer.Exit(1)
