"""`python -m benchmarks`: all measurements, or one of them."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import latency, machine, notifier, ours, report, scaling, throughput
from benchmarks.measures import timing
from benchmarks.report import Report
from benchmarks.rig import Rig

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False, help="Measure Last Metre beside its peers.")
_WIDTH = 150  # where there is no terminal to ask
console = Console(width=None if sys.stdout.isatty() else _WIDTH)

Short = Annotated[bool, typer.Option("--short", help="A quick form that shows that everything works; its numbers mean little.")]
Seed = Annotated[int, typer.Option(help="Of the events.")]
Rounds = Annotated[int | None, typer.Option(min=1, help="How often everyone is measured.")]
Folder = Annotated[Path | None, typer.Option(help="Where the servers keep their data; by default in .lastmetre, never in memory.")]
Out = Annotated[Path, typer.Option(help="Where the result goes.")]
Step = Callable[[Rig, Report], Awaitable[None]]

_SEED = 20_261


def _say(text: str) -> None:
    console.print(f"[dim]{text}[/dim]", highlight=False)


def _measure(steps: list[Step], seed: int, folder: Path | None, out: Path) -> None:
    async def run() -> None:
        async with Rig(folder) as rig:
            await rig.fresh()
            found = Report(await machine.describe(rig), seed)
            for step in steps:
                await step(rig, found)
        found.show(console)
        console.print(f"{found.save(out)}", highlight=False)

    uvloop.run(run())


def _throughput(*, short: bool, rounds: int | None, seed: int) -> Step:
    async def step(rig: Rig, found: Report) -> None:
        sizes = throughput.SHORT if short else throughput.Sizes()
        sizes = replace(sizes, rounds=rounds or sizes.rounds)
        found.add_throughput(await throughput.Throughput(rig, sizes, seed, _say).run(), "Matches per second")
        if short:
            return
        alone = replace(sizes, areas=1, connections=(), rounds=min(sizes.rounds, 3), contenders=(throughput.OURS,))
        found.add_throughput(await throughput.Throughput(rig, alone, seed, _say).run(), "One area, so one lane")

    return step


def _latency(*, short: bool, rounds: int | None, seed: int) -> Step:
    async def step(rig: Rig, found: Report) -> None:
        pace = latency.SHORT if short else latency.Pace()
        pace = replace(pace, rounds=rounds or pace.rounds)
        title = f"From the scheduled send to `matches`, {pace.rate:,} wishes a second for {pace.seconds} s, notifier off"
        found.add_latency(await latency.measure(rig, pace, seed, _say), title)

    return step


def _scaling(*, short: bool, rounds: int | None, seed: int, folder: Path | None) -> Step:
    async def step(rig: Rig, found: Report) -> None:
        scale = scaling.SHORT if short else scaling.Scale()
        async with Rig(folder) as large:
            found.add_scaling(await scaling.measure(rig, large, replace(scale, rounds=rounds or scale.rounds), seed, _say))

    return step


def _notifier(*, short: bool, rounds: int | None, seed: int, env: list[str]) -> Step:
    async def step(rig: Rig, found: Report) -> None:
        sizes = notifier.SHORT if short else notifier.Sizes()
        settings = dict(one.split("=", 1) for one in env)
        found.add_notifier(await notifier.measure(rig, replace(sizes, rounds=rounds or sizes.rounds), seed, _say, settings))

    return step


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    *,
    short: Short = False,
    seed: Seed = _SEED,
    rounds: Rounds = None,
    folder: Folder = None,
    out: Out = report.RESULTS,
) -> None:
    """All measurements, one after another, and a verdict on each goal."""
    if context.invoked_subcommand is None:
        steps = [
            _throughput(short=short, rounds=rounds, seed=seed),
            _latency(short=short, rounds=rounds, seed=seed),
            _scaling(short=short, rounds=rounds, seed=seed, folder=folder),
            _notifier(short=short, rounds=rounds, seed=seed, env=[]),
        ]
        _measure(steps, seed, folder, out)


@app.command("throughput")
def only_throughput(*, short: Short = False, seed: Seed = _SEED, rounds: Rounds = None, folder: Folder = None, out: Out = report.RESULTS) -> None:
    """Matches per second, beside the peers."""
    _measure([_throughput(short=short, rounds=rounds, seed=seed)], seed, folder, out)


@app.command("latency")
def only_latency(*, short: Short = False, seed: Seed = _SEED, rounds: Rounds = None, folder: Folder = None, out: Out = report.RESULTS) -> None:
    """From a wish's scheduled send to its match."""
    _measure([_latency(short=short, rounds=rounds, seed=seed)], seed, folder, out)


@app.command("scaling")
def only_scaling(*, short: Short = False, seed: Seed = _SEED, rounds: Rounds = None, folder: Folder = None, out: Out = report.RESULTS) -> None:
    """Matches per second with few and with very many open offers."""
    _measure([_scaling(short=short, rounds=rounds, seed=seed, folder=folder)], seed, folder, out)


@app.command("notifier")
def only_notifier(
    *,
    short: Short = False,
    seed: Seed = _SEED,
    rounds: Rounds = None,
    folder: Folder = None,
    out: Out = report.RESULTS,
    env: Annotated[list[str] | None, typer.Option(help="A setting of the notifier as NAME=VALUE, such as those that open the vault; may be repeated.")] = None,
) -> None:
    """Confirmations beside proposals per second, and from a proposal to both notices."""
    _measure([_notifier(short=short, rounds=rounds, seed=seed, env=env or [])], seed, folder, out)


@app.command()
def profile(
    *,
    offers: Annotated[int, typer.Option(min=1)] = 10_000,
    wishes: Annotated[int, typer.Option(min=1)] = 40_000,
    areas: Annotated[int, typer.Option(min=1)] = 6,
    seed: Seed = _SEED,
    folder: Folder = None,
    top: Annotated[int, typer.Option(help="How many functions are shown.")] = 40,
) -> None:
    """Where the matcher's processor time goes while it works off a backlog."""

    async def run() -> dict[str, Any]:
        async with Rig(folder) as rig:
            sizes = throughput.Sizes(offers=offers, wishes=wishes, areas=areas)
            stream = throughput.Stream.of(sizes, seed)
            await rig.fresh()
            await ours.take_offers(rig, stream.offers)
            await rig.publish(stream.wishes)
            out = rig.folder / "samples.json"
            cpu_us = await ours.work_off(rig, len(stream.wishes), ("benchmarks.sampler", str(out)))
            found = timing([one.at for one in await rig.matches()], cpu_us)
            console.print(f"{found.per_second:,.0f} matches/s while sampled; {cpu_us:,.0f} µs of processor time a wish")
            samples: dict[str, Any] = orjson.loads(out.read_bytes())
            return samples

    seen = uvloop.run(run())
    for generation, seconds in sorted(seen["collecting_seconds"].items()):
        console.print(f"garbage collector, generation {generation}: {seen['collections'][generation]} times, {seconds:.2f} s in all")
    for kind, title in (("own", "in the function itself"), ("total", "with all that it calls")):
        table = Table(title=f"{title}, of {seen['samples']:,} samples", title_justify="left")
        table.add_column("share", justify="right")
        table.add_column("function")
        for name, number in seen[kind][:top]:
            table.add_row(f"{number / seen['samples']:.1%}", name)
        console.print(table)


@app.command()
def publish(result: Annotated[Path | None, typer.Argument(help="A result file; the latest where none is named.")] = None) -> None:
    """Write a result's tables into docs/benchmarks.md."""
    report.publish(result or report.latest())


if __name__ == "__main__":
    app()
