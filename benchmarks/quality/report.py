"""Results as JSON with a picture beside it, as tables on the terminal, and as Markdown between two marks of docs/quality.md."""

import dataclasses
import os
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.measures import Verdict
from benchmarks.quality.greedy import NAME as GREEDY
from benchmarks.quality.measures import URGENCIES, Quality, Wait, verdicts
from benchmarks.quality.run import Found

RESULTS: Final = Path(__file__).with_name("results")
PUBLISHED: Final = RESULTS / "published.json"
DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "quality.md"
PICTURE: Final = DOCS / "quality.svg"
BEGIN: Final = "<!-- results: made by `python -m benchmarks.quality publish` -->"
END: Final = "<!-- end of results -->"
_COLOURS: Final = {"ample": "#2a7f62", "balanced": "#2f5d9b", "scarce": "#b5482a"}

Grid = tuple[str, list[str], list[list[str]]]


def tables(found: Found, judged: str) -> list[Grid]:
    """(title, heads, rows) of everything; `judged`: the contender that is held against the goals."""
    best = [[one.shape, *(f"{number:,}" for number in (one.streams, one.places, one.offers, one.visits, one.matched, one.weight))] for one in found.best]
    grids: list[Grid] = [
        (
            "The streams, and the optimum in hindsight",
            ["supply", "streams", "helpers wanted", "offers", "visits offered", "optimum matched", "optimum weight"],
            best,
        ),
        (
            "Quality",
            ["supply", "contender", "weight ÷ optimum", "matched ÷ optimum's", "helpers with no task", "Gini of tasks", "red within 1 s", "seconds"],
            [_quality(one) for one in found.qualities],
        ),
        (
            "Hours from a wish to its first proposal, median / p90 (wishes that had one)",
            ["supply", "contender", *URGENCIES, "oldest feasible"],
            [[one.shape, one.contender, *(_wait(one.waits[name]) for name in URGENCIES), f"{one.oldest_hours:.1f}"] for one in found.qualities],
        ),
    ]
    if found.curve:
        rows = [[one.shape, f"× {one.patience:g}", f"{one.median_hours:.1f}", f"{one.ratio:.3f}"] for one in found.curve]
        grids.append(("What waiting gains", ["supply", "patience", "median wait of yellow and blue, hours", "weight ÷ optimum"], rows))
    lines = [[one.name, f"{one.value:.3f}", _goal(one), "met" if one.met else "missed"] for one in verdicts(found.qualities, judged)]
    grids.append((f"Against the goals: {judged}", ["what", "measured", "goal", ""], lines))
    return grids


def show(grids: list[Grid], console: Console) -> None:
    """On the terminal."""
    for title, heads, rows in grids:
        table = Table(title=title, title_justify="left")
        for number, head in enumerate(heads):
            table.add_column(head, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def save(found: Found, grids: list[Grid], seed: int, folder: Path) -> Path:
    """A JSON file, and the curve under the same name if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    result = {"machine": _machine(), "seed": seed, "tables": grids, "raw": dataclasses.asdict(found)}
    path.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    if found.curve:
        draw(found, path.with_suffix(".svg"))
    return path


def draw(found: Found, path: Path) -> None:
    """What waiting gains: the median wait to the right, weight ÷ optimum upwards; greedy as a cross."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "last-metre", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.add_subplot()
        for shape in dict.fromkeys(one.shape for one in found.curve):
            points = sorted((one for one in found.curve if one.shape == shape), key=lambda one: one.patience)
            colour = _COLOURS.get(shape, "#555555")
            waits, ratios = [one.median_hours for one in points], [one.ratio for one in points]
            axes.plot(waits, ratios, marker="o", color=colour, label=f"{shape}, by patience")
            for one in points:
                axes.annotate(f"× {one.patience:g}", (one.median_hours, one.ratio), textcoords="offset points", xytext=(5, -11), fontsize=8, color=colour)
            for peer in found.qualities:
                if peer.shape == shape and peer.contender == GREEDY:
                    axes.plot([peer.unhurried.median], [peer.ratio], marker="x", markersize=9, color=colour, linestyle="", label=f"{shape}, {GREEDY}")
        axes.set_xlabel("median wait from wish to first proposal, yellow and blue, hours")
        axes.set_ylabel("weight ÷ optimum in hindsight")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def publish(result: Path, page: Path = PAGE, picture: Path = PICTURE) -> None:
    """Make this result the published one: its tables and its picture go into the page."""
    found = orjson.loads(result.read_bytes())
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    drawn = result.with_suffix(".svg")
    if drawn.exists():
        shutil.copyfile(drawn, picture)
    page.write_text(f"{head}{BEGIN}\n\n{_markdown(found, picture if picture.exists() else None)}\n{END}{tail}", encoding="utf-8")
    if page == PAGE and result != PUBLISHED:
        PUBLISHED.parent.mkdir(parents=True, exist_ok=True)
        PUBLISHED.write_bytes(result.read_bytes())


def latest(folder: Path = RESULTS) -> Path:
    """The youngest result of this machine.

    Raises:
        FileNotFoundError: none was made yet.
    """
    found = sorted(path for path in folder.glob("*.json") if path != PUBLISHED)
    if not found:
        raise FileNotFoundError(f"{folder}: run `python -m benchmarks.quality` first")
    return found[-1]


def _markdown(found: dict[str, Any], picture: Path | None) -> str:
    machine = found["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    lines = [f"Made {machine['at']} with seed {found['seed']} on {machine['cores']} cores, Python {machine['python']}; {libraries}.", ""]
    for title, heads, rows in found["tables"]:
        lines += [f"**{title}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows), ""]
    if picture is not None:
        lines += [f"![Weight ÷ optimum against the median wait, a line a supply]({picture.name})", ""]
    return "\n".join(lines)


def _machine() -> dict[str, Any]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("scipy", "numpy")},
    }


def _quality(one: Quality) -> list[str]:
    red = "" if one.red_share is None else f"{one.red_share:.1%}"
    return [
        one.shape,
        one.contender,
        f"{one.ratio:.3f}",
        f"{one.matched_ratio:.3f}",
        f"{one.zero_share:.1%}",
        f"{one.gini:.2f}",
        red,
        f"{one.seconds:.1f}",
    ]


def _wait(wait: Wait) -> str:
    return f"{wait.median:.1f} / {wait.p90:.1f} ({wait.wishes:,})"


def _goal(verdict: Verdict) -> str:
    return f"at least {verdict.at_least:g}" if verdict.at_least is not None else f"at most {verdict.at_most:g}"
