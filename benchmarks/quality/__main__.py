"""`python -m benchmarks.quality`: how good the matches are, beside greedy matching and the best in hindsight."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.quality import report, run
from benchmarks.quality.shapes import POLICIES, SHIPPED, SHORT, policies
from deploy.whatif.shapes import FULL

app = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False, help="Measure how good the matches are.")
_WIDTH = 150  # where there is no terminal to ask
_SEED = 20_264
console = Console(width=None if sys.stdout.isatty() else _WIDTH)


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    *,
    short: Annotated[bool, typer.Option("--short", help="Small streams, without the curve: that everything works.")] = False,
    seed: Annotated[int, typer.Option(help="Of the streams.")] = _SEED,
    out: Annotated[Path, typer.Option(help="Where the result goes.")] = report.RESULTS,
    policy: Annotated[list[str] | None, typer.Option(help=f"Which policies, of: {', '.join(POLICIES)}. All where none is named; the last is judged.")] = None,
    supply: Annotated[list[str] | None, typer.Option(help="Which streams, of: ample, balanced, scarce, month. All where none is named.")] = None,
    curve: Annotated[bool, typer.Option(help="Also how quality grows with patience.")] = True,
) -> None:
    """All contenders on all streams, and a verdict on each goal."""
    if context.invoked_subcommand is not None:
        return
    names = policy or list(POLICIES)
    _known(names, POLICIES, "policy")
    shapes = [shape for shape in (SHORT if short else FULL) if not supply or shape.name in supply]
    _known(supply or [], {shape.name for shape in FULL}, "supply")
    found = run.measure(shapes, policies(names), seed, _say, curve=curve and not short)
    grids = report.tables(found, SHIPPED if SHIPPED in names else names[-1])
    report.show(grids, console)
    console.print(f"{report.save(found, grids, seed, out)}", highlight=False)


@app.command()
def publish(result: Annotated[Path | None, typer.Argument(help="A result file; the latest where none is named.")] = None) -> None:
    """Write a result's tables and picture into docs/quality.md."""
    try:
        report.publish(result or report.latest())
    except OSError as fault:
        named = f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault)
        raise typer.BadParameter(f"{named}; name a result file of {report.RESULTS}", param_hint="RESULT") from None
    except (ValueError, KeyError, TypeError):
        raise typer.BadParameter(f"{result} holds no result; name a result file of {report.RESULTS}", param_hint="RESULT") from None


def _say(text: str) -> None:
    console.print(f"[dim]{text}[/dim]", highlight=False)


def _known(names: list[str], known: object, what: str) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]
            raise typer.BadParameter(f"no {what} is called {name}")


if __name__ == "__main__":
    app()
