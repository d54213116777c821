"""`board rebuild`: put the gateway's board together anew, as far back as the topics go; what is older stays. One that runs begins to do so at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from deploy.words import both

if TYPE_CHECKING:
    from deploy.tools.target import Target

board = typer.Typer(help="看板 · The board", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command to `python3 -m deploy`."""
    app.add_typer(board, name="board")


@board.callback()
def _board() -> None:
    """看板 · The board."""


@board.command()
def rebuild() -> None:
    """从主题重建看板 · Put the board together anew from the topics."""
    from deploy.tools import target

    asyncio.run(_rebuild(target.find()))
    Console().print(
        both("主题里还有的已清空，正在重读；更早的保持不变。", "What the topics hold is emptied and being read anew; what is older stays."),
        markup=False,
        highlight=False,
    )


async def _rebuild(where: Target) -> None:
    import asyncpg

    from deploy.servers import not_reached
    from services.gateway.board import store

    try:
        connection = await asyncpg.connect(where.dsn("board"), timeout=10)
        try:
            await store.rebuild(connection)
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        raise not_reached(fault) from fault
