"""A separate checker of the contract: it reads what `play` wrote and believes nothing else.

It shares no code with the services or the schemas, so that one misreading of the contract is not made twice.
`check(folder)` judges promises 1 to 4 and the Rules from the folder alone; with the input file it judges, too, that
no line was lost. What the contract proves wrong is a violation, what only looks odd is a warning.
"""

from __future__ import annotations

from pathlib import Path

from tests.checker import folder as folders
from tests.checker import intake, streams, summary
from tests.checker.replay import Replay
from tests.checker.report import Finding, Report

__all__ = ["Finding", "Report", "check"]


def check(directory: Path | str, input_file: Path | str | None = None, *, partitions: int = 6, eager: bool = False) -> Report:
    """Judge the folder that `play` wrote.

    `partitions`: of each topic. `eager`: every wish is tried at once; otherwise only `red` ones must be.
    """
    report = Report()
    folder = folders.read(Path(directory), report)
    streams.check(folder, partitions, report)
    streams.check_positions(folder.journal, partitions, report)
    streams.check_privacy(folder, report)
    dead_letters = streams.check_dead_letters(folder, report)
    replay = Replay(report, eager)
    replay.run(folder.journal)
    lines = None
    if input_file is not None:
        lines = intake.read_lines(Path(input_file))
        intake.check(folder, lines, dead_letters, report)
    count = None if lines is None else len(lines)
    summary.check(folder, replay.areas.values(), len(dead_letters), count, report)
    return report
