"""`python3 -m deploy audit ...`: whether the gateway's audit log holds, and its latest rows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.account import anchor_of, run_as_owner, show_table
from deploy.words import Trouble, both

audit = typer.Typer(help="网关审计：查看、校验 · The gateway's audit log: look, verify", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `python3 -m deploy`."""
    app.add_typer(audit, name="audit")


@audit.command()
def verify(
    anchor: Annotated[list[str] | None, typer.Option("--anchor", help="另外记下的链尾 SEQ:HASH · an end of the chain noted elsewhere, SEQ:HASH")] = None,
) -> None:
    """校验审计链：改动、删除、换序、截尾都会发现 · Verify the chain: a row changed, removed, moved, or cut off at the end is found."""
    from services.gateway.identity.audit import verify_stored

    noted = [_noted(text) for text in anchor or ()]

    async def work(connection: Any, keys: Any) -> None:
        outside = anchor_of(keys)
        try:
            kept = outside.read()
        except ValueError:
            raise Trouble(f"库外链尾文件被改动：{outside.path}", f"The anchor file was changed: {outside.path}") from None
        verdict = await verify_stored(connection, [*noted, *([] if kept is None else [kept])], keys)
        if verdict.fault is not None:
            raise Trouble(f"审计链不成立：{verdict.fault[0]}", f"The audit log does not hold: {verdict.fault[1]}")
        typer.echo(f"{both(f'审计链成立，共 {verdict.rows} 条', f'the audit log holds, {verdict.rows} rows')}")
        typer.echo(f"{verdict.rows}:{verdict.head.hex()}")

    run_as_owner(work)


def _noted(text: str) -> tuple[int, bytes]:
    seq, _, head = text.partition(":")
    try:
        return int(seq), bytes.fromhex(head)
    except ValueError:
        raise Trouble("--anchor 的写法：SEQ:HASH", "--anchor is SEQ:HASH") from None


@audit.command()
def tail(lines: Annotated[int, typer.Option("-n", min=1, max=10_000, help="多少行 · how many rows")] = 20) -> None:
    """最近的审计记录 · The latest rows of the audit log."""
    from deploy.tables import Table

    async def work(connection: Any, _keys: Any) -> None:
        rows = await connection.fetch("SELECT * FROM (SELECT * FROM gateway.audit ORDER BY seq DESC LIMIT $1) AS latest ORDER BY seq", lines)
        table = Table("#", "时间 · when", "谁 · who", "动作 · act", "结果 · outcome", "对象 · of what")
        for row in rows:
            who = f"{row['who'] or '-'} {' '.join(row['roles'])}"
            table.add_row(str(row["seq"]), f"{row['at']:%Y-%m-%d %H:%M:%S}Z", who, row["act"], row["outcome"], " ".join(row["things"]))
        show_table(table)

    run_as_owner(work)
