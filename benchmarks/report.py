"""Results as JSON in `benchmarks/results/`, as tables on the terminal, and as Markdown between two marks of docs/benchmarks.md."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.latency import Latency
from benchmarks.latency import verdicts as latency_verdicts
from benchmarks.measures import Spread, Verdict
from benchmarks.notifier import Result as Notified
from benchmarks.scaling import Scaling
from benchmarks.throughput import CONTENDERS, OURS, Result

RESULTS: Final = Path(__file__).with_name("results")
PUBLISHED: Final = RESULTS / "published.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- results: made by `python -m benchmarks publish` -->"
END: Final = "<!-- end of results -->"

Grid = tuple[str, list[str], list[list[str]]]


@dataclasses.dataclass(slots=True)
class Report:
    """All that one run measured, as plain values: `tables` are (title, heads, rows)."""

    machine: dict[str, Any]
    seed: int
    tables: list[Grid] = dataclasses.field(default_factory=list)
    verdicts: list[Verdict] = dataclasses.field(default_factory=list)
    raw: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add_throughput(self, result: Result, title: str) -> None:
        """Rates, ratios and what the peer's trials gave."""
        sizes = result.sizes
        present = [name for name in CONTENDERS if any(run.contender == name for run in result.runs)]
        rows = []
        for name in present:
            runs = [run for run in result.runs if run.contender == name]
            cpu = [run.timing.cpu_us for run in runs if run.timing.cpu_us]
            rows.append([
                name, *_three(result.rates(name), "{:,.0f}"), "" if name == OURS else _ratio(result.ratio(name)),
                f"{Spread.of(cpu).median:,.0f}" if cpu else "", f"{runs[-1].judgement.matches:,}", _faults(runs[-1].judgement.faults),
                f"{runs[-1].judgement.double_booked:,}", "" if runs[-1].retries is None else f"{runs[-1].retries:,}",
            ])  # fmt: skip
        heads = [
            "contender",
            "matches/s",
            "lowest",
            "highest",
            "last metre ÷ it",
            "CPU µs",
            "matches",
            "broken rules",
            "double visits",
            "retries",
        ]
        scope = f"{sizes.offers:,} offers, {sizes.wishes:,} wishes, {sizes.areas} area{'s' * (sizes.areas > 1)}, {sizes.rounds} rounds"
        self.tables.append((f"{title}: {scope}", heads, rows))
        if result.trials:
            trials = [[form, str(connections), f"{found.per_second:,.0f}"] for form, connections, found in result.trials]
            self.tables.append(
                (f"SKIP LOCKED by connections, {sizes.trial_wishes:,} wishes: the best of each form is taken", ["form", "connections", "matches/s"], trials)
            )
        if len(present) > 1:
            self.verdicts.extend(result.verdicts())
        self.raw[title] = _plain(result)

    def add_latency(self, rounds: list[Latency], title: str) -> None:
        """Percentiles by round."""
        heads = ["round", "wishes", "matched", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"]
        heads += ["the half minute before: p50 ms", "p99 ms", "generator late, max ms", "matcher's share of a core"]
        rows = [
            [
                str(one.round),
                f"{one.wishes:,}",
                f"{one.matched:,}",
                *(f"{ms:.1f}" for ms in (one.p50, one.p90, one.p99, one.p999, one.max, one.warming_p50, one.warming_p99, one.late_ms)),
                f"{one.cpu_share:.0%}",
            ]
            for one in rounds
        ]
        self.tables.append((title, heads, rows))
        self.verdicts.extend(latency_verdicts(rounds))
        self.raw[title] = _plain(rounds)

    def add_scaling(self, result: Scaling) -> None:
        """Rates by number of offers."""
        title = f"Matches per second by open offers: {result.scale.wishes:,} wishes, {result.scale.areas} areas, {result.scale.rounds} rounds"
        rows = [
            [f"{offers:,}", *_three(result.rates(offers), "{:,.0f}"), "" if offers == result.scale.few else _ratio(result.ratio())] for offers in result.timings
        ]
        self.tables.append((title, ["open offers", "matches/s", "lowest", "highest", "÷ few"], rows))
        self.verdicts.extend(result.verdicts())
        self.raw["scaling"] = _plain(result)

    def add_notifier(self, result: Notified) -> None:
        """Rates side by side, and the latency."""
        sizes = result.sizes
        rows = [
            [
                str(one.round),
                str(one.notifiers),
                *(f"{timing.per_second:,.0f}" for timing in (one.proposed, one.confirmed)),
                f"{one.ratio:.2f}",
                *(f"{timing.cpu_us or 0:,.0f}" for timing in (one.proposed, one.confirmed)),
            ]
            for one in result.passes
        ]
        heads = ["round", "notifiers", "proposed/s", "confirmed/s", "confirmed ÷ proposed", "matcher's CPU µs", "notifiers' CPU µs"]
        self.tables.append((f"The notifier: {sizes.wishes:,} wishes proposed by one matcher, then confirmed", heads, rows))
        rows = [
            [str(number), f"{told.matches:,}", *(f"{ms:.1f}" for ms in (told.p50, told.p99, told.max, told.late_ms))]
            for number, told in enumerate(result.told, 1)
        ]
        heads = ["round", "matches told", "p50 ms", "p99 ms", "max ms", "generator late, max ms"]
        self.tables.append(
            (f"From the proposal to both notices, {sizes.rate} matches a second for {sizes.seconds} s, notifiers: {sizes.notifiers}", heads, rows)
        )
        self.verdicts.extend(result.verdicts())
        self.raw["notifier"] = _plain(result)

    def show(self, console: Console) -> None:
        """On the terminal."""
        for title, heads, rows in (*self.tables, self._verdict_table()):
            table = Table(title=title, title_justify="left")
            for number, head in enumerate(heads):
                table.add_column(head, justify="right" if number else "left")
            for row in rows:
                table.add_row(*row)
            console.print(table)

    def save(self, folder: Path = RESULTS) -> Path:
        """As a file of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_bytes(orjson.dumps(self.plain(), option=orjson.OPT_INDENT_2))
        return path

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        tables = [*self.tables, self._verdict_table()]
        return {"machine": self.machine, "seed": self.seed, "tables": tables, "raw": self.raw}

    def _verdict_table(self) -> Grid:
        rows = [[one.name, f"{one.value:.2f}", _goal(one), "met" if one.met else "missed"] for one in self.verdicts]
        return ("Against the goals", ["what", "measured", "goal", ""], rows)


def publish(result: Path, page: Path = PAGE) -> None:
    """Make this result the published one, and write its tables into the page."""
    found = orjson.loads(result.read_bytes())
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(f"{head}{BEGIN}\n\n{_markdown(found)}\n{END}{tail}", encoding="utf-8")
    if result != PUBLISHED:
        PUBLISHED.write_bytes(result.read_bytes())


def latest() -> Path:
    """The youngest result of this machine.

    Raises:
        FileNotFoundError: none was made yet.
    """
    found = sorted(path for path in RESULTS.glob("*.json") if path != PUBLISHED)
    if not found:
        raise FileNotFoundError(f"{RESULTS}: run `python -m benchmarks` first")
    return found[-1]


def _markdown(found: dict[str, Any]) -> str:
    machine = found["machine"]
    postgres, flush = machine["postgres"], machine["flush_ms"]
    settings = ", ".join(f"`{name} = {value}`" for name, value in postgres.items() if name != "server_version")
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    lines = [
        f"Made {machine['at']} with seed {found['seed']}.",
        "",
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}.",
        f"- Load average before: {', '.join(map(str, machine['load_average']))}.",
        f"- Disk: 8 KiB flushed in {flush['median']} ms (median; at most {flush['max']} ms).",
        f"- Kafka {machine['kafka']}, PostgreSQL {postgres['server_version']}: {settings}.",
        f"- Python {machine['python']}; {libraries}.",
        "",
    ]
    for title, heads, rows in found["tables"]:
        lines += [f"**{title}**", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


def _three(spread: Spread, shape: str) -> Sequence[str]:
    return [shape.format(one) for one in (spread.median, spread.lowest, spread.highest)]


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.lowest:.2f} to {spread.highest:.2f})"


def _faults(faults: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in faults.items()) or "none"


def _goal(verdict: Verdict) -> str:
    goal = f"at least {verdict.at_least:g}" if verdict.at_least is not None else f"at most {verdict.at_most:g}"
    return goal if verdict.aim is None else f"{goal}, aim {verdict.aim:g}"
