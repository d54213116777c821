"""The commands of `python -m deploy`, inside the virtual environment.

`up`, `down`, `status`, `logs` and `test` are here. Other modules bring their own: name the module in COMMAND_MODULES and give it a function
`register(app: typer.Typer) -> None`. Import what is slow to import inside a command, so that the others start quickly.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import importlib
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import psutil
import typer
from rich.console import Console

from deploy.lock import Lock
from deploy.process import end_left_over, left_over
from deploy.state import ROOT, State, default_folder
from deploy.tables import Table
from deploy.words import Trouble, both
from services.dumps import keep_memory_to_oneself

# Each has `register(app)`. This is the one place where a command from elsewhere is announced.
COMMAND_MODULES = ("deploy.play", "deploy.tools", "deploy.vault", "deploy.preview", "deploy.board", "deploy.account", "deploy.audit")

DOWN_SECONDS = 90.0
POLL_SECONDS = 0.1
LAST_BREATH_SECONDS = 5.0
SAMPLE_DAY_POLICY = ROOT / "config" / "sample-day.toml"
# A notifier has half as much again to do for a match as the matcher, and two of them share the lanes: so confirmations keep up with proposals, and one that
# dies is stood in for within its session.
NOTIFIERS = 2
EXIT_INTERRUPTED = 130
OWN_SERVERS = (
    "使用您自己的服务器：不演示，不建演示账号，不存入虚构人物，匹配用通常的规则（或 LASTMETRE_POLICY 所指）；仍要演示请加 --sample-day",
    "servers of your own: no sample day, no demo accounts, no invented people, the usual policy (or LASTMETRE_POLICY's); --sample-day plays it after all",
)
EXIT_WRONG_USE = 2

app = typer.Typer(
    name="deploy",
    help="最后一米：在本机启动、查看、停止全部服务 · Last Metre: start, look at and stop all of it on this machine",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def run(arguments: list[str]) -> int:
    """Run one command and give its exit code: 0 done, 1 a step failed, 2 wrong use, 130 interrupted."""
    keep_memory_to_oneself()
    for module in COMMAND_MODULES:
        importlib.import_module(module).register(app)
    try:
        app(arguments, prog_name="python3 -m deploy", standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == EXIT_WRONG_USE and arguments:  # typer has said in English what is wrong
            sys.stderr.write("用法有误，见上文。各命令的用法：python3 -m deploy --help，python3 -m deploy 命令 --help\n")
        return code
    except Trouble as trouble:
        Console(stderr=True).print(str(trouble), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as fault:
        told = _of_the_disk(fault)
        if told is None:
            raise
        sys.stderr.write(f"{told}\n")
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _of_the_disk(fault: OSError) -> Trouble | None:
    """What a file or folder, or a full disk, keeps us from; None where the fault is another one."""
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Trouble(f"磁盘已满：{fault}。请清理磁盘后重试。", f"The disk is full: {fault}. Make room and try again.")
    if fault.filename is None:
        return None
    return Trouble(
        f"无法读写 {fault.filename}（{fault.strerror}）。请检查路径及其权限；状态文件夹可用 LASTMETRE_STATE 另行指定。",
        f"{fault.filename} can't be read or written ({fault.strerror}). Check the path and who may use it; LASTMETRE_STATE names another state folder.",
    )


class Screen(Console):
    """The console of a command that has servers to stop."""

    def on_broken_pipe(self) -> None:
        """Nobody reads any more, as in `up | head`: that is a closed terminal. The usual way out would be thrown at whichever task happened to speak."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGHUP)


def run_until_signalled(main: Coroutine[Any, Any, None]) -> bool:
    """Run a coroutine that Ctrl-C, SIGTERM or a closed terminal cancels, once, so that it can stop what it started. Tell whether one did."""

    async def guarded() -> bool:
        task = asyncio.ensure_future(main)
        signalled = False

        def ask() -> None:
            nonlocal signalled
            if not signalled:
                signalled = True
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, ask)
        try:
            await task
        except asyncio.CancelledError:
            if not signalled:
                raise
        return signalled

    return asyncio.run(guarded())


@app.command()
def up(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="演示一天后退出，不演示则就绪后退出 · end after the sample day, or once ready where none is played")
    ] = False,
    sample_day: Annotated[
        bool | None,
        typer.Option(
            "--sample-day/--no-sample-day",
            help="是否演示一天，人物均为虚构；默认：使用自己的服务器时不演示 · play a day with invented people; if not said, not on servers of your own",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="先清空数据 · forget earlier data first")] = False,
    matchers: Annotated[int, typer.Option(min=1, max=6, help="匹配进程数 · how many matcher processes")] = 1,
    notifiers: Annotated[int, typer.Option(min=1, max=6, help="通知进程数 · how many notifier processes")] = NOTIFIERS,
    secure: Annotated[
        bool | None,
        typer.Option(
            "--secure/--plain",
            help="Kafka 加密、登录、授权，PostgreSQL 不经网络；默认同上次 · Kafka with TLS, passwords, rules; PostgreSQL by socket; if not said, as last time",
        ),
    ] = None,
) -> None:
    """启动全部服务并演示一天 · Start everything and play the sample day."""
    from deploy.servers import are_named

    console = Screen()
    if fresh and os.environ.get("LASTMETRE_POSTGRES"):
        raise Trouble(
            "--fresh 会清空状态文件夹，其中有保险箱和网关的密钥，而您自己的 PostgreSQL（LASTMETRE_POSTGRES）中的数据仍在，从此无法解开。"
            "请去掉 --fresh；要重新开始，请在 LASTMETRE_POSTGRES 中另写一个库名，并用 LASTMETRE_STATE 另指定状态文件夹。",
            "--fresh empties the state folder, where the keys of vault and gateway are, while the data on your own PostgreSQL (LASTMETRE_POSTGRES) stays "
            "and could never be opened again. Leave --fresh out; to begin anew, name another database in LASTMETRE_POSTGRES and a folder in LASTMETRE_STATE.",
        )
    plays = not are_named() if sample_day is None else sample_day
    signalled = run_until_signalled(_up(console, once=once, plays=plays, fresh=fresh, workers=(matchers, notifiers), secure=secure))
    if signalled and once:
        raise typer.Exit(EXIT_INTERRUPTED)


async def _up(console: Console, *, once: bool, plays: bool, fresh: bool, workers: tuple[int, int], secure: bool | None) -> None:
    from deploy.progress import Display
    from deploy.servers import are_named
    from deploy.spelling import slips
    from deploy.stack import WHOLE, Stack

    began = time.monotonic()
    for slip in slips(os.environ):
        console.print(f"! {slip}", markup=False, highlight=False, soft_wrap=True)
    display = Display(console)
    # Its minutes are seconds: real people would be asked, and given up, sixty times too fast.
    policy = {"LASTMETRE_POLICY": str(SAMPLE_DAY_POLICY)} if plays and "LASTMETRE_POLICY" not in os.environ else {}
    # Whoever brings a directory of their own has people elsewhere. Without a day the vault holds whom its keepers put in; visits to minors ask for consent.
    vault = "LASTMETRE_DIRECTORY" not in os.environ
    matchers, notifiers = workers
    stack = Stack(default_folder(), fresh=fresh, matchers=matchers, notifiers=notifiers, report=display, env=policy, vault=vault, secure=secure, services=WHOLE)
    try:
        with display:
            await stack.start()
        console.print(both("已就绪", "ready"), f"({time.monotonic() - began:.1f} s)", markup=False, highlight=False)
        if not plays:
            if are_named():
                console.print("\n".join(OWN_SERVERS), markup=False, highlight=False, soft_wrap=True)
            console.print(both(f"网页：{stack.web_address}", f"pages: {stack.web_address}"), markup=False, highlight=False, soft_wrap=True)
        async with contextlib.AsyncExitStack() as ending:
            watching = asyncio.create_task(stack.watch())
            ending.callback(watching.cancel)
            if plays:
                day = asyncio.create_task(_play_day(stack, console, once=once))
                ending.callback(day.cancel)
                done, _ = await asyncio.wait({watching, day}, return_when=asyncio.FIRST_COMPLETED)
                if watching in done:
                    await watching
                await day
            if not once:
                console.print(both("按 Ctrl-C 停止", "Ctrl-C stops it"), markup=False, highlight=False)
                await watching
    finally:
        if stack.started:
            console.print(both("正在停止", "stopping"), markup=False, highlight=False)
            await importlib.import_module("deploy.demo").drop_accounts(stack)
        await stack.stop()


async def _play_day(stack: Any, console: Console, *, once: bool) -> None:
    await importlib.import_module("deploy.day").play_day(stack, console, once=once)


@app.command()
def down() -> None:
    """停止正在运行的服务 · Stop what runs, from another terminal."""
    state = State(default_folder())
    lock = Lock(state.folder)
    holder = lock.holder()
    console = Console()
    if holder is not None:
        console.print(both("正在停止", "stopping"), markup=False, highlight=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while lock.holder() is not None:
            if time.monotonic() > deadline:
                raise Trouble(
                    f"进程 {holder} 在 {DOWN_SECONDS:.0f} 秒内未停止。",
                    f"Process {holder} did not stop within {DOWN_SECONDS:.0f} s.",
                    log=state.logs,
                )
            time.sleep(POLL_SECONDS)
        # It lets go of `.venv` with its last breath, and `test` may want that next.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(holder).wait(LAST_BREATH_SECONDS)
    left = [path for path in state.pids.iterdir() if left_over(path) is not None]
    for path in left:
        end_left_over(path, signal.SIGINT if path.name == "postgres" else signal.SIGTERM, DOWN_SECONDS)
    said = both("已停止", "stopped") if holder is not None or left else both("未在运行", "not running")
    console.print(said, markup=False, highlight=False)


@app.command()
def status() -> None:
    """查看各进程 · Show what runs. Exit code 3 where nothing does."""
    from deploy.running import running

    console = Console()
    folder = default_folder()
    if Lock(folder).holder() is None:
        console.print(both("未在运行", "not running"), markup=False, highlight=False)
        raise typer.Exit(3)
    found = running(folder)
    table = Table("名称 · name", "进程 · pid", "状态 · condition", "地址 · address", "重启 · restarts")
    table.add_row("deploy", str(found.supervisor), "", "", "")
    for name in ("kafka", "postgres"):
        server = found.status[name]
        condition = "external" if server["external"] else ("ready" if server["pid"] else "down")
        if server.get("secure"):
            condition += " · " + {"kafka": "TLS", "postgres": both("仅本机套接字", "socket only")}[name]
        table.add_row(name, str(server["pid"] or "-"), condition, unquote(server["address"]), "")
    for name, service in found.status["services"].items():
        table.add_row(name, str(service["pid"] or "-"), service["condition"], f"127.0.0.1:{service['port']}", str(service["restarts"]))
    console.print(table)
    if web := found.status.get("web"):
        console.print(both(f"网页：{web}", f"pages: {web}"), markup=False, highlight=False, soft_wrap=True)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="服务名 · which one")] = None,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="持续输出 · go on as they grow")] = False,
    lines: Annotated[int, typer.Option("-n", min=0, help="行数 · how many lines first")] = 20,
) -> None:
    """查看日志 · Show the logs of all, or of all processes of one service."""
    folder = State(default_folder()).logs
    found = sorted(folder.glob("*.log")) if name is None else [folder / f"{name}.log", *sorted(folder.glob(f"{glob.escape(name)}-[0-9].log"))]
    if not found or not all(path.exists() for path in found):
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log"))) or "-"
        raise Trouble(f"没有这个日志。现有：{known}", f"There is no such log. There are: {known}", log=folder)
    with contextlib.suppress(BrokenPipeError):
        for label, line in _lines(found, lines, follow=follow):
            sys.stdout.write(f"{label} | {line}\n" if len(found) > 1 else f"{line}\n")
            sys.stdout.flush()


def _lines(paths: list[Path], last: int, *, follow: bool) -> Iterator[tuple[str, str]]:
    """The last lines of each file, then, with `follow`, new ones for ever."""
    places = {}
    for path in paths:
        data = path.read_bytes()
        places[path] = len(data)
        shown = data.decode("utf-8", "replace").splitlines()
        yield from ((path.stem, line) for line in (shown[-last:] if last else []))
    while follow:
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            if size < places[path]:  # rotated: begin again
                places[path] = 0
            if size > places[path]:
                with path.open("rb") as file:
                    file.seek(places[path])
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                places[path] += len(whole)
                yield from ((path.stem, line) for line in whole.decode("utf-8", "replace").splitlines())
        time.sleep(POLL_SECONDS)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def test(context: typer.Context) -> None:
    """检查并测试（参数传给 pytest） · Check style and types and run the tests; arguments go to pytest."""
    from deploy.checks import run_all

    failed = [check for check in run_all(context.args) if check.code != 0]
    if failed:
        sys.stderr.write(f"{both('未通过', 'failed')}: {', '.join(check.name for check in failed)}\n")
        raise typer.Exit(failed[0].exit_code)
