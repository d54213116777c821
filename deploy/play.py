"""The command `play FILE.jsonl --out DIR`; what it does is in `deploy.player`, which is slow to import."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.words import both


def _play(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help=both("事件文件，每行一个 CloudEvent", "events, one structured CloudEvent a line")),
    ],
    out: Annotated[Path, typer.Option("--out", file_okay=False, help=both("结果写到此文件夹", "write the results to this folder"))],
    matchers: Annotated[int, typer.Option(min=1, max=6, help=both("匹配进程数", "how many matcher processes"))] = 1,
    notifiers: Annotated[int, typer.Option(min=1, max=6, help=both("通知进程数", "how many notifier processes"))] = 1,
    *,
    secure: Annotated[bool, typer.Option("--secure", help=both("使用加密并按规则授权的 Kafka", "with Kafka secured"))] = False,
) -> None:
    """在空库上按事件时间播放一个文件，写出结果 · Play a file by event time on empty stores, and write what became of it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from deploy.cli import EXIT_INTERRUPTED, run_until_signalled
    from deploy.player import play

    # Before anything is started: it would be said only after all the work.
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(both("播放", "playing"), total=None)

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        ended: list[tuple[dict[str, Any], int]] = []

        async def played() -> None:
            ended.append(await play(file, out, matchers=matchers, notifiers=notifiers, secure=secure, told=told))

        # By `timeout` or a closed terminal as well as by Ctrl-C: whoever ends it leaves no stores behind.
        run_until_signalled(played())
    if not ended:
        raise typer.Exit(EXIT_INTERRUPTED)
    [(summary, refused)] = ended
    for name, value in summary.items():
        console.print(f"{name:22} {value}", highlight=False)
    if refused:
        console.print(both(f"{refused} 行大于 Kafka 所收的 8 MiB，未发布", f"{refused} lines exceed the 8 MiB that Kafka takes and were not published"))
    console.print(both(f"结果在 {out}", f"results are in {out}"), highlight=False)


def register(app: typer.Typer) -> None:
    """Announce `play`."""
    app.command("play")(_play)
