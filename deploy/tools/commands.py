"""The commands as the terminal sees them: options, languages, exit codes. What they do is in the modules beside this one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.words import Trouble

EXIT_UNFINISHED = 3

Lang = Annotated[str | None, typer.Option("--lang", help="zh、en 或 both（默认取 LASTMETRE_LANG）· zh, en or both (default: LASTMETRE_LANG)")]

PUBLISH_HELP = """发布事件 · Publish events.

每行一个结构化 CloudEvent，先校验，全部合规才发送。可用占位符：{{now}}、{{now+2h}}、{{now-30m}}（单位 s m h d）、{{uuid}} 与其前八位 {{short}}（同一行内相同）。

Each line is one structured CloudEvent; all are validated before the first is sent. Placeholders: {{now}}, {{now+2h}}, {{now-30m}}
(units s, m, h, d), {{uuid}} and its first eight digits {{short}} (the same wherever they stand in one line). Try: publish examples/first-wish.jsonl
"""

SIMULATE_HELP = """用一个月的事件比较匹配策略 · Compare policies on a month of events.

FILE 是 play 写出的 journal.jsonl，或每行一个 CloudEvent 的事件文件；也可用 --generated 或 --running。--policy 至少两次：策略文件，或 shipped、at-once。

FILE is the journal.jsonl of a play, or a file of events, one CloudEvent a line; --generated and --running are the other ways. Give --policy at least
twice: a policy file, or the words shipped and at-once. Try: simulate --policy shipped --policy at-once --generated month
"""

dlq = typer.Typer(help="死信：查看与重发 · Dead letters: look at them and send them again", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `python3 -m deploy`."""
    app.command(help=PUBLISH_HELP)(publish)
    app.command()(watch)
    app.command()(explain)
    app.command("why-not")(why_not)
    app.command()(replay)
    app.command(help=SIMULATE_HELP)(simulate)
    app.add_typer(dlq, name="dlq")


def _run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def publish(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="事件文件，- 为标准输入 · files of events, - for standard input")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="不校验、不填占位符，原样发送 · send as it stands: no validation, no placeholders")] = False,
    wait: Annotated[bool | None, typer.Option("--wait/--no-wait", help="显示结果（终端上默认）· show what becomes of it (default on a terminal)")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="最多等多少秒 · how many seconds to wait at most")] = 10.0,
    lang: Lang = None,
) -> None:
    """Publish events. The help is PUBLISH_HELP. Exit code 3: sent, but not all confirmed within the wait."""
    from deploy.tools import publish as work
    from deploy.tools import target
    from deploy.tools.wording import language

    speech, console = language(lang), target.console()
    lines = work.read_lines(files, raw=raw)
    waits = console.is_terminal if wait is None else wait
    done = _run(work.publish(target.find().broker, lines, console, speech, wait_seconds=seconds if waits else 0.0))
    if not done:
        raise typer.Exit(EXIT_UNFINISHED)


def watch(
    topic: Annotated[str | None, typer.Argument(help="主题，不填为全部 · a topic; all where none is given")] = None,
    *,
    from_start: Annotated[bool, typer.Option("--from-start", help="从头开始 · begin with the oldest event")] = False,
    count: Annotated[int | None, typer.Option("-n", "--count", min=1, help="显示多少条后结束 · end after so many")] = None,
    lang: Lang = None,
) -> None:
    """实时查看事件，Ctrl-C 结束 · Watch events as they come; Ctrl-C ends it."""
    from deploy.tools import target
    from deploy.tools import watch as work
    from deploy.tools.wording import language

    speech, topics, console = language(lang), work.chosen(topic), target.console()
    with contextlib.suppress(KeyboardInterrupt):
        _run(work.watch(target.find().broker, topics, console, speech, from_start=from_start, count=count))


def explain(wish_id: Annotated[str, typer.Argument(help="心愿编号 · the wish's id")], *, lang: Lang = None) -> None:
    """说明一个心愿的来龙去脉 · Tell the whole story of a wish, and what keeps it waiting."""
    from deploy.tools import explain as view
    from deploy.tools import story, target
    from deploy.tools.wording import language

    speech, console = language(lang), target.console()
    for number, found in enumerate(_run(story.stories(target.find(), wish_id))):
        if number:
            console.rule()
        view.show(found, console, speech)


def why_not(
    wish_id: Annotated[str, typer.Argument(help="心愿编号 · the wish's id")],
    offer_id: Annotated[str, typer.Argument(help="服务编号 · the offer's id")],
    *,
    lang: Lang = None,
) -> None:
    """说明一份服务为何没有配给一个心愿 · Tell why an offer is not a wish's helper: each rule, and who comes first."""
    from deploy.tools import target, whynot
    from deploy.tools.wording import language

    speech, console = language(lang), target.console()
    for number, pair in enumerate(_run(whynot.pairs(target.find(), wish_id, offer_id))):
        if number:
            console.rule()
        whynot.show(pair, console, speech)


def replay(*, lang: Lang = None) -> None:
    """按日志重新决定，核对结果逐字节相同 · Decide the journal again and see that the decisions are the same, byte for byte."""
    from deploy.tools import replay as work
    from deploy.tools import target
    from deploy.tools.wording import language

    if not _run(work.replay(target.find(), target.console(), language(lang))):
        raise typer.Exit(1)


def simulate(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="日志或事件文件 · a journal or a file of events")] = None,
    *,
    policy: Annotated[list[str] | None, typer.Option("--policy", help="策略文件、shipped 或 at-once，至少两次 · a policy; at least twice")] = None,
    generated: Annotated[str | None, typer.Option("--generated", help="ample、balanced、scarce 或 month · a published stream")] = None,
    running: Annotated[bool, typer.Option("--running", help="正在运行的系统的日志 · the running system's journal")] = False,
    wishes: Annotated[int | None, typer.Option("--wishes", min=1, max=100_000, help="与 --generated 同用：心愿数 · with --generated: how many")] = None,
    seed: Annotated[int, typer.Option("--seed", help="随机种子 · of all that is drawn")] = 1,
    out: Annotated[Path | None, typer.Option("--out", file_okay=False, help="网页写到此文件夹 · the folder for the page")] = None,
    lang: Lang = None,
) -> None:
    """Compare policies. The help is SIMULATE_HELP."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from deploy.tools import simulate as work
    from deploy.tools import target
    from deploy.tools.wording import join, language
    from deploy.whatif.choice import choose

    speech, console = language(lang), target.console()
    choices = choose(policy or [])
    if (file is not None) + (generated is not None) + running != 1:
        raise Trouble("请给出一个来源：FILE、--generated 或 --running。", "Give one source: FILE, --generated or --running.")
    if wishes is not None and generated is None:
        raise Trouble("--wishes 只与 --generated 同用。", "--wishes goes with --generated only.")
    if file is not None:
        month = work.of_file(file, seed)
    elif generated is not None:
        month = work.of_shape(generated, seed, wishes)
    else:
        month = _run(work.of_running(target.find(), seed))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(join(speech, ("重新匹配", "matching anew")), total=None)
        found = work.simulate(month, choices, seed, lambda done, total: progress.update(task, completed=done, total=total))
    work.show(found, work.save(found, out), console, speech)


@dlq.command("list")
def dlq_list(
    *,
    topic: Annotated[str | None, typer.Option("--topic", help="只看一个主题 · one topic only")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="只看一种原因 · one reason only")] = None,
    most: Annotated[int, typer.Option("--most", min=0, help="最多列出多少条，最新的优先；0 为全部 · how many at most, the newest; 0: all")] = 200,
    lang: Lang = None,
) -> None:
    """列出死信 · List the dead letters."""
    from deploy.tools import dlq as work
    from deploy.tools import target
    from deploy.tools.wording import language

    speech = language(lang)
    found = work.letters(target.find().broker, topic, reason)
    work.show_list(_run(work.overview(found, most)), target.console(), speech)


@dlq.command("show")
def dlq_show(place: Annotated[str, typer.Argument(metavar="TOPIC:PARTITION:OFFSET")], *, lang: Lang = None) -> None:
    """查看一条死信 · Show one dead letter."""
    from deploy.tools import dlq as work
    from deploy.tools import target
    from deploy.tools.wording import language

    speech = language(lang)
    work.show_one(_run(work.letter_at(target.find().broker, place)), target.console(), speech)


@dlq.command("replay")
def dlq_replay(
    place: Annotated[str | None, typer.Argument(metavar="TOPIC:PARTITION:OFFSET")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="全部 · all of them")] = False,
    topic: Annotated[str | None, typer.Option("--topic", help="与 --all 同用：一个主题 · with --all: of one topic")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="与 --all 同用：一种原因 · with --all: of one reason")] = None,
    lang: Lang = None,
) -> None:
    """重发死信到原主题（来错的发到正确的主题） · Send dead letters again to their topic, or to the right one. Exit code 1 where one could not be sent."""
    from deploy.tools import dlq as work
    from deploy.tools import target
    from deploy.tools.wording import language

    if (place is None) != everything:
        raise Trouble(
            "请给出一条死信的位置，或用 --all（可加 --topic、--reason）。",
            "Give the place of one dead letter, or --all (with --topic or --reason if you like).",
        )
    if place is not None and (topic or reason):
        raise Trouble("--topic 和 --reason 只与 --all 同用。", "--topic and --reason go with --all only.")
    speech, console, broker = language(lang), target.console(), target.find().broker

    async def send() -> int:
        found = work.letters(broker, topic, reason) if place is None else work.alone(await work.letter_at(broker, place))
        return (await work.replay(broker, found, console, speech))[1]

    if _run(send()):
        raise typer.Exit(1)
